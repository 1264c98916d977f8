"""Six-hourly weather around a climatology, in DATM's monthly files.

Each day has a smooth weather state on the sphere: a slow anomaly (season to season and year to year), a
synoptic temperature anomaly, a rain state and a wind state, all AR(1) in time. Rain falls when the rain state
exceeds the quantile of the month's wet-day frequency; amounts are exponential, so the month's mean is the
climatology's. Clouds follow rain; shortwave follows sun and clouds; longwave temperature, humidity and
clouds. A day's mean shortwave is shared out by the exact mean of the sun's height over each step.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from scipy.special import ndtr

from phase_lib.elm.calendar import MONTH_STARTS
from phase_lib.elm.constants import DAYS_PER_MONTH, DAYS_PER_YEAR, SECONDS_PER_DAY, TFRZ
from phase_lib.elm.netcdf import add_variable, create_dataset
from phase_lib.landmodel.embedded.settings import STEPS_PER_DAY, STREAMS, forcing_name
from phase_lib.landmodel.embedded.world.climate import Climatology
from phase_lib.landmodel.embedded.world.noise import daily_coefficients, generator, waves

_STEP_SECONDS = SECONDS_PER_DAY / STEPS_PER_DAY
_SOLAR_CONSTANT = 1361.0
_STEFAN_BOLTZMANN = 5.670374e-8
_SEA_LEVEL_PRESSURE = 101325.0
_SCALE_HEIGHT = 8000.0

#: Weather processes: correlation length (km) and memory (days).
_PROCESSES = {
    "slow.temperature": (1800.0, 70.0),
    "slow.rain": (1500.0, 70.0),
    "temperature": (1200.0, 3.5),
    "rain": (700.0, 1.6),
    "wind": (900.0, 2.0),
}


@dataclass(frozen=True)
class WeatherGrid:
    """All that the weather of any year needs.

    Attributes:
        lat: rows (ny), degrees.
        lon: columns (nx), degrees, 0 to 360.
        climate: climatology at the points, row-major (ny * nx).
        seed: seed of the world.
        first_year, years: forcing cycle.
        attributes: global attributes of the files.
    """

    lat: np.ndarray
    lon: np.ndarray
    climate: Climatology
    seed: int
    first_year: int
    years: int
    attributes: Mapping[str, str] = field(default_factory=dict)

    @property
    def points(self) -> tuple[np.ndarray, np.ndarray]:
        """Latitude and longitude of the points, row-major (ny * nx)."""
        lat, lon = np.meshgrid(self.lat, self.lon, indexing="ij")
        return lat.ravel(), lon.ravel()


@dataclass(frozen=True)
class DailyWeather:
    """Daily weather of one year (365, n), float32.

    Attributes:
        temperature: degrees Celsius.
        rain: mm.
        cloud: cloud fraction.
        humidity: relative humidity, 0 to 1.
        wind: m s-1.
        pressure: Pa.
    """

    temperature: np.ndarray
    rain: np.ndarray
    cloud: np.ndarray
    humidity: np.ndarray
    wind: np.ndarray
    pressure: np.ndarray


def write_year(grid: WeatherGrid, year: int, directory: Path) -> None:
    """Writes the 36 files of one forcing year."""
    days = daily_weather(grid, year)
    for month in range(1, 13):
        values = _six_hourly(grid, days, year, month)
        for stream, variables in STREAMS.items():
            _write_month(grid, directory / forcing_name(stream, year, month), year, month, variables, values)


def daily_weather(grid: WeatherGrid, year: int) -> DailyWeather:
    """The daily state of one year, continuous with the year before it in the cycle."""
    lat, lon = grid.points
    previous = grid.first_year + (year - 1 - grid.first_year) % grid.years
    state = {}
    for name, (length, memory) in _PROCESSES.items():
        coefficients = daily_coefficients(grid.seed, f"weather.{name}", year, previous, memory)
        at_points = waves(grid.seed, f"weather.{name}", lat, lon, length)
        # einsum, not BLAS: its sums, and so the bytes on file, do not depend on the number of threads.
        state[name] = np.einsum("dk,kn->dn", coefficients, at_points)
    climate = grid.climate
    day = np.arange(DAYS_PER_YEAR) + 0.5
    poleward = np.abs(np.sin(np.deg2rad(lat)))
    season = np.cos(2.0 * np.pi * (day[:, None] - climate.peak_day) / DAYS_PER_YEAR)

    spread = (0.8 + 4.0 * poleward**1.5 * (0.55 + 0.6 * climate.continentality)) * (1.0 - 0.25 * season)
    slow = 0.25 + 0.75 * poleward
    temperature = climate.temperature(day) + spread * state["temperature"] + slow * state["slow.temperature"]

    monthly = _to_days(climate.precipitation)
    # The drier the place, the more its rain varies from year to year; the factor's mean is 1.
    sigma = 0.12 + 0.3 * np.exp(-climate.annual_precipitation / 400.0)
    expected = monthly * np.exp(sigma * state["slow.rain"] - 0.5 * sigma**2)
    frequency = np.clip(0.9 * monthly / (monthly + 75.0), 0.02, 0.8)
    exceeding = np.clip(1.0 - ndtr(state["rain"].astype(np.float64)), 1e-7, 1.0)
    wet = exceeding < frequency
    rain = np.where(wet, -np.log(np.minimum(exceeding / frequency, 1.0)), 0.0)
    rain *= expected * 12.0 / DAYS_PER_YEAR / frequency

    usual = 0.06 + 0.56 * monthly / (monthly + 42.0) + 0.2 * np.clip((np.abs(lat) - 35.0) / 20.0, 0.0, 1.0)
    cloud = np.clip(usual + 0.17 * state["rain"], 0.02, 0.97)
    humidity = 0.27 + 0.59 * monthly / (monthly + 42.0)
    humidity = humidity + np.clip((5.0 - temperature) / 40.0, 0.0, 0.35) * (1.0 - humidity)
    humidity = np.clip(humidity + 0.06 * state["rain"], 0.12, 0.97)
    usual_wind = 2.0 + 1.8 * (1.0 - climate.continentality) + 1.4 * poleward
    wind = usual_wind * np.exp(0.33 * state["wind"] - 0.054)
    pressure = _SEA_LEVEL_PRESSURE * np.exp(-climate.elevation / _SCALE_HEIGHT)
    pressure = pressure * (1.0 - 0.008 * (0.2 + poleward) * state["wind"])
    return DailyWeather(
        *(values.astype(np.float32) for values in (temperature, rain, cloud, humidity, wind, pressure))
    )


def _to_days(monthly: np.ndarray) -> np.ndarray:
    """Daily values (365, n) of monthly ones (12, n), linear between the middles of the months."""
    middle = 0.5 * (MONTH_STARTS[:-1] + MONTH_STARTS[1:])
    middle = np.concatenate([[middle[-1] - DAYS_PER_YEAR], middle, [middle[0] + DAYS_PER_YEAR]])
    around = np.concatenate([monthly[-1:], monthly, monthly[:1]])
    day = np.arange(DAYS_PER_YEAR) + 0.5
    after = np.searchsorted(middle, day, side="right")
    share = ((day - middle[after - 1]) / (middle[after] - middle[after - 1]))[:, None]
    return np.asarray((1.0 - share) * around[after - 1] + share * around[after])


def _six_hourly(grid: WeatherGrid, days: DailyWeather, year: int, month: int) -> dict[str, np.ndarray]:
    """The seven forcing variables of one month, (steps, n), float32."""
    lat, lon = grid.points
    these = slice(int(MONTH_STARTS[month - 1]), int(MONTH_STARTS[month]))
    count = DAYS_PER_MONTH[month - 1]
    day_of_year = np.arange(these.start, these.stop) + 0.5
    sun = mean_sun_height(lat, lon, day_of_year)

    each = partial(np.repeat, repeats=STEPS_PER_DAY, axis=0)
    cloud = days.cloud[these]
    eccentricity = 1.0 + 0.0334 * np.cos(2.0 * np.pi * (day_of_year - 3.0) / DAYS_PER_YEAR)
    top = _SOLAR_CONSTANT * eccentricity[:, None, None] * sun
    shortwave = (0.77 - 0.47 * cloud[:, None, :]) * top

    daily_sun = shortwave.mean(axis=1)
    swing = (3.0 + 5.5 * (1.0 - cloud)) * np.clip(daily_sun / 160.0, 0.15, 1.3)
    utc = (np.arange(STEPS_PER_DAY) + 0.5) * 24.0 / STEPS_PER_DAY
    local = utc[:, None] + lon[None, :] / 15.0
    diurnal = np.cos(2.0 * np.pi * (local - 15.0) / 24.0)
    diurnal = diurnal - diurnal.mean(axis=0)
    mean_temperature = days.temperature[these]
    celsius = (mean_temperature[:, None, :] + 0.5 * swing[:, None, :] * diurnal).reshape(4 * count, -1)

    pressure = each(days.pressure[these])
    vapour = each(days.humidity[these] * saturation_pressure(mean_temperature))
    vapour = np.minimum(vapour, 0.99 * saturation_pressure(celsius))
    kelvin = celsius + TFRZ
    # Emissivity of the clear sky after Prata (1996): holds in dry cold too.
    water = 0.465 * vapour / kelvin
    clear = 1.0 - (1.0 + water) * np.exp(-np.sqrt(1.2 + 3.0 * water))
    emissivity = np.minimum(clear + (0.98 - clear) * 0.75 * each(cloud) ** 2, 0.99)

    rng = generator(grid.seed, "weather.within_day", year, month)
    share = rng.random((count, STEPS_PER_DAY, len(lat)), dtype=np.float32) ** 3
    # Showers of warm climates fall in the afternoon.
    share += 0.6 * np.clip(mean_temperature[:, None, :] / 30.0, 0.0, 1.0) * np.maximum(diurnal, 0.0) + 1e-3
    share /= share.sum(axis=1, keepdims=True)
    precipitation = (share * days.rain[these][:, None, :] / _STEP_SECONDS).reshape(4 * count, -1)
    values = {
        "FSDS": shortwave.reshape(4 * count, -1),
        "PRECTmms": precipitation,
        "TBOT": kelvin,
        "QBOT": 0.622 * vapour / (pressure - 0.378 * vapour),
        "PSRF": pressure,
        "FLDS": emissivity * _STEFAN_BOLTZMANN * kelvin**4,
        "WIND": each(days.wind[these]),
    }
    return {name: value.astype(np.float32) for name, value in values.items()}


def saturation_pressure(celsius: np.ndarray) -> np.ndarray:
    """Saturation vapour pressure over water, Pa (Magnus form)."""
    return 610.94 * np.exp(17.625 * celsius / (celsius + 243.04))


def mean_sun_height(lat: np.ndarray, lon: np.ndarray, day_of_year: np.ndarray) -> np.ndarray:
    """Mean of max(cos zenith, 0) over each step of each day, (days, 4, n), UTC.

    Exact integral: cos zenith = a + b cos h, positive for |h| < H; a step covers a quarter turn of h.
    """
    phi = np.deg2rad(lat)[None, :]
    declination = np.deg2rad(-23.44) * np.cos(2.0 * np.pi * (day_of_year[:, None] + 10.0) / DAYS_PER_YEAR)
    a, b = np.sin(phi) * np.sin(declination), np.cos(phi) * np.cos(declination)
    half_day = np.arccos(np.clip(-a / np.maximum(b, 1e-9), -1.0, 1.0))
    width = 2.0 * np.pi / STEPS_PER_DAY
    start = np.arange(STEPS_PER_DAY)[:, None] * width + np.deg2rad(lon)[None, :] - np.pi
    start = (start + np.pi) % (2.0 * np.pi) - np.pi
    a, b, half_day, start = a[:, None, :], b[:, None, :], half_day[:, None, :], start[None, :, :]

    def integral(turn: float) -> np.ndarray:
        low = np.clip(start - turn, -half_day, half_day)
        high = np.clip(start + width - turn, -half_day, half_day)
        return np.asarray(a * (high - low) + b * (np.sin(high) - np.sin(low)))

    # A step that begins before local midnight runs into the next day's light.
    return np.asarray(np.maximum(integral(0.0) + integral(2.0 * np.pi), 0.0) / width)


def _write_month(
    grid: WeatherGrid,
    path: Path,
    year: int,
    month: int,
    variables: Mapping[str, tuple[str, str]],
    values: Mapping[str, np.ndarray],
) -> None:
    steps = STEPS_PER_DAY * DAYS_PER_MONTH[month - 1]
    shape = (len(grid.lat), len(grid.lon))
    plane = ("lat", "lon")
    lat, lon = np.meshgrid(grid.lat, grid.lon, indexing="ij")
    with create_dataset(path, "NETCDF3_64BIT_OFFSET") as dataset:
        for name, size in (("time", steps), ("lat", shape[0]), ("lon", shape[1])):
            dataset.createDimension(name, size)
        for name, axis, units, long_name in (
            ("LONGXY", lon, "degrees_east", "longitude coordinate"),
            ("LATIXY", lat, "degrees_north", "latitude coordinate"),
        ):
            add_variable(dataset, name, "f8", plane, axis, units=units, long_name=long_name)
        clock = {"standard_name": "time", "long_name": "time"}
        clock |= {"description": "time stamp in UTC, middle of each 6-hour step"}
        clock |= {"units": f"days since {year:04d}-{month:02d}-01 00:00:00", "calendar": "noleap"}
        add_variable(dataset, "time", "f4", ("time",), (np.arange(steps) + 0.5) / STEPS_PER_DAY, **clock)
        for name, (long_name, units) in variables.items():
            field = values[name].reshape(steps, *shape)
            add_variable(dataset, name, "f4", ("time", *plane), field, long_name=long_name, units=units)
        dataset.setncatts(dict(grid.attributes))
