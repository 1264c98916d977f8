"""Injection into real restarts of every layout: predictions arrive by index arrays, all else stays."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path

import netCDF4
import numpy as np
import pytest

from phase_lib.base.errors import InputError
from phase_lib.config.injection import InjectionSettings
from phase_lib.config.ood import OodSettings
from phase_lib.elm.audit.run import audit_restart
from phase_lib.injection.inject import inject
from phase_lib.injection.predictions import INJECTED
from tests.helpers.exit_ad import Cells, Layout, compare, leave_ad, mapped_p, put
from tests.helpers.layouts import (
    RESTART,
    contents,
    crop_surface,
    with_crop_landunit,
)
from tests.helpers.restarts import MORTALITY, copy_of, edit, raw, shuffled

LAYERS = ("cwdc_vr", "litr3c_vr", "soil1c_vr", "soil3c_vr", "soil4c_vr")
WOOD = ("deadstemc", "deadcrootc")


@dataclass
class Base:
    """A restart to inject into, and the files that go with it."""

    restart: Path
    surface: Path
    params: Path
    soil_params: Path

    @cached_property
    def on_file(self) -> dict[str, np.ndarray]:
        """Every variable of the restart."""
        return contents(self.restart)

    @cached_property
    def _normal(self) -> dict[str, np.ndarray]:
        if self.on_file["spinup_state"] == 0:
            return {}
        mineral = mapped_p(self.on_file, self.surface, self.soil_params)
        return leave_ad(self.on_file, self.params, mineral, MORTALITY)

    def normal_state(self) -> dict[str, np.ndarray]:
        """What leaving AD makes of it, by the oracle; nothing for a base in normal mode."""
        return {name: values.copy() for name, values in self._normal.items()}

    def inject(self, predictions: Path | None, output: Path) -> dict:
        return inject(
            self.restart,
            self.surface,
            self.params,
            self.soil_params,
            predictions,
            output,
            InjectionSettings(),
            OodSettings(),
            audit=audit_restart,
            mortality_factor=MORTALITY,
        )


@pytest.fixture(scope="session")
def sample(elm_sample: Path) -> Base:
    return Base(
        elm_sample / RESTART,
        elm_sample / "surfdata.biomes.1d.nc",
        elm_sample / "clm_params_c211124.nc",
        elm_sample / "CNP_parameters_c180529.nc",
    )


Layouts = Callable[[Callable[[Base, Path], Base]], Base]


@pytest.fixture(scope="module")
def laid_out(sample: Base, tmp_path_factory: pytest.TempPathFactory) -> Layouts:
    """The sample in a layout, made once."""
    return cache(lambda layout: layout(sample, tmp_path_factory.mktemp(layout.__name__)))


def plain(base: Base, folder: Path) -> Base:
    """24 cells with urban landunits, lakes, a wetland and a glacier."""
    return replace(base, restart=copy_of(base.restart, folder))


def in_random_order(base: Base, folder: Path) -> Base:
    return replace(base, restart=shuffled(base.restart, folder / RESTART, seed=5))


def with_crops(base: Base, folder: Path) -> Base:
    return replace(
        base,
        restart=with_crop_landunit(base.restart, folder / RESTART),
        surface=crop_surface(base.surface, folder / "surfdata.nc"),
    )


def with_crops_in_random_order(base: Base, folder: Path) -> Base:
    crops = with_crops(base, folder / "ordered")
    return replace(crops, restart=shuffled(crops.restart, folder / RESTART, seed=6))


def eastern(base: Base, folder: Path) -> Base:
    """Longitudes from 0 to 360 in the restart."""
    result = plain(base, folder)
    for name in ("grid1d_lon", "cols1d_lon", "pfts1d_lon"):
        edit(result.restart, name, ..., base.on_file[name] % 360.0)
    return result


def in_year_401(base: Base, folder: Path) -> Base:
    """The averaged scalar is finished: twenty times that of year 21, or 1 where it was next to nothing."""
    result = plain(base, folder)
    scalar = base.on_file["scalaravg_col"]
    scalar = np.where(scalar < 1e35, np.minimum(20.0 * scalar, 1.0), scalar)
    scalar[Layout.from_content(base.on_file).soil[::7]] = 1.0
    edit(result.restart, "scalaravg_col", ..., scalar)
    edit(result.restart, "timemgr_rst_curr_ymd", ..., 4010101)
    return result


def in_normal_mode(base: Base, folder: Path) -> Base:
    result = plain(base, folder)
    with netCDF4.Dataset(result.restart, "r+") as d:
        for name, values in base.normal_state().items():
            d[name][...] = values
    return result


def with_crops_in_normal_mode(base: Base, folder: Path) -> Base:
    return in_normal_mode(with_crops(base, folder / "ad"), folder)


LAYOUTS: tuple[Callable[[Base, Path], Base], ...] = (
    plain,
    in_random_order,
    with_crops,
    with_crops_in_random_order,
    eastern,
    in_year_401,
    in_normal_mode,
    with_crops_in_normal_mode,
)


def predicted(base: Base, *, seed: int = 1, shift: float = 0.0, strangers: int = 3) -> Cells:
    """Predictions of every cell in random order, a few cells elsewhere among them."""
    rng, layout = np.random.default_rng(seed), Layout.from_content(base.on_file)
    state = base.normal_state()
    cells = len(base.on_file["grid1d_lat"])
    values = {}
    for name in LAYERS:
        values[name] = np.zeros((cells, 10))
        source = state.get(name, base.on_file[name])
        for c in layout.soil:
            values[name][layout.cell_of_column[c]] = source[c, :10] * rng.uniform(0.7, 1.4, 10)
    for name in WOOD:
        values[name] = np.full((cells, 17), np.nan)
        source = state.get(name, base.on_file[name])
        for p in layout.covered:
            if layout.column_of_patch[p] in layout.soil:
                place = layout.cell_of_patch[p], layout.pft[p]
                values[name][place] = source[p] * rng.uniform(0.7, 1.4)
    lat = np.append(base.on_file["grid1d_lat"], np.linspace(-5.0, 5.0, strangers))
    lon = np.append(base.on_file["grid1d_lon"] + shift, np.linspace(10.0, 11.0, strangers))
    order = rng.permutation(cells + strangers)
    more = {name: np.concatenate([v, np.full((strangers, v.shape[1]), 7.0)]) for name, v in values.items()}
    return Cells(lat[order], lon[order], {name: v[order] for name, v in more.items()})


@pytest.mark.parametrize("layout", LAYOUTS)
def test_leaving_ad_changes_what_the_model_changes_and_not_a_bit_more(
    laid_out: Layouts, tmp_path: Path, layout: Callable[[Base, Path], Base]
) -> None:
    base = laid_out(layout)
    base.inject(None, tmp_path / "out.nc")
    assert compare(base.restart, tmp_path / "out.nc", base.normal_state()) == []


@pytest.mark.parametrize("layout", LAYOUTS)
def test_predictions_arrive_where_the_index_arrays_say_and_nowhere_else(
    laid_out: Layouts, tmp_path: Path, layout: Callable[[Base, Path], Base]
) -> None:
    base = laid_out(layout)
    cells = predicted(base)
    report = base.inject(cells.write(tmp_path / "predictions.nc"), tmp_path / "out.nc")
    after = put(base.normal_state(), base.on_file, base.params, cells)
    assert compare(base.restart, tmp_path / "out.nc", after) == []
    assert {"soil4c_vr", "soil4n_vr", "deadstemp"} <= set(report["variables_changed"])
    assert report["audit"]["errors"] == 0


@pytest.mark.parametrize(("layout", "shift"), [(eastern, -360.0), (eastern, 0.0), (plain, 360.0)])
def test_either_longitude_convention_is_understood_on_either_side(
    laid_out: Layouts, tmp_path: Path, layout: Callable[[Base, Path], Base], shift: float
) -> None:
    base = laid_out(layout)
    cells = predicted(base, shift=shift)
    base.inject(cells.write(tmp_path / "predictions.nc"), tmp_path / "out.nc")
    after = put(base.normal_state(), base.on_file, base.params, cells)
    assert compare(base.restart, tmp_path / "out.nc", after) == []


def test_the_layouts_hold_every_kind_of_landunit(laid_out: Layouts) -> None:
    crops = laid_out(with_crops_in_random_order).on_file
    kinds, active = crops["cols1d_ityplun"], crops["cols1d_active"]
    assert set(kinds) == {1, 2, 3, 5, 6, 7, 8, 9}
    assert set(active[kinds == 2]) == {0, 1}
    assert crops["soil4c_vr"][(kinds == 2) & (active == 0)].min() == 1e36
    assert not np.array_equal(np.sort(crops["cols1d_gridcell_index"]), crops["cols1d_gridcell_index"])
    sums = np.bincount(crops["pfts1d_gridcell_index"] - 1, crops["pfts1d_wtxy"])
    np.testing.assert_allclose(sums, 1.0, rtol=1e-12)


# -- cells that do not fit ----------------------------------------------------------------------------------


def test_cells_that_were_not_predicted_are_counted(sample: Base, tmp_path: Path) -> None:
    cells = predicted(sample, strangers=9)
    keep = np.delete(np.arange(33), cells.rows(sample.on_file)[:5])
    fewer = Cells(cells.lat[keep], cells.lon[keep], {n: v[keep] for n, v in cells.values.items()})
    with pytest.raises(InputError, match="5 of 24 cells have no partner among its 28 predicted cells"):
        sample.inject(fewer.write(tmp_path / "predictions.nc"), tmp_path / "out.nc")
    assert not (tmp_path / "out.nc").exists()


@pytest.mark.parametrize("name", ["lat", "lon"])
def test_predictions_that_lie_nowhere_are_refused(sample: Base, tmp_path: Path, name: str) -> None:
    path = predicted(sample).write(tmp_path / "predictions.nc")
    edit(path, name, 3, np.nan)
    with pytest.raises(InputError, match=f"{name}: 1 cells are out of range"):
        sample.inject(path, tmp_path / "out.nc")


def test_a_cell_that_is_predicted_twice_is_refused(sample: Base, tmp_path: Path) -> None:
    cells = predicted(sample)
    twice = np.append(np.arange(27), cells.rows(sample.on_file)[0])
    more = Cells(cells.lat[twice], cells.lon[twice], {n: v[twice] for n, v in cells.values.items()})
    with pytest.raises(InputError, match="lie in the same place"):
        sample.inject(more.write(tmp_path / "predictions.nc"), tmp_path / "out.nc")


# -- flavours -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "magic"),
    [
        ("classic", b"CDF\x01"),
        ("64-bit offset", b"CDF\x02"),
        ("cdf5", b"CDF\x05"),
        ("netCDF-4", b"\x89HDF"),
        ("netCDF-4 classic model", b"\x89HDF"),
    ],
)
def test_the_flavour_of_the_base_is_kept(sample: Base, tmp_path: Path, kind: str, magic: bytes) -> None:
    if shutil.which("nccopy") is None:
        pytest.skip("nccopy is not installed")
    restart = tmp_path / "base" / RESTART
    restart.parent.mkdir()
    subprocess.run(["nccopy", "-k", kind, sample.restart, restart], check=True)
    base = replace(sample, restart=restart)
    assert restart.read_bytes()[:4] == magic
    cells = predicted(base)
    base.inject(cells.write(tmp_path / "predictions.nc"), tmp_path / RESTART)
    assert (tmp_path / RESTART).read_bytes()[:4] == magic
    with netCDF4.Dataset(restart) as before, netCDF4.Dataset(tmp_path / RESTART) as after:
        assert after.data_model == before.data_model
    assert (
        compare(restart, tmp_path / RESTART, put(base.normal_state(), base.on_file, base.params, cells)) == []
    )


# -- round trips --------------------------------------------------------------------------------------------


def own_pools(base: Base) -> Cells:
    """Predictions that are the file's own pools, all that can be injected."""
    layout, cells = Layout.from_content(base.on_file), len(base.on_file["grid1d_lat"])
    values = {}
    for name in (name for name, entry in INJECTED.items() if entry.level == "layer"):
        source, values[name] = base.on_file[name], np.zeros((cells, 10))
        for c in layout.soil:
            values[name][layout.cell_of_column[c]] = source[c, :10]
    for name in (name for name, entry in INJECTED.items() if entry.level == "patch"):
        source, values[name] = base.on_file[name], np.full((cells, 17), np.nan)
        for p in layout.covered:
            if layout.column_of_patch[p] in layout.soil:
                values[name][layout.cell_of_patch[p], layout.pft[p]] = source[p]
    return Cells(base.on_file["grid1d_lat"], base.on_file["grid1d_lon"], values)


