"""Description of a file: its kind (restart, history, surface, forcing, ...) and its key numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np

from phase_lib.elm.constants import CASCADE_CENTURY, CASCADE_CTC, FILL_THRESHOLD, LANDUNIT_NAMES, PFT_NAMES
from phase_lib.elm.history_cells import read_land_cells
from phase_lib.elm.history_header import bounds_name, fields_of, kinds_of_fields, read_samples
from phase_lib.elm.netcdf import (
    attribute_numbers,
    flavour,
    get_variable,
    is_fill,
    open_dataset,
    whole_attribute,
)
from phase_lib.elm.restart import restart_header
from phase_lib.elm.soil_grid import DZDECOMP, NLEVDECOMP
from phase_lib.elm.spinup import SCALARAVG_LAYER, SCALARAVG_YEARS
from phase_lib.elm.subgrid import read_subgrid
from phase_lib.elm.surface import horizontal_dims, surface_places, surface_variable
from phase_lib.elm.units import units_of
from phase_lib.elm.variables import POOL_VARIABLES, SOIL_POOLS, SURFACE_P, VARIABLES
from phase_lib.forcing.points import PLACES
from phase_lib.forcing.variables import FORCING, INPUTS

_ATTRIBUTES = {"title", "source", "version", "case", "case_title", "case_id", "surface_dataset", "history"}
_ATTRIBUTES |= {"Conventions", "run_name", "code_version"}
_FORCING = tuple(dict.fromkeys((*FORCING, "WIND", *INPUTS)))
_FLAVOURS = {
    "NETCDF3_CLASSIC": "CDF-1 (classic)",
    "NETCDF3_64BIT_OFFSET": "CDF-2 (64-bit offset)",
    "NETCDF3_64BIT_DATA": "CDF-5 (64-bit data)",
    "NETCDF4": "netCDF-4 (HDF5)",
}
_STATES = {
    0: "normal mode (spinup_state 0)",
    1: "accelerated decomposition (spinup_state 1)",
    None: "spinup_state is missing",
}
_CASCADES = {CASCADE_CTC: "CTC", CASCADE_CENTURY: "Century"}
#: Variables that only history files have.
_HISTORY = ("landmask", "mcdate", "nstep")
#: Number of field names in the lines for people; JSON has all of them.
_SHOWN_FIELDS = 40
_COLUMN_ROWS, _PATCH_ROWS = 1 << 15, 1 << 18
#: Values of a long series in memory at a time.
_VALUES = 1 << 22


def kind_of(dataset: netCDF4.Dataset) -> str:
    """What kind of file this is, judged by the variables that only that kind has."""
    names = dataset.variables.keys()
    is_history = bounds_name(dataset) in names and any(name in names for name in _HISTORY)
    for kind, known in _KINDS.items():
        if (known.variables and known.variables <= names) or (kind == "history" and is_history):
            return kind
    if "label_space" in dataset.ncattrs() and {"lat", "lon"} <= names:
        return "predictions"
    if {"time", "DTIME"} & names and any(name in names for name in _FORCING):
        return "forcing"
    return "unknown"


def inspect(path: str | Path) -> dict[str, Any]:
    """Describes a NetCDF file.

    Returns:
        Plain values: `kind`, `flavour`, `dimensions`, `attributes`, and facts that depend on the kind.

    Raises:
        InputError: missing, truncated or no NetCDF file.
    """
    with open_dataset(path) as dataset:
        kind = kind_of(dataset)
        known = _KINDS[kind]
        attributes = {name: str(dataset.getncattr(name)) for name in dataset.ncattrs() if name in _ATTRIBUTES}
        return {
            "path": str(path),
            "kind": kind,
            "called": known.called,
            "flavour": flavour(path),
            "variables": len(dataset.variables),
            "dimensions": {name: dimension.size for name, dimension in dataset.dimensions.items()},
            "attributes": attributes,
            **known.describe(Path(path), dataset),
        }


def _summary(values: np.ndarray) -> dict[str, float] | None:
    sound = values[np.isfinite(values) & (np.abs(values) < FILL_THRESHOLD)]
    if sound.size == 0:
        return None
    return {"min": float(sound.min()), "mean": float(sound.mean()), "max": float(sound.max())}


def _summary_by_rows(variable: netCDF4.Variable) -> dict[str, float] | None:
    """Least, mean and largest sound value, some rows in memory at a time."""
    step = max(1, _VALUES * len(variable) // max(1, variable.size))
    low, high, total, count = np.inf, -np.inf, 0.0, 0
    for start in range(0, len(variable), step):
        values = np.asarray(variable[start : start + step], dtype=np.float64)
        if (part := _summary(values)) is not None:
            sound = int(np.count_nonzero(np.abs(values) < FILL_THRESHOLD))
            low, high = min(low, part["min"]), max(high, part["max"])
            total, count = total + part["mean"] * sound, count + sound
    return {"min": low, "mean": total / count, "max": high} if count else None


def _restart(path: Path, dataset: netCDF4.Dataset) -> dict[str, Any]:
    header, grid = restart_header(path, dataset), read_subgrid(path, dataset)
    scalar = None
    if "scalaravg_col" in dataset.variables:
        variable = get_variable(path, dataset, "scalaravg_col", dims=("column", "levgrnd"))
        scalar = _summary(np.asarray(variable[:, SCALARAVG_LAYER])[grid.soil.column])
    return {
        "date": header.date,
        "spinup_state": header.spinup_state,
        "decomposition": _CASCADES.get(header.decomp_cascade_state or 0),
        "cells": grid.ncells,
        "soil_columns": len(grid.soil.column),
        "cells_without_soil_column": int(np.count_nonzero(~grid.has_soil)),
        **{f"{name}s": header.dims.get(name) for name in ("topounit", "landunit", "column", "pft")},
        "landunits_with_weight": _landunits(path, dataset),
        "covered_patches": int(np.count_nonzero(grid.soil.covered)),
        "latitude": _summary(grid.lat),
        "longitude": _summary(grid.lon),
        "scalaravg_col_layer_4": scalar,
        "mean_stocks": _stocks(path, dataset),
    }


def _landunits(path: Path, dataset: netCDF4.Dataset) -> dict[str, dict[str, float]]:
    """Landunits with weight by kind: in how many cells, and their share of the land of all cells, %."""
    names = ("land1d_ityplun", "land1d_wtxy", "land1d_gridcell_index")
    if any(name not in dataset.variables for name in names):
        return {}
    kind, weight, cell = (np.asarray(get_variable(path, dataset, name)[:]) for name in names)
    cells, landunits = dataset.dimensions["gridcell"].size, {}
    for number in np.unique(kind[weight > 0.0]):
        these = (kind == number) & (weight > 0.0)
        landunits[LANDUNIT_NAMES.get(int(number), f"landunit type {number}")] = {
            "cells": len(np.unique(cell[these])),
            "percent_of_land": 100.0 * float(weight[these].sum()) / cells,
        }
    return landunits


def _stocks(path: Path, dataset: netCDF4.Dataset) -> dict[str, dict[str, float | str]]:
    """Stocks by pool, mean over the cells per m2 of land; a restart knows no areas."""
    cells = dataset.dimensions["gridcell"].size
    stocks: dict[str, dict[str, float | str]] = {}
    plants = [
        name for name, entry in POOL_VARIABLES.items() if entry.element == "c" and entry.organ is not None
    ]
    columns, patches = (np.asarray(get_variable(path, dataset, f"{x}_wtxy")[:]) for x in ("cols1d", "pfts1d"))
    for name in (*(pool.variable("c") for pool in SOIL_POOLS), *plants):
        if name not in dataset.variables:
            continue
        entry = POOL_VARIABLES[name]
        variable = get_variable(path, dataset, name, dims=entry.dims)
        layered = entry.level == "layer"
        weights = columns if layered else patches
        total = 0.0
        for start in range(0, len(weights), step := _COLUMN_ROWS if layered else _PATCH_ROWS):
            values = np.asarray(variable[start : start + step], dtype=np.float64)
            values = values[:, :NLEVDECOMP] @ DZDECOMP[: values.shape[1]] if layered else values
            share = weights[start : start + step]
            counted = (share > 0.0) & (np.abs(values) < FILL_THRESHOLD)
            total += float(values[counted] @ share[counted])
        key = entry.soil_pool or entry.organ or name
        stocks[f"{key}c{entry.stage}"] = {"value": total / cells, "units": "gC m-2"}
    return stocks


def _history(path: Path, dataset: netCDF4.Dataset) -> dict[str, Any]:
    content = _clock(path, dataset, "time")
    if content["samples"]:
        samples = read_samples(path, dataset)
        first, last = float(samples.bounds.min()), float(samples.bounds.max())
        content["period_days"] = [first, last]
        content["period"] = [samples.clock.date(first), samples.clock.date(last)]
        content["sample_days"] = [float(samples.days.min()), float(samples.days.max())]
    if {"landmask", "lat", "lon"} <= dataset.variables.keys():
        grid = read_land_cells(path, dataset)
        content["cells"] = len(grid.row)
        content["land_mask"] = "; ".join(grid.remarks) or None
    names = fields_of(dataset)
    on = Counter(" x ".join(dim for dim in dataset[name].dimensions if dim != "time") for name in names)
    content["fields_on"] = {dims or "a point": count for dims, count in on.most_common()}
    content["fields_hold"] = kinds_of_fields(dataset)
    return {**content, "fields": names}


def _forcing(path: Path, dataset: netCDF4.Dataset) -> dict[str, Any]:
    clock = "time" if "time" in dataset.variables else "DTIME"
    content = _clock(path, dataset, clock)
    time = np.asarray(dataset[clock][:], dtype=np.float64)
    if len(time) > 1:
        content["period"] = _dates(dataset[clock], [time.min(), time.max()])
        content["step_hours"] = round(24.0 * float(np.median(np.diff(time))), 3)
    fields = [name for name in _FORCING if name in dataset.variables]
    content["points"] = int(dataset[fields[0]].size // max(1, len(time)))
    places = next((names for names in PLACES if dataset.variables.keys() >= set(names)), ())
    for name, label in zip(places, ("latitude", "longitude"), strict=False):
        place = get_variable(path, dataset, name)
        content[label] = _summary(np.asarray(place[...], dtype=np.float64))
    variables = {name: get_variable(path, dataset, name, packed=True) for name in fields if len(time)}
    samples = {name: _first_sample(path, variable, clock) for name, variable in variables.items()}
    return {**content, "first_sample": samples, "fields": fields}


def _first_sample(path: Path, variable: netCDF4.Variable, clock: str) -> dict[str, Any]:
    """Range of a field in the first sample, unpacked."""
    first = np.asarray(variable[tuple(0 if name == clock else slice(None) for name in variable.dimensions)])
    sound = first[~is_fill(variable, first)].astype(np.float64)
    scale, *_ = attribute_numbers(path, variable, "scale_factor", 1.0)
    offset, *_ = attribute_numbers(path, variable, "add_offset", 0.0)
    return {**(_summary(sound * scale + offset) or {}), "units": units_of(variable)}


def _clock(path: Path, dataset: netCDF4.Dataset, name: str) -> dict[str, Any]:
    time = get_variable(path, dataset, name, dims=(name,))
    return {
        "samples": int(time.shape[0]),
        "time_units": units_of(time),
        "calendar": str(getattr(time, "calendar", "")),
    }


def _dates(time: netCDF4.Variable, values: list[float]) -> list[str] | None:
    """Dates of times on the file's clock; None where it has no reference date of that calendar."""
    units, calendar = units_of(time), str(getattr(time, "calendar", "noleap"))
    if not np.all(np.isfinite(values)):
        return None
    try:
        dates: Any = netCDF4.num2date(values, units, calendar.lower().replace("no_leap", "noleap"))
    except (ValueError, OverflowError):
        return None
    return [date.strftime("%Y-%m-%d") for date in np.atleast_1d(dates)]


