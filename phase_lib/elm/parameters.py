"""The parameter files: `clm_params*.nc` (PFTs, decomposition) and `CNP_parameters*.nc` (soil orders)."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from phase_lib.base.errors import InputError
from phase_lib.elm.constants import NATPFT
from phase_lib.elm.netcdf import is_fill, open_dataset, open_with_rows
from phase_lib.elm.units import units_of
from phase_lib.elm.variables import ORGANS, SOIL_POOLS, WOODY_ORGANS, SoilPool

#: Soil orders of a `CNP_parameters*.nc`, 0 (water) to 15 (ice); index = `SOIL_ORDER`.
SOIL_ORDERS = 16
#: Units of numbers without units in parameter files.
_NO_UNITS = ("", "unitless", "fraction", "flag", "logical flag")
_fault = partial(InputError, remedy="give the clm_params file of the run (paramfile)")


@dataclass(frozen=True)
class Parameters:
    """Parameters by ELM's names.

    Attributes:
        path: file they came from.
        pft: name -> values (natpft), PFT 0 to 16; a parameter with a missing value holds NaN there.
        scalar: name -> value.
        words: name of a PFT parameter -> its units, "1" for numbers without, and its long name, as on file.
    """

    path: Path
    pft: dict[str, np.ndarray]
    scalar: dict[str, float]
    words: dict[str, tuple[str, str]] = field(default_factory=dict)

    def per_pft(self, name: str) -> np.ndarray:
        """Values (natpft) of a PFT parameter.

        Raises:
            InputError: the file lacks it, or has no value for a PFT that plants belong to.
        """
        if name not in self.pft:
            raise _fault(self.path, f"parameter {name} is missing", expected=f"{name}(pft)")
        values = self.pft[name]
        missing = np.flatnonzero(~np.isfinite(values[1:])) + 1  # bare ground has no plants
        if len(missing):
            what = f"parameter {name} has no value for PFT {missing[0]}"
            raise _fault(self.path, what, expected="a number for PFT 1 to 16")
        return values

    def value(self, name: str) -> float:
        """Value of a scalar parameter.

        Raises:
            InputError: the file lacks it, or it is no number.
        """
        if name not in self.scalar:
            raise _fault(self.path, f"parameter {name} is missing", expected=f"{name}(allpfts)")
        value = self.scalar[name]
        if not np.isfinite(value):
            raise _fault(self.path, f"parameter {name} is {value:g}", expected="a number")
        return value

    def organ_ratios(self, organ: str) -> tuple[np.ndarray, np.ndarray]:
        """C:N and C:P of an organ (natpft), gC/gN and gC/gP; 0 where the PFT has no such organ.

        Raises:
            InputError: one is missing, or not positive for a PFT that has the organ.
        """
        cn, cp = ORGANS[organ]
        has = self.per_pft("woody") > 0.0 if organ in WOODY_ORGANS else None
        return self._positive_for(cn, has), self._positive_for(cp, has)

    def specific_leaf_area(self) -> tuple[np.ndarray, np.ndarray]:
        """`slatop` and `dsladlai` (natpft), m2/gC.

        Raises:
            InputError: one is missing, or `slatop` is not positive for a plant.
        """
        return self._positive_for("slatop", None), self.per_pft("dsladlai")

    def _positive_for(self, name: str, has: np.ndarray | None) -> np.ndarray:
        """A PFT parameter (natpft), above 0 for plants with the organ, or for all if `has` is None."""
        values = self.per_pft(name)
        plant = np.arange(NATPFT) > 0
        wrong = (values < 0.0) | ((values == 0.0) & (plant if has is None else plant & has))
        if np.any(wrong):
            pft = int(np.argmax(wrong))
            what = f"parameter {name} is {values[pft]:g} for PFT {pft}"
            raise _fault(self.path, what, expected="more than 0")
        return values

    def soil_ratios(self, pool: SoilPool) -> tuple[float, float]:
        """Fixed C:N and C:P of a SOM pool: C:P = C:N times N:P.

        Raises:
            InputError: the pool's ratios float (litter, CWD) or the file lacks the parameters.
        """
        if pool.cn is None or pool.np_ratio is None:
            raise InputError(self.path, f"{pool.name} has no fixed ratios")
        cn, np_ratio = (self._above_zero(name, "more than 0") for name in (pool.cn, pool.np_ratio))
        return cn, cn * np_ratio

    def _above_zero(self, name: str, expected: str) -> float:
        value = self.value(name)
        if value <= 0.0:
            raise _fault(self.path, f"parameter {name} is {value:g}", expected=expected)
        return value

    def ad_factor(self, pool: SoilPool) -> float:
        """Acceleration F of a cascade pool.

        F = max(1, 1 / (365 k)) for litter and SOM, max(1, 0.5 / (365 k)) for CWD, k in 1/day: pools
        slower than a year are sped up to a year (CWD to two).

        Raises:
            InputError: the file lacks the rate, or it is not positive.
        """
        rate = self._above_zero(pool.rate, "the rate of a pool of the CTC cascade, above 0 per day")
        years = 0.5 if pool.name == "cwd" else 1.0
        return max(1.0, years / (365.0 * rate))

    def ad_factors(self) -> dict[str, float]:
        """Acceleration F by cascade pool."""
        return {pool.name: self.ad_factor(pool) for pool in SOIL_POOLS}


def read_parameters(path: str | Path) -> Parameters:
    """Reads a `clm_params*.nc`; only numeric PFT vectors and scalars are kept.

    Raises:
        InputError: unreadable, or fewer than 17 PFTs.
    """
    pft: dict[str, np.ndarray] = {}
    scalar: dict[str, float] = {}
    words: dict[str, tuple[str, str]] = {}
    with open_with_rows(path) as (dataset, rows):
        if "pft" not in dataset.dimensions or dataset.dimensions["pft"].size < NATPFT:
            raise _fault(path, "dimension pft is missing or short", expected=f"at least {NATPFT} PFTs")
        for name, variable in dataset.variables.items():
            if variable.dtype.kind not in "fi":
                continue
            values = _without_fill(variable, rows[name][:])
            if variable.dimensions == ("pft",):
                pft[name] = values[:NATPFT]
                units = units_of(variable)
                words[name] = "1" if units in _NO_UNITS else units, str(getattr(variable, "long_name", name))
            elif values.size == 1:
                scalar[name] = float(values.reshape(-1)[0])
    return Parameters(Path(path), pft, scalar, words)


def read_soil_order_parameters(path: str | Path) -> dict[str, np.ndarray]:
    """Reads a `CNP_parameters*.nc`: name -> values (soilorder = 16, index = SOIL_ORDER).

    Raises:
        InputError: unreadable, or fewer than 16 soil orders.
    """
    with open_dataset(path) as dataset:
        if "soilorder" not in dataset.dimensions or dataset.dimensions["soilorder"].size < SOIL_ORDERS:
            raise InputError(
                path,
                "dimension soilorder is missing or short",
                expected=f"{SOIL_ORDERS} soil orders",
                remedy="give the CNP_parameters file of the run (fsoilordercon)",
            )
        return {
            name: _without_fill(variable, variable[:])
            for name, variable in dataset.variables.items()
            if variable.dimensions == ("soilorder",) and variable.dtype.kind in "fi"
        }


def _without_fill(variable: Any, values: np.ndarray) -> np.ndarray:
    """Values of a variable as float64, NaN where the file has fill."""
    values = np.asarray(values, dtype=np.float64)
    return np.where(is_fill(variable, values), np.nan, values)
