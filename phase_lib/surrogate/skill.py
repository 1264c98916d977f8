"""How good predictions are on test cells: the test file and the skill computed from it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from phase_lib.base.errors import InputError
from phase_lib.base.provenance import code_version
from phase_lib.elm.netcdf import create_dataset, get_variable, open_dataset
from phase_lib.elm.variables import HEADLINE, VARIABLES

#: A PFT or layer counts in the mean R2 from this many test values on.
LEAST_VALUES = 20
#: Models of a test file: the preset in use, the paper's preset beside it, and the two baselines.
MODELS = ("phase", "paper", "state20", "analogue")
BASELINES = ("state20", "analogue")

Metrics = dict[str, float | int | None]


def score(truth: np.ndarray, prediction: np.ndarray, mask: np.ndarray, floor: float) -> Metrics:
    """Skill of one model for one target.

    Args:
        truth: (gridcell, k), k PFTs or layers.
        prediction: same shape.
        mask: True where a value counts.
        floor: least value, of truth and prediction, for the log ratio.

    Returns:
        r2: mean over the PFTs (layers) that have at least 20 values and vary of 1 - SSE / SST;
        r2_pooled: the same over all values at once; rmse: in the target's units;
        nrmse: rmse / standard deviation of the truth; median_abs_log_ratio: median of |ln(prediction /
        truth)|; n: values. None where nothing qualifies.

    Raises:
        InputError: a value that counts is not finite.
    """
    if not np.all(np.isfinite(truth[mask]) & np.isfinite(prediction[mask])):
        raise InputError(None, "truth or prediction is not finite where the mask is set")
    error2 = np.where(mask, (prediction - truth) ** 2, 0.0)
    count = mask.sum(axis=0)
    safe = np.where(mask, truth, 0.0)
    mean = safe.sum(axis=0) / np.maximum(count, 1)
    spread2 = np.where(mask, (truth - mean) ** 2, 0.0).sum(axis=0)
    constant = np.where(mask, truth, -np.inf).max(axis=0) <= np.where(mask, truth, np.inf).min(axis=0)
    counts = (count >= LEAST_VALUES) & ~constant & (spread2 > 0.0)
    each = 1.0 - error2.sum(axis=0)[counts] / spread2[counts]

    n = int(mask.sum())
    values, predicted = truth[mask], prediction[mask]
    rmse = float(np.sqrt(error2.sum() / n)) if n else None
    pooled = float(np.sum((values - values.mean()) ** 2)) if n and np.ptp(values) > 0.0 else 0.0
    deviation = np.sqrt(pooled / n) if n else 0.0
    both = (values > floor) & (predicted > floor)
    return {
        "r2": float(each.mean()) if len(each) else None,
        "r2_pooled": float(1.0 - error2.sum() / pooled) if pooled > 0.0 else None,
        "rmse": rmse,
        "nrmse": float(rmse / deviation) if rmse is not None and deviation > 0.0 else None,
        "median_abs_log_ratio": float(np.median(np.abs(np.log(predicted[both] / values[both]))))
        if both.any()
        else None,
        "n": n,
    }


def skill_table(test_file: str | Path) -> dict[str, dict[str, Metrics]]:
    """Model -> target -> metrics of `score`, for every target and model in a test file.

    Raises:
        InputError: the file is unreadable or holds no target.
    """
    table: dict[str, dict[str, Metrics]] = {}
    with open_dataset(test_file) as dataset:
        targets = [name.removesuffix("_truth") for name in dataset.variables if name.endswith("_truth")]
        if not targets:
            raise InputError(test_file, "holds no target", expected="variables <target>_truth")
        for target in targets:

            def values(what: str, target: str = target) -> np.ndarray:
                return np.asarray(get_variable(test_file, dataset, f"{target}_{what}")[:])

            truth, mask = values("truth"), values("mask") == 1
            name = HEADLINE.get(target, target)
            if name not in VARIABLES:
                raise InputError(test_file, f"target {target} is no variable of an ELM restart")
            floor = VARIABLES[name].ratio_floor
            for model in MODELS:
                if f"{target}_{model}" in dataset.variables:
                    table.setdefault(model, {})[target] = score(truth, values(model), mask, floor)
    return table


def write_test_file(
    path: str | Path,
    *,
    cell: np.ndarray,
    lat: np.ndarray,
    lon: np.ndarray,
    truth: Mapping[str, np.ndarray],
    mask: Mapping[str, np.ndarray],
    predictions: Mapping[str, Mapping[str, np.ndarray]],
    dims: Mapping[str, str],
    units: Mapping[str, str],
    attributes: Mapping[str, Any] | None = None,
) -> None:
    """Writes truth, mask and every model's prediction on the test cells.

    Args:
        path: file to write.
        cell: rows in the restart's `gridcell` dimension (n).
        lat: latitudes (n), degrees.
        lon: longitudes (n), degrees.
        truth: target (report name) -> (n, k).
        mask: target -> True where the value counts (n, k): covered patches, active layers.
        predictions: model -> target -> (n, k).
        dims: target -> `natpft` or `levdecomp`.
        units: target -> units.
        attributes: further global attributes, such as provenance.

    Raises:
        InputError: shapes differ.
    """
    with create_dataset(path) as dataset:
        dataset.createDimension("gridcell", len(cell))
        for name, values, unit in (
            ("cell", cell.astype(np.int64), "1"),
            ("lat", lat, "degrees_north"),
            ("lon", lon, "degrees_east"),
        ):
            variable = dataset.createVariable(name, values.dtype, ("gridcell",))
            variable.units = unit
            variable[:] = values
        for target, values in truth.items():
            if dims[target] not in dataset.dimensions:
                dataset.createDimension(dims[target], values.shape[1])
            flags = dataset.createVariable(f"{target}_mask", "i1", ("gridcell", dims[target]))
            flags[:] = mask[target].astype(np.int8)
            for what, array in {"truth": values, **{m: p[target] for m, p in predictions.items()}}.items():
                if array.shape != values.shape:
                    raise InputError(
                        None, f"{target}_{what} has shape {array.shape}", expected=str(values.shape)
                    )
                variable = dataset.createVariable(
                    f"{target}_{what}", "f8", ("gridcell", dims[target]), fill_value=np.nan
                )
                variable.units = units[target]
                variable[:] = np.where(mask[target], array, np.nan)
        dataset.nrmse_definition = "rmse / standard deviation of the truth"
        dataset.code_version = code_version()
        for key, value in (attributes or {}).items():
            dataset.setncattr(key, value)
