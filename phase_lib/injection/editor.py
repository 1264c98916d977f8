"""Editing a restart in place, a block of rows at a time, and keeping account of what changed."""

from __future__ import annotations

from dataclasses import dataclass

import netCDF4
import numpy as np


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
    """Reads and writes blocks of rows; a dry run does all but the writing.

    Args:
        dataset: the restart, open for writing unless `dry_run`.
        weights: dimension -> weight of each row in the account; 0 for rows that do not count.
        dry_run: write nothing.

    Attributes:
        changes: account by variable, of everything that was set.
    """

    def __init__(self, dataset: netCDF4.Dataset, weights: dict[str, np.ndarray], *, dry_run: bool) -> None:
        self._dataset, self._weights, self._dry = dataset, weights, dry_run
        self.changes: dict[str, Change] = {}
        self._old: dict[str, np.ndarray] = {}
        self._new: dict[str, np.ndarray] = {}
        self._rows = slice(0, 0)

    def has(self, name: str) -> bool:
        """True if the restart holds the variable."""
        return name in self._dataset.variables

    def begin(self, start: int, stop: int) -> None:
        """Starts a block of rows."""
        self.flush()
        self._rows = slice(start, stop)

    def get(self, name: str) -> np.ndarray:
        """The block's values of a variable as they stand now; not to be changed in place."""
        if name in self._new:
            return self._new[name]
        if name not in self._old:
            self._old[name] = np.asarray(self._dataset[name][self._rows])
        return self._old[name]

    def set(self, name: str, values: np.ndarray, where: np.ndarray) -> None:
        """Sets the block's values where `where` is true (broadcast over layers)."""
        current = self.get(name)
        mask = where if where.ndim == current.ndim else where[:, None]
        self._new[name] = np.where(mask, values, current)

    def flush(self) -> None:
        """Writes what changed in this block and forgets the block's values."""
        for name, new in self._new.items():
            old = self._old[name]
            changed = (new != old) & ~(np.isnan(new) & np.isnan(old))
            self._account(name, old, new, int(np.count_nonzero(changed)))
            if np.any(changed) and not self._dry:
                self._dataset[name][self._rows] = new
        self._old.clear()
        self._new.clear()

    def _account(self, name: str, old: np.ndarray, new: np.ndarray, count: int) -> None:
        variable = self._dataset[name]
        weights = self._weights[variable.dimensions[0]][self._rows]
        depth = self._weights.get(variable.dimensions[1]) if old.ndim > 1 else None
        counted = weights > 0.0
        change = self.changes.setdefault(name, Change())
        for attribute, values in (("before", old), ("after", new)):
            column = values[counted] if depth is None else values[counted][:, : len(depth)] @ depth
            setattr(change, attribute, getattr(change, attribute) + float(column @ weights[counted]))
        change.weight += float(weights[counted].sum()) * (1.0 if depth is None else float(depth.sum()))
        change.count += count
