"""ELM files by themselves: audit and comparison of restarts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from phase_lib.cli.options import AS_JSON, FACTOR, FILE, LND_IN, OUTPUT, Command, print_result, stated_factor


@click.command(cls=Command)
@click.argument("restart", type=FILE, required=False)
@click.option("--surface", type=FILE, help="Surface data: compare the cover too.")
@click.option("--params", type=FILE, help="Parameter file: check plant ratios and leaf area too.")
@click.option("--mortality-factor", type=FACTOR, help="Factor of the AD run, to check the wood against.")
@LND_IN
@AS_JSON
@click.option("--output", type=OUTPUT, help="Write the JSON to this file too.")
@click.option("--list", "list_checks", is_flag=True, help="Print all checks, a line each, and end.")
@click.option("--explain", metavar="CODE", help="Print what the check of a finding's code means, and end.")
@click.option("--write-page", type=OUTPUT, help="Write all checks as docs/audit.md, and end.")
def audit(
    as_json: bool,
    output: Path | None,
    list_checks: bool,
    explain: str | None,
    write_page: Path | None,
    **files: Any,
) -> None:
    """Checks a restart value by value for what ELM accepts without a message; exit 3 on errors."""
    from phase_lib.base.errors import CheckFailed
    from phase_lib.base.files import write_json, writing
    from phase_lib.elm.audit import table
    from phase_lib.elm.audit.run import audit_restart

    if write_page is not None:
        with writing(write_page) as temporary:
            temporary.write_text(table.page(), encoding="utf-8")
    if list_checks or explain is not None:
        click.echo("\n".join(table.listing() if explain is None else table.explain(explain)))
    if list_checks or explain is not None or write_page is not None:
        return
    if files["restart"] is None:
        raise click.UsageError("Missing argument 'RESTART'")
    factor, restart = stated_factor(files), files.pop("restart")
    report = audit_restart(restart, mortality_factor=factor, **files)
    if output is not None:
        write_json(output, report.to_dict())
    print_result(report.to_dict(), report.lines(), as_json)
    if report.errors:
        raise CheckFailed(f"{restart}: {report.count}")


@click.command("compare-restarts", cls=Command)
@click.argument("first", type=FILE)
@click.argument("second", type=FILE)
@AS_JSON
def compare_restarts(first: Path, second: Path, as_json: bool) -> None:
    """Compares two restarts variable by variable: values, attributes, dimensions."""
    from phase_lib.elm.compare import compare_restarts as run

    comparison = run(first, second)
    print_result(comparison.to_dict(), comparison.lines(), as_json)
