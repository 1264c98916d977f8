"""The registry of ELM's carbon, nitrogen and phosphorus pools: the one place that names them.

Every stage asks here for names, units, levels, stoichiometry and acceleration. Sources: ELM restart
files (names, dimensions), the CTC cascade and the rules of the relative-demand (RD) scheme.

Carbon pools may have isotope twins. What ELM does with them was read in its source (E3SM, August 2026,
`ColumnDataType.F90`, `VegetationDataType.F90`, `C14DecayMod.F90`): a run with `use_c13` or `use_c14` writes
each carbon pool a second time under a name with 13 or 14 (`soil3c_13_vr`, `deadstemc_14`, `totvegc_13`,
`col_ctrunc_c13_vr`); the pool itself is all carbon, its twin the isotope's part of it. On leaving AD the
layered twins are multiplied exactly as their pool is, and in AD 14C decays faster by the same factor, so the
ratio of a twin to its pool is that of normal mode throughout. Dead wood of 14C is multiplied by
`spinup_mortality_factor` too; that of 13C is left out, which no rule of decomposition or mortality explains
(a comment in the source asks why). Here a twin always keeps its ratio.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

Element = Literal["c", "n", "p"]
Level = Literal["patch", "layer"]

ELEMENTS: tuple[Element, ...] = ("c", "n", "p")
STAGES = ("", "_storage", "_xfer")

#: Plant organs and the parameters (per PFT) that hold their C:N and C:P.
ORGANS: dict[str, tuple[str, str]] = {
    "leaf": ("leafcn", "leafcp"),
    "froot": ("frootcn", "frootcp"),
    "livestem": ("livewdcn", "livewdcp"),
    "deadstem": ("deadwdcn", "deadwdcp"),
    "livecroot": ("livewdcn", "livewdcp"),
    "deadcroot": ("deadwdcn", "deadwdcp"),
}
WOODY_ORGANS = ("livestem", "deadstem", "livecroot", "deadcroot")
DEAD_WOOD = ("deadstem", "deadcroot")


@dataclass(frozen=True)
class SoilPool:
    """A pool of the CTC cascade.

    Attributes:
        name: stem of the variable names, for example `soil3` in `soil3c_vr`.
        rate: parameter that holds the rate at reference conditions, 1/day.
        cn: parameter that holds its fixed C:N, or None where it floats.
        np_ratio: parameter that holds its fixed N:P, or None where it floats.
        start_cn: C:N of a cold start, gC/gN.
        start_cp: C:P of a cold start, gC/gP.
    """

    name: str
    rate: str
    cn: str | None
    np_ratio: str | None
    start_cn: float
    start_cp: float

    def variable(self, element: Element) -> str:
        """Restart name of one element, for example `soil3n_vr`."""
        return f"{self.name}{element}_vr"


#: In ELM's order.
SOIL_POOLS: tuple[SoilPool, ...] = (
    SoilPool("litr1", "k_l1", None, None, 90.0, 900.0),
    SoilPool("litr2", "k_l2", None, None, 90.0, 900.0),
    SoilPool("litr3", "k_l3", None, None, 90.0, 900.0),
    SoilPool("cwd", "k_frag", None, None, 500.0, 5000.0),
    SoilPool("soil1", "k_s1", "cn_s1", "np_s1_new", 12.0, 360.0),
    SoilPool("soil2", "k_s2", "cn_s2", "np_s2_new", 12.0, 360.0),
    SoilPool("soil3", "k_s3", "cn_s3", "np_s3_new", 10.0, 500.0),
    SoilPool("soil4", "k_s4", "cn_s4", "np_s4_new", 10.0, 500.0),
)
SOIL_POOL_INDEX: dict[str, int] = {pool.name: i for i, pool in enumerate(SOIL_POOLS)}
LITTER = ("litr1", "litr2", "litr3")
SOM = ("soil1", "soil2", "soil3", "soil4")

MINERAL_N = ("smin_no3", "smin_nh4")
MINERAL_P = ("solutionp", "labilep", "secondp", "occlp", "primp")

#: Patch pools without organ: name -> element.
PLANT_SINGLE: dict[str, Element] = {
    "cpool": "c",
    "gresp_storage": "c",
    "gresp_xfer": "c",
    "xsmrpool": "c",
    "npool": "n",
    "retransn": "n",
    "ppool": "p",
    "retransp": "p",
}
TRUNCATION_PATCH = ("pft_ctrunc", "pft_ntrunc", "pft_ptrunc")
TRUNCATION_LAYER = ("col_ctrunc_vr", "col_ntrunc_vr", "col_ptrunc_vr")

#: Pools that may be negative by design.
MAY_BE_NEGATIVE = frozenset({"xsmrpool", *TRUNCATION_PATCH, *TRUNCATION_LAYER})

#: Larger values (g m-2 or g m-3) are damage: no place holds as much, and ELM's balance check, 1e-7 g m-2 in a
#: step, is at the edge of double precision there.
POOL_LIMIT = 1.0e7
#: The same of leaf area, m2 m-2; grasses in AD have been seen with 18.
LEAF_AREA_LIMIT = 100.0

UNITS: dict[tuple[Level, Element], str] = {
    ("patch", "c"): "gC/m^2",
    ("patch", "n"): "gN/m^2",
    ("patch", "p"): "gP/m^2",
    ("layer", "c"): "gC/m^3",
    ("layer", "n"): "gN/m^3",
    ("layer", "p"): "gP/m^3",
}


@dataclass(frozen=True)
class PoolVariable:
    """One variable of a restart that holds C, N or P.

    Attributes:
        name: variable name on file.
        level: `patch` (per m2 of patch area) or `layer` (per m3 of soil).
        element: `c`, `n` or `p`.
        organ: plant organ, where it has one.
        soil_pool: stem of the cascade pool, where it has one.
        in_ad_space: True where accelerated decomposition keeps it compressed: soil3, soil4, cwd, and
            displayed dead wood.
    """

    name: str
    level: Level
    element: Element
    organ: str | None = None
    soil_pool: str | None = None
    in_ad_space: bool = False

    @property
    def units(self) -> str:
        """Units of the values on file (the attribute is absent on real files)."""
        return UNITS[self.level, self.element]

    @property
    def dims(self) -> tuple[str, ...]:
        """Dimensions on file."""
        return ("pft",) if self.level == "patch" else ("column", "levgrnd")


def _registry() -> dict[str, PoolVariable]:
    entries: list[PoolVariable] = []
    for organ in ORGANS:
        for element in ELEMENTS:
            for stage in STAGES:
                accelerated = organ in DEAD_WOOD and stage == ""
                entries.append(
                    PoolVariable(f"{organ}{element}{stage}", "patch", element, organ, in_ad_space=accelerated)
                )
    entries += [PoolVariable(name, "patch", element) for name, element in PLANT_SINGLE.items()]
    for pool in SOIL_POOLS:
        accelerated = pool.name in ("cwd", "soil3", "soil4")
        entries += [
            PoolVariable(
                pool.variable(element), "layer", element, soil_pool=pool.name, in_ad_space=accelerated
            )
            for element in ELEMENTS
        ]
    entries += [PoolVariable(f"{name}_vr", "layer", "n") for name in (*MINERAL_N, "sminn")]
    entries += [PoolVariable(f"{name}_vr", "layer", "p") for name in MINERAL_P]
    return {entry.name: entry for entry in entries}


#: All pool variables by restart name.
POOL_VARIABLES: dict[str, PoolVariable] = _registry()

#: Column totals of a restart -> the layered pools that they sum over depth.
COLUMN_TOTALS: dict[str, tuple[str, ...]] = {
    **{f"totlit{e}": tuple(f"{pool}{e}_vr" for pool in LITTER) for e in ELEMENTS},
    **{f"totsom{e}": tuple(f"{pool}{e}_vr" for pool in SOM) for e in ELEMENTS},
    **{f"cwd{e}": (f"cwd{e}_vr",) for e in ELEMENTS},
}
#: Patch pools in `totvegc`; `xsmrpool`, a debt, is not.
TOTVEGC_POOLS: tuple[str, ...] = (
    *(f"{organ}c{stage}" for organ in ORGANS for stage in STAGES),
    "cpool",
    "gresp_storage",
    "gresp_xfer",
)

#: The paper's six headline targets under their report names -> restart names.
HEADLINE: dict[str, str] = {
    "deadcrootc": "deadcrootc",
    "deadstemc": "deadstemc",
    "tlai": "tlai",
    "soil3c": "soil3c_vr",
    "soil4c": "soil4c_vr",
    "cwdc": "cwdc_vr",
}


@dataclass(frozen=True)
class Isotope:
    """An isotope of carbon that twins of the pools hold.

    Attributes:
        name: as people write it.
        mark: what its twins have in their names.
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


