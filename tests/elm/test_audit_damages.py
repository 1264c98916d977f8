"""Every damage that a real restart was given, and what the audit says of it.

Each was done to a real AD restart, or to what leaving AD properly makes of it, and given to ELM, which ran on
with most of them: nothing that ELM swallows may get by.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import netCDF4
import numpy as np
import pytest

from phase_lib.base.errors import InputError
from phase_lib.elm.audit.findings import AuditReport, Finding
from phase_lib.elm.audit.run import audit_restart
from tests.helpers.exit_ad import (
    ACCELERATED,
    DEAD_WOOD,
    Layout,
    accelerations,
    add_totals,
    leave_ad,
    lifted,
    mapped_p,
)
from tests.helpers.layouts import RESTART, contents, crop_surface, cut, with_crop_landunit
from tests.helpers.restarts import FILL, MORTALITY, ORGANS, SOIL_POOLS, STAGES, copy_of, hide, shuffled

pytestmark = pytest.mark.slow

ELEMENTS = "cnp"
SOM = ("soil1", "soil2", "soil3", "soil4")
#: A column and a tree of the first cell (amazon), whose rows come first in the sample.
COLUMN, TREE = 0, 4


@dataclass
class Patient:
    """A copy of a real restart to be damaged."""

    path: Path
    sample: Path
    surface: Path

    @property
    def params(self) -> Path:
        """Parameter file of the run."""
        return self.sample / "clm_params_c211124.nc"

    def on_file(self) -> dict[str, np.ndarray]:
        """Every variable as it is now."""
        return contents(self.path)

    def write(self, values: dict[str, np.ndarray]) -> None:
        with netCDF4.Dataset(self.path, "r+") as d:
            d.set_auto_maskandscale(False)
            for name, value in values.items():
                d[name][...] = value

    def set(self, name: str, index: object, value: float) -> None:
        with netCDF4.Dataset(self.path, "r+") as d:
            d[name][index] = value

    def scale(self, factor: float, *names: str) -> None:
        on_file = self.on_file()
        self.write({name: on_file[name] * factor for name in names})

    def normal_state(self) -> dict[str, np.ndarray]:
        """What leaving AD properly makes of it, by the oracle."""
        on_file = self.on_file()
        mineral = mapped_p(on_file, self.surface, self.sample / "CNP_parameters_c180529.nc")
        return leave_ad(on_file, self.params, mineral, MORTALITY)

    def exit_by_the_model(self) -> None:
        """What ELM makes of it when it starts in normal mode: F over the scalar on file, in any year."""
        on_file, state = self.on_file(), self.normal_state()
        layout = Layout.from_content(on_file)
        for pool, factor in accelerations(self.params).items():
            for element in ELEMENTS:
                name = f"{pool}{element}_vr"
                state[name] = on_file[name].copy()
                for c in layout.runs:
                    state[name][c, :10] *= factor / on_file["scalaravg_col"][c, :10]
        del state["scalaravg_col"]
        add_totals(on_file, state)
        self.write(state)

    def audit(self) -> AuditReport:
        return audit_restart(self.path, self.surface, self.params)


@pytest.fixture
def ad(elm_sample: Path, tmp_path: Path) -> Patient:
    """The sample's restart of AD year 21."""
    return Patient(copy_of(elm_sample / RESTART, tmp_path), elm_sample, elm_sample / "surfdata.biomes.1d.nc")


@pytest.fixture
def normal(ad: Patient) -> Patient:
    """The same, taken to normal mode properly."""
    ad.write(ad.normal_state())
    return ad


def variables(findings: list[Finding]) -> set[str]:
    return {finding.variable for finding in findings}


def som(element: str) -> list[str]:
    return [f"{pool}{element}_vr" for pool in SOM]


def every_som() -> list[str]:
    return [name for element in ELEMENTS for name in som(element)]


def plant_carbon() -> list[str]:
    return [f"{organ}c{stage}" for organ in ORGANS for stage in STAGES]


def refresh_totals(patient: Patient) -> None:
    """Totals of the pools as they are now, so that stale totals give nothing away."""
    on_file = patient.on_file()
    stale = {name: values + 1.0 for name, values in on_file.items() if name.endswith("_vr")}
    state = {name: on_file[name] for name in stale}
    add_totals({**on_file, **stale}, state)
    patient.write({name: state[name] for name in state if name.startswith("tot")})


# -- what is whole ------------------------------------------------------------------------------------------


def test_the_undamaged_ad_restart_has_notes_of_what_ad_is_and_no_error(ad: Patient) -> None:
    report = ad.audit()
    assert report.errors == []
    # ELM's P of dead wood strays, `ppool` and the averaged scalar are what AD year 21 has.
    assert variables(report.notes) <= {"deadstemp", "deadcrootp", "ppool", "scalaravg_col"}
    assert audit_restart(ad.path).errors == []


