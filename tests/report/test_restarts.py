"""The table of restarts: what the land model did with the state of each model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from phase_lib.base.errors import InputError
from phase_lib.config.equilibrium import EquilibriumSettings
from phase_lib.report.restarts import Restart, judge_restarts, read_restarts
from tests.helpers.history import Grid, write_correction, write_history, write_split, years

CYCLE = 20


def write_run(directory: Path, cycles: int, settled: int, first: int = 20) -> list[Path]:
    """Annual history, a file for each cycle: far from equilibrium in the first cycles, then at rest."""
    directory.mkdir()
    paths = []
    for number in range(cycles):
        bounds = years(first + CYCLE * number, first + CYCLE * (number + 1), 1)
        middle = np.minimum(bounds.mean(axis=1) - first, CYCLE * settled)
        stock = np.broadcast_to(1.0e4 + 30.0 * middle[:, None], (len(middle), Grid().cells))
        fields = {"TOTECOSYSC": 2.0 * stock, "TOTSOMC": stock, "TOTVEGC": 0.5 * stock, "CWDC": 0.1 * stock}
        paths.append(write_history(directory / f"run.{number}.nc", Grid(), bounds, fields))
    return paths


def sidecar(path: Path, counts: dict[str, dict[str, int]]) -> Path:
    content = {"predicted_values": 1000, "out_of_bounds": counts, "audit": {"errors": 2}}
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def outcome(path: Path, history: list[Path], stopped: str | None = None) -> Path:
    content = {"years": 100, "stopped": stopped, "history": [str(one) for one in history]}
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def judged(directory: Path, *restarts: Restart) -> list[dict[str, Any]]:
    part = np.ones(Grid().cells, dtype=np.int8)
    part[:3] = 3
    split = write_split(directory / "split.nc", part)
    judge_restarts(restarts, split, CYCLE, EquilibriumSettings(), directory / "restarts.csv")
    return read_restarts(directory / "restarts.csv")


def test_years_count_to_the_cycle_from_which_the_criteria_hold_to_the_end(tmp_path: Path) -> None:
    # Stocks rise for two cycles: from the fourth on no cycle differs from the one before.
    history = write_run(tmp_path / "run", 5, 2)
    diff = sidecar(tmp_path / "diff.json", {"soil3c_vr": {"negative": 7, "too_large": 0}})
    (row,) = judged(tmp_path, Restart("mlp", "MLP", diff, outcome(tmp_path / "outcome.json", history)))
    assert (row["label"], row["values"], row["negative"], row["audit_errors"]) == ("MLP", 1000, 7, 2)
    assert (row["stable"], row["stopped"]) == (True, None)
    for cells in ("all_cells", "blocked_test_cells"):
        assert row[f"years_until_equilibrium_{cells}"] == 80
        assert row[f"area_out_of_equilibrium_{cells}"] == 0.0


def test_a_run_that_drifts_to_its_end_has_no_year_and_its_area(tmp_path: Path) -> None:
    history = write_run(tmp_path / "run", 3, 9)
    diff = sidecar(tmp_path / "diff.json", {})
    (row,) = judged(tmp_path, Restart("state20", "-", diff, outcome(tmp_path / "outcome.json", history)))
    assert row["label"] == "input state"
    assert row["years_until_equilibrium_all_cells"] is None
    assert row["area_out_of_equilibrium_all_cells"] == 1.0


def test_a_stop_is_a_row_with_the_message_and_without_numbers_of_a_run(tmp_path: Path) -> None:
    message = "soil3c_vr is -3 at the start: cell 2, layer 1"
    diff = sidecar(tmp_path / "diff.json", {"soil3c_vr": {"negative": 1, "too_large": 0}})
    stopped = Restart("mlp", "MLP", diff, outcome(tmp_path / "stopped.json", [], message))
    history = write_run(tmp_path / "run", 2, 0)
    ran = Restart("cnn", "CNN", diff, outcome(tmp_path / "ran.json", history))
    first, second = judged(tmp_path, stopped, ran)
    assert (first["stable"], first["stopped"]) == (False, message)
    assert first["area_out_of_equilibrium_all_cells"] is None
    assert (second["stable"], second["years_until_equilibrium_all_cells"]) == (True, 40)


def test_a_corrected_run_is_judged_by_the_cycles_after_its_last_correction(tmp_path: Path) -> None:
    history = write_run(tmp_path / "run", 4, 1)
    diff = sidecar(tmp_path / "diff.json", {})
    correction = write_correction(tmp_path / "correction.nc", 41)
    stopped = outcome(tmp_path / "outcome.json", [], "stopped")
    (row,) = judged(tmp_path, Restart("phase", "PHASE", diff, stopped, history, [correction]))
    # The correction is at the end of the first cycle: two more make the first verdict, one more the last.
    assert (row["corrected_years"], row["corrected_years_until_equilibrium_all_cells"]) == (80, 60)
    assert row["years_until_equilibrium_all_cells"] is None


def test_a_damaged_table_ends_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "restarts.csv"
    path.write_text("", encoding="utf-8")
    with pytest.raises(InputError, match="is no table of restarts"):
        read_restarts(path)
