"""The reduced forcing is compared with what the model saw, before anything is made of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest

from phase_lib.base.errors import InputError
from phase_lib.elm.domain import read_domain
from phase_lib.forcing import comparison
from phase_lib.forcing.comparison import compare_forcing, fields_seen
from phase_lib.forcing.reduce import reduce_forcing
from tests.helpers.forcing import DAYS, write_model_history, write_piece
from tests.helpers.history import Entries, Grid, write_vectors

YEARS, FIRST, ALIGN = 4, 1980, 3
#: Forcing year that the model years 1 to 4 see: the third one sees the first.
SEEN = [1982, 1983, 1980, 1981]
LAT, LON = np.linspace(-50.0, 70.0, 12), np.linspace(0.0, 330.0, 12)
#: Variable -> mean, spread between cells, of the season, and between years.
CLIMATE = {
    "TBOT": (280.0, 12.0, 8.0, 1.5),
    "PRECTmms": (4e-5, 1e-5, 1e-5, 8e-6),
    "FSDS": (180.0, 30.0, 60.0, 10.0),
    "FLDS": (320.0, 30.0, 20.0, 8.0),
    "QBOT": (8e-3, 2e-3, 2e-3, 6e-4),
    "PSRF": (9.6e4, 3000.0, 300.0, 200.0),
}
#: Fields of the history and the units that ELM writes; the share of the variable that each holds.
FIELDS = {
    "TBOT": ("TBOT", "K", 1.0),
    "RAIN": ("PRECTmms", "mm/s", 0.7),
    "SNOW": ("PRECTmms", "mm/s", 0.3),
    "FSDS": ("FSDS", "W/m^2", 1.0),
    "FLDS": ("FLDS", "W/m^2", 1.0),
    "QBOT": ("QBOT", "kg/kg", 1.0),
    "PBOT": ("PSRF", "Pa", 1.0),
}
LENGTHS = np.array(DAYS * YEARS, dtype=np.float64)
Values = dict[str, np.ndarray]


def climate(cells: int = len(LAT)) -> Values:
    """Monthly means of forcing years 1980 to 1983 (cells, months); cell by cell, year by year another one."""
    rng = np.random.default_rng(7)
    result = {}
    for name, (mean, between, season, years) in CLIMATE.items():
        place = between * rng.uniform(-1.0, 1.0, (cells, 1))
        wave = season * np.sin(2.0 * np.pi * np.arange(12 * YEARS) / 12.0)
        result[name] = mean + place + wave + years * rng.uniform(-1.0, 1.0, (cells, 12 * YEARS))
    return result


def as_the_model_saw(values: Values) -> Values:
    """The same in the order of the model years (cells, months)."""
    order = np.concatenate([np.arange(12) + 12 * (year - FIRST) for year in SEEN])
    return {name: series[:, order] for name, series in values.items()}


def samples(series: np.ndarray, tape: str) -> tuple[np.ndarray, np.ndarray]:
    """Means (samples, cells) of a tape, and their bounds in days since the start of the series."""
    months = np.tile(np.array(DAYS, dtype=np.float64), series.shape[1] // 12)
    edges = np.concatenate([[0.0], np.cumsum(months)])
    step = {"monthly": 1, "annual": 12, "cycle": series.shape[1]}[tape]
    parts = [slice(first, first + step) for first in range(0, series.shape[1], step)]
    means = [np.average(series[:, part], axis=1, weights=months[part]) for part in parts]
    return np.array(means), np.array([[edges[part.start], edges[part.stop]] for part in parts])


def write_restart(path: Path, year: int) -> Path:
    with netCDF4.Dataset(path, "w", format="NETCDF3_64BIT_DATA") as nc:
        nc.createDimension("gridcell", len(LAT))
        nc.createVariable("timemgr_rst_curr_ymd", "i4", ())[...] = 10000 * year + 101
    return path


@dataclass
class Case:
    """Forcing and history of a run, which differ in what a test changes.

    Attributes:
        directory: where the files are.
        forcing, seen: what the pieces hold, and what the history holds in the order of the model.
        year: model year of the restart.
        options: of the pieces.
    """

    directory: Path
    forcing: Values = field(default_factory=climate)
    seen: Values = field(default_factory=lambda: as_the_model_saw(climate()))
    year: int = 1 + YEARS
    options: dict[str, Any] = field(default_factory=dict)

    def pieces(self) -> list[Path]:
        options = {"first_year": FIRST, "align_year": ALIGN} | self.options
        return [write_piece(self.directory / "pieces.nc", self.forcing, LAT, LON, **options)]

    def history(self, tape: str, names: tuple[str, ...] = tuple(FIELDS)) -> list[Path]:
        contents = {}
        for name in names:
            variable, units, share = FIELDS[name]
            means, bounds = samples(share * self.seen[variable], tape)
            contents[name] = (units, means)
        bounds[0, 0] -= 1.0 / 24.0  # ELM's first sample holds the step before the start
        return [write_model_history(self.directory / f"{tape}.nc", contents, bounds, LAT, LON)]

    def compare(self, tape: str = "monthly", **choices: Any) -> dict[str, Any]:
        history = choices.pop("history", None) or self.history(tape)
        restart = write_restart(self.directory / "restart.nc", self.year)
        return compare_forcing(restart, history, self.pieces(), self.directory / "out.json", **choices)

    def refusal(self, tape: str = "monthly") -> str:
        """The line of the refusal, after which nothing is there."""
        (self.directory / "out.json").unlink(missing_ok=True)
        with pytest.raises(InputError) as error:
            self.compare(tape)
        assert not (self.directory / "out.json").exists()
        assert "\n" not in str(error.value)
        return str(error.value)


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path)


@pytest.mark.parametrize("tape", ["monthly", "annual", "cycle"])
def test_forcing_that_the_model_saw_passes_on_every_tape(case: Case, tape: str) -> None:
    content = case.compare(tape)
    assert list(content["variables"]) == ["FLDS", "PSRF", "FSDS", "QBOT", "PRECTmms", "TBOT"]
    assert content["intervals"] == {"monthly": 48, "annual": 4, "cycle": 1}[tape]
    assert (content["not_compared"], content["accepted"], content["differences"]) == ({}, False, [])
    worst = content["variables"]["PRECTmms"]["largest_difference"]
    mean = np.average(case.forcing["PRECTmms"][worst["cell"] - 1], weights=LENGTHS)
    assert worst["forcing"] == pytest.approx(mean, rel=1e-6)
    assert worst["history"] == pytest.approx(mean, rel=1e-6)
    assert json.loads((case.directory / "out.json").read_text(encoding="utf-8")) == content


def test_only_the_cycle_before_the_restart_is_compared(case: Case) -> None:
    # The first cycle of the history is of another climate, the second one is what the forcing says.
    case.seen = {name: np.concatenate([1.1 * v, v], axis=1) for name, v in case.seen.items()}
    case.year = 1 + 2 * YEARS
    content = case.compare("annual")
    assert (content["model_years"], content["intervals"]) == ([5, 8], 4)
    case.year = 1 + YEARS
    assert "PRECTmms" in case.refusal("annual")


def test_a_month_in_several_files_with_cells_in_another_order_is_the_same(case: Case) -> None:
    order, files = np.random.default_rng(1).permutation(len(LAT)), []
    for part in (slice(24, 48), slice(0, 24)):
        contents = {}
        for name, (variable, units, share) in FIELDS.items():
            means, bounds = samples(share * case.seen[variable], "monthly")
            contents[name] = (units, means[part][:, order])
        path = case.directory / f"{part.start}.nc"
        files.append(write_model_history(path, contents, bounds[part], LAT[order], LON[order]))
    assert case.compare(history=files)["intervals"] == 48


def test_samples_that_lie_across_months_are_compared_as_they_cover_the_years(case: Case) -> None:
    # 73 samples of 20 days each, of which few end with a month.
    series = {name: np.repeat(v, LENGTHS.astype(int), axis=1) for name, v in case.seen.items()}
    bounds = np.stack([np.arange(73) * 20.0, np.arange(1, 74) * 20.0], axis=1)
    contents = {
        name: (units, share * series[variable].reshape(len(LAT), 73, 20).mean(axis=2).T)
        for name, (variable, units, share) in FIELDS.items()
    }
    file = write_model_history(case.directory / "days.nc", contents, bounds, LAT, LON)
    assert case.compare(history=[file])["intervals"] == np.count_nonzero(np.cumsum(LENGTHS) % 20.0 == 0.0)
    case.forcing["QBOT"] = 0.999 * case.forcing["QBOT"]
    with pytest.raises(InputError, match="QBOT"):
        case.compare(history=[file])


def test_a_tape_of_vectors_is_compared_by_the_means_of_its_cells(tmp_path: Path) -> None:
    grid = Grid()
    entries, values = Entries.random(grid, 3), climate(grid.cells)["TBOT"]
    of_entries = as_the_model_saw({"TBOT": values})["TBOT"].T[:, entries.cell]
    # Entries of a cell differ, but for their weighted mean.
    apart = np.where(entries.weight > 0.0, 1.0 / np.maximum(entries.weight, 1e-9), 0.0)
    apart *= np.where(
        np.arange(len(apart)) == np.array([_first(entries, c) for c in entries.cell]), 1.0, -1.0
    )
    bounds = np.concatenate([[0.0], np.cumsum(LENGTHS)]) / 365.0
    file = write_vectors(
        tmp_path / "vectors.nc",
        grid,
        np.stack([bounds[:-1], bounds[1:]], axis=1),
        {"column": entries},
        {"TBOT": ("column", of_entries + apart)},
        dtype="f8",
    )
    with netCDF4.Dataset(file, "r+") as nc:
        nc["TBOT"].units = "K"
    forcing = climate(grid.cells)
    piece = write_piece(
        tmp_path / "p.nc", forcing, grid.cell_lat, grid.cell_lon, first_year=FIRST, align_year=ALIGN
    )
    restart = write_restart(tmp_path / "r.nc", 1 + YEARS)
    content = compare_forcing(restart, [file], [piece], tmp_path / "out.json")
    assert list(content["variables"]) == ["TBOT"]
    assert content["intervals"] == 48


def _first(entries: Entries, cell: int) -> int:
    return int(np.flatnonzero((entries.cell == cell) & (entries.weight > 0.0))[0])


def test_what_the_history_lacks_is_reported_and_the_rest_is_compared(case: Case) -> None:
    content = case.compare(history=case.history("monthly", ("TBOT", "RAIN")))
    assert list(content["variables"]) == ["TBOT"]
    assert content["not_compared"]["PRECTmms"] == "the history has RAIN without SNOW"
    assert content["not_compared"]["FSDS"] == "the history has no such field"
    assert len(content["not_compared"]) == 5
    case.forcing["TBOT"] = case.forcing["TBOT"] + 0.2
    with pytest.raises(InputError, match="TBOT"):
        case.compare(history=case.history("monthly", ("TBOT", "RAIN")))


def test_a_history_without_any_forcing_field_is_not_compared(case: Case) -> None:
    means, bounds = samples(case.seen["TBOT"], "annual")
    file = write_model_history(case.directory / "gpp.nc", {"GPP": ("gC/m^2/s", means)}, bounds, LAT, LON)
    content = case.compare(history=[file])
    assert content["variables"] == {}
    assert len(content["not_compared"]) == 6


def test_a_field_of_the_history_in_other_units_is_refused_as_such(case: Case) -> None:
    history = case.history("annual")
    with netCDF4.Dataset(history[0], "r+") as nc:
        nc["RAIN"].units = "m/s"
    with pytest.raises(InputError, match="variable RAIN has units 'm/s'; expected 'mm/s'"):
        case.compare(history=history)


def test_snapshots_and_maxima_of_a_field_are_reported_and_not_compared(case: Case) -> None:
    history = case.history("annual")
    with netCDF4.Dataset(history[0], "r+") as nc:
        nc["TBOT"].cell_methods, nc["SNOW"].cell_methods = "time: maximum", "time: instantaneous"
        nc["TBOT"][:] += 9.0
    content = case.compare(history=history)
    assert content["not_compared"] == {
        "PRECTmms": "SNOW of the history holds snapshots (cell_methods 'time: instantaneous')",
        "TBOT": "TBOT of the history holds maxima (cell_methods 'time: maximum')",
    }
    assert list(content["variables"]) == ["FLDS", "PSRF", "FSDS", "QBOT"]


@pytest.mark.parametrize("more", [2, YEARS])
def test_a_mean_over_several_cycles_is_compared_where_they_are_whole(case: Case, more: int) -> None:
    # Years before the cycle of the restart, from its last one backwards.
    before = {name: series[:, -12 * more :] for name, series in case.seen.items()}
    case.seen = {name: np.concatenate([before[name], series], axis=1) for name, series in case.seen.items()}
    case.year += more
    case.options["align_year"] = ALIGN + more
    content = case.compare("cycle")
    assert bool(content["variables"]) == (more == YEARS)
    if more != YEARS:
        assert set(content["not_compared"].values()) == {
            "no mean of the history lies within the model years 0003 to 0006"
        }


def test_fields_are_found_by_the_names_of_elm() -> None:
    there, lacking = fields_seen({"TBOT", "RH", "PBOT", "RAIN", "SNOW"}, {})
    assert {name: str(recipe) for name, recipe in there.items()} == {
        "PSRF": "PBOT",
        "PRECTmms": "RAIN + SNOW",
        "TBOT": "TBOT",
    }
    # Means of humidity and temperature do not make a mean of specific humidity.
    assert set(lacking) == {"FLDS", "FSDS", "QBOT"}


def scaled(name: str, factor: float) -> Callable[[Case], None]:
    def change(case: Case) -> None:
        case.forcing[name] = case.forcing[name] * factor

    return change


def added(name: str, offset: float) -> Callable[[Case], None]:
    def change(case: Case) -> None:
        case.forcing[name] = case.forcing[name] + offset

    return change


def months(name: str, span: slice, factor: float) -> Callable[[Case], None]:
    def change(case: Case) -> None:
        case.forcing[name][:, span] *= factor

    return change


def in_cell_five(name: str, month: int, add: float) -> Callable[[Case], None]:
    def change(case: Case) -> None:
        case.forcing[name][4, month] += add

    return change


def reversed_cells(*names: str) -> Callable[[Case], None]:
    def change(case: Case) -> None:
        for name in names or tuple(CLIMATE):
            case.forcing[name] = case.forcing[name][::-1].copy()

    return change


def aligned(year: int) -> Callable[[Case], None]:
    return lambda case: case.options.update(align_year=year)


def nothing_seen(name: str) -> Callable[[Case], None]:
    return lambda case: case.seen.update({name: np.zeros_like(case.seen[name])})


EVERY, TIMED = ("monthly", "annual", "cycle"), ("monthly", "annual")
YEAR = slice(12, 24)
OF_YEAR = "zeros in the forcing, in 12 of 48 months of this cell, first 1981-01"
ORDER = "other cells: the history has these values in another order, this one in cell "
#: What is wrong, on which tapes, the change, and the variable and the cause that the message names.
CAUSES: dict[str, tuple[tuple[str, ...], Callable[[Case], None], str, str]] = {
    "rain in metres": (EVERY, scaled("PRECTmms", 1e-3), "PRECTmms", "about 1/1000 in every cell (m/s taken"),
    "rain in mm a day": (
        ("cycle",),
        scaled("PRECTmms", 86400.0),
        "PRECTmms",
        "8.64e+04 in every cell (mm a day",
    ),
    "humidity as fraction": (
        ("cycle",),
        scaled("QBOT", 0.01),
        "QBOT",
        "a unit factor, about 1/100 in every cell",
    ),
    "pressure in hPa": (("annual",), scaled("PSRF", 0.01), "PSRF", "hPa taken for Pa"),
    "celsius": (("cycle",), added("TBOT", -273.15), "TBOT", "Celsius and kelvin mixed"),
    "cooler": (("monthly",), added("TBOT", -2.0), "TBOT", "an offset of about -2 K in every cell"),
    "zeros": (EVERY, scaled("QBOT", 0.0), "QBOT", "zeros in the forcing, all the time in 12 cells"),
    "zeros seen": (
        ("cycle",),
        nothing_seen("PRECTmms"),
        "PRECTmms",
        "zeros in the history, all the time in 12",
    ),
    "a year of zeros": (EVERY, months("QBOT", YEAR, 0.0), "QBOT", OF_YEAR),
    "a dark year": (("monthly", "cycle"), months("FSDS", YEAR, 0.0), "FSDS", OF_YEAR),
    "a dry year": (("cycle",), months("PRECTmms", YEAR, 0.0), "PRECTmms", OF_YEAR),
    "a fill value": (
        ("monthly",),
        in_cell_five("TBOT", 16, -41.0),
        "TBOT of land cell 5 ",
        "1 of 48 intervals",
    ),
    "a fill value of light": (
        ("monthly",),
        in_cell_five("FSDS", 16, -60.0),
        "FSDS of land cell 5 ",
        "in 0004-05 of the model, 1981-05 of the forcing; likely cause: a fill value or a gap in the forcing",
    ),
    "a year in metres": (
        TIMED,
        months("PRECTmms", YEAR, 1e-3),
        "PRECTmms",
        "intervals of this cell are off, most",
    ),
    "a year, unseen": (
        ("cycle",),
        months("PRECTmms", YEAR, 1e-3),
        "PRECTmms",
        "a gap in the year 1981 of the",
    ),
    "a shift": (TIMED, aligned(ALIGN + 1), "", "align_year: it is 4, with 3 forcing and history agree"),
    "a shift back": (TIMED, aligned(ALIGN - 1), "", "align_year: it is 2, with 3 forcing and history agree"),
    "other cells": (("monthly", "cycle"), reversed_cells(), "", ORDER),
    "rain of other cells": (("cycle",), reversed_cells("PRECTmms"), "PRECTmms", ORDER),
}


@pytest.mark.parametrize(
    ("tape", "change", "variable", "cause"),
    [
        pytest.param(tape, change, variable, cause, id=f"{name}-{tape}")
        for name, (tapes, change, variable, cause) in CAUSES.items()
        for tape in tapes
    ],
)
def test_what_the_model_did_not_see_is_refused_with_its_likely_cause(
    case: Case, tape: str, change: Callable[[Case], None], variable: str, cause: str
) -> None:
    change(case)
    line = case.refusal(tape)
    assert f"variable {variable}" in line
    assert cause in line
    assert line.endswith("or put forcing_history into preflight.accept")


def test_the_line_names_cell_place_values_file_and_the_other_variables(case: Case) -> None:
    for name, factor in (("QBOT", 0.01), ("PRECTmms", 1e-3)):
        case.forcing[name][6:7] *= factor
    line = case.refusal("cycle")
    assert "variable QBOT of land cell 7 (lat 15.455 lon 180.000)" in line
    humid = np.average(case.forcing["QBOT"][6], weights=LENGTHS)
    assert f"is {humid:.6g} kg/kg, but {100.0 * humid:.6g} in QBOT of the history (cycle.nc)" in line
    assert "PRECTmms differs too" in line
    assert "about 1/100 in each of 1 cells (relative humidity" in line


@pytest.mark.parametrize("fill", [np.nan, 1.0e36])
def test_a_hole_in_the_pieces_is_named(case: Case, fill: float) -> None:
    case.forcing["FLDS"][4, 16] = fill
    assert f"variable FLDS is {fill:g} in 1981-05 of land cell 5; expected" in case.refusal("cycle")


def test_a_shift_says_nothing_where_the_history_is_one_mean(case: Case) -> None:
    case.options["align_year"] = ALIGN + 1
    content = case.compare("cycle")
    assert all(values["course"] is None for values in content["variables"].values())


def test_light_that_datm_spread_by_the_sun_passes(case: Case) -> None:
    # As measured: 8 per cent, with months in which it is some per cent more or less.
    season = 1.0 + 0.02 * np.cos(2.0 * np.pi * np.arange(12 * YEARS) / 12.0)
    case.forcing["FSDS"] = 1.08 * season * case.forcing["FSDS"]
    for tape in EVERY:
        assert case.compare(tape)["differences"] == []


def test_humidity_of_other_variables_may_differ_a_little(case: Case) -> None:
    case.forcing["QBOT"] = 1.01 * case.forcing["QBOT"]
    assert "QBOT" in case.refusal("cycle")
    case.options["made_of"] = {"QBOT": "RH and TBOT and PSRF"}
    case.compare("cycle")


def test_the_end_of_a_month_may_lie_in_the_next_one_by_a_step(case: Case) -> None:
    shift = 10.0 * 3.0 / 24.0 / LENGTHS[0]
    case.forcing["TBOT"][:, 3] += shift
    case.forcing["TBOT"][:, 4] -= shift
    assert case.compare("monthly")["differences"] == []


def test_a_difference_is_accepted_on_purpose_and_recorded(case: Case) -> None:
    case.forcing["PRECTmms"] = 1e-3 * case.forcing["PRECTmms"]
    content = case.compare("cycle", accept=True)
    assert content["accepted"] is True
    assert len(content["differences"]) == 1
    assert "about 1/1000" in content["differences"][0]
    assert "preflight.accept" not in content["differences"][0]


def test_nothing_is_accepted_where_nothing_differs(case: Case) -> None:
    assert case.compare("cycle", accept=True)["accepted"] is False


def away(case: Case) -> None:
    """As a cell sees the mean of the points around it, the nearest of which it is given here."""
    rng = np.random.default_rng(3)
    case.options["distance_km"] = 20.0
    place = {"TBOT": 0.008, "PSRF": 0.04, "QBOT": 0.1, "FLDS": 0.04, "FSDS": 0.06, "PRECTmms": 0.25}
    for name, series in case.forcing.items():
        size = series.std(axis=1, keepdims=True) if name == "PRECTmms" else CLIMATE[name][3]
        factor = np.exp(place[name] * rng.uniform(-1.5, 1.5, (len(LAT), 1)))
        case.forcing[name] = factor * (series + 0.2 * size * rng.uniform(-1.0, 1.0, series.shape))


@pytest.mark.parametrize("tape", EVERY)
def test_cells_away_from_their_forcing_points_may_differ_by_mountains(case: Case, tape: str) -> None:
    away(case)
    content = case.compare(tape)
    assert content["cells_at_forcing_points"] == 0
    case.options["distance_km"] = 0.0
    case.refusal(tape)


@pytest.mark.parametrize(
    ("tape", "change", "cause"),
    [
        ("cycle", scaled("PRECTmms", 1e-3), "unit factor, about 1/"),
        ("cycle", scaled("PSRF", 1e-2), "(hPa taken for Pa?)"),
        ("cycle", scaled("QBOT", 0.0), "zeros in the forcing"),
        ("cycle", months("FSDS", YEAR, 0.0), "first 1981-01"),
        ("cycle", added("TBOT", -9.0), "TBOT"),
        ("monthly", aligned(ALIGN + 1), "with 3 forcing and history agree"),
        ("annual", aligned(ALIGN + 1), "with 3 forcing and history agree"),
        ("monthly", in_cell_five("TBOT", 16, -41.0), "1981-05 of the forcing; likely cause: a fill value"),
        ("cycle", reversed_cells("TBOT"), "TBOT"),
    ],
)
def test_what_no_mountain_explains_is_refused_there_too(
    case: Case, tape: str, change: Callable[[Case], None], cause: str
) -> None:
    away(case)
    change(case)
    assert cause in case.refusal(tape)


def test_a_factor_that_is_the_same_in_all_cells_is_no_interpolation(case: Case) -> None:
    case.options["distance_km"] = 20.0
    case.forcing["QBOT"] = 0.95 * case.forcing["QBOT"]
    assert "a unit factor, about 0.95 in every cell" in case.refusal("cycle")


def test_for_the_history_of_another_run_the_cause_is_not_clear(case: Case) -> None:
    rng = np.random.default_rng(11)
    for name, series in case.forcing.items():
        case.forcing[name] = series + CLIMATE[name][3] * rng.uniform(-1.0, 1.0, series.shape)
    assert "likely cause: not clear" in case.refusal("monthly")


def test_blocks_of_any_size_find_the_same(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    for name, series in case.forcing.items():
        case.forcing[name] = series * (1.0 + 1e-5 * rng.uniform(-1.0, 1.0, series.shape))
    whole = case.compare("monthly")["variables"]
    # One variable and five months of all cells at a time, of the forcing ten months of three cells.
    monkeypatch.setattr(comparison, "_HELD_BYTES", 8 * len(LAT) * 5)
    for name, values in case.compare("monthly")["variables"].items():
        assert values["course"].pop("month") == whole[name]["course"].pop("month"), name
        for part in ("largest_difference", "course"):
            assert values[part] == pytest.approx(whole[name][part], rel=1e-9), name


def test_a_single_point_is_compared(case: Case) -> None:
    history = write_model_history(
        case.directory / "point.nc",
        {"TBOT": ("K", samples(case.seen["TBOT"][3:4], "monthly")[0])},
        samples(case.seen["TBOT"], "monthly")[1],
        LAT[3:4],
        LON[3:4],
    )
    values = {name: series[3:4] for name, series in case.forcing.items()}
    restart = write_restart(case.directory / "r.nc", 1 + YEARS)

    def compare(align_year: int) -> dict[str, Any]:
        options = {"first_year": FIRST, "align_year": align_year}
        piece = write_piece(case.directory / "point_piece.nc", values, LAT[3:4], LON[3:4], **options)
        return compare_forcing(restart, [history], [piece], case.directory / "out.json")

    assert list(compare(ALIGN)["variables"]) == ["TBOT"]
    with pytest.raises(InputError, match="align_year: it is 4, with 3"):
        compare(ALIGN + 1)


@pytest.fixture(scope="module")
def sample_pieces(elm_sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The forcing of the sample's model years, reduced."""
    output = tmp_path_factory.mktemp("sample") / "all.1980-1999.nc"
    files = sorted((elm_sample / "forcing").glob("clmforc.Daymet.km.1d.*.nc"))
    domain = read_domain(elm_sample / "domain.lnd.biomes.1d.nc")
    reduce_forcing(
        files, domain, output, first_year=1980, years=20, align_year=1990, limit_km=1.0, product="sample"
    )
    return output


