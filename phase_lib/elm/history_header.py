"""The header of a history file: when its samples lie, what they hold, and which case wrote them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import netCDF4
import numpy as np

from phase_lib.base.errors import InputError
from phase_lib.elm.calendar import Clock, read_clock
from phase_lib.elm.history_cells import history_fault, is_point
from phase_lib.elm.netcdf import get_variable, is_fill
from phase_lib.elm.units import units_of

GIVE_MEANS = "give the tape of means (hist_avgflag_pertape = 'A')"
_NOLEAP = ("noleap", "365day")
#: Entry of the attribute `cell_methods`: dimensions, and what was done along them.
_METHOD = re.compile(r"((?:\w+\s*:\s*)+)(\w+)")
_MEANS = ("mean", "average")
#: What fields hold that are no means, by the method of their time axis.
_NO_MEANS = {
    **dict.fromkeys(("point", "instantaneous"), "snapshots"),
    **dict.fromkeys(("maximum", "max"), "maxima"),
    **dict.fromkeys(("minimum", "min"), "minima"),
    "sum": "sums",
}
#: Variables along time that are no fields.
_CLOCK = frozenset(
    ("time", "time_bounds", "mcdate", "mcsec", "mdcur", "mscur", "nstep", "date_written", "time_written")
)
#: Stamps may lie outside of their interval by a day.
_SLACK_DAYS = 1.0
#: No step of the model is longer, days.
_STEP_DAYS = 0.125


@dataclass(frozen=True)
class Samples:
    """When the samples of a file begin and end.

    Attributes:
        clock: of the variable `time`.
        number: position on file; one that was reserved and never written is left out (time).
        bounds: averaging intervals, days since the reference date of `time` (time, 2).
        first_step: True for the sample of step 0, which ELM writes at the start of some tapes (time).
    """

    clock: Clock
    number: np.ndarray
    bounds: np.ndarray
    first_step: np.ndarray

    @property
    def days(self) -> np.ndarray:
        """Length of each sample (time)."""
        length: np.ndarray = self.bounds[:, 1] - self.bounds[:, 0]
        return length


def read_samples(path: Path, dataset: netCDF4.Dataset) -> Samples:
    """Averaging intervals of an open history file.

    `time_bounds` has the units of `time` unless it has an attribute `units`.

    Raises:
        InputError: no sample, no bounds, another calendar than noleap, units that are no time since a
            date, NaN, or bounds that do not contain the time stamp of the sample.
    """
    time = get_variable(path, dataset, "time")
    if time.dimensions != ():  # one sample may have lost the dimension
        time = get_variable(path, dataset, "time", dims=("time",))
    name, dims = bounds_name(dataset), (*time.dimensions, "hist_interval")
    edges = get_variable(path, dataset, name, None if name in dataset.variables else dims)
    if edges.dimensions[:-1] != time.dimensions or edges.shape[-1:] != (2,):
        what = f"variable {edges.name} has dimensions ({', '.join(edges.dimensions)})"
        raise history_fault(path, what, expected=f"({', '.join(dims)}), start and end of each sample")
    for variable in (time, edges):
        calendar = str(getattr(variable, "calendar", "" if variable is time else "noleap")).strip()
        if calendar.lower().replace("_", "") not in _NOLEAP:
            what = f"has calendar {calendar!r}" if calendar else "has no attribute calendar"
            raise history_fault(path, f"{variable.name} {what}", expected="'noleap'")
    clock = read_clock(path, "time", units_of(time))
    of_bounds = read_clock(path, edges.name, units_of(edges)) if units_of(edges) else clock
    raw, stamps = np.asarray(edges[...]).reshape(-1, 2), np.asarray(time[...]).reshape(-1)
    fill = is_fill(edges, raw)
    number = np.flatnonzero(~(fill.all(axis=1) & is_fill(time, stamps)))
    raw, stamps, fill = raw[number], stamps[number], fill[number]
    if len(number) == 0:
        raise InputError(path, f"{edges.name}: the file holds no sample", remedy="leave it out")
    if np.any(fill) or not np.all(np.isfinite(raw)):
        what = f"{edges.name}: an interval is NaN or fill"
        raise history_fault(path, what, expected="start and end of each sample")
    bounds = of_bounds.days(raw) + (of_bounds.reference - clock.reference)
    _refuse_other_stamps(path, edges.name, clock, bounds, stamps)
    started = bounds[:, 1] <= 0.0
    if "nstep" in dataset.variables and dataset["nstep"].dimensions == time.dimensions:
        started = np.asarray(get_variable(path, dataset, "nstep")[...]).reshape(-1)[number] == 0
    samples = Samples(clock, number, bounds, started)
    return replace(samples, first_step=started & (samples.days <= _STEP_DAYS))


def _refuse_other_stamps(path: Path, name: str, clock: Clock, bounds: np.ndarray, stamps: np.ndarray) -> None:
    """Refuses bounds that do not contain their stamps: numbers in other units, or since another date."""
    days = clock.days(stamps)
    slack = _SLACK_DAYS + np.spacing(np.abs(stamps)) / clock.per_day
    if not np.all((bounds.min(axis=1) - slack <= days) & (days <= bounds.max(axis=1) + slack)):
        start, end = (clock.date(day) for day in (bounds[0, 0], bounds[-1, 1]))
        first, last = (clock.date(day) if np.isfinite(day) else "NaN" for day in (days[0], days[-1]))
        raise InputError(
            path,
            f"{name} reaches from {start} to {end}, time from {first} to {last}",
            expected="intervals that hold their times",
            remedy=f"say in the attribute units of {name} what its numbers are, and since which date",
        )


def bounds_name(dataset: netCDF4.Dataset) -> str:
    """Name of the bounds of time: by the attribute of `time`, ELM's, or that of other tools."""
    names = (str(getattr(dataset.variables.get("time"), "bounds", "")), "time_bounds", "time_bnds")
    return next((name for name in names if name in dataset.variables), "time_bounds")


