# The verdict: injected, control and reference side by side.
rule judge_equilibrium:
    input:
        injected=history_of("injected"),
        control=history_of("control"),
        reference=history_of("reference"),
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
        # Where it was not run here, the reference is not judged beside the others.
        reference=lambda wildcards, input: ["--reference", *flat(input.reference)] if input.reference else [],
        code=code_hash("equilibrium/verdict"),
    message:
        "judging the equilibrium of the injected run, the control and the reference"
    shell:
        "phase equilibrium --history {input.injected:q} --control {input.control:q}"
        " {params.reference:q} --split {input.split:q}"
        " --forcing-years {params.forcing_years} --settings {params.settings:q}"
        " --output {output.verdict:q} --drift {output.drift:q} --log {log:q}"
