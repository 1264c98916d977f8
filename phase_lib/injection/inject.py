"""From predicted pools to a restart: a byte copy, edited in place, audited, then renamed.

Without predictions the result is the base taken to normal mode properly: what a control run starts from.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np

from phase_lib.base.errors import InputError
from phase_lib.base.files import (
    copy_bytes,
    json_text,
    refuse_as_output,
    require_file,
    sha256_in_background,
    writing,
)
from phase_lib.base.progress import LOGGER, Ticker
from phase_lib.base.provenance import code_version
from phase_lib.config.injection import InjectionSettings
from phase_lib.config.ood import OodSettings
from phase_lib.elm.audit import SOIL3_JUDGED, AuditReport, audit_restart, soil4_soil3_between
from phase_lib.elm.blocks import Block, Blocks, ranges
from phase_lib.elm.canopy import canopy_height, growth_form, leaf_carbon
from phase_lib.elm.constants import (
    C4_GRASS,
    FILL_THRESHOLD,
    GRAMS_PER_PETAGRAM,
    NATPFT,
    SPINUP_AD,
    SPINUP_NORMAL,
)
from phase_lib.elm.coordinates import refuse_more_land
from phase_lib.elm.dead_wood import USUAL_FACTOR, WOOD, WoodTally, settle_factor
from phase_lib.elm.netcdf import Rows, get_variable, open_dataset, open_rows, open_with_rows
from phase_lib.elm.other_pools import ISOTOPES, Isotope, OtherPools, other_pools, twin_of, twins_among
from phase_lib.elm.parameters import Parameters, read_parameters, read_soil_order_parameters
from phase_lib.elm.restart import RestartHeader, refuse_other_soil, restart_header
from phase_lib.elm.soil_grid import DZDECOMP, NLEVDECOMP, NLEVGRND, column_stock
from phase_lib.elm.spinup import (
    SCALARAVG_LAYER,
    SCALARAVG_YEARS,
    design_multipliers,
    lift_ppool,
    rates_were_divided,
)
from phase_lib.elm.surface import LAND, Fields, open_fields
from phase_lib.elm.surface_content import check_phosphorus
from phase_lib.elm.variables import (
    COLUMN_TOTALS,
    DEAD_WOOD,
    ELEMENTS,
    LITTER,
    MINERAL_N,
    MINERAL_P,
    ORGANS,
    POOL_VARIABLES,
    SOIL_POOLS,
    SOM,
    STAGES,
    SURFACE_P,
    TOTVEGC_POOLS,
    VARIABLES,
    Element,
    SoilPool,
)
from phase_lib.injection.editor import Change, Editor
from phase_lib.injection.predictions import Predictions
from phase_lib.injection.rules import (
    isotope_of,
    keep_leaves,
    leaf_area_of,
    litter_nutrient,
    plant_nutrient,
    soil_nutrients,
    supplied_mineral_p,
    within_cells,
)

_STOCK_UNITS = {"c": "PgC", "n": "PgN", "p": "PgP"}
#: Variables that follow from the pools, where the base holds them.
_RESULTS = {
    name: entry
    for name, entry in VARIABLES.items()
    if entry.kind == "total" or (entry.kind == "canopy" and entry.injected != "never")
}
#: Carbon pools of patches.
_PLANT_CARBON = {
    name for name, entry in POOL_VARIABLES.items() if (entry.level, entry.element) == ("patch", "c")
}
#: Patch variables that take the predicted value and bear on no other; leaf area becomes leaf carbon.
_PLANT_SINGLE = [
    name
    for name, entry in VARIABLES.items()
    if (entry.level, entry.organ, entry.injected) == ("patch", None, "directly") and name != "tlai"
]
#: Values of one variable in a block at most; some eighty variables are in memory at a time.
_BLOCK_VALUES = 1 << 17
#: Cells whose surface data are looked at together.
_BLOCK_CELLS = 1 << 16
#: Shares of a cell, with round-off.
_MOST_WEIGHT = 1.0 + 1.0e-6


@dataclass(frozen=True)
class _Base:
    """The restart to edit: header, where its rows lie and the space its pools are in.

    Attributes:
        header: of the restart.
        blocks: its columns and patches.
        surface: land area of the cells, and what mineral P is supplied from where the base is in AD.
        multipliers: pool stem -> exit factor F; empty where the base is in normal mode.
        others: pools that no rule here touches.
    """

    header: RestartHeader
    blocks: Blocks
    surface: Fields
    multipliers: dict[str, float]
    others: OtherPools

    @property
    def in_ad(self) -> bool:
        """True if the base is flagged AD."""
        return self.header.spinup_state == SPINUP_AD

    @property
    def divided(self) -> bool:
        """True if the base's rates were divided by the averaged scalar, so leaving AD divides too."""
        return self.in_ad and rates_were_divided(self.header.year)


