"""Two predictions that need no learning, for comparison and as a fallback.

`state20` is the cell's own 20-year state taken to normal mode; `analogue` is the reference state of the
nearest training cell in climate, soil and vegetation space.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy.spatial import KDTree

from phase_lib.base.errors import InputError
from phase_lib.base.progress import LOGGER
from phase_lib.dataset.loading import iterate_batches, load_dataset, read_cells
from phase_lib.elm.constants import NATPFT
from phase_lib.elm.forcing import FORCING

_SOIL_LAYERS = ("PCT_SAND", "PCT_CLAY", "ORGANIC")
_SOIL_STOCKS = ("LABILE_P", "SECONDARY_P", "OCCLUDED_P", "APATITE_P")


def state20(
    dataset_dir: str | Path, targets: Sequence[str], cells: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """The 20-year state in normal mode, in dataset order.

    Args:
        dataset_dir: the dataset's directory.
        targets: restart names.
        cells: wanted cells, a mask or positions in dataset order; all if None.

    Returns:
        Target -> (gridcell, natpft) or (gridcell, levdecomp), NaN where a PFT has no cover.
    """
    values = load_dataset(dataset_dir, [f"state20_{name}" for name in targets], cells)
    return {name: values[f"state20_{name}"] for name in targets}


def analogue_features(dataset_dir: str | Path) -> dict[str, np.ndarray]:
    """Climate, soil and vegetation of every cell, in dataset order.

    Returns:
        Group -> features (gridcell, k): `climate`, mean and standard deviation of the mean annual
        cycle of the six forcing variables; `soil`, profile means of texture and organic matter, and
        log(1 + stock) of the P maps; `vegetation`, cover of the PFTs.
    """
    names = [*FORCING, *_SOIL_LAYERS, *_SOIL_STOCKS, "cover"]
    groups: dict[str, list[np.ndarray]] = {"climate": [], "soil": [], "vegetation": []}
    for _, values in iterate_batches(dataset_dir, names):
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


def standardized(features: Mapping[str, np.ndarray], training: np.ndarray) -> np.ndarray:
    """Features side by side, each standardised on training cells; the groups weigh the same.

    Args:
        features: group -> (gridcell, k).
        training: True in training cells (gridcell).

    Returns:
        (gridcell, sum of k); a feature that does not vary in training is 0.
    """
    pieces = []
    for values in features.values():
        mean, deviation = values[training].mean(axis=0), values[training].std(axis=0)
        varies = deviation > 1.0e-12 * np.maximum(1.0, np.abs(mean))
        scaled = np.where(varies, (values - mean) / np.where(varies, deviation, 1.0), 0.0)
        pieces.append(scaled / np.sqrt(max(1, int(varies.sum()))))
    return np.concatenate(pieces, axis=1)


def analogue(
    dataset_dir: str | Path, targets: Sequence[str], training: np.ndarray, cells: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """The reference state of the nearest training cell.

    A patch takes its value from the nearest training cell that has its PFT; a PFT that no training cell
    has keeps the cell's own 20-year state.

    Args:
        dataset_dir: the dataset's directory.
        targets: restart names.
        training: True in training cells (gridcell, dataset order); a cell is never its own analogue
            unless it is one of them.
        cells: wanted cells, a mask or positions in dataset order; all if None. Their inputs must be
            complete.

    Returns:
        Target -> (wanted cells in dataset order, natpft or levdecomp), NaN where a PFT has no cover.

    Raises:
        InputError: no training cell, or the inputs of a wanted cell are not complete.
    """
    index = read_cells(dataset_dir)
    donors = np.flatnonzero(training)
    if len(donors) == 0:
        raise InputError(index.path, "no training cell", expected="at least one")
    wanted = np.ones(index.ncells, dtype=bool) if cells is None else np.zeros(index.ncells, dtype=bool)
    if cells is not None:
        wanted[cells] = True
    space = standardized(analogue_features(dataset_dir), training)
    if not np.all(np.isfinite(space[wanted])):
        cell = int(np.flatnonzero(wanted & ~np.isfinite(space).all(axis=1))[0])
        raise InputError(index.path, f"the inputs of cell {index.cell[cell] + 1} are not complete")

    labels = load_dataset(dataset_dir, [f"Y_{name}" for name in targets], training)
    own = state20(dataset_dir, targets, wanted)
    nearest = KDTree(space[donors]).query(space[wanted])[1]
    by_pft = _nearest_by_pft(space, donors, wanted, index.covered)
    covered = index.covered[wanted]
    result = {}
    for name in targets:
        truth = labels[f"Y_{name}"]
        if truth.shape[1] == NATPFT:
            found = np.take_along_axis(truth, np.maximum(by_pft, 0), axis=0)
            found = np.where(by_pft >= 0, found, own[name])
            result[name] = np.where(covered, found, np.nan)
        else:
            result[name] = truth[nearest]
    return result


def _nearest_by_pft(
    space: np.ndarray, donors: np.ndarray, wanted: np.ndarray, covered: np.ndarray
) -> np.ndarray:
    """Position among the donors of the nearest that has each PFT (wanted, natpft); -1 where none has."""
    found = np.full((int(wanted.sum()), NATPFT), -1, dtype=np.int64)
    for pft in range(NATPFT):
        having = np.flatnonzero(covered[donors, pft])
        asking = covered[wanted, pft]
        if not asking.any():
            continue
        if len(having) == 0:
            LOGGER.info("PFT %d has no training cell: its analogue is its own 20-year state", pft)
            continue
        near = KDTree(space[donors[having]]).query(space[wanted][asking])[1]
        found[asking, pft] = having[near]
    return found
