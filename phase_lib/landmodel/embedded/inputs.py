"""Reading what a run of the embedded model needs: domain, surface, parameters and forcing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from phase_lib.base.errors import InputError
from phase_lib.elm.constants import FILL_THRESHOLD, NATPFT
from phase_lib.elm.domain import Domain, read_domain
from phase_lib.elm.forcing import MonthlyForcing, read_monthly_forcing
from phase_lib.elm.matching import match_cells
from phase_lib.elm.parameters import SOIL_ORDERS, read_parameters, read_soil_order_parameters
from phase_lib.elm.soil_grid import NLEVDECOMP
from phase_lib.elm.spinup import SURFACE_P
from phase_lib.elm.surface import read_surface
from phase_lib.landmodel.embedded.site import SiteInputs

_SURFACE = ("PCT_NAT_PFT", "PCT_SAND", "PCT_CLAY", "ORGANIC", "SOIL_ORDER", "AREA", *SURFACE_P)
_SOIL_P = ("smax", "ks_sorption", "r_weather", "r_adsorp", "r_desorp", "r_occlude", "r_mort_soilorder")


@dataclass(frozen=True)
class RunInputs:
    """Everything that a run reads besides its restart.

    Attributes:
        domain: land cells.
        area_km2: cell area (cell).
        site: surface data and parameters.
        forcing: monthly forcing, matched to the cells.
        surface_path: surface file, named in restarts as ELM does.
    """

    domain: Domain
    area_km2: np.ndarray
    site: SiteInputs
    forcing: MonthlyForcing
    surface_path: Path


def read_run_inputs(
    domain_path: Path,
    surface_path: Path,
    parameter_path: Path,
    soil_parameter_path: Path,
    forcing_paths: Path | Sequence[Path],
) -> RunInputs:
    """Reads and cross-checks the files of a run.

    Args:
        domain_path: land cells.
        surface_path: surface data.
        parameter_path: PFT and decomposition parameters.
        soil_parameter_path: soil-order parameters.
        forcing_paths: monthly means, in one piece or several.

    Raises:
        InputError: files of different grids, PFT weights that do not sum to 100 %, or parameters missing.
    """
    domain = read_domain(domain_path)
    surface = read_surface(surface_path, list(_SURFACE), domain.lat, domain.lon)
    for name, field in surface.items():
        _refuse_no_numbers(surface_path, name, field)
    cover = surface["PCT_NAT_PFT"].astype(np.float64) / 100.0
    if cover.shape[1] != NATPFT:
        raise InputError(
            surface_path,
            f"variable PCT_NAT_PFT has {cover.shape[1]} PFTs",
            expected=f"{NATPFT}",
            remedy="use a 17-PFT file",
        )
    total = cover.sum(axis=1)
    if np.any(np.abs(total - 1.0) > 1.0e-6):
        cell = int(np.argmax(np.abs(total - 1.0)))
        raise InputError(
            surface_path,
            f"variable PCT_NAT_PFT sums to {100 * total[cell]:.6f} in cell {cell + 1}",
            expected="100",
            remedy="use the surface data as it was made",
        )
    cover = cover / total[:, None]
    parameters = read_parameters(parameter_path)
    orders = read_soil_order_parameters(soil_parameter_path)
    missing = [name for name in _SOIL_P if name not in orders]
    if missing:
        raise InputError(
            soil_parameter_path,
            f"parameter {missing[0]} is missing",
            expected=f"{missing[0]}(soilorder)",
            remedy="give the CNP_parameters file of the run (fsoilordercon)",
        )
    order = surface["SOIL_ORDER"].astype(np.int64)
    strange = (order < 0) | (order >= SOIL_ORDERS)
    if np.any(strange):
        raise InputError(
            surface_path,
            f"variable SOIL_ORDER is {order[np.argmax(strange)]} in cell {int(np.argmax(strange)) + 1}",
            expected=f"0 to {SOIL_ORDERS - 1}",
            remedy="use the surface data as it was made",
        )
    forcing = read_monthly_forcing(forcing_paths)
    row, _ = match_cells(
        domain.lat, domain.lon, forcing.lat, forcing.lon, file="the monthly forcing", what="forced cells"
    )
    values = {name: array[:, row] for name, array in forcing.values.items()}
    site = SiteInputs(
        lat=domain.lat,
        cover=cover,
        sand=surface["PCT_SAND"][:, :NLEVDECOMP],
        clay=surface["PCT_CLAY"][:, :NLEVDECOMP],
        organic=surface["ORGANIC"][:, :NLEVDECOMP],
        soil_order=order,
        surface_p={name: surface[name].astype(np.float64) for name in SURFACE_P},
        soil_p={name: orders[name][order] for name in _SOIL_P},
        parameters=parameters,
    )
    matched = MonthlyForcing(domain.lat, domain.lon, forcing.first_year, forcing.years, values)
    return RunInputs(domain, surface["AREA"].astype(np.float64), site, matched, surface_path)


def _refuse_no_numbers(path: Path, name: str, values: np.ndarray) -> None:
    bad = ~(np.abs(values.reshape(len(values), -1)) < FILL_THRESHOLD)
    if np.any(bad):
        cell = int(np.argwhere(bad)[0][0])
        raise InputError(
            path,
            f"variable {name} is fill or no number in cell {cell + 1}",
            expected="a number in every land cell",
            remedy="use the surface data as it was made",
        )
