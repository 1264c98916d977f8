"""Records of the cells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from phase_lib.cli.options import (
    FILE,
    LND_IN,
    MORTALITY_FACTOR,
    PART,
    command,
    default_of,
    default_of_forcing,
    settings_option,
    stage,
    stated_factor,
)


@command()
@click.option("--restart", type=FILE, required=True, help="Restart at the end of the 20 years.")
@click.option("--history", type=FILE, required=True, multiple=True, help="History that covers the 20 years.")
@click.option("--surface", type=FILE, required=True, help="Surface data.")
@click.option("--params", type=FILE, required=True, help="PFT and decomposition parameters.")
@click.option(
    "--forcing", type=FILE, required=True, multiple=True, help="Monthly means made by `phase forcing`."
)
@click.option("--reference-restart", type=FILE, help="Final restart of the reference run: the labels.")
@click.option(
    "--reference-history", type=FILE, multiple=True, help="Last forcing cycle of the reference run."
)
@click.option("--reference-ad-restart", type=FILE, help="Restart at the end of the reference's AD part.")
@settings_option("fusion")
@click.option("--targets", default="{}", metavar="JSON|FILE", help="The section `dataset.targets`.")
@MORTALITY_FACTOR
@LND_IN
@click.option(
    "--history-years",
    type=click.IntRange(1),
    **default_of_forcing("years"),
    help="Years that GPP, NPP, AR and HR are averaged over: one forcing cycle.",
)
@click.option("--domain-name", **default_of("target.domain"), help="Name of the domain, kept in the dataset.")
@click.option("--part", type=PART, default="1/1", show_default=True, help="Share of the cells to do.")
@click.option("--output-dir", type=FILE, required=True, help="Directory of the dataset.")
@stage
def fuse(
    settings: str,
    targets: str,
    mortality_factor: float | None,
    lnd_in: Path | None,
    history_years: int,
    domain_name: str,
    part: tuple[int, int],
    output_dir: Path,
    history: tuple[Path, ...],
    forcing: tuple[Path, ...],
    reference_history: tuple[Path, ...],
    **files: Any,
) -> None:
    """Fuses restart, history, surface, parameters and forcing into one record per cell.

    Of history and forcing patterns with * and ? may be given.
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
    domain = Domain(
        domain_name,
        history_years,
        monthly=tuple(matching_files(forcing)),
        history=tuple(matching_files(history)),
        mortality_factor=stated_factor(mortality_factor, lnd_in, files["restart"]),
        reference_history=tuple(matching_files(reference_history)),
        **files,
    )
    run(domain, choices, chosen, output_dir, Share(*part))
