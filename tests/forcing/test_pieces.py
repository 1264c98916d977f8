"""Pieces of monthly means, split by variable and year, read as one cycle."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import netCDF4
import numpy as np
import pytest

from phase_lib.base.errors import InputError
from phase_lib.elm.calendar import forcing_year
from phase_lib.forcing.pieces import open_pieces, read_monthly_forcing
from phase_lib.forcing.reduce import reduce_forcing
from phase_lib.forcing.variables import FORCING
from phase_lib.fusion.sources import open_forcing
from tests.helpers.forcing import LAT, LON, Values, land, monthly, write_year

YEARS = (1980, 1981, 1982)
CELLS = land(LAT, LON)


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Path], Values]:
    """Three years of daily files."""
    directory = tmp_path_factory.mktemp("record")
    files, values = [], {}
    for year in YEARS:
        more, means = write_year(directory, year, per_day=1)
        files += more
        values |= means
    return files, values


def piece(record: tuple[list[Path], Values], output: Path, **choices: object) -> Path:
    options = {"first_year": 1980, "years": 3, "limit_km": 1.0, "product": "test", "align_year": 1} | choices
    domain = options.pop("domain", CELLS)
    reduce_forcing(record[0], domain, output, **options)  # type: ignore[arg-type]
    return output


@pytest.fixture(scope="module")
def pieces(record: tuple[list[Path], Values], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """One for each of three groups of variables and each of two spans of years."""
    directory = tmp_path_factory.mktemp("pieces")
    groups = {"rain": ["PRECTmms"], "air": ["TBOT", "QBOT", "PSRF"], "light": ["FSDS", "FLDS"]}
    return [
        piece(record, directory / f"{group}.{first}.nc", variables=names, first_year=first, years=years)
        for (group, names), (first, years) in product(groups.items(), ((1981, 2), (1980, 1)))
    ]


def test_pieces_by_variable_and_year_are_one_piece(
    record: tuple[list[Path], Values], pieces: list[Path], tmp_path: Path
) -> None:
    whole = read_monthly_forcing(piece(record, tmp_path / "whole.nc"))
    split = read_monthly_forcing(pieces)
    assert (split.first_year, split.years) == (whole.first_year, whole.years) == (1980, 3)
    for name in FORCING:
        assert np.array_equal(split.values[name], whole.values[name]), name
        assert np.allclose(whole.values[name].T, monthly(record[1], name, range(len(LAT))), rtol=3e-7)


@pytest.mark.parametrize("align", [1, 2, 0, 1850, -7])
def test_the_series_begins_with_the_year_that_model_year_one_sees(
    record: tuple[list[Path], Values], tmp_path: Path, align: int
) -> None:
    path = piece(record, tmp_path / "p.nc", align_year=align)
    expected = monthly(record[1], "TBOT", range(len(LAT)))
    forcing = read_monthly_forcing(path)
    with open_forcing(path, LAT[::-1], LON[::-1]) as source:
        turned = source.read("TBOT", slice(0, 6))
        some = source.read("TBOT", slice(2, 4))
    for model_year in (1, 2, 3):
        seen = 12 * (forcing_year(model_year, 1980, 3, align) - 1980)
        months = slice(12 * (model_year - 1), 12 * model_year)
        assert np.allclose(forcing.values["TBOT"].T[:, months], expected[:, seen : seen + 12], rtol=3e-7)
        assert np.allclose(turned[::-1, months], expected[:, seen : seen + 12], rtol=3e-7)
    assert np.array_equal(some, turned[2:4])


def test_a_history_is_in_model_years_and_cannot_be_aligned_otherwise(
    record: tuple[list[Path], Values], tmp_path: Path
) -> None:
    path = piece(record, tmp_path / "p.nc", align_year=1)
    with netCDF4.Dataset(path, "r+") as nc:
        nc.kind = "history"
    # 1980 is 1 and whole cycles of three years, and some.
    with pytest.raises(InputError, match="align_year is 1, but year 1980 of a history is a model year"):
        read_monthly_forcing(path)
    with netCDF4.Dataset(path, "r+") as nc:
        nc.align_year = np.int32(1980 - 3)
    # The model year like 1, as three years make a cycle.
    assert read_monthly_forcing(path).first_year == 1981


def test_fusion_receives_a_description_of_the_forcing(pieces: list[Path]) -> None:
    with open_forcing(pieces, LAT, LON) as source:
        assert source.months == 36
        assert source.description == {
            "kind": "datm",
            "product": "test",
            "step_hours": [24.0],
            "years": 3,
        }
        assert np.allclose(source.distance_km, 0.0, atol=1e-3)


def test_a_piece_tells_what_it_was_made_of(pieces: list[Path], record: tuple[list[Path], Values]) -> None:
    with netCDF4.Dataset(pieces[0]) as nc:
        assert (nc.first_year, nc.years, nc.mapping, nc.domain) == (1981, 2, "nearest", "domain.nc")
        assert nc.input_files == 24
        assert set(nc.variables) & set(FORCING) == {"PRECTmms"}
        of_rain = nc.input_hash
    with netCDF4.Dataset(pieces[1]) as nc:
        assert nc.input_hash != of_rain


def test_a_missing_piece_is_named_by_variable_and_year(pieces: list[Path]) -> None:
    without = [path for path in pieces if path.name != "air.1980.nc"]
    with pytest.raises(InputError, match="PSRF of 1980 is missing"):
        read_monthly_forcing(without)
    with pytest.raises(InputError, match="FLDS of 1980 is missing"):
        read_monthly_forcing([path for path in pieces if not path.name.startswith("light")])


def test_a_month_held_twice_is_refused(
    record: tuple[list[Path], Values], pieces: list[Path], tmp_path: Path
) -> None:
    extra = piece(record, tmp_path / "extra.nc", variables=["QBOT"], first_year=1982, years=1)
    with pytest.raises(InputError, match=r"extra\.nc: QBOT of 1982 is in another piece too"):
        read_monthly_forcing([*pieces, extra])


@pytest.mark.parametrize(
    ("choices", "line"),
    [
        ({"product": "GSWP3 v1"}, r"product is 'GSWP3 v1'; expected 'test'"),
        ({"align_year": 4}, "align_year is 4"),
        ({"domain": land(LAT[::-1], LON[::-1])}, "lat: other cells or forcing points"),
        ({"domain": land(LAT[:3], LON[:3])}, "lat: other cells or forcing points"),
    ],
)
def test_pieces_of_another_reduction_are_refused(
    record: tuple[list[Path], Values], pieces: list[Path], tmp_path: Path, choices: dict, line: str
) -> None:
    others = [path for path in pieces if path.name != "rain.1980.nc"]
    odd = piece(record, tmp_path / "odd.nc", variables=["PRECTmms"], years=1, **choices)
    with pytest.raises(InputError, match=line), open_pieces([*others, odd]):
        pass


def test_pieces_made_of_other_steps_are_refused(
    record: tuple[list[Path], Values], pieces: list[Path], tmp_path: Path
) -> None:
    files, _ = write_year(tmp_path / "in", 1980, per_day=4)
    odd = piece((files, {}), tmp_path / "odd.nc", variables=["PRECTmms"], years=1)
    others = [path for path in pieces if path.name != "rain.1980.nc"]
    with pytest.raises(InputError, match="PRECTmms was made of steps of"):
        read_monthly_forcing([*others, odd])


def test_what_is_no_piece_is_refused(pieces: list[Path], record: tuple[list[Path], Values]) -> None:
    with pytest.raises(InputError, match=r"attribute first_year is missing.*made by `phase forcing`"):
        read_monthly_forcing(record[0][0])
    with pytest.raises(InputError, match="no monthly forcing given"):
        read_monthly_forcing([])


def test_cells_that_the_pieces_do_not_hold_are_refused(
    record: tuple[list[Path], Values], tmp_path: Path
) -> None:
    moved = land(LAT + 0.1, LON)
    path = piece(record, tmp_path / "p.nc", domain=moved, limit_km=20.0)
    with open_forcing(path, LAT + 0.1, LON - 360.0) as source:
        assert np.allclose(source.distance_km, 11.12, rtol=1e-2)
    with pytest.raises(InputError, match="6 of 6 cells have no partner"), open_forcing(path, LAT, LON):
        pass
