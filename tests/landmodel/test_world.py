"""The embedded world: real geography, plausible climate, ELM's file formats."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import netCDF4
import numpy as np
import pytest
from pydantic import ValidationError

from phase_lib.base.errors import InputError
from phase_lib.elm.domain import read_domain
from phase_lib.elm.parameters import read_parameters, read_soil_order_parameters
from phase_lib.elm.surface import read_surface
from phase_lib.forcing.pieces import read_monthly_forcing
from phase_lib.forcing.reduce import reduce_forcing
from phase_lib.landmodel.embedded.settings import EmbeddedSettings
from phase_lib.landmodel.embedded.world.build import Land, make_land, make_world, write_forcing
from phase_lib.landmodel.embedded.world.climate import bioclimate
from phase_lib.landmodel.embedded.world.noise import smooth_field
from phase_lib.landmodel.embedded.world.vegetation import pft_cover
from phase_lib.landmodel.embedded.world.weather import daily_weather, mean_sun_height

DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
EARTH_RADIUS_KM = 6371.22

#: Biomes that everybody knows: latitude, longitude (degrees east), the PFTs that must cover half of the cell.
BIOMES = {
    "Amazon": (-3, -62, {4}),
    "Congo": (1, 22, {4, 6}),
    "Borneo": (0, 114, {4}),
    "Sahara": (23, 8, {0}),
    "Arabia": (22, 47, {0}),
    "Greenland": (72, -40, {0}),
    "western Siberia": (62, 75, {2, 3, 8}),
    "eastern Siberia": (67, 135, {3, 11}),
    "Canadian shield": (57, -105, {2, 8}),
    "Chukotka": (67, -178, {11, 12}),
    "Tibet": (33, 88, {11, 12, 13}),
    "Cerrado": (-12, -47, {6, 14}),
    "miombo": (-8, 27, {6, 14}),
    "Mongolia": (43, 103, {0, 10, 13}),
    "corn belt": (42, -92, {15, 7}),
    "Ganges plain": (27, 78, {15, 16}),
    "Germany": (52, 9, {15, 7, 1}),
}


@pytest.fixture(scope="module")
def land() -> Land:
    return make_land(EmbeddedSettings())


@pytest.fixture(scope="module")
def cover(land: Land) -> np.ndarray:
    return pft_cover(land.lat, land.lon, land.zones, land.classes, bioclimate(land.climate), seed=2025)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A written world of 48 cells with two forcing years."""
    directory = tmp_path_factory.mktemp("world")
    make_world(EmbeddedSettings(cells=48, forcing_resolution_deg=12.0, forcing_years=2), directory)
    return directory


def nearest_cell(land: Land, lat: float, lon: float) -> int:
    across = (land.lon - lon + 180.0) % 360.0 - 180.0
    return int(np.argmin((land.lat - lat) ** 2 + (across * np.cos(np.deg2rad(lat))) ** 2))


def koeppen_main_class(temperature: np.ndarray, rain: np.ndarray, lat: np.ndarray) -> np.ndarray:
    """Koeppen main class from monthly temperature (degrees Celsius) and rain (mm), both (12, n)."""
    north = rain[3:9].sum(axis=0)
    total = rain.sum(axis=0)
    summer = np.where(lat >= 0, north, total - north) / total
    limit = 20.0 * temperature.mean(axis=0) + np.select([summer >= 0.7, summer >= 0.3], [280.0, 140.0], 0.0)
    coldest, warmest = temperature.min(axis=0), temperature.max(axis=0)
    return np.select(
        [warmest < 10.0, total < limit, coldest >= 18.0, coldest > 0.0], ["E", "B", "A", "C"], "D"
    )


def test_the_five_degree_world_has_the_land_cells_of_the_earth_without_antarctica(land: Land) -> None:
    assert 600 <= len(land.lat) <= 900
    assert land.lat.min() > -60.0
    for name, lat, lon in (("Pacific", 0, 200), ("Atlantic", 30, 320), ("Indian Ocean", -30, 80)):
        row, column = np.abs(land.grid.lat - lat).argmin(), np.abs(land.grid.lon - lon).argmin()
        assert land.grid.frac[row, column] == 0.0, name


def test_all_cells_together_are_the_sphere_and_land_has_the_earths_land_area(land: Land) -> None:
    assert land.grid.area.sum() == pytest.approx(4.0 * np.pi, rel=1e-12)
    square_km = (land.grid.area * land.grid.frac).sum() * EARTH_RADIUS_KM**2
    # 149 million km2 of land less 14 of Antarctica.
    assert square_km == pytest.approx(135.0e6, rel=0.07)


