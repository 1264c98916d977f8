"""One process works on a run; a job of a run that was given up does nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from phase_lib.base.errors import InputError, PhaseError
from phase_lib.cluster import runs as batch
from phase_lib.cluster.runs import (
    NOTES_VARIABLE,
    RUN_VARIABLE,
    Holder,
    _remove,
    begin_run,
    begin_submission,
    clear_away,
    enter_stages,
)

BEGIN = """
import sys, time
from pathlib import Path
from phase_lib.cluster.runs import begin_run
begin_run(Path(sys.argv[1]))
print("begun", flush=True)
time.sleep(float(sys.argv[2]))
"""
#: The answer of a file system without hard links, and a lock that is empty for a while.
WITHOUT_LINKS = """
import errno, os, sys, time
from pathlib import Path
import phase_lib.cluster.runs as batch
def link(source, target, **options):
    raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), str(source), None, str(target))
os.link = link
write = Path.open
def slow(self, mode="r", **options):
    stream = write(self, mode, **options)
    if mode == "x":
        time.sleep(0.3)
    return stream
Path.open = slow
Path(sys.argv[1], f"ready.{os.getpid()}").touch()
while not Path(sys.argv[1], "go").exists():
    time.sleep(0.001)
try:
    batch.begin_run(Path(sys.argv[1]))
except batch.InputError as error:
    print(error)
else:
    print("begun", os.getpid(), flush=True)
    sys.stdin.read()
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


def wait_until(holds: Callable[[], bool]) -> None:
    """Waits for a condition, a minute at most."""
    end = time.monotonic() + 60.0
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


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


def test_of_many_that_begin_at_once_without_hard_links_one_works_and_the_others_learn_which(
    tmp_path: Path,
) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", WITHOUT_LINKS, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(5)
    ]
    wait_until(lambda: len(list(tmp_path.glob("ready.*"))) == 5)
    (tmp_path / "go").touch()
    wait_until(lambda: sum(process.poll() is not None for process in processes) >= 4)
    said = [process.communicate(timeout=60)[0].strip() for process in processes]
    assert [process.returncode for process in processes] == [0] * 5
    (begun,) = [line for line in said if line.startswith("begun")]
    refused = [line for line in said if line != begun]
    assert len(refused) == 4
    for line in refused:
        assert f"run.json: process {begun.split()[1]} works on this run" in line
    assert list((tmp_path / "locks").iterdir()) == []


def test_a_lock_taken_by_another_is_put_back_without_hard_links_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "link", refuse)
    test_a_lock_that_another_took_in_the_meantime_is_put_back(tmp_path)


def test_a_lock_that_is_being_written_is_waited_for(tmp_path: Path) -> None:
    with another_process(tmp_path, 60) as process:
        lock = tmp_path / "locks" / "run.json"
        content = lock.read_text()
        lock.write_text("")
        writer = threading.Timer(0.5, lambda: lock.write_text(content))
        writer.start()
        with pytest.raises(InputError, match=rf"process {process.pid} works on this run"):
            begin_run(tmp_path)
        writer.join()


@pytest.mark.parametrize("left", [b"", b"\0" * 200])
def test_a_lock_that_a_loss_of_power_left_empty_holds_nobody_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: bytes
) -> None:
    monkeypatch.setattr(batch, "_NEW", 0.3)
    (tmp_path / "locks").mkdir()
    (tmp_path / "locks" / "run.json").write_bytes(left)
    begin_run(tmp_path)
    assert json.loads((tmp_path / "locks" / "run.json").read_text())["pid"] == os.getpid()


def test_a_place_that_cannot_be_written_ends_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"run\.json: cannot be written \(Not a directory\)") as caught:
        begin_run(tmp_path / "file")
    assert "\n" not in str(caught.value)


#: A run that starts two commands, one of which does not end when asked to, and is killed.
KILLED = """
import os, subprocess, sys
from pathlib import Path
from phase_lib.cluster.runs import begin_run
begin_run(Path(sys.argv[1]))
deaf = "import signal as s, time; s.signal(s.SIGTERM, s.SIG_IGN); print(1, flush=True); time.sleep(60)"
script = "echo 1; sleep 60; echo never > " + sys.argv[1] + "/late"
for command in ([sys.executable, "-c", deaf], ["bash", "-c", script]):
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    child.stdout.readline()
    print(child.pid, flush=True)
child = subprocess.Popen(["sleep", "60"], env={**os.environ, "SLURM_JOB_ID": "17"})
print(child.pid, flush=True)
print(os.environ["PHASE_RUN"], flush=True)
sys.stdin.read()
"""


