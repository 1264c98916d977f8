"""The averaged scalar `scalaravg_col`, which ELM divides by on leaving AD."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from phase_lib.elm.audit.audited import Audited, PoolBlock, Tally
from phase_lib.elm.audit.check import RUN, SOURCE, Fault, check
from phase_lib.elm.constants import FILL_THRESHOLD
from phase_lib.elm.soil_grid import NLEVDECOMP
from phase_lib.elm.spinup import SCALARAVG_YEARS, rates_were_divided

_NAME = "scalaravg_col"
_FIRST, _LAST = SCALARAVG_YEARS
#: Scalars averaged to it hardly exceed this.
_LARGEST = 1.5
_RANGE = f"0 to {_LARGEST:g}"


def _mean(block: PoolBlock) -> tuple[np.ndarray, np.ndarray]:
    """The scalar of a block (row, levdecomp), without rows if it is missing; and where it can be a mean."""
    values = block.raw.get(_NAME, np.empty((0, NLEVDECOMP)))
    return values, np.isfinite(values) & (values >= 0.0)


@check(
    "scalaravg-missing", "file", "error in AD", "ELM run on such a file; ELM's source", "is missing", _RANGE
)
def scalaravg_missing(audited: Audited) -> Iterator[Fault]:
    """ELM divides by it on leaving AD, and needs it for nothing in normal mode. Restore it in an AD file."""
    if not audited.has(_NAME, "column", "levgrnd"):
        yield Fault(_NAME)


@check("scalaravg-not-mean", "columns", "error", SOURCE, "is not a mean of a scalar", _RANGE)
def scalaravg_not_mean(audited: Audited, block: PoolBlock) -> Iterator[Fault]:
    """ELM divides rates by it in AD, and pools on leaving AD. Use the restart as ELM wrote it."""
    values, number = _mean(block)
    yield Fault(_NAME, values, ~number)


@check("scalaravg-fill", "columns", "error, or a note", SOURCE, "is fill in an AD file", _RANGE)
def scalaravg_fill(audited: Audited, block: PoolBlock) -> Iterator[Fault]:
    """ELM divides rates by it: soil3, soil4 and CWD do not decompose. Use a run that began in year 1.

    A note where the run began in the years of averaging, {_FIRST} to {_LAST}, and nothing was divided yet:
    injection leaves AD by F alone.
    """
    values, number = _mean(block)
    if audited.ad and len(values):
        fill = number & (values >= FILL_THRESHOLD)
        if audited.has("cols1d_active", "column"):
            # Nothing is averaged under ice that covers the whole cell.
            fill &= audited.read("cols1d_active", block.rows)[:, None] == 1
        header = audited.header
        late = _FIRST <= (header.start_year or 0) < _LAST and not rates_were_divided(header.year)
        yield Fault(_NAME, values, fill, note=late)


@check("scalaravg-unfinished", "columns", "note", RUN, "is an unfinished mean: leave AD by F alone")
def scalaravg_unfinished(audited: Audited, block: PoolBlock) -> Iterator[Fault]:
    """Leaving AD now, ELM divides soil pools by it and multiplies them by hundreds. Injection uses F alone.

    Limit: below 1 in an AD file before year {_LAST}.
    """
    values, number = _mean(block)
    if audited.ad and audited.header.year < _LAST:
        yield Fault(_NAME, values, number & (values < 1.0))


class Kept(Tally):
    """Means of an AD run in a file that is not flagged AD.

    Attributes:
        means: values below 1.
        unfinished: those of them that may be means of the averaging years until now.
    """

    stages = ("columns",)

    def __init__(self, audited: Audited) -> None:
        self.means = self.unfinished = 0
        over = min(max(audited.header.year - _FIRST, 0) / (_LAST - _FIRST), 1.0)
        # An unfinished mean cannot exceed the share of the averaging years that are over; a finished one
        # that a run carries on with after AD can, and does no harm.
        self._most = over * _LARGEST if over < 1.0 else -1.0

    def add(self, block: PoolBlock) -> None:
        """Adds a block."""
        values, number = _mean(block)
        self.means += int(np.count_nonzero(number & (values < 1.0)))
        self.unfinished += int(np.count_nonzero(number & (values < 1.0) & (values <= self._most)))


@check("scalaravg-kept", "end", "error, or a note", RUN, "holds the mean of an AD run", "1 in normal mode")
def scalaravg_kept(audited: Audited) -> Iterator[Fault]:
    """The flag was changed in an AD file, whose pools may still be AD's. Leave AD, and set the scalar to 1.

    An error where all values are below {_LARGEST:g} times the part of the years {_FIRST} to {_LAST} that has
    passed; otherwise a note, as ELM does not use it in normal mode.
    """
    seen = audited.seen(Kept)
    if seen.means and not audited.ad:
        note = seen.unfinished < seen.means or not audited.normal
        for rows in audited.columns():
            values = audited.read(_NAME, rows)[:, :NLEVDECOMP]
            yield Fault(_NAME, values, (values >= 0.0) & (values < 1.0), rows=rows, note=note)
