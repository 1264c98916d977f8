"""Faults that a test chooses: a list in the file `faults.json` of the checkout."""

from __future__ import annotations

import fcntl
import json
from pathlib import Path
from typing import Any


def play(source: Path, fault: str, case: str) -> dict[str, Any] | None:
    """The entry of a fault that is due for a case; each is played as often as it says, once by default.

    Args:
        source: the checkout.
        fault: its name.
        case: name of the case.
    """
    entry = due(source, fault, case)
    if entry is not None:
        _count_down(source, entry)
    return entry


def due(source: Path, fault: str, case: str) -> dict[str, Any] | None:
    """The entry of a fault that is due for a case, which is not counted yet."""
    for entry in _read(source):
        if entry["fault"] == fault and entry.get("case") in (None, case) and entry.get("times", 1) > 0:
            return entry
    return None


def count_down(source: Path, fault: str, case: str) -> None:
    """Counts a fault that was found due."""
    play(source, fault, case)


def _read(source: Path) -> list[dict[str, Any]]:
    path = source / "faults.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []


def _count_down(source: Path, entry: dict[str, Any]) -> None:
    with (source / "faults.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        entries = _read(source)
        played = next(one for one in entries if one == entry)
        played["times"] = played.get("times", 1) - 1
        path = source / "faults.new"
        path.write_text(json.dumps(entries, indent=1), encoding="utf-8")
        path.replace(source / "faults.json")
