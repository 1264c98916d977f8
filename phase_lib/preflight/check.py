"""All checks before a run: of a configuration, of files given by hand, or of both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from phase_lib.base.progress import LOGGER
from phase_lib.config.equilibrium import EquilibriumSettings
from phase_lib.config.root import WorkflowConfig
from phase_lib.landmodel.domain import Domain
from phase_lib.landmodel.planning import domains_of, land_model_of
from phase_lib.preflight.disk import check_disk, room_for
from phase_lib.preflight.domain import DomainSummary, check_domain
from phase_lib.preflight.findings import Finding, refusals
from phase_lib.preflight.protocol import (
    check_continued,
    check_parameters_alike,
    check_protocols,
    planned_protocol,
    protocol_of,
)
from phase_lib.preflight.report import Report


def check_inputs(config: WorkflowConfig | None, given: Sequence[Domain] = ()) -> Report:
    """Reads the headers of all inputs and finds what would spoil the run.

    Args:
        config: a workflow's; None where only files are to be checked.
        given: files of domains beside those of the configuration.

    Raises:
        InputError: a file is missing, damaged or of another kind.
    """
    planned = {} if config is None else domains_of(config)
    inputs = [*(domain.existing for domain in planned.values()), *given]
    settings = EquilibriumSettings() if config is None else config.equilibrium
    summaries, found = [], []
    for files in inputs:
        if files.forcing is None and not any(True for _ in files.paths):
            continue  # the run makes all of it
        LOGGER.debug("reading the headers of %s", files.name)
        summary, findings = check_domain(files, settings)
        summaries.append(summary)
        found += findings
    if config is None:
        return Report(None, {}, summaries, None, found)
    for name, domain in planned.items():
        found += [Finding(str(error)) for error in land_model_of(config, name).check(domain.existing)]
    found += [*_check_run(config, planned, summaries), *refusals(check_parameters_alike(inputs))]
    disk = room_for(config, planned, summaries)
    found += check_disk(config, disk)
    return Report(config, planned, summaries, disk, found)


def _check_run(
    config: WorkflowConfig, planned: Mapping[str, Domain], summaries: Sequence[DomainSummary]
) -> Iterator[Finding]:
    """What the domains of a run have to do with each other, and with its protocol."""
    read = {summary.name: summary for summary in summaries}
    protocols = {
        name: protocol_of(read.get(name)) or planned_protocol(domain, config.spinup, read.get(name))
        for name, domain in planned.items()
    }
    for name, domain in planned.items():
        yield from check_continued(domain, config.spinup, read.get(name))
    trained = [protocols[name] for name in config.training.domains]
    yield from check_protocols(trained, protocols[config.target.domain])
