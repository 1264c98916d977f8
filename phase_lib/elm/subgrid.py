"""From grid cells to their soil column and patches, by index arrays and never by position."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import netCDF4
import numpy as np

from phase_lib.base.errors import InputError
from phase_lib.elm.blocks import INDEX_ROWS, Blocks
from phase_lib.elm.constants import NATPFT, PFT_WEIGHT_TOLERANCE
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
    """Builds the inverted maps of a restart, block by block.

    Patches are keyed by PFT within the soil column. With a crop landunit the PFTs above the natural ones
    have no patch there (-1).

    Raises:
        InputError: coordinates or indices point nowhere or contradict each other, a cell has no soil
            column or more than one, or the patches of one do not make up the whole of it.
    """
    blocks = Blocks(path, dataset)
    patch = np.full((blocks.ncells, NATPFT), -1, dtype=np.int64)
    cover, unknown = np.zeros(patch.shape), np.zeros(blocks.ncells)
    for block in blocks.of_patches(INDEX_ROWS, covered=False):
        natural = block.natural
        place = block.cell[natural], block.pft[natural]
        patch[place], cover[place] = block.start + block.rows[natural], block.wtcol[natural]
        strange = block.soil & ~natural
        np.add.at(unknown, block.cell[strange], block.wtcol[strange])
    weight = np.asarray(get_variable(path, dataset, "cols1d_wtxy")[:], dtype=np.float64)
    column = blocks.soil_columns
    wrong = ~((weight[column] >= 0.0) & (weight[column] <= 1.0 + 1.0e-6))
    if np.any(wrong):
        cell = int(np.argmax(wrong))
        raise InputError(
            path,
            f"cols1d_wtxy: the soil column of cell {cell + 1} has the weight {weight[column[cell]]:g}",
            expected="a share of the cell, 0 to 1",
            remedy="use the restart as ELM wrote it",
        )
    return Subgrid(blocks.lat, blocks.lon, column, patch, cover, unknown, weight[column])


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
