"""The steady state of soil carbon, against closed forms, dense solves and an integration to the end."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import expm

from phase_lib.elm.steady_state import Budget, steady_state
from tests.helpers import semi_analytic as dense

#: Receiver, donor and share of each transition, in the order of the library.
LINKS = dense.TRANSFERS
CWD = 3


def conductance(diffusivity: float, columns: int) -> torch.Tensor:
    return torch.from_numpy(np.repeat(diffusivity / np.diff(dense.NODE)[:, None], columns, axis=1))


def budget_of(inputs: np.ndarray, rates: np.ndarray, state: np.ndarray, diffusivity: float) -> Budget:
    """The budget that a state has (pool, layer, column), with shares of the CTC cascade."""
    loss = rates * state
    transfers = np.stack([share * loss[donor] for _, donor, share in LINKS])
    gain = np.zeros_like(state)
    respired = loss.copy()
    for passed, (receiver, donor, _) in zip(transfers, LINKS, strict=True):
        gain[receiver] += passed
        respired[donor] -= passed
    mixed = -np.einsum("jk,pkc->pjc", dense.mixing_matrix(diffusivity), state)
    mixed[CWD] = 0.0
    change = inputs + gain + mixed - loss
    tensors = map(torch.from_numpy, (state, change, transfers, respired, mixed))
    return Budget(*tensors, conductance(diffusivity, state.shape[2]))


def case(seed: int, columns: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Columns far from their steady state."""
    return dense.random_columns(seed, 5000.0, columns)


def nothing_stays(state: np.ndarray) -> torch.Tensor:
    return torch.zeros(state.shape, dtype=torch.bool)


@pytest.mark.parametrize("diffusivity", [0.0, dense.BIOTURBATION, 5.0 * dense.BIOTURBATION])
def test_each_column_is_solved_as_by_a_dense_matrix(diffusivity: float) -> None:
    inputs, rates, state = case(1)
    solved = steady_state(budget_of(inputs, rates, state, diffusivity), nothing_stays(state)).numpy()
    for column in range(state.shape[2]):
        expected = dense.steady_state(inputs[..., column], rates[..., column], diffusivity)
        assert solved[..., column] == pytest.approx(expected, rel=1e-9)


def test_without_mixing_a_pool_is_its_input_over_its_rate() -> None:
    inputs, rates, state = case(2, columns=1)
    solved = steady_state(budget_of(inputs, rates, state, 0.0), nothing_stays(state)).numpy()
    assert solved[CWD] == pytest.approx(inputs[CWD] / rates[CWD], rel=1e-12)
    assert solved[1] == pytest.approx((inputs[1] + 0.76 * inputs[CWD]) / rates[1], rel=1e-12)
    litter1 = 0.61 * inputs[0]
    assert solved[4] == pytest.approx(litter1 / rates[4], rel=1e-12)


def test_a_column_that_is_integrated_with_frozen_inputs_ends_in_it() -> None:
    inputs, rates, state = case(3, columns=1)
    solved = steady_state(budget_of(inputs, rates, state, dense.BIOTURBATION), nothing_stays(state)).numpy()
    matrix = np.zeros((80, 80))
    for pool in range(8):
        rows = slice(10 * pool, 10 * pool + 10)
        matrix[rows, rows] = -np.diag(rates[pool, :, 0])
        if pool != CWD:
            matrix[rows, rows] -= dense.mixing_matrix(dense.BIOTURBATION)
    for receiver, donor, share in LINKS:
        for layer in range(10):
            matrix[10 * receiver + layer, 10 * donor + layer] = share * rates[donor, layer, 0]
    # X(t) = X* + exp(A t) (X(0) - X*); the slowest rate is about 1e-4 per year.
    whole = np.zeros((81, 81))
    whole[:80, :80], whole[:80, 80] = matrix, inputs.reshape(-1)
    end = expm(whole * 1.0e6) @ np.append(state.reshape(-1), 1.0)
    assert solved.reshape(-1) == pytest.approx(end[:80], rel=1e-6)


@given(st.integers(0, 10_000))
def test_what_enters_is_what_is_respired(seed: int) -> None:
    inputs, rates, state = case(seed)
    budget = budget_of(inputs, rates, state, dense.BIOTURBATION)
    solved = steady_state(budget, nothing_stays(state)).numpy()
    assert np.all(solved > 0.0)
    kept = np.zeros(8)
    for _, donor, share in LINKS:
        kept[donor] += share
    respired = (1.0 - kept)[:, None, None] * rates * solved
    thickness = dense.DZ[:, None]
    entering = (inputs.sum(0) * thickness).sum(0)
    assert (respired.sum(0) * thickness).sum(0) == pytest.approx(entering, rel=1e-9)


def test_a_state_that_is_steady_stays() -> None:
    inputs, rates, state = case(4)
    for column in range(state.shape[2]):
        steady = dense.steady_state(inputs[..., column], rates[..., column])
        state[..., column] = steady
    solved = steady_state(budget_of(inputs, rates, state, dense.BIOTURBATION), nothing_stays(state))
    assert solved.numpy() == pytest.approx(state, rel=1e-9)


def test_the_input_of_som_is_what_does_not_close() -> None:
    inputs, rates, state = case(5)
    budget = budget_of(inputs, rates, state, dense.BIOTURBATION)
    assert budget.inputs.numpy()[:4] == pytest.approx(inputs[:4], rel=1e-9)
    assert np.abs(budget.inputs.numpy()[4:]).max() < 1e-9 * budget.loss.numpy().max()


def test_layers_that_are_held_keep_their_content_and_mix_with_the_others() -> None:
    inputs, rates, state = case(6, columns=1)
    stays = nothing_stays(state)
    stays[7, 6:] = True
    solved = steady_state(budget_of(inputs, rates, state, dense.BIOTURBATION), stays).numpy()
    assert np.array_equal(solved[7, 6:], state[7, 6:])
    free = dense.steady_state(inputs[..., 0], rates[..., 0])
    assert solved[:7, :, 0] == pytest.approx(free[:7], rel=1e-9)
    # The upper layers balance with what is below them.
    matrix = np.diag(rates[7, :, 0]) + dense.mixing_matrix(dense.BIOTURBATION)
    balance = matrix @ solved[7, :, 0] - 0.45 * rates[6, :, 0] * free[6]
    assert np.abs(balance[:6]).max() < 1e-9 * (rates[7] * solved[7]).max()


def test_more_wood_to_come_brings_more_coarse_woody_debris() -> None:
    inputs, rates, state = case(7)
    budget = budget_of(inputs, rates, state, dense.BIOTURBATION)
    wood = torch.tensor([1.0, 1.5, 0.5], dtype=torch.float64)
    factor = torch.ones(8, 3, dtype=torch.float64)
    factor[CWD] = wood
    plain, scaled = (
        steady_state(budget, nothing_stays(state)),
        steady_state(budget, nothing_stays(state), factor),
    )
    assert torch.allclose(scaled[CWD], plain[CWD] * wood, rtol=1e-12)
    inputs[CWD] *= wood.numpy()
    for column in range(3):
        expected = dense.steady_state(inputs[..., column], rates[..., column])
        assert scaled[..., column].numpy() == pytest.approx(expected, rel=1e-9)


def test_an_empty_column_stays_empty() -> None:
    nothing = np.zeros((8, 10, 2))
    solved = steady_state(budget_of(nothing, nothing, nothing, 0.0), nothing_stays(nothing))
    assert torch.equal(solved, torch.zeros_like(solved))
