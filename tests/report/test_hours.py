"""Node-hours and GPU-hours: from what sacct prints, else from the benchmarks, beside a conventional run."""

from __future__ import annotations

import html
import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pandas as pd
import pytest

from phase_lib.base.errors import InputError
from phase_lib.base.files import read_json, write_json
from phase_lib.config.run import CostSettings
from phase_lib.report import accounting, page
from phase_lib.report.accounting import Records, SlurmJob, parse_sacct, read_records, read_slurm_jobs
from phase_lib.report.closing import closing_page
from phase_lib.report.cost import (
    Role,
    Stage,
    StageCost,
    StageHours,
    hours_summary,
    read_costs,
    spin_up_summary,
    stage_hours,
)
from phase_lib.report.products import RunFacts, RunProducts
from phase_lib.report.summary import build_summary, write_summary
from tests.helpers.run_products import (
    SECONDS,
    GlobalGrid,
    synthetic_archive_run,
    synthetic_run,
)

GRID = GlobalGrid(lat=np.arange(-52.5, 75.0, 7.5), lon=np.arange(3.75, 360.0, 7.5))

# Printed by sacct of slurm-wlm 22.05.8 with slurmdbd, AccountingStorageTRES=gres/gpu,gres/gpu:a100, for jobs
# that: used a GPU; failed with one; held two nodes of four cores and two GPUs each; were cancelled while
# waiting; ran out of time; still waited; were requeued after 9 s; ran while this was asked.
SACCT = """\
1|COMPLETED|20|1|billing=2,cpu=2,gres/gpu:a100=1,gres/gpu=1,node=1|2026-11-21T11:01:42
2|FAILED|10|1|billing=1,cpu=1,gres/gpu:a100=1,gres/gpu=1,node=1|2026-11-21T11:01:42
3|COMPLETED|8|2|billing=8,cpu=8,gres/gpu:a100=4,gres/gpu=4,node=2|2026-11-21T11:02:02
4|CANCELLED|0|0||None
5|TIMEOUT|60|1|billing=1,cpu=1,node=1|2026-11-21T11:02:11
8|PENDING|0|1||Unknown
11|REQUEUED|9|1|billing=1,cpu=1,node=1|2026-11-21T11:04:23
11|COMPLETED|26|1|billing=1,cpu=1,node=1|2026-11-21T11:06:33
16|RUNNING|6|1|billing=4,cpu=4,node=1|2026-11-21T11:09:44
"""
# The same SLURM with AccountingStorageTRES=gres/gpu, and without any; both jobs held two GPUs.
WITHOUT_TYPES = "14|COMPLETED|3|1|billing=2,cpu=2,gres/gpu=2,node=1|2026-11-21T11:06:00\n"
WITHOUT_GPUS = "15|COMPLETED|3|1|billing=2,cpu=2,node=1|2026-11-21T11:06:12\n"
# Without -n, -X and --noconvert the user of a CANCELLED job follows its state.
CANCELLED_BY = "12|CANCELLED by 0|9|1|billing=2,cpu=2,gres/gpu:a100=2,gres/gpu=2,node=1|2026-11-21T11:04:23\n"
DISABLED = "Slurm accounting storage is disabled"
DOWN = """\
sacct: error: Sending PersistInit msg: Connection refused
sacct: error: Problem talking to the database: Connection refused
"""

STARTED = datetime.fromisoformat("2026-11-21T11:01:42").astimezone()
Sacct = Callable[..., Path]


def job(number: int | str, *stages: str) -> SlurmJob:
    return SlurmJob(str(number), stages, STARTED)


def recorded(text: str) -> Records:
    attempts: dict[str, list[accounting.Attempt]] = {}
    for attempt in parse_sacct(text):
        attempts.setdefault(attempt.job, []).append(attempt)
    return Records(attempts)


class AllAccelerated(dict[str, Stage]):
    """A plan that knows every stage, as a part of the accelerated spin-up."""

    def __contains__(self, name: object) -> bool:
        return True

    def __missing__(self, name: str) -> Stage:
        return planned(name)


def planned(name: str, role: Role = "accelerated", years: int = 0) -> Stage:
    return Stage(name, name.rpartition("_")[0] if name.startswith("run") else name, role, years)


