"""Soil: ratios, sums and stocks of layered pools, mineral N and P."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from phase_lib.elm.audit.audited import Audited, PoolBlock, Tally
from phase_lib.elm.audit.check import FILES, RUN, SOURCE, Fault, Majority, Places, beyond, check
from phase_lib.elm.spinup import MINERAL_P_DEPTH_M
from phase_lib.elm.variables import COLUMN_TOTALS, LITTER, MINERAL_N, SOIL_POOLS, SOM, TOTVEGC_POOLS

#: Soil N off C/CN: relative and absolute (gN m-3) tolerance; real files keep 1e-12.
_N_RELATIVE, _N_ABSOLUTE = 1.0e-3, 1.0e-7
#: Soil P: noted when off by the first factor, far off at the next. ELM truncates C before P and leaving
#: AD multiplies the remainder by F, so less than the last (gP m-3) is noise.
_P_LOOSE, _P_FAR, _P_ABSOLUTE = 1.5, 3.0, 1.0e-3
#: Litter and CWD beyond these C:N and C:P are not what decomposition makes; stocks below (gC m-3) are noise.
_LITTER_CN, _LITTER_CP, _LITTER_C = (5.0, 1000.0), (50.0, 50000.0), 1.0
#: SOM of ten layers of peat of 60 kgC m-3; and more than any soil on earth has (gC m-2).
_PEAT, _NO_SOIL = 2.3e5, 1.0e6
#: Columns with more SOM (gC m-2) are compared with peat.
_SOM_JUDGED = 1.0e3
#: soil2 turns over as fast as the litter that feeds it, so their ratio is about 1 in either mode, with real
#: cells from 0.4 to 1.4; a median of the columns beyond this is not what litter made. Less (gC m-2) is noise.
_SOIL2_PER_LITTER, _SOIL2_JUDGED = 4.0, 10.0
#: Median labile P below this share of the surface file's map, or below this (gP m-3), is what AD leaves.
_LABILE_SHARE, _LABILE_LEAST = 0.1, 0.1


def _complete(
    block: PoolBlock, stems: tuple[str, ...]
) -> Iterator[tuple[str, np.ndarray, np.ndarray, np.ndarray, np.ndarray | np.bool_]]:
    """Pools whose three elements are on file: stem, C, N, P and where all are usable."""
    for stem in stems:
        names = [f"{stem}{element}_vr" for element in "cnp"]
        if block.holds(*names):
            c, n, p = (block.pools[name] for name in names)
            yield stem, c, n, p, block.good[names[0]] & block.good[names[1]] & block.good[names[2]]


def _ratios(audited: Audited) -> dict[str, tuple[float, float]]:
    """SOM pool -> C:N, C:P."""
    return {pool.name: audited.parameters.soil_ratios(pool) for pool in SOIL_POOLS if pool.name in SOM}


@check("soil-cn", "columns", "error", "ELM run on such files; files that ELM wrote keep 1e-12",
    "C:N is not the parameter's")  # fmt: skip
def soil_cn(audited: Audited, block: PoolBlock) -> Iterator[Fault]:
    """Fluxes use the fixed C:N: more N is never mineralised, less N stops transfers. Set N to C / C:N.

    Limit: {_N_RELATIVE:g} of the right N and {_N_ABSOLUTE:g} gN m-3.
    """
    for stem, c, n, _, good in _complete(block, SOM):
        right = c / audited.seen(_ratios)[stem][0]
        off = good & (np.abs(n - right) > _N_RELATIVE * right + _N_ABSOLUTE)
        yield Fault(f"{stem}n_vr", n, off, expected=right)


@check("soil-cp-far", "columns", "error in normal mode", FILES, "C:P is far from the parameter's")
def soil_cp_far(audited: Audited, block: PoolBlock) -> Iterator[Fault]:
    """P leaves the pool by the ratio on file, which passes the fault on for centuries. Set P to C / C:P.

    Limit: a factor of {_P_FAR:g} and {_P_ABSOLUTE:g} gP m-3.
    """
    for stem, c, _, p, good in _complete(block, SOM):
        right = c / audited.seen(_ratios)[stem][1]
        yield Fault(f"{stem}p_vr", p, good & beyond(p, right, _P_FAR, _P_ABSOLUTE), expected=right)


@check("soil-cp-off", "columns", "note", FILES, "C:P is off the parameter's")
def soil_cp_off(audited: Audited, block: PoolBlock) -> Iterator[Fault]:
    """ELM truncates C before P, which leaves small remainders. Nothing has to be done where it is rare.

    Limit: a factor of {_P_LOOSE:g} and {_P_ABSOLUTE:g} gP m-3.
    """
    for stem, c, _, p, good in _complete(block, SOM):
        right = c / audited.seen(_ratios)[stem][1]
        loose = good & beyond(p, right, _P_LOOSE, _P_ABSOLUTE)
        if np.any(loose):
            far = beyond(p, right, _P_FAR, _P_ABSOLUTE)
            yield Fault(f"{stem}p_vr", p, loose & ~far, expected=right)


@check("litter-ratio", "columns", "note", FILES, "has a ratio to its carbon that decomposition does not make")
def litter_ratio(audited: Audited, block: PoolBlock) -> Iterator[Fault]:
    """ELM runs on, as it does not fix ratios of litter. Check the stoichiometry of the tool that wrote it.

    Limit: C:N of {_LITTER_CN[0]:g} to {_LITTER_CN[1]:g}, C:P of {_LITTER_CP[0]:g} to {_LITTER_CP[1]:g}, where
    there is more than {_LITTER_C:g} gC m-3.
    """
    for stem, c, n, p, good in _complete(block, (*LITTER, "cwd")):
        for element, nutrient, (low, high) in (("n", n, _LITTER_CN), ("p", p, _LITTER_CP)):
            loose = good & (c > _LITTER_C) & ((nutrient * low > c) | (nutrient * high < c))
            right = f"C:{element.upper()} of {low:g} to {high:g}"
            yield Fault(f"{stem}{element}_vr", nutrient, loose, expected=right)


@check("mineral-n-sum", "columns", "error", SOURCE, "is not smin_no3_vr + smin_nh4_vr")
def mineral_n_sum(audited: Audited, block: PoolBlock) -> Iterator[Fault]:
    """ELM sums them up again in its first update of nutrients. Set it to the sum.

    Limit: round-off.
    """
    nitrate, ammonium, whole = (f"{name}_vr" for name in (*MINERAL_N, "sminn"))
    if block.holds(nitrate, ammonium, whole):
        right = block.pools[nitrate] + block.pools[ammonium]
        off = np.abs(block.pools[whole] - right) > 1.0e-9 * np.abs(right) + 1.0e-12
        off &= block.good[nitrate] & block.good[ammonium] & block.good[whole]
        yield Fault(whole, block.pools[whole], off, expected=right)


@check("total-stale", "pools", "note", RUN, "is not the sum of its pools")
def total_stale(audited: Audited, block: PoolBlock) -> Iterator[Fault]:
    """ELM computes it again. Nothing has to be done, but pools were edited.

    Limit: a millionth.
    """
    for name, parts in {**COLUMN_TOTALS, "totvegc": TOTVEGC_POOLS}.items():
        if block.holds(*parts) and audited.has(name, "pft" if name == "totvegc" else "column"):
            right = block.sum(parts) if name == "totvegc" else block.stock(*parts)
            values = audited.read(name, block.rows)
            stale = ~(np.abs(values - right) <= 1.0e-6 * np.abs(right) + 1.0e-6)
            yield Fault(name, values, stale, expected=right)


class Stocks(Tally):
    """SOM and its litter by column, gC m-2.

    Attributes:
        peat: columns of natural vegetation with more SOM than peat, of those whose SOM can be judged.
        much, no_soil: columns with more than peat, and with more than any soil.
        unfed: columns of natural vegetation with more soil2 than their litter feeds.
    """

    stages = ("columns",)

    def __init__(self, audited: Audited) -> None:
        self.peat, self.unfed = Majority(), Majority()
        self.much, self.no_soil = Places(), Places()

    def add(self, block: PoolBlock) -> None:
        """Adds a block."""
        som, litter = block.stock(*COLUMN_TOTALS["totsomc"]), block.stock("litr2c_vr", "litr3c_vr")
        # Crop columns do not count: there may be as many as natural ones, and they receive no prediction.
        soil2, cell, natural = block.stock("soil2c_vr"), block.rows.cell, block.rows.soil
        self.peat.add(natural & (som > _SOM_JUDGED), som > _PEAT, cell, som)
        self.much.add((som > _PEAT) & (som <= _NO_SOIL), cell, som)
        self.no_soil.add(som > _NO_SOIL, cell, som)
        fed = natural & (litter > _SOIL2_JUDGED) & (soil2 > _SOIL2_JUDGED)
        share = soil2 / np.where(fed, litter, np.inf)
        self.unfed.add(fed, share > _SOIL2_PER_LITTER, cell, share)


@check("soils-above-peat", "end", "error", RUN,
    "the soil of most columns holds more carbon than peat of the same depth",
    f"less than {_PEAT:g} gC m-2")  # fmt: skip
def soils_above_peat(audited: Audited) -> Iterator[Fault]:
    """Leaving AD by an unfinished scalaravg_col does this, and ELM runs on. Leave AD by F alone.

    Limit: half of the columns with natural vegetation and {_SOM_JUDGED:g} gC m-2 of SOM.
    """
    if audited.seen(Stocks).peat.most:
        yield Fault("totsomc", places=audited.seen(Stocks).much, quantity="sum of its pools")


@check("soil-above-peat", "end", "note", "peat of 60 kgC m-3",
    "the soil of a column holds more carbon than peat of the same depth",
    f"less than {_PEAT:g} gC m-2")  # fmt: skip
def soil_above_peat(audited: Audited) -> Iterator[Fault]:
    """ELM runs on. Look at the cell: it may be deep peat, or a prediction is too high."""
    if not audited.seen(Stocks).peat.most:
        yield Fault("totsomc", places=audited.seen(Stocks).much, quantity="sum of its pools")


@check("soil-impossible", "end", "error", "peat of 60 kgC m-3, four times over",
    "no soil holds as much carbon", f"less than {_PEAT:g} gC m-2")  # fmt: skip
def soil_impossible(audited: Audited) -> Iterator[Fault]:
    """ELM runs on, and the excess needs centuries to decompose. Check units and space of the soil pools.

    Limit: {_NO_SOIL:g} gC m-2.
    """
    yield Fault("totsomc", places=audited.seen(Stocks).no_soil, quantity="sum of its pools")


@check("soil2-unfed", "end", "error", "ELM run on such files; files that ELM wrote have 0.4 to 1.4",
    "most columns have more of it than their litter feeds", "about 1")  # fmt: skip
def soil2_unfed(audited: Audited) -> Iterator[Fault]:
    """All of SOM was multiplied, but AD never accelerates soil2. Multiply soil3, soil4 and CWD alone.

    Limit: {_SOIL2_PER_LITTER:g} times litter 2 and 3 in half of the columns.
    """
    if audited.seen(Stocks).unfed.most:
        yield Fault("soil2c_vr", places=audited.seen(Stocks).unfed.places, quantity="soil2 : litter")


class Labile(Tally):
    """Labile P of the columns of natural vegetation, in a file flagged normal.

    Attributes:
        poor: columns with almost nothing, or much less than the map has, of those where the map has any.
    """

    stages = ("columns",)

    def __init__(self, audited: Audited) -> None:
        self._judges = audited.normal and audited.has("labilep_vr", "column", "levgrnd")
        self._mapped = audited.map("LABILE_P") if self._judges else None
        self.poor = Majority()

    def add(self, block: PoolBlock) -> None:
        """Adds a block."""
        if not self._judges:
            return
        soil = block.rows.soil
        cell, mean = block.rows.cell[soil], block.pools["labilep_vr"][soil].mean(axis=1)
        if self._mapped is None:
            self.poor.add(np.ones(len(cell), dtype=bool), mean < _LABILE_LEAST, cell, mean)
        else:
            right = self._mapped.read("LABILE_P", cell) / MINERAL_P_DEPTH_M
            rich = right > 0.0
            share = mean / np.where(rich, right, np.inf)
            self.poor.add(rich, share < _LABILE_SHARE, cell, share)


@check("mineral-p-missing", "end", "error, or a note", "files that ELM wrote in AD and in normal mode",
    "is almost nothing, as AD leaves it")  # fmt: skip
def mineral_p_missing(audited: Audited) -> Iterator[Fault]:
    """AD runs almost without mineral P, and ELM sets it only on leaving AD. Supply it from the surface file.

    Limit: in half of the columns. A note without a surface file, as only that shows whether it is right.
    """
    places, mapped = audited.seen(Labile).poor.places, audited.surface is not None
    right = f"about 1, at least {_LABILE_SHARE:g}" if mapped else f"more than {_LABILE_LEAST:g} gP m-3"
    what = f"share of LABILE_P / {MINERAL_P_DEPTH_M:g} m" if mapped else "mean over the layers"
    if audited.seen(Labile).poor.most:
        yield Fault("labilep_vr", places=places, expected=right, quantity=what, note=not mapped)
