from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from phase_lib.base.errors import InputError
from phase_lib.dataset.scaler import KINDS, Scaler, ScalerFit, Spec

DIMS = {"x": ("gridcell", "natpft")}
LOG_KINDS = [kind for kind in KINDS if kind.startswith("log")]

pools = hnp.arrays(
    np.float64, (12, 4), elements=st.floats(0.0, 1.0e6, allow_subnormal=False).map(lambda v: round(v, 6))
)


def fitted(values: np.ndarray, kind: str, per: tuple[str, ...] = ("natpft",), floor: float = 1.0) -> Scaler:
    return Scaler.fit({"x": values}, {"x": Spec(kind, per, floor)}, DIMS)  # type: ignore[arg-type]


@settings(max_examples=60, deadline=None)
@given(pools, st.sampled_from(KINDS), st.sampled_from([(), ("natpft",)]))
def test_inverse_undoes_transform(values: np.ndarray, kind: str, per: tuple[str, ...]) -> None:
    scaler = fitted(values, kind, per)
    back = scaler.inverse("x", scaler.transform("x", values))
    scale = np.maximum(1.0, np.abs(values).max())
    np.testing.assert_allclose(back / scale, values / scale, atol=1.0e-12, rtol=1.0e-12)


@settings(max_examples=30, deadline=None)
@given(pools, st.sampled_from(LOG_KINDS))
def test_logarithm_keeps_the_relative_precision_of_small_pools(values: np.ndarray, kind: str) -> None:
    scaler = fitted(values, kind)
    back = scaler.inverse("x", scaler.transform("x", values))
    np.testing.assert_allclose(back, values, rtol=1.0e-12, atol=1.0e-12)


def test_minmax_maps_each_pft_to_the_unit_interval() -> None:
    values = np.random.default_rng(0).gamma(1.0, [1.0, 10.0, 100.0, 1000.0], (50, 4))
    scaled = fitted(values, "minmax").transform("x", values)
    np.testing.assert_allclose(scaled.min(axis=0), 0.0, atol=1e-15)
    np.testing.assert_allclose(scaled.max(axis=0), 1.0)


def test_standard_gives_mean_zero_and_deviation_one_in_log_space() -> None:
    values = np.exp(np.random.default_rng(0).normal(5.0, 2.0, (500, 4)))
    scaled = fitted(values, "log-standard", floor=1e-6).transform("x", values)
    np.testing.assert_allclose(scaled.mean(axis=0), 0.0, atol=1e-12)
    np.testing.assert_allclose(scaled.std(axis=0), 1.0, atol=1e-12)


def test_a_feature_that_does_not_vary_becomes_zero_and_comes_back() -> None:
    values = np.full((6, 4), 3.7)
    for kind in KINDS:
        scaler = fitted(values, kind)
        np.testing.assert_array_equal(scaler.transform("x", values + 1.0), 0.0)
        np.testing.assert_allclose(scaler.inverse("x", np.zeros((6, 4))), 3.7)


def test_masked_and_missing_values_do_not_count() -> None:
    rng = np.random.default_rng(0)
    values = rng.random((30, 4))
    mask = rng.random((30, 4)) < 0.7
    wild = np.where(mask, values, 1.0e36)
    spec = {"x": Spec("minmax", ("natpft",))}
    masked = Scaler.fit({"x": wild}, spec, DIMS, {"x": mask})
    absent = Scaler.fit({"x": np.where(mask, values, np.nan)}, spec, DIMS)
    for scaler in (masked, absent):
        low = np.array([values[mask[:, k], k].min() for k in range(4)])
        np.testing.assert_array_equal(scaler.scalings["x"].offset, low)


def test_missing_values_stay_missing() -> None:
    scaler = fitted(np.full((6, 4), 2.0), "minmax")
    assert np.isnan(scaler.transform("x", np.full((2, 4), np.nan))).all()


@pytest.mark.parametrize("kind", KINDS)
def test_batches_give_the_same_statistics_as_all_at_once(kind: str) -> None:
    values = np.random.default_rng(1).gamma(0.5, 1000.0, (101, 4))
    values[::7, 2] = np.nan
    fit = ScalerFit({"x": Spec(kind, ("natpft",))}, DIMS)  # type: ignore[arg-type]
    for start in range(0, 101, 10):
        fit.update({"x": values[start : start + 10]})
    whole = fitted(values, kind).scalings["x"]
    parts = fit.finish().scalings["x"]
    np.testing.assert_allclose(parts.offset, whole.offset, rtol=1e-12)
    np.testing.assert_allclose(parts.scale, whole.scale, rtol=1e-12)


def test_a_pft_without_training_values_takes_the_statistics_of_all() -> None:
    values = np.random.default_rng(1).gamma(0.5, 1000.0, (40, 4))
    values[:, 3] = np.nan
    for kind in KINDS:
        own, pooled = fitted(values, kind).scalings["x"], fitted(values, kind, ()).scalings["x"]
        assert own.offset[3] == pytest.approx(float(pooled.offset), rel=1e-12)
        assert own.scale[3] == pytest.approx(float(pooled.scale), rel=1e-12)
        assert own.count[3] == 0


def test_statistics_may_belong_to_a_dimension_in_the_middle() -> None:
    values = np.random.default_rng(1).random((9, 3, 5)) * np.array([1.0, 10.0, 100.0])[:, None]
    scaler = Scaler.fit(
        {"y": values}, {"y": Spec("minmax", ("natpft",))}, {"y": ("gridcell", "natpft", "levdecomp")}
    )
    scaled = scaler.transform("y", values)
    np.testing.assert_allclose(scaled.max(axis=(0, 2)), 1.0)
    np.testing.assert_allclose(scaler.inverse("y", scaled), values, rtol=1e-12)


def test_a_scaler_survives_its_file_and_its_plain_form(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    values = {"x": rng.random((9, 4)), "s": rng.random(9), "t": rng.random((9, 24))}
    specs = {"x": Spec("log-standard", ("natpft",), 0.25), "s": Spec("asinh-minmax"), "t": Spec("standard")}
    dims = {"x": ("gridcell", "natpft"), "s": ("gridcell",), "t": ("gridcell", "time")}
    scaler = Scaler.fit(values, specs, dims)
    scaler.write(tmp_path / "normalization.nc", {"split": "random"})
    plain = Scaler.from_dict(json.loads(json.dumps(scaler.to_dict())))
    for other in (Scaler.read(tmp_path / "normalization.nc"), plain):
        assert set(other.scalings) == set(values)
        for name, array in values.items():
            np.testing.assert_array_equal(other.transform(name, array), scaler.transform(name, array))
            assert other.scalings[name].spec == specs[name]


def test_a_negative_value_under_a_logarithm_is_refused() -> None:
    with pytest.raises(InputError, match="asinh"):
        fitted(np.full((3, 4), -2.0), "log-minmax")


def test_a_variable_without_any_training_value_is_refused() -> None:
    with pytest.raises(InputError, match="variable x has no training value"):
        fitted(np.full((3, 4), np.nan), "minmax")


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(InputError, match="log-minmax"):
        Spec("cubic")  # type: ignore[arg-type]
