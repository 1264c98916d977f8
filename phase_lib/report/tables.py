"""The tables of the report, as data frames and CSV files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from phase_lib.base.files import writing
from phase_lib.elm.constants import PFT_NAMES
from phase_lib.surrogate.skill import TestSet


def skill_frame(skill: Mapping[str, Any]) -> pd.DataFrame:
    """One row per split, variable and model with all metrics."""
    return pd.DataFrame(
        [
            {"split": split, "target": target, "model": model, **metrics}
            for split, models in skill.items()
            for model, targets in models.items()
            for target, metrics in targets.items()
        ]
    )


def verdict_frame(verdict: Mapping[str, Any]) -> pd.DataFrame:
    """One row per run, set of cells and criterion."""
    return pd.DataFrame(
        [
            {
                "run": run,
                "cells": cells,
                "criterion": name,
                **{
                    key: criterion[key]
                    for key in ("value", "threshold", "units", "holds", "prescribed", "years_until")
                },
            }
            for run, subsets in verdict["runs"].items()
            for cells, numbers in subsets.items()
            for name, criterion in numbers["criteria"].items()
        ]
    )


def zones_frame(verdict: Mapping[str, Any]) -> pd.DataFrame:
    """One row per run and climate zone, all cells."""
    return pd.DataFrame(
        [
            {"run": run, "zone": zone, **numbers}
            for run, subsets in verdict["runs"].items()
            for zone, numbers in subsets["all_cells"]["zones"].items()
        ]
    )


def cost_frame(summary: Mapping[str, Any]) -> pd.DataFrame:
    """One row per stage: wall-clock time, core-seconds and what they count as."""
    seconds, cost = summary["run"]["seconds"], summary["cost"]
    return pd.DataFrame(
        [
            {
                "stage": stage,
                "seconds": seconds[stage],
                "core_seconds": cost["core_seconds"][stage],
                "counts_as": cost["roles"][stage],
            }
            for stage in seconds
        ],
        columns=["stage", "seconds", "core_seconds", "counts_as"],
    )


def hours_frame(summary: Mapping[str, Any]) -> pd.DataFrame:
    """One row per rule and what its stages count as: jobs, attempts and hours."""
    return pd.DataFrame(summary["cost"]["hours"]["rules"])


def domains_frame(summary: Mapping[str, Any]) -> pd.DataFrame:
    """One row per domain: how many cells it has, and what they served for."""
    return pd.DataFrame([{"domain": name, **counts} for name, counts in summary["domain"]["domains"].items()])


def changes_frame(diff: Mapping[str, Any]) -> pd.DataFrame:
    """One row per variable that injection changed."""
    return pd.DataFrame([{"variable": name, **change} for name, change in diff["variables_changed"].items()])


def columns_frame(tests: Mapping[str, TestSet]) -> pd.DataFrame:
    """R2 per PFT and per layer: one row per split, variable and PFT or layer, one column per model."""
    frames = []
    for split, test in tests.items():
        for cells in map(test.variable, test.names):
            columns = PFT_NAMES if cells.patch else [f"layer {i + 1}" for i in range(cells.truth.shape[1])]
            scores = {f"r2_{model}": cells.r2_by_column(model) for model in cells.predictions}
            first = {"split": split, "target": cells.name, "column": columns, "n": cells.mask.sum(axis=0)}
            frames.append(pd.DataFrame(first | scores))
    return pd.concat(frames, ignore_index=True)


def write_tables(directory: Path, frames: Mapping[str, pd.DataFrame]) -> None:
    """Writes each frame as `<name>.csv`; what is absent is an empty field."""
    for name, frame in frames.items():
        with writing(directory / f"{name}.csv") as temporary:
            frame.to_csv(temporary, index=False)
