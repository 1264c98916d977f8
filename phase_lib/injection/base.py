"""What an injection starts from: the base restart and its other inputs, read and checked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import netCDF4
import numpy as np

from phase_lib.base.errors import InputError
from phase_lib.base.files import require_file
from phase_lib.base.progress import LOGGER
from phase_lib.config.injection import InjectionSettings
from phase_lib.config.ood import OodSettings
from phase_lib.elm.blocks import Blocks, ranges
from phase_lib.elm.constants import SPINUP_AD, SPINUP_NORMAL
from phase_lib.elm.coordinates import refuse_more_land
from phase_lib.elm.netcdf import get_variable, open_dataset, open_with_rows
from phase_lib.elm.other_pools import OtherPools, other_pools, twins_among
from phase_lib.elm.parameters import Parameters, read_soil_order_parameters
from phase_lib.elm.restart import RestartHeader, refuse_other_soil, restart_header
from phase_lib.elm.soil_grid import DZDECOMP, NLEVDECOMP
from phase_lib.elm.spinup import SCALARAVG_YEARS, rates_were_divided
from phase_lib.elm.surface import LAND, Fields, open_fields
from phase_lib.elm.surface_content import check_phosphorus
from phase_lib.elm.variables import POOL_VARIABLES, SURFACE_P, VARIABLES
from phase_lib.injection.predictions import Predictions
from phase_lib.injection.rules import supplied_mineral_p

#: Variables that follow from the pools, where the base holds them.
_RESULTS = {
    name: entry
    for name, entry in VARIABLES.items()
    if entry.kind == "total" or (entry.kind == "canopy" and entry.injected != "never")
}
#: Cells whose surface data are looked at together.
_BLOCK_CELLS = 1 << 16


@dataclass(frozen=True)
class MineralP:
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

    def supply(self, cell: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Pool stem -> gP m-3 of cells (n), and which of them have nearly full sorption sites (n)."""
        order = self.maps.read("SOIL_ORDER", cell).astype(np.int32)
        maps = {name: self.maps.read(name, cell) for name in SURFACE_P}
        return supplied_mineral_p(maps, self.smax[order], self.ks[order])


@dataclass(frozen=True)
class Base:
    """What an injection starts from, checked.

    Attributes:
        header: of the restart to edit.
        blocks: its columns and patches.
        parameters: of the run.
        surface: land area of the cells, and what mineral P is supplied from where the base is in AD.
        mineral: mineral P that leaving AD supplies; None in normal mode.
        multipliers: pool stem -> exit factor F; empty where the base is in normal mode.
        others: pools that no rule here touches.
        predictions: what replaces its pools, or None.
    """

    header: RestartHeader
    blocks: Blocks
    parameters: Parameters
    surface: Fields
    mineral: MineralP | None
    multipliers: dict[str, float]
    others: OtherPools
    predictions: Predictions | None

    @property
    def in_ad(self) -> bool:
        """True if the base is flagged AD."""
        return self.header.spinup_state == SPINUP_AD

    @property
    def divided(self) -> bool:
        """True if the base's rates were divided by the averaged scalar, so leaving AD divides too."""
        return self.in_ad and rates_were_divided(self.header.year)


def prepare(
    stack: ExitStack,
    path: Path,
    surface: Path,
    parameters: Parameters,
    soil_params: str | Path | None,
    predictions: str | Path | None,
    ood: OodSettings,
    settings: InjectionSettings,
) -> Base:
    """Reads and checks every input; what is read again later stays open until `stack` closes.

    Raises:
        InputError: an input is wrong.
    """
    dataset, rows = stack.enter_context(open_with_rows(path))
    header = restart_header(path, dataset)
    refuse_other_soil(header)
    in_ad = header.spinup_state == SPINUP_AD
    if in_ad:
        _refuse_middle_of_year(header)
    blocks = Blocks(path, dataset, rows)
    if header.spinup_state not in (SPINUP_NORMAL, SPINUP_AD):
        remedy = "say which space its pools are in"
        raise InputError(path, "variable spinup_state is missing", expected="0 or 1", remedy=remedy)
    _check_variables(path, dataset, divided=in_ad and rates_were_divided(header.year))
    wanted = [*LAND, *((*SURFACE_P, "SOIL_ORDER") if in_ad else ())]
    fields = stack.enter_context(open_fields(surface, wanted, blocks.lat, blocks.lon))
    cells = _in_blocks(np.ones(blocks.ncells, dtype=bool))
    refuse_more_land(surface, LAND, sum(1.0e-6 * float(fields.land_area(some).sum()) for some in cells))
    others = other_pools({name: v.dimensions for name, v in dataset.variables.items() if v.dtype.kind == "f"})
    for name in others.unknown:
        LOGGER.info("%s holds %s, a pool that is not known here: it stays as it is", path.name, name)
    predicted = None
    if predictions is not None:
        opened = stack.enter_context(open_dataset(predictions))
        predicted = Predictions(
            predictions, opened, blocks, parameters.per_pft("woody"), ood, settings.out_of_bounds
        )
        for name in predicted.names:
            get_variable(path, dataset, name)
    mineral = _mineral_p(blocks, fields, surface, parameters.path, soil_params) if in_ad else None
    factors = parameters.ad_factors() if in_ad else {}
    return Base(header, blocks, parameters, fields, mineral, factors, others, predicted)


