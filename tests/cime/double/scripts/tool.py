"""Starts the command whose name the program was called by."""

from __future__ import annotations

import os
import sys

from .case import run_command


def main() -> int:
    """Runs it; modules that it does not need are not imported."""
    name, words = os.path.basename(sys.argv[0]), sys.argv[1:]
    if name in ("xmlchange", "xmlquery"):
        from . import xmltools

        return run_command(lambda: getattr(xmltools, name)(words))
    if name in ("create_newcase", "create_clone"):
        from . import creating

        return run_command(lambda: getattr(creating, name)(words))
    from . import running

    if name not in running.COMMANDS:
        print(f"ERROR: the stand-in for E3SM has no {name}", file=sys.stderr)
        return 1
    return run_command(lambda: running.COMMANDS[name](words))
