"""An ensemble of networks of any kind."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from phase_lib.config.surrogate import SurrogateSettings
from phase_lib.dataset.layout import Layout
from phase_lib.dataset.scaler import Scaler
from phase_lib.surrogate.codec import Answer, Outputs, TargetCodec
from phase_lib.surrogate.features import Batch


class Ensemble(nn.Module):
    """Several networks; their raw outputs are averaged and decoded by one codec."""

    def __init__(self, layout: Layout, scaler: Scaler, settings: SurrogateSettings) -> None:
        super().__init__()
        self.codec = TargetCodec(layout, scaler, settings.preset)
        self.members = nn.ModuleList([settings.network.build(layout) for _ in range(settings.members)])

    def forward(self, batch: Batch) -> list[Answer]:
        """Each member's answer."""
        return [member(batch) for member in self.members]

    def mean(self, answers: list[Answer]) -> Answer:
        """The average answer; latents side by side (cell, members x d_model)."""
        changes = [a.change for a in answers if a.change is not None]
        latent = torch.cat([a.latent for a in answers], dim=-1)
        return Answer(_mean([a.raw for a in answers]), latent, _mean(changes) if changes else None)

    def predict(self, batch: Batch) -> tuple[Outputs, Tensor]:
        """Pools and fluxes in physical units, and the fused latent; values of absent PFTs mean nothing."""
        answer = self.mean(self(batch))
        return self.codec.decode(answer.raw, batch), answer.latent


def _mean(outputs: list[Outputs]) -> Outputs:
    tasks = ("patch", "layer", "flux")
    return Outputs(*(torch.stack([getattr(one, task) for one in outputs]).mean(0) for task in tasks))
