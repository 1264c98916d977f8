"""From grid cells to their soil column and patches, by index arrays and never by position."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import netCDF4
import numpy as np

from phase_lib.base.errors import InputError
from phase_lib.elm.constants import (
    COLUMN_SOIL,
    LANDUNIT_CROP,
    LANDUNIT_SOIL,
    NATPFT,
    PFT_WEIGHT_TOLERANCE,
)
from phase_lib.elm.coordinates import check_coordinates
from phase_lib.elm.netcdf import get_variable

#: A restart whose patch weights miss 1 by more is not read. ELM asks for much less, which an audit tells.
_READABLE_WEIGHT_SUM = 1.0e-6


@dataclass(frozen=True)
class Subgrid:
    """Where each cell's vegetated column and patches lie in a restart (0-based rows).

    Attributes:
        lat: cell latitudes (gridcell), degrees.
        lon: cell longitudes (gridcell), degrees, convention of the file.
        column: row of the soil column of each cell (gridcell).
        patch: row of each cell's patch of each PFT (gridcell, natpft); -1 where it has none.
        cover: share of the soil column under each PFT (gridcell, natpft); 0 where it has none.
        unknown_cover: share of the soil column under PFTs other than 0 to 16 (gridcell).
        soil_fraction: share of the cell's land under the soil landunit (gridcell).
    """

    lat: np.ndarray
    lon: np.ndarray
    column: np.ndarray
    patch: np.ndarray
    cover: np.ndarray
    unknown_cover: np.ndarray
    soil_fraction: np.ndarray

    @property
    def covered(self) -> np.ndarray:
        """True where a PFT covers ground (gridcell, natpft)."""
        return self.cover > 0.0

    @property
    def ncells(self) -> int:
        """Number of grid cells."""
        return len(self.lat)

    @property
    def natural_pfts(self) -> int:
        """PFTs that have a patch on the soil columns: 17, or 15 beside a crop landunit."""
        return int(np.count_nonzero(np.any(self.patch >= 0, axis=0)))


def read_subgrid(path: str | Path, dataset: netCDF4.Dataset) -> Subgrid:
    """Builds the inverted maps of a restart.

    The soil column has landunit type 1 and column type 1; patches are keyed by PFT within that
    column. With a crop landunit the PFTs above the natural ones have no patch there (-1).

    Raises:
        InputError: coordinates or indices point nowhere or contradict each other, a cell has no soil
            column or more than one, or the patches of one do not make up the whole of it.
    """
    lat, lon = (_values(path, dataset, name) for name in ("grid1d_lat", "grid1d_lon"))
    check_coordinates(path, lat, lon, ("grid1d_lat", "grid1d_lon"))
    cell_of_column = _rows(path, dataset, "cols1d_gridcell_index", "gridcell")
    column_of_patch = _rows(path, dataset, "pfts1d_column_index", "column")
    _refuse_strangers(path, dataset, cell_of_column, column_of_patch)
    column = _soil_columns(path, dataset, cell_of_column)

    cell_by_column = np.full(len(cell_of_column), -1, dtype=np.int64)
    cell_by_column[column] = np.arange(len(lat))
    rows = np.flatnonzero(cell_by_column[column_of_patch] >= 0)
    cells = cell_by_column[column_of_patch[rows]]
    itypveg = _values(path, dataset, "pfts1d_itypveg")[rows]
    wtcol = np.asarray(_values(path, dataset, "pfts1d_wtcol")[rows], dtype=np.float64)
    _refuse_partial_cover(path, cells, wtcol, len(lat))

    known = (itypveg >= 0) & (itypveg < NATPFT)
    patch = np.full((len(lat), NATPFT), -1, dtype=np.int64)
    patch[cells[known], itypveg[known]] = rows[known]
    if np.count_nonzero(patch >= 0) != np.count_nonzero(known):
        raise InputError(path, "pfts1d_itypveg: a PFT appears twice on one soil column", expected="once")
    cover = np.zeros(patch.shape)
    cover[cells[known], itypveg[known]] = wtcol[known]
    unknown = np.bincount(cells[~known], wtcol[~known], minlength=len(lat))
    return Subgrid(
        lat, lon, column, patch, cover, unknown, _values(path, dataset, "cols1d_wtxy").astype(float)[column]
    )


def _values(path: str | Path, dataset: netCDF4.Dataset, name: str) -> np.ndarray:
    return np.asarray(get_variable(path, dataset, name)[:])


def _rows(path: str | Path, dataset: netCDF4.Dataset, name: str, dimension: str) -> np.ndarray:
    """A 1-based index variable as 0-based rows of the dimension that it points into."""
    index, size = _values(path, dataset, name), dataset.dimensions[dimension].size
    wrong = (index < 1) | (index > size)
    if np.any(wrong):
        first = int(np.argmax(wrong))
        raise InputError(
            path,
            f"{name}: {np.count_nonzero(wrong)} entries point nowhere, first entry {first + 1} "
            f"with {index[first]}",
            expected=f"1 to {size}, the rows of dimension {dimension}",
            remedy="the restart is damaged: use another copy",
        )
    return index - 1


def _refuse_strangers(
    path: str | Path, dataset: netCDF4.Dataset, cell_of_column: np.ndarray, column_of_patch: np.ndarray
) -> None:
    """Refuses patches whose column lies in another cell than they do."""
    name = "pfts1d_gridcell_index"
    if name not in dataset.variables:
        return
    cell = _rows(path, dataset, name, "gridcell")
    strange = cell_of_column[column_of_patch] != cell
    if np.any(strange):
        first = int(np.argmax(strange))
        raise InputError(
            path,
            f"pfts1d_column_index: patch {first + 1} of cell {cell[first] + 1} lies on column "
            f"{column_of_patch[first] + 1} of cell {cell_of_column[column_of_patch[first]] + 1}",
            expected=f"the cell of {name}",
            remedy="the restart is damaged: use another copy",
        )


def _soil_columns(path: str | Path, dataset: netCDF4.Dataset, cell_of_column: np.ndarray) -> np.ndarray:
    """Row of the one soil column of each cell (gridcell)."""
    soil = np.flatnonzero(
        (_values(path, dataset, "cols1d_ityplun") == LANDUNIT_SOIL)
        & (_values(path, dataset, "cols1d_ityp") == COLUMN_SOIL)
    )
    ncells = dataset.dimensions["gridcell"].size
    counts = np.bincount(cell_of_column[soil], minlength=ncells)
    if np.any(counts != 1):
        bad = int(np.argmax(counts != 1))
        topounits = dataset.dimensions["topounit"].size if "topounit" in dataset.dimensions else ncells
        split = counts[bad] > 1 and topounits > ncells
        raise InputError(
            path,
            f"cols1d_ityp: cell {bad + 1} has {counts[bad]} soil columns"
            + (f", as {topounits} topounits divide the {ncells} cells" if split else ""),
            expected="one in every cell",
            remedy="run ELM with one topounit for each cell"
            if split
            else "use a restart with the natural vegetation landunit in every cell",
        )
    column = np.empty(ncells, dtype=np.int64)
    column[cell_of_column[soil]] = soil
    return column


def _refuse_partial_cover(path: str | Path, cells: np.ndarray, wtcol: np.ndarray, ncells: int) -> None:
    total = np.bincount(cells, wtcol, minlength=ncells)
    wrong = ~(np.abs(total - 1.0) <= _READABLE_WEIGHT_SUM)
    if np.any(wrong):
        cell = int(np.argmax(wrong))
        raise InputError(
            path,
            f"pfts1d_wtcol: the patches on the soil column of cell {cell + 1} sum to {total[cell]:.9g}; "
            f"{np.count_nonzero(wrong)} such cells",
            expected=f"1 within {_READABLE_WEIGHT_SUM:g}",
            remedy="use the restart as ELM wrote it",
        )


def bgc_columns(path: str | Path, dataset: netCDF4.Dataset) -> np.ndarray:
    """Rows of all columns on which ELM runs biogeochemistry: soil, and active crop columns.

    Crop columns without weight are on file too and hold stale values or fill.
    """
    landunit = _values(path, dataset, "cols1d_ityplun")
    crop = landunit == LANDUNIT_CROP
    if "cols1d_active" in dataset.variables:
        crop &= np.asarray(dataset["cols1d_active"][:]) == 1
    return np.flatnonzero((landunit == LANDUNIT_SOIL) | crop)


def bgc_patches(path: str | Path, dataset: netCDF4.Dataset) -> np.ndarray:
    """Rows of all patches on the columns of `bgc_columns`, covered or not."""
    column = _values(path, dataset, "pfts1d_column_index").astype(np.int64) - 1
    runs = np.zeros(int(dataset.dimensions["column"].size), dtype=bool)
    runs[bgc_columns(path, dataset)] = True
    return np.flatnonzero(runs[column])


@dataclass(frozen=True)
class CoverDifference:
    """How far the cover of two files is apart.

    Attributes:
        cells: cells in which a PFT differs by more than ELM tolerates.
        cell: the cell that differs most (0-based).
        pft: its PFT.
        cover: that PFT's share of the soil column in the restart.
        expected: its share in the other file.
    """

    cells: int
    cell: int
    pft: int
    cover: float
    expected: float


def compare_cover(
    cover: np.ndarray, pct_nat_pft: np.ndarray, tolerance: float = PFT_WEIGHT_TOLERANCE
) -> CoverDifference:
    """Compares the cover of a restart with the surface data, as ELM does on reading a restart.

    Args:
        cover: share of the soil column under each PFT (gridcell, natpft).
        pct_nat_pft: `PCT_NAT_PFT` of the same cells (gridcell, 15 or 17), %.
        tolerance: largest difference in share that ELM lets pass.
    """
    expected = np.zeros(cover.shape)
    expected[:, : pct_nat_pft.shape[1]] = pct_nat_pft[:, : cover.shape[1]] / 100.0
    difference = np.abs(cover - expected)
    cell, pft = (int(i) for i in np.unravel_index(np.argmax(difference), difference.shape))
    return CoverDifference(
        int(np.count_nonzero(np.any(~(difference <= tolerance), axis=1))),
        cell,
        pft,
        float(cover[cell, pft]),
        float(expected[cell, pft]),
    )
