"""Which cells train, which choose the best epoch, and which are kept back for the test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import xarray as xr

from phase_lib.base.errors import InputError
from phase_lib.base.provenance import settings_hash
from phase_lib.config.dataset import DatasetSettings
from phase_lib.dataset.loading import CellIndex, read_cells
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
        lat: cell latitudes (gridcell), degrees.
        lon: cell longitudes (gridcell), degrees.
        degrees: height of a band, degrees.

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
        group: group of each cell (gridcell).
        candidates: True where a cell may be drawn (gridcell).
        fraction: share of the candidates to draw.
        rng: generator.

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


def split_cells(index: CellIndex, kind: SplitKind, settings: DatasetSettings, seed: int) -> Split:
    """Parts of the cells with usable labels; test first, then validation from what is left.

    Raises:
        InputError: a part would be empty.
    """
    if kind == "block":
        group = tiles(index.lat, index.lon, settings.block_degrees)
    else:
        group = np.arange(index.ncells)
    rng = np.random.default_rng(seed)
    part = np.where(index.trainable, TRAIN, EXCLUDED).astype(np.int8)
    part[draw(group, part == TRAIN, settings.test_fraction, rng)] = TEST
    part[draw(group, part == TRAIN, settings.validation_fraction, rng)] = VALIDATION
    for name, value in PARTS.items():
        if value != EXCLUDED and not np.any(part == value):
            what = f"the {kind} split of {int(index.trainable.sum())} cells with labels has no {name} cell"
            raise InputError(index.path, what, remedy="use more cells, smaller blocks or other fractions")
    return Split(kind, part, index.cell, index.lat, index.lon)


def split(
    dataset_dir: str | Path, kind: SplitKind, settings: DatasetSettings, seed: int, output: str | Path
) -> Split:
    """Splits a dataset and writes `split_<kind>.nc`.

    Args:
        dataset_dir: the dataset's directory.
        kind: `random` or `block`.
        settings: fractions and tile size.
        seed: seed of the draw.
        output: file to write.

    Raises:
        InputError: as `split_cells`.
    """
    index = read_cells(dataset_dir)
    result = split_cells(index, kind, settings, seed)
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
    write_product(output, xr.Dataset(fields, cell_coordinates(index.lat, index.lon), attributes))
    return result


def read_split(path: str | Path, dataset_dir: str | Path | None = None) -> Split:
    """Reads a split.

    Args:
        path: file.
        dataset_dir: dataset that it must belong to; not checked if None.

    Raises:
        InputError: unreadable, or a split of another dataset.
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
