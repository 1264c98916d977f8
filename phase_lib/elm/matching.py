"""Matching cells on the sphere, whatever the longitude convention."""

from __future__ import annotations

import numpy as np
from scipy.spatial import KDTree

from phase_lib.base.errors import InputError
from phase_lib.elm.constants import EARTH_RADIUS_KM

#: Two files describe the same cell when their centres are this close, km (1e-4 degrees is 11 m).
SAME_CELL_KM = 0.05


def unit_vectors(lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
    """Unit vectors (n, 3) of points given in degrees."""
    phi, lam = np.deg2rad(lat), np.deg2rad(lon)
    return np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)], axis=-1)


def nearest(
    lat: np.ndarray, lon: np.ndarray, source_lat: np.ndarray, source_lon: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Nearest source point of each point on the sphere.

    Args:
        lat, lon: points (n), degrees, any longitude convention.
        source_lat, source_lon: candidates (m), degrees.

    Returns:
        Index of the nearest candidate (n) and its great-circle distance in km (n).
    """
    if np.array_equal(lat, source_lat) and np.all((lon - source_lon) % 360.0 == 0.0):
        return np.arange(len(lat)), np.zeros(len(lat))
    chord, index = KDTree(unit_vectors(source_lat, source_lon)).query(unit_vectors(lat, lon))
    distance = 2.0 * EARTH_RADIUS_KM * np.arcsin(np.clip(0.5 * chord, 0.0, 1.0))
    return np.asarray(index), distance


class Partners:
    """The row of each cell in another file; it takes no memory where both have the same order.

    Args:
        row: row of each cell (gridcell).
    """

    def __init__(self, row: np.ndarray) -> None:
        same = np.array_equal(row, np.arange(len(row)))
        self._row = None if same else row.astype(np.int32)

    def rows(self, cell: np.ndarray) -> np.ndarray:
        """Rows of cells (n)."""
        return cell if self._row is None else self._row[cell]


def match_cells(
    lat: np.ndarray,
    lon: np.ndarray,
    source_lat: np.ndarray,
    source_lon: np.ndarray,
    *,
    file: object,
    limit_km: float = SAME_CELL_KM,
    what: str = "cells",
) -> tuple[np.ndarray, np.ndarray]:
    """Like `nearest`, but a point without a partner within the limit is an error.

    Args:
        file: file that the candidates came from, for the message.
        limit_km: largest distance accepted.
        what: what the candidates are, for the message.

    Raises:
        InputError: how many points have no partner, and how far the farthest is.
    """
    index, distance = nearest(lat, lon, source_lat, source_lon)
    lost = distance > limit_km
    if np.any(lost):
        worst = int(np.argmax(distance))
        raise InputError(
            str(file),
            f"{int(lost.sum())} of {len(lat)} cells have no partner among its {len(source_lat)} {what}; "
            f"the farthest, at lat {lat[worst]:.3f} lon {lon[worst]:.3f}, is {distance[worst]:.1f} km away",
            expected=f"at most {limit_km:g} km",
            remedy="use files of the same grid",
        )
    return index, distance
