"""The `spinup_mortality_factor` of the run that wrote an AD restart, inferred from its wood.

No variable holds the factor, but two things follow from it:

- canopy height: in AD, ELM computes `htop` from dead stem carbon times the factor, so height and carbon of a
  tree give the factor to a few digits;
- dead : live wood: live wood dies at the normal rate and feeds dead wood, which dies faster by the factor, so
  that dead wood approaches its normal equilibrium divided by the factor, from below after a cold start.

The first decides where patches agree on one factor, as in every file that ELM wrote. With few trees, or
heights that were edited, the second distinguishes factors that differ several times.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from phase_lib.base.errors import InputError
from phase_lib.elm.blocks import Blocks
from phase_lib.elm.canopy import stem_carbon_of, stems
from phase_lib.elm.constants import NATPFT, SPINUP_AD
from phase_lib.elm.namelist import AdSettings
from phase_lib.elm.netcdf import get_variable, open_dataset, open_with_rows
from phase_lib.elm.parameters import Parameters
from phase_lib.elm.restart import RestartHeader, restart_header
from phase_lib.elm.variables import DEAD_WOOD, POOL_LIMIT

#: The factor of many protocols. It is assumed where no factor is given, and only if the wood shows it.
USUAL_FACTOR = 10.0
#: Least live wood, or dead stems (gC m-2), by which a patch is judged.
_WOOD = 1.0
#: Height (m) above what ELM gives patches without stems.
_LOWEST_TREE = 0.1
#: Patches that are needed, and how far the middle half of their heights may spread to agree on a factor.
_FEWEST, _SHARP = 4, 1.02
#: Factors further apart contradict each other by height.
_APART = 1.5
#: A factor is contradicted by dead : live wood above its equilibrium times the first, or below its value
#: after the years of the run divided by the second. Wood that grows slowly may have less.
_MORE, _LESS = 2.5, math.sqrt(10.0)
#: Factors whose dead : live wood differs less cannot be distinguished by it.
_DISTINCT = 2.0
_PATCH_ROWS = 1 << 17


def normal_dead_live(parameters: Parameters) -> np.ndarray:
    """Dead : live wood of an equilibrium in normal mode (natpft), NaN where a PFT is not woody.

    Growth feeds live and dead wood; live wood turns into dead; both die at the same rate in normal mode.
    """
    live_turnover, mortality = parameters.value("lwtop_ann"), parameters.value("r_mort")
    live = parameters.per_pft("flivewd")
    judged = (parameters.per_pft("woody") > 0) & (live > 0.0)
    share = np.where(judged, live, 1.0)
    dead_live = ((1.0 - share) / share * (live_turnover + mortality) + live_turnover) / mortality
    return np.where(judged, dead_live, np.nan)


class Logarithms:
    """Positive values counted by the size of their logarithm, so that medians need little memory."""

    _LOW, _HIGH, _STEP = -6.0, 6.0, 1.0e-3

    def __init__(self) -> None:
        self._counts = np.zeros(round((self._HIGH - self._LOW) / self._STEP), dtype=np.int64)

    def add(self, values: np.ndarray) -> None:
        """Adds values above 0 (n); those beyond a millionth and a million count as that."""
        place = ((np.log10(values) - self._LOW) / self._STEP).astype(np.int64)
        self._counts += np.bincount(np.clip(place, 0, len(self._counts) - 1), minlength=len(self._counts))

    @property
    def count(self) -> int:
        """Number of values."""
        return int(self._counts.sum())

    def quantile(self, share: float) -> float:
        """The value below which a share of all values lies, to 0.1 %."""
        place = int(np.searchsorted(np.cumsum(self._counts), share * self.count, side="left"))
        return float(10.0 ** (self._LOW + (place + 0.5) * self._STEP))


@dataclass(frozen=True)
class WoodEvidence:
    """Evidence in the wood of an AD restart for the factor.

    Attributes:
        patches: dead pools that could be judged beside live wood.
        share: their median share of the equilibrium under normal mortality; NaN without any.
        growth: mortality in normal mode times the years of the run: the progress to equilibrium.
        trees: patches whose height could be judged.
        by_height: the factor that their heights agree on; None where they do not.
    """

    patches: int
    share: float
    growth: float
    trees: int
    by_height: float | None

    def _expected(self, factor: float) -> float:
        """The share that a factor leaves after the years of the run."""
        return -math.expm1(-factor * self.growth) / factor

    @property
    def likely(self) -> float | None:
        """The factor that fits the wood best; by dead : live wood 1 or 10."""
        if self.by_height is not None:
            return float(f"{self.by_height:.2g}")
        if not self.patches:
            return None
        return min((1.0, USUAL_FACTOR), key=lambda factor: abs(math.log(self.share / self._expected(factor))))

    def contradicts(self, factor: float) -> bool:
        """True if the wood cannot be that of a run with this factor."""
        if self.by_height is not None:
            return not 1.0 / _APART <= factor / self.by_height <= _APART
        if not self.patches:
            return False
        more = self.share > _MORE / factor
        less = self.patches >= _FEWEST and self.share < self._expected(factor) / _LESS
        return more or less

    def supports(self, factor: float) -> bool:
        """True if the wood alone shows this factor, or there is no wood for which a factor matters."""
        if not (self.patches or self.trees):
            return True
        if self.by_height is not None:
            return not self.contradicts(factor)
        # Young wood is the same under any factor.
        return self._expected(1.0) > _DISTINCT * self._expected(factor) and self.likely == factor

    @property
    def description(self) -> str:
        """The evidence in words."""
        if self.likely is None:
            return "too little wood, or too few parameters, to judge it by"
        height = f"canopy height beside dead stems of {self.trees} patches"
        wood = f"dead : live wood of {self.patches} pools, {self.share:.2g} of what normal mortality leaves"
        known = ((height, self.by_height is not None), (wood, self.patches > 0))
        return f"{'; '.join(text for text, is_known in known if is_known)}: goes with {self.likely:g}"


class WoodTally:
    """Wood of patches, a block at a time.

    Args:
        parameters: parameter file of the run; without those of wood there is no evidence.
    """

    def __init__(self, parameters: Parameters) -> None:
        self._shares, self._factors = Logarithms(), Logarithms()
        needed = {"flivewd", "woody", "lwtop_ann", "r_mort"}
        self._judges = needed <= parameters.pft.keys() | parameters.scalar.keys()
        if self._judges:
            self._normal = normal_dead_live(parameters)
            self._stocking, self._taper = stems(parameters)
        self._mortality = parameters.scalar.get("r_mort", math.nan)

    def add(self, pft: np.ndarray, pools: Mapping[str, np.ndarray], htop: np.ndarray | None) -> None:
        """Adds a block.

        Args:
            pft: PFT of patches that have cover (row).
            pools: displayed carbon of live and dead wood by name (row), gC m-2.
            htop: canopy height (row), m; None where the file has none.
        """
        if not self._judges:
            return
        natural = (pft > 0) & (pft < NATPFT)
        kind = np.where(natural, pft, 0)
        normal = self._normal[kind]
        woody = natural & np.isfinite(normal)
        for organ in DEAD_WOOD:
            dead, live = pools[f"{organ}c"], pools[f"{organ.replace('dead', 'live')}c"]
            judged = woody & _sound(dead) & _sound(live) & (live > _WOOD) & (dead > 0.0)
            self._shares.add(dead[judged] / (live[judged] * normal[judged]))
        if htop is not None:
            dead = pools["deadstemc"]
            tree = woody & _sound(dead) & (dead > _WOOD) & _sound(htop) & (htop > _LOWEST_TREE)
            stem = stem_carbon_of(htop[tree], self._stocking[kind[tree]], self._taper[kind[tree]])
            self._factors.add(stem / dead[tree])

    def evidence(self, header: RestartHeader) -> WoodEvidence:
        """The evidence of all blocks of the restart with this header."""
        began = header.start_year if header.start_year is not None else 1
        shares, factors = self._shares, self._factors
        agree = factors.count >= _FEWEST and factors.quantile(0.75) <= _SHARP * factors.quantile(0.25)
        by_height = factors.quantile(0.5) if agree else None
        share = shares.quantile(0.5) if shares.count else math.nan
        growth = self._mortality * max(1, header.year - began)
        return WoodEvidence(shares.count, share, growth, factors.count, by_height)


def _sound(values: np.ndarray) -> np.ndarray:
    """Values that a pool can have; the audit names others."""
    return np.asarray(np.abs(values) <= POOL_LIMIT)


#: Pools of the evidence.
WOOD = tuple(f"{state}{organ.removeprefix('dead')}c" for organ in DEAD_WOOD for state in ("dead", "live"))


def read_wood(path: str | Path, parameters: Parameters) -> WoodEvidence | None:
    """The wood of a restart; None where it is not flagged AD, so that no factor matters.

    Raises:
        InputError: it is no restart that this software understands, or lacks a pool.
    """
    with open_with_rows(path) as (dataset, rows):
        header = restart_header(path, dataset)
        if header.spinup_state != SPINUP_AD:
            return None
        names = (*WOOD, "htop") if "htop" in dataset.variables else WOOD
        for name in names:
            get_variable(path, dataset, name, dims=("pft",))
        tally = WoodTally(parameters)
        for block in Blocks(path, dataset, rows).of_patches(_PATCH_ROWS):
            values = {name: block.read(rows[name]) for name in names}
            tally.add(block.pft, values, values.get("htop"))
        return tally.evidence(header)


def settle_factor(path: str | Path, given: float | None, wood: WoodEvidence) -> tuple[float, str]:
    """The factor that takes the dead wood of an AD restart to normal mode.

    Args:
        path: the restart.
        given: `spinup_mortality_factor` of its run; None to assume the usual one.
        wood: the evidence of its wood.

    Returns:
        The factor, and its source in words.

    Raises:
        InputError: the wood contradicts it, or none is given and the wood does not show one.
    """
    factor, source = (USUAL_FACTOR, "assumed") if given is None else (given, "given")
    wrong = ""
    if wood.contradicts(factor):
        wrong = f"is {source} as {factor:g}, but the wood is of another run"
    elif given is None and not wood.supports(factor):
        wrong = "is not given, and the wood does not show it"
    if wrong:
        raise InputError(
            path,
            f"spinup_mortality_factor {wrong}: {wood.description}",
            expected="that of the AD run that wrote it, as in its lnd_in; ELM's default is 1",
            remedy="give it with --mortality-factor, or that lnd_in with --lnd-in",
        )
    return factor, f"{source}; {wood.description}"


def stated_factor(given: float | None, settings: AdSettings | None, restart: str | Path) -> float | None:
    """The factor that a person or `lnd_in` states for a restart; None where neither does.

    Raises:
        InputError: the two differ, or `lnd_in` is of a run in another mode than the restart's.
    """
    if settings is None:
        return given
    with open_dataset(restart) as dataset:
        state = restart_header(restart, dataset).spinup_state
    if state == SPINUP_AD and settings.spinup_state != state:
        raise InputError(
            settings.path,
            f"spinup_state is {settings.spinup_state}, but {restart} is of a run in AD (1)",
            expected="the lnd_in of the AD run that wrote it",
            remedy="look in the case directory of that run",
        )
    return settings.agreeing_with(given)
