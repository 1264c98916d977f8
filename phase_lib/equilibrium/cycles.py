"""History of a run, averaged over whole forcing cycles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path

import dask
import dask.array as da
import numpy as np
import xarray as xr
from dask.base import compute

from phase_lib.base.errors import InputError
from phase_lib.base.progress import LOGGER
from phase_lib.elm.constants import DAYS_PER_YEAR
from phase_lib.elm.history import History
from phase_lib.elm.units import LEAF_AREA

#: Time bounds may be off by a day: ELM's first sample holds the step before the start.
_DAY = 1.0 / DAYS_PER_YEAR


class CycleHistory:
    """The history of one run, cut into whole forcing cycles counted back from its end.

    Interannual forcing moves all stocks up and down; only means over whole cycles show a drift. Between two
    cycles with a correction in between there is none, so that a run is judged by the cycles after the last
    one. The years before are cut into cycles in the same way, each stretch between corrections from its end.
    Samples outside of whole cycles are left out of the means, with a warning, not of the time series.

    Args:
        paths: history files of one tape, any order.
        forcing_years: length of the forcing cycle, years.
        corrections: model years at whose start the run was corrected.

    Attributes:
        paths, grid: files, and land cells.
        start, end: bounds of each sample, years since the reference date (time).
        years: length of the run.
        run_years: middle of each sample, years since the run's start (time).
        corrections: within the history, years since its start.
        cycles: number of whole cycles after the last correction, which are judged.
        bounds: start and end of all whole cycles, years since the reference date (whole cycle, 2).
        cycle_ends: end of each of them, years since the run's start (whole cycle).

    Raises:
        InputError: fewer than two whole cycles after the last correction, a correction after the end, a gap
            in time, samples that straddle a cycle boundary, or files on different grids.
    """

    def __init__(
        self, paths: Sequence[str | Path], forcing_years: int, corrections: Sequence[float] = ()
    ) -> None:
        whole = self._whole = History(paths)
        self.paths, self.grid = whole.paths, whole.grid
        self.start, self.end = whole.start, whole.end
        self.forcing_years = forcing_years
        self._refuse_gaps()
        self.years = float(self.end[-1] - self.start[0]) if len(self.start) else 0.0
        self.corrections = self._within(corrections)
        ends = [*self.corrections, self.years]
        wholes = [int((end - start + _DAY) // forcing_years) for start, end in pairwise((0.0, *ends))]
        self.cycles = wholes[-1]
        if self.cycles < 2:
            after = " after the last correction" if self.corrections else ""
            what = f"time_bounds: the history covers {ends[-1] - (0.0, *ends)[-2]:.2f} years{after}"
            two = f"at least two whole forcing cycles, {2 * forcing_years} years"
            remedy = "run on, or give the history files of the earlier years too"
            raise InputError(self.paths[-1], what, expected=two, remedy=remedy)
        self.cycle_ends = np.concatenate(
            [end - forcing_years * np.arange(whole)[::-1] for end, whole in zip(ends, wholes, strict=True)]
        )
        self.bounds = self.start[0] + self.cycle_ends[:, None] + np.array([-forcing_years, 0.0])
        self.run_years: np.ndarray = 0.5 * (self.start + self.end) - self.start[0]
        self._cycle = self._cycle_of_samples()
        for remark in self.grid.remarks:
            LOGGER.warning("%s: %s", self.grid.path, remark)
        unused = self.years - forcing_years * sum(wholes)
        if unused > _DAY:
            message = "%.4g years not used: %.4g years of history hold %d whole cycles of %d years"
            LOGGER.warning(message, unused, self.years, sum(wholes), forcing_years)

    def _within(self, corrections: Sequence[float]) -> list[float]:
        """Corrections within the history, years since its start, in order."""
        first = self.start[0] + self._whole.origin
        years = sorted(float(year - first) for year in corrections if year > first + _DAY)
        if years and years[-1] > self.years - _DAY:
            what = f"time_bounds: the history ends at {first + self.years:.2f}"
            expected = f"years after the correction at {first + years[-1]:.2f}"
            raise InputError(self.paths[-1], what, expected=expected, remedy="give the history after it too")
        return years

    def _refuse_gaps(self) -> None:
        gaps = self.start[1:] - self.end[:-1]
        if np.any(gaps > _DAY):
            first = int(np.argmax(gaps > _DAY))
            file, where = self._whole.sample_paths[first + 1], f"before {self.start[first + 1]:.2f}"
            what, remedy = (
                f"time_bounds: {gaps[first]:.2f} years are missing {where}",
                "give the missing files too",
            )
            raise InputError(file, what, expected="a history without gaps", remedy=remedy)

    def _cycle_of_samples(self) -> np.ndarray:
        """Whole cycle of each sample (time); -1 outside of them."""
        first, last = self.bounds.T
        cycle = np.searchsorted(last, 0.5 * (self.start + self.end))
        cycle[0.5 * (self.start + self.end) < first[cycle]] = -1
        astride = (cycle >= 0) & ((self.start < first[cycle] - _DAY) | (self.end > last[cycle] + _DAY))
        if np.any(astride):
            worst = int(np.argmax(astride))
            span = f"time_bounds: the mean over years {self.start[worst]:.2f} to {self.end[worst]:.2f}"
            what = f"{span} does not lie within one forcing cycle of {self.forcing_years} years"
            remedy = "give the length of the cycle that the run was forced with, or a finer history"
            raise InputError(self.paths[-1], what, remedy=remedy)
        return np.asarray(cycle)

    def has(self, name: str) -> bool:
        """True if all files of the run hold the field."""
        return name in self._whole.variables

    def read(self, units: Mapping[str, str], weights: xr.DataArray) -> tuple[xr.DataArray, xr.DataArray]:
        """Cycle means per cell and weighted sums per sample; a few samples at a time are in memory.

        Args:
            units: fields without a vertical dimension -> the `units` attribute that each must have.
            weights: weight of each cell in each sum (gridcell, ...).

        Returns:
            Means over each whole cycle (cycle, field, gridcell), and sums of each sample (field, time, ...).

        Raises:
            InputError: a field is missing, has other units, or has a vertical dimension.
        """
        accepted = {name: LEAF_AREA if unit == "1" else (unit,) for name, unit in units.items()}
        fields = self._whole.lazy(accepted)
        if fields.dims != ("field", "time", "gridcell"):
            what = f"variable {next(iter(units))} has levels"
            raise InputError(self.paths[0], what, expected="one value per cell")
        inside = np.flatnonzero(self._cycle >= 0)
        length = xr.DataArray(self.end - self.start, dims="time")
        cycle = xr.DataArray(self._cycle, dims="time", name="cycle")[inside]
        # Of many samples of a cell, few are in memory before they are added up.
        with dask.config.set(split_every=2):
            totals = (fields * length)[{"time": inside}].groupby(cycle).sum(skipna=False)
        sums = xr.apply_ufunc(
            partial(da.tensordot, axes=1),
            fields,
            weights,
            input_core_dims=[["gridcell"], weights.dims],
            output_core_dims=[weights.dims[1:]],
            dask="allowed",
        )
        totals, sums = compute(totals, sums, scheduler="synchronous")
        return totals / length[inside].groupby(cycle).sum(), sums
