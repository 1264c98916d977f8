"""One segment: from a restart (or a cold start) to the restart some years later, with its history."""

from __future__ import annotations

import math
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from multiprocessing import get_context

import numpy as np
import torch

from phase_lib.base.errors import InputError, ModelAbort
from phase_lib.base.progress import LOGGER, Ticker
from phase_lib.elm.constants import DAYS_PER_MONTH, SECONDS_PER_YEAR
from phase_lib.elm.soil_grid import NLEVDECOMP
from phase_lib.elm.variables import ELEMENTS, SOIL_POOLS
from phase_lib.forcing.pieces import MonthlyForcing
from phase_lib.landmodel.domain import ANNUAL_TAPE, CYCLE_TAPE, Segment
from phase_lib.landmodel.embedded.environment import Environment, compute_environment
from phase_lib.landmodel.embedded.history import ANNUAL_FIELDS, FIELDS, write_history
from phase_lib.landmodel.embedded.inputs import RunInputs, read_run_inputs
from phase_lib.landmodel.embedded.model import FLUXES, EmbeddedModel, Protocol
from phase_lib.landmodel.embedded.restart import Physics, read_restart, spinup_flag, write_restart
from phase_lib.landmodel.embedded.settings import EmbeddedSettings
from phase_lib.landmodel.embedded.site import Site, SiteInputs
from phase_lib.landmodel.embedded.snapshot import Snapshot, cold_snapshot, concatenate, from_state, to_state

#: Cells that one process integrates at a time: a block's state then fits the processor's cache.
BLOCK_CELLS = 350
#: Fields by layer on the tape of the means over a cycle.
LAYERED = tuple(f"{pool.name.upper()}{element.upper()}_vr" for pool in SOIL_POOLS for element in ELEMENTS)


@dataclass(frozen=True)
class _Block:
    """Cells that one process integrates."""

    number: int
    cells: slice
    inputs: SiteInputs
    forcing: MonthlyForcing
    snapshot: Snapshot
    segment: Segment
    settings: EmbeddedSettings
    quiet: bool


@dataclass(frozen=True)
class _BlockResult:
    snapshot: Snapshot
    physics: Physics
    annual: dict[str, np.ndarray]
    layered: dict[str, np.ndarray]


def run_segment(segment: Segment, settings: EmbeddedSettings) -> None:
    """Runs a segment and writes its restart, its means over forcing cycles (h0) and annual means (h1).

    Raises:
        InputError: files do not belong together, the restart holds a pool that is not sound, the segment does
            not cover whole forcing cycles, or a field is asked for that the model does not have.
        ModelAbort: a pool or a balance is not sound.
    """
    inputs = read_run_inputs(segment.domain)
    _check(segment, inputs)
    flag = spinup_flag(segment.mode)
    if segment.finidat is None:
        snapshot = cold_snapshot(inputs.site)
    else:
        factor = segment.spinup.spinup_mortality_factor
        snapshot = read_restart(segment.finidat, inputs, spinup_state=flag, mortality_factor=factor)
    _write(segment, inputs, _integrate(segment, settings, inputs, snapshot), flag)


def _check(segment: Segment, inputs: RunInputs) -> None:
    cycle = inputs.forcing.years
    if segment.years % cycle:
        raise InputError(
            None,
            f"the forcing cycle of {cycle} years does not divide a segment of {segment.years} years",
            expected="segments of whole forcing cycles",
            remedy="change segment_years, input_years or the forcing years",
        )
    if unknown := [
        name for name in segment.spinup.history_fields if name not in LAYERED and name not in FIELDS
    ]:
        raise InputError(
            "spinup.history_fields",
            f"{unknown[0]} is no field of the embedded land model",
            expected=f"any of {', '.join([*FIELDS, *LAYERED])}",
            remedy="leave it out",
        )
    if inputs.forcing.years != segment.domain.cycle:
        raise InputError(
            None,
            f"the monthly forcing has {inputs.forcing.years} years",
            expected=f"the forcing cycle of {segment.domain.cycle} years",
            remedy="give all pieces of it, or another --forcing-years",
        )
    if segment.mode == "ad" and segment.finidat is None and segment.start_year != 1:
        raise InputError(
            None, f"a cold start in year {segment.start_year}", expected="year 1: scalaravg_col counts years"
        )


def blocks_of(ncells: int) -> list[slice]:
    """Contiguous blocks of nearly equal size, whatever the number of processes."""
    count = math.ceil(ncells / BLOCK_CELLS)
    edges = np.linspace(0, ncells, count + 1).round().astype(int)
    return [slice(int(a), int(b)) for a, b in pairwise(edges)]


