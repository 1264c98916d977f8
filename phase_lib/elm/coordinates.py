"""Checks of where cells lie and how large they are."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from phase_lib.base.errors import InputError
from phase_lib.base.progress import LOGGER
from phase_lib.elm.constants import EARTH_LAND_KM2, EARTH_RADIUS_KM, FILL_THRESHOLD
from phase_lib.elm.units import factor_of, units_of

#: Cells closer than this in latitude and longitude are one cell twice, degrees (0.1 m).
_SAME_DEGREES = 1.0e-6
#: No cell is as small as this in km2 (100 m by 100 m) nor as large in steradian.
_LEAST_AREA_KM2 = 0.01
#: Areas labelled m2 that are smaller are probably in km2: a cell of 3 by 3 degrees has 1e5 km2.
_LEAST_FROM_M2 = 0.1
#: No cell of a model's grid is as large: a box of ten by fifteen degrees has 1.9e6 km2.
_MOST_AREA_KM2 = 5.0e6
#: Land of the Earth on coarse grids, where whole cells of the coast count.
_MOST_LAND_KM2 = 4.0 / 3.0 * EARTH_LAND_KM2
#: Units of areas -> km2 in one of them.
SQUARE_KM = {
    "km^2": 1.0,
    "m^2": 1.0e-6,
    "cm^2": 1.0e-10,
    **dict.fromkeys(("kilometers^2", "kilometer^2", "kilometres^2", "kilometre^2"), 1.0),
    **dict.fromkeys(("meters^2", "meter^2", "metres^2", "metre^2"), 1.0e-6),
    **dict.fromkeys(
        ("steradian", "steradians", "sr", "radian^2", "radians^2", "rad^2", "arcad^2", "arcrad^2"),
        EARTH_RADIUS_KM**2,
    ),
}


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
            exchange = f"{names[0]} and {names[1]} look exchanged: exchange them"
            what = (
                f"{np.count_nonzero(bad)} cells are out of range, first cell {cell + 1} with {values[cell]:g}"
            )
            raise InputError(
                path,
                f"{name}: {what}",
                expected=f"degrees from -{limit:g} to {limit:g}",
                remedy=exchange if swapped else "the file is damaged: use another copy",
            )
    if distinct:
        _refuse_twins(path, lat, lon, names)


def _refuse_twins(path: str | Path, lat: np.ndarray, lon: np.ndarray, names: tuple[str, str]) -> None:
    # One number for each place, as 260,000 cells pass here several times.
    place = np.rint(lat / _SAME_DEGREES).astype(np.int64)
    place *= round(400.0 / _SAME_DEGREES)
    place += np.rint((lon % 360.0) / _SAME_DEGREES).astype(np.int64)
    same = np.diff(np.sort(place)) == 0
    if np.any(same):
        at = int(np.argmax(same))
        first, second = sorted(np.argsort(place, kind="stable")[at : at + 2])
        raise InputError(
            path,
            f"{names[0]}, {names[1]}: cells {first + 1} and {second + 1} lie in the same place, "
            f"lat {lat[first]:g} lon {lon[first]:g}; {np.count_nonzero(same)} such pairs",
            expected="every cell once",
            remedy="make the file from a domain without duplicates",
        )


def require_positive(name: str, values: np.ndarray, most: float, fault: Callable[..., InputError]) -> None:
    """Refuses areas or shares of land cells (gridcell) that are 0, negative, NaN or fill.

    Args:
        name, values: the variable.
        most: values at or above it are fill.
        fault: makes the refusal from what is wrong and what was expected.
    """
    wrong = np.flatnonzero(~((values > 0.0) & (values < most)))
    if len(wrong):
        what = f"variable {name} is {values[wrong[0]]:g} on land cell {wrong[0] + 1}"
        raise fault(what, expected="more than 0 on land")


def to_km2(path: str | Path, variable: Any) -> Callable[[np.ndarray], np.ndarray]:
    """How the areas of a variable become km2, by its units; fill stays fill.

    Where the units are km2 the size of the numbers decides: some regional files are labelled km^2 while their
    values, copied from the domain file, are in steradian.

    Raises:
        InputError: it has no units, or others than km2, m2 and steradian.
    """
    name = str(variable.name)
    factor = factor_of(path, name, units_of(variable), SQUARE_KM)
    if factor == 1.0:
        return partial(_km2_or_steradian, str(path), name)
    return partial(_in_km2, path, name, str(variable.units), factor)


def labelled_km2(path: str | Path, name: str, area: np.ndarray, units: str) -> np.ndarray:
    """Areas of land cells in km2 by the units in their file; sizes only confirm them.

    Args:
        path, name: file and variable, for messages.
        area: of the land cells (gridcell).
        units: attribute of the variable.

    Raises:
        InputError: no or other units than those of areas, or in these a cell is smaller or larger than land
            cells are.
    """
    factor = factor_of(path, name, units, SQUARE_KM)
    km2 = _in_km2(path, name, units, factor, area)
    bad = ~((km2 >= (_LEAST_AREA_KM2 if factor == 1.0 else 0.0)) & (km2 <= _MOST_AREA_KM2))
    if np.any(bad):
        raise _other_area(path, name, units, km2, bad)
    return km2


def _in_km2(path: str | Path, name: str, units: str, factor: float, area: np.ndarray) -> np.ndarray:
    """Areas in km2; those labelled m2 must not be so small that they are probably km2."""
    km2 = scaled(factor, area)
    bad = (km2 > 0.0) & (km2 < _LEAST_FROM_M2)
    if factor < 1.0 and np.any(bad):
        raise _other_area(path, name, units, km2, bad)
    return km2


def _other_area(path: str | Path, name: str, units: str, km2: np.ndarray, bad: np.ndarray) -> InputError:
    cell = int(np.argmax(bad))
    return InputError(
        path,
        f"variable {name} has units {units!r}, in which cell {cell + 1} has {km2[cell]:.3g} km2",
        expected=f"{_LEAST_FROM_M2:g} to {_MOST_AREA_KM2:g} km2",
        remedy="say in its attribute units what its numbers are: km^2, m^2 or steradian",
    )


def scaled(factor: float, values: np.ndarray) -> np.ndarray:
    """Values times a factor, float64; fill stays fill."""
    values = np.asarray(values, dtype=np.float64)
    return np.where(np.abs(values) >= FILL_THRESHOLD, values, factor * values)


def _km2_or_steradian(path: str, name: str, values: np.ndarray) -> np.ndarray:
    values = np.asarray(values, dtype=np.float64)
    small = np.abs(values) < _LEAST_AREA_KM2
    if np.any(small & (values != 0.0)):
        _warn_of_steradian(path, name)
    return np.where(small, values * EARTH_RADIUS_KM**2, values)


@cache
def _warn_of_steradian(path: str, name: str) -> None:
    """Once for each file."""
    LOGGER.warning("%s: variable %s says km^2 and holds areas in steradian: read as steradian", path, name)


def check_land_area(path: str | Path, names: tuple[str, str], area: np.ndarray, share: np.ndarray) -> float:
    """Refuses cells that are too large or more than land.

    Args:
        path: file, for the message.
        names: variables that hold the areas and the shares of land in them.
        area: of the cells (n), km2; values that are no numbers are ignored.
        share: of land in the cells (n).

    Returns:
        Land area of the cells, km2, for `refuse_more_land`.

    Raises:
        InputError: a cell is larger than any grid has, or more than all of it is land.
    """
    for name, values, most, expected, remedy in (
        (names[0], area, _MOST_AREA_KM2, f"at most {_MOST_AREA_KM2:g} km2", "say in its units what it holds"),
        (names[1], share, 1.0 + 1.0e-3, "0 to 1", "give fractions, or percentages with units '%'"),
    ):
        wrong = np.flatnonzero((values > most) & (values < FILL_THRESHOLD))
        if len(wrong):
            unit = " km2" if name == names[0] else ""
            what = f"variable {name} is {values[wrong[0]]:g}{unit} in cell {wrong[0] + 1}"
            raise InputError(path, what, expected=expected, remedy=remedy)
    sound = (area > 0.0) & (area < FILL_THRESHOLD) & (share > 0.0) & (share < FILL_THRESHOLD)
    return float(np.sum(area[sound] * share[sound]))


def refuse_more_land(path: str | Path, names: tuple[str, str], km2: float) -> None:
    """Refuses cells that together have more land than the Earth."""
    if km2 > _MOST_LAND_KM2:
        raise InputError(
            path,
            f"variables {' and '.join(names)}: the land of its cells is {km2:.3g} km2",
            expected=f"no more than the Earth has, {EARTH_LAND_KM2:.3g} km2",
            remedy=f"say in the units of {names[0]} what it holds",
        )
