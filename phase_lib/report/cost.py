"""What the run cost, from the benchmark tables of its stages."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from phase_lib.base.errors import InputError
from phase_lib.base.files import read_json, require_file

Role = Literal["inputs", "accelerated", "labels", "verification"]

#: What a stage's cost counts as.
ROLES: dict[Role, str] = {
    "inputs": "making the world and its forcing",
    "accelerated": "the accelerated spin-up: forcing and records of the target, surrogate, injection, and "
    "the land model before and after injection where it is run here",
    "labels": "what only training needs: the rest of the reference run, other domains' forcing and records",
    "verification": "checks of the inputs, control, random split, test cells, experiments, verdict, report",
}


@dataclass(frozen=True)
class Stage:
    """A stage of the run, as its rule describes it.

    Attributes:
        name: of the rule, with its wildcards; its benchmark table is called after it.
        rule: name of the rule; segments of a land-model run share one.
        role: what its cost counts as.
        conventional_years: model years that it did of the target's conventional spin-up.
    """

    name: str
    rule: str
    role: Role
    conventional_years: int = 0


@dataclass(frozen=True)
class StageCost:
    """Cost of one stage.

    Attributes:
        stage: which.
        seconds: wall-clock time.
        core_seconds: cores held x wall-clock time; where the table does not say how many cores were held,
            the larger of CPU time and wall-clock time.
        gpus: GPUs held, where the table says.
    """

    stage: Stage
    seconds: float
    core_seconds: float
    gpus: int = 0


def read_plan(path: Path) -> dict[str, Stage]:
    """Reads the stages of a run by name: `{"stages": {NAME: {"rule": ..., "role": ...}, ...}}`.

    Raises:
        InputError: the file is missing, or does not describe stages so.
    """
    stages = read_json(path).get("stages")
    try:
        plan = {name: Stage(name, **facts) for name, facts in dict(stages or {}).items()}
    except (TypeError, ValueError):
        plan = {}
    if not plan or not all(stage.role in ROLES for stage in plan.values()):
        raise InputError(
            path,
            "does not name the stages of the run with their roles",
            expected=f'{{"stages": {{NAME: {{"rule": ..., "role": one of {", ".join(ROLES)}}}}}}}',
            remedy="start the workflow again, which writes it",
        )
    return plan


def read_costs(directory: Path, plan: Mapping[str, Stage]) -> list[StageCost]:
    """Reads the benchmark tables (`<stage>.tsv`) of a run, in the order in which they were finished.

    Args:
        directory: of the tables.
        plan: stages of the run by name; tables of others are left over from another configuration in the
            same directory.

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
    """Says how many times less (or `less`), or more, a cost is than what it is compared with.

    Args:
        ratio: what it is compared with / the cost.
        less: `fewer` for what is counted.
    """
    times, word = (ratio, less) if ratio >= 1.0 else (1.0 / ratio, "more")
    number = f"{times:,.1f}".removesuffix(".0")
    return "the same" if number == "1" else f"{number} times {word}"


def _asked(row: dict[str, str], resource: str, otherwise: int) -> int:
    """A number in the column `resources`, which holds `{'mem_mb': 4000, 'gpu': 1}`."""
    found = re.search(rf"'{resource}': (\d+)", row.get("resources") or "")
    return int(found[1]) if found else otherwise


def _core_seconds(row: dict[str, str]) -> float:
    seconds = float(row["s"])
    if "threads" in row:
        # A training over several nodes has a task on each, with so many threads.
        return seconds * float(row["threads"]) * _asked(row, "tasks", 1)
    try:
        sampled = float(row.get("cpu_time", ""))
    except ValueError:  # "-" or "NA": the job ended before the first sample
        sampled = 0.0
    # CPU time is sampled, every half minute in long jobs, so that the last part of a job is missing;
    # a job holds at least one core all the time.
    return max(sampled, seconds)


def cost_summary(
    costs: Sequence[StageCost],
    *,
    conventional_years: int | None,
    input_years: int,
    stabilisation_years: int | None,
    label_years: int | None,
) -> dict[str, Any]:
    """The `cost` section of the summary; None for what this run does not know.

    The labels come from a conventional run, so that a run that makes its own was not cheaper than a
    conventional one: the gain is for every further domain or run that the trained surrogate serves. The
    numbers say both.

    Args:
        costs: of the stages.
        conventional_years: AD and normal years of the target's conventional spin-up; None where the target
            was not run here.
        input_years: years of its AD run before injection.
        stabilisation_years: normal years run after injection; None where none were.
        label_years: years of the runs that gave the labels; None where those were given.
    """
    roles: dict[str, float] = {
        role: sum(cost.core_seconds for cost in costs if cost.stage.role == role) for role in ROLES
    }
    accelerated = None if stabilisation_years is None else input_years + stabilisation_years
    conventional = None
    if conventional_years is not None:
        conventional = sum(cost.core_seconds for cost in costs if cost.stage.conventional_years)
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
    """How many times the part is in the whole; None where one of them is not known or the part is nothing."""
    return whole / part if whole is not None and part else None
