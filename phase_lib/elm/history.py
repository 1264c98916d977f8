"""History files (h0, h1, ...), gridded: (time, lat, lon) or (time, lndgrid)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from phase_lib.base.errors import InputError
from phase_lib.elm.calendar import MONTH_STARTS
from phase_lib.elm.constants import DAYS_PER_YEAR, FILL_THRESHOLD
from phase_lib.elm.netcdf import get_variable, open_dataset

_HORIZONTAL = (("lat", "lon"), ("lndgrid",))
_REFERENCE = re.compile(r"days since (\d+)-(\d{1,2})-(\d{1,2})")


@dataclass(frozen=True)
class HistoryGrid:
    """Land cells of a history file.

    Attributes:
        row: position of each land cell on the flattened grid (gridcell).
        lat, lon: degrees (gridcell).
        area: km2 (gridcell).
        landfrac: land fraction (gridcell).
    """

    row: np.ndarray
    lat: np.ndarray
    lon: np.ndarray
    area: np.ndarray
    landfrac: np.ndarray

    @property
    def land_area_m2(self) -> np.ndarray:
        """Land area of each cell, m2: history values are per m2 of land."""
        return self.area * self.landfrac * 1.0e6


class History:
    """A run of history files of one tape, read as one series in time.

    Args:
        paths: files of one tape; sorted by their first averaging interval.

    Attributes:
        start, end: bounds of each sample, in years since the reference date (time).
        origin: model year of the reference date; 1.0 for "days since 0001-01-01".

    Raises:
        InputError: no file, no `time_bounds`, mixed calendars, or samples that overlap.
    """

    def __init__(self, paths: Sequence[str | Path]) -> None:
        if not paths:
            raise InputError(None, "no history file given", expected="at least one")
        pieces = []
        for path in paths:
            with open_dataset(path) as dataset:
                time = get_variable(path, dataset, "time")
                calendar = str(getattr(time, "calendar", "")).replace("_", "")
                if calendar != "noleap":
                    raise InputError(path, f"time has calendar {calendar!r}", expected="'noleap'")
                units = str(getattr(time, "units", ""))
                bounds = np.asarray(
                    get_variable(path, dataset, "time_bounds", dims=("time", "hist_interval"))[:],
                    dtype=np.float64,
                )
            pieces.append((float(bounds[0, 0]), Path(path), units, bounds))
        pieces.sort(key=lambda piece: piece[0])
        references = {piece[2] for piece in pieces}
        if len(references) > 1:
            raise InputError(
                pieces[-1][1], f"time has units {sorted(references)}", expected="one reference date"
            )
        bounds = np.concatenate([piece[3] for piece in pieces])
        # The step-0 sample that ELM writes at the start of a 20-year tape has no length.
        self._samples = [np.flatnonzero(piece[3][:, 1] > piece[3][:, 0]) for piece in pieces]
        self.paths = [piece[1] for piece in pieces]
        bounds = bounds[bounds[:, 1] > bounds[:, 0]]
        self.start, self.end = bounds[:, 0] / DAYS_PER_YEAR, bounds[:, 1] / DAYS_PER_YEAR
        if np.any(self.start[1:] < self.end[:-1] - 1.0 / DAYS_PER_YEAR):
            raise InputError(self.paths[-1], "time_bounds: samples overlap", remedy="give each file once")
        self.origin = self._reference_year(references.pop())
        self.grid = self._read_grid()

    def _reference_year(self, units: str) -> float:
        match = _REFERENCE.match(units)
        if match is None:
            raise InputError(
                self.paths[0], f"time has units {units!r}", expected="'days since YYYY-MM-DD ...'"
            )
        return int(match[1]) + (int(MONTH_STARTS[int(match[2]) - 1]) + int(match[3]) - 1) / DAYS_PER_YEAR

    def _read_grid(self) -> HistoryGrid:
        path = self.paths[0]
        with open_dataset(path) as dataset:

            def flat(name: str) -> np.ndarray:
                return np.asarray(get_variable(path, dataset, name)[:]).reshape(-1)

            area, frac = flat("area").astype(np.float64), flat("landfrac").astype(np.float64)
            row = np.flatnonzero(flat("landmask") == 1)
            lat, lon = flat("lat").astype(np.float64), flat("lon").astype(np.float64)
            if "lndgrid" not in dataset.dimensions:
                lat, lon = (axis.reshape(-1) for axis in np.meshgrid(lat, lon, indexing="ij"))
        return HistoryGrid(row, lat[row], lon[row], area[row], frac[row])

    def has(self, name: str) -> bool:
        """True if every file of the run holds the field."""
        for path in self.paths:
            with open_dataset(path) as dataset:
                if name not in dataset.variables:
                    return False
        return True

    def read(self, name: str) -> np.ndarray:
        """A field on the land cells: (time, gridcell) or (time, levels, gridcell), float64.

        Raises:
            InputError: the field is missing, not gridded, or fill on a land cell.
        """
        return np.concatenate([self._read_piece(piece, name) for piece in range(len(self.paths))])

    def mean(
        self, name: str, first_year: float, end_year: float, units: Sequence[str] | None = None
    ) -> np.ndarray:
        """Time mean of a surface field over model years, one file in memory at a time.

        Samples count by their overlap with the years, so annual, monthly and 20-year tapes all serve.

        Args:
            name: field.
            first_year: model year at whose start the mean begins.
            end_year: model year at whose start it ends.
            units: accepted units.

        Returns:
            (gridcell), float64.

        Raises:
            InputError: the samples do not cover the years, or the field is missing, has other units or
                is fill on a land cell.
        """
        start, end = self.start + self.origin, self.end + self.origin
        overlap = np.clip(np.minimum(end, end_year) - np.maximum(start, first_year), 0.0, None)
        if abs(overlap.sum() - (end_year - first_year)) > 1.0 / DAYS_PER_YEAR:
            raise InputError(
                self.paths[0],
                f"the history covers {overlap.sum():.2f} years of {first_year:04.0f} to {end_year - 1:04.0f}",
                expected=f"all {end_year - first_year:g}",
                remedy="give all history files of these years",
            )
        total, first = np.zeros(len(self.grid.row)), 0
        for piece, samples in enumerate(self._samples):
            weights = overlap[first : first + len(samples)]
            first += len(samples)
            if weights.any():
                total += weights @ self._read_piece(piece, name, units)
        return total / overlap.sum()

    def _read_piece(self, piece: int, name: str, units: Sequence[str] | None = None) -> np.ndarray:
        path, samples = self.paths[piece], self._samples[piece]
        with open_dataset(path) as dataset:
            variable = get_variable(path, dataset, name, units=units)
            dims = tuple(variable.dimensions)
            horizontal = next((h for h in _HORIZONTAL if dims[-len(h) :] == h), None)
            if dims[0] != "time" or horizontal is None:
                raise InputError(
                    path,
                    f"variable {name} has dimensions {dims}",
                    expected="(time, ..., lat, lon) or (time, ..., lndgrid)",
                )
            values = np.asarray(variable[:], dtype=np.float64)[samples]
        flat = values.reshape(*values.shape[: values.ndim - len(horizontal)], -1)[..., self.grid.row]
        surface = flat if flat.ndim == 2 else flat[:, 0]
        bad = ~np.isfinite(surface) | (np.abs(surface) >= FILL_THRESHOLD)
        if np.any(bad):
            cell = int(np.argwhere(bad)[0][1])
            raise InputError(
                path, f"variable {name} is fill or NaN on land cell {cell + 1}", remedy="check the run"
            )
        return flat