def _read_base(
    stack: ExitStack,
    path: Path,
    dataset: netCDF4.Dataset,
    rows: Mapping[str, Rows],
    surface: Path,
    parameters: Parameters,
) -> _Base:
    header = restart_header(path, dataset)
    refuse_other_soil(header)
    if (
        header.spinup_state == SPINUP_AD
        and header.year == SCALARAVG_YEARS[1]
        and not header.date.endswith("-01-01")
    ):
        raise InputError(
            path,
            f"timemgr_rst_curr_ymd is {header.date}, in the year in which ELM began to divide rates by "
            "scalaravg_col",
            expected="a restart of January 1st",
            remedy="use the one of that or the next year's start",
        )
    blocks = Blocks(path, dataset, rows)
    if header.spinup_state not in (SPINUP_NORMAL, SPINUP_AD):
        raise InputError(
            path,
            "variable spinup_state is missing",
            expected="0 or 1",
            remedy="say which space its pools are in",
        )
    for name, entry in POOL_VARIABLES.items():
        get_variable(path, dataset, name, dims=entry.dims)
    twins = twins_among(dataset.variables.keys())
    for name in twins.keys() & POOL_VARIABLES.keys():
        for twin in twins[name]:
            get_variable(path, dataset, twin.name, dims=POOL_VARIABLES[name].dims)
    divided = header.spinup_state == SPINUP_AD and rates_were_divided(header.year)
    if divided or "scalaravg_col" in dataset.variables:
        get_variable(path, dataset, "scalaravg_col", dims=("column", "levgrnd"))
    for name in ("cols1d_wtxy", "pfts1d_wtxy"):
        get_variable(path, dataset, name)
    for name, entry in _RESULTS.items():
        if name in dataset.variables:
            get_variable(path, dataset, name, dims=entry.dims)
    in_ad = header.spinup_state == SPINUP_AD
    wanted = [*LAND, *((*SURFACE_P, "SOIL_ORDER") if in_ad else ())]
    fields = stack.enter_context(open_fields(surface, wanted, blocks.lat, blocks.lon))
    every = _in_blocks(np.ones(blocks.ncells, dtype=bool))
    refuse_more_land(surface, LAND, sum(1.0e-6 * float(fields.land_area(cells).sum()) for cells in every))
    others = other_pools(
        {name: held.dimensions for name, held in dataset.variables.items() if held.dtype.kind == "f"}
    )
    for name in others.unknown:
        LOGGER.info("%s holds %s, a pool that is not known here: it stays as it is", path.name, name)
    return _Base(header, blocks, fields, parameters.ad_factors() if in_ad else {}, others)


def _totals_among(held: Collection[str]) -> dict[str, tuple[str, ...]]:
    """The sums over depth that a restart holds, of pools and of their isotope twins -> what they sum."""
    totals = dict(COLUMN_TOTALS)
    for isotope in ISOTOPES:
        for name, parts in COLUMN_TOTALS.items():
            totals[twin_of(name, isotope).name] = tuple(twin_of(part, isotope).name for part in parts)
    return {
        name: parts for name, parts in totals.items() if name in held and all(part in held for part in parts)
    }


def _in_blocks(wanted: np.ndarray) -> Iterator[np.ndarray]:
    """The cells that are wanted (gridcell), a bounded number at a time."""
    for cells in ranges(len(wanted), _BLOCK_CELLS):
        found = cells.start + np.flatnonzero(wanted[cells])
        if len(found):
            yield found


