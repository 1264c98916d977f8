"""Training of PHASE: deterministic, resumable, best epoch by validation cells."""

from __future__ import annotations

import csv
import io
import json
import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from pickle import UnpicklingError  # what torch raises for a file that is not plain data
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from phase_lib.base.errors import InputError, PhaseError
from phase_lib.base.files import sha256_file, writing
from phase_lib.base.progress import LOGGER, Ticker
from phase_lib.base.provenance import code_hash, code_version, settings_hash
from phase_lib.config.surrogate import SurrogateSettings
from phase_lib.dataset.loading import read_cells
from phase_lib.dataset.scaler import Scaler
from phase_lib.dataset.split import Split, read_split, tiles
from phase_lib.elm.netcdf import open_dataset
from phase_lib.surrogate.features import CellSource, Layout, Reader
from phase_lib.surrogate.loss import TASKS, total, training_losses, validation_losses
from phase_lib.surrogate.model import Phase
from phase_lib.surrogate.ood import Reference
from phase_lib.surrogate.targets import TargetCodec

MODEL, CHECKPOINT, HISTORY = "model.pt", "checkpoint.pt", "history.csv"
TERMS = (*TASKS, "physics", "loss")
#: Settings that leave the trained weights as they are.
_NEUTRAL = {"cache_gib", "checkpoint_seconds"}
_EVALUATION_CELLS = 512


def train(
    dataset_dir: str | Path,
    split_file: str | Path,
    normalization: str | Path,
    settings: SurrogateSettings,
    output_dir: str | Path,
    threads: int = 1,
) -> Path:
    """Trains PHASE and writes `model.pt` and `history.csv`.

    A training that was killed goes on from `checkpoint.pt` in the same directory and ends in the same
    weights, to the last bit, as one that was not; the checkpoint is removed at the end. A checkpoint of
    other data, settings or code is not used.

    Args:
        dataset_dir: the dataset's directory.
        split_file: which cells train and which choose the best epoch.
        normalization: scalings fitted on the same split, `normalization.nc`.
        settings: network, loss, optimiser.
        output_dir: where the files go.
        threads: CPU threads.

    Returns:
        Path of `model.pt`.

    Raises:
        InputError: files are missing, do not fit together, or the device is not there.
        PhaseError: the loss is no longer finite.
    """
    split = read_split(split_file, dataset_dir)
    scaler = Scaler.read(normalization)
    layout = Layout.read(dataset_dir)
    _require_scaled(normalization, layout, scaler, settings)
    index = read_cells(dataset_dir)
    provenance = {
        "dataset_id": index.dataset_id,
        "forcing": json.dumps({index.domains[0]: index.forcing[index.domains[0]]}),
        "split_sha256": sha256_file(split_file),
        "normalization_sha256": sha256_file(normalization),
        "settings_hash": settings_hash(settings.model_dump(mode="json", exclude=_NEUTRAL)),
        "code_version": code_version(),
    }
    directory = Path(output_dir)
    reader = Reader(Path(dataset_dir), layout, scaler, settings.preset)
    with computing(settings, threads) as device:
        run = _Run(
            settings=settings,
            model=_new_model(layout, scaler, settings).to(device),
            training=CellSource(reader, split.train, settings.cache_gib),
            validation=CellSource(reader, split.validation, settings.cache_gib),
            device=device,
            checkpoint=directory / CHECKPOINT,
            fingerprint=settings_hash([provenance, code_hash("surrogate/training"), torch.__version__]),
        )
        run.go()
        _write_history(directory / HISTORY, run.history)
        if settings.preset == "default":
            _fit_smearing(run.model, reader, split, device)
        reference = _fit_reference(run.model, reader, split, split_file, settings, device)
        content = {
            "layout": layout.to_dict(),
            "scaler": scaler.to_dict(),
            "settings": settings.model_dump(mode="json"),
            "state": {name: tensor.cpu() for name, tensor in run.model.state_dict().items()},
            "reference": reference.to_dict(),
            "best_epoch": run.best_epoch,
            "provenance": provenance,
        }
    save(directory / MODEL, content)
    run.checkpoint.unlink(missing_ok=True)
    return directory / MODEL


@contextmanager
def computing(settings: SurrogateSettings, threads: int) -> Iterator[torch.device]:
    """The device, with the given threads and, on the CPU, deterministic kernels; undone afterwards.

    Raises:
        InputError: the settings ask for a GPU and there is none.
    """
    if settings.device == "cuda" and not torch.cuda.is_available():
        raise InputError(None, "surrogate.device is cuda but no GPU is visible", remedy="set it to cpu")
    before, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(settings.device == "cpu")
    try:
        with torch.random.fork_rng():
            yield torch.device(settings.device)
    finally:
        torch.set_num_threads(before)
        torch.use_deterministic_algorithms(strict)


def save(path: Path, content: Mapping[str, Any]) -> None:
    """Writes plain tensors, numbers, strings and lists; the same content gives the same bytes."""
    # A buffer: written to a path, the archive would carry the temporary file's name.
    buffer = io.BytesIO()
    torch.save(dict(content), buffer)
    with writing(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())


