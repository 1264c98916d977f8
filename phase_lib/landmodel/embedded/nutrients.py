"""Mineral N and P: competition by relative demand, inputs and losses.

Where demand exceeds supply, all users of a layer share it in proportion to their demand. Plants, immobilisers
and nitrifiers take ammonium first; the remaining demand of plants and immobilisers competes for nitrate with
denitrifiers. The supply of a month includes the N and P that it mineralises or receives.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from phase_lib.landmodel.embedded.constants import PHOSPHATE_MOBILITY
from phase_lib.landmodel.embedded.site import Site

_TINY = 1.0e-30


@dataclass(frozen=True)
class Competition:
    """Outcome for one element.

    Attributes:
        immobilised: share of potential immobilisation met, `fpi_vr` (layer, cell).
        plant: share of plant demand met, `fpg` (cell).
        uptake: what plants took from each layer (layer, cell), g m-3, supplement included.
        supplement: what was added from outside where limits are off (layer, cell), g m-3.
    """

    immobilised: Tensor
    plant: Tensor
    uptake: Tensor
    supplement: Tensor


def share_met(demand: Tensor, supply: Tensor) -> Tensor:
    """Share of demand that supply covers, in [0, 1]; 1 where nothing is demanded."""
    return torch.where(demand > supply, supply / demand.clamp(min=_TINY), torch.ones_like(demand))


def _layered_demand(demand: Tensor, stock: Tensor, fallback: Tensor, dz: Tensor) -> Tensor:
    """Plant demand by layer (layer, cell), g m-3, in proportion to the mineral stock of each layer."""
    column = (stock * dz).sum(0)
    share = torch.where(column > _TINY, stock / column.clamp(min=_TINY), fallback)
    return demand * share


def compete_for_nitrogen(
    mineral: dict[str, Tensor],
    *,
    plant_demand: Tensor,
    immobilisation: Tensor,
    input_rate: Tensor,
    nitrification: Tensor,
    denitrification: Tensor,
    fallback: Tensor,
    dz: Tensor,
    unlimited: bool,
) -> tuple[Competition, Tensor]:
    """Shares out a month's mineral N; `smin_nh4` and `smin_no3` are updated in place.

    Args:
        mineral: pools (layer, cell), gN m-3.
        plant_demand: of the column (cell), gN m-2.
        immobilisation: potential (layer, cell), gN m-3.
        input_rate: mineralised, deposited and fixed in the month (layer, cell), gN m-3.
        nitrification, denitrification: shares that nitrifiers and denitrifiers could take.
        fallback: profile of plant demand where the column holds no mineral N (layer, cell), 1/m.
        dz: layer thickness (layer, 1), m.
        unlimited: True in carbon-only years: what is lacking is supplied from outside.

    Returns:
        The outcome, and the N that was denitrified (layer, cell), gN m-3.
    """
    ammonium, nitrate = mineral["smin_nh4"] + input_rate, mineral["smin_no3"]
    plant = _layered_demand(plant_demand, ammonium + nitrate, fallback, dz)
    nitrifiers = nitrification * ammonium
    first = share_met(plant + immobilisation + nitrifiers, ammonium)
    nitrified = first * nitrifiers
    nitrate = nitrate + nitrified
    lacking_plant, lacking_immobilisers = (1.0 - first) * plant, (1.0 - first) * immobilisation
    denitrifiers = denitrification * nitrate
    second = share_met(lacking_plant + lacking_immobilisers + denitrifiers, nitrate)
    met = first + (1.0 - first) * second
    denitrified = second * denitrifiers
    taken = lacking_plant + lacking_immobilisers
    mineral["smin_nh4"] = (ammonium - first * (plant + immobilisation + nitrifiers)).clamp(min=0.0)
    mineral["smin_no3"] = (nitrate - second * (taken + denitrifiers)).clamp(min=0.0)
    return _outcome(met, plant, immobilisation, plant_demand, dz, unlimited), denitrified


def compete_for_phosphorus(
    mineral: dict[str, Tensor],
    *,
    plant_demand: Tensor,
    immobilisation: Tensor,
    input_rate: Tensor,
    fallback: Tensor,
    dz: Tensor,
    unlimited: bool,
) -> Competition:
    """Shares out a month's solution P, updated in place; arguments as for nitrogen, in gP."""
    solution = mineral["solutionp"] + input_rate
    plant = _layered_demand(plant_demand, solution, fallback, dz)
    met = share_met(plant + immobilisation, solution)
    mineral["solutionp"] = (solution - met * (plant + immobilisation)).clamp(min=0.0)
    return _outcome(met, plant, immobilisation, plant_demand, dz, unlimited)


