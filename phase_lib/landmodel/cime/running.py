"""A segment in its case: set up from its start, run until its end, checked, and its products brought home.

A segment begins from nothing but its inputs: the base case, the restart it starts from, and, where it
continues the segment before, the set of files that this one kept. Where the model itself stopped with an
error, or what it wrote is not sound, the segment is begun anew. A run that was ended from outside, or that
stopped early with a restart, goes on from its own last restart.
"""

from __future__ import annotations

import math
import re
import shutil
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from phase_lib.base.errors import InputError, ModelAbort, ModelStopped
from phase_lib.base.files import fingerprint, read_json, write_json
from phase_lib.base.progress import LOGGER
from phase_lib.elm.calendar import restart_name
from phase_lib.elm.restart import RestartHeader, read_header
from phase_lib.landmodel.cime import checks, launching
from phase_lib.landmodel.cime.case import Case, Value
from phase_lib.landmodel.cime.cases import BUILT, Cases, base_lines, layout, notes, require_inputs
from phase_lib.landmodel.cime.history import Tapes, collect
from phase_lib.landmodel.cime.launching import Launched
from phase_lib.landmodel.cime.reasons import stopped_itself, why
from phase_lib.landmodel.cime.run_files import TIME_IS_UP, Date, RestartSet, RunFiles, lines_of, place
from phase_lib.landmodel.cime.settings import CimeSettings
from phase_lib.landmodel.cime.user_lines import setting
from phase_lib.landmodel.domain import Segment

#: What was begun in a case: it goes on only with that.
_BEGUN = "segment.json"
#: Sets of files from which the next segment continues, beside the products of a run, and what a set says.
_SETS, _SET = "restart_sets", "set.json"
#: Why the model stopped itself, and after how many times for one reason it is not run again.
_FAILED, _TRIES = "failure.json", 2
#: What differs between the names of logs.
_LOG_ID = re.compile(r"(?<=\.log)\.[\w.-]+")
_OPTIONS = "ELM_BLDNML_OPTS"
_AD_OPTION = "-bgc_spinup"


