"""Checks before a run: the default configuration, a description of a file, the inputs of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from phase_lib.base.progress import LOGGER
from phase_lib.cli.options import (
    AS_JSON,
    FACTOR,
    FILE,
    OUTPUT,
    POSITIVE,
    Command,
    default_of,
    print_result,
    several,
)
from phase_lib.config.layouts import LAYOUTS

DEFAULT_CONFIG = Path("workflow_config.yaml")


@click.command(cls=Command)
@click.option("--output", type=OUTPUT, help="File to write; printed where not given.")
def config(output: Path | None) -> None:
    """Writes the default configuration, every key under its documentation."""
    from phase_lib.base.files import writing
    from phase_lib.config.documentation import default_yaml

    if output is None:
        click.echo(default_yaml(), nl=False)
        return
    with writing(output) as temporary:
        temporary.write_text(default_yaml(), encoding="utf-8")


@click.command(cls=Command)
@click.argument("file", type=FILE)
@AS_JSON
def inspect(file: Path, as_json: bool) -> None:
    """Describes a file of ELM or of a run: what it is, and what is in it."""
    from phase_lib.preflight.inspection import describe
    from phase_lib.preflight.inspection import inspect as run

    content = run(file)
    print_result(content, describe(content), as_json)


@click.command(cls=Command)
@click.option(
    "--config",
    metavar="JSON|FILE",
    help=f"Configuration of a run; {DEFAULT_CONFIG} where no file of the options below is given.",
)
@click.option("--restart", type=FILE, help="Restart that is to be injected, or trained on.")
@click.option("--surface", type=FILE, help="Surface data.")
@click.option("--domain", type=FILE, help="Domain file.")
@click.option("--params", type=FILE, help="PFT and decomposition parameters.")
@click.option("--soil-params", type=FILE, help="Soil-order parameters.")
@several("--history", help="History up to the restart; names or patterns.")
@several("--soil-history", help="History with the carbon budget of the soil; names or patterns.")
@several("--forcing", help="Forcing files; names or patterns.")
@click.option(
    "--forcing-kind",
    help=f"Layout of the forcing files, {' or '.join(LAYOUTS.names)}; datm where not given.",
)
@click.option("--first-year", type=int, help="First year of the forcing cycle.")
@click.option("--years", type=click.IntRange(1), **default_of("forcing.years"), help="Forcing cycle.")
@click.option("--align-year", type=int, help="Model year that sees the first year; 1 where not given.")
@click.option("--limit-km", type=POSITIVE, help="Farthest forcing point of a cell, km.")
@click.option("--product", default="not named", help="Name of the forcing data set.")
@click.option("--mortality-factor", type=FACTOR, help="`spinup_mortality_factor` of the AD run.")
@click.option("--lnd-in", help="`lnd_in` of the AD run, or its case directory: the factor and more.")
@click.option("--reference-restart", type=FILE, help="Final restart of the reference run.")
@several("--reference-history", help="History of the reference; names or patterns.")
@click.option("--reference-ad-restart", type=FILE, help="Restart at the end of the reference's AD part.")
@click.option("--report", type=OUTPUT, help="JSON of what was understood, written where there is no finding.")
def check(config: str | None, report: Path | None, **given: Any) -> None:
    """Checks a run's inputs, or files by themselves, by their headers; exit 3 if they do not fit together."""
    from phase_lib.base.errors import CheckFailed
    from phase_lib.base.files import write_json
    from phase_lib.config.loading import load_settings
    from phase_lib.config.root import WorkflowConfig
    from phase_lib.preflight.check import check_inputs, files_by_hand

    files = files_by_hand(given)
    if config is None and files is None:
        config = str(DEFAULT_CONFIG)
    choices = None if config is None else load_settings(config, WorkflowConfig, "", "--config")
    outcome = check_inputs(choices, [] if files is None else [files])
    click.echo("\n".join(outcome.lines()))
    for line in outcome.findings[:-1]:
        LOGGER.debug("finding: %s", line)
        click.echo(f"phase: {line}", err=True)
    if outcome.findings:
        raise CheckFailed(outcome.findings[-1])
    if report is not None:
        write_json(report, outcome.as_json())
    click.echo(f"{'configuration' if (config or '').startswith('{') else config or 'files'}: ok")
