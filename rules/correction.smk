# Corrections of a run by its own rates (docs/correction.md). At the end of a window: the rates of the window say where
# the slow pools lead, `phase inject` puts that into the restart, and the next segment of the run starts from it.
# No segment waits for the audit of a corrected restart, as `phase inject` writes none that fails: so a changed check
# repeats these audits side by side.
# Names hold the run and the model year, so each correction has rules of its own, as segments have.
#
# A profile sets resources of all corrections under `correct_run`; injection and audit have those of the injected restart.
for domain, role, correction in CORRECTIONS:
    counts_as = SEGMENT_COST.get(role, "verification")
    set_by_profile(workflow, f"correct_{correction.name}", "correct_run")
    set_by_profile(workflow, f"inject_{correction.name}", "inject_restart")
    set_by_profile(workflow, f"audit_{correction.name}", "audit_injected")

    rule:
        name:
            f"correct_{correction.name}"
        input:
            start=placed(correction.start),
            end=placed(correction.end),
            history=placed(correction.history),
            params=placed(domain.params),
            before=placed(correction.before.predictions) if correction.before else [],
        output:
            predictions=placed(correction.predictions),
        log:
            log_file(f"correct_{correction.name}"),
        benchmark:
            benchmark_file(f"correct_{correction.name}", counts_as, rule=f"correct_{role}")
        priority: SEGMENT_PRIORITY.get(role, 10)
        conda:
            "../envs/cpu.yaml"
        params:
            forcing_years=domain.cycle,
            part_of_a_cycle="" if correction.whole else "--part-of-a-cycle",
            before=lambda wildcards, input: ["--before", input.before] if input.before else [],
            settings=settings(CONFIG.correction),
            code=code_hash("equilibrium/correction"),
        message:
            f"correcting the {correction.case} run at the start of year {correction.year}"
        shell:
            "phase correct --start {input.start:q} --end {input.end:q} --history {input.history:q}"
            " --params {input.params:q} --forcing-years {params.forcing_years} {params.part_of_a_cycle}"
            " {params.before:q}"
            " --settings {params.settings:q} --output {output.predictions:q} --log {log:q}"

    rule:
        name:
            f"inject_{correction.name}"
        input:
            restart=placed(correction.end),
            surface=placed(domain.surface),
            params=placed(domain.params),
            soil_params=placed(domain.soil_params),
            predictions=placed(correction.predictions),
        output:
            restart=placed(correction.restart),
            diff=f"{correction.restart}.diff.json",
        log:
            log_file(f"inject_{correction.name}"),
        benchmark:
            benchmark_file(f"inject_{correction.name}", counts_as, rule=f"inject_{role}")
        priority: SEGMENT_PRIORITY.get(role, 10)
        conda:
            "../envs/cpu.yaml"
        params:
            # What the state of another model leads to is a result, sound or not.
            settings=settings(
                CONFIG.injection.model_copy(update={"accept_unsound": True})
                if role == "start"
                else CONFIG.injection
            ),
            code=code_hash("injection/inject"),
        message:
            f"injecting the corrected pools into the {correction.case} run at the start of year {correction.year}"
        shell:
            "phase inject --restart {input.restart:q} --surface {input.surface:q} --params {input.params:q}"
            " --soil-params {input.soil_params:q} --predictions {input.predictions:q}"
            " --settings {params.settings:q}"
            " --output {output.restart:q} --report {output.diff:q} --log {log:q}"

    rule:
        name:
            f"audit_{correction.name}"
        input:
            restart=placed(correction.restart),
            surface=placed(domain.surface),
            params=placed(domain.params),
        output:
            audit=audit_of(correction.restart),
        log:
            log_file(f"audit_{correction.name}"),
        benchmark:
            benchmark_file(f"audit_{correction.name}", "verification", rule=f"audit_{role}")
        priority: SEGMENT_PRIORITY.get(role, 10)
        conda:
            "../envs/cpu.yaml"
        params:
            code=code_hash("elm/audit/run"),
        message:
            f"auditing the corrected restart of the {correction.case} run at the start of year {correction.year}"
        shell:
            "phase audit {input.restart:q} --surface {input.surface:q} --params {input.params:q}"
            " --output {output.audit:q} --log {log:q}"
