"""The integration: month by month, year by year, with balances closed and pools checked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from phase_lib.base.errors import ModelStopped
from phase_lib.elm.constants import DAYS_PER_MONTH, DAYS_PER_YEAR, FILL_THRESHOLD
from phase_lib.elm.soil_budget import MIXED, mixing_field, respiration_field, transfer_field
from phase_lib.elm.spinup import SCALARAVG_LAYER, SCALARAVG_SWITCH, SCALARAVG_YEARS
from phase_lib.elm.variables import (
    ELEMENTS,
    LITTER,
    MINERAL_N,
    MINERAL_P,
    SOIL_POOL_INDEX,
    SOM,
    TRANSITIONS,
    VARIABLES,
    pools_of,
)
from phase_lib.landmodel.domain import Mode
from phase_lib.landmodel.embedded import constants as k
from phase_lib.landmodel.embedded.environment import Environment
from phase_lib.landmodel.embedded.nutrients import (
    Competition,
    Phosphorus,
    compete_for_nitrogen,
    compete_for_phosphorus,
    fixation,
    leach_nitrate,
)
from phase_lib.landmodel.embedded.site import Site
from phase_lib.landmodel.embedded.soil import Cascade, Mixing, PotentialDecomposition
from phase_lib.landmodel.embedded.state import (
    DISPLAY,
    LEAF,
    ORGAN_VARIABLES,
    PLANT_POOLS,
    SOIL_VARIABLES,
    C,
    N,
    P,
    State,
)
from phase_lib.landmodel.embedded.vegetation import CarbonFluxes, Vegetation, leaf_area

#: Column fluxes summed over a period, g m-2 of soil column.
FLUXES = (
    "GPP", "NPP", "AR", "MR", "GR", "XR", "HR", "LITFALL", "NDEP_TO_SMINN", "NFIX_TO_SMINN", "DENIT",
    "SMIN_NO3_LEACHED", "SUPPLEMENT_TO_SMINN", "PDEP_TO_SMINP", "SMINP_LEACHED", "SUPPLEMENT_TO_SMINP",
)  # fmt: skip
#: Column means over time, weighted by the length of the months.
MEANS = ("FPG", "FPG_P", "FPI", "FPI_P", "TLAI")


@dataclass(frozen=True)
class Protocol:
    """Spin-up switches of a run.

    Attributes:
        mode: `ad` (spinup_state 1, suplphos ALL) or `normal` (spinup_state 0, suplphos NONE).
        carbon_only_years: `nyears_ad_carbon_only`; counts in AD mode.
        mortality_factor: `spinup_mortality_factor`; acts in AD mode.
    """

    mode: Mode
    carbon_only_years: int
    mortality_factor: float


class EmbeddedModel:
    """Integrates a block of cells.

    Args:
        site: cells and parameters.
        environment: forcing cycle's environment.
        state: initial state, changed in place.
        protocol: spin-up switches.
        cells: global numbers of the block's cells (1-based), for messages.
    """

    def __init__(
        self, site: Site, environment: Environment, state: State, protocol: Protocol, cells: list[int]
    ) -> None:
        self.site = site
        self.env = environment
        self.state = state
        self.protocol = protocol
        self._cells = cells
        in_ad = protocol.mode == "ad"
        self.vegetation = Vegetation(site, environment, protocol.mortality_factor if in_ad else 1.0)
        self.cascade = Cascade(site)
        self.mixing = Mixing(site)
        self.phosphorus = Phosphorus(site)
        self._dz = site.dz[:, None]
        self.reset_means()
        self.check_pools("at the start")

    def reset_means(self) -> None:
        """Starts a new averaging period."""
        zero = torch.zeros(self.site.ncells, dtype=torch.float64, device=self.site.device)
        self.flux = {name: zero.clone() for name in FLUXES}
        self.mean = {name: zero.clone() for name in (*MEANS, *_STOCK_MEANS)}
        self.soil_mean = torch.zeros_like(self.state.soil)
        self.litter_input, self.decomposed, self.mixed = (
            torch.zeros_like(self.state.soil[:, C]) for _ in range(3)
        )

    def run_year(self, year: int) -> None:
        """Integrates one model year.

        Raises:
            ModelStopped: a pool is negative or NaN, or C, N or P is not balanced; cell, pool and layer named.
        """
        first = 12 * ((year - 1) % self.env.years)
        before, brought = self.column_totals(), self._net_input()
        zero = torch.zeros_like(self.state.plant["annsum_npp"])
        annual = {name: zero.clone() for name in ("annsum_npp", "annsum_potential_gpp", *_PEAKS)}
        self._prepare_mixing(year)
        profile = self._profiles(first // 12)
        for month, days in enumerate(DAYS_PER_MONTH):
            self._month(year, first + month, float(days), profile, annual)
        self.state.plant.update(annual)
        self.state.cannsum_npp = self._column(self.state.plant["annsum_npp"])
        self._update_scalaravg(year)
        self.check_pools(f"in year {year}")
        self._check_balance(year, before, brought)

    # --- one month ------------------------------------------------------------------------------

    def _month(self, year: int, t: int, days: float, profile: _Profiles, annual: dict[str, Tensor]) -> None:
        site, state, env = self.site, self.state, self.env
        carbon_only = self.protocol.mode == "ad" and year <= self.protocol.carbon_only_years
        plants = self.vegetation
        growth = plants.leaf_out(state, t, days)
        flux = plants.produce(state, t, days, growth)
        demand = plants.demand(state, flux)
        wanted = plants.uptake_demand(state, demand)
        column_demand = self._column(wanted)

        speed = site.rate[:, None] * self._acceleration(year)
        potential = self.cascade.potential(state.soil, env.xi[t], speed, days)
        nitrogen, phosphorus = self._compete(t, days, column_demand, potential, profile, carbon_only)
        scale = self._litter_scale(potential.litter_demand, nitrogen, phosphorus)
        self._return_unused(potential.litter_demand, scale, nitrogen, phosphorus)
        respired = self.cascade.advance(state.soil, potential, scale)

        met = nitrogen.plant * phosphorus.plant
        free = [1.0 if carbon_only else 0.0, 1.0 if self.protocol.mode == "ad" else 0.0]
        plants.grow(state, flux, demand, wanted * met, t, days, site.tensor(free)[:, None, None])
        added = self._add_litter(*plants.turn_over(state, t, days), profile)
        self.mixed -= state.soil[:, C]
        self.mixing.mix(state.soil)
        self.mixed += state.soil[:, C]
        deposited = profile.surface * (k.PDEP * days / DAYS_PER_YEAR)
        leached_p = self.phosphorus.transform(state.mineral, deposited, env.leaching[t], days, self._dz)
        nitrate = state.mineral["smin_no3"]
        state.mineral["smin_no3"], leached_n = leach_nitrate(nitrate, env.leaching[t], site.dz)

        annual["annsum_npp"] += flux.gpp - flux.autotrophic
        annual["annsum_potential_gpp"] += flux.gpp
        for peak, pool in _PEAKS.items():
            torch.maximum(annual[peak], state.plant[pool], out=annual[peak])
        self._record(flux, nitrogen, phosphorus, added, days)
        self.decomposed += potential.loss[:, C]
        self.flux["HR"] += (respired * self._dz).sum(0)
        self.flux["SMIN_NO3_LEACHED"] += leached_n
        self.flux["SMINP_LEACHED"] += leached_p

    def _compete(
        self,
        t: int,
        days: float,
        demand: Tensor,
        potential: PotentialDecomposition,
        profile: _Profiles,
        carbon_only: bool,
    ) -> tuple[Competition, Competition]:
        """N first; the demand for P is what N allows, so the scarcer element limits growth."""
        env, mineral = self.env, self.state.mineral
        part = days / DAYS_PER_YEAR
        fixed = fixation(self.state.cannsum_npp) * part
        deposited = k.NDEP * part
        release, immobilisation = potential.som_release, potential.litter_demand.clamp(min=0.0).sum(1)
        nitrogen, denitrified = compete_for_nitrogen(
            mineral,
            plant_demand=demand[0],
            immobilisation=immobilisation[0],
            input_rate=release[0] + profile.surface * deposited + profile.fixation * fixed,
            nitrification=env.nitrification[t],
            denitrification=env.denitrification[t],
            fallback=profile.fixation,
            dz=self._dz,
            unlimited=carbon_only,
        )
        phosphorus = compete_for_phosphorus(
            mineral,
            plant_demand=demand[1] * nitrogen.plant,
            immobilisation=immobilisation[1] * nitrogen.immobilised,
            input_rate=release[1],
            fallback=profile.fixation,
            dz=self._dz,
            unlimited=self.protocol.mode == "ad",
        )
        self.flux["NDEP_TO_SMINN"] += deposited
        self.flux["NFIX_TO_SMINN"] += fixed
        self.flux["PDEP_TO_SMINP"] += k.PDEP * part
        self.flux["DENIT"] += (denitrified * self._dz).sum(0)
        self.flux["SUPPLEMENT_TO_SMINN"] += (nitrogen.supplement * self._dz).sum(0)
        self.flux["SUPPLEMENT_TO_SMINP"] += (phosphorus.supplement * self._dz).sum(0)
        return nitrogen, phosphorus

    @staticmethod
    def _litter_scale(demand: Tensor, nitrogen: Competition, phosphorus: Competition) -> Tensor:
        """Share of each litter transition that nutrients allow (transition, layer, cell).

        Transitions that immobilise both elements take the product: the demand for P was what N allows.
        """
        one = torch.ones_like(demand[0])
        by_n = torch.where(demand[0] > 0.0, nitrogen.immobilised, one)
        by_p = torch.where(demand[1] > 0.0, phosphorus.immobilised, one)
        return by_n * by_p

    def _return_unused(
        self, demand: Tensor, scale: Tensor, nitrogen: Competition, phosphorus: Competition
    ) -> None:
        """Returns unused N and P to the mineral pools, and adds what litter released."""
        mineral = self.state.mineral
        positive = demand.clamp(min=0.0)
        granted_n = positive[0].sum(0) * nitrogen.immobilised
        granted_p = positive[1].sum(0) * nitrogen.immobilised * phosphorus.immobilised
        used = (demand * scale).sum(1)
        # Differences of equal numbers leave rounding errors below zero, which no pool may have.
        unused = granted_n - used[0] + (1.0 - phosphorus.plant) * nitrogen.uptake
        mineral["smin_nh4"] = (mineral["smin_nh4"] + unused).clamp(min=0.0)
        mineral["solutionp"] = (mineral["solutionp"] + granted_p - used[1]).clamp(min=0.0)

    def _add_litter(self, surface: Tensor, root: Tensor, profile: _Profiles) -> Tensor:
        """Adds litter to the first four pools; returns its carbon on the column (cell), gC m-2."""
        root = root * self.site.weight
        layered = profile.surface[None, None] * self._column(surface)[:, :, None]
        for slot in range(self.site.nslots):
            layered.addcmul_(root[:, :, None, slot], profile.root[:, slot])
        self.state.soil[:4] += layered
        self.litter_input[:4] += layered[:, C]
        return (layered[:, C] * self._dz).sum((0, 1))

    def _column(self, patches: Tensor) -> Tensor:
        """Weighted sum over patches: (..., slot, cell) -> (..., cell)."""
        return (patches * self.site.weight).sum(-2)

    # --- once a year ----------------------------------------------------------------------------

    def _acceleration(self, year: int) -> Tensor:
        """Factor on each pool's rate (pool, 1 or cell): F, and F / scalaravg from model year 40 on."""
        if self.protocol.mode == "normal":
            return torch.ones_like(self.site.factor)[:, None]
        factor = self.site.factor[:, None]
        if year < SCALARAVG_YEARS[1]:
            return factor
        return torch.where(factor > 1.0, factor / self.state.scalaravg[SCALARAVG_LAYER], factor)

    def _update_scalaravg(self, year: int) -> None:
        """`scalaravg_col`: 0 before year 20, the mean of xi over years 20 to 39, then 1 where below 1e-3."""
        if self.protocol.mode == "normal":
            return
        first, last = SCALARAVG_YEARS
        average = self.state.scalaravg
        if year < first:
            average.zero_()
        elif year < last:
            start = 12 * ((year - 1) % self.env.years)
            days = self.site.tensor([float(d) for d in DAYS_PER_MONTH])[:, None]
            xi = self.env.xi[start : start + 12, SCALARAVG_LAYER]
            average += (xi * days).sum(0) / DAYS_PER_YEAR / (last - first)
        if year + 1 >= last:
            average.copy_(torch.where(average < SCALARAVG_SWITCH, torch.ones_like(average), average))

    def _prepare_mixing(self, year: int) -> None:
        index = (year - 1) % self.env.years
        deepest = torch.maximum(self.env.altmax[index], self.env.altmax[index - 1])
        self.mixing.prepare(deepest, self._acceleration(year), 1.0 / k.MONTHS_PER_YEAR)

    def _profiles(self, index: int) -> _Profiles:
        """Input profiles of a year of the cycle: limited to layers above last year's deepest thaw."""
        site = self.site
        open_layers = (site.z[:, None] < self.env.altmax[index - 1]).to(torch.float64)
        open_layers[0] = 1.0
        root = site.root_profile(open_layers)
        fixation_profile = (root * site.weight).sum(1) / site.weight.sum(0)
        return _Profiles(site.surface_profile(open_layers), root, fixation_profile)

    # --- bookkeeping ----------------------------------------------------------------------------

    def _record(
        self, flux: CarbonFluxes, nitrogen: Competition, phosphorus: Competition, litter: Tensor, days: float
    ) -> None:
        respiration, net = flux.autotrophic, flux.gpp - flux.autotrophic
        carbon = {"GPP": flux.gpp, "AR": respiration, "MR": flux.maintenance, "GR": flux.growth}
        for name, value in (carbon | {"XR": flux.excess, "NPP": net}).items():
            self.flux[name] += self._column(value)
        self.flux["LITFALL"] += litter
        part = days / DAYS_PER_YEAR
        state, site = self.state, self.site
        leafc = state.organs[C, LEAF, DISPLAY]
        depth = self._dz.sum()
        means = {
            "FPG": nitrogen.plant,
            "FPG_P": phosphorus.plant,
            "FPI": (nitrogen.immobilised * self._dz).sum(0) / depth,
            "FPI_P": (phosphorus.immobilised * self._dz).sum(0) / depth,
            "TLAI": self._column(leaf_area(leafc, site.p["slatop"], site.p["dsladlai"])),
        }
        for name, value in (means | {name: stock(self) for name, stock in _STOCK_MEANS.items()}).items():
            self.mean[name] += part * value
        self.soil_mean.add_(state.soil, alpha=part)

    def column_totals(self) -> Tensor:
        """All C, N and P of the soil column (element, cell), g m-2."""
        state = self.state
        plants = state.organs.sum((1, 2))
        for element, names in enumerate(PLANT_POOLS):
            plants[element] += sum(state.plant[name] for name in names)
        soil = (state.soil * self._dz).sum((0, 2))
        soil[N] += ((state.mineral["smin_nh4"] + state.mineral["smin_no3"]) * self._dz).sum(0)
        soil[P] += (sum(state.mineral[name] for name in MINERAL_P) * self._dz).sum(0)
        return self._column(plants) + soil

    def soil_fluxes(self) -> dict[str, Tensor]:
        """Carbon that the soil pools respired, passed on and gained by mixing (layer, cell), gC m-3.

        Of the averaging period so far, by the names of `elm.soil_budget`.
        """
        respired, fluxes = self.decomposed.clone(), {}
        for (donor, receiver), share in zip(TRANSITIONS, self.cascade.kept, strict=True):
            passed = share * self.decomposed[SOIL_POOL_INDEX[donor]]
            respired[SOIL_POOL_INDEX[donor]] -= passed
            fluxes[transfer_field(donor, receiver)] = passed
        for name in MIXED:
            fluxes[respiration_field(name)] = respired[SOIL_POOL_INDEX[name]]
            fluxes[mixing_field(name)] = self.mixed[SOIL_POOL_INDEX[name]]
        return fluxes

    def _net_input(self) -> Tensor:
        """Net C, N and P brought in so far in the averaging period (element, cell), g m-2."""
        f = self.flux
        nitrogen = f["NDEP_TO_SMINN"] + f["NFIX_TO_SMINN"] + f["SUPPLEMENT_TO_SMINN"]
        nitrogen = nitrogen - f["DENIT"] - f["SMIN_NO3_LEACHED"]
        phosphorus = f["PDEP_TO_SMINP"] + f["SUPPLEMENT_TO_SMINP"] - f["SMINP_LEACHED"]
        return torch.stack([f["GPP"] - f["AR"] - f["HR"], nitrogen, phosphorus])

    def _check_balance(self, year: int, before: Tensor, brought: Tensor) -> None:
        after = self.column_totals()
        error = (after - before - (self._net_input() - brought)).abs()
        bad = ~(error <= k.BALANCE_TOLERANCE * after.abs().clamp(min=1.0))
        if torch.any(bad):
            element, cell = (int(i) for i in torch.nonzero(bad)[0])
            raise ModelStopped(
                f"{'CNP'[element]} balance not closed in year {year}: cell {self._cells[cell]}, "
                f"error {float(error[element, cell]):.3e} g/m2 of {float(after[element, cell]):.6g} g/m2"
            )

    def check_pools(self, when: str) -> None:
        """Stops on a negative pool or NaN, naming cell, pool, and layer or PFT.

        Raises:
            ModelStopped: a pool other than `xsmrpool` is below zero, fill or not a number.
        """
        state = self.state
        if not _sound(state.soil):
            for name, index in SOIL_VARIABLES.items():
                self._stop_on(name, state.soil[index], "layer", when)
        if not _sound(state.organs):
            for name, organ_index in ORGAN_VARIABLES.items():
                self._stop_on(name, state.organs[organ_index], "PFT", when)
        for name, values in state.mineral.items():
            self._stop_on(f"{name}_vr", values, "layer", when)
        for name, values in state.plant.items():
            self._stop_on(name, values, "PFT", when)

    def _stop_on(self, name: str, values: Tensor, level: str, when: str) -> None:
        bad = ~(values.abs() < FILL_THRESHOLD)
        if not VARIABLES[name].signed:
            bad |= values < -k.NEGATIVE_TOLERANCE
        if torch.any(bad):
            place, cell = (int(i) for i in torch.nonzero(bad)[0])
            where = place + 1 if level == "layer" else int(self.site.pft[place, cell])
            raise ModelStopped(
                f"{name} is {float(values[place, cell]):.6g} {when}: cell {self._cells[cell]}, "
                f"{level} {where}; pools must be finite and not negative"
            )


