"""Fixtures of all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def elm_sample() -> Path:
    """Directory of real ELM input and output for a few cells; tests that need it skip without it."""
    sample = Path(os.environ.get("PHASE_ELM_SAMPLE", ROOT.parent / "shared" / "elm-sample"))
    if not sample.is_dir():
        pytest.skip(f"no real ELM sample at {sample}; set PHASE_ELM_SAMPLE")
    return sample
