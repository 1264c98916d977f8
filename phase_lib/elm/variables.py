"""The registry of the restart variables that this software knows.

All stages take names, units, levels, ranges, stoichiometry and acceleration from here, and the use of a
variable: whether the surrogate reads it, may predict it, and how it comes into an injected restart.
Sources: ELM restart files (names, dimensions), the CTC cascade and the rules of the relative-demand (RD)
scheme.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

from phase_lib.elm.units import LEAF_AREA

Element = Literal["c", "n", "p"]
Level = Literal["patch", "layer", "column"]
Kind = Literal["pool", "debt", "mineral", "sink", "total", "canopy", "diagnostic"]
#: By its predicted value; from other pools, as N from C; from maps of the surface file, unless a value is
#: predicted; not at all.
Injection = Literal["directly", "follows", "maps", "never"]
#: Process that AD speeds up, so that the pool is smaller: its decomposition, or mortality.
Acceleration = Literal["decomposition", "mortality"]
Range = tuple[float, float]

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
#: The cascade: donors and receivers, in an order in which no pool feeds an earlier one.
TRANSITIONS = (
    ("cwd", "litr2"), ("cwd", "litr3"), ("litr1", "soil1"), ("litr2", "soil2"), ("litr3", "soil3"),
    ("soil1", "soil2"), ("soil2", "soil3"), ("soil3", "soil4"),
)  # fmt: skip

MINERAL_N = ("smin_no3", "smin_nh4")
#: Mineral P -> map of the surface file that ELM sets it from on leaving AD; solution P follows from labile P.
_MINERAL_P = {
    "solutionp": None,
    "labilep": "LABILE_P",
    "secondp": "SECONDARY_P",
    "occlp": "OCCLUDED_P",
    "primp": "APATITE_P",
}
MINERAL_P = tuple(_MINERAL_P)
#: Variables of the surface file -> mineral P pools of the restart.
SURFACE_P = {field: stem for stem, field in _MINERAL_P.items() if field is not None}

#: Larger values (g m-2 or g m-3) are damage: no place holds as much, and ELM's balance check, 1e-7 g m-2 in a
#: step, is at the edge of double precision there.
POOL_LIMIT = 1.0e7
#: The same of leaf area, m2 m-2; grasses in AD have been seen with 18.
LEAF_AREA_LIMIT = 100.0
#: And of height, m: three times the tallest tree, as ELM computes it in AD from ten times the wood.
HEIGHT_LIMIT = 300.0

#: Where asinh turns from linear to logarithmic for the network, g m-2 or g m-3.
_FLOOR: dict[Element, float] = {"c": 1.0e-1, "n": 1.0e-3, "p": 1.0e-4}
#: The ratio of a smaller stock to another means nothing, g m-2 or g m-3.
_RATIO_FLOOR: dict[Element, float] = {"c": 1.0, "n": 1.0e-2, "p": 1.0e-3}


@dataclass(frozen=True, kw_only=True)
class Variable:
    """One variable of a restart.

    Attributes:
        name: on file.
        level: `patch` (per m2 of patch area), `layer` (per m3 of soil) or `column`.
        kind: `pool`; `debt`, a pool that is negative; `mineral` N or P; `sink`, what ELM truncates; `total`,
            a sum of pools; `canopy`; `diagnostic`.
        units: of the values (the attribute is absent on real files).
        plausible: least and largest value that is not damage; round-off below 0 apart.
        element: `c`, `n` or `p`, where it holds one.
        organ: plant organ, where it has one.
        stage: of a plant pool: empty for displayed, `_storage` or `_xfer`.
        soil_pool: stem of the cascade pool, where it has one.
        total: the total that the pool is summed in, for example `totvegc`.
        accelerated: process that AD speeds up, so that its values are smaller; None where there is none.
        signed: True where it may be negative by design.
        injected: how it comes into an injected restart.
        is_input: True where the surrogate reads it from the 20-year restart.
        floor: where asinh turns linear when the network reads it; None to scale it as it is.
        ratio_floor: least value of truth and prediction from which their ratio counts for skill.
    """

    name: str
    level: Level
    kind: Kind
    units: str
    plausible: Range
    element: Element | None = None
    organ: str | None = None
    stage: str = ""
    soil_pool: str | None = None
    total: str | None = None
    accelerated: Acceleration | None = None
    signed: bool = False
    injected: Injection = "never"
    is_input: bool = False
    floor: float | None = None
    ratio_floor: float = 0.0

    @property
    def dims(self) -> tuple[str, ...]:
        """Dimensions on file."""
        return {"patch": ("pft",), "layer": ("column", "levgrnd"), "column": ("column",)}[self.level]

    @property
    def spellings(self) -> tuple[str, ...]:
        """Units that a file may give it, the usual one first."""
        return LEAF_AREA if self.units in LEAF_AREA else (self.units,)

    @property
    def least(self) -> float:
        """Least value that is right by design."""
        return self.plausible[0] if self.signed else 0.0

    @property
    def most(self) -> float:
        """Largest value that is not damage."""
        return self.plausible[1]

    @property
    def is_target(self) -> bool:
        """True where the surrogate may predict it, which predicts nothing that is negative."""
        return self.injected == "directly" and not self.signed

    @property
    def is_required(self) -> bool:
        """True where every restart must hold it."""
        return self.kind in ("pool", "debt", "mineral") or self.injected == "directly"


def _mass(name: str, level: Level, element: Element, kind: Kind = "pool", **facts: Any) -> Variable:
    """A variable that holds C, N or P."""
    usual: dict[str, Any] = {
        "units": f"g{element.upper()}/{'m^3' if level == 'layer' else 'm^2'}",
        "plausible": (0.0, POOL_LIMIT),
        "floor": _FLOOR[element],
        "ratio_floor": _RATIO_FLOOR[element],
    }
    return Variable(name=name, level=level, kind=kind, element=element, **(usual | facts))


def _plants() -> Iterator[Variable]:
    for organ, element, stage in product(ORGANS, ELEMENTS, STAGES):
        yield _mass(
            f"{organ}{element}{stage}",
            "patch",
            element,
            organ=organ,
            stage=stage,
            total=f"totveg{element}",
            accelerated="mortality" if organ in DEAD_WOOD and stage == "" else None,
            injected="directly" if element == "c" else "follows",
            is_input=element == "c",
        )
    reserve: dict[str, Any] = {"injected": "directly", "is_input": True}
    for stage in STAGES[1:]:
        yield _mass(f"gresp{stage}", "patch", "c", stage=stage, total="totvegc", **reserve)
    for element in ELEMENTS:
        yield _mass(f"{element}pool", "patch", element, total=f"totveg{element}", **reserve)
    # A debt of maintenance respiration, which is in no total.
    yield _mass("xsmrpool", "patch", "c", "debt", plausible=(-POOL_LIMIT, POOL_LIMIT), signed=True, **reserve)
    for element in ELEMENTS[1:]:
        yield _mass(f"retrans{element}", "patch", element, total=f"totveg{element}", **reserve)


def _soil() -> Iterator[Variable]:
    totals = dict.fromkeys(LITTER, "totlit") | dict.fromkeys(SOM, "totsom") | {"cwd": "cwd"}
    for pool, element in product(SOIL_POOLS, ELEMENTS):
        yield _mass(
            pool.variable(element),
            "layer",
            element,
            soil_pool=pool.name,
            total=f"{totals[pool.name]}{element}",
            accelerated="decomposition" if pool.name in ("cwd", "soil3", "soil4") else None,
            # N and P of litter and CWD follow from C too, unless they are predicted.
            injected="follows" if pool.name in SOM and element != "c" else "directly",
            is_input=True,
        )
    for stem in MINERAL_N:
        yield _mass(f"{stem}_vr", "layer", "n", "mineral", injected="directly", is_input=True)
    yield _mass("sminn_vr", "layer", "n", "mineral", injected="follows")
    for stem in MINERAL_P:
        # ELM leaves solution P negative where a soil's capacity is below its labile P: no damage, but no
        # stock either.
        usual = (-POOL_LIMIT if stem == "solutionp" else 0.0, POOL_LIMIT)
        yield _mass(f"{stem}_vr", "layer", "p", "mineral", plausible=usual, injected="maps", is_input=True)


def _sums() -> Iterator[Variable]:
    sink: dict[str, Any] = {"kind": "sink", "plausible": (-POOL_LIMIT, POOL_LIMIT), "signed": True}
    for element in ELEMENTS:
        yield _mass(f"pft_{element}trunc", "patch", element, **sink)
        yield _mass(f"col_{element}trunc_vr", "layer", element, **sink)
    for stem, element in product(("totlit", "totsom", "cwd"), ELEMENTS):
        yield _mass(f"{stem}{element}", "column", element, "total", injected="follows")
    yield _mass("totvegc", "patch", "c", "total", injected="follows")


def _canopy(name: str, units: str, most: float, **facts: Any) -> Variable:
    return Variable(name=name, level="patch", kind="canopy", units=units, plausible=(0.0, most), **facts)


def _diagnostic(name: str, level: Level, units: str, plausible: Range, **facts: Any) -> Variable:
    return Variable(name=name, level=level, kind="diagnostic", units=units, plausible=plausible, **facts)


def _others() -> Iterator[Variable]:
    area: tuple[str, float] = ("m^2/m^2", LEAF_AREA_LIMIT)
    yield _canopy("tlai", *area, injected="directly", is_input=True, floor=1.0e-2, ratio_floor=1.0e-2)
    yield _canopy("tsai", *area, is_input=True, floor=1.0e-2)
    yield _canopy("elai", *area, injected="follows")
    yield _canopy("esai", *area)
    yield _canopy("htop", "m", HEIGHT_LIMIT, injected="follows")
    yield _canopy("hbot", "m", HEIGHT_LIMIT, injected="follows")
    npp: dict[str, Any] = {"signed": True, "is_input": True, "floor": 10.0}
    yield _diagnostic("annsum_npp", "patch", "gC/m^2/yr", (-3.0e3, 1.0e4), **npp)
    yield _diagnostic("annsum_potential_gpp", "patch", "gC/m^2/yr", (0.0, POOL_LIMIT))
    yield _diagnostic("annmax_retransn", "patch", "gN/m^2", (0.0, POOL_LIMIT))
    yield _diagnostic("annmax_retransp", "patch", "gP/m^2", (0.0, POOL_LIMIT))
    yield _diagnostic("annavg_t2m", "patch", "K", (180.0, 340.0), is_input=True)
    for name in ("T_SCALAR", "scalaravg_col"):
        yield _diagnostic(name, "layer", "1", (0.0, 20.0), is_input=True, floor=1.0e-2)


#: All variables by restart name; the network reads its inputs in this order.
VARIABLES: dict[str, Variable] = {
    variable.name: variable for group in (_plants, _soil, _sums, _others) for variable in group()
}
#: Those that are stocks of C, N or P, no sums or sinks.
POOL_VARIABLES: dict[str, Variable] = {
    name: variable for name, variable in VARIABLES.items() if variable.kind in ("pool", "debt", "mineral")
}
#: All nitrogen of soil and plants; `sminn_vr` is the sum of two of them.
NITROGEN = tuple(
    name
    for name, entry in VARIABLES.items()
    if entry.element == "n" and entry.kind in ("pool", "debt", "mineral", "sink") and name != "sminn_vr"
)
TRUNCATION_PATCH, TRUNCATION_LAYER = (
    tuple(name for name, entry in VARIABLES.items() if (entry.kind, entry.level) == ("sink", level))
    for level in ("patch", "layer")
)


def pools_of(total: str) -> tuple[str, ...]:
    """The pools that a total sums, in the order of the sum, on which its last bit depends."""
    summed = [entry for entry in VARIABLES.values() if entry.total == total]
    structured = [entry.name for entry in summed if entry.organ or entry.soil_pool]
    return (*structured, *sorted(entry.name for entry in summed if entry.name not in structured))


#: Column totals of a restart -> the layered pools that they sum over depth.
COLUMN_TOTALS: dict[str, tuple[str, ...]] = {
    name: pools_of(name)
    for name, entry in VARIABLES.items()
    if (entry.kind, entry.level) == ("total", "column")
}
#: Patch pools in `totvegc`.
TOTVEGC_POOLS = pools_of("totvegc")

#: The paper's six headline targets under their report names -> restart names.
HEADLINE: dict[str, str] = {
    name.removesuffix("_vr"): name
    for name in ("deadcrootc", "deadstemc", "tlai", "soil3c_vr", "soil4c_vr", "cwdc_vr")
}