def _outcome(
    met: Tensor, plant: Tensor, immobilisation: Tensor, plant_demand: Tensor, dz: Tensor, unlimited: bool
) -> Competition:
    if unlimited:
        supplement = (1.0 - met) * (plant + immobilisation)
        return Competition(torch.ones_like(met), torch.ones_like(plant_demand), plant, supplement)
    uptake = met * plant
    column = (uptake * dz).sum(0)
    fpg = torch.where(
        plant_demand > _TINY, column / plant_demand.clamp(min=_TINY), torch.ones_like(plant_demand)
    )
    return Competition(met, fpg, uptake, torch.zeros_like(met))


def leach_nitrate(nitrate: Tensor, share: Tensor, dz: Tensor) -> tuple[Tensor, Tensor]:
    """Carries nitrate down with the drainage.

    Args:
        nitrate: (layer, cell), gN m-3.
        share: share that leaves each layer in the month (cell).
        dz: layer thickness (layer), m.

    Returns:
        Nitrate after leaching (layer, cell) and what leaves the column (cell), gN m-2.
    """
    carried = torch.zeros_like(share)
    layers = []
    for layer, thickness in enumerate(dz.tolist()):
        stock = nitrate[layer] * thickness + carried
        carried = share * stock
        layers.append((stock - carried) / thickness)
    return torch.stack(layers), carried


class Phosphorus:
    """Transformations of mineral P: weathering, sorption, occlusion, Langmuir equilibrium, leaching."""

    def __init__(self, site: Site) -> None:
        self._smax = site.tensor(site.inputs.soil_p["smax"])
        self._ks = site.tensor(site.inputs.soil_p["ks_sorption"])
        self._monthly = {
            name: site.tensor(np.clip(site.inputs.soil_p[name], 0.0, 1.0 - 1e-12))
            for name in ("r_weather", "r_adsorp", "r_desorp", "r_occlude")
        }

    def transform(
        self, mineral: dict[str, Tensor], deposition: Tensor, leaching: Tensor, days: float, dz: Tensor
    ) -> Tensor:
        """One month, in place.

        Rates are first order, share 1 - (1 - r)^(days/30); solution and labile P are then brought to
        labile = smax solution / (ks + solution).

        Args:
            mineral: P pools (layer, cell), gP m-3.
            deposition: into primary P (layer, cell), gP m-3.
            leaching: share of the soil water that drains (cell).
            days: length of the month.
            dz: layer thickness (layer, 1), m.

        Returns:
            P leached from the column (cell), gP m-2.
        """

        def share(name: str) -> Tensor:
            return -torch.expm1(torch.log1p(-self._monthly[name]) * (days / 30.0))

        weathered = share("r_weather") * mineral["primp"]
        adsorbed = share("r_adsorp") * mineral["labilep"]
        desorbed = share("r_desorp") * mineral["secondp"]
        occluded = share("r_occlude") * mineral["secondp"]
        leached = PHOSPHATE_MOBILITY * leaching * mineral["solutionp"]
        mineral["primp"] = mineral["primp"] + deposition - weathered
        mineral["secondp"] = mineral["secondp"] + adsorbed - desorbed - occluded
        mineral["occlp"] = mineral["occlp"] + occluded
        total = mineral["solutionp"] + mineral["labilep"] + weathered + desorbed - adsorbed - leached
        mineral["solutionp"] = self.solution(total)
        mineral["labilep"] = total - mineral["solutionp"]
        return (leached * dz).sum(0)

    def solution(self, total: Tensor) -> Tensor:
        """Solution P in equilibrium, given solution plus labile P (gP m-3); the stable form of the root."""
        half = self._smax + self._ks - total
        root = torch.sqrt(half * half + 4.0 * self._ks * total)
        direct = 0.5 * (root - half)
        stable = 2.0 * self._ks * total / (root + half).clamp(min=_TINY)
        return torch.minimum(torch.where(half > 0.0, stable, direct), total)


def fixation(npp: Tensor) -> Tensor:
    """N fixation from annual NPP: 1.8 (1 - exp(-0.003 NPP)), gN m-2 yr-1; NPP in gC m-2 yr-1."""
    return 1.8 * -torch.expm1(-0.003 * npp.clamp(min=0.0))
