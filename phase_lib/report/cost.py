"""Cost of the run: core-seconds from benchmark tables; node-hours and GPU-hours also from SLURM."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from phase_lib.base.errors import InputError
from phase_lib.base.files import read_json, require_file
from phase_lib.config.run import CostSettings
from phase_lib.report.accounting import Attempt, Records, SlurmJob

Role = Literal["inputs", "accelerated", "labels", "verification"]

_HOUR = 3600.0
#: Unit of hours -> what is counted.
UNITS = {"node_hours": "node", "core_hours": "core", "gpu_hours": "GPU"}
#: Units in which a model year has a price, the preferred one first.
_OF_A_YEAR = ("node_hours", "core_hours")
_ADDED = ("attempts", *UNITS, *(f"lost_{unit}" for unit in UNITS))

#: An attempt, and the share of it that belongs to one stage: all of it, or a part of a group's.
_Run = tuple[Attempt, float]

#: Roles of the cost of a stage.
ROLES: dict[Role, str] = {
    "inputs": "making the world and its forcing",
    "accelerated": "the accelerated spin-up: forcing and records of the target, surrogate, injection, and "
    "the land model before and after injection where it is run here",
    "labels": "what only training needs: the rest of the reference run, other domains' forcing and records",
    "verification": "checks, control, random split, test cells, experiments, verdict, report",
}


@dataclass(frozen=True)
class Stage:
    """A stage of the run, as its rule describes it.

    Attributes:
        name: of the rule, with its wildcards; its benchmark table is called after it.
        rule: name of the rule; segments of a land-model run share one.
        role: key of `ROLES`.
        conventional_years: model years of the target's conventional spin-up that it ran.
        round: of the injected run, for which it ran (0: the schedule).
    """

    name: str
    rule: str
    role: Role
    conventional_years: int = 0
    round: int = 0


@dataclass(frozen=True)
class StageCost:
    """Cost of one stage.

    Attributes:
        stage: which.
        seconds: wall-clock time.
        core_seconds: cores held x wall-clock time; the larger of CPU time and wall-clock time where the
            table does not have the number of cores.
        gpus: GPUs held, where the table has their number.
    """

    stage: Stage
    seconds: float
    core_seconds: float
    gpus: int = 0


def read_plan(path: Path, rounds: int = 1) -> dict[str, Stage]:
    """Reads the stages of a run by name: `{"stages": {NAME: {"rule": ..., "role": ...}, ...}}`.

    Args:
        path: JSON.
        rounds: of the injected run; stages of further rounds did not run.

    Raises:
        InputError: the file is missing, or does not describe stages so.
    """
    stages = read_json(path).get("stages")
    try:
        plan = {name: Stage(name, **facts) for name, facts in dict(stages or {}).items()}
    except (TypeError, ValueError):
        plan = {}
    if not plan or not all(stage.role in ROLES for stage in plan.values()):
        what = "does not name the stages of the run with their roles"
        expected = f'{{"stages": {{NAME: {{"rule": ..., "role": one of {", ".join(ROLES)}}}}}}}'
        raise InputError(path, what, expected=expected, remedy="start the workflow again, which writes it")
    return {name: stage for name, stage in plan.items() if stage.round < rounds}


def read_costs(directory: Path, plan: Mapping[str, Stage]) -> list[StageCost]:
    """Reads the benchmark tables (`<stage>.tsv`) of a run's stages, in the order in which they were finished.

    Tables of other stages in the directory are left over from another configuration.

    Raises:
        InputError: a table has no column `s` or no row.
    """
    files = [file for file in directory.glob("*.tsv") if file.stem in plan]
    files.sort(key=lambda file: (file.stat().st_mtime, file.name))
    return [_read_cost(file, plan[file.stem]) for file in files]


def _read_cost(path: Path, stage: Stage) -> StageCost:
    with require_file(path).open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))
    if not rows or "s" not in rows[0]:
        raise InputError(path, "is no benchmark table", expected="a column s and one row per repeat")
    seconds, core_seconds = sum(float(row["s"]) for row in rows), sum(map(_core_seconds, rows))
    return StageCost(stage, seconds, core_seconds, _asked(rows[0], "gpu", 0))


def compared(ratio: float, less: str = "less") -> str:
    """How many times less (or `less`, such as `fewer`), or more, a cost is: `3 times less`.

    Args:
        ratio: the other cost / this cost.
        less: the word for less.
    """
    times, word = (ratio, less) if ratio >= 1.0 else (1.0 / ratio, "more")
    number = f"{times:,.1f}".removesuffix(".0")
    return "the same" if number == "1" else f"{number} times {word}"


def _asked(row: dict[str, str], resource: str, otherwise: int) -> int:
    """A number in the column `resources`, which holds `{'mem_mb': 4000, 'gpu': 1}`."""
    match = re.search(rf"'{resource}': (\d+)", row.get("resources") or "")
    return int(match[1]) if match else otherwise


def _core_seconds(row: dict[str, str]) -> float:
    seconds = float(row["s"])
    if "threads" in row:
        # A training over several nodes has a task on each, with this number of threads.
        return seconds * float(row["threads"]) * _asked(row, "tasks", 1)
    try:
        sampled = float(row.get("cpu_time", ""))
    except ValueError:  # "-" or "NA": the job ended before the first sample
        sampled = 0.0
    # CPU time is sampled, every half minute in long jobs: the last part of a job is missing. A job holds at
    # least one core all the time.
    return max(sampled, seconds)


def cost_summary(
    costs: Sequence[StageCost],
    *,
    conventional_years: int | None,
    input_years: int,
    stabilisation_years: int | None,
    label_years: int | None,
) -> dict[str, Any]:
    """The `cost` section of the summary; None for numbers that this run does not have.

    The labels come from a conventional run: a run that makes its labels is not cheaper than a conventional
    one. The gain is for each further domain or run for which the trained surrogate is used.

    Args:
        costs: of the stages.
        conventional_years: AD and normal years of the target's conventional spin-up; None where the target
            was not run here.
        input_years: years of its AD run before injection.
        stabilisation_years: normal years run after injection; None where there were none.
        label_years: years of the runs that made the labels; None where labels were given.
    """
    roles: dict[str, float] = {
        role: sum(cost.core_seconds for cost in costs if cost.stage.role == role) for role in ROLES
    }
    accelerated = None if stabilisation_years is None else input_years + stabilisation_years
    spin_up = [cost.core_seconds for cost in costs if cost.stage.conventional_years]
    conventional = sum(spin_up) if spin_up else None
    return {
        "integration_years": {
            "conventional": conventional_years,
            "before_injection": input_years,
            "with_stabilisation": accelerated,
            "labels": label_years,
        },
        "ratio": {
            "before_injection": ratio_of(conventional_years, input_years),
            "with_stabilisation": ratio_of(conventional_years, accelerated),
        },
        "core_seconds": {cost.stage.name: cost.core_seconds for cost in costs},
        "roles": {cost.stage.name: cost.stage.role for cost in costs},
        "core_seconds_by_role": roles,
        "core_seconds_conventional": conventional,
        "core_seconds_total": sum(roles.values()),
        "ratio_core_seconds": ratio_of(conventional, roles["accelerated"]),
    }


def ratio_of(whole: float | None, part: float | None) -> float | None:
    """Whole / part; None where one of them is not known or the part is 0."""
    return whole / part if whole is not None and part else None


@dataclass(frozen=True)
class StageHours:
    """Hours of one stage; None for what its source does not know.

    Attributes:
        stage: which.
        source: SLURM's records, or the benchmark table where they have nothing.
        attempts: how often SLURM ran it.
        node_hours: hours x nodes, shared or not; of a benchmark core-hours / cores of a node.
        core_hours, gpu_hours: hours x cores or GPUs that it held.
        lost_node_hours, lost_core_hours, lost_gpu_hours: the part of these in attempts that failed, were
            cancelled or whose product was made again.
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
    """Hours of each stage of the plan that has a benchmark table or SLURM's records."""
    tables = {cost.stage.name: cost for cost in costs}
    runs: dict[str, list[_Run]] = {}
    for job in jobs:
        for stage, share in _shares(job, tables).items():
            attempts = records.attempts.get(job.job, [])
            runs.setdefault(stage, []).extend((attempt, share) for attempt in attempts)
    stages = []
    for name in (name for name in dict.fromkeys([*tables, *runs]) if name in plan):
        if attempts_of_stage := sorted(runs.get(name, []), key=lambda run: run[0].start):
            stages.append(_recorded(plan[name], attempts_of_stage, tables.get(name)))
        elif name in tables:
            stages.append(_benchmarked(tables[name], cores_per_node))
    return stages


