"""The reduced forcing compared with what the model saw: the forcing fields of its own history.

Cycle means are compared on every cell, and where the samples of the history are shorter, the course within
the cycle too: on every cell for single months that are off, on some cells for years in another order.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from phase_lib.base.errors import InputError
from phase_lib.base.files import header_hash, write_json
from phase_lib.base.progress import LOGGER
from phase_lib.base.provenance import code_version
from phase_lib.elm.calendar import MONTH_STARTS
from phase_lib.elm.constants import DAYS_PER_MONTH, DAYS_PER_YEAR, FILL_THRESHOLD
from phase_lib.elm.gather import gather
from phase_lib.elm.history import History
from phase_lib.elm.matching import SAME_CELL_KM
from phase_lib.elm.netcdf import open_dataset
from phase_lib.elm.restart import RestartHeader, restart_header
from phase_lib.forcing.causes import Compared, Course, Difference, Means, Worst, forcing_label
from phase_lib.forcing.pieces import MonthlyPieces, open_pieces
from phase_lib.forcing.points import month_label
from phase_lib.forcing.tolerances import Allowed
from phase_lib.forcing.variables import FORCING, INPUTS, RECIPES, Recipe, find_recipe

#: Months and samples may stick out of each other by this, days: ELM's first sample holds the step before.
_SLACK_DAYS = 0.1
#: A sample across the edge of the cycle sticks out by this at most, days.
_LONGEST_MONTH = 31.0
#: Values of forcing or history that are held at once, bytes; at least one interval of all cells.
_HELD_BYTES = 1 << 27
#: Arrays of the size of a block that are held while it is compared.
_AT_A_TIME = 8
#: Cells on which years in another order are looked for.
_SOME_CELLS = 512
#: Where nothing is allowed, nothing else is divided by.
_TINY = 1.0e-300
_DAYS: np.ndarray = np.array(DAYS_PER_MONTH, dtype=np.float64)


def fields_seen(
    present: Collection[str], no_means: Mapping[str, tuple[Path, str]]
) -> tuple[dict[str, Recipe], dict[str, str]]:
    """Which forcing variables a history has.

    Args:
        present: names of its fields.
        no_means: fields that are no means over time -> first such file, and what they hold.

    Returns:
        Variable -> fields that add up to it; and for the others what is not there, in words.
    """
    means = set(present) - set(no_means)
    recipes = {name: find_recipe(name, means, step_by_step=False) for name in FORCING}
    there = {name: recipe for name, recipe in recipes.items() if recipe is not None}
    return there, {name: _lacking(name, present, no_means) for name in FORCING if name not in there}


def _lacking(name: str, present: Collection[str], no_means: Mapping[str, tuple[Path, str]]) -> str:
    for recipe in RECIPES[name]:
        other = next((source for source in recipe.inputs if source in present and source in no_means), None)
        if other is not None and recipe.combine is None:
            return f"{other} of the history holds {no_means[other][1]}"
        some = [source for source in recipe.inputs if source in present]
        if some and recipe.combine is None:
            lost = [source for source in recipe.inputs if source not in present]
            return f"the history has {' + '.join(some)} without {' + '.join(lost)}"
    return "the history has no such field"


@dataclass(frozen=True)
class _Intervals:
    """Times between month edges that no sample of the history lies across, and that samples cover.

    Attributes:
        model_year: first of the cycle.
        months: of each interval, counted from January of that year.
        days: length of each (interval).
        of_sample: interval of each sample of the history, -1 where it has none (time).
        weight: days of each sample that lie in its interval (time).
    """

    model_year: int
    months: list[range]
    days: np.ndarray
    of_sample: np.ndarray
    weight: np.ndarray

    def __len__(self) -> int:
        return len(self.months)

    def groups(self, ncells: int) -> Iterator[slice]:
        """Intervals of which the values on all cells may be held."""
        most = max(1, _HELD_BYTES // (8 * ncells))
        for first in range(0, len(self), most):
            yield slice(first, min(first + most, len(self)))


def _intervals(history: History, model_year: int, years: int) -> _Intervals:
    """The intervals of a cycle that begins with a model year."""
    year = np.arange(years)[:, None]
    edges = np.append((DAYS_PER_YEAR * year + MONTH_STARTS[:-1]).reshape(-1), DAYS_PER_YEAR * years)
    origin = history.origin - model_year
    start, end = ((edge + origin) * DAYS_PER_YEAR for edge in (history.start, history.end))
    before = np.maximum(np.searchsorted(start, edges) - 1, 0)
    across = np.minimum(end[before] - edges, edges - start[before]) > _SLACK_DAYS
    across[[0, -1]] = False
    kept = np.flatnonzero(~across)
    low, high = np.clip(start, 0.0, edges[-1]), np.clip(end, 0.0, edges[-1])
    number = np.searchsorted(edges[kept], 0.5 * (low + high), side="right") - 1
    # What lasts far beyond the cycle has its mean where it is some whole cycles.
    cycles, outside = (end - start) / edges[-1], (end - start) - (high - low)
    within = (outside <= _LONGEST_MONTH) | (np.abs(cycles - np.rint(cycles)) * edges[-1] <= _SLACK_DAYS)
    number = np.where((high > low) & within, np.minimum(number, len(kept) - 2), -1)
    length = np.diff(edges[kept]).astype(np.float64)
    sampled = np.bincount(number[number >= 0], (high - low)[number >= 0], minlength=len(length))
    covered = np.abs(sampled - length) <= 1.0
    place = np.append(np.where(covered, np.cumsum(covered) - 1, -1), -1)
    months = [range(kept[i], kept[i + 1]) for i in np.flatnonzero(covered)]
    return _Intervals(model_year, months, length[covered], place[number], high - low)


@dataclass(frozen=True)
class _Sources:
    """Forcing and history, matched by cell.

    Attributes:
        pieces: the reduced forcing.
        history: of the run that it drove.
        row: of each cell of the pieces in the history (gridcell).
        intervals: in which both are compared.
        at_point: True where the model took its forcing from one point, the one taken here (gridcell).
    """

    pieces: MonthlyPieces
    history: History
    row: np.ndarray
    intervals: _Intervals
    at_point: np.ndarray

    def allowed(self, name: str) -> Allowed:
        """The tolerance of a variable."""
        made_of = str(self.pieces.on_file(name)[0].attrs.get("made_of", name))
        sums = [str(recipe) for recipe in RECIPES[name] if recipe.combine is None]
        days = 0.0 if self.pieces.in_model_years else self.pieces.step_hours[name] / 24.0
        return Allowed(name, self.at_point, days, derived=made_of not in sums)

    def forcing(self, name: str, months: Sequence[range], cells: slice) -> np.ndarray:
        """Means of intervals that follow each other (interval, n)."""
        first, end = months[0].start, months[-1].stop
        values = self.pieces.months(name, self.intervals.model_year, range(first, end), cells)
        return _weights(months, range(first, end)) @ values.T

    def blocks(self, months: int) -> Iterator[slice]:
        """Slices of cells whose monthly values fit into memory, with the arrays computed from them."""
        most = max(1, _HELD_BYTES // (_AT_A_TIME * 8 * months))
        for first in range(0, len(self.row), most):
            yield slice(first, min(first + most, len(self.row)))

    def seen(self, recipes: Mapping[str, Recipe], group: slice) -> dict[str, np.ndarray]:
        """Means of the history in intervals that follow each other: variable -> (interval, gridcell)."""
        intervals = self.intervals
        total = {name: np.zeros((len(intervals.months[group]), len(self.row))) for name in recipes}
        for name, samples, values in self._samples(recipes, group):
            for number in np.unique(intervals.of_sample[samples]):
                here = intervals.of_sample[samples] == number
                total[name][number - group.start] += intervals.weight[samples[here]] @ values[here]
        return {name: values / intervals.days[group, None] for name, values in total.items()}

    def seen_means(self, recipes: Mapping[str, Recipe]) -> dict[str, np.ndarray]:
        """Means of the history over all intervals: variable -> (gridcell)."""
        intervals = self.intervals
        total = {name: np.zeros(len(self.row)) for name in recipes}
        for name, samples, values in self._samples(recipes, slice(0, len(intervals))):
            total[name] += intervals.weight[samples] @ values
        return {name: values / intervals.days.sum() for name, values in total.items()}

    def _samples(
        self, recipes: Mapping[str, Recipe], group: slice
    ) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
        """Samples of the fields of some variables, a few at a time, on the cells of the pieces."""
        wanted = (self.intervals.of_sample >= group.start) & (self.intervals.of_sample < group.stop)
        variable = {source: name for name, recipe in recipes.items() for source in recipe.inputs}
        units = {source: INPUTS[source].units for source in variable}
        for source, samples, values in self.history.fields(units, wanted):
            if values.ndim != 2:
                path = self.history.sample_paths[int(samples[0])]
                raise InputError(path, f"variable {source} has levels", expected="one value for each cell")
            yield variable[source], samples, values[:, self.row]

    def forcing_mean(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Mean of the forcing over all intervals (gridcell), and how many cells have 0 all year (year)."""
        intervals, whole = self.intervals, range(12 * self.pieces.years)
        mean, empty = np.empty(len(self.row)), np.zeros(self.pieces.years, dtype=np.int64)
        weights = intervals.days / intervals.days.sum() @ _weights(intervals.months, whole)
        for cells in self.blocks(len(whole)):
            values = self.pieces.months(name, intervals.model_year, whole, cells)
            self._refuse_fill(name, values, cells)
            mean[cells] = values @ weights
            empty += np.count_nonzero(~values.reshape(len(values), -1, 12).any(axis=2), axis=0)
        return mean, empty

    def _refuse_fill(self, name: str, values: np.ndarray, cells: slice) -> None:
        """Refuses monthly means of the cycle on some cells (n, month) that are fill or NaN."""
        bad = ~(np.abs(values) < FILL_THRESHOLD)
        if np.any(bad):
            row, month = (int(first) for first in np.argwhere(bad)[0])
            when = forcing_label(self.pieces, self.intervals.model_year, month)
            raise InputError(
                self.pieces.on_file(name)[0].encoding["source"],
                f"variable {name} is {values[row, month]:g} in {when} of land cell "
                f"{(cells.start or 0) + row + 1}",
                expected="monthly means in every land cell",
                remedy="reduce the forcing again",
            )


