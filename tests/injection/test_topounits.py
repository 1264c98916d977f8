"""Injection where topounits divide cells, and where a cell has no natural vegetation at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import netCDF4
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phase_lib.base.errors import InputError
from phase_lib.config.injection import InjectionSettings
from phase_lib.config.ood import OodSettings
from phase_lib.elm.audit.run import audit_restart
from phase_lib.elm.blocks import Blocks
from phase_lib.elm.netcdf import open_dataset
from phase_lib.injection.inject import inject
from phase_lib.injection.rules import within_cells
from tests.helpers.exit_ad import Cells
from tests.helpers.layouts import (
    RESTART,
    contents,
    crop_surface,
    divided,
    with_crop_landunit,
    without_soil,
)
from tests.helpers.restarts import MORTALITY, World, edit, make_world, raw

SURFACE = "surfdata.biomes.1d.nc"
LAYERS = ("soil1c_vr", "soil3c_vr", "soil4c_vr", "cwdc_vr", "litr2c_vr")
WOOD = ("deadstemc", "deadcrootc")


def predictions_of(restart: Path, target: Path, seed: int = 0) -> tuple[Path, dict[str, np.ndarray]]:
    """Pools of normal mode for every cell, none of which the restart holds."""
    rng = np.random.default_rng(seed)
    lat, lon = raw(restart, "grid1d_lat"), raw(restart, "grid1d_lon")
    values = {name: rng.uniform(100.0, 900.0, (len(lat), 10)) for name in LAYERS}
    values["soil4c_vr"] *= 20.0
    values |= {name: rng.uniform(2.0e3, 9.0e3, (len(lat), 17)) for name in WOOD}
    return Cells(lat, lon, values).write(target), values


def run(world: World, restart: Path, predictions: Path | None, output: Path, chunk: int = 8192) -> dict:
    return inject(
        restart,
        world.surface,
        world.params,
        world.soil_params,
        predictions,
        output,
        InjectionSettings(chunk_cells=chunk),
        OodSettings(),
        audit=audit_restart,
        mortality_factor=MORTALITY,
    )


def sample_files(elm_sample: Path, surface: Path | None = None) -> World:
    """The files that belong to the restart of the sample."""
    return World(
        elm_sample / RESTART,
        surface or elm_sample / SURFACE,
        elm_sample / "clm_params_c211124.nc",
        elm_sample / "CNP_parameters_c180529.nc",
        *[np.empty(0)] * 5,
    )


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Four cells on two topounits each, of a quarter and three quarters, that hold different amounts."""
    made = make_world(tmp_path / "world", seed=8, cells=4, crop=True, topounits="soil")
    rng = np.random.default_rng(1)
    columns, patches = (len(raw(made.restart, name)) for name in ("cols1d_ityp", "pfts1d_itypveg"))
    spread = {"column": rng.uniform(0.3, 3.0, columns), "pft": rng.uniform(0.3, 3.0, patches)}
    on_file = contents(made.restart)
    for name in LAYERS:
        for element in "cnp":
            pool = name.replace("c_vr", f"{element}_vr")
            edit(made.restart, pool, ..., on_file[pool] * spread["column"][:, None])
    for name in WOOD:
        for pool in (name, f"{name[:-1]}n", f"{name[:-1]}p"):
            edit(made.restart, pool, ..., on_file[pool] * spread["pft"])
    return made


def columns_of(on_file: dict[str, np.ndarray], cell: int) -> np.ndarray:
    here = (on_file["cols1d_gridcell_index"] == cell + 1) & (on_file["cols1d_ityplun"] == 1)
    return np.flatnonzero(here & (on_file["cols1d_ityp"] == 1))


