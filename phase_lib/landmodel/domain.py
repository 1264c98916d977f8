"""A domain: its files, which of them a run makes itself, and the runs of the land model that make them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from phase_lib.config.layouts import LAYOUTS, layout_class
from phase_lib.config.spinup import Role, SpinupSettings
from phase_lib.elm.calendar import history_name, restart_name
from phase_lib.elm.namelist import AdSettings

Mode = Literal["ad", "normal"]
#: History tapes of every run, one file for each forcing cycle: that of its mean, and that of annual means.
CYCLE_TAPE, ANNUAL_TAPE = 0, 1


@dataclass(frozen=True)
class Forcing:
    """Atmospheric forcing of a domain.

    Attributes:
        kind: layout of the files.
        files: all of them; those of other years may be among them.
        patterns: names and patterns that stand for them, for a command line.
        product: name of the data set.
        first_year, years: the forcing cycle.
        align_year: model year that sees its first year.
        limit_km: farthest that a cell may lie from its forcing point.
        step_hours: hours between two values; None where the files have to be read for that.
    """

    kind: str
    files: tuple[Path, ...]
    patterns: tuple[str, ...]
    product: str
    first_year: int
    years: int
    align_year: int
    limit_km: float
    step_hours: float | None = None

    def files_of(self, years: range) -> list[Path]:
        """The files that may hold some years, by their names."""
        return [path for path in self.files if layout_class(self.kind).may_hold(path, years)]

    @property
    def module(self) -> str:
        """Dotted name of the module that reads this layout."""
        return LAYOUTS.place(self.kind)[0]


def stage_name(case: str, end_year: int) -> str:
    """Name of the stage that runs a segment."""
    return f"run_{case}_{end_year:04d}"


@dataclass(frozen=True)
class Chain:
    """A run of the land model: segments one after the other, each from the restart of the one before.

    Attributes:
        case: name of the run, which its directory and its files have.
        role: what it is for.
        boundaries: model years at which its segments begin and end.
    """

    case: str
    role: Role
    boundaries: tuple[int, ...]


@dataclass(frozen=True)
class Domain:
    """Files of a domain, and what a run does with it. Any file may be absent where they are given by hand.

    Attributes:
        name: of the domain.
        cycle: length of the forcing cycle, years.
        backend: name of its land model.
        trains: its cells are learnt from.
        target: its restart is injected.
        domain, surface, params, soil_params: what every run of it reads.
        forcing: atmospheric forcing.
        monthly: monthly means of that on its cells, in pieces.
        restart: at the end of the first forcing cycle of the AD run: the surrogate's input.
        history: of that cycle.
        mortality_factor: `spinup_mortality_factor` of the AD run; None where that is not known.
        ad_settings: of that run, by its `lnd_in`; None where that is not given.
        reference_restart: final restart of the reference, in normal mode: the labels.
        reference_history: of the reference's last forcing cycle.
        reference_ad_restart: at the end of the reference's AD part, for its `scalaravg_col`.
        injected, control: restarts in normal mode that the target's runs start from.
        patterns: names and patterns that stand for `history` and `reference_history` on a command line.
        made: names of the attributes above whose files the run makes; others are there before it.
        directory: of the land model's runs.
        chains: runs of the land model, in the order in which they can be done.
    """

    name: str = "files"
    cycle: int = 20
    backend: str = "archive"
    trains: bool = True
    target: bool = True
    domain: Path | None = None
    surface: Path | None = None
    params: Path | None = None
    soil_params: Path | None = None
    forcing: Forcing | None = None
    monthly: tuple[Path, ...] = ()
    restart: Path | None = None
    history: tuple[Path, ...] = ()
    mortality_factor: float | None = None
    ad_settings: AdSettings | None = None
    reference_restart: Path | None = None
    reference_history: tuple[Path, ...] = ()
    reference_ad_restart: Path | None = None
    injected: Path | None = None
    control: Path | None = None
    patterns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    made: frozenset[str] = frozenset()
    directory: Path = Path()
    chains: tuple[Chain, ...] = ()

    @property
    def paths(self) -> Iterator[Path]:
        """All files but those of the forcing."""
        for entry in fields(self):
            value = getattr(self, entry.name)
            if isinstance(value, Path) and entry.name != "directory":
                yield value
            elif isinstance(value, tuple) and entry.name != "chains":
                yield from value

    @property
    def existing(self) -> Domain:
        """The domain without what the run makes."""
        absent: dict[str, Any] = {one.name: one.default for one in fields(self) if one.name in self.made}
        return replace(self, **absent)

    def words(self, role: str) -> list[str]:
        """Files for a command line: those of a history by patterns, as it cannot take thousands of names."""
        files = getattr(self, role)
        return list(self.patterns.get(role) or map(str, files if isinstance(files, tuple) else [files]))

    def has_run(self, role: Role) -> bool:
        """True where the land model runs it."""
        return any(chain.role == role for chain in self.chains)

    def is_conventional(self, role: Role) -> bool:
        """True for a part of the target's conventional spin-up, where all of that is run."""
        runs: tuple[Role, Role] = ("ad", "reference")
        if not (self.target and role in runs and all(self.has_run(one) for one in runs)):
            return False
        ad, reference = (self.chain(one).boundaries for one in runs)
        return ad[0] == 1 and ad[-1] == reference[0]

    def chain(self, role: Role) -> Chain:
        """A run of the land model."""
        return next(chain for chain in self.chains if chain.role == role)

    def segments(self, chain: Chain, spinup: SpinupSettings, threads: int = 1) -> list[Segment]:
        """The segments of a run.

        Args:
            chain: one of `chains`.
            spinup: the protocol.
            threads: cores of each segment.
        """
        directory = self.directory / chain.case
        start_from = {
            "ad": None if chain.boundaries[0] == 1 else self.restart,
            # Where the AD run is no longer than the input, that is its end.
            "reference": self.reference_ad_restart or self.restart,
            "control": self.control,
            "injected": self.injected,
        }[chain.role]
        segments: list[Segment] = []
        for start, end in pairwise(chain.boundaries):
            finidat = segments[-1].restart if segments else start_from
            mode: Mode = "ad" if chain.role == "ad" else "normal"
            segments.append(
                Segment(chain.case, mode, start, end - start, finidat, self, directory, spinup, threads)
            )
        return segments


