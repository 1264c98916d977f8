"""Where the soil of an AD run leads: its semi-analytic state, from the carbon budget of its last years.

After twenty years soil3, soil4 and coarse woody debris are far from their end even in AD; their rates and
inputs say where they lead (Xia et al. 2012, see `elm.steady_state`). AD makes the contents of these pools
smaller by a factor. What enters, leaves and mixes them it does not: losses of a smaller content at a higher
rate are the same flux. So the budget of the AD years, with its contents taken to normal mode, has the rates
and the steady state of normal mode.

The fluxes are those of the history, where it holds them. Else the losses follow from monthly contents and
scalars, as ELM computes them: k F T W O exp(-z / efolding) X, of each month, as the mean of a product is not
the product of means. In AD that is the loss at normal rates of the content in normal mode.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from phase_lib.config.fusion import SteadyStateSettings
from phase_lib.elm.constants import DAYS_PER_YEAR, SECONDS_PER_YEAR
from phase_lib.elm.history import History
from phase_lib.elm.mixing import conductance
from phase_lib.elm.parameters import Parameters
from phase_lib.elm.soil_budget import (
    BUDGET_FIELDS,
    CONTENTS,
    MIXED,
    OVER_ALL_COLUMNS,
    SOIL_FLUXES,
    mixing_field,
    respiration_field,
    transfer_field,
)
from phase_lib.elm.soil_grid import DZDECOMP, NLEVDECOMP, ZSOI
from phase_lib.elm.spinup import SCALARAVG_YEARS
from phase_lib.elm.steady_state import Budget, Step, mixing, steady_state
from phase_lib.elm.variables import LITTER, SOIL_POOL_INDEX, SOIL_POOLS, TRANSITIONS

#: Pools that start from where they lead. The faster ones follow within the twenty years, and have seasons.
STARTED = ("cwd", "soil3", "soil4")
#: Scalars of decomposition in the monthly history of ELM -> accepted units.
SCALARS: dict[str, tuple[str, ...]] = dict.fromkeys(("T_SCALAR", "W_SCALAR", "O_SCALAR"), ("unitless", "1"))
#: Shares of the potential immobilisation that N and P allow: they limit litter, where the history has them.
_ALLOWED = dict.fromkeys(("FPI_vr", "FPI_P_vr"), ("proportion", "unitless", "1"))
#: Donor -> parameter with the respired part of what it loses; receiver of CWD -> the part that it gets.
_RESPIRED = {
    "litr1": "rf_l1s1", "litr2": "rf_l2s2", "litr3": "rf_l3s3",
    "soil1": "rf_s1s2", "soil2": "rf_s2s3", "soil3": "rf_s3s4",
}  # fmt: skip
_DONORS = [SOIL_POOL_INDEX[donor] for donor, _ in TRANSITIONS]
_FRAGMENTS = {"litr2": "cwd_fcel", "litr3": "cwd_flig"}
_DAY, _MONTH = 1.0 / DAYS_PER_YEAR, 31.0 / DAYS_PER_YEAR
#: Contents of a cell in the history may differ so much (ln) from those of its soil column in the restart.
_OTHER_SOIL = 0.1
#: Part of a pool's column that may lie in layers without a positive state, so that its other layers move.
_NEXT_TO_NOTHING = 0.01
#: What becomes of a layer of a pool.
STEADY, SLOW, BOUNDED = "led_to_its_end", "part_of_the_way", "bounded"
NEGATIVE, OTHER_SOIL, FILL = "no_positive_state", "history_of_other_soil", "fill_in_history"


@dataclass(frozen=True)
class SoilYears:
    """Means of the soil's carbon over the last years before a date, of soil columns.

    Attributes:
        source: `fluxes` of the history; or `scalars`, with losses of these contents at normal rates.
        first_year, end_year: at whose starts the years begin and end.
        state: content (pool, levdecomp, gridcell), gC m-3, in the space of the run.
        change: of it, gC m-3 yr-1.
        transfers: along `TRANSITIONS` (transition, levdecomp, gridcell), gC m-3 yr-1.
        respired: (pool, levdecomp, gridcell), gC m-3 yr-1.
        mixed: gain by mixing, likewise; None where the history does not hold it.
        unlimited: fields that limit litter and that the history lacks.
    """

    source: str
    first_year: int
    end_year: int
    state: np.ndarray
    change: np.ndarray
    transfers: np.ndarray
    respired: np.ndarray
    mixed: np.ndarray | None
    unlimited: tuple[str, ...] = ()

    @property
    def at_end(self) -> np.ndarray:
        """Content at the end of the years without its season (pool, levdecomp, gridcell), gC m-3."""
        return np.asarray(self.state + 0.5 * (self.end_year - self.first_year) * self.change)

    def budget(
        self, cells: slice, to_normal: np.ndarray, altmax: np.ndarray, parameters: Parameters
    ) -> Budget:
        """The mean budget of some cells (n), with contents in normal mode.

        Args:
            cells: which.
            to_normal: multiplier of each content (pool, levdecomp, n).
            altmax: deepest thaw of two years (n), m.
            parameters: of the run.
        """

        def tensor(values: np.ndarray) -> torch.Tensor:
            return torch.from_numpy(np.ascontiguousarray(values[..., cells], dtype=np.float64))

        flow, factor = conductance(torch.from_numpy(altmax), parameters), torch.from_numpy(to_normal)
        state, change = tensor(self.state) * factor, tensor(self.change)
        transfers, respired = tensor(self.transfers), tensor(self.respired)
        if self.mixed is not None:
            return Budget(state, change, transfers, respired, tensor(self.mixed), flow)
        mixed = torch.stack([mixing(pool, flow) for pool in state])
        mixed[SOIL_POOL_INDEX["cwd"]] = 0.0
        return Budget(state, change, transfers * factor[_DONORS], respired * factor, mixed, flow)


def why_no_soil_years(history: History, end_year: int, years: int) -> str | None:
    """What a history lacks for the carbon budget of the soil in the years before a date; None for nothing."""
    fluxes = [name for name in BUDGET_FIELDS if name not in history.variables]
    scalars = [name for name in (*CONTENTS, *SCALARS) if name not in history.variables]
    if fluxes and scalars:
        # Of the two ways the one that is nearer.
        lacking = fluxes if len(fluxes) < len(scalars) else scalars
        more = f" and {len(lacking) - 1} more" if lacking[1:] else ""
        return f"the history has no {lacking[0]}{more}"
    start, end = history.start + history.origin, history.end + history.origin
    first_year = end_year - years
    if first_year < SCALARAVG_YEARS[1] < end_year:
        return f"the rates of AD change at year {SCALARAVG_YEARS[1]}, within the last {years} years"
    inside = (end > first_year + _DAY) & (start < end_year - _DAY)
    covered = float(np.clip(np.minimum(end, end_year) - np.maximum(start, first_year), 0.0, None).sum())
    if abs(covered - years) > _DAY:
        return f"the history covers {covered:.3g} of the last {years} years"
    longest, most = float((end - start)[inside].max(initial=0.0)), _MONTH if fluxes else 1.0
    if longest > most + _DAY:
        means = "monthly" if fluxes else "annual"
        return f"the history has means of {longest:.3g} years, the budget needs {means} ones"
    units = SCALARS | {name: BUDGET_FIELDS[name] for name in CONTENTS} if fluxes else BUDGET_FIELDS
    if empty := _empty(history, units, inside):
        return f"{empty[0]} of the history is fill on all land"
    return None


def _empty(history: History, units: Mapping[str, tuple[str, ...]], samples: np.ndarray) -> list[str]:
    """Fields that the first of some samples (time, True for one of them) has no number of on any land.

    Raises:
        InputError: a field has other units, or is no mean over time.
    """
    first = np.arange(len(samples)) == np.argmax(samples)
    read = history.fields(units, first, holes=True)
    return [name for name, _, values in read if np.isnan(values[:, :NLEVDECOMP]).all()]


def read_soil_years(
    history: History, row: np.ndarray, share: np.ndarray, end_year: int, years: int, parameters: Parameters
) -> SoilYears:
    """Reads the carbon budget of the soil in the years before a date.

    Args:
        history: of the run, which lacks nothing (`why_no_soil_years`).
        row: position of each cell among the history's land cells (gridcell).
        share: of the cell's land under natural vegetation (gridcell).
        end_year, years: at whose start the years end, and how many they are.
        parameters: of the run.

    Raises:
        InputError: the history does not cover the years, or a field has other units.
    """
    first, soil = end_year - years, np.where(share > 0.0, share, np.nan).astype(np.float32)

    def contents(start: int, end: int) -> np.ndarray:
        units = {name: BUDGET_FIELDS[name] for name in CONTENTS}
        return np.stack([values / soil for _, values in history.layer_means(units, row, start, end)])

    change = (contents(end_year - 1, end_year) - contents(first, first + 1)) / (years - 1)
    if all(name in history.variables for name in SOIL_FLUXES):
        units = {name: BUDGET_FIELDS[name] for name in SOIL_FLUXES}
        read = history.layer_means(units, row, first, end_year)
        means = {
            name: values * np.float32(SECONDS_PER_YEAR) / (soil if name in OVER_ALL_COLUMNS else 1.0)
            for name, values in read
        }
        none = np.zeros_like(change[0])
        respired, mixed = (
            np.stack([means[field_of(pool.name)] if pool.name in MIXED else none for pool in SOIL_POOLS])
            for field_of in (respiration_field, mixing_field)
        )
        transfers = np.stack([means[transfer_field(*link)] for link in TRANSITIONS])
        state = contents(first, end_year)
        return SoilYears("fluxes", first, end_year, state, change, transfers, respired, mixed)
    there = {name: accepted for name, accepted in _ALLOWED.items() if name in history.variables}
    empty = _empty(history, there, history.overlap(first, end_year) > 0.0)
    limits = {name: accepted for name, accepted in there.items() if name not in empty}
    state, loss = _by_scalars(history, row, first, end_year, parameters, limits)
    transfers, respired = _shared(loss / soil, parameters)
    unlimited = tuple(name for name in _ALLOWED if name not in limits)
    return SoilYears("scalars", first, end_year, state / soil, change, transfers, respired, None, unlimited)


def _by_scalars(
    history: History,
    row: np.ndarray,
    first_year: int,
    end_year: int,
    parameters: Parameters,
    limits: Mapping[str, tuple[str, ...]],
) -> tuple[np.ndarray, np.ndarray]:
    """Mean content and its loss at normal rates (pool, levdecomp, gridcell), gC m-3 and gC m-3 yr-1.

    `limits` are those of `_ALLOWED` that the history has.
    """
    length = history.overlap(first_year, end_year)
    units = {name: BUDGET_FIELDS[name] for name in CONTENTS} | SCALARS | dict(limits)
    speed = [parameters.value(pool.rate) * DAYS_PER_YEAR for pool in SOIL_POOLS]
    depth = np.exp(-ZSOI[:NLEVDECOMP] / parameters.value("decomp_depth_efolding"))
    state = np.zeros((len(SOIL_POOLS), NLEVDECOMP, len(row)))
    loss = np.zeros_like(state)
    for sample in np.flatnonzero(length > 0.0):
        one = np.arange(len(length)) == sample
        now = {
            name: values[0, :NLEVDECOMP, row].T for name, _, values in history.fields(units, one, holes=True)
        }
        scalar = now["T_SCALAR"] * now["W_SCALAR"] * now["O_SCALAR"] * depth[:, None]
        allowed = np.minimum.reduce([now[name] for name in limits] or [np.ones(())])
        for index, (pool, content) in enumerate(zip(SOIL_POOLS, CONTENTS, strict=True)):
            limit = allowed if pool.name in LITTER else 1.0
            state[index] += length[sample] * now[content]
            loss[index] += length[sample] * speed[index] * scalar * limit * now[content]
    return state / length.sum(), loss / length.sum()


def _shared(loss: np.ndarray, parameters: Parameters) -> tuple[np.ndarray, np.ndarray]:
    """Transfers (transition, levdecomp, gridcell) and respiration (pool, levdecomp, gridcell) of losses."""
    transfers, respired = [], loss.copy()
    for donor, receiver in TRANSITIONS:
        if donor == "cwd":
            kept = parameters.value(_FRAGMENTS[receiver])
        else:
            kept = 1.0 - parameters.value(_RESPIRED[donor])
        transfers.append(kept * loss[SOIL_POOL_INDEX[donor]])
        respired[SOIL_POOL_INDEX[donor]] -= transfers[-1]
    respired[SOIL_POOL_INDEX["cwd"]] = 0.0
    return np.stack(transfers).astype(np.float32), respired.astype(np.float32)


@dataclass
class SemiAnalytic:
    """The semi-analytic state of the cells of a domain, some at a time, and what became of their layers.

    Attributes:
        settings: bounds.
        parameters: of the run.
        years: budget of the soil; None where there is none.
        reason: why not.
        decisions: pool -> decision -> layers.
    """

    settings: SteadyStateSettings
    parameters: Parameters
    years: SoilYears | None = None
    reason: str = ""
    decisions: dict[str, Counter[str]] = field(default_factory=dict)

    def ratios(
        self, cells: slice, contents: np.ndarray, to_normal: np.ndarray, altmax: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Ratio of where a pool leads to its state at the end of the years, by pool (n, levdecomp).

        It is 1 where the state stays as it is, for a reason that is counted.

        Args:
            cells: which (n).
            contents: carbon of the restart at the end of the years (pool, levdecomp, n), gC m-3.
            to_normal: multiplier of contents to normal mode, likewise.
            altmax: deepest thaw of this and the last year (n), m; NaN where there is no soil.
        """
        assert self.years is not None
        soil = np.isfinite(altmax) & np.isfinite(contents).all((0, 1))
        multiplier, thaw = np.where(soil, to_normal, 1.0), np.where(soil, altmax, 0.0)
        budget = self.years.budget(cells, multiplier, thaw, self.parameters)
        now = np.maximum(self.years.at_end[..., cells] * multiplier, 0.0)
        years = torch.from_numpy(self.settings.years_on * multiplier)
        step = Step(torch.from_numpy(now), years)
        final = steady_state(budget, torch.zeros_like(years, dtype=torch.bool), step=step).numpy()
        slow = (budget.rate * years <= 1.0).numpy()
        there = soil & (contents > 0.0)
        known = np.isfinite(final).all((0, 1))
        other = there & known & ~self._same_soil(contents, self.years.at_end[..., cells])
        negative = self._of_columns(there & known & ~other & ~((final > 0.0) & (now > 0.0)), contents)
        moved = there & known & ~other & ~negative
        least = self.settings.least_ratio * now
        most = self.settings.most_ratio * now.max(axis=1, keepdims=True)
        within = np.clip(final, least, np.maximum(most, least))
        bounded = moved & (within != final)
        ratio = np.where(moved, within, 1.0) / np.where(moved, now, 1.0)
        free = moved & ~bounded
        masks = {STEADY: free & ~slow, SLOW: free & slow, BOUNDED: bounded}
        masks |= {NEGATIVE: negative, OTHER_SOIL: other, FILL: there & ~known}
        for pool in STARTED:
            index = SOIL_POOL_INDEX[pool]
            counts = {decision: int(mask[index].sum()) for decision, mask in masks.items()}
            self.decisions.setdefault(pool, Counter()).update(counts)
        return {pool: ratio[SOIL_POOL_INDEX[pool]].T for pool in STARTED}

    @staticmethod
    def _of_columns(negative: np.ndarray, contents: np.ndarray) -> np.ndarray:
        """Layers without a positive state, with all others of the same pool and column (pool, levdecomp, n).

        Layers exchange by mixing: where one has no positive state, those of the others are made of it. And
        the network, which does not see of which kind the state of a layer is, has one kind in each column. A
        layer that holds next to nothing of its column does not count; it stays alone.
        """
        carbon = np.where(np.isfinite(contents), contents, 0.0) * DZDECOMP[:, None]
        lost = np.where(negative, carbon, 0.0).sum(axis=1, keepdims=True)
        whole = lost > _NEXT_TO_NOTHING * carbon.sum(axis=1, keepdims=True)
        return np.asarray(negative | (whole & (contents > 0.0)))

    @staticmethod
    def _same_soil(contents: np.ndarray, history: np.ndarray) -> np.ndarray:
        """True for cells whose history is that of their soil column (n); crops are in the same means.

        By the pools that have no season.
        """
        slow = [SOIL_POOL_INDEX[pool] for pool in STARTED]
        restart, other = (np.einsum("pjc,j->c", values[slow], DZDECOMP) for values in (contents, history))
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(np.abs(np.log(other / restart)) <= _OTHER_SOIL)

    def summary(self) -> dict[str, Any]:
        """For the attributes of the dataset."""
        if self.years is None:
            return {"source": None, "missed": self.reason}
        decisions = {pool: dict(counts) for pool, counts in self.decisions.items()}
        span = [self.years.first_year, self.years.end_year - 1]
        facts = {"source": self.years.source, "years": span, "decisions": decisions}
        return facts | ({"unlimited": list(self.years.unlimited)} if self.years.unlimited else {})
