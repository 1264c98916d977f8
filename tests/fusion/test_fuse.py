from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import netCDF4
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phase_lib.base.errors import InputError
from phase_lib.config.fusion import FusionSettings
from phase_lib.config.targets import TargetSettings
from phase_lib.dataset.loading import describe, load_dataset, read_cells
from phase_lib.elm import gather as gathering
from phase_lib.elm.soil_grid import DZDECOMP
from phase_lib.fusion.fuse import fuse
from phase_lib.landmodel.domain import Domain
from tests.helpers.dataset import (
    F_CWD,
    F_SOIL3,
    F_SOIL4,
    MORTALITY,
    Grid,
    add_soil_budget,
    add_turnover,
    make_dataset,
    salt_of,
    shuffled_grid,
    write_forcing,
    write_inputs,
    write_restart,
)
from tests.helpers.restarts import shuffled

SLOW = TargetSettings(preset="slow")


@pytest.fixture(scope="module")
def grid() -> Grid:
    return shuffled_grid()


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory, grid: Grid) -> Path:
    return make_dataset(tmp_path_factory.mktemp("fused"), grid, "slow")


def fused(inputs: Domain, directory: Path, targets: TargetSettings = SLOW) -> dict:
    return fuse(inputs, FusionSettings(record_cells=7), targets, directory)


def edit(path: Path, change: Callable[[netCDF4.Dataset], None]) -> None:
    with netCDF4.Dataset(path, "r+") as nc:
        nc.set_auto_maskandscale(False)
        change(nc)


def soil_column(nc: netCDF4.Dataset, cell: int) -> int:
    on_cell = (nc["cols1d_gridcell_index"][:] == cell + 1) & (nc["cols1d_ityp"][:] == 1)
    return int(np.flatnonzero(on_cell)[0])


def patch(nc: netCDF4.Dataset, cell: int, pft: int) -> int:
    here = (nc["pfts1d_column_index"][:] == soil_column(nc, cell) + 1) & (nc["pfts1d_itypveg"][:] == pft)
    return int(np.flatnonzero(here)[0])


def test_cells_come_by_latitude_then_longitude_east(dataset: Path) -> None:
    index = read_cells(dataset)
    assert np.all(np.diff(index.lat) >= 0.0)
    same = np.diff(index.lat) == 0.0
    assert np.all(np.diff(index.lon % 360.0)[same] > 0.0)
    assert sorted(index.cell) == list(range(24))


def test_each_patch_keeps_its_own_values_though_files_are_shuffled(dataset: Path, grid: Grid) -> None:
    index = read_cells(dataset)
    values = load_dataset(dataset, ["deadstemc", "Y_deadstemc"])
    expected = grid.patch_value(index.cell[:, None], np.arange(17), salt_of("deadstemc"))
    covered = grid.cover[index.cell] > 0.0
    np.testing.assert_allclose(values["deadstemc"][covered], expected[covered])
    np.testing.assert_allclose(values["Y_deadstemc"][covered], 3.0 * expected[covered])


def test_a_pft_without_cover_is_absent_not_its_cold_start_constant(dataset: Path, grid: Grid) -> None:
    index = read_cells(dataset)
    values = load_dataset(dataset, ["npool", "Y_tlai", "state20_deadcrootc"])
    for array in values.values():
        np.testing.assert_array_equal(np.isnan(array), grid.cover[index.cell] == 0.0)


def test_layers_come_from_the_soil_column(dataset: Path, grid: Grid) -> None:
    index = read_cells(dataset)
    values = load_dataset(dataset, ["soil4c_vr", "labilep_vr"])
    for name, array in values.items():
        expected = grid.layer_value(index.cell[:, None], np.arange(10), salt_of(name))
        np.testing.assert_allclose(array, expected)


def test_surface_and_area_belong_to_the_cell(dataset: Path) -> None:
    index = read_cells(dataset)
    values = load_dataset(dataset, ["APATITE_P", "PCT_CLAY", "PCT_NAT_PFT"])
    np.testing.assert_allclose(values["APATITE_P"], 8.0 + index.cell)
    np.testing.assert_allclose(values["PCT_CLAY"][:, 9], (index.cell % 40 + 9) / 2.0)
    np.testing.assert_allclose(values["PCT_NAT_PFT"], 100.0 * index.cover)
    np.testing.assert_allclose(index.area_km2, 1000.0 + index.cell)


