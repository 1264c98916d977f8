# The run in numbers (summary.json), the report, and the closing page of the terminal.
from phase_lib.cluster.engine import cores_of


rule write_report:
    input:
        # A target whose land-model output was given has no verdict: it is not run here.
        verdict=rules.judge_equilibrium.output.verdict if RUNS_TARGET else [],
        drift=rules.judge_equilibrium.output.drift if RUNS_TARGET else [],
        predictions=PREDICTIONS,
        restart=rules.inject_restart.output.restart,
        diff=rules.inject_restart.output.diff,
        audit=rules.audit_injected.output.audit,
        correction_audits=lambda wildcards: (
            [file for run in ("injected", *BESIDE) for file in audits_until(run, last_round())]
            if RUNS_TARGET
            else []
        ),
        splits=expand(f"{DATASET}/split_{{split}}.nc", split=SPLITS),
        tests=expand(f"{RUN}/predictions/test_{{split}}.nc", split=SPLITS),
        experiment_tests=[file for _, file in SHOWN_BESIDE],
        training=expand(f"{RUN}/surrogate/{{split}}/history.csv", split=SPLITS),
        forcing=expand(FORCING_SEEN, domain=USED),
        experiments=COMPARISON,
        restarts=RESTARTS,
        cells=rules.join_records.output.cells,
        cleaning=rules.join_records.output.cleaning,
    output:
        summary=f"{RUN}/summary.json",
        page=f"{RUN}/report/index.html",
        closing=CLOSING,
        figures=directory(f"{RUN}/report/figures"),
        tables=directory(f"{RUN}/report/tables"),
    log:
        log_file("write_report"),
    benchmark:
        benchmark_file("write_report", "verification")
    conda:
        "../envs/cpu.yaml"
    resources:
        # Said in the summary; a resource, so that another number of cores reruns nothing.
        cores_used=cores_of(workflow),
    params:
        verdict=lambda wildcards, input: [
            word for role in ("verdict", "drift") if input.get(role) for word in (f"--{role}", input[role])
        ],
        correction_audits=lambda wildcards, input: words_by_run(
            "--correction-audit", input.get("correction_audits", [])
        ),
        dataset=subpath(input.cells, parent=True),
        splits=lambda wildcards, input: words_by_split("--split", input.splits),
        tests=lambda wildcards, input: [
            *words_by_split("--test", input.tests),
            *(word for split, file in SHOWN_BESIDE for word in ("--test", split, file)),
        ],
        training=lambda wildcards, input: words_by_split("--training", input.training),
        forcing=lambda wildcards, input: [
            word for domain, file in zip(USED, flat(input.forcing)) for word in ("--forcing", domain, file)
        ],
        experiments=lambda wildcards, input: (
            ["--experiments", input.experiments] if input.experiments else []
        ),
        restarts=lambda wildcards, input: ["--restarts", input.restarts] if input.restarts else [],
        benchmarks=lambda wildcards, output: Path(output.summary).parent / "benchmarks",
        # Which stages are this run's, and the notes of its SLURM jobs, where there are any.
        stages=STAGES,
        slurm_jobs=f"{RUN}/slurm_jobs",
        directory=subpath(output.page, parent=True),
        # The whole configuration: the summary holds its hash.
        config=settings(CONFIG),
        code=code_hash("report"),
    message:
        "writing summary and report"
    shell:
        "phase report {params.verdict:q} --dataset {params.dataset:q}"
        " --predictions {input.predictions:q} --restart {input.restart:q} --diff {input.diff:q}"
        " --audit {input.audit:q} {params.correction_audits:q}"
        " {params.splits:q} {params.tests:q} {params.training:q} {params.forcing:q} {params.experiments:q}"
        " {params.restarts:q}"
        " --benchmarks {params.benchmarks:q}"
        " --stages {params.stages:q} --slurm-jobs {params.slurm_jobs:q}"
        " --config {params.config:q} --cores {resources.cores_used}"
        " --summary {output.summary:q} --output-dir {params.directory:q} --log {log:q}"
