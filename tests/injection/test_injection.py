"""An injected restart holds the predictions, obeys the model's ratios, and is else the base byte for byte."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from phase_lib.base.errors import InputError
from phase_lib.config.injection import InjectionSettings
from phase_lib.config.ood import OodSettings
from phase_lib.elm.audit.run import audit_restart
from phase_lib.elm.compare import compare_restarts
from phase_lib.injection.inject import inject
from tests.helpers.layouts import permuted, squeezed
from tests.helpers.restarts import (
    CN,
    CP,
    DSLADLAI,
    DZ,
    EVERGREEN,
    FILL,
    KS,
    MORTALITY,
    ORGANS,
    SLATOP,
    SMAX,
    WOODY,
    F,
    World,
    edit,
    make_world,
    ratio_of,
    raw,
    without,
    write_soil_parameters,
)

PATCH_UNITS, LAYER_UNITS = "gC/m^2", "gC/m^3"
SOIL = ("litr1c_vr", "litr2c_vr", "litr3c_vr", "cwdc_vr", "soil1c_vr", "soil2c_vr", "soil3c_vr", "soil4c_vr")
PLANTS = (
    "deadstemc",
    "deadcrootc",
    "livestemc",
    "livecrootc",
    "leafc",
    "leafc_storage",
    "frootc",
    "frootc_storage",
)
DEAD = ("deadstem", "deadcroot")


@dataclass
class Case:
    """A world and where its injection goes."""

    world: World
    output: Path
    report: Path
    predictions: Path | None = None

    def run(self, *, action: str = "keep", dry_run: bool = False, **changes: Any) -> dict[str, Any]:
        soil_params = changes.pop("soil_params", self.world.soil_params)
        mortality_factor = changes.pop("mortality_factor", MORTALITY)
        return inject(
            changes.pop("restart", self.world.restart),
            changes.pop("surface", self.world.surface),
            self.world.params,
            soil_params,
            self.predictions,
            self.output,
            InjectionSettings(**changes),
            OodSettings(action=action),
            audit=audit_restart,
            mortality_factor=mortality_factor,
            report=self.report,
            dry_run=dry_run,
        )

    def before(self, name: str) -> np.ndarray:
        return raw(self.world.restart, name)

    def after(self, name: str) -> np.ndarray:
        return raw(self.output, name)


def case_in(folder: Path, **layout: Any) -> Case:
    world = make_world(folder / "world", **layout)
    return Case(world, folder / "out" / world.restart.name, folder / "out" / "diff.json")


def normal_patch(case: Case, name: str) -> np.ndarray:
    """A patch pool of the base in normal space, (gridcell, natpft), NaN without cover."""
    factor = MORTALITY if name in ("deadstemc", "deadcrootc") else 1.0
    values = case.before(name)[case.world.patch] * factor
    return np.where(case.world.cover > 0.0, values, np.nan)


def normal_layers(case: Case, name: str) -> np.ndarray:
    """A layered pool of the base in normal space, (gridcell, levdecomp)."""
    return case.before(name)[case.world.column][:, :10] * F.get(name.split("c_")[0], 1.0)


def write_predictions(
    case: Case,
    values: dict[str, np.ndarray],
    *,
    flags: np.ndarray | None = None,
    order: np.ndarray | None = None,
    units: dict[str, str] | None = None,
    label_space: str = "normal",
    shift: float = 0.0,
) -> Path:
    """Writes a predictions file for a case and makes it the case's."""
    lat, lon = case.world.lat, case.world.lon + shift
    order = np.arange(len(lat)) if order is None else order
    path = case.output.parent.parent / "predictions.nc"
    with netCDF4.Dataset(path, "w") as d:
        d.label_space = label_space
        d.createDimension("gridcell", len(order))
        d.createDimension("natpft", 17)
        d.createDimension("levdecomp", 10)
        d.createVariable("lat", "f8", ("gridcell",))[:] = lat[order]
        d.createVariable("lon", "f8", ("gridcell",))[:] = lon[order]
        flag = np.zeros(len(lat), dtype=np.int8) if flags is None else flags
        d.createVariable("ood_flag", "i1", ("gridcell",))[:] = flag[order]
        for name, array in values.items():
            dims = ("gridcell", "levdecomp" if array.shape[1] == 10 else "natpft")
            variable = d.createVariable(name, "f8", dims)
            stem = name.removeprefix("analogue_")
            usual = "1" if stem == "tlai" else (LAYER_UNITS if array.shape[1] == 10 else PATCH_UNITS)
            variable.units = (units or {}).get(name, usual)
            variable[:] = array[order]
    case.predictions = path
    return path


def predicted(case: Case, factor: float = 1.5) -> dict[str, np.ndarray]:
    """Every slow pool of the base in normal space, times a factor."""
    return {
        **{name: factor * normal_layers(case, name) for name in SOIL},
        **{name: factor * normal_patch(case, name) for name in PLANTS},
    }


def changed_elsewhere(case: Case, report: dict[str, Any]) -> list[str]:
    """Variables whose bytes differ although the report does not name them, and the other way round."""
    with netCDF4.Dataset(case.world.restart) as before, netCDF4.Dataset(case.output) as after:
        for dataset in (before, after):
            dataset.set_auto_maskandscale(False)
        differing = {
            name
            for name in before.variables
            if np.asarray(before[name][...]).tobytes() != np.asarray(after[name][...]).tobytes()
        }
    return sorted(differing ^ set(report["variables_changed"]))


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return case_in(tmp_path, seed=11, cells=4)


# -- without predictions: the control -----------------------------------------------------------------------


