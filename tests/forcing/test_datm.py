"""DATM's monthly files to monthly means on cells, against numpy."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest

from phase_lib.base.errors import InputError
from phase_lib.base.parallel import Runner, runner
from phase_lib.forcing.humidity import vapour_pressure
from phase_lib.forcing.pieces import read_monthly_forcing
from phase_lib.forcing.reduce import reduce_forcing
from phase_lib.forcing.variables import FORCING
from tests.helpers.forcing import (
    DAYS,
    LAT,
    LON,
    STREAMS,
    WEATHER,
    Values,
    land,
    monthly,
    weather,
    write_month,
    write_year,
)

FLAVOURS = ("NETCDF3_CLASSIC", "NETCDF3_64BIT_OFFSET", "NETCDF3_64BIT_DATA", "NETCDF4")
CELLS = land(LAT, LON)
EVERY = tuple(range(len(LAT)))


def reduced(files: list[Path], output: Path, domain: Any = CELLS, **choices: Any) -> dict[str, np.ndarray]:
    """What `reduce_forcing` wrote: name -> (cells, months)."""
    options = {"first_year": 1980, "years": 1, "limit_km": 100.0} | choices
    reduce_forcing(files, domain, output, **options)
    with netCDF4.Dataset(output) as nc:
        nc.set_auto_mask(False)
        return {name: np.asarray(nc[name][:]) for name in FORCING if name in nc.variables}


@pytest.fixture(scope="module")
def year(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Path], Values]:
    """The files of 1980 and what was put into them; tests change copies only."""
    return write_year(tmp_path_factory.mktemp("year"))


@pytest.fixture
def links(year: tuple[list[Path], Values], tmp_path: Path) -> list[Path]:
    directory = tmp_path / "links"
    directory.mkdir()
    for file in year[0]:
        (directory / file.name).symlink_to(file)
    return sorted(directory.iterdir())


def replace(links: list[Path], stream: str, month: int, change: Callable[[netCDF4.Dataset], None]) -> Path:
    """Puts a changed copy in the place of a link."""
    link = next(path for path in links if f".{stream}.1980-{month:02d}" in path.name)
    content = link.read_bytes()
    link.unlink()
    link.write_bytes(content)
    with netCDF4.Dataset(link, "r+") as nc:
        nc.set_auto_maskandscale(False)
        change(nc)
    return link


def assert_means(reduced_means: dict[str, np.ndarray], values: Values, point: Any = EVERY) -> None:
    for name, means in reduced_means.items():
        assert np.allclose(means, monthly(values, name, point), rtol=3e-7, atol=0.0), name


# -- layouts ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_streams_on_a_grid_are_averaged_in_every_flavour_of_netcdf(tmp_path: Path, flavour: str) -> None:
    files, values = write_year(tmp_path / "in", format=flavour)
    reduced_means = reduced(files, tmp_path / "out.nc")
    assert set(reduced_means) == set(FORCING)
    assert_means(reduced_means, values)


@pytest.mark.parametrize(
    ("per_day", "stamp", "layout"), [(8, 0.5, "list"), (24, 0.0, "axes"), (1, 1.0, "list"), (3, 0.5, "grid")]
)
def test_any_step_that_divides_a_day_is_averaged_wherever_its_stamp_lies(
    tmp_path: Path, per_day: int, stamp: float, layout: str
) -> None:
    files, values = write_year(tmp_path / "in", per_day=per_day, stamp=stamp, layout=layout)
    assert_means(reduced(files, tmp_path / "out.nc"), values)
    with netCDF4.Dataset(tmp_path / "out.nc") as nc:
        assert nc["TBOT"].step_hours == 24.0 / per_day


def test_chunked_and_compressed_files_are_averaged_whatever_the_chunks(tmp_path: Path) -> None:
    files, values = write_year(tmp_path / "in", per_day=8, format="NETCDF4")
    for file in files:
        with netCDF4.Dataset(file) as old, netCDF4.Dataset(tmp_path / file.name, "w") as new:
            for name, dim in old.dimensions.items():
                new.createDimension(name, dim.size)
            for name, variable in old.variables.items():
                chunks = {"chunksizes": (100, 2, 2), "zlib": True} if variable.ndim == 3 else {}
                copy = new.createVariable(name, variable.dtype, variable.dimensions, **chunks)
                copy.setncatts({key: variable.getncattr(key) for key in variable.ncattrs()})
                copy[:] = variable[:]
    assert_means(reduced([tmp_path / file.name for file in files], tmp_path / "out.nc"), values)


def test_blocks_smaller_than_a_file_change_nothing(
    year: tuple[list[Path], Values], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, values = year
    monkeypatch.setattr("phase_lib.forcing.steps.StepVariable.blocks.__defaults__", (64,))
    assert_means(reduced(files, tmp_path / "out.nc"), values)


@pytest.mark.parametrize(("fitting", "batches"), [(0.5, [12] * 6), (1, [12] * 6), (4, [48, 24]), (100, [72])])
def test_how_many_variables_are_computed_together_follows_from_their_size_and_changes_nothing(
    year: tuple[list[Path], Values],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fitting: float,
    batches: list[int],
) -> None:
    files, values = year
    seen: list[int] = []

    @contextmanager
    def counting(workers: int) -> Iterator[Runner]:
        with runner(workers) as run:
            yield lambda tasks, done: run(tasks, seen.append(len(tasks)) or done)

    monkeypatch.setattr("phase_lib.forcing.reduce.runner", counting)
    monkeypatch.setattr("phase_lib.forcing.reduce._HELD_BYTES", int(fitting * 4 * 12 * CELLS.ncells))
    assert_means(reduced(files, tmp_path / "out.nc"), values)
    assert seen == batches


def test_the_order_of_the_files_and_the_number_of_processes_do_not_matter(
    year: tuple[list[Path], Values], tmp_path: Path
) -> None:
    files, _ = year
    first = reduced(files, tmp_path / "first.nc")
    shuffled = list(np.random.default_rng(0).permutation(np.array(files, dtype=object)))
    second = reduced(shuffled, tmp_path / "second.nc", workers=2)
    for name, means in first.items():
        assert np.array_equal(means, second[name]), name


def test_years_that_are_not_wanted_are_left_alone(year: tuple[list[Path], Values], tmp_path: Path) -> None:
    other = tmp_path / "other.TPQWL.1979-12.nc"
    other.write_bytes(b"not even NetCDF")
    assert_means(reduced([other, *year[0]], tmp_path / "out.nc"), year[1])


def test_packed_shorts_are_unpacked_and_zero_stays_zero(tmp_path: Path) -> None:
    scale, offset = 2.4e-6, 1.1e-6
    files = []
    for month in range(1, 13):
        raw = np.random.default_rng(month).integers(0, 40, (4 * DAYS[month - 1], 6)).astype(np.int16)
        if month > 6:
            raw[:, 2] = -1  # what packing makes of a dry month: just below zero
        path = tmp_path / f"a.Prec.1980-{month:02d}.nc"
        packed = {"scale_factor": scale, "add_offset": offset}
        files.append(write_month(path, {"PRECTmms": ("mm/s", raw)}, 1980, month, attributes=packed))
        expected = raw.astype(np.float64).mean(axis=0) * scale + offset
    reduced_means = reduced(files, tmp_path / "out.nc", variables=["PRECTmms"])["PRECTmms"]
    assert np.all(reduced_means[2, 6:] == 0.0)
    kept = [0, 1, 3, 4, 5]
    assert np.allclose(reduced_means[kept, 11], expected[kept], rtol=1e-6)


# -- ERA5 and other ways to say the same ------------------------------------------------------------------


def era5(directory: Path) -> tuple[list[Path], dict[str, np.ndarray]]:
    """One variable a file, as ERA5 comes, with cold and warm points; values of December."""
    spans = {
        "t2m": ("K", 250.0, 300.0),
        "sp": ("Pa", 6.0e4, 1.0e5),
        "msdrswrf": ("W m**-2", 0.0, 500.0),
        "msdfswrf": ("W m**-2", 0.0, 200.0),
        "mcpr": ("kg m**-2 s**-1", 0.0, 1e-4),
        "mlspr": ("kg m**-2 s**-1", 0.0, 1e-4),
        "msdwlwrf": ("W m**-2", 200.0, 400.0),
    }
    directory.mkdir()
    files, values = [], {}
    for month in range(1, 13):
        rng = np.random.default_rng(month)
        shape = (4 * DAYS[month - 1], 6)
        values = {name: rng.uniform(low, high, shape) for name, (_, low, high) in spans.items()}
        values["d2m"] = values["t2m"] - rng.uniform(0.0, 20.0, shape)
        for name, array in values.items():
            values[name] = array.astype(np.float32)
            path = directory / f"elmforc.ERA5.c2018.0.25d.{name}.1980-{month:02d}.nc"
            units = spans.get(name, ("K",))[0]
            files.append(write_month(path, {name: (units, values[name])}, 1980, month, layout="axes"))
    return files, {name: array.astype(np.float64) for name, array in values.items()}


def buck(celsius: np.ndarray, ice: np.ndarray) -> np.ndarray:
    """Saturation vapour pressure, Pa, by Buck (1981) instead of Lowe (1977)."""
    water = 611.21 * np.exp(17.502 * celsius / (240.97 + celsius))
    return np.where(ice, 611.15 * np.exp(22.452 * celsius / (272.55 + celsius)), water)


def test_era5_parts_make_the_six_variables(tmp_path: Path) -> None:
    files, december = era5(tmp_path / "in")
    reduced_means = {name: means[:, 11] for name, means in reduced(files, tmp_path / "out.nc").items()}
    mean = {name: values.mean(axis=0) for name, values in december.items()}
    assert np.allclose(reduced_means["TBOT"], mean["t2m"], rtol=3e-7)
    assert np.allclose(reduced_means["PSRF"], mean["sp"], rtol=3e-7)
    assert np.allclose(reduced_means["FLDS"], mean["msdwlwrf"], rtol=3e-7)
    assert np.allclose(reduced_means["FSDS"], mean["msdrswrf"] + mean["msdfswrf"], rtol=3e-7)
    assert np.allclose(reduced_means["PRECTmms"], mean["mcpr"] + mean["mlspr"], rtol=3e-7)
    with netCDF4.Dataset(tmp_path / "out.nc") as nc:
        assert nc["QBOT"].made_of == "d2m and t2m and sp"


def test_humidity_is_computed_at_every_step_and_then_averaged(tmp_path: Path) -> None:
    files, december = era5(tmp_path / "in")
    reduced_means = reduced(files, tmp_path / "out.nc", variables=["QBOT"])["QBOT"][:, 11]

    def humidity(dew: np.ndarray, air: np.ndarray, pressure: np.ndarray) -> np.ndarray:
        e = buck(dew - 273.15, air < 273.15)
        return 0.622 * e / (pressure - 0.378 * e)

    of_steps = humidity(december["d2m"], december["t2m"], december["sp"]).mean(axis=0)
    of_means = humidity(*(december[name].mean(axis=0) for name in ("d2m", "t2m", "sp")))
    assert np.allclose(reduced_means, of_steps, rtol=5e-3)
    assert np.all(np.abs(of_means / of_steps - 1.0) > 0.05)


@pytest.mark.parametrize(
    ("celsius", "air", "expected"),
    [
        (0.0, 1.0, 611.2),
        (20.0, 20.0, 2338.8),
        (30.0, 30.0, 4246.0),
        (-20.0, -20.0, 103.3),
        (-20.0, 1.0, 125.4),
    ],
)
def test_saturation_vapour_pressure_is_that_of_the_tables(
    celsius: float, air: float, expected: float
) -> None:
    reduced_means = vapour_pressure(np.array([celsius + 273.15]), np.array([air + 273.15]))
    assert reduced_means == pytest.approx([expected], rel=2e-3)


def test_relative_humidity_dew_point_and_pbot_serve_as_well(tmp_path: Path) -> None:
    results = {}
    for humidity in ("RH", "TDEW"):
        files = []
        for month in range(1, 13):
            steps = 4 * DAYS[month - 1]
            air, pressure = (
                weather(name, 1980, month, steps).astype(np.float64) for name in ("TBOT", "PSRF")
            )
            air += 10.0  # well above freezing
            dew = air - 5.0
            frost = np.zeros(air.shape, dtype=bool)
            relative = 100.0 * buck(dew - 273.15, frost) / buck(air - 273.15, frost)
            given = {"RH": ("%", relative), "TDEW": ("K", dew)}[humidity]
            contents = {humidity: given, "TBOT": ("K", air), "PBOT": ("Pa", pressure)}
            contents = {
                name: (units, values.astype(np.float32)) for name, (units, values) in contents.items()
            }
            path = tmp_path / f"{humidity}.TPQWL.1980-{month:02d}.nc"
            files.append(write_month(path, contents, 1980, month))
        results[humidity] = reduced(files, tmp_path / f"{humidity}.nc", variables=["QBOT", "PSRF"])
    assert np.allclose(results["RH"]["QBOT"], results["TDEW"]["QBOT"], rtol=2e-3)
    assert np.allclose(results["RH"]["PSRF"][:, 11], pressure.mean(axis=0), rtol=3e-7)


# -- where cells get their forcing ------------------------------------------------------------------------


def test_cells_take_the_nearest_point_in_either_longitude_convention(
    year: tuple[list[Path], Values], tmp_path: Path
) -> None:
    lat, lon, point = [40.9, 40.2, 41.0], [-0.8, 359.9, 1.3], [3, 1, 5]
    reduced_means = reduced(year[0], tmp_path / "out.nc", land(lat, lon))
    assert_means(reduced_means, year[1], point)
    with netCDF4.Dataset(tmp_path / "out.nc") as nc:
        assert np.allclose(nc["forcing_lat"][:], LAT[point])
        assert np.allclose(nc["forcing_lon"][:], LON[point])
        assert nc.max_distance_km == pytest.approx(np.max(nc["forcing_distance_km"][:]))
        # 0.2 degrees north and 0.1 degrees west, in the plane that touches the sphere there
        assert nc["forcing_distance_km"][1] == pytest.approx(
            111.2 * np.hypot(0.2, 0.1 * np.cos(0.7)), rel=1e-2
        )


def test_a_cell_beyond_the_limit_is_refused(year: tuple[list[Path], Values], tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"1 of 2 cells have no partner.*lat 42\.000.*expected at most 80 km"
    ):
        reduced(year[0], tmp_path / "out.nc", land([40.0, 42.0], [0.0, 0.0]), limit_km=80.0)
    with pytest.raises(InputError, match="no forcing point with data lies within 80 km of the domain"):
        reduced(year[0], tmp_path / "out.nc", land([-30.0], [100.0]), limit_km=80.0)
    assert not (tmp_path / "out.nc").exists()


@pytest.mark.parametrize("fill", [1.0e36, np.nan, -9999.0])
def test_ocean_points_are_skipped_for_the_nearest_with_data(tmp_path: Path, fill: float) -> None:
    files, values = write_year(tmp_path / "in")
    for file in files:
        with netCDF4.Dataset(file, "r+") as nc:
            for name in WEATHER.keys() & nc.variables.keys():
                nc[name][:, 0, 1] = fill
    reduced_means = reduced(files, tmp_path / "out.nc", land([40.0, 40.0], [0.1, 359.1]))
    assert_means(reduced_means, values, [2, 0])
    elsewhere = re.escape(f"{fill:g} throughout 1980-01)")
    with pytest.raises(InputError, match=rf"1 of 2 cells have no partner.*\(elsewhere \w+ is {elsewhere}"):
        reduced(files, tmp_path / "far.nc", land([40.0, 40.0], [0.1, 359.1]), limit_km=50.0)


def test_variables_with_different_land_masks_are_refused(links: list[Path], tmp_path: Path) -> None:
    replace(links, "Solr", 1, lambda nc: nc["FSDS"].__setitem__((slice(None), 0, 1), 1e36))
    with pytest.raises(InputError, match="have data at different points, 1 of 6"):
        reduced(links, tmp_path / "out.nc")


def test_what_lies_far_from_the_domain_is_not_looked_at(links: list[Path], tmp_path: Path) -> None:
    for month in range(1, 13):
        replace(links, "Solr", month, lambda nc: nc["FSDS"].__setitem__((slice(None), 1, 0), 1e36))
    reduced_means = reduced(links, tmp_path / "out.nc", land([40.0], [1.0]), limit_km=30.0)
    assert set(reduced_means) == set(FORCING)


@pytest.mark.parametrize("fill", [1.0e36, np.nan, -99.0])
def test_a_single_missing_step_is_refused_even_where_a_mean_would_hide_it(
    tmp_path: Path, fill: float
) -> None:
    files = []
    for month in range(1, 13):
        values = weather("TBOT", 1980, month, 4 * DAYS[month - 1])
        if month == 5:
            values[7, 4] = fill
        path = tmp_path / f"a.TPQWL.1980-{month:02d}.nc"
        given = {"_FillValue": np.float32(fill)}
        files.append(write_month(path, {"TBOT": ("K", values)}, 1980, month, attributes=given))
    with pytest.raises(InputError, match=r"1980-05\.nc.*TBOT has a monthly mean of fill in 1980-05.*cell 5"):
        reduced(files, tmp_path / "out.nc", variables=["TBOT"])
    assert not (tmp_path / "out.nc").exists()


# -- what is refused --------------------------------------------------------------------------------------


def test_a_missing_month_is_named(links: list[Path], tmp_path: Path) -> None:
    kept = [path for path in links if "Prec.1980-07" not in path.name]
    with pytest.raises(InputError, match=r"PRECTmms of 1980-07 is missing.*every month of 1980 to 1980"):
        reduced(kept, tmp_path / "out.nc")


def test_a_month_given_twice_is_named(links: list[Path], tmp_path: Path) -> None:
    copy = links[0].with_name("other.Prec.1980-03.nc")
    copy.symlink_to(next(path for path in links if "Prec.1980-03" in path.name))
    with pytest.raises(InputError, match=r"PRECTmms of 1980-03 is also in .*1980-03\.nc"):
        reduced([*links, copy], tmp_path / "out.nc")


def test_longwave_that_is_not_there_is_not_invented(tmp_path: Path) -> None:
    files = []
    for month in range(1, 13):
        contents = {
            name: (WEATHER[name][0], weather(name, 1980, month, DAYS[month - 1]))
            for name in STREAMS["TPQWL"]
            if name != "FLDS"
        }
        files.append(write_month(tmp_path / f"a.TPQW.1980-{month:02d}.nc", contents, 1980, month))
    with pytest.raises(InputError, match=r"FLDS is in none of the files.*from the history of the run"):
        reduced(files, tmp_path / "out.nc", variables=["FLDS"])
    assert set(reduced(files, tmp_path / "out.nc", variables=["QBOT", "TBOT"])) == {"QBOT", "TBOT"}


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda nc: nc["TBOT"].setncattr("units", "degC"), r"TBOT has units 'degC'; expected 'K'"),
        (
            lambda nc: nc["time"].setncattr("units", "days since 1980-06-01 00:00:00"),
            r"step 1 .* day 31\.\d* of",
        ),
        (lambda nc: nc["time"].setncattr("units", "days"), "time has units 'days'"),
        (lambda nc: nc["time"].setncattr("calendar", "360_day"), "calendar '360_day'"),
        (lambda nc: nc["time"].setncattr("calendar", "gregorian"), "standard calendar; expected noleap"),
        (lambda nc: nc["time"].__setitem__(slice(3, 5), nc["time"][[4, 3]]), "time does not increase"),
        (lambda nc: nc["LONGXY"].__setitem__(slice(None), nc["LONGXY"][:] + 0.5), "another grid"),
        (
            lambda nc: nc["TBOT"].__setitem__(slice(None), nc["TBOT"][:] - 273.15),
            r"monthly mean of .*180 to 340 K",
        ),
    ],
)
def test_a_file_that_does_not_fit_the_others_is_refused(
    links: list[Path], tmp_path: Path, change: Callable[[netCDF4.Dataset], None], line: str
) -> None:
    file = replace(links, "TPQWL", 5, change)
    with pytest.raises(InputError, match=line) as error:
        reduced(links, tmp_path / "out.nc")
    assert error.value.file == str(file)
    assert not (tmp_path / "out.nc").exists()


def test_steps_of_another_length_are_refused(links: list[Path], tmp_path: Path) -> None:
    link = next(path for path in links if "Prec.1980-05" in path.name)
    link.unlink()
    write_month(link, {"PRECTmms": ("mm/s", weather("PRECTmms", 1980, 5, 31))}, 1980, 5)
    with pytest.raises(InputError, match="PRECTmms comes in steps of 24 hours; expected 6 hours"):
        reduced(links, tmp_path / "out.nc")


def test_a_gregorian_february_must_have_28_days(tmp_path: Path) -> None:
    files, values = write_year(tmp_path / "in", calendar="gregorian")
    assert_means(reduced(files, tmp_path / "out.nc"), values)
    february = next(path for path in files if "Prec.1980-02" in path.name)
    february.unlink()
    contents = {"PRECTmms": ("mm/s", weather("PRECTmms", 1980, 2, 4 * 29))}
    write_month(february, contents, 1980, 2, calendar="gregorian")
    with pytest.raises(InputError, match=r"1980-02\.nc.*116 steps.*28 days.*drop 29 February"):
        reduced(files, tmp_path / "leap.nc")


def test_stamps_may_count_from_another_day_and_in_hours(links: list[Path], tmp_path: Path) -> None:
    def hours(nc: netCDF4.Dataset) -> None:
        # 79 years and the four months before May, noleap
        days = nc["time"][:].astype(np.float64) + 365 * 79 + 120
        nc["time"].units = "hours since 1901-01-01 00:00:00"
        nc["time"][:] = 24.0 * days

    replace(links, "Solr", 5, hours)
    assert set(reduced(links, tmp_path / "out.nc")) == set(FORCING)


@pytest.mark.parametrize("name", ["clmforc.1980.nc", "clmforc.1980-13.nc"])
def test_a_name_without_a_month_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="is not named like a monthly forcing file"):
        reduced([tmp_path / name], tmp_path / "out.nc")


def test_unknown_variables_and_kinds_are_refused(year: tuple[list[Path], Values], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'WIND' is no forcing variable"):
        reduced(year[0], tmp_path / "out.nc", variables=["WIND"])
    with pytest.raises(InputError, match="no forcing layout is called 'era'"):
        reduced(year[0], tmp_path / "out.nc", kind="era")


# -- the real sample --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real(elm_sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Monthly means of the sample's forcing as its model run saw it."""
    from phase_lib.elm.domain import read_domain

    output = tmp_path_factory.mktemp("real") / "monthly.nc"
    reduce_forcing(
        sorted((elm_sample / "forcing").glob("clmforc.*.nc")),
        read_domain(elm_sample / "domain.lnd.biomes.1d.nc"),
        output,
        first_year=1980,
        years=20,
        limit_km=1.0,
        align_year=1990,
        product="synthetic Daymet",
    )
    return output


