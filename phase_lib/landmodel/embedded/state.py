"""The state of the model: a restart in memory, and a block of cells as tensors."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from phase_lib.elm.constants import NATPFT
from phase_lib.elm.soil_grid import NLEVDECOMP, ZSOI
from phase_lib.elm.spinup import exit_multiplier, lift_ppool, mineral_p
from phase_lib.elm.variables import (
    DEAD_WOOD,
    ELEMENTS,
    MINERAL_N,
    MINERAL_P,
    ORGANS,
    POOL_VARIABLES,
    SOIL_POOLS,
    STAGES,
)
from phase_lib.landmodel.embedded import constants as k
from phase_lib.landmodel.embedded.site import Site, SiteInputs

#: Variables that carry state, by restart name: of patches (cell, natpft), layers (cell, levdecomp), columns.
Snapshot: TypeAlias = dict[str, np.ndarray]

#: Indices into the organ axis.
LEAF, FROOT, LIVESTEM, DEADSTEM, LIVECROOT, DEADCROOT = range(6)
#: Indices into the stage axis.
DISPLAY, STORAGE, XFER = range(3)
C, N, P = range(3)

#: Restart names of the organ pools and their (element, organ, stage) indices.
ORGAN_VARIABLES = {
    f"{organ}{element}{stage}": (e, o, s)
    for e, element in enumerate(ELEMENTS)
    for o, organ in enumerate(ORGANS)
    for s, stage in enumerate(STAGES)
}
#: Restart names of the cascade pools and their (pool, element) indices.
SOIL_VARIABLES = {
    pool.variable(element): (i, e) for i, pool in enumerate(SOIL_POOLS) for e, element in enumerate(ELEMENTS)
}
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
PATCH_NAMES = (*ORGAN_VARIABLES, *PLANT_VARIABLES)
LAYER_NAMES = (*SOIL_VARIABLES, *(f"{name}_vr" for name in MINERAL), "scalaravg_col")


@dataclass
class State:
    """A block of cells as tensors.

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


def cold_snapshot(inputs: SiteInputs) -> Snapshot:
    """ELM's cold start on all patches, with or without cover, as in real restarts."""
    ncells, parameters = len(inputs.lat), inputs.parameters
    snapshot = {name: np.zeros((ncells, NATPFT)) for name in PATCH_NAMES}
    snapshot |= {name: np.zeros((ncells, NLEVDECOMP)) for name in LAYER_NAMES}
    evergreen = parameters.per_pft("evergreen") > 0.5
    plant = np.arange(NATPFT) > 0
    seeds = (
        ("leaf", "", np.where(evergreen, k.COLD_LEAFC, 0.0)),
        ("leaf", "_storage", np.where(plant & ~evergreen, k.COLD_LEAFC, 0.0)),
        ("deadstem", "", np.where(parameters.per_pft("woody") > 0.5, k.COLD_DEADSTEMC, 0.0)),
    )
    for organ, stage, seed in seeds:
        cn, cp = parameters.organ_ratios(organ)
        for element, ratio in zip(ELEMENTS, (np.ones(NATPFT), cn, cp), strict=True):
            pool = np.where(seed > 0.0, seed / np.where(ratio > 0.0, ratio, 1.0), 0.0)
            snapshot[f"{organ}{element}{stage}"][:] = pool
    snapshot["npool"][:] = np.where(plant, k.COLD_NPOOL, 0.0)
    snapshot["ppool"][:] = np.where(plant, k.COLD_PPOOL, 0.0)
    soil4 = SOIL_POOLS[-1]
    shallow = ZSOI[:NLEVDECOMP] < k.COLD_SOIL4_DEPTH
    for element, fixed in zip(ELEMENTS, (1.0, *parameters.soil_ratios(soil4)), strict=True):
        snapshot[soil4.variable(element)][:] = k.COLD_SOIL4 / fixed * shallow
    return snapshot | {"cannsum_npp": np.zeros(ncells)}


def change_mode(snapshot: Snapshot, inputs: SiteInputs, *, leaving: bool, mortality_factor: float) -> None:
    """What ELM does to a restart of the other mode, in place.

    Leaving AD: cascade pools x F / scalaravg_col, whatever the year; displayed dead wood x mortality
    factor; mineral P from the surface data; ppool lifted. Entering AD: only the reciprocal factors.

    Args:
        snapshot: state from the restart.
        inputs: surface data and parameters.
        leaving: True for AD -> normal, False for normal -> AD.
        mortality_factor: of the run that starts.
    """
    factors = inputs.parameters.ad_factors()
    for pool in SOIL_POOLS:
        multiplier = exit_multiplier(factors[pool.name], snapshot["scalaravg_col"])
        for element in ELEMENTS:
            snapshot[pool.variable(element)] *= multiplier if leaving else 1.0 / multiplier
    for organ in DEAD_WOOD:
        for element in ELEMENTS:
            snapshot[f"{organ}{element}"] *= mortality_factor if leaving else 1.0 / mortality_factor
    if leaving:
        # Sorption parameters are by cell here: each cell is a soil order.
        orders = np.arange(len(inputs.soil_order))
        for name, values in mineral_p(inputs.surface_p, orders, inputs.soil_p).items():
            snapshot[f"{name}_vr"][:] = values[:, None]
        leafp = snapshot["leafp"], snapshot["leafp_storage"]
        snapshot["ppool"] = lift_ppool(snapshot["ppool"], *leafp)


def to_state(snapshot: Snapshot, site: Site) -> State:
    """Packs the snapshot of a block into tensors."""

    def slots(name: str) -> Tensor:
        packed = np.take_along_axis(snapshot[name].T, site.slot_pft, axis=0)
        return site.tensor(np.where(site.slot_used, packed, 0.0))

    def layers(name: str) -> Tensor:
        return site.tensor(snapshot[name].T.copy())

    shape = (3, 6, 3, site.nslots, site.ncells)
    organs = torch.zeros(shape, dtype=torch.float64, device=site.device)
    for name, organ_index in ORGAN_VARIABLES.items():
        organs[organ_index] = slots(name)
    soil = torch.zeros(len(SOIL_POOLS), 3, NLEVDECOMP, site.ncells, dtype=torch.float64, device=site.device)
    for name, soil_index in SOIL_VARIABLES.items():
        soil[soil_index] = layers(name)
    return State(
        organs,
        {name: slots(name) for name in PLANT_VARIABLES},
        soil,
        {name: layers(f"{name}_vr") for name in MINERAL},
        layers("scalaravg_col"),
        layers("cannsum_npp"),
    )


def from_state(state: State, site: Site, base: Snapshot) -> Snapshot:
    """Unpacks tensors; patches without cover keep the values of `base`."""
    cells = np.broadcast_to(np.arange(site.ncells), site.slot_pft.shape)
    used = site.slot_used
    patches = {name: state.organs[index] for name, index in ORGAN_VARIABLES.items()} | state.plant
    layers = {name: state.soil[index] for name, index in SOIL_VARIABLES.items()}
    layers |= {f"{name}_vr": tensor for name, tensor in state.mineral.items()}
    layers |= {"scalaravg_col": state.scalaravg, "cannsum_npp": state.cannsum_npp}
    snapshot = {name: tensor.cpu().numpy().T.copy() for name, tensor in layers.items()}
    for name, tensor in patches.items():
        snapshot[name] = base[name].copy()
        snapshot[name][cells[used], site.slot_pft[used]] = tensor.cpu().numpy()[used]
    return snapshot
