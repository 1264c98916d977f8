"""The features of the network as a table, one row for each PFT of a cell or each of its layers.

For learners that take rows of numbers and no sequences. Forcing is its mean annual cycle. What the network
sees of other PFTs and layers is in their means: of pools per PFT by cover, of soil and texture by the
thickness of layers.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from phase_lib.dataset.layout import Layout
from phase_lib.dataset.loading import CellIndex, iterate_record_files
from phase_lib.elm.soil_grid import DZDECOMP, NLEVDECOMP

Level = Literal["patch", "layer"]


@dataclass(frozen=True)
class Rows:
    """Rows of some cells.

    Attributes:
        features: (row, feature), float32.
        there: True for the PFTs, or layers, that have a row (cell, entity); rows are in their order.
    """

    features: np.ndarray
    there: np.ndarray

    def on_cells(self, values: np.ndarray) -> np.ndarray:
        """Values (row, ...) as (cell, entity, ...), NaN where there is no row."""
        full = np.full((*self.there.shape, *values.shape[1:]), np.nan)
        full[self.there] = values
        return full


def read_rows(dataset_dir: Path, layout: Layout, cells: np.ndarray, index: CellIndex) -> dict[Level, Rows]:
    """Rows of some cells (a mask or positions), in dataset order, by level.

    Raises:
        InputError: a variable is missing.
    """
    names = [*layout.forcing, *layout.static, *layout.traits, *layout.state, *layout.soil, "cover"]
    pieces: dict[Level, list[Rows]] = {"patch": [], "layer": []}
    for _, values in iterate_record_files(dataset_dir, names, cells, index):
        for level, rows in _rows(layout, values).items():
            pieces[level].append(rows)
    return {
        level: Rows(
            np.concatenate([piece.features for piece in some]),
            np.concatenate([piece.there for piece in some]),
        )
        for level, some in pieces.items()
    }


def _rows(layout: Layout, values: dict[str, np.ndarray]) -> dict[Level, Rows]:
    cover = values["cover"]
    covered, cells = cover > 0.0, len(cover)
    state = np.stack([np.where(covered, values[name], 0.0) for name in layout.state], axis=-1)
    traits = np.stack([values[name] for name in layout.traits], axis=-1)
    layered = [name for name, dims in layout.static.items() if dims == ["levdecomp"]]
    soil = np.stack([values[name] for name in (*layered, *layout.soil)], axis=-1)
    single = [values[name] for name in layout.static if name not in layered]
    of_cell = [values[name].reshape(cells, -1, 12).mean(axis=1) for name in layout.forcing]
    of_cell += [column.reshape(cells, -1) for column in single]
    of_cell += [np.einsum("cp,cpv->cv", cover, state), np.einsum("l,clv->cv", DZDECOMP, soil)]
    whole = np.concatenate(of_cell, axis=1)
    of_pft = np.concatenate(
        [state, np.broadcast_to(traits, (cells, *traits.shape)), cover[..., None]], axis=-1
    )
    everywhere = np.ones((cells, NLEVDECOMP), dtype=bool)
    return {"patch": _table(whole, of_pft, covered), "layer": _table(whole, soil, everywhere)}


def _table(whole: np.ndarray, each: np.ndarray, there: np.ndarray) -> Rows:
    """Rows with features of the cell (cell, k), of the PFT or layer (cell, entity, k), and its number."""
    cell, entity = there.nonzero()
    features = np.concatenate([whole[cell], each[there], entity[:, None]], axis=1)
    return Rows(features.astype(np.float32), there)
