"""Surface data files, 2-D (lsmlat, lsmlon) or 1-D (gridcell)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from phase_lib.base.errors import InputError
from phase_lib.elm.constants import EARTH_RADIUS_KM
from phase_lib.elm.matching import match_cells
from phase_lib.elm.netcdf import get_variable, open_dataset

_HORIZONTAL = (("lsmlat", "lsmlon"), ("gridcell",))


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
        InputError: a variable is missing or not on the grid, or a cell has no partner in the file.
    """
    with open_dataset(path) as dataset:

        def flat(name: str) -> np.ndarray:
            variable = get_variable(path, dataset, name)
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
