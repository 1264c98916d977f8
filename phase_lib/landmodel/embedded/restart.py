"""Restarts of the embedded model: ELM's names, dimensions, index variables, attributes and scalars, CDF-5.

Physics variables hold the values of the forcing cycle on that day. A file of this model is no initial state
for the real ELM (a global attribute says so), but any tool that reads ELM restarts reads it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeAlias

import netCDF4
import numpy as np

from phase_lib.base.errors import InputError
from phase_lib.base.provenance import code_version
from phase_lib.elm.canopy import canopy_height, growth_form, leaf_area
from phase_lib.elm.constants import (
    CASCADE_CTC,
    COLUMN_SOIL,
    FILL_DOUBLE,
    FILL_INT,
    FILL_THRESHOLD,
    LANDUNIT_SOIL,
    NATPFT,
    PFT_NAMES,
    PFT_WEIGHT_TOLERANCE,
    SPINUP_AD,
    TFRZ,
    WEIGHT_SUM_TOLERANCE,
)
from phase_lib.elm.netcdf import add_variable, create_dataset, get_variable, open_dataset, room_for_header
from phase_lib.elm.restart import restart_header
from phase_lib.elm.soil_grid import DZDECOMP, NLEVDECOMP, NLEVGRND
from phase_lib.elm.subgrid import read_subgrid
from phase_lib.elm.variables import COLUMN_TOTALS, TOTVEGC_POOLS, TRUNCATION_LAYER, TRUNCATION_PATCH
from phase_lib.landmodel.domain import Segment
from phase_lib.landmodel.embedded.inputs import RunInputs
from phase_lib.landmodel.embedded.state import LAYER_NAMES, PATCH_NAMES, Snapshot, change_mode

_DIMS = {
    "levgrnd": NLEVGRND, "levurb": 5, "levlak": 10, "levsno": 5, "levsno1": 6, "levtot": 20,
    "numrad": 2, "levcan": 1, "string_length": 64, "levtrc": 10, "month": 12,
}  # fmt: skip
#: Dimensions as long as there are cells.
_BY_CELL = ("gridcell", "topounit", "landunit", "column")
_FLAG = "1=nearest neighbor, 2=copy directly, 3=skip"
_SWITCH = {
    "switchdim_flag": np.int32(1),
    "switchdim_flag_values": np.array([0, 1], dtype=np.int32),
    "switchdim_flag_is_0": "1st and 2nd dims are same as model representation",
    "switchdim_flag_is_1": "1st and 2nd dims are switched from model representation",
}
_SOIL_TYPES = (("icol", COLUMN_SOIL), ("ilun", LANDUNIT_SOIL))
#: Totals in real restarts of the CNP configuration.
_COLUMN_TOTALS = ("totlitc", "totsomc", "totlitp", "totsomp", "cwdp")
#: Water of saturated soil at a porosity of 0.45, kg m-3.
_SATURATED_WATER = 450.0
#: Physical state on the day of the restart: `temperature` of the soil (cell, levgrnd), K; `saturation`, soil
#: water over saturation (cell); `T_SCALAR` (cell, levdecomp); and the variables of `_PHYSICS` (cell).
Physics: TypeAlias = dict[str, np.ndarray]
_PHYSICS: dict[str, dict[str, Any]] = {
    "H2OSNO": {"units": "kg/m2"},
    "altmax": {"units": "m"},
    "altmax_lastyear": {"units": "m"},
    "cannavg_t2m": {},
}


def write_restart(segment: Segment, snapshot: Snapshot, physics: Physics, inputs: RunInputs) -> None:
    """Writes the restart of a segment.

    Args:
        segment: names, dates, mode and protocol of the file.
        snapshot: biogeochemical state of all cells.
        physics: physical state of all cells.
        inputs: cells and surface data.
    """
    with create_dataset(segment.restart, "NETCDF3_64BIT_DATA") as dataset:
        writer = _Writer(dataset, inputs)
        with room_for_header(dataset):
            writer.time(segment.end_year, segment.start_year)
        writer.subgrid()
        what = "Spinup state of the model that wrote this restart file: 0 = normal model mode, 1 = AD spinup"
        writer.scalar("spinup_state", segment.spinup_state, 2, what)
        what = "decomposition cascade and nitrification of the model that wrote this file"
        writer.scalar("decomp_cascade_state", CASCADE_CTC, 3, what)
        for name in PATCH_NAMES:
            writer.patch(name, snapshot[name])
        for name in LAYER_NAMES:
            writer.layer(name, snapshot[name], everywhere=name == "scalaravg_col")
        writer.layer("sminn_vr", snapshot["smin_no3_vr"] + snapshot["smin_nh4_vr"])
        for name in TRUNCATION_LAYER:
            writer.layer(name, np.zeros((writer.ncells, NLEVDECOMP)))
        for name in TRUNCATION_PATCH:
            writer.patch(name, np.zeros((writer.ncells, NATPFT)))
        # Dead wood of an AD restart is smaller by the factor on its mortality; the canopy is as high.
        in_ad = segment.spinup_state == SPINUP_AD
        _write_canopy(writer, snapshot, segment.spinup.spinup_mortality_factor if in_ad else 1.0)
        writer.patch("totvegc", np.sum([snapshot[name] for name in TOTVEGC_POOLS], axis=0))
        for total in _COLUMN_TOTALS:
            writer.column(total, np.sum([snapshot[name] @ DZDECOMP for name in COLUMN_TOTALS[total]], axis=0))
        _write_physics(writer, physics)
        writer.column("cannsum_npp", snapshot["cannsum_npp"])
        _write_attributes(dataset, segment.case, inputs)
        writer.fill()


class _Writer:
    """Defines all variables first and writes the data afterwards."""

    def __init__(self, dataset: netCDF4.Dataset, inputs: RunInputs) -> None:
        self._dataset = dataset
        self.inputs = inputs
        self.ncells = inputs.domain.ncells
        self._pending: list[tuple[netCDF4.Variable, np.ndarray]] = []
        for name in _BY_CELL:
            dataset.createDimension(name, self.ncells)
        dataset.createDimension("pft", self.ncells * NATPFT)
        for name, size in _DIMS.items():
            dataset.createDimension(name, size)

    def fill(self) -> None:
        """Writes the data of all variables defined so far."""
        for variable, values in self._pending:
            variable[...] = values

    def define(
        self, name: str, dims: tuple[str, ...], values: np.ndarray, flag: int = 1, **attributes: Any
    ) -> None:
        """Defines a variable and keeps its values for `fill`."""
        kind, missing = ("i4", np.int32(FILL_INT)) if values.dtype.kind in "iu" else ("f8", FILL_DOUBLE)
        variable = add_variable(self._dataset, name, kind, dims, fill=missing, **attributes)
        variable.setncatts({"interpinic_flag": np.int32(flag), "interpinic_flag_meanings": _FLAG})
        if dims in (("column", "levgrnd"), ("column", "levtot")):
            variable.setncatts(_SWITCH)
        variable.missing_value = missing
        self._pending.append((variable, values))

    def scalar(self, name: str, value: int, flag: int, long_name: str) -> None:
        self.define(name, (), np.array(value, dtype=np.int32), flag, long_name=long_name)

    def patch(self, name: str, values: np.ndarray, **attributes: Any) -> None:
        self.define(name, ("pft",), np.ascontiguousarray(values).reshape(-1), **attributes)

    def column(self, name: str, values: np.ndarray, **attributes: Any) -> None:
        self.define(name, ("column",), values, **attributes)

    def layer(self, name: str, values: np.ndarray, *, everywhere: bool = False) -> None:
        """A layered variable; layers below the active ones are 0, or repeat the last one."""
        full = np.zeros((self.ncells, NLEVGRND))
        full[:, :NLEVDECOMP] = values
        if everywhere:
            full[:, NLEVDECOMP:] = values[:, -1:]
        self.define(name, ("column", "levgrnd"), full)

    def time(self, year: int, start_year: int) -> None:
        start, now = start_year * 10000 + 101, year * 10000 + 101
        stamps = {"nstep_rad_prev": 0, "type": 1, "step_sec": 0, "start_ymd": start, "start_tod": 0}
        stamps |= {"ref_ymd": start, "ref_tod": 0, "curr_ymd": now, "curr_tod": 0}
        for name, value in stamps.items():
            self.scalar(f"timemgr_rst_{name}", value, 3, name.replace("_", " "))

    def subgrid(self) -> None:
        """Index variables: one topounit, landunit and column and 17 patches in each cell."""
        domain, cover = self.inputs.domain, self.inputs.site.cover.reshape(-1)
        jxy, ixy = ((index + 1).astype(np.int32) for index in np.divmod(domain.row, domain.shape[1]))
        cell = np.arange(1, self.ncells + 1, dtype=np.int32)
        where = {"lon": domain.lon, "lat": domain.lat, "ixy": ixy, "jxy": jxy}
        one, unit = np.ones(self.ncells), np.ones(self.ncells, dtype=np.int32)
        soil: dict[str, np.ndarray]
        soil = {"ityplun": unit * LANDUNIT_SOIL, "active": unit, "wtxy": one, "wttopounit": one}
        pft = np.tile(np.arange(NATPFT, dtype=np.int32), self.ncells)
        types = {
            "itypveg": pft,
            "itypcol": np.full_like(pft, COLUMN_SOIL),
            "ityplun": np.full_like(pft, LANDUNIT_SOIL),
            "active": (cover > 0.0).astype(np.int32),
        }
        index = {f"{level}_index": np.repeat(cell, NATPFT) for level in _BY_CELL}
        in_cell, in_topounit = {"gridcell_index": cell}, {"topounit_index": cell}
        groups: tuple[tuple[str, str, dict[str, np.ndarray]], ...] = (
            ("grid1d", "gridcell", where),
            ("topo1d", "topounit", where | in_cell),
            ("land1d", "landunit", where | in_cell),
            ("cols1d", "column", where | in_cell),
            ("land1d", "landunit", in_topounit | soil),
            ("cols1d", "column", in_topounit | soil),
            ("cols1d", "column", {"landunit_index": cell, "ityp": unit * COLUMN_SOIL, "wtlnd": one}),
            ("pfts1d", "pft", {name: np.repeat(values, NATPFT) for name, values in where.items()}),
            ("pfts1d", "pft", index | types | dict.fromkeys(("wtxy", "wtlnd", "wtcol", "wttopounit"), cover)),
        )
        for prefix, dim, variables in groups:
            for name, values in variables.items():
                self.define(f"{prefix}_{name}", (dim,), values, 3)


def _write_canopy(writer: _Writer, snapshot: Snapshot, height_factor: float) -> None:
    parameters = writer.inputs.site.parameters
    tlai = leaf_area(snapshot["leafc"], *parameters.specific_leaf_area())
    form = growth_form(parameters.per_pft("woody"))
    htop, hbot = canopy_height(snapshot["deadstemc"] * height_factor, tlai, form)
    plant = np.arange(NATPFT) > 0
    tsai = np.where(plant, 0.5, 0.0) * np.ones_like(tlai)
    for name, values, units in (
        ("tlai", tlai, "1"), ("tsai", tsai, "1"), ("elai", tlai, "m^2/m^2"), ("esai", tsai, "m^2/m^2"),
        ("htop", htop * plant, "m"), ("hbot", hbot * plant, "m"),
    ):  # fmt: skip
        writer.patch(name, values, units=units)


def _write_physics(writer: _Writer, physics: Physics) -> None:
    temperature = np.full((writer.ncells, _DIMS["levtot"]), TFRZ)
    temperature[:, _DIMS["levsno"] :] = physics["temperature"]
    thickness = np.concatenate([np.zeros(_DIMS["levsno"]), DZDECOMP, np.zeros(NLEVGRND - NLEVDECOMP)])
    water = physics["saturation"][:, None] * _SATURATED_WATER * thickness
    frozen = temperature < TFRZ
    column = ("column", "levtot")
    writer.define("T_SOISNO", column, temperature, units="K", long_name="soil-snow temperature")
    writer.define("H2OSOI_LIQ", column, np.where(frozen, 0.0, water), units="kg/m2", long_name="liquid water")
    writer.define("H2OSOI_ICE", column, np.where(frozen, water, 0.0), units="kg/m2", long_name="ice lens")
    for name, attributes in _PHYSICS.items():
        writer.column(name, physics[name], **attributes)
    writer.column("annsum_counter", np.zeros(writer.ncells))
    writer.layer("T_SCALAR", physics["T_SCALAR"])


def _write_attributes(dataset: netCDF4.Dataset, case: str, inputs: RunInputs) -> None:
    attributes: dict[str, object] = {
        "Conventions": "CF-1.0",
        "history": "created by the embedded land model",
        "username": "phase",
        "host": "embedded",
        "version": code_version(),
        "source": "embedded land model, reduced-complexity ELM; not an initial state for ELM itself",
        "revision_id": "embedded",
        "case_title": "embedded land model",
        "case_id": case,
        "surface_dataset": inputs.surface_path.name,
        "title": "ELM Restart information",
        "created_glacier_mec_landunits": "false",
    }
    attributes |= {f"ipft_{name}": np.int32(i) for i, name in enumerate(PFT_NAMES)}
    attributes |= {"cft_lb": np.int32(NATPFT), "cft_ub": np.int32(NATPFT - 1)}
    attributes |= {f"{kind}_vegetated_or_bare_soil": np.int32(value) for kind, value in _SOIL_TYPES}
    dataset.setncatts(attributes)


def read_restart(path: Path, inputs: RunInputs, *, spinup_state: int, mortality_factor: float) -> Snapshot:
    """Reads a restart as ELM reads its `finidat`, with ELM's checks and its change of mode.

    Args:
        path: restart.
        inputs: cells and surface data of the run that starts.
        spinup_state: of the run that starts.
        mortality_factor: of the run that starts.

    Raises:
        InputError: dimensions, cascade, PFT weights or cells differ, or a pool is missing.
    """
    with open_dataset(path) as dataset:
        _check_dims(path, dataset, inputs)
        header, subgrid = restart_header(path, dataset), read_subgrid(path, dataset)
        cascade = int(np.asarray(get_variable(path, dataset, "decomp_cascade_state")[...]))
        if cascade != CASCADE_CTC:
            what = f"decomp_cascade_state mismatch: restart has {cascade}"
            remedy = "use a restart of the CTC cascade"
            raise InputError(path, what, expected=str(CASCADE_CTC), remedy=remedy)
        if not (
            np.allclose(subgrid.lat, inputs.domain.lat, atol=1e-4)
            and np.all(np.abs((subgrid.lon - inputs.domain.lon + 180.0) % 360.0 - 180.0) < 1e-4)
        ):
            what = "grid1d_lat, grid1d_lon: other cells than the domain's"
            raise InputError(path, what, expected=str(inputs.domain.path))
        _check_weights(path, subgrid.cover, inputs)
        soil = subgrid.soil
        snapshot: Snapshot = {}
        for name in PATCH_NAMES:
            values = get_variable(path, dataset, name, dims=("pft",))[:]
            snapshot[name] = np.asarray(values, dtype=np.float64)[soil.patch]
        snapshot |= {name: _layer(path, dataset, name, soil.column) for name in LAYER_NAMES}
        npp = np.asarray(get_variable(path, dataset, "cannsum_npp")[:])
        snapshot["cannsum_npp"] = npp[soil.column]
    written = spinup_state if header.spinup_state is None else header.spinup_state
    if written != spinup_state:
        change_mode(snapshot, inputs.site, leaving=written == SPINUP_AD, mortality_factor=mortality_factor)
    return snapshot


def _check_dims(path: Path, dataset: netCDF4.Dataset, inputs: RunInputs) -> None:
    ncells = inputs.domain.ncells
    expected = dict.fromkeys(_BY_CELL, ncells) | {"pft": ncells * NATPFT}
    expected |= {name: _DIMS[name] for name in ("levsno", "levgrnd", "levurb", "levlak")}
    for name, size in expected.items():
        on_file = dataset.dimensions[name].size if name in dataset.dimensions else 0
        if on_file != size:
            what = f"check_dim: mismatch of dimension {name}: {on_file}"
            remedy = "start from a restart of the same domain and surface data"
            raise InputError(path, what, expected=str(size), remedy=remedy)


def _check_weights(path: Path, cover: np.ndarray, inputs: RunInputs) -> None:
    total = cover.sum(axis=1)
    if np.any(np.abs(total - 1.0) > WEIGHT_SUM_TOLERANCE):
        cell = int(np.argmax(np.abs(total - 1.0)))
        raise InputError(path, f"total PFT weight is {float(total[cell])!r} in cell {cell + 1}", expected="1")
    difference = np.abs(cover - inputs.site.cover)
    if np.any(difference > PFT_WEIGHT_TOLERANCE):
        worst, pft = np.unravel_index(int(np.argmax(difference)), difference.shape)
        where = f"pfts1d_wtlnd of PFT {pft} in cell {worst + 1}"
        what = f"{where} differs by {difference.max():.4f} from PCT_NAT_PFT"
        remedy = "use the surface data that the restart was made with"
        raise InputError(path, what, expected=f"at most {PFT_WEIGHT_TOLERANCE}", remedy=remedy)


def _layer(path: Path, dataset: netCDF4.Dataset, name: str, rows: np.ndarray) -> np.ndarray:
    values = np.asarray(get_variable(path, dataset, name, dims=("column", "levgrnd"))[:], dtype=np.float64)
    layers = values[rows, :NLEVDECOMP]
    if name != "scalaravg_col" and np.any(np.abs(layers) >= FILL_THRESHOLD):
        cell, level = np.argwhere(np.abs(layers) >= FILL_THRESHOLD)[0]
        raise InputError(path, f"{name} is fill in cell {cell + 1}, layer {level + 1}", expected="a value")
    return layers
