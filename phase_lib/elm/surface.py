"""Surface data files, 2-D (lsmlat, lsmlon) or 1-D (gridcell)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import netCDF4
import numpy as np

from phase_lib.base.errors import InputError
from phase_lib.elm.constants import EARTH_RADIUS_KM, LATITUDE_UNITS, LONGITUDE_UNITS
from phase_lib.elm.matching import match_cells
from phase_lib.elm.netcdf import get_variable, open_dataset
from phase_lib.elm.spinup import SURFACE_P

_HORIZONTAL = (("lsmlat", "lsmlon"), ("gridcell",))
_NO_UNITS = ("unitless", "1", "-", "none")
_PHOSPHORUS_UNITS = ("gP/m2", "gP/m^2", "gP m-2", "gp/m2", "gp/m^2", "gP/m**2")
#: Spellings of the units that a field may have on file; percentages are called unitless there.
UNITS: dict[str, tuple[str, ...]] = {
    "LATIXY": LATITUDE_UNITS,
    "LONGXY": LONGITUDE_UNITS,
    "AREA": ("km^2", "km2", "km**2"),
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
    """A field of an open surface file, its units checked.

    Raises:
        InputError: it is missing, or has other dimensions or units.
    """
    return get_variable(path, dataset, name, dims, UNITS.get(name))


def read_surface(
    path: str | Path, names: list[str], lat: np.ndarray, lon: np.ndarray
) -> dict[str, np.ndarray]:
    """Reads surface fields of given cells.

    Cells are found by their coordinates on the sphere, so the file may be 2-D or 1-D, global or
    regional, with either longitude convention.

    Args:
        path: surface file.
        names: variables.
        lat, lon: wanted cells (gridcell), degrees.

    Returns:
        Name -> values with the cell first: (gridcell) or (gridcell, levels).

    Raises:
        InputError: a variable is missing, has other units or is not on the grid, or a cell has no
            partner in the file.
    """
    with open_dataset(path) as dataset:

        def flat(name: str) -> np.ndarray:
            variable = surface_variable(path, dataset, name)
            for horizontal in _HORIZONTAL:
                if tuple(variable.dimensions[-len(horizontal) :]) == horizontal:
                    values = np.asarray(variable[:])
                    return values.reshape(*values.shape[: values.ndim - len(horizontal)], -1)
            raise InputError(
                path,
                f"variable {name} has dimensions {variable.dimensions}",
                expected="(..., lsmlat, lsmlon) or (..., gridcell)",
            )

        row, _ = match_cells(lat, lon, flat("LATIXY"), flat("LONGXY"), file=path, what="surface cells")
        return {name: np.moveaxis(flat(name)[..., row], -1, 0) for name in names}


#: No land cell is as small as this in km2 nor as large in steradian.
_LEAST_AREA_KM2 = 0.01


def read_land_area(path: str | Path, lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
    """Land area of given cells (gridcell), m2: `AREA` times `LANDFRAC_PFT`.

    Regional surface files are about whose `AREA` says km^2 and holds steradian, taken over from the
    domain file; the size of the numbers tells which.

    Args:
        path: surface file.
        lat, lon: wanted cells (gridcell), degrees.
    """
    fields = read_surface(path, ["AREA", "LANDFRAC_PFT"], lat, lon)
    area = fields["AREA"].astype(np.float64)
    if np.max(area) < _LEAST_AREA_KM2:
        area = area * EARTH_RADIUS_KM**2
    return np.asarray(area * fields["LANDFRAC_PFT"] * 1.0e6)