@dataclass(frozen=True)
class Run:
    """A segment and the case in which it runs."""

    segment: Segment
    case: Case
    cases: Cases

    @property
    def settings(self) -> CimeSettings:
        """Of the section `cime`."""
        return self.cases.settings

    @property
    def files(self) -> RunFiles:
        """Files of the case outside its directory."""
        return self.cases.run_files(self.case)

    @property
    def end(self) -> Date:
        """The date that the segment has to reach."""
        return Date(self.segment.end_year)

    @cached_property
    def tapes(self) -> Tapes:
        """What the segment has to write."""
        return Tapes.of_segment(self.segment)

    @cached_property
    def header(self) -> RestartHeader | None:
        """Header of the restart that it starts from; None for a cold start."""
        return None if self.segment.finidat is None else read_header(self.segment.finidat)[0]

    @property
    def _sets(self) -> Path:
        return self.segment.directory / _SETS

    @cached_property
    def continued(self) -> Path | None:
        """Directory of the set from which it continues; None where it starts anew.

        It continues where the segment before ended with the very restart it starts from, and wrote the same
        tapes: a model that goes on cannot change its tapes.

        Raises:
            InputError: the restart is the run's own, and nothing of its set is left.
        """
        segment, directory = self.segment, self._sets / f"{self.segment.start_year:04d}"
        before = segment.directory / restart_name(segment.case, segment.start_year)
        if segment.finidat is None or segment.finidat.absolute() != before.absolute():
            return None
        note = notes(directory / _SET)
        if note.get("tapes") != self.tapes.as_json() or note.get("stamp") != self._stamp:
            if not note:
                what = "the set of files that the run continues from is missing"
                remedy = "run the segment before it again"
                raise InputError(directory / _SET, what, remedy=remedy)
            LOGGER.info(
                "%s: other tapes or another case than before, so it starts anew from its restart",
                segment.case,
            )
            return None
        if note["restart"] != fingerprint(segment.finidat):
            what = f"{segment.finidat} is not the restart of this set"
            raise InputError(directory / _SET, what, remedy="run the segment before it again")
        return directory

    @cached_property
    def _stamp(self) -> str:
        return str(read_json(self.cases.made)["stamp"])

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What the segment depends on: a run that was begun with the same goes on."""
        segment = self.segment
        return {
            "start": segment.start_year,
            "end": segment.end_year,
            "mode": segment.mode,
            "restart": None if segment.finidat is None else fingerprint(segment.finidat),
            "continued": self.continued is not None,
            "spinup": segment.spinup.model_dump(mode="json"),
            "tapes": self.tapes.as_json(),
            "stamp": self._stamp,
        }

    @property
    def what_runs(self) -> dict[str, Any]:
        """With the same of all this, a model that stopped stops again."""
        return self.identity | {"layout": layout(self.settings), "built": self.cases.built.stat().st_mtime_ns}


def run_segment(segment: Segment, settings: CimeSettings, directory: Path) -> None:
    """Runs a segment to its end.

    Args:
        segment: what to run.
        settings: of the section `cime`.
        directory: of the cases of its domain.

    Raises:
        InputError: inputs, case and protocol do not fit together; nothing was run.
        ModelAbort: the model stopped, or what it wrote is not sound.
    """
    cases = Cases(directory, settings, segment.domain.name)
    if not cases.built.is_file():
        raise InputError(directory / BUILT, "does not exist", remedy="build the case first")
    run = Run(segment, cases.clone(segment.case), cases)
    with run.case.locked() as lock:
        _refuse_the_same_again(run)
        _wait_for_earlier_job(run)
        reached = _resume(run) or _begin(run)
        while reached < run.end:
            reached = _advance(run, reached, lock)
        try:
            checks.after(run.segment, run.files, continued=run.continued is not None)
            _bring_home(run)
        except ModelAbort:
            _forget(run)
            raise
        (run.case.directory / _FAILED).unlink(missing_ok=True)


def _refuse_the_same_again(run: Run) -> None:
    """A model that stopped twice for one reason would do so a third time.

    Raises:
        ModelStopped: it has, with the same inputs, executable and tasks.
    """
    file = run.case.directory / _FAILED
    note = notes(file)
    if note.get("run") == run.what_runs and note["times"] >= _TRIES:
        raise ModelStopped(
            f"{file}: {run.segment.case} has stopped {note['times']} times for the same reason: "
            f"{note['reason']}; it is not run again before something changes, or this file is removed"
        )


def _remember(run: Run, reason: str) -> None:
    """Notes why a model stopped."""
    file = run.case.directory / _FAILED
    failure = {"run": run.what_runs, "reason": _LOG_ID.sub("", reason)}
    note = notes(file)
    same = all(note.get(name) == value for name, value in failure.items())
    write_json(file, failure | {"times": note["times"] + 1 if same else 1})


def _is_begun(run: Run) -> bool:
    return notes(run.case.directory / _BEGUN) == run.identity


def _wait_for_earlier_job(run: Run) -> None:
    """Waits for the job of this segment that a killed session has left in the queue.

    Raises:
        InputError: there is a job of another segment.
        ModelAbort: the model stopped in it.
    """
    job = launching.job_of(run.case)
    if job is not None:
        if run.settings.submit != "cime" or not _is_begun(run):
            raise launching.at_work(run.case, job)
        LOGGER.info("%s: job %s is in the queue, and is waited for", run.segment.case, job)
        _require_sound(run, launching.wait(run.case), Date(run.segment.start_year))


def _forget(run: Run) -> None:
    """The next try begins anew."""
    (run.case.directory / _BEGUN).unlink(missing_ok=True)


def _resume(run: Run) -> Date | None:
    """The date from which a run of this segment goes on; None where it left nothing sound."""
    if not _is_begun(run):
        return None
    try:
        last = run.files.restart_set()
    except ModelAbort as error:
        LOGGER.info("%s: begun before, and begins anew: %s", run.segment.case, error)
        return None
    if not Date(run.segment.start_year) < last.date <= run.end:
        return None
    LOGGER.info("%s: begun before, and goes on from %s", run.segment.case, last.date)
    if last.date < run.end:
        _lay_out(run)
    return last.date


def _begin(run: Run) -> Date:
    """Sets the case to the start of the segment, and checks what the model will read."""
    checks.start(run.segment, run.header)
    checks.readable(run.case, [] if run.header is None else [run.header])
    _forget(run)
    run.files.clear()
    prepare(run)
    require_inputs(run.case)
    write_json(run.case.directory / _BEGUN, run.identity)
    return Date(run.segment.start_year)


def prepare(run: Run) -> None:
    """Sets XML, namelist lines and run directory of a segment, and reads the namelists back.

    Raises:
        InputError: CIME refuses something, or the namelists say another thing than the workflow wants.
    """
    segment, case = run.segment, run.case
    if run.cases.is_given:
        checks.same_protocol(segment, run.cases.base)
    case.change(_variables(run))
    case.write_user_lines("elm", [*base_lines(run.cases, "elm"), *_lines(run)])
    _lay_out(run)
    if run.continued is not None:
        _stage(run, run.continued)
    case.do("./preview_namelists")
    checks.before(segment, case, run.tapes, continued=run.continued is not None)


def _variables(run: Run) -> dict[str, Value]:
    """XML of the first start of a segment."""
    segment, continued = run.segment, run.continued is not None
    options = run.cases.base.query(_OPTIONS).split()
    if _AD_OPTION in options:
        at = options.index(_AD_OPTION)
        del options[at : at + 2]
    if segment.mode == "ad":
        options += [_AD_OPTION, "on"]
    return {
        _OPTIONS: " ".join(options),
        "RUN_TYPE": "startup",
        "CONTINUE_RUN": continued,
        "RUN_STARTDATE": str(Date(segment.start_year)),
        # Where no line names a restart, ELM would look for the default one of the grid.
        "ELM_FORCE_COLDSTART": "on" if segment.finidat is None or continued else "off",
        **_length(run, Date(segment.start_year)),
    }


def _length(run: Run, reached: Date) -> dict[str, Value]:
    """XML of the length of the next start: whole years, or the days of a year that was begun.

    Years for which one of CIME's jobs has no time are divided among a chain of jobs of one length, of which
    each submits the next one.
    """
    if not reached.starts_year:
        days = Date(reached.year + 1).days - reached.days
        return {
            "STOP_OPTION": "ndays", "STOP_N": days, "REST_OPTION": "ndays", "REST_N": days, "RESUBMIT": 0
        }  # fmt: skip
    years = run.segment.end_year - reached.year
    jobs = _jobs_of_chain(run, years)
    of_job = years // jobs
    interval = math.gcd(of_job, run.settings.restart_years)
    return {
        "STOP_OPTION": "nyears", "STOP_N": of_job, "REST_OPTION": "nyears", "REST_N": interval,
        "RESUBMIT": jobs - 1,
    }  # fmt: skip


def _jobs_of_chain(run: Run, years: int) -> int:
    """The smallest number of jobs of one length that have time for some years; 1 where that is not known."""
    settings = run.settings
    # Without a batch system case.submit would go on after a failure.
    if settings.submit == "job" or not settings.years_of_job or run.case.query("BATCH_SYSTEM") == "none":
        return 1
    return next(
        jobs for jobs in range(1, years + 1) if years % jobs == 0 and years // jobs <= settings.years_of_job
    )


def _of_jobs(settings: CimeSettings) -> dict[str, Value]:
    """XML of CIME's own job of the model."""
    if settings.submit == "job":
        return {}
    values: dict[str, Value] = {"JOB_WALLCLOCK_TIME": settings.walltime}
    if settings.queue is not None:
        values["JOB_QUEUE"] = settings.queue
    if settings.project is not None:
        values["PROJECT"] = settings.project
    return values


