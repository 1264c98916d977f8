"""Surface, domain and parameter files of every layout, and all readers on all NetCDF flavours."""

from __future__ import annotations

import tracemalloc
from dataclasses import fields
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest

from phase_lib.base.errors import InputError
from phase_lib.elm.domain import read_domain
from phase_lib.elm.history import History
from phase_lib.elm.netcdf import Flavour, flavour
from phase_lib.elm.parameters import read_parameters, read_soil_order_parameters
from phase_lib.elm.restart import read_header
from phase_lib.elm.subgrid import Subgrid
from phase_lib.elm.surface import LAND, open_fields, read_surface
from phase_lib.fusion.sources import open_surface
from phase_lib.preflight.facts import read_surface_facts
from phase_lib.preflight.inspection import inspect
from tests.helpers.history import Grid, write_history, years
from tests.helpers.layouts import permuted, squeezed
from tests.helpers.restarts import (
    LEAFCN,
    copy_of,
    edit,
    make_world,
    raw,
    without,
    write_parameters,
    write_soil_parameters,
)
from tests.helpers.units import domain_units, surface_units

RADIUS_KM = 6371.22
LAT, LON = np.array([-45.0, 0.0, 45.0]), np.array([0.0, 90.0, 180.0, 270.0])


def number(lat: np.ndarray, lon: np.ndarray, level: np.ndarray | int = 0) -> np.ndarray:
    """A value that tells places and levels apart."""
    return np.asarray(lat + (lon % 360.0) / 1000.0 + 100.0 * np.asarray(level))


def write_global_surface(path: Path, *, east: bool = True, natpft: int = 17, layers: int = 10) -> Path:
    """A 2-D surface file on `LAT`, `LON`."""
    lat, lon = np.meshgrid(LAT, LON, indexing="ij")
    with netCDF4.Dataset(path, "w", format="NETCDF3_64BIT_DATA") as d:
        for name, size in (
            ("lsmlat", 3), ("lsmlon", 4), ("natpft", natpft), ("cft", 2), ("nlevsoi", layers), ("time", 12)
        ):  # fmt: skip
            d.createDimension(name, size)
        d.createVariable("LATIXY", "f8", ("lsmlat", "lsmlon"))[:] = lat
        d.createVariable("LONGXY", "f8", ("lsmlat", "lsmlon"))[:] = lon if east else (lon + 180) % 360 - 180
        d.createVariable("SOIL_ORDER", "i4", ("lsmlat", "lsmlon"))[:] = np.arange(12).reshape(3, 4)
        levels = {"PCT_NAT_PFT": "natpft", "PCT_CFT": "cft", "PCT_SAND": "nlevsoi", "MONTHLY_LAI": "time"}
        for name, level in levels.items():
            size = d.dimensions[level].size
            dims = (
                (level, "natpft", "lsmlat", "lsmlon")
                if name == "MONTHLY_LAI"
                else (level, "lsmlat", "lsmlon")
            )
            values = number(lat, lon, np.arange(size)[:, None, None])
            if name == "MONTHLY_LAI":
                values = values[:, None] + 10000.0 * np.arange(natpft)[:, None, None]
            d.createVariable(name, "f8", dims)[:] = values
        for name, variable in d.variables.items():
            variable.units = surface_units(name)
    return path


# -- surface ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("natpft", [15, 17])
@pytest.mark.parametrize("east", [False, True])
def test_cells_of_a_2d_surface_file_are_found_by_place(tmp_path: Path, east: bool, natpft: int) -> None:
    path = write_global_surface(tmp_path / "surfdata.nc", east=east, natpft=natpft)
    lat, lon = np.array([45.0, -45.0, 0.0]), np.array([-90.0, 180.0, 360.0])
    result = read_surface(path, ["PCT_NAT_PFT", "PCT_CFT", "SOIL_ORDER", "MONTHLY_LAI"], lat, lon)
    pfts = number(lat[:, None], lon[:, None], np.arange(natpft))
    np.testing.assert_array_equal(result["PCT_NAT_PFT"], pfts)
    np.testing.assert_array_equal(result["PCT_CFT"], pfts[:, :2])
    assert result["SOIL_ORDER"].tolist() == [11, 2, 4]
    assert result["SOIL_ORDER"].dtype.kind == "i"
    months = number(lat[:, None, None], lon[:, None, None], np.arange(12)[:, None])
    np.testing.assert_array_equal(result["MONTHLY_LAI"], months + 10000.0 * np.arange(natpft))


def test_cells_of_a_1d_surface_file_are_found_by_place(elm_sample: Path) -> None:
    path = elm_sample / "surfdata.biomes.1d.nc"
    order = np.random.default_rng(0).permutation(24)
    lat, lon = raw(path, "LATIXY")[order], raw(path, "LONGXY")[order] % 360.0
    result = read_surface(path, ["PCT_SAND", "SOIL_COLOR"], lat, lon)
    np.testing.assert_array_equal(result["PCT_SAND"], raw(path, "PCT_SAND").T[order])
    np.testing.assert_array_equal(result["SOIL_COLOR"], raw(path, "SOIL_COLOR")[order])