def test_the_control_is_the_base_taken_to_normal_mode_by_f_alone(case: Case) -> None:
    report = case.run()
    column = case.world.column
    for pool in ("litr1", "litr2", "litr3", "cwd", "soil1", "soil2", "soil3", "soil4"):
        for element in "cnp":
            name = f"{pool}{element}_vr"
            np.testing.assert_allclose(
                case.after(name)[column], case.before(name)[column] * F.get(pool, 1.0), rtol=1e-8
            )
    covered = case.world.patch[case.world.cover > 0.0]
    for organ in DEAD:
        for element in "cnp":
            name = f"{organ}{element}"
            np.testing.assert_allclose(
                case.after(name)[covered], MORTALITY * case.before(name)[covered], rtol=1e-14
            )
            np.testing.assert_array_equal(case.after(f"{name}_storage"), case.before(f"{name}_storage"))
    assert case.after("spinup_state") == 0
    assert np.all(case.after("scalaravg_col")[column] == 1.0)
    assert report["conversion"]["factors"] == pytest.approx(F, rel=1e-8)
    assert report["conversion"]["divided_by_scalaravg"] is False
    assert audit_restart(case.output, case.world.surface, case.world.params).errors == []


def test_from_year_40_on_leaving_ad_divides_by_the_mean_scalar(tmp_path: Path) -> None:
    case = case_in(tmp_path, year=401, scalaravg=0.2)
    report = case.run()
    column = case.world.column
    for pool, factor in F.items():
        np.testing.assert_allclose(
            case.after(f"{pool}c_vr")[column], case.before(f"{pool}c_vr")[column] * factor / 0.2, rtol=1e-8
        )
    np.testing.assert_array_equal(case.after("soil2c_vr"), case.before("soil2c_vr"))
    assert report["conversion"]["divided_by_scalaravg"] is True


def test_the_mortality_factor_of_the_ad_run_is_used(tmp_path: Path) -> None:
    case = case_in(tmp_path, seed=2)
    report = case.run(mortality_factor=8.0)
    assert report["conversion"]["spinup_mortality_factor"] == 8.0
    covered = case.world.patch[case.world.cover > 0.0]
    np.testing.assert_allclose(case.after("deadstemc")[covered], 8.0 * case.before("deadstemc")[covered])


def test_without_a_factor_the_usual_one_is_taken_if_the_wood_agrees_and_the_sidecar_says_so(
    tmp_path: Path,
) -> None:
    case = case_in(tmp_path, seed=2, cells=6)
    conversion = case.run(mortality_factor=None)["conversion"]
    assert conversion["spinup_mortality_factor"] == 10.0
    assert conversion["spinup_mortality_factor_rests_on"].startswith("assumed; dead : live wood of ")
    assert conversion["spinup_mortality_factor_rests_on"].endswith(": goes with 10")


@pytest.mark.parametrize(("factor", "stated"), [(None, "assumed as 10"), (10.0, "given as 10")])
def test_a_factor_that_the_wood_of_the_base_contradicts_is_refused_and_nothing_written(
    tmp_path: Path, factor: float | None, stated: str
) -> None:
    case = case_in(tmp_path, seed=2, cells=6)
    for organ in DEAD:
        for element in "cnp":
            name = f"{organ}{element}"
            edit(case.world.restart, name, ..., 10.0 * case.before(name))
    with pytest.raises(InputError, match=f"spinup_mortality_factor is {stated}, but the wood") as raised:
        case.run(mortality_factor=factor)
    assert str(raised.value).startswith(f"{case.world.restart}: ")
    assert not case.output.exists()
    assert not case.report.exists()
    assert case.run(mortality_factor=1.0)["conversion"]["spinup_mortality_factor"] == 1.0


def test_an_ad_run_whose_rates_were_divided_by_fill_cannot_be_undone(tmp_path: Path) -> None:
    case = case_in(tmp_path, seed=2, year=1870, scalaravg=FILL)
    with pytest.raises(InputError, match="scalaravg_col is fill in cell 1: ELM divided the rates of soil3"):
        case.run()
    assert not case.output.exists()


def test_mineral_p_comes_from_the_surface_file_into_every_column_with_biogeochemistry(tmp_path: Path) -> None:
    case = case_in(tmp_path, seed=4, crop=True)
    case.run()
    labile = raw(case.world.surface, "LABILE_P") / 0.5
    cell = case.before("cols1d_gridcell_index") - 1
    active = np.isin(case.before("cols1d_ityplun"), (1, 2)) & (case.before("cols1d_active") == 1)
    expected = {
        "labilep_vr": labile,
        "solutionp_vr": labile * KS / (SMAX - labile),
        "secondp_vr": np.full_like(labile, 40.0),
        "occlp_vr": np.full_like(labile, 120.0),
        "primp_vr": np.full_like(labile, 60.0),
    }
    for name, values in expected.items():
        after = case.after(name)
        np.testing.assert_allclose(
            after[active][:, :10], np.repeat(values[cell[active]][:, None], 10, 1), rtol=1e-12
        )
        np.testing.assert_array_equal(after[active][:, 10:], 0.0)
        np.testing.assert_array_equal(after[~active], case.before(name)[~active])


def test_where_sorption_sites_are_full_p_is_divided_in_equilibrium_and_none_is_lost(case: Case) -> None:
    smax, ks = 20.0, 5.0
    labile = raw(case.world.surface, "LABILE_P") / 0.5
    assert np.any(labile > smax), "the world must hold a saturated cell"
    write_soil_parameters(case.world.soil_params, smax, ks)
    report = case.run()
    column = case.world.column
    solution, sorbed = case.after("solutionp_vr")[column, 0], case.after("labilep_vr")[column, 0]
    full = smax - labile <= ks
    assert np.all(solution >= 0.0)
    np.testing.assert_allclose((solution + sorbed)[full], labile[full], rtol=1e-12)
    np.testing.assert_allclose(sorbed[full], (smax * solution / (ks + solution))[full], rtol=1e-10)
    np.testing.assert_allclose(sorbed[~full], labile[~full], rtol=1e-15)
    assert sum(count for name, count in report["clipped"].items() if "solutionp" in name) == full.sum()


