# What the land model does with the predictions of other models (experiments.restarts). Each is injected twice: as it is
# predicted, which the land model may not stand, and clipped to what a restart takes. From the first the land model runs
# without corrections, and a stop is a result, as is what the audit finds; from the second it runs as the injected run, with its windows
# (landmodel.smk, correction.smk). No cell is left out as out of distribution: most of these models have no such score.
from phase_lib.cluster.engine import set_by_profile
from phase_lib.landmodel.domain import Segment

# Names of the models in files -> the models. A target that is not run here has none.
STARTS = CONFIG.experiments.starts if RUNS_TARGET else {}
START = f"{RUN}/experiments/restarts/{{start}}"
RESTARTS = f"{RUN}/experiments/restarts.csv" if STARTS else []
# A baseline asks the run's own model what to predict.
MODEL_OF_START = {
    start: (
        rules.train_experiment.output.model.format(experiment=name, split="block", seed=CONFIG.surrogate.seed)
        if name in EXPERIMENTS and name != OWN
        else rules.train_surrogate.output.model.format(split="block")
    )
    for start, name in STARTS.items()
}
SPLIT_OF_START = {
    start: SPLIT_OF.get(name, rules.split_cells.output.split).format(
        experiment=name, split="block", seed=CONFIG.surrogate.seed
    )
    for start, name in STARTS.items()
}
UNCORRECTED = Segment(
    "uncorrected_restart",
    "normal",
    1 + CONFIG.spinup.input_years,
    CONFIG.experiments.restart_test_years,
    None,
    TARGET,
    Path(RUN),
    CONFIG.spinup,
)
UNCORRECTED_MODEL = MODELS[TARGET.name]
UNCORRECTED_JOB = UNCORRECTED_MODEL.job("uncorrected", UNCORRECTED)
# Runs with corrections, by the same names.
CORRECTED = {part.case.removeprefix("from_"): part for part in TARGET.chains if part.role == "start"}
CORRECTED_HISTORY = [
    (start, placed(path))
    for start, part in CORRECTED.items()
    for segment in TARGET.segments(part, CONFIG.spinup)
    for path in segment.history(ANNUAL_TAPE)
]
CORRECTED_BY = [
    (start, placed(one.predictions))
    for start, part in CORRECTED.items()
    for one in TARGET.corrections(part, CONFIG.spinup)
]

# They have the resources of the like rules of the run.
set_by_profile(workflow, "predict_start", "predict_cells")
set_by_profile(workflow, "inject_start", "inject_restart")
set_by_profile(workflow, "run_start", "run_segment", known=UNCORRECTED_JOB.resources)
set_by_profile(workflow, "judge_restarts", "judge_equilibrium")


wildcard_constraints:
    start="[A-Za-z0-9_-]+",
    bounds="keep|clip",


use rule predict_cells as predict_start with:
    input:
        model=lambda wildcards: MODEL_OF_START[wildcards.start],
        cells=rules.join_records.output.cells,
        split=lambda wildcards: SPLIT_OF_START[wildcards.start],
    output:
        predictions=f"{START}/predictions.nc",
    log:
        log_file("predict_start-{start}"),
    benchmark:
        benchmark_file("predict_start-{start}", "verification")
    priority: 0
    params:
        share="1/1",
        baseline=lambda wildcards: (
            ["--baseline", STARTS[wildcards.start]]
            if STARTS[wildcards.start] in CONFIG.experiments.baselines
            else []
        ),
        code=lambda wildcards: (
            code_hash("surrogate/baseline_predictions", BASELINES.place(STARTS[wildcards.start])[0])
            if STARTS[wildcards.start] in CONFIG.experiments.baselines
            else code_hash("surrogate/predictions", EXPERIMENTS[STARTS[wildcards.start]].network.module)
        ),
    message:
        "predicting the state of all cells by {wildcards.start}"


