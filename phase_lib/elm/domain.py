"""Domain files: which cells of a grid are land."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import netCDF4
import numpy as np

from phase_lib.base.errors import InputError
from phase_lib.elm.constants import EARTH_RADIUS_KM, FILL_THRESHOLD, LATITUDE_UNITS, LONGITUDE_UNITS
from phase_lib.elm.coordinates import (
    check_coordinates,
    check_land_area,
    refuse_more_land,
    require_positive,
    scaled,
    to_km2,
)
from phase_lib.elm.netcdf import get_variable, open_dataset
from phase_lib.elm.units import FRACTIONS, LABEL_FRACTIONS, factor_of, units_of

_UNITS = {"xc": LONGITUDE_UNITS, "yc": LATITUDE_UNITS}
#: Dimensions of a grid; a list may have lost one of them, and a single point both.
GRID = ("nj", "ni")
_AREAS = ("area", "frac")
_fault = partial(InputError, remedy="give the domain file of the run")


@dataclass(frozen=True)
class Domain:
    """Land cells of a domain file, in restart order (mask = 1, row-major).

    Attributes:
        path: file.
        shape: (nj, ni) of the full grid.
        row: position of each land cell in the flattened full grid (gridcell).
        lat, lon: cell centres (gridcell), degrees.
        frac: land fraction (gridcell).
        area: cell area (gridcell), steradian, whether the file holds radian2, km2 or m2.
        axes: latitude of each row (nj) and longitude of each column (ni) of the grid, degrees.
    """

    path: Path
    shape: tuple[int, int]
    row: np.ndarray
    lat: np.ndarray
    lon: np.ndarray
    frac: np.ndarray
    area: np.ndarray
    axes: tuple[np.ndarray, np.ndarray]

    @property
    def ncells(self) -> int:
        """Number of land cells."""
        return len(self.row)


def read_domain(path: str | Path) -> Domain:
    """Reads a domain file: a grid, a list of cells (nj = 1, or `ni` alone), or a point without dimensions.

    Raises:
        InputError: unreadable, a variable is missing or has no or other units, no cell is land, or a land
            cell lies nowhere or twice in one place, or has no area or land, or more than there can be.
    """
    with open_dataset(path) as dataset:
        dims = cell_dims(dataset)
        variables = {
            name: get_variable(path, dataset, name, dims, _UNITS.get(name))
            for name in ("xc", "yc", "mask", "frac", "area")
        }
        km2 = to_km2(path, variables["area"])
        share = factor_of(path, "frac", units_of(variables["frac"]), FRACTIONS)
        fields = {name: np.asarray(variable[...]).reshape(-1) for name, variable in variables.items()}
        rows, columns = (dataset.dimensions[dim].size if dim in dims else 1 for dim in GRID)
    shape, row = (rows, columns), _land(path, fields["mask"])
    if share < 1.0 and np.all(fields["frac"][row] <= 1.0):
        what = f"variable frac is at most {fields['frac'][row].max():g}, with units '%'"
        raise InputError(path, what, expected="percent of the cell", remedy=LABEL_FRACTIONS)
    fields["frac"] = scaled(share, fields["frac"])
    axes = fields["yc"].reshape(shape)[:, 0], fields["xc"].reshape(shape)[0]
    lat, lon, frac, area = (fields[name][row] for name in ("yc", "xc", "frac", "area"))
    check_coordinates(path, lat, lon, ("yc", "xc"))
    for name, values in (("frac", frac), ("area", area)):
        require_positive(name, values, FILL_THRESHOLD, partial(_fault, path))
    area = km2(area)
    refuse_more_land(path, _AREAS, check_land_area(path, _AREAS, area, frac))
    return Domain(Path(path), shape, row, lat, lon, frac, area / EARTH_RADIUS_KM**2, axes)


def cell_dims(dataset: netCDF4.Dataset) -> tuple[str, ...]:
    """Dimensions that all fields must have: those of `xc` where it is a list or a point."""
    dims: tuple[str, ...] = dataset.variables["xc"].dimensions if "xc" in dataset.variables else GRID
    return dims if dims in (("ni",), ("nj",), ()) else GRID


def _land(path: str | Path, mask: np.ndarray) -> np.ndarray:
    """Places of the land cells, at least one; a mask between sea and land is refused."""
    other = np.flatnonzero((mask > 0) & (mask != 1) & (mask < FILL_THRESHOLD))
    if len(other):
        raise InputError(
            path,
            f"variable mask is {mask[other[0]]:.9g} in {len(other)} cells, first cell {other[0] + 1}",
            expected="1 on land, 0 at sea: ELM reads whole numbers",
            remedy="make the domain file without interpolation",
        )
    row = np.flatnonzero(mask == 1)
    if len(row) == 0:
        raise _fault(path, "mask: no cell is land", expected="mask = 1 on land")
    return row