def test_forcing_is_matched_by_place(dataset: Path, tmp_path: Path, grid: Grid) -> None:
    index = read_cells(dataset)
    path = write_forcing(tmp_path / "monthly.nc", grid)
    with netCDF4.Dataset(path) as nc:
        lat, lon, tbot = (np.asarray(nc[name][:]) for name in ("lat", "lon", "TBOT"))
    result = load_dataset(dataset, ["TBOT"])["TBOT"]
    for i in range(index.ncells):
        row = np.flatnonzero((lat == index.lat[i]) & (lon == index.lon[i]))[0]
        np.testing.assert_array_equal(result[i], tbot[row])


def test_fluxes_are_annual_and_the_labels_mean_the_last_twenty_years(dataset: Path) -> None:
    index = read_cells(dataset)
    values = load_dataset(dataset, ["GPP", "HR", "Y_GPP", "Y_AR"])
    np.testing.assert_allclose(values["GPP"], 4.0 * index.cell, rtol=1e-6)
    np.testing.assert_allclose(values["HR"], 1.0 * index.cell, rtol=1e-6)
    np.testing.assert_allclose(values["Y_GPP"], 4.0 * (index.cell + 150.0), rtol=1e-6)
    np.testing.assert_allclose(values["Y_AR"], 2.0 * (index.cell + 150.0), rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "factor"),
    [
        ("deadstemc", MORTALITY),
        ("deadcrootc", MORTALITY),
        ("soil3c_vr", F_SOIL3),
        ("soil4c_vr", F_SOIL4),
        ("cwdc_vr", F_CWD),
        ("soil2c_vr", 1.0),
        ("leafc", 1.0),
        ("tlai", 1.0),
    ],
)
def test_year_21_state_is_taken_to_normal_mode_by_f_alone(dataset: Path, name: str, factor: float) -> None:
    values = load_dataset(dataset, [name, f"state20_{name}"])
    ratio = values[f"state20_{name}"] / values[name]
    np.testing.assert_allclose(ratio[np.isfinite(ratio)], factor, rtol=1e-7)


def test_a_normal_mode_restart_is_not_multiplied(tmp_path: Path, grid: Grid) -> None:
    inputs = write_inputs(tmp_path, grid)
    write_restart(inputs.restart, grid, year=21, spinup_state=0)
    fused(inputs, tmp_path / "out")
    values = load_dataset(
        tmp_path / "out", ["soil4c_vr", "state20_soil4c_vr", "deadstemc", "state20_deadstemc"]
    )
    for name in ("soil4c_vr", "deadstemc"):
        np.testing.assert_array_equal(values[name], values[f"state20_{name}"])


def test_a_run_that_never_was_in_ad_keeps_its_cells_though_its_averaged_scalar_is_fill(
    tmp_path: Path, grid: Grid
) -> None:
    inputs = write_inputs(tmp_path, grid)
    write_restart(inputs.restart, grid, year=21, spinup_state=0)
    edit(inputs.restart, lambda nc: nc["scalaravg_col"].__setitem__(..., 1.0e36))
    summary = fused(inputs, tmp_path / "out")
    assert (summary["complete"], summary["trainable"]) == (grid.ncells, grid.ncells)
    assert "scalaravg_col" not in describe(tmp_path / "out")


def test_states_say_in_which_space_they_are(dataset: Path) -> None:
    with netCDF4.Dataset(dataset / "records_00.nc") as nc:
        assert nc["soil3c_vr"].space == "ad"
        assert nc["soil3c_vr"].model_year == 21
        assert nc["Y_soil3c_vr"].space == "normal"
        assert nc["state20_soil3c_vr"].space == "normal"


def test_every_variable_has_a_group_and_units(dataset: Path) -> None:
    for name, info in describe(dataset).items():
        assert info.group, name
        assert info.units or info.group == "traits", name


