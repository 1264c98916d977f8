"""Maps of cell values, with a coastline that needs no network."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, Normalize

from phase_lib.landmodel.embedded.world.geography import PER_DEGREE, read_geography

#: Spacing of the raster that the coastline is drawn from, degrees.
_COAST_STEP = 0.5
#: A grid is drawn as a raster when its full box has at most this many boxes per cell.
_SPARSEST = 12
#: Two coordinates are one when they agree to this many digits (float32 files).
_DIGITS = 3


@dataclass(frozen=True)
class CellMap:
    """Where the cells of a grid lie on a map.

    Attributes:
        lat, lon: cell centres, degrees, longitudes from -180 to 180 (gridcell).
        axes: centres of the rows and columns of the raster that holds them, or None where the cells
            lie on no regular grid and are drawn as points.
        extent: west, east, south, north of the map, degrees.
    """

    lat: np.ndarray
    lon: np.ndarray
    axes: tuple[np.ndarray, np.ndarray] | None
    extent: tuple[float, float, float, float]

    @classmethod
    def of(cls, lat: np.ndarray, lon: np.ndarray) -> CellMap:
        """Lays cells out on a map, whatever their longitude convention."""
        lat = np.round(np.asarray(lat, dtype=np.float64), _DIGITS)
        lon = np.round(np.mod(np.asarray(lon, dtype=np.float64) + 180.0, 360.0) - 180.0, _DIGITS)
        rows, columns = _regular_axis(lat), _regular_axis(lon)
        axes = None
        if rows is not None and columns is not None and len(rows) * len(columns) <= _SPARSEST * len(lat):
            axes = (rows, columns)
        return cls(lat, lon, axes, _extent(lat, lon))

    def draw(
        self, ax: Axes, values: np.ndarray, *, cmap: str | Colormap, norm: Normalize, coast: bool = True
    ) -> Any:
        """Draws values (gridcell); NaN stays blank. Returns what a colour bar needs."""
        if self.axes is None:
            size = 20.0 * np.clip(1000.0 / len(self.lat), 0.05, 3.0)
            drawn: Any = ax.scatter(self.lon, self.lat, c=values, s=size, marker="s", cmap=cmap, norm=norm)
        else:
            rows, columns = self.axes
            raster = np.full((len(rows), len(columns)), np.nan)
            raster[_position(rows, self.lat), _position(columns, self.lon)] = values
            drawn = ax.pcolormesh(columns, rows, raster, cmap=cmap, norm=norm, shading="nearest")
        self.frame(ax, coast=coast)
        return drawn

    def frame(self, ax: Axes, *, coast: bool = True) -> None:
        """Coastline, limits and axis labels."""
        west, east, south, north = self.extent
        if coast:
            x, y, land = _coast()
            ax.contour(x, y, land, levels=[50.0], colors="0.35", linewidths=0.5)
        ax.set_xlim(west, east)
        ax.set_ylim(south, north)
        ax.set_aspect(1.0 / max(0.3, float(np.cos(np.deg2rad(0.5 * (south + north))))))
        ax.set_xlabel("longitude (°E)")
        ax.set_ylabel("latitude (°N)")
        ax.set_facecolor("white")


def _regular_axis(values: np.ndarray) -> np.ndarray | None:
    """All centres of a regular axis that holds the values, or None where they fit no such axis."""
    found = np.unique(values)
    if len(found) == 1:
        return found
    step = float(np.diff(found).min())
    places = (found - found[0]) / step
    if np.any(np.abs(places - np.round(places)) > 0.05):
        return None
    axis: np.ndarray = found[0] + step * np.arange(round(float(places[-1])) + 1)
    return axis


def _position(axis: np.ndarray, values: np.ndarray) -> np.ndarray:
    if len(axis) == 1:
        return np.zeros(len(values), dtype=np.int64)
    position: np.ndarray = np.round((values - axis[0]) / (axis[1] - axis[0])).astype(np.int64)
    return position


def _extent(lat: np.ndarray, lon: np.ndarray) -> tuple[float, float, float, float]:
    margin = max(1.0, 0.04 * max(np.ptp(lat), np.ptp(lon)))
    if np.ptp(lon) > 270.0:
        return -180.0, 180.0, max(-90.0, float(lat.min()) - margin), min(90.0, float(lat.max()) + margin)
    return (
        max(-180.0, float(lon.min()) - margin),
        min(180.0, float(lon.max()) + margin),
        max(-90.0, float(lat.min()) - margin),
        min(90.0, float(lat.max()) + margin),
    )


@lru_cache(maxsize=1)
def _coast() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Longitudes from -180 to 180, latitudes, and percent of land on a raster of half a degree."""
    land = read_geography().land
    block = round(_COAST_STEP * PER_DEGREE)
    rows, columns = land.shape[0] // block, land.shape[1] // block
    coarse = land.reshape(rows, block, columns, block).mean(axis=(1, 3))
    coarse = np.roll(coarse, columns // 2, axis=1)
    lon = -180.0 + _COAST_STEP * (np.arange(columns) + 0.5)
    lat = -90.0 + _COAST_STEP * (np.arange(rows) + 0.5)
    return lon, lat, coarse
