"""The climatology at points: temperature, precipitation and what follows from them.

Temperature starts from a zonal mean at sea level, a continental correction, a lapse rate and smooth seeded
noise; the coldest and the warmest month are then limited to the range of the Koeppen class found there.
Precipitation is the class's annual sum, larger near the coast, times smooth noise, and limited so that the
class's own aridity threshold holds (Koeppen: 20 T + 280, 140 or 0 mm for rain in summer, evenly or in
winter). A point whose surroundings hold several classes takes their mean, the common class counting more.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from phase_lib.elm.constants import DAYS_PER_MONTH, DAYS_PER_YEAR
from phase_lib.landmodel.embedded.world.geography import by_class
from phase_lib.landmodel.embedded.world.noise import smooth_field
from phase_lib.landmodel.embedded.world.terrain import Terrain

_ZONAL_LAT = np.array([-90.0, -60, -55, -50, -40, -30, -20, -10, 0, 10, 20, 30, 40, 50, 60, 70, 80, 90])
#: Annual mean at sea level by latitude, degrees Celsius.
_ZONAL_T = np.array([-40.0, 1, 6, 9, 13, 19.5, 25, 27.5, 28, 28.5, 27.5, 22.5, 15, 9, 1.5, -9, -16, -22])
_LAPSE = 4.5e-3
#: Cores of the deserts: centre latitude and longitude, half widths north-south and east-west, degrees.
_HYPERARID = (
    (23.5, 8.0, 6.5, 30.0),  # Sahara
    (21.0, 50.0, 5.0, 6.0),  # Arabia
    (39.5, 84.0, 2.5, 8.0),  # Taklamakan
    (-23.0, -69.5, 4.0, 2.5),  # Atacama
)
#: Warmest day of the year over a northern continent; half a year later in the south.
_WARMEST_DAY = 200.0
_MONTH_MIDDLE = np.cumsum(DAYS_PER_MONTH) - 0.5 * np.asarray(DAYS_PER_MONTH)
#: The mean of a month is this share of a sinusoid's extreme.
_MONTH_OF_SINE = np.sinc(1.0 / 12.0)
#: Sharpness of the mean over classes: shares are raised to this power.
_SHARPNESS = 2.0


@dataclass(frozen=True)
class Climatology:
    """Climate at points (n), without weather.

    Attributes:
        mean: annual mean temperature, degrees Celsius.
        amplitude: half range of the daily seasonal cycle, K.
        peak_day: warmest day of the year.
        precipitation: monthly sums (12, n), mm.
        elevation: m.
        continentality: 0 to 1.
    """

    mean: np.ndarray
    amplitude: np.ndarray
    peak_day: np.ndarray
    precipitation: np.ndarray
    elevation: np.ndarray
    continentality: np.ndarray

    def temperature(self, day: np.ndarray) -> np.ndarray:
        """Temperature (days, n), degrees Celsius, on days of the year."""
        phase = 2.0 * np.pi * (np.asarray(day)[:, None] - self.peak_day) / DAYS_PER_YEAR
        return np.asarray(self.mean + self.amplitude * np.cos(phase))

    @property
    def monthly_temperature(self) -> np.ndarray:
        """Monthly means (12, n), degrees Celsius."""
        return np.asarray(self.mean + (self.temperature(_MONTH_MIDDLE) - self.mean) * _MONTH_OF_SINE)

    @property
    def annual_precipitation(self) -> np.ndarray:
        """Annual sums (n), mm."""
        return np.asarray(self.precipitation.sum(axis=0))

    def take(self, index: np.ndarray) -> Climatology:
        """The climatology at some of the points."""
        return Climatology(*(getattr(self, entry.name)[..., index] for entry in fields(self)))


def make_climatology(
    lat: np.ndarray, lon: np.ndarray, zones: np.ndarray, classes: tuple[str, ...], terrain: Terrain, seed: int
) -> Climatology:
    """Climate at points from class shares and terrain.

    Args:
        lat: points (n), degrees.
        lon: points (n), degrees.
        zones: Koeppen class shares (n, classes).
        classes: class names.
        terrain: at the points.
        seed: seed of the world.
    """
    table = by_class("koeppen_climate", classes)
    coldest, warmest = _unlimited_extremes(lat, lon, terrain, seed)
    coldest = np.clip(coldest[:, None], table["coldest_low"].to_numpy(), table["coldest_high"].to_numpy())
    warmest = np.clip(warmest[:, None], table["warmest_low"].to_numpy(), table["warmest_high"].to_numpy())
    warmest = np.maximum(warmest, coldest + 0.6)
    coldest, warmest = _limit_deserts(coldest, warmest, classes)

    inland = terrain.continentality
    annual = table["precipitation"].to_numpy() * _wetness(lat, lon, inland, seed)[:, None]
    shape = _seasonal_shape(lat, inland, table["seasonality"].to_numpy(), classes)
    annual = _limit_aridity(annual, 0.5 * (coldest + warmest), shape, lat, classes)

    weight = zones**_SHARPNESS
    weight = weight / weight.sum(axis=1, keepdims=True)
    cold, warm = (weight * coldest).sum(axis=1), (weight * warmest).sum(axis=1)
    lag = 25.0 * (1.0 - inland)
    return Climatology(
        mean=0.5 * (cold + warm),
        amplitude=0.5 * (warm - cold) / _MONTH_OF_SINE,
        peak_day=np.where(lat >= 0.0, _WARMEST_DAY, _WARMEST_DAY - 0.5 * DAYS_PER_YEAR) + lag,
        precipitation=np.einsum("nc,nc,mnc->mn", weight, annual, shape),
        elevation=terrain.elevation,
        continentality=inland,
    )


def _unlimited_extremes(
    lat: np.ndarray, lon: np.ndarray, terrain: Terrain, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Coldest and warmest month (n) before the class has its say, degrees Celsius."""
    inland = terrain.continentality
    belt = np.exp(-(((np.abs(lat) - 56.0) / 14.0) ** 2))
    mean = np.interp(lat, _ZONAL_LAT, _ZONAL_T) + 12.0 * (0.5 - inland) * belt - _LAPSE * terrain.elevation
    mean = mean + 1.1 * smooth_field(seed, "temperature", lat, lon, 900.0)
    # A sea under ice does not warm its coasts; the Norwegian Sea stays open.
    open_sea = np.abs((lon - 12.0 + 180.0) % 360.0 - 180.0) < 38.0
    frozen = np.where(open_sea, 0.0, np.clip((lat - 60.0) / 12.0, 0.0, 1.0))
    half_range = np.abs(lat) * (0.09 + 0.37 * np.maximum(inland, 0.45 * frozen)) + 0.6
    half_range = half_range * (1.0 + 0.08 * smooth_field(seed, "temperature.range", lat, lon, 900.0))
    return mean - half_range, mean + half_range


