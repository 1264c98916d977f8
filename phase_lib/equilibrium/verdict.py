"""Verdicts on files: one run, or the injected run beside its control and the reference."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from phase_lib.base.errors import CheckFailed, InputError
from phase_lib.base.files import matching_files, read_json, sha256_file, write_json
from phase_lib.base.progress import LOGGER
from phase_lib.base.provenance import code_version, settings_hash
from phase_lib.config.equilibrium import EquilibriumSettings
from phase_lib.config.stabilisation import JudgedCells
from phase_lib.elm.history_cells import HistoryGrid, same_cells
from phase_lib.elm.matching import SAME_CELL_KM, nearest
from phase_lib.elm.netcdf import get_variable
from phase_lib.elm.products import cell_coordinates, flags, open_product, variable, write_product
from phase_lib.equilibrium.account import account_of
from phase_lib.equilibrium.criteria import RunVerdict, assess_subsets
from phase_lib.equilibrium.cycles import CycleHistory

INJECTED = "injected"
ALL_CELLS, TEST_CELLS = "all_cells", "blocked_test_cells"
#: Run -> set of cells -> verdict.
Verdicts = Mapping[str, Mapping[str, RunVerdict]]

#: Part of a split file that holds the test cells.
_TEST = 3
#: The drift of the injected run is good when it is within this share of the control's.
_SHARE_OF_CONTROL = 1.0 / 3.0


def judge_equilibrium(
    history: Iterable[str | Path],
    forcing_years: int,
    settings: EquilibriumSettings,
    output: str | Path,
    *,
    runs: Mapping[str, Sequence[str | Path]] | None = None,
    corrections: Mapping[str, Sequence[str | Path]] | None = None,
    split: str | Path | None = None,
    cells: JudgedCells = "both",
    rounds: Sequence[str | Path] = (),
    drift: str | Path | None = None,
    strict: bool = False,
) -> dict[str, Any]:
    """Judges one run, or the injected run side by side with others, and writes the verdict.

    With a split, the runs are judged on all cells and on the blocked test cells alone. A run that was
    corrected is judged by the whole cycles after its last correction.

    Args:
        history: history files of one tape of the run, or patterns for them.
        forcing_years: length of the forcing cycle, years.
        settings: thresholds.
        output: `verdict.json`.
        runs: histories of other runs by name, `control` (nothing injected) and `reference` among them.
        corrections: predictions files of the corrections of a run, by its name; `injected` is the first.
        split: split file with the test cells.
        cells: those on which the criteria have to hold, so that the injected run ends.
        rounds: verdicts on the injected run after earlier rounds.
        drift: `drift.nc`, per-cell drift and end stocks of the runs.
        strict: a run (the injected one) out of equilibrium is an error, after the verdict is written.

    Returns:
        The content of `verdict.json`.

    Raises:
        InputError: runs on different grids, corrections of a run that is not given, or a history that
            cannot be judged; nothing is written.
        CheckFailed: with `strict`, a criterion does not hold.
    """
    if INJECTED in (runs or {}):
        what, remedy = f"--run {INJECTED} names the run of --history", "give its files there"
        raise InputError(None, what, expected="other runs", remedy=remedy)
    files = {INJECTED: matching_files(history)}
    files |= {name: matching_files(paths) for name, paths in (runs or {}).items()}
    made = {
        name: sorted(map(read_correction, paths), key=lambda account: account["end_year"])
        for name, paths in (corrections or {}).items()
    }
    if unknown := [name for name in made if name not in files]:
        expected = f"one of {', '.join(files)}"
        raise InputError(None, f"corrections of the run {unknown[0]}, which is not given", expected=expected)
    histories = {
        name: CycleHistory(paths, forcing_years, [one["end_year"] for one in made.get(name, [])])
        for name, paths in files.items()
    }
    grid = _one_grid(histories)
    subsets = {ALL_CELLS: np.arange(len(grid.row))}
    if split is not None:
        tested = blocked_test_cells(split, grid)
        if len(tested):
            subsets[TEST_CELLS] = tested
        else:
            LOGGER.info("no test cell of %s lies in the domain: all cells are judged together", split)
    verdicts = {name: assess_subsets(run, settings, subsets) for name, run in histories.items()}
    judged = verdicts[INJECTED][ALL_CELLS]
    alone = not (runs or split or rounds or drift)
    content: dict[str, Any] = {
        "provenance": _provenance(settings, {"run": files[INJECTED]} if alone else files, split),
        "thresholds": settings.model_dump(),
        "corrections": made.get(INJECTED, []) if alone else made,
    }
    if alone:
        content |= judged.as_json()
    else:
        earlier = [entry for path in rounds for entry in read_json(path)["rounds"]]
        content |= {
            "forcing_years": forcing_years,
            "rounds": [*earlier, _round(verdicts[INJECTED], cells)],
            **_side_by_side(verdicts, settings),
        }
    if drift is not None:
        _write_drift(drift, verdicts, grid, subsets.get(TEST_CELLS), settings)
    write_json(output, content)
    for run, by_subset in verdicts.items():
        for line in describe(by_subset[ALL_CELLS]):
            LOGGER.info("%s", line if alone else f"{run}: {line}")
    failed = [criterion.rule.name for criterion in judged.criteria if not criterion.holds]
    if strict and failed:
        years, names = f"{judged.years:.0f}", ", ".join(failed)
        raise CheckFailed(f"not in equilibrium after {years} years: {names}; see {output}")
    return content


def read_correction(path: str | Path) -> dict[str, Any]:
    """The account of a correction, from its predictions file: `end_year`, `variables`, ...

    Raises:
        InputError: it is no predictions file of a correction.
    """
    with open_product(path, ()) as dataset:
        return {"file": Path(path).name, **account_of(path, dataset)}


def _one_grid(histories: Mapping[str, CycleHistory]) -> HistoryGrid:
    """The land cells of all runs.

    Raises:
        InputError: the runs are on different grids.
    """
    first = histories[INJECTED]
    for name, history in histories.items():
        if not same_cells(history.grid, first.grid):
            what = f"the {name} run has {len(history.grid.row)} land cells of another grid"
            cells = f"the {len(first.grid.row)} land cells of {first.paths[0]}"
            raise InputError(history.paths[0], what, expected=cells, remedy="give runs of one domain")
    return first.grid


def _side_by_side(verdicts: Verdicts, settings: EquilibriumSettings) -> dict[str, Any]:
    """The part of `verdict.json` that compares runs."""
    content: dict[str, Any] = {
        "runs": {
            run: {subset: verdict.as_json() for subset, verdict in by_subset.items()}
            for run, by_subset in verdicts.items()
        }
    }
    injected = verdicts[INJECTED]
    if reference := verdicts.get("reference"):
        content["relation_to_reference"] = {
            run: {
                subset: _relative_errors(verdict, reference[subset]) for subset, verdict in by_subset.items()
            }
            for run, by_subset in verdicts.items()
            if run != "reference"
        }
    if control := verdicts.get("control"):
        content["injected_against_control"] = {
            subset: _against_control(verdict, control[subset], settings)
            for subset, verdict in injected.items()
        }
    return content


def _round(verdicts: Mapping[str, RunVerdict], cells: JudgedCells) -> dict[str, Any]:
    """Whether the injected run may end: the criteria that fail, on each set of cells that counts."""
    asked = (ALL_CELLS, TEST_CELLS) if cells == "both" else (cells,)
    # Without a test cell in the domain, all cells are judged together.
    counting = [subset for subset in asked if subset in verdicts] or [ALL_CELLS]
    failed = {
        subset: [criterion.rule.name for criterion in verdicts[subset].criteria if not criterion.holds]
        for subset in counting
    }
    whole = verdicts[ALL_CELLS]
    return {
        "normal_years": whole.years,
        "corrected_after": whole.corrected_after,
        "holds": not any(failed.values()),
        "failed": failed,
    }


def describe(verdict: RunVerdict) -> list[str]:
    """The verdict in lines for the terminal."""
    state = "in equilibrium" if verdict.in_equilibrium else "NOT in equilibrium"
    holding = sum(criterion.holds for criterion in verdict.tested)
    last = f", after {len(verdict.corrected_after)} corrections" if verdict.corrected_after else ""
    return [
        f"{state} after {verdict.years:.0f} years{last} "
        f"({verdict.cycles} cycles of {verdict.forcing_years} years, {verdict.cells} cells): "
        f"{holding} of {len(verdict.tested)} criteria hold",
        *(
            f"  {'ok  ' if criterion.holds else 'FAIL'} {criterion.rule.name}: {criterion.value:.3g} "
            f"(at most {criterion.threshold:.3g} {criterion.rule.units})"
            for criterion in verdict.tested
        ),
        *(f"  --   {c.rule.name}: prescribed, not a test" for c in verdict.criteria if c.prescribed),
        *(f"  --   {name}: not assessed, {reason}" for name, reason in verdict.not_assessed.items()),
    ]


def blocked_test_cells(split: str | Path, grid: HistoryGrid) -> np.ndarray:
    """Positions, among a history's land cells, of the test cells of a split; those of other domains apart.

    Cells are matched on the sphere, so that the order of the files does not matter.
    """
    names = ("part", "lat", "lon")
    with open_product(split, names) as dataset:
        part, lat, lon = (get_variable(split, dataset, name, ("gridcell",)).to_numpy() for name in names)
    chosen = part == _TEST
    if not chosen.any():
        raise InputError(split, "part: no test cell", expected=f"part = {_TEST} on the test cells")
    index, distance = nearest(lat[chosen], lon[chosen], grid.lat, grid.lon)
    return np.unique(index[distance <= SAME_CELL_KM])


def _relative_errors(verdict: RunVerdict, reference: RunVerdict) -> dict[str, float]:
    """Relative errors of the end stocks, and root mean square error over the cells in kgC/m2."""
    errors = {
        f"{stock.removesuffix('_pgc')}_relative_error": verdict.stocks[stock] / reference.stocks[stock] - 1.0
        for stock in ("totsomc_pgc", "totvegc_pgc", "cwdc_pgc")
        if stock in verdict.stocks and reference.stocks.get(stock, 0.0) > 0.0
    }
    weight = verdict.cell["land_area_m2"] / verdict.cell["land_area_m2"].sum()
    for stock in ("totsomc", "totvegc"):
        difference = verdict.cell[stock] - reference.cell[stock]
        errors[f"{stock}_cell_rmse_kgc_m2"] = float(np.sqrt(weight @ difference**2)) / 1000.0
    return errors


def _against_control(
    injected: RunVerdict, control: RunVerdict, settings: EquilibriumSettings
) -> dict[str, float | bool]:
    """What injection gained: drifts against a third of the control's, area against the control's."""
    result: dict[str, float | bool] = {}
    for name in ("drift_totsomc_pgc_per_yr", "drift_totvegc_pgc_per_yr"):
        limit = max(_SHARE_OF_CONTROL * abs(control.value(name)), settings.stock_drift_pgc_per_yr)
        result[f"{name}_limit"] = limit
        result[f"{name}_within_limit"] = abs(injected.value(name)) <= limit
    area = "area_out_of_equilibrium"
    result[f"{area}_smaller"] = injected.value(area) < control.value(area)
    return result


def _write_drift(
    path: str | Path,
    verdicts: Verdicts,
    grid: HistoryGrid,
    test: np.ndarray | None,
    settings: EquilibriumSettings,
) -> None:
    fields = {
        "area": variable("gridcell", grid.area, "km^2", "area of the cell"),
        "landfrac": variable("gridcell", grid.landfrac, "1", "land fraction"),
    }
    if test is not None:
        inside = np.isin(np.arange(len(grid.row)), test)
        meanings = {"other_cell": 0, "test_cell": 1}
        fields["test_cell"] = flags("gridcell", inside, "blocked test cells", meanings)
    for run, by_subset in verdicts.items():
        years, cell = by_subset[ALL_CELLS].forcing_years, by_subset[ALL_CELLS].cell
        name = f"TOTECOSYSC, {run} run: last {years} years minus the {years} before, per year"
        fields[f"drift_{run}"] = variable("gridcell", cell["drift"], "gC/m^2/yr", name)
        for stock in ("totsomc", "totvegc"):
            name, means = (
                f"{stock.upper()}, {run} run: mean of the last cycle",
                {"cell_methods": "time: mean"},
            )
            fields[f"{stock}_{run}"] = variable("gridcell", cell[stock], "gC/m^2", name, **means)
    attributes = {
        "title": "Drift of ecosystem carbon and end stocks of the runs, per land cell",
        "settings_hash": settings_hash(settings.model_dump()),
    }
    write_product(path, xr.Dataset(fields, cell_coordinates(grid.lat, grid.lon), attributes))


def _provenance(
    settings: EquilibriumSettings, runs: Mapping[str, Sequence[Path]], split: str | Path | None
) -> dict[str, Any]:
    # Histories of real grids are hundreds of GB: name and size identify them, a hash would cost more
    # than the verdict.
    return {
        "code_version": code_version(),
        "settings_hash": settings_hash(settings.model_dump()),
        "history": {
            run: [{"file": path.name, "bytes": path.stat().st_size} for path in paths]
            for run, paths in runs.items()
        },
        **({} if split is None else {"split_sha256": sha256_file(split)}),
    }