def hours_of(
    jobs: Sequence[SlurmJob], text: str, costs: Sequence[StageCost] = (), cores_per_node: int | None = None
) -> dict[str, StageHours]:
    result = stage_hours(costs, jobs, recorded(text), plan=AllAccelerated(), cores_per_node=cores_per_node)
    return {stage.stage.name: stage for stage in result}


@pytest.fixture
def sacct(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sacct:
    """Puts a program called sacct first on the path: it notes its arguments, prints the answer and exits."""

    def put(answer: str = "", error: str = "", code: int = 0, wait: float = 0.0) -> Path:
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        for name, text in (("answer", answer), ("error", error)):
            (folder / name).write_text(text, encoding="utf-8")
        program = folder / "sacct"
        lines = [
            "#!/bin/sh",
            f'echo "asked $*" >> {folder}/asked',
            *([f"exec sleep {wait}"] if wait else []),
            f"cat {folder}/answer; cat {folder}/error >&2; exit {code}",
        ]
        program.write_text("\n".join(lines) + "\n", encoding="utf-8")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
        return folder / "asked"

    return put


def test_gpus_of_a_type_are_not_counted_beside_all_of_them() -> None:
    gpus = {attempt.job: attempt.gpus for attempt in parse_sacct(SACCT + WITHOUT_TYPES + WITHOUT_GPUS)}
    assert gpus == {"1": 1, "2": 1, "3": 4, "5": None, "11": None, "16": None, "14": 2, "15": None}


def test_gpus_that_are_recorded_by_type_alone_are_added() -> None:
    text = "7|COMPLETED|3600|1|cpu=2,gres/gpu:a100=1,gres/gpu:h100=2,node=1|2026-11-21T11:06:00\n"
    assert [attempt.gpus for attempt in parse_sacct(text)] == [3]


def test_what_never_started_is_no_attempt() -> None:
    assert [attempt.job for attempt in parse_sacct(SACCT)] == ["1", "2", "3", "5", "11", "11", "16"]


def test_the_state_of_a_cancelled_attempt_does_not_name_who_cancelled_it() -> None:
    (attempt,) = parse_sacct(CANCELLED_BY)
    assert (attempt.state, attempt.stands) == ("CANCELLED", False)


def test_hours_are_time_times_what_was_held() -> None:
    stages = hours_of([job(1, "train_surrogate-block"), job(3, "run_ad_0021")], SACCT)
    train, run = stages["train_surrogate-block"], stages["run_ad_0021"]
    result = (train.node_hours, train.core_hours, train.gpu_hours)
    assert result == pytest.approx((20 / 3600, 40 / 3600, 20 / 3600))
    assert (run.node_hours, run.core_hours, run.gpu_hours) == pytest.approx((16 / 3600, 64 / 3600, 32 / 3600))
    assert train.lost_core_hours == run.lost_core_hours == 0.0


def test_attempts_that_failed_count_and_are_lost() -> None:
    # The first job failed, the second ran out of time, the third was requeued and then came through.
    (stage,) = hours_of([job(n, "train_surrogate-block") for n in (2, 5, 11)], SACCT).values()
    assert stage.attempts == 4
    assert stage.core_hours == pytest.approx((10 + 60 + 9 + 26) / 3600)
    assert stage.lost_core_hours == pytest.approx((10 + 60 + 9) / 3600)
    assert stage.gpu_hours == stage.lost_gpu_hours == pytest.approx(10 / 3600)


def test_a_product_that_was_made_anew_makes_its_first_job_lost() -> None:
    (stage,) = hours_of([job(1, "split_cells-block"), job(3, "split_cells-block")], SACCT).values()
    assert (stage.attempts, stage.lost_core_hours) == (2, pytest.approx(40 / 3600))


def test_the_job_that_writes_the_report_still_runs_and_is_not_lost() -> None:
    (stage,) = hours_of([job(16, "write_report")], SACCT).values()
    assert (stage.core_hours, stage.lost_core_hours) == (pytest.approx(24 / 3600), 0.0)


def test_the_hours_of_a_group_are_divided_by_the_benchmarks_of_its_stages() -> None:
    costs = [StageCost(planned(name), s, s) for name, s in (("a", 3.0), ("b", 1.0))]
    stages = hours_of([job(1, "a", "b")], SACCT, costs)
    assert stages["a"].core_hours == pytest.approx(0.75 * 40 / 3600)
    assert stages["b"].gpu_hours == pytest.approx(0.25 * 20 / 3600)
    unmeasured = hours_of([job(1, "a", "b")], SACCT)
    assert unmeasured["a"].core_hours == unmeasured["b"].core_hours == pytest.approx(20 / 3600)


def test_a_stage_that_was_done_before_its_group_failed_is_not_lost() -> None:
    done = StageCost(planned("a"), 5.0, 5.0)
    stages = hours_of([job(2, "a", "b")], SACCT, [done])
    assert (stages["a"].lost_core_hours, stages["b"].lost_core_hours) == (0.0, pytest.approx(5 / 3600))


def test_where_slurm_records_no_gpu_what_the_stage_asked_for_counts() -> None:
    asked = StageCost(planned("train_surrogate-block"), 3.0, 6.0, gpus=2)
    jobs, records = [job(15, asked.stage.name)], recorded(WITHOUT_GPUS)
    result = stage_hours([asked], jobs, records, plan=AllAccelerated(), cores_per_node=None)
    assert result[0].gpu_hours == pytest.approx(6 / 3600)
    assert "AccountingStorageTRES=gres/gpu" in " ".join(hours_summary(result, jobs, records)["notes"])


def test_a_stage_without_a_record_takes_its_hours_from_its_benchmark() -> None:
    cost = StageCost(planned("split_cells-block"), 1800.0, 3600.0, gpus=4)
    jobs = [job(1, "train_surrogate-block")]
    result = hours_of(jobs, SACCT, [cost], cores_per_node=8)
    stage = result["split_cells-block"]
    assert (stage.source, stage.attempts, stage.lost_core_hours) == ("benchmarks", None, None)
    assert (stage.node_hours, stage.core_hours, stage.gpu_hours) == pytest.approx((0.125, 1.0, 2.0))
    section = hours_summary(list(result.values()), jobs, recorded(SACCT))
    assert section["source"] == "slurm"
    assert "no record of 1 of 2 stages" in section["notes"][0]
    # What one stage does not know, the whole does not.
    assert section["total"]["attempts"] is None
    assert section["total"]["core_hours"] == pytest.approx(1.0 + 40 / 3600)


def test_without_the_cores_of_a_node_a_benchmark_knows_no_node_hours() -> None:
    cost = StageCost(planned("split_cells-block"), 1800.0, 3600.0)
    result = hours_of([], "", [cost])
    assert result["split_cells-block"].node_hours is None
    section = hours_summary(list(result.values()), [], Records())
    assert section["total"]["node_hours"] is None
    assert section["notes"] == [
        "Without SLURM's records node-hours need cost.cores_per_node, which is not set."
    ]


def test_gpus_and_nodes_of_a_stage_stand_in_the_resources_of_its_table(tmp_path: Path) -> None:
    # As Snakemake 9 writes them with benchmark-extended.
    resources = "{'tmpdir': '/tmp', '_nodes': 1, 'gpu': 8, 'tasks': 2, 'runtime': 5, 'mem_mb': 100}"
    (tmp_path / "train_surrogate-block.tsv").write_text(
        f"s\tthreads\tresources\n1800.0\t4\t{resources}\n", encoding="utf-8"
    )
    (tmp_path / "split_cells-block.tsv").write_text("s\tthreads\n1.0\t1\n", encoding="utf-8")
    result = {
        cost.stage.name: (cost.gpus, cost.core_seconds) for cost in read_costs(tmp_path, AllAccelerated())
    }
    assert result == {"train_surrogate-block": (8, 1800.0 * 4 * 2), "split_cells-block": (0, 1.0)}


@pytest.mark.parametrize(
    ("trained_on", "on_cluster", "hours"),
    # A job on a cluster holds its GPUs also where PyTorch does not find them.
    [("cpu", False, 0.0), ("2 x cuda", False, 2.0 * 0.5), ("cpu", True, 2.0 * 0.5)],
)
def test_gpus_that_were_asked_for_and_not_there_cost_nothing(
    run: tuple[RunProducts, RunFacts],
    sacct: Sacct,
    tmp_path: Path,
    trained_on: str,
    on_cluster: bool,
    hours: float,
) -> None:
    sacct(error=DISABLED, code=1)
    (tmp_path / "train_surrogate-block.tsv").write_text(
        "s\tthreads\tresources\n1800.0\t1\t{'gpu': 2}\n", encoding="utf-8"
    )
    predictions = tmp_path / "predictions.nc"
    shutil.copy(run[0].predictions, predictions)
    with netCDF4.Dataset(predictions, "a") as nc:
        nc.trained_on = trained_on
    jobs = noted(tmp_path / "slurm_jobs", {"train_surrogate-block": "7"}) if on_cluster else None
    products = replace(run[0], benchmarks=tmp_path, predictions=predictions, slurm_jobs=jobs)
    summary = build_summary(products, run[1])
    assert summary["run"]["device"] == trained_on
    assert summary["cost"]["hours"]["total"]["gpu_hours"] == hours


def test_stages_of_a_rule_are_one_row_for_each_thing_that_they_count_as() -> None:
    costs = [
        StageCost(planned(name, role), 3600.0, 3600.0)
        for name, role in (
            ("run_ad_0021", "accelerated"),
            ("run_ad_0201", "labels"),
            ("run_ad_0401", "labels"),
        )
    ]
    plan = {cost.stage.name: cost.stage for cost in costs}
    result = stage_hours(costs, [], Records(), plan=plan, cores_per_node=4)
    rows = hours_summary(result, [], Records())["rules"]
    assert [(r["rule"], r["counts_as"], r["jobs"], r["core_hours"], r["node_hours"]) for r in rows] == [
        ("run_ad", "accelerated", 1, 1.0, 0.25),
        ("run_ad", "labels", 2, 2.0, 0.5),
    ]


def test_sacct_is_asked_once_for_hundreds_of_jobs_and_not_for_older_ones_of_the_same_number(
    sacct: Sacct,
) -> None:
    asked = sacct(SACCT)
    jobs = [replace(job(n, "stage"), started=STARTED + timedelta(hours=n)) for n in range(450, 0, -1)]
    records = read_records(jobs)
    assert records.missing is None
    # The program prints the same to each of three calls.
    assert [a.state for a in records.attempts["11"]] == ["REQUEUED"] * 3 + ["COMPLETED"] * 3
    calls = asked.read_text(encoding="utf-8").splitlines()
    numbers = [call.split("-j ")[1] for call in calls]
    assert [len(given.split(",")) for given in numbers] == [200, 200, 50]
    assert ",".join(numbers) == ",".join(str(n) for n in range(1, 451))
    # A day before the first of them, local time.
    assert all(f"-S {STARTED + timedelta(hours=1) - timedelta(days=1):%Y-%m-%dT%H:%M:%S}" in c for c in calls)


@pytest.mark.parametrize(
    ("answer", "error", "code", "said"),
    [
        ("", DISABLED, 1, "sacct: Slurm accounting storage is disabled"),
        ("", DOWN, 1, "sacct: Problem talking to the database: Connection refused"),
        ("", "", 1, "sacct: exit code 1"),
        ("", "", 0, "sacct knows none of the run's 1 jobs"),
        ("usage of sacct\n", "", 0, "sacct answered 'usage of sacct'"),
        ("1|COMPLETED|20|1|billing=2|2026-11-21T11:01:42\n", "", 0, "sacct answered '1|COMPLETED"),
    ],
)
def test_what_sacct_cannot_say_is_no_fault(
    sacct: Sacct, answer: str, error: str, code: int, said: str
) -> None:
    sacct(answer, error, code)
    records = read_records([job(1, "stage")])
    assert records.attempts == {}
    assert records.missing is not None
    assert records.missing.startswith(said)


def test_a_sacct_that_hangs_is_given_up(sacct: Sacct, monkeypatch: pytest.MonkeyPatch) -> None:
    sacct(SACCT, wait=30.0)
    monkeypatch.setattr(accounting, "_TIMEOUT", 0.2)
    assert "no answer within" in str(read_records([job(1, "stage")]).missing)


def test_a_machine_without_sacct_has_no_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert read_records([job(1, "stage")]).missing == "sacct cannot be run (No such file or directory)"


def test_without_slurm_jobs_nobody_is_asked(sacct: Sacct, tmp_path: Path) -> None:
    asked = sacct(SACCT)
    assert read_records(read_slurm_jobs(tmp_path / "slurm_jobs")) == Records()
    assert not asked.exists()


def test_a_job_notes_itself_in_a_file(tmp_path: Path) -> None:
    write_json(
        tmp_path / "4711.json", {"job": "4711", "stages": ["a", "b"], "started": "2026-11-21T11:01:42+00:00"}
    )
    (result,) = read_slurm_jobs(tmp_path)
    assert (result.job, result.stages) == ("4711", ("a", "b"))
    assert result.started == datetime.fromisoformat("2026-11-21T11:01:42+00:00")


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"job": "1 --user=all"}, "job is '1 --user=all'"),
        ({"job": 4711}, "job is 4711"),
        ({"stages": []}, r"stages is \[\]"),
        ({"stages": "train"}, "stages is 'train'"),
        ({"started": "yesterday"}, "started is 'yesterday'"),
    ],
)
def test_a_note_of_a_job_that_is_none_is_refused(tmp_path: Path, change: dict[str, Any], fault: str) -> None:
    note = {"job": "4711", "stages": ["a"], "started": "2026-11-21T11:01:42"}
    (tmp_path / "4711.json").write_text(json.dumps(note | change), encoding="utf-8")
    with pytest.raises(InputError, match=rf"4711\.json: {fault}"):
        read_slurm_jobs(tmp_path)


