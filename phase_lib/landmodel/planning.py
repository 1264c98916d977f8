"""The runs that a configuration needs of its land models, and the places of their files."""

from __future__ import annotations

from dataclasses import replace
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

from phase_lib.base.errors import InputError, ModelAbort, ModelStopped
from phase_lib.base.files import write_json
from phase_lib.base.progress import LOGGER
from phase_lib.config.backends import backend_class
from phase_lib.config.fusion import FusionSettings
from phase_lib.config.root import WorkflowConfig
from phase_lib.config.spinup import Role
from phase_lib.elm.netcdf import open_dataset
from phase_lib.elm.restart import restart_header
from phase_lib.forcing.variables import FORCING
from phase_lib.landmodel.domain import ANNUAL_TAPE, CYCLE_TAPE, Chain, Domain, Segment
from phase_lib.landmodel.interface import LandModel


def land_model_of(config: WorkflowConfig, domain: str) -> LandModel:
    """The land model of a domain, with its settings."""
    backend = config.backend_of(domain)
    model: LandModel = backend_class(backend)(config.settings_of(backend))
    return model.for_domain(domain)


def domains_of(config: WorkflowConfig) -> dict[str, Domain]:
    """The domains that a configuration uses, by name.

    Raises:
        InputError: a file that every run reads is not given, or a name or pattern stands for no file.
    """
    return {name: _domain(config, name) for name in config.used_domains}


def chains_of(config: WorkflowConfig, name: str) -> tuple[Chain, ...]:
    """The runs that a domain needs; the run uses the files that it gives.

    Runs of the target have the names of their roles; where the land model does not run the target, runs of
    the first training domain have them. The names of other runs begin with the name of their domain.
    """
    files, model, spinup = config.domains.get(name), land_model_of(config, name), config.spinup
    given = set() if files is None else {key for key, value in files if value}
    target, trains = name == config.target.domain, name in config.training.domains
    labelled = trains and "reference_restart" not in given
    after_input, after_ad = 1 + spinup.input_years, 1 + spinup.ad_years
    first = after_input if "restart" in given else 1
    last = after_ad if labelled and "reference_ad_restart" not in given else after_input
    wanted: list[Role] = ["ad"] if last > first else []
    wanted += ["reference"] if labelled else []
    wanted += [*config.stabilisation.beside, "injected"] if target and model.runs else []
    target_runs = land_model_of(config, config.target.domain).runs
    plain = name == (config.target.domain if target_runs else config.training.domains[0])
    stabilisation = config.stabilisation
    ends = [stabilisation.round_end(after_input, number) for number in range(stabilisation.rounds)]

    def chain(role: Role) -> Chain:
        cuts: list[int] = []  # the run begins the first window at the first one
        match role:
            case "ad":
                years = spinup.boundaries(first, last, after_input)
            case "reference" if config.reference.corrected:
                # In the first cycle the land model moves its pools out of AD: no window.
                cycle = config.cycle_of(name)
                assert cycle is not None, "a domain without forcing is refused as it is described"
                settled = after_ad + cycle
                cuts = [*accumulate(config.reference.windows, initial=settled)]
                years = spinup.boundaries(after_ad, cuts[-1] + config.reference.final, *cuts)
            case "reference":
                years = spinup.boundaries(after_ad, after_ad + spinup.normal_years)
            case _:
                if role in ("injected", "no_surrogate"):
                    cuts = [after_input, *stabilisation.corrections(after_input)]
                years = spinup.boundaries(after_input, ends[-1], *ends, *cuts)
        return Chain(role if plain else f"{name}_{role}", role, tuple(years), tuple(pairwise(cuts)))

    chains = tuple(map(chain, wanted))
    return (*chains, *_corrected_starts(config, after_input)) if target and model.runs else chains


def _corrected_starts(config: WorkflowConfig, first: int) -> tuple[Chain, ...]:
    """Runs of the target from the states of `experiments.restarts`, with the windows of the injected run."""
    if not config.stabilisation.windows:
        return ()
    cuts = [*accumulate(config.stabilisation.windows, initial=first)]
    years = config.spinup.boundaries(first, cuts[-1] + config.experiments.restart_test_years, *cuts)
    return tuple(
        Chain(f"from_{start}", "start", tuple(years), tuple(pairwise(cuts)))
        for start in config.experiments.starts
    )


