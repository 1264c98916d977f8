"""The files that fusion reads, open for access to some cells at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np

from phase_lib.base.errors import InputError
from phase_lib.elm.constants import FILL_THRESHOLD, NATPFT, SECONDS_PER_YEAR, SPINUP_AD, SPINUP_NORMAL
from phase_lib.elm.gather import gather
from phase_lib.elm.history import History
from phase_lib.elm.matching import match_cells
from phase_lib.elm.netcdf import get_variable, open_dataset
from phase_lib.elm.restart import RestartHeader, refuse_other_soil, restart_header
from phase_lib.elm.soil_grid import NLEVDECOMP
from phase_lib.elm.subgrid import SoilColumns, Subgrid, read_subgrid
from phase_lib.elm.surface import horizontal_dims, surface_places, surface_variable
from phase_lib.elm.variables import VARIABLES
from phase_lib.forcing.pieces import MonthlyPieces, open_pieces
from phase_lib.fusion.schema import STATIC, STATIC_LAYERS, STATIC_PFT, TURNOVER

#: Deepest thaw of this and the last year.
_THAW = ("altmax", "altmax_lastyear")
#: Spellings of the units of carbon fluxes in a history.
FLUX_UNITS = ("gC/m^2/s",)


def without_fill(values: np.ndarray) -> np.ndarray:
    """Values with ELM's fill replaced by NaN."""
    return np.where(np.abs(values) >= FILL_THRESHOLD, np.nan, values)


@dataclass(frozen=True)
class RestartSource:
    """An open restart, read by the soil columns of some cells.

    Attributes:
        path: file.
        header: date, spin-up state and flavour.
        subgrid: rows of columns and patches.
        row: row of each dataset cell in the restart's `gridcell` dimension.
    """

    path: Path
    header: RestartHeader
    subgrid: Subgrid
    row: np.ndarray
    _dataset: netCDF4.Dataset

    def has(self, name: str) -> bool:
        """True if the restart holds the variable.

        Raises:
            InputError: it is one that every restart must hold.
        """
        if VARIABLES[name].is_required:
            get_variable(self.path, self._dataset, name)
        return name in self._dataset.variables

    def cover(self, cells: slice) -> np.ndarray:
        """Share of the natural vegetation's ground under each PFT (n, natpft)."""
        return self.subgrid.cover[self.row[cells]]

    def has_soil(self, cells: slice) -> np.ndarray:
        """True where a cell has a column of natural vegetation (n)."""
        return self.subgrid.has_soil[self.row[cells]]

    def soil(self, cells: slice) -> SoilColumns:
        """The soil columns of the cells."""
        return self.subgrid.soil_of(self.row[cells])

    def patch(self, name: str, soil: SoilColumns) -> np.ndarray:
        """A patch variable (soil, natpft), NaN where the PFT has no cover or the file has fill."""
        rows = soil.patch.reshape(-1)
        values = gather(self._variable(name, ("pft",)), rows).reshape(soil.patch.shape)
        return np.where(soil.covered, without_fill(values), np.nan)

    def column(self, name: str, soil: SoilColumns) -> np.ndarray:
        """A variable of columns (soil), NaN for fill."""
        variable = get_variable(self.path, self._dataset, name, dims=("column",))
        return without_fill(gather(variable, soil.column).astype(np.float64))

    @property
    def has_thaw(self) -> bool:
        """True if the restart holds the depths of thaw."""
        return all(name in self._dataset.variables for name in _THAW)

    def thaw(self, soil: SoilColumns) -> np.ndarray:
        """Deepest thaw of this and the last year, of the cells (n), m."""
        return np.asarray(np.maximum(*(soil.mean(self.column(name, soil)) for name in _THAW)))

    def layers(self, name: str, soil: SoilColumns) -> tuple[np.ndarray, np.ndarray]:
        """A layered variable.

        Returns:
            The layers with biogeochemistry (soil, levdecomp), NaN for fill, and those below as they are.
        """
        values = gather(self._variable(name, ("column", "levgrnd")), soil.column)
        return without_fill(values[:, :NLEVDECOMP]), values[:, NLEVDECOMP:]

    def _variable(self, name: str, dims: tuple[str, ...]) -> Any:
        entry = VARIABLES[name]
        units = (entry.units,) if entry.element else None
        return get_variable(self.path, self._dataset, name, dims=dims, units=units)


#: Flag of a restart -> what it means, and where a restart with it comes from.
_MODES = {
    SPINUP_NORMAL: ("0 (normal mode)", "give the restart of a run that has left AD, or an injected one"),
    SPINUP_AD: ("1 (accelerated decomposition)", "give the restart of the AD run"),
}


@contextmanager
def open_restart(
    path: str | Path, cells: tuple[np.ndarray, np.ndarray] | None = None, *, spinup_state: int | None = None
) -> Iterator[RestartSource]:
    """Opens a restart.

    Args:
        path: file.
        cells: lat, lon of the wanted cells (n), degrees; None for all of the file in the order of
            the dataset, by latitude, then longitude.
        spinup_state: what the file must be flagged, or None for either.

    Raises:
        InputError: unreadable, flagged otherwise, or a cell has no partner.
    """
    with open_dataset(path) as dataset:
        header = restart_header(path, dataset)
        if spinup_state is not None and header.spinup_state != spinup_state:
            what = f"spinup_state is {header.spinup_state}"
            expected, remedy = _MODES[spinup_state]
            raise InputError(path, what, expected=expected, remedy=remedy)
        refuse_other_soil(header)
        subgrid = read_subgrid(path, dataset)
        if cells is None:
            row = order_cells(subgrid.lat, subgrid.lon)
        else:
            row, _ = match_cells(*cells, subgrid.lat, subgrid.lon, file=path, what="restart cells")
        yield RestartSource(Path(path), header, subgrid, row, dataset)


