"""A domain: its files, which of them a run makes itself, and the runs of the land model that make them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from phase_lib.base.errors import InputError
from phase_lib.base.files import matching_file, matching_files
from phase_lib.config.domains import DomainFiles, ForcingFiles
from phase_lib.config.layouts import LAYOUTS, layout_class
from phase_lib.config.spinup import Role, SpinupSettings
from phase_lib.elm.calendar import history_name, restart_name
from phase_lib.elm.constants import SPINUP_AD, SPINUP_NORMAL
from phase_lib.elm.namelist import AdSettings, read_ad_settings
from phase_lib.elm.soil_budget import BUDGET_FIELDS, NITROGEN_INPUTS

Mode = Literal["ad", "normal"]
#: History tapes of all runs, one file for each forcing cycle: its mean, and its annual means.
CYCLE_TAPE, ANNUAL_TAPE = 0, 1
#: Files that all land models read; a domain gives them and its forcing.
RUN_FILES = ("domain", "surface", "params", "soil_params")


@dataclass(frozen=True)
class Forcing:
    """Atmospheric forcing of a domain.

    Attributes:
        kind: layout of the files.
        files: all files, also those of years outside the cycle.
        patterns: names and patterns of the files, for a command line.
        product: name of the data set.
        first_year, years: the forcing cycle.
        align_year: model year that sees the first year of the cycle.
        limit_km: farthest that a cell may lie from its forcing point.
        step_hours: hours between two values; None where only the files show it.
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

    @classmethod
    def from_config(cls, forcing: ForcingFiles, history: Sequence[str] = ()) -> Forcing:
        """The forcing of a configuration; without files of its own it is in the history of the domain.

        Raises:
            InputError: a name or pattern stands for no file.
        """
        patterns = forcing.files or list(history)
        files = {"files": tuple(matching_files(patterns)), "patterns": tuple(patterns)}
        return cls(**(forcing.model_dump() | files))

    @property
    def section(self) -> ForcingFiles:
        """As the configuration describes it, for a command line."""
        values = {name: getattr(self, name) for name in ForcingFiles.model_fields}
        return ForcingFiles.model_validate(values | {"files": list(self.patterns)})

    def files_of(self, years: range) -> list[Path]:
        """The files that may hold some years, by their names."""
        return [path for path in self.files if layout_class(self.kind).may_hold(path, years)]

    @property
    def module(self) -> str:
        """Dotted name of the module that reads this layout."""
        return LAYOUTS.place(self.kind)[0]


@dataclass(frozen=True)
class Chain:
    """A run of the land model: segments, each from the restart of the one before.

    Attributes:
        case: name of the run, of its directory and of its files.
        role: purpose of the run.
        boundaries: model years at which the segments begin and end.
        windows: first and last boundary of each window: by its rates the restart at its end is corrected, and
            the run goes on from that. None in AD.
    """

    case: str
    role: Role
    boundaries: tuple[int, ...]
    windows: tuple[tuple[int, int], ...] = ()

    @property
    def corrections(self) -> tuple[int, ...]:
        """Model years at whose start the restart is corrected."""
        return tuple(end for _, end in self.windows)