def _weights(months: Sequence[range], span: range) -> np.ndarray:
    """Weights that take the months of a span to means of intervals (interval, month)."""
    weights = np.zeros((len(months), len(span)))
    for row, interval in zip(weights, months, strict=True):
        here = np.asarray(interval)
        row[here - span.start] = _DAYS[here % 12] / _DAYS[here % 12].sum()
    return weights


def compare_forcing(
    restart: str | Path,
    history: Sequence[str | Path],
    forcing: Sequence[str | Path],
    output: str | Path,
    *,
    accept: bool = False,
) -> dict[str, Any]:
    """Compares reduced forcing with the forcing fields of the history, over the cycle before the restart.

    Args:
        restart: restart at the end of the cycle.
        history: history of the run that wrote it, one tape.
        forcing: monthly means made by `reduce_forcing`, one piece or all pieces of a cycle.
        output: JSON of what was compared.
        accept: record a difference and go on.

    Returns:
        The content of the output.

    Raises:
        InputError: a variable differs by more than the interpolation of the forcing explains; or files are
            damaged or of other cells.
    """
    with open_dataset(restart) as dataset:
        header = restart_header(restart, dataset)
    there = History(history)
    recipes, lacking = fields_seen(there.variables, there.no_means)
    with open_pieces(forcing) as pieces:
        sources = _sources(header, there, pieces)
        if len(sources.intervals) == 0:
            years = f"{header.year - pieces.years:04d} to {header.year - 1:04d}"
            lacking |= dict.fromkeys(recipes, f"no mean of the history lies within the model years {years}")
            recipes = {}
        compared = _compare(sources, recipes)
        differences = [difference for each in compared if (difference := each.difference()) is not None]
        if differences and not accept:
            raise _refusal(sources, differences)
        content: dict[str, Any] = {
            "code_version": code_version(),
            "inputs": {
                "restart": header_hash([restart]),
                "history": header_hash(history),
                "forcing": header_hash(forcing),
            },
            "cells": len(pieces.lat),
            "cells_at_forcing_points": int(sources.at_point.sum()),
            "model_years": [sources.intervals.model_year, header.year - 1],
            "intervals": len(sources.intervals),
            "variables": {each.name: _plain(each) for each in compared},
            "not_compared": {name: lacking[name] for name in FORCING if name in lacking},
            "accepted": accept and bool(differences),
            "differences": [str(_error(sources, difference)) for difference in differences],
        }
    write_json(output, content)
    for line in content["differences"]:
        LOGGER.warning("accepted: %s", line)
    LOGGER.info("%s", summary_line(content))
    return content