def _shares(job: SlurmJob, tables: Mapping[str, StageCost]) -> dict[str, float]:
    """Share of each stage in a job: that of its core-seconds, where those of all are known."""
    measured = {stage: tables[stage].core_seconds for stage in job.stages if stage in tables}
    weights = measured if len(measured) == len(set(job.stages)) else dict.fromkeys(job.stages, 1.0)
    whole = sum(weights.values())
    return {stage: weight / whole for stage, weight in weights.items()} if whole else {}


def _recorded(stage: Stage, runs: Sequence[_Run], table: StageCost | None) -> StageHours:
    standing = [attempt for attempt, _ in runs if attempt.stands]
    # A group may fail after this stage was done.
    kept = standing[-1] if standing else (runs[-1][0] if table else None)
    gpus = table.gpus if table else 0
    hours = _hours(runs, gpus)
    lost = _hours([run for run in runs if run[0] is not kept], gpus)
    return StageHours(stage, "slurm", len(runs), *hours, *lost)


def _hours(runs: Iterable[_Run], gpus: int) -> tuple[float, float, float]:
    """Node-hours, core-hours and GPU-hours; `gpus` counts where SLURM does not record GPUs."""
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


def hours_summary(hours: Sequence[StageHours], jobs: Sequence[SlurmJob], records: Records) -> dict[str, Any]:
    """The section `cost.hours` of the summary: source, notes, a row per rule and role, roles and total."""
    rules: dict[tuple[str, Role], list[StageHours]] = {}
    for stage in hours:
        rules.setdefault((stage.stage.rule, stage.stage.role), []).append(stage)
    return {
        "source": "slurm" if any(stage.source == "slurm" for stage in hours) else "benchmarks",
        "notes": _notes(hours, jobs, records),
        "rules": [
            {"rule": rule, "counts_as": role, "jobs": len(stages), **_added(stages)}
            for (rule, role), stages in rules.items()
        ],
        "by_role": {role: _added([stage for stage in hours if stage.stage.role == role]) for role in ROLES},
        "total": _added(hours),
    }


