"""The predictions file: normal-mode pools by cell, from the surrogate or from another tool."""

from __future__ import annotations

import re
from pathlib import Path

import netCDF4
import numpy as np

from phase_lib.base.errors import InputError
from phase_lib.config.ood import OodSettings
from phase_lib.elm.constants import FILL_THRESHOLD, NATPFT, PFT_NAMES
from phase_lib.elm.matching import match_cells
from phase_lib.elm.netcdf import get_variable
from phase_lib.elm.pools import (
    LITTER,
    MINERAL_N,
    MINERAL_P,
    ORGANS,
    PLANT_SINGLE,
    POOL_VARIABLES,
    SOM,
    STAGES,
    WOODY_ORGANS,
)
from phase_lib.elm.soil_grid import NLEVDECOMP
from phase_lib.elm.subgrid import Subgrid

_PATCH_DIMS, _LAYER_DIMS = ("gridcell", "natpft"), ("gridcell", "levdecomp")

#: Patch variables that may be injected; N and P of organs follow from C.
PATCH_NAMES = (*(f"{organ}c{stage}" for organ in ORGANS for stage in STAGES), *PLANT_SINGLE, "tlai")
#: Layered variables that may be injected; N and P of SOM follow from C, the sum of mineral N from its parts.
LAYER_NAMES = (
    *(f"{pool}c_vr" for pool in (*LITTER, "cwd", *SOM)),
    *(f"{pool}{element}_vr" for pool in (*LITTER, "cwd") for element in "np"),
    *(f"{name}_vr" for name in (*MINERAL_N, *MINERAL_P)),
)
#: Pools that are no stock but a debt.
_SIGNED = frozenset({"xsmrpool"})
_TLAI_UNITS = ("1", "", "-", "m2m-2", "unitless")


def _plain(units: str) -> str:
    """Units in one spelling: `gC/m^2`, `gC m-2` and `gC m^-2` are the same."""
    return re.sub(r"/m(\d)", r"m-\1", re.sub(r"[\s^*.]", "", units))


