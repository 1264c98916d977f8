"""The rule tables of the world: one CSV per subject, beside the code."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import numpy as np
import pandas as pd


@cache
def read_table(name: str) -> pd.DataFrame:
    """Reads a table of the package by its name without suffix; not to be changed by the caller."""
    with files(__package__).joinpath("data", f"{name}.csv").open(encoding="utf-8") as stream:
        return pd.read_csv(stream, keep_default_na=False, na_values=[""])


def by_class(name: str, classes: tuple[str, ...]) -> pd.DataFrame:
    """A table with one row per Koeppen class, in the order of `classes`."""
    return read_table(name).set_index("class").loc[list(classes)]


def mean_over_classes(zones: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Means of class values, weighted by class shares.

    Args:
        zones: shares (n, classes).
        values: (classes) or (classes, m).
    """
    return np.asarray(zones, dtype=np.float64) @ np.asarray(values, dtype=np.float64)
