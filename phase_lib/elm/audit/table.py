"""The table of all checks, and its texts: one check, the list, the page of the documentation."""

from __future__ import annotations

import difflib
import inspect

from phase_lib.base.errors import InputError
from phase_lib.elm.audit import cover, header, isotopes, plants, scalar, soil, space, values
from phase_lib.elm.audit.audited import Tally
from phase_lib.elm.audit.check import Check

#: Files of checks, in the order in which findings are reported.
SUBJECTS = (header, cover, values, soil, plants, isotopes, space, scalar)
CHECKS = tuple(entry for file in SUBJECTS for entry in vars(file).values() if isinstance(entry, Check))
#: Counts that checks at the end judge by.
TALLIES = tuple(
    entry
    for file in SUBJECTS
    for entry in vars(file).values()
    if isinstance(entry, type) and issubclass(entry, Tally) and entry.__module__ == file.__name__
)

_PAGE = """# Checks of the audit

`phase audit RESTART` and `phase inject` check every value of a restart, as ELM accepts most faults without a
message. With an **error**, ELM would run on and be wrong. A **note** is normal in a file in accelerated
decomposition (AD), or ELM computes the value again. Codes stay when sentences change: `--json` holds them as
`code`, `phase audit --explain CODE` prints one entry, `phase audit --list` a line for each.
"ELM run on such a file" means that ELM (E3SM, August 2026) was started from a restart with this fault.

This page is written by `phase audit --write-page docs/audit.md`.
"""


def explain(code: str) -> list[str]:
    """The entry of a check, in lines.

    Raises:
        InputError: no check has this code; the nearest code is named.
    """
    known = {check.code: check for check in CHECKS}
    if code not in known:
        near = difflib.get_close_matches(code, known, n=1, cutoff=0.0)
        remedy = f"did you mean {near[0]}? `phase audit --list` names all"
        raise InputError(None, f"no check of the audit has the code {code!r}", remedy=remedy)
    check = known[code]
    head = f"{code} ({check.rank}): {check.sentence}"
    return [head, "", *check.explanation.splitlines(), "", *_details(check)]


def _details(check: Check) -> list[str]:
    expected = [f"Expected: {check.expected}."] if check.expected else []
    return [*expected, f"Source: {check.source}."]


def listing() -> list[str]:
    """All checks, a line each."""
    return [f"{check.code:<26} {check.rank:<20} {check.sentence}" for check in CHECKS]


def page() -> str:
    """All checks as a page of the documentation."""
    lines = [_PAGE]
    for file in SUBJECTS:
        lines += [f"## {(inspect.getdoc(file) or '').splitlines()[0].rstrip('.')}", ""]
        for check in (entry for entry in CHECKS if entry in vars(file).values()):
            lines += [f"**`{check.code}`** ({check.rank}): {check.sentence}.", "", check.explanation, ""]
            lines += [" ".join(_details(check)), ""]
    return "\n".join(lines)
