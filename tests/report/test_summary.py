"""`summary.json`: the keys that are promised, with numbers from the products."""

from __future__ import annotations

import shutil
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest

from phase_lib.base.errors import InputError
from phase_lib.base.files import read_json
from phase_lib.report.closing import closing_page, wins
from phase_lib.report.cost import ROLES, Stage, compared, read_costs
from phase_lib.report.products import RunFacts, RunProducts
from phase_lib.report.stabilisation import years_sentence
from phase_lib.report.summary import build_summary, write_summary
from tests.helpers.run_products import ERROR, SECONDS, GlobalGrid, synthetic_run

GRID = GlobalGrid(lat=np.arange(-52.5, 75.0, 7.5), lon=np.arange(3.75, 360.0, 7.5))
METRICS = {"r2", "r2_pooled", "rmse", "nrmse", "median_abs_log_ratio", "n"}
TARGETS = {"deadcrootc", "deadstemc", "tlai", "soil3c", "soil4c", "cwdc"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunProducts, RunFacts]:
    return synthetic_run(tmp_path_factory.mktemp("run"), GRID)


@pytest.fixture(scope="module")
def summary(run: tuple[RunProducts, RunFacts]) -> dict[str, Any]:
    return build_summary(*run)


def test_every_promised_key_is_there(summary: dict[str, Any]) -> None:
    assert {"run", "domain", "skill", "restart", "equilibrium", "stocks", "cost"} <= set(summary)
    assert {"name", "config_hash", "code_version", "seconds", "cores", "device"} <= set(summary["run"])
    for split in ("random", "block"):
        assert set(summary["skill"][split]) == {"phase", "paper", "state20", "analogue"}
        for model in summary["skill"][split].values():
            assert set(model) == TARGETS | {"leafc"}
            assert all(set(metrics) == METRICS for metrics in model.values())
    assert set(summary["headline"]) == TARGETS
    assert summary["models"]["paper"] == {"label": "PHASE, paper preset", "trained": True}
    assert not summary["models"]["analogue"]["trained"]
    for run in ("injected", "control", "reference"):
        assert {"drift_totsomc_pgc_per_yr", "drift_totvegc_pgc_per_yr", "area_out_of_equilibrium"} <= set(
            summary["equilibrium"][run]
        )
        assert set(summary["stocks"][run]) == {"totsomc_pgc", "totvegc_pgc", "cwdc_pgc"}
        assert "area_out_of_equilibrium" in summary["equilibrium"][run]["blocked_test_cells"]
    assert {"stable", "years_run", "audit_errors", "flagged_cells"} <= set(summary["restart"])


def test_the_summary_says_how_often_the_run_was_corrected_and_on_which_cells_criteria_hold(
    summary: dict[str, Any],
) -> None:
    stabilisation = summary["stabilisation"]
    assert stabilisation["normal_years"] == 100
    # Injected at the start of year 21, corrected at that of year 61.
    [correction] = stabilisation["corrections"]["injected"]
    assert correction["model_year"] == 60
    assert correction["nitrogen"]["response"] == 5.0
    assert correction["variables"]["soil4c_vr"]["median_size"] == 0.01
    assert correction["audit"] == {"errors": 0, "notes": 2}
    assert set(stabilisation["holds"]) == {"injected", "control", "no_surrogate", "reference"}
    assert set(stabilisation["holds"]["injected"]) == {"all_cells", "blocked_test_cells"}


def test_model_years_until_the_verdict_holds_count_from_the_cold_start(
    run: tuple[RunProducts, RunFacts], summary: dict[str, Any]
) -> None:
    verdict = read_json(run[0].verdict)["runs"]
    until = summary["stabilisation"]["years_until"]
    assert set(until) == set(verdict)
    # 20 AD years before injection, 400 before the reference goes on in normal mode.
    for name, before in (("injected", 20), ("control", 20), ("reference", 400)):
        for cells, numbers in verdict[name].items():
            years = [c["years_until"] for c in numbers["criteria"].values() if not c["prescribed"]]
            holds = all(c["holds"] for c in numbers["criteria"].values())
            assert until[name][cells] == (before + max(years) if holds else None)
    assert until["reference"]["all_cells"] is not None
    assert until["control"]["all_cells"] is None


