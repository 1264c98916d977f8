"""The reference state of the nearest training cell in climate, soil and vegetation space."""

from __future__ import annotations

import numpy as np
from scipy.spatial import KDTree

from phase_lib.base.errors import InputError
from phase_lib.base.progress import LOGGER
from phase_lib.dataset.loading import load_dataset
from phase_lib.dataset.space import FeatureSpace, features_of_dataset
from phase_lib.elm.constants import NATPFT
from phase_lib.surrogate.baselines.state20 import State20
from phase_lib.surrogate.predictor import Baseline, Predictions, Task


class Analogue(Baseline):
    """The reference state of the nearest training cell in climate, soil and vegetation.

    A patch takes its value from the nearest training cell that has its PFT. A PFT that no training cell
    has keeps the 20-year state of its cell. Only a training cell can be its own analogue. The training
    cells stay in memory, those to predict do not.

    Raises:
        InputError: there is no training cell.
    """

    name, label = "analogue", "analogue"

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        training, index = task.training, task.index
        if not training.any():
            raise InputError(index.path, "no training cell", expected="at least one")
        features = features_of_dataset(task.dataset_dir, training, index)
        self._space = FeatureSpace.fit(features)
        place, covered = self._space.place(features), index.covered[training]
        self._labels = load_dataset(task.dataset_dir, [f"Y_{name}" for name in task.targets], training)
        self._nearest = KDTree(place)
        self._having = [np.flatnonzero(covered[:, pft]) for pft in range(NATPFT)]
        self._with_pft = [KDTree(place[having]) if len(having) else None for having in self._having]
        absent = [pft for pft, tree in enumerate(self._with_pft) if tree is None]
        if absent:
            LOGGER.debug("PFTs without a training cell: %s; analogues keep their 20-year state", absent)

    def predict(self, cells: np.ndarray) -> Predictions:
        """Raises an InputError where the inputs of a cell are not complete."""
        index = self.task.index
        wanted = np.flatnonzero(cells) if cells.dtype == bool else np.sort(cells)
        place = self._space.place(features_of_dataset(self.task.dataset_dir, wanted, index))
        complete = np.isfinite(place).all(axis=1)
        if not complete.all():
            cell = wanted[np.argmin(complete)]
            raise InputError(index.path, f"the inputs of cell {index.cell[cell] + 1} are not complete")
        start = State20(self.task).predict(wanted).pools
        covered = index.covered[wanted]
        nearest = self._nearest.query(place)[1]
        by_pft = self._nearest_by_pft(place, covered)
        pools = {}
        for name in self.task.targets:
            truth = self._labels[f"Y_{name}"]
            if truth.shape[1] == NATPFT:
                likest = np.take_along_axis(truth, np.maximum(by_pft, 0), axis=0)
                likest = np.where(by_pft >= 0, likest, start[name])
                pools[name] = np.where(covered, likest, np.nan)
            else:
                pools[name] = truth[nearest]
        return Predictions(pools)

    def _nearest_by_pft(self, place: np.ndarray, covered: np.ndarray) -> np.ndarray:
        """Number of the nearest training cell that has each PFT (cell, natpft); -1 where none has."""
        nearest = np.full(covered.shape, -1, dtype=np.int64)
        for pft, tree in enumerate(self._with_pft):
            present = covered[:, pft]
            if tree is not None and present.any():
                nearest[present, pft] = self._having[pft][tree.query(place[present])[1]]
        return nearest