def test_the_size_of_record_files_does_not_change_the_records(
    dataset: Path, tmp_path: Path, grid: Grid
) -> None:
    other = make_dataset(tmp_path, grid, "slow", record_cells=1000)
    names = [name for name, info in describe(dataset).items() if info.group != "index"]
    first, second = load_dataset(dataset, names), load_dataset(other, names)
    for name in names:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_order_of_cells_columns_and_patches_on_file_changes_no_record(
    dataset: Path, tmp_path: Path, grid: Grid, seed: int
) -> None:
    inputs = write_inputs(tmp_path / "inputs", grid)
    (tmp_path / "shuffled").mkdir()

    def reorder(path: Path | None) -> Path:
        assert path is not None
        return shuffled(path, tmp_path / "shuffled" / path.name, seed)

    other = dataclasses.replace(
        inputs,
        restart=reorder(inputs.restart),
        reference_restart=reorder(inputs.reference_restart),
        reference_ad_restart=reorder(inputs.reference_ad_restart),
    )
    fused(other, tmp_path / "out")
    # `cell` is the row in the restart: the one thing that must differ.
    names = [name for name in describe(dataset) if name != "cell"]
    first, second = load_dataset(dataset, names), load_dataset(tmp_path / "out", names)
    for name in names:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)
    rows = read_cells(tmp_path / "out").cell
    with netCDF4.Dataset(other.restart) as nc:
        np.testing.assert_array_equal(nc["grid1d_lat"][:][rows], read_cells(dataset).lat)


@settings(max_examples=30, deadline=None)
@given(
    rows=st.lists(st.integers(-1, 39), max_size=30),
    axis=st.integers(0, 1),
    gap=st.sampled_from([0, 64, 1 << 17]),
    block=st.sampled_from([8, 200, 1 << 24]),
)
def test_scattered_rows_are_those_of_the_whole(
    tmp_path_factory: pytest.TempPathFactory, rows: list[int], axis: int, gap: int, block: int
) -> None:
    values = np.random.default_rng(0).random((40, 7) if axis == 0 else (7, 40))
    path = tmp_path_factory.mktemp("gather") / "f.nc"
    with netCDF4.Dataset(path, "w", format="NETCDF3_64BIT_DATA") as nc:
        for dim, size in zip("ab", values.shape, strict=True):
            nc.createDimension(dim, size)
        nc.createVariable("v", "f8", ("a", "b"))[:] = values
    index = np.array(rows, dtype=np.int64)
    with netCDF4.Dataset(path) as nc, pytest.MonkeyPatch.context() as patched:
        patched.setattr(gathering, "_GAP_BYTES", gap)
        patched.setattr(gathering, "_READ_BYTES", block)
        result = gathering.gather(nc["v"], index, axis)
    expected = np.take(values, np.maximum(index, 0), axis=axis)
    expected = np.moveaxis(np.where(index >= 0, np.moveaxis(expected, axis, -1), np.nan), -1, axis)
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize(
    ("reason", "change"),
    [
        ("state_missing", lambda nc: nc["leafc"].__setitem__(patch(nc, 3, 0), 1.0e36)),
        ("state_implausible", lambda nc: nc["frootc"].__setitem__(patch(nc, 3, 0), -5.0)),
        ("soil_missing", lambda nc: nc["soil2c_vr"].__setitem__((soil_column(nc, 3), 4), np.nan)),
        ("soil_implausible", lambda nc: nc["soil3n_vr"].__setitem__((soil_column(nc, 3), 0), -1.0)),
        ("below_active_layers", lambda nc: nc["cwdc_vr"].__setitem__((soil_column(nc, 3), 11), 2.0)),
        ("no_soil_column", lambda nc: nc["cols1d_wtxy"].__setitem__(soil_column(nc, 3), 0.0)),
        ("invalid_pft", lambda nc: nc["pfts1d_itypveg"].__setitem__(patch(nc, 3, 0), 17)),
        ("invalid_pft", lambda nc: nc["pfts1d_itypveg"].__setitem__(patch(nc, 3, 0), -1)),
        ("state_implausible", lambda nc: nc["tlai"].__setitem__(patch(nc, 3, 0), 120.0)),
        ("soil_implausible", lambda nc: nc["litr2c_vr"].__setitem__((soil_column(nc, 3), 9), 2.0e7)),
        ("below_active_layers", lambda nc: nc["soil4n_vr"].__setitem__((soil_column(nc, 3), 14), np.nan)),
    ],
)
def test_a_damaged_cell_is_counted_and_left_out_alone(
    tmp_path: Path, grid: Grid, reason: str, change: Callable[[netCDF4.Dataset], None]
) -> None:
    inputs = write_inputs(tmp_path, grid)
    edit(inputs.restart, change)
    summary = fused(inputs, tmp_path / "out")
    index = read_cells(tmp_path / "out")
    assert {r: c["cells"] for r, c in summary["inputs"].items() if c["cells"]} == {reason: 1}
    np.testing.assert_array_equal(index.cell[~index.trainable], [3])
    np.testing.assert_array_equal(index.complete, index.trainable)
    assert json.loads((tmp_path / "out" / "cleaning.json").read_text()) == summary


