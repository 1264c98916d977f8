"""Restarts are in the expected spin-up state and at the expected date; histories cover the right years."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from phase_lib.config.equilibrium import EquilibriumSettings
from phase_lib.elm.constants import CASCADE_CTC, SPINUP_AD, SPINUP_NORMAL
from phase_lib.elm.dead_wood import read_wood, settle_factor, stated_factor
from phase_lib.elm.gather import gather
from phase_lib.elm.history import History
from phase_lib.elm.history_header import other_than_means
from phase_lib.elm.netcdf import get_variable, is_fill, open_dataset
from phase_lib.elm.parameters import read_parameters
from phase_lib.elm.spinup import SCALARAVG_LAYER, SCALARAVG_YEARS, rates_were_divided
from phase_lib.equilibrium.criteria import FIELDS, assess
from phase_lib.fusion.schema import SCALAR_TARGETS, SCALARS
from phase_lib.fusion.sources import FLUX_UNITS
from phase_lib.landmodel.domain import Domain
from phase_lib.preflight.facts import HistoryFacts, Restart, RestartSummary
from phase_lib.preflight.findings import Finding, finding


def check_input(restart: Restart) -> Iterator[Finding]:
    """The restart that the surrogate reads and that is injected: its state is known, and AD can be undone."""
    summary = restart.summary
    yield from _check_header(summary)
    if summary.spinup_state is None:
        yield finding(
            summary.file,
            "variable spinup_state is missing",
            expected="0 (normal mode) or 1 (AD), as the space of the pools follows from it",
            remedy="use the restart as ELM wrote it",
        )
    if summary.spinup_state == SPINUP_AD and rates_were_divided(summary.year):
        yield from check_scalaravg(restart)


def judge_wood(restart: Restart, files: Domain, parameters: Path | None) -> str:
    """Compares the mortality factor that is given for an AD run with the wood of its restart.

    Returns:
        What the wood shows, in words; empty where it shows nothing, or without a sound parameter file.

    Raises:
        InputError: the wood contradicts the factor, or `lnd_in` is of another run.
    """
    factor = stated_factor(files.mortality_factor, files.ad_settings, restart.path)
    wood = None if parameters is None else read_wood(restart.path, read_parameters(parameters))
    if wood is None:
        return ""
    if factor is not None:
        settle_factor(restart.path, factor, wood)
    return wood.description


def check_reference(restart: Restart) -> Iterator[Finding]:
    """The final restart of the reference, which gives the labels: in normal mode."""
    yield from _check_header(restart.summary)
    yield from _check_state(
        restart.summary,
        SPINUP_NORMAL,
        "0 (normal mode): labels are normal-mode pools",
        "give the final restart of the reference run as reference_restart",
    )


def check_reference_ad(restart: Restart) -> Iterator[Finding]:
    """The restart at the end of the reference's AD part, whose `scalaravg_col` scales the exit from AD."""
    summary = restart.summary
    remedy = "give the last restart of the reference's AD part as reference_ad_restart"
    yield from _check_header(summary)
    yield from _check_state(summary, SPINUP_AD, "1 (AD)", remedy)
    if summary.year < SCALARAVG_YEARS[1]:
        yield finding(
            summary.file,
            f"is of model year {summary.year}: scalaravg_col is no mean yet",
            expected=f"model year {SCALARAVG_YEARS[1]} or later, as it is the mean over years "
            f"{SCALARAVG_YEARS[0]} to {SCALARAVG_YEARS[1] - 1}",
            remedy=remedy,
        )
    else:
        yield from check_scalaravg(restart)


def _check_state(restart: RestartSummary, wanted: int, expected: str, remedy: str) -> Iterator[Finding]:
    state = restart.spinup_state
    if state != wanted:
        fault = "missing" if state is None else f"{state} ({restart.mode})"
        yield finding(restart.file, f"spinup_state is {fault}", expected=expected, remedy=remedy)


def _check_header(restart: RestartSummary) -> Iterator[Finding]:
    if restart.decomp_cascade_state not in (None, CASCADE_CTC):
        yield finding(
            restart.file,
            f"decomp_cascade_state is {restart.decomp_cascade_state}",
            expected=f"{CASCADE_CTC}, the CTC cascade",
            remedy="use a run with the CTC cascade (compsets ELM%CNPRDCTCBC)",
        )
    if restart.start_year is not None and restart.start_year > restart.year:
        yield finding(
            restart.file,
            f"timemgr_rst_start_ymd is of year {restart.start_year}, after the date of the restart, "
            f"{restart.date}",
            expected="the year in which its run began: how its AD run treated scalaravg_col follows from it",
            remedy="use the restart as ELM wrote it",
        )
    if not restart.date.endswith("-01-01"):
        yield finding(
            restart.file,
            f"timemgr_rst_curr_ymd is {restart.date}",
            expected="the start of a model year, where a forcing cycle ends",
            remedy="use a restart of January 1st",
        )