def stage(
    name: str, role: Role, node: float | None, core: float, lost: float = 0.0, years: int = 0
) -> StageHours:
    return StageHours(planned(name, role, years), "slurm", 1, node, core, 0.0, lost, lost, 0.0)


#: 1,200 years at 2 node-hours each, of which 40 node-hours in 20 years and 240 in the 100 after injection.
STAGES = [
    stage("run_ad_0021", "accelerated", 45.0, 450.0, lost=5.0, years=20),
    stage("run_ad_0401", "labels", 760.0, 7600.0, years=380),
    stage("run_reference_1201", "labels", 1600.0, 16000.0, years=800),
    stage("train_surrogate-block", "accelerated", 15.0, 150.0),
    stage("run_injected_0121", "accelerated", 240.0, 2400.0),
    stage("run_control_0121", "verification", 240.0, 2400.0),
]


def test_the_conventional_cost_is_measured_from_the_attempts_that_stand() -> None:
    result = spin_up_summary(STAGES, CostSettings(), years=1200, years_elsewhere=0, labels_made=True)
    assert result["price"] == "measured"
    assert result["node_hours"] == pytest.approx(
        {"per_model_year": 2.0, "conventional": 2400.0, "without_labels": 300.0, "with_labels": 2660.0}
    )
    # 450 - 5 core-hours: what was lost is lost in cores too.
    assert result["core_hours"]["conventional"] == pytest.approx(24045.0)
    assert result["ratio"] == {
        "unit": "node_hours",
        "without_labels": pytest.approx(8.0),
        "with_labels": pytest.approx(2400 / 2660),
    }