ISOTOPES: tuple[Isotope, ...] = (
    Isotope(
        "13C", "13", _share_of_13c(-28.0), _share_of_13c(-13.0), (_share_of_13c(-100.0), _share_of_13c(50.0))
    ),
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


#: Sums, products, seed and sinks of carbon, which have twins as the pools have.
_OTHER_CARBON = (
    *(name for name in COLUMN_TOTALS if name.endswith("c")),
    *("totvegc", "totcolc", "seedc", "prod1c", "prod10c", "prod100c"),
    *(TRUNCATION_PATCH[0], TRUNCATION_LAYER[0]),
)


def twins_among(held: Collection[str]) -> dict[str, tuple[Twin, ...]]:
    """Carbon pool or sum -> its twins among the variables of a restart; those without any are left out."""
    carbon = [name for name, entry in POOL_VARIABLES.items() if entry.element == "c"]
    found = {}
    for pool in (*carbon, *_OTHER_CARBON):
        twins = tuple(twin for twin in (twin_of(pool, isotope) for isotope in ISOTOPES) if twin.name in held)
        if twins:
            found[pool] = twins
    return found


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
#: What ELM names so and is none: rates, fluxes, sums over a year, heights, indices.
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


def other_pools(held: Mapping[str, tuple[str, ...]]) -> OtherPools:
    """What a restart holds beside the registry.

    Args:
        held: its variables of floating-point numbers -> their dimensions.
    """
    twins = {twin.name for several in twins_among(held).values() for twin in several}
    known = {*POOL_VARIABLES, *COLUMN_TOTALS, "totvegc", *twins}
    places = (("pft",), ("column",), ("column", "levgrnd"))
    like = [name for name, dims in held.items() if dims in places and name not in known]
    kept = [name for name in like if _KEPT.fullmatch(name)]
    unknown = [
        name
        for name in like
        if name not in kept and _LIKE_A_POOL.fullmatch(name) and not _NO_POOL.fullmatch(name)
    ]
    return OtherPools(tuple(kept), tuple(unknown))
