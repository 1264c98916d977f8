from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from phase_lib.base.errors import InputError
from phase_lib.surrogate.skill import score, skill_table, write_test_file


def everywhere(array: np.ndarray) -> np.ndarray:
    return np.ones(array.shape, dtype=bool)


def test_a_perfect_prediction_scores_one() -> None:
    truth = np.random.default_rng(0).gamma(2.0, 100.0, (40, 3))
    found = score(truth, truth, everywhere(truth), 1.0)
    assert found == {
        "r2": 1.0,
        "r2_pooled": 1.0,
        "rmse": 0.0,
        "nrmse": 0.0,
        "median_abs_log_ratio": 0.0,
        "n": 120,
    }


def test_predicting_each_pfts_mean_scores_zero_but_not_pooled() -> None:
    truth = np.random.default_rng(0).gamma(2.0, [1.0, 100.0], (40, 2))
    found = score(truth, np.broadcast_to(truth.mean(axis=0), truth.shape), everywhere(truth), 1.0)
    assert found["r2"] == pytest.approx(0.0, abs=1e-12)
    assert found["r2_pooled"] is not None
    assert found["r2_pooled"] > 0.4


def test_known_errors_give_known_numbers() -> None:
    truth = np.arange(1.0, 21.0)[:, None]
    found = score(truth, truth + 2.0, everywhere(truth), 1.0)
    # variance of 1..20 is (20^2 - 1) / 12
    variance = 399.0 / 12.0
    assert found["rmse"] == pytest.approx(2.0)
    assert found["nrmse"] == pytest.approx(2.0 / variance**0.5)
    assert found["r2"] == pytest.approx(1.0 - 4.0 / variance)
    assert found["r2"] == pytest.approx(found["r2_pooled"])


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
    found = score(truth, prediction, mask, 1.0)["r2"]
    own = 1.0 - np.sum(truth[:20, 1] ** 2) / np.sum((truth[:20, 1] - truth[:20, 1].mean()) ** 2)
    assert found == pytest.approx((1.0 + own) / 2.0)


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
    found = score(truth, prediction, everywhere(truth), 1.0)["median_abs_log_ratio"]
    assert found == pytest.approx(np.log(2.0))


def test_nothing_to_score_gives_none_not_nan() -> None:
    truth = np.ones((5, 2))
    found = score(truth, truth, np.zeros((5, 2), dtype=bool), 1.0)
    assert found == {
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


def test_the_table_follows_from_the_file_alone(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    truth = {"tlai": rng.gamma(2.0, 1.0, (50, 17)), "soil3c": rng.gamma(2.0, 500.0, (50, 10))}
    mask = {"tlai": rng.random((50, 17)) < 0.5, "soil3c": everywhere(truth["soil3c"])}
    predictions = {
        "phase": {name: values * 1.01 for name, values in truth.items()},
        "state20": {name: values * 0.5 for name, values in truth.items()},
        "analogue": {name: values + 1.0 for name, values in truth.items()},
    }
    path = tmp_path / "test_random.nc"
    write_test_file(
        path,
        cell=np.arange(50),
        lat=np.zeros(50),
        lon=np.zeros(50),
        truth=truth,
        mask=mask,
        predictions=predictions,
        dims={"tlai": "natpft", "soil3c": "levdecomp"},
        units={"tlai": "m^2/m^2", "soil3c": "gC/m^3"},
    )
    table = skill_table(path)
    assert set(table) == {"phase", "state20", "analogue"}
    assert set(table["phase"]) == {"tlai", "soil3c"}
    assert table["state20"]["tlai"]["median_abs_log_ratio"] == pytest.approx(np.log(2.0))
    assert table["phase"]["soil3c"]["median_abs_log_ratio"] == pytest.approx(np.log(1.01))
    assert table["phase"]["tlai"]["n"] == mask["tlai"].sum()
    assert table["analogue"]["soil3c"]["rmse"] == pytest.approx(1.0)
    assert table["phase"]["soil3c"]["r2"] > table["analogue"]["tlai"]["r2"]  # type: ignore[operator]
    json.dumps(table, allow_nan=False)


def test_small_leaf_areas_count_in_the_log_ratio_small_pools_do_not() -> None:
    truth = np.full((3, 1), 0.1)
    assert score(truth, 2 * truth, everywhere(truth), 0.01)["median_abs_log_ratio"] == pytest.approx(
        np.log(2.0)
    )
    assert score(truth, 2 * truth, everywhere(truth), 1.0)["median_abs_log_ratio"] is None


def test_a_target_that_no_restart_holds_is_refused(tmp_path: Path) -> None:
    path, values = tmp_path / "test_random.nc", np.ones((3, 10))
    write_test_file(
        path,
        cell=np.arange(3),
        lat=np.zeros(3),
        lon=np.zeros(3),
        truth={"sol3c": values},
        mask={"sol3c": everywhere(values)},
        predictions={"phase": {"sol3c": values}},
        dims={"sol3c": "levdecomp"},
        units={"sol3c": "gC/m^3"},
    )
    with pytest.raises(InputError, match="target sol3c is no variable of an ELM restart"):
        skill_table(path)
