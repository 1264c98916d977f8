"""How many model years the runs need until the verdict holds, and how far their corrections went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from phase_lib.base.errors import InputError
from phase_lib.base.files import read_json
from phase_lib.equilibrium.verdict import ALL_CELLS, INJECTED
from phase_lib.report.cost import compared, ratio_of
from phase_lib.report.products import RunFacts

REFERENCE = "reference"


def normal_years(verdict: Mapping[str, Any]) -> float:
    """Years from injection to the end of the last cycle that is judged."""
    return float(verdict["runs"][INJECTED][ALL_CELLS]["years"])


def stabilisation(
    verdict: Mapping[str, Any], facts: RunFacts, audits: Mapping[str, Sequence[Path]]
) -> dict[str, Any]:
    """The `stabilisation` section of the summary.

    Args:
        verdict: on the runs.
        facts: of the run.
        audits: run -> findings of `phase audit` in each corrected restart.

    Returns:
        `normal_years` of the injected run; its `rounds`, as the verdict has them; `holds`, run -> cells ->
        whether all criteria hold at its end; `years_until`, run -> cells -> model years since the cold start
        until they hold to the end of the run, None where they do not; `ratio`, cells -> those of the
        reference to those of the injected run; `area_out`, run -> `model_year` and `share` of the land that
        gains or loses carbon in each forcing cycle; `corrections`, run -> their years, sizes and decisions,
        and the counts of errors and notes in the audit of the corrected restart.

    Raises:
        InputError: a corrected restart has no audit.
    """
    runs = verdict["runs"]
    years = {
        run: {cells: _years_until(numbers, _years_before(run, facts)) for cells, numbers in subsets.items()}
        for run, subsets in runs.items()
    }
    conventional = years.get(REFERENCE, {})
    return {
        "normal_years": normal_years(verdict),
        "rounds": verdict["rounds"],
        "holds": {
            run: {cells: numbers["in_equilibrium"] for cells, numbers in subsets.items()}
            for run, subsets in runs.items()
        },
        "years_until": years,
        "ratio": {
            cells: ratio_of(conventional.get(cells), until) for cells, until in years[INJECTED].items()
        },
        "area_out": {
            run: {
                "model_year": [year + _years_before(run, facts) for year in flux["run_year"]],
                "share": flux["area"],
            }
            for run, subsets in runs.items()
            if (flux := subsets[ALL_CELLS]["net_flux"]) is not None
        },
        "corrections": {
            run: [
                {
                    "model_year": years + _years_before(run, facts),
                    "audit": _audit_of(correction, audits.get(run, ())),
                    "nitrogen": correction["nitrogen"],
                    "variables": correction["variables"],
                }
                for years, correction in zip(
                    runs[run][ALL_CELLS]["corrected_after"], corrections, strict=True
                )
            ]
            for run, corrections in verdict["corrections"].items()
        },
    }


def _audit_of(correction: Mapping[str, Any], audits: Sequence[Path]) -> dict[str, int]:
    """Errors and notes of the audit of a corrected restart, which has the date at which its window ends.

    Raises:
        InputError: it is not among the audits.
    """
    for audit in map(read_json, audits):
        if int(audit["date"].split("-")[0]) == round(correction["end_year"]):
            return {kind: audit[kind] for kind in ("errors", "notes")}
    what = f"the restart with the correction {correction['file']} has no audit"
    raise InputError("--correction-audit", what, remedy="give that of each corrected restart")


def _years_before(run: str, facts: RunFacts) -> int:
    """Model years before the first one of a run: the reference goes on from AD, others from the input."""
    return facts.ad_years if run == REFERENCE else facts.input_years


def _years_until(numbers: Mapping[str, Any], before: int) -> float | None:
    """Model years until all criteria of a run hold."""
    until = [
        criterion["years_until"] for criterion in numbers["criteria"].values() if not criterion["prescribed"]
    ]
    return None if None in until else before + max(until)


def years_sentence(summary: Mapping[str, Any]) -> str:
    """The model years until the verdict holds, of this run and of the reference."""
    part = summary["stabilisation"]
    until, made = part["years_until"], {run: len(times) for run, times in part["corrections"].items()}
    injected, years = until[INJECTED][ALL_CELLS], summary["cost"]["integration_years"]
    times = _times(made.get(INJECTED, 0))
    state = "Not in equilibrium" if injected is None else "In equilibrium"
    after = years["with_stabilisation"] if injected is None else injected
    sentence = f"{state} {after:.0f} model years after the cold start, {times}"
    if REFERENCE not in until:
        return f"{sentence}."
    conventional, ratio = until[REFERENCE][ALL_CELLS], part["ratio"][ALL_CELLS]
    corrected = made.get(REFERENCE, 0)
    other = f"the reference, {_times(corrected)}," if corrected else "the conventional spin-up"
    if conventional is None:
        return f"{sentence}; {other} is not within {years['labels']}."
    fewer = "" if ratio is None else f" ({compared(ratio, 'fewer')})"
    return f"{sentence}; {other} after {conventional:.0f}{fewer}."


def _times(corrections: int) -> str:
    return {0: "not corrected", 1: "corrected once"}.get(corrections, f"corrected {corrections} times")


def audit_sentence(summary: Mapping[str, Any]) -> str:
    """What the audits of the corrected restarts found; empty where no run was corrected."""
    corrections = summary["stabilisation"]["corrections"]
    failed = [
        f"{correction['audit']['errors']} in the {run} run after {correction['model_year']:.0f} model years"
        for run, made in corrections.items()
        for correction in made
        if correction["audit"]["errors"]
    ]
    if failed:
        return f"Audit: ERRORS after corrections, {', '.join(failed)}."
    return "Audit: 0 errors after every correction." if any(corrections.values()) else ""