def summary_line(content: dict[str, Any]) -> str:
    """What a comparison came to, in one sentence."""
    names, lacking = list(content["variables"]), content["not_compared"]
    first, last = content["model_years"]
    if names:
        count = len(content["differences"])
        differ = "differs" if count == 1 else "differ"
        outcome = f"{count} of them {differ}, which was accepted" if count else "all agree"
        intervals = content["intervals"]
        order = f" in {intervals} intervals" if intervals > 1 else ", by the mean over the cycle alone"
        said = [
            f"compared with the history over the model years {first:04d} to {last:04d}{order}: "
            f"{', '.join(names)}; {outcome}"
        ]
    else:
        said = ["not compared with the history"]
    return "; ".join([*said, *(f"{', '.join(names)}: {why}" for why, names in by_reason(lacking).items())])


def by_reason(lacking: Mapping[str, str]) -> dict[str, list[str]]:
    """Why some variables are not compared -> which."""
    reasons: dict[str, list[str]] = {}
    for name, why in lacking.items():
        reasons.setdefault(why, []).append(name)
    return reasons


def _sources(header: RestartHeader, history: History, pieces: MonthlyPieces) -> _Sources:
    # Where topounits divide cells, ELM takes the forcing to their heights.
    divided = header.dims.get("topounit", 0) > header.dims.get("gridcell", 0)
    at_point = (pieces.distance_km <= SAME_CELL_KM) & (not divided)
    row = history.rows(pieces.lat, pieces.lon)
    intervals = _intervals(history, header.year - pieces.years, pieces.years)
    return _Sources(pieces, history, row, intervals, at_point)


