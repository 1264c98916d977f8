"""Restarts with carbon isotopes, written by names of their own."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import netCDF4
import numpy as np

_LAYERED = ("litr1", "litr2", "litr3", "cwd", "soil1", "soil2", "soil3", "soil4")
_ORGANS = ("leaf", "froot", "livestem", "deadstem", "livecroot", "deadcroot")
_PLANTS = (
    *(f"{organ}c{stage}" for organ in _ORGANS for stage in ("", "_storage", "_xfer")),
    *("cpool", "gresp_storage", "gresp_xfer", "xsmrpool"),
)
#: Isotope -> carbon pool -> what a run with `use_c13` or `use_c14` calls it in its restart.
TWINS = {
    mark: {
        **{f"{pool}c_vr": f"{pool}c_{mark}_vr" for pool in _LAYERED},
        **{pool: f"{pool}_{mark}" for pool in _PLANTS},
    }
    for mark in ("13", "14")
}


def add_variable(path: Path, name: str, dims: tuple[str, ...], values: np.ndarray) -> None:
    """Adds a variable of doubles to a restart."""
    with netCDF4.Dataset(path, "r+") as d:
        d.createVariable(name, "f8", dims, fill_value=1.0e36)[...] = values


def add_isotope(path: Path, mark: str, share: float, without: Collection[str] = ()) -> None:
    """Gives the carbon pools of a restart, `totvegc` and `totlitc` twins that hold a share of them."""
    with netCDF4.Dataset(path, "r+") as d:
        d.set_auto_mask(False)
        twins = TWINS[mark] | {"totvegc": f"totvegc_{mark}", "totlitc": f"totlitc_{mark}"}
        for pool, twin in twins.items():
            if pool in without:
                continue
            values = d[pool][...]
            twin_values = np.where(np.abs(values) < 1.0e35, share * values, values)
            d.createVariable(twin, "f8", d[pool].dimensions, fill_value=1.0e36)[...] = twin_values
