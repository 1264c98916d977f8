"""The workflow with the backend of CIME on SLURM: segments as jobs of Snakemake, and as jobs of CIME."""

from __future__ import annotations

import gzip
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from phase_lib.elm.calendar import restart_name
from tests.cime.conftest import CYCLE, WORLD, world  # noqa: F401
from tests.cime.double import CLUSTER, lay_out
from tests.helpers.layouts import contents
from tests.helpers.streams import write_streams
from tests.slurm.cluster import Cluster, Job
from tests.slurm.conftest import OVERLAY, ClusterRun, new_user, submitted

pytestmark = pytest.mark.slurm

#: Domains: one runs on two nodes, one as a single task.
MANY, ONE = "many", "one"
RUNS = {ONE: "ad", MANY: f"{MANY}_ad"}
TASKS, PER_NODE = 4, 2
#: Years of a segment, and the minutes it asks for: by its speed, with the margin and a quarter of an hour.
YEARS, SPEED, MINUTES = 10, 5760.0, 20
#: Limit of the jobs of CIME, and how long before the end of any job the model stops, minutes.
WALLTIME, MARGIN = 17, 1
#: The profile: CIME takes nodes whole; and the steps before the runs share a job, which saves time here.
SEGMENT, STEPS = "\n  run_segment:\n    runtime", "\ngroups:\n"
EDITS = {
    SEGMENT: SEGMENT.replace("runtime", "slurm_extra: \"'--exclusive'\"\n    runtime"),
    STEPS: STEPS
    + "".join(f"  {step}_case_{name}: {name}\n" for name in RUNS for step in ("create", "build")),
}


@dataclass(frozen=True)
class CimeRun:
    """A user's copy with its configuration.

    Attributes:
        run: the copy.
        content: of the configuration.
    """

    run: ClusterRun
    content: dict[str, Any]

    @property
    def results(self) -> Path:
        return self.run.root / "results" / "cime"

    def restart(self, domain: str, years: int) -> Path:
        """The restart after some years of AD."""
        return self.results / "landmodel" / RUNS[domain] / restart_name(RUNS[domain], 1 + years)

    def case(self, domain: str) -> Path:
        """Directory of the case of the run."""
        return self.results / "landmodel" / "cases" / domain / RUNS[domain]

    def log(self, domain: str, component: str, job: Job) -> str:
        """What a component of the model said in a job."""
        place = self.results / "landmodel" / "cases" / domain / "run" / RUNS[domain]
        [path] = place.rglob(f"{component}.log.{job.id}.*.gz")
        return gzip.decompress(path.read_bytes()).decode("utf-8")

    def run_ad(self, years: int, **cime: Any) -> str:
        """Runs AD of both domains for some years, with other keys of the section `cime`; what was printed."""
        path = self.run.root / "cime.yaml"
        path.write_text(
            yaml.safe_dump(self.content | {"cime": self.content["cime"] | cime}), encoding="utf-8"
        )
        self.run.terminal.unlink(missing_ok=True)
        targets = [self.restart(name, years).relative_to(self.run.root).as_posix() for name in RUNS]
        return self.run.complete(self.run.command(*OVERLAY, "--configfile", path.name, "--", *targets))


@pytest.fixture(scope="module")
def cime(cluster: Cluster, world: Path, tmp_path_factory: pytest.TempPathFactory) -> CimeRun:  # noqa: F811
    """Two domains of the same cells, with other tasks each; nothing has run."""
    run = new_user(tmp_path_factory.mktemp("cime"), EDITS)
    checkout = lay_out(tmp_path_factory.mktemp("e3sm"), WORLD.model_dump(mode="json"), cores=64)
    streams = write_streams(checkout.place / "streams", world / "domain.lnd.nc", world / "forcing")
    forcing = {"product": "synthetic weather", "first_year": 1901, "years": CYCLE, "limit_km": 1500.0}
    files = {
        "domain": str(world / "domain.lnd.nc"),
        "surface": str(world / "surfdata.nc"),
        "params": str(world / "clm_params.nc"),
        "soil_params": str(world / "CNP_parameters.nc"),
        "forcing": forcing | {"files": [str(world / "forcing" / "*.nc")]},
    }
    content = {
        "run": {"name": "cime"},
        "land_model": {"backend": "cime"},
        "cime": {
            "source": str(checkout.root),
            "machine": CLUSTER,
            "extra_machines_dir": str(checkout.machines),
            "compset": "I1850CNPRDCTCBC",
            "datm_mode": "uELM_TES",
            "streams": [str(path) for path in streams],
            "force_stop_at": "year",
            "restart_years": YEARS,
            "queue": "cpu",
            "walltime_minutes": WALLTIME,
            "margin_minutes": MARGIN,
            "years_per_day": SPEED,
            "by_domain": {MANY: {"tasks": TASKS, "tasks_per_node": PER_NODE}, ONE: {"tasks": 1}},
        },
        "spinup": {"segment_years": YEARS, "ad_years": 40, "normal_years": 20},
        "training": {"domains": [MANY]},
        "target": {"domain": ONE},
        "domains": {MANY: files, ONE: files},
    }
    return CimeRun(run, content)


