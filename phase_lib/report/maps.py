"""Maps of cell values, with a coastline that needs no network."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, Normalize
from PIL import Image

#: Percent of land on a raster of half a degree, rows from north to south, columns from 180 west: means of the
#: GLOBE land mask of NOAA (1/120 degree), as the package `global_land_mask` has it; large lakes are water.
_LAND = Path(__file__).with_name("land.png")
#: A grid is drawn as a raster when its full box has at most this many boxes per cell.
_SPARSEST = 12
#: If more cells lie on no regular grid, they are averaged in boxes, as dots would hide each other.
_MOST_DOTS = 20_000
#: Least margin around the cells of a raster, and around sites, which need a coast to be placed, degrees.
_LEAST_MARGIN, _SITE_MARGIN = 1.0, 10.0
#: If more cells lie on no regular grid, they are not sites: they are drawn without outline.
_MOST_SITES = 1000
#: Coordinates are equal when they agree to this many digits (float32 files).
_DIGITS = 3


@dataclass(frozen=True)
class _Piece:
    """Rows of the cells of one grid; centres of the rows and columns of their raster, None for dots."""

    cells: np.ndarray
    axes: tuple[np.ndarray, np.ndarray] | None


@dataclass(frozen=True)
class CellMap:
    """Where the cells of one or several grids lie on a map.

    Attributes:
        lat, lon: cell centres, degrees, longitudes from -180 to 180 (gridcell).
        pieces: the cells of each grid.
        extent: west, east, south, north of the map, degrees.
    """

    lat: np.ndarray
    lon: np.ndarray
    pieces: tuple[_Piece, ...]
    extent: tuple[float, float, float, float]

    @classmethod
    def from_cells(cls, lat: np.ndarray, lon: np.ndarray, grid: np.ndarray | None = None) -> CellMap:
        """Places cells (gridcell, degrees) on a map, whatever their longitude convention.

        Args:
            lat, lon: cell centres (gridcell), degrees.
            grid: number of the grid of each cell (gridcell); one grid if None.
        """
        lat = np.round(np.asarray(lat, dtype=np.float64), _DIGITS)
        lon = np.round(np.mod(np.asarray(lon, dtype=np.float64) + 180.0, 360.0) - 180.0, _DIGITS)
        number = np.zeros(len(lat), dtype=np.int64) if grid is None else grid
        members = [np.flatnonzero(number == one) for one in np.unique(number)]
        pieces = tuple(_Piece(cells, _raster_axes(lat[cells], lon[cells])) for cells in members)
        sites = len(lat) <= _MOST_SITES and all(piece.axes is None for piece in pieces)
        least = _SITE_MARGIN if sites else _LEAST_MARGIN
        return cls(lat, lon, pieces, _extent(lat, lon, least))

    def draw(
        self, ax: Axes, values: np.ndarray, *, cmap: str | Colormap, norm: Normalize, codes: bool = False
    ) -> Any:
        """Draws values (gridcell), NaN blank, and the coastline; returns what a colour bar needs.

        Where values are `codes`, one of the cells that share a box is shown, not their mean.
        """
        drawn: Any = None
        for piece in self.pieces:
            lat, lon, here = self.lat[piece.cells], self.lon[piece.cells], values[piece.cells]
            if piece.axes is None:
                # Outlined, so that a dot in a colour near that of the background is visible too.
                edge: dict[str, Any] = {"edgecolors": "0.2", "linewidths": 0.6}
                style = dict(edge) if len(lat) <= _MOST_SITES else {}
                size = 20.0 * np.clip(1000.0 / len(lat), 0.05, 3.0)
                style |= {"s": size, "c": here, "zorder": 3}
                drawn = ax.scatter(lon, lat, marker="o", cmap=cmap, norm=norm, **style)
            else:
                rows, columns = piece.axes
                place = _position(rows, lat), _position(columns, lon)
                raster = np.full((len(rows), len(columns)), np.nan)
                if codes:
                    raster[place] = here
                else:
                    raster = _mean_in_boxes(*place, raster.shape, here)
                drawn = ax.pcolormesh(columns, rows, raster, cmap=cmap, norm=norm, shading="nearest")
        west, east, south, north = self.extent
        x, y, land = _coast()
        ax.contour(x, y, land, levels=[50.0], colors="0.35", linewidths=0.5)
        aspect = 1.0 / max(0.3, float(np.cos(np.deg2rad(0.5 * (south + north)))))
        ax.set(xlim=(west, east), ylim=(south, north), aspect=aspect, facecolor="white")
        ax.set(xlabel="longitude (°E)", ylabel="latitude (°N)")
        return drawn


def _raster_axes(lat: np.ndarray, lon: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Centres of the rows and columns of a raster for the cells, or None where they are drawn as dots.

    The raster is the regular grid of the cells. Cells on no regular grid are drawn as dots or, if there are
    too many, in boxes of about four. Sites that lie apart are drawn as dots, even on a regular grid.
    """
    rows, columns = _regular_axis(lat), _regular_axis(lon)
    if (
        rows is not None
        and columns is not None
        and min(len(rows), len(columns)) > 1
        and len(rows) * len(columns) <= _SPARSEST * len(lat)
        and _mostly_adjacent(_position(rows, lat), _position(columns, lon))
    ):
        return rows, columns
    if len(lat) <= _MOST_DOTS:
        return None
    edge = 2.0 * float(np.sqrt(np.ptp(lat) * np.ptp(lon) / len(lat)))
    return np.arange(lat.min(), lat.max() + edge, edge), np.arange(lon.min(), lon.max() + edge, edge)


