"""A window of a run in normal mode: restarts at its ends, and the soil's mean carbon budget in between."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from phase_lib.base.errors import InputError
from phase_lib.elm.calendar import MONTH_STARTS
from phase_lib.elm.constants import DAYS_PER_YEAR, SECONDS_PER_YEAR, SPINUP_NORMAL
from phase_lib.elm.history import History
from phase_lib.elm.matching import match_cells
from phase_lib.elm.mixing import conductance
from phase_lib.elm.parameters import Parameters
from phase_lib.elm.restart import RestartHeader
from phase_lib.elm.soil_budget import (
    BUDGET_FIELDS,
    CONTENTS,
    MIXED,
    NITROGEN_INPUTS,
    OVER_ALL_COLUMNS,
    SOIL_FLUXES,
    mixing_field,
    respiration_field,
    transfer_field,
)
from phase_lib.elm.soil_grid import DZDECOMP
from phase_lib.elm.steady_state import Budget
from phase_lib.elm.subgrid import SoilColumns
from phase_lib.elm.variables import NITROGEN, SOIL_POOLS, TRANSITIONS, VARIABLES, WOODY_ORGANS
from phase_lib.equilibrium.nitrogen import NitrogenBalance
from phase_lib.fusion.sources import RestartSource, open_restart

_DAY = 1.0 / DAYS_PER_YEAR


@dataclass(frozen=True)
class End:
    """The state at one end of a window, by cell; NaN where a cell has no soil, or a PFT no cover.

    Attributes:
        path: restart.
        year: date in model years; 21.0 is the first of January of year 21.
        lat, lon: of the cells (gridcell), degrees.
        soil: carbon of the soil pools (pool, levdecomp, gridcell), gC m-3.
        wood: organ -> carbon (gridcell, natpft), gC m-2.
        cover: share of the natural vegetation's ground (gridcell, natpft).
        altmax: deepest thaw of this and the last year (gridcell), m.
        share: of the cell's land under natural vegetation (gridcell).
        nitrogen: of soil and plants (gridcell), gN m-2.
    """

    path: Path
    year: float
    lat: np.ndarray
    lon: np.ndarray
    soil: np.ndarray
    wood: dict[str, np.ndarray]
    cover: np.ndarray
    altmax: np.ndarray
    share: np.ndarray
    nitrogen: np.ndarray


@dataclass(frozen=True)
class Window:
    """A window of a run; arrays are by cell, in the order of the restarts of the dataset.

    Attributes:
        start, end: states at its ends.
        means: history field -> mean over the window (levdecomp, gridcell), in its own units, of the cell.
        nitrogen_inputs: mean of deposition and fixation (gridcell), gN m-2 yr-1; None where the history lacks
            them.
        nitrogen_missed: what it lacks, in words; empty where it lacks nothing.
    """

    start: End
    end: End
    means: Mapping[str, np.ndarray]
    nitrogen_inputs: np.ndarray | None
    nitrogen_missed: str = ""

    @property
    def years(self) -> float:
        """Length, years."""
        return self.end.year - self.start.year

    @property
    def middle(self) -> np.ndarray:
        """Mean of the states at the ends (pool, levdecomp, gridcell), gC m-3."""
        return 0.5 * (self.start.soil + self.end.soil)

    @property
    def nitrogen(self) -> NitrogenBalance | None:
        """Its balance of nitrogen; None where the history lacks the inputs."""
        if self.nitrogen_inputs is None:
            return None
        respired = np.sum([self.means[respiration_field(pool)] for pool in MIXED], axis=0)
        return NitrogenBalance(
            stock=0.5 * (self.start.nitrogen + self.end.nitrogen),
            inputs=self.nitrogen_inputs,
            change=(self.end.nitrogen - self.start.nitrogen) / self.years,
            decomposition=np.asarray(DZDECOMP @ respired * SECONDS_PER_YEAR),
        )

    def budget(self, cells: np.ndarray, parameters: Parameters) -> Budget:
        """The mean budget of the soil columns of some cells (n, positions)."""
        share = self.end.share[cells]

        def field(name: str) -> Tensor:
            values = self.means[name][:, cells].astype(np.float64)
            if name in OVER_ALL_COLUMNS:
                values /= share
            return torch.from_numpy(values * (SECONDS_PER_YEAR if name in SOIL_FLUXES else 1.0))

        def of_pools(field_of: Callable[[str], str]) -> Tensor:
            none = torch.zeros_like(state[0])
            names = (pool.name for pool in SOIL_POOLS)
            return torch.stack([field(field_of(name)) if name in MIXED else none for name in names])

        state = torch.stack([field(name) for name in CONTENTS])
        return Budget(
            state=state,
            change=torch.from_numpy((self.end.soil - self.start.soil)[..., cells] / self.years),
            transfers=torch.stack([field(transfer_field(*link)) for link in TRANSITIONS]),
            respired=of_pools(respiration_field),
            mixed=of_pools(mixing_field),
            conductance=conductance(torch.from_numpy(self.end.altmax[cells]), parameters),
        )


def read_window(start: str | Path, end: str | Path, history: Sequence[str | Path], cycle: int = 1) -> Window:
    """Reads a window of a run in normal mode.

    Args:
        start, end: restarts at its ends.
        history: files of one tape, whose samples cover all of the window; others are left out.
        cycle: years of which the window must be a multiple: the forcing cycle, as other years have another
            climate, or 1, as a restart holds the season.

    Raises:
        InputError: a restart is in AD or of other cells, the end is not after the start, or not whole cycles
            after it, the history does not cover the time between them, has a sample across one of its ends,
            lacks a field, or holds fill where there is soil. Inputs of nitrogen may be missing, or fill on
            all soil.
    """
    with open_restart(end, spinup_state=SPINUP_NORMAL) as source:
        last = _read_end(source)
    with open_restart(start, (last.lat, last.lon), spinup_state=SPINUP_NORMAL) as source:
        first = _read_end(source)
    if first.year >= last.year:
        what, remedy = f"its date is year {first.year:.2f}", "give the restarts in the order of their dates"
        raise InputError(start, what, expected=f"one before that of {end}, {last.year:.2f}", remedy=remedy)
    years = last.year - first.year
    if abs(years - cycle * round(years / cycle)) > 1.0e-6:
        units = "years" if cycle == 1 else f"forcing cycles of {cycle} years"
        remedy = "give other restarts" if cycle == 1 else "give other restarts, or --part-of-a-cycle"
        raise InputError(end, f"the window has {years:.6g} years", expected=f"whole {units}", remedy=remedy)
    tape = History(history)
    return Window(first, last, _read_means(tape, first, last), *_read_nitrogen(tape, first, last))


def _read_end(source: RestartSource) -> End:
    everywhere = slice(None)
    soil = source.soil(everywhere)
    subgrid, row = source.subgrid, source.row
    layers = [soil.mean(source.layers(pool.variable("c"), soil)[0]).T for pool in SOIL_POOLS]
    thaw = np.maximum(*(soil.mean(source.column(name, soil)) for name in ("altmax", "altmax_lastyear")))
    if np.any(bad := source.has_soil(everywhere) & ~np.isfinite(thaw)):
        cell = int(np.argmax(bad))
        place = f"lat {subgrid.lat[row][cell]:.3f} lon {subgrid.lon[row][cell]:.3f}"
        what = f"variable altmax or altmax_lastyear is fill or NaN on the soil at {place}"
        raise InputError(source.path, what, expected="a depth, m", remedy="use the restart as ELM wrote it")
    return End(
        path=source.path,
        year=_year_of(source.header),
        lat=subgrid.lat[row],
        lon=subgrid.lon[row],
        soil=np.stack(layers),
        wood={f"{organ}c": soil.patch_mean(source.patch(f"{organ}c", soil)) for organ in WOODY_ORGANS},
        cover=source.cover(everywhere),
        altmax=thaw,
        share=subgrid.soil_fraction[row],
        nitrogen=_nitrogen(source, soil),
    )


def _nitrogen(source: RestartSource, soil: SoilColumns) -> np.ndarray:
    """All nitrogen of soil and plants (gridcell), gN m-2; NaN where a cell has no soil."""
    stock = np.zeros(len(soil.column))
    for name in NITROGEN:
        if VARIABLES[name].level == "layer":
            stock += source.layers(name, soil)[0] @ DZDECOMP
        elif source.has(name):
            stock += np.where(soil.covered, source.patch(name, soil) * soil.cover, 0.0).sum(axis=1)
    return soil.mean(stock)


def _year_of(header: RestartHeader) -> float:
    return header.year + float(MONTH_STARTS[header.month - 1] + header.day - 1) / DAYS_PER_YEAR


def _read_nitrogen(history: History, first: End, last: End) -> tuple[np.ndarray | None, str]:
    """Mean of all `NITROGEN_INPUTS` over a window (gridcell), gN m-2 yr-1, or None and what is missing."""
    if missing := [name for name in NITROGEN_INPUTS if name not in history.variables]:
        return None, f"the history has no {' and no '.join(missing)}"
    means = history.means(NITROGEN_INPUTS, first.year, last.year, holes=True)
    row, soil = _row_of(history, last), last.share > 0.0
    for name, values in means.items():
        if np.isnan(values[row][soil]).all():
            return None, f"{name} of the history is fill on all soil"
        if np.any(bad := soil & ~(values[row] >= 0.0)):
            cell = int(np.argmax(bad))
            place = f"lat {last.lat[cell]:.3f} lon {last.lon[cell]:.3f}"
            what = f"variable {name} is fill, NaN or negative at {place}"
            raise InputError(history.paths[0], what, expected="0 or more on soil", remedy="check the run")
    return np.asarray(sum(values[row] for values in means.values()) * SECONDS_PER_YEAR), ""


def _row_of(history: History, end: End) -> np.ndarray:
    """Row of each cell of a restart among the land cells of a history."""
    grid, place = history.grid, (end.lat, end.lon)
    path = history.paths[0]
    return match_cells(*place, grid.lat, grid.lon, file=path, what="cells of the history")[0]


def _read_means(history: History, first: End, last: End) -> dict[str, np.ndarray]:
    """Means over a window of all `BUDGET_FIELDS` (levdecomp, gridcell), float32 as on file."""
    path = history.paths[0]
    missing = [name for name in BUDGET_FIELDS if name not in history.variables]
    if missing:
        what = f"{missing[0]} is missing, of the fields that a correction needs {len(missing)}"
        remedy = f"run the window with hist_fincl: {', '.join(missing)}"
        raise InputError(path, what, expected="the carbon budget of the soil pools", remedy=remedy)
    history.check(BUDGET_FIELDS)
    start, end = history.start + history.origin, history.end + history.origin
    for edge in (first.year, last.year):
        across = (start < edge - _DAY) & (end > edge + _DAY)
        if np.any(across):
            sample = int(np.argmax(across))
            span = f"{start[sample]:.2f} to {end[sample]:.2f}"
            what = f"time_bounds: the mean over years {span} does not end at {edge:.2f}, as the window does"
            remedy = "give restarts at the ends of means, or a finer history"
            raise InputError(history.sample_paths[sample], what, remedy=remedy)
    row = _row_of(history, last)
    means: dict[str, np.ndarray] = {}
    for name, values in history.layer_means(BUDGET_FIELDS, row, first.year, last.year):
        _refuse_no_budget(path, name, values, last)
        means[name] = values
    return means


def _refuse_no_budget(path: Path, name: str, values: np.ndarray, end: End) -> None:
    """Refuses holes where there is soil, negative contents and losses, and a field without any pattern.

    Args:
        path, name: file and field, for the message.
        values: means (levdecomp, gridcell).
        end: of the window.
    """
    soil, least = end.share > 0.0, -np.inf if name in map(mixing_field, MIXED) else 0.0
    bad = soil & ~(values >= least)
    if np.any(bad):
        layer, cell = (int(first) for first in np.argwhere(bad)[0])
        what = f"variable {name} is {'negative' if values[layer, cell] < 0.0 else 'fill or NaN'}"
        place = f"at lat {end.lat[cell]:.3f} lon {end.lon[cell]:.3f} layer {layer + 1}"
        expected = "numbers where there is soil" if np.isinf(least) else "0 or more where there is soil"
        raise InputError(path, f"{what} {place}", expected=expected, remedy="check the run")
    if np.ptp(values[:, soil]) == 0.0:
        what, remedy = f"variable {name} is {values[0, soil][0]:g} everywhere", "give the history of a run"
        raise InputError(path, what, expected="values that differ between layers and cells", remedy=remedy)
