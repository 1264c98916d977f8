"""The `surrogate` section: network, loss and training."""

from __future__ import annotations

from typing import Annotated, Literal, Self, get_args

from pydantic import Field, SerializeAsAny, field_validator, model_validator

from phase_lib.base.plugins import Plugins
from phase_lib.config.kinds import Kinds, KindSettings, NetworkSettings
from phase_lib.config.section import Section

Preset = Literal["default", "paper", "unconstrained"]
#: Groups of features, in the order of the network's tokens.
FeatureGroup = Literal["forcing", "static", "traits", "state", "soil"]
FEATURE_GROUPS: tuple[FeatureGroup, ...] = get_args(FeatureGroup)

#: Networks: each a module of `surrogate/networks`, or a class of another package.
NETWORKS = Plugins("phase_lib.surrogate.networks", "network")


class DefaultPreset(KindSettings):
    """Corrections of a start, scaled per PFT and per layer, by heads that PFTs and layers share."""

    kind: Literal["default"] = "default"
    linear_weight: float = Field(
        8.0, ge=0.0, description="weight of the error in physical units, relative to that of the logarithm"
    )
    balance: float = Field(
        0.5, ge=0.0, le=1.0, description="0: all values have the same weight; 1: all PFTs, however rare"
    )


class PaperPreset(KindSettings):
    """Targets scaled by their minimum and maximum, and one flat head for each task."""

    kind: Literal["paper"] = "paper"


class UnconstrainedPreset(KindSettings):
    """As the paper's preset, but outputs are the scaled targets themselves: predictions may be negative."""

    kind: Literal["unconstrained"] = "unconstrained"


PresetSettings = DefaultPreset | PaperPreset | UnconstrainedPreset
_PRESETS = Kinds(
    {"default": DefaultPreset, "paper": PaperPreset, "unconstrained": UnconstrainedPreset}, "default"
)
_NETWORKS = Kinds(NETWORKS, "phase")


class SurrogateSettings(Section):
    """Network, loss and training of the surrogate."""

    preset: Annotated[PresetSettings, _PRESETS] = Field(
        default_factory=DefaultPreset, description="what the network predicts, and how data are scaled"
    )
    network: Annotated[SerializeAsAny[NetworkSettings], _NETWORKS] = Field(
        default_factory=lambda: _NETWORKS.settings("phase"), description="what kind of network, and its sizes"
    )
    leave_out: list[FeatureGroup] = Field(
        default_factory=list,
        description="groups of features that the network does not see: forcing (monthly climate), static "
        "(surface data and the grid-level fluxes of the 20 years), traits (of PFTs), state (pools per PFT), "
        "soil (pools per layer); predictions do not start from a 20-year state that is left out",
    )
    members: int = Field(
        5, ge=1, description="networks trained side by side from different initial weights and averaged"
    )
    lambda_physics: float = Field(
        0.1,
        ge=0.0,
        description="weight of mean (NPP - (GPP - AR))^2, fluxes in units of the mean training GPP",
    )
    flux_weight: float = Field(
        1.0, ge=0.0, description="weight of the error of GPP, NPP and AR, relative to that of the pools"
    )
    epochs: int = Field(100, ge=1, description="passes over the training cells, at most")
    batch_cells: int = Field(64, ge=1, description="cells in a mini-batch")
    learning_rate: float = Field(3.0e-3, gt=0.0, description="highest learning rate of AdamW")
    warmup_epochs: int = Field(5, ge=0, description="epochs of linear rise before the cosine decay")
    weight_decay: float = Field(1.0e-2, ge=0.0, description="weight decay of AdamW")
    gradient_clip: float = Field(1.0, gt=0.0, description="largest norm of the gradient of a step")
    ema_decay: float = Field(
        0.98, ge=0.0, lt=1.0, description="memory of the running mean of the weights that is kept; 0 for none"
    )
    patience: int = Field(
        25, ge=1, description="epochs without a better validation loss after which training ends"
    )
    seed: int = Field(1, ge=0, le=2**31 - 1, description="seed of initial weights, mini-batches and dropout")
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="where the network computes; auto: on the GPU where there is one, else on the CPU"
    )
    gpus: int = Field(
        1, ge=1, description="processes that train together on a node, one for each GPU (or on the CPU)"
    )
    nodes: int = Field(1, ge=1, description="nodes that train together; more than one under SLURM only")
    cache_gib: float = Field(
        2.0,
        ge=0.0,
        description="training data up to this size, GiB, stay in memory and are shuffled together; larger "
        "data are read and shuffled file by file",
    )
    checkpoint_seconds: float = Field(
        20.0,
        ge=0.0,
        description="least time between two checkpoints, s; a killed training continues from the last one",
    )

    @field_validator("leave_out")
    @classmethod
    def _in_order(cls, groups: list[FeatureGroup]) -> list[FeatureGroup]:
        if set(groups) == set(FEATURE_GROUPS):
            raise ValueError("every group is left out; keep at least one")
        return [group for group in FEATURE_GROUPS if group in groups]

    @model_validator(mode="after")
    def _every_process_has_cells(self) -> Self:
        if self.processes > self.batch_cells:
            raise ValueError(
                f"gpus x nodes is {self.processes}, but batch_cells {self.batch_cells}; expected at least "
                "one cell for each GPU"
            )
        return self

    @property
    def processes(self) -> int:
        """Processes that train together."""
        return self.gpus * self.nodes