def _refuse_middle_of_year(header: RestartHeader) -> None:
    """Refuses a date within the year in which ELM began to divide rates."""
    if header.year == SCALARAVG_YEARS[1] and not header.date.endswith("-01-01"):
        year = "the year in which ELM began to divide rates by scalaravg_col"
        what = f"timemgr_rst_curr_ymd is {header.date}, in {year}"
        remedy = "use the one of that or the next year's start"
        raise InputError(header.path, what, expected="a restart of January 1st", remedy=remedy)


def _check_variables(path: Path, dataset: netCDF4.Dataset, *, divided: bool) -> None:
    """Refuses missing pools, and variables of other dimensions than ELM's."""
    dims: dict[str, tuple[str, ...] | None] = {name: entry.dims for name, entry in POOL_VARIABLES.items()}
    for pool, twins in twins_among(dataset.variables.keys()).items():
        dims |= {twin.name: dims[pool] for twin in twins if pool in dims}
    if divided or "scalaravg_col" in dataset.variables:
        dims["scalaravg_col"] = ("column", "levgrnd")
    dims |= {"cols1d_wtxy": None, "pfts1d_wtxy": None}
    dims |= {name: entry.dims for name, entry in _RESULTS.items() if name in dataset.variables}
    for name, wanted in dims.items():
        get_variable(path, dataset, name, dims=wanted)


def _in_blocks(wanted: np.ndarray) -> Iterator[np.ndarray]:
    """The cells that are wanted (gridcell), a bounded number at a time."""
    for cells in ranges(len(wanted), _BLOCK_CELLS):
        some = cells.start + np.flatnonzero(wanted[cells])
        if len(some):
            yield some


def _mineral_p(
    blocks: Blocks, maps: Fields, surface: Path, params: Path, soil_params: str | Path | None
) -> MineralP:
    """Mineral P that leaving AD has to supply.

    Raises:
        InputError: the maps hold no amounts, a cell has a soil order without parameters, or those of its
            order are not positive.
    """
    file, smax, ks, names = _sorption(None if soil_params is None else require_file(soil_params), params)
    alive = blocks.has_biogeochemistry()
    check_phosphorus(surface, maps, np.flatnonzero(alive), blocks.lat, blocks.lon, SURFACE_P)
    last, of_run = len(smax) - 1, "the soil-order parameters of the run"
    for cells in _in_blocks(alive):
        order = maps.read("SOIL_ORDER", cells)
        strange = ~((order >= 0) & (order <= last))
        if np.any(strange):
            at = np.argmax(strange)
            what = f"variable SOIL_ORDER is {order[at]:g} in cell {cells[at] + 1}"
            expected = f"one of the {last + 1} soil orders of {file}, 0 to {last}"
            raise InputError(surface, what, expected=expected, remedy=f"use the surface data and {of_run}")
        order = order.astype(np.int32)
        unusable = ~((smax > 0.0) & (ks > 0.0))[order]
        if np.any(unusable):
            at = order[np.argmax(unusable)]
            what = f"{names}: {smax[at]:g}, {ks[at]:g} for soil order {at}, which cells have"
            raise InputError(file, what, expected="positive values", remedy=f"use {of_run}")
    return MineralP(maps, smax, ks, names)


def _sorption(soil_params: Path | None, params: Path) -> tuple[Path, np.ndarray, np.ndarray, str]:
    """Sorption capacity and half-saturation (soilorder), gP m-3, the file they are in, and their names there.

    Raises:
        InputError: neither file holds them.
    """
    if soil_params is not None:
        table, names = read_soil_order_parameters(soil_params), ("smax", "ks_sorption")
        for name in (name for name in names if name not in table):
            what, remedy = (
                f"parameter {name} is missing",
                "give the CNP_parameters file of the run (fsoilordercon)",
            )
            raise InputError(soil_params, what, expected=f"{name}(soilorder)", remedy=remedy)
        return soil_params, table["smax"], table["ks_sorption"], ", ".join(names)
    names = ("VMAX_MINSURF_P_vr", "KM_MINSURF_P_vr")
    with open_dataset(params) as dataset:
        if any(name not in dataset.variables for name in names):
            what = "holds no sorption parameters, and no file of soil orders was given"
            remedy = "give the CNP_parameters file with --soil-params"
            raise InputError(params, what, expected="smax and ks_sorption", remedy=remedy)
        # The ECA scheme's capacity and half-saturation vary with depth; ELM's RD scheme has one value.
        smax, ks = (
            np.asarray(dataset[name][:, :NLEVDECOMP], dtype=np.float64) @ (DZDECOMP / DZDECOMP.sum())
            for name in names
        )
    return params, smax, ks, ", ".join(names)