class Predictions:
    """An open predictions file, checked, with its rows in the order of the restart's cells.

    Args:
        path: predictions file, for messages.
        dataset: the open file.
        grid: cells and patches of the restart.
        woody: `woody` by PFT (natpft): wood of other PFTs is not looked at.
        ood: what flagged cells get.
        chunk_cells: cells read at a time.

    Attributes:
        path: file.
        names: variables to inject.
        ignored: pool variables on file that are not injected, as they follow from others.
        flagged: out-of-distribution cells (gridcell).
        used: cells that get anything from this file (gridcell).

    Raises:
        InputError: the file covers fewer cells than the restart, is not in normal space, or holds a
            value that cannot be injected.
    """

    def __init__(
        self,
        path: str | Path,
        dataset: netCDF4.Dataset,
        grid: Subgrid,
        woody: np.ndarray,
        ood: OodSettings,
        chunk_cells: int,
    ) -> None:
        self.path, self._dataset = Path(path), dataset
        self._grid, self._woody, self._ood, self._chunk = grid, woody, ood, chunk_cells
        self._check()

    def _check(self) -> None:
        space = str(getattr(self._dataset, "label_space", ""))
        if space != "normal":
            raise InputError(
                self.path,
                f"global attribute label_space is {space!r}",
                expected="'normal'",
                remedy="give pools in normal mode (spinup_state 0)",
            )
        lat, lon = (self._read1d(name) for name in ("lat", "lon"))
        if len(lat) < self._grid.ncells:
            raise InputError(
                self.path,
                f"dimension gridcell: {len(lat)} cells",
                expected=f"the {self._grid.ncells} cells of the restart",
                remedy="predict every cell",
            )
        self._row, _ = match_cells(
            self._grid.lat, self._grid.lon, lat, lon, file=self.path, what="predicted cells"
        )
        pools = [name for name in self._dataset.variables if name in POOL_VARIABLES or name == "tlai"]
        self.names = tuple(name for name in pools if name in PATCH_NAMES or name in LAYER_NAMES)
        self.ignored = tuple(name for name in pools if name not in self.names)
        if not self.names:
            raise InputError(
                self.path, "no pool is predicted", expected="variables under their restart names"
            )
        self._check_flags()
        for name in self.names:
            self._check_variable(name, name)
            if self._ood.action == "analogue" and np.any(self.flagged):
                self._check_variable(f"analogue_{name}", name)

    def _check_flags(self) -> None:
        if self._ood.action == "predict" and "ood_flag" not in self._dataset.variables:
            self.flagged = np.zeros(self._grid.ncells, dtype=bool)
        else:
            flag = np.asarray(get_variable(self.path, self._dataset, "ood_flag", dims=("gridcell",))[:])[
                self._row
            ]
            if np.any((flag != 0) & (flag != 1)):
                cell = int(np.flatnonzero((flag != 0) & (flag != 1))[0])
                raise InputError(self.path, f"ood_flag of cell {cell + 1} is {flag[cell]}", expected="0 or 1")
            self.flagged = flag == 1
        self.used = ~self.flagged if self._ood.action == "keep" else np.ones(self._grid.ncells, dtype=bool)

    def _read1d(self, name: str) -> np.ndarray:
        variable = get_variable(self.path, self._dataset, name, dims=("gridcell",))
        return np.asarray(variable[:], dtype=np.float64)

    def _check_variable(self, variable_name: str, name: str) -> None:
        layered = name in LAYER_NAMES
        variable = get_variable(
            self.path, self._dataset, variable_name, dims=_LAYER_DIMS if layered else _PATCH_DIMS
        )
        wanted = NLEVDECOMP if layered else NATPFT
        if variable.shape[1] != wanted:
            raise InputError(
                self.path,
                f"variable {variable_name} has {variable.shape[1]} {variable.dimensions[1]}",
                expected=str(wanted),
            )
        self._check_units(variable, variable_name, name)
        for start in range(0, self._grid.ncells, self._chunk):
            cells = np.arange(start, min(start + self._chunk, self._grid.ncells))
            values = self._slab(variable, cells)
            # Where a PFT has no cover, or no such organ, the file may hold anything.
            looked_at = np.ones(values.shape, dtype=bool) if layered else self.applies(name)[cells]
            self._refuse(
                variable_name, values, cells, looked_at & ~np.isfinite(values), "is not a finite number"
            )
            self._refuse(
                variable_name, values, cells, looked_at & (np.abs(values) >= FILL_THRESHOLD), "is fill"
            )
            if name not in _SIGNED:
                self._refuse(variable_name, values, cells, looked_at & (values < 0.0), "is negative")

    def _check_units(self, variable: netCDF4.Variable, variable_name: str, name: str) -> None:
        # Attributes of restarts lack units; a predictions file without them is taken at its names' word too.
        found = str(getattr(variable, "units", "")).strip()
        wanted = _TLAI_UNITS if name == "tlai" else (_plain(POOL_VARIABLES[name].units),)
        if found and _plain(found) not in wanted:
            expected = "1" if name == "tlai" else POOL_VARIABLES[name].units
            raise InputError(
                self.path,
                f"variable {variable_name} has units {found!r}",
                expected=repr(expected),
                remedy="convert it",
            )

    def _refuse(
        self, name: str, values: np.ndarray, cells: np.ndarray, bad: np.ndarray, problem: str
    ) -> None:
        if not np.any(bad):
            return
        row, column = (int(i) for i in np.argwhere(bad)[0])
        cell = int(cells[row])
        if name.removeprefix("analogue_") in LAYER_NAMES:
            place = f"layer {column + 1}"
        else:
            place = f"pft {column} ({PFT_NAMES[column]})"
        raise InputError(
            self.path,
            f"variable {name} {problem} ({values[row, column]:g}) in cell {cell + 1} "
            f"(lat {self._grid.lat[cell]:.3f} lon {self._grid.lon[cell]:.3f}) {place}",
            expected="a finite value of 0 or more",
            remedy="predict again",
        )

    def applies(self, name: str) -> np.ndarray:
        """Patches (gridcell, natpft) that a variable is for: covered, and of a PFT that has it."""
        mask = self._grid.covered.copy()
        mask[:, 0] = False
        if any(name.startswith(organ) for organ in WOODY_ORGANS):
            mask &= self._woody > 0
        return mask

    def _slab(self, variable: netCDF4.Variable, cells: np.ndarray) -> np.ndarray:
        rows = self._row[cells]
        first, last = int(rows.min()), int(rows.max()) + 1
        values: np.ndarray = np.asarray(variable[first:last], dtype=np.float64)[rows - first]
        return values

    def values(self, name: str, cells: np.ndarray) -> np.ndarray:
        """What cells get: the prediction, or the analogue where flagged and so decided.

        Args:
            name: restart name.
            cells: 0-based cells of the restart (n).

        Returns:
            (n, natpft) or (n, levdecomp); meaningful in cells of `used` only.
        """
        values = self._slab(self._dataset[name], cells)
        flagged = self.flagged[cells]
        if self._ood.action == "analogue" and np.any(flagged):
            values[flagged] = self._slab(self._dataset[f"analogue_{name}"], cells[flagged])
        return values
