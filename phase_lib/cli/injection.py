"""Restart injection."""

from __future__ import annotations

from typing import Any

import click

from phase_lib.cli.options import (
    FILE,
    LND_IN,
    MORTALITY_FACTOR,
    OUTPUT,
    Command,
    section,
    settings_of,
    stated_factor,
)


@click.command(cls=Command)
@click.option("--restart", type=FILE, required=True, help="Base restart, AD or normal; never modified.")
@click.option("--surface", type=FILE, required=True, help="Surface data of the same grid.")
@click.option("--params", type=FILE, required=True, help="PFT and decomposition parameters.")
@click.option("--soil-params", type=FILE, help="Soil-order parameters (smax, ks_sorption).")
@click.option(
    "--predictions", type=FILE, help="Predictions; without them the base is only converted to normal mode."
)
@click.option("--output", type=OUTPUT, required=True, help="Restart to write; keep the base's name.")
@settings_of("injection")
@section("--ood", "The section `ood`: the state that flagged cells receive.")
@MORTALITY_FACTOR
@LND_IN
@click.option("--report", type=OUTPUT, help="Sidecar JSON; OUTPUT.diff.json where not given.")
@click.option("--dry-run", is_flag=True, help="Compute everything, write no restart.")
def inject(settings: str, ood: str, **given: Any) -> None:
    """Puts predicted pools into a restart that ELM accepts, and audits it."""
    from phase_lib.config.injection import InjectionSettings
    from phase_lib.config.loading import load_settings
    from phase_lib.config.ood import OodSettings
    from phase_lib.elm.audit.run import audit_restart
    from phase_lib.injection.inject import inject as run

    run(
        settings=load_settings(settings, InjectionSettings, "injection"),
        ood=load_settings(ood, OodSettings, "ood", "--ood"),
        mortality_factor=stated_factor(given),
        audit=audit_restart,
        **given,
    )
