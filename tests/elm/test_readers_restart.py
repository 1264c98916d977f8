"""Restarts of every subgrid layout, damaged ones, and the sums that a real one must keep."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import netCDF4
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phase_lib.base.errors import InputError
from phase_lib.elm.audit.run import audit_restart
from phase_lib.elm.blocks import Blocks
from phase_lib.elm.dead_wood import read_wood
from phase_lib.elm.netcdf import open_dataset
from phase_lib.elm.parameters import read_parameters
from phase_lib.elm.restart import read_header
from phase_lib.elm.soil_grid import DZDECOMP
from phase_lib.elm.subgrid import Subgrid, compare_cover
from phase_lib.elm.surface import read_surface
from phase_lib.elm.variables import COLUMN_TOTALS, TOTVEGC_POOLS
from phase_lib.preflight.inspection import inspect
from tests.helpers.restarts import World, edit, hide, make_world, raw, shuffled, without

RESTART = "ad20.elm.r.0021-01-01-00000.nc"


def tagged(restart: Path) -> Path:
    """The restart with `leafc` naming PFT and place of its patch, `cwdc_vr` the place of its column."""
    lat, lon = raw(restart, "grid1d_lat"), raw(restart, "grid1d_lon") % 360.0
    cell = raw(restart, "pfts1d_gridcell_index") - 1
    natural = (raw(restart, "pfts1d_ityplun") == 1) * 1000.0
    edit(
        restart, "leafc", ..., natural + raw(restart, "pfts1d_itypveg") + lat[cell] / 180.0 + lon[cell] / 1e4
    )
    cell = raw(restart, "cols1d_gridcell_index") - 1
    soil = (raw(restart, "cols1d_ityp") == 1) * 1000.0
    edit(restart, "cwdc_vr", (slice(None), 0), soil + lat[cell] / 180.0 + lon[cell] / 1e4)
    return restart


def check_tags(restart: Path) -> None:
    """Every row that the maps give holds the tag of its own cell and PFT."""
    _, grid = read_header(restart)
    place = grid.lat / 180.0 + (grid.lon % 360.0) / 1e4
    assert raw(restart, "cwdc_vr")[grid.soil.column, 0] == pytest.approx(1000.0 + place, abs=1e-9)
    result = grid.soil.patch >= 0
    expected = (1000.0 + np.arange(17) + place[:, None])[result]
    assert raw(restart, "leafc")[grid.soil.patch[result]] == pytest.approx(expected, abs=1e-9)


LAYOUTS = {
    "soil alone": {"urban": False, "lake": False},
    "urban, lake, wetland and ice": {"wetland": True, "ice": True},
    "crop landunit": {"crop": True},
    "everything, longitudes east": {"crop": True, "wetland": True, "ice": True, "east": True},
    "lakes on topounits of their own": {"topounits": "lake"},
    "in order": {"shuffle": False, "ice": True},
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_every_layout_is_read_by_its_indices(tmp_path: Path, layout: dict[str, bool]) -> None:
    world = make_world(tmp_path / "world", seed=3, cells=7, **layout)
    tagged(world.restart)
    for number in range(3):
        path = shuffled(world.restart, tmp_path / f"{number}.nc", number) if number else world.restart
        check_tags(path)
    _, grid = read_header(world.restart)
    np.testing.assert_array_equal(grid.cover, world.cover)
    assert grid.natural_pfts == (15 if layout.get("crop") else 17)
    with open_dataset(world.restart) as dataset:
        blocks = Blocks(world.restart, dataset)
        assert sum(map(len, blocks.of_columns(5))) == 7 * (2 if layout.get("crop") else 1)
        patches = sum(map(len, blocks.of_patches(5, covered=False)))
        assert patches == 7 * (16 if layout.get("crop") else 17)


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_the_order_on_file_does_not_matter(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    folder = tmp_path_factory.mktemp("order")
    world = make_world(folder, seed=5, cells=4, crop=True, ice=True)
    _, before = read_header(world.restart)
    _, after = read_header(shuffled(world.restart, folder / "other.nc", seed))
    one, other = np.lexsort((before.lon, before.lat)), np.lexsort((after.lon, after.lat))
    for name in ("lat", "lon", "cover", "soil_fraction", "unknown_cover"):
        np.testing.assert_array_equal(getattr(before, name)[one], getattr(after, name)[other])


def test_the_sample_in_random_order_is_the_sample(elm_sample: Path, tmp_path: Path) -> None:
    _, before = read_header(elm_sample / RESTART)
    path = shuffled(elm_sample / RESTART, tmp_path / "other.nc", 7)
    _, after = read_header(path)
    one, other = np.lexsort((before.lon, before.lat)), np.lexsort((after.lon, after.lat))
    for name in ("leafc", "tlai"):
        np.testing.assert_array_equal(
            raw(elm_sample / RESTART, name)[before.soil.patch[one]], raw(path, name)[after.soil.patch[other]]
        )
    np.testing.assert_array_equal(
        raw(elm_sample / RESTART, "soil4c_vr")[before.soil.column[one]],
        raw(path, "soil4c_vr")[after.soil.column[other]],
    )


# -- refusals ---------------------------------------------------------------------------------------------


def column_of(world: World, cell: int) -> int:
    return int(world.column[cell])


DAMAGE = {
    "a cell index too high": (
        lambda w: edit(w.restart, "cols1d_gridcell_index", column_of(w, 0), 4),
        r"cols1d_gridcell_index: 1 entries point nowhere, first entry \d+ with 4; expected 1 to 3",
    ),
    "a column index of zero": (
        lambda w: edit(w.restart, "pfts1d_column_index", 2, 0),
        "pfts1d_column_index: 1 entries point nowhere, first entry 3 with 0",
    ),
    "a patch on a column of another cell": (
        lambda w: edit(w.restart, "pfts1d_column_index", int(w.patch[0, 2]), column_of(w, 1) + 1),
        r"pfts1d_column_index: patch \d+ of cell 1 lies on column \d+ of cell 2",
    ),
    "a cell twice": (
        lambda w: [
            edit(w.restart, f"grid1d_{n}", 2, raw(w.restart, f"grid1d_{n}")[0]) for n in ("lat", "lon")
        ],
        "grid1d_lat, grid1d_lon: cells 1 and 3 lie in the same place",
    ),
    "a cell twice, in both longitude conventions": (
        lambda w: [
            edit(w.restart, "grid1d_lat", 2, raw(w.restart, "grid1d_lat")[0]),
            edit(w.restart, "grid1d_lon", 2, raw(w.restart, "grid1d_lon")[0] + 360.0),
        ],
        "cells 1 and 3 lie in the same place",
    ),
    "a latitude that is NaN": (
        lambda w: edit(w.restart, "grid1d_lat", 1, np.nan),
        "grid1d_lat: 1 cells are out of range, first cell 2 with nan",
    ),
    "a longitude that is fill": (
        lambda w: edit(w.restart, "grid1d_lon", 1, 1.0e36),
        r"grid1d_lon: 1 cells are out of range, first cell 2 with 1e\+36",
    ),
    "weights that miss 1": (
        lambda w: edit(w.restart, "pfts1d_wtcol", int(w.patch[1, 7]), 0.9),
        "pfts1d_wtcol: the patches on the soil column of cell 2 sum to .*; 1 such columns; expected 1 within",
    ),
    "a weight that is NaN": (
        lambda w: edit(w.restart, "pfts1d_wtcol", int(w.patch[1, 7]), np.nan),
        "sum to nan",
    ),
}


@pytest.mark.parametrize(("damage", "words"), DAMAGE.values(), ids=DAMAGE.keys())
def test_damaged_indices_places_and_weights_are_refused_in_one_line(
    tmp_path: Path, damage: object, words: str
) -> None:
    world = make_world(tmp_path)
    assert callable(damage)
    damage(world)
    with pytest.raises(InputError, match=words) as caught:
        read_header(world.restart)
    assert "\n" not in str(caught.value)


def test_exchanged_latitudes_and_longitudes_are_guessed(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    edit(world.restart, "grid1d_lat", ..., [120.0, 100.0, 20.0])
    edit(world.restart, "grid1d_lon", ..., [10.0, 20.0, 30.0])
    with pytest.raises(
        InputError, match=r"2 cells are out of range.*grid1d_lat and grid1d_lon look exchanged"
    ):
        read_header(world.restart)


def test_weights_that_went_through_float32_are_read(tmp_path: Path) -> None:
    """An audit tells that the model will not accept them; reading needs no more than a share."""
    world = make_world(tmp_path)
    edit(world.restart, "pfts1d_wtcol", ..., raw(world.restart, "pfts1d_wtcol").astype(np.float32))
    _, grid = read_header(world.restart)
    assert grid.cover == pytest.approx(world.cover, abs=1e-7)


@pytest.mark.parametrize("number", [-1, 17, 30])
def test_a_pft_that_does_not_exist_has_no_patch_but_its_cover_is_kept(tmp_path: Path, number: int) -> None:
    world = make_world(tmp_path)
    edit(world.restart, "pfts1d_itypveg", int(world.patch[1, 7]), number)
    _, grid = read_header(world.restart)
    assert grid.soil.patch[1, 7] == -1
    assert grid.unknown_cover.tolist() == [0.0, world.cover[1, 7], 0.0]
    assert np.delete(grid.soil.patch[1], 7).tolist() == np.delete(world.patch[1], 7).tolist()


# -- header and cover -------------------------------------------------------------------------------------


def test_the_header_of_the_sample_says_where_it_comes_from(elm_sample: Path) -> None:
    header, grid = read_header(elm_sample / RESTART)
    assert (header.case_id, header.decomp_cascade_state) == ("ad20", 10)
    assert header.surface_dataset.endswith("/surfdata.biomes.1d.nc")
    assert (header.dims["topounit"], header.dims["landunit"]) == (24, 100)
    assert grid.natural_pfts == 17


def test_a_header_without_names_has_none(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    with netCDF4.Dataset(world.restart, "r+") as d:
        d.delncattr("case_id")
        d.delncattr("surface_dataset")
    header, _ = read_header(without(world.restart, tmp_path / "other.nc", "decomp_cascade_state"))
    assert (header.case_id, header.surface_dataset, header.decomp_cascade_state) == ("", "", None)


@pytest.mark.parametrize("crop", [False, True])
def test_cover_that_elm_would_refuse_is_counted_and_the_worst_named(tmp_path: Path, crop: bool) -> None:
    world = make_world(tmp_path, cells=5, crop=crop)
    _, grid = read_header(world.restart)
    share = read_surface(world.surface, ["PCT_NAT_PFT"], grid.lat, grid.lon)["PCT_NAT_PFT"]
    assert share.shape == (5, 15 if crop else 17)
    same = compare_cover(grid.cover, share)
    assert (same.cells, same.cover) == (0, pytest.approx(same.expected, abs=1e-12))
    for cell, pft, change in ((1, 2, 0.4), (3, 4, 0.6), (4, 5, 2.5)):  # 0.4 % is within ELM's 5e-3
        share[cell, pft] += change
    result = compare_cover(grid.cover, share)
    assert (result.cells, result.cell, result.pft) == (2, 4, 5)
    assert result.expected - result.cover == pytest.approx(0.025)


def test_cover_of_the_sample_is_what_elm_accepted(elm_sample: Path) -> None:
    _, grid = read_header(elm_sample / RESTART)
    share = read_surface(elm_sample / "surfdata.biomes.1d.nc", ["PCT_NAT_PFT"], grid.lat, grid.lon)
    assert compare_cover(grid.cover, share["PCT_NAT_PFT"]).cells == 0


# -- sums that a real restart keeps -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def sample(elm_sample: Path) -> tuple[Path, Subgrid]:
    restart = elm_sample / RESTART
    return restart, read_header(restart)[1]


@pytest.mark.parametrize("total", ["totsomc", "totlitc", "totsomp", "totlitp", "cwdp"])
def test_layers_sum_to_the_column_totals(sample: tuple[Path, Subgrid], total: str) -> None:
    restart, grid = sample
    stock = sum(raw(restart, name)[grid.soil.column, :10] @ DZDECOMP for name in COLUMN_TOTALS[total])
    np.testing.assert_allclose(stock, raw(restart, total)[grid.soil.column], rtol=1e-10)


def test_patch_pools_sum_to_the_vegetation_carbon(sample: tuple[Path, Subgrid]) -> None:
    restart, grid = sample
    rows = grid.soil.patch[grid.covered]
    pools = sum(raw(restart, name)[rows] for name in TOTVEGC_POOLS)
    np.testing.assert_allclose(pools, raw(restart, "totvegc")[rows], rtol=1e-10, atol=1e-10)


def test_mineral_nitrogen_is_nitrate_and_ammonium(sample: tuple[Path, Subgrid]) -> None:
    restart, grid = sample
    parts = raw(restart, "smin_no3_vr")[grid.soil.column] + raw(restart, "smin_nh4_vr")[grid.soil.column]
    np.testing.assert_allclose(parts, raw(restart, "sminn_vr")[grid.soil.column], rtol=1e-12)


def test_soil_columns_are_whole_landunits_and_patches_whole_columns(sample: tuple[Path, Subgrid]) -> None:
    restart, grid = sample
    assert np.all(raw(restart, "cols1d_wtlnd")[grid.soil.column] == 1.0)
    np.testing.assert_allclose(grid.cover.sum(axis=1), 1.0, rtol=0.0, atol=1e-12)
    assert np.all(grid.unknown_cover == 0.0)


# -- restarts of other models and configurations --------------------------------------------------------


def readers(world: World) -> list[Callable[[], object]]:
    """All ways in which a restart is opened."""
    return [
        lambda: read_header(world.restart),
        lambda: inspect(world.restart),
        lambda: audit_restart(world.restart),
        lambda: read_wood(world.restart, read_parameters(world.params)),
    ]


@pytest.mark.parametrize("sign", ["cohort", "fates_levscls", "fates_PatchAreaList"])
def test_a_fates_restart_is_refused_as_what_it_is(tmp_path: Path, sign: str) -> None:
    world = make_world(tmp_path)
    with netCDF4.Dataset(world.restart, "r+") as d:
        if sign in ("cohort", "fates_levscls"):
            d.createDimension(sign, 4500)
        else:
            d.createVariable(sign, "f8", ("column",))[:] = 0.0
    for read in readers(world):
        with pytest.raises(InputError, match="is a restart of FATES") as raised:
            read()
        assert str(raised.value).startswith(f"{world.restart}: ")
        assert "use_fates = .false." in str(raised.value)


def test_a_ctsm_restart_is_refused_as_what_it_is_by_its_spinup_state_of_2(tmp_path: Path) -> None:
    world = make_world(tmp_path, year=1401)
    edit(world.restart, "spinup_state", ..., 2)
    for read in readers(world):
        with pytest.raises(InputError, match=r"is a restart of CTSM \(CLM\), not of ELM: spinup_state is 2"):
            read()


def test_a_ctsm_restart_is_refused_by_what_it_calls_itself(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    with netCDF4.Dataset(world.restart, "r+") as d:
        d.title, d.source = "CLM Restart information", "Community Terrestrial Systems Model"
    # Early ELM has CLM's title, and phosphorus.
    assert read_header(world.restart)[0].spinup_state == 1
    hide(world.restart, "ppool", "labilep_vr")
    for read in readers(world):
        with pytest.raises(InputError, match="it calls itself 'CLM Restart information Community"):
            read()


def test_the_header_says_in_which_year_the_run_began(tmp_path: Path, elm_sample: Path) -> None:
    assert read_header(elm_sample / "ad20.elm.r.0021-01-01-00000.nc")[0].start_year == 1
    assert read_header(make_world(tmp_path).restart)[0].start_year is None
