"""The state of a block of cells."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from torch import Tensor

from phase_lib.elm.variables import ELEMENTS, MINERAL_N, MINERAL_P, ORGANS, POOL_VARIABLES, SOIL_POOLS, STAGES

#: Indices into the organ axis.
LEAF, FROOT, LIVESTEM, DEADSTEM, LIVECROOT, DEADCROOT = range(6)
#: Indices into the stage axis.
DISPLAY, STORAGE, XFER = range(3)
C, N, P = range(3)

#: Plant pools other than organs, by element.
PLANT_POOLS = [
    [
        name
        for name, entry in POOL_VARIABLES.items()
        if (entry.level, entry.organ, entry.element) == ("patch", None, element)
    ]
    for element in ELEMENTS
]
#: Patch variables other than organs, under their restart names (slot, cell).
PLANT_VARIABLES = (
    *itertools.chain(*PLANT_POOLS),
    *("annsum_npp", "annsum_potential_gpp", "annmax_retransn", "annmax_retransp"),
)
MINERAL = (*MINERAL_N, *MINERAL_P)


@dataclass
class State:
    """What a restart holds.

    Attributes:
        organs: plant organs (element, organ, stage, slot, cell), g m-2 of patch.
        plant: other patch variables (slot, cell), g m-2 or annual sums.
        soil: cascade pools (pool, element, layer, cell), g m-3.
        mineral: mineral N and P (layer, cell), g m-3.
        scalaravg: `scalaravg_col` (layer, cell).
        cannsum_npp: NPP of the column in the last year (cell), gC m-2 yr-1.
    """

    organs: Tensor
    plant: dict[str, Tensor]
    soil: Tensor
    mineral: dict[str, Tensor]
    scalaravg: Tensor
    cannsum_npp: Tensor


def organ_variables() -> list[tuple[str, tuple[int, int, int]]]:
    """Restart names of the organ pools and their (element, organ, stage) indices."""
    return [
        (f"{organ}{element}{stage}", (e, o, s))
        for e, element in enumerate(ELEMENTS)
        for o, organ in enumerate(ORGANS)
        for s, stage in enumerate(STAGES)
    ]


def soil_variables() -> list[tuple[str, tuple[int, int]]]:
    """Restart names of the cascade pools and their (pool, element) indices."""
    return [
        (pool.variable(element), (i, e))
        for i, pool in enumerate(SOIL_POOLS)
        for e, element in enumerate(ELEMENTS)
    ]
