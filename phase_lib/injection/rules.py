"""The rules of an injected state, for one array at a time. No files here."""

from __future__ import annotations

import numpy as np

from phase_lib.config.injection import InjectionSettings
from phase_lib.elm.spinup import MINERAL_P_DEPTH_M, mineral_p

#: Below this carbon (gC m-3) the ratios of a layer are round-off.
_RATIO_NOISE = 1.0e-6
#: A prediction this close to the mean of the parts is that mean, summed in another order.
_SAME_MEAN = 1.0e-13
#: A part with more than this times the mean of its cell shows nothing about later centuries.
_MOST_CONTRAST = 10.0


def within_cells(
    predicted: np.ndarray, present: np.ndarray, group: np.ndarray, weight: np.ndarray
) -> tuple[np.ndarray, int]:
    """What the columns of a cell, or its patches of one PFT, receive where topounits divide it.

    A prediction is the mean of a cell. Its parts keep their proportions, so that their mean becomes the
    prediction. All receive the prediction itself where they hold almost nothing, where some are positive and
    some negative, or where one has more than ten times the mean. Parts without ground always receive it.

    Args:
        predicted: of the cell of each row (row, ...).
        present: what each row holds, in normal space (row, ...).
        group: rows with the same number belong together (row).
        weight: share of the cell of each row (row).

    Returns:
        New values (row, ...), what the rows hold where the prediction is their mean, and the prediction
        where a row is alone in its group; and how many groups lost their proportions.
    """
    _, first, place, count = np.unique(group, return_index=True, return_inverse=True, return_counts=True)
    wide = (slice(None), *[None] * (present.ndim - 1))

    def total(values: np.ndarray) -> np.ndarray:
        sums = np.zeros((len(count), *values.shape[1:]))
        np.add.at(sums, place, values)
        return sums

    whole = total(weight)
    # Where none has ground, all count alike.
    share = np.where(
        whole[place] > 0.0, weight / np.where(whole > 0.0, whole, 1.0)[place], 1.0 / count[place]
    )
    grounded = (share > 0.0)[wide]
    mean = total(np.where(grounded, present, 0.0) * share[wide])
    some = np.abs(mean) > _RATIO_NOISE * np.abs(predicted[first])
    ratio = np.where(grounded, present / np.where(some, mean, 1.0)[place], 1.0)
    unlike = total((ratio < 0.0) | (ratio > _MOST_CONTRAST)) > 0
    several = (count > 1)[wide]
    same = several & (np.abs(predicted[first] - mean) <= _SAME_MEAN * np.abs(mean))
    kept = several & some & ~unlike
    lost = int(np.count_nonzero(several & some & unlike & ~same))
    return np.where(same[place], present, np.where(kept[place], ratio * predicted, predicted)), lost


def litter_nutrient(
    carbon: np.ndarray,
    base_carbon: np.ndarray,
    base_nutrient: np.ndarray,
    start_ratio: float,
    low: float,
    high: float,
) -> tuple[np.ndarray, int]:
    """N or P of litter or CWD by the ratio that the layer had, kept within bounds.

    Args:
        carbon: new carbon, gC m-3.
        base_carbon: the layer's carbon before, in normal space.
        base_nutrient: its N or P before.
        start_ratio: C:N or C:P of a cold start, for layers that were empty.
        low: least C:N or C:P.
        high: largest C:N or C:P.

    Returns:
        New N or P, and how many layers met a bound.
    """
    known = (base_carbon > _RATIO_NOISE) & (base_nutrient > 0.0)
    ratio = np.where(known, base_carbon / np.where(known, base_nutrient, 1.0), start_ratio)
    return carbon / np.clip(ratio, low, high), int(np.count_nonzero((ratio < low) | (ratio > high)))


