"""Killing a run of the workflow on purpose, and starting it again by the same command."""

from __future__ import annotations

import os
import re
import signal
import time
from pathlib import Path

import psutil

from tests.workflow.conftest import TIMEOUT, Workflow

#: What the terminal says when a run is killed, and whether the commands that it started are killed with it.
Kills = tuple[tuple[str, bool], ...]


class Run:
    """One start of the workflow, with the processes that it starts in a group of their own."""

    def __init__(
        self, workflow: Workflow, configs: tuple[str, ...], terminal: Path, target: Path | None
    ) -> None:
        self.terminal = terminal
        self.process = workflow.start(terminal=terminal, configs=configs, target=target)

    @property
    def said(self) -> str:
        return self.terminal.read_text(encoding="utf-8") if self.terminal.exists() else ""

    def kill_when_it_says(self, words: str, *, with_commands: bool) -> list[psutil.Process]:
        """Kills Snakemake, alone or with all that it started; what is left at work."""
        end = time.monotonic() + TIMEOUT
        while not re.search(words, self.said):
            assert self.process.is_alive(), self.said
            assert time.monotonic() < end, f"{words} was not said: {self.said}"
            time.sleep(0.02)
        pid = self.process.pid
        assert pid is not None
        started = psutil.Process(pid).children(recursive=True)
        (os.killpg if with_commands else os.kill)(pid, signal.SIGKILL)
        self.process.join()
        return [process for process in started if is_at_work(process)]

    def ended(self) -> int | None:
        """The exit code of a run that nothing disturbs."""
        self.process.join(TIMEOUT)
        return self.process.exitcode


def is_at_work(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def run_with_kills(
    workflow: Workflow,
    configs: tuple[str, ...],
    directory: Path,
    kills: Kills,
    target: Path | None = None,
) -> list[psutil.Process]:
    """Runs to the end by the same command, in spite of the kills; what was at work after them."""
    left: list[psutil.Process] = []
    for number, (words, with_commands) in enumerate(kills):
        run = Run(workflow, configs, directory / f"terminal.{number}.txt", target)
        left += run.kill_when_it_says(words, with_commands=with_commands)
    last = Run(workflow, configs, directory / "terminal.txt", target)
    assert last.ended() == 0, last.said
    assert not [process for process in left if is_at_work(process)]
    assert [path for path in workflow.results.rglob(".*") if path.name.endswith(".part")] == []
    assert list((workflow.results / "locks").iterdir()) == []
    return left


def assert_same(workflow: Workflow, other: Workflow, *names: str) -> None:
    for name in names:
        assert (workflow.results / name).read_bytes() == (other.results / name).read_bytes(), name
