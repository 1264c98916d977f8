"""One segment: from a restart (or a cold start) to the restart some years later, with its history."""

from __future__ import annotations

import math
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from multiprocessing import get_context

import numpy as np
import torch

from phase_lib.base.errors import InputError, ModelAbort
from phase_lib.base.progress import LOGGER, Ticker
from phase_lib.elm.constants import DAYS_PER_MONTH, SECONDS_PER_YEAR
from phase_lib.elm.soil_budget import SOIL_FLUXES
from phase_lib.elm.soil_grid import NLEVDECOMP
from phase_lib.elm.variables import ELEMENTS, SOIL_POOLS
from phase_lib.forcing.pieces import MonthlyForcing
from phase_lib.landmodel.domain import ANNUAL_TAPE, CYCLE_TAPE, Segment
from phase_lib.landmodel.embedded.environment import Environment, compute_environment
from phase_lib.landmodel.embedded.history import FIELDS, write_history
from phase_lib.landmodel.embedded.inputs import RunInputs, read_run_inputs
from phase_lib.landmodel.embedded.model import FLUXES, EmbeddedModel, Protocol
from phase_lib.landmodel.embedded.restart import Physics, read_restart, write_restart
from phase_lib.landmodel.embedded.settings import EmbeddedSettings
from phase_lib.landmodel.embedded.site import Site, SiteInputs
from phase_lib.landmodel.embedded.state import Snapshot, cold_snapshot, from_state, to_state
from phase_lib.landmodel.tapes import ANNUAL_FIELDS

#: Cells that one process integrates at a time: a block's state then fits the processor's cache.
BLOCK_CELLS = 350
#: Fields by layer on the tape of the means over a cycle.
LAYERED = tuple(f"{pool.name.upper()}{element.upper()}_vr" for pool in SOIL_POOLS for element in ELEMENTS)


@dataclass(frozen=True)
class _Result:
    """State, physics, and means by name, of cells.

    Attributes:
        snapshot, physics: at the end.
        annual: of years (year, cell).
        layered: of cycles (cycle, levdecomp, cell).
        by_year: of years (year, levdecomp, cell).
    """

    snapshot: Snapshot
    physics: Physics
    annual: dict[str, np.ndarray]
    layered: dict[str, np.ndarray]
    by_year: dict[str, np.ndarray]


def run_segment(segment: Segment, settings: EmbeddedSettings) -> None:
    """Runs a segment and writes its restart, its means over forcing cycles (h0) and annual means (h1).

    Raises:
        InputError: files do not belong together, the restart holds a pool that is not sound, an AD segment
            does not cover whole forcing cycles, or the model does not have a requested field.
        ModelAbort: a pool or a balance is not sound.
    """
    inputs = read_run_inputs(segment.domain)
    _check(segment, inputs)
    if segment.finidat is None:
        snapshot = cold_snapshot(inputs.site)
    else:
        flag, factor = segment.spinup_state, segment.spinup.spinup_mortality_factor
        snapshot = read_restart(segment.finidat, inputs, spinup_state=flag, mortality_factor=factor)
    _write(segment, inputs, _integrate(segment, settings, inputs, snapshot))


def _check(segment: Segment, inputs: RunInputs) -> None:
    cycle = inputs.forcing.years
    if segment.mode == "ad" and segment.years % cycle:
        what = f"the forcing cycle of {cycle} years does not divide a segment of {segment.years} years"
        remedy = "change segment_years, input_years or the forcing years"
        raise InputError(None, what, expected="segments of whole forcing cycles", remedy=remedy)
    layered, spinup = (*LAYERED, *SOIL_FLUXES), segment.spinup
    for key, asked, known in (
        ("history_fields", spinup.history_fields, (*FIELDS, *layered)),
        ("annual_fields", spinup.annual_fields, (*ANNUAL_FIELDS, *layered)),
    ):
        if unknown := [name for name in asked if name not in known]:
            what = f"{unknown[0]} is no field of the embedded land model on this tape"
            expected = f"any of {', '.join(known)}"
            raise InputError(f"spinup.{key}", what, expected=expected, remedy="leave it out")
    if inputs.forcing.years != segment.domain.cycle:
        what, remedy = f"the monthly forcing has {cycle} years", "give all pieces, or another --forcing-years"
        raise InputError(
            None, what, expected=f"the forcing cycle of {segment.domain.cycle} years", remedy=remedy
        )
    if segment.mode == "ad" and segment.finidat is None and segment.start_year != 1:
        raise InputError(
            None, f"a cold start in year {segment.start_year}", expected="year 1: scalaravg_col counts years"
        )


