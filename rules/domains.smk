# The domains of this run: where each one's files are, made by the embedded model or given.
from types import SimpleNamespace

from phase_lib.base.errors import InputError
from phase_lib.forcing import FORCING
from phase_lib.preflight.inputs import ad_run_of

USED = list(dict.fromkeys([*CONFIG.training.domains, CONFIG.target.domain]))


def embedded_domain():
    """The embedded world; its land-model output is made here."""
    end_of_ad = CONFIG.land_model.boundaries("ad")[-1]
    end_of_reference = CONFIG.land_model.boundaries("reference")[-1]
    history = history_files("ad", 0, last=INPUT_YEAR)
    reference_history = history_files("reference", 0)[-1:]
    return SimpleNamespace(
        **WORLD_FILES,
        restart=restart_file("ad", INPUT_YEAR),
        history=history,
        history_patterns=history,
        mortality_factor=CONFIG.land_model.spinup_mortality_factor,
        reference_restart=restart_file("reference", end_of_reference),
        reference_history=reference_history,
        reference_history_patterns=reference_history,
        reference_ad_restart=restart_file("ad", end_of_ad),
        forcing=SimpleNamespace(
            kind="datm",
            patterns=[f"{WORLD}/forcing/clmforc.embedded.*.nc"],
            files=world_forcing,
            product=CONFIG.world.forcing_product,
            first_year=CONFIG.world.forcing_first_year,
            years=CONFIG.world.forcing_years,
            align_year=1,
            limit_km=CONFIG.fusion.forcing_limit_km,
        ),
    )


def given_domain(files):
    """A domain of the configuration; its files exist."""

    def name_of(path):
        name = path.as_posix()
        if {"{", "}"} & set(name):
            remedy = "give it another name, by a link for example"
            raise InputError(name, "has a brace in its name, Snakemake's sign of a wildcard", remedy=remedy)
        return name

    def several(patterns):
        return [name_of(path) for path in matching_files(patterns)]

    def one(path):
        return name_of(matching_file(path)) if path else []

    forcing = files.forcing
    patterns = forcing.files or files.history
    paths = several(patterns)

    def forcing_files(years):
        if forcing.kind != "datm":
            return paths
        return [path for path in paths if any(f".{year:04d}-" in Path(path).name for year in years)]

    return SimpleNamespace(
        domain=one(files.domain),
        surface=one(files.surface),
        params=one(files.params),
        soil_params=one(files.soil_params),
        restart=one(files.restart),
        history=several(files.history),
        history_patterns=files.history,
        mortality_factor=ad_run_of(files)[0],
        reference_restart=one(files.reference_restart),
        reference_history=several(files.reference_history),
        reference_history_patterns=files.reference_history,
        reference_ad_restart=one(files.reference_ad_restart),
        forcing=SimpleNamespace(
            kind=forcing.kind,
            patterns=patterns,
            files=forcing_files,
            product=forcing.product,
            first_year=forcing.first_year,
            years=forcing.years,
            align_year=forcing.align_year,
            limit_km=forcing.limit_km,
        ),
    )


with one_line():
    DOMAINS = {
        name: embedded_domain() if name == EMBEDDED else given_domain(CONFIG.domains[name]) for name in USED
    }

TARGET = DOMAINS[CONFIG.target.domain]
INJECTED = f"{RUN}/restart/{Path(TARGET.restart).name}"
CONTROL = f"{RUN}/restart/control/{Path(TARGET.restart).name}"


def of_domain(key):
    """Input function: a file, or files, of the domain in the wildcards."""
    return lambda wildcards: getattr(DOMAINS[wildcards.domain], key)


FORCING_GROUPS = (
    {name: [name] for name in FORCING} if CONFIG.fusion.forcing_by_variable else {"all": [*FORCING]}
)


def forcing_pieces(domain):
    """Monthly means of a domain, one file for each job."""
    forcing = DOMAINS[domain].forcing
    end = forcing.first_year + forcing.years
    step = CONFIG.fusion.forcing_years_per_job or forcing.years
    return [
        f"{RUN}/forcing/{domain}/{group}.{first:04d}-{min(first + step, end) - 1:04d}.nc"
        for group in FORCING_GROUPS
        for first in range(forcing.first_year, end, step)
    ]


def of_forcing(key):
    """Params function: a fact of the forcing of the domain in the wildcards."""
    return lambda wildcards: getattr(DOMAINS[wildcards.domain].forcing, key)
