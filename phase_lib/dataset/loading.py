"""Reading a dataset back: by variable and by cell, in dataset order, one record file at a time."""

from __future__ import annotations

import json
import os.path
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import xarray as xr

from phase_lib.base.errors import InputError
from phase_lib.elm.constants import NATPFT
from phase_lib.elm.coordinates import check_coordinates
from phase_lib.elm.netcdf import dimensions_of, get_attribute, get_variable, open_dataset
from phase_lib.elm.products import COORDINATES, open_product
from phase_lib.elm.soil_grid import NLEVDECOMP
from phase_lib.elm.units import units_of
from phase_lib.fusion.schema import TURNOVER, dims_in_group

_LEVELS = {"natpft": NATPFT, "levdecomp": NLEVDECOMP}
#: Attributes of the index with facts by domain.
_BY_DOMAIN = ("forcing", "semi_analytic", "turnover")


@dataclass(frozen=True)
class CellIndex:
    """All cells of a dataset, in dataset order (gridcell).

    Attributes:
        path: `cells.nc`.
        cell: 0-based row in the restart's `gridcell` dimension.
        lat, lon: degrees.
        area_km2, landfrac: of each cell.
        cover: share of the soil column under each PFT (gridcell, natpft).
        complete: True where all inputs are sound.
        trainable: True where inputs and labels are sound.
        domain: number of the cell's domain in `domains`.
        record_file: number of the record file in `record_files`.
        domains: names of the domains; those trained on come first.
        forcing: domain -> product and reduction of its forcing.
        semi_analytic: domain -> what the semi-analytic state of its soil is made of; its `source`, or None.
        turnover: domain -> which means of `schema.TURNOVER` its history held.
        record_files: record files and the identity that each must have.
        dataset_id: identity of the dataset.
    """

    path: Path
    cell: np.ndarray
    lat: np.ndarray
    lon: np.ndarray
    area_km2: np.ndarray
    landfrac: np.ndarray
    cover: np.ndarray
    complete: np.ndarray
    trainable: np.ndarray
    domain: np.ndarray
    record_file: np.ndarray
    domains: tuple[str, ...]
    forcing: dict[str, dict[str, Any]]
    semi_analytic: dict[str, dict[str, Any]]
    turnover: dict[str, list[str]]
    record_files: tuple[tuple[Path, str], ...]
    dataset_id: str

    @property
    def ncells(self) -> int:
        """Number of cells."""
        return len(self.cell)

    @property
    def covered(self) -> np.ndarray:
        """True where a PFT covers ground (gridcell, natpft)."""
        return self.cover > 0.0

    @property
    def has_semi_analytic(self) -> bool:
        """True where all domains have a semi-analytic state of their soil."""
        return all(facts.get("source") for facts in self.semi_analytic.values())

    @property
    def common_turnover(self) -> list[str]:
        """Means of `schema.TURNOVER` that all domains have."""
        return [name for name in TURNOVER if all(name in names for names in self.turnover.values())]

    def of_domain(self, name: str | None) -> np.ndarray:
        """True in the cells of a domain (gridcell); of the only one if None.

        Raises:
            InputError: there is no such domain, or more than one and none is named.
        """
        if name is None and len(self.domains) == 1:
            return np.ones(self.ncells, dtype=bool)
        if name not in self.domains:
            what = "names no domain" if name is None else f"has no domain {name!r}"
            expected = f"one of {', '.join(self.domains)}"
            raise InputError(self.path, what, expected=expected, remedy="name one of these")
        return self.domain == self.domains.index(name)


@dataclass(frozen=True)
class VariableInfo:
    """Group, dimensions (`gridcell` first where it has cells) and units, blank for traits, of a variable."""

    group: str
    dims: tuple[str, ...]
    units: str


def read_cells(dataset_dir: str | Path) -> CellIndex:
    """Reads the index of a dataset.

    Raises:
        InputError: `cells.nc` is missing or damaged.
    """
    path = Path(dataset_dir) / "cells.nc"
    with open_product(path) as dataset:

        def values(name: str) -> np.ndarray:
            dims = ("gridcell", "natpft") if name == "cover" else ("gridcell",)
            return get_variable(path, dataset, name, dims).to_numpy()

        listed = _json_attribute(path, dataset, "record_files")
        index = CellIndex(
            path=path,
            cell=values("cell"),
            lat=values("lat"),
            lon=values("lon"),
            area_km2=values("area_km2"),
            landfrac=values("landfrac"),
            cover=values("cover"),
            complete=values("complete") == 1,
            trainable=values("trainable") == 1,
            domain=values("domain").astype(np.int64),
            record_file=values("record_file").astype(np.int64),
            domains=tuple(_json_attribute(path, dataset, "domains")),
            forcing=_json_attribute(path, dataset, "forcing"),
            semi_analytic=_json_attribute(path, dataset, "semi_analytic"),
            turnover=_json_attribute(path, dataset, "turnover"),
            record_files=tuple((Path(os.path.normpath(path.parent / file)), entry) for file, entry in listed),
            dataset_id=str(get_attribute(path, dataset, "dataset_id")),
        )
    check_coordinates(path, index.lat, index.lon, ("lat", "lon"), distinct=False)
    listings = {
        "domain": (index.domain, index.domains),
        "record_file": (index.record_file, index.record_files),
    }
    for name, (numbers, known) in listings.items():
        strange = (numbers < 0) | (numbers >= len(known))
        if np.any(strange):
            cell = int(np.argmax(strange))
            what = f"variable {name} is {numbers[cell]} for cell {cell + 1}"
            expected = f"0 to {len(known) - 1}, as an attribute lists them"
            raise InputError(path, what, expected=expected, remedy="join the records again")
    return index


