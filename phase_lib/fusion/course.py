"""The course of pools before a restart: their means over windows of equal length, from the history.

An exponential through three such means leads to an end, without any knowledge of the rates of the pools.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from phase_lib.base.progress import LOGGER
from phase_lib.elm.constants import DAYS_PER_YEAR
from phase_lib.elm.history import History
from phase_lib.elm.products import Variables, variable
from phase_lib.elm.soil_budget import BUDGET_FIELDS, CONTENTS
from phase_lib.elm.soil_grid import NLEVDECOMP
from phase_lib.elm.spinup import SCALARAVG_YEARS
from phase_lib.elm.units import LEAF_AREA

#: How many windows, and their length, years. Plants are cell means: the history has no others.
WINDOWS, WINDOW_YEARS = 3, 5
#: Field -> accepted units, the usual one first.
PLANTS: dict[str, Sequence[str]] = {"TLAI": LEAF_AREA, "TOTVEGC": ("gC/m^2",)}
SOIL: dict[str, Sequence[str]] = {name: BUDGET_FIELDS[name] for name in CONTENTS}
_DAY = 1.0 / DAYS_PER_YEAR


def window_coordinates() -> Variables:
    """Middles and bounds of the windows (window), years from the restart."""
    edges = -float(WINDOW_YEARS) * np.arange(WINDOWS, -1, -1)
    bounds = np.stack([edges[:-1], edges[1:]], axis=1)
    words = "middle of the window, years from the restart"
    return {
        "window": variable("window", bounds.mean(axis=1), "years", words, bounds="window_bounds"),
        "window_bounds": variable(("window", "bounds"), bounds, "years", "start and end of the window"),
    }


def read_course(
    tapes: Sequence[Sequence[Path]], lat: np.ndarray, lon: np.ndarray, share: np.ndarray, end_year: int
) -> dict[str, np.ndarray]:
    """Reads the means of `PLANTS` and `SOIL` over the windows before a date.

    Args:
        tapes: history files of one tape each; the first that has a group of fields serves for it.
        lat, lon: of the cells, degrees (gridcell).
        share: of the cell's land under natural vegetation (gridcell).
        end_year: model year at whose start the last window ends.

    Returns:
        Field -> (gridcell, window), of the cell, or (gridcell, window, levdecomp), of the soil column, in the
        space of the run; NaN where no tape has it.

    Raises:
        InputError: a field has other units.
    """
    soil = np.where(share > 0.0, share, np.nan).astype(np.float32)
    edges = end_year - WINDOW_YEARS * np.arange(WINDOWS, -1, -1)
    histories = [History(files) for files in tapes if files]
    course: dict[str, np.ndarray] = {}
    for fields, levels in ((PLANTS, ()), (SOIL, (NLEVDECOMP,))):
        missed = [_why_not(history, fields, int(edges[0]), end_year) for history in histories]
        if None not in missed:
            LOGGER.info("the course of %s before the restart is not known: %s", next(iter(fields)), missed[0])
            course |= {name: np.full((len(lat), WINDOWS, *levels), np.nan, np.float32) for name in fields}
            continue
        history = histories[missed.index(None)]
        row = history.rows(lat, lon)
        windows = [history.means(fields, start, start + WINDOW_YEARS, holes=True) for start in edges[:-1]]
        for name in fields:
            means = [_of_cells(window[name], row) for window in windows]
            course[name] = np.stack(means, axis=1) / (soil[:, None, None] if levels else np.float32(1.0))
    return course


def _of_cells(values: np.ndarray, row: np.ndarray) -> np.ndarray:
    """(land cell) or (levels, land cell) as (gridcell) or (gridcell, levdecomp)."""
    if values.ndim == 1:
        return values[row].astype(np.float32)
    return values[:NLEVDECOMP, row].T.astype(np.float32)


def _why_not(history: History, fields: Mapping[str, Sequence[str]], first: int, end: int) -> str | None:
    """What a history lacks for the course of some fields; None for nothing."""
    for name in fields:
        if name not in history.variables or name in history.no_means:
            return f"the history has no means of {name}"
    if first < SCALARAVG_YEARS[1] < end:
        return f"the rates of AD change at year {SCALARAVG_YEARS[1]}, within the years {first} to {end - 1}"
    start, stop = history.start + history.origin, history.end + history.origin
    inside = (stop > first + _DAY) & (start < end - _DAY)
    covered = float(np.clip(np.minimum(stop, end) - np.maximum(start, first), 0.0, None).sum())
    if abs(covered - (end - first)) > _DAY:
        return f"the history covers {covered:.3g} of the last {end - first} years"
    longest = float((stop - start)[inside].max())
    return f"the history has means of {longest:.3g} years" if longest > 1.0 + _DAY else None
