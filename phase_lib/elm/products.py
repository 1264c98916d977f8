"""Products of this software as xarray datasets: CF coordinates, checks on opening, a rename when complete.

They open with `xr.open_dataset` as a user expects: cells have `lat` and `lon`, PFTs names, soil layers
depths, months dates and bounds, and all variables units. `xr.open_mfdataset` joins files by coordinates.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import xarray as xr
from xarray.backends import NetCDF4DataStore

from phase_lib.base.provenance import code_version
from phase_lib.elm.calendar import MONTH_STARTS
from phase_lib.elm.constants import DAYS_PER_YEAR, PFT_NAMES
from phase_lib.elm.netcdf import create_dataset, open_dataset
from phase_lib.elm.soil_grid import NLEVDECOMP, ZISOI, ZSOI

#: Coordinates other than `lat` and `lon`.
COORDINATES = frozenset(
    {
        *("gridcell", "natpft", "pft_name", "levdecomp", "levdecomp_bounds"),
        *("time", "time_bounds", "window", "window_bounds"),
    }
)
#: Coordinates that each variable along their dimensions names; others are in an attribute of the file.
_NAMED_BY_VARIABLES = ("lat", "lon", "pft_name")

Variables = dict[str, xr.Variable]
Dims = Sequence[str] | str


def variable(dims: Dims, values: Any, units: str, long_name: str, **attributes: Any) -> xr.Variable:
    """A variable with units and a long name."""
    return xr.Variable(dims, values, {"units": units, "long_name": long_name, **attributes})


def flags(
    dims: Dims, values: np.ndarray, long_name: str, meanings: Mapping[str, int], **attributes: Any
) -> xr.Variable:
    """A variable of codes, int8.

    Args:
        dims, values, long_name, attributes: as in `variable`.
        meanings: word for each code -> the code.
    """
    codes = np.array(list(meanings.values()), dtype=np.int8)
    words = {"flag_values": codes, "flag_meanings": " ".join(meanings)}
    return variable(dims, values.astype(np.int8), "1", long_name, **words, **attributes)


def cell_coordinates(lat: np.ndarray, lon: np.ndarray, first: int = 0) -> Variables:
    """Coordinates of cells.

    Args:
        lat, lon: degrees (gridcell).
        first: number of the first cell, where a file holds some of the cells in a longer order.
    """
    number = np.arange(first, first + len(lat), dtype=np.int64)
    return {
        "gridcell": variable("gridcell", number, "1", "number of the cell"),
        "lat": variable("gridcell", lat, "degrees_north", "latitude", standard_name="latitude"),
        "lon": variable("gridcell", lon, "degrees_east", "longitude", standard_name="longitude"),
    }


def pft_coordinates() -> Variables:
    """Numbers and names of ELM's PFTs (natpft)."""
    names = np.array(PFT_NAMES, dtype=object)
    return {
        "natpft": variable("natpft", np.arange(len(names), dtype=np.int32), "1", "plant functional type"),
        "pft_name": xr.Variable("natpft", names, {"long_name": "name of the plant functional type"}),
    }


def layer_coordinates() -> Variables:
    """Depths of the soil layers with biogeochemistry (levdecomp), and of their interfaces."""
    down = {"standard_name": "depth", "positive": "down", "axis": "Z", "bounds": "levdecomp_bounds"}
    edges = np.stack([ZISOI[:NLEVDECOMP], ZISOI[1 : NLEVDECOMP + 1]], axis=1)
    return {
        "levdecomp": variable("levdecomp", ZSOI[:NLEVDECOMP], "m", "depth of the soil layer's node", **down),
        "levdecomp_bounds": variable(("levdecomp", "bounds"), edges, "m", "top and bottom of the soil layer"),
    }


def month_coordinates(first_year: int, years: int) -> Variables:
    """Middles and bounds of the months of whole years (time), noleap."""
    year, month = np.divmod(np.arange(12 * years + 1), 12)
    edges = (DAYS_PER_YEAR * year + MONTH_STARTS[month]).astype(np.float64)
    bounds = np.stack([edges[:-1], edges[1:]], axis=1)
    clock = {"calendar": "noleap", "standard_name": "time", "axis": "T", "bounds": "time_bounds"}
    units = f"days since {first_year:04d}-01-01 00:00:00"
    return {
        "time": variable("time", bounds.mean(axis=1), units, "middle of the month", **clock),
        "time_bounds": xr.Variable(("time", "bounds"), bounds, {"long_name": "start and end of the month"}),
    }


@contextmanager
def creating(
    path: str | Path, dataset: xr.Dataset, *, compressed: bool = False, masked: bool = False
) -> Iterator[netCDF4.Dataset]:
    """Writes a product under a temporary name, and renames it when the caller has added missing values.

    Args:
        path: final path.
        dataset: all variables and attributes. Dask arrays are defined and left to the caller.
        compressed: whether to compress the variables.
        masked: whether data may be absent, also because nobody writes them: NaN.

    Yields:
        The open file.
    """
    # The coordinates of a variable are set here, as xarray would compare each of them with each variable.
    described = dataset.copy().reset_coords().assign_attrs(Conventions="CF-1.11", code_version=code_version())
    named = {name: set(dataset[name].dims) for name in _NAMED_BY_VARIABLES if name in dataset.coords}
    if others := [str(name) for name in dataset.coords if name not in (*named, *dataset.dims)]:
        described.attrs["coordinates"] = " ".join(others)
    for name, values in described.variables.items():
        is_data = name not in dataset.coords
        values.encoding = _encoding(values, compressed, masked and is_data, name in dataset.dims)
        along = [other for other, dims in named.items() if is_data and dims <= set(values.dims)]
        if along:
            values.attrs["coordinates"] = " ".join(along)
    with create_dataset(path) as file:
        if masked:
            file.set_fill_on()
        described.dump_to_store(NetCDF4DataStore(file))
        file.set_auto_maskandscale(False)
        yield file


def write_product(
    path: str | Path, dataset: xr.Dataset, *, compressed: bool = False, masked: bool = False
) -> None:
    """Writes a product; arguments as in `creating`."""
    with creating(path, dataset, compressed=compressed, masked=masked):
        pass


def _encoding(values: xr.Variable, compressed: bool, masked: bool, is_axis: bool) -> dict[str, Any]:
    encoding: dict[str, Any] = {"_FillValue": np.nan if masked and values.dtype.kind == "f" else None}
    if values.dtype.kind == "O" and not is_axis:  # text, as ELM writes it
        encoding |= {"dtype": "S1", "char_dim_name": "string_length"}
    if compressed and values.ndim and values.dtype.kind in "iuf":
        encoding |= {"zlib": True, "complevel": 1}
    return encoding


@contextmanager
def open_product(path: str | Path, names: Iterable[str] | None = None) -> Iterator[xr.Dataset]:
    """Opens a product; values are read lazily, neither masked nor scaled.

    Args:
        path: file.
        names: variables to open, where the file has them; all of the file if None.

    Raises:
        InputError: missing, no NetCDF file, truncated or unreadable.
    """
    with open_dataset(path) as file:
        store = NetCDF4DataStore(file)
        wanted = file.variables if names is None else [name for name in names if name in file.variables]
        yield xr.Dataset(
            {name: store.open_store_variable(name, file[name]) for name in wanted},
            attrs={name: file.getncattr(name) for name in file.ncattrs()},
        )
