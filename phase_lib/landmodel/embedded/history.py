"""History of the embedded model: h0 (means over a forcing cycle) and h1 (annual means), one file a cycle."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import netCDF4
import numpy as np

from phase_lib.base.provenance import code_version
from phase_lib.elm.calendar import days_since_year_one
from phase_lib.elm.constants import FILL_DOUBLE, FILL_INT
from phase_lib.elm.netcdf import create_dataset
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
#: Fields of the annual tape: what equilibrium is judged by.
ANNUAL_FIELDS = (
    "GPP", "NPP", "AR", "HR", "NBP", "TLAI", "TOTVEGC", "TOTLITC", "TOTSOMC", "CWDC", "TOTECOSYSC",
    "TOTSOMN", "TOTSOMP", "FPG", "FPG_P", "H2OSNO", "TWS",
)  # fmt: skip


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
        layered: layered fields (time, levdecomp, cell), gC, gN or gP m-3.
    """
    domain = inputs.domain
    with create_dataset(path, "NETCDF3_64BIT_DATA") as dataset:
        dataset.createDimension("lat", domain.shape[0])
        dataset.createDimension("lon", domain.shape[1])
        for name, size in (("levgrnd", NLEVGRND), ("levdcmp", NLEVGRND), ("hist_interval", 2)):
            dataset.createDimension(name, size)
        dataset.createDimension("time", None)
        dataset.title = "ELM History file information"
        dataset.source = "embedded land model, reduced-complexity ELM"
        dataset.case_id = case
        dataset.surface_dataset = inputs.surface_path.name
        dataset.version = code_version()
        for name, (units, long_name) in _selected(fields):
            _define(dataset, name, ("time", "lat", "lon"), units, long_name)
        for name in layered:
            element = name.removesuffix("_vr")[-1]
            _define(
                dataset,
                name,
                ("time", "levdcmp", "lat", "lon"),
                f"g{element}/m^3",
                f"{name}, vertically resolved",
            )
        _define_grid(dataset, inputs)
        _write_time(dataset, bounds)
        for name, values in fields.items():
            dataset[name][:] = _on_grid(values, inputs)
        for name, values in layered.items():
            full = np.zeros((len(values), NLEVGRND, domain.ncells))
            full[:, :NLEVDECOMP] = values
            dataset[name][:] = _on_grid(full, inputs)


def _selected(fields: Mapping[str, np.ndarray]) -> list[tuple[str, tuple[str, str]]]:
    return [(name, FIELDS[name]) for name in fields]


def _define(dataset: netCDF4.Dataset, name: str, dims: tuple[str, ...], units: str, long_name: str) -> None:
    variable = dataset.createVariable(name, "f4", dims, fill_value=np.float32(FILL_DOUBLE))
    variable.long_name = long_name
    variable.units = units
    variable.cell_methods = "time: mean"
    variable.missing_value = np.float32(FILL_DOUBLE)


def _on_grid(values: np.ndarray, inputs: RunInputs) -> np.ndarray:
    domain = inputs.domain
    full = np.full((*values.shape[:-1], domain.shape[0] * domain.shape[1]), FILL_DOUBLE, dtype=np.float32)
    full[..., domain.row] = values
    return full.reshape(*values.shape[:-1], *domain.shape)


def _define_grid(dataset: netCDF4.Dataset, inputs: RunInputs) -> None:
    domain = inputs.domain
    nj, ni = domain.shape
    lat, lon = domain.axes
    fill = np.float32(FILL_DOUBLE)
    for name, values, units in (("lat", lat, "degrees_north"), ("lon", lon, "degrees_east")):
        variable = dataset.createVariable(name, "f4", (name,), fill_value=fill)
        variable.units, variable.missing_value = units, fill
        variable[:] = values
    for name, values, units in (("area", inputs.area_km2, "km^2"), ("landfrac", domain.frac, "1")):
        variable = dataset.createVariable(name, "f4", ("lat", "lon"), fill_value=fill)
        variable.units, variable.missing_value = units, fill
        variable[:] = _on_grid(values, inputs)
    mask = np.zeros(nj * ni, dtype=np.int32)
    mask[domain.row] = 1
    for name in ("landmask", "pftmask"):
        variable = dataset.createVariable(name, "i4", ("lat", "lon"), fill_value=np.int32(FILL_INT))
        variable[:] = mask.reshape(nj, ni)
    for name in ("levgrnd", "levdcmp"):
        variable = dataset.createVariable(name, "f4", (name,))
        variable.units = "m"
        variable[:] = ZSOI


def _write_time(dataset: netCDF4.Dataset, bounds: np.ndarray) -> None:
    days = np.array([[days_since_year_one(int(year)) for year in pair] for pair in bounds], dtype=np.float64)
    time = dataset.createVariable("time", "f8", ("time",))
    time.units, time.calendar, time.bounds = "days since 0001-01-01 00:00:00", "noleap", "time_bounds"
    time.long_name = "time"
    edges = dataset.createVariable("time_bounds", "f8", ("time", "hist_interval"))
    edges.long_name = "history time interval endpoints"
    date = dataset.createVariable("mcdate", "i4", ("time",))
    date.long_name = "current date (YYYYMMDD)"
    seconds = dataset.createVariable("mcsec", "i4", ("time",))
    seconds.units = "s"
    time[:], edges[:] = days[:, 1], days
    date[:], seconds[:] = (bounds[:, 1] * 10000 + 101).astype(np.int32), np.zeros(len(bounds), dtype=np.int32)
