"""PFT cover by rule.

Four factors: how common a type is in the Koeppen classes of the cell (table `koeppen_vegetation`), how well
the climate of the cell's forcing point suits it (bioclimatic limits in the manner of the equilibrium
vegetation models), where on Earth it lives beyond what climate says (larch in Siberia), and smooth seeded
noise. Crops take a share in the world's farming regions where it is warm and moist enough. The climate is
that of the forcing point, not of the cell, so that no forest stands in a desert's weather.
"""

from __future__ import annotations

import numpy as np

from phase_lib.elm.constants import NATPFT
from phase_lib.landmodel.embedded.world.climate import Bioclimate
from phase_lib.landmodel.embedded.world.geography import by_class, mean_over_classes
from phase_lib.landmodel.embedded.world.noise import smooth_field

#: Covers below this are set to zero, percent.
MIN_COVER = 2.0
#: Types in one cell, bare ground included.
MAX_TYPES = 8

_NATURAL = np.arange(1, 15)
_CROP, _IRRIGATED = 15, 16

#: Bioclimatic limits of types 1 to 14: coldest month low and high, warmest month low and high (degrees
#: Celsius), growing degree days low and high (K d), moisture low and high. A bound of +-inf does not limit.
_INF = np.inf
_LIMITS = np.array(
    [
        (-14, 16, 13, 30, 900, _INF, 0.50, _INF),  # 1 needleleaf evergreen temperate tree
        (-34, -2, 10, 22, 350, 2200, 0.50, _INF),  # 2 needleleaf evergreen boreal tree
        (-_INF, -17, 10, 22, 300, 1600, 0.40, _INF),  # 3 needleleaf deciduous boreal tree
        (15.5, _INF, 20, _INF, 2500, _INF, 0.80, _INF),  # 4 broadleaf evergreen tropical tree
        (1.5, 19.5, 13, 30, 1200, _INF, 0.55, _INF),  # 5 broadleaf evergreen temperate tree
        (15, _INF, 20, _INF, 2500, _INF, 0.40, 1.8),  # 6 broadleaf deciduous tropical tree
        (-17, 14, 15, 30, 1200, _INF, 0.55, _INF),  # 7 broadleaf deciduous temperate tree
        (-36, -2, 10, 23, 350, 2600, 0.55, _INF),  # 8 broadleaf deciduous boreal tree
        (-2, _INF, 14, _INF, 1200, _INF, 0.08, 0.95),  # 9 broadleaf evergreen shrub
        (-22, _INF, 14, _INF, 1000, _INF, 0.08, 0.90),  # 10 broadleaf deciduous temperate shrub
        (-_INF, -3, 4, 20, 30, 1500, 0.25, _INF),  # 11 broadleaf deciduous boreal shrub
        (-_INF, -4, 0.5, 19, -1, 1300, 0.20, _INF),  # 12 arctic C3 grass
        (-25, 16, 9, 30, 500, _INF, 0.15, _INF),  # 13 C3 grass
        (8, _INF, 21, _INF, 2500, _INF, 0.10, 1.9),  # 14 C4 grass
    ]
)
#: Width of each limit: where suitability goes from 0.1 to 0.9.
_WIDTHS = np.array([2.5, 2.5, 2.0, 2.0, 250.0, 300.0, 0.14, 0.25])
#: A type that its class does not know is still possible where the climate suits it, percent.
_ELSEWHERE = 0.6

