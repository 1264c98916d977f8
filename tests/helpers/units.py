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
