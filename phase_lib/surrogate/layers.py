"""Parts of networks."""

from __future__ import annotations

from torch import Tensor, nn


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
