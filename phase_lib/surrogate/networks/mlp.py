"""One fully connected network over all features: the simplest network to compare with."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import nn

from phase_lib.config.kinds import NetworkSettings
from phase_lib.dataset.layout import FLUX_TARGETS, Layout
from phase_lib.elm.constants import NATPFT
from phase_lib.elm.soil_grid import NLEVDECOMP
from phase_lib.surrogate.codec import Answer, Outputs
from phase_lib.surrogate.features import Batch
from phase_lib.surrogate.layers import Dense, FlatHead


class Mlp(NetworkSettings):
    """All features as one vector into one fully connected network, with flat heads."""

    label: ClassVar[str] = "MLP"

    kind: Literal["mlp"] = "mlp"
    width: int = Field(128, ge=1, description="hidden units before the latent")
    d_model: int = Field(64, ge=1, description="width of the latent")
    decoder_width: int = Field(96, ge=1, description="hidden units of the task heads")
    dropout: float = Field(0.2, ge=0.0, lt=1.0, description="dropout of hidden units")

    def build(self, layout: Layout) -> MlpNetwork:
        """See `NetworkSettings`."""
        return MlpNetwork(layout, self)


class MlpNetwork(nn.Module):
    """Months, PFTs and layers mean nothing to it: each value is one input; absent PFTs are 0."""

    def __init__(self, layout: Layout, settings: Mlp) -> None:
        super().__init__()
        s = settings
        inputs = layout.months * len(layout.forcing) + layout.static_width
        inputs += NATPFT * (len(layout.traits) + len(layout.state)) + NLEVDECOMP * len(layout.soil)
        self.latent = Dense(inputs, s.width, s.d_model, s.dropout)
        head = (s.d_model, s.decoder_width)
        self.patch_head = FlatHead(*head, NATPFT, len(layout.patch_targets), s.dropout)
        self.layer_head = FlatHead(*head, NLEVDECOMP, len(layout.layer_targets), s.dropout)
        self.flux_head = Dense(*head, len(FLUX_TARGETS), s.dropout)

    def forward(self, batch: Batch) -> Answer:
        """Raw outputs and latent of the cells of a batch."""
        pfts = torch.cat([batch.traits.expand(len(batch), -1, -1), batch.state], dim=-1)
        present = torch.where(batch.covered[..., None], pfts, 0.0)
        groups = (batch.forcing, batch.static, present, batch.soil)
        latent = self.latent(torch.cat([values.flatten(1) for values in groups], dim=-1))
        hidden = nn.functional.gelu(latent)
        raw = Outputs(self.patch_head(hidden), self.layer_head(hidden), self.flux_head(hidden))
        return Answer(raw, latent)
