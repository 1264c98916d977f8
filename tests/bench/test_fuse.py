"""The benchmark of the forcing reduction does what it says, at a size that needs no time."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from phase_lib.base.errors import InputError
from phase_lib.bench.fuse import bench_fuse

needs_cdo = pytest.mark.skipif(shutil.which("cdo") is None, reason="cdo is not installed")


@needs_cdo
def test_the_means_are_those_of_cdo_to_the_rounding_of_float32(tmp_path: Path) -> None:
    result = bench_fuse(cells=300, months=2, workers=1, matching_cells=200, directory=tmp_path)
    assert 0.0 <= result["max_relative_difference"] < 3e-7
    # Seven variables of 31 and 28 days, eight steps a day.
    assert result["bytes"] == pytest.approx(7 * 59 * 8 * 4 * 300, rel=0.02)
    # The seconds are printed to hundredths.
    least, most = ((result["phase_seconds"] + d) / (result["cdo_seconds"] - d) for d in (-0.006, 0.006))
    assert least - 1e-3 <= result["ratio"] <= most + 1e-3
    assert result["peak_memory_mib"] > 20
    assert list(tmp_path.iterdir()) == []


@needs_cdo
def test_a_disk_without_room_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"GB free; expected .* GB for a month of 1000000000000 cells"):
        bench_fuse(cells=10**12, months=1, workers=1, matching_cells=1, directory=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_without_cdo_there_is_nothing_to_compare_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="cdo is not on the PATH"):
        bench_fuse(cells=10, months=1, workers=1, matching_cells=1, directory=tmp_path)
