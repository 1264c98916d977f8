"""Which forcing point each land cell takes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from phase_lib.base.errors import InputError
from phase_lib.elm.calendar import MONTH_STARTS
from phase_lib.elm.constants import DAYS_PER_YEAR, EARTH_RADIUS_KM
from phase_lib.elm.domain import Domain
from phase_lib.elm.matching import match_cells, unit_vectors

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
        ...

    def __call__(self) -> Part:
        """Does it."""
        ...


class Record(Protocol):
    """The files of one kind for the wanted variables and months, checked.

    Attributes:
        files: files that will be read.
        lat, lon: forcing points (point), degrees.
        step_hours: hours between two values, by variable.
        sources: what each variable is made of, in words.
        blank: what the first point near the domain without data holds, in words, once `has_data` has looked.
        assumed_units: those that variables without units on file are taken to have, by name on file.
    """

    files: list[str]
    lat: np.ndarray
    lon: np.ndarray
    step_hours: dict[str, float]
    sources: dict[str, str]
    assumed_units: dict[str, str]
    blank: str

    def files_of(self, name: str, months: range) -> list[str]:
        """Files that a variable is made of in some of the wanted months, counted from the first of them."""
        ...

    def has_data(self, near: np.ndarray) -> np.ndarray:
        """Which of the points `near` the domain (point) hold values and not fill."""
        ...

    def tasks(self, mapping: Mapping) -> Iterator[Task]:
        """The work, variable by variable."""
        ...


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


def bounding(indices: np.ndarray) -> slice:
    """The shortest slice that holds all indices."""
    return slice(int(indices.min()), int(indices.max()) + 1)