def fields_of(dataset: netCDF4.Dataset) -> list[str]:
    """Names of the fields of a history file: its variables along time, without the clock."""
    time = dataset.variables.get("time")
    if time is not None and time.ndim == 0:
        return [str(name) for name, v in dataset.variables.items() if "cell_methods" in v.ncattrs()]
    other, least = _CLOCK | {bounds_name(dataset)}, 1 if is_point(dataset) else 2
    return [
        str(name)
        for name, v in dataset.variables.items()
        if v.dimensions[:1] == ("time",)
        and v.ndim >= least
        and name not in other
        and getattr(v.dtype, "kind", "U") in "iuf"
    ]


def case_of(dataset: netCDF4.Dataset) -> str:
    """Case that wrote a history file; empty where the file names none."""
    for name in ("case", "case_id"):
        if name in dataset.ncattrs() and (case := str(dataset.getncattr(name)).strip(" \0")):
            return case
    return ""


def _cell_methods(variable: netCDF4.Variable) -> str:
    """The attribute with the averaging of a field; older models write its name in the singular."""
    return str(getattr(variable, "cell_methods", getattr(variable, "cell_method", "")))


@lru_cache
def methods_in_time(cell_methods: str) -> tuple[str, ...]:
    """What a field holds along time, from ELM's averaging flag; empty where `cell_methods` is silent."""
    text = re.sub(r"\([^)]*\)", " ", cell_methods.lower()).strip()
    if text and ":" not in text:
        return (text.split()[0],)
    return tuple(method for dims, method in _METHOD.findall(text) if "time" in re.split(r"\s*:\s*", dims))


def no_mean(variable: netCDF4.Variable) -> str:
    """What a field holds where it is no mean over time; empty where it is one, or where that is unknown."""
    text = _cell_methods(variable)
    other = next((method for method in methods_in_time(text) if method not in _MEANS), None)
    return "" if other is None else f"{_NO_MEANS.get(other, 'no means')} (cell_methods {text!r})"


def kinds_of_fields(dataset: netCDF4.Dataset) -> dict[str, int]:
    """What fields of a history file hold along time -> how many do; fields without `cell_methods` apart."""
    kinds = Counter(
        " of ".join(reversed(methods_in_time(_cell_methods(dataset[name])))) or "not said"
        for name in fields_of(dataset)
    )
    return dict(kinds.most_common())


def other_than_means(path: Path, names: Sequence[str], what: str) -> InputError:
    """The refusal of fields that are no means over time."""
    fields = f"variables {', '.join(names)} hold" if len(names) > 1 else f"variable {names[0]} holds"
    return InputError(
        path,
        f"{fields} {what}",
        expected="means over time, 'time: mean'",
        remedy=GIVE_MEANS,
    )
