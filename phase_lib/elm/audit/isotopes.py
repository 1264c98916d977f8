"""Isotopes of the carbon pools, and pools that are not known here."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from phase_lib.elm.audit.audited import LEAST_CARBON, Audited, Tally, TwinValues
from phase_lib.elm.audit.check import SOURCE, Fault, Majority, Places, check
from phase_lib.elm.constants import FILL_THRESHOLD, TRUNCATION
from phase_lib.elm.other_pools import ISOTOPES, other_pools, twin_of
from phase_lib.elm.variables import DEAD_WOOD, POOL_VARIABLES, VARIABLES

#: A negative share of an isotope up to this part of its start is round-off.
_ROUND_OFF = 1.0e-2
#: Dead wood is centuries old at most, so its 14C differs less from that of the live wood beside it.
_MOST_AGE_CONTRAST = 4.0


@check("isotope-negative", "twins", "error", SOURCE, "is negative", "0 or more")
def isotope_negative(audited: Audited, isotope: TwinValues) -> Iterator[Fault]:
    """ELM runs on, and the ratio of the pool means nothing. Set it to its share of the carbon.

    Limit: {_ROUND_OFF:g} of the share in a cold start.
    """
    if not VARIABLES[isotope.twin.pool].signed:
        least = -_ROUND_OFF * isotope.twin.isotope.start
        negative = np.where(isotope.judged, isotope.share < least, isotope.data < -TRUNCATION)
        yield Fault(isotope.name, isotope.data, isotope.good & negative)


@check("isotope-above-pool", "twins", "error", SOURCE, "is more than all carbon of its pool")
def isotope_above_pool(audited: Audited, isotope: TwinValues) -> Iterator[Fault]:
    """ELM runs on, and the ratio of the pool means nothing. Set it to its share of the carbon."""
    more = isotope.judged & (isotope.share > 1.0)
    yield Fault(isotope.name, isotope.data, more, expected=isotope.carbon)


class Shares(Tally):
    """Isotopes whose share of the carbon is not found in nature, or in dead wood not that of live wood.

    Attributes:
        seen: name of the isotope on file -> values beyond what is possible.
    """

    stages = ("twins",)

    def __init__(self, audited: Audited) -> None:
        self.audited = audited
        self.seen = {twin.name: Majority() for twins in audited.twins.values() for twin in twins}

    def add(self, block: TwinValues) -> None:
        """Adds an isotope of a block."""
        if block.twin.isotope.limits is not None:
            low, high = block.twin.isotope.limits
            self._add(block, block.judged, (block.share < low) | (block.share > high), block.share)
        elif block.twin.pool.startswith(DEAD_WOOD):
            self._add_age(block)

    def _add(self, block: TwinValues, judged: np.ndarray, beyond: np.ndarray, share: np.ndarray) -> None:
        cell = np.broadcast_to(block.rows.cell.reshape(-1, *[1] * (share.ndim - 1)), share.shape)
        self.seen[block.name].add(*(values.reshape(-1) for values in (judged, beyond, cell, share)))

    def _add_age(self, block: TwinValues) -> None:
        """14C of dead wood beside that of the live wood that it comes from."""
        live_pool = block.twin.pool.replace("dead", "live")
        for twin in self.audited.twins.get(live_pool, ()):
            if twin.isotope == block.twin.isotope:
                live, isotope = (self.audited.read(name, block.rows) for name in (live_pool, twin.name))
                known = block.judged & (live > LEAST_CARBON) & (live < FILL_THRESHOLD)
                known &= (isotope > 0.0) & (isotope < live)
                contrast = np.where(known, block.share, 0.0) * live / np.where(known, isotope, 1.0)
                unlike = (contrast < 1.0 / _MOST_AGE_CONTRAST) | (contrast > _MOST_AGE_CONTRAST)
                self._add(block, known, unlike, contrast)


@check("isotope-share", "end", "error, or a note", "ELM's source; ratios known from nature",
    "its share of the carbon does not occur in nature")  # fmt: skip
def isotope_share(audited: Audited) -> Iterator[Fault]:
    """The pool was multiplied or replaced without its isotope, and ELM runs on. Change both alike.

    Limit: an error where this holds for most values. 14C of dead wood is compared with that of live wood.
    """
    tally, most = audited.seen(Shares).seen, f"{1.0 / _MOST_AGE_CONTRAST:g} to {_MOST_AGE_CONTRAST:g}"
    for twin in (twin for twins in audited.twins.values() for twin in twins):
        seen, limits = tally[twin.name], twin.isotope.limits
        right = f"{most} times that of the live wood beside it"
        quantity = "ratio of the two" if limits is None else "share of the carbon"
        if limits is not None:
            right = f"{limits[0]:.4f} to {limits[1]:.4f}"
        yield Fault(twin.name, places=seen.places, expected=right, quantity=quantity, note=not seen.most)


def _variables(audited: Audited) -> dict[str, tuple[str, ...]]:
    """Variables of floating-point numbers -> their dimensions."""
    variables = audited.dataset.variables.items()
    return {name: v.dimensions for name, v in variables if v.dtype != str and v.dtype.kind == "f"}


def _expected(audited: Audited) -> list[dict[str, tuple[str, ...]]]:
    """For each isotope that any pool has: its names in all carbon pools -> dimensions."""
    carbon = [entry for entry in POOL_VARIABLES.values() if entry.element == "c"]
    twins = [{twin_of(pool.name, isotope).name: pool.dims for pool in carbon} for isotope in ISOTOPES]
    return [names for names in twins if names.keys() & audited.seen(_variables).keys()]


@check("isotope-missing", "end", "note", SOURCE, "is missing, while other pools have this isotope")
def isotope_missing(audited: Audited) -> Iterator[Fault]:
    """ELM makes it up from a fixed ratio. Nothing has to be done."""
    for twins in audited.seen(_expected):
        missing = [name for name in twins if name not in audited.seen(_variables)]
        if missing:
            yield Fault(missing[0], further=len(missing) - 1)


@check("pool-unknown", "end", "note", "its name and dimensions",
    "looks like a pool but is not known here")  # fmt: skip
def pool_unknown(audited: Audited) -> Iterator[Fault]:
    """No rule here takes it out of AD: it stays as it is. Look up what ELM does with it on leaving AD.

    The value is the first one above 0, or 0 where it holds nothing.
    """
    variables = audited.seen(_variables)
    for name in other_pools(variables).unknown:
        filled = Places()
        for rows in audited.patches() if variables[name] == ("pft",) else audited.columns():
            values = audited.read(name, rows)
            values = values if values.ndim == 1 else np.abs(values).max(axis=1)
            filled.add((np.abs(values) < FILL_THRESHOLD) & (values != 0.0), rows.cell, values)
        yield Fault(name, places=filled) if filled.count else Fault(name, 0.0)
