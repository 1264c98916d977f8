"""One process works on a run, one job works on a stage, and no job of an abandoned run works.

When the process that started a run is killed, its commands on this machine go on, and its SLURM jobs still
run or wait in the queue. The next run ends the commands, cancels the jobs, and removes the unfinished files
of both. Two locks make sure that no product is written twice at the same time:

- `locks/run.json` names the current run. A job of another run (the environment names the run of a job) stops
  before it touches a product. So does a job that its run did not note as submitted: where SLURM's answer was
  lost, the stage is submitted again.
- `locks/<stage>.json` names the job that works on a stage. The next job cancels that one, waits until SLURM
  no longer knows it, and begins.

A lock is made by a hard link, which succeeds for one process only, also on the file systems of clusters.
Where a file system has no hard links, the exclusive creation of a file is used. Such a lock is empty for a
moment; one that stays empty was left by a process or a machine that failed in that moment.
"""

from __future__ import annotations

import atexit
import errno
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

import psutil

from phase_lib.base.errors import InputError, PhaseError
from phase_lib.base.files import UNFINISHED, read_json, refused_as_input, remove_unfinished, write_json

#: Environment variable with the run that submitted a job.
RUN_VARIABLE = "PHASE_RUN"
#: Environment variable with the directory of the notes of the profile's own `sbatch` and `scontrol`.
NOTES_VARIABLE = "PHASE_SLURM_JOBS"
#: The line of `scontrol show config` where no database records the jobs.
_WITHOUT_ACCOUNTING = re.compile(r"(?m)^AccountingStorageType\s*=\s*(\(null\)|accounting_storage/none)?\s*$")
#: Seconds between two looks at a lock or at the queue, until the content of a new lock is seen, and until a
#: process ends that was asked to.
_PAUSE, _NEW, _GRACE = 2.0, 5.0, 10.0


@dataclass(frozen=True)
class Holder:
    """The process that holds a lock.

    Attributes:
        run: the run it belongs to.
        job: number of its SLURM job; empty outside SLURM.
        host, pid: its machine, and its number there.
        born: its start, seconds of the epoch, as numbers of processes are used again.
        since: when it took the lock, for people.
    """

    run: str
    job: str
    host: str
    pid: int
    born: float
    since: str

    @classmethod
    def this_process(cls, run: str) -> Holder:
        """This process, as a member of a run."""
        return cls(
            run=run,
            job=os.environ.get("SLURM_JOB_ID", ""),
            host=socket.gethostname(),
            pid=os.getpid(),
            born=psutil.Process().create_time(),
            since=datetime.now().astimezone().isoformat(timespec="seconds"),
        )


#: The holder of a lock that was left empty.
_NOBODY = Holder(run="nobody", job="", host="", pid=0, born=0.0, since="")


def begin_run(directory: Path) -> None:
    """Makes this process the one that works on the run of a directory, and passes the run's name to its jobs.

    It first ends the processes that a killed run left on this machine.

    Raises:
        InputError: another process is at work on the run, or may be (on another machine), or the lock cannot
            be made.
    """
    lock = _run_lock(directory)
    me = Holder.this_process(uuid.uuid4().hex)
    while (other := _holder(lock, me)) != me:
        if other is None:
            continue
        if other != _NOBODY:
            _refuse_beside(other, lock, me)
            _end_processes(other)
        _remove(lock, other)
    os.environ[RUN_VARIABLE] = me.run
    atexit.register(_release, lock, me)


def _refuse_beside(other: Holder, lock: Path, me: Holder) -> None:
    since = f"works on this run since {other.since}"
    if other.host != me.host:
        remedy = "if it no longer runs there, remove this file"
        raise InputError(lock, f"process {other.pid} on {other.host} {since}", remedy=remedy)
    if _is_running(other):
        raise InputError(lock, f"process {other.pid} {since}", remedy="wait until it has ended, or stop it")


def begin_submission(directory: Path, status_command: str) -> None:
    """Prepares the notes on the jobs of this run.

    They are the numbers of the jobs, and SLURM's configuration for the time when its controller is away.

    Args:
        directory: the run's directory.
        status_command: with which the executor asks for the states of jobs, `sacct` or `squeue`.

    Raises:
        InputError: SLURM is not here, does not answer, or cannot report states by that command.
    """
    if shutil.which("scontrol") is None:
        raise InputError(
            None,
            "scontrol: not found",
            expected="SLURM's commands on this machine",
            remedy="start from a login node of the cluster, or leave --profile away to run here",
        )
    notes = (directory / "slurm_jobs").resolve()
    notes.mkdir(parents=True, exist_ok=True)
    configuration = _answer("scontrol", "show", "config")
    if configuration.returncode:
        raise InputError(
            None,
            f"scontrol: {configuration.stderr.strip()}",
            expected="a SLURM that answers",
            remedy="wait for it, or leave --profile away to run here",
        )
    if status_command == "sacct" and _WITHOUT_ACCOUNTING.search(configuration.stdout):
        # On such a cluster sacct never reports that a job has ended.
        raise InputError(
            None,
            "slurm-status-command is sacct, and this cluster has no accounting (scontrol show config)",
            expected="squeue",
            remedy="set slurm-status-command: squeue in the profile",
        )
    (notes / "configuration").write_text(configuration.stdout, encoding="utf-8")
    os.environ[NOTES_VARIABLE] = str(notes)


