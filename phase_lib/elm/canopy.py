"""Leaf area and canopy height that follow from carbon."""

from __future__ import annotations

import numpy as np

from phase_lib.elm.constants import NATPFT
from phase_lib.elm.parameters import Parameters

_STOCKING = 0.1  # stems m-2
_WOOD_DENSITY = 2.5e5  # gC m-3
_TAPER_TREE, _TAPER_SHRUB = 200.0, 10.0
#: PFTs that are shrubs in ELM by their number, whatever `woody` is in the parameter file.
SHRUBS = (9, 10, 11)


def growth_form(woody: np.ndarray) -> np.ndarray:
    """Growth form by PFT (natpft): 0 herbaceous, 1 tree, 2 shrub.

    Args:
        woody: `woody` of the parameter file (natpft); some files have 1 for shrubs, some 2.
    """
    shrub = np.isin(np.arange(len(woody)), SHRUBS)
    return np.where(woody > 0, np.where(shrub, 2, 1), 0)


def leaf_area(leafc: np.ndarray, slatop: np.ndarray, dsladlai: np.ndarray) -> np.ndarray:
    """Leaf area index (`tlai`) from leaf carbon, ELM's canopy-integrated specific leaf area.

    Args:
        leafc: leaf carbon, gC m-2.
        slatop: specific leaf area at the canopy top, m2 gC-1.
        dsladlai: its increase with leaf area, m2 gC-1; 0 for a constant one.
    """
    steep = dsladlai > 0.0
    slope = np.where(steep, dsladlai, 1.0)
    curved = slatop * np.expm1(np.where(steep, slope * leafc, 0.0)) / slope
    return np.asarray(np.maximum(0.0, np.where(steep, curved, slatop * leafc)))


def leaf_carbon(tlai: np.ndarray, slatop: np.ndarray, dsladlai: np.ndarray) -> np.ndarray:
    """Leaf carbon (gC m-2) that carries a leaf area index: the inverse of `leaf_area`; slatop > 0.

    An area below zero, which only a prediction without bounds has, gives carbon in proportion to it.
    """
    steep = (dsladlai > 0.0) & (tlai > 0.0)
    slope = np.where(steep, dsladlai, 1.0)
    return np.asarray(np.where(steep, np.log1p(tlai * slope / slatop) / slope, tlai / slatop))


def canopy_height(
    deadstemc: np.ndarray, tlai: np.ndarray, woody: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Canopy top and bottom (`htop`, `hbot`), m.

    Args:
        deadstemc: dead stem carbon in normal space, gC m-2 (multiply by the mortality factor in AD).
        tlai: leaf area index.
        woody: 0 herbaceous, 1 tree, 2 shrub.
    """
    taper = np.where(woody == 2, _TAPER_SHRUB, _TAPER_TREE)
    stem = np.maximum(deadstemc, 0.0)
    tree = np.maximum(np.cbrt(3.0 * stem * taper**2 / (np.pi * _STOCKING * _WOOD_DENSITY)), 0.01)
    top = np.where(woody > 0, tree, np.maximum(0.25, 0.25 * tlai))
    bottom = np.where(woody > 0, np.clip(top - 1.0, 0.0, 3.0), np.clip(top - 0.2, 0.0, 0.05))
    return top, bottom


def stem_carbon_of(height: np.ndarray, stocking: np.ndarray, taper: np.ndarray) -> np.ndarray:
    """Stem carbon (gC m-2) of trees and shrubs that carries a canopy top: the inverse of `canopy_height`.

    Args:
        height: `htop`, m.
        stocking: stems m-2.
        taper: height over radius of a stem.
    """
    return np.asarray(height**3 * np.pi * stocking * _WOOD_DENSITY / (3.0 * taper**2))


def stems(parameters: Parameters) -> tuple[np.ndarray, np.ndarray]:
    """Stocking (stems m-2) and taper by PFT (natpft): the parameter file's, which few have, or ELM's."""
    shrub = growth_form(parameters.per_pft("woody")) == 2
    given = parameters.pft.get("stocking")
    stocking = np.full(NATPFT, _STOCKING) if given is None else given / 1.0e4  # on file by hectare
    return stocking, parameters.pft.get("taper", np.where(shrub, _TAPER_SHRUB, _TAPER_TREE))
