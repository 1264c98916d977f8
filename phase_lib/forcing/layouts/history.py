"""the forcing in the land model's own history, on its own cells."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from phase_lib.base.errors import InputError
from phase_lib.elm.calendar import MONTH_STARTS
from phase_lib.elm.constants import DAYS_PER_YEAR
from phase_lib.elm.history import History as ModelHistory
from phase_lib.forcing.points import Mapping, Part, Record, month_label, years_label
from phase_lib.forcing.steps import check_means
from phase_lib.forcing.variables import INPUTS, choose_recipe
from phase_lib.forcing.watch import Used, Watch

#: ELM's first interval begins one model step early; samples may stick out of a month by this, days.
_SLACK_DAYS = 0.1


@dataclass(frozen=True)
class _YearTask:
    """One variable in one year."""

    name: str
    paths: tuple[Path, ...]
    inputs: tuple[str, ...]
    months: slice
    label: str
    weights: np.ndarray
    point: np.ndarray

    def __call__(self) -> Part:
        history = ModelHistory(self.paths)
        wanted = np.asarray(self.weights.any(axis=1))
        total = np.zeros((self.weights.shape[1], len(self.point)))
        units = {source: INPUTS[source].units for source in self.inputs}
        watches: dict[tuple[str, str], Watch] = {}
        for name, samples, values in history.fields(units, wanted):
            self._watch(watches, history, name, samples, values)
            # einsum, not BLAS, which would start threads of its own in each of a job's processes.
            total += np.einsum("sm,sc->mc", self.weights[samples], values[:, self.point])
        values = total.T
        cells = np.repeat(np.arange(len(values)), values.shape[1])
        means, path = values.reshape(-1), str(self.paths[0])
        checked = check_means(self.name, path, self.label, means, 0.0, cells, [*watches.values()])
        return Part(self.months, slice(0, len(values)), checked.reshape(values.shape))

    def _watch(
        self,
        watches: dict[tuple[str, str], Watch],
        history: ModelHistory,
        name: str,
        samples: np.ndarray,
        values: np.ndarray,
    ) -> None:
        """Shows samples of a file (n, gridcell) to what looks at a field in it."""
        paths, space = history.sample_paths, values.shape[1:]
        path = paths[samples[0]]
        first = paths.index(path)
        if (name, str(path)) not in watches:
            days = DAYS_PER_YEAR * (history.start + history.origin)
            cells = np.arange(len(self.point))
            used = Used(paths.count(path), self.point, cells, lambda step: days[first + step])
            known = INPUTS[name]
            watches[name, str(path)] = Watch(name, str(path), known.step, known.units[0], used, space, axis=0)
        whole = tuple(slice(0, size) for size in space)
        watches[name, str(path)].look(values, int(samples[0]) - first, whole)


class History(Record):
    """History files of one run and tape whose samples nest in months.

    Args:
        files: history files, monthly or of shorter means.
        names: forcing variables.
        months: wanted months of model years, counted from January of the year 0.

    Raises:
        InputError: a month is not covered, a sample spans months, or a field is missing, is no mean or has
            other units.
    """

    in_model_years = True

    def __init__(self, files: Sequence[str | Path], names: Sequence[str], months: range) -> None:
        history = ModelHistory(list(files))
        present = history.variables & INPUTS.keys()
        recipes = {name: choose_recipe(name, present, history.paths[0], step_by_step=False) for name in names}
        history.check(
            {source: INPUTS[source].units for recipe in recipes.values() for source in recipe.inputs}
        )
        self._months, self._recipes = months, recipes
        self._start, self._end = (
            (edge + history.origin) * DAYS_PER_YEAR for edge in (history.start, history.end)
        )
        self._weights = self._month_weights(history)
        self._sample_paths = history.sample_paths
        self.lat, self.lon = history.grid.lat, history.grid.lon
        hours = round(24.0 * float(np.median(self._end - self._start)))
        self.step_hours = dict.fromkeys(names, float(hours))
        self.sources = {name: str(recipe) for name, recipe in recipes.items()}
        self.assumed_units: dict[str, str] = {}
        self.files = sorted({str(path) for _, paths, _ in self._by_year() for path in paths})

    def _month_weights(self, history: ModelHistory) -> np.ndarray:
        """Share of each month that each sample is (samples, months); each month's shares sum to 1."""
        months = np.array([*self._months, self._months[-1] + 1])
        edges = DAYS_PER_YEAR * (months // 12) + MONTH_STARTS[months % 12]
        overlap: np.ndarray = np.minimum(self._end[:, None], edges[1:]) - np.maximum(
            self._start[:, None], edges[:-1]
        )
        overlap[overlap < _SLACK_DAYS * np.minimum(1.0, (self._end - self._start)[:, None])] = 0.0
        used = overlap.any(axis=1)
        length = self._end - self._start
        spans = used & (length - overlap.max(axis=1) > _SLACK_DAYS)
        if np.any(spans):
            what = (
                f"time_bounds: a sample is a mean over {length[np.argmax(spans)]:.1f} days that do not lie "
                "in one month"
            )
            expected = "monthly means, or shorter ones that nest in months"
            raise InputError(history.paths[0], what, expected=expected, remedy="give the monthly tape")
        covered = overlap.sum(axis=0)
        missing = np.abs(covered - np.diff(edges)) > _SLACK_DAYS
        if np.any(missing):
            month = int(np.argmax(missing))
            what = f"the history covers {covered[month]:.1f} days of {month_label(self._months[month])}"
            expected = f"every month of {years_label(self._months)}"
            remedy = "give all history files of these years"
            raise InputError(history.paths[0], what, expected=expected, remedy=remedy)
        return overlap / covered

    def _by_year(self) -> Iterator[tuple[slice, tuple[Path, ...], np.ndarray]]:
        """Months in groups of a year, the files with samples in them, and the weights of their samples."""
        paths = list(dict.fromkeys(self._sample_paths))
        file_of_sample = np.array([paths.index(path) for path in self._sample_paths])
        for first in range(0, len(self._months), 12):
            months = slice(first, min(first + 12, len(self._months)))
            weights = self._weights[:, months]
            files = np.unique(file_of_sample[weights.any(axis=1)])
            yield months, tuple(paths[f] for f in files), weights[np.isin(file_of_sample, files)]

    def files_of(self, name: str, months: range) -> list[str]:
        """Files of a variable in some months."""
        used = self._weights[:, months.start : months.stop].any(axis=1)
        return list(dict.fromkeys(str(self._sample_paths[sample]) for sample in np.flatnonzero(used)))

    def has_data(self, near: np.ndarray) -> np.ndarray:
        """Every land cell of a history has data."""
        return near

    def tasks(self, mapping: Mapping) -> Iterator[_YearTask]:
        """One task for each variable and year."""
        years = list(self._by_year())
        for name, recipe in self._recipes.items():
            for months, paths, weights in years:
                label = f"a month of {self._months[months.start] // 12:04d}"
                yield _YearTask(name, paths, recipe.inputs, months, label, weights, mapping.point)