def test_a_finer_grid_of_the_same_world_has_the_same_land_and_the_same_climate(land: Land) -> None:
    fine = make_land(EmbeddedSettings(resolution_deg=2.5))
    areas = [(world.grid.area * world.grid.frac).sum() for world in (land, fine)]
    assert areas[1] == pytest.approx(areas[0], rel=0.03)
    assert np.array_equal(fine.weather.climate.mean, land.weather.climate.mean)
    assert len(fine.lat) > 3.5 * len(land.lat)


@pytest.mark.parametrize("name", BIOMES)
def test_biomes_lie_where_they_do_on_earth(land: Land, cover: np.ndarray, name: str) -> None:
    lat, lon, types = BIOMES[name]
    cell = nearest_cell(land, lat, lon)
    assert cover[cell, sorted(types)].sum() > 50.0, np.round(cover[cell], 1)


def test_covers_sum_to_a_hundred_and_none_is_negligible(cover: np.ndarray) -> None:
    assert np.abs(cover.sum(axis=1) - 100.0).max() < 1e-12
    assert cover[cover > 0.0].min() >= 2.0
    assert (cover > 0.0).sum(axis=1).max() <= 8
    assert cover.min() >= 0.0


def test_every_pft_covers_enough_cells_to_be_judged(cover: np.ndarray) -> None:
    assert ((cover[:, 1:] > 2.0).sum(axis=0) >= 60).all(), (cover > 2.0).sum(axis=0)


def test_climate_of_the_cells_has_the_main_class_that_the_map_gives_them(land: Land) -> None:
    classes = koeppen_main_class(land.climate.monthly_temperature, land.climate.precipitation, land.lat)
    mapped = np.array([land.classes[zone][0] for zone in land.zones.argmax(axis=1)])
    assert (classes == mapped).mean() >= 0.8
    for main in "ABCDE":
        assert (classes == mapped)[mapped == main].mean() >= 0.6, main


def test_tropical_evergreen_trees_stand_in_no_desert_and_no_frost(land: Land, cover: np.ndarray) -> None:
    forest = cover[:, 4] > 20.0
    assert land.climate.annual_precipitation[forest].min() > 900.0
    assert land.climate.monthly_temperature.min(axis=0)[forest].min() > 12.0


def test_places_have_the_climate_that_they_are_known_for(land: Land) -> None:
    temperature, rain = land.climate.monthly_temperature, land.climate.precipitation

    def at(lat: float, lon: float) -> tuple[np.ndarray, np.ndarray]:
        cell = nearest_cell(land, lat, lon)
        return temperature[:, cell], rain[:, cell]

    amazon, sahara, yakutsk, britain = at(-3, -62), at(23, 8), at(63, 130), at(53, -2)
    assert 24.0 < amazon[0].mean() < 28.0
    assert 1800.0 < amazon[1].sum() < 2800.0
    assert sahara[1].sum() < 60.0
    assert yakutsk[0][0] < -27.0
    assert yakutsk[0][6] > 13.0
    assert 7.0 < britain[0].mean() < 12.0
    assert 700.0 < britain[1].sum() < 1300.0
    india, spain = at(23, 78)[1], at(38, -4)[1]
    assert india[5:9].sum() > 0.6 * india.sum()
    assert spain[5:8].sum() < 0.2 * spain.sum()
    australia = at(-25, 133)[0]
    assert australia[0] > australia[6] + 10.0


def test_weather_of_the_cycle_has_the_mean_of_the_climatology(land: Land) -> None:
    points = np.array([nearest_cell(land, *place) for place in ((-3, -62), (52, 9), (23, 78), (63, 100))])
    row, column = np.divmod(land.forcing_point[points], len(land.weather.lon))
    for place in range(len(points)):
        here = slice(row[place], row[place] + 1), slice(column[place], column[place] + 1)
        grid = replace(
            land.weather,
            lat=land.weather.lat[here[0]],
            lon=land.weather.lon[here[1]],
            climate=land.weather.climate.take(land.forcing_point[points[place : place + 1]]),
        )
        years = [daily_weather(grid, year) for year in range(1901, 1921)]
        rain = np.mean([year.rain.sum(axis=0) for year in years])
        temperature = np.mean([year.temperature for year in years])
        assert rain == pytest.approx(grid.climate.annual_precipitation[0], rel=0.15)
        assert temperature == pytest.approx(grid.climate.mean[0], abs=0.7)
        assert np.std([year.rain.sum() for year in years]) > 0.03 * rain
        assert 0.1 < np.mean([year.rain > 0.1 for year in years]) < 0.85


