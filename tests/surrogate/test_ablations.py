"""What can be taken out of the surrogate is out: groups of features, terms of the loss, the whole PHASE."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from phase_lib.base.errors import InputError
from phase_lib.config.surrogate import FEATURE_GROUPS
from phase_lib.dataset.layout import Layout
from phase_lib.dataset.normalization import normalize
from phase_lib.dataset.scaler import Scaler
from phase_lib.dataset.split import read_split
from phase_lib.surrogate.codec import Outputs
from phase_lib.surrogate.ensemble import Ensemble
from phase_lib.surrogate.features import Reader
from phase_lib.surrogate.inference import Surrogate
from phase_lib.surrogate.loss import losses, total
from phase_lib.surrogate.training import load_model, train
from tests.helpers.surrogate import (
    LAYER_TARGETS,
    PATCH_TARGETS,
    SOIL_VARIABLES,
    STATE_VARIABLES,
    Prepared,
    make_values,
    prepare,
    small_settings,
    write_dataset,
    write_split,
)

pytestmark = pytest.mark.slow

CELLS = 50

FORCING = ("TBOT", "PRECTmms", "FSDS", "FLDS", "PSRF", "QBOT")
#: Variables of each group; a 20-year state counts to the group that its targets belong to.
VARIABLES = {
    "forcing": FORCING,
    "static": (
        "PCT_SAND",
        "PCT_CLAY",
        "ORGANIC",
        "LABILE_P",
        "SOIL_COLOR",
        "SOIL_ORDER",
        "GPP",
        "NPP",
        "AR",
        "HR",
    ),
    "state": (*STATE_VARIABLES, *(f"state20_{name}" for name in PATCH_TARGETS)),
    "soil": (*SOIL_VARIABLES, *(f"state20_{name}" for name in LAYER_TARGETS)),
}


def values_with_another(group: str) -> dict[str, np.ndarray]:
    """The same cells, with other values of one group of features."""
    values, random = make_values(CELLS), np.random.default_rng(5)
    if group == "traits":
        return {n: array[::-1].copy() if n.startswith("pft_") else array for n, array in values.items()}
    for name in VARIABLES[group]:
        array = values[name]
        factor = random.uniform(0.5, 2.0, (CELLS, *[1] * (array.ndim - 1)))
        values[name] = array[::-1].copy() if name == "SOIL_ORDER" else array * factor
    return values


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same cells as they are, and with other values of each group."""
    root = tmp_path_factory.mktemp("datasets")
    values = {"": make_values(CELLS)} | {group: values_with_another(group) for group in FEATURE_GROUPS}
    result = {group: write_dataset(root / f"other_{group}", cells) for group, cells in values.items()}
    for dataset in result.values():
        write_split(dataset)
    return result


def normalized(dataset: Path, directory: Path, **changes: object) -> Path:
    """The normalisation of a dataset."""
    path = directory / "normalization.nc"
    normalize(dataset, dataset / "split_random.nc", small_settings(**changes), path)
    return path


def untrained_predictions(dataset: Path, normalization: Path, **changes: object) -> Outputs:
    """Predictions of a network with given random weights."""
    settings = small_settings(**changes)
    layout = Layout.read(dataset, settings.preset.kind, settings.leave_out)
    scaler = Scaler.read(normalization)
    torch.manual_seed(0)
    model = Ensemble(layout, scaler, settings).eval()
    batch = next(Reader(dataset, layout, scaler).pieces(np.ones(CELLS, dtype=bool)))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
        outputs, _ = model.predict(batch)
    return replace(outputs, patch=torch.where(batch.covered[..., None], outputs.patch, 0.0))


def same(one: Outputs, other: Outputs) -> bool:
    return all(torch.equal(getattr(one, task), getattr(other, task)) for task in ("patch", "layer", "flux"))


@pytest.fixture(
    scope="module",
    params=[{}, {"preset": "paper"}, {"network": "mlp"}, {"network": "cnn"}, {"network": "fno"}],
    ids=["default", "paper", "mlp", "cnn", "fno"],
)
def choice(request: pytest.FixtureRequest) -> dict[str, str]:
    """A preset or network."""
    return dict(request.param)


@pytest.fixture(scope="module")
def with_all(
    choice: dict[str, str], datasets: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Outputs]:
    """Normalisation and predictions of the cells as they are, with no group left out."""
    normalization = normalized(datasets[""], tmp_path_factory.mktemp("all"), **choice)
    return normalization, untrained_predictions(datasets[""], normalization, **choice)


@pytest.mark.parametrize("group", FEATURE_GROUPS)
def test_what_a_left_out_group_holds_changes_nothing_and_else_it_does(
    group: str,
    choice: dict[str, str],
    with_all: tuple[Path, Outputs],
    datasets: dict[str, Path],
    tmp_path: Path,
) -> None:
    def without_the_group(dataset: Path) -> Outputs:
        changes = {"leave_out": [group], **choice}
        return untrained_predictions(dataset, normalized(dataset, tmp_path, **changes), **changes)

    assert same(without_the_group(datasets[""]), without_the_group(datasets[group]))
    normalization, before = with_all
    assert not same(before, untrained_predictions(datasets[group], normalization, **choice))