def check_scalaravg(restart: Restart) -> Iterator[Finding]:
    """`scalaravg_col` of an AD restart whose rates were divided by it, on the soil columns."""
    name, remedy = "scalaravg_col", "use the restart as ELM wrote it, of an AD run that began in year 1"
    path = restart.path
    with open_dataset(path) as dataset:
        if name not in dataset.variables:
            fault = f"variable {name} is missing"
            yield finding(path, fault, expected="the mean scalar of an AD run", remedy=remedy)
            return
        soil = restart.grid.soil
        values = gather(dataset[name], soil.column)[:, SCALARAVG_LAYER]
        unusable = is_fill(dataset[name], values) | ~((values > 0.0) & np.isfinite(values))
        if "cols1d_active" in dataset.variables:
            # Nothing is averaged under ice that covers the whole cell.
            unusable &= gather(dataset["cols1d_active"], soil.column) == 1
    if unusable.any():
        first = int(np.argmax(unusable))
        yield finding(
            path,
            f"variable {name} is not usable on {np.count_nonzero(unusable)} of {len(values)} soil columns, "
            f"first that of cell {soil.cell[first] + 1} with {values[first]:g}",
            expected="a mean above 0, by which the slow pools are taken out of AD",
            remedy=remedy,
        )


#: Fields that fusion takes from the history of the input run and of the reference.
INPUT_FIELDS, LABEL_FIELDS = tuple(SCALARS), SCALAR_TARGETS


def check_history(
    restart: RestartSummary, history: HistoryFacts, years: int, fields: tuple[str, ...]
) -> Iterator[Finding]:
    """The history is of the restart's case, holds the fields, and covers the cycle before the restart."""
    yield from _check_case(restart, history)
    end = restart.year
    if not history.covers(end - years, end):
        yield finding(
            history.cells.path,
            f"time_bounds: the history covers {history.covered(end - years, end):.2f} of the {years} years "
            f"before {restart.date}, the date of {restart.file}; it reaches from model year "
            f"{history.start[0]:.2f} to {history.end[-1]:.2f}",
            expected=f"the forcing cycle that ends there, model years {end - years} to {end - 1}",
            remedy="give all history files of these years, or the restart at their end",
        )
    missing = [name for name in fields if name not in history.fields]
    if missing:
        yield finding(
            history.cells.path,
            f"variables {', '.join(missing)} are missing in one or more of {history.files} files",
            expected=", ".join(fields),
            remedy="give the tape that holds them",
        )


def _check_case(restart: RestartSummary, history: HistoryFacts) -> Iterator[Finding]:
    if history.case and restart.case_id and history.case != restart.case_id:
        yield finding(
            history.path,
            f"is of case {history.case!r}",
            expected=f"case {restart.case_id!r}, that of {restart.file}",
            remedy="give the history of the run that wrote the restart",
            accept="history_case",
        )


def check_soil_history(
    restart: RestartSummary, history: HistoryFacts, files: Sequence[Path], last_years: int
) -> Iterator[Finding]:
    """The soil history is of the restart's case, and holds the carbon budget of its last years."""
    # It needs torch, which is slow to import.
    from phase_lib.fusion.steady import why_no_soil_years

    yield from _check_case(restart, history)
    if missed := why_no_soil_years(History(files), restart.year, last_years):
        yield finding(
            history.path,
            missed,
            expected=f"the carbon budget of the soil in the {last_years} years before {restart.date}",
            remedy="give a tape with the fields of docs/semi-analytic-start.md, or leave soil_history out",
        )


def check_fields(history: HistoryFacts, fields: tuple[str, ...]) -> Iterator[Finding]:
    """The fluxes that are taken from a history are means over time, in units that are known."""
    wrong = {name: history.no_means[name] for name in fields if name in history.no_means}
    for path, what in dict.fromkeys(wrong.values()):
        names = [name for name, place in wrong.items() if place == (path, what)]
        yield Finding(str(other_than_means(path, names, what)))
    with open_dataset(history.path) as dataset:
        for name in fields:
            if name in history.fields:
                get_variable(history.path, dataset, name, units=FLUX_UNITS, labelled=True)


def check_sizes(history: HistoryFacts) -> Iterator[Finding]:
    """The history of the input run has the areas of its cells, which the records and the report need."""
    if missing := history.grid.missing:
        yield finding(
            history.cells.path,
            f"variable {' and '.join(missing)} is missing",
            expected="those that ELM writes into every history file",
            remedy="use the file as ELM wrote it",
        )
        return
    _ = history.grid.land_area_m2  # refuses areas that cannot be


def judge_drift(
    history: HistoryFacts, years: int, settings: EquilibriumSettings
) -> tuple[str, list[Finding]]:
    """Judges whether the reference run is in equilibrium itself, if its history is long enough.

    Args:
        history: of the reference run; only the last two cycles of it are read.
        years: length of the forcing cycle.
        settings: thresholds.

    Returns:
        The answer in words, and the findings.
    """
    cycles = history.cycles(years)
    if cycles < 2:
        return f"drift of the targets: not judged, the history holds {_cycles(cycles)}", []
    missing = [field.name for field in FIELDS if field.required and field.name not in history.fields]
    if missing:
        return f"drift of the targets: not judged, the history has no {', '.join(missing)}", []
    verdict = assess(history.last(2 * years), years, settings)
    if verdict.in_equilibrium:
        count = len(verdict.tested)
        return f"drift of the targets: in equilibrium over {_cycles(cycles)}, {count} criteria hold", []
    failed = ", ".join(
        f"{c.rule.name} {c.value:.3g} (at most {c.threshold:.3g} {c.rule.units})"
        for c in verdict.criteria
        if not c.holds
    )
    return f"drift of the targets: NOT in equilibrium: {failed}", [
        finding(
            history.cells.path,
            f"the targets drift: {failed} over the last two of {_cycles(cycles)}",
            expected="labels in equilibrium, by the thresholds of the section equilibrium",
            remedy="run the reference on",
            accept="target_drift",
        )
    ]


def _cycles(count: int) -> str:
    return {0: "less than one cycle", 1: "one cycle"}.get(count, f"{count} cycles")
