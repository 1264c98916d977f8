# Who works on the run; on a cluster: submission, and what a profile says of many rules at once.
from collections import ChainMap

from snakemake.resources import Resources

from phase_lib.cluster.runs import begin_run, begin_submission, clear_away


def begin_this_run():
    """Ends the run where another Snakemake is at work on it; ends and removes what a killed one left."""
    try:
        begin_run(Path(RUN))
        if workflow.executor_plugin.name == "slurm":
            begin_submission(Path(RUN), workflow.executor_settings.status_command)
            # As the scripts in it name their own place.
            patient = (Path(workflow.basedir) / "profiles/slurm/bin").resolve()
            os.environ.update(PATH=os.pathsep.join([str(patient), os.getenv("PATH", os.defpath)]))
        clear_away(Path(RUN))
    except PhaseError as error:
        print(f"phase: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


def set_by_profile(name, *families):
    """What a profile sets for families of stages, the closest first, holds for one of them, unless it names that."""
    given = workflow.resource_settings
    resources, threads = given._parsed_overwrite_resources, given._parsed_overwrite_threads
    if found := [resources[key] for key in (name, *families) if key in resources]:
        resources[name] = Resources(dict(ChainMap(*found)))
    if found := [threads[key] for key in (name, *families) if key in threads]:
        threads[name] = found[0]
