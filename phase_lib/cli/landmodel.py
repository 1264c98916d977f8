"""Running a land model, and what it makes before its first run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from phase_lib.cli.options import FILE, Command, count, default_of, section, settings_of, several

_BACKEND = click.option(
    "--backend", **default_of("land_model.backend"), help="Land model, a name of `land_model.backend`."
)
_DOMAIN_NAME = click.option("--domain-name", **default_of("target.domain"), help="Name of the domain.")
_OUTPUT_DIR = click.option("--output-dir", type=FILE, required=True, help="Directory to write to.")
_WORKERS = count("--workers", "Processes.")


def _land_model(backend: str, settings: str) -> Any:
    """A land model of the table with its settings."""
    from phase_lib.config.backends import backend_class
    from phase_lib.config.loading import load_settings

    model = backend_class(backend)
    schema = model.settings_model
    return model(None if schema is None else load_settings(settings, schema, model.name))


@click.command(cls=Command)
@settings_of("embedded")
@_OUTPUT_DIR
@_WORKERS
def world(settings: str, output_dir: Path, workers: int) -> None:
    """Makes the embedded world: domain, surface, parameter and forcing files."""
    _land_model("embedded", settings).prepare("make_world", "embedded", output_dir, workers)


@click.command(cls=Command)
@_BACKEND
@settings_of("BACKEND")
@click.option("--step", required=True, help="What to make: one of the land model's steps.")
@_DOMAIN_NAME
@_OUTPUT_DIR
@_WORKERS
def prepare(backend: str, settings: str, step: str, domain_name: str, output_dir: Path, workers: int) -> None:
    """Makes what a land model needs before its first run: a world, a case, an executable."""
    _land_model(backend, settings).prepare(step, domain_name, output_dir, workers)


@click.command("run-segment", cls=Command)
@_BACKEND
@settings_of("BACKEND")
@section("--spinup", "The section `spinup`: the protocol.")
@click.option("--case", required=True, help="Name of the run; restart and history are named after it.")
@click.option("--mode", type=click.Choice(["ad", "normal"]), required=True, help="Spin-up mode.")
@click.option("--start-year", type=click.IntRange(1), required=True, help="Model year of the first day.")
@click.option("--years", type=click.IntRange(1), required=True, help="Length, whole forcing cycles.")
@click.option(
    "--forcing-years",
    type=click.IntRange(1),
    **default_of("forcing.years"),
    help="Forcing cycle, years.",
)
@click.option("--finidat", type=FILE, help="Restart to start from; a cold start without it.")
@_DOMAIN_NAME
@click.option("--surface", type=FILE, help="Surface data.")
@click.option("--domain", type=FILE, help="Domain file.")
@click.option("--params", type=FILE, help="PFT and decomposition parameters.")
@click.option("--soil-params", type=FILE, help="Soil-order parameters.")
@several("--forcing", "monthly", type=FILE, help="Monthly means made by `phase forcing`.")
@_OUTPUT_DIR
@count("--threads", "Processes.")
def run_segment(
    backend: str, settings: str, spinup: str, domain_name: str, forcing_years: int, **given: Any
) -> None:
    """Runs the land model from a restart (or a cold start) to the restart some years later."""
    from phase_lib.config.loading import load_settings
    from phase_lib.config.spinup import SpinupSettings
    from phase_lib.landmodel.domain import Domain, Segment
    from phase_lib.landmodel.planning import run_segment as run

    files = {role: given.pop(role) for role in ("surface", "domain", "params", "soil_params", "monthly")}
    domain = Domain(domain_name, forcing_years, backend, **files)
    protocol = load_settings(spinup, SpinupSettings, "spinup", "--spinup")
    segment = Segment(domain=domain, directory=given.pop("output_dir"), spinup=protocol, **given)
    run(_land_model(backend, settings), segment)