def _added(stages: Sequence[StageHours]) -> dict[str, float | None]:
    return {name: _sum(getattr(stage, name) for stage in stages) for name in _ADDED}


def _sum(values: Iterable[float | None]) -> float | None:
    """Sum of the values; None where one of them is not known."""
    numbers = list(values)
    known = [number for number in numbers if number is not None]
    return sum(known) if len(known) == len(numbers) else None


def _notes(hours: Sequence[StageHours], jobs: Sequence[SlurmJob], records: Records) -> list[str]:
    """Sentences about the source of the hours."""
    notes = []
    benchmarked = sum(stage.source == "benchmarks" for stage in hours)
    if records.missing is not None:
        notes.append(f"There are no records of SLURM: {records.missing}. All hours are from benchmarks.")
    elif jobs and benchmarked:
        notes.append(f"SLURM has no record of {benchmarked} of {len(hours)} stages: benchmarks instead.")
    attempts = [attempt for runs in records.attempts.values() for attempt in runs]
    if attempts and all(attempt.gpus is None for attempt in attempts):
        remedy = "they need AccountingStorageTRES=gres/gpu"
        notes.append(f"SLURM recorded no GPUs ({remedy}): GPU-hours are those that the stages asked for.")
    if any(stage.node_hours is None for stage in hours):
        notes.append("Without SLURM's records node-hours need cost.cores_per_node, which is not set.")
    return notes


def spin_up_summary(
    hours: Sequence[StageHours],
    settings: CostSettings,
    *,
    years: int,
    years_elsewhere: int,
    labels_made: bool,
) -> dict[str, Any]:
    """The section `cost.spin_up` of the summary: the conventional spin-up of the target, and PHASE's.

    PHASE's is the accelerated spin-up with all its attempts, with the labels and without. Making the world
    and verification are part of neither. A number is None where a part of it is not known.

    Args:
        hours: of all stages. Where no price of a model year is configured, it is that of the stages that ran
            years of the target's conventional spin-up, without lost attempts.
        settings: with the price of a model year, where it is configured.
        years: of the conventional spin-up.
        years_elsewhere: model years of PHASE's spin-up that are run elsewhere, at the price of a year.
        labels_made: True where all labels were made in this run, so that their cost is known.
    """
    accelerated, labels = (
        [stage for stage in hours if stage.stage.role == role] for role in ("accelerated", "labels")
    )
    measured = [stage for stage in hours if stage.stage.conventional_years]
    configured = settings.node_hours_per_model_year
    table: dict[str, dict[str, float | None]] = {}
    for unit in _OF_A_YEAR:
        price = _measured(measured, unit) if configured is None else configured
        if configured is not None and unit == "core_hours":
            price = _product(configured, settings.cores_per_node)
        elsewhere = 0.0 if not years_elsewhere else _product(price, years_elsewhere)
        without = _sum([elsewhere, *(getattr(stage, unit) for stage in accelerated)])
        with_labels = _sum([without, *(getattr(stage, unit) for stage in labels)]) if labels_made else None
        table[unit] = {
            "per_model_year": price,
            "conventional": _product(price, years),
            "without_labels": without,
            "with_labels": with_labels,
        }
    both = ("conventional", "without_labels")
    common = next((unit for unit in _OF_A_YEAR if all(table[unit][way] is not None for way in both)), None)
    row: dict[str, float | None] = table.get(common or "", {})
    ways = ("without_labels", "with_labels")
    return {
        "years": years,
        "years_elsewhere": years_elsewhere,
        "price": "configured" if configured is not None else "measured" if measured else None,
        **table,
        "ratio": {"unit": common} | {way: ratio_of(row.get("conventional"), row.get(way)) for way in ways},
    }


def _measured(stages: Sequence[StageHours], unit: str) -> float | None:
    """Hours per model year, without lost attempts."""
    hours = _sum(getattr(stage, unit) for stage in stages)
    lost = sum(getattr(stage, f"lost_{unit}") or 0.0 for stage in stages)
    years = sum(stage.stage.conventional_years for stage in stages)
    return ratio_of(None if hours is None else hours - lost, years)


def _product(price: float | None, count: int | None) -> float | None:
    return None if price is None or count is None else price * count


def hours_text(hours: float | None) -> str:
    """Hours in a text: three digits, whole numbers from 100 on; a dash where they are not known."""
    if hours is None:
        return "–"
    return f"{hours:,.0f}" if hours >= 100.0 else f"{hours:.3g}"