def test_the_suns_mean_height_is_the_integral_over_the_step() -> None:
    lat, lon = np.array([0.0, 51.0, 75.0, -34.0, -80.0]), np.array([0.0, 123.0, 300.0, 18.5, 200.0])
    day = np.array([80.5, 171.5, 354.5])
    heights = mean_sun_height(lat, lon, day)
    hours = (np.arange(2400) + 0.5) / 100.0
    declination = np.deg2rad(-23.44) * np.cos(2.0 * np.pi * (day + 10.0) / 365.0)
    angle = np.deg2rad(15.0 * (hours[:, None] - 12.0) + lon)
    phi = np.deg2rad(lat)
    height = np.sin(phi) * np.sin(declination)[:, None, None] + (
        np.cos(phi) * np.cos(declination)[:, None, None] * np.cos(angle)
    )
    expected = np.maximum(height, 0.0).reshape(3, 4, 600, 5).mean(axis=2)
    assert np.allclose(heights, expected, atol=1e-4)
    assert heights[0, :, 0].mean() == pytest.approx(1.0 / np.pi, rel=1e-3)
    assert heights[2, :, 2].max() == 0.0


def test_noise_does_not_know_the_grid_and_has_unit_variance() -> None:
    rng = np.random.default_rng(1)
    lat, lon = np.rad2deg(np.arcsin(rng.uniform(-1, 1, 500))), rng.uniform(0, 360, 500)
    field = smooth_field(7, "test", lat, lon, 800.0)
    assert np.array_equal(smooth_field(7, "test", lat[:9], lon[:9], 800.0), field[:9])
    assert np.abs(smooth_field(7, "test", lat, lon - 360.0, 800.0) - field).max() < 1e-3
    spread = np.std([smooth_field(seed, "test", lat[:50], lon[:50], 800.0) for seed in range(40)])
    assert spread == pytest.approx(1.0, abs=0.1)


def test_a_small_world_has_all_climates_and_the_number_of_cells_asked_for(land: Land) -> None:
    few = make_land(EmbeddedSettings(cells=48))
    assert len(few.lat) == 48
    mains = [{world.classes[zone][0] for zone in world.zones.argmax(axis=1)} for world in (land, few)]
    assert mains[0] == mains[1] == set("ABCDE")
    places = set(zip(land.lat, land.lon, strict=True))
    assert set(zip(few.lat, few.lon, strict=True)) <= places


def test_a_box_is_a_part_of_the_same_world(land: Land) -> None:
    box = make_land(EmbeddedSettings(bounds=(30.0, 60.0, -20.0, 40.0)))
    assert box.grid.lon[0] == 342.5
    assert ((box.grid.lon + 180.0) % 360.0 - 180.0 <= 40.0).all()
    inside = (land.lat >= 30) & (land.lat <= 60) & ((land.lon >= 340) | (land.lon <= 40))
    assert len(box.lat) == inside.sum()
    assert len(box.weather.climate.mean) < 0.2 * len(land.weather.climate.mean)
    cell, twin = nearest_cell(box, 47.5, 12.5), nearest_cell(land, 47.5, 12.5)
    assert box.climate.mean[cell] == pytest.approx(land.climate.mean[twin], rel=1e-6)


def test_a_box_at_sea_is_refused() -> None:
    with pytest.raises(InputError, match="no land cell"):
        make_land(EmbeddedSettings(bounds=(-20.0, 0.0, -140.0, -120.0)))


