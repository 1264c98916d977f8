"""A stand-in for E3SM, and the files of a small world for it."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from phase_lib.landmodel.embedded.settings import EmbeddedSettings
from phase_lib.landmodel.embedded.world.build import make_world
from tests.helpers.warm_phase import ADDRESS, ROOT, directory_of_phase

#: Two years of forcing, so that cycles are short.
WORLD = EmbeddedSettings(
    resolution_deg=15.0, forcing_resolution_deg=15.0, cells=12, forcing_years=2, forcing_limit_km=1500.0
)


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Domain, surface data, parameters and two years of forcing of 12 cells."""
    here = tmp_path_factory.getbasetemp()
    shared = (here.parent if "PYTEST_XDIST_WORKER" in os.environ else here) / "small_world"
    with (shared.parent / "small_world.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (shared / "complete").is_file():
            make_world(WORLD, shared)
            (shared / "complete").touch()
    return shared


@pytest.fixture(autouse=True)
def _models_run_in_forks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ADDRESS, str(directory_of_phase() / "socket"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