def test_a_cell_with_several_faults_is_removed_once_and_counted_for_each(tmp_path: Path, grid: Grid) -> None:
    inputs = write_inputs(tmp_path, grid)

    def change(nc: netCDF4.Dataset) -> None:
        for name in ("soil1c_vr", "soil2c_vr"):
            nc[name][soil_column(nc, 3), 4] = np.nan
        nc["cwdc_vr"][soil_column(nc, 3), 12] = 1.0
        nc["cwdc_vr"][soil_column(nc, 8), 12] = 1.0

    edit(inputs.restart, change)
    summary = fused(inputs, tmp_path / "out")
    assert summary["inputs"]["soil_missing"]["variables"] == {"soil1c_vr": 1, "soil2c_vr": 1}
    assert summary["inputs"]["below_active_layers"]["cells"] == 2
    assert summary["complete"] == grid.ncells - 2


def test_damage_on_a_patch_without_cover_does_not_matter(tmp_path: Path, grid: Grid) -> None:
    inputs = write_inputs(tmp_path, grid)
    bare = int(np.flatnonzero(grid.cover[3] == 0.0)[0])
    edit(inputs.restart, lambda nc: nc["leafc"].__setitem__(patch(nc, 3, bare), np.nan))
    assert fused(inputs, tmp_path / "out")["trainable"] == grid.ncells


def test_a_debt_of_carbon_may_be_negative(tmp_path: Path, grid: Grid) -> None:
    inputs = write_inputs(tmp_path, grid)
    edit(inputs.restart, lambda nc: nc["xsmrpool"].__setitem__(patch(nc, 3, 0), -50.0))
    assert fused(inputs, tmp_path / "out")["trainable"] == grid.ncells


def test_columns_just_above_elms_switch_give_no_labels_but_stay_in(tmp_path: Path, grid: Grid) -> None:
    inputs = write_inputs(tmp_path, grid)
    assert inputs.reference_ad_restart is not None

    def change(nc: netCDF4.Dataset) -> None:
        for cell, value in ((2, 0.0011), (5, 0.00199), (6, 0.0021), (7, 1.0)):
            nc["scalaravg_col"][soil_column(nc, cell)] = value

    edit(inputs.reference_ad_restart, change)
    summary = fused(inputs, tmp_path / "out")
    index = read_cells(tmp_path / "out")
    assert summary["labels"]["label_scalaravg"]["cells"] == 2
    assert sorted(index.cell[~index.trainable]) == [2, 5]
    assert index.complete.all()


def test_a_damaged_label_leaves_the_cell_to_be_predicted(tmp_path: Path, grid: Grid) -> None:
    inputs = write_inputs(tmp_path, grid)
    assert inputs.reference_restart is not None
    edit(inputs.reference_restart, lambda nc: nc["soil4c_vr"].__setitem__((soil_column(nc, 9), 2), np.nan))
    summary = fused(inputs, tmp_path / "out")
    index = read_cells(tmp_path / "out")
    assert summary["labels"]["label_missing"]["variables"] == {"soil4c_vr": 1}
    assert list(index.cell[~index.trainable]) == [9]
    assert index.complete.all()


