"""What a restart holds after the model has left accelerated decomposition, computed value by value.

An oracle in plain loops over the index arrays, from the documented rules; nothing comes from the code
under test.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import netCDF4
import numpy as np

from tests.helpers.layouts import contents
from tests.helpers.restarts import ORGANS, STAGES
from tests.helpers.units import pool_units

#: Every variable of a restart, by name.
Held = Mapping[str, np.ndarray]
ACCELERATED = {"cwd": "k_frag", "soil3": "k_s3", "soil4": "k_s4"}
DEAD_WOOD = tuple(f"{organ}{element}" for organ in ("deadstem", "deadcroot") for element in "cnp")
MAPS = {"labilep": "LABILE_P", "secondp": "SECONDARY_P", "occlp": "OCCLUDED_P", "primp": "APATITE_P"}
#: Sums and powers whose order of operations is free; all else has one right value to the last bit.
ROUNDED = (
    *(f"{pool}{element}" for pool in ("totlit", "totsom", "cwd") for element in "cnp"),
    *("totvegc", "htop", "hbot", "solutionp_vr", "labilep_vr"),
)


def layer_depths() -> np.ndarray:
    """Thickness of the ten active soil layers, m, from the formula of the model's grid."""
    node = 0.025 * (np.exp(0.5 * (np.arange(1, 12) - 0.5)) - 1.0)
    depth = [0.5 * (node[0] + node[1])]
    depth += [0.5 * (node[j + 1] - node[j - 1]) for j in range(1, 10)]
    return np.array(depth)


@dataclass
class Layout:
    """Index arrays of a restart, 0-based, and which rows biogeochemistry runs on."""

    cell_of_column: np.ndarray
    cell_of_patch: np.ndarray
    column_of_patch: np.ndarray
    pft: np.ndarray
    soil: list[int]
    runs: list[int]
    covered: list[int]

    @classmethod
    def from_content(cls, content: Held) -> Layout:
        """Reads the index arrays."""
        kind, active = content["cols1d_ityplun"], content["cols1d_active"]
        runs = [c for c in range(len(kind)) if kind[c] == 1 or (kind[c] == 2 and active[c] == 1)]
        column, share = content["pfts1d_column_index"] - 1, content["pfts1d_wtcol"]
        return cls(
            content["cols1d_gridcell_index"] - 1,
            content["pfts1d_gridcell_index"] - 1,
            column,
            content["pfts1d_itypveg"],
            [c for c in runs if kind[c] == 1],
            runs,
            [p for p in range(len(column)) if column[p] in set(runs) and share[p] > 0.0],
        )


def scalars(params: Path) -> dict[str, float]:
    """Scalars of a parameter file."""
    with netCDF4.Dataset(params) as d:
        return {
            name: float(v[:].item()) for name, v in d.variables.items() if v.size == 1 and v.dtype != "S1"
        }


def accelerations(params: Path) -> dict[str, float]:
    """F of the pools that AD speeds up."""
    k = scalars(params)
    return {pool: (0.5 if pool == "cwd" else 1.0) / (365.0 * k[rate]) for pool, rate in ACCELERATED.items()}


def mapped_p(content: Held, surface: Path, soil_params: Path) -> dict[str, np.ndarray]:
    """Mineral P by cell: the maps over half a metre, solution P in equilibrium with the sorbed.

    Where the soil cannot sorb what the map calls labile, the whole is divided in equilibrium instead.
    """
    maps, soils = contents(surface), contents(soil_params)
    lat, lon, order = (maps[name].ravel() for name in ("LATIXY", "LONGXY", "SOIL_ORDER"))
    pools: dict[str, list[float]] = {name: [] for name in (*MAPS, "solutionp")}
    for y, x in zip(content["grid1d_lat"], content["grid1d_lon"], strict=True):
        turn = np.abs((lon - x + 180.0) % 360.0 - 180.0)
        (row,) = np.flatnonzero((np.abs(lat - y) < 1e-4) & (turn < 1e-4))
        value = {name: maps[field].ravel()[row] / 0.5 for name, field in MAPS.items()}
        most, half = (soils[name][int(order[row])] for name in ("smax", "ks_sorption"))
        if most - value["labilep"] > half or value["labilep"] == 0.0:
            value["solutionp"] = value["labilep"] * half / (most - value["labilep"])
        else:
            total = value["labilep"]
            roots = np.roots([1.0, most + half - total, -half * total])
            value["solutionp"] = float(max(roots))
            value["labilep"] = total - value["solutionp"]
        for name in pools:
            pools[name].append(value[name])
    return {name: np.array(values) for name, values in pools.items()}


