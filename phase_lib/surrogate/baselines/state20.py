"""The cell's own 20-year state, taken to normal mode."""

from __future__ import annotations

import numpy as np

from phase_lib.dataset.loading import iterate_record_files
from phase_lib.surrogate.predictor import Baseline, Predictions


class State20(Baseline):
    """The 20-year state in normal mode."""

    name, label = "state20", "input state"

    def predict(self, cells: np.ndarray) -> Predictions:
        """See `Predictor`."""
        task = self.task
        names = {name: f"state20_{name}" for name in task.targets}
        files = iterate_record_files(task.dataset_dir, list(names.values()), cells, task.index)
        pieces = [values for _, values in files]
        return Predictions(
            {name: np.concatenate([piece[state20] for piece in pieces]) for name, state20 in names.items()}
        )
