# Forcing to monthly means on the cells of a domain: jobs by variable and by years, as configured.
wildcard_constraints:
    domain="[A-Za-z0-9][A-Za-z0-9_-]*",
    variables="|".join(FORCING_GROUPS),
    first=r"\d+",
    last=r"\d+",


rule reduce_forcing:
    input:
        domain=of_domain("domain"),
        forcing=lambda wildcards: placed(
            DOMAINS[wildcards.domain].forcing.files_of(range(int(wildcards.first), int(wildcards.last) + 1))
        ),
    output:
        monthly=f"{RUN}/forcing/{{domain}}/{{variables}}.{{first}}-{{last}}.nc",
    log:
        log_file("reduce_forcing-{domain}-{variables}-{first}-{last}"),
    benchmark:
        benchmark_file("reduce_forcing-{domain}-{variables}-{first}-{last}", by_domain)
    conda:
        "../envs/cpu.yaml"
    threads: 2
    params:
        kind=of_forcing("kind"),
        # Patterns: a shell takes no command line with thousands of names.
        files=of_forcing("patterns"),
        product=of_forcing("product"),
        align_year=of_forcing("align_year"),
        limit_km=of_forcing("limit_km"),
        variables=lambda wildcards: FORCING_GROUPS[wildcards.variables],
        years=lambda wildcards: int(wildcards.last) - int(wildcards.first) + 1,
        code=lambda wildcards: code_hash(
            "forcing/reduce", "elm/domain", DOMAINS[wildcards.domain].forcing.module
        ),
    message:
        "reducing the forcing of {wildcards.domain} to monthly means"
    shell:
        "phase forcing --kind {params.kind} --files {params.files:q} --product {params.product:q}"
        " --domain {input.domain:q} --variables {params.variables} --align-year {params.align_year}"
        " --first-year {wildcards.first} --years {params.years} --limit-km {params.limit_km}"
        " --output {output.monthly:q} --workers {threads} --log {log:q}"


# Before anything is made of the forcing: is it what the model saw, as the history of the same years says?
FORCING_SEEN = f"{RUN}/forcing/{{domain}}/comparison.json"


rule compare_forcing:
    input:
        restart=of_domain("restart"),
        history=of_domain("history"),
        forcing=of_domain("monthly"),
    output:
        comparison=FORCING_SEEN,
    log:
        log_file("compare_forcing-{domain}"),
    benchmark:
        benchmark_file("compare_forcing-{domain}", "verification")
    conda:
        "../envs/cpu.yaml"
    params:
        # Patterns: a shell takes no command line with thousands of names.
        history=lambda wildcards: DOMAINS[wildcards.domain].words("history"),
        accept="--accept" if "forcing_history" in CONFIG.preflight.accept else "",
        code=code_hash("forcing/comparison"),
    message:
        "comparing the forcing of {wildcards.domain} with what the model saw"
    shell:
        "phase compare-forcing --restart {input.restart:q} --history {params.history:q}"
        " --forcing {input.forcing:q} {params.accept} --output {output.comparison:q} --log {log:q}"