def leave_ad(
    content: Held, params: Path, mineral: Mapping[str, np.ndarray], mortality_factor: float
) -> dict[str, np.ndarray]:
    """Every variable that changes when a restart flagged AD is taken to normal mode.

    Cascade pools x F, divided by the averaged scalar after the start of model year 40, a scalar whose fourth
    layer is below 1e-3 counting as 1; displayed dead wood of covered patches x the mortality factor;
    `ppool` lifted; mineral P from the maps; the averaged scalar 1 where biogeochemistry runs; totals of what
    changed.
    """
    layout, factors = Layout.from_content(content), accelerations(params)
    late = content["timemgr_rst_curr_ymd"] // 10000 > 40
    scalar = content["scalaravg_col"]
    after = {"scalaravg_col": scalar.copy(), "spinup_state": np.array(0)}
    for pool, factor in factors.items():
        for element in "cnp":
            name = f"{pool}{element}_vr"
            after[name] = content[name].copy()
            for c in layout.runs:
                for j in range(10):
                    divisor = scalar[c, j] if late and 1e-3 <= scalar[c, 3] < 1e35 else 1.0
                    after[name][c, j] *= factor / divisor
    for name, values in mineral.items():
        after[f"{name}_vr"] = content[f"{name}_vr"].copy()
        for c in layout.runs:
            after[f"{name}_vr"][c, :10] = values[layout.cell_of_column[c]]
    after["scalaravg_col"][layout.runs] = 1.0
    for name in DEAD_WOOD:
        after[name] = content[name].copy()
        after[name][layout.covered] *= mortality_factor
    after["ppool"] = lifted(content["ppool"].copy(), content, layout)
    add_totals(content, after)
    return after


def lifted(ppool: np.ndarray, content: Held, layout: Layout) -> np.ndarray:
    """`ppool` of covered patches by the model's rule on leaving AD."""
    leafp, storage = content["leafp"], content["leafp_storage"]
    for p in layout.covered:
        if ppool[p] < leafp[p]:
            ppool[p] = leafp[p]
        elif ppool[p] < storage[p]:
            ppool[p] = storage[p]
    return ppool


def add_totals(content: Held, after: dict[str, np.ndarray]) -> None:
    """Totals of the restart, computed again where one of their pools changed."""
    depth = layer_depths()
    parts = {f"totlit{e}": [f"litr{k}{e}_vr" for k in (1, 2, 3)] for e in "cnp"}
    parts |= {f"totsom{e}": [f"soil{k}{e}_vr" for k in (1, 2, 3, 4)] for e in "cnp"}
    parts |= {f"cwd{e}": [f"cwd{e}_vr"] for e in "cnp"}
    for total, names in parts.items():
        if total not in content:
            continue
        before = content[total]
        now = [after.get(name, content[name]) for name in names]
        changed = np.any([np.any(v != content[n], axis=1) for n, v in zip(names, now, strict=True)], axis=0)
        with np.errstate(over="ignore"):
            after[total] = np.where(changed, sum(v[:, :10] @ depth for v in now), before)
    if "totvegc" in content:
        names = [f"{organ}c{stage}" for organ in ORGANS for stage in STAGES]
        names += ["cpool", "gresp_storage", "gresp_xfer"]
        changed = np.any([after[n] != content[n] for n in names if n in after], axis=0)
        total = sum(after.get(name, content[name]) for name in names)
        after["totvegc"] = np.where(changed, total, content["totvegc"])


def compare(base: Path, output: Path, after: Mapping[str, np.ndarray]) -> list[str]:
    """Variables of the output that are not what the oracle says; where it is silent, not the base's bytes."""
    before, after_writing = contents(base), contents(output)
    assert list(before) == list(after_writing)
    wrong = []
    for name, values in after_writing.items():
        if name in ROUNDED and name in after:
            sound = np.allclose(values, after[name], rtol=1e-12, atol=1e-12, equal_nan=True)
        else:
            right = np.asarray(after.get(name, before[name]), dtype=values.dtype)
            sound = values.tobytes() == right.tobytes()
        if not sound:
            wrong.append(name)
    return wrong


