"""Restarts from the states of several models, tested by the land model: one row for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from phase_lib.base.errors import InputError
from phase_lib.base.files import read_json, writing
from phase_lib.base.progress import LOGGER
from phase_lib.config.equilibrium import EquilibriumSettings
from phase_lib.config.experiments import BASELINES
from phase_lib.equilibrium.criteria import RunVerdict, assess_subsets
from phase_lib.equilibrium.cycles import CycleHistory
from phase_lib.equilibrium.verdict import ALL_CELLS, TEST_CELLS, blocked_test_cells, read_correction

_AREA = "area_out_of_equilibrium"


@dataclass(frozen=True)
class Restart:
    """Files of a state and of the runs from it.

    Attributes:
        name: of the model that predicted the state.
        label: in tables; `-` for a baseline, whose class has one.
        diff: sidecar of its injection, with the values as predicted.
        outcome: how the run from it ended, and its history.
        corrected: history of a run with corrections from the clipped state.
        corrections: predictions files of these corrections.
    """

    name: str
    label: str
    diff: Path
    outcome: Path
    corrected: Sequence[Path] = field(default_factory=tuple)
    corrections: Sequence[Path] = field(default_factory=tuple)


def judge_restarts(
    restarts: Sequence[Restart],
    split: str | Path,
    forcing_years: int,
    settings: EquilibriumSettings,
    output: str | Path,
) -> pd.DataFrame:
    """Writes `restarts.csv`: what the land model does with the state of each model.

    Columns: `values` injected, how many of them are `negative` or `too_large`, and `audit_errors`; `stable`,
    `stopped` (the first message of the land model) and `years` of the run without corrections; then, for that
    run and, after `corrected_`, for the run with corrections: the share of the land that is out of
    equilibrium at its end and the years from which on all criteria hold, on all cells and on the blocked test
    cells. No number stands where a run stopped, or where the criteria did not hold at its end.

    Args:
        restarts: the states.
        split: split file with the test cells.
        forcing_years: length of the forcing cycle, years.
        settings: thresholds.
        output: file to write.

    Raises:
        InputError: a file is missing, damaged, or of another grid.
    """
    frame = pd.DataFrame([_row(restart, split, forcing_years, settings) for restart in restarts])
    years = [name for name in map(str, frame.columns) if "years" in name]
    frame = frame.astype(dict.fromkeys(years, "Int64"))
    with writing(output) as temporary:
        frame.to_csv(temporary, index=False)
    return frame


def _row(
    restart: Restart, split: str | Path, forcing_years: int, settings: EquilibriumSettings
) -> dict[str, Any]:
    diff, outcome = read_json(restart.diff), read_json(restart.outcome)
    counts = diff["out_of_bounds"].values()
    row: dict[str, Any] = {
        "model": restart.name,
        "label": BASELINES.load(restart.name).label if restart.label == "-" else restart.label,
        "values": diff["predicted_values"],
        **{what: sum(count[what] for count in counts) for what in ("negative", "too_large")},
        "audit_errors": diff["audit"]["errors"],
        "stable": outcome["stopped"] is None,
        "stopped": outcome["stopped"],
        "years": outcome["years"],
    }
    runs: dict[str, tuple[Sequence[str | Path], Sequence[Path]]] = {"": (outcome["history"], ())}
    if restart.corrected:
        runs["corrected_"] = (restart.corrected, restart.corrections)
    for prefix, (history, corrections) in runs.items():
        ends = [read_correction(path)["end_year"] for path in corrections]
        judged = _by_cycle(history, forcing_years, settings, ends, split) if history else {}
        years = max(judged, default=None)
        if prefix:
            row["corrected_years"] = years
        for subset in (ALL_CELLS, TEST_CELLS):
            verdicts = {year: by_subset[subset] for year, by_subset in judged.items() if subset in by_subset}
            at_end = None if years is None or years not in verdicts else verdicts[years].value(_AREA)
            row[f"{prefix}{_AREA}_{subset}"] = at_end
            row[f"{prefix}years_until_equilibrium_{subset}"] = _years_until(verdicts)
    LOGGER.info("%s: %s", row["label"], row["stopped"] or f"ran {row['years']} years")
    return row


def _by_cycle(
    history: Sequence[str | Path],
    forcing_years: int,
    settings: EquilibriumSettings,
    corrections: Sequence[float],
    split: str | Path,
) -> dict[int, Mapping[str, RunVerdict]]:
    """Years since the start -> verdict on the run up to then, from the second cycle after all corrections.

    The history has a file for each cycle, so that a shorter run has fewer files.
    """
    files = sorted(map(Path, history), key=lambda path: path.name)
    verdicts: dict[int, Mapping[str, RunVerdict]] = {}
    whole = CycleHistory(files, forcing_years, corrections)
    subsets = {ALL_CELLS: np.arange(len(whole.grid.row))}
    if len(tested := blocked_test_cells(split, whole.grid)):
        subsets[TEST_CELLS] = tested
    for left_out in range(whole.cycles - 1):
        part = CycleHistory(files[: len(files) - left_out], forcing_years, corrections) if left_out else whole
        verdicts[round(part.years)] = assess_subsets(part, settings, subsets)
    return verdicts


def _years_until(verdicts: Mapping[int, RunVerdict]) -> int | None:
    """Years from which on all criteria hold to the end; None where they do not hold at the end."""
    first = None
    for years in sorted(verdicts, reverse=True):
        if not verdicts[years].in_equilibrium:
            break
        first = years
    return first


def read_restarts(path: str | Path) -> list[dict[str, Any]]:
    """Rows of `restarts.csv`, with None where there is no value.

    Raises:
        InputError: it is no such table.
    """
    try:
        table = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise InputError(path, f"is no table of restarts ({error})", remedy="make it again") from error
    return [
        {str(name): None if pd.isna(value) else value for name, value in row.items()}
        for row in table.to_dict("records")
    ]
