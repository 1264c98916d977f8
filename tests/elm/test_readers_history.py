"""History files of every layout against averages computed in plain loops, and against the real sample."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import dask
import netCDF4
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from phase_lib.base.errors import InputError
from phase_lib.elm import history as module
from phase_lib.elm.history import History
from phase_lib.equilibrium.cycles import CycleHistory
from tests.helpers.history import FILL, Entries, Grid, write_history, write_vectors, years
from tests.helpers.restarts import DZ, raw

MONTHS = np.array([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])


def months(first_year: int, count: int) -> np.ndarray:
    """Bounds of calendar months, years since 0001-01-01 (time, 2)."""
    ends = np.cumsum(MONTHS) / 365.0
    start = np.concatenate([[0.0], ends[:-1]])
    year = np.repeat(np.arange(first_year - 1, first_year - 1 + count), 12)
    return np.stack([np.tile(start, count) + year, np.tile(ends, count) + year], axis=1)


def mean_of(
    history: History, name: str, first_year: int, end_year: int, units: tuple[str, ...] | None = None
) -> np.ndarray:
    return history.means({name: units}, first_year, end_year)[name]


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
    entries = Entries.random(grid, each)
    values = np.random.default_rng(1).uniform(1.0, 9.0, (3, len(entries.cell)))
    path = write_vectors(
        tmp_path / "h2.nc",
        grid,
        bounds,
        {dimension: entries},
        {"TOTVEGC": (dimension, values)},
        one_dimensional=one_dimensional,
    )
    result = History([path]).read("TOTVEGC")
    expected = [by_hand(grid, entries, sample) for sample in values.astype(np.float32)]
    np.testing.assert_allclose(result, expected, rtol=1e-12)


def test_entries_that_are_fill_do_not_count(tmp_path: Path) -> None:
    """Soil variables are fill on lakes, whose weight must not dilute the mean."""
    grid, entries = Grid(), Entries.random(Grid(), 5)
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
    entries = Entries.random(grid, 4, seed)
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
    np.testing.assert_allclose(history.read("D"), value, rtol=1e-12, atol=1e-300)
    np.testing.assert_allclose(history.read("C"), history.read("A") + history.read("B"), rtol=0.0, atol=1e-12)


def test_layered_vectors_keep_their_levels_and_their_fill(tmp_path: Path) -> None:
    grid, entries = Grid(), Entries.random(Grid(), 4)
    values = np.random.default_rng(4).uniform(1.0, 9.0, (2, 15, len(entries.cell)))
    values[:, 10:] = FILL
    path = write_vectors(
        tmp_path / "h2.nc", grid, years(0, 2), {"column": entries}, {"SOIL3C_vr": ("column", values)}
    )
    result = History([path]).read("SOIL3C_vr")
    assert result.shape == (2, 15, grid.cells)
    for level in range(10):
        expected = [by_hand(grid, entries, sample[level]) for sample in values.astype(np.float32)]
        np.testing.assert_allclose(result[:, level], expected, rtol=1e-12)
    assert np.all(result[:, 10:] == FILL)


def test_fields_of_cells_need_no_weights(tmp_path: Path) -> None:
    grid, entries = Grid(), Entries.random(Grid(), 3)
    values = np.arange(float(grid.cells))[None] + 1.0
    path = write_vectors(
        tmp_path / "h2.nc", grid, years(0, 1), {"pft": entries}, {"TWS": ("gridcell", values)}
    )
    np.testing.assert_array_equal(History([path]).read("TWS"), values)


def test_weights_are_those_of_each_file(tmp_path: Path) -> None:
    """In a transient run the cover changes from file to file."""
    grid = Grid()
    first, second = Entries.random(grid, 4, 1), Entries.random(grid, 4, 1)
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
    grid, entries = Grid(), Entries.random(Grid(), 4)
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
        with pytest.raises(InputError, match="variable area and landfrac is missing"):
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
    grid, entries = Grid(), Entries.random(Grid(), 4)
    first_two = np.flatnonzero(entries.weight > 0.0)[:2]
    order = np.argsort(~np.isin(np.arange(len(entries.cell)), first_two), kind="stable")
    entries = Entries(entries.cell[order], entries.weight[order])
    values = np.ones((1, len(entries.cell)))
    path = write_vectors(tmp_path / "h2.nc", grid, years(0, 1), {"pft": entries}, {"TLAI": ("pft", values)})
    change(path, name, (0, 1) if name == "TLAI" else 1, value)
    with pytest.raises(InputError, match=words):
        History([path]).read("TLAI")


def test_a_cell_without_any_value_is_refused(tmp_path: Path) -> None:
    grid, entries = Grid(), Entries.random(Grid(), 4)
    values = np.where(entries.cell == 5, FILL, 1.0)[None]
    path = write_vectors(tmp_path / "h2.nc", grid, years(0, 1), {"pft": entries}, {"TLAI": ("pft", values)})
    with pytest.raises(InputError, match="fill or NaN on land cell 6"):
        History([path]).read("TLAI")


def test_a_field_of_topounits_without_weights_is_refused(tmp_path: Path) -> None:
    grid, entries = Grid(), Entries.random(Grid(), 4)
    path = write_vectors(tmp_path / "h2.nc", grid, years(0, 1), {"pft": entries}, {})
    with netCDF4.Dataset(path, "r+") as nc:
        nc.createDimension("topounit", 2 * grid.cells)
        nc.createVariable("TBOT", "f4", ("time", "topounit"))[:] = 280.0
    with pytest.raises(InputError, match=r"TBOT has dimensions \('time', 'topounit'\).*hist_dov2xy"):
        History([path]).read("TBOT")


def test_a_field_of_one_topounit_a_cell_is_a_field_of_cells(tmp_path: Path) -> None:
    grid, entries = Grid(), Entries.random(Grid(), 4)
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
    assert mean_of(history, "TLAI", 10001, 20001) == pytest.approx(np.ones(grid.cells))
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
    np.testing.assert_allclose(mean_of(History([path]), "TLAI", 2, 3), expected, rtol=1e-12)
    whole = np.average(values, axis=0, weights=np.tile(MONTHS, 2))
    np.testing.assert_allclose(mean_of(History([path]), "TLAI", 1, 3), whole, rtol=1e-12)


def edit_time(path: Path, **attributes: str) -> None:
    with netCDF4.Dataset(path, "r+") as nc:
        nc["time"].setncatts(attributes)


def test_faults_of_time_are_reported(tmp_path: Path) -> None:
    grid = Grid()
    good, bad = (
        write_history(tmp_path / name, grid, years(year, year + 1), {"TLAI": np.ones((1, grid.cells))})
        for name, year in (("good.nc", 0), ("bad.nc", 1))
    )
    edit_time(bad, calendar="gregorian")
    with pytest.raises(InputError, match=r"bad\.nc: time has calendar 'gregorian'"):
        History([good, bad])
    edit_time(bad, calendar="365_day", units="days since 1850-01-01 00:00:00")
    with pytest.raises(InputError, match=r"bad\.nc: time_bounds: 1849.00 years are missing"):
        CycleHistory([good, bad], 1)
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
        monkeypatch.setattr(module, "_CHUNK_BYTES", blocks * sample)
        history = History([path])
        tracemalloc.start()
        np.testing.assert_allclose(mean_of(history, "TLAI", 1, 5), expected, rtol=1e-6)
        peaks[blocks] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        sizes = [len(samples) for _, samples, _ in history.fields({"TLAI": None})]
        assert max(sizes) <= blocks
        assert sum(sizes) == 48
    assert peaks[1] < 8 * sample
    assert peaks[48] > 48 * sample


def test_fields_are_lazy_and_each_block_is_read_once_for_all_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid, rng = Grid(), np.random.default_rng(0)
    values = {name: rng.uniform(0.0, 1.0, (6, grid.cells)) for name in ("TLAI", "TWS", "GPP")}
    paths = [
        write_history(
            tmp_path / f"{first}.nc",
            grid,
            years(first, first + 3),
            {name: array[first : first + 3] for name, array in values.items()},
        )
        for first in (0, 3)
    ]
    history = History(paths)
    opened: list[Path] = []
    original = module.open_dataset

    def counted(path: Path) -> object:
        opened.append(path)
        return original(path)

    monkeypatch.setattr(module, "open_dataset", counted)
    monkeypatch.setattr(module, "_CHUNK_BYTES", 8 * 3 * grid.cells * 2)
    fields = history.lazy(dict.fromkeys(values))
    assert opened == [paths[0]]  # its header
    assert fields.dims == ("field", "time", "gridcell")
    assert fields.chunks == ((3,), (2, 1, 2, 1), (grid.cells,))
    result, mean = dask.compute(fields, fields.mean("time"), scheduler="synchronous")
    assert sorted(opened[1:]) == [path for path in paths for _ in range(2)]
    for name, expected in values.items():
        np.testing.assert_array_equal(result.sel(field=name), expected)
        np.testing.assert_allclose(mean.sel(field=name), expected.mean(axis=0), rtol=1e-12)
    dates = xr.decode_cf(result.to_dataset("field")).time.values
    assert [(date.year, date.dayofyr) for date in dates] == [(year, 183) for year in range(1, 7)]


def test_only_the_wanted_samples_are_read(tmp_path: Path) -> None:
    grid = Grid()
    values = np.arange(12.0)[:, None] * np.ones(grid.cells)
    path = write_history(tmp_path / "h0.nc", grid, years(0, 12), {"TLAI": values})
    change(path, "TLAI", (0, 2, 3), np.nan)
    history = History([path])
    result = list(history.fields({"TLAI": None}, np.isin(np.arange(12), [3, 4, 9])))
    assert [list(samples) for _, samples, _ in result] == [[3, 4, 9]]
    np.testing.assert_array_equal(result[0][2][:, 0], [3.0, 4.0, 9.0])
    assert mean_of(history, "TLAI", 6, 13)[0] == pytest.approx(8.0)


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
        np.testing.assert_allclose(mean_of(history, name, 3, 4), year, rtol=1e-12)


def test_the_twenty_year_mean_of_the_sample_is_the_mean_of_its_months(
    elm_sample: Path, monthly: list[Path]
) -> None:
    twenty = History([elm_sample / "history" / "ad20.elm.h1.0021-01-01-00000.nc"])
    assert (twenty.start.tolist(), twenty.end.tolist()) == ([0.0], [20.0])
    history = History(monthly)
    for name in ("GPP", "NPP", "HR", "TOTVEGC", "TLAI"):
        mean = mean_of(twenty, name, 1, 21)
        np.testing.assert_allclose(
            mean_of(history, name, 1, 21), mean, rtol=3e-6, atol=2e-6 * np.abs(mean).max(), err_msg=name
        )


def test_layers_of_the_sample_sum_to_its_column_stocks(monthly: list[Path]) -> None:
    history = History(monthly[-1:])
    for name in ("SOIL3C", "LITR2C", "CWDC"):
        layers = mean_of(history, f"{name}_vr", 20, 21)
        assert layers.shape == (15, 24)
        stock = mean_of(history, name, 20, 21)
        np.testing.assert_allclose(DZ @ layers[:10], stock, rtol=1e-5, atol=1e-6 * stock.max(), err_msg=name)


@pytest.mark.parametrize("units", ["gC m-2 s-1", "gC/m2/s", "g C m**-2 s^-1", "gC m⁻² s⁻¹"])
def test_units_are_known_however_they_are_written(annual: Path, units: str) -> None:
    spoil(annual, attributes(TLAI={"units": units}))
    history = History([annual])
    assert mean_of(history, "TLAI", 1, 4, units=("gC/m^2/s",)).shape == (Grid().cells,)
    for other in ("gC/m^2", "gC/m^2/day", "kgC/m^2/s", "gC/m^3/s", "gN/m^2/s"):
        with pytest.raises(InputError, match="TLAI has units"):
            mean_of(history, "TLAI", 1, 4, units=(other,))


def test_units_are_checked(monthly: list[Path]) -> None:
    with pytest.raises(InputError, match=r"GPP has units 'gC/m\^2/s'"):
        mean_of(History(monthly[:1]), "GPP", 1, 2, units=("gC/m2/yr",))


# -- files as tools leave them ----------------------------------------------------------------------------


def spoil(path: Path, change: Callable[[netCDF4.Dataset], object]) -> Path:
    """Changes a file in place, values as they are on file."""
    with netCDF4.Dataset(path, "r+") as nc:
        nc.set_auto_maskandscale(False)
        change(nc)
    return path


def attributes(**by_variable: dict[str, str]) -> Callable[[netCDF4.Dataset], object]:
    """Sets attributes of variables, or of the file where the name is `file`."""

    def change(nc: netCDF4.Dataset) -> None:
        for name, values in by_variable.items():
            (nc if name == "file" else nc[name]).setncatts(values)

    return change


@pytest.fixture
def annual(tmp_path: Path) -> Path:
    """Three years of TLAI on the cells of `Grid`."""
    grid = Grid()
    values = np.random.default_rng(8).uniform(1.0, 5.0, (3, grid.cells))
    return write_history(tmp_path / "h0.nc", grid, years(0, 3), {"TLAI": values})


@pytest.mark.parametrize(
    ("units", "factor"),
    [
        ("km2", 1.0),
        ("m^2", 1.0e6),
        ("m2", 1.0e6),
        ("square meters", 1.0e6),
        ("kilometers^2", 1.0),
        ("steradian", 1.0 / 6371.22**2),
        ("radians^2", 1.0 / 6371.22**2),
    ],
)
def test_areas_are_taken_in_the_units_that_the_file_says(annual: Path, units: str, factor: float) -> None:
    grid = Grid()
    spoil(annual, lambda nc: nc["area"].__setitem__(..., grid.area * factor))
    spoil(annual, attributes(area={"units": units}))
    result = History([annual]).grid
    np.testing.assert_allclose(result.area, grid.area[grid.land], rtol=1e-6)
    np.testing.assert_allclose(result.land_area_m2, grid.land_area_m2, rtol=1e-6)


@pytest.mark.parametrize(
    ("factor", "units", "words"),
    [
        (1.0, "", "area has no attribute units"),
        (1.0, "ha", "area has units 'ha'"),
        (1.0e6, "km^2", "units 'km\\^2', in which cell 1 has 2e\\+11 km2"),
        (1.0 / 6371.22**2, "km^2", "units 'km\\^2', in which cell 1 has 0.00493 km2"),
        (1.0, "steradian", "units 'steradian', in which cell 1 has 8.1.e\\+12 km2"),
        (1.0e3, "km^2", "in which cell 1 has 2e\\+08 km2"),
        (0.3, "m^2", "units 'm\\^2', in which cell 1 has 0.06 km2"),
    ],
)
def test_areas_that_contradict_their_units_are_refused(
    annual: Path, factor: float, units: str, words: str
) -> None:
    spoil(annual, lambda nc: nc["area"].__setitem__(..., Grid().area * factor))
    spoil(annual, attributes(area={"units": units}))
    history = History([annual])
    assert history.read("TLAI").shape == (3, Grid().cells)  # needs no area
    with pytest.raises(InputError, match=words):
        _ = history.grid.land_area_m2


def test_more_land_than_the_earth_has_is_refused(tmp_path: Path) -> None:
    grid = Grid(np.linspace(-85.0, 85.0, 18), np.arange(0.0, 360.0, 10.0))
    grid.area = np.broadcast_to(7.8e5 * np.cos(np.deg2rad(grid.lat))[:, None] * 1.57, grid.land.shape)
    path = write_history(tmp_path / "h0.nc", grid, years(0, 1), {"TLAI": np.ones((1, grid.cells))})
    assert 2.4e14 < grid.land_area_m2.sum() < 3.0e14
    with pytest.raises(
        InputError, match=r"area and landfrac: the land of its cells is 2\.\d+e\+08 km2; expected no more"
    ):
        _ = History([path]).grid.land_area_m2


def test_land_fractions_are_of_one_or_percent(annual: Path) -> None:
    grid = Grid()
    for values, units in ((grid.landfrac, ""), (grid.landfrac, "fraction"), (100.0 * grid.landfrac, "%")):
        spoil(annual, lambda nc, values=values: nc["landfrac"].__setitem__(..., values))
        spoil(annual, attributes(landfrac={"units": units}))
        np.testing.assert_allclose(History([annual]).grid.landfrac, 0.5)
    for units, words in (
        ("1", "at most 50, with units '1'; expected a fraction"),
        ("km2", "has units 'km2'"),
    ):
        spoil(annual, attributes(landfrac={"units": units}))
        with pytest.raises(InputError, match=f"landfrac .*{words}"):
            _ = History([annual]).grid.landfrac
    spoil(annual, lambda nc: nc["landfrac"].__setitem__(..., grid.landfrac))
    spoil(annual, attributes(landfrac={"units": "%"}))
    with pytest.raises(InputError, match=r"landfrac is at most 0\.5, with units '%'; expected percent"):
        _ = History([annual]).grid.landfrac


def masked(path: Path, mask: np.ndarray, **units: str) -> Path:
    """Gives a history another land mask, of floating point numbers."""

    def change(nc: netCDF4.Dataset) -> None:
        nc.renameVariable("landmask", "old_mask")
        nc.createVariable("landmask", "f8", ("lat", "lon"))[:] = mask
        nc["landmask"].setncatts(units)

    return spoil(path, change)


def test_a_fractional_land_mask_counts_where_there_are_data(annual: Path) -> None:
    grid = Grid()
    whole = History([annual]).read("TLAI")
    mask = np.where(grid.land, 1.0, 0.0)
    mask[1], mask[2, 1:3] = 0.9999, 1.0e-3
    masked(annual, mask)
    history = History([annual])
    np.testing.assert_array_equal(history.read("TLAI"), whole)
    assert history.grid.remarks == ()
    spoil(annual, lambda nc: nc["TLAI"].__setitem__((..., 1, 2), FILL))
    spoil(annual, lambda nc: nc["landfrac"].__setitem__((1, 3), 0.0))
    history = History([annual])
    kept = np.flatnonzero(~np.isin(np.flatnonzero(grid.land), [6, 7]))
    np.testing.assert_array_equal(history.read("TLAI"), whole[:, kept])
    np.testing.assert_array_equal(history.grid.row, np.flatnonzero(grid.land)[kept])
    assert history.grid.remarks == (
        "2 of 11 cells whose landmask is above 0 are left out: 1 without data, 1 without a land fraction",
    )
    spoil(annual, lambda nc: nc["TLAI"].__setitem__((..., 0, 2), FILL))
    with pytest.raises(InputError, match="TLAI is fill or NaN on land cell 2"):
        History([annual]).read("TLAI")  # the mask is certain of it


def test_land_that_a_mask_of_whole_numbers_lost_counts_and_is_reported(annual: Path) -> None:
    """A fraction of 0.9999 is 0 as a whole number."""
    grid = Grid()
    whole = History([annual]).read("TLAI")
    spoil(annual, lambda nc: nc["landmask"].__setitem__((1, slice(None)), 0))
    history = History([annual])
    np.testing.assert_array_equal(history.read("TLAI"), whole)
    refusal = "4 cells whose landmask is 0 or no number count: they have data and a land fraction"
    assert history.grid.remarks == (refusal,)
    spoil(annual, lambda nc: nc["TLAI"].__setitem__((..., 1, slice(None)), FILL))
    history = History([annual])
    assert (len(history.grid.row), history.grid.remarks) == (grid.cells - 4, ())


def test_rain_at_sea_makes_no_land(annual: Path) -> None:
    """Fields of the air may have numbers everywhere, and a regridded land fraction beyond the coast."""
    grid = Grid()
    masked(annual, np.where(grid.land, 0.9999, 0.0), units="land flag")

    def change(nc: netCDF4.Dataset) -> None:
        nc["landfrac"][:] = np.where(grid.land, 0.5, 0.01)
        for name in ("GPP", "NPP"):
            nc.createVariable(name, "f8", ("time", "lat", "lon"))[:] = nc["TLAI"][:]
        nc.createVariable("RAIN", "f8", ("time", "lat", "lon"))[:] = 1.0

    result = History([spoil(annual, change)]).grid
    np.testing.assert_array_equal(result.row, np.flatnonzero(grid.land))
    assert result.remarks == ()


def test_land_masks_that_cannot_be_are_refused(annual: Path) -> None:
    grid = Grid()
    percent = 100.0 * grid.land
    with pytest.raises(InputError, match="landmask is at most 100, without units"):
        History([masked(annual, percent)])
    spoil(annual, attributes(landmask={"units": "%"}))
    assert len(History([annual]).grid.row) == grid.cells
    spoil(annual, lambda nc: nc["landmask"].__setitem__((0, 1), -1.0))
    with pytest.raises(InputError, match="landmask is -1 in a cell"):
        History([annual])
    spoil(annual, lambda nc: nc["landmask"].__setitem__(..., np.nan))
    spoil(annual, lambda nc: nc["landfrac"].__setitem__(..., np.nan))
    with pytest.raises(InputError, match="no cell is land"):
        History([annual])


def test_files_of_a_run_have_the_cells_of_the_first_whatever_is_fill_in_the_others(tmp_path: Path) -> None:
    grid = Grid()
    paths = [
        write_history(tmp_path / f"{y}.nc", grid, years(y, y + 1), {"TLAI": np.ones((1, grid.cells))})
        for y in range(2)
    ]
    for path in paths:
        masked(path, np.where(grid.land, 0.5, 0.0))
    spoil(paths[1], lambda nc: nc["TLAI"].__setitem__((0, 1, 1), FILL))
    with pytest.raises(InputError, match=r"1\.nc: variable TLAI is fill or NaN on land cell 5"):
        History(paths).read("TLAI")


@pytest.mark.parametrize(
    ("units", "numbers"),
    [
        ("hours since 0001-01-01", lambda days: days * 24.0),
        ("hours since 0000-12-31 23:00:00", lambda days: days * 24.0 + 1.0),
        ("minutes since 1-1-1", lambda days: days * 1440.0),
        ("seconds since 0001-01-01T00:00:00Z", lambda days: days * 86400.0),
        ("days since 0850-03-01 00:00:00", lambda days: days - (849 * 365 + 59)),
    ],
)
def test_bounds_have_units_and_a_reference_date_of_their_own(
    annual: Path, units: str, numbers: Callable[[np.ndarray], np.ndarray]
) -> None:
    bounds = 365.0 * years(0, 3)

    def change(nc: netCDF4.Dataset) -> None:
        nc["time_bounds"][:] = numbers(bounds)
        nc["time_bounds"].units = units

    history = History([spoil(annual, change)])
    assert (history.start.tolist(), history.end.tolist()) == ([0.0, 1.0, 2.0], [1.0, 2.0, 3.0])
    assert history.origin == 1.0

    def also_time(nc: netCDF4.Dataset) -> None:
        nc.renameVariable("time", "old_time")
        nc.createVariable("time", "f8", ("time",))[:] = numbers(bounds[:, 1])
        nc["time"].setncatts({"units": units, "calendar": "noleap"})
        nc["time_bounds"].units = ""

    history = History([spoil(annual, also_time)])
    np.testing.assert_allclose(history.start + history.origin, [1.0, 2.0, 3.0], rtol=1e-12)


def test_each_file_may_count_from_a_date_of_its_own(tmp_path: Path) -> None:
    """A tool that writes each month by itself counts from that month."""
    grid = Grid()
    values = np.random.default_rng(9).uniform(1.0, 5.0, (24, grid.cells))
    paths = []
    for month, bounds in enumerate(months(1, 2)):
        path = write_history(tmp_path / f"{month}.nc", grid, bounds[None], {"TLAI": values[[month]]})

        def from_its_start(nc: netCDF4.Dataset, month: int = month) -> None:
            length = MONTHS[month % 12]
            nc["time"][:], nc["time_bounds"][:] = 24.0 * length, [[0.0, 24.0 * length]]
            nc["time"].units = f"hours since {1 + month // 12:04d}-{1 + month % 12:02d}-01 00:00:00"

        paths.append(spoil(path, from_its_start))
    history = History(paths[::-1])
    assert history.paths == paths
    np.testing.assert_allclose(np.stack([history.start, history.end], axis=1), months(1, 2), atol=1e-9)
    assert history.origin == 1.0
    expected = np.average(values[12:], axis=0, weights=MONTHS)
    np.testing.assert_allclose(mean_of(history, "TLAI", 2, 3), expected, rtol=1e-12)


@pytest.mark.parametrize("attribute", ["time_bnds", "time_bounds", ""])
def test_bounds_are_found_under_the_name_of_other_tools(annual: Path, attribute: str) -> None:
    def change(nc: netCDF4.Dataset) -> None:
        nc.renameVariable("time_bounds", "time_bnds")
        nc["time"].setncatts({"bounds": attribute, "calendar": "noleap "})

    assert History([spoil(annual, change)]).end.tolist() == [1.0, 2.0, 3.0]


def test_bounds_that_do_not_hold_their_times_are_refused(annual: Path) -> None:
    """The times were moved to another reference date, and their bounds were left behind."""
    spoil(annual, attributes(time={"units": "days since 0003-01-01 00:00:00"}))
    spoil(annual, lambda nc: nc["time"].__setitem__(..., 365.0 * np.arange(-1.0, 2.0)))
    with pytest.raises(InputError, match="time_bounds reaches from 0003-01-01 to 0006-01-01, time from 0002"):
        History([annual])
    spoil(annual, lambda nc: nc["time"].__setitem__(..., 365.0 * np.arange(0.5, 3.0)))
    assert History([annual]).origin == 3.0


def test_a_first_sample_that_ends_at_the_reference_date_counts(annual: Path) -> None:
    """A tool that writes times since the first of them makes it 0, as that of step 0 is."""

    def change(nc: netCDF4.Dataset) -> None:
        nc["time"][:] = 365.0 * np.arange(3.0)
        nc["time_bounds"][:] = 365.0 * (years(0, 3) - 1.0)
        nc["time"].units = "days since 0002-01-01 00:00:00"

    history = History([spoil(annual, change)])
    assert (history.start + history.origin).tolist() == [1.0, 2.0, 3.0]


def test_bounds_in_other_units_than_they_say_are_refused(annual: Path) -> None:
    spoil(annual, lambda nc: nc["time_bounds"].__setitem__(..., 24.0 * 365.0 * years(0, 3)))
    with pytest.raises(InputError, match="time_bounds reaches from 0001-01-01 to 0073-01-01, time from 0002"):
        History([annual])
    for units in ("days", "months since 0001-01-01", "days since 0001-13-01"):
        spoil(annual, attributes(time_bounds={"units": units}))
        with pytest.raises(InputError, match=f"time_bounds has units '{units}'"):
            History([annual])
    spoil(annual, attributes(time_bounds={"units": "hours since 0001-01-01", "calendar": "standard"}))
    with pytest.raises(InputError, match="time_bounds has calendar 'standard'"):
        History([annual])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("time: point", "snapshots"),
        ("time: instantaneous", "snapshots"),
        ("time: maximum", "maxima"),
        ("time: minimum", "minima"),
        ("time: sum", "sums"),
        ("area: mean time: maximum within days time: mean over days", "maxima"),
        ("time: variance", "no means"),
    ],
)
def test_what_is_no_mean_over_time_is_refused_by_name(annual: Path, text: str, words: str) -> None:
    spoil(annual, attributes(TLAI={"cell_methods": text}))
    history = History([annual])
    expected = rf"h0\.nc: variable TLAI holds {words} \(cell_methods '{text}'\); expected means over time"
    with pytest.raises(InputError, match=expected):
        history.read("TLAI")
    with pytest.raises(InputError, match=expected):
        history.check({"TLAI": ("1",)})


@pytest.mark.parametrize(
    "text",
    [
        "time: mean",
        "time:mean",
        "area: mean time: mean (interval: 1 hour comment: snapshots time: point)",
        "time: mean within years time: mean over years area: maximum",
        "lndgrid: maximum",
        "",
    ],
)
def test_means_are_known_however_they_are_written(annual: Path, text: str) -> None:
    spoil(annual, attributes(TLAI={"cell_methods": text}))
    assert History([annual]).read("TLAI").shape == (3, Grid().cells)


def test_a_tape_whose_samples_have_no_length_is_one_of_snapshots(annual: Path) -> None:
    spoil(annual, lambda nc: nc["time_bounds"].__setitem__((slice(None), 0), 365.0 * np.arange(1.0, 4.0)))
    with pytest.raises(InputError, match="3 of 3 samples have no length: they are snapshots"):
        History([annual])


def test_a_series_of_two_cases_is_refused(tmp_path: Path) -> None:
    grid = Grid()
    paths = [
        write_history(tmp_path / f"{y}.nc", grid, years(y, y + 1), {"TLAI": np.ones((1, grid.cells))})
        for y in range(3)
    ]
    spoil(paths[0], attributes(file={"case": "ad20"}))
    spoil(paths[1], attributes(file={"case": "ad20    "}))
    assert History(paths).case == "ad20"
    spoil(paths[2], attributes(file={"case": "ad40"}))
    with pytest.raises(InputError, match=r"2\.nc: is of case 'ad40'; expected case 'ad20' as in .*0\.nc"):
        History(paths)


def test_a_file_that_is_there_twice_is_named(tmp_path: Path) -> None:
    grid = Grid()
    first, second = (
        write_history(tmp_path / f"{y}.nc", grid, years(y, y + 1), {"TLAI": np.ones((1, grid.cells))})
        for y in range(2)
    )
    copy = tmp_path / "copy.nc"
    copy.write_bytes(second.read_bytes())
    with pytest.raises(InputError) as refusal:
        History([copy, first, second])
    assert {str(second), str(copy)} == {
        name for name in map(str, (first, second, copy)) if name in str(refusal.value)
    }
    assert "both hold 0002-01-01 to 0003-01-01" in str(refusal.value)
    with pytest.raises(InputError, match=r"0\.nc: time_bounds: samples overlap: the file is given twice"):
        History([first, second, first])
    days = np.array([[0.0, 1.0], [1.0, 2.0], [1.0, 2.0]]) / 365.0
    short = write_history(tmp_path / "d.nc", grid, days, {"TLAI": np.ones((3, grid.cells))})
    with pytest.raises(InputError, match="two samples of the file hold 0001-01-02 to 0001-01-03"):
        History([short])
    turned = write_history(tmp_path / "t.nc", grid, years(0, 3)[::-1], {"TLAI": np.ones((3, grid.cells))})
    with pytest.raises(InputError, match=r"t\.nc: time_bounds: its samples are not in order of time"):
        History([turned])


def point_of(path: Path, target: Path, layout: str) -> Path:
    """One cell of a history on (lat, lon), by one of the ways in which tools leave its dimensions."""
    at = {"lat": 2, "lon": 1}
    with netCDF4.Dataset(path) as old, netCDF4.Dataset(target, "w") as new:
        old.set_auto_maskandscale(False)
        new.createDimension("time", old.dimensions["time"].size)
        new.createDimension("hist_interval", 2)
        for name in ("lat", "lon", "site", "levdcmp"):
            if name in layout or name == "levdcmp":
                new.createDimension(name, 15 if name == "levdcmp" else 1)
        for name, variable in old.variables.items():
            values = np.asarray(variable[:])
            for axis in reversed(range(values.ndim)):
                if (dim := variable.dimensions[axis]) in at:
                    values = np.take(values, at[dim], axis=axis)
            kept = tuple(dim for dim in variable.dimensions if dim not in at)
            on: tuple[str, ...] = ()
            if kept != variable.dimensions:
                on = {"none": (), "site": ("site",)}.get(layout, variable.dimensions[len(kept) :])
                on = () if layout == "lat lon of axes" and len(on) == 2 else on
            copy = new.createVariable(name, variable.dtype, kept + on)
            copy.setncatts({key: value for key, value in variable.__dict__.items() if key != "_FillValue"})
            copy[...] = values.reshape(values.shape + (1,) * len(on))
    return target


@pytest.mark.parametrize("layout", ["none", "lat lon of axes", "lat lon", "site"])
def test_a_site_without_its_horizontal_dimensions_is_one_point(tmp_path: Path, layout: str) -> None:
    grid = Grid()
    values = np.random.default_rng(9).uniform(1.0, 5.0, (3, grid.cells))
    whole = write_history(tmp_path / "all.nc", grid, years(0, 3), {"TLAI": values, "TOTSOMC": values * 1e3})
    layered = values[:, None] * np.arange(1.0, 16.0)[:, None]

    def add_layers(nc: netCDF4.Dataset) -> None:
        nc.createDimension("levdcmp", 15)
        full = np.full((3, 15, *grid.land.shape), FILL)
        full[..., grid.land] = layered
        nc.createVariable("SOIL3C_vr", "f8", ("time", "levdcmp", "lat", "lon"))[:] = full

    point = point_of(spoil(whole, add_layers), tmp_path / "point.nc", layout)
    history, cell = History([point]), int(np.flatnonzero(np.flatnonzero(grid.land) == 9)[0])
    np.testing.assert_array_equal(history.read("TLAI"), values[:, cell : cell + 1])
    np.testing.assert_array_equal(history.read("SOIL3C_vr"), layered[..., cell : cell + 1])
    assert history.grid.lat.tolist() == [70.0]
    np.testing.assert_allclose(history.grid.land_area_m2, grid.land_area_m2[cell : cell + 1])


def test_a_grid_that_a_tool_repeated_in_time_is_read_once_and_must_not_change(annual: Path) -> None:
    area = Grid().land_area_m2

    def repeat(nc: netCDF4.Dataset) -> None:
        for name in ("area", "landfrac", "landmask"):
            old = nc[name]
            values, units = np.asarray(old[:]), getattr(old, "units", "")
            nc.renameVariable(name, f"old_{name}")
            new = nc.createVariable(name, values.dtype, ("time", "lat", "lon"))
            new.units = units
            new[:] = np.repeat(values[None], 3, axis=0)

    np.testing.assert_allclose(History([spoil(annual, repeat)]).grid.land_area_m2, area)
    spoil(annual, lambda nc: nc["landfrac"].__setitem__((2, 1, 1), 0.4))
    with pytest.raises(InputError, match="landfrac changes in time"):
        History([annual])


ZSOI = 0.025 * (np.exp(0.5 * (np.arange(1, 16) - 0.5)) - 1.0)


def layers_on(path: Path, coordinate: np.ndarray | None, order: np.ndarray, units: str) -> np.ndarray:
    """Adds a layered field whose layers lie in some order; returns it from the surface down."""
    grid = Grid()
    values = np.random.default_rng(10).uniform(1.0, 9.0, (3, len(order), grid.cells))

    def add(nc: netCDF4.Dataset) -> None:
        nc.createDimension("levdcmp", len(order))
        full = np.full((3, len(order), *grid.land.shape), FILL)
        full[..., grid.land] = values[:, order]
        nc.createVariable("SOIL3C_vr", "f8", ("time", "levdcmp", "lat", "lon"))[:] = full
        if coordinate is not None:
            nc.createVariable("levdcmp", "f4", ("levdcmp",))[:] = coordinate
            nc["levdcmp"].units = units

    spoil(path, add)
    return values


@pytest.mark.parametrize(
    ("coordinate", "order", "units"),
    [
        (ZSOI, np.arange(15), "m"),
        (ZSOI[::-1], np.arange(15)[::-1], "m"),
        (100.0 * ZSOI[::-1], np.arange(15)[::-1], "cm"),
        (-ZSOI[::-1], np.arange(15)[::-1], "m"),
        (np.arange(10.0, 0.0, -1.0), np.arange(10)[::-1], ""),
        (ZSOI[:10].round(3), np.arange(10), ""),
        (None, np.arange(15), ""),
    ],
)
def test_layers_are_sorted_by_their_coordinate(
    annual: Path, coordinate: np.ndarray | None, order: np.ndarray, units: str
) -> None:
    values = layers_on(annual, coordinate, order, units)
    np.testing.assert_array_equal(History([annual]).read("SOIL3C_vr"), values)


@pytest.mark.parametrize(
    ("coordinate", "size", "words"),
    [
        (np.linspace(0.01, 8.0, 15), 15, "coordinate levdcmp does not name ELM's soil layers: 0.01, "),
        (ZSOI * 10.0, 15, "coordinate levdcmp does not name ELM's soil layers: 0.071"),
        (np.repeat(ZSOI[0], 15), 15, "coordinate levdcmp does not name ELM's soil layers"),
        (None, 25, "dimension levdcmp has 25 layers"),
    ],
)
def test_other_layers_are_refused(annual: Path, coordinate: np.ndarray | None, size: int, words: str) -> None:
    layers_on(annual, coordinate, np.arange(size), "m")
    history = History([annual])
    assert history.read("TLAI").shape == (3, Grid().cells)
    with pytest.raises(InputError, match=words):
        history.read("SOIL3C_vr")


def test_a_field_without_units_is_refused_where_they_matter(annual: Path) -> None:
    spoil(annual, lambda nc: nc["TLAI"].delncattr("units"))
    history = History([annual])
    for read in (
        lambda: mean_of(history, "TLAI", 1, 4, units=("1",)),
        lambda: history.check({"TLAI": ("1",)}),
    ):
        with pytest.raises(InputError, match="variable TLAI has no attribute units; expected '1'"):
            read()


def test_a_sample_whose_dimension_of_time_is_lost_is_one_sample(elm_sample: Path, tmp_path: Path) -> None:
    whole = elm_sample / "history" / "ad20.elm.h1.0021-01-01-00000.nc"
    lost = tmp_path / "lost.nc"
    with netCDF4.Dataset(whole) as old, netCDF4.Dataset(lost, "w") as new:
        old.set_auto_maskandscale(False)
        for name in ("lndgrid", "hist_interval", "levdcmp"):
            new.createDimension(name, old.dimensions[name].size)
        for name in ("time", "time_bounds", "lat", "lon", "area", "landfrac", "landmask", "GPP"):
            variable = old[name]
            timed = variable.dimensions[:1] == ("time",)
            copy = new.createVariable(name, variable.dtype, variable.dimensions[timed:])
            copy.setncatts({key: value for key, value in variable.__dict__.items() if key != "_FillValue"})
            copy[...] = variable[0] if timed else variable[:]
    np.testing.assert_array_equal(mean_of(History([lost]), "GPP", 1, 21), raw(whole, "GPP")[0])
    spoil(lost, attributes(GPP={"cell_methods": "time: point"}))
    with pytest.raises(InputError, match="GPP holds snapshots"):
        History([lost]).read("GPP")
