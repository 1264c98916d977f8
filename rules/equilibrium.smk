# The verdict: injected, control and reference side by side.
rule judge_equilibrium:
    input:
        injected=history_files("injected", 1),
        control=history_files("control", 1),
        reference=history_files("reference", 1),
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
        forcing_years=CONFIG.world.forcing_years,
        code=code_hash("equilibrium/verdict"),
    message:
        "judging the equilibrium of the injected run, the control and the reference"
    shell:
        "phase equilibrium --history {input.injected:q} --control {input.control:q}"
        " --reference {input.reference:q} --split {input.split:q}"
        " --forcing-years {params.forcing_years} --settings {params.settings:q}"
        " --output {output.verdict:q} --drift {output.drift:q} --log {log:q}"