def clear_away(directory: Path) -> None:
    """Cancels the jobs that a killed run left in the queue, and removes its unfinished files.

    This process has begun the run of the directory, and has not submitted a job yet.
    """
    submitted = _submitted(directory)
    if shutil.which("squeue") is not None:
        numbers = _words(submitted)
        left = sorted(numbers & _own_queue()) if numbers else []
        if left:
            _print(f"jobs of a run that was killed are cancelled: {', '.join(left)}")
        while left:
            _cancel(*left)
            left = sorted(numbers & _own_queue())
        submitted.unlink(missing_ok=True)
    if count := remove_unfinished(directory):
        _print(f"unfinished files of a run that was killed are removed: {count}")


def enter_stages(directory: Path, stages: Sequence[str], patience: float) -> None:
    """Makes a SLURM job the only one that works on its stages, before it touches a product.

    A job of an earlier, killed run that still works on one of them is cancelled first. The locks are removed
    when this process ends; the lock of a cancelled job is taken over.

    Args:
        directory: the run's directory.
        stages: names of the job's stages; several in a group job.
        patience: seconds that a file written elsewhere may take to be seen here.

    Raises:
        PhaseError: the run of this job was abandoned; nothing was touched.
    """
    me = Holder.this_process(os.environ.get(RUN_VARIABLE, ""))
    _stop_if_given_up(directory, me, patience)
    for stage in stages:
        _take(directory / "locks" / f"{stage}.json", me)
    # While it waited, its own run may have been replaced.
    _stop_if_given_up(directory, me, patience)
    _note(directory / "slurm_jobs" / f"{me.job}.json", me, stages)


def _run_lock(directory: Path) -> Path:
    return directory / "locks" / "run.json"


def _submitted(directory: Path) -> Path:
    """Numbers of the jobs that the run under way submitted, one a line."""
    return directory / "slurm_jobs" / "submitted"


def _words(file: Path) -> set[str]:
    return set(file.read_text(encoding="utf-8").split()) if file.is_file() else set()


def _stop_if_given_up(directory: Path, me: Holder, patience: float) -> None:
    # SLURM numbers the tasks of an array one by one; the notes have the array's number.
    numbers = {me.job, os.environ.get("SLURM_ARRAY_JOB_ID", me.job)}
    end = time.monotonic() + patience
    while True:
        current = _read(_run_lock(directory))
        mine = current is not None and current.run == me.run
        # There are notes where the profile's own `sbatch` submits.
        if mine and (NOTES_VARIABLE not in os.environ or numbers & _words(_submitted(directory))):
            return
        if time.monotonic() >= end:
            file, why = _run_lock(directory), "belongs to a run that was given up"
            if mine:
                file, why = _submitted(directory), "is not among the jobs of its run"
            raise PhaseError(f"{file}: job {me.job} {why}; it did nothing")
        time.sleep(_PAUSE)


def _take(lock: Path, me: Holder) -> None:
    """Takes a stage's lock, after its former holder was cancelled and has ended."""
    while (other := _holder(lock, me)) != me:
        if other is None:
            continue
        if other.job == me.job:
            # The outer process of this job, or this job before SLURM requeued it after a node failed.
            return
        if other != _NOBODY and _in_queue(lock, other.job):
            _print(f"{lock.stem}: job {other.job} works on it since {other.since}; it is cancelled")
        while other != _NOBODY and _in_queue(lock, other.job):
            _cancel(other.job)
        _remove(lock, other)
    atexit.register(_release, lock, me)


def _note(record: Path, me: Holder, stages: Sequence[str]) -> None:
    """Notes what a job does, for the report on hours; the processes of a group's stages add their stages."""
    noted = read_json(record) if record.is_file() else {"job": me.job, "stages": [], "started": me.since}
    write_json(record, noted | {"stages": list(dict.fromkeys([*noted["stages"], *stages]))})


def _holder(lock: Path, me: Holder) -> Holder | None:
    """Makes the lock where there is none, and returns its holder; None where that has just released it."""
    draft = lock.with_name(f".{lock.name}.{uuid.uuid4().hex}{UNFINISHED}")
    with refused_as_input(lock):
        lock.parent.mkdir(parents=True, exist_ok=True)
        try:
            _write(draft, json.dumps(asdict(me)))
            with suppress(FileExistsError):
                _name(draft, lock)
        finally:
            draft.unlink(missing_ok=True)
    # Only the lock itself shows its holder: a file server's answer to a link may be lost.
    return _read(lock)


