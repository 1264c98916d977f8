from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from phase_lib.base.errors import InputError
from phase_lib.surrogate.predictor import Predictions
from phase_lib.surrogate.skill import Model, read_tests, score, write_test_file


def everywhere(array: np.ndarray) -> np.ndarray:
    return np.ones(array.shape, dtype=bool)


def test_a_perfect_prediction_scores_one() -> None:
    truth = np.random.default_rng(0).gamma(2.0, 100.0, (40, 3))
    scores = score(truth, truth, everywhere(truth), 1.0)
    assert scores == {
        "r2": 1.0,
        "r2_pooled": 1.0,
        "rmse": 0.0,
        "nrmse": 0.0,
        "median_abs_log_ratio": 0.0,
        "n": 120,
    }


def test_predicting_each_pfts_mean_scores_zero_but_not_pooled() -> None:
    truth = np.random.default_rng(0).gamma(2.0, [1.0, 100.0], (40, 2))
    scores = score(truth, np.broadcast_to(truth.mean(axis=0), truth.shape), everywhere(truth), 1.0)
    assert scores["r2"] == pytest.approx(0.0, abs=1e-12)
    assert scores["r2_pooled"] is not None
    assert scores["r2_pooled"] > 0.4


def test_known_errors_give_known_numbers() -> None:
    truth = np.arange(1.0, 21.0)[:, None]
    scores = score(truth, truth + 2.0, everywhere(truth), 1.0)
    # variance of 1..20 is (20^2 - 1) / 12
    variance = 399.0 / 12.0
    assert scores["rmse"] == pytest.approx(2.0)
    assert scores["nrmse"] == pytest.approx(2.0 / variance**0.5)
    assert scores["r2"] == pytest.approx(1.0 - 4.0 / variance)
    assert scores["r2"] == pytest.approx(scores["r2_pooled"])


def test_a_pft_counts_from_twenty_values_on_and_only_if_it_varies() -> None:
    rng = np.random.default_rng(0)
    truth = rng.gamma(2.0, 100.0, (30, 3))
    prediction = truth.copy()
    prediction[:, 1] = 0.0  # useless, but on 19 values only
    truth[:, 2] = 5.0  # wrong by a constant, but without variance
    prediction[:, 2] = 6.0
    mask = everywhere(truth)
    mask[19:, 1] = False
    assert score(truth, prediction, mask, 1.0)["r2"] == 1.0
    mask[19, 1] = True
    scores = score(truth, prediction, mask, 1.0)["r2"]
    of_second = 1.0 - np.sum(truth[:20, 1] ** 2) / np.sum((truth[:20, 1] - truth[:20, 1].mean()) ** 2)
    assert scores == pytest.approx((1.0 + of_second) / 2.0)


def test_masked_values_do_not_matter_whatever_they_are() -> None:
    rng = np.random.default_rng(0)
    truth = rng.gamma(2.0, 100.0, (60, 4))
    prediction = truth * rng.lognormal(0.0, 0.3, truth.shape)
    mask = rng.random(truth.shape) < 0.6
    first = score(truth, prediction, mask, 1.0)
    spoilt = score(np.where(mask, truth, np.nan), np.where(mask, prediction, -9e9), mask, 1.0)
    assert first == spoilt
    assert first["n"] == mask.sum()


def test_log_ratio_is_symmetric_and_needs_both_values_above_the_floor() -> None:
    truth = np.array([[10.0], [10.0], [0.5], [10.0], [2.0]])
    prediction = np.array([[20.0], [5.0], [50.0], [0.9], [2.0]])
    scores = score(truth, prediction, everywhere(truth), 1.0)["median_abs_log_ratio"]
    assert scores == pytest.approx(np.log(2.0))


def test_nothing_to_score_gives_none_not_nan() -> None:
    truth = np.ones((5, 2))
    scores = score(truth, truth, np.zeros((5, 2), dtype=bool), 1.0)
    assert scores == {
        "r2": None,
        "r2_pooled": None,
        "rmse": None,
        "nrmse": None,
        "median_abs_log_ratio": None,
        "n": 0,
    }


def test_a_prediction_that_is_missing_where_it_counts_is_refused() -> None:
    truth = np.ones((5, 2))
    with pytest.raises(InputError, match="not finite"):
        score(truth, np.full((5, 2), np.nan), everywhere(truth), 1.0)