def _require_scaled(path: str | Path, layout: Layout, scaler: Scaler, settings: SurrogateSettings) -> None:
    names = [f"Y_{name}" for name in layout.targets]
    if settings.preset == "default":
        names += [f"correction_{name}" for name in layout.targets]
    missing = [name for name in names if name not in scaler.scalings]
    if missing:
        raise InputError(
            path, f"holds no scaling of {missing[0]}", remedy="normalise again with this preset and dataset"
        )


def _new_model(layout: Layout, scaler: Scaler, settings: SurrogateSettings) -> Phase:
    torch.manual_seed(_seed(settings.seed, 0))
    return Phase(layout, TargetCodec(layout, scaler, settings), settings)


def _seed(seed: int, epoch: int) -> int:
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0])


def learning_rate(settings: SurrogateSettings, epoch: int) -> float:
    """Learning rate of an epoch (from 0): linear rise, then half a cosine down to 1 % of the peak."""
    if epoch < settings.warmup_epochs:
        return settings.learning_rate * (epoch + 1) / (settings.warmup_epochs + 1)
    progress = (epoch - settings.warmup_epochs) / max(1, settings.epochs - settings.warmup_epochs)
    return settings.learning_rate * (0.01 + 0.99 * 0.5 * (1.0 + math.cos(math.pi * progress)))


@dataclass
class _Run:
    """A training under way. Everything random depends on the seed and the number of the epoch alone."""

    settings: SurrogateSettings
    model: Phase
    training: CellSource
    validation: CellSource
    device: torch.device
    checkpoint: Path
    fingerprint: str
    epoch: int = 0
    best_epoch: int = 0
    best_loss: float = math.inf
    best_state: dict[str, Tensor] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        s = self.settings
        average = get_ema_multi_avg_fn(s.ema_decay)  # type: ignore[no-untyped-call]
        self._average = AveragedModel(self.model, multi_avg_fn=average)
        self._optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=s.learning_rate, weight_decay=s.weight_decay, fused=True
        )

    def go(self) -> None:
        """Trains to the end and leaves the best epoch's weights in the model."""
        self._resume()
        ticker = Ticker("epoch")
        saved = time.monotonic()
        while not self._finished:
            self._one_epoch()
            last = self.history[-1]
            ticker.tick(
                self.epoch,
                self.settings.epochs,
                f"validation loss {last['validation_loss']:.4f}, best {self.best_loss:.4f}",
            )
            if time.monotonic() - saved >= self.settings.checkpoint_seconds:
                self._write_checkpoint()
                saved = time.monotonic()
        self.model.load_state_dict(self.best_state)
        self.model.eval()
        LOGGER.info("best epoch %d, validation loss %.4f", self.best_epoch, self.best_loss)

    @property
    def _finished(self) -> bool:
        return self.epoch >= self.settings.epochs or self.epoch - self.best_epoch >= self.settings.patience

    def _one_epoch(self) -> None:
        begun = time.perf_counter()
        rate = learning_rate(self.settings, self.epoch)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self.epoch += 1
        found = {"epoch": float(self.epoch), "learning_rate": rate}
        found |= {f"train_{name}": value for name, value in self._train().items()}
        found |= {f"validation_{name}": value for name, value in self._validate().items()}
        found["seconds"] = time.perf_counter() - begun
        self.history.append(found)
        if not math.isfinite(found["train_loss"] + found["validation_loss"]):
            raise PhaseError(f"training diverged in epoch {self.epoch}: lower surrogate.learning_rate")
        if found["validation_loss"] < self.best_loss:
            self.best_loss, self.best_epoch = found["validation_loss"], self.epoch
            self.best_state = {n: t.clone() for n, t in self._average.module.state_dict().items()}

    def _train(self) -> dict[str, float]:
        torch.manual_seed(_seed(self.settings.seed, self.epoch))
        order = torch.Generator().manual_seed(_seed(self.settings.seed, self.epoch))
        self.model.train()
        sums = _Sums()
        for batch in self.training.batches(self.settings.batch_cells, order):
            found = training_losses(self.model, batch.to(self.device))
            loss = total(found, self.settings.lambda_physics)
            self._optimizer.zero_grad()
            torch.autograd.backward(loss)
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.gradient_clip)
            self._optimizer.step()
            self._average.update_parameters(self.model)
            sums.add({**found, "loss": loss}, len(batch))
        return sums.means()

    def _validate(self) -> dict[str, float]:
        self._average.eval()
        sums = _Sums()
        with torch.no_grad():
            for batch in self.validation.batches(_EVALUATION_CELLS):
                found = validation_losses(cast(Phase, self._average.module), batch.to(self.device))
                loss = total(found, self.settings.lambda_physics)
                sums.add({**found, "loss": loss}, len(batch))
        return sums.means()

    def _write_checkpoint(self) -> None:
        save(
            self.checkpoint,
            {
                "fingerprint": self.fingerprint,
                "epoch": self.epoch,
                "best_epoch": self.best_epoch,
                "best_loss": self.best_loss,
                "best_state": self.best_state,
                "history": self.history,
                "model": self.model.state_dict(),
                "average": self._average.state_dict(),
                "optimizer": self._optimizer.state_dict(),
            },
        )

    def _resume(self) -> None:
        if not self.checkpoint.is_file():
            return
        held = torch.load(self.checkpoint, map_location=self.device, weights_only=True)
        if held["fingerprint"] != self.fingerprint:
            LOGGER.info("%s is of other data, settings or code: training starts anew", self.checkpoint.name)
            return
        self.model.load_state_dict(held["model"])
        self._average.load_state_dict(held["average"])
        self._optimizer.load_state_dict(held["optimizer"])
        for name in ("epoch", "best_epoch", "best_loss", "best_state", "history"):
            setattr(self, name, held[name])
        LOGGER.info("training goes on after epoch %d", self.epoch)


