"""Atmospheric forcing: its reduction, and its comparison with what the model saw."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from phase_lib.cli.options import FILE, OUTPUT, POSITIVE, Command, count, default_of, several
from phase_lib.config.layouts import LAYOUTS


@click.command(cls=Command)
@click.option(
    "--kind",
    required=True,
    help=f"Layout of the files. {LAYOUTS.summary}.",
)
@several("--files", required=True, help="Files, or patterns with * and ?.")
@click.option("--domain", type=FILE, required=True, help="Domain file: the land cells.")
@several("--variables", metavar="NAME...", help="Some of the six variables; all of them by default.")
@click.option("--first-year", type=int, required=True, help="First year to do; a model year of kind history.")
@click.option("--years", type=click.IntRange(1), required=True, help="Years to do; pieces make up a cycle.")
@click.option(
    "--align-year",
    type=int,
    required=True,
    help="Model year that sees the first year of the whole cycle (DATM_CLMNCEP_YR_ALIGN).",
)
@click.option("--product", required=True, help='Name of the data set, kept in the file: "GSWP3 v1".')
@click.option("--limit-km", type=POSITIVE, **default_of("forcing.limit_km"), help="Farthest point, km.")
@click.option("--output", type=OUTPUT, required=True, help="NetCDF file of monthly means to write.")
@count("--workers", "Processes.")
def forcing(
    files: tuple[str, ...], domain: Path, variables: tuple[str, ...], output: Path, **given: Any
) -> None:
    """Reduces forcing files to monthly means on the land cells: one piece of variables and years."""
    from phase_lib.base.files import matching_files
    from phase_lib.elm.domain import read_domain
    from phase_lib.forcing.reduce import reduce_forcing
    from phase_lib.forcing.variables import FORCING

    names = variables or tuple(FORCING)
    reduce_forcing(matching_files(files), read_domain(domain), output, variables=names, **given)


@click.command("compare-forcing", cls=Command)
@click.option("--restart", type=FILE, required=True, help="Restart at the end of the cycle to compare.")
@several("--history", required=True, help="History of it: files, or patterns.")
@several("--forcing", required=True, help="Monthly means made by `phase forcing`: files, or patterns.")
@click.option("--accept", is_flag=True, help="Record a difference and continue.")
@click.option("--output", type=OUTPUT, required=True, help="JSON of what was compared.")
def compare_forcing(
    restart: Path, history: tuple[str, ...], forcing: tuple[str, ...], accept: bool, output: Path
) -> None:
    """Compares reduced forcing with the forcing fields of the history: with what the model saw."""
    from phase_lib.base.files import matching_files
    from phase_lib.forcing.comparison import compare_forcing as run

    run(restart, matching_files(history), matching_files(forcing), output, accept=accept)
