"""DATM monthly forcing files, reduced to monthly means on the cells of a domain.

One file a month and stream (`*.Solr.YYYY-MM.nc`, `*.Prec.YYYY-MM.nc`, `*.TPQWL.YYYY-MM.nc` or any
split of the variables over files), any step that divides a day, noleap. A cell takes the nearest
forcing point on the sphere, within a distance limit.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import netCDF4
import numpy as np

from phase_lib.base.errors import InputError
from phase_lib.base.progress import Ticker
from phase_lib.base.provenance import code_version
from phase_lib.elm.constants import DAYS_PER_MONTH, FILL_THRESHOLD
from phase_lib.elm.domain import Domain
from phase_lib.elm.matching import match_cells
from phase_lib.elm.netcdf import create_dataset, get_variable, open_dataset

#: Names, units to write, and spellings of the units accepted on file.
FORCING: dict[str, tuple[str, tuple[str, ...]]] = {
    "FLDS": ("W/m^2", ("W/m2", "W/m^2", "W/m**2", "W m-2")),
    "PSRF": ("Pa", ("Pa",)),
    "FSDS": ("W/m^2", ("W/m2", "W/m^2", "W/m**2", "W m-2")),
    "QBOT": ("kg/kg", ("kg/kg", "kg kg-1")),
    "PRECTmms": ("mm/s", ("mm/s", "mm s-1", "mm/sec", "mm H2O / sec", "kg/m2/s", "kg m-2 s-1")),
    "TBOT": ("K", ("K",)),
}
#: Plausible range of a monthly mean, in the units above.
PLAUSIBLE = {
    "FLDS": (20.0, 700.0),
    "PSRF": (3.0e4, 1.15e5),
    "FSDS": (0.0, 700.0),
    "QBOT": (0.0, 0.06),
    "PRECTmms": (0.0, 0.01),
    "TBOT": (180.0, 340.0),
}

_MONTH = re.compile(r"\.(\d{4})-(\d{2})\.nc$")


@dataclass(frozen=True)
class _FileMeans:
    year: int
    month: int
    means: dict[str, np.ndarray]
    path: str


def reduce_forcing(
    files: Sequence[str | Path],
    domain: Domain,
    output: str | Path,
    *,
    first_year: int,
    years: int,
    limit_km: float,
    workers: int = 1,
) -> None:
    """Writes monthly means of the six forcing variables on the land cells of a domain.

    Args:
        files: monthly files, in any order; files of other years are left alone.
        domain: land cells, in restart order.
        output: NetCDF file with dims gridcell, time (12 x years).
        first_year: first forcing year of the cycle.
        years: length of the cycle.
        limit_km: farthest that a cell may lie from its forcing point.
        workers: processes; each holds one variable of one file at a time.

    Raises:
        InputError: a month is missing or twice there, the files lie on different grids, a cell is
            farther than the limit, units or calendar differ, or a mean is not plausible.
    """
    wanted = _wanted(files, first_year, years)
    row, distance = _map_cells(wanted[0], domain, limit_km)
    arrays = {name: np.full((12 * years, domain.ncells), np.nan, dtype=np.float32) for name in FORCING}
    seen: dict[tuple[str, int], str] = {}
    ticker = Ticker("forcing file")
    for done, file in enumerate(_means(wanted, row, workers), start=1):
        time = 12 * (file.year - first_year) + file.month - 1
        for name, mean in file.means.items():
            if (name, time) in seen:
                raise InputError(
                    file.path,
                    f"{name} of {file.year:04d}-{file.month:02d} is also in {Path(seen[name, time]).name}",
                    expected="one file for each variable and month",
                    remedy="remove one",
                )
            seen[name, time] = file.path
            _refuse_implausible(file, name, mean)
            arrays[name][time] = mean
        ticker.tick(done, len(wanted))
    for name in FORCING:
        for time in range(12 * years):
            if (name, time) not in seen:
                year, month = divmod(time, 12)
                raise InputError(
                    Path(wanted[0]).parent,
                    f"{name} of {first_year + year:04d}-{month + 1:02d} is missing",
                    expected=f"every month of {first_year:04d} to {first_year + years - 1:04d}",
                    remedy="add the file, or set the forcing years to what is there",
                )
    _write(output, domain, distance, arrays, first_year, years)


def _wanted(files: Iterable[str | Path], first_year: int, years: int) -> list[str]:
    wanted = []
    for file in sorted(str(f) for f in files):
        match = _MONTH.search(file)
        if match is None:
            raise InputError(file, "is not named like a monthly forcing file", expected="NAME.YYYY-MM.nc")
        if first_year <= int(match[1]) < first_year + years:
            wanted.append(file)
    if not wanted:
        raise InputError(
            None,
            f"no forcing file of {first_year:04d} to {first_year + years - 1:04d} among those given",
            remedy="check the forcing directory and the forcing years",
        )
    return wanted


def _coordinates(path: str, dataset: netCDF4.Dataset) -> tuple[np.ndarray, np.ndarray]:
    lat = np.asarray(get_variable(path, dataset, "LATIXY")[:], dtype=np.float64).reshape(-1)
    lon = np.asarray(get_variable(path, dataset, "LONGXY")[:], dtype=np.float64).reshape(-1)
    return lat, lon


def _map_cells(path: str, domain: Domain, limit_km: float) -> tuple[np.ndarray, np.ndarray]:
    with open_dataset(path) as dataset:
        lat, lon = _coordinates(path, dataset)
    return match_cells(domain.lat, domain.lon, lat, lon, file=path, limit_km=limit_km, what="forcing points")


def _means(files: list[str], row: np.ndarray, workers: int) -> Iterable[_FileMeans]:
    with open_dataset(files[0]) as dataset:
        grid = _coordinates(files[0], dataset)
    if workers == 1:
        yield from (_file_means(file, row, grid) for file in files)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield from pool.map(_file_means, files, [row] * len(files), [grid] * len(files), chunksize=12)


def _file_means(path: str, row: np.ndarray, grid: tuple[np.ndarray, np.ndarray]) -> _FileMeans:
    """Monthly means of one file's forcing variables at the flattened grid positions `row`."""
    match = _MONTH.search(path)
    assert match is not None
    year, month = int(match[1]), int(match[2])
    with open_dataset(path) as dataset:
        lat, lon = _coordinates(path, dataset)
        if len(lat) != len(grid[0]) or not (np.allclose(lat, grid[0]) and np.allclose(lon, grid[1])):
            raise InputError(
                path, "LATIXY, LONGXY: another grid than the other forcing files", expected="one grid"
            )
        _check_time(path, dataset, month)
        means = {
            name: _time_mean(get_variable(path, dataset, name, units=accepted), row)
            for name, (_, accepted) in FORCING.items()
            if name in dataset.variables
        }
    return _FileMeans(year, month, means, path)