@pytest.mark.parametrize("layout", [plain, with_crops_in_random_order])
def test_a_file_that_gets_its_own_pools_is_the_same_to_the_last_byte(
    laid_out: Layouts, tmp_path: Path, layout: Callable[[Base, Path], Base]
) -> None:
    """N and P of real SOM miss their ratios by rounding, P by more: where carbon is equal they stay."""
    ad = laid_out(layout)
    control = replace(ad, restart=tmp_path / "control" / RESTART)
    ad.inject(None, control.restart)
    predictions = own_pools(control).write(tmp_path / "predictions.nc")
    report = control.inject(predictions, tmp_path / "again.nc")
    assert report["variables_changed"] == {}
    assert (tmp_path / "again.nc").read_bytes() == control.restart.read_bytes()
    # The same predictions into the AD file come to the control's bytes.
    ad.inject(predictions, tmp_path / "from_ad.nc")
    assert (tmp_path / "from_ad.nc").read_bytes() == control.restart.read_bytes()


def test_a_layer_that_differs_gets_its_ratios_and_its_neighbours_keep_theirs(
    laid_out: Layouts, tmp_path: Path
) -> None:
    base = laid_out(in_normal_mode)
    cells = own_pools(base)
    layout = Layout.from_content(base.on_file)
    cells.values = {"soil3c_vr": cells.values["soil3c_vr"].copy()}
    cells.values["soil3c_vr"][4, 2] *= 1.01
    base.inject(cells.write(tmp_path / "predictions.nc"), tmp_path / "out.nc")
    (column,) = (c for c in layout.soil if layout.cell_of_column[c] == 4)
    for name, ratio in (("soil3c_vr", 1.0), ("soil3n_vr", 10.0), ("soil3p_vr", 500.0)):
        before, after = base.on_file[name].copy(), raw(tmp_path / "out.nc", name)
        assert after[column, 2] == cells.values["soil3c_vr"][4, 2] / ratio
        before[column, 2] = after[column, 2] = 0.0
        assert after.tobytes() == before.tobytes()


