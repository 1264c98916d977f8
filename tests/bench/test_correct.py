"""The benchmark of the correction solves as many columns as it was asked for."""

from __future__ import annotations

import json

import pytest

from phase_lib.cli import main


def test_all_columns_are_solved_and_timed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["bench", "correct", "--columns", "20000", "--threads", "1"])
    assert end.value.code == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["columns"], result["threads"]) == (20000, 1)
    assert result["columns_per_second"] == pytest.approx(20000 / result["seconds"], rel=0.5)
