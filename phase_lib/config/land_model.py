"""The `land_model` section: which land model runs."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, field_validator

from phase_lib.config.backends import check_backend


class LandModelSettings(BaseModel):
    """What runs the land model of the target and of the section domains."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    backend: str = Field(
        "embedded",
        description="embedded: the reduced-complexity ELM that comes with the workflow; archive: runs "
        "nothing and takes what exists already, up to the injected restart; or the name under which an "
        "installed package offers a land model. Its settings are the section of that name",
    )

    @field_validator("backend")
    @classmethod
    def _known(cls, name: str) -> str:
        return check_backend(name)
