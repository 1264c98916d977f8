"""What a configuration with real ELM plans: files of a domain, steps, jobs."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from phase_lib.base.errors import InputError
from phase_lib.config.loading import validate
from phase_lib.config.root import WorkflowConfig
from phase_lib.landmodel.planning import domains_of, land_model_of
from phase_lib.preflight.disk import room_for
from phase_lib.preflight.domain import DomainSummary
from tests.helpers.domain_files import write_domain

CIME = {"source": "/e3sm", "machine": "desk", "tasks": 256, "tasks_per_node": 128}
FORCING = {"product": "any", "first_year": 1901, "align_year": 1}


@pytest.fixture
def data(tmp_path: Path) -> dict[str, Any]:
    """Files of a domain, which nobody opens here."""
    names = ("domain", "surface", "params", "soil_params", "solar.1901-01", "rain.1901-01")
    for name in names:
        (tmp_path / f"{name}.nc").touch()
    files: dict[str, Any] = {name: str(tmp_path / f"{name}.nc") for name in names[:4]}
    return files | {"forcing": FORCING | {"files": [str(tmp_path / "*.1901-01.nc")]}}


@pytest.fixture
def case(data: dict[str, Any], tmp_path: Path) -> Path:
    """A case that exists, as far as it is read: the namelists and streams that CIME made."""
    documents = tmp_path / "mine" / "CaseDocs"
    documents.mkdir(parents=True)
    names = {
        "fatmlndfrc": "domain",
        "fsurdat": "surface",
        "paramfile": "params",
        "fsoilordercon": "soil_params",
    }
    lines = "".join(f" {name} = '{data[key]}'\n" for name, key in names.items())
    (documents / "lnd_in").write_text(f"&elm_inparm\n spinup_state = 1\n{lines}/\n", encoding="utf-8")
    streams = {
        "Solar": ("FSDS swdn", "solar"),
        "Precip": ("PRECTmms precn", "rain"),
        "presaero": ("a b", "x"),
    }
    listed = ",\n  ".join(f'"datm.streams.txt.{name} 1 1901 1920"' for name in ("Solar", "Precip"))
    listed += ',\n  "datm.streams.txt.presaero 1 1 1"'
    text = f"&shr_strdata_nml\n datamode = 'CLMNCEP'\n streams = {listed}\n taxmode = 'cycle', 'cycle'\n/\n"
    (documents / "datm_in").write_text(text, encoding="utf-8")
    for name, (variables, file) in streams.items():
        body = f"<variableNames>\n {variables}\n</variableNames><filePath>\n {tmp_path}\n</filePath>"
        body += f"<fileNames>\n {file}.1901-01.nc\n</fileNames>"
        content = f"<?xml version='1.0'?>\n<file id='stream'><fieldInfo>{body}</fieldInfo></file>\n"
        (documents / f"datm.streams.txt.{name}").write_text(content, encoding="utf-8")
    return documents.parent


def configured(domain: dict[str, Any], tmp_path: Path, **cime: Any) -> WorkflowConfig:
    content = {
        "run": {"results_dir": str(tmp_path / "results")},
        "land_model": {"backend": "cime"},
        "cime": CIME | cime,
        "training": {"domains": ["sites"]},
        "target": {"domain": "sites"},
        "domains": {"sites": domain},
    }
    return validate(WorkflowConfig, content, None)


def test_files_of_a_case_that_exists_are_read_from_it_and_not_typed(
    case: Path, data: dict[str, Any], tmp_path: Path
) -> None:
    config = configured({}, tmp_path, cases={"sites": str(case)})
    domain = domains_of(config)["sites"]
    for key in ("domain", "surface", "params", "soil_params"):
        assert str(getattr(domain, key)) == data[key]
    assert domain.forcing is not None
    assert (domain.forcing.first_year, domain.forcing.years, domain.forcing.align_year) == (1901, 20, 1)
    assert [path.name for path in domain.forcing.files] == ["solar.1901-01.nc", "rain.1901-01.nc"]
    assert domain.cycle == 20
    # The section `spinup` is checked against the cycle of its streams.
    content = config.model_dump(mode="json") | {"spinup": {"segment_years": 30}}
    with pytest.raises(InputError, match=r"spinup.segment_years is 30; expected a multiple of 20"):
        validate(WorkflowConfig, content, None)


def test_files_that_the_case_chooses_are_links_that_its_making_leaves(
    data: dict[str, Any], tmp_path: Path
) -> None:
    config = configured({"forcing": data["forcing"]}, tmp_path, resolution="f09_f09")
    domain, model = domains_of(config)["sites"], land_model_of(config, "sites")
    create, build = model.steps(domain)
    assert domain.surface in create.outputs
    assert domain.existing.surface is None
    assert create.name == "create_case_sites"
    assert build.inputs == create.outputs[:1]


def test_a_domain_without_forcing_and_without_a_case_is_refused(data: dict[str, Any], tmp_path: Path) -> None:
    files = {key: value for key, value in data.items() if key != "forcing"}
    with pytest.raises(InputError, match=r"domains.sites: has no forcing, and no case in cime.cases"):
        domains_of(configured(files, tmp_path))


def test_a_segment_asks_for_whole_nodes_and_for_the_time_that_its_years_take(
    data: dict[str, Any], tmp_path: Path
) -> None:
    by_domain = {"sites": {"tasks": 300, "years_per_day": 48.0}}
    config = configured(data, tmp_path, by_domain=by_domain)
    domain, model = domains_of(config)["sites"], land_model_of(config, "sites")
    [first, *_] = domain.segments(domain.chain("ad"), config.spinup)
    job = model.job("ad", first)
    assert job.local is False
    # 20 years at two an hour are 600 minutes; a quarter more, the margin, and the checks.
    asked = {"nodes": 3, "tasks": 300, "cpus_per_task": 1, "mpi": "srun", "runtime": 775, "mem_mb": 0}
    assert job.resources == asked
    assert model.cost(10).core_hours == 300 * 24 / 48.0


def test_a_segment_of_one_task_is_no_mpi_job(data: dict[str, Any], tmp_path: Path) -> None:
    # With mpi and one task Snakemake's executor refuses the job.
    config = configured(data, tmp_path, tasks=1, tasks_per_node=1)
    domain, model = domains_of(config)["sites"], land_model_of(config, "sites")
    [first, *_] = domain.segments(domain.chain("ad"), config.spinup)
    assert model.job("ad", first).resources == {"tasks": 1, "cpus_per_task": 1}


def test_stages_that_only_wait_for_the_jobs_of_cime_run_beside_snakemake(
    data: dict[str, Any], tmp_path: Path
) -> None:
    config = configured(data, tmp_path, submit="cime")
    domain, model = domains_of(config)["sites"], land_model_of(config, "sites")
    [first, *_] = domain.segments(domain.chain("ad"), config.spinup)
    assert model.job("ad", first).local
    assert all(step.job.local for step in model.steps(domain))


def test_a_key_of_a_domain_has_to_be_one_of_the_section(data: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"by_domain.sites has taks; .*did you mean tasks\?"):
        configured(data, tmp_path, by_domain={"sites": {"taks": 3}})
    with pytest.raises(
        InputError, match=r"by_domain.sites.tasks: Input should be greater than or equal to 1"
    ):
        configured(data, tmp_path, by_domain={"sites": {"tasks": 0}})


def test_the_disk_has_room_for_restarts_on_the_way_of_the_longest_segment(
    data: dict[str, Any], tmp_path: Path
) -> None:
    def whole(**cime: Any) -> float:
        config = configured(data, tmp_path, **cime)
        summary = DomainSummary("sites", trains=True, target=True, mortality_factor=None, land_cells=100)
        return room_for(config, domains_of(config), [summary]).whole

    chains = domains_of(configured(data, tmp_path))["sites"].chains
    longest = [max(b - a for a, b in pairwise(chain.boundaries)) for chain in chains]
    # Restarts every year in place of every fifth one; a set of 100 cells has 19 MB.
    more = sum(longest) * (1.0 - 1.0 / 5.0) * 19.0e6
    assert whole(restart_years=1) - whole(restart_years=5) == pytest.approx(more)


def test_the_cells_of_a_grid_are_not_known_before_its_case_is_made(
    data: dict[str, Any], tmp_path: Path
) -> None:
    config = configured({"forcing": data["forcing"]}, tmp_path, resolution="f09_f09")
    domain, model = domains_of(config)["sites"], land_model_of(config, "sites")
    assert "without sites, whose size is not known yet" in str(room_for(config, {"sites": domain}, []))
    assert domain.domain is not None
    domain.domain.parent.mkdir(parents=True)
    write_domain(domain.domain, np.array([10.0, 20.0]), np.array([30.0, 40.0]))
    assert model.world(domain).cells == 2
    assert "without" not in str(room_for(config, {"sites": domain}, []))
