"""Plants: ratios of organs, leaves, leaf area and totals of patches."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from phase_lib.elm.audit.audited import Audited, PoolBlock
from phase_lib.elm.audit.check import FILES, RUN, SOURCE, Fault, beyond, check
from phase_lib.elm.canopy import leaf_area
from phase_lib.elm.constants import NATPFT
from phase_lib.elm.variables import ORGANS, POOL_VARIABLES, STAGES, TOTVEGC_POOLS

#: Plant C:N off its parameter: a note from the first factor, an error from the second; less (gC) is noise.
_LOOSE, _FAR, _ABSOLUTE = 1.02, 2.0, 1.0e-3
#: No plant tissue has more N per C; where no parameter file is given (gC/gN).
_LEAST_CN = 8.0
#: An evergreen patch with less leaf carbon than this and other live carbon above the next (gC m-2).
_LEAFLESS, _ALIVE = 1.0e-2, 1.0
#: Leaf area off what leaf carbon makes: share of it, and m2 m-2.
_AREA_RELATIVE, _AREA_ABSOLUTE = 0.01, 1.0e-6


def _off_ratio(
    audited: Audited, block: PoolBlock, elements: str, factor: float
) -> Iterator[tuple[str, np.ndarray, np.ndarray, np.ndarray]]:
    """Pools with values off their parameter's ratio by a factor: name, where, right values, noise (row)."""
    parameters = audited.given
    if parameters is None:
        return
    plants = (block.rows.pft < NATPFT) & (block.rows.pft > 0)
    for organ in ORGANS:
        for element, ratio in zip("np", parameters.organ_ratios(organ), strict=True):
            if element not in elements:
                continue
            ratio = ratio[block.natural]
            known = plants & (ratio > 0.0)  # a missing ratio is NaN
            ratio = np.where(known, ratio, 1.0)
            noise = _ABSOLUTE / ratio
            for stage in STAGES:
                name, carbon = f"{organ}{element}{stage}", f"{organ}c{stage}"
                if block.holds(name, carbon):
                    right = block.pools[carbon] / ratio
                    off = known & beyond(block.pools[name], right, factor, noise)
                    if np.any(off):
                        yield name, off, right, noise


@check("plant-cn-far", "patches", "error", RUN, "C:N is far from the parameter's")
def plant_cn_far(audited: Audited, block: PoolBlock) -> Iterator[Fault]:
    """ELM never restores the ratio, and photosynthesis follows leaf N. Set N to C / C:N of the parameters.

    Limit: a factor of {_FAR:g} and {_ABSOLUTE:g} gC m-2.
    """
    for name, far, right, _ in _off_ratio(audited, block, "n", _FAR):
        yield Fault(name, block.pools[name], far, expected=right)


@check("plant-ratio-off", "patches", "note", FILES, "C:N or C:P is not the parameter's")
def plant_ratio_off(audited: Audited, block: PoolBlock) -> Iterator[Fault]:
    """P of dead wood differs in files that ELM wrote, N never does. If it is N, check the tool that wrote it.

    Limit: a factor of {_LOOSE:g} and {_ABSOLUTE:g} gC m-2.
    """
    for name, loose, right, noise in _off_ratio(audited, block, "np", _LOOSE):
        if POOL_VARIABLES[name].element == "n":
            loose = loose & ~beyond(block.pools[name], right, _FAR, noise)
        yield Fault(name, block.pools[name], loose, expected=right)


@check("plant-n-without-c", "patches", "error", RUN,
    "holds N without the carbon that goes with it", f"C:N of {_LEAST_CN:g} or more")  # fmt: skip
def plant_n_without_c(audited: Audited, block: PoolBlock) -> Iterator[Fault]:
    """ELM never restores the ratio, and runs on. Edit C, N and P of an organ together.

    Limit: checked where no parameter file is given.
    """
    for organ in ORGANS if audited.given is None else ():
        for stage in STAGES:
            name, carbon = f"{organ}n{stage}", f"{organ}c{stage}"
            if block.holds(name, carbon):
                nitrogen = block.pools[name]
                yield Fault(name, nitrogen, nitrogen > block.pools[carbon] / _LEAST_CN + _ABSOLUTE)


@check("evergreen-leafless", "patches", "error in normal mode", SOURCE,
    "a living evergreen patch has no leaves and never grows any", f"more than {_LEAFLESS:g}")  # fmt: skip
def evergreen_leafless(audited: Audited, block: PoolBlock) -> Iterator[Fault]:
    """Evergreen leaves grow from photosynthesis alone, which needs leaves. Keep the leaves of the base.

    Limit: other live carbon above {_ALIVE:g} gC m-2.
    """
    if block.holds("leafc"):
        others = [n for n in TOTVEGC_POOLS if n in block.pools and n != "leafc" and "dead" not in n]
        evergreen = (audited.parameters.per_pft("evergreen") == 1)[block.natural] & (block.rows.pft < NATPFT)
        leafc = block.pools["leafc"]
        yield Fault("leafc", leafc, evergreen & (leafc <= _LEAFLESS) & (block.sum(others) > _ALIVE))


@check("leaf-area-off", "patches", "note", SOURCE, "does not follow from leafc")
def leaf_area_off(audited: Audited, block: PoolBlock) -> Iterator[Fault]:
    """The first step uses it, then ELM computes it again. Compute it from leaf carbon, slatop and dsladlai.

    Limit: {_AREA_RELATIVE:g} of it; checked where a parameter file is given.
    """
    parameters = audited.given
    if parameters is not None and block.holds("leafc") and "tlai" in block.raw:
        slatop, dsladlai = (values[block.natural] for values in parameters.specific_leaf_area())
        right, tlai = leaf_area(block.pools["leafc"], slatop, dsladlai), block.raw["tlai"]
        off = np.abs(tlai - right) > _AREA_RELATIVE * right + _AREA_ABSOLUTE
        yield Fault("tlai", tlai, off & (block.rows.pft < NATPFT), expected=right)


@check("ppool-below-leafp", "patches", "note", "ELM's source; files that ELM wrote", "is less than leafp")
def ppool_below_leafp(audited: Audited, block: PoolBlock) -> Iterator[Fault]:
    """ELM raises it once, on leaving AD; growth that P limits lowers it again. Injection raises it.

    Limit: round-off.
    """
    if block.holds("ppool", "leafp"):
        ppool, leafp = block.pools["ppool"], block.pools["leafp"]
        yield Fault("ppool", ppool, ppool < leafp * (1.0 - 1.0e-9), expected=leafp)