def test_the_mean_of_a_divided_cell_is_the_prediction_and_its_parts_keep_their_proportions(
    world: World, tmp_path: Path
) -> None:
    predictions, values = predictions_of(world.restart, tmp_path / "predictions.nc")
    control, output = tmp_path / "control.nc", tmp_path / "out.nc"
    run(world, world.restart, None, control)
    report = run(world, world.restart, predictions, output)
    assert report["audit"]["errors"] == 0
    before, after = contents(control), contents(output)
    for cell in range(4):
        columns = columns_of(after, cell)
        assert len(columns) == 2
        weight = after["cols1d_wtxy"][columns]
        for name in LAYERS:
            mean = weight @ after[name][columns, :10] / weight.sum()
            np.testing.assert_allclose(mean, values[name][cell], rtol=1e-12)
            present = before[name][columns, :10]
            np.testing.assert_allclose(
                after[name][columns[0], :10] / after[name][columns[1], :10],
                present[0] / present[1],
                rtol=1e-12,
            )
        for name in WOOD:
            for pft in np.flatnonzero((world.cover[cell] > 0.0) & (np.arange(17) % 12 > 0)):
                on = np.isin(after["pfts1d_column_index"] - 1, columns) & (after["pfts1d_itypveg"] == pft)
                rows = np.flatnonzero(on)
                weight = after["pfts1d_wtxy"][rows]
                if pft < 12:
                    mean = weight @ after[name][rows] / weight.sum()
                    assert mean == pytest.approx(values[name][cell, pft], rel=1e-12)
                    ratio = before[name][rows[0]] / before[name][rows[1]]
                    assert after[name][rows[0]] / after[name][rows[1]] == pytest.approx(ratio, rel=1e-12)
    # N follows from C on each column.
    soil = np.concatenate([columns_of(after, cell) for cell in range(4)])
    np.testing.assert_allclose(
        after["soil3n_vr"][soil, :10], after["soil3c_vr"][soil, :10] / 10.0, rtol=1e-12
    )


def test_parts_that_hold_nothing_all_get_the_prediction(world: World, tmp_path: Path) -> None:
    for name in ("litr2c_vr", "litr2n_vr", "litr2p_vr"):
        edit(world.restart, name, ..., 0.0)
    predictions, values = predictions_of(world.restart, tmp_path / "predictions.nc")
    run(world, world.restart, predictions, tmp_path / "out.nc")
    on_file = contents(tmp_path / "out.nc")
    for cell in range(4):
        for column in columns_of(on_file, cell):
            np.testing.assert_array_equal(on_file["litr2c_vr"][column, :10], values["litr2c_vr"][cell])


@pytest.mark.parametrize("shuffle", [False, True])
def test_neither_the_block_size_nor_the_order_on_file_matters(tmp_path: Path, shuffle: bool) -> None:
    world = make_world(tmp_path / "world", seed=4, cells=5, topounits="soil", shuffle=shuffle)
    edit(world.restart, "soil3c_vr", 0, raw(world.restart, "soil3c_vr")[0] * 1.7)
    edit(world.restart, "soil3n_vr", 0, raw(world.restart, "soil3n_vr")[0] * 1.7)
    edit(world.restart, "soil3p_vr", 0, raw(world.restart, "soil3p_vr")[0] * 1.7)
    predictions, _ = predictions_of(world.restart, tmp_path / "predictions.nc")
    made = []
    for chunk in (1, 2, 8192):
        output = tmp_path / f"{chunk}" / "out.nc"
        output.parent.mkdir()
        run(world, world.restart, predictions, output, chunk)
        made.append(output.read_bytes())
    assert made[0] == made[1] == made[2]


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("step", [1, 2, 3, 17, 40, 1000])
def test_blocks_hold_whole_cells_and_no_more_of_them_than_fit(
    tmp_path: Path, shuffle: bool, step: int
) -> None:
    world = make_world(tmp_path / "world", seed=4, cells=9, topounits="soil", shuffle=shuffle, barren=(2, 3))
    where = {
        "column": raw(world.restart, "cols1d_gridcell_index") - 1,
        "pft": raw(world.restart, "pfts1d_gridcell_index") - 1,
    }
    assert shuffle == any(np.any(np.diff(cell) < 0) for cell in where.values())
    with open_dataset(world.restart) as dataset:
        blocks = Blocks(world.restart, dataset)
        assert blocks.divided
        by_dimension = {"column": blocks.of_columns(step), "pft": blocks.of_patches(step, covered=False)}
        for dimension, cell in where.items():
            stop, cells = 0, []
            for block in by_dimension[dimension]:
                # Between blocks lie columns or patches of other ground alone.
                between = cell[stop : block.start]
                assert not set(between) & set(cell[block.start : block.stop])
                in_block = list(dict.fromkeys(cell[block.start : block.stop].tolist()))
                if not shuffle:
                    size = block.stop - block.start
                    assert size <= step or len(in_block) == 1
                    following = np.count_nonzero(cell == in_block[-1] + 1)
                    assert following == 0 or size + following > step
                cells += in_block
                stop = block.stop
            assert len(cells) == len(set(cells)), "a cell in two blocks"
            assert set(cells) >= set(range(9)) - {2, 3}, "a cell in none"


