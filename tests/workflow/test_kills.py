"""A run that is killed goes on by the same command, and ends in the same products."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml

from tests.workflow.conftest import SMALL, WITHOUT_PAPER, Workflow, copy_of_the_workflow
from tests.workflow.killing import Kills, assert_same, run_with_kills

pytestmark = pytest.mark.slow

ACCELERATED: Kills = ((r"\[make_world\] world", False), (r"\[run_ad_0061\] ", True))
LEARNT: Kills = (
    (r"\[train_surrogate-\w+\] epoch", False),
    (r"\[predict_cells\] ", False),
    (r"\[write_report\] drawing", True),
)


@pytest.fixture
def configs(tmp_path: Path) -> tuple[str, ...]:
    path = tmp_path / "without_paper.yaml"
    path.write_text(yaml.safe_dump({"experiments": WITHOUT_PAPER}), encoding="utf-8")
    return SMALL, str(path)


def test_land_model_runs_that_are_killed_go_on_by_themselves_and_end_in_the_same_bytes(
    small_run: Workflow, configs: tuple[str, ...], tmp_path: Path
) -> None:
    workflow = copy_of_the_workflow(tmp_path / "copy")
    target = "landmodel/ad/ad.elm.r.0061-01-01-00000.nc"
    left = run_with_kills(workflow, configs, tmp_path, ACCELERATED, workflow.results / target)
    assert left, "nothing was at work after Snakemake alone was killed"
    assert_same(workflow, small_run, "world/surfdata.nc", "landmodel/ad/ad.elm.r.0021-01-01-00000.nc", target)


def test_a_training_a_prediction_and_a_report_that_are_killed_go_on_and_end_in_the_same_bytes(
    small_run: Workflow, configs: tuple[str, ...], tmp_path: Path
) -> None:
    workflow = small_run.clone(tmp_path / "clone")
    for name in ("surrogate", "predictions", "restart", "equilibrium", "report", "landmodel/injected"):
        shutil.rmtree(workflow.results / name)
    run_with_kills(workflow, configs, tmp_path, LEARNT)
    assert_same(
        workflow,
        small_run,
        "surrogate/block/model.pt",
        "restart/ad.elm.r.0021-01-01-00000.nc",
        "predictions/predictions.nc",
        "predictions/test_block.nc",
        "predictions/test_random.nc",
        "equilibrium/verdict.json",
    )
    mine, undisturbed = (
        json.loads((run.results / "summary.json").read_text()) for run in (workflow, small_run)
    )
    for section in ("domain", "restart", "equilibrium", "stocks"):
        assert mine[section] == undisturbed[section], section
    for split, models in mine["skill"].items():
        assert models.items() <= undisturbed["skill"][split].items(), split
    assert workflow.planned(configs=configs) == set()
