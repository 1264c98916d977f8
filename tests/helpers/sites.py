"""Some cells of a domain as a domain of its own: what a run on these sites would have read and written.

Every file lists its cells, as the files of runs on sites do. Only netCDF4 and numpy: nothing here comes from
the code under test.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import netCDF4
import numpy as np

from tests.helpers.layouts import contents, relayout

#: Units of the subgrid below the cell, by the first part of the names of their vectors.
_UNITS = {"topo1d": "topounit", "land1d": "landunit", "cols1d": "column", "pfts1d": "pft"}
_POINTER = re.compile(r"[a-z]+1d_(gridcell|topounit|landunit|column)_index")

#: Name of a variable and its values on the sites -> what the file holds instead.
Marked = Mapping[str, Callable[[np.ndarray], np.ndarray]]


def restart_of_sites(source: Path, target: Path, cells: np.ndarray, marked: Marked | None = None) -> Path:
    """A restart of some cells: fewer rows of everything, all pointers counted anew.

    Args:
        source: restart.
        target: file to write.
        cells: rows of the source's `gridcell` dimension (site), in the order of the new file.
        marked: variables that get other values.
    """
    content = contents(source)
    site = np.full(len(content["grid1d_lat"]), len(cells))
    site[cells] = np.arange(len(cells))
    rows, on_site = {"gridcell": cells}, {"grid1d": np.arange(len(cells))}
    for vector, unit in _UNITS.items():
        place = site[content[f"{vector}_gridcell_index"] - 1]
        rows[unit] = np.argsort(place, kind="stable")[: np.count_nonzero(place < len(cells))]
        on_site[vector] = place[rows[unit]]
    values = {}
    for name, old in content.items():
        vector, _, what = name.partition("_")
        pointer = _POINTER.fullmatch(name)
        if pointer:
            to = rows[pointer[1]]
            number = np.zeros(to.max() + 1, dtype=old.dtype)
            number[to] = 1 + np.arange(len(to))
            values[name] = number[old[rows[_UNITS[vector]]] - 1]
        elif what in ("ixy", "jxy"):
            # A list of cells is one row of a grid.
            values[name] = 1 + on_site[vector] * (what == "ixy")
    with netCDF4.Dataset(source) as d:
        for name, change in (marked or {}).items():
            values[name] = change(content[name][rows[d[name].dimensions[0]]])
    return relayout(source, target, rows, values)


def listed(
    source: Path,
    target: Path,
    grid: tuple[str, str],
    onto: tuple[str, ...],
    points: np.ndarray,
    marked: Marked | None = None,
) -> Path:
    """Points of a file on a grid as a list.

    Args:
        source: file on a grid.
        target: file to write.
        grid: dimensions of the grid, rows and columns.
        onto: dimensions of the list, the last one as long as the points, any before it 1.
        points: positions on the flattened grid (site), in the order of the list.
        marked: variables that get other values.
    """
    with netCDF4.Dataset(source) as old, netCDF4.Dataset(target, "w", format=old.data_model) as new:
        old.set_auto_maskandscale(False)
        new.setncatts({name: old.getncattr(name) for name in old.ncattrs()})
        sizes = {name: None if dim.isunlimited() else dim.size for name, dim in old.dimensions.items()}
        on_grid = np.unravel_index(points, [sizes.pop(name) for name in grid])
        place = dict(zip(grid, on_grid, strict=True))
        for name, size in (sizes | dict.fromkeys(onto, 1) | {onto[-1]: len(points)}).items():
            new.createDimension(name, size)
        for name, variable in old.variables.items():
            values, dims = np.asarray(variable[...]), variable.dimensions
            values = values[tuple(place.get(dim, slice(None)) for dim in dims)]
            if spanned := [dim for dim in dims if dim in grid]:
                first = dims.index(spanned[0])
                values = np.expand_dims(values, tuple(range(first, first + len(onto) - 1)))
                dims = (*dims[:first], *onto, *dims[first + len(spanned) :])
            attributes = {key: variable.getncattr(key) for key in variable.ncattrs()}
            fill = attributes.pop("_FillValue", None)
            made = new.createVariable(name, variable.dtype, dims, fill_value=fill)
            made.setncatts(attributes)
            made.set_auto_maskandscale(False)
            made[...] = marked[name](values) if marked and name in marked else values
    return target
