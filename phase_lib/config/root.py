"""The whole configuration of a workflow: one model per section."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cache
from types import UnionType
from typing import Any, Self, Union, get_args, get_origin

from pydantic import BaseModel, Field, create_model, model_validator

from phase_lib.base.errors import InputError
from phase_lib.base.plugins import did_you_mean
from phase_lib.config.backends import BACKENDS, backend_class, is_backend, makes_domain
from phase_lib.config.correction import CorrectionSettings
from phase_lib.config.dataset import DatasetSettings
from phase_lib.config.domains import DomainFiles, TargetDomain, TrainingDomains
from phase_lib.config.equilibrium import EquilibriumSettings
from phase_lib.config.experiments import ExperimentSettings
from phase_lib.config.fusion import FusionSettings
from phase_lib.config.injection import InjectionSettings
from phase_lib.config.kinds import Kinds
from phase_lib.config.ood import OodSettings
from phase_lib.config.reference import ReferenceSettings
from phase_lib.config.run import CostSettings, LandModelSettings, PreflightSettings, RunSettings
from phase_lib.config.section import NAME, Section
from phase_lib.config.spinup import LENGTHS, SpinupSettings
from phase_lib.config.stabilisation import StabilisationSettings
from phase_lib.config.surrogate import SurrogateSettings

#: The key that asks for corrections, and how to do without them.
_WITHOUT_WINDOWS = "stabilisation.windows", "set windows to [] and until to schedule"
_WITHOUT_METHOD = "reference.method", "set it to conventional"


class WorkflowConfig(Section):
    """Every section in the order of the data.

    A configuration that is read also has the sections of the land models that it uses (`model_for`).
    """

    run: RunSettings = Field(default_factory=RunSettings)
    land_model: LandModelSettings = Field(default_factory=LandModelSettings)
    spinup: SpinupSettings = Field(default_factory=SpinupSettings)
    reference: ReferenceSettings = Field(default_factory=ReferenceSettings)
    domains: dict[str, DomainFiles] = Field(
        default_factory=dict,
        description="Domains from files: name -> files; `~` and environment variables in paths are expanded. "
        "What is given is used; of restarts and history, what is not given land_model.backend makes",
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
    stabilisation: StabilisationSettings = Field(default_factory=StabilisationSettings)
    correction: CorrectionSettings = Field(default_factory=CorrectionSettings)
    equilibrium: EquilibriumSettings = Field(default_factory=EquilibriumSettings)
    cost: CostSettings = Field(default_factory=CostSettings)

    @model_validator(mode="after")
    def _predictions_can_be_injected(self) -> Self:
        if self.surrogate.preset.kind == "unconstrained":
            raise ValueError(
                "surrogate.preset is unconstrained: its pools may be negative, which no restart takes; "
                "use it in experiments.variants alone"
            )
        return self

    @model_validator(mode="after")
    def _experiments_differ(self) -> Self:
        self.experiments.settings(self.surrogate)
        return self

    @model_validator(mode="after")
    def _domains_agree(self) -> Self:
        for name, files in self.domains.items():
            if makes_domain(name) or not NAME.fullmatch(name):
                raise ValueError(
                    f"domains.{name}: not a name for a domain; expected letters, digits, - and _, "
                    "and not the name of a domain that a land model makes"
                )
            if (forcing := files.forcing) is not None and forcing.needs_files and not forcing.files:
                raise ValueError(
                    f"domains.{name}.forcing.files is empty; expected files of kind {forcing.kind}"
                )
        models = [backend_class(name) for name in dict.fromkeys([*BACKENDS.names, self.land_model.backend])]
        known = [*(model.name for model in models if model.makes_domain), *self.domains]
        wanted = [("training.domains", name) for name in self.training.domains]
        for key, name in [*wanted, ("target.domain", self.target.domain)]:
            if name not in known and not makes_domain(name):
                hint = did_you_mean(name, known)
                raise ValueError(f"{key} names {name!r}; expected one of {', '.join(known)}{hint}")
        if len(set(self.training.domains)) != len(self.training.domains):
            raise ValueError("training.domains names a domain twice; expected each once")
        target, backend = self.target.domain, self.land_model.backend
        if target not in self.domains and target != backend_class(backend).name:
            raise ValueError(
                f"target.domain is {target!r} with land_model.backend {backend!r}; expected one of the "
                "section domains, or the other backend"
            )
        return self

    @model_validator(mode="after")
    def _land_models_have_what_they_need(self) -> Self:
        for name in self.used_domains:
            files, model = self.domains.get(name), backend_class(self.backend_of(name))
            trains = name in self.training.domains
            if files is not None and files.reference_restart is None:
                if trains and not model.runs:
                    raise ValueError(
                        f"domains.{name} has no reference_restart, but training.domains names it; give the "
                        "final restart of its reference run, or choose a land model that runs"
                    )
                if files.reference_ad_restart is not None and not trains:
                    raise ValueError(
                        f"domains.{name} has a reference_ad_restart and no reference_restart; give the final "
                        "restart of that run too, or leave it out"
                    )
            if files is not None and files.restart is None and not model.runs:
                raise ValueError(
                    f"domains.{name} has no restart, and land_model.backend {model.name} runs nothing; give "
                    "restart and history, or choose a land model that runs"
                )
            if model.runs and (cycle := self.cycle_of(name)) is not None:
                self._require_whole_cycles(name, cycle)
                if name == self.target.domain:
                    self.stabilisation.check(name, cycle)
                    self._require_cycles_of_restarts(name, cycle)
                    self._require_budget(model, self.stabilisation.corrected, _WITHOUT_WINDOWS)
                if trains and (files is None or files.reference_restart is None):
                    self.reference.check(name, cycle)
                    self._require_budget(model, self.reference.corrected, _WITHOUT_METHOD)
        return self

    def _require_budget(self, model: Any, corrected: bool, remedy: tuple[str, str]) -> None:
        if corrected and not model.soil_budget:
            raise ValueError(
                f"{remedy[0]} asks for corrections, but the land model {model.name} does not write "
                f"the carbon budget of the soil; {remedy[1]}"
            )

    def _require_whole_cycles(self, name: str, cycle: int) -> None:
        for key in LENGTHS:
            years = getattr(self.spinup, key)
            if years % cycle:
                raise ValueError(
                    f"spinup.{key} is {years}; expected a multiple of {cycle}, the forcing cycle of {name}, "
                    "as means are over whole cycles"
                )

    def _require_cycles_of_restarts(self, name: str, cycle: int) -> None:
        years = self.experiments.restart_test_years
        if self.experiments.restarts and (years % cycle or years < 2 * cycle):
            raise ValueError(
                f"experiments.restart_test_years is {years}; expected a multiple of {cycle}, the forcing "
                f"cycle of {name}, and at least {2 * cycle}, as a drift is the difference of two cycles"
            )

    def cycle_of(self, domain: str) -> int | None:
        """Length of the forcing cycle of a domain, years; None where its forcing is not given."""
        backend = self.backend_of(domain)
        model = backend_class(backend)(self.settings_of(backend))
        years: int | None = model.cycle(domain, self.domains.get(domain))
        return years

    @property
    def used_domains(self) -> list[str]:
        """Names of the domains of training and target, each once."""
        return list(dict.fromkeys([*self.training.domains, self.target.domain]))

    def backend_of(self, domain: str) -> str:
        """Name of the land model of a domain; a domain that a land model makes is run by that model."""
        backend = self.land_model.backend
        return backend if domain in self.domains or domain == backend_class(backend).name else domain

    def settings_of(self, backend: str) -> BaseModel | None:
        """The section of a land model, with its defaults where it is left out; None where it has none."""
        land_model = backend_class(backend)
        section: BaseModel | None = getattr(self, land_model.name, None)
        return section or (land_model.settings_model and land_model.settings_model())


@cache
def with_backends(names: tuple[str, ...]) -> type[WorkflowConfig]:
    """The model of a configuration with the sections of land models."""
    models = {land_model.name: land_model.settings_model for land_model in map(backend_class, names)}
    sections: dict[str, Any] = {
        name: (model, Field(default_factory=model)) for name, model in models.items() if model is not None
    }
    return create_model("WorkflowConfig", __base__=WorkflowConfig, **sections) if sections else WorkflowConfig


def model_for(content: Mapping[str, Any]) -> tuple[type[WorkflowConfig], dict[str, Any]]:
    """The model of a configuration, and its content without the sections of unused land models."""
    used = tuple(dict.fromkeys(_used_backends(content)))
    models = [backend_class(name) for name in used]
    whole: dict[str, Any] = {model.name: {} for model in models if model.settings_model} | dict(content)
    others = {name for name in whole if is_backend(name)} - {model.name for model in models}
    unused = {name for name in others if backend_class(name).settings_model}
    return with_backends(used), {name: value for name, value in whole.items() if name not in unused}


def _used_backends(content: Mapping[str, Any]) -> Iterator[str]:
    """Names of the land models that an unchecked configuration uses."""

    def value(section: type[BaseModel], name: str, key: str) -> Any:
        given = content.get(name)
        default = section.model_fields[key].get_default(call_default_factory=True)
        return given.get(key, default) if isinstance(given, Mapping) else default

    backend = value(LandModelSettings, "land_model", "backend")
    with suppress(InputError):  # its own check refuses it
        backend_class(str(backend))
        yield str(backend)
    trained = value(TrainingDomains, "training", "domains")
    for name in [value(TargetDomain, "target", "domain"), *(trained if isinstance(trained, list) else [])]:
        if isinstance(name, str) and makes_domain(name):
            yield name


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
        kinds = [mark.load(mark.default) for mark in field.metadata if isinstance(mark, Kinds)]
        for section in kinds or _options(field.annotation):
            sections.setdefault(name, section)
    return sections


def _options(annotation: Any) -> list[type[BaseModel]]:
    """The model that an annotation names, alone or with None."""
    options = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    return [option for option in options if isinstance(option, type) and issubclass(option, BaseModel)]
