"""Where the soil of an AD run leads, against dense solves, closed forms and what ELM itself loses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from phase_lib.base.errors import InputError
from phase_lib.config.fusion import SteadyStateSettings
from phase_lib.elm.history import History
from phase_lib.elm.parameters import Parameters, read_parameters
from phase_lib.elm.variables import SOIL_POOL_INDEX
from phase_lib.fusion.sources import open_restart
from phase_lib.fusion.steady import (
    BOUNDED,
    FILL,
    NEGATIVE,
    OTHER_SOIL,
    SLOW,
    STEADY,
    SemiAnalytic,
    SoilYears,
    read_soil_years,
    why_no_soil_years,
)
from tests.helpers import semi_analytic as dense

EVERYWHERE = slice(None)
CWD, SOIL3, SOIL4 = 3, 6, 7
#: What AD divides the contents by.
FACTOR = np.array([1.0, 1.0, 1.0, 1.37, 1.0, 1.0, 1.96, 27.4])[:, None, None]
PARAMETERS = Parameters(
    Path("clm_params.nc"),
    {},
    {
        "som_diffus": dense.BIOTURBATION / (365.0 * 86400.0),
        "cryoturb_diffusion_k": 0.0,
        "max_altdepth_cryoturbation": 2.0,
    },
)
#: Deeper than permafrost reaches.
THAW = 40.0
ENDLESS = SteadyStateSettings(years_on=1.0e12, least_ratio=1.0e-12, most_ratio=1.0e12)


def case(seed: int, columns: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Columns with young contents, in normal mode."""
    return dense.random_columns(seed, 500.0, columns)


def steady_of(inputs: np.ndarray, rates: np.ndarray) -> np.ndarray:
    columns = range(inputs.shape[-1])
    return np.stack([dense.steady_state(inputs[..., c], rates[..., c]) for c in columns], axis=-1)


def ad_years(inputs: np.ndarray, rates: np.ndarray, state: np.ndarray) -> SoilYears:
    """The budget that an AD run writes whose contents, taken to normal mode, are `state`."""
    content = state / FACTOR
    loss = (FACTOR * rates) * content
    mixed = -np.einsum("jk,pkc->pjc", dense.mixing_matrix(dense.BIOTURBATION), FACTOR * content)
    mixed[CWD] = 0.0
    gain, respired = np.zeros_like(loss), loss.copy()
    transfers = np.stack([share * loss[donor] for _, donor, share in dense.TRANSFERS])
    for passed, (receiver, donor, _) in zip(transfers, dense.TRANSFERS, strict=True):
        gain[receiver] += passed
        respired[donor] -= passed
    change = inputs + gain + mixed - loss
    return SoilYears("fluxes", 16, 21, content, change, transfers, respired, mixed)


def led(
    years: SoilYears, choices: SteadyStateSettings = ENDLESS
) -> tuple[dict[str, np.ndarray], SemiAnalytic]:
    """Where pools lead, as ratios to the end of the years (levdecomp, gridcell)."""
    start = SemiAnalytic(choices, PARAMETERS, years)
    columns = years.state.shape[-1]
    factor = np.broadcast_to(FACTOR, years.state.shape)
    ratios = start.ratios(EVERYWHERE, years.at_end, factor, np.full(columns, THAW))
    return {pool: ratio.T for pool, ratio in ratios.items()}, start


def steadily(years: SoilYears) -> SoilYears:
    """The same budget seen at an instant, so that its contents are those of the end."""
    return SoilYears(
        "fluxes", 20, 20, years.state, years.change, years.transfers, years.respired, years.mixed
    )


@pytest.mark.parametrize("seed", [1, 2])
def test_the_budget_of_ad_years_leads_to_the_steady_state_of_normal_mode(seed: int) -> None:
    inputs, rates, state = case(seed)
    ratios, _ = led(steadily(ad_years(inputs, rates, state)))
    expected = steady_of(inputs, rates)
    for pool, index in (("cwd", CWD), ("soil3", SOIL3), ("soil4", SOIL4)):
        assert ratios[pool] * state[index] == pytest.approx(expected[index], rel=1e-6), pool


