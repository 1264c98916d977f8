"""What an audit judges a whole restart by, counted block by block."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np


@dataclass
class Places:
    """Where something was met.

    Attributes:
        count: how often.
        cell: 0-based cell of the first place.
        value: what was found there.
    """

    count: int = 0
    cell: int = -1
    value: float = math.nan

    def add(self, met: np.ndarray, cell: np.ndarray, values: np.ndarray) -> None:
        """Adds the places of a block: where it was met, their cells and values, all (n)."""
        found = int(np.count_nonzero(met))
        if found and not self.count:
            first = int(np.argmax(met))
            self.cell, self.value = int(cell[first]), float(values[first])
        self.count += found


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


class SlowSoil:
    """The two slowest soil pools of all columns, whose ratio tells AD from normal mode.

    Args:
        cells: number of cells.
        low: soil4 : soil3 of a column below which it is as AD leaves it.
        high: the same above which it is as in normal mode.
        judged: soil3 (gC m-2) above which a column is compared with `high`.

    Attributes:
        columns: number of columns of natural vegetation.
        soil3, soil4: sums over the columns, gC m-2.
        judged3, judged4: the same over those that are compared with `high`.
        richest3, richest4: columns with the most of a pool.
        low, high: columns whose ratio is below or above.
        low_ratio: soil4 : soil3 of a low column of each cell, NaN where there is none (gridcell).
    """

    #: Less soil3 (gC m-2) is no soil whose ratio says anything.
    LEAST = 1.0
    #: In place of no soil3 at all, gC m-2.
    _NOTHING = 1.0e-8

    def __init__(self, cells: int, low: float, high: float, judged: float) -> None:
        self._low, self._high, self._judged = low, high, judged
        self.columns = 0
        self.soil3 = self.soil4 = self.judged3 = self.judged4 = 0.0
        self.richest3, self.richest4 = Richest(), Richest()
        self.low, self.high = Places(), Places()
        self.low_ratio = np.full(cells, np.nan, dtype=np.float32)

    def add(self, soil3: np.ndarray, soil4: np.ndarray, cell: np.ndarray, natural: np.ndarray) -> None:
        """Adds a block of columns: carbon (n), gC m-2, cells (n), and which are natural vegetation's (n)."""
        self.columns += int(np.count_nonzero(natural))
        self.soil3 += float(soil3.sum())
        self.soil4 += float(soil4.sum())
        ratio = soil4 / np.maximum(soil3, self._NOTHING)
        self.richest3.add(soil3, ratio, cell)
        self.richest4.add(soil4, ratio, cell)
        low = (soil3 > self.LEAST) & (ratio < self._low)
        self.low.add(low, cell, ratio)
        self.low_ratio[cell[low]] = ratio[low]
        judged = soil3 > self._judged
        self.judged3 += float(soil3[judged].sum())
        self.judged4 += float(soil4[judged].sum())
        self.high.add(judged & (ratio > self._high), cell, ratio)


class DeadWood:
    """Dead wood of all patches as a share of what normal mortality leaves beside their live wood.

    Args:
        low: log10 of that share below which it is as AD leaves it.
        high: the same above which it is as in normal mode.

    Attributes:
        low, high: patches whose share is below or above.
    """

    def __init__(self, low: float, high: float) -> None:
        self._low, self._high, self._sum = low, high, 0.0
        self.low, self.high = Majority(), Majority()

    def add(self, log: np.ndarray, cell: np.ndarray) -> np.ndarray:
        """Adds a block of patches: log10 of the share (n) and cells (n).

        Returns:
            Cells of low patches.
        """
        judged = np.ones(len(log), dtype=bool)
        low = log < self._low
        self._sum += float(log.sum())
        self.low.add(judged, low, cell, log)
        self.high.add(judged, log > self._high, cell, log)
        return np.asarray(cell[low])

    @property
    def mean(self) -> float:
        """Geometric mean of the share."""
        return float(10.0 ** (self._sum / self.low.judged))


class Logarithms:
    """Positive values counted by the size of their logarithm, so that medians need no more room than this.

    Attributes:
        count: values.
    """

    _LOW, _HIGH, _STEP = -6.0, 6.0, 1.0e-3

    def __init__(self) -> None:
        self._counts = np.zeros(round((self._HIGH - self._LOW) / self._STEP), dtype=np.int64)

    def add(self, values: np.ndarray) -> None:
        """Adds values above 0 (n); those beyond a millionth and a million count as that."""
        place = ((np.log10(values) - self._LOW) / self._STEP).astype(np.int64)
        self._counts += np.bincount(np.clip(place, 0, len(self._counts) - 1), minlength=len(self._counts))

    @property
    def count(self) -> int:
        """Number of values."""
        return int(self._counts.sum())

    def quantile(self, share: float) -> float:
        """The value that a share of all lies below, to 0.1 %."""
        place = int(np.searchsorted(np.cumsum(self._counts), share * self.count, side="left"))
        return float(10.0 ** (self._LOW + (place + 0.5) * self._STEP))
