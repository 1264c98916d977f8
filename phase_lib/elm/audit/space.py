"""Spin-up space: are pools in the space of the flag, AD or normal mode?"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from phase_lib.elm.audit.audited import Audited, PoolBlock, Tally
from phase_lib.elm.audit.check import FILES, RUN, Fault, Majority, Places, check
from phase_lib.elm.constants import NATPFT, TRUNCATION
from phase_lib.elm.dead_wood import WOOD, WoodTally, normal_dead_live
from phase_lib.elm.spinup import SOIL3_JUDGED
from phase_lib.elm.variables import DEAD_WOOD

#: Live wood (gC m-2) from which the share of dead wood can be judged.
_LIVE_WOOD = 1.0
#: A median of log10(dead wood / its normal-mode expectation) below this is that of tenfold mortality.
_DEAD_WOOD_LOG = -0.7
#: The same in an AD file, above which wood seems to be in normal space already.
_DEAD_WOOD_NORMAL_LOG = -0.3
#: Where there is less soil3 (gC m-2), the ratio means nothing; and a stand-in for none at all.
_LEAST, _NOTHING = 1.0, 1.0e-8
#: A column whose soil4 : soil3 is below so many times AD's is as AD leaves it.
_LOW = 1.2


class SlowSoil(Tally):
    """The two slowest soil pools of all columns, whose ratio distinguishes AD from normal mode.

    Attributes:
        columns: number of columns of natural vegetation.
        soil3, soil4: sums over the columns, gC m-2.
        judged3, judged4: the same over those with enough soil3 to compare them with normal mode.
        richest: pool -> its largest stock in a column, and the ratio and the cell of that column.
        low, high: columns whose ratio is as AD leaves it, or as in normal mode.
        low_ratio: soil4 : soil3 of a low column of each cell, NaN where there is none (gridcell).
    """

    stages = ("columns",)

    def __init__(self, audited: Audited) -> None:
        self._low, self._high = _LOW * audited.slow.ad, audited.slow.between
        self.columns = 0
        self.soil3 = self.soil4 = self.judged3 = self.judged4 = 0.0
        self.richest = {"soil3": (0.0, Places(1)), "soil4": (0.0, Places(1))}
        self.low, self.high = Places(), Places()
        self.low_ratio = np.full(audited.grid.ncells, np.nan, dtype=np.float32)

    def add(self, block: PoolBlock) -> None:
        """Adds a block."""
        soil3, soil4, cell = block.stock("soil3c_vr"), block.stock("soil4c_vr"), block.rows.cell
        self.columns += int(np.count_nonzero(block.rows.soil))
        self.soil3 += float(soil3.sum())
        self.soil4 += float(soil4.sum())
        ratio = soil4 / np.maximum(soil3, _NOTHING)
        for pool, carbon in (("soil3", soil3), ("soil4", soil4)):
            row = int(np.argmax(carbon))
            if carbon[row] > self.richest[pool][0]:
                self.richest[pool] = float(carbon[row]), Places(1, int(cell[row]), float(ratio[row]))
        low = (soil3 > _LEAST) & (ratio < self._low)
        self.low.add(low, cell, ratio)
        self.low_ratio[cell[low]] = ratio[low]
        judged = soil3 > SOIL3_JUDGED
        self.judged3 += float(soil3[judged].sum())
        self.judged4 += float(soil4[judged].sum())
        self.high.add(judged & (ratio > self._high), cell, ratio)


class Wood(Tally):
    """Dead wood of all patches as a share of what normal mortality leaves beside live wood.

    Attributes:
        low, high: organ -> patches whose share is as AD leaves it, or as in normal mode.
        low_cells: cells with a patch whose share is low (gridcell).
        evidence: signs of the mortality factor in the wood of an AD restart.
    """

    stages = ("patches",)

    def __init__(self, audited: Audited) -> None:
        self.audited = audited
        self.low, self.high = ({organ: Majority() for organ in DEAD_WOOD} for _ in range(2))
        self._logs = dict.fromkeys(DEAD_WOOD, 0.0)
        self.low_cells = np.zeros(audited.grid.ncells, dtype=bool)
        self.evidence = WoodTally(audited.parameters)

    def add(self, block: PoolBlock) -> None:
        """Adds a block."""
        rows, pools = block.rows, block.pools
        if self.audited.ad and block.holds(*WOOD):
            self.evidence.add(rows.pft, pools, block.raw.get("htop"))
        expected = normal_dead_live(self.audited.parameters)[block.natural]
        for organ in DEAD_WOOD:
            live_name = organ.replace("dead", "live") + "c"
            if block.holds(f"{organ}c", live_name):
                live = pools[live_name]
                judged = np.isfinite(expected) & (live > _LIVE_WOOD) & (rows.pft < NATPFT)
                dead = np.maximum(pools[f"{organ}c"][judged], TRUNCATION)
                log, cell = np.log10(dead / (live[judged] * expected[judged])), rows.cell[judged]
                self._logs[organ] += float(log.sum())
                low, everywhere = log < _DEAD_WOOD_LOG, np.ones(len(log), dtype=bool)
                self.low[organ].add(everywhere, low, cell, log)
                self.high[organ].add(everywhere, log > _DEAD_WOOD_NORMAL_LOG, cell, log)
                self.low_cells[cell[low]] = True

    def mean(self, organ: str) -> float:
        """Geometric mean of the share."""
        return float(10.0 ** (self._logs[organ] / self.low[organ].judged))


def _left_ad(audited: Audited) -> str:
    """How often a file that is not flagged AD left it, by soil4 : soil3: `not`, `twice`, or `once`."""
    slow, ratio = audited.seen(SlowSoil), audited.slow
    if slow.soil3 > 0.0 and slow.soil4 < ratio.between * slow.soil3:
        return "not"
    # As far above as AD is below: leaving AD twice multiplies the ratio once more.
    enough = slow.soil3 > SOIL3_JUDGED * slow.columns
    return "twice" if enough and slow.soil4 * ratio.between > ratio.normal**2 * slow.soil3 else "once"


def _soil4(audited: Audited, places: Places) -> Fault:
    ratio = audited.slow
    right = f"about {ratio.normal:.3g} in normal mode, {ratio.ad:.3g} in AD"
    return Fault("soil4c_vr", places=places, expected=right, quantity="soil4 : soil3")


@check(
    "soil4-still-ad", "end", "error in normal mode", RUN, "soil4 : soil3 of the whole file is as AD leaves it"
)
def soil4_still_ad(audited: Audited) -> Iterator[Fault]:
    """ELM takes the pools as they are, and soil carbon is far too low. Leave AD before the flag is changed.

    The column with the most soil3 is shown. Limit: nearer to AD's ratio than to normal mode's, by logarithm.
    """
    if not audited.ad and _left_ad(audited) == "not":
        yield _soil4(audited, audited.seen(SlowSoil).richest["soil3"][1])


@check("soil4-left-ad-twice", "end", "error in normal mode", "the factors of ELM",
    "soil4 : soil3 of the whole file is as leaving AD twice makes it")  # fmt: skip
def soil4_left_ad_twice(audited: Audited) -> Iterator[Fault]:
    """ELM takes the pools as they are, and soil4 needs millennia to come down. Go back to the file before.

    The column with the most soil4 is shown. Limit: as far above normal mode's ratio as that of soil4-still-ad
    is below.
    """
    if not audited.ad and _left_ad(audited) == "twice":
        yield _soil4(audited, audited.seen(SlowSoil).richest["soil4"][1])


@check("soil4-low", "end", "note", FILES, "soil4 : soil3 of a column is as low as AD leaves it")
def soil4_low(audited: Audited) -> Iterator[Fault]:
    """Young soils can be so. Look at the cell.

    Limit: {_LOW:g} times AD's ratio, with more than {_LEAST:g} gC m-2 of soil3.
    """
    if not audited.ad and _left_ad(audited) == "once":
        yield _soil4(audited, audited.seen(SlowSoil).low)


@check("dead-wood-still-ad", "end", "error in normal mode", RUN,
    "dead : live wood is far below what normal mortality leaves",
    "about 1 in normal mode, 0.1 in AD")  # fmt: skip
def dead_wood_still_ad(audited: Audited) -> Iterator[Fault]:
    """ELM takes the pools as they are. Multiply C, N and P of dead wood by spinup_mortality_factor.

    Limit: a median of 10^{_DEAD_WOOD_LOG:g} of what normal mortality leaves beside live wood, where there is
    more than {_LIVE_WOOD:g} gC m-2 of that.
    """
    wood = audited.seen(Wood)
    for organ, low in wood.low.items():
        if low.most and not audited.ad:
            places = Places(1, low.places.cell, wood.mean(organ))
            yield Fault(f"{organ}c", places=places, quantity="mean share of it")


@check("cell-still-ad", "end", "error in normal mode", "ELM run on files in AD space",
    "soil4 : soil3 and dead : live wood of a cell are those of AD")  # fmt: skip
def cell_still_ad(audited: Audited) -> Iterator[Fault]:
    """The cell was forgotten on leaving AD. Take it to normal mode as the others.

    Limit: that of soil4-low in a column, and that of dead-wood-still-ad in a patch.
    """
    if not audited.ad:
        ratio, places = audited.seen(SlowSoil).low_ratio, Places()
        places.add(np.isfinite(ratio) & audited.seen(Wood).low_cells, np.arange(len(ratio)), ratio)
        yield _soil4(audited, places)


@check("soil4-already-normal", "end", "error", "the factors of ELM",
    "soil4 : soil3 is that of normal mode in a file flagged AD")  # fmt: skip
def soil4_already_normal(audited: Audited) -> Iterator[Fault]:
    """ELM multiplies soil4 again on leaving AD. Use the restart of the AD run, or set the flag to 0.

    Limit: nearer to normal mode's ratio in columns with {SOIL3_JUDGED:g} gC m-2 of soil3.
    """
    slow = audited.seen(SlowSoil)
    if audited.ad and slow.judged4 > audited.slow.between * slow.judged3:
        yield _soil4(audited, slow.high)


@check("dead-wood-already-normal", "end", "note", "the factors of ELM",
    "dead : live wood is that of normal mortality in a file flagged AD",
    "a tenth of it, unless spinup_mortality_factor is 1")  # fmt: skip
def dead_wood_already_normal(audited: Audited) -> Iterator[Fault]:
    """Leaving AD multiplies it by spinup_mortality_factor. Give the factor of the run's lnd_in.

    Limit: a median of 10^{_DEAD_WOOD_NORMAL_LOG:g} of what normal mortality leaves.
    """
    for organ, high in audited.seen(Wood).high.items():
        if high.most and audited.ad:
            yield Fault(f"{organ}c")


@check("mortality-factor-other", "end", "error", "ELM's source, from which canopy height follows",
    "is not of a run with this spinup_mortality_factor")  # fmt: skip
def mortality_factor_other(audited: Audited) -> Iterator[Fault]:
    """Leaving AD multiplies dead wood by the factor. Give the lnd_in of the run that wrote the restart.

    Checked with --mortality-factor or --lnd-in.
    """
    factor, wood = audited.mortality_factor, audited.seen(Wood).evidence.evidence(audited.header)
    if factor is not None and audited.ad and wood.contradicts(factor):
        right = f"that of the lnd_in of its run; {wood.description}"
        yield Fault("deadstemc", factor, expected=right, quantity="spinup_mortality_factor")
