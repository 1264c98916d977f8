"""From forcing files of any kind to one piece of monthly means on the land cells of a domain."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import chain, count, groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from phase_lib.base.files import header_hash
from phase_lib.base.parallel import Runner, runner
from phase_lib.base.progress import LOGGER, Ticker
from phase_lib.config.layouts import layout_class
from phase_lib.elm.domain import Domain
from phase_lib.forcing.points import Mapping, Part, Record, Task, map_cells, months_of
from phase_lib.forcing.variables import FORCING, LONG_NAMES, check_names
from phase_lib.forcing.years import check_years

if TYPE_CHECKING:
    import xarray as xr

#: Cells written at a time.
_BLOCK_CELLS = 1 << 16
#: As many variables are computed together as have fewer bytes of means, at least one.
_HELD_BYTES = 1 << 27


def open_record(
    kind: str, files: Sequence[str | Path], variables: Sequence[str], first_year: int, years: int
) -> Record:
    """Reads the headers of forcing files and checks that they belong together.

    Args:
        kind: layout of the files.
        files: forcing files; monthly ones of other years are left alone.
        variables: which of the six are wanted.
        first_year, years: wanted years; model years of kind history.

    Raises:
        InputError: a month, a variable or a zone is missing or twice there, or files differ in grid,
            calendar, step or units.
    """
    record: Record = layout_class(kind)(files, check_names(variables), months_of(first_year, years))
    return record


def reduce_forcing(
    files: Sequence[str | Path],
    domain: Domain,
    output: str | Path,
    *,
    first_year: int,
    years: int,
    limit_km: float,
    kind: str = "datm",
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
        kind: layout of the files.
        variables: which of the six to write.
        product: name of the data set, kept in the file.
        align_year: model year that sees the first year of the whole cycle, kept in the file.
        workers: processes; the result does not depend on their number.

    Raises:
        InputError: a month is missing or twice there, files do not belong together, a cell has no point
            with data within the limit, units or calendar differ, or a step, a mean or a year is not
            plausible.
    """
    from phase_lib.elm.products import creating  # processes that compute means need no xarray

    names = check_names(variables)
    record = open_record(kind, files, names, first_year, years)
    mapping = map_cells(record, domain, limit_km)
    LOGGER.info(
        "%s of %04d to %04d from %d files; the farthest forcing point is %.1f km away",
        ", ".join(names), first_year, first_year + years - 1, len(record.files), mapping.distance_km.max(),
    )  # fmt: skip
    attributes = {"kind": kind, "product": product, "align_year": np.int32(align_year)}
    template = _template(record, names, domain, mapping, first_year, years).assign_attrs(
        attributes | _provenance(record.files)
    )
    with creating(output, template) as file, runner(workers) as run:
        for name, values in monthly_means(record, mapping, 12 * years, run):
            check_years(name, values, record, mapping, first_year)
            for start in range(0, len(values), _BLOCK_CELLS):
                file[name][start : start + _BLOCK_CELLS] = values[start : start + _BLOCK_CELLS]
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


def _template(
    record: Record, names: Sequence[str], domain: Domain, mapping: Mapping, first_year: int, years: int
) -> xr.Dataset:
    """A piece as it will be, without the means."""
    import dask.array as da
    import xarray as xr

    from phase_lib.elm.products import cell_coordinates, month_coordinates, variable

    empty = da.empty((domain.ncells, 12 * years), dtype=np.float32, chunks=-1)
    places = {
        "forcing_lat": variable("gridcell", mapping.lat, "degrees_north", "latitude of the forcing point"),
        "forcing_lon": variable("gridcell", mapping.lon, "degrees_east", "longitude of the forcing point"),
        "forcing_distance_km": variable(
            "gridcell", mapping.distance_km, "km", "distance of the forcing point from the cell's centre"
        ),
    }
    return xr.Dataset(
        {name: xr.Variable(("gridcell", "time"), empty, _described(name, record)) for name in names},
        cell_coordinates(domain.lat, domain.lon) | month_coordinates(first_year, years) | places,
        {
            "title": "Monthly means of atmospheric forcing on land cells",
            "first_year": np.int32(first_year),
            "years": np.int32(years),
            "mapping": "nearest",
            "max_distance_km": float(mapping.distance_km.max()),
            "domain": domain.path.name,
        },
    )


def _described(name: str, record: Record) -> dict[str, Any]:
    """Attributes of a variable of monthly means."""
    made_of = record.sources[name]
    attributes = {
        "units": FORCING[name][0],
        "long_name": LONG_NAMES[name],
        "cell_methods": "time: mean",
        "step_hours": record.step_hours[name],
        "made_of": made_of,
    }
    assumed = [
        f"{source} in {units}" for source, units in record.assumed_units.items() if source in made_of.split()
    ]
    return attributes | ({"assumed_units": ", ".join(assumed)} if assumed else {})


def _provenance(files: Sequence[str]) -> dict[str, str | int]:
    """How many files were read, how large they are, and a hash of their names, sizes and headers."""
    return {
        "input_files": len(files),
        "input_gigabytes": f"{sum(Path(file).stat().st_size for file in files) / 1e9:.3f}",
        "input_hash": f"{header_hash(files)} (SHA-256 of names, sizes and first 64 KiB)",
    }
