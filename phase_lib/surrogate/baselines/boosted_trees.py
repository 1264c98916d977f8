"""Gradient-boosted trees: a model for each pool, over all PFTs or all layers."""

from __future__ import annotations

import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor

from phase_lib.surrogate.trees import Function, Trees


class BoostedTrees(Trees):
    """Each target from gradient-boosted trees over histograms of the features (Ke et al. 2017)."""

    name, label = "boosted_trees", "gradient-boosted trees"

    def learn(self, features: np.ndarray, corrections: np.ndarray) -> Function:
        """See `Trees`."""
        # A second for each pool of the default world.
        sizes = {"max_iter": 60, "learning_rate": 0.15, "max_leaf_nodes": 15, "max_bins": 63}
        models = [
            HistGradientBoostingRegressor(
                **sizes, max_features=0.3, early_stopping=False, random_state=self.task.seed
            ).fit(features, column)
            for column in corrections.T
        ]
        return lambda rows: np.stack([model.predict(rows) for model in models], axis=1)
