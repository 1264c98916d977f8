"""Constants of the embedded model that are no ELM parameters, each with its source or reason."""

from __future__ import annotations

#: Bounds of one step: the model has months, mixing uses twelve equal parts of the year.
MONTHS_PER_YEAR = 12

# --- Light use (Monteith-type; ranges from the general literature on production efficiency models).
#: Efficiency of C3 plants at the reference leaf nitrogen, gC per MJ of absorbed PAR.
EPSILON_C3 = 1.35
#: The same for C4 plants, which the CO2 term does not reduce.
EPSILON_C4 = 1.75
#: Rubisco nitrogen (flnr x leaf N per area, gN m-2) at which the efficiencies hold.
RUBISCO_N_REFERENCE = 0.14
PAR_FRACTION = 0.5
EXTINCTION = 0.5
VPD_OPEN_PA, VPD_CLOSED_PA = 650.0, 3000.0
#: CO2 compensation point without day respiration at 25 C (umol/mol) and its Q10.
CO2_COMPENSATION, CO2_COMPENSATION_Q10 = 42.75, 1.37

# --- Temperature response of production: zero, full, full, zero (degrees C, monthly mean air). These and
# --- the efficiencies were set so that production after 20 AD years agrees with that of the real ELM.
RAMP_C3 = (-2.0, 16.0, 30.0, 42.0)
RAMP_C4 = (8.0, 26.0, 36.0, 46.0)
RAMP_BOREAL = (-4.0, 11.0, 24.0, 38.0)

# --- Soil water and heat.
ROOT_ZONE_M = 1.5
FIELD_CAPACITY_MPA, WILTING_MPA = -0.033, -1.5
DRAINAGE_DAYS = 10.0
SUBSTEPS = 6
SNOW_ALBEDO, LAND_ALBEDO = 0.5, 0.18
DEGREE_DAY_MM = 4.0
#: Snow water at which winter insulation is 63 % of its full effect (mm), and that full effect.
SNOW_INSULATION_MM, SNOW_INSULATION = 60.0, 0.5
#: Depth at which the annual wave falls to 1/e (m).
ANNUAL_DAMPING_M = 2.0
#: Matric potential of frozen soil: latent heat of fusion / temperature, MPa per K below freezing.
FREEZING_MPA_PER_K = 1.22

# --- Nutrients.
#: Preindustrial deposition, gN and gP m-2 yr-1.
NDEP, PDEP = 0.12, 0.004
#: Soil pH that nitrification sees.
SOIL_PH = 6.5
#: Denitrification at saturation, 1/day.
DENITRIFICATION = 0.05
#: Share of anoxic sites in soil at half saturation and drier.
BACKGROUND_ANOXIA = 0.05
#: Decline of leaf litter and deposition with depth (ELM's `surfprof_exp`), 1/m.
SURFACE_PROFILE_PER_M = 10.0
#: What drainage takes of solution P, as a share of what it takes of nitrate: phosphate hardly moves.
PHOSPHATE_MOBILITY = 0.05

# --- Vegetation.
#: Cold start: gC m-2 of leaf (evergreen) or leaf storage (deciduous), of dead stem, and N and P pools.
COLD_LEAFC, COLD_DEADSTEMC, COLD_NPOOL, COLD_PPOOL = 1.0, 0.1, 10.0, 1.0
#: Cold start of soil4, gC m-3 above this depth (m).
COLD_SOIL4, COLD_SOIL4_DEPTH = 10.0, 0.3

#: Largest relative imbalance of C, N or P over a year that passes.
BALANCE_TOLERANCE = 1.0e-9
#: A pool more negative than this (g m-2 or g m-3) stops the run; smaller is rounding.
NEGATIVE_TOLERANCE = 1.0e-9
