"""Surface data files, 2-D (lsmlat, lsmlon) or 1-D (gridcell); fields of topounits read as means of cells."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np

from phase_lib.base.errors import InputError
from phase_lib.elm.constants import FILL_THRESHOLD, LATITUDE_UNITS, LONGITUDE_UNITS, NATPFT
from phase_lib.elm.coordinates import SQUARE_KM, check_coordinates, check_land_area, scaled, to_km2
from phase_lib.elm.levels import order_of_layers, order_of_pfts
from phase_lib.elm.matching import Partners, match_cells
from phase_lib.elm.netcdf import TURN_DIMENSIONS, get_variable, is_fill, open_dataset
from phase_lib.elm.soil_grid import NLEVDECOMP
from phase_lib.elm.units import FRACTIONS, PLAIN_NUMBERS, factor_of, units_of
from phase_lib.elm.variables import SURFACE_P

#: A file may have lost one of the two dimensions of a grid, and a single point both.
_HORIZONTAL = (("lsmlat", "lsmlon"), ("gridcell",), ("lsmlat",), ("lsmlon",))
#: The dimension along which topounits divide the cells, where a file has it, and their shares of the land.
_TOPOUNIT, _TOPOUNIT_AREA = "topounit", "TopounitFracArea"
#: Fields that give the land area of a cell.
LAND = ("AREA", "LANDFRAC_PFT")
#: Classes have no mean: a cell has the class of its largest topounit.
_CLASSES = ("SOIL_COLOR", "SOIL_ORDER")
#: Fields in shares of the natural vegetation's ground -> its share of a topounit, %.
_OF_GROUND = {"PCT_NAT_PFT": "PCT_NATVEG"}
#: First dimension of the fields that have levels.
_LEVELS = {"PCT_NAT_PFT": "natpft", **dict.fromkeys(("PCT_SAND", "PCT_CLAY", "ORGANIC"), "nlevsoi")}
_BGC_LAYERS = f"{NLEVDECOMP}, the layers with biogeochemistry"
#: Dimension -> its levels, how many there may be, this in words, and the data that have them. There are 15
#: natural PFTs where a crop landunit has the others.
_STANDARD = {
    "nlevsoi": ("layers", (NLEVDECOMP,), _BGC_LAYERS, "on ELM's standard soil layers"),
    "natpft": ("PFTs", (15, NATPFT), f"{NATPFT}, or 15 beside a crop landunit", "with ELM's standard PFTs"),
}
#: Landunits; their shares of a cell's land make up 100 %.
LANDUNITS = ("PCT_NATVEG", "PCT_CROP", "PCT_LAKE", "PCT_WETLAND", "PCT_GLACIER", "PCT_URBAN")
#: Spellings of the units of coordinates and classes, which a file may leave out.
_OPTIONAL_UNITS = {
    "LATIXY": LATITUDE_UNITS,
    "LONGXY": LONGITUDE_UNITS,
    **dict.fromkeys(_CLASSES, PLAIN_NUMBERS),
}
#: Percentages are called unitless on file, so only their sums distinguish them from fractions.
_PERCENT = dict.fromkeys(("%", "percent", *PLAIN_NUMBERS), 1.0)
#: Fields that must have units -> factor of each accepted spelling to the first one, or to km2 and fractions.
UNITS: Mapping[str, Mapping[str, float]] = {
    "AREA": SQUARE_KM,
    "LANDFRAC_PFT": FRACTIONS,
    **dict.fromkeys((*LANDUNITS, "PCT_NAT_PFT", "PCT_SAND", "PCT_CLAY"), _PERCENT),
    "ORGANIC": {"kg/m^3": 1.0, "kg/m3 (assumed carbon content 0.58 gC per gOM)": 1.0},
    **{name: {"gP/m2": 1.0} for name in SURFACE_P},
}
_fault = partial(InputError, remedy="use the surface data as it was made")


class _Point:
    """A field of a file without horizontal dimensions, which reads as that of a list of one cell."""

    def __init__(self, variable: Any) -> None:
        self._variable = variable
        self.name: str = variable.name
        self.dimensions = (*variable.dimensions, "gridcell")
        self.shape = (*variable.shape, 1)
        self.ndim, self.dtype = len(self.shape), variable.dtype
        self.ncattrs, self.getncattr = variable.ncattrs, variable.getncattr

    def __getitem__(self, key: Any) -> np.ndarray:
        return np.asarray(np.asarray(self._variable[...])[..., None][key])


class _AsInElm:
    """A field that reads with its levels in ELM's order and in the units of this software.

    Args:
        variable: the field, its levels first.
        order: place on file of each level, or None where they are in order.
        convert: converts the units, or None.
    """

    def __init__(
        self, variable: Any, order: np.ndarray | None, convert: Callable[[np.ndarray], np.ndarray] | None
    ) -> None:
        self._variable, self._order, self._convert = variable, order, convert
        self.name: str = variable.name
        self.dimensions, self.shape, self.ndim = variable.dimensions, variable.shape, variable.ndim
        self.dtype = variable.dtype if convert is None else np.dtype(np.float64)

    def __getitem__(self, key: Any) -> np.ndarray:
        if self._order is None:
            values = np.asarray(self._variable[key])
        else:
            level, *rest = _full_key(key, self.ndim)
            if isinstance(level, slice):
                values = np.asarray(self._variable[(slice(None), *rest)])[self._order[level]]
            else:
                values = np.asarray(self._variable[(int(self._order[level]), *rest)])
        return values if self._convert is None else self._convert(values)


def _full_key(key: Any, ndim: int) -> tuple[Any, ...]:
    """A key with one entry for each dimension."""
    entries = key if isinstance(key, tuple) else (key,)
    if Ellipsis not in entries:
        entries = (*entries, Ellipsis)
    at = entries.index(Ellipsis)
    return (*entries[:at], *[slice(None)] * (ndim - len(entries) + 1), *entries[at + 1 :])


class TopounitMean:
    """A field of topounits that reads as one of cells: its mean over the topounits of a cell, by their land.

    Args:
        variable: the field, with a dimension of topounits before the horizontal ones.
        weights: shares by which the topounits count, each (topounit, horizontal ...); all of them multiply.
            None are needed for one topounit.
        largest: whether a cell has the value of the topounit that counts most instead of the mean.
    """

    def __init__(self, variable: Any, weights: Sequence[Any], *, largest: bool) -> None:
        self._variable, self._weights, self._largest = variable, weights, largest
        self._axis = variable.dimensions.index(_TOPOUNIT)
        without = [axis for axis in range(variable.ndim) if axis != self._axis]
        self.name: str = variable.name
        self.dimensions = tuple(variable.dimensions[axis] for axis in without)
        self.shape = tuple(variable.shape[axis] for axis in without)
        self.ndim, self.dtype = len(without), np.dtype(np.float64)

    def __getitem__(self, key: Any) -> np.ndarray:
        """Means of the cells that a key of the field without topounits selects.

        NaN where no topounit counts, or where one that does holds fill.
        """
        full = _full_key(key, self.ndim)
        all_units = (*full[: self._axis], slice(None), *full[self._axis :])
        values = np.asarray(self._variable[all_units], dtype=np.float64)
        kept = sum(isinstance(entry, slice) for entry in full[: self._axis])
        # Fill in a mean would not be known as such any more.
        values = np.moveaxis(np.where(is_fill(self._variable, values), np.nan, values), kept, 0)
        if len(values) == 1:
            return np.asarray(values[0])
        weight = self._weight(full[self.ndim - self._weights[0].ndim + 1 :])
        weight = weight.reshape(len(weight), *[1] * (values.ndim - weight.ndim), *weight.shape[1:])
        total = weight.sum(axis=0)
        if self._largest:
            most = np.broadcast_to(weight.argmax(axis=0), values.shape[1:])[None]
            return np.where(total > 0.0, np.take_along_axis(values, most, axis=0)[0], np.nan)
        share = weight / np.where(total > 0.0, total, 1.0)
        return np.where(total > 0.0, (np.where(weight > 0.0, values, 0.0) * share).sum(axis=0), np.nan)

    def _weight(self, horizontal: tuple[Any, ...]) -> np.ndarray:
        shares = [np.asarray(weight[(slice(None), *horizontal)], np.float64) for weight in self._weights]
        # Where a cell has fewer topounits, the file has fill or less than nothing.
        sound = [np.where((share > 0.0) & (share < FILL_THRESHOLD), share, 0.0) for share in shares]
        # Where nothing grows on any topounit, their land alone counts.
        grown = np.prod(sound, axis=0)
        return np.where(grown.sum(axis=0) > 0.0, grown, sound[0])


def surface_variable(
    path: str | Path, dataset: netCDF4.Dataset, name: str, dims: tuple[str, ...] | None = None
) -> Any:
    """A field of an open surface file, its units, soil layers and PFTs checked.

    Args:
        path: for messages.
        dataset: the open file.
        name: field.
        dims: dimensions that it must have, without that of topounits.

    Returns:
        The variable as ELM understands it: levels in ELM's order by their coordinate, `AREA` in km2 and
        `LANDFRAC_PFT` as a fraction whatever their units, the mean over topounits where the file has them,
        and a point without horizontal dimensions as a list of one cell.

    Raises:
        InputError: it is missing, has other dimensions or units, other than ten soil layers, or other than
            the natural PFTs, or the land of its topounits is missing.
    """
    on_file = get_variable(path, dataset, name, None, _OPTIONAL_UNITS.get(name))
    variable = _with_cells(dataset, on_file)
    if _TOPOUNIT in variable.dimensions:
        variable = _mean_of_topounits(path, dataset, variable)
    _require_dims(path, variable, dims)
    level = _LEVELS.get(name)
    if level is not None and variable.dimensions[:1] != (level,):
        raise _other_dims(path, variable, f"({level}, lsmlat, lsmlon) or ({level}, gridcell)")
    for dim, (what, sizes, expected, remedy) in _STANDARD.items():
        if dim in variable.dimensions and (size := dataset.dimensions[dim].size) not in sizes:
            what = f"variable {name} has {size} {what} (dimension {dim})"
            raise InputError(path, what, expected=expected, remedy=f"use surface data {remedy}")
    order, convert = None, _conversion(path, on_file)
    if level is not None:
        order = (order_of_pfts if level == "natpft" else order_of_layers)(path, dataset, level)
    return variable if order is None and convert is None else _AsInElm(variable, order, convert)


def _conversion(path: str | Path, variable: netCDF4.Variable) -> Callable[[np.ndarray], np.ndarray] | None:
    """Converts values of a field to the units of this software; None where no conversion is needed."""
    if variable.name == "AREA":
        return to_km2(path, variable)
    if variable.name not in UNITS:
        return None
    factor = factor_of(path, str(variable.name), units_of(variable), UNITS[variable.name])
    return None if factor == 1.0 else partial(scaled, factor)


def _with_cells(dataset: netCDF4.Dataset, variable: netCDF4.Variable) -> Any:
    """A field of a single point whose file has lost the horizontal dimensions; others as they are."""
    latixy = dataset.variables.get("LATIXY")
    horizontal = {dim for dims in _HORIZONTAL for dim in dims}
    lost = latixy is not None and latixy.ndim == 0 and not horizontal.intersection(variable.dimensions)
    return _Point(variable) if lost else variable


def _require_dims(path: str | Path, variable: Any, dims: tuple[str, ...] | None) -> None:
    if dims is not None and tuple(variable.dimensions) != dims:
        turned = {"remedy": TURN_DIMENSIONS} if sorted(dims) == sorted(variable.dimensions) else {}
        raise _other_dims(path, variable, f"({', '.join(dims)})", **turned)


def _other_dims(path: str | Path, variable: Any, expected: str, **remedy: str) -> InputError:
    what = f"variable {variable.name} has dimensions ({', '.join(variable.dimensions)})"
    return _fault(path, what, expected=expected, **remedy)


def _mean_of_topounits(path: str | Path, dataset: netCDF4.Dataset, variable: Any) -> TopounitMean:
    """The mean of a field over topounits, by their land."""
    horizontal = horizontal_dims(path, variable)
    if _TOPOUNIT not in variable.dimensions[: -len(horizontal)]:
        raise _other_dims(path, variable, f"({_TOPOUNIT}, ..., {', '.join(horizontal)})")
    if dataset.dimensions[_TOPOUNIT].size == 1:
        return TopounitMean(variable, (), largest=False)
    names = [_TOPOUNIT_AREA]
    ground = _OF_GROUND.get(variable.name)
    if ground is not None and _TOPOUNIT in get_variable(path, dataset, ground).dimensions:
        names.append(ground)
    # Of shares only the proportions count, not their units.
    weights = [_with_cells(dataset, get_variable(path, dataset, name)) for name in names]
    for weight in weights:
        _require_dims(path, weight, (_TOPOUNIT, *horizontal))
    return TopounitMean(variable, weights, largest=variable.name in _CLASSES)


def horizontal_dims(path: str | Path, variable: Any) -> tuple[str, ...]:
    """The dimensions of a field that span the cells: (lsmlat, lsmlon) or (gridcell,), its last ones.

    Raises:
        InputError: it is not on the grid.
    """
    for horizontal in _HORIZONTAL:
        if tuple(variable.dimensions[-len(horizontal) :]) == horizontal:
            return horizontal
    raise _other_dims(path, variable, "(..., lsmlat, lsmlon) or (..., gridcell)")


def surface_places(path: str | Path, dataset: netCDF4.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Latitudes and longitudes of all points of an open surface file (points), degrees, checked."""
    horizontal = horizontal_dims(path, surface_variable(path, dataset, "LATIXY"))
    places = [surface_variable(path, dataset, name, horizontal) for name in ("LATIXY", "LONGXY")]
    lat, lon = (np.asarray(variable[:], dtype=np.float64).reshape(-1) for variable in places)
    check_coordinates(path, lat, lon, ("LATIXY", "LONGXY"), distinct=False)
    return lat, lon


