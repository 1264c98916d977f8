"""History files of every layout against averages reckoned in plain loops, and against the real sample."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import netCDF4
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phase_lib.base.errors import InputError
from phase_lib.elm import history as module
from phase_lib.elm.history import History
from tests.helpers.history import FILL, Entries, Grid, write_history, write_vectors, years
from tests.helpers.restarts import DZ, raw

MONTHS = np.array([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])


def months(first_year: int, count: int) -> np.ndarray:
    """Bounds of calendar months, years since 0001-01-01 (time, 2)."""
    ends = np.cumsum(MONTHS) / 365.0
    start = np.concatenate([[0.0], ends[:-1]])
    year = np.repeat(np.arange(first_year - 1, first_year - 1 + count), 12)
    return np.stack([np.tile(start, count) + year, np.tile(ends, count) + year], axis=1)


def by_hand(grid: Grid, entries: Entries, values: np.ndarray) -> np.ndarray:
    """Cell means of one sample (entries), entry by entry; fill where nothing counts."""
    total, weight = [0.0] * grid.cells, [0.0] * grid.cells
    for cell, share, value in zip(entries.cell, entries.weight, values, strict=True):
        if share != 0.0 and value < 1e35:
            total[cell] += share * value
            weight[cell] += share
    return np.array([t / w if w else FILL for t, w in zip(total, weight, strict=True)])


# -- vectors ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("one_dimensional", [False, True])
@pytest.mark.parametrize(("dimension", "each"), [("pft", 6), ("column", 4), ("landunit", 3)])
def test_vectors_become_cell_means_by_weight(
    tmp_path: Path, dimension: str, each: int, one_dimensional: bool
) -> None:
    grid, bounds = Grid(), years(0, 3)
    entries = Entries.of(grid, each)
    values = np.random.default_rng(1).uniform(1.0, 9.0, (3, len(entries.cell)))
    path = write_vectors(
        tmp_path / "h2.nc",
        grid,
        bounds,
        {dimension: entries},
        {"TOTVEGC": (dimension, values)},
        one_dimensional=one_dimensional,
    )
    found = History([path]).read("TOTVEGC")
    expected = [by_hand(grid, entries, sample) for sample in values.astype(np.float32)]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_entries_that_are_fill_do_not_count(tmp_path: Path) -> None:
    """Soil variables are fill on lakes, whose weight must not dilute the mean."""
    grid, entries = Grid(), Entries.of(Grid(), 5)
    values = np.random.default_rng(2).uniform(1.0, 9.0, (2, len(entries.cell)))
    hidden = np.random.default_rng(3).random(values.shape) < 0.4
    whole = [np.flatnonzero((entries.cell == c) & (entries.weight > 0.0))[0] for c in range(grid.cells)]
    hidden[:, whole] = False
    values[hidden] = FILL
    path = write_vectors(
        tmp_path / "h2.nc", grid, years(0, 2), {"pft": entries}, {"TLAI": ("pft", values)}, dtype="f8"
    )
    np.testing.assert_allclose(
        History([path]).read("TLAI"), [by_hand(grid, entries, sample) for sample in values], rtol=1e-12
    )


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31), value=st.floats(-1e6, 1e6))
def test_the_mean_of_a_constant_is_the_constant_and_of_a_sum_the_sum(
    tmp_path_factory: pytest.TempPathFactory, seed: int, value: float
) -> None:
    grid, rng = Grid(), np.random.default_rng(seed)
    entries = Entries.of(grid, 4, seed)
    a, b = rng.normal(size=(2, 1, len(entries.cell)))
    constant = np.full(a.shape, value)
    path = write_vectors(
        tmp_path_factory.mktemp("h") / "h2.nc",
        grid,
        years(0, 1),
        {"pft": entries},
        {"A": ("pft", a), "B": ("pft", b), "C": ("pft", a + b), "D": ("pft", constant)},
        dtype="f8",
    )
    history = History([path])
    np.testing.assert_allclose(history.read("D"), value, rtol=1e-12)
    np.testing.assert_allclose(history.read("C"), history.read("A") + history.read("B"), rtol=0.0, atol=1e-12)


def test_layered_vectors_keep_their_levels_and_their_fill(tmp_path: Path) -> None:
    grid, entries = Grid(), Entries.of(Grid(), 4)
    values = np.random.default_rng(4).uniform(1.0, 9.0, (2, 15, len(entries.cell)))
    values[:, 10:] = FILL
    path = write_vectors(
        tmp_path / "h2.nc", grid, years(0, 2), {"column": entries}, {"SOIL3C_vr": ("column", values)}
    )
    found = History([path]).read("SOIL3C_vr")
    assert found.shape == (2, 15, grid.cells)
    for level in range(10):
        expected = [by_hand(grid, entries, sample[level]) for sample in values.astype(np.float32)]
        np.testing.assert_allclose(found[:, level], expected, rtol=1e-12)
    assert np.all(found[:, 10:] == FILL)


def test_fields_of_cells_need_no_weights(tmp_path: Path) -> None:
    grid, entries = Grid(), Entries.of(Grid(), 3)
    values = np.arange(float(grid.cells))[None] + 1.0
    path = write_vectors(
        tmp_path / "h2.nc", grid, years(0, 1), {"pft": entries}, {"TWS": ("gridcell", values)}
    )
    np.testing.assert_array_equal(History([path]).read("TWS"), values)


def test_weights_are_those_of_each_file(tmp_path: Path) -> None:
    """In a transient run the cover changes from file to file."""
    grid = Grid()
    first, second = Entries.of(grid, 4, 1), Entries.of(grid, 4, 1)
    second.weight = second.weight**2 / np.bincount(second.cell, second.weight**2)[second.cell]
    values = np.random.default_rng(5).uniform(1.0, 9.0, (1, len(first.cell)))
    paths = [
        write_vectors(
            tmp_path / f"h{year}.nc", grid, years(year, year + 1), {"pft": cover}, {"TLAI": ("pft", values)}
        )
        for year, cover in enumerate((first, second))
    ]
    sample = values[0].astype(np.float32)
    np.testing.assert_allclose(
        History(paths).read("TLAI"), [by_hand(grid, e, sample) for e in (first, second)], rtol=1e-12
    )


def test_without_the_grid_vectors_are_read_but_areas_are_refused(tmp_path: Path) -> None:
    grid, entries = Grid(), Entries.of(Grid(), 4)
    values = np.random.default_rng(6).uniform(1.0, 9.0, (1, len(entries.cell)))
    path = write_vectors(
        tmp_path / "h2.nc",
        grid,
        years(0, 1),
        {"pft": entries},
        {"TLAI": ("pft", values)},
        with_grid=False,
    )
    history = History([path])
    np.testing.assert_allclose(history.grid.lat, grid.cell_lat)
    np.testing.assert_allclose(
        history.read("TLAI"), [by_hand(grid, entries, values[0].astype(np.float32))], rtol=1e-12
    )
    for name in ("area", "landfrac", "land_area_m2"):
        with pytest.raises(InputError, match="variables area, landfrac are missing"):
            getattr(history.grid, name)


def change(path: Path, name: str, index: object, value: float) -> None:
    with netCDF4.Dataset(path, "r+") as nc:
        nc.set_auto_maskandscale(False)
        nc[name][index] = value


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("pfts1d_ixy", 99, "1 entries lie on no land cell, first entry 2"),
        ("pfts1d_wtgcell", np.nan, "holds no shares"),
        ("pfts1d_wtgcell", 1.0, "sum to more than 1"),
        ("TLAI", np.nan, "fill or NaN on land cell"),
        ("TLAI", np.inf, "fill or NaN on land cell"),
    ],
)
def test_one_damaged_entry_of_a_vector_is_refused(
    tmp_path: Path, name: str, value: float, words: str
) -> None:
    grid, entries = Grid(), Entries.of(Grid(), 4)
    first_two = np.flatnonzero(entries.weight > 0.0)[:2]
    order = np.argsort(~np.isin(np.arange(len(entries.cell)), first_two), kind="stable")
    entries = Entries(entries.cell[order], entries.weight[order])
    values = np.ones((1, len(entries.cell)))
    path = write_vectors(tmp_path / "h2.nc", grid, years(0, 1), {"pft": entries}, {"TLAI": ("pft", values)})
    change(path, name, (0, 1) if name == "TLAI" else 1, value)
    with pytest.raises(InputError, match=words):
        History([path]).read("TLAI")


def test_a_cell_without_any_value_is_refused(tmp_path: Path) -> None:
    grid, entries = Grid(), Entries.of(Grid(), 4)
    values = np.where(entries.cell == 5, FILL, 1.0)[None]
    path = write_vectors(tmp_path / "h2.nc", grid, years(0, 1), {"pft": entries}, {"TLAI": ("pft", values)})
    with pytest.raises(InputError, match="fill or NaN on land cell 6"):
        History([path]).read("TLAI")


def test_a_field_of_topounits_without_weights_is_refused(tmp_path: Path) -> None:
    grid, entries = Grid(), Entries.of(Grid(), 4)
    path = write_vectors(tmp_path / "h2.nc", grid, years(0, 1), {"pft": entries}, {})
    with netCDF4.Dataset(path, "r+") as nc:
        nc.createDimension("topounit", 2 * grid.cells)
        nc.createVariable("TBOT", "f4", ("time", "topounit"))[:] = 280.0
    with pytest.raises(InputError, match=r"TBOT has dimensions \('time', 'topounit'\).*hist_dov2xy"):
        History([path]).read("TBOT")


def test_a_field_of_one_topounit_a_cell_is_a_field_of_cells(tmp_path: Path) -> None:
    grid, entries = Grid(), Entries.of(Grid(), 4)
    path = write_vectors(tmp_path / "h2.nc", grid, years(0, 1), {"pft": entries}, {})
    with netCDF4.Dataset(path, "r+") as nc:
        nc.createDimension("topounit", grid.cells)
        nc.createVariable("TBOT", "f4", ("time", "topounit"))[:] = 270.0 + np.arange(grid.cells)
    np.testing.assert_array_equal(History([path]).read("TBOT")[0], 270.0 + np.arange(grid.cells))


# -- time -------------------------------------------------------------------------------------------------


def test_files_are_put_in_order_by_time_whatever_they_are_called(tmp_path: Path) -> None:
    grid = Grid()
    for name, year in (("b.nc", 0), ("a.nc", 1), ("c.nc", 2)):
        write_history(
            tmp_path / name, grid, years(year, year + 1), {"TLAI": np.full((1, grid.cells), float(year))}
        )
    history = History([tmp_path / name for name in ("a.nc", "b.nc", "c.nc")])
    assert [path.name for path in history.paths] == ["b.nc", "a.nc", "c.nc"]
    assert history.read("TLAI")[:, 0].tolist() == [0.0, 1.0, 2.0]


def test_years_that_no_calendar_library_knows_are_plain_arithmetic(tmp_path: Path) -> None:
    """Years 1 to 30,000, and a reference date before the Gregorian calendar."""
    grid = Grid()
    path = write_history(tmp_path / "h0.nc", grid, years(0, 30000, 10000), {"TLAI": np.ones((3, grid.cells))})
    history = History([path])
    assert history.end.tolist() == [10000.0, 20000.0, 30000.0]
    assert history.mean("TLAI", 10001, 20001) == pytest.approx(np.ones(grid.cells))
    with netCDF4.Dataset(path, "r+") as nc:
        nc["time"].units = "days since 0850-03-01 00:00:00"
    assert History([path]).origin == pytest.approx(850.0 + 59.0 / 365.0)


def test_the_sample_of_step_zero_is_left_out(tmp_path: Path) -> None:
    """With bounds of no length or of the step before the start, in a file of its own or before others."""
    grid = Grid()
    for index, bounds in enumerate(([[0.0, 0.0]], [[-1.0 / 8760.0, 0.0]])):
        start = write_history(
            tmp_path / f"s{index}.nc", grid, np.array(bounds), {"TLAI": np.full((1, grid.cells), 99.0)}
        )
        mean = write_history(tmp_path / "m.nc", grid, years(0, 20, 20), {"TLAI": np.ones((1, grid.cells))})
        both = write_history(
            tmp_path / "b.nc",
            grid,
            np.array([*bounds, [0.0, 20.0]]),
            {"TLAI": np.stack([np.full(grid.cells, 99.0), np.ones(grid.cells)])},
        )
        for paths in ([start, mean], [mean, start], [both]):
            history = History(paths)
            assert history.paths == [paths[-1] if paths[0] == start else paths[0]]
            np.testing.assert_array_equal(history.read("TLAI"), np.ones((1, grid.cells)))
        with pytest.raises(InputError, match="no sample is a mean over time"):
            History([start])


def test_monthly_means_are_weighted_by_the_length_of_the_month(tmp_path: Path) -> None:
    grid = Grid()
    values = np.random.default_rng(0).uniform(0.0, 1.0, (24, grid.cells))
    bounds = months(1, 2)
    bounds[0, 0] = -1.0 / 8760.0
    path = write_history(tmp_path / "h0.nc", grid, bounds, {"TLAI": values})
    expected = np.average(values[12:], axis=0, weights=MONTHS)
    np.testing.assert_allclose(History([path]).mean("TLAI", 2, 3), expected, rtol=1e-12)
    whole = np.average(values, axis=0, weights=np.tile(MONTHS, 2))
    np.testing.assert_allclose(History([path]).mean("TLAI", 1, 3), whole, rtol=1e-12)


def edit_time(path: Path, **attributes: str) -> None:
    with netCDF4.Dataset(path, "r+") as nc:
        nc["time"].setncatts(attributes)


def test_what_is_wrong_with_time_is_told(tmp_path: Path) -> None:
    grid = Grid()
    good, bad = (
        write_history(tmp_path / name, grid, years(year, year + 1), {"TLAI": np.ones((1, grid.cells))})
        for name, year in (("good.nc", 0), ("bad.nc", 1))
    )
    edit_time(bad, calendar="gregorian")
    with pytest.raises(InputError, match=r"bad\.nc: time has calendar 'gregorian'"):
        History([good, bad])
    edit_time(bad, calendar="365_day", units="days since 1850-01-01 00:00:00")
    with pytest.raises(InputError, match="one reference date"):
        History([good, bad])
    edit_time(bad, units="months since 0001-01-01")
    with pytest.raises(InputError, match="'months since 0001-01-01'"):
        History([bad])
    edit_time(bad, units="days since 0001-01-01 00:00:00")
    assert len(History([good, bad]).start) == 2
    with pytest.raises(InputError, match="overlap"):
        History([good, good])
    with netCDF4.Dataset(bad, "r+") as nc:
        nc.renameVariable("time_bounds", "bounds")
    with pytest.raises(InputError, match=r"bad\.nc: variable time_bounds is missing"):
        History([good, bad])
    empty = write_history(tmp_path / "empty.nc", grid, np.empty((0, 2)), {})
    with pytest.raises(InputError, match="holds no sample"):
        History([good, empty])


# -- values -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("attribute", ["_FillValue", "missing_value", "both"])
def test_fill_is_known_by_either_attribute(tmp_path: Path, dtype: str, attribute: str) -> None:
    """Tools that work on history files leave other fill values than the model's."""
    grid = Grid()
    path = write_history(tmp_path / "h0.nc", grid, years(0, 1), {}, dtype=dtype)
    with netCDF4.Dataset(path, "r+") as nc:
        nc.set_auto_maskandscale(False)
        other = np.dtype(dtype).type(-999.0)
        fill = {"fill_value": other} if attribute != "missing_value" else {}
        variable = nc.createVariable("TLAI", dtype, ("time", "lat", "lon"), **fill)
        if attribute != "_FillValue":
            variable.missing_value = other
        variable[:] = np.where(grid.land, 2.0, other)
    assert np.all(History([path]).read("TLAI") == 2.0)
    change(path, "TLAI", (0, 2, 3), -999.0)
    with pytest.raises(InputError, match=f"fill or NaN on land cell {grid.cells}"):
        History([path]).read("TLAI")


