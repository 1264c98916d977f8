"""Forcing files whose points have lost dimensions, as a squeeze leaves them, in every layout."""

from __future__ import annotations

from collections.abc import Collection
from itertools import pairwise
from pathlib import Path

import netCDF4
import numpy as np
import pytest

from phase_lib.base.errors import InputError
from phase_lib.forcing.reduce import reduce_forcing
from phase_lib.forcing.variables import FORCING
from phase_lib.preflight.inspection import inspect
from tests.helpers.forcing import (
    DAYS,
    STREAMS,
    WEATHER,
    land,
    weather,
    without_dimensions,
    write_month,
    write_zone,
)

#: A tower and its cell, in the two conventions of longitude.
LAT, LON = np.array([40.0]), np.array([359.0])
CELL = land([40.01], [-1.01])
PLACES = ("LATIXY", "LONGXY")


def year(
    directory: Path, layout: str = "list", streams: Collection[str] = ("TPQWL",)
) -> tuple[list[Path], dict[str, np.ndarray]]:
    """Monthly files of a point of length 1 along both dimensions, and their means by numpy (12)."""
    directory.mkdir()
    files, means = [], {name: np.zeros(12) for stream in streams for name in STREAMS[stream]}
    for month in range(1, 13):
        for stream in streams:
            contents = {name: weather(name, 1980, month, DAYS[month - 1], 1) for name in STREAMS[stream]}
            for name, values in contents.items():
                means[name][month - 1] = values.astype(np.float64).mean()
            path = directory / f"site.{stream}.1980-{month:02d}.nc"
            given = {name: (WEATHER[name][0], values) for name, values in contents.items()}
            files.append(write_month(path, given, 1980, month, layout="list", lat=LAT, lon=LON))
            if layout == "axes":
                rename(path)
    return files, means


def rename(path: Path) -> None:
    """Calls dimensions and coordinates latitude and longitude, coordinates along their own axes."""
    without_dimensions(path, {"ni"}, {"LATIXY"})
    without_dimensions(path, {"nj"}, {"LONGXY"})
    with netCDF4.Dataset(path, "r+") as nc:
        for old, new in (("LATIXY", "latitude"), ("LONGXY", "longitude")):
            nc.renameVariable(old, new)


def reduced(files: list[Path], output: Path, **choices: object) -> dict[str, np.ndarray]:
    given = {"first_year": 1980, "years": 1, "limit_km": 5.0} | choices
    reduce_forcing(files, CELL, output, **given)  # type: ignore[arg-type]
    with netCDF4.Dataset(output) as nc:
        nc.set_auto_mask(False)
        return {name: np.asarray(nc[name][0]) for name in FORCING if name in nc.variables}


@pytest.mark.parametrize(
    ("layout", "drop", "only"),
    [
        ("list", ("ni", "nj"), None),  # VARIABLE(time), LATIXY()
        ("list", ("nj",), None),  # VARIABLE(time, ni), LATIXY(ni)
        ("list", ("ni", "nj"), tuple(FORCING)),  # VARIABLE(time), LATIXY(nj, ni)
        ("list", ("ni", "nj"), PLACES),  # VARIABLE(time, nj, ni), LATIXY()
        ("list", ("nj",), PLACES),  # VARIABLE(time, nj, ni), LATIXY(ni)
        ("list", ("ni", "nj"), ("LATIXY",)),  # LATIXY(), LONGXY(nj, ni)
        ("axes", ("ni", "nj"), None),  # VARIABLE(time), latitude()
        ("axes", ("ni", "nj"), tuple(FORCING)),  # VARIABLE(time), latitude(nj)
        ("axes", ("ni",), None),  # VARIABLE(time, nj), latitude(nj), longitude()
    ],
)
def test_a_point_is_read_whatever_dimensions_its_monthly_files_have_left(
    tmp_path: Path, layout: str, drop: Collection[str], only: Collection[str] | None
) -> None:
    files, means = year(tmp_path / "in", layout)
    for file in files:
        without_dimensions(file, drop, only)
    result = reduced(files, tmp_path / "out.nc", variables=STREAMS["TPQWL"])
    assert result.keys() == means.keys()
    for name, values in result.items():
        assert np.allclose(values, means[name], rtol=3e-7), name


def test_streams_of_one_point_may_have_lost_different_dimensions(tmp_path: Path) -> None:
    files, means = year(tmp_path / "in", streams=STREAMS)
    for file in files:
        if ".TPQWL." in file.name:
            without_dimensions(file, ("ni", "nj"))
        if ".Solr." in file.name:
            without_dimensions(file, ("nj",))
    result = reduced(files, tmp_path / "out.nc")
    for name in FORCING:
        assert np.allclose(result[name], means[name], rtol=3e-7), name


