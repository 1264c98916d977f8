"""Segments that CIME's own batch system runs: sbatch, squeue and scancel are stand-ins on this machine."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from phase_lib.base.errors import InputError
from phase_lib.landmodel.cime import launching
from phase_lib.landmodel.cime.case import PRINTED
from phase_lib.landmodel.domain import Segment
from tests.cime.conftest import CYCLE, Desk, new_desk
from tests.cime.double import CLUSTER
from tests.helpers.layouts import contents

_QUEUE = '''#!{python} -S
"""sbatch, squeue and scancel with a directory as the queue: a file for each job."""
import json, os, re, signal, subprocess, sys, time
from pathlib import Path
queue, name, words = Path({queue!r}), os.path.basename(sys.argv[0]), sys.argv[1:]

def alive(job):
    try:
        return Path(f"/proc/{{job['pid']}}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False

jobs = {{int(file.stem): json.loads(file.read_text()) for file in queue.glob("*.json")}}
if name == "sbatch":
    number = max(jobs, default=100) + 1
    script = next(i for i, word in enumerate(words) if word.startswith("/"))
    text = Path(words[script]).read_text()
    job = re.search(r"--job-name=(\\S+)", text).group(1)
    if "--hold" in words:
        words = ["sleep", "1000"]
        reason = "JobHeldUser"
    else:
        before = next((word.rpartition(":")[2] for word in words if word.startswith("--dependency")), "")
        wait = f"while [ -d /proc/{{jobs[int(before)]['pid']}} ]; do sleep 0.2; done; " if before else ""
        # A job waits a moment before it begins.
        words = ["bash", "-c", wait + "sleep {delay}; exec " + " ".join(words[script:])]
        reason = "None"
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                               stdin=subprocess.DEVNULL, start_new_session=True)
    (queue / f"{{number}}.json").write_text(json.dumps(
        {{"pid": process.pid, "name": job, "reason": reason, "place": os.getcwd()}}))
    print(f"Submitted batch job {{number}}")
elif name == "squeue":
    for number, job in jobs.items():
        if alive(job):
            print(f"{{number}}|{{job['name']}}|RUNNING|{{job['reason']}}|{{job['place']}}")
else:
    os.killpg(jobs[int(words[0])]["pid"], signal.SIGKILL)
'''


@pytest.fixture(scope="module")
def desk(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """A machine with a batch system."""
    return new_desk(world, tmp_path_factory.mktemp("cluster"), CLUSTER, submit="cime").make()


@pytest.fixture(autouse=True)
def queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The queue of this machine, and its commands; nothing is left running."""
    directory, programs = tmp_path / "queue", tmp_path / "bin"
    directory.mkdir()
    programs.mkdir()
    for name in ("sbatch", "squeue", "scancel"):
        program = programs / name
        program.write_text(
            _QUEUE.format(python=sys.executable, queue=str(directory), delay=3), encoding="utf-8"
        )
        program.chmod(0o755)
    launcher = programs / "srun"
    launcher.write_text('#!/bin/bash\nshift 2\nexec "$@"\n', encoding="utf-8")
    launcher.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(launching, "_LONGEST_PAUSE", 1.0)
    yield directory
    for file in directory.glob("*.json"):
        subprocess.run([programs / "scancel", file.stem], check=False, capture_output=True)


@pytest.fixture(scope="module")
def undisturbed(built: Desk) -> Segment:
    """The first cycle of AD, run without a batch system."""
    return built.run(built.segment("handed_over", "ad", 1, CYCLE, None))


def same(one: Segment, other: Segment) -> bool:
    """The restarts are the same to the last bit, but for texts, which name the case."""
    here, there = contents(one.restart), contents(other.restart)
    numbers = [name for name in there if there[name].dtype.kind != "S"]
    return all(here[name].tobytes() == there[name].tobytes() for name in numbers)


def submissions(desk: Desk, case: str) -> int:
    return (desk.case(case) / "CaseStatus").read_text(encoding="utf-8").count("case.submit starting")


def is_free(case: Path) -> bool:
    """True where no process holds the lock of a case."""
    with (case / ".phase.lock").open("r+b") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def wait_for(holds: Callable[[], object], seconds: float = 300.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_a_killed_session_finds_its_chain_of_jobs_in_the_queue_and_submits_no_second_one(
    desk: Desk, undisturbed: Segment
) -> None:
    # Of two years one of CIME's jobs has time for one, and submits the next one itself.
    desk = desk.with_settings(years_per_day=10.0)
    segment = desk.segment("session", "ad", 1, CYCLE, None)
    session = os.fork()
    if session == 0:
        try:
            desk.run(segment)
        finally:
            os._exit(0)
    # What case.submit has printed is kept when it has ended; until then it holds the lock of the case.
    printed = desk.case("session") / PRINTED
    wait_for(lambda: printed.is_file() and "Submitted job case.run" in printed.read_text(encoding="utf-8"))
    os.kill(session, signal.SIGKILL)
    os.waitpid(session, 0)
    wait_for(lambda: is_free(desk.case("session")))  # case.submit holds the lock until its end
    # Another segment of the run does not begin beside that job.
    with pytest.raises(InputError, match=r"job 101 of this case is in the queue"):
        desk.run(desk.segment("session", "ad", 1, 2 * CYCLE, None))
    desk.run(segment)
    assert submissions(desk, "session") == 2
    assert (desk.case("session") / "replay.sh").read_text(encoding="utf-8").count("case.submit") == 1
    assert same(segment, undisturbed)


def test_a_job_that_was_killed_is_submitted_again_and_goes_on(desk: Desk, undisturbed: Segment) -> None:
    desk.checkout.play("kill", "killed", year=2)
    segment = desk.run(desk.segment("killed", "ad", 1, CYCLE, None))
    assert submissions(desk, "killed") == 2
    assert same(segment, undisturbed)


def test_an_archive_job_that_never_starts_is_cancelled(
    world: Path, tmp_path: Path, undisturbed: Segment, queue: Path
) -> None:
    desk = new_desk(world, tmp_path / "desk", CLUSTER, submit="cime", xmlchange={"DOUT_S": True}).make()
    desk.checkout.play("archive_stuck")
    segment = desk.run(desk.segment("stuck", "ad", 1, CYCLE, None))
    assert len(list(queue.glob("*.json"))) == 2
    assert same(segment, undisturbed)


def test_a_chain_that_ends_without_a_word_is_found_and_goes_on(
    desk: Desk, undisturbed: Segment, caplog: pytest.LogCaptureFixture
) -> None:
    desk = desk.with_settings(years_per_day=10.0)
    desk.checkout.play("chain_stops", "silent")
    with caplog.at_level("INFO"):
        segment = desk.run(desk.segment("silent", "ad", 1, CYCLE, None))
    assert "silent: no job is left, and 1 of its chain had still to come" in caplog.text
    assert "silent: stopped at 0002-01-01, wanted 0003-01-01" in caplog.text
    assert submissions(desk, "silent") == 2
    assert same(segment, undisturbed)
