"""The workflow on a real SLURM: undisturbed, disturbed in every way that costs users weeks, and rerun."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
import torch

from tests.slurm.cluster import Cluster, Job, wait_until
from tests.slurm.conftest import SMALL, ClusterRun, submitted

pytestmark = pytest.mark.slurm

RESTART = "ad.elm.r.0021-01-01-00000.nc"
#: Stages that hold a GPU.
ON_GPU = ("train_surrogate", "train_experiment", "predict_cells", "predict_test_cells", "predict_experiment")


def of_run(cluster: Cluster, printed: str) -> list[Job]:
    numbers = set(submitted(printed))
    return [job for job in cluster.jobs() if job.id in numbers]


def is_stage(job: Job, *stages: str) -> bool:
    return job.stage.removeprefix("rule_").partition("_wildcards_")[0] in stages


def assert_same_pools(one: Path, other: Path) -> None:
    """Every variable of two restarts is equal, bit for bit."""
    with netCDF4.Dataset(one) as a, netCDF4.Dataset(other) as b:
        a.set_auto_mask(False)
        b.set_auto_mask(False)
        assert set(a.variables) == set(b.variables)
        for name in a.variables:
            np.testing.assert_array_equal(a[name][...], b[name][...], err_msg=name)


def assert_same_products(copy: ClusterRun, undisturbed: ClusterRun) -> None:
    for name in (f"restart/{RESTART}", "landmodel/injected/injected.elm.r.0081-01-01-00000.nc"):
        assert_same_pools(copy.results / name, undisturbed.results / name)
    assert list(copy.results.rglob("*.part")) == []


def weights(model: Any) -> list[torch.Tensor]:
    """All tensors of a stored model, in their order."""
    if isinstance(model, torch.Tensor):
        return [model]
    parts = model.values() if isinstance(model, dict) else model if isinstance(model, list | tuple) else []
    return [tensor for part in parts for tensor in weights(part)]


def test_every_stage_runs_in_its_partition_and_only_surrogate_stages_hold_a_gpu(
    cluster: Cluster, undisturbed: ClusterRun
) -> None:
    printed = undisturbed.terminal.read_text(encoding="utf-8")
    jobs = of_run(cluster, printed)
    assert {job.state for job in jobs} == {"COMPLETED"}
    for job in jobs:
        if is_stage(job, *ON_GPU):
            assert (job.partition, job.tres) == ("gpu", "gres:gpu:a100:1"), job
        else:
            assert (job.partition, job.tres) == ("cpu", ""), job
    stages = {job.stage.removeprefix("rule_").partition("_wildcards_")[0] for job in jobs}
    assert {*ON_GPU, "make_world", "run_ad_0021", "run_reference_0101", "inject_restart"} <= stages
    # Small stages that follow each other are one job.
    assert sum("dataset" in job.stage for job in jobs) == 1
    assert sum("closing" in job.stage for job in jobs) == 1
    # Nothing but the end, which does nothing, ran where Snakemake does: the other steps were in these jobs.
    records = [json.loads(file.read_text()) for file in (undisturbed.results / "slurm_jobs").glob("*.json")]
    assert {record["job"] for record in records} == {job.id for job in jobs}
    (steps,) = re.findall(r"^total +(\d+)$", printed, flags=re.MULTILINE)[:1]
    assert sum(len(record["stages"]) for record in records) == int(steps) - 1


def test_a_second_run_has_nothing_to_do(cluster: Cluster, undisturbed: ClusterRun) -> None:
    before = len(cluster.jobs())
    assert "Nothing to be done" in undisturbed.complete(undisturbed.begin())
    assert len(cluster.jobs()) == before


def test_lost_jobs_nodes_and_controllers_leave_the_products_as_they_were(
    cluster: Cluster, undisturbed: ClusterRun, copy: ClusterRun
) -> None:
    run = copy.begin("--forcerun", "train_surrogate")

    training = cluster.running("rule_train_surrogate_wildcards_block")
    copy.suspended("train", "--log", "results/small/logs/train_surrogate-block.log")
    cluster.cancel(training)

    # The controller is away for a minute, while jobs end and others become ready.
    cluster.stop_controller()
    time.sleep(60)
    cluster.start_controller()

    injection = cluster.running("rule_inject_restart")
    cluster.cancel(injection)

    segment = cluster.running("rule_run_injected_0081")
    copy.suspended("run-segment", "--case", "injected")
    cluster.cancel(segment)

    again = cluster.running("rule_run_injected_0081")
    node = cluster.node_of(again)
    cluster.fail_node(node)
    cluster.release(again)
    try:
        printed = copy.complete(run)
    finally:
        cluster.start_node(node)

    jobs = {job.id: job for job in of_run(cluster, printed)}
    assert [jobs[number].state for number in (training, injection, segment)] == ["CANCELLED"] * 3
    # SLURM put the job of the failed node back under its own number; Snakemake did not count it as a try.
    assert jobs[again].restarts == 1
    assert jobs[again].state == "COMPLETED"
    # A second try gets twice the time.
    assert (jobs[segment].minutes, jobs[again].minutes) == (240, 480)
    assert_same_products(copy, undisturbed)


def test_after_a_kill_of_snakemake_the_same_command_goes_on_and_no_stage_runs_twice_at_once(
    cluster: Cluster, undisturbed: ClusterRun, copy: ClusterRun
) -> None:
    stages = ("train_surrogate", "train_experiment")
    command = ("--forcerun", *stages, "--until", *stages)
    first = copy.begin(*command)
    # Two GPUs: two of the four trainings run, two wait in the queue.
    copy.suspended("train", "--log", "results/small/logs/train_surrogate-block.log")
    wait_until(lambda: len(submitted(copy.terminal.read_text())) == 4, 60, "four trainings are submitted")
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    orphans = submitted(copy.terminal.read_text())

    printed = copy.complete(copy.begin(*command))

    jobs = {job.id: job for job in of_run(cluster, printed)}
    assert jobs[orphans[0]].state == "CANCELLED" or jobs[orphans[1]].state == "CANCELLED"
    again = [job for job in jobs.values() if job.id not in orphans]
    assert sorted((job.stage, job.state) for job in again) == [
        (f"rule_{stage}", "COMPLETED")
        for stage in (
            "train_experiment_wildcards_paper_block_1",
            "train_experiment_wildcards_paper_random_1",
            "train_surrogate_wildcards_block",
            "train_surrogate_wildcards_random",
        )
    ]
    # Whatever the killed run left had ended before the same stage began again.
    for job in again:
        for number in orphans:
            if jobs[number].stage == job.stage:
                assert jobs[number].ended <= job.started
    models = [path.relative_to(copy.results) for path in copy.results.rglob("model.pt")]
    assert len(models) == 4
    for name in models:
        mine, theirs = (torch.load(run.results / name, weights_only=True) for run in (copy, undisturbed))
        torch.testing.assert_close(weights(mine), weights(theirs), rtol=0, atol=0)
    assert list(copy.results.rglob("*.part")) == []


def late_segment(copy: ClusterRun) -> subprocess.Popen[str]:
    return copy.begin("--forcerun", "run_ad_0061", "--until", "run_ad_0061")


def changed_data(copy: ClusterRun) -> subprocess.Popen[str]:
    history = sorted((copy.results / "landmodel" / "injected").glob("*.h1.*.nc"))[-1]
    # A file of its own: the copy's products are links.
    content = history.read_bytes()
    history.unlink()
    history.write_bytes(content)
    return copy.begin()


MONTHLY = "results/small/forcing/embedded/all.1901-1920.nc"


def bare_command(copy: ClusterRun) -> subprocess.Popen[str]:
    # Nothing laid over the profile: the clock of a cluster, and the threads of one.
    (copy.root / "workflow_config.yaml").write_text((copy.root / SMALL).read_text())
    (copy.root / MONTHLY).unlink()
    return copy.command(MONTHLY)


def experiments(copy: ClusterRun) -> subprocess.Popen[str]:
    (copy.root / "experiments.yaml").write_text(
        "experiments: {variants: {paper: null, mlp: {network: mlp}}, seeds: 2, splits: [block], limit: 2}\n"
    )
    return copy.begin("experiments.yaml", "--", "experiments")


def two_nodes(copy: ClusterRun) -> subprocess.Popen[str]:
    (copy.root / "nodes.yaml").write_text("surrogate: {nodes: 2, gpus: 1}\n")
    return copy.begin("nodes.yaml", "--", "results/small/surrogate/block/model.pt")


@dataclass(frozen=True)
class Begun:
    """A run under way in a copy of its own."""

    run: ClusterRun
    process: subprocess.Popen[str]

    def jobs(self, cluster: Cluster) -> list[Job]:
        """The jobs of the run, once it has succeeded."""
        return of_run(cluster, self.run.complete(self.process))


@pytest.fixture(scope="module")
def side_by_side(
    undisturbed: ClusterRun, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Begun]]:
    """Runs that do not disturb each other, begun at once: most of the time they wait for the queue."""
    begun = {}
    for begin in (late_segment, changed_data, bare_command, experiments, two_nodes):
        run = undisturbed.clone(tmp_path_factory.mktemp(begin.__name__) / "copy")
        begun[begin.__name__] = Begun(run, begin(run))
    yield begun
    for one in begun.values():
        one.process.terminate()
        one.process.wait()


def test_a_segment_over_its_time_limit_is_done_again_from_the_restart_before_it(
    cluster: Cluster, undisturbed: ClusterRun, side_by_side: dict[str, Begun]
) -> None:
    begun = side_by_side["late_segment"]
    late = cluster.running("rule_run_ad_0061")
    begun.run.suspended("run-segment", "--case", "ad")
    cluster.limit(late, minutes=1)
    assert [(job.stage, job.state) for job in begun.jobs(cluster)] == [
        ("rule_run_ad_0061", "TIMEOUT"),
        ("rule_run_ad_0061", "COMPLETED"),
    ]
    name = "landmodel/ad/ad.elm.r.0061-01-01-00000.nc"
    assert_same_pools(begun.run.results / name, undisturbed.results / name)


def test_a_change_of_data_reruns_only_the_stages_behind_it(
    cluster: Cluster, side_by_side: dict[str, Begun]
) -> None:
    jobs = side_by_side["changed_data"].jobs(cluster)
    # Verdict and report, which share a job.
    assert [job.state for job in jobs] == ["COMPLETED"]
    assert "closing" in jobs[0].stage


def test_the_bare_command_works_from_the_clone_and_a_laptop_s_limits_do_not_hold(
    cluster: Cluster, side_by_side: dict[str, Begun]
) -> None:
    begun = side_by_side["bare_command"]
    (job,) = begun.jobs(cluster)
    assert (job.stage, job.state) == ("rule_reduce_forcing_wildcards_embedded_all_1901_1920", "COMPLETED")
    # Eight, where profiles/default has two.
    assert job.cpus == 8
    assert (begun.run.root / MONTHLY).is_file()


def test_experiments_fan_out_up_to_the_configured_limit(
    cluster: Cluster, side_by_side: dict[str, Begun]
) -> None:
    begun = side_by_side["experiments"]
    jobs = begun.jobs(cluster)
    trainings = [job for job in jobs if is_stage(job, "train_experiment")]
    # The settings of the run with a second seed, the other network with two.
    assert len(trainings) == 3
    assert {(job.state, job.partition, job.tres) for job in trainings} == {
        ("COMPLETED", "gpu", "gres:gpu:a100:1")
    }
    at_once = [
        sum(other.submitted <= job.submitted < other.ended for other in trainings) for job in trainings
    ]
    assert max(at_once) == 2
    # The run's own stages are as they were.
    assert not [job for job in jobs if is_stage(job, "train_surrogate", "run_ad_0021")]
    comparison = json.loads((begun.run.results / "experiments" / "comparison.json").read_text())
    assert comparison


def test_a_training_on_two_nodes_is_one_job_on_both(cluster: Cluster, side_by_side: dict[str, Begun]) -> None:
    begun = side_by_side["two_nodes"]
    (job,) = begun.jobs(cluster)
    assert (job.stage, job.state) == ("rule_train_surrogate_wildcards_block", "COMPLETED")
    assert (job.nodes, job.partition, job.tres) == (2, "gpu", "gres:gpu:a100:2")
    log = (begun.run.results / "logs" / "train_surrogate-block.log").read_text()
    assert "2 processes" in log
