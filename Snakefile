# PHASE spin-up: from a cold start to a stabilised land model and the verdict on its equilibrium.
#
#   snakemake                                     the laptop default, workflow_config.yaml
#   snakemake --configfile my_config.yaml         a configuration of your own
#   snakemake -n                                  what would run, and why
#   snakemake experiments                         only the experiments of the surrogate and their comparison
#   snakemake --profile slurm                     on a cluster (docs/cluster.md)
from snakemake.utils import min_version

min_version("9.10")


configfile: "workflow_config.yaml"


include: "rules/common.smk"
include: "rules/cluster.smk"
include: "rules/domains.smk"
include: "rules/rounds.smk"
include: "rules/forcing.smk"
include: "rules/landmodel.smk"
include: "rules/correction.smk"
include: "rules/fusion.smk"
include: "rules/dataset.smk"
include: "rules/surrogate.smk"
include: "rules/experiments.smk"
include: "rules/injection.smk"
include: "rules/equilibrium.smk"
include: "rules/restarts.smk"
include: "rules/report.smk"
include: "rules/job.smk"


localrules:
    all,
    experiments,


rule all:
    default_target: True
    input:
        restart=INJECTED,
        diff=f"{INJECTED}.diff.json",
        predictions=f"{RUN}/predictions/predictions.nc",
        tests=expand(f"{RUN}/predictions/test_{{split}}.nc", split=SPLITS),
        # A target whose land-model output was given ends at its injected restart.
        verdict=f"{RUN}/equilibrium/verdict.json" if RUNS_TARGET else [],
        # The report has those of the target's runs.
        labels=[audit_of(one.restart) for _, role, one in CORRECTIONS if role == "reference"],
        experiments=COMPARISON,
        restarts=RESTARTS,
        summary=f"{RUN}/summary.json",
        report=f"{RUN}/report/index.html",
    message:
        "everything is made"


onstart:
    # Before any job: is nobody else at work on this run, do the inputs belong together, is there room? Not a
    # rule: what depends on a file that is made anew in each run would be made anew too.
    begin_this_run()
    check_inputs()
    write_plan(planned_jobs(workflow))


onsuccess:
    outdated = outdated_stages(workflow)
    if outdated:
        print(
            f"phase: {', '.join(outdated)}: made by other settings or code, and not repeated beside the stages of"
            " this run; run the same command again before you read the report"
        )
    # Not of another run's report; `--touch` succeeds without one.
    elif writes_report(planned_jobs(workflow)) and Path(CLOSING).is_file():
        print(Path(CLOSING).read_text(encoding="utf-8"))


onerror:
    print(f"A job failed; the lines above say why. Logs of the stages: {RUN}/logs")
