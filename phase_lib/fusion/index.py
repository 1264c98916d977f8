"""The index of cells: `cells.nc` of records and datasets, and what each file of records says of its cells."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from phase_lib.elm.products import (
    Variables,
    cell_coordinates,
    flags,
    pft_coordinates,
    variable,
    write_product,
)

#: Units and long names.
_NUMBERS = {
    "cell": ("1", "row of the cell in its restart, from 0"),
    "area_km2": ("km^2", "area of the cell"),
    "landfrac": ("1", "land fraction"),
    "cover": ("1", "share of the natural vegetation's ground"),
    "record_file": ("1", "number of the record file, from 0, in the attribute record_files"),
    "domain": ("1", "number of the domain, from 0, in the attribute domains"),
}
_FLAGS = {
    "covered": "whether the PFT covers ground",
    "complete": "whether all inputs are sound",
    "trainable": "whether inputs and labels are sound",
}


def index_variables(columns: Mapping[str, np.ndarray]) -> Variables:
    """Variables of the index from columns: name -> values (gridcell) or (gridcell, natpft)."""
    dims = ("gridcell", "natpft")
    return {
        name: flags(dims[: values.ndim], values, _FLAGS[name], {"no": 0, "yes": 1}, group="index")
        if name in _FLAGS
        else variable(dims[: values.ndim], values, *_NUMBERS[name], group="index")
        for name, values in columns.items()
    }


def write_index(
    path: str | Path,
    lat: np.ndarray,
    lon: np.ndarray,
    columns: Mapping[str, np.ndarray],
    attributes: Mapping[str, Any],
    first: int = 0,
) -> None:
    """Writes `cells.nc`.

    Args:
        path: file to write.
        lat, lon: degrees (gridcell).
        columns, attributes: as in `index_variables`, and of the file.
        first: number of the first cell in its domain.
    """
    coordinates = cell_coordinates(lat, lon, first) | pft_coordinates()
    title = {"title": "Index of land cells"}
    dataset = xr.Dataset(index_variables(columns), coordinates, title | dict(attributes))
    write_product(path, dataset, compressed=True)
