"""The `injection` section: how predicted pools become a restart."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from phase_lib.config.section import Section

#: What becomes of predicted values that no restart takes.
OutOfBounds = Literal["refuse", "clip", "keep"]


class InjectionSettings(Section):
    """Bounds of the restart injection."""

    min_evergreen_leafc: float = Field(
        1.0,
        ge=0.0,
        description="A living evergreen patch keeps the leaves of the restart where the prediction has at "
        "most this leaf carbon, gC m-2: without leaves it never recovers.",
    )
    litter_cn_min: float = Field(10.0, gt=0.0, description="Least C:N of injected litter and CWD, gC/gN.")
    litter_cn_max: float = Field(1000.0, gt=0.0, description="Largest C:N of injected litter and CWD, gC/gN.")
    litter_cp_min: float = Field(100.0, gt=0.0, description="Least C:P of injected litter and CWD, gC/gP.")
    litter_cp_max: float = Field(
        20000.0, gt=0.0, description="Largest C:P of injected litter and CWD, gC/gP."
    )
    out_of_bounds: OutOfBounds = Field(
        "refuse",
        description="Predicted values below zero, or above what any ecosystem holds: refuse them, clip them "
        "to the bound, or keep them, to see what the land model does with them; with keep, the leaves of the "
        "restart are not kept either.",
    )
    accept_unsound: bool = Field(
        False,
        description="Write the restart although the audit finds errors in it, to see what a model does.",
    )
    chunk_cells: int = Field(
        8192,
        ge=1,
        description="Largest number of cells in a row block; fewer where cells have many columns and layers.",
    )

    @model_validator(mode="after")
    def _bounds_in_order(self) -> Self:
        for ratio in ("litter_cn", "litter_cp"):
            least, largest = getattr(self, f"{ratio}_min"), getattr(self, f"{ratio}_max")
            if least >= largest:
                raise ValueError(f"{ratio}_min is {least}, {ratio}_max {largest}")
        return self
