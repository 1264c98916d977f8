"""Files of our own: written under a temporary name, opened with checks."""

from __future__ import annotations

from pathlib import Path

import dask.array as da
import netCDF4
import numpy as np
import pytest
import xarray as xr

from phase_lib.base.errors import InputError
from phase_lib.elm.netcdf import get_attribute, get_variable
from phase_lib.elm.products import (
    cell_coordinates,
    creating,
    flags,
    open_product,
    pft_coordinates,
    variable,
    write_product,
)

LAT, LON = np.array([10.0, 20.0, 30.0]), np.array([0.0, 120.0, 240.0])
DIMS = ("gridcell", "natpft")


def product(values: object) -> xr.Dataset:
    fields = {
        "leafc": variable(DIMS, values, "gC/m^2", "leaf carbon"),
        "flag": flags("gridcell", np.array([True, False, True]), "a flag", {"no": 0, "yes": 1}),
    }
    return xr.Dataset(fields, cell_coordinates(LAT, LON, 7) | pft_coordinates(), {"title": "a product"})


@pytest.mark.parametrize("compressed", [True, False])
def test_a_product_is_read_as_it_was_written(tmp_path: Path, compressed: bool) -> None:
    values = np.random.default_rng(0).random((3, 17))
    values[1, 4] = np.nan
    path = tmp_path / "p.nc"
    write_product(path, product(values), compressed=compressed, masked=True)
    with open_product(path) as inside, xr.open_dataset(path) as outside:
        assert get_variable(path, inside, "leafc", DIMS).to_numpy().tobytes() == values.tobytes()
        assert outside.leafc.values.tobytes() == values.tobytes()
        assert outside.gridcell.values.tolist() == [7, 8, 9]
        assert outside.flag.attrs["flag_meanings"] == "no yes"
        assert get_attribute(path, inside, "title") == outside.attrs["title"] == "a product"
    with netCDF4.Dataset(path) as file:
        assert np.isnan(file["leafc"]._FillValue)
        assert "_FillValue" not in file["lat"].ncattrs()
        assert file["leafc"].coordinates == "lat lon pft_name"
        assert file["leafc"].filters()["zlib"] is compressed


def test_what_is_never_absent_has_no_fill_value(tmp_path: Path) -> None:
    write_product(tmp_path / "p.nc", product(np.ones((3, 17))))
    with netCDF4.Dataset(tmp_path / "p.nc") as file:
        assert "_FillValue" not in file["leafc"].ncattrs()


def test_a_stream_fills_what_was_only_defined(tmp_path: Path) -> None:
    with creating(tmp_path / "p.nc", product(da.empty((3, 17), chunks=-1)), masked=True) as file:
        file["leafc"][1] = np.arange(17.0)
        assert not (tmp_path / "p.nc").exists()
    with xr.open_dataset(tmp_path / "p.nc") as opened:
        assert opened.leafc[1].values.tolist() == list(range(17))
        assert np.isnan(opened.leafc[[0, 2]]).all()


def test_a_product_that_is_not_finished_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="stopped"), creating(tmp_path / "p.nc", product(np.ones((3, 17)))):
        raise RuntimeError("stopped")
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_product_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "p.nc"
    with pytest.raises(InputError, match=r"p\.nc: does not exist"), open_product(path):
        pass
    write_product(path, product(np.ones((3, 17))))
    with open_product(path, ["leafc", "frootc"]) as dataset:
        assert list(dataset) == ["leafc"]
        for words, read in {
            "variable frootc is missing": lambda: get_variable(path, dataset, "frootc"),
            r"leafc has dimensions \(gridcell, natpft\); expected \(gridcell\)": lambda: get_variable(
                path, dataset, "leafc", ("gridcell",)
            ),
            "variable leafc has units 'gC/m\\^2'; expected 'gN/m\\^2'": lambda: get_variable(
                path, dataset, "leafc", units=("gN/m^2",)
            ),
            "global attribute kind is missing": lambda: get_attribute(path, dataset, "kind"),
            "variable leafc has no attribute group": lambda: get_attribute(path, dataset["leafc"], "group"),
        }.items():
            with pytest.raises(InputError, match=words):
                read()
