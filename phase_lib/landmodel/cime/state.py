"""Carbon of the cells as a restart holds it, and as ELM has read it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from phase_lib.base.errors import ModelAbort
from phase_lib.elm.blocks import Blocks, add_by_place
from phase_lib.elm.constants import FILL_THRESHOLD
from phase_lib.elm.history_cells import read_land_cells
from phase_lib.elm.history_header import read_samples
from phase_lib.elm.matching import match_cells
from phase_lib.elm.netcdf import get_variable, open_dataset, open_with_rows
from phase_lib.elm.soil_grid import column_stock
from phase_lib.elm.variables import SOIL_POOLS, SOM, TOTVEGC_POOLS
from phase_lib.landmodel.cime.history import STATE_FIELDS

#: Largest relative difference; real ELM shows less than 5e-5 where it reads a state as it is.
TOLERANCE = 1.0e-3
#: Differences count relative to this where there is less, gC/m^2.
_LEAST = 1.0
#: Rows of a restart that are in memory together, and the longest first step, days.
_ROWS, _STEP_DAYS = 1 << 17, 0.125


def totals(path: Path) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Carbon of plants and soil of each cell, as ELM sums them.

    Args:
        path: restart in normal mode.

    Returns:
        Latitude and longitude, degrees (gridcell), and TOTVEGC and TOTSOMC, gC/m^2 of the cell (gridcell).
    """
    with open_with_rows(path) as (dataset, rows):
        blocks = Blocks(path, dataset, rows)
        soil, plants = np.zeros(blocks.ncells), np.zeros(blocks.ncells)
        pools = [pool.variable("c") for pool in SOIL_POOLS if pool.name in SOM]
        for block in blocks.of_columns(_ROWS):
            weight = np.asarray(block.read(rows["cols1d_wtxy"]), dtype=np.float64)
            layers = sum(np.asarray(block.read(rows[name]), dtype=np.float64) for name in pools)
            add_by_place(soil, block.cell, weight * column_stock(np.asarray(layers)))
        for block in blocks.of_patches(_ROWS):
            weight = np.asarray(block.read(rows["pfts1d_wtxy"]), dtype=np.float64)
            values = sum(np.asarray(block.read(rows[name]), dtype=np.float64) for name in TOTVEGC_POOLS)
            add_by_place(plants, block.cell, weight * np.asarray(values))
        return blocks.lat, blocks.lon, dict(zip(STATE_FIELDS, (plants, soil), strict=True))


def require_as_read(restart: Path, files: Sequence[Path]) -> None:
    """Refuses a run whose first state is not that of the restart it was started from.

    Args:
        restart: in normal mode.
        files: of the tape of snapshots of the run.

    Raises:
        ModelAbort: there is no sample of the first step, or ELM has changed the carbon of a cell.
    """
    lat, lon, of_restart = totals(restart)
    for path in files:
        with open_dataset(path) as dataset:
            samples = read_samples(path, dataset)
            first = np.flatnonzero(samples.bounds[:, 1] <= _STEP_DAYS)
            if len(first) == 0:
                continue
            grid = read_land_cells(path, dataset)
            cell, _ = match_cells(lat, lon, grid.lat, grid.lon, file=path)
            for name, values in of_restart.items():
                row = np.asarray(
                    get_variable(path, dataset, name)[samples.number[first[0]]], dtype=np.float64
                )
                _compare(restart, name, values, row.reshape(-1)[grid.row[cell]], lat, lon)
            return
    raise ModelAbort(
        f"{restart}: the run wrote no sample of the state that it has read; run the segment again"
    )


def _compare(
    restart: Path, name: str, of_restart: np.ndarray, read: np.ndarray, lat: np.ndarray, lon: np.ndarray
) -> None:
    known = np.abs(read) < FILL_THRESHOLD
    apart = np.where(known, np.abs(read - of_restart), 0.0) / np.maximum(of_restart, _LEAST)
    worst = int(np.argmax(apart))
    if not apart[worst] <= TOLERANCE:
        place, count = f"lat {lat[worst]:.3f} lon {lon[worst]:.3f}", np.count_nonzero(~(apart <= TOLERANCE))
        raise ModelAbort(
            f"{restart}: {name} at {place} is {of_restart[worst]:.6g} gC/m2, ELM read {read[worst]:.6g} and "
            f"so converted or replaced something, in {count} cells; expected the same within {TOLERANCE:g}"
        )
