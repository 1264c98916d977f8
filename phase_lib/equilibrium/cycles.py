"""History of a run, averaged over whole forcing cycles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
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
DAY = 1.0 / DAYS_PER_YEAR


class CycleHistory:
    """The history of one run, cut into whole forcing cycles counted back from its end.

    Interannual forcing moves every stock up and down; only means over whole cycles show a drift.
    What precedes the first whole cycle is left out of the means, which is said, and kept in the time series.

    Args:
        paths: history files of one tape, any order.
        forcing_years: length of the forcing cycle, years.

    Attributes:
        grid: land cells.
        start, end: bounds of each sample, years since the reference date (time).
        edges: cycle boundaries, years since the reference date (cycles + 1).

    Raises:
        InputError: fewer than two whole cycles, a gap in time, samples that straddle a cycle
            boundary, or files on different grids.
    """

    def __init__(self, paths: Sequence[str | Path], forcing_years: int) -> None:
        whole = self._whole = History(paths)
        self.paths, self.grid = whole.paths, whole.grid
        self.start, self.end = whole.start, whole.end
        self.forcing_years = forcing_years
        self._refuse_gaps()
        self.edges = self._cycle_edges()
        self._cycle = self._cycle_of_samples()
        for remark in self.grid.remarks:
            LOGGER.warning("%s: %s", self.grid.path, remark)
        unused = float(self.edges[0] - self.start[0])
        if unused > DAY:
            LOGGER.warning(
                "first %.4g years not used: %.4g years of history hold %d whole cycles of %d years",
                unused,
                self.years,
                self.cycles,
                forcing_years,
            )

    @property
    def cycles(self) -> int:
        """Number of whole cycles."""
        return len(self.edges) - 1

    @property
    def years(self) -> float:
        """Length of the run, years."""
        return float(self.end[-1] - self.start[0])

    @property
    def run_years(self) -> np.ndarray:
        """Middle of each sample in years since the run's start (time)."""
        middle: np.ndarray = 0.5 * (self.start + self.end) - self.start[0]
        return middle

    @property
    def cycle_ends(self) -> np.ndarray:
        """End of each cycle in years since the run's start (cycles)."""
        ends: np.ndarray = self.edges[1:] - self.start[0]
        return ends

    def _refuse_gaps(self) -> None:
        gaps = self.start[1:] - self.end[:-1]
        if np.any(gaps > DAY):
            first = int(np.argmax(gaps > DAY))
            raise InputError(
                self._whole.sample_paths[first + 1],
                f"time_bounds: {gaps[first]:.2f} years are missing before {self.start[first + 1]:.2f}",
                expected="a history without gaps",
                remedy="give the missing files too",
            )

    def _cycle_edges(self) -> np.ndarray:
        cycles = int((self.years + DAY) // self.forcing_years) if len(self.start) else 0
        if cycles < 2:
            length = self.years if len(self.start) else 0.0
            raise InputError(
                self.paths[-1],
                f"time_bounds: the history covers {length:.2f} years",
                expected=f"at least two whole forcing cycles, {2 * self.forcing_years} years",
                remedy="run on, or give the history files of the earlier years too",
            )
        edges: np.ndarray = self.end[-1] - self.forcing_years * np.arange(cycles, -1, -1, dtype=np.float64)
        return edges

    def _cycle_of_samples(self) -> np.ndarray:
        """Cycle of each sample (time); -1 before the first."""
        cycle = np.searchsorted(self.edges, 0.5 * (self.start + self.end)) - 1
        inside = cycle >= 0
        first, last = self.edges[cycle], self.edges[np.minimum(cycle + 1, self.cycles)]
        astride = inside & ((self.start < first - DAY) | (self.end > last + DAY))
        if np.any(astride):
            worst = int(np.argmax(astride))
            raise InputError(
                self.paths[-1],
                f"time_bounds: the mean over years {self.start[worst]:.2f} to {self.end[worst]:.2f} "
                f"does not lie within one forcing cycle of {self.forcing_years} years",
                remedy="give the length of the cycle that the run was forced with, or a finer history",
            )
        return cycle

    def has(self, name: str) -> bool:
        """True if every file of the run holds the field."""
        return name in self._whole.variables

    def read(self, units: Mapping[str, str], weights: xr.DataArray) -> tuple[xr.DataArray, xr.DataArray]:
        """Cycle means per cell and weighted sums per sample; a few samples at a time are in memory.

        Args:
            units: fields without a vertical dimension -> the `units` attribute that each must have.
            weights: weight of each cell in each sum (gridcell, ...).

        Returns:
            Means over each cycle (cycle, field, gridcell), and sums of each sample (field, time, ...).

        Raises:
            InputError: a field is missing, has other units, or has a vertical dimension.
        """
        fields = self._whole.lazy(
            {name: LEAF_AREA if unit == "1" else (unit,) for name, unit in units.items()}
        )
        if fields.dims != ("field", "time", "gridcell"):
            raise InputError(
                self.paths[0], f"variable {next(iter(units))} has levels", expected="one value per cell"
            )
        length = xr.DataArray(self.end - self.start, dims="time")
        cycle = xr.DataArray(self._cycle, dims="time", name="cycle")
        inside = np.flatnonzero(self._cycle >= 0)
        with dask.config.set(
            split_every=2
        ):  # of many samples of a cell, few are in memory before they are added up
            totals = (fields * length)[{"time": inside}].groupby(cycle[inside]).sum(skipna=False)
        sums = xr.apply_ufunc(
            partial(da.tensordot, axes=1),
            fields,
            weights,
            input_core_dims=[["gridcell"], weights.dims],
            output_core_dims=[weights.dims[1:]],
            dask="allowed",
        )
        totals, sums = compute(totals, sums, scheduler="synchronous")
        return totals / length[inside].groupby(cycle[inside]).sum(), sums
