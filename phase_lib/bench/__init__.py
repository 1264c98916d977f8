"""Benchmarks: speed and memory, printed as JSON."""

from __future__ import annotations

import shutil
from pathlib import Path

from phase_lib.base.errors import InputError, PhaseError


def require_room(directory: Path, needed: float, cells: int) -> None:
    """Refuses a directory whose disk is too full for the files of a benchmark.

    Args:
        directory: a temporary directory within the place that the user chose.
        needed: size of the files, bytes.
        cells: number of cells in them.

    Raises:
        InputError: less is free.
    """
    free = shutil.disk_usage(directory).free
    if free < needed:
        raise InputError(
            directory.parent,
            f"has {free / 1e9:.1f} GB free",
            expected=f"{needed / 1e9:.1f} GB for {cells} cells",
            remedy="choose another place with --dir or fewer --cells",
        )


def memory_mib(field: str, process: str = "self") -> float:
    """A field of the memory status of a process, as Linux reports it, MiB."""
    for line in Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 1024.0
    raise PhaseError(f"/proc/{process}/status has no {field}")