def _surface(path: Path, dataset: netCDF4.Dataset) -> dict[str, Any]:
    lat, lon = surface_places(path, dataset)
    horizontal = horizontal_dims(path, surface_variable(path, dataset, "LATIXY"))
    land = np.ones(len(lat), dtype=bool)
    for name in ("LANDFRAC_PFT", "PCT_NATVEG"):
        if name in dataset.variables:
            land &= np.asarray(surface_variable(path, dataset, name, horizontal)[:]).reshape(-1) > 0.0
    variable = surface_variable(path, dataset, "PCT_NAT_PFT", ("natpft", *horizontal))
    cover = np.asarray(variable[:]).reshape(variable.shape[0], -1)[:, land]
    mean = cover.mean(axis=1, dtype=np.float64) if np.any(land) else np.zeros(len(cover))
    return {
        "points": len(lat),
        "cells": int(np.count_nonzero(land)),
        "latitude": _summary(lat),
        "longitude": _summary(lon),
        "phosphorus_maps": set(SURFACE_P) <= dataset.variables.keys(),
        "mean_cover_percent": {
            name: float(value) for name, value in zip(PFT_NAMES, mean, strict=False) if value > 0.0
        },
    }


def _domain(path: Path, dataset: netCDF4.Dataset) -> dict[str, Any]:
    mask = np.asarray(get_variable(path, dataset, "mask")[:])
    places = _places(path, dataset, "yc", "xc")
    return places | {"cells": int(np.count_nonzero(mask == 1)), "points": mask.size}