def _integrate(
    segment: Segment, settings: EmbeddedSettings, inputs: RunInputs, snapshot: Snapshot
) -> list[_BlockResult]:
    slices = (
        [slice(0, inputs.domain.ncells)] if settings.device == "cuda" else blocks_of(inputs.domain.ncells)
    )
    blocks = [
        _Block(
            number,
            cells,
            inputs.site.select(cells),
            MonthlyForcing(
                inputs.forcing.lat[cells],
                inputs.forcing.lon[cells],
                inputs.forcing.first_year,
                inputs.forcing.years,
                {name: values[:, cells] for name, values in inputs.forcing.values.items()},
            ),
            snapshot.select(cells),
            segment,
            settings,
            quiet=number > 0,
        )
        for number, cells in enumerate(slices)
    ]
    LOGGER.info(
        "%s: %s mode, years %d to %d, %d cells in %d blocks",
        segment.case, segment.mode, segment.start_year, segment.end_year - 1, inputs.domain.ncells,
        len(blocks),
    )  # fmt: skip
    workers = min(segment.threads, len(blocks))
    if workers == 1:
        return [_run_block(block) for block in blocks]
    # The first block stays in this process, which tells how far the run is.
    with ProcessPoolExecutor(workers - 1, mp_context=get_context("spawn")) as pool:
        others = [pool.submit(_run_block, block) for block in blocks[1:]]
        first = _run_block(blocks[0])
        return [first, *(future.result() for future in others)]


def _run_block(block: _Block) -> _BlockResult:
    torch.set_num_threads(1)
    segment, settings = block.segment, block.settings
    device = torch.device(settings.device)
    site = Site(block.inputs, device)
    environment = compute_environment(site, block.forcing, settings.co2_ppm)
    first = block.cells.start
    try:
        model = EmbeddedModel(
            site,
            environment,
            to_state(block.snapshot, site),
            Protocol(
                segment.mode, segment.spinup.nyears_ad_carbon_only, segment.spinup.spinup_mortality_factor
            ),
            list(range(first + 1, block.cells.stop + 1)),
        )
    except ModelAbort as error:
        if segment.finidat is None:
            raise
        raise InputError(segment.finidat, str(error), remedy="use the restart as ELM wrote it") from error
    ncells, cycle = site.ncells, environment.years
    annual = {name: np.empty((segment.years, ncells)) for name in FIELDS}
    layered = np.zeros((segment.years // cycle, len(SOIL_POOLS), len(ELEMENTS), NLEVDECOMP, ncells))
    ticker = Ticker("model year")
    for index in range(segment.years):
        year = segment.start_year + index
        model.reset_means()
        model.run_year(year)
        for name, values in _annual_fields(model, year).items():
            annual[name][index] = values
        layered[index // cycle] += model.soil_mean.cpu().numpy() / cycle
        if not block.quiet:
            ticker.tick(year, segment.start_year + segment.years - 1)
    pools = layered.reshape(len(layered), -1, *layered.shape[3:])
    names = {name: pools[:, row] for row, name in enumerate(LAYERED)}
    end = segment.start_year + segment.years
    return _BlockResult(
        from_state(model.state, site, block.snapshot), _physics(environment, end), annual, names
    )


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
    month = slice(12 * index, 12 * index + 12)
    return Physics(
        temperature=env.soil_temperature[last].T.cpu().numpy(),
        saturation=env.wetness[last].cpu().numpy(),
        snow=env.snow[last].cpu().numpy(),
        t_scalar=env.t_scalar[last].T.cpu().numpy(),
        altmax=env.altmax[index].cpu().numpy(),
        altmax_lastyear=env.altmax[index - 1].cpu().numpy(),
        annual_air=env.air[month].mean(0).cpu().numpy(),
    )


def _write(segment: Segment, inputs: RunInputs, results: list[_BlockResult], flag: int) -> None:
    cycle = inputs.forcing.years
    annual = {name: np.concatenate([r.annual[name] for r in results], axis=-1) for name in FIELDS}
    layered = {
        name: np.concatenate([r.layered[name] for r in results], axis=-1) for name in results[0].layered
    }
    files = zip(segment.history(CYCLE_TAPE), segment.history(ANNUAL_TAPE), strict=True)
    for number, (of_cycle, of_years) in enumerate(files):
        start = segment.start_year + number * cycle
        rows = slice(number * cycle, (number + 1) * cycle)
        means = {name: values[rows].mean(axis=0, keepdims=True) for name, values in annual.items()}
        profile = {name: values[number : number + 1] for name, values in layered.items()}
        write_history(of_cycle, inputs, segment.case, np.array([[start, start + cycle]]), means, profile)
        bounds = np.arange(start, start + cycle)[:, None] + np.array([0, 1])
        write_history(
            of_years, inputs, segment.case, bounds, {name: annual[name][rows] for name in ANNUAL_FIELDS}, {}
        )
    physics = Physics(
        **{
            name: np.concatenate([getattr(r.physics, name) for r in results])
            for name in Physics.__dataclass_fields__
        }
    )
    snapshot = concatenate([r.snapshot for r in results])
    write_restart(
        segment.restart,
        segment.case,
        segment.end_year,
        segment.start_year,
        flag,
        snapshot,
        physics,
        inputs,
        segment.spinup.spinup_mortality_factor,
    )
