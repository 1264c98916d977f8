"""The `spinup` section: how long the runs of a spin-up are, in which pieces, and what AD mode changes."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

#: The runs of a spin-up; each is a chain of segments.
Role = Literal["ad", "reference", "control", "injected"]
#: Run lengths, which have to be whole forcing cycles.
LENGTHS = ("ad_years", "normal_years", "input_years", "stabilisation_years", "segment_years")


class SpinupSettings(BaseModel):
    """The protocol of the spin-up, whatever runs the land model.

    Model years count from 1; a restart at year Y holds the state at the start of year Y.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    ad_years: int = Field(
        400, ge=40, description="years of accelerated decomposition (AD) from the cold start, years"
    )
    normal_years: int = Field(
        800, ge=20, description="years in normal mode after AD; their last restart gives the labels, years"
    )
    input_years: int = Field(
        20,
        ge=20,
        description="years of the AD run whose restart and history are the surrogate's input, years",
    )
    stabilisation_years: int = Field(
        100, ge=40, description="years in normal mode of the injected and the control run, years"
    )
    segment_years: int = Field(
        200,
        ge=1,
        description="longest piece of a run that one job does, a multiple of the forcing cycle, years",
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
        description="fields that the means over a forcing cycle hold beside the usual ones, by ELM's names",
    )

    @model_validator(mode="after")
    def _input_within_ad(self) -> Self:
        if self.input_years > self.ad_years:
            raise ValueError(
                f"input_years is {self.input_years}, ad_years {self.ad_years}; "
                "expected at most ad_years, as the input is a part of the AD run"
            )
        return self

    def boundaries(self, role: Role) -> list[int]:
        """Model years at which the segments of a run begin and end.

        Args:
            role: which run.

        Returns:
            Increasing years; the first is that of the restart it starts from (1: cold start).
        """
        first, last = {
            "ad": (1, 1 + self.ad_years),
            "reference": (1 + self.ad_years, 1 + self.ad_years + self.normal_years),
            "control": (1 + self.input_years, 1 + self.input_years + self.stabilisation_years),
            "injected": (1 + self.input_years, 1 + self.input_years + self.stabilisation_years),
        }[role]
        cuts = {first, last, *range(1 + self.segment_years, last, self.segment_years)}
        if role == "ad":
            cuts.add(1 + self.input_years)
        return sorted(year for year in cuts if first <= year <= last)
