"""The history tapes of a segment: what ELM is asked for, and its files under the names of the workflow.

Each sample is a file of its own (`hist_mfilt` 1): a tape of averages begins with a sample of the first step,
which would else shift all files by one. The annual means of a cycle are joined afterwards.

A third tape holds the state that ELM has read, before its first year: what it made of an injected restart.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np

from phase_lib.base.errors import InputError, ModelAbort
from phase_lib.base.files import writing
from phase_lib.elm.constants import DAYS_PER_YEAR
from phase_lib.elm.history_header import read_samples
from phase_lib.elm.netcdf import open_dataset
from phase_lib.landmodel.cime.run_files import place
from phase_lib.landmodel.cime.user_lines import setting
from phase_lib.landmodel.domain import ANNUAL_TAPE, CYCLE_TAPE, Segment
from phase_lib.landmodel.tapes import ANNUAL_FIELDS, CYCLE_FIELDS

#: The tape of the state that ELM has read, and its fields.
STATE_TAPE, STATE_FIELDS = 2, ("TOTVEGC", "TOTSOMC")
_HOURS_PER_YEAR = 24 * DAYS_PER_YEAR
#: Bounds of samples are whole years within a day: ELM's first sample includes the step before the start.
_DAY = 1.0 / DAYS_PER_YEAR


@dataclass(frozen=True)
class Tapes:
    """What the tapes of a run are asked for; a run goes on only with the tapes it began with.

    Attributes:
        interval: years of a mean on the tape of means.
        cycle, annual: fields of the two tapes.
    """

    interval: int
    cycle: tuple[str, ...]
    annual: tuple[str, ...]

    @classmethod
    def of_segment(cls, segment: Segment) -> Tapes:
        """The tapes that a segment has to write.

        Raises:
            InputError: its years are neither whole forcing cycles nor a part of one.
        """
        cycle = segment.domain.cycle
        if segment.years > cycle and segment.years % cycle:
            raise InputError(
                segment.case,
                f"a segment of {segment.years} years with a forcing cycle of {cycle}",
                expected="whole cycles, or a part of one: a tape has one interval",
                remedy="change stabilisation.windows or spinup.segment_years",
            )
        return cls(
            min(cycle, segment.years),
            tuple(dict.fromkeys([*CYCLE_FIELDS, *segment.spinup.history_fields])),
            tuple(dict.fromkeys([*ANNUAL_FIELDS, *segment.spinup.annual_fields])),
        )

    @property
    def settings(self) -> dict[str, list[str] | list[int] | list[bool]]:
        """Of ELM's namelist: name -> values."""
        years = (self.interval, 1, self.interval)
        return {
            "hist_empty_htapes": [True],
            "hist_fincl1": list(self.cycle),
            "hist_fincl2": list(self.annual),
            "hist_fincl3": list(STATE_FIELDS),
            "hist_avgflag_pertape": ["A", "A", "I"],
            "hist_nhtfrq": [-_HOURS_PER_YEAR * count for count in years],
            "hist_mfilt": [1, 1, 1],
        }

    @property
    def lines(self) -> list[str]:
        """Lines of `user_nl_elm`."""
        return [setting(name, values) for name, values in self.settings.items()]

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()
        }


def collect(segment: Segment, written: Sequence[Path]) -> None:
    """Brings history files under the names of the workflow.

    Args:
        segment: whose history it is.
        written: the files of its case, those of earlier years among them.

    Raises:
        ModelAbort: a year is missing, or there twice.
    """
    for tape, interval in ((CYCLE_TAPE, None), (ANNUAL_TAPE, 1)):
        samples = _samples(files_of(segment.case, tape, written))
        for (start, end), target in zip(segment.cycles, segment.history(tape), strict=True):
            parts = [one for one in samples if start - _DAY < one.start and one.end < end + _DAY]
            _require_whole(target, parts, start, end, interval or end - start)
            _join(parts, target)


def files_of(case: str, tape: int, written: Iterable[Path]) -> list[Path]:
    """The files of one tape among those of a case."""
    return sorted(path for path in written if path.name.startswith(f"{case}.elm.h{tape}."))


@dataclass(frozen=True)
class _Sample:
    """One sample: its file, its place there, and its bounds in model years."""

    path: Path
    number: int
    alone: bool
    start: float
    end: float


def _samples(paths: Sequence[Path]) -> list[_Sample]:
    """All means of some files in order of time, without those of the first step."""
    samples: list[_Sample] = []
    for path in paths:
        with open_dataset(path) as dataset:
            read = read_samples(path, dataset)
            years = 1.0 + (read.clock.reference + read.bounds) / DAYS_PER_YEAR
            samples += [
                _Sample(path, int(number), len(read.number) == 1, float(first), float(last))
                for number, (first, last), skipped in zip(read.number, years, read.first_step, strict=True)
                if not skipped
            ]
    return sorted(samples, key=lambda one: one.end)


def _require_whole(target: Path, parts: Sequence[_Sample], start: int, end: int, interval: int) -> None:
    wanted = np.arange(start, end, interval)
    starts = np.array([one.start for one in parts])
    if len(starts) != len(wanted) or np.any(np.abs(starts - wanted) > _DAY):
        there = ", ".join(f"{one.start:.2f} to {one.end:.2f}" for one in parts) or "none"
        raise ModelAbort(
            f"{target}: its samples are of the model years {there}; expected {len(wanted)} of {interval} "
            f"years each from {start} to {end}; run the segment again"
        )


def _join(parts: Sequence[_Sample], target: Path) -> None:
    """Writes samples into one file; a file that is the one sample wanted gets a second name."""
    first, *others = parts
    if not others and first.alone:
        place(first.path, target)
        return
    with writing(target) as path:
        _copy_first(first, path)
        with netCDF4.Dataset(path, "r+") as joined:
            joined.set_auto_maskandscale(False)
            along = [name for name, one in joined.variables.items() if one.dimensions[:1] == ("time",)]
            for row, part in enumerate(others, start=1):
                with open_dataset(part.path) as dataset:
                    dataset.set_auto_maskandscale(False)
                    for name in along:
                        joined[name][row] = dataset[name][part.number]


def _copy_first(part: _Sample, path: Path) -> None:
    """A file with the first sample alone, to which others can be added."""
    with open_dataset(part.path) as dataset:
        dataset.set_auto_maskandscale(False)
        with netCDF4.Dataset(path, "w", format=dataset.data_model) as copy:
            copy.set_fill_off()
            copy.set_auto_maskandscale(False)
            copy.setncatts({name: dataset.getncattr(name) for name in dataset.ncattrs()})
            for name, dimension in dataset.dimensions.items():
                copy.createDimension(name, None if name == "time" else dimension.size)
            for name, one in dataset.variables.items():
                fill = one.getncattr("_FillValue") if "_FillValue" in one.ncattrs() else None
                new = copy.createVariable(name, one.datatype, one.dimensions, fill_value=fill)
                new.setncatts({key: one.getncattr(key) for key in one.ncattrs() if key != "_FillValue"})
            for name, one in dataset.variables.items():
                if one.dimensions[:1] == ("time",):
                    copy[name][0] = one[part.number]
                elif one.size:
                    copy[name][...] = one[...]