def test_what_a_killed_process_left_at_work_is_ended_before_the_next_run_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(batch, "_GRACE", 1.0)
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    left = [psutil.Process(int(process.stdout.readline())) for _ in range(3)]
    run = process.stdout.readline().strip()
    job = left.pop()
    another = subprocess.Popen(["sleep", "60"], env={**os.environ, RUN_VARIABLE: "another run"})
    try:
        process.kill()
        process.wait()
        assert all(orphan.is_running() for orphan in left)
        begin_run(tmp_path)
        assert not [orphan for orphan in left if _works(orphan)]
        # What SLURM runs is SLURM's to end; what another run does, is that run's.
        assert _works(job)
        assert another.poll() is None
    finally:
        job.kill()
        another.kill()
        another.wait()
    printed = capsys.readouterr().err
    assert "processes of a run that was killed are ended: " in printed
    assert all(str(orphan.pid) in printed for orphan in left)
    assert json.loads((tmp_path / "locks" / "run.json").read_text())["run"] != run
    assert not (tmp_path / "late").exists()


def _works(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_killed_process_that_nobody_buries_does_not_keep_the_run(tmp_path: Path) -> None:
    with another_process(tmp_path, 60) as process:
        os.kill(process.pid, signal.SIGKILL)
        wait_until(lambda: psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE)
        begin_run(tmp_path)


def test_what_killed_processes_left_unfinished_is_removed_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    unfinished = (".a.nc.x1_y2.part", "world/.b.nc.part", "predictions/.predictions.q7.part/whole.nc")
    kept = ("a.nc", "part", "b.part", "world/.hidden", ".c.nc.part.nc", "elsewhere/.d.nc.part")
    for name in (*unfinished, *kept):
        (tmp_path / "run" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "run" / name).touch()
    (tmp_path / "run" / "elsewhere").rename(tmp_path / "elsewhere")
    (tmp_path / "run" / "elsewhere").symlink_to(tmp_path / "elsewhere")
    clear_away(tmp_path / "run")
    assert {path for name in (*unfinished, *kept) if (path := tmp_path / "run" / name).exists()} == {
        tmp_path / "run" / name for name in kept
    }
    assert not (tmp_path / "run" / "predictions" / ".predictions.q7.part").exists()
    assert "unfinished files of a run that was killed are removed: 3" in capsys.readouterr().err
    clear_away(tmp_path / "run")
    assert capsys.readouterr().err == ""


def test_jobs_of_a_killed_run_are_cancelled_before_their_files_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "_PAUSE", 0.01)
    submit(tmp_path, "17")
    submit(tmp_path, "18")
    written = tmp_path / ".a.nc.x.part"
    written.touch()
    (tmp_path / "queue").write_text("17\n99\n")
    slurm(
        tmp_path / "bin",
        monkeypatch,
        squeue=f"echo 'Welcome; 3 nodes are down'; cat {tmp_path}/queue",
        scancel=f"test -e {written} && echo $* >> {tmp_path}/cancelled; echo 99 > {tmp_path}/queue",
    )
    clear_away(tmp_path)
    assert (tmp_path / "cancelled").read_text() == "17\n"
    assert not written.exists()
    assert not (tmp_path / "slurm_jobs" / "submitted").exists()


def test_a_lock_is_free_when_its_job_has_left_the_queue_whatever_else_a_site_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "_PAUSE", 0.01)
    begin_run(tmp_path)
    for job in ("17", "18"):
        submit(tmp_path, job)
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    enter_stages(tmp_path, ["train_surrogate-block"], patience=0)
    (tmp_path / "queue").write_text("17\n")
    slurm(
        tmp_path / "bin",
        monkeypatch,
        squeue=f"echo 'Welcome to the cluster'; cat {tmp_path}/queue",
        scancel=f": > {tmp_path}/queue",
    )
    monkeypatch.setenv("SLURM_JOB_ID", "18")
    enter_stages(tmp_path, ["train_surrogate-block"], patience=0)
    assert json.loads((tmp_path / "locks" / "train_surrogate-block.json").read_text())["job"] == "18"


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


def test_a_machine_without_slurm_is_refused_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="scontrol: not found; expected SLURM's commands"):
        begin_submission(tmp_path, "squeue")
    assert list(tmp_path.iterdir()) == []
