"""What the commands share: their class, options, types of values, and how they print."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Any

import click

from phase_lib.base.progress import configure_logging
from phase_lib.config.sites import METHODS

_Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]
#: The readers report what is wrong with a file; click's check of permissions would come before them.
FILE = click.Path(path_type=Path, readable=False)


class _Output(click.Path):
    """A file to write, which must be none of those that the command reads."""


OUTPUT = _Output(path_type=Path, readable=False)


class Command(click.Command):
    """A command that logs its progress and whose repeatable options take several values.

    `--history A.nc B.nc` is `--history A.nc --history B.nc`. Every command has `--log` and `--verbose`. Its
    progress lines begin with the name of the log file, which differs between jobs side by side, or else with
    the name of the command.
    """

    def __init__(self, name: str | None, params: list[click.Parameter] | None = None, **more: Any) -> None:
        shared = [
            click.Option(["--log"], type=OUTPUT, help="Also write progress, with times, to this file."),
            click.Option(["--verbose"], is_flag=True, help="Print more on the terminal."),
        ]
        super().__init__(name, params=[*(params or []), *shared], **more)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Repeats the name of a repeatable option before each further value."""
        repeatable = {
            name
            for option in self.params
            if getattr(option, "multiple", False) and option.nargs == 1
            for name in option.opts
        }
        expanded: list[str] = []
        current, taken = "", 0
        for token in args:
            if token.startswith("--"):
                current, taken = token if token in repeatable else "", 0
            elif current:
                if taken:
                    expanded.append(current)
                taken += 1
            expanded.append(token)
        return super().parse_args(ctx, expanded)

    def invoke(self, ctx: click.Context) -> Any:
        """Refuses inputs as outputs and sets up the progress lines before the command runs."""
        assert self.callback is not None
        _refuse_inputs_as_outputs(ctx)
        given = dict(ctx.params)
        log, verbose = given.pop("log"), given.pop("verbose")
        configure_logging(log.stem if log is not None else ctx.info_name or "phase", log, verbose=verbose)
        return ctx.invoke(self.callback, **given)


def _refuse_inputs_as_outputs(context: click.Context) -> None:
    """Refuses to write a file that the command reads, before anything is opened."""
    from phase_lib.base.files import refuse_as_output

    outputs: list[Path] = []
    inputs: list[str | Path] = []
    for option in context.command.params:
        given = context.params.get(option.name or "")
        for value in _flat(given):
            if isinstance(value, (str, Path)):
                (outputs if isinstance(option.type, _Output) else inputs).append(value)  # type: ignore[arg-type]
    refuse_as_output(outputs, inputs)


def _flat(given: Any) -> Iterator[Any]:
    """The values of an option, also where each of several has parts, as a name and a file."""
    for value in given if isinstance(given, tuple) else (given,):
        if isinstance(value, tuple):
            yield from _flat(value)
        else:
            yield value


def default_of(key: str) -> dict[str, Any]:
    """Gives an option the default of a key of the configuration, so that no default stands here alone.

    Args:
        key: dotted, for example `"run.seed"`; `"forcing.years"` is that of `domains.NAME`.
    """

    def look_up() -> Any:
        from phase_lib.config.domains import ForcingFiles
        from phase_lib.config.root import WorkflowConfig

        if key.startswith("forcing."):
            return ForcingFiles.model_fields[key.removeprefix("forcing.")].default
        return attrgetter(key)(WorkflowConfig())

    place = f"domains.NAME.{key}" if key.startswith("forcing.") else key
    return {"default": look_up, "show_default": f"of {place}"}


class _Number(click.FloatRange):
    """A number within a range; click lets NaN and infinity pass."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a finite number", param, ctx)
        return number


class _Share(click.ParamType):
    """`2/8`: the second of eight jobs."""

    name = "K/N"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number, slash, count = str(value).partition("/")
        if not (slash and number.isdigit() and count.isdigit()):
            self.fail(f"{value!r} is not like 2/8", param, ctx)
        if not 1 <= int(number) <= int(count):
            self.fail(f"{value!r} is no share; expected 1/{count} to {count}/{count}", param, ctx)
        return int(number), int(count)


FACTOR, POSITIVE = _Number(1.0), _Number(0.0, min_open=True)
SPLIT_KIND = click.Choice(["random", "block"])
METHOD = partial(
    click.option,
    "--method",
    type=click.Choice(METHODS),
    help="Cells nearest to the centres of clusters of climate, soil and vegetation, or any.",
)
MORTALITY_FACTOR = click.option(
    "--mortality-factor",
    type=FACTOR,
    help="Factor on dead wood mortality in the AD run: its `spinup_mortality_factor`. Without it and "
    "--lnd-in 10 is assumed, if the wood of the restart agrees.",
)
LND_IN = click.option(
    "--lnd-in",
    type=FILE,
    help="`lnd_in` of the AD run, or its case directory, to read `spinup_mortality_factor` from.",
)
ACCEPT_FORCING = click.option(
    "--accept-forcing",
    is_flag=True,
    help="Let training and target have forcing of different products or reductions.",
)
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def count(name: str, text: str, default: int = 1, most: int | None = None) -> _Decorator:
    """An option for a number from 1."""
    return click.option(name, type=click.IntRange(1, most), default=default, show_default=True, help=text)


def several(*names: str, metavar: str = "FILE...", **more: Any) -> _Decorator:
    """An option with several values: files, or what `metavar` names."""
    return click.option(*names, multiple=True, metavar=metavar, **more)


def by_name(pairs: Iterable[tuple[str, Path]]) -> dict[str, list[Path]]:
    """Files by name, both in the order of the command line."""
    grouped: dict[str, list[Path]] = {}
    for name, file in pairs:
        grouped.setdefault(name, []).append(file)
    return grouped


def share(text: str) -> _Decorator:
    """The option for the share of the cells that one of several jobs does."""
    return click.option("--share", type=_Share(), default="1/1", show_default=True, help=text)


def section(option: str, text: str) -> _Decorator:
    """An option for a section of the configuration; its defaults where it is left out."""
    return click.option(option, default="{}", metavar="JSON|FILE", help=text)


def settings_of(name: str) -> _Decorator:
    """The `--settings` option of a stage that uses a section of the configuration."""
    return section(
        "--settings",
        f"The section `{name}` as JSON, or a YAML/JSON file that holds it or a whole configuration; what is "
        "left out has its default.",
    )


def stated_factor(options: dict[str, Any]) -> float | None:
    """The mortality factor that `--mortality-factor` and `--lnd-in` give for `--restart`; None without them.

    It takes both out of the options.
    """
    from phase_lib.elm.dead_wood import stated_factor as stated
    from phase_lib.elm.namelist import read_ad_settings

    factor, lnd_in = options.pop("mortality_factor"), options.pop("lnd_in")
    return stated(factor, None if lnd_in is None else read_ad_settings(lnd_in), options["restart"])


def print_json(content: Any) -> None:
    """Prints the result of a command as JSON."""
    click.echo(json.dumps(content, indent=2))


def print_result(content: Any, lines: Iterable[str], as_json: bool) -> None:
    """Prints the result of a command: as JSON, or as lines for people."""
    if as_json:
        print_json(content)
    else:
        click.echo("\n".join(lines))
