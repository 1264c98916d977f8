"""DATM's monthly files: `NAME.YYYY-MM.nc`, the variables of a month in one file or in several.

CRUNCEP, GSWP3 and Qian streams (time, lat, lon), Daymet lists (time, nj = 1, ni), and ERA5 with one variable
a file; any step that divides a day, stamped anywhere within it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np

from phase_lib.base.errors import InputError
from phase_lib.elm.calendar import read_clock
from phase_lib.elm.constants import DAYS_PER_MONTH, LATITUDE_UNITS, LONGITUDE_UNITS
from phase_lib.elm.coordinates import check_coordinates
from phase_lib.elm.netcdf import get_variable, open_dataset
from phase_lib.elm.units import units_of
from phase_lib.forcing.points import Mapping, Part, bounding, month_label, month_start, years_label
from phase_lib.forcing.steps import Held, StepFiles, check_means, open_input, refuse_gap, without_data
from phase_lib.forcing.variables import INPUTS, Recipe, choose_recipe
from phase_lib.forcing.watch import Index, Used

_MONTH = re.compile(r"\.(\d{4})-(\d{2})\.nc$")
#: Spellings of the calendars; a file that says none is DATM's, noleap.
_CALENDARS = {
    "noleap": "noleap",
    "365day": "noleap",
    "": "noleap",
    "standard": "standard",
    "gregorian": "standard",
    "prolepticgregorian": "standard",
}
#: Names of latitude and longitude, two-dimensional or along the axes.
PLACES = (("LATIXY", "LONGXY"), ("lat", "lon"), ("latitude", "longitude"))
_ONE_CALENDAR = "convert the forcing to one of them"
#: Float32 stamps of a day in a century are this coarse, days.
_STAMP_TOLERANCE = 5.0e-3
_SAME_PLACE_DEGREES = 1.0e-3


@dataclass(frozen=True)
class _Grid:
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    lat: np.ndarray
    lon: np.ndarray


@dataclass(frozen=True)
class _File:
    calendar: str
    per_day: int
    steps: int


@dataclass(frozen=True)
class _MonthTask:
    """One variable in one month: a month of the series, and the same counted from January of the year 0."""

    files: StepFiles
    month: int
    date: int
    steps: int
    box: Index
    point: np.ndarray

    @property
    def name(self) -> str:
        return self.files.name

    def __call__(self) -> Part:
        cells = np.arange(len(self.point))
        used = Used(self.steps, self.point, cells, self._day)
        means, quantum, watches = self.files.means((slice(0, self.steps), *self.box), [0, self.steps], used)
        values = means.reshape(-1)[self.point]
        label, path = month_label(self.date), self.files.paths[0]
        checked = check_means(self.name, path, label, values, quantum, cells, watches)
        return Part(slice(self.month, self.month + 1), slice(0, len(values)), checked[:, None])

    def _day(self, step: int) -> float:
        return month_start(self.date) + DAYS_PER_MONTH[self.date % 12] * step / self.steps


class DatmRecord:
    """Monthly files, checked: names, months, calendar, stamps, grid and units, but not yet their values.

    Args:
        files: monthly files in any order; those of other years are left alone.
        names: forcing variables.
        months: wanted months, counted from January of the year 0.

    Raises:
        InputError: a month is missing or twice there, or files differ in grid, calendar or step, or have
            other units or stamps than their names say.
    """

    def __init__(self, files: Sequence[str | Path], names: Sequence[str], months: range) -> None:
        dates = _wanted(files, months)
        held = {path: _input_names(path) for path in dates}
        folder = Path(next(iter(dates))).parent
        present = frozenset[str]().union(*held.values())
        recipes = {name: choose_recipe(name, present, folder) for name in names}
        paths = _by_input(recipes, held, dates, months, folder)
        self._first = months[0]
        self.files = sorted({path for held_by in paths.values() for path in held_by.values()})
        self._grid, self._scanned = self._scan(
            {path: held[path] & paths.keys() for path in self.files}, dates
        )
        self._files = {
            name: [
                StepFiles(
                    name,
                    recipe,
                    tuple(paths[source][month] for source in recipe.inputs),
                    time_axis=0,
                    space=self._grid.shape,
                    labelled=True,
                )
                for month in months
            ]
            for name, recipe in recipes.items()
        }
        self.step_hours = {name: self._step_hours(steps) for name, steps in self._files.items()}
        self.sources = {name: str(recipe) for name, recipe in recipes.items()}
        self.assumed_units: dict[str, str] = {}
        self.blank = ""
        self.lat, self.lon = self._grid.lat, self._grid.lon

    @staticmethod
    def _scan(used: dict[str, frozenset[str]], dates: dict[str, int]) -> tuple[_Grid, dict[str, _File]]:
        """Opens every file that is used: the grid of all, and calendar and steps of each."""
        first: _Grid | None = None
        scanned: dict[str, _File] = {}
        calendar = ""
        for path, names in used.items():
            with open_dataset(path) as dataset:
                grid = _read_grid(path, dataset)
                first = first or grid
                _refuse_other_grid(path, grid, first)
                scanned[path] = _check_time(path, dataset, dates[path])
                for name in sorted(names):
                    open_input(path, dataset, name, _dims_of(dataset, name, grid), labelled=True)
            calendar = calendar or scanned[path].calendar
            if scanned[path].calendar != calendar:
                what = f"time has a {scanned[path].calendar} calendar"
                expected = f"{calendar} as in the other files"
                raise InputError(path, what, expected=expected, remedy="give files of one product")
        assert first is not None
        return first, scanned

    def _step_hours(self, months: list[StepFiles]) -> float:
        hours = {24.0 / self._scanned[path].per_day: path for files in months for path in files.paths}
        if len(hours) > 1:
            (one, _), (other, path) = list(hours.items())[:2]
            what = f"{months[0].name} comes in steps of {other:g} hours"
            expected = f"{one:g} hours as in the other files"
            raise InputError(path, what, expected=expected, remedy="give files of one product")
        return next(iter(hours))

    def files_of(self, name: str, months: range) -> list[str]:
        """Files that a variable is made of in some of the wanted months, counted from the first of them."""
        return list(dict.fromkeys(path for month in months for path in self._files[name][month].paths))

    def has_data(self, near: np.ndarray) -> np.ndarray:
        """Points near the domain that are not fill throughout the first month (point).

        Raises:
            InputError: the variables do not have data at the same points, or some only later.
        """
        data: np.ndarray = np.zeros(len(near), dtype=bool)
        points = np.flatnonzero(near)
        if len(points) == 0:
            return data
        box, place = _box(points, self._grid.shape)
        when = month_label(self._first)
        found: dict[str, Held] = {}
        for months in self._files.values():
            steps = self._scanned[months[0].paths[0]].steps
            with ExitStack() as stack:
                for variable in months[0].open(stack):
                    if variable.name not in found:
                        blank, values = (
                            part.reshape(-1)[place]
                            for part in without_data(variable, (slice(0, steps), *box))
                        )
                        found[variable.name] = Held(variable.name, ~blank, values, when)
        first, *others = found.values()
        for other in others:
            other.refuse_other(self.files[0], first)
        mask, self.blank = first.data, first.blank
        if not mask.all():
            for months in self._files.values():
                with ExitStack() as stack:
                    for variable in months[-1].open(stack):
                        refuse_gap(variable, (slice(0, 1), *box), place[~mask], when)
        data[points] = mask
        return data

    def tasks(self, mapping: Mapping) -> Iterator[_MonthTask]:
        """One task for each variable and month."""
        box, place = _box(mapping.point, self._grid.shape)
        place = place.astype(np.int32) if place.max() < 2**31 else place
        for months in self._files.values():
            for month, files in enumerate(months):
                steps = self._scanned[files.paths[0]].steps
                yield _MonthTask(files, month, self._first + month, steps, box, place)


def _input_names(path: str) -> frozenset[str]:
    with open_dataset(path) as dataset:
        return frozenset(INPUTS.keys() & dataset.variables.keys())


def _wanted(files: Sequence[str | Path], months: range) -> dict[str, int]:
    """Files of the wanted months in their order, and then of names, with the month of each."""
    found: dict[str, int] = {}
    for file in sorted({str(f) for f in files}):
        match = _MONTH.search(file)
        if match is None or not 1 <= int(match[2]) <= 12:
            what = "is not named like a monthly forcing file"
            raise InputError(file, what, expected="NAME.YYYY-MM.nc", remedy="leave it out")
        month = 12 * int(match[1]) + int(match[2]) - 1
        if month in months:
            found[file] = month
    if not found:
        raise InputError(
            Path(files[0]).parent,
            f"no forcing file of {years_label(months)} among those given",
            expected="NAME.YYYY-MM.nc of these years",
            remedy="check the forcing files and the forcing years",
        )
    return dict(sorted(found.items(), key=lambda item: item[1]))


def _by_input(
    recipes: dict[str, Recipe],
    held: dict[str, frozenset[str]],
    dates: dict[str, int],
    months: range,
    folder: Path,
) -> dict[str, dict[int, str]]:
    """File of each input in each month."""
    inputs = {source for recipe in recipes.values() for source in recipe.inputs}
    paths: dict[str, dict[int, str]] = {source: {} for source in sorted(inputs)}
    for path, names in held.items():
        for source in sorted(inputs & names):
            other = paths[source].setdefault(dates[path], path)
            if other != path:
                what = f"{source} of {month_label(dates[path])} is also in {Path(other).name}"
                expected = "one file for each variable and month"
                raise InputError(path, what, expected=expected, remedy="leave one out")
    for source, by_month in paths.items():
        missing = next((month for month in months if month not in by_month), None)
        if missing is not None:
            raise InputError(
                folder,
                f"{source} of {month_label(missing)} is missing",
                expected=f"every month of {years_label(months)}",
                remedy="add the file, or set the forcing years to what is there",
            )
    return paths


def _read_grid(path: str, dataset: netCDF4.Dataset) -> _Grid:
    names = next((pair for pair in PLACES if {*pair} <= dataset.variables.keys()), PLACES[0])
    lat, lon = (
        get_variable(path, dataset, name, units=units)
        for name, units in zip(names, (LATITUDE_UNITS, LONGITUDE_UNITS), strict=True)
    )
    dims, values = tuple(lat.dimensions), [np.asarray(v[...], dtype=np.float64) for v in (lat, lon)]
    if values[0].size == values[1].size == 1:
        # A point, whatever dimensions it has left.
        values = [v.reshape(v.shape or (1,)) for v in (values[0], values[1].reshape(values[0].shape))]
    elif dims != tuple(lon.dimensions):
        if len(dims) > 1 or len(lon.dimensions) > 1:
            what = f"{names[0]}{dims} and {names[1]}{lon.dimensions} have other dimensions"
            raise InputError(path, what, expected="one grid")
        dims = (*dims, *lon.dimensions)
        values = list(np.meshgrid(*values, indexing="ij"))
    flat = [v.reshape(-1) for v in values]
    if len(flat[0]) == 0:
        raise InputError(path, f"{names[0]} and {names[1]} hold no point", remedy="use the whole file")
    check_coordinates(path, flat[0], flat[1], names, distinct=False)
    return _Grid(dims, values[0].shape, flat[0], flat[1])


def _dims_of(dataset: netCDF4.Dataset, name: str, grid: _Grid) -> tuple[str, ...]:
    """The dimensions that a variable must have: its own where they are those of the grid but for length 1."""
    own: tuple[str, ...] = tuple(dataset[name].dimensions)
    long = [[dim for dim in dims if dataset.dimensions[dim].size != 1] for dims in (own[1:], grid.dims)]
    same = own[:1] == ("time",) and long[0] == long[1]
    return own if same else ("time", *grid.dims)


def _long(shape: tuple[int, ...]) -> list[int]:
    return [size for size in shape if size != 1]


def _refuse_other_grid(path: str, grid: _Grid, first: _Grid) -> None:
    same = _long(grid.shape) == _long(first.shape)
    if same and grid is not first:
        east = (grid.lon - first.lon + 180.0) % 360.0 - 180.0
        same = max(np.abs(grid.lat - first.lat).max(), np.abs(east).max()) < _SAME_PLACE_DEGREES
    if not same:
        what = "latitudes and longitudes: another grid than the other forcing files"
        raise InputError(path, what, expected="one grid", remedy="give files of one product")


def _check_time(path: str, dataset: netCDF4.Dataset, month: int) -> _File:
    """Calendar and steps of a month.

    Raises:
        InputError: another calendar, 29 February, steps that are not equally many on each day, or stamps
            that do not lie one in each step of the month that the file is named after.
    """
    time = get_variable(path, dataset, "time", dims=("time",))
    said = str(getattr(time, "calendar", ""))
    calendar = _CALENDARS.get(said.lower().replace("_", ""))
    if calendar is None:
        what = f"time has calendar {said!r}"
        raise InputError(path, what, expected="'noleap' or 'gregorian'", remedy=_ONE_CALENDAR)
    days = DAYS_PER_MONTH[month % 12]
    stamps = _days_of_month(path, time, calendar, month)
    steps = len(stamps)
    if not np.all(np.isfinite(stamps)):
        what = "time holds NaN"
        raise InputError(path, what, expected="a stamp for each step", remedy="set the stamps right")
    if steps == 0 or steps % days:
        what = f"time has {steps} steps"
        expected = f"the same number on each of {days} days"
        raise InputError(path, what, expected=expected, remedy="drop 29 February" if month % 12 == 1 else "")
    if np.any(np.diff(stamps) <= 0.0):
        raise InputError(path, "time does not increase", remedy="put the steps in order")
    step = days / steps
    within = stamps - step * np.arange(steps)
    if within.min() < -_STAMP_TOLERANCE or within.max() > step + _STAMP_TOLERANCE:
        wrong = int(np.argmax(np.maximum(-within, within - step)))
        raise InputError(
            path,
            f"time: step {wrong + 1} of {steps} is stamped day {stamps[wrong]:.3f} of {month_label(month)}",
            expected=f"a stamp of its step, {step * wrong:.3f} to {step * (wrong + 1):.3f}",
            remedy="put the steps of the month that the file is named after into it",
        )
    return _File(calendar, steps // days, steps)


def _days_of_month(path: str, time: Any, calendar: str, month: int) -> np.ndarray:
    """Stamps in days since the start of the month."""
    origin = month // 12, month % 12 + 1
    clock = read_clock(path, "time", units_of(time), calendar, origin)
    return clock.days(time[:]) + clock.reference


def _box(points: np.ndarray, shape: tuple[int, ...]) -> tuple[Index, np.ndarray]:
    """The index range of a grid that holds points, and the position of each point in it."""
    axes = np.unravel_index(points, shape)
    box = tuple(bounding(axis) for axis in axes)
    within = tuple(axis - r.start for axis, r in zip(axes, box, strict=True))
    return box, np.ravel_multi_index(within, tuple(r.stop - r.start for r in box))
