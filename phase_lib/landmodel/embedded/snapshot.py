"""A restart in memory: all cells, all 17 patches, ELM's names; and the way to and from block states."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from phase_lib.elm.constants import NATPFT
from phase_lib.elm.soil_grid import NLEVDECOMP, ZSOI
from phase_lib.elm.spinup import exit_multiplier, lift_ppool, mineral_p
from phase_lib.elm.variables import DEAD_WOOD, ELEMENTS, SOIL_POOLS
from phase_lib.landmodel.embedded import constants as k
from phase_lib.landmodel.embedded.site import Site, SiteInputs
from phase_lib.landmodel.embedded.state import (
    MINERAL,
    PLANT_VARIABLES,
    State,
    organ_variables,
    soil_variables,
)


@dataclass
class Snapshot:
    """State of all cells.

    Attributes:
        patch: patch variables by restart name (cell, natpft).
        layer: layered variables by restart name (cell, levdecomp), `scalaravg_col` included.
        column: column variables (cell).
    """

    patch: dict[str, np.ndarray]
    layer: dict[str, np.ndarray]
    column: dict[str, np.ndarray]

    def select(self, cells: slice) -> Snapshot:
        """The same for some of the cells."""
        return Snapshot(
            *({n: v[cells] for n, v in group.items()} for group in (self.patch, self.layer, self.column))
        )


def patch_names() -> list[str]:
    """Patch variables that carry state."""
    return [name for name, _ in organ_variables()] + list(PLANT_VARIABLES)


def layer_names() -> list[str]:
    """Layered variables that carry state."""
    return [name for name, _ in soil_variables()] + [f"{name}_vr" for name in MINERAL] + ["scalaravg_col"]


def cold_snapshot(inputs: SiteInputs) -> Snapshot:
    """ELM's cold start on every patch, covered or not, as real restarts show it."""
    ncells = len(inputs.lat)
    parameters = inputs.parameters
    patch = {name: np.zeros((ncells, NATPFT)) for name in patch_names()}
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
            patch[f"{organ}{element}{stage}"][:] = np.where(
                seed > 0.0, seed / np.where(ratio > 0.0, ratio, 1.0), 0.0
            )
    patch["npool"][:] = np.where(plant, k.COLD_NPOOL, 0.0)
    patch["ppool"][:] = np.where(plant, k.COLD_PPOOL, 0.0)
    layer = {name: np.zeros((ncells, NLEVDECOMP)) for name in layer_names()}
    soil4 = SOIL_POOLS[-1]
    shallow = ZSOI[:NLEVDECOMP] < k.COLD_SOIL4_DEPTH
    for element, fixed in zip(ELEMENTS, (1.0, *parameters.soil_ratios(soil4)), strict=True):
        layer[soil4.variable(element)][:] = k.COLD_SOIL4 / fixed * shallow
    return Snapshot(patch, layer, {"cannsum_npp": np.zeros(ncells)})


def change_mode(snapshot: Snapshot, inputs: SiteInputs, *, leaving: bool, mortality_factor: float) -> None:
    """What ELM does to a restart of the other mode, in place.

    Leaving AD: cascade pools x F / scalaravg_col, whatever the year; displayed dead wood x mortality
    factor; mineral P from the surface data; ppool lifted. Entering AD: the reciprocals, and no more.

    Args:
        snapshot: state read from the restart.
        inputs: surface data and parameters.
        leaving: True for AD -> normal, False for normal -> AD.
        mortality_factor: of the run that starts.
    """
    factors = inputs.parameters.ad_factors()
    for pool in SOIL_POOLS:
        multiplier = exit_multiplier(factors[pool.name], snapshot.layer["scalaravg_col"])
        for element in ELEMENTS:
            values = snapshot.layer[pool.variable(element)]
            values *= multiplier if leaving else 1.0 / multiplier
    for organ in DEAD_WOOD:
        for element in ELEMENTS:
            snapshot.patch[f"{organ}{element}"] *= mortality_factor if leaving else 1.0 / mortality_factor
    if leaving:
        # Sorption parameters are by cell here, so each cell is its own soil order.
        own = np.arange(len(inputs.soil_order))
        for pool_name, values in mineral_p(inputs.surface_p, own, inputs.soil_p).items():
            snapshot.layer[f"{pool_name}_vr"][:] = values[:, None]
        patch = snapshot.patch
        patch["ppool"] = lift_ppool(patch["ppool"], patch["leafp"], patch["leafp_storage"])


def to_state(snapshot: Snapshot, site: Site) -> State:
    """Packs a block's snapshot into tensors."""

    def slots(name: str) -> np.ndarray:
        packed = np.take_along_axis(snapshot.patch[name].T, site.slot_pft, axis=0)
        return np.where(site.slot_used, packed, 0.0)

    shape = (3, 6, 3, site.nslots, site.ncells)
    organs = torch.zeros(shape, dtype=torch.float64, device=site.device)
    for name, organ_index in organ_variables():
        organs[organ_index] = site.tensor(slots(name))
    soil = torch.zeros(len(SOIL_POOLS), 3, NLEVDECOMP, site.ncells, dtype=torch.float64, device=site.device)
    for name, soil_index in soil_variables():
        soil[soil_index] = site.tensor(snapshot.layer[name].T.copy())
    return State(
        organs,
        {name: site.tensor(slots(name)) for name in PLANT_VARIABLES},
        soil,
        {name: site.tensor(snapshot.layer[f"{name}_vr"].T.copy()) for name in MINERAL},
        site.tensor(snapshot.layer["scalaravg_col"].T.copy()),
        site.tensor(snapshot.column["cannsum_npp"].copy()),
    )


def from_state(state: State, site: Site, base: Snapshot) -> Snapshot:
    """Unpacks tensors; patches without cover keep the base's values."""
    cells = np.broadcast_to(np.arange(site.ncells), site.slot_pft.shape)
    used = site.slot_used

    def patches(name: str, values: object) -> np.ndarray:
        full = base.patch[name].copy()
        full[cells[used], site.slot_pft[used]] = np.asarray(values)[used]
        return full

    organs, soil = state.organs.cpu().numpy(), state.soil.cpu().numpy()
    patch = {name: patches(name, organs[index]) for name, index in organ_variables()}
    patch |= {name: patches(name, tensor.cpu().numpy()) for name, tensor in state.plant.items()}
    layer = {name: soil[index].T.copy() for name, index in soil_variables()}
    layer |= {f"{name}_vr": tensor.cpu().numpy().T.copy() for name, tensor in state.mineral.items()}
    layer["scalaravg_col"] = state.scalaravg.cpu().numpy().T.copy()
    return Snapshot(patch, layer, {"cannsum_npp": state.cannsum_npp.cpu().numpy().copy()})


def concatenate(parts: list[Snapshot]) -> Snapshot:
    """Joins blocks of cells in order."""
    return Snapshot(
        *(
            {
                name: np.concatenate([getattr(part, group)[name] for part in parts])
                for name in getattr(parts[0], group)
            }
            for group in ("patch", "layer", "column")
        )
    )
