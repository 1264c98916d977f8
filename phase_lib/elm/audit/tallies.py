"""What an audit judges a whole restart by, counted block by block."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np


def beyond(values: np.ndarray, right: np.ndarray, factor: float, noise: np.ndarray | float) -> np.ndarray:
    """Where values are off by more than a factor, either way, and by more than noise."""
    return np.asarray((values > right * factor + noise) | (values < right / factor - noise))


@dataclass
class Places:
    """Where something was met.

    Attributes:
        count: how often.
        cell: 0-based cell of the first place.
        value: that one.
    """

    count: int = 0
    cell: int = -1
    value: float = math.nan

    def add(self, met: np.ndarray, cell: np.ndarray, values: np.ndarray) -> None:
        """Adds the places of a block: where it was met, their cells and values, all (n)."""
        count = int(np.count_nonzero(met))
        if count and not self.count:
            first = int(np.argmax(met))
            self.cell, self.value = int(cell[first]), float(values[first])
        self.count += count


@dataclass
class Majority:
    """How many of the values that can be judged are beyond a limit, so on which side of it their median is.

    Attributes:
        judged: values.
        places: those beyond the limit.
    """

    judged: int = 0
    places: Places = field(default_factory=Places)

    def add(self, judged: np.ndarray, beyond: np.ndarray, cell: np.ndarray, values: np.ndarray) -> None:
        """Adds a block: what can be judged, what is beyond the limit, cells and values, all (n)."""
        self.judged += int(np.count_nonzero(judged))
        self.places.add(judged & beyond, cell, values)

    @property
    def most(self) -> bool:
        """True if more than half of what can be judged is beyond the limit."""
        return 2 * self.places.count > self.judged


@dataclass
class Richest:
    """The column with the most carbon of a pool: that carbon, its soil4 : soil3, and its cell."""

    carbon: float = 0.0
    ratio: float = math.nan
    cell: int = -1

    def add(self, carbon: np.ndarray, ratio: np.ndarray, cell: np.ndarray) -> None:
        """Adds a block, all (n)."""
        row = int(np.argmax(carbon))
        if carbon[row] > self.carbon:
            self.carbon, self.ratio, self.cell = float(carbon[row]), float(ratio[row]), int(cell[row])