def test_the_undamaged_restart_in_normal_mode_has_no_error(normal: Patient) -> None:
    report = normal.audit()
    assert report.errors == []
    assert variables(report.notes) <= {"deadstemp", "deadcrootp"}
    assert audit_restart(normal.path).errors == []


def test_a_sound_restart_has_no_error_whatever_its_layout(elm_sample: Path, tmp_path: Path) -> None:
    crops = with_crop_landunit(elm_sample / RESTART, tmp_path / "crops.nc")
    surface = crop_surface(elm_sample / "surfdata.biomes.1d.nc", tmp_path / "surface.nc")
    mixed = Patient(shuffled(crops, tmp_path / "mixed.nc"), elm_sample, surface)
    assert mixed.audit().errors == []
    mixed.write(mixed.normal_state())
    assert mixed.audit().errors == []


def test_a_mean_scalar_of_year_401_and_its_exit_have_no_error(ad: Patient) -> None:
    """A finished mean, twenty times that of year 21, and pools that AD kept small by it."""
    on_file = ad.on_file()
    scalar = np.where(on_file["scalaravg_col"] < 1e35, np.minimum(20.0 * on_file["scalaravg_col"], 1.0), FILL)
    runs = Layout.from_content(on_file).runs
    small = {}
    for pool in ACCELERATED:
        for element in ELEMENTS:
            name = f"{pool}{element}_vr"
            small[name] = on_file[name].copy()
            small[name][runs] *= scalar[runs]
    ad.write({**small, "scalaravg_col": scalar, "timemgr_rst_curr_ymd": np.array(4010101)})
    refresh_totals(ad)
    assert ad.audit().errors == []
    ad.write(ad.normal_state())
    assert ad.audit().errors == []


# -- what ELM swallows --------------------------------------------------------------------------------------


def set_tree(name: str, value: float) -> Callable[[Patient], None]:
    return lambda patient: patient.set(name, TREE, value)


def shift_weight(patient: Patient) -> None:
    patient.set("pfts1d_wtcol", TREE, patient.on_file()["pfts1d_wtcol"][TREE] + 1e-9)


def set_layer(name: str, value: float, layer: int = 2) -> Callable[[Patient], None]:
    return lambda patient: patient.set(name, (COLUMN, layer), value)


def drop(*names: str) -> Callable[[Patient], None]:
    return lambda patient: hide(patient.path, *names)


def scaled(factor: float, *names: str) -> Callable[[Patient], None]:
    return lambda patient: patient.scale(factor, *names)


def som_tenfold_with_its_totals(patient: Patient) -> None:
    patient.scale(10.0, *every_som())
    refresh_totals(patient)


SWALLOWED: dict[str, tuple[Callable[[Patient], None], str]] = {
    "NaN in one layer of soil3c_vr": (set_layer("soil3c_vr", np.nan), "soil3c_vr"),
    "leafc is negative": (set_tree("leafc", -5.0), "leafc"),
    "soil3c_vr is negative": (set_layer("soil3c_vr", -50.0), "soil3c_vr"),
    "soil3n_vr is negative": (set_layer("soil3n_vr", -5.0), "soil3n_vr"),
    "npool is negative": (set_tree("npool", -1.0), "npool"),
    "ppool is negative": (set_tree("ppool", -1.0), "ppool"),
    "smin_no3_vr is negative": (set_layer("smin_no3_vr", -0.1), "smin_no3_vr"),
    "C:N of soil3 is doubled": (scaled(0.5, "soil3n_vr"), "soil3n_vr"),
    "leaves have four times their N": (scaled(4.0, "leafn"), "leafn"),
    "no vegetation has any carbon": (scaled(0.0, *plant_carbon()), "leafn"),
    "SOM is tenfold": (scaled(10.0, *every_som()), "soil2c_vr"),
    "SOM is tenfold and its totals agree": (som_tenfold_with_its_totals, "soil2c_vr"),
    "leafc_storage is missing": (drop("leafc_storage"), "leafc_storage"),
    "ppool is missing": (drop("ppool"), "ppool"),
    "spinup_state is missing": (drop("spinup_state"), "spinup_state"),
}


@pytest.mark.parametrize("damage", SWALLOWED)
@pytest.mark.parametrize("mode", ["ad", "normal"])
@pytest.mark.parametrize("files", ["with", "without"])
def test_what_elm_swallows_is_an_error(
    request: pytest.FixtureRequest, mode: str, damage: str, files: str
) -> None:
    patient: Patient = request.getfixturevalue(mode)
    harm, variable = SWALLOWED[damage]
    harm(patient)
    report = patient.audit() if files == "with" else audit_restart(patient.path)
    assert variable in variables(report.errors)


