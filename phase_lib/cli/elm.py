"""ELM files by themselves: audit and comparison of restarts."""

from __future__ import annotations

from pathlib import Path

import click

from phase_lib.cli.options import (
    AS_JSON,
    FACTOR,
    FILE,
    LND_IN,
    OUTPUT,
    command,
    print_result,
    stage,
    stated_factor,
)


@command()
@click.argument("restart", type=FILE)
@click.option("--surface", type=FILE, help="Surface data: compare the cover too.")
@click.option("--params", type=FILE, help="Parameter file: check plant ratios and leaf area too.")
@click.option(
    "--mortality-factor",
    type=FACTOR,
    help="`spinup_mortality_factor` of the run, to hold against the wood of a restart in AD.",
)
@LND_IN
@AS_JSON
@click.option("--output", type=OUTPUT, help="Write the JSON to this file too.")
@stage
def audit(
    restart: Path,
    surface: Path | None,
    params: Path | None,
    mortality_factor: float | None,
    lnd_in: Path | None,
    as_json: bool,
    output: Path | None,
) -> None:
    """Checks a restart value by value for what ELM would swallow in silence; exit 3 on errors."""
    from phase_lib.base.errors import CheckFailed
    from phase_lib.base.files import write_json
    from phase_lib.elm.audit import audit_restart

    report = audit_restart(restart, surface, params, stated_factor(mortality_factor, lnd_in, restart))
    if output is not None:
        write_json(output, report.to_dict())
    print_result(report.to_dict(), report.lines(), as_json)
    if report.errors:
        raise CheckFailed(f"{restart}: {report.count}")


@command("compare-restarts")
@click.argument("first", type=FILE)
@click.argument("second", type=FILE)
@AS_JSON
@stage
def compare_restarts(first: Path, second: Path, as_json: bool) -> None:
    """Compares two restarts variable by variable: values, attributes, dimensions."""
    from phase_lib.elm.compare import compare_restarts as run

    comparison = run(first, second)
    print_result(comparison.to_dict(), comparison.lines(), as_json)
