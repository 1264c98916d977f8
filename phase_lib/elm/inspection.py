"""What a file is: restart, history, surface, forcing, predictions and so on, and its key numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import netCDF4
import numpy as np

from phase_lib.elm.constants import FILL_THRESHOLD, PFT_NAMES
from phase_lib.elm.forcing import FORCING
from phase_lib.elm.netcdf import flavour, open_dataset
from phase_lib.elm.pools import POOL_VARIABLES, SOIL_POOLS
from phase_lib.elm.restart import restart_header
from phase_lib.elm.soil_grid import DZDECOMP, NLEVDECOMP
from phase_lib.elm.subgrid import read_subgrid

_CALLED = {
    "restart": "restart",
    "history": "history",
    "surface": "surface data",
    "domain": "domain",
    "parameters": "PFT and decomposition parameters",
    "soil_parameters": "soil order parameters",
    "forcing": "atmospheric forcing",
    "monthly_forcing": "monthly means of the forcing on land cells",
    "predictions": "predicted pools",
    "test_predictions": "predicted pools of test cells, beside truth and baselines",
    "unknown": "no file known here",
}
_ATTRIBUTES = (
    "title",
    "source",
    "version",
    "case_title",
    "case_id",
    "surface_dataset",
    "history",
    "Conventions",
    "run_name",
    "code_version",
)
_FORCING = (*FORCING, "WIND", "RH")
_COLUMN_ROWS, _PATCH_ROWS = 1 << 15, 1 << 18


def kind_of(dataset: netCDF4.Dataset) -> str:
    """What kind of file this is, judged by the variables that only that kind has."""
    names = dataset.variables.keys()
    if {"timemgr_rst_curr_ymd", "cols1d_ityp"} <= names:
        return "restart"
    if {"time_bounds", "landmask"} <= names:
        return "history"
    if "PCT_NAT_PFT" in names:
        return "surface"
    if {"xc", "yc", "mask"} <= names:
        return "domain"
    if {"slatop", "k_s1"} <= names:
        return "parameters"
    if {"smax", "ks_sorption"} <= names:
        return "soil_parameters"
    if {"forcing_distance_km", *FORCING} <= names:
        return "monthly_forcing"
    if "label_space" in dataset.ncattrs() and {"lat", "lon"} <= names:
        return "predictions"
    if {"cell", "lat", "lon"} <= names and any(name.endswith("_phase") for name in names):
        return "test_predictions"
    if "time" in dataset.dimensions and any(name in names for name in _FORCING):
        return "forcing"
    return "unknown"


def inspect(path: str | Path) -> dict[str, Any]:
    """Describes a file.

    Args:
        path: any NetCDF file.

    Returns:
        Plain values: `kind`, `flavour`, `dimensions`, `attributes`, and what its kind has to tell.

    Raises:
        InputError: missing, truncated or no NetCDF file.
    """
    with open_dataset(path) as dataset:
        kind = kind_of(dataset)
        content: dict[str, Any] = {
            "path": str(path),
            "kind": kind,
            "called": _CALLED[kind],
            "flavour": flavour(path),
            "variables": len(dataset.variables),
            "dimensions": {name: dimension.size for name, dimension in dataset.dimensions.items()},
            "attributes": {
                name: str(dataset.getncattr(name)) for name in _ATTRIBUTES if name in dataset.ncattrs()
            },
        }
        describe = {
            "restart": _restart,
            "history": _time,
            "forcing": _time,
            "surface": _surface,
            "domain": _domain,
            "parameters": _parameters,
            "monthly_forcing": _monthly_forcing,
            "predictions": _predictions,
            "test_predictions": _test_predictions,
        }.get(kind)
        if describe is not None:
            content.update(describe(Path(path), dataset))
        return content


def _summary(values: np.ndarray) -> dict[str, float] | None:
    sound = values[np.isfinite(values) & (np.abs(values) < FILL_THRESHOLD)]
    if sound.size == 0:
        return None
    return {"min": float(sound.min()), "mean": float(sound.mean()), "max": float(sound.max())}


def _restart(path: Path, dataset: netCDF4.Dataset) -> dict[str, Any]:
    header, grid = restart_header(path, dataset), read_subgrid(path, dataset)
    scalar = None
    if "scalaravg_col" in dataset.variables:
        scalar = _summary(np.asarray(dataset["scalaravg_col"][:, 3])[grid.column])
    return {
        "date": f"{header.year:04d}-{header.month:02d}-{header.day:02d}",
        "spinup_state": header.spinup_state,
        "cells": grid.ncells,
        **{f"{name}s": header.dims.get(name) for name in ("landunit", "column", "pft")},
        "covered_patches": int(np.count_nonzero(grid.covered)),
        "latitude": _summary(grid.lat),
        "longitude": _summary(grid.lon),
        "scalaravg_col_layer_4": scalar,
        "mean_stocks": _stocks(dataset),
        "fill_in_pools": _fill(dataset),
    }


def _stocks(dataset: netCDF4.Dataset) -> dict[str, dict[str, float | str]]:
    """Stocks by pool, mean over the cells per m2 of land; a restart knows no areas."""
    cells = dataset.dimensions["gridcell"].size
    stocks: dict[str, dict[str, float | str]] = {}
    wanted = [pool.variable("c") for pool in SOIL_POOLS]
    wanted += [
        name for name, entry in POOL_VARIABLES.items() if entry.element == "c" and entry.organ is not None
    ]
    for name in wanted:
        if name not in dataset.variables:
            continue
        entry, variable = POOL_VARIABLES[name], dataset[name]
        layered = entry.level == "layer"
        weights = np.asarray(dataset["cols1d_wtxy" if layered else "pfts1d_wtxy"][:])
        total = 0.0
        for start in range(0, len(weights), step := _COLUMN_ROWS if layered else _PATCH_ROWS):
            values = np.asarray(variable[start : start + step], dtype=np.float64)
            values = values[:, :NLEVDECOMP] @ DZDECOMP if layered else values
            share = weights[start : start + step]
            counted = (share > 0.0) & (np.abs(values) < FILL_THRESHOLD)
            total += float(values[counted] @ share[counted])
        key = entry.soil_pool or entry.organ or name
        stage = name.removeprefix(f"{entry.organ}c") if entry.organ else ""
        stocks[f"{key}c{stage}"] = {"value": total / cells, "units": "gC m-2"}
    return stocks


def _fill(dataset: netCDF4.Dataset) -> int:
    """Variables among the pools with any fill or NaN, anywhere."""
    count = 0
    for name in POOL_VARIABLES:
        if name not in dataset.variables:
            continue
        variable = dataset[name]
        count += any(
            bool(np.any(~(np.abs(np.asarray(variable[start : start + _COLUMN_ROWS])) < FILL_THRESHOLD)))
            for start in range(0, variable.shape[0], _COLUMN_ROWS)
        )
    return count


def _time(path: Path, dataset: netCDF4.Dataset) -> dict[str, Any]:
    content: dict[str, Any] = {}
    if "time" in dataset.variables:
        time = dataset["time"]
        content["samples"] = int(time.shape[0])
        content["time_units"] = str(getattr(time, "units", ""))
        content["calendar"] = str(getattr(time, "calendar", ""))
        if time.shape[0]:
            content["time"] = _summary(np.asarray(time[:], dtype=np.float64))
    if "time_bounds" in dataset.variables:
        bounds = np.asarray(dataset["time_bounds"][:], dtype=np.float64)
        content["period_days"] = [float(bounds.min()), float(bounds.max())]
    if "landmask" in dataset.variables:
        content["cells"] = int(np.count_nonzero(np.asarray(dataset["landmask"][:]) == 1))
    content["fields"] = [
        name
        for name, variable in dataset.variables.items()
        if len(variable.dimensions) > 1 and "time" in variable.dimensions
    ]
    return content


def _surface(path: Path, dataset: netCDF4.Dataset) -> dict[str, Any]:
    cover = np.asarray(dataset["PCT_NAT_PFT"][:], dtype=np.float64)
    axis = dataset["PCT_NAT_PFT"].dimensions.index("natpft")
    mean = np.moveaxis(cover, axis, 0).reshape(cover.shape[axis], -1).mean(axis=1)
    return {
        "cells": int(np.asarray(dataset["LATIXY"]).size),
        "latitude": _summary(np.asarray(dataset["LATIXY"][:], dtype=np.float64)),
        "longitude": _summary(np.asarray(dataset["LONGXY"][:], dtype=np.float64)),
        "phosphorus_maps": "LABILE_P" in dataset.variables,
        "mean_cover_percent": {
            name: float(value) for name, value in zip(PFT_NAMES, mean, strict=False) if value > 0.0
        },
    }


def _domain(path: Path, dataset: netCDF4.Dataset) -> dict[str, Any]:
    mask = np.asarray(dataset["mask"][:])
    return {
        "cells": int(np.count_nonzero(mask == 1)),
        "points": int(mask.size),
        "latitude": _summary(np.asarray(dataset["yc"][:], dtype=np.float64)),
        "longitude": _summary(np.asarray(dataset["xc"][:], dtype=np.float64)),
    }


def _parameters(path: Path, dataset: netCDF4.Dataset) -> dict[str, Any]:
    wanted = ("k_s1", "k_s2", "k_s3", "k_s4", "k_frag", "cn_s1", "cn_s2", "cn_s3", "cn_s4", "r_mort")
    return {
        "pfts": dataset.dimensions["pft"].size,
        "values": {
            name: float(np.asarray(dataset[name][:]).reshape(-1)[0])
            for name in wanted
            if name in dataset.variables
        },
    }


def _places(dataset: netCDF4.Dataset) -> dict[str, Any]:
    lat, lon = (np.asarray(dataset[name][:], dtype=np.float64) for name in ("lat", "lon"))
    return {"cells": len(lat), "latitude": _summary(lat), "longitude": _summary(lon)}


def _monthly_forcing(path: Path, dataset: netCDF4.Dataset) -> dict[str, Any]:
    first, years = int(dataset.first_year), int(dataset.years)
    return {
        **_places(dataset),
        "forcing_years": f"{first:04d} to {first + years - 1:04d}",
        "distance_km": _summary(np.asarray(dataset["forcing_distance_km"][:], dtype=np.float64)),
        "means": {name: _summary(np.asarray(dataset[name][:], dtype=np.float64)) for name in FORCING},
    }


def _predictions(path: Path, dataset: netCDF4.Dataset) -> dict[str, Any]:
    flag = dataset.variables.get("ood_flag")
    return {
        **_places(dataset),
        "label_space": str(dataset.label_space),
        "flagged_cells": None if flag is None else int(np.count_nonzero(np.asarray(flag[:]) == 1)),
        "fields": [name for name in dataset.variables if name in POOL_VARIABLES or name == "tlai"],
    }


def _test_predictions(path: Path, dataset: netCDF4.Dataset) -> dict[str, Any]:
    fields = [name.removesuffix("_phase") for name in dataset.variables if name.endswith("_phase")]
    return {**_places(dataset), "split": str(getattr(dataset, "split", "")), "fields": fields}


def describe(content: dict[str, Any]) -> list[str]:
    """The lines that a person reads, from what `inspect` returned."""
    lines = [
        f"{content['path']}: {content['called']}, {content['flavour']}, {content['variables']} variables"
    ]
    if "spinup_state" in content:
        state = {0: "normal mode", 1: "accelerated decomposition", None: "spin-up state not given"}
        lines.append(f"date {content['date']}, {state[content['spinup_state']]}")
    skip = {"path", "kind", "called", "flavour", "variables", "date", "spinup_state", "fields", "attributes"}
    for name, value in content.items():
        if name not in skip and value is not None:
            lines.append(f"{name.replace('_', ' ')}: {_text(value)}")
    if "fields" in content:
        lines.append(f"fields ({len(content['fields'])}): {' '.join(content['fields'])}")
    lines += [f"{name} = {' '.join(value.split())}" for name, value in content["attributes"].items()]
    return lines


def _text(value: Any) -> str:
    if isinstance(value, dict):
        if set(value) == {"value", "units"}:
            return f"{value['value']:.6g} {value['units']}"
        return ", ".join(f"{name} {_text(item)}" for name, item in value.items())
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        return " to ".join(_text(item) for item in value)
    return str(value)