def test_a_missing_averaged_scalar_is_an_error_where_elm_needs_it(ad: Patient) -> None:
    hide(ad.path, "scalaravg_col")
    assert variables(ad.audit().errors) == {"scalaravg_col"}


def test_a_missing_averaged_scalar_is_a_note_in_normal_mode(normal: Patient) -> None:
    hide(normal.path, "scalaravg_col")
    report = normal.audit()
    assert report.errors == []
    assert "scalaravg_col" in variables(report.notes)


@pytest.mark.parametrize("name", ["totsomc", "totlitc", "totsomp", "totlitp", "totvegc"])
def test_totals_that_are_stale_or_missing_are_notes_as_elm_computes_them_again(
    ad: Patient, name: str
) -> None:
    ad.scale(1.5, name)
    stale = ad.audit()
    hide(ad.path, name)
    missing = ad.audit()
    for report in (stale, missing):
        assert report.errors == []
        assert name in variables(report.notes)


# -- the wrong space ----------------------------------------------------------------------------------------


def test_ad_pools_under_a_flag_set_to_normal_are_an_error(ad: Patient) -> None:
    ad.set("spinup_state", ..., 0)
    assert {"soil4c_vr", "deadstemc", "deadcrootc", "scalaravg_col"} <= variables(ad.audit().errors)


def test_normal_pools_under_the_flag_of_ad_are_an_error(normal: Patient) -> None:
    """ELM would multiply them once more: soil4 by 27, and by the averaged scalar's inverse."""
    normal.set("spinup_state", ..., 1)
    report = normal.audit()
    assert variables(report.errors) == {"soil4c_vr"}
    assert {"deadstemc", "deadcrootc"} <= variables(report.notes)
    assert report.errors[0].code == "soil4-already-normal"


def test_soil_alone_in_normal_space_under_the_flag_of_ad_is_an_error(ad: Patient) -> None:
    state = ad.normal_state()
    ad.write({name: state[name] for name in state if name.endswith("_vr")})
    assert variables(ad.audit().errors) == {"soil4c_vr"}


def test_a_cold_start_of_ad_is_not_taken_for_normal_mode(ad: Patient) -> None:
    """It begins with 10 gC m-3 of soil4 and hardly any soil3."""
    on_file = ad.on_file()
    state = {}
    for name in every_som():
        ratio = {"c": 1.0, "n": 10.0, "p": 500.0}[name[5]]
        state[name] = np.zeros_like(on_file[name])
        if name.startswith("soil4"):
            state[name][Layout.from_content(on_file).soil, :10] = 10.0 / ratio
    ad.write({**state, "timemgr_rst_curr_ymd": np.array(20101)})
    refresh_totals(ad)
    assert ad.audit().errors == []


def unfinished_scalar_on_file(patient: Patient) -> None:
    patient.exit_by_the_model()


def clock_set_to_year_401(patient: Patient) -> None:
    patient.exit_by_the_model()
    patient.set("timemgr_rst_curr_ymd", ..., 4010101)


def clock_set_and_scalar_reset(patient: Patient) -> None:
    clock_set_to_year_401(patient)
    patient.set("scalaravg_col", ..., 1.0)


@pytest.mark.parametrize(
    ("harm", "reported"),
    [
        (unfinished_scalar_on_file, {"scalaravg_col", "totsomc"}),
        (clock_set_to_year_401, {"totsomc"}),
        (clock_set_and_scalar_reset, {"totsomc"}),
    ],
)
def test_ad_left_at_year_21_by_an_unfinished_mean_scalar_is_an_error(
    ad: Patient, harm: Callable[[Patient], None], reported: set[str]
) -> None:
    """ELM made 613 kgC m-2 of 0.99 and ran on."""
    harm(ad)
    on_file = ad.on_file()
    soil = Layout.from_content(on_file).soil
    assert 5.0e5 < on_file["totsomc"][soil].mean() < 7.0e5
    assert reported <= variables(ad.audit().errors)


def test_one_cell_with_more_carbon_than_peat_is_a_note_and_with_more_than_any_soil_an_error(
    normal: Patient,
) -> None:
    on_file = normal.on_file()
    stock = on_file["totsomc"][COLUMN]
    for most, severity in ((3.0e5, "notes"), (2.0e6, "errors")):
        state = {}
        for name in every_som():
            if name.startswith(("soil3", "soil4")):
                state[name] = on_file[name].copy()
                state[name][COLUMN] *= most / stock
        normal.write(state)
        refresh_totals(normal)
        report = normal.audit()
        findings = [f for f in getattr(report, severity) if f.variable == "totsomc" and f.cell == 1]
        assert len(findings) == 1
        if severity == "notes":
            assert report.errors == []


