"""One fully connected network over all features: the simplest network to compare with."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from phase_lib.dataset.layout import Layout
from phase_lib.elm.constants import NATPFT
from phase_lib.elm.soil_grid import NLEVDECOMP
from phase_lib.surrogate.codec import Answer
from phase_lib.surrogate.features import Batch
from phase_lib.surrogate.layers import Dense, FlatHeads, FlatSettings


class Mlp(FlatSettings):
    """All features as one vector into one fully connected network, with flat heads."""

    label: ClassVar[str] = "MLP"

    kind: Literal["mlp"] = "mlp"

    def build(self, layout: Layout) -> MlpNetwork:
        """See `NetworkSettings`."""
        return MlpNetwork(layout, self)


class AllFeatures(nn.Module):
    """The latent from all features as one vector; absent PFTs are 0."""

    def __init__(self, layout: Layout, s: FlatSettings) -> None:
        super().__init__()
        inputs = layout.months * len(layout.forcing) + layout.static_width
        inputs += NATPFT * (len(layout.traits) + len(layout.state)) + NLEVDECOMP * len(layout.soil)
        self.latent = Dense(inputs, s.width, s.d_model, s.dropout)

    def forward(self, batch: Batch) -> Tensor:
        """(cell, d_model)."""
        pfts = torch.cat([batch.traits_by_cell, batch.state_by_cell], dim=-1)
        groups = (batch.forcing, batch.static, pfts, batch.soil)
        latent: Tensor = self.latent(torch.cat([values.flatten(1) for values in groups], dim=-1))
        return latent


class MlpNetwork(nn.Module):
    """Months, PFTs and layers mean nothing to it: each value is one input."""

    def __init__(self, layout: Layout, settings: Mlp) -> None:
        super().__init__()
        self.features = AllFeatures(layout, settings)
        self.heads = FlatHeads(layout, settings)

    def forward(self, batch: Batch) -> Answer:
        """Raw outputs and latent of the cells of a batch."""
        latent = self.features(batch)
        return Answer(self.heads(latent), latent)
