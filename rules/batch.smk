# On a cluster: who works on the run, and what a profile says of many rules at once.
from phase_lib.base.batch import begin_run, begin_submission


def begin_this_run():
    """Ends the run where another Snakemake is at work on it; readies the submission of jobs."""
    try:
        begin_run(Path(RUN))
        if workflow.executor_plugin.name == "slurm":
            begin_submission(Path(RUN))
            patient = f"{workflow.basedir}/profiles/slurm/bin"
            os.environ.update(PATH=os.pathsep.join([patient, os.getenv("PATH", os.defpath)]))
    except PhaseError as error:
        print(f"phase: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


def set_by_profile(name, *families):
    """What a profile sets for a family of stages holds for one of them, unless it names that one."""
    given = workflow.resource_settings
    for values in (given._parsed_overwrite_resources, given._parsed_overwrite_threads):
        for family in families:
            if name not in values and family in values:
                values[name] = values[family]
