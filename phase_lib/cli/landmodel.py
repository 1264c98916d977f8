"""Running a land model, and the world of the embedded one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from phase_lib.cli.options import (
    FILE,
    command,
    settings_option,
    stage,
)


@command()
@settings_option("world")
@click.option("--output-dir", type=FILE, required=True, help="Directory for the files of the world.")
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True, help="Processes.")
@stage
def world(settings: str, output_dir: Path, workers: int) -> None:
    """Makes the embedded world: domain, surface, parameter and forcing files."""
    from phase_lib.config.loading import load_settings
    from phase_lib.config.world import WorldSettings
    from phase_lib.landmodel.embedded.world.build import make_world

    make_world(load_settings(settings, WorldSettings, "world"), output_dir, workers)


@command("run-segment")
@click.option("--case", required=True, help="Name of the run; restart and history are named after it.")
@click.option("--mode", type=click.Choice(["ad", "normal"]), required=True, help="Spin-up mode.")
@click.option("--start-year", type=click.IntRange(1), required=True, help="Model year of the first day.")
@click.option("--years", type=click.IntRange(1), required=True, help="Length, whole forcing cycles.")
@click.option("--finidat", type=FILE, help="Restart to start from; a cold start without it.")
@click.option("--surface", type=FILE, required=True, help="Surface data.")
@click.option("--domain", type=FILE, required=True, help="Domain file.")
@click.option("--params", type=FILE, required=True, help="PFT and decomposition parameters.")
@click.option("--soil-params", type=FILE, required=True, help="Soil-order parameters.")
@click.option(
    "--forcing", type=FILE, required=True, multiple=True, help="Monthly means made by `phase forcing`."
)
@click.option("--output-dir", type=FILE, required=True, help="Directory for restart and history.")
@settings_option("land_model")
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="Processes.")
@stage
def run_segment(
    case: str,
    mode: Any,
    start_year: int,
    years: int,
    finidat: Path | None,
    surface: Path,
    domain: Path,
    params: Path,
    soil_params: Path,
    forcing: tuple[Path, ...],
    output_dir: Path,
    settings: str,
    threads: int,
) -> None:
    """Runs the land model from a restart (or a cold start) to the restart some years later."""
    from phase_lib.config.land_model import LandModelSettings
    from phase_lib.config.loading import load_settings
    from phase_lib.landmodel.embedded.segment import SegmentJob
    from phase_lib.landmodel.embedded.segment import run_segment as run

    choices = load_settings(settings, LandModelSettings, "land_model")
    run(
        SegmentJob(
            case=case,
            mode=mode,
            start_year=start_year,
            years=years,
            finidat=finidat,
            domain=domain,
            surface=surface,
            parameters=params,
            soil_parameters=soil_params,
            forcing=forcing,
            output_directory=output_dir,
            nyears_ad_carbon_only=choices.nyears_ad_carbon_only,
            spinup_mortality_factor=choices.spinup_mortality_factor,
            co2_ppm=choices.co2_ppm,
            device=choices.device,
            threads=threads,
        )
    )