def changed(summary: dict[str, Any], **until: float | None) -> dict[str, Any]:
    """The summary of a run whose verdicts hold after so many model years."""
    content = deepcopy(summary)
    part = content["stabilisation"]
    part["years_until"] |= {run: {"all_cells": years} for run, years in until.items()}
    first, last = until["injected"], until["reference"]
    part["ratio"]["all_cells"] = last / first if first and last else None
    return content


@pytest.mark.parametrize(
    ("injected", "reference", "sentence"),
    [
        (
            140.0,
            1120.0,
            "In equilibrium 140 model years after the cold start, corrected once; the conventional spin-up "
            "after 1120 (8 times fewer).",
        ),
        (None, 1120.0, "Not in equilibrium 120 model years after the cold start, corrected once; the"),
        (140.0, None, "the conventional spin-up is not within 1200."),
    ],
)
def test_the_first_sentence_compares_the_years_to_the_same_verdict(
    summary: dict[str, Any], injected: float | None, reference: float | None, sentence: str
) -> None:
    content = changed(summary, injected=injected, reference=reference)
    assert sentence in years_sentence(content)
    assert sentence.split(",")[0] in " ".join(closing_page(content).split("\n\n")[0].splitlines())


def test_a_corrected_reference_is_not_called_conventional(summary: dict[str, Any]) -> None:
    content = changed(summary, injected=140.0, reference=540.0)
    corrections = content["stabilisation"]["corrections"]
    corrections["reference"] = corrections["injected"] * 4
    assert years_sentence(content).endswith(
        "; the reference, corrected 4 times, after 540 (3.9 times fewer)."
    )


def test_an_error_in_the_audit_of_a_corrected_restart_is_named_with_run_and_year(
    run: tuple[RunProducts, RunFacts], summary: dict[str, Any], tmp_path: Path
) -> None:
    assert "Audit: 0 errors after every correction." in closing_page(summary)
    audits = []
    for year, errors in ((41, 7), (61, 3)):
        audits.append(tmp_path / f"{year}.audit.json")
        audits[-1].write_text(f'{{"date": "00{year}-01-01", "errors": {errors}, "notes": 0}}')
    with_errors = replace(run[0], correction_audits={"injected": audits})
    # The run was corrected at the start of year 61 alone.
    named = "Audit: ERRORS after corrections, 3 in the injected run after 60 model years."
    assert named in closing_page(build_summary(with_errors, run[1]))
    with pytest.raises(InputError, match=r"correction\.nc has no audit"):
        build_summary(replace(run[0], correction_audits={"injected": audits[:1]}), run[1])


def test_the_summary_on_disk_is_plain_json(run: tuple[RunProducts, RunFacts], tmp_path: Path) -> None:
    content = write_summary(*run, tmp_path / "summary.json")
    assert read_json(tmp_path / "summary.json") == content


def test_skill_orders_the_models_by_the_scatter_they_were_given(summary: dict[str, Any]) -> None:
    for models in summary["skill"].values():
        for target in TARGETS:
            ratio = {model: models[model][target]["median_abs_log_ratio"] for model in ERROR}
            assert ratio["phase"] < ratio["paper"] < ratio["analogue"] < ratio["state20"]
            # The median of |N(0, s)| is 0.6745 s.
            assert ratio["phase"] == pytest.approx(0.6745 * ERROR["phase"], rel=0.35)


def test_cells_are_counted_per_part(run: tuple[RunProducts, RunFacts], summary: dict[str, Any]) -> None:
    for split, path in run[0].splits.items():
        with netCDF4.Dataset(path) as nc:
            part = np.asarray(nc["part"][:])
        assert summary["domain"]["splits"][split]["test"] == np.sum(part == 3)
        assert sum(summary["domain"]["splits"][split].values()) == GRID.cells == summary["domain"]["cells"]


def test_the_restart_is_stable_when_it_ran_all_years(
    run: tuple[RunProducts, RunFacts], summary: dict[str, Any]
) -> None:
    assert summary["restart"]["years_run"] == 100
    assert summary["restart"]["stable"] is True
    products, facts = run
    longer = replace(facts, stabilisation_years=200)
    assert build_summary(products, longer)["restart"]["stable"] is False