@dataclass
class Cells:
    """Predictions as another tool would hold them: places, and arrays with the cell first (gridcell, ...)."""

    lat: np.ndarray
    lon: np.ndarray
    values: dict[str, np.ndarray]

    def write(self, path: Path) -> Path:
        """Writes the predictions file."""
        with netCDF4.Dataset(path, "w") as d:
            d.label_space = "normal"
            for name, size in (("gridcell", len(self.lat)), ("natpft", 17), ("levdecomp", 10)):
                d.createDimension(name, size)
            d.createVariable("lat", "f8", ("gridcell",))[:] = self.lat
            d.createVariable("lon", "f8", ("gridcell",))[:] = self.lon
            d.createVariable("ood_flag", "i1", ("gridcell",))[:] = 0
            for name, values in self.values.items():
                level = "levdecomp" if values.shape[1] == 10 else "natpft"
                variable = d.createVariable(name, "f8", ("gridcell", level))
                variable.units = pool_units(name)
                variable[:] = values
        return path

    def rows(self, content: Held) -> list[int]:
        """Row of each cell of the restart, by place."""
        rows = []
        for y, x in zip(content["grid1d_lat"], content["grid1d_lon"], strict=True):
            turn = np.abs((self.lon - x + 180.0) % 360.0 - 180.0)
            (row,) = np.flatnonzero((np.abs(self.lat - y) < 1e-4) & (turn < 1e-4))
            rows.append(int(row))
        return rows


def put(after: dict[str, np.ndarray], content: Held, params: Path, cells: Cells) -> dict[str, np.ndarray]:
    """What the restart holds when predictions of soil carbon, CWD and dead wood are put into it besides.

    N and P of SOM and wood follow from C by fixed ratios, those of litter and CWD by the layer's own ratio
    within 10 to 1000 (N) and 100 to 20000 (P). A value that is there already changes nothing.

    Args:
        after: what leaving AD made of it; empty for a base in normal mode. Extended in place.
        content: base.
        params: parameter file.
        cells: predictions.
    """
    layout, row = Layout.from_content(content), cells.rows(content)
    k = scalars(params)

    def now(name: str) -> np.ndarray:
        return after.setdefault(name, content[name].copy())

    for name, values in cells.values.items():
        if values.shape[1] != 10:
            continue
        stem = name.removesuffix("c_vr")
        for c in layout.soil:
            for j in range(10):
                new, old = values[row[layout.cell_of_column[c]], j], now(name)[c, j]
                if new == old:
                    continue
                for element in "np":
                    nutrient = now(f"{stem}{element}_vr")
                    if stem.startswith("soil"):
                        ratio = k[f"cn_s{stem[4]}"] * (1.0 if element == "n" else k[f"np_s{stem[4]}_new"])
                    else:
                        low, high = {"n": (10.0, 1000.0), "p": (100.0, 20000.0)}[element]
                        start = {"cwd": (500.0, 5000.0)}.get(stem, (90.0, 900.0))["np".index(element)]
                        known = old > 1e-6 and nutrient[c, j] > 0.0
                        ratio = min(max(old / nutrient[c, j] if known else start, low), high)
                    nutrient[c, j] = new / ratio
                now(name)[c, j] = new
    with netCDF4.Dataset(params) as d:
        per_pft = {name: np.asarray(d[name][:]) for name in ("woody", "deadwdcn", "deadwdcp")}
    on_soil = set(layout.soil)
    for name, values in cells.values.items():
        if values.shape[1] != 17:
            continue
        for p in layout.covered:
            pft = layout.pft[p]
            if layout.column_of_patch[p] not in on_soil or per_pft["woody"][pft] == 0:
                continue
            new, old = values[row[layout.cell_of_patch[p]], pft], now(name)[p]
            if new == old:
                continue
            now(name)[p] = new
            for element in "np":
                now(f"{name[:-1]}{element}")[p] = new / per_pft[f"deadwdc{element}"][pft]
            if name == "deadstemc":  # shrubs taper more
                taper = 10.0 if pft in (9, 10, 11) else 200.0
                height = (3.0 * new * taper**2 / (np.pi * 0.1 * 2.5e5)) ** (1.0 / 3.0)
                now("htop")[p] = max(height, 0.01)
                now("hbot")[p] = max(0.0, min(3.0, height - 1.0))
    add_totals(content, after)
    return after