def _integrate(
    segment: Segment, settings: EmbeddedSettings, inputs: RunInputs, snapshot: Snapshot
) -> list[_Result]:
    """Integrates contiguous blocks of nearly equal size, the same whatever the number of processes."""
    ncells, forcing = inputs.domain.ncells, inputs.forcing
    count = 1 if settings.device == "cuda" else math.ceil(ncells / BLOCK_CELLS)
    edges = np.linspace(0, ncells, count + 1).round().astype(int).tolist()
    tasks = [
        partial(
            _run_block,
            cells := slice(start, stop),
            inputs.site.select(cells),
            replace(forcing, values={name: values[:, cells] for name, values in forcing.values.items()}),
            {name: values[cells] for name, values in snapshot.items()},
            segment,
            settings,
        )
        for start, stop in pairwise(edges)
    ]
    LOGGER.info(
        "%s: %s mode, years %d to %d, %d cells in %d blocks",
        segment.case, segment.mode, segment.start_year, segment.end_year - 1, ncells, count,
    )  # fmt: skip
    workers = min(segment.threads, count)
    if workers == 1:
        return [task() for task in tasks]
    # The first block stays in this process, which shows the progress.
    with ProcessPoolExecutor(workers - 1, mp_context=get_context("spawn")) as pool:
        others = [pool.submit(task) for task in tasks[1:]]
        first = tasks[0]()
        return [first, *(future.result() for future in others)]


def _run_block(
    cells: slice,
    inputs: SiteInputs,
    forcing: MonthlyForcing,
    snapshot: Snapshot,
    segment: Segment,
    settings: EmbeddedSettings,
) -> _Result:
    """Integrates a block of cells; the first block shows the progress."""
    torch.set_num_threads(1)
    spinup = segment.spinup
    site = Site(inputs, torch.device(settings.device))
    environment = compute_environment(site, forcing, settings.co2_ppm)
    state = to_state(snapshot, site)
    protocol = Protocol(segment.mode, spinup.nyears_ad_carbon_only, spinup.spinup_mortality_factor)
    numbers = list(range(cells.start + 1, cells.stop + 1))
    try:
        model = EmbeddedModel(site, environment, state, protocol, numbers)
    except ModelAbort as error:
        if segment.finidat is None:
            raise
        raise InputError(segment.finidat, str(error), remedy="use the restart as ELM wrote it") from error
    # Of each model year: which of the segment's cycles it belongs to, and its share of that.
    number = np.repeat(np.arange(len(segment.cycles)), [end - start for start, end in segment.cycles])
    share = 1.0 / np.bincount(number)[number]
    annual = {name: np.empty((segment.years, site.ncells)) for name in FIELDS}
    layered = np.zeros((len(segment.cycles), len(SOIL_POOLS), len(ELEMENTS), NLEVDECOMP, site.ncells))
    asked = [name for name in SOIL_FLUXES if name in spinup.history_fields]
    fluxes = {name: np.zeros((len(layered), NLEVDECOMP, site.ncells)) for name in asked}
    by_year = {
        name: np.empty((segment.years, NLEVDECOMP, site.ncells), dtype=np.float32)
        for name in (*LAYERED, *SOIL_FLUXES)
        if name in spinup.annual_fields
    }
    ticker = Ticker("model year")
    for index, year in enumerate(range(segment.start_year, segment.end_year)):
        model.reset_means()
        model.run_year(year)
        for name, values in _annual_fields(model, year).items():
            annual[name][index] = values
        contents = model.soil_mean.cpu().numpy()
        layered[number[index]] += contents * share[index]
        if fluxes or by_year:
            of_year = dict(zip(LAYERED, contents.reshape(-1, *contents.shape[2:]), strict=True))
            for name, flux in model.soil_fluxes().items():
                of_year[name] = flux.cpu().numpy() / SECONDS_PER_YEAR
            for name, of_cycles in fluxes.items():
                of_cycles[number[index]] += of_year[name] * share[index]
            for name, of_years in by_year.items():
                of_years[index] = of_year[name]
        if cells.start == 0:
            ticker.tick(year, segment.end_year - 1)
    pools = layered.reshape(len(layered), -1, *layered.shape[3:])
    names = {name: pools[:, row] for row, name in enumerate(LAYERED)} | fluxes
    end = from_state(model.state, site, snapshot)
    return _Result(end, _physics(environment, segment.end_year), annual, names, by_year)


