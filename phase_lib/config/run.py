"""The `run` section: how this run is called and where its products go."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, field_validator


class RunSettings(BaseModel):
    """What the run is called, and where its products go."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(
        "default",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
        description="name of the run; everything it makes lies in results_dir/name",
    )
    seed: int = Field(
        1,
        ge=0,
        description="seed of the split into training, validation and test cells",
    )
    results_dir: str = Field(
        "results",
        # Snakemake takes what stands in braces for a wildcard.
        pattern=r"^[^{}\n]+$",
        description="directory of all runs, relative to the working directory; ~ and environment variables "
        "($SCRATCH) are expanded",
    )

    @field_validator("results_dir")
    @classmethod
    def _expand(cls, name: str) -> str:
        expanded = os.path.expandvars(os.path.expanduser(name))
        if "$" in expanded:
            raise ValueError(f"an environment variable in {name} is not set")
        return expanded

    @property
    def directory(self) -> Path:
        """Directory of this run."""
        return Path(self.results_dir) / self.name
