"""All files of a domain, small and sound, to be spoilt one by one.

Restart, surface and parameters come from the helpers of the dataset; what they lack is written here with
netCDF4 and numpy alone. The forcing cycle is two years long, which keeps the files few.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np

from tests.helpers.dataset import Grid, write_params, write_restart, write_surface
from tests.helpers.restarts import write_soil_parameters
from tests.helpers.units import domain_units

YEARS, FIRST_YEAR = 2, 1901
DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
STREAMS = {
    "Prec": {"PRECTmms": ("mm/s", 3.0e-5)},
    "Solr": {"FSDS": ("W/m2", 180.0)},
    "TPQWL": {
        "TBOT": ("K", 285.0),
        "PSRF": ("Pa", 1.0e5),
        "QBOT": ("kg/kg", 0.008),
        "FLDS": ("W/m2", 320.0),
    },
}
#: Fields of a history in equilibrium: units and a value; fluxes are a little larger from cell to cell.
FIELDS = {
    "GPP": ("gC/m^2/s", 3.0e-5),
    "NPP": ("gC/m^2/s", 1.5e-5),
    "AR": ("gC/m^2/s", 1.5e-5),
    "HR": ("gC/m^2/s", 1.5e-5),
    "TOTECOSYSC": ("gC/m^2", 2.0e4),
    "TOTSOMC": ("gC/m^2", 1.0e4),
    "TOTVEGC": ("gC/m^2", 8.0e3),
}


@dataclass(frozen=True)
class DomainFolder:
    """A directory that holds all files of a domain.

    Attributes:
        path: the directory.
        grid: its cells.
    """

    path: Path
    grid: Grid

    @property
    def restart(self) -> Path:
        return self.path / "ad.elm.r.0021-01-01-00000.nc"

    @property
    def reference(self) -> Path:
        return self.path / "final.elm.r.0801-01-01-00000.nc"

    @property
    def reference_ad(self) -> Path:
        return self.path / "ad.elm.r.0401-01-01-00000.nc"

    @property
    def domain(self) -> Path:
        return self.path / "domain.nc"

    @property
    def surface(self) -> Path:
        return self.path / "surfdata.nc"

    @property
    def params(self) -> Path:
        return self.path / "clm_params.nc"

    @property
    def soil_params(self) -> Path:
        return self.path / "CNP_parameters.nc"

    @property
    def history(self) -> Path:
        return self.path / "ad.elm.h0.0020-01-01-00000.nc"

    @property
    def reference_history(self) -> Path:
        return self.path / "final.elm.h0.0800-01-01-00000.nc"

    def forcing(self, stream: str = "TPQWL", month: str = "1902-05") -> Path:
        """One of the forcing files."""
        return self.path / "forcing" / f"clmforc.{stream}.{month}.nc"

    def copy(self, path: Path) -> DomainFolder:
        """The same files in another directory, to be spoilt."""
        shutil.copytree(self.path, path)
        return DomainFolder(path, self.grid)

    def section(self, **changes: Any) -> dict[str, Any]:
        """What a configuration says of the domain; changes of `forcing` are merged."""
        forcing = {
            "kind": "datm",
            "files": [str(self.path / "forcing" / "*.nc")],
            "product": "weather",
            "first_year": FIRST_YEAR,
            "years": YEARS,
            "limit_km": 10.0,
        } | changes.pop("forcing", {})
        files = {
            "domain": self.domain,
            "surface": self.surface,
            "params": self.params,
            "soil_params": self.soil_params,
            "restart": self.restart,
            "reference_restart": self.reference,
            "reference_ad_restart": self.reference_ad,
        }
        several = {"history": [str(self.history)], "reference_history": [str(self.reference_history)]}
        named = {name: str(path) for name, path in files.items()} | several
        return named | {"spinup_mortality_factor": 10.0, "forcing": forcing} | changes


def make_domain(path: Path, grid: Grid) -> DomainFolder:
    """Writes all files of a domain that has nothing wrong."""
    folder = DomainFolder(path, grid)
    (path / "forcing").mkdir(parents=True)
    write_restart(folder.restart, grid, year=21, spinup_state=1)
    write_restart(folder.reference, grid, year=801, spinup_state=0)
    write_restart(folder.reference_ad, grid, year=401, spinup_state=1)
    write_surface(folder.surface, grid)
    write_params(folder.params)
    write_soil_parameters(folder.soil_params)
    write_domain(folder.domain, grid.lat, grid.lon)
    write_history(folder.history, grid, first=19, years=2)
    write_history(folder.reference_history, grid, first=799, years=2)
    for stream in STREAMS:
        for number in range(12 * YEARS):
            month = f"{FIRST_YEAR + number // 12}-{number % 12 + 1:02d}"
            write_forcing(folder.forcing(stream, month), grid, stream, month)
    return folder


def write_domain(path: Path, lat: np.ndarray, lon: np.ndarray) -> Path:
    """A list of land cells with one cell of ocean before them, longitudes 0-360."""
    with netCDF4.Dataset(path, "w") as nc:
        nc.createDimension("nj", 1)
        nc.createDimension("ni", len(lat) + 1)
        mask = np.arange(len(lat) + 1) > 0
        fields = {"yc": np.append(-80.0, lat), "xc": np.append(0.0, lon) % 360.0, "frac": mask, "mask": mask}
        for name, values in (fields | {"area": np.full(len(mask), 1.0e-3)}).items():
            variable = nc.createVariable(name, "i4" if name == "mask" else "f8", ("nj", "ni"))
            variable.units = domain_units(name)
            variable[0] = values
    return path


def write_history(
    path: Path,
    grid: Grid,
    *,
    first: int,
    years: int,
    slopes: Mapping[str, float] | None = None,
    leave_out: tuple[str, ...] = (),
    layers: Mapping[str, tuple[str, float]] | None = None,
) -> Path:
    """Annual means of `FIELDS`.

    Args:
        path: file.
        grid: cells.
        first: first model year.
        years: how many.
        slopes: what a field gains per year; by default nothing.
        leave_out: fields that it lacks.
        layers: fields of soil layers that it holds too: units and a value.
    """
    n = grid.ncells
    with netCDF4.Dataset(path, "w") as nc:
        for dim, size in {"time": None, "hist_interval": 2, "lndgrid": n}.items():
            nc.createDimension(dim, size)
        time = nc.createVariable("time", "f8", ("time",))
        time.units, time.calendar = "days since 0001-01-01 00:00:00", "noleap"
        start = 365.0 * (first - 1 + np.arange(years))
        time[:] = start + 365.0
        bounds = nc.createVariable("time_bounds", "f8", ("time", "hist_interval"))
        bounds[:] = np.stack([start, start + 365.0], axis=1)
        places = {"lat": grid.lat, "lon": grid.lon % 360.0, "area": np.full(n, 1.0e5)}
        for name, values in (places | {"landfrac": np.ones(n), "landmask": np.ones(n)}).items():
            nc.createVariable(name, "f4", ("lndgrid",))[:] = values
        nc["area"].units = "km^2"
        for name, (units, value) in FIELDS.items():
            if name not in leave_out:
                variable = nc.createVariable(name, "f4", ("time", "lndgrid"), fill_value=1.0e36)
                variable.units = units
                gained = (slopes or {}).get(name, 0.0) * np.arange(years)
                of_cells = 1.0 + (0.001 * np.arange(n) if units == "gC/m^2/s" else np.zeros(n))
                variable[:] = (value + gained)[:, None] * of_cells
        nc.createDimension("levdcmp", 15)
        for name, (units, value) in (layers or {}).items():
            if name not in leave_out:
                variable = nc.createVariable(name, "f4", ("time", "levdcmp", "lndgrid"), fill_value=1.0e36)
                variable.units = units
                variable[:] = np.full(variable.shape, value)
    return path


def write_forcing(path: Path, grid: Grid, stream: str, month: str) -> Path:
    """A month of daily forcing at the cells themselves."""
    days = DAYS[int(month[5:]) - 1]
    # Classic as the files of ELM are; a check opens all of them several times.
    with netCDF4.Dataset(path, "w", format="NETCDF3_64BIT_OFFSET") as nc:
        for dim, size in {"time": days, "nj": 1, "ni": grid.ncells}.items():
            nc.createDimension(dim, size)
        time = nc.createVariable("time", "f8", ("time",))
        time.units, time.calendar = f"days since {month}-01 00:00:00", "noleap"
        time[:] = np.arange(days) + 0.5
        for name, values, units in (
            ("LATIXY", grid.lat, "degrees_north"),
            ("LONGXY", grid.lon, "degrees_east"),
        ):
            variable = nc.createVariable(name, "f8", ("nj", "ni"))
            variable.units = units
            variable[0] = values
        for name, (units, value) in STREAMS[stream].items():
            variable = nc.createVariable(name, "f4", ("time", "nj", "ni"))
            variable.units = units
            variable[:] = value + 1.0e-3 * value * np.arange(days)[:, None, None]
    return path


def some_cells(grid: Grid, cells: slice) -> Grid:
    """Cells of a grid with the cover that they have there."""
    chosen = Grid(grid.lat[cells], grid.lon[cells], grid.seed)
    chosen.cover = grid.cover[cells]
    return chosen
