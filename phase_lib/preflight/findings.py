"""What a check has found: one line each, and what a configuration may accept of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from phase_lib.base.errors import InputError
from phase_lib.config.run import Acceptable

_Facts = TypeVar("_Facts")


@dataclass(frozen=True)
class Finding:
    """Something that would spoil the run.

    Attributes:
        line: file, variable, what was found, what was expected, what to do.
        accept: entry of `preflight.accept` with which the run goes on all the same; None where it cannot.
        note: what was found and expected, for when it is accepted.
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
    """The findings of a check; a reader's refusal of a file ends it and is its last one."""
    try:
        yield from check
    except InputError as error:
        yield Finding(str(error))


def attempt(findings: list[Finding], read: Callable[[], _Facts]) -> _Facts | None:
    """What `read` returns; None where a reader refuses, and its line is added to the findings."""
    try:
        return read()
    except InputError as error:
        findings.append(Finding(str(error)))
        return None
