"""The physical environment of a forcing cycle: everything that follows from the forcing alone.

Soil temperature, soil water, snow, the active layer, decomposition scalars, water stress, potential
production, respiration factors and the phenological calendar are periodic over the forcing cycle, so
they are computed once, for every month of the cycle, before the biogeochemistry is integrated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from phase_lib.elm.constants import DAYS_PER_MONTH, SECONDS_PER_DAY, TFRZ
from phase_lib.elm.soil_grid import NLEVDECOMP, NLEVGRND, ZSOI
from phase_lib.forcing.pieces import MonthlyForcing
from phase_lib.landmodel.embedded import constants as k
from phase_lib.landmodel.embedded.phenology import PhenologyCalendar, phenology_calendar
from phase_lib.landmodel.embedded.site import Site

_STEFAN_BOLTZMANN = 5.67e-8
_PRIESTLEY_TAYLOR = 1.26
_LATENT_HEAT = 2.5e6  # J kg-1
_SPIN_CYCLES = 3


@dataclass(frozen=True)
class Environment:
    """Monthly environment of a forcing cycle (time = months of the cycle; 12 x years).

    Attributes:
        years: length of the cycle.
        air: air temperature (time, cell), K.
        soil_temperature: (time, levgrnd, cell), K.
        wetness: soil water over saturation in the root zone (time, cell).
        soil_water: water of the root zone (time, cell), mm.
        snow: snow water (time, cell), mm.
        rain, snowfall: (time, cell), mm per month.
        t_scalar: temperature scalar of decomposition (time, layer, cell).
        xi: product of temperature, water and depth scalars (time, layer, cell).
        light_use: potential production per unit of absorbed light share (time, slot, cell), gC m-2 per month.
        q10_air: respiration factor at air temperature (time, cell).
        q10_root: the same over the root profile (time, slot, cell).
        nitrification, denitrification, leaching: monthly fractions (time, layer or none, cell).
        altmax: deepest thaw of each year (year, cell), m.
        phenology: when leaves come and go.
    """

    years: int
    air: Tensor
    soil_temperature: Tensor
    wetness: Tensor
    soil_water: Tensor
    snow: Tensor
    rain: Tensor
    snowfall: Tensor
    t_scalar: Tensor
    xi: Tensor
    light_use: Tensor
    q10_air: Tensor
    q10_root: Tensor
    nitrification: Tensor
    denitrification: Tensor
    leaching: Tensor
    altmax: Tensor
    phenology: PhenologyCalendar


def temperature_scalar(temperature: Tensor, q10: float, froz_q10: float) -> Tensor:
    """Decomposition's temperature scalar: q10^((T - 298.15)/10), below freezing continued with froz_q10.

    Args:
        temperature: soil temperature, K.
        q10: `q10_hr`.
        froz_q10: `froz_q10`.
    """
    warm = q10 ** ((temperature - (TFRZ + 25.0)) / 10.0)
    frozen = q10 ** (-25.0 / 10.0) * froz_q10 ** ((temperature - TFRZ) / 10.0)
    return torch.where(temperature >= TFRZ, warm, frozen)


def moisture_scalar(psi: Tensor, psi_max: Tensor, minpsi: float) -> Tensor:
    """Decomposition's moisture scalar: ln(psi_min/psi) / ln(psi_min/psi_max), clipped to [0, 1].

    Args:
        psi: matric potential, MPa, negative.
        psi_max: potential of saturated soil, MPa, negative.
        minpsi: `minpsi_hr`, MPa.
    """
    bounded = torch.minimum(psi, psi_max)
    scalar = torch.log(minpsi / bounded) / torch.log(minpsi / psi_max)
    return torch.where(bounded > minpsi, scalar, torch.zeros_like(scalar)).clamp(0.0, 1.0)


def depth_scalar(depth: Tensor, efolding: float) -> Tensor:
    """Decomposition's depth scalar exp(-z / efolding), z in m."""
    return torch.exp(-depth / efolding)


