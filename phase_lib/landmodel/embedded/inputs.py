"""Reading what a run of the embedded model needs: domain, surface, parameters and forcing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from phase_lib.base.errors import InputError
from phase_lib.elm import domain as land
from phase_lib.elm.constants import FILL_THRESHOLD, NATPFT
from phase_lib.elm.matching import match_cells
from phase_lib.elm.parameters import SOIL_ORDERS, Parameters, read_parameters, read_soil_order_parameters
from phase_lib.elm.soil_grid import NLEVDECOMP
from phase_lib.elm.surface import read_surface
from phase_lib.elm.variables import SURFACE_P
from phase_lib.forcing.pieces import MonthlyForcing, read_monthly_forcing
from phase_lib.forcing.variables import FORCING, PLAUSIBLE
from phase_lib.landmodel.domain import Domain
from phase_lib.landmodel.embedded.site import PFT_PARAMETERS, SiteInputs

_SURFACE = ("PCT_NAT_PFT", "PCT_SAND", "PCT_CLAY", "ORGANIC", "SOIL_ORDER", "AREA", *SURFACE_P)


class _Range(NamedTuple):
    """What a number must lie within, both ends included, and that in words."""

    low: float
    high: float
    words: str


_ANY = _Range(-np.inf, np.inf, "a number")
_FROM_ZERO = _Range(0.0, np.inf, "0 or more")
_POSITIVE = _Range(float(np.nextafter(0.0, 1.0)), np.inf, "more than 0")
_NOT_POSITIVE = _Range(-np.inf, 0.0, "0 or less")
_FRACTION = _Range(0.0, 1.0, "0 to 1")
_PERCENT = _Range(0.0, 100.0, "0 to 100")
#: Where other values come to nonsense. `stem_leaf` is negative where it follows the production.
_PFT_RANGES = (
    dict.fromkeys(PFT_PARAMETERS, _FROM_ZERO)
    | dict.fromkeys(("flivewd", "fcur", "flnr", "c3psn", "rootprof_beta"), _FRACTION)
    | dict.fromkeys(("evergreen", "season_decid", "stress_decid"), _FRACTION)
    | {f"{organ}_{part}": _FRACTION for organ in ("lf", "fr") for part in ("flab", "fcel", "flig")}
    | {"smpso": _NOT_POSITIVE, "smpsc": _NOT_POSITIVE, "stem_leaf": _ANY, "nstor": _POSITIVE}
)
_SCALAR_RANGES = (
    dict.fromkeys(("r_mort", "cwd_fcel", "cwd_flig", "fstor2tran"), _FRACTION)
    | dict.fromkeys(("q10_hr", "q10_mr", "froz_q10", "organic_max"), _POSITIVE)
    | dict.fromkeys(("decomp_depth_efolding", "dayscrecover"), _POSITIVE)
    | dict.fromkeys(("som_diffus", "cryoturb_diffusion_k", "max_altdepth_cryoturbation"), _FROM_ZERO)
    | dict.fromkeys(("k_nitr_max", "br_mr", "lwtop_ann"), _FROM_ZERO)
)
_SURFACE_RANGES = {name: _PERCENT if name.startswith("PCT") else _FROM_ZERO for name in _SURFACE}
_AS_MADE = "use the surface data as it was made"
_OF_SOIL_ORDERS = "give the CNP_parameters file of the run (fsoilordercon)"
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

    domain: land.Domain
    area_km2: np.ndarray
    site: SiteInputs
    forcing: MonthlyForcing
    surface_path: Path


def read_run_inputs(files: Domain) -> RunInputs:
    """Reads and cross-checks the files of a run.

    Args:
        files: of the domain: domain, surface and parameter files, and monthly means of its forcing.

    Raises:
        InputError: files of different grids, PFT weights that do not sum to 100 %, or parameters missing.
    """
    domain_path, surface_path, parameter_path, soil_parameter_path = (
        _require(files, role) for role in ("domain", "surface", "params", "soil_params")
    )
    domain = land.read_domain(domain_path)
    surface = read_surface(surface_path, list(_SURFACE), domain.lat, domain.lon)
    for name, field in surface.items():
        _refuse_outside(surface_path, name, field, _SURFACE_RANGES[name], _AS_MADE)
    cover = surface["PCT_NAT_PFT"].astype(np.float64) / 100.0
    if cover.shape[1] != NATPFT:
        what = f"variable PCT_NAT_PFT has {cover.shape[1]} PFTs"
        raise InputError(surface_path, what, expected=f"{NATPFT}", remedy="use a 17-PFT file")
    total = cover.sum(axis=1)
    if np.any(np.abs(total - 1.0) > 1.0e-6):
        cell = int(np.argmax(np.abs(total - 1.0)))
        what = f"variable PCT_NAT_PFT sums to {100 * total[cell]:.6f} in cell {cell + 1}"
        raise InputError(surface_path, what, expected="100", remedy=_AS_MADE)
    cover = cover / total[:, None]
    parameters = read_parameters(parameter_path)
    _refuse_senseless(parameters)
    orders = read_soil_order_parameters(soil_parameter_path)
    if missing := [name for name in _SOIL_P if name not in orders]:
        what, expected = f"parameter {missing[0]} is missing", f"{missing[0]}(soilorder)"
        raise InputError(soil_parameter_path, what, expected=expected, remedy=_OF_SOIL_ORDERS)
    order = surface["SOIL_ORDER"].astype(np.int64)
    limits = _Range(0, SOIL_ORDERS - 1, f"0 to {SOIL_ORDERS - 1}")
    _refuse_outside(surface_path, "SOIL_ORDER", order, limits, _AS_MADE)
    soil_p = {name: orders[name][order] for name in _SOIL_P}
    for name, by_cell in soil_p.items():
        limits = _POSITIVE if name in ("smax", "ks_sorption") else _FROM_ZERO
        _refuse_outside(soil_parameter_path, name, by_cell, limits, _OF_SOIL_ORDERS)
    forcing = read_monthly_forcing(files.monthly)
    row, _ = match_cells(
        domain.lat, domain.lon, forcing.lat, forcing.lon, file="the monthly forcing", what="forced cells"
    )
    values = {name: array[:, row] for name, array in forcing.values.items()}
    for name, array in values.items():
        low, high = PLAUSIBLE[name]
        limits = _Range(low, high, f"{low:g} to {high:g} {FORCING[name][0]}")
        _refuse_outside(files.monthly[0], name, array.T, limits, "reduce the forcing again")
    site = SiteInputs(
        lat=domain.lat,
        cover=cover,
        sand=surface["PCT_SAND"][:, :NLEVDECOMP],
        clay=surface["PCT_CLAY"][:, :NLEVDECOMP],
        organic=surface["ORGANIC"][:, :NLEVDECOMP],
        soil_order=order,
        surface_p={name: surface[name].astype(np.float64) for name in SURFACE_P},
        soil_p=soil_p,
        parameters=parameters,
    )
    matched = MonthlyForcing(domain.lat, domain.lon, forcing.first_year, forcing.years, values)
    return RunInputs(domain, surface["AREA"].astype(np.float64), site, matched, surface_path)


def _require(files: Domain, role: str) -> Path:
    path: Path | None = getattr(files, role)
    if path is None:
        raise InputError(None, f"no {role} file is given", expected="one: every run reads it")
    return path


def _refuse_senseless(parameters: Parameters) -> None:
    """Refuses parameters with which pools would turn negative or not add up."""
    tables = {name: (parameters.per_pft(name)[1:], limits) for name, limits in _PFT_RANGES.items()}
    tables |= {name: (np.array([parameters.value(name)]), limits) for name, limits in _SCALAR_RANGES.items()}
    for name, (values, limits) in tables.items():
        bad = np.flatnonzero(_outside(values, limits))
        if len(bad):
            of_pft = f" for PFT {bad[0] + 1}" if len(values) > 1 else ""
            what = f"parameter {name} is {values[bad[0]]:g}{of_pft}"
            remedy = "give the clm_params file of the run (paramfile)"
            raise InputError(parameters.path, what, expected=limits.words, remedy=remedy)


def _outside(values: np.ndarray, limits: _Range) -> np.ndarray:
    """True where a value is no number, fill or not within a range."""
    return ~((values >= limits.low) & (values <= limits.high) & (np.abs(values) < FILL_THRESHOLD))


def _refuse_outside(path: str | Path, name: str, values: np.ndarray, limits: _Range, remedy: str) -> None:
    """Refuses values (cell, ...) that are no numbers, fill or not within a range."""
    rows = values.reshape(len(values), -1)
    bad = _outside(rows, limits)
    if np.any(bad):
        cell, place = np.argwhere(bad)[0]
        what = f"variable {name} is {rows[cell, place]:g} in cell {cell + 1}"
        raise InputError(path, what, expected=f"{limits.words} in every land cell", remedy=remedy)
