"""Output that exists already, trained on and injected: the same restart as from the run that made it."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path
from typing import Any

import netCDF4
import pytest
import yaml

from tests.workflow.conftest import SMALL, WITHOUT_PAPER, Workflow, given_runs, world_files

pytestmark = pytest.mark.slow

RESTART = "ad.elm.r.0021-01-01-00000.nc"


@pytest.fixture(scope="module")
def archive(small_run: Workflow, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The files of the small run as an archive, for another run with jobs of their own.

    The archive's name holds what shells and patterns have a meaning for.
    """
    archive = tmp_path_factory.mktemp("archive") / "set [12] of a user's $runs"
    archive.symlink_to(small_run.results)
    return {
        "run": {"name": "archived"},
        "land_model": {"backend": "archive"},
        "training": {"domains": ["world"]},
        "target": {"domain": "world"},
        "fusion": {"jobs": 2, "forcing_by_variable": True, "forcing_years_per_job": 20},
        "domains": {
            # Two cycles of the reference, by which its drift is judged; so short a run is not settled.
            "world": world_files(archive) | given_runs(archive),
        },
        "preflight": {"accept": ["target_drift"]},
        "experiments": WITHOUT_PAPER,
    }


@pytest.fixture(scope="module")
def archived(
    small_run: Workflow, archive: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Workflow:
    """That run, up to the injected restart."""
    config = tmp_path_factory.mktemp("archive") / "archive.yaml"
    config.write_text(yaml.safe_dump(archive), encoding="utf-8")
    results = small_run.results.with_name("archived")
    result = small_run.snakemake(
        *("--printshellcmds", "--quiet", "host"),
        configs=(SMALL, str(config)),
        target=results / "restart" / RESTART,
    )
    assert result.returncode == 0, result.stdout
    return Workflow(small_run.root, results, result.stdout)


def test_a_file_whose_name_is_a_wildcard_to_snakemake_is_refused_in_one_line(
    fresh_workflow: Workflow, tmp_path: Path
) -> None:
    file = tmp_path / "domain{4km}.nc"
    file.touch()
    forcing = {"product": "any", "first_year": 1901, "files": [str(file)]}
    names = dict.fromkeys(
        ("domain", "surface", "params", "soil_params", "restart", "reference_restart"), str(file)
    )
    histories = {"history": [str(file)], "reference_history": [str(file)]}
    content = {
        "land_model": {"backend": "archive"},
        "training": {"domains": ["world"]},
        "target": {"domain": "world"},
        "domains": {
            "world": {**names, **histories, "spinup_mortality_factor": 10.0, "forcing": forcing},
        },
    }
    config = tmp_path / "archive.yaml"
    config.write_text(yaml.safe_dump(content), encoding="utf-8")
    result = fresh_workflow.snakemake("--dry-run", configs=(SMALL, str(config)))
    assert result.returncode == 2
    assert f"phase: {file}: has a brace in its name, Snakemake's sign of a wildcard" in result.stdout
    assert "Traceback" not in result.stdout


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
    given, made = (run.results / "restart" / RESTART for run in (archived, small_run))
    assert given.read_bytes() == made.read_bytes()


def test_labels_that_drift_are_accepted_only_on_purpose(archived: Workflow) -> None:
    understood = json.loads((archived.results / "preflight.json").read_text(encoding="utf-8"))
    assert "drift" in json.dumps(understood["accepted"])
    assert "accepted: " in archived.first


def test_the_forcing_is_compared_with_what_the_model_saw(archived: Workflow, small_run: Workflow) -> None:
    for run, domain in ((archived, "world"), (small_run, "embedded")):
        file = run.results / "forcing" / domain / "comparison.json"
        comparison = json.loads(file.read_text(encoding="utf-8"))
        assert list(comparison["variables"]) == ["PRECTmms", "TBOT"]
        for values in comparison["variables"].values():
            worst = values["largest_difference"]
            assert worst["forcing"] == pytest.approx(worst["history"], rel=1e-5)
    page = (small_run.results / "report" / "index.html").read_text(encoding="utf-8")
    assert "Forcing of embedded, compared with the history over the model years 0001 to 0020" in page


def test_forcing_that_the_model_did_not_see_ends_the_run_before_records_are_made_of_it(
    archived: Workflow, archive: dict[str, Any], tmp_path: Path
) -> None:
    clone, content = archived.clone(tmp_path / "clone"), copy.deepcopy(archive)
    history = Path(shutil.copy(content["domains"]["world"]["history"][0], tmp_path / "warm.nc"))
    with netCDF4.Dataset(history, "r+") as nc:
        nc["TBOT"][:] = nc["TBOT"][:] + 5.0
    content["domains"]["world"]["history"] = [str(history)]
    config = tmp_path / "warm.yaml"
    records = clone.results / "records" / "world" / "1" / "cells.nc"
    comparison = clone.results / "forcing" / "world" / "comparison.json"
    before = records.stat().st_mtime_ns

    def run(target: Path) -> tuple[int, str]:
        config.write_text(yaml.safe_dump(content), encoding="utf-8")
        result = clone.snakemake(configs=(SMALL, str(config)), target=target)
        return result.returncode, result.stdout

    status, terminal = run(records)
    assert status != 0
    assert "variable TBOT of land cell" in terminal
    assert "likely cause: an offset of about -5 K in every cell" in terminal
    assert not comparison.exists()
    assert records.stat().st_mtime_ns == before
    content["preflight"]["accept"].append("forcing_history")
    status, terminal = run(comparison)
    assert status == 0, terminal
    assert json.loads(comparison.read_text(encoding="utf-8"))["accepted"] is True
