# Restarts in normal mode from the 20-year restart: with the predicted pools, and without (the control).
rule inject_restart:
    input:
        restart=TARGET.restart,
        surface=TARGET.surface,
        params=TARGET.params,
        soil_params=TARGET.soil_params,
        predictions=PREDICTIONS,
    output:
        restart=INJECTED,
        diff=f"{INJECTED}.diff.json",
    log:
        log_file("inject_restart"),
    benchmark:
        benchmark_file("inject_restart", "accelerated")
    priority: 60
    conda:
        "../envs/cpu.yaml"
    params:
        settings=settings(CONFIG.injection),
        ood=settings(CONFIG.ood, "action"),
        mortality_factor=TARGET.mortality_factor,
        code=code_hash("injection/inject"),
    message:
        "injecting the predicted pools into the 20-year restart"
    shell:
        "phase inject --restart {input.restart:q} --surface {input.surface:q} --params {input.params:q}"
        " --soil-params {input.soil_params:q} --predictions {input.predictions:q}"
        " --settings {params.settings:q} --ood {params.ood:q}"
        " --mortality-factor {params.mortality_factor}"
        " --output {output.restart:q} --report {output.diff:q} --log {log:q}"


rule convert_control:
    input:
        restart=TARGET.restart,
        surface=TARGET.surface,
        params=TARGET.params,
        soil_params=TARGET.soil_params,
    output:
        restart=CONTROL,
        diff=f"{CONTROL}.diff.json",
    log:
        log_file("convert_control"),
    benchmark:
        benchmark_file("convert_control", "verification")
    conda:
        "../envs/cpu.yaml"
    params:
        settings=settings(CONFIG.injection),
        mortality_factor=TARGET.mortality_factor,
        code=code_hash("injection/inject"),
    message:
        "taking the 20-year restart to normal mode for the control"
    shell:
        "phase inject --restart {input.restart:q} --surface {input.surface:q} --params {input.params:q}"
        " --soil-params {input.soil_params:q} --settings {params.settings:q}"
        " --mortality-factor {params.mortality_factor}"
        " --output {output.restart:q} --report {output.diff:q} --log {log:q}"
