"""ELM's soil layers.

Node depth of layer j (1-based): z_j = 0.025 (exp(0.5 (j - 0.5)) - 1) m. Thickness and interfaces
follow from the nodes. Biogeochemistry runs in the first ten layers; eleven to fifteen are bedrock.
"""

from __future__ import annotations

import numpy as np

NLEVGRND = 15
NLEVDECOMP = 10

_j = np.arange(1, NLEVGRND + 1, dtype=np.float64)

#: Node depths (levgrnd), m.
ZSOI: np.ndarray = 0.025 * (np.exp(0.5 * (_j - 0.5)) - 1.0)

#: Layer thicknesses (levgrnd), m.
DZSOI: np.ndarray = np.empty(NLEVGRND)
DZSOI[0] = 0.5 * (ZSOI[0] + ZSOI[1])
DZSOI[1:-1] = 0.5 * (ZSOI[2:] - ZSOI[:-2])
DZSOI[-1] = ZSOI[-1] - ZSOI[-2]

#: Layer interfaces from the surface down (levgrnd + 1), m.
ZISOI: np.ndarray = np.concatenate([[0.0], 0.5 * (ZSOI[:-1] + ZSOI[1:]), [ZSOI[-1] + 0.5 * DZSOI[-1]]])

#: Thicknesses of the layers with biogeochemistry (levdecomp), m.
DZDECOMP: np.ndarray = DZSOI[:NLEVDECOMP]


def column_stock(values: np.ndarray) -> np.ndarray:
    """Sums values per m3 over the layers with biogeochemistry.

    Args:
        values: (row, levgrnd) or (row, levdecomp).

    Returns:
        Stock per m2 (row), summed without BLAS, whose last bits depend on the machine
        and on its number of threads.
    """
    return np.asarray(np.einsum("ij,j->i", values[:, :NLEVDECOMP], DZDECOMP))
