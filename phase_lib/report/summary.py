"""`summary.json`: the run in numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from phase_lib.base.files import read_json, write_json
from phase_lib.base.provenance import code_version
from phase_lib.elm.netcdf import get_variable, open_dataset
from phase_lib.equilibrium.verdict import ALL_CELLS
from phase_lib.report.cost import cost_summary, read_costs
from phase_lib.report.products import RunFacts, RunProducts
from phase_lib.surrogate.skill import skill_table

#: The part codes of a split file.
PARTS = {"excluded": 0, "train": 1, "validation": 2, "test": 3}
_DRIFTS = ("drift_totsomc_pgc_per_yr", "drift_totvegc_pgc_per_yr", "area_out_of_equilibrium")
_STOCKS = ("totsomc_pgc", "totvegc_pgc", "cwdc_pgc")


def build_summary(products: RunProducts, facts: RunFacts) -> dict[str, Any]:
    """Collects the numbers of a run from its products.

    Args:
        products: files of the run.
        facts: what the configuration says about it.

    Raises:
        InputError: a product is missing or incomplete.
    """
    verdict = read_json(products.verdict)
    costs = [] if products.benchmarks is None else read_costs(products.benchmarks, 1 + facts.input_years)
    flags = _read(products.predictions, "ood_flag")
    years = verdict["runs"]["injected"][ALL_CELLS]["years"]
    return {
        "run": {
            "name": facts.name,
            "config_hash": facts.config_hash,
            "code_version": code_version(),
            "seconds": {cost.stage: cost.seconds for cost in costs},
            "cores": facts.cores,
            "device": facts.device,
            "directory": facts.directory.as_posix(),
            "restart": products.restart.as_posix(),
        },
        "domain": {
            "cells": len(flags),
            "land_area_km2": verdict["runs"]["injected"][ALL_CELLS]["land_area_km2"],
            "splits": {split: _parts(path) for split, path in products.splits.items()},
        },
        "skill": {split: skill_table(path) for split, path in products.tests.items()},
        "restart": {
            # The embedded model stops on a negative pool, a NaN or an unclosed balance, so that a
            # history over all the years means that it ran through.
            "stable": years >= facts.stabilisation_years - 0.01,
            "years_run": years,
            "audit_errors": read_json(products.diff)["audit"]["errors"],
            "flagged_cells": int(np.count_nonzero(flags)),
            "ood_action": facts.ood_action,
        },
        "equilibrium": {run: _equilibrium(subsets) for run, subsets in verdict["runs"].items()},
        "stocks": {
            run: {stock: subsets[ALL_CELLS]["stocks"].get(stock) for stock in _STOCKS}
            for run, subsets in verdict["runs"].items()
        },
        "relation_to_reference": verdict.get("relation_to_reference", {}),
        "injected_against_control": verdict.get("injected_against_control", {}),
        "cost": cost_summary(
            costs,
            conventional_years=facts.conventional_years,
            input_years=facts.input_years,
            stabilisation_years=facts.stabilisation_years,
        ),
    }


def write_summary(products: RunProducts, facts: RunFacts, output: str | Path) -> dict[str, Any]:
    """Writes `summary.json` and returns its content."""
    summary = build_summary(products, facts)
    write_json(output, summary)
    return summary


def _read(path: Path, name: str) -> np.ndarray:
    with open_dataset(path) as dataset:
        return np.asarray(get_variable(path, dataset, name)[:])


def _parts(split: Path) -> dict[str, int]:
    part = _read(split, "part")
    return {name: int(np.count_nonzero(part == code)) for name, code in PARTS.items()}


def _equilibrium(subsets: dict[str, Any]) -> dict[str, Any]:
    """Numbers of all cells at the top, the other sets of cells below under their names."""
    numbers = {name: _numbers(verdict) for name, verdict in subsets.items()}
    whole = numbers.pop(ALL_CELLS)
    return {**whole, **numbers}


def _numbers(verdict: dict[str, Any]) -> dict[str, Any]:
    criteria = verdict["criteria"]
    return {
        **{name: criteria[name]["value"] for name in _DRIFTS},
        "in_equilibrium": verdict["in_equilibrium"],
        "criteria_failed": [name for name, criterion in criteria.items() if not criterion["holds"]],
        "criteria_tested": sum(not criterion["prescribed"] for criterion in criteria.values()),
        "criteria_prescribed": [name for name, criterion in criteria.items() if criterion["prescribed"]],
        "not_assessed": verdict["not_assessed"],
        "years_until": {name: criterion["years_until"] for name, criterion in criteria.items()},
    }
