"""The audit finds what the land model swallows, and nothing in a sound file."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import netCDF4
import numpy as np
import pytest

from phase_lib.base.errors import InputError
from phase_lib.elm.audit.audited import STANDARD_PARAMETERS, BlockRows
from phase_lib.elm.audit.findings import AuditReport, Finding
from phase_lib.elm.audit.run import audit_restart
from phase_lib.elm.dead_wood import normal_dead_live
from phase_lib.elm.parameters import read_parameters
from phase_lib.elm.spinup import slow_ratio
from phase_lib.elm.variables import SOIL_POOLS
from tests.helpers.restarts import FILL, MORTALITY, F, World, copy_of, edit, hide, make_world, raw

RESTART, SURFACE, PARAMS = "ad20.elm.r.0021-01-01-00000.nc", "surfdata.biomes.1d.nc", "clm_params_c211124.nc"
AMAZON_COLUMN, AMAZON_TREE = 0, 4  # rows of the first cell, whose order on file is the plain one


def real_audit(sample: Path, restart: Path) -> AuditReport:
    return audit_restart(restart, sample / SURFACE, sample / PARAMS)


@pytest.fixture
def real(elm_sample: Path, tmp_path: Path) -> Path:
    return copy_of(elm_sample / RESTART, tmp_path)


def variables(findings: list[Finding]) -> set[str]:
    return {finding.variable for finding in findings}


def scale(path: Path, factor: float, *names: str) -> None:
    for name in names:
        edit(path, name, ..., raw(path, name) * factor)


def take_out_of_ad(
    path: Path, *, soil: bool = True, wood: bool = True, scalar: bool = True, mineral: bool = True
) -> None:
    """Leaves AD by hand, or only in part, with numbers from the documentation."""
    if soil:
        for pool, factor in F.items():
            scale(path, factor, *(f"{pool}{element}_vr" for element in "cnp"))
    if wood:
        scale(
            path,
            MORTALITY,
            *(f"{organ}{element}" for organ in ("deadstem", "deadcroot") for element in "cnp"),
        )
    if scalar:
        edit(path, "scalaravg_col", ..., 1.0)
    if mineral:
        # The maps hold 1 to 30 gP m-2 of the top half metre.
        edit(path, "labilep_vr", (raw(path, "cols1d_ityplun") == 1, slice(0, 10)), 10.0)
    edit(path, "ppool", ..., np.maximum(raw(path, "ppool"), raw(path, "leafp")))
    edit(path, "spinup_state", ..., 0)


# -- the undamaged sample ------------------------------------------------------------------------------


def test_the_undamaged_real_restart_has_no_error(elm_sample: Path) -> None:
    report = real_audit(elm_sample, elm_sample / RESTART)
    assert report.errors == []
    assert report.spinup_state == 1
    assert report.date == "0021-01-01"
    # What an AD file has by nature is noted.
    assert {"ppool", "scalaravg_col"} <= variables(report.notes)
    assert audit_restart(elm_sample / RESTART).errors == []


def test_the_real_restart_taken_to_normal_mode_by_hand_has_no_error(elm_sample: Path, real: Path) -> None:
    take_out_of_ad(real)
    assert real_audit(elm_sample, real).errors == []


# -- damage that real ELM swallows, or answers with a message that does not name the pool -----------------


@pytest.mark.parametrize(
    ("name", "index", "value"),
    [
        ("leafc", AMAZON_TREE, FILL),
        ("soil3c_vr", (AMAZON_COLUMN, 2), FILL),
        ("leafc", AMAZON_TREE, np.nan),
        ("soil3c_vr", (AMAZON_COLUMN, 9), np.nan),
        ("leafc", AMAZON_TREE, -5.0),
        ("soil3c_vr", (AMAZON_COLUMN, 0), -50.0),
        ("soil3n_vr", (AMAZON_COLUMN, 0), -5.0),
        ("npool", AMAZON_TREE, -1.0),
        ("ppool", AMAZON_TREE, -1.0),
        ("smin_no3_vr", (AMAZON_COLUMN, 3), -0.1),
        ("labilep_vr", (AMAZON_COLUMN, 3), np.inf),
        ("sminn_vr", (AMAZON_COLUMN, 3), 7.0),
        ("deadstemc", AMAZON_TREE, 1.0e12),
        ("xsmrpool", AMAZON_TREE, -1.0e12),
        ("occlp_vr", (AMAZON_COLUMN, 3), 1.1e7),
        ("tlai", AMAZON_TREE, 150.0),
        ("htop", AMAZON_TREE, 500.0),
    ],
)
def test_a_single_bad_value_is_an_error_that_names_it(
    elm_sample: Path, real: Path, name: str, index: int | tuple[int, int], value: float
) -> None:
    edit(real, name, index, value)
    findings = [finding for finding in real_audit(elm_sample, real).errors if finding.variable == name]
    assert findings
    finding = findings[0]
    assert finding.cell == 1
    assert (finding.lat, finding.lon) == pytest.approx((-3.02, -60.02), abs=1e-3)
    if isinstance(index, tuple):
        assert finding.layer == index[1] + 1
    else:
        assert finding.pft == 4
    np.testing.assert_equal(finding.value, value)
    line = finding.line()
    assert name in line
    assert "\n" not in line


@pytest.mark.parametrize(
    "name", ["soil3c_vr", "cwdn_vr", "leafc_storage", "ppool", "primp_vr", "scalaravg_col"]
)
def test_a_missing_pool_is_an_error(elm_sample: Path, real: Path, name: str) -> None:
    hide(real, name)
    assert name in variables(real_audit(elm_sample, real).errors)


def test_a_mean_scalar_that_no_run_could_make_under_ice_is_no_error(elm_sample: Path, real: Path) -> None:
    # ELM averages on active columns alone; on the soil column of a cell that is all ice fill stays.
    edit(real, "scalaravg_col", AMAZON_COLUMN, FILL)
    assert variables(real_audit(elm_sample, real).errors) == {"scalaravg_col"}
    edit(real, "cols1d_active", AMAZON_COLUMN, 0)
    assert real_audit(elm_sample, real).errors == []


def test_missing_totals_are_notes(elm_sample: Path, real: Path) -> None:
    names = ("totsomc", "totlitc", "totvegc")
    hide(real, *names)
    report = real_audit(elm_sample, real)
    assert report.errors == []
    assert set(names) <= variables(report.notes)


def test_a_missing_flag_is_an_error(elm_sample: Path, real: Path) -> None:
    hide(real, "spinup_state")
    report = real_audit(elm_sample, real)
    assert variables(report.errors) == {"spinup_state"}
    assert report.spinup_state is None


@pytest.mark.parametrize("dimension", ["levlak", "levurb"])
def test_a_missing_dimension_is_an_error(elm_sample: Path, real: Path, dimension: str) -> None:
    hide(real, dimension=dimension)
    assert variables(real_audit(elm_sample, real).errors) == {dimension}


def test_cover_of_a_pft_that_does_not_exist_is_an_error(elm_sample: Path, real: Path) -> None:
    edit(real, "pfts1d_itypveg", AMAZON_TREE, 99)
    errors = real_audit(elm_sample, real).errors
    first = next(error for error in errors if error.variable == "pfts1d_itypveg")
    assert (first.cell, first.value, first.expected, first.further) == (1, 99.0, "0 to 16", 0)


def test_another_cascade_is_an_error(elm_sample: Path, real: Path) -> None:
    edit(real, "decomp_cascade_state", ..., 11)
    assert "decomp_cascade_state" in variables(real_audit(elm_sample, real).errors)


def test_weights_that_went_through_float32_are_an_error(elm_sample: Path, real: Path) -> None:
    edit(real, "pfts1d_wtcol", ..., raw(real, "pfts1d_wtcol").astype(np.float32).astype(np.float64))
    report = real_audit(elm_sample, real)
    assert variables(report.errors) == {"pfts1d_wtcol"}
    assert report.errors[0].value == pytest.approx(1.0, abs=1e-6)


def test_cover_other_than_the_surface_files_is_an_error(elm_sample: Path, real: Path) -> None:
    weights = raw(real, "pfts1d_wtcol")
    covered = np.flatnonzero(weights[:17] > 0.02)[:2]
    weights[covered] += [0.01, -0.01]
    edit(real, "pfts1d_wtcol", ..., weights)
    assert audit_restart(real).errors == []
    errors = real_audit(elm_sample, real).errors
    assert variables(errors) == {"pfts1d_wtcol"}
    assert errors[0].further == 1


def test_soil_nitrogen_off_its_ratio_is_an_error_in_every_layer(elm_sample: Path, real: Path) -> None:
    scale(real, 0.5, "soil3n_vr")
    (finding,) = real_audit(elm_sample, real).errors
    assert finding.variable == "soil3n_vr"
    assert finding.further > 100
    assert float(finding.expected) == pytest.approx(2.0 * float(finding.value or 0.0))


def test_leaf_nitrogen_far_off_its_ratio_is_an_error(elm_sample: Path, real: Path) -> None:
    scale(real, 4.0, "leafn")
    assert variables(real_audit(elm_sample, real).errors) == {"leafn"}


def test_vegetation_without_carbon_is_found(elm_sample: Path, real: Path) -> None:
    organs = ("leaf", "froot", "livestem", "deadstem", "livecroot", "deadcroot")
    scale(real, 0.0, *(f"{organ}c{stage}" for organ in organs for stage in ("", "_storage", "_xfer")))
    report = real_audit(elm_sample, real)
    assert {"leafn", "deadstemn"} <= variables(report.errors)
    assert {"totvegc", "tlai"} <= variables(report.notes)


def test_tenfold_soil_with_its_ratios_kept_shows_in_stale_totals(elm_sample: Path, real: Path) -> None:
    scale(real, 10.0, *(f"soil{k}{element}_vr" for k in (1, 2, 3, 4) for element in "cnp"))
    report = real_audit(elm_sample, real)
    assert {"totsomc", "totsomp"} <= variables(report.notes)
    assert variables(report.errors) == {"soil2c_vr"}


def test_values_on_patches_without_cover_are_carried_unused(elm_sample: Path, real: Path) -> None:
    bare = np.flatnonzero(raw(real, "pfts1d_wtcol")[:17] == 0.0)
    edit(real, "leafc", bare, -5.0)
    assert real_audit(elm_sample, real).errors == []


# -- a file flagged normal ---------------------------------------------------------------------------------


def test_the_ad_file_with_its_flag_set_to_normal_is_an_error(elm_sample: Path, real: Path) -> None:
    edit(real, "spinup_state", ..., 0)
    assert {"soil4c_vr", "deadstemc", "deadcrootc", "scalaravg_col", "labilep_vr"} == variables(
        real_audit(elm_sample, real).errors
    )
    without_maps = audit_restart(real)
    assert {"soil4c_vr", "deadstemc", "scalaravg_col"} <= variables(without_maps.errors)
    assert "labilep_vr" in variables(without_maps.notes)


@pytest.mark.parametrize(
    ("left_out", "reported"),
    [
        ("soil", {"soil4c_vr"}),
        ("wood", {"deadstemc", "deadcrootc"}),
        ("scalar", {"scalaravg_col"}),
        ("mineral", {"labilep_vr"}),
    ],
)
def test_a_half_taken_step_out_of_ad_is_an_error(
    elm_sample: Path, real: Path, left_out: str, reported: set[str]
) -> None:
    take_out_of_ad(real, **{left_out: False})
    assert variables(real_audit(elm_sample, real).errors) == reported


def test_leaving_ad_twice_is_an_error(elm_sample: Path, real: Path) -> None:
    take_out_of_ad(real)
    for pool, factor in F.items():
        scale(real, factor, *(f"{pool}{element}_vr" for element in "cnp"))
    assert "soil4-left-ad-twice" in {error.code for error in real_audit(elm_sample, real).errors}


def test_mineral_p_of_an_ad_file_is_left_alone(elm_sample: Path) -> None:
    report = real_audit(elm_sample, elm_sample / RESTART)
    assert "labilep_vr" not in variables(report.findings)


def test_a_ratio_is_not_given_as_the_variables_value(elm_sample: Path, real: Path) -> None:
    take_out_of_ad(real, soil=False, wood=False, mineral=False)
    lines = {finding.variable: finding.line() for finding in real_audit(elm_sample, real).errors}
    assert " soil4 : soil3 = 0." in lines["soil4c_vr"]
    assert " mean share of it = 0." in lines["deadstemc"]
    assert " share of LABILE_P / 0.5 m = 0.0" in lines["labilep_vr"]


def test_one_error_is_no_errors(elm_sample: Path, real: Path) -> None:
    assert "0 errors" in real_audit(elm_sample, real).lines()[-1]
    edit(real, "leafc_storage", AMAZON_TREE, np.nan)
    assert "1 error, " in real_audit(elm_sample, real).lines()[-1]


def test_standard_parameters_are_those_of_the_sample(elm_sample: Path) -> None:
    standard, given = STANDARD_PARAMETERS, read_parameters(elm_sample / PARAMS)
    assert slow_ratio(standard).normal == pytest.approx(slow_ratio(given).normal, rel=1e-6)
    assert slow_ratio(standard).ad == pytest.approx(slow_ratio(given).ad, rel=1e-6)
    for pool in SOIL_POOLS:
        if pool.cn is not None:
            assert standard.soil_ratios(pool) == pytest.approx(given.soil_ratios(pool))
    np.testing.assert_array_equal(standard.per_pft("evergreen") == 1, given.per_pft("evergreen") == 1)
    np.testing.assert_allclose(normal_dead_live(standard), normal_dead_live(given), rtol=1e-6)


def test_cells_left_behind_in_ad_space_are_an_error_that_names_them(elm_sample: Path, real: Path) -> None:
    before = {name: raw(real, name) for name in ("soil3c_vr", "soil4c_vr", "deadstemc")}
    take_out_of_ad(real)
    for name in ("soil3", "soil4"):
        for element in "cnp":
            values = raw(real, f"{name}{element}_vr")
            values[AMAZON_COLUMN] /= F[name]
            edit(real, f"{name}{element}_vr", ..., values)
    for element in "cnp":
        values = raw(real, f"deadstem{element}")
        values[:17] /= MORTALITY
        edit(real, f"deadstem{element}", ..., values)
    assert raw(real, "soil4c_vr")[0, 0] == pytest.approx(before["soil4c_vr"][0, 0])
    (finding,) = real_audit(elm_sample, real).errors
    assert (finding.variable, finding.cell, finding.further) == ("soil4c_vr", 1, 0)


def test_the_mean_scalar_of_a_finished_ad_run_does_no_harm_in_normal_mode(
    elm_sample: Path, real: Path
) -> None:
    take_out_of_ad(real)
    edit(real, "scalaravg_col", ..., 0.2)
    edit(real, "timemgr_rst_curr_ymd", ..., 12010101)
    report = real_audit(elm_sample, real)
    assert report.errors == []
    assert "scalaravg_col" in variables(report.notes)
    # Nor where the clock was set back for the normal run.
    edit(real, "timemgr_rst_curr_ymd", ..., 210101)
    assert real_audit(elm_sample, real).errors == []


def test_soil_phosphorus_ten_times_too_rich_is_an_error_in_normal_mode_only(
    elm_sample: Path, real: Path
) -> None:
    scale(real, 10.0, "soil4p_vr")
    report = real_audit(elm_sample, real)
    assert report.errors == []
    assert "soil4p_vr" in variables(report.notes)
    take_out_of_ad(real)
    assert variables(real_audit(elm_sample, real).errors) == {"soil4p_vr"}


@pytest.mark.parametrize(("state", "severity"), [(0, "errors"), (1, "notes")])
def test_a_living_evergreen_patch_without_leaves_is_found(
    elm_sample: Path, real: Path, state: int, severity: str
) -> None:
    if state == 0:
        take_out_of_ad(real)
    for element in "cnp":
        edit(real, f"leaf{element}", AMAZON_TREE, 0.0)
    report = real_audit(elm_sample, real)
    assert "leafc" in variables(getattr(report, severity))
    assert "leafc" not in variables(report.errors if state else report.notes)


def test_ppool_below_leafp_is_a_note_as_growth_that_p_limits_draws_it_down(
    elm_sample: Path, real: Path
) -> None:
    take_out_of_ad(real)
    edit(real, "ppool", AMAZON_TREE, 0.5 * raw(real, "leafp")[AMAZON_TREE])
    report = real_audit(elm_sample, real)
    assert report.errors == []
    (finding,) = (finding for finding in report.notes if finding.variable == "ppool")
    assert (finding.cell, finding.pft, finding.further) == (1, 4, 0)


def test_leaf_area_that_does_not_follow_from_leaf_carbon_is_a_note(elm_sample: Path, real: Path) -> None:
    edit(real, "tlai", AMAZON_TREE, 1.0)
    report = real_audit(elm_sample, real)
    assert report.errors == []
    (finding,) = [finding for finding in report.notes if finding.variable == "tlai"]
    # Broadleaf evergreen tropical tree: slatop 0.012, dsladlai 0.0008.
    leafc = raw(real, "leafc")[AMAZON_TREE]
    assert float(finding.expected) == pytest.approx(0.012 * np.expm1(0.0008 * leafc) / 0.0008, rel=1e-8)


# -- other layouts ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [0, 1])
@pytest.mark.parametrize("crop", [False, True])
def test_shuffled_files_with_crop_urban_and_lake_have_no_error(
    tmp_path: Path, state: int, crop: bool
) -> None:
    world = make_world(tmp_path, seed=3, state=state, crop=crop)
    assert audit_restart(world.restart, world.surface, world.params).errors == []


def damage(world: World, ityplun: int, value: float, *, active: int) -> int:
    """Puts a value into soil2c of a column of that landunit; returns the column's cell, 1-based."""
    kind, on = raw(world.restart, "cols1d_ityplun"), raw(world.restart, "cols1d_active")
    row = int(np.flatnonzero((kind == ityplun) & (on == active))[-1])
    edit(world.restart, "soil2c_vr", (row, 1), value)
    return int(raw(world.restart, "cols1d_gridcell_index")[row])