def langmuir_partition(total: np.ndarray, smax: np.ndarray, ks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Divides P between solution and sorption sites in Langmuir equilibrium.

    Solves labile = smax * solution / (ks + solution) with solution + labile = total; both are never negative.

    Args:
        total: solution plus labile P, gP m-3.
        smax: sorption capacity, gP m-3.
        ks: half-saturation, gP m-3.

    Returns:
        Solution P and labile P, gP m-3.
    """
    excess = total - smax - ks
    solution = 0.5 * (excess + np.sqrt(excess**2 + 4.0 * ks * total))
    return solution, total - solution


def supplied_mineral_p(
    surface: dict[str, np.ndarray], smax: np.ndarray, ks: np.ndarray
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Mineral P that a file flagged normal has to bring along, as ELM sets it on leaving AD.

    ELM's solution P is negative where the map holds more labile P than the soil can sorb, and without bound
    just below. There the mapped amount is divided between solution and sorption sites instead.

    Args:
        surface: `LABILE_P, SECONDARY_P, OCCLUDED_P, APATITE_P` (gridcell), gP m-2.
        smax: sorption capacity of the cells (gridcell), gP m-3.
        ks: half-saturation of the cells (gridcell), gP m-3.

    Returns:
        Pool stem -> gP m-3 (gridcell), and where the partition replaced ELM's formula (gridcell).
    """
    labile = np.asarray(surface["LABILE_P"]) / MINERAL_P_DEPTH_M
    saturated = (labile > 0.0) & (smax - labile <= ks)
    solution, sorbed = langmuir_partition(labile, smax, ks)
    # ELM's formula is not evaluated where it has no bound.
    capacity = np.where(saturated, np.inf, smax)
    pools = mineral_p(surface, np.arange(len(smax)), {"smax": capacity, "ks_sorption": ks})
    pools["solutionp"] = np.where(saturated, solution, pools["solutionp"])
    pools["labilep"] = np.where(saturated, sorbed, labile)
    return pools, saturated


def plant_nutrient(carbon: np.ndarray, ratio: np.ndarray) -> np.ndarray:
    """N or P of an organ by its fixed ratio; none where the PFT has no such organ (ratio 0 or missing)."""
    known = ratio > 0.0
    return np.where(known, carbon / np.where(known, ratio, 1.0), 0.0)


def isotope_of(
    twin: np.ndarray, before: np.ndarray, after: np.ndarray, start: np.ndarray | float
) -> tuple[np.ndarray, np.ndarray]:
    """The isotope of a carbon pool that was replaced: it keeps its share of the carbon.

    Args:
        twin: the isotope before (any shape), gC.
        before: all carbon before, gC.
        after: all carbon after, gC.
        start: share for a pool that held almost nothing.

    Returns:
        The isotope after, unchanged where the carbon is, and where the share of the start was used.
    """
    known = np.abs(before) > _RATIO_NOISE
    share = np.where(known, twin / np.where(known, before, 1.0), start)
    changed = after != before
    return np.where(changed, share * after, twin), changed & ~known


def keep_leaves(
    base: tuple[np.ndarray, ...],
    new: tuple[np.ndarray, ...],
    evergreen: np.ndarray,
    settings: InjectionSettings,
) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
    """Keeps a living patch from being injected without leaves, a state it could not leave.

    Evergreen patches keep their leaves, any patch keeps all three stages of leaf carbon, where the base
    has more than `min_evergreen_leafc` and the prediction has not.

    Args:
        base: leafc, leafc_storage, leafc_xfer of the base (patch), gC m-2.
        new: the same, predicted.
        evergreen: True for evergreen PFTs (patch).
        settings: the bound.

    Returns:
        The new leaf carbon, and where it was kept (patch).
    """
    least = settings.min_evergreen_leafc
    bare = evergreen & (base[0] > least) & (new[0] <= least)
    dead = (sum(base) > least) & (sum(new) <= least)
    display = np.where(bare | dead, base[0], new[0])
    storage, transfer = (np.where(dead, old, value) for old, value in zip(base[1:], new[1:], strict=True))
    return (display, storage, transfer), bare | dead
