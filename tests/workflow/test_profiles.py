"""The cluster profile names what exists, and plans what the laptop's plans."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from snakemake.cli import get_argument_parser

from tests.workflow.conftest import ROOT, SMALL, Workflow

PROFILE = ROOT / "profiles" / "slurm" / "config.yaml"
#: Names under which a profile addresses several segments of the land model.
FAMILIES = {"run_segment", "run_ad", "run_reference", "run_control", "run_injected", "correct_run"}


def documented() -> Iterator[str]:
    """The profiles of other sites in the documentation."""
    yield from re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "cluster.md").read_text(), flags=re.DOTALL)


PROFILES = [PROFILE.read_text(encoding="utf-8"), *documented()]


def of_profile(text: str) -> dict[str, Any]:
    return dict(yaml.safe_load(text))


@pytest.fixture(scope="module")
def rules() -> set[str]:
    """Names of all rules of the small configuration."""
    result = subprocess.run(
        [sys.executable, "-m", "snakemake", "--list-rules", "--configfile", SMALL],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(result.stdout.split())


def test_four_lines_are_to_be_edited() -> None:
    lines = [line for line in PROFILES[0].splitlines() if "# EDIT" in line]
    assert [re.search(r"EDIT (\d)", line)[1] for line in lines] == ["1", "2", "3", "4"]  # type: ignore[index]


@pytest.mark.parametrize("text", PROFILES)
def test_every_rule_of_a_profile_is_one_of_the_workflow(text: str, rules: set[str]) -> None:
    profile = of_profile(text)
    # A rule that only some configurations have.
    optional = {"join_predictions"}
    for key in ("set-resources", "set-threads", "groups"):
        assert set(profile.get(key, {})) <= rules | FAMILIES | optional


@pytest.mark.parametrize("text", PROFILES)
def test_every_key_of_a_profile_is_an_option_of_snakemake(text: str) -> None:
    options = {word for action in get_argument_parser()._actions for word in action.option_strings}
    assert {f"--{key}" for key in of_profile(text)} <= options


def test_the_cluster_profile_plans_what_the_default_one_plans(fresh_workflow: Workflow) -> None:
    plan = fresh_workflow.snakemake("--dry-run", "--profile", "profiles/slurm")
    assert plan.returncode == 0, plan.stdout
    names = set(re.findall(r"^(\w+) +\d+$", plan.stdout, flags=re.MULTILINE)) - {"total"}
    assert names == fresh_workflow.planned()


#: Appended to a Snakefile: what a job of each rule asks for at its first and its second try.
ASKED = """
def asked(rule, name, attempt):
    resource = rule.resources.get(name)
    given = dict(input=[], attempt=attempt, threads=1, rulename=rule.name, async_run=None)
    return None if resource is None else resource.evaluate(None, **given).value

for rule in workflow.rules:
    if rule.benchmark:
        words = [asked(rule, name, attempt) for name in ("mem_mb", "runtime") for attempt in (1, 2)]
        print("asked", rule.name, *words, *(asked(rule, name, 1) for name in ("nodes", "tasks", "mpi")))
"""


def what_stages_ask_for(workflow: Workflow, *words: str) -> dict[str, list[str]]:
    """Rule -> memory (MB) at the first and the second try, minutes likewise, nodes, tasks and MPI."""
    snakefile = workflow.root / "Asked"
    snakefile.write_text((workflow.root / "Snakefile").read_text() + ASKED)
    result = workflow.snakemake("--dry-run", "--snakefile", "Asked", *words)
    assert result.returncode == 0, result.stdout
    return {
        line.split()[1]: line.split()[2:] for line in result.stdout.splitlines() if line.startswith("asked ")
    }


def test_every_stage_asks_for_twice_as_much_at_its_second_try(fresh_workflow: Workflow) -> None:
    asked = what_stages_ask_for(fresh_workflow, "--profile", "profiles/slurm")
    for name, (memory, memory_again, minutes, minutes_again, *_) in asked.items():
        assert (int(memory_again), int(minutes_again)) == (2 * int(memory), 2 * int(minutes)), name
    assert asked["join_records"][:4] == ["4000", "8000", "30", "60"]
    assert asked["train_experiment"] == asked["train_surrogate"]
    assert asked["train_surrogate"][:4] == ["64000", "128000", "240", "480"]
    assert asked["run_injected_0081"][:4] == ["16000", "32000", "240", "480"]
    assert asked["inject_injected_0041"] == asked["inject_restart"]
    assert asked["correct_no_surrogate_0041"][:4] == ["16000", "32000", "60", "120"]


def test_of_settings_for_several_segments_the_closest_holds_key_by_key(fresh_workflow: Workflow) -> None:
    asked = what_stages_ask_for(
        fresh_workflow,
        "--set-resources",
        "run_segment:mem_mb=1000",
        "run_segment:runtime=1",
        "run_ad:runtime=2",
        "run_ad_0061:runtime=3",
        "run_segment:nodes=2",
        "run_segment:tasks=256",
        "run_segment:mpi=srun",
    )
    assert asked["run_control_0081"] == ["1000", "1000", "1", "1", "2", "256", "srun"]
    assert asked["run_ad_0021"] == ["1000", "1000", "2", "2", "2", "256", "srun"]
    assert asked["run_ad_0061"] == ["1000", "1000", "3", "3", "2", "256", "srun"]


def test_a_home_that_cannot_be_written_has_the_documented_remedy(
    fresh_workflow: Workflow, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.touch()
    (remedy,) = re.findall(
        r"^export (XDG_.*)$", (ROOT / "docs" / "cluster.md").read_text(), flags=re.MULTILINE
    )
    places = dict(word.replace("$SCRATCH", str(tmp_path)).split("=") for word in remedy.split())

    def planned(**environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "snakemake", "--dry-run", "--quiet", "all", "--configfile", SMALL],
            cwd=fresh_workflow.root,
            env={**fresh_workflow.environment, "HOME": str(home), **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    assert "NotADirectoryError" in planned(XDG_CACHE_HOME="").stdout
    with_remedy = planned(**places)
    assert with_remedy.returncode == 0, with_remedy.stderr
    assert (tmp_path / "cache" / "snakemake").is_dir()


def test_the_link_does_not_replace_a_profile_of_the_user(tmp_path: Path) -> None:
    profile = tmp_path / ".config" / "snakemake" / "slurm"
    profile.mkdir(parents=True)
    (profile / "config.yaml").write_text("jobs: 1\n")
    result = subprocess.run(
        ["make", "profile"],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2
    assert "exists and is no link" in result.stderr
    assert (profile / "config.yaml").read_text() == "jobs: 1\n"
