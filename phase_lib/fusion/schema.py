"""What a dataset holds: its groups, the variables in each, their units and plausible ranges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from phase_lib.base.errors import InputError
from phase_lib.elm.pools import (
    ELEMENTS,
    MINERAL_N,
    MINERAL_P,
    ORGANS,
    POOL_VARIABLES,
    SOIL_POOLS,
    STAGES,
    Level,
)
from phase_lib.forcing import FORCING, PLAUSIBLE

Range = tuple[float, float]

#: Static surface fields: name -> (units, plausible range). `AREA` is zero in some 1-D files.
STATIC: dict[str, tuple[str, Range]] = {
    "LANDFRAC_PFT": ("1", (0.0, 1.0)),
    "AREA": ("km^2", (0.0, 1.0e6)),
    "PCT_NATVEG": ("%", (0.0, 100.0)),
    "SOIL_COLOR": ("1", (0.0, 20.0)),
    "SOIL_ORDER": ("1", (0.0, 15.0)),
    "LABILE_P": ("gP/m^2", (0.0, 1.0e4)),
    "SECONDARY_P": ("gP/m^2", (0.0, 1.0e4)),
    "OCCLUDED_P": ("gP/m^2", (0.0, 1.0e4)),
    "APATITE_P": ("gP/m^2", (0.0, 1.0e4)),
    "PCT_NAT_PFT": ("%", (0.0, 100.0)),
    "PCT_SAND": ("%", (0.0, 100.0)),
    "PCT_CLAY": ("%", (0.0, 100.0)),
    "ORGANIC": ("kg/m^3", (0.0, 300.0)),
}
STATIC_PFT = ("PCT_NAT_PFT",)
STATIC_LAYERS = ("PCT_SAND", "PCT_CLAY", "ORGANIC")
#: Rounding of percentages and fractions that is let pass.
SLACK = 1.0e-3

#: PFT parameters, written as `pft_<name>`.
TRAITS = (
    "deadwdcn",
    "frootcn",
    "leafcn",
    "lflitcn",
    "livewdcn",
    "c3psn",
    "croot_stem",
    "crop",
    "dleaf",
    "dsladlai",
    "evergreen",
    "fcur",
    "flivewd",
    "flnr",
    "fr_fcel",
    "fr_flab",
    "fr_flig",
    "froot_leaf",
    "grperc",
    "grpnow",
    "leaf_long",
    "lf_fcel",
    "lf_flab",
    "lf_flig",
    "rholnir",
    "rholvis",
    "rhosnir",
    "rhosvis",
    "roota_par",
    "rootb_par",
    "rootprof_beta",
    "season_decid",
    "slatop",
    "smpsc",
    "smpso",
    "stem_leaf",
    "stress_decid",
    "taulnir",
    "taulvis",
    "tausnir",
    "tausvis",
    "woody",
    "xl",
    "z0mr",
)

#: Cell means of the history: name -> plausible range, gC m-2 yr-1.
SCALARS: dict[str, Range] = {
    "GPP": (-1.0, 1.0e4),
    "NPP": (-3.0e3, 5.0e3),
    "AR": (-1.0, 1.0e4),
    "HR": (-1.0, 1.0e4),
}
SCALAR_TARGETS = ("GPP", "NPP", "AR")
FLUX_UNITS = "gC/m^2/yr"

#: Patch states that are not pools: name -> (units, plausible range). Absent ones are left out.
PATCH_EXTRA: dict[str, tuple[str, Range]] = {
    "tlai": ("m^2/m^2", (0.0, 50.0)),
    "tsai": ("m^2/m^2", (0.0, 50.0)),
    "annsum_npp": ("gC/m^2/yr", (-3.0e3, 1.0e4)),
    "annavg_t2m": ("K", (180.0, 340.0)),
}
#: Layered states that are not pools.
LAYER_EXTRA: dict[str, tuple[str, Range]] = {
    "T_SCALAR": ("1", (0.0, 20.0)),
    "scalaravg_col": ("1", (0.0, 20.0)),
}

STATE_VARIABLES = (
    *(f"{organ}c{stage}" for organ in ORGANS for stage in STAGES),
    "gresp_storage",
    "gresp_xfer",
    "cpool",
    "npool",
    "ppool",
    "xsmrpool",
    "retransn",
    "retransp",
    *PATCH_EXTRA,
)
SOIL_VARIABLES = (
    *(pool.variable(element) for pool in SOIL_POOLS for element in ELEMENTS),
    *(f"{name}_vr" for name in (*MINERAL_N, *MINERAL_P)),
    *LAYER_EXTRA,
)
#: Variables that a restart must hold; the others are left out where absent.
REQUIRED = frozenset(POOL_VARIABLES) | {"tlai"}

#: g m-2 or g m-3. Real ELM carries negative rounding crumbs; more than that is damage.
POOL_RANGE: Range = (-1.0e-3, 1.0e6)
DEBT_RANGE: Range = (-1.0e5, 1.0e5)
#: ELM leaves solution P negative where a soil's capacity is below its labile P.
SOLUTION_P_RANGE: Range = (-1.0e6, 1.0e6)


def plausible(name: str) -> Range:
    """Plausible range of a variable of any group, in the units of the dataset."""
    for table in (STATIC, PATCH_EXTRA, LAYER_EXTRA):
        if name in table:
            low, high = table[name][1]
            return low - SLACK, high + SLACK
    if name in PLAUSIBLE:
        return PLAUSIBLE[name]
    if name in SCALARS:
        return SCALARS[name]
    if name == "xsmrpool":
        return DEBT_RANGE
    if name == "solutionp_vr":
        return SOLUTION_P_RANGE
    return POOL_RANGE


def units_of(name: str) -> str:
    """Units of a variable in the dataset."""
    for table in (STATIC, PATCH_EXTRA, LAYER_EXTRA):
        if name in table:
            return table[name][0]
    if name in FORCING:
        return FORCING[name][0]
    if name in SCALARS:
        return FLUX_UNITS
    return POOL_VARIABLES[name].units


def level_of(name: str) -> Level:
    """Whether a state or target lives on patches or in layers."""
    if name in PATCH_EXTRA:
        return "patch"
    if name in LAYER_EXTRA:
        return "layer"
    return POOL_VARIABLES[name].level


#: Dimensions of the variables of a group, where all have the same.
_GROUP_DIMS = {
    "forcing": ("gridcell", "time"),
    "traits": ("natpft",),
    "scalars": ("gridcell",),
    "state": ("gridcell", "natpft"),
    "soil": ("gridcell", "levdecomp"),
}


def dims_of(name: str) -> tuple[str, ...]:
    """Dimensions of a state or target in the dataset."""
    return ("gridcell", "natpft" if level_of(name) == "patch" else "levdecomp")


def dims_in_group(name: str, group: str) -> list[tuple[str, ...]]:
    """Dimensions that a variable of the dataset may have, one set where its group and name tell."""
    stem = name.removeprefix("state20_").removeprefix("Y_")
    if group in ("state20", "target") and (stem in POOL_VARIABLES or stem in PATCH_EXTRA):
        return [dims_of(stem)]
    if group in _GROUP_DIMS:
        return [_GROUP_DIMS[group]]
    return [("gridcell",), ("gridcell", "natpft"), ("gridcell", "levdecomp")]


@dataclass(frozen=True)
class Targets:
    """Variables to predict, by restart name.

    Attributes:
        patch: those on patches.
        layer: those in soil layers.
    """

    patch: tuple[str, ...]
    layer: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """All of them, patches first."""
        return self.patch + self.layer


def resolve_targets(names: Sequence[str]) -> Targets:
    """Checks target names against the registry of pools.

    Raises:
        InputError: a name is no pool, or one that ELM does not carry over (mineral P comes from the
            surface data on leaving AD).
    """
    if not names:
        raise InputError(None, "targets: the list is empty", remedy="choose a preset or drop less")
    for name in names:
        if name != "tlai" and name not in POOL_VARIABLES:
            raise InputError(
                None, f"targets: {name!r} is no pool of an ELM restart", expected="a restart name"
            )
        if name.removesuffix("_vr") in MINERAL_P:
            raise InputError(
                None,
                f"targets: {name} comes from the surface data on leaving AD",
                remedy="drop it from the targets",
            )
    patch = tuple(name for name in names if level_of(name) == "patch")
    return Targets(patch, tuple(name for name in names if level_of(name) == "layer"))
