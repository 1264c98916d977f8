"""Speed of the embedded model, printed as JSON by `phase bench landmodel`."""

from __future__ import annotations

import resource
import tempfile
import time
from pathlib import Path
from typing import Any

from phase_lib.base.errors import InputError
from phase_lib.base.provenance import code_version
from phase_lib.config.loading import validate
from phase_lib.elm.domain import read_domain
from phase_lib.forcing.reduce import reduce_forcing
from phase_lib.landmodel.domain import Domain, Segment
from phase_lib.landmodel.embedded.segment import run_segment
from phase_lib.landmodel.embedded.settings import EmbeddedSettings
from phase_lib.landmodel.embedded.world.build import count_cells, make_world

#: Share of the years in AD mode, as in the conventional protocol, and forcing cycle, years.
_AD_SHARE, _CYCLE = 1.0 / 3.0, 20
#: Cell sizes of the worlds, degrees.
_RESOLUTIONS = (5.0, 4.0, 3.0, 2.5, 2.0, 1.5, 1.0, 0.5, 0.25)


def bench_landmodel(years: int, cells: int, threads: int, device: str) -> dict[str, Any]:
    """Runs the land model on a world that it makes, and measures it.

    Args:
        years: model years, rounded to whole forcing cycles; a third of them in AD mode.
        cells: number of land cells; the world is the coarsest that has as many.
        threads: processes.
        device: `cpu` or `cuda`.

    Returns:
        Seconds of the run with reading and writing, cell-years per second, peak memory in MiB.

    Raises:
        InputError: no world has that number of cells.
    """
    settings = _world_of(cells)
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        make_world(settings, directory, workers=threads)
        domain = read_domain(directory / "domain.lnd.nc")
        monthly, forcing = directory / "monthly.nc", sorted((directory / "forcing").glob("*.nc"))
        first = settings.forcing_first_year
        reduce_forcing(
            forcing, domain, monthly, first_year=first, years=_CYCLE, limit_km=2000.0, workers=threads
        )
        ad_years = max(_CYCLE, round(years * _AD_SHARE / _CYCLE) * _CYCLE)
        normal_years = max(_CYCLE, round(years / _CYCLE) * _CYCLE - ad_years)
        files = Domain(
            "bench",
            _CYCLE,
            domain=directory / "domain.lnd.nc",
            surface=directory / "surfdata.nc",
            params=directory / "clm_params.nc",
            soil_params=directory / "CNP_parameters.nc",
            monthly=(monthly,),
        )
        start, runs = 1 + ad_years, directory / "runs"
        ad = Segment("ad", "ad", 1, ad_years, None, files, runs, threads=threads)
        normal = Segment("normal", "normal", start, normal_years, ad.restart, files, runs, threads=threads)
        begin = time.perf_counter()
        for segment in (ad, normal):
            run_segment(segment, EmbeddedSettings(device=device))
        seconds = time.perf_counter() - begin
    total = ad_years + normal_years
    usage = [resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return {
        "benchmark": "landmodel",
        "cells": domain.ncells,
        "resolution_deg": settings.resolution_deg,
        "years": total,
        "threads": threads,
        "device": device,
        "seconds": round(seconds, 2),
        "cell_years_per_second": round(domain.ncells * total / seconds, 1),
        "peak_memory_mib": round(sum(usage) / 1024.0),
        "code_version": code_version(),
    }


def _world_of(cells: int) -> EmbeddedSettings:
    """The coarsest world with at least so many land cells, reduced to that number."""
    there = 0
    for degrees in _RESOLUTIONS:
        settings = validate(EmbeddedSettings, {"resolution_deg": degrees, "cells": cells}, "--cells")
        there = count_cells(settings)
        if there == cells:
            return settings
    raise InputError(
        "--cells",
        f"{cells} cells",
        expected=f"at most {there}, the land cells of the finest world ({_RESOLUTIONS[-1]:g} degrees)",
        remedy="ask for fewer",
    )
