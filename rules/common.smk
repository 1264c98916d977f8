# The checked configuration and what the rules share: paths, settings, chains of segments.
import json
import os
import subprocess
import sys
from pathlib import Path

from phase_lib.base.errors import InputError, PhaseError
from phase_lib.base.files import write_json
from phase_lib.base.provenance import code_hash
from phase_lib.config.experiments import BASELINES, OWN
from phase_lib.config.loading import check_config

# Before any rule: an unknown key or an impossible value ends here, in one line.
try:
    CONFIG = check_config(config, list(reversed(workflow.configfiles)))
except PhaseError as error:
    print(f"phase: {error}", file=sys.stderr)
    sys.exit(error.exit_code)

# The rules call `phase` of this interpreter's environment, also where that is not activated.
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


def log_file(name):
    """Log of a rule."""
    return f"{RUN}/logs/{name}.log"


def benchmark_file(name):
    """Seconds and memory of a rule."""
    return f"{RUN}/benchmarks/{name}.tsv"


def check_inputs():
    """Ends the run, with the check's own lines and exit code, where its inputs cannot be right."""
    understood = f"{RUN}/preflight.json"
    words = ["check", "--config", settings(CONFIG), "--report", understood, "--log", log_file("check_inputs")]
    status = subprocess.run([sys.executable, "-m", "phase_lib.cli", *words]).returncode
    if status:
        sys.exit(status)


def writes_report(jobs):
    """Is the report wanted, or a part of the run alone?"""
    return any(job.rule.name == "write_report" for job in jobs)


def write_plan(jobs):
    """Names the stages of the run for its report: benchmarks of other ones may lie in its directory."""
    if writes_report(jobs):
        stages = {Path(job.benchmark).stem for job in jobs if job.benchmark}
        write_json(STAGES, {"stages": sorted(stages)})


def flat(files):
    """Files of one input, whether it is one or several."""
    return [files] if isinstance(files, str) else list(files)


def by_split(option, files):
    """Words that hand one file of each split to a command."""
    return [word for split, file in zip(SPLITS, files) for word in (option, split, file)]
