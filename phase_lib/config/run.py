"""The `run` section: how this run is called and where its products go."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field


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
        description="directory of all runs, relative to the working directory",
    )

    @property
    def directory(self) -> Path:
        """Directory of this run."""
        return Path(self.results_dir) / self.name
