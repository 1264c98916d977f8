"""Editing a restart in place, a block of rows at a time, and keeping account of what changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from phase_lib.elm.blocks import Block
from phase_lib.elm.netcdf import Rows
from phase_lib.elm.soil_grid import DZDECOMP, NLEVDECOMP, column_stock


@dataclass
class Change:
    """What became of one variable.

    Attributes:
        before, after: weighted sums over the file.
        weight: sum of the weights, for means.
        count: values that changed.
    """

    before: float = 0.0
    after: float = 0.0
    weight: float = 0.0
    count: int = 0


class Editor:
    """Reads and writes the rows of a block that count; a dry run does all but the writing.

    Args:
        variables: of the restart, open for writing unless `dry_run`.
        dry_run: write nothing.

    Attributes:
        changes: account by variable, of everything that was set.
    """

    def __init__(self, variables: Mapping[str, Rows], *, dry_run: bool) -> None:
        self._variables, self._dry = variables, dry_run
        self.changes: dict[str, Change] = {}
        self._old: dict[str, np.ndarray] = {}
        self._new: dict[str, np.ndarray] = {}
        self._block: Block | None = None
        self._counted: np.ndarray | slice = slice(None)
        self._weights = np.empty(0)

    def has(self, name: str) -> bool:
        """True if the restart holds the variable."""
        return name in self._variables

    def begin(self, block: Block, weights: np.ndarray) -> None:
        """Starts a block.

        Args:
            block: rows to work on.
            weights: weight of each in the account (row); 0 for rows that do not count there.
        """
        self.flush()
        # A row without weight may hold anything.
        counted = weights > 0.0
        self._counted = slice(None) if np.all(counted) else counted
        self._block, self._weights = block, weights[self._counted]

    def get(self, name: str) -> np.ndarray:
        """The block's values of a variable as they stand now; not to be changed in place."""
        if name in self._new:
            return self._new[name]
        if name not in self._old:
            assert self._block is not None
            self._old[name] = self._block.read(self._variables[name])
        return self._old[name]

    def set(self, name: str, values: np.ndarray, where: np.ndarray) -> None:
        """Sets the block's values where `where` is true (row), on every level."""
        current = self.get(name)
        if np.any(where):
            new = current.copy()
            np.copyto(new, values, where=where if where.ndim == new.ndim else where[:, None])
            self._new[name] = new
        else:
            self._new[name] = current

    def set_layers(self, name: str, values: np.ndarray, where: np.ndarray) -> None:
        """Sets the active layers where `where` is true, (row) or (row, levdecomp); those below stay."""
        new = self.get(name).copy()
        if np.all(where):
            new[:, :NLEVDECOMP] = values
        else:
            np.copyto(new[:, :NLEVDECOMP], values, where=where if where.ndim == 2 else where[:, None])
        self._new[name] = new

    def flush(self) -> None:
        """Writes what changed in this block and forgets the block's values."""
        for name, new in self._new.items():
            old = self._old[name]
            count = 0 if new is old else _differing(old, new)
            self._account(name, old, new, count)
            if count and not self._dry:
                assert self._block is not None
                self._block.write(self._variables[name], new)
        self._old.clear()
        self._new.clear()

    def _account(self, name: str, old: np.ndarray, new: np.ndarray, count: int) -> None:
        change = self.changes.setdefault(name, Change())
        before = self._total(old)
        change.before += before
        change.after += self._total(new) if count else before
        change.weight += float(self._weights.sum()) * (float(DZDECOMP.sum()) if old.ndim > 1 else 1.0)
        change.count += count

    def _total(self, values: np.ndarray) -> float:
        counted = values[self._counted]
        return float(((column_stock(counted) if values.ndim > 1 else counted) * self._weights).sum())


def _differing(old: np.ndarray, new: np.ndarray) -> int:
    """How many values differ; NaN equals NaN."""
    count = int(np.count_nonzero(new != old))
    return count - int(np.count_nonzero(np.isnan(new) & np.isnan(old))) if count else 0