def test_what_was_injected_passes_the_audit_of_a_fresh_look(laid_out: Layouts, tmp_path: Path) -> None:
    base = laid_out(with_crops_in_random_order)
    base.inject(predicted(base).write(tmp_path / "predictions.nc"), tmp_path / "out.nc")
    report = audit_restart(tmp_path / "out.nc", base.surface, base.params)
    assert (report.errors, report.spinup_state) == ([], 0)


def test_a_run_that_p_limits_keeps_its_low_ppool_unless_leaves_are_injected(
    laid_out: Layouts, tmp_path: Path
) -> None:
    normal = laid_out(in_normal_mode)
    limited = replace(normal, restart=copy_of(normal.restart, tmp_path))
    edit(limited.restart, "ppool", ..., 0.1 * normal.on_file["ppool"])
    cells, low = own_pools(limited), limited.on_file["ppool"]
    limited.inject(cells.write(tmp_path / "predictions.nc"), tmp_path / "out.nc")
    assert (tmp_path / "out.nc").read_bytes() == limited.restart.read_bytes()

    layout = Layout.from_content(limited.on_file)
    leafy = [p for p in layout.covered if limited.on_file["leafc"][p] > 1.0]
    leaves = cells.values["leafc"] * 2.0
    more = Cells(cells.lat, cells.lon, {"leafc": leaves})
    limited.inject(more.write(tmp_path / "predictions.nc"), tmp_path / "leafy.nc")
    after = contents(tmp_path / "leafy.nc")
    np.testing.assert_array_equal(after["ppool"][leafy], np.maximum(low[leafy], after["leafp"][leafy]))
    others = np.setdiff1d(np.arange(len(low)), leafy)
    np.testing.assert_array_equal(after["ppool"][others], low[others])
