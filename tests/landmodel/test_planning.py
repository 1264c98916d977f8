"""Which runs a configuration asks for: what is given is used, what is not given is run, and no more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from phase_lib.base.errors import InputError, ModelAbort
from phase_lib.config.loading import validate
from phase_lib.config.root import WorkflowConfig
from phase_lib.elm.soil_budget import BUDGET_FIELDS, SOIL_FLUXES
from phase_lib.landmodel.domain import ANNUAL_TAPE, CYCLE_TAPE, Domain, Segment
from phase_lib.landmodel.planning import domains_of, land_model_of, run_segment
from tests.landmodel.conftest import SmallWorld

INPUT = {"restart": "ad.r.nc", "history": ["ad.h0.nc"], "spinup_mortality_factor": 10.0}
LABELS = {"reference_restart": "reference.r.nc", "reference_history": ["reference.h0.nc"]}


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Any]:
    """What every run reads, and all that may be given beside it."""
    names = ["domain.nc", "surface.nc", "params.nc", "soil_params.nc", "forcing.1901-01.nc", "ad_end.r.nc"]
    for name in [*names, "ad.r.nc", "ad.h0.nc", "reference.r.nc", "reference.h0.nc"]:
        (tmp_path / name).touch()
    return {
        **{name: str(tmp_path / f"{name}.nc") for name in ("domain", "surface", "params", "soil_params")},
        "forcing": {"files": [str(tmp_path / "forcing.*.nc")], "product": "any", "first_year": 1901},
    }


def at(directory: Path, given: dict[str, Any]) -> dict[str, Any]:
    """Names of files as their places."""
    return {
        key: [str(directory / name) for name in value]
        if isinstance(value, list)
        else str(directory / value)
        if str(value).endswith(".nc")
        else value
        for key, value in given.items()
    }


def planned(content: dict[str, Any]) -> dict[str, Domain]:
    return domains_of(validate(WorkflowConfig, content, None))


def chains(domain: Domain) -> dict[str, tuple[int, ...]]:
    return {chain.case: chain.boundaries for chain in domain.chains}


def test_after_a_window_a_run_goes_on_from_its_corrected_restart() -> None:
    config = validate(WorkflowConfig, {"stabilisation": {"windows": [20, 40], "final": 40}}, None)
    domain = domains_of(config)["embedded"]
    run = Path("results/default/landmodel/injected")
    chain = domain.chain("injected")
    first, second = domain.corrections(chain, config.spinup)
    assert first.start == domain.injected
    assert first.end == run / "injected.elm.r.0041-01-01-00000.nc"
    assert first.restart == run / "corrected" / "injected.elm.r.0041-01-01-00000.nc"
    assert second.start == first.restart
    assert [path.name for path in second.history] == [
        "injected.elm.h0.0061-01-01-00000.nc",
        "injected.elm.h0.0081-01-01-00000.nc",
    ]
    segments = domain.segments(chain, config.spinup)
    assert [one.finidat for one in segments] == [domain.injected, first.restart, second.restart]
    assert (first.before, second.before) == (None, first)
    asked = [set(SOIL_FLUXES) <= set(one.spinup.history_fields) for one in segments]
    assert asked == [True, True, False]
    alone = domain.corrections(domain.chain("no_surrogate"), config.spinup)
    assert alone[0].start == domain.control
    assert [one.year for one in alone] == [41, 81]
    assert domain.corrections(domain.chain("uncorrected"), config.spinup) == []
    assert domain.segments(domain.chain("uncorrected"), config.spinup)[0].finidat == domain.injected


def test_a_run_that_goes_on_until_equilibrium_is_corrected_at_the_end_of_each_round_but_the_last() -> None:
    stabilisation = {"windows": [20], "final": 40, "until": "equilibrium", "max_years": 150}
    domain = planned({"stabilisation": stabilisation})["embedded"]
    injected = domain.chain("injected")
    assert injected.corrections == (41, 81, 121)
    assert injected.boundaries == (21, 41, 81, 121, 161)
    assert domain.chain("control").boundaries == (21, 81, 121, 161)


def test_a_corrected_reference_has_a_cycle_to_leave_ad_then_windows_and_final_years() -> None:
    content = {"reference": {"method": "corrected", "windows": [40, 20]}, "spinup": {"ad_years": 200}}
    config = validate(WorkflowConfig, content, None)
    domain = domains_of(config)["embedded"]
    chain = domain.chain("reference")
    assert chain.boundaries == (201, 221, 261, 281, 321)
    assert domain.reference_ad_restart is not None
    first, second = domain.corrections(chain, config.spinup)
    settled, window, other, final = domain.segments(chain, config.spinup)
    assert settled.finidat == domain.reference_ad_restart
    assert (first.start, first.end, window.finidat) == (settled.restart, window.restart, settled.restart)
    assert (second.start, other.finidat, final.finidat) == (first.restart, first.restart, second.restart)
    assert domain.reference_restart == final.restart
    asked = [set(SOIL_FLUXES) <= set(one.spinup.history_fields) for one in (settled, window, other, final)]
    assert asked == [False, True, True, False]
    assert not domain.is_conventional("reference")
    assert domains_of(validate(WorkflowConfig, {}, None))["embedded"].is_conventional("reference")


@pytest.mark.parametrize(
    ("reference", "fault"),
    [
        ({"windows": [30]}, "reference.windows has one of 30 years; expected multiples of 20"),
        ({"final": 20}, "reference.final is 20; expected a multiple of 20, .* at least 40"),
        ({"windows": []}, "reference.windows"),
    ],
)
def test_a_reference_that_cannot_be_corrected_or_judged_is_refused(
    reference: dict[str, Any], fault: str
) -> None:
    with pytest.raises(InputError, match=fault):
        validate(WorkflowConfig, {"reference": {"method": "corrected", **reference}}, None)


@pytest.mark.parametrize(
    ("stabilisation", "fault"),
    [
        (
            {"windows": [20, 5]},
            "windows has one of 5 years; expected multiples of 20, the forcing cycle of em",
        ),
        (
            {"final": 20},
            "final is 20; expected a multiple of 20, the forcing cycle of embedded, and at least 40",
        ),
        ({"final": 50}, "final is 50; expected a multiple of 20"),
        ({"until": "equilibrium", "max_years": 100}, "max_years is 100; expected at least 120"),
        ({"controls": ["control", "control"]}, "controls names a run twice"),
        ({"windows": [0]}, "windows"),
        ({"controls": ["nothing"]}, "controls"),
    ],
)
def test_a_schedule_that_cannot_be_judged_is_refused(stabilisation: dict[str, Any], fault: str) -> None:
    with pytest.raises(InputError, match=fault):
        validate(WorkflowConfig, {"stabilisation": stabilisation}, None)


def test_windows_that_are_a_part_of_a_cycle_are_run_only_when_asked_for() -> None:
    stabilisation = {"windows": [5, 20], "part_of_a_cycle": True}
    config = validate(WorkflowConfig, {"stabilisation": stabilisation}, None)
    domain = domains_of(config)["embedded"]
    assert domain.chain("injected").boundaries == (21, 26, 46, 86)
    short = domain.segments(domain.chain("injected"), config.spinup)[0]
    assert [path.name[16:20] for path in short.history(CYCLE_TAPE)] == ["0026"]
    corrections = domain.corrections(domain.chain("injected"), config.spinup)
    assert [(one.whole, one.before) for one in corrections] == [(False, None), (True, None)]


def test_a_land_model_that_cannot_write_the_budget_of_the_soil_is_not_asked_to_be_corrected(
    files: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        type(land_model_of(validate(WorkflowConfig, {}, None), "embedded")), "soil_budget", False
    )
    with pytest.raises(
        InputError, match="embedded does not write the carbon budget of the soil; set windows"
    ):
        planned({})
    assert "no_surrogate" not in chains(planned({"stabilisation": {"windows": []}})["embedded"])


def test_the_default_run_is_a_conventional_spin_up_and_short_runs_of_the_world_that_is_made() -> None:
    domain = planned({})["embedded"]
    assert chains(domain) == {
        "ad": (1, 21, 201, 401),
        "reference": (401, 601, 801, 1001, 1201),
        "control": (21, 141),
        "uncorrected": (21, 141),
        "no_surrogate": (21, 41, 61, 81, 101, 141),
        "injected": (21, 41, 61, 81, 101, 141),
    }
    run = Path("results/default")
    ad, reference = run / "landmodel" / "ad", run / "landmodel" / "reference"
    assert domain.restart == ad / "ad.elm.r.0021-01-01-00000.nc"
    assert domain.history == (ad / "ad.elm.h0.0021-01-01-00000.nc",)
    assert domain.soil_history == (ad / "ad.elm.h1.0002-01-01-00000.nc",)
    assert domain.reference_ad_restart == ad / "ad.elm.r.0401-01-01-00000.nc"
    assert domain.reference_restart == reference / "reference.elm.r.1201-01-01-00000.nc"
    assert domain.reference_history == (reference / "reference.elm.h0.1201-01-01-00000.nc",)
    assert domain.monthly == (run / "forcing" / "embedded" / "all.1901-1920.nc",)
    assert domain.injected == run / "restart" / "ad.elm.r.0021-01-01-00000.nc"
    assert domain.forcing is not None
    assert len(domain.forcing.files) == 3 * 12 * 20
    assert len(domain.forcing.files_of(range(1903, 1905))) == 3 * 12 * 2
    assert list(domain.existing.paths) == []
    assert all(domain.is_conventional(role) for role in ("ad", "reference"))


def test_every_segment_starts_from_the_restart_of_the_one_before() -> None:
    config = validate(WorkflowConfig, {"spinup": {"segment_years": 100}}, None)
    domain = domains_of(config)["embedded"]
    ends: set[Path] = set()
    for chain in domain.chains:
        corrected = {one.restart for one in domain.corrections(chain, config.spinup)}
        for segment in domain.segments(chain, config.spinup):
            assert segment.finidat in {*ends, None, domain.injected, domain.control, *corrected}
            assert (segment.finidat is None) == (segment.start_year == 1)
            assert len(segment.history(CYCLE_TAPE)) == segment.years / 20
            ends.add(segment.restart)
    assert domain.restart in ends
    asked = {
        segment.stage
        for chain in domain.chains
        for segment in domain.segments(chain, config.spinup)
        if {*BUDGET_FIELDS} <= {*segment.spinup.annual_fields}
    }
    assert asked == {"run_ad_0021"}
    annual = domain.segments(domain.chain("control"), config.spinup)[0].history(ANNUAL_TAPE)
    assert [path.name[:18] for path in annual[:2]] == ["control.elm.h1.002", "control.elm.h1.004"]


@pytest.mark.parametrize(
    ("given", "trains", "runs"),
    [
        ({}, False, {"ad": (1, 21), "control": (21, 61), "injected": (21, 61)}),
        (INPUT, False, {"control": (21, 61), "injected": (21, 61)}),
        (INPUT | LABELS, True, {"control": (21, 61), "injected": (21, 61)}),
        (
            INPUT,
            True,
            {"ad": (21, 201, 401), "reference": (401, 601, 801, 1001, 1201)}
            | {"control": (21, 61), "injected": (21, 61)},
        ),
        (
            INPUT | {"reference_ad_restart": "ad_end.r.nc"},
            True,
            {"reference": (401, 601, 801, 1001, 1201), "control": (21, 61), "injected": (21, 61)},
        ),
        (LABELS, True, {"ad": (1, 21), "control": (21, 61), "injected": (21, 61)}),
    ],
)
def test_what_is_given_is_used_and_what_is_not_given_is_run(
    tmp_path: Path, files: dict[str, Any], given: dict[str, Any], trains: bool, runs: dict[str, Any]
) -> None:
    here = at(tmp_path, given)
    content = {"domains": {"sites": files | here}, "target": {"domain": "sites"}}
    content |= {"stabilisation": {"windows": []}}
    domain = planned(content | {"training": {"domains": ["sites" if trains else "embedded"]}})["sites"]
    assert chains(domain) == runs
    for key in ("restart", "reference_restart", "reference_ad_restart"):
        assert (key not in domain.made) == (key in here or getattr(domain, key) is None)
        if key in here:
            assert str(getattr(domain, key)) == here[key]
    first = domain.segments(domain.chains[0], validate(WorkflowConfig, {}, None).spinup)[0]
    assert first.finidat in (None, domain.restart, domain.reference_ad_restart, domain.control)


def test_runs_of_two_domains_have_names_of_their_own(files: dict[str, Any]) -> None:
    both = planned({"domains": {"sites": files}, "target": {"domain": "sites"}})
    assert list(chains(both["embedded"])) == ["embedded_ad", "embedded_reference"]
    assert list(chains(both["sites"])) == ["ad", "control", "uncorrected", "no_surrogate", "injected"]
    assert not both["embedded"].is_conventional("ad")
    stages = [
        segment.stage
        for domain in both.values()
        for chain in domain.chains
        for segment in domain.segments(chain, validate(WorkflowConfig, {}, None).spinup)
    ]
    assert len(set(stages)) == len(stages)


def test_a_target_that_is_not_run_leaves_the_names_to_the_domain_that_gives_the_labels(
    tmp_path: Path, files: dict[str, Any]
) -> None:
    content = {"land_model": {"backend": "archive"}, "target": {"domain": "sites"}}
    both = planned(content | {"domains": {"sites": files | at(tmp_path, INPUT)}})
    assert list(chains(both["embedded"])) == ["ad", "reference"]
    assert chains(both["sites"]) == {}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            {"domains": {"sites": {"restart": None}}, "target": {"domain": "sites"}},
            r"^domains\.sites: has no domain; expected domain, surface, params, soil_params, forcing",
        )
    ],
)
def test_what_cannot_be_run_is_refused_in_one_line(content: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        planned(content)


def test_an_ad_run_that_goes_on_from_a_restart_has_its_mortality_factor(
    tmp_path: Path, files: dict[str, Any]
) -> None:
    given = files | at(tmp_path, INPUT | {"spinup_mortality_factor": 5.0})
    content = {"domains": {"sites": given}, "target": {"domain": "sites"}}
    assert planned(content)["sites"].mortality_factor == 5.0
    with pytest.raises(InputError, match=r"^domains\.sites: spinup_mortality_factor of the run .* is 5; exp"):
        planned(content | {"training": {"domains": ["sites"]}})


def test_forcing_is_divided_among_jobs(files: dict[str, Any]) -> None:
    content = {"domains": {"sites": files}, "target": {"domain": "sites"}}
    pieces = planned(content | {"fusion": {"forcing_by_variable": True, "forcing_years_per_job": 8}})["sites"]
    names = [path.name for path in pieces.monthly]
    assert len(names) == 6 * 3
    assert {"TBOT.1901-1908.nc", "TBOT.1909-1916.nc", "TBOT.1917-1920.nc"} < set(names)


def test_a_segment_whose_restart_is_of_another_date_or_mode_is_no_result(
    small_world: SmallWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = land_model_of(validate(WorkflowConfig, {}, None), "embedded")
    segment = Segment("test", "ad", 1, 20, None, small_world.domain, tmp_path)
    run_segment(model, segment)
    monkeypatch.setattr(type(model), "run", lambda *_: None)
    run_segment(model, segment)
    other = Segment("test", "normal", 1, 20, None, small_world.domain, tmp_path)
    with pytest.raises(ModelAbort, match=r"is of 0021-01-01 with spinup_state 1; expected 0021-01-01 and 0"):
        run_segment(model, other)
    segment.history(ANNUAL_TAPE)[0].unlink()
    with pytest.raises(ModelAbort, match=r"h1\..* was not written by the land model embedded"):
        run_segment(model, segment)


def test_a_field_that_the_embedded_model_does_not_have_is_refused(small_world: SmallWorld) -> None:
    config = validate(WorkflowConfig, {"spinup": {"history_fields": ["GPP", "SOIL3C_vr", "QRUNOFF"]}}, None)
    segment = Segment("test", "ad", 1, 20, None, small_world.domain, Path("nowhere"), config.spinup)
    with pytest.raises(InputError, match=r"^spinup\.history_fields: QRUNOFF is no field of the embedded"):
        land_model_of(config, "embedded").run(segment)


def test_a_restart_of_elm_that_the_embedded_model_would_have_to_go_on_from_is_found_before_anything_runs(
    files: dict[str, Any], elm_sample: Path, tmp_path: Path
) -> None:
    given = files | at(tmp_path, INPUT) | {"restart": str(elm_sample / "ad20.elm.r.0021-01-01-00000.nc")}
    content = {"domains": {"sites": given}, "target": {"domain": "sites"}, "training": {"domains": ["sites"]}}
    config = validate(WorkflowConfig, content, None)
    [fault] = land_model_of(config, "sites").check(domains_of(config)["sites"].existing, [])
    assert "has 100 landunits on 24 cells; expected one a cell" in str(fault)
