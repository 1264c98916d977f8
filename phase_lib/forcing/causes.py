"""Where forcing and history of one variable differ by more than is allowed, and the likely cause."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from phase_lib.elm.calendar import forcing_year
from phase_lib.forcing.pieces import MonthlyPieces
from phase_lib.forcing.points import month_label
from phase_lib.forcing.tolerances import (
    FEWEST_POINTS,
    LEAST_FACTOR,
    MISFIT,
    MISFIT_AWAY,
    SCATTER,
    SHIFT_LEAVES,
    Allowed,
)
from phase_lib.forcing.variables import FORCING

#: Factors that a wrong unit makes, and how it comes about.
_FACTORS: dict[str, dict[float, str]] = {
    "PRECTmms": {
        1e-3: "m/s taken for mm/s",
        1e3: "a rate a thousand times too large",
        86400.0: "mm a day taken for mm/s",
        3600.0: "mm an hour taken for mm/s",
        10800.0: "mm in 3 hours taken for mm/s",
        21600.0: "mm in 6 hours taken for mm/s",
        1.0 / 3600.0: "divided by 3600 once too often",
        1.0 / 86400.0: "divided by 86400 once too often",
    },
    "PSRF": {1e-2: "hPa taken for Pa", 1e-3: "kPa taken for Pa", 10.0: "a tenth of a pascal taken for Pa"},
    "QBOT": {
        1e-2: "relative humidity from 0 to 1 taken for %",
        1e3: "g/kg taken for kg/kg",
        1e-3: "g for kg",
    },
    "FSDS": {3600.0: "J/m2 in an hour taken for W/m2", 10800.0: "J/m2 in 3 hours taken for W/m2"},
    "FLDS": {3600.0: "J/m2 in an hour taken for W/m2", 10800.0: "J/m2 in 3 hours taken for W/m2"},
    "TBOT": {},
}
#: A factor is one of these where it comes as close, with forcing points at the cells and away from them.
_NEAR_FACTOR, _NEAR_FACTOR_AWAY = 0.02, 0.15
_CELSIUS = 273.15
#: Variables that may be 0 for months, but not for a year.
_MAY_BE_ZERO = ("FSDS", "PRECTmms")
#: Values that are sorted alike in this part of the misfit are those of other cells.
_SORTED_LEAVES = 0.1
#: Fewer cells than this can be in any order.
_FEWEST_CELLS = 4
#: A month that many deviations away from the same month of other years is odd, where there are so many years.
_ODD_DEVIATIONS, _ODD_YEARS = 12.0, 8
#: A year whose mean is that many times another is of another size.
_ODD_FACTOR = 10.0
#: Anomalies smaller than this part of the mean are rounding.
_LEAST_ANOMALY = 1.0e-6
_TINY = 1.0e-300


@dataclass(frozen=True)
class Means:
    """Means over the cycle.

    Attributes:
        forcing, seen: of the forcing and of the history (gridcell).
        allowed: largest difference (gridcell).
        empty: cells whose forcing is 0 all year (year of the cycle).
    """

    forcing: np.ndarray
    seen: np.ndarray
    allowed: np.ndarray
    empty: np.ndarray

    @property
    def excess(self) -> np.ndarray:
        """Difference divided by what is allowed (gridcell)."""
        return np.asarray(np.abs(self.forcing - self.seen) / np.maximum(self.allowed, _TINY))

    @property
    def worst(self) -> int:
        """The cell that differs most."""
        return int(np.argmax(self.excess))

    @property
    def share(self) -> np.ndarray:
        """Difference as a part of the larger of both (gridcell)."""
        size = np.maximum(np.abs(self.forcing), np.abs(self.seen))
        return np.asarray(np.abs(self.forcing - self.seen) / np.maximum(size, _TINY))

    @property
    def scale(self) -> np.ndarray:
        """What takes the history to the mean of the forcing; 1 where one of them is 0 (gridcell)."""
        both = (self.forcing != 0.0) & (self.seen != 0.0)
        return np.divide(self.forcing, self.seen, out=np.ones_like(self.seen), where=both)


@dataclass(frozen=True)
class Worst:
    """The interval and cell, 0-based, that differ most once forcing and history have one cycle mean.

    Attributes:
        forcing, seen: means of the forcing and of the history.
        allowed: largest difference.
        excess: difference divided by it.
        cells: how many differ by more than is allowed.
    """

    interval: int
    cell: int
    forcing: float
    seen: float
    allowed: float
    excess: float
    cells: int


@dataclass(frozen=True)
class Course:
    """A variable in the intervals of a cycle: the worst of all, and all of some cells.

    Attributes:
        model_year: first of the cycle.
        intervals: months of each, counted from January of that year.
        days: length of each (interval).
        worst: of all cells.
        cells: those that the following is of (n).
        months: monthly means of the forcing (n, month of the cycle).
        weights: what takes them to the intervals (interval, month).
        seen: means of the history (interval, n).
    """

    model_year: int
    intervals: Sequence[range]
    days: np.ndarray
    worst: Worst
    cells: np.ndarray
    months: np.ndarray
    weights: np.ndarray
    seen: np.ndarray

    def forcing(self, shift: int = 0) -> np.ndarray:
        """Means of the forcing some years later (interval, n)."""
        return np.asarray(self.weights @ np.roll(self.months, -12 * shift, axis=1).T)

    @cached_property
    def misfits(self) -> np.ndarray | None:
        """How far the forcing is from the history when it is taken so many years later (years).

        The mean year is subtracted from both; the difference of the anomalies is divided by the size of
        those of the history. The median over the cells: 0 for the same years, some 1.4 for unrelated years.
        None where all years of the history are alike.
        """
        seen = self._anomalies(self.seen)
        size, whole = np.abs(seen).sum(axis=0), np.abs(self.seen).sum(axis=0)
        used = size > _LEAST_ANOMALY * whole
        if not used.any():
            return None
        misfits = []
        for shift in range(self.months.shape[1] // 12):
            forcing = self.forcing(shift)
            ratio = whole / np.maximum(np.abs(forcing).sum(axis=0), _TINY)
            misfit = np.abs(self._anomalies(forcing) * ratio - seen).sum(axis=0)
            misfits.append(float(np.median(misfit[used] / size[used])))
        return np.array(misfits)

    def _anomalies(self, values: np.ndarray) -> np.ndarray:
        """Means of intervals less those of the same months of all years."""
        season = [(months.start % 12, len(months)) for months in self.intervals]
        kinds, kind = np.unique(season, axis=0, return_inverse=True)
        members = np.asarray(kind.reshape(-1) == np.arange(len(kinds))[:, None], dtype=np.float64)
        mean = (members @ values) / members.sum(axis=1)[:, None]
        return np.asarray(values - mean[kind.reshape(-1)])

    @property
    def shift(self) -> int:
        """Years by which the forcing has to be later to agree; 0 where it agrees, or other years do not."""
        if self.misfits is None or self.misfits[0] <= MISFIT:
            return 0
        best = int(np.argmin(self.misfits))
        return best if self.misfits[best] < SHIFT_LEAVES * self.misfits[0] else 0

    def when(self, interval: int, pieces: MonthlyPieces) -> str:
        """An interval in words, on the clocks of the model and of the forcing."""
        months = self.intervals[interval]
        model = month_label(12 * self.model_year + months.start)
        forcing = forcing_label(pieces, self.model_year, months.start)
        long = "" if len(months) == 1 else f" and the {len(months) - 1} months after it"
        return f"in {model} of the model, {forcing} of the forcing{long}"


def forcing_label(pieces: MonthlyPieces, model_year: int, month: int) -> str:
    """Month of the forcing that the model sees in a month counted from January of a model year."""
    year = forcing_year(model_year + month // 12, pieces.first_year, pieces.years, pieces.align_year)
    return month_label(12 * year + month % 12)


@dataclass(frozen=True)
class Difference:
    """A variable of which the model saw something else.

    Attributes:
        name, made_of: forcing variable, and fields of the history.
        cell: where it differs, 0-based.
        forcing, seen, when: the values, and of what they are means.
        expected: the tolerance, in words.
        excess: size of the difference, to find the largest of several variables.
        cause: in words.
    """

    name: str
    made_of: str
    cell: int
    forcing: float
    seen: float
    when: str
    expected: str
    excess: float
    cause: str


@dataclass(frozen=True)
class Compared:
    """A variable of forcing and history.

    Attributes:
        pieces: the forcing.
        made_of: fields of the history.
        allowed: the tolerance.
        means: over the cycle.
        course: within it; None where the history is one mean.
        model_year: first of the cycle.
    """

    pieces: MonthlyPieces
    made_of: str
    allowed: Allowed
    means: Means
    course: Course | None
    model_year: int

    @property
    def name(self) -> str:
        """The forcing variable."""
        return self.allowed.name

    def difference(self) -> Difference | None:
        """What differs by more than is allowed, with its likely cause; None where all agrees."""
        if self.course is not None and self.course.shift:
            return self._of_course(self.course, _shifted(self.course, self.pieces))
        cell, expected = self._beyond()
        if expected:
            means, when = self.means, f"on average over {self.pieces.years} years"
            values = float(means.forcing[cell]), float(means.seen[cell])
            excess, cause = float(means.excess[cell]), self._cause(cell)
            return Difference(self.name, self.made_of, cell, *values, when, expected, excess, cause)
        return None if self.course is None else self._in_course(self.course)

    def _beyond(self) -> tuple[int, str]:
        """A cell whose mean differs too much, and the tolerance in words; no words where all agree."""
        means, tolerance = self.means, self.allowed.tolerance
        if means.excess[means.worst] > 1.0:
            return means.worst, f"at most {means.allowed[means.worst]:.3g} {FORCING[self.name][0]} apart"
        if self.means.empty.max() > len(means.forcing) // 2:
            return means.worst, "no year of zeros in more than half of the cells"
        away = np.flatnonzero(~self.allowed.at_point)
        if len(np.unique(means.forcing[away])) < FEWEST_POINTS:
            return 0, ""
        share = means.share[away]
        middle = int(away[np.argsort(share)[len(away) // 2]])
        if np.median(share) > tolerance.median:
            return middle, f"at most {100.0 * tolerance.median:g} % apart in the median of {len(away)} cells"
        factor = _factor(means, away)
        if factor is not None and abs(np.log(factor)) > max(LEAST_FACTOR, tolerance.share):
            return middle, "no factor that is the same in all cells"
        return 0, ""

    def _in_course(self, course: Course) -> Difference | None:
        """A difference in the course as a whole, or in single months, where the cycle means agree."""
        worst = course.worst
        limit = MISFIT if self.allowed.at_point.all() else MISFIT_AWAY
        if course.misfits is not None and course.misfits[0] > limit:
            cause = "not clear: other years, another product, or the history of another run"
            return self._of_course(course, cause)
        if worst.excess <= 1.0:
            return None
        what = "zeros" if worst.forcing == 0.0 else "a fill value or a gap"
        when, values = course.when(worst.interval, self.pieces), (worst.forcing, worst.seen)
        expected = f"at most {worst.allowed:.3g} {FORCING[self.name][0]} apart once the cycle means agree"
        cause = f"{what} in the forcing of single months, in {worst.cells} cells"
        return Difference(self.name, self.made_of, worst.cell, *values, when, expected, worst.excess, cause)

    def _of_course(self, course: Course, cause: str) -> Difference:
        """A difference of the whole course, described at the interval and cell that differ most."""
        forcing, seen = course.forcing(), course.seen
        off = np.abs(forcing - seen) / np.maximum(np.abs(seen).mean(axis=0), _TINY)
        interval, cell = np.unravel_index(int(np.argmax(off)), off.shape)
        values = float(forcing[interval, cell]), float(seen[interval, cell])
        when, expected = course.when(int(interval), self.pieces), "the course of the same months and years"
        where = int(course.cells[cell])
        return Difference(self.name, self.made_of, where, *values, when, expected, course.worst.excess, cause)

    def _cause(self, cell: int) -> str:
        """Why the cycle mean of a cell may differ, the most special cause first."""
        means = self.means
        for which, values in (("forcing", means.forcing), ("history", means.seen)):
            if values[cell] == 0.0:
                return f"zeros in the {which}, all the time in {np.count_nonzero(values == 0.0)} cells"
        cycle, here = range(12 * self.pieces.years), slice(cell, cell + 1)
        series = self.pieces.months(self.name, self.model_year, cycle, here)[0]
        return (
            self._zeros(series)
            or self._other_cells(cell)
            or self._some_intervals(cell)
            or self._odd_year(series)
            or self._uniform()
            or self._odd_month(series)
            or "not clear: other cells, another product, or the history of another run"
        )

    def _zeros(self, series: np.ndarray) -> str:
        """Months of the forcing that are 0 although they cannot be."""
        zero = series == 0.0
        if self.name in _MAY_BE_ZERO:
            zero = np.repeat(zero.reshape(-1, 12).all(axis=1), 12)
        if not zero.any():
            return ""
        first = forcing_label(self.pieces, self.model_year, int(np.argmax(zero)))
        count = np.count_nonzero(zero)
        return f"zeros in the forcing, in {count} of {len(zero)} months of this cell, first {first}"

    def _some_intervals(self, cell: int) -> str:
        """Few intervals of the cycle that differ."""
        course = self.course
        if course is None or cell not in course.cells:
            return ""
        here = np.flatnonzero(course.cells == cell)
        forcing, seen = course.forcing()[:, here], course.seen[:, here]
        allowed = self.allowed.on(slice(cell, cell + 1))
        limit = allowed.of_course(forcing, seen, course.days, self.means.seen[cell, None], scaled=False)
        off = np.abs(forcing - seen) / limit
        count = np.count_nonzero(off > 1.0)
        if not 0 < count <= len(off) // 4:
            return ""
        interval = int(np.argmax(off))
        return (
            f"a fill value or a gap in the forcing: {count} of {len(off)} intervals of this cell are off, "
            f"most the one {course.when(interval, self.pieces)}, with {forcing[interval, 0]:.4g} and "
            f"{seen[interval, 0]:.4g}"
        )

    def _uniform(self) -> str:
        """A factor or an offset that is the same in all cells that differ."""
        means = self.means
        off = np.flatnonzero(means.excess > 1.0)
        off = off if len(off) else np.arange(len(means.seen))
        where = "every cell" if len(off) == len(means.seen) else f"each of {len(off)} cells"
        if self.name == "TBOT":
            apart = (means.forcing - means.seen)[off]
            offset = float(np.median(apart))
            celsius = abs(abs(offset) - _CELSIUS) < 0.5
            even = np.median(np.abs(apart - offset)) < SCATTER * abs(offset)
            if not (celsius or (len(off) >= _FEWEST_CELLS and even)):
                return ""
            why = ", degrees Celsius and kelvin mixed" if celsius else ""
            return f"an offset of about {offset:.5g} K in {where}{why}"
        factor = _factor(means, off)
        if factor is None:
            return ""
        near = _NEAR_FACTOR if self.allowed.at_point.all() else _NEAR_FACTOR_AWAY
        known = [why for value, why in _FACTORS[self.name].items() if abs(factor / value - 1.0) < near]
        if not known and len(off) < _FEWEST_CELLS:
            return ""
        about = f"{factor:.4g}" if factor > 0.5 else f"1/{1.0 / factor:.4g}"
        return f"a unit factor, about {about} in {where}" + "".join(f" ({why}?)" for why in known)

    def _other_cells(self, cell: int) -> str:
        """The values of the history in another order of the cells."""
        forcing, seen = self.means.forcing, self.means.seen
        leaves = np.abs(np.sort(forcing) - np.sort(seen)).sum()
        if len(seen) < _FEWEST_CELLS or leaves > _SORTED_LEAVES * np.abs(forcing - seen).sum():
            return ""
        other = int(np.argmin(np.abs(seen - forcing[cell])))
        return f"other cells: the history has these values in another order, this one in cell {other + 1}"

    def _odd_year(self, series: np.ndarray) -> str:
        """A year of the forcing that is of another size than the others."""
        means = series.reshape(-1, 12).mean(axis=1)
        usual = float(np.median(means))
        far = np.abs(np.log(np.maximum(means, _TINY) / usual)) if usual > 0.0 else np.zeros(len(means))
        year = int(np.argmax(far))
        if far[year] < np.log(_ODD_FACTOR):
            return ""
        label = forcing_label(self.pieces, self.model_year, 12 * year)[:-3]
        return (
            f"another unit or a gap in the year {label} of the forcing, whose mean is {means[year]:.4g}, "
            f"{usual:.4g} in the median of all years"
        )

    def _odd_month(self, series: np.ndarray) -> str:
        """A month of the forcing that is far from the same month of other years."""
        table = series.reshape(-1, 12)
        if len(table) < _ODD_YEARS:
            return ""
        usual = np.median(table, axis=0)
        spread = np.median(np.abs(table - usual), axis=0)
        far = (np.abs(table - usual) / np.maximum(spread, _TINY)).reshape(-1)
        month = int(np.argmax(far))
        if far[month] < _ODD_DEVIATIONS:
            return ""
        label = forcing_label(self.pieces, self.model_year, month)
        return (
            f"a fill value or a gap in {label} of the forcing, with {series[month]:.4g}, where other years "
            f"have {usual[month % 12]:.4g}"
        )


def _factor(means: Means, cells: np.ndarray) -> float | None:
    """What the forcing is to the history, where that is the same in so many cells."""
    forcing, seen = means.forcing[cells], means.seen[cells]
    positive = (forcing > 0.0) & (seen > 0.0)
    if np.count_nonzero(positive) <= len(cells) // 2:
        return None
    ratio = np.log(forcing[positive] / seen[positive])
    factor = float(np.median(ratio))
    even = np.median(np.abs(ratio - factor)) < SCATTER * abs(factor)
    return float(np.exp(factor)) if even else None


def _shifted(course: Course, pieces: MonthlyPieces) -> str:
    """How far the years of the forcing are shifted."""
    later, years = course.shift, pieces.years
    if pieces.in_model_years:
        return f"shifted years: the forcing of {later} years later agrees; give that of the run's model years"
    # The align_year closest to the one that was given.
    align_year = pieces.align_year - (later if 2 * later <= years else later - years)
    return f"a shifted align_year: it is {pieces.align_year}, with {align_year} forcing and history agree"
