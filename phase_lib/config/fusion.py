"""Settings of the fusion stage."""

from __future__ import annotations

from pydantic import Field

from phase_lib.config.section import Section


class SteadyStateSettings(Section):
    """The semi-analytic state of the soil in the last years of AD, from which predictions start."""

    last_years: int = Field(
        5, ge=2, description="last years of the input whose carbon budget of the soil it is made of, years"
    )
    years_on: float = Field(
        2000.0,
        gt=0.0,
        description="years of the input run, in AD, for which its rates and inputs hold on: layers that turn "
        "over more slowly move a part of the way",
    )
    least_ratio: float = Field(
        0.01, gt=0.0, lt=1.0, description="least ratio of what a layer comes to to what the restart has"
    )
    most_ratio: float = Field(
        100.0,
        gt=1.0,
        description="largest ratio of what a layer comes to to the most of its pool in any layer of the "
        "restart; deep layers start from almost nothing",
    )


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
    steady_state: SteadyStateSettings = Field(
        default_factory=SteadyStateSettings,
        description="where the soil of the AD run leads, as the start of predictions",
    )
