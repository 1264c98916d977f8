"""The whole configuration of a workflow: one model per section."""

from __future__ import annotations

import re
from types import UnionType
from typing import Any, Self, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, model_validator

from phase_lib.base.plugins import did_you_mean
from phase_lib.config.cost import CostSettings
from phase_lib.config.dataset import DatasetSettings
from phase_lib.config.domains import EMBEDDED, DomainFiles, TargetDomain, TrainingDomains
from phase_lib.config.equilibrium import EquilibriumSettings
from phase_lib.config.experiments import ExperimentSettings
from phase_lib.config.fusion import FusionSettings
from phase_lib.config.injection import InjectionSettings
from phase_lib.config.kinds import Kinds
from phase_lib.config.land_model import LandModelSettings
from phase_lib.config.ood import OodSettings
from phase_lib.config.preflight import PreflightSettings
from phase_lib.config.run import RunSettings
from phase_lib.config.surrogate import SurrogateSettings
from phase_lib.config.world import WorldSettings

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


class WorkflowConfig(BaseModel):
    """Every section in the order of the data."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    run: RunSettings = Field(default_factory=RunSettings)
    world: WorldSettings = Field(default_factory=WorldSettings)
    land_model: LandModelSettings = Field(default_factory=LandModelSettings)
    domains: dict[str, DomainFiles] = Field(
        default_factory=dict,
        description="Domains whose land-model output exists already: name -> files; `~` and environment "
        "variables in paths are expanded",
    )
    training: TrainingDomains = Field(default_factory=TrainingDomains)
    target: TargetDomain = Field(default_factory=TargetDomain)
    preflight: PreflightSettings = Field(default_factory=PreflightSettings)
    fusion: FusionSettings = Field(default_factory=FusionSettings)
    dataset: DatasetSettings = Field(default_factory=DatasetSettings)
    surrogate: SurrogateSettings = Field(default_factory=SurrogateSettings)
    experiments: ExperimentSettings = Field(default_factory=ExperimentSettings)
    ood: OodSettings = Field(default_factory=OodSettings)
    injection: InjectionSettings = Field(default_factory=InjectionSettings)
    equilibrium: EquilibriumSettings = Field(default_factory=EquilibriumSettings)
    cost: CostSettings = Field(default_factory=CostSettings)

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

    @model_validator(mode="after")
    def _experiments_differ(self) -> Self:
        self.experiments.settings(self.surrogate)
        return self

    @model_validator(mode="after")
    def _domains_agree(self) -> Self:
        for name in self.domains:
            if name == EMBEDDED or not _NAME.fullmatch(name):
                raise ValueError(
                    f"domains.{name}: not a name for a domain; expected letters, digits, - and _, "
                    f"and not `{EMBEDDED}`, which is the world's"
                )
        known = [EMBEDDED, *self.domains]
        for key, wanted in (
            ("training.domains", self.training.domains),
            ("target.domain", [self.target.domain]),
        ):
            for name in wanted:
                if name not in known:
                    hint = did_you_mean(name, known)
                    raise ValueError(f"{key} names {name!r}; expected one of {', '.join(known)}{hint}")
        if len(set(self.training.domains)) != len(self.training.domains):
            raise ValueError("training.domains names a domain twice; expected each once")
        for name in self.training.domains:
            if name != EMBEDDED and self.domains[name].reference_restart is None:
                raise ValueError(
                    f"domains.{name} has no reference_restart, but training.domains names it; "
                    "give the final restart of its reference run"
                )
        for name, files in self.domains.items():
            if files.reference_restart is not None and not files.reference_history:
                raise ValueError(
                    f"domains.{name} has a reference_restart and no reference_history; "
                    "give the history of the reference's last forcing cycle"
                )
            if files.reference_restart is None and (files.reference_history or files.reference_ad_restart):
                raise ValueError(
                    f"domains.{name} has files of a reference run and no reference_restart; "
                    "give the final restart of that run, or leave them out"
                )
            if files.forcing.kind != "history" and not files.forcing.files:
                raise ValueError(
                    f"domains.{name}.forcing.files is empty; expected files of kind {files.forcing.kind}"
                )
        embedded = self.target.domain == EMBEDDED
        if embedded != (self.land_model.backend == "embedded"):
            other = "one of the section domains" if embedded else f"`{EMBEDDED}`"
            raise ValueError(
                f"target.domain is {self.target.domain!r} with land_model.backend "
                f"{self.land_model.backend!r}; expected {other}, or the other backend"
            )
        return self


def entry_models(model: type[BaseModel]) -> dict[str, type[BaseModel]]:
    """Fields of a model that hold models under names of the user's choice: name -> model of an entry."""
    return {
        name: entry
        for name, field in model.model_fields.items()
        if get_origin(field.annotation) is dict
        for entry in _options(get_args(field.annotation)[1])
    }


def section_models(model: type[BaseModel]) -> dict[str, type[BaseModel]]:
    """Fields of a model that are models themselves: name -> model, that of the default kind."""
    sections: dict[str, type[BaseModel]] = {}
    for name, field in model.model_fields.items():
        kinds: list[type[BaseModel]] = [
            mark.load(mark.default) for mark in field.metadata if isinstance(mark, Kinds)
        ]
        if models := kinds or _options(field.annotation):
            sections[name] = models[0]
    return sections


def _options(annotation: Any) -> list[type[BaseModel]]:
    """The model that an annotation names, alone or beside None."""
    options = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    return [option for option in options if isinstance(option, type) and issubclass(option, BaseModel)]
