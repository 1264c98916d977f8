"""What the report says of the injected restart: what its counts compare with, and where its carbon lies."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import netCDF4
import numpy as np

from phase_lib.elm.matching import match_cells
from phase_lib.elm.netcdf import get_variable, open_dataset
from phase_lib.elm.soil_grid import DZDECOMP, NLEVDECOMP, ZISOI
from phase_lib.elm.subgrid import Subgrid, read_subgrid
from phase_lib.elm.variables import SOM

#: First of the deep layers, 1-based.
DEEP_FROM = 9
#: Depth of their top, m.
DEEP_TOP: float = float(ZISOI[DEEP_FROM - 1])
#: Columns read at a time: 40 MiB of a pool on 15 layers.
_COLUMNS = 1 << 18


@dataclass(frozen=True)
class InjectedState:
    """Numbers of an injected restart, cells in its order, carbon per m2 of the natural vegetation's ground.

    Attributes:
        lat, lon: of the cells (gridcell), degrees.
        patches: natural patches with plants that cover ground.
        layers: layers of the natural vegetation's columns.
        deep_share: share of the soil organic carbon in layers 9 and 10; None where there is none at all.
        soil_carbon: soil organic carbon (gridcell), kgC/m2.
        vegetation_carbon: `totvegc` (gridcell), kgC/m2; None where the restart does not hold it.
    """

    lat: np.ndarray
    lon: np.ndarray
    patches: int
    layers: int
    deep_share: float | None
    soil_carbon: np.ndarray
    vegetation_carbon: np.ndarray | None

    def total(self, rule: str) -> int:
        """How many values a rule of injection could have changed: layers of a pool, or patches."""
        return self.layers if rule.endswith("_vr") else self.patches


def read_injected(
    path: Path, lat: np.ndarray, lon: np.ndarray, land_area: np.ndarray, step: int = _COLUMNS
) -> InjectedState:
    """Reads the numbers from an injected restart.

    Args:
        path: the restart.
        lat, lon: of the land cells, in any order (cell), degrees.
        land_area: their land area (cell), in any unit.
        step: columns read at a time.

    Raises:
        InputError: the restart is incomplete, or has cells that are not among the land cells.
    """
    with open_dataset(path) as dataset:
        grid = read_subgrid(path, dataset)
        at, _ = match_cells(grid.lat, grid.lon, lat, lon, file=path, what="land cells")
        density = _soil_carbon(path, dataset, grid, step)
        vegetation = None
        if "totvegc" in dataset.variables:
            totvegc = np.asarray(get_variable(path, dataset, "totvegc", dims=("pft",))[:])
            of_pfts = grid.soil.patch_mean(totvegc[grid.soil.patch])
            vegetation = np.sum(np.where(grid.covered, of_pfts, 0.0) * grid.cover, axis=1) / 1000.0
    density = np.where(grid.has_soil[:, None], density, 0.0)
    layers = (land_area[at] * grid.soil_fraction) @ density
    total = float(layers.sum())
    return InjectedState(
        lat=grid.lat,
        lon=grid.lon,
        patches=int(np.count_nonzero(grid.soil.cover[:, 1:] > 0.0)),
        layers=len(grid.soil.column) * NLEVDECOMP,
        deep_share=float(layers[DEEP_FROM - 1 :].sum()) / total if total > 0.0 else None,
        soil_carbon=density.sum(axis=1) / 1000.0,
        vegetation_carbon=vegetation,
    )


def _soil_carbon(path: Path, dataset: netCDF4.Dataset, grid: Subgrid, step: int) -> np.ndarray:
    """Soil organic carbon of every layer (gridcell, levdecomp), gC/m2 of natural vegetation's ground."""
    pools = [get_variable(path, dataset, f"{pool}c_vr", dims=("column", "levgrnd")) for pool in SOM]
    soil = grid.soil
    carbon = np.empty((len(soil.column), NLEVDECOMP))
    place = np.full(pools[0].shape[0], -1, dtype=np.int64)
    place[soil.column] = np.arange(len(soil.column))
    for start in range(0, len(place), step):
        here = place[start : start + step]
        there = here >= 0
        carbon[here[there]] = sum(
            np.asarray(pool[start : start + step, :NLEVDECOMP])[there] * DZDECOMP for pool in pools
        )
    return soil.mean(carbon)
