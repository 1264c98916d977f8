"""One process works on a run; a job of a run that was given up does nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from phase_lib.base.batch import (
    NOTES_VARIABLE,
    RUN_VARIABLE,
    Holder,
    _remove,
    begin_run,
    begin_submission,
    enter_stages,
)
from phase_lib.base.errors import InputError, PhaseError

BEGIN = """
import sys, time
from pathlib import Path
from phase_lib.base.batch import begin_run
begin_run(Path(sys.argv[1]))
print("begun", flush=True)
time.sleep(float(sys.argv[2]))
"""


@contextmanager
def another_process(directory: Path, seconds: float) -> Iterator[subprocess.Popen[str]]:
    """A process of its own that works on the run for some seconds."""
    process = subprocess.Popen(
        [sys.executable, "-c", BEGIN, str(directory), str(seconds)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.fixture(autouse=True)
def _no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(RUN_VARIABLE, "")


def submit(directory: Path, job: str) -> None:
    """What the profile's `sbatch` notes."""
    (directory / "slurm_jobs").mkdir(exist_ok=True)
    with (directory / "slurm_jobs" / "submitted").open("a") as notes:
        notes.write(f"{job}\n")


def slurm(directory: Path, monkeypatch: pytest.MonkeyPatch, **programs: str) -> None:
    """Programs of a SLURM, as shell scripts, that are found before all others."""
    directory.mkdir()
    for name, script in programs.items():
        (directory / name).write_text(f"#!/bin/sh\n{script}\n")
        (directory / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{directory}{os.pathsep}{os.environ['PATH']}")


def test_a_run_has_one_process(tmp_path: Path) -> None:
    with another_process(tmp_path, 60) as process:
        with pytest.raises(
            InputError, match=rf"run\.json: process {process.pid} works on this run"
        ) as caught:
            begin_run(tmp_path)
        assert caught.value.exit_code == 2


def test_a_killed_process_does_not_keep_the_run(tmp_path: Path) -> None:
    with another_process(tmp_path, 60) as process:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    begin_run(tmp_path)
    assert json.loads((tmp_path / "locks" / "run.json").read_text())["pid"] == os.getpid()


def test_a_process_that_ends_leaves_no_lock(tmp_path: Path) -> None:
    with another_process(tmp_path, 0) as process:
        assert process.wait() == 0
    assert list((tmp_path / "locks").iterdir()) == []


def test_a_run_of_another_machine_is_left_alone_and_the_file_to_remove_is_named(tmp_path: Path) -> None:
    begin_run(tmp_path)
    lock = tmp_path / "locks" / "run.json"
    lock.write_text(json.dumps({**json.loads(lock.read_text()), "host": "login05"}))
    before = lock.read_text()
    with pytest.raises(InputError, match=r"run\.json: process \d+ on login05 .* remove this file"):
        begin_run(tmp_path)
    assert lock.read_text() == before


def test_a_lock_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "locks").mkdir()
    (tmp_path / "locks" / "run.json").write_text("{}")
    with pytest.raises(InputError, match=r"run\.json: is not a lock"):
        begin_run(tmp_path)


def test_a_lock_that_another_took_in_the_meantime_is_put_back(tmp_path: Path) -> None:
    begin_run(tmp_path)
    lock = tmp_path / "locks" / "run.json"
    before = lock.read_text()
    _remove(lock, replace(Holder.this_process("the run before"), pid=1))
    assert lock.read_text() == before
    assert list(lock.parent.iterdir()) == [lock]
    _remove(lock, Holder(**json.loads(before)))
    assert list(lock.parent.iterdir()) == []


def test_a_job_of_the_run_takes_its_stages_and_is_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin_run(tmp_path)
    submit(tmp_path, "17")
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    enter_stages(tmp_path, ["split_cells-block", "split_cells-random"], patience=0)
    # The job's inner process, which does one of them.
    enter_stages(tmp_path, ["split_cells-random"], patience=0)
    assert {path.name for path in (tmp_path / "locks").iterdir()} == {
        "run.json",
        "split_cells-block.json",
        "split_cells-random.json",
    }
    record = json.loads((tmp_path / "slurm_jobs" / "17.json").read_text())
    assert record["stages"] == ["split_cells-block", "split_cells-random"]


def test_a_job_of_a_run_that_was_given_up_touches_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin_run(tmp_path)
    monkeypatch.setenv(RUN_VARIABLE, "the run before")
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    with pytest.raises(PhaseError, match="job 17 belongs to a run that was given up"):
        enter_stages(tmp_path, ["train_surrogate-block"], patience=0)
    assert [path.name for path in tmp_path.rglob("*.json")] == ["run.json"]


def test_a_job_whose_submission_its_run_does_not_know_of_touches_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin_run(tmp_path)
    submit(tmp_path, "18")
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    # Another executor than SLURM's keeps no notes.
    monkeypatch.delenv(NOTES_VARIABLE, raising=False)
    enter_stages(tmp_path, ["train_surrogate-random"], patience=0)
    monkeypatch.setenv(NOTES_VARIABLE, str(tmp_path / "slurm_jobs"))
    with pytest.raises(PhaseError, match="submitted: job 17 is not among the jobs of its run"):
        enter_stages(tmp_path, ["train_surrogate-block"], patience=0)
    # The tasks of an array have numbers of their own.
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "18")
    enter_stages(tmp_path, ["train_surrogate-block"], patience=0)


def test_a_lock_that_nobody_can_ask_slurm_about_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin_run(tmp_path)
    for job in ("17", "18"):
        submit(tmp_path, job)
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    enter_stages(tmp_path, ["train_surrogate-block"], patience=0)
    monkeypatch.setenv("SLURM_JOB_ID", "18")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PhaseError, match=r"train_surrogate-block\.json: names job 17, .* remove this file"):
        enter_stages(tmp_path, ["train_surrogate-block"], patience=0)


@pytest.mark.parametrize("recorded", ["accounting_storage/none", "(null)"])
def test_a_cluster_without_accounting_is_not_asked_through_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recorded: str
) -> None:
    lines = (
        "AccountingStorageTRES   = cpu,mem",
        f"AccountingStorageType   = {recorded}",
        "BatchStartTimeout       = 10 sec",
    )
    slurm(tmp_path / "bin", monkeypatch, scontrol="\n".join(f"echo '{line}'" for line in lines))
    monkeypatch.setenv("PHASE_SLURM_JOBS", "")
    with pytest.raises(InputError, match=r"slurm-status-command is sacct.* set slurm-status-command: squeue"):
        begin_submission(tmp_path, "sacct")
    begin_submission(tmp_path, "squeue")


def test_a_cluster_with_accounting_may_be_asked_through_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slurm(
        tmp_path / "bin", monkeypatch, scontrol="echo 'AccountingStorageType   = accounting_storage/slurmdbd'"
    )
    monkeypatch.setenv("PHASE_SLURM_JOBS", "")
    begin_submission(tmp_path, "sacct")
    assert "slurmdbd" in (tmp_path / "slurm_jobs" / "configuration").read_text()


def test_a_machine_without_slurm_is_told_so_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="scontrol: not found; expected SLURM's commands"):
        begin_submission(tmp_path, "squeue")
    assert list(tmp_path.iterdir()) == []
