"""Speed and memory of the forcing reduction, printed as JSON by `phase bench fuse`.

It writes files of the Daymet layout (time, nj = 1, ni), 3-hourly float32, month by month. `cdo monmean` and
the reduction to monthly means on land cells both average each month, which is then removed, so that the disk
holds one month at a time and the page cache serves both. They take turns in being first.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from functools import partial
from multiprocessing import active_children, get_context
from pathlib import Path
from typing import Any

import numpy as np

from phase_lib.base.errors import InputError, PhaseError
from phase_lib.base.parallel import Runner, runner
from phase_lib.base.progress import LOGGER
from phase_lib.base.provenance import code_version
from phase_lib.bench import memory_mib, require_room
from phase_lib.elm.calendar import months_of
from phase_lib.elm.constants import DAYS_PER_MONTH
from phase_lib.elm.domain import Domain
from phase_lib.elm.matching import match_cells
from phase_lib.elm.netcdf import create_dataset, open_dataset
from phase_lib.forcing.layouts.datm import Datm
from phase_lib.forcing.points import Mapping, map_cells
from phase_lib.forcing.reduce import monthly_means
from phase_lib.forcing.variables import FORCING

_YEAR, _STEPS_PER_DAY, _LIMIT_KM = 1980, 8, 50.0
#: Streams of DATM: variables with units, mean and spread.
_STREAMS: dict[str, dict[str, tuple[str, float, float]]] = {
    "Prec": {"PRECTmms": ("mm H2O / sec", 3.0e-5, 5.0e-6)},
    "Solr": {"FSDS": ("W/m2", 180.0, 30.0)},
    "TPQWL": {
        "TBOT": ("K", 285.0, 5.0),
        "QBOT": ("kg/kg", 8.0e-3, 1.0e-3),
        "PSRF": ("Pa", 9.8e4, 300.0),
        "FLDS": ("W/m2", 310.0, 20.0),
        "WIND": ("m/s", 4.0, 0.5),
    },
}
_BYTES_PER_CELL = 4 * max(DAYS_PER_MONTH) * _STEPS_PER_DAY * sum(map(len, _STREAMS.values()))
#: Further room for the means and for other files on the disk.
_ROOM = 1.2


def bench_fuse(
    *, cells: int, months: int, workers: int, matching_cells: int, directory: Path | None = None
) -> dict[str, Any]:
    """Times the reduction of synthetic forcing, and `cdo monmean` on the same files.

    Args:
        cells: number of forcing points, and of land cells.
        months: number of months, of one year.
        workers: processes of the reduction; it is timed with one as well.
        matching_cells: number of points and cells of a matching that is timed by itself.
        directory: for the files of a month; the system's temporary directory where None.

    Returns:
        Seconds of both, their ratio, peak memory and the largest difference between the means.

    Raises:
        InputError: cdo is not there, or the disk has too little room.
    """
    if shutil.which("cdo") is None:
        raise InputError(None, "cdo is not on the PATH", expected="cdo, which the reduction is compared with")
    with tempfile.TemporaryDirectory(dir=directory) as name:
        folder = Path(name)
        require_room(folder, _ROOM * cells * _BYTES_PER_CELL, cells)
        domain = _domain(cells)
        mappings: dict[str, Mapping] = {}
        seconds = dict.fromkeys(("cdo", "phase", "one_worker"), 0.0)
        cpu = dict(seconds)
        size, difference = 0, 0.0
        with runner(workers) as several, runner(1) as one:
            for month in range(months_of(_YEAR, 1).start, months_of(_YEAR, 1).start + months):
                files = _write_month_apart(folder, cells, month)
                size += sum(file.stat().st_size for file in files)
                contenders = {
                    "cdo": partial(_cdo, files),
                    "phase": partial(_phase, files, domain, month, mappings, "phase", several),
                    "one_worker": partial(_phase, files, domain, month, mappings, "one_worker", one),
                }
                for contender in list(contenders) if month % 2 else reversed(contenders):
                    # Processor time of this process and of its children that have ended.
                    begin, cpu_begin = time.perf_counter(), sum(os.times()[:4])
                    contenders[contender]()
                    seconds[contender] += time.perf_counter() - begin
                    cpu[contender] += sum(os.times()[:4]) - cpu_begin
                difference = max(difference, _difference(files, folder / "phase.nc"))
                LOGGER.info("month %d/%d", month % 12 + 1, months)
                for file in folder.iterdir():
                    file.unlink()
            workers_here = ("self", *(str(child.pid) for child in active_children()))
            peak = sum(memory_mib("VmHWM", process) for process in workers_here)
    return {
        "benchmark": "fuse",
        "cells": cells,
        "months": months,
        "bytes": size,
        "workers": workers,
        "cdo_seconds": round(seconds["cdo"], 2),
        "phase_seconds": round(seconds["phase"], 2),
        "ratio": round(seconds["phase"] / seconds["cdo"], 3),
        "phase_seconds_one_worker": round(seconds["one_worker"], 2),
        "ratio_one_worker": round(seconds["one_worker"] / seconds["cdo"], 3),
        # On a busy machine processor time is more reliable than the clock.
        "cdo_cpu_seconds": round(cpu["cdo"], 2),
        "phase_cpu_seconds_one_worker": round(cpu["one_worker"], 2),
        "phase_megabytes_per_second": round(size / 1e6 / seconds["phase"]),
        "peak_memory_mib": round(peak),
        "peak_memory_is": "sum of the largest resident sizes of this process and its workers (VmHWM)",
        "order": "cdo first and last in turn, page cache warm from writing",
        "max_relative_difference": difference,
        "matching_cells": matching_cells,
        "matching_seconds": round(_matching_seconds(matching_cells), 2),
        "code_version": code_version(),
    }


def _lattice(cells: int) -> tuple[np.ndarray, np.ndarray]:
    """Places on a regional grid of about 4 km, degrees."""
    rows, columns = np.divmod(np.arange(cells), int(np.ceil(np.sqrt(cells))))
    return 25.0 + 0.04 * rows, -125.0 + 0.04 * columns


def _domain(cells: int) -> Domain:
    lat, lon = _lattice(cells)
    ones = np.ones(cells)
    # Real domains also lie a little off the forcing points and use the other longitude convention.
    places = lat + 0.005, (lon + 0.005) % 360.0
    return Domain(Path("domain.nc"), (1, cells), np.arange(cells), *places, ones, ones, (lat, lon))


def _write_month_apart(folder: Path, cells: int, month: int) -> list[Path]:
    """Writes the files of a month in another process, whose memory does not count."""
    writer = get_context("spawn").Process(target=write_month, args=(folder, cells, month))
    writer.start()
    writer.join()
    if writer.exitcode != 0:
        raise PhaseError(f"{folder}: the forcing files could not be written")
    return sorted(folder.glob("*.nc"))


def write_month(folder: Path, cells: int, month: int) -> None:
    """Writes a month (counted from January of year 0) of three-hourly forcing as in Daymet's lists."""
    rng = np.random.default_rng(month)
    lat, lon = _lattice(cells)
    place = rng.standard_normal(cells, dtype=np.float32)
    noise = rng.standard_normal((_STEPS_PER_DAY, cells), dtype=np.float32)
    days, label = DAYS_PER_MONTH[month % 12], f"{month // 12:04d}-{month % 12 + 1:02d}"
    for stream, variables in _STREAMS.items():
        path = folder / f"clmforc.bench.1d.{stream}.{label}.nc"
        with create_dataset(path, "NETCDF3_64BIT_OFFSET") as dataset:
            dataset.createDimension("time", days * _STEPS_PER_DAY)
            dataset.createDimension("ni", cells)
            dataset.createDimension("nj", 1)
            for name, values, units in (("LONGXY", lon, "degrees_east"), ("LATIXY", lat, "degrees_north")):
                variable = dataset.createVariable(name, "f8", ("nj", "ni"))
                variable.units = units
                variable[:] = values
            time_axis = dataset.createVariable("time", "f4", ("time",))
            time_axis.units, time_axis.calendar = f"days since {label}-01 00:00:00", "no_leap"
            time_axis[:] = (np.arange(days * _STEPS_PER_DAY) + 0.5) / _STEPS_PER_DAY
            for name, (units, mean, spread) in variables.items():
                variable = dataset.createVariable(name, "f4", ("time", "nj", "ni"))
                variable.units = units
                for step in range(days * _STEPS_PER_DAY):
                    weather = np.float32(rng.uniform(0.5, 1.5)) * noise[step % _STEPS_PER_DAY]
                    variable[step] = np.float32(mean) + np.float32(0.3 * spread) * (place + weather)


