"""Soil grid, calendar, subgrid, canopy, matching and headers against facts and the real sample."""

from __future__ import annotations

import errno
import re
import subprocess
import sys
from pathlib import Path
from typing import Literal

import netCDF4
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phase_lib.base.errors import InputError
from phase_lib.elm.blocks import Blocks
from phase_lib.elm.calendar import (
    days_since_year_one,
    forcing_year,
    history_name,
    restart_name,
)
from phase_lib.elm.canopy import canopy_height, growth_form, leaf_area, leaf_carbon
from phase_lib.elm.domain import read_domain
from phase_lib.elm.matching import match_cells, nearest
from phase_lib.elm.netcdf import (
    Flavour,
    create_dataset,
    flavour,
    get_variable,
    open_dataset,
    room_for_header,
)
from phase_lib.elm.parameters import read_parameters
from phase_lib.elm.restart import read_header
from phase_lib.elm.soil_grid import DZDECOMP, DZSOI, ZISOI, ZSOI
from phase_lib.elm.subgrid import read_subgrid
from phase_lib.elm.surface import LAND, UNITS, open_fields, read_surface
from phase_lib.preflight import inspection
from phase_lib.preflight.inspection import describe, inspect
from tests.helpers.restarts import DZ, EVERGREEN, SLATOP, copy_of, edit, make_world, raw, without

RESTART = "ad20.elm.r.0021-01-01-00000.nc"


# -- soil layers ------------------------------------------------------------------------------------------


def test_soil_layers_have_the_documented_depths() -> None:
    assert ZSOI[[0, 3, 9, 14]] == pytest.approx([0.0071006, 0.1188651, 2.8646071, 35.1776212], rel=1e-5)
    assert DZSOI[[0, 9, 14]] == pytest.approx([0.0175128, 1.5057607, 13.8511521], rel=1e-5)
    assert ZISOI[[1, 10, 15]] == pytest.approx([0.0175128, 3.8018819, 42.1031973], rel=1e-5)
    assert pytest.approx(DZ, rel=3e-6) == DZDECOMP
    assert DZDECOMP.sum() == pytest.approx(3.801882, rel=1e-6)


def test_soil_stocks_of_the_real_restart_are_its_own_totals(elm_sample: Path) -> None:
    restart = elm_sample / RESTART
    soil = raw(restart, "cols1d_ityplun") == 1
    for total, parts in (
        ("totsomc", ("soil1c_vr", "soil2c_vr", "soil3c_vr", "soil4c_vr")),
        ("totlitp", ("litr1p_vr", "litr2p_vr", "litr3p_vr")),
    ):
        stock = sum(raw(restart, part)[soil][:, :10] @ DZDECOMP for part in parts)
        assert stock == pytest.approx(raw(restart, total)[soil], rel=1e-10)


# -- calendar and names -----------------------------------------------------------------------------------


def test_a_year_has_365_days() -> None:
    assert days_since_year_one(1) == 0
    assert days_since_year_one(21) == 7300
    assert days_since_year_one(5, 3) == 4 * 365 + 59


def test_names_are_the_models(elm_sample: Path) -> None:
    assert restart_name("ad20", 21) == RESTART
    assert (elm_sample / "history" / history_name("ad20", 1, 21)).is_file()


def test_forcing_is_cycled_from_the_aligned_year() -> None:
    # Model year y of the sample sees 1980 + ((y - 1990) mod 20).
    assert [forcing_year(y, 1980, 20, align=1990) for y in (1990, 2009, 2010, 1)] == [1980, 1999, 1980, 1991]
    assert [forcing_year(y, 1980, 20) for y in (1, 20, 21)] == [1980, 1999, 1980]


# -- restart, subgrid -------------------------------------------------------------------------------------


def test_the_header_of_the_real_restart(elm_sample: Path) -> None:
    header, grid = read_header(elm_sample / RESTART)
    assert (header.flavour, header.year, header.month, header.day) == ("NETCDF3_64BIT_DATA", 21, 1, 1)
    assert header.spinup_state == 1
    assert (header.dims["column"], header.dims["pft"], header.dims["levgrnd"]) == (388, 772, 15)
    assert grid.ncells == 24


