"""Semi-analytic steady state of the CTC cascade: mean inputs against mean rates and mixing, by dense solves.

Written from the equations, in numpy, one cell at a time; nothing here comes from the code under test.
"""

from __future__ import annotations

import numpy as np

__all__ = ["DZ", "NODE", "mixing_matrix", "random_columns", "steady_state"]

#: Depths of the nodes of ELM's layers, the ten with biogeochemistry and the next, and thicknesses, m.
_NODES = 0.025 * (np.exp(0.5 * (np.arange(1, 12) - 0.5)) - 1.0)
NODE = _NODES[:10]
DZ = np.concatenate([[0.5 * (NODE[0] + NODE[1])], 0.5 * (_NODES[2:] - _NODES[:-2])])
BIOTURBATION = 3.171e-12 * 365.0 * 86400.0
#: Receiver, donor, share of the donor's loss that arrives; pools litr1-3, cwd, soil1-4.
TRANSFERS = (
    (1, 3, 0.76), (2, 3, 0.24),
    (4, 0, 0.61), (5, 1, 0.45), (6, 2, 0.71),
    (5, 4, 0.72), (6, 5, 0.54), (7, 6, 0.45),
)  # fmt: skip


def mixing_matrix(diffusivity: float) -> np.ndarray:
    """d(concentration)/dt by diffusion = -M x (10, 10), 1/yr, zero flux at both ends."""
    matrix = np.zeros((10, 10))
    for j in range(9):
        conductance = diffusivity / (NODE[j + 1] - NODE[j])
        matrix[j, j] += conductance / DZ[j]
        matrix[j, j + 1] -= conductance / DZ[j]
        matrix[j + 1, j + 1] += conductance / DZ[j + 1]
        matrix[j + 1, j] -= conductance / DZ[j + 1]
    return matrix


def steady_state(inputs: np.ndarray, rates: np.ndarray, diffusivity: float = BIOTURBATION) -> np.ndarray:
    """Stocks (pool, layer), gC m-3, at which inputs, decomposition and mixing balance.

    Args:
        inputs: litter entering each pool and layer (pool, layer), gC m-3 yr-1.
        rates: mean loss rates (pool, layer), 1/yr.
        diffusivity: m2 yr-1; CWD is not mixed.
    """
    stocks = np.zeros_like(inputs)
    for pool in (3, 0, 1, 2, 4, 5, 6, 7):
        source = inputs[pool].copy()
        for receiver, donor, share in TRANSFERS:
            if receiver == pool:
                source += share * rates[donor] * stocks[donor]
        matrix = np.diag(rates[pool])
        if pool != 3:
            matrix = matrix + mixing_matrix(diffusivity)
        stocks[pool] = np.linalg.solve(matrix, source)
    return stocks


def random_columns(seed: int, most: float, columns: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Inputs of litter and CWD, rates that fall with depth, and contents up to `most` (pool, layer, column).

    In gC m-3 yr-1, yr-1 and gC m-3; the contents are no steady state.
    """
    rng = np.random.default_rng(seed)
    inputs = np.zeros((8, 10, columns))
    inputs[:4] = rng.uniform(1.0, 300.0, (4, 10, columns)) * np.exp(-3.0 * NODE)[:, None]
    speed = np.array([50.0, 8.0, 2.0, 0.3, 6.0, 1.5, 0.1, 0.01])[:, None, None]
    rates = speed * rng.uniform(0.3, 1.0, (8, 10, columns)) * np.exp(-NODE)[:, None]
    return inputs, rates, rng.uniform(1.0, most, (8, 10, columns))