def read_surface(
    path: str | Path, names: list[str], lat: np.ndarray, lon: np.ndarray
) -> dict[str, np.ndarray]:
    """Reads surface fields of given cells.

    Cells are matched by their coordinates on the sphere, so the file may be 2-D or 1-D, global or
    regional, with either longitude convention. One level of one field is in memory beside the result.

    Args:
        path: surface file.
        names: variables.
        lat, lon: wanted cells (gridcell), degrees.

    Returns:
        Name -> values with the cell first: (gridcell) or (gridcell, levels); `AREA` in km2.

    Raises:
        InputError: a variable is missing, has other units or is not on the grid, or a cell has no
            partner in the file.
    """
    with open_dataset(path) as dataset:
        row = _points(path, dataset, lat, lon)
        return {name: _of_cells(path, surface_variable(path, dataset, name), row) for name in names}


class Fields:
    """Fields of an open surface file, read for some cells at a time; the points between them are read along.

    Args:
        path: file.
        dataset: the open file.
        names: fields.
        points: of the cells.

    Raises:
        InputError: as `read_surface`.
    """

    def __init__(
        self, path: str | Path, dataset: netCDF4.Dataset, names: Sequence[str], points: Partners
    ) -> None:
        self._fields = {name: surface_variable(path, dataset, name) for name in names}
        self._horizontal = {name: len(horizontal_dims(path, field)) for name, field in self._fields.items()}
        self._path, self._points = path, points

    def land_area(self, cell: np.ndarray) -> np.ndarray:
        """Land area of cells (n), m2: `AREA` times `LANDFRAC_PFT`, which have to be among the fields.

        Raises:
            InputError: one of them is no amount, or more than there can be.
        """
        area, share = (self.read(name, cell) for name in LAND)
        check_land_area(self._path, LAND, area, share)
        for name, values in zip(LAND, (area, share), strict=True):
            # Some lists have 0 for every AREA; the account of an injection is then without stocks.
            wrong = np.flatnonzero(~((values >= 0.0) & (values < FILL_THRESHOLD)))
            if len(wrong):
                what = f"variable {name} is {values[wrong[0]]:g} in cell {cell[wrong[0]] + 1}"
                raise InputError(self._path, what, expected="0 or more", remedy="repair the surface data")
        return np.asarray(area * share * 1.0e6)

    def read(self, name: str, cell: np.ndarray) -> np.ndarray:
        """Values of cells (n), which may repeat and come in any order: (n) or (n, levels)."""
        field, horizontal = self._fields[name], self._horizontal[name]
        if len(cell) == 0:
            return np.empty((0, *field.shape[: field.ndim - horizontal]))
        # Points in a line of the grid; a list of cells has one in each.
        width = int(np.prod(field.shape[field.ndim - horizontal + 1 :]))
        row = self._points.rows(cell)
        first, stop = int(row.min()) // width, int(row.max()) // width + 1
        slab = np.asarray(field[(..., slice(first, stop), *[slice(None)] * (horizontal - 1))])
        points = slab.reshape(*slab.shape[: slab.ndim - horizontal], -1)
        return np.asarray(points.T[row - first * width])