use rule inject_restart as inject_start with:
    input:
        restart=placed(TARGET.restart),
        surface=placed(TARGET.surface),
        params=placed(TARGET.params),
        soil_params=placed(TARGET.soil_params),
        predictions=rules.predict_start.output.predictions,
    output:
        restart=f"{START}/{{bounds}}/{Path(INJECTED).name}",
        diff=f"{START}/{{bounds}}/{Path(INJECTED).name}.diff.json",
    log:
        log_file("inject_start-{start}-{bounds}"),
    benchmark:
        benchmark_file("inject_start-{start}-{bounds}", "verification")
    priority: 0
    params:
        settings=lambda wildcards: settings(
            CONFIG.injection.model_copy(update={"out_of_bounds": wildcards.bounds, "accept_unsound": True})
        ),
        ood=settings(CONFIG.ood.model_copy(update={"action": "predict"}), "action"),
    message:
        "injecting what {wildcards.start} predicts (out of bounds: {wildcards.bounds})"


rule run_start:
    input:
        restart=rules.inject_start.output.restart.replace("{bounds}", "keep"),
        domain=placed(TARGET.domain),
        surface=placed(TARGET.surface),
        params=placed(TARGET.params),
        soil_params=placed(TARGET.soil_params),
        forcing=forcing_read_by(UNCORRECTED_MODEL, TARGET),
        prepared=[placed(path) for step in UNCORRECTED_MODEL.steps(TARGET) for path in step.outputs[:1]],
    output:
        outcome=f"{START}/outcome.json",
        run=directory(f"{START}/run"),
    log:
        log_file("run_start-{start}"),
    benchmark:
        benchmark_file("run_start-{start}", "verification")
    localrule: UNCORRECTED_JOB.local
    conda:
        "../envs/cpu.yaml"
    threads: UNCORRECTED_JOB.threads
    resources:
        **UNCORRECTED_JOB.resources,
        how=settings_of(UNCORRECTED_MODEL, *UNCORRECTED_MODEL.job_settings),
    params:
        start=UNCORRECTED.start_year,
        years=UNCORRECTED.years,
        backend=CONFIG.backend_of(TARGET.name),
        settings=settings_of(UNCORRECTED_MODEL, *UNCORRECTED_MODEL.segment_settings),
        spinup=settings(
            CONFIG.spinup,
            "nyears_ad_carbon_only",
            "spinup_mortality_factor",
            "history_fields",
            "annual_fields",
        ),
        files=files_for(UNCORRECTED_MODEL, TARGET),
        code=code_hash(*UNCORRECTED_MODEL.segment_code),
    message:
        "running the land model from what {wildcards.start} predicts"
    shell:
        "phase run-segment --backend {params.backend} --case uncorrected_{wildcards.start} --mode normal"
        " --start-year {params.start} --years {params.years} --finidat {input.restart:q} {params.files:q}"
        " --spinup {params.spinup:q}"
        " --settings {params.settings:q} --job-settings {resources.how:q} --output-dir {output.run:q}"
        " --outcome {output.outcome:q} --threads {threads} --log {log:q}"


rule judge_restarts:
    input:
        diffs=expand(rules.inject_start.output.diff, start=STARTS, bounds="keep"),
        outcomes=expand(rules.run_start.output.outcome, start=STARTS),
        runs=expand(rules.run_start.output.run, start=STARTS),
        history=[path for _, path in CORRECTED_HISTORY],
        corrections=[path for _, path in CORRECTED_BY],
        split=f"{DATASET}/split_block.nc",
    output:
        table=f"{RUN}/experiments/restarts.csv",
    log:
        log_file("judge_restarts"),
    benchmark:
        benchmark_file("judge_restarts", "verification")
    conda:
        "../envs/cpu.yaml"
    params:
        restarts=lambda wildcards, input: [
            word
            for start, diff, outcome in zip(STARTS, input.diffs, input.outcomes)
            for word in ("--restart", STARTS[start], LABELS.get(STARTS[start], "-"), diff, outcome)
        ],
        corrected=[
            word
            for option, files in (("--corrected", CORRECTED_HISTORY), ("--correction", CORRECTED_BY))
            for start, path in files
            for word in (option, STARTS[start], path)
        ],
        forcing_years=TARGET.cycle,
        settings=settings(CONFIG.equilibrium),
        code=code_hash("report/restarts"),
    message:
        "judging the runs from the states of all models"
    shell:
        "phase judge-restarts {params.restarts:q} {params.corrected:q} --split {input.split:q}"
        " --forcing-years {params.forcing_years} --settings {params.settings:q}"
        " --output {output.table:q} --log {log:q}"
