"""Soils by rule: order, texture, organic matter, colour, phosphorus.

The order is drawn cell by cell from the shares that the Koeppen classes of the cell give (table
`koeppen_soil`), with noise that is smooth in space, so that orders form regions. Everything else starts from
the order's values (table `soil_orders`) and varies smoothly with seeded noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from phase_lib.elm.soil_grid import NLEVDECOMP, ZSOI
from phase_lib.elm.spinup import MINERAL_P_DEPTH_M
from phase_lib.elm.variables import SURFACE_P
from phase_lib.landmodel.embedded.world.geography import by_class, mean_over_classes, read_table
from phase_lib.landmodel.embedded.world.noise import smooth_field

_ORGANIC_MAX = 130.0
#: Largest share of the sorption maximum that labile P may take, so that solution P stays positive and finite.
_SORPTION_LIMIT = 0.6


@dataclass(frozen=True)
class Soil:
    """Soils of cells (n).

    Attributes:
        order: index of the soil order, int.
        sand, clay: (10, n), percent.
        organic: organic matter density (10, n), kg m-3.
        color: ELM's soil colour class, int.
        phosphorus: map of the surface file -> gP m-2 in the top 50 cm (n).
        fmax: largest saturated fraction (n).
    """

    order: np.ndarray
    sand: np.ndarray
    clay: np.ndarray
    organic: np.ndarray
    color: np.ndarray
    phosphorus: dict[str, np.ndarray]
    fmax: np.ndarray


def make_soil(
    lat: np.ndarray, lon: np.ndarray, zones: np.ndarray, classes: tuple[str, ...], seed: int
) -> Soil:
    """Soils of cells (n) from the Koeppen class shares (n, classes)."""
    order = _draw_order(lat, lon, zones, classes, seed)
    table = read_table("soil_orders").iloc[order]
    smax = table["smax"].to_numpy()

    def noise(name: str, length_km: float = 600.0) -> np.ndarray:
        return smooth_field(seed, f"soil.{name}", lat, lon, length_km)

    sand = np.clip(table["sand"].to_numpy() + 8.0 * noise("sand"), 4.0, 94.0)
    clay = np.clip(table["clay"].to_numpy() + 6.0 * noise("clay"), 3.0, 70.0)
    scale = np.minimum(96.0 / (sand + clay), 1.0)
    depth = ZSOI[:NLEVDECOMP, None]
    illuviation = 4.0 * (1.0 - np.exp(-depth / 0.4))
    sand, clay = sand * scale, clay * scale
    top = np.clip(table["organic"].to_numpy() * np.exp(0.28 * noise("organic")), 0.0, _ORGANIC_MAX)
    # Organic soils are organic all the way down; the others lose it within the root zone.
    length = np.where(np.isin(order, (2, 3)), 0.8, 0.3)
    organic = np.where(depth < 1.2, top * np.exp(-depth / length), 0.0)
    phosphorus = {
        name: table[name.lower()].to_numpy() * np.exp(0.25 * noise(name, 500.0)) for name in SURFACE_P
    }
    phosphorus["LABILE_P"] = np.minimum(phosphorus["LABILE_P"], _SORPTION_LIMIT * smax * MINERAL_P_DEPTH_M)
    return Soil(
        order=order,
        sand=np.maximum(sand - illuviation, 1.0),
        clay=np.minimum(clay + illuviation, 99.0 - np.maximum(sand - illuviation, 1.0)),
        organic=organic,
        color=np.clip(np.rint(table["color"].to_numpy() + 1.2 * noise("color")), 1, 20).astype(np.int32),
        phosphorus=phosphorus,
        fmax=np.clip(0.36 + 0.07 * noise("fmax"), 0.1, 0.7),
    )


def _draw_order(
    lat: np.ndarray, lon: np.ndarray, zones: np.ndarray, classes: tuple[str, ...], seed: int
) -> np.ndarray:
    """Soil order (n), drawn with the classes' probabilities by the Gumbel-max rule on smooth noise."""
    table = by_class("koeppen_soil", classes)
    share = mean_over_classes(zones, table.to_numpy())
    best = np.full(len(lat), -np.inf)
    order = np.zeros(len(lat), dtype=np.int32)
    for position in range(table.shape[1]):
        regional = smooth_field(seed, f"soil.order.{position}", lat, lon, 900.0)
        local = smooth_field(seed, f"soil.order.local.{position}", lat, lon, 250.0)
        uniform = np.clip(ndtr(np.sqrt(0.6) * regional + np.sqrt(0.4) * local), 1e-12, 1.0 - 1e-12)
        with np.errstate(divide="ignore"):
            score = np.log(share[:, position]) - np.log(-np.log(uniform))
        better = score > best
        best = np.where(better, score, best)
        order = np.where(better, position + 1, order)
    return order
