"""PHASE: encoders for five feature groups, fusion by a Transformer encoder, and task heads.

After "PHASE: Physics-Integrated, Heterogeneity-Aware Surrogates for Scientific Simulations",
arXiv 2509.23453. Each group becomes one token. Attention fuses the tokens to a latent per cell. Heads
compute grid-level fluxes, vegetation pools per PFT and soil pools per layer. The presets differ in their
heads, in the pooling of PFTs, and in the meaning of a raw output (`codec.py`).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from phase_lib.dataset.layout import FLUX_TARGETS, Layout
from phase_lib.elm.constants import NATPFT
from phase_lib.elm.soil_grid import NLEVDECOMP
from phase_lib.surrogate.codec import Answer, Outputs
from phase_lib.surrogate.features import Batch
from phase_lib.surrogate.layers import Dense, FlatHead
from phase_lib.surrogate.networks.phase import Phase

_ENTITY_EMBEDDING = 8


class ForcingEncoder(nn.Module):
    """LSTM over the monthly series, some months at each step, with the mean and spread of the series.

    The state of an LSTM is bounded, mean and spread are not: a climate outside the training range stays
    visible in the latent. They alone remain without the LSTM.
    """

    def __init__(self, variables: int, s: Phase) -> None:
        super().__init__()
        recurrent, self._months = "lstm" not in s.without, s.months_per_step
        inputs = s.months_per_step * variables
        self.lstm = nn.LSTM(inputs, s.lstm_hidden, batch_first=True) if recurrent else None
        width = 2 * variables + (2 * s.lstm_hidden if recurrent else 0)
        self.token = Dense(width, s.d_model, s.d_model, s.dropout)

    def forward(self, forcing: Tensor) -> Tensor:
        """(cell, month, variable) to (cell, d_model)."""
        summary = [forcing.mean(1), forcing.std(1, correction=0)]
        if self.lstm is not None:
            cells, months, variables = forcing.shape
            steps = forcing.reshape(cells, months // self._months, self._months * variables)
            hidden, _ = self.lstm(steps)
            summary = [hidden[:, -1], hidden.mean(1), *summary]
        token: Tensor = self.token(torch.cat(summary, dim=-1))
        return token


class SoilProfile(nn.Module):
    """1-D convolutions over layers; channels are pools. Without them, a linear map that sees one layer."""

    def __init__(self, pools: int, s: Phase) -> None:
        super().__init__()
        width = s.cnn_channels
        if "cnn" in s.without:
            self.convolutions: nn.Module = nn.Conv1d(pools, width, 1)
            return
        self.convolutions = nn.Sequential(
            nn.Conv1d(pools, width, 3, padding=1), nn.GELU(), nn.Conv1d(width, width, 3, padding=1), nn.GELU()
        )

    def forward(self, soil: Tensor) -> Tensor:
        """(cell, layer, pool) to (cell, layer, channel)."""
        features: Tensor = self.convolutions(soil.transpose(1, 2)).transpose(1, 2)
        return features


class SoilEncoder(nn.Module):
    """The token of the soil, from the features of all layers."""

    def __init__(self, layers: int, s: Phase) -> None:
        super().__init__()
        self.token = Dense(s.cnn_channels * layers, s.d_model, s.d_model, s.dropout)

    def forward(self, profile: Tensor) -> Tensor:
        """(cell, layer, channel) to (cell, d_model)."""
        token: Tensor = self.token(profile.transpose(1, 2).flatten(1))
        return token


def _fully_connected(inputs: int, s: Phase) -> nn.Module:
    """The encoder of values that are no sequence; without it, a linear map."""
    if "fc" in s.without:
        return nn.Linear(inputs, s.d_model)
    return Dense(inputs, s.d_model, s.d_model, s.dropout)


class FlatPftEncoder(nn.Module):
    """The paper's: the values of all PFTs as one vector into one encoder; absent PFTs are 0."""

    def __init__(self, channels: int, pfts: int, s: Phase) -> None:
        super().__init__()
        self.token = _fully_connected(channels * pfts, s)

    def forward(self, values: Tensor, batch: Batch) -> Tensor:
        """(cell, pft, channel) to (cell, d_model)."""
        present = torch.where(batch.covered[..., None], values, 0.0)
        token: Tensor = self.token(present.flatten(1))
        return token


class SharedPftEncoder(nn.Module):
    """One encoder for all PFTs, averaged with cover as weight: PFTs learn from each other's cells."""

    def __init__(self, channels: int, pfts: int, s: Phase) -> None:
        super().__init__()
        self.encoder = _fully_connected(channels, s)
        self.token = nn.Linear(s.d_model + pfts, s.d_model)

    def forward(self, values: Tensor, batch: Batch) -> Tensor:
        """(cell, pft, channel) to (cell, d_model)."""
        weight = torch.where(batch.covered, batch.cover, 0.0)
        share = weight / weight.sum(1, keepdim=True).clamp_min(1.0e-6)
        pooled = torch.einsum("cp,cpd->cd", share, self.encoder(values))
        token: Tensor = self.token(torch.cat([pooled, weight], dim=-1))
        return token


