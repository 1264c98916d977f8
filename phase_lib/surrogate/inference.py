"""What a trained surrogate says of cells: pools, fluxes and how far they are from the training cells."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from phase_lib.base.errors import InputError
from phase_lib.base.progress import LOGGER
from phase_lib.dataset.loading import CellIndex, describe, load_dataset, read_cells
from phase_lib.dataset.split import read_split
from phase_lib.elm.soil_grid import NLEVDECOMP
from phase_lib.elm.variables import HEADLINE
from phase_lib.surrogate.baselines import analogue, state20
from phase_lib.surrogate.features import FLUX_TARGETS, Batch, Reader
from phase_lib.surrogate.model import Phase
from phase_lib.surrogate.skill import write_test_file
from phase_lib.surrogate.training import TrainedModel, computing, load_model

_CHUNK = 512


@dataclass(frozen=True)
class CellPredictions:
    """Predictions for some cells, in dataset order.

    Attributes:
        pools: restart name -> (cell, natpft), NaN where the PFT has no cover, or (cell, levdecomp);
            normal mode, restart units.
        fluxes: GPP, NPP and AR (cell), gC m-2 yr-1.
        score: distance to the training cells in the fused latent space (cell).
    """

    pools: dict[str, np.ndarray]
    fluxes: dict[str, np.ndarray]
    score: np.ndarray

    @staticmethod
    def join(pieces: Sequence[CellPredictions]) -> CellPredictions:
        """Cells of several pieces, in order."""
        return CellPredictions(
            {name: np.concatenate([piece.pools[name] for piece in pieces]) for name in pieces[0].pools},
            {name: np.concatenate([piece.fluxes[name] for piece in pieces]) for name in pieces[0].fluxes},
            np.concatenate([piece.score for piece in pieces]),
        )


@contextmanager
def predicting(trained: TrainedModel, threads: int) -> Iterator[Callable[[Batch], CellPredictions]]:
    """What answers for the cells of a batch; the answers depend on the batch alone.

    Args:
        trained: model.
        threads: CPU threads.

    Raises:
        InputError: the model is for a GPU and there is none.
    """
    with computing(trained.settings, threads) as device, torch.no_grad():
        model = trained.model.to(device)
        LOGGER.debug("predicting on %s", device)

        def answer(batch: Batch) -> CellPredictions:
            rows = torch.arange(len(batch)).split(_CHUNK)  # type: ignore[no-untyped-call]
            return CellPredictions.join([_answer(trained, model, batch.take(some), device) for some in rows])

        yield answer
        model.to("cpu")


def _answer(trained: TrainedModel, model: Phase, batch: Batch, device: torch.device) -> CellPredictions:
    outputs, latent = model.predict(batch.to(device))
    patch = np.where(batch.covered.numpy()[..., None], outputs.patch.cpu().numpy(), np.float32(np.nan))
    layer, flux = outputs.layer.cpu().numpy(), outputs.flux.cpu().numpy()
    pools = {name: patch[..., i] for i, name in enumerate(trained.layout.patch_targets)}
    pools |= {name: layer[..., i] for i, name in enumerate(trained.layout.layer_targets)}
    fluxes = {name: flux[:, i] for i, name in enumerate(FLUX_TARGETS)}
    return CellPredictions(pools, fluxes, trained.reference.score(latent.cpu()))


def reader_of(trained: TrainedModel, dataset_dir: str | Path) -> Reader:
    """Reads the inputs of a model from a dataset; labels are not read.

    Raises:
        InputError: the dataset lacks an input.
    """
    trained.layout.require_in(dataset_dir)
    return Reader(Path(dataset_dir), trained.layout, trained.scaler, trained.settings.preset, labels=False)


def predict_cells(
    trained: TrainedModel, dataset_dir: str | Path, cells: np.ndarray, threads: int = 1
) -> CellPredictions:
    """Predicts some cells of a dataset.

    Args:
        trained: model.
        dataset_dir: dataset with the inputs of the model.
        cells: True for cells to predict (gridcell, dataset order), at least one; their inputs must be
            complete.
        threads: CPU threads.

    Raises:
        InputError: the dataset lacks an input, or an input is NaN.
    """
    reader = reader_of(trained, dataset_dir)
    with predicting(trained, threads) as answer:
        return CellPredictions.join([answer(piece) for piece in reader.pieces(cells)])


def write_test_predictions(
    model: str | Path,
    dataset_dir: str | Path,
    split_file: str | Path,
    output: str | Path,
    threads: int = 1,
    paper: str | Path | None = None,
    baselines: bool = True,
) -> None:
    """Writes truth and the predictions of `phase`, `state20` and `analogue` on the test cells.

    The file also says each network's settings (`settings_<model>`) and how far its fluxes are from a closed
    carbon balance (`flux_imbalance_<model>`, gC m-2 yr-1): the root mean square of NPP - (GPP - AR) over
    the test cells.

    Args:
        model: model trained with this split.
        dataset_dir: the dataset's directory.
        split_file: whose test cells.
        output: `test_<split>.nc`.
        threads: CPU threads.
        paper: model of the paper's preset, trained with the same split, to set beside it as `paper`.
        baselines: False leaves out `state20` and `analogue`, which need no model.

    Raises:
        InputError: the files do not fit together.
    """
    split = read_split(split_file, dataset_dir)
    index = read_cells(dataset_dir)
    trained = _load_trained_on(model, index)
    names = {short: name for short, name in HEADLINE.items() if name in trained.layout.targets}
    variables = list(names.values())
    truth = load_dataset(dataset_dir, [f"Y_{name}" for name in variables], split.test)
    networks = {"phase": trained}
    if paper is not None:
        networks["paper"] = _load_trained_on(paper, index)
    found = {
        name: predict_cells(network, dataset_dir, split.test, threads) for name, network in networks.items()
    }
    models = {name: cells.pools for name, cells in found.items()}
    if baselines:
        models["state20"] = state20(dataset_dir, variables, split.test)
        models["analogue"] = analogue(dataset_dir, variables, split.train | split.validation, split.test)
    patch = {name: name in trained.layout.patch_targets for name in variables}
    covered = index.covered[split.test]
    masks = {
        short: covered if patch[name] else np.ones((len(covered), NLEVDECOMP), dtype=bool)
        for short, name in names.items()
    }
    info = describe(dataset_dir)
    write_test_file(
        output,
        cell=index.cell[split.test],
        lat=index.lat[split.test],
        lon=index.lon[split.test],
        truth={short: truth[f"Y_{name}"] for short, name in names.items()},
        mask=masks,
        predictions={m: {short: p[name] for short, name in names.items()} for m, p in models.items()},
        dims={short: "natpft" if patch[name] else "levdecomp" for short, name in names.items()},
        units={short: info[f"Y_{name}"].units for short, name in names.items()},
        attributes={
            "split": split.kind,
            "preset": trained.settings.preset,
            **{f"settings_{name}": _as_json(network) for name, network in networks.items()},
            **{f"flux_imbalance_{name}": _imbalance(cells.fluxes) for name, cells in found.items()},
            "model_sha256": trained.sha256,
            "dataset_id": index.dataset_id,
        },
    )


def _load_trained_on(model: str | Path, index: CellIndex) -> TrainedModel:
    trained = load_model(model)
    if trained.provenance["dataset_id"] != index.dataset_id:
        raise InputError(model, "was trained on another dataset", remedy="train again")
    return trained


def _as_json(network: TrainedModel) -> str:
    return json.dumps(network.settings.model_dump(mode="json"), sort_keys=True)


def _imbalance(fluxes: Mapping[str, np.ndarray]) -> float:
    """Root mean square of NPP - (GPP - AR), gC m-2 yr-1."""
    gpp, npp, ar = (fluxes[name].astype(np.float64) for name in ("GPP", "NPP", "AR"))
    return float(np.sqrt(np.mean((npp - (gpp - ar)) ** 2)))