def test_a_run_in_its_steady_state_leads_to_itself() -> None:
    inputs, rates, _ = case(3)
    ratios, start = led(ad_years(inputs, rates, steady_of(inputs, rates)), SteadyStateSettings())
    for pool, ratio in ratios.items():
        assert ratio == pytest.approx(1.0, abs=1e-6), pool
    assert start.decisions["soil3"][STEADY] == ratios["soil3"].size


def test_a_slow_layer_moves_as_far_as_an_implicit_step_takes_it() -> None:
    inputs, rates, state = case(4, columns=1)
    rates[CWD, 4:] = 1.0e-6
    years = 2000.0 * FACTOR[CWD, 0, 0]
    ratios, start = led(steadily(ad_years(inputs, rates, state)), SteadyStateSettings(most_ratio=1.0e6))
    expected = (state[CWD] + years * inputs[CWD]) / (1.0 + years * rates[CWD])
    assert ratios["cwd"] * state[CWD] == pytest.approx(expected, rel=1e-9)
    assert start.decisions["cwd"][SLOW] == 6
    assert start.decisions["cwd"][STEADY] == 4


def test_what_is_seen_by_scalars_is_what_is_seen_by_fluxes() -> None:
    inputs, rates, state = case(5)
    fluxes = steadily(ad_years(inputs, rates, state))
    donors = [donor for _, donor, _ in dense.TRANSFERS]
    # Scalars give the loss at normal rates of the contents of AD.
    slower = {"transfers": fluxes.transfers / FACTOR[donors], "respired": fluxes.respired / FACTOR}
    scalars = replace(fluxes, source="scalars", mixed=None, **slower)
    (one, _), (other, _) = led(fluxes), led(scalars)
    for pool in one:
        assert other[pool] == pytest.approx(one[pool], rel=1e-9), pool


@given(st.integers(0, 10_000), st.floats(-1.0e4, 1.0e4))
@settings(max_examples=40)
def test_ratios_stay_within_their_bounds_whatever_enters(seed: int, burnt: float) -> None:
    inputs, rates, state = case(seed)
    inputs[:4] -= burnt
    ratios, start = led(steadily(ad_years(inputs, rates, state)), SteadyStateSettings())
    for pool, ratio in ratios.items():
        content = state[SOIL_POOL_INDEX[pool]]
        assert np.all(ratio >= 0.01 * (1.0 - 1.0e-12)), pool
        assert np.all(ratio * content <= 100.0 * content.max(axis=0) * (1.0 + 1.0e-12)), pool
        assert sum(start.decisions[pool].values()) == ratio.size


def test_nothing_moves_where_the_history_is_that_of_another_soil() -> None:
    inputs, rates, state = case(6)
    years = steadily(ad_years(inputs, rates, state))
    start = SemiAnalytic(SteadyStateSettings(), PARAMETERS, years)
    contents = years.at_end.copy()
    contents[..., 0] *= 2.0
    factor = np.broadcast_to(FACTOR, contents.shape)
    ratio = start.ratios(EVERYWHERE, contents, factor, np.full(3, THAW))["soil3"]
    assert np.all(ratio[0] == 1.0)
    assert np.all(ratio[1:] != 1.0)
    assert start.decisions["soil3"][OTHER_SOIL] == 10


