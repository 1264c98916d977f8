"""Parts of networks."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor, nn

from phase_lib.config.kinds import NetworkSettings
from phase_lib.dataset.layout import FLUX_TARGETS, Layout
from phase_lib.elm.constants import NATPFT
from phase_lib.elm.soil_grid import NLEVDECOMP
from phase_lib.surrogate.codec import Outputs


class Dense(nn.Module):
    """A fully connected network with one hidden layer; with `start_at_zero` outputs are 0 before training."""

    def __init__(
        self, inputs: int, width: int, outputs: int, dropout: float, start_at_zero: bool = False
    ) -> None:
        super().__init__()
        self.enter = nn.Linear(inputs, width)
        self.dropout = nn.Dropout(dropout)
        self.leave = nn.Linear(width, outputs)
        if start_at_zero:
            nn.init.zeros_(self.leave.weight)
            nn.init.zeros_(self.leave.bias)

    def forward(self, values: Tensor) -> Tensor:
        """(..., inputs) to (..., outputs)."""
        outputs: Tensor = self.leave(self.dropout(nn.functional.gelu(self.enter(values))))
        return outputs


class FlatHead(nn.Module):
    """The paper's head: the values of all entities (PFTs or layers) from the latent at once."""

    def __init__(self, latent: int, width: int, entities: int, targets: int, dropout: float) -> None:
        super().__init__()
        self._shape = (entities, targets)
        self.layers = Dense(latent, width, entities * targets, dropout)

    def forward(self, latent: Tensor) -> Tensor:
        """(cell, latent) to (cell, entity, target)."""
        outputs: Tensor = self.layers(latent)
        return outputs.reshape(-1, *self._shape)


class FlatSettings(NetworkSettings):
    """Keys that all networks with flat heads have."""

    width: int = Field(128, ge=1, description="hidden units before the latent")
    d_model: int = Field(64, ge=1, description="width of the latent")
    decoder_width: int = Field(96, ge=1, description="hidden units of the task heads")
    dropout: float = Field(0.2, ge=0.0, lt=1.0, description="dropout of hidden units")


class FlatHeads(nn.Module):
    """A flat head for each task."""

    def __init__(self, layout: Layout, s: FlatSettings) -> None:
        super().__init__()
        head = (s.d_model, s.decoder_width)
        self.patch = FlatHead(*head, NATPFT, len(layout.patch_targets), s.dropout)
        self.layer = FlatHead(*head, NLEVDECOMP, len(layout.layer_targets), s.dropout)
        self.flux = Dense(*head, len(FLUX_TARGETS), s.dropout)

    def forward(self, latent: Tensor) -> Outputs:
        """(cell, latent) to the outputs of the three tasks."""
        hidden = nn.functional.gelu(latent)
        return Outputs(self.patch(hidden), self.layer(hidden), self.flux(hidden))
