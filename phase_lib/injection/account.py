"""The account of an injection: what its sidecar says of variables, conversion and flagged cells."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict
from typing import Any

import numpy as np

from phase_lib.base.progress import LOGGER
from phase_lib.elm.constants import GRAMS_PER_PETAGRAM, SPINUP_NORMAL
from phase_lib.elm.variables import VARIABLES
from phase_lib.injection.base import Work
from phase_lib.injection.editor import Change
from phase_lib.injection.edits import Edits
from phase_lib.injection.predictions import Predictions

_STOCK_UNITS = {"c": "PgC", "n": "PgN", "p": "PgP"}


def account_of(edits: Edits, mortality_factor: float | None, rests_on: str | None) -> dict[str, Any]:
    """What was changed, and how.

    Args:
        edits: after the last block.
        mortality_factor: by which dead wood was multiplied, None where the base was in normal mode.
        rests_on: how that is known.
    """
    base, predictions = edits.base, edits.predictions
    isotopes = {twin.name for twins in edits.twins.values() for twin in twins}
    changes = edits.editor.changes
    changed = {name: _variable(name, change, isotopes) for name, change in changes.items() if change.count}
    before = base.header.spinup_state
    if before != SPINUP_NORMAL:
        kind = {"units": "1", "kind": "flag", "count": 1}
        changed["spinup_state"] = {"before": before, "after": SPINUP_NORMAL, **kind}
    return {
        "variables_changed": changed,
        "clipped": {name: count for name, count in sorted(edits.clipped.items()) if count},
        "conversion": {
            "from_spinup_state": base.header.spinup_state,
            "model_year": base.header.year,
            "factors": {name: by for name, by in base.multipliers.items() if by > 1.0},
            "divided_by_scalaravg": base.divided,
            "spinup_mortality_factor": mortality_factor,
            "spinup_mortality_factor_rests_on": rests_on,
            "sorption_parameters": None if edits.mineral is None else edits.mineral.parameters,
        },
        "isotopes": sorted(isotopes),
        "left_as_they_are": {name: list(names) for name, names in asdict(base.others).items()},
        "not_injected": [] if predictions is None else list(predictions.ignored),
        "more_below_than_above": [] if predictions is None else _upside_down(predictions),
    }


def _variable(name: str, change: Change, isotopes: Collection[str]) -> dict[str, Any]:
    """One entry of `variables_changed`; `isotopes` are the twins of the restart."""
    entry = VARIABLES.get(name)
    element = "c" if name in isotopes else entry.element if entry else None
    if element is not None:
        scale, units, kind = GRAMS_PER_PETAGRAM, _STOCK_UNITS[element], "global stock"
    else:
        scale, units = change.weight, entry.units if entry else "1"
        kind = "mean weighted by area"
    return {
        "before": change.before / scale if scale else 0.0,
        "after": change.after / scale if scale else 0.0,
        "units": units,
        "kind": kind,
        "count": change.count,
    }


def _upside_down(predictions: Predictions) -> list[str]:
    """Soil pools of which every cell received more below than above; a warning names them."""
    names = predictions.more_below_than_above
    if names:
        LOGGER.warning(
            "%s: %s: more carbon in the lower half of the layers than in the upper in every cell; a soil has "
            "it the other way round: do the layers run from the surface down?",
            predictions.path,
            ", ".join(names),
        )
    return names


def flagged_cells(work: Work, action: str) -> dict[str, Any]:
    """The sidecar's list of out-of-distribution cells."""
    blocks, predictions = work.base.blocks, work.predictions
    if predictions is None:
        return {"count": 0, "action": action, "cells": []}
    cells = np.flatnonzero(predictions.flagged(np.arange(blocks.ncells)))
    places = blocks.lat[cells], blocks.lon[cells], predictions.predicted(cells)
    return {
        "count": len(cells),
        "action": action,
        "cells": [
            {"cell": cell + 1, "lat": lat, "lon": lon, "predicted": predicted}
            for cell, lat, lon, predicted in zip(cells.tolist(), *(p.tolist() for p in places), strict=True)
        ],
    }
