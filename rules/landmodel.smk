# What land models make before their runs, and the runs: chains of segments. Each segment is a job that starts from
# the restart of the segment before.
#
#   ad         year 1 (cold start) -> input year -> end of AD
#   reference  end of AD -> the conventional spin-up's end, or that of its own corrections, normal mode
#   injected   input year -> stabilisation, normal mode, from the injected restart
#   control    the same years from the converted 20-year restart; so runs beside it (config/stabilisation.py)
#
# After a window of a chain, the next segment starts from the corrected restart (correction.smk).
# The domain and the years of a segment give the names of its files, so each segment has a rule of its own, without
# wildcards. The run keeps all restarts: a chain resumes from the last good one.
# How a job is run (the resource `how`) is no parameter: a change of it repeats nothing.
# A profile sets resources and threads of all segments under `run_segment`, of one chain under `run_ad`. What the land
# model itself asks for, as that of CIME does, only the latter replaces.
from phase_lib.cluster.engine import set_by_profile

# The chain for which all other stages wait has the highest priority.
SEGMENT_PRIORITY = {"ad": 100, "reference": 100, "injected": 50}
SEGMENT_COST = {"ad": "labels", "reference": "labels", "injected": "accelerated"}


STEPS = [
    (DOMAINS[name], model, step) for name, model in MODELS.items() for step in model.steps(DOMAINS[name])
]
SEGMENTS = [
    (DOMAINS[name], model, part.role, segment)
    for name, model in MODELS.items()
    for part in DOMAINS[name].chains
    for segment in DOMAINS[name].segments(part, CONFIG.spinup)
]

for domain, model, step in STEPS:

    rule:
        name:
            step.name
        input:
            placed(step.inputs),
        output:
            placed(step.outputs),
        log:
            log_file(step.name),
        benchmark:
            benchmark_file(step.name, role="inputs")
        localrule: step.job.local
        conda:
            "../envs/cpu.yaml"
        threads: step.job.threads
        resources:
            **step.job.resources,
            how=settings_of(model, *model.job_settings),
        params:
            backend=CONFIG.backend_of(domain.name),
            step=step.name,
            files=files_for(model, domain.existing),
            directory=step.outputs[0].parent,
            settings=settings_of(model, *step.settings),
            code=code_hash(*step.code),
        message:
            step.message
        shell:
            "phase prepare --backend {params.backend} --step {params.step} {params.files:q}"
            " --settings {params.settings:q} --job-settings {resources.how:q} --output-dir {params.directory:q} --workers {threads} --log {log:q}"


for domain, model, role, segment in SEGMENTS:
    job = model.job(role, segment)
    # The target's AD run up to the input year is a part of the accelerated spin-up.
    accelerated = domain.target and role == "ad" and segment.end_year <= 1 + CONFIG.spinup.input_years
    set_by_profile(workflow, segment.stage, f"run_{role}", "run_segment", known=job.resources)

    rule:
        name:
            segment.stage
        input:
            restart=placed(segment.finidat),
            # It has to exist and to be sound; a newer one is no reason to run again.
            audit=ancient(audit_of(segment.finidat)) if str(segment.finidat) in (INJECTED, CONTROL) else [],
            domain=placed(domain.domain),
            surface=placed(domain.surface),
            params=placed(domain.params),
            soil_params=placed(domain.soil_params),
            forcing=forcing_read_by(model, domain),
            prepared=[placed(path) for step in model.steps(domain) for path in step.outputs[:1]],
        output:
            restart=placed(segment.restart),
            cycles=placed(segment.history(CYCLE_TAPE)),
            annual=placed(segment.history(ANNUAL_TAPE)),
        log:
            log_file(segment.stage),
        benchmark:
            benchmark_file(
                segment.stage,
                role="accelerated" if accelerated else SEGMENT_COST.get(role, "verification"),
                rule=f"run_{role}",
                conventional_years=segment.years if domain.is_conventional(role) else 0,
            )
        priority: SEGMENT_PRIORITY.get(role, 10)
        localrule: job.local
        conda:
            "../envs/cpu.yaml"
        threads: job.threads
        resources:
            **job.resources,
            how=settings_of(model, *model.job_settings),
        params:
            case=segment.case,
            mode=segment.mode,
            start=segment.start_year,
            years=segment.years,
            directory=subpath(output.restart, parent=True),
            backend=CONFIG.backend_of(domain.name),
            settings=settings_of(model, *model.segment_settings),
            spinup=settings(
                segment.spinup,
                "nyears_ad_carbon_only",
                "spinup_mortality_factor",
                "history_fields",
                "annual_fields",
            ),
            start_from=["--finidat", *placed([segment.finidat])] if segment.finidat else [],
            files=files_for(model, domain),
            code=code_hash(*model.segment_code),
        message:
            f"running the land model: {segment.case}, years {segment.start_year} to {segment.end_year - 1}"
        shell:
            "phase run-segment --backend {params.backend} --case {params.case} --mode {params.mode}"
            " --start-year {params.start} --years {params.years} {params.start_from:q} {params.files:q}"
            " --spinup {params.spinup:q}"
            " --settings {params.settings:q} --job-settings {resources.how:q} --output-dir {params.directory:q}"
            " --threads {threads} --log {log:q}"
