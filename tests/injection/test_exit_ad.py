"""Injecting what the model makes of an AD restart changes nothing that the model would not have changed.

The oracle is the model's rule in plain loops. Up to the start of year 40 the accelerated rates were never
divided by the averaged scalar, so the physical rule is F alone, that is the model's with a scalar of 1.
Results are equal to the last bit where the order of the multiplications is the same, and to 1e-15 where the
oracle's pools were summed in another order before they were injected.
"""

from __future__ import annotations

from pathlib import Path

import netCDF4
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from phase_lib.base.errors import InputError
from phase_lib.config.injection import InjectionSettings
from phase_lib.config.ood import OodSettings
from phase_lib.elm.audit.run import audit_restart
from phase_lib.injection.inject import inject
from tests.helpers.exit_ad import (
    ACCELERATED,
    DEAD_WOOD,
    ROUNDED,
    Cells,
    Held,
    Layout,
    accelerations,
    compare,
    leave_ad,
    mapped_p,
)
from tests.helpers.layouts import contents
from tests.helpers.restarts import World, edit, make_world

#: Pools in AD space that a predictions file can hold; N and P of SOM and wood follow from carbon.
PREDICTED = ("cwdc_vr", "cwdn_vr", "cwdp_vr", "soil3c_vr", "soil4c_vr", "deadstemc", "deadcrootc")
#: A rounding of a product or two.
LAST_BITS = 1.0e-15


def randomise(world: World, rng: np.random.Generator) -> None:
    """Other pools and averaged scalars, in AD space and with ELM's ratios.

    Scalars run over the switch at 1e-3 and down to 0; they are fill where there is no biogeochemistry. After
    year 40 pools are the smaller the smaller the scalar that their rates were divided by.
    """
    on_file = contents(world.restart)
    layout = Layout.from_content(on_file)
    scalar = on_file["scalaravg_col"].copy()
    drawn = 10.0 ** rng.uniform(-4.0, 0.0, len(scalar)) * (rng.random(len(scalar)) > 0.2)
    scalar[layout.runs] = drawn[layout.runs, None]
    seen = (
        np.where(drawn >= 1e-3, drawn, 1.0)
        if on_file["timemgr_rst_curr_ymd"] >= 410000
        else np.ones(len(drawn))
    )
    new = {"scalaravg_col": scalar}
    for pool in ACCELERATED:
        spread = rng.uniform(0.5, 2.0, (len(scalar), 10)) * seen[:, None]
        for element in "cnp":
            name = f"{pool}{element}_vr"
            new[name] = on_file[name].copy()
            for c in layout.runs:
                new[name][c, :10] *= spread[c]
    growth = rng.uniform(0.6, 1.5, len(on_file["ppool"]))
    for name in DEAD_WOOD:
        new[name] = on_file[name].copy()
        new[name][layout.covered] *= growth[layout.covered]
    new["ppool"] = on_file["ppool"] * rng.uniform(0.0, 3.0, len(growth))
    with netCDF4.Dataset(world.restart, "r+") as d:
        for name, values in new.items():
            d[name][...] = values


def cells_of(world: World, state: Held) -> Cells:
    """Predictions that hold the state's pools, means by ground where topounits divide the cells."""
    on_file = contents(world.restart)
    natural = (on_file["cols1d_ityplun"] == 1) & (on_file["cols1d_ityp"] == 1)
    column_of, pft = on_file["pfts1d_column_index"] - 1, on_file["pfts1d_itypveg"]
    values = {}
    for name in PREDICTED:
        pools = state[name]
        values[name] = np.full((len(world.lat), 10 if pools.ndim == 2 else 17), np.nan)
        for cell in range(len(world.lat)):
            columns = np.flatnonzero(natural & (on_file["cols1d_gridcell_index"] == cell + 1))
            if pools.ndim == 2 and len(columns):
                weight = on_file["cols1d_wtxy"][columns]
                values[name][cell] = weight / weight.sum() @ pools[columns, :10]
            elif pools.ndim == 1:
                for k in np.flatnonzero(world.cover[cell] > 0.0):
                    patches = np.flatnonzero(np.isin(column_of, columns) & (pft == k))
                    weight = on_file["pfts1d_wtxy"][patches]
                    values[name][cell, k] = weight / weight.sum() @ pools[patches]
    return Cells(world.lat, world.lon, values)


