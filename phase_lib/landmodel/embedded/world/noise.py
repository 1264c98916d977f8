"""Gaussian noise that is smooth on the sphere and the same whatever grid asks for it.

A field is a sum of plane waves through the unit sphere, f(x) = K^-1/2 sum_k a_k cos(w_k x) + b_k sin(w_k x),
with w_k drawn for a correlation length and a_k, b_k standard normal: zero mean, unit variance at every
point, correlation exp(-d^2 / 2 l^2) at chord d (random Fourier features; Rahimi and Recht 2007). Because
the waves do not know the grid, a finer grid or a box sees the same world. Fields that change in time let
a_k, b_k follow AR(1) processes.
"""

from __future__ import annotations

import math
import zlib

import numpy as np
from scipy.signal import lfilter

from phase_lib.elm.constants import DAYS_PER_YEAR, EARTH_RADIUS_KM
from phase_lib.elm.matching import unit_vectors

#: Waves per field.
MODES = 64


def generator(seed: int, name: str, *keys: int) -> np.random.Generator:
    """A random generator for one purpose, independent of all others of the same seed."""
    return np.random.default_rng([seed, zlib.crc32(name.encode()), *keys])


def waves(seed: int, name: str, lat: np.ndarray, lon: np.ndarray, length_km: float) -> np.ndarray:
    """Values of the waves at points, (2 MODES, n), float32; unit coefficients give unit variance.

    Args:
        seed: seed of the world.
        name: what the noise is for; other names give independent waves.
        lat: points (n), degrees.
        lon: points (n), degrees.
        length_km: correlation length.
    """
    frequency = generator(seed, name + ".waves").normal(size=(MODES, 3)) * (EARTH_RADIUS_KM / length_km)
    phase = np.einsum("kx,nx->kn", frequency, unit_vectors(lat, lon))
    return (np.concatenate([np.cos(phase), np.sin(phase)]) / math.sqrt(MODES)).astype(np.float32)


def smooth_field(seed: int, name: str, lat: np.ndarray, lon: np.ndarray, length_km: float) -> np.ndarray:
    """A constant field at points (n): zero mean and unit variance over seeds."""
    coefficients = generator(seed, name).normal(size=2 * MODES)
    return np.asarray(np.einsum("k,kn->n", coefficients, waves(seed, name, lat, lon, length_km)))


def daily_coefficients(seed: int, name: str, year: int, previous: int, memory_days: float) -> np.ndarray:
    """Wave coefficients of each day of a year: (365, 2 MODES), float32, AR(1) with unit variance.

    The innovations of a year depend on the seed and the year alone, and the process runs in through those of
    the previous year: the record is continuous, and years can be made in any order.

    Args:
        seed: seed of the world.
        name: what the noise is for.
        year: year wanted.
        previous: year before it in the cycle.
        memory_days: e-folding time of the process.
    """
    innovations = np.concatenate(
        [generator(seed, name, which).normal(size=(DAYS_PER_YEAR, 2 * MODES)) for which in (previous, year)]
    )
    rho = math.exp(-1.0 / memory_days)
    state = lfilter([math.sqrt(1.0 - rho * rho)], [1.0, -rho], innovations, axis=0)
    return state[DAYS_PER_YEAR:].astype(np.float32)