def test_only_columns_with_biogeochemistry_are_looked_at(tmp_path: Path) -> None:
    world = make_world(tmp_path, seed=5, crop=True)
    damage(world, 8, np.nan, active=0)
    damage(world, 5, -1.0, active=1)
    damage(world, 2, np.nan, active=0)
    assert audit_restart(world.restart).errors == []
    cell = damage(world, 2, -1.0, active=1)
    (finding,) = (f for f in audit_restart(world.restart).errors if f.problem == "is negative")
    assert (finding.variable, finding.cell, finding.layer) == ("soil2c_vr", cell, 2)


def test_findings_do_not_depend_on_the_block_size(elm_sample: Path, real: Path) -> None:
    scale(real, 0.5, "soil3n_vr", "leafn")
    edit(real, "spinup_state", ..., 0)
    # Two means of columns far apart: one that may be unfinished, one that cannot.
    edit(real, "scalaravg_col", (slice(0, 200), slice(0, 10)), 0.9)
    whole = real_audit(elm_sample, real)
    rows = BlockRows(columns=7, patches=13)
    pieces = audit_restart(real, elm_sample / SURFACE, elm_sample / PARAMS, block_rows=rows)
    # The sum behind a mean share is added up in another order.
    expected = {f.key: replace(f, value=pytest.approx(f.value)) for f in whole.findings}
    assert {f.key: f for f in pieces.findings} == expected


