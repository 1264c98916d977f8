"""Training and prediction."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from phase_lib.cli.options import (
    ACCEPT_FORCING,
    FILE,
    OUTPUT,
    PART,
    command,
    settings_option,
    stage,
)


@command()
@click.option("--dataset", "dataset_dir", type=FILE, required=True, help="Directory of the dataset.")
@click.option("--split", "split_file", type=FILE, required=True, help="Split file.")
@click.option("--normalization", type=FILE, required=True, help="normalization.nc of the same split.")
@settings_option("surrogate")
@click.option("--output-dir", type=FILE, required=True, help="Directory for model.pt and history.csv.")
@click.option(
    "--threads", type=click.IntRange(1), default=1, show_default=True, help="CPU threads of a node."
)
@click.option(
    "--rendezvous",
    metavar="HOST:PORT",
    help="Where the nodes of a training meet, set by the srun that this command starts.",
)
@stage
def train(settings: str, threads: int, rendezvous: str | None, **given: Any) -> int:
    """Trains the surrogate; a killed training goes on from its checkpoint.

    Where the settings ask for several GPUs or nodes, starts a process for each; started by torchrun, is
    one of them.
    """
    from phase_lib.config.loading import load_settings
    from phase_lib.config.surrogate import SurrogateSettings
    from phase_lib.surrogate.launching import is_launcher, launch
    from phase_lib.surrogate.training import train as run

    choices = load_settings(settings, SurrogateSettings, "surrogate")
    if is_launcher(choices):
        return launch(choices, _own_words("threads", "rendezvous"), threads, rendezvous)
    run(settings=choices, threads=threads, **given)
    return 0


def _own_words(*without: str) -> list[str]:
    """The command that is running, with all its options but some, for another process."""
    context = click.get_current_context()
    words = [str(context.info_name)]
    for option in context.command.params:
        value = context.params.get(option.name or "")
        if option.name not in without and isinstance(option, click.Option):
            given = [option.opts[0]] if value is True else [option.opts[0], str(value)]
            words += given if value not in (None, False) else []
    return words


@command()
@click.option("--model", type=FILE, required=True, help="model.pt of a training.")
@click.option(
    "--dataset", "dataset_dir", type=FILE, required=True, help="Directory of the dataset to predict."
)
@click.option("--split", "split_file", type=FILE, help="Split that the model was trained with.")
@settings_option("ood")
@click.option("--run-name", default="", help="Name of the run, kept in the file.")
@click.option(
    "--domain-name", "domain", help="Domain of the dataset to predict; the only one where not given."
)
@ACCEPT_FORCING
@click.option(
    "--part",
    type=PART,
    default="1/1",
    show_default=True,
    help="Share of the cells to do; `phase join-predictions` makes one file of all.",
)
@click.option("--output", type=OUTPUT, required=True, help="predictions.nc to write.")
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="CPU threads.")
@stage
def predict(settings: str, **given: Any) -> None:
    """Predicts the slow state of every cell, with a score of how far it is from the training cells."""
    from phase_lib.config.loading import load_settings
    from phase_lib.config.ood import OodSettings
    from phase_lib.surrogate.predictions import predict as run

    run(ood=load_settings(settings, OodSettings, "ood"), **given)


@command("predict-test")
@click.option("--model", type=FILE, required=True, help="model.pt of a training with this split.")
@click.option("--name", required=True, help="Name of the model: that of the experiment, `phase` of the run.")
@click.option("--label", default="", help="Name in tables and figures; that of the network where not given.")
@click.option(
    "--baseline",
    "baselines",
    multiple=True,
    metavar="NAME...",
    help="Predictions without a network to set beside it: state20, analogue, package.module:Class.",
)
@click.option("--dataset", "dataset_dir", type=FILE, required=True, help="Directory of the dataset.")
@click.option("--split", "split_file", type=FILE, required=True, help="Split whose test cells are predicted.")
@click.option("--output", type=OUTPUT, required=True, help="test_<split>.nc to write.")
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="CPU threads.")
@stage
def predict_test(**given: Any) -> None:
    """Predicts the test cells of a split, beside the truth and baselines."""
    from phase_lib.surrogate.evaluation import predict_test as run

    run(**given)


@command("join-predictions")
@click.option(
    "--parts",
    type=FILE,
    required=True,
    multiple=True,
    metavar="FILE...",
    help="What `phase predict --part` wrote.",
)
@click.option("--output", type=OUTPUT, required=True, help="predictions.nc to write.")
@stage
def join_predictions(parts: tuple[Path, ...], output: Path) -> None:
    """Joins the predictions of all parts of a target, as if one job had made them."""
    from phase_lib.surrogate.predictions import join_predictions as run

    run(parts, output)
