"""Lines of `user_nl_*` files: the names they set, and the names that only the workflow sets."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Literal

#: Components whose `user_nl` file may have lines of the user.
Component = Literal["elm", "datm", "cpl", "mosart"]
_NAME = re.compile(r"^\s*(\w+)\s*(?:\([^)]*\)\s*)?=")
_FILES, _PROTOCOL = "the section domains", "the section spinup"
_TAPES = "what later stages read (spinup.history_fields and annual_fields add to it)"
_SEGMENT, _CASE = "the segment", "the case's place in the run directory"
#: Names that follow from something else: file or `xml` -> name -> from what.
SET_HERE: Mapping[str, Mapping[str, str]] = {
    "xml": {
        **dict.fromkeys(("RUN_TYPE", "CONTINUE_RUN", "RUN_STARTDATE", "STOP_OPTION", "STOP_N"), _SEGMENT),
        **dict.fromkeys(("STOP_DATE", "RESUBMIT", "ELM_FORCE_COLDSTART", "RUN_REFCASE"), _SEGMENT),
        **dict.fromkeys(("REST_OPTION", "REST_N", "REST_DATE"), "cime.restart_years"),
        **dict.fromkeys(
            ("NTASKS", "NTHRDS", "ROOTPE", "MAX_MPITASKS_PER_NODE"), "cime.tasks and tasks_per_node"
        ),
        **dict.fromkeys(
            ("JOB_WALLCLOCK_TIME", "JOB_QUEUE", "PROJECT"), "cime.walltime_minutes, queue and project"
        ),
        **dict.fromkeys(("RUNDIR", "EXEROOT", "DOUT_S_ROOT"), _CASE),
        **dict.fromkeys(("LND_DOMAIN_PATH", "LND_DOMAIN_FILE", "ATM_DOMAIN_PATH", "ATM_DOMAIN_FILE"), _FILES),
        **dict.fromkeys(("LND_NX", "LND_NY", "ATM_NX", "ATM_NY", "ELM_USRDAT_NAME"), _FILES),
        **dict.fromkeys(
            ("DATM_CLMNCEP_YR_START", "DATM_CLMNCEP_YR_END", "DATM_CLMNCEP_YR_ALIGN"), "domains.NAME.forcing"
        ),
        "DATM_MODE": "cime.datm_mode",
        "CALENDAR": "the forcing, whose years have 365 days",
    },
    "elm": {
        **dict.fromkeys(("fsurdat", "paramfile", "fsoilordercon", "fatmlndfrc"), _FILES),
        **dict.fromkeys(("spinup_state", "finidat", "suplphos"), _SEGMENT),
        **dict.fromkeys(("nyears_ad_carbon_only", "spinup_mortality_factor"), _PROTOCOL),
        **dict.fromkeys(("hist_empty_htapes", "hist_nhtfrq", "hist_mfilt", "hist_avgflag_pertape"), _TAPES),
        **dict.fromkeys(("hist_dov2xy", "hist_type1d_pertape", "hist_ndens"), _TAPES),
        **dict.fromkeys(
            (f"hist_{kind}{tape}" for kind in ("fincl", "fexcl") for tape in range(1, 7)), _TAPES
        ),
        "use_init_interp": _SEGMENT,
    },
    "datm": {"streams": "cime.streams, datm_mode and domains.NAME.forcing"},
    "cpl": dict.fromkeys(("wall_time_limit", "force_stop_at"), "the job's limit and cime.margin_minutes"),
    "mosart": {},
}


def names_in(lines: Iterable[str]) -> list[str]:
    """Names that lines of a `user_nl` file set, in lower case; comments and continued lines set none."""
    matches = (_NAME.match(line) for line in lines)
    return [match.group(1).lower() for match in matches if match]


def without(lines: Iterable[str], names: Iterable[str]) -> list[str]:
    """Lines without those that set some names, and without what continues these."""
    dropped, kept, dropping = set(names), [], False
    for line in lines:
        match = _NAME.match(line)
        if match:
            dropping = match.group(1).lower() in dropped
        elif not line.strip() or line.lstrip().startswith("!"):
            dropping = False
        if not dropping:
            kept.append(line)
    return kept


def setting(name: str, value: str | float | bool | list[str] | list[int] | list[bool]) -> str:
    """A line that sets a name: texts in quotes, logicals as Fortran writes them."""
    values = value if isinstance(value, list) else [value]
    return f"{name} = {', '.join(map(_fortran, values))}"


def _fortran(value: str | float | bool) -> str:
    if isinstance(value, bool):
        return ".true." if value else ".false."
    return "'{}'".format(value.replace("'", "''")) if isinstance(value, str) else f"{value:.15g}"
