"""Benchmarks: speed and memory, printed as JSON."""

from __future__ import annotations

import shutil
from pathlib import Path

from phase_lib.base.errors import InputError


def require_room(directory: Path, needed: float, cells: int) -> None:
    """Refuses a directory whose disk is too full for the files of a benchmark.

    Args:
        directory: where the files will lie; a temporary one within the place that was asked for.
        needed: size of the files, bytes.
        cells: that they are of.

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
