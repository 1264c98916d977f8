"""The archive: no land model runs, and the output of all domains exists already."""

from __future__ import annotations

from phase_lib.base.errors import InputError
from phase_lib.landmodel.domain import Segment
from phase_lib.landmodel.interface import Cost, LandModel


class Archive(LandModel[None]):
    """Takes restart and history that a land model wrote somewhere else."""

    name = "archive"
    runs = False

    def run(self, segment: Segment) -> None:
        """Refuses: nothing is run.

        Raises:
            InputError: always.
        """
        raise InputError(
            "--backend", "archive runs no land model", remedy="choose one that runs, for example embedded"
        )

    def cost(self, cells: int) -> Cost:
        """Nothing is written either."""
        return Cost(0.0, 0.0, 0.0)
