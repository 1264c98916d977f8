"""Differences between two restarts (or any two NetCDF files): header, attributes, values."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np

from phase_lib.elm.blocks import ranges
from phase_lib.elm.netcdf import flavour, open_dataset
from phase_lib.elm.variables import VARIABLES

#: Values compared at a time; bounds the memory.
_VALUES = 1 << 22


@dataclass
class VariableDifference:
    """How one variable differs.

    Attributes:
        name: variable.
        problem: differences beside values (type, dimensions, shape), or empty.
        differing: values that differ; NaN equals NaN.
        total: values compared.
        max_absolute, max_relative: largest differences, the latter relative to the larger magnitude.
        first: 0-based index of the first difference.
        first_values: values there, in the first and the second file.
        place: where that is in a restart: cell, PFT, layer; empty elsewhere.
    """

    name: str
    problem: str = ""
    differing: int = 0
    total: int = 0
    max_absolute: float = 0.0
    max_relative: float = 0.0
    first: list[int] | None = None
    first_values: tuple[float, float] | None = None
    place: str = ""

    def line(self) -> str:
        """The differences in one line."""
        if self.problem:
            return f"{self.name}: {self.problem}"
        units = f" {VARIABLES[self.name].units}" if self.name in VARIABLES else ""
        text = f"{self.name}: {self.differing} of {self.total} values differ"
        if self.first_values is None:
            return text
        first, (left, right) = self.place or f"index {self.first}", self.first_values
        most = f"at most {self.max_absolute:.6g}{units} ({self.max_relative:.3g} relative)"
        return f"{text}, {most}; first at {first}: {left:.9g} and {right:.9g}{units}"


@dataclass
class Comparison:
    """Differences of two files; all lists are empty where they are equal.

    Attributes:
        a, b: the files.
        header: flavour and dimensions that differ.
        attributes: global and variable attributes that differ in value, type or order.
        only_a, only_b: variables that only one file has.
        variables: variables whose values or dimensions differ.
        compared: variables that both files have.
    """

    a: str
    b: str
    header: list[str] = field(default_factory=list)
    attributes: list[str] = field(default_factory=list)
    only_a: list[str] = field(default_factory=list)
    only_b: list[str] = field(default_factory=list)
    variables: list[VariableDifference] = field(default_factory=list)
    compared: int = 0

    @property
    def equal(self) -> bool:
        """True if nothing differs."""
        return not (self.header or self.attributes or self.only_a or self.only_b or self.variables)

    def lines(self) -> list[str]:
        """One line per difference, and one that sums up."""
        lines = [*self.header, *self.attributes]
        lines += [f"{name}: only in {self.a}" for name in self.only_a]
        lines += [f"{name}: only in {self.b}" for name in self.only_b]
        lines += [item.line() for item in self.variables]
        verdict = "equal" if self.equal else f"{len(self.variables)} of {self.compared} variables differ"
        return [*lines, f"{self.a} and {self.b}: {verdict}"]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; values that are no numbers become text."""
        content = {**asdict(self), "equal": self.equal}
        for item in content["variables"]:
            for key in ("max_absolute", "max_relative"):
                item[key] = _plain(item[key])
            if item["first_values"] is not None:
                item["first_values"] = [_plain(value) for value in item["first_values"]]
        return content


def _plain(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)


def _attributes(item: netCDF4.Dataset | netCDF4.Variable) -> list[tuple[str, str, str]]:
    """Name, type and value of the attributes, in order."""
    values = [(name, np.asarray(item.getncattr(name))) for name in item.ncattrs()]
    return [(name, value.dtype.str, repr(value.tolist())) for name, value in values]


def _compare_attributes(
    owner: str, a: netCDF4.Dataset | netCDF4.Variable, b: netCDF4.Dataset | netCDF4.Variable
) -> list[str]:
    first, second = _attributes(a), _attributes(b)
    if first == second:
        return []
    left, right = {x[0]: x[1:] for x in first}, {x[0]: x[1:] for x in second}
    lines = [f"{owner}:{name}: only in the first file" for name in left if name not in right]
    lines += [f"{owner}:{name}: only in the second file" for name in right if name not in left]
    both = [name for name in left if name in right]
    lines += [f"{owner}:{n}: {left[n][1]} and {right[n][1]}" for n in both if left[n] != right[n]]
    return lines or [f"{owner}: attributes are in another order"]


