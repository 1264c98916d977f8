"""The `equilibrium` section: what counts as spun up.

The defaults are the thresholds of the CTSM stability script, with NBP and the relative drift added
as it is common in model intercomparisons.
"""

from __future__ import annotations

from pydantic import Field

from phase_lib.config.section import Section


class EquilibriumSettings(Section):
    """Thresholds of the verdict; a drift is the difference of two successive forcing cycles per year."""

    stock_drift_pgc_per_yr: float = Field(
        0.02, gt=0.0, description="largest drift of TOTECOSYSC, TOTSOMC and TOTVEGC each, PgC/yr"
    )
    gpp_drift_pgc_per_yr2: float = Field(0.02, gt=0.0, description="largest drift of GPP, PgC/yr per year")
    tlai_drift_per_yr: float = Field(0.02, gt=0.0, description="largest drift of mean TLAI, m2/m2 per year")
    tws_drift_mm_per_yr: float = Field(1.0, gt=0.0, description="largest drift of mean TWS, mm/yr")
    h2osno_drift_mm_per_yr: float = Field(1.0, gt=0.0, description="largest drift of mean H2OSNO, mm/yr")
    nbp_pgc_per_yr: float = Field(0.1, gt=0.0, description="largest NBP averaged over a cycle, PgC/yr")
    relative_drift_percent_per_century: float = Field(
        1.0, gt=0.0, description="largest relative drift of TOTSOMC, TOTSOMN and TOTSOMP, % per century"
    )
    cell_drift_gc_m2_yr: float = Field(
        1.0, gt=0.0, description="a cell whose TOTECOSYSC drifts faster is out of equilibrium, gC/m2/yr"
    )
    area_out_of_equilibrium: float = Field(
        0.03, ge=0.0, le=1.0, description="largest share of the land area that may be out of equilibrium"
    )
    scale_by_area: bool = Field(
        True, description="multiply thresholds in PgC by the domain's share of the global land area"
    )
    global_land_area_km2: float = Field(
        1.49e8, gt=0.0, description="land area of the Earth that the thresholds in PgC stand for, km2"
    )
