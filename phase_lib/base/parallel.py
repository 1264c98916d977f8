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

from phase_lib.base.errors import InputError

T = TypeVar("T")


class Runner(Protocol):
    """What does the tasks of a job."""

    def __call__(self, tasks: Sequence[Callable[[], T]], done: Callable[[], None]) -> tuple[T, ...]:
        """Begins tasks in their order; on one core, they also end so.

        Args:
            tasks: what processes can do alone.
            done: called once for each task that has ended.

        Returns:
            Their results, in the order of the tasks.

        Raises:
            Exception: what a task has raised, after which no others are begun; of errors of the input that of
                the first task in order, so that the message does not depend on the number of processes.
        """
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
) -> tuple[T, ...]:
    # Of tasks that could begin, dask takes the one whose key is last.
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
            # Tasks begin in order: those before it are done, or were still running beside it.
            for key, task in zip(keys, tasks, strict=True):
                if key in running:
                    task()
        # Its text is followed by a traceback; an error of the input is one line.
        raise error.exception from error
    return results
