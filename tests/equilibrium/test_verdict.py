"""Verdicts on files: three runs side by side, and one run alone."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest

from phase_lib.base.errors import CheckFailed, InputError
from phase_lib.base.files import read_json
from phase_lib.cli import main
from phase_lib.config.equilibrium import EquilibriumSettings
from phase_lib.equilibrium.verdict import judge_equilibrium
from tests.helpers.history import Grid, linear, write_correction, write_history, write_split, years

SETTINGS = EquilibriumSettings()


def write_run(
    path: Path, slope: float | np.ndarray, start: float = 1.0e4, first: int = 0, last: int = 100
) -> Path:
    grid, bounds = Grid(), years(first, last, 1)
    stock = linear(grid, bounds, start, slope)
    fields = {"TOTECOSYSC": 2.0 * stock, "TOTSOMC": stock, "TOTVEGC": 0.5 * stock, "CWDC": 0.1 * stock}
    return write_history(path, grid, bounds, fields)


def judge_beside(runs: dict[str, list[Path]], tmp_path: Path, split: Path | None = None) -> dict[str, Any]:
    """Judges the injected run beside the others; writes `verdict.json` and `drift.nc`."""
    return judge_equilibrium(
        runs["injected"],
        20,
        SETTINGS,
        tmp_path / "verdict.json",
        runs={"control": runs["control"], "reference": runs["reference"]},
        split=split,
        drift=tmp_path / "drift.nc",
    )


def judge_alone(path: Path, output: Path, *, strict: bool = False) -> dict[str, Any]:
    return judge_equilibrium([path], 20, SETTINGS, output, strict=strict)


@pytest.fixture
def three(tmp_path: Path) -> dict[str, list[Path]]:
    return {
        "injected": [write_run(tmp_path / "injected.nc", 0.1, 1.0e4, 20, 120)],
        "control": [write_run(tmp_path / "control.nc", 30.0, 3.0e3, 20, 120)],
        "reference": [write_run(tmp_path / "reference.nc", 0.0, 1.0e4, 400, 1200)],
    }


def test_three_runs_are_judged_side_by_side(three: dict[str, list[Path]], tmp_path: Path) -> None:
    content = judge_beside(three, tmp_path)
    assert read_json(tmp_path / "verdict.json") == content
    assert list(content["runs"]) == ["injected", "control", "reference"]
    pg = Grid().land_area_m2.sum() / 1e15
    control = content["runs"]["control"]["all_cells"]["criteria"]["drift_totsomc_pgc_per_yr"]
    assert control["value"] == pytest.approx(30.0 * pg, rel=1e-9)
    assert not control["holds"]
    assert content["runs"]["reference"]["all_cells"]["in_equilibrium"]
    assert content["runs"]["reference"]["all_cells"]["years"] == 800
    error = content["relation_to_reference"]["injected"]["all_cells"]["totsomc_relative_error"]
    # Middle of the last cycle is year 110 of the clock.
    assert error == pytest.approx((1.0e4 + 0.1 * 110) / 1.0e4 - 1.0, rel=1e-6)
    gained = content["injected_against_control"]["all_cells"]
    assert gained["drift_totsomc_pgc_per_yr_within_limit"]
    assert gained["area_out_of_equilibrium_smaller"]


def test_blocked_test_cells_are_judged_alone(three: dict[str, list[Path]], tmp_path: Path) -> None:
    grid = Grid()
    slope = np.zeros(grid.cells)
    slope[[2, 7]] = 5.0
    three["injected"] = [write_run(tmp_path / "patchy.nc", slope, 1.0e4, 20, 120)]
    part = np.ones(grid.cells, dtype=np.int8)
    part[[2, 7]] = 3
    split = write_split(tmp_path / "split.nc", part, east=False)
    content = judge_beside(three, tmp_path, split)
    runs = content["runs"]["injected"]
    area = grid.land_area_m2
    assert runs["blocked_test_cells"]["cells"] == 2
    assert runs["blocked_test_cells"]["criteria"]["area_out_of_equilibrium"]["value"] == pytest.approx(1.0)
    assert runs["all_cells"]["criteria"]["area_out_of_equilibrium"]["value"] == pytest.approx(
        area[[2, 7]].sum() / area.sum(), rel=1e-9
    )
    with netCDF4.Dataset(tmp_path / "drift.nc") as nc:
        np.testing.assert_array_equal(np.flatnonzero(nc["test_cell"][:]), [2, 7])


def test_test_cells_of_other_domains_do_not_count(three: dict[str, list[Path]], tmp_path: Path) -> None:
    part = np.ones(Grid().cells, dtype=np.int8)
    part[[2, 7]] = 3
    split = write_split(tmp_path / "split.nc", part)
    with netCDF4.Dataset(split, "r+") as nc:
        nc["lat"][np.flatnonzero(nc["part"][:] == 3)[0]] = -77.0
    injected = judge_beside(three, tmp_path, split)["runs"]["injected"]
    assert injected["blocked_test_cells"]["cells"] == 1
    with netCDF4.Dataset(split, "r+") as nc:
        nc["lat"][:] = -77.0
    assert list(judge_beside(three, tmp_path, split)["runs"]["injected"]) == ["all_cells"]


def test_the_drift_file_holds_the_drift_of_every_cell_and_run(
    three: dict[str, list[Path]], tmp_path: Path
) -> None:
    judge_beside(three, tmp_path)
    with netCDF4.Dataset(tmp_path / "drift.nc") as nc:
        np.testing.assert_allclose(nc["drift_injected"][:], 0.2, rtol=1e-6)
        np.testing.assert_allclose(nc["drift_control"][:], 60.0, rtol=1e-6)
        np.testing.assert_allclose(nc["drift_reference"][:], 0.0, atol=1e-9)
        np.testing.assert_allclose(nc["lat"][:], Grid().cell_lat)
        assert nc["drift_injected"].units == "gC/m^2/yr"
        assert nc.code_version


def test_runs_of_two_grids_are_refused_and_nothing_is_written(
    three: dict[str, list[Path]], tmp_path: Path
) -> None:
    grid, bounds = Grid(lon=np.array([0.0, 5.0, 10.0])), years(20, 120)
    steady = {name: linear(grid, bounds, 1.0, 0.0) for name in ("TOTECOSYSC", "TOTSOMC", "TOTVEGC")}
    three["control"] = [write_history(tmp_path / "other.nc", grid, bounds, steady)]
    with pytest.raises(InputError, match=r"other\.nc.*control run.*another grid"):
        judge_beside(three, tmp_path)
    assert not (tmp_path / "verdict.json").exists()
    assert not (tmp_path / "drift.nc").exists()


def stepped(path: Path, slopes: tuple[float, ...], corrected: tuple[int, ...]) -> Path:
    """A run from model year 21 on: gains of each window of 20 years, gC/m2/yr, and 500 gC/m2 more at once at
    the start of the years `corrected`."""
    grid, bounds = Grid(), years(20, 20 + 20 * len(slopes), 1)
    rate = np.repeat(slopes, 20)
    moved = 500.0 * (bounds[:, :1] + 1.0 >= np.array(corrected)).sum(axis=1)
    stock = 1.0e4 + np.cumsum(rate) - 0.5 * rate + moved
    columns = {"TOTECOSYSC": stock, "TOTSOMC": stock, "TOTVEGC": np.ones(len(stock))}
    columns |= {"NBP": rate / (365.0 * 86400.0)}
    fields = {name: np.repeat(values[:, None], grid.cells, axis=1) for name, values in columns.items()}
    return write_history(path, grid, bounds, fields)


def test_a_corrected_run_is_judged_by_the_cycles_after_the_last_correction(tmp_path: Path) -> None:
    run = stepped(tmp_path / "run.nc", (9.0, 3.0, 0.1, 0.1), (41, 61))
    whole = judge_alone(run, tmp_path / "v.json")["criteria"]["area_out_of_equilibrium"]
    assert whole["by_cycle"] == [1.0, 1.0, 0.0]
    made = [write_correction(tmp_path / f"{year}.nc", year, size) for year, size in ((41, 0.03), (61, 0.01))]
    content = judge_equilibrium([run], 20, SETTINGS, tmp_path / "v.json", corrections={"injected": made})
    assert (content["years"], content["corrected_after"], content["cycles"]) == (80.0, [20.0, 40.0], 2)
    sizes = [one["variables"]["soil4c_vr"]["median_size"] for one in content["corrections"]]
    assert sizes == [0.03, 0.01]
    assert content["criteria"]["area_out_of_equilibrium"]["by_cycle"] == [0.0]
    assert content["criteria"]["area_out_of_equilibrium"]["years_until"] == 80.0


def test_what_a_cycle_gains_is_known_before_the_last_correction_too(tmp_path: Path) -> None:
    run = stepped(tmp_path / "run.nc", (9.0, 0.9, 3.0, 0.1, 0.1), (41, 61, 81))
    made = [write_correction(tmp_path / f"{year}.nc", year) for year in (41, 61, 81)]
    content = judge_equilibrium([run], 20, SETTINGS, tmp_path / "v.json", corrections={"injected": made})
    assert content["net_flux"] == {"run_year": [20.0, 40.0, 60.0, 80.0, 100.0], "area": [1, 0, 1, 0, 0]}


def test_a_window_that_is_a_part_of_a_cycle_moves_no_cycle(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run.nc", 0.5, first=20, last=65)
    made = [write_correction(tmp_path / "25.nc", 26)]
    content = judge_equilibrium([run], 20, SETTINGS, tmp_path / "v.json", corrections={"injected": made})
    assert (content["years"], content["cycles"], content["corrected_after"]) == (45.0, 2, [5.0])
    assert content["criteria"]["area_out_of_equilibrium"]["by_cycle"] == [0.0]
    assert content["criteria"]["area_out_of_equilibrium"]["years_until"] == 45.0


@pytest.mark.parametrize(
    ("year", "fault"),
    [
        (
            101,
            r"covers 20\.00 years after the last correction; expected at least two whole forcing cycles, 40",
        ),
        (121, r"the history ends at 121\.00; expected years after the correction at 121\.00"),
    ],
)
def test_a_run_without_two_cycles_after_its_last_correction_has_no_verdict(
    tmp_path: Path, year: int, fault: str
) -> None:
    run, made = write_run(tmp_path / "run.nc", 0.0, first=20, last=120), tmp_path / "correction.nc"
    with pytest.raises(InputError, match=fault):
        judge_equilibrium(
            [run], 20, SETTINGS, tmp_path / "v.json", corrections={"injected": [write_correction(made, year)]}
        )
    assert not (tmp_path / "v.json").exists()


@pytest.mark.parametrize(
    ("cells", "failing"),
    [("both", {"all_cells", "blocked_test_cells"}), ("blocked_test_cells", {"blocked_test_cells"})],
)
def test_a_round_says_on_which_cells_which_criteria_hold_the_run_back(
    tmp_path: Path, cells: Any, failing: set[str]
) -> None:
    grid = Grid()
    slope = np.zeros(grid.cells)
    slope[[2, 7]] = 5.0
    split = write_split(tmp_path / "split.nc", np.where(slope > 0.0, 3, 1).astype(np.int8))

    def judge(name: str, drift: np.ndarray, rounds: list[Path]) -> list[dict[str, Any]]:
        run = write_run(tmp_path / f"{name}.nc", drift, last=60)
        output = tmp_path / f"{name}.json"
        words = {"split": split, "cells": cells, "rounds": rounds}
        rounds_so_far: list[dict[str, Any]] = judge_equilibrium([run], 20, SETTINGS, output, **words)[
            "rounds"
        ]
        return rounds_so_far

    [first] = judge("round_0", slope, [])
    assert not first["holds"]
    assert set(first["failed"]) == failing
    assert all("area_out_of_equilibrium" in names for names in first["failed"].values())
    both = judge("round_1", np.zeros(grid.cells), [tmp_path / "round_0.json"])
    assert both[0] == first
    assert both[1]["holds"]


def test_corrections_belong_to_a_run_that_is_given(tmp_path: Path) -> None:
    run, made = write_run(tmp_path / "run.nc", 0.0), write_correction(tmp_path / "correction.nc", 41)
    with pytest.raises(InputError, match=r"corrections of the run contrl, .* expected one of injected"):
        judge_equilibrium([run], 20, SETTINGS, tmp_path / "v.json", corrections={"contrl": [made]})
    with pytest.raises(InputError, match=r"run\.nc.*correction"):
        judge_equilibrium([run], 20, SETTINGS, tmp_path / "v.json", corrections={"injected": [run]})


def test_one_run_alone_writes_its_verdict(tmp_path: Path) -> None:
    run = write_run(tmp_path / "h1.nc", 0.0)
    content = judge_alone(run, tmp_path / "verdict.json", strict=True)
    assert content == read_json(tmp_path / "verdict.json")
    assert content["in_equilibrium"] is True
    assert content["thresholds"]["stock_drift_pgc_per_yr"] == 0.02
    assert content["provenance"]["history"]["run"][0]["file"] == "h1.nc"


def test_strict_fails_with_exit_code_3_after_the_verdict_is_written(tmp_path: Path) -> None:
    run = write_run(tmp_path / "h1.nc", 50.0)
    with pytest.raises(CheckFailed, match="drift_totsomc_pgc_per_yr") as caught:
        judge_alone(run, tmp_path / "verdict.json", strict=True)
    assert caught.value.exit_code == 3
    assert read_json(tmp_path / "verdict.json")["in_equilibrium"] is False


def test_a_history_that_cannot_be_judged_leaves_no_verdict(tmp_path: Path) -> None:
    run = write_run(tmp_path / "h1.nc", 0.0, last=30)
    with pytest.raises(InputError):
        judge_alone(run, tmp_path / "verdict.json")
    assert not (tmp_path / "verdict.json").exists()


def test_the_verdict_does_not_depend_on_the_units_of_areas_and_bounds(tmp_path: Path) -> None:
    """Areas in m2 or steradian, land fractions in percent, bounds in hours: one run, one verdict."""
    true, other = (write_run(tmp_path / name, 0.01) for name in ("true.nc", "other.nc"))
    with netCDF4.Dataset(other, "r+") as nc:
        nc["area"][:], nc["area"].units = np.asarray(nc["area"][:], dtype="f8") * 1e6, "m2"
        nc["landfrac"][:], nc["landfrac"].units = 100.0 * nc["landfrac"][:], "%"
        nc["time_bounds"][:] = 24.0 * nc["time_bounds"][:] + 1.0
        nc["time_bounds"].units = "hours since 0000-12-31 23:00:00"
    one, two = (judge_alone(path, tmp_path / "v.json") for path in (true, other))
    for verdict in (one, two):
        assert verdict["share_of_global_land"] == pytest.approx(Grid().land_area_m2.sum() / 1.49e14)
    for name, criterion in one["criteria"].items():
        assert two["criteria"][name]["value"] == pytest.approx(criterion["value"], rel=1e-6), name
        assert two["criteria"][name]["threshold"] == pytest.approx(criterion["threshold"], rel=1e-6)
    assert two["stocks"] == pytest.approx(one["stocks"], rel=1e-6)


def test_the_verdict_reports_which_cells_a_fractional_mask_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, grid = write_run(tmp_path / "run.nc", 0.01), Grid()
    with netCDF4.Dataset(path, "r+") as nc:
        nc.renameVariable("landmask", "old")
        nc.createVariable("landmask", "f4", ("lat", "lon"))[:] = np.where(grid.land, 0.5, 0.0)
        for name in ("TOTECOSYSC", "TOTSOMC", "TOTVEGC", "CWDC"):
            nc[name][:, 2, 3] = 1.0e36
    with caplog.at_level("WARNING", logger="phase"):
        verdict = judge_alone(path, tmp_path / "v.json")
    line = "1 of 11 cells whose landmask is above 0 are left out: 1 without data, 0 without a land fraction"
    assert verdict["land_mask"] == [line]
    assert any(line in record.getMessage() for record in caplog.records)
    kept = np.arange(grid.cells - 1)
    assert verdict["land_area_km2"] == pytest.approx(grid.land_area_m2[kept].sum() / 1e6, rel=1e-6)
    assert read_json(tmp_path / "v.json")["cells"] == grid.cells - 1


def test_more_land_than_the_thresholds_stand_for_is_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_run(tmp_path / "run.nc", 0.01)
    settings = EquilibriumSettings(global_land_area_km2=1.0e6)
    with caplog.at_level("WARNING", logger="phase"):
        verdict = judge_equilibrium([path], 20, settings, tmp_path / "v.json")
    assert verdict["share_of_global_land"] == 1.0
    assert any("thresholds are not scaled" in record.getMessage() for record in caplog.records)


def test_histories_may_be_given_as_patterns(tmp_path: Path) -> None:
    for first in range(0, 60, 20):
        write_run(tmp_path / f"run.h1.{first:04d}.nc", 0.01, first=first, last=first + 20)
    arguments = ["equilibrium", "--forcing-years", "20", "--output", str(tmp_path / "v.json")]
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--history", str(tmp_path / "run.h1.*.nc")])
    assert ended.value.code == 0
    assert read_json(tmp_path / "v.json")["cycles"] == 3


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["--run", "control", "other.nc", "--output", "other.nc"], 2),
        (["--run", "injected", "other.nc", "--output", "v.json"], 2),
        (["--run", "control", "other.nc", "--output", "v.json"], 0),
    ],
)
def test_files_of_other_runs_are_never_overwritten_and_have_other_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], status: int
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("run.nc", "other.nc"):
        write_run(tmp_path / name, 0.01)
    before = (tmp_path / "other.nc").read_bytes()
    with pytest.raises(SystemExit) as ended:
        main(["equilibrium", "--forcing-years", "20", "--history", "run.nc", *words])
    assert (ended.value.code or 0) == status
    assert (tmp_path / "other.nc").read_bytes() == before


def test_snapshots_are_no_history_to_judge(tmp_path: Path) -> None:
    path = write_run(tmp_path / "run.nc", 0.01)
    with netCDF4.Dataset(path, "r+") as nc:
        nc["TOTVEGC"].cell_methods = "time: instantaneous"
    with pytest.raises(InputError, match=r"run\.nc: variable TOTVEGC holds snapshots"):
        judge_alone(path, tmp_path / "v.json")
    assert not (tmp_path / "v.json").exists()


def test_strict_judges_the_injected_run_of_several(three: dict[str, list[Path]], tmp_path: Path) -> None:
    """The control is out of equilibrium, which is no failure; then the injected run is."""
    for injected, fails in (("reference", False), ("control", True)):
        words = {"runs": {"control": three["control"]}, "drift": tmp_path / "drift.nc", "strict": True}
        with pytest.raises(CheckFailed, match="drift_totsomc") if fails else nullcontext():
            judge_equilibrium(three[injected], 20, SETTINGS, tmp_path / "v.json", **words)
        assert read_json(tmp_path / "v.json")["runs"]["injected"]["all_cells"]["in_equilibrium"] is not fails
