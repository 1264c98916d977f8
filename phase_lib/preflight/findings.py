"""Findings of a check: a line each, and whether a configuration may accept them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec, TypeVar

from phase_lib.base.errors import InputError
from phase_lib.config.run import Acceptable

_Facts = TypeVar("_Facts")
_Given = ParamSpec("_Given")


@dataclass(frozen=True)
class Finding:
    """Something that would spoil the run.

    Attributes:
        line: file, variable, fault, what was expected, what to do.
        accept: entry of `preflight.accept` with which the run goes on all the same; None where none does.
        note: the fault and what was expected, for a finding that is accepted.
    """

    line: str
    accept: Acceptable | None = None
    note: str = ""


def finding(
    file: str | Path, what: str, *, expected: str = "", remedy: str = "", accept: Acceptable | None = None
) -> Finding:
    """A finding in the words of an `InputError`, and how to accept it where that is possible."""
    if accept is not None:
        remedy = f"{remedy}, or put {accept} into preflight.accept"
    line, note = (str(InputError(file, what, expected=expected, remedy=text)) for text in (remedy, ""))
    return Finding(line, accept, note)


def refusals(check: Iterable[Finding]) -> Iterator[Finding]:
    """The findings of a check; where a reader refuses a file, that is the last finding."""
    try:
        yield from check
    except InputError as error:
        yield Finding(str(error))


def attempt(
    findings: list[Finding], read: Callable[_Given, _Facts], *args: _Given.args, **kwargs: _Given.kwargs
) -> _Facts | None:
    """What `read` returns; None where it refuses a file, which becomes a finding."""
    try:
        return read(*args, **kwargs)
    except InputError as error:
        findings.append(Finding(str(error)))
        return None
