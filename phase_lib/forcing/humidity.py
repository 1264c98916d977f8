"""Specific humidity from relative humidity or dew point, as DATM computes it for ELM.

Saturation vapour pressure by the polynomials of Lowe (1977, J. Appl. Meteor. 16, 100-103), over ice where the
air is below freezing; q = 0.622 e / (p - 0.378 e). All of it is far from linear, so it is done step by step
and averaged afterwards.
"""

from __future__ import annotations

import numpy as np

from phase_lib.elm.constants import TFRZ

#: hPa and powers of degrees Celsius, constant first.
_WATER = (
    6.107799961, 4.436518521e-1, 1.428945805e-2, 2.650648471e-4, 3.031240396e-6, 2.034080948e-8,
    6.136820929e-11,
)  # fmt: skip
_ICE = (
    6.109177956, 5.034698970e-1, 1.886013408e-2, 4.176223716e-4, 5.824720280e-6, 4.838803174e-8,
    1.838826904e-10,
)  # fmt: skip
#: The polynomials hold between -50 and 50 degrees Celsius; DATM keeps the argument there.
_LIMIT = 50.0


def vapour_pressure(temperature: np.ndarray, air: np.ndarray) -> np.ndarray:
    """Saturation vapour pressure.

    Args:
        temperature: K; the air's own, or its dew point.
        air: temperature of the air, K: below freezing the pressure is that over ice.

    Returns:
        Pa; NaN where an argument is.
    """
    celsius = np.clip(temperature - TFRZ, -_LIMIT, _LIMIT)
    water, ice = (np.polynomial.polynomial.polyval(celsius, c) for c in (_WATER, _ICE))
    return 100.0 * np.where(air < TFRZ, ice, water) + 0.0 * air


def specific_humidity(vapour: np.ndarray, pressure: np.ndarray) -> np.ndarray:
    """Specific humidity (kg/kg) of air with a vapour pressure and a pressure, both Pa."""
    return 0.622 * vapour / (pressure - 0.378 * vapour)


def from_relative_humidity(relative: np.ndarray, air: np.ndarray, pressure: np.ndarray) -> np.ndarray:
    """Specific humidity (kg/kg) from relative humidity (%), air temperature (K) and pressure (Pa)."""
    return specific_humidity(0.01 * relative * vapour_pressure(air, air), pressure)


def from_dew_point(dew_point: np.ndarray, air: np.ndarray, pressure: np.ndarray) -> np.ndarray:
    """Specific humidity (kg/kg) from dew point (K), air temperature (K) and pressure (Pa)."""
    return specific_humidity(vapour_pressure(dew_point, air), pressure)