def _json_attribute(path: Path, dataset: xr.Dataset, name: str) -> Any:
    """Content of a JSON attribute of the index: a list, or facts by domain."""
    text = str(get_attribute(path, dataset, name))
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        what = f"attribute {name} is not JSON ({error})"
        raise InputError(path, what, remedy="join the records again") from error
    sound = isinstance(content, dict if name in _BY_DOMAIN else list) and all(
        (isinstance(entry, list) and [*map(type, entry)] == [str, str])
        if name == "record_files"
        else isinstance(entry, str)
        for entry in content
    )
    if not (sound and content):
        what = f"attribute {name} is {text[:80]!r}"
        raise InputError(path, what, expected=f"the {name} of the dataset", remedy="join the records again")
    return content


def describe(dataset_dir: str | Path) -> dict[str, VariableInfo]:
    """All variables of a dataset by name, as its first record file has them.

    Raises:
        InputError: a variable is of no group, or has other dimensions than its group.
    """
    return describe_records(read_cells(dataset_dir).record_files[0][0])


def describe_records(path: str | Path) -> dict[str, VariableInfo]:
    """All variables of a record file by name.

    Raises:
        InputError: as `describe`.
    """
    with open_product(path) as dataset:
        names = [str(name) for name in dataset.variables if name not in COORDINATES]
        return {name: _describe(Path(path), dataset[name]) for name in names}


def _describe(path: Path, variable: netCDF4.Variable | xr.DataArray) -> VariableInfo:
    name, group = str(variable.name), str(get_attribute(path, variable, "group"))
    dims = dimensions_of(variable)
    sizes, possible = dict(zip(dims, variable.shape, strict=True)), dims_in_group(name, group)
    if dims not in possible or any(sizes.get(level, size) != size for level, size in _LEVELS.items()):
        what = f"variable {name} has dimensions {_sized(sizes)}"
        expected = " or ".join(_sized({dim: _LEVELS.get(dim) for dim in dims}) for dims in possible)
        raise InputError(path, what, expected=expected, remedy="fuse again")
    return VariableInfo(group, dims, units_of(variable))


def _sized(sizes: Mapping[str, int | None]) -> str:
    """Dimensions, with their lengths where those are known."""
    return f"({', '.join(name if size is None else f'{name} = {size}' for name, size in sizes.items())})"


def iterate_record_files(
    dataset_dir: str | Path,
    names: Sequence[str],
    cells: np.ndarray | None = None,
    index: CellIndex | None = None,
) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
    """Reads variables by record file; memory is bounded by one file.

    Args:
        dataset_dir: the dataset's directory.
        names: variables.
        cells: wanted cells, a mask (gridcell) or positions in dataset order; all if None. Positions
            are read in dataset order whatever their own.
        index: of the dataset, where the caller has read it already.

    Yields:
        Positions of the file's wanted cells in dataset order (n), and name -> values (n, ...); a
        variable without cells (a trait) comes whole with each file.

    Raises:
        InputError: a record file is missing, belongs to another dataset or lacks a variable.
    """
    index = index or read_cells(dataset_dir)
    wanted = _as_mask(cells, index.ncells)
    months: dict[int, Path] = {}
    for number in np.unique(index.record_file[wanted]):
        members = np.flatnonzero(index.record_file == number)
        inside = wanted[members]
        path, identity = index.record_files[number]
        # Without xarray, whose arrays cost half as much again as reading itself where hundreds are small.
        with open_dataset(path) as dataset:
            if getattr(dataset, "dataset_id", None) != identity:
                raise InputError(path, "belongs to another dataset than cells.nc", remedy="fuse again")
            length = dataset.dimensions["time"].size if "time" in dataset.dimensions else 0
            months.setdefault(length, path)
            if len(months) > 1:
                what = f"the forcing has {length} months"
                expected = f"{next(iter(months))} as in {next(iter(months.values())).name}"
                raise InputError(path, what, expected=expected, remedy="fuse again")
            yield members[inside], {name: _read(path, dataset, name, inside) for name in names}


def load_dataset(
    dataset_dir: str | Path, names: Sequence[str], cells: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """Reads variables of many cells into memory, in dataset order. Arguments as in `iterate_record_files`.

    Raises:
        InputError: no cell is wanted, or as `iterate_record_files`.
    """
    pieces = [values for _, values in iterate_record_files(dataset_dir, names, cells)]
    if not pieces:
        raise InputError(Path(dataset_dir) / "cells.nc", "no cell is wanted", expected="at least one")
    info = describe(dataset_dir)
    return {
        name: np.concatenate([piece[name] for piece in pieces])
        if info[name].dims[0] == "gridcell"
        else pieces[0][name]
        for name in names
    }


def _as_mask(cells: np.ndarray | None, ncells: int) -> np.ndarray:
    if cells is None:
        return np.ones(ncells, dtype=bool)
    if cells.dtype == bool:
        if len(cells) != ncells:
            raise InputError(None, f"a mask of {len(cells)} cells for a dataset of {ncells}")
        return cells
    mask = np.zeros(ncells, dtype=bool)
    mask[cells] = True
    return mask


def _read(path: Path, dataset: netCDF4.Dataset, name: str, inside: np.ndarray) -> np.ndarray:
    variable = get_variable(path, dataset, name)
    dims, values = _describe(path, variable).dims, np.asarray(variable[...])
    if dims[0] != "gridcell":
        return values
    if len(values) != len(inside):
        what = f"variable {name} is of {len(values)} cells"
        raise InputError(path, what, expected=f"{len(inside)}, as cells.nc says", remedy="fuse again")
    return values[inside]
