# Land-model runs: chains of segments, each a job that starts from the restart of the one before.
#
#   ad         year 1 (cold start) -> input year -> end of AD
#   reference  end of AD -> the conventional spin-up's end, normal mode
#   control    input year -> stabilisation, normal mode, from the converted restart
#   injected   the same years from the injected restart
#
# A segment writes several history files whose names follow from its years, so that there is one rule
# for each segment rather than a wildcard. Restarts are kept: a chain resumes from the last good one.
# A profile sets resources and threads of all segments as those of `run_segment`, of one chain as `run_ad`.
from phase_lib.cluster.engine import set_by_profile

FIRST_RESTART = {
    "ad": [],
    "reference": restart_file("ad", CONFIG.land_model.boundaries("ad")[-1]),
    "control": CONTROL,
    "injected": INJECTED,
}
# The chain that everything waits for takes both cores; the two short runs go side by side.
SEGMENT_THREADS = {"ad": 2, "reference": 2, "control": 1, "injected": 1}
SEGMENT_PRIORITY = {"ad": 100, "reference": 100, "control": 10, "injected": 50}
# The AD run up to the input year is a part of the accelerated spin-up, where the target is run here.
SEGMENT_ROLE = {"ad": "labels", "reference": "labels", "control": "verification", "injected": "accelerated"}
SEGMENT_SETTINGS = settings(
    CONFIG.land_model, "nyears_ad_carbon_only", "spinup_mortality_factor", "co2_ppm", "device"
)

for case in ("ad", "reference", *(("control", "injected") if RUNS_TARGET else ())):
    boundaries = CONFIG.land_model.boundaries(case)
    for start, end in zip(boundaries[:-1], boundaries[1:]):
        set_by_profile(workflow, f"run_{case}_{end:04d}", f"run_{case}", "run_segment")

        rule:
            name:
                f"run_{case}_{end:04d}"
            input:
                restart=FIRST_RESTART[case] if start == boundaries[0] else restart_file(case, start),
                domain=WORLD_FILES["domain"],
                surface=WORLD_FILES["surface"],
                params=WORLD_FILES["params"],
                soil_params=WORLD_FILES["soil_params"],
                forcing=forcing_pieces(EMBEDDED) if EMBEDDED in USED else [],
            output:
                restart=restart_file(case, end),
                cycles=history_files(case, 0, start, end),
                annual=history_files(case, 1, start, end),
            log:
                log_file(f"run_{case}_{end:04d}"),
            benchmark:
                benchmark_file(
                    f"run_{case}_{end:04d}",
                    role=SEGMENT_ROLE[case] if end != INPUT_YEAR or not RUNS_TARGET else "accelerated",
                    rule=f"run_{case}",
                    conventional_years=end - start if RUNS_TARGET and case in ("ad", "reference") else 0,
                )
            priority: SEGMENT_PRIORITY[case]
            conda:
                "../envs/cpu.yaml"
            threads: SEGMENT_THREADS[case]
            params:
                case=case,
                mode="ad" if case == "ad" else "normal",
                start=start,
                years=end - start,
                directory=subpath(output.restart, parent=True),
                settings=SEGMENT_SETTINGS,
                finidat=lambda wildcards, input: ["--finidat", input.restart] if input.restart else [],
                code=code_hash("landmodel/embedded/segment"),
            message:
                f"running the land model: {case}, years {start} to {end - 1}"
            shell:
                "phase run-segment --case {params.case} --mode {params.mode}"
                " --start-year {params.start} --years {params.years} {params.finidat:q}"
                " --surface {input.surface:q} --domain {input.domain:q} --params {input.params:q}"
                " --soil-params {input.soil_params:q} --forcing {input.forcing:q}"
                " --output-dir {params.directory:q} --settings {params.settings:q}"
                " --threads {threads} --log {log:q}"
