"""Rows of variables read and written where they lie in a file, held against the library."""

from __future__ import annotations

import itertools
from pathlib import Path

import netCDF4
import numpy as np
import pytest

from phase_lib.elm.classic import ClassicRows
from phase_lib.elm.netcdf import Flavour, open_rows, open_with_rows

FLAVOURS: tuple[Flavour, ...] = ("NETCDF3_CLASSIC", "NETCDF3_64BIT_OFFSET", "NETCDF3_64BIT_DATA", "NETCDF4")
ROWS = 11
OLD_TYPES = ("i1", "S1", "i2", "i4", "f4", "f8")
NEW_TYPES = (*OLD_TYPES, "u1", "u2", "u4", "i8", "u8")


def content(kind: str, shape: tuple[int, ...]) -> np.ndarray:
    values = np.random.default_rng(len(shape)).integers(1, 100, shape)
    return values.astype("u1").view("S1") if kind == "S1" else values.astype(kind) / np.array(1, kind)


def write(path: Path, form: Flavour, *, records: int = 0) -> dict[str, np.ndarray]:
    """A file with a scalar, a vector and a table of every type, and attributes between them."""
    written = {}
    with netCDF4.Dataset(path, "w", format=form) as nc:
        nc.title = "of odd length"
        nc.createDimension("row", ROWS)
        nc.createDimension("level", 3)
        if records:
            nc.createDimension("time", None)
        types = NEW_TYPES if form in ("NETCDF3_64BIT_DATA", "NETCDF4") else OLD_TYPES
        for kind in types:
            for dims in ((), ("row",), ("row", "level")):
                name = f"{kind}_{len(dims)}"
                values = content(kind, tuple(nc.dimensions[dim].size for dim in dims)).astype(kind)
                variable = nc.createVariable(name, kind, dims)
                variable.long_name = "x" * len(written)
                variable.set_auto_maskandscale(False)
                variable[...] = written[name] = values
        for name in ("first", "second")[: 2 * bool(records)]:
            variable = nc.createVariable(name, "i2", ("time", "level"))
            variable[:] = written[name] = content("i2", (records, 3)).astype("i2")
    return written


@pytest.mark.parametrize("form", FLAVOURS)
def test_values_read_are_those_of_the_file_whatever_its_flavour_and_their_type(
    form: Flavour, tmp_path: Path
) -> None:
    written = write(tmp_path / "file.nc", form)
    with open_with_rows(tmp_path / "file.nc") as (dataset, rows):
        assert list(rows) == list(dataset.variables) == list(written)
        assert all(isinstance(variable, ClassicRows) for variable in rows.values()) == (form != "NETCDF4")
        for name, values in written.items():
            assert rows[name][:].dtype == values.dtype
            assert rows[name][:].shape == values.shape
            np.testing.assert_array_equal(rows[name][:], values, err_msg=name)


@pytest.mark.parametrize("form", FLAVOURS)
def test_some_rows_are_those_that_numpy_would_take(form: Flavour, tmp_path: Path) -> None:
    written = write(tmp_path / "file.nc", form)
    ends = [None, -2, 0, 1, 5, ROWS, ROWS + 3]
    with open_rows(tmp_path / "file.nc") as rows:
        for name in ("i2_1", "f8_2"):
            for start, stop in itertools.product(ends, ends):
                np.testing.assert_array_equal(rows[name][start:stop], written[name][start:stop])


@pytest.mark.parametrize("form", FLAVOURS)
def test_rows_written_are_what_the_library_reads_and_nothing_else_changes(
    form: Flavour, tmp_path: Path
) -> None:
    path = tmp_path / "file.nc"
    written = write(path, form)
    size = path.stat().st_size
    with open_rows(path, "r+") as rows:
        for name in ("f8_2", "i4_1", "f4_2"):
            rows[name][4:7] = written[name][:3]
            written[name][4:7] = written[name][:3]
            np.testing.assert_array_equal(rows[name][:], written[name])
        rows["i4_0"][:] = written["i4_0"] = np.array(7, "i4")
        rows["f8_1"][2:4] = np.array([[1.5, -2.5, 9.0], [3.5, 4.5, 9.0]])[:, 1]
        written["f8_1"][2:4] = -2.5, 4.5
    assert path.stat().st_size == size
    with netCDF4.Dataset(path) as nc:
        nc.set_auto_maskandscale(False)
        for name, values in written.items():
            np.testing.assert_array_equal(np.asarray(nc[name][...]), values, err_msg=name)


@pytest.mark.parametrize("form", FLAVOURS[:3])
@pytest.mark.parametrize("records", [1, 2])
def test_a_file_with_records_is_read_and_written_too(form: Flavour, records: int, tmp_path: Path) -> None:
    path = tmp_path / "file.nc"
    written = write(path, form, records=records)
    with open_rows(path, "r+") as rows:
        np.testing.assert_array_equal(rows["second"][:], written["second"])
        rows["second"][0:1] = np.array([[5, 6, 7]])
    with netCDF4.Dataset(path) as nc:
        assert nc["second"][0].tolist() == [5, 6, 7]
        np.testing.assert_array_equal(nc["first"][:], written["first"])
        np.testing.assert_array_equal(nc["f8_2"][:], written["f8_2"])


@pytest.mark.parametrize("form", FLAVOURS[:3])
def test_a_file_open_for_reading_is_not_written(form: Flavour, tmp_path: Path) -> None:
    path = tmp_path / "file.nc"
    write(path, form)
    before = path.read_bytes()
    with open_rows(path) as rows, pytest.raises(OSError, match="descriptor"):
        rows["f8_1"][:] = np.zeros(ROWS)
    assert path.read_bytes() == before
