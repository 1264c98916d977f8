"""The `ood` section: cells unlike the training cells."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class OodSettings(BaseModel):
    """When a cell counts as out of distribution, and what it gets then."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    action: Literal["keep", "analogue", "predict"] = Field(
        "keep",
        description="What a flagged cell gets: keep: its 20-year state in normal mode; analogue: the state "
        "of the nearest training cell; predict: the prediction all the same.",
    )
    quantile: float = Field(
        0.995,
        gt=0.0,
        lt=1.0,
        description="Cells whose score exceeds this quantile of the held-out training cells are flagged.",
    )
