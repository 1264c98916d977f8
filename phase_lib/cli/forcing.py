"""Atmospheric forcing: its reduction, and its comparison with what the model saw."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from phase_lib.cli.options import (
    FILE,
    OUTPUT,
    POSITIVE,
    command,
    default_of_forcing,
    stage,
)
from phase_lib.config.layouts import LAYOUTS


@command()
@click.option(
    "--kind",
    required=True,
    help=f"Layout of the files. {LAYOUTS.summary}.",
)
@click.option(
    "--files", required=True, multiple=True, metavar="FILE...", help="Files, or patterns with * and ?."
)
@click.option("--domain", type=FILE, required=True, help="Domain file: the land cells.")
@click.option(
    "--variables", multiple=True, metavar="NAME...", help="Some of the six variables; all of them by default."
)
@click.option("--first-year", type=int, required=True, help="First year to do; a model year of kind history.")
@click.option("--years", type=click.IntRange(1), required=True, help="Years to do; pieces make up a cycle.")
@click.option(
    "--align-year",
    type=int,
    required=True,
    help="Model year that sees the first year of the whole cycle (DATM_CLMNCEP_YR_ALIGN).",
)
@click.option("--product", required=True, help='Name of the data set, kept in the file: "GSWP3 v1".')
@click.option(
    "--limit-km",
    type=POSITIVE,
    **default_of_forcing("limit_km"),
    help="Farthest forcing point of a cell, km.",
)
@click.option("--output", type=OUTPUT, required=True, help="NetCDF file of monthly means to write.")
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True, help="Processes.")
@stage
def forcing(
    kind: Any,
    files: tuple[str, ...],
    domain: Path,
    variables: tuple[str, ...],
    first_year: int,
    years: int,
    align_year: int,
    product: str,
    limit_km: float,
    output: Path,
    workers: int,
) -> None:
    """Reduces forcing files to monthly means on the land cells: one piece of variables and years."""
    from phase_lib.base.files import matching_files
    from phase_lib.elm.domain import read_domain
    from phase_lib.forcing.reduce import reduce_forcing
    from phase_lib.forcing.variables import FORCING

    reduce_forcing(
        matching_files(files),
        read_domain(domain),
        output,
        kind=kind,
        variables=variables or tuple(FORCING),
        first_year=first_year,
        years=years,
        align_year=align_year,
        product=product,
        limit_km=limit_km,
        workers=workers,
    )


@command("compare-forcing")
@click.option("--restart", type=FILE, required=True, help="Restart at the end of the cycle to compare.")
@click.option(
    "--history", required=True, multiple=True, metavar="FILE...", help="History of it: files, or patterns."
)
@click.option(
    "--forcing",
    required=True,
    multiple=True,
    metavar="FILE...",
    help="Monthly means made by `phase forcing`: files, or patterns.",
)
@click.option("--accept", is_flag=True, help="Record a difference and go on.")
@click.option("--output", type=OUTPUT, required=True, help="JSON of what was compared.")
@stage
def compare_forcing(
    restart: Path, history: tuple[str, ...], forcing: tuple[str, ...], accept: bool, output: Path
) -> None:
    """Compares reduced forcing with the forcing fields of the history: with what the model saw."""
    from phase_lib.base.files import matching_files
    from phase_lib.forcing.comparison import compare_forcing as run

    run(restart, matching_files(history), matching_files(forcing), output, accept=accept)
