"""The predictions file of a target domain, written one record file at a time, in one job or in several."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import dask.array as da
import netCDF4
import numpy as np
import xarray as xr

from phase_lib.base.errors import InputError
from phase_lib.base.files import UNFINISHED, directory_for, refused_as_input
from phase_lib.base.progress import LOGGER, Ticker
from phase_lib.config.ood import OodSettings
from phase_lib.dataset.joining import refuse_other_forcing
from phase_lib.dataset.layout import FLUX_TARGETS
from phase_lib.dataset.loading import CellIndex, describe, read_cells
from phase_lib.dataset.meaning import Meaning
from phase_lib.dataset.split import PARTS, Split, read_split
from phase_lib.elm.constants import NATPFT
from phase_lib.elm.netcdf import get_variable
from phase_lib.elm.products import (
    COORDINATES,
    Variables,
    cell_coordinates,
    creating,
    flags,
    layer_coordinates,
    open_product,
    pft_coordinates,
    variable,
)
from phase_lib.elm.soil_grid import NLEVDECOMP
from phase_lib.surrogate.baselines.analogue import Analogue
from phase_lib.surrogate.inference import predicting, reader_of
from phase_lib.surrogate.predictor import Predictions, Task
from phase_lib.surrogate.training import TrainedModel, load_model

#: What only a share has: the row of each cell in its restart, and how many rows there are.
_ROW, _ROWS = "row", "restart_rows"
#: Attributes that are made in writing.
_ENCODED = ("_FillValue", "coordinates")


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
    accept_parameters: bool = False,
    share: tuple[int, int] = (1, 1),
) -> None:
    """Writes `predictions.nc` for all cells of a domain's restart, in the restart's order, or a share of it.

    A cell without complete inputs cannot be predicted: its values and its score are NaN, `predicted` is 0,
    and it is flagged. Where there is a split, flagged cells also receive the state of their nearest
    training cell as `analogue_<name>`.

    One record file of the dataset is in memory at a time, whatever the number of cells.

    Args:
        model: `model.pt`.
        dataset_dir: dataset of the cells to predict.
        output: file to write; one of several shares is for `join_predictions`.
        ood: quantile of the threshold, and action.
        run_name: name of the run.
        split_file: split that the model was trained with; None where the dataset is another one.
        threads: CPU threads.
        domain: which domain of the dataset; the only one if None.
        accept_forcing: accept forcing of another product or reduction than that of the training.
        accept_parameters: accept other PFT parameters than those of the training.
        share: which share of the record files, and of how many: (2, 8) is the second of eight.

    Raises:
        InputError: the dataset lacks inputs or cells of the restart, or they have other units, are of another
            mode, or of runs with other parameters or forcing than the training data; or `ood.action` asks for
            analogues without a split.
    """
    trained, index = load_model(model), read_cells(dataset_dir)
    inside = index.of_domain(domain)
    trained.layout.require_in(dataset_dir)
    records = index.record_files[index.record_file[inside][0]][0]
    meaning = Meaning.read(records, trained.layout.input_names())
    trained.meaning.require_in(meaning, records, accept_parameters=accept_parameters)
    count = int(inside.sum())
    if not accept_forcing:
        ((source, forcing),) = json.loads(trained.provenance["forcing"]).items()
        name = index.domains[index.domain[inside][0]]
        refuse_other_forcing(forcing, index.forcing[name], index.path, (source, name))
    _require_all_rows(index.path, index.cell[inside], count, "fuse all cells of the restart")
    if split_file is None and ood.action == "analogue":
        remedy = "set ood.action to keep or predict for this domain"
        raise InputError(dataset_dir, "holds no training cells", remedy=remedy)
    split = None if split_file is None else read_split(split_file, dataset_dir)
    if not (inside & index.complete).any():
        remedy = "see cleaning.json for the reasons"
        raise InputError(index.path, "no cell has complete inputs", remedy=remedy)
    attributes = {
        "title": "PHASE predictions of the near-equilibrium state",
        "label_space": "normal",
        "run_name": run_name,
        "preset": trained.layout.preset,
        "model_sha256": trained.sha256,
        "trained_on": trained.trained_on,
        "dataset_id": index.dataset_id,
        _ROWS: count,
        "ood_threshold": trained.reference.threshold(ood.quantile),
    }
    job = _Job(trained, Path(dataset_dir), index, _share(index, inside, share), split, attributes)
    if share[1] > 1:
        job.write(output, threads)
        return
    with directory_for(output) as place:
        with refused_as_input(output):
            scratch = TemporaryDirectory(dir=place, prefix=".predictions.", suffix=UNFINISHED)
        with scratch as directory:
            whole = Path(directory) / "whole.nc"
            job.write(whole, threads)
            join_predictions([whole], output)


def _require_all_rows(path: str | Path, rows: np.ndarray, count: int, remedy: str) -> None:
    if not np.array_equal(np.sort(rows), np.arange(count)):
        what = "does not hold every cell of the restart once"
        raise InputError(path, what, expected=f"cells 0 to {count - 1}", remedy=remedy)


def _share(index: CellIndex, cells: np.ndarray, share: tuple[int, int]) -> np.ndarray:
    """The cells of a share of the record files (gridcell): whole files, so mini-batches do not change."""
    number, shares = share
    files = np.unique(index.record_file[cells])
    first, end = (len(files) * i // shares for i in (number - 1, number))
    return cells & np.isin(index.record_file, files[first:end])


@dataclass(frozen=True)
class _Job:
    """Predictions of some cells of a target (gridcell, dataset order), with complete inputs or not.

    `attributes` are those of the file; `ood_threshold` among them decides which cells are flagged.
    """

    trained: TrainedModel
    dataset_dir: Path
    index: CellIndex
    cells: np.ndarray
    split: Split | None
    attributes: dict[str, Any]

    def write(self, output: str | Path, threads: int) -> None:
        """Writes the cells in dataset order, one record file of the dataset after the other."""
        positions = np.flatnonzero(self.cells)
        score = np.full(len(positions), np.nan)
        flag = np.ones(len(positions), dtype=np.int8)
        # Cells without complete inputs are never written: they keep the fill value, NaN.
        with creating(output, self._template(), masked=True) as file:
            for cells, predictions in self._predictions(threads):
                place, flagged = np.searchsorted(positions, cells), self._flagged(predictions)
                for name, values in (*predictions.pools.items(), *predictions.fluxes.items()):
                    _put(file[name], place, values)
                score[place], flag[place] = predictions.score, flagged
                if flagged.any() and self._analogue is not None:
                    for name, values in self._analogue.predict(cells[flagged]).pools.items():
                        _put(file[f"analogue_{name}"], place[flagged], values)
            file["ood_score"][:], file["ood_flag"][:] = score, flag

    def _flagged(self, predictions: Predictions) -> np.ndarray:
        return np.asarray(predictions.score > self.attributes["ood_threshold"])

    def _predictions(self, threads: int) -> Iterator[tuple[np.ndarray, Predictions]]:
        """Positions and predictions of the cells with complete inputs, of one record file after another."""
        reader = reader_of(self.trained, self.dataset_dir)
        complete = self.cells & self.index.complete
        ticker, done, count = Ticker("cell"), 0, int(complete.sum())
        with predicting(self.trained, threads) as answer:
            for positions, batch in reader.numbered(complete):
                yield positions, answer(batch)
                done += len(positions)
                ticker.tick(done, count)

    @cached_property
    def _analogue(self) -> Analogue | None:
        """Nearest training cells; None without a split. It reads all training cells."""
        if self.split is None:
            return None
        training = self.split.train | self.split.validation
        return Analogue(Task(self.dataset_dir, self.index, self.trained.layout.targets, training))

    def _template(self) -> xr.Dataset:
        """The file without what is predicted; variables in the order of the final file."""
        index, cells, layout = self.index, self.cells, self.trained.layout
        info, count = describe(self.dataset_dir), int(self.cells.sum())
        sizes = {"natpft": NATPFT, "levdecomp": NLEVDECOMP}
        levels = dict.fromkeys(layout.patch_targets, "natpft")
        levels |= dict.fromkeys(layout.layer_targets, "levdecomp")

        def pools(prefix: str, words: str) -> Variables:
            return {
                f"{prefix}{name}": variable(
                    ("gridcell", level),
                    da.empty((count, sizes[level]), chunks=-1),
                    info[f"state20_{name}"].units,
                    f"{name} {words}, normal mode",
                )
                for name, level in levels.items()
            }

        empty, codes = da.empty(count, chunks=-1), da.empty(count, dtype=np.int8, chunks=-1)
        fluxes = {
            name: variable("gridcell", empty, info[name].units, f"{name} as predicted")
            for name in FLUX_TARGETS
        }
        flagged = {"in_distribution": 0, "out_of_distribution": 1}
        predicted = {"inputs_incomplete": 0, "predicted": 1}
        fields = pools("", "as predicted") | fluxes
        if self.split is not None:
            fields |= pools("analogue_", "of the nearest training cell")
        fields |= {
            "ood_score": variable("gridcell", empty, "1", "distance to the training cells in latent space"),
            "ood_flag": flags("gridcell", codes, "out-of-distribution flag", flagged),
            "predicted": flags("gridcell", index.complete[cells], "whether the cell is predicted", predicted),
        }
        if self.split is not None:
            fields["split_part"] = flags("gridcell", self.split.part[cells], "part of the split", PARTS)
        fields[_ROW] = variable("gridcell", index.cell[cells], "1", "row of the cell in its restart, from 0")
        return xr.Dataset(fields, _coordinates(index.lat[cells], index.lon[cells]), self.attributes)


def _coordinates(lat: np.ndarray, lon: np.ndarray) -> Variables:
    return cell_coordinates(lat, lon) | pft_coordinates() | layer_coordinates()


def _put(variable: netCDF4.Variable, place: np.ndarray, values: np.ndarray) -> None:
    """Writes values at ascending places, in as few slabs as there are runs of neighbours."""
    for run in np.split(np.arange(len(place)), np.flatnonzero(np.diff(place) > 1) + 1):
        if len(run):
            variable[place[run[0]] : place[run[-1]] + 1] = values[run]


def join_predictions(shares: Sequence[str | Path], output: str | Path) -> None:
    """Writes `predictions.nc` from its shares: the same file, whatever their number.

    Variables go through memory one at a time.

    Args:
        shares: files that `predict` wrote for all shares of one target, in any order.
        output: file to write.

    Raises:
        InputError: a share is missing or is of another prediction, or cells are missing or there twice.
    """
    with ExitStack() as stack:
        opened = [stack.enter_context(open_product(path)) for path in shares]
        first = opened[0]
        for path, share in zip(shares, opened, strict=True):
            _require_like(first, share, shares[0], path)
        rows = [share[_ROW].to_numpy() for share in opened]
        count, expected = sum(map(len, rows)), int(first.attrs[_ROWS])
        _require_all_rows(shares[0], np.concatenate(rows), expected, "give all shares of a target, each once")

        def ordered(name: str) -> np.ndarray:
            values = np.empty((count, *first[name].shape[1:]), dtype=first[name].dtype)
            for row, share in zip(rows, opened, strict=True):
                values[row] = share[name].to_numpy()
            return values

        flag, predicted = ordered("ood_flag"), ordered("predicted")
        analogues = bool(np.any((flag == 1) & (predicted == 1)))
        fields = {
            name: xr.Variable(
                like.dims,
                da.empty((count, *like.shape[1:]), dtype=like.dtype, chunks=-1),
                {key: value for key, value in like.attrs.items() if key not in _ENCODED},
            )
            for name, like in ((str(name), first[name]) for name in first.variables)
            if like.dims[:1] == ("gridcell",)
            and name not in (*COORDINATES, "lat", "lon", _ROW)
            and (analogues or not name.startswith("analogue_"))
        }
        attributes = {name: value for name, value in first.attrs.items() if name not in (*_ENCODED, _ROWS)}
        template = xr.Dataset(fields, _coordinates(ordered("lat"), ordered("lon")), attributes)
        with creating(output, template, masked=True) as file:
            for name in fields:
                file[name][:] = ordered(name)
    words = "%d of %d cells are out of distribution, %d of them because their inputs are incomplete"
    LOGGER.info(words, flag.sum(), count, count - predicted.sum())


def _require_like(first: xr.Dataset, share: xr.Dataset, first_path: str | Path, path: str | Path) -> None:
    get_variable(path, share, _ROW, dims=("gridcell",))
    if _ROWS not in share.attrs:
        what = f"global attribute {_ROWS} is missing"
        raise InputError(path, what, expected="a share", remedy="predict with --share")
    for name, value in first.attrs.items():
        if name != "code_version" and share.attrs.get(name) != value:
            what = f"global attribute {name} is {share.attrs.get(name)!r}"
            remedy = "predict all shares with the same model, dataset and settings"
            raise InputError(path, what, expected=f"{value!r}, as in {first_path}", remedy=remedy)
    for name, values in first.variables.items():
        if name not in COORDINATES:
            get_variable(path, share, str(name), dims=tuple(map(str, values.dims)))
