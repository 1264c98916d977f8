"""Baselines, predictors without a network: `state20` is the class `State20` of the module `state20`."""
