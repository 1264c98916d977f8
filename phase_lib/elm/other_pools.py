"""Pools of a restart that are not in the registry: isotope twins, and those that no rule here touches.

Carbon pools may have isotope twins. What ELM does with them was read in its source (E3SM, August 2026,
`ColumnDataType.F90`, `VegetationDataType.F90`, `C14DecayMod.F90`): a run with `use_c13` or `use_c14` writes
each carbon pool a second time under a name with 13 or 14 (`soil3c_13_vr`, `deadstemc_14`, `totvegc_13`,
`col_ctrunc_c13_vr`); the pool itself is all carbon, its twin the isotope's share of it. On leaving AD the
layered twins are multiplied exactly as their pool is, and in AD 14C decays faster by the same factor, so the
ratio of a twin to its pool is that of normal mode throughout. Dead wood of 14C is multiplied by
`spinup_mortality_factor` too; that of 13C is left out, which no rule of decomposition or mortality explains
(a comment in the source asks why). Here a twin always keeps its ratio.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from phase_lib.elm.variables import VARIABLES


@dataclass(frozen=True)
class Isotope:
    """An isotope of carbon that twins of the pools hold.

    Attributes:
        name: as people write it.
        mark: its number in the names of twins.
        start: share of the carbon that ELM starts a pool with, C3 plants' for 13C.
        start_c4: the same of C4 plants.
        limits: least and largest share of the carbon that nature has, None where age alone takes it to 0.
    """

    name: str
    mark: str
    start: float
    start_c4: float
    limits: tuple[float, float] | None


def _share_of_13c(delta: float) -> float:
    """13C in all carbon by its delta (per mil), against the standard as ELM has it."""
    ratio = 0.0112372 * (1.0 + delta / 1000.0)
    return ratio / (1.0 + ratio)


_LIMITS_13C = (_share_of_13c(-100.0), _share_of_13c(50.0))
ISOTOPES: tuple[Isotope, ...] = (
    Isotope("13C", "13", _share_of_13c(-28.0), _share_of_13c(-13.0), _LIMITS_13C),
    Isotope("14C", "14", 1.0e-12, 1.0e-12, None),
)


@dataclass(frozen=True)
class Twin:
    """A variable that holds one isotope of a carbon pool, or of a sum of them.

    Attributes:
        name: on file.
        pool: restart name of the pool or sum.
        isotope: which.
    """

    name: str
    pool: str
    isotope: Isotope


def twin_of(pool: str, isotope: Isotope) -> Twin:
    """The twin of a carbon pool under ELM's name: `soil3c_13_vr`, `deadstemc_13`, `col_ctrunc_c13_vr`."""
    mark = f"c{isotope.mark}" if pool.startswith("col_") else isotope.mark
    stem = pool.removesuffix("_vr")
    return Twin(f"{stem}_{mark}{pool.removeprefix(stem)}", pool, isotope)


#: Carbon that has twins, as pools, sums and sinks have, but is not in the registry.
_OTHER_CARBON = ("totcolc", "seedc", "prod1c", "prod10c", "prod100c")


def twins_among(names: Collection[str]) -> dict[str, tuple[Twin, ...]]:
    """Carbon pool or sum -> its twins among the variables of a restart; those without any are left out."""
    carbon = [name for name, entry in VARIABLES.items() if entry.element == "c"]
    possible = {pool: [twin_of(pool, isotope) for isotope in ISOTOPES] for pool in (*carbon, *_OTHER_CARBON)}
    present = {pool: tuple(t for t in twins if t.name in names) for pool, twins in possible.items()}
    return {pool: twins for pool, twins in present.items() if twins}


#: Pools that ELM carries through a change of mode untouched, and so does injection: seed, products, sinks,
#: crops, fertiliser (FAN), sums that it computes again.
_KEPT = re.compile(
    r"""(seed|prod1|prod10|prod100|totcol)[cnp]|totblgc|fan_totn|(col|pft)_[cnp]trunc(_vr)?|plant_p_buffer
    |grain[cnp](_storage|_xfer)?|cropseed[cnp]_deficit|smin(n|_no3|_nh4|_nh4sorb)|smin_nh4sorb_vr
    |(solution|labile|second|occl|prim)p|manure_[aru]_(app|grz)|manure_(n|tan)_stored""",
    re.VERBOSE,
)
#: Names like those of pools: an element at the end, or before a stage; or layers.
_LIKE_A_POOL = re.compile(r"[a-z]\w*?(([a-z0-9][cnp]|pool)(_storage|_xfer|_deficit)?(_?c?1[34])?|\w_vr)")
#: Others that are no pools but have such names: rates, fluxes, sums over a year, heights, indices.
_NO_POOL = re.compile(
    r"""(fpi|fpi_p|som_adv_coef|som_diffus_coef|pot_f_nit|f_nit|\w+_transport)_vr|fp[gi]_p|lfc|htop|fsun
    |(ann|temp)(avg|sum|max)_\w+|cannsum_npp|col_lag_npp|avail\w+|plant_[cnp]alloc|xsmrpool_recover
    |\w+_to_\w+|fert_p|nfertilization|cos(inc|zen)|vcmaxcintsun|rc13_psnsun|huigrain|cvp|xp|(cols|pfts)1d_\w+""",
    re.VERBOSE,
)


@dataclass(frozen=True)
class OtherPools:
    """Variables of a restart that look like pools and are not in the registry.

    Attributes:
        kept: those that ELM carries through a change of mode untouched.
        unknown: those whose rules are not known here.
    """

    kept: tuple[str, ...]
    unknown: tuple[str, ...]


def other_pools(variables: Mapping[str, tuple[str, ...]]) -> OtherPools:
    """Pools of a restart that are not in the registry.

    Args:
        variables: its variables of floating-point numbers -> their dimensions.
    """
    twins = {twin.name for several in twins_among(variables).values() for twin in several}
    known = {name for name, entry in VARIABLES.items() if entry.kind != "sink"} | twins
    places = (("pft",), ("column",), ("column", "levgrnd"))
    others = [name for name, dims in variables.items() if dims in places and name not in known]
    kept = tuple(filter(_KEPT.fullmatch, others))
    like = [name for name in others if name not in kept and _LIKE_A_POOL.fullmatch(name)]
    return OtherPools(kept, tuple(name for name in like if not _NO_POOL.fullmatch(name)))