@dataclass(frozen=True)
class _MineralP:
    """Mineral P that leaving AD supplies, computed for some cells at a time.

    Attributes:
        maps: `LABILE_P, SECONDARY_P, OCCLUDED_P, APATITE_P`, gP m-2, and `SOIL_ORDER` of the cells.
        smax, ks: sorption capacity and half-saturation (soilorder), gP m-3.
        parameters: names of the parameters that these come from.
    """

    maps: Fields
    smax: np.ndarray
    ks: np.ndarray
    parameters: str

    def of(self, cell: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Pool stem -> gP m-3 of cells (n), and which of them have nearly full sorption sites (n)."""
        order = self.maps.read("SOIL_ORDER", cell).astype(np.int32)
        maps = {name: self.maps.read(name, cell) for name in SURFACE_P}
        return supplied_mineral_p(maps, self.smax[order], self.ks[order])


def _sorption(soil_params: Path | None, params: Path) -> tuple[Path, np.ndarray, np.ndarray, str]:
    """Sorption capacity and half-saturation (soilorder), gP m-3, the file they are in, and their names there.

    Raises:
        InputError: neither file holds them.
    """
    if soil_params is not None:
        table = read_soil_order_parameters(soil_params)
        for name in ("smax", "ks_sorption"):
            if name not in table:
                raise InputError(
                    soil_params,
                    f"parameter {name} is missing",
                    expected=f"{name}(soilorder)",
                    remedy="give the CNP_parameters file of the run (fsoilordercon)",
                )
        return soil_params, table["smax"], table["ks_sorption"], "smax, ks_sorption"
    names = ("VMAX_MINSURF_P_vr", "KM_MINSURF_P_vr")
    with open_dataset(params) as dataset:
        if any(name not in dataset.variables for name in names):
            raise InputError(
                params,
                "holds no sorption parameters, and no file of soil orders was given",
                expected="smax and ks_sorption",
                remedy="give the CNP_parameters file with --soil-params",
            )
        # The ECA scheme's capacity and half-saturation vary with depth; ELM's RD scheme has one value.
        smax, ks = (
            np.asarray(dataset[name][:, :NLEVDECOMP], dtype=np.float64) @ (DZDECOMP / DZDECOMP.sum())
            for name in names
        )
    return params, smax, ks, ", ".join(names)


def _mineral_p_of(
    base: _Base, surface: Path, params: Path, soil_params: str | Path | None
) -> _MineralP | None:
    """Mineral P that leaving AD has to supply; None for a base in normal mode.

    Raises:
        InputError: the maps hold no amounts, a cell has a soil order without parameters, or those of its
            order are not positive.
    """
    if not base.in_ad:
        return None
    blocks, maps = base.blocks, base.surface
    file, smax, ks, names = _sorption(None if soil_params is None else require_file(soil_params), params)
    alive = blocks.has_biogeochemistry()
    check_phosphorus(surface, maps, np.flatnonzero(alive), blocks.lat, blocks.lon, SURFACE_P)
    for cells in _in_blocks(alive):
        _check_order(surface, maps.read("SOIL_ORDER", cells), cells, file, smax, ks, names)
    return _MineralP(maps, smax, ks, names)


def _check_order(
    surface: Path,
    order: np.ndarray,
    cells: np.ndarray,
    file: Path,
    smax: np.ndarray,
    ks: np.ndarray,
    names: str,
) -> None:
    """Refuses soil orders without sorption parameters that can be used."""
    strange = ~((order >= 0) & (order < len(smax)))
    if np.any(strange):
        first = int(np.argmax(strange))
        raise InputError(
            surface,
            f"variable SOIL_ORDER is {order[first]:g} in cell {cells[first] + 1}",
            expected=f"one of the {len(smax)} soil orders of {file}, 0 to {len(smax) - 1}",
            remedy="use the surface data and the soil-order parameters of the run",
        )
    number = order.astype(np.int32)
    unusable = ~((smax > 0.0) & (ks > 0.0))[number]
    if np.any(unusable):
        at = number[np.argmax(unusable)]
        raise InputError(
            file,
            f"{names}: {smax[at]:g}, {ks[at]:g} for soil order {at}, which cells have",
            expected="positive values",
            remedy="use the soil-order parameters of the run",
        )


@dataclass(frozen=True)
class _Work:
    """What an injection starts from, checked.

    Attributes:
        base: the restart to edit.
        predictions: what replaces its pools, or None.
        mineral: mineral P that leaving AD supplies; None in normal mode.
    """

    base: _Base
    predictions: Predictions | None
    mineral: _MineralP | None


def _prepare(
    stack: ExitStack,
    source: Path,
    surface: Path,
    parameters: Parameters,
    soil_params: str | Path | None,
    predictions: str | Path | None,
    ood: OodSettings,
) -> _Work:
    """Reads and checks every input; what is read again later stays open until `stack` closes."""
    predicted = None
    dataset, rows = stack.enter_context(open_with_rows(source))
    base = _read_base(stack, source, dataset, rows, surface, parameters)
    if predictions is not None:
        opened = stack.enter_context(open_dataset(predictions))
        predicted = Predictions(predictions, opened, base.blocks, parameters.per_pft("woody"), ood)
        for name in predicted.names:
            get_variable(source, dataset, name)
    return _Work(base, predicted, _mineral_p_of(base, surface, parameters.path, soil_params))


@dataclass(frozen=True)
class Seconds:
    """Time that a phase of an injection took, seconds.

    Attributes:
        wall: elapsed.
        cpu: of the thread that works, in user and system mode; that of the hash is not in it.
    """

    wall: float
    cpu: float


@contextmanager
def _timed(seconds: dict[str, Seconds], phase: str) -> Iterator[None]:
    wall, cpu = time.perf_counter(), time.thread_time()
    yield
    seconds[phase] = Seconds(time.perf_counter() - wall, time.thread_time() - cpu)
    LOGGER.debug("%s took %.2f s", phase, seconds[phase].wall)


class _Injection:
    """One injection: the base, what it gets, and the account."""

    def __init__(
        self,
        work: _Work,
        parameters: Parameters,
        settings: InjectionSettings,
        mortality_factor: float,
        variables: Mapping[str, Rows],
        *,
        dry_run: bool,
    ) -> None:
        self.base = replace(work.base, blocks=work.base.blocks.of(variables))
        self.parameters, self.predictions, self.mineral = parameters, work.predictions, work.mineral
        self.settings, self.mortality_factor = settings, mortality_factor
        self.variables, self.editor = variables, Editor(variables, dry_run=dry_run)
        self.clipped: Counter[str] = Counter()
        self.wood = WoodTally(parameters)
        self.twins = twins_among(variables.keys())
        self._totals = _totals_among(variables.keys())
        #: Shares of their cells of the block's rows (row).
        self._share = np.empty(0)

    def _rows(self, rows: int, levels: int) -> int:
        """Rows of a dimension in a block."""
        return max(
            1, min(self.settings.chunk_cells * rows // self.base.blocks.ncells, _BLOCK_VALUES // levels)
        )

    def _edit(self, blocks: Iterator[Block], weight: str, rows: int, what: str) -> Iterator[Block]:
        """Blocks, each of which is written when the next one starts."""
        ticker = Ticker(what)
        for block in blocks:
            share = block.read(self.variables[weight])
            wrong = ~((share >= 0.0) & (share <= _MOST_WEIGHT))
            if np.any(wrong):
                raise InputError(
                    self.base.header.path,
                    f"{weight} holds {share[np.argmax(wrong)]:g} where biogeochemistry runs",
                    expected="a share of the cell, 0 to 1",
                    remedy="use the restart as ELM wrote it",
                )
            self.editor.begin(block, share * self.base.surface.land_area(block.cell))
            self._share = share
            yield block
            ticker.tick(block.stop, rows)
        self.editor.flush()

    def _gets(self, block: Block) -> np.ndarray:
        """Rows of natural vegetation in cells that get predictions (row)."""
        if self.predictions is None:
            return np.zeros(len(block), dtype=bool)
        return block.soil & self.predictions.used(block.cell)

    def _all_of(self, names: Iterable[str]) -> Iterator[str]:
        """Pools, each followed by its isotope twins."""
        for name in names:
            yield name
            yield from (twin.name for twin in self.twins.get(name, ()))

    def _twins_follow(self, pool: str, before: np.ndarray, gets: np.ndarray, pft: np.ndarray) -> None:
        """The twins of a carbon pool keep their share of it where it was replaced.

        Args:
            pool: the pool, in the editor as it is now.
            before: what it held before (row), or of layers (row, levdecomp).
            gets: rows that get predictions (row).
            pft: of patches (row); empty for layers.
        """
        layers = before.ndim > 1
        set_values = self.editor.set_layers if layers else self.editor.set
        active = np.s_[:, :NLEVDECOMP] if layers else np.s_[:]
        for twin in self.twins.get(pool, ()):
            start = twin.isotope.start if layers else self._start_of_plants(twin.isotope)[pft]
            own, after = self.editor.get(twin.name)[active], self.editor.get(pool)[active]
            values, empty = isotope_of(own, before, after, start)
            self.clipped[f"{twin.name}: its pool was empty, gets the share of a cold start"] += int(
                np.count_nonzero(empty)
            )
            set_values(twin.name, values, gets)

    def _start_of_plants(self, isotope: Isotope) -> np.ndarray:
        """Share of the carbon that an isotope has in a cold start, by PFT (natpft)."""
        c3 = self.parameters.pft.get("c3psn", np.arange(NATPFT) != C4_GRASS)
        return np.where(c3 == 0.0, isotope.start_c4, isotope.start)

    def _predicted(self, name: str) -> bool:
        return self.predictions is not None and name in self.predictions.names

    # -- soil -------------------------------------------------------------------------------------

    def soil(self) -> None:
        """Layered pools, mineral N and P, totals, averaged scalar."""
        blocks, columns = self.base.blocks, self.base.blocks.ncolumns
        steps = blocks.of_columns(self._rows(columns, NLEVGRND))
        for block in self._edit(steps, "cols1d_wtxy", columns, "columns"):
            cell, gets = block.cell, self._gets(block)
            every = np.ones(len(cell), dtype=bool)
            multipliers = self._multipliers(block)
            summed = {part for parts in self._totals.values() for part in parts}
            touched: dict[str, np.ndarray] = {}
            stocks: dict[str, np.ndarray] = {}
            for pool in SOIL_POOLS:
                names = self._all_of(pool.variable(element) for element in ELEMENTS)
                before = {name: self.editor.get(name) for name in names if name in summed}
                self._soil_pool(pool, cell, every, gets, multipliers.get(pool.name))
                for name, old in before.items():
                    new = self.editor.get(name)
                    touched[name] = ~every if new is old else np.any(new != old, axis=1)
                    stocks[name] = column_stock(new)
                # One pool at a time in memory: so little that it stays in the processor's cache.
                self.editor.flush()
            for name, parts in self._totals.items():
                changed = np.any([touched[part] for part in parts], axis=0)
                self.editor.set(name, np.sum([stocks[part] for part in parts], axis=0), changed)
            self._mineral_n(cell, gets)
            self._mineral_p(block, every, gets)
            if self.editor.has("scalaravg_col"):
                self.editor.set("scalaravg_col", np.ones(1), every)

    def _multipliers(self, block: Block) -> dict[str, np.ndarray]:
        """Pool stem -> what leaving AD multiplies it by (row, levdecomp), or (1, 1) where all is the same."""
        if not self.base.in_ad:
            return {}
        # Where the rates were not divided by it, F alone converts, whatever the averaged scalar holds.
        if not self.base.divided:
            return design_multipliers(self.parameters, self.base.header.year, np.ones((1, 1)))
        scalar = self.editor.get("scalaravg_col")[:, :NLEVDECOMP]
        wrong = ~(scalar >= 0.0)
        if np.any(wrong):
            row, layer = (int(i) for i in np.argwhere(wrong)[0])
            raise InputError(
                self.base.header.path,
                f"variable scalaravg_col is {scalar[row, layer]:g} in cell {block.cell[row] + 1}, layer "
                f"{layer + 1}",
                expected="the mean scalar of an AD run, 0 or more",
                remedy="use the restart as ELM wrote it",
            )
        fill = scalar[:, SCALARAVG_LAYER] >= FILL_THRESHOLD
        if "cols1d_active" in self.variables:
            fill &= block.read(self.variables["cols1d_active"]) == 1  # not under ice that covers the cell
        if np.any(fill):
            began = self.base.header.start_year
            raise InputError(
                self.base.header.path,
                f"variable scalaravg_col is fill in cell {block.cell[np.argmax(fill)] + 1}: ELM divided the "
                "rates of soil3, soil4 and CWD by it, so that they did not decompose"
                + ("" if began is None else f"; its run began in {began:04d}"),
                expected=f"the mean scalar of an AD run that began before {SCALARAVG_YEARS[0]:04d}",
                remedy="use a run that began in year 1",
            )
        return design_multipliers(self.parameters, self.base.header.year, scalar)

    def _fetch(self, name: str, cell: np.ndarray, gets: np.ndarray) -> np.ndarray:
        """Layers of the columns that get a prediction, zeros elsewhere (row, levdecomp)."""
        assert self.predictions is not None
        if np.all(gets) and not self.base.blocks.divided:
            return self.predictions.layers(name, cell)
        values = np.zeros((len(cell), NLEVDECOMP))
        values[gets] = self.predictions.layers(name, cell[gets])
        if self.base.blocks.divided:
            own = self.editor.get(name)[gets, :NLEVDECOMP]
            values[gets] = self._parts(name, values[gets], own, cell[gets], self._share[gets])
        return values

    def _parts(
        self, name: str, predicted: np.ndarray, own: np.ndarray, group: np.ndarray, share: np.ndarray
    ) -> np.ndarray:
        """What the parts of cells get that topounits divide."""
        values, lost = within_cells(predicted, own, group, share)
        self.clipped[f"{name}: parts of a cell too unlike, all get the prediction"] += lost
        return values

    def _soil_pool(
        self,
        pool: SoilPool,
        cell: np.ndarray,
        every: np.ndarray,
        gets: np.ndarray,
        multiplier: np.ndarray | None,
    ) -> None:
        """Converts and replaces C, N and P of a pool."""
        if multiplier is not None and np.any(multiplier != 1.0):
            for name in self._all_of(map(pool.variable, ELEMENTS)):
                self.editor.set_layers(name, self.editor.get(name)[:, :NLEVDECOMP] * multiplier, every)
        base = {element: self.editor.get(pool.variable(element))[:, :NLEVDECOMP] for element in ELEMENTS}
        if self._predicted(pool.variable("c")):
            carbon = self._fetch(pool.variable("c"), cell, gets)
            where = gets[:, None] & (carbon != base["c"])
            if pool.name in SOM:
                cn, cp = self.parameters.soil_ratios(pool)
                nitrogen, phosphorus = soil_nutrients(carbon, cn, cp)
            else:
                nitrogen, phosphorus = self._litter_nutrients(pool, carbon, base, where)
            for element, values in zip(ELEMENTS, (carbon, nitrogen, phosphorus), strict=True):
                self.editor.set_layers(pool.variable(element), values, where)
            self._twins_follow(pool.variable("c"), base["c"], gets, np.empty(0))
        if pool.name in (*LITTER, "cwd"):
            self._litter_predicted(pool, cell, gets)

    def _litter_bounds(self, element: str) -> tuple[float, float]:
        s = self.settings
        return (s.litter_cn_min, s.litter_cn_max) if element == "n" else (s.litter_cp_min, s.litter_cp_max)

    def _litter_nutrients(
        self, pool: SoilPool, carbon: np.ndarray, base: Mapping[Element, np.ndarray], where: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        result = []
        starts: tuple[tuple[Element, float], ...] = (("n", pool.start_cn), ("p", pool.start_cp))
        for element, start in starts:
            values = np.zeros_like(carbon)
            values[where], met = litter_nutrient(
                carbon[where], base["c"][where], base[element][where], start, *self._litter_bounds(element)
            )
            self.clipped[f"{pool.name}{element}_vr"] += met
            result.append(values)
        return result[0], result[1]

    def _litter_predicted(self, pool: SoilPool, cell: np.ndarray, gets: np.ndarray) -> None:
        """Predicted N or P of litter and CWD, kept within the bounds of their ratios."""
        for element in ("n", "p"):
            name = f"{pool.name}{element}_vr"
            if not self._predicted(name):
                continue
            low, high = self._litter_bounds(element)
            carbon = self.editor.get(f"{pool.name}c_vr")[:, :NLEVDECOMP]
            values = self._fetch(name, cell, gets)
            where = gets[:, None] & (values != self.editor.get(name)[:, :NLEVDECOMP])
            bounded = np.clip(values, carbon / high, carbon / low)
            self.clipped[name] += int(np.count_nonzero((bounded != values) & where))
            self.editor.set_layers(name, bounded, where)

    def _mineral_n(self, cell: np.ndarray, gets: np.ndarray) -> None:
        names = [f"{name}_vr" for name in MINERAL_N]
        if not any(self._predicted(name) for name in names):
            return
        for name in names:
            if self._predicted(name):
                self.editor.set_layers(name, self._fetch(name, cell, gets), gets)
        total = sum(self.editor.get(name)[:, :NLEVDECOMP] for name in names)
        self.editor.set_layers("sminn_vr", np.asarray(total), gets)

    def _mineral_p(self, block: Block, every: np.ndarray, gets: np.ndarray) -> None:
        supplied: dict[str, np.ndarray] = {}
        if self.mineral is not None:
            supplied, full = self.mineral.of(block.cell)
            self.clipped["solutionp_vr: sorption sites nearly full, partitioned"] += int(
                np.count_nonzero(full & block.soil)
            )
        for stem in MINERAL_P:
            name = f"{stem}_vr"
            if stem in supplied:
                self.editor.set_layers(name, supplied[stem][:, None], every)
            if self._predicted(name):
                self.editor.set_layers(name, self._fetch(name, block.cell, gets), gets)

    # -- plants -----------------------------------------------------------------------------------

    def plants(self) -> None:
        """Patch pools, ppool, leaf area, height, total, where patches cover ground."""
        blocks, patches = self.base.blocks, self.base.blocks.npatches
        steps = blocks.of_patches(self._rows(patches, 1))
        for block in self._edit(steps, "pfts1d_wtxy", patches, "patches"):
            pft = np.clip(block.pft, 0, NATPFT - 1)
            every = np.ones(len(pft), dtype=bool)
            if self.base.in_ad:
                self._look_at_wood(block.pft)
            self._leave_ad(every)
            totvegc_before = self._vegetation_carbon()
            carbon = {name: self.editor.get(name) for name in self.twins if name in _PLANT_CARBON}
            stem_before, leaf_before = self.editor.get("deadstemc"), self.editor.get("leafc")
            phosphorus_before = self.editor.get("leafp"), self.editor.get("ppool")
            if self.predictions is not None:
                gets = self._gets(block) & block.natural & (pft > 0)
                self._replace_plants(block.cell, pft, gets)
                for name, before in carbon.items():
                    self._twins_follow(name, before, gets, pft)
            leaf_changed = self.editor.get("leafc") != leaf_before
            self._feed_leaves(*phosphorus_before)
            if self.predictions is not None:
                self._canopy(pft, leaf_changed, self.editor.get("deadstemc") != stem_before)
            if self.editor.has("totvegc"):
                total = self._vegetation_carbon()
                converted = self.base.in_ad & (stem_before > 0.0)
                self.editor.set("totvegc", total, converted | (total != totvegc_before))
                self._sum_twins(converted | (total != totvegc_before))

    def _feed_leaves(self, leafp_before: np.ndarray, ppool_before: np.ndarray) -> None:
        """Injected leaves or `ppool` do not leave a patch with less of it than its leaves hold."""
        leafp, ppool = self.editor.get("leafp"), self.editor.get("ppool")
        injected = (leafp != leafp_before) | (ppool != ppool_before)
        self.editor.set("ppool", np.maximum(ppool, leafp), injected)

    def _sum_twins(self, changed: np.ndarray) -> None:
        """The isotopes' part of `totvegc`, where it changed (row)."""
        for twin in self.twins.get("totvegc", ()):
            parts = [twin_of(name, twin.isotope).name for name in TOTVEGC_POOLS]
            if all(self.editor.has(part) for part in parts):
                self.editor.set(twin.name, np.asarray(sum(self.editor.get(part) for part in parts)), changed)

    def _vegetation_carbon(self) -> np.ndarray:
        return np.asarray(sum(self.editor.get(name) for name in TOTVEGC_POOLS))

    def _look_at_wood(self, pft: np.ndarray) -> None:
        """Gathers what the base's wood says of the mortality factor, before it is multiplied by that."""
        pools = {name: self.editor.get(name) for name in WOOD}
        self.wood.add(pft, pools, self.editor.get("htop") if self.editor.has("htop") else None)

    def _leave_ad(self, every: np.ndarray) -> None:
        """Dead wood and `ppool` as ELM takes them out of AD."""
        if not self.base.in_ad:
            return
        for name in self._all_of(f"{organ}{element}" for organ in DEAD_WOOD for element in ELEMENTS):
            self.editor.set(name, self.editor.get(name) * self.mortality_factor, every)
        phosphorus = (self.editor.get(name) for name in ("ppool", "leafp", "leafp_storage"))
        self.editor.set("ppool", lift_ppool(*phosphorus), every)

    def _predicted_patches(
        self, name: str, cell: np.ndarray, pft: np.ndarray, gets: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """What patches get of a variable (row), and where it is meant."""
        values, meant = np.zeros(len(cell)), gets.copy()
        assert self.predictions is not None
        values[gets], meant[gets] = self.predictions.patches(name, cell[gets], pft[gets])
        if self.base.blocks.divided:
            own, group = self.editor.get(name)[meant], cell[meant].astype(np.int64) * NATPFT + pft[meant]
            values[meant] = self._parts(name, values[meant], own, group, self._share[meant])
        return values, meant

    def _replace_plants(self, cell: np.ndarray, pft: np.ndarray, gets: np.ndarray) -> None:
        for organ in ORGANS:
            self._replace_organ(organ, cell, pft, gets)
        for name in _PLANT_SINGLE:
            if self._predicted(name):
                values, where = self._predicted_patches(name, cell, pft, gets)
                self.editor.set(name, values, where)

    def _replace_organ(self, organ: str, cell: np.ndarray, pft: np.ndarray, gets: np.ndarray) -> None:
        """Carbon of an organ in its three stages; N and P follow wherever carbon changed."""
        if organ != "leaf" and not any(self._predicted(f"{organ}c{stage}") for stage in STAGES):
            return
        base = {stage: self.editor.get(f"{organ}c{stage}") for stage in STAGES}
        new = dict(base)
        dormant = self._dormant(organ, base[""], pft)
        for stage in STAGES:
            name = f"{organ}c{stage}"
            if self._predicted(name):
                values, where = self._predicted_patches(name, cell, pft, gets)
                # In dormancy the base's phenology stands: its leaves and fine roots are off.
                asleep = where & dormant if stage != "_storage" else np.zeros_like(where)
                self.clipped[f"{name} kept: dormant"] += int(
                    np.count_nonzero(asleep & (values != base[stage]))
                )
                new[stage] = np.where(where & ~asleep, values, base[stage])
        if organ == "leaf":
            self._leaves_from_area(new, base, cell, pft, gets)
            (new[""], new["_storage"], new["_xfer"]), kept = keep_leaves(
                (base[""], base["_storage"], base["_xfer"]),
                (new[""], new["_storage"], new["_xfer"]),
                self.parameters.per_pft("evergreen")[pft] == 1,
                self.settings,
            )
            self.clipped["leafc kept: evergreen or dead"] += int(np.count_nonzero(kept & gets))
        ratios = self.parameters.organ_ratios(organ)
        for stage in STAGES:
            changed = new[stage] != base[stage]
            self.editor.set(f"{organ}c{stage}", new[stage], changed)
            for element, ratio in zip(("n", "p"), ratios, strict=True):
                self.editor.set(f"{organ}{element}{stage}", plant_nutrient(new[stage], ratio[pft]), changed)

    def _dormant(self, organ: str, display: np.ndarray, pft: np.ndarray) -> np.ndarray:
        if organ not in ("leaf", "froot"):
            return np.zeros(len(pft), dtype=bool)
        return np.asarray((self.parameters.per_pft("evergreen")[pft] != 1) & (display <= 0.0))

    def _leaves_from_area(
        self,
        new: dict[str, np.ndarray],
        base: dict[str, np.ndarray],
        cell: np.ndarray,
        pft: np.ndarray,
        gets: np.ndarray,
    ) -> None:
        """Leaf carbon from predicted leaf area, where leaves are out and their carbon is not predicted."""
        if not self._predicted("tlai"):
            return
        area, where = self._predicted_patches("tlai", cell, pft, gets)
        if self._predicted("leafc"):
            return
        where &= (base[""] > 0.0) & (area != self.editor.get("tlai"))
        slatop, dsladlai = (values[pft] for values in self.parameters.specific_leaf_area())
        where &= slatop > 0.0
        new[""] = np.where(where, leaf_carbon(area, np.where(where, slatop, 1.0), dsladlai), base[""])

    def _canopy(self, pft: np.ndarray, leaf_changed: np.ndarray, stem_changed: np.ndarray) -> None:
        """Leaf area and height where the carbon they follow from changed."""
        old = self.editor.get("tlai")
        tlai = np.where(leaf_changed, leaf_area_of(self.editor.get("leafc"), pft, self.parameters), old)
        self.editor.set("tlai", tlai, leaf_changed)
        if self.editor.has("elai"):
            # Snow buries the same share of the new leaves until ELM computes it in the first step.
            grown = leaf_changed & (old > 0.0)
            share = np.where(grown, self.editor.get("elai") / np.where(grown, old, 1.0), 0.0)
            self.editor.set("elai", tlai * share, grown)
        form = growth_form(self.parameters.per_pft("woody"))[pft]
        top, bottom = canopy_height(self.editor.get("deadstemc"), tlai, form)
        changed = np.where(form > 0, stem_changed, leaf_changed)
        for name, values in (("htop", top), ("hbot", bottom)):
            if self.editor.has(name):
                self.editor.set(name, values, changed)


def _account(name: str, change: Change, isotopes: Collection[str]) -> dict[str, Any]:
    """One entry of `variables_changed`; `isotopes` are the twins of the restart."""
    entry = VARIABLES.get(name)
    element = "c" if name in isotopes else entry.element if entry else None
    if element is not None:
        scale, units, kind = GRAMS_PER_PETAGRAM, _STOCK_UNITS[element], "global stock"
    else:
        scale, units = change.weight, entry.units if entry else "1"
        kind = "mean weighted by area"
    return {
        "before": change.before / scale if scale else 0.0,
        "after": change.after / scale if scale else 0.0,
        "units": units,
        "kind": kind,
        "count": change.count,
    }


def _set_normal(flag: Rows, *, dry_run: bool) -> dict[str, Any] | None:
    before = int(np.asarray(flag[:]).reshape(-1)[0])
    if before == SPINUP_NORMAL:
        return None
    if not dry_run:
        flag[:] = np.asarray(SPINUP_NORMAL)
    return {"before": before, "after": SPINUP_NORMAL, "units": "1", "kind": "flag", "count": 1}


def _edit(
    copy: Path,
    work: _Work,
    parameters: Parameters,
    settings: InjectionSettings,
    mortality_factor: float | None,
    seconds: dict[str, Seconds],
    *,
    dry_run: bool,
) -> tuple[Mapping[str, Change], dict[str, Any]]:
    """Edits the copy, or computes the edits from the base in a dry run.

    Returns:
        What changed, by variable, and the sidecar's account of it.
    """
    with open_rows(copy, "r" if dry_run else "r+") as rows:
        factor = USUAL_FACTOR if mortality_factor is None else mortality_factor
        injection = _Injection(work, parameters, settings, factor, rows, dry_run=dry_run)
        with _timed(seconds, "soil"):
            injection.soil()
        with _timed(seconds, "plants"):
            injection.plants()
        flag = _set_normal(rows["spinup_state"], dry_run=dry_run)
    changes, rests_on = injection.editor.changes, None
    if work.base.in_ad:
        header = work.base.header
        _refuse_normal_pools(header.path, changes, parameters)
        _, rests_on = settle_factor(header.path, mortality_factor, injection.wood.evidence(header))
        LOGGER.info("spinup_mortality_factor %g: %s", factor, rests_on)
    isotopes = {twin.name for twins in injection.twins.values() for twin in twins}
    changed = {name: _account(name, change, isotopes) for name, change in changes.items() if change.count}
    if flag is not None:
        changed["spinup_state"] = flag
    clipped = {name: count for name, count in sorted(injection.clipped.items()) if count}
    return changes, {
        "variables_changed": changed,
        "clipped": clipped,
        "conversion": {
            "from_spinup_state": work.base.header.spinup_state,
            "model_year": work.base.header.year,
            "factors": {name: by for name, by in work.base.multipliers.items() if by > 1.0},
            "divided_by_scalaravg": work.base.divided,
            "spinup_mortality_factor": factor if work.base.in_ad else None,
            "spinup_mortality_factor_rests_on": rests_on,
            "sorption_parameters": None if work.mineral is None else work.mineral.parameters,
        },
        "isotopes": sorted(isotopes),
        "left_as_they_are": {name: list(found) for name, found in asdict(work.base.others).items()},
        "not_injected": [] if work.predictions is None else list(work.predictions.ignored),
        "more_below_than_above": [] if work.predictions is None else _upside_down(work.predictions),
    }


def _upside_down(predictions: Predictions) -> list[str]:
    """Soil pools of which every cell got more below than above; a warning names them."""
    names = predictions.more_below_than_above
    if names:
        LOGGER.warning(
            "%s: %s: more carbon in the lower half of the layers than in the upper in every cell; a soil has "
            "it the other way round: do the layers run from the surface down?",
            predictions.path,
            ", ".join(names),
        )
    return names


def _flagged(work: _Work, action: str) -> dict[str, Any]:
    """The sidecar's list of out-of-distribution cells."""
    blocks, predictions = work.base.blocks, work.predictions
    if predictions is None:
        return {"count": 0, "action": action, "cells": []}
    cells = np.flatnonzero(predictions.flagged(np.arange(blocks.ncells)))
    places = blocks.lat[cells], blocks.lon[cells], predictions.predicted(cells)
    return {
        "count": len(cells),
        "action": action,
        "cells": [
            {"cell": cell + 1, "lat": lat, "lon": lon, "predicted": predicted}
            for cell, lat, lon, predicted in zip(cells.tolist(), *(p.tolist() for p in places), strict=True)
        ],
    }


def inject(
    restart: str | Path,
    surface: str | Path,
    params: str | Path,
    soil_params: str | Path | None,
    predictions: str | Path | None,
    output: str | Path,
    settings: InjectionSettings,
    ood: OodSettings,
    *,
    mortality_factor: float | None = None,
    report: str | Path | None = None,
    dry_run: bool = False,
    seconds: dict[str, Seconds] | None = None,
) -> dict[str, Any]:
    """Writes a restart in normal mode from a base restart and predicted pools.

    A base in AD is taken to normal mode first: F alone up to the start of model year 40, F / scalaravg_col
    later, displayed dead wood times the mortality factor, mineral P from the surface file. Predictions then
    replace what they hold, in covered patches and in the soil column of each cell; N and P follow from C.
    Where topounits divide a cell, its columns keep their proportions. A cell without a soil column gets no
    prediction.

    Args:
        restart: base, AD or normal; never modified.
        surface: surface file of the same grid.
        params: parameter file of the run.
        soil_params: soil-order parameters with smax and ks_sorption; without it the parameter file's
            VMAX_MINSURF_P_vr and KM_MINSURF_P_vr stand in.
        predictions: predictions in normal space, or None for the conversion alone.
        output: restart to write; its name should be the base's.
        settings: bounds.
        ood: what flagged cells get.
        mortality_factor: `spinup_mortality_factor` of the AD run that wrote the restart; None to assume
            the usual one, if the wood of the restart shows it.
        report: sidecar JSON to write, or None.
        dry_run: compute everything, write no restart; the audit needs a file and is left out.
        seconds: gets the time of each phase, for a benchmark.

    Returns:
        The sidecar's content.

    Raises:
        InputError: the input is wrong, or the audit of what was made found errors; nothing is written.
    """
    source, target = require_file(restart), Path(output)
    surface_path, params_path = require_file(surface), require_file(params)
    inputs = [path for path in (restart, surface, params, soil_params, predictions) if path is not None]
    refuse_as_output([output, *([] if report is None else [report])], inputs)
    seconds = {} if seconds is None else seconds
    parameters = read_parameters(params_path)
    with ExitStack() as stack:
        # Renamed in the reverse order: where there is a restart, its sidecar is there too.
        copy = source if dry_run else stack.enter_context(writing(target))
        sidecar = None if report is None else stack.enter_context(writing(report))
        hashed = [source] if predictions is None else [source, require_file(predictions)]
        # From the beginning: on a large file the hash takes as long as everything else.
        hashes = stack.enter_context(sha256_in_background(*hashed))
        with _timed(seconds, "check"):
            work = _prepare(stack, source, surface_path, parameters, soil_params, predictions, ood)
        if not dry_run:
            LOGGER.info("copying %s", source)
            with _timed(seconds, "copy"):
                copy_bytes(source, copy)
        changes, account = _edit(copy, work, parameters, settings, mortality_factor, seconds, dry_run=dry_run)
        flagged = _flagged(work, ood.action)
        audit = None
        if not dry_run:
            LOGGER.info("auditing %s", target.name)
            with _timed(seconds, "audit"):
                audit = audit_restart(copy, surface_path, parameters)
            _refuse_unsound(audit, source, predictions, surface_path, parameters)
        _refuse_no_numbers(source, changes)
        with _timed(seconds, "hash"):
            entries = [
                {"path": str(path.absolute()), "sha256": digest}
                for path, digest in zip(hashed, hashes(), strict=True)
            ]
        content = {
            "base": entries[0],
            "predictions": entries[1] if len(entries) > 1 else None,
            "output": str(target),
            "dry_run": dry_run,
            **account,
            "flagged": flagged,
            "settings": settings.model_dump(),
            "audit": None if audit is None else {**audit.to_dict(), "path": str(target)},
            "code_version": code_version(),
        }
        if sidecar is not None:
            sidecar.write_text(json_text(content), encoding="utf-8")
    return content


def _refuse_no_numbers(base: Path, changes: Mapping[str, Change]) -> None:
    """Refuses a base that holds no number where one was replaced: what else it holds is not to be trusted."""
    for name, change in changes.items():
        if not np.isfinite(change.before):
            raise InputError(
                base,
                f"variable {name} holds values that are not finite where biogeochemistry runs",
                expected="finite numbers, also where predictions replace them",
                remedy="use the restart as ELM wrote it",
            )


def _refuse_normal_pools(base: Path, changes: Mapping[str, Change], parameters: Parameters) -> None:
    """Refuses a base flagged AD whose slow pools are in normal space: they would be multiplied once more."""
    soil3, soil4 = changes["soil3c_vr"], changes["soil4c_vr"]
    between = soil4_soil3_between(parameters)
    land = soil3.weight / float(DZDECOMP.sum())
    if soil3.before > SOIL3_JUDGED * land and soil4.before > between * soil3.before:
        raise InputError(
            base,
            f"spinup_state is {SPINUP_AD} (AD), but soil4 : soil3 of its carbon is "
            f"{soil4.before / soil3.before:.3g}, as in normal mode",
            expected=f"less than {between:.3g} in AD",
            remedy="use the restart as ELM wrote it",
        )


def _refuse_unsound(
    audit: AuditReport, base: Path, predictions: str | Path | None, surface: Path, parameters: Parameters
) -> None:
    """Refuses what the audit found faulty, in the name of the input whose fault it is."""
    if not audit.errors:
        return
    faults = audit_restart(base, surface, parameters).findings
    held = {(fault.variable, fault.problem): fault for fault in faults}
    for error in audit.errors:
        if (error.variable, error.problem) in held:
            raise InputError(
                base,
                held[error.variable, error.problem].line().partition(": ")[2],
                remedy="use the restart as ELM wrote it, with "
                f"{surface.name} and {parameters.path.name} of its run",
            )
    found = f"{audit.count} in the audit of the result, the first {audit.errors[0].line().partition(': ')[2]}"
    if predictions is not None:
        raise InputError(predictions, found, remedy="give sound pools in normal mode (spinup_state 0)")
    raise InputError(
        base,
        f"taken to normal mode it is not sound: {found}",
        remedy="give the mortality factor, the parameters and the surface data of its run",
    )
