from __future__ import annotations

from pathlib import Path

import netCDF4
import numpy as np
import pytest

from phase_lib.base.errors import InputError
from phase_lib.dataset.loading import iterate_record_files, load_dataset, read_cells
from tests.helpers.dataset import make_dataset, shuffled_grid


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("loading"), shuffled_grid(6, 12), record_cells=10)


def test_a_mask_and_positions_give_the_same_cells_in_dataset_order(dataset: Path) -> None:
    index = read_cells(dataset)
    positions = np.array([70, 3, 41, 12])
    mask = np.zeros(index.ncells, dtype=bool)
    mask[positions] = True
    by_mask = load_dataset(dataset, ["LABILE_P", "lat"], mask)
    by_position = load_dataset(dataset, ["LABILE_P", "lat"], positions)
    np.testing.assert_array_equal(by_mask["lat"], index.lat[np.sort(positions)])
    np.testing.assert_array_equal(by_position["LABILE_P"], by_mask["LABILE_P"])


def test_record_files_hold_no_more_than_their_cells_and_together_all(dataset: Path) -> None:
    seen = []
    for positions, values in iterate_record_files(dataset, ["soil3c_vr"]):
        assert len(positions) == len(values["soil3c_vr"]) <= 10
        seen.append(positions)
    np.testing.assert_array_equal(np.concatenate(seen), np.arange(72))


def test_traits_come_once_and_keep_a_missing_value_missing(dataset: Path) -> None:
    values = load_dataset(dataset, ["pft_leafcn", "pft_slatop"])
    np.testing.assert_array_equal(values["pft_leafcn"], 20.0 + np.arange(17))
    np.testing.assert_array_equal(np.flatnonzero(np.isnan(values["pft_slatop"])), [3])


def test_a_record_file_of_another_dataset_is_refused(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, shuffled_grid())
    with netCDF4.Dataset(dataset / "records_01.nc", "r+") as nc:
        nc.dataset_id = "another"
    with pytest.raises(InputError, match=r"records_01\.nc: belongs to another dataset"):
        load_dataset(dataset, ["lat"])


def test_a_missing_record_file_is_refused(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, shuffled_grid())
    (dataset / "records_02.nc").unlink()
    with pytest.raises(InputError, match=r"records_02\.nc: does not exist"):
        load_dataset(dataset, ["lat"])
