"""Predictions without a network: each a module whose class has its name, `state20` and `State20`."""
