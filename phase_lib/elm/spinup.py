"""The meaning of `spinup_state`: how ELM takes pools into and out of accelerated decomposition (AD).

While AD is on, the rates of soil3, soil4 and CWD are multiplied by F and, from model year 40 on,
divided by `scalaravg_col`; dead wood dies faster by `spinup_mortality_factor`. ELM undoes this when a
restart flagged 1 starts a run in normal mode. The functions here are that rule, for one array at a time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from phase_lib.elm.constants import FILL_THRESHOLD
from phase_lib.elm.parameters import Parameters
from phase_lib.elm.variables import SOIL_POOL_INDEX, SOIL_POOLS, SURFACE_P

#: ELM averages the environmental scalar over these model years, first and one past the last.
SCALARAVG_YEARS = (20, 40)
#: Layer (0-based) whose scalar is averaged.
SCALARAVG_LAYER = 3
#: Below this ELM sets the averaged scalar to 1, for a column.
SCALARAVG_SWITCH = 1.0e-3
#: ELM's maps of mineral P hold stocks of the top half metre.
MINERAL_P_DEPTH_M = 0.5

#: Soil3 (gC m-2) from which soil4 : soil3 of an AD file can be judged: a cold start has 38 gC m-2 of soil4.
SOIL3_JUDGED = 100.0


@dataclass(frozen=True)
class SlowRatio:
    """Soil4 : soil3 of an equilibrium, which distinguishes AD from normal mode.

    Attributes:
        normal: in normal mode.
        ad: in AD, which multiplies it by F3 / F4.
    """

    normal: float
    ad: float

    @property
    def between(self) -> float:
        """The ratio half way between AD and normal mode, on a logarithmic scale."""
        return math.sqrt(self.normal * self.ad)


def slow_ratio(parameters: Parameters) -> SlowRatio:
    """Soil4 : soil3 that the rates of a parameter file lead to."""
    f3, f4 = (parameters.ad_factor(SOIL_POOLS[SOIL_POOL_INDEX[name]]) for name in ("soil3", "soil4"))
    normal = (1.0 - parameters.value("rf_s3s4")) * parameters.value("k_s3") / parameters.value("k_s4")
    return SlowRatio(normal, normal * f3 / f4)


def exit_multiplier(factor: float, scalaravg: np.ndarray) -> np.ndarray:
    """Multiplier of a cascade pool on leaving AD, in ELM: F / scalaravg where F > 1, ones otherwise.

    Args:
        factor: F of the pool.
        scalaravg: `scalaravg_col` of the restart, any shape.
    """
    return np.ones_like(scalaravg) if factor <= 1.0 else factor / scalaravg


def rates_were_divided(model_year: int) -> bool:
    """Whether rates were divided by the averaged scalar before the start of `model_year`.

    ELM divides in each step whose date has `year >= 40`, so not yet before 0040-01-01.
    """
    return model_year > SCALARAVG_YEARS[1]


def ad_run(start_year: int | None, year: int) -> str:
    """When an AD run began, and the use of its `scalaravg_col`, in words.

    ELM follows the model's clock: it sets the scalar to 0 in years before 20, sums it up in the years 20 to
    39 and divides rates by it from year 40 on. A run that began later has the mean of fewer years, or the
    value of its `finidat`, 1 where that was nearly 0. A cold start after year 19 leaves it fill; rates that
    are divided by fill are nearly 0, and nothing undoes that.

    Args:
        start_year: in which it began, by `timemgr_rst_start_ymd`; None where it is missing.
        year: of its restart's date.
    """
    first, last = SCALARAVG_YEARS
    began = "AD run of unknown beginning" if start_year is None else f"AD run begun in {start_year:04d}"
    if not rates_were_divided(year):
        return (
            f"{began}: rates were not divided by scalaravg_col before {last:04d}, F alone takes soil3, soil4 "
            "and CWD to normal mode, whatever scalaravg_col holds"
        )
    start = first if start_year is None else start_year
    if start >= last:
        what = f"no mean of the run, which began after {last - 1:04d}"
    elif start > first:
        what = f"a mean of {start:04d} to {last - 1:04d} alone, unless the run went on with an earlier one"
    else:
        what = f"the mean of {first:04d} to {last - 1:04d}"
    since = max(start, last)
    return (
        f"{began}: scalaravg_col is {what}; rates were divided by it from {since:04d} on, F / scalaravg_col "
        "takes soil3, soil4 and CWD to normal mode"
    )


def design_multipliers(
    parameters: Parameters, model_year: int, scalaravg: np.ndarray
) -> dict[str, np.ndarray]:
    """The physically right multipliers AD -> normal for each cascade pool.

    Up to the start of model year 40 the rates were never divided by the averaged scalar, so F alone
    converts, whatever `scalaravg_col` holds; later it is F / scalaravg (the pools, sped up to a turnover of
    a year or two, follow within a few years). In a column whose scalar is nearly 0 or fill, ELM's rates
    use 1, and so does the way back.

    Args:
        parameters: parameter file of the run.
        model_year: year of the restart's date.
        scalaravg: `scalaravg_col` of the soil columns (gridcell, levdecomp).

    Returns:
        Pool stem -> multiplier (gridcell, levdecomp).
    """
    divisor = np.ones_like(scalaravg)
    if rates_were_divided(model_year):
        nearly_0 = scalaravg[:, [SCALARAVG_LAYER]] < SCALARAVG_SWITCH
        divisor = np.where(nearly_0 | (scalaravg >= FILL_THRESHOLD), 1.0, scalaravg)
    return {pool: exit_multiplier(factor, divisor) for pool, factor in parameters.ad_factors().items()}


def solution_p(labile: np.ndarray, smax: np.ndarray, ks: np.ndarray) -> np.ndarray:
    """Solution P in Langmuir equilibrium with labile P, as ELM initialises it (gP m-3).

    Negative where smax < labile: ELM accepts that, an injector must not.
    """
    return labile * ks / (smax - labile)


def mineral_p(
    surface: dict[str, np.ndarray], soil_order: np.ndarray, soil_orders: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Mineral P that ELM sets on leaving AD, the same in all active layers.

    Args:
        surface: `LABILE_P, SECONDARY_P, OCCLUDED_P, APATITE_P` (gridcell), gP m-2 of the top 0.5 m.
        soil_order: `SOIL_ORDER` (gridcell).
        soil_orders: `smax`, `ks_sorption` by soil order, gP m-3.

    Returns:
        Pool stem (`labilep`, ..., `solutionp`) -> gP m-3 (gridcell).
    """
    pools = {pool: np.asarray(surface[name]) / MINERAL_P_DEPTH_M for name, pool in SURFACE_P.items()}
    smax, ks = (soil_orders[name][soil_order.astype(np.int64)] for name in ("smax", "ks_sorption"))
    return {**pools, "solutionp": solution_p(pools["labilep"], smax, ks)}


def lift_ppool(ppool: np.ndarray, leafp: np.ndarray, leafp_storage: np.ndarray) -> np.ndarray:
    """`ppool` after ELM's rule on leaving AD: at least leafp, else at least leafp_storage (gP m-2)."""
    return np.where(ppool < leafp, leafp, np.where(ppool < leafp_storage, leafp_storage, ppool))
