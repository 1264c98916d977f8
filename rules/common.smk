# The checked configuration and what the rules share: paths, settings, chains of segments.
import json
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

from phase_lib.base.errors import PhaseError
from phase_lib.base.files import matching_file, matching_files, write_json
from phase_lib.base.provenance import code_hash
from phase_lib.cluster.engine import benchmark_pattern, configuration_of, planned_jobs, rule_name
from phase_lib.config.domains import EMBEDDED
from phase_lib.config.experiments import BASELINES, OWN
from phase_lib.config.loading import check_config
from phase_lib.elm.calendar import history_name, restart_name


@contextmanager
def one_line():
    """Ends the workflow with the one line that says what is wrong."""
    try:
        yield
    except PhaseError as error:
        print(f"phase: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


# Before any rule: an unknown key or an impossible value ends here.
with one_line():
    CONFIG = check_config(*configuration_of(workflow))

# The rules call `phase` of this interpreter's environment, also where that is not activated.
shell.executable("bash")
shell.prefix(f'set -euo pipefail; export PATH="{Path(sys.executable).parent}:$PATH"; ')

RUN = CONFIG.run.directory.as_posix()
WORLD = f"{RUN}/world"
DATASET = f"{RUN}/dataset"
CLOSING = f"{RUN}/report/closing.txt"
STAGES = f"{RUN}/benchmarks/stages.json"
SPLITS = ("random", "block")

# Does the workflow run the target's land model, or does its output exist already?
RUNS_TARGET = CONFIG.target.domain == EMBEDDED
# Year of the embedded model's restart that is the surrogate's input.
INPUT_YEAR = 1 + CONFIG.land_model.input_years


def settings(section, *keys):
    """A section of the configuration, or some keys of it, as JSON for `--settings`."""
    values = section.model_dump(mode="json")
    return json.dumps({key: values[key] for key in keys} if keys else values, sort_keys=True)


def log_file(name):
    """Log of a rule."""
    return f"{RUN}/logs/{name}.log"


# What the cost of a stage counts as, by its benchmark: the report sorts costs by it.
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


def restart_file(case, year):
    """Restart that a run wrote at the start of a model year."""
    return f"{RUN}/landmodel/{case}/{restart_name(case, year)}"


def history_files(case, tape, first=None, last=None):
    """History of a run (all of it, or between two restarts): a file for each forcing cycle and tape.

    A file is named after the end of its first interval: the cycle on tape 0, a year on tape 1.
    """
    boundaries = CONFIG.land_model.boundaries(case)
    cycle = CONFIG.world.forcing_years
    first, last = first or boundaries[0], last or boundaries[-1]
    interval = {0: cycle, 1: 1}[tape]
    return [
        f"{RUN}/landmodel/{case}/{history_name(case, tape, start + interval)}"
        for start in range(first, last, cycle)
    ]


def check_inputs():
    """Ends the run, with the check's own lines and exit code, where its inputs cannot be right."""
    understood = f"{RUN}/preflight.json"
    words = ["check", "--config", settings(CONFIG), "--report", understood, "--log", log_file("check_inputs")]
    status = subprocess.run([sys.executable, "-m", "phase_lib.cli", *words]).returncode
    if status:
        sys.exit(status)


def writes_report(jobs):
    """Is the report wanted, or a part of the run alone?"""
    return any(rule_name(job) == "write_report" for job in jobs)


def planned_stage(job):
    """What the report has to know of a stage."""
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
        write_json(STAGES, {"stages": dict(sorted(stages.items()))})


def world_forcing(years):
    """Forcing files of the embedded world."""
    return [
        f"{WORLD}/forcing/clmforc.embedded.{stream}.{year:04d}-{month:02d}.nc"
        for stream in ("Solr", "Prec", "TPQWL")
        for year in years
        for month in range(1, 13)
    ]


def flat(files):
    """Files of one input, whether it is one or several."""
    return [files] if isinstance(files, str) else list(files)


def words_by_split(option, files):
    """Words that hand one file of each split to a command."""
    return [word for split, file in zip(SPLITS, files) for word in (option, split, file)]
