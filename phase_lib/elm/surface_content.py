"""Refusals of a surface file by its values: shares that are no shares, and maps of P that no soil has."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from phase_lib.base.errors import InputError
from phase_lib.elm.blocks import ranges
from phase_lib.elm.constants import FILL_THRESHOLD, PFT_WEIGHT_TOLERANCE
from phase_lib.elm.coordinates import check_land_area, refuse_more_land
from phase_lib.elm.netcdf import open_dataset
from phase_lib.elm.surface import LAND, LANDUNITS, Fields, open_fields

#: Cells whose surface data are read together.
_CELLS = 1 << 16
#: Accepted rounding of percentages, of plants as in ELM, and of sand and clay one by one.
_ROUNDING, _PLANTS_ROUNDING, _TEXTURE_ROUNDING = 0.1, 100.0 * PFT_WEIGHT_TOLERANCE, 1.0
#: Fractions sum to this at most, with rounding; percentages never do so in all cells.
_FRACTIONS = 1.01
#: The richest soil of a file has at least the first, and no soil more than the second amount of a form of
#: mineral P, gP m-2 of the top half metre. All forms together make up 20 to 1,000 in most soils, the labile
#: one a few percent of it.
PHOSPHORUS_BETWEEN: Mapping[str, tuple[float, float]] = {
    "LABILE_P": (0.05, 1.0e3),
    "SECONDARY_P": (0.1, 3.0e3),
    "OCCLUDED_P": (0.5, 5.0e3),
    "APATITE_P": (0.2, 5.0e3),
}
#: The form that weathering may have used up in the soil of a single site.
_WEATHERED = "APATITE_P"
_MAP_UNITS = "give the map in gP m-2"


class _Sums:
    """Sums of percentages that make up 100 or less, cell by cell.

    Args:
        path: surface file.
        names: fields to sum, over their levels too where `levels` is False.
        rounding: how far from 100 a sum may be.
        levels: whether each level is summed by itself; the largest sum counts.
        strict: False where another check looks at the single values, and fractions alone are refused.
    """

    def __init__(
        self, path: Path, names: Sequence[str], rounding: float, *, levels: bool = False, strict: bool = True
    ) -> None:
        self._path, self.names, self._rounding = path, names, rounding
        self._levels, self._strict = levels, strict
        # Largest and smallest sum, each with its cell.
        self._most, self._least = (-np.inf, 0), (np.inf, 0)
        self._above = self._below = 0

    def add(self, fields: Fields, cells: np.ndarray) -> None:
        """Adds cells (n); sums in which a value is missing are left out.

        Raises:
            InputError: a percentage is negative.
        """
        if len(cells) == 0:
            return
        shares = [self._percent(fields, name, cells) for name in self.names]
        total = np.max(sum(shares), axis=1) if self._levels else sum(share.sum(axis=1) for share in shares)
        cells, total = cells[np.isfinite(total)], total[np.isfinite(total)]
        if len(cells):
            most, least = int(np.argmax(total)), int(np.argmin(total))
            self._most = max(self._most, (float(total[most]), int(cells[most])))
            self._least = min(self._least, (float(total[least]), int(cells[least])))
            self._above += int(np.count_nonzero(total > 100.0 + self._rounding))
            self._below += int(np.count_nonzero(total < 100.0 - self._rounding))

    def _percent(self, fields: Fields, name: str, cells: np.ndarray) -> np.ndarray:
        """A field (n, levels), NaN for fill."""
        values = np.asarray(fields.read(name, cells), dtype=np.float64).reshape(len(cells), -1)
        values = np.where(np.abs(values) < FILL_THRESHOLD, values, np.nan)
        negative = np.any(values < -self._rounding, axis=1)
        if self._strict and np.any(negative):
            first = int(np.argmax(negative))
            what = f"variable {name} is {np.nanmin(values[first]):g} in cell {cells[first] + 1}"
            raise InputError(self._path, what, expected="0 to 100 %", remedy="repair the surface data")
        return values

    def refuse(self, places: Callable[[int], str], *, whole: bool = False) -> None:
        """Refuses fractions, sums above 100 and, of shares that make up the whole, sums below.

        Args:
            places: a cell in words.
            whole: whether the shares make up the whole.
        """
        refuse_fractions(self._path, self.names, self._most[0])
        if not self._strict:
            return
        expected = "100 %" if whole else "100 % or less"
        for count, (total, cell), side in (
            (self._above, self._most, "above"),
            (self._below if whole else 0, self._least, "below"),
        ):
            if count:
                farthest = f"farthest in {places(cell)} with {total:.6g} %"
                what = f"{_sum_of(self.names)} is {side} 100 % in {count} cells, {farthest}"
                raise InputError(self._path, what, expected=expected, remedy="repair the surface data")


def refuse_fractions(path: str | Path, names: Sequence[str], most: float) -> None:
    """Refuses percentages whose largest sum in a cell is that of fractions."""
    if 0.0 < most <= _FRACTIONS:
        raise InputError(
            path,
            f"{_sum_of(names)} is at most {most:g} in all cells: these are fractions",
            expected="percentages, which make up 100",
            remedy=f"multiply {' and '.join(names)} by 100",
        )


def _sum_of(names: Sequence[str]) -> str:
    return " + ".join(names) if len(names) > 1 else f"{names[0]}, summed,"


def check_shares(path: Path, lat: np.ndarray, lon: np.ndarray, used: np.ndarray, *, compared: bool) -> float:
    """Refuses a surface file whose areas and shares cannot be those of its cells.

    Args:
        path: surface file.
        lat, lon: land cells (gridcell), degrees.
        used: True for cells with a soil column (gridcell); elsewhere plants and soils may be anything.
        compared: whether `PCT_NAT_PFT` is compared with a restart too, which is stricter than its sums.

    Returns:
        Land area of the cells, km2.

    Raises:
        InputError: cells have more land than there can be, a share is negative, shares are fractions, or
            sum to more than 100 % or, of plants, to less.
    """
    with open_dataset(path) as dataset:
        landunits = _Sums(path, [name for name in LANDUNITS if name in dataset.variables], _ROUNDING)
        plants = _Sums(path, ["PCT_NAT_PFT"], _PLANTS_ROUNDING, strict=not compared)
        soils = [
            _Sums(path, list(names), _TEXTURE_ROUNDING, levels=True)
            for names in (("PCT_SAND", "PCT_CLAY"), ("PCT_SAND",), ("PCT_CLAY",))
        ]
    names = list(dict.fromkeys((*LAND, *landunits.names, *plants.names, *soils[0].names)))
    land = 0.0
    with open_fields(path, names, lat, lon) as fields:
        for some in ranges(len(lat), _CELLS):
            cells = np.arange(some.start, some.stop)
            land += check_land_area(path, LAND, *(fields.read(name, cells) for name in LAND))
            landunits.add(fields, cells)
            grown = cells[used[cells] & (fields.read("PCT_NATVEG", cells) > 0.0)]
            plants.add(fields, grown)
            for texture in soils:
                texture.add(fields, grown)
    refuse_more_land(path, LAND, land)
    places = partial(_place, lat, lon)
    landunits.refuse(places)
    plants.refuse(places, whole=True)
    for texture in soils:
        texture.refuse(places)
    return land


def check_phosphorus(
    path: Path,
    fields: Fields,
    cells: np.ndarray,
    lat: np.ndarray,
    lon: np.ndarray,
    names: Iterable[str],
    *,
    complete: bool = True,
) -> None:
    """Refuses maps of mineral P that no soils have.

    Args:
        path: surface file.
        fields: its fields, `names` among them.
        cells: cells with soil (n).
        lat, lon: of all cells (gridcell), degrees.
        names: maps, of `SURFACE_P`.
        complete: whether each cell has to have an amount.

    Raises:
        InputError: a map holds no amounts, more than any soil has, or nearly nothing in all cells.
    """
    for name in names:
        least, most = PHOSPHORUS_BETWEEN[name]
        richest = 0.0
        for some in (cells[rows] for rows in ranges(len(cells), _CELLS)):
            values = np.asarray(fields.read(name, some), dtype=np.float64)
            no_amount = ~((values >= 0.0) & (values < FILL_THRESHOLD))
            for wrong, expected, remedy in (
                (no_amount & complete, "0 gP/m2 or more", "repair the map"),
                (~no_amount & (values > most), f"at most {most:g} gP/m2: no soil has more", _MAP_UNITS),
            ):
                if np.any(wrong):
                    first = int(np.argmax(wrong))
                    what = f"variable {name} is {values[first]:g} in {_place(lat, lon, int(some[first]))}"
                    raise InputError(path, what, expected=expected, remedy=remedy)
            richest = max(richest, float(np.max(values, where=~no_amount, initial=0.0)))
        if len(cells) and richest < least and not (name == _WEATHERED and len(cells) == 1):
            amount = f"{'' if richest == 0.0 else 'at most '}{richest:g}"
            raise InputError(
                path,
                f"variable {name} is {amount} in all {len(cells)} cells with soil",
                expected=f"gP/m2 of the top half metre, {least:g} or more in the richest soil",
                remedy=_MAP_UNITS,
            )


def _place(lat: np.ndarray, lon: np.ndarray, cell: int) -> str:
    return f"cell {cell + 1} (lat {lat[cell]:.3f} lon {lon[cell]:.3f})"
