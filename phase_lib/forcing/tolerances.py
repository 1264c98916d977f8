"""How far the reduced forcing may lie from the forcing fields of the model's history.

Measured on a real run of 24 cells (3-hourly forcing of 20 years that DATM copied, hourly steps of the model),
forcing against the 20-year mean and the monthly tape of the history, the largest differences:

                                      TBOT    PSRF    QBOT    FLDS    FSDS      rain
    cycle means                       2e-7    4e-8    2e-6    9e-7    4 to 9 %  2e-5
    months, once the means agree      0.02 K  2.1 Pa  1.1e-5  0.18    8.8 W/m2  5e-6 mm/s
    the same, as a part of one step   5.5 K   469 Pa  2.7e-3  42                1.3e-3
    misfit of the course              0.002   0.007   0.003   0.003   0.02      0.008
    misfit with years off by one      1.40    1.43    1.40    1.44    1.47      1.42

DATM interpolates between the steps, so that a month may end with a piece of the next one: a difference of up
to one step, whose share is the smaller, the longer the interval. It spreads FSDS by the height of the sun,
which takes some per cent of it at all times of the year, most in twilight. Formulas that give humidity from
other variables differ a little. Where the forcing points do not lie at the cells, the model had a mean of the
points around, and a cell here has the nearest: some mountains differ much, most cells little.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class Tolerance:
    """What forcing and history of one variable may differ by.

    Attributes:
        share: of a cycle mean, where the forcing point lies at the cell.
        course: of a month, once forcing and history have one cycle mean.
        step: most that steps that follow each other differ by, in the variable's units.
        away: share of a value where the forcing point lies away from the cell.
        median: of the shares that such cells differ by.
    """

    share: float
    course: float
    step: float
    away: float
    median: float


#: Shares are some fifty times what was measured, that of FSDS twice; steps and courses four to five times.
TOLERANCES: dict[str, Tolerance] = {
    "FLDS": Tolerance(share=1e-4, course=1e-4, step=200.0, away=0.3, median=0.08),
    "PSRF": Tolerance(share=1e-4, course=1e-4, step=2000.0, away=0.3, median=0.06),
    "FSDS": Tolerance(share=0.15, course=0.06, step=500.0, away=0.4, median=0.15),
    "QBOT": Tolerance(share=1e-4, course=1e-4, step=0.012, away=0.6, median=0.15),
    "PRECTmms": Tolerance(share=1e-3, course=1e-3, step=0.006, away=0.85, median=0.35),
    "TBOT": Tolerance(share=1e-4, course=1e-4, step=30.0, away=0.06, median=0.01),
}
#: Step of the forcing that shares were measured with; they grow with longer ones.
MEASURED_STEP_DAYS = 3.0 / 24.0
#: Share of a mean of humidity that was computed from relative humidity or dew point.
DERIVED_SHARE = 0.02
#: Median misfit of courses, where forcing points lie at the cells and elsewhere; other years have some 1.4.
MISFIT, MISFIT_AWAY = 0.5, 1.2
#: With points away, no interval differs by more than so many times what the intervals of its cell usually do.
PEAK = 20.0
#: A shift of the years explains a misfit of which it leaves less than this part.
SHIFT_LEAVES = 0.5
#: With points away, cells of fewer forcing points than this say nothing in the median.
FEWEST_POINTS = 10
#: A factor or an offset is the same in all cells where they scatter by less than this part of it.
SCATTER = 0.1
#: A uniform factor closer to 1 than this may come from interpolation.
LEAST_FACTOR = 0.005


@dataclass(frozen=True)
class Allowed:
    """The tolerance of a variable on the cells of a domain.

    Attributes:
        name: forcing variable.
        at_point: True where the forcing point lies at the cell (gridcell).
        step_days: between two steps of the forcing; 0 where it was made of means.
        derived: whether it was computed from other variables.
    """

    name: str
    at_point: np.ndarray
    step_days: float
    derived: bool

    def on(self, cells: slice) -> Allowed:
        """The same on some of the cells."""
        return replace(self, at_point=self.at_point[cells])

    @property
    def tolerance(self) -> Tolerance:
        """Of the variable."""
        return TOLERANCES[self.name]

    def of_means(self, forcing: np.ndarray, seen: np.ndarray, days: float) -> np.ndarray:
        """For means of so many days of each cell (gridcell)."""
        share = self._shares(self.tolerance.share)
        return np.asarray(share * np.maximum(np.abs(forcing), np.abs(seen)) + self._step(days))

    def of_course(
        self, forcing: np.ndarray, seen: np.ndarray, days: np.ndarray, mean: np.ndarray, *, scaled: bool
    ) -> np.ndarray:
        """For means of intervals (interval, gridcell), of which the mean of the cycle has a share too.

        Args:
            forcing, seen: the means.
            days: length of each interval (interval).
            mean: of the cycle (gridcell).
            scaled: whether what the history says was scaled to the cycle mean of the forcing; if so, this is
                for cells at their points, and `of_peaks` says what others may do.
        """
        shares = self._at_point(self.tolerance.course) if scaled else self._shares(self.tolerance.share)
        size = np.maximum(np.abs(forcing), np.abs(seen)) + np.abs(mean)
        return np.asarray(shares * size + self._step(days)[:, None])

    def of_peaks(self, limit: np.ndarray, size: np.ndarray, usual: np.ndarray) -> np.ndarray:
        """For the interval of each cell that differs most (gridcell).

        Args:
            limit: by `of_course`, for cells at their points.
            size: of the values.
            usual: mean of the absolute differences of all intervals of a cell.
        """
        away = limit + np.minimum(PEAK * usual, self.tolerance.away * size)
        return np.where(self.at_point, limit, away)

    def _at_point(self, share: float) -> float:
        coarser = max(1.0, self.step_days / MEASURED_STEP_DAYS)
        return min(max(share * coarser, DERIVED_SHARE if self.derived else 0.0), self.tolerance.away)

    def _shares(self, share: float) -> np.ndarray:
        return np.where(self.at_point, self._at_point(share), self.tolerance.away)

    def _step(self, days: np.ndarray | float) -> np.ndarray:
        return np.asarray(self.tolerance.step * self.step_days / days)
