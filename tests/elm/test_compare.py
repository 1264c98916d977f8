"""Comparing and inspecting files."""

from __future__ import annotations

import json
from pathlib import Path

import netCDF4
import numpy as np
import pytest

from phase_lib.base.errors import InputError
from phase_lib.elm import compare
from phase_lib.elm.compare import compare_restarts
from phase_lib.preflight.inspection import describe, inspect
from tests.helpers.restarts import DZ, World, copy_of, edit, make_world, raw, without


@pytest.fixture
def world(tmp_path: Path) -> World:
    return make_world(tmp_path / "world", cells=4, crop=True)


def test_a_file_equals_its_copy_nan_included(world: World, tmp_path: Path) -> None:
    assert np.any(np.isnan(raw(world.restart, "T_VEG")))
    comparison = compare_restarts(world.restart, copy_of(world.restart, tmp_path / "copy"))
    assert comparison.equal
    assert comparison.lines()[-1].endswith("equal")


@pytest.mark.parametrize("block", [1 << 22, 17])
def test_values_that_differ_are_counted_and_measured(
    world: World, tmp_path: Path, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compare, "_VALUES", block)
    other = copy_of(world.restart, tmp_path / "copy")
    row = int(world.column[2])
    before = raw(other, "soil4c_vr")[row, [3, 5]]
    edit(other, "soil4c_vr", (row, [3, 5]), [before[0] + 2.0, before[1] * 4.0])
    (item,) = compare_restarts(world.restart, other).variables
    assert (item.name, item.differing, item.first) == ("soil4c_vr", 2, [row, 3])
    assert item.max_absolute == pytest.approx(max(2.0, 3.0 * before[1]))
    assert item.max_relative == pytest.approx(0.75)
    assert item.first_values == (before[0], before[0] + 2.0)


def test_a_value_that_became_nan_differs_and_goes_through_json(world: World, tmp_path: Path) -> None:
    other = copy_of(world.restart, tmp_path / "copy")
    edit(other, "npool", 3, np.nan)
    comparison = compare_restarts(world.restart, other)
    content = json.loads(json.dumps(comparison.to_dict(), allow_nan=False))
    assert content["variables"][0]["differing"] == 1
    assert content["variables"][0]["max_absolute"] == "nan"
    assert content["equal"] is False


def test_attributes_are_compared_in_value_type_and_order(world: World, tmp_path: Path) -> None:
    other = copy_of(world.restart, tmp_path / "copy")
    with netCDF4.Dataset(other, "a") as d:
        d.case_id = "another"
        d.setncattr("ilun_crop", np.float64(2.0))
        d["npool"].units = "gN"
    assert len(compare_restarts(world.restart, other).attributes) == 3
    reordered = copy_of(world.restart, tmp_path / "second")
    with netCDF4.Dataset(reordered, "a") as d:
        title = d.title
        d.delncattr("title")
        d.title = title
    (line,) = compare_restarts(world.restart, reordered).attributes
    assert "order" in line


def test_missing_variables_dimensions_and_flavour_are_reported(world: World, tmp_path: Path) -> None:
    fewer = without(world.restart, tmp_path / "fewer.nc", "npool", dimension="levlak")
    with netCDF4.Dataset(world.restart) as source, netCDF4.Dataset(tmp_path / "four.nc", "w") as d:
        d.createDimension("gridcell", source.dimensions["gridcell"].size)
    comparison = compare_restarts(world.restart, fewer)
    assert comparison.only_a == ["npool"]
    assert comparison.header == ["dimension levlak: 10 and absent"]
    assert compare_restarts(fewer, world.restart).only_b == ["npool"]
    assert compare_restarts(world.restart, tmp_path / "four.nc").header[0].startswith("flavour")


def test_inspecting_a_restart_tells_its_state_and_stocks(world: World) -> None:
    content = inspect(world.restart)
    assert (content["kind"], content["flavour"]) == ("restart", "NETCDF3_64BIT_DATA")
    assert (content["date"], content["spinup_state"], content["cells"]) == ("0021-01-01", 1, 4)
    assert content["scalaravg_col_layer_4"] == pytest.approx({"min": 0.01, "mean": 0.01, "max": 0.01})
    weight = raw(world.restart, "cols1d_wtxy")
    stock = np.where(weight > 0.0, raw(world.restart, "soil3c_vr")[:, :10] @ DZ, 0.0) @ weight / 4.0
    assert content["mean_stocks"]["soil3c"]["value"] == pytest.approx(stock, rel=1e-6)
    text = "\n".join(describe(content))
    assert "accelerated decomposition" in text
    json.dumps(content, allow_nan=False)


@pytest.mark.parametrize(
    ("name", "kind", "cells"),
    [
        ("ad20.elm.r.0021-01-01-00000.nc", "restart", 24),
        ("surfdata.biomes.1d.nc", "surface", 24),
        ("domain.lnd.biomes.1d.nc", "domain", 24),
        ("clm_params_c211124.nc", "parameters", None),
        ("CNP_parameters_c180529.nc", "soil_parameters", None),
        ("history/ad20.elm.h1.0021-01-01-00000.nc", "history", 24),
        ("forcing/clmforc.Daymet.km.1d.Prec.1980-01.nc", "forcing", None),
    ],
)
def test_every_kind_of_real_file_is_known(elm_sample: Path, name: str, kind: str, cells: int | None) -> None:
    content = inspect(elm_sample / name)
    assert content["kind"] == kind
    assert content.get("cells") == cells
    assert all("\n" not in line for line in describe(content))
    json.dumps(content, allow_nan=False)


def test_a_real_history_tells_its_period(elm_sample: Path) -> None:
    assert inspect(elm_sample / "history/ad20.elm.h1.0021-01-01-00000.nc")["period_days"] == [0.0, 7300.0]


def test_other_files_are_recognised_or_refused(tmp_path: Path) -> None:
    other = tmp_path / "other.nc"
    with netCDF4.Dataset(other, "w") as d:
        d.createDimension("x", 2)
    assert inspect(other)["kind"] == "unknown"
    text = tmp_path / "text.nc"
    text.write_text("not a file of numbers")
    with pytest.raises(InputError, match="NetCDF"):
        inspect(text)
    with pytest.raises(InputError, match="does not exist"):
        inspect(tmp_path / "none.nc")
