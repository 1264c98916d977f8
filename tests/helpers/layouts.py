"""Real restarts in layouts that the sample lacks: a crop landunit, cut dimensions.

Only netCDF4 and numpy: nothing here comes from the code under test.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import netCDF4
import numpy as np

from tests.helpers.restarts import FILL

RESTART = "ad20.elm.r.0021-01-01-00000.nc"
CFTS = (15, 16)


def contents(path: Path) -> dict[str, np.ndarray]:
    """Every variable of a file as it is on file."""
    with netCDF4.Dataset(path) as d:
        d.set_auto_maskandscale(False)
        return {name: np.asarray(variable[...]) for name, variable in d.variables.items()}


def relayout(
    source: Path,
    target: Path,
    rows: Mapping[str, np.ndarray],
    values: Mapping[str, np.ndarray] | None = None,
) -> Path:
    """A copy of a file with other rows along some dimensions, in the same flavour.

    Args:
        source: file.
        target: file to write.
        rows: dimension -> rows of the source, in the new order; rows may be left out or come twice.
        values: what variables hold in the new layout, instead of the source's rows.
    """
    values = values or {}
    target.parent.mkdir(parents=True, exist_ok=True)
    with netCDF4.Dataset(source) as old, netCDF4.Dataset(target, "w", format=old.data_model) as new:
        old.set_auto_maskandscale(False)
        new.set_fill_off()
        new.setncatts({name: old.getncattr(name) for name in old.ncattrs()})
        for name, dimension in old.dimensions.items():
            new.createDimension(name, len(rows.get(name, range(dimension.size))))
        for name, variable in old.variables.items():
            attributes = {key: variable.getncattr(key) for key in variable.ncattrs()}
            fill = attributes.pop("_FillValue", None)
            made = new.createVariable(name, variable.dtype, variable.dimensions, fill_value=fill)
            made.setncatts(attributes)
            made.set_auto_maskandscale(False)
        for name, variable in old.variables.items():
            content = np.asarray(variable[...])
            for axis, dimension in enumerate(variable.dimensions):
                if dimension in rows:
                    content = np.take(content, rows[dimension], axis=axis)
            new[name][...] = values.get(name, content)
    return target


def with_crop_landunit(source: Path, target: Path) -> Path:
    """PFTs 15 and 16 on columns of their own on a crop landunit, as with `create_crop_landunit`.

    The new columns copy the soil column; those without weight hold fill.
    """
    content = contents(source)
    old = {name: values for name, values in content.items() if "1d_" in name}
    soil_lun = {int(old["land1d_gridcell_index"][i]): i for i in np.flatnonzero(old["land1d_ityplun"] == 1)}
    soil_col = {int(old["cols1d_gridcell_index"][i]): i for i in np.flatnonzero(old["cols1d_ityplun"] == 1)}
    land: list[tuple[int, float | None]] = []  # row of the source, weight of a crop landunit
    column: list[tuple[int, int, int]] = []  # row of the source, CFT or 0, landunit
    patch: list[tuple[int, int]] = []  # row of the source, column
    share = {}  # of the crop landunit in the soil's old weight
    for cell in range(1, len(old["grid1d_lat"]) + 1):
        on_soil = np.flatnonzero(old["pfts1d_column_index"] == soil_col[cell] + 1)
        crop = {int(old["pfts1d_itypveg"][i]): i for i in on_soil if old["pfts1d_itypveg"][i] in CFTS}
        share[cell] = float(sum(old["pfts1d_wtcol"][i] for i in crop.values()))
        for unit in np.flatnonzero(old["land1d_gridcell_index"] == cell):
            land.append((int(unit), None))
            for col in np.flatnonzero(old["cols1d_landunit_index"] == unit + 1):
                column.append((int(col), 0, len(land) - 1))
                on_column = np.flatnonzero(old["pfts1d_column_index"] == col + 1)
                patch += [(int(i), len(column) - 1) for i in on_column if i not in crop.values()]
            if unit == soil_lun[cell]:
                land.append((int(unit), share[cell]))
                for cft in CFTS:
                    column.append((soil_col[cell], cft, len(land) - 1))
                    patch.append((int(crop[cft]), len(column) - 1))

    rows = {
        "landunit": np.array([row for row, _ in land]),
        "column": np.array([row for row, _, _ in column]),
        "pft": np.array([row for row, _ in patch]),
    }
    new = {
        name: old[name][rows[dimension]].copy()
        for prefix, dimension in (("land1d", "landunit"), ("cols1d", "column"), ("pfts1d", "pft"))
        for name in old
        if name.startswith(prefix) and name != "pfts1d_topoglc"
    }
    for i, (_, weight) in enumerate(land):
        left = 1.0 - share[int(new["land1d_gridcell_index"][i])]
        if weight is not None:
            new["land1d_ityplun"][i] = 2
            new["land1d_active"][i] = int(weight > 0.0)
        if new["land1d_ityplun"][i] in (1, 2):
            for name in ("land1d_wtxy", "land1d_wttopounit"):
                new[name][i] *= left if weight is None else weight
    for j, (_, cft, unit) in enumerate(column):
        new["cols1d_landunit_index"][j] = unit + 1
        new["cols1d_ityplun"][j] = new["land1d_ityplun"][unit]
        if cft:
            crops = share[int(new["cols1d_gridcell_index"][j])]
            source_patch = next(row for row, col in patch if col == j)
            part = old["pfts1d_wtcol"][source_patch]
            new["cols1d_ityp"][j] = 200 + cft
            new["cols1d_wtlnd"][j] = part / crops if crops > 0.0 else float(cft == CFTS[0])
            new["cols1d_active"][j] = int(part > 0.0)
        for name in ("wtxy", "wttopounit"):
            new[f"cols1d_{name}"][j] = new[f"land1d_{name}"][unit] * new["cols1d_wtlnd"][j]
    for k, (row, col) in enumerate(patch):
        new["pfts1d_column_index"][k] = col + 1
        new["pfts1d_landunit_index"][k] = new["cols1d_landunit_index"][col]
        new["pfts1d_ityplun"][k] = new["cols1d_ityplun"][col]
        new["pfts1d_itypcol"][k] = new["cols1d_ityp"][col]
        if new["pfts1d_ityplun"][k] == 2:
            new["pfts1d_wtcol"][k] = 1.0
            new["pfts1d_active"][k] = new["cols1d_active"][col]
        elif new["pfts1d_ityplun"][k] == 1:
            new["pfts1d_wtcol"][k] = old["pfts1d_wtcol"][row] / (
                1.0 - share[int(new["pfts1d_gridcell_index"][k])]
            )
        new["pfts1d_wtlnd"][k] = new["pfts1d_wtcol"][k] * new["cols1d_wtlnd"][col]
        for name in ("wtxy", "wttopounit"):
            new[f"pfts1d_{name}"][k] = new["pfts1d_wtcol"][k] * new[f"cols1d_{name}"][col]

    idle_column = (new["cols1d_ityplun"] == 2) & (new["cols1d_active"] == 0)
    idle_patch = idle_column[new["pfts1d_column_index"] - 1]
    with netCDF4.Dataset(source) as d:
        state = {
            name: variable.dimensions[0]
            for name, variable in d.variables.items()
            if variable.dimensions[:1] in (("column",), ("pft",))
            and variable.dtype == np.float64
            and "1d_" not in name
        }
    for name, dimension in state.items():
        new[name] = content[name][rows[dimension]]
        new[name][idle_column if dimension == "column" else idle_patch] = FILL
    return relayout(source, target, rows, new)


def crop_surface(source: Path, target: Path) -> Path:
    """The surface file that goes with `with_crop_landunit`: cover of the natural landunit's 15 PFTs."""
    cover = contents(source)["PCT_NAT_PFT"]
    natural = cover[:15] * 100.0 / cover[:15].sum(axis=0)
    return relayout(source, target, {"natpft": np.arange(15)}, {"PCT_NAT_PFT": natural})


