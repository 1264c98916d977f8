# Restart, history, surface, parameters and forcing of the first 20 years, and the labels of the reference.
rule fuse_records:
    input:
        restart=restart_file("ad", INPUT_YEAR),
        history=history_files("ad", 0, last=INPUT_YEAR),
        surface=WORLD_FILES["surface"],
        params=WORLD_FILES["params"],
        forcing=FORCING,
        reference_restart=restart_file("reference", CONFIG.land_model.boundaries("reference")[-1]),
        reference_history=history_files("reference", 0)[-1:],
        reference_ad_restart=restart_file("ad", CONFIG.land_model.boundaries("ad")[-1]),
    output:
        # Written last; how many batch files there are depends on the number of cells.
        cells=f"{DATASET}/cells.nc",
        cleaning=f"{DATASET}/cleaning.json",
    log:
        log_file("fuse_records"),
    benchmark:
        benchmark_file("fuse_records")
    conda:
        "../envs/cpu.yaml"
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        directory=subpath(output.cells, parent=True),
        settings=settings(CONFIG.fusion),
        targets=settings(CONFIG.dataset.targets),
        mortality_factor=CONFIG.land_model.spinup_mortality_factor,
        history_years=CONFIG.world.forcing_years,
        code=code_hash("fusion/fuse"),
    message:
        "fusing the records of all cells"
    shell:
        "phase fuse --restart {input.restart:q} --history {input.history:q}"
        " --surface {input.surface:q} --params {input.params:q} --forcing {input.forcing:q}"
        " --reference-restart {input.reference_restart:q} --reference-history {input.reference_history:q}"
        " --reference-ad-restart {input.reference_ad_restart:q}"
        " --settings {params.settings:q} --targets {params.targets:q}"
        " --mortality-factor {params.mortality_factor} --history-years {params.history_years}"
        " --output-dir {params.directory:q} --log {log:q}"
