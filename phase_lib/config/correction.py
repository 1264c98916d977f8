"""Bounds of a correction: how far a run's own rates may move its slow pools."""

from __future__ import annotations

from pydantic import Field

from phase_lib.config.section import Section


class CorrectionSettings(Section):
    """Bounds of a semi-analytic correction."""

    turnover_limit_years: float = Field(
        2000.0,
        gt=0.0,
        description="A layer whose pool turns over more slowly keeps its content: the rates of a window do "
        "not say where it leads.",
    )
    least_ratio: float = Field(
        0.2, gt=0.0, lt=1.0, description="Least ratio of a corrected pool to the run's."
    )
    most_ratio: float = Field(5.0, gt=1.0, description="Largest ratio of a corrected pool to the run's.")
    damping: float = Field(
        1.0, gt=0.0, le=1.0, description="Share of the way to the steady state, on the logarithm of a pool."
    )
    nitrogen_limit: float = Field(
        2.0,
        gt=1.0,
        description="Cells whose nitrogen inputs and losses differ by more than this factor keep their "
        "nitrogen: dry and frozen ones lose nearly none.",
    )
    nitrogen_step: float = Field(
        0.05, ge=0.0, description="Largest share by which a balance of nitrogen changes what is corrected."
    )
