"""What a check is: a function with its entry in the table, and the faults and counts that it works with."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from phase_lib.elm.blocks import Block

#: When a check is called, and its arguments: the restart under audit (`file`, `end`); the restart and
#: a block of patches, also without cover (`index`), the pools of a block (`columns`, `patches`, `pools` for
#: both) or an isotope of one of them (`twins`); the values of one variable in a block (`values`).
Stage = Literal["file", "index", "values", "columns", "patches", "pools", "twins", "end"]
#: An error in one mode alone is a note in files of the other mode.
Rank = Literal["error", "note", "error in normal mode", "error in AD", "error, or a note"]

#: Sources of checks: ELM (E3SM, August 2026) was run on restarts with the fault, its source was read,
#: restarts that it wrote were looked at, or no restart of ELM is so.
RUN, SOURCE, FILES = "ELM run on such a file", "ELM's source", "files that ELM wrote"
LAYOUT = "how ELM lays out its restarts"


def beyond(values: np.ndarray, right: np.ndarray, factor: float, noise: np.ndarray | float) -> np.ndarray:
    """Where values are off by more than a factor, either way, and by more than noise."""
    return np.asarray((values > right * factor + noise) | (values < right / factor - noise))


@dataclass
class Places:
    """Places of a fault, counted block by block.

    Attributes:
        count: how many.
        cell: 0-based cell of the first.
        value: value there.
    """

    count: int = 0
    cell: int = -1
    value: float = math.nan

    def add(self, met: np.ndarray, cell: np.ndarray, values: np.ndarray) -> None:
        """Adds a block: where the fault is, cells and values, all (n)."""
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


@dataclass(frozen=True)
class Fault:
    """A fault: of the values where `bad`, at `places` that a tally counted, or else of the file as a whole.

    Attributes:
        variable: variable or dimension on file.
        values: of the rows of a block, (row) or (row, layer); of the file as a whole one value, or None.
        bad: where the fault is, like `values`.
        places: where the fault is; their value is left out if it is NaN.
        expected: text, or the right values like `values`; the entry's text where empty.
        quantity: name of the values, where they are not those of the variable.
        rows: block of the values, or the cell of each row; None for the block that the check was called for.
        further: variables beyond this one with the same fault.
        note: True if it is a note, where the check leaves that open.
    """

    variable: str
    values: np.ndarray | float | str | None = None
    bad: np.ndarray | None = None
    places: Places | None = None
    expected: str | np.ndarray = ""
    quantity: str = ""
    rows: Block | np.ndarray | None = None
    further: int = 0
    note: bool = False


Find = Callable[..., Iterator[Fault]]


@dataclass(frozen=True)
class Check:
    """One check of the audit, an entry of its table.

    Attributes:
        code: name that messages, JSON and `phase audit --explain` use; it never changes.
        stage: when it is called.
        rank: how severe it is.
        source: how it is known to matter.
        sentence: what is wrong with the variable.
        expected: what is right, where that is the same everywhere.
        find: the function; its docstring states what ELM does with the fault, what to do, and the limit,
            with constants of its module in braces.
    """

    code: str
    stage: Stage
    rank: Rank
    source: str
    sentence: str
    expected: str
    find: Find

    @property
    def explanation(self) -> str:
        """What ELM does with the fault, what to do, and the limit."""
        return (inspect.getdoc(self.find) or "").format_map(inspect.unwrap(self.find).__globals__)


def check(
    code: str, stage: Stage, rank: Rank, source: str, sentence: str, expected: str = ""
) -> Callable[[Find], Check]:
    """Makes a function that yields faults an entry of the table; arguments as the attributes of `Check`."""
    return lambda find: Check(code, stage, rank, source, sentence, expected, find)
