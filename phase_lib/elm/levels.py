"""Soil layers and PFTs as the coordinates of their dimensions name them, and the way to ELM's order."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np

from phase_lib.base.errors import InputError
from phase_lib.elm.constants import PFT_NAMES
from phase_lib.elm.netcdf import get_variable
from phase_lib.elm.soil_grid import ZISOI, ZSOI
from phase_lib.elm.units import PLAIN_NUMBERS, plain, units_of

#: Units of depths -> m in one of them; a coordinate without units may have any.
_METRES = {"m": 1.0, "metres": 1.0, "meters": 1.0, "cm": 0.01, "mm": 0.001}
_NUMBERS = (*PLAIN_NUMBERS, "index", "level", "levels", "layer", "layers")
#: How far a depth may be from ELM's: the error of rounding to millimetres, or to three digits.
_DEPTH_M, _DEPTH_SHARE = 6.0e-4, 0.01
#: Dimensions of soil layers; their coordinates may lie along a dimension of another name.
SOIL_LEVELS = ("levdecomp", "levgrnd", "levsoi", "levdcmp")
#: Other names that tools give the coordinate of soil layers, and that of PFTs.
_OTHER_LEVELS = ("depth", "soil_depth", "z", "zsoi", "ZSOI", "lev", "level", "layer", "soil_layer")
_OTHER_PFTS = ("pft", "pfts", "ivt", "itypveg", "pftname", "pft_name")


def order_of_layers(path: str | Path, dataset: netCDF4.Dataset, dimension: str) -> np.ndarray | None:
    """Where ELM's soil layers lie along a dimension, from the surface down.

    Args:
        path: for messages.
        dataset: open file.
        dimension: dimension of soil layers.

    Returns:
        Place on file of each layer (layers), or None where they come in ELM's order, by the coordinate or
        because there is none.

    Raises:
        InputError: the coordinate names other layers than ELM's first ones, or one of them twice.
    """
    name = _coordinate(dataset, dimension, (dimension, *SOIL_LEVELS, *_OTHER_LEVELS))
    if name is None:
        return None
    variable = get_variable(path, dataset, name)
    values = np.asarray(variable[:], dtype=np.float64)
    if np.all(values <= 0.0):
        values = -values  # heights, upwards
    size, units = len(values), plain(units_of(variable))
    down = np.sort(values)
    by_number = units in ("", *_NUMBERS) and any(
        np.array_equal(down, first + np.arange(size)) for first in (0, 1)
    )
    scales = [scale for unit, scale in _METRES.items() if units in ("", unit)]
    if not by_number and not any(_is_depth(scale * down) for scale in scales):
        depths = f"the depths of ELM's nodes, {ZSOI[0]:.4f} to {ZSOI[size - 1]:.4f} m"
        label = f" {variable.units}" if units else ""
        raise InputError(
            path,
            f"coordinate {name} does not name ELM's soil layers: {_listed(values)}{label}",
            expected=f"1 to {size}, or {depths}, each once, in any order",
            remedy="bring the values onto ELM's soil layers",
        )
    return _unless_sorted(np.argsort(values, kind="stable"))


def order_of_pfts(path: str | Path, dataset: netCDF4.Dataset, dimension: str) -> np.ndarray | None:
    """Where the PFTs 0, 1, ... lie along a dimension; None where they come in this order.

    Raises:
        InputError: the coordinate names other PFTs, or one of them twice.
    """
    name = _coordinate(dataset, dimension, (dimension, *_OTHER_PFTS))
    if name is None:
        return None
    variable = dataset.variables[name]
    entries: Sequence[object]
    if _is_text(variable):
        entries = texts = _texts(variable)
        known = {_pft_name(text): number for number, text in enumerate(PFT_NAMES)}
        values = np.array([known.get(_pft_name(text), -1) for text in texts], dtype=np.float64)
    else:
        values = np.asarray(get_variable(path, dataset, name)[:], dtype=np.float64)
        entries = values.tolist()
    if not np.array_equal(np.sort(values), np.arange(len(values))):
        raise InputError(
            path,
            f"coordinate {name} does not name ELM's PFTs: {_listed(entries)}",
            expected=f"0 ({PFT_NAMES[0]}) to {len(values) - 1}, each once, in any order",
            remedy="number them as ELM does, from 0",
        )
    return _unless_sorted(np.argsort(values))


def _coordinate(dataset: netCDF4.Dataset, dimension: str, names: Sequence[str]) -> str | None:
    """The variable that names the levels along a dimension; None where there is none."""
    for name in names:
        if name in dataset.variables:
            variable = dataset.variables[name]
            dims = variable.dimensions[:1] if _is_text(variable) else variable.dimensions
            if dims == (dimension,):
                return name
    return None


def _is_depth(metres: np.ndarray) -> bool:
    """Whether ascending depths are ELM's nodes, or the tops, middles or bottoms of its layers."""
    size = len(metres)
    if size > len(ZSOI):
        return False
    tops, bottoms = ZISOI[:size], ZISOI[1 : size + 1]
    depths = (ZSOI[:size], tops, bottoms, 0.5 * (tops + bottoms))
    return any(bool(np.all(np.abs(metres - depth) <= _DEPTH_M + _DEPTH_SHARE * depth)) for depth in depths)


def _is_text(variable: Any) -> bool:
    return getattr(variable.dtype, "kind", "U") in "SU"


def _texts(variable: Any) -> list[str]:
    values = np.asarray(variable[:])
    if values.ndim > 1:
        values = np.asarray(netCDF4.chartostring(values))
    return [str(text) for text in values]


def _pft_name(text: str) -> str:
    return text.strip().strip("\0").lower().replace(" ", "_").replace("-", "_")


def _listed(values: Sequence[object] | np.ndarray) -> str:
    texts = [f"{value:g}" if isinstance(value, float) else str(value) for value in values]
    return ", ".join(texts if len(texts) <= 4 else [*texts[:2], "...", texts[-1]]) + f" ({len(texts)})"


def _unless_sorted(order: np.ndarray) -> np.ndarray | None:
    return None if np.array_equal(order, np.arange(len(order))) else order
