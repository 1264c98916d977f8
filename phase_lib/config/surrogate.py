"""The `surrogate` section: the PHASE network and its training."""

from __future__ import annotations

from typing import Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Preset = Literal["default", "paper"]
#: Groups of features, in the order of the network's tokens.
FeatureGroup = Literal["forcing", "static", "traits", "state", "soil"]
FEATURE_GROUPS: tuple[FeatureGroup, ...] = get_args(FeatureGroup)


#: What has a choice -> the choice -> keys that then do nothing.
_WITHOUT_EFFECT: dict[str, dict[str, tuple[str, ...]]] = {
    "network": {"mlp": ("attention_heads", "fusion_layers", "lstm_hidden", "cnn_channels")},
    "preset": {"paper": ("linear_weight", "balance")},
}


class SurrogateSettings(BaseModel):
    """Shape, loss and training of the PHASE surrogate."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    preset: Preset = Field(
        "default",
        description="paper: min-max scaled targets and one flat head per task; default: corrections of the "
        "20-year state, scaled per PFT and per layer, decoded by heads that PFTs and layers share",
    )
    network: Literal["phase", "mlp"] = Field(
        "phase",
        description="phase: an encoder for each group of features, fused by attention; mlp: the baseline, "
        "all features side by side into one fully connected network, which has no attention_heads, "
        "fusion_layers, lstm_hidden and cnn_channels",
    )
    leave_out: list[FeatureGroup] = Field(
        default_factory=list,
        description="groups of features that the network does not see: forcing (monthly climate), static "
        "(surface data and the grid-level fluxes of the 20 years), traits (of PFTs), state (pools per PFT), "
        "soil (pools per layer); predictions do not start from a 20-year state that is left out",
    )
    d_model: int = Field(64, ge=4, description="width of a token and of the fused latent")
    attention_heads: int = Field(4, ge=1, description="attention heads of the fusion; divides d_model")
    fusion_layers: int = Field(2, ge=1, description="layers of the Transformer encoder")
    feedforward: int = Field(
        128, ge=1, description="width of the encoder's feed-forward part; of the hidden layer of an mlp"
    )
    lstm_hidden: int = Field(32, ge=1, description="hidden units of the LSTM over monthly forcing")
    cnn_channels: int = Field(32, ge=1, description="channels of the convolutions over soil layers")
    decoder_width: int = Field(96, ge=1, description="hidden units of the task heads")
    dropout: float = Field(0.2, ge=0.0, lt=1.0, description="dropout in encoders, fusion and heads")
    members: int = Field(
        3, ge=1, description="networks trained side by side from different initial weights and averaged"
    )
    lambda_physics: float = Field(
        0.1,
        ge=0.0,
        description="weight of mean (NPP - (GPP - AR))^2, fluxes in units of the mean training GPP",
    )
    flux_weight: float = Field(
        1.0, ge=0.0, description="weight of the error of GPP, NPP and AR beside that of the pools"
    )
    linear_weight: float = Field(
        4.0,
        ge=0.0,
        description="default preset: weight of the error in physical units beside that of the logarithm",
    )
    balance: float = Field(
        0.5,
        ge=0.0,
        le=1.0,
        description="default preset: 0 weighs every value alike, 1 every PFT, however rare",
    )
    epochs: int = Field(80, ge=1, description="passes over the training cells, at most")
    batch_cells: int = Field(64, ge=1, description="cells in a mini-batch")
    learning_rate: float = Field(3.0e-3, gt=0.0, description="highest learning rate of AdamW")
    warmup_epochs: int = Field(5, ge=0, description="epochs of linear rise before the cosine decay")
    weight_decay: float = Field(1.0e-2, ge=0.0, description="weight decay of AdamW")
    gradient_clip: float = Field(1.0, gt=0.0, description="largest norm of a step's gradient")
    ema_decay: float = Field(
        0.98, ge=0.0, lt=1.0, description="memory of the running mean of the weights that is kept; 0 for none"
    )
    patience: int = Field(
        25, ge=1, description="epochs without a better validation loss after which training ends"
    )
    seed: int = Field(1, ge=0, le=2**31 - 1, description="seed of initial weights, batches and dropout")
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
        description="training data up to this size stay in memory, GiB, and are shuffled as one; more is "
        "read and shuffled file by file",
    )
    checkpoint_seconds: float = Field(
        20.0,
        ge=0.0,
        description="least time between two checkpoints, s; a killed training goes on from the last",
    )

    @field_validator("leave_out")
    @classmethod
    def _in_order(cls, groups: list[FeatureGroup]) -> list[FeatureGroup]:
        if set(groups) == set(FEATURE_GROUPS):
            raise ValueError("every group is left out; keep at least one")
        return [group for group in FEATURE_GROUPS if group in groups]

    @model_validator(mode="after")
    def _heads_divide_model(self) -> Self:
        if self.network == "phase" and self.d_model % self.attention_heads:
            raise ValueError(f"attention_heads {self.attention_heads} does not divide d_model {self.d_model}")
        return self

    @model_validator(mode="after")
    def _every_process_has_cells(self) -> Self:
        if self.processes > self.batch_cells:
            raise ValueError(
                f"gpus x nodes is {self.processes}, but batch_cells {self.batch_cells}; "
                "expected at least a cell for each GPU"
            )
        return self

    @property
    def without_effect(self) -> dict[str, str]:
        """Key that does nothing here -> the choice that makes it so."""
        return {
            key: f"{chooser}: {choice}"
            for chooser, choices in _WITHOUT_EFFECT.items()
            for choice, keys in choices.items()
            if getattr(self, chooser) == choice
            for key in keys
        }

    @property
    def processes(self) -> int:
        """Processes that train together."""
        return self.gpus * self.nodes
