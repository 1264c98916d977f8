# The checked configuration and what the rules share: paths, settings, chains of segments.
import json
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

from phase_lib.base.errors import InputError, PhaseError
from phase_lib.base.files import write_json
from phase_lib.base.provenance import code_hash
from phase_lib.cluster.engine import (
    benchmark_pattern,
    configuration_of,
    outdated_stages,
    planned_jobs,
    rule_name,
)
from phase_lib.config.experiments import BASELINES, OWN
from phase_lib.config.loading import check_config


@contextmanager
def one_line():
    """Ends the workflow with the one line of an error."""
    try:
        yield
    except PhaseError as error:
        print(f"phase: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


# Before any rule: an unknown key or an impossible value ends here.
with one_line():
    CONFIG = check_config(*configuration_of(workflow))

# The rules call `phase` of the environment of this interpreter, also where it is not activated.
shell.executable("bash")
shell.prefix(f'set -euo pipefail; export PATH="{Path(sys.executable).parent}:$PATH"; ')

RUN = CONFIG.run.directory.as_posix()
DATASET = f"{RUN}/dataset"
CLOSING = f"{RUN}/report/closing.txt"
STAGES = f"{RUN}/benchmarks/stages.json"
SPLITS = ("random", "block")


def settings(section, *keys):
    """A section of the configuration, or some keys of it, as JSON for `--settings`."""
    values = section.model_dump(mode="json")
    return json.dumps({key: values[key] for key in keys} if keys else values, sort_keys=True)


def normalized_by(surrogate):
    """What the normalisation depends on, as JSON for `--settings`."""
    return json.dumps({"preset": surrogate.preset.kind, "leave_out": surrogate.leave_out})


def log_file(name):
    """Log of a rule."""
    return f"{RUN}/logs/{name}.log"


# The role of a stage's cost, by its benchmark: the report sorts costs by it.
COSTS = {}


def benchmark_file(name, role, rule=None, conventional_years=0):
    """Seconds and memory of a rule, whose cost counts as `role`: a role, or a function of the wildcards.

    Segments of one land-model run share the name `rule`; `conventional_years` are model years that a stage does
    of the target's conventional spin-up.
    """
    file = f"{RUN}/benchmarks/{name}.tsv"
    COSTS[file] = {"rule": rule, "role": role, "conventional_years": conventional_years}
    return file


def by_split(wildcards):
    """Role of a stage of one split: the blocked split's model makes the injected state."""
    return "accelerated" if wildcards.split == "block" else "verification"


def by_domain(wildcards):
    """Role of a stage of one domain: other domains than the target only serve training."""
    return "accelerated" if wildcards.domain == CONFIG.target.domain else "labels"


def check_inputs():
    """Ends the run where its inputs cannot be right, with the lines and the exit code of the check."""
    understood = f"{RUN}/preflight.json"
    words = ["check", "--config", settings(CONFIG), "--report", understood, "--log", log_file("check_inputs")]
    status = subprocess.run([sys.executable, "-m", "phase_lib.cli", *words]).returncode
    if status:
        sys.exit(status)


def writes_report(jobs):
    """True where the run makes the report, False for a part of the run."""
    return any(rule_name(job) == "write_report" for job in jobs)


def planned_stage(job):
    """Facts of a stage that the report needs."""
    facts = COSTS[benchmark_pattern(job)]
    role = facts["role"]
    return facts | {
        "rule": facts["rule"] or rule_name(job),
        "role": role(job.wildcards) if callable(role) else role,
    }


def write_plan(jobs):
    """Describes the stages of the run for its report: benchmarks of other ones may lie in its directory."""
    if writes_report(jobs):
        stages = {Path(job.benchmark).stem: planned_stage(job) for job in jobs if job.benchmark}
        stages |= stages_of_later_rounds()
        write_json(STAGES, {"stages": dict(sorted(stages.items()))})


def flat(files):
    """Files of one input, whether it is one or several."""
    return [files] if isinstance(files, str) else list(files)


def words_by_split(option, files):
    """Words that hand one file of each split to a command."""
    return [word for split, file in zip(SPLITS, files) for word in (option, split, file)]
