"""Work that a job shares among the cores that it was given, and no more."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from typing import Any, Protocol, TypeVar

from dask.base import compute
from dask.callbacks import Callback
from dask.delayed import delayed
from dask.multiprocessing import RemoteException

T = TypeVar("T")


class Runner(Protocol):
    """Does tasks and returns their results in order; `done` is called once for each that has ended."""

    def __call__(self, tasks: Sequence[Callable[[], T]], done: Callable[[], None]) -> Sequence[T]:
        """Does them."""
        ...


@contextmanager
def runner(workers: int) -> Iterator[Runner]:
    """Schedulers of dask: that of this process, or that of several, which live as long as the runner.

    Threads would not do: the NetCDF library serves one at a time.

    Args:
        workers: processes. Each does one task at a time, on one core.
    """
    if workers == 1:
        yield partial(_compute, {"scheduler": "synchronous"})
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        # A task takes seconds: handing over several at once would leave some workers without.
        yield partial(_compute, {"scheduler": "processes", "pool": pool, "chunksize": 1})


def _compute(
    settings: dict[str, Any], tasks: Sequence[Callable[[], T]], done: Callable[[], None]
) -> Sequence[T]:
    graph = [delayed(task, traverse=False)() for task in tasks]
    try:
        with Callback(posttask=lambda *_: done()):
            results: Sequence[T] = compute(*graph, **settings)
    except RemoteException as error:
        # Its text is followed by a traceback; an error of the input is one line.
        raise error.exception from error
    return results