def _parameters(path: Path, dataset: netCDF4.Dataset) -> dict[str, Any]:
    wanted = ("k_s1", "k_s2", "k_s3", "k_s4", "k_frag", "cn_s1", "cn_s2", "cn_s3", "cn_s4", "r_mort")
    variables = {name: get_variable(path, dataset, name) for name in wanted if name in dataset.variables}
    values = {name: float(np.asarray(one[:]).reshape(-1)[0]) for name, one in variables.items()}
    return {"pft_number": dataset["slatop"].size, "values": values}


def _soil_parameters(path: Path, dataset: netCDF4.Dataset) -> dict[str, Any]:
    names = ("smax", "ks_sorption")
    values = (np.asarray(get_variable(path, dataset, name)[:], dtype=np.float64) for name in names)
    fields = [name for name, one in dataset.variables.items() if one.dimensions == ("soilorder",)]
    summaries = dict(zip(names, map(_summary, values), strict=True))
    return {"soil_orders": int(dataset["smax"].size), **summaries, "fields": fields}


def _places(path: Path, dataset: netCDF4.Dataset, *names: str) -> dict[str, Any]:
    places = (get_variable(path, dataset, name) for name in names or ("lat", "lon"))
    lat, lon = (np.asarray(place[:], dtype=np.float64) for place in places)
    return {"cells": lat.size, "latitude": _summary(lat), "longitude": _summary(lon)}


