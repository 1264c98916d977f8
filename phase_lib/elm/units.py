"""Units as files spell them, and the refusal of a file with other units or none."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from phase_lib.base.errors import InputError

_SIGNS = str.maketrans({"²": "2", "³": "3", "¹": "1", "⁻": "-", "−": "-", "·": " ", "⋅": " "})
#: Words for units that have a sign.
_WORDS = {"s": r"secs?|seconds?", "w": r"watts?", "kelvin": r"kelvins"}
#: Spellings of a number without units.
PLAIN_NUMBERS = ("1", "-", "none", "unitless", "dimensionless")
#: Spellings of the units of leaf area: m2 of leaves in m2 of ground.
LEAF_AREA = (*PLAIN_NUMBERS, "m^2/m^2")
#: Shares -> what they are multiplied by to be fractions, by their spelling on file.
FRACTIONS: Mapping[str, float] = {
    **dict.fromkeys((*PLAIN_NUMBERS, "fraction"), 1.0),
    **dict.fromkeys(("%", "percent"), 0.01),
}
LABEL_FRACTIONS = "say in its attribute units what its numbers are: 1 or %"


def plain(units: str) -> str:
    """Units in one spelling: `gC/m^2/s`, `gC m-2 s-1` and `g C m**-2 sec^-1` are the same."""
    text = units.translate(_SIGNS).lower().replace("squared", "2")
    for sign, words in _WORDS.items():
        text = re.sub(rf"\b(?:{words})\b", sign, text)
    text = re.sub(r"[\s^*._()]", "", text)
    text = re.sub(r"^sq(?:uare)?([a-z]+)$", r"\g<1>2", text)
    return re.sub(r"/([a-z]+)(\d*)", lambda unit: f"{unit[1]}-{unit[2] or 1}", text)


def are_among(units: str, accepted: Iterable[str]) -> bool:
    """True if units are accepted ones, in any spelling."""
    return plain(units) in map(plain, accepted)


def units_of(variable: Any) -> str:
    """The attribute `units` of a netCDF4 variable; empty where it has none."""
    return str(getattr(variable, "units", "")).strip()


def other_units(
    path: str | Path, name: str, units: str, accepted: Iterable[str], how: str = ""
) -> InputError:
    """The refusal of other units, or of none.

    Args:
        path, name: file and variable.
        units: as the file spells them; empty where it has none.
        accepted: what they may be, the usual ones first.
        how: how values are converted, where that is known.
    """
    usual, *others = accepted
    what, remedy = f"has units {units!r}", f"convert it: {how}" if how else "convert it"
    if not units:
        what = "has no attribute units"
        remedy = f"say what its numbers are: ncatted -a units,{name},o,c,'{usual}' FILE"
    expected = " or ".join(map(repr, (usual, *others)))
    return InputError(path, f"variable {name} {what}", expected=expected, remedy=remedy)


def factor_of(path: str | Path, name: str, units: str, factors: Mapping[str, float]) -> float:
    """What values are multiplied by to come in the units of this software.

    Args:
        path, name: file and variable, for messages.
        units: as the file spells them; empty where it has none.
        factors: factor of each accepted spelling; the usual one first.

    Raises:
        InputError: there are none, or none of these.
    """
    known = {plain(spelling): factor for spelling, factor in factors.items()}
    if plain(units) not in known:
        first: dict[float, str] = {}
        for spelling, factor in factors.items():
            first.setdefault(factor, spelling)
        raise other_units(path, name, units, first.values())
    return known[plain(units)]