def test_a_long_run_is_read_in_blocks_of_bounded_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lat, lon = np.linspace(-60.0, 60.0, 100), np.linspace(0.0, 300.0, 200)
    grid = Grid(lat, lon)
    values = np.random.default_rng(0).uniform(0.0, 1.0, (48, grid.cells))
    path = write_history(tmp_path / "h0.nc", grid, months(1, 4), {"TLAI": values}, dtype="f4")
    expected = np.average(values.astype(np.float32), axis=0, weights=np.tile(MONTHS, 4))
    sample = 8 * lat.size * lon.size
    peaks = {}
    for blocks in (1, 6, 48):
        monkeypatch.setattr(module, "_BLOCK_BYTES", blocks * sample)
        history = History([path])
        tracemalloc.start()
        np.testing.assert_allclose(history.mean("TLAI", 1, 5), expected, rtol=1e-6)
        peaks[blocks] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        sizes = [len(samples) for samples, _ in history.blocks("TLAI")]
        assert max(sizes) <= blocks
        assert sum(sizes) == 48
    assert peaks[1] < 8 * sample
    assert peaks[48] > 48 * sample


def test_only_the_wanted_samples_are_read(tmp_path: Path) -> None:
    grid = Grid()
    values = np.arange(12.0)[:, None] * np.ones(grid.cells)
    path = write_history(tmp_path / "h0.nc", grid, years(0, 12), {"TLAI": values})
    change(path, "TLAI", (0, 2, 3), np.nan)
    history = History([path])
    found = list(history.blocks("TLAI", wanted=np.isin(np.arange(12), [3, 4, 9])))
    assert [list(samples) for samples, _ in found] == [[3, 4, 9]]
    np.testing.assert_array_equal(found[0][1][:, 0], [3.0, 4.0, 9.0])
    assert history.mean("TLAI", 6, 13)[0] == pytest.approx(8.0)


