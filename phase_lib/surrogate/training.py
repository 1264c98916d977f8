"""Training of an ensemble: deterministic, resumable, best epoch by validation cells."""

from __future__ import annotations

import csv
import io
import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
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
from phase_lib.dataset.layout import Layout
from phase_lib.dataset.loading import read_cells
from phase_lib.dataset.meaning import Meaning
from phase_lib.dataset.normalization import scaled_names
from phase_lib.dataset.scaler import Scaler
from phase_lib.dataset.split import Split, read_split, tiles
from phase_lib.elm.netcdf import get_attribute
from phase_lib.elm.products import open_product
from phase_lib.surrogate.ensemble import Ensemble
from phase_lib.surrogate.features import Batch, CellSource, Reader
from phase_lib.surrogate.loss import TASKS, counts, not_finite, total, training_losses, validation_losses
from phase_lib.surrogate.ood import Reference, drawn
from phase_lib.surrogate.pieces import Pieces
from phase_lib.surrogate.processes import Team, local_rank, process_team

MODEL, CHECKPOINT, HISTORY = "model.pt", "checkpoint.pt", "history.csv"
#: Settings that leave the trained weights as they are; device and processes stand in the provenance.
_NEUTRAL = {"checkpoint_seconds", "device", "gpus", "nodes"}
#: What a checkpoint holds beside the weights.
_PROGRESS = ("epoch", "best_epoch", "best_loss", "best_state", "history")
_EVALUATION_CELLS = 512


def train(
    dataset_dir: str | Path,
    split_file: str | Path,
    normalization: str | Path,
    settings: SurrogateSettings,
    output_dir: str | Path,
    threads: int = 1,
) -> Path:
    """Trains the surrogate and writes `model.pt` and `history.csv`.

    A training that was killed continues from `checkpoint.pt` in the same directory and ends in the same
    weights as one that was not: on the CPU with the same threads bit for bit, on a GPU up to rounding. A
    checkpoint of other data, settings, code, device or number of processes is not used. The checkpoint is
    removed at the end.

    Under torchrun each process reads a part of the cells and learns from its share of each mini-batch. The
    gradients add up to that of the whole mini-batch. The first process writes.

    Args:
        dataset_dir: the dataset's directory.
        split_file: which cells train and which choose the best epoch.
        normalization: scalings fitted on the same split, `normalization.nc`.
        settings: network, loss, optimiser.
        output_dir: where the files go.
        threads: CPU threads of a process.

    Raises:
        InputError: files are missing, do not fit together, or the device is not there.
        PhaseError: the loss is no longer finite, or another process failed.
    """
    directory = Path(output_dir)
    with computing(settings, threads) as device, process_team(device) as team:
        with team.all_or_none():
            split = read_split(split_file, dataset_dir)
            _require_cells(split_file, split, team)
            scaler = Scaler.read(normalization)
            layout = Layout.read(dataset_dir, settings.preset.kind, settings.leave_out)
            _require_scaled(normalization, layout, scaler)
            index = read_cells(dataset_dir)
            provenance = {
                "dataset_id": index.dataset_id,
                "forcing": json.dumps({index.domains[0]: index.forcing[index.domains[0]]}),
                "split_sha256": sha256_file(split_file),
                "normalization_sha256": sha256_file(normalization),
                "settings_hash": settings_hash(settings.model_dump(mode="json", exclude=_NEUTRAL)),
                "device": device.type,
                "processes": str(team.size),
            }
            meaning = Meaning.read(index.record_files[0][0], list(layout.dims()))
            code = code_hash("surrogate/training", settings.network.module)
            reader = Reader(Path(dataset_dir), layout, scaler)
            torch.manual_seed(_seed(settings.seed, 0))
            run = _Run(
                settings=settings,
                model=Ensemble(layout, scaler, settings).to(device),
                reader=reader,
                split=split,
                device=device,
                team=team,
                checkpoint=directory / CHECKPOINT,
                fingerprint=settings_hash([provenance, code, torch.__version__]),
            )
        LOGGER.info("training on %s", _described(device, team))
        run.fit()
        if settings.preset.kind == "default":
            run.fit_smearing()
        kept, latents = run.reference_latents()
        if team.first:
            reference = Reference.fit(latents, _groups(split, split_file)[kept])
            content = {
                "layout": layout.to_dict(),
                "meaning": asdict(meaning),
                "scaler": scaler.to_dict(),
                "settings": settings.model_dump(mode="json"),
                "state": {name: tensor.cpu() for name, tensor in run.model.state_dict().items()},
                "reference": reference.to_dict(),
                "best_epoch": run.best_epoch,
                "provenance": provenance | {"code_version": code_version()},
            }
            _write_history(directory / HISTORY, run.history)
            save(directory / MODEL, content)
            run.checkpoint.unlink(missing_ok=True)
    return directory / MODEL


