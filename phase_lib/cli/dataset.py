"""The dataset: its index, its splits, its normalisation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from phase_lib.base.progress import LOGGER
from phase_lib.cli.options import (
    ACCEPT_FORCING,
    FILE,
    OUTPUT,
    SPLIT_KIND,
    Command,
    default_of,
    settings_of,
    several,
)


@click.command(cls=Command)
@several(
    "--records",
    type=(str, FILE),
    required=True,
    metavar="DOMAIN DIR",
    help="A directory that `phase fuse` wrote, and its domain.",
)
@several("--training", required=True, metavar="DOMAIN", help="Domains to train on.")
@ACCEPT_FORCING
@click.option("--output-dir", type=FILE, required=True, help="Directory of the dataset.")
def join(
    records: Sequence[tuple[str, Path]], training: tuple[str, ...], accept_forcing: bool, output_dir: Path
) -> None:
    """Joins the records of all domains and jobs in one dataset: an index over their files."""
    from phase_lib.dataset.joining import join_records

    by_domain: dict[str, list[Path]] = {}
    for name, directory in records:
        by_domain.setdefault(name, []).append(directory)
    join_records(by_domain, training, output_dir, accept_forcing=accept_forcing)


@click.command(cls=Command)
@click.option("--dataset", type=FILE, required=True, help="Directory of the dataset.")
@click.option("--kind", type=SPLIT_KIND, required=True, help="Single cells or tiles.")
@settings_of("dataset")
@click.option("--seed", type=click.IntRange(0), **default_of("run.seed"), help="Seed of the draw.")
@click.option("--output", type=OUTPUT, required=True, help="Split file to write.")
def split(dataset: Path, kind: Any, settings: str, seed: int, output: Path) -> None:
    """Splits the cells into training, validation and test."""
    from phase_lib.config.dataset import DatasetSettings
    from phase_lib.config.loading import load_settings
    from phase_lib.dataset.split import split as run

    result = run(dataset, kind, load_settings(settings, DatasetSettings, "dataset"), seed, output)
    counts = [cells.sum() for cells in (result.train, result.validation, result.test)]
    LOGGER.info("%s: %d training, %d validation, %d test cells", kind, *counts)


@click.command(cls=Command)
@click.option("--dataset", type=FILE, required=True, help="Directory of the dataset.")
@click.option("--split", type=FILE, required=True, help="Split file; only its training cells count.")
@settings_of("surrogate")
@click.option("--output", type=OUTPUT, required=True, help="normalization.nc to write.")
def normalize(dataset: Path, split: Path, settings: str, output: Path) -> None:
    """Fits the scaling of features and targets on the training cells."""
    from phase_lib.config.loading import load_settings
    from phase_lib.config.surrogate import SurrogateSettings
    from phase_lib.dataset.normalization import normalize as run

    run(dataset, split, load_settings(settings, SurrogateSettings, "surrogate"), output)
