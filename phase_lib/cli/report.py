"""Summary, report, closing page, comparison of experiments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from phase_lib.cli.options import (
    FILE,
    OUTPUT,
    SPLIT_KIND,
    Command,
    by_name,
    count,
    section,
    settings_of,
    several,
)


@click.command("compare-experiments", cls=Command)
@several("--own", "run_tests", type=FILE, required=True, help="Test files of the run's settings.")
@several("--test", type=FILE, help="Test files of other trainings; they hold experiment, split and seed.")
@click.option("--output-dir", type=FILE, required=True, help="Directory for comparison.json and tables.")
def compare_experiments(run_tests: tuple[Path, ...], test: tuple[Path, ...], output_dir: Path) -> None:
    """Sets the skill of experiments side by side: mean and spread over their seeds."""
    from phase_lib.report.experiments import compare_experiments as run

    run(run_tests, test, output_dir)


@click.command("judge-restarts", cls=Command)
@several(
    "--restart",
    "restarts",
    type=(str, str, FILE, FILE),
    required=True,
    metavar="MODEL LABEL DIFF OUTCOME",
    help="A state: its model, that one's label (- for a baseline), sidecar of the injection, how the run "
    "ended.",
)
@several("--corrected", type=(str, FILE), metavar="MODEL FILE", help="History of a run with corrections.")
@several("--correction", type=(str, FILE), metavar="MODEL FILE", help="Predictions file of a correction.")
@click.option("--split", type=FILE, required=True, help="Split file with the test cells.")
@click.option("--forcing-years", type=click.IntRange(1), required=True, help="Forcing cycle, years.")
@settings_of("equilibrium")
@click.option("--output", type=OUTPUT, required=True, help="restarts.csv to write.")
def judge_restarts(restarts: Any, corrected: Any, correction: Any, settings: str, **given: Any) -> None:
    """Says what the land model does with the states of several models: stable, and when in equilibrium."""
    from phase_lib.config.equilibrium import EquilibriumSettings
    from phase_lib.config.loading import load_settings
    from phase_lib.report.restarts import Restart
    from phase_lib.report.restarts import judge_restarts as run

    histories, corrections = by_name(corrected), by_name(correction)
    states = [
        Restart(model, label, diff, outcome, histories.get(model, ()), corrections.get(model, ()))
        for model, label, diff, outcome in restarts
    ]
    run(states, settings=load_settings(settings, EquilibriumSettings, "equilibrium"), **given)


_BY_SPLIT = (SPLIT_KIND, FILE)


@click.command(cls=Command)
@click.option("--verdict", type=FILE, help="verdict.json; left out where the target was not run.")
@click.option("--drift", type=FILE, help="drift.nc that comes with it.")
@click.option("--dataset", type=FILE, required=True, help="Directory of the dataset.")
@click.option("--predictions", type=FILE, required=True, help="predictions.nc.")
@click.option("--restart", type=FILE, required=True, help="Injected restart.")
@click.option("--diff", type=FILE, required=True, help="Its sidecar.")
@click.option("--audit", type=FILE, required=True, help="JSON of its audit.")
@several(
    "--correction-audit",
    "correction_audits",
    type=(str, FILE),
    metavar="RUN FILE",
    help="JSON of the audit of a corrected restart from which a run went on.",
)
@several(
    "--split",
    "splits",
    type=_BY_SPLIT,
    required=True,
    metavar="KIND FILE",
    help="Split file; that of the blocked split is needed.",
)
@several("--test", type=_BY_SPLIT, metavar="KIND FILE", help="Test file; the run's come first.")
@several("--training", type=_BY_SPLIT, metavar="KIND FILE", help="history.csv of a training.")
@several("--forcing", type=(str, FILE), metavar="DOMAIN FILE", help="What `phase compare-forcing` wrote.")
@click.option("--experiments", type=FILE, help="comparison.json of `phase compare-experiments`.")
@click.option("--restarts", type=FILE, help="restarts.csv of `phase judge-restarts`.")
@click.option("--benchmarks", type=FILE, required=True, help="Directory of the stages' benchmark tables.")
@click.option("--slurm-jobs", type=FILE, help="Directory of notes of its SLURM jobs.")
@click.option("--stages", type=FILE, required=True, help="JSON with the run's stages and their roles.")
@section("--config", "The whole configuration of the run.")
@count("--cores", "Cores that the workflow used.")
@click.option("--summary", type=OUTPUT, required=True, help="summary.json to write.")
@click.option("--output-dir", type=FILE, required=True, help="Directory for index.html, figures and tables.")
def report(config: str, cores: int, summary: Path, output_dir: Path, **products: Any) -> None:
    """Writes summary.json and the report of a run."""
    from phase_lib.config.loading import load_settings
    from phase_lib.config.root import WorkflowConfig
    from phase_lib.report.page import write_run_report
    from phase_lib.report.products import RunProducts

    named: dict[str, Any] = {name: dict(products.pop(name)) for name in ("splits", "training", "forcing")}
    named["tests"] = by_name(products.pop("test"))
    named["correction_audits"] = by_name(products.pop("correction_audits"))
    if "block" not in named["splits"]:
        raise click.UsageError("Missing option '--split block'")
    if (products["verdict"] is None) != (products["drift"] is None):
        raise click.UsageError("--verdict and --drift go together")
    choices = load_settings(config, WorkflowConfig, "", "--config")
    write_run_report(choices, RunProducts(**products, **named), cores, summary, output_dir)


@click.command(cls=Command)
@click.argument("summary", type=FILE)
def closing(summary: Path) -> None:
    """Prints the closing page of a run from its summary.json."""
    from phase_lib.base.files import read_json
    from phase_lib.report.closing import closing_page

    click.echo(closing_page(read_json(summary)))
