"""Some cells of a surface or domain file as a file of its own, a list of cells in ELM's convention."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np

from phase_lib.elm.domain import GRID, cell_dims
from phase_lib.elm.netcdf import create_dataset, open_dataset
from phase_lib.elm.surface import horizontal_dims, surface_variable

#: How the compression of a netCDF-4 variable is asked for.
_FILTERS = ("zlib", "shuffle", "complevel", "fletcher32")


def cut_surface(source: str | Path, target: str | Path, points: np.ndarray, note: str) -> None:
    """Writes some cells of a surface file: a grid (lsmlat, lsmlon) becomes a list (gridcell).

    Args:
        source: surface file.
        target: file to write, of the same flavour, with the same variables and attributes.
        points: places of the cells in the flattened grid of the source (site), from 0.
        note: global attribute `sites` of the target.

    Raises:
        InputError: the source is unreadable, or its coordinates are not on a grid.
    """
    with open_dataset(source) as dataset:
        grid = horizontal_dims(source, surface_variable(source, dataset, "LATIXY"))
        _cut(dataset, target, grid, grid if len(grid) == 1 else ("gridcell",), points, note)


def cut_domain(source: str | Path, target: str | Path, points: np.ndarray, note: str) -> None:
    """Writes some cells of a domain file, as `cut_surface`: a grid (nj, ni) becomes a list with nj = 1."""
    with open_dataset(source) as dataset:
        grid = cell_dims(dataset)
        _cut(dataset, target, grid, grid if len(grid) == 1 else GRID, points, note)


def _cut(
    old: netCDF4.Dataset,
    target: str | Path,
    grid: tuple[str, ...],
    onto: tuple[str, ...],
    points: np.ndarray,
    note: str,
) -> None:
    """Writes all variables; one level of one of them is in memory at a time.

    Args:
        old: open source.
        target: file to write.
        grid: dimensions of the source's cells.
        onto: dimensions of the list; the last is as long as the points, others are 1.
        points: places in the flattened grid (site).
        note: global attribute `sites`.
    """
    sizes = {name: None if dim.isunlimited() else dim.size for name, dim in old.dimensions.items()}
    shape = tuple(old.dimensions[dim].size for dim in grid)
    place = dict(zip(grid, np.unravel_index(points, shape), strict=True))
    sizes = {name: size for name, size in sizes.items() if name not in grid}
    sizes |= dict.fromkeys(onto, 1) | {onto[-1]: len(points)}
    flavour: Any = old.data_model
    with create_dataset(target, flavour) as new:
        new.setncatts({name: old.getncattr(name) for name in old.ncattrs()} | {"sites": note})
        for name, size in sizes.items():
            new.createDimension(name, size)
        # All definitions come first, as a classic file moves its values when its header grows.
        for variable in old.variables.values():
            _define(new, variable, _listed(variable.dimensions, grid, onto))
        new.set_auto_maskandscale(False)
        for name, variable in old.variables.items():
            _copy(variable, new.variables[name], place)


def _listed(dims: tuple[str, ...], grid: tuple[str, ...], onto: tuple[str, ...]) -> tuple[str, ...]:
    """Dimensions of a variable in the list; an axis of the grid becomes the last one of the list."""
    spanned = [dim for dim in dims if dim in grid]
    if not spanned:
        return dims
    first = dims.index(spanned[0])
    cells = onto if len(spanned) == len(grid) else onto[-1:]
    return (*dims[:first], *cells, *dims[first + len(spanned) :])


def _define(new: netCDF4.Dataset, variable: netCDF4.Variable, dims: tuple[str, ...]) -> None:
    """Defines a variable of the same type, attributes and compression."""
    attributes = {key: variable.getncattr(key) for key in variable.ncattrs()}
    fill = attributes.pop("_FillValue", None)
    filters: Any = variable.filters()  # a classic file has none
    compressed = filters is not None and filters["zlib"]
    options = {key: filters[key] for key in _FILTERS} if compressed else {}
    made = new.createVariable(variable.name, variable.dtype, dims, fill_value=fill, **options)
    made.setncatts(attributes)


def _copy(variable: netCDF4.Variable, target: netCDF4.Variable, place: Mapping[str, np.ndarray]) -> None:
    """Copies the cells of a variable, level by level where it has levels before the cells."""
    dims = variable.dimensions
    spanned = [dim for dim in dims if dim in place]
    if not spanned:
        target[...] = variable[...]
        return
    first = dims.index(spanned[0])
    cells = tuple(place[dim] for dim in spanned)
    single = (0,) * (target.ndim - variable.ndim + len(spanned) - 1)
    for level in np.ndindex(variable.shape[:first]):
        target[(*level, *single, ...)] = np.asarray(variable[(*level, ...)])[cells]
