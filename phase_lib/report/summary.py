"""`summary.json`: the run in numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from phase_lib.base.files import read_json, write_json
from phase_lib.base.provenance import code_version
from phase_lib.config.experiments import OWN
from phase_lib.dataset.loading import CellIndex, read_cells
from phase_lib.dataset.split import PARTS, TEST, TRAIN, VALIDATION
from phase_lib.elm.netcdf import get_attribute, get_variable
from phase_lib.elm.products import open_product
from phase_lib.elm.variables import HEADLINE
from phase_lib.equilibrium.verdict import ALL_CELLS
from phase_lib.forcing.comparison import summary_line
from phase_lib.report.accounting import SlurmJob, read_records, read_slurm_jobs
from phase_lib.report.cost import (
    Stage,
    StageCost,
    cost_summary,
    hours_summary,
    read_costs,
    read_plan,
    spin_up_summary,
    stage_hours,
)
from phase_lib.report.products import RunFacts, RunProducts
from phase_lib.report.restart import STOCKS, base_of, next_steps, stocks_of_restart
from phase_lib.report.stabilisation import normal_years, stabilisation
from phase_lib.surrogate.skill import read_tests

_DRIFTS = ("drift_totsomc_pgc_per_yr", "drift_totvegc_pgc_per_yr", "area_out_of_equilibrium")


def build_summary(products: RunProducts, facts: RunFacts) -> dict[str, Any]:
    """Collects the numbers of a run from its products.

    Where the land-model output of the target was given, the run ends at the injected restart and there is
    no verdict. Then `equilibrium` is empty, `stable` and `years_run` are None, `stocks` are those of the
    restarts (see `stocks_of_restart`), and `target` holds how ELM starts from the restart.

    Raises:
        InputError: a product is missing or incomplete.
    """
    diff, index = read_json(products.diff), read_cells(products.dataset)
    tests = {split: read_tests(paths) for split, paths in products.tests.items()}
    for test in tests.values():
        test.require_model(OWN)
    skill = {split: test.skill() for split, test in tests.items()}
    verdict = None if products.verdict is None else read_json(products.verdict)
    runs: dict[str, Any] = {} if verdict is None else verdict["runs"]
    flags = _read(products.predictions, "ood_flag")
    target = _target(products, facts, diff)
    plan = read_plan(products.stages, 1 if verdict is None else len(verdict["rounds"]))
    with open_product(products.predictions, ()) as dataset:
        device = str(get_attribute(products.predictions, dataset, "trained_on"))
    costs = read_costs(products.benchmarks, plan)
    jobs = [] if products.slurm_jobs is None else read_slurm_jobs(products.slurm_jobs)
    if not jobs and "cuda" not in device:
        # With device `auto` a stage asks for a GPU and also runs without one. On a cluster a job holds the
        # GPU that it asked for, used or not.
        costs = [replace(cost, gpus=0) for cost in costs]
    area = (index.area_km2 * index.landfrac)[index.of_domain(facts.target)]
    return {
        "run": {
            "name": facts.name,
            "config_hash": facts.config_hash,
            "code_version": code_version(),
            "seconds": {cost.stage.name: cost.seconds for cost in costs},
            # The number of cores of a cluster means nothing for the run.
            "cores": None if jobs else facts.cores,
            "device": device,
            "directory": facts.directory.as_posix(),
            "restart": products.restart.as_posix(),
        },
        "target": target,
        "domain": {
            "cells": len(flags),
            "land_area_km2": float(area.sum()),
            "splits": {split: _parts(path) for split, path in products.splits.items()},
            "domains": _domains(index, products, facts, flags),
            "forcing": {name: _forcing(path) for name, path in products.forcing.items()},
        },
        "models": {
            model.name: {"label": model.label, "trained": model.trained}
            for test in tests.values()
            for model in test.models.values()
        },
        # The paper's variables, of all that are predicted.
        "headline": [name for name in HEADLINE if any(name in models[OWN] for models in skill.values())],
        "skill": skill,
        "experiments": {} if products.experiments is None else read_json(products.experiments)["experiments"],
        "restart": {
            **_stability(verdict, facts),
            "audit_errors": read_json(products.audit)["errors"],
            "flagged_cells": int(np.count_nonzero(flags)),
            "ood_action": facts.ood_action,
        },
        "stabilisation": {} if verdict is None else stabilisation(verdict, facts, products.correction_audits),
        "equilibrium": {run: _equilibrium(subsets) for run, subsets in runs.items()},
        "stocks": {
            run: {stock: subsets[ALL_CELLS]["stocks"].get(stock) for stock in STOCKS}
            for run, subsets in runs.items()
        }
        or stocks_of_restart(diff),
        **{
            key: (verdict or {}).get(key, {}) for key in ("relation_to_reference", "injected_against_control")
        },
        "cost": _cost(
            costs, jobs, plan, facts, target["base"], None if verdict is None else normal_years(verdict)
        ),
    }


def _target(products: RunProducts, facts: RunFacts, diff: dict[str, Any]) -> dict[str, Any]:
    """The target domain; where it was not run here, also its base restart and what to do next."""
    domains = {
        "domain": facts.target,
        "trained_on": list(facts.training),
        "labelled_here": list(facts.labelled_here),
        "limits": list(facts.limits),
    }
    if products.verdict is not None:
        return domains | {"base": None, "next": None}
    base = base_of(diff, products.restart)
    return domains | {"base": base, "next": next_steps(products.restart, base, facts)}


def _stability(verdict: dict[str, Any] | None, facts: RunFacts) -> dict[str, Any]:
    if verdict is None:
        return {"stable": None, "years_run": None}
    years = normal_years(verdict)
    # A land model stops at an invalid pool or balance: a history over all the years means that it did not.
    return {"stable": years >= facts.stabilisation_years - 0.01, "years_run": years}


def _cost(
    costs: list[StageCost],
    jobs: list[SlurmJob],
    plan: Mapping[str, Stage],
    facts: RunFacts,
    base: Any,
    years_run: float | None,
) -> dict[str, Any]:
    """Costs of the run, and of a spin-up of the target, conventional and accelerated.

    `years_run` were run after injection; None where the target is not run here.
    """
    records = read_records(jobs)
    stages = stage_hours(costs, jobs, records, plan=plan, cores_per_node=facts.cost.cores_per_node)
    ran_here, input_years = base is None, facts.input_years
    elsewhere = 0 if facts.input_here else input_years
    if not ran_here:
        # The base restart begins the year after the last one that was run.
        input_years = int(base["date"].split("-")[0]) - 1
        elsewhere = input_years + facts.stabilisation_years
    measured = cost_summary(
        costs,
        conventional_years=facts.conventional_years if ran_here else None,
        input_years=input_years,
        stabilisation_years=None if years_run is None else round(years_run),
        label_years=facts.label_years,
    )
    spin_up = spin_up_summary(
        stages,
        facts.cost,
        years=facts.conventional_years,
        years_elsewhere=elsewhere,
        labels_made=set(facts.training) == set(facts.labelled_here),
    )
    return measured | {"hours": hours_summary(stages, jobs, records), "spin_up": spin_up}


def _domains(
    index: CellIndex, products: RunProducts, facts: RunFacts, flags: np.ndarray
) -> dict[str, dict[str, int]]:
    """Cells of each domain and their use; the model of the blocked split makes the injected state."""
    part, counts = _read(products.splits["block"], "part"), {}
    used = {"trained_on": (part == TRAIN) | (part == VALIDATION), "tested_on": part == TEST}
    for name in index.domains:
        inside = index.of_domain(name)
        cells, complete = int(np.count_nonzero(inside)), int(np.count_nonzero(index.complete[inside]))
        counts[name] = {
            "cells": cells,
            "incomplete": cells - complete,
            **{use: int(np.count_nonzero(inside & chosen)) for use, chosen in used.items()},
            "predicted": complete if name == facts.target else 0,
            "flagged": int(np.count_nonzero(flags)) if name == facts.target else 0,
        }
    return counts


def _forcing(path: Path) -> dict[str, Any]:
    """Outcome of the comparison of a domain's forcing with its history."""
    content = read_json(path)
    return {"outcome": summary_line(content), "differences": content["differences"]}


def write_summary(products: RunProducts, facts: RunFacts, output: str | Path) -> dict[str, Any]:
    """Writes `summary.json` and returns its content."""
    summary = build_summary(products, facts)
    write_json(output, summary)
    return summary


def _read(path: Path, name: str) -> np.ndarray:
    with open_product(path, [name]) as dataset:
        return get_variable(path, dataset, name).to_numpy()


def _parts(split: Path) -> dict[str, int]:
    part = _read(split, "part")
    return {name: int(np.count_nonzero(part == code)) for name, code in PARTS.items()}


def _equilibrium(subsets: dict[str, Any]) -> dict[str, Any]:
    """Numbers of all cells, and those of the other sets of cells under their names."""
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
