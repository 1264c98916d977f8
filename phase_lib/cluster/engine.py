"""All names of Snakemake that it does not document and that the rules depend on.

A new version of Snakemake may change any of them. Then the first use ends the workflow with a sentence that
names the missing name and its purpose, and the test of this file fails.
"""

from __future__ import annotations

import sys
from collections import ChainMap
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from importlib.metadata import version
from operator import attrgetter
from pathlib import Path
from typing import Any

from phase_lib.base.errors import PhaseError


class EngineChanged(PhaseError):
    """Snakemake no longer has a name that the rules need."""


def _name(whole: Any, path: str, purpose: str) -> Any:
    """The attribute with a dotted `path` of one of Snakemake's objects."""
    try:
        return attrgetter(path)(whole)
    except AttributeError as error:
        raise EngineChanged(
            f"Snakemake {version('snakemake')} has no {type(whole).__name__}.{path}, which PHASE needs for "
            f"{purpose}; install the version that requirements.lock names"
        ) from error


def configuration_of(workflow: Any) -> tuple[list[Path], dict[str, Any]]:
    """The configuration files in the order of merging, and the keys of the command line."""
    purpose = "the configuration"
    given = _name(workflow, "config_settings.configfiles", purpose)
    # The Snakefile's own, the default, is read after them, if it is in the working directory.
    default = _name(workflow, "configfiles", purpose)[len(given) :]
    return [*map(Path, [*default, *given])], dict(_name(workflow, "config_settings.config", purpose))


@dataclass(frozen=True)
class Executor:
    """The executor of the jobs: `local`, `slurm`, ...; for SLURM the command that asks for their state."""

    name: str
    status_command: str | None


def executor_of(workflow: Any) -> Executor:
    """The executor that this Snakemake was started with."""
    name = _name(workflow, "executor_plugin.name", "the submission of jobs")
    status = None
    if name == "slurm":
        status = _name(workflow, "executor_settings.status_command", "asking SLURM for the state of jobs")
    return Executor(name, status)


def cores_of(workflow: Any) -> int:
    """Cores that the workflow may use on this machine."""
    return int(_name(workflow, "resource_settings.cores", "the cores in the summary") or 1)


def limit_resource(workflow: Any, name: str, limit: int) -> None:
    """Lets jobs hold `limit` of a resource at the same time, unless the command line gave another number."""
    if name not in _name(workflow, "global_resources", "the limit on experiments"):
        _name(workflow, "register_resource", "the limit on experiments")(name, limit)


def set_by_profile(workflow: Any, rule: str, *families: str, known: Collection[str] = ()) -> None:
    """Gives a rule the resources and threads that a profile sets for its families, unless it names the rule.

    Args:
        workflow: Snakemake's.
        rule: for example `run_ad_0021`.
        families: names of families of the rule, the closest first.
        known: resources that the rule itself asks for; the last family, the widest, does not replace them.
    """
    from snakemake.resources import Resources

    purpose = "resources of land-model segments in profiles"
    resources = _name(workflow, "resource_settings._parsed_overwrite_resources", purpose)
    threads = _name(workflow, "resource_settings._parsed_overwrite_threads", purpose)
    if chosen := [dict(resources[key]) for key in (rule, *families) if key in resources]:
        if families[-1] in resources:
            chosen[-1] = {key: value for key, value in chosen[-1].items() if key not in known}
        resources[rule] = Resources(dict(ChainMap(*chosen)))
    if counts := [threads[key] for key in (rule, *families) if key in threads]:
        threads[rule] = counts[0]


def planned_jobs(workflow: Any) -> list[Any]:
    """The jobs that this call of Snakemake knows of, done or to do."""
    return list(_name(workflow, "dag.jobs", "the plan of the run"))


def outdated_stages(workflow: Any) -> list[str]:
    """After a run, the rules that were left out although their settings or code have changed.

    Snakemake compares these for no job behind one that it repeats, and then does not repeat a job behind an
    `ancient` input either.
    """
    from snakemake.settings.types import RerunTrigger

    purpose = "the stages that an update left out"
    if RerunTrigger.PARAMS not in _name(workflow, "rerun_triggers", purpose):
        return []  # the user asked not to compare them
    changed = _name(workflow, "persistence.params_changed", purpose)
    finished = _name(workflow, "dag.finished", purpose)
    return sorted({rule_name(job) for job in planned_jobs(workflow) if not finished(job) and changed(job)})


def rule_name(job: Any) -> str:
    """Name of the rule of a job."""
    return str(_name(job, "rule.name", "the plan of the run"))


def benchmark_pattern(job: Any) -> str:
    """Path of the benchmark of a job's rule, with names of wildcards; empty where the rule has none."""
    from snakemake.io import strip_wildcard_constraints

    return str(strip_wildcard_constraints(_name(job, "rule.benchmark", "the plan of the run") or ""))


@dataclass(frozen=True)
class RemoteJob:
    """The task of the Snakemake within a job of a cluster.

    Attributes:
        stages: names of the stages, as their logs and benchmarks have them.
        patience: seconds to wait until files are seen.
    """

    stages: list[str]
    patience: float


def remote_job(workflow: Any, arguments: Iterable[str] | None = None) -> RemoteJob | None:
    """The task of this Snakemake if it runs within a job; None for the one that a person started.

    Args:
        workflow: Snakemake's.
        arguments: of its command line; those of this process by default.
    """
    purpose = "distinguishing the stages of a job"
    if not _name(workflow, "remote_exec", purpose):
        return None
    from snakemake.cli import get_argument_parser

    words = list(sys.argv[1:] if arguments is None else arguments)
    parsed = get_argument_parser().parse_args(words)
    stages = []
    for target in _name(parsed, "target_jobs", purpose):
        rule = _name(workflow, "get_rule", purpose)(_name(target, "rulename", purpose))
        file = _name(rule, "benchmark.apply_wildcards", purpose)(_name(target, "wildcards_dict", purpose))
        stages.append(Path(file).stem)
    return RemoteJob(stages, float(_name(parsed, "latency_wait", purpose)))
