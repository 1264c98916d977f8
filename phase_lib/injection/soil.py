"""Edits of the soil: layered pools, mineral N and P, totals, averaged scalar."""

from __future__ import annotations

from collections.abc import Mapping, Set

import numpy as np

from phase_lib.base.errors import InputError
from phase_lib.elm.blocks import Block
from phase_lib.elm.constants import FILL_THRESHOLD
from phase_lib.elm.other_pools import ISOTOPES, twin_of
from phase_lib.elm.soil_grid import NLEVDECOMP, NLEVGRND, column_stock
from phase_lib.elm.spinup import SCALARAVG_LAYER, SCALARAVG_YEARS, design_multipliers
from phase_lib.elm.variables import (
    COLUMN_TOTALS,
    ELEMENTS,
    LITTER,
    MINERAL_N,
    MINERAL_P,
    SOIL_POOLS,
    SOM,
    Element,
    SoilPool,
)
from phase_lib.injection.edits import Edits
from phase_lib.injection.rules import litter_nutrient

_START = {isotope.name: isotope.start for isotope in ISOTOPES}


def edit_soil(edits: Edits) -> None:
    """Edits all columns with biogeochemistry, block by block."""
    columns = edits.base.blocks.ncolumns
    steps = edits.base.blocks.of_columns(edits.step(columns, NLEVGRND))
    totals = _totals_among(edits.variables.keys())
    for block in edits.in_turn(steps, "cols1d_wtxy", columns, "columns"):
        columns_of_block = _Columns(edits, block)
        columns_of_block.pools(totals)
        columns_of_block.mineral_n()
        columns_of_block.mineral_p()
        if edits.has("scalaravg_col"):
            edits.set("scalaravg_col", np.ones(1), columns_of_block.all)


def _totals_among(names: Set[str]) -> dict[str, tuple[str, ...]]:
    """The sums over depth that a restart holds, of pools and of their isotope twins -> what they sum."""
    totals = dict(COLUMN_TOTALS)
    for isotope in ISOTOPES:
        for name, parts in COLUMN_TOTALS.items():
            totals[twin_of(name, isotope).name] = tuple(twin_of(part, isotope).name for part in parts)
    return {name: parts for name, parts in totals.items() if names >= {name, *parts}}


