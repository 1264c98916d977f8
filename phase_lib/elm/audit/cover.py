"""Cover: weights and PFT numbers of patches, types of columns, and the surface file."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from phase_lib.base.errors import InputError
from phase_lib.elm.audit.audited import Audited, Tally
from phase_lib.elm.audit.check import LAYOUT, RUN, SOURCE, Fault, Places, check
from phase_lib.elm.blocks import Block, add_by_place, ranges
from phase_lib.elm.constants import (
    COLUMN_SOIL,
    LANDUNIT_SOIL,
    NATPFT,
    PFT_WEIGHT_TOLERANCE,
    WEIGHT_SUM_TOLERANCE,
)
from phase_lib.elm.surface import Fields
from phase_lib.elm.surface_content import refuse_fractions

#: Cover of a PFT, with what ELM tolerates, percent.
_MOST_PERCENT = 100.0 * (1.0 + PFT_WEIGHT_TOLERANCE)


@check("weight-impossible", "index", "error", LAYOUT, "is not a share of the column", "0 to 1")
def weight_impossible(audited: Audited, block: Block) -> Iterator[Fault]:
    """ELM uses the weights of the restart. Take those of the restart that ELM wrote."""
    share = block.wtcol
    bad = ~np.isfinite(share) | (share < 0.0) | (share > 1.0 + WEIGHT_SUM_TOLERANCE)
    yield Fault("pfts1d_wtcol", share, bad)


@check("pft-not-natural", "index", "error", LAYOUT,
    "is not a natural PFT but covers ground of a soil column", f"0 to {NATPFT - 1}")  # fmt: skip
def pft_not_natural(audited: Audited, block: Block) -> Iterator[Fault]:
    """ELM has no such plant there. The index variable is damaged: use another copy."""
    yield Fault("pfts1d_itypveg", block.pft, block.soil & ~block.natural & (block.wtcol > 0.0))


class WeightSums(Tally):
    """Sum of the patch weights of each column: `total` (column)."""

    stages = ("index",)

    def __init__(self, audited: Audited) -> None:
        self.total = np.zeros(audited.grid.ncolumns)

    def add(self, block: Block) -> None:
        """Adds a block of patches."""
        add_by_place(self.total, block.column, block.wtcol)


@check("weights-sum", "end", "error", RUN,
    "patch weights of a column do not sum to 1", f"1 within {WEIGHT_SUM_TOLERANCE:g}")  # fmt: skip
def weights_sum(audited: Audited) -> Iterator[Fault]:
    """ELM aborts ("total PFT weight"), as after a copy in single precision. Keep double precision."""
    for rows in ranges(audited.grid.ncolumns, audited.block_rows.patches):
        columns, sums = audited.grid.columns(rows), audited.seen(WeightSums).total[rows]
        off = columns.counts & ~(np.abs(sums - 1.0) <= WEIGHT_SUM_TOLERANCE)
        yield Fault("pfts1d_wtcol", sums, off, quantity="sum", rows=columns.cell)


def _surface_cover(audited: Audited) -> Fields | None:
    return audited.map("PCT_NAT_PFT")


@check("cover-differs", "index", "error", SOURCE, "differs from PCT_NAT_PFT of the surface file")
def cover_differs(audited: Audited, block: Block) -> Iterator[Fault]:
    """ELM compares the two on reading and aborts. Give the surface file of the run that wrote the restart.

    Limit: {PFT_WEIGHT_TOLERANCE:g} of the natural vegetation; in cells that topounits divide, of the mean.
    """
    fields = audited.seen(_surface_cover)
    if fields is None:
        return
    first = int(block.cell.min())
    percent = fields.read("PCT_NAT_PFT", np.arange(first, int(block.cell.max()) + 1))
    used = np.zeros(len(percent), dtype=bool)
    used[block.cell - first] = True  # other cells of the file may hold anything
    _refuse_no_percentages(audited, percent, used, first)
    cover = _cover_of_cells(audited, block) if audited.grid.divided else block.wtcol
    compared = block.natural & (block.pft < percent.shape[1]) & ~np.isnan(cover)
    right = percent[block.cell - first, np.where(compared, block.pft, 0)] / 100.0
    off = compared & ~(np.abs(cover - right) <= PFT_WEIGHT_TOLERANCE)
    yield Fault("pfts1d_wtcol", cover, off, expected=right)


def _refuse_no_percentages(audited: Audited, percent: np.ndarray, used: np.ndarray, first: int) -> None:
    assert audited.surface is not None
    unsound = used & ~np.all((percent >= 0.0) & (percent <= _MOST_PERCENT), axis=1)
    if np.any(unsound):
        what = f"variable PCT_NAT_PFT holds no percentages in cell {first + int(np.argmax(unsound)) + 1}"
        raise InputError(audited.surface, what, expected="0 to 100", remedy="repair the surface data")
    refuse_fractions(audited.surface, ["PCT_NAT_PFT"], float(percent[used].sum(axis=1).max()))


def _cover_of_cells(audited: Audited, block: Block) -> np.ndarray:
    """Share of the natural vegetation's ground of its cell under the PFT of each patch (row).

    NaN where no column of the cell has ground: the areas of topounits are not in a restart.
    """
    low = int(block.column.min())
    weight = np.asarray(audited.variables["cols1d_wtxy"][low : int(block.column.max()) + 1])
    ground = np.where(block.natural, weight[block.column - low] * block.wtcol, 0.0)
    cell = block.cell - block.cell.min()
    of_pft = cell.astype(np.int64) * NATPFT + np.where(block.natural, block.pft, 0)
    whole = np.bincount(cell, ground)[cell]
    return np.bincount(of_pft, ground)[of_pft] / np.where(whole > 0.0, whole, np.nan)


@check("column-type", "file", "error", LAYOUT,
    "has another type than that of its landunit",
    f"{COLUMN_SOIL} in landunits of natural vegetation")  # fmt: skip
def column_type(audited: Audited) -> Iterator[Fault]:
    """ELM treats the column as another surface. The index variable is damaged: use another copy."""
    for rows in ranges(audited.grid.ncolumns, audited.block_rows.patches):
        kind = np.asarray(audited.variables["cols1d_ityp"][rows])
        natural = np.asarray(audited.variables["cols1d_ityplun"][rows]) == LANDUNIT_SOIL
        cell = audited.grid.columns(rows).cell
        yield Fault("cols1d_ityp", kind, natural & (kind != COLUMN_SOIL), rows=cell)


@check("no-natural-column", "file", "note", LAYOUT,
    "no column is of natural vegetation: nothing is predicted there")  # fmt: skip
def no_natural_column(audited: Audited) -> Iterator[Fault]:
    """All of the cell is lake, ice, town or crops. Nothing has to be done."""
    natural = np.zeros(audited.grid.ncells, dtype=bool)
    for rows in ranges(audited.grid.ncolumns, audited.block_rows.patches):
        columns = audited.grid.columns(rows)
        natural[columns.cell[columns.soil]] = True
    without = Places()
    without.add(~natural, np.arange(len(natural)), np.full(len(natural), np.nan))
    yield Fault("cols1d_ityp", places=without)
