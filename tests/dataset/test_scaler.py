from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from phase_lib.base.errors import InputError
from phase_lib.dataset.scaler import KINDS, Scaler, ScalerFit, Spec

DIMS = {"x": ("gridcell", "natpft")}


def fit(values: dict[str, np.ndarray], specs: dict[str, Spec], dims: dict[str, tuple[str, ...]]) -> Scaler:
    everything = ScalerFit(specs, dims)
    everything.update(values)
    return everything.finish()


def fitted(values: np.ndarray, kind: str, per: tuple[str, ...] = ("natpft",), floor: float = 1.0) -> Scaler:
    return fit({"x": values}, {"x": Spec(kind, per, floor)}, DIMS)  # type: ignore[arg-type]


def test_minmax_maps_each_pft_to_the_unit_interval() -> None:
    values = np.random.default_rng(0).gamma(1.0, [1.0, 10.0, 100.0, 1000.0], (50, 4))
    scaled = fitted(values, "minmax").transform("x", values)
    np.testing.assert_allclose(scaled.min(axis=0), 0.0, atol=1e-15)
    np.testing.assert_allclose(scaled.max(axis=0), 1.0)


def test_standard_gives_mean_zero_and_deviation_one_of_the_inverse_hyperbolic_sine() -> None:
    values = np.exp(np.random.default_rng(0).normal(5.0, 2.0, (500, 4))) - 20.0
    scaled = fitted(values, "asinh-standard", floor=3.0).transform("x", values)
    bent = np.arcsinh(values / 3.0)
    np.testing.assert_allclose(scaled, (bent - bent.mean(axis=0)) / bent.std(axis=0), rtol=1e-9, atol=1e-12)


def test_a_feature_that_does_not_vary_becomes_zero() -> None:
    values = np.full((6, 4), 3.7)
    for kind in KINDS:
        scaler = fitted(values, kind)
        np.testing.assert_array_equal(scaler.transform("x", values + 1.0), 0.0)


def test_missing_values_do_not_count() -> None:
    rng = np.random.default_rng(0)
    values = rng.random((30, 4))
    there = rng.random((30, 4)) < 0.7
    low = np.array([values[there[:, k], k].min() for k in range(4)])
    scaler = fitted(np.where(there, values, np.nan), "minmax")
    np.testing.assert_array_equal(scaler.scalings["x"].offset, low)


def test_missing_values_stay_missing() -> None:
    scaler = fitted(np.full((6, 4), 2.0), "minmax")
    assert np.isnan(scaler.transform("x", np.full((2, 4), np.nan))).all()


@pytest.mark.parametrize("kind", KINDS)
def test_batches_give_the_same_statistics_as_all_at_once(kind: str) -> None:
    values = np.random.default_rng(1).gamma(0.5, 1000.0, (101, 4))
    values[::7, 2] = np.nan
    pieces = ScalerFit({"x": Spec(kind, ("natpft",))}, DIMS)  # type: ignore[arg-type]
    for start in range(0, 101, 10):
        pieces.update({"x": values[start : start + 10]})
    whole = fitted(values, kind).scalings["x"]
    parts = pieces.finish().scalings["x"]
    np.testing.assert_allclose(parts.offset, whole.offset, rtol=1e-12)
    np.testing.assert_allclose(parts.scale, whole.scale, rtol=1e-12)


def test_a_pft_without_training_values_takes_the_statistics_of_all() -> None:
    values = np.random.default_rng(1).gamma(0.5, 1000.0, (40, 4))
    values[:, 3] = np.nan
    for kind in KINDS:
        single, pooled = fitted(values, kind).scalings["x"], fitted(values, kind, ()).scalings["x"]
        assert single.offset[3] == pytest.approx(float(pooled.offset), rel=1e-12)
        assert single.scale[3] == pytest.approx(float(pooled.scale), rel=1e-12)
        assert single.count[3] == 0


def test_statistics_may_belong_to_a_dimension_in_the_middle() -> None:
    values = np.random.default_rng(1).random((9, 3, 5)) * np.array([1.0, 10.0, 100.0])[:, None]
    scaler = fit(
        {"y": values}, {"y": Spec("minmax", ("natpft",))}, {"y": ("gridcell", "natpft", "levdecomp")}
    )
    scaled = scaler.transform("y", values)
    low, high = values.min(axis=(0, 2), keepdims=True), values.max(axis=(0, 2), keepdims=True)
    np.testing.assert_allclose(scaled, (values - low) / (high - low), rtol=1e-12)


def test_a_scaler_survives_its_file_and_its_plain_form(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    values = {"x": rng.random((9, 17)), "s": rng.random(9), "t": rng.random((9, 24))}
    specs = {"x": Spec("asinh-standard", ("natpft",), 0.25), "s": Spec("minmax"), "t": Spec("standard")}
    dims = {"x": ("gridcell", "natpft"), "s": ("gridcell",), "t": ("gridcell", "time")}
    scaler = fit(values, specs, dims)
    scaler.write(tmp_path / "normalization.nc", {"split": "random"})
    plain = Scaler.from_dict(json.loads(json.dumps(scaler.to_dict())))
    for other in (Scaler.read(tmp_path / "normalization.nc"), plain):
        assert set(other.scalings) == set(values)
        for name, array in values.items():
            np.testing.assert_array_equal(other.transform(name, array), scaler.transform(name, array))
            assert other.scalings[name].spec == specs[name]


def test_a_variable_without_any_training_value_is_refused() -> None:
    with pytest.raises(InputError, match="variable x has no training value"):
        fitted(np.full((3, 4), np.nan), "minmax")


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(InputError, match="asinh-standard"):
        Spec("cubic")  # type: ignore[arg-type]
