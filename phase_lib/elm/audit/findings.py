"""Findings of an audit. No sentence of a check stands here: what reads findings does not depend on them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from phase_lib.elm.constants import NATPFT, PFT_NAMES

Severity = Literal["error", "note"]


@dataclass(frozen=True)
class Finding:
    """One fault of one variable, with its first place.

    Attributes:
        code: code of the check, which stays when its sentence changes.
        severity: `error` or `note`.
        variable: variable or dimension on file.
        problem: what is wrong, the check's sentence.
        expected: what is right.
        value: value on file, None where the fault is not in a value.
        quantity: name of the value, where it is not that of the variable, for example a ratio.
        cell: 1-based row in the `gridcell` dimension.
        lat, lon: of the cell, degrees.
        pft: PFT number of the patch.
        layer: 1-based soil layer.
        further: places beyond the first with the same fault.
    """

    code: str
    severity: Severity
    variable: str
    problem: str
    expected: str = ""
    value: float | str | None = None
    quantity: str = ""
    cell: int | None = None
    lat: float | None = None
    lon: float | None = None
    pft: int | None = None
    layer: int | None = None
    further: int = 0

    @property
    def key(self) -> tuple[str, str]:
        """Check and variable, by which the same fault is recognised in two files."""
        return self.code, self.variable

    def line(self) -> str:
        """The finding in one line."""
        return f"{self.severity}: {self.description}"

    @property
    def description(self) -> str:
        """The finding in one line, without its severity."""
        where = "" if self.cell is None else f" cell {self.cell} ({self.lat:.3f}, {self.lon:.3f})"
        if self.pft is not None:
            name = PFT_NAMES[self.pft] if self.pft < NATPFT else "crop"
            where += f" pft {self.pft} ({name})"
        if self.layer is not None:
            where += f" layer {self.layer}"
        quantity = f" {self.quantity}" if self.quantity else ""
        number = self.value if isinstance(self.value, str) else f"{self.value or 0.0:.9g}"
        value = "" if self.value is None else f"{quantity} = {number}"
        expected = f"; expected {self.expected}" if self.expected else ""
        more = f"; {self.further} more like it" if self.further else ""
        return f"{self.variable}{where}{value}: {self.problem}{expected}{more} [{self.code}]"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; a value that is no number becomes text."""
        content = dict(vars(self))
        if isinstance(self.value, float) and not math.isfinite(self.value):
            content["value"] = str(self.value)
        return content


@dataclass(frozen=True)
class AuditReport:
    """The findings about one restart.

    Attributes:
        path: file.
        spinup_state: 0 normal, 1 AD, None where the file has no flag.
        date: date on the model's clock, YYYY-MM-DD.
        findings: errors first.
    """

    path: str
    spinup_state: int | None
    date: str
    findings: tuple[Finding, ...]

    @property
    def errors(self) -> list[Finding]:
        """Findings of severity `error`."""
        return [finding for finding in self.findings if finding.severity == "error"]

    @property
    def notes(self) -> list[Finding]:
        """Findings of severity `note`."""
        return [finding for finding in self.findings if finding.severity == "note"]

    @property
    def count(self) -> str:
        """How many errors and notes, in words."""
        return f"{_counted(len(self.errors), 'error')}, {_counted(len(self.notes), 'note')}"

    def lines(self) -> list[str]:
        """One line per finding, and one that counts them."""
        state = {None: "spin-up state not given", 0: "normal mode", 1: "accelerated decomposition"}
        return [finding.line() for finding in self.findings] + [
            f"{self.path}: {self.date}, {state[self.spinup_state]}: {self.count}"
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "path": self.path,
            "date": self.date,
            "spinup_state": self.spinup_state,
            "errors": len(self.errors),
            "notes": len(self.notes),
            "findings": [finding.to_dict() for finding in self.findings],
        }


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
