"""The `reference` section: how the reference run, whose last restart gives the labels, comes to its end."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from phase_lib.config.section import Section
from phase_lib.config.stabilisation import check_windows

_Years = Annotated[int, Field(ge=1)]


class ReferenceSettings(Section):
    """The reference in normal mode, after its AD years."""

    method: Literal["conventional", "corrected"] = Field(
        "conventional",
        description="conventional: spinup.normal_years without interruption; corrected: a forcing cycle, "
        "then windows with corrections and final years, as in the section stabilisation",
    )
    windows: list[_Years] = Field(
        default_factory=lambda: [20, 20, 20, 20],
        min_length=1,
        description="with method: corrected, length of each window, whole forcing cycles, years",
    )
    final: int = Field(
        40,
        ge=2,
        description="with method: corrected, years after the last correction: two forcing cycles or more, "
        "by which the drift of the labels is judged",
    )

    @property
    def corrected(self) -> bool:
        """True where the reference is corrected."""
        return self.method == "corrected"

    def check(self, domain: str, cycle: int) -> None:
        """Refuses lengths that do not fit a forcing cycle.

        Raises:
            ValueError: the first fault.
        """
        if self.corrected:
            check_windows("reference", self.windows, self.final, domain, cycle)
