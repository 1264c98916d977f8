"""The `ood` section: cells unlike the training cells."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from phase_lib.config.section import Section


class OodSettings(Section):
    """When a cell counts as out of distribution, and which state it then receives."""

    action: Literal["keep", "analogue", "predict"] = Field(
        "keep",
        description="State that a flagged cell receives: keep: its 20-year state in normal mode; analogue: "
        "the state of the nearest training cell; predict: the prediction all the same.",
    )
    quantile: float = Field(
        0.995,
        gt=0.0,
        lt=1.0,
        description="Cells whose score exceeds this quantile of the held-out training cells are flagged.",
    )
