"""From raw outputs of a network to pools, and the space in which errors count."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from phase_lib.config.surrogate import DefaultPreset, PaperPreset, PresetSettings
from phase_lib.dataset.layout import FLUX_TARGETS, Layout
from phase_lib.dataset.normalization import floors
from phase_lib.dataset.scaler import Scaler
from phase_lib.elm.constants import NATPFT
from phase_lib.elm.soil_grid import NLEVDECOMP
from phase_lib.surrogate.features import Batch

#: Corrections are held within so many standard deviations of their training values.
CORRECTION_LIMIT = 6.0
#: Largest factor by which the retransformation from the logarithm may correct a stock.
SMEARING_LIMIT = 1.25
#: Sharpness of the Softplus that keeps the logarithm above 0; high, so that zeros stay near zero.
SOFTPLUS_BETA = 20.0


@dataclass(frozen=True)
class Outputs:
    """One tensor per task: (cell, pft, target), (cell, layer, target) and (cell, 3)."""

    patch: Tensor
    layer: Tensor
    flux: Tensor


@dataclass(frozen=True)
class Answer:
    """What a network answers for the cells of a batch.

    Attributes:
        raw: raw outputs of the tasks.
        latent: fused latent (cell, d_model).
        change: changes from the start, in units of the space's scale, where the network predicts them too.
    """

    raw: Outputs
    latent: Tensor
    change: Outputs | None = None


class MinMaxSpace(nn.Module):
    """The paper's: outputs are variables scaled by their training minimum and maximum.

    Args:
        offset: minimum (entity, variable) or (variable).
        scale: maximum - minimum, likewise; a variable that did not vary counts with weight 0.
        softplus: outputs pass a Softplus; else they are not constrained.
    """

    offset: Tensor
    scale: Tensor
    weight: Tensor

    def __init__(self, offset: np.ndarray, scale: np.ndarray, softplus: bool = True) -> None:
        super().__init__()
        self._softplus = softplus
        self.register_buffer("offset", _buffer(offset))
        self.register_buffer("scale", _buffer(scale))
        self.register_buffer("weight", _buffer(scale > 0.0))

    def decode(self, raw: Tensor, start: Tensor) -> Tensor:
        """Values in physical units, with a Softplus never below the training minimum; `start` is not used."""
        return self._scaled(raw) * self.scale + self.offset

    def error(self, raw: Tensor, start: Tensor, truth: Tensor) -> Tensor:
        """Squared error of scaled values."""
        return (self._scaled(raw) - (truth - self.offset) / self._unit) ** 2

    def change_error(self, change: Tensor, start: Tensor, value: Tensor) -> Tensor:
        """Squared error of scaled changes from the start to a value."""
        return (change - (value - start) / self._unit) ** 2

    def _scaled(self, raw: Tensor) -> Tensor:
        return functional.softplus(raw) if self._softplus else raw

    @property
    def _unit(self) -> Tensor:
        return torch.where(self.scale > 0.0, self.scale, 1.0)


class CorrectionSpace(nn.Module):
    """The default's: raw outputs are standardised corrections of the logarithm of a start.

    With z(y) = log(1 + y / floor), a raw output r stands for z = z(start) + mean + deviation r, kept
    above 0 by a Softplus. Raw outputs of 0 are the start with the mean correction of its PFT or
    layer. Corrections stay within `CORRECTION_LIMIT` deviations, so that an unusual cell cannot receive a
    pool beyond the training range. Values that are best in the logarithm are too low on average. After
    training each PFT or layer is therefore multiplied by the factor that makes its training stock right,
    the smearing estimate of Duan (1983, JASA 78:605).

    Args:
        mean: mean correction (entity, variable) or (variable).
        deviation: its standard deviation.
        floor: where the logarithm turns linear, physical units.
        spread: standard deviation of the variable, physical units.
        weight: weight of each entry in the loss.
        linear_weight: weight of the error in physical units.
    """

    mean: Tensor
    deviation: Tensor
    floor: Tensor
    spread: Tensor
    weight: Tensor
    smearing: Tensor

    def __init__(
        self,
        mean: np.ndarray,
        deviation: np.ndarray,
        floor: np.ndarray,
        spread: np.ndarray,
        weight: np.ndarray,
        linear_weight: float,
    ) -> None:
        super().__init__()
        spread = np.where(spread > 0.0, spread, floor)
        fitted = {"mean": mean, "deviation": deviation, "floor": floor, "spread": spread, "weight": weight}
        for name, values in fitted.items():
            self.register_buffer(name, _buffer(values))
        self.register_buffer("smearing", torch.ones_like(self.mean))
        self._linear_weight = linear_weight

    def _logarithm(self, raw: Tensor, start: Tensor) -> Tensor:
        bounded = raw.clamp(-CORRECTION_LIMIT, CORRECTION_LIMIT)
        z = torch.log1p(start / self.floor) + self.mean + self.deviation * bounded
        return functional.softplus(z, beta=SOFTPLUS_BETA)

    def decode(self, raw: Tensor, start: Tensor) -> Tensor:
        """Values in physical units, never negative, from raw outputs and the start."""
        return self.smearing * self.floor * torch.expm1(self._logarithm(raw, start))

    def fit_smearing(self, truth: Tensor, predicted: Tensor) -> None:
        """Sets the factor from sums over training cells, both (entity, variable), physical units."""
        factor = truth / predicted.clamp(min=1.0e-12)
        bounded = factor.clamp(1.0 / SMEARING_LIMIT, SMEARING_LIMIT)
        self.smearing.copy_(torch.where(truth > 0.0, bounded, torch.ones_like(bounded)))

    def error(self, raw: Tensor, start: Tensor, truth: Tensor) -> Tensor:
        """Error of the logarithm in deviations of the correction, and of the value in its own spread.

        Both are squared up to one deviation and linear beyond.
        """
        z = self._logarithm(raw, start)
        scale = torch.where(self.deviation > 0.0, self.deviation, 1.0)
        logarithmic = _robust((z - torch.log1p(truth / self.floor)) / scale)
        linear = _robust((self.floor * torch.expm1(z) - truth) / self.spread)
        return logarithmic + self._linear_weight * linear

    def change_error(self, change: Tensor, start: Tensor, value: Tensor) -> Tensor:
        """Error of changes from the start to a value, both in the spread of the variable; as in `error`."""
        return _robust(change - (value - start) / self.spread)


def _robust(error: Tensor) -> Tensor:
    return 2.0 * functional.smooth_l1_loss(error, torch.zeros_like(error), reduction="none")


def _buffer(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))


class TargetCodec(nn.Module):
    """The spaces of the three tasks, from a scaler that was fitted with the same preset."""

    flux_scale: Tensor

    def __init__(self, layout: Layout, scaler: Scaler, preset: PresetSettings) -> None:
        super().__init__()
        tasks: dict[str, tuple[list[str], tuple[int, ...]]] = {
            "patch": (layout.patch_targets, (NATPFT,)),
            "layer": (layout.layer_targets, (NLEVDECOMP,)),
            "flux": (list(FLUX_TARGETS), ()),
        }
        self.spaces = nn.ModuleDict({task: _space(*what, scaler, preset) for task, what in tasks.items()})
        gpp = scaler.scalings["Y_GPP"]
        mean = gpp.offset + (0.5 * gpp.scale if gpp.spec.kind == "minmax" else 0.0)
        self.register_buffer("flux_scale", _buffer(np.maximum(mean, 1.0)))

    def space(self, task: str) -> Any:
        """Space of `patch`, `layer` or `flux`."""
        return self.spaces[task]

    def decode(self, raw: Outputs, batch: Batch) -> Outputs:
        """Predictions in physical units."""
        return Outputs(
            self.space("patch").decode(raw.patch, batch.patch20),
            self.space("layer").decode(raw.layer, batch.layer20),
            self.space("flux").decode(raw.flux, batch.flux20),
        )


def _space(names: list[str], size: tuple[int, ...], scaler: Scaler, preset: PresetSettings) -> nn.Module:
    def stacked(prefix: str, statistic: str) -> np.ndarray:
        columns = [np.asarray(getattr(scaler.scalings[f"{prefix}{name}"], statistic)) for name in names]
        return np.stack(columns, axis=-1) if columns else np.zeros((*size, 0))

    if not isinstance(preset, DefaultPreset):
        softplus = isinstance(preset, PaperPreset)
        return MinMaxSpace(stacked("Y_", "offset"), stacked("Y_", "scale"), softplus)
    mean = stacked("Y_", "offset")
    floor = np.stack([floors(mean[..., i]) for i in range(len(names))], axis=-1) if names else mean
    count = np.maximum(stacked("Y_", "count"), 1.0)
    deviation = stacked("correction_", "scale")
    weight = np.where(deviation > 0.0, (count.max(initial=1.0) / count) ** preset.balance, 0.0)
    mean_correction, spread = stacked("correction_", "offset"), stacked("Y_", "scale")
    return CorrectionSpace(mean_correction, deviation, floor, spread, weight, preset.linear_weight)
