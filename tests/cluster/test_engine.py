"""What the rules need of Snakemake beyond what it documents is there, or missed in a sentence."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from phase_lib.cluster import engine

SNAKEFILE = """
import json
from phase_lib.cluster import engine

configfile: "default.yaml"
engine.limit_resource(workflow, "seats", 3)
engine.set_by_profile(workflow, "run_ad_0021", "run_ad", "run_segment", known=("nodes",))


rule all:
    input:
        "done-21",


rule run_ad_0021:
    output:
        "done-{year}",
    benchmark:
        "tables/run_ad-{year}.tsv"
    wildcard_constraints:
        year=r"\\d+",
    threads: 1
    resources:
        seats=1,
        nodes=2,
    shell:
        "echo {threads} {resources.mem_mb} {resources.runtime} {resources.nodes} > {output}"


onstart:
    jobs = engine.planned_jobs(workflow)
    executor = engine.executor_of(workflow)
    facts = {
        "executor": [executor.name, executor.status_command],
        "cores": engine.cores_of(workflow),
        "jobs": sorted([engine.rule_name(job), engine.benchmark_pattern(job)] for job in jobs),
        "seats": str(workflow.global_resources["seats"]),
        "remote": engine.remote_job(workflow),
        "configuration": str(engine.configuration_of(workflow)),
    }
    with open("facts.json", "w") as file:
        json.dump(facts, file)
"""


def test_snakemake_has_every_name_that_the_rules_need(tmp_path: Path) -> None:
    (tmp_path / "Snakefile").write_text(SNAKEFILE, encoding="utf-8")
    files = [tmp_path / "first.yaml", tmp_path / "second.yaml"]
    for file in (tmp_path / "default.yaml", *files):
        file.write_text("{}")
    words = ["--configfile", "first.yaml", "second.yaml", "--config", "seats=4"]
    words += ["--cores", "2", "--set-resources", "run_segment:mem_mb=500", "run_ad:mem_mb=700"]
    words += ["run_segment:runtime=7", "run_segment:nodes=9", "--set-threads", "run_ad=2"]
    result = subprocess.run(
        [sys.executable, "-m", "snakemake", *words], cwd=tmp_path, capture_output=True, text=True
    )
    assert result.returncode == 0, f"this Snakemake is not one that PHASE runs with: {result.stderr}"
    assert json.loads((tmp_path / "facts.json").read_text()) == {
        "executor": ["local", None],
        "cores": 2,
        "jobs": [["all", ""], ["run_ad_0021", "tables/run_ad-{year}.tsv"]],
        "seats": 'Resource("seats", 3)',
        "remote": None,
        "configuration": str(
            ([Path("default.yaml"), tmp_path / "first.yaml", tmp_path / "second.yaml"], {"seats": 4})
        ),
    }
    # The closest family goes before the others, key by key; the widest replaces nothing that the rule sets.
    assert (tmp_path / "done-21").read_text().split() == ["2", "700", "7", "2"]


@pytest.mark.parametrize(
    ("use", "name"),
    [
        (engine.executor_of, "executor_plugin.name"),
        (engine.cores_of, "resource_settings.cores"),
        (engine.planned_jobs, "dag.jobs"),
        (engine.remote_job, "remote_exec"),
        (lambda workflow: engine.limit_resource(workflow, "seats", 1), "global_resources"),
        (
            lambda workflow: engine.set_by_profile(workflow, "a", "b"),
            "resource_settings._parsed_overwrite_resources",
        ),
    ],
)
def test_a_name_that_snakemake_lost_is_missed_in_a_sentence(use: Callable[[Any], Any], name: str) -> None:
    with pytest.raises(engine.EngineChanged, match=r"^Snakemake \d.* has no SimpleNamespace\.") as caught:
        use(SimpleNamespace())
    assert f".{name}, which PHASE needs for " in str(caught.value)
    assert "requirements.lock" in str(caught.value)
