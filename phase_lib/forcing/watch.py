"""Single steps of forcing against their bounds, looked at while the means are made of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from phase_lib.base.errors import InputError
from phase_lib.elm.calendar import date_label
from phase_lib.elm.constants import FILL_THRESHOLD

Index = tuple[slice, ...]


@dataclass(frozen=True)
class Used:
    """What land cells take of the points and steps that are read.

    Attributes:
        steps: how many are read.
        point: position of each cell's point among those that are read, flattened (cells).
        cells: numbers of the cells, 0-based (cells).
        day: days from the start of the year 0 to a step of the file, by its number from 0.
    """

    steps: int
    point: np.ndarray
    cells: np.ndarray
    day: Callable[[int], float]

    def first_cell(self, points: np.ndarray) -> tuple[int, int]:
        """The first cell that takes one of some points, and that point."""
        taken = np.flatnonzero(np.isin(self.point, points))
        first = taken[np.argmin(self.cells[taken])]
        return int(self.cells[first]), int(self.point[first])


class _Step(NamedTuple):
    """A value as it is on file, with the number of its step, from 0, and its cell."""

    number: int
    cell: int
    raw: float


class Watch:
    """Sees every value of a quantity that a land cell takes, block by block, as it lies on file.

    Args:
        name: quantity.
        path: file, for the message.
        bounds: what a step lies within.
        units: of the bounds.
        used: points and steps that count.
        shape: space that is read.
        axis: axis of steps of the blocks.
        scale, offset: from values on file to those units.
        packed: whether values on file are integers, so that they are a scale apart.
        declared: values on file that stand for a missing one by the file's own word.
        exceeds: what one of the values of each point and month has to exceed; None where they need not.
    """

    def __init__(
        self,
        name: str,
        path: str,
        bounds: tuple[float, float],
        units: str,
        used: Used,
        shape: Sequence[int],
        axis: int,
        *,
        scale: float = 1.0,
        offset: float = 0.0,
        packed: bool = False,
        declared: Sequence[float] = (),
        exceeds: float | None = None,
    ) -> None:
        self.name, self.path, self.units = name, path, units
        self._bounds, self._used, self._axis = bounds, used, axis
        self._scale, self._offset, self._packed = scale, offset, packed
        self._declared, self._exceeds = declared, exceeds
        self._taken: np.ndarray = np.zeros(shape, dtype=bool)
        self._taken.reshape(-1)[used.point] = True
        slack = abs(scale) if packed else 1.0e-6 * max(map(abs, bounds))
        edges = ((edge - offset) / scale for edge in (bounds[0] - slack, bounds[1] + slack))
        self._low, self._high = sorted(edges)
        self._whole_blocks = True
        self._largest: dict[int, np.ndarray] = {}
        self._outside, self._missing = 0, 0
        self._first_outside: _Step | None = None
        self._first_missing: _Step | None = None

    def look(self, raw: np.ndarray, step: int, place: Index) -> None:
        """Looks at a block.

        Args:
            raw: values as they are on file.
            step: number of its first step in the file, from 0.
            place: where it lies in the space that is read.
        """
        if raw.size == 0:
            return
        if self._whole_blocks and self._within(raw.min(), raw.max()):
            return
        taken = self._taken[place]
        if not taken.any():
            return
        least, most = raw.min(axis=self._axis)[taken], raw.max(axis=self._axis)[taken]
        if self._within(least.min(), most.max()):
            # Fill or constants over the ocean: whole blocks tell nothing here.
            self._whole_blocks = False
            return
        values = np.moveaxis(raw, self._axis, 0)[:, taken]
        outside = ~((values >= self._low) & (values <= self._high))
        missing = outside & self._stands_for_none(values)
        outside &= ~missing
        points = np.flatnonzero(self._taken_points(place))
        self._outside += int(np.count_nonzero(outside))
        self._missing += int(np.count_nonzero(missing))
        self._first_outside = self._first(self._first_outside, values, outside, step, points)
        self._first_missing = self._first(self._first_missing, values, missing, step, points)

    def look_for_largest(self, raw: np.ndarray, month: int, place: Index) -> None:
        """Looks at the steps of a block that lie in one month, where one has to be large.

        Args:
            raw: values as they are on file.
            month: its number among those that are read.
            place: as for `look`.
        """
        if self._exceeds is None or raw.size == 0:
            return
        known = self._largest.setdefault(month, np.full(self._taken.shape, -np.inf))
        ends = np.stack([raw.min(axis=self._axis), raw.max(axis=self._axis)]).astype(np.float64)
        known[place] = np.fmax(known[place], np.fmax(*(ends * self._scale + self._offset)))

    def _within(self, least: np.generic, most: np.generic) -> bool:
        """False for NaN too."""
        return bool(self._low <= float(least) and float(most) <= self._high)

    def _stands_for_none(self, values: np.ndarray) -> np.ndarray:
        none: np.ndarray = ~(np.abs(values.astype(np.float64)) < FILL_THRESHOLD)
        for value in self._declared:
            none |= values == value
        return none

    def _taken_points(self, place: Index) -> np.ndarray:
        """The points of a block that are taken, marked among all that are read (points)."""
        marked = np.zeros_like(self._taken)
        marked[place] = self._taken[place]
        return marked.reshape(-1)

    def _first(
        self, known: _Step | None, values: np.ndarray, where: np.ndarray, step: int, points: np.ndarray
    ) -> _Step | None:
        """The earlier of a known step and the first of those marked (steps, points), cell by cell."""
        if not where.any() or (known is not None and known.number < step):
            return known
        row = int(np.argmax(where.any(axis=1)))
        cell, point = self._used.first_cell(points[where[row]])
        first = _Step(step + row, cell, float(values[row, np.searchsorted(points, point)]))
        return first if known is None else min(known, first)

    @property
    def mostly_outside(self) -> bool:
        """True where most values lie outside: then it is their units, not some steps."""
        return 2 * self._outside > self._used.steps * int(np.count_nonzero(self._taken))

    @property
    def missing(self) -> str:
        """The first value that is fill, in words; empty where there is none."""
        return "" if self._first_missing is None else f": {self._described(self._first_missing)}"

    def refuse_outside(self) -> None:
        """Refuses values outside the bounds.

        Raises:
            InputError: there is one; the first is named.
        """
        if self._first_outside is None:
            return
        low, high = self._bounds
        what = (
            f"variable {self._described(self._first_outside)} at the point of land cell "
            f"{self._first_outside.cell + 1} ({self._outside} such values in all)"
        )
        expected = f"{low:g} to {high:g} {self.units} at every step"
        raise InputError(self.path, what, expected=expected, remedy="check units and fill values")

    def refuse_small(self, when: str) -> None:
        """Refuses points none of whose values is as large as one has to be.

        Raises:
            InputError: so it is.
        """
        for known in self._largest.values():
            largest = known.reshape(-1)
            small = np.flatnonzero(self._taken.reshape(-1) & ~(largest > self._exceeds))
            if len(small):
                cell, point = self._used.first_cell(small)
                count = np.count_nonzero(np.isin(self._used.point, small))
                where = f"{count} of {len(self._used.cells)} land cells, first at land cell {cell + 1}"
                what = f"variable {self.name} is at most {largest[point]:.3g} in {when} at {where}"
                expected = f"{self.units}, more than {self._exceeds:g} at some step"
                remedy = "multiply it by 100 if it is a fraction"
                raise InputError(self.path, what, expected=expected, remedy=remedy)

    def _described(self, step: _Step) -> str:
        value = f"{step.raw * self._scale + self._offset:g}"
        on_file = f" ({step.raw:g} on file)" if self._packed else ""
        date = date_label(self._used.day(step.number))
        return f"{self.name} is {value}{on_file} at step {step.number + 1} ({date})"
