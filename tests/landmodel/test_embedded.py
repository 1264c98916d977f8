"""The embedded land model against conservation laws, documented values and analytic solutions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import torch

from phase_lib.base.errors import InputError
from phase_lib.base.files import read_json
from phase_lib.elm.history import History
from phase_lib.elm.restart import read_header
from phase_lib.landmodel.backends.embedded import Embedded
from phase_lib.landmodel.domain import ANNUAL_TAPE, Segment
from phase_lib.landmodel.embedded.environment import (
    compute_environment,
    day_length_seconds,
    depth_scalar,
    moisture_scalar,
    temperature_scalar,
)
from phase_lib.landmodel.embedded.model import EmbeddedModel, Protocol
from phase_lib.landmodel.embedded.nutrients import leach_nitrate, share_met
from phase_lib.landmodel.embedded.restart import read_restart
from phase_lib.landmodel.embedded.settings import EmbeddedSettings
from phase_lib.landmodel.embedded.site import Site
from phase_lib.landmodel.embedded.state import cold_snapshot, to_state
from phase_lib.landmodel.planning import try_segment
from tests.helpers.semi_analytic import DZ, NODE, mixing_matrix, steady_state
from tests.landmodel.conftest import SegmentFiles, SmallWorld

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")


def tensor(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def cold_model(world: SmallWorld, mode: str = "ad") -> EmbeddedModel:
    inputs = world.inputs()
    site = Site(inputs.site, CPU)
    state = to_state(cold_snapshot(inputs.site), site)
    environment = compute_environment(site, inputs.forcing, 284.7)
    return EmbeddedModel(site, environment, state, Protocol(mode, 20, 10.0), list(range(1, site.ncells + 1)))


# --- scalars against documented values ------------------------------------------------------------


def test_temperature_scalar_is_one_at_25_degrees_and_falls_by_its_q10() -> None:
    scalar = temperature_scalar(tensor(298.15, 288.15, 273.15, 263.15), 1.5, 1.5)
    assert torch.allclose(scalar, tensor(1.0, 1 / 1.5, 1.5**-2.5, 1.5**-3.5), rtol=1e-12)


def test_moisture_scalar_is_one_when_saturated_and_zero_at_minus_ten_megapascal() -> None:
    saturated = tensor(-0.002)
    psi = tensor(-0.002, -0.0005, -10.0, -50.0, -np.sqrt(10.0 * 0.002))
    scalar = moisture_scalar(psi, saturated, -10.0)
    assert torch.allclose(scalar, tensor(1.0, 1.0, 0.0, 0.0, 0.5), atol=1e-12)


def test_depth_scalar_has_the_documented_values_by_layer() -> None:
    documented = [0.979, 0.919, 0.828, 0.698, 0.526, 0.330, 0.153, 0.0430, 0.00533, 0.000170]
    assert depth_scalar(torch.from_numpy(NODE), 0.33).numpy() == pytest.approx(documented, rel=3e-3)


def test_days_are_half_the_day_at_the_equator_and_endless_in_the_polar_summer() -> None:
    hours = day_length_seconds(np.array([0.0, 75.0, -75.0]), np.array([171.0])) / 3600.0
    assert hours[0] == pytest.approx([12.0, 24.0, 0.0], abs=0.01)


# --- parts ----------------------------------------------------------------------------------------


def test_scarce_supply_is_shared_in_proportion() -> None:
    assert torch.allclose(share_met(tensor(2.0, 1.0, 0.0), tensor(1.0, 3.0, 0.0)), tensor(0.5, 1.0, 1.0))


def test_leached_nitrate_is_what_the_layers_lose() -> None:
    thickness = tensor(0.1, 0.2, 0.4)
    before = torch.tensor([[1.0, 4.0], [2.0, 0.0], [3.0, 1.0]], dtype=torch.float64)
    after, lost = leach_nitrate(before, tensor(0.3, 1.0), thickness)
    change = ((before - after) * thickness[:, None]).sum(0)
    assert torch.allclose(change, lost, rtol=1e-12)
    assert torch.allclose(after[:, 1], torch.zeros(3, dtype=torch.float64))


def test_mixing_moves_matter_without_losing_any_and_agrees_with_a_dense_solve(
    small_world: SmallWorld,
) -> None:
    model = cold_model(small_world)
    soil = torch.rand(model.state.soil.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    before = soil.clone()
    deep = torch.full((model.site.ncells,), 42.0, dtype=torch.float64)
    model.mixing.prepare(deep, torch.ones(8, 1, dtype=torch.float64), 1.0)
    model.mixing.mix(soil)
    dz = model.site.dz[:, None]
    assert torch.allclose((soil * dz).sum(2), (before * dz).sum(2), rtol=1e-13)
    assert torch.equal(soil[3], before[3]), "CWD is not mixed"
    dense = np.linalg.solve(np.eye(10) + mixing_matrix(1.0e-4), before[7, 0, :, 0].numpy())
    assert soil[7, 0, :, 0].numpy() == pytest.approx(dense, rel=1e-5)


# --- the whole model ------------------------------------------------------------------------------


def test_carbon_nitrogen_and_phosphorus_balance_over_a_hundred_years_and_som_keeps_its_ratios(
    small_world: SmallWorld,
) -> None:
    model = cold_model(small_world)
    before = model.column_totals()
    for year in range(1, 101):
        model.run_year(year)
    change = model.column_totals() - before
    flux = model.flux
    brought = torch.stack(
        [
            flux["GPP"] - flux["AR"] - flux["HR"],
            flux["NDEP_TO_SMINN"]
            + flux["NFIX_TO_SMINN"]
            + flux["SUPPLEMENT_TO_SMINN"]
            - flux["DENIT"]
            - flux["SMIN_NO3_LEACHED"],
            flux["PDEP_TO_SMINP"] + flux["SUPPLEMENT_TO_SMINP"] - flux["SMINP_LEACHED"],
        ]
    )
    assert float(flux["GPP"].mean()) > 1e4, "the cells must have grown something"
    assert torch.allclose(change, brought, rtol=1e-9, atol=1e-9)
    for pool, cn, cp in ((4, 12, 360), (5, 12, 360), (6, 10, 500), (7, 10, 500)):
        carbon, nitrogen, phosphorus = model.state.soil[pool]
        assert torch.allclose(nitrogen * cn, carbon, rtol=1e-9, atol=1e-12)
        assert torch.allclose(phosphorus * cp, carbon, rtol=1e-9, atol=1e-12)


@pytest.fixture(scope="module")
def spun_up(
    small_world: SmallWorld, three_cycles: SegmentFiles, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The restart after 200 accelerated and 200 normal years."""
    directory = tmp_path_factory.mktemp("spun_up")
    ad = small_world.run(directory, start_year=61, years=140, finidat=three_cycles.restart)
    return small_world.run(
        directory, case="n", mode="normal", start_year=201, years=200, finidat=ad.restart
    ).restart


