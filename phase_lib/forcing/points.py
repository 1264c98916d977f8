"""Which forcing point each land cell takes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np

from phase_lib.base.errors import InputError
from phase_lib.elm.calendar import MONTH_STARTS
from phase_lib.elm.constants import DAYS_PER_YEAR, EARTH_RADIUS_KM
from phase_lib.elm.domain import Domain
from phase_lib.elm.matching import match_cells, unit_vectors

#: Names of latitude and longitude, two-dimensional or along the axes.
PLACES = (("LATIXY", "LONGXY"), ("lat", "lon"), ("latitude", "longitude"))
#: Files of one product may differ by this in the places of their points, degrees.
_SAME_PLACE_DEGREES = 1.0e-3
#: Points looked at together.
_BLOCK_POINTS = 1 << 20


def months_of(first_year: int, years: int) -> range:
    """Months of whole years, counted from January of the year 0."""
    return range(12 * first_year, 12 * (first_year + years))


def month_label(month: int) -> str:
    """A month counted from January of the year 0, as `1980-01`."""
    return f"{month // 12:04d}-{month % 12 + 1:02d}"


def month_start(month: int) -> int:
    """Days from the start of the year 0 to that of a month counted from its January, noleap."""
    return DAYS_PER_YEAR * (month // 12) + int(MONTH_STARTS[month % 12])


def years_label(months: range) -> str:
    """The years of some months, in words."""
    return f"{months[0] // 12:04d} to {months[-1] // 12:04d}"


@dataclass(frozen=True)
class Mapping:
    """Nearest forcing points with data.

    Attributes:
        point: position of each cell's point among the points of the record (gridcell).
        distance_km: how far away it is (gridcell).
        lat, lon: where it is, degrees (gridcell).
    """

    point: np.ndarray
    distance_km: np.ndarray
    lat: np.ndarray
    lon: np.ndarray


@dataclass(frozen=True)
class Part:
    """Monthly means of some months on some cells.

    Attributes:
        months: months of the series, 0-based.
        cells: land cells, 0-based.
        values: (cells, months).
    """

    months: slice
    cells: slice | np.ndarray
    values: np.ndarray


class Task(Protocol):
    """A piece of work that a process can do alone, in bounded memory."""

    @property
    def name(self) -> str:
        """The forcing variable."""

    def __call__(self) -> Part:
        """Computes the means."""


class Record(ABC):
    """The files of one layout for the wanted variables and months, checked: what a new layout implements.

    It is made from files, names of variables and wanted months, counted from January of the year 0, and
    raises InputError where these do not fit together.

    Attributes:
        in_model_years: whether years are those of the model's clock, and the domain's history has the files.
        files: files that will be read.
        lat, lon: forcing points (point), degrees.
        step_hours: hours between two values, by variable.
        sources: what each variable is made of, in words.
        blank: what the first point near the domain without data holds, in words, once `has_data` has looked.
        assumed_units: those that variables without units on file are taken to have, by name on file.
    """

    in_model_years: ClassVar[bool] = False
    files: list[str]
    lat: np.ndarray
    lon: np.ndarray
    step_hours: dict[str, float]
    sources: dict[str, str]
    assumed_units: dict[str, str]
    blank = ""

    @abstractmethod
    def __init__(self, files: Sequence[str | Path], names: Sequence[str], months: range) -> None: ...

    @staticmethod
    def may_hold(path: Path, years: range) -> bool:
        """False where the name of a file shows that it holds none of some years."""
        return True

    @abstractmethod
    def files_of(self, name: str, months: range) -> list[str]:
        """Files that a variable is made of in some of the wanted months, counted from the first of them."""

    @abstractmethod
    def has_data(self, near: np.ndarray) -> np.ndarray:
        """Which of the points `near` the domain (point) hold values and not fill.

        Raises:
            InputError: the variables do not have data at the same points, or some only later.
        """

    @abstractmethod
    def tasks(self, mapping: Mapping) -> Iterator[Task]:
        """The work, variable by variable, in tasks of bounded memory."""


def map_cells(record: Record, domain: Domain, limit_km: float) -> Mapping:
    """Gives each land cell the nearest point that has data.

    Raises:
        InputError: a cell has none within the limit.
    """
    near = _within_reach(domain, record.lat, record.lon, limit_km)
    points = np.flatnonzero(record.has_data(near))
    if len(points) == 0:
        what = (
            f"no forcing point with data lies within {limit_km:g} km of the domain {domain.path.name}"
            f"{record.blank and f': {record.blank}'}"
        )
        raise InputError(record.files[0], what, remedy="use forcing that covers the domain")
    index, distance = match_cells(
        domain.lat,
        domain.lon,
        record.lat[points],
        record.lon[points],
        file=record.files[0],
        limit_km=limit_km,
        what=f"forcing points with data{record.blank and f' (elsewhere {record.blank})'}",
    )
    point = points[index]
    return Mapping(point, distance, record.lat[point], record.lon[point])


def _within_reach(domain: Domain, lat: np.ndarray, lon: np.ndarray, limit_km: float) -> np.ndarray:
    """Points in the box around the cells, widened by the limit; in space, so that no meridian matters."""
    cells = unit_vectors(domain.lat, domain.lon)
    chord = 2.0 * np.sin(min(0.5 * limit_km / EARTH_RADIUS_KM, 0.5 * np.pi))
    low, high = cells.min(axis=0) - chord - 1e-9, cells.max(axis=0) + chord + 1e-9
    near: np.ndarray = np.empty(len(lat), dtype=bool)
    for start in range(0, len(lat), _BLOCK_POINTS):
        block = slice(start, start + _BLOCK_POINTS)
        points = unit_vectors(lat[block], lon[block])
        near[block] = np.all((points >= low) & (points <= high), axis=1)
    return near


def same_places(lat: np.ndarray, lon: np.ndarray, other_lat: np.ndarray, other_lon: np.ndarray) -> bool:
    """True if points (point) lie where as many others do, in any convention of longitude."""
    if len(lat) != len(other_lat):
        return False
    east = (lon - other_lon + 180.0) % 360.0 - 180.0
    return bool(max(np.abs(lat - other_lat).max(), np.abs(east).max()) < _SAME_PLACE_DEGREES)


def bounding(indices: np.ndarray) -> slice:
    """The shortest slice that holds all indices."""
    return slice(int(indices.min()), int(indices.max()) + 1)
