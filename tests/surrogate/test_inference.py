"""Predictions: every cell of the restart, in its order, in physical units, with flags."""

from __future__ import annotations

from pathlib import Path

import netCDF4
import numpy as np
import pytest

from phase_lib.base.errors import InputError
from phase_lib.config.ood import OodSettings
from phase_lib.surrogate.baseline_predictions import predict_by_baseline
from phase_lib.surrogate.evaluation import predict_test
from phase_lib.surrogate.inference import Surrogate
from phase_lib.surrogate.ood import Reference
from phase_lib.surrogate.predictions import join_predictions, predict
from phase_lib.surrogate.skill import read_tests
from phase_lib.surrogate.training import load_model
from tests.helpers.surrogate import (
    BASELINES,
    LAYER_TARGETS,
    PATCH_TARGETS,
    Prepared,
    make_values,
    prepare,
    write_dataset,
)

CELLS = 120
BROKEN = 7


def shuffled_values() -> dict[str, np.ndarray]:
    """Cells whose order in the restart is not that of the dataset; one has incomplete inputs."""
    values = make_values(CELLS)
    values["cell"] = np.random.default_rng(1).permutation(CELLS)
    values["complete"][BROKEN] = values["trainable"][BROKEN] = 0
    values["soil3c_vr"][BROKEN] = np.nan
    return values


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return prepare(tmp_path_factory.mktemp("prepared"), shuffled_values())


