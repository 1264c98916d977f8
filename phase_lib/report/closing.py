"""The closing page: what a run prints on the terminal at its end."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from textwrap import wrap
from typing import Any

from phase_lib.base.errors import InputError
from phase_lib.config.experiments import OWN
from phase_lib.equilibrium.verdict import ALL_CELLS, INJECTED, TEST_CELLS
from phase_lib.report.cost import UNITS, compared, hours_text
from phase_lib.report.products import OOD_STATES
from phase_lib.report.stabilisation import audit_sentence, years_sentence

#: Columns of a line.
_WIDTH = 100
#: Domains that the closing page lists.
_MOST_DOMAINS = 4
#: What every summary has.
_SECTIONS = ("run", "target", "domain", "restart", "stabilisation", "models", "headline", "skill", "cost")


def closing_page(summary: Mapping[str, Any]) -> str:
    """Skill, verdict, cost and paths from the content of `summary.json`, at most 40 lines of 100 characters.

    Where the target was not run here there is no verdict: the page says how to continue in ELM.

    Raises:
        InputError: it is no summary, or one of another version.
    """
    if missing := [name for name in _SECTIONS if name not in summary]:
        what = f"is no summary of this version: it has no {missing[0]}"
        raise InputError("summary.json", what, remedy="write the report of the run again")
    ran = summary["target"]["next"] is None
    blocks = (_head, _skill, _verdict, _cost) if ran else (_restart_head, _domains, _skill, _next, _cost)
    parts = [block(summary) for block in (*blocks, _files)]
    return "\n\n".join("\n".join(lines) for lines in parts if lines)


def _head(summary: Mapping[str, Any]) -> list[str]:
    restart = summary["restart"]
    state = "ran" if restart["stable"] else "did NOT run"
    return [
        *_title(f"PHASE spin-up, run {summary['run']['name']!r}: {summary['domain']['cells']} cells"),
        *wrap(years_sentence(summary), _WIDTH),
        f"The injected restart {state} {restart['years_run']:.0f} years in normal mode; audit errors: "
        f"{restart['audit_errors']}; flagged cells: {restart['flagged_cells']} ({restart['ood_action']})",
        *wrap(audit_sentence(summary), _WIDTH),
    ]


def _title(line: str) -> list[str]:
    return [line, "=" * len(line)]


def _restart_head(summary: Mapping[str, Any]) -> list[str]:
    target, restart, cells = summary["target"], summary["restart"], summary["domain"]["cells"]
    title = f"PHASE spin-up, run {summary['run']['name']!r}: restart for {target['domain']}, {cells} cells"
    lines = [
        *_title(title),
        f"Normal mode (spinup_state 0), made from {PurePath(target['base']['restart']).name}; not yet run",
        f"Audit errors: {restart['audit_errors']}; flagged cells: {restart['flagged_cells']}, with "
        f"{OOD_STATES[restart['ood_action']]}",
    ]
    if nothing_predicted(summary):
        lines.append("EVERY cell is flagged: this restart contains nothing of the surrogate.")
    return lines


def nothing_predicted(summary: Mapping[str, Any]) -> bool:
    """True where every cell is flagged and keeps the base's state."""
    restart = summary["restart"]
    return bool(restart["ood_action"] == "keep" and restart["flagged_cells"] == summary["domain"]["cells"])


def _domains(summary: Mapping[str, Any]) -> list[str]:
    domains = summary["domain"]["domains"]
    shown = list(domains)[:_MOST_DOMAINS]
    names = list(next(iter(domains.values())))
    lines = [f"{'Cells':<20}" + "".join(f"{name.replace('_', ' '):>13}" for name in names)]
    for domain in shown:
        lines.append(f"  {domain:<18.18}" + "".join(f"{domains[domain][name]:>13}" for name in names))
    if len(shown) < len(domains):
        lines.append(f"  and {len(domains) - len(shown)} more domains")
    return lines


def _next(summary: Mapping[str, Any]) -> list[str]:
    steps = summary["target"]["next"]
    return [
        "Next, in ELM (the report has it in full):",
        f"  user_nl_elm  finidat = '<the restart below>', {', '.join(steps['namelist'][1:])}",
        "  case         ELM_BLDNML_OPTS without -bgc_spinup on",
        *(f"               {command}" for command in steps["case"]),
        *(f"  {line}" for line in wrap(f"run {steps['schedule']}", _WIDTH - 2)),
        f"  verdict: {steps['judge']}",
        "           (with DOUT_S=TRUE: DOUT_S_ROOT/lnd/hist in place of RUNDIR)",
    ]


def _baselines(summary: Mapping[str, Any]) -> dict[str, str]:
    """Models without a network: name -> label."""
    return {name: model["label"] for name, model in summary["models"].items() if not model["trained"]}


def wins(summary: Mapping[str, Any], split: str, metric: str) -> int:
    """On how many headline variables the run's model beats all baselines in `r2` or in an error."""
    skill, baselines = summary["skill"][split], _baselines(summary)
    sign = 1.0 if metric.startswith("r2") else -1.0

    def rank(model: str, target: str) -> float:
        value = skill[model][target][metric]
        return float("-inf") if value is None else sign * value

    return sum(
        all(rank(OWN, target) > rank(model, target) for model in baselines) for target in summary["headline"]
    )