def test_cells_of_a_real_restart_that_topounits_divide_keep_their_stocks(
    elm_sample: Path, tmp_path: Path
) -> None:
    """Parts that hold what the cell held get what the whole cell gets."""
    whole = elm_sample / RESTART
    parts = divided(whole, tmp_path / "parts.nc", {0: 0.3, 11: 0.5, 23: 0.8})
    files = sample_files(elm_sample)
    predictions, _ = predictions_of(whole, tmp_path / "predictions.nc")
    reports = [
        run(files, restart, predictions, tmp_path / f"{name}-out.nc")
        for name, restart in (("whole", whole), ("parts", parts))
    ]
    assert [report["audit"]["errors"] for report in reports] == [0, 0]
    first, second = (report["variables_changed"] for report in reports)
    for name in (*LAYERS, *WOOD, "totsomc", "labilep_vr"):
        assert second[name]["before"] == pytest.approx(first[name]["before"], rel=1e-12)
        assert second[name]["after"] == pytest.approx(first[name]["after"], rel=1e-12)


# -- within a cell ----------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), layered=st.booleans())
def test_what_parts_get_has_the_prediction_as_its_mean_and_is_never_negative(
    seed: int, layered: bool
) -> None:
    rng = np.random.default_rng(seed)
    group = rng.integers(0, 5, 12)
    shape: tuple[int, ...] = (12, 3) if layered else (12,)
    present = rng.uniform(0.0, 5.0, shape) * (rng.random(shape) > 0.3)
    weight = rng.uniform(0.0, 1.0, 12) * (rng.random(12) > 0.2)
    predicted = rng.uniform(0.0, 9.0, (5, *shape[1:]))[group]
    injected, lost = within_cells(predicted, present, group, weight)
    assert np.all(injected >= 0.0)
    assert np.all(injected <= 10.0 * predicted)
    assert lost <= np.unique(group).size * present[0].size
    for number in np.unique(group):
        rows = np.flatnonzero(group == number)
        share = weight[rows] if weight[rows].sum() > 0.0 else np.ones(len(rows))
        mean = np.tensordot(share / share.sum(), injected[rows], axes=1)
        np.testing.assert_allclose(mean, predicted[rows[0]], rtol=1e-12, atol=1e-300)
        if len(rows) == 1:
            np.testing.assert_array_equal(injected[rows], predicted[rows])


UNLIKE = {
    "some owe": ([2.0, -5.0], [0.5, 0.5], -3.0, 1),
    "one holds fifty times the mean": ([0.0, 5.0], [0.98, 0.02], 4.0, 1),
    "they hold nothing": ([0.0, 0.0], [0.5, 0.5], 4.0, 0),
    "they hold next to nothing": ([0.0, 1e-25], [0.5, 0.5], 4.0, 0),
}


@pytest.mark.parametrize(("present", "weight", "predicted", "lost"), UNLIKE.values(), ids=UNLIKE)
def test_parts_too_unlike_to_keep_their_proportions_all_get_the_prediction(
    present: list[float], weight: list[float], predicted: float, lost: int
) -> None:
    injected, counted = within_cells(
        np.full(2, predicted), np.array(present), np.ones(2, dtype=int), np.array(weight)
    )
    np.testing.assert_array_equal(injected, predicted)
    assert counted == lost


