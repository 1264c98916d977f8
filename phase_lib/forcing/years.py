"""Years of monthly means that no place on Earth has: zeros, other units, a variable that never changes."""

from __future__ import annotations

from itertools import chain

import numpy as np

from phase_lib.base.errors import InputError
from phase_lib.base.progress import LOGGER
from phase_lib.elm.calendar import MONTH_STARTS
from phase_lib.elm.constants import DAYS_PER_MONTH, DAYS_PER_YEAR, SECONDS_PER_DAY
from phase_lib.forcing.points import Mapping, Record
from phase_lib.forcing.variables import FORCING

#: W/m2 at the mean distance of the sun.
_SOLAR_CONSTANT = 1361.0
_OBLIQUITY = np.deg2rad(23.44)
#: Day of the year of the spring equinox, and of the shortest distance to the sun; and how much that varies.
_EQUINOX, _PERIHELION, _ECCENTRICITY = 79.0, 2.0, 0.0167
#: Share of the sun above the air that a year brings to the ground: 0.25 below the clouds of Sichuan or Bioko,
#: 0.8 on the Antarctic plateau. Less than the first or more than the second is no weather.
_SUNSHINE = (0.15, 1.15)
#: The least share of the darkest month, and W/m2 that say nothing at the edge of the polar night.
_MONTH_SUNSHINE, _TWILIGHT = 0.05, 2.0
#: A year in Cherrapunji brought 26,500 mm. Where m/s are called mm/s, the wettest cells of grids get 12 mm.
_MOST_RAIN_MM, _LEAST_RAIN_MM = 30000.0, 15.0
#: Outside the deserts no cell gets less.
_LEAST_CELL_RAIN_MM = 1.0
#: Where a year may bring less, south, north, west, east.
_DESERTS = (
    (14.0, 37.0, -26.0, 75.0),  # Cape Verde, Sahara, Arabia, Lut, Thar
    (8.0, 14.0, 38.0, 52.0),  # Danakil and the coast of Somalia
    (35.0, 46.0, 75.0, 110.0),  # Taklamakan, Qaidam, Gobi
    (-31.0, -4.0, -82.0, -66.0),  # Peru, Atacama
    (-31.0, -14.0, 11.0, 18.0),  # Namib
    (23.0, 38.0, -119.0, -109.0),  # Mojave, Sonora, Baja California
    (-32.0, -23.0, 130.0, 142.0),  # Lake Eyre
    (-90.0, -60.0, -180.0, 180.0),  # Antarctica
)
#: What every month of a year exceeds, and what the largest does, in the units of `FORCING`. Air of 200 K
#: holds 2e-6 kg/kg, that of a summer month on the Antarctic plateau 2e-4; there the sky of the coldest month
#: gives 75 W/m2, that of the warmest 130.
_EXCEEDED = {"QBOT": (5.0e-7, 5.0e-5), "FLDS": (40.0, 100.0)}
#: Pressure may be a constant: where there is no barometer, it is that of the standard atmosphere.
_MAY_BE_CONSTANT = ("PSRF",)
#: Share of the year that each month is.
_MONTHS_OF_YEAR: np.ndarray = np.array(DAYS_PER_MONTH, dtype=np.float64) / DAYS_PER_YEAR
_CHECK = "check units, and whether zeros stand for missing values"


