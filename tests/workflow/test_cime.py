"""The stand-in for E3SM under the workflow: its verdict is that of the embedded model, which runs inside."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from phase_lib.elm.calendar import restart_name
from tests.cime.double import DESK, Checkout, lay_out
from tests.helpers.layouts import contents
from tests.helpers.streams import write_streams
from tests.workflow.conftest import ROOT, SMALL, WITHOUT_PAPER, Workflow, world_files

pytestmark = pytest.mark.slow

#: The last restart of each run.
LAST = {"ad": 61, "reference": 101, "injected": 81, "control": 81}


@pytest.fixture(scope="module")
def workflow(small_run: Workflow, tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    """The small run, in a place of its own."""
    return small_run.clone(tmp_path_factory.mktemp("cime") / "in")


@pytest.fixture(scope="module")
def checkout(workflow: Workflow, tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """The stand-in, with the embedded model of the small configuration and its monthly forcing inside."""
    settings = yaml.safe_load((ROOT / SMALL).read_text(encoding="utf-8"))["embedded"]
    [monthly] = (workflow.results / "forcing" / "embedded").glob("*.nc")
    return lay_out(tmp_path_factory.mktemp("e3sm"), settings, monthly=monthly)


@pytest.fixture(scope="module")
def content(workflow: Workflow, checkout: Checkout) -> dict[str, Any]:
    """The small run's world as files; CIME runs all of its spin-up."""
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
            "restart_years": 1200,
            "force_stop_at": "year",
        },
        "training": {"domains": ["sites"]},
        "target": {"domain": "sites"},
        "stabilisation": {"controls": ["control"]},
        "experiments": WITHOUT_PAPER,
        "domains": {"sites": world_files(workflow.results)},
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


def verdict_of(results: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(
        (results / "equilibrium" / "verdict.json").read_text(encoding="utf-8")
    )
    return content


def test_the_verdict_is_that_of_the_embedded_model_to_the_last_digit(
    workflow: Workflow, results: Path
) -> None:
    verdict, wanted = map(verdict_of, (results, workflow.results))
    assert set(verdict["runs"]) == {"reference", "injected", "control"}
    for part in ("runs", "relation_to_reference", "corrections"):
        for run, said in verdict[part].items():
            assert said == wanted[part][run], (part, run)


@pytest.mark.parametrize("run", LAST)
def test_runs_end_as_those_of_the_embedded_model_to_the_last_bit(
    workflow: Workflow, results: Path, run: str
) -> None:
    name = restart_name(run, LAST[run])
    one, other = (contents(place / "landmodel" / run / name) for place in (results, workflow.results))
    assert [name for name in other if one[name].tobytes() != other[name].tobytes()] == []


def test_all_runs_are_clones_of_one_case_and_share_its_executable(results: Path) -> None:
    cases = results / "landmodel" / "cases" / "sites"
    runs = {path.parent.name for path in cases.glob("*/env_case.xml")}
    assert runs == {"base", *LAST}
    assert [path.parent.name for path in cases.rglob("e3sm.exe")] == ["bld"]
    for run in LAST:
        status = (cases / run / "CaseStatus").read_text(encoding="utf-8")
        assert "case.run success" in status
        assert "case.build" not in status
    assert "case.run" not in (cases / "base" / "CaseStatus").read_text(encoding="utf-8")


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
    assert {"create_case_sites", "build_case_sites"} <= again
    assert {"run_ad_0021", "run_reference_0101", "run_injected_0041", "run_control_0081"} <= again
    # The surrogate learns from these runs; their forcing is as it was.
    assert "fuse_records" in again
    assert "reduce_forcing" not in again
