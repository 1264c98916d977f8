"""Real ELM through CIME, on an E3SM checkout and a machine that CIME knows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

from phase_lib.base.errors import InputError
from phase_lib.config.domains import DomainFiles
from phase_lib.config.spinup import Role
from phase_lib.landmodel.cime.settings import CASE_KEYS, RUN_KEYS, CimeSettings, Layout
from phase_lib.landmodel.domain import RUN_FILES, Domain, Segment
from phase_lib.landmodel.interface import Cost, Job, LandModel, Step, World

if TYPE_CHECKING:
    from phase_lib.landmodel.cime.cases import Cases

#: Bytes per cell of a set of restarts (as in real ones: 150 kB are ELM's own), and of the history of a cycle
#: with the budget of the soil.
_RESTART_BYTES, _HISTORY_BYTES = 190_000, 60_000
#: Bytes per cell of a year of annual means, which stay in the run directory beside the file that joins them.
_ANNUAL_BYTES = 2_000
#: Minutes in which one core checks and joins what the model has written.
_CHECKS = 15
#: Processes of the compiler, and what they need beside cores: minutes and megabytes.
_COMPILERS, _BUILD = 8, {"runtime": 120, "mem_mb": 16000}
_CODE = ("landmodel/cime",)


class Cime(LandModel[CimeSettings]):
    """ELM in cases of CIME."""

    name = "cime"
    settings_model = CimeSettings
    soil_budget = True
    segment_settings = CASE_KEYS
    job_settings = RUN_KEYS
    segment_code = _CODE

    def for_domain(self, name: str) -> Self:
        """With the keys of `cime.by_domain`."""
        return type(self)(self.settings.for_domain(name))

    def cycle(self, name: str, files: DomainFiles | None) -> int | None:
        """The years of the forcing files, or of the streams of a case that exists."""
        return super().cycle(name, self._completed(name, files))

    def describe(self, name: str, files: DomainFiles | None, directory: Path) -> Domain:
        """A domain whose files are given, are read back from a case, or are chosen by the case to be made."""
        completed = self._completed(name, files)
        if completed is None or completed.forcing is None:
            what = "has no forcing, and no case in cime.cases from whose streams it could be read"
            remedy = "give domains.NAME.forcing: the files, years and align_year that DATM shall read"
            raise InputError(f"domains.{name}", what, remedy=remedy)
        cases = self._cases(directory / "landmodel" / "cases" / name, name)
        return Domain.from_config(name, completed, self.name, {key: cases.link(key) for key in RUN_FILES})

    def _completed(self, name: str, files: DomainFiles | None) -> DomainFiles | None:
        """Files of a domain, with what its case says where a case exists and they are not given."""
        from phase_lib.landmodel.cime.case import Case
        from phase_lib.landmodel.cime.cases import files_of_case
        from phase_lib.landmodel.cime.streams import read_streams

        if files is None or name not in self.settings.cases:
            return files
        case = Case(Path(self.settings.cases[name]))
        more: dict[str, object] = {key: str(path) for key, path in files_of_case(case).items()}
        if files.forcing is None:
            more["forcing"] = read_streams(case.directory).section(f"streams of {case.name}")
        absent = {key: value for key, value in more.items() if getattr(files, key) is None}
        return files.model_copy(update=absent)

    def _cases(self, directory: Path, domain: str) -> Cases:
        from phase_lib.landmodel.cime.cases import Cases

        return Cases(directory.absolute(), self.settings, domain)

    def steps(self, domain: Domain) -> list[Step]:
        """The base case of the domain, and its executable."""
        cases = self._cases(domain.directory / "cases" / domain.name, domain.name)
        place = domain.directory / "cases" / domain.name
        links = tuple(place / f"{key}.nc" for key in RUN_FILES if key in domain.made)
        typed = tuple(path for key in RUN_FILES if key not in domain.made and (path := getattr(domain, key)))
        given = cases.is_given
        job = Job(local=self.settings.submit == "cime")
        create, build = f"create_case_{domain.name}", f"build_case_{domain.name}"
        return [
            Step(
                create,
                (*typed, *cases.inputs),
                (place / cases.made.name, *links),
                CASE_KEYS,
                _CODE,
                f"{'reading' if given else 'making'} the case of {domain.name}",
                job,
            ),
            Step(
                build,
                (place / cases.made.name,),
                (place / cases.built.name,),
                CASE_KEYS,
                _CODE,
                f"building ELM for {domain.name}",
                Job(1, local=True) if job.local else Job(_COMPILERS, _BUILD),
            ),
        ]

    def prepare(self, step: str, domain: Domain, directory: Path, threads: int) -> None:
        """Makes the case or builds it."""
        from phase_lib.landmodel.cime.building import build_base

        cases = self._cases(directory, domain.name)
        if step.startswith("create_case"):
            cases.make_base(domain)
        else:
            build_base(cases, threads)

    def check(self, domain: Domain, segments: Sequence[Segment]) -> Iterator[InputError]:
        """A trial case is made, and everything that a case can say of itself without a build is read."""
        from phase_lib.landmodel.cime.trial import faults

        yield from faults(self.settings, domain, segments)

    def job(self, role: Role, segment: Segment) -> Job:
        """Whole nodes and MPI tasks; CIME's own jobs ask for theirs themselves."""
        settings = self.settings
        if settings.submit == "cime":
            return Job(local=True)
        layout = self._layout
        # Threads that a profile sets are no cores of a task. Snakemake's executor takes one task for no MPI.
        resources: dict[str, int | str] = {"tasks": layout.tasks, "cpus_per_task": layout.cores}
        if layout.tasks > 1:
            resources["mpi"] = settings.mpi
            if layout.nodes is not None:
                # Nodes come with all their memory.
                resources |= {"nodes": layout.nodes, "mem_mb": 0}
        if settings.minutes_per_year is not None:
            minutes = segment.years * settings.minutes_per_year
            resources["runtime"] = math.ceil(minutes + settings.margin_minutes + _CHECKS)
        return Job(1, resources)

    def run(self, segment: Segment) -> None:
        """Runs the segment in the case of its run."""
        from phase_lib.landmodel.cime.running import run_segment

        directory = segment.domain.directory / "cases" / segment.domain.name
        run_segment(segment, self.settings, directory.absolute())

    @cached_property
    def _layout(self) -> Layout:
        """Of the settings, or of the case that exists and keeps its own."""
        from phase_lib.landmodel.cime.case import Case

        [*given] = self.settings.cases.values()
        return self.settings.layout or Case(Path(given[0])).layout

    def cost(self, cells: int) -> Cost:
        """By the speed that the settings give."""
        speed = self.settings.years_per_day
        core_hours = None if speed is None else 24.0 * self._layout.tasks / speed
        running = _RESTART_BYTES / self.settings.restart_years + _ANNUAL_BYTES
        return Cost(core_hours, cells * _RESTART_BYTES, cells * _HISTORY_BYTES, running_bytes=cells * running)

    def world(self, domain: Domain) -> World:
        """How many cells the grid of a case has, is known when the case is made."""
        from phase_lib.elm.domain import read_domain

        grid, file = f"the grid {self.settings.resolution} of CIME", domain.domain
        if file is None or not file.is_file():
            return World(0, 0.0, f"{grid}, whose size the case will show")
        cells = read_domain(file).ncells
        return World(cells, 0.0, f"{grid}, {cells} land cells")
