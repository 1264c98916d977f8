"""Cells that represent all others, and the share of the cells with labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans

from phase_lib.config.dataset import DatasetSettings
from phase_lib.dataset import strata as module
from phase_lib.dataset.split import Labelled, read_split, split
from phase_lib.dataset.strata import choose, missing_strata, nearest_site, strata_of_cover
from tests.helpers.dataset import make_dataset, shuffled_grid


def clouds(count: int, cells: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Cells in clouds far from each other, in random order, and the cloud of each."""
    rng = np.random.default_rng(seed)
    cloud = rng.permutation(np.repeat(np.arange(count), cells))
    return 100.0 * np.eye(count)[cloud] + rng.normal(size=(len(cloud), count)), cloud


@pytest.mark.parametrize("together", [1e8, 1.0], ids=["at once", "in groups"])
def test_separated_clouds_have_one_site_each_next_to_their_middle(
    together: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_TOGETHER", together)
    place, cloud = clouds(4, 25)
    sites = choose(place, {}, 4, "stratified", seed=3).sites
    assert sorted(cloud[sites]) == [0, 1, 2, 3]
    for site in sites:
        members = np.flatnonzero(cloud == cloud[site])
        middle = place[members].mean(axis=0)
        assert site == members[np.argmin(np.linalg.norm(place[members] - middle, axis=1))]


@given(
    cells=st.integers(2, 60),
    share=st.floats(0.0, 1.0),
    repeated=st.integers(1, 4),
    method=st.sampled_from(["stratified", "random"]),
    together=st.sampled_from([1e8, 200.0]),
    seed=st.integers(0, 99),
)
@settings(max_examples=40, deadline=None)
def test_there_are_as_many_different_sites_as_asked_for_and_no_stratum_is_without(
    cells: int, share: float, repeated: int, method: str, together: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    # Some cells lie in one place, and many have no PFT that covers enough.
    place = rng.normal(size=(-(-cells // repeated), 3)).repeat(repeated, axis=0)[:cells]
    strata = strata_of_cover(100.0 * rng.random((cells, 6)) ** 8)
    count = max(1, round(share * cells))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_TOGETHER", together)
        choice, again = (choose(place, strata, count, method, seed) for _ in range(2))  # type: ignore[arg-type]
    assert np.all(np.diff(choice.sites) > 0)
    assert len(choice.sites) == count
    assert choice.sites[0] >= 0
    assert choice.sites[-1] < cells
    np.testing.assert_array_equal(again.sites, choice.sites)
    if method == "stratified":
        assert sorted(choice.cluster) == list(range(count))
        if count >= len(strata):
            assert missing_strata(strata, choice.sites) == []


def test_a_rare_pft_has_a_site_although_no_cluster_has_its_middle_there() -> None:
    place, _ = clouds(3, 40)
    cover = np.zeros((len(place), 2))
    cover[17, 1] = 5.0
    without = choose(place, {}, 3, "stratified", seed=0).sites
    chosen = choose(place, strata_of_cover(cover), 3, "stratified", seed=0).sites
    assert 17 not in without
    assert 17 in chosen
    assert len(set(without) & set(chosen)) == 2


def test_the_nearest_site_of_each_cell_is_that_of_all_distances() -> None:
    place = np.random.default_rng(4).normal(size=(50, 5))
    sites = np.array([3, 20, 41])
    nearest, distance = nearest_site(place, sites)
    all_distances = np.linalg.norm(place[:, None] - place[sites], axis=2)
    np.testing.assert_array_equal(nearest, all_distances.argmin(axis=1))
    np.testing.assert_allclose(distance, all_distances.min(axis=1), atol=1e-7)


def test_clusters_made_in_groups_cover_the_space_nearly_as_well_as_those_made_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place = np.random.default_rng(1).normal(size=(1500, 3))

    def far(sites: np.ndarray) -> float:
        return float(nearest_site(place, sites)[1].mean())

    at_once = KMeans(100, n_init=1, random_state=0).fit(place)
    best = float(np.linalg.norm(place - at_once.cluster_centers_[at_once.labels_], axis=1).mean())
    monkeypatch.setattr(module, "_TOGETHER", 1e4)
    grouped = far(choose(place, {}, 100, "stratified", 0).sites)
    random = far(choose(place, {}, 100, "random", 0).sites)
    assert grouped < 1.2 * best
    assert random > grouped


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("labelled"), shuffled_grid(6, 12), record_cells=20)


@pytest.mark.parametrize("method", ["stratified", "random"])
@pytest.mark.parametrize("kind", ["random", "block"])
def test_fewer_labels_leave_the_test_cells_and_share_train_and_validation(
    dataset: Path, tmp_path: Path, kind: str, method: str
) -> None:
    settings = DatasetSettings(validation_fraction=0.2)
    whole = split(dataset, kind, settings, 1, tmp_path / "whole.nc")  # type: ignore[arg-type]
    for seed in (1, 2):
        labelled = Labelled(0.5, method, seed)  # type: ignore[arg-type]
        split(dataset, kind, settings, 1, tmp_path / f"{seed}.nc", labelled)  # type: ignore[arg-type]
    some, other = (read_split(tmp_path / f"{seed}.nc", dataset) for seed in (1, 2))
    labels = some.train | some.validation
    np.testing.assert_array_equal(some.test, whole.test)
    assert not np.any(labels & ~(whole.train | whole.validation))
    assert labels.sum() == round(0.5 * (whole.train | whole.validation).sum())
    assert some.validation.any()
    assert not np.array_equal(some.part, other.part)