def _annual_fields(model: EmbeddedModel, year: int) -> dict[str, np.ndarray]:
    """Annual means of all column fields (cell), history units."""
    fields = {name: model.flux[name] / SECONDS_PER_YEAR for name in FLUXES}
    fields |= model.mean
    fields["NEP"] = fields["GPP"] - fields["AR"] - fields["HR"]
    fields["NBP"] = fields["NEP"]
    fields["TOTECOSYSC"] = fields["TOTVEGC"] + fields["TOTLITC"] + fields["TOTSOMC"] + fields["CWDC"]
    env = model.env
    months = slice(start := 12 * ((year - 1) % env.years), start + 12)
    days = model.site.tensor([float(d) for d in DAYS_PER_MONTH])[:, None] / 365.0
    fields["TBOT"] = (env.air[months] * days).sum(0)
    fields["RAIN"], fields["SNOW"] = (x[months].sum(0) / SECONDS_PER_YEAR for x in (env.rain, env.snowfall))
    fields["H2OSNO"] = (env.snow[months] * days).sum(0)
    fields["TWS"] = (env.soil_water[months] * days).sum(0) + fields["H2OSNO"]
    return {name: fields[name].cpu().numpy() for name in FIELDS}


def _physics(env: Environment, year: int) -> Physics:
    """Physical state on the first of January of `year`: that of the month before."""
    last = (12 * (year - 1) - 1) % (12 * env.years)
    index = (year - 2) % env.years
    physics = {
        "temperature": env.soil_temperature[last].T,
        "saturation": env.wetness[last],
        "H2OSNO": env.snow[last],
        "T_SCALAR": env.t_scalar[last].T,
        "altmax": env.altmax[index],
        "altmax_lastyear": env.altmax[index - 1],
        "cannavg_t2m": env.air[12 * index : 12 * index + 12].mean(0),
    }
    return {name: values.cpu().numpy() for name, values in physics.items()}


def _joined(parts: list[dict[str, np.ndarray]], axis: int = 0) -> dict[str, np.ndarray]:
    """Joins blocks of cells in order."""
    return {name: np.concatenate([part[name] for part in parts], axis) for name in parts[0]}


def _write(segment: Segment, inputs: RunInputs, results: list[_Result]) -> None:
    annual = _joined([result.annual for result in results], axis=-1)
    layered = _joined([result.layered for result in results], axis=-1)
    by_year = _joined([result.by_year for result in results], axis=-1)
    tapes = segment.history(CYCLE_TAPE), segment.history(ANNUAL_TAPE)
    for number, (of_cycle, of_years, (start, end)) in enumerate(zip(*tapes, segment.cycles, strict=True)):
        rows = slice(start - segment.start_year, end - segment.start_year)
        means = {name: values[rows].mean(axis=0, keepdims=True) for name, values in annual.items()}
        profile = {name: values[number : number + 1] for name, values in layered.items()}
        write_history(of_cycle, inputs, segment.case, np.array([[start, end]]), means, profile)
        bounds = np.arange(start, end)[:, None] + np.array([0, 1])
        years = {name: annual[name][rows] for name in ANNUAL_FIELDS}
        layers = {name: values[rows] for name, values in by_year.items()}
        write_history(of_years, inputs, segment.case, bounds, years, layers)
    physics = _joined([result.physics for result in results])
    write_restart(segment, _joined([result.snapshot for result in results]), physics, inputs)
