"""The reference state of the nearest training cell in climate, soil and vegetation space."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from scipy.spatial import KDTree

from phase_lib.base.errors import InputError
from phase_lib.base.progress import LOGGER
from phase_lib.dataset.loading import CellIndex, iterate_record_files, load_dataset
from phase_lib.elm.constants import NATPFT
from phase_lib.elm.variables import SURFACE_P
from phase_lib.forcing.variables import FORCING
from phase_lib.surrogate.baselines.state20 import State20
from phase_lib.surrogate.predictor import Baseline, Predictions, Task

_SOIL_LAYERS = ("PCT_SAND", "PCT_CLAY", "ORGANIC")


def analogue_features(dataset_dir: str | Path, cells: np.ndarray, index: CellIndex) -> dict[str, np.ndarray]:
    """Climate, soil and vegetation of cells (a mask or positions), in dataset order.

    Returns:
        Group -> features (gridcell, k): `climate`, mean and standard deviation of the mean annual
        cycle of the six forcing variables; `soil`, profile means of texture and organic matter, and
        log(1 + stock) of the P maps; `vegetation`, cover of the PFTs.
    """
    names = [*FORCING, *_SOIL_LAYERS, *SURFACE_P, "cover"]
    groups: dict[str, list[np.ndarray]] = {"climate": [], "soil": [], "vegetation": []}
    for _, values in iterate_record_files(dataset_dir, names, cells, index):
        cycles = [
            values[name].astype(np.float64).reshape(len(values[name]), -1, 12).mean(axis=1)
            for name in FORCING
        ]
        climate = [statistic for cycle in cycles for statistic in (cycle.mean(axis=1), cycle.std(axis=1))]
        soil = [values[name].mean(axis=1) for name in _SOIL_LAYERS]
        soil += [np.log1p(values[name]) for name in SURFACE_P]
        groups["climate"].append(np.stack(climate, axis=1))
        groups["soil"].append(np.stack(soil, axis=1))
        groups["vegetation"].append(values["cover"])
    return {group: np.concatenate(pieces) for group, pieces in groups.items()}


@dataclass(frozen=True)
class FeatureSpace:
    """Features standardised on training cells; the groups have the same weight.

    Attributes:
        mean, deviation: of the training cells, by group (k); 0 deviation where a feature does not vary.
    """

    mean: Mapping[str, np.ndarray]
    deviation: Mapping[str, np.ndarray]

    @classmethod
    def fit(cls, training: Mapping[str, np.ndarray]) -> Self:
        """The space of training cells: group -> (cell, k)."""
        mean = {group: values.mean(axis=0) for group, values in training.items()}
        deviation = {group: values.std(axis=0) for group, values in training.items()}
        varies = {g: deviation[g] > 1.0e-12 * np.maximum(1.0, np.abs(mean[g])) for g in mean}
        return cls(mean, {group: np.where(varies[group], deviation[group], 0.0) for group in mean})

    def place(self, features: Mapping[str, np.ndarray]) -> np.ndarray:
        """Where cells lie (cell, sum of k); a feature that does not vary in training is 0."""
        pieces = []
        for group, values in features.items():
            varies = self.deviation[group] > 0.0
            unit = np.where(varies, self.deviation[group], 1.0)
            scaled = np.where(varies, (values - self.mean[group]) / unit, 0.0)
            pieces.append(scaled / np.sqrt(max(1, int(varies.sum()))))
        return np.concatenate(pieces, axis=1)


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
        features = analogue_features(task.dataset_dir, training, index)
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
        place = self._space.place(analogue_features(self.task.dataset_dir, wanted, index))
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
