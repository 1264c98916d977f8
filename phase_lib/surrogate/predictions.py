"""The predictions file of a target, written batch by batch, in one job or in several."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
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

#: What only a part has: the row of each cell in its restart, and how many rows there are.
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
    part: tuple[int, int] = (1, 1),
) -> None:
    """Writes `predictions.nc` for all cells of a domain's restart, in the restart's order, or a part of it.

    A cell whose inputs are not complete cannot be predicted: its values and its score are NaN, `predicted`
    is 0, and it is flagged. Flagged cells also get the state of their nearest training cell as
    `analogue_<name>`, where the split says which cells those are.

    Cells go through one batch file of the dataset at a time, so that memory does not grow with their
    number.

    Args:
        model: `model.pt`.
        dataset_dir: dataset of the cells to predict.
        output: file to write; one of several parts is for `join_predictions`.
        ood: quantile of the threshold, and action.
        run_name: name of the run.
        split_file: split that the model was trained with; None where the dataset is another one.
        threads: CPU threads.
        domain: which domain of the dataset; the only one if None.
        accept_forcing: let the domain have forcing of another product or reduction than the model's.
        part: which share of the batch files, and of how many: (2, 8) is the second of eight.

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
    _require_all_rows(index.path, index.cell[ours], int(ours.sum()), "fuse all cells of the restart")
    if split_file is None and ood.action == "analogue":
        raise InputError(
            dataset_dir, "holds no training cells", remedy="set ood.action to keep or predict for this domain"
        )
    split = None if split_file is None else read_split(split_file, dataset_dir)
    if not (ours & index.complete).any():
        raise InputError(
            index.path, "no cell has complete inputs", remedy="see cleaning.json for the reasons"
        )
    job = _Job(
        trained,
        Path(dataset_dir),
        index,
        _share(index, ours, part),
        split,
        {
            "title": "PHASE predictions of the near-equilibrium state",
            "label_space": "normal",
            "run_name": run_name,
            "preset": trained.layout.preset,
            "model_sha256": trained.sha256,
            "trained_on": trained.trained_on,
            "dataset_id": index.dataset_id,
            _ROWS: int(ours.sum()),
            "ood_threshold": trained.reference.threshold(ood.quantile),
        },
    )
    if part[1] > 1:
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
        raise InputError(
            path,
            "does not hold every cell of the restart once",
            expected=f"cells 0 to {count - 1}",
            remedy=remedy,
        )


