"""Carbon isotopes through AD exit and injection: their share of the carbon stays, to the last bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest

from phase_lib.config.injection import InjectionSettings
from phase_lib.config.ood import OodSettings
from phase_lib.elm.audit.run import audit_restart
from phase_lib.injection.inject import inject
from tests.helpers.isotopes import TWINS, add_isotope, add_variable
from tests.helpers.restarts import MORTALITY, F, World, edit, make_world, raw

CELLS, FLAGGED = 4, 2
DEAD = ("deadstemc", "deadcrootc")
#: 28 per mil below the standard, and 13 below: C3 plants and C4 plants, as shares of all carbon.
C3, C4 = 0.0109225584 / 1.0109225584, 0.0110911164 / 1.0110911164


def run(world: World, output: Path, predictions: Path | None = None) -> dict[str, Any]:
    return inject(
        world.restart,
        world.surface,
        world.params,
        world.soil_params,
        predictions,
        output,
        InjectionSettings(),
        OodSettings(),
        audit=audit_restart,
        mortality_factor=MORTALITY,
    )


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A restart with both isotopes, each share another from row to row; one soil column holds no soil4."""
    made = make_world(tmp_path_factory.mktemp("isotopes"), cells=CELLS, crop=False)
    edit(made.restart, "soil4c_vr", (made.column[1], slice(0, 10)), 0.0)
    for element in "np":
        edit(made.restart, f"soil4{element}_vr", (made.column[1], slice(0, 10)), 0.0)
    for element in "cnp":
        edit(made.restart, f"froot{element}_storage", ..., 0.0)
    for mark, share in (("13", 0.0108), ("14", 0.8e-12)):
        add_isotope(made.restart, mark, share)
    rng = np.random.default_rng(5)
    for twin in TWINS["13"].values():
        values = raw(made.restart, twin)
        spread = rng.uniform(0.96, 1.04, values.shape)
        edit(made.restart, twin, ..., np.where(np.abs(values) < 1e35, values * spread, values))
    for mark in ("13", "14"):
        parts = [f"{pool}_{mark}" for pool in TWINS[mark] if "_vr" not in pool and pool != "xsmrpool"]
        total = sum(raw(made.restart, part) for part in parts)
        edit(made.restart, f"totvegc_{mark}", ..., total)
    add_variable(
        made.restart, "soil5c_vr", ("column", "levgrnd"), np.ones(raw(made.restart, "soil4c_vr").shape)
    )
    return made


def predictions_of(world: World, path: Path) -> Path:
    """Other carbon in slow soil, litter and wood, as another tool writes it."""
    rng = np.random.default_rng(8)
    with netCDF4.Dataset(path, "w") as d:
        for name, size in {"gridcell": CELLS, "natpft": 17, "levdecomp": 10}.items():
            d.createDimension(name, size)
        for name, values in (("lat", world.lat), ("lon", world.lon)):
            d.createVariable(name, "f8", ("gridcell",))[:] = values
        flags = np.zeros(CELLS, dtype="i1")
        flags[FLAGGED] = 1
        d.createVariable("ood_flag", "i1", ("gridcell",))[:] = flags
        for name in ("soil3c_vr", "soil4c_vr", "cwdc_vr", "litr2c_vr"):
            v = d.createVariable(name, "f8", ("gridcell", "levdecomp"))
            v.units = "gC/m^3"
            base = raw(world.restart, name)[world.column][:, :10] * F.get(name.split("c_")[0], 1.0)
            v[:] = np.where(base > 0.0, base, 50.0) * rng.uniform(0.7, 1.3, (CELLS, 10))
        for name in (*DEAD, "livestemc"):
            v = d.createVariable(name, "f8", ("gridcell", "natpft"))
            v.units = "gC/m^2"
            factor = MORTALITY if name in DEAD else 1.0
            base = raw(world.restart, name)[world.patch] * factor
            v[:] = base * rng.uniform(0.8, 1.2, (CELLS, 17))
        v = d.createVariable("frootc_storage", "f8", ("gridcell", "natpft"))
        v.units = "gC/m^2"
        v[:] = 40.0
        d.label_space = "normal"
        d.model_hash = "none"
        d.run_name = "isotopes"
    return path


