"""Were training and target domains run alike? What the surrogate learns depends on the protocol."""

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
    """How the input of a domain came about.

    Attributes:
        domain: name.
        file: its restart, for messages.
        spinup_state: of that restart.
        year: of its date.
        natural_pfts: on its soil columns.
        start_year: in which its run began; None where that is not known.
        mortality_factor: `spinup_mortality_factor` of its AD run; None where that is not known.
        carbon_only_years: its `nyears_ad_carbon_only`, likewise.
        suplphos: whether P is supplied in it, likewise.
        forcing: what tells its forcing from another; None where that could not be read.
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
        """Years of the run up to its restart in which N and P were supplied; None where that is not known.

        ELM counts them by the model's clock: a run that began after `nyears_ad_carbon_only` had none.
        """
        if self.carbon_only_years is None or self.start_year is None:
            return None
        return max(0, min(self.carbon_only_years, self.year - 1) - max(self.start_year, 1) + 1)

    @property
    def limited(self) -> bool:
        """True if its plants have lived with limits of N, and of P unless `suplphos` supplied that."""
        years = self.years_without_limits
        return (
            years is not None and self.start_year is not None and years < self.year - max(self.start_year, 1)
        )


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
    """The protocol of a domain whose AD run is yet to be done.

    Args:
        domain: as it is planned.
        spinup: what its land model will do.
        summary: what was understood of its files; None where the run makes all of them.
    """
    forcing, read = domain.forcing, None if summary is None else summary.forcing
    description = None if read is None else read.description
    if read is None and forcing is not None and forcing.step_hours is not None:
        description = {
            "kind": forcing.kind,
            "product": forcing.product,
            "step_hours": [forcing.step_hours],
            "years": forcing.years,
        }
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
    """Restarts from files that runs of this workflow go on from are of the dates that `spinup` gives them."""
    if summary is None:
        return
    for chain in domain.chains:
        begin = chain.boundaries[0]
        restart = summary.reference_ad if chain.role == "reference" else summary.restart
        if restart is None or begin == 1:
            continue
        key = "ad_years" if chain.role == "reference" else "input_years"
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
    """The target's input against that of every domain to train on."""
    for other in trained:
        if other.domain != target.domain:
            yield from _compare(other, target)


def _compare(trained: Protocol, target: Protocol) -> Iterator[Finding]:
    of_trained = f"that of {trained.domain}, which is trained on"
    if trained.spinup_state != target.spinup_state:
        yield finding(
            target.file,
            f"the restart of {target.domain} is in {MODES[target.spinup_state]}",
            expected=f"{MODES[trained.spinup_state]}, {of_trained} ({trained.file})",
            remedy="use runs of one protocol",
        )
    if trained.year != target.year:
        yield finding(
            target.file,
            f"the restart of {target.domain} is of model year {target.year}",
            expected=f"{trained.year}, {of_trained} ({trained.file})",
            remedy="use restarts after the same number of years",
        )
    if target.natural_pfts < trained.natural_pfts:
        yield finding(
            target.file,
            f"the soil columns of {target.domain} have {target.natural_pfts} PFTs",
            expected=f"{trained.natural_pfts}, {of_trained} ({trained.file})",
            remedy="use runs with create_crop_landunit alike",
        )
    if target.spinup_state == SPINUP_AD:
        yield from _compare_ad_runs(trained, target, of_trained)
    if trained.forcing is None or target.forcing is None:
        return
    difference = forcing_difference(trained.forcing, target.forcing)
    if difference is not None:
        yield finding(
            target.file,
            f"forcing of {target.domain}: {difference[0]}",
            expected=f"{difference[1]}, {of_trained}",
            remedy="use the same forcing, reduced alike",
            accept="forcing",
        )


def _compare_ad_runs(trained: Protocol, target: Protocol, of_trained: str) -> Iterator[Finding]:
    """What lies in the state of an AD run beside its length; what is not known of one is not compared."""
    limits = trained.limited or target.limited
    for name, of_target, wanted, why in (
        (
            "timemgr_rst_start_ymd: year",
            target.start_year,
            trained.start_year,
            "the state after as many years",
        ),
        (
            "spinup_mortality_factor",
            target.mortality_factor,
            trained.mortality_factor,
            "dead wood in AD depends on it",
        ),
        (
            "nyears_ad_carbon_only: years without limits up to the restart",
            target.years_without_limits,
            trained.years_without_limits,
            "growth depends on them",
        ),
        (
            "suplphos",
            target.suplphos if limits else None,
            trained.suplphos if limits else None,
            "growth depends on it",
        ),
    ):
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

    PFT parameters are inputs of the surrogate, and the rates of decomposition are in what it learns; where
    training has seen one value alone, it knows nothing of another.
    """
    given = [(one, read_parameters(one.params)) for one in files if one.params is not None]
    trained = [(one, parameters) for one, parameters in given if one.trains]
    if not trained:
        return
    first, wanted = trained[0]
    for one, parameters in given:
        differing = [
            *(name for name in TRAITS if not _same(parameters.pft.get(name), wanted.pft.get(name))),
            *sorted(
                name
                for name in parameters.scalar.keys() & wanted.scalar.keys()
                if not _same(np.array(parameters.scalar[name]), np.array(wanted.scalar[name]))
            ),
        ]
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