@pytest.mark.parametrize("listed", [False, True])
def test_a_field_read_for_some_cells_at_a_time_is_that_of_all(listed: bool, tmp_path: Path) -> None:
    places = np.random.default_rng(4).permutation(12)[:9]
    lat, lon = (values.reshape(-1)[places] for values in np.meshgrid(LAT, LON, indexing="ij"))
    path = write_global_surface(tmp_path / "surfdata.nc")
    if listed:
        with netCDF4.Dataset(path) as grid:
            values = np.asarray(grid["PCT_NAT_PFT"][:]).reshape(17, -1)
        path = tmp_path / "list.nc"
        with netCDF4.Dataset(path, "w") as d:
            d.createDimension("natpft", 17)
            d.createDimension("gridcell", 12)
            for name, content in zip(("LATIXY", "LONGXY"), np.meshgrid(LAT, LON, indexing="ij"), strict=True):
                d.createVariable(name, "f8", ("gridcell",))[:] = content.reshape(-1)
            d.createVariable("PCT_NAT_PFT", "f8", ("natpft", "gridcell"))[:] = values
            d["PCT_NAT_PFT"].units = "%"
    with open_fields(path, ["PCT_NAT_PFT"], lat, lon) as fields:
        for cells in (np.arange(9), np.array([0]), np.array([3, 6, 4]), np.array([8, 8, 2])):
            right = number(lat[cells, None], lon[cells, None], np.arange(17))
            np.testing.assert_allclose(fields.read("PCT_NAT_PFT", cells), right)
    with (
        pytest.raises(InputError, match="have no partner"),
        open_fields(path, ["PCT_NAT_PFT"], lat + 1.0, lon),
    ):
        pass


# -- topounits --------------------------------------------------------------------------------------------


def write_topounits(path: Path, *, grid: bool, first: bool, fill: float = -999.0) -> dict[str, np.ndarray]:
    """Four cells of up to three topounits; returns what the cells hold, computed here in plain loops.

    Args:
        path: file to write.
        grid: a 2 x 2 grid instead of a list.
        first: topounits are the first dimension of fields with levels, else the second.
        fill: area of a topounit that a cell does not have.
    """
    rng = np.random.default_rng(2)
    area = np.array([[0.2, 1.0, 0.5, 0.4], [0.3, fill, 0.5, 0.6], [0.5, fill, 0.0, fill]])
    natural = np.array([[80.0, 50.0, 0.0, 0.0], [40.0, fill, 60.0, 0.0], [0.0, fill, 90.0, fill]])
    plants = rng.dirichlet(np.ones(17), (3, 4)) * 100.0  # (topounit, cell, natpft)
    sand = rng.uniform(10.0, 90.0, (3, 4, 10))
    order = np.array([[3.0, 7.0, 2.0, 5.0], [4.0, fill, 6.0, 9.0], [12.0, fill, 15.0, fill]])
    lat, lon = np.array([10.0, 10.0, 20.0, 20.0]), np.array([30.0, 40.0, 30.0, 40.0])
    places, shape = (("lsmlat", "lsmlon"), (2, 2)) if grid else (("gridcell",), (4,))
    with netCDF4.Dataset(path, "w") as d:
        sizes = {"topounit": 3, "natpft": 17, "nlevsoi": 10, **dict(zip(places, shape, strict=True))}
        for name, size in sizes.items():
            d.createDimension(name, size)
        d.createVariable("LATIXY", "f8", places)[:] = lat.reshape(shape)
        d.createVariable("LONGXY", "f8", places)[:] = lon.reshape(shape)
        for name, values in (("TopounitFracArea", area), ("PCT_NATVEG", natural), ("SOIL_ORDER", order)):
            d.createVariable(name, "f8", ("topounit", *places))[:] = values.reshape(3, *shape)
        for name, level, values in (("PCT_NAT_PFT", "natpft", plants), ("PCT_SAND", "nlevsoi", sand)):
            # From (topounit, cell, level) to the order on file.
            turned = values.transpose((0, 2, 1) if first else (2, 0, 1))
            dims = ("topounit", level, *places) if first else (level, "topounit", *places)
            d.createVariable(name, "f8", dims)[:] = turned.reshape(*turned.shape[:2], *shape)
        for name, variable in d.variables.items():
            variable.units = surface_units(name)
    right: dict[str, np.ndarray] = {
        "PCT_NAT_PFT": np.zeros((4, 17)),
        "PCT_SAND": np.zeros((4, 10)),
        "PCT_NATVEG": np.zeros(4),
        "SOIL_ORDER": np.array([12.0, 7.0, 2.0, 9.0]),
    }
    for cell in range(4):
        there = [t for t in range(3) if 0.0 < area[t, cell] <= 1.0]
        land = {t: area[t, cell] / sum(area[u, cell] for u in there) for t in there}
        right["PCT_NATVEG"][cell] = sum(land[t] * natural[t, cell] for t in there)
        right["PCT_SAND"][cell] = sum(land[t] * sand[t, cell] for t in there)
        ground = {t: land[t] * natural[t, cell] for t in there}
        if sum(ground.values()) == 0.0:
            ground = land
        right["PCT_NAT_PFT"][cell] = sum(ground[t] * plants[t, cell] for t in there) / sum(ground.values())
    return right | {"lat": lat, "lon": lon}