def test_drift_and_stocks_are_those_of_the_runs_that_were_written(
    run: tuple[RunProducts, RunFacts], summary: dict[str, Any]
) -> None:
    # The verdict is one route; here the same numbers come straight from the history files.
    def yearly(name: str, field: str) -> np.ndarray:
        with netCDF4.Dataset(run[1].directory / f"{name}.nc") as nc:
            values = np.asarray(nc[field][:].filled(0.0))
            return values.reshape(len(values), -1) @ (GRID.area * GRID.landfrac).reshape(-1) * 1e6 / 1e15

    for name in ("injected", "control"):
        soil = yearly(name, "TOTSOMC")
        drift = (soil[80:].mean() - soil[60:80].mean()) / 20
        value = summary["equilibrium"][name]["drift_totsomc_pgc_per_yr"]
        # The grid's areas are stored as float32.
        assert value == pytest.approx(drift, rel=1e-5, abs=1e-6)
        assert summary["stocks"][name]["totsomc_pgc"] == pytest.approx(soil[80:].mean(), rel=1e-6)
    assert summary["stocks"]["reference"]["totsomc_pgc"] == pytest.approx(
        yearly("reference", "TOTSOMC")[-1], rel=1e-6
    )


def test_cost_adds_up_and_counts_the_labels(summary: dict[str, Any]) -> None:
    cost = summary["cost"]
    assert cost["integration_years"]["conventional"] == 1200
    assert cost["ratio"] == {"before_injection": 60.0, "with_stabilisation": 10.0}
    # 1.5 cores were busy; the short verdict was not sampled and counts its wall-clock time.
    expected = {stage: 1.5 * s for stage, s in SECONDS.items()} | {"judge_equilibrium": 2.0}
    assert cost["core_seconds"] == pytest.approx(expected)
    assert sum(cost["core_seconds_by_role"].values()) == pytest.approx(sum(expected.values()))
    assert cost["core_seconds_by_role"]["labels"] == pytest.approx(1.5 * (100 + 200))
    assert cost["core_seconds_conventional"] == pytest.approx(1.5 * (10 + 100 + 200))
    accelerated = 1.5 * (8 + 10 + 4 + 0.5 + 60 + 26)
    assert cost["core_seconds_by_role"]["accelerated"] == pytest.approx(accelerated)
    assert cost["ratio_core_seconds"] == pytest.approx(1.5 * 310 / accelerated)


def test_cores_held_count_where_the_benchmark_says_how_many(tmp_path: Path) -> None:
    (tmp_path / "run_ad_0021.tsv").write_text(
        's\tcpu_time\tparams\tthreads\n10.0\t12.0\t{"a": "b"}\t2\n', encoding="utf-8"
    )
    plan = {"run_ad_0021": Stage("run_ad_0021", "run_ad", "accelerated", 20)}
    (cost,) = read_costs(tmp_path, plan)
    assert (cost.seconds, cost.core_seconds, cost.stage) == (10.0, 20.0, plan["run_ad_0021"])


@pytest.mark.parametrize(
    ("ratio", "less", "words"),
    [
        (60.0, "fewer", "60 times fewer"),
        (1.66, "less", "1.7 times less"),
        (0.25, "less", "4 times more"),
        (1.01, "less", "the same"),
        (0.99, "fewer", "the same"),
        (1200.0, "fewer", "1,200 times fewer"),
    ],
)
def test_a_cost_is_said_to_be_less_only_where_it_is(ratio: float, less: str, words: str) -> None:
    assert compared(ratio, less) == words


def test_the_closing_page_says_when_the_accelerated_run_cost_more(summary: dict[str, Any]) -> None:
    dear = summary | {"cost": summary["cost"] | {"ratio_core_seconds": 0.5}}
    assert "(2 times more)" in closing_page(dear)
    assert "(2 times more)" not in closing_page(summary)


def test_what_stages_count_as_names_no_number_of_years() -> None:
    assert not any(character.isdigit() for meaning in ROLES.values() for character in meaning)


