"""History of the embedded model: h0 (means over a forcing cycle) and h1 (annual means), one file a cycle."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import netCDF4
import numpy as np

from phase_lib.base.provenance import code_version
from phase_lib.elm.calendar import days_since_year_one
from phase_lib.elm.constants import FILL_DOUBLE, FILL_INT
from phase_lib.elm.netcdf import add_variable, create_dataset
from phase_lib.elm.soil_budget import SOIL_FLUXES
from phase_lib.elm.soil_grid import NLEVDECOMP, NLEVGRND, ZSOI
from phase_lib.landmodel.embedded.inputs import RunInputs

#: Column fields: name -> (units, long name).
FIELDS: dict[str, tuple[str, str]] = {
    "GPP": ("gC/m^2/s", "gross primary production"),
    "NPP": ("gC/m^2/s", "net primary production"),
    "AR": ("gC/m^2/s", "autotrophic respiration (MR + GR + XR)"),
    "MR": ("gC/m^2/s", "maintenance respiration"),
    "GR": ("gC/m^2/s", "growth respiration"),
    "XR": ("gC/m^2/s", "respiration of excess carbon"),
    "HR": ("gC/m^2/s", "heterotrophic respiration"),
    "NEP": ("gC/m^2/s", "net ecosystem production, positive for a sink"),
    "NBP": ("gC/m^2/s", "net biome production, positive for a sink"),
    "LITFALL": ("gC/m^2/s", "litterfall of all plant tissue"),
    "NDEP_TO_SMINN": ("gN/m^2/s", "N deposition"),
    "NFIX_TO_SMINN": ("gN/m^2/s", "N fixation"),
    "DENIT": ("gN/m^2/s", "denitrification"),
    "SMIN_NO3_LEACHED": ("gN/m^2/s", "nitrate leached"),
    "SUPPLEMENT_TO_SMINN": ("gN/m^2/s", "supplemental N"),
    "PDEP_TO_SMINP": ("gP/m^2/s", "P deposition"),
    "SMINP_LEACHED": ("gP/m^2/s", "P leached"),
    "SUPPLEMENT_TO_SMINP": ("gP/m^2/s", "supplemental P"),
    "FPG": ("proportion", "share of plant N demand met"),
    "FPG_P": ("proportion", "share of plant P demand met, of what N allows"),
    "FPI": ("proportion", "share of potential N immobilisation met"),
    "FPI_P": ("proportion", "share of potential P immobilisation met, of what N allows"),
    "TLAI": ("1", "total leaf area index"),
    "TOTVEGC": ("gC/m^2", "vegetation C, cpool included"),
    "TOTVEGN": ("gN/m^2", "vegetation N"),
    "TOTVEGP": ("gP/m^2", "vegetation P"),
    "TOTLITC": ("gC/m^2", "litter C"),
    "TOTLITN": ("gN/m^2", "litter N"),
    "TOTLITP": ("gP/m^2", "litter P"),
    "TOTSOMC": ("gC/m^2", "soil organic matter C"),
    "TOTSOMN": ("gN/m^2", "soil organic matter N"),
    "TOTSOMP": ("gP/m^2", "soil organic matter P"),
    "CWDC": ("gC/m^2", "coarse woody debris C"),
    "TOTECOSYSC": ("gC/m^2", "ecosystem C"),
    "SMINN": ("gN/m^2", "mineral N"),
    "SMINP": ("gP/m^2", "mineral P in solution, labile and secondary"),
    "TBOT": ("K", "air temperature"),
    "RAIN": ("mm/s", "rain"),
    "SNOW": ("mm/s", "snow"),
    "H2OSNO": ("mm", "snow water"),
    "TWS": ("mm", "soil water of the root zone and snow"),
}
_FILL = np.float32(FILL_DOUBLE)


def write_history(
    path: Path,
    inputs: RunInputs,
    case: str,
    bounds: np.ndarray,
    fields: Mapping[str, np.ndarray],
    layered: Mapping[str, np.ndarray],
) -> None:
    """Writes one history file on the domain's grid, ELM's layout, CDF-5.

    Args:
        path: file to write.
        inputs: cells of the run.
        case: case name.
        bounds: model years at which each sample begins and ends (time, 2).
        fields: column fields (time, cell) in the units of `FIELDS`.
        layered: layered fields (time, levdecomp, cell), gC, gN or gP m-3, or gC m-3 s-1.
    """
    plane = ("lat", "lon")
    described: dict[str, tuple[tuple[str, ...], str, str]]
    described = {name: (("time", *plane), *FIELDS[name]) for name in fields}
    for name in layered:
        units = "gC/m^3/s" if name in SOIL_FLUXES else f"g{name.removesuffix('_vr')[-1]}/m^3"
        described[name] = (("time", "levdcmp", *plane), units, f"{name}, vertically resolved")
    with create_dataset(path, "NETCDF3_64BIT_DATA") as dataset:
        sizes = dict(zip(("lat", "lon"), inputs.domain.shape, strict=True))
        sizes |= {"levgrnd": NLEVGRND, "levdcmp": NLEVGRND, "hist_interval": 2}
        for name, size in (sizes | {"time": None}).items():
            dataset.createDimension(name, size)
        dataset.title = "ELM History file information"
        dataset.source = "embedded land model, reduced-complexity ELM"
        dataset.case_id = case
        dataset.surface_dataset = inputs.surface_path.name
        dataset.version = code_version()
        for name, (dims, units, long_name) in described.items():
            text = {"long_name": long_name, "units": units, "cell_methods": "time: mean"}
            add_variable(dataset, name, "f4", dims, fill=_FILL, **text, missing_value=_FILL)
        _write_grid(dataset, inputs)
        _write_time(dataset, bounds)
        for name, values in fields.items():
            dataset[name][:] = _on_grid(values, inputs)
        for name, values in layered.items():
            full = np.zeros((len(values), NLEVGRND, inputs.domain.ncells))
            full[:, :NLEVDECOMP] = values
            dataset[name][:] = _on_grid(full, inputs)


def _on_grid(values: np.ndarray, inputs: RunInputs, fill: float = FILL_DOUBLE) -> np.ndarray:
    """Values (..., cell) on the grid (..., lat, lon), float32, with fill where there is no land."""
    nj, ni = inputs.domain.shape
    full = np.full((*values.shape[:-1], nj * ni), fill, dtype=np.float32)
    full[..., inputs.domain.row] = values
    return full.reshape(*values.shape[:-1], nj, ni)


def _write_grid(dataset: netCDF4.Dataset, inputs: RunInputs) -> None:
    domain, plane = inputs.domain, ("lat", "lon")
    lat, lon = domain.axes
    area, landfrac = (_on_grid(values, inputs) for values in (inputs.area_km2, domain.frac))
    for name, dims, values, units in (
        ("lat", ("lat",), lat, "degrees_north"),
        ("lon", ("lon",), lon, "degrees_east"),
        ("area", plane, area, "km^2"),
        ("landfrac", plane, landfrac, "1"),
    ):
        add_variable(dataset, name, "f4", dims, values, _FILL, units=units, missing_value=_FILL)
    mask = _on_grid(np.ones(domain.ncells), inputs, fill=0.0)
    for name in ("landmask", "pftmask"):
        add_variable(dataset, name, "i4", plane, mask, np.int32(FILL_INT))
    for name in ("levgrnd", "levdcmp"):
        add_variable(dataset, name, "f4", (name,), ZSOI, units="m")


def _write_time(dataset: netCDF4.Dataset, bounds: np.ndarray) -> None:
    days = np.array([[days_since_year_one(int(year)) for year in pair] for pair in bounds], dtype=np.float64)
    dates = bounds[:, 1] * 10000 + 101
    clock = {"units": "days since 0001-01-01 00:00:00", "calendar": "noleap", "bounds": "time_bounds"}
    edges = ("time", "hist_interval")
    add_variable(dataset, "time", "f8", ("time",), days[:, 1], **clock, long_name="time")
    add_variable(dataset, "time_bounds", "f8", edges, days, long_name="history time interval endpoints")
    add_variable(dataset, "mcdate", "i4", ("time",), dates, long_name="current date (YYYYMMDD)")
    add_variable(dataset, "mcsec", "i4", ("time",), np.zeros(len(bounds)), units="s")
