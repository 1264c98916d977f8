"""History files (h0, h1, ...) as means on grid cells.

ELM writes a field on the grid, (time, lat, lon) or (time, lndgrid), or with `hist_dov2xy = .false.` as a
vector of patches, columns or landunits. Vectors are averaged over each cell as ELM itself would have done:
by their weights in the cell, over the entries that are not fill (inactive ones are). What such a file
does not tell is the geometry of urban canyons, which ELM adds for fluxes of water and energy; where urban
land has weight these differ a little from ELM's own means.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
from scipy.sparse import csr_array

from phase_lib.base.errors import InputError
from phase_lib.elm.calendar import MONTH_STARTS
from phase_lib.elm.constants import DAYS_PER_YEAR, FILL_DOUBLE
from phase_lib.elm.coordinates import check_coordinates
from phase_lib.elm.netcdf import get_variable, is_fill, open_dataset

_GRIDS = (("lat", "lon"), ("lndgrid",))
#: Dimension of a vector -> prefix of the index vectors that say where its entries lie.
_VECTORS = {"pft": "pfts1d", "column": "cols1d", "landunit": "land1d", "gridcell": "grid1d"}
_REFERENCE = re.compile(r"days since (\d+)-(\d{1,2})-(\d{1,2})")
_AS_WRITTEN = "use the history as ELM wrote it"
_NOLEAP = ("noleap", "365day")
#: Values of one field in memory at a time, bytes; at least one sample.
_BLOCK_BYTES = 64 << 20
#: Cells of two files of one run are the same when their centres agree to this many degrees (float32).
_SAME_DEGREES = 1.0e-3
#: ELM stops where the weights of a cell sum to more.
_MOST_WEIGHT = 1.0 + 1.0e-6


@dataclass(frozen=True)
class HistoryGrid:
    """Land cells of a history file.

    Attributes:
        path: file that they were read from.
        row: position of each land cell on the flattened grid (gridcell).
        lat, lon: degrees (gridcell).
    """

    path: Path
    row: np.ndarray
    lat: np.ndarray
    lon: np.ndarray
    _place: np.ndarray
    _sizes: tuple[np.ndarray, np.ndarray] | None

    @property
    def sized(self) -> bool:
        """True where the file says how large the cells are."""
        return self._sizes is not None

    @property
    def area(self) -> np.ndarray:
        """Area of each cell, km2 (gridcell).

        Raises:
            InputError: the file does not say.
        """
        return self._known_sizes()[0]

    @property
    def landfrac(self) -> np.ndarray:
        """Land fraction of each cell (gridcell).

        Raises:
            InputError: the file does not say.
        """
        return self._known_sizes()[1]

    @property
    def land_area_m2(self) -> np.ndarray:
        """Land area of each cell, m2: history values are per m2 of land.

        Raises:
            InputError: the file does not say.
        """
        area, landfrac = self._known_sizes()
        return area * landfrac * 1.0e6

    def _known_sizes(self) -> tuple[np.ndarray, np.ndarray]:
        if self._sizes is None:
            raise InputError(
                self.path,
                "variables area, landfrac are missing",
                expected="those that ELM writes into every history file",
                remedy="use the file as ELM wrote it",
            )
        return self._sizes

    def cells_at(self, ixy: np.ndarray, jxy: np.ndarray) -> np.ndarray:
        """Position among the land cells of places on the grid (n), -1 where there is no land cell."""
        order = np.argsort(self._place)
        wanted = _place(ixy, jxy)
        found = order[np.minimum(np.searchsorted(self._place, wanted, sorter=order), len(order) - 1)]
        return np.where(self._place[found] == wanted, found, -1)


def _place(ixy: np.ndarray, jxy: np.ndarray) -> np.ndarray:
    """One number for a column and a row of the grid."""
    return (np.asarray(jxy, dtype=np.int64) << 32) + np.asarray(ixy, dtype=np.int64)


@dataclass(frozen=True)
class _Piece:
    """One file: where it is, which of its samples count, their bounds in days, and what it holds."""

    path: Path
    samples: np.ndarray
    bounds: np.ndarray
    units: str
    variables: frozenset[str]


class History:
    """A run of history files of one tape, read as one series in time.

    The files of a month each are many and have long headers, so each is opened once here and once for all
    fields that are read together.

    Args:
        paths: files of one tape in any order; they are put in order by their averaging intervals.

    Attributes:
        paths: those that hold a mean over time, in order of time.
        start, end: bounds of each sample, in years since the reference date (time).
        origin: model year of the reference date; 1.0 for "days since 0001-01-01".

    Raises:
        InputError: no file, no `time_bounds`, no sample, another calendar than noleap, mixed reference
            dates, samples that overlap, or files on different grids.
    """

    def __init__(self, paths: Sequence[str | Path]) -> None:
        if not paths:
            raise InputError(None, "no history file given", expected="at least one")
        pieces, self.grid = _read_files(paths)
        if not pieces:
            raise InputError(paths[-1], "time_bounds: no sample is a mean over time", expected="one or more")
        references = {piece.units for piece in pieces}
        if len(references) > 1:
            raise InputError(
                pieces[-1].path, f"time has units {sorted(references)}", expected="one reference date"
            )
        self._pieces = pieces
        self.paths = [piece.path for piece in pieces]
        bounds = np.concatenate([piece.bounds for piece in pieces])
        self.start, self.end = bounds[:, 0] / DAYS_PER_YEAR, bounds[:, 1] / DAYS_PER_YEAR
        if np.any(self.start[1:] < self.end[:-1] - 1.0 / DAYS_PER_YEAR):
            raise InputError(self.paths[-1], "time_bounds: samples overlap", remedy="give each file once")
        self.origin = _reference_year(self.paths[0], references.pop())
        self._means: dict[str, tuple[np.ndarray, csr_array]] = {}

    @property
    def variables(self) -> frozenset[str]:
        """Names of the variables that every file of the run holds."""
        return frozenset.intersection(*(piece.variables for piece in self._pieces))

    @property
    def sample_paths(self) -> list[Path]:
        """File of each sample (time)."""
        return [piece.path for piece in self._pieces for _ in piece.samples]

    def read(self, name: str) -> np.ndarray:
        """A field on the land cells: (time, gridcell) or (time, levels, gridcell), float64.

        All of it is in memory; `blocks` gives it piece by piece.

        Raises:
            InputError: the field is missing, lies on no grid, or is fill or NaN on a land cell.
        """
        return np.concatenate([values for _, values in self.blocks(name)])

    def blocks(
        self, name: str, units: Sequence[str] | None = None, wanted: np.ndarray | None = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """One field as by `fields`: numbers of the samples and their values."""
        for _, samples, values in self.fields({name: units}, wanted):
            yield samples, values

    def fields(
        self, units: Mapping[str, Sequence[str] | None], wanted: np.ndarray | None = None
    ) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
        """Fields on the land cells, a few samples at a time, each in order of time.

        Args:
            units: field -> accepted units; None for any.
            wanted: True for the samples to read (time); all of them if None.

        Yields:
            Field, numbers of the samples (n) and their values, (n, gridcell) or (n, levels, gridcell),
            float64; levels may hold fill.

        Raises:
            InputError: a field is missing, has other units, lies on no grid, or is fill or NaN on a
                land cell.
        """
        first = 0
        for piece in self._pieces:
            here = np.arange(first, first + len(piece.samples))
            first += len(piece.samples)
            take = np.arange(len(here)) if wanted is None else np.flatnonzero(wanted[here])
            if len(take) == 0:
                continue
            with open_dataset(piece.path) as dataset:
                for name, accepted in units.items():
                    variable = get_variable(piece.path, dataset, name, units=accepted)
                    for part, values in self._parts(piece, dataset, variable, take):
                        yield name, here[part], values

    def _parts(
        self, piece: _Piece, dataset: netCDF4.Dataset, variable: netCDF4.Variable, take: np.ndarray
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Some samples of an open file (n), a few at a time, with their values on the land cells."""
        horizontal = _horizontal(piece.path, dataset, variable)
        means = None
        if horizontal not in _GRIDS:
            means = self._cell_means(piece.path, dataset, horizontal[0])
        step = _samples_at_once(variable, len(horizontal), len(self.grid.row))
        for part in np.array_split(take, -(-len(take) // step)):
            values = self._on_cells(variable, piece.samples[part], len(horizontal), means)
            self._refuse_holes(piece.path, variable.name, values)
            yield part, values

    def mean(
        self, name: str, first_year: float, end_year: float, units: Sequence[str] | None = None
    ) -> np.ndarray:
        """Time mean of a field over model years, a few samples in memory at a time.

        Samples count by their overlap with the years, so annual, monthly and 20-year tapes all serve.

        Args:
            name: field.
            first_year: model year at whose start the mean begins.
            end_year: model year at whose start it ends.
            units: accepted units.

        Returns:
            (gridcell) or (levels, gridcell), float64.

        Raises:
            InputError: the samples do not cover the years, or the field is missing, has other units or
                is fill on a land cell.
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
        total: np.ndarray | float = 0.0
        for samples, values in self.blocks(name, units, overlap > 0.0):
            total = total + np.tensordot(overlap[samples], values, axes=1)
        return np.asarray(total / overlap.sum())

    def _on_cells(
        self, variable: Any, samples: np.ndarray, horizontal: int, means: csr_array | None
    ) -> np.ndarray:
        """Samples of a variable on the land cells, one level in memory beside the result."""
        levels = variable.shape[1 : variable.ndim - horizontal]
        values = np.empty((len(samples), *levels, len(self.grid.row)))
        slab = slice(int(samples[0]), int(samples[-1]) + 1)
        for level in np.ndindex(levels):
            points = np.asarray(variable[(slab, *level, ...)], dtype=np.float64)[samples - samples[0]]
            points = points.reshape(len(samples), -1)
            fill = is_fill(variable, points)
            if means is None:
                points[fill] = FILL_DOUBLE
                values[(slice(None), *level)] = points[:, self.grid.row]
            else:
                points[fill] = 0.0
                weight = (means @ (~fill).T.astype(np.float64)).T
                total = (means @ points.T).T
                found = np.full(total.shape, FILL_DOUBLE)
                values[(slice(None), *level)] = np.divide(total, weight, out=found, where=weight > 0.0)
        return values

    def _refuse_holes(self, path: Path, name: str, values: np.ndarray) -> None:
        surface = values if values.ndim == 2 else values[:, 0]
        bad = ~(np.abs(surface) < FILL_DOUBLE)
        if np.any(bad):
            cell = int(np.argwhere(bad)[0][1])
            raise InputError(
                path,
                f"variable {name} is fill or NaN on land cell {cell + 1}",
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
        if np.any(cell < 0):
            lost = int(entries[np.argmax(cell < 0)])
            raise InputError(
                path,
                f"{prefix}_ixy, {prefix}_jxy: {np.count_nonzero(cell < 0)} entries lie on no land cell, "
                f"first entry {lost + 1}",
                expected="land cells of the grid",
                remedy="use the file as ELM wrote it",
            )
        shape = (len(self.grid.row), len(weight))
        means = csr_array((weight[entries], (cell, entries)), shape=shape)
        if np.any(means.sum(axis=1) > _MOST_WEIGHT):
            raise InputError(path, f"{prefix}_wtgcell: the weights of a cell sum to more than 1")
        self._means[dimension] = (weight, means)
        return means


def _read_files(paths: Sequence[str | Path]) -> tuple[list[_Piece], HistoryGrid]:
    """Files with samples, in order of time, and the grid that all of them have."""
    pieces: list[_Piece] = []
    grid = None
    for path in map(Path, paths):
        with open_dataset(path) as dataset:
            piece, found = _read_times(path, dataset), _read_grid(path, dataset)
        grid = grid or found
        if not same_cells(found, grid):
            raise InputError(
                path,
                f"lat, lon: {len(found.row)} land cells of another grid",
                expected=f"the {len(grid.row)} land cells of {grid.path}",
                remedy="give the files of one run",
            )
        if len(piece.bounds):
            pieces.append(piece)
    assert grid is not None
    return sorted(pieces, key=lambda piece: float(piece.bounds[0, 0])), grid


def same_cells(grid: HistoryGrid, other: HistoryGrid) -> bool:
    """True if two grids hold the same land cells in the same order."""
    return len(grid.row) == len(other.row) and bool(
        np.allclose(grid.lat, other.lat, rtol=0.0, atol=_SAME_DEGREES)
        and np.allclose(np.mod(grid.lon - other.lon + 180.0, 360.0), 180.0, rtol=0.0, atol=_SAME_DEGREES)
    )


def _read_times(path: Path, dataset: netCDF4.Dataset) -> _Piece:
    """Averaging intervals of a file, days since its reference date."""
    time = get_variable(path, dataset, "time")
    calendar = str(getattr(time, "calendar", ""))
    if calendar.lower().replace("_", "") not in _NOLEAP:
        raise InputError(path, f"time has calendar {calendar!r}", expected="'noleap'", remedy=_AS_WRITTEN)
    variable = get_variable(path, dataset, "time_bounds", dims=("time", "hist_interval"))
    bounds = np.asarray(variable[:], dtype=np.float64)
    units = str(getattr(time, "units", ""))
    if len(bounds) == 0:
        raise InputError(path, "time_bounds: the file holds no sample", remedy="leave it out")
    if not np.all(np.isfinite(bounds)):
        raise InputError(
            path,
            "time_bounds: an interval is NaN",
            expected="days since the reference date",
            remedy=_AS_WRITTEN,
        )
    # The sample of step 0, which ELM writes at the start of some tapes, is no mean over time.
    samples = np.flatnonzero((bounds[:, 1] > bounds[:, 0]) & (bounds[:, 1] > 0.0))
    return _Piece(path, samples, bounds[samples], units, frozenset(dataset.variables))


def _reference_year(path: Path, units: str) -> float:
    match = _REFERENCE.match(units)
    if match is None:
        raise InputError(
            path, f"time has units {units!r}", expected="'days since YYYY-MM-DD ...'", remedy=_AS_WRITTEN
        )
    return int(match[1]) + (int(MONTH_STARTS[int(match[2]) - 1]) + int(match[3]) - 1) / DAYS_PER_YEAR


def _read_grid(path: Path, dataset: netCDF4.Dataset) -> HistoryGrid:
    # A tape of vectors that another tool cut down may have lost the grid; its cells are listed too.
    listed = "landmask" not in dataset.variables and "grid1d_lat" in dataset.variables
    return _listed_cells(path, dataset) if listed else _masked_cells(path, dataset)


def _masked_cells(path: Path, dataset: netCDF4.Dataset) -> HistoryGrid:
    def flat(name: str) -> np.ndarray:
        return np.asarray(get_variable(path, dataset, name)[:]).reshape(-1)

    lat, lon = flat("lat").astype(np.float64), flat("lon").astype(np.float64)
    columns = len(lon)
    if "lndgrid" not in dataset.dimensions:
        lat, lon = (axis.reshape(-1) for axis in np.meshgrid(lat, lon, indexing="ij"))
    row = np.flatnonzero(flat("landmask") == 1)
    if len(row) == 0:
        raise InputError(path, "landmask: no cell is land", expected="landmask = 1 on land")
    lat, lon = lat[row], lon[row]
    check_coordinates(path, lat, lon, ("lat", "lon"), distinct=False)
    sizes = None
    if {"area", "landfrac"} <= dataset.variables.keys():
        sizes = flat("area").astype(np.float64)[row], flat("landfrac").astype(np.float64)[row]
        for name, values in zip(("area", "landfrac"), sizes, strict=True):
            bad = ~((values > 0.0) & (values < FILL_DOUBLE))
            if np.any(bad):
                raise InputError(
                    path,
                    f"variable {name} is {values[np.argmax(bad)]:g} on land cell {int(np.argmax(bad)) + 1}",
                    expected="more than 0 on land",
                    remedy=_AS_WRITTEN,
                )
    return HistoryGrid(path, row, lat, lon, _place(row % columns + 1, row // columns + 1), sizes)


def _listed_cells(path: Path, dataset: netCDF4.Dataset) -> HistoryGrid:
    lat, lon, ixy, jxy = (
        np.asarray(get_variable(path, dataset, f"grid1d_{name}", dims=("gridcell",))[:])
        for name in ("lat", "lon", "ixy", "jxy")
    )
    check_coordinates(path, lat, lon, ("grid1d_lat", "grid1d_lon"), distinct=False)
    return HistoryGrid(path, np.arange(len(lat)), lat, lon, _place(ixy, jxy), None)


def _horizontal(path: Path, dataset: netCDF4.Dataset, variable: Any) -> tuple[str, ...]:
    """The dimensions of a field that span the cells, patches, columns or landunits: its last ones."""
    dims = tuple(variable.dimensions)
    if dims[:1] == ("time",):
        for horizontal in (*_GRIDS, *((vector,) for vector in _VECTORS)):
            if dims[-len(horizontal) :] == horizontal:
                return horizontal
        if dims[-1] == "topounit" and variable.shape[-1] == dataset.dimensions["gridcell"].size:
            return ("gridcell",)
    raise InputError(
        path,
        f"variable {variable.name} has dimensions {dims}",
        expected="(time, ..., lat, lon), (time, ..., lndgrid) or (time, ..., pft, column or landunit)",
        remedy="write it with hist_dov2xy = .true." if "topounit" in dims else "",
    )


def _weights(path: Path, dataset: netCDF4.Dataset, dimension: str) -> np.ndarray:
    """Share of its cell that each entry of a vector has (entries)."""
    if dimension == "gridcell":
        return np.ones(dataset.dimensions["gridcell"].size)
    name = f"{_VECTORS[dimension]}_wtgcell"
    weight = np.asarray(get_variable(path, dataset, name, dims=(dimension,))[:], dtype=np.float64)
    if not np.all((weight >= 0.0) & (weight <= _MOST_WEIGHT)):
        raise InputError(path, f"{name} holds no shares of a cell", expected="0 to 1")
    return weight


def _samples_at_once(variable: Any, horizontal: int, ncells: int) -> int:
    """Samples that fit into a block, at least one."""
    levels = int(np.prod(variable.shape[1 : variable.ndim - horizontal]))
    points = int(np.prod(variable.shape[variable.ndim - horizontal :]))
    return max(1, _BLOCK_BYTES // (8 * max(points, levels * ncells)))
