"""The restart of a target that was not run here: what it holds, its cells, and how ELM takes it up."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from phase_lib.dataset.loading import CellIndex
from phase_lib.elm.constants import SPINUP_NORMAL
from phase_lib.elm.netcdf import get_attribute, get_variable, open_dataset
from phase_lib.elm.products import open_product
from phase_lib.elm.restart import restart_header
from phase_lib.equilibrium.criteria import FIELDS
from phase_lib.report.products import RunFacts

#: Stocks of the summary, and the variable of a restart that each is the total of: not every restart has
#: the column total of coarse woody debris.
STOCKS = {"totsomc_pgc": "totsomc", "totvegc_pgc": "totvegc", "cwdc_pgc": "cwdc_vr"}
#: Hours of a model year, ELM's unit of `hist_nhtfrq`.
_HOURS_PER_YEAR = 8760
#: Names in a line of a namelist.
_NAMES_PER_LINE = 6


def base_of(diff: Mapping[str, Any], restart: Path) -> dict[str, Any]:
    """What is known of the base restart.

    Args:
        diff: sidecar of the injection.
        restart: injected restart, which has the base's date.

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

    States of one instant, not means of a forcing cycle. An AD base holds its slow soil pools and its dead
    wood as AD keeps them, `spinup_state` 1: its totals do not compare with those in normal mode.
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
    """How ELM starts from the injected restart, and how its run is judged.

    Args:
        restart: injected restart.
        base: as `base_of` gives it.
        facts: of the run.

    Returns:
        Lines for `user_nl_elm` (`namelist`, and `history` for what the verdict reads), commands in the
        case directory (`case`), the command that judges the run (`judge`), and the same where ELM's
        short-term archive has moved the history (`judge_archived`).
    """
    names = [f"'{field.name}'" for field in FIELDS]
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
            f"hist_mfilt = 1, {facts.forcing_years}",
        ],
        "case": [
            "./xmlchange ELM_FORCE_COLDSTART=off,RUN_TYPE=startup,CONTINUE_RUN=FALSE",
            f"./xmlchange RUN_STARTDATE={base['date']}",
            f"./xmlchange STOP_OPTION=nyears,STOP_N={facts.stabilisation_years}",
            f"./xmlchange REST_OPTION=nyears,REST_N={facts.forcing_years}",
        ],
        "judge": _judge("RUNDIR", facts.forcing_years),
        "judge_archived": _judge("DOUT_S_ROOT/lnd/hist", facts.forcing_years),
    }


def _judge(history: str, forcing_years: int) -> str:
    return (
        f"phase equilibrium --history {history}/*.elm.h1.*.nc "
        f"--forcing-years {forcing_years} --output verdict.json"
    )


def flagged_cells(predictions: Path) -> pd.DataFrame:
    """One row per flagged cell: its row in the restart from 1, place, score and reason.

    Raises:
        InputError: the file lacks a variable.
    """
    names = ("ood_flag", "lat", "lon", "ood_score")
    with open_product(predictions, names) as dataset:
        flag, lat, lon, score = (get_variable(predictions, dataset, name).to_numpy() for name in names)
        threshold = float(get_attribute(predictions, dataset, "ood_threshold"))
    cell = np.flatnonzero(flag)
    known = np.isfinite(score[cell])
    return pd.DataFrame(
        {
            "cell": cell + 1,
            "lat": lat[cell],
            "lon": lon[cell],
            "score": score[cell],
            "score_over_threshold": score[cell] / threshold,
            "reason": np.where(known, "out of distribution", "incomplete inputs"),
        }
    )


def domain_counts(
    index: CellIndex, parts: Mapping[str, np.ndarray], target: str, flagged: int
) -> dict[str, dict[str, int]]:
    """Cells of every domain: how many there are, and what they served for.

    Args:
        index: the dataset.
        parts: name of a part of the split -> True in its cells (gridcell).
        target: name of the target domain.
        flagged: flagged cells of the target.
    """
    counts = {}
    for name in index.domains:
        ours = index.of_domain(name)
        complete = int(np.count_nonzero(index.complete[ours]))
        counts[name] = {
            "cells": int(np.count_nonzero(ours)),
            "incomplete": int(np.count_nonzero(ours)) - complete,
            **{part: int(np.count_nonzero(ours & inside)) for part, inside in parts.items()},
            "predicted": complete if name == target else 0,
            "flagged": flagged if name == target else 0,
        }
    return counts
