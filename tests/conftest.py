"""Fixtures of all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

ROOT = Path(__file__).parents[1]
WORKFLOW_TESTS = "tests/workflow"


class _BySharedWork(LoadScopeScheduling):
    """Gives a process whole files of tests; those of the workflow, which share one run, as one."""

    def _split_scope(self, nodeid: str) -> str:
        return WORKFLOW_TESTS if nodeid.startswith(f"{WORKFLOW_TESTS}/") else nodeid.split("::")[0]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """Distributes tests over processes so that shared fixtures are made once."""
    return _BySharedWork(config, log)


@pytest.fixture(scope="session")
def elm_sample() -> Path:
    """Directory of real ELM input and output for a few cells; tests that need it skip without it."""
    sample = Path(os.environ.get("PHASE_ELM_SAMPLE", ROOT.parent / "shared" / "elm-sample"))
    if not sample.is_dir():
        pytest.skip(f"no real ELM sample at {sample}; set PHASE_ELM_SAMPLE")
    return sample
