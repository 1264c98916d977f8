"""The loss: masked task errors and the carbon balance of the grid-level fluxes."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from phase_lib.surrogate.features import FLUX_TARGETS, Batch
from phase_lib.surrogate.model import Answer, Phase
from phase_lib.surrogate.targets import TargetCodec

TASKS = ("patch", "layer", "flux")


def masked_mean(values: Tensor, mask: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean of the values where the mask is True; 0 where nothing counts.

    Args:
        values: (cell, ...).
        mask: True where a value counts, same shape.
        weight: weights, broadcast over cells.
    """
    counted = mask * weight
    total = torch.where(mask, values, 0.0) * weight
    return total.sum() / counted.sum().clamp_min(1.0e-12)


def flux_imbalance(flux: Tensor, scale: Tensor) -> Tensor:
    """Mean of (NPP - (GPP - AR))^2.

    Args:
        flux: (cell, 3) GPP, NPP and AR, gC m-2 yr-1.
        scale: flux that errors are measured in, gC m-2 yr-1.
    """
    gpp, npp, ar = (flux[:, FLUX_TARGETS.index(name)] for name in ("GPP", "NPP", "AR"))
    return (((npp - (gpp - ar)) / scale) ** 2).mean()


def losses(codec: TargetCodec, answer: Answer, batch: Batch) -> dict[str, Tensor]:
    """Each task's masked error and the `physics` term, unweighted."""
    found = {}
    for task in TASKS:
        space = codec.space(task)
        start, truth = getattr(batch, f"{task}20"), getattr(batch, task)
        error = space.error(getattr(answer.raw, task), start, truth)
        found[task] = masked_mean(error, getattr(batch, f"{task}_mask"), space.weight)
    flux = codec.space("flux").decode(answer.raw.flux, batch.flux20)
    found["physics"] = flux_imbalance(flux, codec.flux_scale)
    return found


def total(found: Mapping[str, Tensor], lambda_physics: float) -> Tensor:
    """Sum of the task errors + lambda x physics."""
    return torch.stack([found[task] for task in TASKS]).sum() + lambda_physics * found["physics"]


def training_losses(model: Phase, batch: Batch) -> dict[str, Tensor]:
    """Losses averaged over members, each judged on its own."""
    own = [losses(model.codec, answer, batch) for answer in model(batch)]
    return {name: torch.stack([found[name] for found in own]).mean() for name in own[0]}


def validation_losses(model: Phase, batch: Batch) -> dict[str, Tensor]:
    """Losses of the members' average answer, as it is used for predictions."""
    return losses(model.codec, model.mean(model(batch)), batch)
