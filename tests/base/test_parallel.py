"""Tasks of a job run on as many cores as it was given, and an error in one of them stays the error it was."""

from __future__ import annotations

import os
import time
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from phase_lib.base.errors import InputError
from phase_lib.base.parallel import runner


@dataclass(frozen=True)
class Refusal:
    """A task that refuses its file after a while."""

    number: int
    seconds: float

    def __call__(self) -> None:
        time.sleep(self.seconds)
        raise InputError(f"{self.number}.nc", "has no time axis", expected="time")


@dataclass(frozen=True)
class Meeting:
    """A task that ends once another one has begun."""

    folder: Path
    name: str
    other: str

    def __call__(self) -> int:
        (self.folder / self.name).touch()
        end = time.monotonic() + 60.0
        while not (self.folder / self.other).exists():
            assert time.monotonic() < end, f"{self.other} did not begin beside {self.name}"
            time.sleep(0.01)
        return os.getpid()


def stay(number: int) -> tuple[int, float, float]:
    begin = time.monotonic()
    time.sleep(0.05)
    return os.getpid(), begin, time.monotonic()


def square(number: int) -> int:
    return number * number


def fail(number: int) -> int:
    if number in (3, 7):
        raise InputError(f"{number}.nc", "has no time axis", expected="time")
    return number


@pytest.mark.parametrize("workers", [1, 3])
def test_results_come_in_the_order_of_the_tasks_and_each_end_is_reported_once(workers: int) -> None:
    ends: list[None] = []
    with runner(workers) as run:
        assert list(run([partial(square, n) for n in range(20)], lambda: ends.append(None))) == [
            n * n for n in range(20)
        ]
    assert len(ends) == 20


def test_two_workers_do_two_tasks_at_once_in_processes_of_their_own(tmp_path: Path) -> None:
    with runner(2) as run:
        processes = run([Meeting(tmp_path, "a", "b"), Meeting(tmp_path, "b", "a")], lambda: None)
    assert len({os.getpid(), *processes}) == 3


def test_no_more_tasks_run_at_once_than_there_are_workers_and_processes_serve_every_call() -> None:
    with runner(2) as run:
        stays = [one for _ in range(2) for one in run([partial(stay, n) for n in range(8)], lambda: None)]
    assert len({process for process, _, _ in stays}) <= 2
    for _, moment, _ in stays:
        assert sum(begin <= moment < end for _, begin, end in stays) <= 2


def test_on_one_core_tasks_are_done_in_their_order_and_the_first_error_counts() -> None:
    order: list[int] = []
    with runner(1) as run:
        run([partial(order.append, n) for n in range(1200)], lambda: None)
        assert order == list(range(1200))
        for _ in range(5):
            with pytest.raises(InputError, match=r"3\.nc"):
                run([partial(fail, n) for n in (0, 3, 1, 7, 2)], lambda: None)


def test_a_worker_that_is_killed_ends_the_work(tmp_path: Path) -> None:
    with pytest.raises(BrokenProcessPool), runner(2) as run:
        run([partial(os._exit, 9), *[partial(stay, n) for n in range(100)]], lambda: None)


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_of_the_input_in_a_task_is_raised_as_it_is_in_one_line(workers: int) -> None:
    with pytest.raises(InputError) as error, runner(workers) as run:
        run([partial(fail, n) for n in range(6)], lambda: None)
    assert type(error.value) is InputError
    assert str(error.value) == "3.nc: has no time axis; expected time"


@pytest.mark.parametrize("workers", [1, 3])
def test_of_two_errors_of_the_input_the_first_in_order_is_raised_though_it_comes_last(workers: int) -> None:
    tasks = [partial(fail, 0), Refusal(1, 0.5), partial(fail, 2), Refusal(4, 0.0), partial(fail, 7)]
    with pytest.raises(InputError, match=r"^1\.nc: has no time axis"), runner(workers) as run:
        run(tasks, lambda: None)
