"""Fourier neural operators, one for each kind of input, with flat heads."""

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

#: Points of the sequences that static attributes are broadcast to: as many as soil layers.
_STATIC_POINTS = NLEVDECOMP


class Fno(FlatSettings):
    """An operator for each kind of input, fused by a fully connected network (Li et al. 2021, 2010.08895)."""

    label: ClassVar[str] = "FNO"

    kind: Literal["fno"] = "fno"
    channels: int = Field(32, ge=1, description="channels of the operators")
    modes: int = Field(
        24,
        ge=1,
        description="Fourier modes of an operator, the mean included, where the sequence has as many; of 20 "
        "years of months the annual cycle is the 20th after the mean",
    )
    operator_layers: int = Field(2, ge=1, description="Fourier layers of each operator")

    def build(self, layout: Layout) -> FnoNetwork:
        """See `NetworkSettings`."""
        return FnoNetwork(layout, self)


class SpectralConvolution(nn.Module):
    """A convolution along a periodic sequence, as a complex factor for each of its lowest Fourier modes.

    It is the same operator at any resolution that has these modes. Real and imaginary parts are the last
    dimension of the weight, so that optimisers and checkpoints see real numbers alone.
    """

    def __init__(self, inputs: int, outputs: int, modes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(modes, inputs, outputs, 2) * (2.0 * inputs) ** -0.5)

    def forward(self, sequence: Tensor) -> Tensor:
        """(cell, point, input) to (cell, point, output)."""
        weight = torch.view_as_complex(self.weight)
        spectrum = torch.fft.rfft(sequence, dim=1)[:, : len(weight)]
        filtered = torch.einsum("cmi,mio->cmo", spectrum, weight)
        return torch.fft.irfft(filtered, n=sequence.shape[1], dim=1)


class Operator(nn.Module):
    """A Fourier neural operator along a sequence, whose place is one more variable."""

    place: Tensor

    def __init__(self, variables: int, points: int, s: Fno) -> None:
        super().__init__()
        modes = min(s.modes, points // 2 + 1)
        self.register_buffer("place", torch.linspace(0.0, 1.0, points)[:, None])
        self.lift = nn.Linear(variables + 1, s.channels)
        layers = range(s.operator_layers)
        self.spectral = nn.ModuleList(SpectralConvolution(s.channels, s.channels, modes) for _ in layers)
        self.pointwise = nn.ModuleList(nn.Linear(s.channels, s.channels) for _ in layers)

    def forward(self, sequence: Tensor) -> Tensor:
        """(cell, point, variable) to (cell, point, channel)."""
        place = self.place.expand(len(sequence), -1, -1)
        function: Tensor = self.lift(torch.cat([sequence, place], dim=-1))
        for spectral, pointwise in zip(self.spectral, self.pointwise, strict=True):
            function = nn.functional.gelu(spectral(function) + pointwise(function))
        return function


class FnoNetwork(nn.Module):
    """One network: months, PFTs and layers are sequences, and static attributes are constant along one."""

    def __init__(self, layout: Layout, settings: Fno) -> None:
        super().__init__()
        s = settings
        sequences = {
            "forcing": (len(layout.forcing), layout.months),
            "static": (layout.static_width, _STATIC_POINTS),
            "traits": (len(layout.traits), NATPFT),
            "state": (len(layout.state), NATPFT),
            "soil": (len(layout.soil), NLEVDECOMP),
        }
        known = {name: size for name, size in sequences.items() if size[0]}
        self.operators = nn.ModuleDict({name: Operator(*size, s) for name, size in known.items()})
        self.latent = Dense(len(known) * s.channels, s.width, s.d_model, s.dropout)
        self.heads = FlatHeads(layout, s)

    def forward(self, batch: Batch) -> Answer:
        """Raw outputs and latent of the cells of a batch."""
        inputs = {
            "forcing": batch.forcing,
            "static": batch.static[:, None].expand(-1, _STATIC_POINTS, -1),
            "traits": batch.traits_by_cell,
            "state": batch.state_by_cell,
            "soil": batch.soil,
        }
        functions = [operate(inputs[name]) for name, operate in self.operators.items()]
        latent = self.latent(torch.cat([function.mean(1) for function in functions], dim=-1))
        return Answer(self.heads(latent), latent)
