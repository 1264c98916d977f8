"""Surface data files, 2-D (lsmlat, lsmlon) or 1-D (gridcell)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np

from phase_lib.base.errors import InputError
from phase_lib.elm.constants import FILL_THRESHOLD, LATITUDE_UNITS, LONGITUDE_UNITS, NATPFT
from phase_lib.elm.coordinates import AREA_UNITS, area_km2, check_coordinates
from phase_lib.elm.matching import match_cells
from phase_lib.elm.netcdf import get_variable, open_dataset
from phase_lib.elm.soil_grid import NLEVDECOMP
from phase_lib.elm.spinup import SURFACE_P

_HORIZONTAL = (("lsmlat", "lsmlon"), ("gridcell",))
#: First dimension of the fields that have levels.
_LEVELS = {"PCT_NAT_PFT": "natpft", **dict.fromkeys(("PCT_SAND", "PCT_CLAY", "ORGANIC"), "nlevsoi")}
#: Natural PFTs: all of them, or those that a crop landunit leaves.
_NATURAL_PFTS = (15, NATPFT)
_NO_UNITS = ("unitless", "1", "-", "none")
_PHOSPHORUS_UNITS = ("gP/m2", "gP/m^2", "gP m-2", "gp/m2", "gp/m^2", "gP/m**2")
#: Spellings of the units that a field may have on file; percentages are called unitless there.
UNITS: dict[str, tuple[str, ...]] = {
    "LATIXY": LATITUDE_UNITS,
    "LONGXY": LONGITUDE_UNITS,
    "AREA": AREA_UNITS,
    "LANDFRAC_PFT": _NO_UNITS,
    "SOIL_COLOR": _NO_UNITS,
    "SOIL_ORDER": _NO_UNITS,
    **dict.fromkeys(("PCT_NATVEG", "PCT_NAT_PFT", "PCT_SAND", "PCT_CLAY"), ("%", "percent", *_NO_UNITS)),
    "ORGANIC": ("kg/m3 (assumed carbon content 0.58 gC per gOM)", "kg/m3", "kg/m^3", "kg m-3", "kg/m**3"),
    **dict.fromkeys(SURFACE_P, _PHOSPHORUS_UNITS),
}


def surface_variable(
    path: str | Path, dataset: netCDF4.Dataset, name: str, dims: tuple[str, ...] | None = None
) -> Any:
    """A field of an open surface file, its units, soil layers and PFTs checked.

    Raises:
        InputError: it is missing, has other dimensions or units, other than ten soil layers, or other than
            the natural PFTs.
    """
    variable = get_variable(path, dataset, name, dims, UNITS.get(name))
    level = _LEVELS.get(name)
    if level is not None and variable.dimensions[:1] != (level,):
        raise InputError(
            path,
            f"variable {name} has dimensions ({', '.join(variable.dimensions)})",
            expected=f"({level}, lsmlat, lsmlon) or ({level}, gridcell)",
            remedy="use the surface data as it was made",
        )
    if "nlevsoi" in variable.dimensions and dataset.dimensions["nlevsoi"].size != NLEVDECOMP:
        raise InputError(
            path,
            f"variable {name} has {dataset.dimensions['nlevsoi'].size} layers (dimension nlevsoi)",
            expected=f"{NLEVDECOMP}, the layers with biogeochemistry",
            remedy="use surface data on ELM's standard soil layers",
        )
    if "natpft" in variable.dimensions and dataset.dimensions["natpft"].size not in _NATURAL_PFTS:
        raise InputError(
            path,
            f"variable {name} has {dataset.dimensions['natpft'].size} PFTs (dimension natpft)",
            expected=f"{NATPFT}, or 15 beside a crop landunit",
            remedy="use surface data with ELM's standard PFTs",
        )
    return variable


def horizontal_dims(path: str | Path, variable: Any) -> tuple[str, ...]:
    """The dimensions of a field that span the cells: (lsmlat, lsmlon) or (gridcell,), its last ones.

    Raises:
        InputError: it is not on the grid.
    """
    for horizontal in _HORIZONTAL:
        if tuple(variable.dimensions[-len(horizontal) :]) == horizontal:
            return horizontal
    raise InputError(
        path,
        f"variable {variable.name} has dimensions {variable.dimensions}",
        expected="(..., lsmlat, lsmlon) or (..., gridcell)",
        remedy="use the surface data as it was made",
    )


def surface_places(path: str | Path, dataset: netCDF4.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Latitudes and longitudes of all points of an open surface file (points), degrees.

    Raises:
        InputError: they are missing or no places on the globe.
    """
    places = [surface_variable(path, dataset, name) for name in ("LATIXY", "LONGXY")]
    for variable in places:
        get_variable(path, dataset, variable.name, horizontal_dims(path, places[0]))
    lat, lon = (np.asarray(variable[:], dtype=np.float64).reshape(-1) for variable in places)
    check_coordinates(path, lat, lon, ("LATIXY", "LONGXY"), distinct=False)
    return lat, lon


