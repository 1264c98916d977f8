"""monthly files as DATM reads them (NAME.YYYY-MM.nc), a month in one file or in several.

CRUNCEP, GSWP3 and Qian streams (time, lat, lon), Daymet lists (time, nj = 1, ni), and ERA5 with one variable
a file; any step that divides a day, stamped anywhere within it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import netCDF4
import numpy as np

from phase_lib.base.errors import InputError
from phase_lib.elm.calendar import read_clock
from phase_lib.elm.constants import DAYS_PER_MONTH, LATITUDE_UNITS, LONGITUDE_UNITS
from phase_lib.elm.coordinates import check_coordinates
from phase_lib.elm.netcdf import get_variable, open_dataset
from phase_lib.elm.units import units_of
from phase_lib.forcing.points import (
    PLACES,
    Mapping,
    Part,
    Record,
    bounding,
    month_label,
    month_start,
    same_places,
    years_label,
)
from phase_lib.forcing.steps import StepFiles, check_means, open_input, where_data
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
_ONE_CALENDAR = "convert the forcing to one of them"
#: Float32 stamps of a day in a century are this coarse, days.
_STAMP_TOLERANCE = 5.0e-3


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


class Datm(Record):
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
        inputs = {path: _input_names(path) for path in dates}
        folder = Path(next(iter(dates))).parent
        present = frozenset[str]().union(*inputs.values())
        recipes = {name: choose_recipe(name, present, folder) for name in names}
        paths = _by_input(recipes, inputs, dates, months, folder)
        self._first = months[0]
        self.files = sorted({path for by_month in paths.values() for path in by_month.values()})
        self._grid, self._scanned = self._scan(
            {path: inputs[path] & paths.keys() for path in self.files}, dates
        )
        self._files: dict[str, list[StepFiles]] = {}
        for name, recipe in recipes.items():
            of_month = [tuple(paths[source][month] for source in recipe.inputs) for month in months]
            self._files[name] = [
                StepFiles(name, recipe, one, self._grid.shape, time_axis=0, labelled=True) for one in of_month
            ]
        self.step_hours = {name: self._step_hours(steps) for name, steps in self._files.items()}
        self.sources = {name: str(recipe) for name, recipe in recipes.items()}
        self.assumed_units: dict[str, str] = {}
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

    @staticmethod
    def may_hold(path: Path, years: range) -> bool:
        """True for a month of these years."""
        return any(f".{year:04d}-" in path.name for year in years)

    def files_of(self, name: str, months: range) -> list[str]:
        """Files of a variable in some months."""
        return list(dict.fromkeys(path for month in months for path in self._files[name][month].paths))

    def has_data(self, near: np.ndarray) -> np.ndarray:
        """Points that are not fill throughout the first month."""
        data: np.ndarray = np.zeros(len(near), dtype=bool)
        points = np.flatnonzero(near)
        if len(points) == 0:
            return data
        box, place = _box(points, self._grid.shape)
        first, last = [], []
        for months in self._files.values():
            first.append((months[0], (slice(0, self._scanned[months[0].paths[0]].steps), *box)))
            last.append((months[-1], (slice(0, 1), *box)))
        data[points], self.blank = where_data(first, last, place, month_label(self._first))
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
    wanted: dict[str, int] = {}
    for file in sorted({str(f) for f in files}):
        match = _MONTH.search(file)
        if match is None or not 1 <= int(match[2]) <= 12:
            what = "is not named like a monthly forcing file"
            raise InputError(file, what, expected="NAME.YYYY-MM.nc", remedy="leave it out")
        month = 12 * int(match[1]) + int(match[2]) - 1
        if month in months:
            wanted[file] = month
    if not wanted:
        what = f"no forcing file of {years_label(months)} among those given"
        expected, remedy = "NAME.YYYY-MM.nc of these years", "check the forcing files and the forcing years"
        raise InputError(Path(files[0]).parent, what, expected=expected, remedy=remedy)
    return dict(sorted(wanted.items(), key=lambda item: item[1]))


def _by_input(
    recipes: dict[str, Recipe],
    inputs: dict[str, frozenset[str]],
    dates: dict[str, int],
    months: range,
    folder: Path,
) -> dict[str, dict[int, str]]:
    """File of each input in each month."""
    wanted = {source for recipe in recipes.values() for source in recipe.inputs}
    paths: dict[str, dict[int, str]] = {source: {} for source in sorted(wanted)}
    for path, names in inputs.items():
        for source in sorted(wanted & names):
            other = paths[source].setdefault(dates[path], path)
            if other != path:
                what = f"{source} of {month_label(dates[path])} is also in {Path(other).name}"
                raise InputError(
                    path, what, expected="one file for each variable and month", remedy="leave one out"
                )
    for source, by_month in paths.items():
        if missing := [month for month in months if month not in by_month]:
            what = f"{source} of {month_label(missing[0])} is missing"
            expected = f"every month of {years_label(months)}"
            remedy = "add the file, or set the forcing years to what is there"
            raise InputError(folder, what, expected=expected, remedy=remedy)
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
    """The dimensions that a variable must have: the grid's, or others of length 1 as they are on file."""
    on_file: tuple[str, ...] = tuple(dataset[name].dimensions)
    long = [[dim for dim in dims if dataset.dimensions[dim].size != 1] for dims in (on_file[1:], grid.dims)]
    same = on_file[:1] == ("time",) and long[0] == long[1]
    return on_file if same else ("time", *grid.dims)


def _refuse_other_grid(path: str, grid: _Grid, first: _Grid) -> None:
    shapes = [[size for size in one.shape if size != 1] for one in (grid, first)]
    if shapes[0] != shapes[1] or not same_places(grid.lat, grid.lon, first.lat, first.lon):
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
    clock = read_clock(path, "time", units_of(time), calendar, (month // 12, month % 12 + 1))
    stamps = clock.days(time[:]) + clock.reference  # days since the start of the month
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
        stamp = f"day {stamps[wrong]:.3f} of {month_label(month)}"
        what = f"time: step {wrong + 1} of {steps} is stamped {stamp}"
        expected = f"a stamp of its step, {step * wrong:.3f} to {step * (wrong + 1):.3f}"
        remedy = "put the steps of the month that the file is named after into it"
        raise InputError(path, what, expected=expected, remedy=remedy)
    return _File(calendar, steps // days, steps)


def _box(points: np.ndarray, shape: tuple[int, ...]) -> tuple[Index, np.ndarray]:
    """The index range of a grid that holds points, and the position of each point in it."""
    axes = np.unravel_index(points, shape)
    box = tuple(bounding(axis) for axis in axes)
    within = tuple(axis - r.start for axis, r in zip(axes, box, strict=True))
    return box, np.ravel_multi_index(within, tuple(r.stop - r.start for r in box))
