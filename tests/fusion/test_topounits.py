"""Cells that topounits divide enter fusion by their means; cells without natural vegetation are counted."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import netCDF4
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from phase_lib.config.fusion import FusionSettings
from phase_lib.config.targets import TargetSettings
from phase_lib.dataset.loading import describe, load_dataset, read_cells
from phase_lib.fusion.fuse import fuse
from phase_lib.landmodel.domain import Domain
from tests.helpers.dataset import F_SOIL4, MORTALITY, Grid, shuffled_grid, write_inputs, write_restart
from tests.helpers.layouts import contents, divided, without_soil

#: Share of the ground on the first topounit of some cells.
SHARES = {3: 0.25, 8: 0.9, 17: 0.5}


@pytest.fixture(scope="module")
def grid() -> Grid:
    return shuffled_grid()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, grid: Grid) -> Domain:
    return write_inputs(tmp_path_factory.mktemp("whole"), grid)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory, whole: Domain) -> Path:
    return fused(whole, tmp_path_factory.mktemp("fused"))


def fused(inputs: Domain, directory: Path, targets: str = "slow") -> Path:
    fuse(
        inputs,
        FusionSettings(record_cells=7),
        TargetSettings.model_validate({"preset": targets}),
        directory,
    )
    return directory


def split(inputs: Domain, folder: Path, shares: Mapping[int, float] = SHARES) -> Domain:
    """The same inputs with restarts in which topounits divide some cells."""
    roles = ("restart", "reference_restart", "reference_ad_restart")
    made = {role: divided(getattr(inputs, role), folder / f"{role}.nc", shares) for role in roles}
    return dataclasses.replace(inputs, **made)


def parts(restart: Path, cell: int) -> tuple[np.ndarray, np.ndarray]:
    """Soil columns of a cell and the rows of their patches (column, natpft)."""
    before = contents(restart)
    columns = np.flatnonzero((before["cols1d_gridcell_index"] == cell + 1) & (before["cols1d_ityplun"] == 1))
    patches = np.empty((len(columns), 17), dtype=int)
    for i, column in enumerate(columns):
        rows = np.flatnonzero(before["pfts1d_column_index"] == column + 1)
        patches[i, before["pfts1d_itypveg"][rows]] = rows
    return columns, patches


def set_parts(restart: Path, cell: int, name: str, factors: np.ndarray) -> None:
    """Multiplies what the two parts of a cell hold of a variable."""
    columns, patches = parts(restart, cell)
    with netCDF4.Dataset(restart, "r+") as nc:
        nc.set_auto_maskandscale(False)
        for rows, factor in zip(columns if nc[name].ndim == 2 else patches, factors, strict=True):
            nc[name][rows] = np.asarray(nc[name][rows]) * factor


def row_of(dataset: Path, cell: int) -> int:
    return int(np.flatnonzero(read_cells(dataset).cell == cell)[0])


def test_a_cell_whose_topounits_hold_the_same_is_the_undivided_cell(
    tmp_path: Path, whole: Domain, dataset: Path
) -> None:
    other = fused(split(whole, tmp_path), tmp_path / "out")
    names = list(describe(dataset))
    first, second = load_dataset(dataset, names), load_dataset(other, names)
    for name in names:
        np.testing.assert_allclose(second[name], first[name], rtol=1e-13, atol=0.0, err_msg=name)
    for file in (dataset, other):
        assert read_cells(file).trainable.all()


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0.05, 0.95), one=st.floats(0.1, 3.0), other=st.floats(0.1, 3.0))
def test_states_and_labels_are_means_by_the_ground_of_the_topounits(
    tmp_path_factory: pytest.TempPathFactory,
    whole: Domain,
    dataset: Path,
    grid: Grid,
    share: float,
    one: float,
    other: float,
) -> None:
    folder = tmp_path_factory.mktemp("parts")
    inputs = split(whole, folder, {3: share})
    assert inputs.reference_restart is not None
    for restart in (inputs.restart, inputs.reference_restart):
        for name in ("soil3c_vr", "deadstemc"):
            set_parts(restart, 3, name, np.array([one, other]))
    made = fused(inputs, folder / "out")
    row = row_of(dataset, 3)
    names = ["soil3c_vr", "state20_soil3c_vr", "Y_soil3c_vr", "deadstemc", "state20_deadstemc", "Y_deadstemc"]
    before, after = load_dataset(dataset, names), load_dataset(made, names)
    mean = share * one + (1.0 - share) * other
    covered = grid.cover[3] > 0.0
    for name in names:
        np.testing.assert_allclose(after[name][row], mean * before[name][row], rtol=1e-12)
        np.testing.assert_array_equal(np.delete(after[name], row, 0), np.delete(before[name], row, 0))
        if name.endswith("deadstemc"):
            np.testing.assert_array_equal(np.isfinite(after[name][row]), covered)


def test_pools_leave_ad_on_their_own_topounit_before_they_are_averaged(
    tmp_path: Path, grid: Grid, whole: Domain
) -> None:
    restart = divided(
        write_restart(tmp_path / "late.nc", grid, year=401, spinup_state=1), tmp_path / "parts.nc", {3: 0.25}
    )
    columns, _ = parts(restart, 3)
    with netCDF4.Dataset(restart, "r+") as nc:
        nc["scalaravg_col"][columns[0]] = 0.01
        nc["scalaravg_col"][columns[1]] = 0.1
        before = np.asarray(nc["soil4c_vr"][columns[0], :10])
    inputs = Domain(
        restart=restart,
        history=(history_of(tmp_path, grid, whole),),
        surface=whole.surface,
        params=whole.params,
        monthly=whole.monthly,
        mortality_factor=MORTALITY,
    )
    made = fused(inputs, tmp_path / "out")
    result = load_dataset(made, ["state20_soil4c_vr"])["state20_soil4c_vr"][row_of(made, 3)]
    # A mean of the scalars, 0.0775, would give 12.9 F instead.
    expected = (0.25 / 0.01 + 0.75 / 0.1) * F_SOIL4 * before
    np.testing.assert_allclose(result, expected, rtol=1e-8)


def history_of(folder: Path, grid: Grid, inputs: Domain) -> Path:
    """The history of the run before year 401."""
    target = folder / "ad.elm.h0.0381-01-01-00000.nc"
    target.write_bytes(inputs.history[0].read_bytes())
    with netCDF4.Dataset(target, "r+") as nc:
        nc["time_bounds"][:] = np.asarray(nc["time_bounds"][:]) + 365.0 * 380
        nc["time"][:] = np.asarray(nc["time"][:]) + 365.0 * 380
    return target


@pytest.mark.parametrize(
    ("reason", "name", "value"),
    [
        ("soil_implausible", "soil3n_vr", -4.0),
        ("soil_missing", "soil2c_vr", np.nan),
        ("state_implausible", "frootc", -5.0),
        ("state_missing", "leafc", 1.0e36),
    ],
)
def test_a_fault_on_one_topounit_takes_out_the_cell_though_the_mean_would_pass(
    tmp_path: Path, whole: Domain, grid: Grid, reason: str, name: str, value: float
) -> None:
    inputs = split(whole, tmp_path)
    columns, patches = parts(inputs.restart, 3)
    pft = int(np.argmax(grid.cover[3]))
    with netCDF4.Dataset(inputs.restart, "r+") as nc:
        nc.set_auto_maskandscale(False)
        if nc[name].ndim == 2:
            nc[name][columns[1], 2] = value
        else:
            nc[name][patches[1, pft]] = value
    index = read_cells(fused(inputs, tmp_path / "out"))
    np.testing.assert_array_equal(index.cell[~index.complete], [3])
    summary = fuse_summary(inputs, tmp_path / "again")
    assert {r: c["cells"] for r, c in summary["inputs"].items() if c["cells"]} == {reason: 1}
    assert summary["inputs"][reason]["variables"] == {name: 1}


def fuse_summary(inputs: Domain, directory: Path) -> dict:
    return fuse(
        inputs,
        FusionSettings(record_cells=7),
        TargetSettings(preset="slow"),
        directory,
    )


def test_a_topounit_without_natural_vegetation_does_not_count(
    tmp_path: Path, whole: Domain, dataset: Path
) -> None:
    inputs = split(whole, tmp_path, {3: 1.0})
    columns, patches = parts(inputs.restart, 3)
    with netCDF4.Dataset(inputs.restart, "r+") as nc:
        assert float(nc["cols1d_wtxy"][columns[1]]) == 0.0
        nc["soil3c_vr"][columns[1]] = np.nan
        nc["leafc"][patches[1]] = -7.0
    other = fused(inputs, tmp_path / "out")
    names = ["soil3c_vr", "leafc", "complete"]
    first, second = load_dataset(dataset, names), load_dataset(other, names)
    for name in names:
        np.testing.assert_array_equal(second[name], first[name])


@pytest.mark.parametrize("role", ["reference_restart", "reference_ad_restart"])
def test_a_reference_without_a_soil_column_gives_no_label(tmp_path: Path, whole: Domain, role: str) -> None:
    lacking = without_soil(getattr(whole, role), tmp_path / "ice.nc", 3, 8)
    summary = fuse_summary(dataclasses.replace(whole, **{role: lacking}), tmp_path / "out")
    assert not any(count["cells"] for count in summary["inputs"].values())
    assert summary["labels"]["label_cover_differs"]["cells"] == 2
    index = read_cells(tmp_path / "out")
    np.testing.assert_array_equal(sorted(index.cell[~index.trainable]), [3, 8])
    assert index.complete.all()


def test_cells_without_a_soil_column_are_counted_and_left_out_alone(
    tmp_path: Path, whole: Domain, dataset: Path
) -> None:
    inputs = dataclasses.replace(whole, restart=without_soil(whole.restart, tmp_path / "ice.nc", 3, 8))
    summary = fuse_summary(inputs, tmp_path / "out")
    assert {r: c["cells"] for r, c in summary["inputs"].items() if c["cells"]} == {"no_soil_column": 2}
    index = read_cells(tmp_path / "out")
    np.testing.assert_array_equal(sorted(index.cell[~index.complete]), [3, 8])
    kept = index.complete
    names = ["soil3c_vr", "leafc", "state20_soil4c_vr", "Y_soil4c_vr", "GPP"]
    first, second = load_dataset(dataset, names), load_dataset(tmp_path / "out", names)
    for name in names:
        np.testing.assert_array_equal(second[name][kept], first[name][kept])
    assert not any(count["cells"] for count in summary["labels"].values())
    assert np.isnan(second["soil3c_vr"][~kept]).all()
    assert (index.cover[~kept] == 0.0).all()
