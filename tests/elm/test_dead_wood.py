"""The mortality factor of an AD run shows in its wood, and one that contradicts it is refused."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from phase_lib.base.errors import InputError
from phase_lib.elm.audit.run import audit_restart
from phase_lib.elm.dead_wood import WoodEvidence, read_wood, settle_factor
from phase_lib.elm.parameters import read_parameters
from tests.helpers.restarts import World, copy_of, edit, make_world, raw

DEAD = ("deadstem", "deadcroot")


def wood_of(restart: Path, params: Path) -> WoodEvidence:
    wood = read_wood(restart, read_parameters(params))
    assert wood is not None
    return wood


def scale_dead_wood(restart: Path, factor: float) -> None:
    for organ in DEAD:
        for element in "cnp":
            edit(restart, f"{organ}{element}", ..., raw(restart, f"{organ}{element}") * factor)


def grown(world: World, factor: float) -> None:
    """Gives trees and shrubs the height that the model computes from their stems times a factor."""
    pft = raw(world.restart, "pfts1d_itypveg")
    taper = np.where(np.isin(pft, (9, 10, 11)), 10.0, 200.0)
    stem = np.minimum(raw(world.restart, "deadstemc"), 1.0e6) * factor
    edit(world.restart, "htop", ..., np.maximum(np.cbrt(3.0 * stem * taper**2 / (np.pi * 0.1 * 2.5e5)), 0.01))


def test_canopy_height_of_a_real_run_gives_its_factor(elm_sample: Path) -> None:
    wood = wood_of(elm_sample / "ad20.elm.r.0021-01-01-00000.nc", elm_sample / "clm_params_c211124.nc")
    assert wood.by_height == pytest.approx(10.0, rel=2e-3)
    assert [factor for factor in (1.0, 2.0, 5.0, 10.0, 20.0) if not wood.contradicts(factor)] == [10.0]


def test_dead_wood_beside_live_wood_tells_1_and_10_apart_in_a_real_run(
    elm_sample: Path, tmp_path: Path
) -> None:
    params = elm_sample / "clm_params_c211124.nc"
    restart = copy_of(elm_sample / "ad20.elm.r.0021-01-01-00000.nc", tmp_path)
    edit(restart, "htop", ..., 10.0)
    wood = wood_of(restart, params)
    assert (wood.by_height, wood.likely) == (None, 10.0)
    assert wood.contradicts(1.0)
    assert not wood.contradicts(10.0)
    scale_dead_wood(restart, 10.0)
    wood = wood_of(restart, params)
    assert wood.likely == 1.0
    assert wood.contradicts(10.0)
    assert not wood.contradicts(1.0)


@pytest.mark.parametrize("factor", [1.0, 4.0, 10.0])
def test_heights_that_agree_give_any_factor(tmp_path: Path, factor: float) -> None:
    world = make_world(tmp_path, cells=8)
    scale_dead_wood(world.restart, 10.0 / factor)
    grown(world, factor)
    wood = wood_of(world.restart, world.params)
    assert wood.by_height == pytest.approx(factor, rel=2e-3)
    assert not wood.contradicts(factor)
    assert wood.contradicts(2.0 * factor)
    assert wood.contradicts(0.5 * factor)


def test_young_wood_speaks_against_no_factor_that_explains_it(tmp_path: Path) -> None:
    # After one year, dead wood is far below its equilibrium in either mode.
    world = make_world(tmp_path, cells=8, year=2)
    scale_dead_wood(world.restart, 0.2)
    wood = wood_of(world.restart, world.params)
    assert [wood.contradicts(factor) for factor in (1.0, 10.0)] == [False, False]


def test_a_restart_without_wood_is_judged_by_nothing_and_that_is_said(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    for organ in ("live", "dead"):
        for part in ("stem", "croot"):
            edit(world.restart, f"{organ}{part}c", ..., 0.0)
    wood = wood_of(world.restart, world.params)
    assert settle_factor(world.restart, None, wood) == (
        10.0,
        "assumed; too little wood, or too few parameters, to judge it by",
    )


def test_the_usual_factor_is_not_assumed_where_the_wood_does_not_show_it(tmp_path: Path) -> None:
    world = make_world(tmp_path, cells=8, year=2)
    scale_dead_wood(world.restart, 0.2)
    young = wood_of(world.restart, world.params)
    few = replace(young, patches=0, share=math.nan, trees=2)
    for wood in (young, few):
        with pytest.raises(
            InputError, match=r"is not given, and the wood does not show it: .*--mortality-factor"
        ):
            settle_factor(world.restart, None, wood)
        assert [settle_factor(world.restart, given, wood)[0] for given in (1.0, 10.0)] == [1.0, 10.0]


def test_a_restart_in_normal_mode_needs_no_factor(tmp_path: Path) -> None:
    world = make_world(tmp_path, state=0)
    assert read_wood(world.restart, read_parameters(world.params)) is None


def test_the_refusal_names_file_factor_and_what_to_give(tmp_path: Path) -> None:
    world = make_world(tmp_path, cells=8)
    scale_dead_wood(world.restart, 10.0)
    wood = wood_of(world.restart, world.params)
    with pytest.raises(InputError) as raised:
        settle_factor(world.restart, None, wood)
    line = str(raised.value)
    assert line.startswith(f"{world.restart}: spinup_mortality_factor is assumed as 10")
    assert "dead : live wood" in line
    assert "goes with 1;" in line
    assert "--lnd-in" in line


@pytest.mark.parametrize(("factor", "errors"), [(None, 0), (10.0, 0), (1.0, 1)])
def test_the_audit_holds_a_given_factor_against_the_wood(
    tmp_path: Path, factor: float | None, errors: int
) -> None:
    world = make_world(tmp_path, cells=8)
    audit_errors = audit_restart(world.restart, world.surface, world.params, factor).errors
    assert len(audit_errors) == errors
    assert all((f.code, f.value) == ("mortality-factor-other", factor) for f in audit_errors)
