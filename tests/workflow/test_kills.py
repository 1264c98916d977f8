"""A run that is killed goes on by the same command, and ends in the same products."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import time
from pathlib import Path

import psutil
import pytest
import yaml

from tests.workflow.conftest import SMALL, TIMEOUT, WITHOUT_PAPER, Workflow, copy_of_the_workflow

pytestmark = pytest.mark.slow

#: What the terminal says when a run is killed, and whether the commands that it started are killed with it.
Kills = tuple[tuple[str, bool], ...]
ACCELERATED: Kills = ((r"\[make_world\] world", False), (r"\[run_ad_0061\] ", True))
LEARNT: Kills = (
    (r"\[train_surrogate-\w+\] epoch", False),
    (r"\[predict_cells\] ", False),
    (r"\[run_injected_0041\] ", True),
    (r"\[inject_injected_0041\] ", False),
    (r"\[write_report\] drawing", True),
)


class Run:
    """One start of the workflow, with the processes that it starts in a group of their own."""

    def __init__(self, workflow: Workflow, config: Path, terminal: Path, target: Path | None) -> None:
        self.terminal = terminal
        self.process = workflow.start(terminal=terminal, configs=(SMALL, str(config)), target=target)

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


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "without_paper.yaml"
    path.write_text(yaml.safe_dump({"experiments": WITHOUT_PAPER}), encoding="utf-8")
    return path


def run_with_kills(
    workflow: Workflow, config: Path, directory: Path, kills: Kills, target: Path | None = None
) -> list[psutil.Process]:
    """Runs to the end by the same command, in spite of the kills; what was at work after them."""
    left: list[psutil.Process] = []
    for number, (words, with_commands) in enumerate(kills):
        run = Run(workflow, config, directory / f"terminal.{number}.txt", target)
        left += run.kill_when_it_says(words, with_commands=with_commands)
    last = Run(workflow, config, directory / "terminal.txt", target)
    assert last.ended() == 0, last.said
    assert not [process for process in left if is_at_work(process)]
    assert [path for path in workflow.results.rglob(".*") if path.name.endswith(".part")] == []
    assert list((workflow.results / "locks").iterdir()) == []
    return left


def assert_same(workflow: Workflow, other: Workflow, *names: str) -> None:
    for name in names:
        assert (workflow.results / name).read_bytes() == (other.results / name).read_bytes(), name


def test_land_model_runs_that_are_killed_go_on_by_themselves_and_end_in_the_same_bytes(
    small_run: Workflow, config: Path, tmp_path: Path
) -> None:
    workflow = copy_of_the_workflow(tmp_path / "copy")
    target = "landmodel/ad/ad.elm.r.0061-01-01-00000.nc"
    left = run_with_kills(workflow, config, tmp_path, ACCELERATED, workflow.results / target)
    assert left, "nothing was at work after Snakemake alone was killed"
    assert_same(workflow, small_run, "world/surfdata.nc", "landmodel/ad/ad.elm.r.0021-01-01-00000.nc", target)


def test_a_training_a_prediction_a_window_and_a_report_that_are_killed_go_on_and_end_in_the_same_bytes(
    small_run: Workflow, config: Path, tmp_path: Path
) -> None:
    workflow = small_run.clone(tmp_path / "clone")
    for name in ("surrogate", "predictions", "restart", "equilibrium", "report", "landmodel/injected"):
        shutil.rmtree(workflow.results / name)
    run_with_kills(workflow, config, tmp_path, LEARNT)
    assert_same(
        workflow,
        small_run,
        "surrogate/block/model.pt",
        "restart/ad.elm.r.0021-01-01-00000.nc",
        "predictions/predictions.nc",
        "predictions/test_block.nc",
        "predictions/test_random.nc",
        "equilibrium/verdict.json",
    )
    mine, undisturbed = (
        json.loads((run.results / "summary.json").read_text()) for run in (workflow, small_run)
    )
    for section in ("domain", "restart", "equilibrium", "stocks"):
        assert mine[section] == undisturbed[section], section
    for split, models in mine["skill"].items():
        assert models.items() <= undisturbed["skill"][split].items(), split
    assert workflow.planned(configs=(SMALL, str(config))) == set()
