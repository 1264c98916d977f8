# The verdict: the injected run, its controls and the reference side by side, each by whole forcing cycles after its
# last correction. With `stabilisation.until: equilibrium` each round of the injected run but the last possible one has
# a verdict of its own, and the run goes on where a criterion does not hold.
wildcard_constraints:
    round=r"\d+",


checkpoint judge_round:
    input:
        history=lambda wildcards: history_until("injected", int(wildcards.round)),
        restarts=lambda wildcards: restarts_until("injected", int(wildcards.round)),
        corrections=lambda wildcards: predictions_until("injected", int(wildcards.round)),
        split=f"{DATASET}/split_block.nc",
    output:
        verdict=f"{RUN}/equilibrium/round_{{round}}.json",
    log:
        log_file("judge_round-{round}"),
    benchmark:
        benchmark_file("judge_round-{round}", "accelerated")
    conda:
        "../envs/cpu.yaml"
    params:
        settings=settings(CONFIG.equilibrium),
        forcing_years=TARGET.cycle,
        cells=CONFIG.stabilisation.judged_cells,
        corrections=lambda wildcards, input: words_by_run("--correction", input.corrections),
        code=code_hash("equilibrium/verdict"),
    message:
        "judging whether the injected run goes on after round {wildcards.round}"
    shell:
        "phase equilibrium --history {input.history:q} {params.corrections:q}"
        " --split {input.split:q} --cells {params.cells}"
        " --forcing-years {params.forcing_years} --settings {params.settings:q}"
        " --output {output.verdict:q} --log {log:q}"


rule judge_equilibrium:
    input:
        history=lambda wildcards: history_until("injected", last_round()),
        runs=lambda wildcards: [file for run in BESIDE for file in history_until(run, last_round())],
        restarts=lambda wildcards: [
            file for run in ("injected", *BESIDE) for file in restarts_until(run, last_round())
        ],
        corrections=lambda wildcards: [
            file for run in ("injected", *BESIDE) for file in predictions_until(run, last_round())
        ],
        rounds=lambda wildcards: expand(rules.judge_round.output.verdict, round=range(last_round())),
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
        cells=CONFIG.stabilisation.judged_cells,
        runs=lambda wildcards, input: words_by_run("--run", input.get("runs", [])),
        corrections=lambda wildcards, input: words_by_run("--correction", input.get("corrections", [])),
        rounds=lambda wildcards, input: ["--rounds", *flat(input.rounds)] if input.get("rounds") else [],
        code=code_hash("equilibrium/verdict"),
    message:
        "judging the equilibrium of the injected run and of those beside it"
    shell:
        "phase equilibrium --history {input.history:q} {params.runs:q} {params.corrections:q}"
        " --split {input.split:q} --cells {params.cells} {params.rounds:q}"
        " --forcing-years {params.forcing_years} --settings {params.settings:q}"
        " --output {output.verdict:q} --drift {output.drift:q} --log {log:q}"
