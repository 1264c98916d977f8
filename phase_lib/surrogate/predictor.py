"""Predictors of the slow state of cells: trained networks, and baselines without a network."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from phase_lib.dataset.loading import CellIndex


@dataclass(frozen=True)
class Predictions:
    """Predictions for some cells, in dataset order.

    Attributes:
        pools: restart name -> (cell, natpft), NaN where the PFT has no cover, or (cell, levdecomp);
            normal mode, restart units.
        fluxes: GPP, NPP and AR (cell), gC m-2 yr-1; empty where they are not predicted.
        score: distance to the training cells (cell); empty where there is no such score.
    """

    pools: Mapping[str, np.ndarray]
    fluxes: Mapping[str, np.ndarray] = field(default_factory=dict)
    score: np.ndarray = field(default_factory=lambda: np.empty(0))


class Predictor(ABC):
    """Something that predicts.

    Attributes:
        name: in files and tables of numbers.
        label: in figures and prose.
    """

    name: str
    label: str

    @abstractmethod
    def predict(self, cells: np.ndarray) -> Predictions:
        """Predicts some cells.

        Args:
            cells: wanted cells, a mask (gridcell, dataset order) or positions; their inputs must be complete.
        """


@dataclass(frozen=True)
class Task:
    """What a baseline may learn from.

    Attributes:
        dataset_dir: the dataset's directory.
        index: its cells.
        targets: restart names of the variables to predict.
        training: True in the cells whose labels may be read (gridcell, dataset order).
        seed: of random numbers.
    """

    dataset_dir: Path
    index: CellIndex
    targets: Sequence[str]
    training: np.ndarray
    seed: int = 0


class Baseline(Predictor):
    """A predictor without a network: a class in a module of `surrogate/baselines` or of another package.

    A subclass sets `name` and `label` and predicts all variables of its task. One that learns, learns in
    `__init__`.
    """

    def __init__(self, task: Task) -> None:
        self.task = task
