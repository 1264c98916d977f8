"""Reading scattered rows of a large NetCDF variable in few, bounded reads."""

from __future__ import annotations

from typing import Any

import numpy as np

#: A gap between rows that is cheaper to read than to seek over, bytes. Opening another read costs as much
#: as this even from memory; one soil column in sixteen lies 2 kB from the next.
_GAP_BYTES = 1 << 17
#: Most that one read brings into memory, bytes on file.
_READ_BYTES = 1 << 24


def gather(variable: Any, rows: np.ndarray, axis: int = 0) -> np.ndarray:
    """Values at `rows` along one axis of an open variable, float64.

    Rows may come in any order and more than once. They are read in sorted runs, and runs that lie
    close together in one read, so that neighbouring cells need only a few reads.

    Args:
        variable: netCDF4 variable.
        rows: 0-based rows (n); -1 where there is none.
        axis: axis of the variable that `rows` index.

    Returns:
        The variable's shape with `axis` replaced by n; NaN at rows that are -1.
    """
    shape = list(variable.shape)
    row_bytes = variable.dtype.itemsize * max(1, int(np.prod(shape[:axis] + shape[axis + 1 :])))
    shape[axis] = len(rows)
    result = np.full(shape, np.nan)
    present = rows >= 0
    wanted, place = np.unique(rows[present], return_inverse=True)
    if len(wanted) == 0:
        return result
    shape[axis] = len(wanted)
    values = np.empty(shape)
    leading: tuple[Any, ...] = (slice(None),) * axis
    gap, most = _GAP_BYTES // row_bytes, max(1, _READ_BYTES // row_bytes)
    breaks = (np.diff(wanted) > max(1, gap)) | (np.diff(wanted // most) != 0)
    starts = np.concatenate([[0], np.flatnonzero(breaks) + 1])
    for start, stop in zip(starts, np.append(starts[1:], len(wanted)), strict=True):
        run = wanted[start:stop]
        piece = np.asarray(variable[(*leading, slice(int(run[0]), int(run[-1]) + 1))])
        values[(*leading, slice(start, stop))] = np.take(piece, run - run[0], axis=axis)
    result[(*leading, present)] = np.take(values, place, axis=axis)
    return result
