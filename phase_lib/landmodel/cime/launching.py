"""Starting the model, in the job of this process or by CIME's own batch system, and waiting for it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from dataclasses import dataclass

from phase_lib.base.errors import InputError
from phase_lib.base.progress import LOGGER
from phase_lib.landmodel.cime.case import PRINTED, Case
from phase_lib.landmodel.cime.settings import CimeSettings

#: CIME's jobs of a case.
_RUN_JOB, _ARCHIVE_JOB = "case.run", "case.st_archive"
#: Seconds between two looks at the queue, the first and the longest.
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 30.0
#: SLURM's words for a job that it no longer knows.
_GONE = re.compile(r"Invalid job id", re.IGNORECASE)
#: An answer that says nothing, as the controller is away.
_UNKNOWN = ("UNKNOWN", "")


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
        # The lock stays here: a job in the queue is found by its number.
        done = case.call("./case.submit", keep=(lock,))
        (case.directory / PRINTED).write_text(done.printed, encoding="utf-8")
        error, job = done.error, jobs_of(case).get(_RUN_JOB)
        if done.status:
            raise InputError(
                case.directory, f"case.submit: {done.error}", remedy="correct that and run again"
            )
        LOGGER.info("%s: submitted, job %s", case.name, job or "none, as there is no batch system")
    else:
        LOGGER.info("%s: job %s is in the queue, and is waited for", case.name, job)
    if job is not None:
        _wait(job)
        _end_archiver(case)
    return Launched(not _says_error(case), False, error)


def _says_error(case: Case) -> bool:
    """True where the last that the case says of its run is an error."""
    file = case.directory / "CaseStatus"
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines() if file.is_file() else []
    lines_of_run = [line for line in lines if "case.run " in line or "model execution" in line]
    return bool(lines_of_run) and "error" in lines_of_run[-1]


def jobs_of(case: Case) -> dict[str, str]:
    """Numbers of the jobs that the case was last submitted as, by their names."""
    return dict(re.findall(r"([\w.]+):(\d+)", case.query("JOB_IDS")))


def job_of(case: Case) -> str | None:
    """Number of the case's job that is in the queue, waiting or running; None where there is none."""
    if shutil.which("squeue") is None:
        return None
    job = jobs_of(case).get(_RUN_JOB)
    return None if job is None or _state(job) is None else job


def require_alone(case: Case, *, waits: bool) -> None:
    """Refuses to work in a case whose job is in the queue: two models would share one run directory.

    Args:
        case: any.
        waits: the job is of the segment at hand, and is waited for.

    Raises:
        InputError: there is such a job.
    """
    job = None if waits else job_of(case)
    if job is not None and job != os.environ.get("SLURM_JOB_ID"):
        remedy = "wait until it has ended, or cancel it"
        raise InputError(case.directory, f"job {job} of this case is in the queue", remedy=remedy)


def _state(job: str) -> tuple[str, str] | None:
    """State of a job and why it waits; None for one that SLURM no longer knows."""
    words = ["squeue", "--noheader", f"--jobs={job}", "--format=%T %r"]
    answer = subprocess.run(words, capture_output=True, text=True, check=False)
    if answer.returncode:
        return None if _GONE.search(answer.stderr) else _UNKNOWN
    state, _, reason = answer.stdout.strip().partition(" ")
    return (state, reason.strip()) if state else None


def _wait(job: str) -> None:
    """Waits until a job has ended; a controller that is away is waited for too."""
    pause = _FIRST_PAUSE
    while _state(job) is not None:
        time.sleep(pause)
        pause = min(2.0 * pause, _LONGEST_PAUSE)


def _end_archiver(case: Case) -> None:
    """Waits for the archiver, which moves files; one that can never start is cancelled."""
    job, pause = jobs_of(case).get(_ARCHIVE_JOB), _FIRST_PAUSE
    while job is not None and (state := _state(job)) is not None:
        if "DependencyNeverSatisfied" in state[1]:
            LOGGER.info("%s: its archiver, job %s, can never start and is cancelled", case.name, job)
            subprocess.run(["scancel", job], check=False)
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
