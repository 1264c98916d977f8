"""From dataset files to tensors: which variables, how they are scaled, and in what order cells come."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from phase_lib.base.errors import InputError
from phase_lib.config.surrogate import FeatureGroup, Preset
from phase_lib.dataset.loading import CellIndex, describe, iterate_batches, read_cells
from phase_lib.dataset.scaler import Scaler, Spec
from phase_lib.elm.constants import NATPFT
from phase_lib.elm.soil_grid import NLEVDECOMP
from phase_lib.elm.spinup import SURFACE_P
from phase_lib.forcing import FORCING

#: Grid-level fluxes: inputs under these names, targets with the prefix `Y_`, gC m-2 yr-1.
FLUX_INPUTS = ("GPP", "NPP", "AR", "HR")
FLUX_TARGETS = ("GPP", "NPP", "AR")

SOIL_ORDERS = 16
_FIRST_CELL = np.array([0])
_PATCH, _LAYER = ("gridcell", "natpft"), ("gridcell", "levdecomp")

#: Where asinh turns from linear to logarithmic, in the units of the variable, by element.
_POOL_FLOOR = {"c": 1.0e-1, "n": 1.0e-3, "p": 1.0e-4}
_FLOORS = (
    {"PRECTmms": 1.0e-5, "QBOT": 1.0e-3}
    | dict.fromkeys(FLUX_INPUTS, 10.0)
    | {
        "tlai": 1.0e-2,
        "tsai": 1.0e-2,
        "annsum_npp": 10.0,
    }
)


@dataclass(frozen=True)
class Layout:
    """Variables of a dataset by the part they play, in the order of the tensors' channels.

    A group of features that is left out is empty: its variables are not read, and the targets do not
    start from its part of the 20-year state.

    Attributes:
        forcing: forcing variables.
        static: grid-level inputs with their dimensions beside `gridcell` (fluxes included).
        traits: PFT parameters.
        state: pools per PFT of the 20-year restart.
        soil: pools per layer of the 20-year restart.
        patch_targets: restart names of the targets per PFT.
        layer_targets: restart names of the targets per layer.
        months: length of the forcing series.
    """

    forcing: list[str]
    static: dict[str, list[str]]
    traits: list[str]
    state: list[str]
    soil: list[str]
    patch_targets: list[str]
    layer_targets: list[str]
    months: int

    @classmethod
    def read(cls, dataset_dir: str | Path, leave_out: Sequence[FeatureGroup] = ()) -> Self:
        """Reads the variables and their groups from a dataset.

        Args:
            dataset_dir: the dataset's directory.
            leave_out: groups of features that the network does not see.

        Raises:
            InputError: a group is empty, a forcing variable or a flux is missing.
        """
        groups: dict[str, dict[str, tuple[str, ...]]] = {}
        for name, info in describe(dataset_dir).items():
            groups.setdefault(info.group, {})[name] = info.dims
        for group in ("forcing", "static", "traits", "scalars", "state", "soil", "state20"):
            if group not in groups:
                raise InputError(dataset_dir, f"no variable of group {group}", remedy="fuse the data again")
        missing = [name for name in FORCING if name not in groups["forcing"]]
        missing += [name for name in FLUX_INPUTS if name not in groups["scalars"]]
        if missing:
            raise InputError(dataset_dir, f"variable {missing[0]} is missing", remedy="fuse the data again")
        months = {
            values["TBOT"].shape[1] for _, values in iterate_batches(dataset_dir, ["TBOT"], _FIRST_CELL)
        }
        start = {name.removeprefix("state20_"): dims for name, dims in groups["state20"].items()}
        groups["static"] |= groups["scalars"]
        groups |= {group: {} for group in leave_out}
        return cls(
            forcing=[name for name in FORCING if name in groups["forcing"]],
            static={name: list(dims[1:]) for name, dims in groups["static"].items()},
            traits=list(groups["traits"]),
            state=list(groups["state"]),
            soil=list(groups["soil"]),
            patch_targets=[name for name, dims in start.items() if dims == _PATCH],
            layer_targets=[name for name, dims in start.items() if dims == _LAYER],
            months=months.pop(),
        )

    @property
    def targets(self) -> list[str]:
        """Restart names of all pool targets."""
        return [*self.patch_targets, *self.layer_targets]

    def starts(self) -> dict[str, str]:
        """Target -> input that holds its 20-year state, for the targets whose group is not left out."""
        pools = (self.patch_targets if self.state else []) + (self.layer_targets if self.soil else [])
        fluxes = [name for name in FLUX_TARGETS if name in self.static]
        return {name: f"state20_{name}" for name in pools} | {name: name for name in fluxes}

    def dims(self) -> dict[str, tuple[str, ...]]:
        """Dimensions of every input and target variable."""
        found: dict[str, tuple[str, ...]] = dict.fromkeys(self.forcing, ("gridcell", "time"))
        found |= {name: ("gridcell", *dims) for name, dims in self.static.items()}
        found |= dict.fromkeys(self.traits, ("natpft",))
        found |= dict.fromkeys(self.state, _PATCH) | dict.fromkeys(self.soil, _LAYER)
        starts = self.starts()
        for dims, targets in ((_PATCH, self.patch_targets), (_LAYER, self.layer_targets)):
            for name in targets:
                found |= dict.fromkeys([*([starts[name]] if name in starts else []), f"Y_{name}"], dims)
        return found | {f"Y_{name}": ("gridcell",) for name in FLUX_TARGETS}

    def input_names(self) -> list[str]:
        """Variables that are read for a prediction."""
        return [name for name in self.dims() if not name.startswith("Y_")]

    def places(self, preset: Preset) -> list[str]:
        """Coordinates among the static inputs; the paper's preset alone has them: they tell places apart."""
        return ["lat", "lon"] if preset == "paper" and self.static else []

    def static_width(self, preset: Preset) -> int:
        """Channels of the static group."""
        sizes = {"natpft": NATPFT, "levdecomp": NLEVDECOMP}
        width = sum(int(np.prod([sizes[d] for d in dims], dtype=int)) for dims in self.static.values())
        if preset == "paper":
            return width + len(self.places(preset))
        return width + (SOIL_ORDERS - 1 if "SOIL_ORDER" in self.static else 0)

    def bytes_per_cell(self, preset: Preset) -> int:
        """Size of one cell's tensors, float32."""
        patch = len(self.state) + 3 * len(self.patch_targets) + 2
        layer = len(self.soil) + 3 * len(self.layer_targets)
        cell = self.months * len(self.forcing) + self.static_width(preset)
        return 4 * (cell + NATPFT * patch + NLEVDECOMP * layer)

    def to_dict(self) -> dict[str, Any]:
        """Plain lists and numbers."""
        return asdict(self)

    def require_in(self, dataset_dir: str | Path) -> None:
        """Refuses a dataset that lacks what the model was trained with.

        Raises:
            InputError: an input variable is missing, or the forcing series has another length.
        """
        other = Layout.read(dataset_dir)
        for name in self.input_names():
            if other.dims().get(name) != self.dims()[name]:
                raise InputError(
                    dataset_dir,
                    f"variable {name} is missing or has other dimensions",
                    expected="every input that the model was trained with",
                    remedy="fuse again with the same variables",
                )
        if other.months != self.months:
            raise InputError(dataset_dir, f"the forcing has {other.months} months", expected=str(self.months))


