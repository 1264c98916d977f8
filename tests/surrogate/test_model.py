"""The network: groups to tokens, heads, target spaces, loss and normalisation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import torch

from phase_lib.dataset.layout import Layout
from phase_lib.dataset.normalization import normalize
from phase_lib.dataset.scaler import Scaler
from phase_lib.dataset.split import read_split
from phase_lib.surrogate.codec import CorrectionSpace, MinMaxSpace
from phase_lib.surrogate.ensemble import Ensemble
from phase_lib.surrogate.features import CellSource, Reader
from phase_lib.surrogate.loss import flux_imbalance, losses, masked_mean, total
from tests.helpers.surrogate import Prepared, make_values, prepare, small_settings, write_dataset, write_split

CELLS = 60


@pytest.fixture(scope="module")
def default(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return prepare(tmp_path_factory.mktemp("default"), make_values(CELLS))


@pytest.fixture(scope="module")
def paper(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return prepare(tmp_path_factory.mktemp("paper"), make_values(CELLS), preset="paper")


def new_model(prepared: Prepared) -> tuple[Ensemble, Reader]:
    layout = Layout.read(prepared.dataset, prepared.settings.preset.kind)
    scaler = Scaler.read(prepared.normalization)
    torch.manual_seed(0)
    model = Ensemble(layout, scaler, prepared.settings)
    return model.eval(), Reader(prepared.dataset, layout, scaler)


def all_cells(reader: Reader):
    return next(CellSource(reader, np.ones(CELLS, dtype=bool), 1.0).batches(CELLS))


@pytest.mark.parametrize("preset", ["default", "paper"])
def test_five_groups_become_pools_per_pft_pools_per_layer_and_three_fluxes(preset, request):
    model, reader = new_model(request.getfixturevalue(preset))
    outputs, latent = model.predict(all_cells(reader))
    assert len(model.members[0].encoders) == 5
    assert outputs.patch.shape == (CELLS, 17, 4)
    assert outputs.layer.shape == (CELLS, 10, 4)
    assert outputs.flux.shape == (CELLS, 3)
    assert latent.shape == (CELLS, model.members[0].latent.out_features)


@pytest.mark.parametrize("preset", ["default", "paper"])
def test_pools_are_never_negative_whatever_the_weights(preset, request):
    model, reader = new_model(request.getfixturevalue(preset))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0.0, 3.0)
        outputs, _ = model.predict(all_cells(reader))
    for values in (outputs.patch, outputs.layer, outputs.flux):
        assert torch.isfinite(values).all()
        assert (values >= 0.0).all()


def test_an_untrained_default_network_gives_the_20_year_state_with_the_mean_correction(default):
    model, reader = new_model(default)
    batch = all_cells(reader)
    outputs, _ = model.predict(batch)
    split = read_split(default.split)
    values = make_values(CELLS)
    for i, name in enumerate(["soil3c_vr", "soil4c_vr", "cwdc_vr", "litr1c_vr"]):
        truth, start = values[f"Y_{name}"], values[f"state20_{name}"]
        floor = 0.01 * truth[split.train].mean(0)
        correction = np.log((truth + floor) / (start + floor))[split.train].mean(0)
        expected = (start + floor) * np.exp(correction) - floor
        clear = expected > 0.2 * floor  # below, the Softplus bends
        np.testing.assert_allclose(outputs.layer[..., i].detach().numpy()[clear], expected[clear], rtol=2e-2)


@pytest.mark.parametrize("preset", ["default", "paper"])
def test_what_absent_pfts_hold_changes_nothing(preset, request):
    model, reader = new_model(request.getfixturevalue(preset))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
        batch = all_cells(reader)
        absent = ~batch.covered[..., None]
        other = replace(batch, state=torch.where(absent, 7.0, batch.state))
        before, _ = model.predict(batch)
        after, _ = model.predict(other)
    assert torch.equal(before.layer, after.layer)
    assert torch.equal(before.flux, after.flux)
    covered = batch.covered
    assert torch.equal(before.patch[covered], after.patch[covered])


def test_the_forcing_encoder_sees_the_order_of_the_months(default):
    model, reader = new_model(default)
    batch = all_cells(reader)
    encoder = model.members[0].encoders["forcing"]
    with torch.no_grad():
        forward, backward = encoder(batch.forcing), encoder(batch.forcing.flip(1))
    assert not torch.allclose(forward, backward, atol=1e-3)


def test_the_loss_is_the_sum_of_the_task_errors_and_the_carbon_imbalance_by_their_weights():
    terms = {
        name: torch.tensor(value)
        for name, value in zip(("patch", "layer", "flux", "physics"), (1.0, 2.0, 4.0, 10.0), strict=True)
    }
    assert total(terms, small_settings(lambda_physics=0.3)) == pytest.approx(7.0 + 3.0)
    assert total(terms, small_settings(lambda_physics=0.3, flux_weight=0.5)) == pytest.approx(5.0 + 3.0)
    assert total(terms, small_settings(lambda_physics=0.0, flux_weight=0.0)) == pytest.approx(3.0)


def test_the_imbalance_is_the_squared_gap_between_npp_and_gpp_less_ar():
    flux = torch.tensor([[1000.0, 400.0, 500.0], [800.0, 300.0, 500.0]])
    assert flux_imbalance(flux, torch.tensor(100.0)) == pytest.approx((1.0**2 + 0.0) / 2)


def test_a_masked_mean_counts_what_the_mask_lets_through_by_weight():
    values = torch.tensor([[1.0, 5.0], [3.0, float("nan")]])
    mask = torch.tensor([[True, True], [True, False]])
    weight = torch.tensor([1.0, 2.0])
    assert masked_mean(values, mask, weight) == pytest.approx((1.0 + 3.0 + 2.0 * 5.0) / 4.0)


def test_labels_of_absent_pfts_do_not_enter_the_loss(default):
    model, reader = new_model(default)
    batch = all_cells(reader)
    other = replace(batch, patch=torch.where(batch.patch_mask, batch.patch, 1.0e9))
    answer = model.mean(model(batch))
    assert torch.equal(
        losses(model.codec, answer, batch)["patch"], losses(model.codec, answer, other)["patch"]
    )


def test_the_papers_errors_are_mean_squares_of_min_max_scaled_softplus_outputs():
    space = MinMaxSpace(np.array([10.0]), np.array([40.0]))
    raw, truth = torch.tensor([[0.5]]), torch.tensor([[30.0]])
    softplus = np.log1p(np.exp(0.5))
    assert space.decode(raw, truth) == pytest.approx(10.0 + 40.0 * softplus)
    assert space.error(raw, truth, truth).item() == pytest.approx((softplus - 0.5) ** 2, rel=1e-5)


def test_a_correction_multiplies_large_pools_and_stays_within_its_limits():
    one = np.ones(1)
    space = CorrectionSpace(0.5 * one, 0.2 * one, 1e-3 * one, one, one, linear_weight=1.0)
    start = torch.tensor([[100.0]])
    assert space.decode(torch.tensor([[1.0]]), start).item() == pytest.approx(100.0 * np.exp(0.7), rel=1e-4)
    assert space.decode(torch.tensor([[1e6]]), start).item() == pytest.approx(
        100.0 * np.exp(0.5 + 6 * 0.2), rel=1e-4
    )


@pytest.mark.parametrize("preset", ["default", "paper"])
def test_only_training_cells_enter_the_normalisation(preset, tmp_path: Path):
    values = make_values(CELLS)
    dataset = write_dataset(tmp_path / "a", values)
    part = read_split(write_split(dataset)).part
    changed = {}
    for name, array in values.items():
        scaled = (
            array.dtype.kind == "f" and not name.startswith("pft_") and name not in ("lat", "lon", "cover")
        )
        changed[name] = array.copy()
        if scaled:
            changed[name][part != 1] *= 1000.0
    other = write_dataset(tmp_path / "b", changed)
    settings = small_settings(preset=preset)
    normalize(dataset, dataset / "split_random.nc", settings, tmp_path / "a.nc")
    normalize(other, write_split(other), settings, tmp_path / "b.nc")
    with netCDF4.Dataset(tmp_path / "a.nc") as a, netCDF4.Dataset(tmp_path / "b.nc") as b:
        assert a.variables.keys() == b.variables.keys()
        for name in a.variables:
            np.testing.assert_array_equal(a[name][:], b[name][:])


def test_the_papers_features_and_targets_lie_between_0_and_1_on_training_cells(paper):
    _, reader = new_model(paper)
    train = read_split(paper.split).train
    batch = next(CellSource(reader, train, 1.0).batches(CELLS))
    for values in (batch.forcing, batch.static, batch.soil, batch.state):
        assert values.min() >= -1e-5
        assert values.max() <= 1.0 + 1e-5


@pytest.mark.parametrize("preset", ["default", "paper"])
def test_a_pool_that_is_rounding_noise_in_training_does_not_dwarf_all_else_elsewhere(preset, tmp_path: Path):
    values = make_values(CELLS)
    dataset = write_dataset(tmp_path / "dataset", values)
    train = read_split(write_split(dataset)).train
    noise = 1.0e-17 * np.random.default_rng(0).random(values["cpool"].shape)
    values["cpool"] = np.where(values["cover"] > 0.0, np.where(train[:, None], noise, 5.0), np.nan)
    write_dataset(dataset, values)
    settings = small_settings(preset=preset)
    normalize(dataset, dataset / "split_random.nc", settings, tmp_path / "n.nc")
    reader = Reader(dataset, Layout.read(dataset, preset), Scaler.read(tmp_path / "n.nc"))
    assert all_cells(reader).state.abs().max() < 100.0
