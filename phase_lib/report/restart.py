"""What the report says of the injected restart: what its counts compare with, and where its carbon lies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from phase_lib.elm.matching import match_cells
from phase_lib.elm.netcdf import get_variable, open_dataset
from phase_lib.elm.pools import SOM
from phase_lib.elm.soil_grid import DZDECOMP, NLEVDECOMP, ZISOI
from phase_lib.elm.subgrid import read_subgrid

#: First of the deep layers, 1-based.
DEEP_FROM = 9
#: Depth of their top, m.
DEEP_TOP: float = float(ZISOI[DEEP_FROM - 1])


@dataclass(frozen=True)
class InjectedState:
    """Numbers of an injected restart.

    Attributes:
        patches: natural patches with plants that cover ground.
        layers: layers of the natural vegetation's columns.
        deep_share: share of the soil organic carbon in layers 9 and 10; None where there is none at all.
    """

    patches: int
    layers: int
    deep_share: float | None

    def total(self, rule: str) -> int:
        """How many values a rule of injection could have changed: layers of a pool, or patches."""
        return self.layers if rule.endswith("_vr") else self.patches


def read_injected(path: Path, cells: Mapping[str, np.ndarray]) -> InjectedState:
    """Reads the numbers from an injected restart.

    Args:
        path: the restart.
        cells: lat, lon, area and landfrac of the land cells, in any order (gridcell).

    Raises:
        InputError: the restart is incomplete, or has cells that are not among the land cells.
    """
    with open_dataset(path) as dataset:
        grid = read_subgrid(path, dataset)
        at, _ = match_cells(grid.lat, grid.lon, cells["lat"], cells["lon"], file=path, what="land cells")
        weight = (cells["area"] * cells["landfrac"])[at] * grid.soil_fraction
        layers = np.zeros(NLEVDECOMP)
        for pool in SOM:
            values = np.asarray(get_variable(path, dataset, f"{pool}c_vr")[:, :NLEVDECOMP])
            layers += weight @ values[grid.column] * DZDECOMP
    total = float(layers.sum())
    return InjectedState(
        patches=int(grid.covered[:, 1:].sum()),
        layers=grid.ncells * NLEVDECOMP,
        deep_share=float(layers[DEEP_FROM - 1 :].sum()) / total if total > 0.0 else None,
    )
