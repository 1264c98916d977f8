"""PHASE: encoders for five feature groups, fusion by a Transformer encoder, and task heads.

After "PHASE: Physics-Integrated, Heterogeneity-Aware Surrogates for Scientific Simulations",
arXiv 2509.23453. Each group becomes one token; attention fuses them to a latent per cell; heads turn it
into grid-level fluxes, vegetation pools per PFT and soil pools per layer. The presets differ in their
heads, in the pooling of PFTs, and in what a raw output means (`targets.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from phase_lib.config.surrogate import SurrogateSettings
from phase_lib.elm.constants import NATPFT
from phase_lib.elm.forcing import FORCING
from phase_lib.elm.soil_grid import NLEVDECOMP
from phase_lib.surrogate.features import FLUX_TARGETS, Batch, Layout
from phase_lib.surrogate.targets import Outputs, TargetCodec

#: Order of the tokens.
GROUPS = ("forcing", "static", "traits", "state", "soil")
_ENTITY_EMBEDDING = 8


class Dense(nn.Module):
    """A fully connected network with one hidden layer.

    Args:
        inputs: channels in.
        width: hidden units.
        outputs: channels out.
        dropout: of the hidden units.
        start_at_zero: whether outputs are 0 before training.
    """

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


class ForcingEncoder(nn.Module):
    """LSTM over the monthly series; the token also sees the series' mean and spread.

    The LSTM's state is bounded, the mean and spread are not: a climate outside the training range stays
    visible in the latent.
    """

    def __init__(self, s: SurrogateSettings) -> None:
        super().__init__()
        self.lstm = nn.LSTM(len(FORCING), s.lstm_hidden, batch_first=True)
        self.token = Dense(2 * s.lstm_hidden + 2 * len(FORCING), s.d_model, s.d_model, s.dropout)

    def forward(self, forcing: Tensor) -> Tensor:
        """(cell, month, 6) to (cell, d_model)."""
        hidden, _ = self.lstm(forcing)
        summary = [hidden[:, -1], hidden.mean(1), forcing.mean(1), forcing.std(1, correction=0)]
        token: Tensor = self.token(torch.cat(summary, dim=-1))
        return token


class SoilEncoder(nn.Module):
    """1-D convolutions over layers; channels are pools."""

    def __init__(self, pools: int, layers: int, s: SurrogateSettings) -> None:
        super().__init__()
        width = s.cnn_channels
        self.convolutions = nn.Sequential(
            nn.Conv1d(pools, width, 3, padding=1), nn.GELU(), nn.Conv1d(width, width, 3, padding=1), nn.GELU()
        )
        self.token = Dense(width * layers, s.d_model, s.d_model, s.dropout)

    def forward(self, soil: Tensor) -> tuple[Tensor, Tensor]:
        """(cell, layer, pool) to the token (cell, d_model) and the features (cell, layer, channel)."""
        features = self.convolutions(soil.transpose(1, 2))
        return self.token(features.flatten(1)), features.transpose(1, 2)


class FlatPftEncoder(nn.Module):
    """The paper's: all PFTs' values side by side into one fully connected encoder; absent PFTs are 0."""

    def __init__(self, channels: int, pfts: int, s: SurrogateSettings) -> None:
        super().__init__()
        self.token = Dense(channels * pfts, s.d_model, s.d_model, s.dropout)

    def forward(self, values: Tensor, batch: Batch) -> Tensor:
        """(cell, pft, channel) to (cell, d_model)."""
        present = torch.where(batch.covered[..., None], values, 0.0)
        token: Tensor = self.token(present.flatten(1))
        return token


class SharedPftEncoder(nn.Module):
    """One encoder for every PFT, averaged with cover as weight: PFTs learn from each other's cells."""

    def __init__(self, channels: int, pfts: int, s: SurrogateSettings) -> None:
        super().__init__()
        self.encoder = Dense(channels, s.d_model, s.d_model, s.dropout)
        self.token = nn.Linear(s.d_model + pfts, s.d_model)

    def forward(self, values: Tensor, batch: Batch) -> Tensor:
        """(cell, pft, channel) to (cell, d_model)."""
        weight = torch.where(batch.covered, batch.cover, 0.0)
        share = weight / weight.sum(1, keepdim=True).clamp_min(1.0e-6)
        pooled = torch.einsum("cp,cpd->cd", share, self.encoder(values))
        token: Tensor = self.token(torch.cat([pooled, weight], dim=-1))
        return token


class FlatHead(nn.Module):
    """The paper's head: all entities' targets from the latent at once."""

    def __init__(self, entities: int, targets: int, s: SurrogateSettings) -> None:
        super().__init__()
        self._shape = (entities, targets)
        self.layers = Dense(s.d_model, s.decoder_width, entities * targets, s.dropout)

    def forward(self, latent: Tensor) -> Tensor:
        """(cell, d_model) to (cell, entity, target)."""
        outputs: Tensor = self.layers(latent)
        return outputs.reshape(-1, *self._shape)


class SharedHead(nn.Module):
    """One head for all PFTs or all layers: the latent and the entity's own inputs give its targets."""

    def __init__(self, entities: int, own: int, targets: int, s: SurrogateSettings) -> None:
        super().__init__()
        self.embedding = nn.Parameter(torch.randn(entities, _ENTITY_EMBEDDING) * 0.1)
        self.enter = nn.Linear(s.d_model + own + _ENTITY_EMBEDDING, s.decoder_width)
        self.middle = nn.Linear(s.decoder_width, s.decoder_width)
        self.leave = nn.Linear(s.decoder_width, targets)
        self.dropout = nn.Dropout(s.dropout)
        # Raw outputs start at 0: the 20-year state with the mean correction.
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(self, latent: Tensor, own: Tensor, present: Tensor) -> Tensor:
        """(cell, d_model) and (cell, entity, own) to (cell, entity, target); 0 where not `present`."""
        cell, entity = present.nonzero(as_tuple=True)
        inputs = torch.cat([latent[cell], own[cell, entity], self.embedding[entity]], dim=-1)
        hidden = nn.functional.gelu(self.enter(inputs))
        hidden = hidden + nn.functional.gelu(self.middle(self.dropout(hidden)))
        outputs: Tensor = self.leave(self.dropout(hidden))
        return outputs.new_zeros(*present.shape, outputs.shape[-1]).index_put((cell, entity), outputs)


