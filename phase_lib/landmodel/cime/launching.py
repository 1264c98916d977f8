"""Starting the model, in the job of this process or by CIME's own batch system, and waiting for it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from phase_lib.base.errors import InputError
from phase_lib.base.progress import LOGGER
from phase_lib.landmodel.cime.case import PRINTED, Case
from phase_lib.landmodel.cime.settings import CimeSettings

#: Beginnings of the names that CIME gives to the jobs of a case.
_RUN_JOB, _ARCHIVE_JOB = "run.", "st_archive."
#: SLURM's reasons for which a job waits for ever.
_NEVER_STARTS = ("DependencyNeverSatisfied", "JobHeldUser", "JobHeldAdmin")
#: Seconds between two looks at the queue, the first and the longest.
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 30.0
#: Seconds after which a controller that does not answer is asked again.
_PAUSES = (5.0, 30.0, 120.0)


@dataclass(frozen=True)
class Launched:
    """A run of the model that has ended.

    Attributes:
        sound: nothing says that it failed.
        killed: something from outside ended it, so that it may go on from its last restart.
        error: CIME's own line.
    """

    sound: bool
    killed: bool
    error: str


def launch(case: Case, settings: CimeSettings, lock: int) -> Launched:
    """Runs the model once, to its end.

    Args:
        case: with namelists and XML of this start.
        settings: of the section `cime`.
        lock: of the case, which `.case.run` inherits.

    Raises:
        InputError: CIME refuses to submit it.
    """
    if settings.submit == "cime":
        return _hand_over(case, lock)
    # Snakemake's executor runs a job of one task as a step, beside which SLURM starts no other one by itself.
    done = case.call("./.case.run", keep=(lock,), environment={"SLURM_OVERLAP": "1"})
    (case.directory / PRINTED).write_text(done.printed, encoding="utf-8")
    killed = done.status < 0
    error = f".case.run was killed by signal {-done.status}" if killed else done.error
    return Launched(done.status == 0, killed, error)


def _hand_over(case: Case, lock: int) -> Launched:
    """Submits the case, and waits until its job has ended."""
    done = case.call("./case.submit", keep=(lock,))
    (case.directory / PRINTED).write_text(done.printed, encoding="utf-8")
    if done.status:
        remedy = "correct that and run again"
        raise InputError(case.directory, f"case.submit: {done.error}", remedy=remedy)
    LOGGER.info("%s: submitted", case.name)
    return replace(wait(case), error=done.error)


def _says_error(case: Case) -> bool:
    """True where the last that the case says of its run is an error."""
    file = case.directory / "CaseStatus"
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines() if file.is_file() else []
    lines_of_run = [line for line in lines if "case.run " in line or "model execution" in line]
    return bool(lines_of_run) and "error" in lines_of_run[-1]


@dataclass(frozen=True)
class Queued:
    """A job of a case in the queue: its number, name and state, and why it waits."""

    number: str
    name: str
    state: str
    reason: str


def queued(case: Case) -> list[Queued] | None:
    """The jobs of a case that wait or run; None where SLURM does not answer.

    They are known by their directory: a number that CIME did not come to write down is not lost.
    """
    if shutil.which("squeue") is None:
        return []
    words = ["squeue", "--me", "--noheader", "--format=%i|%j|%T|%r|%Z"]
    answer = subprocess.run(words, capture_output=True, text=True, check=False)
    if answer.returncode:
        return [] if case.query("BATCH_SYSTEM") == "none" else None
    place = case.directory.resolve()
    lines = [line.strip().split("|", 4) for line in answer.stdout.splitlines()]
    return [Queued(*line[:4]) for line in lines if len(line) == 5 and Path(line[4]).resolve() == place]


def job_of(case: Case) -> str | None:
    """Number of a job of the case in the queue, waiting or running; None where there is none.

    The archiver moves files, and submits the next job of a chain: it counts as well.

    Raises:
        InputError: SLURM does not answer.
    """
    jobs = queued(case)
    if jobs is None:
        raise InputError(None, "squeue does not answer", remedy="wait for SLURM's controller, and run again")
    of_cime = (_RUN_JOB, _ARCHIVE_JOB)
    return next((job.number for job in jobs if job.name.startswith(of_cime)), None)


def at_work(case: Case, job: str) -> InputError:
    """A job of a case is in the queue: two models would share one run directory."""
    remedy = "wait until it has ended, or cancel it"
    return InputError(case.directory, f"job {job} of this case is in the queue", remedy=remedy)


@contextmanager
def alone(case: Case) -> Iterator[None]:
    """Keeps a case that nobody uses for this process.

    Raises:
        InputError: another process is at work in it, or a job of it is in the queue.
    """
    with case.locked():
        if job := job_of(case):
            raise at_work(case, job)
        yield


def require_known_queue(case: Case) -> None:
    """Refuses a batch system whose queue cannot be asked: a job there would not be waited for.

    Raises:
        InputError: it is another one than SLURM, which CIME knows under several names.
    """
    system = case.query("BATCH_SYSTEM")
    if system != "none" and "slurm" not in system:
        what, expected = f"has the batch system {system}", "SLURM, or none, for cime.submit: cime"
        raise InputError(case.directory, what, expected=expected, remedy="use cime.submit: job")


def wait(case: Case) -> Launched:
    """Waits until no job of a case is left; a controller that is away is waited for too.

    A job of a chain submits the next one before it ends. The archiver moves files, so it has to end as well;
    one that can never start is cancelled.
    """
    pause, seen = _FIRST_PAUSE, set[str]()
    while (jobs := queued(case)) is None or jobs:
        for job in jobs or ():
            if job.number not in seen:
                LOGGER.info("%s: job %s (%s) is in the queue", case.name, job.number, job.name)
                seen.add(job.number)
            if job.name.startswith(_ARCHIVE_JOB) and job.reason in _NEVER_STARTS:
                LOGGER.info("%s: job %s can never start and is cancelled", case.name, job.number)
                subprocess.run(["scancel", job.number], check=False)
        time.sleep(pause)
        pause = min(2.0 * pause, _LONGEST_PAUSE)
    if (left := case.query("RESUBMIT")) != "0":
        LOGGER.info("%s: no job is left, and %s of its chain had still to come", case.name, left)
    return Launched(not _says_error(case), False, "")


def hours_left(settings: CimeSettings) -> float | None:
    """Hours until the job of the model ends; None where nothing ends it."""
    if settings.submit == "cime":
        return settings.walltime_minutes / 60.0
    job, end = os.environ.get("SLURM_JOB_ID"), os.environ.get("SLURM_JOB_END_TIME")
    if job is None:
        return None
    if end is not None:
        return (int(end) - time.time()) / 3600.0
    answer = _time_left(job)
    if answer == "UNLIMITED":
        return None
    match = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)", answer)
    if match is None:
        remedy = "run again when SLURM's controller answers"
        raise InputError(None, f"the time left of job {job} is not known ({answer!r})", remedy=remedy)
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return 24.0 * days + hours + minutes / 60.0 + seconds / 3600.0


def _time_left(job: str) -> str:
    """What squeue says of the time left of a job: jobs of Snakemake have no end in their environment."""
    if shutil.which("squeue") is None:
        return "there is no squeue"
    words = ["squeue", "--noheader", f"--jobs={job}", "--format=%L"]
    for pause in (*_PAUSES, None):
        answer = subprocess.run(words, capture_output=True, text=True, check=False)
        if answer.returncode == 0 or pause is None:
            break
        time.sleep(pause)
    return answer.stdout.strip()
