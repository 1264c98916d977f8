from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import netCDF4
import numpy as np
import pytest

from phase_lib.base.errors import InputError
from phase_lib.dataset.loading import load_dataset, read_cells
from phase_lib.dataset.space import FeatureSpace, features_of_dataset
from phase_lib.surrogate.baselines.analogue import Analogue
from phase_lib.surrogate.baselines.state20 import State20
from phase_lib.surrogate.predictor import Task
from tests.helpers.dataset import F_SOIL4, MORTALITY, make_dataset, shuffled_grid

TARGETS = ["deadstemc", "tlai", "soil4c_vr"]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("baselines"), shuffled_grid(5, 8), record_cells=9)


def features(dataset: Path, cells: np.ndarray | None = None) -> dict[str, np.ndarray]:
    index = read_cells(dataset)
    return features_of_dataset(dataset, np.arange(index.ncells) if cells is None else cells, index)


def places(dataset: Path, training: np.ndarray) -> np.ndarray:
    return FeatureSpace.fit(features(dataset, training)).place(features(dataset))


def state20(dataset: Path, targets: list[str]) -> Mapping[str, np.ndarray]:
    index = read_cells(dataset)
    everywhere = np.ones(index.ncells, dtype=bool)
    return State20(Task(dataset, index, targets, everywhere)).predict(everywhere).pools


def analogue(
    dataset: Path, targets: list[str], training: np.ndarray, cells: np.ndarray | None = None
) -> Mapping[str, np.ndarray]:
    task = Task(dataset, read_cells(dataset), targets, training)
    return Analogue(task).predict(np.arange(len(training)) if cells is None else cells).pools


def half(n: int) -> np.ndarray:
    return np.arange(n) % 2 == 0


def test_state20_is_the_input_in_normal_space(dataset: Path) -> None:
    predicted = state20(dataset, TARGETS)
    raw = load_dataset(dataset, TARGETS)
    np.testing.assert_allclose(predicted["deadstemc"], MORTALITY * raw["deadstemc"])
    np.testing.assert_allclose(predicted["soil4c_vr"], F_SOIL4 * raw["soil4c_vr"], rtol=1e-7)
    np.testing.assert_array_equal(predicted["tlai"], raw["tlai"])


def test_a_training_cell_is_its_own_analogue(dataset: Path) -> None:
    training = half(read_cells(dataset).ncells)
    predicted = analogue(dataset, TARGETS, training, training)
    truth = load_dataset(dataset, [f"Y_{name}" for name in TARGETS], training)
    for name in TARGETS:
        np.testing.assert_allclose(predicted[name], truth[f"Y_{name}"])


def test_layers_come_from_the_nearest_training_cell(dataset: Path) -> None:
    n = read_cells(dataset).ncells
    training = half(n)
    space = places(dataset, training)
    predicted = analogue(dataset, ["soil4c_vr"], training)["soil4c_vr"]
    truth = load_dataset(dataset, ["Y_soil4c_vr"])["Y_soil4c_vr"]
    for i in range(n):
        distance = np.where(training, np.linalg.norm(space - space[i], axis=1), np.inf)
        np.testing.assert_array_equal(predicted[i], truth[np.argmin(distance)])


def test_a_patch_takes_the_nearest_training_cell_that_has_its_pft(dataset: Path) -> None:
    index = read_cells(dataset)
    training = half(index.ncells)
    space = places(dataset, training)
    predicted = analogue(dataset, ["tlai"], training)["tlai"]
    truth = load_dataset(dataset, ["Y_tlai"])["Y_tlai"]
    start = state20(dataset, ["tlai"])["tlai"]
    passed_over = 0
    for i, pft in np.argwhere(index.covered):
        distance = np.linalg.norm(space - space[i], axis=1)
        having = training & index.covered[:, pft]
        if not having.any():
            assert predicted[i, pft] == start[i, pft]
            continue
        best = np.argmin(np.where(having, distance, np.inf))
        passed_over += int(best != np.argmin(np.where(training, distance, np.inf)))
        assert predicted[i, pft] == truth[best, pft]
    assert passed_over > 0
    np.testing.assert_array_equal(np.isnan(predicted), ~index.covered)


def test_a_pft_that_no_training_cell_has_keeps_its_20_year_state(dataset: Path) -> None:
    index = read_cells(dataset)
    pft = int(np.flatnonzero(index.covered.any(axis=0))[-1])
    training = ~index.covered[:, pft]
    predicted = analogue(dataset, ["deadstemc"], training)["deadstemc"][:, pft]
    np.testing.assert_array_equal(predicted, state20(dataset, ["deadstemc"])["deadstemc"][:, pft])


def test_labels_outside_the_training_cells_are_never_looked_at(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, shuffled_grid(5, 8), record_cells=9)
    training = half(read_cells(dataset).ncells)
    before = analogue(dataset, TARGETS, training)
    for number in range(5):
        with netCDF4.Dataset(dataset / f"records_{number:02d}.nc", "r+") as nc:
            inside = ~training[number * 9 : number * 9 + 9]
            for name in TARGETS:
                values = np.ma.filled(nc[f"Y_{name}"][:], np.nan)
                values[inside] = -1.0
                nc[f"Y_{name}"][:] = values
    after = analogue(dataset, TARGETS, training)
    for name in TARGETS:
        np.testing.assert_array_equal(before[name], after[name])


def test_climate_features_are_the_mean_and_spread_of_the_annual_cycle(dataset: Path) -> None:
    climate = features(dataset)["climate"]
    tbot = load_dataset(dataset, ["TBOT"])["TBOT"].astype(float)
    np.testing.assert_allclose(climate[:, 10], tbot.mean(axis=1))
    # the cycle is a sine of amplitude 10 K on 280 K: standard deviation is amplitude / sqrt(2)
    np.testing.assert_allclose(climate[:, 11] / climate[:, 10], 10.0 / 280.0 / np.sqrt(2.0), rtol=1e-4)


def test_groups_of_features_weigh_the_same(dataset: Path) -> None:
    training = half(read_cells(dataset).ncells)
    space = places(dataset, training)
    start = 0
    for values in features(dataset).values():
        block = space[training, start : start + values.shape[1]]
        start += values.shape[1]
        assert np.sum(block.var(axis=0)) == pytest.approx(1.0)


def test_no_training_cell_is_refused(dataset: Path) -> None:
    with pytest.raises(InputError, match="no training cell"):
        analogue(dataset, TARGETS, np.zeros(read_cells(dataset).ncells, dtype=bool))
