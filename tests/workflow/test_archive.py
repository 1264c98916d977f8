"""Output that exists already, trained on and injected: the same restart as from the run that made it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from tests.workflow.conftest import SMALL, Workflow

pytestmark = pytest.mark.slow

RESTART = "ad.elm.r.0021-01-01-00000.nc"


@pytest.fixture(scope="module")
def archived(small_run: Workflow, tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    """The files of the small run as an archive, in another run with jobs of their own."""
    world, runs = small_run.results / "world", small_run.results / "landmodel"
    content = {
        "run": {"name": "archived"},
        "land_model": {"backend": "archive"},
        "training": {"domains": ["world"]},
        "target": {"domain": "world"},
        "fusion": {"jobs": 2, "forcing_by_variable": True, "forcing_years_per_job": 20},
        "domains": {
            "world": {
                "domain": str(world / "domain.lnd.nc"),
                "surface": str(world / "surfdata.nc"),
                "params": str(world / "clm_params.nc"),
                "soil_params": str(world / "CNP_parameters.nc"),
                "restart": str(runs / "ad" / RESTART),
                "history": [str(runs / "ad" / "ad.elm.h0.0021-01-01-00000.nc")],
                "spinup_mortality_factor": 10.0,
                "reference_restart": str(runs / "reference" / "reference.elm.r.0101-01-01-00000.nc"),
                # Two cycles, so that the drift of the labels is judged; so short a run is not settled.
                "reference_history": [str(runs / "reference" / "reference.elm.h0.*.nc")],
                "reference_ad_restart": str(runs / "ad" / "ad.elm.r.0061-01-01-00000.nc"),
                "forcing": {
                    "files": [str(world / "forcing" / "clmforc.embedded.*.nc")],
                    "product": "synthetic weather",
                    "first_year": 1901,
                    "limit_km": 1500.0,
                },
            }
        },
        "preflight": {"accept": ["target_drift"]},
    }
    config = tmp_path_factory.mktemp("archive") / "archive.yaml"
    config.write_text(yaml.safe_dump(content), encoding="utf-8")
    result = small_run.snakemake("--printshellcmds", "--quiet", "host", configs=(SMALL, str(config)))
    assert result.returncode == 0, result.stdout
    return Workflow(small_run.root, small_run.results.with_name("archived"), result.stdout)


def test_no_land_model_is_run_and_no_world_is_made(archived: Workflow) -> None:
    assert not (archived.results / "landmodel").exists()
    assert not (archived.results / "world").exists()


def test_forcing_and_cells_are_divided_among_jobs(archived: Workflow) -> None:
    assert len(list((archived.results / "forcing" / "world").glob("*.nc"))) == 6
    assert sorted(path.name for path in (archived.results / "records" / "world").iterdir()) == ["1", "2"]


def test_a_command_names_patterns_and_not_all_of_the_files(archived: Workflow) -> None:
    # A shell takes no line with the thousands of names that monthly files of 800 years have.
    commands = [line for line in archived.first.splitlines() if "phase fuse" in line]
    assert len(commands) == 2
    assert all("reference.elm.h0.*.nc" in line and "reference.elm.h0.0061" not in line for line in commands)


def test_the_injected_restart_is_that_of_the_run_that_made_the_files(
    archived: Workflow, small_run: Workflow
) -> None:
    ours, theirs = (run.results / "restart" / RESTART for run in (archived, small_run))
    assert ours.read_bytes() == theirs.read_bytes()


def test_labels_that_drift_are_accepted_only_on_purpose(archived: Workflow) -> None:
    understood = json.loads((archived.results / "preflight.json").read_text(encoding="utf-8"))
    assert "drift" in json.dumps(understood["accepted"])
    assert "accepted: " in archived.first
    assert Path(archived.results / "summary.json").is_file()