@pytest.mark.parametrize(("tape", "intervals"), [("h0", 240), ("h1", 1)])
def test_real_elm_saw_the_forcing_of_the_sample(
    elm_sample: Path, sample_pieces: Path, tmp_path: Path, tape: str, intervals: int
) -> None:
    restart = elm_sample / "ad20.elm.r.0021-01-01-00000.nc"
    history = sorted((elm_sample / "history").glob(f"ad20.elm.{tape}.*.nc"))
    content = compare_forcing(restart, history, [sample_pieces], tmp_path / "out.json")
    assert (content["cells_at_forcing_points"], content["intervals"], len(content["variables"])) == (
        24,
        intervals,
        6,
    )
    for name, values in content["variables"].items():
        worst = values["largest_difference"]
        # What was measured; a tolerance is ten times as much, and less than twice as much of light.
        assert abs(worst["forcing"] / worst["history"] - 1.0) < (0.09 if name == "FSDS" else 3e-5), name
        assert values["course"] is None or values["course"]["misfit"] < 0.1
    changed = shutil.copy(sample_pieces, tmp_path / "changed.nc")
    with netCDF4.Dataset(changed, "r+") as nc:
        nc["PRECTmms"][:] = nc["PRECTmms"][:] / 1000.0
    with pytest.raises(InputError, match=r"PRECTmms of land cell 3 .*about 1/1000 in every cell"):
        compare_forcing(restart, history, [changed], tmp_path / "out.json")


def test_an_align_year_of_the_sample_that_is_off_by_one_shows_in_its_months(
    elm_sample: Path, sample_pieces: Path, tmp_path: Path
) -> None:
    changed = shutil.copy(sample_pieces, tmp_path / "changed.nc")
    with netCDF4.Dataset(changed, "r+") as nc:
        nc.align_year = np.int32(1991)
    history = sorted((elm_sample / "history").glob("ad20.elm.h0.*.nc"))
    with pytest.raises(InputError, match="it is 1991, with 1990 forcing and history agree"):
        compare_forcing(
            elm_sample / "ad20.elm.r.0021-01-01-00000.nc", history, [changed], tmp_path / "out.json"
        )
