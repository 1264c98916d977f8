"""The criteria of equilibrium, applied to the history of one run.

Rules of the CTSM stability script: the difference of means over two successive forcing cycles, per
year. NBP and the relative drift are judged beside them. A small global drift can hide cells that
compensate each other, so the share of area out of equilibrium and the distribution over cells and
climate zones belong to the answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xarray as xr

from phase_lib.base.errors import InputError
from phase_lib.base.progress import LOGGER
from phase_lib.config.equilibrium import EquilibriumSettings
from phase_lib.elm.constants import GRAMS_PER_PETAGRAM, SECONDS_PER_YEAR
from phase_lib.equilibrium.cycles import CycleHistory

YEARS_PER_CENTURY = 100.0

#: Climate zones by distance from the equator, degrees: permafrost goes on gaining carbon for 10^4 years.
ZONES: tuple[tuple[str, float, float], ...] = (
    ("tropics (0-23.5)", 0.0, 23.5),
    ("temperate (23.5-50)", 23.5, 50.0),
    ("boreal (50-66.5)", 50.0, 66.5),
    ("polar (66.5-90)", 66.5, 90.0),
)
_PERCENTILES = (5, 25, 50, 75, 95)

#: How a field becomes one number per cycle: a total in PgC, a total flux in PgC/yr, or a mean per area.
Sum = Literal["stock", "flux", "mean"]


@dataclass(frozen=True)
class Field:
    """A history field that the verdict uses.

    Attributes:
        name: ELM's name.
        units: units on file.
        sum: how it is summed over the domain.
        required: a run without it has no verdict.
    """

    name: str
    units: str
    sum: Sum
    required: bool = False


FIELDS: tuple[Field, ...] = (
    Field("TOTECOSYSC", "gC/m^2", "stock", required=True),
    Field("TOTSOMC", "gC/m^2", "stock", required=True),
    Field("TOTVEGC", "gC/m^2", "stock", required=True),
    Field("CWDC", "gC/m^2", "stock"),
    Field("GPP", "gC/m^2/s", "flux"),
    Field("NPP", "gC/m^2/s", "flux"),
    Field("NBP", "gC/m^2/s", "flux"),
    Field("TLAI", "1", "mean"),
    Field("TWS", "mm", "mean"),
    Field("H2OSNO", "mm", "mean"),
    Field("TOTSOMN", "gN/m^2", "stock"),
    Field("TOTSOMP", "gP/m^2", "stock"),
)
FIELD_UNITS: dict[str, str] = {field.name: field.units for field in FIELDS}


@dataclass(frozen=True)
class Rule:
    """One criterion.

    Attributes:
        name: key in the verdict.
        field: history field that it judges.
        measure: `drift` of the domain's value, its `level`, its `relative` drift, or the `area` of
            cells that drift.
        threshold: name of the setting.
        units: units of value and threshold.
        scaled: the threshold stands for the global land area.
    """

    name: str
    field: str
    measure: Literal["drift", "level", "relative", "area"]
    threshold: str
    units: str
    scaled: bool = False


RULES: tuple[Rule, ...] = (
    *(
        Rule(
            f"drift_{name.lower()}_pgc_per_yr", name, "drift", "stock_drift_pgc_per_yr", "PgC/yr", scaled=True
        )
        for name in ("TOTECOSYSC", "TOTSOMC", "TOTVEGC")
    ),
    Rule("area_out_of_equilibrium", "TOTECOSYSC", "area", "area_out_of_equilibrium", "share of land area"),
    Rule("drift_gpp_pgc_per_yr2", "GPP", "drift", "gpp_drift_pgc_per_yr2", "PgC/yr2", scaled=True),
    Rule("nbp_pgc_per_yr", "NBP", "level", "nbp_pgc_per_yr", "PgC/yr", scaled=True),
    Rule("drift_tlai_per_yr", "TLAI", "drift", "tlai_drift_per_yr", "m2/m2/yr"),
    Rule("drift_tws_mm_per_yr", "TWS", "drift", "tws_drift_mm_per_yr", "mm/yr"),
    Rule("drift_h2osno_mm_per_yr", "H2OSNO", "drift", "h2osno_drift_mm_per_yr", "mm/yr"),
    *(
        Rule(
            f"relative_drift_{name.lower()}_percent_per_century",
            name,
            "relative",
            "relative_drift_percent_per_century",
            "% per century",
        )
        for name in ("TOTSOMC", "TOTSOMN", "TOTSOMP")
    ),
)


@dataclass(frozen=True)
class Criterion:
    """One criterion's outcome in one run.

    Attributes:
        rule: the criterion.
        threshold: limit of the absolute value, already scaled by area.
        by_cycle: value of each pair of successive cycles, oldest first (cycles - 1).
        years_until: end, in years since the run's start, of the first cycle from which it holds to the
            end; None where it does not hold at the end.
        prescribed: a drift that is exactly zero in every cell, cycle after cycle: the field repeats the
            forcing and holds by construction, so that it tests nothing.
    """

    rule: Rule
    threshold: float
    by_cycle: tuple[float, ...]
    years_until: float | None
    prescribed: bool

    @property
    def value(self) -> float:
        """Value at the end of the run."""
        return self.by_cycle[-1]

    @property
    def holds(self) -> bool:
        """True if the value at the end is within the threshold."""
        return self.years_until is not None

    def as_json(self) -> dict[str, Any]:
        """Plain values for `verdict.json`."""
        return {
            "value": self.value,
            "threshold": self.threshold,
            "units": self.rule.units,
            "holds": self.holds,
            "prescribed": self.prescribed,
            "years_until": self.years_until,
            "by_cycle": list(self.by_cycle),
        }


@dataclass(frozen=True)
class CellResult:
    """Per-cell numbers at the end of a run (gridcell).

    Attributes:
        lat, lon: degrees.
        land_area_m2: area x landfrac.
        drift: drift of TOTECOSYSC, gC/m2/yr.
        totsomc, totvegc: means over the last cycle, gC/m2.
    """

    lat: np.ndarray
    lon: np.ndarray
    land_area_m2: np.ndarray
    drift: np.ndarray
    totsomc: np.ndarray
    totvegc: np.ndarray


@dataclass(frozen=True)
class RunVerdict:
    """The verdict on one run over one set of cells.

    Attributes:
        years: length of the history, years.
        cycles: whole forcing cycles in it.
        forcing_years: length of a cycle, years.
        land_area_km2: land area of the cells.
        remarks: which cells count or do not count although the land mask of the history says otherwise.
        area_fraction: that area as a share of the Earth's, by which thresholds are scaled; at most 1.
        criteria: outcomes, in the order of `RULES`.
        not_assessed: criterion -> reason.
        stocks: totals over the last cycle: `totsomc_pgc`, ... in PgC (PgN, PgP).
        relative_drift: field -> % per century.
        distribution: percentiles of the cells' drift of TOTECOSYSC by area, gC/m2/yr.
        zones: climate zone -> land area, drift and share of its area out of equilibrium.
        series: `run_year` and total per stock and sample, PgC.
        cell: per-cell numbers.
    """

    years: float
    cycles: int
    forcing_years: int
    land_area_km2: float
    remarks: tuple[str, ...]
    area_fraction: float
    criteria: tuple[Criterion, ...]
    not_assessed: dict[str, str]
    stocks: dict[str, float]
    relative_drift: dict[str, float]
    distribution: dict[str, float]
    zones: dict[str, dict[str, float]]
    series: dict[str, list[float]]
    cell: CellResult

    @property
    def in_equilibrium(self) -> bool:
        """True if every criterion that could be assessed holds."""
        return all(criterion.holds for criterion in self.criteria)

    @property
    def tested(self) -> tuple[Criterion, ...]:
        """The criteria that could fail: those of fields that the forcing does not prescribe."""
        return tuple(criterion for criterion in self.criteria if not criterion.prescribed)

    def value(self, name: str) -> float:
        """Value of a criterion that was assessed."""
        return next(criterion.value for criterion in self.criteria if criterion.rule.name == name)

    def as_json(self) -> dict[str, Any]:
        """Plain values for `verdict.json`."""
        return {
            "in_equilibrium": self.in_equilibrium,
            "years": self.years,
            "cycles": self.cycles,
            "forcing_years": self.forcing_years,
            "cells": len(self.cell.lat),
            "land_area_km2": self.land_area_km2,
            "land_mask": list(self.remarks),
            "share_of_global_land": self.area_fraction,
            "criteria": {criterion.rule.name: criterion.as_json() for criterion in self.criteria},
            "not_assessed": self.not_assessed,
            "stocks": self.stocks,
            "relative_drift_percent_per_century": self.relative_drift,
            "cell_drift_percentiles_gc_m2_yr": self.distribution,
            "zones": self.zones,
            "series": self.series,
        }


def assess(
    history_paths: Sequence[str | Path],
    forcing_years: int,
    settings: EquilibriumSettings,
    cells_subset: np.ndarray | None = None,
) -> RunVerdict:
    """Judges one run by the criteria over whole forcing cycles.

    Args:
        history_paths: history files of one tape (monthly, annual or cycle means), gridded.
        forcing_years: length of the forcing cycle, years.
        settings: thresholds.
        cells_subset: positions of the cells to judge among the history's land cells; None for all.

    Raises:
        InputError: fewer than two cycles, gaps, a required field missing, wrong units, no cells.
    """
    history = CycleHistory(history_paths, forcing_years)
    subset = np.arange(len(history.grid.row)) if cells_subset is None else cells_subset
    return assess_subsets(history, settings, {"cells": subset})["cells"]


def assess_subsets(
    history: CycleHistory, settings: EquilibriumSettings, subsets: Mapping[str, np.ndarray]
) -> dict[str, RunVerdict]:
    """Judges several sets of cells of one run while reading its history once.

    Args:
        history: the run.
        settings: thresholds.
        subsets: name -> positions among the history's land cells.
    """
    for name, subset in subsets.items():
        if len(subset) == 0:
            raise InputError(history.paths[0], f"no cell to judge in {name!r}", expected="at least one cell")
    areas = xr.DataArray(
        np.stack([_areas(history.grid.land_area_m2, subset) for subset in subsets.values()], axis=1),
        dims=("gridcell", "subset"),
        coords={"subset": list(subsets)},
    )
    builders = {
        name: _Builder(history, settings, subset, float(areas.sel(subset=name).sum()))
        for name, subset in subsets.items()
    }
    present = {field.name: field.units for field in FIELDS if field.required or history.has(field.name)}
    means, series = history.read(present, areas)
    totals = xr.dot(means, areas, dim="gridcell")
    for field in FIELDS:
        for name, builder in builders.items():
            if field.name not in present:
                builder.miss(field, f"the history has no {field.name}")
                continue
            cells, by_cycle, by_sample = (
                values.sel(field=field.name).to_numpy()
                for values in (means, totals.sel(subset=name), series.sel(subset=name))
            )
            builder.add(field, cells, by_cycle, by_sample)
    return {name: builder.finish() for name, builder in builders.items()}


def _areas(land_area_m2: np.ndarray, subset: np.ndarray) -> np.ndarray:
    """Land area inside a set of cells, 0 outside (gridcell)."""
    areas = np.zeros_like(land_area_m2)
    areas[subset] = land_area_m2[subset]
    return areas


class _Builder:
    """Collects the numbers of one set of cells, field by field."""

    def __init__(
        self, history: CycleHistory, settings: EquilibriumSettings, subset: np.ndarray, area_m2: float
    ) -> None:
        self._history, self._settings, self._subset = history, settings, subset
        self._area_m2 = area_m2
        share = area_m2 / 1.0e6 / settings.global_land_area_km2
        if settings.scale_by_area and share > 1.0:
            LOGGER.warning(
                "%.4g km2 of land are more than global_land_area_km2, %.4g: thresholds are not scaled",
                area_m2 / 1.0e6,
                settings.global_land_area_km2,
            )
        self._fraction = min(1.0, share) if settings.scale_by_area else 1.0
        self._criteria: dict[str, Criterion] = {}
        self._not_assessed: dict[str, str] = {}
        self._stocks: dict[str, float] = {}
        self._relative: dict[str, float] = {}
        self._series: dict[str, list[float]] = {"run_year": history.run_years.tolist()}
        self._cell: dict[str, np.ndarray] = {}

    def miss(self, field: Field, reason: str) -> None:
        for rule in RULES:
            if rule.field == field.name:
                self._not_assessed[rule.name] = reason
        if field.name == "CWDC":
            self._not_assessed["cwdc_pgc"] = reason

    def add(self, field: Field, means: np.ndarray, totals: np.ndarray, series: np.ndarray) -> None:
        """Adds a field.

        Args:
            field: which.
            means: cycle means (cycles, gridcell).
            totals: sum over the cells of cycle mean x area (cycles).
            series: the same per sample (time).
        """
        scale = self._scale(field)
        by_cycle = totals * scale
        drift = np.diff(by_cycle) / self._history.forcing_years
        if field.sum == "stock":
            unit = field.units[1].lower()  # the element in gC/m^2, gN/m^2, gP/m^2
            self._stocks[f"{field.name.lower()}_pg{unit}"] = float(by_cycle[-1])
        if field.name in ("TOTECOSYSC", "TOTSOMC", "TOTVEGC", "CWDC"):
            self._series[field.name] = (series * scale).tolist()
        if field.name in ("TOTSOMC", "TOTVEGC"):
            self._cell[field.name] = means[-1, self._subset]
        relative = _relative(drift, by_cycle)
        if relative is not None and field.sum == "stock":
            self._relative[field.name] = float(relative[-1])
        for rule in RULES:
            if rule.field != field.name:
                continue
            if rule.measure == "area":
                self._judge(rule, self._area_out(means))
            elif rule.measure == "level":
                self._judge(rule, by_cycle[1:])
            elif rule.measure == "drift":
                cells = means[:, self._subset]
                self._judge(rule, drift, prescribed=bool(np.all(cells == cells[0])))
            elif relative is None:
                self._not_assessed[rule.name] = f"{field.name} of the cells is zero"
            else:
                self._judge(rule, relative)

    def _scale(self, field: Field) -> float:
        match field.sum:
            case "stock":
                return 1.0 / GRAMS_PER_PETAGRAM
            case "flux":
                return SECONDS_PER_YEAR / GRAMS_PER_PETAGRAM
            case "mean":
                return 1.0 / self._area_m2

    def _area_out(self, means: np.ndarray) -> np.ndarray:
        drift = np.diff(means[:, self._subset], axis=0) / self._history.forcing_years
        self._cell["drift"] = drift[-1]
        out = np.abs(drift) > self._settings.cell_drift_gc_m2_yr
        share: np.ndarray = (out @ self._land_area) / self._area_m2
        return share

    @property
    def _land_area(self) -> np.ndarray:
        area: np.ndarray = self._history.grid.land_area_m2[self._subset]
        return area

    def _judge(self, rule: Rule, by_cycle: np.ndarray, *, prescribed: bool = False) -> None:
        threshold = float(getattr(self._settings, rule.threshold)) * (self._fraction if rule.scaled else 1.0)
        holds = np.abs(by_cycle) <= threshold
        # The first cycle end after the last one at which the criterion failed.
        first = len(holds) - int(np.argmin(holds[::-1])) if not holds.all() else 0
        until = float(self._history.cycle_ends[first + 1]) if holds[-1] else None
        values = tuple(float(v) for v in by_cycle)
        self._criteria[rule.name] = Criterion(rule, threshold, values, until, prescribed)

    def finish(self) -> RunVerdict:
        drift, area = self._cell["drift"], self._land_area
        grid = self._history.grid
        return RunVerdict(
            years=self._history.years,
            cycles=self._history.cycles,
            forcing_years=self._history.forcing_years,
            land_area_km2=self._area_m2 / 1.0e6,
            remarks=grid.remarks,
            area_fraction=self._fraction,
            criteria=tuple(self._criteria[rule.name] for rule in RULES if rule.name in self._criteria),
            not_assessed=self._not_assessed,
            stocks=self._stocks,
            relative_drift=self._relative,
            distribution=_percentiles(drift, area),
            zones=_zones(np.abs(grid.lat[self._subset]), drift, area, self._settings.cell_drift_gc_m2_yr),
            series=self._series,
            cell=CellResult(
                grid.lat[self._subset],
                grid.lon[self._subset],
                area,
                drift,
                self._cell["TOTSOMC"],
                self._cell["TOTVEGC"],
            ),
        )


def _relative(drift: np.ndarray, by_cycle: np.ndarray) -> np.ndarray | None:
    """Relative drift in % per century, or None where there is nothing to relate it to."""
    stock = by_cycle[1:]
    if np.any(stock <= 0.0):
        return None
    relative: np.ndarray = 100.0 * YEARS_PER_CENTURY * drift / stock
    return relative


def _percentiles(drift: np.ndarray, area: np.ndarray) -> dict[str, float]:
    """Percentiles by area: the drift below which the given share of the land lies."""
    order = np.argsort(drift)
    share = 100.0 * np.cumsum(area[order]) / area.sum()
    at = np.minimum(np.searchsorted(share, _PERCENTILES), len(drift) - 1)
    return {f"p{percent:02d}": float(drift[order][i]) for percent, i in zip(_PERCENTILES, at, strict=True)}


def _zones(
    latitude: np.ndarray, drift: np.ndarray, area: np.ndarray, limit: float
) -> dict[str, dict[str, float]]:
    result: dict[str, dict[str, float]] = {}
    for name, south, north in ZONES:
        inside = (latitude >= south) & ((latitude < north) | (north == 90.0))
        land = float(area[inside].sum())
        if land == 0.0:
            continue
        result[name] = {
            "cells": int(inside.sum()),
            "land_area_km2": land / 1.0e6,
            "drift_totecosysc_pgc_per_yr": float(drift[inside] @ area[inside]) / GRAMS_PER_PETAGRAM,
            "area_out_of_equilibrium": float(area[inside][np.abs(drift[inside]) > limit].sum()) / land,
        }
    return result