def test_accelerated_spinup_reaches_the_semi_analytic_steady_state(
    small_world: SmallWorld, spun_up: Path
) -> None:
    inputs = small_world.inputs()
    snapshot = read_restart(spun_up, inputs, spinup_state=0, mortality_factor=10.0)
    site = Site(inputs.site, CPU)
    environment = compute_environment(site, inputs.forcing, 284.7)
    model = EmbeddedModel(
        site, environment, to_state(snapshot, site), Protocol("normal", 20, 10.0), list(range(1, 13))
    )
    for year in range(401, 421):
        model.run_year(year)
    stock = (model.soil_mean[:, 0] / 20.0).numpy()
    loss, litter = (model.decomposed / 20.0).numpy(), (model.litter_input / 20.0).numpy()
    rates = np.divide(loss, stock, out=np.ones_like(loss), where=stock > 1e-12)
    thawed = environment.altmax.amin(0).numpy() > 10.0
    growing = (model.flux["GPP"] / 20.0).numpy() > 100.0
    cells = np.flatnonzero(thawed & growing)
    assert len(cells) >= 5
    dz = site.dz[:8].numpy()
    for cell in cells:
        analytic = steady_state(litter[:, :, cell], rates[:, :, cell])
        modelled = (stock[4:, :8, cell] * dz).sum()
        assert modelled == pytest.approx((analytic[4:, :8] * dz).sum(), rel=0.05), f"cell {cell + 1}"