def test_a_configured_price_stands_above_the_measured_one() -> None:
    result = spin_up_summary(
        STAGES,
        CostSettings(node_hours_per_model_year=3.0, cores_per_node=128),
        years=1200,
        years_elsewhere=0,
        labels_made=True,
    )
    assert result["price"] == "configured"
    assert result["node_hours"]["conventional"] == 3600.0
    assert result["core_hours"]["conventional"] == 3600.0 * 128
    assert result["ratio"]["without_labels"] == pytest.approx(12.0)


def test_years_that_are_run_elsewhere_cost_the_configured_price() -> None:
    training = [s for s in STAGES if s.stage.name.startswith("train")]
    priced = partial(spin_up_summary, training, years=1200, years_elsewhere=120, labels_made=False)
    result = priced(CostSettings(node_hours_per_model_year=2.0))
    assert result["node_hours"]["without_labels"] == pytest.approx(240.0 + 15.0)
    assert result["node_hours"]["with_labels"] is None
    assert result["ratio"]["without_labels"] == pytest.approx(2400 / 255)
    unknown = priced(CostSettings())
    assert unknown["price"] is None
    assert unknown["ratio"] == {"unit": None, "without_labels": None, "with_labels": None}


def test_without_node_hours_core_hours_are_compared() -> None:
    result = spin_up_summary(
        [replace(s, node_hours=None) for s in STAGES],
        CostSettings(),
        years=1200,
        years_elsewhere=0,
        labels_made=True,
    )
    assert result["ratio"]["unit"] == "core_hours"
    assert result["ratio"]["without_labels"] == pytest.approx(24045 / 3000)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunProducts, RunFacts]:
    return synthetic_run(tmp_path_factory.mktemp("run"), GRID)


