"""What the two history tapes of a run hold: the fields that later stages read, by ELM's names."""

#: Means over a forcing cycle: fusion reads the fluxes of carbon and nitrogen, the comparison with the forcing
#: what comes from the atmosphere.
CYCLE_FIELDS = (
    "GPP", "NPP", "AR", "HR", "LITFALL", "TLAI", "TOTVEGC", "TOTLITC", "TOTSOMC", "CWDC",
    "NDEP_TO_SMINN", "NFIX_TO_SMINN", "SUPPLEMENT_TO_SMINN", "DENIT", "SMIN_NO3_LEACHED", "SMIN_NO3_RUNOFF",
    "TBOT", "QBOT", "PBOT", "FLDS", "FSDS", "RAIN", "SNOW",
)  # fmt: skip
#: Annual means: the verdict needs them.
ANNUAL_FIELDS = (
    "GPP", "NPP", "AR", "HR", "NBP", "TLAI", "TOTVEGC", "TOTLITC", "TOTSOMC", "CWDC", "TOTECOSYSC",
    "TOTSOMN", "TOTSOMP", "FPG", "FPG_P", "H2OSNO", "TWS",
)  # fmt: skip
