"""Starting the model, in the job of this process or by CIME's own batch system, and waiting for it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from dataclasses import dataclass
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
        lock: of the case, which the model inherits.

    Raises:
        InputError: CIME refuses to submit it.
    """
    if settings.submit == "cime":
        return _hand_over(case, lock)
    done = case.call("./.case.run", keep=(lock,))
    (case.directory / PRINTED).write_text(done.printed, encoding="utf-8")
    killed = done.status < 0
    error = f".case.run was killed by signal {-done.status}" if killed else done.error
    return Launched(done.status == 0, killed, error)


def _hand_over(case: Case, lock: int) -> Launched:
    """Submits the case, unless its job is in the queue already, and waits until that has ended."""
    job, error = job_of(case), ""
    if job is None:
        done = case.call("./case.submit", keep=(lock,))
        (case.directory / PRINTED).write_text(done.printed, encoding="utf-8")
        error = done.error
        if done.status:
            remedy = "correct that and run again"
            raise InputError(case.directory, f"case.submit: {done.error}", remedy=remedy)
        LOGGER.info("%s: submitted", case.name)
    else:
        LOGGER.info("%s: job %s is in the queue, and is waited for", case.name, job)
    _wait(case)
    return Launched(not _says_error(case), False, error)


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
    """Number of the job of the model in the queue, waiting or running; None where there is none.

    Raises:
        InputError: SLURM does not answer.
    """
    jobs = queued(case)
    if jobs is None:
        raise InputError(None, "squeue does not answer", remedy="wait for SLURM's controller, and run again")
    return next((job.number for job in jobs if job.name.startswith(_RUN_JOB)), None)


def require_alone(case: Case, *, waits: bool) -> None:
    """Refuses to work in a case whose job is in the queue: two models would share one run directory.

    Args:
        case: any.
        waits: the job is of the segment at hand, and is waited for.

    Raises:
        InputError: there is such a job.
    """
    job = None if waits else job_of(case)
    if job is not None:
        remedy = "wait until it has ended, or cancel it"
        raise InputError(case.directory, f"job {job} of this case is in the queue", remedy=remedy)


def _wait(case: Case) -> None:
    """Waits until no job of a case is left; a controller that is away is waited for too.

    The archiver moves files, so it has to end as well; one that can never start is cancelled.
    """
    pause = _FIRST_PAUSE
    while (jobs := queued(case)) is None or jobs:
        for job in jobs or ():
            if job.name.startswith(_ARCHIVE_JOB) and job.reason in _NEVER_STARTS:
                LOGGER.info("%s: job %s can never start and is cancelled", case.name, job.number)
                subprocess.run(["scancel", job.number], check=False)
        time.sleep(pause)
        pause = min(2.0 * pause, _LONGEST_PAUSE)


def hours_left(settings: CimeSettings) -> float | None:
    """Hours until the job of the model ends; None where nothing ends it."""
    if settings.submit == "cime":
        return settings.walltime_minutes / 60.0
    job = os.environ.get("SLURM_JOB_ID")
    if job is None or shutil.which("squeue") is None:
        return None
    words = ["squeue", "--noheader", f"--jobs={job}", "--format=%L"]
    answer = subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip()
    match = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)", answer)
    if match is None:
        return None  # UNLIMITED, or the controller does not answer
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return 24.0 * days + hours + minutes / 60.0 + seconds / 3600.0
