"""Out of distribution: the score, its threshold, and cells of another climate."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial import KDTree

from phase_lib.surrogate.inference import Surrogate
from phase_lib.surrogate.ood import Reference
from phase_lib.surrogate.training import load_model
from tests.helpers.surrogate import make_values, prepare, write_dataset

RNG = np.random.default_rng(0)


def singly(cells: int) -> np.ndarray:
    return np.arange(cells)


def test_the_score_is_the_mean_distance_to_the_five_nearest_training_cells_on_unit_axes():
    latents = RNG.normal(size=(300, 4)) * np.array([1.0, 10.0, 0.5, 3.0])
    cells = RNG.normal(size=(40, 4)) * np.array([1.0, 10.0, 0.5, 3.0])
    reference = Reference.fit(torch.from_numpy(latents).float(), singly(300))
    whiten = np.linalg.cholesky(np.linalg.inv(np.cov(latents.T, bias=True)))
    expected = KDTree(latents @ whiten).query(cells @ whiten, k=5)[0].mean(axis=1)
    np.testing.assert_allclose(reference.score(torch.from_numpy(cells).float()), expected, rtol=0.02)


def test_half_a_percent_of_cells_like_the_training_cells_is_flagged():
    latents = torch.from_numpy(RNG.normal(size=(3000, 6))).float()
    reference = Reference.fit(latents, singly(3000))
    new = torch.from_numpy(RNG.normal(size=(4000, 6))).float()
    share = np.mean(reference.score(new) > reference.threshold(0.995))
    assert 0.002 < share < 0.009


def test_a_cell_off_the_surface_on_which_training_cells_lie_is_far():
    flat = RNG.normal(size=(500, 3)) * np.array([5.0, 5.0, 0.05])
    reference = Reference.fit(torch.from_numpy(flat).float(), singly(500))
    above = torch.tensor([[0.0, 0.0, 1.0]])
    assert reference.score(above)[0] > reference.threshold(0.995)


def test_neighbours_in_a_cells_own_tile_are_held_out_with_it():
    spots = RNG.normal(size=(100, 3))
    twins = torch.from_numpy(np.repeat(spots, 10, axis=0) + 1e-3 * RNG.normal(size=(1000, 3))).float()
    alone = Reference.fit(twins, singly(1000))
    tiled = Reference.fit(twins, np.repeat(np.arange(100), 10))
    assert alone.threshold(0.995) < 0.02
    assert tiled.threshold(0.5) > 0.05


def test_cells_that_all_lie_in_one_tile_are_held_out_one_by_one():
    latents = torch.from_numpy(RNG.normal(size=(50, 3))).float()
    one_tile = Reference.fit(latents, np.zeros(50, dtype=int))
    assert torch.equal(one_tile.held_out, Reference.fit(latents, singly(50)).held_out)


def test_a_climate_far_from_the_training_cells_is_flagged_and_a_like_one_is_not(tmp_path: Path):
    prepared = prepare(tmp_path, make_values(200), epochs=8)
    trained = load_model(prepared.train(tmp_path / "out"))
    threshold = trained.reference.threshold(0.995)
    rng = np.random.default_rng(5)
    lat, lon = np.degrees(np.arcsin(rng.uniform(-0.7, 0.95, 100))), rng.uniform(0.0, 360.0, 100)

    def flagged(warmer: float) -> float:
        values = make_values(100, warmer=warmer, coordinates=(lat, lon))
        dataset = write_dataset(tmp_path / f"warmer_{warmer:g}", values)
        score = Surrogate(trained, dataset).predict(np.ones(100, dtype=bool)).score
        return float(np.mean(score > threshold))

    assert flagged(0.0) <= 0.06
    assert flagged(60.0) >= 0.9
    assert flagged(-60.0) >= 0.9


def test_flags_need_no_labels(tmp_path: Path):
    prepared = prepare(tmp_path, epochs=1)
    trained = load_model(prepared.train(tmp_path / "out"))
    values = {name: array for name, array in make_values().items() if not name.startswith("Y_")}
    unlabelled = write_dataset(tmp_path / "unlabelled", values)
    everywhere = np.ones(len(values["lat"]), dtype=bool)
    same = Surrogate(trained, prepared.dataset).predict(everywhere).score
    np.testing.assert_array_equal(Surrogate(trained, unlabelled).predict(everywhere).score, same)


@pytest.mark.parametrize("cells", [1, 3])
def test_fewer_training_cells_than_neighbours_still_give_a_score(cells: int):
    latents = torch.from_numpy(RNG.normal(size=(cells + 1, 2))).float()
    assert np.isfinite(Reference.fit(latents, singly(cells + 1)).threshold(0.995))
