"""A physics-informed network: it predicts the final state and its change, which have to agree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field
from torch import nn

from phase_lib.dataset.layout import Layout
from phase_lib.surrogate.codec import Answer
from phase_lib.surrogate.features import Batch
from phase_lib.surrogate.layers import FlatHeads, FlatSettings
from phase_lib.surrogate.networks.mlp import AllFeatures


class Pinn(FlatSettings):
    """The network of `mlp` with a second set of heads, for the change from the 20-year state."""

    label: ClassVar[str] = "PINN"

    kind: Literal["pinn"] = "pinn"
    change_weight: float = Field(1.0, ge=0.0, description="weight of the error of the predicted change")
    consistency_weight: float = Field(
        1.0, ge=0.0, description="weight of the gap between the final state and initial state + change"
    )

    @property
    def weights(self) -> Mapping[str, float]:
        """See `NetworkSettings`."""
        return {"change": self.change_weight, "consistency": self.consistency_weight}

    def build(self, layout: Layout) -> PinnNetwork:
        """See `NetworkSettings`."""
        return PinnNetwork(layout, self)


class PinnNetwork(nn.Module):
    """Final state and change from one latent. The change is only learnt from: the final state predicts."""

    def __init__(self, layout: Layout, settings: Pinn) -> None:
        super().__init__()
        self.features = AllFeatures(layout, settings)
        self.final = FlatHeads(layout, settings)
        self.change = FlatHeads(layout, settings)

    def forward(self, batch: Batch) -> Answer:
        """Raw outputs, latent and changes of the cells of a batch."""
        latent = self.features(batch)
        return Answer(self.final(latent), latent, self.change(latent))
