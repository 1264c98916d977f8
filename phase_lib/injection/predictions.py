"""The predictions file: normal-mode pools by cell, from the surrogate or from another tool."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np

from phase_lib.base.errors import InputError
from phase_lib.config.injection import OutOfBounds
from phase_lib.config.ood import OodSettings
from phase_lib.elm.blocks import Blocks
from phase_lib.elm.constants import FILL_THRESHOLD, LATITUDE_UNITS, LONGITUDE_UNITS, NATPFT, PFT_NAMES
from phase_lib.elm.coordinates import check_coordinates
from phase_lib.elm.levels import order_of_layers, order_of_pfts
from phase_lib.elm.matching import Partners, match_cells
from phase_lib.elm.netcdf import get_variable
from phase_lib.elm.soil_grid import NLEVDECOMP
from phase_lib.elm.units import are_among, other_units, units_of
from phase_lib.elm.variables import VARIABLES, WOODY_ORGANS

#: Variables that are taken from a predictions file; the sidecar lists the others that it holds.
INJECTED = {name: entry for name, entry in VARIABLES.items() if entry.injected in ("directly", "maps")}
#: Carbon of the soil, of which there is less the deeper one digs.
_SOIL_CARBON = {name for name, entry in INJECTED.items() if (entry.level, entry.element) == ("layer", "c")}
#: Other masses than grams -> how many grams.
_GRAMS = {"kg": 1000.0, "mg": 0.001}


class Predictions:
    """An open predictions file, checked, with its rows in the order of the restart's cells.

    Args:
        path: predictions file, for messages.
        dataset: the open file.
        cells: cells of the restart.
        woody: `woody` by PFT (natpft): wood of other PFTs is not looked at.
        ood: what flagged cells receive.
        out_of_bounds: what becomes of values that no restart takes.

    Attributes:
        path: file.
        names: variables to inject.
        ignored: variables of a restart on file that are not injected.
        count: values read for the restart.
        negative, too_large: variable -> how many of these were out of bounds, where any was.

    Raises:
        InputError: the file covers fewer cells than the restart, is not in normal space or lacks what it
            should hold, has no or other units, or names other layers or PFTs than ELM's; on reading, a value
            that a cell would receive cannot be injected.
    """

    def __init__(
        self,
        path: str | Path,
        dataset: netCDF4.Dataset,
        cells: Blocks,
        woody: np.ndarray,
        ood: OodSettings,
        out_of_bounds: OutOfBounds = "refuse",
    ) -> None:
        self.path, self._dataset = Path(path), dataset
        self._cells, self._woody, self._ood = cells, woody, ood
        self._out_of_bounds = out_of_bounds
        self.count, self.negative, self.too_large = 0, Counter[str](), Counter[str]()
        #: Pool -> cells that had any of it, and those of them with more below than above.
        self._profiles: dict[str, tuple[int, int]] = {}
        self._check()

    def _check(self) -> None:
        space = str(getattr(self._dataset, "label_space", ""))
        if space != "normal":
            what, remedy = (
                f"global attribute label_space is {space!r}",
                "give pools in normal mode (spinup_state 0)",
            )
            raise InputError(self.path, what, expected="'normal'", remedy=remedy)
        # A single point may have lost its dimension.
        self._cell_dims = ("gridcell",) if "gridcell" in self._dataset.dimensions else ()
        self._layers = order_of_layers(self.path, self._dataset, "levdecomp")
        self._pfts = order_of_pfts(self.path, self._dataset, "natpft")
        lat, lon = (
            self._slab(self._variable(name, units=units)).astype(np.float64)
            for name, units in (("lat", LATITUDE_UNITS), ("lon", LONGITUDE_UNITS))
        )
        # Any longitude convention, so only its place on the circle counts.
        check_coordinates(self.path, lat, lon % 360.0, ("lat", "lon"))
        cells = self._cells.lat, self._cells.lon
        self._rows = Partners(match_cells(*cells, lat, lon, file=self.path, what="predicted cells")[0])
        known = [name for name in self._dataset.variables if name in VARIABLES]
        self.names = tuple(name for name in known if name in INJECTED)
        self.ignored = tuple(name for name in known if name not in INJECTED)
        if not self.names:
            names = "variables under their restart names, such as soil3c_vr and deadstemc"
            remedy = "name them as the restart does"
            raise InputError(self.path, "no pool is predicted", expected=names, remedy=remedy)
        all_cells = np.arange(self._cells.ncells)
        self.predicted(all_cells)
        flagged = bool(np.any(self.flagged(all_cells)))
        for name in self.names:
            self._check_variable(name, name)
            if self._ood.action == "analogue" and flagged:
                self._check_variable(f"analogue_{name}", name)

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
        """True for cells (n) that receive anything from this file."""
        predicted = self.predicted(cell)
        return predicted & ~self.flagged(cell) if self._ood.action == "keep" else predicted

    def _flag(self, name: str, cell: np.ndarray) -> np.ndarray:
        """A flag of cells (n), bool."""
        if len(cell) == 0:
            return np.empty(0, dtype=bool)
        rows = self._rows.rows(cell)
        first = int(rows.min())
        flag = self._slab(self._variable(name), first, int(rows.max()) + 1)[rows - first]
        strange = (flag != 0) & (flag != 1)
        if np.any(strange):
            at = int(np.argmax(strange))
            what = f"{name} of cell {cell[at] + 1} is {flag[at]}"
            raise InputError(self.path, what, expected="0 or 1", remedy="predict again")
        return np.asarray(flag == 1)

    def _variable(self, name: str, *level: str, units: tuple[str, ...] | None = None) -> Any:
        """A variable of the cells, its dimensions checked."""
        return get_variable(self.path, self._dataset, name, (*self._cell_dims, *level), units)

    def _slab(self, variable: Any, first: int = 0, stop: int | None = None) -> np.ndarray:
        """Rows of a variable, the cell first, levels as they are on file."""
        return np.asarray(variable[first:stop] if self._cell_dims else variable[...][None])

    def _check_variable(self, variable_name: str, name: str) -> None:
        layered = INJECTED[name].level == "layer"
        variable = self._variable(variable_name, "levdecomp" if layered else "natpft")
        wanted = NLEVDECOMP if layered else NATPFT
        if variable.shape[-1] != wanted:
            what = f"variable {variable_name} has {variable.shape[-1]} {variable.dimensions[-1]}"
            remedy = "predict again" if layered else "give all PFTs, 0 to 16"
            raise InputError(self.path, what, expected=str(wanted), remedy=remedy)
        accepted, units = INJECTED[name].spellings, units_of(variable)
        if not are_among(units, accepted):
            # Mg, a million grams, is not mg.
            masses = {} if units.startswith("M") else _GRAMS
            factors = (by for mass, by in masses.items() if are_among(units, [mass + accepted[0][1:]]))
            how = next((f"multiply it by {by:g}" for by in factors), "")
            raise other_units(self.path, variable.name, units, accepted[:1], how)

    def layers(self, name: str, cell: np.ndarray) -> np.ndarray:
        """What the soil of cells receives: the prediction, or the analogue where the settings want it.

        Args:
            name: restart name.
            cell: 0-based cells of the restart (n), of `used`.

        Returns:
            (n, levdecomp).

        Raises:
            InputError: a value is no finite number, fill or negative.
        """
        values = self._chosen(name, cell, None)
        if name in _SOIL_CARBON:
            upper, lower = (half.sum(axis=1) for half in np.split(values, 2, axis=1))
            seen, below = self._profiles.get(name, (0, 0))
            filled, turned = (int(np.count_nonzero(where)) for where in (upper + lower > 0.0, lower > upper))
            self._profiles[name] = seen + filled, below + turned
        return values

    @property
    def more_below_than_above(self) -> list[str]:
        """Soil pools of which every cell read has more in the lower half of the layers than in the upper.

        A soil has it the other way round, so these layers may run from the bottom up.
        """
        return [name for name, (seen, below) in self._profiles.items() if 0 < seen == below]

    def patches(self, name: str, cell: np.ndarray, pft: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What covered patches receive, as for `layers`.

        Args:
            name: restart name.
            cell: 0-based cells of the restart (n), of `used`.
            pft: PFT of each patch (n).

        Returns:
            Values (n), and for which patches the variable is meant: wood is for woody PFTs alone, and
            elsewhere the file may hold anything.
        """
        woody = INJECTED[name].organ in WOODY_ORGANS
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
        rows = self._rows.rows(cell)
        first, last = int(rows.min()), int(rows.max()) + 1
        slab = self._slab(self._dataset[source], first, last).astype(np.float64, copy=False)
        if pft is not None:
            place = pft if self._pfts is None else self._pfts[pft]
            values = slab.reshape(-1)[(rows - first) * NATPFT + place]
        else:
            in_order = len(rows) == len(slab) and np.all(np.diff(rows) == 1)
            values = slab if in_order else slab[rows - first]
        if pft is None and self._layers is not None:
            values = values[:, self._layers]
        self.count += values.size
        return self._within_bounds(source, name, values, cell, pft)

    def _within_bounds(
        self, source: str, name: str, values: np.ndarray, cell: np.ndarray, pft: np.ndarray | None
    ) -> np.ndarray:
        """The values; those out of bounds are refused, clipped or kept, and counted.

        Raises:
            InputError: a value is no finite number or fill, or out of bounds where that is refused.
        """
        least, most = INJECTED[name].least, INJECTED[name].most
        fill = self._fill_within(source, least, most)
        # Comparisons with NaN are false, so this passes sound values alone.
        if values.min() >= least and values.max() <= most and not fill:
            return values
        no_amounts = (
            (~np.isfinite(values), "is not a finite number"),
            ((np.abs(values) >= FILL_THRESHOLD) | np.isin(values, fill), "is fill"),
        )
        too_large, too_small = values > most, values < least
        out = (
            (too_large, "is more than any ecosystem holds"),
            (too_small, "is negative" if least == 0.0 else "is less than any ecosystem holds"),
        )
        for bad, problem in (*no_amounts, *(out if self._out_of_bounds == "refuse" else ())):
            if np.any(bad):
                place = tuple(int(i) for i in np.argwhere(bad)[0])
                where = int(cell[place[0]])
                lat, lon = self._cells.place_of(where)
                level = f"layer {place[-1] + 1}"
                if pft is not None:
                    level = f"pft {pft[place[0]]} ({PFT_NAMES[pft[place[0]]]})"
                at = f"in cell {where + 1} (lat {lat:.3f} lon {lon:.3f}) {level}"
                what = f"variable {source} {problem} ({values[place]:g}) {at}"
                raise InputError(self.path, what, expected=f"{least:g} to {most:g}", remedy="predict again")
        for counts, where_out in ((self.too_large, too_large), (self.negative, too_small)):
            if number := int(np.count_nonzero(where_out)):
                counts[name] += number
        return np.clip(values, least, most) if self._out_of_bounds == "clip" else values

    def _fill_within(self, source: str, least: float, most: float) -> list[float]:
        """Values that the file calls fill although they could be amounts."""
        variable = self._dataset[source]
        named = {"_FillValue", "missing_value"}.intersection(variable.ncattrs())
        values = [value for name in named for value in np.atleast_1d(variable.getncattr(name))]
        return [float(value) for value in values if value.dtype.kind in "iuf" and least <= value <= most]