def _monthly_forcing(path: Path, dataset: netCDF4.Dataset) -> dict[str, Any]:
    first, years = (whole_attribute(path, dataset, name) for name in ("first_year", "years"))
    return {
        **_places(path, dataset),
        "forcing_years": f"{first:04d} to {first + years - 1:04d}",
        "distance_km": _summary(np.asarray(dataset["forcing_distance_km"][:], dtype=np.float64)),
        "means": {
            name: {**(_summary_by_rows(dataset[name]) or {}), "units": units_of(dataset[name])}
            for name in FORCING
            if name in dataset.variables
        },
    }


def _predictions(path: Path, dataset: netCDF4.Dataset) -> dict[str, Any]:
    flag = dataset.variables.get("ood_flag")
    return {
        **_places(path, dataset),
        "label_space": str(dataset.label_space),
        "flagged_cells": None if flag is None else int(np.count_nonzero(np.asarray(flag[:]) == 1)),
        "fields": [name for name in dataset.variables if name in VARIABLES],
    }


def _test_predictions(path: Path, dataset: netCDF4.Dataset) -> dict[str, Any]:
    fields = [name.removeprefix("Y_") for name in dataset.variables if name.startswith("Y_")]
    return {**_places(path, dataset), "split": str(getattr(dataset, "split", "")), "fields": fields}


def _fields_of_cells(path: Path, dataset: netCDF4.Dataset) -> dict[str, Any]:
    fields = [name for name, v in dataset.variables.items() if v.dimensions[:1] == ("gridcell",)]
    return {**_places(path, dataset), "fields": fields}


@dataclass(frozen=True)
class _Kind:
    """A kind of file.

    Attributes:
        called: its name for people.
        describe: facts about such a file.
        variables: those that only this kind has; empty where `kind_of` knows it by more.
    """

    called: str
    describe: Callable[[Path, netCDF4.Dataset], dict[str, Any]]
    variables: frozenset[str] = frozenset()


