"""Comparison of experiments of the surrogate: skill of each, mean and spread over its seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from phase_lib.base.errors import InputError
from phase_lib.base.files import write_json
from phase_lib.base.progress import LOGGER
from phase_lib.base.provenance import code_version
from phase_lib.config.experiments import OWN, SHARED
from phase_lib.elm.variables import HEADLINE
from phase_lib.report.tables import write_tables
from phase_lib.surrogate.skill import Model, TestSet, read_tests

#: Metrics that are averaged over seeds; the number of values is the same for all.
METRICS = ("r2", "r2_pooled", "rmse", "nrmse", "median_abs_log_ratio")
IMBALANCE = "flux_imbalance_gc_m2_yr"
_KEYS = ["experiment", "split", "target"]


def compare_experiments(
    run: Sequence[str | Path], tests: Sequence[str | Path], output_dir: str | Path
) -> dict[str, Any]:
    """Writes `comparison.json`, `skill.csv` (mean and spread over seeds) and `skill_by_seed.csv`.

    Args:
        run: test files of the run, one for each split; all models in them are compared.
        tests: test files of further trainings, in the order of the tables, also of further seeds of the run.
        output_dir: where the files go.

    Returns:
        Content of `comparison.json`: `experiments` -> name -> `label`, `trained`, `changes` (settings that
        differ from the run's), `seeds`, `skill` (split -> variable -> metric -> mean and std) and the
        imbalance of the fluxes.
        The spread is the sample standard deviation, None for one seed.

    Raises:
        InputError: a file is unreadable, test files of one split have different cells, or trainings of one
            experiment differ in more than their seeds.
    """
    files = [read_tests([path]) for path in (*run, *tests)]
    for file in files[: len(run)]:
        file.require_model(OWN)
    by_split: dict[str, TestSet] = {}
    for file in files:
        by_split.setdefault(file.split, file).require_same_cells(file)
    models = [(file, model) for file in files for model in file.models.values()]
    by_seed = _by_seed(files)
    skill = _over_seeds(by_seed)
    changes = _changes(models)
    described = {model.name: {"label": model.label, "trained": model.trained} for _, model in models}
    content: dict[str, Any] = {
        "spread": "sample standard deviation over seeds",
        "code_version": code_version(),
        "experiments": {
            str(name): {
                **described[str(name)],
                "changes": changes[str(name)],
                "seeds": sorted({int(seed) for seed in by_seed[by_seed.experiment == name].seed.dropna()}),
                **_nested(rows),
            }
            for name, rows in skill.groupby("experiment", sort=False)
        },
    }
    write_tables(Path(output_dir), {"skill": skill, "skill_by_seed": by_seed})
    write_json(Path(output_dir) / "comparison.json", content)
    for name, experiment in content["experiments"].items():
        for split, targets in experiment["skill"].items():
            r2, ratio = _mean(targets, "r2"), _mean(targets, "median_abs_log_ratio")
            LOGGER.info("%s, %s: R2 %s, |ln ratio| %s", name, split, r2, ratio)
    return content


def _by_seed(files: Sequence[TestSet]) -> pd.DataFrame:
    """One row per experiment, split, variable and seed."""
    rows = [
        {
            "experiment": name,
            "split": file.split,
            "target": target,
            "seed": file.models[name].settings.get("seed"),
            **metrics,
            IMBALANCE: file.models[name].imbalance,
        }
        for file in files
        for name, variables in file.skill().items()
        for target, metrics in variables.items()
    ]
    frame = pd.DataFrame(rows).astype({"seed": "Int64", **dict.fromkeys((*METRICS, IMBALANCE), float)})
    twice = frame[frame.duplicated([*_KEYS, "seed"])]
    if len(twice):
        row = twice.iloc[0]
        raise InputError(
            None, f"two test files are of {row.experiment}, seed {row.seed}, {row.split} split; give one"
        )
    return frame


def _over_seeds(by_seed: pd.DataFrame) -> pd.DataFrame:
    """One row per experiment, split and target: number of seeds, mean and spread of every metric."""
    groups = by_seed.groupby(_KEYS, sort=False)
    columns = {"seeds": groups.seed.count(), "n": groups.n.first()}
    for metric in (*METRICS, IMBALANCE):
        columns |= {f"{metric}_mean": groups[metric].mean(), f"{metric}_std": groups[metric].std()}
    return pd.DataFrame(columns).reset_index()


def _changes(models: Sequence[tuple[TestSet, Model]]) -> dict[str, dict[str, Any]]:
    """Experiment -> settings that differ from the run's; `section.key` for those of a section."""
    settings: dict[str, dict[str, Any]] = {}
    for file, model in models:
        shared = _flat({key: value for key, value in model.settings.items() if key not in SHARED})
        if settings.setdefault(model.name, shared) != shared:
            what = f"has other settings than the other trainings of {model.name}"
            expected, remedy = "settings that differ in the seed alone", "train again, or use another name"
            raise InputError(file.path, what, expected=expected, remedy=remedy)
    run = settings[OWN]
    return {
        name: {key: value for key, value in others.items() if run.get(key) != value}
        for name, others in settings.items()
    }


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    sections = {key: value for key, value in settings.items() if isinstance(value, Mapping)}
    inner = {f"{key}.{name}": value for key, section in sections.items() for name, value in section.items()}
    return {key: value for key, value in settings.items() if key not in sections} | inner


def _nested(rows: pd.DataFrame) -> dict[str, Any]:
    """`skill` (split -> target -> metric -> mean and std) and the imbalance by split, of one experiment."""
    skill: dict[str, Any] = {}
    imbalance = {}
    for row in rows.to_dict("records"):
        metrics = {metric: _mean_and_std(row, metric) for metric in METRICS}
        skill.setdefault(row["split"], {})[row["target"]] = metrics | {"n": row["n"]}
        imbalance[row["split"]] = _mean_and_std(row, IMBALANCE)
    return {"skill": skill, IMBALANCE: imbalance}


def _mean_and_std(row: Mapping[Any, Any], metric: str) -> dict[str, float | None]:
    return {
        name: None if pd.isna(row[f"{metric}_{name}"]) else float(row[f"{metric}_{name}"])
        for name in ("mean", "std")
    }


def _mean(targets: Mapping[str, Any], metric: str) -> str:
    """Mean over the headline variables."""
    means = [targets[name][metric]["mean"] for name in HEADLINE if name in targets]
    known = [mean for mean in means if mean is not None]
    return f"{np.mean(known):.3f}" if known else "-"


def repeats_skill(summary: Mapping[str, Any]) -> bool:
    """True for at most one experiment beside the run, with one seed: the skill of the summary has it too."""
    experiments = summary["experiments"]
    few = sum(one["trained"] for one in experiments.values()) <= 2
    seen = experiments.keys() <= summary["models"].keys()
    return few and seen and all(len(one["seeds"]) <= 1 for one in experiments.values())


def describe_changes(changes: Mapping[str, Any]) -> str:
    """The settings that an experiment changes, in one line."""
    texts = (
        f"{key}: {', '.join(value) or 'none' if isinstance(value, list) else value}"
        for key, value in changes.items()
    )
    return "; ".join(texts)
