"""The predictions file: normal-mode pools by cell, from the surrogate or from another tool."""

from __future__ import annotations

import re
from pathlib import Path

import netCDF4
import numpy as np

from phase_lib.base.errors import InputError
from phase_lib.config.ood import OodSettings
from phase_lib.elm.blocks import Blocks
from phase_lib.elm.constants import FILL_THRESHOLD, NATPFT, PFT_NAMES
from phase_lib.elm.coordinates import check_coordinates
from phase_lib.elm.matching import Partners, match_cells
from phase_lib.elm.netcdf import get_variable
from phase_lib.elm.pools import (
    COLUMN_TOTALS,
    LEAF_AREA_LIMIT,
    LITTER,
    MINERAL_N,
    MINERAL_P,
    ORGANS,
    PLANT_SINGLE,
    POOL_LIMIT,
    POOL_VARIABLES,
    SOM,
    STAGES,
    WOODY_ORGANS,
)
from phase_lib.elm.soil_grid import NLEVDECOMP

_PATCH_DIMS, _LAYER_DIMS = ("gridcell", "natpft"), ("gridcell", "levdecomp")

#: Patch variables that may be injected; N and P of organs follow from C.
PATCH_NAMES = (*(f"{organ}c{stage}" for organ in ORGANS for stage in STAGES), *PLANT_SINGLE, "tlai")
#: Layered variables that may be injected; N and P of SOM follow from C, the sum of mineral N from its parts.
LAYER_NAMES = (
    *(f"{pool}c_vr" for pool in (*LITTER, "cwd", *SOM)),
    *(f"{pool}{element}_vr" for pool in (*LITTER, "cwd") for element in "np"),
    *(f"{name}_vr" for name in (*MINERAL_N, *MINERAL_P)),
)
#: What a restart holds of the state; what of it is not injected is told.
_STATE = frozenset({*POOL_VARIABLES, *COLUMN_TOTALS, "totvegc", "tlai"})
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
        cells: cells of the restart.
        woody: `woody` by PFT (natpft): wood of other PFTs is not looked at.
        ood: what flagged cells get.

    Attributes:
        path: file.
        names: variables to inject.
        ignored: pools and totals on file that are not injected, as they follow from others.

    Raises:
        InputError: the file covers fewer cells than the restart, is not in normal space or lacks what it
            should hold; on reading, a value that a cell would get cannot be injected.
    """

    def __init__(
        self,
        path: str | Path,
        dataset: netCDF4.Dataset,
        cells: Blocks,
        woody: np.ndarray,
        ood: OodSettings,
    ) -> None:
        self.path, self._dataset = Path(path), dataset
        self._cells, self._woody, self._ood = cells, woody, ood
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
        # Any longitude convention, so only its place on the circle counts.
        check_coordinates(self.path, lat, lon % 360.0, ("lat", "lon"))
        row, _ = match_cells(
            self._cells.lat, self._cells.lon, lat, lon, file=self.path, what="predicted cells"
        )
        self._rows = Partners(row)
        pools = [name for name in self._dataset.variables if name in _STATE]
        self.names = tuple(name for name in pools if name in PATCH_NAMES or name in LAYER_NAMES)
        self.ignored = tuple(name for name in pools if name not in self.names)
        if not self.names:
            raise InputError(
                self.path,
                "no pool is predicted",
                expected="variables under their restart names, such as soil3c_vr and deadstemc",
                remedy="name them as the restart does",
            )
        flagged = self._check_flags()
        for name in self.names:
            self._check_variable(name, name)
            if self._ood.action == "analogue" and flagged:
                self._check_variable(f"analogue_{name}", name)

    def _check_flags(self) -> bool:
        """Reads the flags of all cells; True if any is out of distribution."""
        every = np.arange(self._cells.ncells)
        self.predicted(every)
        return bool(np.any(self.flagged(every)))

    def flagged(self, cell: np.ndarray) -> np.ndarray:
        """True for cells (n) that are out of distribution."""
        if self._ood.action == "predict" and "ood_flag" not in self._dataset.variables:
            return np.zeros(len(cell), dtype=bool)
        return self._flag("ood_flag", cell)

    def predicted(self, cell: np.ndarray) -> np.ndarray:
        """True for cells (n) whose inputs were complete.

        The others keep their own state whatever the action for flagged cells.
        """
        if "predicted" not in self._dataset.variables:
            return np.ones(len(cell), dtype=bool)
        return self._flag("predicted", cell)

    def used(self, cell: np.ndarray) -> np.ndarray:
        """True for cells (n) that get anything from this file."""
        predicted = self.predicted(cell)
        return predicted & ~self.flagged(cell) if self._ood.action == "keep" else predicted

    def _flag(self, name: str, cell: np.ndarray) -> np.ndarray:
        """A flag of cells (n), bool."""
        if len(cell) == 0:
            return np.empty(0, dtype=bool)
        rows = self._rows.of(cell)
        first = int(rows.min())
        variable = get_variable(self.path, self._dataset, name, dims=("gridcell",))
        flag = np.asarray(variable[first : int(rows.max()) + 1])[rows - first]
        strange = (flag != 0) & (flag != 1)
        if np.any(strange):
            at = int(np.argmax(strange))
            raise InputError(
                self.path,
                f"{name} of cell {cell[at] + 1} is {flag[at]}",
                expected="0 or 1",
                remedy="predict again",
            )
        return np.asarray(flag == 1)

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
                remedy="predict again" if layered else "give all PFTs, 0 to 16",
            )
        self._check_units(variable, variable_name, name)

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

    def layers(self, name: str, cell: np.ndarray) -> np.ndarray:
        """What the soil of cells gets: the prediction, or the analogue where flagged and so decided.

        Args:
            name: restart name.
            cell: 0-based cells of the restart (n), of `used`.

        Returns:
            (n, levdecomp).

        Raises:
            InputError: a value is no finite number, fill or negative.
        """
        return self._chosen(name, cell, None)

    def patches(self, name: str, cell: np.ndarray, pft: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What covered patches get, as for `layers`.

        Args:
            name: restart name.
            cell: 0-based cells of the restart (n), of `used`.
            pft: PFT of each patch (n).

        Returns:
            Values (n), and for which patches the variable is meant: wood is for woody PFTs alone, and
            elsewhere the file may hold anything.
        """
        woody = any(name.startswith(organ) for organ in WOODY_ORGANS)
        meant = (self._woody > 0)[pft] if woody else np.ones(len(pft), dtype=bool)
        values = np.zeros(len(pft))
        values[meant] = self._chosen(name, cell[meant], pft[meant])
        return values, meant

    def _chosen(self, name: str, cell: np.ndarray, pft: np.ndarray | None) -> np.ndarray:
        if self._ood.action != "analogue" or not np.any(flagged := self.flagged(cell)):
            return self._read(name, name, cell, pft)
        values = np.empty((len(cell), NLEVDECOMP) if pft is None else len(cell))
        for source, rows in ((name, ~flagged), (f"analogue_{name}", flagged)):
            values[rows] = self._read(source, name, cell[rows], None if pft is None else pft[rows])
        return values

    def _read(self, source: str, name: str, cell: np.ndarray, pft: np.ndarray | None) -> np.ndarray:
        """Values of cells, or of patches of cells, that were looked at one by one."""
        if len(cell) == 0:
            return np.empty((0, NLEVDECOMP) if pft is None else 0)
        rows = self._rows.of(cell)
        first, last = int(rows.min()), int(rows.max()) + 1
        slab = np.asarray(self._dataset[source][first:last], dtype=np.float64)
        values: np.ndarray
        if pft is not None:
            values = slab.reshape(-1)[(rows - first) * NATPFT + pft]
        elif len(rows) == len(slab) and np.all(np.diff(rows) == 1):
            values = slab
        else:
            values = slab[rows - first]
        self._check_values(source, name, values, cell, pft)
        return values

    def _check_values(
        self, source: str, name: str, values: np.ndarray, cell: np.ndarray, pft: np.ndarray | None
    ) -> None:
        most = LEAF_AREA_LIMIT if name == "tlai" else POOL_LIMIT
        least = -most if name in _SIGNED else 0.0
        fill = self._fill_within(source, least, most)
        # Comparisons with NaN are false, so this passes sound values alone.
        if values.min() >= least and values.max() <= most and not fill:
            return
        for bad, problem in (
            (~np.isfinite(values), "is not a finite number"),
            ((np.abs(values) >= FILL_THRESHOLD) | np.isin(values, fill), "is fill"),
            (np.abs(values) > most, "is more than any ecosystem holds"),
            (values < least, "is negative"),
        ):
            if np.any(bad):
                place = tuple(int(i) for i in np.argwhere(bad)[0])
                where = int(cell[place[0]])
                lat, lon = self._cells.place_of(where)
                if pft is None:
                    level = f"layer {place[1] + 1}"
                else:
                    level = f"pft {pft[place[0]]} ({PFT_NAMES[pft[place[0]]]})"
                raise InputError(
                    self.path,
                    f"variable {source} {problem} ({values[place]:g}) in cell {where + 1} "
                    f"(lat {lat:.3f} lon {lon:.3f}) {level}",
                    expected=f"{least:g} to {most:g}",
                    remedy="predict again",
                )

    def _fill_within(self, source: str, least: float, most: float) -> list[float]:
        """Values that the file calls fill although they could be amounts."""
        variable = self._dataset[source]
        named = {"_FillValue", "missing_value"}.intersection(variable.ncattrs())
        values = [value for name in named for value in np.atleast_1d(variable.getncattr(name))]
        return [float(value) for value in values if value.dtype.kind in "iuf" and least <= value <= most]
