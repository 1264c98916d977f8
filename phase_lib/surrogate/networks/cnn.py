"""Convolutions along months, PFTs and soil layers, with flat heads."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from phase_lib.dataset.layout import Layout
from phase_lib.elm.constants import NATPFT
from phase_lib.elm.soil_grid import NLEVDECOMP
from phase_lib.surrogate.codec import Answer
from phase_lib.surrogate.features import Batch
from phase_lib.surrogate.layers import Dense, FlatHeads, FlatSettings


class Cnn(FlatSettings):
    """Two convolutions along each kind of sequence; then one fully connected network."""

    label: ClassVar[str] = "CNN"

    kind: Literal["cnn"] = "cnn"
    channels: int = Field(32, ge=1, description="channels of the convolutions")

    def build(self, layout: Layout) -> CnnNetwork:
        """See `NetworkSettings`."""
        return CnnNetwork(layout, self)


class Convolutions(nn.Module):
    """Two convolutions along a sequence; features are its positions, or its mean and largest value."""

    def __init__(self, inputs: int, s: Cnn, pooled: bool) -> None:
        super().__init__()
        self._pooled = pooled
        first, second = (nn.Conv1d(n, s.channels, 3, padding=1) for n in (inputs, s.channels))
        self.layers = nn.Sequential(first, nn.GELU(), second, nn.GELU())

    def forward(self, sequence: Tensor) -> Tensor:
        """(cell, position, variable) to (cell, feature)."""
        features: Tensor = self.layers(sequence.transpose(1, 2))
        if self._pooled:
            return torch.cat([features.mean(-1), features.amax(-1)], dim=-1)
        return features.flatten(1)


class CnnNetwork(nn.Module):
    """One network; absent PFTs are 0. Months are pooled, as climate is what all of them have in common."""

    def __init__(self, layout: Layout, settings: Cnn) -> None:
        super().__init__()
        s, width = settings, layout.static_width
        self.sequences = nn.ModuleDict()
        sequences = {"forcing": (len(layout.forcing), 2)}
        sequences["pfts"] = (len(layout.traits) + len(layout.state), NATPFT)
        sequences["soil"] = (len(layout.soil), NLEVDECOMP)
        for name, (variables, features) in sequences.items():
            if variables:
                self.sequences[name] = Convolutions(variables, s, pooled=name == "forcing")
                width += features * s.channels
        self.latent = Dense(width, s.width, s.d_model, s.dropout)
        self.heads = FlatHeads(layout, s)

    def forward(self, batch: Batch) -> Answer:
        """Raw outputs and latent of the cells of a batch."""
        pfts = torch.cat([batch.traits_by_cell, batch.state_by_cell], dim=-1)
        inputs = {"forcing": batch.forcing, "pfts": pfts, "soil": batch.soil}
        features = [convolve(inputs[name]) for name, convolve in self.sequences.items()]
        latent = self.latent(torch.cat([*features, batch.static], dim=-1))
        return Answer(self.heads(latent), latent)