def test_ppool_is_lifted_as_the_model_lifts_it(case: Case) -> None:
    case.run()
    covered = case.world.patch[case.world.cover > 0.0]
    ppool, leafp, storage = (case.before(name)[covered] for name in ("ppool", "leafp", "leafp_storage"))
    expected = np.where(ppool < leafp, leafp, np.where(ppool < storage, storage, ppool))
    np.testing.assert_array_equal(case.after("ppool")[covered], expected)


def test_the_control_of_the_real_restart(elm_sample: Path, tmp_path: Path) -> None:
    base = elm_sample / "ad20.elm.r.0021-01-01-00000.nc"
    output = tmp_path / base.name
    report = inject(
        base,
        elm_sample / "surfdata.biomes.1d.nc",
        elm_sample / "clm_params_c211124.nc",
        elm_sample / "CNP_parameters_c180529.nc",
        None,
        output,
        InjectionSettings(),
        OodSettings(),
        audit=audit_restart,
        mortality_factor=MORTALITY,
    )
    assert output.read_bytes()[:4] == b"CDF\x05"
    difference = compare_restarts(base, output)
    assert difference.header == difference.attributes == difference.only_a == difference.only_b == []
    assert {item.name for item in difference.variables} == set(report["variables_changed"])
    soil = raw(base, "cols1d_ityplun") == 1
    for pool, factor in F.items():
        before, after = (raw(path, f"{pool}c_vr")[soil] for path in (base, output))
        np.testing.assert_allclose(after, before * factor, rtol=1e-8)
    # Mean soil carbon of the cells (6.91 kgC m-2 was measured in years 21 to 40 of the run from such a file).
    assert 4000.0 < raw(output, "totsomc")[soil].mean() < 10000.0
    change = report["variables_changed"]["soil4c_vr"]
    assert change["after"] / change["before"] == pytest.approx(F["soil4"], rel=1e-8)
    assert change["units"] == "PgC"
    assert np.all(raw(output, "solutionp_vr") >= 0.0)


@pytest.fixture
def real(elm_sample: Path, tmp_path: Path) -> Case:
    """The real restart, its soil columns and patches found by the index arrays."""
    base = elm_sample / "ad20.elm.r.0021-01-01-00000.nc"
    cell, pft = raw(base, "pfts1d_gridcell_index") - 1, raw(base, "pfts1d_itypveg")
    rows = np.flatnonzero(raw(base, "pfts1d_ityplun") == 1)
    patch = np.empty((24, 17), dtype=int)
    patch[cell[rows], pft[rows]] = rows
    world = World(
        base,
        elm_sample / "surfdata.biomes.1d.nc",
        elm_sample / "clm_params_c211124.nc",
        elm_sample / "CNP_parameters_c180529.nc",
        raw(base, "grid1d_lat"),
        raw(base, "grid1d_lon"),
        np.flatnonzero(raw(base, "cols1d_ityplun") == 1),
        patch,
        raw(base, "pfts1d_wtcol")[patch],
    )
    return Case(world, tmp_path / "out" / base.name, tmp_path / "out" / "diff.json")


