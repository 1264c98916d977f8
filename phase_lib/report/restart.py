"""The injected restart in the report: where its carbon lies, its base, and how ELM starts from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np

from phase_lib.elm.constants import SPINUP_NORMAL
from phase_lib.elm.matching import match_cells
from phase_lib.elm.netcdf import get_variable, open_dataset
from phase_lib.elm.restart import restart_header
from phase_lib.elm.soil_grid import DZDECOMP, NLEVDECOMP, ZISOI
from phase_lib.elm.subgrid import Subgrid, read_subgrid
from phase_lib.elm.variables import SOM
from phase_lib.equilibrium.criteria import FIELDS
from phase_lib.report.products import RunFacts

#: First of the deep layers, 1-based.
DEEP_FROM = 9
#: Depth of their top, m.
DEEP_TOP: float = float(ZISOI[DEEP_FROM - 1])
#: Columns read at a time: 40 MiB of a pool on 15 layers.
_COLUMNS = 1 << 18
#: Stock of the summary -> the restart variable of which it is the total. The column total of coarse woody
#: debris is not in all restarts.
STOCKS = {"totsomc_pgc": "totsomc", "totvegc_pgc": "totvegc", "cwdc_pgc": "cwdc_vr"}
#: Hours of a model year, ELM's unit of `hist_nhtfrq`.
_HOURS_PER_YEAR = 8760
_JUDGE = "phase equilibrium --history {}/*.elm.h1.*.nc --forcing-years {} --output verdict.json"
#: Names in a line of a namelist.
_NAMES_PER_LINE = 6


@dataclass(frozen=True)
class InjectedState:
    """Numbers of an injected restart, cells in its order, carbon per m2 of naturally vegetated ground.

    Attributes:
        lat, lon: of the cells (gridcell), degrees.
        patches: natural patches with plants that cover ground.
        layers: layers of the columns with natural vegetation.
        deep_share: share of the soil organic carbon in layers 9 and 10; None where there is none at all.
        soil_carbon: soil organic carbon (gridcell), kgC/m2.
        vegetation_carbon: `totvegc` (gridcell), kgC/m2; None where the restart does not have it.
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
    """Soil organic carbon of each layer (gridcell, levdecomp), gC/m2 of naturally vegetated ground."""
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


def base_of(diff: Mapping[str, Any], restart: Path) -> dict[str, Any]:
    """The base restart, from the sidecar and the date of the injected restart, which is that of the base.

    Raises:
        InputError: there is no injected restart, or it has no date.
    """
    with open_dataset(restart) as dataset:
        header = restart_header(restart, dataset)
    return {
        "restart": diff["base"]["path"],
        "sha256": diff["base"]["sha256"],
        "date": header.date,
        "spinup_state": diff["conversion"]["from_spinup_state"],
    }


def stocks_of_restart(diff: Mapping[str, Any]) -> dict[str, Any]:
    """Carbon of the base and of the injected restart, from the sidecar.

    These are states of one instant, not means of a forcing cycle. Slow soil pools and dead wood of an AD
    base are in AD space, `spinup_state` 1: its totals do not compare with those in normal mode.
    """
    changed = diff["variables_changed"]
    before, after = (
        {stock: changed.get(variable, {}).get(when) for stock, variable in STOCKS.items()}
        for when in ("before", "after")
    )
    return {
        "base": {**before, "spinup_state": diff["conversion"]["from_spinup_state"]},
        "injected": {**after, "spinup_state": SPINUP_NORMAL},
    }


def next_steps(restart: Path, base: Mapping[str, Any], facts: RunFacts) -> dict[str, Any]:
    """How ELM starts from the injected restart, and how its run is judged; `base` is from `base_of`.

    Returns:
        Lines for `user_nl_elm` (`namelist`, and `history` for what the verdict reads), commands in the
        case directory (`case`), the command that judges the run (`judge`), and the same where ELM's
        short-term archive has moved the history (`judge_archived`).
    """
    names, cycle = [f"'{field.name}'" for field in FIELDS], facts.forcing_years
    rows = [", ".join(names[i : i + _NAMES_PER_LINE]) for i in range(0, len(names), _NAMES_PER_LINE)]
    return {
        "namelist": [
            f"finidat = '{restart.absolute()}'",
            f"spinup_state = {SPINUP_NORMAL}",
            "suplphos = 'NONE'",
        ],
        "history": [
            "hist_fincl2 = " + ",\n  ".join(rows),
            f"hist_nhtfrq = 0, -{_HOURS_PER_YEAR}",
            f"hist_mfilt = 1, {cycle}",
        ],
        "case": [
            "./xmlchange ELM_FORCE_COLDSTART=off,RUN_TYPE=startup,CONTINUE_RUN=FALSE",
            f"./xmlchange RUN_STARTDATE={base['date']}",
            f"./xmlchange STOP_OPTION=nyears,STOP_N={facts.stabilisation_years}",
            f"./xmlchange REST_OPTION=nyears,REST_N={cycle}",
        ],
        "judge": _JUDGE.format("RUNDIR", cycle),
        "judge_archived": _JUDGE.format("DOUT_S_ROOT/lnd/hist", cycle),
    }
