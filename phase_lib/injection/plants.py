"""Edits of the plants: patch pools, `ppool`, leaf area, height, total."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

import numpy as np

from phase_lib.elm.blocks import Block
from phase_lib.elm.canopy import canopy_height, growth_form, leaf_area, leaf_carbon
from phase_lib.elm.constants import C4_GRASS, NATPFT
from phase_lib.elm.dead_wood import WOOD, WoodTally
from phase_lib.elm.other_pools import ISOTOPES, twin_of
from phase_lib.elm.spinup import lift_ppool
from phase_lib.elm.variables import (
    DEAD_WOOD,
    ELEMENTS,
    ORGANS,
    POOL_VARIABLES,
    STAGES,
    TOTVEGC_POOLS,
    VARIABLES,
)
from phase_lib.injection.edits import Edits
from phase_lib.injection.rules import keep_leaves, plant_nutrient

#: Carbon pools of patches.
_PLANT_CARBON = {
    name for name, entry in POOL_VARIABLES.items() if (entry.level, entry.element) == ("patch", "c")
}
#: Variables that take the predicted value and bear on no other; leaf area becomes leaf carbon.
_SINGLE = [
    name
    for name, entry in VARIABLES.items()
    if (entry.level, entry.organ, entry.injected) == ("patch", None, "directly") and name != "tlai"
]


def edit_plants(edits: Edits) -> WoodTally:
    """Edits all patches that cover ground, block by block.

    Returns:
        What the wood of the base shows about the mortality factor.
    """
    wood, patches = WoodTally(edits.base.parameters), edits.base.blocks.npatches
    steps = edits.base.blocks.of_patches(edits.step(patches, 1))
    for block in edits.in_turn(steps, "pfts1d_wtxy", patches, "patches"):
        _Patches(edits, block).edit(wood)
    return wood


class _Patches:
    """Patches of a block, and the edits of their pools."""

    def __init__(self, edits: Edits, block: Block) -> None:
        self.edits, self.block = edits, block
        self.parameters, self.predictions = edits.base.parameters, edits.base.predictions
        self.pft = np.clip(block.pft, 0, NATPFT - 1)
        self.receives = edits.receives(block) & block.natural & (self.pft > 0)

    @cached_property
    def evergreen(self) -> np.ndarray:
        """True for evergreen PFTs (row)."""
        return np.asarray(self.parameters.per_pft("evergreen")[self.pft] == 1)

    @cached_property
    def leaves(self) -> tuple[np.ndarray, ...]:
        """`slatop` and `dsladlai` (row), m2/gC."""
        return tuple(values[self.pft] for values in self.parameters.specific_leaf_area())

    def edit(self, wood: WoodTally) -> None:
        """Takes the patches out of AD, after a look at their wood, and replaces what is predicted."""
        get = self.edits.get
        if self.edits.base.in_ad:
            tall = get("htop") if self.edits.has("htop") else None
            wood.add(self.block.pft, {name: get(name) for name in WOOD}, tall)
            self._leave_ad()
        totvegc_before = self._sum(TOTVEGC_POOLS)
        carbon = {name: get(name) for name in self.edits.twins if name in _PLANT_CARBON}
        stem_before, leaf_before = get("deadstemc"), get("leafc")
        phosphorus_before = get("leafp"), get("ppool")
        if self.predictions is not None:
            self._replace()
            starts = self._isotope_starts()
            for name, before in carbon.items():
                self.edits.twins_follow(name, before, self.receives, starts)
        leaf_changed = get("leafc") != leaf_before
        self._feed_leaves(*phosphorus_before)
        if self.predictions is not None:
            self._canopy(leaf_changed, get("deadstemc") != stem_before)
        if self.edits.has("totvegc"):
            total = self._sum(TOTVEGC_POOLS)
            changed = (total != totvegc_before) | (self.edits.base.in_ad & (stem_before > 0.0))
            self.edits.set("totvegc", total, changed)
            self._sum_twins(changed)

    def _leave_ad(self) -> None:
        """Dead wood and `ppool` as ELM takes them out of AD."""
        patches = np.ones(len(self.pft), dtype=bool)
        dead = (f"{organ}{element}" for organ in DEAD_WOOD for element in ELEMENTS)
        for name in self.edits.with_twins(dead):
            self.edits.set(name, self.edits.get(name) * self.edits.mortality_factor, patches)
        phosphorus = (self.edits.get(name) for name in ("ppool", "leafp", "leafp_storage"))
        self.edits.set("ppool", lift_ppool(*phosphorus), patches)

    def _sum(self, pools: Iterable[str]) -> np.ndarray:
        return np.asarray(sum(self.edits.get(name) for name in pools))

    def _sum_twins(self, changed: np.ndarray) -> None:
        """The isotopes' part of `totvegc`, where it changed (row)."""
        for twin in self.edits.twins.get("totvegc", ()):
            parts = [twin_of(name, twin.isotope).name for name in TOTVEGC_POOLS]
            if all(self.edits.has(part) for part in parts):
                self.edits.set(twin.name, self._sum(parts), changed)

    def _isotope_starts(self) -> dict[str, np.ndarray]:
        """Isotope -> its share of the carbon in a cold start (row)."""
        c3 = self.parameters.pft.get("c3psn", np.arange(NATPFT) != C4_GRASS)
        return {i.name: np.where(c3 == 0.0, i.start_c4, i.start)[self.pft] for i in ISOTOPES}

    def _feed_leaves(self, leafp_before: np.ndarray, ppool_before: np.ndarray) -> None:
        """Injected leaves or `ppool` do not leave a patch with less of it than its leaves hold."""
        leafp, ppool = self.edits.get("leafp"), self.edits.get("ppool")
        injected = (leafp != leafp_before) | (ppool != ppool_before)
        self.edits.set("ppool", np.maximum(ppool, leafp), injected)

    def _fetch(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """What patches receive of a variable (row), and where it is meant."""
        cell, pft, receives = self.block.cell, self.pft, self.receives
        values, meant = np.zeros(len(cell)), receives.copy()
        assert self.predictions is not None
        values[receives], meant[receives] = self.predictions.patches(name, cell[receives], pft[receives])
        group = cell[meant].astype(np.int64) * NATPFT + pft[meant]
        values[meant] = self.edits.parts(name, values[meant], group, meant)
        return values, meant

    def _replace(self) -> None:
        """Replaces what is predicted; N and P of organs follow from C."""
        for organ in ORGANS:
            if organ == "leaf" or any(self.edits.predicted(f"{organ}c{stage}") for stage in STAGES):
                self._replace_organ(organ)
        for name in _SINGLE:
            if self.edits.predicted(name):
                self.edits.set(name, *self._fetch(name))

    def _replace_organ(self, organ: str) -> None:
        """Carbon of an organ in its three stages; N and P follow wherever carbon changed."""
        base = {stage: self.edits.get(f"{organ}c{stage}") for stage in STAGES}
        new = {stage: self._predicted_carbon(organ, stage, base) for stage in STAGES}
        if organ == "leaf":
            self._leaves_from_area(new, base)
            if self.edits.settings.out_of_bounds != "keep":
                new = self._keep_leaves(base, new)
        ratios = self.parameters.organ_ratios(organ)
        for stage in STAGES:
            changed = new[stage] != base[stage]
            self.edits.set(f"{organ}c{stage}", new[stage], changed)
            for element, ratio in zip(("n", "p"), ratios, strict=True):
                nutrient = plant_nutrient(new[stage], ratio[self.pft])
                self.edits.set(f"{organ}{element}{stage}", nutrient, changed)

    def _keep_leaves(self, base: dict[str, np.ndarray], new: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Leaf carbon of which no living patch loses all."""
        before, after = (tuple(stages[stage] for stage in STAGES) for stages in (base, new))
        leaves, kept = keep_leaves(before, after, self.evergreen, self.edits.settings)
        count = int(np.count_nonzero(kept & self.receives))
        self.edits.clipped["leafc kept: evergreen or dead"] += count
        return dict(zip(STAGES, leaves, strict=True))

    def _predicted_carbon(self, organ: str, stage: str, base: dict[str, np.ndarray]) -> np.ndarray:
        """Carbon of an organ in one stage (row): the base's where it is not predicted."""
        name = f"{organ}c{stage}"
        if not self.edits.predicted(name):
            return base[stage]
        values, where = self._fetch(name)
        # In dormancy the base's phenology stands: its leaves and fine roots are off.
        asleep = where & ~self.evergreen & (base[""] <= 0.0)
        asleep &= organ in ("leaf", "froot") and stage != "_storage"
        count = int(np.count_nonzero(asleep & (values != base[stage])))
        self.edits.clipped[f"{name} kept: dormant"] += count
        return np.where(where & ~asleep, values, base[stage])

    def _leaves_from_area(self, new: dict[str, np.ndarray], base: dict[str, np.ndarray]) -> None:
        """Leaf carbon from predicted leaf area, where leaves are out and their carbon is not predicted."""
        if not self.edits.predicted("tlai"):
            return
        area, where = self._fetch("tlai")
        if self.edits.predicted("leafc"):
            return
        where &= (base[""] > 0.0) & (area != self.edits.get("tlai"))
        slatop, dsladlai = self.leaves
        where &= slatop > 0.0
        new[""] = np.where(where, leaf_carbon(area, np.where(where, slatop, 1.0), dsladlai), base[""])

    def _canopy(self, leaf_changed: np.ndarray, stem_changed: np.ndarray) -> None:
        """Leaf area and height where the carbon they follow from changed."""
        old = self.edits.get("tlai")
        tlai = np.where(leaf_changed, leaf_area(self.edits.get("leafc"), *self.leaves), old)
        self.edits.set("tlai", tlai, leaf_changed)
        if self.edits.has("elai"):
            # Snow buries the same share of the new leaves until ELM computes it in the first step.
            grown = leaf_changed & (old > 0.0)
            share = np.where(grown, self.edits.get("elai") / np.where(grown, old, 1.0), 0.0)
            self.edits.set("elai", tlai * share, grown)
        form = growth_form(self.parameters.per_pft("woody"))[self.pft]
        top, bottom = canopy_height(self.edits.get("deadstemc"), tlai, form)
        changed = np.where(form > 0, stem_changed, leaf_changed)
        for name, values in (("htop", top), ("hbot", bottom)):
            if self.edits.has(name):
                self.edits.set(name, values, changed)
