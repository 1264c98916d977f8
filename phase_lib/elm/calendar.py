"""The noleap calendar and ELM's file names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cftime  # type: ignore[import-untyped]
import numpy as np

from phase_lib.base.errors import InputError
from phase_lib.elm.constants import DAYS_PER_MONTH, DAYS_PER_YEAR

#: Day of year (0-based) on which each month starts, and the year's length (13 values).
MONTH_STARTS: np.ndarray = np.concatenate([[0], np.cumsum(DAYS_PER_MONTH)])


@dataclass(frozen=True)
class Clock:
    """Reference date and unit of a time variable.

    Attributes:
        reference: reference date, days since 0001-01-01, or since another origin.
        per_day: units in a day: 24 where they are hours.
    """

    reference: float
    per_day: float

    def days(self, values: np.ndarray) -> np.ndarray:
        """Days since the reference date."""
        return np.asarray(values, dtype=np.float64) / self.per_day

    def date(self, day: float) -> str:
        """Date of a day since the reference date, to the nearest day."""
        return date_of(1.0 + (self.reference + float(day)) / DAYS_PER_YEAR)


def read_clock(
    path: str | Path, name: str, units: str, calendar: str = "noleap", origin: tuple[int, int] = (1, 1)
) -> Clock:
    """The clock of a variable, read from its attribute `units`.

    Args:
        path, name: file and variable, for the message.
        units: "days since 0001-01-01 00:00:00", or hours, minutes or seconds, with any spelling of the date.
        calendar: of the variable, as cftime calls it.
        origin: year and month from whose start the reference date is counted.

    Raises:
        InputError: they are no units of time since a date.
    """
    try:
        first, second = (
            float(cftime.date2num(cftime.datetime(*origin, day, calendar=calendar), units, calendar))
            for day in (1, 2)
        )
    except (ValueError, OverflowError) as error:
        what = f"{name} has units {units!r}" if units else f"{name} has no attribute units"
        expected = "'days since YYYY-MM-DD hh:mm:ss', or hours, minutes or seconds"
        raise InputError(path, what, expected=expected, remedy="set the attribute right") from error
    per_day = second - first
    return Clock(-first / per_day, per_day)


def date_of(year: float) -> str:
    """Date of a moment in model years, to the nearest day: 1.5 is 0001-07-02."""
    return date_label(round(year * DAYS_PER_YEAR))


def days_since_year_one(year: int, month: int = 1) -> int:
    """Days from 0001-01-01 to the first of a month, noleap."""
    return (year - 1) * DAYS_PER_YEAR + int(MONTH_STARTS[month - 1])


def date_label(day: float) -> str:
    """The date of a day counted from the start of the year 0, noleap, as `1980-03-13`."""
    year, of_year = divmod(int(day), DAYS_PER_YEAR)
    month = int(np.searchsorted(MONTH_STARTS, of_year, side="right"))
    return f"{year:04d}-{month:02d}-{of_year - MONTH_STARTS[month - 1] + 1:02d}"


def restart_name(case: str, year: int) -> str:
    """Name of the restart written at the start of `year`."""
    return f"{case}.elm.r.{year:04d}-01-01-00000.nc"


def history_name(case: str, tape: int, year: int) -> str:
    """Name of a history file whose first averaging interval ends at the start of `year`."""
    return f"{case}.elm.h{tape}.{year:04d}-01-01-00000.nc"


def forcing_year(model_year: int, first_year: int, years: int, align: int = 1) -> int:
    """Forcing year of a model year when the forcing is cycled.

    Args:
        model_year: year on the model's clock.
        first_year: first year of the forcing.
        years: length of the cycle.
        align: model year that corresponds to `first_year`.
    """
    return first_year + (model_year - align) % years


def months_of(first_year: int, years: int) -> range:
    """Months of whole years, counted from January of the year 0."""
    return range(12 * first_year, 12 * (first_year + years))


def month_label(month: int) -> str:
    """A month counted from January of the year 0, as `1980-01`."""
    return f"{month // 12:04d}-{month % 12 + 1:02d}"


def month_start(month: int) -> int:
    """Days from the start of the year 0 to that of a month counted from its January, noleap."""
    return DAYS_PER_YEAR * (month // 12) + int(MONTH_STARTS[month % 12])


def years_label(months: range) -> str:
    """The years of some months, in words."""
    return f"{months[0] // 12:04d} to {months[-1] // 12:04d}"
