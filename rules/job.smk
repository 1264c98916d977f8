# Within a SLURM job, which reads the workflow again: before it looks at any product (Snakemake removes a job's
# former outputs before it calls the command) it becomes the only one at work on its stages.
from snakemake.cli import get_argument_parser

from phase_lib.cluster.runs import enter_stages


def stage_of(target):
    """Name of a job's stage, as its log and its benchmark have it."""
    pattern = workflow.get_rule(target.rulename).benchmark
    return Path(pattern.apply_wildcards(target.wildcards_dict)).stem


if workflow.remote_exec and "SLURM_JOB_ID" in os.environ:
    arguments = get_argument_parser().parse_args(sys.argv[1:])
    try:
        enter_stages(
            Path(RUN),
            [stage_of(target) for target in arguments.target_jobs],
            patience=arguments.latency_wait,
        )
    except PhaseError as error:
        print(f"phase: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
