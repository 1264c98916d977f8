"""What differs between two restarts (or any two NetCDF files): header, attributes, values."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np

from phase_lib.elm.netcdf import flavour, open_dataset
from phase_lib.elm.variables import VARIABLES

#: Values compared at a time; bounds the memory.
_BLOCK_VALUES = 1 << 22


@dataclass
class VariableDifference:
    """How one variable differs.

    Attributes:
        name: variable.
        problem: what differs beside values (type, dimensions, shape), or empty.
        differing: values that differ; NaN equals NaN.
        total: values compared.
        max_absolute, max_relative: largest differences, the latter relative to the larger magnitude.
        first: 0-based index of the first difference.
        place: where that is in a restart: cell, PFT, layer; empty elsewhere.
        first_values: values there, in the first and the second file.
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
        """The values that differ, in one line."""
        units = f" {VARIABLES[self.name].units}" if self.name in VARIABLES else ""
        text = f"{self.name}: {self.differing} of {self.total} values differ"
        if self.first_values is None:
            return text
        first = self.place or f"index {self.first}"
        return (
            f"{text}, at most {self.max_absolute:.6g}{units} ({self.max_relative:.3g} relative); "
            f"first at {first}: {self.first_values[0]:.9g} and {self.first_values[1]:.9g}{units}"
        )


@dataclass
class Comparison:
    """Differences of two files; all lists are empty where they are equal.

    Attributes:
        a, b: the files.
        header: flavour and dimensions that differ.
        attributes: global and variable attributes that differ in value, type or order.
        only_a, only_b: variables that one file has alone.
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
        for item in self.variables:
            if item.problem:
                lines.append(f"{item.name}: {item.problem}")
            elif item.differing:
                lines.append(item.line())
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
    return [
        (name, str(value.dtype.kind + str(value.dtype.itemsize)), repr(value.tolist()))
        for name, value in values
    ]


def _compare_attributes(
    owner: str, a: netCDF4.Dataset | netCDF4.Variable, b: netCDF4.Dataset | netCDF4.Variable
) -> list[str]:
    first, second = _attributes(a), _attributes(b)
    if first == second:
        return []
    left, right = {x[0]: x[1:] for x in first}, {x[0]: x[1:] for x in second}
    found = [f"{owner}:{name}: only in the first file" for name in left if name not in right]
    found += [f"{owner}:{name}: only in the second file" for name in right if name not in left]
    found += [
        f"{owner}:{name}: {left[name][1]} and {right[name][1]}"
        for name in left
        if name in right and left[name] != right[name]
    ]
    return found or [f"{owner}: attributes are in another order"]


def _blocks(shape: tuple[int, ...]) -> Iterator[tuple[int, Any]]:
    if not shape:
        yield 0, ...
        return
    step = max(1, _BLOCK_VALUES // max(1, math.prod(shape[1:])))
    for start in range(0, shape[0], step):
        yield start, slice(start, start + step)


def _compare_values(a: netCDF4.Variable, b: netCDF4.Variable) -> VariableDifference:
    result = VariableDifference(a.name, total=math.prod(a.shape))
    numeric = a.dtype != str and a.dtype.kind in "fiu"
    for start, block in _blocks(a.shape):
        left, right = np.asarray(a[block]), np.asarray(b[block])
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
                place[0] += start
            result.first = place
    return result


#: Dimensions of a restart's state -> prefix of their index variables.
_PREFIXES = {"column": "cols1d", "pft": "pfts1d"}


def _place(dataset: netCDF4.Dataset, variable: netCDF4.Variable, first: list[int] | None) -> str:
    """Cell, PFT and layer of a value of a restart; empty where the file does not tell."""
    prefix = _PREFIXES.get(variable.dimensions[0]) if variable.dimensions else None
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
    """Compares two files variable by variable, a block at a time.

    Args:
        a: first file.
        b: second file.

    Returns:
        The differences.

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