def test_a_column_with_a_layer_that_burns_away_stays_whole_as_it_is() -> None:
    inputs, rates, state = case(9)
    inputs[CWD, 7, 0] = -100.0 * rates[CWD, 7, 0] * state[CWD, 7, 0]
    # Almost nothing of the second column burns: its other layers still move.
    state[CWD, 9, 1] = 1.0e-9 * state[CWD, :, 1].max()
    inputs[CWD, 9, 1] = -100.0 * rates[CWD, 9, 1] * state[CWD, 9, 1]
    ratios, start = led(steadily(ad_years(inputs, rates, state)))
    expected = steady_of(inputs, rates)[CWD] / state[CWD]
    assert np.all(ratios["cwd"][:, 0] == 1.0)
    assert ratios["cwd"][9, 1] == 1.0
    assert ratios["cwd"][:9, 1] == pytest.approx(expected[:9, 1], rel=1e-6)
    assert start.decisions["cwd"][NEGATIVE] == 11


def test_a_cell_whose_history_is_fill_stays_as_it_is_and_is_counted() -> None:
    inputs, rates, state = case(10)
    years = steadily(ad_years(inputs, rates, state))
    years.respired[SOIL4, 3, 1] = np.nan
    ratios, start = led(years)
    assert np.all(ratios["soil4"][:, 1] == 1.0)
    assert np.all(ratios["soil4"][:, [0, 2]] != 1.0)
    assert [start.decisions[pool][FILL] for pool in ("cwd", "soil3", "soil4")] == [10, 10, 10]


def test_a_cell_without_soil_has_no_part_in_it() -> None:
    inputs, rates, state = case(7)
    years = steadily(ad_years(inputs, rates, state))
    years.state[..., 1] = np.nan
    start = SemiAnalytic(SteadyStateSettings(), PARAMETERS, years)
    factor = np.broadcast_to(FACTOR, state.shape)
    ratio = start.ratios(EVERYWHERE, years.at_end, factor, np.array([THAW, np.nan, THAW]))["soil4"]
    assert np.all(ratio[1] == 1.0)
    assert np.all(np.isfinite(ratio))
    assert sum(start.decisions["soil4"].values()) == 20


def test_a_ratio_beyond_the_bounds_is_held_there_and_counted() -> None:
    inputs, rates, state = case(8)
    state[SOIL4] = 1.0e-3
    ratios, start = led(steadily(ad_years(inputs, rates, state)), SteadyStateSettings())
    assert ratios["soil4"][0] == pytest.approx(100.0, rel=1e-12)
    assert start.decisions["soil4"][BOUNDED] > 0


@pytest.fixture(scope="module")
def monthly(elm_sample: Path) -> History:
    """Monthly means of 20 AD years of real ELM, default fields."""
    return History(sorted((elm_sample / "history").glob("*.h0.*.nc")))


def test_losses_by_scalars_are_those_of_elm(elm_sample: Path, monthly: History) -> None:
    parameters = read_parameters(elm_sample / "clm_params_c211124.nc")
    with open_restart(elm_sample / "ad20.elm.r.0021-01-01-00000.nc") as restart:
        row = monthly.rows(restart.subgrid.lat[restart.row], restart.subgrid.lon[restart.row])
        share = restart.subgrid.soil_fraction[restart.row]
        thaw = restart.thaw(restart.soil(EVERYWHERE))
    years = read_soil_years(monthly, row, share, 21, 5, parameters)
    assert years.source == "scalars"
    factor = np.array(list(parameters.ad_factors().values()))[:, None, None] * np.ones(years.state.shape)
    # Rock and ice have no thaw, and no losses that are compared.
    budget = years.budget(EVERYWHERE, factor, np.where(share > 0.0, thaw, 0.0), parameters)
    loss = torch.einsum("pjc,j->pc", budget.loss, torch.from_numpy(dense.DZ)).numpy()
    names = ("SOIL3_HR", "SOIL3C_TO_SOIL4C", "SOIL4_HR")
    means = monthly.means(dict.fromkeys(names, ("gC/m^2/s",)), 16, 21, holes=True)
    respired3, passed3, respired4 = (means[name][row] * 365.0 * 86400.0 for name in names)
    # ELM's means of transfers count the other columns of a cell as 0.
    for index, expected in ((SOIL3, respired3 + passed3 / share), (SOIL4, respired4)):
        alive = expected > 1.0e-3
        assert alive.sum() > 18
        ratio = loss[index][alive] / expected[alive]
        assert np.median(ratio) == pytest.approx(1.0, abs=0.01)
        assert ratio == pytest.approx(1.0, abs=0.08)


