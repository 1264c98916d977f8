"""Carbon isotopes and other pools beside the registry: their names, and what the audit says of them."""

from __future__ import annotations

from pathlib import Path

import netCDF4
import numpy as np
import pytest

from phase_lib.elm.audit.findings import AuditReport
from phase_lib.elm.audit.run import audit_restart
from phase_lib.elm.other_pools import ISOTOPES, other_pools, twin_of, twins_among
from tests.helpers.isotopes import TWINS, add_isotope, add_variable
from tests.helpers.restarts import World, edit, make_world, raw

C13, C14 = ISOTOPES


def audit(world: World) -> AuditReport:
    return audit_restart(world.restart, world.surface, world.params)


@pytest.mark.parametrize(
    ("pool", "twin"),
    [
        ("soil3c_vr", "soil3c_13_vr"),
        ("cwdc_vr", "cwdc_13_vr"),
        ("deadstemc", "deadstemc_13"),
        ("deadstemc_storage", "deadstemc_storage_13"),
        ("leafc_xfer", "leafc_xfer_13"),
        ("xsmrpool", "xsmrpool_13"),
        ("totvegc", "totvegc_13"),
        ("totlitc", "totlitc_13"),
        ("prod100c", "prod100c_13"),
        ("pft_ctrunc", "pft_ctrunc_13"),
        ("col_ctrunc_vr", "col_ctrunc_c13_vr"),
    ],
)
def test_a_twin_has_the_name_that_the_model_gives_it(pool: str, twin: str) -> None:
    assert twin_of(pool, C13).name == twin
    assert twin_of(pool, C14).name == twin.replace("13", "14")
    assert [isotope.name for isotope in twins_among({pool, twin})[pool]] == [twin]


def test_start_ratios_are_those_of_plants_of_28_and_13_per_mil_below_the_standard() -> None:
    # 13C / 12C of the standard is 0.0112372; a share of all carbon is R / (1 + R).
    assert pytest.approx(0.0109225584 / 1.0109225584) == C13.start
    assert pytest.approx(0.0110911164 / 1.0110911164) == C13.start_c4
    assert (C14.start, C14.start_c4) == (1.0e-12, 1.0e-12)


def test_a_restart_of_the_model_holds_no_pool_that_is_unknown(elm_sample: Path) -> None:
    with netCDF4.Dataset(elm_sample / "ad20.elm.r.0021-01-01-00000.nc") as d:
        dims = {name: v.dimensions for name, v in d.variables.items() if v.dtype.kind == "f"}
    others = other_pools(dims)
    assert others.unknown == ()
    assert {"prod10c", "seedn", "totcolp", "col_ctrunc_vr", "plant_p_buffer"} <= set(others.kept)


@pytest.mark.parametrize("name", ["soil5c_vr", "litr4n_vr", "biocharp_vr", "cwdx_13_vr"])
def test_layers_that_no_rule_knows_are_noted_with_the_first_place_that_holds_something(
    tmp_path: Path, name: str
) -> None:
    world = make_world(tmp_path)
    layers = np.zeros(raw(world.restart, "soil3c_vr").shape)
    layers[world.column[1], 4] = 2.5
    add_variable(world.restart, name, ("column", "levgrnd"), layers)
    (note,) = [finding for finding in audit(world).findings if finding.variable == name]
    assert (note.severity, note.cell, note.value) == ("note", 2, 2.5)
    assert "looks like a pool" in note.line()


@pytest.mark.parametrize("name", ["rhizomec", "fruitn_storage", "nscpool", "barkc_14", "deadstemc13"])
def test_plant_pools_that_no_rule_knows_are_noted_even_where_they_are_empty(
    tmp_path: Path, name: str
) -> None:
    world = make_world(tmp_path)
    add_variable(world.restart, name, ("pft",), np.zeros(len(raw(world.restart, "leafc"))))
    (note,) = [finding for finding in audit(world).findings if finding.variable == name]
    assert note.severity == "note"
    assert note.value == 0.0


@pytest.mark.parametrize("name", ["grainc", "cropseedn_deficit", "prod10c", "seedp", "annsum_npp", "htop_pc"])
def test_what_the_model_leaves_alone_and_what_is_no_pool_is_not_noted(tmp_path: Path, name: str) -> None:
    world = make_world(tmp_path)
    dims, like = (("column",), "cols1d_wtxy") if name[0] in "ps" else (("pft",), "leafc")
    if name != "htop_pc":
        add_variable(world.restart, name, dims, np.ones(len(raw(world.restart, like))))
    assert name not in {finding.variable for finding in audit(world).findings}


def test_isotopes_in_nature_s_proportion_are_no_finding(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    before = audit(world).lines()
    add_isotope(world.restart, "13", 0.0110)
    add_isotope(world.restart, "14", 0.9e-12)
    assert audit(world).lines() == before


@pytest.mark.parametrize(
    ("pool", "factor"), [("soil3c_vr", 1.955577), ("cwdc_vr", 1.369178), ("deadstemc", 10.0)]
)
def test_a_pool_multiplied_without_its_13c_is_an_error(tmp_path: Path, pool: str, factor: float) -> None:
    world = make_world(tmp_path)
    add_isotope(world.restart, "13", 0.0110)
    twin = TWINS["13"][pool]
    edit(world.restart, twin, ..., raw(world.restart, twin) / factor)
    (error,) = [finding for finding in audit(world).errors if finding.variable == twin]
    assert error.value == pytest.approx(0.0110 / factor)
    assert "share" in error.line()


def test_dead_wood_multiplied_without_its_14c_is_an_error(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    add_isotope(world.restart, "14", 1.0e-12)
    edit(world.restart, "deadcrootc_14", ..., raw(world.restart, "deadcrootc_14") / 10.0)
    (error,) = [finding for finding in audit(world).errors if finding.variable == "deadcrootc_14"]
    assert error.value == pytest.approx(0.1)


def test_14c_as_old_as_soil_gets_is_no_error(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    add_isotope(world.restart, "14", 1.0e-12)
    edit(world.restart, "soil4c_14_vr", ..., raw(world.restart, "soil4c_14_vr") * 0.05)
    assert [finding for finding in audit(world).errors if "_14" in finding.variable] == []


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (np.nan, "is not a finite number"),
        (1.0e36, "is fill in an active place"),
        (-3.0, "is negative"),
        (1.0e6, "is more than all carbon of its pool"),
    ],
)
def test_a_single_bad_value_of_an_isotope_is_an_error_that_names_it(
    tmp_path: Path, value: float, problem: str
) -> None:
    world = make_world(tmp_path)
    add_isotope(world.restart, "13", 0.0110)
    edit(world.restart, "soil4c_13_vr", (world.column[2], 3), value)
    (error,) = [finding for finding in audit(world).errors if finding.variable == "soil4c_13_vr"]
    assert (error.cell, error.layer) == (3, 4)
    assert problem in error.line()


def test_a_pool_without_its_isotope_beside_others_that_have_it_is_noted_once(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    add_isotope(world.restart, "13", 0.0110, without=("cpool", "soil4c_vr"))
    (note,) = [finding for finding in audit(world).notes if "_13" in finding.variable]
    assert (note.code, note.variable, note.further) == ("isotope-missing", "cpool_13", 1)
