"""Scaling of features and targets, fitted on training values and kept with the model.

A scaling is a pre-transform (identity or inverse hyperbolic sine) and an affine map. Its
statistics gather in one pass over batches of any size, so that the data need not fit in memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import reduce
from itertools import starmap
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import xarray as xr

from phase_lib.base.errors import InputError
from phase_lib.elm.netcdf import get_variable
from phase_lib.elm.products import (
    Variables,
    layer_coordinates,
    open_product,
    pft_coordinates,
    variable,
    write_product,
)

Kind = Literal["minmax", "standard", "asinh-standard"]
KINDS: tuple[str, ...] = get_args(Kind)
#: What is fitted.
_STATISTICS = ("offset", "scale", "count")


@dataclass(frozen=True)
class Spec:
    """How one variable is to be scaled.

    Attributes:
        kind: pre-transform and affine map; `asinh` is asinh(x/floor).
        per: dimensions that keep statistics of their own, for example `("natpft",)`; all others share.
        floor: value, in the variable's units, where asinh turns from linear to logarithmic.
    """

    kind: Kind = "minmax"
    per: tuple[str, ...] = ()
    floor: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InputError(None, f"scaling kind {self.kind!r}", expected=" or ".join(KINDS))
        if not self.floor > 0.0:
            raise InputError(None, f"scaling floor {self.floor}", expected="a positive number")


@dataclass(frozen=True)
class Scaling:
    """A fitted scaling of one variable.

    Attributes:
        spec: how it was fitted.
        dims: dimensions of the variable without `gridcell`.
        offset: what is subtracted, in transformed space; one value for each entry of `spec.per`.
        scale: what is divided by; 0 where the training values do not vary.
        count: training values behind each entry; 0 where the pooled statistics stand in.
    """

    spec: Spec
    dims: tuple[str, ...]
    offset: np.ndarray
    scale: np.ndarray
    count: np.ndarray

    def transform(self, values: np.ndarray) -> np.ndarray:
        """Scaled values; NaN stays NaN, a feature that did not vary in training becomes 0.

        Args:
            values: (gridcell, *dims) or (*dims), in the variable's units.
        """
        forward = _forward(self.spec, np.asarray(values, dtype=np.float64))
        offset, scale = self._aligned(self.offset), self._aligned(self.scale)
        varies = scale > 0.0
        scaled = (forward - offset) / np.where(varies, scale, 1.0)
        return np.where(varies | np.isnan(scaled), scaled, 0.0)

    def _aligned(self, statistic: np.ndarray) -> np.ndarray:
        sizes = iter(statistic.shape)
        return statistic.reshape([next(sizes) if dim in self.spec.per else 1 for dim in self.dims])


@dataclass
class _Moments:
    """Running count, extremes, mean and squared deviations of the entries of one variable."""

    count: np.ndarray
    low: np.ndarray
    high: np.ndarray
    mean: np.ndarray
    squares: np.ndarray

    @classmethod
    def empty(cls, entries: int) -> _Moments:
        zeros = np.zeros(entries)
        return cls(zeros, np.full(entries, np.inf), np.full(entries, -np.inf), zeros.copy(), zeros.copy())

    def merge(self, other: _Moments) -> _Moments:
        """Moments of both samples together (Chan's pairwise update)."""
        count = self.count + other.count
        divisor = np.maximum(count, 1.0)
        delta = other.mean - self.mean
        return _Moments(
            count,
            np.minimum(self.low, other.low),
            np.maximum(self.high, other.high),
            self.mean + delta * other.count / divisor,
            self.squares + other.squares + delta**2 * self.count * other.count / divisor,
        )

    def pooled(self) -> _Moments:
        """Moments of all entries as one sample."""
        statistics = [getattr(self, statistic.name)[:, None] for statistic in fields(self)]
        return reduce(_Moments.merge, starmap(_Moments, zip(*statistics, strict=True)), _Moments.empty(1))

    @classmethod
    def from_values(cls, values: np.ndarray) -> _Moments:
        """Moments over the first axis of (n, entries); NaN is left out."""
        present = ~np.isnan(values)
        count = present.sum(axis=0).astype(np.float64)
        mean = np.where(present, values, 0.0).sum(axis=0) / np.maximum(count, 1.0)
        return cls(
            count,
            np.where(present, values, np.inf).min(axis=0, initial=np.inf),
            np.where(present, values, -np.inf).max(axis=0, initial=-np.inf),
            mean,
            np.where(present, (values - mean) ** 2, 0.0).sum(axis=0),
        )


@dataclass
class ScalerFit:
    """Gathers statistics batch by batch; `finish` gives the scaler.

    Args:
        specs: name -> how to scale it.
        dims: name -> dimensions of the variable, `gridcell` first where it has cells.
        least_values: an entry (a PFT, a layer) with fewer training values takes the statistics of all
            entries together.
    """

    specs: Mapping[str, Spec]
    dims: Mapping[str, Sequence[str]]
    least_values: int = 2
    _moments: dict[str, _Moments] = field(default_factory=dict)
    _shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def update(self, values: Mapping[str, np.ndarray]) -> None:
        """Adds training values.

        Args:
            values: name -> array of the dims given at the start; NaN is absent.
        """
        for name, spec in self.specs.items():
            if name not in values:
                continue
            array = np.asarray(values[name], dtype=np.float64)
            dims = tuple(self.dims[name])
            keep = [axis for axis, dim in enumerate(dims) if dim in spec.per]
            shape = tuple(array.shape[axis] for axis in keep)
            moved = np.moveaxis(array, keep, range(-len(keep), 0)) if keep else array
            moments = _Moments.from_values(
                _forward(spec, moved.reshape(-1, int(np.prod(shape, dtype=np.int64))))
            )
            self._shapes[name] = shape
            self._moments[name] = self._moments[name].merge(moments) if name in self._moments else moments

    def finish(self) -> Scaler:
        """The fitted scaler.

        Raises:
            InputError: a variable had no training value at all.
        """
        scalings = {}
        for name, spec in self.specs.items():
            if name not in self._moments or not self._moments[name].count.any():
                what = f"variable {name} has no training value"
                raise InputError(None, what, remedy="drop it or add cells")
            moments, pooled = self._moments[name], self._moments[name].pooled()
            thin = moments.count < self.least_values

            pairs = ((getattr(pooled, one.name), getattr(moments, one.name)) for one in fields(moments))
            count, low, high, mean, squares = (np.where(thin, *pair) for pair in pairs)
            if spec.kind == "minmax":
                offset, scale = low, high - low
            else:
                offset, scale = mean, np.where(high > low, np.sqrt(squares / count), 0.0)
            dims = tuple(dim for dim in self.dims[name] if dim != "gridcell")
            statistics = (offset, scale, np.where(thin, 0.0, moments.count))
            scalings[name] = Scaling(spec, dims, *(each.reshape(self._shapes[name]) for each in statistics))
        return Scaler(scalings)


@dataclass(frozen=True)
class Scaler:
    """Fitted scalings by variable name."""

    scalings: dict[str, Scaling]

    def transform(self, name: str, values: np.ndarray) -> np.ndarray:
        """Scaled values of a variable, float64."""
        if name not in self.scalings:
            raise InputError(None, f"variable {name} was not scaled when the model was trained")
        return self.scalings[name].transform(values)

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Plain numbers, strings and lists: safe in JSON and in a model file."""
        return {
            name: {
                "kind": s.spec.kind,
                "per": list(s.spec.per),
                "floor": s.spec.floor,
                "dims": list(s.dims),
                **{key: getattr(s, key).tolist() for key in _STATISTICS},
            }
            for name, s in self.scalings.items()
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Mapping[str, Any]]) -> Scaler:
        """The inverse of `to_dict`."""
        return cls(
            {
                name: Scaling(
                    Spec(entry["kind"], tuple(entry["per"]), float(entry["floor"])),
                    tuple(entry["dims"]),
                    *(np.asarray(entry[key], dtype=np.float64) for key in _STATISTICS),
                )
                for name, entry in content.items()
            }
        )

    def write(
        self, path: str | Path, attributes: Mapping[str, Any], units: Mapping[str, str] | None = None
    ) -> None:
        """Writes `normalization.nc`: `<name>_offset`, `_scale`, `_count`, with the spec as attributes.

        Args:
            path: file to write.
            attributes: global attributes, such as provenance.
            units: of the scaled variables by name; 1 where they are not named.
        """
        variables: Variables = {}
        for name, scaling in self.scalings.items():
            per = tuple(dim for dim in scaling.dims if dim in scaling.spec.per)
            # In transformed space there are no units.
            unit = "1" if scaling.spec.kind == "asinh-standard" else (units or {}).get(name, "1")
            words = {
                "scaled_variable": name,
                "kind": scaling.spec.kind,
                "floor": scaling.spec.floor,
                "dims": " ".join(scaling.dims),
            }
            variables |= {
                f"{name}_offset": variable(per, scaling.offset, unit, f"subtracted from {name}"),
                f"{name}_scale": variable(per, scaling.scale, unit, f"{name} is divided by it"),
                f"{name}_count": variable(per, scaling.count, "1", f"training values of {name}"),
            }
            variables[f"{name}_offset"].attrs.update(words)
        along = {dim for one in variables.values() for dim in one.dims}
        levels = {"natpft": pft_coordinates, "levdecomp": layer_coordinates}
        coordinates = {
            name: values for dim, make in levels.items() if dim in along for name, values in make().items()
        }
        title = {"title": "Scaling of the inputs and targets of a surrogate"}
        write_product(path, xr.Dataset(variables, coordinates, title | dict(attributes)))

    @classmethod
    def read(cls, path: str | Path) -> Scaler:
        """Reads what `write` wrote.

        Raises:
            InputError: the file is no normalisation.
        """
        scalings = {}
        with open_product(path) as dataset:
            for offset in dataset.filter_by_attrs(scaled_variable=lambda name: name is not None).values():
                words, name = offset.attrs, offset.attrs["scaled_variable"]
                spec = Spec(words["kind"], tuple(map(str, offset.dims)), float(words["floor"]))
                each = (get_variable(path, dataset, f"{name}_{key}").to_numpy() for key in _STATISTICS)
                scalings[name] = Scaling(spec, tuple(words["dims"].split()), *each)
        if not scalings:
            raise InputError(path, "holds no scaled variable", expected="a normalization.nc")
        return cls(scalings)


def _forward(spec: Spec, values: np.ndarray) -> np.ndarray:
    return np.arcsinh(values / spec.floor) if spec.kind == "asinh-standard" else values