@dataclass(frozen=True)
class SoilHydraulics:
    """Clapp-Hornberger properties (layer, cell): saturated potential (MPa), exponent, porosity."""

    psi_sat: Tensor
    b: Tensor
    porosity: Tensor

    def psi(self, saturation: Tensor) -> Tensor:
        """Matric potential (MPa) at a saturation in (0, 1]."""
        return self.psi_sat * saturation ** (-self.b)

    def saturation(self, psi: float) -> Tensor:
        """Saturation at a matric potential (MPa)."""
        return (psi / self.psi_sat) ** (-1.0 / self.b)


def soil_hydraulics(site: Site) -> SoilHydraulics:
    """Hydraulic properties from sand, clay and organic matter (ELM's pedotransfer, blended by 130 kg m-3)."""
    sand, clay = site.tensor(site.inputs.sand.T), site.tensor(site.inputs.clay.T)
    organic = (site.tensor(site.inputs.organic.T) / site.scalar("organic_max")).clamp(0.0, 1.0)
    depth = (site.z / 0.5).clamp(max=1.0)[:, None]
    porosity_organic = (0.93 - 0.1 * depth).clamp(min=0.83)
    b_organic = (2.7 + 9.3 * depth).clamp(max=12.0)
    suction_organic = (10.3 - 0.2 * depth).clamp(min=10.1)
    porosity = (1.0 - organic) * (0.489 - 0.00126 * sand) + organic * porosity_organic
    b = (1.0 - organic) * (2.91 + 0.159 * clay) + organic * b_organic
    suction = (1.0 - organic) * 10.0 * 10.0 ** (1.88 - 0.0131 * sand) + organic * suction_organic
    return SoilHydraulics(-9.8e-6 * suction, b, porosity)


def day_length_seconds(lat: np.ndarray, day_of_year: np.ndarray) -> np.ndarray:
    """Astronomical day length (day, cell), s, for latitudes in degrees and days 0..364."""
    declination = np.deg2rad(-23.45) * np.cos(2.0 * np.pi * (day_of_year + 10.0) / 365.0)
    cosine = -np.tan(np.deg2rad(np.clip(lat, -89.9, 89.9)))[None, :] * np.tan(declination)[:, None]
    return SECONDS_PER_DAY / np.pi * np.arccos(np.clip(cosine, -1.0, 1.0))


def saturation_vapour_pressure(celsius: Tensor) -> Tensor:
    """Saturation vapour pressure over water, Pa (Magnus form)."""
    return 610.94 * torch.exp(17.625 * celsius / (celsius + 243.04))


