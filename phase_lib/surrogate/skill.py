"""How good predictions are on test cells: the test file and the skill computed from it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr

from phase_lib.base.errors import InputError
from phase_lib.elm.constants import NATPFT
from phase_lib.elm.netcdf import get_attribute, get_variable
from phase_lib.elm.products import (
    cell_coordinates,
    creating,
    flags,
    layer_coordinates,
    open_product,
    pft_coordinates,
    variable,
)
from phase_lib.elm.variables import VARIABLES
from phase_lib.surrogate.predictor import Predictions

#: A PFT or layer counts in the mean R2 from this many test values on.
LEAST_VALUES = 20

Metrics = dict[str, float | int | None]


def score(truth: np.ndarray, prediction: np.ndarray, mask: np.ndarray, floor: float) -> Metrics:
    """Skill of one model for one variable.

    Args:
        truth: (gridcell, k), k PFTs or layers.
        prediction: same shape.
        mask: True where a value counts.
        floor: least value, of truth and prediction, for the log ratio.

    Returns:
        r2: mean over the PFTs (layers) that have at least 20 values and vary of 1 - SSE / SST;
        r2_pooled: the same over all values at once; rmse: in the units of the values;
        nrmse: rmse / standard deviation of the truth; median_abs_log_ratio: median of |ln(prediction /
        truth)|; n: values. None where nothing qualifies.

    Raises:
        InputError: a value that counts is not finite.
    """
    if not np.all(np.isfinite(truth[mask]) & np.isfinite(prediction[mask])):
        raise InputError(None, "truth or prediction is not finite where the mask is set")
    error2 = np.where(mask, (prediction - truth) ** 2, 0.0)
    each = _r2(truth, error2, mask)
    each = each[np.isfinite(each)]
    n, values, predicted = int(mask.sum()), truth[mask], prediction[mask]
    rmse = float(np.sqrt(error2.sum() / n)) if n else None
    pooled = float(np.sum((values - values.mean()) ** 2)) if n and np.ptp(values) > 0.0 else 0.0
    deviation = np.sqrt(pooled / n) if n else 0.0
    both = (values > floor) & (predicted > floor)
    log_ratio = np.abs(np.log(predicted[both] / values[both]))
    return {
        "r2": float(each.mean()) if len(each) else None,
        "r2_pooled": float(1.0 - error2.sum() / pooled) if pooled > 0.0 else None,
        "rmse": rmse,
        "nrmse": float(rmse / deviation) if rmse is not None and deviation > 0.0 else None,
        "median_abs_log_ratio": float(np.median(log_ratio)) if both.any() else None,
        "n": n,
    }


def _r2(truth: np.ndarray, error2: np.ndarray, mask: np.ndarray) -> np.ndarray:
    count = mask.sum(axis=0)
    safe = np.where(mask, truth, 0.0)
    mean = safe.sum(axis=0) / np.maximum(count, 1)
    spread2 = np.where(mask, (truth - mean) ** 2, 0.0).sum(axis=0)
    constant = np.where(mask, truth, -np.inf).max(axis=0) <= np.where(mask, truth, np.inf).min(axis=0)
    counts = (count >= LEAST_VALUES) & ~constant & (spread2 > 0.0)
    return np.where(counts, 1.0 - error2.sum(axis=0) / np.where(counts, spread2, 1.0), np.nan)


@dataclass(frozen=True)
class Model:
    """A predictor in a test file.

    Attributes:
        name, label: see `Predictor`.
        settings: of its training; empty for a baseline.
        imbalance: root mean square of NPP - (GPP - AR) over the test cells, gC m-2 yr-1; None where no
            fluxes are predicted.
    """

    name: str
    label: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    imbalance: float | None = None

    @property
    def trained(self) -> bool:
        """Whether it is no baseline."""
        return bool(self.settings)


@dataclass(frozen=True)
class TestCells:
    """Truth and predictions of one variable on test cells.

    Attributes:
        name: of the report: `soil3c` for `soil3c_vr`.
        units: of all values.
        patch: whether columns are PFTs; else soil layers.
        truth, mask: values, and where they count (gridcell, k).
        predictions: model -> values (gridcell, k).
        floor: least value for the log ratio.
    """

    __test__ = False  # no test case of pytest

    name: str
    units: str
    patch: bool
    truth: np.ndarray
    mask: np.ndarray
    predictions: Mapping[str, np.ndarray]
    floor: float

    def score(self, model: str) -> Metrics:
        """Skill of a model; see `score`."""
        return score(self.truth, self.predictions[model], self.mask, self.floor)

    def r2_by_column(self, model: str) -> np.ndarray:
        """R2 of a model for every PFT or layer (k); NaN where values are too few or do not vary."""
        error2 = np.where(self.mask, (self.predictions[model] - self.truth) ** 2, 0.0)
        return _r2(self.truth, error2, self.mask)


@dataclass(frozen=True)
class TestSet:
    """Test files of one split, which hold different models on the same cells.

    Attributes:
        files: file -> names of the models in it.
        split: kind of the split.
        identity: of the dataset and its test cells.
        models: all models by name.
        names: restart names of the predicted variables.
    """

    __test__ = False

    files: Mapping[Path, tuple[str, ...]]
    split: str
    identity: tuple[str, bytes]
    models: Mapping[str, Model]
    names: tuple[str, ...]

    @property
    def path(self) -> Path:
        """The first file."""
        return next(iter(self.files))

    def require_model(self, name: str) -> None:
        """Raises an InputError where no file holds the model."""
        if name not in self.models:
            what = f"holds the models {', '.join(self.models)}"
            remedy = f"predict the test cells again, with --name {name}"
            raise InputError(self.path, what, expected=f"{name} among them", remedy=remedy)

    def require_same_cells(self, other: TestSet) -> None:
        """Raises an InputError where the split, dataset, test cells or variables are others."""
        if (other.split, other.identity, other.names) != (self.split, self.identity, self.names):
            what, expected = (
                f"has other test cells or variables than {self.path}",
                "one dataset and one split",
            )
            remedy = "predict the test cells of both again"
            raise InputError(other.path, what, expected=expected, remedy=remedy)

    def variable(self, name: str) -> TestCells:
        """Truth and predictions of one variable, under its restart name."""
        [cells] = self.variables([name])
        return cells

    def variables(self, names: Iterable[str]) -> Iterator[TestCells]:
        """Truth and predictions of variables, under their restart names, one at a time."""
        with ExitStack() as files:
            # Opening a file takes longer than reading a variable of a few cells.
            opened = {path: files.enter_context(open_product(path)) for path in self.files}
            for name in names:
                yield self._cells(name, opened)

    def _cells(self, name: str, opened: Mapping[Path, xr.Dataset]) -> TestCells:
        predictions: dict[str, np.ndarray] = {}
        for path, dataset in opened.items():
            values = get_variable(path, dataset, name)
            predictions |= zip(self.files[path], values.to_numpy(), strict=True)
            truth = get_variable(path, dataset, f"Y_{name}").to_numpy()
            patch, units = "natpft" in values.dims, str(values.attrs["units"])
            covered = get_variable(path, dataset, "covered").to_numpy() == 1
        mask = covered if patch else np.ones(truth.shape, dtype=bool)
        short, floor = name.removesuffix("_vr"), VARIABLES[name].ratio_floor
        return TestCells(short, units, patch, truth, mask, predictions, floor)

    def skill(self) -> dict[str, dict[str, Metrics]]:
        """Model -> variable of the report -> metrics of `score`, for all variables."""
        table: dict[str, dict[str, Metrics]] = {model: {} for model in self.models}
        for cells in self.variables(self.names):
            for model in self.models:
                table[model][cells.name] = cells.score(model)
        return table


def read_tests(paths: Sequence[str | Path]) -> TestSet:
    """Opens test files of one split, first that of the run itself.

    Raises:
        InputError: a file is unreadable or no test file, the files have different cells, or hold one model
            twice.
    """
    first, *others = [_read_test(Path(path)) for path in paths]
    models = dict(first.models)
    for other in others:
        first.require_same_cells(other)
        if twice := models.keys() & other.models.keys():
            raise InputError(other.path, f"holds the model {min(twice)}, as another file does")
        models |= other.models
    files = {path: names for test in (first, *others) for path, names in test.files.items()}
    return replace(first, files=files, models=models)


def _read_test(path: Path) -> TestSet:
    with open_product(path) as dataset:
        text = str(get_attribute(path, dataset, "models"))
        try:
            models = {entry["name"]: Model(**entry) for entry in json.loads(text)}
        except (TypeError, KeyError, json.JSONDecodeError) as error:
            what = f"attribute models is {text[:80]!r}"
            raise InputError(path, what, remedy="predict the test cells again") from error
        names = tuple(name.removeprefix("Y_") for name in map(str, dataset) if name.startswith("Y_"))
        if not names:
            raise InputError(path, "holds no predictions", remedy="predict the test cells again")
        if unknown := [name for name in names if name not in VARIABLES]:
            raise InputError(path, f"{unknown[0]} is no variable of an ELM restart", remedy="predict again")
        cell = get_variable(path, dataset, "cell").to_numpy()
        split, dataset_id = (str(get_attribute(path, dataset, key)) for key in ("split", "dataset_id"))
        return TestSet({path: tuple(models)}, split, (dataset_id, cell.tobytes()), models, names)


def write_test_file(
    path: str | Path,
    *,
    cell: np.ndarray,
    lat: np.ndarray,
    lon: np.ndarray,
    covered: np.ndarray,
    truth: Mapping[str, np.ndarray],
    units: Mapping[str, str],
    models: Sequence[Model],
    predictions: Iterable[Predictions],
    attributes: Mapping[str, Any],
) -> None:
    """Writes truth and every model's predictions on the test cells, one model after the other.

    Args:
        path: file to write.
        cell: rows in the restart's `gridcell` dimension (n).
        lat, lon: degrees (n).
        covered: True where a PFT has cover (n, natpft).
        truth: restart name -> (n, natpft) or (n, levdecomp).
        units: restart name -> units.
        models: what the file holds; their imbalance is that of the predicted fluxes.
        predictions: of the models, in their order.
        attributes: global attributes: `split`, `dataset_id` and provenance.

    Raises:
        InputError: a model does not predict a variable, or its values have another shape.
    """

    def known(values: np.ndarray) -> np.ndarray:
        return np.where(covered, values, np.nan) if values.shape[1] == NATPFT else values

    has_cover, no_yes = "whether the PFT covers ground", {"no": 0, "yes": 1}
    fields = {
        "cell": variable("gridcell", cell.astype(np.int64), "1", "row of the cell in its restart, from 0"),
        "covered": flags(("gridcell", "natpft"), covered, has_cover, no_yes),
    }
    for name, values in truth.items():
        empty = da.empty((len(models), *values.shape), chunks=-1)
        dims = ("gridcell", "natpft" if values.shape[1] == NATPFT else "levdecomp")
        fields[f"Y_{name}"] = variable(dims, known(values), units[name], f"{name} of the reference")
        fields[name] = variable(("model", *dims), empty, units[name], f"{name} as predicted")
    names = np.array([model.name for model in models], dtype=object)
    coordinates = {"model": xr.Variable("model", names, {"long_name": "predictor"})}
    coordinates |= cell_coordinates(lat, lon) | pft_coordinates() | layer_coordinates()
    title = {
        "title": "Truth and predictions on test cells",
        "nrmse_definition": "rmse / standard deviation of the truth",
    }
    with creating(path, xr.Dataset(fields, coordinates, title | dict(attributes)), masked=True) as file:
        entries = []
        for number, (model, predicted) in enumerate(zip(models, predictions, strict=True)):
            entries.append(asdict(replace(model, imbalance=_imbalance(predicted.fluxes))))
            for name, values in truth.items():
                array = np.asarray(predicted.pools.get(name, []))
                if array.shape != values.shape:
                    what = f"{model.name} predicts {name} as an array of shape {array.shape}"
                    raise InputError(None, what, expected=str(values.shape))
                file[name][number] = known(array)
        file.models = json.dumps(entries)


def _imbalance(fluxes: Mapping[str, np.ndarray]) -> float | None:
    if not fluxes:
        return None
    gpp, npp, ar = (fluxes[name].astype(np.float64) for name in ("GPP", "NPP", "AR"))
    return float(np.sqrt(np.mean((npp - (gpp - ar)) ** 2)))