@dataclass(frozen=True)
class Domain:
    """Files of a domain, and what a run does with it. A file that is not given is absent.

    Attributes:
        name: of the domain.
        cycle: length of the forcing cycle, years.
        backend: name of its land model.
        soil_budget: its land model writes the carbon budget of the soil where it is asked for it.
        trains: the surrogate learns from its cells.
        target: the injection changes its restart.
        domain, surface, params, soil_params: all its runs read them.
        forcing: atmospheric forcing.
        monthly: monthly means of the forcing on its cells, in pieces.
        restart: at the end of the first forcing cycle of the AD run: input of the surrogate.
        history: of that cycle.
        soil_history: annual or finer means of its last years, with the carbon budget of the soil; where there
            are none, `history` may hold it.
        mortality_factor: `spinup_mortality_factor` of the AD run; None where it is not known.
        ad_settings: from the `lnd_in` of the AD run; None without that file.
        reference_restart: final restart of the reference, in normal mode: the labels.
        reference_history: of the last forcing cycle of the reference.
        reference_ad_restart: at the end of the AD part of the reference, for its `scalaravg_col`.
        injected, control: restarts in normal mode from which the runs of the target start.
        starts: run from the state of another model -> restart in normal mode from which it starts.
        patterns: names and patterns of the histories, for a command line.
        made: names of the attributes above whose files the run makes; the others exist before it.
        directory: of the runs of the land model.
        chains: runs of the land model, in a possible order.
    """

    name: str = "files"
    cycle: int = 20
    backend: str = "archive"
    soil_budget: bool = False
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
    soil_history: tuple[Path, ...] = ()
    mortality_factor: float | None = None
    ad_settings: AdSettings | None = None
    reference_restart: Path | None = None
    reference_history: tuple[Path, ...] = ()
    reference_ad_restart: Path | None = None
    injected: Path | None = None
    control: Path | None = None
    starts: Mapping[str, Path] = field(default_factory=dict)
    patterns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    made: frozenset[str] = frozenset()
    directory: Path = Path()
    chains: tuple[Chain, ...] = ()

    @classmethod
    def from_config(
        cls, name: str, files: DomainFiles, backend: str, made: Mapping[str, Path] | None = None
    ) -> Domain:
        """A domain of the configuration.

        Args:
            name: of the domain.
            files: of the section `domains`.
            backend: name of its land model.
            made: files that the land model makes where they are not given, by their keys.

        Raises:
            InputError: a file that all domains need is not given, a name or pattern stands for no file, or
                `lnd_in` cannot be read or has another factor than the configuration.
        """
        required = (*RUN_FILES, "forcing")
        of_model = {key: path for key, path in (made or {}).items() if getattr(files, key) is None}
        missing = [key for key in required if getattr(files, key) is None and key not in of_model]
        if missing or files.forcing is None:
            what, remedy = f"has no {missing[0]}", "give it, for every land model reads it"
            raise InputError(f"domains.{name}", what, expected=", ".join(required), remedy=remedy)
        single = (*RUN_FILES, "restart", "reference_restart", "reference_ad_restart")
        several = ("history", "soil_history", "reference_history")
        factor, settings = ad_run(files.lnd_in, files.spinup_mortality_factor)
        given: dict[str, Any] = {key: matching_file(path) for key in single if (path := getattr(files, key))}
        given |= {key: tuple(matching_files(getattr(files, key))) for key in several}
        return cls(
            name,
            files.forcing.years,
            backend,
            forcing=Forcing.from_config(files.forcing, files.history),
            mortality_factor=factor,
            ad_settings=settings,
            patterns={key: tuple(getattr(files, key)) for key in several},
            made=frozenset(of_model),
            **(given | of_model),
        )

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
        """Files for a command line; patterns for a history, as a command line has no room for all names."""
        files = getattr(self, role)
        return list(self.patterns.get(role) or map(str, files if isinstance(files, tuple) else [files]))

    def has_run(self, role: Role) -> bool:
        """True where the land model does this run."""
        return any(chain.role == role for chain in self.chains)

    def is_conventional(self, role: Role) -> bool:
        """True for a part of the conventional spin-up of the target, where the run does the whole of it."""
        runs = {chain.role: chain for chain in self.chains}
        if not (self.target and role in ("ad", "reference") and {"ad", "reference"} <= runs.keys()):
            return False
        ad, reference = runs["ad"].boundaries, runs["reference"].boundaries
        return ad[0] == 1 and ad[-1] == reference[0] and not runs["reference"].windows

    def chain(self, role: Role) -> Chain:
        """A run of the land model."""
        return next(chain for chain in self.chains if chain.role == role)

    def segments(self, chain: Chain, spinup: SpinupSettings, threads: int = 1) -> list[Segment]:
        """The segments of a run.

        Args:
            chain: one of `chains`.
            spinup: the protocol.
            threads: cores of a segment.
        """
        directory = self.directory / chain.case
        start_from = {
            "ad": None if chain.boundaries[0] == 1 else self.restart,
            # Where the AD run ends with the input, this is its last restart.
            "reference": self.reference_ad_restart or self.restart,
            "control": self.control,
            "no_surrogate": self.control,
            "start": self.starts.get(chain.case),
        }.get(chain.role, self.injected)
        mode: Mode = "ad" if chain.role == "ad" else "normal"
        in_windows = {year for window in chain.windows for year in range(*window)}
        # The budget of the soil is asked only of a model that can write it.
        to_input = 1 + spinup.input_years if mode == "ad" and self.soil_budget else 0
        segments: list[Segment] = []
        for start, end in pairwise(chain.boundaries):
            finidat = segments[-1].restart if segments else start_from
            if start in chain.corrections:
                finidat = _corrected(directory, chain.case, start)
            protocol = spinup
            if start in in_windows:
                protocol = spinup.with_fields(history=(*BUDGET_FIELDS, *NITROGEN_INPUTS))
            elif end <= to_input:
                # The input needs the carbon budget of the soil, year by year.
                protocol = spinup.with_fields(annual=BUDGET_FIELDS)
            segments.append(
                Segment(chain.case, mode, start, end - start, finidat, self, directory, protocol, threads)
            )
        return segments

    def corrections(self, chain: Chain, spinup: SpinupSettings) -> list[Correction]:
        """The corrections of a run, in order.

        Args:
            chain: one of `chains`.
            spinup: the protocol.
        """
        segments = self.segments(chain, spinup)
        corrections: list[Correction] = []
        for start, end in chain.windows:
            window = [one for one in segments if start <= one.start_year and one.end_year <= end]
            first, restart = window[0].finidat, window[-1].restart
            assert first is not None  # a run in normal mode
            history = tuple(path for segment in window for path in segment.history(CYCLE_TAPE))
            corrected = _corrected(window[0].directory, chain.case, end)
            whole = (end - start) % self.cycle == 0
            before = corrections[-1] if corrections and corrections[-1].whole and whole else None
            corrections.append(Correction(chain.case, end, whole, first, restart, history, corrected, before))
        return corrections


