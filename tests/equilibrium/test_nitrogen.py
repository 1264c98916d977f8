"""The balance of nitrogen: what two windows show, and the size at which inputs and losses are equal."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phase_lib.config.correction import CorrectionSettings
from phase_lib.elm.variables import NITROGEN
from phase_lib.equilibrium.nitrogen import NitrogenBalance, Response, response, size_factor

BOUNDS = CorrectionSettings()


def ecosystem(size: np.ndarray, power: float | np.ndarray, inputs: float = 1.0) -> NitrogenBalance:
    """Cells whose losses are the inputs times a power of their size: at size 1 they are in balance."""
    losses = inputs * size**power
    full = np.full_like(size, inputs)
    return NitrogenBalance(3000.0 * size, full, full - losses, 400.0 * size)


def sizes(seed: int, spread: float, cells: int = 200) -> np.ndarray:
    return np.exp(spread * np.random.default_rng(seed).standard_normal(cells))


@pytest.mark.parametrize("power", [1.5, 5.0, 11.0])
def test_the_response_of_losses_is_that_of_the_run(power: float) -> None:
    before, now = ecosystem(sizes(1, 0.01), power), ecosystem(sizes(2, 0.01), power)
    seen = response(before, now)
    assert seen is not None
    assert seen.common == pytest.approx(power, rel=1e-3)
    assert seen.cells == pytest.approx(np.full(200, power), rel=1e-3)


@pytest.mark.parametrize("power", [3.0, 8.0])
def test_the_factor_leads_to_the_size_at_which_inputs_equal_losses(power: float) -> None:
    first, second = sizes(3, 0.004), sizes(4, 0.004)
    seen = response(ecosystem(first, power), ecosystem(second, power))
    assert seen is not None
    factor, counts = size_factor(ecosystem(second, power), seen, BOUNDS, np.ones(200, dtype=bool))
    assert second * factor == pytest.approx(np.ones(200), abs=1e-5)
    assert counts == {
        "nitrogen_balanced": 200, "nitrogen_far_from_balance": 0, "no_nitrogen_balance": 0,
    }  # fmt: skip


def test_what_earlier_windows_have_shown_is_the_least_response() -> None:
    windows = ecosystem(sizes(1, 0.01), 5.0), ecosystem(sizes(2, 0.01), 5.0)
    weak, strong = response(*windows, least=3.0), response(*windows, least=8.0)
    assert weak is not None
    assert strong is not None
    assert weak.common == pytest.approx(5.0, rel=1e-3)
    assert strong.common == 8.0
    assert strong.cells.min() == 8.0


def test_single_wild_cells_do_not_decide() -> None:
    before, now = ecosystem(sizes(5, 0.01), 5.0), ecosystem(sizes(6, 0.01), 5.0)
    wild = now.change.copy()
    wild[:10] = 0.6
    seen = response(before, replace(now, change=wild))
    assert seen is not None
    assert seen.common == pytest.approx(5.0, rel=0.02)


def test_a_cell_with_a_stronger_response_takes_a_smaller_step() -> None:
    power = np.full(200, 5.0)
    power[:5] = 12.0
    noise = np.random.default_rng(9).normal(0.0, 2e-3, 200)
    now = ecosystem(sizes(8, 0.01), power)
    now = replace(now, change=now.change + noise)
    seen = response(ecosystem(sizes(7, 0.01), power), now)
    assert seen is not None
    moved = np.abs(np.log(sizes(8, 0.01) / sizes(7, 0.01)))[:5] > 0.005
    assert moved.any()
    assert seen.cells[:5][moved] == pytest.approx(np.full(moved.sum(), 12.0), rel=0.15)
    assert seen.common == pytest.approx(5.0, rel=0.1)
    # Noise never makes a step larger than the common response does.
    assert seen.cells.min() == seen.common


@pytest.mark.parametrize(
    ("before", "now"),
    [
        # Too few cells, no change at all, and a balance that has nothing to do with the size.
        (ecosystem(sizes(1, 0.01, 9), 5.0), ecosystem(sizes(2, 0.01, 9), 5.0)),
        (ecosystem(sizes(1, 0.01), 5.0), ecosystem(sizes(1, 0.01), 5.0)),
        tuple(
            replace(ecosystem(sizes(i, 0.01), 5.0), change=0.1 * np.log(sizes(i + 4, 1.0))) for i in (1, 2)
        ),
        # Losses that fall with size lead nowhere.
        (ecosystem(sizes(1, 0.01), -2.0), ecosystem(sizes(2, 0.01), -2.0)),
    ],
)
def test_windows_that_show_no_response_give_none(before: NitrogenBalance, now: NitrogenBalance) -> None:
    assert response(before, now) is None


def test_dry_cells_cells_without_losses_and_cells_that_are_not_corrected_keep_their_nitrogen() -> None:
    inputs = np.array([1.0, 1.0, 1.0, 1.0, np.nan])
    losses = np.array([0.9, 0.1, 0.0, 0.9, np.nan])
    now = NitrogenBalance(np.full(5, 3000.0), inputs, inputs - losses, np.full(5, 400.0))
    cells = np.array([True, True, True, False, True])
    factor, counts = size_factor(now, Response(5.0, np.full(5, 5.0)), BOUNDS, cells)
    assert factor[0] == pytest.approx((1.0 / 0.9) ** 0.2)
    assert np.array_equal(factor[1:], np.ones(4))
    assert counts == {"nitrogen_balanced": 1, "nitrogen_far_from_balance": 1, "no_nitrogen_balance": 2}


@settings(max_examples=50, deadline=None)
@given(
    losses=st.lists(st.floats(0.0, 100.0), min_size=1, max_size=20),
    responds=st.floats(0.1, 100.0),
    most=st.floats(0.0, 0.2),
)
def test_the_factor_stays_within_its_bound_and_has_the_sign_of_the_imbalance(
    losses: list[float], responds: float, most: float
) -> None:
    lost = np.array(losses)
    now = NitrogenBalance(
        np.full_like(lost, 3000.0), np.ones_like(lost), 1.0 - lost, np.full_like(lost, 400.0)
    )
    bounds, known = CorrectionSettings(nitrogen_step=most), Response(responds, np.full_like(lost, responds))
    factor, _ = size_factor(now, known, bounds, np.ones(len(lost), dtype=bool))
    assert np.all(np.abs(np.log(factor)) <= np.log1p(most) + 1e-12)
    moved = factor != 1.0
    assert np.array_equal(np.sign(np.log(factor[moved])), np.sign(1.0 - lost[moved]))


def test_all_nitrogen_of_plants_and_soil_is_counted_once() -> None:
    assert {"leafn", "retransn", "npool", "deadstemn_xfer", "litr1n_vr", "soil4n_vr"} <= set(NITROGEN)
    assert {"smin_no3_vr", "smin_nh4_vr", "pft_ntrunc", "col_ntrunc_vr"} <= set(NITROGEN)
    # Sums of others, and no stocks.
    assert not {"sminn_vr", "totsomn", "totlitn", "cwdn", "annmax_retransn"} & set(NITROGEN)
