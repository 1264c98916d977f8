"""Means over the steps of forcing variables, read block by block in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import chain, pairwise, product
from typing import Any

import numpy as np

from phase_lib.base.errors import InputError
from phase_lib.elm.constants import FILL_THRESHOLD
from phase_lib.elm.netcdf import attribute_numbers, get_variable, open_dataset
from phase_lib.forcing.variables import FORCING, INPUTS, PLAUSIBLE, STEP, Recipe, conversion
from phase_lib.forcing.watch import Index, Used, Watch

#: Bytes of file that one process holds at a time; larger blocks fall out of the processor's cache.
BLOCK_BYTES = 1 << 22
#: Bytes of a block that are looked at and then added up.
_STRIP_BYTES = 1 << 20
#: Steps added up in the precision of the file before they go on in float64: keeps float32 rounding.
_GROUP = 8


def open_input(path: str, dataset: Any, name: str, dims: Sequence[str] | None, *, labelled: bool) -> Any:
    """An input variable of an open file, its units checked.

    Args:
        path: for messages.
        dataset: open file.
        name: of `INPUTS`.
        dims: dimensions that it must have; None for any.
        labelled: whether it must have units; every product of DATM has them, coupler-bypass files may not,
            as ELM takes their values as they are.

    Raises:
        InputError: it is missing, or has other dimensions or units, or none.
    """
    units = INPUTS[name].units
    how = partial(conversion, wanted=units[0])
    return get_variable(path, dataset, name, dims, units, packed=True, labelled=labelled, how=how)


class StepVariable:
    """A variable of an open file with one time axis, as it lies on file.

    Args:
        path: for messages.
        variable: netCDF4 variable, neither masked nor scaled.
        time_axis: axis of steps of what is read of it.
        space: lengths of the other axes; the file may leave out those of length 1, or have more of them.

    Attributes:
        scale, offset: of packed values; 1 and 0 where they are not packed.
        declared: values on file that stand for a missing one by the file's own word.

    Raises:
        InputError: an attribute is no number.
    """

    def __init__(self, path: str, variable: Any, time_axis: int, space: Sequence[int]) -> None:
        self.path = path
        self.time_axis = time_axis
        self._variable = variable
        (self.scale, *_), (self.offset, *_) = (
            attribute_numbers(path, variable, name, default)
            for name, default in (("scale_factor", 1.0), ("add_offset", 0.0))
        )
        if self.scale == 0.0 or not np.isfinite([self.scale, self.offset]).all():
            what = f"variable {self.name} has scale_factor {self.scale:g} and add_offset {self.offset:g}"
            expected = "finite numbers, the first not 0"
            raise InputError(path, what, expected=expected, remedy="use the file as it was written")
        said = (attribute_numbers(path, variable, name, np.nan) for name in ("_FillValue", "missing_value"))
        fills = map(self._as_on_file, chain.from_iterable(said))
        self.declared = sorted({fill for fill in fills if not np.isnan(fill)})
        # Larger ones and NaN show in every sum; these could hide in a mean.
        self._small_fills = [value for value in self.declared if abs(value) < FILL_THRESHOLD]
        self._axes = self._axes_on_file(space)
        self._plain = self._axes == [*range(len(space) + 1)]

    def _as_on_file(self, value: float) -> float:
        """A number in the precision of the file; NaN where it cannot be there."""
        kind = self._variable.dtype
        if self.packed:
            limits = np.iinfo(kind)
            return value if value == np.rint(value) and limits.min <= value <= limits.max else np.nan
        with np.errstate(over="ignore"):
            return float(kind.type(value))

    def _axes_on_file(self, space: Sequence[int]) -> list[int | None]:
        """The axis of what is read along each dimension on file; None for one of length 1 too many."""
        shape = self._variable.shape
        time = 0 if self.time_axis == 0 else len(shape) - 1
        others = [axis for axis in range(len(space) + 1) if axis != self.time_axis]
        long = iter([axis for axis, size in zip(others, space, strict=True) if size != 1])
        if [*shape[:time], *shape[time + 1 :]] == [*space]:
            return [*range(len(shape))]
        return [
            self.time_axis if axis == time else None if size == 1 else next(long)
            for axis, size in enumerate(shape)
        ]

    @property
    def name(self) -> str:
        """Name on file."""
        return str(self._variable.name)

    @property
    def packed(self) -> bool:
        """True if the values on file are integers."""
        return self._variable.dtype.kind in "iu"

    def read(self, index: Index) -> np.ndarray:
        """Values as they are on file."""
        if self._plain:
            return np.asarray(self._variable[index])
        on_file = tuple(slice(0, 1) if axis is None else index[axis] for axis in self._axes)
        return np.asarray(self._variable[on_file]).reshape([r.stop - r.start for r in index])

    def watch(self, used: Used, shape: Sequence[int]) -> Watch:
        """What looks at each of the values that are read of a space."""
        known = INPUTS[self.name]
        what = self.name, self.path, known.step, known.units[0], used, shape, self.time_axis
        return Watch(
            *what,
            scale=self.scale,
            offset=self.offset,
            packed=self.packed,
            declared=self.declared,
            exceeds=known.exceeds,
        )

    def is_small_fill(self, raw: np.ndarray) -> np.ndarray | None:
        """Where the values are a fill that a mean would not show; None if there is no such fill."""
        if not self._small_fills:
            return None
        return np.logical_or.reduce([raw == fill for fill in self._small_fills])

    def decode(self, raw: np.ndarray) -> np.ndarray:
        """Float64 values in the units of the file, NaN for fill."""
        values = raw.astype(np.float64)
        values[np.abs(values) >= FILL_THRESHOLD] = np.nan
        fill = self.is_small_fill(raw)
        if fill is not None:
            values[fill] = np.nan
        return values * self.scale + self.offset

    def space(self, index: Index) -> Index:
        """An index without the time axis."""
        return (*index[: self.time_axis], *index[self.time_axis + 1 :])

    def blocks(self, ranges: Index, most_bytes: int = BLOCK_BYTES) -> Iterator[Index]:
        """Cuts ranges into blocks of bounded size that follow the layout of the file.

        A block grows from a chunk of the file (one value where the file has none) along the fastest axis
        first, so that it is read in few, long pieces and no chunk is unpacked twice.
        """
        chunk = [1] * len(ranges)
        for axis, size in zip(self._axes, chunk_shape(self._variable), strict=True):
            if axis is not None:
                chunk[axis] = size
        sizes, spans = list(chunk), [r.stop - r.start for r in ranges]
        room = most_bytes // self._variable.dtype.itemsize
        for axis in reversed(range(len(sizes))):
            others = [min(s, n) for s, n in zip(sizes, spans, strict=True)]
            others[axis] = chunk[axis]
            sizes[axis] = max(1, room // int(np.prod(others))) * chunk[axis]
            if sizes[axis] < spans[axis]:
                break
        yield from product(*map(_cuts, ranges, chunk, sizes))


def chunk_shape(variable: Any) -> list[int]:
    """Values that a file holds together, along each axis of a variable; ones where it is not chunked."""
    chunks = variable.chunking()
    return list(chunks) if isinstance(chunks, list) else [1] * variable.ndim


def _cuts(r: slice, chunk: int, size: int) -> list[slice]:
    """A range in pieces of a size that is a whole number of chunks, cut at the edges of chunks."""
    first = r.start // chunk * chunk
    edges = [r.start, *range(first + size, r.stop, size), r.stop]
    return [slice(a, b) for a, b in pairwise(edges)]


@dataclass(frozen=True)
class StepFiles:
    """Where the inputs of a variable lie.

    Attributes:
        name: forcing variable.
        recipe: how it is made.
        paths: file of each input.
        space: lengths of the axes but that of steps.
        time_axis: axis of steps of every input.
        labelled: whether they must have units.
    """

    name: str
    recipe: Recipe
    paths: tuple[str, ...]
    space: tuple[int, ...]
    time_axis: int
    labelled: bool

    def variables(self) -> Iterator[StepVariable]:
        """The inputs, open until the last was taken."""
        with ExitStack() as stack:
            yield from self.open(stack)

    def open(self, stack: ExitStack) -> list[StepVariable]:
        """The inputs, open as long as the stack is.

        Raises:
            InputError: one is missing, or has other units or senseless attributes.
        """
        opened = []
        for path, source in zip(self.paths, self.recipe.inputs, strict=True):
            dataset = stack.enter_context(open_dataset(path))
            variable = open_input(path, dataset, source, None, labelled=self.labelled)
            opened.append(StepVariable(path, variable, self.time_axis, self.space))
        return opened

    def means(self, ranges: Index, edges: Sequence[int], used: Used) -> tuple[np.ndarray, float, list[Watch]]:
        """Means between step edges.

        Args:
            ranges: what to read, in the order of the axes on file; the time axis covers the edges.
            edges: first step of each interval, and the end of the last (intervals + 1).
            used: what the land cells take of it.

        Returns:
            Float64 (intervals, *space), NaN where a step is fill; how far below zero the packing of the
            files may have put a zero; and what has looked at the steps.
        """
        shape = [r.stop - r.start for axis, r in enumerate(ranges) if axis != self.time_axis]
        with ExitStack() as stack, np.errstate(over="ignore", invalid="ignore"):
            inputs = self.open(stack)
            watches = [variable.watch(used, shape) for variable in inputs]
            quantum = 0.0
            if self.recipe.combine is None:
                quantum = sum(abs(variable.scale) for variable in inputs if variable.packed)
                total = np.zeros((len(edges) - 1, *shape))
                for variable, watch in zip(inputs, watches, strict=True):
                    sums = _sums(variable, ranges, edges, watch)
                    total += sums * variable.scale + _steps(edges, len(shape)) * variable.offset
            else:
                watches += _derived(self, inputs, used, shape)
                total = _combined_sums(inputs, self.recipe, ranges, edges, watches)
            total[np.abs(total) >= FILL_THRESHOLD] = np.nan
        return total / _steps(edges, len(shape)), quantum, watches


def _derived(
    files: StepFiles, inputs: Sequence[StepVariable], used: Used, shape: Sequence[int]
) -> list[Watch]:
    """What looks at the first input less the second, where that is bounded, and at what is made of all."""
    name, first, excess = files.name, inputs[0], files.recipe.excess
    quantities = [(name, STEP[name], FORCING[name][0])]
    if excess is not None:
        quantities.insert(0, (" - ".join(files.recipe.inputs[:2]), excess, INPUTS[first.name].units[0]))
    return [
        Watch(quantity, first.path, bounds, units, used, shape, first.time_axis)
        for quantity, bounds, units in quantities
    ]


def _steps(edges: Sequence[int], axes: int) -> np.ndarray:
    return np.diff(edges).reshape(-1, *[1] * axes)


def _parts(edges: Sequence[int], start: int, stop: int) -> Iterator[tuple[int, slice]]:
    """Intervals that overlap steps `start` to `stop`, and the steps of each, counted from `start`."""
    for number, (first, end) in enumerate(pairwise(edges)):
        if first < stop and end > start:
            yield number, slice(max(first, start) - start, min(end, stop) - start)


def _place(ranges: Index, index: Index) -> Index:
    return tuple(slice(i.start - r.start, i.stop - r.start) for r, i in zip(ranges, index, strict=True))


def _sums(variable: StepVariable, ranges: Index, edges: Sequence[int], watch: Watch) -> np.ndarray:
    """Sums of the values on file between edges (intervals, *space), NaN where one is fill."""
    axis = variable.time_axis
    space = variable.space(ranges)
    total: np.ndarray = np.zeros((len(edges) - 1, *(r.stop - r.start for r in space)))
    for index in variable.blocks(ranges):
        block = variable.read(index)
        for part in _strips(block, axis):
            raw = block[part]
            fill = variable.is_small_fill(raw)
            place = _place(space, variable.space(_within(index, part)))
            watch.look(raw, index[axis].start, place)
            before = (slice(None),) * axis
            for number, steps in _parts(edges, index[axis].start, index[axis].stop):
                target = total[number][place]
                if axis == 0 and raw.dtype == np.float32:
                    for first in range(steps.start, steps.stop, _GROUP):
                        target += raw[first : min(first + _GROUP, steps.stop)].sum(axis=0)
                else:
                    kind = np.int64 if variable.packed else np.float64
                    target += raw[(*before, steps)].sum(axis=axis, dtype=kind)
                if fill is not None:
                    target[fill[(*before, steps)].any(axis=axis)] = np.nan
    return total


def _strips(block: np.ndarray, axis: int) -> Iterator[Index]:
    """Cuts a block of whole steps, which is looked at and added up, into parts for the nearest cache.

    They are cut across the longest axis of space, and sums over steps are the same to the last bit.
    """
    whole = tuple(slice(0, size) for size in block.shape)
    if axis != 0:
        yield whole
        return
    longest = 1 + int(np.argmax(block.shape[1:]))
    size = block.shape[longest]
    strips = max(1, min(block.nbytes // _STRIP_BYTES, size // 2))
    for edge in range(strips):
        part = slice(size * edge // strips, size * (edge + 1) // strips)
        yield (*whole[:longest], part, *whole[longest + 1 :])


def _within(index: Index, part: Index) -> Index:
    """Where a part of a block lies in the file."""
    return tuple(slice(i.start + p.start, i.start + p.stop) for i, p in zip(index, part, strict=True))


def _combined_sums(
    inputs: list[StepVariable], recipe: Recipe, ranges: Index, edges: Sequence[int], watches: Sequence[Watch]
) -> np.ndarray:
    """Sums of a function of the inputs, computed at every step (intervals, *space).

    Watches look at the inputs as they are on file, and at what `_derived` says.
    """
    assert recipe.combine is not None
    first = inputs[0]
    axis, space = first.time_axis, first.space(ranges)
    total: np.ndarray = np.zeros((len(edges) - 1, *(r.stop - r.start for r in space)))
    # Float64 of every input and of the intermediate values is held at once.
    for index in first.blocks(ranges, BLOCK_BYTES // (4 * len(inputs))):
        raw = [variable.read(index) for variable in inputs]
        decoded = [variable.decode(values) for variable, values in zip(inputs, raw, strict=True)]
        values = recipe.combine(*decoded)
        place = _place(space, first.space(index))
        excess = [] if recipe.excess is None else [decoded[0] - decoded[1]]
        looked_at = [*raw, *excess, values]
        for watch, block in zip(watches, looked_at, strict=True):
            watch.look(block, index[axis].start, place)
        for number, steps in _parts(edges, index[axis].start, index[axis].stop):
            here = (*(slice(None),) * axis, steps)
            total[number][place] += values[here].sum(axis=axis)
            for watch, block in zip(watches, raw, strict=False):
                watch.look_for_largest(block[here], number, place)
    return total


def without_data(variable: StepVariable, ranges: Index) -> tuple[np.ndarray, np.ndarray]:
    """Where a variable never holds a value, and what it holds at the first step.

    Ocean points hold fill at every step, or, in packed files, a constant that no month's mean can have. What
    looks like it at the first step is followed until it changes.

    Args:
        variable: an input.
        ranges: what to look at, in the order of the axes on file.

    Returns:
        True for no data (*space); and numbers in the units of the file, fill too (*space).
    """
    axis, space = variable.time_axis, variable.space(ranges)
    first = _first_step(variable, ranges)
    suspect = ~_plausible(variable, first)
    for index in variable.blocks(ranges):
        place = _place(space, variable.space(index))
        if suspect[place].any():
            raw, start = variable.read(index), np.expand_dims(first[place], axis)
            same = (raw == start) | ((raw != raw) & (start != start))
            suspect[place] &= same.all(axis=axis)
    return suspect, first.astype(np.float64) * variable.scale + variable.offset


_Reading = Sequence[tuple[StepFiles, Index]]


def where_data(first: _Reading, last: _Reading, place: np.ndarray, when: str) -> tuple[np.ndarray, str]:
    """At which points all variables hold values in the first month.

    Args:
        first: files and ranges to read of the first month, in the order of the axes on file.
        last: those of the last month.
        place: position of each point among those that are read, flattened (point).
        when: the first month, for the messages.

    Returns:
        True for data (point); and what the first variable holds at the first point without, in words.

    Raises:
        InputError: the variables do not have data at the same points, or some only in the last month.
    """
    known: dict[str, _FirstMonth] = {}
    for files, ranges in first:
        for variable in files.variables():
            if variable.name not in known:
                blank, values = (array.reshape(-1)[place] for array in without_data(variable, ranges))
                known[variable.name] = _FirstMonth(variable.name, ~blank, values, when)
                known[variable.name].refuse_other(variable.path, next(iter(known.values())))
    leading = next(iter(known.values()))
    if not leading.data.all():
        for files, ranges in last:
            for variable in files.variables():
                _refuse_gap(variable, ranges, place[~leading.data], when)
    return leading.data, leading.blank


@dataclass(frozen=True)
class _FirstMonth:
    """Where a variable has data in the first month (point), and what its first step holds, fill too."""

    name: str
    data: np.ndarray
    values: np.ndarray
    when: str

    @property
    def blank(self) -> str:
        """What it holds at the first point without data, in words; empty where there is none."""
        return "" if self.data.all() else self._throughout(int(np.argmin(self.data)))

    def refuse_other(self, path: str, first: _FirstMonth) -> None:
        """Refuses data at other points than the first variable has them.

        Raises:
            InputError: so it is.
        """
        differs = self.data != first.data
        if np.any(differs):
            point = int(np.argmax(differs))
            blank = first if self.data[point] else self
            what = (
                f"{self.name} and {first.name} have data at different points, {int(differs.sum())} of "
                f"{len(differs)} near the domain, as {blank._throughout(point)}"
            )
            expected = "variables of one product, with one land mask"
            raise InputError(path, what, expected=expected, remedy="give files of one product")

    def _throughout(self, point: int) -> str:
        return f"{self.name} is {self.values[point]:g} throughout {self.when}"


def _refuse_gap(variable: StepVariable, ranges: Index, place: np.ndarray, when: str) -> None:
    """Refuses data of a later month at points that have none in the first: no ocean, but a gap."""
    later = _plausible(variable, _first_step(variable, ranges)).reshape(-1)[place]
    if later.any():
        what = (
            f"variable {variable.name} has data at {int(later.sum())} points near the domain that have none "
            f"in {when}"
        )
        remedy = "fill the gap, or use files that are whole"
        raise InputError(variable.path, what, expected="data in every month, or none", remedy=remedy)


def _first_step(variable: StepVariable, ranges: Index) -> np.ndarray:
    axis, steps = variable.time_axis, ranges[variable.time_axis]
    first = slice(steps.start, steps.start + 1)
    return variable.read((*ranges[:axis], first, *ranges[axis + 1 :])).take(0, axis)


def _plausible(variable: StepVariable, raw: np.ndarray) -> np.ndarray:
    """Where values on file could be means of a month."""
    known = INPUTS[variable.name]
    low = _least(known.month, known.step, variable.scale if variable.packed else 0.0)
    values = variable.decode(raw)
    return np.asarray((values >= low) & (values <= known.month[1]))


def _least(month: tuple[float, float], step: tuple[float, float], quantum: float) -> float:
    """The least mean: packing and rounding lower it, and the offset of instruments that of 0, as in steps."""
    least = month[0] - max(abs(quantum), 1.0e-6 * month[1])
    return min(least, step[0]) if month[0] == 0.0 else least


def check_means(
    name: str,
    path: str,
    when: str,
    means: np.ndarray,
    quantum: float,
    cells: np.ndarray,
    watches: Sequence[Watch],
) -> np.ndarray:
    """Means as float32; what packing, rounding or instruments put just below zero is zero, as ELM takes it.

    Args:
        name: forcing variable.
        path: file, for the message.
        when: month, for the message.
        means: values on the cells (n).
        quantum: step of the packing.
        cells: numbers of the cells, 0-based (n).
        watches: what has looked at the steps.

    Raises:
        InputError: a step or a mean is fill or not plausible.
    """
    whole = any(watch.mostly_outside for watch in watches)
    if not whole:
        _refuse_steps(watches)
    low, high = PLAUSIBLE[name]
    bad = ~((means >= _least(PLAUSIBLE[name], STEP[name], quantum)) & (means <= high))
    if np.any(bad):
        worst = int(np.flatnonzero(bad)[0])
        value = float(means[worst])
        text = "fill" if np.isnan(value) else f"{value:.4g}"
        missing = next((watch.missing for watch in watches if watch.missing), "") if np.isnan(value) else ""
        what = (
            f"variable {name} has a monthly mean of {text} in {when} at the point of land cell "
            f"{int(cells[worst]) + 1} ({int(bad.sum())} cells in all){missing}"
        )
        expected = f"{low:g} to {high:g} {FORCING[name][0]}"
        raise InputError(path, what, expected=expected, remedy="check units and fill values")
    _refuse_steps(watches)
    for watch in watches:
        watch.refuse_small(when)
    return np.maximum(means, low).astype(np.float32)


def _refuse_steps(watches: Sequence[Watch]) -> None:
    for watch in watches:
        watch.refuse_outside()