#: Farming regions: latitude, longitude, half widths (degrees), share of the vegetated ground, irrigated part.
_FARMING = np.array(
    [
        (50, 12, 6, 14, 0.58, 0.00),  # Europe
        (51, 38, 4, 14, 0.50, 0.00),  # Ukraine, southern Russia
        (54, 66, 3, 14, 0.32, 0.00),  # Kazakh steppe
        (40, -4, 4, 6, 0.35, 0.25),  # Iberia
        (42, -91, 5, 7, 0.66, 0.00),  # corn belt
        (37, -98, 7, 5, 0.40, 0.20),  # Great Plains
        (51, -107, 3, 8, 0.45, 0.00),  # Canadian prairie
        (38, -120, 3, 3, 0.30, 0.60),  # California
        (33, -86, 4, 7, 0.22, 0.05),  # south-eastern United States
        (27, 78, 5, 8, 0.66, 0.35),  # Ganges plain
        (30, 71, 4, 4, 0.45, 0.75),  # Indus
        (18, 77, 6, 4, 0.48, 0.15),  # Deccan
        (35, 115, 5, 6, 0.62, 0.35),  # North China plain
        (28, 113, 4, 7, 0.32, 0.40),  # South China
        (45, 125, 4, 6, 0.42, 0.05),  # Manchuria
        (14, 102, 5, 6, 0.38, 0.25),  # south-east Asia
        (-34, -61, 5, 5, 0.52, 0.00),  # Pampas
        (-22, -50, 6, 6, 0.28, 0.00),  # southern Brazil
        (-33, 145, 3, 8, 0.28, 0.12),  # south-eastern Australia
        (-32, 118, 3, 3, 0.28, 0.00),  # south-western Australia
        (12, 0, 3, 14, 0.26, 0.00),  # West Africa
        (9, 38, 4, 5, 0.22, 0.00),  # Ethiopia
        (29, 31, 3, 3, 0.30, 0.85),  # Nile
        (-28, 28, 4, 4, 0.25, 0.05),  # Highveld
        (38, 35, 3, 8, 0.30, 0.15),  # Anatolia
        (36, 60, 6, 8, 0.10, 0.70),  # oases of Central Asia
        (42, 66, 4, 8, 0.14, 0.70),  # Aral basin
    ]
)


def pft_cover(
    lat: np.ndarray,
    lon: np.ndarray,
    zones: np.ndarray,
    classes: tuple[str, ...],
    climate: Bioclimate,
    seed: int,
) -> np.ndarray:
    """Cover of each PFT in each cell (n, 17), percent, summing to 100.

    Args:
        lat: cells (n), degrees.
        lon: cells (n), degrees.
        zones: Koeppen class shares (n, classes).
        classes: class names.
        climate: at the forcing point of each cell.
        seed: seed of the world.
    """
    common = mean_over_classes(zones, by_class("koeppen_vegetation", classes).to_numpy())
    weight = (common + _ELSEWHERE) * _suitability(climate) * _whereabouts(lat, lon)
    for position, pft in enumerate(_NATURAL):
        patchy = 0.55 * smooth_field(seed, f"cover.{pft}", lat, lon, 1100.0)
        patchy = patchy + 0.35 * smooth_field(seed, f"cover.fine.{pft}", lat, lon, 250.0)
        weight[:, position] *= np.exp(patchy)
    vegetated = _vegetated_share(lat, lon, zones[:, classes.index("EF")], climate, seed)
    farmed, irrigated = _farming(lat, lon, climate, seed)
    cover = np.zeros((len(lat), NATPFT))
    sums = weight.sum(axis=1, keepdims=True)
    natural = weight / np.where(sums > 0.0, sums, 1.0)
    cover[:, _NATURAL] = natural * (vegetated * (1.0 - farmed - irrigated))[:, None]
    cover[:, _CROP] = vegetated * farmed
    # Irrigation greens dry ground too.
    cover[:, _IRRIGATED] = irrigated * np.maximum(vegetated, 0.25)
    return _tidy(100.0 * cover)