#: Kinds in the order in which they are tried.
_KINDS = {
    "restart": _Kind("restart", _restart, frozenset({"timemgr_rst_curr_ymd", "cols1d_ityp"})),
    "history": _Kind("history", _history),
    "monthly_forcing": _Kind(
        "monthly means of the forcing on land cells", _monthly_forcing, frozenset({"forcing_distance_km"})
    ),
    "test_predictions": _Kind(
        "predicted pools of test cells, with truth and baselines",
        _test_predictions,
        frozenset({"covered", "model"}),
    ),
    "records": _Kind(
        "records of land cells, or their index", _fields_of_cells, frozenset({"complete", "trainable"})
    ),
    "split": _Kind("training, validation and test cells", _fields_of_cells, frozenset({"cell", "part"})),
    "drift": _Kind("drift and end stocks of runs", _fields_of_cells, frozenset({"drift_injected"})),
    "surface": _Kind("surface data", _surface, frozenset({"PCT_NAT_PFT"})),
    "domain": _Kind("domain", _domain, frozenset({"xc", "yc", "mask"})),
    "parameters": _Kind("PFT and decomposition parameters", _parameters, frozenset({"slatop", "k_s1"})),
    "soil_parameters": _Kind("soil order parameters", _soil_parameters, frozenset({"smax", "ks_sorption"})),
    "predictions": _Kind("predicted pools", _predictions),
    "forcing": _Kind("atmospheric forcing", _forcing),
    "unknown": _Kind("no file known here", lambda path, dataset: {}),
}
#: Keys of `inspect` that have other words, or units, in the lines for people.
_LABELS = {
    "landunits_with_weight": "land",
    "soil_columns": "columns of natural vegetation",
    "cells_without_soil_column": "cells without such a column",
    "covered_patches": "patches of natural vegetation that cover ground",
    "latitude": "latitude, degrees",
    "longitude": "longitude, degrees",
    "scalaravg_col_layer_4": "scalaravg_col of layer 4",
    "mean_stocks": "mean of the cells, gC per m2 of land",
    "mean_cover_percent": "mean cover of the natural vegetation, %",
    "cells": "land cells",
    "phosphorus_maps": "maps of mineral P",
    "pft_number": "PFTs",
    "sample_days": "days in a sample",
    "step_hours": "hours between samples",
    "first_sample": "range in the first sample",
    "distance_km": "distance to the forcing point, km",
    "smax": "smax, gP m-3",
    "ks_sorption": "ks_sorption, gP m-3",
    "fields_on": "fields on",
    "fields_hold": "fields hold, along time",
}
_IN_FIRST_LINES = frozenset(
    {"path", "kind", "called", "flavour", "variables", "date", "spinup_state", "decomposition", "fields"}
)
#: Shown in other words, or among the dimensions.
_NOT_SHOWN = frozenset(
    {"attributes", "period_days", "time_units", "topounits", "landunits", "columns", "pfts"}
)


def describe(content: dict[str, Any]) -> list[str]:
    """The lines that a person reads, from what `inspect` returned."""
    lines = [
        f"{content['path']}: {content['called']}, {_FLAVOURS[content['flavour']]}, "
        f"{content['variables']} variables"
    ]
    if "spinup_state" in content:
        cascade = f", {content['decomposition']} cascade" if content["decomposition"] else ""
        lines.append(f"date {content['date']}, {_STATES[content['spinup_state']]}{cascade}")
    for name, value in content.items():
        if name not in _IN_FIRST_LINES | _NOT_SHOWN and value is not None and value != {}:
            label = _LABELS.get(name, name.replace("_", " "))
            lines.append(f"{label}: {_text(value)}{_remark(name, content)}")
    if "fields" in content:
        shown, more = content["fields"][:_SHOWN_FIELDS], len(content["fields"]) - _SHOWN_FIELDS
        further = f" and {more} more (--json names all)" if more > 0 else ""
        lines.append(f"fields ({len(content['fields'])}): {' '.join(shown)}{further}")
    lines += [f"{name} = {' '.join(value.split())[:400]}" for name, value in content["attributes"].items()]
    return lines


def _remark(name: str, content: dict[str, Any]) -> str:
    """A warning that belongs to a number of an AD restart."""
    if content.get("spinup_state") != 1:
        return ""
    if name == "mean_stocks":
        return "; soil3, soil4, CWD and dead wood are in AD space"
    if name == "scalaravg_col_layer_4" and int(content["date"].split("-")[0]) < SCALARAVG_YEARS[1]:
        first, last = SCALARAVG_YEARS
        return f"; unfinished, the mean is over years {first} to {last - 1}"
    return ""


def _text(value: Any) -> str:
    if isinstance(value, dict):
        units = f" {value['units']}" if value.get("units") else ""
        if {"min", "mean", "max"} <= set(value):
            return f"{value['min']:.6g} to {value['max']:.6g}, mean {value['mean']:.6g}{units}"
        if set(value) == {"cells", "percent_of_land"}:
            cells = "1 cell" if value["cells"] == 1 else f"{value['cells']} cells"
            return f"in {cells}, {value['percent_of_land']:.3g} % of all land"
        if set(value) == {"value", "units"}:
            return f"{value['value']:.4g}"
        nested = any(isinstance(item, dict) and len(item) > 1 for item in value.values())
        return ("; " if nested else ", ").join(f"{name} {_text(item)}" for name, item in value.items())
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        return _text(value[0]) if value[0] == value[-1] else " to ".join(_text(item) for item in value)
    return str(value)
