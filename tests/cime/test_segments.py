"""Segments of the backend in the stand-in for E3SM, compared with what the embedded model itself writes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest

from phase_lib.base.errors import InputError, ModelAbort
from phase_lib.cli import main
from phase_lib.elm.domain import read_domain
from phase_lib.elm.soil_budget import BUDGET_FIELDS
from phase_lib.forcing.reduce import reduce_forcing
from phase_lib.landmodel.cime.cases import Cases
from phase_lib.landmodel.cime.running import Run, _begin
from phase_lib.landmodel.cime.state import require_as_read
from phase_lib.landmodel.domain import ANNUAL_TAPE, CYCLE_TAPE, Segment
from phase_lib.landmodel.embedded.segment import run_segment as run_embedded
from tests.cime.conftest import CYCLE, WORLD, Desk
from tests.helpers.layouts import contents


@pytest.fixture(scope="module")
def monthly(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Monthly means of the forcing, for the embedded model itself."""
    path = tmp_path_factory.mktemp("monthly") / "monthly.nc"
    files = sorted((world / "forcing").glob("*.nc"))
    cells, limit = read_domain(world / "domain.lnd.nc"), WORLD.forcing_limit_km
    reduce_forcing(files, cells, path, first_year=1901, years=CYCLE, limit_km=limit)
    return path


@pytest.fixture(scope="module")
def first(built: Desk) -> Segment:
    """The first cycle of AD."""
    return built.run(built.segment("first", "ad", 1, CYCLE, None))


@pytest.fixture(scope="module")
def normal(built: Desk, first: Segment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The restart of the first cycle, taken to normal mode by the injection."""
    path = tmp_path_factory.mktemp("normal") / first.restart.name
    files = built.domain
    words = ["inject", "--restart", first.restart, "--surface", files.surface, "--params", files.params]
    words += ["--soil-params", files.soil_params, "--mortality-factor", "10", "--output", path]
    words += ["--report", path.with_suffix(".json")]
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words])
    assert not end.value.code
    return path


def change(owner: Any, **changes: object) -> Any:
    """A frozen object with other values."""
    return replace(owner, **changes)


def embedded(segment: Segment, monthly: Path) -> Segment:
    """The same segment for the embedded model, which reads monthly means."""
    return change(segment, domain=change(segment.domain, monthly=(monthly,)))


def assert_equal(one: Path, other: Path) -> None:
    """All variables of `other` are the same, to the last bit."""
    here, there = contents(one), contents(other)
    for name in there:
        assert here[name].tobytes() == there[name].tobytes(), f"{one.name}: {name}"


def test_a_run_of_two_segments_writes_what_the_model_inside_writes(
    built: Desk, first: Segment, monthly: Path, tmp_path: Path
) -> None:
    second = built.run(built.segment("first", "ad", 1 + CYCLE, 2 * CYCLE, first.restart))
    whole = embedded(built.segment("first", "ad", 1, 3 * CYCLE, None), monthly)
    whole = change(whole, directory=tmp_path)
    run_embedded(whole, WORLD)
    assert_equal(second.restart, whole.restart)
    for tape in (CYCLE_TAPE, ANNUAL_TAPE):
        made = [*first.history(tape), *second.history(tape)]
        assert [path.name for path in made] == [path.name for path in whole.history(tape)]
        for one, other in zip(made, whole.history(tape), strict=True):
            here, there = contents(one), contents(other)
            for name in here.keys() & there.keys() - {"time", "time_bounds"}:
                assert here[name].tobytes() == there[name].tobytes(), f"{one.name}: {name}"
    # The run went on as one, in one case.
    status = (built.case("first") / "CaseStatus").read_text(encoding="utf-8")
    assert status.count("case.run success") == 2
    assert "CONTINUE_RUN --val TRUE" in (built.case("first") / "replay.sh").read_text(encoding="utf-8")
    # Begun again, the second goes on from the end of the first, whatever the run directory holds.
    cases = Cases(built.case("base").parent, built.settings, "sites")
    again = Run(second, cases.clone("first"), cases)
    assert str(again.files.restart_set().date) == "0007-01-01"
    _begin(again)
    assert str(again.files.restart_set().date) == "0003-01-01"


def test_all_runs_share_one_executable_and_the_namelists_say_what_the_protocol_wants(
    built: Desk, first: Segment, normal: Path
) -> None:
    injected = built.run(built.segment("taken", "normal", 3, CYCLE, normal))
    exe = [json.loads(built.case("base").with_name("built.json").read_text(encoding="utf-8"))["executable"]]
    for case in ("first", "taken"):
        text = (built.case(case) / "env_build.xml").read_text(encoding="utf-8")
        assert str(Path(exe[0]).parent) in text
    lines = {
        case: (built.case(case) / "CaseDocs" / "lnd_in").read_text(encoding="utf-8")
        for case in ("first", "taken")
    }
    for wanted in ("spinup_state = 1", "suplphos = 'ALL'", "nyears_ad_carbon_only = 1"):
        assert wanted in lines["first"]
    for wanted in ("suplphos = 'NONE'", "spinup_mortality_factor = 10", f"finidat = '{normal}'"):
        assert wanted in lines["taken"]
    assert "spinup_state = 1" not in lines["taken"]
    assert injected.restart.is_file()


def test_a_segment_with_other_tapes_is_a_new_start_from_the_restart_of_the_one_before(
    built: Desk, first: Segment
) -> None:
    asked = built.segment("other", "ad", 1, CYCLE, None, annual_fields=list(BUDGET_FIELDS))
    before = built.run(asked)
    after = built.run(built.segment("other", "ad", 1 + CYCLE, CYCLE, before.restart))
    with_budget, without = contents(before.history(ANNUAL_TAPE)[0]), contents(after.history(ANNUAL_TAPE)[0])
    assert set(BUDGET_FIELDS) <= with_budget.keys()
    assert not set(BUDGET_FIELDS) & without.keys()
    assert len(without["time"]) == CYCLE
    assert np.all(np.diff(without["time_bounds"], axis=1) == 365.0)


def test_a_restart_that_the_model_changed_as_it_read_it_is_found_by_the_first_sample(
    built: Desk, normal: Path, tmp_path: Path
) -> None:
    segment = built.run(built.segment("seen", "normal", 3, CYCLE, normal))
    states = sorted(built.files("seen").glob("seen.elm.h2.*.nc"))
    require_as_read(normal, states)
    other = tmp_path / normal.name
    other.write_bytes(normal.read_bytes())
    with netCDF4.Dataset(other, "r+") as restart:
        restart["soil4c_vr"][...] *= 1.1
    with pytest.raises(ModelAbort, match=r"TOTSOMC at lat .* so converted or replaced something"):
        require_as_read(other, states)
    assert segment.restart.is_file()


def test_a_restart_of_another_date_or_mode_is_refused_before_anything_runs(
    built: Desk, first: Segment
) -> None:
    with pytest.raises(InputError, match=r"is of 0003-01-01; expected 0005-01-01"):
        built.run(built.segment("wrong", "ad", 5, CYCLE, first.restart))
    with pytest.raises(InputError, match="ELM would divide by a scalaravg_col that is not finished"):
        built.run(built.segment("wrong", "normal", 3, CYCLE, first.restart))
    assert not list(built.files("wrong").glob("*.log.*"))


def test_a_segment_that_is_no_part_of_a_cycle_and_no_whole_cycles_is_refused(built: Desk) -> None:
    with pytest.raises(InputError, match="a segment of 3 years with a forcing cycle of 2"):
        built.run(built.segment("uneven", "ad", 1, 3, None))
