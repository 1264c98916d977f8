"""Is the forcing whole, and does it reach every cell?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from phase_lib.elm.calendar import forcing_year
from phase_lib.elm.domain import Domain as LandCells
from phase_lib.forcing.points import map_cells
from phase_lib.forcing.reduce import open_record
from phase_lib.forcing.variables import FORCING
from phase_lib.landmodel.domain import Forcing


@dataclass(frozen=True)
class ForcingSummary:
    """The forcing of a domain in plain values.

    Attributes:
        kind, product: what the files are.
        step_hours: hours between two values, those of all variables.
        first_year, years: forcing cycle.
        align_year: model year that sees its first year.
        files: how many are read.
        made_of: variable -> names on file that it is made of.
        assumed_units: name on file -> units that it is taken to have, as the file does not say.
        max_distance_km: distance of the cell farthest from its forcing point; None without a domain file.
    """

    kind: str
    product: str
    step_hours: list[float]
    first_year: int
    years: int
    align_year: int
    files: int
    made_of: dict[str, str]
    assumed_units: dict[str, str]
    max_distance_km: float | None

    @property
    def year_of_model_year_one(self) -> int:
        """Forcing year that model year 1 sees."""
        return forcing_year(1, self.first_year, self.years, self.align_year)

    @property
    def description(self) -> dict[str, Any]:
        """What tells this forcing from another: as the pieces of monthly means describe theirs."""
        return {name: getattr(self, name) for name in ("kind", "product", "step_hours", "years")}


def read_forcing(given: Forcing, domain: LandCells | None) -> ForcingSummary:
    """Reads the headers of all forcing files and gives every cell its forcing point.

    Raises:
        InputError: months or variables are missing, twice there or out of order, files differ in grid,
            calendar or step, have other units, or a cell is too far from its forcing point.
    """
    record = open_record(given.kind, given.files, tuple(FORCING), given.first_year, given.years)
    mapping = None if domain is None else map_cells(record, domain, given.limit_km)
    return ForcingSummary(
        kind=given.kind,
        product=given.product,
        step_hours=sorted(set(record.step_hours.values())),
        first_year=given.first_year,
        years=given.years,
        align_year=given.align_year,
        files=len(record.files),
        made_of=dict(record.sources),
        assumed_units=dict(record.assumed_units),
        max_distance_km=None if mapping is None else float(mapping.distance_km.max()),
    )