@pytest.mark.parametrize("grid", [False, True])
@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("fill", [-999.0, np.nan, 1.0e36])
def test_fields_of_topounits_are_means_of_the_cells_and_classes_those_of_the_largest(
    tmp_path: Path, grid: bool, first: bool, fill: float
) -> None:
    path = tmp_path / "surfdata.nc"
    right = write_topounits(path, grid=grid, first=first, fill=fill)
    lat, lon = right.pop("lat"), right.pop("lon")
    cells = np.array([2, 0, 3, 1])
    result = read_surface(path, list(right), lat[cells], lon[cells])
    for name, values in right.items():
        np.testing.assert_allclose(result[name], values[cells], rtol=1e-13, err_msg=name)
    with open_fields(path, list(right), lat, lon) as fields:
        for name, values in right.items():
            np.testing.assert_allclose(fields.read(name, cells[:2]), values[cells[:2]], rtol=1e-13)
    assert inspect(path)["mean_cover_percent"]["not_vegetated"] == pytest.approx(
        right["PCT_NAT_PFT"][right["PCT_NATVEG"] > 0.0, 0].mean()
    )


def test_one_topounit_is_the_cell_and_needs_no_area(tmp_path: Path) -> None:
    path = write_global_surface(tmp_path / "surfdata.nc")
    other = tmp_path / "one.nc"
    with netCDF4.Dataset(path) as old, netCDF4.Dataset(other, "w") as new:
        for name, dimension in old.dimensions.items():
            new.createDimension(name, dimension.size)
        new.createDimension("topounit", 1)
        for name, variable in old.variables.items():
            unit = () if name in ("LATIXY", "LONGXY") else ("topounit",)
            made = new.createVariable(name, "f8", (*unit, *variable.dimensions))
            made[:] = variable[:]
            made.units = variable.units
    names = ["PCT_NAT_PFT", "PCT_SAND", "SOIL_ORDER"]
    right, result = (read_surface(file, names, LAT[:2], LON[:2]) for file in (path, other))
    for name in names:
        np.testing.assert_array_equal(result[name], right[name])


def test_fill_on_a_topounit_that_counts_is_no_part_of_a_mean(tmp_path: Path) -> None:
    write_topounits(tmp_path / "surfdata.nc", grid=False, first=True)
    with netCDF4.Dataset(tmp_path / "surfdata.nc", "a") as d:
        d["PCT_SAND"][1, :, 0] = 1.0e36
        d["PCT_SAND"][2, :, 2] = 1.0e36  # has no land
    cells = np.array([0, 2])
    lat, lon = np.array([10.0, 20.0]), np.array([30.0, 30.0])
    sand = read_surface(tmp_path / "surfdata.nc", ["PCT_SAND"], lat, lon)["PCT_SAND"]
    np.testing.assert_array_equal(np.isnan(sand).all(axis=1), cells == 0)


def test_topounits_whose_land_is_unknown_are_refused(tmp_path: Path) -> None:
    write_topounits(tmp_path / "surfdata.nc", grid=False, first=False)
    path = without(tmp_path / "surfdata.nc", tmp_path / "none.nc", "TopounitFracArea")
    with pytest.raises(InputError, match="variable TopounitFracArea is missing"):
        read_surface(path, ["PCT_SAND"], np.array([10.0]), np.array([30.0]))
    read_surface(path, [], np.array([10.0]), np.array([30.0]))


def test_topounits_behind_the_cells_are_refused(tmp_path: Path) -> None:
    with netCDF4.Dataset(tmp_path / "surfdata.nc", "w") as d:
        for name, size in (("gridcell", 2), ("topounit", 3)):
            d.createDimension(name, size)
        for name in ("LATIXY", "LONGXY"):
            d.createVariable(name, "f8", ("gridcell",))[:] = [10.0, 20.0]
        d.createVariable("PCT_NATVEG", "f8", ("gridcell", "topounit"))[:] = 50.0
        d["PCT_NATVEG"].units = "unitless"
    with pytest.raises(
        InputError, match=r"variable PCT_NATVEG has dimensions \(gridcell, topounit\)|PCT_NATVEG has dim"
    ):
        read_surface(tmp_path / "surfdata.nc", ["PCT_NATVEG"], np.array([10.0]), np.array([10.0]))