def _mostly_adjacent(row: np.ndarray, column: np.ndarray) -> bool:
    """True where at least half the cells share a side with another one."""
    taken = np.zeros((row.max() + 3, column.max() + 3), dtype=bool)
    taken[row + 1, column + 1] = True
    beside = sum(taken[row + 1 + up, column + 1 + right] for up, right in ((-1, 0), (1, 0), (0, -1), (0, 1)))
    return bool(np.mean(beside > 0) >= 0.5)


def _mean_in_boxes(
    row: np.ndarray, column: np.ndarray, shape: tuple[int, int], values: np.ndarray
) -> np.ndarray:
    """Mean of the values that are not NaN in each box of a raster; NaN where there is none."""
    known = np.isfinite(values)
    box, size = np.ravel_multi_index((row[known], column[known]), shape), shape[0] * shape[1]
    count, total = np.bincount(box, minlength=size), np.bincount(box, values[known], minlength=size)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan).reshape(shape)


def _regular_axis(values: np.ndarray) -> np.ndarray | None:
    """All centres of a regular axis that holds the values, or None where they fit no such axis."""
    distinct = np.unique(values)
    if len(distinct) == 1:
        return distinct
    step = float(np.diff(distinct).min())
    places = (distinct - distinct[0]) / step
    if np.any(np.abs(places - np.round(places)) > 0.05):
        return None
    axis: np.ndarray = distinct[0] + step * np.arange(round(float(places[-1])) + 1)
    return axis


def _position(axis: np.ndarray, values: np.ndarray) -> np.ndarray:
    if len(axis) == 1:
        return np.zeros(len(values), dtype=np.int64)
    position: np.ndarray = np.round((values - axis[0]) / (axis[1] - axis[0])).astype(np.int64)
    return position


def _extent(lat: np.ndarray, lon: np.ndarray, least: float) -> tuple[float, float, float, float]:
    margin = max(least, 0.04 * max(np.ptp(lat), np.ptp(lon)))
    south, north = max(-90.0, float(lat.min()) - margin), min(90.0, float(lat.max()) + margin)
    if np.ptp(lon) > 270.0:
        return -180.0, 180.0, south, north
    return max(-180.0, float(lon.min()) - margin), min(180.0, float(lon.max()) + margin), south, north


@lru_cache(maxsize=1)
def _coast() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Longitudes from -180 to 180, latitudes, and percent of land on a raster of half a degree."""
    with Image.open(_LAND) as image:
        land = np.asarray(image)[::-1]
    rows, columns = land.shape
    lat = -90.0 + 180.0 / rows * (np.arange(rows) + 0.5)
    lon = -180.0 + 360.0 / columns * (np.arange(columns) + 0.5)
    return lon, lat, land