def compute_environment(site: Site, forcing: MonthlyForcing, co2_ppm: float) -> Environment:
    """Runs the physics over the forcing cycle until it is periodic.

    Args:
        site: block of cells.
        forcing: monthly forcing of its cells.
        co2_ppm: CO2 concentration that production sees.
    """
    values = {name: site.tensor(array) for name, array in forcing.values.items()}
    months = 12 * forcing.years
    days = site.tensor(np.tile(np.asarray(DAYS_PER_MONTH, dtype=np.float64), forcing.years))[:, None]
    hydraulics = soil_hydraulics(site)
    water, drainage = _water_balance(site, hydraulics, values, days)
    soil_temperature = _soil_temperature(site, values["TBOT"], water["snow"], days)

    near = soil_temperature[:, :NLEVDECOMP]
    saturation = water["wetness"][:, None].clamp(min=0.01)
    freezing = -k.FREEZING_MPA_PER_K * (TFRZ - near).clamp(min=0.0)
    psi = torch.where(
        near < TFRZ, torch.minimum(hydraulics.psi(saturation), freezing), hydraulics.psi(saturation)
    )
    psi = psi.clamp(min=-100.0)
    t_scalar = temperature_scalar(near, site.scalar("q10_hr"), site.scalar("froz_q10"))
    w_scalar = moisture_scalar(psi, hydraulics.psi_sat.expand_as(psi), site.scalar("minpsi_hr"))
    depth = depth_scalar(site.z, site.scalar("decomp_depth_efolding"))[:, None]
    day_length = site.tensor(day_length_seconds(site.inputs.lat, np.arange(365.0)))
    q10 = site.scalar("q10_mr")
    air = values["TBOT"]
    thaw = _thaw_depth(soil_temperature)
    return Environment(
        years=forcing.years,
        air=air,
        soil_temperature=soil_temperature,
        **water,
        t_scalar=t_scalar,
        xi=t_scalar * w_scalar * depth,
        light_use=_light_use(site, values, days, _water_stress(site, psi, near), co2_ppm),
        q10_air=q10 ** ((air - TFRZ - 20.0) / 10.0),
        q10_root=_over_roots(site, q10 ** ((near - TFRZ - 20.0) / 10.0)),
        nitrification=_nitrification(site, t_scalar, w_scalar, days),
        denitrification=_denitrification(water["wetness"], near, days),
        leaching=-torch.expm1(-drainage / water["soil_water"].clamp(min=1.0)),
        altmax=thaw.reshape(months // 12, 12, -1).amax(1),
        phenology=phenology_calendar(
            site,
            air=air,
            soil_temperature=near[:, 2],
            soil_psi=psi[:, 2],
            rain=water["rain"],
            day_length=day_length,
        ),
    )


def _water_balance(
    site: Site, hydraulics: SoilHydraulics, values: dict[str, Tensor], days: Tensor
) -> tuple[dict[str, Tensor], Tensor]:
    """Snow by degree days and one bucket of the root zone, Priestley-Taylor demand.

    Returns:
        Water of the environment, and drainage, mm per month.
    """
    celsius = values["TBOT"] - TFRZ
    precipitation = values["PRECTmms"] * SECONDS_PER_DAY * days
    snowfall = precipitation * ((2.0 - celsius) / 4.0).clamp(0.0, 1.0)
    rain = precipitation - snowfall
    porosity = _root_zone_mean(site, hydraulics.porosity)
    capacity = 1000.0 * k.ROOT_ZONE_M * porosity
    field = _root_zone_mean(site, hydraulics.saturation(k.FIELD_CAPACITY_MPA)).clamp(max=0.95) * capacity
    wilting = _root_zone_mean(site, hydraulics.saturation(k.WILTING_MPA)).clamp(max=0.9) * capacity
    months = len(celsius)
    out = {name: torch.zeros_like(celsius) for name in ("wetness", "soil_water", "snow")}
    drainage = torch.zeros_like(celsius)
    soil_water, snow = field.clone(), torch.zeros_like(field)
    drain_share = 1.0 - math.exp(-365.0 / 12.0 / k.SUBSTEPS / k.DRAINAGE_DAYS)
    for step in range(_SPIN_CYCLES * months):
        t = step % months
        snow = snow + snowfall[t]
        melt = torch.minimum(snow, k.DEGREE_DAY_MM * celsius[t].clamp(min=0.0) * days[t])
        # Snow of the high Arctic does not pile up over the cycle: the excess over 600 mm runs off.
        excess = (snow - melt - 600.0).clamp(min=0.0)
        snow = snow - melt - excess
        demand = _potential_evaporation(values, celsius, t, snow) * days[t] / k.SUBSTEPS
        supply = (rain[t] + melt) / k.SUBSTEPS
        drained, mean = torch.zeros_like(soil_water), torch.zeros_like(soil_water)
        for _ in range(k.SUBSTEPS):
            soil_water = soil_water + supply
            spill = (soil_water - capacity).clamp(min=0.0)
            stress = ((soil_water - wilting) / (0.6 * (field - wilting))).clamp(0.0, 1.0)
            loss = torch.minimum(demand * stress, (soil_water - spill - wilting).clamp(min=0.0))
            drain = drain_share * (soil_water - spill - loss - field).clamp(min=0.0)
            soil_water = soil_water - spill - loss - drain
            drained = drained + drain
            mean = mean + soil_water / k.SUBSTEPS
        out["wetness"][t], out["soil_water"][t], out["snow"][t] = mean / capacity, mean, snow
        drainage[t] = drained
    return out | {"rain": rain, "snowfall": snowfall}, drainage


def _potential_evaporation(values: dict[str, Tensor], celsius: Tensor, t: int, snow: Tensor) -> Tensor:
    """Priestley-Taylor evaporation, mm per day."""
    albedo = torch.where(snow > 10.0, k.SNOW_ALBEDO, k.LAND_ALBEDO)
    net = (1.0 - albedo) * values["FSDS"][t] + 0.97 * (
        values["FLDS"][t] - _STEFAN_BOLTZMANN * values["TBOT"][t] ** 4
    )
    slope = saturation_vapour_pressure(celsius[t]) * 17.625 * 243.04 / (celsius[t] + 243.04) ** 2
    gamma = 1004.0 * values["PSRF"][t] / (0.622 * _LATENT_HEAT)
    flux = _PRIESTLEY_TAYLOR * slope / (slope + gamma) * net.clamp(min=0.0) / _LATENT_HEAT * SECONDS_PER_DAY
    return torch.where(celsius[t] > -5.0, flux, torch.zeros_like(flux))


def _root_zone_mean(site: Site, values: Tensor) -> Tensor:
    weight = site.dz * (site.z < k.ROOT_ZONE_M)
    return (values * weight[:, None]).sum(0) / weight.sum()


def _soil_temperature(site: Site, air: Tensor, snow: Tensor, days: Tensor) -> Tensor:
    """Soil temperature (time, levgrnd, cell): first-order filters whose lag grows with depth.

    A filter with lag tau damps the annual wave by (1 + (w tau)^2)^-1/2; tau is chosen so that this is
    exp(-z / damping depth). Snow halves, at most, the cold that reaches the ground.
    """
    insulation = k.SNOW_INSULATION * -torch.expm1(-snow / k.SNOW_INSULATION_MM)
    ground = torch.where(air < TFRZ, TFRZ + (air - TFRZ) * (1.0 - insulation), air)
    omega = 2.0 * math.pi / 365.0
    depth = np.minimum(ZSOI[:NLEVGRND], 6.0 * k.ANNUAL_DAMPING_M)
    lag_days = np.sqrt(np.expm1(2.0 * depth / k.ANNUAL_DAMPING_M)) / omega
    share = 1.0 - np.exp(-365.0 / 12.0 / np.maximum(lag_days, 1.0e-6))
    share_t = site.tensor(share)[:, None]
    months = len(air)
    # Start from the mean of the cycle, which is the state that the deepest layers keep.
    state = (ground * days).sum(0)[None].expand(NLEVGRND, -1) / days.sum()
    out = torch.empty(months, NLEVGRND, air.shape[1], dtype=air.dtype, device=air.device)
    for step in range(_SPIN_CYCLES * months):
        t = step % months
        state = state + share_t * (ground[t] - state)
        out[t] = state
    return out


def _thaw_depth(soil_temperature: Tensor) -> Tensor:
    """Depth of the thawed layer from the surface (time, cell), m; 0 where the top is frozen."""
    thawed = torch.cumprod((soil_temperature > TFRZ).to(torch.int64), dim=1).sum(1)
    depth = torch.as_tensor(np.concatenate([[0.0], ZSOI]), device=soil_temperature.device)
    upper = (thawed - 1).clamp(min=0)
    lower = thawed.clamp(max=NLEVGRND - 1)
    t_upper = torch.gather(soil_temperature, 1, upper[:, None])[:, 0] - TFRZ
    t_lower = torch.gather(soil_temperature, 1, lower[:, None])[:, 0] - TFRZ
    none = torch.zeros_like(t_upper)
    share = torch.where(lower > upper, t_upper / (t_upper - t_lower).clamp(min=1e-6), none)
    z_upper, z_lower = depth[upper + 1], depth[lower + 1]
    partial = z_upper + share.clamp(0.0, 1.0) * (z_lower - z_upper)
    return torch.where(thawed == 0, none, torch.where(thawed == NLEVGRND, z_lower, partial))


def _over_roots(site: Site, layered: Tensor) -> Tensor:
    """Mean over the root profile: (time, layer, cell) -> (time, slot, cell)."""
    out = torch.zeros(layered.shape[0], site.nslots, site.ncells, dtype=layered.dtype, device=layered.device)
    for layer in range(NLEVDECOMP):
        out += layered[:, layer, None] * site.rootfr[:, layer]
    return out


def _water_stress(site: Site, psi: Tensor, temperature: Tensor) -> Tensor:
    """ELM's btran: root-weighted opening between `smpsc` and `smpso` (mm), closed in frozen soil."""
    open_mpa, closed_mpa = site.p["smpso"] * 9.8e-6, site.p["smpsc"] * 9.8e-6
    span = torch.where(site.is_plant, open_mpa - closed_mpa, torch.ones_like(open_mpa))
    out = torch.zeros(psi.shape[0], site.nslots, site.ncells, dtype=psi.dtype, device=psi.device)
    for layer in range(NLEVDECOMP):
        opening = ((psi[:, layer, None] - closed_mpa) / span).clamp(0.0, 1.0)
        opening = opening * (temperature[:, layer, None] > TFRZ - 2.0)
        out += opening * site.rootfr[:, layer]
    return out


def _ramp(celsius: Tensor, corners: tuple[float, float, float, float]) -> Tensor:
    zero, full, fall, end = corners
    return torch.minimum((celsius - zero) / (full - zero), (end - celsius) / (end - fall)).clamp(0.0, 1.0)


def _light_use(site: Site, values: dict[str, Tensor], days: Tensor, btran: Tensor, co2_ppm: float) -> Tensor:
    """Production per unit share of absorbed light (time, slot, cell), gC m-2 per month.

    epsilon x PAR x f(T) x f(VPD) x btran x f(CO2); epsilon scales with the square root of Rubisco
    nitrogen, flnr / (slatop leafcn), which ties it to ELM's Vcmax25.
    """
    celsius = values["TBOT"] - TFRZ
    par = k.PAR_FRACTION * values["FSDS"] * SECONDS_PER_DAY * days * 1.0e-6
    vapour = values["QBOT"] * values["PSRF"] / (0.622 + 0.378 * values["QBOT"])
    deficit = (saturation_vapour_pressure(celsius) - vapour).clamp(min=0.0)
    dryness = 1.0 - (deficit - k.VPD_OPEN_PA) / (k.VPD_CLOSED_PA - k.VPD_OPEN_PA)
    compensation = k.CO2_COMPENSATION * k.CO2_COMPENSATION_Q10 ** ((celsius - 25.0) / 10.0)
    co2 = ((co2_ppm - compensation) / (co2_ppm + 2.0 * compensation)).clamp(min=0.0)
    climate = par * dryness.clamp(0.2, 1.0)
    warm_c3 = (climate * co2 * _ramp(celsius, k.RAMP_C3))[:, None]
    cold_c3 = (climate * co2 * _ramp(celsius, k.RAMP_BOREAL))[:, None]
    c4 = (climate * _ramp(celsius, k.RAMP_C4))[:, None]
    c3 = torch.where(site.is_cold, cold_c3, warm_c3)
    rubisco = site.p["flnr"] / (site.p["slatop"] * site.p["leafcn"]).clamp(min=1e-6)
    scale = torch.sqrt(rubisco / k.RUBISCO_N_REFERENCE)
    epsilon = torch.where(site.is_c3, k.EPSILON_C3, k.EPSILON_C4) * scale * site.is_plant
    return epsilon * torch.where(site.is_c3, c3, c4) * btran


def _nitrification(site: Site, t_scalar: Tensor, w_scalar: Tensor, days: Tensor) -> Tensor:
    """Share of ammonium that nitrifiers could take in a month (time, layer, cell)."""
    acidity = 0.56 + math.atan(math.pi * 0.45 * (-5.0 + k.SOIL_PH)) / math.pi
    rate = site.scalar("k_nitr_max") * SECONDS_PER_DAY * acidity
    return -torch.expm1(-rate * t_scalar.clamp(max=1.0) * w_scalar * days[:, None])


def _denitrification(wetness: Tensor, temperature: Tensor, days: Tensor) -> Tensor:
    """Share of nitrate that denitrifiers could take in a month (time, layer, cell)."""
    anoxic = ((wetness - 0.5) / 0.5).clamp(0.0, 1.0) ** 2
    thawed = (temperature > TFRZ).to(wetness.dtype)
    return -torch.expm1(-k.DENITRIFICATION * (k.BACKGROUND_ANOXIA + anoxic)[:, None] * thawed * days[:, None])
