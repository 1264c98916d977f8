"""The stand-in for E3SM under the workflow: its verdict is that of the embedded model, which runs inside."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cime.double import DESK, Checkout, lay_out
from tests.helpers.layouts import contents
from tests.helpers.streams import write_streams
from tests.workflow.conftest import ROOT, SMALL, WITHOUT_PAPER, Workflow, given_runs, world_files

pytestmark = pytest.mark.slow

LAST = "injected.elm.r.0081-01-01-00000.nc"


@pytest.fixture(scope="module")
def workflow(small_run: Workflow, tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    """The small run, in a place of its own."""
    return small_run.clone(tmp_path_factory.mktemp("cime") / "in")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """The stand-in, with the embedded model of the small configuration inside."""
    settings = yaml.safe_load((ROOT / SMALL).read_text(encoding="utf-8"))["embedded"]
    return lay_out(tmp_path_factory.mktemp("e3sm"), settings)


@pytest.fixture(scope="module")
def content(workflow: Workflow, checkout: Checkout) -> dict[str, Any]:
    """The small run's world and its conventional spin-up as files; CIME runs what comes after."""
    world = workflow.results / "world"
    streams = write_streams(checkout.place / "streams", world / "domain.lnd.nc", world / "forcing")
    return {
        "run": {"name": "cime"},
        "land_model": {"backend": "cime"},
        "cime": {
            "source": str(checkout.root),
            "machine": DESK,
            "extra_machines_dir": str(checkout.machines),
            "compset": "I1850CNPRDCTCBC",
            "datm_mode": "uELM_TES",
            "streams": [str(path) for path in streams],
            "restart_years": 20,
            "force_stop_at": "year",
        },
        "training": {"domains": ["sites"]},
        "target": {"domain": "sites"},
        "stabilisation": {"controls": ["control"]},
        "experiments": WITHOUT_PAPER,
        "preflight": {"accept": ["target_drift"]},
        "domains": {"sites": world_files(workflow.results) | given_runs(workflow.results)},
    }


@pytest.fixture(scope="module")
def configs(workflow: Workflow, content: dict[str, Any]) -> tuple[str, ...]:
    """The configuration files."""
    path = workflow.root / "cime.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return SMALL, str(path)


@pytest.fixture(scope="module")
def results(workflow: Workflow, configs: tuple[str, ...]) -> Path:
    """Products of the run, up to its verdict."""
    directory = workflow.results.with_name("cime")
    result = workflow.snakemake(configs=configs, target=directory / "equilibrium" / "verdict.json")
    assert result.returncode == 0, result.stdout
    return directory


def test_the_verdict_is_that_of_the_embedded_model_to_the_last_digit(
    workflow: Workflow, results: Path
) -> None:
    verdict, wanted = (
        json.loads((place / "equilibrium" / "verdict.json").read_text(encoding="utf-8"))
        for place in (results, workflow.results)
    )
    for run in ("injected", "control"):
        assert verdict["runs"][run] == wanted["runs"][run]
    assert verdict["corrections"]["injected"] == wanted["corrections"]["injected"]
    restarts = (place / "landmodel" / "injected" / LAST for place in (results, workflow.results))
    one, other = map(contents, restarts)
    assert all(one[name].tobytes() == other[name].tobytes() for name in other)


def test_keys_of_jobs_repeat_nothing_and_keys_of_the_case_repeat_its_runs(
    workflow: Workflow, results: Path, content: dict[str, Any], tmp_path: Path
) -> None:
    def planned(**changes: Any) -> set[str]:
        path = tmp_path / "changed.yaml"
        path.write_text(yaml.safe_dump(content | {"cime": content["cime"] | changes}), encoding="utf-8")
        return workflow.planned((SMALL, str(path)), results / "equilibrium" / "verdict.json")

    assert planned() == set()
    assert planned(restart_years=5, margin_minutes=30.0, walltime_minutes=60, submit="cime") == set()
    again = planned(xmlchange={"CCSM_CO2_PPMV": 300.0})
    assert {"create_case_sites", "build_case_sites", "run_injected_0041", "run_control_0081"} <= again
    assert not {"fuse_records", "train_surrogate"} & again
