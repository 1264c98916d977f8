"""Restarts of the embedded model: ELM's names, dimensions, index variables, attributes and scalars, CDF-5.

Physics variables hold what the forcing's cycle gives on that day. A file of this model is no initial
state for the real ELM (a global attribute says so), but any tool that reads ELM restarts reads it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

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
    SPINUP_NORMAL,
    TFRZ,
    WEIGHT_SUM_TOLERANCE,
)
from phase_lib.elm.netcdf import create_dataset, get_variable, open_dataset, room_for_header
from phase_lib.elm.restart import restart_header
from phase_lib.elm.soil_grid import DZDECOMP, NLEVDECOMP, NLEVGRND
from phase_lib.elm.subgrid import read_subgrid
from phase_lib.elm.variables import COLUMN_TOTALS, TOTVEGC_POOLS, TRUNCATION_LAYER, TRUNCATION_PATCH
from phase_lib.landmodel.embedded.inputs import RunInputs
from phase_lib.landmodel.embedded.snapshot import Snapshot, change_mode, layer_names, patch_names

_DIMS = {
    "levgrnd": NLEVGRND, "levurb": 5, "levlak": 10, "levsno": 5, "levsno1": 6, "levtot": 20,
    "numrad": 2, "levcan": 1, "string_length": 64, "levtrc": 10, "month": 12,
}  # fmt: skip
_FLAG = "1=nearest neighbor, 2=copy directly, 3=skip"
#: Totals that real restarts of the CNP configuration hold.
_COLUMN_TOTALS = ("totlitc", "totsomc", "totlitp", "totsomp", "cwdp")
#: Water of saturated soil at a porosity of 0.45, kg m-3.
_SATURATED_WATER = 450.0


@dataclass(frozen=True)
class Physics:
    """Physical state on the day of the restart.

    Attributes:
        temperature: soil temperature (cell, levgrnd), K.
        saturation: soil water over saturation (cell).
        snow: snow water (cell), mm.
        t_scalar: (cell, levdecomp).
        altmax, altmax_lastyear: (cell), m.
        annual_air: mean air temperature of the last year (cell), K.
    """

    temperature: np.ndarray
    saturation: np.ndarray
    snow: np.ndarray
    t_scalar: np.ndarray
    altmax: np.ndarray
    altmax_lastyear: np.ndarray
    annual_air: np.ndarray


def write_restart(
    path: Path,
    case: str,
    year: int,
    start_year: int,
    spinup_state: int,
    snapshot: Snapshot,
    physics: Physics,
    inputs: RunInputs,
    mortality_factor: float,
) -> None:
    """Writes a restart of the first of January of `year`.

    Args:
        path: file to write.
        case: case name, for the attributes.
        year: model year that begins.
        start_year: first year of the run.
        spinup_state: 0 normal, 1 AD.
        snapshot: biogeochemical state.
        physics: physical state.
        inputs: cells and surface data.
        mortality_factor: `spinup_mortality_factor`, which canopy height in AD needs.
    """
    with create_dataset(path, "NETCDF3_64BIT_DATA") as dataset:
        writer = _Writer(dataset, inputs)
        with room_for_header(dataset):
            writer.time(year, start_year)
        writer.subgrid()
        writer.scalar(
            "spinup_state",
            spinup_state,
            2,
            "Spinup state of the model that wrote this restart file: 0 = normal model mode, 1 = AD spinup",
        )
        writer.scalar(
            "decomp_cascade_state",
            CASCADE_CTC,
            3,
            "decomposition cascade and nitrification of the model that wrote this file",
        )
        for name in patch_names():
            writer.patch(name, snapshot.patch[name])
        for name in layer_names():
            writer.layer(name, snapshot.layer[name], everywhere=name == "scalaravg_col")
        writer.layer("sminn_vr", snapshot.layer["smin_no3_vr"] + snapshot.layer["smin_nh4_vr"])
        for name in TRUNCATION_LAYER:
            writer.layer(name, np.zeros((writer.ncells, NLEVDECOMP)))
        for name in TRUNCATION_PATCH:
            writer.patch(name, np.zeros((writer.ncells, NATPFT)))
        height_factor = mortality_factor if spinup_state == SPINUP_AD else 1.0
        _write_canopy(writer, snapshot, height_factor)
        _write_totals(writer, snapshot)
        _write_physics(writer, physics)
        writer.column("cannsum_npp", snapshot.column["cannsum_npp"])
        _write_attributes(dataset, case, inputs)
        writer.fill()


class _Writer:
    """Defines all variables first and writes the data afterwards."""

    def __init__(self, dataset: netCDF4.Dataset, inputs: RunInputs) -> None:
        self._dataset = dataset
        self._inputs = inputs
        self.ncells = inputs.domain.ncells
        self._pending: list[Callable[[], None]] = []
        for name in ("gridcell", "topounit", "landunit", "column"):
            dataset.createDimension(name, self.ncells)
        dataset.createDimension("pft", self.ncells * NATPFT)
        for name, size in _DIMS.items():
            dataset.createDimension(name, size)

    def fill(self) -> None:
        """Writes the data of all variables defined so far."""
        for write in self._pending:
            write()

    def define(
        self, name: str, dims: tuple[str, ...], values: np.ndarray, flag: int = 1, **attributes: str | None
    ) -> None:
        """Defines a variable and keeps its values for `fill`."""
        integer = values.dtype.kind in "iu"
        kind, missing = ("i4", np.int32(FILL_INT)) if integer else ("f8", FILL_DOUBLE)
        variable = self._dataset.createVariable(name, kind, dims, fill_value=missing)
        for key, text in attributes.items():
            if text is not None:
                variable.setncattr(key, text)
        variable.interpinic_flag = np.int32(flag)
        variable.interpinic_flag_meanings = _FLAG
        if dims == ("column", "levgrnd") or dims == ("column", "levtot"):
            variable.switchdim_flag = np.int32(1)
            variable.switchdim_flag_values = np.array([0, 1], dtype=np.int32)
            variable.switchdim_flag_is_0 = "1st and 2nd dims are same as model representation"
            variable.switchdim_flag_is_1 = "1st and 2nd dims are switched from model representation"
        variable.missing_value = missing

        def write() -> None:
            variable[...] = values

        self._pending.append(write)

    def scalar(self, name: str, value: int, flag: int, long_name: str) -> None:
        self.define(name, (), np.array(value, dtype=np.int32), flag, long_name=long_name)

    def patch(self, name: str, values: np.ndarray, units: str | None = None) -> None:
        self.define(name, ("pft",), np.ascontiguousarray(values).reshape(-1), units=units)

    def column(self, name: str, values: np.ndarray, units: str | None = None) -> None:
        self.define(name, ("column",), values, units=units)

    def layer(self, name: str, values: np.ndarray, *, everywhere: bool = False) -> None:
        """A layered variable; layers below the active ones are 0, or repeat the last one."""
        full = np.zeros((self.ncells, NLEVGRND))
        full[:, :NLEVDECOMP] = values
        if everywhere:
            full[:, NLEVDECOMP:] = values[:, -1:]
        self.define(name, ("column", "levgrnd"), full)

    def time(self, year: int, start_year: int) -> None:
        stamps = {
            "nstep_rad_prev": 0,
            "type": 1,
            "step_sec": 0,
            "start_ymd": start_year * 10000 + 101,
            "start_tod": 0,
            "ref_ymd": start_year * 10000 + 101,
            "ref_tod": 0,
            "curr_ymd": year * 10000 + 101,
            "curr_tod": 0,
        }
        for name, value in stamps.items():
            self.scalar(f"timemgr_rst_{name}", value, 3, name.replace("_", " "))

    def subgrid(self) -> None:
        """Index variables: one topounit, landunit and column and 17 patches in every cell."""
        domain, cover = self._inputs.domain, self._inputs.site.cover
        ni = domain.shape[1]
        cell = np.arange(1, self.ncells + 1, dtype=np.int32)
        where = {
            "lon": domain.lon, "lat": domain.lat,
            "ixy": (domain.row % ni + 1).astype(np.int32), "jxy": (domain.row // ni + 1).astype(np.int32),
        }  # fmt: skip
        one, unit = np.ones(self.ncells), np.ones(self.ncells, dtype=np.int32)
        for prefix, dim in (
            ("grid1d", "gridcell"),
            ("topo1d", "topounit"),
            ("land1d", "landunit"),
            ("cols1d", "column"),
        ):
            for name, values in where.items():
                self.define(f"{prefix}_{name}", (dim,), values, 3)
            if prefix != "grid1d":
                self.define(f"{prefix}_gridcell_index", (dim,), cell, 3)
        for prefix, dim in (("land1d", "landunit"), ("cols1d", "column")):
            self.define(f"{prefix}_topounit_index", (dim,), cell, 3)
            self.define(f"{prefix}_ityplun", (dim,), unit * LANDUNIT_SOIL, 3)
            self.define(f"{prefix}_active", (dim,), unit, 3)
            for weight in ("wtxy", "wttopounit"):
                self.define(f"{prefix}_{weight}", (dim,), one, 3)
        self.define("cols1d_landunit_index", ("column",), cell, 3)
        self.define("cols1d_ityp", ("column",), unit * COLUMN_SOIL, 3)
        self.define("cols1d_wtlnd", ("column",), one, 3)
        for name, values in where.items():
            self.define(f"pfts1d_{name}", ("pft",), np.repeat(values, NATPFT), 3)
        for level in ("gridcell", "topounit", "landunit", "column"):
            self.define(f"pfts1d_{level}_index", ("pft",), np.repeat(cell, NATPFT), 3)
        flat = cover.reshape(-1)
        self.define("pfts1d_itypveg", ("pft",), np.tile(np.arange(NATPFT, dtype=np.int32), self.ncells), 3)
        self.define("pfts1d_itypcol", ("pft",), np.full(flat.size, COLUMN_SOIL, dtype=np.int32), 3)
        self.define("pfts1d_ityplun", ("pft",), np.full(flat.size, LANDUNIT_SOIL, dtype=np.int32), 3)
        self.define("pfts1d_active", ("pft",), (flat > 0.0).astype(np.int32), 3)
        for weight in ("wtxy", "wtlnd", "wtcol", "wttopounit"):
            self.define(f"pfts1d_{weight}", ("pft",), flat, 3)


def _write_canopy(writer: _Writer, snapshot: Snapshot, height_factor: float) -> None:
    parameters = writer._inputs.site.parameters
    tlai = leaf_area(snapshot.patch["leafc"], *parameters.specific_leaf_area())
    form = growth_form(parameters.per_pft("woody"))
    htop, hbot = canopy_height(snapshot.patch["deadstemc"] * height_factor, tlai, form)
    plant = np.arange(NATPFT) > 0
    tsai = np.where(plant, 0.5, 0.0) * np.ones_like(tlai)
    for name, values, units in (
        ("tlai", tlai, "1"), ("tsai", tsai, "1"), ("elai", tlai, "m^2/m^2"), ("esai", tsai, "m^2/m^2"),
        ("htop", htop * plant, "m"), ("hbot", hbot * plant, "m"),
    ):  # fmt: skip
        writer.patch(name, values, units=units)


def _write_totals(writer: _Writer, snapshot: Snapshot) -> None:
    writer.patch("totvegc", np.sum([snapshot.patch[name] for name in TOTVEGC_POOLS], axis=0))
    for total in _COLUMN_TOTALS:
        writer.column(
            total, np.sum([snapshot.layer[name] @ DZDECOMP for name in COLUMN_TOTALS[total]], axis=0)
        )


def _write_physics(writer: _Writer, physics: Physics) -> None:
    ncells = writer.ncells
    temperature = np.full((ncells, _DIMS["levtot"]), TFRZ)
    temperature[:, _DIMS["levsno"] :] = physics.temperature
    thickness = np.concatenate([np.zeros(_DIMS["levsno"]), DZDECOMP, np.zeros(NLEVGRND - NLEVDECOMP)])
    water = physics.saturation[:, None] * _SATURATED_WATER * thickness
    frozen = temperature < TFRZ
    column = ("column", "levtot")
    writer.define("T_SOISNO", column, temperature, units="K", long_name="soil-snow temperature")
    writer.define("H2OSOI_LIQ", column, np.where(frozen, 0.0, water), units="kg/m2", long_name="liquid water")
    writer.define("H2OSOI_ICE", column, np.where(frozen, water, 0.0), units="kg/m2", long_name="ice lens")
    writer.column("H2OSNO", physics.snow, units="kg/m2")
    writer.column("altmax", physics.altmax, units="m")
    writer.column("altmax_lastyear", physics.altmax_lastyear, units="m")
    writer.column("cannavg_t2m", physics.annual_air)
    writer.column("annsum_counter", np.zeros(ncells))
    writer.layer("T_SCALAR", physics.t_scalar)


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
    attributes |= {
        "icol_vegetated_or_bare_soil": np.int32(COLUMN_SOIL),
        "ilun_vegetated_or_bare_soil": np.int32(LANDUNIT_SOIL),
    }
    for name, value in attributes.items():
        dataset.setncattr(name, value)


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
            raise InputError(
                path,
                f"decomp_cascade_state mismatch: restart has {cascade}",
                expected=str(CASCADE_CTC),
                remedy="use a restart of the CTC cascade",
            )
        if not (
            np.allclose(subgrid.lat, inputs.domain.lat, atol=1e-4)
            and np.all(np.abs((subgrid.lon - inputs.domain.lon + 180.0) % 360.0 - 180.0) < 1e-4)
        ):
            raise InputError(
                path,
                "grid1d_lat, grid1d_lon: other cells than the domain's",
                expected=str(inputs.domain.path),
            )
        _check_weights(path, subgrid.cover, inputs)
        soil = subgrid.soil
        patch = {name: _patch(path, dataset, name, soil.patch) for name in patch_names()}
        layer = {name: _layer(path, dataset, name, soil.column) for name in layer_names()}
        column = {"cannsum_npp": np.asarray(get_variable(path, dataset, "cannsum_npp")[:])[soil.column]}
    snapshot = Snapshot(patch, layer, column)
    written = spinup_state if header.spinup_state is None else header.spinup_state
    if written != spinup_state:
        change_mode(snapshot, inputs.site, leaving=written == SPINUP_AD, mortality_factor=mortality_factor)
    return snapshot


def _check_dims(path: Path, dataset: netCDF4.Dataset, inputs: RunInputs) -> None:
    ncells = inputs.domain.ncells
    expected = {
        "gridcell": ncells,
        "topounit": ncells,
        "landunit": ncells,
        "column": ncells,
        "pft": ncells * NATPFT,
    }
    expected |= {name: _DIMS[name] for name in ("levsno", "levgrnd", "levurb", "levlak")}
    for name, size in expected.items():
        found = dataset.dimensions[name].size if name in dataset.dimensions else 0
        if found != size:
            raise InputError(
                path,
                f"check_dim: mismatch of dimension {name}: {found}",
                expected=str(size),
                remedy="start from a restart of the same domain and surface data",
            )


def _check_weights(path: Path, cover: np.ndarray, inputs: RunInputs) -> None:
    total = cover.sum(axis=1)
    if np.any(np.abs(total - 1.0) > WEIGHT_SUM_TOLERANCE):
        cell = int(np.argmax(np.abs(total - 1.0)))
        raise InputError(path, f"total PFT weight is {float(total[cell])!r} in cell {cell + 1}", expected="1")
    difference = np.abs(cover - inputs.site.cover)
    if np.any(difference > PFT_WEIGHT_TOLERANCE):
        worst, pft = np.unravel_index(int(np.argmax(difference)), difference.shape)
        raise InputError(
            path,
            f"pfts1d_wtlnd of PFT {pft} in cell {worst + 1} differs by {difference.max():.4f} "
            "from PCT_NAT_PFT",
            expected=f"at most {PFT_WEIGHT_TOLERANCE}",
            remedy="use the surface data that the restart was made with",
        )


def _patch(path: Path, dataset: netCDF4.Dataset, name: str, rows: np.ndarray) -> np.ndarray:
    return np.asarray(get_variable(path, dataset, name, dims=("pft",))[:], dtype=np.float64)[rows]


def _layer(path: Path, dataset: netCDF4.Dataset, name: str, rows: np.ndarray) -> np.ndarray:
    values = np.asarray(get_variable(path, dataset, name, dims=("column", "levgrnd"))[:], dtype=np.float64)
    layers = values[rows, :NLEVDECOMP]
    if name != "scalaravg_col" and np.any(np.abs(layers) >= FILL_THRESHOLD):
        cell, level = np.argwhere(np.abs(layers) >= FILL_THRESHOLD)[0]
        raise InputError(path, f"{name} is fill in cell {cell + 1}, layer {level + 1}", expected="a value")
    return layers


def spinup_flag(mode: str) -> int:
    """`spinup_state` of a mode."""
    return SPINUP_AD if mode == "ad" else SPINUP_NORMAL
