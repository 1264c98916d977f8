"""Benchmarks, which print JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from phase_lib.cli.options import FILE, Command, count, print_json

_DIRECTORY = click.option(
    "--dir", "directory", type=FILE, help="Directory for the files; the system's by default."
)


@click.group()
def bench() -> None:
    """Measures speed and prints it as JSON."""


@bench.command("landmodel", cls=Command)
@count("--years", "Model years.", 20)
@count("--cells", "Land cells.", 700)
@count("--threads", "Processes.", 2)
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", help="Where it computes.")
def bench_landmodel(**given: Any) -> None:
    """Speed of the embedded land model."""
    from phase_lib.bench.landmodel import bench_landmodel as run

    print_json(run(**given))


@bench.command("correct", cls=Command)
@count("--columns", "Soil columns.", 260_000)
@count("--threads", "Threads.", 2)
def bench_correct(**given: Any) -> None:
    """Speed and memory of the steady state of soil columns."""
    from phase_lib.bench.correct import bench_correct as run

    print_json(run(**given))


@bench.command("fuse", cls=Command)
@count("--cells", "Land cells.", 260_000)
@count("--months", "Months of a year.", 12, most=12)
@count("--workers", "Processes.", 2)
@count("--matching-cells", "Cells to match.", 400_000)
@_DIRECTORY
def bench_fuse(**given: Any) -> None:
    """Speed and memory of the reduction of forcing, compared with `cdo monmean`."""
    from phase_lib.bench.fuse import bench_fuse as run

    print_json(run(**given))


@bench.command("inject", cls=Command)
@count("--cells", "Grid cells.", 20_000)
@click.option(
    "--grow",
    default="none",
    show_default=True,
    metavar="CELLS|none",
    help="Grid cells of a second file, to see how time and memory grow, for example 260000 (26 GB of disk).",
)
@click.option(
    "--layout",
    type=click.Choice(["soil", "full"]),
    default="soil",
    show_default=True,
    help="Columns of each cell: soil alone, or the urban ones that ELM allocates too.",
)
@_DIRECTORY
def bench_inject(cells: int, grow: str, layout: Any, directory: Path | None) -> None:
    """Speed and memory of the injection with its audit, compared with `cp` of the same restart."""
    from phase_lib.bench.inject import bench_inject as run

    if grow != "none" and not grow.isdecimal():
        raise click.BadParameter(f"{grow!r} is no number of cells", param_hint="--grow")
    print_json(run(cells, None if grow == "none" else int(grow), layout, directory))
