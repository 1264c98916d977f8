"""Predictions: every cell's near-equilibrium pools with an out-of-distribution flag, and the test cells'."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import torch

from phase_lib.base.errors import InputError
from phase_lib.base.progress import LOGGER, Ticker
from phase_lib.base.provenance import code_version
from phase_lib.config.ood import OodSettings
from phase_lib.dataset.joining import refuse_other_forcing
from phase_lib.dataset.loading import CellIndex, describe, load_dataset, read_cells
from phase_lib.dataset.split import PARTS, Split, read_split
from phase_lib.elm.constants import NATPFT
from phase_lib.elm.netcdf import create_dataset
from phase_lib.elm.pools import HEADLINE
from phase_lib.elm.soil_grid import NLEVDECOMP
from phase_lib.surrogate.baselines import analogue, state20
from phase_lib.surrogate.features import FLUX_TARGETS, Reader
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


def predict_cells(
    trained: TrainedModel, dataset_dir: str | Path, cells: np.ndarray, threads: int = 1
) -> CellPredictions:
    """Predicts some cells of a dataset.

    Args:
        trained: model.
        dataset_dir: dataset with the inputs of the model; labels are not read.
        cells: True for cells to predict (gridcell, dataset order); their inputs must be complete.
        threads: CPU threads.

    Raises:
        InputError: the dataset lacks an input, or an input is NaN.
    """
    layout = trained.layout
    layout.require_in(dataset_dir)
    reader = Reader(Path(dataset_dir), layout, trained.scaler, trained.settings.preset, labels=False)
    count = int(np.count_nonzero(cells))
    patch = np.empty((count, NATPFT, len(layout.patch_targets)), dtype=np.float32)
    layer = np.empty((count, NLEVDECOMP, len(layout.layer_targets)), dtype=np.float32)
    flux = np.empty((count, len(FLUX_TARGETS)), dtype=np.float32)
    score = np.empty(count)
    ticker, done = Ticker("cell"), 0
    with computing(trained.settings, threads) as device, torch.no_grad():
        model = trained.model.to(device)
        for piece in reader.pieces(cells):
            for rows in torch.arange(len(piece)).split(_CHUNK):  # type: ignore[no-untyped-call]
                batch = piece.take(rows)
                outputs, latent = model.predict(batch.to(device))
                place = slice(done, done + len(batch))
                absent = ~batch.covered.numpy()[..., None]
                patch[place] = np.where(absent, np.nan, outputs.patch.cpu().numpy())
                layer[place] = outputs.layer.cpu().numpy()
                flux[place] = outputs.flux.cpu().numpy()
                score[place] = trained.reference.score(latent.cpu())
                done += len(batch)
                ticker.tick(done, count)
        model.to("cpu")
    pools = {name: patch[..., i] for i, name in enumerate(layout.patch_targets)}
    pools |= {name: layer[..., i] for i, name in enumerate(layout.layer_targets)}
    return CellPredictions(pools, {name: flux[:, i] for i, name in enumerate(FLUX_TARGETS)}, score)


def predict(
    model: str | Path,
    dataset_dir: str | Path,
    output: str | Path,
    ood: OodSettings,
    run_name: str,
    split_file: str | Path | None = None,
    threads: int = 1,
    domain: str | None = None,
    accept_forcing: bool = False,
) -> None:
    """Writes `predictions.nc` for all cells of a domain's restart, in the restart's order.

    A cell whose inputs are not complete cannot be predicted: its values and its score are NaN, `predicted`
    is 0, and it is flagged. Flagged cells also get the state of their nearest training cell as
    `analogue_<name>`, where the split says which cells those are.

    Args:
        model: `model.pt`.
        dataset_dir: dataset of the cells to predict.
        output: file to write.
        ood: quantile of the threshold, and action.
        run_name: name of the run.
        split_file: split that the model was trained with; None where the dataset is another one.
        threads: CPU threads.
        domain: which domain of the dataset; the only one if None.
        accept_forcing: let the domain have forcing of another product or reduction than the model's.

    Raises:
        InputError: the dataset lacks inputs or cells of the restart, or analogues are asked for
            without a split.
    """
    trained = load_model(model)
    index = read_cells(dataset_dir)
    ours = index.of_domain(domain)
    if not accept_forcing:
        ((source, forcing),) = json.loads(trained.provenance["forcing"]).items()
        name = index.domains[index.domain[ours][0]]
        refuse_other_forcing(forcing, index.forcing[name], index.path, (source, name))
    rows = index.cell[ours]
    if not np.array_equal(np.sort(rows), np.arange(len(rows))):
        raise InputError(
            index.path,
            "does not hold every cell of the restart once",
            expected=f"cells 0 to {len(rows) - 1}",
            remedy="fuse all cells of the restart",
        )
    if split_file is None and ood.action == "analogue":
        raise InputError(
            dataset_dir, "holds no training cells", remedy="set ood.action to keep or predict for this domain"
        )
    split = None if split_file is None else read_split(split_file, dataset_dir)
    complete = ours & index.complete
    if not complete.any():
        raise InputError(
            index.path, "no cell has complete inputs", remedy="see cleaning.json for the reasons"
        )
    found = predict_cells(trained, dataset_dir, complete, threads)
    threshold = trained.reference.threshold(ood.quantile)
    flagged = ours.copy()
    flagged[complete] = found.score > threshold
    analogues = _analogues(dataset_dir, list(found.pools), split, flagged & complete)
    LOGGER.info(
        "%d of %d cells are out of distribution, %d of them for want of complete inputs",
        flagged.sum(),
        len(rows),
        len(rows) - complete.sum(),
    )
    units = {name: info.units for name, info in describe(dataset_dir).items()}
    with create_dataset(output) as dataset:
        for key, value in {
            "title": "PHASE predictions of the near-equilibrium state",
            "label_space": "normal",
            "run_name": run_name,
            "preset": trained.settings.preset,
            "model_sha256": trained.sha256,
            "dataset_id": index.dataset_id,
            "code_version": code_version(),
        }.items():
            dataset.setncattr(key, value)
        for dim, size in (("gridcell", len(rows)), ("natpft", NATPFT), ("levdecomp", NLEVDECOMP)):
            dataset.createDimension(dim, size)
        writer = _Writer(dataset, index.cell)
        writer.put("lat", index.lat[ours], "degrees_north", ours)
        writer.put("lon", index.lon[ours], "degrees_east", ours)
        for name, values in found.pools.items():
            writer.put(name, values, units[f"state20_{name}"], complete)
        for name, values in found.fluxes.items():
            writer.put(name, values, units[name], complete)
        for name, values in analogues.items():
            writer.put(f"analogue_{name}", values, units[f"state20_{name}"], flagged & complete)
        writer.put("ood_score", found.score, "1", complete)
        writer.put("ood_flag", flagged[ours].astype(np.int8), "1", ours)
        writer.put("predicted", index.complete[ours].astype(np.int8), "1", ours)
        dataset["predicted"].flag_values = np.array([0, 1], dtype=np.int8)
        dataset["predicted"].flag_meanings = "inputs_incomplete predicted"
        dataset["ood_flag"].flag_values = np.array([0, 1], dtype=np.int8)
        dataset["ood_flag"].flag_meanings = "in_distribution out_of_distribution"
        dataset.ood_threshold = threshold
        if split is not None:
            writer.put("split_part", split.part[ours], "1", ours)
            dataset["split_part"].flag_values = np.array(list(PARTS.values()), dtype=np.int8)
            dataset["split_part"].flag_meanings = " ".join(PARTS)


def _analogues(
    dataset_dir: str | Path, names: list[str], split: Split | None, cells: np.ndarray
) -> dict[str, np.ndarray]:
    if split is None:
        return {}
    return analogue(dataset_dir, names, split.train | split.validation, cells) if cells.any() else {}


@dataclass(frozen=True)
class _Writer:
    """Puts values in dataset order into variables in the restart's order.

    Attributes:
        dataset: file that is written.
        row: row of each cell in its restart (gridcell, dataset order).
    """

    dataset: netCDF4.Dataset
    row: np.ndarray

    def put(self, name: str, values: np.ndarray, units: str, cells: np.ndarray) -> None:
        """Writes a variable; cells that `values` leaves out are NaN.

        Args:
            name: variable.
            values: (cell, ...), one for each True of `cells`.
            units: units attribute.
            cells: (gridcell, dataset order).
        """
        level = {NATPFT: "natpft", NLEVDECOMP: "levdecomp"}
        dims = ("gridcell", *(level[size] for size in values.shape[1:]))
        whole = values.dtype.kind == "i"
        kind: Any = values.dtype if whole else np.float64
        fill = None if whole else np.nan
        ordered = np.full(
            (self.dataset.dimensions["gridcell"].size, *values.shape[1:]), 0 if whole else np.nan, dtype=kind
        )
        ordered[self.row[cells]] = values
        variable = self.dataset.createVariable(name, kind, dims, fill_value=fill)
        variable.units = units
        variable[:] = ordered


def write_test_predictions(
    model: str | Path,
    dataset_dir: str | Path,
    split_file: str | Path,
    output: str | Path,
    threads: int = 1,
    paper: str | Path | None = None,
) -> None:
    """Writes truth and the predictions of `phase`, `state20` and `analogue` on the test cells.

    Args:
        model: model trained with this split.
        dataset_dir: the dataset's directory.
        split_file: whose test cells.
        output: `test_<split>.nc`.
        threads: CPU threads.
        paper: model of the paper's preset, trained with the same split, to set beside it as `paper`.

    Raises:
        InputError: the files do not fit together.
    """
    split = read_split(split_file, dataset_dir)
    index = read_cells(dataset_dir)
    trained = _load_trained_on(model, index)
    names = {short: name for short, name in HEADLINE.items() if name in trained.layout.targets}
    variables = list(names.values())
    truth = load_dataset(dataset_dir, [f"Y_{name}" for name in variables], split.test)
    models = {
        "phase": predict_cells(trained, dataset_dir, split.test, threads).pools,
        **({} if paper is None else {"paper": _pools_of(paper, index, dataset_dir, split, threads)}),
        "state20": state20(dataset_dir, variables, split.test),
        "analogue": analogue(dataset_dir, variables, split.train | split.validation, split.test),
    }
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
            "model_sha256": trained.sha256,
            "dataset_id": index.dataset_id,
        },
    )


def _load_trained_on(model: str | Path, index: CellIndex) -> TrainedModel:
    trained = load_model(model)
    if trained.provenance["dataset_id"] != index.dataset_id:
        raise InputError(model, "was trained on another dataset", remedy="train again")
    return trained


def _pools_of(
    model: str | Path, index: CellIndex, dataset_dir: str | Path, split: Split, threads: int
) -> dict[str, np.ndarray]:
    return predict_cells(_load_trained_on(model, index), dataset_dir, split.test, threads).pools
