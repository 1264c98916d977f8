"""Small forcing files of every kind, with the values that were put into them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np

from phase_lib.elm.domain import Domain

DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
#: Name -> units, mean and spread of a step.
WEATHER: dict[str, tuple[str, float, float]] = {
    "TBOT": ("K", 285.0, 8.0),
    "PRECTmms": ("mm/s", 4e-5, 3e-5),
    "FSDS": ("W/m2", 180.0, 150.0),
    "FLDS": ("W/m2", 320.0, 40.0),
    "QBOT": ("kg/kg", 8e-3, 3e-3),
    "PSRF": ("Pa", 9.6e4, 900.0),
}
STREAMS = {"Solr": ("FSDS",), "Prec": ("PRECTmms",), "TPQWL": ("TBOT", "PSRF", "QBOT", "FLDS")}
#: Points of a small grid, row-major, 0 to 360.
ROWS, COLUMNS = np.array([40.0, 41.0]), np.array([359.0, 0.0, 1.0])
LAT, LON = (axis.ravel() for axis in np.meshgrid(ROWS, COLUMNS, indexing="ij"))

Values = dict[tuple[str, int, int], np.ndarray]


def land(lat: Sequence[float] | np.ndarray, lon: Sequence[float] | np.ndarray) -> Domain:
    """A domain whose cells are all land."""
    lat, lon = np.asarray(lat, dtype=np.float64), np.asarray(lon, dtype=np.float64)
    ones, cells = np.ones(len(lat)), np.arange(len(lat))
    return Domain(Path("domain.nc"), (1, len(lat)), cells, lat, lon, ones, ones, (lat[:1], lon))


def weather(name: str, year: int, month: int, steps: int, points: int = len(LAT)) -> np.ndarray:
    """Float32 values (steps, points) between half the mean and a spread around it, never negative."""
    _, mean, spread = WEATHER[name]
    rng = np.random.default_rng([year, month, *name.encode()])
    return (mean + spread * rng.uniform(-1.0, 1.0, (steps, points))).astype(np.float32)


def write_month(
    path: Path,
    variables: Mapping[str, tuple[str, np.ndarray]],
    year: int,
    month: int,
    *,
    layout: str = "grid",
    calendar: str = "noleap",
    format: str = "NETCDF3_CLASSIC",
    stamp: float = 0.5,
    lon: np.ndarray = LON,
    lat: np.ndarray = LAT,
    attributes: Mapping[str, Any] | None = None,
) -> Path:
    """A monthly file.

    Args:
        path: where to.
        variables: name -> units and values (steps, points).
        year, month: that its stamps are of.
        layout: `grid`, `list`, or `axes` (grid with 1-D coordinates).
        calendar: of the time axis.
        format: of the file.
        stamp: place of the stamp in its step, 0 to 1.
        lon, lat: points.
        attributes: of the variables; packed where they hold a `scale_factor`.
    """
    steps = len(next(iter(variables.values()))[1])
    shape = (1, len(lat)) if layout == "list" else (len(ROWS), len(COLUMNS))
    dims = {"grid": ("lat", "lon"), "list": ("nj", "ni"), "axes": ("latitude", "longitude")}[layout]
    with netCDF4.Dataset(path, "w", format=format) as nc:
        nc.set_auto_maskandscale(False)
        nc.createDimension("time", steps)
        for dim, size in zip(dims, shape, strict=True):
            nc.createDimension(dim, size)
        if layout == "axes":
            nc.createVariable("latitude", "f8", (dims[0],))[:] = ROWS
            nc.createVariable("longitude", "f8", (dims[1],))[:] = COLUMNS
        else:
            nc.createVariable("LATIXY", "f8", dims)[:] = lat.reshape(shape)
            nc.createVariable("LONGXY", "f8", dims)[:] = lon.reshape(shape)
        time = nc.createVariable("time", "f4", ("time",))
        time.units, time.calendar = f"days since {year:04d}-{month:02d}-01 00:00:00", calendar
        time[:] = (np.arange(steps) + stamp) * DAYS[month - 1] / steps
        for name, (units, values) in variables.items():
            given = dict(attributes or {})
            variable = nc.createVariable(
                name, values.dtype, ("time", *dims), fill_value=given.pop("_FillValue", None)
            )
            variable.set_auto_maskandscale(False)
            variable.units = units
            for key, value in given.items():
                variable.setncattr(key, value)
            variable[:] = values.reshape(steps, *shape)
    return path


def write_year(
    directory: Path, year: int = 1980, per_day: int = 4, **choices: Any
) -> tuple[list[Path], Values]:
    """The three streams of a year.

    Returns:
        Files, and the values by variable, year and month.
    """
    directory.mkdir(parents=True, exist_ok=True)
    files, values = [], {}
    for month in range(1, 13):
        for name in WEATHER:
            values[name, year, month] = weather(name, year, month, per_day * DAYS[month - 1])
        for stream, names in STREAMS.items():
            path = directory / f"clmforc.test.{stream}.{year:04d}-{month:02d}.nc"
            contents = {name: (WEATHER[name][0], values[name, year, month]) for name in names}
            files.append(write_month(path, contents, year, month, **choices))
    return files, values


def monthly(values: Values, name: str, point: Sequence[int] | np.ndarray) -> np.ndarray:
    """Means (points, months) of what was written, by numpy alone."""
    months = sorted(key[1:] for key in values if key[0] == name)
    means = [values[name, year, month].astype(np.float64).mean(axis=0) for year, month in months]
    return np.stack(means, axis=1)[np.asarray(point)]


def write_zone(
    directory: Path,
    name: str,
    zone: int,
    values: np.ndarray,
    lat: np.ndarray,
    lon: np.ndarray,
    *,
    years: tuple[int, int] = (1901, 1902),
    per_day: int = 4,
    packing: tuple[float, float] | None = None,
    **choices: Any,
) -> tuple[Path, np.ndarray]:
    """A coupler-bypass file (n, DTIME).

    Args:
        directory: where to.
        name: variable.
        zone: its number.
        values: (points, steps).
        lat, lon: points.
        years: first and last in the name.
        per_day: steps a day, for the stamps.
        packing: scale_factor and add_offset; float32 without.
        choices: keywords of `createVariable`.

    Returns:
        The file, and the values that it holds once unpacked.
    """
    path = directory / f"crujra.v2.5.5d_{name}_{years[0]}-{years[1]}_z{zone:02d}.nc"
    scale, offset = packing or (1.0, 0.0)
    stored = np.rint((values - offset) / scale).astype(np.int16) if packing else values.astype(np.float32)
    with netCDF4.Dataset(path, "w") as nc:
        nc.set_auto_maskandscale(False)
        nc.createDimension("n", values.shape[0])
        nc.createDimension("DTIME", values.shape[1])
        nc.createVariable("LATIXY", "f8", ("n",))[:] = lat
        nc.createVariable("LONGXY", "f8", ("n",))[:] = lon
        time = nc.createVariable("DTIME", "f8", ("DTIME",))
        time.units = f"days since {years[0]:04d}-01-01 00:00"
        time[:] = (np.arange(values.shape[1]) + 0.5) / per_day
        variable = nc.createVariable(name, stored.dtype, ("n", "DTIME"), **choices)
        variable.set_auto_maskandscale(False)
        if packing:
            variable.scale_factor, variable.add_offset = packing
        variable[:] = stored
    return path, stored * scale + offset


def without_dimensions(file: Path, drop: Collection[str], only: Collection[str] | None = None) -> Path:
    """Rewrites a file as a squeeze leaves it: variables lose dimensions of length 1.

    Args:
        file: to be replaced.
        drop: dimensions.
        only: variables that lose them; all if None.
    """
    old = file.rename(file.with_suffix(".old"))
    with netCDF4.Dataset(old) as source, netCDF4.Dataset(file, "w", format=source.data_model) as target:
        for nc in (source, target):
            nc.set_auto_maskandscale(False)
        for name, dim in source.dimensions.items():
            target.createDimension(name, dim.size)
        for name, variable in source.variables.items():
            dropped = drop if only is None or name in only else ()
            assert all(source.dimensions[dim].size == 1 for dim in dropped)
            dims = [dim for dim in variable.dimensions if dim not in dropped]
            attributes = {key: variable.getncattr(key) for key in variable.ncattrs()}
            fill = attributes.pop("_FillValue", None)
            copy = target.createVariable(name, variable.dtype, dims, fill_value=fill)
            copy.set_auto_maskandscale(False)
            copy.setncatts(attributes)
            copy[...] = variable[...].reshape(copy.shape)
    old.unlink()
    return file


def write_model_history(
    path: Path,
    fields: Mapping[str, tuple[str, np.ndarray]],
    bounds: np.ndarray,
    lat: np.ndarray,
    lon: np.ndarray,
) -> Path:
    """A history file (time, lndgrid).

    Args:
        path: where to.
        fields: name -> units and values (samples, cells).
        bounds: averaging intervals (samples, 2), days since 0001-01-01.
        lat, lon: cells.
    """
    with netCDF4.Dataset(path, "w", format="NETCDF3_64BIT_DATA") as nc:
        nc.createDimension("time", None)
        nc.createDimension("hist_interval", 2)
        nc.createDimension("lndgrid", len(lat))
        time = nc.createVariable("time", "f8", ("time",))
        time.units, time.calendar, time.bounds = "days since 0001-01-01 00:00:00", "noleap", "time_bounds"
        nc.createVariable("time_bounds", "f8", ("time", "hist_interval"))[: len(bounds)] = bounds
        time[:] = bounds[:, 1]
        for name, values in (
            ("lat", lat),
            ("lon", lon),
            ("area", np.ones(len(lat))),
            ("landfrac", np.ones(len(lat))),
        ):
            nc.createVariable(name, "f4", ("lndgrid",))[:] = values
        nc["area"].units = "km^2"
        nc.createVariable("landmask", "i4", ("lndgrid",))[:] = 1
        for name, (units, values) in fields.items():
            variable = nc.createVariable(name, "f4", ("time", "lndgrid"), fill_value=np.float32(1e36))
            variable.units = units
            variable[: len(values)] = values
    return path


def write_piece(
    path: Path,
    values: Mapping[str, np.ndarray],
    lat: np.ndarray,
    lon: np.ndarray,
    *,
    first_year: int = 1980,
    align_year: int = 1,
    kind: str = "datm",
    distance_km: float = 0.0,
    step_hours: float = 3.0,
    made_of: Mapping[str, str] | None = None,
) -> Path:
    """Monthly means as `phase forcing` writes them.

    Args:
        path: where to.
        values: variable -> (cells, months from January of the first year).
        lat, lon: cells.
        first_year, align_year, kind: of the piece.
        distance_km: of the cells from their forcing points.
        step_hours: of the forcing files.
        made_of: inputs of a variable, where it is not its own.
    """
    units = {name: unit.replace("/m2", "/m^2") for name, (unit, *_) in WEATHER.items()}
    with netCDF4.Dataset(path, "w") as nc:
        nc.first_year, nc.years = np.int32(first_year), np.int32(len(next(iter(values.values()))[0]) // 12)
        nc.align_year, nc.kind, nc.product = np.int32(align_year), kind, "test"
        nc.createDimension("gridcell", len(lat))
        nc.createDimension("time", 12 * int(nc.years))
        for name, place in (("lat", lat), ("lon", lon), ("forcing_lat", lat), ("forcing_lon", lon)):
            nc.createVariable(name, "f8", ("gridcell",))[:] = place
        nc.createVariable("forcing_distance_km", "f8", ("gridcell",))[:] = distance_km
        for name, series in values.items():
            variable = nc.createVariable(name, "f4", ("gridcell", "time"))
            variable.units, variable.step_hours = units[name], step_hours
            variable.made_of = (made_of or {}).get(name, name)
            variable[:] = series
    return path
