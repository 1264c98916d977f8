"""The `injection` section: how predicted pools become a restart."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class InjectionSettings(BaseModel):
    """Bounds of the restart injection."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    min_evergreen_leafc: float = Field(
        1.0,
        ge=0.0,
        description="An evergreen patch alive in the restart keeps its leaves where the prediction has no "
        "more leaf carbon than this, gC m-2: without leaves it never recovers.",
    )
    litter_cn_min: float = Field(10.0, gt=0.0, description="Least C:N of injected litter and CWD, gC/gN.")
    litter_cn_max: float = Field(1000.0, gt=0.0, description="Largest C:N of injected litter and CWD, gC/gN.")
    litter_cp_min: float = Field(100.0, gt=0.0, description="Least C:P of injected litter and CWD, gC/gP.")
    litter_cp_max: float = Field(
        20000.0, gt=0.0, description="Largest C:P of injected litter and CWD, gC/gP."
    )
    chunk_cells: int = Field(
        8192,
        ge=1,
        description="Cells worked on at a time, at most; fewer where they have many columns and layers.",
    )

    @model_validator(mode="after")
    def _bounds_in_order(self) -> Self:
        if self.litter_cn_min >= self.litter_cn_max:
            raise ValueError(f"litter_cn_min is {self.litter_cn_min}, litter_cn_max {self.litter_cn_max}")
        if self.litter_cp_min >= self.litter_cp_max:
            raise ValueError(f"litter_cp_min is {self.litter_cp_min}, litter_cp_max {self.litter_cp_max}")
        return self