def wins_sentence(summary: Mapping[str, Any], split: str) -> str:
    """On how many headline variables the run's model beats all baselines; empty without baselines."""
    baselines, total = _baselines(summary), len(summary["headline"])
    if not baselines or not total:
        return ""
    r2, ratio = (wins(summary, split, metric) for metric in ("r2", "median_abs_log_ratio"))
    return (
        f"{summary['models'][OWN]['label']} beats {' and '.join(baselines.values())} on {r2} of {total} "
        f"variables in R² and on {ratio} of {total} in log ratio"
    )


def _skill(summary: Mapping[str, Any]) -> list[str]:
    skill, target = summary["skill"]["block"], summary["target"]
    models = {OWN: summary["models"][OWN]["label"]} | _baselines(summary)
    where = "Skill on blocked test cells"
    if target["domain"] not in target["trained_on"]:
        where += f" of {' and '.join(target['trained_on'])}"[: _WIDTH - 30]
    lines = [
        f"{where}:",
        "  mean R2 per PFT or layer, and median |ln(prediction/truth)|",
        "  " + f"{'':<12}" + "".join(f"{label[:21]:>22}" for label in models.values()),
    ]
    for name in summary["headline"]:
        scores = (skill[model][name] for model in models)
        cells = (f"{_number(s['r2'])}  {_number(s['median_abs_log_ratio'])}" for s in scores)
        lines.append(f"  {name:<12}" + "".join(f"{cell:>22}" for cell in cells))
    if sentence := wins_sentence(summary, "block"):
        lines.append(f"  {sentence.replace('R²', 'R2')}.")
    return lines


def _verdict(summary: Mapping[str, Any]) -> list[str]:
    runs = summary["equilibrium"]
    stocks, verdicts = [summary["stocks"][run] for run in runs], runs.values()
    until = summary["stabilisation"]["years_until"]
    rows: dict[str, list[str]] = {
        f"years until it holds, {label}": [_years(until[run].get(cells)) for run in runs]
        for cells, label in ((ALL_CELLS, "all"), (TEST_CELLS, "test"))
        if cells in until[INJECTED]
    }
    rows |= {
        "drift of soil C, PgC/yr": [f"{v['drift_totsomc_pgc_per_yr']:+.3f}" for v in verdicts],
        "drift of vegetation C, PgC/yr": [f"{v['drift_totvegc_pgc_per_yr']:+.3f}" for v in verdicts],
        "area out of equilibrium": [f"{v['area_out_of_equilibrium']:.1%}" for v in verdicts],
        "soil C, PgC": [f"{stock['totsomc_pgc']:.1f}" for stock in stocks],
        "vegetation C, PgC": [f"{stock['totvegc_pgc']:.1f}" for stock in stocks],
        "criteria that fail": [f"{len(v['criteria_failed'])} of {v['criteria_tested']}" for v in verdicts],
        "verdict": ["equilibrium" if v["in_equilibrium"] else "drifting" for v in verdicts],
    }
    lines = [f"{'Verdict at the end of each run':<32}" + "".join(f"{run:>13}" for run in runs)]
    return lines + [f"  {name:<30}" + "".join(f"{v:>13}" for v in values) for name, values in rows.items()]


def _cost(summary: Mapping[str, Any]) -> list[str]:
    cost = summary["cost"]
    years, ratio, roles = cost["integration_years"], cost["ratio"], cost["core_seconds_by_role"]
    measured = cost["ratio_core_seconds"]
    if years["conventional"] is None:
        spent = ", ".join(f"{role} {seconds:.0f}" for role, seconds in roles.items())
        return [
            f"Core-seconds: {spent}.",
            "The land model of the target was run elsewhere and is not counted.",
            *_hours(cost),
        ]
    lines = [
        f"The conventional spin-up integrates {years['conventional']} model years. Here: "
        f"{years['before_injection']} before injection",
        f"({compared(ratio['before_injection'], 'fewer')}), {years['with_stabilisation']} with stabilisation "
        f"({compared(ratio['with_stabilisation'], 'fewer')}).",
    ]
    if measured is not None:
        lines += [
            f"Core-seconds: conventional {cost['core_seconds_conventional']:.0f}, "
            f"accelerated {roles['accelerated']:.0f} ({compared(measured)}), "
            f"this whole run {cost['core_seconds_total']:.0f}.",
            "The labels cost one conventional run; later domains that use the surrogate gain.",
        ]
    return lines + _hours(cost)


def _hours(cost: Mapping[str, Any]) -> list[str]:
    hours, spin_up = cost["hours"], cost["spin_up"]
    if not hours["rules"]:
        return []
    total, ratio = hours["total"], spin_up["ratio"]
    spent = [f"{hours_text(total[unit])} {what}" for unit, what in UNITS.items() if total[unit] is not None]
    source = "SLURM's records" if hours["source"] == "slurm" else "benchmarks"
    lost = f"; {hours_text(total['lost_core_hours'])} core-hours lost" if total["lost_core_hours"] else ""
    lines = [f"Hours of this run ({source}): {', '.join(spent)}{lost}."]
    if ratio["unit"] == "node_hours":
        row = spin_up["node_hours"]
        with_labels = "" if row["with_labels"] is None else f", with labels {hours_text(row['with_labels'])}"
        lines.append(
            f"Node-hours of a spin-up: conventional {hours_text(row['conventional'])} ({spin_up['price']}), "
            f"PHASE {hours_text(row['without_labels'])}{with_labels}."
        )
    return lines


def _files(summary: Mapping[str, Any]) -> list[str]:
    run = summary["run"]
    return [
        f"Report:   {run['directory']}/report/index.html",
        f"Numbers:  {run['directory']}/summary.json",
        f"Restart:  {run['restart']}",
    ]


def _years(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