def test_a_row_of_points_may_have_lost_its_dimension_of_length_one(tmp_path: Path) -> None:
    lat, lon = np.array([40.0, 41.0, 42.0]), np.full(3, 359.0)
    files, expected = [], np.zeros((3, 12))
    for month in range(1, 13):
        values = weather("TBOT", 1980, month, DAYS[month - 1], 3)
        expected[:, month - 1] = values.astype(np.float64).mean(axis=0)
        path = tmp_path / f"a.TPQWL.1980-{month:02d}.nc"
        write_month(path, {"TBOT": ("K", values)}, 1980, month, layout="list", lat=lat, lon=lon)
        # Every second month holds TBOT(time, ni) beside LATIXY(nj = 1, ni).
        files.append(without_dimensions(path, ("nj",), ("TBOT",)) if month % 2 else path)
    output = tmp_path / "out.nc"
    reduce_forcing(files, land(lat, lon), output, first_year=1980, years=1, limit_km=1.0, variables=["TBOT"])
    with netCDF4.Dataset(output) as nc:
        assert np.allclose(nc["TBOT"][:], expected, rtol=3e-7)


def zone(
    directory: Path, drop: Collection[str], only: Collection[str] | None
) -> tuple[list[Path], np.ndarray]:
    """Coupler-bypass files of a point, packed, and its temperature (steps)."""
    files, temperature = [], np.zeros(0)
    for name, (_, mean, spread) in WEATHER.items():
        rng = np.random.default_rng([*name.encode()])
        values = mean + spread * rng.uniform(-1.0, 1.0, (1, 365))
        packing = (-5.34e-3, 262.5) if name == "TBOT" else None
        path, means_of_zone = write_zone(
            directory, name, 1, values, LAT, LON, years=(1980, 1980), per_day=1, packing=packing
        )
        files.append(without_dimensions(path, drop, only))
        temperature = means_of_zone[0] if name == "TBOT" else temperature
    return files, temperature


@pytest.mark.parametrize("only", [None, PLACES, tuple(FORCING)])
def test_a_point_is_read_from_coupler_bypass_files_without_its_dimension(
    tmp_path: Path, only: Collection[str] | None
) -> None:
    files, temperature = zone(tmp_path, ("n",), only)
    result = reduced(files, tmp_path / "out.nc", kind="bypass")
    starts = np.cumsum((0, *DAYS))
    expected = [temperature[a:b].mean() for a, b in pairwise(starts)]
    assert np.allclose(result["TBOT"], expected, rtol=3e-7)
    assert len(result) == 6


def test_several_points_without_their_dimension_are_refused_in_one_line(tmp_path: Path) -> None:
    path, _ = write_zone(tmp_path, "TBOT", 1, np.full((2, 365), 280.0), [40.0, 41.0], [359.0] * 2, per_day=1)  # type: ignore[arg-type]
    with netCDF4.Dataset(path, "r+") as nc:
        nc.renameVariable("TBOT", "WIND")
        nc.createVariable("TBOT", "f4", ("DTIME",)).units = "K"
    with pytest.raises(InputError, match=r"LATIXY has 2 values, but variable TBOT is that of a single point"):
        reduced([path], tmp_path / "out.nc", kind="bypass", variables=["TBOT"], first_year=1901)
    values = weather("TBOT", 1980, 1, 31, 6)
    month = write_month(tmp_path / "a.TPQWL.1980-01.nc", {"WIND": ("K", values)}, 1980, 1)
    with netCDF4.Dataset(month, "r+") as nc:
        nc.createVariable("TBOT", "f4", ("time",)).units = "K"
    files = [month, *(tmp_path / f"a.TPQWL.1980-{number:02d}.nc" for number in range(2, 13))]
    for file in files[1:]:
        file.write_bytes(month.read_bytes())
    with pytest.raises(
        InputError, match=r"1980-01\.nc: variable TBOT has dimensions \(time\); expected \(time, lat, lon\)"
    ):
        reduced(files, tmp_path / "out.nc", variables=["TBOT"])


def test_a_point_without_dimensions_is_inspected(tmp_path: Path) -> None:
    values = weather("TBOT", 1980, 1, 31, 1)
    file = write_month(
        tmp_path / "a.1980-01.nc", {"TBOT": ("K", values)}, 1980, 1, layout="list", lat=LAT, lon=LON
    )
    content = inspect(without_dimensions(file, ("ni", "nj")))
    assert (content["kind"], content["points"], content["latitude"]["min"]) == ("forcing", 1, 40.0)
