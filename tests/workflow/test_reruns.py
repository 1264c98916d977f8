"""What changed is made again with all that depends on it, and nothing else."""

from __future__ import annotations

import json
import shutil
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.workflow.conftest import SMALL, Workflow

pytestmark = pytest.mark.slow

RESTART = "ad.elm.r.0021-01-01-00000.nc"

VERDICT = {"judge_equilibrium", "write_report", "all"}
#: Runs that are corrected at the start of year 41, and what follows their first window.
CORRECTED = ("injected", "no_surrogate")
AFTER_WINDOW = {f"{step}_{run}_0041" for run in CORRECTED for step in ("correct", "inject", "audit")}
AFTER_WINDOW |= {f"run_{run}_0081" for run in CORRECTED}
INJECTED = {"inject_restart", "audit_injected", "run_injected_0041", "run_uncorrected_0081", *VERDICT}
INJECTED |= {stage for stage in AFTER_WINDOW if "injected" in stage}
CONTROL = {"convert_control", "audit_control", "run_control_0081", "run_no_surrogate_0041"}
CONTROL |= {stage for stage in AFTER_WINDOW if "no_surrogate" in stage}
AUDITS = {
    "audit_injected",
    "audit_control",
    "write_report",
    "all",
}
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
        ("damping", "correction: {damping: 0.5}", AFTER_WINDOW | VERDICT),
        (
            "window",
            "stabilisation: {windows: [20, 20]}",
            {f"{step}_{run}_0061" for run in CORRECTED for step in ("run", "correct", "inject", "audit")}
            | {f"run_{run}_0101" for run in (*CORRECTED, "control", "uncorrected")}
            | VERDICT,
        ),
        ("controls", "stabilisation: {controls: [control]}", VERDICT),
        ("ood", "ood: {action: predict}", {"predict_cells", *INJECTED}),
        ("split", "dataset: {block_degrees: 20.0}", JOINED - {"join_records"}),
        ("co2", "embedded: {co2_ppm: 290.0}", EVERYTHING - {"make_world", "reduce_forcing"}),
        ("seed", "embedded: {seed: 11}", EVERYTHING),
    ],
)
def test_a_changed_key_reruns_the_stages_that_use_it(
    small_run: Workflow, name: str, text: str, expected: set[str]
) -> None:
    assert small_run.planned(configs=extra_config(small_run, name, text)) == expected


#: What is appended to a module.
CODE, COMMENT = "\n_CHANGED = True\n", "\n# changed\n"


