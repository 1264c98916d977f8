"""Which variables of a dataset are inputs and targets of the surrogate, and in what order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from phase_lib.base.errors import InputError
from phase_lib.config.surrogate import FeatureGroup, Preset
from phase_lib.dataset.loading import describe, iterate_record_files, read_cells
from phase_lib.elm.constants import NATPFT
from phase_lib.elm.parameters import SOIL_ORDERS
from phase_lib.elm.soil_grid import NLEVDECOMP
from phase_lib.forcing.variables import FORCING
from phase_lib.fusion.schema import SCALAR_TARGETS, SCALARS

#: Grid-level fluxes: inputs under their names, targets with the prefix `Y_`, gC m-2 yr-1.
FLUX_INPUTS, FLUX_TARGETS = tuple(SCALARS), SCALAR_TARGETS

_FIRST_CELL = np.array([0])
_PATCH, _LAYER = ("gridcell", "natpft"), ("gridcell", "levdecomp")
_LEVELS = {"natpft": NATPFT, "levdecomp": NLEVDECOMP}


@dataclass(frozen=True)
class Layout:
    """Variables of a dataset by the part they play, in the order of the tensors' channels.

    A group of features that is left out is empty: its variables are not read, and the targets do not
    start from its part of the 20-year state.

    Attributes:
        preset: decides the static inputs and how all are scaled.
        forcing: forcing variables.
        static: grid-level inputs with their dimensions beside `gridcell` (fluxes included).
        traits: PFT parameters.
        state: pools per PFT of the 20-year restart.
        soil: pools per layer of the 20-year restart.
        patch_targets: restart names of the targets per PFT.
        layer_targets: restart names of the targets per layer.
        steady: those of them that start from the semi-analytic state; none where a domain has none.
        months: length of the forcing series.
    """

    preset: Preset
    forcing: list[str]
    static: dict[str, list[str]]
    traits: list[str]
    state: list[str]
    soil: list[str]
    patch_targets: list[str]
    layer_targets: list[str]
    steady: list[str]
    months: int

    @classmethod
    def read(
        cls, dataset_dir: str | Path, preset: Preset = "default", leave_out: Sequence[FeatureGroup] = ()
    ) -> Self:
        """Reads the variables and their groups from a dataset, without the features that are left out.

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
        (first,) = (values for _, values in iterate_record_files(dataset_dir, ["TBOT"], _FIRST_CELL))
        start = {name.removeprefix("state20_"): dims for name, dims in groups["state20"].items()}
        index = read_cells(dataset_dir)
        # The paper's preset has the grid-level carbon fluxes alone.
        known = {*FLUX_INPUTS, *(index.common_turnover if preset == "default" else [])}
        groups["static"] |= {name: dims for name, dims in groups["scalars"].items() if name in known}
        groups |= {group: {} for group in leave_out}
        # Only the default preset starts from a state.
        steady = groups.get("steady", {}) if preset == "default" and index.has_semi_analytic else {}
        return cls(
            preset=preset,
            forcing=[name for name in FORCING if name in groups["forcing"]],
            static={name: list(dims[1:]) for name, dims in groups["static"].items()},
            traits=list(groups["traits"]),
            state=list(groups["state"]),
            soil=list(groups["soil"]),
            patch_targets=[name for name, dims in start.items() if dims == _PATCH],
            layer_targets=[name for name, dims in start.items() if dims == _LAYER],
            steady=[name.removeprefix("steady_") for name in steady],
            months=first["TBOT"].shape[1],
        )

    @property
    def targets(self) -> list[str]:
        """Restart names of all pool targets."""
        return [*self.patch_targets, *self.layer_targets]

    def starts(self) -> dict[str, str]:
        """Target -> input from which it starts, for the targets whose group is not left out.

        That is the semi-analytic state where there is one, else the 20-year state.
        """
        pools = (self.patch_targets if self.state else []) + (self.layer_targets if self.soil else [])
        fluxes = [name for name in FLUX_TARGETS if name in self.static]
        kind = {name: "steady" if name in self.steady else "state20" for name in pools}
        return {name: f"{kind[name]}_{name}" for name in pools} | {name: name for name in fluxes}

    def dims(self) -> dict[str, tuple[str, ...]]:
        """Dimensions of every input and target variable."""
        dims_of: dict[str, tuple[str, ...]] = dict.fromkeys(self.forcing, ("gridcell", "time"))
        dims_of |= {name: ("gridcell", *dims) for name, dims in self.static.items()}
        dims_of |= dict.fromkeys(self.traits, ("natpft",))
        dims_of |= dict.fromkeys(self.state, _PATCH) | dict.fromkeys(self.soil, _LAYER)
        starts = self.starts()
        for dims, targets in ((_PATCH, self.patch_targets), (_LAYER, self.layer_targets)):
            for name in targets:
                dims_of |= dict.fromkeys([*([starts[name]] if name in starts else []), f"Y_{name}"], dims)
        return dims_of | {f"Y_{name}": ("gridcell",) for name in FLUX_TARGETS}

    def input_names(self) -> list[str]:
        """Variables that are read for a prediction."""
        return [name for name in self.dims() if not name.startswith("Y_")]

    @property
    def follows_paper(self) -> bool:
        """True where inputs and scaling are those of the paper."""
        return self.preset != "default"

    @property
    def places(self) -> list[str]:
        """Coordinates among the static inputs, as the paper has them; the default preset has none."""
        return ["lat", "lon"] if self.follows_paper and self.static else []

    @property
    def static_width(self) -> int:
        """Channels of the static group; the default preset gives each soil order a channel."""
        width = len(self.places)
        width += sum(int(np.prod([_LEVELS[d] for d in dims], dtype=int)) for dims in self.static.values())
        orders = self.preset == "default" and "SOIL_ORDER" in self.static
        return width + (SOIL_ORDERS - 1 if orders else 0)

    @property
    def bytes_per_cell(self) -> int:
        """Size of one cell's tensors, float32."""
        patch = len(self.state) + 3 * len(self.patch_targets) + 2
        layer = len(self.soil) + 3 * len(self.layer_targets)
        cell = self.months * len(self.forcing) + self.static_width
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
        # What starts from the 20-year state may do so too where there is a semi-analytic one.
        other = replace(other, steady=[name for name in other.steady if name in self.steady])
        for name in self.input_names():
            if other.dims().get(name) != self.dims()[name]:
                what = f"variable {name} is missing or has other dimensions"
                expected = "every input that the model was trained with"
                remedy = "fuse again with the same variables"
                raise InputError(dataset_dir, what, expected=expected, remedy=remedy)
        if other.months != self.months:
            raise InputError(dataset_dir, f"the forcing has {other.months} months", expected=str(self.months))
