"""The injected restart in the report: where its carbon lies, its base, and how ELM starts from it."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap
from typing import Any

import netCDF4
import numpy as np

from phase_lib.elm.constants import SPINUP_NORMAL
from phase_lib.elm.matching import match_cells
from phase_lib.elm.netcdf import get_variable, open_dataset
from phase_lib.elm.restart import restart_header
from phase_lib.elm.soil_budget import BUDGET_FIELDS, NITROGEN_INPUTS
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
#: Files of the target that a correction reads, by option of `phase inject`.
_FILES = {"--surface": "surface", "--params": "params", "--soil-params": "soil_params"}
#: Hours of a model year, ELM's unit of `hist_nhtfrq`.
_HOURS_PER_YEAR = 8760
_JUDGE = "phase equilibrium --history {}/*.elm.h1.*.nc --forcing-years {} --output verdict.json"
#: Characters in a line of a namelist.
_WIDTH = 100


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
    """How ELM starts from the injected restart, is corrected, and is judged; `base` is from `base_of`.

    Returns:
        `schedule` in words; lines for `user_nl_elm` (`namelist`, and `history` for what corrections and
        verdict read) and commands in the case directory (`case`) for the first start; `windows`, what follows
        each window (`_after_window`); the command that judges the last years (`judge`), and the same where
        ELM's short-term archive has moved the history (`judge_archived`).
    """
    cycle, windows = facts.forcing_years, facts.windows
    runs = [*windows, facts.stabilisation_years - sum(windows)]
    year, rest = int(base["date"][:4]), base["date"][4:]
    dates = [f"{year + sum(runs[:count]):04d}{rest}" for count in range(len(runs))]
    directory = restart.absolute().parent / "corrected"
    starts = [restart.absolute(), *(directory / f"{date}.elm.r.nc" for date in dates[1:])]
    namelist, case = _start(starts[0], dates[0], runs[0])
    # Windows that are a part of a cycle end where a mean ends too.
    interval = math.gcd(cycle, *windows)
    return {
        "schedule": _schedule(windows, runs[-1]),
        "namelist": [namelist, f"spinup_state = {SPINUP_NORMAL}", "suplphos = 'NONE'"],
        "history": _tapes(cycle, interval if windows else None),
        "case": [
            "./xmlchange ELM_FORCE_COLDSTART=off,RUN_TYPE=startup,CONTINUE_RUN=FALSE",
            case,
            f"./xmlchange REST_OPTION=nyears,REST_N={interval}",
        ],
        "windows": [_after_window(number, runs, dates, starts, facts) for number in range(len(windows))],
        "judge": _JUDGE.format("RUNDIR", cycle),
        "judge_archived": _JUDGE.format("DOUT_S_ROOT/lnd/hist", cycle),
    }


def _start(finidat: Path, date: str, years: int) -> tuple[str, str]:
    """Line for `user_nl_elm`, and command in the case directory, of a start."""
    return f"finidat = '{finidat}'", f"./xmlchange RUN_STARTDATE={date},STOP_OPTION=nyears,STOP_N={years}"


def _tapes(cycle: int, interval: int | None) -> list[str]:
    """Lines for `user_nl_elm` of the annual tape, and of that of means over `interval` years."""
    hours, samples = [0, -_HOURS_PER_YEAR], [1, cycle]
    lines = [_fincl(2, [field.name for field in FIELDS])]
    if interval is not None:
        lines.append(_fincl(3, [*BUDGET_FIELDS, *NITROGEN_INPUTS]))
        hours.append(-_HOURS_PER_YEAR * interval)
        samples.append(1)
    return [*lines, f"hist_nhtfrq = {_listed(hours)}", f"hist_mfilt = {_listed(samples)}"]


def _fincl(tape: int, names: Sequence[str]) -> str:
    rows = wrap(_listed([f"'{name}'" for name in names]), _WIDTH)
    return f"hist_fincl{tape} = " + "\n  ".join(rows)


def _listed(values: Sequence[object]) -> str:
    return ", ".join(map(str, values))


def _schedule(windows: Sequence[int], final: int) -> str:
    """The years to run, in words."""
    if not windows:
        return f"{final} years"
    same, several = len(set(windows)) == 1, len(windows) > 1
    lengths = f"{len(windows)} x {windows[0]}" if same and several else " + ".join(map(str, windows))
    each = ", each" if several else ""
    return f"{lengths} years{each} with a correction at its end, then {final} years that are judged"


def _after_window(
    number: int, runs: Sequence[int], dates: Sequence[str], starts: Sequence[Path], facts: RunFacts
) -> dict[str, Any]:
    """What follows a window.

    Args:
        number: of the window, from 0.
        runs: years of all windows and of what follows the last one.
        dates, starts: of each of them, and the restart that it starts from.
        facts: of the run.

    Returns:
        `end`, its date; the commands `correct` and `inject`; `namelist` and `case` of the next start.
    """
    years, date, corrected = runs[number], dates[number + 1], starts[number + 1]
    end, predictions = f"RUNDIR/CASE.elm.r.{date}-00000.nc", corrected.with_name(f"{date}.correction.nc")
    files = {option: shlex.quote(facts.files[key]) for option, key in _FILES.items()}
    # A balance of nitrogen compares whole cycles alone.
    whole = [length % facts.forcing_years == 0 for length in runs]
    correct = [
        f"phase correct --start {shlex.quote(str(starts[number]))} --end {end}",
        "--history RUNDIR/*.elm.h2.*.nc",
        f"--params {files['--params']} --forcing-years {facts.forcing_years}",
    ]
    correct += [] if whole[number] else ["--part-of-a-cycle"]
    if number and whole[number - 1] and whole[number]:
        before = corrected.with_name(f"{dates[number]}.correction.nc")
        correct.append(f"--before {shlex.quote(str(before))}")
    inject = [f"phase inject --restart {end}", *(f"{option} {path}" for option, path in files.items())]
    inject.append(f"--predictions {shlex.quote(str(predictions))}")
    namelist, case = _start(corrected, date, runs[number + 1])
    return {
        "years": years,
        "end": date,
        "correct": _command(correct, facts.correction, predictions),
        "inject": _command(inject, facts.injection, corrected),
        "namelist": namelist,
        "case": case,
    }


def _command(words: Sequence[str], settings: Mapping[str, Any], output: Path) -> str:
    """A command with settings that are not the default, and its output."""
    chosen = [f"--settings {shlex.quote(json.dumps(settings))}"] if settings else []
    return " \\\n  ".join([*words, *chosen, f"--output {shlex.quote(str(output))}"])
