"""Domain files: which cells of a grid are land."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from phase_lib.base.errors import InputError
from phase_lib.elm.constants import EARTH_RADIUS_KM, FILL_THRESHOLD, LATITUDE_UNITS, LONGITUDE_UNITS
from phase_lib.elm.coordinates import AREA_UNITS, area_km2, check_coordinates
from phase_lib.elm.netcdf import get_variable, open_dataset

_UNITS = {"xc": LONGITUDE_UNITS, "yc": LATITUDE_UNITS, "area": AREA_UNITS}


@dataclass(frozen=True)
class Domain:
    """Land cells of a domain file, in restart order (mask = 1, row-major).

    Attributes:
        path: file.
        shape: (nj, ni) of the full grid.
        row: position of each land cell in the flattened full grid (gridcell).
        lat, lon: cell centres (gridcell), degrees.
        frac: land fraction (gridcell).
        area: cell area (gridcell), steradian, whether the file holds radian2 or km2.
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
    """Reads a domain file, 2-D or a list of cells (nj = 1).

    Raises:
        InputError: unreadable, a variable is missing or has other units, no cell is land, or a land
            cell lies nowhere or twice in one place, or has no area or land.
    """
    with open_dataset(path) as dataset:
        fields = {
            name: np.asarray(get_variable(path, dataset, name, ("nj", "ni"), _UNITS.get(name))[:]).reshape(-1)
            for name in ("xc", "yc", "mask", "frac", "area")
        }
        shape = (dataset.dimensions["nj"].size, dataset.dimensions["ni"].size)
    row = np.flatnonzero(fields["mask"] == 1)
    if len(row) == 0:
        raise InputError(
            path,
            "mask: no cell is land",
            expected="mask = 1 on land",
            remedy="give the domain file of the run",
        )
    axes = fields["yc"].reshape(shape)[:, 0], fields["xc"].reshape(shape)[0]
    lat, lon, frac, area = (fields[name][row] for name in ("yc", "xc", "frac", "area"))
    check_coordinates(path, lat, lon, ("yc", "xc"))
    for name, values in (("frac", frac), ("area", area)):
        wrong = ~((values > 0.0) & (values < FILL_THRESHOLD))
        if np.any(wrong):
            raise InputError(
                path,
                f"variable {name} is {values[np.argmax(wrong)]:g} on land cell {int(np.argmax(wrong)) + 1}",
                expected="more than 0 on land",
                remedy="give the domain file of the run",
            )
    return Domain(Path(path), shape, row, lat, lon, frac, area_km2(area) / EARTH_RADIUS_KM**2, axes)
