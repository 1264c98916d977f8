"""A copy of the base under edit, a block of rows at a time, and the account of what changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from phase_lib.base.errors import InputError
from phase_lib.base.progress import Ticker
from phase_lib.config.injection import InjectionSettings
from phase_lib.elm.blocks import Block
from phase_lib.elm.netcdf import Rows
from phase_lib.elm.other_pools import twins_among
from phase_lib.elm.soil_grid import DZDECOMP, NLEVDECOMP, column_stock
from phase_lib.injection.base import Base
from phase_lib.injection.rules import isotope_of, within_cells

#: Values of one variable in a block at most; some eighty variables are in memory at a time.
_BLOCK_VALUES = 1 << 17
#: Shares of a cell, with round-off.
_MOST_WEIGHT = 1.0 + 1.0e-6


@dataclass
class Change:
    """The change of one variable.

    Attributes:
        before, after: weighted sums over the file.
        weight: sum of the weights, for means.
        count: values that changed.
    """

    before: float = 0.0
    after: float = 0.0
    weight: float = 0.0
    count: int = 0


class Edits:
    """A copy of the base under edit: soil and plants read and set the rows of one block after the other.

    A dry run does all but the writing.

    Args:
        base: what the injection starts from.
        settings: bounds.
        mortality_factor: what leaving AD multiplies dead wood by.
        variables: of the copy, open for writing unless `dry_run`.
        dry_run: write nothing.

    Attributes:
        base: the base, read from the copy.
        changes: account by variable, of all that was set.
        clipped: what was changed to keep a bound -> how often.
        twins: carbon pool or sum -> its isotopes on file.
        share: shares of their cells of the block's rows (row).
    """

    def __init__(
        self,
        base: Base,
        settings: InjectionSettings,
        mortality_factor: float,
        variables: Mapping[str, Rows],
        *,
        dry_run: bool,
    ) -> None:
        self.base = replace(base, blocks=base.blocks.reading(variables))
        self.settings, self.mortality_factor, self.variables = settings, mortality_factor, variables
        self.changes: dict[str, Change] = {}
        self.clipped: Counter[str] = Counter()
        self.twins = twins_among(variables.keys())
        self._dry = dry_run
        self._old: dict[str, np.ndarray] = {}
        self._new: dict[str, np.ndarray] = {}
        self._block: Block | None = None
        self.share = self._weights = np.empty(0)
        self._counted: np.ndarray | slice = slice(None)

    def step(self, rows: int, levels: int) -> int:
        """Rows of a block, of a dimension with so many rows and of variables with so many levels."""
        cells = self.settings.chunk_cells * rows // self.base.blocks.ncells
        return max(1, min(cells, _BLOCK_VALUES // levels))

    def in_turn(self, blocks: Iterator[Block], weight: str, rows: int, what: str) -> Iterator[Block]:
        """Blocks, each of which is written when the next one starts.

        Args:
            blocks: of the copy.
            weight: variable with the shares of their cells.
            rows: of the dimension.
            what: the rows are, for progress.

        Raises:
            InputError: a share is none.
        """
        ticker = Ticker(what)
        for block in blocks:
            self.share = block.read(self.variables[weight])
            wrong = ~((self.share >= 0.0) & (self.share <= _MOST_WEIGHT))
            if np.any(wrong):
                what = f"{weight} holds {self.share[np.argmax(wrong)]:g} where biogeochemistry runs"
                share, remedy = "a share of the cell, 0 to 1", "use the restart as ELM wrote it"
                raise InputError(self.base.header.path, what, expected=share, remedy=remedy)
            self.flush()
            weights = self.share * self.base.surface.land_area(block.cell)
            # A row without weight may hold anything, and does not count in the account.
            self._counted = slice(None) if np.all(weights > 0.0) else weights > 0.0
            self._block, self._weights = block, weights[self._counted]
            yield block
            ticker.tick(block.stop, rows)
        self.flush()

    def has(self, name: str) -> bool:
        """True if the restart holds the variable."""
        return name in self.variables

    def get(self, name: str) -> np.ndarray:
        """The block's values of a variable as they stand now; not to be changed in place."""
        if name in self._new:
            return self._new[name]
        if name not in self._old:
            assert self._block is not None
            self._old[name] = self._block.read(self.variables[name])
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
                self._block.write(self.variables[name], new)
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

    def receives(self, block: Block) -> np.ndarray:
        """Rows of natural vegetation in cells that receive predictions (row)."""
        if self.base.predictions is None:
            return np.zeros(len(block), dtype=bool)
        return block.soil & self.base.predictions.used(block.cell)

    def predicted(self, name: str) -> bool:
        """True if the variable is predicted."""
        return self.base.predictions is not None and name in self.base.predictions.names

    def parts(self, name: str, predicted: np.ndarray, group: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """What the parts of cells receive that topounits divide; elsewhere the prediction.

        Args:
            name: variable.
            predicted: mean of the cell of each row, (n) or (n, levdecomp).
            group: cell, or cell and PFT, of each (n).
            rows: which rows of the block they are (row), bool.
        """
        if not self.base.blocks.divided:
            return predicted
        present = self.get(name)[rows]
        present = present if present.ndim == 1 else present[:, :NLEVDECOMP]
        values, lost = within_cells(predicted, present, group, self.share[rows])
        self.clipped[f"{name}: parts of a cell too unlike, all get the prediction"] += lost
        return values

    def with_twins(self, names: Iterable[str]) -> Iterator[str]:
        """Pools, each followed by its isotope twins."""
        for name in names:
            yield name
            yield from (twin.name for twin in self.twins.get(name, ()))

    def twins_follow(
        self, pool: str, before: np.ndarray, receives: np.ndarray, start: Mapping[str, np.ndarray | float]
    ) -> None:
        """The twins of a carbon pool keep their share of it where it was replaced.

        Args:
            pool: the pool, already replaced.
            before: what it held before (row), or of layers (row, levdecomp).
            receives: rows that receive predictions (row).
            start: isotope -> its share of the carbon in a cold start.
        """
        layers = before.ndim > 1
        set_values = self.set_layers if layers else self.set
        active = np.s_[:, :NLEVDECOMP] if layers else np.s_[:]
        for twin in self.twins.get(pool, ()):
            present, after = self.get(twin.name)[active], self.get(pool)[active]
            values, empty = isotope_of(present, before, after, start[twin.isotope.name])
            count = int(np.count_nonzero(empty))
            self.clipped[f"{twin.name}: its pool was empty, gets the share of a cold start"] += count
            set_values(twin.name, values, receives)


def _differing(old: np.ndarray, new: np.ndarray) -> int:
    """How many values differ; NaN equals NaN."""
    count = int(np.count_nonzero(new != old))
    return count - int(np.count_nonzero(np.isnan(new) & np.isnan(old))) if count else 0
