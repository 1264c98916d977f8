"""The check before a run: a case is made on trial, without a build, and asked for everything it knows."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from phase_lib.base.errors import InputError
from phase_lib.elm.domain import read_domain
from phase_lib.elm.restart import RestartHeader, read_header
from phase_lib.elm.variables import SOIL_POOLS
from phase_lib.landmodel.cime import checks
from phase_lib.landmodel.cime.cases import Cases, files_of_case, notes, require_short
from phase_lib.landmodel.cime.history import Tapes
from phase_lib.landmodel.cime.running import Run, prepare
from phase_lib.landmodel.cime.settings import CASE_KEYS, CimeSettings
from phase_lib.landmodel.domain import Domain, Segment

#: Where ELM names its history fields, and how.
_ELM_SOURCE = "components/elm/src"
_FIELD = re.compile(r"\bfname\s*=\s*['\"](\w+)['\"]", re.IGNORECASE)
#: Names with a pool in them (CWDC, SOIL3C_vr, K_LITR1), and those by layer, ELM puts together at run time.
_OF_POOLS = re.compile("|".join(pool.name.upper() for pool in SOIL_POOLS))
_BY_LAYER = "_vr"


def faults(settings: CimeSettings, domain: Domain, segments: Sequence[Segment]) -> Iterator[InputError]:
    """What would make a later stage fail, one at a time in the order of the stages.

    Args:
        settings: of the section `cime`.
        domain: with the files that exist before the run.
        segments: that the run plans for it.
    """
    yield from _of_jobs(settings)
    yield from _of_tapes(settings, segments)
    yield from _of_restarts(segments)
    script = settings.scripts / "create_newcase"
    if not script.is_file():
        remedy = "check cime.source, and get its submodules (git submodule update --init)"
        yield InputError(script, "does not exist", expected="an E3SM checkout", remedy=remedy)
        return
    made = Cases(domain.directory.absolute() / "cases" / domain.name, settings, domain.name)
    keys = settings.model_dump(mode="json", include=set(CASE_KEYS))
    if notes(made.made).get("settings") == keys and not made.is_given:
        return  # it has been made, and is as the settings say
    place = Path(tempfile.mkdtemp(prefix="phase-cime-"))
    try:
        yield from _of_case(Cases(place, settings, domain.name), domain, segments)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _of_case(cases: Cases, domain: Domain, segments: Sequence[Segment]) -> Iterator[InputError]:
    """Faults of a case that is made on trial, and of the first runs in clones of it."""
    try:
        cases.make_base(domain)
        if cases.is_given and not cases.settings.rebuild and cases.base.query("BUILD_COMPLETE") != "TRUE":
            remedy = "build it (./case.build), or set cime.rebuild"
            yield InputError(cases.base.directory, "is not built", remedy=remedy)
        if not cases.is_given:
            yield from _of_tasks(cases)
        for mode in ("ad", "normal"):  # namelists may name restarts that are still to come
            if start := next((one for one in segments if one.mode == mode), None):
                clone = cases.clone(start.case)
                prepare(Run(start, clone, cases))
                checks.readable(clone, _headers(domain, [start]))
    except InputError as error:
        yield error


def _headers(domain: Domain, segments: Sequence[Segment]) -> list[RestartHeader]:
    """Of the restarts that exist from which segments start, or of which those are made from which they do."""
    paths = dict.fromkeys([domain.restart, *(segment.finidat for segment in segments)])
    return [read_header(path)[0] for path in paths if path is not None and path.is_file()]


def _of_tasks(cases: Cases) -> Iterator[InputError]:
    """More tasks than cells: ELM stops."""
    tasks, path = cases.base.layout.tasks, files_of_case(cases.base)["domain"]
    if path.is_file() and tasks > (cells := read_domain(path).ncells):
        expected = f"at most {cells}, the land cells of {path.name}"
        yield InputError(None, f"cime.tasks is {tasks}", expected=expected, remedy="ask for fewer tasks")


def _of_jobs(settings: CimeSettings) -> Iterator[InputError]:
    layout = settings.layout
    if settings.submit == "job" and layout is not None and layout.tasks > 1 and layout.nodes is None:
        what, expected = (
            f"cime.tasks is {layout.tasks}",
            "cime.tasks_per_node too, as jobs take whole nodes",
        )
        yield InputError(None, what, expected=expected, remedy="give it")
    limit, margin = settings.walltime_minutes, settings.margin_minutes
    if settings.submit == "cime" and margin >= limit:
        what = f"cime.walltime_minutes is {limit}, and cime.margin_minutes {margin:g}"
        yield InputError(None, what, expected="a longer job", remedy="change one of the two")


def _of_tapes(settings: CimeSettings, segments: Sequence[Segment]) -> Iterator[InputError]:
    """Lengths and fields that the tapes of ELM cannot have."""
    known = _fields_of_elm(Path(settings.source))
    asked: dict[str, None] = {}
    for segment in segments:
        try:
            tapes = Tapes.of_segment(segment)
        except InputError as error:
            yield error
            return
        asked |= dict.fromkeys((*tapes.cycle, *tapes.annual))
    for name in asked:
        spelt_out = name in known or name.removesuffix(_BY_LAYER) in known
        if known and not spelt_out and not _OF_POOLS.search(name):
            remedy = "leave it out of spinup.history_fields and annual_fields, or correct the name"
            expected = f"a name in {_ELM_SOURCE} of {settings.source}"
            yield InputError(
                None, f"{name} is no history field of this ELM", expected=expected, remedy=remedy
            )


def _of_restarts(segments: Sequence[Segment]) -> Iterator[InputError]:
    """A restart from which a run will start has too long a path."""
    try:
        for segment in segments:
            if segment.finidat is not None:
                require_short(segment.finidat.absolute())
    except InputError as error:
        yield error


def _fields_of_elm(source: Path) -> set[str]:
    """Names of history fields that ELM's source spells out; none where that is not there."""
    texts = (path.read_text(errors="replace") for path in (source / _ELM_SOURCE).rglob("*.F90"))
    return {name for text in texts for name in _FIELD.findall(text)}
