"""What a dataset holds: its groups, the variables in each, their units and plausible ranges."""

from __future__ import annotations

from typing import NamedTuple

from phase_lib.elm.parameters import SOIL_ORDERS
from phase_lib.elm.surface_content import PHOSPHORUS_BETWEEN
from phase_lib.elm.variables import VARIABLES, Range
from phase_lib.forcing.variables import FORCING, PLAUSIBLE

#: Static surface fields: name -> (units, plausible range). `AREA` is zero in some 1-D files.
STATIC: dict[str, tuple[str, Range]] = {
    "LANDFRAC_PFT": ("1", (0.0, 1.0)),
    "AREA": ("km^2", (0.0, 1.0e6)),
    "PCT_NATVEG": ("%", (0.0, 100.0)),
    "SOIL_COLOR": ("1", (0.0, 20.0)),
    "SOIL_ORDER": ("1", (0.0, SOIL_ORDERS - 1.0)),
    **{name: ("gP/m^2", (0.0, most)) for name, (_, most) in PHOSPHORUS_BETWEEN.items()},
    "PCT_NAT_PFT": ("%", (0.0, 100.0)),
    "PCT_SAND": ("%", (0.0, 100.0)),
    "PCT_CLAY": ("%", (0.0, 100.0)),
    "ORGANIC": ("kg/m^3", (0.0, 300.0)),
}
STATIC_PFT = ("PCT_NAT_PFT",)
STATIC_LAYERS = ("PCT_SAND", "PCT_CLAY", "ORGANIC")
#: Round-off that is let pass: of percentages and fractions, and the negative one of pools.
SLACK = 1.0e-3

#: PFT parameters, written as `pft_<name>`.
TRAITS = (
    "deadwdcn", "frootcn", "leafcn", "lflitcn", "livewdcn", "c3psn", "croot_stem", "crop", "dleaf",
    "dsladlai", "evergreen", "fcur", "flivewd", "flnr", "fr_fcel", "fr_flab", "fr_flig", "froot_leaf",
    "grperc", "grpnow", "leaf_long", "lf_fcel", "lf_flab", "lf_flig", "rholnir", "rholvis", "rhosnir",
    "rhosvis", "roota_par", "rootb_par", "rootprof_beta", "season_decid", "slatop", "smpsc", "smpso",
    "stem_leaf", "stress_decid", "taulnir", "taulvis", "tausnir", "tausvis", "woody", "xl", "z0mr",
)  # fmt: skip

#: Cell means of the history: name -> plausible range, gC m-2 yr-1.
SCALARS: dict[str, Range] = {
    "GPP": (-1.0, 1.0e4),
    "NPP": (-3.0e3, 5.0e3),
    "AR": (-1.0, 1.0e4),
    "HR": (-1.0, 1.0e4),
}
SCALAR_TARGETS = ("GPP", "NPP", "AR")
FLUX_UNITS = "gC/m^2/yr"


class Turnover(NamedTuple):
    """A cell mean that not every history holds: the sum of some of its fields.

    Attributes:
        fields: all of which it needs.
        also: added where the history has them.
        element: C or N.
        plausible: range, g m-2 yr-1.
    """

    fields: tuple[str, ...]
    element: str
    plausible: Range
    also: tuple[str, ...] = ()

    @property
    def units(self) -> str:
        """Units in the dataset."""
        return f"g{self.element}/m^2/yr"

    @property
    def accepted(self) -> tuple[str, ...]:
        """Units in a history."""
        return (f"g{self.element}/m^2/s",)


#: Carbon and nitrogen that pass through the cells. AD years supply the nitrogen that growth lacks: what they
#: supply, gain and lose says how much growth will be limited when nothing is supplied.
TURNOVER: dict[str, Turnover] = {
    "LITFALL": Turnover(("LITFALL",), "C", (-1.0, 1.0e4)),
    "NDEP_TO_SMINN": Turnover(("NDEP_TO_SMINN",), "N", (0.0, 100.0)),
    "NFIX_TO_SMINN": Turnover(("NFIX_TO_SMINN",), "N", (-1.0, 100.0)),
    "SUPPLEMENT_TO_SMINN": Turnover(("SUPPLEMENT_TO_SMINN",), "N", (-1.0, 500.0)),
    "N_LOSS": Turnover(("DENIT", "SMIN_NO3_LEACHED"), "N", (-1.0, 500.0), ("SMIN_NO3_RUNOFF",)),
}

#: Restart variables that are inputs, per PFT and per layer, in the order of the network's channels.
STATE_VARIABLES, SOIL_VARIABLES = (
    tuple(name for name, entry in VARIABLES.items() if entry.is_input and entry.level == level)
    for level in ("patch", "layer")
)


def plausible(name: str) -> Range:
    """Plausible range of a variable of any group, in the units of the dataset."""
    if name in PLAUSIBLE:
        return PLAUSIBLE[name]
    if name in SCALARS:
        return SCALARS[name]
    if name in TURNOVER:
        return TURNOVER[name].plausible
    low, high = VARIABLES[name].plausible if name in VARIABLES else STATIC[name][1]
    return low - SLACK, high + SLACK


def units_of(name: str) -> str:
    """Units of a variable in the dataset."""
    if name in STATIC:
        return STATIC[name][0]
    if name in FORCING:
        return FORCING[name][0]
    if name in SCALARS:
        return FLUX_UNITS
    if name in TURNOVER:
        return TURNOVER[name].units
    return VARIABLES[name].units


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
    return ("gridcell", "natpft" if VARIABLES[name].level == "patch" else "levdecomp")


def dims_in_group(name: str, group: str) -> list[tuple[str, ...]]:
    """Dimensions that a variable of the dataset may have, one set where its group and name tell."""
    stem = name.removeprefix("state20_").removeprefix("steady_").removeprefix("Y_")
    if group in ("state20", "steady", "target") and stem in VARIABLES:
        return [dims_of(stem)]
    if group == "course":
        return [("gridcell", "window"), ("gridcell", "window", "levdecomp")]
    if group in _GROUP_DIMS:
        return [_GROUP_DIMS[group]]
    return [("gridcell",), ("gridcell", "natpft"), ("gridcell", "levdecomp")]