def _corrected(directory: Path, case: str, year: int) -> Path:
    """Place of a corrected restart; it has the name of the restart that it corrects."""
    return directory / "corrected" / restart_name(case, year)


@dataclass(frozen=True)
class Correction:
    """A correction of a run at the end of a window.

    Attributes:
        case: name of the run.
        year: model year at whose start the window ends.
        whole: the window has whole forcing cycles.
        start, end: restarts at the ends of the window; `end` is the one to correct.
        history: of the window, on the tape of means over a cycle.
        restart: the corrected one, from which the run goes on.
        before: the correction at the start of the window, for the balance of nitrogen; None for the first
            one, and where one of the two windows is a part of a cycle, which says nothing about nitrogen.
    """

    case: str
    year: int
    whole: bool
    start: Path
    end: Path
    history: tuple[Path, ...]
    restart: Path
    before: Correction | None = None

    @property
    def name(self) -> str:
        """Run and year, for the names of rules, logs and benchmarks."""
        return f"{self.case}_{self.year:04d}"

    @property
    def predictions(self) -> Path:
        """The predictions file that `phase inject` puts into `end`."""
        return self.restart.with_name(f"{self.case}.correction.{self.year:04d}.nc")


@dataclass(frozen=True)
class Segment:
    """A part of a run, done by one job: from a restart, or a cold start, to the restart some years later.

    Attributes:
        case: name of the run and of its files.
        mode: `ad` or `normal`.
        start_year: the segment begins at the start of this model year.
        years: length; whole forcing cycles, but for a window that is a part of one.
        finidat: restart from which it starts; None for a cold start.
        domain: files of the run.
        directory: of restart and history.
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
        """Name of its rule, log and benchmark."""
        return f"run_{self.case}_{self.end_year:04d}"

    @property
    def end_year(self) -> int:
        """The segment ends at the start of this model year."""
        return self.start_year + self.years

    @property
    def spinup_state(self) -> int:
        """`spinup_state` of its mode."""
        return SPINUP_AD if self.mode == "ad" else SPINUP_NORMAL

    @property
    def restart(self) -> Path:
        """The restart that the segment writes."""
        return self.directory / restart_name(self.case, self.end_year)

    def history(self, tape: int) -> list[Path]:
        """The history that the segment writes on a tape, one file for each of its `cycles`.

        The date in a name is the end of the first interval of the file: a cycle, or a year on annual tapes.
        """
        return [
            self.directory / history_name(self.case, tape, {CYCLE_TAPE: end, ANNUAL_TAPE: start + 1}[tape])
            for start, end in self.cycles
        ]

    @property
    def further_means(self) -> int:
        """Means of further fields that it writes: of the cycles, and year by year."""
        return (
            len(self.spinup.history_fields) * len(self.cycles) + len(self.spinup.annual_fields) * self.years
        )

    @property
    def cycles(self) -> list[tuple[int, int]]:
        """Model years at which its forcing cycles begin and end; the last may be a part of one."""
        starts = range(self.start_year, self.end_year, self.domain.cycle)
        return [(start, min(start + self.domain.cycle, self.end_year)) for start in starts]


def ad_run(lnd_in: str | Path | None, factor: float | None) -> tuple[float | None, AdSettings | None]:
    """`spinup_mortality_factor` of an AD run, and the content of its `lnd_in`; None for what is not given.

    Raises:
        InputError: `lnd_in` cannot be read, or has another factor than is given beside it.
    """
    if lnd_in is None:
        return factor, None
    settings = read_ad_settings(matching_file(lnd_in))
    return settings.agreeing_with(factor), settings
