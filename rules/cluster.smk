# Who works on the run. Names of Snakemake that it does not document stand in phase_lib/cluster/engine.py.
from phase_lib.cluster.engine import executor_of
from phase_lib.cluster.runs import begin_run, begin_submission, clear_away


def begin_this_run():
    """Ends the run where another Snakemake is at work on it; ends and removes what a killed one left."""
    with one_line():
        begin_run(Path(RUN))
        executor = executor_of(workflow)
        if executor.name == "slurm":
            begin_submission(Path(RUN), executor.status_command)
            # As the scripts in it name their own place.
            patient = (Path(workflow.basedir) / "profiles/slurm/bin").resolve()
            os.environ.update(PATH=os.pathsep.join([str(patient), os.getenv("PATH", os.defpath)]))
        clear_away(Path(RUN))
