"""Which `spinup_mortality_factor` an AD restart was run with, by what its wood shows.

No variable holds the factor, but two things follow from it:

- canopy height: in AD, ELM computes `htop` from dead stem carbon times the factor, so height and carbon of a
  tree give the factor to a few digits;
- dead : live wood: live wood dies at the normal rate and feeds dead wood, which dies faster by the factor, so
  that dead wood comes to its normal equilibrium divided by the factor, from below after a cold start.

The first decides where patches agree on one factor, as in every file that ELM wrote. With few trees, or
heights that were edited, the second tells factors apart that differ several times.
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
from phase_lib.elm.pools import DEAD_WOOD, POOL_LIMIT
from phase_lib.elm.restart import RestartHeader, restart_header
from phase_lib.elm.tallies import Logarithms

#: What many protocols set. It is assumed where no factor is given, and only if the wood shows it.
USUAL_FACTOR = 10.0
#: Live wood, or dead stems beside their height (gC m-2), from which a patch is judged.
_WOOD = 1.0
#: Height (m) above what ELM gives patches without stems.
_LOWEST_TREE = 0.1
#: Patches that are needed, and how far the middle half of their heights may spread to agree on a factor.
_FEWEST, _SHARP = 4, 1.02
#: Factors further apart contradict each other by height.
_APART = 1.5
#: Dead : live wood that is more times what a factor leaves in equilibrium, or that many times less than it
#: leaves after the years of the run, contradicts the factor. Wood that grows slowly may have less.
_MORE, _LESS = 2.5, math.sqrt(10.0)
#: Factors whose dead : live wood differs less do not show in it.
_TOLD_APART = 2.0
_PATCH_ROWS = 1 << 17
_GIVE = "give it with --mortality-factor, or that lnd_in with --lnd-in"


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


@dataclass(frozen=True)
class WoodEvidence:
    """What the wood of an AD restart says of the factor.

    Attributes:
        patches: dead pools that could be judged beside live wood.
        share: their median share of what normal mortality leaves in equilibrium; NaN without any.
        growth: mortality in normal mode times the years of the run: how far equilibrium is off.
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
        """The factor that the wood goes with best; by dead : live wood 1 or 10."""
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
        """True if the wood shows this factor by itself, or there is none that a factor could matter to."""
        if not (self.patches or self.trees):
            return True
        if self.by_height is not None:
            return not self.contradicts(factor)
        # Young wood is the same under any factor.
        told_apart = self._expected(1.0) > _TOLD_APART * self._expected(factor)
        return told_apart and self.likely == factor

    @property
    def description(self) -> str:
        """What the wood shows, in words."""
        if self.likely is None:
            return "too little wood, or too few parameters, to judge it by"
        found = []
        if self.by_height is not None:
            found.append(f"canopy height beside dead stems of {self.trees} patches")
        if self.patches:
            found.append(
                f"dead : live wood of {self.patches} pools, {self.share:.2g} of what normal mortality leaves"
            )
        return f"{'; '.join(found)}: goes with {self.likely:g}"


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
        """What all blocks say of the restart with this header."""
        began = header.start_year if header.start_year is not None else 1
        shares, factors = self._shares, self._factors
        by_height = None
        if factors.count >= _FEWEST and factors.quantile(0.75) <= _SHARP * factors.quantile(0.25):
            by_height = factors.quantile(0.5)
        return WoodEvidence(
            shares.count,
            shares.quantile(0.5) if shares.count else math.nan,
            self._mortality * max(1, header.year - began),
            factors.count,
            by_height,
        )


def _sound(values: np.ndarray) -> np.ndarray:
    """Values that a pool can have; others say nothing, and the audit names them."""
    return np.asarray(np.abs(values) <= POOL_LIMIT)


#: Pools that the evidence is made of.
WOOD = tuple(f"{part}{organ.removeprefix('dead')}c" for organ in DEAD_WOOD for part in ("dead", "live"))


def read_wood(path: str | Path, parameters: Parameters) -> WoodEvidence | None:
    """The wood of a restart; None where it is not flagged AD, so that no factor matters.

    Raises:
        InputError: it is no restart that this software understands, or lacks a pool.
    """
    with open_with_rows(path) as (dataset, rows):
        header = restart_header(path, dataset)
        if header.spinup_state != SPINUP_AD:
            return None
        tall = "htop" in dataset.variables
        for name in (*WOOD, *(("htop",) if tall else ())):
            get_variable(path, dataset, name, dims=("pft",))
        tally = WoodTally(parameters)
        for block in Blocks(path, dataset, rows).of_patches(_PATCH_ROWS):
            pools = {name: block.read(rows[name]) for name in WOOD}
            tally.add(block.pft, pools, block.read(rows["htop"]) if tall else None)
        return tally.evidence(header)


def settle_factor(path: str | Path, given: float | None, wood: WoodEvidence) -> tuple[float, str]:
    """The factor that takes the dead wood of an AD restart to normal mode.

    Args:
        path: the restart.
        given: `spinup_mortality_factor` of its run; None to assume the usual one.
        wood: what its wood says.

    Returns:
        The factor, and in words what it rests on.

    Raises:
        InputError: the wood contradicts it, or none is given and the wood does not show one.
    """
    factor = USUAL_FACTOR if given is None else given
    source = "assumed" if given is None else "given"
    if wood.contradicts(factor):
        raise InputError(
            path,
            f"spinup_mortality_factor is {source} as {factor:g}, but the wood is of another run: "
            f"{wood.description}",
            expected="that of the AD run that wrote it, as its lnd_in says; ELM's default is 1",
            remedy=_GIVE,
        )
    if given is None and not wood.supports(factor):
        raise InputError(
            path,
            f"spinup_mortality_factor is not given, and the wood does not show it: {wood.description}",
            expected="that of the AD run that wrote it, as its lnd_in says; ELM's default is 1",
            remedy=_GIVE,
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
