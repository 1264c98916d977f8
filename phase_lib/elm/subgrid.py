"""From grid cells to their soil column and patches, by index arrays and never by position."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import netCDF4
import numpy as np

from phase_lib.base.errors import InputError
from phase_lib.elm.constants import COLUMN_SOIL, LANDUNIT_CROP, LANDUNIT_SOIL, NATPFT
from phase_lib.elm.netcdf import get_variable


@dataclass(frozen=True)
class Subgrid:
    """Where each cell's vegetated column and patches lie in a restart (0-based rows).

    Attributes:
        lat: cell latitudes (gridcell), degrees.
        lon: cell longitudes (gridcell), degrees, convention of the file.
        column: row of the soil column of each cell (gridcell).
        patch: row of each cell's patch of each PFT (gridcell, natpft); -1 where it has none.
        cover: share of the soil column under each PFT (gridcell, natpft); 0 where it has none.
        soil_fraction: share of the cell's land under the soil landunit (gridcell).
    """

    lat: np.ndarray
    lon: np.ndarray
    column: np.ndarray
    patch: np.ndarray
    cover: np.ndarray
    soil_fraction: np.ndarray

    @property
    def covered(self) -> np.ndarray:
        """True where a PFT covers ground (gridcell, natpft)."""
        return self.cover > 0.0

    @property
    def ncells(self) -> int:
        """Number of grid cells."""
        return len(self.lat)


def read_subgrid(path: str | Path, dataset: netCDF4.Dataset) -> Subgrid:
    """Builds the inverted maps of a restart.

    The soil column has landunit type 1 and column type 1; patches are keyed by PFT within that
    column. With a crop landunit the PFTs above the natural ones have no patch there (-1).

    Raises:
        InputError: a cell has no soil column or more than one, or a PFT appears twice in a column.
    """

    def values(name: str) -> np.ndarray:
        return np.asarray(get_variable(path, dataset, name)[:])

    lat, lon = values("grid1d_lat"), values("grid1d_lon")
    ncells = len(lat)
    column_rows = np.flatnonzero(
        (values("cols1d_ityplun") == LANDUNIT_SOIL) & (values("cols1d_ityp") == COLUMN_SOIL)
    )
    cell_of_column = values("cols1d_gridcell_index")[column_rows] - 1
    counts = np.bincount(cell_of_column, minlength=ncells)
    if len(counts) != ncells or np.any(counts != 1):
        bad = int(np.flatnonzero(counts[:ncells] != 1)[0]) if np.any(counts[:ncells] != 1) else ncells
        raise InputError(
            path,
            f"cols1d_ityp: cell {bad + 1} has {counts[bad]} soil columns",
            expected="one in every cell",
            remedy="use a restart with the natural vegetation landunit in every cell",
        )
    column = np.empty(ncells, dtype=np.int64)
    column[cell_of_column] = column_rows

    pft_column = values("pfts1d_column_index").astype(np.int64) - 1
    itypveg = values("pfts1d_itypveg").astype(np.int64)
    cell_by_column = np.full(int(dataset.dimensions["column"].size), -1, dtype=np.int64)
    cell_by_column[column] = np.arange(ncells)
    rows = np.flatnonzero((cell_by_column[pft_column] >= 0) & (itypveg < NATPFT))
    cells = cell_by_column[pft_column[rows]]
    patch = np.full((ncells, NATPFT), -1, dtype=np.int64)
    patch[cells, itypveg[rows]] = rows
    if np.count_nonzero(patch >= 0) != len(rows):
        raise InputError(path, "pfts1d_itypveg: a PFT appears twice on one soil column", expected="once")
    wtcol = values("pfts1d_wtcol")
    cover = np.where(patch >= 0, wtcol[np.maximum(patch, 0)], 0.0)
    return Subgrid(lat, lon, column, patch, cover, values("cols1d_wtxy")[column])


def bgc_columns(path: str | Path, dataset: netCDF4.Dataset) -> np.ndarray:
    """Rows of all columns on which ELM runs biogeochemistry: soil, and active crop columns.

    Crop columns without weight are on file too and hold stale values or fill.
    """
    landunit = np.asarray(get_variable(path, dataset, "cols1d_ityplun")[:])
    crop = landunit == LANDUNIT_CROP
    if "cols1d_active" in dataset.variables:
        crop &= np.asarray(dataset["cols1d_active"][:]) == 1
    return np.flatnonzero((landunit == LANDUNIT_SOIL) | crop)


def bgc_patches(path: str | Path, dataset: netCDF4.Dataset) -> np.ndarray:
    """Rows of all patches on the columns of `bgc_columns`, covered or not."""
    column = np.asarray(get_variable(path, dataset, "pfts1d_column_index")[:]).astype(np.int64) - 1
    runs = np.zeros(int(dataset.dimensions["column"].size), dtype=bool)
    runs[bgc_columns(path, dataset)] = True
    return np.flatnonzero(runs[column])
