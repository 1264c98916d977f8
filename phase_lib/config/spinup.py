"""The `spinup` section: how long the runs of a spin-up are, in which pieces, and what AD mode changes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, Self

from pydantic import Field, model_validator

from phase_lib.config.section import Section
from phase_lib.config.stabilisation import Control

#: The runs of a spin-up; each is a chain of segments. `start`: from the state of another model, corrected.
Role = Literal["ad", "reference", "injected", "start", Control]
#: Run lengths, which have to be whole forcing cycles.
LENGTHS = ("ad_years", "normal_years", "input_years", "segment_years")


class SpinupSettings(Section):
    """The protocol of the spin-up, whatever runs the land model.

    Model years count from 1; a restart at year Y holds the state at the start of year Y.
    """

    ad_years: int = Field(
        400, ge=40, description="years of accelerated decomposition (AD) from the cold start, years"
    )
    normal_years: int = Field(
        800, ge=20, description="years in normal mode after AD; their last restart gives the labels, years"
    )
    input_years: int = Field(
        20, ge=20, description="length of the part of the AD run that is the surrogate's input, years"
    )
    segment_years: int = Field(
        200, ge=1, description="longest segment that one job runs, a multiple of the forcing cycle, years"
    )
    nyears_ad_carbon_only: int = Field(
        20, ge=0, description="first years of the AD run without limitation by N and P (ELM's name), years"
    )
    spinup_mortality_factor: float = Field(
        10.0,
        ge=1.0,
        allow_inf_nan=False,
        description="factor on the turnover of dead wood in AD mode (ELM's name)",
    )
    history_fields: list[str] = Field(
        default_factory=list,
        description="further fields for the history means over a forcing cycle, by ELM's names",
    )
    annual_fields: list[str] = Field(
        default_factory=list,
        description="further fields for the annual means, by ELM's names; the input years have the carbon "
        "budget of the soil in any case",
    )

    @model_validator(mode="after")
    def _input_within_ad(self) -> Self:
        if self.input_years > self.ad_years:
            raise ValueError(
                f"input_years is {self.input_years}, ad_years {self.ad_years}; "
                "expected at most ad_years, as the AD run includes the input years"
            )
        return self

    def with_fields(self, *, history: Iterable[str] = (), annual: Iterable[str] = ()) -> Self:
        """The same protocol with further fields on the tapes."""
        return self.model_copy(
            update={
                "history_fields": list(dict.fromkeys([*self.history_fields, *history])),
                "annual_fields": list(dict.fromkeys([*self.annual_fields, *annual])),
            }
        )

    def boundaries(self, first: int, last: int, *cuts: int) -> list[int]:
        """Model years at which the segments of a run begin and end, in order.

        Args:
            first: of the restart it starts from (1: cold start).
            last: at which it ends.
            cuts: at which a segment has to end, whatever its length.
        """
        years = {first, last, *cuts, *range(1 + self.segment_years, last, self.segment_years)}
        return sorted(year for year in years if first <= year <= last)