def _ramp(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Smooth step from 0 at `low` to 1 at `high`."""
    t = np.clip((values - low) / (high - low), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def _suitability(climate: Bioclimate) -> np.ndarray:
    """How well the climate suits types 1 to 14 (n, 14), 0 to 1."""
    variables = (climate.coldest, climate.warmest, climate.growing_degree_days, climate.moisture)
    result = np.ones((len(climate.coldest), len(_LIMITS)))
    for number, values in enumerate(variables):
        low, high = _LIMITS[:, 2 * number], _LIMITS[:, 2 * number + 1]
        steep_low, steep_high = 4.4 / _WIDTHS[2 * number], 4.4 / _WIDTHS[2 * number + 1]
        result /= 1.0 + np.exp(np.clip(steep_low * (low - values[:, None]), -60.0, 60.0))
        result /= 1.0 + np.exp(np.clip(steep_high * (values[:, None] - high), -60.0, 60.0))
    # Evergreen tropical trees need rain through most of the year; deciduous ones make use of a dry season.
    dry = climate.dry_months
    result[:, 3] *= 1.0 - 0.85 * _ramp(dry, 3.0, 6.0)
    result[:, 5] *= 0.35 + 0.65 * _ramp(dry, 0.0, 3.0)
    return result


def _whereabouts(lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
    """Where a type lives beyond what climate says (n, 14): larch rules Siberia, eucalypts Australia."""
    east = lon % 360.0
    siberia = _ramp(east, 78.0, 104.0) * (1.0 - _ramp(east, 170.0, 190.0)) * (lat > 40.0)
    factor = np.ones((len(lat), len(_NATURAL)))
    factor[:, 2] = 0.35 + 3.6 * siberia
    factor[:, 1] = 1.0 - 0.75 * siberia
    australia = (lat < -10.0) & (east > 110.0) & (east < 156.0)
    factor[:, 4] = np.where(australia, 3.5, 1.0)
    factor[:, 6] = np.where(australia, 0.3, 1.0)
    return factor


def _vegetated_share(
    lat: np.ndarray, lon: np.ndarray, ice: np.ndarray, climate: Bioclimate, seed: int
) -> np.ndarray:
    """Share of ground with plants (n): grows with moisture and warmth, none on ice."""
    moist = 0.99 * _ramp(climate.moisture + 0.03 * smooth_field(seed, "bare", lat, lon, 500.0), 0.03, 0.42)
    warm = _ramp(climate.warmest, 0.0, 9.0)
    return np.asarray(moist * warm * (1.0 - ice))


def _farming(
    lat: np.ndarray, lon: np.ndarray, climate: Bioclimate, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Rain-fed and irrigated shares of the vegetated ground (n each)."""
    crop, irrigated = np.zeros(len(lat)), np.zeros(len(lat))
    for centre_lat, centre_lon, north, east, share, watered in _FARMING:
        across = (lon - centre_lon + 180.0) % 360.0 - 180.0
        here = share * np.exp(-0.5 * (((lat - centre_lat) / north) ** 2 + (across / east) ** 2))
        crop = np.maximum(crop, here * (1.0 - watered))
        irrigated = np.maximum(irrigated, here * watered)
    patchy = np.exp(0.3 * smooth_field(seed, "cover.crop", lat, lon, 600.0))
    warm = _ramp(climate.growing_degree_days, 700.0, 1500.0)
    moist = _ramp(climate.moisture, 0.15, 0.45)
    return np.clip(crop * patchy, 0.0, 0.72) * warm * moist, np.clip(irrigated * patchy, 0.0, 0.25) * warm


def _tidy(cover: np.ndarray) -> np.ndarray:
    """Leaves the rest bare, drops covers below the least one and the rarest types; sums are 100."""
    cover[:, 0] = np.maximum(100.0 - cover.sum(axis=1), 0.0)
    rank = np.argsort(np.argsort(-cover, axis=1, kind="stable"), axis=1, kind="stable")
    kept = np.where((cover >= MIN_COVER) & (rank < MAX_TYPES), cover, 0.0)
    kept *= 100.0 / kept.sum(axis=1, keepdims=True)
    # The last bits of the sum go to the largest cover.
    kept[np.arange(len(kept)), kept.argmax(axis=1)] += 100.0 - kept.sum(axis=1)
    return kept
