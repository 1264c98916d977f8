"""PHASE: encoders for five groups of features, fused by attention. Its settings do not import torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, Self, get_args

from pydantic import Field, field_validator, model_validator

from phase_lib.config.kinds import NetworkSettings

if TYPE_CHECKING:
    from phase_lib.dataset.layout import Layout
    from phase_lib.surrogate.networks.phase.network import PhaseNetwork


#: Parts that a variant of the network can do without.
Part = Literal["lstm", "cnn", "fc", "transformer"]


class Phase(NetworkSettings):
    """An encoder for each group of features, fused by attention."""

    label: ClassVar[str] = "PHASE"

    kind: Literal["phase"] = "phase"
    d_model: int = Field(64, ge=4, description="width of a token and of the fused latent")
    attention_heads: int = Field(4, ge=1, description="attention heads of the fusion; divides d_model")
    fusion_layers: int = Field(2, ge=1, description="layers of the Transformer encoder")
    feedforward: int = Field(128, ge=1, description="width of the encoder's feed-forward part")
    lstm_hidden: int = Field(32, ge=1, description="hidden units of the LSTM over monthly forcing")
    months_per_step: Literal[1, 2, 3, 4, 6, 12] = Field(
        3, description="months that the LSTM reads at each step; 1 in the paper, more are faster"
    )
    cnn_channels: int = Field(32, ge=1, description="channels of the convolutions over soil layers")
    decoder_width: int = Field(96, ge=1, description="hidden units of the task heads")
    dropout: float = Field(0.12, ge=0.0, lt=1.0, description="dropout in encoders, fusion and heads")
    without: list[Part] = Field(
        default_factory=list,
        description="parts to replace by the simplest that sees the same inputs: lstm (by mean and spread of "
        "the months), cnn (by a linear map of each layer), fc (the encoders of static, traits and state, by "
        "a linear map), transformer (by the tokens side by side)",
    )

    @field_validator("without")
    @classmethod
    def _in_order(cls, parts: list[Part]) -> list[Part]:
        return [part for part in get_args(Part) if part in parts]

    @model_validator(mode="after")
    def _heads_divide_model(self) -> Self:
        if self.d_model % self.attention_heads:
            raise ValueError(f"attention_heads {self.attention_heads} does not divide d_model {self.d_model}")
        return self

    def build(self, layout: Layout) -> PhaseNetwork:
        """See `NetworkSettings`."""
        from phase_lib.surrogate.networks.phase.network import PhaseNetwork

        return PhaseNetwork(layout, self)
