"""SLURM's records of the jobs of a run."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from phase_lib.base.errors import InputError
from phase_lib.base.files import read_json

#: Columns of the answer of sacct.
_COLUMNS = ("JobIDRaw", "State", "ElapsedRaw", "NNodes", "AllocTRES", "Start")
#: Allocations without their steps (-X), every attempt of a requeued job (-D), numbers without suffixes.
_SACCT = ("sacct", "-n", "-P", "-X", "-D", "--noconvert", f"--format={','.join(_COLUMNS)}")
_JOBS_AT_ONCE = 200
#: Without its database sacct may wait without end, s.
_TIMEOUT = 60.0
#: SLURM's job numbers start again at some time: only jobs since the run began belong to it. A job may have
#: been requeued before it was noted, and clocks differ.
_MARGIN = timedelta(days=1)
#: States of an attempt whose work was not lost; the job that writes the report is still running.
_STANDING = {"COMPLETED", "COMPLETING", "RUNNING"}
_NEVER_STARTED = {"", "None", "Unknown"}


@dataclass(frozen=True)
class SlurmJob:
    """A SLURM job of the run: its number, its stages (several of a group), and when it noted itself."""

    job: str
    stages: tuple[str, ...]
    started: datetime


@dataclass(frozen=True)
class Attempt:
    """One time that SLURM ran a job; a requeued job was run several times.

    Attributes:
        job: SLURM's number.
        state: SLURM's word for its end.
        seconds: wall-clock time.
        nodes, cores: nodes (shared or not) and CPUs that it held.
        gpus: GPUs that it held; None where SLURM does not record them, or where there were none.
        start: when it began, sortable.
    """

    job: str
    state: str
    seconds: int
    nodes: int
    cores: int
    gpus: int | None
    start: str

    @property
    def stands(self) -> bool:
        """True where its work was not lost."""
        return self.state in _STANDING


@dataclass(frozen=True)
class Records:
    """SLURM's records of a run.

    Attributes:
        attempts: SLURM's number -> attempts in the order of their start.
        missing: why there are none; None where there are some, or no jobs.
    """

    attempts: Mapping[str, list[Attempt]] = field(default_factory=dict)
    missing: str | None = None


class _NoAnswer(Exception):
    """Why there is no answer of sacct."""


def read_slurm_jobs(directory: Path) -> list[SlurmJob]:
    """Reads the notes of the SLURM jobs of a run, `<job>.json`; none where there is no such directory.

    A note is `{"job": "4711", "stages": ["train_surrogate-block"], "started": "2025-11-21T11:01:42"}`.

    Raises:
        InputError: a file is no such note.
    """
    return [_read_job(file) for file in sorted(directory.glob("*.json"))]


def _read_job(path: Path) -> SlurmJob:
    note = read_json(path)
    job, stages, started = (note.get(key) for key in ("job", "stages", "started"))
    if not isinstance(job, str) or not re.fullmatch(r"\d+", job):
        raise _no_note(path, f"job is {job!r}", "SLURM's number as a text")
    if not isinstance(stages, list) or not stages or not all(isinstance(stage, str) for stage in stages):
        raise _no_note(path, f"stages is {stages!r}", "a list with the names of stages")
    try:
        when = datetime.fromisoformat(str(started))
    except ValueError as error:
        raise _no_note(path, f"started is {started!r}", "a time such as 2025-11-21T11:01:42") from error
    return SlurmJob(job, tuple(stages), when.astimezone())


def _no_note(path: Path, what: str, expected: str) -> InputError:
    remedy = "remove the file; its hours then come from the benchmarks"
    return InputError(path, what, expected=expected, remedy=remedy)


def read_records(jobs: Sequence[SlurmJob]) -> Records:
    """Asks SLURM's accounting for all attempts of the jobs.

    A cluster without accounting is no error: `missing` is then the reason.
    """
    if not jobs:
        return Records()
    numbers = sorted({job.job for job in jobs}, key=int)
    since = min(job.started for job in jobs) - _MARGIN
    try:
        attempts = [
            attempt
            for first in range(0, len(numbers), _JOBS_AT_ONCE)
            for attempt in parse_sacct(_ask(numbers[first : first + _JOBS_AT_ONCE], since))
        ]
    except _NoAnswer as error:
        return Records(missing=str(error))
    if not attempts:
        return Records(missing=f"sacct knows none of the run's {len(numbers)} jobs")
    by_job: dict[str, list[Attempt]] = {}
    for attempt in sorted(attempts, key=lambda attempt: attempt.start):
        by_job.setdefault(attempt.job, []).append(attempt)
    return Records(by_job)


def _ask(numbers: Sequence[str], since: datetime) -> str:
    words = [*_SACCT, "-S", f"{since:%Y-%m-%dT%H:%M:%S}", "-j", ",".join(numbers)]
    # The format of times that a user has set may not sort.
    options: dict[str, Any] = {"env": {**os.environ, "SLURM_TIME_FORMAT": "standard"}, "timeout": _TIMEOUT}
    options |= {"capture_output": True, "text": True, "check": False, "stdin": subprocess.DEVNULL}
    try:
        answer = subprocess.run(words, **options)
    except subprocess.TimeoutExpired as error:
        raise _NoAnswer(f"sacct gave no answer within {_TIMEOUT:.0f} s") from error
    except OSError as error:
        raise _NoAnswer(f"sacct cannot be run ({error.strerror})") from error
    if answer.returncode:
        said = answer.stderr.strip().splitlines() or [f"exit code {answer.returncode}"]
        raise _NoAnswer(f"sacct: {said[-1].removeprefix('sacct: error: ')}")
    return answer.stdout


def parse_sacct(text: str) -> list[Attempt]:
    """Attempts that started, in lines of `JobIDRaw|State|ElapsedRaw|NNodes|AllocTRES|Start`."""
    rows = [dict(zip(_COLUMNS, line.split("|"), strict=False)) for line in text.splitlines() if line]
    return [_attempt(row) for row in rows if row.get("Start") not in _NEVER_STARTED]


def _attempt(row: Mapping[str, str]) -> Attempt:
    try:
        resources = dict(item.split("=", 1) for item in row["AllocTRES"].split(","))
        return Attempt(
            job=row["JobIDRaw"],
            state=row["State"].split()[0],  # "CANCELLED by 1000"
            seconds=int(row["ElapsedRaw"]),
            nodes=int(row["NNodes"]),
            cores=int(resources["cpu"]),
            gpus=_gpus(resources),
            start=row["Start"],
        )
    except (KeyError, ValueError, IndexError) as error:
        raise _NoAnswer(f"sacct answered {'|'.join(row.values())!r}") from error


def _gpus(resources: Mapping[str, str]) -> int | None:
    """GPUs of an allocation: `gres/gpu` is all of them, `gres/gpu:a100` those of a type among them."""
    if "gres/gpu" in resources:
        return int(resources["gres/gpu"])
    typed = [int(count) for name, count in resources.items() if name.startswith("gres/gpu:")]
    return sum(typed) if typed else None