def test_a_part_without_ground_gets_the_prediction_whatever_it_holds() -> None:
    for present in (0.0, 8e-7, 1e3):
        injected, lost = within_cells(
            np.full(3, 4.0), np.array([1.0, 3.0, present]), np.zeros(3, dtype=int), np.array([0.5, 0.5, 0.0])
        )
        np.testing.assert_allclose(injected, [2.0, 6.0, 4.0], rtol=1e-15)
        assert lost == 0


@pytest.mark.parametrize(
    ("present", "weight"),
    [
        ([0.1, 0.7, 0.2], [0.3, 0.3, 0.3]),
        ([2.0, -5.0, 0.0], [0.5, 0.5, 0.0]),
        ([0.0, 5.0, 0.0], [0.99, 0.01, 0.0]),
        ([0.0, 0.0, 4.0], [0.5, 0.5, 0.0]),
    ],
)
def test_the_mean_itself_changes_no_bit(present: list[float], weight: list[float]) -> None:
    mean = np.full(3, float(np.dot(weight, present) / np.sum(weight)))
    injected, lost = within_cells(mean, np.array(present), np.zeros(3, dtype=int), np.array(weight))
    np.testing.assert_array_equal(injected, present)
    assert lost == 0


def test_proportions_that_are_lost_are_counted_in_the_sidecar(world: World, tmp_path: Path) -> None:
    on_file = contents(world.restart)
    columns = columns_of(on_file, 2)
    small = columns[np.argmin(on_file["cols1d_wtxy"][columns])]
    large = columns[np.argmax(on_file["cols1d_wtxy"][columns])]
    share = on_file["cols1d_wtxy"][columns]
    percent = raw(world.surface, "PCT_NAT_PFT")
    for pft in range(15):
        (a,), (b,) = (
            on_file["pfts1d_wtcol"][
                (on_file["pfts1d_column_index"] == c + 1) & (on_file["pfts1d_itypveg"] == pft)
            ]
            for c in (small, large)
        )
        percent[pft, 2] = 100.0 * (0.05 * a + 0.95 * b)
    edit(world.surface, "PCT_NAT_PFT", ..., percent)
    with netCDF4.Dataset(world.restart, "r+") as d:
        # A twentieth of the ground holds all there is of metabolic litter.
        for column, ground in ((small, 0.05), (large, 0.95)):
            d["cols1d_wtxy"][column] = ground * share.sum()
        for element in "cnp":
            d[f"litr1{element}_vr"][large] = 0.0
    predictions, values = predictions_of(world.restart, tmp_path / "predictions.nc")
    with netCDF4.Dataset(predictions, "a") as d:
        d.createVariable("litr1c_vr", "f8", ("gridcell", "levdecomp"))[:] = values["litr2c_vr"]
        d["litr1c_vr"].units = "gC/m^3"
    report = run(world, world.restart, predictions, tmp_path / "out.nc")
    assert report["clipped"]["litr1c_vr: parts of a cell too unlike, all get the prediction"] == 10
    after = raw(tmp_path / "out.nc", "litr1c_vr")
    np.testing.assert_array_equal(after[columns, :10], np.tile(values["litr2c_vr"][2], (2, 1)))


# -- cells without natural vegetation ---------------------------------------------------------------------


