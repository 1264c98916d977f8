"""Fixtures of all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts files with slow tests first, so that no process ends with a long one alone."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session")
def elm_sample() -> Path:
    """Directory of real ELM input and output for a few cells; tests that need it skip without it."""
    sample = Path(os.environ.get("PHASE_ELM_SAMPLE", ROOT.parent / "shared" / "elm-sample"))
    if not sample.is_dir():
        pytest.skip(f"no real ELM sample at {sample}; set PHASE_ELM_SAMPLE")
    return sample


@pytest.fixture(scope="session")
def elm_window() -> Path:
    """Directory of 20 years of real ELM in normal mode, of the sample's cells."""
    window = Path(os.environ.get("PHASE_ELM_WINDOW", ROOT.parent / "shared" / "elm-window"))
    if not window.is_dir():
        pytest.skip(f"no window of real ELM at {window}; set PHASE_ELM_WINDOW")
    return window