def cut(source: Path, target: Path, dimension: str, size: int) -> Path:
    """The file with only the first rows of a dimension; pointers stay as they are, as with `ncks -d`."""
    return relayout(source, target, {dimension: np.arange(size)})


def divided(source: Path, target: Path, shares: Mapping[int, float]) -> Path:
    """Cells whose natural vegetation lies on two topounits, whose rows hold the same.

    Args:
        source: restart with one soil column in each of the cells.
        target: file to write; what is new lies at the end of each dimension.
        shares: cell (0-based) -> share of its ground that stays on the first topounit.
    """
    old = {name: values for name, values in contents(source).items() if "1d_" in name}
    levels = {"topo1d": "topounit", "land1d": "landunit", "cols1d": "column", "pfts1d": "pft"}
    with netCDF4.Dataset(source) as d:
        rows = {level: list(range(d.dimensions[level].size)) for level in levels.values()}
    part: dict[str, dict[int, float]] = {level: {} for level in levels.values()}  # of rows in the new file
    unit: dict[str, dict[int, dict[str, int]]] = {level: {} for level in levels.values()}  # of added rows
    for cell, share in shares.items():
        (column,) = np.flatnonzero((old["cols1d_gridcell_index"] == cell + 1) & (old["cols1d_ityplun"] == 1))
        twice = {"column": [int(column)], "topounit": [int(old["cols1d_topounit_index"][column]) - 1]}
        twice["pft"] = [int(row) for row in np.flatnonzero(old["pfts1d_column_index"] == column + 1)]
        if "cols1d_landunit_index" in old:
            twice["landunit"] = [int(old["cols1d_landunit_index"][column]) - 1]
        added = {level: len(rows[level]) + 1 for level in twice}
        for level, those in twice.items():
            for row in those:
                part[level] |= {row: share, len(rows[level]): 1.0 - share}
                unit[level][len(rows[level])] = added
                rows[level].append(row)
    new = {}
    for name, values in old.items():
        vector, _, rest = name.partition("_")
        if vector not in levels or name == "pfts1d_topoglc":
            continue
        level, pointed = levels[vector], rest.removesuffix("_index")
        new[name] = values[rows[level]].copy()
        for row, added in unit[level].items():
            if pointed in added:
                new[name][row] = added[pointed]
        if rest == "wtxy":
            for row, share in part[level].items():
                new[name][row] *= share
    return relayout(source, target, {level: np.array(index) for level, index in rows.items()}, new)