def feature_specs(layout: Layout, preset: Preset) -> dict[str, Spec]:
    """How each input is scaled.

    The paper's preset takes the minimum and maximum of every flattened feature. The default takes
    pools and fluxes through asinh, as they span orders of magnitude, and then mean and standard
    deviation; PFTs share them where their encoder is shared.
    """
    if preset == "paper":
        per = {name: tuple(d for d in dims if d != "gridcell") for name, dims in layout.dims().items()}
        per |= dict.fromkeys((*layout.forcing, *layout.traits), ())
        names = [n for n in layout.input_names() if not n.startswith("state20_")]
        names += layout.places(preset)
        return {name: Spec("minmax", per.get(name, ())) for name in names}
    specs = {name: Spec("standard") for name in (*layout.forcing, *layout.traits)}
    specs |= {n: Spec("asinh-standard", (), _FLOORS[n]) for n in ("PRECTmms", "QBOT") if n in specs}
    for name, dims in layout.static.items():
        if name == "SOIL_ORDER":
            continue
        if name in FLUX_INPUTS or name in SURFACE_P:
            specs[name] = Spec("asinh-standard", (), _FLOORS.get(name, 0.1))
        elif dims == ["natpft"] or name.startswith(("PCT_NAT", "LANDFRAC")):
            specs[name] = Spec("minmax")
        else:
            specs[name] = Spec("standard")
    specs |= {name: Spec("asinh-standard", (), _floor(name)) for name in layout.state}
    specs |= {name: Spec("standard") for name in layout.state if name == "annavg_t2m"}
    return specs | {name: Spec("asinh-standard", ("levdecomp",), _floor(name)) for name in layout.soil}


