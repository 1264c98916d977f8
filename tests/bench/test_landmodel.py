"""The benchmark measures as many cells as it was asked for, or refuses."""

from __future__ import annotations

import pytest

from phase_lib.bench.landmodel import _world_of
from phase_lib.cli import main
from phase_lib.landmodel.embedded.world.build import make_land


@pytest.mark.parametrize(("cells", "degrees"), [(12, 5.0), (696, 5.0), (700, 4.0), (2800, 2.0)])
def test_the_world_is_the_coarsest_that_has_the_cells(cells: int, degrees: float) -> None:
    settings = _world_of(cells)
    assert settings.resolution_deg == degrees
    assert len(make_land(settings).lat) == cells


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        (1_000_000, "--cells: 1000000 cells; expected at most 251169, the land cells of the finest world"),
        (5, "--cells: cells is 5; expected greater than or equal to 12"),
    ],
)
def test_a_number_of_cells_that_no_world_has_is_refused_in_one_line(
    capsys: pytest.CaptureFixture[str], cells: int, words: str
) -> None:
    with pytest.raises(SystemExit) as end:
        main(["bench", "landmodel", "--cells", str(cells)])
    assert end.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line