def _share(index: CellIndex, cells: np.ndarray, part: tuple[int, int]) -> np.ndarray:
    """The cells of a share of the batch files (gridcell): whole files, so that batches stay as they are."""
    number, of = part
    files = np.unique(index.batch[cells])
    return cells & np.isin(index.batch, files[len(files) * (number - 1) // of : len(files) * number // of])


@dataclass(frozen=True)
class _Job:
    """Predictions of some cells of a target.

    Attributes:
        trained: model.
        dataset_dir: the dataset's directory.
        index: its cells.
        cells: True for the cells of this job (gridcell, dataset order), complete or not.
        split: split that the model was trained with.
        attributes: of the file; `ood_threshold` decides which cells are flagged.
    """

    trained: TrainedModel
    dataset_dir: Path
    index: CellIndex
    cells: np.ndarray
    split: Split | None
    attributes: dict[str, Any]

    def write(self, output: str | Path, threads: int) -> None:
        """Writes the cells in dataset order, each batch as soon as it is predicted."""
        positions = np.flatnonzero(self.cells)
        score = np.full(len(positions), np.nan)
        flag = np.ones(len(positions), dtype=np.int8)
        # What no batch writes, cells without complete inputs, keeps the fill value, NaN.
        with creating(output, self._template(), masked=True) as file:
            for batch, found, analogues in self._batches(threads):
                place = np.searchsorted(positions, batch)
                for name, values in (*found.pools.items(), *found.fluxes.items()):
                    _put(file[name], place, values)
                score[place], flag[place] = found.score, self._beyond(found)
                for name, values in analogues.items():
                    _put(file[f"analogue_{name}"], place[self._beyond(found)], values)
            file["ood_score"][:], file["ood_flag"][:] = score, flag

    def _beyond(self, found: Predictions) -> np.ndarray:
        return np.asarray(found.score > self.attributes["ood_threshold"])

    def _batches(self, threads: int) -> Iterator[tuple[np.ndarray, Predictions, Mapping[str, np.ndarray]]]:
        """Positions, predictions, and analogues of the flagged cells, of one batch file after another."""
        reader = reader_of(self.trained, self.dataset_dir)
        complete = self.cells & self.index.complete
        analogues = self._analogues()
        ticker, done, count = Ticker("cell"), 0, int(complete.sum())
        with predicting(self.trained, threads) as answer:
            for positions, batch in reader.numbered(complete):
                found = answer(batch)
                yield positions, found, analogues(positions[self._beyond(found)])
                done += len(positions)
                ticker.tick(done, count)

    def _analogues(self) -> Callable[[np.ndarray], Mapping[str, np.ndarray]]:
        library: list[Analogue] = []

        def analogues(cells: np.ndarray) -> Mapping[str, np.ndarray]:
            if self.split is None or not len(cells):
                return {}
            if not library:
                # Not before a cell needs it: all training cells are read for it.
                training = self.split.train | self.split.validation
                task = Task(self.dataset_dir, self.index, self.trained.layout.targets, training)
                library.append(Analogue(task))
            return library[0].predict(cells).pools

        return analogues

    def _template(self) -> xr.Dataset:
        """The file as it will be, without what is predicted; variables in the order of the final file."""
        index, cells, layout = self.index, self.cells, self.trained.layout
        info, count = describe(self.dataset_dir), int(self.cells.sum())
        sizes = {"natpft": NATPFT, "levdecomp": NLEVDECOMP}
        levels = dict.fromkeys(layout.patch_targets, "natpft") | dict.fromkeys(
            layout.layer_targets, "levdecomp"
        )

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


def join_predictions(parts: Sequence[str | Path], output: str | Path) -> None:
    """Writes `predictions.nc` from its parts: the same file, whatever their number.

    Variables go through memory one at a time.

    Args:
        parts: files that `predict` wrote for all parts of one target, in any order.
        output: file to write.

    Raises:
        InputError: a part is missing or is of another prediction, or cells are missing or there twice.
    """
    with ExitStack() as stack:
        held = [stack.enter_context(open_product(path)) for path in parts]
        first = held[0]
        for path, part in zip(parts, held, strict=True):
            _require_like(first, part, parts[0], path)
        rows = [part[_ROW].to_numpy() for part in held]
        count = sum(map(len, rows))
        found, expected = np.concatenate(rows), int(first.attrs[_ROWS])
        _require_all_rows(parts[0], found, expected, "give all parts of a target, each once")

        def ordered(name: str) -> np.ndarray:
            values = np.empty((count, *first[name].shape[1:]), dtype=first[name].dtype)
            for row, part in zip(rows, held, strict=True):
                values[row] = part[name].to_numpy()
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
    LOGGER.info(
        "%d of %d cells are out of distribution, %d of them for want of complete inputs",
        flag.sum(),
        count,
        count - predicted.sum(),
    )


def _require_like(first: xr.Dataset, part: xr.Dataset, first_path: str | Path, path: str | Path) -> None:
    get_variable(path, part, _ROW, dims=("gridcell",))
    if _ROWS not in part.attrs:
        raise InputError(
            path, f"global attribute {_ROWS} is missing", expected="a part", remedy="predict with --part"
        )
    for name, value in first.attrs.items():
        if name != "code_version" and part.attrs.get(name) != value:
            raise InputError(
                path,
                f"global attribute {name} is {part.attrs.get(name)!r}",
                expected=f"{value!r}, as in {first_path}",
                remedy="predict all parts with the same model, dataset and settings",
            )
    for name, values in first.variables.items():
        if name not in COORDINATES:
            get_variable(path, part, str(name), dims=tuple(map(str, values.dims)))
