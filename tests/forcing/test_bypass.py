"""Coupler-bypass files to monthly means on cells, against numpy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest

from phase_lib.base.errors import InputError
from phase_lib.forcing.pieces import read_monthly_forcing
from phase_lib.forcing.reduce import reduce_forcing
from tests.helpers.forcing import DAYS, WEATHER, land, write_zone

#: Two zones; 0 to 360 as these sets are.
ZONES = {
    1: (np.array([40.0, 40.0, 40.0]), np.array([358.0, 358.5, 359.0])),
    12: (np.array([41.0, 41.0]), np.array([0.5, 1.0])),
}
STEPS = 2 * 365 * 4
#: scale_factor and add_offset; scales are negative in some sets.
PACKING = {
    "TBOT": (-5.34e-3, 262.5),
    "PRECTmms": (2.7e-6, 0.0),
    "FSDS": (0.061, 950.0),
    "FLDS": (0.034, 500.0),
    "QBOT": (3.4e-6, 0.05),
    "PSRF": (3.4, 70000.0),
}
SENTINEL = {
    "TBOT": 396.0,
    "PRECTmms": -0.088,
    "FSDS": -1000.0,
    "FLDS": 1000.9,
    "QBOT": -0.02,
    "PSRF": -9999.0,
}


def write_record(
    directory: Path, *, packed: bool = True, ocean: tuple[int, int] | None = None, **choices: Any
) -> tuple[list[Path], dict[str, np.ndarray]]:
    """All zones and variables; values unpacked (points of all zones, steps)."""
    directory.mkdir(parents=True, exist_ok=True)
    files, values = [], {}
    for name, (_, mean, spread) in WEATHER.items():
        unpacked_zones = []
        for zone, (lat, lon) in ZONES.items():
            rng = np.random.default_rng([zone, *name.encode()])
            given = mean + spread * rng.uniform(-1.0, 1.0, (len(lat), STEPS))
            if ocean and ocean[0] == zone:
                given[ocean[1]] = SENTINEL[name]
            packing = PACKING[name] if packed else None
            path, unpacked = write_zone(directory, name, zone, given, lat, lon, packing=packing, **choices)
            files.append(path)
            unpacked_zones.append(unpacked)
        values[name] = np.concatenate(unpacked_zones)
    return files, values


def monthly(values: np.ndarray, point: list[int], year: int) -> np.ndarray:
    """Means (points, 12) of one year of the record, by numpy alone."""
    ends = np.cumsum(DAYS) * 4 + 1460 * year
    starts = np.concatenate([[1460 * year], ends[:-1]])
    return np.stack([values[point, a:b].mean(axis=1) for a, b in zip(starts, ends, strict=True)], axis=1)


def reduced(files: list[Path], output: Path, domain: Any, **choices: Any) -> netCDF4.Dataset:
    options = {"kind": "bypass", "first_year": 1901, "years": 2, "limit_km": 60.0} | choices
    reduce_forcing(files, domain, output, **options)
    dataset = netCDF4.Dataset(output)
    dataset.set_auto_mask(False)
    return dataset


@pytest.mark.parametrize("packed", [True, False])
def test_zones_make_one_set_of_points_and_shorts_are_unpacked(tmp_path: Path, packed: bool) -> None:
    files, values = write_record(tmp_path / "in", packed=packed)
    domain, point = land([41.1, 40.0, 40.1, 40.9], [0.9, -2.1, -1.1, 0.4]), [4, 0, 2, 3]
    with reduced(files, tmp_path / "out.nc", domain) as nc:
        for name in WEATHER:
            expected = np.concatenate([monthly(values[name], point, year) for year in (0, 1)], axis=1)
            assert np.allclose(nc[name][:], expected, rtol=1e-6, atol=0.0), name
        assert nc["TBOT"].step_hours == 6.0
        assert (nc.kind, nc.input_files) == ("bypass", 12)


@pytest.mark.parametrize("chunks", [(1, STEPS), (2, 700), (3, 1)])
def test_chunks_of_the_files_change_nothing(tmp_path: Path, chunks: tuple[int, int]) -> None:
    lat, lon = ZONES[1]
    given = np.random.default_rng(3).uniform(270.0, 290.0, (3, STEPS))
    path, values = write_zone(tmp_path, "TBOT", 1, given, lat, lon, chunksizes=chunks, zlib=True)
    with reduced([path], tmp_path / "out.nc", land(lat, lon), variables=["TBOT"]) as nc:
        assert np.allclose(nc["TBOT"][:, 12:], monthly(values, [0, 1, 2], 1), rtol=1e-6)


def test_tasks_along_the_points_fill_every_cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files, values = write_record(tmp_path / "in")
    monkeypatch.setattr("phase_lib.forcing.layouts.bypass._TASK_BYTES", 1)
    domain, point = land([41.0, 40.0, 40.0, 40.0], [0.5, 358.0, 359.0, 358.1]), [3, 0, 2, 0]
    with reduced(files, tmp_path / "out.nc", domain) as nc:
        assert np.allclose(nc["FSDS"][:, :12], monthly(values["FSDS"], point, 0), rtol=1e-6)


def test_the_wanted_years_are_found_by_the_name_of_the_file(tmp_path: Path) -> None:
    files, values = write_record(tmp_path / "in")
    domain = land(*ZONES[12])
    with reduced(files, tmp_path / "out.nc", domain, first_year=1902, years=1) as nc:
        assert np.allclose(nc["QBOT"][:], monthly(values["QBOT"], [3, 4], 1), rtol=1e-6)
    with pytest.raises(InputError, match=r"holds the years 1901 to 1902 by its name; expected 1902 to 1903"):
        reduced(files, tmp_path / "out.nc", domain, first_year=1902, years=2)


def test_ocean_points_are_known_by_their_constant_and_skipped(tmp_path: Path) -> None:
    files, values = write_record(tmp_path / "in", ocean=(1, 1))
    with reduced(files, tmp_path / "out.nc", land([40.0], [-1.4])) as nc:
        assert float(nc["forcing_lon"][0]) == 359.0
        assert np.allclose(nc["TBOT"][:, :12], monthly(values["TBOT"], [2], 0), rtol=1e-6)
    with pytest.raises(InputError, match="no forcing point with data lies within 30 km"):
        reduced(files, tmp_path / "far.nc", land([40.0], [-1.4]), limit_km=30.0)


def test_a_month_without_rain_is_no_ocean_though_packing_cannot_say_zero(tmp_path: Path) -> None:
    lat, lon = ZONES[1]
    rain = np.zeros((3, STEPS))
    rain[:, STEPS // 4 : -STEPS // 4] = 5e-5  # from July to June
    path, values = write_zone(tmp_path, "PRECTmms", 1, rain, lat, lon, packing=(2.7e-6, 2.0e-6))
    assert np.all(values[rain == 0.0] < 0.0)
    with reduced([path], tmp_path / "out.nc", land(lat, lon), variables=["PRECTmms"]) as nc:
        assert np.all(nc["PRECTmms"][:, :6] == 0.0)
        assert np.all(nc["PRECTmms"][:, 7:18] > 0.0)


def test_processes_do_not_change_the_result(tmp_path: Path) -> None:
    files, _ = write_record(tmp_path / "in")
    domain = land([41.1, 40.0], [0.9, -2.1])
    for workers in (1, 2):
        reduced(files, tmp_path / f"{workers}.nc", domain, workers=workers).close()
    one, two = (read_monthly_forcing(tmp_path / f"{workers}.nc") for workers in (1, 2))
    assert all(np.array_equal(one.values[name], two.values[name]) for name in WEATHER)


def test_a_zone_without_one_of_the_variables_is_named(tmp_path: Path) -> None:
    files, _ = write_record(tmp_path / "in")
    kept = [path for path in files if "QBOT" not in path.name or "z12" not in path.name]
    with pytest.raises(InputError, match="QBOT of zone 12 is missing"):
        reduced(kept, tmp_path / "out.nc", land(*ZONES[12]))


def test_a_variable_twice_and_strange_names_are_refused(tmp_path: Path) -> None:
    files, _ = write_record(tmp_path / "in")
    copy = tmp_path / "other_TBOT_1901-1910_z01.nc"
    copy.symlink_to(next(path for path in files if "TBOT" in path.name and "z01" in path.name))
    with pytest.raises(InputError, match="TBOT of zone 1 is also in"):
        reduced([*files, copy], tmp_path / "out.nc", land(*ZONES[1]))
    with pytest.raises(InputError, match="is not named like a coupler-bypass file"):
        reduced([tmp_path / "all_hourly.nc"], tmp_path / "out.nc", land(*ZONES[1]))


@pytest.mark.parametrize(("steps", "per_day"), [(STEPS + 4, 4), (STEPS - 1, 4), (STEPS, 8)])
def test_steps_that_do_not_fill_the_years_of_the_name_are_refused(
    tmp_path: Path, steps: int, per_day: int
) -> None:
    lat, lon = ZONES[1]
    path, _ = write_zone(tmp_path, "TBOT", 1, np.full((3, steps), 280.0), lat, lon, per_day=per_day)
    with pytest.raises(InputError, match=rf"DTIME has {steps} steps.*730 days of the 2 years in its name"):
        reduced([path], tmp_path / "out.nc", land(lat, lon), variables=["TBOT"])


def test_other_points_in_one_of_the_variables_are_refused(tmp_path: Path) -> None:
    files, _ = write_record(tmp_path / "in")
    moved = next(path for path in files if "PSRF" in path.name and "z12" in path.name)
    with netCDF4.Dataset(moved, "r+") as nc:
        nc["LONGXY"][:] += 0.25
    with pytest.raises(InputError, match="other points than") as error:
        reduced(files, tmp_path / "out.nc", land(*ZONES[1]))
    assert error.value.file == str(moved)


def test_time_before_points_is_refused_as_elm_would_read_it_wrong(tmp_path: Path) -> None:
    path = tmp_path / "a_TBOT_1901-1901_z01.nc"
    with netCDF4.Dataset(path, "w") as nc:
        nc.createDimension("n", 2)
        nc.createDimension("DTIME", 1460)
        nc.createVariable("TBOT", "f4", ("DTIME", "n"))[:] = 280.0
    with pytest.raises(InputError, match=r"dimensions \('DTIME', 'n'\); expected \(n, DTIME\)"):
        reduced([path], tmp_path / "out.nc", land([1.0], [1.0]), variables=["TBOT"], years=1)