def _cdo(files: list[Path]) -> None:
    for file in files:
        words = ["cdo", "-O", "-s", "monmean", str(file), f"{file}.cdo"]
        subprocess.run(words, check=True, capture_output=True, text=True)


def _phase(
    files: list[Path], domain: Domain, month: int, mappings: dict[str, Mapping], contender: str, run: Runner
) -> None:
    """What a job does for a month; the matching of cells is done once in a job."""
    record = Datm(files, tuple(FORCING), range(month, month + 1))
    if contender not in mappings:
        mappings[contender] = map_cells(record, domain, _LIMIT_KM)
    with create_dataset(files[0].with_name(f"{contender}.nc")) as dataset:
        dataset.createDimension("gridcell", domain.ncells)
        dataset.createDimension("time", 1)
        for name, values in monthly_means(record, mappings[contender], 1, run):
            dataset.createVariable(name, "f4", ("gridcell", "time"))[:] = values


def _difference(files: list[Path], means: Path) -> float:
    """Largest relative difference between both means; the points of the lattice are those of the cells."""
    largest = 0.0
    with open_dataset(means) as reduced:
        for file in files:
            with open_dataset(f"{file}.cdo") as averaged:
                for name in FORCING.keys() & averaged.variables.keys():
                    pair = (reduced[name], averaged[name])
                    mean, expected = (np.asarray(one[:], dtype=np.float64).reshape(-1) for one in pair)
                    largest = max(largest, float(np.max(np.abs(mean - expected) / np.abs(expected))))
    return largest


def _matching_seconds(cells: int) -> float:
    lat, lon = _lattice(cells)
    order = np.random.default_rng(0).permutation(cells)
    begin = time.perf_counter()
    match_cells(lat + 0.005, lon % 360.0, lat[order], lon[order], file="bench", limit_km=_LIMIT_KM)
    return time.perf_counter() - begin
