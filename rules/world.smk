# The embedded world: geography, soils, vegetation and weather in ELM's file formats.
WORLD_FILES = {
    "domain": f"{WORLD}/domain.lnd.nc",
    "surface": f"{WORLD}/surfdata.nc",
    "params": f"{WORLD}/clm_params.nc",
    "soil_params": f"{WORLD}/CNP_parameters.nc",
}


WORLD_YEARS = range(
    CONFIG.world.forcing_first_year, CONFIG.world.forcing_first_year + CONFIG.world.forcing_years
)


rule make_world:
    output:
        **WORLD_FILES,
        forcing=world_forcing(WORLD_YEARS),
    log:
        log_file("make_world"),
    benchmark:
        benchmark_file("make_world", "inputs")
    conda:
        "../envs/cpu.yaml"
    threads: 2
    params:
        settings=settings(CONFIG.world),
        directory=subpath(output.domain, parent=True),
        code=code_hash("landmodel/embedded/world"),
    message:
        "making the world: domain, surface, parameters and forcing"
    shell:
        "phase world --settings {params.settings:q} --output-dir {params.directory:q}"
        " --workers {threads} --log {log:q}"
