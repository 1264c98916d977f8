"""What a land model must offer. One that does is a file in `backends/`, or a class of another package.

The workflow asks a land model for the files of a domain (`describe`), for what has to be made before its
first run (`steps`, `prepare`), and for its segments (`run`): each starts from a restart, or cold, and writes
a restart and two history tapes under names that the `Segment` knows. Everything else is the workflow's:
which runs a domain needs, the reduced forcing, fusion, injection and the verdict.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Generic, TypeVar

from pydantic import BaseModel

from phase_lib.base.errors import InputError
from phase_lib.config.domains import DomainFiles
from phase_lib.config.spinup import Role
from phase_lib.landmodel.domain import Domain, Segment
from phase_lib.landmodel.files import domain_from_files

_Settings = TypeVar("_Settings", bound=BaseModel | None)


@dataclass(frozen=True)
class Job:
    """What a job asks for: cores, and further resources by Snakemake's names, such as nodes, tasks, mpi."""

    threads: int = 1
    resources: Mapping[str, int | str] = field(default_factory=dict)


@dataclass(frozen=True)
class Step:
    """Something to make before the runs of a domain: its files, a case, an executable.

    Attributes:
        name: of the rule that makes it, of which a run has one.
        inputs, outputs: files.
        settings: keys of the land model's section that it depends on.
        code: modules that it depends on (`base.provenance.code_hash`).
        message: what it does, for the terminal.
        job: what it asks for.
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
        core_hours: of a model year; None where that is not known.
        restart_bytes: of a restart.
        history_bytes: of the history of a forcing cycle.
    """

    core_hours: float | None
    restart_bytes: float
    history_bytes: float


@dataclass(frozen=True)
class World:
    """Estimates of a domain that a land model makes: land cells, bytes of its files, and that in words."""

    cells: int
    bytes: float
    description: str


class LandModel(ABC, Generic[_Settings]):
    """A land model of the workflow.

    Class attributes:
        name: of its section of the configuration, and of its file or entry point.
        settings_model: model of that section; None where it has none.
        makes_domain: it makes a domain of its own, which has its name.
        runs: it can run; False for one that takes output that exists already.
        monthly_forcing: its segments read the monthly means that the workflow reduces.
        segment_settings: keys of its section that a segment depends on.
        segment_code: modules that a segment depends on (`base.provenance.code_hash`).
        limits: sentences for the report about its runs.
        limits_of_learning: the same about a surrogate that learnt from its runs and predicts for others.
    """

    name: ClassVar[str]
    settings_model: ClassVar[type[BaseModel] | None] = None
    makes_domain: ClassVar[bool] = False
    runs: ClassVar[bool] = True
    monthly_forcing: ClassVar[bool] = False
    segment_settings: ClassVar[tuple[str, ...]] = ()
    segment_code: ClassVar[tuple[str, ...]] = ()
    limits: ClassVar[tuple[str, ...]] = ()
    limits_of_learning: ClassVar[tuple[str, ...]] = ()

    def __init__(self, settings: _Settings) -> None:
        self.settings = settings

    def describe(self, name: str, files: DomainFiles | None, directory: Path) -> Domain:
        """The files of a domain that runs read or that are given, with its forcing.

        Args:
            name: of the domain.
            files: from the configuration; None for the domain that the land model makes.
            directory: of the run.

        Raises:
            InputError: a file is missing that it needs.
        """
        assert files is not None, f"{self.name} makes no domain"
        return domain_from_files(name, files, self.name)

    def cycle(self, files: DomainFiles | None) -> int:
        """Length of a domain's forcing cycle, years; no file is read for it if that can be."""
        assert files is not None
        assert files.forcing is not None
        return files.forcing.years

    def steps(self, domain: Domain) -> list[Step]:
        """What has to be made before the runs of a domain, in order."""
        return []

    def prepare(self, step: str, domain: str, directory: Path, threads: int) -> None:
        """Makes what one of the steps promises.

        Args:
            step: its name.
            domain: name of the domain.
            directory: that of its first output.
            threads: cores.
        """
        raise NotImplementedError(f"{self.name} has no step {step}")

    def check(self, domain: Domain) -> Iterator[InputError]:
        """Findings of its own on the files of a domain that are there before anything runs."""
        yield from ()

    def job(self, role: Role) -> Job:
        """What a segment of a run asks for."""
        return Job()

    @abstractmethod
    def run(self, segment: Segment) -> None:
        """Writes `segment.restart` and `segment.history(tape)`, each whole or not at all.

        A job that was lost is run again with the same segment; what it left of its own it may go on from.

        Raises:
            InputError: files do not belong together, or a field is asked for that it does not have.
            ModelAbort: the model stopped, or its result is not sound.
        """

    @abstractmethod
    def cost(self, cells: int) -> Cost:
        """What runs of so many land cells cost."""

    def world(self) -> World:
        """The size of the domain that it makes."""
        raise NotImplementedError(f"{self.name} makes no domain")
