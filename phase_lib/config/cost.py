"""The `cost` section: what the report needs to know of a cluster to count node-hours."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class CostSettings(BaseModel):
    """How the report counts what the run cost, beside a conventional spin-up."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    node_hours_per_model_year: float | None = Field(
        None,
        gt=0.0,
        description="node-hours of one model year of the target domain, for the cost of the conventional "
        "spin-up; null: measured from the run's own segments where the target is run here",
    )
    cores_per_node: int | None = Field(
        None,
        ge=1,
        description="cores of a node, which make node-hours of core-hours where SLURM keeps no records; "
        "null: core-hours alone",
    )
