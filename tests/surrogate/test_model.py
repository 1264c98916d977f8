"""The network: groups to tokens, heads, target spaces, loss and normalisation."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import torch

from phase_lib.config.surrogate import NETWORKS
from phase_lib.dataset.layout import Layout
from phase_lib.dataset.normalization import normalize
from phase_lib.dataset.scaler import Scaler
from phase_lib.dataset.split import read_split
from phase_lib.surrogate.codec import CorrectionSpace, MinMaxSpace, Outputs
from phase_lib.surrogate.ensemble import Ensemble
from phase_lib.surrogate.features import CellSource, Reader
from phase_lib.surrogate.loss import TASKS, flux_imbalance, losses, masked_mean, total
from phase_lib.surrogate.networks.fno import SpectralConvolution
from tests.helpers.surrogate import Prepared, make_values, prepare, small_settings, write_dataset, write_split

CELLS = 60


@pytest.fixture(scope="module")
def default(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return prepare(tmp_path_factory.mktemp("default"), make_values(CELLS))


@pytest.fixture(scope="module")
def paper(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return prepare(tmp_path_factory.mktemp("paper"), make_values(CELLS), preset="paper")


@pytest.fixture(scope="module")
def unconstrained(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return prepare(tmp_path_factory.mktemp("unconstrained"), make_values(CELLS), preset="unconstrained")


@cache
def reader_of(dataset: Path, normalization: Path, preset: str) -> Reader:
    return Reader(dataset, Layout.read(dataset, preset), Scaler.read(normalization))


def new_model(prepared: Prepared) -> tuple[Ensemble, Reader]:
    reader = reader_of(prepared.dataset, prepared.normalization, prepared.settings.preset.kind)
    torch.manual_seed(0)
    return Ensemble(reader.layout, reader.scaler, prepared.settings).eval(), reader


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


def with_network(prepared: Prepared, **changes: object) -> tuple[Ensemble, Reader]:
    """A model with another network than that of the preparation, and with weights that all do something."""
    settings = small_settings(preset=prepared.settings.preset.kind, **changes)
    model, reader = new_model(replace(prepared, settings=settings))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model, reader


@pytest.mark.parametrize("network", NETWORKS.names)
def test_any_network_predicts_all_pools_and_fluxes_of_any_preset(network, default, paper, unconstrained):
    for prepared in (default, paper, unconstrained):
        model, reader = with_network(prepared, network=network)
        outputs, latent = model.predict(all_cells(reader))
        shapes = [tuple(getattr(outputs, task).shape) for task in ("patch", "layer", "flux")]
        assert shapes == [(CELLS, 17, 4), (CELLS, 10, 4), (CELLS, 3)]
        assert latent.shape == (CELLS, 16)
        assert all(torch.isfinite(getattr(outputs, task)).all() for task in ("patch", "layer", "flux"))


@pytest.mark.parametrize(
    ("preset", "network"), [("paper", "phase"), *(("default", name) for name in NETWORKS.names)]
)
def test_what_absent_pfts_hold_changes_nothing(preset, network, request):
    model, reader = with_network(request.getfixturevalue(preset), network=network)
    with torch.no_grad():
        batch = all_cells(reader)
        absent = ~batch.covered[..., None]
        other = replace(batch, state=torch.where(absent, 7.0, batch.state))
        before, _ = model.predict(batch)
        after, _ = model.predict(other)
    assert torch.equal(before.layer, after.layer)
    assert torch.equal(before.flux, after.flux)
    covered = batch.covered
    assert torch.equal(before.patch[covered], after.patch[covered])


@pytest.mark.parametrize("network", ["mlp", "cnn", "fno", "pinn"])
def test_members_computed_together_answer_as_each_alone(network, default):
    model, reader = with_network(default, network=network, members=3)
    batch = all_cells(reader)

    def layers(weights, buffers):
        return torch.func.functional_call(model.members[0], (weights, buffers), (batch,)).raw.layer

    with torch.no_grad():
        together = torch.func.vmap(layers)(*torch.func.stack_module_state(list(model.members)))
        alone = torch.stack([member(batch).raw.layer for member in model.members])
    torch.testing.assert_close(together, alone)


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


def test_unconstrained_outputs_are_the_min_max_scaled_values_and_may_be_negative():
    space = MinMaxSpace(np.array([10.0]), np.array([40.0]), softplus=False)
    raw, truth = torch.tensor([[-0.5]]), torch.tensor([[30.0]])
    assert space.decode(raw, truth).item() == pytest.approx(-10.0)
    assert space.error(raw, truth, truth).item() == pytest.approx(1.0)


def test_unconstrained_predictions_are_negative_where_the_weights_say_so(unconstrained):
    model, reader = new_model(unconstrained)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0.0, 3.0)
        outputs, _ = model.predict(all_cells(reader))
    assert (outputs.layer < 0.0).any()
    assert (outputs.patch < 0.0).any()


@pytest.mark.parametrize("preset", ["default", "unconstrained"])
def test_a_right_change_that_agrees_with_a_right_final_state_costs_nothing_more(preset, request):
    model, reader = with_network(request.getfixturevalue(preset), network="pinn")
    batch, codec = all_cells(reader), model.codec
    answer = model.mean(model(batch))
    predicted = codec.decode(answer.raw, batch)
    unit = {task: getattr(codec.space(task), "spread" if preset == "default" else "scale") for task in TASKS}

    def change_to(final):
        changes = {
            task: (getattr(final, task) - getattr(batch, f"{task}20"))
            / torch.where(unit[task] > 0.0, unit[task], 1.0)
            for task in TASKS
        }
        terms = losses(codec, replace(answer, change=Outputs(**changes)), batch)
        return {name: value.item() for name, value in terms.items()}

    agreeing, right = change_to(predicted), change_to(batch)
    assert agreeing["consistency"] == pytest.approx(0.0, abs=1e-9)
    assert agreeing["change"] > 1.0e-4
    assert right["change"] == pytest.approx(0.0, abs=1e-9)
    # The gap that is left is then the error of the final state itself, in units of its scale.
    assert right["consistency"] == pytest.approx(agreeing["change"], rel=1e-4)


def test_the_change_is_learnt_from_by_its_weights(unconstrained):
    model, reader = with_network(unconstrained, network="pinn")
    terms = losses(model.codec, model.mean(model(all_cells(reader))), all_cells(reader))
    weights = {"change_weight": 2.0, "consistency_weight": 0.5}
    with_terms = small_settings(network={"kind": "pinn", **weights})
    extra = total(terms, with_terms) - total(terms, small_settings(network="mlp"))
    expected = 2.0 * terms["change"] + 0.5 * terms["consistency"]
    assert extra.item() == pytest.approx(expected.item(), rel=1e-4)


def test_a_spectral_layer_solves_the_heat_equation_of_a_ring_at_any_resolution():
    layer, time = SpectralConvolution(1, 1, modes=4), 0.3
    decay = torch.exp(-(torch.arange(4.0) ** 2) * time)
    layer.weight = torch.nn.Parameter(torch.stack([decay, torch.zeros(4)], dim=-1)[:, None, None])
    for points in (12, 50):
        x = 2.0 * np.pi * torch.arange(points) / points
        start = 1.0 + torch.sin(x) - 2.0 * torch.cos(3.0 * x) + torch.sin(5.0 * x)
        # u_t = u_xx; the fifth mode lies above those that the layer has.
        end = 1.0 + np.exp(-time) * torch.sin(x) - 2.0 * np.exp(-9.0 * time) * torch.cos(3.0 * x)
        torch.testing.assert_close(layer(start[None, :, None])[0, :, 0], end, atol=1e-5, rtol=1e-5)


def test_a_spectral_layer_mixes_variables_and_shifts_their_phase():
    layer = SpectralConvolution(2, 1, modes=3)
    wave = torch.arange(3.0)
    zero = torch.zeros(3)
    # The derivative of the first variable plus twice the second.
    weight = [torch.stack([zero, wave], -1), torch.stack([zero + 2.0, zero], -1)]
    layer.weight = torch.nn.Parameter(torch.stack(weight, dim=1)[:, :, None])
    x = 2.0 * np.pi * torch.arange(16) / 16
    given = torch.stack([torch.sin(2.0 * x), torch.cos(x)], dim=-1)
    expected = 2.0 * torch.cos(2.0 * x) + 2.0 * torch.cos(x)
    torch.testing.assert_close(layer(given[None])[0, :, 0], expected, atol=1e-5, rtol=1e-5)


def test_without_the_lstm_the_order_of_the_months_does_not_count_and_their_spread_does(default):
    model, reader = with_network(default, network={"kind": "phase", "without": ["lstm"]})
    encoder, forcing = model.members[0].encoders["forcing"], all_cells(reader).forcing
    with torch.no_grad():
        torch.testing.assert_close(encoder(forcing), encoder(forcing.flip(1)), atol=1e-5, rtol=1e-5)
        mean = forcing.mean(1, keepdim=True)
        assert not torch.allclose(encoder(forcing), encoder(mean + 2.0 * (forcing - mean)), atol=1e-3)


@pytest.mark.parametrize(("without", "reach"), [([], 2), (["cnn"], 0)])
def test_without_the_cnn_a_layer_sees_no_other_layer(without, reach, default):
    model, reader = with_network(default, network={"kind": "phase", "without": without})
    profile, soil = model.members[0].profile, all_cells(reader).soil
    other = soil.clone()
    other[:, 5] += 1.0
    with torch.no_grad():
        changed = (profile(soil) != profile(other)).any(-1).any(0)
    assert changed.nonzero().flatten().tolist() == list(range(5 - reach, 5 + reach + 1))


@pytest.mark.parametrize(("without", "linear"), [([], False), (["fc"], True)])
def test_without_the_fully_connected_encoders_a_token_of_static_values_is_linear_in_them(
    without, linear, default
):
    model, reader = with_network(default, network={"kind": "phase", "without": without})
    encoder, values = model.members[0].encoders["static"], all_cells(reader).static
    with torch.no_grad():
        middle = encoder(0.5 * (values[:-1] + values[1:]))
        mean = 0.5 * (encoder(values[:-1]) + encoder(values[1:]))
    assert torch.allclose(middle, mean, atol=1e-5) is linear


@pytest.mark.parametrize(("without", "apart"), [([], False), (["transformer"], True)])
def test_without_the_transformer_no_token_acts_on_another(without, apart, default):
    model, _ = with_network(default, network={"kind": "phase", "without": without})
    tokens = torch.randn(8, 5, 16)
    other = tokens.clone()
    other[:, 0] += 1.0
    with torch.no_grad():
        one, two = model.members[0].fusion(tokens), model.members[0].fusion(other)
    assert torch.equal(one[:, 1:], two[:, 1:]) is apart


def test_a_network_without_any_of_its_parts_still_predicts(default):
    everything = ["transformer", "fc", "lstm", "cnn"]
    model, reader = with_network(default, network={"kind": "phase", "without": everything})
    assert torch.isfinite(model.predict(all_cells(reader))[0].layer).all()


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
