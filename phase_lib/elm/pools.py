"""The registry of ELM's carbon, nitrogen and phosphorus pools: the one place that names them.

Every stage asks here for names, units, levels, stoichiometry and acceleration. Sources: ELM restart
files (names, dimensions), the CTC cascade and the rules of the relative-demand (RD) scheme.
"""

from __future__ import annotations

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
