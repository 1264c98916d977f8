"""Experiments of the surrogate side by side: skill of every training, mean and spread over its seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pandas as pd
from pydantic import ValidationError

from phase_lib.base.errors import InputError
from phase_lib.base.files import write_json
from phase_lib.base.progress import LOGGER
from phase_lib.base.provenance import code_version
from phase_lib.config.experiments import OWN, SHARED
from phase_lib.config.surrogate import SurrogateSettings
from phase_lib.elm.netcdf import get_attribute, get_variable, open_dataset
from phase_lib.report.tables import write_tables
from phase_lib.surrogate.skill import BASELINES, Metrics, skill_table

#: Metrics that are averaged over seeds; the number of values is the same for all.
METRICS = ("r2", "r2_pooled", "rmse", "nrmse", "median_abs_log_ratio")
IMBALANCE = "flux_imbalance_gc_m2_yr"
_KEYS = ["experiment", "split", "target"]


@dataclass(frozen=True)
class _Training:
    """What one network did on the test cells of a split.

    Attributes:
        experiment: its name.
        settings: its settings; empty for what is not trained.
        skill: target -> metrics.
        imbalance: root mean square of NPP - (GPP - AR), gC m-2 yr-1; None for what is not trained.
    """

    experiment: str
    settings: Mapping[str, Any]
    skill: Mapping[str, Metrics]
    imbalance: float | None


@dataclass(frozen=True)
class _TestFile:
    """What a test file holds: which cells, and the trainings."""

    path: Path
    split: str
    cells: tuple[str, bytes]
    trainings: list[_Training]


def compare_experiments(
    own: Sequence[str | Path], tests: Sequence[tuple[str, str | Path]], output_dir: str | Path
) -> dict[str, Any]:
    """Writes `comparison.json`, `skill.csv` (mean and spread over seeds) and `skill_by_seed.csv`.

    Args:
        own: the run's own test files, one for each split; all models in them take part.
        tests: experiment and test file of one of its trainings, in the order of the tables. More seeds of
            the run's own settings, or of a model in the run's files, come under its name.
        output_dir: where the files go.

    Returns:
        Content of `comparison.json`: `experiments` -> name -> `changes` (settings that differ from the
        run's), `seeds`, `skill` (split -> target -> metric -> mean and std) and the imbalance of the fluxes.
        The spread is the sample standard deviation, None for one seed.

    Raises:
        InputError: a file is unreadable, test files of one split have different cells, or trainings of one
            experiment differ in more than their seeds.
    """
    files = [_read(path, None) for path in own] + [_read(path, name) for name, path in tests]
    _require_same_cells(files)
    by_seed = _by_seed(files)
    skill = _over_seeds(by_seed)
    changes = _changes(files)
    content = {
        "spread": "sample standard deviation over seeds",
        "code_version": code_version(),
        "experiments": {
            str(name): {
                "changes": changes[str(name)],
                "seeds": sorted({int(seed) for seed in by_seed[by_seed.experiment == name].seed.dropna()}),
                **_nested(rows),
            }
            for name, rows in skill.groupby("experiment", sort=False)
        },
    }
    directory = Path(output_dir)
    write_tables(directory, {"skill": skill, "skill_by_seed": by_seed})
    write_json(directory / "comparison.json", content)
    for line in _lines(content):
        LOGGER.info("%s", line)
    return content


def _read(path: str | Path, experiment: str | None) -> _TestFile:
    """A test file; without the name of an experiment it is the run's, and its models have their own names."""
    with open_dataset(path) as dataset:
        split = str(get_attribute(path, dataset, "split"))
        cells = np.asarray(get_variable(path, dataset, "cell")[:])
        identity = str(get_attribute(path, dataset, "dataset_id"))
        trainings = [
            _training(path, dataset, model, experiment or model, skill)
            for model, skill in skill_table(path).items()
        ]
    if experiment is None and OWN not in {training.experiment for training in trainings}:
        raise InputError(path, f"holds no prediction of {OWN}", remedy="predict the test cells again")
    return _TestFile(Path(path), split, (identity, cells.tobytes()), trainings)


def _training(
    path: str | Path, dataset: netCDF4.Dataset, model: str, name: str, skill: Mapping[str, Metrics]
) -> _Training:
    if model in BASELINES:
        return _Training(name, {}, skill, None)
    try:
        settings = SurrogateSettings.model_validate_json(
            str(get_attribute(path, dataset, f"settings_{model}"))
        )
    except ValidationError as error:
        raise InputError(
            path, f"attribute settings_{model} is no settings of the surrogate", remedy="predict again"
        ) from error
    imbalance = float(get_attribute(path, dataset, f"flux_imbalance_{model}"))
    return _Training(name, settings.model_dump(mode="json"), skill, imbalance)


def _require_same_cells(files: Sequence[_TestFile]) -> None:
    known: dict[str, _TestFile] = {}
    for file in files:
        other = known.setdefault(file.split, file)
        if file.cells != other.cells:
            raise InputError(
                file.path,
                f"has other test cells than {other.path}",
                expected="one dataset and one split",
                remedy="predict the test cells of both again",
            )


def _by_seed(files: Sequence[_TestFile]) -> pd.DataFrame:
    """One row per experiment, split, target and seed."""
    rows = [
        {
            "experiment": training.experiment,
            "split": file.split,
            "target": target,
            "seed": training.settings.get("seed"),
            **metrics,
            IMBALANCE: training.imbalance,
        }
        for file in files
        for training in file.trainings
        for target, metrics in training.skill.items()
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


def _changes(files: Sequence[_TestFile]) -> dict[str, dict[str, Any]]:
    """Experiment -> settings that differ from the run's."""
    settings: dict[str, dict[str, Any]] = {}
    for file in files:
        for training in file.trainings:
            said = {key: value for key, value in training.settings.items() if key not in SHARED}
            if settings.setdefault(training.experiment, said) != said:
                raise InputError(
                    file.path,
                    f"has other settings than the other trainings of {training.experiment}",
                    expected="one experiment, which differs in its seeds alone",
                    remedy="train it again, or give it another name",
                )
    own = settings[OWN]
    return {
        name: {key: value for key, value in said.items() if value != own[key]}
        for name, said in settings.items()
    }


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


def _lines(content: Mapping[str, Any]) -> list[str]:
    """Means over the targets, one line for each experiment and split."""
    return [
        f"{name}, {split}: R2 {_mean(targets, 'r2')}, |ln ratio| {_mean(targets, 'median_abs_log_ratio')}"
        for name, experiment in content["experiments"].items()
        for split, targets in experiment["skill"].items()
    ]


def _mean(targets: Mapping[str, Any], metric: str) -> str:
    known = [found[metric]["mean"] for found in targets.values() if found[metric]["mean"] is not None]
    return f"{np.mean(known):.3f}" if known else "-"


def describe_changes(changes: Mapping[str, Any]) -> str:
    """What an experiment changes, in one line."""
    texts = (
        f"{key}: {', '.join(value) or 'none' if isinstance(value, list) else value}"
        for key, value in changes.items()
    )
    return "; ".join(texts)
