"""Extremely randomised trees: one forest for all pools per PFT, one for all per layer."""

from __future__ import annotations

import numpy as np
from sklearn.ensemble import ExtraTreesRegressor

from phase_lib.surrogate.trees import Function, Trees


class ExtraTrees(Trees):
    """All targets of a level from one forest of extremely randomised trees (Geurts et al. 2006)."""

    name, label = "extra_trees", "extremely randomised trees"

    def learn(self, features: np.ndarray, corrections: np.ndarray) -> Function:
        """See `Trees`."""
        forest = ExtraTreesRegressor(
            n_estimators=100, min_samples_leaf=2, max_features=0.3, random_state=self.task.seed
        )
        forest.fit(features, corrections)
        return lambda rows: forest.predict(rows).reshape(-1, corrections.shape[1])