def _lines(run: Run) -> list[str]:
    """Lines of `user_nl_elm` of the segment."""
    segment, spinup = run.segment, run.segment.spinup
    lines = [
        setting("suplphos", "ALL" if segment.mode == "ad" else "NONE"),
        # ELM's defaults are 0 and 1, also where a run leaves AD.
        setting("nyears_ad_carbon_only", spinup.nyears_ad_carbon_only),
        setting("spinup_mortality_factor", spinup.spinup_mortality_factor),
        *run.tapes.lines,
    ]
    if segment.finidat is not None and run.continued is None:
        lines.append(setting("finidat", str(segment.finidat.absolute())))
    return lines


def _lay_out(run: Run) -> None:
    """Sets tasks and job of the model, which may differ from try to try; the executable is the same.

    Raises:
        InputError: CIME refuses something, or the job of this process does not fit.
    """
    case, settings = run.case, run.settings
    case.change(layout(settings))
    case.change(_of_jobs(settings), subgroup="case.run")
    case.set_up(again=(case.directory / ".case.run").is_file())
    case.change({"BUILD_COMPLETE": True})
    if settings.submit == "cime":
        launching.require_known_queue(case)
        return
    asked, takes = settings.layout or run.cases.base.layout, case.layout
    if takes.tasks != asked.tasks or asked.nodes not in (None, takes.nodes):
        what = f"runs {takes.tasks} tasks on {takes.nodes} nodes"
        expected = f"{asked.tasks} tasks on {asked.nodes} nodes, for which its job asks"
        remedy = "set cime.tasks, and tasks_per_node as the machine has it (MAX_TASKS_PER_NODE)"
        raise InputError(case.directory, what, expected=expected, remedy=remedy)


def _stage(run: Run, directory: Path) -> None:
    """Brings the set that the segment before kept into the run directory."""
    assert run.segment.finidat is not None
    place(run.segment.finidat, run.files.run / run.segment.finidat.name)
    for path in sorted(directory.iterdir()):
        if path.name.startswith("rpointer."):
            shutil.copyfile(path, run.files.run / path.name)  # the model writes into it
        elif path.name != _SET:
            place(path, run.files.run / path.name)


