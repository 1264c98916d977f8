"""A run that is killed goes on by the same command, and ends in the same products."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import yaml

from tests.workflow.conftest import SMALL, WITHOUT_PAPER, Workflow, copy_of_the_workflow

pytestmark = pytest.mark.slow

#: What the terminal says when the run is killed, and whether the commands that it started are killed with it.
KILLS = (
    (r"\[make_world\] world", False),
    (r"\[run_ad_0061\] ", True),
    (r"\[train_surrogate-\w+\] epoch", False),
    (r"\[predict_cells\] ", False),
    (r"\[write_report\] drawing", True),
)
PRODUCTS = (
    "world/surfdata.nc",
    "landmodel/reference/reference.elm.r.0101-01-01-00000.nc",
    "dataset/cells.nc",
    "surrogate/block/model.pt",
    "restart/ad.elm.r.0021-01-01-00000.nc",
    "predictions/predictions.nc",
    "predictions/test_block.nc",
    "predictions/test_random.nc",
    "equilibrium/verdict.json",
)


class Run:
    """One start of the workflow, with the processes that it starts in a group of their own."""

    def __init__(self, workflow: Workflow, config: Path, terminal: Path) -> None:
        self.terminal = terminal
        with terminal.open("w") as stream:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "snakemake", "--configfile", SMALL, str(config)],
                cwd=workflow.root,
                env=workflow.environment,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def said(self) -> str:
        return self.terminal.read_text(encoding="utf-8")

    def kill_when_it_says(self, words: str, *, with_commands: bool) -> list[psutil.Process]:
        """Kills Snakemake, alone or with all that it started; what is left at work."""
        end = time.monotonic() + 300
        while not re.search(words, self.said):
            assert self.process.poll() is None, self.said
            assert time.monotonic() < end, f"{words} was not said: {self.said}"
            time.sleep(0.02)
        started = psutil.Process(self.process.pid).children(recursive=True)
        (os.killpg if with_commands else os.kill)(self.process.pid, signal.SIGKILL)
        self.process.wait()
        return [process for process in started if is_at_work(process)]


def is_at_work(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def test_a_run_killed_at_five_moments_goes_on_by_itself_and_ends_in_the_same_bytes(
    small_run: Workflow, tmp_path: Path
) -> None:
    workflow, config = copy_of_the_workflow(tmp_path / "copy"), tmp_path / "without_paper.yaml"
    config.write_text(yaml.safe_dump({"experiments": WITHOUT_PAPER}), encoding="utf-8")
    left: list[psutil.Process] = []
    for number, (words, with_commands) in enumerate(KILLS):
        run = Run(workflow, config, tmp_path / f"terminal.{number}.txt")
        left += run.kill_when_it_says(words, with_commands=with_commands)
    last = Run(workflow, config, tmp_path / "terminal.txt")
    assert last.process.wait(timeout=600) == 0, last.said

    assert left, "nothing was at work after any kill of Snakemake alone"
    assert not [process for process in left if is_at_work(process)]
    assert [path for path in workflow.results.rglob(".*") if path.name.endswith(".part")] == []
    assert list((workflow.results / "locks").iterdir()) == []
    for name in PRODUCTS:
        assert (workflow.results / name).read_bytes() == (small_run.results / name).read_bytes(), name
    mine, undisturbed = (
        json.loads((run.results / "summary.json").read_text()) for run in (workflow, small_run)
    )
    for section in ("domain", "restart", "equilibrium", "stocks"):
        assert mine[section] == undisturbed[section], section
    for split, models in mine["skill"].items():
        assert models.items() <= undisturbed["skill"][split].items(), split
    assert workflow.planned(configs=(SMALL, str(config))) == set()
