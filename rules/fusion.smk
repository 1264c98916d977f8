# Restart, history, surface, parameters and forcing of the first forcing cycle, and the labels of the
# reference: records of the cells of a domain, in as many jobs as configured; then one dataset of all.
SHARES = range(1, CONFIG.fusion.jobs + 1)


rule fuse_records:
    input:
        restart=of_domain("restart"),
        history=of_domain("history"),
        soil_history=of_domain("soil_history"),
        surface=of_domain("surface"),
        params=of_domain("params"),
        forcing=of_domain("monthly"),
        # Only that it holds: records are not made anew with it.
        comparison=ancient(FORCING_SEEN),
        reference_restart=of_domain("reference_restart"),
        reference_history=of_domain("reference_history"),
        reference_ad_restart=of_domain("reference_ad_restart"),
    output:
        # Written last; how many record files there are depends on the number of cells.
        cells=f"{RUN}/records/{{domain}}/{{share}}/cells.nc",
        cleaning=f"{RUN}/records/{{domain}}/{{share}}/cleaning.json",
    log:
        log_file("fuse_records-{domain}-{share}"),
    benchmark:
        benchmark_file("fuse_records-{domain}-{share}", by_domain)
    conda:
        "../envs/cpu.yaml"
    params:
        directory=subpath(output.cells, parent=True),
        shares=CONFIG.fusion.jobs,
        settings=settings(CONFIG.fusion, "record_cells", "label_min_scalaravg", "steady_state"),
        targets=settings(CONFIG.dataset.targets),
        mortality_factor=lambda wildcards: DOMAINS[wildcards.domain].mortality_factor,
        history_years=lambda wildcards: DOMAINS[wildcards.domain].cycle,
        # Patterns: a shell takes no command line with thousands of names.
        history=lambda wildcards: DOMAINS[wildcards.domain].words("history"),
        soil=lambda wildcards, input: (
            ["--soil-history", *DOMAINS[wildcards.domain].words("soil_history")]
            if input.soil_history
            else []
        ),
        reference=lambda wildcards: [
            word
            for option, key in (
                ("--reference-restart", "reference_restart"),
                ("--reference-history", "reference_history"),
                ("--reference-ad-restart", "reference_ad_restart"),
            )
            if getattr(DOMAINS[wildcards.domain], key)
            for word in (option, *flat(DOMAINS[wildcards.domain].words(key)))
        ],
        code=code_hash("fusion/fuse"),
    message:
        "fusing the records of {wildcards.domain}"
    shell:
        "phase fuse --domain-name {wildcards.domain} --share {wildcards.share}/{params.shares}"
        " --restart {input.restart:q} --history {params.history:q} {params.soil:q}"
        " --surface {input.surface:q} --params {input.params:q} --forcing {input.forcing:q}"
        " {params.reference:q} --settings {params.settings:q} --targets {params.targets:q}"
        " --mortality-factor {params.mortality_factor} --history-years {params.history_years}"
        " --output-dir {params.directory:q} --log {log:q}"


rule join_records:
    input:
        cells=expand(f"{RUN}/records/{{domain}}/{{share}}/cells.nc", domain=USED, share=SHARES),
    output:
        cells=f"{DATASET}/cells.nc",
        cleaning=f"{DATASET}/cleaning.json",
    log:
        log_file("join_records"),
    benchmark:
        benchmark_file("join_records", "accelerated")
    conda:
        "../envs/cpu.yaml"
    params:
        directory=subpath(output.cells, parent=True),
        records=lambda wildcards, input: [
            word
            for cells in input.cells
            for word in ("--records", Path(cells).parts[-3], Path(cells).parent)
        ],
        training=CONFIG.training.domains,
        accept="--accept-forcing" if "forcing" in CONFIG.preflight.accept else "",
        code=code_hash("dataset/joining"),
    message:
        "joining the records in one dataset"
    shell:
        "phase join {params.records:q} --training {params.training:q} {params.accept}"
        " --output-dir {params.directory:q} --log {log:q}"
