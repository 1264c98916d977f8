"""The `embedded` section: the grid and weather of the embedded world, and how its model computes."""

from __future__ import annotations

import math
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

#: Forcing steps a day.
STEPS_PER_DAY = 4
#: File group -> variables with long name and units.
STREAMS: dict[str, dict[str, tuple[str, str]]] = {
    "Solr": {"FSDS": ("incident shortwave radiation", "W/m2")},
    "Prec": {"PRECTmms": ("PRECTmms total precipitation", "mm/s")},
    "TPQWL": {
        "TBOT": ("temperature at the lowest atm level (TBOT)", "K"),
        "QBOT": ("specific humidity at the lowest atm level (QBOT)", "kg/kg"),
        "PSRF": ("surface pressure at the lowest atm level (PSRF)", "Pa"),
        "FLDS": ("incident longwave (FLDS)", "W/m2"),
        "WIND": ("wind at the lowest atm level (WIND)", "m/s"),
    },
}
#: Largest forcing record that a configuration may ask for.
MAX_FORCING_BYTES = 2.5e9
#: Four steps a day, seven float32 variables.
_BYTES_PER_POINT_YEAR = 365 * STEPS_PER_DAY * 7 * 4
#: Share of a global grid's rows that reach land outside Antarctica.
_ROWS_WITH_LAND = 0.83


def forcing_name(stream: str, year: int, month: int) -> str:
    """File name of one stream and month."""
    return f"clmforc.embedded.{stream}.{year:04d}-{month:02d}.nc"


class EmbeddedSettings(BaseModel):
    """Grid, forcing record and seed of the embedded world, CO2 and device of its land model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    resolution_deg: float = Field(
        5.0, ge=0.25, le=15.0, description="Cell size of the model grid, degrees; must divide 180."
    )
    forcing_resolution_deg: float = Field(
        6.0,
        ge=0.5,
        le=15.0,
        description="Spacing of the forcing grid, degrees; must divide 180. Its points are offset, so it "
        "never coincides with the model grid.",
    )
    forcing_first_year: int = Field(1901, ge=1, le=9000, description="First year of the forcing cycle.")
    forcing_years: int = Field(20, ge=1, le=100, description="Length of the forcing cycle, years.")
    min_land_fraction: float = Field(
        0.3, gt=0.0, le=1.0, description="A cell is land when at least this share of it is land."
    )
    cells: int | None = Field(
        None,
        ge=12,
        description="Keep only this many land cells, spread over the climate zones; null keeps all.",
    )
    bounds: tuple[float, float, float, float] | None = Field(
        None,
        description="Keep only a box [south, north, west, east], degrees, longitudes in -180..180 or 0..360; "
        "west may lie east of east across a meridian; null is the globe.",
    )
    seed: int = Field(2025, ge=0, lt=2**31, description="Seed of all noise: weather, soils, vegetation.")
    forcing_limit_km: float = Field(
        500.0, gt=0.0, description="Farthest that a cell may lie from its forcing point, km."
    )
    co2_ppm: float = Field(284.7, gt=0.0, le=5000.0, description="CO2 of the air, umol mol-1.")
    device: Literal["cpu", "cuda"] = Field("cpu", description="Where the land model computes: cpu or cuda.")

    @model_validator(mode="after")
    def _check_grids(self) -> Self:
        for name in ("resolution_deg", "forcing_resolution_deg"):
            rows = 180.0 / getattr(self, name)
            if not math.isclose(rows, round(rows), abs_tol=1e-6):
                raise ValueError(f"{name}: {getattr(self, name):g} does not divide 180 degrees")
        if self.bounds is not None:
            south, north, west, east = self.bounds
            if not -90.0 <= south < north <= 90.0:
                raise ValueError("bounds: expected south < north within -90..90")
            if not (-180.0 <= west <= 360.0 and -180.0 <= east <= 360.0) or west == east:
                raise ValueError("bounds: expected different west and east within -180..360")
        if self.forcing_bytes() > MAX_FORCING_BYTES:
            raise ValueError(
                f"forcing would take {self.forcing_bytes() / 1e9:.1f} GB; expected at most "
                f"{MAX_FORCING_BYTES / 1e9:g} GB: use a coarser forcing_resolution_deg or fewer forcing_years"
            )
        return self

    def forcing_bytes(self) -> float:
        """Estimated size of the forcing record, bytes."""
        step = self.forcing_resolution_deg
        rows, columns = 180.0 / step * _ROWS_WITH_LAND, 360.0 / step
        if self.bounds is not None:
            south, north, west, east = self.bounds
            rows = min(rows, (north - south) / step + 2.0)
            columns = min(columns, ((east - west) % 360.0 or 360.0) / step + 2.0)
        return rows * columns * self.forcing_years * _BYTES_PER_POINT_YEAR


#: Keys that a segment depends on, and keys that the files of the world depend on.
SEGMENT_KEYS = ("co2_ppm", "device")
WORLD_KEYS = tuple(
    name for name in EmbeddedSettings.model_fields if name not in (*SEGMENT_KEYS, "forcing_limit_km")
)
