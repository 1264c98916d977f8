"""A semi-analytic correction: slow pools of a run as its own rates of some years say where they lead.

The result is an ordinary predictions file for `phase inject`, which brings N and P along and audits the
restart. Coarse woody debris, soil3 and soil4 move to the steady state of the soil column; dead wood moves to
where its growth in the window ends, and the input of coarse woody debris with it. From the second window of
a run on, all of them also move to where nitrogen is in balance. What the rates do not tell stays as it is in
the run's last restart, for a reason that is counted.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr

from phase_lib.base.errors import InputError
from phase_lib.base.files import matching_files, refuse_as_output, require_file, sha256_in_background
from phase_lib.base.progress import LOGGER
from phase_lib.config.correction import CorrectionSettings
from phase_lib.elm.matching import match_cells
from phase_lib.elm.parameters import Parameters, read_parameters
from phase_lib.elm.products import (
    cell_coordinates,
    flags,
    layer_coordinates,
    open_product,
    pft_coordinates,
    variable,
    write_product,
)
from phase_lib.elm.soil_grid import DZDECOMP
from phase_lib.elm.steady_state import steady_state
from phase_lib.elm.variables import DEAD_WOOD, SOIL_POOL_INDEX, SOIL_POOLS, VARIABLES
from phase_lib.equilibrium.account import account_of
from phase_lib.equilibrium.nitrogen import ON_FILE as BALANCE
from phase_lib.equilibrium.nitrogen import NitrogenBalance, response, size_factor
from phase_lib.equilibrium.window import Window, read_window
from phase_lib.fusion.sources import without_fill

#: Pools that are corrected; the others follow within years by themselves.
CORRECTED = ("cwd", "soil3", "soil4")
#: Cells that are solved together.
CELLS_AT_A_TIME = 1 << 14
#: Contents of a cell in the history may differ so much (ln) from those of its soil column in the restarts.
_OTHER_SOIL = 0.05
#: Part of the loss of a pool of SOM that its budget may leave open, and how much counts as nothing, gC m-2
#: yr-1. Rounding of a history leaves 1e-5; columns of crops or another weight leave several percent.
_UNEXPLAINED, _LITTLE = 0.01, 0.01
_SOM = slice(SOIL_POOL_INDEX["soil1"], SOIL_POOL_INDEX["soil4"] + 1)
#: Why something stays as it is, or does not take the whole way.
TURNOVER, NEGATIVE, BOUNDED = "turnover_too_slow", "no_positive_steady_state", "bounded"
WHOLE = "corrected"


@dataclass(frozen=True)
class PoolCorrection:
    """How one variable is corrected.

    Attributes:
        values: corrected (gridcell, level); as in the last restart where they stay.
        size: of the corrections, |ln| of the ratio to the last restart; NaN where nothing is corrected.
        counts: decision -> number of layers or patches.
    """

    values: np.ndarray
    size: np.ndarray
    counts: dict[str, int]

    @property
    def median(self) -> float | None:
        """Median size, without a unit; None where nothing is corrected."""
        return float(np.nanmedian(self.size)) if np.any(np.isfinite(self.size)) else None


def correct(
    start: str | Path,
    end: str | Path,
    history: Sequence[str | Path],
    params: str | Path,
    output: str | Path,
    settings: CorrectionSettings,
    forcing_years: int,
    *,
    before: str | Path | None = None,
    part_of_a_cycle: bool = False,
) -> dict[str, Any]:
    """Writes the predictions file of a correction, for the restart at the end of a window.

    Args:
        start, end: restarts in normal mode at the ends of the window.
        history: files of one tape with the fields of `elm.soil_budget`, which cover the window, or patterns.
        params: parameter file of the run.
        output: predictions file to write.
        settings: bounds.
        forcing_years: length of the forcing cycle.
        before: correction of the window before, whose balance of nitrogen shows how losses respond. Where one
            of the two windows has no inputs of nitrogen, nitrogen stays as it is, with a warning.
        part_of_a_cycle: accept a window that is no whole number of cycles.

    Returns:
        The account: of each variable the decisions and the size of the corrections.

    Raises:
        InputError: the files are not those of a window in normal mode, the window is no whole cycle, or
            `before` is of another run or window.
    """
    tapes = matching_files(history)
    single = [start, end, params] if before is None else [start, end, params, before]
    files = [*map(require_file, single), *tapes]
    refuse_as_output([output], files)
    with sha256_in_background(*files) as hashes:
        parameters = read_parameters(params)
        window = read_window(start, end, tapes, 1 if part_of_a_cycle else forcing_years)
        cells = _cells_of_soil(window, parameters, tapes[0])
        slow = _slow(window, parameters, settings, cells)
        balance = window.nitrogen
        factor, nitrogen = _nitrogen(window, balance, before, settings, cells)
        moves = corrections_of(window, parameters, settings, cells, slow, factor)
        account = {
            "start_year": window.start.year,
            "end_year": window.end.year,
            "cells": int(cells.sum()),
            "cells_left_alone": int(np.count_nonzero(_has_soil(window) & ~cells)),
            "nitrogen": nitrogen,
            "variables": {name: {**move.counts, "median_size": move.median} for name, move in moves.items()},
            "settings": settings.model_dump(),
        }
        inputs = [{"path": str(p), "sha256": h} for p, h in zip(files, hashes(), strict=True)]
        attributes = {
            "title": "Semi-analytic correction of a run in normal mode",
            "label_space": "normal",
            "inputs": json.dumps(inputs),
            "correction": json.dumps(account),
        }
        write_product(output, xr.Dataset(*_described(window, moves, cells, balance), attributes), masked=True)
    for name, move in moves.items():
        size = "" if move.median is None else f"; median size {move.median:.4f}"
        LOGGER.info("%s: %s%s", name, _in_words(move.counts), size)
    return account


def _slow(
    window: Window, parameters: Parameters, settings: CorrectionSettings, cells: np.ndarray
) -> np.ndarray:
    """True for layers whose pool turns over too slowly (pool, levdecomp, gridcell), and in other cells."""
    slow = np.ones(window.end.soil.shape, dtype=bool)
    for some in _some_at_a_time(cells):
        rate = window.budget(some, parameters).rate
        slow[..., some] = (rate * settings.turnover_limit_years <= 1.0).numpy()
    return slow


def _nitrogen(
    window: Window,
    now: NitrogenBalance | None,
    before: str | Path | None,
    settings: CorrectionSettings,
    cells: np.ndarray,
) -> tuple[np.ndarray, dict[str, Any]]:
    """Factor on the turnover of the cells that brings nitrogen to rest (gridcell), and the account of it."""
    alone = np.ones(len(cells))
    earlier, least = (None, 0.0) if before is None else _balance_before(before, window)
    missed = window.nitrogen_missed
    if before is not None and earlier is None and not missed:
        missed = "the history of the window before had no inputs of nitrogen"
    if missed:
        LOGGER.warning("nitrogen: its balance stays as it is: %s", missed)
        return alone, {"missed": missed, "least_response": least}
    if now is None or earlier is None:
        return alone, {}
    seen = response(earlier, now, least)
    if seen is None:
        LOGGER.warning("nitrogen: these windows show no response of its losses: its balance stays as it is")
        return alone, {"response": None, "least_response": least}
    factor, counts = size_factor(now, seen, settings, cells)
    size = float(np.median(np.abs(np.log(factor[cells]))))
    words = "nitrogen: %s; its losses respond %.1f times as much as the turnover changes; median size %.4f"
    LOGGER.info(words, _in_words(counts), seen.common, size)
    return factor, {"response": seen.common, **counts, "median_size": size}


def _in_words(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {decision.replace('_', ' ')}" for decision, count in counts.items())


def _balance_before(before: str | Path, window: Window) -> tuple[NitrogenBalance | None, float]:
    """The balance of nitrogen of the window before, and the response that was seen then; 0 for none.

    The balance is None where that window had no inputs of nitrogen, as its account says.

    Raises:
        InputError: it is not the correction of the window before of this run, or is incomplete.
    """
    with open_product(before, ("lat", "lon", *BALANCE)) as dataset:
        account = account_of(before, dataset)
        nitrogen, missing = account["nitrogen"], [name for name in BALANCE if name not in dataset]
        if missing and "missed" not in nitrogen:
            what, remedy = f"{missing[0]} is missing", "use the file as phase correct wrote it"
            raise InputError(before, what, expected="the balance of nitrogen of a correction", remedy=remedy)
        names = ("lat", "lon", *(() if missing else BALANCE))
        values = {name: dataset[name].to_numpy().astype(np.float64) for name in names}
    if abs(account["end_year"] - window.start.year) > 1.0e-6:
        what = f"its window ends at {account['end_year']}"
        remedy = "give the correction of the window before of this run"
        raise InputError(
            before, what, expected=f"the start of this one, {window.start.year:g}", remedy=remedy
        )
    least = nitrogen.get("response") or nitrogen.get("least_response", 0.0)
    if missing:
        return None, least
    place = window.end.lat, window.end.lon
    row, _ = match_cells(*place, values["lat"], values["lon"], file=before, what="cells of the correction")
    balance = NitrogenBalance.from_values({name: without_fill(values[name])[row] for name in BALANCE})
    return balance, least


def _has_soil(window: Window) -> np.ndarray:
    """True for cells whose natural vegetation has ground and soil carbon (gridcell)."""
    stock = np.einsum("pjc,j->c", window.middle, DZDECOMP)
    return np.isfinite(stock) & (stock > 0.0) & (window.end.share > 0.0)


def _cells_of_soil(window: Window, parameters: Parameters, history: str | Path) -> np.ndarray:
    """True for cells whose history is that of their soil column (gridcell).

    Its contents are those of the restarts, and the budget of SOM, which nothing enters, closes. Neither holds
    in cells with crop columns, whose soil is in the same means.

    Raises:
        InputError: it is so in less than half of the cells with soil.
    """
    has_soil = _has_soil(window)
    matching = np.zeros(len(has_soil), dtype=bool)
    thickness = torch.from_numpy(DZDECOMP)[:, None]
    for some in _some_at_a_time(has_soil):
        budget = window.budget(some, parameters)
        middle = torch.from_numpy(window.middle[..., some])
        mean, column = ((values * thickness).sum((0, 1)) for values in (budget.state, middle))
        same = (torch.log(mean / column)).abs() <= _OTHER_SOIL
        unexplained, loss = (
            (values[_SOM] * thickness).abs().sum(1) for values in (budget.inputs, budget.loss)
        )
        matching[some] = (same & (unexplained <= _UNEXPLAINED * loss + _LITTLE).all(0)).numpy()
    if matching.sum() < 0.5 * has_soil.sum():
        cells = f"{matching.sum()} of {has_soil.sum()} cells"
        what = f"contents and budget of its soil are those of the restarts in {cells}"
        remedy = "give restarts and history of one run"
        raise InputError(history, what, expected="most cells", remedy=remedy)
    return matching


def _some_at_a_time(cells: np.ndarray) -> Iterator[np.ndarray]:
    """Positions of cells (gridcell), as many as are solved together."""
    places = np.flatnonzero(cells)
    for first in range(0, len(places), CELLS_AT_A_TIME):
        yield places[first : first + CELLS_AT_A_TIME]


def corrections_of(
    window: Window,
    parameters: Parameters,
    settings: CorrectionSettings,
    cells: np.ndarray,
    slow: np.ndarray,
    factor: np.ndarray,
) -> dict[str, PoolCorrection]:
    """The corrections of a window, by restart name.

    Args:
        window: of a run in normal mode.
        parameters: of the run; `r_mort` is the mortality of its wood.
        settings: bounds.
        cells: True for cells to correct (gridcell).
        slow: layers whose pool turns over too slowly (pool, levdecomp, gridcell).
        factor: on litterfall and wood, for the balance of nitrogen (gridcell).
    """
    names = [f"{organ}c" for organ in DEAD_WOOD]
    wood = {name: _wood(window, name, parameters, settings, cells, factor) for name in names}
    soil = _soil(window, parameters, settings, cells, slow, factor, _wood_ratio(window, wood))
    return soil | wood


def _wood(
    window: Window,
    name: str,
    parameters: Parameters,
    settings: CorrectionSettings,
    cells: np.ndarray,
    factor: np.ndarray,
) -> PoolCorrection:
    """Dead wood (gridcell, natpft): dX/dt = input - mortality X ends at X + (dX/dt) / mortality."""
    mortality = parameters.value("r_mort")
    if mortality <= 0.0:
        what, expected = f"parameter r_mort is {mortality:g}", "the mortality of wood, above 0 a year"
        raise InputError(
            parameters.path, what, expected=expected, remedy="give the parameter file of the run"
        )
    first, last = window.start.wood[name], window.end.wood[name]
    growth = (last - first) / window.years
    target = (0.5 * (first + last) + growth / mortality) * factor[:, None]
    there = cells[:, None] & (window.end.cover > 0.0) & (last > 0.0)
    return _bounded(target, last, there, np.zeros_like(there), settings)


def _wood_ratio(window: Window, wood: dict[str, PoolCorrection]) -> np.ndarray:
    """Wood that will be there to that of the window (gridcell); 1 where there is none."""

    def of_cells(values: np.ndarray) -> np.ndarray:
        return np.asarray(np.where(window.end.cover > 0.0, values * window.end.cover, 0.0).sum(axis=1))

    now = sum(of_cells(0.5 * (window.start.wood[name] + window.end.wood[name])) for name in window.end.wood)
    gain = sum(
        of_cells(move.values - 0.5 * (window.start.wood[name] + window.end.wood[name]))
        for name, move in wood.items()
    )
    floor = VARIABLES["deadstemc"].ratio_floor
    return np.where(now > floor, 1.0 + gain / np.where(now > floor, now, 1.0), 1.0)


def _soil(
    window: Window,
    parameters: Parameters,
    settings: CorrectionSettings,
    cells: np.ndarray,
    slow: np.ndarray,
    factor: np.ndarray,
    wood_ratio: np.ndarray,
) -> dict[str, PoolCorrection]:
    """The corrected pools of the soil, (gridcell, levdecomp)."""
    target = np.full_like(window.end.soil, np.nan)
    for some in _some_at_a_time(cells):
        budget = window.budget(some, parameters)
        inputs = torch.from_numpy(factor[some]).repeat(len(SOIL_POOLS), 1)
        inputs[SOIL_POOL_INDEX["cwd"]] = torch.from_numpy(wood_ratio[some])
        final = steady_state(budget, torch.from_numpy(slow[..., some]), inputs)
        # Windows end on the date on which they start: the season's part of a pool is in both its ends.
        season = torch.from_numpy(window.middle[..., some]) / budget.state
        target[..., some] = torch.where(budget.state > 0.0, final * season, torch.nan).numpy()
    moves: dict[str, PoolCorrection] = {}
    for pool in (pool for pool in SOIL_POOLS if pool.name in CORRECTED):
        index = SOIL_POOL_INDEX[pool.name]
        last = window.end.soil[index].T
        there = cells[:, None] & np.isfinite(target[index].T) & (last > 0.0)
        moves[pool.variable("c")] = _bounded(target[index].T, last, there, slow[index].T, settings)
    return moves


def _bounded(
    target: np.ndarray, last: np.ndarray, there: np.ndarray, slow: np.ndarray, settings: CorrectionSettings
) -> PoolCorrection:
    """Values on the way from the last restart to a target, with the reason where they do not go there.

    Args:
        target, last: content where it would end, and in the last restart (gridcell, level).
        there: where there is something to correct.
        slow: where the turnover is too slow.
        settings: bounds.
    """
    negative = there & ~slow & ~(target > 0.0)
    moved = there & ~slow & ~negative
    step = np.log(np.where(moved, target, 1.0) / np.where(moved, last, 1.0))
    least, most = np.log(settings.least_ratio), np.log(settings.most_ratio)
    bounded = moved & ((step < least) | (step > most))
    step = settings.damping * np.clip(step, least, most)
    counts = {
        WHOLE: int(np.count_nonzero(moved & ~bounded)),
        BOUNDED: int(np.count_nonzero(bounded)),
        TURNOVER: int(np.count_nonzero(there & slow)),
        NEGATIVE: int(np.count_nonzero(negative)),
    }
    values = np.where(moved, last * np.exp(step), last)
    return PoolCorrection(values, np.where(moved, np.abs(step), np.nan), counts)


def _described(
    window: Window, moves: dict[str, PoolCorrection], cells: np.ndarray, balance: NitrogenBalance | None
) -> tuple[dict[str, xr.Variable], dict[str, xr.Variable]]:
    """Variables and coordinates of the predictions file."""
    levels = {"layer": "levdecomp", "patch": "natpft"}
    fields = {
        name: variable(
            ("gridcell", levels[VARIABLES[name].level]),
            np.where(cells[:, None], move.values, np.nan),
            VARIABLES[name].spellings[0],
            f"{name}, corrected by the rates of the run",
        )
        for name, move in moves.items()
    }
    corrected = {"left_alone": 0, "corrected": 1}
    inside = {"in_distribution": 0, "out_of_distribution": 1}
    none = np.zeros(len(cells), dtype=np.int8)
    fields["predicted"] = flags("gridcell", cells, "whether the cell is corrected", corrected)
    fields["ood_flag"] = flags("gridcell", none, "out-of-distribution flag; none here", inside)
    if balance is not None:
        fields |= balance.variables
    coordinates = cell_coordinates(window.end.lat, window.end.lon) | layer_coordinates() | pft_coordinates()
    return fields, coordinates
