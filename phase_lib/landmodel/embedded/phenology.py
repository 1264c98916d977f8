"""When leaves come and go: ELM's triggers, integrated over the month.

Evergreen patches lose leaves and fine roots at their background rate. Seasonal deciduous patches leaf
out when degree days of soil layer 3 since the winter solstice pass a threshold and shed when the day
gets shorter than `crit_dayl` after the summer solstice. Stress deciduous patches leaf out in warm, moist,
long days and shed in dry, frozen or short ones; without such a month in a year they behave as evergreens.
All of it follows from the environment, so it is a calendar of the forcing cycle.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from phase_lib.elm.calendar import MONTH_STARTS
from phase_lib.elm.constants import DAYS_PER_MONTH, TFRZ
from phase_lib.landmodel.embedded.site import Site

#: A deciduous patch needs this much rain in a month to leaf out: `cumprec_onset` = 20 mm in ten days
#: taken over a month with rain on a third of its days.
_ONSET_RAIN_MM = 20.0


@dataclass(frozen=True)
class PhenologyCalendar:
    """Phenology of each month of the forcing cycle.

    Attributes:
        onset: 1 in the month in which leaves come out (time, slot, cell).
        offset: 1 in the month in which they fall (time, slot, cell).
        background: 1 where the patch turns over at its background rates (time, slot, cell).
        leafed: share of the month with leaves (time, slot, cell).
        transfer: 1 where storage flows to display all year round (time, slot, cell).
    """

    onset: Tensor
    offset: Tensor
    background: Tensor
    leafed: Tensor
    transfer: Tensor


def phenology_calendar(
    site: Site, *, air: Tensor, soil_temperature: Tensor, soil_psi: Tensor, rain: Tensor, day_length: Tensor
) -> PhenologyCalendar:
    """Works out the calendar.

    Args:
        site: block of cells.
        air: monthly air temperature (time, cell), K.
        soil_temperature, soil_psi: of soil layer 3 (time, cell), K and MPa.
        rain: mm per month (time, cell).
        day_length: (day of year, cell), s.
    """
    onset_s, offset_s, leafed_s = _seasonal(site, air, soil_temperature, day_length)
    onset_d, offset_d, leafed_d, long_season = _stress(site, soil_temperature, soil_psi, rain, day_length)
    evergreen = (site.p["evergreen"] > 0.5)[None]
    seasonal = (site.p["season_decid"] > 0.5)[None]
    stress = (site.p["stress_decid"] > 0.5)[None]

    def choose(seasonal_value: Tensor, stress_value: Tensor, evergreen_value: float) -> Tensor:
        zero = torch.zeros(1, 1, 1, dtype=air.dtype, device=air.device)
        others = torch.where(stress, stress_value[:, None], zero + evergreen_value * evergreen)
        return torch.where(seasonal, seasonal_value[:, None], others)

    none = torch.zeros_like(onset_s)
    return PhenologyCalendar(
        onset=choose(onset_s, onset_d, 0.0),
        offset=choose(offset_s, offset_d, 0.0),
        background=choose(none, long_season, 1.0),
        leafed=choose(leafed_s, leafed_d, 1.0),
        transfer=choose(none, long_season, 0.0),
    )


def _seasonal(site: Site, air: Tensor, soil: Tensor, day_length: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Onset, offset and leafed share of seasonal deciduous patches (time, cell)."""
    months = len(air)
    years = months // 12
    days = site.tensor(np.asarray(DAYS_PER_MONTH, dtype=np.float64))
    north = site.tensor(site.inputs.lat) >= 0.0
    annual = (air.reshape(years, 12, -1) * days[:, None]).sum(1) / 365.0
    threshold = torch.exp(
        site.scalar("gddfunc_p1") + site.scalar("gddfunc_p2") * (annual - TFRZ)
    ).repeat_interleave(12, 0)
    degree_days = (soil - TFRZ).clamp(min=0.0) * days.repeat(years)[:, None]

    onset, offset, leafed = (torch.zeros_like(air) for _ in range(3))
    fall_month, fall_share = _fall(site, day_length, north)
    accumulated = torch.zeros_like(air[0])
    out = torch.zeros_like(air[0], dtype=torch.bool)
    done, never = torch.zeros_like(out), torch.zeros_like(out)
    for step in range(2 * months):
        t, month = step % months, step % 12
        solstice = {0: north, 6: ~north}.get(month, never)
        accumulated = torch.where(solstice, torch.zeros_like(accumulated), accumulated)
        done = done & ~solstice
        before = accumulated
        accumulated = accumulated + degree_days[t]
        starts = ~out & ~done & (accumulated > threshold[t])
        missing = (threshold[t] - before).clamp(min=0.0) / degree_days[t].clamp(min=1e-9)
        growing = (1.0 - missing).clamp(0.0, 1.0)
        falls = out & (fall_month == month)
        # Leaves that come out in the month in which the day gets too short do not come out at all.
        late = starts & (fall_month == month)
        starts = starts & ~late
        done = done | late | starts
        leafed[t] = torch.where(starts, growing, torch.where(falls, fall_share, out.to(air.dtype)))
        onset[t], offset[t] = starts.to(air.dtype), falls.to(air.dtype)
        out = (out | starts) & ~falls
    return onset, offset, leafed


def _fall(site: Site, day_length: Tensor, north: Tensor) -> tuple[Tensor, Tensor]:
    """Month in which the day falls below `crit_dayl` after the summer solstice, and the share before it.

    Where it never does (the tropics), leaves fall at the winter solstice.
    """
    start = torch.where(north, 172, 355)
    days = torch.arange(365, device=day_length.device)
    # Days counted from the summer solstice of each hemisphere.
    since = (days[:, None] - start[None]) % 365
    short = (day_length < site.scalar("crit_dayl")) & (since < 183)
    first = torch.where(short, since, torch.full_like(since, 182)).amin(0)
    day = (first + start) % 365
    edges = torch.as_tensor(MONTH_STARTS, device=day.device)
    month = torch.bucketize(day, edges[1:], right=True)
    length = (edges[month + 1] - edges[month]).to(day_length.dtype)
    return month, (day - edges[month]).to(day_length.dtype) / length


def _stress(
    site: Site, soil: Tensor, psi: Tensor, rain: Tensor, day_length: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Onset, offset, leafed share and long-season flag of stress deciduous patches (time, cell)."""
    months = len(soil)
    monthly = torch.stack([day_length[MONTH_STARTS[m] : MONTH_STARTS[m + 1]].mean(0) for m in range(12)])
    light = monthly >= site.scalar("crit_dayl_stress")
    onset, offset, leafed, long_season = (torch.zeros_like(soil) for _ in range(4))
    out = torch.zeros_like(soil[0], dtype=torch.bool)
    age = torch.zeros_like(soil[0])
    for step in range(3 * months):
        t, month = step % months, step % 12
        moist, warm = psi[t] >= site.scalar("soilpsi_off"), soil[t] > TFRZ
        good = moist & warm & light[month]
        starts = ~out & good & (rain[t] >= _ONSET_RAIN_MM)
        falls = out & ~good
        onset[t], offset[t] = starts.to(soil.dtype), falls.to(soil.dtype)
        leafed[t] = torch.where(starts, 0.5, torch.where(falls, 0.5, out.to(soil.dtype)))
        out = (out | starts) & ~falls
        age = torch.where(out, age + 1.0, torch.zeros_like(age))
        long_season[t] = (age > 12.0).to(soil.dtype)
    return onset, offset, leafed, long_season