@dataclass(frozen=True)
class Answer:
    """Raw outputs of the tasks and the fused latent (cell, d_model)."""

    raw: Outputs
    latent: Tensor


class PhaseNetwork(nn.Module):
    """One network.

    Args:
        layout: variables of the dataset.
        settings: sizes and preset.
    """

    position: Tensor

    def __init__(self, layout: Layout, settings: SurrogateSettings) -> None:
        super().__init__()
        s = settings
        paper = s.preset == "paper"
        pft_encoder = FlatPftEncoder if paper else SharedPftEncoder
        self.forcing = ForcingEncoder(s)
        self.static = Dense(layout.static_width(s.preset), s.d_model, s.d_model, s.dropout)
        self.traits = pft_encoder(len(layout.traits), NATPFT, s)
        self.state = pft_encoder(len(layout.state), NATPFT, s)
        self.soil = SoilEncoder(len(layout.soil), NLEVDECOMP, s)
        self.modality = nn.Parameter(torch.randn(len(GROUPS), s.d_model) * 0.02)
        self.register_buffer("position", _sinusoids(len(GROUPS), s.d_model))
        layer = nn.TransformerEncoderLayer(
            s.d_model,
            s.attention_heads,
            s.feedforward,
            s.dropout,
            activation="gelu",
            batch_first=True,
            norm_first=True,
        )
        self.fusion = nn.TransformerEncoder(layer, s.fusion_layers, enable_nested_tensor=False)
        self.latent = nn.Linear(len(GROUPS) * s.d_model, s.d_model)
        self.flux_head = Dense(
            s.d_model, s.decoder_width, len(FLUX_TARGETS), s.dropout, start_at_zero=not paper
        )
        self.patch_head: nn.Module
        self.layer_head: nn.Module
        self._shared = not paper
        patch, layers = len(layout.patch_targets), len(layout.layer_targets)
        if paper:
            self.patch_head = FlatHead(NATPFT, patch, s)
            self.layer_head = FlatHead(NLEVDECOMP, layers, s)
        else:
            self.patch_head = SharedHead(NATPFT, len(layout.state) + len(layout.traits) + 1, patch, s)
            self.layer_head = SharedHead(NLEVDECOMP, len(layout.soil) + s.cnn_channels, layers, s)

    def forward(self, batch: Batch) -> Answer:
        """Raw outputs and latent of the cells of a batch."""
        traits = batch.traits.expand(len(batch), -1, -1)
        soil_token, soil_features = self.soil(batch.soil)
        tokens = torch.stack(
            [
                self.forcing(batch.forcing),
                self.static(batch.static),
                self.traits(traits, batch),
                self.state(batch.state, batch),
                soil_token,
            ],
            dim=1,
        )
        latent = self.latent(self.fusion(tokens + self.modality + self.position).flatten(1))
        hidden = nn.functional.gelu(latent)
        if not self._shared:
            return Answer(
                Outputs(self.patch_head(hidden), self.layer_head(hidden), self.flux_head(hidden)), latent
            )
        own_pft = torch.cat([batch.state, traits, batch.cover[..., None]], dim=-1)
        own_layer = torch.cat([batch.soil, soil_features], dim=-1)
        everywhere = torch.ones(own_layer.shape[:2], dtype=torch.bool, device=own_layer.device)
        raw = Outputs(
            self.patch_head(hidden, own_pft, batch.covered),
            self.layer_head(hidden, own_layer, everywhere),
            self.flux_head(hidden),
        )
        return Answer(raw, latent)


class Phase(nn.Module):
    """Several networks side by side with one target codec; their raw outputs are averaged.

    Args:
        layout: variables of the dataset.
        codec: what raw outputs mean.
        settings: sizes, preset and number of members.
    """

    def __init__(self, layout: Layout, codec: TargetCodec, settings: SurrogateSettings) -> None:
        super().__init__()
        self.codec = codec
        self.members = nn.ModuleList([PhaseNetwork(layout, settings) for _ in range(settings.members)])

    def forward(self, batch: Batch) -> list[Answer]:
        """Each member's answer."""
        return [member(batch) for member in self.members]

    def mean(self, answers: list[Answer]) -> Answer:
        """The average answer; latents side by side (cell, members x d_model)."""
        raw = Outputs(
            torch.stack([a.raw.patch for a in answers]).mean(0),
            torch.stack([a.raw.layer for a in answers]).mean(0),
            torch.stack([a.raw.flux for a in answers]).mean(0),
        )
        return Answer(raw, torch.cat([a.latent for a in answers], dim=-1))

    def predict(self, batch: Batch) -> tuple[Outputs, Tensor]:
        """Pools and fluxes in physical units, and the fused latent; absent PFTs hold no meaning."""
        answer = self.mean(self(batch))
        return self.codec.decode(answer.raw, batch), answer.latent


def _sinusoids(positions: int, width: int) -> Tensor:
    """The usual sine and cosine position code (position, width)."""
    place = torch.arange(positions, dtype=torch.float32)[:, None]
    rate = torch.exp(-torch.log(torch.tensor(10_000.0)) * torch.arange(0, width, 2) / width)
    angles = place * rate
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)[:, :width]
