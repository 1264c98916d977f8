"""Work that a job divides among its cores."""

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

from phase_lib.base.errors import InputError

T = TypeVar("T")


class Runner(Protocol):
    """Runs the tasks of a job."""

    def __call__(self, tasks: Sequence[Callable[[], T]], done: Callable[[], None]) -> tuple[T, ...]:
        """Begins tasks in their order, calls `done` at the end of each, and returns their results in order.

        Raises:
            Exception: the error of a task, after which no others begin; of several errors of the input that
                of the first task in order, so that the message does not depend on the number of processes.
        """
        ...


@contextmanager
def runner(workers: int) -> Iterator[Runner]:
    """A scheduler of dask for a number of processes, which end with the runner; each does one task at a time.

    Threads would be no faster: the NetCDF library serves one at a time.
    """
    if workers == 1:
        yield partial(_compute, {"scheduler": "synchronous"})
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        # A task takes seconds: with several tasks in a chunk, some workers would have none.
        yield partial(_compute, {"scheduler": "processes", "pool": pool, "chunksize": 1})


def _compute(
    settings: dict[str, Any], tasks: Sequence[Callable[[], T]], done: Callable[[], None]
) -> tuple[T, ...]:
    # Of the tasks that can begin, dask begins with the last key.
    keys = [f"task-{left:09d}" for left in range(len(tasks), 0, -1)]
    graph = [delayed(task, traverse=False)(dask_key_name=key) for key, task in zip(keys, tasks, strict=True)]
    running: set[str] = set()
    try:
        with Callback(
            posttask=lambda *_: done(), finish=lambda _, state, failed: running.update(state["running"])
        ):
            results: tuple[T, ...] = compute(*graph, **settings)
    except RemoteException as error:
        if isinstance(error.exception, InputError):
            # Tasks begin in order: earlier ones are done, or were still running at the same time.
            for key, task in zip(keys, tasks, strict=True):
                if key in running:
                    task()
        # A RemoteException has a traceback in its text; an error of the input is one line.
        raise error.exception from error
    return results