def test_without_a_reference_no_cell_is_trainable(tmp_path: Path, grid: Grid) -> None:
    inputs = dataclasses.replace(
        write_inputs(tmp_path, grid), reference_restart=None, reference_history=(), reference_ad_restart=None
    )
    summary = fused(inputs, tmp_path / "out")
    assert (summary["complete"], summary["trainable"]) == (grid.ncells, 0)
    assert json.loads((tmp_path / "out" / "cleaning.json").read_text())["trainable"] == 0
    assert not read_cells(tmp_path / "out").trainable.any()
    assert not any(info.group == "target" for info in describe(tmp_path / "out").values())


def test_a_shorter_dataset_leaves_no_record_file_of_the_longer_one(tmp_path: Path, grid: Grid) -> None:
    inputs = write_inputs(tmp_path, grid)
    paper = TargetSettings(preset="paper")
    fuse(inputs, FusionSettings(record_cells=3), paper, tmp_path / "out")
    fuse(inputs, FusionSettings(record_cells=12), paper, tmp_path / "out")
    assert sorted(p.name for p in (tmp_path / "out").glob("records_*")) == ["records_00.nc", "records_01.nc"]


def spoil_reference_flag(inputs: Domain) -> None:
    assert inputs.reference_restart is not None
    edit(inputs.reference_restart, lambda nc: nc["spinup_state"].assignValue(1))


def spoil_units(inputs: Domain) -> None:
    edit(inputs.restart, lambda nc: nc["leafc"].setncattr("units", "kg/m2"))


def spoil_forcing_units(inputs: Domain) -> None:
    edit(inputs.monthly[0], lambda nc: nc["TBOT"].setncattr("units", "degC"))


def spoil_surface_units(inputs: Domain) -> None:
    edit(inputs.surface, lambda nc: nc["ORGANIC"].setncattr("units", "g/cm3"))


def spoil_surface_grid(inputs: Domain) -> None:
    edit(inputs.surface, lambda nc: nc["LATIXY"].__setitem__(slice(None), nc["LATIXY"][:] + 1.0))


def spoil_percentages(inputs: Domain) -> None:
    edit(inputs.surface, lambda nc: nc["PCT_NATVEG"].__setitem__(slice(None), nc["PCT_NATVEG"][:] / 100.0))


def spoil_variable(inputs: Domain) -> None:
    edit(inputs.restart, lambda nc: nc.renameVariable("soil4p_vr", "soil4p"))


