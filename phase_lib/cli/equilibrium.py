"""The verdict."""

from __future__ import annotations

from pathlib import Path

import click

from phase_lib.cli.options import FILE, OUTPUT, Command, settings_of, several


@click.command(cls=Command)
@several("--history", required=True, help="History of the run, one tape; or patterns.")
@click.option("--forcing-years", type=click.IntRange(1), required=True, help="Forcing cycle, years.")
@settings_of("equilibrium")
@click.option("--output", type=OUTPUT, required=True, help="verdict.json to write.")
@click.option("--strict", is_flag=True, help="Exit 3 if a criterion does not hold.")
@several("--control", help="History of the same years without injection.")
@several("--reference", help="History of the conventional run.")
@click.option("--split", type=FILE, help="Split file: judge its test cells alone too.")
@click.option("--drift", type=OUTPUT, help="drift.nc to write: per-cell drift of the runs side by side.")
def equilibrium(
    history: tuple[str, ...],
    forcing_years: int,
    settings: str,
    output: Path,
    strict: bool,
    split: Path | None,
    drift: Path | None,
    **others: tuple[str, ...],
) -> None:
    """Judges whether a run is in equilibrium, alone or beside its control and the reference.

    Histories may be patterns with * and ?.
    """
    from phase_lib.base.errors import CheckFailed
    from phase_lib.base.files import matching_files
    from phase_lib.config.equilibrium import EquilibriumSettings
    from phase_lib.config.loading import load_settings
    from phase_lib.equilibrium.verdict import equilibrium_of_files, verdict_of_runs

    thresholds = load_settings(settings, EquilibriumSettings, "equilibrium")
    if drift is None:
        if split or any(others.values()):
            raise click.UsageError("--control, --reference and --split need --drift")
        equilibrium_of_files(matching_files(history), forcing_years, output, thresholds, strict=strict)
        return
    patterns = {"injected": history, **others}
    runs = {name: matching_files(files) for name, files in patterns.items() if files}
    verdict = verdict_of_runs(runs, forcing_years, thresholds, output, drift, split=split)
    if strict and not verdict["runs"]["injected"]["all_cells"]["in_equilibrium"]:
        raise CheckFailed(f"the injected run is not in equilibrium; see {output}")