def test_canopy_height_of_real_shrubs_and_trees_is_that_of_the_model(real: Case) -> None:
    """In AD the model computes height with ten times the dead stem: injection must come to the same."""
    write_predictions(real, {"deadstemc": normal_patch(real, "deadstemc") * (1.0 + 1e-9)})
    real.run()
    woody = real.world.patch[:, 1:12][real.world.cover[:, 1:12] > 0.0]
    assert np.any(real.after("htop")[woody] != real.before("htop")[woody])
    for name in ("htop", "hbot"):
        np.testing.assert_allclose(real.after(name)[woody], real.before(name)[woody], rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("factor", [0.3, 1.0, 3.0])
def test_every_slow_pool_injected_into_the_real_restart_passes_the_audit(real: Case, factor: float) -> None:
    values = {**predicted(real, factor), "tlai": normal_patch(real, "tlai") * factor}
    write_predictions(real, values, flags=np.arange(24) % 7 == 3, order=np.arange(24)[::-1], shift=360.0)
    report = real.run()
    assert report["audit"]["errors"] == 0
    assert changed_elsewhere(real, report) == []
    assert real.output.read_bytes()[:4] == b"CDF\x05"
    used = np.arange(24) % 7 != 3
    column = real.world.column
    np.testing.assert_array_equal(real.after("soil4c_vr")[column[used]][:, :10], values["soil4c_vr"][used])
    np.testing.assert_allclose(
        real.after("soil4c_vr")[column[~used]],
        F["soil4"] * real.before("soil4c_vr")[column[~used]],
        rtol=1e-8,
    )
    for pool in ("soil3", "soil4"):
        carbon = real.after(f"{pool}c_vr")[column]
        np.testing.assert_allclose(
            real.after(f"{pool}n_vr")[column], carbon / CN[pool], rtol=1e-10, atol=1e-9
        )
    woody = np.broadcast_to(WOODY > 0, real.world.cover.shape) & (real.world.cover > 0.0) & used[:, None]
    np.testing.assert_array_equal(
        real.after("deadstemc")[real.world.patch[woody]], values["deadstemc"][woody]
    )
    assert report["flagged"]["count"] == 3


# -- with predictions ---------------------------------------------------------------------------------------


def test_predicted_soil_carbon_brings_its_nitrogen_and_phosphorus(case: Case) -> None:
    values = predicted(case)
    write_predictions(case, values)
    case.run()
    column = case.world.column
    for name in SOIL:
        np.testing.assert_array_equal(case.after(name)[column][:, :10], values[name])
        np.testing.assert_array_equal(case.after(name)[column][:, 10:], 0.0)
    for pool in ("soil1", "soil2", "soil3", "soil4"):
        carbon = values[f"{pool}c_vr"]
        np.testing.assert_array_equal(case.after(f"{pool}n_vr")[column][:, :10], carbon / CN[pool])
        np.testing.assert_array_equal(case.after(f"{pool}p_vr")[column][:, :10], carbon / CP[pool])
    for pool, cn, cp in (("cwd", 500.0, 5000.0), ("litr2", 90.0, 900.0)):
        carbon = values[f"{pool}c_vr"]
        np.testing.assert_allclose(case.after(f"{pool}n_vr")[column][:, :10], carbon / cn, rtol=1e-12)
        np.testing.assert_allclose(case.after(f"{pool}p_vr")[column][:, :10], carbon / cp, rtol=1e-12)


def test_predicted_organs_bring_their_nitrogen_and_phosphorus_in_covered_patches_only(case: Case) -> None:
    values = predicted(case)
    write_predictions(case, values)
    case.run()
    pft = np.broadcast_to(np.arange(17), case.world.cover.shape)
    for name in PLANTS:
        organ, stage = next((o, name.removeprefix(f"{o}c")) for o in ORGANS if name.startswith(f"{o}c"))
        meant = (case.world.cover > 0.0) & (pft > 0)
        if organ not in ("leaf", "froot"):
            meant &= WOODY[pft] > 0
        elif stage == "":
            # Leaves and fine roots of a dormant patch stay off.
            meant &= case.before(name)[case.world.patch] > 0.0
        rows = case.world.patch[meant]
        np.testing.assert_array_equal(case.after(name)[rows], values[name][meant])
        for element in "np":
            right = values[name][meant] / ratio_of(organ, element)[pft[meant]]
            np.testing.assert_allclose(case.after(f"{organ}{element}{stage}")[rows], right, rtol=1e-14)
    uncovered = case.world.patch[case.world.cover == 0.0]
    with netCDF4.Dataset(case.world.restart) as d:
        patch_variables = [name for name, variable in d.variables.items() if variable.dimensions == ("pft",)]
    for name in patch_variables:
        assert case.after(name)[uncovered].tobytes() == case.before(name)[uncovered].tobytes(), name


def test_columns_other_than_the_soil_column_only_leave_ad(tmp_path: Path) -> None:
    case = case_in(tmp_path, seed=6, crop=True)
    write_predictions(case, predicted(case))
    case.run()
    crop = (case.before("cols1d_ityplun") == 2) & (case.before("cols1d_active") == 1)
    np.testing.assert_allclose(
        case.after("soil4c_vr")[crop], F["soil4"] * case.before("soil4c_vr")[crop], rtol=1e-8
    )
    idle = ~crop & (case.before("cols1d_ityplun") != 1)
    for name in ("soil4c_vr", "soil1c_vr", "labilep_vr", "scalaravg_col"):
        assert case.after(name)[idle].tobytes() == case.before(name)[idle].tobytes()


@pytest.mark.parametrize("layout", [{"crop": True}, {"urban": False, "lake": False, "shuffle": False}, {}])
def test_what_the_report_does_not_name_is_the_base_byte_for_byte(
    tmp_path: Path, layout: dict[str, bool]
) -> None:
    case = case_in(tmp_path, seed=8, **layout)
    write_predictions(case, predicted(case))
    report = case.run()
    assert changed_elsewhere(case, report) == []
    difference = compare_restarts(case.world.restart, case.output)
    assert difference.header == difference.attributes == difference.only_a == difference.only_b == []
    assert case.output.read_bytes()[:4] == b"CDF\x05"
    assert {"T_VEG", "T_SOISNO", "pfts1d_wtcol"}.isdisjoint(report["variables_changed"])


def test_leaf_area_alone_brings_the_leaf_carbon_that_carries_it(case: Case) -> None:
    area = normal_patch(case, "tlai") * 1.2
    write_predictions(case, {"tlai": area})
    case.run()
    pft = np.broadcast_to(np.arange(17), area.shape)
    before = case.before("leafc")[case.world.patch]
    out = (case.world.cover > 0.0) & (before > 0.0)
    rows, k = case.world.patch[out], pft[out]
    leafc = case.after("leafc")[rows]
    slope = np.where(DSLADLAI[k] > 0, DSLADLAI[k], 1.0)
    carried = np.where(DSLADLAI[k] > 0, SLATOP[k] * np.expm1(slope * leafc) / slope, SLATOP[k] * leafc)
    np.testing.assert_allclose(carried, area[out], rtol=1e-12)
    np.testing.assert_allclose(case.after("tlai")[rows], area[out], rtol=1e-12)
    np.testing.assert_allclose(case.after("elai")[rows], 0.8 * area[out], rtol=1e-12)
    np.testing.assert_allclose(case.after("leafn")[rows] * ratio_of("leaf", "n")[k], leafc, rtol=1e-14)
    dormant = case.world.patch[(case.world.cover > 0.0) & (before == 0.0)]
    assert len(dormant)
    assert np.all(case.after("leafc")[dormant] == 0.0)
    assert np.all(case.after("tlai")[dormant] == 0.0)


def test_a_living_evergreen_patch_never_loses_its_leaves(case: Case) -> None:
    leafc = normal_patch(case, "leafc") * 0.0
    write_predictions(case, {"leafc": leafc})
    report = case.run()
    pft = np.broadcast_to(np.arange(17), leafc.shape)
    evergreen = (case.world.cover > 0.0) & np.isin(pft, EVERGREEN)
    rows = case.world.patch[evergreen]
    np.testing.assert_array_equal(case.after("leafc")[rows], case.before("leafc")[rows])
    assert report["clipped"]["leafc kept: evergreen or dead"] == evergreen.sum()
    # Grass, which comes back from its storage, follows the prediction.
    grass = case.world.patch[(case.world.cover > 0.0) & (pft >= 12)]
    assert np.all(case.after("leafc")[grass] == 0.0)


def below_zero(case: Case) -> dict[str, np.ndarray]:
    """Predictions of which one layer is negative and no leaf is left."""
    soil = normal_layers(case, "soil3c_vr") * 1.2
    soil[2, 4] = -30.0
    return {"soil3c_vr": soil, "leafc": normal_patch(case, "leafc") * 0.0}


def test_values_out_of_bounds_are_kept_where_the_land_model_is_to_judge_them(case: Case) -> None:
    values = below_zero(case)
    write_predictions(case, values)
    with pytest.raises(InputError, match="in the audit of the result"):
        case.run(out_of_bounds="keep")
    report = case.run(out_of_bounds="keep", accept_unsound=True)
    column, covered = case.world.column, case.world.patch[case.world.cover > 0.0]
    np.testing.assert_array_equal(case.after("soil3c_vr")[column][:, :10], values["soil3c_vr"])
    # N and P follow by the ratios, as ever; no leaves are kept.
    assert case.after("soil3n_vr")[column[2], 4] == pytest.approx(-30.0 / CN["soil3"])
    assert np.all(case.after("leafc")[covered] == 0.0)
    assert report["out_of_bounds"] == {"soil3c_vr": {"negative": 1, "too_large": 0}}
    plants = np.count_nonzero(case.world.cover[:, 1:] > 0.0)
    assert report["predicted_values"] == values["soil3c_vr"].size + plants
    assert report["audit"]["errors"] > 0


def test_values_out_of_bounds_are_clipped_to_the_bound(case: Case) -> None:
    values = below_zero(case)
    write_predictions(case, values)
    report = case.run(out_of_bounds="clip")
    after = case.after("soil3c_vr")[case.world.column][:, :10]
    assert after[2, 4] == 0.0
    assert np.count_nonzero(after != values["soil3c_vr"]) == 1
    assert report["out_of_bounds"] == {"soil3c_vr": {"negative": 1, "too_large": 0}}
    assert report["clipped"]["leafc kept: evergreen or dead"] > 0
    assert report["audit"]["errors"] == 0


@pytest.mark.parametrize("out_of_bounds", ["clip", "keep"])
def test_a_value_that_is_no_number_is_refused_in_any_case(case: Case, out_of_bounds: str) -> None:
    values = below_zero(case)
    values["soil3c_vr"][0, 0] = np.nan
    write_predictions(case, values)
    with pytest.raises(InputError, match="is not a finite number"):
        case.run(out_of_bounds=out_of_bounds)


def test_ppool_covers_the_injected_leaves(case: Case) -> None:
    write_predictions(case, {"leafc": normal_patch(case, "leafc") * 3.0})
    case.run()
    covered = case.world.patch[case.world.cover > 0.0]
    assert np.all(case.after("ppool")[covered] >= case.after("leafp")[covered])


def test_litter_ratios_are_kept_per_layer_and_within_bounds(case: Case) -> None:
    column = case.world.column
    ratio = np.array([20.0, 40.0, 80.0, 160.0, 320.0, 640.0, 5.0, 2000.0, 90.0, 90.0])
    litter = case.before("litr3n_vr")
    litter[column, :10] = case.before("litr3c_vr")[column][:, :10] / ratio
    litter[column[0], 9] = 0.0
    edit(case.world.restart, "litr3n_vr", ..., litter)
    carbon = normal_layers(case, "litr3c_vr") * 2.0
    write_predictions(case, {"litr3c_vr": carbon})
    report = case.run()
    expected = np.tile(np.clip(ratio, 10.0, 1000.0), (4, 1))
    np.testing.assert_allclose(carbon / case.after("litr3n_vr")[column][:, :10], expected, rtol=1e-12)
    assert report["clipped"] == {"litr3n_vr": 8}


def test_totals_follow_where_pools_changed(case: Case) -> None:
    write_predictions(case, predicted(case))
    case.run()
    column = case.world.column
    stock = sum(case.after(f"soil{k}c_vr")[column][:, :10] @ DZ for k in (1, 2, 3, 4))
    np.testing.assert_allclose(case.after("totsomc")[column], stock, rtol=1e-6)
    assert not [
        f for f in audit_restart(case.output).notes if f.variable.startswith("tot") and f.value is not None
    ]


def test_mineral_nitrogen_stays_the_sum_of_its_parts(case: Case) -> None:
    write_predictions(case, {"smin_no3_vr": np.full((4, 10), 2.5)}, units={"smin_no3_vr": "gN m-3"})
    case.run()
    column = case.world.column
    np.testing.assert_array_equal(case.after("smin_no3_vr")[column][:, :10], 2.5)
    np.testing.assert_array_equal(case.after("sminn_vr")[column][:, :10], 2.75)


def test_flagged_cells_get_what_the_settings_say(tmp_path: Path) -> None:
    case = case_in(tmp_path, seed=9, cells=4)
    flags = np.array([0, 1, 0, 0], dtype=np.int8)
    values = predicted(case, 1.5)
    values |= {f"analogue_{name}": array * 2.0 for name, array in predicted(case, 1.0).items()}
    write_predictions(case, values, flags=flags)
    column = case.world.column
    base = normal_layers(case, "soil4c_vr")
    for action, factor in (("keep", 1.0), ("analogue", 2.0), ("predict", 1.5)):
        report = case.run(action=action)
        soil4 = case.after("soil4c_vr")[column][:, :10]
        np.testing.assert_allclose(soil4[1], factor * base[1], rtol=1e-8)
        np.testing.assert_allclose(soil4[[0, 2, 3]], 1.5 * base[[0, 2, 3]], rtol=1e-8)
        assert report["flagged"]["count"] == 1
        assert report["flagged"]["action"] == action
        (cell,) = report["flagged"]["cells"]
        assert (cell["cell"], cell["lat"], cell["lon"]) == (2, case.world.lat[1], case.world.lon[1])
        # Mineral P and the way out of AD are every cell's.
        assert np.all(case.after("occlp_vr")[column][:, :10] == 120.0)


@pytest.mark.parametrize("action", ["keep", "analogue", "predict"])
def test_a_cell_that_could_not_be_predicted_keeps_its_own_state_whatever_flagged_ones_get(
    tmp_path: Path, action: str
) -> None:
    case = case_in(tmp_path, seed=9, cells=4)
    values = predicted(case, 1.5)
    values |= {f"analogue_{name}": array * 2.0 for name, array in predicted(case, 1.0).items()}
    for array in values.values():
        array[1] = np.nan
    path = write_predictions(case, values, flags=np.array([0, 1, 0, 0], dtype=np.int8))
    with netCDF4.Dataset(path, "r+") as dataset:
        dataset.createVariable("predicted", "i1", ("gridcell",))[:] = [1, 0, 1, 1]
    report = case.run(action=action)
    base, soil4 = normal_layers(case, "soil4c_vr"), case.after("soil4c_vr")[case.world.column][:, :10]
    np.testing.assert_allclose(soil4[1], base[1], rtol=1e-8)
    np.testing.assert_allclose(soil4[[0, 2, 3]], 1.5 * base[[0, 2, 3]], rtol=1e-8)
    assert [cell["predicted"] for cell in report["flagged"]["cells"]] == [False]


def test_predictions_are_found_by_place_in_any_order_and_longitude_convention(case: Case) -> None:
    values = predicted(case)
    write_predictions(case, values)
    case.run()
    plain = case.output.read_bytes()
    write_predictions(case, values, order=np.array([2, 0, 3, 1]), shift=360.0)
    case.run()
    assert case.output.read_bytes() == plain


def test_the_result_does_not_depend_on_the_chunk_size(case: Case) -> None:
    write_predictions(case, predicted(case), flags=np.array([0, 0, 1, 0], dtype=np.int8))
    whole = case.run()
    data = case.output.read_bytes()
    pieces = case.run(chunk_cells=1)
    assert case.output.read_bytes() == data
    assert pieces["clipped"] == whole["clipped"]
    for name, change in whole["variables_changed"].items():
        assert pieces["variables_changed"][name] == pytest.approx(change)


def test_a_base_in_normal_mode_is_not_converted_again(tmp_path: Path) -> None:
    case = case_in(tmp_path, state=0, year=401)
    report = case.run()
    assert report["variables_changed"] == {}
    assert case.output.read_bytes() == case.world.restart.read_bytes()
    case.predictions = None
    world = case.world
    values = {"soil4c_vr": raw(world.restart, "soil4c_vr")[world.column][:, :10] * 1.1}
    write_predictions(case, values)
    report = case.run()
    assert set(report["variables_changed"]) == {"soil4c_vr", "soil4n_vr", "soil4p_vr", "totsomc"}


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 10_000),
    cells=st.integers(1, 4),
    crop=st.booleans(),
    state=st.sampled_from([0, 1]),
    shuffle=st.booleans(),
)
def test_injecting_what_the_file_holds_changes_no_pool(
    tmp_path: Path, seed: int, cells: int, crop: bool, state: int, shuffle: bool
) -> None:
    folder = tmp_path / f"{seed}-{cells}-{crop}-{state}-{shuffle}"
    control = case_in(folder / "control", seed=seed, cells=cells, crop=crop, state=state, shuffle=shuffle)
    control.run()
    world = control.world
    covered = world.cover > 0.0
    values = {name: raw(control.output, name)[world.column][:, :10] for name in SOIL}
    for name in (*PLANTS, "tlai"):
        values[name] = np.where(covered, raw(control.output, name)[world.patch], np.nan)
    # The same predictions again, into the base and into what was made of it.
    write_predictions(control, values)
    first = control.output.read_bytes()
    control.run()
    assert control.output.read_bytes() == first
    again = Case(
        World(**{**vars(world), "restart": control.output}),
        folder / "again" / world.restart.name,
        folder / "again" / "diff.json",
        control.predictions,
    )
    assert again.run()["variables_changed"] == {}
    assert again.output.read_bytes() == first