def test_other_soil_layers_than_ten_are_refused(tmp_path: Path) -> None:
    path = write_global_surface(tmp_path / "surfdata.nc", layers=15)
    with pytest.raises(InputError, match=r"PCT_SAND has 15 layers \(dimension nlevsoi\); expected 10"):
        read_surface(path, ["PCT_SAND"], LAT[:1], LON[:1])
    read_surface(path, ["PCT_NAT_PFT"], LAT[:1], LON[:1])


def test_a_cell_that_the_surface_file_lacks_is_refused(tmp_path: Path) -> None:
    path = write_global_surface(tmp_path / "surfdata.nc")
    with pytest.raises(InputError, match="1 of 1 cells have no partner among its 12 surface cells"):
        read_surface(path, ["SOIL_ORDER"], np.array([44.0]), np.array([0.0]))


def test_a_field_off_the_grid_and_places_off_the_globe_are_refused(tmp_path: Path) -> None:
    path = write_global_surface(tmp_path / "surfdata.nc")
    with netCDF4.Dataset(path, "r+") as d:
        d.createVariable("ABM", "f8", ("time",))
    with pytest.raises(InputError, match=r"ABM has dimensions \(time\)"):
        read_surface(path, ["ABM"], LAT[:1], LON[:1])
    with netCDF4.Dataset(path, "r+") as d:
        d["LATIXY"][0, 1] = 95.0
    with pytest.raises(InputError, match="LATIXY: 1 cells are out of range, first cell 2 with 95"):
        read_surface(path, ["SOIL_ORDER"], LAT[:1], LON[:1])


@pytest.mark.parametrize(("units", "in_steradian"), [("km^2", True), ("km^2", False), ("radians^2", True)])
def test_areas_are_km2_whatever_the_file_holds(tmp_path: Path, units: str, in_steradian: bool) -> None:
    """Regional files say km^2 and hold steradian."""
    world = make_world(tmp_path)
    square_km = np.array([16.0, 12.5, 11000.0])
    with netCDF4.Dataset(world.surface, "r+") as d:
        d["AREA"].units = units
        d["AREA"][:] = square_km / RADIUS_KM**2 if in_steradian else square_km
        d["LANDFRAC_PFT"][:] = 0.5
    result = read_surface(world.surface, ["AREA"], world.lat, world.lon)["AREA"]
    np.testing.assert_allclose(result, square_km, rtol=1e-12)
    with open_fields(world.surface, LAND, world.lat, world.lon) as fields:
        land = fields.land_area(np.arange(len(world.lat)))
    np.testing.assert_allclose(land, 0.5e6 * square_km, rtol=1e-12)


@pytest.mark.parametrize(
    ("units", "per_km2"),
    [("m2", 1e6), ("m^2", 1e6), ("steradian", RADIUS_KM**-2), ("Radian^2", RADIUS_KM**-2)],
)
def test_areas_are_read_by_their_units(tmp_path: Path, units: str, per_km2: float) -> None:
    world = make_world(tmp_path)
    square_km = np.array([16.0, 12.5, 11000.0])
    with netCDF4.Dataset(world.surface, "r+") as d:
        d["AREA"].units = units
        d["AREA"][:] = square_km * per_km2
        d["LANDFRAC_PFT"].units = "%"
        d["LANDFRAC_PFT"][:] = 25.0
    result = read_surface(world.surface, ["AREA", "LANDFRAC_PFT"], world.lat, world.lon)
    np.testing.assert_allclose(result["AREA"], square_km, rtol=1e-12)
    np.testing.assert_allclose(result["LANDFRAC_PFT"], 0.25, rtol=1e-15)


