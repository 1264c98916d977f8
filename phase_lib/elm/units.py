"""Units as files spell them, and what a file that does not say its units is told."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from phase_lib.base.errors import InputError

_SIGNS = str.maketrans({"²": "2", "³": "3", "¹": "1", "⁻": "-", "−": "-", "·": " ", "⋅": " "})
#: Spellings of a number without units.
PLAIN_NUMBERS = ("1", "-", "none", "unitless", "dimensionless")
#: Spellings of the units of leaf area: m2 of leaves in m2 of ground.
LEAF_AREA = (*PLAIN_NUMBERS, "m^2/m^2")
#: Shares -> what they are multiplied by to be fractions, by their spelling on file.
FRACTIONS: Mapping[str, float] = {
    **dict.fromkeys((*PLAIN_NUMBERS, "fraction"), 1.0),
    **dict.fromkeys(("%", "percent"), 0.01),
}


def plain(units: str) -> str:
    """Units in one spelling: `gC/m^2/s`, `gC m-2 s-1` and `g C m**-2 s^-1` are the same."""
    text = re.sub(r"[\s^*._()]", "", units.translate(_SIGNS).lower().replace("squared", "2"))
    text = re.sub(r"^sq(?:uare)?([a-z]+)$", r"\g<1>2", text)
    return re.sub(r"/([a-z]+)(\d*)", lambda unit: f"{unit[1]}-{unit[2] or 1}", text)


def units_of(path: str | Path, variable: Any, expected: str) -> str:
    """The attribute `units` of a variable.

    Args:
        path: for messages.
        variable: netCDF4 variable.
        expected: the usual units, for the message.

    Raises:
        InputError: it is missing or blank.
    """
    found = str(getattr(variable, "units", "")).strip()
    if not found:
        raise _without_units(path, str(variable.name), expected)
    return found


def _without_units(path: str | Path, name: str, expected: str) -> InputError:
    return InputError(
        path,
        f"variable {name} has no attribute units",
        expected=repr(expected),
        remedy=f"say what its numbers are: ncatted -a units,{name},o,c,'{expected}' FILE",
    )


def factor_of(path: str | Path, variable: Any, factors: Mapping[str, float]) -> float:
    """What the values of a variable are multiplied by to be in the units that are reckoned with.

    Args:
        path: for messages.
        variable: netCDF4 variable.
        factors: factor of each accepted spelling, in any spelling; the usual one first.

    Raises:
        InputError: it has no units, or none of these.
    """
    return factor_named(path, str(variable.name), str(getattr(variable, "units", "")).strip(), factors)


def factor_named(path: str | Path, name: str, units: str, factors: Mapping[str, float]) -> float:
    """The factor of some units, as by `factor_of`.

    Args:
        path, name: file and variable, for messages.
        units: as the file spells them; blank where it does not say.
        factors: factor of each accepted spelling, in any spelling; the usual one first.

    Raises:
        InputError: there are none, or none of these.
    """
    if not units:
        raise _without_units(path, name, next(iter(factors)))
    known = {plain(spelling): factor for spelling, factor in factors.items()}
    if plain(units) not in known:
        raise InputError(
            path,
            f"variable {name} has units {units!r}",
            expected=" or ".join(repr(spelling) for spelling in _usual(factors)),
            remedy="convert it",
        )
    return known[plain(units)]


def _usual(factors: Mapping[str, float]) -> list[str]:
    """The first spelling of each of some units."""
    usual: dict[float, str] = {}
    for spelling, factor in factors.items():
        usual.setdefault(factor, spelling)
    return list(usual.values())
