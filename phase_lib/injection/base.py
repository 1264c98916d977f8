"""What an injection starts from: the base restart and what belongs to it, read and checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import netCDF4
import numpy as np

from phase_lib.base.errors import InputError
from phase_lib.base.files import require_file
from phase_lib.base.progress import LOGGER
from phase_lib.config.ood import OodSettings
from phase_lib.elm.blocks import Blocks, ranges
from phase_lib.elm.constants import SPINUP_AD, SPINUP_NORMAL
from phase_lib.elm.coordinates import refuse_more_land
from phase_lib.elm.netcdf import Rows, get_variable, open_dataset, open_with_rows
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
class Base:
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
class Work:
    """What an injection starts from, checked.

    Attributes:
        base: the restart to edit.
        parameters: of the run.
        predictions: what replaces its pools, or None.
        mineral: mineral P that leaving AD supplies; None in normal mode.
    """

    base: Base
    parameters: Parameters
    predictions: Predictions | None
    mineral: MineralP | None


def prepare(
    stack: ExitStack,
    source: Path,
    surface: Path,
    parameters: Parameters,
    soil_params: str | Path | None,
    predictions: str | Path | None,
    ood: OodSettings,
) -> Work:
    """Reads and checks every input; what is read again later stays open until `stack` closes.

    Raises:
        InputError: an input is wrong.
    """
    predicted = None
    dataset, rows = stack.enter_context(open_with_rows(source))
    base = _read_base(stack, source, dataset, rows, surface, parameters)
    if predictions is not None:
        opened = stack.enter_context(open_dataset(predictions))
        predicted = Predictions(predictions, opened, base.blocks, parameters.per_pft("woody"), ood)
        for name in predicted.names:
            get_variable(source, dataset, name)
    mineral = _mineral_p(base, surface, parameters.path, soil_params) if base.in_ad else None
    return Work(base, parameters, predicted, mineral)


def _read_base(
    stack: ExitStack,
    path: Path,
    dataset: netCDF4.Dataset,
    rows: Mapping[str, Rows],
    surface: Path,
    parameters: Parameters,
) -> Base:
    header = restart_header(path, dataset)
    refuse_other_soil(header)
    in_ad = header.spinup_state == SPINUP_AD
    if in_ad:
        _refuse_middle_of_year(header)
    blocks = Blocks(path, dataset, rows)
    if header.spinup_state not in (SPINUP_NORMAL, SPINUP_AD):
        raise InputError(
            path,
            "variable spinup_state is missing",
            expected="0 or 1",
            remedy="say which space its pools are in",
        )
    _check_variables(path, dataset, divided=in_ad and rates_were_divided(header.year))
    wanted = [*LAND, *((*SURFACE_P, "SOIL_ORDER") if in_ad else ())]
    fields = stack.enter_context(open_fields(surface, wanted, blocks.lat, blocks.lon))
    cells = _in_blocks(np.ones(blocks.ncells, dtype=bool))
    refuse_more_land(surface, LAND, sum(1.0e-6 * float(fields.land_area(some).sum()) for some in cells))
    others = other_pools({name: v.dimensions for name, v in dataset.variables.items() if v.dtype.kind == "f"})
    for name in others.unknown:
        LOGGER.info("%s holds %s, a pool that is not known here: it stays as it is", path.name, name)
    return Base(header, blocks, fields, parameters.ad_factors() if in_ad else {}, others)


def _refuse_middle_of_year(header: RestartHeader) -> None:
    """Refuses a date within the year in which ELM began to divide rates."""
    if header.year == SCALARAVG_YEARS[1] and not header.date.endswith("-01-01"):
        raise InputError(
            header.path,
            f"timemgr_rst_curr_ymd is {header.date}, in the year in which ELM began to divide rates by "
            "scalaravg_col",
            expected="a restart of January 1st",
            remedy="use the one of that or the next year's start",
        )


def _check_variables(path: Path, dataset: netCDF4.Dataset, *, divided: bool) -> None:
    """Refuses missing pools, and variables of other dimensions than ELM's."""
    for name, entry in POOL_VARIABLES.items():
        get_variable(path, dataset, name, dims=entry.dims)
    twins = twins_among(dataset.variables.keys())
    for name in twins.keys() & POOL_VARIABLES.keys():
        for twin in twins[name]:
            get_variable(path, dataset, twin.name, dims=POOL_VARIABLES[name].dims)
    if divided or "scalaravg_col" in dataset.variables:
        get_variable(path, dataset, "scalaravg_col", dims=("column", "levgrnd"))
    for name in ("cols1d_wtxy", "pfts1d_wtxy"):
        get_variable(path, dataset, name)
    for name, entry in _RESULTS.items():
        if name in dataset.variables:
            get_variable(path, dataset, name, dims=entry.dims)


def _in_blocks(wanted: np.ndarray) -> Iterator[np.ndarray]:
    """The cells that are wanted (gridcell), a bounded number at a time."""
    for cells in ranges(len(wanted), _BLOCK_CELLS):
        some = cells.start + np.flatnonzero(wanted[cells])
        if len(some):
            yield some


def _mineral_p(base: Base, surface: Path, params: Path, soil_params: str | Path | None) -> MineralP:
    """Mineral P that leaving AD has to supply.

    Raises:
        InputError: the maps hold no amounts, a cell has a soil order without parameters, or those of its
            order are not positive.
    """
    blocks, maps = base.blocks, base.surface
    file, smax, ks, names = _sorption(None if soil_params is None else require_file(soil_params), params)
    alive = blocks.has_biogeochemistry()
    check_phosphorus(surface, maps, np.flatnonzero(alive), blocks.lat, blocks.lon, SURFACE_P)
    for cells in _in_blocks(alive):
        order = maps.read("SOIL_ORDER", cells)
        _refuse_unknown_order(surface, order, cells, file, len(smax))
        _refuse_no_sorption(order.astype(np.int32), file, smax, ks, names)
    return MineralP(maps, smax, ks, names)


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


def _refuse_unknown_order(
    surface: Path, order: np.ndarray, cells: np.ndarray, file: Path, orders: int
) -> None:
    strange = ~((order >= 0) & (order < orders))
    if np.any(strange):
        first = int(np.argmax(strange))
        raise InputError(
            surface,
            f"variable SOIL_ORDER is {order[first]:g} in cell {cells[first] + 1}",
            expected=f"one of the {orders} soil orders of {file}, 0 to {orders - 1}",
            remedy="use the surface data and the soil-order parameters of the run",
        )


def _refuse_no_sorption(order: np.ndarray, file: Path, smax: np.ndarray, ks: np.ndarray, names: str) -> None:
    unusable = ~((smax > 0.0) & (ks > 0.0))[order]
    if np.any(unusable):
        at = order[np.argmax(unusable)]
        raise InputError(
            file,
            f"{names}: {smax[at]:g}, {ks[at]:g} for soil order {at}, which cells have",
            expected="positive values",
            remedy="use the soil-order parameters of the run",
        )
