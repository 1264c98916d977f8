"""All checks before a run: of a configuration, of files given by hand, or of both."""

from __future__ import annotations

from collections.abc import Sequence

from phase_lib.base.progress import LOGGER
from phase_lib.config.domains import EMBEDDED
from phase_lib.config.equilibrium import EquilibriumSettings
from phase_lib.config.root import WorkflowConfig
from phase_lib.preflight.disk import check_disk, room_for
from phase_lib.preflight.domain import DomainSummary, check_domain
from phase_lib.preflight.findings import Finding, refusals
from phase_lib.preflight.inputs import InputFiles, inputs_of
from phase_lib.preflight.protocol import (
    Protocol,
    check_parameters_alike,
    check_protocols,
    embedded_protocol,
    protocol_of,
)
from phase_lib.preflight.report import Report


def check_inputs(config: WorkflowConfig | None, given: Sequence[InputFiles] = ()) -> Report:
    """Reads the headers of all inputs and finds what would spoil the run.

    Args:
        config: a workflow's; None where only files are to be checked.
        given: files of domains beside those of the configuration.

    Raises:
        InputError: a file is missing, damaged or of another kind.
    """
    inputs = [*([] if config is None else inputs_of(config)), *given]
    settings = EquilibriumSettings() if config is None else config.equilibrium
    domains, found = [], []
    for files in inputs:
        LOGGER.debug("reading the headers of %s", files.name)
        summary, findings = check_domain(files, settings)
        domains.append(summary)
        found += findings
    if config is None:
        return Report(None, domains, None, found)
    found += [*_check_run(config, domains), *refusals(check_parameters_alike(inputs))]
    disk = room_for(config, domains)
    found += check_disk(config, disk)
    return Report(config, domains, disk, found)


def _check_run(config: WorkflowConfig, domains: Sequence[DomainSummary]) -> list[Finding]:
    """What the domains of a run have to do with each other."""
    protocols: dict[str, Protocol] = {EMBEDDED: embedded_protocol(config)}
    protocols |= {summary.name: protocol for summary in domains if (protocol := protocol_of(summary))}
    trained = [protocols[name] for name in config.training.domains]
    return list(check_protocols(trained, protocols[config.target.domain]))
