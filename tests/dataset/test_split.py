from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phase_lib.base.errors import InputError
from phase_lib.config.dataset import DatasetSettings
from phase_lib.dataset.loading import CellIndex, read_cells
from phase_lib.dataset.split import (
    EXCLUDED,
    TEST,
    TRAIN,
    VALIDATION,
    draw,
    read_split,
    split,
    split_cells,
    tiles,
)
from tests.helpers.dataset import make_dataset, shuffled_grid

DEFAULTS = DatasetSettings()


def global_index(degrees: float = 5.0, excluded: int = 0) -> CellIndex:
    lat, lon = np.meshgrid(np.arange(-55, 80, degrees), np.arange(0, 360, degrees), indexing="ij")
    lat, lon = lat.reshape(-1), lon.reshape(-1)
    n = len(lat)
    trainable = np.ones(n, dtype=bool)
    trainable[:excluded] = False
    return CellIndex(
        path=Path("cells.nc"),
        cell=np.arange(n),
        lat=lat,
        lon=lon,
        area_km2=np.ones(n),
        landfrac=np.ones(n),
        cover=np.ones((n, 17)) / 17.0,
        complete=np.ones(n, dtype=bool),
        trainable=trainable,
        domain=np.zeros(n, dtype=int),
        record_file=np.zeros(n, dtype=int),
        domains=("embedded",),
        forcing={},
        semi_analytic={},
        turnover={},
        record_files=(),
        dataset_id="x",
    )


@pytest.mark.parametrize("kind", ["random", "block"])
def test_the_test_part_has_its_fraction_and_validation_comes_from_the_rest(kind: str) -> None:
    index = global_index()
    part = split_cells(index, kind, DEFAULTS, seed=1).part  # type: ignore[arg-type]
    n = index.ncells
    assert abs(np.sum(part == TEST) / n - 0.2) < 0.005
    assert abs(np.sum(part == VALIDATION) / n - 0.08) < 0.005
    assert np.sum(part == TRAIN) + np.sum(part == VALIDATION) + np.sum(part == TEST) == n


@pytest.mark.parametrize("seed", range(5))
def test_no_tile_straddles_two_parts(seed: int) -> None:
    index = global_index(excluded=300)
    part = split_cells(index, "block", DEFAULTS, seed).part
    tile = tiles(index.lat, index.lon, 15.0)
    for number in np.unique(tile):
        inside = set(part[(tile == number) & index.trainable])
        assert len(inside) <= 1


def test_random_cells_do_straddle_tiles() -> None:
    index = global_index()
    part = split_cells(index, "random", DEFAULTS, seed=0).part
    tile = tiles(index.lat, index.lon, 15.0)
    assert sum(len(set(part[tile == number])) > 1 for number in np.unique(tile)) > 50


def test_cells_without_labels_are_in_no_part() -> None:
    part = split_cells(global_index(excluded=200), "block", DEFAULTS, seed=3).part
    assert np.all(part[:200] == EXCLUDED)
    assert not np.any(part[200:] == EXCLUDED)


def test_the_seed_alone_decides() -> None:
    index = global_index()
    first, again, other = (split_cells(index, "block", DEFAULTS, seed).part for seed in (5, 5, 6))
    np.testing.assert_array_equal(first, again)
    assert np.any(first != other)


def test_a_part_without_cells_is_refused() -> None:
    with pytest.raises(InputError, match=r"no validation cell|no test cell|no train cell"):
        split_cells(global_index(excluded=global_index().ncells - 2), "random", DEFAULTS, seed=0)


@given(
    st.floats(-89.9, 89.9),
    st.floats(-180.0, 180.0),
    st.sampled_from([5.0, 10.0, 15.0, 30.0]),
)
def test_tiles_ignore_the_longitude_convention_and_are_small(lat: float, lon: float, degrees: float) -> None:
    both = tiles(np.array([lat] * 4), np.array([lon, lon + 360.0, lon - 1e-9, lon + 1e-9]), degrees)
    if both[2] == both[3]:  # within rounding of an edge either side is right
        assert both[0] == both[1]
    rng = np.random.default_rng(0)
    lats, lons = rng.uniform(-90, 90, 2000), rng.uniform(0, 360, 2000)
    inside = tiles(np.append(lats, lat), np.append(lons, lon), degrees)
    same = np.flatnonzero(inside[:-1] == inside[-1])
    assert np.all(np.abs(lats[same] - lat) <= degrees)


def test_tiles_have_similar_areas_from_equator_to_pole() -> None:
    rng = np.random.default_rng(0)
    lat = np.rad2deg(np.arcsin(rng.uniform(-1, 1, 400_000)))
    lon = rng.uniform(-180, 180, 400_000)
    counts = np.bincount(tiles(lat, lon, 15.0))
    assert counts.min() > 0.5 * counts.mean()
    assert counts.max() < 1.5 * counts.mean()


@settings(max_examples=50)
@given(st.lists(st.integers(1, 9), min_size=4, max_size=40), st.floats(0.05, 0.6), st.integers(0, 99))
def test_whole_groups_are_drawn_to_within_half_the_largest(
    sizes: list[int], fraction: float, seed: int
) -> None:
    group = np.repeat(np.arange(len(sizes)), sizes)
    drawn = draw(group, np.ones(len(group), dtype=bool), fraction, np.random.default_rng(seed))
    for number in range(len(sizes)):
        assert len(set(drawn[group == number])) == 1
    assert abs(drawn.sum() - fraction * len(group)) <= max(sizes)


def test_a_split_file_says_what_it_is_and_belongs_to_its_dataset(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "a", shuffled_grid(6, 12))
    other = make_dataset(tmp_path / "b", shuffled_grid(6, 12, seed=1))
    written = split(dataset, "block", DEFAULTS, 4, tmp_path / "split_block.nc")
    read = read_split(tmp_path / "split_block.nc", dataset)
    np.testing.assert_array_equal(read.part, written.part)
    np.testing.assert_array_equal(read.cell, read_cells(dataset).cell)
    assert read.kind == "block"
    with pytest.raises(InputError, match="another dataset"):
        read_split(tmp_path / "split_block.nc", other)
