"""The balance of nitrogen, the second slow mode of a run, and what brings it to rest.

Carbon that is in balance with its rates does not stay so while the ecosystem gains or loses nitrogen: growth
follows. In balance, the losses of nitrogen equal its inputs. They respond to the size of the whole turnover,
and how strongly is what two successive windows of a run show, cell by cell:

    d ln(inputs / losses) = -response x d ln(size).

A cell whose inputs exceed its losses by a factor b is brought to rest by a turnover that is larger by b to
the power of 1 / response. It is a secant, so it converges from window to window, whatever the response is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
import xarray as xr
from scipy.optimize import least_squares

from phase_lib.config.correction import CorrectionSettings
from phase_lib.elm.products import variable

#: Cells in which the response has to be seen, and how far beyond its standard error.
_LEAST_CELLS, _STANDARD_ERRORS = 10, 3.0
#: Residuals beyond so many typical ones hardly count.
_OUTLIER = 1.5
#: Least square of the change in size, ln, from which a response follows.
_EXACT = 1.0e-12
#: Median size of a normal deviate of standard deviation 1.
_MEDIAN_OF_NORMAL = 0.6745
#: Spread of the response between cells, and the strongest, in terms of the common one.
_SPREAD, _MOST = 0.5, 4.0
_LITTLE = 1.0e-3
#: Decisions.
BALANCED, FAR, NO_BALANCE = "nitrogen_balanced", "nitrogen_far_from_balance", "no_nitrogen_balance"


@dataclass(frozen=True)
class NitrogenBalance:
    """Nitrogen of the cells over a window (gridcell); NaN where there is no soil.

    Attributes:
        stock: mean of all nitrogen in soil and plants, gN m-2.
        inputs: deposition and fixation, gN m-2 yr-1.
        change: of the stock, gN m-2 yr-1.
        decomposition: carbon that soil and litter respire, gC m-2 yr-1.
    """

    stock: np.ndarray
    inputs: np.ndarray
    change: np.ndarray
    decomposition: np.ndarray

    @property
    def ratio(self) -> np.ndarray:
        """Inputs to losses, ln (gridcell); NaN where either is next to nothing.

        Losses are what inputs and change leave: by leaching, as gas and by fire, whatever a model has.
        """
        losses = self.inputs - self.change
        there = (self.inputs > _LITTLE) & (losses > _LITTLE)
        return np.log(np.where(there, self.inputs, np.nan) / np.where(there, losses, np.nan))

    @property
    def variables(self) -> dict[str, xr.Variable]:
        """As a predictions file holds them, for the next correction."""
        return {
            _on_file(name): variable("gridcell", getattr(self, name), units, text)
            for name, (units, text) in _DESCRIPTIONS.items()
        }

    @classmethod
    def from_values(cls, values: Mapping[str, np.ndarray]) -> NitrogenBalance:
        """From the variables of a predictions file."""
        return cls(**{field.name: values[_on_file(field.name)] for field in fields(cls)})


_DESCRIPTIONS = {
    "stock": ("gN/m^2", "nitrogen of soil and plants, mean of the window"),
    "inputs": ("gN/m^2/yr", "deposition and fixation of nitrogen in the window"),
    "change": ("gN/m^2/yr", "change of the nitrogen of soil and plants in the window"),
    "decomposition": ("gC/m^2/yr", "respiration of soil and litter in the window"),
}


def _on_file(name: str) -> str:
    return name if name == "decomposition" else f"nitrogen_{name}"


ON_FILE = tuple(map(_on_file, _DESCRIPTIONS))


@dataclass(frozen=True)
class Response:
    """How strongly inputs to losses of nitrogen respond to the size of the turnover.

    Attributes:
        common: of all cells together, above 0.
        cells: of each (gridcell), the common one or stronger.
    """

    common: float
    cells: np.ndarray


def response(before: NitrogenBalance, now: NitrogenBalance, least: float = 0.0) -> Response | None:
    """The response that two windows of a run show; None where they show none.

    Size is measured twice, by the stock of nitrogen and by the decomposition. A correction changes the
    slowest pools most, which the stock shows and the losses hardly; plants and litter follow, which the
    decomposition shows and the stock hardly. The stronger response of all cells together is taken, so the
    smaller step. A cell whose two windows say more than their noise has a stronger one still; never a weaker
    one, as steps that are too large come back.

    Args:
        before, now: of successive windows.
        least: the response that earlier windows have shown: their changes were larger.
    """
    balance = now.ratio - before.ratio
    sizes = [_change(getattr(before, name), getattr(now, name)) for name in ("stock", "decomposition")]
    seen = [(line, size) for size in sizes if (line := _line(size, balance, now.decomposition)) is not None]
    if not seen:
        return None
    line, size = max(seen, key=lambda one: one[0].fall)
    common = max(line.fall, least)
    # A line through the change of each cell, with the common one as what is known before.
    known = max((line.noise / (_SPREAD * common)) ** 2, _EXACT)
    there = np.isfinite(size) & np.isfinite(balance)
    x, y = np.where(there, size, 0.0), np.where(there, balance - line.offset, 0.0)
    cells = (known * common - x * y) / (known + x**2)
    return Response(common, np.clip(cells, common, _MOST * common))


def _change(before: np.ndarray, now: np.ndarray) -> np.ndarray:
    there = (before > 0.0) & (now > 0.0)
    return np.log(np.where(there, now, np.nan) / np.where(there, before, np.nan))


@dataclass(frozen=True)
class _Line:
    """The fall of a balance with size, its value where size does not change, and its typical residual."""

    fall: float
    offset: float
    noise: float


def _line(size: np.ndarray, balance: np.ndarray, weight: np.ndarray) -> _Line | None:
    """Of all cells together, robust against single ones; None where no fall is beyond doubt."""
    there = np.isfinite(size) & np.isfinite(balance) & (weight > 0.0)
    if np.count_nonzero(there) < _LEAST_CELLS:
        return None
    x, y, root = size[there], balance[there], np.sqrt(weight[there] / np.mean(weight[there]))
    typical, unit = _OUTLIER * float(np.median(np.abs(y - np.median(y)))), float(np.std(x))
    if unit == 0.0 or typical == 0.0:
        return None
    # Of order one for the solver, as corrections become small.
    design = np.stack([x / unit, np.ones_like(x)], axis=1)
    scale = root / typical

    def residuals(line: np.ndarray) -> np.ndarray:
        return np.asarray((design @ line - y) * scale)

    result = least_squares(residuals, np.zeros(2), loss="cauchy")
    jacobian = np.asarray(result.jac)
    variance = 2.0 * float(result.cost) / (len(x) - 2) * np.linalg.inv(jacobian.T @ jacobian)[0, 0]
    fall, error = -float(result.x[0]) / unit, float(np.sqrt(variance)) / unit
    noise = float(np.median(np.abs(design @ result.x - y))) / _MEDIAN_OF_NORMAL
    return _Line(fall, float(result.x[1]), noise) if fall > _STANDARD_ERRORS * error else None


def size_factor(
    now: NitrogenBalance, response: Response, settings: CorrectionSettings, cells: np.ndarray
) -> tuple[np.ndarray, dict[str, int]]:
    """Factor on the turnover that brings the nitrogen of the cells to rest (gridcell).

    Args:
        now: of the last window.
        response: of its losses.
        settings: bounds.
        cells: True for cells to correct (gridcell).

    Returns:
        The factor, 1 where a cell is left alone, and decision -> number of cells.
    """
    ratio = now.ratio
    far = cells & (np.abs(ratio) > np.log(settings.nitrogen_limit))
    balanced = cells & np.isfinite(ratio) & ~far
    step = np.where(balanced, ratio, 0.0) / response.cells
    most = np.log1p(settings.nitrogen_step)
    counts = {
        BALANCED: int(np.count_nonzero(balanced)),
        FAR: int(np.count_nonzero(far)),
        NO_BALANCE: int(np.count_nonzero(cells & ~np.isfinite(ratio))),
    }
    return np.exp(np.clip(step, -most, most)), counts
