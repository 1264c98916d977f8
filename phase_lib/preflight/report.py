"""What was understood, in lines for a person and in plain values for a file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from phase_lib.base.provenance import code_version, settings_hash
from phase_lib.config.root import WorkflowConfig
from phase_lib.config.run import Acceptable
from phase_lib.config.spinup import Role
from phase_lib.elm.constants import DAYS_PER_MONTH, SPINUP_AD
from phase_lib.elm.spinup import ad_run
from phase_lib.forcing.comparison import by_reason
from phase_lib.landmodel.domain import Domain
from phase_lib.landmodel.planning import land_model_of
from phase_lib.preflight.disk import Disk
from phase_lib.preflight.domain import DomainSummary
from phase_lib.preflight.facts import ForcingSummary, RestartSummary
from phase_lib.preflight.findings import Finding

#: The runs of the land model in words.
_RUNS: dict[Role, str] = {
    "ad": "of AD",
    "reference": "in normal mode",
    "control": "of control",
    "uncorrected": "of stabilisation without corrections",
    "no_surrogate": "of corrections without the surrogate",
    "injected": "of stabilisation",
    "start": "from the states of other models",
}


@dataclass(frozen=True)
class Report:
    """The outcome of a check.

    Attributes:
        config: of the run; None where only files were given.
        planned: its domains.
        domains: those that files were given for.
        disk: room for the run; None without a configuration.
        checked: all findings.
    """

    config: WorkflowConfig | None
    planned: Mapping[str, Domain]
    domains: Sequence[DomainSummary]
    disk: Disk | None
    checked: Sequence[Finding]

    @property
    def _accepted(self) -> list[Acceptable]:
        return [] if self.config is None else self.config.preflight.accept

    @property
    def findings(self) -> list[str]:
        """The lines of findings that are not accepted."""
        # The fault of a file that several domains share is a finding of each of them.
        return list(dict.fromkeys(one.line for one in self.checked if one.accept not in self._accepted))

    @property
    def accepted(self) -> list[str]:
        """The notes of findings that the configuration accepts."""
        return [one.note for one in self.checked if one.accept in self._accepted]

    def lines(self) -> list[str]:
        """What was understood."""
        lines = [] if self.config is None else [*_run(self.config, self)]
        for domain in self.domains:
            lines += [f"domain {domain.name}:", *(f"  {line}" for line in _domain(domain))]
        lines += [] if self.disk is None else [str(self.disk)]
        return lines + [f"accepted: {line}" for line in self.accepted]

    def as_json(self) -> dict[str, Any]:
        """Plain values for `preflight.json`."""
        config, disk = self.config, self.disk
        return {
            "code_version": code_version(),
            "config_hash": None if config is None else settings_hash(config.model_dump(mode="json")),
            "domains": {domain.name: asdict(domain) for domain in self.domains},
            "bytes": None if disk is None else {"whole": disk.whole, "there": disk.there, "free": disk.free},
            "accepted": self.accepted,
            "findings": self.findings,
        }


def _run(config: WorkflowConfig, report: Report) -> Iterator[str]:
    yield f"run {config.run.name} in {config.run.directory}"
    cells = {summary.name: summary.cells for summary in report.domains}
    for name, domain in report.planned.items():
        model = land_model_of(config, name)
        if "domain" in domain.made:
            world = model.world(domain)
            cells[name] = world.cells
            yield world.description
        if domain.chains:
            years: Counter[Role] = Counter()
            for chain in domain.chains:
                years[chain.role] += chain.boundaries[-1] - chain.boundaries[0]
            hours = model.cost(cells[name]).core_hours
            cost = "" if hours is None else f", about {sum(years.values()) * hours:.3g} core-hours"
            runs = ", ".join(f"{count} years {_RUNS[role]}" for role, count in years.items())
            yield f"{name}, by the land model {model.name}: {runs}{cost}"
        if domain.target and domain.has_run("injected") and config.stabilisation.goes_on:
            yield "the injected run and its controls end earlier if all criteria hold"
    trained = ", ".join(config.training.domains)
    yield f"trained on {trained}; the restart of {config.target.domain} is injected"


def _domain(domain: DomainSummary) -> Iterator[str]:
    restart, forcing = domain.restart, domain.forcing
    if restart is not None:
        yield f"restart {_restart(restart)}, {_size(restart.bytes)}, {restart.flavour}"
        yield (
            f"{restart.cells} cells, {restart.columns} columns, {restart.patches} patches, "
            f"{restart.covered_patches} of them natural vegetation with cover; "
            f"{restart.natural_pfts} natural PFTs, {restart.levgrnd} soil layers"
        )
        if restart.cells_without_soil:
            yield (
                f"cells without a column of natural vegetation: {restart.cells_without_soil}; not "
                "trained on, not predicted, left as they are by the injection"
            )
        if restart.soil_columns > restart.cells - restart.cells_without_soil:
            yield (
                f"columns of natural vegetation: {restart.soil_columns}, as topounits divide cells; a cell "
                "is known by its means, and its columns keep their proportions"
            )
        landunits = ", ".join(f"{name} {count}" for name, count in restart.landunits.items())
        yield f"cells by landunit: {landunits}"
        if restart.surface_dataset:
            yield f"surface data of its run: {Path(restart.surface_dataset).name}"
    if domain.land_cells is not None:
        yield f"domain file: {domain.land_cells} land cells"
    if domain.surface_shape is not None:
        yield f"surface file: {' x '.join(map(str, domain.surface_shape))} points"
    if restart is not None and restart.spinup_state == SPINUP_AD:
        factor = domain.mortality_factor
        yield (
            "spinup_mortality_factor not given (--mortality-factor) nor read (--lnd-in)"
            if factor is None
            else f"spinup_mortality_factor {factor:g}: what dead wood is multiplied by"
        )
        if domain.wood:
            yield f"wood of the restart: {domain.wood}"
        if domain.carbon_only_years is not None:
            yield f"by lnd_in: nyears_ad_carbon_only {domain.carbon_only_years}, suplphos {domain.suplphos}"
        yield ad_run(restart.start_year, restart.year)
    if domain.history is not None:
        yield f"history: {domain.history}"
    if domain.soil_history is not None:
        yield f"history with the carbon budget of the soil: {domain.soil_history}"
    if forcing is not None:
        yield from _forcing(forcing)
    yield from _forcing_seen(domain)
    if domain.reference is not None:
        yield f"reference {_restart(domain.reference)}"
    if domain.reference_ad is not None:
        yield f"end of the reference's AD part {_restart(domain.reference_ad)}"
    if domain.reference_history is not None:
        yield f"history of the reference: {domain.reference_history}"
    if domain.drift:
        yield domain.drift
    if domain.target and restart is not None:
        name = Path(restart.file).name
        yield f"to be written: {name} in normal mode, {_size(restart.bytes)}, {restart.flavour}"


def _forcing_seen(domain: DomainSummary) -> Iterator[str]:
    """Which forcing variables the run compares with those that the model saw, and which it cannot."""
    if domain.forcing_seen:
        seen = domain.forcing_seen.items()
        fields = ", ".join(name if name == made_of else f"{name} ({made_of})" for name, made_of in seen)
        yield f"forcing that is compared with the history once it is reduced: {fields}"
        history, forcing = domain.history, domain.forcing
        if history is not None and forcing is not None and not history.within(forcing.years):
            yield (
                "the order of its years (align_year) is not compared: the history is one mean, and it takes "
                "monthly or annual ones"
            )
    for why, names in by_reason(domain.forcing_unseen).items():
        yield f"forcing that is not compared with the history: {', '.join(names)}; {why}"


def _restart(restart: RestartSummary) -> str:
    return f"{Path(restart.file).name}: {restart.date}, {restart.mode}"


def _forcing(forcing: ForcingSummary) -> Iterator[str]:
    steps = " and ".join(_step(hours) for hours in forcing.step_hours)
    last = forcing.first_year + forcing.years - 1
    yield (
        f"forcing: {forcing.product}, {forcing.kind}, every {steps}, {forcing.first_year:04d} to "
        f"{last:04d} in {forcing.files} files; model year 1 sees {forcing.year_of_model_year_one:04d}"
    )
    if forcing.assumed_units:
        assumed = ", ".join(f"{name} in {units}" for name, units in forcing.assumed_units.items())
        yield f"forcing files without units, which are assumed: {assumed}"
    if forcing.max_distance_km is not None:
        yield f"farthest forcing point of a cell: {forcing.max_distance_km:.1f} km"


def _step(hours: float) -> str:
    return "month" if hours >= 24.0 * min(DAYS_PER_MONTH) else f"{hours:g} hours"


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
