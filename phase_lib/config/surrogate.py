"""The `surrogate` section: the PHASE network and its training."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Preset = Literal["default", "paper"]


class SurrogateSettings(BaseModel):
    """Shape, loss and training of the PHASE surrogate."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    preset: Preset = Field(
        "default",
        description="paper: min-max scaled targets and one flat head per task; default: corrections of the "
        "20-year state, scaled per PFT and per layer, decoded by heads that PFTs and layers share",
    )
    d_model: int = Field(64, ge=4, description="width of a token and of the fused latent")
    attention_heads: int = Field(4, ge=1, description="attention heads of the fusion; divides d_model")
    fusion_layers: int = Field(2, ge=1, description="layers of the Transformer encoder")
    feedforward: int = Field(128, ge=1, description="width of the encoder's feed-forward part")
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
    device: Literal["cpu", "cuda"] = Field("cpu", description="where the network computes")
    cache_gib: float = Field(
        2.0,
        ge=0.0,
        description="training data up to this size stay in memory, GiB; more is read file by file",
    )
    checkpoint_seconds: float = Field(
        20.0,
        ge=0.0,
        description="least time between two checkpoints, s; a killed training goes on from the last",
    )

    @model_validator(mode="after")
    def _heads_divide_model(self) -> Self:
        if self.d_model % self.attention_heads:
            raise ValueError(f"attention_heads {self.attention_heads} does not divide d_model {self.d_model}")
        return self
