"""The command line: `phase <stage>`, what the workflow's rules call and what a person can call by hand.

A file per room holds its commands; a command reads its words and calls one function of the room.
"""

from phase_lib.cli.group import main, phase

__all__ = ["main", "phase"]