def test_the_summary_sets_the_measured_spin_up_beside_its_core_seconds(
    run: tuple[RunProducts, RunFacts],
) -> None:
    cost = build_summary(*run)["cost"]
    assert cost["hours"]["source"] == "benchmarks"
    for role, hours in cost["hours"]["by_role"].items():
        assert hours["core_hours"] == pytest.approx(cost["core_seconds_by_role"][role] / 3600)
    assert cost["spin_up"]["core_hours"]["conventional"] == pytest.approx(
        cost["core_seconds_conventional"] / 3600
    )
    assert cost["spin_up"]["ratio"]["without_labels"] == pytest.approx(cost["ratio_core_seconds"])


def noted(directory: Path, stages: dict[str, str]) -> Path:
    for stage, number in stages.items():
        note = {"job": number, "stages": [stage], "started": "2026-11-21T11:01:42"}
        write_json(directory / f"{number}.json", note)
    return directory


def page_of(products: RunProducts, root: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Text of the page without its figures, which take long and show no hours."""
    monkeypatch.setattr(page, "draw", lambda *content: {})
    written = page.write_report(root / "summary.json", products, root / "report")
    return html.unescape(" ".join(written.read_text(encoding="utf-8").split()))


def test_the_report_shows_the_hours_that_slurm_recorded(
    run: tuple[RunProducts, RunFacts], sacct: Sacct, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # An hour for every stage on a node of 64 cores; the training was tried twice, on four GPUs.
    numbers = {stage: str(i) for i, stage in enumerate(SECONDS, start=100)}
    resources = {stage: "cpu=64,gres/gpu=4" if "train" in stage else "cpu=64" for stage in numbers}
    lines = [
        f"{number}|COMPLETED|3600|1|billing=64,{resources[stage]},node=1|2026-11-21T12:00:00"
        for stage, number in numbers.items()
    ]
    first = lines[list(SECONDS).index("train_surrogate-block")]
    sacct("\n".join([first.replace("COMPLETED|3600", "NODE_FAIL|1800").replace("T12", "T11"), *lines]) + "\n")
    products = replace(run[0], slurm_jobs=noted(tmp_path / "slurm_jobs", numbers))
    summary = write_summary(products, run[1], tmp_path / "summary.json")
    hours = summary["cost"]["hours"]
    assert (hours["source"], hours["notes"]) == ("slurm", [])
    assert hours["total"] == pytest.approx(
        {
            "attempts": len(SECONDS) + 1,
            "node_hours": len(SECONDS) + 0.5,
            "core_hours": 64 * (len(SECONDS) + 0.5),
            "gpu_hours": 4 * 2.5,
            "lost_node_hours": 0.5,
            "lost_core_hours": 32.0,
            "lost_gpu_hours": 2.0,
        }
    )
    assert "From SLURM's own records" in page_of(products, tmp_path, monkeypatch)
    table = pd.read_csv(tmp_path / "report" / "tables" / "hours.csv")
    train = table.query("rule == 'train_surrogate' and counts_as == 'accelerated'")
    assert train[["jobs", "attempts", "gpu_hours", "lost_gpu_hours"]].to_numpy().tolist() == [[1, 2, 6, 2]]
    closing = closing_page(summary)
    core = f"{64 * (len(SECONDS) + 0.5):.0f} core"
    assert f"(SLURM's records): {len(SECONDS) + 0.5} node, {core}, 10 GPU; 32 core-hours lost." in closing
    assert max(map(len, closing.split("\n\nReport:")[0].splitlines())) <= 100
    # Segments of an hour each make three node-hours of the conventional spin-up.
    assert "Node-hours of a spin-up: conventional 3 (measured)" in closing
    assert len(closing.splitlines()) <= 40


def test_a_cluster_without_accounting_is_said_in_the_report(
    run: tuple[RunProducts, RunFacts], sacct: Sacct, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sacct(error=DISABLED, code=1)
    notes = noted(tmp_path / "slurm_jobs", {stage: str(i) for i, stage in enumerate(SECONDS, start=1)})
    products = replace(run[0], slurm_jobs=notes)
    facts = replace(run[1], cost=CostSettings(cores_per_node=2))
    summary = write_summary(products, facts, tmp_path / "summary.json")
    assert summary["cost"]["hours"]["source"] == "benchmarks"
    assert summary["run"]["cores"] is None
    total = summary["cost"]["hours"]["total"]
    assert total["node_hours"] == pytest.approx(summary["cost"]["core_seconds_total"] / 7200)
    note = "no records of SLURM: sacct: Slurm accounting storage is disabled. All hours are from benchmarks."
    assert note in page_of(products, tmp_path, monkeypatch)
    assert "(benchmarks)" in closing_page(summary)


def test_a_target_that_was_not_run_here_is_priced_by_the_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lat, lon = np.linspace(-40.0, 60.0, 30), np.linspace(-120.0, 140.0, 30)
    products, facts = synthetic_archive_run(tmp_path / "run", GRID, lat, lon)
    without = write_summary(products, facts, tmp_path / "summary.json")
    assert without["cost"]["spin_up"]["price"] is None
    advice = "is not known here: set <code>cost.node_hours_per_model_year</code>"
    assert advice in page_of(products, tmp_path, monkeypatch)
    priced = replace(facts, cost=CostSettings(node_hours_per_model_year=10.0, cores_per_node=100))
    summary = write_summary(products, priced, tmp_path / "summary.json")
    row = summary["cost"]["spin_up"]["node_hours"]
    measured = summary["cost"]["core_seconds_by_role"]
    # 20 years up to the base and the 100 after it, and what was done here.
    assert row["conventional"] == 12000.0
    assert row["without_labels"] == pytest.approx(1200.0 + measured["accelerated"] / 360000)
    assert row["with_labels"] - row["without_labels"] == pytest.approx(measured["labels"] / 360000)
    assert "120 model years of it are run elsewhere" in page_of(products, tmp_path, monkeypatch)
    assert "conventional 12,000 (configured)" in closing_page(summary)
    assert len(closing_page(summary).splitlines()) <= 40


def test_tables_and_jobs_of_another_configuration_do_not_count(
    run: tuple[RunProducts, RunFacts], sacct: Sacct, tmp_path: Path
) -> None:
    sacct(SACCT)
    left_over = {"fuse_records-my-sites-1": "1", "make_world": "3"}
    stages = read_json(run[0].stages)["stages"]
    plan = {name: facts for name, facts in stages.items() if name not in left_over}
    write_json(tmp_path / "stages.json", {"stages": plan})
    products = replace(
        run[0], stages=tmp_path / "stages.json", slurm_jobs=noted(tmp_path / "slurm_jobs", left_over)
    )
    cost = build_summary(products, run[1])["cost"]
    assert set(cost["core_seconds"]) == set(plan)
    assert "make_world" not in {row["rule"] for row in cost["hours"]["rules"]}
    assert sum(row["jobs"] for row in cost["hours"]["rules"]) == len(plan)


@pytest.mark.parametrize(
    "content", [{}, {"stages": "all"}, {"stages": [1]}, {"stages": {"a": {"rule": "a", "role": "odd"}}}]
)
def test_a_plan_that_names_no_stages_is_refused(
    run: tuple[RunProducts, RunFacts], tmp_path: Path, content: dict[str, Any]
) -> None:
    write_json(tmp_path / "stages.json", content)
    assert read_json(tmp_path / "stages.json") == content
    with pytest.raises(InputError, match=r"stages\.json: does not name the stages of the run"):
        build_summary(replace(run[0], stages=tmp_path / "stages.json"), run[1])
