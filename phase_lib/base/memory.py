"""Memory that the process has freed."""

from __future__ import annotations

import ctypes

#: Numbers of the settings in glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
#: Arrays up to this size, bytes, come from the heap (glibc allows no larger), and so much of it is kept.
_LARGEST_ARRAY, _KEPT = 1 << 25, 1 << 26


def keep_freed_memory() -> None:
    """Keeps freed memory for the next arrays, up to 64 MiB, where the C library is glibc.

    Work in row blocks allocates and frees the same few tens of MiB again and again. glibc would return them
    to the system each time, which then clears each page again: up to half of the time of an audit.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, _LARGEST_ARRAY)
        mallopt(_TRIM_THRESHOLD, _KEPT)
