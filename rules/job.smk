# Within a SLURM job, which reads the workflow again: before it looks at any product (Snakemake removes a job's
# former outputs before it calls the command) it becomes the only one at work on its stages.
from phase_lib.cluster.engine import remote_job
from phase_lib.cluster.runs import enter_stages

if "SLURM_JOB_ID" in os.environ:
    with one_line():
        if job := remote_job(workflow):
            enter_stages(Path(RUN), job.stages, patience=job.patience)
