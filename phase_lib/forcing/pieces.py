"""Pieces of monthly means, read together as one forcing cycle in the order of model years."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from phase_lib.base.errors import InputError
from phase_lib.config.layouts import layout_class
from phase_lib.elm.calendar import forcing_year
from phase_lib.elm.coordinates import check_coordinates
from phase_lib.elm.netcdf import get_variable, whole_attribute
from phase_lib.forcing.variables import FORCING

if TYPE_CHECKING:
    import xarray as xr

_ATTRIBUTES = ("first_year", "years", "kind", "product", "align_year")
_SAME_DEGREES, _SAME_KM = 1.0e-6, 1.0e-3
_MORE = "give every piece of one reduction once"


@dataclass(frozen=True)
class _Piece:
    path: str
    dataset: xr.Dataset
    first_year: int
    years: int
    kind: str
    product: str
    align_year: int
    names: tuple[str, ...]


@dataclass(frozen=True)
class MonthlyPieces:
    """Open pieces that hold each variable and month of a cycle exactly once.

    Attributes:
        paths: files.
        lat, lon: land cells (gridcell), degrees.
        distance_km: distance of each cell from its forcing point (gridcell).
        first_year: first year of the cycle.
        years: length of the cycle.
        align_year: model year that sees the first year.
        kind, product: what the pieces were made of.
        step_hours: hours between two values on the forcing files, by variable.
    """

    paths: tuple[str, ...]
    lat: np.ndarray
    lon: np.ndarray
    distance_km: np.ndarray
    first_year: int
    years: int
    align_year: int
    kind: str
    product: str
    step_hours: dict[str, float]
    _variables: dict[str, list[xr.DataArray]]

    @property
    def year_of_model_year_one(self) -> int:
        """Year of the cycle that model year 1 sees."""
        return forcing_year(1, self.first_year, self.years, self.align_year)

    @property
    def in_model_years(self) -> bool:
        """True where they were made of the model's own history."""
        return bool(layout_class(self.kind).in_model_years)

    @property
    def description(self) -> dict[str, Any]:
        """What distinguishes this forcing from another, in plain values."""
        return {
            "kind": self.kind,
            "product": self.product,
            "step_hours": sorted(set(self.step_hours.values())),
            "years": self.years,
        }

    def on_file(self, name: str) -> list[xr.DataArray]:
        """The arrays (gridcell, time), not read yet, that make up a series, in the order of the cycle."""
        return self._variables[name]

    def months(self, name: str, model_year: int, months: range, cells: slice) -> np.ndarray:
        """Some months of a series as the model sees them (n, months), float64.

        Args:
            name: variable.
            model_year: year on the model's clock.
            months: counted from January of that year; the cycle begins anew where it ends.
            cells: rows of the pieces.
        """
        first = forcing_year(model_year, self.first_year, self.years, self.align_year) - self.first_year
        wanted = (12 * first + np.asarray(months)) % (12 * self.years)
        values = np.empty((len(range(len(self.lat))[cells]), len(wanted)))
        start = 0
        for variable in self._variables[name]:
            here = np.flatnonzero((wanted >= start) & (wanted < start + variable.shape[1]))
            if len(here):
                place = wanted[here] - start
                low = int(place.min())
                values[:, here] = variable[cells, low : int(place.max()) + 1].to_numpy()[:, place - low]
            start += variable.shape[1]
        return values

    def from_model_year_one(self, values: np.ndarray) -> np.ndarray:
        """A series (..., time) in the order of the cycle, turned so that it begins with model year 1."""
        return np.roll(values, -12 * (self.year_of_model_year_one - self.first_year), axis=-1)


@contextmanager
def open_pieces(paths: str | Path | Sequence[str | Path]) -> Iterator[MonthlyPieces]:
    """Opens what `reduce_forcing` wrote: one piece, or all pieces of a cycle in any order.

    Raises:
        InputError: pieces are of different cells, kinds, products or steps, have wrong units, or a variable
            or year is missing or twice there.
    """
    files = [paths] if isinstance(paths, (str, Path)) else list(paths)
    if not files:
        raise InputError(None, "no monthly forcing given", expected="at least one piece")
    with ExitStack() as stack:
        pieces = [_open(path, stack) for path in files]
        first = pieces[0]
        places = _places(first)
        for piece in pieces[1:]:
            _refuse_others(piece, first, places)
        start = min(piece.first_year for piece in pieces)
        years = max(piece.first_year + piece.years for piece in pieces) - start
        ordered = {name: _in_order(name, pieces, start, years) for name in FORCING}
        if layout_class(first.kind).in_model_years and (start - first.align_year) % years:
            what = f"align_year is {first.align_year}, but year {start} of a history is a model year"
            remedy = "make it again with --align-year as said"
            raise InputError(first.path, what, expected=str(start), remedy=remedy)
        yield MonthlyPieces(
            paths=tuple(piece.path for piece in pieces),
            lat=places["lat"],
            lon=places["lon"],
            distance_km=places["forcing_distance_km"],
            first_year=start,
            years=years,
            align_year=first.align_year,
            kind=first.kind,
            product=first.product,
            step_hours={name: _step_hours(name, series) for name, series in ordered.items()},
            _variables={name: [piece.dataset[name] for piece in series] for name, series in ordered.items()},
        )


