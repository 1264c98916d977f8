"""Training and target domains were run by one protocol, on which depends what the surrogate learns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from phase_lib.config.spinup import SpinupSettings
from phase_lib.dataset.joining import forcing_difference
from phase_lib.elm.constants import NATPFT, SPINUP_AD
from phase_lib.elm.parameters import read_parameters
from phase_lib.fusion.schema import TRAITS
from phase_lib.landmodel.domain import Domain
from phase_lib.preflight.domain import DomainSummary
from phase_lib.preflight.facts import MODES
from phase_lib.preflight.findings import Finding, finding


@dataclass(frozen=True)
class Protocol:
    """How the input of a domain was made; None for what is not known.

    Attributes:
        domain: name.
        file: its restart, for messages.
        spinup_state, year, natural_pfts: of that restart.
        start_year: in which its run began.
        mortality_factor: `spinup_mortality_factor` of its AD run.
        carbon_only_years, suplphos: `nyears_ad_carbon_only` and `suplphos` of that run.
        forcing: properties by which its forcing is compared.
    """

    domain: str
    file: str
    spinup_state: int | None
    year: int
    natural_pfts: int
    start_year: int | None
    mortality_factor: float | None
    carbon_only_years: int | None
    suplphos: str | None
    forcing: dict[str, Any] | None

    @property
    def years_without_limits(self) -> int | None:
        """Years of the run before its restart in which N and P were supplied.

        ELM counts them by the model's clock: a run that began after `nyears_ad_carbon_only` had none.
        """
        if self.carbon_only_years is None or self.start_year is None:
            return None
        return max(0, min(self.carbon_only_years, self.year - 1) - max(self.start_year, 1) + 1)

    @property
    def limited(self) -> bool:
        """True if its plants were limited by N, and by P unless `suplphos` supplied that."""
        years, start = self.years_without_limits, self.start_year
        return years is not None and start is not None and years < self.year - max(start, 1)


def protocol_of(summary: DomainSummary | None) -> Protocol | None:
    """The protocol of a domain whose restart is given; None without one."""
    if summary is None or summary.restart is None:
        return None
    restart, forcing = summary.restart, summary.forcing
    return Protocol(
        summary.name,
        restart.file,
        restart.spinup_state,
        restart.year,
        restart.natural_pfts,
        restart.start_year,
        summary.mortality_factor,
        summary.carbon_only_years,
        summary.suplphos,
        None if forcing is None else forcing.description,
    )


def planned_protocol(domain: Domain, spinup: SpinupSettings, summary: DomainSummary | None) -> Protocol:
    """The protocol of a domain whose AD run the land model will do; `summary` is None without files."""
    forcing, read = domain.forcing, None if summary is None else summary.forcing
    description = None if read is None else read.description
    if read is None and forcing is not None and forcing.step_hours is not None:
        description = {"kind": forcing.kind, "product": forcing.product, "years": forcing.years}
        description["step_hours"] = [forcing.step_hours]
    return Protocol(
        domain.name,
        f"domain {domain.name}",
        SPINUP_AD,
        1 + spinup.input_years,
        NATPFT,
        1,
        spinup.spinup_mortality_factor,
        spinup.nyears_ad_carbon_only,
        "ALL",
        description,
    )


def check_continued(
    domain: Domain, spinup: SpinupSettings, summary: DomainSummary | None
) -> Iterator[Finding]:
    """Given restarts from which the workflow continues a run have the date and mode that `spinup` needs."""
    if summary is None:
        return
    for chain in domain.chains:
        begin = chain.boundaries[0]
        restart, key = summary.restart, "input_years"
        if chain.role == "reference":
            restart, key = summary.reference_ad, "ad_years"
        if restart is None or begin == 1:
            continue
        if restart.year != begin:
            yield finding(
                restart.file,
                f"is of model year {restart.year}, but the {chain.role} run of {domain.name} goes on from it",
                expected=f"{begin}, after spinup.{key}",
                remedy=f"set spinup.{key} to {restart.year - 1}, or give another restart",
            )
            return
        if chain.role == "ad" and restart.spinup_state != SPINUP_AD:
            yield finding(
                restart.file,
                f"is in {MODES[restart.spinup_state]}, but the AD run of {domain.name} goes on from it",
                expected=MODES[SPINUP_AD],
                remedy="give the restart of an AD run, or the reference_restart",
            )


def check_protocols(trained: Sequence[Protocol], target: Protocol) -> Iterator[Finding]:
    """The target's input against that of all domains to train on."""
    for other in trained:
        if other.domain != target.domain:
            yield from _compare(other, target)


