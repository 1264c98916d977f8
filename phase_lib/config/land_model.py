"""The `land_model` section: which land model runs."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, field_validator

from phase_lib.config.backends import BACKENDS


class LandModelSettings(BaseModel):
    """What runs the land model of the target and of the section domains."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    backend: str = Field(
        "embedded",
        description="embedded: the reduced-complexity ELM that comes with the workflow; archive: runs "
        "nothing and takes what exists already, up to the injected restart; or a land model of another "
        "package: its entry point in phase_lib.landmodel.backends, or package.module:Class. Its settings "
        "are the section of its name",
    )

    @field_validator("backend")
    @classmethod
    def _known(cls, name: str) -> str:
        BACKENDS.load(name)
        return name
