# The verdict: the injected run, its controls and the reference side by side, each by whole forcing cycles after its
# last correction.
BESIDE = [run for run in (*CONFIG.stabilisation.beside, "reference") if TARGET.has_run(run)]
CORRECTED = [run for run in ("injected", *BESIDE) if corrections_of(run)]


rule judge_equilibrium:
    input:
        history=history_of("injected"),
        runs=[file for run in BESIDE for file in history_of(run)],
        corrections=[file for run in CORRECTED for file in corrections_of(run)],
        split=f"{DATASET}/split_block.nc",
    output:
        verdict=f"{RUN}/equilibrium/verdict.json",
        drift=f"{RUN}/equilibrium/drift.nc",
    log:
        log_file("judge_equilibrium"),
    benchmark:
        benchmark_file("judge_equilibrium", "verification")
    conda:
        "../envs/cpu.yaml"
    params:
        settings=settings(CONFIG.equilibrium),
        forcing_years=TARGET.cycle,
        runs=[word for run in BESIDE for file in history_of(run) for word in ("--run", run, file)],
        corrections=[
            word for run in CORRECTED for file in corrections_of(run) for word in ("--correction", run, file)
        ],
        code=code_hash("equilibrium/verdict"),
    message:
        "judging the equilibrium of the injected run and of those beside it"
    shell:
        "phase equilibrium --history {input.history:q} {params.runs:q} {params.corrections:q}"
        " --split {input.split:q}"
        " --forcing-years {params.forcing_years} --settings {params.settings:q}"
        " --output {output.verdict:q} --drift {output.drift:q} --log {log:q}"
