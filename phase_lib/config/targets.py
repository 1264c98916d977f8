"""Which pools the surrogate predicts: three presets and what a person adds or drops."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

#: The six headline targets of the PHASE paper.
PAPER = ["deadcrootc", "deadstemc", "tlai", "soil3c_vr", "soil4c_vr", "cwdc_vr"]

#: What an injected restart needs. Beside the headline targets: leaves, fine roots and wood with its
#: storage, which carbon-only AD years leave at what growth without nutrient limitation sustains; the
#: plants' reserves of C, N and P and mineral N, which those years leave nearly empty; and all of the
#: cascade, as in deep and cold layers even litter and the fast soil pools take decades to settle.
SLOW = [
    *PAPER,
    "leafc",
    "leafc_storage",
    "frootc",
    "frootc_storage",
    "livestemc",
    "livestemc_storage",
    "deadstemc_storage",
    "livecrootc",
    "livecrootc_storage",
    "deadcrootc_storage",
    "gresp_storage",
    "cpool",
    "npool",
    "ppool",
    "retransn",
    "retransp",
    "smin_no3_vr",
    "smin_nh4_vr",
    "litr1c_vr",
    "litr2c_vr",
    "litr3c_vr",
    "soil1c_vr",
    "soil2c_vr",
]

_ORGANS = ("leaf", "froot", "livestem", "deadstem", "livecroot", "deadcroot")

#: Every carbon pool of plants and soil; `xsmrpool`, a debt, and the truncation sinks apart.
FULL = [
    *SLOW,
    *(
        name
        for organ in _ORGANS
        for name in (f"{organ}c", f"{organ}c_storage", f"{organ}c_xfer")
        if name not in SLOW
    ),
    "gresp_xfer",
]

PRESETS: dict[str, list[str]] = {"paper": PAPER, "slow": SLOW, "full": FULL}


class TargetSettings(BaseModel):
    """The pools to predict, by their restart names."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    preset: Literal["paper", "slow", "full"] = Field(
        "slow",
        description="paper: the six headline targets; slow: what injection needs; full: every C pool",
    )
    add: list[str] = Field(default_factory=list, description="restart names to predict beside the preset")
    drop: list[str] = Field(default_factory=list, description="restart names of the preset to leave out")

    @property
    def names(self) -> list[str]:
        """Restart names in order: the preset without `drop`, then `add`; each once."""
        kept = [name for name in PRESETS[self.preset] if name not in self.drop]
        return list(dict.fromkeys([*kept, *self.add]))
