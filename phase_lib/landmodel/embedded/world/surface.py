"""Domain and surface files of a world's grid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np

from phase_lib.elm.constants import EARTH_RADIUS_KM, NATPFT
from phase_lib.elm.netcdf import create_dataset
from phase_lib.elm.soil_grid import NLEVDECOMP
from phase_lib.elm.variables import SURFACE_P
from phase_lib.landmodel.embedded.world.soil import Soil

_NUMURBL = 3
_MAX_SOIL_COLOR = 20
_MAX_SOIL_ORDER = 15
_PHOSPHORUS_NAMES = {
    "LABILE_P": "Labile Inorganic Phosphorus",
    "SECONDARY_P": "Secondary Mineral Phosphorus",
    "OCCLUDED_P": "Occluded Phosphorus",
    "APATITE_P": "Apatite Phosphorus",
}


@dataclass(frozen=True)
class ModelGrid:
    """The model's grid: a box of a regular global grid.

    Attributes:
        lat: row centres (nj), degrees.
        lon: column centres (ni), degrees, 0 to 360, from west to east.
        step: cell size, degrees.
        frac: land fraction (nj, ni), 0 where the cell is not kept.
    """

    lat: np.ndarray
    lon: np.ndarray
    step: float
    frac: np.ndarray

    @property
    def mask(self) -> np.ndarray:
        """1 on land cells (nj, ni), int."""
        return (self.frac > 0.0).astype(np.int32)

    @property
    def cell(self) -> np.ndarray:
        """Position of each land cell in the flattened grid (n): ELM's order of cells."""
        return np.flatnonzero(self.frac > 0.0)

    @property
    def centres(self) -> tuple[np.ndarray, np.ndarray]:
        """Latitudes and longitudes of all cells (nj, ni)."""
        lat, lon = np.meshgrid(self.lat, self.lon, indexing="ij")
        return lat, lon

    @property
    def area(self) -> np.ndarray:
        """Exact areas of the cells on the unit sphere (nj, ni), radian2."""
        north, south = np.deg2rad(self.lat + 0.5 * self.step), np.deg2rad(self.lat - 0.5 * self.step)
        band = (np.sin(north) - np.sin(south)) * np.deg2rad(self.step)
        return np.repeat(band[:, None], len(self.lon), axis=1)


def write_domain(path: Path, grid: ModelGrid, attributes: Mapping[str, str]) -> None:
    """Writes the domain file."""
    lat, lon = grid.centres
    half = 0.5 * grid.step
    east, north = np.array([-half, half, half, -half]), np.array([-half, -half, half, half])
    with create_dataset(path, "NETCDF3_64BIT_OFFSET") as dataset:
        for dim, size in (("nj", len(grid.lat)), ("ni", len(grid.lon)), ("nv", 4)):
            dataset.createDimension(dim, size)

        plane = ("nj", "ni")
        corners = (*plane, "nv")
        for name, kind, dims, values, long_name, units in (
            ("xc", "f8", plane, lon, "longitude of grid cell center", "degrees_east"),
            ("yc", "f8", plane, lat, "latitude of grid cell center", "degrees_north"),
            ("xv", "f8", corners, lon[..., None] + east, "longitude of grid cell vertices", "degrees_east"),
            ("yv", "f8", corners, lat[..., None] + north, "latitude of grid cell vertices", "degrees_north"),
            ("mask", "i4", plane, grid.mask, "domain mask (1 means land)", "unitless"),
            ("frac", "f8", plane, grid.frac, "fraction of grid cell that is active", "unitless"),
            ("area", "f8", plane, grid.area, "area of grid cell in radians squared", "radian2"),
        ):
            variable = dataset.createVariable(name, kind, dims)
            variable.long_name = long_name
            variable.units = units
            variable[:] = values
        dataset.setncatts(dict(attributes))