def test_soil_columns_and_patches_of_the_real_restart_are_the_documented_rows(elm_sample: Path) -> None:
    _, grid = read_header(elm_sample / RESTART)
    # Cells without lake, wetland or glacier have 16 columns and 32 patches, the soil's first.
    assert np.array_equal(grid.soil.column[:11], 16 * np.arange(11))
    assert np.array_equal(grid.soil.patch[:11], 32 * np.arange(11)[:, None] + np.arange(17))
    assert grid.cover.sum(axis=1) == pytest.approx(np.ones(24), abs=1e-12)
    # Finland has 10 % lake and 5 % wetland, Greenland 55 % glacier.
    assert grid.soil_fraction[[11, 23]] == pytest.approx([0.85, 0.45])


def test_cover_of_the_real_restart_is_the_surface_files(elm_sample: Path) -> None:
    _, grid = read_header(elm_sample / RESTART)
    share = read_surface(elm_sample / "surfdata.biomes.1d.nc", ["PCT_NAT_PFT"], grid.lat, grid.lon)
    assert np.max(np.abs(grid.cover - share["PCT_NAT_PFT"] / 100.0)) < 5e-3


@pytest.mark.parametrize("crop", [False, True])
def test_shuffled_columns_and_patches_are_found_by_their_indices(tmp_path: Path, crop: bool) -> None:
    world = make_world(tmp_path, seed=17, cells=5, crop=crop)
    with open_dataset(world.restart) as dataset:
        grid = read_subgrid(world.restart, dataset)
        blocks = Blocks(world.restart, dataset)
        columns = [row for block in blocks.of_columns(4) for row in block.start + block.rows]
        patches = [row for block in blocks.of_patches(4, covered=False) for row in block.start + block.rows]
    assert np.array_equal(grid.soil.column, world.column)
    assert np.array_equal(grid.soil.patch, world.patch)
    assert np.array_equal(grid.cover, world.cover)
    pft = raw(world.restart, "pfts1d_itypveg")
    present = grid.soil.patch >= 0
    assert np.array_equal(
        pft[grid.soil.patch[present]], np.broadcast_to(np.arange(17), present.shape)[present]
    )
    # One soil column a cell, and the crop column with weight.
    assert len(columns) == 5 * (2 if crop else 1)
    assert len(patches) == 5 * (16 if crop else 17)


