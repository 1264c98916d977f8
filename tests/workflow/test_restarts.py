"""Restarts from the states of several models: a row for each, also where the land model stops."""

from __future__ import annotations

from pathlib import Path

import netCDF4
import pytest

from phase_lib.base.files import read_json
from phase_lib.report.restarts import read_restarts
from tests.workflow.conftest import SMALL, Workflow

pytestmark = pytest.mark.slow

RESTARTS = """\
experiments:
  variants:
    paper: null
    mlp: {network: mlp, preset: unconstrained, members: 1, label: MLP}
  splits: [block]
  restarts: [mlp, analogue]
  restart_test_years: 40
"""
TABLE = "experiments/restarts.csv"


@pytest.fixture(scope="module")
def tried(small_run: Workflow, tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    workflow = small_run.clone(tmp_path_factory.mktemp("restarts") / "clone")
    path = workflow.root / "restarts.yaml"
    path.write_text(RESTARTS, encoding="utf-8")
    result = workflow.snakemake("--cores", "2", configs=(SMALL, str(path)))
    assert result.returncode == 0, result.stdout
    return workflow


def test_every_model_is_a_row_whether_the_land_model_stops_or_not(tried: Workflow) -> None:
    rows = {row["model"]: row for row in read_restarts(tried.results / TABLE)}
    assert list(rows) == ["mlp", "analogue"]
    mlp, analogue = rows["mlp"], rows["analogue"]
    # A network of a few epochs without bounds predicts pools below zero.
    assert mlp["negative"] > 0
    assert not mlp["stable"]
    assert "pools must be finite and not negative" in mlp["stopped"]
    assert mlp["area_out_of_equilibrium_all_cells"] is None
    assert (analogue["negative"], analogue["stable"], analogue["years"]) == (0, True, 40)
    assert 0.0 <= analogue["area_out_of_equilibrium_all_cells"] <= 1.0
    # Both ran on with corrections, clipped: a window of 20 years and 40 more.
    assert mlp["corrected_years"] == analogue["corrected_years"] == 60


def test_the_clipped_restart_holds_no_negative_value_and_the_other_does(tried: Workflow) -> None:
    for bounds, below in (("keep", True), ("clip", False)):
        (sidecar,) = (tried.results / "experiments/restarts/mlp" / bounds).glob("*.diff.json")
        assert read_json(sidecar)["out_of_bounds"]["litr1c_vr"]["negative"] > 0
        with netCDF4.Dataset(Path(str(sidecar).removesuffix(".diff.json"))) as restart:
            assert (restart["litr1c_vr"][:].min() < 0.0) == below


def test_the_report_shows_the_table_and_nothing_is_repeated(tried: Workflow) -> None:
    page = (tried.results / "report" / "index.html").read_text(encoding="utf-8")
    assert "Restarts of all models" in page
    assert "pools must be finite and not negative" in page
    assert tried.planned(configs=(SMALL, str(tried.root / "restarts.yaml"))) <= {"all"}
