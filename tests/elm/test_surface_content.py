"""Surface data that cannot be: shares that are no shares, maps of mineral P that no soil has."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import netCDF4
import numpy as np
import pytest

from phase_lib.base.errors import InputError
from phase_lib.cli import main
from phase_lib.elm.surface_content import check_shares
from tests.helpers.restarts import copy_of, edit, make_world, raw

MAPS = ("LABILE_P", "SECONDARY_P", "OCCLUDED_P", "APATITE_P")
SURFACE, RESTART = "surfdata.biomes.1d.nc", "ad20.elm.r.0021-01-01-00000.nc"


@pytest.fixture
def surface(elm_sample: Path, tmp_path: Path) -> Path:
    """A copy of the real surface file, to be spoilt."""
    return copy_of(elm_sample / SURFACE, tmp_path)


def shares(path: Path, used: np.ndarray | None = None, *, compared: bool = False) -> float:
    lat, lon = raw(path, "LATIXY"), raw(path, "LONGXY")
    return check_shares(path, lat, lon, np.ones(len(lat), bool) if used is None else used, compared=compared)


def times(name: str, factor: float) -> Callable[[Path], None]:
    return lambda path: edit(path, name, ..., factor * raw(path, name))


def put(name: str, index: object, value: float) -> Callable[[Path], None]:
    return lambda path: edit(path, name, index, value)


def in_fractions(path: Path) -> None:
    for name in ("PCT_NATVEG", "PCT_LAKE", "PCT_WETLAND", "PCT_GLACIER", "PCT_URBAN"):
        edit(path, name, ..., raw(path, name) / 100.0)


def test_the_real_surface_file_is_sound_and_its_cells_have_the_area_of_the_history(
    elm_sample: Path, surface: Path
) -> None:
    history = next((elm_sample / "history").glob("*.h1.*.nc"))
    right = np.sum(raw(history, "area").astype("f8") * raw(history, "landfrac"))
    assert shares(surface) == pytest.approx(right, rel=1e-6)
    edit(surface, "PCT_NATVEG", 5, 100.00001)  # single precision
    shares(surface)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (
            in_fractions,
            r"PCT_NATVEG \+ .* is at most 1 in all cells: these are fractions; expected percentages",
        ),
        (times("PCT_NAT_PFT", 0.01), r"PCT_NAT_PFT, summed, is at most 1 in all cells: these are fractions"),
        (
            put("PCT_LAKE", 3, 40.0),
            r"PCT_LAKE .* is above 100 % in 1 cells, farthest in cell 4 .* with 140 %",
        ),
        (
            put("PCT_URBAN", (1, 3), 7.0),
            r"PCT_URBAN is above 100 % in 1 cells, farthest in cell 4 .* with 107 %",
        ),
        (put("PCT_GLACIER", 2, -5.0), r"variable PCT_GLACIER is -5 in cell 3; expected 0 to 100 %"),
        (
            put("PCT_NAT_PFT", (0, 8), 60.0),
            r"PCT_NAT_PFT, summed, is above 100 % in 1 cells, farthest in cell 9",
        ),
        (put("PCT_NAT_PFT", (slice(None), 8), 5.0), r"PCT_NAT_PFT, summed, is below 100 % .* with 85 %"),
        (
            put("PCT_SAND", (4, 1), 90.0),
            r"PCT_SAND \+ PCT_CLAY is above 100 % in 1 cells, farthest in cell 2",
        ),
        (put("PCT_CLAY", (4, 1), -3.0), r"variable PCT_CLAY is -3 in cell 2"),
        (put("LANDFRAC_PFT", ..., 100.0), r"variable LANDFRAC_PFT is 100 in cell 1; expected 0 to 1"),
        (put("AREA", ..., 1.7e7), r"variable AREA is 1.7e\+07 km2 in cell 1"),
    ],
)
def test_shares_that_cannot_be_are_refused_by_name(
    surface: Path, spoil: Callable[[Path], None], words: str
) -> None:
    spoil(surface)
    with pytest.raises(InputError, match=words):
        shares(surface)


def test_textures_in_fractions_are_refused(surface: Path) -> None:
    times("PCT_SAND", 0.01)(surface)
    times("PCT_CLAY", 0.01)(surface)
    with pytest.raises(
        InputError, match=r"PCT_SAND \+ PCT_CLAY is at most 0.95 in all cells: these are frac"
    ):
        shares(surface)


def test_where_nothing_grows_plants_and_soils_may_be_anything(surface: Path) -> None:
    put("PCT_NAT_PFT", (slice(None), 8), 3.0)(surface)
    put("PCT_SAND", (0, 8), 200.0)(surface)
    used = np.arange(24) != 8
    shares(surface, used)
    for name, value in (("PCT_NATVEG", 0.0), ("PCT_GLACIER", 100.0)):
        put(name, 8, value)(surface)
    shares(surface)


@pytest.mark.parametrize("command", ["check", "audit", "inject"])
@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (times("LABILE_P", 0.0), "variable LABILE_P is 0 in all 24 cells with soil"),
        (times("OCCLUDED_P", 0.0), "variable OCCLUDED_P is 0 in all 24 cells with soil"),
        (times("APATITE_P", 1e-3), "variable APATITE_P is at most 0.13165 in all 24 cells with soil"),
        (times("LABILE_P", 1000.0), "variable LABILE_P is 4387.88 in cell 1 (lat "),
        (times("SECONDARY_P", 1000.0), "variable SECONDARY_P is 8691.03 in cell 1 (lat "),
        (put("OCCLUDED_P", 7, 7.3e4), "variable OCCLUDED_P is 73000 in cell 8 (lat "),
        (put("APATITE_P", 7, -1.0), "variable APATITE_P is -1 in cell 8 (lat "),
        (put("LABILE_P", 7, np.nan), "variable LABILE_P is nan in cell 8 (lat "),
        (put("LABILE_P", 7, 1e36), "variable LABILE_P is 1e+36 in cell 8 (lat "),
    ],
)
def test_maps_of_p_that_no_soil_has_are_refused_everywhere_by_name(
    command: str,
    spoil: Callable[[Path], None],
    words: str,
    surface: Path,
    elm_sample: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    spoil(surface)
    restart, output = elm_sample / RESTART, tmp_path / "out" / RESTART
    arguments = {
        "check": ["--restart", restart, "--surface", surface],
        "audit": [restart, "--surface", surface],
        "inject": [
            *("--restart", restart, "--surface", surface, "--params", elm_sample / "clm_params_c211124.nc"),
            *("--soil-params", elm_sample / "CNP_parameters_c180529.nc", "--output", output),
        ],
    }[command]
    with pytest.raises(SystemExit) as caught:
        main([command, *map(str, arguments)])
    assert caught.value.code == (3 if command == "check" else 2)
    (line,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith("phase: "))
    assert line.startswith(f"phase: {surface}: {words}")
    assert not output.exists()


def test_a_few_bare_cells_without_p_and_a_weathered_site_without_apatite_are_sound(
    surface: Path, elm_sample: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in MAPS:
        edit(surface, name, [21, 23], 0.0)
    with pytest.raises(SystemExit) as caught:
        main(["check", "--restart", str(elm_sample / RESTART), "--surface", str(surface)])
    assert caught.value.code == 0
    world = make_world(tmp_path / "site", cells=1)
    edit(world.surface, "APATITE_P", ..., 0.0)
    with pytest.raises(SystemExit) as caught:
        main(["check", "--restart", str(world.restart), "--surface", str(world.surface)])
    assert caught.value.code == 0, capsys.readouterr().err


def test_soil_of_the_restart_on_ground_that_the_surface_file_lacks_is_refused_by_name(
    surface: Path, elm_sample: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with netCDF4.Dataset(surface, "r+") as d:
        d["PCT_NATVEG"][[6, 23]] = 0.0
        d["PCT_LAKE"][6] = 100.0
    with pytest.raises(SystemExit) as caught:
        main(["check", "--restart", str(elm_sample / RESTART), "--surface", str(surface)])
    assert caught.value.code == 3
    (line,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith("phase: "))
    assert line.startswith(f"phase: {surface}: PCT_NATVEG is 0 in 2 cells that have natural vegetation in ")
    assert "first cell 7 with 100 %" in line


@pytest.mark.parametrize("name", ["PCT_SAND", "PCT_CLAY"])
def test_one_texture_in_fractions_beside_another_in_percent_is_refused(surface: Path, name: str) -> None:
    times(name, 0.01)(surface)
    with pytest.raises(InputError, match=f"{name}, summed, is at most 0.* in all cells: these are fractions"):
        shares(surface)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (times("PCT_NATVEG", 0.01), "PCT_NATVEG, summed, is at most 1 in all cells: these are fractions"),
        (put("PCT_NATVEG", 6, np.nan), "PCT_NATVEG is nan in 1 cells that have natural vegetation in "),
        (put("PCT_NATVEG", 6, 1.0e36), "PCT_NATVEG is 1e+36 in 1 cells that have natural vegetation in "),
        (put("AREA", 6, np.nan), "variable AREA is nan in cell 7; expected 0 or more"),
    ],
)
def test_ground_and_areas_that_cannot_be_those_of_the_restart_are_refused(
    surface: Path,
    elm_sample: Path,
    capsys: pytest.CaptureFixture[str],
    spoil: Callable[[Path], None],
    words: str,
) -> None:
    spoil(surface)
    with pytest.raises(SystemExit) as caught:
        main(["check", "--restart", str(elm_sample / RESTART), "--surface", str(surface)])
    assert caught.value.code == 3
    (line,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith("phase: "))
    assert line.startswith(f"phase: {surface}: {words}")


def test_cover_in_fractions_is_refused_by_the_audit_in_its_own_name(
    surface: Path, elm_sample: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    times("PCT_NAT_PFT", 0.01)(surface)
    with pytest.raises(SystemExit) as caught:
        main(["audit", str(elm_sample / RESTART), "--surface", str(surface)])
    assert caught.value.code == 2
    words = f"phase: {surface}: PCT_NAT_PFT, summed, is at most 1 in all cells: these are fractions"
    assert capsys.readouterr().err.startswith(words)
