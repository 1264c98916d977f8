"""A run that goes on, round by round, until it is in equilibrium or may not be longer."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import yaml

from tests.workflow.conftest import SMALL, Workflow
from tests.workflow.killing import Kills, assert_same, run_with_kills

pytestmark = pytest.mark.slow

GOES_ON = {"until": "equilibrium", "max_years": 100, "controls": []}
#: Thresholds that every run keeps.
LOOSE = {
    **dict.fromkeys(("stock_drift_pgc_per_yr", "gpp_drift_pgc_per_yr2", "nbp_pgc_per_yr"), 1.0e6),
    **dict.fromkeys(
        ("tlai_drift_per_yr", "relative_drift_percent_per_century", "cell_drift_gc_m2_yr"), 1.0e6
    ),
}


#: Every window, the injections between them, and the correction of the second round.
KILLS: Kills = (
    (r"\[run_injected_0041\] ", True),
    (r"\[inject_injected_0041\] ", False),
    (r"\[run_injected_0081\] ", True),
    (r"\[correct_injected_0081\] ", True),
    (r"\[run_injected_0121\] ", False),
)


def configs(workflow: Workflow, name: str, **sections: Any) -> tuple[str, str]:
    path = workflow.root / f"{name}.yaml"
    path.write_text(yaml.safe_dump({"stabilisation": GOES_ON, **sections}), encoding="utf-8")
    return SMALL, str(path)


def rounds(workflow: Workflow) -> list[tuple[float, list[float], bool]]:
    verdict = json.loads((workflow.results / "equilibrium" / "verdict.json").read_text(encoding="utf-8"))
    return [(one["normal_years"], one["corrected_after"], one["holds"]) for one in verdict["rounds"]]


@pytest.fixture(scope="module")
def workflow(small_run: Workflow, tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    """The small run, gone on as long as it may."""
    clone = small_run.clone(tmp_path_factory.mktemp("rounds") / "clone")
    strict = configs(clone, "strict")
    planned = clone.planned(configs=strict)
    # Whether there is another round is not known before the first one is judged.
    assert {"judge_round", "judge_equilibrium", "run_injected_0081"} <= planned
    assert "run_injected_0121" not in planned
    result = clone.snakemake(configs=strict)
    assert result.returncode == 0, result.stdout
    assert clone.planned(configs=strict) == set()
    return clone


def test_a_run_that_is_not_in_equilibrium_is_corrected_and_goes_on_as_long_as_it_may(
    workflow: Workflow,
) -> None:
    assert rounds(workflow) == [(60.0, [20.0], False), (100.0, [20.0, 60.0], False)]
    results = workflow.results
    assert (results / "landmodel/injected/corrected/injected.elm.r.0081-01-01-00000.nc").is_file()
    summary = json.loads((results / "summary.json").read_text(encoding="utf-8"))
    assert summary["stabilisation"]["normal_years"] == 100
    # The stages of the second round are counted, although they were planned after the run began.
    later = {"correct_injected_0081", "inject_injected_0081", "run_injected_0121"}
    assert {summary["cost"]["roles"][stage] for stage in later} == {"accelerated"}
    assert summary["cost"]["integration_years"]["with_stabilisation"] == 120


def test_a_history_without_the_restart_at_its_end_is_of_a_segment_that_was_killed(
    workflow: Workflow, tmp_path: Path
) -> None:
    verdict = workflow.results / "equilibrium" / "verdict.json"
    last = workflow.results / "landmodel" / "injected" / "injected.elm.r.0121-01-01-00000.nc"
    for file in (verdict, last):
        file.rename(tmp_path / file.name)
    try:
        planned = workflow.planned(configs(workflow, "strict"), verdict)
        assert planned == {"run_injected_0121", "judge_equilibrium"}
    finally:
        for file in (verdict, last):
            (tmp_path / file.name).rename(file)


def test_a_run_that_is_in_equilibrium_ends_there(workflow: Workflow, tmp_path: Path) -> None:
    clone = workflow.clone(tmp_path / "clone")
    loose = configs(clone, "loose", equilibrium=LOOSE)
    assert clone.planned(configs=loose) == {"judge_round", "judge_equilibrium", "write_report", "all"}
    result = clone.snakemake(configs=loose)
    assert result.returncode == 0, result.stdout
    assert rounds(clone) == [(60.0, [20.0], True)]
    roles = json.loads((clone.results / "summary.json").read_text(encoding="utf-8"))["cost"]["roles"]
    # What an earlier run did in a round that this one has not is not counted.
    assert "run_injected_0081" in roles
    assert "run_injected_0121" not in roles
    assert clone.planned(configs=loose) == set()


def test_windows_that_are_killed_go_on_by_themselves_and_end_in_the_same_bytes(
    workflow: Workflow, small_run: Workflow, tmp_path: Path
) -> None:
    clone = small_run.clone(tmp_path / "clone")
    for name in ("landmodel/injected", "equilibrium"):
        shutil.rmtree(clone.results / name)
    verdict = clone.results / "equilibrium" / "verdict.json"
    run_with_kills(clone, configs(clone, "strict"), tmp_path, KILLS, verdict)
    corrected = "landmodel/injected/corrected/injected.elm.r"
    assert_same(
        clone,
        workflow,
        f"{corrected}.0041-01-01-00000.nc",
        f"{corrected}.0081-01-01-00000.nc",
        "landmodel/injected/injected.elm.r.0121-01-01-00000.nc",
        "equilibrium/verdict.json",
    )


def test_the_last_restart_of_a_corrected_reference_comes_after_a_window_and_its_correction(
    small_run: Workflow, tmp_path: Path
) -> None:
    clone = small_run.clone(tmp_path / "clone")
    path = clone.root / "labels.yaml"
    path.write_text("reference: {method: corrected, windows: [20]}", encoding="utf-8")
    configs, run = (SMALL, str(path)), clone.results / "landmodel" / "reference"
    last, corrected = run / "reference.elm.r.0141-01-01-00000.nc", "reference.elm.r.0101-01-01-00000.nc"
    audit = run / "corrected" / f"{corrected}.audit.json"
    planned = clone.planned(configs=configs)
    assert {"run_reference_0141", "audit_reference_0101", "fuse_records"} <= planned
    assert not planned & {"run_ad_0021", "run_ad_0061", "make_world"}
    for target in (last, audit):
        result = clone.snakemake(target=target, configs=configs)
        assert result.returncode == 0, result.stdout
    assert json.loads(audit.read_text(encoding="utf-8"))["errors"] == 0
    assert "years 101 to 140" in (clone.results / "logs" / "run_reference_0141.log").read_text()
    with (
        xr.open_dataset(run / corrected, decode_times=False) as window_end,
        xr.open_dataset(run / "corrected" / corrected, decode_times=False) as begin,
        xr.open_dataset(run / "corrected" / "reference.correction.0101.nc") as correction,
    ):
        before, after = window_end["soil4c_vr"].to_numpy(), begin["soil4c_vr"].to_numpy()
        asked = correction["soil4c_vr"].to_numpy()
        changed = before != after
        assert 0.1 < changed.mean() < 1.0
        # The correction was injected as it stands.
        assert np.isin(after[changed].astype(np.float32), asked.astype(np.float32)).mean() > 0.99
