"""Records of the cells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from phase_lib.cli.options import (
    FILE,
    LND_IN,
    MORTALITY_FACTOR,
    Command,
    default_of,
    section,
    settings_of,
    several,
    share,
    stated_factor,
)


@click.command(cls=Command)
@click.option("--restart", type=FILE, required=True, help="Restart at the end of the 20 years.")
@several("--history", type=FILE, required=True, help="History that covers the 20 years.")
@several(
    "--soil-history",
    type=FILE,
    help="Annual or finer means with the carbon budget of the soil of the last years; --history may hold it.",
)
@click.option("--surface", type=FILE, required=True, help="Surface data.")
@click.option("--params", type=FILE, required=True, help="PFT and decomposition parameters.")
@several("--forcing", "monthly", type=FILE, required=True, help="Monthly means made by `phase forcing`.")
@click.option("--reference-restart", type=FILE, help="Final restart of the reference run: the labels.")
@several("--reference-history", type=FILE, help="Last forcing cycle of the reference run.")
@click.option("--reference-ad-restart", type=FILE, help="Restart at the end of the reference's AD part.")
@settings_of("fusion")
@section("--targets", "The section `dataset.targets`.")
@MORTALITY_FACTOR
@LND_IN
@click.option(
    "--history-years",
    "cycle",
    type=click.IntRange(1),
    **default_of("forcing.years"),
    help="Years that GPP, NPP, AR and HR are averaged over: one forcing cycle.",
)
@click.option("--domain-name", "name", **default_of("target.domain"), help="Domain, kept in the dataset.")
@share("Share of the cells to do.")
@click.option("--output-dir", type=FILE, required=True, help="Directory of the dataset.")
def fuse(settings: str, targets: str, share: tuple[int, int], output_dir: Path, **files: Any) -> None:
    """Fuses restart, history, surface, parameters and forcing into one record per cell.

    Histories and forcing may be patterns with * and ?.
    """
    from phase_lib.base.files import matching_files
    from phase_lib.config.fusion import FusionSettings
    from phase_lib.config.loading import load_settings
    from phase_lib.config.targets import TargetSettings
    from phase_lib.fusion.fuse import Share
    from phase_lib.fusion.fuse import fuse as run
    from phase_lib.landmodel.domain import Domain

    choices = load_settings(settings, FusionSettings, "fusion")
    chosen = load_settings(targets, TargetSettings, "dataset.targets", "--targets")
    for role in ("monthly", "history", "soil_history", "reference_history"):
        files[role] = tuple(matching_files(files[role]))
    run(Domain(mortality_factor=stated_factor(files), **files), choices, chosen, output_dir, Share(*share))
