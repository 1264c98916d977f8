"""Benchmarks, which print JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from phase_lib.cli.options import (
    FILE,
    print_json,
    stage,
)


@click.group()
def bench() -> None:
    """Measures speed and prints it as JSON."""


@bench.command("landmodel")
@click.option("--years", type=click.IntRange(1), default=20, show_default=True, help="Model years.")
@click.option("--cells", type=click.IntRange(1), default=700, show_default=True, help="Land cells.")
@click.option("--threads", type=click.IntRange(1), default=2, show_default=True, help="Processes.")
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", help="Where it computes.")
@stage
def bench_landmodel(years: int, cells: int, threads: int, device: str) -> None:
    """Speed of the embedded land model."""
    from phase_lib.bench.landmodel import bench_landmodel as run

    print_json(run(years=years, cells=cells, threads=threads, device=device))


@bench.command("fuse")
@click.option("--cells", type=click.IntRange(1), default=260_000, show_default=True, help="Land cells.")
@click.option("--months", type=click.IntRange(1, 12), default=12, show_default=True, help="Months of a year.")
@click.option("--workers", type=click.IntRange(1), default=2, show_default=True, help="Processes.")
@click.option(
    "--matching-cells", type=click.IntRange(1), default=400_000, show_default=True, help="Cells to match."
)
@click.option("--dir", "directory", type=FILE, help="Where to put the files; the system's place by default.")
@stage
def bench_fuse(cells: int, months: int, workers: int, matching_cells: int, directory: Path | None) -> None:
    """Speed and memory of the reduction of 3-hourly forcing, beside `cdo monmean` on the same files."""
    from phase_lib.bench.fuse import bench_fuse as run

    result = run(
        cells=cells, months=months, workers=workers, matching_cells=matching_cells, directory=directory
    )
    print_json(result)


@bench.command("inject")
@click.option("--cells", type=click.IntRange(1), default=20_000, show_default=True, help="Grid cells.")
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
@click.option("--dir", "directory", type=FILE, help="Where to put the files; the system's place by default.")
@stage
def bench_inject(cells: int, grow: str, layout: Any, directory: Path | None) -> None:
    """Speed and memory of the injection with its audit, beside `cp` of the same restart."""
    from phase_lib.bench.inject import bench_inject as run

    if grow != "none" and not grow.isdecimal():
        raise click.BadParameter(f"{grow!r} is no number of cells", param_hint="--grow")
    result = run(cells, None if grow == "none" else int(grow), layout, directory)
    print_json(result)
