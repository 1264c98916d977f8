"""The stand-in for E3SM under SLURM: what CIME submits, and what becomes of it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.cime.conftest import WORLD, _models_run_in_forks, world  # noqa: F401
from tests.cime.double import CLUSTER, Checkout, lay_out
from tests.cime.double.cases import built_case, change, query, run
from tests.slurm.cluster import Cluster, wait_until

pytestmark = pytest.mark.slurm
JOBS = re.compile(r"Submitted job (\S+) with id (\d+)")


@pytest.fixture(scope="module")
def checkout(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    return lay_out(tmp_path_factory.mktemp("e3sm"), {"forcing_limit_km": WORLD.forcing_limit_km})


@pytest.fixture(scope="module")
def template(checkout: Checkout, world: Path) -> Path:  # noqa: F811
    case = built_case(checkout, world, "template", machine=CLUSTER)
    run(case, "xmlchange", "JOB_WALLCLOCK_TIME=00:10:00", "--subgroup", "case.run")
    change(case, JOB_QUEUE="cpu", STOP_N=1)
    return case


@pytest.fixture
def case(checkout: Checkout, template: Path, request: pytest.FixtureRequest) -> Path:
    """A clone of the template with the name of the test."""
    place = checkout.place / "cases" / request.node.name[-40:]
    words = [checkout.create_clone, "--case", place, "--clone", template, "--keepexe"]
    subprocess.run(words, check=True, capture_output=True)
    assert run(place, "case.setup", "--disable-git").returncode == 0
    return place


def submitted(case: Path) -> dict[str, str]:
    """Submits a case; its jobs with their numbers."""
    result = run(case, "case.submit")
    assert result.returncode == 0, result.stderr
    return dict(JOBS.findall(result.stdout))


def test_the_jobs_of_a_chain_follow_one_another(cluster: Cluster, case: Path) -> None:
    change(case, DOUT_S="TRUE", RESUBMIT=1)
    jobs = submitted(case)
    first, archive = jobs["case.run"], jobs["case.st_archive"]
    assert query(case, "JOB_IDS") == f"case.run:{first}, case.st_archive:{archive}"
    assert f"case.submit success case.run:{first}" in (case / "CaseStatus").read_text()
    record = next(job for job in cluster.jobs() if job.id == first)
    assert (record.minutes, record.partition, record.nodes) == (10, "cpu", 1)
    archived = Path(query(case, "DOUT_S_ROOT")) / "rest"
    wait_until(lambda: (archived / "0003-01-01-00000").is_dir(), 120, "the second run is archived")
    assert cluster.state(first) == cluster.state(archive) == "COMPLETED"
    assert [query(case, name) for name in ("RESUBMIT", "CONTINUE_RUN")] == ["0", "TRUE"]
    assert query(case, "JOB_IDS") != f"case.run:{first}, case.st_archive:{archive}"
    logs = Path(query(case, "DOUT_S_ROOT")) / "logs"
    assert list(logs.glob(f"cpl.log.{first}.*.gz"))
    assert (case / f"run.{case.name}.{first}").is_file()


def test_a_failed_model_is_a_failed_job_and_the_archive_waits(
    cluster: Cluster, checkout: Checkout, case: Path
) -> None:
    change(case, DOUT_S="TRUE", RESUBMIT=1)
    checkout.play("abort", case.name)
    jobs = submitted(case)
    wait_until(lambda: cluster.state(jobs["case.run"]) == "FAILED", 60, "the job failed")
    words = ["squeue", "-h", f"--jobs={jobs['case.st_archive']}", "--format=%T %r"]

    def reason() -> str:
        return subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip()

    wait_until(lambda: reason() == "PENDING DependencyNeverSatisfied", 60, "the archive waits in vain")
    assert query(case, "RESUBMIT") == "1"
    cluster.cancel(jobs["case.st_archive"])


def test_an_archive_job_may_never_start(cluster: Cluster, checkout: Checkout, case: Path) -> None:
    change(case, DOUT_S="TRUE")
    checkout.play("archive_stuck", case.name)
    jobs = submitted(case)
    wait_until(lambda: cluster.state(jobs["case.run"]) == "COMPLETED", 60, "the run is over")
    assert cluster.state(jobs["case.st_archive"]) == "PENDING"
    cluster.cancel(jobs["case.st_archive"])


def test_inside_an_allocation_the_script_is_honest(cluster: Cluster, checkout: Checkout, case: Path) -> None:
    checkout.play("abort", case.name)
    numbers = []
    for state in ("FAILED", "COMPLETED"):
        command = [
            "sbatch",
            "--parsable",
            "--time=10",
            "--output=/dev/null",
            "--wrap",
            f"cd {case} && ./.case.run",
        ]
        number = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        wait_until(lambda: cluster.state(number) == state, 60, f"the job is {state}")  # noqa: B023
        numbers.append(number)
    assert query(case, "BATCH_SYSTEM") == "slurm"
    assert list(Path(query(case, "RUNDIR")).glob(f"cpl.log.{numbers[1]}.*.gz"))


def test_a_cancelled_job_leaves_no_word(cluster: Cluster, checkout: Checkout, case: Path) -> None:
    change(case, STOP_N=2000)
    jobs = submitted(case)
    status = case / "CaseStatus"
    wait_until(lambda: "model execution starting" in status.read_text(), 60, "the model runs")
    cluster.cancel(jobs["case.run"])
    assert re.search(rf"model execution starting {jobs['case.run']}\n -+\n\Z", status.read_text())