def run(world: World, predictions: Path | None, output: Path, factor: float) -> Path:
    inject(
        world.restart,
        world.surface,
        world.params,
        world.soil_params,
        predictions,
        output,
        InjectionSettings(),
        OodSettings(),
        audit=audit_restart,
        mortality_factor=factor,
    )
    return output


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 10_000),
    cells=st.integers(1, 5),
    year=st.sampled_from([2, 21, 39, 40, 41, 401]),
    crop=st.booleans(),
    shuffle=st.booleans(),
    ice=st.booleans(),
    topounits=st.sampled_from(["one", "lake", "soil"]),
    barren=st.booleans(),
    factor=st.floats(5.0, 12.0),
)
def test_the_models_own_exit_from_ad_injected_is_what_the_model_would_have_made(
    tmp_path: Path,
    seed: int,
    cells: int,
    year: int,
    crop: bool,
    shuffle: bool,
    ice: bool,
    topounits: str,
    barren: bool,
    factor: float,
) -> None:
    folder = tmp_path / f"{seed}-{cells}-{year}-{crop}-{shuffle}-{ice}-{topounits}-{barren}"
    world = make_world(
        folder,
        seed=seed,
        cells=cells + barren,
        year=year,
        crop=crop,
        shuffle=shuffle,
        ice=ice,
        topounits=topounits,
        barren=(cells // 2,) if barren else (),
    )
    randomise(world, np.random.default_rng(seed))
    on_file = contents(world.restart)
    right = leave_ad(on_file, world.params, mapped_p(on_file, world.surface, world.soil_params), factor)

    # The conversion alone, and the same pools injected besides: every bit is the oracle's or the base's.
    control = run(world, None, folder / "control.nc", factor)
    assert compare(world.restart, control, right) == []
    predictions = cells_of(world, right).write(folder / "predictions.nc")
    assert run(world, predictions, folder / "same.nc", factor).read_bytes() == control.read_bytes()

    # Computed in another order, the pools differ in their last bits, and so does what is made of them.
    layout, factors = Layout.from_content(on_file), accelerations(world.params)
    other = {name: on_file[name] * factor for name in DEAD_WOOD}
    for pool, f in factors.items():
        divided = np.ones(on_file["scalaravg_col"].shape)
        if year > 40:
            switched = on_file["scalaravg_col"][:, [3]] < 1e-3
            divided = np.where(switched, 1.0, on_file["scalaravg_col"])
        for element in "cnp":
            other[f"{pool}{element}_vr"] = on_file[f"{pool}{element}_vr"] / divided * f
    predictions = cells_of(world, other).write(folder / "predictions.nc")
    made = contents(run(world, predictions, folder / "other.nc", factor))
    for name, values in contents(control).items():
        if name in right and name not in ("spinup_state", "htop", "hbot"):
            rows = layout.runs if values.shape[0] == len(layout.cell_of_column) else slice(None)
            tolerance = 1e-12 if name in ROUNDED else 4.0 * LAST_BITS
            np.testing.assert_allclose(made[name][rows], values[rows], rtol=tolerance, err_msg=name)
        elif name not in ("htop", "hbot"):
            assert made[name].tobytes() == values.tobytes(), name


@pytest.mark.parametrize("year", [2, 21, 39, 40])
@pytest.mark.parametrize("scalar", [0.0, 0.0014, 0.03])
def test_up_to_the_start_of_year_40_the_averaged_scalar_does_not_matter(
    tmp_path: Path, year: int, scalar: float
) -> None:
    pools = []
    for number, value in enumerate((scalar, 1.0)):
        world = make_world(tmp_path / str(number), seed=3, year=year, scalaravg=value)
        pools.append(contents(run(world, None, tmp_path / f"{number}.nc", 10.0)))
    for name, values in pools[0].items():
        assert values.tobytes() == pools[1][name].tobytes(), name


def test_a_restart_within_the_year_in_which_elm_begins_to_divide_is_refused(tmp_path: Path) -> None:
    world = make_world(tmp_path / "world", year=40)
    edit(world.restart, "timemgr_rst_curr_ymd", ..., 400601)
    with pytest.raises(InputError, match="timemgr_rst_curr_ymd is 0040-06-01, in the year in which"):
        run(world, None, tmp_path / "out.nc", 10.0)
    assert not (tmp_path / "out.nc").exists()


def test_after_year_40_a_scalar_next_to_nothing_counts_as_one(tmp_path: Path) -> None:
    """The model's rates see 1 there; dividing by the number on file would multiply soil4 by ten thousands."""
    for scalar, seen in ((0.0, 1.0), (9.9e-4, 1.0), (1.0e-3, 1.0e-3)):
        world = make_world(tmp_path / str(scalar), seed=4, year=401, scalaravg=scalar)
        before = contents(world.restart)["soil4c_vr"][world.column]
        with netCDF4.Dataset(world.restart, "r+") as d:
            for pool in ACCELERATED:
                for element in "cnp":
                    name = f"{pool}{element}_vr"
                    d[name][world.column] = d[name][world.column] * seen
        after = contents(run(world, None, tmp_path / f"{scalar}.nc", 10.0))["soil4c_vr"][world.column]
        np.testing.assert_allclose(after, before * 27.39589039, rtol=1e-8)