def read_surface(
    path: str | Path, names: list[str], lat: np.ndarray, lon: np.ndarray
) -> dict[str, np.ndarray]:
    """Reads surface fields of given cells.

    Cells are found by their coordinates on the sphere, so the file may be 2-D or 1-D, global or
    regional, with either longitude convention. One level of one field is in memory beside the result.

    Args:
        path: surface file.
        names: variables.
        lat, lon: wanted cells (gridcell), degrees.

    Returns:
        Name -> values with the cell first: (gridcell) or (gridcell, levels); `AREA` in km2.

    Raises:
        InputError: a variable is missing, has other units or is not on the grid, or a cell has no
            partner in the file.
    """
    with open_dataset(path) as dataset:
        row, _ = match_cells(lat, lon, *surface_places(path, dataset), file=path, what="surface cells")
        fields = {name: _of_cells(path, surface_variable(path, dataset, name), row) for name in names}
    if "AREA" in fields:
        fields["AREA"] = area_km2(fields["AREA"])
    return fields


@contextmanager
def open_field(
    path: str | Path, name: str, lat: np.ndarray, lon: np.ndarray
) -> Iterator[Callable[[slice], np.ndarray]]:
    """A field with levels, read for some of the given cells at a time.

    Args:
        path: surface file.
        name: variable.
        lat, lon: cells (gridcell), degrees, found as by `read_surface`.

    Yields:
        What reads the values of a range of the cells (range, levels); the points between them on the grid are
        read along.

    Raises:
        InputError: as `read_surface`.
    """
    with open_dataset(path) as dataset:
        row, _ = match_cells(lat, lon, *surface_places(path, dataset), file=path, what="surface cells")
        variable = surface_variable(path, dataset, name)
        # Points in a line of the grid; a list of cells has one in each.
        width = int(np.prod([dataset.dimensions[dim].size for dim in horizontal_dims(path, variable)[1:]]))

        def read(cells: slice) -> np.ndarray:
            line = row[cells] // width
            first, stop = int(line.min()), int(line.max()) + 1
            slab = np.asarray(variable[:, first:stop]).reshape(variable.shape[0], -1)
            return slab.T[row[cells] - first * width]

        yield read


def _of_cells(path: str | Path, variable: Any, row: np.ndarray) -> np.ndarray:
    levels = variable.shape[: variable.ndim - len(horizontal_dims(path, variable))]
    values = np.empty((len(row), *levels), dtype=variable.dtype)
    for level in np.ndindex(levels):
        values[(slice(None), *level)] = np.asarray(variable[(*level, ...)]).reshape(-1)[row]
    return values


def count_land(path: str | Path) -> int:
    """Points of a surface file that have land: `LANDFRAC_PFT` above 0.

    Raises:
        InputError: it is missing or has other units.
    """
    with open_dataset(path) as dataset:
        return int(np.count_nonzero(np.asarray(surface_variable(path, dataset, "LANDFRAC_PFT")[:]) > 0.0))


def read_land_area(path: str | Path, lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
    """Land area of given cells (gridcell), m2: `AREA` times `LANDFRAC_PFT`.

    Args:
        path: surface file.
        lat, lon: wanted cells (gridcell), degrees.

    Raises:
        InputError: as `read_surface`, or an area is no amount.
    """
    fields = read_surface(path, ["AREA", "LANDFRAC_PFT"], lat, lon)
    for name, values in fields.items():
        # Some lists have 0 for every AREA; the account of an injection is then without stocks.
        wrong = ~((values >= 0.0) & (values < FILL_THRESHOLD))
        if np.any(wrong):
            cell = int(np.argmax(wrong))
            raise InputError(
                path,
                f"variable {name} is {values[cell]:g} in cell {cell + 1} "
                f"(lat {lat[cell]:.3f} lon {lon[cell]:.3f})",
                expected="0 or more",
                remedy="repair the surface data",
            )
    return np.asarray(fields["AREA"] * fields["LANDFRAC_PFT"] * 1.0e6)
