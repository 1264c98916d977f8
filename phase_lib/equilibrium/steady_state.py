"""The steady state of soil carbon: the CTC cascade with mixing over depth, column by column.

Of a window of a run, each pool i in each layer has a mean budget

    dX_i/dt = u_i + sum over donors j of T_ji - L_i - (M X)_i

with the input from outside u, transfers T, loss L (transfers and respiration) and mixing M, whose operator is
that of `elm.mixing`. Rates r = L / X and shares f = T / L of the window hold on, so the state that would not
change any more solves

    r_i X_i + (M X)_i = u_i + sum over donors j of f_ji r_j X_j.

CTC has no cycles, so this is one tridiagonal system for each pool, in the order of the cascade. It is the
semi-analytic spin-up of Xia et al. (2012, Geosci. Model Dev. 5, 1259), with the mixing of a layered soil.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from phase_lib.elm.soil_grid import DZDECOMP
from phase_lib.elm.variables import SOIL_POOL_INDEX, TRANSITIONS

#: Pools in the order of the cascade: each after those that feed it.
_ORDER = tuple(dict.fromkeys([*(donor for donor, _ in TRANSITIONS), *(last for _, last in TRANSITIONS)]))
_LINKS = [(SOIL_POOL_INDEX[donor], SOIL_POOL_INDEX[receiver]) for donor, receiver in TRANSITIONS]


@dataclass(frozen=True)
class Budget:
    """Mean carbon budget of soil columns over a window of time.

    Attributes:
        state: mean content (pool, layer, column), gC m-3.
        change: of the content (pool, layer, column), gC m-3 yr-1.
        transfers: along `TRANSITIONS` (transition, layer, column), gC m-3 yr-1.
        respired: (pool, layer, column), gC m-3 yr-1.
        mixed: gain by mixing (pool, layer, column), gC m-3 yr-1; 0 for CWD.
        conductance: of the layer interfaces (interface, column), m yr-1.
    """

    state: Tensor
    change: Tensor
    transfers: Tensor
    respired: Tensor
    mixed: Tensor
    conductance: Tensor

    @cached_property
    def loss(self) -> Tensor:
        """By decomposition (pool, layer, column), gC m-3 yr-1."""
        loss = self.respired.clone()
        for link, (donor, _) in zip(self.transfers, _LINKS, strict=True):
            loss[donor] += link
        return loss

    @cached_property
    def inputs(self) -> Tensor:
        """What closes the budget (pool, layer, column), gC m-3 yr-1.

        For litter and CWD it is what comes from the plants less what burns; for SOM it is 0 but for rounding.
        """
        gain = torch.zeros_like(self.loss)
        for link, (_, receiver) in zip(self.transfers, _LINKS, strict=True):
            gain[receiver] += link
        return self.change + self.loss - gain - self.mixed

    @cached_property
    def rate(self) -> Tensor:
        """Of loss (pool, layer, column), yr-1; 0 where there is nothing to lose."""
        return _quotient(self.loss, self.state)


def steady_state(budget: Budget, stays: Tensor, factor: Tensor | None = None) -> Tensor:
    """The state that rates, shares and inputs of a window lead to.

    Args:
        budget: of the window.
        stays: where the content stays as it is (pool, layer, column): the turnover is too slow for the rates
            of a window to say where it leads. Layers beside such a one exchange with it.
        factor: on the inputs (pool, column): litterfall, and the wood that feeds CWD, will change by this.

    Returns:
        (pool, layer, column), gC m-3. It may be negative where the input is, as in a fire.
    """
    result = torch.empty_like(budget.state)
    share = _quotient(budget.transfers, budget.loss[[donor for donor, _ in _LINKS]])
    for name in _ORDER:
        pool = SOIL_POOL_INDEX[name]
        source = budget.inputs[pool] if factor is None else budget.inputs[pool] * factor[pool]
        flow = None if name == "cwd" else budget.conductance
        if flow is not None:
            # The active layer differs between years: what the mean of the mixing is beside that of its mean.
            source = source + budget.mixed[pool] - mixing(budget.state[pool], flow)
        for number, (donor, receiver) in enumerate(_LINKS):
            if receiver == pool:
                source = source + share[number] * budget.rate[donor] * result[donor]
        result[pool] = _solve(budget.rate[pool], flow, source, stays[pool], budget.state[pool])
    return result


def mixing(state: Tensor, flow: Tensor) -> Tensor:
    """Gain by mixing (layer, column), gC m-3 yr-1.

    Args:
        state: content (layer, column), gC m-3.
        flow: conductance of the interfaces (interface, column), m yr-1.
    """
    down = flow * (state[1:] - state[:-1])
    none = torch.zeros_like(down[:1])
    return torch.diff(torch.cat([none, down, none]), dim=0) / _thickness(state)


def _solve(rate: Tensor, flow: Tensor | None, source: Tensor, stays: Tensor, state: Tensor) -> Tensor:
    """Solves (rate + mixing) X = source by elimination over the layers; those of `stays` keep their state."""
    none = torch.zeros_like(rate)
    above, below = none, none
    if flow is not None:
        edge = torch.zeros_like(flow[:1])
        above = torch.cat([edge, flow]) / _thickness(rate)
        below = torch.cat([flow, edge]) / _thickness(rate)
    # A layer without loss and mixing has nothing to solve.
    fixed = stays | ((rate + above + below) <= 0.0)
    diagonal = torch.where(fixed, torch.ones_like(rate), rate + above + below)
    above, below = torch.where(fixed, none, above), torch.where(fixed, none, below)
    source = torch.where(fixed, state, source)
    factors: list[Tensor] = []
    values: list[Tensor] = []
    factor, value = none[0], none[0]
    for layer in range(len(rate)):
        pivot = diagonal[layer] - above[layer] * factor
        factor = below[layer] / pivot
        value = (source[layer] + above[layer] * value) / pivot
        factors.append(factor)
        values.append(value)
    for layer in range(len(rate) - 2, -1, -1):
        values[layer] = values[layer] + factors[layer] * values[layer + 1]
    return torch.stack(values)


def _thickness(like: Tensor) -> Tensor:
    return torch.as_tensor(DZDECOMP, dtype=like.dtype, device=like.device)[:, None]


def _quotient(part: Tensor, whole: Tensor) -> Tensor:
    there = whole > 0.0
    return torch.where(there, part / torch.where(there, whole, torch.ones_like(whole)), 0.0)
