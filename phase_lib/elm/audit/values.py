"""Values: impossible ones of pools, leaf area, heights and isotopes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from phase_lib.elm.audit.audited import Values
from phase_lib.elm.audit.check import RUN, SOURCE, Fault, check
from phase_lib.elm.constants import FILL_THRESHOLD, TRUNCATION  # noqa: F401, in a docstring
from phase_lib.elm.variables import HEIGHT_LIMIT, LEAF_AREA_LIMIT, POOL_LIMIT  # noqa: F401, in a docstring


@check("below-active-layers", "values", "note", RUN, "is below the active layers, unused", "0")
def below_active_layers(values: Values) -> Iterator[Fault]:
    """ELM carries layers 11 to 15 along and never uses them. Nothing has to be done."""
    if values.below is not None:
        full = np.concatenate([np.zeros(values.data.shape), values.below], axis=1)
        yield Fault(values.name, full, full != 0.0)


@check("pool-not-finite", "values", "error", RUN, "is not a finite number", "a finite number")
def pool_not_finite(values: Values) -> Iterator[Fault]:
    """In a soil layer it spreads without a message; in leaves ELM aborts in step 1. Supply a value."""
    yield Fault(values.name, values.data, ~values.finite)


@check("pool-fill", "values", "error", RUN, "is fill in an active place", "an amount")
def pool_fill(values: Values) -> Iterator[Fault]:
    """ELM aborts in step 1 with a message that does not name the pool. Supply a value.

    Limit: {FILL_THRESHOLD:g}.
    """
    yield Fault(values.name, values.data, values.fill)


@check("pool-too-large", "values", "error", SOURCE, "is more than any ecosystem holds")
def pool_too_large(values: Values) -> Iterator[Fault]:
    """Round-off alone then exceeds ELM's balance check of 1e-7 g m-2 in a step. Check units and space.

    Limits: {POOL_LIMIT:g} g; leaf area {LEAF_AREA_LIMIT:g} m2 m-2; heights {HEIGHT_LIMIT:g} m.
    """
    signed = values.least < 0.0
    beyond = (values.data > values.most) | (signed & (values.data < values.least))
    right = f"{values.most:g} at most" + (f", {values.least:g} at least" if signed else "")
    yield Fault(values.name, values.data, values.good & beyond, expected=right)


@check("pool-negative", "values", "error", RUN, "is negative", "0 or more")
def pool_negative(values: Values) -> Iterator[Fault]:
    """ELM runs on, and its fluxes carry the debt into other pools. Set it to 0, or correct what wrote it.

    Limit: -{TRUNCATION:g} g.
    """
    if values.least == 0.0:
        yield Fault(values.name, values.data, values.good & (values.data < -TRUNCATION))


@check("pool-round-off", "values", "note", SOURCE, "is negative by less than ELM truncates", "0 or more")
def pool_round_off(values: Values) -> Iterator[Fault]:
    """ELM moves it to its truncation sinks in the first step. Nothing has to be done.

    Limit: -{TRUNCATION:g} g.
    """
    if values.least == 0.0:
        tiny = values.good & (values.data < 0.0) & (values.data >= -TRUNCATION)
        yield Fault(values.name, values.data, tiny)
