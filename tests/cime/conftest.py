"""A stand-in for E3SM with a small world as its input, and segments run by the backend in it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from phase_lib.config.spinup import SpinupSettings
from phase_lib.landmodel.backends.cime import Cime
from phase_lib.landmodel.cime.settings import CimeSettings
from phase_lib.landmodel.domain import Domain, Forcing, Segment
from phase_lib.landmodel.embedded.settings import EmbeddedSettings
from phase_lib.landmodel.embedded.world.build import make_world
from phase_lib.landmodel.planning import run_segment
from tests.cime.double import DESK, Checkout, lay_out
from tests.helpers.streams import write_streams
from tests.helpers.warm_phase import ADDRESS, ROOT, directory_of_phase

#: Forcing cycle of the small world, years: ELM's files and commands are the same at any length.
CYCLE = 2
WORLD = EmbeddedSettings(
    resolution_deg=15.0,
    forcing_resolution_deg=15.0,
    cells=12,
    forcing_years=CYCLE,
    forcing_limit_km=1500.0,
)


@dataclass(frozen=True)
class Desk:
    """A checkout, a domain and the settings of the backend.

    Attributes:
        checkout: stand-in for E3SM.
        domain: with files of a small world; its runs lie in a directory of its own.
        settings: of the section `cime`.
    """

    checkout: Checkout
    domain: Domain
    settings: CimeSettings

    @property
    def model(self) -> Cime:
        """The land model."""
        return Cime(self.settings)

    def with_settings(self, **changes: Any) -> Desk:
        """The same with other settings."""
        return replace(self, settings=self.settings.model_copy(update=changes))

    def make(self) -> Desk:
        """Makes and builds the case."""
        for step in self.model.steps(self.domain):
            self.model.prepare(step.name, self.domain, step.outputs[0].parent, 1)
        return self

    def segment(
        self, case: str, mode: str, start: int, years: int, finidat: Path | None, **more: Any
    ) -> Segment:
        """A segment of a run of the domain."""
        protocol = {"nyears_ad_carbon_only": 1, **more}
        spinup = SpinupSettings(**protocol)
        directory = self.domain.directory / case
        return Segment(case, mode, start, years, finidat, self.domain, directory, spinup)  # type: ignore[arg-type]

    def run(self, segment: Segment) -> Segment:
        """Runs a segment, with the checks of the workflow."""
        run_segment(self.model, segment)
        return segment

    def case(self, name: str) -> Path:
        """Directory of the case of a run."""
        return self.domain.directory / "cases" / self.domain.name / name

    def files(self, name: str) -> Path:
        """Run directory of a case."""
        return self.domain.directory / "cases" / self.domain.name / "run" / name


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of a world with a dozen cells and a short forcing cycle; one process of the tests makes them."""
    here = tmp_path_factory.getbasetemp()
    shared = (here.parent if "PYTEST_XDIST_WORKER" in os.environ else here) / "small_world"
    with (shared.parent / "small_world.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (shared / "complete").is_file():
            make_world(WORLD, shared)
            (shared / "complete").touch()
    return shared


@pytest.fixture(scope="session", autouse=True)
def _models_run_in_forks() -> Iterator[None]:
    """The executable of the stand-in asks a warm process to run the model."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(ADDRESS, str(directory_of_phase() / "socket"))
        patch.setenv("PYTHONPATH", str(ROOT))
        yield


@pytest.fixture(scope="session")
def built(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """A desk whose case is made and built; tests work in copies."""
    return new_desk(world, tmp_path_factory.mktemp("desk")).make()


def new_desk(world: Path, place: Path, machine: str = DESK, **settings: Any) -> Desk:
    """A checkout and a domain in which nothing was made."""
    checkout = lay_out(place, WORLD.model_dump(mode="json"))
    streams = write_streams(place / "streams", world / "domain.lnd.nc", world / "forcing")
    data = tuple(sorted((world / "forcing").glob("*.nc")))
    patterns = (f"{world}/forcing/*.nc",)
    forcing = Forcing("datm", data, patterns, "small", 1901, CYCLE, 1, WORLD.forcing_limit_km)
    domain = Domain(
        "sites",
        CYCLE,
        "cime",
        domain=world / "domain.lnd.nc",
        surface=world / "surfdata.nc",
        params=world / "clm_params.nc",
        soil_params=world / "CNP_parameters.nc",
        forcing=forcing,
        directory=place / "results" / "small" / "landmodel",
    )
    given = {
        "source": str(checkout.root),
        "machine": machine,
        "compiler": "gnu",
        "mpilib": "openmpi",
        "extra_machines_dir": str(checkout.machines),
        "compset": "I1850CNPRDCTCBC",
        "datm_mode": "uELM_TES",
        "streams": [str(path) for path in streams],
        "restart_years": 1,
        "force_stop_at": "year",
    }
    return Desk(checkout, domain, CimeSettings(**(given | settings)))
