"""Into and out of accelerated decomposition: the model's rule, with the documented and measured numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from phase_lib.base.errors import InputError
from phase_lib.config.injection import InjectionSettings
from phase_lib.elm.parameters import read_parameters, read_soil_order_parameters
from phase_lib.elm.spinup import (
    ad_run,
    design_multipliers,
    exit_multiplier,
    lift_ppool,
    mineral_p,
    solution_p,
)
from phase_lib.elm.variables import SOIL_POOL_INDEX, SOIL_POOLS
from phase_lib.injection.rules import keep_leaves, langmuir_partition, litter_nutrient, supplied_mineral_p
from tests.helpers.restarts import F, write_parameters, write_soil_parameters


def test_the_factors_are_the_documented_ones(elm_sample: Path) -> None:
    parameters = read_parameters(elm_sample / "clm_params_c211124.nc")
    factors = parameters.ad_factors()
    assert {name: factor for name, factor in factors.items() if factor > 1.0} == pytest.approx(F, rel=1e-8)
    assert [factors[name] for name in ("litr1", "litr2", "litr3", "soil1", "soil2")] == [1.0] * 5


def test_soil_ratios_are_the_documented_ones(elm_sample: Path) -> None:
    parameters = read_parameters(elm_sample / "clm_params_c211124.nc")
    ratios = {p.name: parameters.soil_ratios(p) for p in SOIL_POOLS if p.name.startswith("soil")}
    assert ratios == {"soil1": (12, 360), "soil2": (12, 360), "soil3": (10, 500), "soil4": (10, 500)}
    with pytest.raises(InputError, match="cwd"):
        parameters.soil_ratios(SOIL_POOLS[SOIL_POOL_INDEX["cwd"]])


def test_up_to_the_start_of_model_year_40_f_alone_converts(tmp_path: Path) -> None:
    parameters = read_parameters(write_parameters(tmp_path / "params.nc"))
    # The mean scalar of a year-21 file is a twentieth of itself.
    scalar = np.full((2, 10), 0.01)
    for year in (1, 21, 39, 40):
        multipliers = design_multipliers(parameters, year, scalar)
        assert multipliers["soil4"] == pytest.approx(np.full((2, 10), F["soil4"]), rel=1e-8)
    late = design_multipliers(parameters, 41, scalar * 20.0)
    assert late["soil4"] == pytest.approx(np.full((2, 10), F["soil4"] / 0.2), rel=1e-8)
    assert np.all(late["soil2"] == 1.0)


def test_the_models_own_exit_at_year_21_multiplies_by_thousands() -> None:
    # Measured: 0.0014 to 0.030 in the file multiplied soil4 by 920 to 20,000.
    multiplier = exit_multiplier(F["soil4"], np.array([0.030, 0.00136]))
    assert multiplier == pytest.approx([913.2, 20144.0], rel=1e-3)


def test_fill_in_the_mean_scalar_counts_as_one(tmp_path: Path) -> None:
    parameters = read_parameters(write_parameters(tmp_path / "params.nc"))
    multipliers = design_multipliers(parameters, 100, np.full((1, 10), 1.0e36))
    assert multipliers["cwd"] == pytest.approx(np.full((1, 10), F["cwd"]), rel=1e-8)


def test_mineral_p_is_the_map_over_half_a_metre(tmp_path: Path) -> None:
    table = read_soil_order_parameters(write_soil_parameters(tmp_path / "cnp.nc", 100.0, 6.0))
    maps = {"LABILE_P": 10.0, "SECONDARY_P": 20.0, "OCCLUDED_P": 60.0, "APATITE_P": 30.0}
    pools = mineral_p({name: np.array([value]) for name, value in maps.items()}, np.array([5.0]), table)
    expected = {
        "labilep": 20.0,
        "secondp": 40.0,
        "occlp": 120.0,
        "primp": 60.0,
        "solutionp": 20.0 * 6.0 / 80.0,
    }
    assert {name: float(value[0]) for name, value in pools.items()} == pytest.approx(expected)


def test_solution_p_of_the_model_is_negative_above_capacity_and_ours_never() -> None:
    labile, smax, ks = np.array([10.0, 49.0, 50.0, 80.0]), np.full(4, 50.0), np.full(4, 5.0)
    assert solution_p(labile[3], smax[3], ks[3]) < 0.0
    maps = {"LABILE_P": labile / 2, "SECONDARY_P": labile, "OCCLUDED_P": labile, "APATITE_P": labile}
    pools, replaced = supplied_mineral_p(maps, smax, ks)
    assert replaced.tolist() == [False, True, True, True]
    assert np.all(pools["solutionp"] >= 0.0)
    assert np.all(pools["labilep"] < smax)
    assert pools["labilep"][0] == 10.0
    assert pools["solutionp"][0] == pytest.approx(10.0 * 5.0 / 40.0)
    assert (pools["labilep"] + pools["solutionp"])[1:] == pytest.approx(labile[1:], rel=1e-12)


def test_the_partition_of_p_is_langmuir_equilibrium_from_none_to_plenty() -> None:
    total = np.array([0.0, 1e-9, 1.0, 100.0, 1e6])
    solution, labile = langmuir_partition(total, np.full(5, 50.0), np.full(5, 5.0))
    assert solution + labile == pytest.approx(total)
    assert labile == pytest.approx(50.0 * solution / (5.0 + solution), rel=1e-6, abs=1e-12)
    assert np.all((solution >= 0.0) & (labile >= 0.0))


def test_ppool_is_lifted_to_leafp_else_to_its_storage() -> None:
    ppool, leafp, storage = (
        np.array([0.1, 0.5, 2.0, 0.1]),
        np.array([0.4, 0.4, 0.4, 0.0]),
        np.array([9.0, 1.0, 1.0, 0.3]),
    )
    assert lift_ppool(ppool, leafp, storage).tolist() == [0.4, 1.0, 2.0, 0.3]


def test_empty_litter_layers_take_the_ratio_of_a_cold_start() -> None:
    carbon, base_c, base_n = np.array([9.0, 9.0, 9.0]), np.array([10.0, 0.0, 5.0]), np.array([0.25, 0.0, 0.0])
    nitrogen, met = litter_nutrient(carbon, base_c, base_n, 90.0, 10.0, 1000.0)
    assert nitrogen.tolist() == pytest.approx([9.0 / 40.0, 0.1, 0.1])
    assert met == 0


def test_leaves_are_kept_for_evergreens_and_against_death() -> None:
    base = (np.array([50.0, 50.0, 0.0, 0.0]), np.array([10.0, 10.0, 60.0, 60.0]), np.zeros(4))
    new = (np.array([0.5, 0.5, 0.0, 0.0]), np.array([20.0, 20.0, 70.0, 0.0]), np.zeros(4))
    evergreen = np.array([True, False, False, False])
    (display, storage, _), kept = keep_leaves(base, new, evergreen, InjectionSettings())
    assert display.tolist() == [50.0, 0.5, 0.0, 0.0]
    assert storage.tolist() == [20.0, 20.0, 70.0, 60.0]
    assert kept.tolist() == [True, False, False, True]


@pytest.mark.parametrize(
    ("start", "year", "words"),
    [
        (1, 21, ["begun in 0001", "not divided by scalaravg_col before 0040", "F alone"]),
        (0, 40, ["begun in 0000", "F alone"]),
        (30, 40, ["begun in 0030", "F alone"]),
        (None, 21, ["unknown beginning", "F alone"]),
        (1, 401, ["the mean of 0020 to 0039", "from 0040 on", "F / scalaravg_col"]),
        (20, 401, ["the mean of 0020 to 0039", "from 0040 on"]),
        (30, 50, ["a mean of 0030 to 0039 alone", "from 0040 on", "F / scalaravg_col"]),
        (1850, 1870, ["begun in 1850", "no mean of the run", "from 1850 on", "F / scalaravg_col"]),
    ],
)
def test_what_the_averaged_scalar_allows_depends_on_the_year_in_which_ad_began(
    start: int | None, year: int, words: list[str]
) -> None:
    said = ad_run(start, year)
    assert [word for word in words if word not in said] == []