@dataclass(frozen=True)
class Segment:
    """A part of a run that one job does: from a restart, or a cold start, to the restart some years later.

    Attributes:
        case: name of the run; files are named after it.
        mode: `ad` or `normal`.
        start_year: model year at whose start the segment begins.
        years: its length, whole forcing cycles.
        finidat: restart to start from; None for a cold start.
        domain: files of the run.
        directory: where restart and history go.
        spinup: the protocol: what AD mode changes, and further history fields.
        threads: cores that it may use.
    """

    case: str
    mode: Mode
    start_year: int
    years: int
    finidat: Path | None
    domain: Domain
    directory: Path
    spinup: SpinupSettings = field(default_factory=SpinupSettings)
    threads: int = 1

    @property
    def stage(self) -> str:
        """Name of the stage that runs it."""
        return stage_name(self.case, self.end_year)

    @property
    def end_year(self) -> int:
        """Model year at whose start the segment ends."""
        return self.start_year + self.years

    @property
    def restart(self) -> Path:
        """The restart that it writes."""
        return self.directory / restart_name(self.case, self.end_year)

    def history(self, tape: int) -> list[Path]:
        """The history that it writes on a tape, one file for each forcing cycle.

        A file is named after the end of its first interval: the cycle, or a year on the annual tape.
        """
        cycle = self.domain.cycle
        interval = {CYCLE_TAPE: cycle, ANNUAL_TAPE: 1}[tape]
        return [
            self.directory / history_name(self.case, tape, start + interval)
            for start in range(self.start_year, self.end_year, cycle)
        ]
