"""Speed and memory of the injection on files of real layout, printed as JSON by `phase bench inject`.

The files are made for the measurement: all variables, dimensions and types of a restart that ELM wrote after
20 years of accelerated decomposition, with values that pass the audit once they are injected.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal

import netCDF4
import numpy as np

from phase_lib.base.files import writing
from phase_lib.base.memory import keep_freed_memory
from phase_lib.base.progress import LOGGER
from phase_lib.base.provenance import code_version
from phase_lib.bench import memory_mib, require_room
from phase_lib.config.injection import InjectionSettings
from phase_lib.config.ood import OodSettings
from phase_lib.config.spinup import SpinupSettings
from phase_lib.elm.audit.run import audit_restart
from phase_lib.elm.canopy import canopy_height, growth_form, leaf_area
from phase_lib.elm.constants import (
    CASCADE_CTC,
    COLUMN_SOIL,
    FILL_DOUBLE,
    FILL_INT,
    LANDUNIT_SOIL,
    NATPFT,
    SPINUP_AD,
)
from phase_lib.elm.netcdf import create_dataset
from phase_lib.elm.parameters import Parameters, read_parameters
from phase_lib.elm.soil_grid import DZDECOMP, NLEVDECOMP, NLEVGRND
from phase_lib.elm.variables import (
    COLUMN_TOTALS,
    DEAD_WOOD,
    ELEMENTS,
    MINERAL_N,
    MINERAL_P,
    POOL_VARIABLES,
    SOIL_POOLS,
    SOM,
    STAGES,
    SURFACE_P,
    TOTVEGC_POOLS,
    TRUNCATION_LAYER,
    TRUNCATION_PATCH,
)
from phase_lib.injection.inject import Seconds, inject
from phase_lib.injection.rules import plant_nutrient

Layout = Literal["soil", "full"]

#: What the injection may take beyond copying, as a factor and seconds, and its memory, MiB.
_COPY_FACTOR, _ALLOWANCE_S, _ALLOWANCE_MIB = 1.5, 0.5, 300
#: Runs of the size whose time is judged, and of the larger one.
_REPEATS, _GROWN_REPEATS = 7, 3
#: Phases of an injection that grow with what there is to compute; the others move bytes.
_WORK = ("check", "soil", "plants", "audit")
#: Largest number and bytes of the copies that are written and removed before each run; at least one is.
_COPIES, _COPIED_BYTES = 3, 3e9
#: Bytes of a cell's rows in the restart by layout, to check the room on the disk.
_CELL_BYTES: dict[Layout, int] = {"soil": 40_000, "full": 205_000}
#: Cells written at a time.
_BLOCK = 4096

#: Variables of a real restart of the CNP configuration by dimensions: floating-point numbers and integers.
_REAL = {
    "": (0, 36),
    "gridcell": (9, 2),
    "topounit": (10, 3),
    "landunit": (6, 6),
    "landunit numrad": (10, 0),
    "column": (71, 11),
    "column levsno": (13, 0),
    "column levsno1": (4, 0),
    "column levlak": (2, 0),
    "column levtot": (3, 0),
    "column levgrnd": (54, 0),
    "column numrad": (6, 0),
    "pft": (183, 15),
    "pft levcan": (7, 0),
    "pft numrad": (11, 0),
}
_LEVELS = {
    "levgrnd": NLEVGRND, "levurb": 5, "levlak": 10, "levsno": 5, "levsno1": 6, "levtot": 20, "numrad": 2,
    "levcan": 1, "string_length": 64, "levtrc": 10, "month": 12, "ntapes": 2, "max_chars": 256,
}  # fmt: skip
#: Urban landunits of a cell and the columns of each, with one bare patch, all of zero weight.
_URBAN, _URBAN_COLUMNS = (7, 8, 9), (71, 72, 73, 74, 75)
#: Carbon of the first layer in AD, gC m-3; that of the other pools is 100.
_CARBON = {"cwd": 800.0, "soil3": 1000.0, "soil4": 400.0}
_COLUMN_TOTALS = ("totlitc", "totsomc", "totlitp", "totsomp", "cwdc", "cwdp")

#: Patch and layered variables of the predictions.
PREDICTED_PATCH = (
    *(f"{organ}{element}" for organ in DEAD_WOOD for element in ELEMENTS),
    "frootc", "frootc_storage", "leafc", "leafc_storage", "totvegc", "tlai",
)  # fmt: skip
PREDICTED_LAYER = (
    *(pool.variable(element) for pool in SOIL_POOLS for element in ELEMENTS),
    *(f"{name}_vr" for name in ("sminn", *MINERAL_N)),
)


@dataclass(frozen=True)
class InjectionFiles:
    """Input of one injection."""

    restart: Path
    surface: Path
    params: Path
    soil_params: Path
    predictions: Path


def make_files(directory: Path, cells: int, layout: Layout) -> InjectionFiles:
    """Writes a restart of year 21 in AD and the files that belong to it, block by block.

    The layout `soil` has one column with 17 patches in each cell, `full` also the three urban landunits that
    ELM allocates.
    """
    from phase_lib.landmodel.embedded.world.parameters import write_clm_params, write_soil_order_parameters

    files = InjectionFiles(
        restart=directory / "bench.elm.r.0021-01-01-00000.nc",
        surface=directory / "surfdata.nc",
        params=directory / "clm_params.nc",
        soil_params=directory / "CNP_parameters.nc",
        predictions=directory / "predictions.nc",
    )
    write_clm_params(files.params)
    write_soil_order_parameters(files.soil_params)
    parameters = read_parameters(files.params)
    with (
        writing(files.restart) as temporary,
        _defining(temporary) as restart,
        create_dataset(files.surface, "NETCDF3_64BIT_OFFSET") as surface,
        create_dataset(files.predictions) as predictions,
    ):
        _define_restart(restart, cells, layout)
        _define_surface(surface, cells)
        _define_predictions(predictions, cells)
        for start in range(0, cells, _BLOCK):
            block = _Block(start, min(start + _BLOCK, cells), cells, parameters)
            _write(restart, block.restart(restart, layout), block, cells)
            _write(surface, block.surface(), block, cells)
            _write(predictions, block.predictions(), block, cells)
    return files


class _Definitions(netCDF4.Dataset):
    """A new file that stays in define mode.

    netCDF4 leaves it after every variable and attribute of a classic file, and moves all data each time.
    """

    def _redef(self) -> None:
        pass

    def _enddef(self) -> None:
        pass

    def all_defined(self) -> None:
        """Ends the definitions; values may follow."""
        super()._enddef()  # type: ignore[misc]


@contextmanager
def _defining(path: Path) -> Iterator[_Definitions]:
    with _Definitions(path, "w", format="NETCDF3_64BIT_DATA") as dataset:
        dataset.set_fill_off()
        yield dataset


def _write(
    dataset: netCDF4.Dataset, values: Iterator[tuple[str, np.ndarray]], block: _Block, cells: int
) -> None:
    """Writes a block of cells of variables whose first (surface: last) dimension runs over cells."""
    for name, part in values:
        variable = dataset[name]
        axis = variable.ndim - 1 if variable.dimensions[-1] == "gridcell" else 0
        per_cell = variable.shape[axis] // cells
        rows = slice(block.start * per_cell, block.stop * per_cell)
        variable[(slice(None),) * axis + (rows,)] = part


def _define_restart(dataset: _Definitions, cells: int, layout: Layout) -> None:
    urban = layout == "full"
    dataset.setncatts({"title": "ELM Restart information", "source": "made by phase bench; no state of ELM"})
    columns = 1 + urban * len(_URBAN) * len(_URBAN_COLUMNS)
    per_cell = {
        "gridcell": 1, "topounit": 1, "landunit": 1 + urban * len(_URBAN), "column": columns,
        "pft": NATPFT + columns - 1,
    }  # fmt: skip
    for name, size in per_cell.items():
        dataset.createDimension(name, size * cells)
    for name, size in _LEVELS.items():
        dataset.createDimension(name, size)
    named = _named_variables()
    for text, counts in _REAL.items():
        dims = tuple(text.split())
        for kind, count, fill in zip(("f8", "i4"), counts, (FILL_DOUBLE, FILL_INT), strict=True):
            known = [name for name, place in named.items() if place == (dims, kind)]
            others = [f"other_{'_'.join(dims) or 'scalar'}_{kind}_{i}" for i in range(count - len(known))]
            for name in (*known, *others):
                dataset.createVariable(name, kind, dims, fill_value=fill).missing_value = fill
    for i in range(2):
        dataset.createVariable(f"other_ntapes_max_chars_S1_{i}", "S1", ("ntapes", "max_chars"))
    dataset.all_defined()
    dataset["timemgr_rst_curr_ymd"][...] = 210101
    dataset["spinup_state"][...] = SPINUP_AD
    dataset["decomp_cascade_state"][...] = CASCADE_CTC


def _named_variables() -> dict[str, tuple[tuple[str, ...], str]]:
    """Dimensions and type of the variables to which `_Block.restart` gives particular values."""
    scalars = ("timemgr_rst_curr_ymd", "spinup_state", "decomp_cascade_state")
    named: dict[str, tuple[tuple[str, ...], str]] = dict.fromkeys(scalars, ((), "i4"))
    for name, entry in POOL_VARIABLES.items():
        named[name] = (("pft",) if entry.level == "patch" else ("column", "levgrnd"), "f8")
    for name in ("tlai", "elai", "htop", "hbot", "totvegc", *TRUNCATION_PATCH):
        named[name] = (("pft",), "f8")
    for name in ("scalaravg_col", *TRUNCATION_LAYER):
        named[name] = (("column", "levgrnd"), "f8")
    named |= dict.fromkeys(_COLUMN_TOTALS, (("column",), "f8"))
    named |= {f"grid1d_{name}": (("gridcell",), "f8") for name in ("lat", "lon")}
    for prefix, level, integers, weights in (
        ("land1d", "landunit", "", "wtxy"),
        ("cols1d", "column", "landunit_index ityp", "wtxy wtlnd"),
        ("pfts1d", "pft", "landunit_index column_index itypveg", "wtxy wtlnd wtcol"),
    ):
        all_integers = ("gridcell_index", "ityplun", "active", *integers.split())
        named |= {f"{prefix}_{name}": ((level,), "i4") for name in all_integers}
        named |= {f"{prefix}_{name}": ((level,), "f8") for name in weights.split()}
    return named


def _define_surface(dataset: netCDF4.Dataset, cells: int) -> None:
    dataset.createDimension("gridcell", cells)
    dataset.createDimension("natpft", NATPFT)
    units = {"AREA": "km^2", "LANDFRAC_PFT": "unitless", **dict.fromkeys(SURFACE_P, "gP/m2")}
    for name in ("LATIXY", "LONGXY", *units):
        dataset.createVariable(name, "f8", ("gridcell",)).units = units.get(name, "degrees")
    dataset.createVariable("SOIL_ORDER", "i4", ("gridcell",))
    dataset.createVariable("PCT_NAT_PFT", "f8", ("natpft", "gridcell")).units = "%"


def _define_predictions(dataset: netCDF4.Dataset, cells: int) -> None:
    dataset.label_space = "normal"
    for name, size in (("gridcell", cells), ("natpft", NATPFT), ("levdecomp", NLEVDECOMP)):
        dataset.createDimension(name, size)
    for name in ("lat", "lon"):
        dataset.createVariable(name, "f8", ("gridcell",))
    dataset.createVariable("ood_flag", "i1", ("gridcell",))
    for name in (*PREDICTED_PATCH, *PREDICTED_LAYER):
        level = "natpft" if name in PREDICTED_PATCH else "levdecomp"
        variable = dataset.createVariable(name, "f8", ("gridcell", level), fill_value=np.nan)
        variable.units = POOL_VARIABLES[name].units if name in POOL_VARIABLES else "1"


class _Block:
    """State of a block of cells, drawn from a random generator with the block's seed.

    Attributes:
        start, stop: range of the cells.
        patch: patch variables in AD (cell, natpft).
        layer: layered pools in AD (cell, levdecomp).
    """

    #: Share of the pairs of cell and PFT with cover on real grids.
    _COVERED = 0.2

    def __init__(self, start: int, stop: int, cells: int, parameters: Parameters) -> None:
        self.start, self.stop, self._parameters = start, stop, parameters
        self._rng = np.random.default_rng(start)
        self.cell = np.arange(start, stop)
        across = int(np.ceil(np.sqrt(2.0 * cells)))
        down = -(-cells // across)
        self.lat = -55.0 + 125.0 * (self.cell // across) / down
        self.lon = 360.0 * (self.cell % across) / across
        self.cover = self._draw_cover()
        self.labile = self._rng.uniform(2.0, 10.0, len(self.cell))
        self.layer = self._soil()
        self.patch = self._plants()

    def _draw_cover(self) -> np.ndarray:
        shape = (len(self.cell), NATPFT)
        share = np.where(self._rng.random(shape) < self._COVERED, self._rng.uniform(0.2, 1.0, shape), 0.0)
        share[share.sum(axis=1) == 0.0, 0] = 1.0
        return np.asarray(share / share.sum(axis=1, keepdims=True))

    def _soil(self) -> dict[str, np.ndarray]:
        shape = (len(self.cell), NLEVDECOMP)
        layer: dict[str, np.ndarray] = {}
        for pool in SOIL_POOLS:
            carbon = _CARBON.get(pool.name, 100.0) * np.exp(-np.arange(NLEVDECOMP) / 4.0)
            carbon = carbon * self._rng.uniform(0.9, 1.1, shape)
            ratios = (pool.start_cn, pool.start_cp)
            if pool.name in SOM:
                ratios = self._parameters.soil_ratios(pool)
            for element, ratio in zip(ELEMENTS, (1.0, *ratios), strict=True):
                layer[pool.variable(element)] = carbon / ratio
        for name in MINERAL_N:
            layer[f"{name}_vr"] = self._rng.uniform(0.2, 0.6, shape)
        layer["sminn_vr"] = np.sum([layer[f"{name}_vr"] for name in MINERAL_N], axis=0)
        return layer | {f"{name}_vr": self._rng.uniform(0.05, 0.3, shape) for name in MINERAL_P}

    def _plants(self) -> dict[str, np.ndarray]:
        """Patch variables; where a PFT has no cover they hold the constants of a cold start."""
        p, shape = self._parameters, self.cover.shape
        grows = (self.cover > 0.0) & (np.arange(NATPFT) > 0)
        woody, evergreen = (p.per_pft(name) > 0 for name in ("woody", "evergreen"))
        draw = self._rng.uniform(0.5, 1.5, shape)
        live = np.where(grows & woody, 40.0 * draw, 0.0)
        green = np.where(grows & (evergreen | ~woody), 100.0 * draw, 0.0)
        dead = 36.0 * live
        display = {
            "leaf": green, "froot": green, "livestem": live, "deadstem": dead,
            "livecroot": 0.3 * live, "deadcroot": 0.3 * dead,
        }  # fmt: skip
        patch: dict[str, np.ndarray] = {}
        for organ, carbon in display.items():
            stored = np.where(grows, 60.0 * draw, 0.0) if organ in ("leaf", "froot") else 0.01 * carbon
            for stage, amount in zip(STAGES, (carbon, stored, np.zeros(shape)), strict=True):
                patch[f"{organ}c{stage}"] = amount
                for element, ratio in zip("np", p.organ_ratios(organ), strict=True):
                    patch[f"{organ}{element}{stage}"] = plant_nutrient(amount, ratio)
        seed = ~grows & (np.arange(NATPFT) > 0)
        patch["leafc"] = np.where(seed & evergreen, 1.0, patch["leafc"])
        patch["deadstemc"] = np.where(seed & woody, 0.1, patch["deadstemc"])
        singles = {"cpool": 0.5, "gresp_storage": 1.0, "gresp_xfer": 0.0, "xsmrpool": -3.0, "npool": 5.0}
        singles |= {"retransn": 1.0, "retransp": 0.1}
        patch |= {name: np.where(grows, value * draw, 0.0) for name, value in singles.items()}
        patch["npool"][seed] = 10.0
        patch["ppool"] = np.where(seed, 1.0, 0.3 * patch["leafp"])
        patch["tlai"] = leaf_area(patch["leafc"], *p.specific_leaf_area()) * grows
        patch["elai"] = 0.8 * patch["tlai"]
        form = growth_form(p.per_pft("woody"))
        patch["htop"], patch["hbot"] = canopy_height(10.0 * patch["deadstemc"], patch["tlai"], form)
        patch["totvegc"] = np.sum([patch[name] for name in TOTVEGC_POOLS], axis=0)
        return patch | {name: np.zeros(shape) for name in TRUNCATION_PATCH}

    def predictions(self) -> Iterator[tuple[str, np.ndarray]]:
        """Values of the predictions file: the state in normal mode, changed a little."""
        factors = self._parameters.ad_factors()
        yield "lat", self.lat
        yield "lon", self.lon
        yield "ood_flag", np.zeros(len(self.cell), dtype=np.int8)
        for name in PREDICTED_PATCH:
            factor = 10.0 if name.removesuffix(name[-1]) in DEAD_WOOD else 1.0
            values = self.patch[name] * factor * self._rng.uniform(0.95, 1.05, self.cover.shape)
            yield name, np.where(self.cover > 0.0, values, np.nan)
        for name in PREDICTED_LAYER:
            factor = factors.get(POOL_VARIABLES[name].soil_pool or "", 1.0)
            yield name, self.layer[name] * factor * self._rng.uniform(0.95, 1.05, self.layer[name].shape)

    def surface(self) -> Iterator[tuple[str, np.ndarray]]:
        """Values of the surface file."""
        one = np.ones(len(self.cell))
        yield "LATIXY", self.lat
        yield "LONGXY", self.lon
        yield "AREA", 100.0 * one
        yield "LANDFRAC_PFT", one
        yield "SOIL_ORDER", (1 + self.cell % 12).astype(np.int32)
        for name, factor in zip(SURFACE_P, (1.0, 2.0, 6.0, 3.0), strict=True):
            yield name, factor * self.labile
        yield "PCT_NAT_PFT", 100.0 * self.cover.T

    def restart(self, dataset: netCDF4.Dataset, layout: Layout) -> Iterator[tuple[str, np.ndarray]]:
        """Values of the restart: (rows of the block, levels)."""
        n = len(self.cell)
        given = dict(self._index(layout))
        for name, variable in dataset.variables.items():
            dims, levels = variable.dimensions, variable.shape[1:]
            if not dims or dims[0] == "ntapes":
                continue
            rows = n * (variable.shape[0] // dataset.dimensions["gridcell"].size)
            if name in given:
                yield name, given[name]
                continue
            values = np.zeros((n, rows // n, *levels))  # by cell
            if name in self.patch:
                values[:, :NATPFT] = self.patch[name]
            elif name in self.layer:
                values[:, 0, :NLEVDECOMP] = self.layer[name]
            elif name == "scalaravg_col":
                values[:] = FILL_DOUBLE
                values[:, 0] = 0.01
            elif name in _COLUMN_TOTALS:
                values[:, 0] = np.sum([self.layer[pool] @ DZDECOMP for pool in COLUMN_TOTALS[name]], axis=0)
            elif name not in TRUNCATION_LAYER:
                values = self._rng.random((rows, *levels)) if variable.dtype.kind == "f" else np.ones(rows)
            yield name, values.reshape(rows, *levels)

    def _index(self, layout: Layout) -> Iterator[tuple[str, np.ndarray]]:
        """Index variables and weights, from the tables of one cell."""
        units = (LANDUNIT_SOIL, *(_URBAN if layout == "full" else ()))
        column_unit = [0] + [unit for unit in range(1, len(units)) for _ in _URBAN_COLUMNS]
        column_type = [COLUMN_SOIL] + [kind for _ in units[1:] for kind in _URBAN_COLUMNS]
        patch_column = [0] * NATPFT + list(range(1, len(column_type)))
        n = len(self.cell)

        def tile(values: list[int]) -> np.ndarray:
            return np.tile(np.asarray(values, dtype=np.int32), n)

        def index(local: list[int], size: int) -> np.ndarray:
            return (self.cell[:, None] * size + np.asarray(local) + 1).astype(np.int32).reshape(-1)

        yield "grid1d_lat", self.lat
        yield "grid1d_lon", self.lon
        patch_unit = [column_unit[column] for column in patch_column]
        weight = np.zeros((n, len(patch_column)))
        weight[:, :NATPFT] = self.cover
        on_column = weight.copy()
        on_column[:, NATPFT:] = 1.0
        units_by_level = {"land1d": list(range(len(units))), "cols1d": column_unit, "pfts1d": patch_unit}
        for prefix, unit in units_by_level.items():
            soil = np.asarray([number == 0 for number in unit])
            yield f"{prefix}_gridcell_index", index([0] * len(unit), 1)
            yield f"{prefix}_ityplun", tile([units[number] for number in unit])
            if prefix != "land1d":
                yield f"{prefix}_landunit_index", index(unit, len(units))
            if prefix != "pfts1d":
                yield f"{prefix}_active", np.tile(soil, n).astype(np.int32)
                yield f"{prefix}_wtxy", np.tile(soil, n).astype(np.float64)
        yield "cols1d_ityp", tile(column_type)
        yield "cols1d_wtlnd", np.ones(n * len(column_unit))
        yield "pfts1d_column_index", index(patch_column, len(column_unit))
        yield "pfts1d_itypveg", tile([*range(NATPFT), *[0] * (len(patch_column) - NATPFT)])
        yield "pfts1d_active", (weight > 0.0).astype(np.int32).reshape(-1)
        yield "pfts1d_wtxy", weight.reshape(-1)
        yield "pfts1d_wtlnd", on_column.reshape(-1)
        yield "pfts1d_wtcol", on_column.reshape(-1)


def bench_inject(
    cells: int, grow: int | None, layout: Layout, directory: Path | None = None
) -> dict[str, Any]:
    """Injects into made files and measures it against copying the restart.

    Args:
        cells: number of grid cells of the file whose time is judged.
        grow: the same of a second file, which shows how time and memory grow; None for none.
        layout: columns and patches of each cell, see `make_files`.
        directory: for the files; the system's temporary directory where None.

    Returns:
        For both sizes: seconds of the fastest runs, medians, and the largest peak memory above that after the
        imports (each run is a new process).

    Raises:
        InputError: the disk has too little room.
    """
    measured = [_measure(cells, layout, directory, _REPEATS)]
    if grow is not None:
        measured.append(_measure(grow, layout, directory, _GROWN_REPEATS))
    predicted = {"patch": len(PREDICTED_PATCH), "layer": len(PREDICTED_LAYER)}
    result = {"benchmark": "inject", "layout": layout, "variables_predicted": predicted, **measured[0]}
    if len(measured) > 1:
        small, large = measured
        compared = ("cp_seconds", "inject_seconds", "work_cpu_seconds")
        growth = {name: large[name] / small[name] * small["cells"] / large["cells"] for name in compared}
        result["grown"] = large | {f"per_cell_{name}_ratio": round(growth[name], 2) for name in compared}
    return result | {
        "allowed_mib_above_interpreter": _ALLOWANCE_MIB,
        "page_cache": "before each run the restart is copied, three times where that is less than 3 GB, the "
        "copies are removed and the disk synced",
        "work": "CPU time of the thread that checks, edits and audits; copying and hashing are not in it",
        "memory": "VmHWM of a fresh process, reset after its imports, less its VmRSS then",
        "code_version": code_version(),
    }


def _measure(cells: int, layout: Layout, where: Path | None, repeats: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(dir=where) as name:
        directory = Path(name)
        require_room(directory, 2.5 * cells * _CELL_BYTES[layout] + _COPIED_BYTES, cells)
        LOGGER.info("writing files of %d cells", cells)
        files = make_files(directory, cells, layout)
        copies, runs = [], []
        for repeat in range(repeats):
            LOGGER.info("copying and injecting, %d of %d", repeat + 1, repeats)
            copies.append(_copied(files.restart, directory / "copy.nc"))
            # A new process, so that its peak is that of one injection.
            with ProcessPoolExecutor(1, get_context("spawn"), initializer=keep_freed_memory) as pool:
                runs.append(pool.submit(_injected, files, directory / "injected.nc").result())
        size = files.restart.stat().st_size
    # The fastest of each: what other work on the machine adds is no part of either.
    seconds = {"cp_seconds": copies, "inject_seconds": [run["seconds"] for run in runs]}
    copy_seconds, fastest = min(copies), min(runs, key=lambda run: run["seconds"])
    allowed = _COPY_FACTOR * copy_seconds + _ALLOWANCE_S
    peak = max(run["peak_mib"] for run in runs)
    return {
        "cells": cells,
        "bytes": size,
        "cp_seconds": round(copy_seconds, 3),
        "inject_seconds": round(fastest["seconds"], 3),
        "allowed_seconds": round(allowed, 3),
        "within": fastest["seconds"] <= allowed and peak <= _ALLOWANCE_MIB,
        "peak_mib_above_interpreter": round(peak, 1),
        "phases": {phase: round(spent.wall, 3) for phase, spent in fastest["phases"].items()},
        "work_cpu_seconds": round(min(run["work_cpu_seconds"] for run in runs), 3),
        "medians": {name: round(statistics.median(values), 3) for name, values in seconds.items()},
        "runs": {name: [round(value, 3) for value in values] for name, values in seconds.items()},
    }


def _settle(source: Path, target: Path) -> None:
    """Brings the page cache to one state: `source` in it, nothing dirty, as much room as a copy needs.

    The copies made here are removed just before, so that their memory is free. A virtual machine may have
    returned other free memory to its host, and to get it back takes two or three times as long as the copy.
    """
    number = max(1, min(_COPIES, int(_COPIED_BYTES // source.stat().st_size)))
    targets = [target.with_suffix(f".{copy}") for copy in range(number)]
    for copy in targets:
        _copy(source, copy)
    for copy in targets:
        copy.unlink()
    os.sync()


def _copy(source: Path, target: Path) -> None:
    subprocess.run(["cp", "--reflink=never", source, target], check=True)


def _copied(source: Path, target: Path) -> float:
    """Seconds that `cp` takes."""
    _settle(source, target)
    begin = time.perf_counter()
    _copy(source, target)
    seconds = time.perf_counter() - begin
    target.unlink()
    return seconds


def _injected(files: InjectionFiles, output: Path) -> dict[str, Any]:
    """One injection: seconds, of each phase too, and peak memory above what the process had, MiB."""
    _settle(files.restart, output)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before = memory_mib("VmRSS")
    phases: dict[str, Seconds] = {}
    begin = time.perf_counter()
    inject(
        **asdict(files),
        output=output,
        settings=InjectionSettings(),
        ood=OodSettings(),
        mortality_factor=SpinupSettings().spinup_mortality_factor,
        audit=audit_restart,
        report=output.with_suffix(".json"),
        seconds=phases,
    )
    seconds = time.perf_counter() - begin
    peak = memory_mib("VmHWM") - before
    output.unlink()
    work = sum(phase.cpu for name, phase in phases.items() if name in _WORK)
    return {"seconds": seconds, "peak_mib": peak, "phases": phases, "work_cpu_seconds": work}
