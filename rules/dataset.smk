# Training, validation and test cells, two ways: single cells as in the paper, and whole tiles.
wildcard_constraints:
    split="|".join(SPLITS),


rule split_cells:
    input:
        cells=rules.join_records.output.cells,
    output:
        split=f"{DATASET}/split_{{split}}.nc",
    log:
        log_file("split_cells-{split}"),
    benchmark:
        benchmark_file("split_cells-{split}", by_split)
    conda:
        "../envs/cpu.yaml"
    params:
        dataset=subpath(input.cells, parent=True),
        settings=settings(CONFIG.dataset, "test_fraction", "validation_fraction", "block_degrees"),
        seed=CONFIG.run.seed,
        # Of an experiment with fewer labels.
        labelled="",
        code=code_hash("dataset/split"),
    message:
        "splitting the cells ({wildcards.split})"
    shell:
        "phase split --dataset {params.dataset:q} --kind {wildcards.split} --settings {params.settings:q}"
        " --seed {params.seed} {params.labelled} --output {output.split:q} --log {log:q}"


rule normalize_features:
    input:
        cells=rules.join_records.output.cells,
        split=rules.split_cells.output.split,
    output:
        normalization=f"{RUN}/surrogate/{{split}}/normalization.nc",
    log:
        log_file("normalize_features-{split}"),
    benchmark:
        benchmark_file("normalize_features-{split}", by_split)
    conda:
        "../envs/cpu.yaml"
    params:
        dataset=subpath(input.cells, parent=True),
        settings=normalized_by(CONFIG.surrogate),
        code=code_hash("dataset/normalization"),
    message:
        "fitting the normalisation on the training cells ({wildcards.split})"
    shell:
        "phase normalize --dataset {params.dataset:q} --split {input.split:q}"
        " --settings {params.settings:q} --output {output.normalization:q} --log {log:q}"
