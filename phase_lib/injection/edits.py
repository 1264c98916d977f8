"""A copy of the base under edit: what the edits of soil and plants share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

import numpy as np

from phase_lib.base.errors import InputError
from phase_lib.base.progress import Ticker
from phase_lib.config.injection import InjectionSettings
from phase_lib.elm.blocks import Block
from phase_lib.elm.netcdf import Rows
from phase_lib.elm.other_pools import twins_among
from phase_lib.elm.parameters import Parameters
from phase_lib.elm.soil_grid import NLEVDECOMP
from phase_lib.injection.base import Base, MineralP, Work
from phase_lib.injection.editor import Editor
from phase_lib.injection.predictions import Predictions
from phase_lib.injection.rules import isotope_of, within_cells

#: Values of one variable in a block at most; some eighty variables are in memory at a time.
_BLOCK_VALUES = 1 << 17
#: Shares of a cell, with round-off.
_MOST_WEIGHT = 1.0 + 1.0e-6


class Edits:
    """The copy, what it receives, and the account.

    Args:
        work: what the injection starts from.
        settings: bounds.
        mortality_factor: what leaving AD multiplies dead wood by.
        variables: of the copy.
        dry_run: write nothing.

    Attributes:
        base: the base, read from the copy.
        parameters, predictions, mineral, settings, mortality_factor: as given.
        editor: reads and writes the rows of a block.
        clipped: what was changed to keep a bound -> how often.
        twins: carbon pool or sum -> its isotopes on file.
        share: shares of their cells of the block's rows (row).
    """

    def __init__(
        self,
        work: Work,
        settings: InjectionSettings,
        mortality_factor: float,
        variables: Mapping[str, Rows],
        *,
        dry_run: bool,
    ) -> None:
        self.base: Base = replace(work.base, blocks=work.base.blocks.reading(variables))
        self.parameters: Parameters = work.parameters
        self.predictions: Predictions | None = work.predictions
        self.mineral: MineralP | None = work.mineral
        self.settings, self.mortality_factor = settings, mortality_factor
        self.variables, self.editor = variables, Editor(variables, dry_run=dry_run)
        self.clipped: Counter[str] = Counter()
        self.twins = twins_among(variables.keys())
        self.share = np.empty(0)

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
                raise InputError(
                    self.base.header.path,
                    f"{weight} holds {self.share[np.argmax(wrong)]:g} where biogeochemistry runs",
                    expected="a share of the cell, 0 to 1",
                    remedy="use the restart as ELM wrote it",
                )
            self.editor.begin(block, self.share * self.base.surface.land_area(block.cell))
            yield block
            ticker.tick(block.stop, rows)
        self.editor.flush()

    def receives(self, block: Block) -> np.ndarray:
        """Rows of natural vegetation in cells that receive predictions (row)."""
        if self.predictions is None:
            return np.zeros(len(block), dtype=bool)
        return block.soil & self.predictions.used(block.cell)

    def predicted(self, name: str) -> bool:
        """True if the variable is predicted."""
        return self.predictions is not None and name in self.predictions.names

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
        present = self.editor.get(name)[rows]
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
            pool: the pool, in the editor as it is now.
            before: what it held before (row), or of layers (row, levdecomp).
            receives: rows that receive predictions (row).
            start: isotope -> its share of the carbon in a cold start.
        """
        layers = before.ndim > 1
        set_values = self.editor.set_layers if layers else self.editor.set
        active = np.s_[:, :NLEVDECOMP] if layers else np.s_[:]
        for twin in self.twins.get(pool, ()):
            present, after = self.editor.get(twin.name)[active], self.editor.get(pool)[active]
            values, empty = isotope_of(present, before, after, start[twin.isotope.name])
            count = int(np.count_nonzero(empty))
            self.clipped[f"{twin.name}: its pool was empty, gets the share of a cold start"] += count
            set_values(twin.name, values, receives)
