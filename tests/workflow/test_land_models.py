"""Any domain with files and a land model that runs: the embedded one, and one from another package."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.helpers import walks
from tests.helpers.layouts import contents
from tests.workflow.conftest import SMALL, WITHOUT_PAPER, Workflow, world_files

pytestmark = pytest.mark.slow

RESTART = "ad.elm.r.0021-01-01-00000.nc"


@pytest.fixture(scope="module")
def files(small_run: Workflow) -> dict[str, Any]:
    """The world of the small run as files of a domain."""
    return world_files(small_run.results)


@pytest.fixture(scope="module")
def prepared(
    small_run: Workflow, files: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Workflow:
    """The small run with the package of docs/contributing.md beside it, which offers a land model.

    The forcing of that domain is there in the run `sites`, which all tests begin with.
    """
    clone = small_run.clone(tmp_path_factory.mktemp("plugged") / "in")
    walks.install(clone.root)
    results = clone.results.with_name("sites")
    forcing = results / "forcing" / "sites" / "all.1901-1920.nc"
    result = clone.snakemake(configs=config(clone, "embedded", files), target=forcing)
    assert result.returncode == 0, result.stdout
    return Workflow(clone.root, results)


@pytest.fixture
def workflow(prepared: Workflow, tmp_path: Path) -> Workflow:
    """A copy of it."""
    return prepared.clone(tmp_path / "in")


@pytest.fixture(scope="module")
def given(small_run: Workflow) -> dict[str, Any]:
    """Restarts and history of the small run."""
    runs = small_run.results / "landmodel"
    return {
        "restart": str(runs / "ad" / RESTART),
        "history": [str(runs / "ad" / "ad.elm.h0.0021-01-01-00000.nc")],
        "spinup_mortality_factor": 10.0,
        "reference_restart": str(runs / "reference" / "reference.elm.r.0101-01-01-00000.nc"),
        "reference_history": [str(runs / "reference" / "reference.elm.h0.0101-01-01-00000.nc")],
        "reference_ad_restart": str(runs / "ad" / "ad.elm.r.0061-01-01-00000.nc"),
    }


def config(workflow: Workflow, backend: str, sites: dict[str, Any], **more: Any) -> tuple[str, ...]:
    content = {
        "run": {"name": "sites"},
        "land_model": {"backend": backend},
        "training": {"domains": ["sites"]},
        "target": {"domain": "sites"},
        "domains": {"sites": sites},
        **more,
    }
    path = workflow.root / "sites.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return SMALL, str(path)


def equal(first: Path, second: Path) -> bool:
    one, other = contents(first), contents(second)
    return one.keys() == other.keys() and all(one[name].tobytes() == other[name].tobytes() for name in one)


def test_the_embedded_model_runs_a_domain_from_files_as_it_runs_its_own_world(
    workflow: Workflow, small_run: Workflow, files: dict[str, Any]
) -> None:
    configs = config(workflow, "embedded", files)
    runs = workflow.results / "landmodel"
    result = workflow.snakemake(configs=configs, target=runs / "ad" / RESTART)
    assert result.returncode == 0, result.stdout
    assert equal(runs / "ad" / RESTART, small_run.results / "landmodel" / "ad" / RESTART)
    name = "ad.elm.h0.0021-01-01-00000.nc"
    assert equal(runs / "ad" / name, small_run.results / "landmodel" / "ad" / name)
    # The rest of the spin-up is planned, and no world is made.
    planned = workflow.planned(configs)
    assert {"run_ad_0061", "run_reference_0101", "run_injected_0081", "judge_equilibrium"} <= planned
    assert "make_world" not in planned


def test_what_is_given_is_not_run_again_and_the_control_is_that_of_the_run_that_made_it(
    workflow: Workflow, small_run: Workflow, files: dict[str, Any], given: dict[str, Any]
) -> None:
    configs = config(workflow, "embedded", files | given)
    planned = workflow.planned(configs)
    windows = {f"run_{run}_0041" for run in ("injected", "no_surrogate")}
    assert {name for name in planned if name.startswith("run_")} == {
        *windows,
        *(f"run_{run}_0081" for run in ("injected", "control", "uncorrected", "no_surrogate")),
    }
    assert "judge_equilibrium" in planned
    runs = workflow.results / "landmodel"
    control = runs / "control" / "control.elm.r.0081-01-01-00000.nc"
    result = workflow.snakemake(configs=configs, target=control)
    assert result.returncode == 0, result.stdout
    assert equal(control, small_run.results / "landmodel" / "control" / control.name)


def test_a_land_model_of_another_package_brings_a_domain_to_its_verdict(
    workflow: Workflow, files: dict[str, Any], given: dict[str, Any]
) -> None:
    more = {
        "toy": {"restart": given["restart"], "history": given["reference_history"][0]},
        "surrogate": {"preset": "paper", "epochs": 1},
        "preflight": {"accept": ["target_drift"]},
        "stabilisation": {"windows": []},
        "experiments": WITHOUT_PAPER,
    }
    configs = config(workflow, "toy", files | given, **more)
    result = workflow.snakemake(configs=configs)
    assert result.returncode == 0, result.stdout
    results = workflow.results
    assert "sites, by the land model toy: 40 years of control, 40 years of stabilisation" in result.stdout
    assert (results / "landmodel" / "injected" / "injected.elm.r.0061-01-01-00000.nc").is_file()
    verdict = json.loads((results / "equilibrium" / "verdict.json").read_text(encoding="utf-8"))
    assert list(verdict["runs"]) == ["injected", "control"]
    summary = json.loads((results / "summary.json").read_text(encoding="utf-8"))
    assert summary["restart"]["stable"] is True
    assert "The toy knows no plants." in (results / "report" / "index.html").read_text(encoding="utf-8")
    # Its settings and its code count.
    assert workflow.planned(configs) == set()
    module = workflow.root / "toys" / "land_model.py"
    with workflow.changed(module, "\nANOTHER = 1\n"):
        assert {"run_control_0061", "run_injected_0061", "judge_equilibrium"} <= workflow.planned(configs)


def test_a_land_model_without_the_budget_of_the_soil_is_not_corrected(
    workflow: Workflow, files: dict[str, Any]
) -> None:
    configs = config(workflow, "toy", files, toy={"restart": "there", "history": "there"})
    result = workflow.snakemake("--dry-run", configs=configs)
    assert result.returncode == 2
    [line] = [line for line in result.stdout.splitlines() if line.startswith("phase: ")]
    assert "the land model toy does not write the carbon budget of the soil; set windows to []" in line


def test_a_wrong_key_of_its_section_is_refused_in_one_line(workflow: Workflow, files: dict[str, Any]) -> None:
    configs = config(workflow, "toy", files, toy={"restart": "there", "histry": "there"})
    result = workflow.snakemake("--dry-run", configs=configs)
    assert result.returncode == 2
    [line] = [line for line in result.stdout.splitlines() if line.startswith("phase: ")]
    assert line.endswith("sites.yaml: unknown key toy.histry (and 1 more); did you mean toy.history?")
    configs = config(workflow, "toy", files, toy={"restart": "there"})
    result = workflow.snakemake("--dry-run", configs=configs)
    assert "toy.history is missing; give it, as it has no default" in result.stdout
