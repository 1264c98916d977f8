# The PHASE surrogate: two trainings side by side, then every cell and the test cells of both.
DEVICE_ENV = {"cpu": "../envs/cpu.yaml", "cuda": "../envs/gpu.yaml"}[CONFIG.surrogate.device]
GPUS = {"cpu": {}, "cuda": {"gpu": 1}}[CONFIG.surrogate.device]


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
        benchmark_file("train_surrogate-{split}")
    # The blocked model makes the injected state: everything after waits for it.
    priority: 60
    conda:
        DEVICE_ENV
    resources:
        **GPUS,
        mem_mb=4000,
        runtime=240,
    params:
        dataset=subpath(input.cells, parent=True),
        settings=settings(CONFIG.surrogate),
        # The checkpoint lies there too; it is no output, which Snakemake would remove before the job
        # that resumes from it.
        directory=subpath(output.model, parent=True),
        code=code_hash("surrogate/training"),
    message:
        "training the surrogate ({wildcards.split} split)"
    shell:
        "phase train --dataset {params.dataset:q} --split {input.split:q}"
        " --normalization {input.normalization:q} --settings {params.settings:q}"
        " --output-dir {params.directory:q} --threads {threads} --log {log:q}"


# The paper's preset beside the one in use, for the report; one network, as in the paper.
PAPER_SETTINGS = settings(CONFIG.surrogate.model_copy(update={"preset": "paper", "members": 1}))
PAPER_MODELS = [] if CONFIG.surrogate.preset == "paper" else f"{RUN}/surrogate/{{split}}/paper/model.pt"


use rule normalize_features as normalize_paper_features with:
    output:
        normalization=f"{RUN}/surrogate/{{split}}/paper/normalization.nc",
    log:
        log_file("normalize_paper_features-{split}"),
    benchmark:
        benchmark_file("normalize_paper_features-{split}")
    params:
        dataset=subpath(input.cells, parent=True),
        settings=json.dumps({"preset": "paper"}),
        code=code_hash("surrogate/targets"),


use rule train_surrogate as train_paper_surrogate with:
    input:
        cells=rules.join_records.output.cells,
        split=rules.split_cells.output.split,
        normalization=rules.normalize_paper_features.output.normalization,
    output:
        model=f"{RUN}/surrogate/{{split}}/paper/model.pt",
        history=f"{RUN}/surrogate/{{split}}/paper/history.csv",
    log:
        log_file("train_paper_surrogate-{split}"),
    benchmark:
        benchmark_file("train_paper_surrogate-{split}")
    priority: 5
    params:
        dataset=subpath(input.cells, parent=True),
        settings=PAPER_SETTINGS,
        directory=subpath(output.model, parent=True),
        code=code_hash("surrogate/training"),
    message:
        "training the surrogate with the paper's preset ({wildcards.split} split)"


rule predict_cells:
    input:
        # The blocked model makes the injected state, so that its test cells are out of sample.
        model=f"{RUN}/surrogate/block/model.pt",
        cells=rules.join_records.output.cells,
        split=f"{DATASET}/split_block.nc",
    output:
        predictions=f"{RUN}/predictions/predictions.nc",
    log:
        log_file("predict_cells"),
    benchmark:
        benchmark_file("predict_cells")
    priority: 60
    conda:
        DEVICE_ENV
    resources:
        **GPUS,
        mem_mb=4000,
        runtime=60,
    params:
        dataset=subpath(input.cells, parent=True),
        settings=settings(CONFIG.ood),
        run_name=CONFIG.run.name,
        domain=CONFIG.target.domain,
        accept="--accept-forcing" if "forcing" in CONFIG.preflight.accept else "",
        code=code_hash("surrogate/inference"),
    message:
        "predicting the slow state of every cell of the target"
    shell:
        "phase predict --model {input.model:q} --dataset {params.dataset:q} --split {input.split:q}"
        " --settings {params.settings:q} --run-name {params.run_name:q} --domain-name {params.domain}"
        " {params.accept} --output {output.predictions:q}"
        " --threads {threads} --log {log:q}"


rule predict_test_cells:
    input:
        model=rules.train_surrogate.output.model,
        paper=PAPER_MODELS,
        cells=rules.join_records.output.cells,
        split=rules.split_cells.output.split,
    output:
        test=f"{RUN}/predictions/test_{{split}}.nc",
    log:
        log_file("predict_test_cells-{split}"),
    benchmark:
        benchmark_file("predict_test_cells-{split}")
    conda:
        DEVICE_ENV
    resources:
        **GPUS,
        mem_mb=4000,
        runtime=60,
    params:
        dataset=subpath(input.cells, parent=True),
        paper=lambda wildcards, input: ["--paper", input.paper] if input.paper else [],
        code=code_hash("surrogate/inference"),
    message:
        "predicting the test cells ({wildcards.split} split)"
    shell:
        "phase predict --test --model {input.model:q} --dataset {params.dataset:q} --split {input.split:q}"
        " {params.paper:q} --output {output.test:q} --threads {threads} --log {log:q}"
