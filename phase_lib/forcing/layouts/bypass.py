"""a file for each variable and zone with the whole record (SET_VARIABLE_YYYY-YYYY_zNN.nc).

Dims (n, DTIME), noleap, values packed in shorts with `scale_factor` and `add_offset`. The points are those of
all zones, at the LATIXY, LONGXY of the files. ELM chooses among the same points by `zone_mappings.txt`, where
ocean points, which hold a constant instead of fill, may have been left in; here that constant shows them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from pathlib import Path

import netCDF4
import numpy as np

from phase_lib.base.errors import InputError
from phase_lib.elm.constants import DAYS_PER_YEAR, LATITUDE_UNITS, LONGITUDE_UNITS
from phase_lib.elm.coordinates import check_coordinates
from phase_lib.elm.netcdf import get_variable, open_dataset
from phase_lib.elm.units import units_of
from phase_lib.forcing.points import (
    Mapping,
    Part,
    Record,
    bounding,
    month_label,
    month_start,
    same_places,
    years_label,
)
from phase_lib.forcing.steps import StepFiles, check_means, chunk_shape, open_input, where_data
from phase_lib.forcing.variables import INPUTS, choose_recipe
from phase_lib.forcing.watch import Used

_NAME = re.compile(r"_(?P<name>[A-Za-z0-9]+)_(?P<first>\d{4})-(?P<last>\d{4})_z(?P<zone>\d+)\.nc$")
_OTHER_YEARS = "set the forcing years to what is there"
#: Bytes of file that one task reads.
_TASK_BYTES = 1 << 26


@dataclass(frozen=True)
class _File:
    path: str
    first_year: int
    per_day: int
    lat: np.ndarray
    lon: np.ndarray
    bytes_per_value: int
    chunk_points: int
    labelled: bool


@dataclass(frozen=True)
class _ZoneTask:
    """One variable in all wanted months at some points of one zone."""

    files: StepFiles
    label: str
    points: slice
    edges: tuple[int, ...]
    cells: np.ndarray
    point: np.ndarray
    first_year: int
    per_day: int

    @property
    def name(self) -> str:
        return self.files.name

    def __call__(self) -> Part:
        steps = slice(self.edges[0], self.edges[-1])
        used = Used(steps.stop - steps.start, self.point, self.cells, self._day)
        means, quantum, watches = self.files.means((self.points, steps), self.edges, used)
        values = means[:, self.point].T
        cells, path = np.repeat(self.cells, values.shape[1]), self.files.paths[0]
        checked = check_means(self.name, path, self.label, values.reshape(-1), quantum, cells, watches)
        return Part(slice(0, values.shape[1]), self.cells, checked.reshape(values.shape))

    def _day(self, step: int) -> float:
        return DAYS_PER_YEAR * self.first_year + step / self.per_day


class Bypass(Record):
    """Whole-record files of all zones, checked but for their values.

    Args:
        files: files of one set: every variable for every zone.
        names: forcing variables.
        months: wanted months, counted from January of the year 0.

    Raises:
        InputError: a name is not of this kind, a variable or zone is missing or twice there, or files
            differ in their points, or do not hold the steps that their names say.
    """

    def __init__(self, files: Sequence[str | Path], names: Sequence[str], months: range) -> None:
        self._months = months
        named = _by_variable_and_zone(files)
        folder = Path(next(iter(named.values()))[0]).parent
        present = {name for name, _ in named}
        recipes = {name: choose_recipe(name, present, folder) for name in names}
        self._zones = sorted({zone for _, zone in named})
        self._scanned: dict[str, _File] = {}
        inputs = dict.fromkeys(source for recipe in recipes.values() for source in recipe.inputs)
        for source, zone in product(inputs, self._zones):
            if (source, zone) not in named:
                what = f"{source} of zone {zone} is missing"
                expected = f"a file of {source} for each of {len(self._zones)} zones"
                remedy = "add the file, or leave the zone out"
                raise InputError(folder, what, expected=expected, remedy=remedy)
            self._scan(source, *named[source, zone])
        self._files: dict[str, list[StepFiles]] = {}
        for name, recipe in recipes.items():
            paths = [tuple(named[source, zone][0] for source in recipe.inputs) for zone in self._zones]
            space = [(len(self._scanned[first].lat),) for first, *_ in paths]
            self._files[name] = [
                StepFiles(name, recipe, *zone, time_axis=1, labelled=False)
                for zone in zip(paths, space, strict=True)
            ]
        self._check_zones()
        first = next(iter(self._files.values()))
        zones = [self._scanned[zone.paths[0]] for zone in first]
        self.lat, self.lon = (np.concatenate([getattr(z, axis) for z in zones]) for axis in ("lat", "lon"))
        self._starts = np.cumsum([0, *(len(zone.lat) for zone in zones)])
        self.step_hours = {
            name: 24.0 / self._scanned[zones_of[0].paths[0]].per_day for name, zones_of in self._files.items()
        }
        read = {key: self._scanned[path] for key, (path, *_) in named.items() if path in self._scanned}
        self.sources = {name: str(recipe) for name, recipe in recipes.items()}
        self.assumed_units = {
            source: INPUTS[source].units[0] for (source, _), file in read.items() if not file.labelled
        }
        self.files = sorted(self._scanned)

    def _scan(self, source: str, path: str, first: int, last: int) -> None:
        if first > self._months[0] // 12 or last < self._months[-1] // 12:
            what, remedy = f"holds the years {first:04d} to {last:04d} by its name", _OTHER_YEARS
            raise InputError(path, what, expected=years_label(self._months), remedy=remedy)
        with open_dataset(path) as dataset:
            variable = open_input(path, dataset, source, None, labelled=False)
            if variable.dimensions[-1:] != ("DTIME",) or variable.ndim > 2:
                what = f"variable {source} has dimensions {variable.dimensions}"
                raise InputError(path, what, expected="(n, DTIME), as ELM reads it")
            lat, lon = (
                _places(path, dataset, name, units, variable)
                for name, units in (("LATIXY", LATITUDE_UNITS), ("LONGXY", LONGITUDE_UNITS))
            )
            per_day, size = _steps_per_day(path, dataset, last - first + 1), int(variable.dtype.itemsize)
            chunk = chunk_shape(variable)[0] if variable.ndim == 2 else 1
            labelled = bool(units_of(variable))
            self._scanned[path] = _File(path, first, per_day, lat, lon, size, chunk, labelled)
        check_coordinates(path, lat, lon, ("LATIXY", "LONGXY"), distinct=False)

    def _check_zones(self) -> None:
        """Inputs must share points and steps: zone by zone, and steps over all zones of a variable."""
        for number in range(len(self._zones)):
            paths = [path for zones in self._files.values() for path in zones[number].paths]
            first = self._scanned[paths[0]]
            for path in paths[1:]:
                other = self._scanned[path]
                if not same_places(other.lat, other.lon, first.lat, first.lon):
                    what = f"LATIXY, LONGXY: other points than {Path(first.path).name}"
                    raise InputError(path, what, expected="one grid")
        for zones in self._files.values():
            used = [self._scanned[path] for zone in zones for path in zone.paths]
            for file in used[1:]:
                if (file.per_day, file.first_year) != (used[0].per_day, used[0].first_year):
                    what = f"starts in {file.first_year:04d} with {file.per_day} steps a day"
                    expected = f"{used[0].first_year:04d} and {used[0].per_day} as in the other files"
                    raise InputError(file.path, what, expected=expected, remedy="give files of one product")

    def _edges(self, file: _File) -> tuple[int, ...]:
        """First step of each wanted month, and the end of the last."""
        start = DAYS_PER_YEAR * file.first_year
        months = (*self._months, self._months[-1] + 1)
        return tuple((month_start(month) - start) * file.per_day for month in months)

    def files_of(self, name: str, months: range) -> list[str]:
        """Files of a variable, in any months."""
        return [path for zone in self._files[name] for path in zone.paths]

    def has_data(self, near: np.ndarray) -> np.ndarray:
        """Points that are neither fill nor a constant throughout the first month."""
        data: np.ndarray = np.zeros(len(near), dtype=bool)
        for number, (start, stop) in enumerate(pairwise(self._starts)):
            points = np.flatnonzero(near[start:stop])
            if len(points) == 0:
                continue
            span, first, last = bounding(points), [], []
            for zones in self._files.values():
                edges = self._edges(self._scanned[zones[number].paths[0]])
                first.append((zones[number], (span, slice(*edges[:2]))))
                last.append((zones[number], (span, slice(*edges[-2:]))))
            when = month_label(self._months[0])
            data[start + points], blank = where_data(first, last, points - span.start, when)
            self.blank = self.blank or blank
        return data

    def tasks(self, mapping: Mapping) -> Iterator[_ZoneTask]:
        """Tasks of bounded size along the points of each zone."""
        order = np.argsort(mapping.point, kind="stable")
        point = mapping.point[order]
        for zones in self._files.values():
            for number, files in enumerate(zones):
                file = self._scanned[files.paths[0]]
                edges = self._edges(file)
                bytes_per_point = (edges[-1] - edges[0]) * file.bytes_per_value
                most = max(1, _TASK_BYTES // (bytes_per_point * file.chunk_points)) * file.chunk_points
                start, stop = (int(edge) for edge in self._starts[number : number + 2])
                for first in range(start, stop, most):
                    end = min(first + most, stop)
                    low, high = np.searchsorted(point, (first, end))
                    if low == high:
                        continue
                    local = point[low:high] - start
                    span = bounding(local)
                    label = f"a month of {years_label(self._months)}"
                    place, year, per_day = local - span.start, file.first_year, file.per_day
                    yield _ZoneTask(files, label, span, edges, order[low:high], place, year, per_day)


def _places(
    path: str, dataset: netCDF4.Dataset, name: str, units: Sequence[str], variable: netCDF4.Variable
) -> np.ndarray:
    """A coordinate of the points (point); a single one may have lost its dimension."""
    points = variable.dimensions[:-1]
    single = not points or variable.shape[0] == 1
    coordinate = get_variable(path, dataset, name, dims=None if single else points, units=units)
    if single and coordinate.size != 1:
        what = f"{name} has {coordinate.size} values, but variable {variable.name} is that of a single point"
        expected = f"{variable.name}(n, DTIME) with {name}(n)"
        raise InputError(path, what, expected=expected, remedy="use the file as it was written")
    if coordinate.size == 0:
        raise InputError(path, f"{name} holds no point", remedy="use the whole file")
    return np.asarray(coordinate[...], dtype=np.float64).reshape(-1)


def _by_variable_and_zone(files: Sequence[str | Path]) -> dict[tuple[str, int], tuple[str, int, int]]:
    """Variable and zone -> file, first and last year, by the names of the files."""
    named: dict[tuple[str, int], tuple[str, int, int]] = {}
    for path in sorted({str(f) for f in files}):
        match = _NAME.search(path)
        if match is None:
            what = "is not named like a coupler-bypass file"
            raise InputError(path, what, expected="SET_VARIABLE_YYYY-YYYY_zNN.nc", remedy="leave it out")
        key = match["name"], int(match["zone"])
        if key in named:
            what = f"{key[0]} of zone {key[1]} is also in {Path(named[key][0]).name}"
            expected = "one file for each variable and zone"
            raise InputError(path, what, expected=expected, remedy="leave one out")
        named[key] = path, int(match["first"]), int(match["last"])
    if not named:
        raise InputError(None, "no coupler-bypass file given", remedy="check the forcing files")
    return named


def _apart(stamps: np.ndarray, per_day: int) -> bool:
    """True if two stamps are a step apart, and no NaN."""
    return bool(abs((stamps[1] - stamps[0]) * per_day - 1.0) <= 0.01)


def _steps_per_day(path: str, dataset: netCDF4.Dataset, years: int) -> int:
    """Steps a day, by their number and by the stamps.

    Raises:
        InputError: they do not fill the years of the file name in a noleap calendar.
    """
    time = get_variable(path, dataset, "DTIME", dims=("DTIME",))
    calendar = str(getattr(time, "calendar", "noleap")).lower().replace("_", "")
    if calendar not in ("noleap", "365day"):
        raise InputError(path, f"DTIME has calendar {calendar!r}", expected="'noleap'")
    steps, days = time.shape[0], years * DAYS_PER_YEAR
    stamps = np.asarray(time[:2], dtype=np.float64)
    per_day = steps // days
    if steps == 0 or steps % days or len(stamps) < 2 or not _apart(stamps, per_day):
        apart = f", {24.0 * (stamps[1] - stamps[0]):g} hours apart" if len(stamps) == 2 else ""
        what, remedy = f"DTIME has {steps} steps{apart}", "check that the file is whole and noleap"
        expected = f"equally many on each of the {days} days of the {years} years in its name"
        raise InputError(path, what, expected=expected, remedy=remedy)
    return int(per_day)