def _time_mean(variable: netCDF4.Variable, row: np.ndarray, chunk_bytes: int = 1 << 26) -> np.ndarray:
    steps, points = variable.shape[0], int(np.prod(variable.shape[1:]))
    per_read = max(1, chunk_bytes // (8 * points))
    total = np.zeros(len(row))
    for start in range(0, steps, per_read):
        values = np.asarray(variable[start : start + per_read], dtype=np.float64)
        total += values.reshape(len(values), -1)[:, row].sum(axis=0)
    scale = float(getattr(variable, "scale_factor", 1.0))
    offset = float(getattr(variable, "add_offset", 0.0))
    return total / steps * scale + offset


def _check_time(path: str, dataset: netCDF4.Dataset, month: int) -> None:
    time = get_variable(path, dataset, "time")
    calendar = str(getattr(time, "calendar", "noleap")).replace("_", "").lower()
    if calendar not in ("noleap", "365day"):
        raise InputError(
            path, f"time has calendar {calendar!r}", expected="'noleap'", remedy="drop 29 February"
        )
    steps, days = time.shape[0], DAYS_PER_MONTH[month - 1]
    if steps == 0 or steps % days:
        raise InputError(path, f"time has {steps} steps", expected=f"the same number on each of {days} days")
    values = np.asarray(time[:], dtype=np.float64)
    if np.any(np.diff(values) <= 0.0):
        raise InputError(path, "time does not increase", remedy="put the steps in order")


def _refuse_implausible(file: _FileMeans, name: str, mean: np.ndarray) -> None:
    low, high = PLAUSIBLE[name]
    bad = ~((mean >= low) & (mean <= high))
    if np.any(bad):
        cell = int(np.flatnonzero(bad)[0])
        found = "fill" if abs(mean[cell]) >= FILL_THRESHOLD else f"{mean[cell]:.4g}"
        raise InputError(
            file.path,
            f"variable {name} has a monthly mean of {found} at the point of land cell {cell + 1} "
            f"({int(bad.sum())} cells in all)",
            expected=f"{low:g} to {high:g} {FORCING[name][0]}",
            remedy="check units and fill values",
        )


def _write(
    output: str | Path,
    domain: Domain,
    distance: np.ndarray,
    arrays: dict[str, np.ndarray],
    first_year: int,
    years: int,
) -> None:
    with create_dataset(output) as dataset:
        dataset.createDimension("gridcell", domain.ncells)
        dataset.createDimension("time", 12 * years)
        for name, values, units in (
            ("lat", domain.lat, "degrees_north"),
            ("lon", domain.lon, "degrees_east"),
            ("forcing_distance_km", distance, "km"),
        ):
            variable = dataset.createVariable(name, "f8", ("gridcell",))
            variable.units = units
            variable[:] = values
        for name, values in arrays.items():
            variable = dataset.createVariable(name, "f4", ("gridcell", "time"))
            variable.units = FORCING[name][0]
            variable.cell_methods = "time: mean"
            variable[:] = values.T
        dataset.first_year = np.int32(first_year)
        dataset.years = np.int32(years)
        dataset.domain = str(domain.path.name)
        dataset.code_version = code_version()


@dataclass(frozen=True)
class MonthlyForcing:
    """Monthly means on the land cells.

    Attributes:
        lat, lon: cells (gridcell), degrees.
        first_year: forcing year of the first value.
        years: length of the cycle.
        values: name -> (time, gridcell), float64, units of `FORCING`.
    """

    lat: np.ndarray
    lon: np.ndarray
    first_year: int
    years: int
    values: dict[str, np.ndarray]


def read_monthly_forcing(path: str | Path) -> MonthlyForcing:
    """Reads what `reduce_forcing` wrote.

    Raises:
        InputError: a variable is missing or has other units.
    """
    with open_dataset(path) as dataset:
        values = {
            name: np.asarray(
                get_variable(path, dataset, name, dims=("gridcell", "time"), units=(units,))[:],
                dtype=np.float64,
            ).T
            for name, (units, _) in FORCING.items()
        }
        return MonthlyForcing(
            np.asarray(get_variable(path, dataset, "lat")[:]),
            np.asarray(get_variable(path, dataset, "lon")[:]),
            int(dataset.first_year),
            int(dataset.years),
            values,
        )
