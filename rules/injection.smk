# Restarts in normal mode from the 20-year restart: with the predicted pools, and without (the control).
# `phase inject` writes none that fails its audit. The audit is a rule too, which the land model waits for: what
# is changed in a check, or in its words, repeats the audit alone, unless it finds an error.
rule inject_restart:
    input:
        restart=placed(TARGET.restart),
        surface=placed(TARGET.surface),
        params=placed(TARGET.params),
        soil_params=placed(TARGET.soil_params),
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
        restart=placed(TARGET.restart),
        surface=placed(TARGET.surface),
        params=placed(TARGET.params),
        soil_params=placed(TARGET.soil_params),
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


for case, restart in (("injected", INJECTED), ("control", CONTROL)):

    rule:
        name:
            f"audit_{case}"
        input:
            restart=restart,
            surface=placed(TARGET.surface),
            params=placed(TARGET.params),
        output:
            audit=audit_of(restart),
        log:
            log_file(f"audit_{case}"),
        benchmark:
            benchmark_file(f"audit_{case}", "verification")
        priority: 60
        conda:
            "../envs/cpu.yaml"
        params:
            code=code_hash("elm/audit/run"),
        message:
            f"auditing the {case} restart"
        shell:
            "phase audit {input.restart:q} --surface {input.surface:q} --params {input.params:q}"
            " --output {output.audit:q} --log {log:q}"