def test_areas_in_m2_that_say_km2_and_shares_in_percent_are_refused(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    rows = np.arange(3)
    for name, values, words in (
        ("AREA", np.full(3, 1.6e7), r"AREA is 1.6e\+07 km2 in cell 1; expected at most 5e\+06 km2"),
        ("LANDFRAC_PFT", np.full(3, 100.0), "LANDFRAC_PFT is 100 in cell 1; expected 0 to 1"),
    ):
        right = raw(world.surface, name)
        edit(world.surface, name, ..., values)
        with (
            open_fields(world.surface, LAND, world.lat, world.lon) as fields,
            pytest.raises(InputError, match=words),
        ):
            fields.land_area(rows)
        edit(world.surface, name, ..., right)


@pytest.mark.parametrize("lost", [("lsmlat", "lsmlon"), ("lsmlat",), ("lsmlon",), ("gridcell",)])
def test_a_point_without_horizontal_dimensions_is_read_as_one_cell(
    elm_sample: Path, tmp_path: Path, lost: tuple[str, ...]
) -> None:
    sample = elm_sample / "surfdata.biomes.1d.nc"
    one = tmp_path / "one.nc"
    with netCDF4.Dataset(sample) as old, netCDF4.Dataset(one, "w") as new:
        grid = ("gridcell",) if lost == ("gridcell",) else ("lsmlat", "lsmlon")
        for name, size in (*((dim, 1) for dim in grid), ("natpft", 17), ("nlevsoi", 10), ("numurbl", 3)):
            new.createDimension(name, size)
        for name, variable in old.variables.items():
            if variable.dimensions[-1:] == ("gridcell",) and set(variable.dimensions[:-1]) <= {
                "natpft", "nlevsoi", "numurbl",
            }:  # fmt: skip
                made = new.createVariable(name, "f8", (*variable.dimensions[:-1], *grid))
                made.setncatts({"units": getattr(variable, "units", "1")})
                made[...] = np.asarray(variable[..., 9]).reshape(made.shape)
    point = squeezed(one, tmp_path / "point.nc", *lost)
    names = ["PCT_NAT_PFT", "PCT_SAND", "PCT_NATVEG", "AREA", "SOIL_ORDER", "PCT_URBAN"]
    lat, lon = raw(sample, "LATIXY")[9:10], raw(sample, "LONGXY")[9:10]
    right = read_surface(sample, names, lat, lon)
    result = read_surface(point, names, lat, lon % 360.0)
    with open_fields(point, names, lat, lon) as fields, open_surface(point, lat, lon) as source:
        for name in names:
            np.testing.assert_array_equal(result[name], right[name], err_msg=name)
            np.testing.assert_array_equal(
                fields.read(name, np.array([0, 0])), np.repeat(right[name], 2, axis=0)
            )
        np.testing.assert_array_equal(source.read("PCT_NAT_PFT", slice(0, 1)), right["PCT_NAT_PFT"])
        np.testing.assert_allclose(source.read("AREA", slice(0, 1)), right["AREA"])
    summary = inspect(point)
    assert (summary["kind"], summary["points"], summary["cells"]) == ("surface", 1, 1)
    np.testing.assert_allclose(read_surface_facts(point).cells.lat, lat)


@pytest.mark.parametrize("coordinate", ["numbers", "depths"])
def test_levels_are_read_in_the_order_that_their_coordinate_tells(
    elm_sample: Path, tmp_path: Path, coordinate: str
) -> None:
    sample = elm_sample / "surfdata.biomes.1d.nc"
    lat, lon = raw(sample, "LATIXY")[3:9], raw(sample, "LONGXY")[3:9]
    names = ["PCT_NAT_PFT", "PCT_SAND", "ORGANIC"]
    right = read_surface(sample, names, lat, lon)
    turned = permuted(
        copy_of(sample, tmp_path), "natpft", np.random.default_rng(1).permutation(17), np.arange(17)
    )
    depths = 0.025 * (np.exp(0.5 * (np.arange(1, 11) - 0.5)) - 1.0)
    layers = np.arange(1.0, 11.0) if coordinate == "numbers" else depths
    permuted(turned, "nlevsoi", np.arange(10)[::-1], layers)
    result = read_surface(turned, names, lat, lon)
    with open_fields(turned, names, lat, lon) as fields, open_surface(turned, lat, lon) as source:
        for name in names:
            np.testing.assert_array_equal(result[name], right[name])
            np.testing.assert_array_equal(fields.read(name, np.array([4, 0])), right[name][[4, 0]])
            np.testing.assert_array_equal(source.read(name, slice(1, 3)), right[name][1:3])
    edit(turned, "natpft", ..., np.arange(1, 18))
    with pytest.raises(InputError, match=r"coordinate natpft does not name ELM's PFTs: 1, 2, \.\.\., 17"):
        read_surface(turned, names, lat, lon)


def test_of_a_large_field_one_level_at_a_time_is_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "surfdata.nc"
    lat, lon = np.meshgrid(np.linspace(-89.5, 89.5, 180), np.arange(0.5, 360.0), indexing="ij")
    with netCDF4.Dataset(path, "w", format="NETCDF3_64BIT_DATA") as d:
        for name, size in (("lsmlat", 180), ("lsmlon", 360), ("natpft", 17), ("time", 12)):
            d.createDimension(name, size)
        d.createVariable("LATIXY", "f8", ("lsmlat", "lsmlon"))[:] = lat
        d.createVariable("LONGXY", "f8", ("lsmlat", "lsmlon"))[:] = lon
        d.createVariable("MONTHLY_LAI", "f8", ("time", "natpft", "lsmlat", "lsmlon"))
    tracemalloc.start()
    read_surface(path, ["MONTHLY_LAI"], lat[90, :5], lon[90, :5])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 * 8 * lat.size < 12 * 17 * 8 * lat.size


# -- domain -----------------------------------------------------------------------------------------------


def write_domain(
    path: Path,
    shape: tuple[int, int] = (3, 4),
    units: str = "radian2",
    frac_units: str = "unitless",
    **extra: Any,
) -> Path:
    """A domain with three cells of sea, and variables that no reader asks for."""
    lat, lon = np.meshgrid(LAT, LON, indexing="ij")
    mask = np.ones(12, dtype=np.int32)
    mask[[0, 5, 11]] = 0
    values = {"yc": lat, "xc": lon, "frac": mask * 0.7, "area": 1e-4 * (1.0 + np.arange(12)), **extra}
    with netCDF4.Dataset(path, "w", format="NETCDF3_CLASSIC") as d:
        for name, size in (("nj", shape[0]), ("ni", shape[1]), ("nv", 4), ("x", 7)):
            d.createDimension(name, size)
        d.createVariable("mask", "i4", ("nj", "ni"))[:] = mask.reshape(shape)
        for name, field in values.items():
            d.createVariable(name, "f8", ("nj", "ni"))[:] = np.asarray(field).reshape(shape)
        d["yc"].units, d["xc"].units, d["area"].units = "degrees_north", "degrees_east", units
        d["frac"].units = frac_units
        d.createVariable("gridID", "i4", ("nj", "ni"))
        d.createVariable("xv", "f8", ("nv", "nj", "ni"))
        d.createVariable("x", "f8", ("x",))
    return path


@pytest.mark.parametrize("shape", [(3, 4), (1, 12)])
def test_land_cells_of_a_domain_come_row_by_row(tmp_path: Path, shape: tuple[int, int]) -> None:
    domain = read_domain(write_domain(tmp_path / "domain.nc", shape))
    land = [1, 2, 3, 4, 6, 7, 8, 9, 10]
    assert (domain.shape, domain.row.tolist()) == (shape, land)
    lat, lon = np.meshgrid(LAT, LON, indexing="ij")
    np.testing.assert_array_equal(domain.lat, lat.reshape(-1)[land])
    np.testing.assert_array_equal(domain.lon, lon.reshape(-1)[land])
    assert np.all(domain.frac == 0.7)


@pytest.mark.parametrize(
    "units", ["radian2", "radians^2", "steradian", "arcad^2", "km^2", "km2", "m^2", "m2"]
)
def test_areas_of_a_domain_are_steradian_whatever_the_file_holds(tmp_path: Path, units: str) -> None:
    steradian = 1e-4 * (1.0 + np.arange(12))
    km2 = {"km": RADIUS_KM**2, "m^": 1e6 * RADIUS_KM**2, "m2": 1e6 * RADIUS_KM**2}
    area = steradian * km2.get(units[:2], 1.0)
    domain = read_domain(write_domain(tmp_path / "domain.nc", units=units, area=area))
    np.testing.assert_allclose(domain.area, steradian[domain.row], rtol=1e-12)


@pytest.mark.parametrize("lost", [("nj", "ni"), ("nj",), ("ni",)])
def test_a_domain_of_one_point_may_have_lost_its_dimensions(tmp_path: Path, lost: tuple[str, ...]) -> None:
    one = tmp_path / "one.nc"
    values = {"xc": 250.0, "yc": -20.0, "mask": 1.0, "frac": 0.5, "area": 1.0e-4}
    with netCDF4.Dataset(one, "w") as d:
        d.createDimension("nj", 1)
        d.createDimension("ni", 1)
        for name, value in values.items():
            d.createVariable(name, "f8", ("nj", "ni"))[:] = value
            d[name].units = domain_units(name)
    domain = read_domain(squeezed(one, tmp_path / "point.nc", *lost))
    assert (domain.shape, domain.row.tolist()) == ((1, 1), [0])
    result = domain.lat, domain.lon, domain.frac, domain.area, *domain.axes
    assert [v.tolist() for v in result] == [[-20.0], [250.0], [0.5], [1.0e-4], [-20.0], [250.0]]


def test_a_list_of_cells_without_its_dimension_of_one_is_read(tmp_path: Path) -> None:
    whole = read_domain(write_domain(tmp_path / "domain.nc", (1, 12)))
    result = read_domain(squeezed(tmp_path / "domain.nc", tmp_path / "list.nc", "nj"))
    assert result.shape == (1, 12)
    np.testing.assert_array_equal(result.lat, whole.lat)
    np.testing.assert_array_equal(result.area, whole.area)


def test_areas_in_m2_and_shares_in_percent_are_read_by_their_units(tmp_path: Path) -> None:
    steradian = 1e-4 * (1.0 + np.arange(12))
    path = write_domain(
        tmp_path / "domain.nc", units="m2", area=steradian * (1000.0 * RADIUS_KM) ** 2,
        frac=np.full(12, 70.0), frac_units="%",
    )  # fmt: skip
    domain = read_domain(path)
    np.testing.assert_allclose(domain.area, steradian[domain.row], rtol=1e-12)
    np.testing.assert_allclose(domain.frac, 0.7, rtol=1e-15)


@pytest.mark.parametrize(
    ("what", "words"),
    [
        (
            {"units": ""},
            "variable area has no attribute units; expected 'km.2' or .* say what its numbers are",
        ),
        ({"frac_units": ""}, "variable frac has no attribute units"),
        ({"frac": np.full(12, 70.0)}, "variable frac is 70 in cell 1; expected 0 to 1"),
        ({"frac_units": "%"}, "variable frac is at most 0.7, with units '%'; expected percent of the cell"),
        ({"units": "km^2", "area": np.full(12, 1.6e7)}, "variable area is 1.6e.07 km2 in cell 1"),
        ({"units": "m^2", "area": np.full(12, 1.2e4)}, "'m.2', in which cell 1 has 0.012 km2; expected 0.1"),
        ({"units": "m^2"}, "'m.2', in which cell 1 has 2e-10 km2; expected 0.1 to 5e.06 km2"),
    ],
)
def test_areas_and_shares_that_cannot_be_are_refused(
    tmp_path: Path, what: dict[str, Any], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        read_domain(write_domain(tmp_path / "domain.nc", **what))


def test_more_land_than_the_earth_has_is_refused(tmp_path: Path) -> None:
    """100 cells of 4e6 km2 on a sphere of 5.1e8 km2, of which 1.49e8 are land."""
    path = tmp_path / "domain.nc"
    values = {"xc": np.arange(100.0), "yc": np.zeros(100), "mask": 1, "frac": 1.0, "area": 4.0e6}
    with netCDF4.Dataset(path, "w") as d:
        d.createDimension("ni", 100)
        for name, value in values.items():
            variable = d.createVariable(name, "f8", ("ni",))
            variable.units = "km^2" if name == "area" else domain_units(name)
            variable[:] = value
    with pytest.raises(
        InputError,
        match=r"the land of its cells is 4e\+08 km2; expected no more than the Earth has, 1\.49e\+08",
    ):
        read_domain(path)
    edit(path, "frac", ..., 0.37)
    assert read_domain(path).ncells == 100


def test_a_mask_between_sea_and_land_is_refused(tmp_path: Path) -> None:
    path = write_domain(tmp_path / "domain.nc")
    with netCDF4.Dataset(path, "r+") as d:
        d.renameVariable("mask", "whole")
        values = d["whole"][:].astype("f8")
        values[1, 2] = 0.9999
        d.createVariable("mask", "f8", ("nj", "ni"))[:] = values
    with pytest.raises(
        InputError, match=r"variable mask is 0\.9999 in 1 cells, first cell 7; expected 1 on land"
    ):
        read_domain(path)
    edit(path, "mask", (1, 2), 100.0)
    with pytest.raises(InputError, match="variable mask is 100 in 1 cells, first cell 7; expected 1 on land"):
        read_domain(path)


def test_a_faulty_domain_is_refused(tmp_path: Path) -> None:
    lat, lon = np.meshgrid(LAT, LON, indexing="ij")
    nowhere = np.where((lat == 45.0) & (lon == 90.0), np.nan, lat)
    for what, words in (
        ({"units": "acres"}, "area has units 'acres'"),
        ({"yc": nowhere}, "yc: 1 cells are out of range"),
        ({"yc": np.zeros(12), "xc": np.full(12, 5.0)}, "cells 1 and 2 lie in the same place"),
    ):
        with pytest.raises(InputError, match=words):
            read_domain(write_domain(tmp_path / "domain.nc", **what))
    path = write_domain(tmp_path / "domain.nc")
    with netCDF4.Dataset(path, "r+") as d:
        d["mask"][:] = 0
    with pytest.raises(InputError, match="no cell is land"):
        read_domain(path)


def test_sea_may_lie_anywhere(tmp_path: Path) -> None:
    """Only land cells need a place: files are about that leave the sea's coordinates open."""
    lat, _ = np.meshgrid(LAT, LON, indexing="ij")
    lat = lat.reshape(-1).copy()
    lat[5] = 1.0e36
    assert read_domain(write_domain(tmp_path / "domain.nc", yc=lat)).ncells == 9


# -- parameters -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pfts", [17, 25])
def test_parameters_are_those_of_the_first_17_pfts(tmp_path: Path, pfts: int) -> None:
    path = write_parameters(tmp_path / "params.nc")
    if pfts == 17:
        with netCDF4.Dataset(path) as old, netCDF4.Dataset(tmp_path / "17.nc", "w") as new:
            new.createDimension("pft", 17)
            new.createDimension("allpfts", 1)
            for name, variable in old.variables.items():
                new.createVariable(name, "f8", variable.dimensions)[:] = variable[:17]
        path = tmp_path / "17.nc"
    parameters = read_parameters(path)
    np.testing.assert_array_equal(parameters.per_pft("leafcn"), LEAFCN)
    assert parameters.value("k_s4") == 0.0001000050003


@pytest.mark.parametrize("attribute", ["_FillValue", "missing_value", "neither"])
def test_masked_parameters_are_missing_not_numbers(tmp_path: Path, attribute: str) -> None:
    path = write_parameters(tmp_path / "params.nc")
    fill = 1.0e36 if attribute == "neither" else -999.0
    with netCDF4.Dataset(path, "r+") as d:
        variable = d.createVariable(
            "fm_leaf", "f8", ("pft",), fill_value=fill if attribute == "_FillValue" else None
        )
        if attribute == "missing_value":
            variable.missing_value = fill
        d.set_auto_mask(False)
        variable[:] = np.where(np.arange(25) % 5 == 0, fill, 0.5)
    parameters = read_parameters(path)
    values = parameters.pft["fm_leaf"]
    np.testing.assert_array_equal(np.isnan(values), np.arange(17) % 5 == 0)
    assert np.all(values[~np.isnan(values)] == 0.5)
    with pytest.raises(InputError, match="parameter fm_leaf has no value for PFT 5"):
        parameters.per_pft("fm_leaf")


def test_parameter_files_that_are_too_short_are_refused(tmp_path: Path) -> None:
    for name, size, read in (
        ("pft", 15, read_parameters),
        ("soilorder", 12, read_soil_order_parameters),
    ):
        path = tmp_path / f"{name}.nc"
        with netCDF4.Dataset(path, "w") as d:
            d.createDimension(name, size)
        with pytest.raises(InputError, match=f"dimension {name} is missing or short"):
            read(path)


# -- flavours ---------------------------------------------------------------------------------------------

FLAVOURS: tuple[Flavour, ...] = (
    "NETCDF3_CLASSIC",
    "NETCDF3_64BIT_OFFSET",
    "NETCDF3_64BIT_DATA",
    "NETCDF4",
)


def of_subgrid(grid: Subgrid) -> dict[str, Any]:
    """All that a subgrid says, its soil columns included."""
    attributes = {f.name: getattr(grid, f.name) for f in fields(grid) if f.name != "soil"}
    return attributes | {f"soil_{f.name}": getattr(grid.soil, f.name) for f in fields(grid.soil)}


def everything(folder: Path) -> dict[str, Any]:
    """What all readers say of the files in a folder."""
    header, grid = read_header(folder / "case.elm.r.0021-01-01-00000.nc")
    domain = read_domain(folder / "domain.nc")
    history = History([folder / "history.nc"])
    parameters = read_parameters(folder / "params.nc")
    return {
        **{f.name: getattr(header, f.name) for f in fields(header) if f.name not in ("path", "flavour")},
        **of_subgrid(grid),
        **{f"domain_{name}": getattr(domain, name) for name in ("row", "lat", "lon", "frac", "area")},
        "history": history.read("TLAI"),
        "land": history.grid.land_area_m2,
        **read_surface(folder / "surfdata.nc", ["PCT_NAT_PFT", "SOIL_ORDER", "AREA"], grid.lat, grid.lon),
        **parameters.pft,
        **parameters.scalar,
        **read_soil_order_parameters(folder / "soil.nc"),
    }


@pytest.mark.parametrize("kind", FLAVOURS)
def test_all_flavours_are_read_alike(tmp_path: Path, kind: Flavour) -> None:
    original, converted = tmp_path / "original", tmp_path / "converted"
    world = make_world(original, crop=True, ice=True)
    write_domain(original / "domain.nc")
    write_parameters(original / "params.nc")
    write_soil_parameters(original / "soil.nc")
    grid = Grid()
    values = np.random.default_rng(0).random((3, grid.cells))
    write_history(original / "history.nc", grid, years(0, 3), {"TLAI": values})
    converted.mkdir()
    for path in original.glob("*.nc"):
        without(path, converted / path.name, flavour=kind)
        assert flavour(converted / path.name) == kind
    expected, result = everything(original), everything(converted)
    assert expected.keys() == result.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(result[name], value, err_msg=name)
    np.testing.assert_array_equal(expected["cover"], world.cover)


def test_the_sample_reads_alike_as_netcdf4(elm_sample: Path, tmp_path: Path) -> None:
    restart = elm_sample / "ad20.elm.r.0021-01-01-00000.nc"
    copy = without(restart, tmp_path / restart.name, flavour="NETCDF4")
    (header, grid), (_, expected) = read_header(copy), read_header(restart)
    assert header.flavour == "NETCDF4"
    wanted = of_subgrid(expected)
    for name, values in of_subgrid(grid).items():
        np.testing.assert_array_equal(values, wanted[name], err_msg=name)
    for name in ("soil3c_vr", "leafc"):
        np.testing.assert_array_equal(raw(copy, name), raw(restart, name))


def test_a_truncated_copy_is_refused(elm_sample: Path, tmp_path: Path) -> None:
    path = copy_of(elm_sample / "ad20.elm.r.0021-01-01-00000.nc", tmp_path)
    with path.open("r+b") as stream:
        stream.truncate(path.stat().st_size // 2)
    with pytest.raises(InputError, match="is truncated"):
        read_header(path)
