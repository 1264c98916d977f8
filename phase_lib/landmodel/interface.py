"""What a land model must offer. It is a file in `backends/`, or a class of another package.

The workflow asks a land model for the files of a domain (`describe`), for what has to exist before its first
run (`steps`, `prepare`), and for its segments (`run`). A segment starts from a restart, or cold, and writes a
restart and two history tapes under names that the `Segment` gives. The workflow does the rest: it knows which
runs a domain needs, reduces the forcing, and does fusion, injection and verdict.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Generic, Self, TypeVar

from pydantic import BaseModel

from phase_lib.base.errors import InputError
from phase_lib.config.domains import DomainFiles
from phase_lib.config.spinup import Role
from phase_lib.landmodel.domain import Domain, Segment

_Settings = TypeVar("_Settings", bound=BaseModel | None)


@dataclass(frozen=True)
class Job:
    """How a job is run.

    Attributes:
        threads: cores.
        resources: by Snakemake's names, such as runtime, nodes, tasks, mpi.
        local: it runs beside Snakemake itself, also on a cluster: it computes nothing, and waits.
    """

    threads: int = 1
    resources: Mapping[str, int | str] = field(default_factory=dict)
    local: bool = False


@dataclass(frozen=True)
class Step:
    """Something to make before the runs of a domain: its files, a case, an executable.

    Attributes:
        name: of its rule; steps of several domains need different names.
        inputs: files.
        outputs: files; the segments of the domain wait for the first one.
        settings: keys of the section of the land model; a change makes the step again.
        code: modules (`base.provenance.code_hash`); a change makes the step again.
        message: what the step does, for the terminal.
        job: its cores and resources.
    """

    name: str
    inputs: tuple[Path, ...]
    outputs: tuple[Path, ...]
    settings: tuple[str, ...]
    code: tuple[str, ...]
    message: str
    job: Job = Job()


@dataclass(frozen=True)
class Cost:
    """Estimates for the check before a run.

    Attributes:
        core_hours: of a model year; None where they are not known.
        restart_bytes: of a restart.
        history_bytes: of the history of a forcing cycle, without further fields.
        field_bytes: of a mean of a further field on soil layers, as those are that corrections need.
        running_bytes: of a model year of a segment, beside its products, until the next segment begins.
    """

    core_hours: float | None
    restart_bytes: float
    history_bytes: float
    field_bytes: float = 0.0
    running_bytes: float = 0.0


@dataclass(frozen=True)
class World:
    """A domain whose files a land model makes: cells, 0 where nothing is known yet, bytes, a description."""

    cells: int
    bytes: float
    description: str


class LandModel(ABC, Generic[_Settings]):
    """A land model of the workflow.

    Class attributes:
        name: of its section of the configuration, and of its file or entry point.
        settings_model: model of that section; None where it has none.
        makes_domain: True where it makes a domain, which then has its name.
        runs: False where it only takes existing output.
        soil_budget: True where its segments write the fields of `elm.soil_budget` that `history_fields` asks
            for, so that its runs can be corrected.
        monthly_forcing: True where its segments read the monthly means that the workflow reduces
            (`domain.monthly`); False where they read the forcing files (`domain.forcing`).
        segment_settings: keys of its section; a change runs the segments again.
        job_settings: keys that say how steps and segments are run, not what they make; a change repeats
            nothing.
        segment_code: modules (`base.provenance.code_hash`); a change runs the segments again.
        limits: sentences about its runs, for the report.
        limits_of_learning: sentences about a surrogate that learnt from its runs and predicts for others.
    """

    name: ClassVar[str]
    settings_model: ClassVar[type[BaseModel] | None] = None
    makes_domain: ClassVar[bool] = False
    runs: ClassVar[bool] = True
    soil_budget: ClassVar[bool] = False
    monthly_forcing: ClassVar[bool] = False
    segment_settings: ClassVar[tuple[str, ...]] = ()
    job_settings: ClassVar[tuple[str, ...]] = ()
    segment_code: ClassVar[tuple[str, ...]] = ()
    limits: ClassVar[tuple[str, ...]] = ()
    limits_of_learning: ClassVar[tuple[str, ...]] = ()

    def __init__(self, settings: _Settings) -> None:
        self.settings = settings

    def for_domain(self, name: str) -> Self:
        """The land model with the settings of one domain, where these differ."""
        return self

    def cycle(self, name: str, files: DomainFiles | None) -> int | None:
        """Length of the forcing cycle of a domain, years; None where its forcing is not given.

        Args:
            name: of the domain.
            files: from the configuration; None for the domain that the land model makes.
        """
        return None if files is None or files.forcing is None else files.forcing.years

    def describe(self, name: str, files: DomainFiles | None, directory: Path) -> Domain:
        """The files of a domain, given or made, with its forcing.

        Args:
            name: of the domain.
            files: from the configuration; None for the domain that the land model makes.
            directory: of the run.

        Raises:
            InputError: a file that it needs is missing.
        """
        assert files is not None, f"{self.name} makes no domain"
        return Domain.from_config(name, files, self.name)

    def steps(self, domain: Domain) -> list[Step]:
        """What has to exist before the runs of a domain, in order; `domain.directory` may hold it."""
        return []

    def prepare(self, step: str, domain: Domain, directory: Path, threads: int) -> None:
        """Makes the outputs of a step.

        Args:
            step: its name.
            domain: with the files that exist before the run.
            directory: of its first output.
            threads: cores.
        """
        raise InputError("--step", f"{self.name} has no step {step}", remedy="choose another --backend")

    def check(self, domain: Domain, segments: Sequence[Segment]) -> Iterator[InputError]:
        """Faults in the existing files of a domain, or in its own set-up, before anything runs.

        Args:
            domain: with the files that exist.
            segments: that the run plans for it.
        """
        yield from ()

    def job(self, role: Role, segment: Segment) -> Job:
        """Cores and resources of a segment."""
        return Job()

    @abstractmethod
    def run(self, segment: Segment) -> None:
        """Writes `segment.restart` and `segment.history(tape)`, each whole or not at all.

        A model with other names for its output moves it there at the end, and keeps its own files in
        `segment.directory` or beside it. After a lost job the workflow runs the same segment again; the land
        model may go on from its own files. The tapes hold the fields of docs/real-elm.md; the tape of
        means also holds `segment.spinup.history_fields`, the annual tape `segment.spinup.annual_fields`.

        Raises:
            InputError: files do not belong together, or the model does not have a requested field.
            ModelAbort: the model stopped, or its result is not sound.
        """

    @abstractmethod
    def cost(self, cells: int) -> Cost:
        """Cost of runs of so many land cells."""

    def world(self, domain: Domain) -> World:
        """What is known beforehand of a domain whose files it makes."""
        raise NotImplementedError(f"{self.name} makes no domain")