@contextmanager
def computing(settings: SurrogateSettings, threads: int) -> Iterator[torch.device]:
    """The device, with the given threads and, on the CPU, deterministic kernels; undone afterwards.

    Raises:
        InputError: the settings ask for a GPU and there is none, or none for this process.
    """
    device = device_of(settings, local_rank())
    before, strict = torch.get_num_threads(), torch.get_deterministic_debug_mode()
    torch.set_num_threads(threads)
    # `use_deterministic_algorithms` would do the same, and import a compiler first: seconds in every job.
    torch.set_deterministic_debug_mode("error" if device.type == "cpu" else "default")
    try:
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            yield device
    finally:
        torch.set_num_threads(before)
        torch.set_deterministic_debug_mode(strict)


def device_of(settings: SurrogateSettings, number: int) -> torch.device:
    """Where a process of a node computes; `number` is that of the process on its node, from 0.

    Raises:
        InputError: the settings ask for a GPU and there is none, or none for this process.
    """
    if settings.device == "cpu" or (settings.device == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        what = "surrogate.device is cuda but no GPU is visible"
        raise InputError(None, what, remedy="set it to auto or cpu")
    if number >= torch.cuda.device_count():
        what = f"{torch.cuda.device_count()} GPUs are visible on this node"
        expected = f"{number + 1} or more, as many as processes"
        raise InputError(None, what, expected=expected, remedy="set surrogate.gpus to what a node has")
    return torch.device("cuda", number)


def _described(device: torch.device, team: Team) -> str:
    name = f"cuda ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else device.type
    return name if team.size == 1 else f"{team.size} processes, each on {name}"


def save(path: Path, content: Mapping[str, Any]) -> None:
    """Writes plain tensors, numbers, strings and lists; the same content gives the same bytes."""
    # A buffer: written to a path, the archive would carry the temporary file's name.
    buffer = io.BytesIO()
    torch.save(dict(content), buffer)
    with writing(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())


def _require_cells(path: str | Path, split: Split, team: Team) -> None:
    for part, cells in (("training", split.train), ("validation", split.validation)):
        if cells.sum() < team.size:
            expected = f"one or more for each of {team.size} processes"
            what = f"holds {cells.sum()} {part} cells"
            raise InputError(path, what, expected=expected, remedy="train on fewer GPUs")


def _require_scaled(path: str | Path, layout: Layout, scaler: Scaler) -> None:
    remedy = "normalise again with this dataset, surrogate.preset and surrogate.leave_out"
    wanted, scaled = scaled_names(layout), set(scaler.scalings)
    if wanted - scaled:
        raise InputError(path, f"holds no scaling of {min(wanted - scaled)}", remedy=remedy)
    if scaled - wanted:
        what = f"scales {min(scaled - wanted)}, which the network does not see"
        raise InputError(path, what, remedy=remedy)


def _seed(seed: int, epoch: int, rank: int = 0) -> int:
    # A trailing 0 changes nothing: the first of several processes draws as a single one does.
    return int(np.random.SeedSequence([seed, epoch, rank]).generate_state(1)[0])


def learning_rate(settings: SurrogateSettings, epoch: int) -> float:
    """Learning rate of an epoch (from 0): linear rise, then half a cosine down to 1 % of the peak."""
    if epoch < settings.warmup_epochs:
        return settings.learning_rate * (epoch + 1) / (settings.warmup_epochs + 1)
    progress = (epoch - settings.warmup_epochs) / max(1, settings.epochs - settings.warmup_epochs)
    return settings.learning_rate * (0.01 + 0.99 * 0.5 * (1.0 + math.cos(math.pi * progress)))


@dataclass
class _Run:
    """A training under way.

    All random numbers depend on the seed, the epoch and the process alone. All processes hold the same
    weights: they begin with the same and make the same steps.
    """

    settings: SurrogateSettings
    model: Ensemble
    reader: Reader
    split: Split
    device: torch.device
    team: Team
    checkpoint: Path
    fingerprint: str
    epoch: int = 0
    best_epoch: int = 0
    best_loss: float = math.inf
    best_state: dict[str, Tensor] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)
    _fault: str = ""
    _pieces: Pieces = field(default_factory=Pieces)

    def __post_init__(self) -> None:
        s, self._reference_part = self.settings, self.split.train | self.split.validation
        self._training, self._validation = (
            CellSource(self.reader, self.team.share(cells), s.cache_gib)
            for cells in (self.split.train, self.split.validation)
        )
        average = get_ema_multi_avg_fn(s.ema_decay)  # type: ignore[no-untyped-call]
        self._average = AveragedModel(self.model, multi_avg_fn=average)
        self._optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=s.learning_rate, weight_decay=s.weight_decay, fused=True
        )

    def fit(self) -> None:
        """Trains to the end and leaves the best epoch's weights in the model."""
        self._resume()
        ticker, written, s = Ticker("epoch"), time.monotonic(), self.settings
        while self.epoch < s.epochs and self.epoch - self.best_epoch < s.patience:
            self._one_epoch()
            loss = self.history[-1]["validation_loss"]
            ticker.tick(self.epoch, s.epochs, f"validation loss {loss:.4f}, best {self.best_loss:.4f}")
            if self.team.first and time.monotonic() - written >= s.checkpoint_seconds:
                self._write_checkpoint()
                written = time.monotonic()
        self.model.load_state_dict(self.best_state)
        self.model.eval()
        LOGGER.info("best epoch %d, validation loss %.4f", self.best_epoch, self.best_loss)

    def _one_epoch(self) -> None:
        begun = time.perf_counter()
        rate = learning_rate(self.settings, self.epoch)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self.epoch += 1
        terms = {"epoch": float(self.epoch), "learning_rate": rate}
        terms |= {f"train_{name}": value for name, value in self._train().items()}
        terms |= {f"validation_{name}": value for name, value in self._validate().items()}
        terms["seconds"] = time.perf_counter() - begun
        self.history.append(terms)
        with self.team.all_or_none():
            if self._fault or not math.isfinite(terms["train_loss"] + terms["validation_loss"]):
                where = self._fault or "the loss is not finite"
                remedy = "check the labels of this variable, or lower surrogate.learning_rate"
                raise PhaseError(f"training failed in epoch {self.epoch}: {where}; {remedy}")
        if terms["validation_loss"] < self.best_loss:
            self.best_loss, self.best_epoch = terms["validation_loss"], self.epoch
            self.best_state = {n: t.clone() for n, t in self._average.module.state_dict().items()}

    def _train(self) -> dict[str, float]:
        seed = _seed(self.settings.seed, self.epoch, self.team.rank)
        torch.manual_seed(seed)
        order = torch.Generator().manual_seed(seed)
        self.model.train()
        sums: dict[str, float] = {}
        batches = self._shares(self._training, self.settings.batch_cells, order)
        for number, batch in enumerate(batches, start=1):
            whole = self._counts(batch)
            self._optimizer.zero_grad()
            if batch is not None:
                terms = self._gradients(batch, whole, f"batch {number}")
                _add(sums, terms, whole, len(batch))
            self.team.sum_gradients(self.model.parameters())
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.gradient_clip)
            self._optimizer.step()
            self._average.update_parameters(self.model)
        return self._means(sums)

    def _gradients(self, batch: Batch, whole: Mapping[str, Tensor], where: str) -> dict[str, Tensor]:
        """Adds the gradients of this process's share of a mini-batch; its losses as parts of the whole."""

        def learn(piece: Batch) -> dict[str, Tensor]:
            terms = training_losses(self.model, piece, whole)
            loss = total(terms, self.settings)
            self._watch(loss, piece, where)
            torch.autograd.backward(loss)
            return {name: value.detach() for name, value in {**terms, "loss": loss}.items()}

        return _whole(self._pieces.over(batch, learn, self._optimizer.zero_grad))

    def _watch(self, loss: Tensor, batch: Batch, where: str) -> None:
        """Notes the first loss that is not finite; processes that train together stop at the epoch's end."""
        if self._fault or bool(torch.isfinite(loss)):
            return
        with torch.no_grad():
            answer = self.model.mean(self.model(batch))
            names = not_finite(self.reader.layout, self.model.codec, answer, batch)
        more = f" and of {len(names) - 1} more" if names[1:] else ""
        of_whom = f"of {names[0]}{more} " if names else ""
        self._fault = f"the error {of_whom}is not finite in {where}"

    def _validate(self) -> dict[str, float]:
        self._average.eval()
        model = cast(Ensemble, self._average.module)
        sums: dict[str, float] = {}
        with torch.no_grad():
            for batch in self._shares(self._validation, _EVALUATION_CELLS):
                whole = self._counts(batch)
                if batch is not None:
                    judge = partial(validation_losses, model, whole=whole)
                    terms = _whole(self._pieces.over(batch, judge))
                    loss = total(terms, self.settings)
                    self._watch(loss, batch, "the validation cells")
                    _add(sums, {**terms, "loss": loss}, whole, len(batch))
        return self._means(sums)

    def _shares(
        self, source: CellSource, size: int, order: torch.Generator | None = None
    ) -> Iterator[Batch | None]:
        """This process's share of each mini-batch; None where it has no cells left but others have."""
        portion = self.team.portion(size)
        batches = source.batches(portion, order)
        for _ in range(max(self.team.gather(source.count(portion)))):
            batch = next(batches, None)
            yield None if batch is None else batch.to(self.device)

    def _counts(self, batch: Batch | None) -> dict[str, Tensor]:
        """Counts of the whole mini-batch of which this is a share."""
        if batch is None:
            return self.team.sum(dict.fromkeys((*TASKS, "physics"), torch.zeros((), device=self.device)))
        return self.team.sum(counts(self.model.codec, batch))

    def _means(self, sums: Mapping[str, float]) -> dict[str, float]:
        """Means over the cells of all processes."""
        totals = {n: torch.tensor(v, dtype=torch.float64, device=self.device) for n, v in sums.items()}
        totals = self.team.sum(totals)
        cells = float(totals.pop("cells"))
        return {name: float(value) / cells for name, value in totals.items()}

    def _write_checkpoint(self) -> None:
        states = {name: part.state_dict() for name, part in self._learnt().items()}
        progress = {name: getattr(self, name) for name in _PROGRESS}
        save(self.checkpoint, {"fingerprint": self.fingerprint} | progress | states)

    def _learnt(self) -> dict[str, Any]:
        return {"model": self.model, "average": self._average, "optimizer": self._optimizer}

    def _resume(self) -> None:
        # Only the first process reads and judges it: all begin at the same epoch.
        saved = self.team.gather(self._read_checkpoint() if self.team.first else None)[0]
        if saved is None:
            return
        for name, part in self._learnt().items():
            part.load_state_dict(saved[name])
        for name in _PROGRESS:
            setattr(self, name, saved[name])
        LOGGER.info("training continues after epoch %d", self.epoch)

    def _read_checkpoint(self) -> dict[str, Any] | None:
        if not self.checkpoint.is_file():
            return None
        saved = cast(dict[str, Any], torch.load(self.checkpoint, map_location="cpu", weights_only=True))
        if saved["fingerprint"] == self.fingerprint:
            return saved
        LOGGER.info("%s is of other data, settings or code: training starts anew", self.checkpoint.name)
        return None

    def fit_smearing(self) -> None:
        """Makes the stocks of the training part, validation cells included, right on average."""
        tasks = ("patch", "layer")
        truth: dict[str, Tensor] = {}
        predicted: dict[str, Tensor] = {}
        with torch.no_grad():
            for batch in self._evaluated(self._reference_part):
                parts = self._pieces.over(batch, self.model.predict)
                for task in tasks:
                    mask = getattr(batch, f"{task}_mask")
                    answer = torch.cat([getattr(outputs, task) for outputs, _ in parts])
                    for sums, values in ((truth, getattr(batch, task)), (predicted, answer)):
                        added = torch.where(mask, values, 0.0).sum(0)
                        sums[task] = sums[task] + added if task in sums else added
            truth, predicted = self.team.sum(truth), self.team.sum(predicted)
            for task in tasks:
                self.model.codec.space(task).fit_smearing(truth[task], predicted[task])

    def reference_latents(self) -> tuple[np.ndarray, Tensor]:
        """Cells of the training part, validation cells included, with which new cells are compared.

        Returns:
            Which cells (gridcell, dataset order) and their fused latents (cell, latent).
        """
        part = np.flatnonzero(self._reference_part)
        kept = np.zeros(len(self.split.part), dtype=bool)
        kept[part[drawn(len(part), self.settings.seed)]] = True
        with torch.no_grad():
            latents = [
                latent.cpu()
                for batch in self._evaluated(kept)
                for _, latent in self._pieces.over(batch, self.model.predict)
            ]
        return kept, torch.cat(self.team.gather(torch.cat(latents)))

    def _evaluated(self, cells: np.ndarray) -> Iterator[Batch]:
        """This process's share of the cells in dataset order, in mini-batches for evaluation."""
        for piece in self.reader.pieces(self.team.share(cells)):
            for rows in torch.arange(len(piece)).split(_EVALUATION_CELLS):  # type: ignore[no-untyped-call]
                yield piece.take(rows).to(self.device)