def _advance(run: Run, reached: Date, lock: int) -> Date:
    """Runs the model once; the date that it has reached.

    Raises:
        ModelAbort: it failed, or made no way.
    """
    segment, case, settings = run.segment, run.case, run.settings
    length = _length(run, reached)
    if reached != Date(segment.start_year):
        case.change({"CONTINUE_RUN": True, **length})
    left = launching.hours_left(settings)
    lines = _time_limit(settings, left, in_chain=bool(length["RESUBMIT"]))
    case.write_user_lines("cpl", [*base_lines(run.cases, "cpl"), *lines])
    began = time.monotonic()
    done = launching.launch(case, settings, lock)
    _require_sound(run, done, reached)
    try:
        last = run.files.restart_set()
    except ModelAbort:
        _forget(run)
        raise
    if last.date <= reached:
        _forget(run)
        raise ModelAbort(
            f"{case.directory}: {segment.case} ran and is still at {last.date}, where {run.end} is wanted: "
            f"{why(run.files, done.error)}"
        )
    if last.date < run.end:
        _go_on_or_stop(run, last.date, time.monotonic() - began)
    return last.date


def _require_sound(run: Run, done: Launched, reached: Date) -> None:
    """The model has not failed.

    Args:
        run: of the model.
        done: how it ended.
        reached: where it began.

    Raises:
        ModelAbort: it has. The next try begins anew where the model stopped itself, and where it came to no
            further restart; else, with a node that failed for example, it goes on from the last one.
    """
    if done.sound:
        return
    reason = why(run.files, done.error)
    error = ModelAbort
    if stopped_itself(run.files):
        error = ModelStopped
        _forget(run)
        _remember(run, reason)
    elif not done.killed and not _got_beyond(run, reached):
        _forget(run)
    raise error(f"{run.case.directory}: the model stopped in {run.segment.case}: {reason}")


def _got_beyond(run: Run, reached: Date) -> bool:
    try:
        return run.files.restart_set().date > reached
    except ModelAbort:
        return False


def _time_limit(settings: CimeSettings, left: float | None, *, in_chain: bool) -> list[str]:
    """Lines of `user_nl_cpl` by which the model stops itself, with a restart, before its job ends.

    The next job of a chain runs whole years, so that one before it stops at the end of a year, for which it
    keeps time.
    """
    if left is None:
        return []
    hours = left - settings.margin_minutes / 60.0
    if hours <= 0.0:
        what = f"{60.0 * left:.0f} minutes are left of this job"
        raise ModelAbort(f"{what}, and cime.margin_minutes is {settings.margin_minutes:g}; ask for more time")
    period = settings.force_stop_at
    if in_chain:
        assert settings.minutes_per_year is not None
        hours, period = hours - settings.minutes_per_year / 60.0, "year"
    return [setting("wall_time_limit", round(hours, 4)), setting("force_stop_at", period)]


def _go_on_or_stop(run: Run, reached: Date, seconds: float) -> None:
    """After an early stop: there is time for more in this job, or the next one goes on."""
    log = run.files.log("cpl")
    by_itself = log is not None and any(TIME_IS_UP in line for line in lines_of(log)[-400:])
    LOGGER.info("%s: stopped at %s, wanted %s", run.segment.case, reached, run.end)
    left = launching.hours_left(run.settings)
    needed = 2.0 * run.settings.margin_minutes / 60.0
    if run.settings.submit == "job" and by_itself and (left is None or left < max(needed, seconds / 36000.0)):
        raise ModelAbort(
            f"{run.case.directory}: {run.segment.case} is at {reached} of {run.end}, and the time of its job "
            "is used up; run the same command again, it goes on from there"
        )


def _bring_home(run: Run) -> None:
    """Gives the products the names of the workflow, and keeps what the next segment continues from."""
    segment, last = run.segment, run.files.restart_set()
    collect(segment, run.files.history())
    _keep(run, last)
    place(last.restart, segment.restart)
    run.files.free(last)
    LOGGER.info("%s: at %s, its products are in %s", segment.case, last.date, segment.directory)


def _keep(run: Run, last: RestartSet) -> None:
    directory = run._sets / f"{last.date.year:04d}"
    shutil.rmtree(directory, ignore_errors=True)
    for path in last.files:
        place(path, directory / path.name)
    for path in last.pointers:
        shutil.copyfile(path, directory / path.name.removesuffix(".prev"))
    note = {"tapes": run.tapes.as_json(), "stamp": run._stamp, "restart": fingerprint(last.restart)}
    write_json(directory / _SET, note)