def check_years(name: str, values: np.ndarray, record: Record, mapping: Mapping, first_year: int) -> None:
    """Refuses years that are possible nowhere.

    Args:
        name: forcing variable.
        values: monthly means of whole years (gridcell, months).
        record: files that they were made of.
        mapping: where the forcing points of the cells lie.
        first_year: year of the first twelve.

    Raises:
        InputError: a year has no rain anywhere, air without water, more or less sun than its latitude gets,
            or a variable that never changes.
    """
    for number in range(values.shape[1] // 12):
        year = _Year(name, values, record, mapping, first_year, number)
        for check in _CHECKS.get(name, ()):
            check(year)
        _refuse_constant(year)


class _Year:
    """A variable in the months of one year (gridcell, 12), and how to refuse it."""

    def __init__(
        self, name: str, values: np.ndarray, record: Record, mapping: Mapping, first_year: int, number: int
    ) -> None:
        self.name, self.mapping = name, mapping
        self.values = values[:, 12 * number : 12 * number + 12]
        self.label = f"{first_year + number:04d}"
        months = range(12 * number, 12 * number + 12)
        self._files = [record.files_of(name, range(month, month + 1)) for month in months]

    def mean(self) -> np.ndarray:
        """Mean of the year (gridcell)."""
        return self.values @ _MONTHS_OF_YEAR

    def refuse(self, what: str, *, expected: str, remedy: str, month: int | None = None) -> None:
        """Refuses the year, or one of its months, counted from 0.

        Raises:
            InputError: always; it names the first file, the variable and the year.
        """
        months = self._files if month is None else [self._files[month]]
        files = list(dict.fromkeys(chain.from_iterable(months)))
        others = len(files) - 1
        in_others = f", in this and {others} other files," if others else ""
        line = f"variable {self.name} of {self.label}{in_others} {what}"
        raise InputError(files[0], line, expected=expected, remedy=remedy)


def _where(bad: np.ndarray) -> str:
    return (
        f"at {np.count_nonzero(bad)} of {len(bad)} land cells, first at land cell {int(np.argmax(bad)) + 1}"
    )


def _check_ends(year: _Year) -> None:
    units, limits = FORCING[year.name][0], _EXCEEDED[year.name]
    ends = {"smallest": year.values.min(axis=1), "largest": year.values.max(axis=1)}
    for limit, (which, end) in reversed(list(zip(limits, ends.items(), strict=True))):
        bad = ~(end > limit)
        if bad.any():
            year.refuse(
                f"has a {which} monthly mean of {float(end[np.argmax(bad)]):.3g} {_where(bad)}",
                expected=f"more than {limit:g} {units}, as anywhere on Earth",
                remedy=_CHECK,
            )


def _check_sun(year: _Year) -> None:
    units, lat = FORCING[year.name][0], year.mapping.lat
    by_month, mean = _sun_above_the_air(lat), year.mean()
    low, high = (share * (by_month @ _MONTHS_OF_YEAR) for share in _SUNSHINE)
    bad = ~((mean >= low) & (mean <= high))
    if bad.any():
        cell = int(np.argmax(bad))
        year.refuse(
            f"has an annual mean of {mean[cell]:.3g} {_where(bad)}",
            expected=f"{low[cell]:.0f} to {high[cell]:.0f} {units}, "
            f"as a year brings at latitude {lat[cell]:.1f}",
            remedy=_CHECK,
        )
    least = _MONTH_SUNSHINE * by_month
    dark = ~(year.values >= least - _TWILIGHT)
    if dark.any():
        month = int(np.argmax(dark.any(axis=0)))
        cell = int(np.argmax(dark[:, month]))
        year.refuse(
            f"has a monthly mean of {year.values[cell, month]:.3g} in {year.label}-{month + 1:02d} "
            f"{_where(dark[:, month])}",
            expected=f"more than {least[cell, month]:.0f} {units}, "
            f"as this month brings at latitude {lat[cell]:.1f}",
            remedy=_CHECK,
            month=month,
        )


def _check_rain(year: _Year) -> None:
    rain = year.mean() * SECONDS_PER_DAY * DAYS_PER_YEAR
    bad = ~(rain <= _MOST_RAIN_MM)
    if bad.any():
        year.refuse(
            f"brings {float(rain[np.argmax(bad)]):.4g} mm {_where(bad)}",
            expected=f"at most {_MOST_RAIN_MM:g} mm in a year",
            remedy="check units: values have to be in mm/s",
        )
    desert = _in_deserts(year.mapping)
    most = float(rain.max())
    if most < _LEAST_RAIN_MM and not desert.all():
        year.refuse(
            f"brings at most {most:.3g} mm at all {len(rain)} land cells",
            expected=f"{_LEAST_RAIN_MM:g} mm or more in a year at some cell",
            remedy=f"{_CHECK}; m/s is a thousandth of mm/s",
        )
    dry = (rain < _LEAST_CELL_RAIN_MM) & ~desert
    if dry.any():
        cell = int(np.argmax(dry))
        year.refuse(
            f"brings {rain[cell]:.3g} mm {_where(dry)}",
            expected=f"{_LEAST_CELL_RAIN_MM:g} mm or more in a year at lat {year.mapping.lat[cell]:.1f} "
            f"lon {year.mapping.lon[cell]:.1f}, which is in no desert",
            remedy=_CHECK,
        )
    if most < _LEAST_RAIN_MM:
        LOGGER.warning(
            "%s brings at most %.3g mm in %s; taken as it is, as all cells lie in deserts",
            year.name, most, year.label,
        )  # fmt: skip


def _in_deserts(mapping: Mapping) -> np.ndarray:
    """True for forcing points where years almost without rain are known (gridcell)."""
    lat, east = mapping.lat, (mapping.lon + 180.0) % 360.0 - 180.0
    within: np.ndarray = np.zeros(len(lat), dtype=bool)
    for south, north, west_end, east_end in _DESERTS:
        within |= (lat >= south) & (lat <= north) & (east >= west_end) & (east <= east_end)
    return within


def _refuse_constant(year: _Year) -> None:
    constant = np.all(year.values == year.values[:, :1], axis=1)
    if year.name == "PRECTmms":
        constant &= year.values[:, 0] != 0.0
    if not constant.any():
        return
    first = float(year.values[np.argmax(constant), 0])
    what = f"does not change from month to month {_where(constant)}, {first:g} there"
    if year.name not in _MAY_BE_CONSTANT:
        year.refuse(what, expected="weather", remedy="check whether a constant stands for missing values")
    if constant.all():
        LOGGER.warning("%s of %s %s; taken as it is", year.name, year.label, what)


def _sun_above_the_air(lat: np.ndarray) -> np.ndarray:
    """Short wave that each month brings to the top of the atmosphere, W/m2 (gridcell, 12).

    Args:
        lat: degrees (gridcell).
    """
    degrees = np.linspace(-90.0, 90.0, 181)
    day = np.arange(DAYS_PER_YEAR, dtype=np.float64)
    angle = 2.0 * np.pi / DAYS_PER_YEAR
    declination = np.arcsin(np.sin(_OBLIQUITY) * np.sin(angle * (day - _EQUINOX)))
    nearer = (1.0 + _ECCENTRICITY * np.cos(angle * (day - _PERIHELION))) ** 2
    phi = np.deg2rad(degrees)[:, None]
    # Half the length of the day, from 0 in the polar night to pi under the midnight sun.
    half_day = np.arccos(np.clip(-np.tan(phi) * np.tan(declination), -1.0, 1.0))
    daily = half_day * np.sin(phi) * np.sin(declination) + np.cos(phi) * np.cos(declination) * np.sin(
        half_day
    )
    light = _SOLAR_CONSTANT / np.pi * nearer * daily
    months = np.split(light, MONTH_STARTS[1:-1], axis=1)
    return np.stack([np.interp(lat, degrees, month.mean(axis=1)) for month in months], axis=1)


_CHECKS = {"QBOT": (_check_ends,), "FLDS": (_check_ends,), "FSDS": (_check_sun,), "PRECTmms": (_check_rain,)}
