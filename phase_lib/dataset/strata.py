"""Which cells represent all others: clusters of climate, soil and vegetation, or a draw at random."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from sklearn.cluster import KMeans
from sklearn.metrics import pairwise_distances_argmin_min
from threadpoolctl import threadpool_limits

from phase_lib.config.sites import LEAST_COVER, Method

#: Cells times clusters up to which one k-means makes all clusters; beyond it groups of cells are divided.
_TOGETHER = 1e8
_STEPS = 50


@dataclass(frozen=True)
class Choice:
    """Cells that represent the others.

    Attributes:
        sites: their positions, ascending (site).
        cluster: of which cluster each is, from 0 (site); -1 of a draw at random.
    """

    sites: np.ndarray
    cluster: np.ndarray


def choose(
    place: np.ndarray, strata: Mapping[str, np.ndarray], count: int, method: Method, seed: int
) -> Choice:
    """Chooses cells that represent all.

    Stratified, they are the cells nearest to the centres of as many clusters. Of each stratum there is one
    at least, as long as there are no more strata than cells to choose: the member nearest to the centre of
    its cluster takes the place of that cluster's site.

    Args:
        place: of the cells in the standardised space (cell, k).
        strata: name -> True in its cells (cell).
        count: how many to choose, 1 to the number of cells.
        method: `stratified` by clusters, or `random`.
        seed: of the draw and of the first centres.
    """
    if method == "random":
        sites = np.sort(np.random.default_rng(seed).choice(len(place), count, replace=False))
        return Choice(sites, np.full(count, -1))
    # One thread, as the order in which threads add up their sums would change the last digits.
    with threadpool_limits(1):
        cluster = _clusters(place, count, seed)
    distance = _distance_to_centre(place, cluster, count)
    sites = _with_all_strata(_nearest_to_centre(cluster, distance), cluster, distance, strata)
    order = np.argsort(sites)
    return Choice(sites[order], order)


def nearest_site(place: np.ndarray, sites: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The nearest site of each cell (cell), counted among the sites (site), and its distance (cell)."""
    nearest, distance = pairwise_distances_argmin_min(place, place[sites])
    # A site is its own, without the round-off of a difference and whatever other site has the same place.
    nearest[sites], distance[sites] = np.arange(len(sites)), 0.0
    return nearest, distance


def missing_strata(strata: Mapping[str, np.ndarray], sites: np.ndarray) -> list[str]:
    """Strata that have cells, but none among the sites."""
    return [name for name, members in strata.items() if members.any() and not members[sites].any()]


def strata_of_cover(cover: np.ndarray, least: float = LEAST_COVER) -> dict[str, np.ndarray]:
    """Strata of the PFTs: True in cells (cell) of whose natural vegetation they cover `least` % or more.

    Args:
        cover: of the PFTs (cell, natpft), %.
        least: smallest cover that counts, %.
    """
    return {f"PFT {pft}": cover[:, pft] >= least for pft in range(cover.shape[1])}


def strata_of_soil(order: np.ndarray) -> dict[str, np.ndarray]:
    """Strata of the soil orders (cell)."""
    return {f"soil order {number:g}": order == number for number in np.unique(order)}


def _clusters(place: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Cluster of each cell (cell), 0 to count - 1, each with a cell at least.

    Many clusters of many cells are made in two steps, which cost far less than one: groups of cells, and in
    each as many clusters as its number of cells demands.
    """
    if count == len(place):
        return np.arange(count)
    if len(place) * count <= _TOGETHER:
        return _k_means(place, count, seed)
    groups = round(np.sqrt(count))
    group = _k_means(place, groups, seed)
    others = np.bincount(group, minlength=groups) - 1
    shared = np.rint(np.cumsum(others) * ((count - groups) / (len(place) - groups)))
    counts = 1 + np.diff(shared, prepend=0.0).astype(np.int64)
    order, ends = np.argsort(group, kind="stable"), np.cumsum(others + 1)
    cluster = np.empty(len(place), dtype=np.int64)
    for members, wanted, last in zip(np.split(order, ends[:-1]), counts, np.cumsum(counts), strict=True):
        cluster[members] = last - wanted + _k_means(place[members], int(wanted), seed)
    return cluster


def _k_means(place: np.ndarray, count: int, seed: int) -> np.ndarray:
    """K-means; where cells in one place leave clusters without any, cells far from their centre fill them."""
    distinct = len(np.unique(place, axis=0))
    fit = KMeans(min(count, distinct), n_init=1, max_iter=_STEPS, random_state=seed).fit(place)
    cluster = fit.labels_.astype(np.int64)
    empty = np.setdiff1d(np.arange(count), cluster)
    distance = _distance_to_centre(place, cluster, count)
    far = np.argsort(-distance, kind="stable")
    far = far[~np.isin(far, _nearest_to_centre(cluster, distance))]
    cluster[far[: len(empty)]] = empty
    return cluster


def _distance_to_centre(place: np.ndarray, cluster: np.ndarray, count: int) -> np.ndarray:
    """Distance of each cell from the mean of its cluster (cell)."""
    cells = np.maximum(1, np.bincount(cluster, minlength=count))
    squared = np.zeros(len(place))
    for feature in place.T:
        centre = np.bincount(cluster, feature, minlength=count) / cells
        squared += (feature - centre[cluster]) ** 2
    return np.asarray(np.sqrt(squared))


def _nearest_to_centre(cluster: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """The cell of each cluster that is nearest to the centre, by the number of the cluster."""
    order = np.lexsort((distance, cluster))
    return np.asarray(order[np.unique(cluster[order], return_index=True)[1]])


def _with_all_strata(
    sites: np.ndarray, cluster: np.ndarray, distance: np.ndarray, strata: Mapping[str, np.ndarray]
) -> np.ndarray:
    """Sites by cluster, some of them exchanged so that each stratum has one; rare strata come first.

    Args:
        sites: site of each cluster (cluster).
        cluster, distance: of each cell: its cluster, and how far it is from the centre (cell).
        strata: name -> True in its cells (cell).
    """
    sites, kept = sites.copy(), np.zeros(len(sites), dtype=bool)
    sizes = np.bincount(cluster)
    for members in sorted(strata.values(), key=np.count_nonzero):
        if not members.any():
            continue
        represented = members[sites]
        if not represented.any() and not kept.all():
            cells = np.flatnonzero(members)
            free = cells[~kept[cluster[cells]]]
            if len(free):
                cell = free[np.argmin(distance[free])]
                place = cluster[cell]
            else:
                # All clusters with such a cell stand for rarer strata: the smallest other one gives its site.
                cell = cells[np.argmin(distance[cells])]
                place = np.argmin(np.where(kept, len(cluster) + 1, sizes))
            sites[place], represented = cell, np.arange(len(sites)) == place
        kept[np.argmax(represented)] |= represented.any()
    return sites