# -- the report ---------------------------------------------------------------------------------------------


def test_the_sidecar_says_what_was_done(case: Case) -> None:
    path = write_predictions(case, predicted(case), flags=np.array([1, 0, 0, 0], dtype=np.int8))
    report = case.run()
    assert json.loads(case.report.read_text()) == report
    for key, file in (("base", case.world.restart), ("predictions", path)):
        assert report[key] == {"path": str(file), "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
    assert report["code_version"]
    assert report["audit"]["errors"] == 0
    assert report["audit"]["path"] == str(case.output)
    stock = report["variables_changed"]["soil3c_vr"]
    # 100 km2 a cell, all of it land; the soil column's share of it.
    weight = case.before("cols1d_wtxy")[case.world.column] * 1.0e8
    for key, file in (("before", case.world.restart), ("after", case.output)):
        grams = (raw(file, "soil3c_vr")[case.world.column][:, :10] @ DZ) @ weight
        assert stock[key] == pytest.approx(grams / 1e15, rel=1e-6)
    assert report["variables_changed"]["spinup_state"]["before"] == 1
    assert report["variables_changed"]["spinup_state"]["after"] == 0


def test_area_in_steradian_that_calls_itself_square_kilometres_is_seen_through(case: Case) -> None:
    case.run()
    before = json.loads(case.report.read_text())["variables_changed"]["soil4c_vr"]["before"]
    edit(case.world.surface, "AREA", ..., 100.0 / 6371.22**2)
    case.run()
    after = json.loads(case.report.read_text())["variables_changed"]["soil4c_vr"]["before"]
    assert after == pytest.approx(before, rel=1e-12)


def test_a_dry_run_computes_the_same_and_writes_no_restart(case: Case) -> None:
    write_predictions(case, predicted(case))
    dry = case.run(dry_run=True)
    assert not case.output.exists()
    wet = case.run()
    assert dry["variables_changed"] == wet["variables_changed"]
    assert dry["clipped"] == wet["clipped"]
    assert (dry["audit"], dry["dry_run"]) == (None, True)


# -- bad input: one line, nothing written -------------------------------------------------------------------


def refuse(case: Case, *words: str, **changes: Any) -> None:
    """Runs, expects one line with these words and nothing left behind."""
    before = case.world.restart.read_bytes()
    with pytest.raises(InputError) as caught:
        case.run(**changes)
    text = str(caught.value)
    assert "\n" not in text
    for word in words:
        assert word in text
    assert not case.output.exists()
    assert not case.report.exists()
    assert not case.output.parent.exists() or list(case.output.parent.iterdir()) == []
    assert case.world.restart.read_bytes() == before


@pytest.mark.parametrize("value", [np.nan, FILL, -1.0, np.inf])
@pytest.mark.parametrize(("name", "place"), [("soil4c_vr", "layer 4"), ("deadstemc", "pft 1")])
def test_a_bad_predicted_value_is_refused_by_name_cell_and_place(
    case: Case, value: float, name: str, place: str
) -> None:
    values = predicted(case)
    values[name][2, 3 if "layer" in place else 1] = value
    write_predictions(case, values)
    refuse(case, "predictions.nc", name, "cell 3", place)


def test_nan_is_welcome_where_a_pft_has_no_cover(case: Case) -> None:
    values = predicted(case)
    assert np.any(np.isnan(values["leafc"]))
    values["deadstemc"][:, 12:] = np.nan
    values["leafc"][:, 0] = np.nan
    write_predictions(case, values)
    assert case.run()["audit"]["errors"] == 0


def test_predictions_for_fewer_cells_are_refused(case: Case) -> None:
    write_predictions(case, predicted(case), order=np.array([0, 1, 3]))
    refuse(case, "predictions.nc", "1 of 4 cells have no partner among its 3 predicted cells")


def test_predictions_for_other_cells_are_refused(case: Case) -> None:
    write_predictions(case, predicted(case), shift=0.5)
    refuse(case, "predictions.nc", "no partner")


def test_wrong_units_are_refused(case: Case) -> None:
    write_predictions(case, predicted(case), units={"soil3c_vr": "kgC/m^3"})
    refuse(case, "predictions.nc", "soil3c_vr", "kgC/m^3", "gC/m^3")


@pytest.mark.parametrize("spelling", ["gC m-3", "gC/m3", "gC m^-3", "gC/m^3"])
def test_units_may_be_spelt_in_any_usual_way(case: Case, spelling: str) -> None:
    write_predictions(case, predicted(case), units={"soil3c_vr": spelling})
    assert case.run()["audit"]["errors"] == 0


@pytest.mark.parametrize("spelling", ["g C m**-2", "gC m⁻²", "gc/m2", "g(C) m^-2"])
def test_units_of_plants_may_be_spelt_in_any_usual_way(case: Case, spelling: str) -> None:
    write_predictions(case, predicted(case), units={"deadstemc": spelling})
    assert case.run(dry_run=True)["variables_changed"]["deadstemc"]["count"] > 0


@pytest.mark.parametrize("name", ["soil3c_vr", "deadstemc", "tlai", "analogue_cwdc_vr"])
def test_predictions_without_units_are_refused(case: Case, name: str) -> None:
    values = predicted(case) | {"tlai": np.full((4, 17), 2.0)}
    values |= {f"analogue_{pool}": array for pool, array in values.items()}
    write_predictions(case, values, units={name: ""}, flags=np.array([0, 1, 0, 0]))
    refuse(case, "predictions.nc", f"variable {name} has no attribute units", "expected", action="analogue")


def test_predictions_in_other_amounts_are_refused_with_what_to_do(case: Case) -> None:
    for units, factor in (("kgC m-3", "1000"), ("mgC/m^3", "0.001")):
        write_predictions(case, predicted(case), units={"soil3c_vr": units})
        refuse(case, f"soil3c_vr has units '{units}'", "'gC/m^3'", f"convert it: multiply it by {factor}")
    for units in ("gC/m^2", "kgC/m^2", "mgC/cm^3", "MgC/m^3"):
        write_predictions(case, predicted(case), units={"soil3c_vr": units})
        refuse(case, f"soil3c_vr has units '{units}'; expected 'gC/m^3'; convert it")
        with pytest.raises(InputError, match=r"convert it$"):
            case.run()


# -- coordinates of layers and PFTs -----------------------------------------------------------------------

NODES_M = 0.025 * (np.exp(0.5 * (np.arange(1, 11) - 0.5)) - 1.0)


@pytest.fixture(scope="module")
def in_order(tmp_path_factory: pytest.TempPathFactory) -> tuple[Case, bytes]:
    """A case with predictions that take their own order of levels, and the restart that it comes to."""
    case = case_in(tmp_path_factory.mktemp("order"), seed=11, cells=3)
    write_predictions(case, predicted(case))
    assert case.run()["more_below_than_above"] == []
    return case, case.output.read_bytes()


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    layers=st.permutations(range(10)),
    pfts=st.permutations(range(17)),
    named_by=st.sampled_from(["number", "place", "depth", "cm"]),
)
def test_levels_in_any_order_with_their_coordinate_come_to_the_same_restart(
    in_order: tuple[Case, bytes], layers: list[int], pfts: list[int], named_by: str
) -> None:
    case, right = in_order
    write_predictions(case, predicted(case))
    names = {"number": np.arange(1, 11), "place": np.arange(10), "depth": NODES_M, "cm": 100.0 * NODES_M}
    assert case.predictions is not None
    units = {"depth": "m", "cm": "cm"}.get(named_by, "")
    permuted(case.predictions, "levdecomp", np.array(layers), names[named_by], units)
    permuted(case.predictions, "natpft", np.array(pfts), np.arange(17))
    assert case.run()["more_below_than_above"] == []
    assert case.output.read_bytes() == right