@pytest.mark.parametrize(
    ("additions", "expected"),
    [
        ({"landmodel/embedded/world/climate.py": CODE}, EVERYTHING),
        ({"landmodel/embedded/vegetation.py": CODE}, EVERYTHING - {"make_world", "reduce_forcing"}),
        ({"fusion/cleaning.py": CODE}, DATASET),
        ({"dataset/joining.py": CODE}, JOINED),
        ({"surrogate/networks/phase/network.py": CODE}, SURROGATE),
        ({"injection/inject.py": CODE}, INJECTED | CONTROL),
        ({"equilibrium/nitrogen.py": CODE}, AFTER_WINDOW | VERDICT),
        ({"report/closing.py": CODE}, {"write_report", "all"}),
        ({"forcing/causes.py": CODE}, {"compare_forcing", "write_report", "all"}),
        ({"elm/audit/soil.py": CODE}, AUDITS),
        ({"equilibrium/verdict.py": CODE}, {"compare_experiments", *VERDICT}),
        (
            {
                **dict.fromkeys(("preflight/disk.py", "surrogate/networks/mlp.py", "cli/fusion.py"), CODE),
                "elm/netcdf.py": COMMENT,
            },
            set(),
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else "",
)
def test_changed_modules_rerun_the_stages_that_import_them(
    small_run: Workflow, additions: dict[str, str], expected: set[str]
) -> None:
    with ExitStack() as changes:
        for module, line in additions.items():
            changes.enter_context(small_run.changed(small_run.root / "phase_lib" / module, line))
        assert small_run.planned() == expected


#: A sentence of the audit, and one in other words.
SENTENCE = ("is below the active layers, unused", "lies below the active layers and is not used")


def test_a_reworded_finding_really_repeats_the_audits_and_the_report_alone(
    small_run: Workflow, tmp_path: Path
) -> None:
    workflow = small_run.clone(tmp_path / "clone")
    assert workflow.planned() == set()
    file = workflow.root / "phase_lib" / "elm" / "audit" / "values.py"
    text = file.read_text(encoding="utf-8")
    assert SENTENCE[0] in text
    file.write_text(text.replace(*SENTENCE), encoding="utf-8")
    assert workflow.planned() == AUDITS
    before = workflow.times()
    result = workflow.snakemake()
    assert result.returncode == 0, result.stdout
    made = {name for name, time in workflow.times().items() if time != before.get(name)}
    restarts = {f"restart/{RESTART}", f"restart/control/{RESTART}"}
    assert {f"{name}.audit.json" for name in restarts} <= made
    assert not restarts & made
    others = {name.split("/")[0] for name in made} - {"report", "logs", "benchmarks"}
    assert others == {"restart", "summary.json", "preflight.json"}
    assert {name for name in made if name.startswith("restart")} == {
        f"{name}.audit.json" for name in restarts
    }
    # The audits of corrected restarts lie behind these, and are made by the same command.
    later = {f"audit_{run}_0041" for run in CORRECTED}
    assert all(stage in result.stdout for stage in later)
    assert workflow.planned() == {*later, "write_report", "all"}


def test_what_an_update_of_two_stages_left_out_is_named_and_made_by_the_same_command(
    small_run: Workflow, tmp_path: Path
) -> None:
    """Snakemake compares no code behind a stage that it repeats, and `ancient` inputs repeat nothing."""
    workflow, headline = small_run.clone(tmp_path / "clone"), small_run.closing.splitlines()[0]
    for module in ("forcing/causes.py", "equilibrium/verdict.py"):
        file = workflow.root / "phase_lib" / module
        file.write_text(file.read_text(encoding="utf-8") + CODE, encoding="utf-8")
    result = workflow.snakemake()
    assert result.returncode == 0, result.stdout
    assert "judge_equilibrium: made by other settings or code" in result.stdout
    assert headline not in result.stdout
    result = workflow.snakemake()
    assert result.returncode == 0, result.stdout
    assert headline in result.stdout
    assert workflow.planned() == set()


def test_an_error_in_the_audit_stops_the_run_before_the_land_model_and_leaves_no_restart_by_hand(
    small_run: Workflow, tmp_path: Path
) -> None:
    workflow = small_run.clone(tmp_path / "clone")
    # A limit that no restart keeps.
    file, limit = workflow.root / "phase_lib" / "elm" / "audit" / "soil.py", "= 1.0e-3, 1.0e-7\n"
    text = file.read_text(encoding="utf-8")
    assert limit in text
    file.write_text(text.replace(limit, "= -1.0e-3, -1.0\n"), encoding="utf-8")
    last = "landmodel/injected/injected.elm.r.0041-01-01-00000.nc"
    (workflow.results / last).unlink()
    before = workflow.times()
    result = workflow.snakemake(target=workflow.results / last)
    assert result.returncode == 1
    assert "soil-cn" in result.stdout
    assert not (workflow.results / last).exists()
    after = workflow.times()
    made = {name for name in after if after[name] != before.get(name)}
    assert {name.split("/")[0] for name in made} == {"preflight.json", "logs"}

    output = tmp_path / "by_hand.nc"
    world = workflow.results / "world"
    injected = workflow.phase(
        *("inject", "--restart", workflow.results / "landmodel" / "ad" / RESTART),
        *("--surface", world / "surfdata.nc", "--params", world / "clm_params.nc"),
        *("--soil-params", world / "CNP_parameters.nc", "--output", output),
    )
    assert injected.returncode == 2
    assert "soil-cn" in injected.stdout
    assert list(tmp_path.glob("by_hand*")) == []


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

    before = workflow.times()
    configs = extra_config(workflow, "stricter", "equilibrium: {nbp_pgc_per_yr: 0.05}")
    result = workflow.snakemake(configs=configs)
    assert result.returncode == 0, result.stdout
    after = workflow.times()
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
