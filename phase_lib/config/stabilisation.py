"""The `stabilisation` section: the years in normal mode after injection, and the corrections in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, Self, get_args

from pydantic import Field, model_validator

from phase_lib.config.section import Section

#: Runs beside the injected one, of the same years: nothing injected and no correction; injected and no
#: correction; the same corrections and nothing injected.
Control = Literal["control", "uncorrected", "no_surrogate"]
#: Sets of cells on which the criteria have to hold.
JudgedCells = Literal["all_cells", "blocked_test_cells", "both"]
_Years = Annotated[int, Field(ge=1)]


class StabilisationSettings(Section):
    """The injected run in normal mode: windows, a correction after each, and the years that are judged."""

    windows: list[_Years] = Field(
        default_factory=lambda: [20, 20, 20, 20],
        description="length of each window, whole forcing cycles, years; after each one the slow pools are "
        "corrected by the rates of the window; [] for no correction",
    )
    final: int = Field(
        40,
        ge=2,
        description="years after the last correction, which the verdict judges: two forcing cycles or more",
    )
    part_of_a_cycle: bool = Field(
        False,
        description="accept windows that are no whole forcing cycles; other years have another climate, and "
        "cold cells then move too far",
    )
    until: Literal["schedule", "equilibrium"] = Field(
        "schedule",
        description="schedule: the windows and the final years, and no more; equilibrium: where a criterion "
        "does not hold then, one more correction, by the final years, and as many again, until all hold",
    )
    max_years: int = Field(
        240, ge=2, description="with until: equilibrium, no further round goes beyond so many years, years"
    )
    judged_cells: JudgedCells = Field(
        "both", description="with until: equilibrium, the cells on which the criteria have to hold"
    )
    controls: list[Control] = Field(
        default_factory=lambda: list(get_args(Control)),
        description="runs beside the injected one, of as many years. control: nothing injected, no "
        "correction; uncorrected: the injected state without corrections; no_surrogate: the corrections "
        "without the injected state. The last two do not run where nothing is corrected",
    )

    @model_validator(mode="after")
    def _can_be_run(self) -> Self:
        if self.goes_on and self.max_years < self.scheduled_years:
            raise ValueError(
                f"max_years is {self.max_years}; expected at least {self.scheduled_years}, "
                "the sum of windows and final"
            )
        if len(set(self.controls)) != len(self.controls):
            raise ValueError("controls names a run twice; expected each once")
        return self

    @property
    def goes_on(self) -> bool:
        """True where the run may go on after the schedule."""
        return self.until == "equilibrium"

    @property
    def corrected(self) -> bool:
        """True where a correction may come."""
        return bool(self.windows) or self.rounds > 1

    @property
    def scheduled_years(self) -> int:
        """Years of the first round: windows and final years."""
        return sum(self.windows) + self.final

    @property
    def rounds(self) -> int:
        """Rounds at most: the schedule, and each time it goes on."""
        return 1 + (self.max_years - self.scheduled_years) // self.final if self.goes_on else 1

    @property
    def beside(self) -> list[Control]:
        """The controls that differ from each other and from the injected run."""
        return [run for run in self.controls if run == "control" or self.corrected]

    def round_end(self, first: int, number: int) -> int:
        """Model year at which a round (0: the schedule) ends, if the run begins at year `first`."""
        return first + self.scheduled_years + number * self.final

    def corrections(self, first: int) -> tuple[int, ...]:
        """Model years at whose start the run is corrected, in all rounds, if it begins at year `first`."""
        windows = [first + sum(self.windows[:count]) for count in range(1, len(self.windows) + 1)]
        return (*windows, *(self.round_end(first, number) for number in range(self.rounds - 1)))

    def check(self, domain: str, cycle: int) -> None:
        """Refuses lengths that do not fit a forcing cycle.

        Args:
            domain: whose run it is, for the message.
            cycle: length of its forcing cycle, years.

        Raises:
            ValueError: the first fault.
        """
        windows = [] if self.part_of_a_cycle else self.windows
        check_windows("stabilisation", windows, self.final, domain, cycle, "; or set part_of_a_cycle")


def check_windows(
    section: str, windows: Sequence[int], final: int, domain: str, cycle: int, otherwise: str = ""
) -> None:
    """Refuses windows and final years that are no whole forcing cycles.

    Args:
        section: of the configuration.
        windows: length of each, years.
        final: years after the last correction.
        domain: whose run it is, for the message.
        cycle: length of its forcing cycle, years.
        otherwise: what else may be done about a window.

    Raises:
        ValueError: the first fault.
    """
    of_domain = f"the forcing cycle of {domain}"
    for years in windows:
        if years % cycle:
            raise ValueError(
                f"{section}.windows has one of {years} years; expected multiples of {cycle}, {of_domain}, "
                f"as other years have another climate{otherwise}"
            )
    if final % cycle or final < 2 * cycle:
        raise ValueError(
            f"{section}.final is {final}; expected a multiple of {cycle}, {of_domain}, and at least "
            f"{2 * cycle}, as a drift is the difference of two cycles"
        )