@pytest.fixture(scope="module")
def model(prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepared.train(tmp_path_factory.mktemp("trained"), epochs=2)


@pytest.fixture(scope="module")
def predictions(prepared: Prepared, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("predictions") / "predictions.nc"
    # A low quantile flags some complete cells too.
    predict(model, prepared.dataset, path, OodSettings(quantile=0.9), "a run", prepared.split)
    return path


def test_cells_come_in_the_order_of_the_restart(prepared, model, predictions):
    values = shuffled_values()
    complete = values["complete"] == 1
    result = Surrogate(load_model(model), prepared.dataset).predict(complete)
    with netCDF4.Dataset(predictions) as dataset:
        dataset.set_auto_mask(False)
        cell = values["cell"]
        np.testing.assert_array_equal(dataset["lat"][:][cell], values["lat"])
        np.testing.assert_array_equal(dataset["soil4c_vr"][:][cell[complete]], result.pools["soil4c_vr"])
        np.testing.assert_array_equal(dataset["ood_score"][:][cell[complete]], result.score)


def test_a_baseline_writes_what_it_predicts_in_the_order_of_the_restart(prepared, model, tmp_path):
    values, path = shuffled_values(), tmp_path / "predictions.nc"
    predict_by_baseline("state20", model, prepared.dataset, prepared.split, path)
    cell, complete = values["cell"], values["complete"] == 1
    with netCDF4.Dataset(path) as dataset:
        dataset.set_auto_mask(False)
        np.testing.assert_array_equal(dataset["lat"][:][cell], values["lat"])
        np.testing.assert_array_equal(dataset["predicted"][:][cell], complete)
        covered = (values["cover"] > 0.0)[complete]
        predicted = dataset["tlai"][:][cell[complete]]
        np.testing.assert_array_equal(predicted[covered], values["state20_tlai"][complete][covered])
        assert np.all(np.isnan(dataset["soil4c_vr"][:][cell[~complete]]))
        assert dataset.label_space == "normal"
    with pytest.raises(InputError, match="give --split"):
        predict_by_baseline("state20", model, prepared.dataset, None, path)
    with pytest.raises(InputError, match="nothing"):
        predict_by_baseline("nothing", model, prepared.dataset, prepared.split, path)


def test_pools_are_there_where_a_pft_has_cover_and_nowhere_else(predictions):
    values = shuffled_values()
    covered = np.empty((CELLS, 17), dtype=bool)
    covered[values["cell"]] = (values["cover"] > 0.0) & (values["complete"][:, None] == 1)
    with netCDF4.Dataset(predictions) as dataset:
        dataset.set_auto_mask(False)
        for name in ("deadstemc", "tlai"):
            pool = dataset[name][:]
            np.testing.assert_array_equal(np.isfinite(pool), covered)
            assert (pool[covered] >= 0.0).all()
        assert dataset["deadstemc"].units == "gC/m^2"
        assert dataset["soil3c_vr"].units == "gC/m^3"


def test_a_cell_without_complete_inputs_is_flagged_and_has_no_values(predictions):
    row = shuffled_values()["cell"][BROKEN]
    with netCDF4.Dataset(predictions) as dataset:
        dataset.set_auto_mask(False)
        assert dataset["ood_flag"][row] == 1
        assert np.isnan(dataset["ood_score"][row])
        assert np.isnan(dataset["soil3c_vr"][row]).all()
        assert np.flatnonzero(dataset["predicted"][:] == 0).tolist() == [row]


def test_flags_follow_from_scores_and_threshold(predictions):
    with netCDF4.Dataset(predictions) as dataset:
        dataset.set_auto_mask(False)
        score, flag = dataset["ood_score"][:], dataset["ood_flag"][:]
        np.testing.assert_array_equal(flag, ~(score <= dataset.ood_threshold))
        assert 0 < flag.sum() < CELLS


def test_flagged_cells_get_an_analogue_and_others_do_not(predictions):
    with netCDF4.Dataset(predictions) as dataset:
        dataset.set_auto_mask(False)
        wanted = (dataset["ood_flag"][:] == 1) & np.isfinite(dataset["ood_score"][:])
        result = np.isfinite(dataset["analogue_soil4c_vr"][:]).all(axis=1)
        np.testing.assert_array_equal(result, wanted)


def test_the_file_says_what_made_it(predictions, model):
    with netCDF4.Dataset(predictions) as dataset:
        assert dataset.label_space == "normal"
        assert dataset.run_name == "a run"
        assert dataset.model_sha256 == load_model(model).sha256
        assert dataset["split_part"].flag_meanings.split() == ["excluded", "train", "validation", "test"]


def write_shares(prepared: Prepared, model: Path, directory: Path, count: int, **ood: float) -> list[Path]:
    shares = [directory / f"{number}.nc" for number in range(1, count + 1)]
    for number, path in enumerate(shares, start=1):
        settings = OodSettings(**{"quantile": 0.9, **ood})
        predict(model, prepared.dataset, path, settings, "a run", prepared.split, share=(number, count))
    return shares


# There are three record files, so that of four shares one is empty.
@pytest.mark.parametrize("count", [2, 3, 4])
def test_several_jobs_write_the_same_file_as_one_to_the_last_byte(
    count, prepared, model, predictions, tmp_path
):
    shares = write_shares(prepared, model, tmp_path, count)
    join_predictions(shares[::-1], tmp_path / "predictions.nc")
    assert (tmp_path / "predictions.nc").read_bytes() == predictions.read_bytes()


def test_analogues_are_left_out_where_no_share_has_a_flagged_cell(prepared, model, tmp_path, monkeypatch):
    monkeypatch.setattr(Reference, "threshold", lambda reference, quantile: 1.0e9)
    join_predictions(write_shares(prepared, model, tmp_path, 2), tmp_path / "predictions.nc")
    with netCDF4.Dataset(tmp_path / "predictions.nc") as dataset:
        flagged = (dataset["ood_flag"][:] == 1) & (dataset["predicted"][:] == 1)
        assert not flagged.any()
        assert not any(name.startswith("analogue_") for name in dataset.variables)
        assert "row" not in dataset.variables


def test_shares_that_are_missing_doubled_or_of_another_prediction_are_refused(prepared, model, tmp_path):
    first, second = write_shares(prepared, model, tmp_path, 2)
    other = write_shares(prepared, model, tmp_path / "other", 2, quantile=0.8)[1]
    output = tmp_path / "predictions.nc"
    for shares, message in (
        ([first], "does not hold every cell of the restart once"),
        ([first, second, second], "does not hold every cell of the restart once"),
        ([first, other], "global attribute ood_threshold is"),
        ([first, prepared.normalization], "variable row is missing"),
    ):
        with pytest.raises(InputError, match=message):
            join_predictions(shares, output)
    assert not output.exists()


def test_the_last_share_is_missed_also_where_cells_come_in_the_order_of_the_restart(
    prepared, model, tmp_path
):
    dataset = write_dataset(tmp_path / "dataset", make_values(CELLS))
    first, second = tmp_path / "1.nc", tmp_path / "2.nc"
    for number, path in enumerate((first, second), start=1):
        predict(model, dataset, path, OodSettings(), "a run", share=(number, 2))
    with pytest.raises(InputError, match="does not hold every cell of the restart once"):
        join_predictions([first], tmp_path / "predictions.nc")
    join_predictions([first, second], tmp_path / "predictions.nc")


def test_predictions_leave_nothing_else_behind(predictions):
    assert [path.name for path in predictions.parent.iterdir()] == ["predictions.nc"]


def test_a_dataset_without_all_cells_of_the_restart_is_refused(prepared, model, tmp_path):
    values = shuffled_values()
    values["cell"] = values["cell"] + 1
    other = write_dataset(tmp_path / "dataset", values)
    with pytest.raises(InputError, match="every cell of the restart"):
        predict(model, other, tmp_path / "predictions.nc", OodSettings(), "x")
    assert not (tmp_path / "predictions.nc").exists()


def test_a_dataset_without_an_input_of_the_model_is_refused_by_name(prepared, model, tmp_path):
    values = {name: array for name, array in shuffled_values().items() if name != "ppool"}
    other = write_dataset(tmp_path / "dataset", values)
    with pytest.raises(InputError, match="ppool"):
        predict(model, other, tmp_path / "predictions.nc", OodSettings(), "x")


@pytest.mark.parametrize(
    ("variable", "attributes", "words"),
    [
        ("TBOT", {"units": "degC"}, "variable TBOT has units degC; expected K, as in the training data"),
        (
            "deadstemc",
            {"space": "normal", "model_year": 41},
            "variable deadstemc has the state of normal, model year 41; expected nothing",
        ),
    ],
)
def test_inputs_of_another_meaning_are_refused(variable, attributes, words, prepared, model, tmp_path):
    dataset = write_dataset(tmp_path / "dataset", shuffled_values())
    with netCDF4.Dataset(dataset / "records_00.nc", "r+") as nc:
        nc[variable].setncatts(attributes)
    with pytest.raises(InputError, match=words):
        predict(model, dataset, tmp_path / "p.nc", OodSettings(action="keep"), "run")
    assert not (tmp_path / "p.nc").exists()


def test_other_pft_parameters_are_refused_unless_accepted(prepared, model, tmp_path):
    values = shuffled_values()
    values["pft_slatop"] = 1.5 * values["pft_slatop"]
    dataset, keep = write_dataset(tmp_path / "dataset", values), OodSettings(action="keep")
    with pytest.raises(InputError, match=r"PFT parameter slatop is not that of the training data"):
        predict(model, dataset, tmp_path / "p.nc", keep, "run")
    predict(model, dataset, tmp_path / "p.nc", keep, "run", accept_parameters=True)
    assert (tmp_path / "p.nc").exists()


def test_analogues_for_a_domain_without_training_cells_are_refused(prepared, model, tmp_path):
    with pytest.raises(InputError, match=r"ood\.action"):
        predict(model, prepared.dataset, tmp_path / "p.nc", OodSettings(action="analogue"), "x")


def test_the_test_file_holds_the_truth_and_three_models_for_all_targets(prepared, model, tmp_path):
    predict_test(model, prepared.dataset, prepared.split, tmp_path / "test.nc", baselines=BASELINES)
    values = shuffled_values()
    with netCDF4.Dataset(tmp_path / "test.nc") as dataset:
        place = np.argsort(values["cell"])[dataset["cell"][:]]
    test = read_tests([tmp_path / "test.nc"])
    assert [model.label for model in test.models.values()] == ["PHASE", "input state", "analogue"]
    assert test.models["phase"].settings["network"]["kind"] == "phase"
    assert test.models["phase"].imbalance > 0.0
    assert test.models["state20"].imbalance is None
    assert set(test.names) == {*PATCH_TARGETS, *LAYER_TARGETS}
    for name in test.names:
        cells = test.variable(name)
        covered = values["cover"][place] > 0.0
        np.testing.assert_array_equal(cells.mask, covered if cells.patch else True)
        np.testing.assert_array_equal(cells.truth[cells.mask], values[f"Y_{name}"][place][cells.mask])
        start = cells.predictions["state20"][cells.mask]
        np.testing.assert_array_equal(start, values[f"state20_{name}"][place][cells.mask])
        for prediction in cells.predictions.values():
            assert np.isfinite(prediction[cells.mask]).all()
