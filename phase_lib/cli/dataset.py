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
    METHOD,
    OUTPUT,
    POSITIVE,
    SPLIT_KIND,
    Command,
    default_of,
    settings_of,
    several,
)
from phase_lib.config.sites import LEAST_COVER, METHODS


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
@click.option(
    "--labelled-share",
    type=click.FloatRange(0.0, 1.0, min_open=True),
    help="Share of the cells beside the test that train or validate; the others count as without labels.",
)
@METHOD()
@click.option("--labelled-seed", type=click.IntRange(0), help="Seed of the choice of these.")
@click.option("--output", type=OUTPUT, required=True, help="Split file to write.")
def split(
    dataset: Path,
    kind: Any,
    settings: str,
    seed: int,
    labelled_share: float | None,
    method: Any,
    labelled_seed: int | None,
    output: Path,
) -> None:
    """Splits the cells into training, validation and test."""
    from phase_lib.config.dataset import DatasetSettings
    from phase_lib.config.loading import load_settings
    from phase_lib.dataset.split import Labelled
    from phase_lib.dataset.split import split as run

    labelled = None
    if labelled_share is not None:
        if method is None or labelled_seed is None:
            raise click.UsageError("--labelled-share needs --method and --labelled-seed")
        labelled = Labelled(labelled_share, method, labelled_seed)
    result = run(dataset, kind, load_settings(settings, DatasetSettings, "dataset"), seed, output, labelled)
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


@click.command("choose-sites", cls=Command)
@click.option("--surface", type=FILE, required=True, help="Surface data of the whole domain.")
@click.option("--domain", type=FILE, required=True, help="Domain file of it.")
@several("--forcing", required=True, help="Monthly means made by `phase forcing`: files, or patterns.")
@click.option("--cells", type=click.IntRange(1), required=True, help="How many cells to choose.")
@METHOD(default=METHODS[0], show_default=True)
@click.option("--seed", type=click.IntRange(0), **default_of("run.seed"), help="Seed of the choice.")
@click.option(
    "--least-cover",
    type=POSITIVE,
    default=LEAST_COVER,
    show_default=True,
    help="Share of a cell's natural vegetation, %, from which on a PFT needs a site.",
)
@click.option("--output-dir", type=FILE, required=True, help="Directory of the list and the files.")
def choose_sites(
    surface: Path, domain: Path, forcing: tuple[str, ...], cells: int, output_dir: Path, **given: Any
) -> None:
    """Chooses the cells on which to run the reference, and cuts their surface and domain files."""
    from phase_lib.base.files import matching_files, refuse_as_output
    from phase_lib.dataset.sites import DOMAIN, LISTED, SUMMARY, SURFACE
    from phase_lib.dataset.sites import choose_sites as run

    files = matching_files(forcing)
    outputs = [output_dir / name for name in (LISTED, SUMMARY, SURFACE, DOMAIN)]
    refuse_as_output(outputs, [surface, domain, *files])
    summary = run(surface, domain, files, cells, output_dir, **given)
    for method, distance in summary["distance"].items():
        LOGGER.info(
            "%s: distance to the nearest site, median %.3g, 95 %% %.3g, largest %.3g",
            method,
            *distance.values(),
        )
