"""The small configuration from beginning to end: every product is there and says what it should."""

from __future__ import annotations

import json
from pathlib import Path

import netCDF4
import numpy as np
import pytest

from tests.workflow.conftest import Workflow, copy_of_the_workflow

pytestmark = pytest.mark.slow

HEADLINE = {"deadcrootc", "deadstemc", "tlai", "soil3c", "soil4c", "cwdc"}
METRICS = {"r2", "r2_pooled", "rmse", "nrmse", "median_abs_log_ratio", "n"}
CORRECTION = "landmodel/injected/corrected/injected.correction.0041.nc"
CORRECTED = "landmodel/injected/corrected/injected.elm.r.0041-01-01-00000.nc"
RESTART = "ad.elm.r.0021-01-01-00000.nc"


def test_the_workflow_refuses_a_misspelt_key_before_anything_runs(tmp_path: Path) -> None:
    workflow = copy_of_the_workflow(tmp_path)
    config = tmp_path / "misspelt.yaml"
    config.write_text("spinup: {ad_yeras: 40}")
    result = workflow.snakemake(configs=(str(config),))
    assert result.returncode == 2
    [line] = [line for line in result.stdout.splitlines() if line.startswith("phase: ")]
    assert line == f"phase: {config}: unknown key spinup.ad_yeras; did you mean spinup.ad_years?"
    assert "Traceback" not in result.stdout
    assert not (tmp_path / "results").exists()


def test_all_final_products_are_there(small_run: Workflow) -> None:
    for name in (
        f"restart/{RESTART}",
        f"restart/{RESTART}.diff.json",
        "predictions/predictions.nc",
        "predictions/test_random.nc",
        "predictions/test_block.nc",
        "equilibrium/verdict.json",
        "equilibrium/drift.nc",
        "summary.json",
        "report/index.html",
    ):
        assert (small_run.results / name).stat().st_size > 0, name
    assert list((small_run.results / "report" / "figures").glob("*.png"))
    assert list((small_run.results / "report" / "tables").glob("*.csv"))


def test_the_terminal_shows_progress_and_ends_with_the_closing_page(small_run: Workflow) -> None:
    for word in ("[make_world]", "[run_reference_0101] model year", "[train_surrogate-block] epoch"):
        assert word in small_run.first
    assert len(small_run.closing.splitlines()) > 10
    assert small_run.closing.strip() in small_run.first


def test_nothing_half_written_is_left_behind(small_run: Workflow) -> None:
    assert list(small_run.results.rglob("*.part")) == []


def test_the_summary_holds_every_metric_of_every_target(small_run: Workflow) -> None:
    summary = json.loads((small_run.results / "summary.json").read_text())
    assert set(summary["skill"]) == {"random", "block"}
    assert set(summary["headline"]) == HEADLINE
    for models in summary["skill"].values():
        assert set(models) == {"phase", "paper", "state20", "analogue"}
        for targets in models.values():
            assert len(targets) == 37
            assert all(set(metrics) == METRICS for metrics in targets.values())
    for run in ("injected", "control", "uncorrected", "no_surrogate", "reference"):
        assert {"drift_totsomc_pgc_per_yr", "drift_totvegc_pgc_per_yr", "area_out_of_equilibrium"} <= set(
            summary["equilibrium"][run]
        )
        assert {"totsomc_pgc", "totvegc_pgc", "cwdc_pgc"} <= set(summary["stocks"][run])
    assert summary["restart"]["audit_errors"] == 0
    assert summary["restart"]["stable"] is True


def test_the_verdict_counts_the_years_after_the_last_correction_of_each_run(small_run: Workflow) -> None:
    verdict = json.loads((small_run.results / "equilibrium" / "verdict.json").read_text())
    counted = {
        run: (
            subsets["all_cells"]["years"],
            subsets["all_cells"]["corrected_after"],
            subsets["all_cells"]["cycles"],
        )
        for run, subsets in verdict["runs"].items()
    }
    assert counted == {
        "injected": (60.0, [20.0], 2),
        "control": (60.0, [], 3),
        "uncorrected": (60.0, [], 3),
        "no_surrogate": (60.0, [20.0], 2),
        "reference": (40.0, [], 2),
    }
    [only] = verdict["rounds"]
    assert (only["normal_years"], only["holds"]) == (60.0, False)
    assert "area_out_of_equilibrium" in only["failed"]["all_cells"]
    summary = json.loads((small_run.results / "summary.json").read_text())["stabilisation"]
    [correction] = summary["corrections"]["injected"]
    with netCDF4.Dataset(small_run.results / CORRECTION) as file:
        account = json.loads(file.correction)
    audit = json.loads((small_run.results / f"{CORRECTED}.audit.json").read_text())
    assert correction.pop("audit") == {kind: audit[kind] for kind in ("errors", "notes")}
    assert "Audit: 0 errors after every correction." in small_run.closing
    # One window shows no response of nitrogen yet.
    assert correction == {"model_year": 40.0, "nitrogen": {}, "variables": account["variables"]}
    assert {"soil3c_vr", "soil4c_vr", "cwdc_vr", "deadstemc", "deadcrootc"} == set(account["variables"])


