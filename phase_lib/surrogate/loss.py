"""The loss: masked errors of the three tasks and the carbon balance of the grid-level fluxes."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from phase_lib.config.surrogate import SurrogateSettings
from phase_lib.dataset.layout import FLUX_TARGETS, Layout
from phase_lib.surrogate.codec import Answer, TargetCodec
from phase_lib.surrogate.ensemble import Ensemble
from phase_lib.surrogate.features import Batch

TASKS = ("patch", "layer", "flux")


def counts(codec: TargetCodec, batch: Batch) -> dict[str, Tensor]:
    """What each term is a mean over: weights of the values that count, and cells.

    Counts of the shares of a mini-batch add up to those of the whole. So do the losses of the shares where
    each is divided by the counts of the whole.
    """
    terms = {task: (getattr(batch, f"{task}_mask") * codec.space(task).weight).sum() for task in TASKS}
    return terms | {"physics": codec.flux_scale.new_tensor(float(len(batch)))}


def masked_mean(values: Tensor, mask: Tensor, weight: Tensor, counted: Tensor | None = None) -> Tensor:
    """Weighted mean of the values where the mask is True; 0 where nothing counts.

    Args:
        values: (cell, ...).
        mask: True where a value counts, same shape.
        weight: weights, broadcast over cells.
        counted: what to divide by, where these cells are a share; the sum of their weights if None.
    """
    counted = (mask * weight).sum() if counted is None else counted
    total = torch.where(mask, values, 0.0) * weight
    return total.sum() / counted.clamp_min(1.0e-12)


def flux_imbalance(flux: Tensor, scale: Tensor, cells: Tensor | None = None) -> Tensor:
    """Mean of (NPP - (GPP - AR))^2.

    Args:
        flux: (cell, 3) GPP, NPP and AR, gC m-2 yr-1.
        scale: flux that errors are measured in, gC m-2 yr-1.
        cells: what to divide by, where these cells are a share; their number if None.
    """
    gpp, npp, ar = (flux[:, FLUX_TARGETS.index(name)] for name in ("GPP", "NPP", "AR"))
    squared = ((npp - (gpp - ar)) / scale) ** 2
    return squared.sum() / (len(flux) if cells is None else cells)


def not_finite(layout: Layout, codec: TargetCodec, answer: Answer, batch: Batch) -> list[str]:
    """Variables whose error is infinite or NaN in some cell of a batch; for the report of a failure."""
    names = {"patch": layout.patch_targets, "layer": layout.layer_targets, "flux": FLUX_TARGETS}
    faulty = []
    for task in TASKS:
        raw, start, truth = getattr(answer.raw, task), getattr(batch, f"{task}20"), getattr(batch, task)
        error = codec.space(task).error(raw, start, truth)
        bad = (~torch.isfinite(error) & getattr(batch, f"{task}_mask")).flatten(0, -2).any(0)
        faulty += [name for name, wrong in zip(names[task], bad.tolist(), strict=True) if wrong]
    return faulty


def losses(
    codec: TargetCodec, answer: Answer, batch: Batch, whole: Mapping[str, Tensor] | None = None
) -> dict[str, Tensor]:
    """Each task's masked error and the `physics` term, unweighted.

    Of a network that also predicts changes from the start: the error of these, `change`, and the gap between
    prediction and start + change, `consistency`, over all tasks.

    Args:
        codec: what raw outputs mean.
        answer: raw outputs for the cells of the batch.
        batch: cells.
        whole: counts of the whole mini-batch of which these cells are a share; those of the batch if None.
    """
    whole, terms = counts(codec, batch) if whole is None else whole, {}
    for task in TASKS:
        space = codec.space(task)
        start, truth = getattr(batch, f"{task}20"), getattr(batch, task)
        error = space.error(getattr(answer.raw, task), start, truth)
        terms[task] = masked_mean(error, getattr(batch, f"{task}_mask"), space.weight, whole[task])
    flux = codec.space("flux").decode(answer.raw.flux, batch.flux20)
    terms["physics"] = flux_imbalance(flux, codec.flux_scale, whole["physics"])
    return terms if answer.change is None else terms | _change_losses(codec, answer, batch, whole)


def _change_losses(
    codec: TargetCodec, answer: Answer, batch: Batch, whole: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    predicted = codec.decode(answer.raw, batch)
    terms: dict[str, Tensor] = {}
    for name, final in (("change", batch), ("consistency", predicted)):
        errors = []
        for task in TASKS:
            space, change = codec.space(task), getattr(answer.change, task)
            error = space.change_error(change, getattr(batch, f"{task}20"), getattr(final, task))
            errors.append(masked_mean(error, getattr(batch, f"{task}_mask"), space.weight, whole[task]))
        terms[name] = torch.stack(errors).sum()
    return terms


def total(terms: Mapping[str, Tensor], settings: SurrogateSettings) -> Tensor:
    """Weighted sum of all errors: pools, fluxes, carbon balance, and what only the network has.

    A weight of 0 removes a term.
    """
    pools = terms["patch"] + terms["layer"]
    loss = pools + settings.flux_weight * terms["flux"] + settings.lambda_physics * terms["physics"]
    for name, weight in settings.network.weights.items():
        loss = loss + weight * terms[name]
    return loss


def training_losses(model: Ensemble, batch: Batch, whole: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Mean of the members' losses; `whole` as in `losses`."""
    by_member = [losses(model.codec, answer, batch, whole) for answer in model(batch)]
    return {name: torch.stack([terms[name] for terms in by_member]).mean() for name in by_member[0]}


def validation_losses(model: Ensemble, batch: Batch, whole: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Losses of the members' average answer, which is what predicts; `whole` as in `losses`."""
    return losses(model.codec, model.mean(model(batch)), batch, whole)
