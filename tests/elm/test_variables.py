"""The registry of restart variables against a restart that ELM wrote, and against what ELM does with them."""

from __future__ import annotations

from pathlib import Path

import netCDF4
import pytest

from phase_lib.elm.constants import EVERGREEN_PFTS, WOODY_PFTS
from phase_lib.elm.other_pools import other_pools
from phase_lib.elm.parameters import read_parameters
from phase_lib.elm.variables import COLUMN_TOTALS, HEADLINE, POOL_VARIABLES, TOTVEGC_POOLS, VARIABLES

RESTART = "ad20.elm.r.0021-01-01-00000.nc"
#: Sums that ELM does not write in each configuration.
NOT_ALWAYS_WRITTEN = {"totlitn", "totsomn", "cwdc", "cwdn"}


def test_every_registered_variable_is_in_the_real_restart_with_its_dimensions(elm_sample: Path) -> None:
    with netCDF4.Dataset(elm_sample / RESTART) as d:
        dims = {name: variable.dimensions for name, variable in d.variables.items()}
    assert VARIABLES.keys() - dims.keys() == NOT_ALWAYS_WRITTEN
    for name in VARIABLES.keys() & dims.keys():
        assert VARIABLES[name].dims == dims[name], name
    assert len(POOL_VARIABLES) == 6 * 9 + 8 + 8 * 3 + 3 + 5
    assert set(HEADLINE.values()) <= VARIABLES.keys()


def test_no_pool_of_the_real_restart_is_beside_the_registry(elm_sample: Path) -> None:
    with netCDF4.Dataset(elm_sample / RESTART) as d:
        fields = {name: v.dimensions for name, v in d.variables.items() if v.dtype.kind == "f"}
    assert other_pools(fields).unknown == ()


def test_values_of_the_real_restart_lie_in_their_plausible_ranges(elm_sample: Path) -> None:
    with netCDF4.Dataset(elm_sample / RESTART) as d:
        d.set_auto_maskandscale(False)
        for name in VARIABLES.keys() & d.variables.keys():
            low, high = VARIABLES[name].plausible
            values = d[name][:]
            values = values[abs(values) < 1.0e35]
            assert low - 1.0e-3 <= values.min(initial=high), name
            assert values.max(initial=low) <= high, name


def test_pools_in_ad_space_are_those_that_leaving_ad_multiplies() -> None:
    by_rate = {name for name, entry in VARIABLES.items() if entry.accelerated == "decomposition"}
    by_mortality = {name for name, entry in VARIABLES.items() if entry.accelerated == "mortality"}
    assert by_rate == {f"{pool}{element}_vr" for pool in ("cwd", "soil3", "soil4") for element in "cnp"}
    assert by_mortality == {f"dead{organ}{element}" for organ in ("stem", "croot") for element in "cnp"}


def test_totals_sum_what_elm_sums() -> None:
    assert {"cpool", "gresp_storage", "gresp_xfer", "leafc", "deadcrootc_xfer"} < set(TOTVEGC_POOLS)
    assert len(TOTVEGC_POOLS) == 6 * 3 + 3
    assert "xsmrpool" not in TOTVEGC_POOLS
    assert COLUMN_TOTALS["totlitp"] == ("litr1p_vr", "litr2p_vr", "litr3p_vr")
    assert COLUMN_TOTALS["totsomc"] == ("soil1c_vr", "soil2c_vr", "soil3c_vr", "soil4c_vr")
    assert COLUMN_TOTALS["cwdn"] == ("cwdn_vr",)


def test_what_may_be_negative_is_a_debt_a_sink_or_a_balance() -> None:
    signed = {name for name, entry in VARIABLES.items() if entry.signed}
    sinks = {name for element in "cnp" for name in (f"pft_{element}trunc", f"col_{element}trunc_vr")}
    assert signed == {"xsmrpool", "annsum_npp", *sinks}


@pytest.mark.parametrize(("parameter", "pfts"), [("woody", WOODY_PFTS), ("evergreen", EVERGREEN_PFTS)])
def test_woody_and_evergreen_pfts_are_those_of_elms_parameters(
    elm_sample: Path, parameter: str, pfts: tuple[int, ...]
) -> None:
    values = read_parameters(elm_sample / "clm_params_c211124.nc").per_pft(parameter)
    assert tuple(i for i, value in enumerate(values) if value > 0) == pfts
