"""Training and prediction."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import click
from click.core import ParameterSource

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
@click.option("--dataset", type=FILE, required=True, help="Directory of the dataset.")
@click.option("--split", type=FILE, required=True, help="Split file.")
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
def train(
    dataset: Path,
    split: Path,
    normalization: Path,
    settings: str,
    output_dir: Path,
    threads: int,
    rendezvous: str | None,
) -> int:
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
    run(dataset, split, normalization, choices, output_dir, threads)
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


def _refuse_ignored(names: Collection[str], where: str) -> None:
    """Refuses options that the running command would not look at."""
    context = click.get_current_context()
    for option in context.command.params:
        if option.name in names and context.get_parameter_source(option.name) is not ParameterSource.DEFAULT:
            raise click.UsageError(f"{option.opts[0]} has no meaning {where}; leave it out")


@command()
@click.option("--model", type=FILE, required=True, help="model.pt of a training.")
@click.option("--dataset", type=FILE, required=True, help="Directory of the dataset to predict.")
@click.option("--split", type=FILE, help="Split that the model was trained with.")
@settings_option("ood")
@click.option("--run-name", default="", help="Name of the run, kept in the file.")
@click.option("--domain-name", help="Domain of the dataset to predict; the only one where not given.")
@ACCEPT_FORCING
@click.option("--test", is_flag=True, help="Only the test cells of the split, beside truth and baselines.")
@click.option("--paper", type=FILE, help="With --test: model of the paper's preset, to set beside it.")
@click.option(
    "--no-baselines", is_flag=True, help="With --test: leave out the 20-year state and the analogue."
)
@click.option(
    "--part",
    type=PART,
    default="1/1",
    show_default=True,
    help="Share of the cells to do; `phase join-predictions` makes one file of all.",
)
@click.option("--output", type=OUTPUT, required=True, help="predictions.nc, or with --test test_<split>.nc.")
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="CPU threads.")
@stage
def predict(
    model: Path,
    dataset: Path,
    split: Path | None,
    settings: str,
    run_name: str,
    domain_name: str | None,
    accept_forcing: bool,
    test: bool,
    paper: Path | None,
    no_baselines: bool,
    part: tuple[int, int],
    output: Path,
    threads: int,
) -> None:
    """Predicts the slow state of every cell, with a score of how far it is from the training cells."""
    from phase_lib.config.loading import load_settings
    from phase_lib.config.ood import OodSettings
    from phase_lib.surrogate.inference import write_test_predictions
    from phase_lib.surrogate.predictions import predict as run

    _refuse_ignored(
        {"settings", "run_name", "domain_name", "accept_forcing", "part"}
        if test
        else {"paper", "no_baselines"},
        "with --test" if test else "without --test",
    )
    if test:
        if split is None:
            raise click.UsageError("--test needs --split")
        write_test_predictions(model, dataset, split, output, threads, paper, baselines=not no_baselines)
        return
    run(
        model,
        dataset,
        output,
        load_settings(settings, OodSettings, "ood"),
        run_name,
        split,
        threads,
        domain=domain_name,
        accept_forcing=accept_forcing,
        part=part,
    )


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
