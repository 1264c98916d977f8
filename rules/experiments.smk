# Experiments of the surrogate: every name, seed and split trains in a job of its own, beside the run's own
# training and never before it. An experiment that is added later makes its own jobs and the comparison.
from phase_lib.cluster.engine import limit_resource

EXPERIMENTS = CONFIG.experiments.settings(CONFIG.surrogate)
TRAININGS = CONFIG.experiments.trainings(CONFIG.surrogate)
TRAINING = f"{RUN}/experiments/{{experiment}}/{{split}}/seed{{seed}}"
COMPARISON = f"{RUN}/experiments/comparison.json" if TRAININGS else []

# How many train side by side; `--resources experiments=N` on the command line goes before.
limit_resource(workflow, "experiments", CONFIG.experiments.limit)


wildcard_constraints:
    experiment="[A-Za-z0-9][A-Za-z0-9_-]*",
    seed=r"\d+",


# Experiments with fewer labels have a split of their own for each seed, with the test cells of the run.
LABELLED = CONFIG.experiments.labelled


use rule split_cells as split_labelled_cells with:
    output:
        split=f"{TRAINING}/split.nc",
    log:
        log_file("split_labelled_cells-{experiment}-{seed}-{split}"),
    benchmark:
        benchmark_file("split_labelled_cells-{experiment}-{seed}-{split}", "verification")
    params:
        labelled=lambda wildcards: "--labelled-share {} --method {} --labelled-seed {}".format(
            *LABELLED[wildcards.experiment], wildcards.seed
        ),
    message:
        "choosing the cells with labels, experiment {wildcards.experiment}, seed {wildcards.seed}"
        " ({wildcards.split} split)"


use rule normalize_features as normalize_labelled_features with:
    input:
        cells=rules.join_records.output.cells,
        split=rules.split_labelled_cells.output.split,
    output:
        normalization=f"{TRAINING}/normalization.nc",
    log:
        log_file("normalize_labelled_features-{experiment}-{seed}-{split}"),
    benchmark:
        benchmark_file("normalize_labelled_features-{experiment}-{seed}-{split}", "verification")
    message:
        "fitting the normalisation of experiment {wildcards.experiment}, seed {wildcards.seed}"
        " ({wildcards.split} split)"


# What the normalisation of each depends on; where that is as in the run, so is the normalisation.
NORMALIZATIONS = {name: normalized_by(changed) for name, changed in EXPERIMENTS.items()}


use rule normalize_features as normalize_experiment_features with:
    output:
        normalization=f"{RUN}/experiments/{{experiment}}/{{split}}/normalization.nc",
    log:
        log_file("normalize_experiment_features-{experiment}-{split}"),
    benchmark:
        benchmark_file("normalize_experiment_features-{experiment}-{split}", "verification")
    params:
        settings=lambda wildcards: NORMALIZATIONS[wildcards.experiment],
    message:
        "fitting the normalisation of experiment {wildcards.experiment} ({wildcards.split} split)"


# What each trains on: files of the run, and files of the experiment only where they differ.
SPLIT_OF = {
    name: (rules.split_labelled_cells if name in LABELLED else rules.split_cells).output.split
    for name in EXPERIMENTS
}
NORMALIZATION_OF = {
    name: (
        rules.normalize_labelled_features
        if name in LABELLED
        else (
            rules.normalize_features
            if NORMALIZATIONS[name] == NORMALIZATIONS[OWN]
            else rules.normalize_experiment_features
        )
    ).output.normalization
    for name in EXPERIMENTS
}


use rule train_surrogate as train_experiment with:
    input:
        cells=rules.join_records.output.cells,
        split=lambda wildcards: SPLIT_OF[wildcards.experiment],
        normalization=lambda wildcards: NORMALIZATION_OF[wildcards.experiment],
    output:
        model=f"{TRAINING}/model.pt",
        history=f"{TRAINING}/history.csv",
    log:
        log_file("train_experiment-{experiment}-{seed}-{split}"),
    benchmark:
        benchmark_file("train_experiment-{experiment}-{seed}-{split}", "verification")
    priority: 0
    resources:
        **TRAINING_JOB,
        experiments=1,
    params:
        settings=lambda wildcards: settings(
            EXPERIMENTS[wildcards.experiment].model_copy(update={"seed": int(wildcards.seed)})
        ),
        code=lambda wildcards: code_hash(
            "surrogate/training", EXPERIMENTS[wildcards.experiment].network.module
        ),
    message:
        "training experiment {wildcards.experiment}, seed {wildcards.seed} ({wildcards.split} split)"


use rule predict_test_cells as predict_experiment with:
    input:
        model=rules.train_experiment.output.model,
        cells=rules.join_records.output.cells,
        split=lambda wildcards: SPLIT_OF[wildcards.experiment],
    output:
        test=f"{TRAINING}/test.nc",
    log:
        log_file("predict_experiment-{experiment}-{seed}-{split}"),
    benchmark:
        benchmark_file("predict_experiment-{experiment}-{seed}-{split}", "verification")
    params:
        name=lambda wildcards: wildcards.experiment,
        label=lambda wildcards: LABELS[wildcards.experiment],
        # They stand in the run's own file.
        baselines=[],
        code=lambda wildcards: code_hash(
            "surrogate/evaluation", EXPERIMENTS[wildcards.experiment].network.module
        ),
    message:
        "predicting the test cells, experiment {wildcards.experiment}, seed {wildcards.seed}"
        " ({wildcards.split} split)"


rule compare_experiments:
    input:
        own=expand(rules.predict_test_cells.output.test, split=CONFIG.experiments.splits),
        tests=[
            rules.predict_experiment.output.test.format(experiment=experiment, seed=seed, split=split)
            for experiment, seed, split in TRAININGS
        ],
    output:
        comparison=f"{RUN}/experiments/comparison.json",
        skill=f"{RUN}/experiments/skill.csv",
        by_seed=f"{RUN}/experiments/skill_by_seed.csv",
    log:
        log_file("compare_experiments"),
    benchmark:
        benchmark_file("compare_experiments", "verification")
    conda:
        "../envs/cpu.yaml"
    params:
        directory=subpath(output.comparison, parent=True),
        code=code_hash("report/experiments"),
    message:
        "comparing the experiments"
    shell:
        "phase compare-experiments --own {input.own:q} --test {input.tests:q}"
        " --output-dir {params.directory:q} --log {log:q}"


# What the report shows beside the run's own models: the trainings with the run's seed.
SHOWN_BESIDE = [
    (split, rules.predict_experiment.output.test.format(experiment=experiment, seed=seed, split=split))
    for experiment, seed, split in TRAININGS
    if seed == CONFIG.surrogate.seed and experiment not in LABELLED
]


rule experiments:
    input:
        COMPARISON,
        f"{RUN}/experiments/restarts.csv" if CONFIG.experiments.restarts and RUNS_TARGET else [],
    message:
        "the experiments are compared"
