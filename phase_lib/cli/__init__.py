"""The command line: `phase <stage>`, what the workflow's rules call and what a person can call by hand.

A file per room holds its commands, which are loaded when they are called; a command reads its words and calls
one function of the room. Exit codes: 0 done; 1 the program failed; 2 the input or the arguments are wrong
(one line); 3 a check ran and came out negative.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

import click

import phase_lib
from phase_lib.base.errors import PhaseError
from phase_lib.base.memory import keep_freed_memory
from phase_lib.base.progress import LOGGER

#: Command -> file that holds it. The function has the command's name, with underscores.
COMMANDS = {
    "config": "preflight",
    "check": "preflight",
    "world": "landmodel",
    "prepare": "landmodel",
    "forcing": "forcing",
    "run-segment": "landmodel",
    "compare-forcing": "forcing",
    "fuse": "fusion",
    "join": "dataset",
    "split": "dataset",
    "normalize": "dataset",
    "choose-sites": "dataset",
    "train": "surrogate",
    "predict": "surrogate",
    "predict-test": "surrogate",
    "join-predictions": "surrogate",
    "compare-experiments": "report",
    "judge-restarts": "report",
    "inject": "injection",
    "audit": "elm",
    "compare-restarts": "elm",
    "inspect": "preflight",
    "equilibrium": "equilibrium",
    "correct": "equilibrium",
    "report": "report",
    "closing": "report",
    "bench": "bench",
}


class _Commands(click.Group):
    """Imports a command only when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"phase_lib.cli.{COMMANDS[cmd_name]}")
        loaded: click.Command = getattr(module, cmd_name.replace("-", "_"))
        return loaded


@click.group(
    cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(phase_lib.__version__, prog_name="phase")
def phase() -> None:
    """Accelerated biogeochemical spin-up of the E3SM Land Model with the PHASE surrogate."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Runs the command line and exits.

    Args:
        arguments: words after `phase`; those of the process where None.
    """
    keep_freed_memory()
    try:
        status = phase.main(arguments, prog_name="phase", standalone_mode=False)
    except PhaseError as error:
        LOGGER.error("failed: %s", error)
        _fail(str(error), error.exit_code)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(2)
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        hint = f"; see {context.command_path} --help" if context is not None else ""
        _fail(f"{error.format_message().rstrip('.')}{hint}", 2)
    except (click.Abort, KeyboardInterrupt):
        _fail("interrupted", 130)
    except Exception:
        LOGGER.error("failed", exc_info=True)
        raise
    sys.exit(status if isinstance(status, int) else 0)


def _fail(message: str, code: int) -> NoReturn:
    click.echo(f"phase: {' '.join(message.split())}", err=True)
    sys.exit(code)
