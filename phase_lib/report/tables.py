"""The tables of the report, as data frames and CSV files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from phase_lib.base.files import writing
from phase_lib.elm.constants import PFT_NAMES
from phase_lib.elm.netcdf import get_attribute, get_variable
from phase_lib.elm.products import open_product
from phase_lib.equilibrium.verdict import ALL_CELLS
from phase_lib.surrogate.skill import TestSet

_CRITERION = ("value", "threshold", "units", "holds", "prescribed", "years_until")


def report_tables(
    summary: Mapping[str, Any],
    verdict: Mapping[str, Any] | None,
    diff: Mapping[str, Any],
    tests: Mapping[str, TestSet],
    predictions: Path,
) -> dict[str, pd.DataFrame]:
    """The tables of a run by name; those of the verdict where there is one.

    Args:
        summary: content of `summary.json`.
        verdict: content of `verdict.json`; None where the target was not run here.
        diff: sidecar of the injection.
        tests: split -> truth and predictions of its test cells.
        predictions: `predictions.nc`.

    Raises:
        InputError: the predictions lack a variable.
    """
    cost, seconds = summary["cost"], summary["run"]["seconds"]
    changes, domains = diff["variables_changed"], summary["domain"]["domains"]
    costs = [(stage, seconds[stage], cost["core_seconds"][stage], cost["roles"][stage]) for stage in seconds]
    frames = {
        "skill": pd.DataFrame(
            {"split": split, "target": target, "model": model, **metrics}
            for split, models in summary["skill"].items()
            for model, targets in models.items()
            for target, metrics in targets.items()
        ),
        "r2_by_pft_and_layer": _r2_by_column(tests),
        "domains": pd.DataFrame({"domain": name, **counts} for name, counts in domains.items()),
        "flagged_cells": _flagged_cells(predictions),
        "cost": pd.DataFrame(costs, columns=["stage", "seconds", "core_seconds", "counts_as"]),
        "hours": pd.DataFrame(cost["hours"]["rules"]),
        "variables_changed": pd.DataFrame({"variable": name, **change} for name, change in changes.items()),
    }
    if verdict is None:
        return frames
    runs = verdict["runs"]
    return frames | {
        "verdict": pd.DataFrame(
            {"run": run, "cells": cells, "criterion": name, **{key: criterion[key] for key in _CRITERION}}
            for run, subsets in runs.items()
            for cells, numbers in subsets.items()
            for name, criterion in numbers["criteria"].items()
        ),
        "zones": pd.DataFrame(
            {"run": run, "zone": zone, **numbers}
            for run, subsets in runs.items()
            for zone, numbers in subsets[ALL_CELLS]["zones"].items()
        ),
    }


def _r2_by_column(tests: Mapping[str, TestSet]) -> pd.DataFrame:
    """R2 per PFT and per layer: one row per split, variable and PFT or layer, one column per model."""
    frames = []
    for split, test in tests.items():
        for cells in test.variables(test.names):
            columns = PFT_NAMES if cells.patch else [f"layer {i + 1}" for i in range(cells.truth.shape[1])]
            scores = {f"r2_{model}": cells.r2_by_column(model) for model in cells.predictions}
            first = {"split": split, "target": cells.name, "column": columns, "n": cells.mask.sum(axis=0)}
            frames.append(pd.DataFrame(first | scores))
    return pd.concat(frames, ignore_index=True)


def _flagged_cells(predictions: Path) -> pd.DataFrame:
    """One row per flagged cell: its row in the restart from 1, place, score and reason."""
    names = ("ood_flag", "lat", "lon", "ood_score")
    with open_product(predictions, names) as dataset:
        flag, lat, lon, score = (get_variable(predictions, dataset, name).to_numpy() for name in names)
        threshold = float(get_attribute(predictions, dataset, "ood_threshold"))
    table = {"cell": np.arange(1, len(flag) + 1), "lat": lat, "lon": lon, "score": score}
    reason = np.where(np.isfinite(score), "out of distribution", "incomplete inputs")
    frame = pd.DataFrame(table | {"score_over_threshold": score / threshold, "reason": reason})
    return frame[flag != 0]


def write_tables(directory: Path, frames: Mapping[str, pd.DataFrame]) -> None:
    """Writes each frame as `<name>.csv`; absent values are empty fields."""
    for name, frame in frames.items():
        with writing(directory / f"{name}.csv") as temporary:
            frame.to_csv(temporary, index=False)
