"""Processes that train one surrogate together, started by torchrun; a single process is a team of one."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from phase_lib.base.errors import PhaseError

_Anything = TypeVar("_Anything")
#: Longest wait for the other processes, which may still be reading.
_PATIENCE = timedelta(minutes=30)
#: How long a process waits when another one has failed, s: that one reports, and the launcher ends both.
_LAST_WORDS = 10.0


@dataclass(frozen=True)
class Team:
    """What the processes do together. Sums are over all of them, and all receive the same.

    Attributes:
        rank: number of this process, from 0.
        size: how many there are.
    """

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes."""
        return self.rank == 0

    @contextmanager
    def all_or_none(self) -> Iterator[None]:
        """Ends all processes when one of them refuses something inside; only one reports it.

        Raises:
            PhaseError: in the first process that refused something.
        """
        refused: PhaseError | None = None
        try:
            yield
        except PhaseError as error:
            refused = error
        errors = self.gather(refused)
        first = next((error for error in errors if error is not None), None)
        if first is None:
            return
        if refused is not None and not any(errors[: self.rank]):
            raise refused
        time.sleep(_LAST_WORDS)
        raise SystemExit(first.exit_code)

    def share(self, cells: np.ndarray) -> np.ndarray:
        """This process's share of the cells, neighbours in dataset order; sizes differ by one cell at most.

        Args:
            cells: True for the cells of all processes (gridcell, dataset order).

        Returns:
            True for those of this process (gridcell, dataset order).
        """
        share = np.zeros_like(cells)
        share[self._part(np.flatnonzero(cells))] = True
        return share

    def portion(self, count: int) -> int:
        """This process's share of a number; the shares of all add up to it."""
        return len(self._part(range(count)))

    def _part(self, whole: Any) -> Any:
        count = len(whole)
        return whole[count * self.rank // self.size : count * (self.rank + 1) // self.size]

    def sum(self, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Sums of tensors of the same names and shapes."""
        if self.size == 1:
            return dict(values)
        flat = torch.cat([value.detach().reshape(-1) for value in values.values()])
        self._reduce(flat)
        return dict(zip(values, _cut(flat, values.values()), strict=True))

    def sum_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Replaces the gradients by their sums; a process without gradients adds nothing."""
        if self.size == 1:
            return
        learnt = [parameter for parameter in parameters if parameter.requires_grad]
        gradients = [p.grad if p.grad is not None else torch.zeros_like(p) for p in learnt]
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
        self._reduce(flat)
        for parameter, gradient in zip(learnt, _cut(flat, learnt), strict=True):
            parameter.grad = gradient

    def gather(self, item: _Anything) -> list[_Anything]:
        """The item of each process, in the order of their ranks; for small items."""
        if self.size == 1:
            return [item]
        items: list[Any] = [None] * self.size
        with _others_alive():
            dist.all_gather_object(items, item)
        return items

    def _reduce(self, flat: Tensor) -> None:
        with _others_alive():
            dist.all_reduce(flat)


def _cut(flat: Tensor, shapes: Iterable[Tensor]) -> Iterator[Tensor]:
    start = 0
    for like in shapes:
        yield flat[start : start + like.numel()].reshape(like.shape)
        start += like.numel()


@contextmanager
def _others_alive() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        # The one that failed reports why; its end reaches the others before the launcher does.
        time.sleep(_LAST_WORDS)
        reason = str(error).splitlines()[0]
        raise PhaseError(f"another process of the training has ended ({reason}); train again") from error


def local_rank() -> int:
    """Number of this process among those of its node: that of its GPU."""
    return int(os.environ.get("LOCAL_RANK", "0"))


@contextmanager
def process_team(device: torch.device) -> Iterator[Team]:
    """Joins the processes that torchrun started; they end together. This one computes on `device`."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield Team()
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=_PATIENCE)
    team = Team(dist.get_rank(), size)
    yield team
    # The others stay until the first has written; where one has failed they do not get here.
    team.gather(None)
    dist.destroy_process_group()