def order_cells(lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
    """Order of cells by latitude, then longitude in 0-360; rounding keeps a row of a grid together."""
    return np.lexsort((np.round(lon % 360.0, 4), np.round(lat, 4)))


@dataclass(frozen=True)
class ForcingSource:
    """Monthly forcing on the dataset's cells."""

    pieces: MonthlyPieces
    _row: np.ndarray

    def read(self, name: str, cells: slice) -> np.ndarray:
        """Monthly means (n, time); the first is January of the year that model year 1 sees."""
        rows = self._row[cells]
        series = [gather(variable, rows) for variable in self.pieces.on_file(name)]
        return self.pieces.from_model_year_one(np.concatenate(series, axis=1))


@contextmanager
def open_forcing(
    paths: str | Path | Sequence[str | Path], lat: np.ndarray, lon: np.ndarray
) -> Iterator[ForcingSource]:
    """Opens all pieces of a forcing cycle for the given cells (n), degrees.

    Raises:
        InputError: pieces do not make a cycle, a variable has other units, or a cell is not there.
    """
    with open_pieces(paths) as pieces:
        path = pieces.paths[0]
        row, _ = match_cells(lat, lon, pieces.lat, pieces.lon, file=path, what="forcing cells")
        yield ForcingSource(pieces, row)


@dataclass(frozen=True)
class SurfaceSource:
    """Static surface fields on the dataset's cells."""

    path: Path
    _row: np.ndarray
    _grid: tuple[int, ...]
    _dataset: netCDF4.Dataset

    def read(self, name: str, cells: slice) -> np.ndarray:
        """A field with the cell first: (n) or (n, levels); PFTs that the file lacks have no cover."""
        variable = surface_variable(self.path, self._dataset, name)
        axis = variable.ndim - len(self._grid)
        row = self._row[cells]
        if len(self._grid) == 1:
            values = gather(variable, row, axis)
        else:
            lines, place = np.unique(row // self._grid[1], return_inverse=True)
            values = gather(variable, lines, axis)[..., place, row % self._grid[1]]
        values = np.moveaxis(without_fill(values), -1, 0)
        if name in STATIC_PFT and values.shape[1] < NATPFT:
            values = np.pad(values, ((0, 0), (0, NATPFT - values.shape[1])))
        return values


def require_static(path: str | Path, dataset: netCDF4.Dataset) -> tuple[str, ...]:
    """The horizontal dimensions of an open surface file that holds all static fields.

    Raises:
        InputError: a field is missing or has other dimensions or units.
    """
    horizontal = horizontal_dims(path, surface_variable(path, dataset, "LATIXY"))
    level = {**dict.fromkeys(STATIC_PFT, ("natpft",)), **dict.fromkeys(STATIC_LAYERS, ("nlevsoi",))}
    for name in STATIC:
        surface_variable(path, dataset, name, (*level.get(name, ()), *horizontal))
    return horizontal


@contextmanager
def open_surface(path: str | Path, lat: np.ndarray, lon: np.ndarray) -> Iterator[SurfaceSource]:
    """Opens a surface file, 2-D (lsmlat, lsmlon) or 1-D (gridcell), for the given cells.

    Raises:
        InputError: a variable is missing or has other dimensions or units, or a cell is not there.
    """
    with open_dataset(path) as dataset:
        horizontal = require_static(path, dataset)
        grid = surface_variable(path, dataset, "LATIXY", horizontal).shape
        row, _ = match_cells(lat, lon, *surface_places(path, dataset), file=path, what="surface cells")
        yield SurfaceSource(Path(path), row, grid, dataset)


def history_fluxes(
    history: History, row: np.ndarray, end_year: int, years: int, names: Sequence[str]
) -> dict[str, np.ndarray]:
    """Means of carbon fluxes over the years before a date.

    Args:
        history: of one run.
        row: position of each cell among the history's land cells (gridcell).
        end_year, years: model year at whose start the average ends, and its length.
        names: fields, in gC m-2 s-1 on file.

    Returns:
        Name -> gC m-2 yr-1 (gridcell).

    Raises:
        InputError: a field is missing or has other units, or the files do not cover the years.
    """
    means = history.means(dict.fromkeys(names, FLUX_UNITS), end_year - years, end_year)
    return {name: mean[row] * SECONDS_PER_YEAR for name, mean in means.items()}


def history_turnover(history: History, row: np.ndarray, end_year: int, years: int) -> dict[str, np.ndarray]:
    """Means of what passes through the cells, as far as the history holds it.

    Args:
        history, row, end_year, years: as in `history_fluxes`.

    Returns:
        Name of `TURNOVER` -> g m-2 yr-1 (gridcell). A mean is left out where one of its fields is missing,
        or is fill on all of the cells.

    Raises:
        InputError: a field has other units, or the files do not cover the years.
    """
    fields = {
        name: [*entry.fields, *(field for field in entry.also if field in history.variables)]
        for name, entry in TURNOVER.items()
        if all(field in history.variables for field in entry.fields)
    }
    units = {field: TURNOVER[name].accepted for name, parts in fields.items() for field in parts}
    means = history.means(units, end_year - years, end_year, holes=True) if units else {}
    sums = {name: sum(means[field][row] for field in parts) for name, parts in fields.items()}
    return {name: values * SECONDS_PER_YEAR for name, values in sums.items() if np.isfinite(values).any()}