@pytest.fixture(scope="module")
def by_snakemake(cluster: Cluster, cime: CimeRun) -> dict[str, Job]:
    """The jobs of the first segments, by their domains."""
    numbers = set(submitted(cime.run_ad(YEARS, submit="job")))
    jobs = {job.stage.removeprefix("rule_"): job for job in cluster.jobs() if job.id in numbers}
    return {name: jobs[f"run_{run}_{1 + YEARS:04d}"] for name, run in RUNS.items()}


@pytest.fixture(scope="module")
def by_cime(cluster: Cluster, cime: CimeRun, by_snakemake: dict[str, Job]) -> dict[str, Job]:
    """The jobs of the second segments, which CIME submitted, by their domains."""
    printed = cime.run_ad(2 * YEARS, submit="cime")
    assert submitted(printed) == []
    jobs = {}
    for name in RUNS:
        status = (cime.case(name) / "CaseStatus").read_text(encoding="utf-8")
        [number] = re.findall(r"case.submit success case.run:(\d+)$", status, re.MULTILINE)
        assert f"model execution success {number}" in status
        jobs[name] = next(job for job in cluster.jobs() if job.id == number)
    return jobs


def asked(job: Job) -> tuple[int, int, bool, int]:
    return job.tasks, job.nodes, job.exclusive, job.minutes


def test_the_job_of_a_segment_asks_for_the_tasks_nodes_and_time_of_its_case(
    by_snakemake: dict[str, Job],
) -> None:
    assert {job.state for job in by_snakemake.values()} == {"COMPLETED"}
    assert asked(by_snakemake[MANY]) == (TASKS, TASKS // PER_NODE, True, MINUTES)
    assert asked(by_snakemake[ONE]) == (1, 1, True, MINUTES)


def test_the_model_would_stop_itself_before_the_job_ends(cime: CimeRun, by_snakemake: dict[str, Job]) -> None:
    for name in RUNS:
        lines = (cime.case(name) / "user_nl_cpl").read_text(encoding="utf-8")
        limit = float(re.findall(r"wall_time_limit = ([\d.]+)", lines)[-1])
        assert 0.1 < limit < (MINUTES - MARGIN) / 60.0


def test_the_job_of_cime_has_the_limit_of_the_settings_and_the_nodes_of_the_case(
    by_cime: dict[str, Job],
) -> None:
    assert {(job.state, job.partition) for job in by_cime.values()} == {("COMPLETED", "cpu")}
    assert [(by_cime[name].nodes, by_cime[name].exclusive) for name in (MANY, ONE)] == [(2, True), (1, True)]
    assert {job.minutes for job in by_cime.values()} == {WALLTIME}


def test_the_launcher_of_the_case_starts_all_tasks_on_all_nodes_in_either_job(
    cime: CimeRun, by_snakemake: dict[str, Job], by_cime: dict[str, Job]
) -> None:
    for name, tasks, nodes in ((MANY, TASKS, 2), (ONE, 1, 1)):
        for job in (by_snakemake[name], by_cime[name]):
            log = cime.log(name, "e3sm", job)
            began = re.findall(rf"task (\d+) of {tasks} on (n\d)", log)
            assert sorted(number for number, _ in began) == [str(number) for number in range(tasks)], log
            assert len({node for _, node in began}) == nodes, log


def test_segments_continue_one_another_whoever_submits_them_and_the_tasks_change_no_bit(
    cime: CimeRun, by_cime: dict[str, Job]
) -> None:
    for years in (YEARS, 2 * YEARS):
        one, many = (contents(cime.restart(name, years)) for name in (ONE, MANY))
        numbers = [name for name in one if one[name].dtype.kind != "S"]
        assert all(one[name].tobytes() == many[name].tobytes() for name in numbers)
    for name in RUNS:
        assert "CONTINUE_RUN --val TRUE" in (cime.case(name) / "replay.sh").read_text(encoding="utf-8")
