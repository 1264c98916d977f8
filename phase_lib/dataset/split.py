"""Which cells train, which choose the best epoch, and which are kept back for the test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import xarray as xr

from phase_lib.base.errors import InputError
from phase_lib.base.provenance import settings_hash
from phase_lib.config.dataset import DatasetSettings
from phase_lib.config.sites import Method
from phase_lib.dataset.loading import CellIndex, load_dataset, read_cells
from phase_lib.dataset.space import FeatureSpace, features_of_dataset
from phase_lib.elm.netcdf import get_attribute, get_variable
from phase_lib.elm.products import cell_coordinates, flags, open_product, variable, write_product

SplitKind = Literal["random", "block"]
EXCLUDED, TRAIN, VALIDATION, TEST = 0, 1, 2, 3
PARTS: Mapping[str, int] = {"excluded": EXCLUDED, "train": TRAIN, "validation": VALIDATION, "test": TEST}


@dataclass(frozen=True)
class Split:
    """Parts of a dataset's cells, in dataset order (gridcell).

    Attributes:
        kind: `random` cells, or `block`: whole tiles.
        part: 0 excluded (no usable labels), 1 train, 2 validation, 3 test.
        cell: 0-based row in the restart's `gridcell` dimension.
        lat, lon: degrees.
    """

    kind: str
    part: np.ndarray
    cell: np.ndarray
    lat: np.ndarray
    lon: np.ndarray

    @property
    def train(self) -> np.ndarray:
        """True in training cells."""
        return self.part == TRAIN

    @property
    def validation(self) -> np.ndarray:
        """True in validation cells."""
        return self.part == VALIDATION

    @property
    def test(self) -> np.ndarray:
        """True in test cells."""
        return self.part == TEST


def tiles(lat: np.ndarray, lon: np.ndarray, degrees: float) -> np.ndarray:
    """Tile number of each cell.

    Latitude bands of `degrees` are cut into tiles about as wide as they are high, so that tiles have
    similar areas from the equator to the poles. The longitude convention does not matter.

    Args:
        lat, lon: cells (gridcell), degrees.
        degrees: height of a band.

    Returns:
        (gridcell), int64.
    """
    bands = int(np.ceil(180.0 / degrees))
    band = np.clip(np.floor((lat + 90.0) / degrees), 0, bands - 1).astype(np.int64)
    middle = np.deg2rad(np.clip(-90.0 + (np.arange(bands) + 0.5) * degrees, -90.0, 90.0))
    per_band = np.maximum(1, np.round(360.0 / degrees * np.cos(middle))).astype(np.int64)
    within = np.floor((lon % 360.0) / 360.0 * per_band[band]).astype(np.int64) % per_band[band]
    return np.concatenate([[0], np.cumsum(per_band)])[band] + within


def draw(group: np.ndarray, candidates: np.ndarray, fraction: float, rng: np.random.Generator) -> np.ndarray:
    """Draws whole groups of cells until they hold a fraction of the candidates, as closely as they can.

    Groups come in random order; each is taken if that brings the number of cells nearer to the goal.

    Args:
        group: of each cell (gridcell).
        candidates: True where a cell may be drawn (gridcell).
        fraction: share of the candidates to draw.
        rng: generator of random numbers.

    Returns:
        True where drawn (gridcell).
    """
    names, place, sizes = np.unique(group[candidates], return_inverse=True, return_counts=True)
    goal, drawn_cells = fraction * candidates.sum(), 0
    taken = np.zeros(len(names), dtype=bool)
    for i in rng.permutation(len(names)):
        if abs(drawn_cells + sizes[i] - goal) < abs(drawn_cells - goal):
            taken[i] = True
            drawn_cells += int(sizes[i])
    drawn = np.zeros(len(group), dtype=bool)
    drawn[candidates] = taken[place]
    return drawn


@dataclass(frozen=True)
class Labelled:
    """Which of the cells beside the test have labels: as if the reference had run on these sites alone.

    Attributes:
        share: of these cells.
        method: how they are chosen.
        seed: of the choice.
    """

    share: float
    method: Method
    seed: int


def split_cells(index: CellIndex, kind: SplitKind, settings: DatasetSettings, seed: int) -> Split:
    """Parts of the cells with usable labels; test first, then validation from what is left.

    Raises:
        InputError: a part would be empty.
    """
    group = _groups(index, kind, settings)
    rng = np.random.default_rng(seed)
    part = np.where(index.trainable, TRAIN, EXCLUDED).astype(np.int8)
    part[draw(group, part == TRAIN, settings.test_fraction, rng)] = TEST
    part[draw(group, part == TRAIN, settings.validation_fraction, rng)] = VALIDATION
    return _complete(index, kind, part)


def with_labelled(
    index: CellIndex, whole: Split, kind: SplitKind, settings: DatasetSettings, labelled: Labelled
) -> Split:
    """A split in which some of the training and validation cells keep their labels; the test is the same.

    Validation cells are drawn anew, from those with labels.

    Raises:
        InputError: a part would be empty.
    """
    # scikit-learn is slow to import, and most commands read splits.
    from phase_lib.dataset.strata import choose, strata_of_cover, strata_of_soil

    cells = np.flatnonzero(whole.train | whole.validation)
    features = features_of_dataset(index.path.parent, cells, index)
    order = load_dataset(index.path.parent, ["SOIL_ORDER"], cells)["SOIL_ORDER"]
    strata = strata_of_cover(100.0 * features["vegetation"]) | strata_of_soil(order)
    count = max(1, round(labelled.share * len(cells)))
    place = FeatureSpace.fit(features).place(features)
    sites = cells[choose(place, strata, count, labelled.method, labelled.seed).sites]
    part = np.where(whole.test, TEST, EXCLUDED).astype(np.int8)
    part[sites] = TRAIN
    rng = np.random.default_rng(labelled.seed)
    group = _groups(index, kind, settings)
    part[draw(group, part == TRAIN, settings.validation_fraction, rng)] = VALIDATION
    return _complete(index, kind, part)


def _groups(index: CellIndex, kind: SplitKind, settings: DatasetSettings) -> np.ndarray:
    """What is drawn as a whole: the tile of each cell, or the cell itself (gridcell)."""
    if kind == "block":
        return tiles(index.lat, index.lon, settings.block_degrees)
    return np.arange(index.ncells)


def _complete(index: CellIndex, kind: SplitKind, part: np.ndarray) -> Split:
    for name, value in PARTS.items():
        if value != EXCLUDED and not np.any(part == value):
            what = f"the {kind} split of {int((part != EXCLUDED).sum())} cells with labels has no {name} cell"
            raise InputError(index.path, what, remedy="use more cells, smaller blocks or other fractions")
    return Split(kind, part, index.cell, index.lat, index.lon)


def split(
    dataset_dir: str | Path,
    kind: SplitKind,
    settings: DatasetSettings,
    seed: int,
    output: str | Path,
    labelled: Labelled | None = None,
) -> Split:
    """Splits a dataset as `split_cells` and, where asked, `with_labelled`; writes `split_<kind>.nc`."""
    index = read_cells(dataset_dir)
    result = split_cells(index, kind, settings, seed)
    if labelled is not None:
        result = with_labelled(index, result, kind, settings, labelled)
    fields = {
        "cell": variable("gridcell", index.cell, "1", "row of the cell in its restart, from 0"),
        "part": flags("gridcell", result.part, "part of the split that the cell belongs to", PARTS),
    }
    attributes = {
        "title": f"Training, validation and test cells of a dataset, {kind} split",
        "kind": kind,
        "seed": np.int64(seed),
        "block_degrees": settings.block_degrees,
        "dataset_id": index.dataset_id,
        "settings_hash": settings_hash(settings.model_dump(mode="json")),
    }
    if labelled is not None:
        attributes |= {f"labelled_{key}": value for key, value in asdict(labelled).items()}
    write_product(output, xr.Dataset(fields, cell_coordinates(index.lat, index.lon), attributes))
    return result


def read_split(path: str | Path, dataset_dir: str | Path | None = None) -> Split:
    """Reads a split.

    Raises:
        InputError: it is unreadable, or a split of another dataset than is given.
    """
    names = ("part", "cell", "lat", "lon")
    with open_product(path, names) as dataset:
        values = [get_variable(path, dataset, name, ("gridcell",)).to_numpy() for name in names]
        kind, identity = (str(get_attribute(path, dataset, name)) for name in ("kind", "dataset_id"))
    if dataset_dir is not None:
        index = read_cells(dataset_dir)
        if (identity, len(values[0])) != (index.dataset_id, index.ncells):
            what = f"is the split of another dataset, of {len(values[0])} cells"
            expected = f"that of {index.path}, of {index.ncells} cells"
            raise InputError(path, what, expected=expected, remedy="split again")
    return Split(kind, *values)
