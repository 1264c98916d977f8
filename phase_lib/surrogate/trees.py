"""Baselines that learn corrections of the start of each pool from a table of features."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from phase_lib.base.errors import InputError
from phase_lib.dataset.layout import Layout
from phase_lib.dataset.loading import load_dataset
from phase_lib.dataset.normalization import floors
from phase_lib.surrogate.predictor import Baseline, Predictions, Task
from phase_lib.surrogate.rows import Level, Rows, read_rows

#: Rows that are learnt from, at most, so that time and memory stay bounded; of more, these are drawn.
MOST_ROWS = 20_000

#: (row, feature) to (row, target).
Function = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class _Learnt:
    """What was learnt of the targets of one level.

    Attributes:
        targets: names, in the order of the columns of all arrays.
        floor: where the logarithm turns linear (entity, target), units of the targets.
        mean, deviation: of the corrections (target).
        function: standardised corrections from features.
    """

    targets: list[str]
    floor: np.ndarray
    mean: np.ndarray
    deviation: np.ndarray
    function: Function

    def predict(self, rows: Rows, start: np.ndarray) -> np.ndarray:
        """Values (cell, entity, target) from their start, likewise; NaN where there is no row."""
        correction = rows.on_cells(self.mean + self.deviation * self.function(rows.features))
        return np.maximum(self.floor * np.expm1(np.log1p(start / self.floor) + correction), 0.0)


class Trees(Baseline):
    """Corrections of the logarithm of the starts of the default preset, learnt from rows of features.

    One table has the PFTs of the training cells, another their layers; both stay in memory.

    Raises:
        InputError: there is no training cell, or a variable is missing.
    """

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        if not task.training.any():
            raise InputError(task.index.path, "no training cell", expected="at least one")
        self._layout = Layout.read(task.dataset_dir)
        rows = read_rows(task.dataset_dir, self._layout, task.training, task.index)
        targets: dict[Level, list[str]] = {
            "patch": self._layout.patch_targets,
            "layer": self._layout.layer_targets,
        }
        self._learnt = {level: self._fit(rows[level], names) for level, names in targets.items() if names}

    @abstractmethod
    def learn(self, features: np.ndarray, corrections: np.ndarray) -> Function:
        """Learns standardised corrections (row, target) from features (row, feature)."""

    def _fit(self, rows: Rows, targets: list[str]) -> _Learnt:
        truth = self._values({name: f"Y_{name}" for name in targets}, self.task.training)
        start = self._values(self._starts(targets), self.task.training)
        known = np.where(rows.there[..., None], truth, np.nan)
        count = np.maximum(rows.there.sum(axis=0), 1)[:, None]
        mean = np.nansum(known, axis=0) / count
        floor = np.stack([floors(column) for column in mean.T], axis=-1)
        corrections = (np.log1p(truth / floor) - np.log1p(start / floor))[rows.there]
        middle, deviation = corrections.mean(axis=0), corrections.std(axis=0)
        deviation = np.where(deviation > 0.0, deviation, 1.0)
        drawn = np.random.default_rng(self.task.seed).permutation(len(corrections))[:MOST_ROWS]
        table = (corrections[drawn] - middle) / deviation
        return _Learnt(targets, floor, middle, deviation, self.learn(rows.features[drawn], table))

    def predict(self, cells: np.ndarray) -> Predictions:
        """See `Predictor`."""
        rows = read_rows(self.task.dataset_dir, self._layout, cells, self.task.index)
        pools: dict[str, np.ndarray] = {}
        for level, learnt in self._learnt.items():
            start = self._values(self._starts(learnt.targets), cells)
            values = learnt.predict(rows[level], start)
            pools |= {name: values[..., i] for i, name in enumerate(learnt.targets)}
        return Predictions({name: pools[name] for name in self.task.targets})

    def _starts(self, targets: list[str]) -> dict[str, str]:
        starts = self._layout.starts()
        return {name: starts[name] for name in targets}

    def _values(self, names: Mapping[str, str], cells: np.ndarray) -> np.ndarray:
        """Variables of the dataset side by side (cell, entity, target), negative round-off set to 0."""
        values = load_dataset(self.task.dataset_dir, list(names.values()), cells)
        return np.maximum(np.stack([values[name] for name in names.values()], axis=-1), 0.0)
