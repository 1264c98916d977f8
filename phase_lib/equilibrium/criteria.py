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

#: Climate zones by distance from the equator, degrees: permafrost goes on gaining carbon for 10^4 years.
_ZONES = (
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

    @property
    def element(self) -> str:
        """Element of a stock: the `c` of gC/m^2."""
        return self.units[1].lower()


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

#: How a criterion measures its field, see `Rule`.
Measure = Literal["drift", "level", "relative", "area"]


@dataclass(frozen=True)
class Rule:
    """One criterion, an entry of the table `RULES`.

    Attributes:
        name: key in the verdict.
        field: name of the history field that it judges, one of `FIELDS`.
        measure: `drift` of the domain's value, its `level`, its `relative` drift, or the share of the `area`
            whose cells drift.
        threshold: key of the section `equilibrium` that holds the limit.
        units: units of value and threshold.
        scaled: the threshold stands for the global land area.
    """

    name: str
    field: str
    measure: Measure
    threshold: str
    units: str
    scaled: bool = False


_STOCK_DRIFT, _RELATIVE = "stock_drift_pgc_per_yr", "relative_drift_percent_per_century"
RULES = (
    Rule("drift_totecosysc_pgc_per_yr", "TOTECOSYSC", "drift", _STOCK_DRIFT, "PgC/yr", scaled=True),
    Rule("drift_totsomc_pgc_per_yr", "TOTSOMC", "drift", _STOCK_DRIFT, "PgC/yr", scaled=True),
    Rule("drift_totvegc_pgc_per_yr", "TOTVEGC", "drift", _STOCK_DRIFT, "PgC/yr", scaled=True),
    Rule("area_out_of_equilibrium", "TOTECOSYSC", "area", "area_out_of_equilibrium", "share of land area"),
    Rule("drift_gpp_pgc_per_yr2", "GPP", "drift", "gpp_drift_pgc_per_yr2", "PgC/yr2", scaled=True),
    Rule("nbp_pgc_per_yr", "NBP", "level", "nbp_pgc_per_yr", "PgC/yr", scaled=True),
    Rule("drift_tlai_per_yr", "TLAI", "drift", "tlai_drift_per_yr", "m2/m2/yr"),
    Rule("drift_tws_mm_per_yr", "TWS", "drift", "tws_drift_mm_per_yr", "mm/yr"),
    Rule("drift_h2osno_mm_per_yr", "H2OSNO", "drift", "h2osno_drift_mm_per_yr", "mm/yr"),
    Rule("relative_drift_totsomc_percent_per_century", "TOTSOMC", "relative", _RELATIVE, "% per century"),
    Rule("relative_drift_totsomn_percent_per_century", "TOTSOMN", "relative", _RELATIVE, "% per century"),
    Rule("relative_drift_totsomp_percent_per_century", "TOTSOMP", "relative", _RELATIVE, "% per century"),
)


@dataclass(frozen=True)
class Criterion:
    """The result of one criterion in one run.

    Attributes:
        rule: the criterion.
        threshold: limit of the absolute value, already scaled by area.
        by_cycle: value of each pair of successive cycles, oldest first (cycles - 1).
        years_until: end, in years since the run's start, of the first cycle from which it holds to the
            end; None where it does not hold at the end.
        prescribed: a drift that is exactly zero in each cell, cycle after cycle: the field repeats the
            forcing, so that it holds by construction and tests nothing.
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
class RunVerdict:
    """The verdict on one run over one set of cells; all but `cell` stands in `verdict.json` by these names.

    Attributes:
        years: length of the history, years.
        corrected_after: years since its start after which the run was corrected.
        cycles: whole forcing cycles after the last correction: only these are judged.
        forcing_years: length of a cycle, years.
        cells: number of cells.
        land_area_km2: land area of the cells.
        land_mask: which cells count or do not count although the land mask of the history differs.
        share_of_global_land: that area as a share of the Earth's, by which thresholds are scaled; at most 1.
        criteria: results, in the order of `RULES`.
        not_assessed: criterion -> reason.
        stocks: totals over the last cycle: `totsomc_pgc`, ... in PgC (PgN, PgP).
        relative_drift_percent_per_century: field -> % per century.
        cell_drift_percentiles_gc_m2_yr: percentiles of the cells' drift of TOTECOSYSC by area.
        zones: climate zone -> land area, drift and share of its area out of equilibrium.
        series: `run_year` and total per stock and sample, PgC.
        net_flux: `run_year` at the end of each whole cycle, those before corrections too, and `area`: share
            of the land whose NBP, mean of the cycle, is beyond `cell_drift_gc_m2_yr`. None where the history
            has no NBP. It is what a cycle gains, so it needs no second cycle without a correction between.
        cell: numbers of each cell (gridcell): `land_area_m2`, area x landfrac; `drift` of TOTECOSYSC,
            gC/m2/yr; `totsomc` and `totvegc`, means over the last cycle, gC/m2.
    """

    years: float
    corrected_after: list[float]
    cycles: int
    forcing_years: int
    cells: int
    land_area_km2: float
    land_mask: list[str]
    share_of_global_land: float
    criteria: tuple[Criterion, ...]
    not_assessed: dict[str, str]
    stocks: dict[str, float]
    relative_drift_percent_per_century: dict[str, float]
    cell_drift_percentiles_gc_m2_yr: dict[str, float]
    zones: dict[str, dict[str, float]]
    series: dict[str, list[float]]
    net_flux: dict[str, list[float]] | None
    cell: dict[str, np.ndarray]

    @property
    def in_equilibrium(self) -> bool:
        """True if all criteria that could be assessed hold."""
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
        content = {"in_equilibrium": self.in_equilibrium, **vars(self)}
        del content["cell"]
        return content | {"criteria": {result.rule.name: result.as_json() for result in self.criteria}}


def assess(
    history_paths: Sequence[str | Path], forcing_years: int, settings: EquilibriumSettings
) -> RunVerdict:
    """Judges one run by the criteria over whole forcing cycles.

    Args:
        history_paths: history files of one tape (monthly, annual or cycle means), gridded.
        forcing_years: length of the forcing cycle, years.
        settings: thresholds.

    Raises:
        InputError: fewer than two cycles, gaps, a required field missing, wrong units, no cells.
    """
    history = CycleHistory(history_paths, forcing_years)
    return assess_subsets(history, settings, {"cells": np.arange(len(history.grid.row))})["cells"]


def assess_subsets(
    history: CycleHistory, settings: EquilibriumSettings, subsets: Mapping[str, np.ndarray]
) -> dict[str, RunVerdict]:
    """Judges several sets of cells of one run while reading its history once.

    Args:
        history: the run.
        settings: thresholds.
        subsets: name -> positions among the history's land cells.

    Raises:
        InputError: a set has no cell, a required field is missing, or wrong units.
    """
    land = history.grid.land_area_m2
    weights = np.zeros((len(land), len(subsets)))
    for column, (name, subset) in enumerate(subsets.items()):
        if len(subset) == 0:
            raise InputError(history.paths[0], f"no cell to judge in {name!r}", expected="at least one cell")
        weights[subset, column] = land[subset]
    areas = xr.DataArray(weights, dims=("gridcell", "subset"), coords={"subset": list(subsets)})
    present = {field.name: field.units for field in FIELDS if field.required or history.has(field.name)}
    whole, series = history.read(present, areas)
    means = whole.isel(cycle=slice(-history.cycles, None))
    net = whole.sel(field="NBP").to_numpy() * SECONDS_PER_YEAR if "NBP" in present else None
    totals = xr.dot(means, areas, dim="gridcell")
    return {
        name: _Cells(
            history,
            settings,
            subset,
            float(areas.sel(subset=name).sum()),
            means,
            net,
            {field: totals.sel(field=field, subset=name).to_numpy() for field in present},
            {field: series.sel(field=field, subset=name).to_numpy() for field in present},
        ).verdict()
        for name, subset in subsets.items()
    }


@dataclass(frozen=True)
class _Cells:
    """A set of cells of a run, and how they are judged.

    Attributes:
        history, settings: the run, and the thresholds.
        subset: positions of the cells among the history's land cells (gridcell).
        area_m2: their land area.
        means: means of all land cells over the cycles that are judged (cycle, field, gridcell).
        net: NBP of all land cells and whole cycles (whole cycle, gridcell), gC/m2/yr; None without NBP.
        totals: field -> sum over the cells of cycle mean x area (cycle).
        series: field -> the same of each sample (time).
    """

    history: CycleHistory
    settings: EquilibriumSettings
    subset: np.ndarray
    area_m2: float
    means: xr.DataArray
    net: np.ndarray | None
    totals: dict[str, np.ndarray]
    series: dict[str, np.ndarray]

    def verdict(self) -> RunVerdict:
        """The verdict on these cells."""
        history, grid = self.history, self.history.grid
        areas, share = grid.land_area_m2[self.subset], self._share_of_global_land()
        criteria, not_assessed = self._criteria(share)
        stocks = [field for field in FIELDS if field.sum == "stock" and field.name in self.totals]
        relative = {
            field.name: float(drift[-1])
            for field in stocks
            if (drift := self._measured("relative", field)) is not None
        }
        series = {
            field.name: (self.series[field.name] * self._scale(field)).tolist()
            for field in stocks
            if field.element == "c"
        }
        drifts = self._cell_drift("TOTECOSYSC")[-1]
        last = {name.lower(): self._means(name)[-1] for name in ("TOTSOMC", "TOTVEGC")}
        return RunVerdict(
            years=history.years,
            corrected_after=history.corrections,
            cycles=history.cycles,
            forcing_years=history.forcing_years,
            cells=len(areas),
            land_area_km2=self.area_m2 / 1.0e6,
            land_mask=list(grid.remarks),
            share_of_global_land=share,
            criteria=criteria,
            not_assessed=not_assessed,
            stocks={
                f"{field.name.lower()}_pg{field.element}": float(self._by_cycle(field)[-1])
                for field in stocks
            },
            relative_drift_percent_per_century=relative,
            cell_drift_percentiles_gc_m2_yr=_percentiles(drifts, areas),
            zones=_zones(np.abs(grid.lat[self.subset]), drifts, areas, self.settings.cell_drift_gc_m2_yr),
            series={"run_year": history.run_years.tolist(), **series},
            net_flux=self._net_flux(),
            cell={"land_area_m2": areas, "drift": drifts, **last},
        )

    def _share_of_global_land(self) -> float:
        """What thresholds that stand for the global land area are multiplied by."""
        square_km, most = self.area_m2 / 1.0e6, self.settings.global_land_area_km2
        if not self.settings.scale_by_area:
            return 1.0
        if square_km > most:
            message = "%.4g km2 of land are more than global_land_area_km2, %.4g: thresholds are not scaled"
            LOGGER.warning(message, square_km, most)
        return min(1.0, square_km / most)

    def _criteria(self, share: float) -> tuple[tuple[Criterion, ...], dict[str, str]]:
        """The criteria that could be assessed, and the others -> reason."""
        criteria, not_assessed = [], {}
        if "CWDC" not in self.totals:
            not_assessed["cwdc_pgc"] = "the history has no CWDC"
        fields = {field.name: field for field in FIELDS}
        for rule in RULES:
            field = fields[rule.field]
            if field.name not in self.totals:
                not_assessed[rule.name] = f"the history has no {field.name}"
            elif (values := self._measured(rule.measure, field)) is None:
                not_assessed[rule.name] = f"{field.name} of the cells is zero"
            else:
                criteria.append(self._judged(rule, values, share))
        return tuple(criteria), not_assessed

    def _judged(self, rule: Rule, values: np.ndarray, share: float) -> Criterion:
        threshold = float(getattr(self.settings, rule.threshold)) * (share if rule.scaled else 1.0)
        holds = np.abs(values) <= threshold
        # The first cycle end after the last one at which the criterion failed.
        first = len(holds) - int(np.argmin(holds[::-1])) if not holds.all() else 0
        until = float(self.history.cycle_ends[-self.history.cycles :][first + 1]) if holds[-1] else None
        prescribed = rule.measure == "drift" and not np.any(self._cell_drift(rule.field))
        return Criterion(rule, threshold, tuple(values.tolist()), until, prescribed)

    def _measured(self, measure: Measure, field: Field) -> np.ndarray | None:
        """Values of each pair of successive cycles (cycles - 1); None for a share of nothing."""
        by_cycle = self._by_cycle(field)
        drift, level = np.diff(by_cycle) / self.history.forcing_years, by_cycle[1:]
        match measure:
            case "drift":
                return drift
            case "level":
                return level
            case "relative":
                return None if np.any(level <= 0.0) else 100.0 * 100.0 * drift / level  # % of it, a century
            case "area":
                out = np.abs(self._cell_drift(field.name)) > self.settings.cell_drift_gc_m2_yr
                return np.asarray((out @ self.history.grid.land_area_m2[self.subset]) / self.area_m2)

    def _net_flux(self) -> dict[str, list[float]] | None:
        """Share of the area that gains or loses carbon in each whole cycle."""
        if self.net is None:
            return None
        out = np.abs(self.net[:, self.subset]) > self.settings.cell_drift_gc_m2_yr
        area = (out @ self.history.grid.land_area_m2[self.subset]) / self.area_m2
        return {"run_year": self.history.cycle_ends.tolist(), "area": area.tolist()}

    def _cell_drift(self, name: str) -> np.ndarray:
        """Drift of each cell and pair of successive cycles (cycles - 1, gridcell)."""
        return np.asarray(np.diff(self._means(name), axis=0) / self.history.forcing_years)

    def _means(self, name: str) -> np.ndarray:
        """Cycle means of a field (cycle, gridcell)."""
        return self.means.sel(field=name).to_numpy()[:, self.subset]

    def _by_cycle(self, field: Field) -> np.ndarray:
        """Value of the domain in each cycle (cycle)."""
        return self.totals[field.name] * self._scale(field)

    def _scale(self, field: Field) -> float:
        match field.sum:
            case "stock":
                return 1.0 / GRAMS_PER_PETAGRAM
            case "flux":
                return SECONDS_PER_YEAR / GRAMS_PER_PETAGRAM
            case "mean":
                return 1.0 / self.area_m2


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
    for name, south, north in _ZONES:
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
