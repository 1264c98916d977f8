"""Out of distribution: how far a cell's fused latent lies from those of the training cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

#: The score is the mean distance to this number of nearest training cells.
NEIGHBOURS = 5
#: Training cells kept as reference, at most; drawn at random beyond.
REFERENCE_CELLS = 20_000
#: Least variance of an axis, as a share of the largest variance of the training latents.
LEAST_VARIANCE = 1.0e-4
_CHUNK = 1024


def drawn(cells: int, seed: int) -> np.ndarray:
    """Which of the training cells are kept as reference, in order: all, or `REFERENCE_CELLS` at random."""
    if cells <= REFERENCE_CELLS:
        return np.arange(cells)
    return np.sort(np.random.default_rng(seed).choice(cells, REFERENCE_CELLS, replace=False))


@dataclass(frozen=True)
class Reference:
    """Training cells in the latent space.

    Latents are rotated to their principal axes and scaled there to unit spread. A cell that is off the
    surface of the training cells is then far from them, even by a small step.

    Attributes:
        mean: of the training latents (latent).
        axes: rotation and scaling of deviations from the mean (latent, latent).
        latents: training latents, rotated and scaled (cell, latent).
        held_out: score of each reference cell against the cells of other groups (cell).
    """

    mean: Tensor
    axes: Tensor
    latents: Tensor
    held_out: Tensor

    @classmethod
    def fit(cls, latents: Tensor, group: np.ndarray) -> Self:
        """Keeps training cells and scores each as if its group had been held out.

        Cells of one tile of a blocked split form a group, so that a training cell is as far from those it
        is compared with as a test cell is. Under a random split, or where all cells lie in one tile, each
        cell is a group by itself.

        Args:
            latents: fused latents of the training cells that `drawn` gives (cell, latent).
            group: which cells are held out together (cell).
        """
        mean = latents.double().mean(0)
        away = latents.double() - mean
        variance, directions = torch.linalg.eigh(away.T @ away / len(away))
        least = LEAST_VARIANCE * variance.max().clamp_min(torch.finfo(torch.float32).tiny)
        axes = (directions / (variance.clamp_min(0.0) + least).sqrt()).float()
        turned = (latents - mean.float()) @ axes
        names, group = np.unique(group, return_inverse=True)
        numbers = torch.from_numpy(group if len(names) > 1 else np.arange(len(group)))
        return cls(mean.float(), axes, turned, _nearest(turned, turned, numbers))

    def score(self, latents: Tensor) -> np.ndarray:
        """Mean distance of fused latents (cell, latent) to the nearest training cells (cell), float64."""
        return _nearest((latents - self.mean) @ self.axes, self.latents).double().numpy()

    def threshold(self, quantile: float) -> float:
        """The quantile of the held-out scores of the training cells."""
        return float(np.quantile(self.held_out.double().numpy(), quantile))

    def to_dict(self) -> dict[str, Any]:
        """Plain tensors, for the model file."""
        return dict(vars(self))


def _nearest(cells: Tensor, reference: Tensor, group: Tensor | None = None) -> Tensor:
    """Mean distance of each cell to its nearest reference cells, without those of its group."""
    distances = []
    for rows in torch.arange(len(cells)).split(_CHUNK):  # type: ignore[no-untyped-call]
        distance = torch.cdist(cells[rows], reference)
        if group is not None:
            distance = distance.masked_fill(group[rows, None] == group[None, :], torch.inf)
        least = distance.sort(dim=1).values[:, : min(NEIGHBOURS, len(reference))]
        within = least.isfinite()
        distances.append(torch.where(within, least, 0.0).sum(1) / within.sum(1))
    return torch.cat(distances)
