"""The `experiments` section: trainings of the surrogate beside the run's own, to compare with it."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from phase_lib.config.surrogate import SurrogateSettings

Baseline = Literal["paper", "mlp"]
Split = Literal["random", "block"]
_Seed = Annotated[int, Field(ge=0, le=2**31 - 1)]

_SPLITS: tuple[Split, ...] = get_args(Split)

#: What the run's own settings are called among the experiments.
OWN = "phase"
#: Settings of a baseline where they differ from the run's own; the paper trains one network.
BASELINES: dict[Baseline, dict[str, Any]] = {
    "paper": {"preset": "paper", "members": 1},
    "mlp": {"network": "mlp"},
}
#: Names that stand for something else in tables.
_TAKEN = {OWN, *BASELINES, "state20", "analogue"}
#: What an experiment cannot change, and what to do instead.
SHARED = {
    "seed": "list the seeds in experiments.seeds",
    **{key: f"set surrogate.{key}, which holds for all trainings" for key in ("device", "gpus", "nodes")},
}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


class Changes(SurrogateSettings):
    """Keys of the section `surrogate` that an experiment changes; all others are the run's."""

    @model_validator(mode="after")
    def _heads_divide_model(self) -> Self:
        # Judged together with the run's settings, in `ExperimentSettings.settings`.
        return self

    @model_serializer(mode="wrap")
    def _only_what_is_set(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {key: value for key, value in handler(self).items() if key in self.model_fields_set}


class ExperimentSettings(BaseModel):
    """Further trainings of the surrogate for comparison, each a job of its own; none by default."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    variants: dict[str, Changes] = Field(
        default_factory=dict,
        description="experiments by name, each with the keys of the section surrogate that differ: "
        "{no_physics: {lambda_physics: 0}, no_climate: {leave_out: [forcing]}}",
    )
    baselines: list[Baseline] = Field(
        default_factory=list,
        description="networks to compare with: paper (the paper's preset, one network), mlp (one fully "
        "connected network over all features)",
    )
    seeds: int | list[_Seed] = Field(
        1,
        description="seeds that every experiment and the run's own settings are trained with: how many, "
        "counted from surrogate.seed, or a list that holds it",
    )
    splits: list[Split] = Field(
        default_factory=lambda: list(_SPLITS),
        min_length=1,
        description="splits to train on: random, block",
    )
    limit: int = Field(
        4,
        ge=1,
        description="experiments that train at the same time, at most; cores and GPUs may allow fewer",
    )

    @model_validator(mode="after")
    def _names_and_seeds_are_right(self) -> Self:
        for name, changes in self.variants.items():
            if name in _TAKEN or not _NAME.fullmatch(name):
                raise ValueError(
                    f"variants.{name}: not a name for an experiment; expected letters, digits, - and _, and "
                    f"none of {', '.join(sorted(_TAKEN))}"
                )
            for key in sorted(changes.model_fields_set & SHARED.keys()):
                raise ValueError(f"variants.{name}.{key} cannot differ; {SHARED[key]}")
        given = [self.seeds] if isinstance(self.seeds, int) else self.seeds
        least = 1 if isinstance(self.seeds, int) else 0
        if not given or min(given) < least or len(set(given)) < len(given):
            raise ValueError(f"seeds is {self.seeds}; expected a number from 1 or a list of different seeds")
        for key in ("baselines", "splits"):
            if len(set(getattr(self, key))) < len(getattr(self, key)):
                raise ValueError(f"{key} names one twice; expected each once")
        return self

    def seeds_of(self, own: SurrogateSettings) -> list[int]:
        """Seeds that every experiment is trained with."""
        if isinstance(self.seeds, int):
            return [own.seed + i for i in range(self.seeds)]
        return self.seeds

    def changes(self) -> dict[str, dict[str, Any]]:
        """Experiment -> settings that differ from the run's: none in the first, the run's own.

        Empty where nothing is configured.
        """
        named = {name: changes.model_dump(mode="json") for name, changes in self.variants.items()}
        found = {name: BASELINES[name] for name in self.baselines} | named
        return {OWN: {}, **found} if found or self.seeds != 1 else {}

    def settings(self, own: SurrogateSettings) -> dict[str, SurrogateSettings]:
        """Experiment -> settings of its trainings, with the run's own seed.

        Raises:
            ValueError: an experiment's settings are impossible together with the run's, have no effect, or
                are those of another experiment or of the run; the seeds lack the run's.
        """
        found: dict[str, SurrogateSettings] = {}
        if own.seed not in self.seeds_of(own):
            raise ValueError(
                f"experiments.seeds is {self.seeds}; expected surrogate.seed, {own.seed}, among them, as the "
                "run itself is compared too"
            )
        for name, changes in self.changes().items():
            try:
                settings = SurrogateSettings.model_validate(own.model_dump(mode="json") | changes)
            except ValidationError as error:
                message = error.errors()[0]["msg"].removeprefix("Value error, ")
                raise ValueError(f"experiments.variants.{name}: {message}") from error
            for key in changes.keys() & settings.without_effect.keys():
                raise ValueError(
                    f"experiments.variants.{name}.{key} does nothing with {settings.without_effect[key]}; "
                    "leave it out"
                )
            for other, others in found.items():
                if settings == others:
                    which = "the run" if other == OWN else other
                    raise ValueError(f"experiments: {name} has the settings of {which}; leave it out")
            found[name] = settings
        return found
