"""The verdict."""

from __future__ import annotations

from typing import Any

import click

from phase_lib.cli.options import FILE, OUTPUT, Command, section, settings_of, several


@click.command(cls=Command)
@several("--history", required=True, help="History of the run, one tape; or patterns.")
@click.option("--forcing-years", type=click.IntRange(1), required=True, help="Forcing cycle, years.")
@settings_of("equilibrium")
@click.option("--output", type=OUTPUT, required=True, help="verdict.json to write.")
@click.option("--strict", is_flag=True, help="Exit 3 if a criterion does not hold.")
@several("--control", help="History of the same years without injection.")
@several("--reference", help="History of the conventional run.")
@click.option("--split", type=FILE, help="Split file: judge its test cells separately too.")
@click.option(
    "--drift",
    type=OUTPUT,
    help="drift.nc to write: per-cell drift of the runs; needed for the three options above.",
)
def equilibrium(settings: str, **words: Any) -> None:
    """Judges whether a run is in equilibrium, alone or beside its control and the reference.

    Histories may be patterns with * and ?.
    """
    from phase_lib.config.equilibrium import EquilibriumSettings
    from phase_lib.config.loading import load_settings
    from phase_lib.equilibrium.verdict import judge_equilibrium

    judge_equilibrium(settings=load_settings(settings, EquilibriumSettings, "equilibrium"), **words)


@click.command(cls=Command)
@click.option("--start", type=FILE, required=True, help="Restart at the start of the window, normal mode.")
@click.option("--end", type=FILE, required=True, help="Restart at its end, the one to correct.")
@several("--history", required=True, help="History of the window, one tape; or patterns.")
@click.option("--params", type=FILE, required=True, help="Parameter file of the run.")
@click.option("--forcing-years", type=click.IntRange(1), required=True, help="Forcing cycle, years.")
@click.option(
    "--before", type=FILE, help="Correction of the window before: brings nitrogen towards balance as well."
)
@click.option("--part-of-a-cycle", is_flag=True, help="Accept a window that is no whole number of cycles.")
@section(
    "--settings",
    "Bounds as JSON, or a YAML/JSON file: turnover_limit_years, least_ratio, most_ratio, damping, ...",
)
@click.option("--output", type=OUTPUT, required=True, help="Predictions file to write, for `phase inject`.")
def correct(settings: str, **words: Any) -> None:
    """Corrects the slow pools of a run by its own rates of some years.

    Writes where soil3, soil4, coarse woody debris and dead wood lead if the rates and inputs of the window
    hold on. `phase inject` puts it into the restart at the end of the window.
    """
    from phase_lib.config.correction import CorrectionSettings
    from phase_lib.config.loading import load_settings
    from phase_lib.equilibrium.correction import correct as correct_run

    correct_run(settings=load_settings(settings, CorrectionSettings, ""), **words)
