"""Forcing that cannot be: a value in a single step, or a year that no place on Earth has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest

from phase_lib.base.errors import InputError
from phase_lib.elm.units import are_among
from phase_lib.forcing.reduce import open_record, reduce_forcing
from phase_lib.forcing.variables import FORCING
from tests.helpers.forcing import (
    DAYS,
    LAT,
    LON,
    WEATHER,
    land,
    weather,
    write_model_history,
    write_month,
    write_zone,
)

CELLS = land(LAT, LON)
MONTH_STARTS = np.cumsum((0, *DAYS))
Change = Callable[[np.ndarray], None]


def nothing(values: np.ndarray) -> None:
    """Leaves a year as it is."""


def given(name: str, years: int = 1, points: int = len(LAT)) -> np.ndarray:
    """Daily weather of years from 1980 on (points, days)."""
    months = [
        weather(name, 1980 + year, month, DAYS[month - 1], points)
        for year in range(years)
        for month in range(1, 13)
    ]
    return np.concatenate(months).T


def datm(directory: Path, name: str, change: Change = nothing, **choices: Any) -> list[Path]:
    """Monthly files of a year of one variable on the grid; `change` may alter its values (days, points)."""
    values = np.ascontiguousarray(given(name).T)
    change(values)
    files = []
    for month in range(1, 13):
        part = values[MONTH_STARTS[month - 1] : MONTH_STARTS[month]]
        path = directory / f"a.{name}.1980-{month:02d}.nc"
        files.append(write_month(path, {name: (WEATHER[name][0], part)}, 1980, month, **choices))
    return files


def bypass(
    directory: Path, name: str, change: Change = nothing, *, units: str | None = None, **choices: Any
) -> list[Path]:
    """A coupler-bypass file of a year of one variable; `change` may alter its values (days, points)."""
    values = given(name).copy()
    change(values.T)
    places = {"lat": LAT, "lon": LON, "years": (1980, 1980), "per_day": 1} | choices
    path, _ = write_zone(directory, name, 1, values, **places)
    with netCDF4.Dataset(path, "r+") as nc:
        nc[name].units = WEATHER[name][0] if units is None else units
    return [path]


def history(directory: Path, name: str, change: Change = nothing) -> list[Path]:
    """A daily history of a year; `change` may alter its values (days, cells)."""
    values = np.ascontiguousarray(given(name).T)
    change(values)
    names = {"PRECTmms": "RAIN", "PSRF": "PBOT"}
    field = (WEATHER[name][0], values)
    fields = {names.get(name, name): field}
    if name == "PRECTmms":
        fields["SNOW"] = (WEATHER[name][0], np.zeros_like(values))
    days = 365.0 * 1979 + np.arange(366.0)
    bounds = np.stack([days[:-1], days[1:]], axis=1)
    return [write_model_history(directory / "a.elm.h1.nc", fields, bounds, LAT, LON)]


LAYOUTS = {"datm": datm, "bypass": bypass, "history": history}


def reduced(
    files: Sequence[Path], name: str, kind: str = "datm", domain: Any = CELLS, **choices: Any
) -> np.ndarray:
    """The monthly means of a variable (cells, months)."""
    output = files[0].parent / "out.nc"
    options = {"first_year": 1980, "years": 1, "limit_km": 1.0, "variables": [name]} | choices
    reduce_forcing(files, domain, output, kind=kind, **options)  # type: ignore[arg-type]
    with netCDF4.Dataset(output) as nc:
        return np.asarray(nc[name][:])


def put(values: np.ndarray, days: Any, points: Any, value: float) -> None:
    values[days, points] = value


# -- single steps -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "bounds"),
    [
        ("FSDS", -9999.0, "-1 to 1600 W/m2"),
        ("FSDS", -30.0, "-1 to 1600 W/m2"),
        ("TBOT", 0.0, "150 to 350 K"),
        ("TBOT", 999.9, "150 to 350 K"),
        ("FLDS", 0.0, "10 to 800 W/m2"),
        ("FLDS", 1.0e20, "10 to 800 W/m2"),
        ("PSRF", 9999.0, "20000 to 120000 Pa"),
        ("PSRF", 1.0e6, "20000 to 120000 Pa"),
        ("QBOT", -999.0, r"-0\.0001 to 0\.06 kg/kg"),
        ("PRECTmms", 9.96921e36, ""),
        ("PRECTmms", -99.9, r"-1e-05 to 0\.2 mm/s"),
    ],
)
def test_a_value_in_a_single_step_that_cannot_be_is_named(
    tmp_path: Path, name: str, value: float, bounds: str
) -> None:
    files = datm(tmp_path, name, partial(put, days=72, points=[4, 3], value=value))
    with pytest.raises(InputError, match=rf"variable {name} .* at step 14 \(1980-03-14\)") as error:
        reduced(files, name)
    assert error.value.file == str(files[2])
    assert "land cell 4" in error.value.what
    if bounds:
        assert f"{name} is {value:g} at" in error.value.what
        assert "(2 such values in all)" in error.value.what
        assert error.value.expected == f"{bounds} at every step".replace("\\", "")
    assert not (tmp_path / "out.nc").exists()


def test_the_message_is_the_same_in_every_layout_and_with_several_processes(tmp_path: Path) -> None:
    lines = []
    for kind, layout in LAYOUTS.items():
        for workers in (1, 2):
            files = layout(tmp_path, "TBOT", partial(put, days=[72, 300], points=2, value=-9999.0))
            with pytest.raises(InputError) as error:
                reduced(files, "TBOT", kind, workers=workers)
            lines.append((error.value.what, error.value.expected, error.value.remedy))
    what = (
        "variable TBOT is -9999 at step {} (1980-03-14) at the point of land cell 3 ({} such values in all)"
    )
    rest = ("150 to 350 K at every step", "check units and fill values")
    month, record = (what.format(14, 1), *rest), (what.format(73, 2), *rest)
    assert lines == [month, month, record, record, record, record]


def test_what_no_cell_takes_is_not_looked_at(tmp_path: Path) -> None:
    def ocean(values: np.ndarray) -> None:
        values[:, 1] = -9999.0
        values[200, 2] = 1.0e20

    domain = land(LAT[[0, 3, 5]], LON[[0, 3, 5]])
    expected = [given("TBOT")[[0, 3, 5], :31].mean(axis=1)]
    for kind, layout in LAYOUTS.items():
        means = reduced(layout(tmp_path, "TBOT", ocean), "TBOT", kind, domain)
        assert np.allclose(means[:, 0], expected, rtol=1e-6), kind


def test_of_cells_that_share_a_point_the_first_is_named(tmp_path: Path) -> None:
    domain = land([LAT[5], LAT[4], LAT[4]], [LON[5], LON[4], LON[4] + 0.001])
    files = datm(tmp_path, "TBOT", partial(put, days=40, points=4, value=0.0))
    with pytest.raises(InputError, match=r"at step 10 \(1980-02-10\) at the point of land cell 2 \(1 such"):
        reduced(files, "TBOT", domain=domain)


@pytest.mark.parametrize(("name", "noise"), [("FSDS", -0.2), ("PRECTmms", -1.0e-9), ("QBOT", -1.0e-7)])
def test_noise_just_below_zero_is_taken_as_it_is(tmp_path: Path, name: str, noise: float) -> None:
    files = datm(tmp_path, name, partial(put, days=slice(0, 10), points=1, value=noise))
    values = given(name)[1, :31].astype(np.float64)
    values[:10] = noise
    assert reduced(files, name)[1, 0] == pytest.approx(values.mean(), rel=1e-6)


@pytest.mark.parametrize("kind", LAYOUTS)
def test_the_offset_of_an_instrument_throughout_a_polar_night_is_no_light(tmp_path: Path, kind: str) -> None:
    def night(values: np.ndarray) -> None:
        values[:50], values[300:] = -0.4, -0.4

    far_north = land(LAT + 40.0, LON)
    files = LAYOUTS[kind](tmp_path, "FSDS", night)
    for file in files:
        with netCDF4.Dataset(file, "r+") as nc:
            nc.variables.get("LATIXY", nc.variables.get("lat"))[:] += 40.0
    means = reduced(files, "FSDS", kind, far_north)
    assert np.all(means[:, [0, 11]] == 0.0)
    assert np.all(means[:, 2:10] > 50.0)


@pytest.mark.parametrize("scale", [-5.34e-3, 5.34e-3])
def test_a_packed_value_is_reported_unpacked_and_as_it_lies_on_file(tmp_path: Path, scale: float) -> None:
    files = bypass(tmp_path, "TBOT", packing=(scale, 262.5))
    assert np.all(reduced(files, "TBOT", "bypass") > 270.0)
    with netCDF4.Dataset(files[0], "r+") as nc:
        nc.set_auto_maskandscale(False)
        nc["TBOT"][2, 364] = 32767
    value = f"{32767 * scale + 262.5:g}"
    line = rf"TBOT is {value} \(32767 on file\) at step 365 \(1980-12-31\) at the point of land cell 3"
    with pytest.raises(InputError, match=line):
        reduced(files, "TBOT", "bypass")


def test_a_year_in_other_units_is_reported_by_its_mean_and_not_by_a_step(tmp_path: Path) -> None:
    def celsius(values: np.ndarray) -> None:
        values -= 273.15

    for kind in ("datm", "bypass"):
        files = LAYOUTS[kind](tmp_path, "TBOT", celsius)
        with pytest.raises(InputError, match=r"TBOT has a monthly mean of .*180 to 340 K"):
            reduced(files, "TBOT", kind)


def humid(directory: Path, humidity: str, change: Change, units: str | None = None) -> list[Path]:
    """Monthly files of temperature, pressure and another humidity; `change` may alter that (days, points)."""
    files = []
    for month in range(1, 13):
        air, pressure = (weather(name, 1980, month, DAYS[month - 1]) for name in ("TBOT", "PSRF"))
        values = np.full_like(air, 70.0) if humidity == "RH" else air - 5.0
        if month == 4:
            change(values)
        contents = {
            humidity: (units or {"RH": "%"}.get(humidity, "K"), values),
            "TBOT": ("K", air),
            "PSRF": ("Pa", pressure),
        }
        files.append(write_month(directory / f"a.TPHWL.1980-{month:02d}.nc", contents, 1980, month))
    return files


@pytest.mark.parametrize(
    ("humidity", "value", "line"),
    [
        ("RH", -9999.0, r"RH is -9999 at step 7 \(1980-04-07\).*land cell 2.*-0\.1 to 160 % at every step"),
        ("RH", 999.9, r"RH is 999\.9 at step 7"),
        ("TDEW", -999.0, r"TDEW is -999 at step 7.*130 to 340 K"),
        ("d2m", 9999.0, r"d2m is 9999 at step 7"),
        ("TDEW", 320.0, r"TDEW - TBOT is \d+\.?\d* at step 7 .*land cell 2.*-150 to 10 K at every step"),
    ],
)
def test_what_humidity_is_made_of_lies_within_bounds_too(
    tmp_path: Path, humidity: str, value: float, line: str
) -> None:
    assert np.all(reduced(humid(tmp_path, humidity, nothing), "QBOT") > 1e-3)
    files = humid(tmp_path, humidity, partial(put, days=6, points=1, value=value))
    with pytest.raises(InputError, match=line) as error:
        reduced(files, "QBOT")
    assert error.value.file == str(files[3])


def test_relative_humidity_as_a_fraction_is_refused(tmp_path: Path) -> None:
    def fraction(values: np.ndarray) -> None:
        values /= 100.0
        values[3, 3] = 1.1

    line = r"1980-04\.nc: variable RH is at most 0\.7 in 1980-04 at 6 of 6 land cells.*multiply it by 100"
    with pytest.raises(InputError, match=line):
        reduced(humid(tmp_path, "RH", fraction), "QBOT")

    def fraction_at_one(values: np.ndarray) -> None:
        values[:, 3] = 1.1

    line = r"RH is at most 1\.1 in 1980-04 at 1 of 6 land cells, first at land cell 4"
    with pytest.raises(InputError, match=line):
        reduced(humid(tmp_path, "RH", fraction_at_one), "QBOT")
    with pytest.raises(InputError, match=r"RH has units '1'; expected '%' or .*convert it: multiply by 100"):
        reduced(humid(tmp_path, "RH", fraction, units="1"), "QBOT")


def test_a_month_of_relative_humidity_as_a_fraction_is_found_in_a_whole_record(tmp_path: Path) -> None:
    humidity = np.full((len(LAT), 730), 70.0)
    humidity[2, 396:424] = 0.7
    places: dict[str, Any] = {"lat": LAT, "lon": LON, "years": (1980, 1981), "per_day": 1}
    series = {"RH": humidity, "TBOT": given("TBOT", 2), "PSRF": given("PSRF", 2)}
    files = [write_zone(tmp_path, name, 1, values, **places)[0] for name, values in series.items()]
    line = r"RH is at most 0\.7 in a month of 1980 to 1981 at 1 of 6 land cells, first at land cell 3"
    with pytest.raises(InputError, match=line):
        reduced(files, "QBOT", "bypass", years=2)
    assert reduced(files, "QBOT", "bypass").shape == (6, 12)


def test_fill_in_a_sample_of_a_history_is_named(tmp_path: Path) -> None:
    files = history(tmp_path, "TBOT", partial(put, days=33, points=2, value=1.0e36))
    with pytest.raises(InputError, match="TBOT is fill or NaN on land cell 3 in sample 34, from 1980-02-03;"):
        reduced(files, "TBOT", "history")


@pytest.mark.parametrize("kind", ["datm", "bypass"])
def test_zeros_that_look_like_an_ocean_are_named(tmp_path: Path, kind: str) -> None:
    files = LAYOUTS[kind](tmp_path, "FLDS", partial(put, days=slice(None), points=slice(None), value=0.0))
    line = (
        r"no forcing point with data lies within 1 km of the domain domain\.nc: FLDS is 0 throughout 1980-01"
    )
    with pytest.raises(InputError, match=line):
        reduced(files, "FLDS", kind)
    files += LAYOUTS[kind](tmp_path, "TBOT")
    with pytest.raises(
        InputError, match=r"points, 6 of 6 near the domain, as FLDS is 0 throughout 1980-01; expected"
    ):
        reduced(files, "FLDS", kind, variables=["TBOT", "FLDS"])


@pytest.mark.parametrize("kind", ["datm", "bypass"])
def test_a_gap_of_the_first_month_is_no_ocean(tmp_path: Path, kind: str) -> None:
    files = LAYOUTS[kind](tmp_path, "TBOT", partial(put, days=slice(0, 31), points=2, value=-9999.0))
    with pytest.raises(
        InputError, match=r"TBOT has data at 1 points near the domain that have none in 1980-01"
    ):
        reduced(files, "TBOT", kind, limit_km=200.0)
    assert not (tmp_path / "out.nc").exists()


# -- years ------------------------------------------------------------------------------------------------


def times(values: np.ndarray, factor: float, days: Any = slice(None), points: Any = slice(None)) -> None:
    values[days, points] *= factor


@pytest.mark.parametrize("kind", LAYOUTS)
def test_a_year_without_rain_or_water_in_the_air_is_refused_alike_in_every_layout(
    tmp_path: Path, kind: str
) -> None:
    files = LAYOUTS[kind](tmp_path, "QBOT", partial(times, factor=0.0))
    with pytest.raises(
        InputError,
        match=r"variable QBOT of 1980.* has a largest monthly mean of 0 at 6 of 6 land cells, first at land "
        r"cell 1; expected more than 5e-05 kg/kg",
    ) as error:
        reduced(files, "QBOT", kind)
    assert error.value.file == str(files[0])
    files = LAYOUTS[kind](tmp_path, "PRECTmms", partial(times, factor=0.0))
    with pytest.raises(
        InputError,
        match=r"variable PRECTmms of 1980.* brings at most 0 mm at all 6 land cells; expected 15 mm",
    ):
        reduced(files, "PRECTmms", kind)
    assert not (tmp_path / "out.nc").exists()


@pytest.mark.parametrize(
    ("name", "change", "line"),
    [
        ("QBOT", partial(times, factor=1e-3), r"largest monthly mean of 8\.\d*e-06 at 6 of 6 land cells"),
        ("QBOT", partial(times, factor=0.0, days=slice(31, 59), points=3),
         r"smallest monthly mean of 0 at 1 of 6 land cells, first at land cell 4; expected more than 5e-07"),
        ("FLDS", partial(times, factor=0.25), r"largest monthly mean of 8\d\.\d at 6 of 6.*more than 100"),
        ("PRECTmms", partial(times, factor=1e-3), r"brings at most 1\.\d* mm at all 6.*thousandth"),
        ("PRECTmms", partial(times, factor=200.0), r"brings 2\.\d*e\+05 mm at 6 of 6"),
        ("FSDS", partial(times, factor=0.0), r"annual mean of 0 at 6 of 6.* at latitude 40\.0"),
        ("FSDS", partial(times, factor=0.0864, points=2),
         r"annual mean of 15\.\d at 1 of 6 land cells, first at land cell 3; expected 49 to 37\d W/m\^2"),
        ("FSDS", partial(times, factor=0.01, days=slice(90, 120), points=4),
         r"monthly mean of 1\.\d+ in 1980-04 at 1 of 6 land cells, first at land cell 5; expected more than "
         r"20 W/m\^2, as this month brings at latitude 41\.0"),
        ("PRECTmms", partial(times, factor=0.0, points=slice(0, 5)),
         r"brings 0 mm at 5 of 6 land cells, first at land cell 1; expected 1 mm or more in a year"),
        ("FSDS", partial(times, factor=3.0), r"annual mean of 5\d\d at 6 of 6"),
        ("TBOT", partial(put, days=slice(None), points=slice(None), value=288.15),
         r"does not change from month to month at 6 of 6 land cells, first at land cell 1, 288\.15 there"),
        ("QBOT", partial(put, days=slice(None), points=2, value=0.008),
         r"does not change from month to month at 1 of 6 land cells, first at land cell 3, 0\.008 there"),
    ],
)  # fmt: skip
def test_a_year_that_no_place_on_earth_has_is_refused(
    tmp_path: Path, name: str, change: Change, line: str
) -> None:
    files = bypass(tmp_path, name, change)
    with pytest.raises(InputError, match=rf"variable {name} .*{line}"):
        reduced(files, name, "bypass")


def test_a_month_without_light_is_named_with_its_file(tmp_path: Path) -> None:
    files = datm(tmp_path, "FSDS", partial(times, factor=0.0, days=slice(90, 120)))
    with pytest.raises(InputError, match=r"FSDS of 1980 has a monthly mean of 0 in 1980-04") as error:
        reduced(files, "FSDS")
    assert error.value.file == str(files[3])


def test_the_year_that_cannot_be_is_named_among_several(tmp_path: Path) -> None:
    values = given("PRECTmms", 3)
    values[:, 365:730] = 0.0
    path, _ = write_zone(tmp_path, "PRECTmms", 1, values, LAT, LON, years=(1980, 1982), per_day=1)
    with pytest.raises(InputError, match=r"variable PRECTmms of 1981 brings at most 0 mm"):
        reduced([path], "PRECTmms", "bypass", years=3)
    assert reduced([path], "PRECTmms", "bypass").shape == (6, 12)


def test_a_desert_beside_others_or_by_itself_may_be_without_rain(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sahel: dict[str, Any] = {"lat": np.linspace(5.0, 20.0, 6), "lon": np.full(6, 358.0)}
    files = bypass(tmp_path, "PRECTmms", partial(times, factor=0.0, points=slice(4, 6)), **sahel)
    wet = reduced(files, "PRECTmms", "bypass", land(**sahel)).sum(axis=1) > 0.0
    assert wet.tolist() == [True, True, True, True, False, False]
    atacama: dict[str, Any] = {"lat": LAT - 63.5, "lon": np.full(6, 290.5)}
    files = bypass(tmp_path, "PRECTmms", partial(times, factor=0.0), **atacama)
    with caplog.at_level("WARNING"):
        assert np.all(reduced(files, "PRECTmms", "bypass", land(**atacama)) == 0.0)
    assert "PRECTmms brings at most 0 mm in 1980" in caplog.text


def test_polar_night_dry_cold_and_constant_pressure_are_weather(tmp_path: Path) -> None:
    def night(values: np.ndarray) -> None:
        values *= 0.7
        values[80:270] = 0.0

    def cold(values: np.ndarray) -> None:
        values[:] = np.linspace(2e-6, 2e-4, 365)[:, None]

    pole: dict[str, Any] = {"lat": -89.0 + np.arange(6.0) / 10.0, "lon": np.full(6, 120.0)}
    for name, change in (
        ("FSDS", night),
        ("QBOT", cold),
        ("PSRF", partial(put, days=slice(None), points=slice(None), value=6.2e4)),
        ("FLDS", partial(times, factor=0.4)),
    ):
        means = reduced(bypass(tmp_path, name, change, **pole), name, "bypass", land(**pole))
        assert np.isfinite(means).all(), name


# -- units and attributes ---------------------------------------------------------------------------------


def test_units_are_required_of_datm_and_reported_where_a_bypass_file_has_none(tmp_path: Path) -> None:
    files = datm(tmp_path, "TBOT")
    with netCDF4.Dataset(files[4], "r+") as nc:
        nc["TBOT"].delncattr("units")
    with pytest.raises(
        InputError, match=r"variable TBOT has no attribute units; expected 'K'.*ncatted"
    ) as error:
        open_record("datm", files, ["TBOT"], 1980, 1)
    assert error.value.file == str(files[4])
    for units, assumed in (("", {"TBOT": "K"}), ("K", {})):
        files = bypass(tmp_path, "TBOT", units=units)
        assert open_record("bypass", files, ["TBOT"], 1980, 1).assumed_units == assumed
        reduced(files, "TBOT", "bypass")
        with netCDF4.Dataset(tmp_path / "out.nc") as nc:
            assert getattr(nc["TBOT"], "assumed_units", "") == ("TBOT in K" if assumed else "")


@pytest.mark.parametrize(
    ("name", "spellings"),
    [
        ("FSDS", ("W/m2", "W/m**2", "W / m^2", "W m-2", "W m^-2", "w/m2", "watt/m2", "W/m²")),
        ("PRECTmms", ("mm/s", "mm/sec", "mm H2O / sec", "mm H2O/s", "kg m-2 s-1", "kg m^-2 s^-1", "kg/m2/s")),
        ("TBOT", ("K", "Kelvin", "degK")),
        ("QBOT", ("kg/kg", "kg kg-1", "kg kg**-1", "1")),
        ("PSRF", ("Pa", "pascal")),
    ],
)
def test_common_spellings_of_units_are_known(name: str, spellings: Sequence[str]) -> None:
    accepted = FORCING[name][1]
    assert [unit for unit in spellings if not are_among(unit, accepted)] == []
    for other in ("m/s", "g/kg", "hPa", "degC", "J/m2", "mm", "%", "W", "mm/h"):
        assert not are_among(other, accepted), other


@pytest.mark.parametrize(
    ("units", "remedy"),
    [("mm/day", "divide by 86400"), ("kg m-2 h-1", "divide by 3600"), ("m s-1", "multiply by 1000")],
)
def test_the_message_says_how_other_units_are_converted(tmp_path: Path, units: str, remedy: str) -> None:
    files = bypass(tmp_path, "PRECTmms", units=units)
    with pytest.raises(InputError, match=rf"has units '{units}'.*convert it: {remedy}"):
        open_record("bypass", files, ["PRECTmms"], 1980, 1)


@pytest.mark.parametrize(
    ("attributes", "line"),
    [
        ({"scale_factor": 0.0}, "scale_factor 0 and add_offset 0; expected finite numbers"),
        ({"add_offset": "none"}, "attribute add_offset of variable TBOT is no number"),
        ({"missing_value": "none"}, "attribute missing_value of variable TBOT is no number"),
    ],
)
def test_attributes_that_are_no_numbers_are_refused_in_one_line(
    tmp_path: Path, attributes: dict[str, Any], line: str
) -> None:
    files = bypass(tmp_path, "TBOT")
    with netCDF4.Dataset(files[0], "r+") as nc:
        nc["TBOT"].setncatts(attributes)
    with pytest.raises(InputError, match=line):
        reduced(files, "TBOT", "bypass")
