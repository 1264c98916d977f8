"""How the network's raw outputs become pools, and in which space errors count."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from phase_lib.base.files import sha256_file
from phase_lib.base.provenance import code_version
from phase_lib.config.surrogate import Preset, SurrogateSettings
from phase_lib.dataset.loading import iterate_batches
from phase_lib.dataset.normalization import fit_normalization as fit_scaler
from phase_lib.dataset.scaler import Kind, Scaler, ScalerFit, Scaling, Spec
from phase_lib.dataset.split import read_split
from phase_lib.elm.constants import NATPFT, TRUNCATION
from phase_lib.elm.soil_grid import NLEVDECOMP
from phase_lib.elm.variables import POOL_VARIABLES
from phase_lib.surrogate.features import FLUX_TARGETS, Batch, Layout, feature_specs

#: Below this share of a target's mean (of its PFT or layer) the logarithm turns linear.
FLOOR_SHARE = 1.0e-2
#: A PFT or layer whose mean is below this share of the largest one takes its floor from that share.
LEAST_MEAN_SHARE = 1.0e-6
#: Fewest training values of a PFT for statistics of its own.
LEAST_VALUES = 10
#: Corrections are held within so many standard deviations of their training values.
CORRECTION_LIMIT = 6.0
#: Largest factor by which the retransformation from the logarithm may correct a stock.
SMEARING_LIMIT = 1.25
#: Sharpness of the Softplus that keeps the logarithm above 0; high, so that zeros stay near zero.
SOFTPLUS_BETA = 20.0

_ENTITY = {"patch": "natpft", "layer": "levdecomp"}


def floors(mean: np.ndarray) -> np.ndarray:
    """Where the logarithm of a target turns linear, in its units, from its means per PFT or layer."""
    largest = float(np.max(mean, initial=0.0))
    if largest <= 0.0:
        return np.ones_like(mean)
    return np.asarray(FLOOR_SHARE * np.maximum(mean, LEAST_MEAN_SHARE * largest))


def fit_normalization(dataset_dir: str | Path, split_file: str | Path, settings: SurrogateSettings) -> Scaler:
    """Scalings of features and targets from the training cells alone.

    The default preset goes over the data twice: the logarithm of a target needs its mean.

    Args:
        dataset_dir: directory of the dataset.
        split_file: split; only its training cells (not those for validation) count.
        settings: their preset decides the kind of scaling, and `leave_out` which features there are.

    Returns:
        Scalings under the names of the inputs, `Y_<target>` and, in the default preset,
        `correction_<target>`: log1p(Y / floor) - log1p(state20 / floor), where a 20-year state that is
        left out counts as 0.

    Raises:
        InputError: the files do not fit together, or a variable has no training value.
    """
    layout = Layout.read(dataset_dir, settings.leave_out)
    split = read_split(split_file, dataset_dir)
    specs = feature_specs(layout, settings.preset) | _target_specs(layout, settings.preset)
    scaler = _without_residue(fit_scaler(dataset_dir, split, specs, least_values=LEAST_VALUES))
    if settings.preset == "paper":
        return scaler
    return Scaler(scaler.scalings | _fit_corrections(dataset_dir, split.train, layout, scaler).scalings)


def scaled_names(layout: Layout, preset: Preset) -> set[str]:
    """Names of the scalings that `fit_normalization` gives."""
    targets = [*layout.targets, *FLUX_TARGETS]
    names = {*feature_specs(layout, preset), *(f"Y_{name}" for name in targets)}
    return names if preset == "paper" else names | {f"correction_{name}" for name in targets}


def _without_residue(scaler: Scaler) -> Scaler:
    """Takes pools that vary by rounding alone as constant; scaled, one real value would dwarf all else."""
    return Scaler({name: _if_it_varies(name, scaling) for name, scaling in scaler.scalings.items()})


def _if_it_varies(name: str, scaling: Scaling) -> Scaling:
    if name.removeprefix("Y_") not in POOL_VARIABLES:
        return scaling
    least = TRUNCATION / scaling.spec.floor if scaling.spec.kind.startswith("asinh") else TRUNCATION
    return replace(scaling, scale=np.where(scaling.scale > least, scaling.scale, 0.0))


def normalize(
    dataset_dir: str | Path, split_file: str | Path, settings: SurrogateSettings, output: str | Path
) -> None:
    """Writes `normalization.nc`; arguments and errors as in `fit_normalization`."""
    scaler = fit_normalization(dataset_dir, split_file, settings)
    scaler.write(
        output,
        {
            "preset": settings.preset,
            "left_out": " ".join(settings.leave_out),
            "split_sha256": sha256_file(split_file),
            "code_version": code_version(),
        },
    )


def _entities(layout: Layout) -> dict[str, tuple[str, ...]]:
    """Dimension that keeps statistics of its own, by target."""
    per = dict.fromkeys(layout.patch_targets, (_ENTITY["patch"],))
    return per | dict.fromkeys(layout.layer_targets, (_ENTITY["layer"],)) | dict.fromkeys(FLUX_TARGETS, ())


def _target_specs(layout: Layout, preset: Preset) -> dict[str, Spec]:
    kind: Kind = "minmax" if preset == "paper" else "standard"
    return {f"Y_{name}": Spec(kind, per) for name, per in _entities(layout).items()}


def _fit_corrections(dataset_dir: str | Path, train: np.ndarray, layout: Layout, scaler: Scaler) -> Scaler:
    per = _entities(layout)
    dims = {f"correction_{name}": layout.dims()[f"Y_{name}"] for name in per}
    fit = ScalerFit({f"correction_{n}": Spec("standard", own) for n, own in per.items()}, dims, LEAST_VALUES)
    start = layout.starts()
    floor = {name: floors(scaler.scalings[f"Y_{name}"].offset) for name in per}
    for _, values in iterate_batches(dataset_dir, [*(f"Y_{name}" for name in per), *start.values()], train):
        fit.update(
            {
                f"correction_{n}": _logarithm(values[f"Y_{n}"], floor[n])
                - (_logarithm(values[start[n]], floor[n]) if n in start else 0.0)
                for n in per
            }
        )
    return fit.finish()


def _logarithm(values: np.ndarray, floor: np.ndarray) -> np.ndarray:
    return np.asarray(np.log1p(np.maximum(values, 0.0) / floor))


@dataclass(frozen=True)
class Outputs:
    """One tensor per task: (cell, pft, target), (cell, layer, target) and (cell, 3)."""

    patch: Tensor
    layer: Tensor
    flux: Tensor


class TargetSpace(Protocol):
    """What one task's raw outputs mean."""

    def decode(self, raw: Tensor, start: Tensor) -> Tensor:
        """Values in physical units from raw outputs and the 20-year state, all of one shape."""
        ...

    def error(self, raw: Tensor, start: Tensor, truth: Tensor) -> Tensor:
        """Squared or robust error of each value, of the same shape."""
        ...