def test_the_run_goes_on_from_its_corrected_restart(small_run: Workflow) -> None:
    corrected = small_run.results / CORRECTED
    before = small_run.results / "landmodel/injected" / corrected.name
    with netCDF4.Dataset(corrected) as new, netCDF4.Dataset(before) as old:
        assert np.any(new["soil4c_vr"][:] != old["soil4c_vr"][:])
        assert np.array_equal(new["leafc"][:], old["leafc"][:])
    audit = json.loads(corrected.with_name(f"{corrected.name}.audit.json").read_text())
    assert audit["errors"] == 0
    # The soil of the next segment begins where the correction put it.
    history = small_run.results / "landmodel/injected/injected.elm.h1.0042-01-01-00000.nc"
    with netCDF4.Dataset(history) as after, netCDF4.Dataset(small_run.results / CORRECTION) as file:
        assert int(after["time_bounds"][0, 0]) == 40 * 365
        assert json.loads(file.correction)["end_year"] == 41


def test_the_cost_counts_every_stage_that_was_run(small_run: Workflow) -> None:
    tables = {path.stem for path in (small_run.results / "benchmarks").glob("*.tsv")}
    # The report's own table is written after it.
    counted = set(json.loads((small_run.results / "summary.json").read_text())["cost"]["roles"])
    assert counted == tables - {"write_report"}


def test_every_stage_counts_as_what_its_rule_says_it_is_for(small_run: Workflow) -> None:
    cost = json.loads((small_run.results / "summary.json").read_text())["cost"]
    spin_up = {
        *("run_ad_0021", "reduce_forcing-embedded-all-1901-1920", "fuse_records-embedded-1", "join_records"),
        *("split_cells-block", "normalize_features-block", "train_surrogate-block", "predict_cells"),
        *("inject_restart", "run_injected_0041", "correct_injected_0041", "inject_injected_0041"),
        "run_injected_0081",
    }
    labels = {"run_ad_0061", "run_reference_0101"}
    assert {stage for stage, role in cost["roles"].items() if role == "accelerated"} == spin_up
    assert {stage for stage, role in cost["roles"].items() if role == "labels"} == labels
    assert {stage for stage, role in cost["roles"].items() if role == "inputs"} == {"make_world"}
    conventional = {"run_ad_0021", "run_ad_0061", "run_reference_0101"}
    assert cost["core_seconds_conventional"] == pytest.approx(
        sum(cost["core_seconds"][stage] for stage in conventional)
    )


def test_the_injected_restart_is_cdf5_and_differs_only_where_it_says(small_run: Workflow) -> None:
    injected = small_run.results / "restart" / RESTART
    base = small_run.results / "landmodel" / "ad" / RESTART
    changed = set(json.loads(injected.with_name(f"{RESTART}.diff.json").read_text())["variables_changed"])
    assert injected.read_bytes()[:4] == b"CDF\x05"
    with netCDF4.Dataset(injected) as new, netCDF4.Dataset(base) as old:
        for dataset in (new, old):
            dataset.set_auto_maskandscale(False)
        assert int(new["spinup_state"][...]) == 0
        assert list(new.variables) == list(old.variables)
        assert new.ncattrs() == old.ncattrs()
        for name, variable in old.variables.items():
            assert variable.ncattrs() == new[name].ncattrs(), name
            if name not in changed:
                assert variable[...].tobytes() == new[name][...].tobytes(), name


def test_the_injected_restart_passes_the_audit(small_run: Workflow) -> None:
    world = small_run.results / "world"
    result = small_run.phase(
        "audit",
        small_run.results / "restart" / RESTART,
        "--surface",
        world / "surfdata.nc",
        "--params",
        world / "clm_params.nc",
    )
    assert result.returncode == 0, result.stdout
