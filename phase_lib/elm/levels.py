"""Soil layers of a file in ELM's order, from the surface down, as the coordinate of their dimension says."""

from __future__ import annotations

from pathlib import Path

import netCDF4
import numpy as np

from phase_lib.base.errors import InputError
from phase_lib.elm.netcdf import get_variable
from phase_lib.elm.soil_grid import NLEVDECOMP, NLEVGRND, ZSOI

#: Dimensions of soil layers: all of them down to the bedrock, or those with biogeochemistry.
SOIL_LEVELS = ("levgrnd", "levdcmp", "levsoi", "levdecomp")
_METRES = {
    **dict.fromkeys(("m", "metre", "metres", "meter", "meters"), 1.0),
    **dict.fromkeys(("cm", "centimetre", "centimetres", "centimeter", "centimeters"), 1.0e-2),
    **dict.fromkeys(("mm", "millimetre", "millimetres", "millimeter", "millimeters"), 1.0e-3),
}
#: Units of a coordinate that counts the layers; without units the numbers show what they are.
_NUMBERS = ("", "1", "level", "layer")
#: Depths may be rounded by this share: to the millimetre, 0.0071 m is 0.007.
_ROUNDED = 2.0e-2


def layer_order(path: str | Path, dataset: netCDF4.Dataset, dimension: str) -> np.ndarray:
    """Position on file of each soil layer, from the surface down (levels).

    Args:
        path: for messages.
        dataset: open file.
        dimension: one of `SOIL_LEVELS`; without a coordinate its layers are taken to be in ELM's order.

    Raises:
        InputError: other layers than ELM's fifteen, or the upper ten of them.
    """
    size = dataset.dimensions[dimension].size
    expected = f"ELM's {NLEVGRND} layers or the upper {NLEVDECOMP}"
    remedy = "use a file on ELM's standard soil layers"
    if size not in (NLEVDECOMP, NLEVGRND):
        raise InputError(path, f"dimension {dimension} has {size} layers", expected=expected, remedy=remedy)
    if dimension not in dataset.variables:
        return np.arange(size)
    variable = get_variable(path, dataset, dimension, dims=(dimension,))
    units = str(getattr(variable, "units", "")).strip()
    values = np.asarray(variable[:], dtype=np.float64)
    order = np.argsort(np.abs(values), kind="stable")
    found = np.abs(values[order])
    depths = found * _METRES.get(units.lower(), 1.0)
    one_way = np.all(values >= 0.0) or np.all(values <= 0.0)
    is_depth = units.lower() in (*_METRES, "") and np.allclose(depths, ZSOI[:size], rtol=_ROUNDED, atol=0.0)
    is_number = units.lower() in _NUMBERS and np.array_equal(found, np.arange(1.0, size + 1.0))
    if not (one_way and (is_depth or is_number)):
        raise InputError(
            path,
            f"{dimension} holds {found[0]:.4g}, {found[1]:.4g} to {found[-1]:.4g} {units}".rstrip(),
            expected=f"{expected}, {ZSOI[0]:.4g}, {ZSOI[1]:.4g} to {ZSOI[size - 1]:.4g} m, or their numbers",
            remedy=remedy,
        )
    return order