def test_domain_and_surface_are_read_as_elms(small: Path) -> None:
    domain = read_domain(small / "domain.lnd.nc")
    assert domain.ncells == 48
    assert domain.shape == (36, 72)
    assert domain.lon.min() >= 0.0
    assert domain.frac.min() >= 0.3
    names = [
        "PCT_NAT_PFT",
        "PCT_SAND",
        "PCT_CLAY",
        "ORGANIC",
        "SOIL_ORDER",
        "SOIL_COLOR",
        "AREA",
        "PFTDATA_MASK",
    ]
    surface = read_surface(small / "surfdata.nc", names, domain.lat, domain.lon)
    assert np.abs(surface["PCT_NAT_PFT"].sum(axis=1) - 100.0).max() < 1e-12
    assert surface["PCT_SAND"].shape == (48, 10)
    assert (surface["PCT_SAND"] + surface["PCT_CLAY"]).max() <= 100.0
    assert surface["PCT_CLAY"].min() > 0.0
    assert (surface["ORGANIC"] >= 0.0).all()
    assert surface["ORGANIC"].max() <= 130.0
    assert set(np.unique(surface["SOIL_ORDER"])) <= set(range(1, 16))
    assert surface["SOIL_COLOR"].min() >= 1
    assert surface["SOIL_COLOR"].max() <= 20
    assert (surface["PFTDATA_MASK"] == 1).all()
    assert np.allclose(surface["AREA"], domain.area * EARTH_RADIUS_KM**2)


def test_landunits_of_every_cell_sum_to_a_hundred(small: Path) -> None:
    with netCDF4.Dataset(small / "surfdata.nc") as file:
        shares = ("PCT_NATVEG", "PCT_CROP", "PCT_WETLAND", "PCT_LAKE", "PCT_GLACIER")
        total = sum(file[name][:] for name in shares) + file["PCT_URBAN"][:].sum(axis=0)
        assert np.all(total == 100.0)
        assert np.abs(file["PCT_NAT_PFT"][:].sum(axis=0) - 100.0).max() < 1e-12


def test_phosphorus_maps_are_positive_and_leave_a_positive_solution_pool(small: Path) -> None:
    domain = read_domain(small / "domain.lnd.nc")
    names = ["LABILE_P", "SECONDARY_P", "OCCLUDED_P", "APATITE_P", "SOIL_ORDER"]
    surface = read_surface(small / "surfdata.nc", names, domain.lat, domain.lon)
    assert min(surface[name].min() for name in names[:4]) > 0.0
    smax = read_soil_order_parameters(small / "CNP_parameters.nc")["smax"][surface["SOIL_ORDER"]]
    # Langmuir: solution P = ks labile / (smax - labile), labile in gP m-3 of the top 50 cm.
    assert (surface["LABILE_P"] / 0.5 < 0.9 * smax).all()
    assert surface["LABILE_P"].std() > 1.0


def test_parameter_file_holds_elms_values(small: Path) -> None:
    parameters = read_parameters(small / "clm_params.nc")
    assert parameters.per_pft("leafcn")[[1, 2, 4, 14]].tolist() == [35.0, 40.0, 30.0, 25.0]
    assert parameters.per_pft("slatop")[[3, 5]].tolist() == [0.024, 0.012]
    assert parameters.per_pft("froot_leaf")[4] == 0.794
    assert parameters.per_pft("rootprof_beta")[11] == 0.914
    assert parameters.per_pft("woody").tolist() == [0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 0, 0, 0, 0, 0]
    assert parameters.per_pft("frootcn")[:2].tolist() == [1.0, 42.0]
    assert np.isnan(parameters.pft["pftpar28"][3])
    assert parameters.value("crit_dayl") == 39300.0
    assert parameters.value("k_s4") == 0.000100005000333347
    assert parameters.value("decomp_depth_efolding") == 0.33
    assert parameters.value("k_nitr_max") == 1.1574074e-06
    # What the pools are sped up by in AD mode follows from the rates.
    factors = parameters.ad_factors()
    assert factors["cwd"] == pytest.approx(1.369178, abs=1e-6)
    assert factors["soil3"] == pytest.approx(1.955577, abs=1e-6)
    assert factors["soil4"] == pytest.approx(27.395890, abs=1e-6)


def test_parameter_file_has_the_layout_of_elms(small: Path, elm_sample: Path) -> None:
    with (
        netCDF4.Dataset(small / "clm_params.nc") as written,
        netCDF4.Dataset(elm_sample / "clm_params_c211124.nc") as real,
    ):
        assert written.data_model == "NETCDF3_CLASSIC"
        assert {n: d.size for n, d in written.dimensions.items()} == {
            n: d.size for n, d in real.dimensions.items()
        }
        shared = set(written.variables) & set(real.variables)
        assert len(shared) > 195
        for name in shared:
            assert written[name].dimensions == real[name].dimensions, name
        assert bytes(written["pftname"][4].filled()).strip() == b"broadleaf_evergreen_tropical_tree"
        assert np.array_equal(written["leafcn"][17:], np.repeat(written["leafcn"][15], 8))
        assert "repeat" in written.note
    with (
        netCDF4.Dataset(small / "CNP_parameters.nc") as written,
        netCDF4.Dataset(elm_sample / "CNP_parameters_c180529.nc") as real,
    ):
        assert set(written.variables) == set(real.variables)
        assert written["r_mort_soilorder"][4] == 0.025
        assert written["r_mort_soilorder"][12] == 0.01


