from __future__ import annotations

from pathlib import Path

import netCDF4
import numpy as np
import pytest

from phase_lib.base.errors import InputError
from phase_lib.config.dataset import DatasetSettings
from phase_lib.dataset.loading import describe, iterate_batches, load_dataset, names_in_groups, read_cells
from phase_lib.dataset.normalization import fit_normalization, minmax_specs
from phase_lib.dataset.scaler import Spec
from phase_lib.dataset.split import split
from tests.helpers.dataset import make_dataset, salt_of, shuffled_grid


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("loading"), shuffled_grid(6, 12), batch_cells=10)


def test_a_mask_and_positions_give_the_same_cells_in_dataset_order(dataset: Path) -> None:
    index = read_cells(dataset)
    positions = np.array([70, 3, 41, 12])
    mask = np.zeros(index.ncells, dtype=bool)
    mask[positions] = True
    by_mask = load_dataset(dataset, ["LABILE_P", "lat"], mask)
    by_position = load_dataset(dataset, ["LABILE_P", "lat"], positions)
    np.testing.assert_array_equal(by_mask["lat"], index.lat[np.sort(positions)])
    np.testing.assert_array_equal(by_position["LABILE_P"], by_mask["LABILE_P"])


def test_batches_hold_no_more_than_their_cells_and_together_all(dataset: Path) -> None:
    seen = []
    for positions, values in iterate_batches(dataset, ["soil3c_vr"]):
        assert len(positions) == len(values["soil3c_vr"]) <= 10
        seen.append(positions)
    np.testing.assert_array_equal(np.concatenate(seen), np.arange(72))


def test_groups_name_their_variables(dataset: Path) -> None:
    assert set(names_in_groups(dataset, ["forcing"])) == {"FLDS", "PSRF", "FSDS", "QBOT", "PRECTmms", "TBOT"}
    targets = names_in_groups(dataset, ["target"])
    assert "Y_soil4c_vr" in targets
    assert {"Y_GPP", "Y_NPP", "Y_AR"} <= set(targets)


def test_traits_come_once_and_keep_a_missing_value_missing(dataset: Path) -> None:
    values = load_dataset(dataset, ["pft_leafcn", "pft_slatop"])
    np.testing.assert_array_equal(values["pft_leafcn"], 20.0 + np.arange(17))
    np.testing.assert_array_equal(np.flatnonzero(np.isnan(values["pft_slatop"])), [3])


def test_a_batch_of_another_dataset_is_refused(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, shuffled_grid())
    with netCDF4.Dataset(dataset / "batch_01.nc", "r+") as nc:
        nc.dataset_id = "another"
    with pytest.raises(InputError, match=r"batch_01\.nc: belongs to another dataset"):
        load_dataset(dataset, ["lat"])


def test_a_missing_batch_is_refused(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, shuffled_grid())
    (dataset / "batch_02.nc").unlink()
    with pytest.raises(InputError, match=r"batch_02\.nc: does not exist"):
        load_dataset(dataset, ["lat"])


def test_only_training_cells_shape_the_normalisation(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, shuffled_grid(6, 12), batch_cells=10)
    names = names_in_groups(dataset, ["forcing", "static", "scalars", "state", "soil", "target"])
    parts = split(dataset, "random", DatasetSettings(), 0, tmp_path / "split.nc")
    before = fit_normalization(dataset, parts, minmax_specs(dataset, names))
    held_out = ~parts.train
    for number in range(8):
        path = dataset / f"batch_{number:02d}.nc"
        with netCDF4.Dataset(path, "r+") as nc:
            inside = held_out[number * 10 : number * 10 + 10]
            for name in names:
                values = np.ma.filled(nc[name][:], np.nan)
                values[inside] *= 50.0
                nc[name][:] = values
    after = fit_normalization(dataset, parts, minmax_specs(dataset, names))
    assert before.to_dict() == after.to_dict()
    everything = fit_normalization(
        dataset,
        type(parts)("all", np.ones_like(parts.part), parts.cell, parts.lat, parts.lon),
        {"TBOT": Spec()},
    )
    assert everything.scalings["TBOT"].scale > before.scalings["TBOT"].scale


def test_minmax_of_the_paper_is_the_range_of_the_training_cells(dataset: Path, tmp_path: Path) -> None:
    parts = split(dataset, "block", DatasetSettings(), 0, tmp_path / "split.nc")
    names = ["soil3c_vr", "TBOT", "pft_leafcn"]
    scaler = fit_normalization(dataset, parts, minmax_specs(dataset, names), tmp_path / "normalization.nc")
    cell = parts.cell[parts.train].astype(float)
    expected = salt_of("soil3c_vr") + 100.0 * cell.min() + np.arange(10)
    np.testing.assert_allclose(scaler.scalings["soil3c_vr"].offset, expected)
    np.testing.assert_allclose(scaler.scalings["soil3c_vr"].scale, 100.0 * np.ptp(cell))
    assert scaler.scalings["TBOT"].offset.shape == ()
    np.testing.assert_allclose(scaler.transform("pft_leafcn", 20.0 + np.arange(17)), np.arange(17) / 16.0)
    assert describe(dataset)["TBOT"].dims == ("gridcell", "time")