def _compare(sources: _Sources, recipes: Mapping[str, Recipe]) -> list[Compared]:
    """Forcing and history of all variables that the history has."""
    intervals, model_year = sources.intervals, sources.intervals.model_year
    if not recipes:
        return []
    allowed, means = {name: sources.allowed(name) for name in recipes}, {}
    for name, seen in sources.seen_means(recipes).items():
        forcing, empty = sources.forcing_mean(name)
        limit = allowed[name].of_means(forcing, seen, float(intervals.days.sum()))
        means[name] = Means(forcing, seen, limit, empty)
    courses: dict[str, Course] = {}
    if len(intervals) > 1:
        # As many variables together as may be held: each opens all files of the history.
        together = max(1, _HELD_BYTES // (8 * len(sources.row) * len(intervals)))
        names = list(recipes)
        for first in range(0, len(names), together):
            followed = {
                name: _Follower(sources, allowed[name], means[name])
                for name in names[first : first + together]
            }
            for group in intervals.groups(len(sources.row) * len(followed)):
                for name, seen in sources.seen({name: recipes[name] for name in followed}, group).items():
                    followed[name].take(group, seen)
            courses |= {name: follower.course() for name, follower in followed.items()}
    return [
        Compared(sources.pieces, str(recipe), allowed[name], means[name], courses.get(name), model_year)
        for name, recipe in recipes.items()
    ]


def _plain(compared: Compared) -> dict[str, Any]:
    """What was compared of one variable, in plain values."""
    means, pieces, course = compared.means, compared.pieces, compared.course
    cell = means.worst
    return {
        "history": compared.made_of,
        "units": FORCING[compared.name][0],
        "largest_difference": {
            "cell": cell + 1,
            "lat": float(pieces.lat[cell]),
            "lon": float(pieces.lon[cell]),
            "forcing": float(means.forcing[cell]),
            "history": float(means.seen[cell]),
            "tolerance": float(means.allowed[cell]),
        },
        "course": None
        if course is None
        else {
            "month": month_label(12 * course.model_year + course.intervals[course.worst.interval].start),
            "cell": course.worst.cell + 1,
            "forcing": course.worst.forcing,
            "history": course.worst.seen,
            "tolerance": course.worst.allowed,
            "misfit": None if course.misfits is None else float(course.misfits[0]),
        },
    }


class _Follower:
    """Follows a variable by intervals: on all cells for the worst, on some for the order of the years."""

    def __init__(self, sources: _Sources, allowed: Allowed, means: Means) -> None:
        ncells = len(sources.row)
        self._sources, self._allowed, self._means, self._scale = sources, allowed, means, means.scale
        some = np.linspace(0, ncells - 1, min(ncells, _SOME_CELLS)).astype(int)
        self._some = np.unique(np.append(some, means.worst))
        self._kept: list[np.ndarray] = []
        self._usual = np.zeros(ncells)
        # Excess, interval, difference, forcing, history and limit where a cell differs most.
        self._peak = np.full((6, ncells), -1.0)

    def take(self, group: slice, seen: np.ndarray) -> None:
        """Takes means of the history in intervals that follow each other (interval, gridcell)."""
        intervals, name = self._sources.intervals, self._allowed.name
        months, days = intervals.months[group], intervals.days[group]
        self._kept.append(seen[:, self._some])
        for cells in self._sources.blocks(months[-1].stop - months[0].start):
            forcing, expected = (
                self._sources.forcing(name, months, cells),
                seen[:, cells] * self._scale[cells],
            )
            mean, allowed = self._means.forcing[cells], self._allowed.on(cells)
            limit = allowed.of_course(forcing, expected, days, mean, scaled=True)
            apart = np.abs(forcing - expected)
            self._usual[cells] += apart.sum(axis=0) / len(intervals)
            excess = apart / np.maximum(limit, _TINY)
            most = np.argmax(excess, axis=0)
            at = most, np.arange(excess.shape[1])
            here = excess[at], most + group.start, apart[at], forcing[at], seen[:, cells][at], limit[at]
            larger = excess[at] > self._peak[0, cells]
            self._peak[:, cells] = np.where(larger, np.stack(here), self._peak[:, cells])

    def course(self) -> Course:
        """The course, once all intervals were taken."""
        intervals, pieces = self._sources.intervals, self._sources.pieces
        whole = [gather(variable, self._some) for variable in pieces.on_file(self._allowed.name)]
        series = pieces.from_model_year_one(np.concatenate(whole, axis=1))
        year, months, days = intervals.model_year, intervals.months, intervals.days
        series = np.roll(series, -12 * (year - 1), axis=1)
        weights, seen = _weights(months, range(series.shape[1])), np.concatenate(self._kept)
        return Course(year, months, days, self._worst(), self._some, series, weights, seen)

    def _worst(self) -> Worst:
        _, intervals, apart, forcing, seen, limit = self._peak
        size = np.maximum(np.abs(forcing), np.abs(seen * self._scale)) + np.abs(self._means.forcing)
        limit = self._allowed.of_peaks(limit, size, self._usual)
        excess = apart / np.maximum(limit, _TINY)
        cell = int(np.argmax(excess))
        interval, beyond = int(intervals[cell]), int(np.count_nonzero(excess > 1.0))
        return Worst(interval, cell, *(float(each[cell]) for each in (forcing, seen, limit, excess)), beyond)


def _error(sources: _Sources, difference: Difference, remedy: str = "") -> InputError:
    pieces, cell, units = sources.pieces, difference.cell, FORCING[difference.name][0]
    path = pieces.on_file(difference.name)[0].encoding["source"]
    return InputError(
        path,
        f"variable {difference.name} of land cell {cell + 1} (lat {pieces.lat[cell]:.3f} lon "
        f"{pieces.lon[cell]:.3f}) is {difference.forcing:.6g} {units}, but {difference.seen:.6g} in "
        f"{difference.made_of} of the history ({sources.history.paths[0].name}), {difference.when}; "
        f"likely cause: {difference.cause}",
        expected=f"what the model saw, {difference.expected}",
        remedy=remedy,
    )


def _refusal(sources: _Sources, differences: Sequence[Difference]) -> InputError:
    """The largest difference, and the names of the other variables that differ."""
    worst = max(differences, key=lambda difference: difference.excess)
    others = [difference.name for difference in differences if difference is not worst]
    also = f"{', '.join(others)} {'differs' if len(others) == 1 else 'differ'} too; " if others else ""
    remedy = "give the forcing that the run read, or put forcing_history into preflight.accept"
    return _error(sources, worst, also + remedy)