@pytest.mark.parametrize(("stream", "name"), [("TPQWL", "QBOT"), ("Prec", "PRECTmms"), ("Solr", "FSDS")])
def test_means_of_the_real_forcing_are_those_of_numpy(
    elm_sample: Path, real: Path, stream: str, name: str
) -> None:
    with netCDF4.Dataset(elm_sample / "forcing" / f"clmforc.Daymet.km.1d.{stream}.1987-02.nc") as nc:
        expected = np.asarray(nc[name][:, 0], dtype=np.float64).mean(axis=0)
    with netCDF4.Dataset(real) as nc:
        assert np.allclose(nc[name][:, 12 * 7 + 1], expected, rtol=3e-7)


def test_the_model_saw_in_each_month_what_the_means_say(elm_sample: Path, real: Path) -> None:
    forcing = read_monthly_forcing(real)
    assert (forcing.first_year, forcing.years) == (1991, 20)
    # What interpolation in time within ELM's forcing component leaves; shortwave is shared out by the sun.
    within = {"TBOT": 0.05, "FLDS": 0.3, "PSRF": 4.0, "QBOT": 2e-5, "PRECTmms": 1e-5}
    for model_year in (1, 9, 10, 20):
        with netCDF4.Dataset(elm_sample / "history" / f"ad20.elm.h0.{model_year:04d}-02-01-00000.nc") as nc:
            seen = {name: np.asarray(nc[name][:]) for name in ("TBOT", "FLDS", "QBOT")}
            seen |= {"PSRF": np.asarray(nc["PBOT"][:]), "PRECTmms": nc["RAIN"][:] + nc["SNOW"][:]}
        months = slice(12 * (model_year - 1), 12 * model_year)
        for name, most in within.items():
            assert np.abs(seen[name] - forcing.values[name][months]).max() < most, name