def _compare(trained: Protocol, target: Protocol) -> Iterator[Finding]:
    of_trained = f"that of {trained.domain}, which is trained on"
    for differs, what, wanted, remedy in (
        (
            trained.spinup_state != target.spinup_state,
            f"the restart of {target.domain} is in {MODES[target.spinup_state]}",
            MODES[trained.spinup_state],
            "use runs of one protocol",
        ),
        (
            trained.year != target.year,
            f"the restart of {target.domain} is of model year {target.year}",
            trained.year,
            "use restarts after the same number of years",
        ),
        (
            target.natural_pfts < trained.natural_pfts,
            f"the soil columns of {target.domain} have {target.natural_pfts} PFTs",
            trained.natural_pfts,
            "use runs with create_crop_landunit alike",
        ),
    ):
        if differs:
            expected = f"{wanted}, {of_trained} ({trained.file})"
            yield finding(target.file, what, expected=expected, remedy=remedy)
    if target.spinup_state == SPINUP_AD:
        yield from _compare_ad_runs(trained, target, of_trained)
    if trained.forcing is None or target.forcing is None:
        return
    if difference := forcing_difference(trained.forcing, target.forcing):
        yield finding(
            target.file,
            f"forcing of {target.domain}: {difference[0]}",
            expected=f"{difference[1]}, {of_trained}",
            remedy="use the same forcing, reduced alike",
            accept="forcing",
        )


def _compare_ad_runs(trained: Protocol, target: Protocol, of_trained: str) -> Iterator[Finding]:
    """Settings of an AD run that change its state; those that are not known (None) are not compared."""
    for name, key, why in (
        ("timemgr_rst_start_ymd: year", "start_year", "the state after as many years"),
        ("spinup_mortality_factor", "mortality_factor", "dead wood in AD depends on it"),
        (
            "nyears_ad_carbon_only: years without limits up to the restart",
            "years_without_limits",
            "growth depends on them",
        ),
        ("suplphos", "suplphos", "growth depends on it"),
    ):
        if key == "suplphos" and not (trained.limited or target.limited):
            continue
        of_target, wanted = getattr(target, key), getattr(trained, key)
        if None not in (of_target, wanted) and of_target != wanted:
            yield finding(
                target.file,
                f"{name} of {target.domain} is {_plain(of_target)}",
                expected=f"{_plain(wanted)}, {of_trained}: {why}",
                remedy="use runs of one protocol",
            )


def _plain(value: float | str | None) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def check_parameters_alike(files: Sequence[Domain]) -> Iterator[Finding]:
    """The domains of a run have the parameters of the first that is trained on.

    The surrogate reads PFT parameters, and what it learns depends on the rates of decomposition. Where all
    training cells have one value, it knows nothing about another.
    """
    given = [(one, read_parameters(one.params)) for one in files if one.params is not None]
    first, wanted = next(((one, parameters) for one, parameters in given if one.trains), (None, None))
    if first is None or wanted is None:
        return
    for one, parameters in given:
        differing = [name for name in TRAITS if not _same(parameters.pft.get(name), wanted.pft.get(name))]
        for name in sorted(parameters.scalar.keys() & wanted.scalar.keys()):
            if not _same(np.array(parameters.scalar[name]), np.array(wanted.scalar[name])):
                differing.append(name)
        if differing:
            yield finding(
                parameters.path,
                f"parameters of {one.name} are not those of {first.name} ({wanted.path}): "
                f"{', '.join(differing)}",
                expected="runs with one parameter file",
                remedy="use runs with the same parameters",
                accept=None if one.trains else "parameters",
            )


def _same(values: np.ndarray | None, others: np.ndarray | None) -> bool:
    if values is None or others is None:
        return values is others
    return np.array_equal(values, others, equal_nan=True)