class _Columns:
    """Columns of a block, and the edits of their pools."""

    def __init__(self, edits: Edits, block: Block) -> None:
        self.edits, self.block = edits, block
        self.receives = edits.receives(block)
        self.all = np.ones(len(block), dtype=bool)

    def _layers(self, name: str) -> np.ndarray:
        """Active layers of a variable as they stand now (row, levdecomp)."""
        return self.edits.get(name)[:, :NLEVDECOMP]

    def _fetch(self, name: str) -> np.ndarray:
        """What the columns receive, zeros where that is nothing (row, levdecomp)."""
        predictions, receives, cell = self.edits.base.predictions, self.receives, self.block.cell
        assert predictions is not None
        if np.all(receives) and not self.edits.base.blocks.divided:
            return predictions.layers(name, cell)
        values = np.zeros((len(cell), NLEVDECOMP))
        predicted = predictions.layers(name, cell[receives])
        values[receives] = self.edits.parts(name, predicted, cell[receives], receives)
        return values

    def pools(self, totals: Mapping[str, tuple[str, ...]]) -> None:
        """Converts and replaces pools, and sums them up where they changed."""
        multipliers = self._multipliers()
        summed = {part for parts in totals.values() for part in parts}
        touched: dict[str, np.ndarray] = {}
        stocks: dict[str, np.ndarray] = {}
        for pool in SOIL_POOLS:
            names = self.edits.with_twins(pool.variable(element) for element in ELEMENTS)
            before = {name: self.edits.get(name) for name in names if name in summed}
            self._convert(pool, multipliers.get(pool.name))
            self._replace(pool)
            for name, old in before.items():
                new = self.edits.get(name)
                touched[name] = ~self.all if new is old else np.any(new != old, axis=1)
                stocks[name] = column_stock(new)
            # One pool at a time in memory: so little that it stays in the processor's cache.
            self.edits.flush()
        for name, parts in totals.items():
            changed = np.any([touched[part] for part in parts], axis=0)
            self.edits.set(name, np.sum([stocks[part] for part in parts], axis=0), changed)

    def _multipliers(self) -> dict[str, np.ndarray]:
        """Pool stem -> what leaving AD multiplies it by (row, levdecomp), or (1, 1) where all is the same."""
        base, parameters = self.edits.base, self.edits.base.parameters
        if not base.in_ad:
            return {}
        # Where the rates were not divided by it, F alone converts, whatever the averaged scalar holds.
        scalar = np.ones((1, 1))
        if base.divided:
            scalar = self._layers("scalaravg_col")
            self._refuse_no_mean(scalar)
            self._refuse_fill(scalar[:, SCALARAVG_LAYER])
        return design_multipliers(parameters, base.header.year, scalar)

    def _refuse_no_mean(self, scalar: np.ndarray) -> None:
        wrong = ~(scalar >= 0.0)
        if np.any(wrong):
            row, layer = (int(i) for i in np.argwhere(wrong)[0])
            place = f"cell {self.block.cell[row] + 1}, layer {layer + 1}"
            what = f"variable scalaravg_col is {scalar[row, layer]:g} in {place}"
            mean, remedy = "the mean scalar of an AD run, 0 or more", "use the restart as ELM wrote it"
            raise InputError(self.edits.base.header.path, what, expected=mean, remedy=remedy)

    def _refuse_fill(self, scalar: np.ndarray) -> None:
        fill, variables, header = scalar >= FILL_THRESHOLD, self.edits.variables, self.edits.base.header
        if "cols1d_active" in variables:
            fill &= self.block.read(variables["cols1d_active"]) == 1  # not under ice that covers the cell
        if np.any(fill):
            what = (
                f"variable scalaravg_col is fill in cell {self.block.cell[np.argmax(fill)] + 1}: ELM divided "
                "the rates of soil3, soil4 and CWD by it, so that they did not decompose"
            )
            what += "" if header.start_year is None else f"; its run began in {header.start_year:04d}"
            mean = f"the mean scalar of an AD run that began before {SCALARAVG_YEARS[0]:04d}"
            raise InputError(header.path, what, expected=mean, remedy="use a run that began in year 1")

    def _convert(self, pool: SoilPool, multiplier: np.ndarray | None) -> None:
        """Takes C, N and P of a pool out of AD."""
        if multiplier is not None and np.any(multiplier != 1.0):
            for name in self.edits.with_twins(map(pool.variable, ELEMENTS)):
                self.edits.set_layers(name, self._layers(name) * multiplier, self.all)

    def _replace(self, pool: SoilPool) -> None:
        """Replaces C, N and P of a pool by what is predicted."""
        name = pool.variable("c")
        before = {element: self._layers(pool.variable(element)) for element in ELEMENTS}
        if self.edits.predicted(name):
            carbon = self._fetch(name)
            where = self.receives[:, None] & (carbon != before["c"])
            new: dict[Element, np.ndarray] = {"c": carbon}
            starts: dict[Element, float] = {"n": pool.start_cn, "p": pool.start_cp}
            if pool.name in SOM:  # their ratios are fixed, and ELM never restores them
                new["n"], new["p"] = (
                    carbon / ratio for ratio in self.edits.base.parameters.soil_ratios(pool)
                )
            else:
                carbons = carbon[where], before["c"][where]
                for element, start in starts.items():
                    old, bounds = before[element][where], self._litter_bounds(element)
                    new[element] = np.zeros_like(carbon)
                    new[element][where], met = litter_nutrient(*carbons, old, start, *bounds)
                    self.edits.clipped[pool.variable(element)] += met
            for element, values in new.items():
                self.edits.set_layers(pool.variable(element), values, where)
            self.edits.twins_follow(name, before["c"], self.receives, _START)
        if pool.name in (*LITTER, "cwd"):
            self._replace_litter_nutrients(pool)

    def _litter_bounds(self, element: Element) -> tuple[float, float]:
        s = self.edits.settings
        return (s.litter_cn_min, s.litter_cn_max) if element == "n" else (s.litter_cp_min, s.litter_cp_max)

    def _replace_litter_nutrients(self, pool: SoilPool) -> None:
        """Predicted N or P of litter and CWD, kept within the bounds of their ratios."""
        for element in ELEMENTS[1:]:
            name = pool.variable(element)
            if self.edits.predicted(name):
                low, high = self._litter_bounds(element)
                carbon, values = self._layers(pool.variable("c")), self._fetch(name)
                where = self.receives[:, None] & (values != self._layers(name))
                bounded = np.clip(values, carbon / high, carbon / low)
                self.edits.clipped[name] += int(np.count_nonzero((bounded != values) & where))
                self.edits.set_layers(name, bounded, where)

    def mineral_n(self) -> None:
        """Replaces mineral N and its sum."""
        names = [f"{name}_vr" for name in MINERAL_N]
        predicted = [name for name in names if self.edits.predicted(name)]
        for name in predicted:
            self.edits.set_layers(name, self._fetch(name), self.receives)
        if predicted:
            total = sum(self._layers(name) for name in names)
            self.edits.set_layers("sminn_vr", np.asarray(total), self.receives)

    def mineral_p(self) -> None:
        """Supplies mineral P on leaving AD, and replaces what is predicted."""
        supplied: dict[str, np.ndarray] = {}
        if self.edits.base.mineral is not None:
            supplied, full = self.edits.base.mineral.supply(self.block.cell)
            count = int(np.count_nonzero(full & self.block.soil))
            self.edits.clipped["solutionp_vr: sorption sites nearly full, partitioned"] += count
        for stem in MINERAL_P:
            name = f"{stem}_vr"
            if stem in supplied:
                self.edits.set_layers(name, supplied[stem][:, None], self.all)
            if self.edits.predicted(name):
                self.edits.set_layers(name, self._fetch(name), self.receives)