@pytest.mark.parametrize("predicted", [True, False])
def test_a_cell_that_is_all_ice_keeps_every_byte_and_its_maps_may_hold_anything(
    tmp_path: Path, predicted: bool
) -> None:
    world = make_world(tmp_path / "world", seed=2, cells=4, ice=True, barren=(1,))
    for name, value in (("LABILE_P", 1.0e36), ("SOIL_ORDER", -9999.0)):
        edit(world.surface, name, 1, value)
    edit(world.surface, "PCT_NAT_PFT", (slice(None), 1), -9999.0)
    predictions = predictions_of(world.restart, tmp_path / "predictions.nc")[0] if predicted else None
    report = run(world, world.restart, predictions, tmp_path / "out.nc")
    before, after = contents(world.restart), contents(tmp_path / "out.nc")
    for dimension, index in (("column", "cols1d_gridcell_index"), ("pft", "pfts1d_gridcell_index")):
        rows = np.flatnonzero(before[index] == 2)
        assert len(rows) == 1
        with netCDF4.Dataset(world.restart) as d:
            names = [name for name, v in d.variables.items() if v.dimensions[:1] == (dimension,)]
        for name in names:
            assert after[name][rows].tobytes() == before[name][rows].tobytes(), name
    (note,) = [n for n in report["audit"]["findings"] if n["variable"] == "cols1d_ityp"]
    assert (note["severity"], note["cell"], note["further"]) == ("note", 2, 0)
    assert "no column is of natural vegetation" in note["problem"]


def test_crops_of_a_cell_without_natural_vegetation_leave_ad_as_everywhere(
    elm_sample: Path, tmp_path: Path
) -> None:
    crops = with_crop_landunit(elm_sample / RESTART, tmp_path / "crops.nc")
    on_file = contents(crops)
    cell = int(
        on_file["cols1d_gridcell_index"][(on_file["cols1d_ityplun"] == 2) & (on_file["cols1d_active"] == 1)][
            0
        ]
    )
    less = without_soil(crops, tmp_path / "less.nc", cell - 1)
    files = sample_files(elm_sample, crop_surface(elm_sample / SURFACE, tmp_path / SURFACE))
    predictions, _ = predictions_of(crops, tmp_path / "predictions.nc")
    for name, restart in (("whole", crops), ("less", less)):
        run(files, restart, predictions, tmp_path / f"{name}-out.nc")
    one, other = contents(tmp_path / "whole-out.nc"), contents(tmp_path / "less-out.nc")
    kept = ~((one["cols1d_gridcell_index"] == cell) & (one["cols1d_ityplun"] == 1))
    for name in (*LAYERS, "soil4n_vr", "labilep_vr", "scalaravg_col"):
        np.testing.assert_array_equal(other[name], one[name][kept])


def test_what_the_other_cells_get_does_not_depend_on_it(elm_sample: Path, tmp_path: Path) -> None:
    whole = elm_sample / RESTART
    less = without_soil(whole, tmp_path / "less.nc", 3, 20)
    files = sample_files(elm_sample)
    predictions, _ = predictions_of(whole, tmp_path / "predictions.nc")
    for name, restart in (("whole", whole), ("less", less)):
        run(files, restart, predictions, tmp_path / f"{name}-out.nc")
    one, other = contents(tmp_path / "whole-out.nc"), contents(tmp_path / "less-out.nc")
    kept = ~(np.isin(one["cols1d_gridcell_index"], (4, 21)) & (one["cols1d_ityplun"] == 1))
    for name in (*LAYERS, "soil4n_vr", "labilep_vr"):
        np.testing.assert_array_equal(other[name], one[name][kept])


def test_a_soil_column_of_another_type_is_an_error_of_the_audit_and_no_base(tmp_path: Path) -> None:
    world = make_world(tmp_path / "world", urban=False, lake=False, shuffle=False)
    edit(world.restart, "cols1d_ityp", 0, 71)
    (error,) = audit_restart(world.restart).errors
    assert (error.variable, error.cell, error.value) == ("cols1d_ityp", 1, 71.0)
    with pytest.raises(InputError, match=r"cols1d_ityp cell 1 .*another type than that of its landunit"):
        run(world, world.restart, None, tmp_path / "out.nc")
    assert not (tmp_path / "out.nc").exists()


