"""Node-hours and GPU-hours of the stages, from SLURM's records or the benchmark tables, and what they buy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from phase_lib.config.run import CostSettings
from phase_lib.report.accounting import Attempt, Records, SlurmJob
from phase_lib.report.cost import ROLES, Role, Stage, StageCost, ratio_of

_HOUR = 3600.0
#: What is counted, and what its hours are of.
UNITS = {"node_hours": "node", "core_hours": "core", "gpu_hours": "GPU"}
#: Units in which a model year has a price, the one to compare in first.
_OF_A_YEAR = ("node_hours", "core_hours")
_ADDED = ("attempts", *UNITS, *(f"lost_{unit}" for unit in UNITS))

#: An attempt, and the share of it that was one stage's: all of it, or a part of a group's.
_Run = tuple[Attempt, float]


@dataclass(frozen=True)
class StageHours:
    """Hours of one stage; None for what its source does not know.

    Attributes:
        stage: which.
        source: SLURM's records, or the benchmark table where they have nothing.
        attempts: how often SLURM ran it.
        node_hours: hours x nodes that it was on, shared or not; of a benchmark core-hours / cores of a node.
        core_hours: hours x cores that it held.
        gpu_hours: hours x GPUs that it held.
        lost_node_hours, lost_core_hours, lost_gpu_hours: the part of these in attempts that failed, were
            cancelled or whose product was made anew.
    """

    stage: Stage
    source: Literal["slurm", "benchmarks"]
    attempts: int | None
    node_hours: float | None
    core_hours: float
    gpu_hours: float
    lost_node_hours: float | None
    lost_core_hours: float | None
    lost_gpu_hours: float | None


def stage_hours(
    costs: Sequence[StageCost],
    jobs: Sequence[SlurmJob],
    records: Records,
    *,
    plan: Mapping[str, Stage],
    cores_per_node: int | None,
) -> list[StageHours]:
    """Hours of every stage that has a benchmark table or SLURM's records.

    Args:
        costs: of the stages that have a table.
        jobs: SLURM jobs of the run.
        records: what SLURM recorded of them.
        plan: stages of the run by name; others do not count.
        cores_per_node: cores of a node; None where they are not known.
    """
    tables = {cost.stage.name: cost for cost in costs}
    runs = _runs_by_stage(jobs, records.attempts, tables)
    found = []
    for name in dict.fromkeys([*tables, *runs]):
        if name not in plan:
            continue
        if name in runs:
            found.append(_recorded(plan[name], runs[name], tables.get(name)))
        else:
            found.append(_benchmarked(tables[name], cores_per_node))
    return found


def _runs_by_stage(
    jobs: Iterable[SlurmJob], attempts: Mapping[str, list[Attempt]], tables: Mapping[str, StageCost]
) -> dict[str, list[_Run]]:
    runs: dict[str, list[_Run]] = {}
    for job in jobs:
        for stage, share in _shares(job, tables).items():
            if job.job in attempts:
                runs.setdefault(stage, []).extend((attempt, share) for attempt in attempts[job.job])
    return {stage: sorted(found, key=lambda run: run[0].start) for stage, found in runs.items()}


def _shares(job: SlurmJob, tables: Mapping[str, StageCost]) -> dict[str, float]:
    """Share of each stage in a job: that of its core-seconds, where they are known of all."""
    measured = {stage: tables[stage].core_seconds for stage in job.stages if stage in tables}
    weights = measured if len(measured) == len(set(job.stages)) else dict.fromkeys(job.stages, 1.0)
    whole = sum(weights.values())
    return {stage: weight / whole for stage, weight in weights.items()} if whole else {}


def _recorded(stage: Stage, runs: Sequence[_Run], table: StageCost | None) -> StageHours:
    standing = [attempt for attempt, _ in runs if attempt.stands]
    # A group may fail after this stage of it was done.
    kept = standing[-1] if standing else (runs[-1][0] if table else None)
    gpus = table.gpus if table else 0
    hours = _hours(runs, gpus)
    lost = _hours([run for run in runs if run[0] is not kept], gpus)
    return StageHours(stage, "slurm", len(runs), *hours, *lost)


def _hours(runs: Iterable[_Run], gpus: int) -> tuple[float, float, float]:
    """Node-hours, core-hours and GPU-hours.

    Args:
        runs: attempts with the stage's share.
        gpus: that the stage asks for, where SLURM does not record GPUs.
    """
    node = core = gpu = 0.0
    for attempt, share in runs:
        hours = attempt.seconds / _HOUR * share
        node += hours * attempt.nodes
        core += hours * attempt.cores
        gpu += hours * (gpus if attempt.gpus is None else attempt.gpus)
    return node, core, gpu


def _benchmarked(cost: StageCost, cores_per_node: int | None) -> StageHours:
    core = cost.core_seconds / _HOUR
    node = None if cores_per_node is None else core / cores_per_node
    gpu = cost.seconds / _HOUR * cost.gpus
    return StageHours(cost.stage, "benchmarks", None, node, core, gpu, None, None, None)


def hours_summary(found: Sequence[StageHours], jobs: Sequence[SlurmJob], records: Records) -> dict[str, Any]:
    """The section `cost.hours` of the summary: source, notes, a row per rule and role, roles and total.

    Args:
        found: of every stage.
        jobs: SLURM jobs of the run.
        records: what SLURM recorded of them.
    """
    rules: dict[tuple[str, Role], list[StageHours]] = {}
    for stage in found:
        rules.setdefault((stage.stage.rule, stage.stage.role), []).append(stage)
    return {
        "source": "slurm" if any(stage.source == "slurm" for stage in found) else "benchmarks",
        "notes": _notes(found, jobs, records),
        "rules": [
            {"rule": rule, "counts_as": role, "jobs": len(stages), **_added(stages)}
            for (rule, role), stages in rules.items()
        ],
        "by_role": {role: _added([stage for stage in found if stage.stage.role == role]) for role in ROLES},
        "total": _added(found),
    }


def _added(stages: Sequence[StageHours]) -> dict[str, float | None]:
    return {name: _sum(getattr(stage, name) for stage in stages) for name in _ADDED}


def _sum(values: Iterable[float | None]) -> float | None:
    """Sum of the values; None where one of them is not known."""
    numbers = list(values)
    known = [number for number in numbers if number is not None]
    return sum(known) if len(known) == len(numbers) else None


def _notes(found: Sequence[StageHours], jobs: Sequence[SlurmJob], records: Records) -> list[str]:
    """What a reader has to know of where the hours come from, a sentence each."""
    notes = []
    benchmarked = [stage for stage in found if stage.source == "benchmarks"]
    if records.missing is not None:
        notes.append(f"SLURM's records cannot be had: {records.missing}. All hours are the benchmarks'.")
    elif jobs and benchmarked:
        notes.append(f"SLURM has no record of {len(benchmarked)} of {len(found)} stages: benchmarks instead.")
    attempts = [attempt for runs in records.attempts.values() for attempt in runs]
    if attempts and all(attempt.gpus is None for attempt in attempts):
        notes.append(
            "SLURM recorded no GPU (they need AccountingStorageTRES=gres/gpu): GPU-hours are what the stages "
            "asked for."
        )
    if any(stage.node_hours is None for stage in found):
        notes.append("Without SLURM's records node-hours need cost.cores_per_node, which is not set.")
    return notes


def spin_up_summary(
    found: Sequence[StageHours],
    settings: CostSettings,
    *,
    years: int,
    years_elsewhere: int,
    labels_made: bool,
) -> dict[str, Any]:
    """The section `cost.spin_up` of the summary: the conventional spin-up of the target beside PHASE's way.

    PHASE's way is the accelerated spin-up with all its attempts, with the labels and without; making the
    world and verification are part of neither. A number is None where something in it is not known.

    Args:
        found: of every stage. Attempts that stand, of stages that did years of the target's conventional
            spin-up, give the price of a year where none is configured.
        settings: with the price of a model year, where it is configured.
        years: of the conventional spin-up.
        years_elsewhere: model years of PHASE's way that are run elsewhere, at the price of a year.
        labels_made: True where all labels were made in this run, so that their cost is known.
    """
    accelerated, labels = (
        [stage for stage in found if stage.stage.role == role] for role in ("accelerated", "labels")
    )
    measured = [stage for stage in found if stage.stage.conventional_years]
    configured = settings.node_hours_per_model_year
    table: dict[str, dict[str, float | None]] = {}
    for unit in _OF_A_YEAR:
        price = _measured(measured, unit) if configured is None else _configured(settings, unit)
        elsewhere = 0.0 if not years_elsewhere else _product(price, years_elsewhere)
        without = _sum([elsewhere, *(getattr(stage, unit) for stage in accelerated)])
        with_labels = _sum([without, *(getattr(stage, unit) for stage in labels)]) if labels_made else None
        table[unit] = {
            "per_model_year": price,
            "conventional": _product(price, years),
            "without_labels": without,
            "with_labels": with_labels,
        }
    common = next((unit for unit in _OF_A_YEAR if None not in _compared(table[unit])), None)
    ways = ("without_labels", "with_labels")
    return {
        "years": years,
        "years_elsewhere": years_elsewhere,
        "price": "configured" if configured is not None else "measured" if measured else None,
        **table,
        "ratio": {
            "unit": common,
            **{
                way: None if common is None else ratio_of(table[common]["conventional"], table[common][way])
                for way in ways
            },
        },
    }


def _compared(row: Mapping[str, float | None]) -> tuple[float | None, float | None]:
    return row["conventional"], row["without_labels"]


def _configured(settings: CostSettings, unit: str) -> float | None:
    price = settings.node_hours_per_model_year
    return price if unit == "node_hours" else _product(price, settings.cores_per_node)


def _measured(stages: Sequence[StageHours], unit: str) -> float | None:
    """Hours per model year of the attempts that stand."""
    hours = _sum(getattr(stage, unit) for stage in stages)
    lost = sum(getattr(stage, f"lost_{unit}") or 0.0 for stage in stages)
    years = sum(stage.stage.conventional_years for stage in stages)
    return ratio_of(None if hours is None else hours - lost, years)


def _product(price: float | None, count: int | None) -> float | None:
    return None if price is None or count is None else price * count


def hours_text(hours: float | None) -> str:
    """Hours for a person: three digits of a few, whole ones of many; a dash for what is not known."""
    if hours is None:
        return "–"
    return f"{hours:,.0f}" if hours >= 100.0 else f"{hours:.3g}"
