"""Domain and surface files of a world's grid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import netCDF4
import numpy as np

from phase_lib.elm.constants import EARTH_RADIUS_KM, NATPFT
from phase_lib.elm.netcdf import add_variable, create_dataset
from phase_lib.elm.soil_grid import NLEVDECOMP
from phase_lib.elm.variables import SURFACE_P
from phase_lib.landmodel.embedded.world.soil import Soil

_PLANE = ("lsmlat", "lsmlon")
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
            add_variable(dataset, name, kind, dims, values, long_name=long_name, units=units)
        dataset.setncatts(dict(attributes))


def write_surface(
    path: Path,
    grid: ModelGrid,
    cover: np.ndarray,
    soil: Soil,
    elevation: np.ndarray,
    attributes: Mapping[str, str],
) -> None:
    """Writes the surface file; cells without land have bare, ordinary soil.

    Args:
        path: file.
        grid: model grid.
        cover: PFT cover of the land cells (n, 17), percent.
        soil: soils of the land cells.
        elevation: of the land cells (n), m.
        attributes: global attributes.
    """
    sizes = {"lsmlat": len(grid.lat), "lsmlon": len(grid.lon), "numurbl": _NUMURBL}
    sizes |= {"nlevsoi": NLEVDECOMP, "natpft": NATPFT}
    bare = np.zeros((NATPFT, 1))
    bare[0] = 100.0
    density = "kg/m3 (assumed carbon content 0.58 gC per gOM)"
    natural = "percent plant functional type on the natural veg landunit (% of landunit)"
    # Name, dimension before the plane, values of land cells and of the others, long name, units.
    fields: list[tuple[str, str | None, np.ndarray, object, str, str]] = [
        ("SOIL_COLOR", None, soil.color, 15, "soil color", "unitless"),
        ("SOIL_ORDER", None, soil.order, 0, "soil order", "unitless"),
        ("PCT_SAND", "nlevsoi", soil.sand, 43.0, "percent sand", "unitless"),
        ("PCT_CLAY", "nlevsoi", soil.clay, 18.0, "percent clay", "unitless"),
        ("ORGANIC", "nlevsoi", soil.organic, 0.0, "organic matter density at soil levels", density),
        ("FMAX", None, soil.fmax, 0.3, "maximum fractional saturated area", "unitless"),
        ("TOPO", None, elevation, 0.0, "mean elevation on land", "m"),
        ("SLOPE", None, 0.4 + 3.0e-3 * elevation, 0.0, "mean topographic slope", "degrees"),
        ("STD_ELEV", None, 5.0 + 0.12 * elevation, 0.0, "standard deviation of elevation", "m"),
        ("PCT_NAT_PFT", "natpft", cover.T, bare, natural, "unitless"),
    ]
    for name in SURFACE_P:
        fields.append((name, None, soil.phosphorus[name], 0.0, _PHOSPHORUS_NAMES[name], "gP/m2"))
    with create_dataset(path, "NETCDF3_64BIT_OFFSET") as dataset:
        for name, size in sizes.items():
            dataset.createDimension(name, size)
        _write_constants(dataset, grid)
        for name, level, values, off_land, long_name, units in fields:
            full = np.empty((*values.shape[:-1], grid.frac.size))
            full[...] = off_land
            full[..., grid.cell] = values
            full = full.reshape(*values.shape[:-1], *grid.frac.shape)
            kind = "i4" if values.dtype == np.int32 else "f8"
            dims = _PLANE if level is None else (level, *_PLANE)
            add_variable(dataset, name, kind, dims, full, long_name=long_name, units=units)
        dataset.setncatts(dict(attributes))


def _write_constants(dataset: netCDF4.Dataset, grid: ModelGrid) -> None:
    lat, lon = grid.centres
    area, urban = grid.area * EARTH_RADIUS_KM**2, np.zeros((_NUMURBL, *grid.frac.shape))
    fields: list[tuple[str, str, tuple[str, ...], object, str, str]] = [
        ("mxsoil_color", "i4", (), _MAX_SOIL_COLOR, "maximum numbers of soil colors", "unitless"),
        ("mxsoil_order", "i4", (), _MAX_SOIL_ORDER, "maximum numbers of soil order", "unitless"),
        ("natpft", "i4", ("natpft",), np.arange(NATPFT), "indices of natural PFTs", "index"),
        ("LONGXY", "f8", _PLANE, lon, "longitude", "degrees east"),
        ("LATIXY", "f8", _PLANE, lat, "latitude", "degrees north"),
        ("AREA", "f8", _PLANE, area, "area", "km^2"),
        ("LANDFRAC_PFT", "f8", _PLANE, grid.frac, "land fraction from pft dataset", "unitless"),
        ("PFTDATA_MASK", "i4", _PLANE, grid.mask, "land mask from pft dataset", "unitless"),
        ("PCT_NATVEG", "f8", _PLANE, 100.0, "total percent natural vegetation landunit", "unitless"),
        ("PCT_CROP", "f8", _PLANE, 0.0, "total percent crop landunit", "unitless"),
        ("PCT_WETLAND", "f8", _PLANE, 0.0, "percent wetland", "unitless"),
        ("PCT_LAKE", "f8", _PLANE, 0.0, "percent lake", "unitless"),
        ("PCT_GLACIER", "f8", _PLANE, 0.0, "percent glacier", "unitless"),
        ("PCT_URBAN", "f8", ("numurbl", *_PLANE), urban, "percent urban for each density type", "unitless"),
    ]
    for name, kind, dims, values, long_name, units in fields:
        if dims == _PLANE:
            values = np.broadcast_to(np.asarray(values), grid.frac.shape)
        add_variable(dataset, name, kind, dims, values, long_name=long_name, units=units)