def write(path: Path, errors: dict[str, float], split: str = "random", **changes: Any) -> Path:
    """A test file of 50 cells whose models are wrong by a factor everywhere."""
    rng = np.random.default_rng(4)
    covered = rng.random((50, 17)) < 0.5
    truth = {
        "tlai": rng.gamma(2.0, 1.0, (50, 17)),
        "npool": rng.gamma(2.0, 0.1, (50, 17)),
        "soil3c_vr": rng.gamma(2.0, 500.0, (50, 10)),
    }
    given: dict[str, Any] = {
        "cell": np.arange(50),
        "lat": np.zeros(50),
        "lon": np.zeros(50),
        "covered": covered,
        "truth": truth,
        "units": dict.fromkeys(truth, "1"),
        "models": [Model(name, name.upper(), {"seed": 1} if name == "phase" else {}) for name in errors],
        "predictions": [Predictions({n: factor * v for n, v in truth.items()}) for factor in errors.values()],
        "attributes": {"split": split, "dataset_id": "made up"},
    }
    write_test_file(path, **given | changes)
    return path


def test_the_table_follows_from_the_file_alone(tmp_path: Path) -> None:
    test = read_tests([write(tmp_path / "test.nc", {"phase": 1.01, "state20": 0.5})])
    assert {name: (model.label, model.trained) for name, model in test.models.items()} == {
        "phase": ("PHASE", True),
        "state20": ("STATE20", False),
    }
    table = test.skill()
    assert list(table["phase"]) == ["tlai", "npool", "soil3c"]
    assert table["state20"]["tlai"]["median_abs_log_ratio"] == pytest.approx(np.log(2.0))
    # Nitrogen, of which there is little, counts from a smaller amount on than carbon.
    assert table["state20"]["npool"]["median_abs_log_ratio"] == pytest.approx(np.log(2.0))
    assert table["phase"]["soil3c"]["median_abs_log_ratio"] == pytest.approx(np.log(1.01))
    assert table["phase"]["tlai"]["n"] == test.variable("tlai").mask.sum()
    assert table["phase"]["soil3c"]["n"] == 500
    json.dumps(table, allow_nan=False)


def test_the_mean_r2_is_that_of_the_columns(tmp_path: Path) -> None:
    cells = read_tests([write(tmp_path / "test.nc", {"phase": 1.1})]).variable("tlai")
    columns = cells.r2_by_column("phase")
    assert np.isnan(columns[cells.mask.sum(axis=0) < 20]).all()
    assert cells.score("phase")["r2"] == pytest.approx(np.nanmean(columns))


def test_files_of_one_split_are_read_as_one(tmp_path: Path) -> None:
    first, other = write(tmp_path / "1.nc", {"phase": 1.0, "state20": 0.5}), tmp_path / "2.nc"
    both = read_tests([first, write(other, {"paper": 2.0})])
    assert list(both.models) == list(both.variable("tlai").predictions) == ["phase", "state20", "paper"]
    assert both.skill()["paper"]["soil3c"]["median_abs_log_ratio"] == pytest.approx(np.log(2.0))
    for write_other, message in (
        ({"errors": {"phase": 2.0}}, "holds the model phase"),
        ({"errors": {"paper": 2.0}, "split": "block"}, "other test cells or variables"),
        ({"errors": {"paper": 2.0}, "cell": np.arange(50) + 1}, "other test cells or variables"),
    ):
        with pytest.raises(InputError, match=message):
            read_tests([first, write(other, **write_other)])


def test_a_model_that_does_not_predict_a_variable_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"phase predicts tlai as an array of shape \(0,\)"):
        write(tmp_path / "test.nc", {"phase": 1.0}, predictions=[Predictions({})])
    assert not (tmp_path / "test.nc").exists()


def test_small_leaf_areas_count_in_the_log_ratio_small_pools_do_not() -> None:
    truth = np.full((3, 1), 0.1)
    assert score(truth, 2 * truth, everywhere(truth), 0.01)["median_abs_log_ratio"] == pytest.approx(
        np.log(2.0)
    )
    assert score(truth, 2 * truth, everywhere(truth), 1.0)["median_abs_log_ratio"] is None


def test_a_variable_that_no_restart_holds_is_refused(tmp_path: Path) -> None:
    values = {"sol3c_vr": np.ones((50, 10))}
    changes = {"truth": values, "units": {"sol3c_vr": "gC/m^3"}, "predictions": [Predictions(values)]}
    path = write(tmp_path / "test.nc", {"phase": 1.0}, **changes)
    with pytest.raises(InputError, match="sol3c_vr is no variable of an ELM restart"):
        read_tests([path])
