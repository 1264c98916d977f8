"""What the two history tapes of a run hold: the fields that later stages read, by ELM's names."""

#: Means over a forcing cycle: fusion reads the fluxes, the comparison with the forcing the rest.
CYCLE_FIELDS = (
    "GPP", "NPP", "AR", "HR", "TLAI", "TOTVEGC", "TOTLITC", "TOTSOMC", "CWDC",
    "TBOT", "QBOT", "PBOT", "FLDS", "FSDS", "RAIN", "SNOW",
)  # fmt: skip
#: Annual means: the verdict needs them.
ANNUAL_FIELDS = (
    "GPP", "NPP", "AR", "HR", "NBP", "TLAI", "TOTVEGC", "TOTLITC", "TOTSOMC", "CWDC", "TOTECOSYSC",
    "TOTSOMN", "TOTSOMP", "FPG", "FPG_P", "H2OSNO", "TWS",
)  # fmt: skip
