"""Experiments fan out as jobs of their own, as many at a time as configured, and disturb nothing else."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest

from phase_lib.base.files import read_json
from tests.workflow.conftest import SMALL, Workflow

pytestmark = pytest.mark.slow

LIMIT = 2
EXPERIMENTS = f"""\
experiments:
  variants:
    no_climate: {{leave_out: [forcing]}}
  seeds: 2
  splits: [block]
  limit: {LIMIT}
"""
#: The small run itself has seed 1 of its own settings and of the paper's, on both splits.
TRAINED = {"no_climate": [1, 2], "paper": [2], "phase": [2]}


def config(workflow: Workflow, text: str) -> tuple[str, str]:
    path = workflow.root / "experiments.yaml"
    path.write_text(text, encoding="utf-8")
    return SMALL, str(path)


def jobs(workflow: Workflow, configs: tuple[str, ...], target: str | None = None) -> dict[str, int]:
    """Rule -> how many jobs a run would do now."""
    result = workflow.snakemake("--dry-run", "--quiet", "host", configs=configs, target=target)
    assert result.returncode == 0, result.stdout
    counts = re.findall(r"^(\w+) +(\d+)$", result.stdout, flags=re.MULTILINE)
    return {rule: int(count) for rule, count in counts if rule != "total"}


@pytest.fixture(scope="module")
def experimented(small_run: Workflow, tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    """The small run with experiments beside it, eight cores for as many jobs as the limit lets through."""
    workflow = small_run.clone(tmp_path_factory.mktemp("experiments") / "clone")
    configs = config(workflow, EXPERIMENTS)
    planned = jobs(workflow, configs)
    assert planned == {
        "train_experiment": 4,
        "predict_experiment": 4,
        "normalize_experiment_features": 1,
        "compare_experiments": 1,
        "write_report": 1,
        "all": 1,
    }
    result = workflow.snakemake("--cores", "8", configs=configs, target="experiments")
    assert result.returncode == 0, result.stdout
    return workflow


def test_every_experiment_and_seed_is_a_job_with_its_own_log_and_benchmark(experimented: Workflow) -> None:
    for name, seeds in TRAINED.items():
        for seed in seeds:
            stage = f"train_experiment-{name}-{seed}-block"
            assert (experimented.results / "logs" / f"{stage}.log").stat().st_size > 0
            assert (experimented.results / "benchmarks" / f"{stage}.tsv").stat().st_size > 0
            assert (experimented.results / f"experiments/{name}/block/seed{seed}/model.pt").is_file()


def test_the_comparison_has_all_experiments_and_the_seeds_that_the_run_trained_anyway(
    experimented: Workflow,
) -> None:
    compared = read_json(experimented.results / "experiments" / "comparison.json")["experiments"]
    assert {name: e["seeds"] for name, e in compared.items()} == {
        "phase": [1, 2],
        "paper": [1, 2],
        "state20": [],
        "analogue": [],
        "no_climate": [1, 2],
    }
    assert compared["no_climate"]["changes"] == {"leave_out": ["forcing"]}
    for experiment in compared.values():
        assert set(experiment["skill"]) == {"block"}
        assert len(experiment["skill"]["block"]) == 37


def running(benchmark: Path) -> tuple[float, float]:
    """When a job began and ended, s."""
    with benchmark.open(newline="") as stream:
        seconds = sum(float(row["s"]) for row in csv.DictReader(stream, delimiter="\t"))
    end = benchmark.stat().st_mtime
    return end - seconds, end


def test_never_more_train_at_the_same_time_than_the_limit(experimented: Workflow) -> None:
    stages = [f"train_experiment-{name}-{seed}-block" for name, seeds in TRAINED.items() for seed in seeds]
    times = [running(experimented.results / "benchmarks" / f"{stage}.tsv") for stage in stages]
    assert len(times) == 4
    # A moment before a job ends, as the next one may begin in the same second.
    side_by_side = [sum(begun <= moment < end - 0.5 for begun, end in times) for moment, _ in times]
    assert max(side_by_side) == LIMIT


def test_an_experiment_that_is_added_later_makes_its_own_jobs_and_the_comparison(
    experimented: Workflow,
) -> None:
    compared = {"compare_experiments": 1, "write_report": 1, "all": 1}
    added = EXPERIMENTS.replace("variants:", "variants:\n    no_physics: {lambda_physics: 0}")
    assert jobs(experimented, config(experimented, added)) == compared | {
        "train_experiment": 2,
        "predict_experiment": 2,
    }
    seeds = EXPERIMENTS.replace("seeds: 2", "seeds: 3")
    assert jobs(experimented, config(experimented, seeds)) == compared | {
        "train_experiment": 3,
        "predict_experiment": 3,
    }
    limit = EXPERIMENTS.replace(f"limit: {LIMIT}", "limit: 3")
    assert jobs(experimented, config(experimented, limit), "experiments") == {}
    assert jobs(experimented, config(experimented, EXPERIMENTS), "experiments") == {}


def test_without_experiments_the_workflow_has_none_of_their_jobs(fresh_workflow: Workflow) -> None:
    configs = config(fresh_workflow, "experiments: {variants: {paper: null}}")
    assert not [rule for rule in fresh_workflow.planned(configs) if "experiment" in rule]
