"""What the run cost, from the benchmark tables of its stages."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

from phase_lib.base.errors import InputError
from phase_lib.base.files import require_file

Role = Literal["inputs", "accelerated", "labels", "verification"]

#: What a stage's cost counts as.
ROLES: dict[Role, str] = {
    "inputs": "making the world and its forcing",
    "accelerated": "the accelerated spin-up: AD years before injection, surrogate, injection, stabilisation",
    "labels": "the rest of the reference run, which gives the labels",
    "verification": "control, random split, test cells, verdict, report",
}


@dataclass(frozen=True)
class StageCost:
    """Cost of one stage.

    Attributes:
        stage: name of the rule, with its wildcards.
        seconds: wall-clock time.
        core_seconds: cores held x wall-clock time; where the table does not say how many cores were held,
            the larger of CPU time and wall-clock time.
        role: what it counts as.
    """

    stage: str
    seconds: float
    core_seconds: float
    role: Role


def role_of(stage: str, input_year: int) -> Role:
    """Role of a stage; the AD run up to the input year is part of the accelerated spin-up."""
    patterns: tuple[tuple[str, Role], ...] = (
        ("make_world", "inputs"),
        (f"run_ad_{input_year:04d}", "accelerated"),
        ("run_ad_*", "labels"),
        ("run_reference_*", "labels"),
        ("*control*", "verification"),
        ("*paper*", "verification"),
        ("*[-_]random", "verification"),
        ("predict_test_cells*", "verification"),
        ("judge_equilibrium", "verification"),
        ("write_report", "verification"),
    )
    return next((role for pattern, role in patterns if fnmatchcase(stage, pattern)), "accelerated")


def read_costs(directory: Path, input_year: int) -> list[StageCost]:
    """Reads every benchmark table (`<stage>.tsv`) of a run, in the order in which they were finished.

    Raises:
        InputError: a table has no column `s` or no row.
    """
    files = sorted(directory.glob("*.tsv"), key=lambda file: (file.stat().st_mtime, file.name))
    return [_read_cost(file, role_of(file.stem, input_year)) for file in files]


def _read_cost(path: Path, role: Role) -> StageCost:
    with require_file(path).open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))
    if not rows or "s" not in rows[0]:
        raise InputError(path, "is no benchmark table", expected="a column s and one row per repeat")
    seconds = sum(float(row["s"]) for row in rows)
    return StageCost(path.stem, seconds, sum(_core_seconds(row) for row in rows), role)


def compared(ratio: float, less: str = "less") -> str:
    """Says how many times less (or `less`), or more, a cost is than what it is compared with.

    Args:
        ratio: what it is compared with / the cost.
        less: `fewer` for what is counted.
    """
    times, word = (ratio, less) if ratio >= 1.0 else (1.0 / ratio, "more")
    number = f"{times:,.1f}".removesuffix(".0")
    return "the same" if number == "1" else f"{number} times {word}"


def _core_seconds(row: dict[str, str]) -> float:
    seconds = float(row["s"])
    if "threads" in row:
        return seconds * float(row["threads"])
    try:
        sampled = float(row.get("cpu_time", ""))
    except ValueError:  # "-" or "NA": the job ended before the first sample
        sampled = 0.0
    # CPU time is sampled, every half minute in long jobs, so that the last part of a job is missing;
    # a job holds at least one core all the time.
    return max(sampled, seconds)


def cost_summary(
    costs: Sequence[StageCost], *, conventional_years: int, input_years: int, stabilisation_years: int
) -> dict[str, Any]:
    """The `cost` section of the summary.

    The labels come from a conventional run of the same domain, so that this run as a whole was not
    cheaper than a conventional one: the gain is for every further domain or run that the trained
    surrogate serves. The numbers say both.
    """
    accelerated = input_years + stabilisation_years
    roles: dict[str, float] = {
        role: sum(cost.core_seconds for cost in costs if cost.role == role) for role in ROLES
    }
    conventional = sum(
        cost.core_seconds for cost in costs if cost.stage.startswith(("run_ad_", "run_reference_"))
    )
    return {
        "integration_years": {
            "conventional": conventional_years,
            "before_injection": input_years,
            "with_stabilisation": accelerated,
            "labels": conventional_years,
        },
        "ratio": {
            "before_injection": conventional_years / input_years,
            "with_stabilisation": conventional_years / accelerated,
        },
        "core_seconds": {cost.stage: cost.core_seconds for cost in costs},
        "core_seconds_by_role": roles,
        "core_seconds_conventional": conventional,
        "core_seconds_total": sum(roles.values()),
        "ratio_core_seconds": conventional / roles["accelerated"] if roles["accelerated"] else None,
    }
