"""A layout of forcing files is one file; another package may bring one of its own."""

from __future__ import annotations

from pathlib import Path

import netCDF4
import numpy as np
import pytest
from pydantic import ValidationError

from phase_lib.base.errors import InputError
from phase_lib.config.domains import ForcingFiles
from phase_lib.config.layouts import LAYOUTS, layout_class
from phase_lib.forcing.points import Record
from phase_lib.forcing.reduce import open_record, reduce_forcing
from phase_lib.landmodel.domain import Forcing
from tests.helpers.forcing import land

TOY = '''
"""one pressure for each place and year, in lines of text."""
from dataclasses import dataclass

import numpy as np

from phase_lib.forcing.points import Part, Record


class Lines(Record):
    def __init__(self, files, names, months):
        self.files = [str(file) for file in files]
        table = np.loadtxt(self.files[0])
        self.lat, self.lon, self.pressure = table.T
        self.months = len(months)
        self.step_hours, self.sources = dict.fromkeys(names, 24.0), {name: name for name in names}
        self.assumed_units = {}

    @staticmethod
    def may_hold(path, years):
        return int(path.stem) in years

    def files_of(self, name, months):
        return self.files

    def has_data(self, near):
        return near

    def tasks(self, mapping):
        yield Task(self.pressure[mapping.point], self.months)


@dataclass
class Task:
    pressure: np.ndarray
    months: int
    name = "PSRF"

    def __call__(self):
        values = np.repeat(self.pressure[:, None], self.months, axis=1)
        return Part(slice(0, self.months), slice(0, len(values)), values)
'''


def described(kind: str, **facts: object) -> dict[str, object]:
    return {"kind": kind, "product": "x", "first_year": 1980, "files": ["f.nc"], **facts}


@pytest.mark.parametrize("kind", LAYOUTS.names)
def test_each_layout_of_this_library_is_complete_and_described(kind: str) -> None:
    layout = layout_class(kind)
    assert issubclass(layout, Record)
    assert not layout.__abstractmethods__
    assert f"{kind}: " in str(ForcingFiles.model_fields["kind"].description)


def test_a_layout_of_another_package_is_checked_planned_and_reduced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "toy_layout.py").write_text(TOY, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    kind, files = "toy_layout:Lines", [tmp_path / f"{year}.txt" for year in (1980, 1981)]
    for file, pressure in zip(files, (9.0e4, 8.0e4), strict=True):
        file.write_text(f"10.0 20.0 {pressure}\n-10.0 40.0 9.9e4\n", encoding="utf-8")
    given = ForcingFiles.model_validate(described(kind))
    assert given.needs_files
    forcing = Forcing(kind, tuple(files), (), "x", 1980, 2, 1, 50.0)
    assert (forcing.files_of(range(1981, 1982)), forcing.module) == ([files[1]], "toy_layout")
    output = tmp_path / "out.nc"
    options = {"first_year": 1981, "years": 1, "limit_km": 50.0, "variables": ["PSRF"]}
    reduce_forcing([files[1]], land([-10.0, 10.0], [40.1, 20.0]), output, kind=kind, **options)
    with netCDF4.Dataset(output) as nc:
        assert nc.kind == kind
        assert np.array_equal(nc["PSRF"][:], np.repeat([[9.9e4], [8.0e4]], 12, axis=1).astype(np.float32))


def test_a_layout_that_nobody_knows_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ValidationError, match=r"no forcing layout is called 'bypas'.*did you mean bypass"):
        ForcingFiles.model_validate(described("bypas"))
    with pytest.raises(InputError, match="expected one of bypass, datm, history"):
        open_record("daily", ["f.nc"], ["TBOT"], 1980, 1)


def test_only_years_of_a_history_are_those_of_the_model() -> None:
    assert [kind for kind in LAYOUTS.names if layout_class(kind).in_model_years] == ["history"]
    assert not ForcingFiles.model_validate(described("history", align_year=1980, files=[])).needs_files