def _domain(config: WorkflowConfig, name: str) -> Domain:
    spinup, run = config.spinup, config.run.directory
    given = land_model_of(config, name).describe(name, config.domains.get(name), run)
    chains = chains_of(config, name)
    domain = replace(
        given,
        soil_budget=land_model_of(config, name).soil_budget,
        trains=name in config.training.domains,
        target=name == config.target.domain,
        monthly=_pieces(config, given),
        directory=run / "landmodel",
        chains=chains,
        made=given.made | {"monthly", "injected", "control"},
    )
    for chain in chains:
        segments = domain.segments(chain, spinup)
        made: dict[str, Any] = {}
        if chain.role in ("ad", "reference"):
            _require_one_factor(domain, spinup.spinup_mortality_factor)
        if chain.role == "ad":
            if domain.restart is None:
                domain = replace(domain, mortality_factor=spinup.spinup_mortality_factor)
                to_input = [one for one in segments if one.end_year <= 1 + spinup.input_years]
                made["restart"] = to_input[-1].restart
                made["history"] = tuple(path for one in to_input for path in one.history(CYCLE_TAPE))
                made["soil_history"] = tuple(path for one in to_input for path in one.history(ANNUAL_TAPE))
            if segments[-1].end_year == 1 + spinup.ad_years and domain.has_run("reference"):
                made["reference_ad_restart"] = segments[-1].restart
        elif chain.role == "reference":
            made["reference_restart"] = segments[-1].restart
            made["reference_history"] = tuple(segments[-1].history(CYCLE_TAPE)[-1:])
        domain = replace(domain, made=domain.made | made.keys(), **made)
    if domain.target:
        assert domain.restart is not None
        name, restarts = domain.restart.name, run / "restart"
        starts = {
            f"from_{start}": run / "experiments" / "restarts" / start / "clip" / name
            for start in config.experiments.starts
        }
        domain = replace(domain, injected=restarts / name, control=restarts / "control" / name, starts=starts)
    return domain


def _require_one_factor(domain: Domain, factor: float) -> None:
    """A run that continues from a given AD restart has the factor of the run that wrote it."""
    if domain.restart is not None and domain.mortality_factor != factor:
        given = f"of the run that wrote {domain.restart} is {domain.mortality_factor:g}"
        expected = f"spinup.spinup_mortality_factor ({factor:g}), as a run continues from it"
        remedy, what = "set that to the factor of the run", f"spinup_mortality_factor {given}"
        raise InputError(f"domains.{domain.name}", what, expected=expected, remedy=remedy)


def forcing_groups(settings: FusionSettings) -> dict[str, list[str]]:
    """Forcing variables that one job reduces together, by the name of the group."""
    return {name: [name] for name in FORCING} if settings.forcing_by_variable else {"all": [*FORCING]}


def _pieces(config: WorkflowConfig, domain: Domain) -> tuple[Path, ...]:
    """Monthly means of a domain's forcing, one file for each job."""
    assert domain.forcing is not None
    first, years = domain.forcing.first_year, domain.forcing.years
    end, step = first + years, config.fusion.forcing_years_per_job or years
    directory = config.run.directory / "forcing" / domain.name
    return tuple(
        directory / f"{group}.{start:04d}-{min(start + step, end) - 1:04d}.nc"
        for group in forcing_groups(config.fusion)
        for start in range(first, end, step)
    )


def try_segment(model: LandModel, segment: Segment, outcome: Path) -> None:
    """Runs a segment whose state the land model may not stand, and writes how that ended.

    The JSON has `years`, `stopped` (the first message of the land model, None where it ran to the end) and
    `history`, the files of annual means.

    Raises:
        InputError, ModelAbort: as `run_segment`, where the reason is not the state of the restart.
    """
    stopped = None
    # There also where the model stops before it writes anything.
    segment.directory.mkdir(parents=True, exist_ok=True)
    try:
        run_segment(model, segment)
    except ModelStopped as error:
        stopped = str(error)
    except InputError as error:
        if segment.finidat is None or error.file != str(segment.finidat):
            raise
        stopped = error.what
    if stopped is not None:
        LOGGER.warning("%s: the land model stopped: %s", segment.case, stopped)
    history = [] if stopped else [str(path) for path in segment.history(ANNUAL_TAPE)]
    write_json(outcome, {"years": segment.years, "stopped": stopped, "history": history})


def run_segment(model: LandModel, segment: Segment) -> None:
    """Runs a segment and checks what it wrote.

    Raises:
        InputError: as `LandModel.run`.
        ModelAbort: the model stopped, or a file is missing, or the restart is of another date or mode.
    """
    model.run(segment)
    for path in (segment.restart, *segment.history(CYCLE_TAPE), *segment.history(ANNUAL_TAPE)):
        if not path.is_file():
            raise ModelAbort(f"{path}: was not written by the land model {model.name}")
    with open_dataset(segment.restart) as dataset:
        header = restart_header(segment.restart, dataset)
    expected = f"{segment.end_year:04d}-01-01", segment.spinup_state
    if (header.date, header.spinup_state) != expected:
        raise ModelAbort(
            f"{segment.restart}: is of {header.date} with spinup_state {header.spinup_state}; expected "
            f"{expected[0]} and {expected[1]}"
        )
