"""The errors this software raises on purpose."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path


class PhaseError(Exception):
    """Base of all errors raised on purpose; the command line prints it in one line."""

    exit_code = 1


class InputError(PhaseError):
    """The input or the arguments are wrong; nothing was written (exit code 2).

    Args:
        file: file that is wrong, or None where the fault is not in a file.
        what: the fault, with variable, cell or key named.
        expected: what was expected instead.
        remedy: what the user can do.
    """

    exit_code = 2

    def __init__(self, file: str | Path | None, what: str, *, expected: str = "", remedy: str = "") -> None:
        self.file = None if file is None else str(file)
        self.what, self.expected, self.remedy = what, expected, remedy
        text = "; ".join(filter(None, (what, expected and f"expected {expected}", remedy)))
        line = f"{file}: {text}" if file is not None else text
        super().__init__(" ".join(line.split()))

    def __reduce__(self) -> tuple[Callable[..., InputError], tuple[str | None, str]]:
        # Worker processes return errors; by default they would be rebuilt from the line alone.
        return partial(InputError, expected=self.expected, remedy=self.remedy), (self.file, self.what)


class ModelAbort(PhaseError):
    """The land model stopped itself: a pool, a balance or a restart was not sound (exit code 1)."""


class ModelStopped(ModelAbort):
    """The land model stopped because of its state, not because a machine or a file failed."""


class CheckFailed(PhaseError):
    """A check ran and came out negative (exit code 3)."""

    exit_code = 3
