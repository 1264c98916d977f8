"""The space of climate, soil and vegetation, in which cells lie near those that resemble them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from phase_lib.dataset.loading import CellIndex, iterate_record_files
from phase_lib.elm.variables import SURFACE_P
from phase_lib.forcing.variables import FORCING

#: Surface fields with soil layers.
SOIL_LAYERS = ("PCT_SAND", "PCT_CLAY", "ORGANIC")


def mean_cycle(series: np.ndarray) -> np.ndarray:
    """The mean year of whole years of months: (cell, time) -> (cell, 12), float64."""
    return np.asarray(series.astype(np.float64).reshape(len(series), -1, 12).mean(axis=1))


def of_climate(cycles: Mapping[str, np.ndarray]) -> np.ndarray:
    """Mean and standard deviation of the mean year (cell, 12) of the forcing variables: (cell, 2 * 6)."""
    statistics = [statistic for name in FORCING for statistic in (cycles[name].mean(1), cycles[name].std(1))]
    return np.stack(statistics, axis=1)


def of_soil(values: Mapping[str, np.ndarray]) -> np.ndarray:
    """Profile means of texture and organic matter, and log(1 + stock) of the P maps: (cell, 3 + 4)."""
    layers = [values[name].mean(axis=1) for name in SOIL_LAYERS]
    return np.stack([*layers, *(np.log1p(values[name]) for name in SURFACE_P)], axis=1)


def features_of_dataset(
    dataset_dir: str | Path, cells: np.ndarray, index: CellIndex
) -> dict[str, np.ndarray]:
    """Climate, soil and vegetation of cells (a mask or positions), in dataset order.

    Returns:
        Group -> features (gridcell, k): `climate`, `soil` and `vegetation`, the cover of the PFTs.
    """
    names = [*FORCING, *SOIL_LAYERS, *SURFACE_P, "cover"]
    groups: dict[str, list[np.ndarray]] = {"climate": [], "soil": [], "vegetation": []}
    for _, values in iterate_record_files(dataset_dir, names, cells, index):
        groups["climate"].append(of_climate({name: mean_cycle(values[name]) for name in FORCING}))
        groups["soil"].append(of_soil(values))
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
