"""Running a land model, and what it makes before its first run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from phase_lib.base.errors import InputError
from phase_lib.cli.options import FILE, OUTPUT, Command, count, default_of, section, settings_of, several

_BACKEND = click.option(
    "--backend", **default_of("land_model.backend"), help="Land model, a name of `land_model.backend`."
)
_JOB_SETTINGS = click.option(
    "--job-settings",
    default="{}",
    metavar="JSON",
    help="Further keys of that section, which say how the job is run.",
)
_OUTPUT_DIR = click.option("--output-dir", type=FILE, required=True, help="Directory to write to.")
_WORKERS = count("--workers", "Processes.")
_DOMAIN = (
    click.option("--domain-name", "name", **default_of("target.domain"), help="Name of the domain."),
    click.option("--surface", type=FILE, help="Surface data."),
    click.option("--domain", type=FILE, help="Domain file."),
    click.option("--params", type=FILE, help="PFT and decomposition parameters."),
    click.option("--soil-params", type=FILE, help="Soil-order parameters."),
    several("--forcing", "monthly", type=FILE, help="Monthly means made by `phase forcing`."),
    click.option("--forcing-files", metavar="JSON|FILE", help="The section `domains.NAME.forcing`."),
    click.option(
        "--forcing-years",
        "cycle",
        type=click.IntRange(1),
        **default_of("forcing.years"),
        help="Forcing cycle, years.",
    ),
)
_DOMAIN_WORDS = ("name", "surface", "domain", "params", "soil_params", "monthly", "cycle")


def _domain_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a command the options of a domain's files."""
    for option in reversed(_DOMAIN):
        function = option(function)
    return function


def _land_model(backend: str, settings: str, job_settings: str = "{}") -> Any:
    """A land model of the table with its settings, in one or in two parts."""
    from phase_lib.config.backends import backend_class
    from phase_lib.config.loading import load_settings

    model = backend_class(backend)
    schema = model.settings_model
    further = _mapping(job_settings)
    if further:
        settings = json.dumps(_mapping(settings) | further)
    return model(None if schema is None else load_settings(settings, schema, model.name))


def _mapping(text: str) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError("--job-settings", f"is not JSON ({error})", expected="JSON") from error
    if not isinstance(content, dict):
        raise InputError("--job-settings", f"holds a {type(content).__name__}", expected="keys of a section")
    return content


def _domain(backend: str, directory: Path, given: dict[str, Any]) -> Any:
    """The domain of the options, which it takes out; `directory` is that of the land model's runs."""
    from phase_lib.config.domains import ForcingFiles
    from phase_lib.config.loading import load_settings
    from phase_lib.landmodel.domain import Domain, Forcing

    record, files = given.pop("forcing_files"), {word: given.pop(word) for word in _DOMAIN_WORDS}
    if record is not None:
        record = Forcing.from_config(load_settings(record, ForcingFiles, "forcing", "--forcing-files"))
    return Domain(backend=backend, forcing=record, directory=directory, **files)


@click.command(cls=Command)
@_BACKEND
@settings_of("BACKEND")
@_OUTPUT_DIR
@_WORKERS
def world(backend: str, settings: str, output_dir: Path, workers: int) -> None:
    """Makes the domain of a land model that has one: domain, surface, parameter and forcing files."""
    from phase_lib.landmodel.domain import Domain

    _land_model(backend, settings).prepare("make_world", Domain(backend), output_dir, workers)


@click.command(cls=Command)
@_BACKEND
@settings_of("BACKEND")
@_JOB_SETTINGS
@click.option("--step", required=True, help="What to make: one of the land model's steps.")
@_domain_options
@_OUTPUT_DIR
@_WORKERS
def prepare(
    backend: str, settings: str, job_settings: str, step: str, output_dir: Path, workers: int, **given: Any
) -> None:
    """Makes what a land model needs before its first run: a world, a case, an executable."""
    domain = _domain(backend, output_dir.parent, given)
    _land_model(backend, settings, job_settings).prepare(step, domain, output_dir, workers)


@click.command("run-segment", cls=Command)
@_BACKEND
@settings_of("BACKEND")
@_JOB_SETTINGS
@section("--spinup", "The section `spinup`: the protocol.")
@click.option("--case", required=True, help="Name of the run; restart and history are named after it.")
@click.option("--mode", type=click.Choice(["ad", "normal"]), required=True, help="Spin-up mode.")
@click.option("--start-year", type=click.IntRange(1), required=True, help="Model year of the first day.")
@click.option("--years", type=click.IntRange(1), required=True, help="Length, whole forcing cycles.")
@click.option("--finidat", type=FILE, help="Restart to start from; a cold start without it.")
@click.option(
    "--outcome",
    type=OUTPUT,
    help="JSON to write: how the run ended. A model that stops because of its state is then no failure.",
)
@_domain_options
@_OUTPUT_DIR
@count("--threads", "Processes.")
def run_segment(
    backend: str,
    settings: str,
    job_settings: str,
    spinup: str,
    output_dir: Path,
    outcome: Path | None,
    **given: Any,
) -> None:
    """Runs the land model from a restart (or a cold start) to the restart some years later."""
    from phase_lib.config.loading import load_settings
    from phase_lib.config.spinup import SpinupSettings
    from phase_lib.landmodel.domain import Segment
    from phase_lib.landmodel.planning import run_segment as run
    from phase_lib.landmodel.planning import try_segment

    domain = _domain(backend, output_dir.parent, given)
    protocol = load_settings(spinup, SpinupSettings, "spinup", "--spinup")
    segment = Segment(domain=domain, directory=output_dir, spinup=protocol, **given)
    model = _land_model(backend, settings, job_settings)
    if outcome is None:
        run(model, segment)
    else:
        try_segment(model, segment, outcome)