@pytest.mark.parametrize(
    ("dimension", "coordinate", "words"),
    [
        (
            "levdecomp",
            np.arange(2, 12),
            "coordinate levdecomp does not name ELM's soil layers: 2, 3, ..., 11",
        ),
        ("levdecomp", np.array([0.01, 0.04, 0.09, 0.16, 0.26, 0.4, 0.58, 0.8, 1.06, 1.36]), "soil layers"),
        ("levdecomp", np.repeat(np.arange(1, 6), 2), "coordinate levdecomp"),
        ("natpft", np.arange(1, 18), "coordinate natpft does not name ELM's PFTs: 1, 2, ..., 17"),
        ("natpft", np.zeros(17), "coordinate natpft"),
    ],
)
def test_other_levels_are_refused_by_name(
    case: Case, dimension: str, coordinate: np.ndarray, words: str
) -> None:
    path = write_predictions(case, predicted(case))
    permuted(path, dimension, np.arange(len(coordinate)), coordinate)
    refuse(case, "predictions.nc", words)


def test_soil_with_more_below_than_above_in_all_cells_is_reported(case: Case, caplog: Any) -> None:
    """Upside down without a coordinate that says so: nothing is certain, but it is worth a word."""
    values = predicted(case)
    falling = 100.0 * np.exp(-0.4 * np.arange(10)) * np.ones((4, 1))
    for name in ("soil3c_vr", "soil4c_vr", "cwdc_vr"):
        values[name] = falling
    values["soil4c_vr"] = falling[:, ::-1]
    values["cwdc_vr"] = np.concatenate([falling[:1], falling[1:, ::-1]])  # one cell as it should be
    write_predictions(case, values)
    with caplog.at_level("WARNING", logger="phase"):
        report = case.run(dry_run=True)
    assert report["more_below_than_above"] == ["soil4c_vr"]
    assert any("soil4c_vr: more carbon in the lower half" in text for text in caplog.messages)