def _open(path: str | Path, stack: ExitStack) -> _Piece:
    from phase_lib.elm.products import open_product  # processes that compute means need no xarray

    dataset = stack.enter_context(open_product(path))
    for attribute in _ATTRIBUTES:
        if attribute not in dataset.attrs:
            what = f"attribute {attribute} is missing"
            expected = "monthly means made by `phase forcing`"
            raise InputError(path, what, expected=expected, remedy="make them again")
    first_year, years, align_year = (
        whole_attribute(path, dataset, name) for name in ("first_year", "years", "align_year")
    )
    names = tuple(name for name in FORCING if name in dataset.variables)
    for name in names:
        units = (FORCING[name][0],)
        variable = get_variable(path, dataset, name, dims=("gridcell", "time"), units=units)
        if variable.shape[1] != 12 * years:
            what = f"{name} has {variable.shape[1]} months"
            expected = f"{12 * years}, {years} whole years"
            raise InputError(path, what, expected=expected, remedy="make it again")
    kind, product = (str(dataset.attrs[name]) for name in ("kind", "product"))
    return _Piece(str(path), dataset, first_year, years, kind, product, align_year, names)


def _places(piece: _Piece) -> dict[str, np.ndarray]:
    names = ("lat", "lon", "forcing_distance_km", "forcing_lat", "forcing_lon")
    places = {
        name: get_variable(piece.path, piece.dataset, name, dims=("gridcell",)).to_numpy() for name in names
    }
    check_coordinates(piece.path, places["lat"], places["lon"], ("lat", "lon"))
    return places


def _refuse_others(piece: _Piece, first: _Piece, places: dict[str, np.ndarray]) -> None:
    for attribute in ("kind", "product", "align_year"):
        value, expected = getattr(piece, attribute), getattr(first, attribute)
        if value != expected:
            what = f"attribute {attribute} is {value!r}"
            expected = f"{expected!r} as in {Path(first.path).name}"
            raise InputError(piece.path, what, expected=expected, remedy="give the pieces of one reduction")
    for name, values in _places(piece).items():
        tolerance = _SAME_KM if name == "forcing_distance_km" else _SAME_DEGREES
        same = len(values) == len(places[name])
        if not same or np.abs(values - places[name]).max() > tolerance:
            what = f"{name}: other cells or forcing points than in {Path(first.path).name}"
            expected = "pieces for one domain, of files with one grid and land mask"
            raise InputError(piece.path, what, expected=expected, remedy="give the pieces of one reduction")


def _in_order(name: str, pieces: Sequence[_Piece], first_year: int, years: int) -> list[_Piece]:
    """The pieces of a variable, one after the other without gap."""
    series = sorted((piece for piece in pieces if name in piece.names), key=lambda piece: piece.first_year)
    due = first_year
    for piece in series:
        if piece.first_year < due:
            what = f"{name} of {piece.first_year:04d} is in another piece too"
            raise InputError(piece.path, what, remedy=_MORE)
        if piece.first_year > due:
            break
        due += piece.years
    if due < first_year + years:
        what = f"{name} of {due:04d} is missing in this and the {len(pieces) - 1} other pieces"
        expected = f"every variable for {first_year:04d} to {first_year + years - 1:04d}"
        raise InputError(pieces[0].path, what, expected=expected, remedy=_MORE)
    return series


def _step_hours(name: str, pieces: Sequence[_Piece]) -> float:
    hours = [float(piece.dataset[name].attrs.get("step_hours", np.nan)) for piece in pieces]
    for piece, step in zip(pieces, hours, strict=True):
        if np.isnan(step) or step != hours[0]:
            what = f"{name} was made of steps of {step:g} hours"
            expected = f"{hours[0]:g} as in {Path(pieces[0].path).name}"
            raise InputError(piece.path, what, expected=expected, remedy="give the pieces of one reduction")
    return hours[0]


@dataclass(frozen=True)
class MonthlyForcing:
    """Monthly means on the land cells.

    Attributes:
        lat, lon: cells (gridcell), degrees.
        first_year: forcing year of the first value: the one that model year 1 sees.
        years: length of the cycle.
        values: name -> (time, gridcell), float64, units of `FORCING`, beginning with model year 1.
    """

    lat: np.ndarray
    lon: np.ndarray
    first_year: int
    years: int
    values: dict[str, np.ndarray]


def read_monthly_forcing(paths: str | Path | Sequence[str | Path]) -> MonthlyForcing:
    """Reads a whole cycle.

    Args:
        paths: one piece, or all pieces of a cycle.

    Raises:
        InputError: as `open_pieces`.
    """
    with open_pieces(paths) as pieces:
        values = {
            name: pieces.from_model_year_one(
                np.concatenate([v.astype(np.float64).to_numpy() for v in pieces.on_file(name)], axis=1)
            ).T
            for name in FORCING
        }
        return MonthlyForcing(pieces.lat, pieces.lon, pieces.year_of_model_year_one, pieces.years, values)
