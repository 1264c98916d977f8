"""Fixtures of the tests of the report."""

from __future__ import annotations

from pathlib import Path

import pytest

from phase_lib.report.figures import Drawing


@pytest.fixture
def blank_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are drawn, but their files stay empty: rendering is most of the report's time."""

    def save(drawing: Drawing, directory: Path) -> Path:
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / f"{drawing.name}.png"
        path.touch()
        return path

    monkeypatch.setattr(Drawing, "save", save)