# -- what ELM refuses ---------------------------------------------------------------------------------------


REFUSED: dict[str, tuple[Callable[[Patient], None], str]] = {
    "leafc is fill": (set_tree("leafc", FILL), "leafc"),
    "a soil pool is fill": (set_layer("soil1c_vr", FILL), "soil1c_vr"),
    "leafc is NaN": (set_tree("leafc", np.nan), "leafc"),
    "patch weights miss 1": (shift_weight, "pfts1d_wtcol"),
    **{
        f"{pool}{element}_vr is missing": (drop(f"{pool}{element}_vr"), f"{pool}{element}_vr")
        for pool in SOIL_POOLS
        for element in ELEMENTS
    },
}


@pytest.mark.parametrize("damage", REFUSED)
def test_what_elm_refuses_without_naming_it_is_an_error_that_names_it(ad: Patient, damage: str) -> None:
    harm, variable = REFUSED[damage]
    harm(ad)
    assert variable in variables(ad.audit().errors)


@pytest.mark.parametrize(
    ("dimension", "size"),
    [("levgrnd", 10), ("levurb", 4), ("levlak", 9), ("levsno", 4), ("levtot", 15), ("levsno1", 5)],
)
def test_levels_of_another_number_are_an_error(
    ad: Patient, dimension: str, size: int, tmp_path: Path
) -> None:
    short = cut(ad.path, tmp_path / "short.nc", dimension, size)
    errors = audit_restart(short).errors
    assert {name for name in variables(errors) if name.startswith("lev")} & {dimension, "levtot", "levsno1"}


@pytest.mark.parametrize(
    ("dimension", "size"),
    [("gridcell", 23), ("topounit", 23), ("landunit", 98), ("column", 380), ("pft", 770)],
)
def test_cells_landunits_columns_or_patches_that_are_missing_are_reported(
    ad: Patient, dimension: str, size: int, tmp_path: Path
) -> None:
    """Either as an error of the audit, or, where cells cannot be distinguished any more, by a refusal."""
    short = cut(ad.path, tmp_path / "short.nc", dimension, size)
    try:
        named = {finding.variable for finding in audit_restart(short).errors}
    except InputError as error:
        named = {word for word in ("gridcell", "column") if f"{word}_index" in str(error)}
    assert named & {dimension, "column", "land1d_topounit_index", "cols1d_landunit_index"}


def test_a_dimension_that_is_gone_is_an_error(ad: Patient) -> None:
    hide(ad.path, dimension="levlak")
    assert variables(ad.audit().errors) == {"levlak"}


# -- what is carried and never used -------------------------------------------------------------------------


def test_values_on_patches_without_cover_are_not_looked_at(ad: Patient) -> None:
    on_file = ad.on_file()
    bare = np.flatnonzero((on_file["pfts1d_ityplun"] == 1) & (on_file["pfts1d_wtcol"] == 0.0))
    for name, value in (("leafc", -5.0), ("npool", np.nan), ("deadstemc", FILL), ("ppool", -1.0)):
        ad.set(name, bare, value)
    assert ad.audit().errors == []


@pytest.mark.parametrize("name", ["soil4n_vr", "litr1p_vr", "cwdc_vr", "smin_nh4_vr"])
def test_values_below_the_active_layers_are_notes(ad: Patient, name: str) -> None:
    ad.set(name, (COLUMN, 12), 3.0)
    report = ad.audit()
    assert report.errors == []
    assert name in variables(report.notes)


@pytest.mark.parametrize("kind", [5, 6, 3, 8])
def test_columns_without_biogeochemistry_are_not_looked_at(ad: Patient, kind: int) -> None:
    column = int(np.flatnonzero(ad.on_file()["cols1d_ityplun"] == kind)[0])
    ad.set("soil3c_vr", column, np.nan)
    ad.set("labilep_vr", column, -1.0)
    assert ad.audit().errors == []


def test_the_lift_of_ppool_is_what_the_oracle_says_it_is(ad: Patient) -> None:
    """The undamaged file would hide a lift that lifts nothing."""
    on_file = ad.on_file()
    layout = Layout.from_content(on_file)
    raised = lifted(on_file["ppool"].copy(), on_file, layout)
    assert np.count_nonzero(raised != on_file["ppool"]) > 5
    assert set(DEAD_WOOD) <= set(ad.normal_state())