def without_soil(source: Path, target: Path, *cells: int) -> Path:
    """The restart with cells (0-based) that have no landunit, column and patch of natural vegetation."""
    content = contents(source)
    gone = {"column": np.isin(content["cols1d_gridcell_index"] - 1, cells) & (content["cols1d_ityplun"] == 1)}
    gone["pft"] = gone["column"][content["pfts1d_column_index"] - 1]
    if "land1d_ityplun" in content:
        gone["landunit"] = np.isin(content["land1d_gridcell_index"] - 1, cells) & (
            content["land1d_ityplun"] == 1
        )
    rows = {level: np.flatnonzero(~lost) for level, lost in gone.items()}
    new = {
        name: (np.cumsum(~gone[level])[content[name] - 1])[
            rows["column" if name.startswith("cols") else "pft"]
        ]
        for level in ("landunit", "column")
        for name in (f"cols1d_{level}_index", f"pfts1d_{level}_index")
        if name in content and level in gone
    }
    return relayout(source, target, rows, new)


def squeezed(source: Path, target: Path, *dimensions: str) -> Path:
    """A copy without dimensions of length one, as tools leave a file from which a point was taken."""
    with netCDF4.Dataset(source) as old, netCDF4.Dataset(target, "w", format=old.data_model) as new:
        for d in (old, new):
            d.set_auto_maskandscale(False)
        new.setncatts({name: old.getncattr(name) for name in old.ncattrs()})
        for name, dimension in old.dimensions.items():
            assert name not in dimensions or dimension.size == 1
            if name not in dimensions:
                new.createDimension(name, dimension.size)
        for name, variable in old.variables.items():
            kept = tuple(dim for dim in variable.dimensions if dim not in dimensions)
            made = new.createVariable(name, variable.dtype, kept)
            made.setncatts({key: variable.getncattr(key) for key in variable.ncattrs() if key[0] != "_"})
            made[...] = np.asarray(variable[...]).reshape(made.shape)
    return target


def permuted(
    path: Path, dimension: str, order: np.ndarray, coordinate: np.ndarray | None, units: str = ""
) -> Path:
    """Changes the order of the levels along a dimension, and says so in its coordinate."""
    with netCDF4.Dataset(path, "r+") as d:
        d.set_auto_maskandscale(False)
        for name, variable in d.variables.items():
            if dimension in variable.dimensions and name != dimension:
                axis = variable.dimensions.index(dimension)
                variable[...] = np.take(np.asarray(variable[...]), order, axis=axis)
        if coordinate is not None:
            if dimension not in d.variables:
                d.createVariable(dimension, coordinate.dtype, (dimension,))
            d[dimension][...] = coordinate[order]
            if units:
                d[dimension].units = units
    return path
