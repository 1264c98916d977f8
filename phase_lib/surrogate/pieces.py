"""Batches in pieces, where a device has not the memory for a whole one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch

from phase_lib.base.errors import PhaseError
from phase_lib.base.progress import LOGGER
from phase_lib.surrogate.features import Batch

_Result = TypeVar("_Result")


@dataclass
class Pieces:
    """In how many pieces batches go through a device: twice as many each time that it runs out of memory.

    Attributes:
        count: of pieces, from then on.
    """

    count: int = 1

    def over(
        self, batch: Batch, work: Callable[[Batch], _Result], undo: Callable[[], None] = lambda: None
    ) -> list[_Result]:
        """What `work` gives for each piece of a batch, in order.

        Args:
            batch: cells.
            work: done with each piece.
            undo: takes back what pieces did before the device ran out of memory.

        Raises:
            PhaseError: there is no memory for a single cell.
        """
        while True:
            try:
                return [work(piece) for piece in self._cut(batch)]
            except torch.OutOfMemoryError as error:
                if self.count >= len(batch):
                    remedy = "take a smaller network, or a device with more memory"
                    raise PhaseError(f"no memory for one cell on the device: {remedy}") from error
                self.count *= 2
            undo()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            LOGGER.warning("out of memory: batches of %d cells now go in %d pieces", len(batch), self.count)

    def _cut(self, batch: Batch) -> list[Batch]:
        if self.count == 1:
            return [batch]
        return [batch.take(rows) for rows in torch.arange(len(batch)).chunk(self.count)]
