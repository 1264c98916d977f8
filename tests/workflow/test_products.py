"""Products of a run, opened as a user opens them: with xarray, and nothing of this library."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cftime
import matplotlib as mpl
import netCDF4
import numpy as np
import pytest
import xarray as xr
from matplotlib import pyplot as plt

from tests.workflow.conftest import Workflow

mpl.use("Agg")
#: Product -> a variable of it to draw, and the labels of the axes.
DRAWN = {
    "forcing/embedded/all.1901-1920.nc": (
        "TBOT",
        {"gridcell": 3},
        "middle of the month",
        "air temperature [K]",
    ),
    "records/embedded/1/records_00.nc": (
        "soil3c_vr",
        {"gridcell": 3},
        "depth of the soil layer's node [m]",
        "soil3c_vr of the restart [gC/m^3]",
    ),
    "records/embedded/1/cells.nc": ("area_km2", {}, "number of the cell", "area of the cell [km^2]"),
    "dataset/cells.nc": ("landfrac", {}, "number of the cell", "land fraction"),
    "dataset/split_block.nc": ("cell", {}, "number of the cell", "row of the cell in its restart, from 0"),
    "surrogate/block/normalization.nc": (
        "Y_deadstemc_offset",
        {},
        "plant functional type",
        "subtracted from Y_deadstemc",
    ),
    "predictions/predictions.nc": (
        "deadstemc",
        {},
        "plant functional type",
        "number of the cell",
    ),
    "predictions/test_block.nc": (
        "soil4c_vr",
        {"model": 0, "gridcell": 2},
        "depth of the soil layer's node [m]",
        "soil4c_vr as predicted [gC/m^3]",
    ),
    "equilibrium/drift.nc": ("totsomc_injected", {}, "number of the cell", "[gC/m^2]"),
}


@pytest.fixture(params=DRAWN)
def product(request: pytest.FixtureRequest, small_run: Workflow) -> Iterator[tuple[str, xr.Dataset]]:
    with xr.open_dataset(small_run.results / request.param) as dataset:
        yield request.param, dataset


def test_each_variable_says_its_units_and_what_it_is(product: tuple[str, xr.Dataset]) -> None:
    _, dataset = product
    assert dataset.attrs["Conventions"].startswith("CF-")
    assert dataset.attrs["title"]
    assert dataset.attrs["code_version"]
    for name, variable in dataset.variables.items():
        assert variable.attrs.get("long_name"), name
        # Bounds have those of their coordinate, and decoded times none.
        if variable.dtype.kind in "iuf" and not str(name).endswith("_bounds"):
            assert variable.attrs.get("units"), name


def test_coordinates_lie_along_their_dimensions_and_have_names(product: tuple[str, xr.Dataset]) -> None:
    _, dataset = product
    if "gridcell" in dataset.dims:
        assert {"gridcell", "lat", "lon"} <= set(dataset.coords)
        assert np.all(np.abs(dataset.lat) <= 90.0)
        assert (dataset.lat.standard_name, dataset.lon.units) == ("latitude", "degrees_east")
    if "natpft" in dataset.dims:
        assert dataset.pft_name.sel(natpft=14).item() == "c4_grass"
    if "levdecomp" in dataset.dims:
        assert dataset.levdecomp.values[[0, -1]] == pytest.approx([0.0071006, 2.8646], rel=1e-4)
        assert (dataset.levdecomp.units, dataset.levdecomp.positive) == ("m", "down")
        edges = dataset.levdecomp_bounds.values
        assert np.all((edges[:, 0] < dataset.levdecomp) & (dataset.levdecomp < edges[:, 1]))
        assert np.array_equal(edges[1:, 0], edges[:-1, 1])
    assert set(dataset.dims) - set(dataset.coords) <= {"bounds"}


def test_a_variable_is_drawn_with_its_name_and_units(product: tuple[str, xr.Dataset]) -> None:
    name, dataset = product
    variable, chosen, x, y = DRAWN[name]
    dataset[variable].isel(chosen).plot()
    axes = plt.gca()
    try:
        plt.gcf().canvas.draw()
        assert x in axes.get_xlabel().replace("\n", " ")
        assert y in axes.get_ylabel().replace("\n", " ")
    finally:
        plt.close("all")


@pytest.mark.parametrize(
    ("name", "first"), [("forcing/embedded/all.1901-1920.nc", 1901), ("records/embedded/1/records_00.nc", 1)]
)
def test_months_are_dates_without_leap_days(small_run: Workflow, name: str, first: int) -> None:
    with xr.open_dataset(small_run.results / name) as dataset:
        assert dataset.TBOT.cell_methods == "time: mean"
        start, end = dataset.time_bounds.values.T
        begins = [cftime.DatetimeNoLeap(first + month // 12, month % 12 + 1, 1) for month in range(241)]
        assert list(start) == begins[:-1]
        assert list(end) == begins[1:]
        assert np.all((start < dataset.time) & (dataset.time < end))
        # A year has a season: the mean of a calendar month is one of twelve.
        assert dataset.TBOT.groupby("time.month").mean("time").sizes["month"] == 12


def test_files_of_records_are_joined_by_the_numbers_of_their_cells(small_run: Workflow) -> None:
    files = sorted((small_run.results / "records" / "embedded" / "1").glob("records_*.nc"))
    assert len(files) == 2
    with xr.open_mfdataset(files[::-1]) as joined:
        joined.load()
    assert joined.gridcell.values.tolist() == list(range(54))
    assert joined.pft_leafcn.dims == ("natpft",)
    assert joined.time_bounds.dims == ("time", "bounds")
    parts = [netCDF4.Dataset(file) for file in files]
    for name in ("lat", "deadstemc", "Y_soil3c_vr", "FSDS", "covered"):
        whole = np.concatenate([np.ma.filled(part[name][:], np.nan) for part in parts])
        assert np.array_equal(joined[name].values, whole, equal_nan=True), name
    with xr.open_dataset(small_run.results / "dataset" / "cells.nc") as index:
        assert np.array_equal(index.lat, joined.lat)
        assert np.array_equal(index.complete, joined.complete)


def test_products_go_through_xarray_and_back_unchanged(
    product: tuple[str, xr.Dataset], tmp_path: Path
) -> None:
    _, dataset = product
    dataset.load().to_netcdf(tmp_path / "again.nc")
    with xr.open_dataset(tmp_path / "again.nc") as again:
        xr.testing.assert_identical(again.load(), dataset)
