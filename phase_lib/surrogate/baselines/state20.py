"""The cell's own 20-year state, taken to normal mode."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from phase_lib.dataset.loading import iterate_record_files
from phase_lib.surrogate.predictor import Baseline, Predictions


class State20(Baseline):
    """The 20-year state in normal mode."""

    name, label = "state20", "input state"

    def predict(self, cells: np.ndarray) -> Predictions:
        """See `Predictor`."""
        names, task = self.variables(), self.task
        files = iterate_record_files(task.dataset_dir, list(names.values()), cells, task.index)
        pieces = [values for _, values in files]
        return Predictions({name: np.concatenate([piece[names[name]] for piece in pieces]) for name in names})

    def variables(self) -> Mapping[str, str]:
        """Target -> variable of the dataset that is the prediction."""
        return {name: f"state20_{name}" for name in self.task.targets}
