# The embedded world: geography, soils, vegetation and weather in ELM's file formats.
STREAMS = ("Solr", "Prec", "TPQWL")
FORCING_YEARS = range(
    CONFIG.world.forcing_first_year, CONFIG.world.forcing_first_year + CONFIG.world.forcing_years
)
WORLD_FILES = {
    "domain": f"{WORLD}/domain.lnd.nc",
    "surface": f"{WORLD}/surfdata.nc",
    "params": f"{WORLD}/clm_params.nc",
    "soil_params": f"{WORLD}/CNP_parameters.nc",
}
FORCING_FILES = [
    f"{WORLD}/forcing/clmforc.embedded.{stream}.{year:04d}-{month:02d}.nc"
    for stream in STREAMS
    for year in FORCING_YEARS
    for month in range(1, 13)
]


rule make_world:
    output:
        **WORLD_FILES,
        forcing=FORCING_FILES,
    log:
        log_file("make_world"),
    benchmark:
        benchmark_file("make_world")
    conda:
        "../envs/cpu.yaml"
    threads: 2
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        settings=settings(CONFIG.world),
        directory=subpath(output.domain, parent=True),
        code=code_hash("landmodel/embedded/world"),
    message:
        "making the world: domain, surface, parameters and forcing"
    shell:
        "phase world --settings {params.settings:q} --output-dir {params.directory:q}"
        " --workers {threads} --log {log:q}"


rule reduce_forcing:
    input:
        domain=WORLD_FILES["domain"],
        forcing=FORCING_FILES,
    output:
        monthly=FORCING,
    log:
        log_file("reduce_forcing"),
    benchmark:
        benchmark_file("reduce_forcing")
    conda:
        "../envs/cpu.yaml"
    threads: 2
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        directory=lambda wildcards, input: Path(input.forcing[0]).parent,
        first_year=CONFIG.world.forcing_first_year,
        years=CONFIG.world.forcing_years,
        limit_km=CONFIG.fusion.forcing_limit_km,
        code=code_hash("elm/forcing", "elm/domain"),
    message:
        "reducing the forcing to monthly means"
    shell:
        "phase forcing --forcing-dir {params.directory:q} --domain {input.domain:q}"
        " --first-year {params.first_year} --years {params.years} --limit-km {params.limit_km}"
        " --output {output.monthly:q} --workers {threads} --log {log:q}"