def _sound(pools: Tensor) -> bool:
    return bool(pools.amin() >= -k.NEGATIVE_TOLERANCE) and bool(pools.amax() < FILL_THRESHOLD)


def _soil_sum(element: int, pools: tuple[str, ...]) -> Callable[[EmbeddedModel], Tensor]:
    first, last = SOIL_POOL_INDEX[pools[0]], SOIL_POOL_INDEX[pools[-1]] + 1
    return lambda model: (model.state.soil[first:last, element] * model._dz).sum((0, 1))


def _plants(element: int) -> Callable[[EmbeddedModel], Tensor]:
    names = [name for name in pools_of(f"totveg{ELEMENTS[element]}") if name in PLANT_POOLS[element]]

    def total(model: EmbeddedModel) -> Tensor:
        patches = model.state.organs[element].sum((0, 1))
        for name in names:
            patches = patches + model.state.plant[name]
        return model._column(patches)

    return total


def _mineral(names: tuple[str, ...]) -> Callable[[EmbeddedModel], Tensor]:
    return lambda model: (sum(model.state.mineral[name] for name in names) * model._dz).sum(0)


#: Stocks averaged over time, by history name.
_STOCK_MEANS: dict[str, Callable[[EmbeddedModel], Tensor]] = (
    {f"TOTVEG{name}": _plants(element) for element, name in enumerate("CNP")}
    | {f"TOTLIT{name}": _soil_sum(element, LITTER) for element, name in enumerate("CNP")}
    | {f"TOTSOM{name}": _soil_sum(element, SOM) for element, name in enumerate("CNP")}
    | {"CWDC": _soil_sum(C, ("cwd",)), "SMINN": _mineral(MINERAL_N)}
    | {"SMINP": _mineral(("solutionp", "labilep", "secondp"))}
)
#: Largest reserves of a year, which the next year's allocation needs: its variable and its pool.
_PEAKS = {"annmax_retransn": "retransn", "annmax_retransp": "retransp"}


@dataclass(frozen=True)
class _Profiles:
    """Input profiles, 1/m: surface (layer, cell), root (layer, slot, cell), fixation (layer, cell)."""

    surface: Tensor
    root: Tensor
    fixation: Tensor
