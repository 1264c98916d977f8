"""Checks of a segment: its start, what the model will read, and what it has written."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from phase_lib.base.errors import InputError, ModelAbort
from phase_lib.elm.audit.run import audit_restart
from phase_lib.elm.constants import SPINUP_AD, SPINUP_NORMAL
from phase_lib.elm.restart import RestartHeader, read_header, refuse_other_soil
from phase_lib.elm.spinup import SCALARAVG_YEARS
from phase_lib.landmodel.cime.case import Case
from phase_lib.landmodel.cime.cases import require_same_forcing
from phase_lib.landmodel.cime.history import STATE_TAPE, Tapes, files_of
from phase_lib.landmodel.cime.reasons import balance_errors, taken_out_of_ad
from phase_lib.landmodel.cime.run_files import Date, RunFiles
from phase_lib.landmodel.cime.state import require_as_read
from phase_lib.landmodel.domain import Segment

_CLASSIC = ("NETCDF3_CLASSIC", "NETCDF3_64BIT_OFFSET", "NETCDF3_64BIT_DATA")
#: How a case reads and writes its files (PIO_TYPENAME) -> flavours of NetCDF that it can read. Files of its
#: other ways (ADIOS) are no NetCDF.
_READS: Mapping[str, tuple[str, ...]] = {
    "default": _CLASSIC,
    "pnetcdf": _CLASSIC,
    **dict.fromkeys(("netcdf", "netcdf4p", "netcdf4c", "netcdf4z", "hdf5", "hdf5c"), (*_CLASSIC, "NETCDF4")),
}
_TYPE = "PIO_TYPENAME"


def readable(case: Case, restarts: Iterable[RestartHeader]) -> None:
    """The land model of a case writes NetCDF, and can read the restarts from which it shall start.

    Raises:
        InputError: it does not, or cannot.
    """
    kind = case.query(_TYPE, subgroup="LND")
    reads = _READS.get(kind)
    if reads is None:
        what, expected = f"{_TYPE} of LND is {kind}", f"one of {', '.join(_READS)}, whose files are NetCDF"
        raise InputError(case.directory, what, expected=expected, remedy="set PIO_TYPENAME in cime.xmlchange")
    for header in restarts:
        if header.flavour not in reads:
            what = f"is {header.flavour}, and {case.name} reads its restart by {kind}"
            remedy = "make a copy that it can read (nccopy -k cdf5), or set PIO_TYPENAME in cime.xmlchange"
            raise InputError(header.path, what, expected=" or ".join(reads), remedy=remedy)


def start(segment: Segment, header: RestartHeader | None) -> None:
    """The restart has the date and the mode from which the segment can start.

    Raises:
        InputError: it has not.
    """
    if header is None:
        if segment.start_year != 1 or segment.mode != "ad":
            what = f"a cold start of {segment.case} in year {segment.start_year}, {segment.mode}"
            raise InputError(None, what, expected="AD in year 1, as scalaravg_col counts years")
        return
    refuse_other_soil(header)
    if header.date != str(Date(segment.start_year)):
        expected = (
            f"{Date(segment.start_year)}, at which {segment.case} starts: the forcing follows the clock"
        )
        raise InputError(
            header.path, f"is of {header.date}", expected=expected, remedy="use the restart of that date"
        )
    if segment.mode == "ad" and header.spinup_state != SPINUP_AD:
        what = "is in normal mode, and an AD run starts from it"
        raise InputError(header.path, what, expected="spinup_state 1", remedy="use a restart of the AD run")
    if segment.mode == "normal" and header.spinup_state == SPINUP_AD and header.year < SCALARAVG_YEARS[1]:
        what = f"is in AD at year {header.year}, and ELM would divide by a scalaravg_col that is not finished"
        expected = f"spinup_state 0, or a year from {SCALARAVG_YEARS[1]} on"
        raise InputError(header.path, what, expected=expected, remedy="convert it with `phase inject`")


def same_protocol(segment: Segment, case: Case) -> None:
    """What a case that existed before says of AD is what the section `spinup` says.

    Raises:
        InputError: it says another thing.
    """
    lnd_in = case.namelist("lnd_in")
    for name in ("spinup_mortality_factor", "nyears_ad_carbon_only"):
        there, wanted = lnd_in.get(name), getattr(segment.spinup, name)
        if there and not _same(there[0], wanted):
            path, remedy = case.directory / "CaseDocs" / "lnd_in", "change one of the two"
            raise InputError(
                path, f"{name} is {there[0]}", expected=f"{wanted:g}, as in spinup.{name}", remedy=remedy
            )


def before(segment: Segment, case: Case, tapes: Tapes, *, continued: bool) -> None:
    """The namelists that the model will read say what the workflow wants.

    Raises:
        InputError: the first value that differs.
    """
    lnd_in, spinup = case.namelist("lnd_in"), segment.spinup
    suplphos = "ALL" if segment.mode == "ad" else "NONE"
    wanted: dict[str, Sequence[str | float | bool]] = {
        "spinup_state": [segment.spinup_state],
        "suplphos": [suplphos],
        "nyears_ad_carbon_only": [spinup.nyears_ad_carbon_only],
        "spinup_mortality_factor": [spinup.spinup_mortality_factor],
        **tapes.settings,
    }
    if not continued:
        wanted["finidat"] = ["" if segment.finidat is None else str(segment.finidat.absolute())]
    for name, values in wanted.items():
        there = [text.strip() for text in lnd_in.get(name, ["0" if name == "spinup_state" else ""])]
        if len(there) != len(values) or not all(map(_same, there, values)):
            path = case.directory / "CaseDocs" / "lnd_in"
            shown, expected = (", ".join(map(str, one)) or "not there" for one in (there, values))
            remedy = "look for a line in cime.namelists or a source change of the case that sets it"
            raise InputError(path, f"{name} is {shown}", expected=expected, remedy=remedy)
    require_same_forcing(segment.domain.forcing, case)


def _same(text: str, value: str | float | bool) -> bool:
    if isinstance(value, str):
        return text == value
    if isinstance(value, bool):
        return text.lower().lstrip(".")[:1] == ("t" if value else "f")
    try:
        return float(re.sub("[dD]", "e", text)) == value
    except ValueError:
        return False


def after(segment: Segment, files: RunFiles, *, continued: bool) -> None:
    """What the model wrote is sound.

    Raises:
        ModelAbort: the first fault.
    """
    reached = files.date_in_log()
    if reached != Date(segment.end_year):
        log = files.log("cpl") or files.run / "cpl.log"
        what = "does not say that the model ended well" if reached is None else f"ends at {reached}"
        raise ModelAbort(f"{log}: {what}; expected SUCCESSFUL TERMINATION at {Date(segment.end_year)}")
    if errors := balance_errors(files):
        raise ModelAbort(
            f"{files.run}: {len(errors)} lines about balances in lnd.log, first: {errors[0][:200]}"
        )
    last = files.restart_set()
    report = audit_restart(last.restart, segment.domain.surface, segment.domain.params)
    # In which space pools are, the run itself has shown; young wood looks like that of AD.
    faults = [fault for fault in report.errors if not fault.code.endswith("-still-ad")]
    if faults:
        raise ModelAbort(f"{last.restart}: the audit finds {report.count}, first: {faults[0].line()}")
    if segment.finidat is not None and not continued and segment.mode == "normal":
        _require_taken_as_it_is(segment, files)


def _require_taken_as_it_is(segment: Segment, files: RunFiles) -> None:
    """ELM has read a restart in normal mode without a change."""
    assert segment.finidat is not None
    if read_header(segment.finidat)[0].spinup_state != SPINUP_NORMAL:
        return  # ELM itself takes this one out of AD
    if lines := taken_out_of_ad(files):
        raise ModelAbort(f"{segment.finidat}: is in normal mode, but ELM has printed: {lines[0]}")
    require_as_read(segment.finidat, files_of(segment.case, STATE_TAPE, files.history()))
