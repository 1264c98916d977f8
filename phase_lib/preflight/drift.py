"""Is the reference run that gives the labels in equilibrium itself?"""

from __future__ import annotations

from phase_lib.config.equilibrium import EquilibriumSettings
from phase_lib.equilibrium.criteria import FIELDS, RunVerdict, assess
from phase_lib.preflight.facts import HistoryFacts
from phase_lib.preflight.findings import Finding, finding


def judge_drift(
    history: HistoryFacts, years: int, settings: EquilibriumSettings
) -> tuple[str, list[Finding]]:
    """Judges the drift of the labels, where the history tells.

    Args:
        history: of the reference run; only what it holds of the last two cycles is read.
        years: length of the forcing cycle.
        settings: thresholds.

    Returns:
        The answer in words, and what was found.
    """
    cycles = history.cycles(years)
    if cycles < 2:
        return f"drift of the targets: not judged, the history holds {_cycles(cycles)}", []
    missing = [field.name for field in FIELDS if field.required and field.name not in history.fields]
    if missing:
        return f"drift of the targets: not judged, the history has no {', '.join(missing)}", []
    verdict = assess(history.last(2 * years), years, settings)
    if verdict.in_equilibrium:
        held = f"{len(verdict.tested)} criteria hold"
        return f"drift of the targets: in equilibrium over {_cycles(cycles)}, {held}", []
    failed = _failed(verdict)
    return f"drift of the targets: NOT in equilibrium: {failed}", [
        finding(
            history.cells.path,
            f"the targets drift: {failed} over the last two of {_cycles(cycles)}",
            expected="labels in equilibrium, by the thresholds of the section equilibrium",
            remedy="run the reference on",
            accept="target_drift",
        )
    ]


def _cycles(count: int) -> str:
    return {0: "less than one cycle", 1: "one cycle"}.get(count, f"{count} cycles")


def _failed(verdict: RunVerdict) -> str:
    return ", ".join(
        f"{c.rule.name} {c.value:.3g} (at most {c.threshold:.3g} {c.rule.units})"
        for c in verdict.criteria
        if not c.holds
    )
