"""Which cells cannot be used, and why: counted by reason, never patched up."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from phase_lib.elm.spinup import SCALARAVG_LAYER, SCALARAVG_SWITCH

#: Reasons for which a cell's inputs are not complete; it is neither trained on nor predicted.
INPUT_REASONS = {
    "no_soil_column": "the cell has no column of natural vegetation, or none with weight",
    "invalid_pft": "part of the soil column is under a PFT other than 0 to 16",
    "forcing_missing": "fill or NaN in the monthly forcing",
    "forcing_implausible": "monthly forcing outside its plausible range",
    "static_missing": "fill or NaN in the surface data",
    "static_implausible": "surface data outside their plausible range",
    "scalars_missing": "fill or NaN in a mean of the history",
    "scalars_implausible": "a mean of the history outside its plausible range",
    "state_missing": "fill or NaN in a patch that covers ground",
    "state_implausible": "a patch state outside its plausible range",
    "soil_missing": "fill or NaN in an active layer",
    "soil_implausible": "a layer state outside its plausible range",
    "below_active_layers": "a pool in layers below those with biogeochemistry",
}
#: Reasons for which a cell's labels are left out; it is still predicted.
LABEL_REASONS = {
    "label_missing": "fill or NaN in a target",
    "label_implausible": "a target outside its plausible range",
    "label_below_active_layers": "a target in layers below those with biogeochemistry",
    "label_cover_differs": "patch weights of the reference differ from the inputs'",
    "label_scalaravg": "scalaravg_col at the end of AD just above ELM's switch",
}


@dataclass
class Findings:
    """Faulty cells by reason.

    Args:
        ncells: cells in the dataset.
        labelled: whether there are labels at all.
        variables: reason -> name of a variable -> cells in which it was at fault.
    """

    ncells: int
    labelled: bool
    flags: dict[str, np.ndarray] = field(init=False)
    variables: dict[str, Counter[str]] = field(init=False)

    def __post_init__(self) -> None:
        reasons = (*INPUT_REASONS, *LABEL_REASONS)
        self.flags = {reason: np.zeros(self.ncells, dtype=bool) for reason in reasons}
        self.variables = {reason: Counter() for reason in reasons}

    def add(
        self,
        reason: str,
        cells: slice,
        bad: np.ndarray,
        variable: str | None = None,
        cell: np.ndarray | None = None,
    ) -> None:
        """Marks cells of a record file.

        Args:
            reason: one of the reasons above.
            cells: those of the record file.
            bad: True where at fault (n, ...); the cell is at fault if any of its values is.
            variable: which variable was looked at.
            cell: which of these cells each row of `bad` belongs to (n); the rows are the cells if None.
        """
        rows = bad.any(axis=tuple(range(1, bad.ndim)))
        if not rows.any():
            return
        flags = self.flags[reason][cells]
        at_fault = rows if cell is None else np.bincount(cell[rows], minlength=len(flags)) > 0
        flags |= at_fault
        if variable is not None:
            self.variables[reason][variable] += int(at_fault.sum())

    def check(
        self,
        group: str,
        cells: slice,
        variable: str,
        values: np.ndarray,
        bounds: tuple[float, float],
        active: np.ndarray | None = None,
        cell: np.ndarray | None = None,
    ) -> np.ndarray:
        """Marks what is missing or implausible.

        Args:
            group: prefix of the reasons, for example `soil`.
            cells: those of the record file.
            variable: name for the counts.
            values: (n, ...), NaN where missing.
            bounds: plausible range.
            active: True where a value must be (n, ...); everywhere if None.
            cell: which of these cells each row of the values belongs to, as for `add`.

        Returns:
            The values, NaN where they are not plausible.
        """
        must = np.ones(values.shape, dtype=bool) if active is None else active
        missing = must & ~np.isfinite(values)
        wild = must & ~missing & ((values < bounds[0]) | (values > bounds[1]))
        if f"{group}_missing" in self.flags:
            self.add(f"{group}_missing", cells, missing, variable, cell)
        self.add(f"{group}_implausible", cells, wild, variable, cell)
        return np.where(wild, np.nan, values)

    def _any(self, reasons: dict[str, str]) -> np.ndarray:
        return np.logical_or.reduce([self.flags[reason] for reason in reasons])

    @property
    def complete(self) -> np.ndarray:
        """True where all inputs of a cell are sound (gridcell)."""
        return ~self._any(INPUT_REASONS)

    @property
    def trainable(self) -> np.ndarray:
        """True where inputs and labels are there and sound (gridcell)."""
        if not self.labelled:
            return np.zeros(self.ncells, dtype=bool)
        return ~(self._any(INPUT_REASONS) | self._any(LABEL_REASONS))

    def summary(self) -> dict[str, Any]:
        """Counts of cells by reason, for `cleaning.json`."""

        def reasons(table: dict[str, str]) -> dict[str, Any]:
            return {
                reason: {
                    "cells": int(self.flags[reason].sum()),
                    "meaning": meaning,
                    "variables": dict(self.variables[reason]),
                }
                for reason, meaning in table.items()
            }

        return {
            "cells": self.ncells,
            "complete": int(self.complete.sum()),
            "trainable": int(self.trainable.sum()),
            "inputs": reasons(INPUT_REASONS),
            "labels": reasons(LABEL_REASONS),
        }


def just_above_switch(scalaravg: np.ndarray, least: float) -> np.ndarray:
    """Columns whose averaged scalar ELM kept although it is tiny.

    ELM replaces an averaged scalar below 1e-3 by 1. Just above, leaving AD multiplies the slow pools by
    up to F/1e-3: what follows is no equilibrium for many centuries, and no label.

    Args:
        scalaravg: `scalaravg_col` at the end of AD (n, levels), NaN for fill.
        least: values from the switch up to this one are refused.

    Returns:
        True where refused (n).
    """
    value = scalaravg[:, SCALARAVG_LAYER]
    return (value >= SCALARAVG_SWITCH) & (value < least)