@pytest.mark.parametrize("predicted", [False, True])
@pytest.mark.parametrize("mark", ["13", "14"])
def test_every_isotope_keeps_its_share_of_its_pool(
    world: World, tmp_path: Path, predicted: bool, mark: str
) -> None:
    output = tmp_path / "out.nc"
    run(world, output, predictions_of(world, tmp_path / "p.nc") if predicted else None)
    changed = set()
    for pool, twin in TWINS[mark].items():
        before, after = raw(world.restart, pool), raw(output, pool)
        present, after_twin = raw(world.restart, twin), raw(output, twin)
        there = (np.abs(before) < 1e35) & (before != 0.0)
        shares = after_twin[there] / after[there], present[there] / before[there]
        np.testing.assert_allclose(*shares, rtol=1e-12, err_msg=twin)
        np.testing.assert_array_equal(after_twin[after == before], present[after == before], err_msg=twin)
        changed |= {pool} if np.any(after != before) else set()
    slow = {"soil3c_vr", "soil4c_vr", "cwdc_vr", *DEAD}
    assert changed == (slow | {"litr2c_vr", "livestemc", "frootc_storage"} if predicted else slow)


def test_leaving_ad_multiplies_an_isotope_by_what_the_pool_is_multiplied_by(
    world: World, tmp_path: Path
) -> None:
    run(world, tmp_path / "out.nc")
    for pool, factor in F.items():
        for twin in (f"{pool}c_13_vr", f"{pool}c_14_vr"):
            before, after = (
                raw(path, twin)[world.column, :10] for path in (world.restart, tmp_path / "out.nc")
            )
            np.testing.assert_allclose(after, before * factor, rtol=1e-8, err_msg=twin)
    for twin in ("deadstemc_13", "deadcrootc_14"):
        before, after = (raw(path, twin)[world.patch] for path in (world.restart, tmp_path / "out.nc"))
        covered = world.cover > 0.0
        np.testing.assert_array_equal(after[covered], before[covered] * MORTALITY)
        np.testing.assert_array_equal(after[~covered], before[~covered])


def test_a_pool_that_was_empty_gets_the_share_of_a_cold_start_and_the_sidecar_counts_it(
    world: World, tmp_path: Path
) -> None:
    report = run(world, tmp_path / "out.nc", predictions_of(world, tmp_path / "p.nc"))
    carbon = raw(tmp_path / "out.nc", "soil4c_vr")[world.column[1], :10]
    assert np.all(carbon > 30.0)
    for twin, share in (("soil4c_13_vr", C3), ("soil4c_14_vr", 1.0e-12)):
        injected = raw(tmp_path / "out.nc", twin)[world.column[1], :10]
        np.testing.assert_allclose(injected, share * carbon, rtol=1e-8)
        assert [n for name, n in report["clipped"].items() if name.startswith(f"{twin}: ")] == [10]


def test_sums_of_isotopes_follow_their_pools(world: World, tmp_path: Path) -> None:
    run(world, tmp_path / "out.nc", predictions_of(world, tmp_path / "p.nc"))
    for mark in ("13", "14"):
        parts = [f"{pool}_{mark}" for pool in TWINS[mark] if "_vr" not in pool and pool != "xsmrpool"]
        total = sum(raw(tmp_path / "out.nc", part) for part in parts)[world.patch]
        injected = raw(tmp_path / "out.nc", f"totvegc_{mark}")[world.patch]
        np.testing.assert_allclose(injected[world.cover > 0.0], total[world.cover > 0.0], rtol=1e-12)


def test_the_sidecar_names_isotopes_and_pools_that_stay(world: World, tmp_path: Path) -> None:
    report = run(world, tmp_path / "out.nc")
    assert {*TWINS["13"].values(), *TWINS["14"].values()} <= set(report["isotopes"])
    assert report["left_as_they_are"] == {"kept": [], "unknown": ["soil5c_vr"]}
    entry = report["variables_changed"]["soil4c_13_vr"]
    assert entry["units"] == "PgC"
    assert entry["after"] / entry["before"] == pytest.approx(F["soil4"], rel=1e-6)
    np.testing.assert_array_equal(raw(tmp_path / "out.nc", "soil5c_vr"), raw(world.restart, "soil5c_vr"))


def test_plants_that_had_none_get_the_share_of_c3_or_c4_plants(world: World, tmp_path: Path) -> None:
    run(world, tmp_path / "out.nc", predictions_of(world, tmp_path / "p.nc"))
    twin, carbon = (
        raw(tmp_path / "out.nc", name)[world.patch] for name in ("frootc_storage_13", "frootc_storage")
    )
    met = set()
    for pft, share in ((1, C3), (13, C3), (14, C4)):
        grown = (world.cover[:, pft] > 0.0) & (carbon[:, pft] > 0.0)
        np.testing.assert_allclose(twin[grown, pft], share * carbon[grown, pft], rtol=1e-8)
        met |= {pft} if np.any(grown) else set()
    assert {1, 14} <= met