def test_the_report_goes_through_json(elm_sample: Path, real: Path) -> None:
    edit(real, "soil3c_vr", (0, 0), np.nan)
    report = real_audit(elm_sample, real)
    content = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert content["errors"] == len(report.errors) >= 1
    assert content["findings"][0]["value"] == "nan"
    assert len(report.lines()) == len(report.findings) + 1


def test_a_surface_file_of_another_grid_is_refused(elm_sample: Path, tmp_path: Path) -> None:
    world = make_world(tmp_path)
    with pytest.raises(InputError, match="no partner"):
        audit_restart(world.restart, elm_sample / SURFACE)


def test_a_truncated_restart_is_refused(real: Path) -> None:
    data = real.read_bytes()
    real.write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match="truncated"):
        audit_restart(real)


def test_a_file_that_is_no_restart_is_refused(elm_sample: Path) -> None:
    with pytest.raises(InputError, match="missing"):
        audit_restart(elm_sample / SURFACE)


def test_fill_in_the_averaged_scalar_of_a_run_begun_in_the_years_of_averaging_is_no_error(
    tmp_path: Path,
) -> None:
    # A cold start then adds to fill; before year 40 nothing was divided by it.
    for start, severity in ((1, "error"), (25, "note")):
        world = make_world(tmp_path / str(start), year=40, scalaravg=FILL)
        with netCDF4.Dataset(world.restart, "r+") as d:
            d.createVariable("timemgr_rst_start_ymd", "i4", ())[...] = start * 10000 + 101
        report = audit_restart(world.restart, world.surface, world.params)
        (scalar,) = [finding for finding in report.findings if finding.variable == "scalaravg_col"]
        assert scalar.severity == severity
