"""The criteria, on histories whose drifts are known in closed form."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from phase_lib.base.errors import InputError
from phase_lib.config.equilibrium import EquilibriumSettings
from phase_lib.equilibrium import criteria
from phase_lib.equilibrium.criteria import Rule, RunVerdict, assess, assess_subsets
from phase_lib.equilibrium.cycles import CycleHistory
from phase_lib.equilibrium.verdict import describe
from tests.helpers.history import Grid, decay, linear, write_history, years

SETTINGS = EquilibriumSettings()
UNSCALED = EquilibriumSettings(scale_by_area=False)


def steady(grid: Grid, bounds: np.ndarray) -> dict[str, np.ndarray]:
    return {name: linear(grid, bounds, 1000.0, 0.0) for name in ("TOTECOSYSC", "TOTSOMC", "TOTVEGC")}


def judge(
    tmp_path: Path,
    fields: dict[str, np.ndarray],
    bounds: np.ndarray,
    settings: EquilibriumSettings = SETTINGS,
) -> RunVerdict:
    return assess([write_history(tmp_path / "h1.nc", Grid(), bounds, fields)], 20, settings)


def test_a_linear_trend_is_found_exactly_whatever_the_weather(tmp_path: Path) -> None:
    grid, bounds = Grid(), years(20, 120)
    fields = steady(grid, bounds) | {"TOTSOMC": linear(grid, bounds, 9000.0, 2.5)}
    verdict = judge(tmp_path, fields, bounds)
    expected = 2.5 * grid.land_area_m2.sum() / 1e15
    assert verdict.value("drift_totsomc_pgc_per_yr") == pytest.approx(expected, rel=1e-9)
    assert verdict.value("drift_totvegc_pgc_per_yr") == pytest.approx(0.0, abs=1e-12)


def test_the_drift_is_years_81_to_100_minus_61_to_80_over_20(tmp_path: Path) -> None:
    grid, bounds = Grid(), years(0, 100)
    fields = steady(grid, bounds) | {"TOTVEGC": decay(grid, bounds, 7000.0, -900.0, 35.0)}
    verdict = judge(tmp_path, fields, bounds)
    annual = fields["TOTVEGC"][:, 0]
    by_hand = (annual[80:100].mean() - annual[60:80].mean()) / 20.0 * grid.land_area_m2.sum() / 1e15
    analytic = (
        -900.0 * 35.0 / 20.0 * (2 * np.exp(-80 / 35) - np.exp(-100 / 35) - np.exp(-60 / 35)) / 20.0
    ) * (grid.land_area_m2.sum() / 1e15)
    assert verdict.value("drift_totvegc_pgc_per_yr") == pytest.approx(by_hand, rel=1e-9)
    assert verdict.value("drift_totvegc_pgc_per_yr") == pytest.approx(analytic, rel=1e-9)


def test_annual_and_twenty_year_means_give_the_same_verdict(tmp_path: Path) -> None:
    grid = Grid()
    results = []
    for step in (1, 20):
        bounds = years(0, 100, step)
        fields = steady(grid, bounds) | {"TOTECOSYSC": decay(grid, bounds, 2e4, 3e3, 60.0)}
        results.append(judge(tmp_path, fields, bounds))
    for name in ("drift_totecosysc_pgc_per_yr", "area_out_of_equilibrium"):
        assert results[0].value(name) == pytest.approx(results[1].value(name), rel=1e-9)


def test_area_out_of_equilibrium_counts_land_area_and_not_cells(tmp_path: Path) -> None:
    grid, bounds = Grid(), years(0, 100)
    slope = np.full(grid.cells, 0.99)
    slope[[1, 4]] = [1.5, -1.2]
    verdict = judge(tmp_path, steady(grid, bounds) | {"TOTECOSYSC": linear(grid, bounds, 2e4, slope)}, bounds)
    area = grid.land_area_m2
    assert verdict.value("area_out_of_equilibrium") == pytest.approx(
        (area[1] + area[4]) / area.sum(), rel=1e-9
    )
    np.testing.assert_allclose(verdict.cell["drift"], slope, rtol=1e-9)


def test_cells_that_compensate_each_other_pass_globally_and_fail_by_area(tmp_path: Path) -> None:
    grid, bounds = Grid(), years(0, 60)
    slope = np.array([40.0 / (-1) ** i for i in range(grid.cells)]) * grid.land_area_m2[0] / grid.land_area_m2
    slope[-1] -= (slope @ grid.land_area_m2) / grid.land_area_m2[-1]
    verdict = judge(tmp_path, steady(grid, bounds) | {"TOTECOSYSC": linear(grid, bounds, 2e4, slope)}, bounds)
    holds = {criterion.rule.name: criterion.holds for criterion in verdict.criteria}
    assert holds["drift_totecosysc_pgc_per_yr"]
    assert not holds["area_out_of_equilibrium"]
    assert not verdict.in_equilibrium


def test_thresholds_in_pgc_shrink_with_the_land_area_of_the_domain(tmp_path: Path) -> None:
    grid, bounds = Grid(), years(0, 40)
    share = grid.land_area_m2.sum() / 1e6 / 1.49e8
    # 0.01 PgC/yr is within the global threshold and above this small domain's share of it.
    slope = 0.01e15 / grid.land_area_m2.sum()
    fields = steady(grid, bounds) | {"TOTSOMC": linear(grid, bounds, 5e5, slope)}
    scaled = {c.rule.name: c for c in judge(tmp_path, fields, bounds).criteria}
    unscaled = {c.rule.name: c for c in judge(tmp_path, fields, bounds, UNSCALED).criteria}
    assert scaled["drift_totsomc_pgc_per_yr"].threshold == pytest.approx(0.02 * share)
    assert not scaled["drift_totsomc_pgc_per_yr"].holds
    assert unscaled["drift_totsomc_pgc_per_yr"].holds
    assert scaled["area_out_of_equilibrium"].threshold == 0.03


def test_years_until_is_the_first_cycle_end_from_which_the_criterion_holds(tmp_path: Path) -> None:
    grid, bounds = Grid(), years(0, 100)
    tau, amplitude = 8.0, 5e3
    fields = steady(grid, bounds) | {"TOTECOSYSC": decay(grid, bounds, 1e5, -amplitude, tau)}
    verdict = judge(tmp_path, fields, bounds)
    cycle = np.array([tau / 20 * (np.exp(-20 * k / tau) - np.exp(-20 * (k + 1) / tau)) for k in range(5)])
    drift = -amplitude * np.diff(cycle) / 20
    first = int(np.argmax(np.abs(drift) <= 1.0))
    assert 0 < first < 4, "the amplitude makes some cycles fail and the last hold"
    area = next(c for c in verdict.criteria if c.rule.name == "area_out_of_equilibrium")
    assert area.years_until == 20.0 * (first + 2)


def test_a_criterion_that_fails_at_the_end_has_no_years_until(tmp_path: Path) -> None:
    grid, bounds = Grid(), years(0, 100)
    runaway = linear(grid, bounds, 1000.0, 0.0)
    runaway[60:] += 3.0 * np.arange(40)[:, None]
    verdict = judge(tmp_path, steady(grid, bounds) | {"TOTECOSYSC": runaway}, bounds)
    area = next(c for c in verdict.criteria if c.rule.name == "area_out_of_equilibrium")
    assert area.years_until is None
    assert not area.holds


def test_fluxes_canopy_and_water_are_judged_in_their_own_units(tmp_path: Path) -> None:
    grid, bounds = Grid(), years(0, 60)
    per_second = 1.0 / (365 * 86400)
    middle = bounds.mean(axis=1)[:, None] * np.ones(grid.cells)
    fields = steady(grid, bounds) | {
        "GPP": (900.0 + 0.2 * middle) * per_second,
        "NBP": np.full(middle.shape, 30.0 * per_second),
        "TLAI": 2.0 + 0.03 * middle,
        "TWS": 4000.0 - 0.4 * middle,
        "H2OSNO": 10.0 + 0.0 * middle,
        "CWDC": 500.0 + 0.0 * middle,
        "TOTSOMN": 100.0 + 0.05 * middle,
    }
    verdict = judge(tmp_path, fields, bounds)
    pg = grid.land_area_m2.sum() / 1e15
    assert verdict.value("drift_gpp_pgc_per_yr2") == pytest.approx(0.2 * pg, rel=1e-9)
    assert verdict.value("nbp_pgc_per_yr") == pytest.approx(30.0 * pg, rel=1e-9)
    assert verdict.value("drift_tlai_per_yr") == pytest.approx(0.03, rel=1e-9)
    assert verdict.value("drift_tws_mm_per_yr") == pytest.approx(-0.4, rel=1e-9)
    assert verdict.stocks["cwdc_pgc"] == pytest.approx(500.0 * pg, rel=1e-9)
    stock = 100.0 + 0.05 * 50.0
    relative = verdict.value("relative_drift_totsomn_percent_per_century")
    assert relative == pytest.approx(100 * 100 * 0.05 / stock, rel=1e-9)


def test_a_drift_of_exactly_zero_in_every_cell_is_no_test(tmp_path: Path) -> None:
    grid, bounds = Grid(), years(0, 60)
    periodic = np.repeat((bounds[:, :1] % 20.0), grid.cells, axis=1)
    almost = periodic.copy()
    almost[-1, 0] += 1.0e-3
    fields = steady(grid, bounds) | {"TWS": periodic, "H2OSNO": almost, "NBP": 0.0 * periodic}
    verdict = judge(tmp_path, fields, bounds)
    prescribed = {criterion.rule.name: criterion.prescribed for criterion in verdict.criteria}
    assert prescribed["drift_tws_mm_per_yr"]
    assert not prescribed["drift_h2osno_mm_per_yr"]
    # A level of zero is a finding: it could be another.
    assert not prescribed["nbp_pgc_per_yr"]
    assert "drift_tws_mm_per_yr" not in {criterion.rule.name for criterion in verdict.tested}
    lines = describe(verdict)
    assert f"{len(verdict.tested)} of {len(verdict.tested)} criteria hold" in lines[0]
    assert "  --   drift_tws_mm_per_yr: prescribed, not a test" in lines
    assert not any(line.startswith("  ok   drift_tws") for line in lines)


def test_cells_that_cancel_out_are_a_test(tmp_path: Path) -> None:
    grid, bounds = Grid(), years(0, 60)
    slope = np.zeros(grid.cells)
    slope[[0, 1]] = [1.0, -grid.land_area_m2[0] / grid.land_area_m2[1]]
    fields = steady(grid, bounds) | {"TWS": linear(grid, bounds, 4000.0, slope)}
    water = next(c for c in judge(tmp_path, fields, bounds).criteria if c.rule.field == "TWS")
    assert water.value == pytest.approx(0.0, abs=1e-9)
    assert not water.prescribed


def test_years_that_fill_no_cycle_are_said_to_be_unused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    grid = Grid()
    path = write_history(tmp_path / "h1.nc", grid, years(0, 20), steady(grid, years(0, 20)))
    with caplog.at_level("INFO", logger="phase"):
        assess([path], 7, SETTINGS)
        assert "6 years not used" in caplog.text
        caplog.clear()
        assess([path], 5, SETTINGS)
        assert "not used" not in caplog.text


def test_fields_that_are_missing_are_listed_as_not_assessed_and_do_not_fail(tmp_path: Path) -> None:
    bounds = years(0, 60)
    verdict = judge(tmp_path, steady(Grid(), bounds), bounds)
    assert verdict.in_equilibrium
    assert "TWS" in verdict.not_assessed["drift_tws_mm_per_yr"]
    assert {"drift_gpp_pgc_per_yr2", "nbp_pgc_per_yr", "cwdc_pgc"} <= set(verdict.not_assessed)


def test_a_subset_is_judged_on_its_own_cells_only(tmp_path: Path) -> None:
    grid, bounds = Grid(), years(0, 60)
    slope = np.zeros(grid.cells)
    slope[3] = 7.0
    fields = steady(grid, bounds) | {"TOTECOSYSC": linear(grid, bounds, 2e4, slope)}
    path = write_history(tmp_path / "h1.nc", grid, bounds, fields)
    subsets = {"calm": np.array([0, 1, 2]), "wild": np.array([3])}
    calm, wild = assess_subsets(CycleHistory([path], 20), SETTINGS, subsets).values()
    assert calm.value("area_out_of_equilibrium") == 0.0
    assert wild.value("area_out_of_equilibrium") == 1.0
    assert wild.land_area_km2 == pytest.approx(grid.land_area_m2[3] / 1e6)


def test_zones_and_percentiles_show_where_the_drift_is(tmp_path: Path) -> None:
    grid, bounds = Grid(), years(0, 60)
    slope = np.where(grid.cell_lat > 66.5, 3.0, 0.1)
    verdict = judge(tmp_path, steady(grid, bounds) | {"TOTECOSYSC": linear(grid, bounds, 2e4, slope)}, bounds)
    assert verdict.zones["polar (66.5-90)"]["area_out_of_equilibrium"] == pytest.approx(1.0)
    assert verdict.zones["tropics (0-23.5)"]["area_out_of_equilibrium"] == 0.0
    assert "boreal (50-66.5)" not in verdict.zones
    assert verdict.cell_drift_percentiles_gc_m2_yr["p05"] == pytest.approx(0.1, rel=1e-6)
    assert verdict.cell_drift_percentiles_gc_m2_yr["p95"] == pytest.approx(3.0, rel=1e-6)


def test_years_before_the_first_whole_cycle_are_left_out_of_the_means(tmp_path: Path) -> None:
    grid, bounds = Grid(), years(0, 55)
    shock = linear(grid, bounds, 1000.0, 0.0)
    shock[:15] = 9e5
    verdict = judge(tmp_path, steady(grid, bounds) | {"TOTECOSYSC": shock}, bounds)
    assert verdict.cycles == 2
    assert verdict.value("drift_totecosysc_pgc_per_yr") == pytest.approx(0.0, abs=1e-12)
    assert len(verdict.series["TOTECOSYSC"]) == 55


def test_files_in_any_order_and_one_dimensional_grids_give_the_same_numbers(tmp_path: Path) -> None:
    grid = Grid()
    whole = years(0, 80)
    fields = steady(grid, whole) | {"TOTSOMC": decay(grid, whole, 1e4, 4e3, 40.0)}
    expected = judge(tmp_path, fields, whole).value("drift_totsomc_pgc_per_yr")
    paths = [
        write_history(
            tmp_path / f"{i}.nc",
            grid,
            whole[part],
            {name: values[part] for name, values in fields.items()},
            one_dimensional=True,
        )
        for i, part in enumerate((slice(50, 80), slice(0, 50)))
    ]
    assert assess(paths, 20, SETTINGS).value("drift_totsomc_pgc_per_yr") == pytest.approx(expected, rel=1e-12)


def test_float32_history_resolves_the_drift_to_a_part_in_a_thousand(tmp_path: Path) -> None:
    grid, bounds = Grid(), years(0, 100)
    fields = steady(grid, bounds) | {"TOTSOMC": linear(grid, bounds, 2e4, 0.3)}
    path = write_history(tmp_path / "h1.nc", grid, bounds, fields, dtype="f4")
    expected = 0.3 * grid.land_area_m2.sum() / 1e15
    assert assess([path], 20, SETTINGS).value("drift_totsomc_pgc_per_yr") == pytest.approx(expected, rel=1e-3)


def test_the_first_sample_of_elm_that_starts_before_zero_is_accepted(tmp_path: Path) -> None:
    bounds = years(0, 40)
    bounds[0, 0] = -1.0 / 24 / 365
    assert judge(tmp_path, steady(Grid(), bounds), bounds).cycles == 2


def test_less_than_two_whole_cycles_is_refused(tmp_path: Path) -> None:
    bounds = years(0, 39)
    with pytest.raises(InputError, match=r"h1\.nc.*39\.00 years.*two whole forcing cycles, 40 years"):
        judge(tmp_path, steady(Grid(), bounds), bounds)


@pytest.mark.parametrize("name", ["TOTECOSYSC", "TOTSOMC", "TOTVEGC"])
def test_a_missing_stock_is_refused_by_name(tmp_path: Path, name: str) -> None:
    bounds = years(0, 60)
    fields = steady(Grid(), bounds)
    del fields[name]
    with pytest.raises(InputError, match=rf"h1\.nc.*{name} is missing"):
        judge(tmp_path, fields, bounds)


def test_a_gap_in_time_is_refused_with_the_file_after_it(tmp_path: Path) -> None:
    grid = Grid()
    paths = []
    for name, bounds in (("a.nc", years(0, 30)), ("b.nc", years(31, 80))):
        paths.append(write_history(tmp_path / name, grid, bounds, steady(grid, bounds)))
    with pytest.raises(InputError, match=r"b\.nc.*1\.00 years are missing"):
        assess(paths, 20, SETTINGS)


def test_a_wrong_cycle_length_for_twenty_year_means_is_refused(tmp_path: Path) -> None:
    bounds = years(0, 100, 20)
    path = write_history(tmp_path / "h0.nc", Grid(), bounds, steady(Grid(), bounds))
    with pytest.raises(InputError, match="does not lie within one forcing cycle of 30 years"):
        assess([path], 30, SETTINGS)


def test_wrong_units_are_refused(tmp_path: Path) -> None:
    bounds = years(0, 60)
    path = write_history(
        tmp_path / "h1.nc", Grid(), bounds, steady(Grid(), bounds), units={"TOTSOMC": "kgC/m^2"}
    )
    with pytest.raises(InputError, match=r"TOTSOMC has units 'kgC/m\^2'; expected 'gC/m\^2'"):
        assess([path], 20, SETTINGS)


def test_files_of_two_grids_are_refused(tmp_path: Path) -> None:
    other = Grid(lat=np.array([-10.0, 41.0, 70.0]))
    paths = []
    for name, grid, bounds in (("a.nc", Grid(), years(0, 30)), ("b.nc", other, years(30, 80))):
        paths.append(write_history(tmp_path / name, grid, bounds, steady(grid, bounds)))
    with pytest.raises(InputError, match=r"b\.nc.*another grid"):
        assess(paths, 20, SETTINGS)


def test_real_elm_history_is_read_and_refused_for_its_length_only(elm_sample: Path) -> None:
    with pytest.raises(InputError, match=r"covers 20\.00 years"):
        assess(sorted((elm_sample / "history").glob("*.h0.*.nc")), 20, SETTINGS)


def test_real_elm_history_with_a_shorter_cycle_drifts_as_its_files_say(elm_sample: Path) -> None:
    import netCDF4

    path = sorted((elm_sample / "history").glob("*.h0.*.nc"))
    verdict = assess(path, 10, SETTINGS)
    halves = []
    days = np.array([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]) / 365
    for part in (path[:10], path[10:]):
        annual = []
        for file in part:
            with netCDF4.Dataset(file) as nc:
                area = np.asarray(nc["area"][:]) * np.asarray(nc["landfrac"][:]) * 1e6
                annual.append(days @ (np.asarray(nc["TOTECOSYSC"][:]) @ area))
        halves.append(np.mean(annual))
    # The first sample also holds the hour before the start, which shifts the mean by 1e-5 of itself.
    by_hand = (halves[1] - halves[0]) / 10 / 1e15
    assert verdict.value("drift_totecosysc_pgc_per_yr") == pytest.approx(by_hand, rel=1e-3)
    assert not verdict.in_equilibrium


def test_a_new_criterion_is_one_entry_of_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rule = Rule("npp_pgc_per_yr", "NPP", "level", "nbp_pgc_per_yr", "PgC/yr")
    monkeypatch.setattr(criteria, "RULES", (*criteria.RULES, rule))
    grid, bounds = Grid(), years(0, 40)
    npp = np.full((40, grid.cells), 40.0 / (365 * 86400))
    verdict = judge(tmp_path, steady(grid, bounds) | {"NPP": npp}, bounds)
    total = 40.0 * grid.land_area_m2.sum() / 1e15
    assert verdict.as_json()["criteria"]["npp_pgc_per_yr"]["value"] == pytest.approx(total, rel=1e-9)
    assert any("npp_pgc_per_yr: " in line for line in describe(verdict))