def _compare_values(a: netCDF4.Variable, b: netCDF4.Variable) -> VariableDifference:
    result = VariableDifference(a.name, total=math.prod(a.shape))
    numeric = a.dtype != str and a.dtype.kind in "fiu"
    step = max(1, _VALUES // max(1, math.prod(a.shape[1:])))
    for rows in ranges(a.shape[0], step) if a.shape else [slice(0, 1)]:
        left, right = (np.asarray(variable[rows if a.shape else ...]) for variable in (a, b))
        different = left != right
        if numeric:
            different &= ~((left != left) & (right != right))
        count = int(np.count_nonzero(different))
        if count == 0:
            continue
        result.differing += count
        if numeric:
            x, y = left[different].astype(np.float64), right[different].astype(np.float64)
            # A NaN on one side, or infinities, make the size of a difference NaN; that is the answer then.
            with np.errstate(invalid="ignore", over="ignore"):
                size = np.abs(x - y)
                relative = size / np.maximum(np.abs(x), np.abs(y))
            result.max_absolute = float(np.maximum(result.max_absolute, size.max()))
            result.max_relative = float(np.maximum(result.max_relative, relative.max()))
        if result.first is None:
            place = [int(i) for i in np.argwhere(different)[0]]
            if numeric:
                result.first_values = (float(left[tuple(place)]), float(right[tuple(place)]))
            if place:
                place[0] += rows.start
            result.first = place
    return result


def _place(dataset: netCDF4.Dataset, variable: netCDF4.Variable, first: list[int] | None) -> str:
    """Cell, PFT and layer of a value of a restart; empty where the file has no index variables for it."""
    prefix = {"column": "cols1d", "pft": "pfts1d"}.get((*variable.dimensions, "")[0])
    names = (f"{prefix}_gridcell_index", "grid1d_lat", "grid1d_lon", "pfts1d_itypveg")
    if not first or prefix is None or any(name not in dataset.variables for name in names):
        return ""
    cell = int(dataset[names[0]][first[0]])
    if not 0 < cell <= dataset.dimensions["gridcell"].size:
        return ""
    place = f"cell {cell} ({dataset['grid1d_lat'][cell - 1]:.3f}, {dataset['grid1d_lon'][cell - 1]:.3f})"
    if prefix == "pfts1d":
        place += f" pft {int(dataset['pfts1d_itypveg'][first[0]])}"
    if "levgrnd" in variable.dimensions[1:]:
        place += f" layer {first[variable.dimensions.index('levgrnd')] + 1}"
    return place


def compare_restarts(a: str | Path, b: str | Path) -> Comparison:
    """Compares two files variable by variable, some values at a time.

    Raises:
        InputError: a file cannot be read.
    """
    result = Comparison(str(a), str(b))
    if flavour(a) != flavour(b):
        result.header.append(f"flavour: {flavour(a)} and {flavour(b)}")
    with open_dataset(a) as first, open_dataset(b) as second:
        left, right = ({n: d.size for n, d in dataset.dimensions.items()} for dataset in (first, second))
        result.header += [
            f"dimension {name}: {left.get(name, 'absent')} and {right.get(name, 'absent')}"
            for name in dict.fromkeys([*left, *right])
            if left.get(name) != right.get(name)
        ]
        result.attributes += _compare_attributes("", first, second)
        result.only_a = [name for name in first.variables if name not in second.variables]
        result.only_b = [name for name in second.variables if name not in first.variables]
        shared = [name for name in first.variables if name in second.variables]
        result.compared = len(shared)
        for name in shared:
            x, y = first[name], second[name]
            result.attributes += _compare_attributes(name, x, y)
            if x.dimensions != y.dimensions or x.shape != y.shape or x.dtype != y.dtype:
                problem = f"{x.dtype}{x.dimensions}{x.shape} and {y.dtype}{y.dimensions}{y.shape}"
                result.variables.append(VariableDifference(name, problem))
                continue
            difference = _compare_values(x, y)
            if difference.differing:
                difference.place = _place(first, x, difference.first)
                result.variables.append(difference)
    return result