def test_the_closing_page_leaves_the_paper_preset_to_the_report(
    summary: dict[str, Any], tmp_path: Path
) -> None:
    assert "paper" not in closing_page(summary)
    without = build_summary(*synthetic_run(tmp_path / "run", GRID, paper=False))
    assert set(without["skill"]["block"]) == {"phase", "state20", "analogue"}
    assert "PHASE beats input state and analogue on 6 of 6" in closing_page(without)


def test_criteria_that_the_forcing_prescribes_are_not_counted(summary: dict[str, Any]) -> None:
    # Three drifts, the area, and the relative drift of soil carbon; water repeats with the forcing.
    for run in ("injected", "control", "reference"):
        assert summary["equilibrium"][run]["criteria_prescribed"] == ["drift_tws_mm_per_yr"]
        assert summary["equilibrium"][run]["criteria_tested"] == 5
    failed = len(summary["equilibrium"]["control"]["criteria_failed"])
    assert f"{failed} of 5" in closing_page(summary)


def test_a_file_that_is_no_benchmark_is_refused(run: tuple[RunProducts, RunFacts], tmp_path: Path) -> None:
    (tmp_path / "make_world.tsv").write_text("nothing\n", encoding="utf-8")
    products = replace(run[0], benchmarks=tmp_path)
    with pytest.raises(InputError, match=r"make_world\.tsv.*no benchmark table"):
        build_summary(products, run[1])


def test_a_missing_product_is_named(run: tuple[RunProducts, RunFacts], tmp_path: Path) -> None:
    products = replace(run[0], verdict=tmp_path / "verdict.json")
    with pytest.raises(InputError, match=r"verdict\.json: does not exist"):
        build_summary(products, run[1])


def test_test_files_without_the_run_s_own_model_are_refused(
    run: tuple[RunProducts, RunFacts], tmp_path: Path
) -> None:
    other = shutil.copy(run[0].tests["block"][0], tmp_path / "test_block.nc")
    with netCDF4.Dataset(other, "a") as nc:
        nc.models = nc.models.replace('"phase"', '"other"')
    products = replace(run[0], tests={**run[0].tests, "block": [other]})
    with pytest.raises(InputError, match=r"test_block\.nc: holds the models other, .*expected phase among"):
        build_summary(products, run[1])


def test_a_summary_of_another_version_is_refused_in_one_line(summary: dict[str, Any]) -> None:
    old = {name: section for name, section in summary.items() if name != "models"}
    with pytest.raises(InputError, match="no summary of this version: it has no models; write the report"):
        closing_page(old)


def test_the_closing_page_fits_a_terminal_and_says_what_matters(summary: dict[str, Any]) -> None:
    page = closing_page(summary)
    lines = page.splitlines()
    assert len(lines) <= 40
    # All but the lines with paths, which are as long as they are.
    assert max(len(line) for line in lines if not line.startswith(("Report:", "Numbers:", "Restart:"))) <= 100
    skill = summary["skill"]["block"]["phase"]["soil4c"]["r2"]
    for text in (
        "PHASE beats input state and analogue on 6 of 6 variables in R2 and on 6 of 6 in log ratio",
        f"{skill:.3f}",
        f"{summary['equilibrium']['control']['drift_totsomc_pgc_per_yr']:+.3f}",
        "1200 model years",
        "index.html",
        "ad.elm.r.0021-01-01-00000.nc",
    ):
        assert text in page


def test_wins_count_targets_where_phase_beats_every_baseline() -> None:
    def won(metric: str, **values: float | None) -> int:
        skill = {model: {"x": {metric: value}} for model, value in values.items()}
        models = {model: {"label": model, "trained": model in ("phase", "paper")} for model in values}
        return wins({"skill": {"block": skill}, "models": models, "headline": ["x"]}, "block", metric)

    assert won("r2", phase=0.9, state20=0.1, analogue=0.8) == 1
    assert won("r2", phase=0.7, state20=0.1, analogue=0.8) == 0
    assert won("r2", phase=None, state20=0.1, analogue=0.8) == 0
    assert won("r2", phase=0.7, state20=None, analogue=0.6, paper=0.9) == 1
    assert won("nrmse", phase=0.1, state20=0.3) == 1
