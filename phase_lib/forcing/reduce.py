"""From forcing files of any kind to one piece of monthly means on the land cells of a domain."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, count, groupby
from pathlib import Path
from typing import Literal, get_args

import netCDF4
import numpy as np

from phase_lib.base.errors import InputError
from phase_lib.base.files import header_hash
from phase_lib.base.parallel import Runner, runner
from phase_lib.base.progress import LOGGER, Ticker
from phase_lib.base.provenance import code_version
from phase_lib.elm.domain import Domain
from phase_lib.elm.netcdf import create_dataset
from phase_lib.forcing.bypass import BypassRecord
from phase_lib.forcing.datm import DatmRecord
from phase_lib.forcing.history import HistoryRecord
from phase_lib.forcing.points import Mapping, Part, Record, Task, map_cells, months_of
from phase_lib.forcing.variables import FORCING, check_names
from phase_lib.forcing.years import check_years

Kind = Literal["datm", "bypass", "history"]
KINDS: tuple[Kind, ...] = get_args(Kind)
_RECORDS: dict[Kind, Callable[[Sequence[str | Path], Sequence[str], range], Record]] = {
    "datm": DatmRecord,
    "bypass": BypassRecord,
    "history": HistoryRecord,
}
#: Cells written at a time.
_BLOCK_CELLS = 1 << 16
#: As many variables are computed together as have fewer bytes of means, at least one.
_HELD_BYTES = 1 << 27


def open_record(
    kind: Kind, files: Sequence[str | Path], variables: Sequence[str], first_year: int, years: int
) -> Record:
    """Reads the headers of forcing files and checks that they belong together.

    Args:
        kind: what the files are.
        files: forcing files; monthly ones of other years are left alone.
        variables: which of the six are wanted.
        first_year, years: wanted years; model years of kind history.

    Raises:
        InputError: a month, a variable or a zone is missing or twice there, or files differ in grid,
            calendar, step or units.
    """
    if kind not in KINDS:
        raise InputError(None, f"forcing of kind {kind!r}", expected=f"one of {', '.join(KINDS)}")
    return _RECORDS[kind](files, check_names(variables), months_of(first_year, years))


def reduce_forcing(
    files: Sequence[str | Path],
    domain: Domain,
    output: str | Path,
    *,
    first_year: int,
    years: int,
    limit_km: float,
    kind: Kind = "datm",
    variables: Sequence[str] = tuple(FORCING),
    product: str = "",
    align_year: int = 1,
    workers: int = 1,
) -> None:
    """Writes a piece: monthly means of forcing variables on the land cells of a domain.

    Args:
        files: forcing files; monthly ones of other years are left alone.
        domain: land cells, in restart order.
        output: NetCDF file with dims gridcell, time (12 x years).
        first_year: first year of the piece: a year of the forcing, or a model year of kind history.
        years: its length; several pieces make a cycle.
        limit_km: farthest that a cell may lie from its forcing point.
        kind: what the files are.
        variables: which of the six to write.
        product: name of the data set, kept in the file.
        align_year: model year that sees the first year of the whole cycle, kept in the file.
        workers: processes; the result does not depend on their number.

    Raises:
        InputError: a month is missing or twice there, files do not belong together, a cell has no point
            with data within the limit, units or calendar differ, or a step, a mean or a year is not
            plausible.
    """
    names = check_names(variables)
    record = open_record(kind, files, names, first_year, years)
    mapping = map_cells(record, domain, limit_km)
    LOGGER.info(
        "%s of %04d to %04d from %d files; the farthest forcing point is %.1f km away",
        ", ".join(names), first_year, first_year + years - 1, len(record.files), mapping.distance_km.max(),
    )  # fmt: skip
    with create_dataset(output) as dataset:
        _describe(dataset, domain, mapping, first_year, years)
        dataset.kind = kind
        dataset.product = product
        dataset.align_year = np.int32(align_year)
        for key, value in _provenance(record.files).items():
            dataset.setncattr(key, value)
        with runner(workers) as run:
            for name, values in monthly_means(record, mapping, 12 * years, run):
                check_years(name, values, record, mapping, first_year)
                _write(dataset, name, values, record)
                del values  # before the next ones are computed


def monthly_means(
    record: Record, mapping: Mapping, months: int, run: Runner
) -> Iterator[tuple[str, np.ndarray]]:
    """Monthly means on the cells, of as many variables at a time as are small, or of one.

    Args:
        record: checked files.
        mapping: forcing point of each cell.
        months: length of the series.
        run: what does the tasks.

    Yields:
        Name and float32 (gridcell, months).
    """
    tasks = list(record.tasks(mapping))
    ticker, ended = Ticker("forcing task"), count(1)
    shape = (len(mapping.point), months)
    for variables in _held_together(tasks, 4 * shape[0] * months):
        parts = deque(run(list(chain(*variables)), lambda: ticker.tick(next(ended), len(tasks))))
        for variable in variables:
            yield variable[0].name, _placed(parts, len(variable), shape)


def _placed(parts: deque[Part], number: int, shape: tuple[int, int]) -> np.ndarray:
    """The means of a variable (gridcell, months) from its parts, the first ones, each of which it frees."""
    values = np.full(shape, np.nan, dtype=np.float32)
    for _ in range(number):
        part = parts.popleft()
        values[part.cells, part.months] = part.values
    return values


def _held_together(tasks: Sequence[Task], size: int) -> Iterator[list[list[Task]]]:
    """The tasks by variable, and as many variables of a size in bytes at a time as may be held."""
    variables = [list(group) for _, group in groupby(tasks, key=lambda task: task.name)]
    number = max(1, _HELD_BYTES // size)
    for first in range(0, len(variables), number):
        yield variables[first : first + number]


def _describe(
    dataset: netCDF4.Dataset, domain: Domain, mapping: Mapping, first_year: int, years: int
) -> None:
    dataset.createDimension("gridcell", domain.ncells)
    dataset.createDimension("time", 12 * years)
    for name, values, units in (
        ("lat", domain.lat, "degrees_north"),
        ("lon", domain.lon, "degrees_east"),
        ("forcing_lat", mapping.lat, "degrees_north"),
        ("forcing_lon", mapping.lon, "degrees_east"),
        ("forcing_distance_km", mapping.distance_km, "km"),
    ):
        variable = dataset.createVariable(name, "f8", ("gridcell",))
        variable.units = units
        variable[:] = values
    dataset.first_year = np.int32(first_year)
    dataset.years = np.int32(years)
    dataset.mapping = "nearest"
    dataset.max_distance_km = float(mapping.distance_km.max())
    dataset.domain = str(domain.path.name)
    dataset.code_version = code_version()


def _write(dataset: netCDF4.Dataset, name: str, values: np.ndarray, record: Record) -> None:
    variable = dataset.createVariable(name, "f4", ("gridcell", "time"))
    variable.units = FORCING[name][0]
    variable.cell_methods = "time: mean"
    variable.step_hours = record.step_hours[name]
    variable.made_of = record.sources[name]
    made_of = variable.made_of.split()
    assumed = [f"{source} in {units}" for source, units in record.assumed_units.items() if source in made_of]
    if assumed:
        variable.assumed_units = ", ".join(assumed)
    for start in range(0, len(values), _BLOCK_CELLS):
        variable[start : start + _BLOCK_CELLS] = values[start : start + _BLOCK_CELLS]


def _provenance(files: Sequence[str]) -> dict[str, str | int]:
    """How many files were read, how large they are, and a hash of their names, sizes and headers."""
    return {
        "input_files": len(files),
        "input_gigabytes": f"{sum(Path(file).stat().st_size for file in files) / 1e9:.3f}",
        "input_hash": f"{header_hash(files)} (SHA-256 of names, sizes and first 64 KiB)",
    }
