"""Runs whose target's land-model output was given: they end at the injected restart, without a verdict."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pandas as pd
import pytest

from phase_lib.base.files import read_json
from phase_lib.cli import main
from phase_lib.report import figures
from phase_lib.report.closing import closing_page
from phase_lib.report.page import write_report
from phase_lib.report.products import RunFacts, RunProducts
from phase_lib.report.restart import next_steps
from phase_lib.report.summary import build_summary, write_summary
from tests.helpers.history import Grid, write_history, years
from tests.helpers.run_products import ARCHIVE_SECONDS, STOCKS, GlobalGrid, synthetic_archive_run
from tests.report.test_page import SURROGATE_FIGURES, Links

GRID = GlobalGrid(lat=np.arange(-52.5, 75.0, 7.5), lon=np.arange(3.75, 360.0, 7.5))
SITES = np.random.default_rng(5)
LAT, LON = SITES.uniform(-50.0, 70.0, 80), SITES.uniform(-180.0, 180.0, 80)
FIGURES = SURROGATE_FIGURES | {"restart_maps"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunProducts, RunFacts]:
    """80 sites; 60 of the 79 with complete inputs lie beyond the threshold."""
    products, facts = synthetic_archive_run(tmp_path_factory.mktemp("run"), GRID, LAT, LON, flagged=0.75)
    write_summary(products, facts, facts.directory / "summary.json")
    write_report(facts.directory / "summary.json", products, facts.directory / "report")
    return products, facts


@pytest.fixture(scope="module")
def root(run: tuple[RunProducts, RunFacts]) -> Path:
    return run[1].directory


@pytest.fixture(scope="module")
def summary(root: Path) -> dict[str, Any]:
    return read_json(root / "summary.json")


@pytest.fixture(scope="module")
def page(root: Path) -> str:
    return (root / "report" / "index.html").read_text(encoding="utf-8")


def test_nothing_is_claimed_of_a_run_that_was_not_made(summary: dict[str, Any]) -> None:
    assert {"run", "domain", "skill", "restart", "equilibrium", "stocks", "cost"} <= set(summary)
    assert summary["equilibrium"] == {}
    assert summary["restart"]["stable"] is None
    assert summary["restart"]["years_run"] is None
    assert summary["restart"]["audit_errors"] == 0


def test_stocks_are_those_of_the_base_and_of_the_injected_restart(summary: dict[str, Any]) -> None:
    for which, state, place in (("base", 1, 0), ("injected", 0, 1)):
        expected = {f"{name.removesuffix('_vr')}_pgc": values[place] for name, values in STOCKS.items()}
        assert summary["stocks"][which] == expected | {"spinup_state": state}


def test_cells_are_counted_for_every_domain(
    run: tuple[RunProducts, RunFacts], summary: dict[str, Any]
) -> None:
    with netCDF4.Dataset(run[0].splits["block"]) as nc:
        part = np.asarray(nc["part"][: GRID.cells])
    with netCDF4.Dataset(run[0].predictions) as nc:
        flagged = int(np.sum(nc["ood_flag"][:]))
    assert summary["domain"]["cells"] == len(LAT)
    assert summary["domain"]["domains"] == {
        "embedded": {
            "cells": GRID.cells,
            "incomplete": 0,
            "trained_on": int(np.sum((part == 1) | (part == 2))),
            "tested_on": int(np.sum(part == 3)),
            "predicted": 0,
            "flagged": 0,
        },
        "my-sites": {
            "cells": 80,
            "incomplete": 1,
            "trained_on": 0,
            "tested_on": 0,
            "predicted": 79,
            "flagged": flagged,
        },
    }


def test_land_area_is_that_of_the_target_alone(summary: dict[str, Any]) -> None:
    # 80 cells of 1000 to 2000 km2, nine tenths of them land.
    assert summary["domain"]["land_area_km2"] == pytest.approx(80 * 1500.0 * 0.9)


def test_cost_is_what_was_measured_here(summary: dict[str, Any]) -> None:
    cost = summary["cost"]
    assert cost["integration_years"] == {
        "conventional": None,
        "before_injection": 20,
        "with_stabilisation": None,
        "labels": 1200,
    }
    assert cost["ratio"] == {"before_injection": None, "with_stabilisation": None}
    assert cost["core_seconds_conventional"] is None
    assert cost["ratio_core_seconds"] is None
    assert cost["core_seconds_total"] == pytest.approx(1.5 * sum(ARCHIVE_SECONDS.values()))
    roles = cost["core_seconds_by_role"]
    assert roles["accelerated"] == pytest.approx(1.5 * (0.5 + 60 + 3 + 2 + 1.5))
    assert roles["labels"] == pytest.approx(1.5 * (8 + 10 + 100 + 200 + 4))


def test_labels_that_were_given_have_no_known_length(run: tuple[RunProducts, RunFacts]) -> None:
    again = build_summary(run[0], replace(run[1], training=("my-sites",), labelled_here=(), label_years=None))
    assert again["cost"]["integration_years"]["labels"] is None


def test_the_base_is_named_with_the_date_of_the_file(
    run: tuple[RunProducts, RunFacts], summary: dict[str, Any], tmp_path: Path
) -> None:
    base = summary["target"]["base"]
    assert (base["date"], base["spinup_state"]) == ("0021-01-01", 1)
    other = tmp_path / "other.nc"
    other.write_bytes(run[0].restart.read_bytes())
    with netCDF4.Dataset(other, "r+") as nc:
        nc["timemgr_rst_curr_ymd"][...] = 250701
    again = build_summary(replace(run[0], restart=other), run[1])["target"]
    assert again["base"]["date"] == "0025-07-01"
    assert "./xmlchange RUN_STARTDATE=0025-07-01,STOP_OPTION=nyears,STOP_N=20" in again["next"]["case"]
    assert again["next"]["windows"][0]["end"] == "0045-07-01"


def test_the_page_says_how_elm_takes_the_restart_up(
    run: tuple[RunProducts, RunFacts], root: Path, page: str
) -> None:
    text = re.sub(r"<[^>]*>", "", page).replace("&#39;", "'")
    for line in (
        f"finidat = '{run[0].restart.absolute()}'",
        "spinup_state = 0",
        "suplphos = 'NONE'",
        "./xmlchange ELM_FORCE_COLDSTART=off,RUN_TYPE=startup,CONTINUE_RUN=FALSE",
        # Two windows, and the years that are judged.
        "./xmlchange RUN_STARTDATE=0021-01-01,STOP_OPTION=nyears,STOP_N=20",
        "./xmlchange RUN_STARTDATE=0041-01-01,STOP_OPTION=nyears,STOP_N=40",
        "./xmlchange RUN_STARTDATE=0081-01-01,STOP_OPTION=nyears,STOP_N=40",
        "Run 20 + 40 years, each with a correction at its end, then 40 years that are judged.",
        f"--before {run[0].restart.absolute().parent}/corrected/0041-01-01.correction.nc",
        "'SOIL4C_TNDNCY_VERT_TRANS', 'NDEP_TO_SMINN', 'NFIX_TO_SMINN'",
        "hist_nhtfrq = 0, -8760, -175200\nhist_mfilt = 1, 20, 1",
        "-bgc_spinup on",
        "--history RUNDIR/*.elm.h1.*.nc",
        # Where the short-term archive puts it; the newest file is in both places.
        "--history DOUT_S_ROOT/lnd/hist/*.elm.h1.*.nc",
        "Name one of them alone",
    ):
        assert line in text
    assert run[0].restart.is_absolute()


@pytest.mark.parametrize(("step", "place"), [("judge", "RUNDIR"), ("judge_archived", "DOUT_S_ROOT/lnd/hist")])
def test_the_command_that_judges_the_run_works_as_it_is_written(
    summary: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, place: str
) -> None:
    grid = Grid()
    listed = re.findall(r"'(\w+)'", summary["target"]["next"]["history"][0])
    fields = {name: np.ones((40, grid.cells)) for name in listed}
    (tmp_path / place).mkdir(parents=True)
    write_history(tmp_path / place / "case.elm.h1.0022-01-01-00000.nc", grid, years(20, 60, 1), fields)
    monkeypatch.chdir(tmp_path)
    command = summary["target"]["next"][step].replace("/*", "/case")
    words = shlex.split(command.replace(".h1.*", ".h1.0022-01-01-00000"))
    with pytest.raises(SystemExit) as end:
        main(words[1:])
    assert words[0] == "phase"
    assert end.value.code == 0
    criteria = read_json(tmp_path / "verdict.json")
    assert "drift_totsomn" in json.dumps(criteria)


def test_the_commands_after_a_window_work_as_they_are_written_on_a_window_of_real_elm(
    run: tuple[RunProducts, RunFacts],
    elm_window: Path,
    elm_sample: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    files = {
        "surface": elm_sample / "surfdata.biomes.1d.nc",
        "params": elm_sample / "clm_params_c211124.nc",
        "soil_params": elm_sample / "CNP_parameters_c180529.nc",
    }
    facts = replace(
        run[1],
        windows=(20,),
        files={key: str(path.absolute()) for key, path in files.items()},
        correction={"damping": 0.5},
    )
    start = tmp_path / "restart" / "win.elm.r.0101-01-01-00000.nc"
    start.parent.mkdir()
    start.symlink_to((elm_window / start.name).absolute())
    # What ELM was asked for is in the window's history.
    steps = next_steps(start, {"date": "0101-01-01"}, facts)
    with netCDF4.Dataset(elm_window / "win.elm.h1.0121-01-01-00000.nc") as nc:
        assert set(re.findall(r"'(\w+)'", steps["history"][1])) <= set(nc.variables)
    (tmp_path / "RUNDIR").mkdir()
    for name in ("r.0121-01-01-00000.nc", "h1.0121-01-01-00000.nc"):
        place = tmp_path / "RUNDIR" / f"CASE.elm.{name.replace('h1', 'h2')}"
        place.symlink_to((elm_window / f"win.elm.{name}").absolute())
    monkeypatch.chdir(tmp_path)
    [window] = steps["windows"]
    for step in ("correct", "inject"):
        with pytest.raises(SystemExit) as end:
            main(shlex.split(window[step].replace("\\\n", ""))[1:])
        assert end.value.code == 0
    corrected = tmp_path / "restart" / "corrected" / "0121-01-01.elm.r.nc"
    assert window["namelist"] == f"finidat = '{corrected}'"
    with netCDF4.Dataset(corrected.with_name("0121-01-01.correction.nc")) as nc:
        assert json.loads(nc.correction)["settings"]["damping"] == 0.5
    assert read_json(Path(f"{corrected}.diff.json"))["variables_changed"]["soil4c_vr"]


def test_a_target_that_is_not_corrected_runs_all_years_at_once(
    run: tuple[RunProducts, RunFacts], page: str
) -> None:
    steps = next_steps(run[0].restart, {"date": "0021-01-01"}, replace(run[1], windows=()))
    assert steps["schedule"] == "100 years"
    for windows, words in (((20,), "20 years with a"), ((20,) * 4, "4 x 20 years, each with a")):
        other = next_steps(run[0].restart, {"date": "0021-01-01"}, replace(run[1], windows=windows))
        assert other["schedule"].startswith(f"{words} correction at its end, then")
    assert "./xmlchange RUN_STARTDATE=0021-01-01,STOP_OPTION=nyears,STOP_N=100" in steps["case"]
    assert steps["history"][1:] == ["hist_nhtfrq = 0, -8760", "hist_mfilt = 1, 20"]
    assert steps["windows"] == []


def test_windows_that_are_a_part_of_a_cycle_have_means_that_end_with_them(
    run: tuple[RunProducts, RunFacts],
) -> None:
    steps = next_steps(run[0].restart, {"date": "0021-01-01"}, replace(run[1], windows=(5, 20, 20)))
    assert "hist_nhtfrq = 0, -8760, -43800" in steps["history"]
    assert ["--part-of-a-cycle" in window["correct"] for window in steps["windows"]] == [True, False, False]
    # Nitrogen is balanced from two whole windows.
    assert ["--before" in window["correct"] for window in steps["windows"]] == [False, False, True]


def test_the_page_has_no_empty_section_and_no_dead_link(root: Path, page: str) -> None:
    links = Links()
    links.feed(page)
    for link in links.addresses:
        if link.startswith("#"):
            assert link[1:] in links.ids
        else:
            assert (root / "report" / link).resolve().is_file(), link
    assert not {"verdict", "stocks"} & links.ids
    assert {"use", "holds"} <= links.ids
    assert not re.search(r"<h2[^>]*>[^<]*</h2>\s*(<h2|</body)", page)
    text = re.sub(r"<[^>]*>", " ", page)
    assert "None" not in text
    assert not re.search(r"\bnan\b", text)


def test_the_figures_are_those_that_need_no_run(root: Path, page: str) -> None:
    assert {path.stem for path in (root / "report" / "figures").iterdir()} == FIGURES
    for name in FIGURES:
        assert f"figures/{name}.png" in page


def test_flagged_cells_are_listed_with_the_reason(
    run: tuple[RunProducts, RunFacts], root: Path, page: str
) -> None:
    with netCDF4.Dataset(run[0].predictions) as nc:
        flag, score = np.asarray(nc["ood_flag"][:]) == 1, np.asarray(nc["ood_score"][:])
    table = pd.read_csv(root / "report" / "tables" / "flagged_cells.csv")
    np.testing.assert_array_equal(table["cell"], np.flatnonzero(flag) + 1)
    np.testing.assert_allclose(table["lat"], LAT[flag])
    np.testing.assert_allclose(table["score"], score[flag])
    assert len(table) > 50
    # The last cell has no complete inputs.
    assert list(table["reason"]) == ["out of distribution"] * (len(table) - 1) + ["incomplete inputs"]
    assert page.count("out of distribution</td>") == 50
    assert f"the first 50 of {len(table)}" in page


def test_the_page_says_whose_cells_the_skill_is_of(page: str) -> None:
    assert "Test cells are cells of embedded: my-sites has no labels" in page
    assert "stand-in for ELM with weather of its own" in page


@pytest.mark.usefixtures("blank_figures")
def test_the_map_of_the_splits_leaves_out_domains_that_are_not_trained_on(
    run: tuple[RunProducts, RunFacts], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen = {}

    def record(splits: Any, parts: Any, distance: Any) -> Any:
        seen.update(splits)
        return split_maps(splits, parts, distance)

    split_maps = figures.split_maps
    monkeypatch.setattr(figures, "split_maps", record)
    write_report(run[1].directory / "summary.json", run[0], tmp_path / "report")
    for grid, part in seen.values():
        assert len(part) == len(grid.lat) == GRID.cells


def test_the_closing_page_ends_with_what_to_do(summary: dict[str, Any]) -> None:
    page = closing_page(summary)
    lines = page.splitlines()
    assert len(lines) <= 40
    assert max(len(line) for line in lines if not line.startswith(("Report:", "Numbers:", "Restart:"))) <= 100
    for text in (
        "restart for my-sites, 80 cells",
        "flagged cells: ",
        "spinup_state = 0",
        "CONTINUE_RUN=FALSE",
        "run 20 + 40 years, each with a correction at its end, then 40 years that are judged",
        "phase equilibrium --history",
        "PHASE beats input state and analogue on 6 of 6 variables in R2",
        "ad20.elm.r.0021-01-01-00000.nc",
    ):
        assert text in page
    assert "equilibrium at" not in page
    many = summary["domain"]["domains"] | {
        f"more{i}": summary["domain"]["domains"]["embedded"] for i in range(9)
    }
    longer = summary | {"domain": summary["domain"] | {"domains": many}}
    assert len(closing_page(longer).splitlines()) <= 40


@pytest.mark.usefixtures("blank_figures")
def test_a_restart_without_any_prediction_in_it_is_called_that(tmp_path: Path) -> None:
    products, facts = synthetic_archive_run(tmp_path / "run", GRID, LAT[:9], LON[:9], flagged=1.0)
    summary = write_summary(products, facts, tmp_path / "summary.json")
    assert summary["restart"]["flagged_cells"] == 9
    assert "EVERY cell is flagged: this restart contains nothing of the surrogate" in closing_page(summary)
    html = write_report(tmp_path / "summary.json", products, tmp_path / "report").read_text(encoding="utf-8")
    assert "All 9 cells are flagged" in html
    predicted = build_summary(products, replace(facts, ood_action="predict"))
    assert "EVERY" not in closing_page(predicted)


def _command(products: RunProducts, output: Path) -> list[str]:
    files = dict.fromkeys(("domain", "params", "soil_params", "restart"), "given.nc")
    files["surface"] = "~/surf.nc"
    forcing = {"product": "GSWP3 v1", "first_year": 1901, "years": 10, "files": ["*.nc"]}
    config = {
        "run": {"name": "synthetic"},
        "land_model": {"backend": "archive"},
        "target": {"domain": "my-sites"},
        "stabilisation": {"windows": [20, 30]},
        "correction": {"damping": 0.5},
        "domains": {
            "my-sites": files | {"history": ["h.nc"], "spinup_mortality_factor": 10.0, "forcing": forcing}
        },
    }
    words = ["report", "--dataset", products.dataset, "--predictions", products.predictions]
    words += [
        "--restart",
        products.restart,
        "--diff",
        products.diff,
        "--audit",
        products.audit,
        "--config",
        json.dumps(config),
    ]
    words += ["--benchmarks", products.benchmarks, "--stages", products.stages]
    for split, path in products.splits.items():
        words += ["--split", split, path]
        words += [word for test in products.tests[split] for word in ("--test", split, test)]
    return [str(word) for word in [*words, "--summary", output / "summary.json", "--output-dir", output]]


@pytest.mark.usefixtures("blank_figures")
def test_the_command_reports_without_a_verdict(run: tuple[RunProducts, RunFacts], tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as end:
        main(_command(run[0], tmp_path))
    assert end.value.code == 0
    again = read_json(tmp_path / "summary.json")
    assert (again["target"]["domain"], again["target"]["trained_on"]) == (
        "my-sites",
        ["embedded"],
    )
    # The target's own forcing cycle.
    steps = again["target"]["next"]
    assert "--forcing-years 10" in steps["judge"]
    # The windows, files and bounds of the configuration.
    assert [window["years"] for window in steps["windows"]] == [20, 30]
    assert f"--surface {Path.home()}/surf.nc " in steps["windows"][0]["inject"]
    assert "--settings '{\"damping\": 0.5}'" in steps["windows"][0]["correct"]
    assert (tmp_path / "index.html").is_file()


def test_a_verdict_without_its_drift_is_refused_in_one_line(
    run: tuple[RunProducts, RunFacts], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main([*_command(run[0], tmp_path), "--verdict", "verdict.json"])
    assert end.value.code == 2
    error = capsys.readouterr().err
    assert "--verdict and --drift go together" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "summary.json").exists()
