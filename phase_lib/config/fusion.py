"""Settings of the fusion stage."""

from __future__ import annotations

from pydantic import Field

from phase_lib.config.section import Section


class FusionSettings(Section):
    """How restart, history, surface, parameters and forcing become one record per cell."""

    record_cells: int = Field(128, ge=1, description="cells in one record file; limits the memory")
    jobs: int = Field(
        1, ge=1, description="jobs that share the cells of a domain, at the same time on a cluster"
    )
    forcing_by_variable: bool = Field(
        False, description="a forcing job for each variable, at the same time on a cluster"
    )
    forcing_years_per_job: int | None = Field(
        None, ge=1, description="years of forcing that one job reduces; null: the whole cycle"
    )
    label_min_scalaravg: float = Field(
        2.0e-3,
        ge=1.0e-3,
        description="columns whose AD-final scalaravg_col lies between ELM's switch of 1e-3 and this one "
        "are left out of the labels: leaving AD multiplied their slow pools by up to 1000 F",
    )
