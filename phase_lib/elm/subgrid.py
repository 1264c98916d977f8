"""From grid cells to their soil column and patches, by index arrays and never by position."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import netCDF4
import numpy as np

from phase_lib.elm.blocks import INDEX_ROWS, Blocks, restart_fault
from phase_lib.elm.constants import NATPFT, PFT_WEIGHT_TOLERANCE
from phase_lib.elm.netcdf import get_variable


@dataclass(frozen=True)
class SoilColumns:
    """The soil columns of some cells: one of each cell, several where topounits divide it, or none.

    Attributes:
        cells: number of the cells.
        cell: which of the cells each column lies in, 0 to cells - 1, increasing (soil).
        column: row of each column (soil).
        share: of the natural vegetation's ground of the cell, sum 1 (soil).
        patch: row of each column's patch of each PFT (soil, natpft); -1 where it has none.
        cover: share of the column under each PFT (soil, natpft); 0 where it has none.
    """

    cells: int
    cell: np.ndarray
    column: np.ndarray
    share: np.ndarray
    patch: np.ndarray
    cover: np.ndarray

    @property
    def with_ground(self) -> np.ndarray:
        """True on columns that have ground, so count in the mean of their cell (soil)."""
        return self.share > 0.0

    @property
    def covered(self) -> np.ndarray:
        """True where a PFT covers ground (soil, natpft)."""
        return self.with_ground[:, None] & (self.cover > 0.0)

    def mean(self, values: np.ndarray) -> np.ndarray:
        """Means of the cells (cells, ...), by ground, of values of the columns (soil, ...).

        A cell with one column has the value itself, a cell without any NaN.
        """
        weight = self.share.reshape(-1, *[1] * (values.ndim - 1))
        return self._mean(values, np.broadcast_to(weight, values.shape))

    def patch_mean(self, values: np.ndarray) -> np.ndarray:
        """Means of the cells (cells, natpft), by ground under each PFT, of values of patches (soil, natpft).

        A cell with one column has the value itself, a PFT without cover NaN.
        """
        return self._mean(values, self.share[:, None] * self.cover)

    def _mean(self, values: np.ndarray, weight: np.ndarray) -> np.ndarray:
        whole = self._sum(weight)
        share = weight / np.where(whole > 0.0, whole, 1.0)[self.cell]
        total = self._sum(np.where(weight > 0.0, values, 0.0) * share)
        return np.where(whole > 0.0, total, np.nan)

    def _sum(self, values: np.ndarray) -> np.ndarray:
        if len(self.cell) == self.cells and np.array_equal(self.cell, np.arange(self.cells)):
            return values
        total = np.zeros((self.cells, *values.shape[1:]))
        np.add.at(total, self.cell, values)
        return total


@dataclass(frozen=True)
class Subgrid:
    """Where the natural vegetation's columns and patches of each cell lie in a restart (0-based rows).

    Attributes:
        lat, lon: cell centres (gridcell), degrees, longitude convention of the file.
        soil: the soil columns of all cells, in their order.
        cover: share of the natural vegetation's ground of a cell under each PFT (gridcell, natpft); 0 where
            it has none.
        unknown_cover: the same under PFTs other than 0 to 16 (gridcell).
        soil_fraction: share of the cell's land under natural vegetation (gridcell).
    """

    lat: np.ndarray
    lon: np.ndarray
    soil: SoilColumns
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
    def has_soil(self) -> np.ndarray:
        """True where a cell has a soil column (gridcell)."""
        return np.bincount(self.soil.cell, minlength=self.ncells) > 0

    @property
    def cover_known(self) -> np.ndarray:
        """True where the cover of a cell follows from its columns (gridcell).

        It does not where none of several columns has ground: a restart does not hold the areas of topounits.
        """
        columns = np.bincount(self.soil.cell, minlength=self.ncells)
        return (columns == 1) | (self.soil_fraction > 0.0)

    @property
    def natural_pfts(self) -> int:
        """PFTs that have a patch on the soil columns: 17, or 15 beside a crop landunit."""
        return int(np.count_nonzero(np.any(self.soil.patch >= 0, axis=0)))

    def soil_of(self, cells: np.ndarray) -> SoilColumns:
        """The soil columns of some cells (n, 0-based), in the order of these."""
        first = np.searchsorted(self.soil.cell, cells)
        counts = np.searchsorted(self.soil.cell, cells, side="right") - first
        cell = np.repeat(np.arange(len(cells)), counts)
        place = np.arange(len(cell)) - np.repeat(np.cumsum(counts) - counts, counts) + first[cell]
        soil = self.soil
        return SoilColumns(
            len(cells), cell, soil.column[place], soil.share[place], soil.patch[place], soil.cover[place]
        )


def read_subgrid(path: str | Path, dataset: netCDF4.Dataset) -> Subgrid:
    """Builds the inverted maps of a restart, block by block.

    Patches are keyed by PFT within the soil column. With a crop landunit the PFTs above the natural ones
    have no patch there (-1).

    Raises:
        InputError: coordinates or indices point nowhere or contradict each other, a topounit has several
            soil columns, or the patches of one do not make up the whole of it.
    """
    blocks = Blocks(path, dataset)
    on_file = blocks.columns(slice(0, blocks.ncolumns))
    columns = np.flatnonzero(on_file.soil)
    patch = np.full((len(columns), NATPFT), -1, dtype=np.int64)
    cover, unknown = np.zeros(patch.shape), np.zeros(len(columns))
    for block in blocks.of_patches(INDEX_ROWS, covered=False):
        at = np.searchsorted(columns, block.column)
        natural = block.natural
        place = at[natural], block.pft[natural]
        patch[place], cover[place] = block.start + block.rows[natural], block.wtcol[natural]
        strange = block.soil & ~natural
        np.add.at(unknown, at[strange], block.wtcol[strange])
    # By cell, then as on file, where topounits follow each other.
    order = np.argsort(on_file.cell[columns], kind="stable")
    columns = columns[order]
    cell = on_file.cell[columns].astype(np.int64)
    weight = _weights(path, dataset, columns, cell)
    fraction = np.bincount(cell, weight, minlength=blocks.ncells)
    # Where no column has weight, all of them count alike.
    equal = 1.0 / np.maximum(np.bincount(cell, minlength=blocks.ncells), 1)
    whole = fraction[cell]
    share = np.where(whole > 0.0, weight / np.where(whole > 0.0, whole, 1.0), equal[cell])
    soil = SoilColumns(blocks.ncells, cell, columns, share, patch[order], cover[order])
    pft_cover, unknown_cover = (_of_ground(soil, shares) for shares in (soil.cover, unknown[order]))
    return Subgrid(blocks.lat, blocks.lon, soil, pft_cover, unknown_cover, fraction)


def _of_ground(soil: SoilColumns, shares: np.ndarray) -> np.ndarray:
    """Shares of the ground of the cells from shares of their columns, 0 where there is no column."""
    present = np.bincount(soil.cell, minlength=soil.cells) > 0
    return np.where(present.reshape(-1, *[1] * (shares.ndim - 1)), soil.mean(shares), 0.0)


def _weights(path: str | Path, dataset: netCDF4.Dataset, columns: np.ndarray, cell: np.ndarray) -> np.ndarray:
    """Shares of soil columns in the land of their cells (soil)."""
    weight = np.asarray(get_variable(path, dataset, "cols1d_wtxy")[:], dtype=np.float64)[columns]
    wrong = ~((weight >= 0.0) & (weight <= 1.0 + 1.0e-6))
    if np.any(wrong):
        first = int(np.argmax(wrong))
        what = f"cols1d_wtxy: the soil column of cell {cell[first] + 1} has the weight {weight[first]:g}"
        raise restart_fault(path, what, expected="a share of the cell, 0 to 1")
    return weight


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
    cover: np.ndarray,
    pct_nat_pft: np.ndarray,
    known: np.ndarray | None = None,
    tolerance: float = PFT_WEIGHT_TOLERANCE,
) -> CoverDifference:
    """Compares the cover of a restart with the surface data, as ELM does on reading a restart.

    Args:
        cover: share of the soil column under each PFT (gridcell, natpft).
        pct_nat_pft: `PCT_NAT_PFT` of the same cells (gridcell, 15 or 17), %.
        known: True for cells that are compared (gridcell); all of them if None.
        tolerance: largest difference in share that ELM lets pass.
    """
    expected = np.zeros(cover.shape)
    expected[:, : pct_nat_pft.shape[1]] = pct_nat_pft[:, : cover.shape[1]] / 100.0
    difference = np.abs(cover - expected)
    if known is not None:
        difference[~known] = 0.0
    cell, pft = (int(i) for i in np.unravel_index(np.argmax(difference), difference.shape))
    cells = int(np.count_nonzero(np.any(~(difference <= tolerance), axis=1)))
    return CoverDifference(cells, cell, pft, float(cover[cell, pft]), float(expected[cell, pft]))
