"""Running a land model, and what it needs before its first run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from phase_lib.cli.options import FILE, command, default_of, default_of_forcing, settings_option, stage

_BACKEND = click.option(
    "--backend", **default_of("land_model.backend"), help="Land model, a name of `land_model.backend`."
)
_OUTPUT_DIR = click.option(
    "--output-dir", type=FILE, required=True, help="Directory for what is made, or for restart and history."
)
_WORKERS = click.option("--workers", type=click.IntRange(1), default=1, show_default=True, help="Processes.")
_DOMAIN = (
    click.option("--domain-name", **default_of("target.domain"), help="Name of the domain."),
    click.option("--surface", type=FILE, help="Surface data."),
    click.option("--domain", type=FILE, help="Domain file."),
    click.option("--params", type=FILE, help="PFT and decomposition parameters."),
    click.option("--soil-params", type=FILE, help="Soil-order parameters."),
    click.option("--forcing", type=FILE, multiple=True, help="Monthly means made by `phase forcing`."),
    click.option("--forcing-files", metavar="JSON|FILE", help="The section `domains.NAME.forcing`."),
    click.option(
        "--forcing-years", type=click.IntRange(1), **default_of_forcing("years"), help="Forcing cycle, years."
    ),
)


def _domain_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a command the options of a domain's files."""
    for option in reversed(_DOMAIN):
        function = option(function)
    return function


def _land_model(backend: str, settings: str) -> Any:
    """A land model of the table with its settings."""
    from phase_lib.config.backends import backend_class
    from phase_lib.config.loading import load_settings

    model = backend_class(backend)
    section = model.settings_model
    return model(None if section is None else load_settings(settings, section, model.name))


def _domain(
    backend: str,
    directory: Path,
    domain_name: str,
    forcing: tuple[Path, ...],
    forcing_files: str | None,
    forcing_years: int,
    **files: Any,
) -> Any:
    """The domain of the options; `directory` is that of the land model's runs."""
    from phase_lib.config.domains import ForcingFiles
    from phase_lib.config.loading import load_settings
    from phase_lib.landmodel.domain import Domain, Forcing

    record = None
    if forcing_files is not None:
        section = load_settings(forcing_files, ForcingFiles, "forcing", "--forcing-files")
        record = Forcing.from_config(section)
    given: dict[str, Any] = {"forcing": record, "monthly": forcing, "directory": directory}
    return Domain(domain_name, forcing_years, backend, **given, **files)


@command()
@_BACKEND
@settings_option("BACKEND")
@_OUTPUT_DIR
@_WORKERS
@stage
def world(backend: str, settings: str, output_dir: Path, workers: int) -> None:
    """Makes the domain of a land model that has one: domain, surface, parameter and forcing files."""
    from phase_lib.landmodel.domain import Domain

    _land_model(backend, settings).prepare("make_world", Domain(backend), output_dir, workers)


@command()
@_BACKEND
@settings_option("BACKEND")
@click.option("--step", required=True, help="What to make: one of the land model's steps.")
@_domain_options
@_OUTPUT_DIR
@_WORKERS
@stage
def prepare(backend: str, settings: str, step: str, output_dir: Path, workers: int, **options: Any) -> None:
    """Makes what a land model needs before its first run: a world, a case, an executable."""
    domain = _domain(backend, output_dir.parent, **options)
    _land_model(backend, settings).prepare(step, domain, output_dir, workers)


@command("run-segment")
@_BACKEND
@settings_option("BACKEND")
@click.option("--spinup", default="{}", metavar="JSON|FILE", help="The section `spinup`: the protocol.")
@click.option("--case", required=True, help="Name of the run; restart and history are named after it.")
@click.option("--mode", type=click.Choice(["ad", "normal"]), required=True, help="Spin-up mode.")
@click.option("--start-year", type=click.IntRange(1), required=True, help="Model year of the first day.")
@click.option("--years", type=click.IntRange(1), required=True, help="Length, whole forcing cycles.")
@click.option("--finidat", type=FILE, help="Restart to start from; a cold start without it.")
@_domain_options
@_OUTPUT_DIR
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="Processes.")
@stage
def run_segment(
    backend: str,
    settings: str,
    spinup: str,
    case: str,
    mode: Any,
    start_year: int,
    years: int,
    finidat: Path | None,
    output_dir: Path,
    threads: int,
    **options: Any,
) -> None:
    """Runs the land model from a restart (or a cold start) to the restart some years later."""
    from phase_lib.config.loading import load_settings
    from phase_lib.config.spinup import SpinupSettings
    from phase_lib.landmodel.domain import Segment
    from phase_lib.landmodel.planning import run_segment as run

    domain = _domain(backend, output_dir.parent, **options)
    protocol = load_settings(spinup, SpinupSettings, "spinup", "--spinup")
    segment = Segment(case, mode, start_year, years, finidat, domain, output_dir, protocol, threads)
    run(_land_model(backend, settings), segment)