# -- the real sample --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def monthly(elm_sample: Path) -> list[Path]:
    return sorted((elm_sample / "history").glob("*.h0.*.nc"))


def test_monthly_means_of_the_sample_are_read_as_they_are(monthly: list[Path]) -> None:
    history = History(monthly[::-1])
    assert len(history.start) == 240
    assert history.start[0] == pytest.approx(0.0, abs=2e-4)
    assert history.end[-1] == 20.0
    for name in ("GPP", "TOTSOMC", "TLAI"):
        expected = np.concatenate([raw(path, name) for path in monthly])
        np.testing.assert_array_equal(history.read(name), expected)
        year = np.average(expected[24:36].astype(float), axis=0, weights=MONTHS)
        np.testing.assert_allclose(history.mean(name, 3, 4), year, rtol=1e-12)


def test_the_twenty_year_mean_of_the_sample_is_the_mean_of_its_months(
    elm_sample: Path, monthly: list[Path]
) -> None:
    twenty = History([elm_sample / "history" / "ad20.elm.h1.0021-01-01-00000.nc"])
    assert (twenty.start.tolist(), twenty.end.tolist()) == ([0.0], [20.0])
    history = History(monthly)
    for name in ("GPP", "NPP", "HR", "TOTVEGC", "TLAI"):
        mean = twenty.mean(name, 1, 21)
        np.testing.assert_allclose(
            history.mean(name, 1, 21), mean, rtol=3e-6, atol=2e-6 * np.abs(mean).max(), err_msg=name
        )


def test_layers_of_the_sample_sum_to_its_column_stocks(monthly: list[Path]) -> None:
    history = History(monthly[-1:])
    for name in ("SOIL3C", "LITR2C", "CWDC"):
        layers = history.mean(f"{name}_vr", 20, 21)
        assert layers.shape == (15, 24)
        stock = history.mean(name, 20, 21)
        np.testing.assert_allclose(DZ @ layers[:10], stock, rtol=1e-5, atol=1e-6 * stock.max(), err_msg=name)


def test_units_are_checked(monthly: list[Path]) -> None:
    with pytest.raises(InputError, match=r"GPP has units 'gC/m\^2/s'"):
        History(monthly[:1]).mean("GPP", 1, 2, units=("gC/m2/yr",))