def test_without_the_20_year_state_an_untrained_network_gives_the_mean_logarithm_of_training(
    tmp_path: Path,
) -> None:
    prepared = prepare(tmp_path, make_values(CELLS), leave_out=["soil"])
    layout, scaler = Layout.read(prepared.dataset, leave_out=["soil"]), Scaler.read(prepared.normalization)
    model = Ensemble(layout, scaler, prepared.settings).eval()
    batch = next(Reader(prepared.dataset, layout, scaler).pieces(np.ones(CELLS, dtype=bool)))
    train_cells = read_split(prepared.split).train
    values = make_values(CELLS)
    layer = model.predict(batch)[0].layer.detach().numpy()
    for i, name in enumerate(LAYER_TARGETS):
        truth = values[f"Y_{name}"][train_cells]
        floor = 0.01 * truth.mean(0)
        expected = floor * np.expm1(np.log1p(truth / floor).mean(0))
        clear = expected > 0.2 * floor  # below, the Softplus bends
        np.testing.assert_allclose(
            layer[:, clear, i], np.broadcast_to(expected[clear], (CELLS, clear.sum())), rtol=2e-2
        )


def test_a_network_trains_without_a_group_and_predicts_from_its_file(tmp_path: Path) -> None:
    prepared = prepare(tmp_path, make_values(CELLS), leave_out=["forcing", "state"])
    trained = load_model(prepared.train(tmp_path / "model", epochs=2))
    assert set(trained.model.members[0].encoders) == {"static", "traits", "soil"}
    result = Surrogate(trained, prepared.dataset).predict(np.ones(CELLS, dtype=bool))
    assert np.isfinite(result.pools["soil4c_vr"]).all()
    assert np.isfinite(result.pools["deadstemc"][make_values(CELLS)["cover"] > 0.0]).all()


@pytest.mark.parametrize("made_with", [[], ["soil"]])
def test_a_normalisation_made_with_other_groups_is_refused(made_with: list[str], tmp_path: Path) -> None:
    prepared = prepare(tmp_path, make_values(CELLS), leave_out=made_with)
    with pytest.raises(InputError, match=r"surrogate\.leave_out"):
        prepared.train(tmp_path / "model", leave_out=["state"])


@pytest.fixture(scope="module")
def mlp(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return prepare(tmp_path_factory.mktemp("mlp"), make_values(CELLS), network="mlp")


def test_the_mlp_learns_and_comes_back_from_its_file(mlp: Prepared, tmp_path: Path) -> None:
    trained = load_model(mlp.train(tmp_path, epochs=6))
    assert {type(member).__name__ for member in trained.model.members} == {"MlpNetwork"}
    lines = (tmp_path / "history.csv").read_text(encoding="utf-8").splitlines()
    column = lines[0].split(",").index("train_loss")
    losses_by_epoch = [float(line.split(",")[column]) for line in lines[1:]]
    assert losses_by_epoch[-1] < 0.9 * losses_by_epoch[0]


@pytest.mark.parametrize(
    ("weights", "reached"),
    [
        ({"lambda_physics": 0.0, "flux_weight": 0.0}, False),
        ({"lambda_physics": 0.5, "flux_weight": 0.0}, True),
        ({"lambda_physics": 0.0, "flux_weight": 1.0}, True),
    ],
)
def test_a_weight_of_0_takes_a_term_out_of_what_the_network_learns_from(
    mlp: Prepared, weights: dict[str, float], reached: bool
) -> None:
    settings = small_settings(network="mlp", **weights)
    layout, scaler = Layout.read(mlp.dataset), Scaler.read(mlp.normalization)
    torch.manual_seed(1)
    model = Ensemble(layout, scaler, settings).eval()
    batch = next(Reader(mlp.dataset, layout, scaler).pieces(np.ones(CELLS, dtype=bool)))
    result = losses(model.codec, model.mean(model(batch)), batch)
    assert result["physics"] > 0.0
    total(result, settings).backward()
    gradient = model.members[0].heads.flux.leave.weight.grad
    assert bool(gradient.abs().max() > 0.0) is reached


def test_the_carbon_balance_closes_better_with_the_physics_term_than_without(tmp_path: Path) -> None:
    values = make_values(CELLS)
    # Labels whose fluxes do not agree: what the term asks for is not in the data.
    values["Y_AR"] = values["Y_AR"] * np.random.default_rng(2).uniform(0.6, 1.4, CELLS)
    prepared = prepare(tmp_path, values)
    imbalance = {}
    for weight in (0.0, 100.0):
        settings = prepared.settings.model_copy(update={"lambda_physics": weight, "epochs": 15})
        path = train(
            prepared.dataset, prepared.split, prepared.normalization, settings, tmp_path / f"{weight}"
        )
        fluxes = Surrogate(load_model(path), prepared.dataset).predict(np.ones(CELLS, dtype=bool)).fluxes
        imbalance[weight] = np.abs(fluxes["NPP"] - (fluxes["GPP"] - fluxes["AR"])).mean()
    assert imbalance[100.0] < 0.7 * imbalance[0.0]
