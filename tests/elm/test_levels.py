"""Coordinates of soil layers and PFTs: another order is sorted, another set is refused."""

from __future__ import annotations

from pathlib import Path

import netCDF4
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phase_lib.base.errors import InputError
from phase_lib.elm.levels import order_of_layers, order_of_pfts
from tests.helpers.restarts import raw

#: Node depths of ELM's first ten soil layers as its history files hold them, m.
NODES = np.array(
    [0.0071006, 0.027925, 0.062258, 0.118865, 0.212193, 0.366066, 0.619759, 1.038027, 1.727635, 2.864607]
)
#: Lower ends of the same layers, m.
BOTTOMS = np.array([0.0175, 0.0451, 0.0906, 0.1655, 0.2891, 0.4929, 0.8289, 1.3828, 2.2961, 3.8019])
#: Node depths of another model's first ten layers, m.
OTHER = np.array([0.01, 0.04, 0.09, 0.16, 0.26, 0.40, 0.58, 0.80, 1.06, 1.36])


def layers_of(values: np.ndarray, units: str | None = None, name: str = "levdecomp") -> np.ndarray | None:
    with netCDF4.Dataset("memory", "w", diskless=True) as d:
        d.createDimension("levdecomp", len(values))
        variable = d.createVariable(name, values.dtype, ("levdecomp",))
        if units is not None:
            variable.units = units
        variable[:] = values
        return order_of_layers("f.nc", d, "levdecomp")


@pytest.mark.parametrize(
    ("values", "units"),
    [
        (np.arange(1, 11), None),
        (np.arange(10), "index"),
        (np.arange(1.0, 11.0), "1"),
        (NODES, "m"),
        (NODES.astype("f4"), None),
        (np.round(NODES, 3), "m"),
        (100.0 * NODES, "cm"),
        (100.0 * NODES, None),
        (1000.0 * NODES, "mm"),
        (BOTTOMS, "m"),
        (np.append(0.0, BOTTOMS[:-1]), "m"),
    ],
)
@settings(max_examples=10, deadline=None)
@given(order=st.permutations(range(10)))
def test_layers_in_any_order_are_found_by_number_or_depth(
    values: np.ndarray, units: str | None, order: list[int]
) -> None:
    places = layers_of(values[order], units)
    if order == list(range(10)):
        assert places is None
    else:
        assert places is not None
        np.testing.assert_array_equal(values[order][places], values)


def test_heights_below_the_surface_are_depths() -> None:
    assert layers_of(-NODES, "m") is None
    np.testing.assert_array_equal(layers_of(-NODES[::-1], "m"), np.arange(10)[::-1])


@pytest.mark.parametrize(
    ("values", "units"),
    [
        (OTHER, "m"),
        (np.arange(2, 12), None),
        (np.arange(1.0, 11.0), "m"),
        (NODES, "cm"),
        (NODES, "Pa"),
        (np.where(np.arange(10) == 4, np.nan, NODES), "m"),
        (np.array([1, 2, 3, 4, 5, 6, 7, 8, 9, 9]), None),
        (np.zeros(10), None),
    ],
)
def test_other_layers_are_refused_by_name(values: np.ndarray, units: str | None) -> None:
    with pytest.raises(
        InputError, match=r"coordinate levdecomp does not name ELM's soil layers: .*1 to 10, or"
    ):
        layers_of(values, units)


def test_layers_may_be_named_by_a_coordinate_of_the_history() -> None:
    np.testing.assert_array_equal(layers_of(NODES[::-1], "m", name="levgrnd"), np.arange(10)[::-1])
    assert layers_of(OTHER, "m", name="something") is None


@pytest.mark.parametrize("name", ["depth", "z", "layer"])
def test_layers_may_be_named_by_what_other_tools_call_their_coordinate(name: str) -> None:
    np.testing.assert_array_equal(layers_of(NODES[::-1], "m", name=name), np.arange(10)[::-1])
    with pytest.raises(InputError, match=rf"coordinate {name} does not name ELM's soil layers"):
        layers_of(OTHER, "m", name=name)


def test_the_levels_of_a_real_history_are_in_order(elm_sample: Path) -> None:
    path = next((elm_sample / "history").glob("*.h1.*.nc"))
    with netCDF4.Dataset(path) as d:
        for dimension in ("levgrnd", "levsoi", "levdcmp"):
            assert order_of_layers(path, d, dimension) is None
    np.testing.assert_allclose(raw(path, "levsoi"), NODES, rtol=1e-4)


def pfts_of(values: np.ndarray, name: str = "natpft") -> np.ndarray | None:
    with netCDF4.Dataset("memory", "w", diskless=True) as d:
        d.createDimension("natpft", len(values))
        if values.dtype.kind == "U":
            d.createVariable(name, str, ("natpft",))[:] = values.astype(object)
        else:
            d.createVariable(name, values.dtype, ("natpft",))[:] = values
        return order_of_pfts("f.nc", d, "natpft")


def test_pfts_are_found_by_number_and_by_name() -> None:
    assert pfts_of(np.arange(17)) is None
    assert pfts_of(np.arange(15.0)) is None
    order = np.random.default_rng(3).permutation(17)
    np.testing.assert_array_equal(order[pfts_of(order)], np.arange(17))
    np.testing.assert_array_equal(order[pfts_of(order, "pft")], np.arange(17))
    names = ["Not vegetated", "needleleaf evergreen temperate tree", "needleleaf_evergreen_boreal_tree"]
    names += ["needleleaf_deciduous_boreal_tree", "broadleaf_evergreen_tropical_tree"]
    np.testing.assert_array_equal(pfts_of(np.array(names[::-1])), [4, 3, 2, 1, 0])


@pytest.mark.parametrize(
    "values",
    [
        np.arange(1, 18),
        np.append(np.arange(16), 15),
        np.append(np.arange(16.0), np.nan),
        np.arange(17) + 0.5,
        np.array(["bare", "trees", "shrubs"]),
    ],
)
def test_other_pfts_are_refused_by_name(values: np.ndarray) -> None:
    with pytest.raises(
        InputError, match=r"coordinate natpft does not name ELM's PFTs: .*expected 0 \(not_veg"
    ):
        pfts_of(values)
