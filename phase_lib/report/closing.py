"""The one page that ends a run on the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from phase_lib.report.cost import compared
from phase_lib.report.products import MODELS
from phase_lib.surrogate.skill import BASELINES

_RUNS = ("injected", "control", "reference")


def closing_page(summary: Mapping[str, Any]) -> str:
    """Skill, verdict, cost and where the files are, in at most 40 lines of 100 characters.

    Args:
        summary: content of `summary.json`.
    """
    return "\n".join(
        [
            *_head(summary),
            "",
            *_skill(summary),
            "",
            *_verdict(summary),
            "",
            *_cost(summary),
            "",
            *_files(summary),
        ]
    )


def _head(summary: Mapping[str, Any]) -> list[str]:
    run, domain, restart = summary["run"], summary["domain"], summary["restart"]
    line = f"PHASE spin-up, run {run['name']!r}: {domain['cells']} cells"
    state = "ran" if restart["stable"] else "did NOT run"
    return [
        line,
        "=" * len(line),
        f"The injected restart {state} {restart['years_run']:.0f} years in normal mode; audit errors: "
        f"{restart['audit_errors']}; flagged cells: {restart['flagged_cells']} ({restart['ood_action']})",
    ]


def wins(skill: Mapping[str, Mapping[str, Mapping[str, Any]]], metric: str) -> tuple[int, int]:
    """On how many targets PHASE beats every baseline, and how many targets there are.

    Args:
        skill: model -> target -> metric -> value.
        metric: `r2` (larger is better) or an error (smaller is better).
    """
    sign = 1.0 if metric.startswith("r2") else -1.0

    def rank(model: str, target: str) -> float:
        value = skill[model][target][metric]
        return float("-inf") if value is None else sign * value

    targets = list(skill["phase"])
    baselines = [model for model in BASELINES if model in skill]
    won = sum(all(rank("phase", t) > rank(model, t) for model in baselines) for t in targets)
    return won, len(targets)


def _skill(summary: Mapping[str, Any]) -> list[str]:
    skill = summary["skill"]["block"]
    models = ["phase", *(model for model in BASELINES if model in skill)]
    lines = [
        "Skill on blocked test cells: mean R2 per PFT or layer, and median |ln(prediction/truth)|",
        "  " + f"{'':<12}" + "".join(f"{MODELS[model]:>22}" for model in models),
    ]
    for target in skill["phase"]:
        scores = (skill[model][target] for model in models)
        cells = (f"{_number(s['r2'])}  {_number(s['median_abs_log_ratio'])}" for s in scores)
        lines.append(f"  {target:<12}" + "".join(f"{cell:>22}" for cell in cells))
    r2, total = wins(skill, "r2")
    ratio, _ = wins(skill, "median_abs_log_ratio")
    lines.append(
        f"  PHASE beats both baselines on {r2} of {total} in R2 and on {ratio} of {total} in log ratio."
    )
    return lines


def _verdict(summary: Mapping[str, Any]) -> list[str]:
    equilibrium, stocks = summary["equilibrium"], summary["stocks"]
    runs = [run for run in _RUNS if run in equilibrium]
    rows = [
        ("drift of soil C, PgC/yr", [f"{equilibrium[r]['drift_totsomc_pgc_per_yr']:+.3f}" for r in runs]),
        (
            "drift of vegetation C, PgC/yr",
            [f"{equilibrium[r]['drift_totvegc_pgc_per_yr']:+.3f}" for r in runs],
        ),
        ("area out of equilibrium", [f"{equilibrium[r]['area_out_of_equilibrium']:.1%}" for r in runs]),
        ("soil C, PgC", [f"{stocks[r]['totsomc_pgc']:.1f}" for r in runs]),
        ("vegetation C, PgC", [f"{stocks[r]['totvegc_pgc']:.1f}" for r in runs]),
        (
            "criteria that fail",
            [
                f"{len(equilibrium[r]['criteria_failed'])} of {equilibrium[r]['criteria_tested']}"
                for r in runs
            ],
        ),
        ("verdict", ["equilibrium" if equilibrium[r]["in_equilibrium"] else "drifting" for r in runs]),
    ]
    lines = [f"{'Verdict at the end of each run':<36}" + "".join(f"{run:>14}" for run in runs)]
    return lines + [f"  {name:<34}" + "".join(f"{value:>14}" for value in values) for name, values in rows]


def _cost(summary: Mapping[str, Any]) -> list[str]:
    cost = summary["cost"]
    years, ratio, roles = cost["integration_years"], cost["ratio"], cost["core_seconds_by_role"]
    measured = cost["ratio_core_seconds"]
    lines = [
        f"The conventional spin-up takes {years['conventional']} model years. Here: "
        f"{years['before_injection']} before injection",
        f"({compared(ratio['before_injection'], 'fewer')}), {years['with_stabilisation']} with stabilisation "
        f"({compared(ratio['with_stabilisation'], 'fewer')}).",
    ]
    if measured is not None:
        lines += [
            f"Core-seconds: conventional {cost['core_seconds_conventional']:.0f}, "
            f"accelerated {roles['accelerated']:.0f} ({compared(measured)}), "
            f"this whole run {cost['core_seconds_total']:.0f}.",
            "The labels cost one conventional run; the gain is for every domain the surrogate serves later.",
        ]
    return lines


def _files(summary: Mapping[str, Any]) -> list[str]:
    run = summary["run"]
    return [
        f"Report:   {run['directory']}/report/index.html",
        f"Numbers:  {run['directory']}/summary.json",
        f"Restart:  {run['restart']}",
    ]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
