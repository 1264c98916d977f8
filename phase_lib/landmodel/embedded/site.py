"""What does not change in a run: cells, covered PFTs, soils and parameters, as tensors.

Patches with cover are packed in slots: arrays of shape (slot, cell), where a cell's slots beyond its
covered PFTs have weight zero. All state tensors have the cell last, so that each operation streams.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from phase_lib.elm.parameters import Parameters
from phase_lib.elm.soil_grid import DZDECOMP, NLEVDECOMP, ZISOI, ZSOI
from phase_lib.elm.variables import ORGANS, SOIL_POOLS
from phase_lib.landmodel.embedded.constants import SURFACE_PROFILE_PER_M

#: PFT parameters that the model uses, by ELM's names.
PFT_PARAMETERS = (
    "leafcn", "frootcn", "livewdcn", "deadwdcn", "leafcp", "frootcp", "livewdcp", "deadwdcp",
    "lflitcn", "lflitcp", "froot_leaf", "stem_leaf", "croot_stem", "flivewd", "grperc", "fcur",
    "slatop", "dsladlai", "leaf_long", "froot_long", "evergreen", "season_decid", "stress_decid",
    "woody", "c3psn", "flnr", "rootprof_beta", "roota_par", "rootb_par", "smpso", "smpsc",
    "lf_flab", "lf_fcel", "lf_flig", "fr_flab", "fr_fcel", "fr_flig", "nstor", "br_xr",
)  # fmt: skip
#: PFTs that live in the cold (boreal and arctic types): 2, 3, 8, 11, 12.
COLD_PFTS = (2, 3, 8, 11, 12)


@dataclass(frozen=True)
class SiteInputs:
    """Numpy arrays that describe a block of cells, for a worker process.

    Attributes:
        lat: latitude (cell), degrees.
        cover: share of the soil column per PFT (cell, natpft).
        sand, clay: percent (cell, levdecomp).
        organic: kg m-3 (cell, levdecomp).
        soil_order: index (cell).
        surface_p: `LABILE_P` etc. (cell), gP m-2.
        soil_p: soil-order parameters (cell): sorption `smax`, `ks_sorption` in gP m-3, rates `r_*` as shares
            per month, `r_mort_soilorder` of tropical broadleaf trees in 1/yr.
        parameters: PFT and decomposition parameters.
    """

    lat: np.ndarray
    cover: np.ndarray
    sand: np.ndarray
    clay: np.ndarray
    organic: np.ndarray
    soil_order: np.ndarray
    surface_p: dict[str, np.ndarray]
    soil_p: dict[str, np.ndarray]
    parameters: Parameters

    def select(self, cells: slice) -> SiteInputs:
        """The same for some of the cells."""
        rows = ("lat", "cover", "sand", "clay", "organic", "soil_order")
        selected: dict[str, Any] = {name: getattr(self, name)[cells] for name in rows}
        for name in ("surface_p", "soil_p"):
            selected[name] = {key: values[cells] for key, values in getattr(self, name).items()}
        return replace(self, **selected)


class Site:
    """Tensors of a block of cells.

    Attributes:
        pft: PFT of each slot (slot, cell), int64; 0 in empty slots.
        weight: share of the soil column (slot, cell).
        p: PFT parameters by name, gathered to slots (slot, cell).
        cn, cp: C:N and C:P of the organs (organ, slot, cell); 1 where the PFT lacks the organ.
        soil_cn, soil_cp: fixed ratios of soil1 to soil4 (4).
        rate: decomposition rates (pool), 1/day.
        factor: acceleration F (pool).
    """

    def __init__(self, inputs: SiteInputs, device: torch.device) -> None:
        self.inputs = inputs
        self.device = device
        self.ncells = len(inputs.lat)
        self.slot_pft, self.slot_used = pack_slots(inputs.cover)
        self.nslots = self.slot_pft.shape[0]
        self.pft = self.tensor(self.slot_pft)
        cover = np.take_along_axis(inputs.cover.T, self.slot_pft, axis=0)
        self.weight = self.tensor(np.where(self.slot_used, cover, 0.0))
        parameters = inputs.parameters
        table = {
            name: self.tensor(np.where(np.isfinite(v := parameters.per_pft(name)), v, 0.0))
            for name in PFT_PARAMETERS
        }
        self.p: dict[str, Tensor] = {name: values[self.pft] for name, values in table.items()}
        ratios = [parameters.organ_ratios(organ) for organ in ORGANS]
        self.cn = self._ratio([cn for cn, _ in ratios])
        self.cp = self._ratio([cp for _, cp in ratios])
        self.is_c3 = self.p["c3psn"] > 0.5
        self.is_woody = self.p["woody"] > 0.5
        self.is_plant = self.pft > 0
        self.is_cold = torch.isin(self.pft, torch.tensor(COLD_PFTS, device=device))
        fixed = [parameters.soil_ratios(pool) for pool in SOIL_POOLS if pool.cn is not None]
        self.soil_cn = self.tensor([cn for cn, _ in fixed])
        self.soil_cp = self.tensor([cp for _, cp in fixed])
        self.rate = self.tensor([parameters.value(pool.rate) for pool in SOIL_POOLS])
        self.factor = self.tensor([parameters.ad_factor(pool) for pool in SOIL_POOLS])
        self.dz = self.tensor(DZDECOMP)
        self.z = self.tensor(ZSOI[:NLEVDECOMP])
        tropical = (self.pft == 4) | (self.pft == 6)
        general = torch.full_like(self.weight, parameters.value("r_mort"))
        by_order = self.tensor(inputs.soil_p["r_mort_soilorder"]).expand_as(self.weight)
        self.r_mort = torch.where(tropical, by_order, general)
        self.rootfr = self._water_roots()

    def tensor(self, values: object) -> Tensor:
        """A tensor on the site's device; floats become float64."""
        array = torch.as_tensor(np.asarray(values), device=self.device)
        return array.to(torch.float64) if array.is_floating_point() else array

    def scalar(self, name: str) -> float:
        """A scalar parameter by ELM's name."""
        return self.inputs.parameters.value(name)

    def _ratio(self, per_organ: list[np.ndarray]) -> Tensor:
        table = self.tensor(np.stack(per_organ))
        gathered = table[:, self.pft]
        return torch.where(gathered > 0.0, gathered, torch.ones_like(gathered))

    def _water_roots(self) -> Tensor:
        """Zeng's root fraction per layer (slot, layer, cell); the last active layer takes the rest."""
        a, b = self.p["roota_par"][:, None], self.p["rootb_par"][:, None]
        top = self.tensor(ZISOI[:NLEVDECOMP])[None, :, None]
        bottom = self.tensor(ZISOI[1 : NLEVDECOMP + 1])[None, :, None]
        above = torch.exp(-a * top) + torch.exp(-b * top)
        fraction = 0.5 * (above - torch.exp(-a * bottom) - torch.exp(-b * bottom))
        fraction[:, -1] = 1.0 - fraction[:, :-1].sum(1)
        return fraction

    def root_profile(self, open_layers: Tensor) -> Tensor:
        """Profile of root litter and N fixation (layer, slot, cell), 1/m.

        Beta profile: share of layer j = beta^(100 z_top) - beta^(100 z_bottom), limited to open layers.

        Args:
            open_layers: 1 where the layer lies above the active layer's base (layer, cell).
        """
        beta = self.p["rootprof_beta"].clamp(min=0.5)
        interface = self.tensor(100.0 * ZISOI[: NLEVDECOMP + 1])
        depth = beta[None] ** interface[:, None, None]
        share = (depth[:-1] - depth[1:]) * open_layers[:, None]
        return share / share.sum(0) / self.dz[:, None, None]

    def surface_profile(self, open_layers: Tensor) -> Tensor:
        """Profile of leaf and stem litter and deposition (layer, cell), 1/m.

        Density falls as exp(-10 z); limited to open layers, it integrates to 1.
        """
        density = torch.exp(-SURFACE_PROFILE_PER_M * self.z)[:, None] * open_layers
        return density / (density * self.dz[:, None]).sum(0)


def pack_slots(cover: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """PFT of each slot and whether it is used, both (slot, cell).

    Args:
        cover: share per PFT (cell, natpft).
    """
    covered = cover > 0.0
    used = covered.sum(axis=1)
    slots = int(used.max())
    # A stable sort puts the covered PFTs first, in ascending order.
    order = np.argsort(~covered, axis=1, kind="stable")[:, :slots].T
    slot_used = np.arange(slots)[:, None] < used[None, :]
    return np.where(slot_used, order, 0), slot_used