def _floor(name: str) -> float:
    if name in _FLOORS:
        return _FLOORS[name]
    stem = re.sub(r"(_vr|_storage|_xfer)$", "", name)
    if stem.startswith(("smin", "retransn", "npool")):
        return _POOL_FLOOR["n"]
    if stem in ("labilep", "secondp", "occlp", "primp", "solutionp", "retransp", "ppool"):
        return _POOL_FLOOR["p"]
    if name.startswith(("T_SCALAR", "scalaravg")):
        return 1.0e-2
    return _POOL_FLOOR.get(stem[-1], _POOL_FLOOR["c"])


@dataclass(frozen=True)
class Batch:
    """Cells as the network takes them. All but `traits` have the cells first; absent values are 0 and masked.

    Attributes:
        forcing: (cell, month, 6), scaled.
        static: (cell, channel), scaled.
        traits: (pft, trait), scaled; one parameter file serves all cells.
        cover: (cell, pft) share of the soil column, fraction.
        covered: (cell, pft), True where the PFT has cover.
        state: (cell, pft, pool), scaled.
        soil: (cell, layer, pool), scaled.
        patch20: (cell, pft, target) 20-year state in normal mode, restart units.
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
        joined = {
            f.name: torch.cat([getattr(b, f.name) for b in batches])
            for f in fields(Batch)
            if f.name != "traits"
        }
        return Batch(traits=batches[0].traits, **joined)


@dataclass(frozen=True)
class Reader:
    """Reads cells of a dataset as scaled batches.

    Attributes:
        dataset_dir: the dataset's directory.
        layout: variables.
        scaler: fitted scalings.
        preset: which inputs and scalings.
        labels: False where only inputs are wanted: masks are then False everywhere.
    """

    dataset_dir: Path
    layout: Layout
    scaler: Scaler
    preset: Preset
    labels: bool = True

    @cached_property
    def index(self) -> CellIndex:
        """All cells of the dataset; read once, as it is large where the dataset is."""
        return read_cells(self.dataset_dir)

    def pieces(self, cells: np.ndarray) -> Iterator[Batch]:
        """The cells (a mask or positions in dataset order), one piece for each file.

        Raises:
            InputError: a variable is missing, or an input that must be there is NaN.
        """
        for _, piece in self.numbered(cells):
            yield piece

    def numbered(self, cells: np.ndarray) -> Iterator[tuple[np.ndarray, Batch]]:
        """As `pieces`, each piece with the positions of its cells in dataset order."""
        names = [*self.layout.input_names(), "cover"]
        names += self.layout.places(self.preset)
        if self.labels:
            names += [name for name in self.layout.dims() if name.startswith("Y_")]
        for positions, values in iterate_batches(self.dataset_dir, names, cells, self.index):
            yield positions, self._batch(positions, values)

    def _batch(self, positions: np.ndarray, values: dict[str, np.ndarray]) -> Batch:
        layout = self.layout
        covered = values["cover"] > 0.0
        layers = np.ones((len(covered), NLEVDECOMP), dtype=bool)
        self._refuse_nan(positions, values, covered)
        patch, patch_mask = self._truth(values, layout.patch_targets, covered)
        layer, layer_mask = self._truth(values, layout.layer_targets, layers)
        flux, flux_mask = self._flux_truth(values, len(covered))
        return Batch(
            forcing=_tensor(self._scaled(values, layout.forcing, (len(covered), layout.months))),
            static=_tensor(self._static(values, len(covered))),
            traits=_present(self._scaled(values, layout.traits, (NATPFT,))),
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
        for name in layout.input_names():
            if name in layout.traits:
                continue
            bad = ~np.isfinite(values[name])
            if name in per_pft:
                bad &= covered
            if bad.any():
                cell = positions[np.argwhere(bad)[0][0]]
                raise InputError(
                    self.dataset_dir,
                    f"variable {name} is not finite in cell {cell} of the dataset",
                    remedy="leave out cells that are not complete, or fuse again",
                )

    def _soil_order(self, order: np.ndarray) -> np.ndarray:
        """One column for each soil order (cell, order)."""
        strange = ~((order >= 0.0) & (order < SOIL_ORDERS))
        if np.any(strange):
            raise InputError(
                self.dataset_dir,
                f"variable SOIL_ORDER is {order[np.argmax(strange)]:g} in a cell",
                expected=f"0 to {SOIL_ORDERS - 1}",
                remedy="fuse again, with surface data that has a soil order in every cell",
            )
        return np.asarray(np.eye(SOIL_ORDERS)[order.astype(np.int64)])

    def _static(self, values: dict[str, np.ndarray], cells: int) -> np.ndarray:
        columns = [np.empty((cells, 0))]
        for name in (*self.layout.static, *self.layout.places(self.preset)):
            if name == "SOIL_ORDER" and self.preset == "default":
                columns.append(self._soil_order(values[name]))
            else:
                columns.append(self.scaler.transform(name, values[name]).reshape(len(values[name]), -1))
        return np.concatenate(columns, axis=1)

    def _scaled(self, values: dict[str, np.ndarray], names: list[str], shape: tuple[int, ...]) -> np.ndarray:
        return _stacked([self.scaler.transform(name, values[name]) for name in names], shape)

    def _start(
        self, values: dict[str, np.ndarray], targets: Sequence[str], shape: tuple[int, ...]
    ) -> np.ndarray:
        """The 20-year state, without the negative rounding crumbs that restarts may hold; 0 if left out."""
        starts, nothing = self.layout.starts(), np.zeros(shape)
        columns = [values[starts[name]] if name in starts else nothing for name in targets]
        return np.asarray(np.maximum(_stacked(columns, shape), 0.0))

    def _truth(
        self, values: dict[str, np.ndarray], targets: list[str], where: np.ndarray
    ) -> tuple[Tensor, Tensor]:
        shape = (*where.shape, len(targets))
        if not self.labels or not targets:
            return torch.zeros(shape), torch.zeros(shape, dtype=torch.bool)
        truth = np.stack([values[f"Y_{name}"] for name in targets], axis=-1)
        mask = np.isfinite(truth) & where[..., None]
        return _masked(np.maximum(truth, 0.0), mask), torch.from_numpy(mask)

    def _flux_truth(self, values: dict[str, np.ndarray], cells: int) -> tuple[Tensor, Tensor]:
        shape = (cells, len(FLUX_TARGETS))
        if not self.labels:
            return torch.zeros(shape), torch.zeros(shape, dtype=torch.bool)
        truth = np.stack([values[f"Y_{name}"] for name in FLUX_TARGETS], axis=-1)
        return _present(truth), torch.from_numpy(np.isfinite(truth))


def _stacked(columns: list[np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    """Columns of one shape side by side (..., column); also where there is none."""
    return np.stack(columns, axis=-1) if columns else np.empty((*shape, 0))


def _tensor(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))


def _masked(values: np.ndarray, mask: np.ndarray) -> Tensor:
    """Float32 tensor with 0 where the mask is False."""
    return _tensor(np.where(mask, values, 0.0))


def _present(values: np.ndarray) -> Tensor:
    """Float32 tensor with 0 where the value is absent (NaN); the caller holds the mask."""
    return _masked(values, np.isfinite(values))


class CellSource:
    """Some cells of a dataset, batch by batch.

    Cells stay in memory where they fit and are then shuffled as one; otherwise each pass reads the
    files one at a time, in shuffled order, and shuffles the cells of each.

    Args:
        reader: how to read them.
        chosen: (gridcell) True for cells to deliver, dataset order.
        cache_gib: what may stay in memory, GiB.
    """

    def __init__(self, reader: Reader, chosen: np.ndarray, cache_gib: float) -> None:
        self._reader = reader
        self.cells = int(np.count_nonzero(chosen))
        file = reader.index.batch
        self._files = [np.flatnonzero(chosen & (file == number)) for number in np.unique(file[chosen])]
        fits = self.cells * reader.layout.bytes_per_cell(reader.preset) <= cache_gib * 2**30
        self._cached = Batch.join(list(reader.pieces(chosen))) if fits else None

    def count(self, size: int) -> int:
        """How many batches of at most `size` cells a pass has."""
        pieces = [self.cells] if self._cached is not None else [len(file) for file in self._files]
        return sum(-(-cells // size) for cells in pieces)

    def batches(self, size: int, generator: torch.Generator | None = None) -> Iterator[Batch]:
        """All cells once: in dataset order, or shuffled where a generator is given.

        Args:
            size: cells in a batch; the last of a file or of all cells may have fewer.
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
