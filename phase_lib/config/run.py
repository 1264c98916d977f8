"""Sections about the run as a whole: its name and place, its land model, accepted findings, and its cost."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from phase_lib.config.backends import BACKENDS
from phase_lib.config.section import Section

#: Findings that a user may know better about; all others end the run.
Acceptable = Literal["forcing", "forcing_history", "history_case", "parameters", "target_drift"]


class PreflightSettings(Section):
    """Findings that are accepted on purpose."""

    accept: list[Acceptable] = Field(
        default_factory=list,
        description="forcing: training and target have forcing of another product or reduction; "
        "forcing_history: the forcing of a domain differs from the forcing fields of its history; "
        "history_case: a history is of a case of another name than the restart at its end; "
        "parameters: the target was run with other PFT or decomposition parameters than training; "
        "target_drift: the reference run that gives the labels is not in equilibrium",
    )


class RunSettings(Section):
    """What the run is called, and where its products go."""

    name: str = Field(
        "default",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
        description="name of the run; everything it makes lies in results_dir/name",
    )
    seed: int = Field(1, ge=0, description="seed of the split into training, validation and test cells")
    results_dir: str = Field(
        "results",
        # Snakemake reads text in braces as a wildcard.
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


class LandModelSettings(Section):
    """What runs the land model of the target and of the section domains."""

    backend: str = Field(
        "embedded",
        description="embedded: the reduced-complexity ELM that comes with the workflow; cime: real ELM through "
        "CIME; archive: runs nothing and takes what exists already, up to the injected restart; or a land model of another "
        "package: its entry point in phase_lib.landmodel.backends, or package.module:Class. Its settings "
        "are the section of its name",
    )

    @field_validator("backend")
    @classmethod
    def _known(cls, name: str) -> str:
        BACKENDS.load(name)
        return name


class CostSettings(Section):
    """How the report counts the cost of the run, compared with a conventional spin-up."""

    node_hours_per_model_year: float | None = Field(
        None,
        gt=0.0,
        description="node-hours of one model year of the target domain, for the cost of the conventional "
        "spin-up; null: measured from the run's segments where the workflow runs the target",
    )
    cores_per_node: int | None = Field(
        None,
        ge=1,
        description="cores of a node, to convert core-hours to node-hours where SLURM keeps no records; "
        "null: core-hours only",
    )