def _wetness(lat: np.ndarray, lon: np.ndarray, inland: np.ndarray, seed: int) -> np.ndarray:
    """Factor (n) on a class's precipitation: noise, coast, equator, polar cold, cores of the deserts."""
    noise = np.exp(0.4 * np.tanh(0.6 * smooth_field(seed, "precipitation", lat, lon, 700.0)))
    equator = 1.0 + 0.3 * np.exp(-((lat / 8.0) ** 2))
    polar = 1.0 - 0.4 * np.clip((np.abs(lat) - 62.0) / 14.0, 0.0, 1.0)
    core = np.zeros(len(lat))
    for core_lat, core_lon, north, east in _HYPERARID:
        across = (lon - core_lon + 180.0) % 360.0 - 180.0
        core = np.maximum(core, np.exp(-(((lat - core_lat) / north) ** 4) - (across / east) ** 4))
    return np.asarray(noise * (1.14 - 0.28 * inland) * equator * polar * (1.0 - 0.8 * core))


def _limit_deserts(
    coldest: np.ndarray, warmest: np.ndarray, classes: tuple[str, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Hot deserts and steppes (h) have an annual mean above 18 degrees Celsius, cold ones (k) below it."""
    mean = 0.5 * (coldest + warmest)
    hot = np.array([name in ("BWh", "BSh") for name in classes])
    cold = np.array([name in ("BWk", "BSk") for name in classes])
    shift = np.where(hot, np.maximum(18.8 - mean, 0.0), np.where(cold, np.minimum(17.2 - mean, 0.0), 0.0))
    return coldest + shift, warmest + shift


def _seasonal_shape(
    lat: np.ndarray, inland: np.ndarray, seasonality: np.ndarray, classes: tuple[str, ...]
) -> np.ndarray:
    """Share of each month in the annual precipitation (12, n, classes).

    exp(k cos) around local midsummer; k < 0 puts the rain into winter. The dry classes have their rain in
    summer on the equatorward side of the deserts and deep in Asia, in winter on the poleward, maritime side.
    """
    dry = np.array([name.startswith("B") for name in classes])
    to_winter = np.clip((np.abs(lat) - 22.0) / 6.0, 0.0, 1.0) * np.clip((0.85 - inland) / 0.25, 0.0, 1.0)
    strength = seasonality * np.where(dry, 1.0 - 2.0 * to_winter[:, None], 1.0)
    midsummer = np.where(lat >= 0.0, 200.0, 17.5)
    phase = np.cos(2.0 * np.pi * (_MONTH_MIDDLE[:, None] - midsummer) / DAYS_PER_YEAR)
    shape = np.exp(phase[:, :, None] * strength)
    return np.asarray(shape / shape.sum(axis=0))


def _limit_aridity(
    annual: np.ndarray, mean: np.ndarray, shape: np.ndarray, lat: np.ndarray, classes: tuple[str, ...]
) -> np.ndarray:
    """Annual precipitation (n, classes) held on its class's side of Koeppen's aridity threshold."""
    threshold = aridity_threshold(mean, summer_share(shape, lat[:, None]))
    desert = np.array([name.startswith("BW") for name in classes])
    steppe = np.array([name.startswith("BS") for name in classes])
    polar = np.array([name.startswith("E") for name in classes])
    humid = np.where(polar, annual, np.maximum(annual, 1.15 * threshold))
    steppes = np.clip(annual, 0.56 * threshold, 0.9 * threshold)
    return np.where(desert, np.minimum(annual, 0.42 * threshold), np.where(steppe, steppes, humid))


def summer_share(monthly: np.ndarray, lat: np.ndarray) -> np.ndarray:
    """Share of the precipitation (12, ...) in the six warm months, April to September in the north."""
    warm_half = monthly[3:9].sum(axis=0) / monthly.sum(axis=0)
    return np.asarray(np.where(lat >= 0.0, warm_half, 1.0 - warm_half))


def aridity_threshold(mean: np.ndarray, share_in_summer: np.ndarray) -> np.ndarray:
    """Koeppen's threshold (mm/yr) below which a climate is dry, from the annual mean in degrees Celsius."""
    extra = np.where(share_in_summer >= 0.7, 280.0, np.where(share_in_summer <= 0.3, 0.0, 140.0))
    return np.maximum(20.0 * mean + extra, 30.0)


@dataclass(frozen=True)
class Bioclimate:
    """What plants feel of a climate, at points (n).

    Attributes:
        coldest, warmest: monthly means, degrees Celsius.
        growing_degree_days: above 5 degrees Celsius, K d.
        moisture: annual precipitation over potential evapotranspiration (Holdridge: 58.93 mm per degree of
            the mean of monthly temperatures limited to 0..30 degrees Celsius).
        dry_months: months with less than a quarter of the potential evapotranspiration of the mean month.
    """

    coldest: np.ndarray
    warmest: np.ndarray
    growing_degree_days: np.ndarray
    moisture: np.ndarray
    dry_months: np.ndarray


def bioclimate(climate: Climatology) -> Bioclimate:
    """Bioclimatic variables of a climatology."""
    monthly = climate.monthly_temperature
    days = np.asarray(DAYS_PER_MONTH, dtype=np.float64)[:, None]
    evaporation = np.maximum(58.93 * np.clip(monthly, 0.0, 30.0).mean(axis=0), 60.0)
    return Bioclimate(
        coldest=monthly.min(axis=0),
        warmest=monthly.max(axis=0),
        growing_degree_days=(np.maximum(monthly - 5.0, 0.0) * days).sum(axis=0),
        moisture=climate.annual_precipitation / evaporation,
        dry_months=(climate.precipitation < 0.25 * evaporation / 12.0).sum(axis=0).astype(np.float64),
    )