class _Sums:
    """Means of losses over cells."""

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self._cells = 0

    def add(self, found: Mapping[str, Tensor], cells: int) -> None:
        for name, value in found.items():
            self._sums[name] = self._sums.get(name, 0.0) + float(value.detach()) * cells
        self._cells += cells

    def means(self) -> dict[str, float]:
        return {name: value / self._cells for name, value in self._sums.items()}


def _write_history(path: Path, history: list[dict[str, float]]) -> None:
    with writing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(history[0]))
        writer.writeheader()
        writer.writerows({**row, "epoch": int(row["epoch"])} for row in history)


def _fit_smearing(model: Phase, reader: Reader, split: Split, device: torch.device) -> None:
    """Makes the stocks of the training part, validation cells included, right on average."""
    tasks = ("patch", "layer")
    truth: dict[str, Tensor] = {}
    predicted: dict[str, Tensor] = {}
    with torch.no_grad():
        for piece in reader.pieces(split.train | split.validation):
            for rows in torch.arange(len(piece)).split(_EVALUATION_CELLS):  # type: ignore[no-untyped-call]
                batch = piece.take(rows).to(device)
                outputs = model.predict(batch)[0]
                for task in tasks:
                    mask = getattr(batch, f"{task}_mask")
                    for sums, values in ((truth, getattr(batch, task)), (predicted, getattr(outputs, task))):
                        added = torch.where(mask, values, 0.0).sum(0)
                        sums[task] = sums[task] + added if task in sums else added
        for task in tasks:
            model.codec.space(task).fit_smearing(truth[task], predicted[task])


def _fit_reference(
    model: Phase,
    reader: Reader,
    split: Split,
    split_file: str | Path,
    settings: SurrogateSettings,
    device: torch.device,
) -> Reference:
    """Latents of the training part, validation cells included, as reference for new cells."""
    part = split.train | split.validation
    latents = []
    with torch.no_grad():
        for piece in reader.pieces(part):
            for rows in torch.arange(len(piece)).split(_EVALUATION_CELLS):  # type: ignore[no-untyped-call]
                latents.append(model.predict(piece.take(rows).to(device))[1].cpu())
    group = np.arange(len(part))
    if split.kind == "block":
        with open_dataset(split_file) as dataset:
            group = tiles(split.lat, split.lon, float(dataset.block_degrees))
    return Reference.fit(torch.cat(latents), group[part], settings.seed)


@dataclass(frozen=True)
class TrainedModel:
    """A model as it was saved.

    Attributes:
        path: file.
        sha256: of the file.
        model: network in evaluation mode, on the CPU.
        layout: variables it was trained with.
        scaler: scalings fitted on its training cells.
        settings: as trained.
        reference: training cells in the latent space.
        provenance: what it was trained on, with which code.
    """

    path: Path
    sha256: str
    model: Phase
    layout: Layout
    scaler: Scaler
    settings: SurrogateSettings
    reference: Reference
    provenance: dict[str, str]


def load_model(path: str | Path) -> TrainedModel:
    """Reads `model.pt`; no code in the file is run.

    Raises:
        InputError: it is missing or no model of ours.
    """
    digest = sha256_file(path)
    try:
        held = torch.load(path, map_location="cpu", weights_only=True)
        layout = Layout(**held["layout"])
        scaler = Scaler.from_dict(held["scaler"])
        settings = SurrogateSettings(**held["settings"])
        model = Phase(layout, TargetCodec(layout, scaler, settings), settings)
        model.load_state_dict(held["state"])
        reference, provenance = Reference(**held["reference"]), held["provenance"]
    except (UnpicklingError, RuntimeError, KeyError, TypeError, ValueError, EOFError, OSError) as error:
        raise InputError(
            path, f"is no trained model ({type(error).__name__})", remedy="train again"
        ) from error
    model.eval()
    return TrainedModel(Path(path), digest, model, layout, scaler, settings, reference, provenance)