@contextmanager
def open_fields(path: str | Path, names: Sequence[str], lat: np.ndarray, lon: np.ndarray) -> Iterator[Fields]:
    """Opens a surface file to read fields of given cells, matched as by `read_surface`, some at a time.

    Raises:
        InputError: as `read_surface`.
    """
    with open_dataset(path) as dataset:
        points = Partners(_points(path, dataset, lat, lon))
        # A generator keeps its arguments until the file is closed.
        del lat, lon
        yield Fields(path, dataset, names, points)


def surface_points(path: str | Path, lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
    """The point of each cell in the flattened grid of a surface file (gridcell), matched on the sphere.

    Raises:
        InputError: a cell has no partner in the file.
    """
    with open_dataset(path) as dataset:
        return _points(path, dataset, lat, lon)


def _points(path: str | Path, dataset: netCDF4.Dataset, lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
    """The point of each cell in an open surface file (gridcell)."""
    row, _ = match_cells(lat, lon, *surface_places(path, dataset), file=path, what="surface cells")
    return row


def _of_cells(path: str | Path, variable: Any, row: np.ndarray) -> np.ndarray:
    levels = variable.shape[: variable.ndim - len(horizontal_dims(path, variable))]
    values = np.empty((len(row), *levels), dtype=variable.dtype)
    for level in np.ndindex(levels):
        values[(slice(None), *level)] = np.asarray(variable[(*level, ...)]).reshape(-1)[row]
    return values


def count_land(path: str | Path) -> int:
    """Points of a surface file that have land: `LANDFRAC_PFT` above 0.

    Raises:
        InputError: it is missing or has other units.
    """
    with open_dataset(path) as dataset:
        return int(np.count_nonzero(np.asarray(surface_variable(path, dataset, "LANDFRAC_PFT")[:]) > 0.0))
