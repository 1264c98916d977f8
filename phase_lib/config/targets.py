"""Which pools the surrogate predicts: three presets and what a person adds or drops."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from phase_lib.base.plugins import did_you_mean
from phase_lib.config.section import Section
from phase_lib.elm.variables import HEADLINE, VARIABLES

_POSSIBLE = {name: entry for name, entry in VARIABLES.items() if entry.is_target}
#: Why a variable of a restart is no target.
_REASONS = {
    "directly": "may be negative, which the networks do not predict",
    "follows": "follows from other variables at injection",
    "maps": "comes from the surface data on leaving AD",
    "never": "is not injected",
}

#: What an injected restart needs. Beside the headline targets: leaves, fine roots and wood with its
#: storage, which carbon-only AD years leave at what growth without nutrient limitation sustains; the
#: plants' reserves of C, N and P and mineral N, which those years leave nearly empty; and all of the
#: cascade, as in deep and cold layers even litter and the fast soil pools take decades to settle: C of all
#: pools, N and P of litter and coarse woody debris, whose ratios are not fixed.
_SLOW = (
    *HEADLINE.values(),
    *(n for n, v in _POSSIBLE.items() if (v.level, v.kind) == ("patch", "pool") and v.stage != "_xfer"),
    *(n for n, v in _POSSIBLE.items() if (v.kind, v.element) == ("mineral", "n")),
    *(n for n, v in _POSSIBLE.items() if v.soil_pool),
)
#: Every carbon pool of plants and soil; `xsmrpool`, a debt, and the truncation sinks apart.
_FULL = (*_SLOW, *(n for n, v in _POSSIBLE.items() if (v.kind, v.element) == ("pool", "c")))

#: Restart names by preset, each once, in the order of the network's outputs.
PRESETS: dict[str, tuple[str, ...]] = {
    preset: tuple(dict.fromkeys(names))
    for preset, names in {"paper": HEADLINE.values(), "slow": _SLOW, "full": _FULL}.items()
}


class TargetSettings(Section):
    """The pools to predict, by their restart names."""

    preset: Literal["paper", "slow", "full"] = Field(
        "slow", description="paper: the six headline targets; slow: what injection needs; full: every C pool"
    )
    add: list[str] = Field(default_factory=list, description="further restart names to predict")
    drop: list[str] = Field(default_factory=list, description="restart names of the preset to leave out")

    @model_validator(mode="after")
    def _can_be_predicted(self) -> Self:
        for key, names, fault, right in (
            ("drop", self.drop, self._not_dropped, list(PRESETS[self.preset])),
            ("add", self.add, self._not_added, list(_POSSIBLE)),
        ):
            for i, name in enumerate(names):
                problem = fault(name) or ("is named twice; expected each once" if name in names[:i] else "")
                if problem:
                    hint = "" if name in right else did_you_mean(name, right, cutoff=0.75)
                    raise ValueError(f"{key} names {name!r}, which {problem}{hint}")
        if not self.names:
            raise ValueError("nothing is left to predict; expected at least one pool, so drop less")
        return self

    def _not_dropped(self, name: str) -> str:
        """Why a name cannot be dropped; empty where it can."""
        return "" if name in PRESETS[self.preset] else f"the preset {self.preset} does not have"

    def _not_added(self, name: str) -> str:
        """Why a name cannot be added; empty where it can."""
        if name not in VARIABLES:
            return "is no pool of an ELM restart"
        if name not in _POSSIBLE:
            return _REASONS[VARIABLES[name].injected]
        return f"the preset {self.preset} has already" if name in PRESETS[self.preset] else ""

    @property
    def names(self) -> list[str]:
        """Restart names in order: the preset without `drop`, then `add`."""
        return [*(name for name in PRESETS[self.preset] if name not in self.drop), *self.add]

    @property
    def patch(self) -> list[str]:
        """Those per PFT."""
        return [name for name in self.names if VARIABLES[name].level == "patch"]

    @property
    def layer(self) -> list[str]:
        """Those per soil layer."""
        return [name for name in self.names if VARIABLES[name].level == "layer"]
