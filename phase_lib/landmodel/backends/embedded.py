"""The embedded land model as the workflow sees it; methods import what is slow to import."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from phase_lib.base.errors import InputError
from phase_lib.config.domains import DomainFiles
from phase_lib.config.spinup import Role
from phase_lib.landmodel.domain import RUN_FILES, Domain, Forcing, Segment
from phase_lib.landmodel.embedded.settings import (
    SEGMENT_KEYS,
    STEPS_PER_DAY,
    STREAMS,
    WORLD_KEYS,
    EmbeddedSettings,
    forcing_name,
)
from phase_lib.landmodel.interface import Cost, Job, LandModel, Step, World

#: Land cells of the globe without Antarctica at 1 degree.
_CELLS_AT_ONE_DEGREE = 17_500
#: Bytes per cell of a restart (as in real ones), of the history of a cycle, and of a mean of a field on soil
#: layers (measured; history has all points of the grid, ocean too).
_RESTART_BYTES, _HISTORY_BYTES, _FIELD_BYTES = 150_000, 10_000, 225
#: Cells that a core integrates over a year in a second (measured).
_CELL_YEARS_PER_SECOND = 4000.0
#: All other jobs wait for AD and reference, which take both cores of a laptop; the short runs share them.
_THREADS: dict[Role, int] = {"ad": 2, "reference": 2}


class Embedded(LandModel[EmbeddedSettings]):
    """The reduced-complexity ELM of this library, on its own world or on any domain."""

    name = "embedded"
    settings_model = EmbeddedSettings
    makes_domain = True
    soil_budget = True
    monthly_forcing = True
    segment_settings = SEGMENT_KEYS
    segment_code = ("landmodel/embedded/segment",)
    limits = (
        "The embedded land model is a reduced-complexity stand-in for ELM: it has ELM's files, pools, units "
        "and spin-up semantics, and a simpler physiology. Its numbers say how well the method works on such "
        "a model, not what the Earth's soils hold.",
        "Its soil temperature, water and snow follow from the forcing alone and do not respond to the carbon "
        "that is injected: the physics of a coupled run is not tested here.",
    )
    limits_of_learning = (
        "The surrogate learnt from the embedded land model, a reduced-complexity stand-in for ELM with "
        "weather of its own. Predicted pools inherit its physiology. Labels from a reference run of ELM "
        "(domains.NAME.reference_restart, training.domains) do not have this fault.",
    )

    def cycle(self, name: str, files: DomainFiles | None) -> int | None:
        """The years of the world's weather, or of the forcing files."""
        return self.settings.forcing_years if files is None else super().cycle(name, files)

    def describe(self, name: str, files: DomainFiles | None, directory: Path) -> Domain:
        """The world that it makes, or a domain from files."""
        if files is not None:
            return super().describe(name, files, directory)
        world, settings = directory / "world", self.settings
        years = range(settings.forcing_first_year, settings.forcing_first_year + settings.forcing_years)
        names = [forcing_name(s, year, month) for s in STREAMS for year in years for month in range(1, 13)]
        forcing = Forcing(
            kind="datm",
            files=tuple(world / "forcing" / name for name in names),
            patterns=((world / "forcing" / "clmforc.embedded.*.nc").as_posix(),),
            product=f"embedded world, seed {settings.seed}",
            first_year=years[0],
            years=len(years),
            align_year=1,
            limit_km=settings.forcing_limit_km,
            step_hours=24.0 / STEPS_PER_DAY,
        )
        return Domain(
            name,
            len(years),
            self.name,
            domain=world / "domain.lnd.nc",
            surface=world / "surfdata.nc",
            params=world / "clm_params.nc",
            soil_params=world / "CNP_parameters.nc",
            forcing=forcing,
            made=frozenset({"domain", "surface", "params", "soil_params", "forcing"}),
        )

    def steps(self, domain: Domain) -> list[Step]:
        """Geography, soils, vegetation and weather of the world."""
        if "domain" not in domain.made or domain.forcing is None:
            return []
        files = [getattr(domain, key) for key in RUN_FILES]
        return [
            Step(
                "make_world",
                inputs=(),
                outputs=(*files, *domain.forcing.files),
                settings=WORLD_KEYS,
                code=("landmodel/embedded/world",),
                message="making the world: domain, surface, parameters and forcing",
                job=Job(threads=2),
            )
        ]

    def prepare(self, step: str, domain: Domain, directory: Path, threads: int) -> None:
        """Makes the world."""
        from phase_lib.landmodel.embedded.world.build import make_world

        make_world(self.settings, directory, threads)

    def check(self, domain: Domain, segments: Sequence[Segment]) -> Iterator[InputError]:
        """Restarts from which it starts have one soil landunit in each cell, as its own have."""
        from phase_lib.elm.restart import read_header

        for path in (domain.restart, domain.reference_ad_restart) if domain.chains else ():
            if path is not None:
                dims = read_header(path)[0].dims
                if dims["landunit"] != dims["gridcell"]:
                    what = f"has {dims['landunit']} landunits on {dims['gridcell']} cells"
                    expected = "one a cell: the embedded land model runs natural vegetation alone"
                    remedy = "continue it with its own model, or set land_model.backend to archive"
                    yield InputError(path, what, expected=expected, remedy=remedy)

    def job(self, role: Role, segment: Segment) -> Job:
        """Processes on one node."""
        return Job(_THREADS.get(role, 1))

    def run(self, segment: Segment) -> None:
        """Integrates all cells, block by block."""
        from phase_lib.landmodel.embedded.segment import run_segment

        run_segment(segment, self.settings)

    def cost(self, cells: int) -> Cost:
        """Measured speed times cells."""
        core_hours = cells / _CELL_YEARS_PER_SECOND / 3600.0
        return Cost(core_hours, cells * _RESTART_BYTES, cells * _HISTORY_BYTES, cells * _FIELD_BYTES)

    def world(self, domain: Domain) -> World:
        """The number of cells follows from the area; in a box all cells count as land."""
        settings = self.settings
        cells = _CELLS_AT_ONE_DEGREE / settings.resolution_deg**2
        if settings.bounds is not None:
            south, north, west, east = settings.bounds
            width = (east - west) % 360.0 or 360.0
            cells = min(cells, (north - south) * width / settings.resolution_deg**2)
        count = min(math.ceil(cells), settings.cells or math.ceil(cells))
        return World(
            count,
            settings.forcing_bytes(),
            f"about {count} land cells of {settings.resolution_deg:g} degrees, forcing of "
            f"{settings.forcing_years} years from {settings.forcing_first_year:04d}",
        )