class MinMaxSpace(nn.Module):
    """The paper's: Softplus outputs are targets scaled by their training minimum and maximum.

    Args:
        offset: minimum (entity, target) or (target).
        scale: maximum - minimum, likewise; a target that did not vary counts with weight 0.
    """

    offset: Tensor
    scale: Tensor
    weight: Tensor

    def __init__(self, offset: np.ndarray, scale: np.ndarray) -> None:
        super().__init__()
        self.register_buffer("offset", _buffer(offset))
        self.register_buffer("scale", _buffer(scale))
        self.register_buffer("weight", _buffer(scale > 0.0))

    def decode(self, raw: Tensor, start: Tensor) -> Tensor:
        """See `TargetSpace`; never below the training minimum."""
        return functional.softplus(raw) * self.scale + self.offset

    def error(self, raw: Tensor, start: Tensor, truth: Tensor) -> Tensor:
        """Squared error of scaled values."""
        scaled = (truth - self.offset) / torch.where(self.scale > 0.0, self.scale, 1.0)
        return (functional.softplus(raw) - scaled) ** 2


class CorrectionSpace(nn.Module):
    """The default's: raw outputs are standardised corrections of the 20-year state's logarithm.

    With z(y) = log(1 + y / floor), a raw output r stands for z = z(start) + mean + deviation r, kept
    above 0 by a Softplus. Raw outputs of 0 are the 20-year state with the mean correction of its PFT or
    layer. Corrections stay within `CORRECTION_LIMIT` deviations, so that an odd cell cannot get a pool
    beyond what training has seen. Values that are best in the logarithm are too low on average; after
    training each PFT or layer is multiplied by the factor that makes its training stock right, the
    smearing estimate of Duan (1983, JASA 78:605).

    Args:
        mean: mean correction (entity, target) or (target).
        deviation: its standard deviation.
        floor: where the logarithm turns linear, physical units.
        spread: standard deviation of the target, physical units.
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
        self.register_buffer("mean", _buffer(mean))
        self.register_buffer("deviation", _buffer(deviation))
        self.register_buffer("floor", _buffer(floor))
        self.register_buffer("spread", _buffer(np.where(spread > 0.0, spread, floor)))
        self.register_buffer("weight", _buffer(weight))
        self.register_buffer("smearing", torch.ones_like(self.mean))
        self._linear_weight = linear_weight

    def _logarithm(self, raw: Tensor, start: Tensor) -> Tensor:
        bounded = raw.clamp(-CORRECTION_LIMIT, CORRECTION_LIMIT)
        z = torch.log1p(start / self.floor) + self.mean + self.deviation * bounded
        return functional.softplus(z, beta=SOFTPLUS_BETA)

    def decode(self, raw: Tensor, start: Tensor) -> Tensor:
        """See `TargetSpace`; never negative."""
        return self.smearing * self.floor * torch.expm1(self._logarithm(raw, start))

    def fit_smearing(self, truth: Tensor, predicted: Tensor) -> None:
        """Sets the factor from sums over training cells, both (entity, target), physical units."""
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


def _robust(error: Tensor) -> Tensor:
    return 2.0 * functional.smooth_l1_loss(error, torch.zeros_like(error), reduction="none")


def _buffer(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))


class TargetCodec(nn.Module):
    """The target spaces of the three tasks, made from a fitted scaler.

    Args:
        layout: variables.
        scaler: fitted by `fit_normalization` with the same preset.
        settings: preset and weights.
    """

    flux_scale: Tensor

    def __init__(self, layout: Layout, scaler: Scaler, settings: SurrogateSettings) -> None:
        super().__init__()
        names = {"patch": layout.patch_targets, "layer": layout.layer_targets, "flux": list(FLUX_TARGETS)}
        sizes = {"patch": (NATPFT,), "layer": (NLEVDECOMP,), "flux": ()}
        self.spaces = nn.ModuleDict(
            {task: _space(names[task], sizes[task], scaler, settings) for task in names}
        )
        gpp = scaler.scalings["Y_GPP"]
        mean = gpp.offset + (0.5 * gpp.scale if gpp.spec.kind == "minmax" else 0.0)
        self.register_buffer("flux_scale", _buffer(np.maximum(mean, 1.0)))

    def space(self, task: str) -> Any:
        """Target space of `patch`, `layer` or `flux`."""
        return self.spaces[task]

    def decode(self, raw: Outputs, batch: Batch) -> Outputs:
        """Predictions in physical units."""
        return Outputs(
            self.space("patch").decode(raw.patch, batch.patch20),
            self.space("layer").decode(raw.layer, batch.layer20),
            self.space("flux").decode(raw.flux, batch.flux20),
        )


def _space(names: list[str], size: tuple[int, ...], scaler: Scaler, settings: SurrogateSettings) -> nn.Module:
    def stacked(prefix: str, statistic: str) -> np.ndarray:
        columns = [np.asarray(getattr(scaler.scalings[f"{prefix}{name}"], statistic)) for name in names]
        return np.stack(columns, axis=-1) if columns else np.zeros((*size, 0))

    if settings.preset == "paper":
        return MinMaxSpace(stacked("Y_", "offset"), stacked("Y_", "scale"))
    mean = stacked("Y_", "offset")
    floor = np.stack([floors(mean[..., i]) for i in range(len(names))], axis=-1) if names else mean
    count = np.maximum(stacked("Y_", "count"), 1.0)
    deviation = stacked("correction_", "scale")
    weight = np.where(deviation > 0.0, (count.max(initial=1.0) / count) ** settings.balance, 0.0)
    return CorrectionSpace(
        stacked("correction_", "offset"),
        deviation,
        floor,
        stacked("Y_", "scale"),
        weight,
        settings.linear_weight,
    )
