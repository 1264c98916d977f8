"""Verdicts on files: one run, or the injected run beside its control and the reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from phase_lib.base.errors import CheckFailed, InputError
from phase_lib.base.files import sha256_file, write_json
from phase_lib.base.progress import LOGGER
from phase_lib.base.provenance import code_version, settings_hash
from phase_lib.config.equilibrium import EquilibriumSettings
from phase_lib.elm.history_cells import HistoryGrid, same_cells
from phase_lib.elm.matching import SAME_CELL_KM, nearest
from phase_lib.elm.netcdf import get_variable
from phase_lib.elm.products import cell_coordinates, flags, open_product, variable, write_product
from phase_lib.equilibrium.criteria import RunVerdict, assess, assess_subsets
from phase_lib.equilibrium.cycles import CycleHistory

#: The runs of a workflow, in the order of the report.
RUNS = ("injected", "control", "reference")
ALL_CELLS = "all_cells"
TEST_CELLS = "blocked_test_cells"

#: Part of a split file that holds the test cells.
_TEST = 3
#: The drift of the injected run is good when it is within this share of the control's.
_SHARE_OF_CONTROL = 1.0 / 3.0


def equilibrium_of_files(
    history: Sequence[str | Path],
    forcing_years: int,
    output: str | Path,
    settings: EquilibriumSettings,
    *,
    strict: bool = False,
) -> RunVerdict:
    """Judges one run from its history files and writes the verdict.

    Args:
        history: history files of one tape of any ELM run.
        forcing_years: length of the forcing cycle, years.
        output: `verdict.json`.
        settings: thresholds.
        strict: a run out of equilibrium is an error, after the verdict is written.

    Raises:
        InputError: the history cannot be judged; nothing is written.
        CheckFailed: with `strict`, a criterion does not hold.
    """
    verdict = assess(history, forcing_years, settings)
    content = {
        "provenance": _provenance(settings, {"run": history}),
        "thresholds": settings.model_dump(),
        **verdict.as_json(),
    }
    write_json(output, content)
    for line in describe(verdict):
        LOGGER.info("%s", line)
    failed = [criterion.rule.name for criterion in verdict.criteria if not criterion.holds]
    if strict and failed:
        raise CheckFailed(
            f"not in equilibrium after {verdict.years:.0f} years: {', '.join(failed)}; see {output}"
        )
    return verdict


def describe(verdict: RunVerdict) -> list[str]:
    """The verdict in lines for the terminal."""
    state = "in equilibrium" if verdict.in_equilibrium else "NOT in equilibrium"
    held = sum(criterion.holds for criterion in verdict.tested)
    lines = [
        f"{state} after {verdict.years:.0f} years "
        f"({verdict.cycles} cycles of {verdict.forcing_years} years, {len(verdict.cell.lat)} cells): "
        f"{held} of {len(verdict.tested)} criteria hold"
    ]
    for criterion in verdict.tested:
        lines.append(
            f"  {'ok  ' if criterion.holds else 'FAIL'} {criterion.rule.name}: {criterion.value:.3g} "
            f"(at most {criterion.threshold:.3g} {criterion.rule.units})"
        )
    lines += [
        f"  --   {criterion.rule.name}: prescribed, not a test"
        for criterion in verdict.criteria
        if criterion.prescribed
    ]
    lines += [f"  --   {name}: not assessed, {reason}" for name, reason in verdict.not_assessed.items()]
    return lines


def verdict_of_runs(
    runs: Mapping[str, Sequence[str | Path]],
    forcing_years: int,
    settings: EquilibriumSettings,
    output: str | Path,
    drift: str | Path,
    *,
    split: str | Path | None = None,
) -> dict[str, Any]:
    """Judges the runs of a workflow side by side, on all cells and on the blocked test cells alone.

    Args:
        runs: name (`injected`, `control`, `reference`) -> history files; `injected` is required.
        forcing_years: length of the forcing cycle, years.
        settings: thresholds.
        output: `verdict.json`.
        drift: `drift.nc`, per-cell drift and end stocks of every run.
        split: split file that says which cells are test cells.

    Returns:
        The content of `verdict.json`.

    Raises:
        InputError: unknown or missing run, runs on different grids, or a history that cannot be judged.
    """
    unknown = [name for name in runs if name not in RUNS]
    if unknown or "injected" not in runs:
        raise InputError(None, f"runs are {sorted(runs)}", expected=f"injected and any of {RUNS[1:]}")
    ordered = [name for name in RUNS if name in runs]
    histories = {name: CycleHistory(runs[name], forcing_years) for name in ordered}
    grid = histories["injected"].grid
    for name, history in histories.items():
        if not same_cells(history.grid, grid):
            raise InputError(
                history.paths[0],
                f"the {name} run has {len(history.grid.row)} land cells of another grid",
                expected=f"the {len(grid.row)} land cells of {histories['injected'].paths[0]}",
                remedy="give runs of one domain",
            )
    subsets = {ALL_CELLS: np.arange(len(grid.row))}
    if split is not None:
        tested = blocked_test_cells(split, grid)
        if len(tested):
            subsets[TEST_CELLS] = tested
        else:
            LOGGER.info(
                "no test cell of %s lies in the domain: all its cells are judged, and no others", split
            )
    verdicts = {name: assess_subsets(history, settings, subsets) for name, history in histories.items()}
    content: dict[str, Any] = {
        "provenance": _provenance(settings, runs, split),
        "thresholds": settings.model_dump(),
        "forcing_years": forcing_years,
        "runs": {
            run: {subset: verdict.as_json() for subset, verdict in by_subset.items()}
            for run, by_subset in verdicts.items()
        },
    }
    if "reference" in verdicts:
        content["relation_to_reference"] = {
            run: {
                subset: _relative_errors(verdict, verdicts["reference"][subset])
                for subset, verdict in verdicts[run].items()
            }
            for run in ordered
            if run != "reference"
        }
    if "control" in verdicts:
        content["injected_against_control"] = {
            subset: _against_control(verdicts["injected"][subset], verdicts["control"][subset], settings)
            for subset in subsets
        }
    _write_drift(
        drift, {run: verdicts[run][ALL_CELLS] for run in ordered}, grid, subsets.get(TEST_CELLS), settings
    )
    write_json(output, content)
    for run in ordered:
        for line in describe(verdicts[run][ALL_CELLS]):
            LOGGER.info("%s: %s", run, line)
    return content


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
    weight = verdict.cell.land_area_m2 / verdict.cell.land_area_m2.sum()
    for stock in ("totsomc", "totvegc"):
        difference = getattr(verdict.cell, stock) - getattr(reference.cell, stock)
        errors[f"{stock}_cell_rmse_kgc_m2"] = float(np.sqrt(weight @ difference**2)) / 1000.0
    return errors


def _against_control(
    injected: RunVerdict, control: RunVerdict, settings: EquilibriumSettings
) -> dict[str, float | bool]:
    """What injection gained: drifts against a third of the control's, area against the control's."""
    result: dict[str, float | bool] = {}
    for name in ("drift_totsomc_pgc_per_yr", "drift_totvegc_pgc_per_yr"):
        ours, theirs = abs(injected.value(name)), abs(control.value(name))
        limit = max(_SHARE_OF_CONTROL * theirs, settings.stock_drift_pgc_per_yr)
        result[f"{name}_limit"] = limit
        result[f"{name}_within_limit"] = ours <= limit
    area = "area_out_of_equilibrium"
    result[f"{area}_smaller"] = injected.value(area) < control.value(area)
    return result


def _write_drift(
    path: str | Path,
    verdicts: Mapping[str, RunVerdict],
    grid: HistoryGrid,
    test: np.ndarray | None,
    settings: EquilibriumSettings,
) -> None:
    fields = {
        "area": variable("gridcell", grid.area, "km^2", "area of the cell"),
        "landfrac": variable("gridcell", grid.landfrac, "1", "land fraction"),
    }
    if test is not None:
        inside = np.zeros(len(grid.row), dtype=np.int8)
        inside[test] = 1
        fields["test_cell"] = flags(
            "gridcell", inside, "blocked test cells", {"other_cell": 0, "test_cell": 1}
        )
    for run, verdict in verdicts.items():
        years = f"last {verdict.forcing_years} years minus the {verdict.forcing_years} before, per year"
        fields[f"drift_{run}"] = variable(
            "gridcell", verdict.cell.drift, "gC/m^2/yr", f"TOTECOSYSC, {run} run: {years}"
        )
        for stock in ("totsomc", "totvegc"):
            fields[f"{stock}_{run}"] = variable(
                "gridcell",
                getattr(verdict.cell, stock),
                "gC/m^2",
                f"{stock.upper()}, {run} run: mean of the last cycle",
                cell_methods="time: mean",
            )
    attributes = {
        "title": "Drift of ecosystem carbon and end stocks of every run, per land cell",
        "settings_hash": settings_hash(settings.model_dump()),
    }
    write_product(path, xr.Dataset(fields, cell_coordinates(grid.lat, grid.lon), attributes))


def _provenance(
    settings: EquilibriumSettings,
    runs: Mapping[str, Sequence[str | Path]],
    split: str | Path | None = None,
) -> dict[str, Any]:
    # Histories of real grids are hundreds of GB: name and size identify them, a hash would cost more
    # than the verdict.
    files = {
        run: [{"file": Path(path).name, "bytes": Path(path).stat().st_size} for path in paths]
        for run, paths in runs.items()
    }
    content: dict[str, Any] = {
        "code_version": code_version(),
        "settings_hash": settings_hash(settings.model_dump()),
        "history": files,
    }
    if split is not None:
        content["split_sha256"] = sha256_file(split)
    return content
