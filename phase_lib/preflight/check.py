"""All checks before a run: of a configuration, of files on the command line, or of both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from phase_lib.base.errors import InputError
from phase_lib.base.files import matching_files
from phase_lib.base.progress import LOGGER
from phase_lib.config.domains import ForcingFiles
from phase_lib.config.equilibrium import EquilibriumSettings
from phase_lib.config.fusion import SteadyStateSettings
from phase_lib.config.layouts import layout_class
from phase_lib.config.loading import validate
from phase_lib.config.root import WorkflowConfig
from phase_lib.landmodel.domain import Domain, Forcing, ad_run
from phase_lib.landmodel.planning import domains_of, land_model_of
from phase_lib.preflight import protocol
from phase_lib.preflight.disk import check_disk, room_for
from phase_lib.preflight.domain import DomainSummary, check_domain
from phase_lib.preflight.findings import Finding, refusals
from phase_lib.preflight.report import Report


def check_inputs(config: WorkflowConfig | None, given: Sequence[Domain] = ()) -> Report:
    """Reads the headers of all inputs and finds what would spoil the run.

    Args:
        config: a workflow's; None where only files are to be checked.
        given: files of domains in addition to those of the configuration.

    Raises:
        InputError: a file is missing, damaged or of another kind.
    """
    planned = {} if config is None else domains_of(config)
    inputs = [*(domain.existing for domain in planned.values()), *given]
    settings = EquilibriumSettings() if config is None else config.equilibrium
    steady = SteadyStateSettings() if config is None else config.fusion.steady_state
    summaries: list[DomainSummary] = []
    findings: list[Finding] = []
    for files in inputs:
        if files.forcing is None and not any(True for _ in files.paths):
            continue  # the run makes all of it
        LOGGER.debug("reading the headers of %s", files.name)
        summaries.append(check_domain(files, settings, steady.last_years, findings))
    if config is None:
        return Report(None, {}, summaries, None, findings)
    for name, domain in planned.items():
        segments = [one for chain in domain.chains for one in domain.segments(chain, config.spinup)]
        faults = land_model_of(config, name).check(domain.existing, segments)
        findings += [Finding(str(fault)) for fault in faults]
    findings += [*_check_run(config, planned, summaries), *refusals(protocol.check_parameters_alike(inputs))]
    disk = room_for(config, planned, summaries)
    findings += check_disk(config, disk)
    return Report(config, planned, summaries, disk, findings)


def _check_run(
    config: WorkflowConfig, planned: Mapping[str, Domain], summaries: Sequence[DomainSummary]
) -> Iterator[Finding]:
    """The domains of a run against each other, and against its protocol."""
    read = {summary.name: summary for summary in summaries}
    protocols = {}
    for name, domain in planned.items():
        summary, spinup = read.get(name), config.spinup
        yield from protocol.check_continued(domain, spinup, summary)
        given = protocol.protocol_of(summary)
        protocols[name] = given or protocol.planned_protocol(domain, spinup, summary)
    trained = [protocols[name] for name in config.training.domains]
    yield from protocol.check_protocols(trained, protocols[config.target.domain])


def files_by_hand(given: Mapping[str, Any]) -> Domain | None:
    """Files given one by one, which are checked as a domain to train on and to inject into.

    Args:
        given: options of `phase check` by name, without a value where not given.

    Returns:
        What was given; None where there is no file among it.

    Raises:
        InputError: a name or pattern stands for no file, or the forcing is not described.
    """
    factor, settings = ad_run(given["lnd_in"], given["mortality_factor"])
    files: dict[str, Any] = {role: path for role, path in given.items() if isinstance(path, Path)}
    domain = Domain(
        cycle=given["years"],
        **files,
        history=tuple(matching_files(given["history"])),
        soil_history=tuple(matching_files(given["soil_history"])),
        reference_history=tuple(matching_files(given["reference_history"])),
        mortality_factor=factor,
        ad_settings=settings,
        forcing=_forcing(given),
    )
    return domain if domain.forcing is not None or any(True for _ in domain.paths) else None


def _forcing(given: Mapping[str, Any]) -> Forcing | None:
    kind = given["forcing_kind"]
    from_history = kind is not None and layout_class(kind).in_model_years and given["history"]
    if not given["forcing"] and not from_history:
        return None
    if given["first_year"] is None:
        raise InputError("--first-year", "is not given", expected="the first year of the forcing cycle")
    content = {"kind": kind, "files": list(given["forcing"])}
    content |= {name: given[name] for name in ("product", "first_year", "years", "align_year", "limit_km")}
    present = {name: value for name, value in content.items() if value is not None}
    return Forcing.from_config(validate(ForcingFiles, present, "forcing"), given["history"])