# -- a single point ---------------------------------------------------------------------------------------


def test_a_single_point_whose_files_have_lost_their_dimension_is_injected_alike(tmp_path: Path) -> None:
    case = case_in(tmp_path / "listed", seed=5, cells=1)
    path = write_predictions(case, predicted(case))
    case.run()
    right = case.output.read_bytes()
    surface = squeezed(case.world.surface, tmp_path / "surface.nc", "gridcell")
    case.predictions = squeezed(path, tmp_path / "point.nc", "gridcell")
    case.run(surface=surface)
    assert case.output.read_bytes() == right
    permuted(case.predictions, "levdecomp", np.arange(10)[::-1], np.arange(1, 11))
    case.run(surface=surface)
    assert case.output.read_bytes() == right


def test_a_point_is_no_prediction_for_several_cells(case: Case, tmp_path: Path) -> None:
    one = case_in(tmp_path / "one", seed=11, cells=1)
    path = write_predictions(one, predicted(one))
    case.predictions = squeezed(path, tmp_path / "point.nc", "gridcell")
    refuse(case, "of 4 cells have no partner among its 1 predicted cells")


def test_predictions_in_ad_space_are_refused(case: Case) -> None:
    write_predictions(case, predicted(case), label_space="ad")
    refuse(case, "predictions.nc", "label_space", "normal")


