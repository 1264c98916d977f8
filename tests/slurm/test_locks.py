"""The lock of a stage between real SLURM jobs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from phase_lib.cluster.runs import NOTES_VARIABLE, RUN_VARIABLE, begin_run, begin_submission
from tests.slurm.cluster import Cluster, wait_until
from tests.slurm.conftest import ROOT

pytestmark = pytest.mark.slurm

SBATCH = ROOT / "profiles" / "slurm" / "bin" / "sbatch"
WORK = """
import sys, time
from pathlib import Path
from phase_lib.cluster.runs import enter_stages
enter_stages(Path(sys.argv[1]), ["train_surrogate-block"], patience=1)
Path(sys.argv[1], sys.argv[2]).touch()
time.sleep(float(sys.argv[3]))
"""


def submit(directory: Path, name: str, seconds: float) -> str:
    """A job that works on the stage for some seconds."""
    script = directory / f"{name}.sh"
    script.write_text(
        f"#!/bin/sh\ncd {ROOT}\nexec {sys.executable} -c '{WORK}' {directory} {name} {seconds}\n"
    )
    return subprocess.check_output(
        [SBATCH, "--parsable", "--time=10", f"--output={directory}/{name}.log", str(script)], text=True
    ).strip()


@pytest.fixture
def run(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Directory of a run that this process has begun."""
    monkeypatch.setenv(RUN_VARIABLE, "")
    monkeypatch.setenv(NOTES_VARIABLE, "")
    begin_run(tmp_path)
    begin_submission(tmp_path, "squeue")
    return tmp_path


def test_the_twin_of_a_running_job_cancels_it_and_then_works(cluster: Cluster, run: Path) -> None:
    first = submit(run, "first", 300)
    wait_until((run / "first").exists, 60, "the first job works")
    second = submit(run, "second", 0)
    wait_until(lambda: cluster.state(second) == "COMPLETED", 120, "the second job has worked")
    assert cluster.state(first) == "CANCELLED"
    assert f"job {first} works on it" in (run / "second.log").read_text()
    assert list((run / "locks").glob("train*")) == []


def test_a_lock_whose_job_is_gone_holds_nobody_up(cluster: Cluster, run: Path) -> None:
    first = submit(run, "first", 300)
    wait_until((run / "first").exists, 60, "the first job works")
    cluster.cancel(first)
    second = submit(run, "second", 0)
    wait_until(lambda: cluster.state(second) == "COMPLETED", 60, "the second job has worked")
    assert (run / "second").exists()
    assert "is cancelled" not in (run / "second.log").read_text()


def test_a_job_whose_number_was_lost_on_the_way_does_nothing(cluster: Cluster, run: Path) -> None:
    (run / "slurm_jobs" / "submitted").mkdir()
    lost = submit(run, "lost", 0)
    wait_until(lambda: cluster.state(lost) == "FAILED", 60, "the lost job stops")
    assert "is not among the jobs of its run" in (run / "lost.log").read_text()
    assert not (run / "lost").exists()


def test_a_job_that_waited_longer_than_its_run_lived_does_nothing(
    cluster: Cluster, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(RUN_VARIABLE, "the run before")
    late = submit(run, "late", 0)
    wait_until(lambda: cluster.state(late) == "FAILED", 60, "the late job stops")
    assert not (run / "late").exists()
    assert not (run / "locks" / "train_surrogate-block.json").exists()
