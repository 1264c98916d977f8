from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import netCDF4
import numpy as np
import pytest

from phase_lib.base.errors import InputError
from phase_lib.config.experiments import BASELINES
from phase_lib.config.fusion import FusionSettings
from phase_lib.config.targets import TargetSettings
from phase_lib.dataset.loading import load_dataset, read_cells
from phase_lib.dataset.space import FeatureSpace, features_of_dataset
from phase_lib.fusion.fuse import fuse
from phase_lib.surrogate.baselines.analogue import Analogue
from phase_lib.surrogate.baselines.extrapolation import SLOWEST, growth_to_end
from phase_lib.surrogate.baselines.state20 import State20
from phase_lib.surrogate.predictor import Task
from tests.helpers.dataset import (
    F_SOIL4,
    MORTALITY,
    add_soil_budget,
    make_dataset,
    shuffled_grid,
    write_inputs,
)
from tests.helpers.surrogate import make_values, write_dataset

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


@pytest.fixture(scope="module")
def with_history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset whose history has the carbon budget of the soil."""
    directory = tmp_path_factory.mktemp("with_history")
    given = write_inputs(directory / "inputs", shuffled_grid(2, 3))
    add_soil_budget(given, growth=0.02, lost=0.1)
    targets = TargetSettings(preset="paper", add=["litr1n_vr", "smin_no3_vr"])
    fuse(given, FusionSettings(record_cells=4), targets, directory / "dataset")
    return directory / "dataset"


def predicted_by(name: str, dataset: Path, targets: list[str]) -> Mapping[str, np.ndarray]:
    index = read_cells(dataset)
    everywhere = np.ones(index.ncells, dtype=bool)
    return BASELINES.load(name)(Task(dataset, index, targets, everywhere)).predict(everywhere).pools


def test_the_semi_analytic_state_is_taken_where_there_is_one(with_history: Path, dataset: Path) -> None:
    targets = ["soil4c_vr", "cwdc_vr", "litr1n_vr", "deadstemc"]
    kinds = ("steady", "steady", "state20", "state20")
    names = [f"{kind}_{name}" for kind, name in zip(kinds, targets, strict=True)]
    values = load_dataset(with_history, names)
    predicted = predicted_by("semi_analytic", with_history, targets)
    for name, variable in zip(targets, names, strict=True):
        np.testing.assert_array_equal(predicted[name], values[variable])
    assert not np.allclose(predicted["soil4c_vr"], state20(with_history, ["soil4c_vr"])["soil4c_vr"])
    without = predicted_by("semi_analytic", dataset, TARGETS)
    np.testing.assert_array_equal(without["soil4c_vr"], state20(dataset, TARGETS)["soil4c_vr"])


@pytest.mark.parametrize("time_scale", [2.0, 8.0, 19.0])
@pytest.mark.parametrize(("start", "end"), [(0.0, 5.0), (9.0, 5.0), (4.0, 5.0)])
def test_an_exponential_course_is_taken_to_its_end(time_scale: float, start: float, end: float) -> None:
    years = (np.arange(0.0, 15.0, 1.0e-3) + 5.0e-4).reshape(3, -1)  # of three windows of five years
    means = (end + (start - end) * np.exp(-years / time_scale)).mean(axis=1)
    last = end + (start - end) * np.exp(-15.0 / time_scale)
    np.testing.assert_allclose(growth_to_end(means[None]), end / last, rtol=1e-5)


@pytest.mark.parametrize(
    ("course", "growth"),
    [
        ([3.0, 3.0, 3.0], 1.0),  # at its end
        ([1.0, 3.0, 2.0], 1.0),  # to and fro: no exponential
        ([0.0, 0.0, 0.0], 1.0),  # nothing there
        ([np.nan, np.nan, np.nan], 1.0),  # not known
        ([9.0, 5.0, 2.0], 0.0),  # it will be negative
    ],
)
def test_a_course_without_an_end_of_its_own_stays_within_bounds(course: list[float], growth: float) -> None:
    assert growth_to_end(np.array([course])).item() == pytest.approx(growth)


def test_a_course_that_becomes_faster_slows_down_as_the_slowest_that_is_known() -> None:
    years = (np.arange(0.0, 15.0, 1.0e-3) + 5.0e-4).reshape(3, -1)
    decay = np.exp(-years / SLOWEST).mean(axis=1)
    # E + B exp(-t / SLOWEST) with the same means of the last two windows.
    end, amplitude = np.linalg.solve([[1.0, decay[1]], [1.0, decay[2]]], [1.1, 2.0])
    last = end + amplitude * np.exp(-15.0 / SLOWEST)
    assert growth_to_end(np.array([[1.0, 1.1, 2.0]])).item() == pytest.approx(end / last, rel=1e-5)


def test_each_layer_follows_its_pool_and_the_rest_keeps_its_20_year_state(
    with_history: Path,
) -> None:
    targets = ["soil4c_vr", "litr1n_vr", "smin_no3_vr", "deadstemc"]
    start, predicted = state20(with_history, targets), predicted_by("extrapolation", with_history, targets)
    # Linear growth by 0.1 from window to window, to 1 at the end, has no end of its own.
    r = np.exp(-5.0 / SLOWEST)
    to_come = 0.1 * r / (1.0 - r)
    growth = (0.95 + to_come) / (0.95 + to_come * (1.0 + r * np.log(r) / (1.0 - r)))
    for name in targets[:2]:
        np.testing.assert_allclose(predicted[name], growth * start[name], rtol=1e-4)
    for name in targets[2:]:
        np.testing.assert_array_equal(predicted[name], start[name])


@pytest.mark.parametrize("name", ["boosted_trees", "extra_trees"])
def test_trees_find_a_rule_by_soil_and_one_by_pft_and_layer(name: str, tmp_path: Path) -> None:
    values = make_values(60)
    clay = values["PCT_CLAY"][:, 0]
    rich = clay > np.median(clay)
    deep, late = np.arange(10) >= 5, np.arange(17) >= 9
    by_soil = np.where(rich, 4.0, 1.0)[:, None]
    values["Y_soil4c_vr"] = values["state20_soil4c_vr"] * by_soil * np.where(deep, 0.5, 1.0)
    values["Y_deadstemc"] = values["state20_deadstemc"] * by_soil * np.where(late, 3.0, 1.0)
    dataset = write_dataset(tmp_path / "dataset", values)
    index = read_cells(dataset)
    training = np.arange(60) % 3 != 0
    # Labels of other cells are out of reach.
    targets = ["soil4c_vr", "deadstemc"]
    task = Task(dataset, index, targets, training, seed=2)
    baseline = BASELINES.load(name)(task)
    test = ~training & (np.abs(clay - np.median(clay)) > 3.0)
    predicted = baseline.predict(test).pools
    for target in targets:
        truth, start = values[f"Y_{target}"][test], values[f"state20_{target}"][test]
        here = truth > 0.2 * np.nanmean(truth)
        left = np.abs(np.log(predicted[target][here] / truth[here]))
        assert np.median(left) < 0.25 * np.abs(np.log(start[here] / truth[here])).mean(), target
    np.testing.assert_array_equal(np.isnan(predicted["deadstemc"]), ~index.covered[test])
    again = BASELINES.load(name)(task).predict(np.flatnonzero(test)).pools
    np.testing.assert_array_equal(again["soil4c_vr"], predicted["soil4c_vr"])
