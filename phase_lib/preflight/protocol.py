"""Were training and target domains run alike? What the surrogate learns depends on the protocol."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from phase_lib.config.domains import EMBEDDED
from phase_lib.config.root import WorkflowConfig
from phase_lib.dataset.joining import forcing_difference
from phase_lib.elm.constants import NATPFT, SPINUP_AD
from phase_lib.elm.parameters import read_parameters
from phase_lib.fusion.schema import TRAITS
from phase_lib.landmodel.embedded.world.weather import STEPS_PER_DAY
from phase_lib.preflight.domain import DomainSummary
from phase_lib.preflight.facts import MODES
from phase_lib.preflight.findings import Finding, finding
from phase_lib.preflight.inputs import InputFiles


@dataclass(frozen=True)
class Protocol:
    """How the input of a domain came about.

    Attributes:
        domain: name.
        file: its restart, for messages.
        spinup_state: of that restart.
        year: of its date.
        natural_pfts: on its soil columns.
        mortality_factor: `spinup_mortality_factor` of its AD run; None where that is not known.
        forcing: what tells its forcing from another; None where that could not be read.
    """

    domain: str
    file: str
    spinup_state: int | None
    year: int
    natural_pfts: int
    mortality_factor: float | None
    forcing: dict[str, Any] | None


def protocol_of(summary: DomainSummary) -> Protocol | None:
    """The protocol of a domain from files; None without a restart."""
    restart, forcing = summary.restart, summary.forcing
    if restart is None:
        return None
    return Protocol(
        summary.name,
        restart.file,
        restart.spinup_state,
        restart.year,
        restart.natural_pfts,
        summary.mortality_factor,
        None if forcing is None else forcing.description,
    )


def embedded_protocol(config: WorkflowConfig) -> Protocol:
    """The protocol of the embedded world, whose files are yet to be made."""
    world = config.world
    return Protocol(
        EMBEDDED,
        f"domain {EMBEDDED}",
        SPINUP_AD,
        1 + config.land_model.input_years,
        NATPFT,
        config.land_model.spinup_mortality_factor,
        {
            "kind": "datm",
            "product": world.forcing_product,
            "step_hours": [24.0 / STEPS_PER_DAY],
            "years": world.forcing_years,
        },
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
    factors = trained.mortality_factor, target.mortality_factor
    if target.spinup_state == SPINUP_AD and None not in factors and factors[0] != factors[1]:
        yield finding(
            target.file,
            f"spinup_mortality_factor of {target.domain} is {factors[1]:g}",
            expected=f"{factors[0]:g}, {of_trained}: dead wood in AD depends on it",
            remedy="use runs of one protocol",
        )
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


def check_parameters_alike(files: Sequence[InputFiles]) -> Iterator[Finding]:
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