def test_forcing_has_datms_files_clock_and_units(small: Path) -> None:
    files = sorted(path.name for path in (small / "forcing").iterdir())
    assert len(files) == 3 * 12 * 2
    assert "clmforc.embedded.Solr.1901-01.nc" in files
    for month, days in ((1, 31), (2, 28)):
        with netCDF4.Dataset(small / "forcing" / f"clmforc.embedded.TPQWL.1902-{month:02d}.nc") as file:
            assert file["time"].units == f"days since 1902-{month:02d}-01 00:00:00"
            assert file["time"].calendar == "noleap"
            assert np.array_equal(file["time"][:], np.arange(4 * days) / 4.0 + 0.125)
            assert file["TBOT"].dimensions == ("time", "lat", "lon")
            assert file["TBOT"].dtype == np.float32
            assert file["TBOT"].units == "K"
            assert 190.0 < file["TBOT"][:].min() < file["TBOT"][:].max() < 330.0
            assert (file["QBOT"][:] > 0.0).all()
            assert (file["WIND"][:] > 0.0).all()
            assert file["LONGXY"][:].min() >= 0.0
            assert file["LONGXY"][:].max() < 360.0
    with netCDF4.Dataset(small / "forcing" / "clmforc.embedded.Solr.1901-06.nc") as file:
        assert file["FSDS"][:].min() == 0.0
        assert 700.0 < file["FSDS"][:].max() < 1100.0
    with netCDF4.Dataset(small / "forcing" / "clmforc.embedded.Prec.1901-06.nc") as file:
        rain = file["PRECTmms"][:]
        assert (rain >= 0.0).all()
        assert (rain == 0.0).mean() > 0.2


def test_humidity_never_exceeds_saturation(small: Path) -> None:
    with netCDF4.Dataset(small / "forcing" / "clmforc.embedded.TPQWL.1901-07.nc") as file:
        celsius = file["TBOT"][:].astype(np.float64) - 273.15
        vapour = file["QBOT"][:] * file["PSRF"][:] / (0.622 + 0.378 * file["QBOT"][:])
    # Bolton's formula is within half a percent of others above -40 degrees Celsius.
    saturation = 611.2 * np.exp(17.67 * celsius / (celsius + 243.5))
    assert (vapour <= 1.01 * saturation)[celsius > -40.0].all()


def test_forcing_is_reduced_to_the_cells_within_its_spacing(small: Path, tmp_path: Path) -> None:
    domain = read_domain(small / "domain.lnd.nc")
    files = sorted((small / "forcing").glob("*.nc"))
    reduce_forcing(files, domain, tmp_path / "monthly.nc", first_year=1901, years=2, limit_km=1000.0)
    forcing = read_monthly_forcing(tmp_path / "monthly.nc")
    sun = forcing.values["FSDS"].mean(axis=0)
    assert 160.0 < sun[np.abs(domain.lat) < 10.0].mean() < 260.0
    assert 80.0 < sun[domain.lat > 57.0].mean() < 150.0


def test_the_same_seed_gives_the_same_bytes_whatever_the_workers_and_another_seed_others(
    tmp_path: Path,
) -> None:
    settings = EmbeddedSettings(bounds=(40.0, 60.0, 0.0, 40.0), forcing_years=2, forcing_resolution_deg=12.0)
    for name, seed, workers in (("one", 1, 1), ("two", 1, 2), ("other", 2, 1)):
        world = make_land(settings.model_copy(update={"seed": seed}))
        write_forcing(world.weather, tmp_path / name, workers)
    file = "clmforc.embedded.TPQWL.1902-03.nc"
    one, two, other = ((tmp_path / name / file).read_bytes() for name in ("one", "two", "other"))
    assert one == two
    assert one != other


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"resolution_deg": 7.0}, "does not divide"),
        ({"forcing_resolution_deg": 1.0}, "forcing would take"),
        ({"bounds": (10.0, -10.0, 0.0, 20.0)}, "south < north"),
        ({"resolution": 5.0}, "extra"),
        ({"cells": 3}, "greater than or equal"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        EmbeddedSettings.model_validate(settings)
