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


def given(variable: str, name: str) -> Path:
    """A directory of real ELM files; tests that need it skip without it."""
    directory = Path(os.environ.get(variable, ROOT.parent / "shared" / name))
    if not directory.is_dir():
        pytest.skip(f"no files of real ELM at {directory}; set {variable}")
    return directory


@pytest.fixture(scope="session")
def elm_sample() -> Path:
    """Directory of real ELM input and output for a few cells."""
    return given("PHASE_ELM_SAMPLE", "elm-sample")


@pytest.fixture(scope="session")
def elm_window() -> Path:
    """Directory of 20 years of real ELM in normal mode, of the sample's cells."""
    return given("PHASE_ELM_WINDOW", "elm-window")
