"""Small, irregular land-model files written by hand, so that nothing can be read by position."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import netCDF4
import numpy as np

from phase_lib.config.fusion import FusionSettings
from phase_lib.config.targets import TargetSettings
from phase_lib.elm.soil_budget import BUDGET_FIELDS, CONTENTS
from phase_lib.elm.variables import POOL_VARIABLES
from phase_lib.forcing.variables import FORCING
from phase_lib.fusion.fuse import fuse
from phase_lib.landmodel.domain import Domain
from tests.helpers.units import surface_units

NPFT = 17
MORTALITY = 10.0
#: What the parameter file below gives: max(1, 1 / (365 k)), CWD 0.5 / (365 k).
F_SOIL3, F_SOIL4, F_CWD = 1.95557698, 27.39589039, 1.36917797


@dataclass
class Grid:
    """Cells in restart order, with cover and a value that tells every patch and layer apart."""

    lat: np.ndarray
    lon: np.ndarray
    seed: int = 0
    cover: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.seed)
        weights = rng.random((len(self.lat), NPFT)) * (rng.random((len(self.lat), NPFT)) < 0.3)
        weights[:, 0] += 0.1
        self.cover = weights / weights.sum(axis=1, keepdims=True)

    @property
    def ncells(self) -> int:
        return len(self.lat)

    def patch_value(self, cell: np.ndarray, pft: np.ndarray, salt: float) -> np.ndarray:
        return salt + 10.0 * cell + pft / 20.0

    def layer_value(self, cell: np.ndarray, layer: np.ndarray, salt: float) -> np.ndarray:
        return salt + 100.0 * cell + layer


def shuffled_grid(nlat: int = 4, nlon: int = 6, seed: int = 0) -> Grid:
    """Cells of a coarse global grid in random order, longitudes in both conventions."""
    lat, lon = np.meshgrid(np.linspace(-60, 60, nlat), np.linspace(-170, 150, nlon), indexing="ij")
    order = np.random.default_rng(seed).permutation(lat.size)
    return Grid(lat.reshape(-1)[order], lon.reshape(-1)[order], seed)


def salt_of(name: str) -> float:
    """A number that tells variables apart."""
    return float(sum(ord(c) for c in name) % 97)


def write_restart(path: Path, grid: Grid, *, year: int, spinup_state: int, scale: float = 1.0) -> Path:
    """A restart with a lake column and shuffled columns and patches in it.

    Args:
        path: file to write.
        grid: cells.
        year: model year.
        spinup_state: flag.
        scale: factor on every pool, to tell restarts apart.
    """
    n = grid.ncells
    rng = np.random.default_rng(7)
    column_of = rng.permutation(2 * n)  # rows of the soil columns (first n), then of the lakes
    soil, lake = column_of[:n], column_of[n:]
    patch_row = rng.permutation(NPFT * n + n)
    natural, water = patch_row[: NPFT * n].reshape(n, NPFT), patch_row[NPFT * n :]
    with netCDF4.Dataset(path, "w", format="NETCDF3_64BIT_DATA") as nc:
        sizes = {"gridcell": n, "topounit": n, "landunit": 2 * n, "column": 2 * n}
        sizes |= {"pft": (NPFT + 1) * n, "levgrnd": 15}
        for dim, size in sizes.items():
            nc.createDimension(dim, size)

        def put(name: str, dims: tuple[str, ...], values: np.ndarray, fill: float | None = None) -> None:
            kind = "i4" if np.asarray(values).dtype.kind == "i" else "f8"
            nc.createVariable(name, kind, dims, fill_value=fill)[...] = values

        put("timemgr_rst_start_ymd", (), np.int32(10101))
        put("timemgr_rst_curr_ymd", (), np.int32(year * 10000 + 101))
        put("spinup_state", (), np.int32(spinup_state))
        put("grid1d_lat", ("gridcell",), grid.lat)
        put("grid1d_lon", ("gridcell",), grid.lon)
        cells = np.arange(n)

        def columns(on_soil: np.ndarray, on_lake: np.ndarray) -> np.ndarray:
            values = np.empty(2 * n, dtype=np.asarray(on_soil).dtype)
            values[soil], values[lake] = on_soil, on_lake
            return values

        put("cols1d_gridcell_index", ("column",), columns(cells + 1, cells + 1).astype("i4"))
        put("cols1d_topounit_index", ("column",), columns(cells + 1, cells + 1).astype("i4"))
        put("cols1d_ityplun", ("column",), columns(np.full(n, 1), np.full(n, 5)).astype("i4"))
        put("cols1d_ityp", ("column",), columns(np.full(n, 1), np.full(n, 5)).astype("i4"))
        put("cols1d_wtxy", ("column",), columns(np.full(n, 0.9), np.full(n, 0.1)))

        def patches(on_soil: np.ndarray, on_lake: np.ndarray) -> np.ndarray:
            values = np.empty((NPFT + 1) * n, dtype=np.asarray(on_soil).dtype)
            values[natural], values[water] = on_soil, on_lake
            return values

        pft = np.broadcast_to(np.arange(NPFT), (n, NPFT))
        cell = np.broadcast_to(cells[:, None], (n, NPFT))
        put("pfts1d_column_index", ("pft",), patches(soil[:, None] + 1 + 0 * pft, lake + 1).astype("i4"))
        put("pfts1d_itypveg", ("pft",), patches(pft, np.zeros(n, dtype=int)).astype("i4"))
        put("pfts1d_ityplun", ("pft",), patches(0 * pft + 1, np.full(n, 5)).astype("i4"))
        put("pfts1d_wtcol", ("pft",), patches(grid.cover, np.ones(n)))

        names = [*POOL_VARIABLES, "tlai", "annsum_npp", "scalaravg_col", "T_SCALAR"]
        for name in names:
            pool = POOL_VARIABLES.get(name)
            if (pool is not None and pool.level == "patch") or name in ("tlai", "annsum_npp"):
                values = grid.patch_value(cell, pft, salt_of(name)) * scale
                values = values / 1000.0 if name == "tlai" else values
                values = np.where(grid.cover > 0.0, values, 7777.0)  # cold-start constants
                put(name, ("pft",), patches(values, np.full(n, 1.0e36)), fill=1.0e36)
            else:
                layer = np.broadcast_to(np.arange(15), (n, 15))
                values = grid.layer_value(np.arange(n)[:, None], layer, salt_of(name)) * scale
                if name == "scalaravg_col":
                    values = np.full((n, 15), 0.005)
                elif name == "T_SCALAR":
                    values = np.full((n, 15), 0.5)
                else:
                    values = np.where(layer < 10, values, 0.0)
                both = np.empty((2 * n, 15))
                both[soil], both[lake] = values, 0.0
                put(name, ("column", "levgrnd"), both, fill=1.0e36)
    return path


def write_history(
    path: Path, grid: Grid, *, start: int, years: list[float], origin: str = "0001-01-01"
) -> Path:
    """Annual means on a 1-D grid in an order of its own: GPP of a cell in sample i is cell + years[i]."""
    n = grid.ncells
    order = np.random.default_rng(3).permutation(n)
    with netCDF4.Dataset(path, "w") as nc:
        for dim, size in {"time": None, "hist_interval": 2, "lndgrid": n}.items():
            nc.createDimension(dim, size)
        time = nc.createVariable("time", "f8", ("time",))
        time.units, time.calendar = f"days since {origin} 00:00:00", "noleap"
        bounds = nc.createVariable("time_bounds", "f8", ("time", "hist_interval"))
        first = 365.0 * (start - int(origin[:4]))
        for i in range(len(years)):
            bounds[i] = (first + 365.0 * i, first + 365.0 * (i + 1))
            time[i] = bounds[i, 1]
        for name, values in {
            "lat": grid.lat[order],
            "lon": grid.lon[order] % 360.0,
            "area": 1000.0 + order,
            "landfrac": np.full(n, 0.8),
            "landmask": np.ones(n),
        }.items():
            nc.createVariable(name, "f4", ("lndgrid",))[:] = values
        nc["area"].units = "km^2"
        for name, factor in {"GPP": 4.0, "NPP": 2.0, "AR": 2.0, "HR": 1.0}.items():
            variable = nc.createVariable(name, "f4", ("time", "lndgrid"), fill_value=1.0e36)
            variable.units = "gC/m^2/s"
            for i, year in enumerate(years):
                variable[i] = factor * (order + year) / (365.0 * 86400.0)
    return path


def add_soil_budget(given: Domain, growth: float, lost: float) -> None:
    """Adds the carbon budget of the soil to restart and history of the input.

    Contents grow by a share `growth` of those of the restart each year, and a share `lost` of these decays.
    Nothing mixes.
    """
    assert given.restart is not None
    with netCDF4.Dataset(given.restart, "r+") as nc:
        for name in ("altmax", "altmax_lastyear"):
            nc.createVariable(name, "f8", ("column",))[:] = 0.0
        soil = np.flatnonzero(nc["cols1d_ityp"][:] == 1)
        soil = soil[np.argsort(nc["cols1d_gridcell_index"][:][soil])]
        ends = {name: nc[name][:][soil] for name in POOL_VARIABLES if name.endswith("c_vr")}
        share = nc["cols1d_wtxy"][:][soil][:, None]
    with netCDF4.Dataset(given.history[0], "r+") as nc:
        order = np.random.default_rng(3).permutation(len(soil))  # as the history has its cells
        nc.createDimension("levdcmp", 15)
        years = np.arange(nc.dimensions["time"].size) + 0.5
        for name, (units,) in BUDGET_FIELDS.items():
            variable = nc.createVariable(name, "f4", ("time", "levdcmp", "lndgrid"), fill_value=1.0e36)
            variable.units = units
            pool = name.split("_")[0].lower().removesuffix("c")
            end = ends[f"{pool}c_vr"]
            if name in CONTENTS:
                grown = 1.0 + growth * (years - len(years))
                variable[:] = grown[:, None, None] * (share * end)[order].T
            elif name.endswith("_HR_vr") or name == "CWDC_TO_LITR2C_vr":
                variable[:] = np.broadcast_to(lost * end[order].T / (365.0 * 86400.0), variable.shape)
            else:
                variable[:] = np.zeros(variable.shape)


def add_turnover(given: Domain, fluxes: Mapping[str, float], units: str = "gN/m^2/s") -> None:
    """Adds fluxes to the history of the input: field -> its value everywhere and always."""
    with netCDF4.Dataset(given.history[0], "r+") as nc:
        for name, value in fluxes.items():
            variable = nc.createVariable(name, "f8", ("time", "lndgrid"), fill_value=1.0e36)
            variable.units = units
            variable[:] = value


def write_surface(path: Path, grid: Grid) -> Path:
    """A 2-D surface file on the full lat-lon grid, longitudes 0-360."""
    lats, lons = np.unique(grid.lat), np.unique(grid.lon % 360.0)
    j, i = np.searchsorted(lats, grid.lat), np.searchsorted(lons, grid.lon % 360.0)
    shape = (len(lats), len(lons))
    with netCDF4.Dataset(path, "w", format="NETCDF3_64BIT_DATA") as nc:
        for dim, size in {"lsmlat": shape[0], "lsmlon": shape[1], "natpft": NPFT, "nlevsoi": 10}.items():
            nc.createDimension(dim, size)

        def put(name: str, values: np.ndarray, level: tuple[str, ...] = ()) -> None:
            full = np.full((*values.shape[1:], *shape), 0.0)
            full[..., j, i] = np.moveaxis(values, 0, -1)
            variable = nc.createVariable(name, "f8", (*level, "lsmlat", "lsmlon"))
            variable.units = surface_units(name)
            variable[:] = full

        cells = np.arange(grid.ncells, dtype=float)
        layers = cells[:, None] % 40 + np.arange(10)
        nc.createVariable("LATIXY", "f8", ("lsmlat", "lsmlon"))[:] = np.repeat(
            lats[:, None], shape[1], axis=1
        )
        nc.createVariable("LONGXY", "f8", ("lsmlat", "lsmlon"))[:] = np.repeat(lons[None], shape[0], axis=0)
        put("LANDFRAC_PFT", np.full(grid.ncells, 0.8))
        put("AREA", 1000.0 + cells)
        put("PCT_NATVEG", np.full(grid.ncells, 90.0))
        put("SOIL_COLOR", 1.0 + cells % 20)
        put("SOIL_ORDER", cells % 16)
        for k, name in enumerate(("LABILE_P", "SECONDARY_P", "OCCLUDED_P", "APATITE_P")):
            put(name, 5.0 + cells + k)
        put("PCT_NAT_PFT", 100.0 * grid.cover, ("natpft",))
        put("PCT_SAND", layers, ("nlevsoi",))
        put("PCT_CLAY", layers / 2, ("nlevsoi",))
        put("ORGANIC", layers * 2, ("nlevsoi",))
    return path


def write_params(path: Path) -> Path:
    """Rates of the CTC cascade, its mixing, and a few PFT parameters, one with a missing value."""
    rates = {
        "k_l1": 1.2039728,
        "k_l2": 0.0725707,
        "k_l3": 0.0140989,
        "k_s1": 0.0725707,
        "k_s2": 0.0140989243,
        "k_s3": 0.0014009809,
        "k_s4": 0.000100005,
        "k_frag": 0.0010005003,
        "som_diffus": 3.171e-12,
        "cryoturb_diffusion_k": 1.5855e-11,
        "max_altdepth_cryoturbation": 2.0,
    }
    with netCDF4.Dataset(path, "w", format="NETCDF3_CLASSIC") as nc:
        nc.createDimension("pft", 25)
        nc.createDimension("allpfts", 1)
        for name, value in rates.items():
            nc.createVariable(name, "f8", ("allpfts",))[:] = value
        nc.createVariable("leafcn", "f8", ("pft",))[:] = 20.0 + np.arange(25)
        values = np.full(25, 0.03)
        values[3] = -999.0
        nc.createVariable("slatop", "f8", ("pft",), fill_value=-999.0)[:] = values
    return path


def write_forcing(path: Path, grid: Grid, years: int = 2) -> Path:
    """Monthly forcing with a seasonal cycle, cells in an order of their own."""
    order = np.random.default_rng(5).permutation(grid.ncells)
    month = np.arange(12 * years)
    season = np.sin(2.0 * np.pi * month / 12.0)
    base = {
        "FLDS": (300.0, 30.0),
        "PSRF": (9.0e4, 100.0),
        "FSDS": (200.0, 50.0),
        "QBOT": (0.01, 0.002),
        "PRECTmms": (5e-5, 1e-5),
        "TBOT": (280.0, 10.0),
    }
    with netCDF4.Dataset(path, "w") as nc:
        nc.createDimension("gridcell", grid.ncells)
        nc.createDimension("time", len(month))
        nc.createVariable("lat", "f8", ("gridcell",))[:] = grid.lat[order]
        nc.createVariable("lon", "f8", ("gridcell",))[:] = grid.lon[order]
        nc.createVariable("forcing_distance_km", "f8", ("gridcell",))[:] = 10.0
        nc.createVariable("forcing_lat", "f8", ("gridcell",))[:] = grid.lat[order]
        nc.createVariable("forcing_lon", "f8", ("gridcell",))[:] = grid.lon[order]
        nc.setncatts(
            {"kind": "datm", "product": "synthetic", "first_year": 1, "years": years, "align_year": 1}
        )
        for name, (mean, swing) in base.items():
            variable = nc.createVariable(name, "f4", ("gridcell", "time"))
            variable.units = FORCING[name][0]
            variable.step_hours = 3.0
            variable[:] = (mean + swing * season)[None] * (1.0 + 0.001 * (order[:, None] % 50))
    return path


def write_inputs(directory: Path, grid: Grid, reference_scale: float = 3.0) -> Domain:
    """All files that fusion takes: AD at year 21, the reference at year 1201."""
    directory.mkdir(parents=True, exist_ok=True)
    return Domain(
        mortality_factor=MORTALITY,
        restart=write_restart(directory / "ad.elm.r.0021-01-01-00000.nc", grid, year=21, spinup_state=1),
        history=(
            write_history(directory / "ad.elm.h0.0002-01-01-00000.nc", grid, start=1, years=[0.0] * 20),
        ),
        surface=write_surface(directory / "surfdata.nc", grid),
        params=write_params(directory / "clm_params.nc"),
        monthly=(write_forcing(directory / "monthly.nc", grid),),
        reference_restart=write_restart(
            directory / "reference.elm.r.1201-01-01-00000.nc",
            grid,
            year=1201,
            spinup_state=0,
            scale=reference_scale,
        ),
        reference_history=(
            write_history(
                directory / "reference.elm.h0.1182-01-01-00000.nc",
                grid,
                start=1181,
                years=[100.0] * 10 + [200.0] * 10,
            ),
        ),
        reference_ad_restart=write_restart(
            directory / "ad.elm.r.0401-01-01-00000.nc", grid, year=401, spinup_state=1
        ),
    )


def make_dataset(directory: Path, grid: Grid, preset: str = "paper", record_cells: int = 5) -> Path:
    """A whole dataset of synthetic cells; returns its directory."""
    given = write_inputs(directory / "inputs", grid)
    targets = TargetSettings.model_validate({"preset": preset})
    fuse(
        given,
        FusionSettings(record_cells=record_cells),
        targets,
        directory / "dataset",
    )
    return directory / "dataset"
