"""Synthetic ELM history files whose drifts are known exactly."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import netCDF4
import numpy as np
import xarray as xr

from phase_lib.elm.products import write_product

UNITS = {
    "TOTECOSYSC": "gC/m^2",
    "TOTSOMC": "gC/m^2",
    "TOTVEGC": "gC/m^2",
    "CWDC": "gC/m^2",
    "GPP": "gC/m^2/s",
    "NPP": "gC/m^2/s",
    "NBP": "gC/m^2/s",
    "TLAI": "1",
    "TWS": "mm",
    "H2OSNO": "mm",
    "TOTSOMN": "gN/m^2",
    "TOTSOMP": "gP/m^2",
}
FILL = 1.0e36


@dataclass
class Grid:
    """A regular grid with one ocean cell, so that land cells are not all cells.

    Attributes:
        lat, lon: axes, degrees.
        area: km2, (lat, lon).
        landfrac: (lat, lon); 0 on the ocean cell.
    """

    lat: np.ndarray = field(default_factory=lambda: np.array([-10.0, 40.0, 70.0]))
    lon: np.ndarray = field(default_factory=lambda: np.array([0.0, 5.0, 10.0, 15.0]))

    def __post_init__(self) -> None:
        shape = (len(self.lat), len(self.lon))
        self.area = 1.0e5 * (1.0 + np.arange(np.prod(shape)).reshape(shape))
        self.landfrac = np.full(shape, 0.5)
        self.landfrac[0, 0] = 0.0

    @property
    def land(self) -> np.ndarray:
        """True on land (lat, lon)."""
        return self.landfrac > 0.0

    @property
    def cells(self) -> int:
        return int(self.land.sum())

    @property
    def land_area_m2(self) -> np.ndarray:
        """area x landfrac of the land cells (gridcell)."""
        return (self.area * self.landfrac)[self.land] * 1.0e6

    @property
    def cell_lat(self) -> np.ndarray:
        return np.broadcast_to(self.lat[:, None], self.land.shape)[self.land]

    @property
    def cell_lon(self) -> np.ndarray:
        return np.broadcast_to(self.lon[None, :], self.land.shape)[self.land]


def write_history(
    path: Path,
    grid: Grid,
    bounds_years: np.ndarray,
    fields: Mapping[str, np.ndarray],
    *,
    dtype: str = "f8",
    units: Mapping[str, str] | None = None,
    one_dimensional: bool = False,
) -> Path:
    """One history file.

    Args:
        path: where.
        grid: its grid.
        bounds_years: start and end of each sample, years since 0001-01-01 (time, 2).
        fields: name -> values on land cells (time, gridcell).
        dtype: `f8` as with `hist_ndens=1`, or `f4`, ELM's default.
        units: units attributes that differ from ELM's.
        one_dimensional: land cells along `lndgrid` instead of (lat, lon).
    """
    units = {**UNITS, **(units or {})}
    with netCDF4.Dataset(path, "w", format="NETCDF3_64BIT_DATA") as nc:
        nc.createDimension("time", None)
        nc.createDimension("hist_interval", 2)
        if one_dimensional:
            nc.createDimension("lndgrid", grid.cells)
            where: tuple[str, ...] = ("lndgrid",)
            spread = lambda v: v  # noqa: E731
            axes = {"lat": (where, grid.cell_lat), "lon": (where, grid.cell_lon)}
            area, frac = grid.area[grid.land], grid.landfrac[grid.land]
            mask = np.ones(grid.cells, dtype=np.int32)
        else:
            nc.createDimension("lat", len(grid.lat))
            nc.createDimension("lon", len(grid.lon))
            where = ("lat", "lon")
            axes = {"lat": (("lat",), grid.lat), "lon": (("lon",), grid.lon)}
            area, frac, mask = grid.area, grid.landfrac, grid.land.astype(np.int32)

            def spread(values: np.ndarray) -> np.ndarray:
                full = np.full((len(values), *grid.land.shape), FILL)
                full[:, grid.land] = values
                return full

        time = nc.createVariable("time", "f4", ("time",))
        time.units, time.calendar, time.bounds = "days since 0001-01-01 00:00:00", "noleap", "time_bounds"
        time[:] = bounds_years[:, 1] * 365.0
        nc.createVariable("time_bounds", "f8", ("time", "hist_interval"))[:] = bounds_years * 365.0
        for name, (dims, values) in axes.items():
            nc.createVariable(name, "f4", dims)[:] = values
        for name, values, unit in (("area", area, "km^2"), ("landfrac", frac, "1")):
            variable = nc.createVariable(name, "f4", where)
            variable.units = unit
            variable[:] = values
        nc.createVariable("landmask", "i4", where)[:] = mask
        for name, values in fields.items():
            variable = nc.createVariable(name, dtype, ("time", *where), fill_value=FILL)
            variable.units = units[name]
            variable.cell_methods = "time: mean"
            variable[:] = spread(np.asarray(values, dtype=np.float64))
    return path


def years(first: int, last: int, step: int = 1) -> np.ndarray:
    """Bounds of samples of `step` years from the start of year index `first` to the end at `last`."""
    start = np.arange(first, last, step, dtype=np.float64)
    return np.stack([start, start + step], axis=1)


def linear(grid: Grid, bounds: np.ndarray, start: float, slope: float | np.ndarray) -> np.ndarray:
    """Sample means of `start + slope t`, with a 20-year cycle of weather on top (time, gridcell).

    The weather repeats with the forcing, so a whole-cycle drift does not see it.
    """
    middle = bounds.mean(axis=1)
    slopes = np.broadcast_to(np.asarray(slope, dtype=np.float64), (grid.cells,))
    # A sample's mean of the sine over its bounds, so that cycle means hold exactly.
    omega = 2.0 * np.pi / 20.0
    weather = (np.cos(omega * bounds[:, 0]) - np.cos(omega * bounds[:, 1])) / (omega * np.diff(bounds)[:, 0])
    return start + middle[:, None] * slopes + 5.0 * weather[:, None]


def write_correction(path: Path, end_year: float, size: float = 0.01) -> Path:
    """What the verdict reads of the predictions file of a correction at the start of a model year."""
    nitrogen = {"response": 5.0, "median_size": 0.001}
    account = {
        "end_year": end_year,
        "nitrogen": nitrogen,
        "variables": {"soil4c_vr": {"corrected": 3, "median_size": size}},
    }
    write_product(path, xr.Dataset(attrs={"correction": json.dumps(account)}))
    return path


def write_split(path: Path, part: np.ndarray, *, east: bool = True) -> Path:
    """A split file with the part of each land cell (gridcell)."""
    grid = Grid()
    order = np.argsort(-grid.cell_lat, kind="stable")  # another order than the history's
    with netCDF4.Dataset(path, "w") as nc:
        nc.createDimension("gridcell", grid.cells)
        nc.createVariable("part", "i1", ("gridcell",))[:] = part[order]
        nc.createVariable("lat", "f8", ("gridcell",))[:] = grid.cell_lat[order]
        lon = grid.cell_lon[order]
        nc.createVariable("lon", "f8", ("gridcell",))[:] = lon if east else lon - 360.0
    return path


def decay(grid: Grid, bounds: np.ndarray, end: float, amplitude: float, tau: float) -> np.ndarray:
    """Sample means of `end + amplitude exp(-t/tau)` (time, gridcell)."""
    a, b = bounds[:, 0], bounds[:, 1]
    mean = tau * (np.exp(-a / tau) - np.exp(-b / tau)) / (b - a)
    return np.repeat((end + amplitude * mean)[:, None], grid.cells, axis=1)


@dataclass
class Entries:
    """Patches, columns or landunits of a grid, in random order, some of them inactive.

    Attributes:
        cell: land cell of each entry.
        weight: its share of the cell; 0 where inactive. The active ones of a cell sum to 1.
    """

    cell: np.ndarray
    weight: np.ndarray

    @classmethod
    def random(cls, grid: Grid, each: int, seed: int = 0) -> Entries:
        """`each` entries in every cell, the last of them inactive."""
        rng = np.random.default_rng(seed)
        shares = rng.dirichlet(np.ones(each - 1), grid.cells)
        cell = np.repeat(np.arange(grid.cells), each)
        weight = np.concatenate([shares, np.zeros((grid.cells, 1))], axis=1).reshape(-1)
        order = rng.permutation(len(cell))
        return cls(cell[order], weight[order])


def write_vectors(
    path: Path,
    grid: Grid,
    bounds_years: np.ndarray,
    entries: Mapping[str, Entries],
    fields: Mapping[str, tuple[str, np.ndarray]],
    *,
    one_dimensional: bool = False,
    with_grid: bool = True,
    dtype: str = "f4",
    levels: int = 15,
) -> Path:
    """One history file as `hist_dov2xy = .false.` gives it: fields as 1-D vectors.

    Args:
        path: where.
        grid: its grid.
        bounds_years: start and end of each sample, years since 0001-01-01 (time, 2).
        entries: `pft`, `column` or `landunit` -> where its entries lie.
        fields: name -> dimension and values, (time, entries) or (time, levels, entries).
        one_dimensional: all cells along `lndgrid`, of a domain of one row, instead of (lat, lon).
        with_grid: False leaves out lat, lon, area, landfrac and landmask.
        dtype: type of the fields.
        levels: length of `levdcmp`.
    """
    write_history(path, grid, bounds_years, {}, one_dimensional=one_dimensional)
    prefix = {"pft": "pfts1d", "column": "cols1d", "landunit": "land1d", "gridcell": "grid1d"}
    rows, columns = np.nonzero(grid.land)
    if one_dimensional:
        rows, columns = np.zeros(grid.cells, dtype=int), np.arange(grid.cells)
    with netCDF4.Dataset(path, "r+") as nc:
        nc.createDimension("levdcmp", levels)
        places = {"gridcell": Entries(np.arange(grid.cells), np.ones(grid.cells)), **entries}
        for dimension, where in places.items():
            nc.createDimension(dimension, len(where.cell))
            stem = prefix[dimension]
            for name, values, kind in (
                ("lon", grid.cell_lon[where.cell], "f8"),
                ("lat", grid.cell_lat[where.cell], "f8"),
                ("ixy", columns[where.cell] + 1, "i4"),
                ("jxy", rows[where.cell] + 1, "i4"),
            ):
                nc.createVariable(f"{stem}_{name}", kind, (dimension,))[:] = values
            if dimension != "gridcell":
                nc.createVariable(f"{stem}_wtgcell", "f8", (dimension,))[:] = where.weight
                nc.createVariable(f"{stem}_active", "i4", (dimension,))[:] = where.weight > 0.0
        for name, (dimension, values) in fields.items():
            dims = ("time", "levdcmp", dimension) if values.ndim == 3 else ("time", dimension)
            variable = nc.createVariable(name, dtype, dims, fill_value=FILL)
            variable.missing_value = np.dtype(dtype).type(FILL)
            variable.units = UNITS.get(name, "1")
            variable[:] = np.where(places[dimension].weight > 0.0, values, FILL)
        if not with_grid:
            for number, name in enumerate(("lat", "lon", "area", "landfrac", "landmask")):
                nc.renameVariable(name, f"x{number}")
    return path
