"""Where the soil of an AD run of the embedded model leads, against where the run ends."""

from __future__ import annotations

from pathlib import Path

import netCDF4
import numpy as np
import pytest

from phase_lib.config.fusion import SteadyStateSettings
from phase_lib.config.spinup import SpinupSettings
from phase_lib.elm.history import History
from phase_lib.elm.parameters import read_parameters
from phase_lib.elm.soil_budget import BUDGET_FIELDS, CONTENTS
from phase_lib.elm.spinup import design_multipliers
from phase_lib.elm.variables import SOIL_POOLS
from phase_lib.fusion.sources import open_restart
from phase_lib.fusion.steady import SemiAnalytic, read_soil_years, why_no_soil_years
from tests.helpers.semi_analytic import DZ
from tests.landmodel.conftest import SegmentFiles, SmallWorld

EVERYWHERE = slice(None)
#: Without limits by nutrients, which would change what plants bring.
PLAIN = SpinupSettings(nyears_ad_carbon_only=1000)


@pytest.fixture(scope="module")
def young(small_world: SmallWorld, tmp_path_factory: pytest.TempPathFactory) -> SegmentFiles:
    """The years 41 to 60 of an AD run, with the carbon budget of the soil year by year."""
    directory = tmp_path_factory.mktemp("young")
    first = small_world.run(directory, years=40, spinup=PLAIN)
    spinup = PLAIN.with_fields(annual=BUDGET_FIELDS)
    return small_world.run(directory, start_year=41, years=20, finidat=first.restart, spinup=spinup)


def contents(restart: Path) -> np.ndarray:
    """Carbon of the soil pools as the restart has it (pool, levdecomp, gridcell)."""
    with open_restart(restart) as source:
        soil = source.soil(EVERYWHERE)
        return np.stack([soil.mean(source.layers(pool.variable("c"), soil)[0]).T for pool in SOIL_POOLS])


def test_the_soil_of_an_ad_run_leads_to_where_the_run_ends(
    small_world: SmallWorld, young: SegmentFiles, tmp_path: Path
) -> None:
    old = small_world.run(tmp_path, start_year=61, years=240, finidat=young.restart, spinup=PLAIN)
    parameters = read_parameters(small_world.directory / "clm_params.nc")
    history = History(young.annual)
    assert why_no_soil_years(history, 61, 5) is None
    with open_restart(young.restart) as source:
        soil = source.soil(EVERYWHERE)
        row = history.rows(source.subgrid.lat[source.row], source.subgrid.lon[source.row])
        thaw, share = source.thaw(soil), source.subgrid.soil_fraction[source.row]
        scalar = soil.mean(source.layers("scalaravg_col", soil)[0])
    years = read_soil_years(history, row, share, 61, 5, parameters)
    now, end = contents(young.restart), contents(old.restart)
    factor = np.stack([*design_multipliers(parameters, 61, scalar).values()]).transpose(0, 2, 1)
    start = SemiAnalytic(SteadyStateSettings(years_on=240.0), parameters, years)
    ratios = start.ratios(EVERYWHERE, now, factor, thaw)
    for index, name in ((3, "cwd"), (6, "soil3"), (7, "soil4")):
        led = now[index] * ratios[name].T
        before, led_to, after = (np.einsum("jc,j->c", values, DZ) for values in (now[index], led, end[index]))
        alive = after > 100.0
        assert alive.sum() >= 5
        left, way = (np.abs(np.log(values[alive] / after[alive])) for values in (led_to, before))
        assert np.median(left) < 0.06, name
        assert np.median(left) < 0.4 * np.median(way), name


def test_annual_fields_of_the_soil_average_to_those_of_the_cycle(young: SegmentFiles) -> None:
    for annual, cycle in zip(young.annual, young.cycles, strict=True):
        with netCDF4.Dataset(annual) as years, netCDF4.Dataset(cycle) as whole:
            for name in CONTENTS:
                mean = np.asarray(years[name][:], dtype=np.float64).mean(axis=0)
                land = np.asarray(whole[name][0]) < 1.0e30
                assert mean[land] == pytest.approx(np.asarray(whole[name][0])[land], rel=1e-5, abs=1e-9)