def test_a_run_in_two_segments_equals_the_unsplit_run_to_the_last_bit(
    small_world: SmallWorld, first_cycle: SegmentFiles, three_cycles: SegmentFiles, tmp_path: Path
) -> None:
    whole = three_cycles
    second = small_world.run(tmp_path, start_year=21, years=40, finidat=first_cycle.restart)
    with netCDF4.Dataset(whole.restart) as a, netCDF4.Dataset(second.restart) as b:
        for name in a.variables:
            if name not in ("timemgr_rst_start_ymd", "timemgr_rst_ref_ymd"):
                assert a[name][...].tobytes() == b[name][...].tobytes(), name
    assert [p.name for p in whole.cycles[1:]] == [p.name for p in second.cycles]
    for a_path, b_path in zip(whole.cycles[1:], second.cycles, strict=True):
        with netCDF4.Dataset(a_path) as a, netCDF4.Dataset(b_path) as b:
            assert a["TOTSOMC"][...].tobytes() == b["TOTSOMC"][...].tobytes()


def test_two_processes_give_the_same_bytes_as_one(
    small_world: SmallWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("phase_lib.landmodel.embedded.segment.BLOCK_CELLS", 6)
    one = small_world.run(tmp_path / "one", threads=1)
    two = small_world.run(tmp_path / "two", threads=2)
    assert one.restart.read_bytes() == two.restart.read_bytes()


def test_the_year_21_restart_holds_a_twentieth_of_the_averaged_scalar(
    small_world: SmallWorld, first_cycle: SegmentFiles
) -> None:
    files, inputs = first_cycle, small_world.inputs()
    environment = compute_environment(Site(inputs.site, CPU), inputs.forcing, 284.7)
    days = np.array([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]) / 365.0
    last = (environment.xi[-12:, 3].numpy() * days[:, None]).sum(0) / 20.0
    assert values(files.restart, "scalaravg_col")[:, 3] == pytest.approx(last, rel=1e-12)
    assert int(values(files.restart, "timemgr_rst_curr_ymd")) == 210101
    assert int(values(files.restart, "spinup_state")) == 1


def test_the_restart_is_cdf5_with_the_index_arrays_of_a_real_one(first_cycle: SegmentFiles) -> None:
    assert first_cycle.restart.read_bytes()[:4] == b"CDF\x05"
    header, subgrid = read_header(first_cycle.restart)
    assert (header.year, header.spinup_state, header.dims["pft"]) == (21, 1, 12 * 17)
    assert subgrid.cover.sum(axis=1) == pytest.approx(1.0, abs=1e-12)


def test_every_variable_of_the_restart_also_stands_in_a_real_one(
    first_cycle: SegmentFiles, elm_sample: Path
) -> None:
    with (
        netCDF4.Dataset(first_cycle.restart) as written,
        netCDF4.Dataset(elm_sample / "ad20.elm.r.0021-01-01-00000.nc") as real,
    ):
        for name, variable in written.variables.items():
            assert name in real.variables, name
            assert variable.dimensions == real[name].dimensions, name
            assert variable.dtype == real[name].dtype, name


def test_history_holds_the_mean_over_the_cycle_and_balances_with_the_restart(
    first_cycle: SegmentFiles,
) -> None:
    files = first_cycle
    cycle, annual = History(files.cycles), History(files.annual)
    assert (cycle.start[0], cycle.end[0], len(annual.start)) == (0.0, 20.0, 20)
    for name in ("GPP", "TOTSOMC", "TOTVEGC"):
        assert cycle.read(name)[0] == pytest.approx(annual.read(name).mean(axis=0), rel=1e-5)
    gain = annual.read("NBP").sum(axis=0) * 31_536_000.0
    weight = values(files.restart, "pfts1d_wtcol")
    plants = values(files.restart, "totvegc") + values(files.restart, "xsmrpool")
    stock = (plants * weight).reshape(12, 17).sum(1)
    stock += values(files.restart, "totlitc") + values(files.restart, "totsomc")
    stock += values(files.restart, "cwdc_vr")[:, :10] @ DZ
    # A cold start holds 10 gC m-3 of soil4 in layers 1 to 5 and at most a seed of leaf and stem.
    assert gain == pytest.approx(stock - 10.0 * 0.28913, rel=1e-4, abs=2.0)


def test_history_axes_are_complete_and_increase(first_cycle: SegmentFiles) -> None:
    for axis, step in (("lat", 5.0), ("lon", 5.0)):
        assert np.diff(values(first_cycle.cycles[0], axis)) == pytest.approx(step)


def test_growth_is_limited_by_phosphorus_where_the_soil_holds_hardly_any(small_world: SmallWorld) -> None:
    def npp(phosphorus: float) -> tuple[float, float]:
        model = cold_model(small_world, mode="normal")
        state = model.state
        for name in ("smin_nh4", "smin_no3"):
            state.mineral[name].fill_(20.0)
        for name in ("solutionp", "labilep", "secondp", "primp"):
            state.mineral[name].fill_(phosphorus)
        for year in range(1, 31):
            model.run_year(year)
        return float(model.flux["NPP"].sum()), float(model.mean["FPG_P"].min()) / 30.0

    poor, poor_fpg = npp(1.0e-4)
    rich, rich_fpg = npp(5.0)
    assert poor_fpg < 0.9 < rich_fpg
    assert poor < 0.9 * rich


# --- spin-up semantics ----------------------------------------------------------------------------


def values(path: Path, name: str) -> np.ndarray:
    with netCDF4.Dataset(path) as dataset:
        dataset.set_auto_mask(False)
        return np.asarray(dataset[name][...])


def test_leaving_ad_multiplies_by_f_over_the_averaged_scalar_and_resets_mineral_p(
    small_world: SmallWorld, three_cycles: SegmentFiles
) -> None:
    restart = three_cycles.restart
    inputs = small_world.inputs()
    after = read_restart(restart, inputs, spinup_state=0, mortality_factor=10.0)
    scalar = values(restart, "scalaravg_col")[:, :10]
    for pool, factor in (("cwd", 1.36917797), ("soil3", 1.95557698), ("soil4", 27.39589039)):
        for element in "cnp":
            name = f"{pool}{element}_vr"
            expected = values(restart, name)[:, :10] * factor / scalar
            assert after[name] == pytest.approx(expected, rel=1e-8), name
    assert after["soil2c_vr"] == pytest.approx(values(restart, "soil2c_vr")[:, :10], rel=0)
    for name in ("deadstemc", "deadcrootn", "deadstemp"):
        assert after[name].reshape(-1) == pytest.approx(10.0 * values(restart, name), rel=1e-14), name
    assert after["deadstemc_storage"].reshape(-1) == pytest.approx(
        values(restart, "deadstemc_storage"), rel=0
    )
    labile = inputs.site.surface_p["LABILE_P"] / 0.5
    assert after["labilep_vr"] == pytest.approx(np.repeat(labile[:, None], 10, 1), rel=1e-14)
    solution = labile * inputs.site.soil_p["ks_sorption"] / (inputs.site.soil_p["smax"] - labile)
    assert after["solutionp_vr"][:, 0] == pytest.approx(solution, rel=1e-14)
    stock, leafp, stored = (values(restart, name) for name in ("ppool", "leafp", "leafp_storage"))
    lifted = np.where(stock < leafp, leafp, np.where(stock < stored, stored, stock))
    assert after["ppool"].reshape(-1) == pytest.approx(lifted, rel=0)
    assert np.any(lifted > stock), "the rule must have something to do"


def test_a_restart_of_the_same_mode_is_taken_as_it_is_and_entering_ad_undoes_leaving_it(
    small_world: SmallWorld, three_cycles: SegmentFiles, tmp_path: Path
) -> None:
    restart = three_cycles.restart
    inputs = small_world.inputs()
    same = read_restart(restart, inputs, spinup_state=1, mortality_factor=10.0)
    assert same["soil4c_vr"].tobytes() == values(restart, "soil4c_vr")[:, :10].tobytes()
    normal = small_world.run(tmp_path, case="normal", mode="normal", start_year=61, finidat=restart).restart
    back = read_restart(normal, inputs, spinup_state=1, mortality_factor=10.0)
    expected = values(normal, "soil4c_vr")[:, :10] / 27.39589039 * values(normal, "scalaravg_col")[:, :10]
    assert back["soil4c_vr"] == pytest.approx(expected, rel=1e-8)


def test_taking_a_year_21_restart_out_of_ad_by_the_models_rule_inflates_soil_carbon(
    small_world: SmallWorld, first_cycle: SegmentFiles
) -> None:
    restart = first_cycle.restart
    after = read_restart(restart, small_world.inputs(), spinup_state=0, mortality_factor=10.0)
    grown = values(restart, "soil4c_vr")[:, :10] > 1.0
    ratio = after["soil4c_vr"][grown] / values(restart, "soil4c_vr")[:, :10][grown]
    assert ratio.min() > 500.0


def test_a_run_from_its_own_equilibrium_does_not_drift(
    small_world: SmallWorld, spun_up: Path, tmp_path: Path
) -> None:
    again = small_world.run(tmp_path, case="again", mode="normal", start_year=401, years=40, finidat=spun_up)
    inputs = small_world.inputs()
    history = History(again.cycles)
    vegetation = history.read("TOTVEGC")
    change = np.abs(vegetation[1] - vegetation[0]) / 20.0
    assert np.all(change < 1.0), "gC m-2 yr-1"
    cold = inputs.site.lat > 55.0
    soil = history.read("TOTSOMC")
    assert np.all(np.abs(soil[1] - soil[0])[~cold] / 20.0 < 2.0)


# --- refusals -------------------------------------------------------------------------------------


def damaged(source: Path, target: Path, name: str, change: object) -> Path:
    target.write_bytes(source.read_bytes())
    with netCDF4.Dataset(target, "r+") as dataset:
        dataset.set_auto_mask(False)
        data = dataset[name][...]
        dataset[name][...] = change(data) if callable(change) else change
    return target


@pytest.fixture(scope="module")
def restart(first_cycle: SegmentFiles) -> Path:
    return first_cycle.restart


def start_from(world: SmallWorld, path: Path, output: Path) -> None:
    world.run(output, start_year=21, finidat=path)


def test_other_pft_weights_are_refused(small_world: SmallWorld, restart: Path, tmp_path: Path) -> None:
    def shift(weights: np.ndarray) -> np.ndarray:
        table = weights.reshape(-1, 17).copy()
        covered = np.flatnonzero(table[0] > 0.02)
        table[0, covered[0]] -= 0.01
        table[0, covered[-1]] += 0.01
        return table.reshape(-1)

    path = damaged(restart, tmp_path / "t.elm.r.0021-01-01-00000.nc", "pfts1d_wtcol", shift)
    with pytest.raises(InputError, match="pfts1d_wtlnd"):
        start_from(small_world, path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_another_cascade_is_refused(small_world: SmallWorld, restart: Path, tmp_path: Path) -> None:
    path = damaged(restart, tmp_path / "t.elm.r.0021-01-01-00000.nc", "decomp_cascade_state", 11)
    with pytest.raises(InputError, match="decomp_cascade_state mismatch"):
        start_from(small_world, path, tmp_path / "out")


def test_other_dimensions_are_refused_with_their_name(
    small_world: SmallWorld, restart: Path, tmp_path: Path
) -> None:
    inputs = small_world.inputs()
    fewer = replace(
        inputs, domain=replace(inputs.domain, row=inputs.domain.row[1:], lat=inputs.domain.lat[1:])
    )
    with pytest.raises(InputError, match="check_dim: mismatch of dimension gridcell"):
        read_restart(restart, fewer, spinup_state=1, mortality_factor=10.0)


@pytest.mark.parametrize(
    ("name", "value", "place"),
    [("soil3c_vr", -50.0, "layer 3"), ("soil3c_vr", np.nan, "layer 3"), ("smin_no3_vr", -1.0, "layer 3")],
)
def test_a_negative_or_missing_soil_value_of_a_restart_is_refused_naming_cell_pool_and_layer(
    small_world: SmallWorld, restart: Path, tmp_path: Path, name: str, value: float, place: str
) -> None:
    def spoil(data: np.ndarray) -> np.ndarray:
        data[4, 2] = value
        return data

    path = damaged(restart, tmp_path / "t.elm.r.0021-01-01-00000.nc", name, spoil)
    with pytest.raises(InputError, match=f"{name} is .* cell 5, {place}"):
        start_from(small_world, path, tmp_path / "out")


def test_a_trial_notes_why_the_land_model_stopped_and_other_faults_stay_faults(
    small_world: SmallWorld, restart: Path, tmp_path: Path
) -> None:
    path = damaged(restart, tmp_path / "t.elm.r.0021-01-01-00000.nc", "soil3c_vr", lambda data: -data - 1.0)
    model = Embedded(EmbeddedSettings())
    segment = Segment("test", "ad", 21, 20, path, small_world.domain, tmp_path / "run")
    try_segment(model, segment, tmp_path / "outcome.json")
    outcome = read_json(tmp_path / "outcome.json")
    assert outcome["stopped"].startswith("soil3c_vr is -")
    assert (outcome["years"], outcome["history"]) == (20, [])
    assert segment.directory.is_dir()
    sound = replace(segment, finidat=restart)
    try_segment(model, sound, tmp_path / "outcome.json")
    outcome = read_json(tmp_path / "outcome.json")
    assert outcome["stopped"] is None
    assert outcome["history"] == [str(file) for file in sound.history(ANNUAL_TAPE)]
    without_surface = replace(small_world.domain, surface=tmp_path / "none.nc")
    with pytest.raises(InputError, match=r"none\.nc"):
        try_segment(model, replace(segment, domain=without_surface), tmp_path / "no_outcome.json")
    assert not (tmp_path / "no_outcome.json").exists()


def test_a_negative_leaf_of_a_restart_is_refused_naming_the_pft(
    small_world: SmallWorld, restart: Path, tmp_path: Path
) -> None:
    weights = values(restart, "pfts1d_wtcol").reshape(-1, 17)
    pft = int(np.argmax(weights[0]))

    def spoil(data: np.ndarray) -> np.ndarray:
        data[pft] = -5.0
        return data

    path = damaged(restart, tmp_path / "t.elm.r.0021-01-01-00000.nc", "leafc", spoil)
    with pytest.raises(InputError, match=f"leafc is -5 .* cell 1, PFT {pft}"):
        start_from(small_world, path, tmp_path / "out")


def test_a_normal_segment_may_be_a_part_of_a_cycle_and_has_the_mean_of_its_years(
    small_world: SmallWorld, tmp_path: Path
) -> None:
    run = small_world.run(tmp_path, mode="normal", years=23)
    assert [path.name for path in run.cycles] == [
        "test.elm.h0.0021-01-01-00000.nc",
        "test.elm.h0.0024-01-01-00000.nc",
    ]
    with netCDF4.Dataset(run.cycles[1]) as mean, netCDF4.Dataset(run.annual[1]) as annual:
        np.testing.assert_array_equal(mean["time_bounds"][:], [[20 * 365, 23 * 365]])
        np.testing.assert_allclose(mean["GPP"][0], annual["GPP"][:].mean(axis=0), rtol=1e-6)
        assert len(annual["time"]) == 3


def test_an_ad_segment_that_cuts_the_forcing_cycle_is_refused(
    small_world: SmallWorld, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="forcing cycle of 20 years does not divide"):
        small_world.run(tmp_path, years=30)
