"""Plant carbon, nitrogen and phosphorus in a month: leaf-out, production, demand, growth, turnover, death.

The order within a month: leaves come out of storage; production and respiration give the carbon that may
be allocated; growth asks for N and P; the soil answers; tissue is built from the plants' N and P reserves;
leaves, roots and live wood turn over; plants die.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from phase_lib.elm.constants import SECONDS_PER_DAY
from phase_lib.elm.variables import VARIABLES
from phase_lib.landmodel.embedded import constants as k
from phase_lib.landmodel.embedded.environment import Environment
from phase_lib.landmodel.embedded.site import Site
from phase_lib.landmodel.embedded.state import (
    DEADCROOT,
    DEADSTEM,
    DISPLAY,
    FROOT,
    LEAF,
    LIVECROOT,
    LIVESTEM,
    PLANT_POOLS,
    STORAGE,
    XFER,
    C,
    N,
    P,
    State,
)

_TINY = 1.0e-30
_ABOVE, _BELOW = (LEAF, LIVESTEM, DEADSTEM), (FROOT, LIVECROOT, DEADCROOT)


@dataclass
class CarbonFluxes:
    """Carbon of a month (slot, cell), gC m-2 of patch."""

    gpp: Tensor
    maintenance: Tensor
    growth: Tensor
    excess: Tensor
    available: Tensor

    @property
    def autotrophic(self) -> Tensor:
        """Autotrophic respiration AR = MR + GR + XR."""
        return self.maintenance + self.growth + self.excess


@dataclass(frozen=True)
class Demand:
    """What growth needs (slot, cell): allometry, total need of N and P, part met by retranslocation."""

    shares: Tensor
    carbon: Tensor
    nutrient: Tensor
    total: Tensor
    retranslocated: Tensor


def leaf_area(leafc: Tensor, slatop: Tensor, dsladlai: Tensor) -> Tensor:
    """Leaf area index from leaf carbon: `elm.canopy.leaf_area` on tensors."""
    steep = dsladlai > 0.0
    slope = torch.where(steep, dsladlai, torch.ones_like(dsladlai))
    return torch.where(steep, slatop * torch.expm1(slope * leafc) / slope, slatop * leafc).clamp(min=0.0)


class Vegetation:
    """Plants of a block of cells."""

    def __init__(self, site: Site, environment: Environment, mortality_factor: float) -> None:
        self._site = site
        self._env = environment
        self._dead_wood_factor = mortality_factor
        p = site.p
        self._leaf_quality = torch.stack([p["lf_flab"], p["lf_fcel"], p["lf_flig"]])
        self._root_quality = torch.stack([p["fr_flab"], p["fr_fcel"], p["fr_flig"]])
        self._litter_ratio = torch.stack([p["lflitcn"], p["lflitcp"]]).clamp(min=1.0)
        self._ratio = torch.stack([site.cn, site.cp])
        self._br_mr = site.scalar("br_mr") * SECONDS_PER_DAY

    def leaf_out(self, state: State, t: int, days: float) -> Tensor:
        """Moves storage and transfer pools to display; returns the growth respiration that this costs."""
        calendar = self._env.phenology
        onset, flowing = calendar.onset[t], calendar.transfer[t]
        # Over a year the flow empties the storage to 1/e, as with ELM's `bgtr` of one per year.
        share = self._site.scalar("fstor2tran") * onset - math.expm1(-days / 365.0) * flowing
        rest = torch.maximum(onset, flowing)
        organs = state.organs
        storage, xfer = organs[:, :, STORAGE] * share, organs[:, :, XFER] * rest
        organs[:, :, STORAGE] -= storage
        organs[:, :, XFER] -= xfer
        organs[:, :, DISPLAY] += storage
        organs[:, :, DISPLAY] += xfer
        banked = state.plant["gresp_storage"] * share
        moving = state.plant["gresp_xfer"] * rest
        state.plant["gresp_storage"] = state.plant["gresp_storage"] - banked
        state.plant["gresp_xfer"] = state.plant["gresp_xfer"] - moving
        return banked + moving

    def produce(self, state: State, t: int, days: float, growth: Tensor) -> CarbonFluxes:
        """Production, maintenance respiration and the carbon left for growth.

        A deficit is drawn from `xsmrpool`, which later surpluses pay back within `dayscrecover`.
        """
        site, env = self._site, self._env
        leafed = env.phenology.leafed[t]
        lai = leaf_area(state.organs[C, LEAF, DISPLAY], site.p["slatop"], site.p["dsladlai"])
        gpp = env.light_use[t] * leafed * -torch.expm1(-k.EXTINCTION * lai)
        tissue = state.organs[N, :, DISPLAY]
        air = env.q10_air[t]
        warm = (tissue[LEAF] * leafed + tissue[LIVESTEM]) * air
        maintenance = self._br_mr * days * (warm + (tissue[FROOT] + tissue[LIVECROOT]) * env.q10_root[t])
        surplus = gpp - maintenance
        available = surplus.clamp(min=0.0)
        owed = (-state.plant["xsmrpool"]).clamp(min=0.0)
        recovery = -math.expm1(-days / site.scalar("dayscrecover"))
        recovered = torch.minimum(available, owed * recovery)
        state.plant["xsmrpool"] = state.plant["xsmrpool"] + recovered + surplus.clamp(max=0.0)
        return CarbonFluxes(gpp, maintenance, growth, torch.zeros_like(gpp), available - recovered)

    def demand(self, state: State, flux: CarbonFluxes) -> Demand:
        """N and P that growth would need, and what retranslocation gives of it."""
        shares = self._allometry(state.plant["annsum_npp"])
        carbon = (1.0 + self._site.p["grperc"]) * shares.sum(0)
        nutrient = (shares / self._ratio).sum(1)
        total = flux.available / carbon * nutrient
        potential = state.plant["annsum_potential_gpp"]
        season = 0.5 * flux.gpp / potential.clamp(min=_TINY)
        season = torch.where(potential > 0.0, season, torch.zeros_like(potential))
        pools = torch.stack([state.plant["retransn"], state.plant["retransp"]])
        peaks = torch.stack([state.plant["annmax_retransn"], state.plant["annmax_retransp"]])
        retranslocated = torch.minimum(torch.minimum(peaks * season, pools), total)
        return Demand(shares, carbon, nutrient, total, retranslocated)

    def _allometry(self, npp: Tensor) -> Tensor:
        """New tissue per unit of new leaf (organ, slot, cell)."""
        p = self._site.p
        stem = p["stem_leaf"]
        dynamic = 2.7 * -stem / (1.0 + torch.exp(-0.004 * (npp - 300.0))) - 0.4
        stem = torch.where(stem < 0.0, dynamic.clamp(min=0.2), stem) * self._site.is_woody
        live = p["flivewd"]
        coarse = p["croot_stem"] * stem
        leaf = torch.ones_like(stem)
        return torch.stack(
            [leaf, p["froot_leaf"], stem * live, stem * (1.0 - live), coarse * live, coarse * (1.0 - live)]
        )

    def reserve(self, state: State, demand: Demand) -> tuple[Tensor, Tensor]:
        """Target and actual reserves of N and P (element, slot, cell), g m-2.

        The target is the need of `nstor` years, and at least the content of the leaves: on leaving AD the
        model lifts `ppool` to that level.
        """
        need = state.plant["annsum_npp"].clamp(min=0.0) * demand.nutrient / demand.carbon
        years = self._site.p["nstor"] * need.clamp(min=0.01)
        target = torch.maximum(years, state.organs[1:, LEAF].sum(1))
        return target, torch.stack([state.plant["npool"], state.plant["ppool"]])

    def uptake_demand(self, state: State, demand: Demand) -> Tensor:
        """Demand on the soil (element, slot, cell), fading as the reserve exceeds its target.

        Without this a reserve of the element that does not limit growth would grow without bound.
        """
        target, stock = self.reserve(state, demand)
        return (demand.total - demand.retranslocated) * (2.0 - stock / target).clamp(0.0, 1.0)

    def grow(
        self,
        state: State,
        flux: CarbonFluxes,
        demand: Demand,
        uptake: Tensor,
        t: int,
        days: float,
        unlimited: Tensor,
    ) -> None:
        """Builds tissue from the N and P reserves, banks or respires what carbon is left.

        Args:
            uptake: N and P taken from the soil (element, slot, cell), g m-2.
            unlimited: 1 per element where the reserve does not throttle growth (element, 1, 1).
        """
        plant = state.plant
        for element, (pool, source) in enumerate((("npool", "retransn"), ("ppool", "retransp"))):
            plant[pool] = plant[pool] + uptake[element] + demand.retranslocated[element]
            plant[source] = plant[source] - demand.retranslocated[element]
        target, stock = self.reserve(state, demand)
        throttle = torch.where(unlimited > 0.5, torch.ones_like(stock), (stock / target).clamp(max=1.0))
        usable = torch.minimum(demand.total * throttle, stock)
        possible = (usable * demand.carbon / demand.nutrient.clamp(min=_TINY)).amin(0)
        allocated = torch.minimum(possible, flux.available)
        new = allocated / demand.carbon * demand.shares
        plant["npool"] = (plant["npool"] - (new / self._ratio[0]).sum(0)).clamp(min=0.0)
        plant["ppool"] = (plant["ppool"] - (new / self._ratio[1]).sum(0)).clamp(min=0.0)
        shown, stored = new * self._site.p["fcur"], new * (1.0 - self._site.p["fcur"])
        for stage, part in ((DISPLAY, shown), (STORAGE, stored)):
            state.organs[C, :, stage] += part
            state.organs[1:, :, stage] += part / self._ratio
        cost = self._site.p["grperc"]
        flux.growth = flux.growth + cost * shown.sum(0)
        plant["gresp_storage"] = plant["gresp_storage"] + cost * stored.sum(0)
        unused = plant["cpool"] + (flux.available - allocated)
        rate = self._site.p["br_xr"] * self._env.q10_air[t]
        flux.excess = unused * -torch.expm1(-days * SECONDS_PER_DAY * rate)
        plant["cpool"] = unused - flux.excess

    def turn_over(self, state: State, t: int, days: float) -> tuple[Tensor, Tensor]:
        """Sheds leaves and fine roots, turns live wood to dead wood, and lets plants die.

        Returns:
            Litter at the surface and along roots (litr1 to litr3, cwd; element, slot, cell), g m-2 of patch.
        """
        organs, plant = state.organs, state.plant
        calendar, p = self._env.phenology, self._site.p
        offset, background = calendar.offset[t], calendar.background[t]

        def shed(longevity: Tensor) -> Tensor:
            share = -torch.expm1(-days / 365.0 / longevity.clamp(min=1.0e-3))
            return offset + (1.0 - offset) * background * share

        leaf = organs[:, LEAF, DISPLAY] * shed(p["leaf_long"])
        organs[:, LEAF, DISPLAY] -= leaf
        kept = torch.minimum(leaf[C] / self._litter_ratio, leaf[1:])
        plant["retransn"] = plant["retransn"] + (leaf[N] - kept[0])
        plant["retransp"] = plant["retransp"] + (leaf[P] - kept[1])
        leaf_litter = torch.cat([leaf[:1], kept])
        froot = organs[:, FROOT, DISPLAY] * shed(p["froot_long"])
        organs[:, FROOT, DISPLAY] -= froot

        self._live_to_dead(state, days)
        dead, labile_above, labile_below = self._die(state, days)
        leaf_litter = leaf_litter + dead[:, LEAF]
        root_litter = froot + dead[:, FROOT]
        stem, coarse_root = dead[:, LIVESTEM] + dead[:, DEADSTEM], dead[:, LIVECROOT] + dead[:, DEADCROOT]
        surface = torch.cat([self._leaf_quality[:, None] * leaf_litter, stem[None]])
        root = torch.cat([self._root_quality[:, None] * root_litter, coarse_root[None]])
        surface[0] += labile_above
        root[0] += labile_below
        return surface, root

    def _live_to_dead(self, state: State, days: float) -> None:
        share = -math.expm1(-self._site.scalar("lwtop_ann") * days / 365.0)
        organs, plant = state.organs, state.plant
        for live, dead in ((LIVESTEM, DEADSTEM), (LIVECROOT, DEADCROOT)):
            moved = organs[:, live, DISPLAY] * share
            organs[:, live, DISPLAY] -= moved
            kept = torch.minimum(moved[C] / self._ratio[:, dead], moved[1:])
            organs[C, dead, DISPLAY] += moved[C]
            organs[1:, dead, DISPLAY] += kept
            plant["retransn"] = plant["retransn"] + (moved[N] - kept[0])
            plant["retransp"] = plant["retransp"] + (moved[P] - kept[1])

    def _die(self, state: State, days: float) -> tuple[Tensor, Tensor, Tensor]:
        """Gap mortality of all pools but `xsmrpool`; in AD displayed dead wood dies faster.

        Returns:
            Dead display (element, organ, slot, cell); reserves above and below ground (element, slot, cell).
        """
        organs, plant = state.organs, state.plant
        share = -torch.expm1(-self._site.r_mort * days / 365.0)
        fast = -torch.expm1(-self._site.r_mort * self._dead_wood_factor * days / 365.0)
        display = organs[:, :, DISPLAY] * share
        for organ in (DEADSTEM, DEADCROOT):
            display[:, organ] = organs[:, organ, DISPLAY] * fast
        organs[:, :, DISPLAY] -= display
        reserves = organs[:, :, STORAGE:] * share
        organs[:, :, STORAGE:] -= reserves
        by_organ = reserves.sum(2)
        above = by_organ[:, list(_ABOVE)].sum(1)
        below = by_organ[:, list(_BELOW)].sum(1)
        for element, names in enumerate(PLANT_POOLS):
            for name in names:
                if VARIABLES[name].kind == "debt":
                    continue
                lost = plant[name] * share
                plant[name] = plant[name] - lost
                above[element] += lost
        return display, above, below
