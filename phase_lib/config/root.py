"""The whole configuration of a workflow: one model per section."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from phase_lib.config.dataset import DatasetSettings
from phase_lib.config.equilibrium import EquilibriumSettings
from phase_lib.config.fusion import FusionSettings
from phase_lib.config.injection import InjectionSettings
from phase_lib.config.land_model import LandModelSettings
from phase_lib.config.ood import OodSettings
from phase_lib.config.run import RunSettings
from phase_lib.config.surrogate import SurrogateSettings
from phase_lib.config.world import WorldSettings


class WorkflowConfig(BaseModel):
    """Every section in the order of the data."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    run: RunSettings = Field(default_factory=RunSettings)
    world: WorldSettings = Field(default_factory=WorldSettings)
    land_model: LandModelSettings = Field(default_factory=LandModelSettings)
    fusion: FusionSettings = Field(default_factory=FusionSettings)
    dataset: DatasetSettings = Field(default_factory=DatasetSettings)
    surrogate: SurrogateSettings = Field(default_factory=SurrogateSettings)
    ood: OodSettings = Field(default_factory=OodSettings)
    injection: InjectionSettings = Field(default_factory=InjectionSettings)
    equilibrium: EquilibriumSettings = Field(default_factory=EquilibriumSettings)

    @model_validator(mode="after")
    def _sections_agree(self) -> Self:
        cycle = self.world.forcing_years
        for name in ("ad_years", "normal_years", "input_years", "stabilisation_years", "segment_years"):
            years = getattr(self.land_model, name)
            if years % cycle:
                raise ValueError(
                    f"land_model.{name} is {years}; expected a multiple of world.forcing_years ({cycle}), "
                    "as the 20-year means are over whole forcing cycles"
                )
        return self


def section_models(model: type[BaseModel]) -> dict[str, type[BaseModel]]:
    """Fields of a model that are models themselves: name -> model."""
    return {
        name: field.annotation
        for name, field in model.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
    }
