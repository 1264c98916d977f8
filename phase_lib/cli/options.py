"""What the commands share: options, types of values, the set-up of their progress lines."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable, Iterable
from operator import attrgetter
from pathlib import Path
from typing import Any, TypeVar

import click

from phase_lib.base.progress import configure_logging

_Function = TypeVar("_Function", bound=Callable[..., Any])
#: What reads a file says what is wrong with it; click's own check of permissions would come before.
FILE = click.Path(path_type=Path, readable=False)


class _Output(click.Path):
    """A file to write, which must be none of those that the command reads."""


OUTPUT = _Output(path_type=Path, readable=False)


class _Command(click.Command):
    """A command whose repeatable options take several values after one name: `--history A.nc B.nc`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
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


def command(name: str | None = None) -> Callable[[Callable[..., Any]], click.Command]:
    """Makes a function a command; its name is the function's, with hyphens, where none is given."""
    return click.command(name, cls=_Command)


def stage(function: _Function) -> _Function:
    """Gives a command `--log` and `--verbose`, and sets up its progress lines.

    Lines begin with the name of the log file, which tells jobs side by side apart, or with the command's.
    """

    @click.option("--log", type=OUTPUT, help="Also write progress, with times, to this file.")
    @click.option("--verbose", is_flag=True, help="Say more on the terminal.")
    @functools.wraps(function)
    def wrapped(*args: Any, log: Path | None, verbose: bool, **kwargs: Any) -> Any:
        context = click.get_current_context()
        _refuse_inputs_as_outputs(context)
        name = log.stem if log is not None else context.info_name
        configure_logging(name or "phase", log, verbose=verbose)
        return function(*args, **kwargs)

    return wrapped  # type: ignore[return-value]


def _refuse_inputs_as_outputs(context: click.Context) -> None:
    """Refuses to write a file that the command reads, before anything is opened."""
    from phase_lib.base.files import refuse_as_output

    outputs: list[Path] = []
    inputs: list[str | Path] = []
    for option in context.command.params:
        given = context.params.get(option.name or "")
        for value in given if isinstance(given, tuple) else (given,):
            if isinstance(value, (str, Path)):
                (outputs if isinstance(option.type, _Output) else inputs).append(value)  # type: ignore[arg-type]
    refuse_as_output(outputs, inputs)


def default_of(key: str) -> dict[str, Any]:
    """Gives an option the default of a key of the configuration, so that no default stands here alone.

    Args:
        key: dotted, for example `"run.seed"`.
    """

    def look_up() -> Any:
        from phase_lib.config.root import WorkflowConfig

        return attrgetter(key)(WorkflowConfig())

    return {"default": look_up, "show_default": f"of {key}"}


class _Number(click.FloatRange):
    """A number within a range; click lets NaN and infinity pass."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a finite number", param, ctx)
        return number


FACTOR, POSITIVE = _Number(1.0), _Number(0.0, min_open=True)
MORTALITY_FACTOR = click.option(
    "--mortality-factor",
    type=FACTOR,
    help="Factor on dead wood mortality in the AD run: its `spinup_mortality_factor`. Without it and "
    "--lnd-in 10 is taken, if the wood of the restart shows it.",
)
LND_IN = click.option(
    "--lnd-in",
    type=FILE,
    help="`lnd_in` of the AD run, or its case directory, to read `spinup_mortality_factor` from.",
)


def settings_option(section: str) -> Callable[[_Function], _Function]:
    """The `--settings` option of a stage whose section of the configuration is `section`."""
    return click.option(
        "--settings",
        default="{}",
        metavar="JSON|FILE",
        help=f"The section `{section}` as JSON, or a YAML/JSON file that holds it or a whole "
        "configuration; what is left out has its default.",
    )


ACCEPT_FORCING = click.option(
    "--accept-forcing",
    is_flag=True,
    help="Let training and target have forcing of different products or reductions.",
)


class _Part(click.ParamType):
    """`2/8`: the second of eight jobs."""

    name = "K/N"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number, slash, count = str(value).partition("/")
        if not (slash and number.isdigit() and count.isdigit()):
            self.fail(f"{value!r} is not like 2/8", param, ctx)
        if not 1 <= int(number) <= int(count):
            self.fail(f"{value!r} is no part; expected 1/{count} to {count}/{count}", param, ctx)
        return int(number), int(count)


#: A share of the cells, for one of several jobs.
PART = _Part()


def stated_factor(mortality_factor: float | None, lnd_in: Path | None, restart: Path) -> float | None:
    """The mortality factor that `--mortality-factor` and `--lnd-in` give for a restart; None without them."""
    from phase_lib.elm.dead_wood import stated_factor as stated
    from phase_lib.elm.namelist import read_ad_settings

    return stated(mortality_factor, None if lnd_in is None else read_ad_settings(lnd_in), restart)


AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def print_json(content: Any) -> None:
    """Prints what a command found as JSON."""
    click.echo(json.dumps(content, indent=2))


def print_result(content: Any, lines: Iterable[str], as_json: bool) -> None:
    """Prints what a command found: as JSON, or as lines for people."""
    if as_json:
        print_json(content)
    else:
        click.echo("\n".join(lines))
