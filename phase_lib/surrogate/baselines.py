"""Two predictions that need no learning, for comparison and as a fallback.

`state20` is the cell's own 20-year state taken to normal mode; `analogue` is the reference state of the
nearest training cell in climate, soil and vegetation space.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from scipy.spatial import KDTree

from phase_lib.base.errors import InputError
from phase_lib.base.progress import LOGGER
from phase_lib.dataset.loading import CellIndex, iterate_batches, load_dataset, read_cells
from phase_lib.elm.constants import NATPFT
from phase_lib.forcing import FORCING

_SOIL_LAYERS = ("PCT_SAND", "PCT_CLAY", "ORGANIC")
_SOIL_STOCKS = ("LABILE_P", "SECONDARY_P", "OCCLUDED_P", "APATITE_P")


def state20(
    dataset_dir: str | Path,
    targets: Sequence[str],
    cells: np.ndarray | None = None,
    index: CellIndex | None = None,
) -> dict[str, np.ndarray]:
    """The 20-year state in normal mode, in dataset order.

    Args:
        dataset_dir: the dataset's directory.
        targets: restart names.
        cells: wanted cells, a mask or positions in dataset order; all if None.
        index: of the dataset, where the caller has read it already.

    Returns:
        Target -> (gridcell, natpft) or (gridcell, levdecomp), NaN where a PFT has no cover.
    """
    names = [f"state20_{name}" for name in targets]
    pieces = [values for _, values in iterate_batches(dataset_dir, names, cells, index)]
    return {name: np.concatenate([piece[f"state20_{name}"] for piece in pieces]) for name in targets}


def analogue_features(
    dataset_dir: str | Path, cells: np.ndarray | None = None, index: CellIndex | None = None
) -> dict[str, np.ndarray]:
    """Climate, soil and vegetation of cells, in dataset order.

    Args:
        dataset_dir: the dataset's directory.
        cells: wanted cells, a mask or positions in dataset order; all if None.
        index: of the dataset, where the caller has read it already.

    Returns:
        Group -> features (gridcell, k): `climate`, mean and standard deviation of the mean annual
        cycle of the six forcing variables; `soil`, profile means of texture and organic matter, and
        log(1 + stock) of the P maps; `vegetation`, cover of the PFTs.
    """
    names = [*FORCING, *_SOIL_LAYERS, *_SOIL_STOCKS, "cover"]
    groups: dict[str, list[np.ndarray]] = {"climate": [], "soil": [], "vegetation": []}
    for _, values in iterate_batches(dataset_dir, names, cells, index):
        cycles = [
            values[name].astype(np.float64).reshape(len(values[name]), -1, 12).mean(axis=1)
            for name in FORCING
        ]
        climate = [statistic for cycle in cycles for statistic in (cycle.mean(axis=1), cycle.std(axis=1))]
        soil = [values[name].mean(axis=1) for name in _SOIL_LAYERS]
        soil += [np.log1p(values[name]) for name in _SOIL_STOCKS]
        groups["climate"].append(np.stack(climate, axis=1))
        groups["soil"].append(np.stack(soil, axis=1))
        groups["vegetation"].append(values["cover"])
    return {group: np.concatenate(pieces) for group, pieces in groups.items()}


@dataclass(frozen=True)
class FeatureSpace:
    """Features side by side, each standardised on training cells; the groups weigh the same.

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


class Analogues:
    """The reference states of training cells, to be found by likeness.

    A patch takes its value from the nearest training cell that has its PFT; a PFT that no training cell
    has keeps the cell's own 20-year state. The training cells stay in memory, the cells that ask do not.

    Args:
        dataset_dir: the dataset's directory.
        targets: restart names.
        training: True in training cells (gridcell, dataset order); a cell is never its own analogue
            unless it is one of them.

    Raises:
        InputError: there is no training cell.
    """

    def __init__(self, dataset_dir: str | Path, targets: Sequence[str], training: np.ndarray) -> None:
        self._dataset_dir, self._targets, self._index = dataset_dir, targets, read_cells(dataset_dir)
        if not training.any():
            raise InputError(self._index.path, "no training cell", expected="at least one")
        features = analogue_features(dataset_dir, training, self._index)
        self._space = FeatureSpace.fit(features)
        self._place = self._space.place(features)
        self._covered = self._index.cover[training] > 0.0
        self._labels = load_dataset(dataset_dir, [f"Y_{name}" for name in targets], training)
        self._nearest = KDTree(self._place)
        self._having = [np.flatnonzero(self._covered[:, pft]) for pft in range(NATPFT)]
        self._with_pft = [KDTree(self._place[having]) if len(having) else None for having in self._having]
        absent = [pft for pft, tree in enumerate(self._with_pft) if tree is None]
        if absent:
            LOGGER.debug("PFTs without a training cell: %s; analogues keep their 20-year state", absent)

    def of(self, cells: np.ndarray) -> dict[str, np.ndarray]:
        """The analogues of cells.

        Args:
            cells: wanted cells, a mask or positions in dataset order. Their inputs must be complete.

        Returns:
            Target -> (wanted cells in dataset order, natpft or levdecomp), NaN where a PFT has no cover.

        Raises:
            InputError: the inputs of a wanted cell are not complete.
        """
        index = self._index
        wanted = np.flatnonzero(cells) if cells.dtype == bool else np.sort(cells)
        place = self._space.place(analogue_features(self._dataset_dir, wanted, index))
        complete = np.isfinite(place).all(axis=1)
        if not complete.all():
            cell = wanted[np.argmin(complete)]
            raise InputError(index.path, f"the inputs of cell {index.cell[cell] + 1} are not complete")
        own = state20(self._dataset_dir, self._targets, wanted, index)
        covered = index.cover[wanted] > 0.0
        nearest = self._nearest.query(place)[1]
        by_pft = self._nearest_by_pft(place, covered)
        result = {}
        for name in self._targets:
            truth = self._labels[f"Y_{name}"]
            if truth.shape[1] == NATPFT:
                found = np.take_along_axis(truth, np.maximum(by_pft, 0), axis=0)
                found = np.where(by_pft >= 0, found, own[name])
                result[name] = np.where(covered, found, np.nan)
            else:
                result[name] = truth[nearest]
        return result

    def _nearest_by_pft(self, place: np.ndarray, covered: np.ndarray) -> np.ndarray:
        """Number of the nearest training cell that has each PFT (cell, natpft); -1 where none has."""
        found = np.full(covered.shape, -1, dtype=np.int64)
        for pft, tree in enumerate(self._with_pft):
            asking = covered[:, pft]
            if tree is not None and asking.any():
                found[asking, pft] = self._having[pft][tree.query(place[asking])[1]]
        return found


def analogue(
    dataset_dir: str | Path, targets: Sequence[str], training: np.ndarray, cells: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """The reference state of the nearest training cell; see `Analogues`.

    Args:
        dataset_dir: the dataset's directory.
        targets: restart names.
        training: True in training cells (gridcell, dataset order).
        cells: wanted cells, a mask or positions in dataset order; all if None.

    Returns:
        Target -> (wanted cells in dataset order, natpft or levdecomp), NaN where a PFT has no cover.

    Raises:
        InputError: no training cell, or the inputs of a wanted cell are not complete.
    """
    wanted = np.ones(len(training), dtype=bool) if cells is None else cells
    return Analogues(dataset_dir, targets, training).of(wanted)