def test_a_history_says_what_it_lacks(elm_sample: Path, monthly: History) -> None:
    assert why_no_soil_years(monthly, 21, 5) is None
    means = History([elm_sample / "history" / "ad20.elm.h1.0021-01-01-00000.nc"])
    lacking = why_no_soil_years(means, 21, 5)
    assert lacking == "the history has no LITR1C_vr and 10 more"


@pytest.fixture
def last_years(elm_sample: Path, tmp_path: Path) -> list[Path]:
    """Copies of the months of the last two years."""
    files = [f for f in sorted((elm_sample / "history").glob("*.h0.*.nc")) if f.name > "ad20.elm.h0.0019-01"]
    for file in files:
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return [tmp_path / file.name for file in files]


def set_all(files: list[Path], name: str, **change: object) -> None:
    for file in files:
        with netCDF4.Dataset(file, "r+") as nc:
            if "units" in change:
                nc[name].units = change["units"]
            else:
                nc[name][...] = change["value"]


def test_a_field_that_is_fill_everywhere_is_missing_and_one_in_other_units_is_refused(
    elm_sample: Path, last_years: list[Path]
) -> None:
    parameters = read_parameters(elm_sample / "clm_params_c211124.nc")

    def read() -> SoilYears:
        history = History(last_years)
        row = history.rows(history.grid.lat, history.grid.lon)
        return read_soil_years(history, row, np.ones(len(row)), 21, 2, parameters)

    assert why_no_soil_years(History(last_years), 21, 2) is None
    whole = read()
    # N and P do not limit litter in these years: without one of the limits its losses are the same.
    set_all(last_years, "FPI_P_vr", value=1.0e36)
    without = read()
    assert (whole.unlimited, without.unlimited) == ((), ("FPI_P_vr",))
    np.testing.assert_array_equal(whole.respired, without.respired)
    set_all(last_years, "FPI_vr", units="%")
    with pytest.raises(InputError, match=r"FPI_vr.*%.*proportion"):
        read()
    set_all(last_years, "W_SCALAR", value=1.0e36)
    assert why_no_soil_years(History(last_years), 21, 2) == "W_SCALAR of the history is fill on all land"
    set_all(last_years, "W_SCALAR", units="mm")
    with pytest.raises(InputError, match=r"W_SCALAR.*mm"):
        why_no_soil_years(History(last_years), 21, 2)


def test_years_that_the_history_does_not_cover_or_in_which_rates_change_have_no_budget(
    monthly: History,
) -> None:
    assert why_no_soil_years(monthly, 31, 5) == "the history covers 0 of the last 5 years"
    assert why_no_soil_years(monthly, 22, 5) == "the history covers 4 of the last 5 years"
    # ELM divides the rates of AD by the averaged scalar from year 40 on.
    assert why_no_soil_years(monthly, 41, 5) == "the rates of AD change at year 40, within the last 5 years"


def test_annual_means_of_scalars_do_not_serve(elm_sample: Path, tmp_path: Path) -> None:
    path = tmp_path / "annual.nc"
    path.write_bytes((elm_sample / "history" / "ad20.elm.h0.0020-02-01-00000.nc").read_bytes())
    with netCDF4.Dataset(path, "r+") as nc:
        edges = 365.0 * np.arange(8, 21)
        nc["time_bounds"][:] = np.stack([edges[:-1], edges[1:]], axis=1)
        nc["time"][:] = edges[1:]
    lacking = why_no_soil_years(History([path]), 21, 5)
    assert lacking == "the history has means of 1 years, the budget needs monthly ones"