def _whole(parts: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Losses of a mini-batch from those of its pieces, which are parts of the whole."""
    return {name: torch.stack([part[name] for part in parts]).sum() for name in parts[0]}


def _add(
    sums: dict[str, float], terms: Mapping[str, Tensor], whole: Mapping[str, Tensor], cells: int
) -> None:
    """Adds a share's losses, weighted by the cells of the whole mini-batch, and the share's cells."""
    for name, value in terms.items():
        sums[name] = sums.get(name, 0.0) + float(value.detach()) * float(whole["physics"])
    sums["cells"] = sums.get("cells", 0.0) + cells


def _write_history(path: Path, history: list[dict[str, float]]) -> None:
    with writing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(history[0]))
        writer.writeheader()
        writer.writerows({**row, "epoch": int(row["epoch"])} for row in history)


def _groups(split: Split, split_file: str | Path) -> np.ndarray:
    """Which cells are held out together (gridcell): tiles of a blocked split, else each by itself."""
    if split.kind != "block":
        return np.arange(len(split.part))
    with open_product(split_file, ()) as dataset:
        return tiles(split.lat, split.lon, float(get_attribute(split_file, dataset, "block_degrees")))


@dataclass(frozen=True)
class TrainedModel:
    """A model as it was saved.

    Attributes:
        sha256: of the file.
        model: network in evaluation mode, on the CPU.
        layout: variables it was trained with.
        meaning: what these are: units, mode, parameters.
        scaler: scalings fitted on its training cells.
        settings: as trained.
        reference: training cells in the latent space.
        provenance: what it was trained on, with which code.
    """

    sha256: str
    model: Ensemble
    layout: Layout
    meaning: Meaning
    scaler: Scaler
    settings: SurrogateSettings
    reference: Reference
    provenance: dict[str, str]

    @property
    def trained_on(self) -> str:
        """Device of the training, and how many where it was more than one: `4 x cuda`."""
        device, processes = self.provenance["device"], self.provenance["processes"]
        return device if processes == "1" else f"{processes} x {device}"


def load_model(path: str | Path) -> TrainedModel:
    """Reads `model.pt`; no code in the file is run.

    Raises:
        InputError: it is missing or no trained model.
    """
    digest = sha256_file(path)
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
        layout, meaning = Layout(**saved["layout"]), Meaning(**saved["meaning"])
        scaler = Scaler.from_dict(saved["scaler"])
        settings = SurrogateSettings(**saved["settings"])
        model = Ensemble(layout, scaler, settings)
        model.load_state_dict(saved["state"])
        reference, provenance = Reference(**saved["reference"]), saved["provenance"]
    except (UnpicklingError, RuntimeError, KeyError, TypeError, ValueError, EOFError, OSError) as error:
        what = f"is no trained model ({type(error).__name__})"
        raise InputError(path, what, remedy="train again") from error
    model.eval()
    return TrainedModel(digest, model, layout, meaning, scaler, settings, reference, provenance)
