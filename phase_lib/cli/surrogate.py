"""Training and prediction."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from phase_lib.cli.options import ACCEPT_FORCING, FILE, OUTPUT, Command, count, settings_of, several, share


@click.command(cls=Command)
@click.option("--dataset", "dataset_dir", type=FILE, required=True, help="Directory of the dataset.")
@click.option("--split", "split_file", type=FILE, required=True, help="Split file.")
@click.option("--normalization", type=FILE, required=True, help="normalization.nc of the same split.")
@settings_of("surrogate")
@click.option("--output-dir", type=FILE, required=True, help="Directory for model.pt and history.csv.")
@count("--threads", "CPU threads of a node.")
@click.option(
    "--rendezvous",
    metavar="HOST:PORT",
    help="Where the nodes of a training meet, set by the srun that this command starts.",
)
def train(settings: str, threads: int, rendezvous: str | None, **given: Any) -> int:
    """Trains the surrogate; a killed training continues from its checkpoint.

    Where the settings ask for several GPUs or nodes, it starts a process for each; torchrun starts this
    command again as each of them.
    """
    from phase_lib.config.loading import load_settings
    from phase_lib.config.surrogate import SurrogateSettings
    from phase_lib.surrogate.launching import is_launcher, launch
    from phase_lib.surrogate.training import train as run

    choices = load_settings(settings, SurrogateSettings, "surrogate")
    if is_launcher(choices):
        return launch(choices, _words_without("threads", "rendezvous"), threads, rendezvous)
    run(settings=choices, threads=threads, **given)
    return 0


def _words_without(*without: str) -> list[str]:
    """The running command with its options, except some, for another process."""
    context = click.get_current_context()
    words = [str(context.info_name)]
    for option in context.command.params:
        value = context.params.get(option.name or "")
        if option.name not in without and isinstance(option, click.Option):
            given = [option.opts[0]] if value is True else [option.opts[0], str(value)]
            words += given if value not in (None, False) else []
    return words


@click.command(cls=Command)
@click.option("--model", type=FILE, required=True, help="model.pt of a training.")
@click.option("--dataset", "dataset_dir", type=FILE, required=True, help="Directory of the dataset.")
@click.option("--split", "split_file", type=FILE, help="Split that the model was trained with.")
@click.option(
    "--baseline",
    metavar="NAME",
    help="Predict without the network, by this baseline, what the model predicts: state20, analogue, ...",
)
@settings_of("ood")
@click.option("--run-name", default="", help="Name of the run, kept in the file.")
@click.option("--domain-name", "domain", help="Domain of the dataset to predict, where it has several.")
@ACCEPT_FORCING
@click.option(
    "--accept-parameters", is_flag=True, help="Accept other PFT parameters than those of the training."
)
@share("Share of the cells to do; `phase join-predictions` makes one file of all.")
@click.option("--output", type=OUTPUT, required=True, help="predictions.nc to write.")
@count("--threads", "CPU threads.")
def predict(settings: str, baseline: str | None, **given: Any) -> None:
    """Predicts the slow state of every cell, with a score of how far it is from the training cells."""
    from phase_lib.config.loading import load_settings
    from phase_lib.config.ood import OodSettings
    from phase_lib.surrogate.baseline_predictions import predict_by_baseline
    from phase_lib.surrogate.predictions import predict as run

    if baseline is not None:
        chosen = ("model", "dataset_dir", "split_file", "domain", "output")
        predict_by_baseline(baseline, **{name: given[name] for name in chosen})
        return
    run(ood=load_settings(settings, OodSettings, "ood"), **given)


@click.command("predict-test", cls=Command)
@click.option("--model", type=FILE, required=True, help="model.pt of a training with this split.")
@click.option("--name", required=True, help="Name of the model: that of the experiment, `phase` of the run.")
@click.option("--label", default="", help="Name in tables and figures; that of the network where not given.")
@several(
    "--baseline",
    "baselines",
    metavar="NAME...",
    help="Predictions without a network to compare with it: state20, analogue, package.module:Class.",
)
@click.option("--dataset", "dataset_dir", type=FILE, required=True, help="Directory of the dataset.")
@click.option("--split", "split_file", type=FILE, required=True, help="Split whose test cells are predicted.")
@click.option("--output", type=OUTPUT, required=True, help="test_<split>.nc to write.")
@count("--threads", "CPU threads.")
def predict_test(**given: Any) -> None:
    """Predicts the test cells of a split, for comparison with the truth and baselines."""
    from phase_lib.surrogate.evaluation import predict_test as run

    run(**given)


@click.command("join-predictions", cls=Command)
@several("--shares", type=FILE, required=True, help="What `phase predict --share` wrote.")
@click.option("--output", type=OUTPUT, required=True, help="predictions.nc to write.")
def join_predictions(shares: tuple[Path, ...], output: Path) -> None:
    """Joins the predictions of all shares of the cells, as if one job had made them."""
    from phase_lib.surrogate.predictions import join_predictions as run

    run(shares, output)
