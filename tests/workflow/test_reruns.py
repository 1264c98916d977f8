"""What changed is made again with all that depends on it, and nothing else."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.workflow.conftest import SMALL, Workflow

pytestmark = pytest.mark.slow

VERDICT = {"judge_equilibrium", "write_report", "all"}
INJECTED = {"inject_restart", "run_injected_0061", *VERDICT}
CONTROL = {"convert_control", "run_control_0061"}
EXPERIMENTS = {"train_experiment", "predict_experiment", "compare_experiments"}
SURROGATE = {"train_surrogate", "predict_cells", "predict_test_cells", *EXPERIMENTS, *INJECTED}
NORMALIZED = {"normalize_features", "normalize_experiment_features"}
JOINED = {"join_records", "split_cells", *NORMALIZED, *SURROGATE}
DATASET = {"fuse_records", *JOINED}
CHAIN = {"run_ad_0021", "run_ad_0061", "run_reference_0101"}
EVERYTHING = {"make_world", "reduce_forcing", "compare_forcing", *CHAIN, *CONTROL, *DATASET}


def extra_config(workflow: Workflow, name: str, text: str) -> tuple[str, str]:
    path = workflow.root / f"{name}.yaml"
    path.write_text(text, encoding="utf-8")
    return SMALL, str(path)


def test_a_fresh_copy_plans_every_stage(fresh_workflow: Workflow) -> None:
    assert fresh_workflow.planned() == EVERYTHING


def test_a_second_run_does_nothing(small_run: Workflow) -> None:
    result = small_run.snakemake()
    assert result.returncode == 0
    assert "Nothing to be done" in result.stdout


def test_a_part_of_a_run_does_not_close_with_the_page_of_an_earlier_one(
    small_run: Workflow, tmp_path: Path
) -> None:
    headline = small_run.closing.splitlines()[0]
    assert headline in small_run.first
    copy = small_run.clone(tmp_path / "copy")
    again = copy.snakemake("--forcerun", "split_cells", target=copy.results / "dataset" / "split_block.nc")
    assert again.returncode == 0, again.stdout
    assert headline not in again.stdout


def test_a_touched_forcing_file_reruns_all_but_the_world(small_run: Workflow) -> None:
    file = small_run.results / "world" / "forcing" / "clmforc.embedded.Prec.1903-05.nc"
    with small_run.touched(file):
        assert small_run.planned() == EVERYTHING - {"make_world"}


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("learning_rate", "surrogate: {learning_rate: 0.0017}", SURROGATE),
        ("threshold", "equilibrium: {cell_drift_gc_m2_yr: 1.5}", VERDICT),
        ("ood", "ood: {action: predict}", {"predict_cells", *INJECTED}),
        ("split", "dataset: {block_degrees: 20.0}", JOINED - {"join_records"}),
        ("co2", "land_model: {co2_ppm: 290.0}", EVERYTHING - {"make_world", "reduce_forcing"}),
        ("seed", "world: {seed: 11}", EVERYTHING),
    ],
)
def test_a_changed_key_reruns_the_stages_that_use_it(
    small_run: Workflow, name: str, text: str, expected: set[str]
) -> None:
    assert small_run.planned(configs=extra_config(small_run, name, text)) == expected


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        ("landmodel/embedded/world/climate.py", EVERYTHING),
        ("landmodel/embedded/vegetation.py", EVERYTHING - {"make_world", "reduce_forcing"}),
        ("forcing/causes.py", {"compare_forcing", "write_report", "all"}),
        ("fusion/cleaning.py", DATASET),
        ("dataset/joining.py", JOINED),
        ("preflight/disk.py", set()),
        ("surrogate/networks/phase/network.py", SURROGATE),
        ("surrogate/networks/mlp.py", set()),
        ("injection/inject.py", INJECTED | CONTROL),
        ("equilibrium/verdict.py", VERDICT),
        ("report/closing.py", {"write_report", "all"}),
        ("cli/fusion.py", set()),
    ],
)
def test_a_changed_module_reruns_the_stages_that_import_it(
    small_run: Workflow, module: str, expected: set[str]
) -> None:
    with small_run.changed(small_run.root / "phase_lib" / module, "\n_CHANGED = True\n"):
        assert small_run.planned() == expected


def test_a_changed_comment_reruns_nothing(small_run: Workflow) -> None:
    with small_run.changed(small_run.root / "phase_lib" / "elm" / "netcdf.py", "\n# changed\n"):
        assert small_run.planned() == set()


@dataclass(frozen=True)
class Stricter:
    """A run whose verdict was judged again, by another threshold.

    Attributes:
        workflow: the copy.
        configs: its configuration.
        made: first parts of the names of files that are new or were written again.
    """

    workflow: Workflow
    configs: tuple[str, str]
    made: set[str]


#: A stage of another target that ran in the same directory.
LEFT_OVER = "fuse_records-elsewhere-1"


@pytest.fixture(scope="module")
def stricter(small_run: Workflow, tmp_path_factory: pytest.TempPathFactory) -> Stricter:
    """The small run with another threshold, and with a benchmark that is not its own."""
    workflow = small_run.clone(tmp_path_factory.mktemp("stricter") / "clone")
    assert workflow.planned() == set()
    tables = workflow.results / "benchmarks"
    shutil.copy(tables / "fuse_records-embedded-1.tsv", tables / f"{LEFT_OVER}.tsv")

    def times() -> dict[str, int]:
        files = [path for path in workflow.results.rglob("*") if path.is_file()]
        return {path.relative_to(workflow.results).as_posix(): path.stat().st_mtime_ns for path in files}

    before = times()
    configs = extra_config(workflow, "stricter", "equilibrium: {nbp_pgc_per_yr: 0.05}")
    result = workflow.snakemake(configs=configs)
    assert result.returncode == 0, result.stdout
    after = times()
    made = {name.split("/")[0] for name in after if after[name] != before.get(name)}
    return Stricter(workflow, configs, made)


def test_a_changed_threshold_really_runs_only_the_verdict_and_the_report(stricter: Stricter) -> None:
    assert stricter.made == {"equilibrium", "report", "summary.json", "preflight.json", "logs", "benchmarks"}
    assert stricter.workflow.planned(configs=stricter.configs) == set()


def test_what_another_target_cost_in_the_same_directory_is_not_counted(stricter: Stricter) -> None:
    results = stricter.workflow.results
    counted = set(json.loads((results / "summary.json").read_text(encoding="utf-8"))["cost"]["roles"])
    tables = {path.stem for path in (results / "benchmarks").glob("*.tsv")}
    assert counted == tables - {LEFT_OVER}


def test_predictions_in_two_jobs_are_the_same_file_as_in_one(small_run: Workflow, tmp_path: Path) -> None:
    workflow = small_run.clone(tmp_path / "clone")
    file = workflow.results / "predictions" / "predictions.nc"
    configs = extra_config(workflow, "two_jobs", "target: {prediction_jobs: 2}")
    assert workflow.planned(configs=configs, target=file) == {"predict_cells", "join_predictions"}
    before = file.stat().st_mtime_ns, file.read_bytes()
    result = workflow.snakemake(configs=configs, target=file)
    assert result.returncode == 0, result.stdout
    assert file.stat().st_mtime_ns > before[0]
    assert file.read_bytes() == before[1]
    assert list(file.parent.glob("part*")) == []


def test_a_chain_resumes_at_the_last_restart(small_run: Workflow, tmp_path: Path) -> None:
    lost = small_run.results / "landmodel" / "ad" / "ad.elm.r.0061-01-01-00000.nc"
    kept = tmp_path / lost.name
    lost.rename(kept)
    try:
        assert small_run.planned(target=lost) == {"run_ad_0061"}
    finally:
        kept.rename(lost)
