"""The `experiments` section: what is compared with the run's own surrogate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)

from phase_lib.base.plugins import Plugins
from phase_lib.config.kinds import overlay
from phase_lib.config.section import NAME, Section
from phase_lib.config.sites import METHODS, Method
from phase_lib.config.surrogate import SurrogateSettings

Split = Literal["random", "block"]
_Seed = Annotated[int, Field(ge=0, le=2**31 - 1)]
_Share = Annotated[float, Field(gt=0.0, lt=1.0)]

#: Predictions without a network: each a module of `surrogate/baselines`, or a class of another package.
BASELINES = Plugins("phase_lib.surrogate.baselines", "baseline")
#: What the run's own settings are called among the experiments.
OWN = "phase"
#: What an experiment cannot change, and what to do instead.
SHARED = {
    "seed": "list the seeds in experiments.seeds",
    **{key: f"set surrogate.{key}, which holds for all trainings" for key in ("device", "gpus", "nodes")},
}


class Changes(SurrogateSettings):
    """Keys of the section `surrogate` that an experiment changes, and its label; all others are the run's."""

    label: str = Field("", description="name of the experiment in tables and figures; its key if empty")
    # These are incomplete, and are checked together with the run's settings.
    preset: Any = None
    network: Any = None

    @model_serializer(mode="wrap")
    def _only_what_is_set(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {key: value for key, value in handler(self).items() if key in self.model_fields_set}


def _paper() -> dict[str, Any]:
    network = {"kind": "phase", "months_per_step": 1, "dropout": 0.2}
    return {
        "paper": Changes(label="PHASE, paper preset", preset="paper", network=network, members=1),
    }


class ExperimentSettings(Section):
    """What the surrogate is compared with: further trainings, each a separate job, and baselines."""

    variants: dict[str, Changes | None] = Field(
        default_factory=_paper,
        validate_default=True,
        description="experiments by name, each with the keys of the section surrogate that differ: "
        "{no_physics: {lambda_physics: 0}, no_climate: {leave_out: [forcing]}, mlp: {network: mlp}}; "
        "`paper`, the settings of the PHASE paper, is one of them unless it is null",
    )
    label_shares: list[_Share] = Field(
        default_factory=list,
        description="shares of the cells beside the test that have labels, each an experiment with the run's "
        "settings: [0.02, 0.05, 0.1, 0.2, 0.4, 0.8] shows how many reference cells a domain needs",
    )
    label_methods: list[Method] = Field(
        default_factory=lambda: list(METHODS),
        min_length=1,
        description="how these cells are chosen: stratified (clusters of climate, soil and vegetation, as "
        "phase choose-sites does) or random",
    )
    baselines: list[str] = Field(
        default_factory=lambda: ["state20", "analogue"],
        description="predictions without a network in the run's test files: state20 (the state after the AD "
        "years), analogue (the nearest training cell), semi_analytic (where the rates of the last years "
        "lead), extrapolation (where the course of the years leads), extra_trees, boosted_trees, or "
        "package.module:Class",
    )
    restarts: list[str] = Field(
        default_factory=list,
        description="models whose predictions are injected and run by the land model: phase, names of "
        "variants (blocked split, the run's seed) and of baselines; each is run as it is predicted, out of "
        "bounds or not, and once more clipped and with the windows of stabilisation",
    )
    restart_test_years: int = Field(
        100,
        ge=2,
        description="length of these runs, after the last correction of those that are corrected: whole "
        "forcing cycles, at least two, years",
    )
    seeds: int | list[_Seed] = Field(
        1,
        description="seeds of all trainings, also of those with the run's own settings: a number of seeds, "
        "counted from surrogate.seed, or a list that includes it",
    )
    splits: list[Split] = Field(
        default_factory=lambda: list(get_args(Split)),
        min_length=1,
        description="splits to train on: random, block",
    )
    limit: int = Field(
        4, ge=1, description="most experiments that train at the same time; cores and GPUs may allow fewer"
    )

    @field_validator("variants", mode="before")
    @classmethod
    def _with_paper(cls, variants: Any) -> Any:
        return overlay(_paper(), variants) if isinstance(variants, Mapping) else variants

    @field_validator("baselines")
    @classmethod
    def _baselines_exist(cls, baselines: list[str]) -> list[str]:
        for name in baselines:
            # Modules of this library are slow to import, and need no check.
            BASELINES.load(name) if ":" in name else BASELINES.place(name)
        return baselines

    @model_validator(mode="after")
    def _names_and_seeds_are_right(self) -> Self:
        taken = [OWN, *self.baselines]
        for name, changes in self.variants.items():
            if name in taken or not NAME.fullmatch(name):
                raise ValueError(
                    f"variants.{name}: not a name for an experiment; expected letters, digits, - and _, and "
                    f"none of {', '.join(taken)}"
                )
            for key in sorted(changes.model_fields_set & SHARED.keys() if changes else ()):
                raise ValueError(f"variants.{name}.{key} cannot differ; {SHARED[key]}")
        given = [self.seeds] if isinstance(self.seeds, int) else self.seeds
        least = 1 if isinstance(self.seeds, int) else 0
        if not given or min(given) < least or len(set(given)) < len(given):
            raise ValueError(f"seeds is {self.seeds}; expected a number from 1 or a list of different seeds")
        for name in self.restarts:
            trained = {key for key, changes in self.variants.items() if changes} | self.labelled.keys()
            if name not in {OWN, *trained, *self.baselines}:
                known = ", ".join([OWN, *sorted(trained), *self.baselines])
                raise ValueError(f"restarts names {name!r}; expected one of {known}")
            if name in trained and "block" not in self.splits:
                raise ValueError(f"restarts names {name!r}, which is not trained on the blocked split")
        for name in sorted(self.labelled.keys() & self.variants.keys()):
            raise ValueError(f"variants.{name}: label_shares makes an experiment of this name; rename it")
        for key in ("baselines", "splits", "restarts", "label_shares", "label_methods"):
            if len(set(getattr(self, key))) < len(getattr(self, key)):
                raise ValueError(f"{key} names one twice; expected each once")
        return self

    @property
    def labelled(self) -> dict[str, tuple[float, Method]]:
        """Experiments with fewer labels -> the share of cells that have some, and how these are chosen."""
        return {
            f"labels_{100.0 * share:g}_{method}".replace(".", "_"): (share, method)
            for share in self.label_shares
            for method in self.label_methods
        }

    @property
    def starts(self) -> dict[str, str]:
        """Name in files -> the model of `restarts`; of a class of another package the name of the class."""
        return {name.rpartition(":")[2]: name for name in self.restarts}

    def seeds_of(self, run: SurrogateSettings) -> list[int]:
        """Seeds that every experiment is trained with."""
        if isinstance(self.seeds, int):
            return [run.seed + i for i in range(self.seeds)]
        return self.seeds

    def labels(self, run: SurrogateSettings) -> dict[str, str]:
        """Experiment, or the run itself -> its name in tables and figures."""
        labels = {name: changes.label or name for name, changes in self.variants.items() if changes}
        shares = {
            name: f"labels on {100.0 * share:g} %, {method}"
            for name, (share, method) in self.labelled.items()
        }
        return {OWN: run.network.label, **labels, **shares}

    def settings(self, run: SurrogateSettings) -> dict[str, SurrogateSettings]:
        """Experiment -> settings of its trainings, with the run's own seed; the run's come first.

        Raises:
            ValueError: an experiment's settings are impossible together with the run's, or are those of
                another experiment or of the run; the seeds lack the run's.
        """
        if run.seed not in self.seeds_of(run):
            raise ValueError(
                f"experiments.seeds is {self.seeds}; expected surrogate.seed, {run.seed}, among them, as the "
                "run itself is compared too"
            )
        known = {OWN: run}
        for name, changes in self.variants.items():
            if changes is None:
                continue
            different = changes.model_dump(mode="json", exclude={"label"})
            try:
                settings = SurrogateSettings.model_validate(overlay(run.model_dump(mode="json"), different))
            except ValidationError as error:
                fault = error.errors()[0]
                place = ".".join(["experiments.variants", name, *map(str, fault["loc"])])
                raise ValueError(f"{place}: {fault['msg'].removeprefix('Value error, ')}") from error
            for other, others in known.items():
                if settings == others:
                    which, remedy = (other, "leave it out") if other != OWN else ("the run", "set it to null")
                    raise ValueError(f"experiments: {name} has the settings of {which}; {remedy}")
            known[name] = settings
        return known | dict.fromkeys(self.labelled, run)

    def trainings(self, run: SurrogateSettings) -> list[tuple[str, int, Split]]:
        """Experiment, seed and split of all trainings but the run's own."""
        return [
            (name, seed, split)
            for name in self.settings(run)
            for seed in self.seeds_of(run)
            for split in self.splits
            if (name, seed) != (OWN, run.seed)
        ]
