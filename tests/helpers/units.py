"""Units of files as real ones spell them."""

from __future__ import annotations

SURFACE_UNITS = {
    "LATIXY": "degrees north",
    "LONGXY": "degrees east",
    "AREA": "km^2",
    "ORGANIC": "kg/m3 (assumed carbon content 0.58 gC per gOM)",
    **dict.fromkeys(("LABILE_P", "SECONDARY_P", "OCCLUDED_P", "APATITE_P"), "gP/m2"),
}
DOMAIN_UNITS = {"xc": "degrees_east", "yc": "degrees_north", "area": "arcad^2"}


def surface_units(name: str) -> str:
    """Units of a surface field; shares, percentages too, and classes are called unitless."""
    return SURFACE_UNITS.get(name, "unitless")


def domain_units(name: str) -> str:
    """Units of a field of a domain file."""
    return DOMAIN_UNITS.get(name, "unitless")


#: Elements of pools whose names do not end with them.
_ELEMENTS = {"gresp": "c", "npool": "n", "ppool": "p", "smin_no3": "n", "smin_nh4": "n"}


def pool_units(name: str) -> str:
    """Units of a predicted pool; `tlai` has none."""
    stem = name.removeprefix("analogue_")
    layered, stem = stem.endswith("_vr"), stem.removesuffix("_vr")
    if stem == "tlai":
        return "1"
    stem = stem.removesuffix("_storage").removesuffix("_xfer")
    element = _ELEMENTS.get(stem, stem[-1] if stem[-1] in "cnp" else "c")
    return f"g{element.upper()}/m^{3 if layered else 2}"