def test_a_surface_file_of_another_grid_is_refused(case: Case, tmp_path: Path) -> None:
    other = make_world(tmp_path / "other", seed=99, cells=4)
    refuse(case, "no partner", surface=other.surface)


def test_missing_variables_are_refused(case: Case, tmp_path: Path) -> None:
    base = case.world.restart
    refuse(case, "soil4p_vr", restart=without(base, tmp_path / "a.nc", "soil4p_vr"))
    refuse(case, "spinup_state", restart=without(base, tmp_path / "b.nc", "spinup_state"))
    refuse(case, "LABILE_P", surface=without(case.world.surface, tmp_path / "c.nc", "LABILE_P"))


def test_missing_sorption_parameters_are_refused(case: Case) -> None:
    refuse(case, "clm_params.nc", "--soil-params", soil_params=None)


def test_sorption_parameters_of_the_parameter_file_stand_in(case: Case) -> None:
    with netCDF4.Dataset(case.world.params, "a") as d:
        d.createDimension("soilorder", 16)
        d.createDimension("levgrnd", 15)
        for name, value in (("VMAX_MINSURF_P_vr", SMAX), ("KM_MINSURF_P_vr", KS)):
            d.createVariable(name, "f8", ("soilorder", "levgrnd"))[:] = value
    report = case.run(soil_params=None)
    labile = raw(case.world.surface, "LABILE_P") / 0.5
    np.testing.assert_allclose(
        case.after("solutionp_vr")[case.world.column, 0], labile * KS / (SMAX - labile), rtol=1e-12
    )
    assert "VMAX_MINSURF_P_vr" in report["conversion"]["sorption_parameters"]


def test_analogues_that_are_missing_are_refused(case: Case) -> None:
    write_predictions(case, predicted(case), flags=np.array([0, 1, 0, 0], dtype=np.int8))
    refuse(case, "analogue_", "is missing", action="analogue")


def test_a_result_that_fails_its_audit_is_not_written_and_a_fault_of_the_base_is_called_so(
    case: Case,
) -> None:
    edit(case.world.restart, "npool", int(case.world.patch[1, 1]), -4.0)
    refuse(case, case.world.restart.name, "npool", "cell 2", "is negative")


def test_base_and_output_may_not_be_one_file(case: Case) -> None:
    with pytest.raises(InputError, match="is an input too"):
        inject(
            case.world.restart,
            case.world.surface,
            case.world.params,
            case.world.soil_params,
            None,
            case.world.restart,
            InjectionSettings(),
            OodSettings(),
            audit=audit_restart,
            mortality_factor=MORTALITY,
        )
