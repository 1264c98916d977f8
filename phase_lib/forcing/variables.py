"""The six forcing variables: units, plausible ranges, and what on file each can be made of."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import numpy as np

from phase_lib.base.errors import InputError
from phase_lib.elm.units import are_among
from phase_lib.forcing.humidity import from_dew_point, from_relative_humidity

_RADIATION = ("W/m2",)
_RATE = ("mm/s", "mm H2O/s", "kg/m2/s", "kg/(m2 s)")
_KELVIN = ("K", "kelvin", "degK")
#: What turns other units into the first accepted one, for the message that refuses them.
_CONVERSIONS: dict[str, dict[str, tuple[str, ...]]] = {
    "W/m2": {"divide by the seconds of a step": ("J/m2",)},
    "Pa": {"multiply by 100": ("hPa", "mb", "mbar", "millibar"), "multiply by 1000": ("kPa",)},
    "kg/kg": {"divide by 1000": ("g/kg",)},
    "mm/s": {
        "multiply by 1000": ("m/s",),
        "divide by 3600": ("mm/h", "mm/hr", "mm/hour", "kg/m2/h"),
        "divide by 86400": ("mm/d", "mm/day", "kg/m2/d", "kg/m2/day"),
        "divide by the seconds of a step": ("mm", "kg/m2"),
    },
    "K": {"add 273.15": ("C", "degC", "celsius", "degrees C", "degree_Celsius", "°C")},
    "%": {"multiply by 100": ("1", "fraction", "0-1")},
}

#: Names, units to write, and spellings of the units accepted on file.
FORCING: dict[str, tuple[str, tuple[str, ...]]] = {
    "FLDS": ("W/m^2", _RADIATION),
    "PSRF": ("Pa", ("Pa", "pascal")),
    "FSDS": ("W/m^2", _RADIATION),
    "QBOT": ("kg/kg", ("kg/kg", "1")),
    "PRECTmms": ("mm/s", _RATE),
    "TBOT": ("K", _KELVIN),
}
LONG_NAMES = {
    "FLDS": "incident longwave radiation",
    "PSRF": "surface pressure",
    "FSDS": "incident solar radiation",
    "QBOT": "specific humidity",
    "PRECTmms": "precipitation",
    "TBOT": "air temperature",
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
#: Range of a single step, in the units above, wide enough for every record on land. Here shows what a mean
#: hides: values that stand for missing ones.
STEP = {
    # The clear winter sky of the Antarctic plateau, some 60 W/m2; a black body at 70 degrees Celsius.
    "FLDS": (10.0, 800.0),
    # The summit of Everest, 3.3e4 Pa; the highest pressure on record, 1.09e5 Pa (WMO).
    "PSRF": (2.0e4, 1.2e5),
    # Noise of instruments and packing at night; the sun above the air, 1412 W/m2, and light from clouds.
    "FSDS": (-1.0, 1600.0),
    # What interpolation leaves of dry air; saturated air at 44 degrees Celsius.
    "QBOT": (-1.0e-4, 0.06),
    # What interpolation leaves of no rain; 305 mm fell in 42 minutes, 0.12 mm/s (Holt 1947, WMO).
    "PRECTmms": (-1.0e-5, 0.2),
    # 184 K and 330 K were measured (Vostok 1983, Death Valley 1913; WMO).
    "TBOT": (150.0, 350.0),
}


@dataclass(frozen=True)
class Recipe:
    """One way to make a forcing variable.

    Attributes:
        inputs: names on file.
        combine: function of their values at one step; None where they are added up.
        excess: range of the first input less the second, at a step; None for any.
    """

    inputs: tuple[str, ...]
    combine: Callable[..., np.ndarray] | None = None
    excess: tuple[float, float] | None = None

    def __str__(self) -> str:
        return (" + " if self.combine is None else " and ").join(self.inputs)


_TEMPERATURE = ("TBOT", "t2m")
_PRESSURE = ("PSRF", "PBOT", "sp")
#: Dew points lie below the temperature of the air, some degrees above it where both were interpolated.
_DEPRESSION = (-150.0, 10.0)
_HUMIDITY = {
    "RH": (from_relative_humidity, None),
    "TDEW": (from_dew_point, _DEPRESSION),
    "d2m": (from_dew_point, _DEPRESSION),
}

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
            Recipe((humidity, *state), combine, excess)
            for humidity, (combine, excess) in _HUMIDITY.items()
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


class Input(NamedTuple):
    """What is known of a variable on file.

    Attributes:
        units: accepted spellings.
        month: plausible range of a monthly mean.
        step: range of a single step.
        exceeds: what some step at every cell exceeds in every month; None where a month may do without.
    """

    units: tuple[str, ...]
    month: tuple[float, float]
    step: tuple[float, float]
    exceeds: float | None = None


_DEW_POINT = Input(_KELVIN, (150.0, 340.0), (130.0, 340.0))
_OTHER_INPUTS = {
    # Air may be far supersaturated over ice. Where no step of a month exceeds 1.5 %, it is a fraction.
    "RH": Input(("%", "percent"), (0.0, 110.0), (-0.1, 160.0), exceeds=1.5),
    "TDEW": _DEW_POINT,
    "d2m": _DEW_POINT,
}
#: Everything that a recipe may read.
INPUTS: dict[str, Input] = {
    source: Input(FORCING[name][1], PLAUSIBLE[name], STEP[name])
    for name, recipes in RECIPES.items()
    for recipe in recipes
    if recipe.combine is None
    for source in recipe.inputs
} | _OTHER_INPUTS


def conversion(units: str, wanted: str) -> str:
    """How values with units on file are converted to those wanted, in words; empty where it is not known."""
    ways = _CONVERSIONS.get(wanted, {})
    return next((way for way, known in ways.items() if are_among(units, known)), "")


def check_names(names: Collection[str]) -> tuple[str, ...]:
    """The wanted variables in the order of `FORCING`.

    Raises:
        InputError: a name is none of the six, or there is none.
    """
    for name in names:
        if name not in FORCING:
            what = f"{name!r} is no forcing variable"
            raise InputError(None, what, expected=f"one of {', '.join(FORCING)}")
    if not names:
        raise InputError(None, "no forcing variable is wanted", expected=f"some of {', '.join(FORCING)}")
    return tuple(name for name in FORCING if name in names)


def find_recipe(name: str, present: Collection[str], *, step_by_step: bool = True) -> Recipe | None:
    """The first recipe whose inputs are all there, as `choose_recipe`; None where there is none."""
    complete = (recipe for recipe in RECIPES[name] if {*recipe.inputs} <= {*present})
    return next((recipe for recipe in complete if step_by_step or recipe.combine is None), None)


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
    recipe = find_recipe(name, present, step_by_step=step_by_step)
    if recipe is not None:
        return recipe
    remedy = "give its files too"
    if name == "FLDS" and step_by_step:
        # Nothing is derived here: ELM has its own formulas, and the surrogate must see what ELM saw.
        remedy += ", or, where ELM derived it, take the forcing from the history of the run"
    possible = [str(recipe) for recipe in RECIPES[name] if step_by_step or recipe.combine is None]
    what, expected = f"{name} is in none of the files", "; or ".join(possible[:4])
    raise InputError(str(where), what, expected=expected, remedy=remedy)
