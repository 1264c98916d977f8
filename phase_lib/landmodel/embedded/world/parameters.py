"""Parameter files: `clm_params.nc` (PFTs, decomposition) and `CNP_parameters.nc` (soil orders).

The values lie in the tables `pft_parameters`, `scalar_parameters` and `soil_orders`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import netCDF4
import numpy as np
import pandas as pd

from phase_lib.base.provenance import code_version
from phase_lib.elm.constants import NATPFT, PFT_NAMES
from phase_lib.elm.netcdf import add_variable, create_dataset
from phase_lib.elm.parameters import SOIL_ORDERS
from phase_lib.elm.soil_grid import NLEVGRND
from phase_lib.landmodel.embedded.world.geography import read_table

NPFT = 25
STRING_LENGTH = 40
_REPEATED = 15
#: Scalars that ELM's file holds without the dimension `allpfts`.
_WITHOUT_DIMENSION = ("mino2lim",)
_CROP_NAMES = (
    "corn",
    "irrigated_corn",
    "spring_temperate_cereal",
    "irrigated_spring_temperate_cereal",
    "winter_temperate_cereal",
    "irrigated_winter_temperate_cereal",
    "soybean",
    "irrigated_soybean",
)
_SOIL_ORDER_UNITS = (
    dict.fromkeys(("r_weather", "r_adsorp", "r_desorp", "r_occlude"), "1/month")
    | dict.fromkeys(("smax", "ks_sorption"), "gP/m3")
    | dict.fromkeys((f"k_s{number}_biochem" for number in (1, 2, 3, 4)), "1/month")
    | {"r_mort_soilorder": "1/yr"}
)


def _described(table: pd.DataFrame) -> list[tuple[str, str, str]]:
    """Name, units and long name of each row of a parameter table."""
    text = table[["name", "units", "long_name"]].fillna("").astype(str)
    return [(row[0], row[1], row[2]) for row in text.to_numpy()]


def _write_names(
    dataset: netCDF4.Dataset, name: str, dim: str, names: Sequence[str], **attributes: str
) -> None:
    text = np.array([f"{item:<{STRING_LENGTH}}" for item in names], dtype=f"S{STRING_LENGTH}")
    add_variable(dataset, name, "S1", (dim, "string_length"), netCDF4.stringtochar(text), **attributes)


def write_clm_params(path: Path) -> None:
    """Writes the PFT and decomposition parameters in the layout of ELM's `clm_params*.nc`."""
    pfts, scalars = read_table("pft_parameters"), read_table("scalar_parameters")
    values = pfts[[f"pft{number}" for number in range(NATPFT)]].to_numpy(dtype=np.float64)
    values = np.concatenate([values, np.repeat(values[:, [_REPEATED]], NPFT - NATPFT, axis=1)], axis=1)
    with create_dataset(path, "NETCDF3_CLASSIC") as dataset:
        for dim, size in (
            ("allpfts", 1),
            ("pft", NPFT),
            ("soilorder", SOIL_ORDERS),
            ("levgrnd", NLEVGRND),
            ("string_length", STRING_LENGTH),
            ("segment", 4),
        ):
            dataset.createDimension(dim, size)
        text = {"units": "unitless", "long_name": "Description of plant type"}
        _write_names(dataset, "pftname", "pft", [*PFT_NAMES, *_CROP_NAMES], **text)
        text["long_name"] = "Plant Functional Type number"
        add_variable(dataset, "pftnum", "i2", ("pft",), np.arange(NPFT), **text)
        fills = pfts["fill"].to_numpy(dtype=np.float64)
        for (name, units, long_name), row, fill in zip(_described(pfts), values, fills, strict=True):
            text = {"units": units, "long_name": long_name, "coordinates": "pftname"}
            row = np.where(np.isnan(row), fill, row)
            add_variable(dataset, name, "f8", ("pft",), row, None if np.isnan(fill) else float(fill), **text)
        for (name, units, long_name), value in zip(_described(scalars), scalars["value"], strict=True):
            dims = () if name in _WITHOUT_DIMENSION else ("allpfts",)
            add_variable(dataset, name, "f8", dims, value, units=units, long_name=long_name)
        dataset.title = "PFT and decomposition parameters of the embedded land model"
        dataset.note = f"types {NATPFT} to {NPFT - 1} (prognostic crops) repeat type {_REPEATED}"
        dataset.code_version = code_version()


def write_soil_order_parameters(path: Path) -> None:
    """Writes the soil-order parameters in the layout of ELM's `CNP_parameters*.nc`."""
    table = read_table("soil_orders")
    with create_dataset(path, "NETCDF3_CLASSIC") as dataset:
        dataset.createDimension("soilorder", SOIL_ORDERS)
        dataset.createDimension("string_length", STRING_LENGTH)
        _write_names(dataset, "soilordername", "soilorder", list(table["name"]))
        for name, units in _SOIL_ORDER_UNITS.items():
            values = table[name].to_numpy(dtype=np.float64)
            add_variable(dataset, name, "f8", ("soilorder",), values, units=units)
        dataset.title = "Soil-order phosphorus parameters of the embedded land model, plausible, not measured"
        dataset.code_version = code_version()
