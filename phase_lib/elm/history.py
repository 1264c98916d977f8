"""History files (h0, h1, ...) as means on grid cells.

ELM writes a field on the grid, (time, lat, lon) or (time, lndgrid), or with `hist_dov2xy = .false.` as a
vector of patches, columns or landunits. Vectors are averaged over each cell as ELM itself would have done:
by their weights in the cell, over the entries that are not fill (inactive ones are). Such a file lacks the
geometry of urban canyons, which ELM adds for fluxes of water and energy; where urban land has weight, these
differ a little from ELM's own means.

Only means over time are used: a field of snapshots, maxima, minima or sums is refused when it is read.
Fields are read lazily, some samples of one file at a time: as a dask array or as a stream.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import netCDF4
import numpy as np
from scipy.sparse import csr_array

from phase_lib.base.errors import InputError
from phase_lib.elm.calendar import date_of
from phase_lib.elm.constants import DAYS_PER_YEAR, FILL_DOUBLE
from phase_lib.elm.history_cells import HistoryGrid, history_fault, is_point, read_land_cells, same_cells
from phase_lib.elm.history_header import (
    GIVE_MEANS,
    case_of,
    fields_of,
    no_mean,
    other_than_means,
    read_samples,
)
from phase_lib.elm.levels import SOIL_LEVELS, order_of_layers
from phase_lib.elm.matching import match_cells
from phase_lib.elm.netcdf import get_variable, is_fill, open_dataset
from phase_lib.elm.soil_grid import NLEVDECOMP, NLEVGRND

if TYPE_CHECKING:
    import xarray as xr

_GRIDS = (("lat", "lon"), ("lndgrid",))
#: Dimension of a vector -> prefix of the index vectors that give the place of its entries.
_VECTORS = {"pft": "pfts1d", "column": "cols1d", "landunit": "land1d", "gridcell": "grid1d"}

#: Values of fields that are read together in memory at a time, bytes; at least one sample.
_CHUNK_BYTES = 64 << 20
#: Values of one sample of fields whose means are made together, bytes; at least one field.
_FIELD_BYTES = 256 << 20
#: ELM stops where the weights of a cell sum to more.
_MOST_WEIGHT = 1.0 + 1.0e-6
#: The NetCDF library serves one thread at a time.
_ONE_READER = Lock()
#: Field -> accepted units, which the file must give; None for any.
_Units = Mapping[str, Sequence[str] | None]


@dataclass(frozen=True)
class _Piece:
    """One file: which of its samples count, their bounds in days since its reference date, what it holds."""

    path: Path
    samples: np.ndarray
    bounds: np.ndarray
    reference: float
    variables: frozenset[str]
    no_means: Mapping[str, str]
    case: str


class History:
    """A run of history files of one tape, read as one series in time.

    The files of a month each are many and have long headers, so each is opened once here and once for all
    fields that are read together.

    Args:
        paths: files of one tape in any order; they are put in order by their averaging intervals.

    Attributes:
        paths: those that hold a mean over time, in order of time.
        start, end: bounds of each sample, in years since the reference date of the first file (time).
        origin: model year of the reference date; 1.0 for "days since 0001-01-01".
        case: name of the case that wrote the files; empty where they name none.

    Raises:
        InputError: no file, no `time_bounds`, no sample, snapshots, another calendar than noleap, samples
            that overlap, or files of two cases or on different grids.
    """

    def __init__(self, paths: Sequence[str | Path]) -> None:
        if not paths:
            raise InputError(None, "no history file given", expected="at least one")
        pieces, self.grid = _read_files(paths)
        if not pieces:
            raise InputError(paths[-1], "time_bounds: no sample is a mean over time", expected="one or more")
        self._pieces = pieces
        self.paths = [piece.path for piece in pieces]
        self.case = _one_case(pieces)
        reference = pieces[0].reference
        bounds = np.concatenate([piece.bounds + (piece.reference - reference) for piece in pieces])
        self.start, self.end = bounds[:, 0] / DAYS_PER_YEAR, bounds[:, 1] / DAYS_PER_YEAR
        self.origin = 1.0 + reference / DAYS_PER_YEAR
        self._refuse_overlap()
        self._means: dict[str, tuple[np.ndarray, csr_array]] = {}

    @property
    def variables(self) -> frozenset[str]:
        """Names of the variables that every file of the run holds."""
        return frozenset.intersection(*(piece.variables for piece in self._pieces))

    @property
    def sample_paths(self) -> list[Path]:
        """File of each sample (time)."""
        return [piece.path for piece in self._pieces for _ in piece.samples]

    @property
    def no_means(self) -> dict[str, tuple[Path, str]]:
        """Fields that are no means over time -> first file where they are not, and what they hold."""
        last_to_first = reversed(self._pieces)
        return {name: (piece.path, what) for piece in last_to_first for name, what in piece.no_means.items()}

    def check(self, units: Mapping[str, Sequence[str]]) -> None:
        """Refuses fields by their headers, before any of their values is read.

        Args:
            units: field -> accepted units; only the first file is checked.

        Raises:
            InputError: a field is missing, is no mean over time, or has other units or none.
        """
        no_means = self.no_means
        with open_dataset(self.paths[0]) as dataset:
            for name, accepted in units.items():
                if name in no_means:
                    path, what = no_means[name]
                    raise other_than_means(path, [name], what)
                get_variable(self.paths[0], dataset, name, units=accepted, labelled=True)

    def _refuse_overlap(self) -> None:
        """Refuses samples that share time, or files whose samples lie between each other."""
        order = np.argsort(self.start, kind="stable")
        length = (self.end - self.start)[order]
        slack = np.minimum(1.0 / DAYS_PER_YEAR, 0.5 * np.minimum(length[:-1], length[1:]))
        shared = self.end[order[:-1]] - self.start[order[1:]] > slack
        if not np.any(shared) and np.all(np.diff(order) > 0):
            return
        paths = self.sample_paths
        if np.any(shared):
            first, second = sorted(order[int(np.argmax(shared)) :][:2])
            begin, end = self.start[[first, second]].max(), self.end[[first, second]].min()
            dates = " to ".join(date_of(edge + self.origin) for edge in (begin, end))
            whose, remedy = f" those of {paths[first]}: both hold {dates}", "give each file once, of one tape"
            if paths[first] == paths[second]:
                if self.paths.count(paths[second]) > 1:
                    whose = ": the file is given twice"
                else:
                    whose, remedy = f": two samples of the file hold {dates}", "leave one of them out"
            raise InputError(paths[second], f"time_bounds: samples overlap{whose}", remedy=remedy)
        between = int(order[int(np.argmax(np.diff(order) < 0)) + 1])
        raise InputError(
            paths[between],
            "time_bounds: its samples do not follow each other, some lie between those of another file",
            expected="files of successive times",
            remedy="give the files as ELM wrote them",
        )

    def read(self, name: str) -> np.ndarray:
        """A field on the land cells: (time, gridcell) or (time, levels, gridcell), float64.

        All of it is in memory; `lazy` gives it chunk by chunk.

        Raises:
            InputError: the field is missing, lies on no grid, or is fill or NaN on a land cell.
        """
        return self.lazy({name: None})[0].compute(scheduler="synchronous").to_numpy()

    def lazy(self, units: _Units) -> xr.DataArray:
        """Fields on the land cells as one dask array, whose chunks are some samples of one file.

        Compute all that is wanted of it at once, so that each file is opened once, and with the scheduler
        "synchronous": the NetCDF library serves one thread at a time.

        Args:
            units: field -> accepted units, as in `fields`; all fields have the same levels, most often none.

        Returns:
            (field, time, gridcell) or (field, time, levels, gridcell), float64; `time` is the middle of each
            sample.

        Raises:
            InputError: the first file lacks a field; all other errors of `fields` come on computing.
        """
        import dask.array as da
        import xarray as xr
        from dask.delayed import delayed

        with open_dataset(self.paths[0]) as dataset:
            levels = self._levels(self.paths[0], dataset, next(iter(units)))
        shape = (*levels.values(), len(self.grid.row))
        step = max(1, _CHUNK_BYTES // (8 * len(units) * int(np.prod(shape))))
        chunks = []
        for piece, take, _ in self._wanted(None):
            for some in np.array_split(take, -(-len(take) // step)):
                of_chunk = (len(units), len(some), *shape)
                read = delayed(partial(self._chunk, of_chunk, piece, some, units), pure=False)
                chunks.append(da.from_delayed(read(), of_chunk, np.float64))
        clock = {"units": f"days since {date_of(self.origin)}", "calendar": "noleap"}
        middle = 0.5 * DAYS_PER_YEAR * (self.start + self.end)
        return xr.DataArray(
            da.concatenate(chunks, axis=1),
            {
                "field": list(units),
                "time": ("time", middle, clock),
                "lat": ("gridcell", self.grid.lat, {"units": "degrees_north"}),
                "lon": ("gridcell", self.grid.lon, {"units": "degrees_east"}),
            },
            ("field", "time", *levels, "gridcell"),
        )

    def _levels(self, path: Path, dataset: netCDF4.Dataset, name: str) -> dict[str, int]:
        """Dimensions of levels of a field and their sizes."""
        variable = get_variable(path, dataset, name)
        timed, stop = _is_timed(variable), variable.ndim - len(_horizontal(path, dataset, variable))
        return dict(zip(variable.dimensions[timed:stop], variable.shape[timed:stop], strict=True))

    def _wanted(self, wanted: np.ndarray | None) -> Iterator[tuple[_Piece, np.ndarray, np.ndarray]]:
        """Files with wanted samples: their places in the file, and the numbers of all samples of the file."""
        first = 0
        for piece in self._pieces:
            here = np.arange(first, first + len(piece.samples))
            first += len(here)
            take = np.arange(len(here)) if wanted is None else np.flatnonzero(wanted[here])
            if len(take):
                yield piece, take, here

    def _chunk(self, shape: tuple[int, ...], piece: _Piece, take: np.ndarray, units: _Units) -> np.ndarray:
        """Some samples of a file, of a shape (field, n, ..., gridcell)."""
        with _ONE_READER, open_dataset(piece.path) as dataset:
            chunk = np.empty(shape)
            for values, (name, accepted) in zip(chunk, units.items(), strict=True):
                start = 0
                for some, read in self._samples(piece, dataset, name, accepted, take):
                    if read.shape[1:] != shape[2:]:
                        what = f"variable {name} has other levels than {next(iter(units))}"
                        raise InputError(piece.path, what)
                    values[start : start + len(some)] = read
                    start += len(some)
        return chunk

    def fields(
        self, units: _Units, wanted: np.ndarray | None = None, *, holes: bool = False
    ) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
        """Fields on the land cells, a few samples at a time, each in order of time.

        Args:
            units: field -> accepted units, which the file must give; None for any.
            wanted: True for the samples to read (time); all of them if None.
            holes: NaN where a land cell has fill, as in fields of columns that it does not have.

        Yields:
            Field, numbers of the samples (n) and their values, (n, gridcell) or (n, levels, gridcell),
            float64; levels may hold fill.

        Raises:
            InputError: a field is missing, is no mean over time, has other units or none, lies on no grid
                or on other layers than ELM's, or is fill or NaN on a land cell.
        """
        for piece, take, here in self._wanted(wanted):
            with open_dataset(piece.path) as dataset:
                for name, accepted in units.items():
                    for some, values in self._samples(piece, dataset, name, accepted, take, holes=holes):
                        yield name, here[some], values

    def _samples(
        self,
        piece: _Piece,
        dataset: netCDF4.Dataset,
        name: str,
        units: Sequence[str] | None,
        take: np.ndarray,
        *,
        holes: bool = False,
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Some samples of an open file (n), a few at a time, with their values on the land cells."""
        if name in piece.no_means:
            raise other_than_means(piece.path, [name], piece.no_means[name])
        variable = get_variable(piece.path, dataset, name, units=units, labelled=units is not None)
        horizontal = _horizontal(piece.path, dataset, variable)
        means = None
        if horizontal[:1] and horizontal[0] in _VECTORS:
            means = self._cell_means(piece.path, dataset, horizontal[0])
        timed, stop = _is_timed(variable), variable.ndim - len(horizontal)
        layers = [
            _layers(piece.path, dataset, level) if level in SOIL_LEVELS else np.arange(size)
            for level, size in zip(variable.dimensions[timed:stop], variable.shape[timed:stop], strict=True)
        ]
        on_cells = int(np.prod([len(layer) for layer in layers])) * len(self.grid.row)
        step = max(1, _CHUNK_BYTES // (8 * max(int(np.prod(variable.shape[stop:])), on_cells)))
        for some in np.array_split(take, -(-len(take) // step)):
            values = self._on_cells(variable, piece.samples[some] if timed else None, layers, means)
            if holes:
                values[np.abs(values) >= FILL_DOUBLE] = np.nan
            else:
                self._refuse_holes(piece, variable.name, some, values)
            yield some, values

    def means(
        self, units: _Units, first_year: float, end_year: float, *, holes: bool = False
    ) -> dict[str, np.ndarray]:
        """Time means of fields over model years, a few samples in memory at a time.

        Samples count by their overlap with the years, so annual, monthly and 20-year tapes all serve.

        Args:
            units: field -> accepted units, as in `fields`.
            first_year: model year at whose start the mean begins.
            end_year: model year at whose start it ends.
            holes: as in `fields`.

        Returns:
            Field -> (gridcell) or (levels, gridcell), float64.

        Raises:
            InputError: the samples do not cover the years, or as `fields`.
        """
        overlap = self.overlap(first_year, end_year)
        totals: dict[str, Any] = dict.fromkeys(units, 0.0)
        for name, samples, values in self.fields(units, overlap > 0.0, holes=holes):
            totals[name] = totals[name] + np.tensordot(overlap[samples], values, axes=1)
        return {name: total / overlap.sum() for name, total in totals.items()}

    def overlap(self, first_year: float, end_year: float) -> np.ndarray:
        """How long each sample lies in some model years (time), years.

        Args:
            first_year, end_year: as in `means`.

        Raises:
            InputError: the samples do not cover the years.
        """
        start, end = self.start + self.origin, self.end + self.origin
        overlap = np.clip(np.minimum(end, end_year) - np.maximum(start, first_year), 0.0, None)
        if abs(overlap.sum() - (end_year - first_year)) > 1.0 / DAYS_PER_YEAR:
            raise InputError(
                self.paths[0],
                f"the history covers {overlap.sum():.2f} years of {first_year:04.0f} to {end_year - 1:04.0f}",
                expected=f"all {end_year - first_year:g}",
                remedy="give all history files of these years",
            )
        return np.asarray(overlap)

    def layer_means(
        self, units: _Units, row: np.ndarray, first_year: float, end_year: float
    ) -> Iterator[tuple[str, np.ndarray]]:
        """Means over model years of fields of soil layers, some at a time, so that memory stays bounded.

        Args:
            units: field -> accepted units, as in `fields`.
            row: position of each wanted cell among the land cells (n).
            first_year, end_year: as in `means`.

        Yields:
            Field and its mean (levdecomp, n), float32 as on file, NaN for fill.

        Raises:
            InputError: as `means`.
        """
        names = list(units)
        some = max(1, _FIELD_BYTES // (8 * NLEVGRND * len(self.grid.row)))
        for together in (names[i : i + some] for i in range(0, len(names), some)):
            of_these = {name: units[name] for name in together}
            for name, values in self.means(of_these, first_year, end_year, holes=True).items():
                yield name, values[:NLEVDECOMP, row].astype(np.float32)

    def _on_cells(
        self,
        variable: Any,
        samples: np.ndarray | None,
        layers: Sequence[np.ndarray],
        means: csr_array | None,
    ) -> np.ndarray:
        """Samples of a variable on the land cells, one level in memory beside the result.

        Args:
            variable: field of an open file.
            samples: which (n); None for the one of a file without the dimension time.
            layers: position on file of each level, for each dimension of levels.
            means: weights that take a vector to the cells; None for a field on the grid.

        Returns:
            (n, gridcell) or (n, levels, gridcell), levels in the order of `layers`.
        """
        levels = tuple(len(layer) for layer in layers)
        values = np.empty((1 if samples is None else len(samples), *levels, len(self.grid.row)))
        for level in np.ndindex(levels):
            at = tuple(int(layer[i]) for layer, i in zip(layers, level, strict=True))
            if samples is None:
                points = np.asarray(variable[(*at, ...)], dtype=np.float64)
            else:
                slab = slice(int(samples[0]), int(samples[-1]) + 1)
                points = np.asarray(variable[(slab, *at, ...)], dtype=np.float64)[samples - samples[0]]
            points = points.reshape(len(values), -1)
            fill = is_fill(variable, points)
            if means is None:
                points[fill] = FILL_DOUBLE
                values[(slice(None), *level)] = points[:, self.grid.row]
            else:
                points[fill] = 0.0
                weight = (means @ (~fill).T.astype(np.float64)).T
                total = (means @ points.T).T
                filled = np.full(total.shape, FILL_DOUBLE)
                values[(slice(None), *level)] = np.divide(total, weight, out=filled, where=weight > 0.0)
        return values

    def _refuse_holes(self, piece: _Piece, name: str, samples: np.ndarray, values: np.ndarray) -> None:
        """Refuses fill in the topmost level of some samples of a file (n)."""
        surface = values if values.ndim == 2 else values[:, 0]
        bad = ~(np.abs(surface) < FILL_DOUBLE)
        if np.any(bad):
            row, cell = (int(first) for first in np.argwhere(bad)[0])
            sample = samples[min(row, len(samples) - 1)]
            start = date_of(piece.bounds[sample, 0] / DAYS_PER_YEAR + self.origin)
            raise InputError(
                piece.path,
                f"variable {name} is fill or NaN on land cell {cell + 1} in sample "
                f"{int(piece.samples[sample]) + 1}, from {start}",
                expected="numbers on all land cells",
                remedy="check the run",
            )

    def _cell_means(self, path: Path, dataset: netCDF4.Dataset, dimension: str) -> csr_array:
        """Weights that take a vector to the land cells (gridcell, entries); weights may change in time."""
        weight = _weights(path, dataset, dimension)
        if dimension in self._means and np.array_equal(self._means[dimension][0], weight):
            return self._means[dimension][1]
        prefix, entries = _VECTORS[dimension], np.flatnonzero(weight)
        ixy, jxy = (
            np.asarray(get_variable(path, dataset, f"{prefix}_{axis}")[:])[entries] for axis in ("ixy", "jxy")
        )
        cell = self.grid.cells_at(ixy, jxy)
        lost = entries[cell < 0]
        if len(lost):
            what = f"{len(lost)} entries lie on no land cell, first entry {lost[0] + 1}"
            expected = "land cells of the grid"
            raise history_fault(path, f"{prefix}_ixy, {prefix}_jxy: {what}", expected=expected)
        means = csr_array((weight[entries], (cell, entries)), shape=(len(self.grid.row), len(weight)))
        if np.any(means.sum(axis=1) > _MOST_WEIGHT):
            raise InputError(path, f"{prefix}_wtgcell: the weights of a cell sum to more than 1")
        self._means[dimension] = (weight, means)
        return means

    def rows(self, lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
        """Position of cells among the land cells of the history (gridcell).

        Raises:
            InputError: a cell is not among them.
        """
        row, _ = match_cells(lat, lon, self.grid.lat, self.grid.lon, file=self.paths[0], what="history cells")
        return row


def _read_files(paths: Sequence[str | Path]) -> tuple[list[_Piece], HistoryGrid]:
    """Files with samples, in order of time, and the grid that all of them have."""
    pieces: list[_Piece] = []
    grid = None
    for path in map(Path, paths):
        with open_dataset(path) as dataset:
            piece, cells = _read_piece(path, dataset), read_land_cells(path, dataset, grid)
        grid = grid or cells
        if not same_cells(cells, grid):
            raise InputError(
                path,
                f"lat, lon: {len(cells.row)} land cells of another grid",
                expected=f"the {len(grid.row)} land cells of {grid.path}",
                remedy="give the files of one run",
            )
        if len(piece.bounds):
            pieces.append(piece)
    assert grid is not None
    return sorted(pieces, key=lambda piece: piece.reference + float(piece.bounds[0, 0])), grid


def _read_piece(path: Path, dataset: netCDF4.Dataset) -> _Piece:
    """What a file holds, and which of its samples are means."""
    times = read_samples(path, dataset)
    length = times.days
    counted = ~times.first_step
    instants = np.count_nonzero(counted & (length == 0.0))
    if instants:
        what = f"time_bounds: {instants} of {len(length)} samples have no length: they are snapshots"
        raise InputError(path, what, expected="means over time", remedy=GIVE_MEANS)
    if np.any(counted & (length < 0.0)):
        what = f"time_bounds: sample {int(np.argmax(length < 0.0)) + 1} ends before it begins"
        raise history_fault(path, what, expected="start and end")
    samples, bounds = times.number[counted], times.bounds[counted]
    if np.any(np.diff(bounds[:, 0]) < 0.0):
        raise InputError(
            path,
            "time_bounds: its samples are not in order of time",
            expected="each sample after the one before",
            remedy="sort the file along time",
        )
    no_means = {name: what for name in fields_of(dataset) if (what := no_mean(dataset[name]))}
    variables, reference = frozenset(dataset.variables), times.clock.reference
    return _Piece(path, samples, bounds, reference, variables, no_means, case_of(dataset))


def _one_case(pieces: Sequence[_Piece]) -> str:
    """The case that wrote all files which name one; files of several are refused."""
    named = [piece for piece in pieces if piece.case]
    for piece in named:
        if piece.case != named[0].case:
            raise InputError(
                piece.path,
                f"is of case {piece.case!r}",
                expected=f"case {named[0].case!r} as in {named[0].path}",
                remedy="give the files of one run; where it went on under another name, set the attribute "
                "case alike",
            )
    return named[0].case if named else ""


def _is_timed(variable: Any) -> bool:
    return bool(variable.dimensions[:1] == ("time",))


def _horizontal(path: Path, dataset: netCDF4.Dataset, variable: Any) -> tuple[str, ...]:
    """The dimensions of a field that span the cells, patches, columns or landunits: its last ones."""
    dims, timed = tuple(variable.dimensions), _is_timed(variable)
    if timed or "time" not in dataset.dimensions or dataset["time"].ndim == 0:
        for horizontal in (*((vector,) for vector in _VECTORS), *_GRIDS):
            if dims[-len(horizontal) :] == horizontal:
                return horizontal
        gridcell = dataset.dimensions.get("gridcell")
        if dims[-1:] == ("topounit",) and gridcell is not None and variable.shape[-1] == gridcell.size:
            return ("gridcell",)
        if is_point(dataset):
            last = variable.ndim
            while last > timed and variable.shape[last - 1] == 1:
                last -= 1
            return dims[last:]
    raise InputError(
        path,
        f"variable {variable.name} has dimensions {dims}",
        expected="(time, ..., lat, lon), (time, ..., lndgrid) or (time, ..., pft, column or landunit)",
        remedy="write it with hist_dov2xy = .true." if "topounit" in dims else "",
    )


def _layers(path: Path, dataset: netCDF4.Dataset, dimension: str) -> np.ndarray:
    """Position on file of each soil layer, from the surface down (levels): ELM's fifteen or the upper ten."""
    size = dataset.dimensions[dimension].size
    if size not in (NLEVDECOMP, NLEVGRND):
        raise InputError(
            path,
            f"dimension {dimension} has {size} layers",
            expected=f"ELM's {NLEVGRND} layers or the upper {NLEVDECOMP}",
            remedy="use a file on ELM's standard soil layers",
        )
    order = order_of_layers(path, dataset, dimension)
    return np.arange(size) if order is None else order


def _weights(path: Path, dataset: netCDF4.Dataset, dimension: str) -> np.ndarray:
    """Share of its cell that each entry of a vector has (entries)."""
    if dimension == "gridcell":
        return np.ones(dataset.dimensions["gridcell"].size)
    name = f"{_VECTORS[dimension]}_wtgcell"
    weight = np.asarray(get_variable(path, dataset, name, dims=(dimension,))[:], dtype=np.float64)
    if not np.all((weight >= 0.0) & (weight <= _MOST_WEIGHT)):
        raise InputError(path, f"{name} holds no shares of a cell", expected="0 to 1")
    return weight
