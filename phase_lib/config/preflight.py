"""The `preflight` section: what is checked before anything runs."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

#: Findings that a user may know better about; all others end the run.
Acceptable = Literal["forcing", "forcing_history", "history_case", "parameters", "target_drift"]


class PreflightSettings(BaseModel):
    """Findings that are accepted on purpose."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    accept: list[Acceptable] = Field(
        default_factory=list,
        description="forcing: training and target have forcing of another product or reduction; "
        "forcing_history: the forcing of a domain is not what its history says that the model saw; "
        "history_case: a history is of a case of another name than the restart at its end; "
        "parameters: the target was run with other PFT or decomposition parameters than training; "
        "target_drift: the reference run that gives the labels is not in equilibrium",
    )
