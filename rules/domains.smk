# The domains of this run, with their files and what the run makes of these (phase_lib/landmodel/domain.py).
from phase_lib.landmodel.domain import ANNUAL_TAPE, CYCLE_TAPE, RUN_FILES
from phase_lib.landmodel.planning import domains_of, forcing_groups, land_model_of


def without_wildcards(name):
    """The name of a file, without braces, which Snakemake takes for wildcards."""
    if {"{", "}"} & set(name):
        remedy = "give it another name, by a link for example"
        raise InputError(name, "has a brace in its name, Snakemake's sign of a wildcard", remedy=remedy)
    return name


def placed(value):
    """A file, or files, of a domain for a rule; an empty list where there is none."""
    if value is None or isinstance(value, (str, Path)):
        return [] if value is None else without_wildcards(str(value))
    return [without_wildcards(str(path)) for path in value]


with one_line():
    DOMAINS = domains_of(CONFIG)
    MODELS = {name: land_model_of(CONFIG, name) for name in DOMAINS}
    for domain in DOMAINS.values():
        placed([*domain.paths, *domain.forcing.files])

TARGET = DOMAINS[CONFIG.target.domain]

USED = list(DOMAINS)
INJECTED, CONTROL = str(TARGET.injected), str(TARGET.control)
# What corrects runs of the land model, and the runs' names.
CORRECTIONS = [
    (domain, part.role, correction)
    for domain in DOMAINS.values()
    for part in domain.chains
    for correction in domain.corrections(part, CONFIG.spinup)
]
# True where the workflow runs the land model of the target; False where its output exists already.
RUNS_TARGET = TARGET.has_run("injected")
FORCING_GROUPS = forcing_groups(CONFIG.fusion)


def of_domain(key):
    """Input or params function: a file, or files, or a fact, of the domain in the wildcards."""
    return lambda wildcards: placed(getattr(DOMAINS[wildcards.domain], key))


def of_forcing(key):
    """Params function: a fact of the forcing of the domain in the wildcards."""
    return lambda wildcards: getattr(DOMAINS[wildcards.domain].forcing, key)


def forcing_read_by(model, domain):
    """Forcing that the segments of a land model read: monthly means, or the files themselves."""
    return placed(domain.monthly if model.monthly_forcing else domain.forcing.files)


def files_for(model, domain):
    """Options that give a land model the files of a domain."""
    options = [
        (f"--{key}".replace("_", "-"), str(path)) for key in RUN_FILES if (path := getattr(domain, key))
    ]
    if model.monthly_forcing:
        options += [("--forcing", *map(str, domain.monthly))] if domain.monthly else []
    elif domain.forcing is not None:
        options.append(("--forcing-files", settings(domain.forcing.section)))
    return ["--domain-name", domain.name, "--forcing-years", domain.cycle, *(w for o in options for w in o)]


def settings_of(model, *keys):
    """Keys of a land model's section as JSON."""
    return settings(model.settings, *keys) if keys else "{}"


def audit_of(restart):
    """Findings of the audit in a restart that `phase inject` made."""
    return f"{restart}.audit.json"


def segments_of(role):
    """Segments of a run of the target, of all rounds; none where the workflow does not run it."""
    return TARGET.segments(TARGET.chain(role), CONFIG.spinup) if TARGET.has_run(role) else []


def corrections_of(role):
    """Corrections of a run of the target, of all rounds."""
    return TARGET.corrections(TARGET.chain(role), CONFIG.spinup) if TARGET.has_run(role) else []


def round_end(number):
    """Model year at which a round of the target's injected run ends; it and its controls begin after the input."""
    return CONFIG.stabilisation.round_end(1 + CONFIG.spinup.input_years, number)