def write_surface(
    path: Path,
    grid: ModelGrid,
    cover: np.ndarray,
    soil: Soil,
    elevation: np.ndarray,
    attributes: Mapping[str, str],
) -> None:
    """Writes the surface file; cells that are not land hold bare, ordinary soil.

    Args:
        path: file.
        grid: model grid.
        cover: PFT cover of the land cells (n, 17), percent.
        soil: soils of the land cells.
        elevation: of the land cells (n), m.
        attributes: global attributes.
    """
    with create_dataset(path, "NETCDF3_64BIT_OFFSET") as dataset:
        for name, size in (
            ("lsmlat", len(grid.lat)),
            ("lsmlon", len(grid.lon)),
            ("numurbl", _NUMURBL),
            ("nlevsoi", NLEVDECOMP),
            ("natpft", NATPFT),
        ):
            dataset.createDimension(name, size)
        _write_constants(dataset, grid)
        writer = _CellWriter(dataset, grid)
        writer.add("SOIL_COLOR", soil.color, "soil color", off_land=15, kind="i4")
        writer.add("SOIL_ORDER", soil.order, "soil order", off_land=0, kind="i4")
        writer.add("PCT_SAND", soil.sand, "percent sand", off_land=43.0, level="nlevsoi")
        writer.add("PCT_CLAY", soil.clay, "percent clay", off_land=18.0, level="nlevsoi")
        writer.add(
            "ORGANIC",
            soil.organic,
            "organic matter density at soil levels",
            units="kg/m3 (assumed carbon content 0.58 gC per gOM)",
            level="nlevsoi",
        )
        writer.add("FMAX", soil.fmax, "maximum fractional saturated area", off_land=0.3)
        writer.add("TOPO", elevation, "mean elevation on land", units="m")
        writer.add("SLOPE", 0.4 + 3.0e-3 * elevation, "mean topographic slope", units="degrees")
        writer.add("STD_ELEV", 5.0 + 0.12 * elevation, "standard deviation of elevation", units="m")
        bare = np.zeros(NATPFT)
        bare[0] = 100.0
        writer.add(
            "PCT_NAT_PFT",
            cover.T,
            "percent plant functional type on the natural veg landunit (% of landunit)",
            off_land=bare[:, None],
            level="natpft",
        )
        for name in SURFACE_P:
            writer.add(name, soil.phosphorus[name], _PHOSPHORUS_NAMES[name], units="gP/m2")
        dataset.setncatts(dict(attributes))


def _write_constants(dataset: netCDF4.Dataset, grid: ModelGrid) -> None:
    plane = ("lsmlat", "lsmlon")
    lat, lon = grid.centres
    for name, size, long_name in (
        ("mxsoil_color", _MAX_SOIL_COLOR, "maximum numbers of soil colors"),
        ("mxsoil_order", _MAX_SOIL_ORDER, "maximum numbers of soil order"),
    ):
        scalar = dataset.createVariable(name, "i4", ())
        scalar.long_name = long_name
        scalar.units = "unitless"
        scalar[...] = size
    natpft = dataset.createVariable("natpft", "i4", ("natpft",))
    natpft.long_name = "indices of natural PFTs"
    natpft.units = "index"
    natpft[:] = np.arange(NATPFT)
    fields: dict[str, tuple[str, Any, str, str]] = {
        "LONGXY": ("f8", lon, "longitude", "degrees east"),
        "LATIXY": ("f8", lat, "latitude", "degrees north"),
        "AREA": ("f8", grid.area * EARTH_RADIUS_KM**2, "area", "km^2"),
        "LANDFRAC_PFT": ("f8", grid.frac, "land fraction from pft dataset", "unitless"),
        "PFTDATA_MASK": ("i4", grid.mask, "land mask from pft dataset", "unitless"),
        "PCT_NATVEG": ("f8", 100.0, "total percent natural vegetation landunit", "unitless"),
        "PCT_CROP": ("f8", 0.0, "total percent crop landunit", "unitless"),
        "PCT_WETLAND": ("f8", 0.0, "percent wetland", "unitless"),
        "PCT_LAKE": ("f8", 0.0, "percent lake", "unitless"),
        "PCT_GLACIER": ("f8", 0.0, "percent glacier", "unitless"),
    }
    for name, (kind, values, long_name, units) in fields.items():
        variable = dataset.createVariable(name, kind, plane)
        variable.long_name = long_name
        variable.units = units
        variable[:] = np.broadcast_to(values, grid.frac.shape)
    urban = dataset.createVariable("PCT_URBAN", "f8", ("numurbl", *plane))
    urban.long_name = "percent urban for each density type"
    urban.units = "unitless"
    urban[:] = np.zeros((_NUMURBL, *grid.frac.shape))


class _CellWriter:
    """Writes land-cell values onto the full grid, one variable at a time."""

    def __init__(self, dataset: netCDF4.Dataset, grid: ModelGrid) -> None:
        self._dataset = dataset
        self._shape = grid.frac.shape
        self._cell = grid.cell

    def add(
        self,
        name: str,
        values: np.ndarray,
        long_name: str,
        *,
        units: str = "unitless",
        off_land: float | np.ndarray = 0.0,
        level: str | None = None,
        kind: str = "f8",
    ) -> None:
        """Writes (n) or (levels, n) values; other cells get `off_land`."""
        dims = (() if level is None else (level,)) + ("lsmlat", "lsmlon")
        variable = self._dataset.createVariable(name, kind, dims)
        variable.long_name = long_name
        variable.units = units
        full = np.empty((*values.shape[:-1], self._shape[0] * self._shape[1]))
        full[...] = off_land
        full[..., self._cell] = values
        variable[:] = full.reshape(*values.shape[:-1], *self._shape)
