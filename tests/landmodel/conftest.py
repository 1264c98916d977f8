"""A small world and its monthly forcing, made once per test process."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from phase_lib.elm.domain import read_domain
from phase_lib.forcing.reduce import reduce_forcing
from phase_lib.landmodel.domain import ANNUAL_TAPE, CYCLE_TAPE, Domain, Segment
from phase_lib.landmodel.embedded.inputs import RunInputs, read_run_inputs
from phase_lib.landmodel.embedded.segment import run_segment
from phase_lib.landmodel.embedded.settings import EmbeddedSettings
from phase_lib.landmodel.embedded.world.build import make_world


class SegmentFiles(NamedTuple):
    """What a segment wrote."""

    restart: Path
    cycles: list[Path]
    annual: list[Path]


@dataclass(frozen=True)
class SmallWorld:
    """Files of a world with a dozen cells."""

    directory: Path

    @property
    def domain(self) -> Domain:
        """What every run reads."""
        return Domain(
            "world",
            20,
            domain=self.directory / "domain.lnd.nc",
            surface=self.directory / "surfdata.nc",
            params=self.directory / "clm_params.nc",
            soil_params=self.directory / "CNP_parameters.nc",
            monthly=(self.directory / "monthly.nc",),
        )

    def run(self, output: Path, **changes: Any) -> SegmentFiles:
        """Runs a cold-start AD segment of one forcing cycle, with changes."""
        choices = {"case": "test", "mode": "ad", "start_year": 1, "years": 20, "finidat": None}
        segment = Segment(**(choices | {"domain": self.domain, "directory": output} | changes))
        run_segment(segment, EmbeddedSettings())
        return SegmentFiles(segment.restart, segment.history(CYCLE_TAPE), segment.history(ANNUAL_TAPE))

    def inputs(self) -> RunInputs:
        """What a run reads."""
        return read_run_inputs(self.domain)


@pytest.fixture(scope="session")
def small_world(tmp_path_factory: pytest.TempPathFactory) -> SmallWorld:
    """A world of twelve cells from all biomes."""
    directory = tmp_path_factory.mktemp("world")
    make_world(EmbeddedSettings(cells=12, forcing_resolution_deg=12.0), directory)
    reduce_forcing(
        sorted((directory / "forcing").glob("*.nc")),
        read_domain(directory / "domain.lnd.nc"),
        directory / "monthly.nc",
        first_year=1901,
        years=20,
        limit_km=1200.0,
    )
    return SmallWorld(directory)


@pytest.fixture(scope="session")
def first_cycle(small_world: SmallWorld, tmp_path_factory: pytest.TempPathFactory) -> SegmentFiles:
    """Twenty accelerated years from a cold start."""
    return small_world.run(tmp_path_factory.mktemp("first_cycle"))


@pytest.fixture(scope="session")
def three_cycles(small_world: SmallWorld, tmp_path_factory: pytest.TempPathFactory) -> SegmentFiles:
    """Sixty accelerated years from a cold start."""
    return small_world.run(tmp_path_factory.mktemp("three_cycles"), years=60)