def _write(file: Path, text: str) -> None:
    """Makes a file that survives a loss of power.

    Raises:
        FileExistsError: there is one.
    """
    with file.open("x", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        try:
            os.fsync(stream.fileno())
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
                raise


def _name(draft: Path, lock: Path) -> None:
    """Gives the content of a draft the name of a lock.

    Raises:
        FileExistsError: the name is taken.
    """
    try:
        os.link(draft, lock)
    except FileExistsError:
        raise
    except OSError:
        # No hard links here (exFAT, some FUSE and CIFS); any other fault appears again.
        _write(lock, draft.read_text(encoding="utf-8"))


def _read(lock: Path) -> Holder | None:
    """The holder of a lock: None where there is no lock, `_NOBODY` where it stays empty."""
    end = time.monotonic() + _NEW
    while True:
        try:
            text = lock.read_bytes().strip(b"\0")
        except FileNotFoundError:
            return None
        except OSError as error:
            fault = f"cannot be read ({error.strerror})"
            raise InputError(lock, fault, remedy="check its permissions") from error
        try:
            return Holder(**json.loads(text))
        except (ValueError, TypeError) as error:
            if isinstance(error, ValueError) and time.monotonic() < end:
                time.sleep(0.1)
            elif text:
                raise InputError(lock, "is not a lock of this software", remedy="remove this file") from error
            else:
                return _NOBODY


def _release(lock: Path, me: Holder) -> None:
    if _read(lock) == me:
        lock.unlink(missing_ok=True)


def _remove(lock: Path, gone: Holder) -> None:
    """Removes the lock of a holder that has ended; a lock that another process took meanwhile is put back.

    Only three jobs that begin in the same moment could make that fail.
    """
    aside = lock.with_name(f".{lock.name}.{uuid.uuid4().hex}{UNFINISHED}")
    with refused_as_input(lock):
        try:
            lock.rename(aside)
        except FileNotFoundError:
            return
        if _read(aside) != gone:
            with suppress(FileExistsError):
                _name(aside, lock)
        aside.unlink()


def _print(line: str) -> None:
    print(f"phase: {line}", file=sys.stderr)


def _answer(*words: str) -> subprocess.CompletedProcess[str]:
    """Runs a command of SLURM."""
    return subprocess.run(words, capture_output=True, text=True, check=False)


def _cancel(*jobs: str) -> None:
    """Cancels jobs and waits a moment. If the controller does not answer, the next call tries again."""
    subprocess.run(["scancel", *jobs], check=False)
    time.sleep(_PAUSE)


def _is_running(holder: Holder) -> bool:
    """True for a process of this machine that still runs and is no zombie."""
    try:
        process = psutil.Process(holder.pid)
        return abs(process.create_time() - holder.born) < 1.0 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _end_processes(gone: Holder) -> None:
    """Ends the processes that a killed one left on this machine, and waits until they have ended.

    Raises:
        PhaseError: a process cannot be ended.
    """
    if left := list(_processes_of(gone)):
        numbers = ", ".join(str(process.pid) for process in left)
        _print(f"processes of a run that was killed are ended: {numbers}")
    for signal in ("terminate", "kill"):
        end = time.monotonic() + _GRACE
        while left and time.monotonic() < end:
            for process in left:
                with suppress(psutil.NoSuchProcess):
                    getattr(process, signal)()
            time.sleep(0.1)
            # One of them may have started another.
            left = list(_processes_of(gone))
    if left:
        pid = left[0].pid
        raise PhaseError(f"process {pid} of a run that was killed does not end; stop it and start again")


def _processes_of(gone: Holder) -> Iterator[psutil.Process]:
    """Processes of this user that a run started on this machine; those of its SLURM jobs are SLURM's."""
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            given = process.environ()
            if given.get(RUN_VARIABLE) == gone.run and given.get("SLURM_JOB_ID", "") == gone.job:
                yield process


def _own_queue() -> set[str]:
    """Numbers of this user's jobs that wait, run or end; waits for a controller that does not answer."""
    while True:
        answer = _answer("squeue", "--me", "--noheader", "--format=%A")
        if answer.returncode == 0:
            return set(answer.stdout.split())
        _print(f"squeue: {answer.stderr.strip()}; asked again")
        time.sleep(_PAUSE)


def _in_queue(lock: Path, job: str) -> bool:
    """True while SLURM knows a lock's job as waiting, running or ending, and while it does not answer."""
    try:
        answer = _answer("squeue", "--noheader", f"--jobs={job}", "--format=%A")
    except FileNotFoundError as error:
        raise PhaseError(
            f"{lock}: names job {job}, and without squeue on {socket.gethostname()} nobody can tell whether "
            "it still works; once it does not, remove this file"
        ) from error
    if answer.returncode == 0:
        # At some sites the output has further lines.
        return job in answer.stdout.split()
    # The answer for a job that ended some minutes ago.
    return "Invalid job id" not in answer.stderr