REFUSED: dict[str, tuple[Callable[[netCDF4.Dataset], object], str]] = {
    "soil columns that share a topounit": (
        lambda d: [
            d["cols1d_topounit_index"].__setitem__(slice(None), 1),
            d["topo1d_gridcell_index"].__setitem__(slice(None), d["cols1d_gridcell_index"][0]),
            d["cols1d_gridcell_index"].__setitem__(slice(None), d["cols1d_gridcell_index"][0]),
            d["pfts1d_gridcell_index"].__setitem__(slice(None), d["cols1d_gridcell_index"][0]),
        ],
        r"topounit 1 has \d+ soil columns; expected one in each topounit at most; use a run without hill",
    ),
    "a topounit of another cell": (
        lambda d: d["topo1d_gridcell_index"].__setitem__(slice(None), 1),
        r"cols1d_topounit_index: column \d+ of cell \d lies on topounit \d of cell 1; expected a topounit of",
    ),
    "no topounits": (
        lambda d: d.renameDimension("topounit", "units"),
        r"dimension topounit is missing; expected the one that cols1d_topounit_index points into",
    ),
    **{
        f"a patch on column {index}": (
            lambda d, index=index: d["pfts1d_column_index"].__setitem__(5, index),
            rf"pfts1d_column_index: 1 entries point nowhere, first entry 6 with {index}",
        )
        for index in (0, 999999, 2**31 - 1)
    },
    "no natural vegetation": (
        lambda d: d["cols1d_ityp"].__setitem__(slice(None), 5),
        r"no column is of natural vegetation",
    ),
}


@pytest.mark.parametrize(("change", "words"), REFUSED.values(), ids=REFUSED)
def test_soil_columns_that_contradict_topounits_are_refused(
    world: World, tmp_path: Path, change: Callable[[netCDF4.Dataset], object], words: str
) -> None:
    with netCDF4.Dataset(world.restart, "r+") as d:
        change(d)
    with pytest.raises(InputError, match=words):
        run(world, world.restart, None, tmp_path / "out.nc")
    with pytest.raises(InputError, match=words):
        audit_restart(world.restart)
    assert not (tmp_path / "out.nc").exists()


# -- the audit --------------------------------------------------------------------------------------------


def test_a_divided_cell_without_ground_of_its_own_is_not_compared_with_the_surface(world: World) -> None:
    on_file = contents(world.restart)
    columns = columns_of(on_file, 1)
    edit(world.restart, "cols1d_wtxy", columns, 0.0)
    rows = np.flatnonzero(np.isin(on_file["pfts1d_column_index"] - 1, columns))
    edit(world.restart, "pfts1d_wtxy", rows, 0.0)
    assert audit_restart(world.restart, world.surface, world.params).errors == []
    percent = raw(world.surface, "PCT_NAT_PFT")
    percent[[1, 7], 2] += [2.0, -2.0]
    edit(world.surface, "PCT_NAT_PFT", ..., percent)
    (error,) = audit_restart(world.restart, world.surface, world.params).errors
    # Either plant on either topounit.
    assert (error.variable, error.cell, error.further) == ("pfts1d_wtcol", 3, 3)


@pytest.mark.parametrize("topounits", ["one", "soil"])
def test_percentages_that_are_none_are_the_surface_files_fault(tmp_path: Path, topounits: str) -> None:
    world = make_world(tmp_path / "world", topounits=topounits)
    edit(world.surface, "PCT_NAT_PFT", (3, 1), -9999.0)
    with pytest.raises(InputError, match="PCT_NAT_PFT holds no percentages in cell 2"):
        audit_restart(world.restart, world.surface, world.params)


@pytest.mark.parametrize("crop", [False, True])
@pytest.mark.parametrize(
    ("pool", "factor", "problem"),
    [
        ("soil4", 90.0, "most columns holds more carbon than peat"),
        ("soil2", 100.0, "than their litter feeds"),
    ],
)
def test_what_is_wrong_with_most_natural_columns_is_an_error_also_beside_crops(
    tmp_path: Path, crop: bool, pool: str, factor: float, problem: str
) -> None:
    world = make_world(tmp_path / "world", cells=12, state=0, year=401, crop=crop)
    soil = raw(world.restart, "cols1d_ityplun") == 1
    for element in "cnp":
        name = f"{pool}{element}_vr"
        on_file = raw(world.restart, name)
        on_file[soil] *= factor
        edit(world.restart, name, ..., on_file)
    assert any(problem in error.problem for error in audit_restart(world.restart).errors)
