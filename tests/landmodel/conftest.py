"""A small world and its monthly forcing, made once per test process."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from phase_lib.config.world import WorldSettings
from phase_lib.elm.domain import read_domain
from phase_lib.forcing import reduce_forcing
from phase_lib.landmodel.embedded.inputs import RunInputs, read_run_inputs
from phase_lib.landmodel.embedded.segment import SegmentJob
from phase_lib.landmodel.embedded.world import make_world


@dataclass(frozen=True)
class SmallWorld:
    """Files of a world with a dozen cells."""

    directory: Path

    def job(self, output: Path, **changes: object) -> SegmentJob:
        """A cold-start AD segment of one forcing cycle, with changes."""
        choices: dict[str, object] = {
            "case": "test",
            "mode": "ad",
            "start_year": 1,
            "years": 20,
            "finidat": None,
            "domain": self.directory / "domain.lnd.nc",
            "surface": self.directory / "surfdata.nc",
            "parameters": self.directory / "clm_params.nc",
            "soil_parameters": self.directory / "CNP_parameters.nc",
            "forcing": self.directory / "monthly.nc",
            "output_directory": output,
        }
        return SegmentJob(**(choices | changes))  # type: ignore[arg-type]

    def inputs(self) -> RunInputs:
        """What a run reads."""
        job = self.job(self.directory)
        return read_run_inputs(job.domain, job.surface, job.parameters, job.soil_parameters, job.forcing)


@pytest.fixture(scope="session")
def small_world(tmp_path_factory: pytest.TempPathFactory) -> SmallWorld:
    """A world of twelve cells from all biomes."""
    directory = tmp_path_factory.mktemp("world")
    make_world(WorldSettings(cells=12, forcing_resolution_deg=12.0), directory)
    reduce_forcing(
        sorted((directory / "forcing").glob("*.nc")),
        read_domain(directory / "domain.lnd.nc"),
        directory / "monthly.nc",
        first_year=1901,
        years=20,
        limit_km=1200.0,
    )
    return SmallWorld(directory)
