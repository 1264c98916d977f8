"""The land cells of a history file, with places and sizes.

ELM marks them with `landmask` 1. A tool that takes a history to another grid leaves fractions there, and
a cell counts as soon as it has data and a land fraction. The log names how many cells are left out, and why.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from itertools import islice
from pathlib import Path

import netCDF4
import numpy as np

from phase_lib.base.errors import InputError
from phase_lib.elm.constants import FILL_DOUBLE, FILL_INT, LATITUDE_UNITS, LONGITUDE_UNITS
from phase_lib.elm.coordinates import check_coordinates, labelled_km2, refuse_more_land, require_positive
from phase_lib.elm.netcdf import get_variable, is_fill
from phase_lib.elm.units import FRACTIONS, LABEL_FRACTIONS, are_among, factor_of, units_of

#: Variables that give the size of the cells.
_SIZES = ("area", "landfrac")
history_fault = partial(InputError, remedy="use the history as ELM wrote it")
#: Cells of two files of one run are the same when their centres agree to this many degrees (float32).
_SAME_DEGREES = 1.0e-3
#: Fractions may exceed 1 by this: sums of a regridder's float32 weights.
_ROUNDING = 1.0e-3
#: Fields that are searched for data: fields of lakes or cities are fill on some land, fields of the air have
#: numbers at sea. Where this share of them has numbers there is land.
_LOOKED_AT, _ENOUGH = 12, 0.5


@dataclass(frozen=True)
class _Sizes:
    """Areas and land fractions as they are on file (gridcell), with their units."""

    area: np.ndarray
    area_units: str
    landfrac: np.ndarray
    landfrac_units: str


@dataclass(frozen=True)
class HistoryGrid:
    """Land cells of a history file.

    Sizes are checked when they are asked for, which raises an InputError where the file lacks them, or where
    they cannot be those of land.

    Attributes:
        path: file that they were read from.
        row: position of each land cell on the flattened grid (gridcell).
        lat, lon: degrees (gridcell).
        remarks: which cells count as land, or do not, against their land mask.
        missing: variables without which the size of the cells is unknown.
    """

    path: Path
    row: np.ndarray
    lat: np.ndarray
    lon: np.ndarray
    remarks: tuple[str, ...]
    missing: tuple[str, ...]
    _place: np.ndarray
    _sizes: _Sizes | None

    @property
    def area(self) -> np.ndarray:
        """Area of each cell, km2 (gridcell)."""
        return self._checked_sizes[0]

    @property
    def landfrac(self) -> np.ndarray:
        """Land fraction of each cell (gridcell)."""
        return self._checked_sizes[1]

    @property
    def land_area_m2(self) -> np.ndarray:
        """Land area of each cell, m2: history values are per m2 of land."""
        area, landfrac = self._checked_sizes
        return area * landfrac * 1.0e6

    @cached_property
    def _checked_sizes(self) -> tuple[np.ndarray, np.ndarray]:
        """Areas in km2 and land fractions, by the units on file."""
        sizes = self._sizes
        if sizes is None:
            what = f"variable {' and '.join(self.missing)} is missing"
            raise history_fault(self.path, what, expected="those that ELM writes into every history file")
        for name, values in (("area", sizes.area), ("landfrac", sizes.landfrac)):
            require_positive(name, values, FILL_DOUBLE, partial(history_fault, self.path))
        area = labelled_km2(self.path, "area", sizes.area, sizes.area_units)
        landfrac = _fraction(self.path, "landfrac", sizes.landfrac, sizes.landfrac_units)
        refuse_more_land(self.path, ("area", "landfrac"), float(area @ landfrac))
        return area, landfrac

    def cells_at(self, ixy: np.ndarray, jxy: np.ndarray) -> np.ndarray:
        """Position among the land cells of places on the grid (n), -1 where there is no land cell."""
        order = np.argsort(self._place)
        wanted = _place(ixy, jxy)
        cell = order[np.minimum(np.searchsorted(self._place, wanted, sorter=order), len(order) - 1)]
        return np.where(self._place[cell] == wanted, cell, -1)


def _place(ixy: np.ndarray, jxy: np.ndarray) -> np.ndarray:
    """One number for a column and a row of the grid."""
    return (np.asarray(jxy, dtype=np.int64) << 32) + np.asarray(ixy, dtype=np.int64)


def same_cells(grid: HistoryGrid, other: HistoryGrid) -> bool:
    """True if two grids hold the same land cells in the same order."""
    return len(grid.row) == len(other.row) and bool(
        np.allclose(grid.lat, other.lat, rtol=0.0, atol=_SAME_DEGREES)
        and np.allclose(np.mod(grid.lon - other.lon + 180.0, 360.0), 180.0, rtol=0.0, atol=_SAME_DEGREES)
    )


def is_point(dataset: netCDF4.Dataset) -> bool:
    """True where a file holds one place, with or without horizontal dimensions."""
    return all(name in dataset.variables and dataset[name].size == 1 for name in ("lat", "lon"))


def read_land_cells(path: Path, dataset: netCDF4.Dataset, like: HistoryGrid | None = None) -> HistoryGrid:
    """The land cells of an open history file.

    Args:
        path: for messages.
        dataset: the file.
        like: those of another file of the run, which are kept where the land mask allows it.

    Raises:
        InputError: no land cell, another grid than ELM's, or variables that cannot be.
    """
    # A tape of vectors that another tool cut down may have lost the grid; its cells are listed too.
    listed = "landmask" not in dataset.variables and "grid1d_lat" in dataset.variables
    return _listed_cells(path, dataset) if listed else _masked_cells(path, dataset, like)


def _listed_cells(path: Path, dataset: netCDF4.Dataset) -> HistoryGrid:
    lat, lon, ixy, jxy = (
        np.asarray(get_variable(path, dataset, f"grid1d_{name}", dims=("gridcell",))[:])
        for name in ("lat", "lon", "ixy", "jxy")
    )
    check_coordinates(path, lat, lon, ("grid1d_lat", "grid1d_lon"), distinct=False)
    return HistoryGrid(path, np.arange(len(lat)), lat, lon, (), _SIZES, _place(ixy, jxy), None)


def _masked_cells(path: Path, dataset: netCDF4.Dataset, like: HistoryGrid | None) -> HistoryGrid:
    dims, lat, lon, columns = _places(path, dataset)
    fraction = None
    if "landfrac" in dataset.variables:
        fraction = _constant(path, dataset, "landfrac", dims)
    row, remarks = _land(path, dataset, dims, fraction, like)
    lat, lon = lat[row], lon[row]
    check_coordinates(path, lat, lon, ("lat", "lon"), distinct=False)
    sizes, missing = None, tuple(name for name in _SIZES if name not in dataset.variables)
    if fraction is not None and not missing:
        area = _constant(path, dataset, "area", dims)[row]
        sizes = _Sizes(area, units_of(dataset["area"]), fraction[row], units_of(dataset["landfrac"]))
    place = _place(row % columns + 1, row // columns + 1)
    return HistoryGrid(path, row, lat, lon, remarks, missing, place, sizes)


def _places(path: Path, dataset: netCDF4.Dataset) -> tuple[tuple[str, ...], np.ndarray, np.ndarray, int]:
    """Horizontal dimensions, none for a point; lat and lon of all places (points); columns of the grid."""
    lat, lon = (
        get_variable(path, dataset, name, units=units)
        for name, units in (("lat", LATITUDE_UNITS), ("lon", LONGITUDE_UNITS))
    )
    on = tuple(tuple(dim for dim in axis.dimensions if dim != "time") for axis in (lat, lon))
    if is_point(dataset):
        dims: tuple[str, ...] = ()
    elif on == (("lndgrid",), ("lndgrid",)):
        dims = ("lndgrid",)
    elif on == (("lat",), ("lon",)):
        dims = ("lat", "lon")
    else:
        what = f"lat({', '.join(on[0])}) and lon({', '.join(on[1])}) are no grid of ELM"
        expected = "lat(lat) and lon(lon), lat(lndgrid) and lon(lndgrid), or one value each"
        raise history_fault(path, what, expected=expected)
    north = _constant(path, dataset, "lat", dims[:1])
    east = _constant(path, dataset, "lon", dims[-1:])
    columns = len(east)
    if len(dims) == 2:
        north, east = (axis.reshape(-1) for axis in np.meshgrid(north, east, indexing="ij"))
    return dims, north, east, columns


def _constant(path: Path, dataset: netCDF4.Dataset, name: str, dims: tuple[str, ...]) -> np.ndarray:
    """A variable of the grid, flattened, float64 (points); tools that join files repeat it in time."""
    variable = get_variable(path, dataset, name)
    in_time = variable.dimensions[:1] == ("time",)
    on = variable.dimensions[1:] if in_time else variable.dimensions
    one = not dims and all(size == 1 for size in variable.shape[in_time:])
    if (tuple(on) != dims and not one) or (in_time and variable.shape[0] == 0):
        what = f"variable {name} has dimensions ({', '.join(variable.dimensions)})"
        raise history_fault(path, what, expected=f"({', '.join(dims)})")
    first = np.asarray(variable[0] if in_time else variable[...], dtype=np.float64)
    if in_time:
        for sample in range(1, variable.shape[0]):
            if not np.array_equal(first, np.asarray(variable[sample], dtype=np.float64), equal_nan=True):
                raise InputError(path, f"variable {name} changes in time", expected="one value for each cell")
    return first.reshape(-1)


def _fraction(path: Path, name: str, values: np.ndarray, units: str) -> np.ndarray:
    """Fractions, which ELM writes without units, by their units: of 1 or percent."""
    factor = factor_of(path, name, units, FRACTIONS) if units else 1.0
    percent = factor < 1.0
    largest = float(values.max(initial=0.0))
    if (percent and 0.0 < largest <= 1.0) or largest > (100.0 if percent else 1.0) * (1.0 + _ROUNDING):
        label = f"with units {units!r}" if units else "without units"
        raise InputError(
            path,
            f"variable {name} is at most {largest:g}, {label}",
            expected="percent of the cell" if percent else "a fraction from 0 to 1, or units %",
            remedy=LABEL_FRACTIONS,
        )
    return values * factor


def _land(
    path: Path,
    dataset: netCDF4.Dataset,
    dims: tuple[str, ...],
    fraction: np.ndarray | None,
    like: HistoryGrid | None,
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Positions of the land cells (gridcell), and remarks on those that the land mask does not decide.

    A mask of 1 is land. Between 0 and 1, or 0 with a land fraction, the data decide.
    """
    variable = get_variable(path, dataset, "landmask")
    mask = _constant(path, dataset, "landmask", dims)
    mask = np.where(is_fill(variable, mask) | np.isnan(mask) | (mask == FILL_INT), 0.0, mask)
    if np.any(mask < 0.0):
        raise history_fault(path, f"landmask is {mask.min():g} in a cell", expected="0 to 1")
    units = units_of(variable)
    # With units of other things than shares the mask is a flag.
    mask = _fraction(path, "landmask", mask, units if are_among(units, FRACTIONS) else "")
    certain, positive = mask >= 1.0, np.ones(len(mask), dtype=bool)
    open_to_doubt = (mask > 0.0) & ~certain
    if fraction is not None:
        positive = (fraction > 0.0) & (fraction < FILL_DOUBLE) & ~is_fill(dataset["landfrac"], fraction)
        open_to_doubt |= ~certain & positive
    if like is not None and _fits(like.row, certain, open_to_doubt):
        return like.row, like.remarks
    land = certain
    remarks = []
    if np.any(open_to_doubt):
        data = _with_data(dataset, dims, len(mask))
        land = certain | (open_to_doubt & positive & data)
        masked = mask > 0.0
        lost, added = masked & ~land, np.count_nonzero(land & ~masked)
        if np.any(lost):
            remarks.append(
                f"{np.count_nonzero(lost)} of {np.count_nonzero(masked)} cells whose landmask is above 0 are "
                f"left out: {np.count_nonzero(lost & ~data)} without data, "
                f"{np.count_nonzero(lost & data)} without a land fraction"
            )
        if added:
            what = "cells whose landmask is 0 or no number count: they have data and a land fraction"
            remarks.append(f"{added} {what}")
    row = np.flatnonzero(land)
    if len(row) == 0:
        raise InputError(path, "landmask: no cell is land", expected="landmask = 1 on land")
    return row, tuple(remarks)


def _fits(row: np.ndarray, certain: np.ndarray, doubtful: np.ndarray) -> bool:
    """True if these land cells are all that a mask is certain of, and no others than it allows."""
    if row[-1] >= len(certain):
        return False
    allowed = certain[row] | doubtful[row]
    return bool(np.all(allowed) and np.count_nonzero(certain[row]) == np.count_nonzero(certain))


def _with_data(dataset: netCDF4.Dataset, dims: tuple[str, ...], points: int) -> np.ndarray:
    """True where half of the first fields have a number in their first sample (points)."""
    fields = [
        v
        for v in dataset.variables.values()
        if v.dimensions == ("time", *dims) and len(v) > 0 and getattr(v.dtype, "kind", "U") in "iuf"
    ]
    looked_at, with_number = 0, np.zeros(points)
    for field in islice(fields, _LOOKED_AT):
        values = np.asarray(field[0], dtype=np.float64).reshape(-1)
        numbers = np.isfinite(values) & ~is_fill(field, values)
        looked_at, with_number = looked_at + bool(numbers.any()), with_number + numbers
    return with_number >= _ENOUGH * looked_at
