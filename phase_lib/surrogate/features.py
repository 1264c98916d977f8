"""From dataset files to tensors: scaled inputs, predicted variables, and the order of the cells."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from phase_lib.base.errors import InputError
from phase_lib.dataset.layout import FLUX_TARGETS, Layout
from phase_lib.dataset.loading import CellIndex, iterate_record_files, read_cells
from phase_lib.dataset.scaler import Scaler
from phase_lib.elm.constants import NATPFT
from phase_lib.elm.parameters import SOIL_ORDERS
from phase_lib.elm.soil_grid import NLEVDECOMP


@dataclass(frozen=True)
class Batch:
    """A mini-batch: all but `traits` have the cells first; absent values are 0 and masked.

    Attributes:
        forcing: (cell, month, 6), scaled.
        static: (cell, channel), scaled.
        traits: (pft, trait), scaled; one parameter file serves all cells.
        cover: (cell, pft) share of the soil column, fraction.
        covered: (cell, pft), True where the PFT has cover.
        state: (cell, pft, pool), scaled.
        soil: (cell, layer, pool), scaled.
        patch20: (cell, pft, target) start of the predictions in normal mode, restart units (`Layout.starts`).
        layer20: (cell, layer, target), likewise.
        flux20: (cell, 3) GPP, NPP, AR of the 20 years, gC m-2 yr-1.
        patch: (cell, pft, target) truth, restart units.
        layer: (cell, layer, target) truth, restart units.
        flux: (cell, 3) truth, gC m-2 yr-1.
        patch_mask: True where `patch` counts.
        layer_mask: True where `layer` counts.
        flux_mask: True where `flux` counts.
    """

    forcing: Tensor
    static: Tensor
    traits: Tensor
    cover: Tensor
    covered: Tensor
    state: Tensor
    soil: Tensor
    patch20: Tensor
    layer20: Tensor
    flux20: Tensor
    patch: Tensor
    layer: Tensor
    flux: Tensor
    patch_mask: Tensor
    layer_mask: Tensor
    flux_mask: Tensor

    def __len__(self) -> int:
        return len(self.forcing)

    @property
    def traits_by_cell(self) -> Tensor:
        """Traits of the PFTs that a cell has (cell, pft, trait); 0 for absent ones."""
        return torch.where(self.covered[..., None], self.traits, 0.0)

    @property
    def state_by_cell(self) -> Tensor:
        """Pools of the PFTs that a cell has (cell, pft, pool); 0 for absent ones."""
        return torch.where(self.covered[..., None], self.state, 0.0)

    def take(self, rows: Tensor) -> Batch:
        """The cells `rows`."""
        return self._map(lambda name, tensor: tensor if name == "traits" else tensor[rows])

    def to(self, device: torch.device) -> Batch:
        """The same cells on a device."""
        return self._map(lambda _, tensor: tensor.to(device))

    def _map(self, change: Any) -> Batch:
        return replace(self, **{f.name: change(f.name, getattr(self, f.name)) for f in fields(self)})

    @staticmethod
    def join(batches: Sequence[Batch]) -> Batch:
        """Cells of several batches, in order."""
        return batches[0]._map(
            lambda name, first: first if name == "traits" else torch.cat([getattr(b, name) for b in batches])
        )


@dataclass(frozen=True)
class Reader:
    """Reads cells of a dataset as scaled batches.

    Attributes:
        dataset_dir: the dataset's directory.
        layout: variables.
        scaler: fitted scalings.
        labels: False where only inputs are read: masks are then False everywhere.
    """

    dataset_dir: Path
    layout: Layout
    scaler: Scaler
    labels: bool = True

    @cached_property
    def index(self) -> CellIndex:
        """All cells of the dataset; read once, as it is large where the dataset is."""
        return read_cells(self.dataset_dir)

    def pieces(self, cells: np.ndarray) -> Iterator[Batch]:
        """The pieces of `numbered` alone."""
        return (piece for _, piece in self.numbered(cells))

    def numbered(self, cells: np.ndarray) -> Iterator[tuple[np.ndarray, Batch]]:
        """The cells (a mask or positions in dataset order), one piece for each file, with their positions.

        Raises:
            InputError: a variable is missing, or an input that must be present is NaN.
        """
        names = [*self.layout.input_names(), "cover", *self.layout.places]
        if self.labels:
            names += [name for name in self.layout.dims() if name.startswith("Y_")]
        for positions, values in iterate_record_files(self.dataset_dir, names, cells, self.index):
            yield positions, self._batch(positions, values)

    def _batch(self, positions: np.ndarray, values: dict[str, np.ndarray]) -> Batch:
        layout = self.layout
        covered = values["cover"] > 0.0
        layers = np.ones((len(covered), NLEVDECOMP), dtype=bool)
        self._refuse_nan(positions, values, covered)
        traits = self._scaled(values, layout.traits, (NATPFT,))
        patch, patch_mask = self._truth(values, layout.patch_targets, covered)
        layer, layer_mask = self._truth(values, layout.layer_targets, layers)
        flux, flux_mask = self._truth(values, FLUX_TARGETS, np.ones(len(covered), dtype=bool), -np.inf)
        return Batch(
            forcing=_tensor(self._scaled(values, layout.forcing, (len(covered), layout.months))),
            static=_tensor(self._static(values, len(covered))),
            traits=_masked(traits, np.isfinite(traits)),
            cover=_tensor(values["cover"]),
            covered=torch.from_numpy(covered),
            state=_masked(self._scaled(values, layout.state, covered.shape), covered[..., None]),
            soil=_tensor(self._scaled(values, layout.soil, layers.shape)),
            patch20=_masked(self._start(values, layout.patch_targets, covered.shape), covered[..., None]),
            layer20=_tensor(self._start(values, layout.layer_targets, layers.shape)),
            flux20=_tensor(self._start(values, FLUX_TARGETS, (len(covered),))),
            patch=patch,
            layer=layer,
            flux=flux,
            patch_mask=patch_mask,
            layer_mask=layer_mask,
            flux_mask=flux_mask,
        )

    def _refuse_nan(self, positions: np.ndarray, values: dict[str, np.ndarray], covered: np.ndarray) -> None:
        layout = self.layout
        per_pft = {*layout.state, *(f"state20_{name}" for name in layout.patch_targets)}
        for name in (name for name in layout.input_names() if name not in layout.traits):
            bad = ~np.isfinite(values[name])
            if name in per_pft:
                bad &= covered
            if bad.any():
                cell = positions[np.argwhere(bad)[0][0]]
                what = f"variable {name} is not finite in cell {cell} of the dataset"
                remedy = "leave out cells that are not complete, or fuse again"
                raise InputError(self.dataset_dir, what, remedy=remedy)

    def _soil_order(self, order: np.ndarray) -> np.ndarray:
        """One column for each soil order (cell, order)."""
        strange = ~((order >= 0.0) & (order < SOIL_ORDERS))
        if np.any(strange):
            what = f"variable SOIL_ORDER is {order[np.argmax(strange)]:g} in a cell"
            remedy = "fuse again, with surface data that has a soil order in every cell"
            raise InputError(self.dataset_dir, what, expected=f"0 to {SOIL_ORDERS - 1}", remedy=remedy)
        return np.asarray(np.eye(SOIL_ORDERS)[order.astype(np.int64)])

    def _static(self, values: dict[str, np.ndarray], cells: int) -> np.ndarray:
        columns = [np.empty((cells, 0))]
        for name in (*self.layout.static, *self.layout.places):
            if name == "SOIL_ORDER" and self.layout.preset == "default":
                columns.append(self._soil_order(values[name]))
            else:
                columns.append(self.scaler.transform(name, values[name]).reshape(len(values[name]), -1))
        return np.concatenate(columns, axis=1)

    def _scaled(self, values: dict[str, np.ndarray], names: list[str], shape: tuple[int, ...]) -> np.ndarray:
        return _stacked([self.scaler.transform(name, values[name]) for name in names], shape)

    def _start(
        self, values: dict[str, np.ndarray], targets: Sequence[str], shape: tuple[int, ...]
    ) -> np.ndarray:
        """The start of predictions, with the small negative values of restarts set to 0; 0 if left out."""
        starts, nothing = self.layout.starts(), np.zeros(shape)
        columns = [values[starts[name]] if name in starts else nothing for name in targets]
        return np.asarray(np.maximum(_stacked(columns, shape), 0.0))

    def _truth(
        self, values: dict[str, np.ndarray], targets: Sequence[str], where: np.ndarray, least: float = 0.0
    ) -> tuple[Tensor, Tensor]:
        """Truth, at least `least`, and where it counts."""
        shape = (*where.shape, len(targets))
        if not self.labels or not targets:
            return torch.zeros(shape), torch.zeros(shape, dtype=torch.bool)
        truth = np.stack([values[f"Y_{name}"] for name in targets], axis=-1)
        mask = np.isfinite(truth) & where[..., None]
        return _masked(np.maximum(truth, least), mask), torch.from_numpy(mask)


def _stacked(columns: list[np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    """Columns of one shape side by side (..., column); also where there is none."""
    return np.stack(columns, axis=-1) if columns else np.empty((*shape, 0))


def _tensor(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))


def _masked(values: np.ndarray, mask: np.ndarray) -> Tensor:
    """Float32 tensor with 0 where the mask is False."""
    return _tensor(np.where(mask, values, 0.0))


class CellSource:
    """The chosen cells of a dataset (gridcell, dataset order), in mini-batches.

    Cells stay in memory where they need at most `cache_gib`, and all are shuffled together. Otherwise each
    pass reads one file at a time, in shuffled order, and shuffles the cells of each.
    """

    def __init__(self, reader: Reader, chosen: np.ndarray, cache_gib: float) -> None:
        self._reader = reader
        self.cells = int(np.count_nonzero(chosen))
        file = reader.index.record_file
        self._files = [np.flatnonzero(chosen & (file == number)) for number in np.unique(file[chosen])]
        fits = self.cells * reader.layout.bytes_per_cell <= cache_gib * 2**30
        self._cached = Batch.join(list(reader.pieces(chosen))) if fits else None

    def count(self, size: int) -> int:
        """How many mini-batches of at most `size` cells a pass has."""
        pieces = [self.cells] if self._cached is not None else [len(file) for file in self._files]
        return sum(-(-cells // size) for cells in pieces)

    def batches(self, size: int, generator: torch.Generator | None = None) -> Iterator[Batch]:
        """All cells once: in dataset order, or shuffled where a generator is given.

        Args:
            size: cells in a mini-batch; the last of a file or of all cells may have fewer.
            generator: source of the order.
        """
        if self._cached is not None:
            yield from _cut(self._cached, size, generator)
            return
        for i in _order(len(self._files), generator).tolist():
            for piece in self._reader.pieces(self._files[i]):
                yield from _cut(piece, size, generator)


def _order(count: int, generator: torch.Generator | None) -> Tensor:
    return torch.arange(count) if generator is None else torch.randperm(count, generator=generator)


def _cut(cells: Batch, size: int, generator: torch.Generator | None) -> Iterator[Batch]:
    for rows in _order(len(cells), generator).split(size):  # type: ignore[no-untyped-call]
        yield cells.take(rows)
