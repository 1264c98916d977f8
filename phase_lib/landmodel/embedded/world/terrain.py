"""Elevation and continentality by rule.

No elevation data come with the packages, so the great mountain belts and plateaus are Gaussian humps; they
set surface pressure, slope and part of the temperature. Continentality follows from real distances to the
sea: half from the nearest coast, half from the coast upwind (west in the westerlies, east in the trades).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import map_coordinates
from scipy.spatial import KDTree

from phase_lib.elm.constants import EARTH_RADIUS_KM
from phase_lib.elm.matching import unit_vectors
from phase_lib.landmodel.embedded.world.geography import PER_DEGREE, Geography
from phase_lib.landmodel.embedded.world.noise import smooth_field

#: Mountain belts: centre latitude and longitude, half widths north-south and east-west (degrees), height (m).
_BELTS = np.array(
    [
        (33, 88, 4.0, 10, 4700),  # Tibet
        (37, 71, 3.0, 4, 3300),  # Pamir, Hindu Kush
        (42, 78, 2.0, 6, 2400),  # Tien Shan
        (47, 98, 4.0, 9, 1700),  # Altai, Mongolia
        (27, 102, 3.0, 4, 1900),  # Yunnan
        (32, 55, 5.0, 6, 1400),  # Iran
        (39, 38, 2.0, 6, 1300),  # Anatolia
        (42.5, 44, 1.2, 4, 1500),  # Caucasus
        (46.5, 10, 1.5, 4, 1400),  # Alps
        (64, 12, 4.0, 5, 600),  # Scandes
        (60, 59, 6.0, 1.5, 400),  # Ural
        (65, 140, 5.0, 12, 700),  # East Siberia
        (55, 120, 4.0, 12, 700),  # Stanovoy
        (9, 39, 4.0, 3, 2000),  # Ethiopia
        (-1, 35, 6.0, 3, 1300),  # East Africa
        (-27, 27, 5.0, 5, 1300),  # Highveld
        (-13, 17, 4.0, 4, 1200),  # Angola
        (32, -4, 1.5, 5, 1200),  # Atlas
        (21, 12, 3.0, 6, 700),  # Hoggar, Tibesti
        (19, 43, 4.0, 2, 1200),  # Arabia
        (15, 76, 4.0, 2, 500),  # Deccan
        (41, -109, 7.0, 5, 2000),  # Rocky Mountains
        (54, -121, 5.0, 4, 1100),  # Canadian Rockies
        (62, -145, 3.0, 10, 900),  # Alaska, Yukon
        (22, -102, 5.0, 3, 1900),  # Sierra Madre
        (37, -81, 3.0, 2, 500),  # Appalachians
        (2, -76, 5.0, 2, 1800),  # northern Andes
        (-17, -68, 6.0, 2.5, 3500),  # Altiplano
        (-32, -70, 6.0, 1.5, 2400),  # southern Andes
        (-18, -46, 5.0, 5, 700),  # Brazil
        (5, -63, 2.0, 4, 600),  # Guiana
        (73, -40, 8.0, 11, 2300),  # Greenland
        (80, -75, 3.0, 10, 700),  # Ellesmere
        (-5, 142, 1.5, 5, 1300),  # New Guinea
        (-33, 149, 5.0, 2, 500),  # Great Dividing Range
        (-43, 171, 2.0, 1.5, 800),  # Southern Alps
    ]
)
#: Distance at which continentality has risen to 63 %, km.
_INLAND_KM = 900.0
#: Raster on which distances are computed, samples per degree.
_DISTANCE_PER_DEGREE = 2


@dataclass(frozen=True)
class Terrain:
    """Relief and distance to the sea at points (n).

    Attributes:
        elevation: m.
        continentality: 0 at sea to 1 deep inland.
    """

    elevation: np.ndarray
    continentality: np.ndarray


def make_terrain(geography: Geography, lat: np.ndarray, lon: np.ndarray, seed: int) -> Terrain:
    """Relief and continentality at points (n), degrees."""
    inland = _continentality(geography, lat, lon)
    return Terrain(_elevation(lat, lon, inland, seed), inland)


def _elevation(lat: np.ndarray, lon: np.ndarray, inland: np.ndarray, seed: int) -> np.ndarray:
    height = 60.0 + 320.0 * inland + 90.0 * smooth_field(seed, "elevation", lat, lon, 500.0) * (0.3 + inland)
    for belt_lat, belt_lon, north, east, top in _BELTS:
        across = (lon - belt_lon + 180.0) % 360.0 - 180.0
        height = height + top * np.exp(-0.5 * (((lat - belt_lat) / north) ** 2 + (across / east) ** 2))
    return np.clip(height, 5.0, 5200.0)


def _continentality(geography: Geography, lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
    block = PER_DEGREE // _DISTANCE_PER_DEGREE
    rows, columns = (size // block for size in geography.land.shape)
    land = geography.land.reshape(rows, block, columns, block).mean(axis=(1, 3)) > 50.0
    row_lat = (np.arange(rows) + 0.5) / _DISTANCE_PER_DEGREE - 90.0
    column_lon = (np.arange(columns) + 0.5) / _DISTANCE_PER_DEGREE
    grid_lat, grid_lon = np.meshgrid(row_lat, column_lon, indexing="ij")
    points = unit_vectors(grid_lat[land], grid_lon[land])
    chord, _ = KDTree(unit_vectors(grid_lat[~land], grid_lon[~land])).query(points)
    coast = np.zeros(land.shape)
    coast[land] = 2.0 * EARTH_RADIUS_KM * np.arcsin(0.5 * chord)
    width_km = np.deg2rad(1.0 / _DISTANCE_PER_DEGREE) * EARTH_RADIUS_KM * np.cos(np.deg2rad(row_lat))[:, None]
    westerly = np.clip((np.abs(row_lat)[:, None] - 25.0) / 10.0, 0.0, 1.0)
    from_west, from_east = _run_length(land), _run_length(land[:, ::-1])[:, ::-1]
    upwind = width_km * (westerly * from_west + (1.0 - westerly) * from_east)
    inland = 1.0 - np.exp(-0.5 * (coast + np.minimum(upwind, 3000.0)) / _INLAND_KM)
    position = np.stack(
        [(lat + 90.0) * _DISTANCE_PER_DEGREE - 0.5, (lon % 360.0) * _DISTANCE_PER_DEGREE - 0.5]
    )
    # Repeat the first and last columns, so that interpolation crosses the date line.
    padded = np.concatenate([inland[:, -1:], inland, inland[:, :1]], axis=1)
    position[1] += 1.0
    return np.asarray(np.clip(map_coordinates(padded, position, order=1, mode="nearest"), 0.0, 1.0))


def _run_length(land: np.ndarray) -> np.ndarray:
    """Land samples since the last sea sample to the west, going round once before counting."""
    run = np.zeros(land.shape[0])
    length = np.zeros(land.shape)
    for _ in range(2):
        for column in range(land.shape[1]):
            run = np.where(land[:, column], run + 1.0, 0.0)
            length[:, column] = run
    return length