def test_a_pft_that_appears_twice_is_refused(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    edit(world.restart, "pfts1d_itypveg", int(world.patch[1, 3]), 4)
    with pytest.raises(InputError, match="twice"):
        read_header(world.restart)


def test_a_restart_without_flag_has_no_state_and_a_strange_one_is_refused(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    header, _ = read_header(without(world.restart, tmp_path / "none.nc", "spinup_state"))
    assert header.spinup_state is None
    edit(world.restart, "spinup_state", ..., 7)
    with pytest.raises(InputError, match="spinup_state is 7"):
        read_header(world.restart)


# -- canopy -----------------------------------------------------------------------------------------------


def test_leaf_area_and_height_are_those_of_the_real_restart(elm_sample: Path) -> None:
    restart = elm_sample / RESTART
    parameters = read_parameters(elm_sample / "clm_params_c211124.nc")
    _, grid = read_header(restart)
    covered = grid.covered.copy()
    covered[:, 0] = False
    rows, pft = grid.soil.patch[covered], np.nonzero(covered)[1]
    leafc, tlai = raw(restart, "leafc")[rows], raw(restart, "tlai")[rows]
    area = leaf_area(leafc, parameters.per_pft("slatop")[pft], parameters.per_pft("dsladlai")[pft])
    assert area == pytest.approx(tlai, rel=1e-12, abs=1e-12)
    form = growth_form(parameters.per_pft("woody"))[pft]
    # In AD the model computes height with ten times the dead stem.
    top, bottom = canopy_height(10.0 * raw(restart, "deadstemc")[rows], tlai, form)
    assert top == pytest.approx(raw(restart, "htop")[rows], rel=1e-9)
    assert bottom == pytest.approx(raw(restart, "hbot")[rows], rel=1e-9, abs=1e-12)


@given(
    st.floats(0.0, 12.0),
    st.sampled_from([0.008, 0.012, 0.03]),
    st.sampled_from([0.0, 6e-4, 2e-3]),
)
def test_leaf_carbon_is_the_inverse_of_leaf_area(tlai: float, slatop: float, dsladlai: float) -> None:
    leafc = leaf_carbon(np.array([tlai]), np.array([slatop]), np.array([dsladlai]))
    assert leaf_area(leafc, np.array([slatop]), np.array([dsladlai])) == pytest.approx(
        [tlai], rel=1e-10, abs=1e-12
    )


def test_growth_form_knows_shrubs_whatever_woody_says() -> None:
    ones, twos = np.array([0, *[1] * 11, *[0] * 5]), np.array([0, *[1] * 8, 2, 2, 2, *[0] * 5])
    assert np.array_equal(growth_form(ones), growth_form(twos))
    assert growth_form(twos).tolist() == twos.tolist()


# -- matching ---------------------------------------------------------------------------------------------


@given(st.integers(0, 10_000))
def test_cells_match_in_any_order_and_longitude_convention(seed: int) -> None:
    rng = np.random.default_rng(seed)
    lat, lon = rng.uniform(-89.0, 89.0, 30), rng.uniform(-180.0, 180.0, 30)
    order = rng.permutation(30)
    index, distance = match_cells(lat, lon, lat[order], lon[order] % 360.0, file="f.nc")
    assert np.array_equal(order[index], np.arange(30))
    assert distance.max() < 0.01


def test_distance_is_along_the_sphere_and_over_the_date_line() -> None:
    index, distance = nearest(
        np.array([0.0]), np.array([179.5]), np.array([0.0, 0.0]), np.array([-179.5, 178.0])
    )
    assert index[0] == 0
    assert distance[0] == pytest.approx(6371.22 * np.pi / 180.0, rel=1e-6)


def test_a_cell_without_partner_is_refused_with_its_distance() -> None:
    with pytest.raises(InputError, match=r"1 of 2 cells have no partner.*111\.\d km"):
        match_cells(np.array([0.0, 1.0]), np.zeros(2), np.array([0.0]), np.zeros(1), file="f.nc")


# -- files ------------------------------------------------------------------------------------------------


def test_flavours_follow_from_the_first_bytes(tmp_path: Path) -> None:
    for name in ("NETCDF3_CLASSIC", "NETCDF3_64BIT_OFFSET", "NETCDF3_64BIT_DATA", "NETCDF4"):
        path = tmp_path / f"{name}.nc"
        with create_dataset(path, name) as dataset:
            dataset.createDimension("x", 3)
        assert flavour(path) == name


def test_a_file_that_fails_half_way_leaves_nothing(tmp_path: Path) -> None:
    def write_half() -> None:
        with create_dataset(tmp_path / "half.nc") as dataset:
            dataset.createDimension("x", 3)
            raise KeyError("stop")

    with pytest.raises(KeyError, match="stop"):
        write_half()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("theirs", "mode"), [("r+", "r"), ("r+", "r+"), ("r", "r+")])
def test_a_file_under_the_lock_of_another_program_is_called_that(
    tmp_path: Path, theirs: Literal["r", "r+"], mode: Literal["r", "r+"]
) -> None:
    path = tmp_path / "h.nc"
    with create_dataset(path) as dataset:
        dataset.createDimension("x", 3)
    script = (
        f"import netCDF4, sys; d = netCDF4.Dataset({str(path)!r}, {theirs!r}); print(1, flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "1\n"
        with (
            pytest.raises(InputError, match=r"h\.nc: is open in another program.* wait until that program"),
            open_dataset(path, mode),
        ):
            pass
        if theirs == "r":  # readers do not disturb each other
            with open_dataset(path) as dataset:
                assert list(dataset.dimensions) == ["x"]
        other.communicate("\n")
    with open_dataset(path, mode) as dataset:
        assert list(dataset.dimensions) == ["x"]


def test_a_damaged_file_on_a_file_system_without_locks_names_the_way_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "h.nc"
    path.write_bytes(b"\x89HDF")
    with pytest.raises(InputError, match=r"cannot be opened \(.*copy it again"), open_dataset(path):
        pass

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    with (
        pytest.raises(InputError, match=r"\(No locks available\).* set HDF5_USE_FILE_LOCKING=FALSE"),
        open_dataset(path),
    ):
        pass


def test_wrong_units_dimensions_and_names_are_reported(tmp_path: Path) -> None:
    path = tmp_path / "f.nc"
    with create_dataset(path) as dataset:
        dataset.createDimension("x", 3)
        dataset.createVariable("a", "f8", ("x",)).units = "kg"
    with open_dataset(path) as dataset:
        assert get_variable(path, dataset, "a", dims=("x",), units=("kg",)).shape == (3,)
        for arguments, words in (
            ({"name": "b"}, "b is missing"),
            ({"name": "a", "dims": ("y",)}, "dimensions"),
            ({"name": "a", "units": ("g",)}, "'kg'"),
        ):
            with pytest.raises(InputError, match=words):
                get_variable(path, dataset, **arguments)


def test_domain_and_surface_of_the_sample_have_its_cells(elm_sample: Path) -> None:
    domain = read_domain(elm_sample / "domain.lnd.biomes.1d.nc")
    _, grid = read_header(elm_sample / RESTART)
    assert domain.ncells == 24
    match_cells(grid.lat, grid.lon, domain.lat, domain.lon, file="domain")
    # Cells of a 4 km grid: of 7 to 22 km2.
    with open_fields(elm_sample / "surfdata.biomes.1d.nc", LAND, grid.lat, grid.lon) as fields:
        area = fields.land_area(np.arange(24)) / 1e6
    assert np.all((area > 7.0) & (area < 22.0))


@pytest.mark.parametrize(
    ("name", "units"),
    [("LABILE_P", "kgP/m2"), ("PCT_NAT_PFT", "m2/m2"), ("LATIXY", "radians"), ("AREA", "acres")],
)
def test_a_surface_field_in_other_units_is_refused(tmp_path: Path, name: str, units: str) -> None:
    world = make_world(tmp_path)
    names = ["LABILE_P", "PCT_NAT_PFT", "AREA"]
    read_surface(world.surface, names, world.lat, world.lon)
    set_units(world.surface, name, units)
    with pytest.raises(InputError, match=f"{name} has units {re.escape(repr(units))}; expected "):
        read_surface(world.surface, names, world.lat, world.lon)


def set_units(path: Path, name: str, units: str) -> None:
    with netCDF4.Dataset(path, "r+") as d:
        d[name].units = units


def test_every_field_of_the_real_surface_file_has_known_units(elm_sample: Path) -> None:
    _, grid = read_header(elm_sample / RESTART)
    with netCDF4.Dataset(elm_sample / "surfdata.biomes.1d.nc") as d:
        assert all(d[name].units for name in UNITS)
    read_surface(elm_sample / "surfdata.biomes.1d.nc", [*UNITS, "SOIL_ORDER"], grid.lat, grid.lon)


@pytest.mark.parametrize("name", ["AREA", "LANDFRAC_PFT", "PCT_NAT_PFT", "OCCLUDED_P", "ORGANIC"])
def test_a_surface_field_without_units_is_refused(tmp_path: Path, name: str) -> None:
    world = make_world(tmp_path)
    with netCDF4.Dataset(world.surface, "r+") as d:
        d[name].delncattr("units")
    with pytest.raises(InputError, match=f"variable {name} has no attribute units; expected '"):
        read_surface(world.surface, [name], world.lat, world.lon)
    set_units(world.surface, name, " ")
    with pytest.raises(InputError, match=f"variable {name} has no attribute units"):
        read_surface(world.surface, [name], world.lat, world.lon)


def test_a_domain_in_radians_is_refused(elm_sample: Path, tmp_path: Path) -> None:
    path = copy_of(elm_sample / "domain.lnd.biomes.1d.nc", tmp_path)
    set_units(path, "yc", "radians")
    with pytest.raises(InputError, match="yc has units 'radians'"):
        read_domain(path)


# -- inspection -------------------------------------------------------------------------------------------


def test_files_of_a_run_are_recognised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A cell at a time is in memory.
    monkeypatch.setattr(inspection, "_VALUES", 24)
    monthly, predicted, test = (tmp_path / name for name in ("monthly.nc", "predictions.nc", "test.nc"))
    with create_dataset(monthly) as d:
        d.createDimension("gridcell", 2)
        d.createDimension("time", 24)
        d.first_year, d.years = np.int32(1901), np.int32(2)
        for name in ("lat", "lon", "forcing_distance_km"):
            d.createVariable(name, "f8", ("gridcell",))[:] = 5.0
        for name in ("FLDS", "PSRF", "FSDS", "QBOT", "PRECTmms", "TBOT"):
            d.createVariable(name, "f4", ("gridcell", "time"))[:] = [[270.0], [290.0]]
    for path, fields in (
        (predicted, ("soil3c_vr", "ood_flag")),
        (test, ("covered", "model", "soil3c_vr", "Y_soil3c_vr")),
    ):
        with create_dataset(path) as d:
            d.createDimension("gridcell", 2)
            if path == predicted:
                d.label_space = "normal"
            for name in ("lat", "lon", *fields):
                d.createVariable(name, "f8", ("gridcell",))[:] = [0.0, 1.0]
    content = {path.stem: inspect(path) for path in (monthly, predicted, test)}
    assert [item["kind"] for item in content.values()] == [
        "monthly_forcing",
        "predictions",
        "test_predictions",
    ]
    assert content["monthly"]["forcing_years"] == "1901 to 1902"
    assert content["monthly"]["means"]["TBOT"] == {"min": 270.0, "mean": 280.0, "max": 290.0, "units": ""}
    assert (content["predictions"]["fields"], content["predictions"]["flagged_cells"]) == (["soil3c_vr"], 1)
    assert content["test"]["fields"] == ["soil3c_vr"]
    for item in content.values():
        assert "no file known here" not in describe(item)[0]


def test_parameters_of_the_sample_are_the_documented_ones(elm_sample: Path) -> None:
    parameters = read_parameters(elm_sample / "clm_params_c211124.nc")
    assert np.flatnonzero(parameters.per_pft("evergreen") == 1).tolist() == list(EVERGREEN)
    assert parameters.per_pft("slatop") == pytest.approx(SLATOP, rel=1e-6)
    assert parameters.value("r_mort") == 0.02
    with pytest.raises(InputError, match="nothing is missing"):
        parameters.value("nothing")


@pytest.mark.parametrize("form", ["NETCDF3_CLASSIC", "NETCDF3_64BIT_OFFSET", "NETCDF3_64BIT_DATA"])
def test_definitions_do_not_move_the_values_of_a_file_with_room_for_its_header(
    form: Flavour, tmp_path: Path
) -> None:
    path, content, stayed = tmp_path / "file.nc", np.arange(1.0, 9.0), []
    with netCDF4.Dataset(path, "w", format=form) as nc:
        nc.createDimension("cell", len(content))
        with room_for_header(nc):
            first = nc.createVariable("first", "f8", ("cell",))
        first[:] = content
        for number in range(300):
            if number in (0, 299):
                nc.sync()
                stayed.append(path.read_bytes().index(content.astype(">f8").tobytes()))
            nc.createVariable(f"variable_{number}", "f8", ("cell",)).long_name = "an attribute of some length"
        assert nc.ncattrs() == []
    assert stayed[0] == stayed[1]
    with open_dataset(path) as nc:
        assert nc["first"][:].tolist() == content.tolist()
