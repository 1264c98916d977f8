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
#: More cells off any regular grid are averaged in boxes, as dots would hide each other.
_MOST_DOTS = 20_000
#: Least land around the cells of a raster, and around sites, which say little without it, degrees.
_LEAST_MARGIN, _SITE_MARGIN = 1.0, 10.0
#: More cells off any regular grid are no sites: they are drawn without outline.
_MOST_SITES = 1000
#: Two coordinates are one when they agree to this many digits (float32 files).
_DIGITS = 3


@dataclass(frozen=True)
class _Piece:
    """Cells of one grid.

    Attributes:
        cells: their rows (n).
        axes: centres of the rows and columns of the raster that holds them, or None where they are drawn
            as dots.
    """

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
    def of(cls, lat: np.ndarray, lon: np.ndarray, grid: np.ndarray | None = None) -> CellMap:
        """Lays cells out on a map, whatever their longitude convention.

        Args:
            lat, lon: cell centres (gridcell), degrees.
            grid: number of the grid that each cell belongs to (gridcell); one grid if None.
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
        """Draws values and the coastline.

        Args:
            ax: where to.
            values: (gridcell); NaN stays blank.
            cmap, norm: colours.
            codes: the values are codes: cells that share a box are not averaged, one of them is shown.

        Returns:
            What a colour bar needs.
        """
        drawn: Any = None
        for piece in self.pieces:
            lat, lon, here = self.lat[piece.cells], self.lon[piece.cells], values[piece.cells]
            if piece.axes is None:
                # Outlined, so that a dot in a colour near the paper's is seen too.
                edge: dict[str, Any] = {"edgecolors": "0.2", "linewidths": 0.6}
                size = 20.0 * np.clip(1000.0 / len(lat), 0.05, 3.0)
                drawn = ax.scatter(
                    lon,
                    lat,
                    c=here,
                    s=size,
                    marker="o",
                    cmap=cmap,
                    norm=norm,
                    zorder=3,
                    **(edge if len(lat) <= _MOST_SITES else {}),
                )
            else:
                rows, columns = piece.axes
                place = _position(rows, lat), _position(columns, lon)
                raster = np.full((len(rows), len(columns)), np.nan)
                if codes:
                    raster[place] = here
                else:
                    raster = _mean_in_boxes(*place, raster.shape, here)
                drawn = ax.pcolormesh(columns, rows, raster, cmap=cmap, norm=norm, shading="nearest")
        self._frame(ax)
        return drawn

    def _frame(self, ax: Axes) -> None:
        """Coastline, limits and axis labels."""
        west, east, south, north = self.extent
        x, y, land = _coast()
        ax.contour(x, y, land, levels=[50.0], colors="0.35", linewidths=0.5)
        ax.set_xlim(west, east)
        ax.set_ylim(south, north)
        ax.set_aspect(1.0 / max(0.3, float(np.cos(np.deg2rad(0.5 * (south + north))))))
        ax.set_xlabel("longitude (°E)")
        ax.set_ylabel("latitude (°N)")
        ax.set_facecolor("white")


def _raster_axes(lat: np.ndarray, lon: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Centres of the rows and columns of a raster for the cells, or None where they are drawn as dots.

    That of their own regular grid; of cells on none that are too many for dots, one of boxes that hold
    about four. Sites that happen to lie on a regular grid, but apart, are drawn as dots.
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
    """Mean of the values in each box of a raster, those that are NaN left out; NaN where there is none."""
    known = np.isfinite(values)
    box = np.ravel_multi_index((row[known], column[known]), shape)
    size = shape[0] * shape[1]
    count = np.bincount(box, minlength=size)
    total = np.bincount(box, values[known], minlength=size)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan).reshape(shape)


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


def _extent(lat: np.ndarray, lon: np.ndarray, least: float) -> tuple[float, float, float, float]:
    margin = max(least, 0.04 * max(np.ptp(lat), np.ptp(lon)))
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
    with Image.open(_LAND) as image:
        land = np.asarray(image)[::-1]
    rows, columns = land.shape
    lat = -90.0 + 180.0 / rows * (np.arange(rows) + 0.5)
    lon = -180.0 + 360.0 / columns * (np.arange(columns) + 0.5)
    return lon, lat, land
