"""The six forcing variables: units, plausible ranges, and what on file each can be made of."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from itertools import product

import numpy as np

from phase_lib.base.errors import InputError
from phase_lib.elm.forcing.humidity import from_dew_point, from_relative_humidity

_RADIATION = ("W/m2", "W/m^2", "W/m**2", "W m-2", "W m**-2")
_RATE = (
    "mm/s",
    "mm s-1",
    "mm/sec",
    "mm H2O / sec",
    "kg/m2/s",
    "kg m-2 s-1",
    "kg m**-2 s**-1",
)

#: Names, units to write, and spellings of the units accepted on file.
FORCING: dict[str, tuple[str, tuple[str, ...]]] = {
    "FLDS": ("W/m^2", _RADIATION),
    "PSRF": ("Pa", ("Pa",)),
    "FSDS": ("W/m^2", _RADIATION),
    "QBOT": ("kg/kg", ("kg/kg", "kg kg-1", "kg kg**-1")),
    "PRECTmms": ("mm/s", _RATE),
    "TBOT": ("K", ("K",)),
}
#: Plausible range of a monthly mean, in the units above.
PLAUSIBLE = {
    "FLDS": (20.0, 700.0),
    "PSRF": (3.0e4, 1.15e5),
    "FSDS": (0.0, 700.0),
    "QBOT": (0.0, 0.06),
    "PRECTmms": (0.0, 0.01),
    "TBOT": (180.0, 340.0),
}


@dataclass(frozen=True)
class Recipe:
    """One way to make a forcing variable.

    Attributes:
        inputs: names on file.
        combine: function of their values at one step; None where they are added up.
    """

    inputs: tuple[str, ...]
    combine: Callable[..., np.ndarray] | None = None

    def __str__(self) -> str:
        return (" + " if self.combine is None else " and ").join(self.inputs)


_TEMPERATURE = ("TBOT", "t2m")
_PRESSURE = ("PSRF", "PBOT", "sp")
_HUMIDITY = {"RH": from_relative_humidity, "TDEW": from_dew_point, "d2m": from_dew_point}

#: Ways to make each variable, best first: DATM's and ELM's names, ERA5's parts, the coupler's parts.
RECIPES: dict[str, tuple[Recipe, ...]] = {
    "FLDS": (Recipe(("FLDS",)), Recipe(("msdwlwrf",))),
    "PSRF": tuple(Recipe((name,)) for name in _PRESSURE),
    "FSDS": (
        Recipe(("FSDS",)),
        Recipe(("msdrswrf", "msdfswrf")),
        Recipe(("SWNDR", "SWNDF", "SWVDR", "SWVDF")),
    ),
    "QBOT": (
        Recipe(("QBOT",)),
        *(
            Recipe((humidity, *state), combine)
            for humidity, combine in _HUMIDITY.items()
            for state in product(_TEMPERATURE, _PRESSURE)
        ),
    ),
    "PRECTmms": (
        Recipe(("PRECTmms",)),
        Recipe(("mcpr", "mlspr")),
        Recipe(("RAIN", "SNOW")),
        Recipe(("RAINC", "RAINL", "SNOWC", "SNOWL")),
    ),
    "TBOT": tuple(Recipe((name,)) for name in _TEMPERATURE),
}

_OTHER_INPUTS = {
    "RH": (("%",), (0.0, 110.0)),
    "TDEW": (("K",), (150.0, 340.0)),
    "d2m": (("K",), (150.0, 340.0)),
}
#: Everything that a recipe may read: name -> (accepted units, plausible range of a monthly mean).
INPUTS: dict[str, tuple[tuple[str, ...], tuple[float, float]]] = {
    source: (FORCING[name][1], PLAUSIBLE[name])
    for name, recipes in RECIPES.items()
    for recipe in recipes
    if recipe.combine is None
    for source in recipe.inputs
} | _OTHER_INPUTS


def check_names(names: Collection[str]) -> tuple[str, ...]:
    """The wanted variables in the order of `FORCING`.

    Raises:
        InputError: a name is none of the six, or there is none.
    """
    for name in names:
        if name not in FORCING:
            raise InputError(
                None, f"{name!r} is no forcing variable", expected=f"one of {', '.join(FORCING)}"
            )
    if not names:
        raise InputError(None, "no forcing variable is wanted", expected=f"some of {', '.join(FORCING)}")
    return tuple(name for name in FORCING if name in names)


def _possible(name: str, step_by_step: bool) -> list[Recipe]:
    return [recipe for recipe in RECIPES[name] if step_by_step or recipe.combine is None]


def find_recipe(name: str, present: Collection[str], *, step_by_step: bool = True) -> Recipe | None:
    """The first recipe whose inputs are all there, as `choose_recipe`; None where there is none."""
    possible = _possible(name, step_by_step)
    return next((recipe for recipe in possible if all(s in present for s in recipe.inputs)), None)


def choose_recipe(name: str, present: Collection[str], where: object, *, step_by_step: bool = True) -> Recipe:
    """The first recipe whose inputs are all there.

    Args:
        name: forcing variable.
        present: names on file.
        where: file or directory, for the message.
        step_by_step: False where the files hold means, of which only sums can be made.

    Raises:
        InputError: none can be made.
    """
    possible = _possible(name, step_by_step)
    recipe = find_recipe(name, present, step_by_step=step_by_step)
    if recipe is not None:
        return recipe
    remedy = "give its files too"
    if name == "FLDS" and step_by_step:
        # Nothing is derived here: ELM has its own formulas, and the surrogate must see what ELM saw.
        remedy = "give its files too, or, where ELM derived it, take the forcing from the history of the run"
    raise InputError(
        str(where),
        f"{name} is in none of the files",
        expected="; or ".join(str(r) for r in possible[:4]),
        remedy=remedy,
    )
