"""Where cells lie and how large they are, as their files say it, checked."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from phase_lib.base.errors import InputError
from phase_lib.elm.constants import EARTH_RADIUS_KM

#: Cells closer than this in latitude and longitude are one cell twice, degrees (0.1 m).
_SAME_DEGREES = 1.0e-6
#: No land cell is as small as this in km2 nor as large in steradian.
_LEAST_AREA_KM2 = 0.01
#: Spellings of the units of areas; `area_km2` takes the values of either.
AREA_UNITS = (
    *("km^2", "km2", "km**2"),
    *(f"{unit}{power}" for unit in ("radian", "radians", "rad") for power in ("^2", "2", "**2", " squared")),
    *("steradian", "steradians", "sr", "arcad^2", "arcrad^2"),
)


#: Square kilometres in one of each unit, spelled without blanks, `^` and `**`; an angle is an area on the
#: unit sphere.
_SQUARE_KM = {
    **dict.fromkeys(("km2", "squarekm", "squarekilometers", "squarekilometres"), 1.0),
    **dict.fromkeys(("m2", "squarem", "squaremeters", "squaremetres"), 1.0e-6),
    "cm2": 1.0e-10,
    **dict.fromkeys(("steradian", "steradians", "sr", "arcad2", "arcrad2"), EARTH_RADIUS_KM**2),
    **dict.fromkeys(("radian2", "radians2", "rad2", "radiansquared", "radianssquared"), EARTH_RADIUS_KM**2),
}
#: No land cell is larger, km2: those of the coarsest grids, 10 by 15 degrees, have 1.9e6.
_MOST_AREA_KM2 = 5.0e6


def check_coordinates(
    path: str | Path, lat: np.ndarray, lon: np.ndarray, names: tuple[str, str], *, distinct: bool = True
) -> None:
    """Refuses cells that lie nowhere, or twice in one place.

    Args:
        path: file, for the message.
        lat, lon: cell centres (gridcell), degrees, any longitude convention.
        names: variables that hold them, for the message.
        distinct: whether two cells may not share a place.

    Raises:
        InputError: a coordinate is NaN, fill or out of range, or two cells have the same.
    """
    for name, values, limit in ((names[0], lat, 90.0), (names[1], lon, 360.0)):
        bad = ~(np.abs(values) <= limit)
        if np.any(bad):
            cell = int(np.argmax(bad))
            east = (lon + 180.0) % 360.0 - 180.0
            swapped = limit == 90.0 and np.all(np.abs(lat) <= 360.0) and np.all(np.abs(east) <= 90.0)
            raise InputError(
                path,
                f"{name}: {np.count_nonzero(bad)} cells are out of range, first cell {cell + 1} "
                f"with {values[cell]:g}",
                expected=f"degrees from -{limit:g} to {limit:g}",
                remedy=f"{names[0]} and {names[1]} look exchanged: exchange them"
                if swapped
                else "the file is damaged: use another copy",
            )
    if distinct:
        _refuse_twins(path, lat, lon, names)


def _refuse_twins(path: str | Path, lat: np.ndarray, lon: np.ndarray, names: tuple[str, str]) -> None:
    # One number for each place, as 260,000 cells pass here several times.
    place_of = np.rint(lat / _SAME_DEGREES).astype(np.int64)
    place_of *= round(400.0 / _SAME_DEGREES)
    place_of += np.rint((lon % 360.0) / _SAME_DEGREES).astype(np.int64)
    same = np.diff(np.sort(place_of)) == 0
    if np.any(same):
        order = np.argsort(place_of, kind="stable")
        place = int(np.argmax(same))
        first, second = sorted((int(order[place]), int(order[place + 1])))
        raise InputError(
            path,
            f"{names[0]}, {names[1]}: cells {first + 1} and {second + 1} lie in the same place, "
            f"lat {lat[first]:g} lon {lon[first]:g}; {np.count_nonzero(same)} such pairs",
            expected="every cell once",
            remedy="make the file from a domain without duplicates",
        )


def area_km2(area: np.ndarray) -> np.ndarray:
    """Cell areas in km2, whether the file holds km2 or steradian.

    The size of the numbers tells which: regional files are about whose label says km^2 while the values,
    taken over from the domain file, are steradian.
    """
    area = np.asarray(area, dtype=np.float64)
    return np.where(np.abs(area) < _LEAST_AREA_KM2, area * EARTH_RADIUS_KM**2, area)


def labelled_area_km2(path: str | Path, area: np.ndarray, units: str) -> np.ndarray:
    """Areas of land cells in km2, by the units that their file says; sizes only confirm them.

    Args:
        path: file, for the message.
        area: variable `area` on the land cells (gridcell).
        units: its attribute, blank where it has none.

    Raises:
        InputError: no such units, or in these units a cell is smaller or larger than land cells are.
    """
    factor = _SQUARE_KM.get("".join(units.lower().replace("**", "").replace("^", "").split()))
    if factor is None:
        raise InputError(
            path,
            f"variable area has units {units!r}" if units.strip() else "variable area has no attribute units",
            expected="'km^2', 'm^2' or 'steradian'",
            remedy="say in its attribute units what its numbers are",
        )
    km2 = np.asarray(area, dtype=np.float64) * factor
    bad = ~((km2 >= _LEAST_AREA_KM2) & (km2 <= _MOST_AREA_KM2))
    if np.any(bad):
        cell = int(np.argmax(bad))
        raise InputError(
            path,
            f"variable area has units {units!r}, in which land cell {cell + 1} has {km2[cell]:.3g} km2",
            expected=f"{_LEAST_AREA_KM2:g} to {_MOST_AREA_KM2:g} km2",
            remedy="say in its attribute units what its numbers are: km^2, m^2 or steradian",
        )
    return km2