class SharedHead(nn.Module):
    """One head for all PFTs or all layers: from the latent and the inputs of the PFT or layer."""

    def __init__(self, entities: int, inputs: int, targets: int, s: Phase) -> None:
        super().__init__()
        self.embedding = nn.Parameter(torch.randn(entities, _ENTITY_EMBEDDING) * 0.1)
        self.enter = nn.Linear(s.d_model + inputs + _ENTITY_EMBEDDING, s.decoder_width)
        self.middle = nn.Linear(s.decoder_width, s.decoder_width)
        self.leave = nn.Linear(s.decoder_width, targets)
        self.dropout = nn.Dropout(s.dropout)
        # Raw outputs start at 0: the start of predictions with the mean correction.
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(self, latent: Tensor, inputs: Tensor, present: Tensor) -> Tensor:
        """(cell, d_model) and (cell, entity, input) to (cell, entity, target); 0 where not `present`."""
        cell, entity = present.nonzero(as_tuple=True)
        values = torch.cat([latent[cell], inputs[cell, entity], self.embedding[entity]], dim=-1)
        hidden = nn.functional.gelu(self.enter(values))
        hidden = hidden + nn.functional.gelu(self.middle(self.dropout(hidden)))
        outputs: Tensor = self.leave(self.dropout(hidden))
        return outputs.new_zeros(*present.shape, outputs.shape[-1]).index_put((cell, entity), outputs)


class Fusion(nn.Module):
    """A Transformer encoder over tokens, to which their kind and their place are added."""

    position: Tensor

    def __init__(self, tokens: int, s: Phase) -> None:
        super().__init__()
        self.modality = nn.Parameter(torch.randn(tokens, s.d_model) * 0.02)
        self.register_buffer("position", _sinusoids(tokens, s.d_model))
        sizes = (s.d_model, s.attention_heads, s.feedforward, s.dropout)
        layer = nn.TransformerEncoderLayer(*sizes, activation="gelu", batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, s.fusion_layers, enable_nested_tensor=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """(cell, token, d_model) to the same."""
        fused: Tensor = self.encoder(tokens + self.modality + self.position)
        return fused


class PhaseNetwork(nn.Module):
    """One network; a group of features that is left out has no encoder and no token.

    The preset of the variables decides the heads and how PFTs are pooled.
    """

    def __init__(self, layout: Layout, settings: Phase) -> None:
        super().__init__()
        s = settings
        paper = layout.follows_paper
        pft_encoder = FlatPftEncoder if paper else SharedPftEncoder
        self.encoders = nn.ModuleDict()
        if layout.forcing:
            self.encoders["forcing"] = ForcingEncoder(len(layout.forcing), s)
        if layout.static:
            self.encoders["static"] = _fully_connected(layout.static_width, s)
        if layout.traits:
            self.encoders["traits"] = pft_encoder(len(layout.traits), NATPFT, s)
        if layout.state:
            self.encoders["state"] = pft_encoder(len(layout.state), NATPFT, s)
        self.profile: nn.Module = SoilProfile(len(layout.soil), s) if layout.soil else nn.Identity()
        if layout.soil:
            self.encoders["soil"] = SoilEncoder(NLEVDECOMP, s)
        tokens = len(self.encoders)
        self.fusion = nn.Identity() if "transformer" in s.without else Fusion(tokens, s)
        self.latent = nn.Linear(tokens * s.d_model, s.d_model)
        head = (s.d_model, s.decoder_width)
        self.flux_head = Dense(*head, len(FLUX_TARGETS), s.dropout, start_at_zero=not paper)
        self.patch_head: nn.Module
        self.layer_head: nn.Module
        self._shared = not paper
        patch, layers = len(layout.patch_targets), len(layout.layer_targets)
        if paper:
            self.patch_head = FlatHead(*head, NATPFT, patch, s.dropout)
            self.layer_head = FlatHead(*head, NLEVDECOMP, layers, s.dropout)
        else:
            self.patch_head = SharedHead(NATPFT, len(layout.state) + len(layout.traits) + 1, patch, s)
            channels = len(layout.soil) + s.cnn_channels if layout.soil else 0
            self.layer_head = SharedHead(NLEVDECOMP, channels, layers, s)

    def forward(self, batch: Batch) -> Answer:
        """Raw outputs and latent of the cells of a batch."""
        traits = batch.traits.expand(len(batch), -1, -1)
        profile = self.profile(batch.soil)
        inputs = {
            "forcing": (batch.forcing,),
            "static": (batch.static,),
            "traits": (traits, batch),
            "state": (batch.state, batch),
            "soil": (profile,),
        }
        tokens = torch.stack([encode(*inputs[group]) for group, encode in self.encoders.items()], dim=1)
        latent = self.latent(self.fusion(tokens).flatten(1))
        hidden = nn.functional.gelu(latent)
        if not self._shared:
            patch, layer = self.patch_head(hidden), self.layer_head(hidden)
        else:
            of_pfts = torch.cat([batch.state, traits, batch.cover[..., None]], dim=-1)
            of_layers = torch.cat([batch.soil, profile], dim=-1)
            everywhere = torch.ones(of_layers.shape[:2], dtype=torch.bool, device=of_layers.device)
            patch = self.patch_head(hidden, of_pfts, batch.covered)
            layer = self.layer_head(hidden, of_layers, everywhere)
        return Answer(Outputs(patch, layer, self.flux_head(hidden)), latent)


def _sinusoids(positions: int, width: int) -> Tensor:
    """The usual sine and cosine position code (position, width)."""
    place = torch.arange(positions, dtype=torch.float32)[:, None]
    rate = torch.exp(-torch.log(torch.tensor(10_000.0)) * torch.arange(0, width, 2) / width)
    angles = place * rate
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)[:, :width]