@pytest.mark.parametrize(
    ("spoil", "word"),
    [
        (spoil_reference_flag, "spinup_state is 1"),
        (spoil_units, "leafc"),
        (spoil_forcing_units, "TBOT"),
        (spoil_surface_units, "ORGANIC has units 'g/cm3'"),
        (spoil_surface_grid, "no partner"),
        (spoil_percentages, "PCT_NATVEG, summed, is at most 0.9 in all cells: these are fractions"),
        (spoil_variable, "soil4p_vr"),
        (lambda inputs: inputs.monthly[0].unlink(), "does not exist"),
        (lambda inputs: inputs.history[0].rename(inputs.history[0].with_name("gone")), "does not exist"),
    ],
)
def test_bad_input_is_refused_in_one_line(
    tmp_path: Path, grid: Grid, spoil: Callable[[Domain], None], word: str
) -> None:
    inputs = write_inputs(tmp_path, grid)
    spoil(inputs)
    with pytest.raises(InputError, match=word) as caught:
        fused(inputs, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out" / "cells.nc").exists()


def test_history_that_does_not_cover_the_years_is_refused(tmp_path: Path, grid: Grid) -> None:
    inputs = write_inputs(tmp_path, grid)
    with pytest.raises(InputError, match=r"covers 20\.00 years"):
        fused(dataclasses.replace(inputs, cycle=30), tmp_path / "out", TargetSettings(preset="paper"))


def test_the_mortality_factor_of_the_ad_run_scales_dead_wood_and_the_dataset_is_another(
    tmp_path: Path, grid: Grid
) -> None:
    inputs = write_inputs(tmp_path, grid)
    identities = set()
    for factor in (5.0, 20.0):
        fused(dataclasses.replace(inputs, mortality_factor=factor), tmp_path / "out")
        values = load_dataset(tmp_path / "out", ["deadstemc", "state20_deadstemc"])
        grown = values["deadstemc"] > 0.0
        np.testing.assert_allclose(
            values["state20_deadstemc"][grown], factor * values["deadstemc"][grown], rtol=1e-12
        )
        with netCDF4.Dataset(tmp_path / "out" / "cells.nc") as nc:
            identities.add(nc.dataset_id)
    assert len(identities) == 2


def test_real_restart_keeps_its_column_totals(tmp_path: Path, elm_sample: Path) -> None:
    restart = elm_sample / "ad20.elm.r.0021-01-01-00000.nc"
    with netCDF4.Dataset(restart) as nc:
        nc.set_auto_maskandscale(False)
        grid = Grid(nc["grid1d_lat"][:], nc["grid1d_lon"][:])
        soil = np.flatnonzero((nc["cols1d_ityplun"][:] == 1) & (nc["cols1d_ityp"][:] == 1))
        cells = nc["cols1d_gridcell_index"][soil] - 1
        totsomc = nc["totsomc"][soil]
        lat_of_cell = nc["grid1d_lat"][:]
    inputs = Domain(
        restart=restart,
        history=(elm_sample / "history" / "ad20.elm.h1.0021-01-01-00000.nc",),
        surface=elm_sample / "surfdata.biomes.1d.nc",
        params=elm_sample / "clm_params_c211124.nc",
        monthly=(write_forcing(tmp_path / "monthly.nc", grid),),
        mortality_factor=MORTALITY,
    )
    summary = fused(inputs, tmp_path / "out")
    assert summary["complete"] == 24
    assert summary["traits_absent"] == []
    index = read_cells(tmp_path / "out")
    names = [f"soil{k}c_vr" for k in (1, 2, 3, 4)]
    values = load_dataset(tmp_path / "out", [*names, "GPP", "NPP", "AR", "AREA"])
    place = np.argsort(cells)[index.cell]
    np.testing.assert_allclose(sum(values[n] for n in names) @ DZDECOMP, totsomc[place], rtol=1e-10)
    np.testing.assert_array_equal(index.lat, lat_of_cell[index.cell])
    np.testing.assert_allclose(values["GPP"] - values["AR"], values["NPP"], atol=0.1)
    assert 1000.0 < values["GPP"].max() < 6000.0
    # Cells of a 4 km grid, though the file calls steradian km^2.
    assert np.all((values["AREA"] > 7.0) & (values["AREA"] < 22.0))


def test_nitrogen_that_passes_through_the_cells_is_an_input_as_far_as_the_history_holds_it(
    tmp_path: Path, grid: Grid
) -> None:
    inputs = write_inputs(tmp_path, grid)
    losses = {"DENIT": 1.0e-9, "SMIN_NO3_LEACHED": 2.0e-9, "SMIN_NO3_RUNOFF": 4.0e-9}
    add_turnover(inputs, losses | {"NFIX_TO_SMINN": 1.0e36, "SUPPLEMENT_TO_SMINN": 5.0e-9})
    fused(inputs, tmp_path / "out")
    # Fill everywhere, as NFIX_TO_SMINN, and fields that are not there, as LITFALL, are no inputs.
    names = ["SUPPLEMENT_TO_SMINN", "N_LOSS"]
    assert read_cells(tmp_path / "out").turnover == {"files": names}
    values = load_dataset(tmp_path / "out", names)
    np.testing.assert_allclose(values["N_LOSS"], 7.0e-9 * 365.0 * 86400.0, rtol=1e-12)
    np.testing.assert_allclose(values["SUPPLEMENT_TO_SMINN"], 5.0e-9 * 365.0 * 86400.0, rtol=1e-12)
    assert describe(tmp_path / "out")["N_LOSS"].units == "gN/m^2/yr"


def test_nitrogen_in_other_units_is_refused(tmp_path: Path, grid: Grid) -> None:
    inputs = write_inputs(tmp_path, grid)
    add_turnover(inputs, {"NDEP_TO_SMINN": 1.0}, units="kgN/m^2/s")
    with pytest.raises(InputError, match=r"NDEP_TO_SMINN.*kgN/m"):
        fused(inputs, tmp_path / "out")


def test_slow_soil_starts_from_where_the_rates_of_its_last_years_lead(tmp_path: Path, grid: Grid) -> None:
    inputs = write_inputs(tmp_path, grid)
    add_soil_budget(inputs, growth=0.02, lost=0.1)
    fused(inputs, tmp_path / "out")
    pools = ("soil4c", "soil3c", "cwdc", "cwdn")
    names = [f"{kind}_{pool}_vr" for kind in ("steady", "state20") for pool in pools]
    values = load_dataset(tmp_path / "out", names)
    # In years 16 to 20 contents are 0.95 of those of the end, grow by 0.02 and lose 0.1 of these a year.
    rate, entering, years = 0.1 / 0.95, 0.12, 2000.0
    expected = (1.0 + years * entering) / (1.0 + years * rate)
    for pool in pools:
        ratio = values[f"steady_{pool}_vr"] / values[f"state20_{pool}_vr"]
        np.testing.assert_allclose(ratio, expected, rtol=1e-5, err_msg=pool)
    assert "steady_litr1c_vr" not in describe(tmp_path / "out")
    facts = read_cells(tmp_path / "out").semi_analytic["files"]
    assert (facts["source"], facts["years"]) == ("fluxes", [16, 20])
    assert facts["decisions"]["soil4"]["led_to_its_end"] == 10 * grid.ncells


def test_the_course_of_pools_is_their_means_over_three_windows_of_five_years(
    tmp_path: Path, grid: Grid, dataset: Path
) -> None:
    inputs = write_inputs(tmp_path, grid)
    add_soil_budget(inputs, growth=0.02, lost=0.1)

    def add_plants(nc: netCDF4.Dataset) -> None:
        years = np.arange(nc.dimensions["time"].size)
        order = (nc["area"][:] - 1000.0).round()  # number of the cell, as the history has its cells
        for name, units in (("TLAI", "1"), ("TOTVEGC", "gC/m^2")):
            field = nc.createVariable(name, "f4", ("time", "lndgrid"), fill_value=1.0e36)
            field.units = units
            field[:] = years[:, None] + 100.0 * order

    edit(inputs.history[0], add_plants)
    fused(inputs, tmp_path / "out")
    names = ["course_SOIL4C_vr", "soil4c_vr", "course_TLAI", "course_TOTVEGC"]
    values = load_dataset(tmp_path / "out", names)
    # Contents grow by 0.02 a year to those of the restart; the windows are years 6-10, 11-15 and 16-20.
    expected = np.array([0.75, 0.85, 0.95])[None, :, None] * values["soil4c_vr"][:, None]
    np.testing.assert_allclose(values["course_SOIL4C_vr"], expected, rtol=1e-5)
    cell = read_cells(tmp_path / "out").cell
    np.testing.assert_allclose(values["course_TLAI"], 100.0 * cell[:, None] + [7.0, 12.0, 17.0])
    np.testing.assert_array_equal(values["course_TOTVEGC"], values["course_TLAI"])
    assert np.isnan(load_dataset(dataset, ["course_TOTVEGC"])["course_TOTVEGC"]).all()


def test_without_the_carbon_budget_of_the_soil_the_dataset_says_what_is_missed(dataset: Path) -> None:
    missed = "the history has no LITR1C_vr and 10 more"
    assert read_cells(dataset).semi_analytic == {"files": {"source": None, "missed": missed}}
    assert not [name for name in describe(dataset) if name.startswith("steady_")]
    assert json.loads((dataset / "cleaning.json").read_text())["semi_analytic"]["missed"] == missed


def test_without_the_depth_of_thaw_the_soil_starts_from_the_restart(tmp_path: Path, grid: Grid) -> None:
    inputs = write_inputs(tmp_path, grid)
    add_soil_budget(inputs, growth=0.02, lost=0.1)
    edit(inputs.restart, lambda nc: nc.renameVariable("altmax", "other"))
    fused(inputs, tmp_path / "out")
    facts = read_cells(tmp_path / "out").semi_analytic["files"]
    assert facts["source"] is None
    assert "altmax" in facts["missed"]
