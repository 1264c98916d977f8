# The surrogate: two trainings side by side, then every cell and the test cells of both.
DEVICE_ENV = {"auto": "../envs/auto.yaml", "cpu": "../envs/cpu.yaml", "cuda": "../envs/gpu.yaml"}[
    CONFIG.surrogate.device
]
# What a job asks a cluster for; which GPUs those are, and how long, is for its profile to say. Predictions take one.
GPUS = {} if CONFIG.surrogate.device == "cpu" else {"gpu": 1}
GPUS_PER_NODE, NODES = CONFIG.surrogate.gpus, CONFIG.surrogate.nodes
TRAINING_JOB = {"gpu": GPUS_PER_NODE * NODES} if GPUS else {}
if NODES > 1:
    # `phase train` itself starts a task on each node by srun: the job must not lie in one of srun's (mpi), and
    # has as many tasks as nodes, whatever its GPUs.
    TRAINING_JOB |= {"mpi": "srun", "nodes": NODES, "tasks": NODES, "tasks_per_gpu": 0}


rule train_surrogate:
    input:
        cells=rules.join_records.output.cells,
        split=rules.split_cells.output.split,
        normalization=rules.normalize_features.output.normalization,
    output:
        model=f"{RUN}/surrogate/{{split}}/model.pt",
        history=f"{RUN}/surrogate/{{split}}/history.csv",
    log:
        log_file("train_surrogate-{split}"),
    benchmark:
        benchmark_file("train_surrogate-{split}", by_split)
    # The blocked model makes the injected state: everything after waits for it.
    priority: 60
    conda:
        DEVICE_ENV
    # One for each process of a node.
    threads: GPUS_PER_NODE
    resources:
        **TRAINING_JOB,
    params:
        dataset=subpath(input.cells, parent=True),
        settings=settings(CONFIG.surrogate),
        # The checkpoint lies there too; it is no output, which Snakemake would remove before the job
        # that resumes from it.
        directory=subpath(output.model, parent=True),
        code=code_hash("surrogate/training", CONFIG.surrogate.network.module),
    message:
        "training the surrogate ({wildcards.split} split)"
    shell:
        "phase train --dataset {params.dataset:q} --split {input.split:q}"
        " --normalization {input.normalization:q} --settings {params.settings:q}"
        " --output-dir {params.directory:q} --threads {threads} --log {log:q}"


# Every cell of the target: one job, or as many as configured and one that joins what they predict.
PREDICTIONS = f"{RUN}/predictions/predictions.nc"
PREDICTION_JOBS = CONFIG.target.prediction_jobs
OF_SHARE = "-{share}" if PREDICTION_JOBS > 1 else ""


rule predict_cells:
    input:
        # The blocked model makes the injected state, so that its test cells are out of sample.
        model=f"{RUN}/surrogate/block/model.pt",
        cells=rules.join_records.output.cells,
        split=f"{DATASET}/split_block.nc",
    output:
        predictions=temp(f"{RUN}/predictions/share{OF_SHARE}.nc") if OF_SHARE else PREDICTIONS,
    log:
        log_file(f"predict_cells{OF_SHARE}"),
    benchmark:
        benchmark_file(f"predict_cells{OF_SHARE}", "accelerated")
    priority: 60
    conda:
        DEVICE_ENV
    resources:
        **GPUS,
    params:
        dataset=subpath(input.cells, parent=True),
        settings=settings(CONFIG.ood),
        run_name=CONFIG.run.name,
        domain=CONFIG.target.domain,
        baseline=[],
        share=lambda wildcards: f"{wildcards.get('share', 1)}/{PREDICTION_JOBS}",
        accept=[f"--accept-{what}" for what in ("forcing", "parameters") if what in CONFIG.preflight.accept],
        code=code_hash("surrogate/predictions", CONFIG.surrogate.network.module),
    message:
        "predicting the slow state of the cells of the target"
    shell:
        "phase predict --model {input.model:q} --dataset {params.dataset:q} --split {input.split:q}"
        " --settings {params.settings:q} --run-name {params.run_name:q} --domain-name {params.domain}"
        " --share {params.share} {params.accept} {params.baseline:q} --output {output.predictions:q}"
        " --threads {threads} --log {log:q}"


if OF_SHARE:

    rule join_predictions:
        input:
            shares=expand(rules.predict_cells.output.predictions, share=range(1, PREDICTION_JOBS + 1)),
        output:
            predictions=PREDICTIONS,
        log:
            log_file("join_predictions"),
        benchmark:
            benchmark_file("join_predictions", "accelerated")
        priority: 60
        conda:
            "../envs/cpu.yaml"
        params:
            code=code_hash("surrogate/predictions"),
        message:
            "joining the predictions of all shares of the target"
        shell:
            "phase join-predictions --shares {input.shares:q} --output {output.predictions:q} --log {log:q}"


LABELS = CONFIG.experiments.labels(CONFIG.surrogate)
BASELINE_MODULES = [BASELINES.place(name)[0] for name in CONFIG.experiments.baselines]


rule predict_test_cells:
    input:
        model=rules.train_surrogate.output.model,
        cells=rules.join_records.output.cells,
        split=rules.split_cells.output.split,
    output:
        test=f"{RUN}/predictions/test_{{split}}.nc",
    log:
        log_file("predict_test_cells-{split}"),
    benchmark:
        benchmark_file("predict_test_cells-{split}", "verification")
    conda:
        DEVICE_ENV
    resources:
        **GPUS,
    params:
        dataset=subpath(input.cells, parent=True),
        name=OWN,
        label=LABELS[OWN],
        baselines=["--baseline", *CONFIG.experiments.baselines] if CONFIG.experiments.baselines else [],
        code=code_hash("surrogate/evaluation", CONFIG.surrogate.network.module, *BASELINE_MODULES),
    message:
        "predicting the test cells ({wildcards.split} split)"
    shell:
        "phase predict-test --model {input.model:q} --name {params.name:q} --label {params.label:q}"
        " {params.baselines:q} --dataset {params.dataset:q} --split {input.split:q}"
        " --output {output.test:q} --threads {threads} --log {log:q}"
