"""The command line: `phase <stage>`, what the workflow's rules call and what a person can call by hand.

Exit codes: 0 done; 1 the program failed; 2 the input or the arguments are wrong (one line); 3 a check
ran and came out negative. What is slow to import is imported inside the commands.
"""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Callable, Collection, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click
from click.core import ParameterSource

import phase_lib
from phase_lib.base.errors import PhaseError
from phase_lib.base.memory import keep_freed_memory
from phase_lib.base.progress import LOGGER, configure_logging

_Function = TypeVar("_Function", bound=Callable[..., Any])
#: What reads a file says what is wrong with it; click's own check of permissions would come before.
FILE = click.Path(path_type=Path, readable=False)


class _Output(click.Path):
    """A file to write, which must be none of those that the command reads."""


OUTPUT = _Output(path_type=Path, readable=False)
DEFAULT_CONFIG = Path("workflow_config.yaml")


class _Command(click.Command):
    """A command whose repeatable options take several values after one name: `--history A.nc B.nc`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        repeatable = {
            name
            for option in self.params
            if getattr(option, "multiple", False) and option.nargs == 1
            for name in option.opts
        }
        expanded: list[str] = []
        current, taken = "", 0
        for token in args:
            if token.startswith("--"):
                current, taken = token if token in repeatable else "", 0
            elif current:
                if taken:
                    expanded.append(current)
                taken += 1
            expanded.append(token)
        return super().parse_args(ctx, expanded)


class _Group(click.Group):
    """The commands in the order of the data, not of the alphabet."""

    command_class = _Command

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(phase_lib.__version__, prog_name="phase")
def phase() -> None:
    """Accelerated biogeochemical spin-up of the E3SM Land Model with the PHASE surrogate."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Runs the command line and exits.

    Args:
        arguments: words after `phase`; those of the process where None.
    """
    keep_freed_memory()
    try:
        status = phase.main(arguments, prog_name="phase", standalone_mode=False)
    except PhaseError as error:
        LOGGER.error("failed: %s", error)
        _fail(str(error), error.exit_code)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(2)
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        hint = f"; see {context.command_path} --help" if context is not None else ""
        _fail(f"{error.format_message().rstrip('.')}{hint}", 2)
    except (click.Abort, KeyboardInterrupt):
        _fail("interrupted", 130)
    except Exception:
        LOGGER.error("failed", exc_info=True)
        raise
    sys.exit(status if isinstance(status, int) else 0)


def _fail(message: str, code: int) -> NoReturn:
    click.echo(f"phase: {' '.join(message.split())}", err=True)
    sys.exit(code)


def stage(function: _Function) -> _Function:
    """Gives a command `--log` and `--verbose`, and sets up its progress lines.

    Lines begin with the name of the log file, which tells jobs side by side apart, or with the command's.
    """

    @click.option("--log", type=OUTPUT, help="Also write progress, with times, to this file.")
    @click.option("--verbose", is_flag=True, help="Say more on the terminal.")
    @functools.wraps(function)
    def wrapped(*args: Any, log: Path | None, verbose: bool, **kwargs: Any) -> Any:
        context = click.get_current_context()
        _refuse_inputs_as_outputs(context)
        name = log.stem if log is not None else context.info_name
        configure_logging(name or "phase", log, verbose=verbose)
        return function(*args, **kwargs)

    return wrapped  # type: ignore[return-value]


def _refuse_inputs_as_outputs(context: click.Context) -> None:
    """Refuses to write a file that the command reads, before anything is opened."""
    from phase_lib.base.files import refuse_as_output

    outputs: list[Path] = []
    inputs: list[str | Path] = []
    for option in context.command.params:
        given = context.params.get(option.name or "")
        for value in given if isinstance(given, tuple) else (given,):
            if isinstance(value, (str, Path)):
                (outputs if isinstance(option.type, _Output) else inputs).append(value)  # type: ignore[arg-type]
    refuse_as_output(outputs, inputs)


def default_of(key: str) -> dict[str, Any]:
    """Gives an option the default of a key of the configuration, so that no default stands here alone.

    Args:
        key: dotted, for example `"run.seed"`.
    """

    def look_up() -> Any:
        from phase_lib.config.root import WorkflowConfig

        return attrgetter(key)(WorkflowConfig())

    return {"default": look_up, "show_default": f"of {key}"}


def default_of_domain(key: str) -> dict[str, Any]:
    """Gives an option the default of a key of `domains.NAME.forcing`."""

    def look_up() -> Any:
        from phase_lib.config.domains import ForcingFiles

        return ForcingFiles.model_fields[key].default

    return {"default": look_up, "show_default": f"of domains.NAME.forcing.{key}"}


class _Number(click.FloatRange):
    """A number within a range; click lets NaN and infinity pass."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a finite number", param, ctx)
        return number


_MORTALITY_FACTOR = click.option(
    "--mortality-factor",
    type=_Number(1.0),
    help="Factor on dead wood mortality in the AD run: its `spinup_mortality_factor`. Without it and "
    "--lnd-in 10 is taken, if the wood of the restart shows it.",
)
_LND_IN = click.option(
    "--lnd-in",
    type=FILE,
    help="`lnd_in` of the AD run, or its case directory, to read `spinup_mortality_factor` from.",
)


def _told_factor(mortality_factor: float | None, lnd_in: Path | None, restart: Path) -> float | None:
    """What the options say of the mortality factor of a restart's run."""
    from phase_lib.elm.dead_wood import told_factor
    from phase_lib.elm.namelist import read_ad_settings

    return told_factor(mortality_factor, None if lnd_in is None else read_ad_settings(lnd_in), restart)


def settings_option(section: str) -> Callable[[_Function], _Function]:
    """The `--settings` option of a stage whose section of the configuration is `section`."""
    return click.option(
        "--settings",
        default="{}",
        metavar="JSON|FILE",
        help=f"The section `{section}` as JSON, or a YAML/JSON file that holds it or a whole "
        "configuration; what is left out has its default.",
    )


_BACKEND = click.option(
    "--backend", default="embedded", show_default=True, help="Land model, a name of `land_model.backend`."
)


def _land_model(backend: str, settings: str) -> Any:
    """A land model of the table with its settings."""
    from phase_lib.config.backends import backend_class
    from phase_lib.config.loading import load_settings

    model = backend_class(backend)
    section = model.settings_model
    return model(None if section is None else load_settings(settings, section, backend))


_WORLD_DIRECTORY = click.option("--output-dir", type=FILE, required=True, help="Directory for what is made.")
_WORKERS = click.option("--workers", type=click.IntRange(1), default=1, show_default=True, help="Processes.")


@phase.command()
@settings_option("embedded")
@_WORLD_DIRECTORY
@_WORKERS
@stage
def world(settings: str, output_dir: Path, workers: int) -> None:
    """Makes the embedded world: domain, surface, parameter and forcing files."""
    _land_model("embedded", settings).prepare("make_world", "embedded", output_dir, workers)


@phase.command()
@_BACKEND
@settings_option("BACKEND")
@click.option("--step", required=True, help="What to make, a step of the land model.")
@click.option("--domain-name", required=True, help="Domain that it is for.")
@_WORLD_DIRECTORY
@_WORKERS
@stage
def prepare(backend: str, settings: str, step: str, domain_name: str, output_dir: Path, workers: int) -> None:
    """Makes what a land model needs before its first run: a world, a case, an executable."""
    _land_model(backend, settings).prepare(step, domain_name, output_dir, workers)


@phase.command()
@click.option(
    "--kind",
    type=click.Choice(["datm", "bypass", "history"]),
    required=True,
    help="datm: NAME.YYYY-MM.nc; bypass: SET_VARIABLE_YYYY-YYYY_zNN.nc; history: the model's own monthly h0.",
)
@click.option(
    "--files", required=True, multiple=True, metavar="FILE...", help="Files, or patterns with * and ?."
)
@click.option("--domain", type=FILE, required=True, help="Domain file: the land cells.")
@click.option(
    "--variables", multiple=True, metavar="NAME...", help="Some of the six variables; all of them by default."
)
@click.option("--first-year", type=int, required=True, help="First year to do; a model year of kind history.")
@click.option("--years", type=click.IntRange(1), required=True, help="Years to do; pieces make up a cycle.")
@click.option(
    "--align-year",
    type=int,
    required=True,
    help="Model year that sees the first year of the whole cycle (DATM_CLMNCEP_YR_ALIGN).",
)
@click.option("--product", required=True, help='Name of the data set, kept in the file: "GSWP3 v1".')
@click.option(
    "--limit-km",
    type=_Number(0.0, min_open=True),
    **default_of_domain("limit_km"),
    help="Farthest forcing point of a cell, km.",
)
@click.option("--output", type=OUTPUT, required=True, help="NetCDF file of monthly means to write.")
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True, help="Processes.")
@stage
def forcing(
    kind: Any,
    files: tuple[str, ...],
    domain: Path,
    variables: tuple[str, ...],
    first_year: int,
    years: int,
    align_year: int,
    product: str,
    limit_km: float,
    output: Path,
    workers: int,
) -> None:
    """Reduces forcing files to monthly means on the land cells: one piece of variables and years."""
    from phase_lib.base.files import matching_files
    from phase_lib.elm.domain import read_domain
    from phase_lib.forcing import FORCING, reduce_forcing

    reduce_forcing(
        matching_files(files),
        read_domain(domain),
        output,
        kind=kind,
        variables=variables or tuple(FORCING),
        first_year=first_year,
        years=years,
        align_year=align_year,
        product=product,
        limit_km=limit_km,
        workers=workers,
    )


@phase.command("compare-forcing")
@click.option("--restart", type=FILE, required=True, help="Restart at the end of the cycle to compare.")
@click.option(
    "--history", required=True, multiple=True, metavar="FILE...", help="History of it: files, or patterns."
)
@click.option(
    "--forcing",
    required=True,
    multiple=True,
    metavar="FILE...",
    help="Monthly means made by `phase forcing`: files, or patterns.",
)
@click.option("--accept", is_flag=True, help="Record a difference and go on.")
@click.option("--output", type=OUTPUT, required=True, help="JSON of what was compared.")
@stage
def compare_forcing(
    restart: Path, history: tuple[str, ...], forcing: tuple[str, ...], accept: bool, output: Path
) -> None:
    """Compares reduced forcing with the forcing fields of the history: with what the model saw."""
    from phase_lib.base.files import matching_files
    from phase_lib.forcing.comparison import compare_forcing as run

    run(restart, matching_files(history), matching_files(forcing), output, accept=accept)


@phase.command("run-segment")
@click.option("--case", required=True, help="Name of the run; restart and history are named after it.")
@click.option("--mode", type=click.Choice(["ad", "normal"]), required=True, help="Spin-up mode.")
@click.option("--start-year", type=click.IntRange(1), required=True, help="Model year of the first day.")
@click.option("--years", type=click.IntRange(1), required=True, help="Length, whole forcing cycles.")
@click.option("--finidat", type=FILE, help="Restart to start from; a cold start without it.")
@click.option("--surface", type=FILE, help="Surface data.")
@click.option("--domain", type=FILE, help="Domain file.")
@click.option("--params", type=FILE, help="PFT and decomposition parameters.")
@click.option("--soil-params", type=FILE, help="Soil-order parameters.")
@click.option(
    "--forcing",
    type=FILE,
    multiple=True,
    help="Monthly means made by `phase forcing`, for a land model that reads them.",
)
@click.option("--output-dir", type=FILE, required=True, help="Directory for restart and history.")
@click.option(
    "--forcing-years", type=click.IntRange(1), **default_of_domain("years"), help="Forcing cycle, years."
)
@click.option("--domain-name", default="files", show_default=True, help="Name of the domain.")
@click.option("--spinup", default="{}", metavar="JSON|FILE", help="The section `spinup`: the protocol.")
@_BACKEND
@settings_option("BACKEND")
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="Processes.")
@stage
def run_segment(
    case: str,
    mode: Any,
    start_year: int,
    years: int,
    finidat: Path | None,
    forcing: tuple[Path, ...],
    output_dir: Path,
    forcing_years: int,
    domain_name: str,
    spinup: str,
    backend: str,
    settings: str,
    threads: int,
    **files: Any,
) -> None:
    """Runs the land model from a restart (or a cold start) to the restart some years later."""
    from phase_lib.config.loading import load_settings
    from phase_lib.config.spinup import SpinupSettings
    from phase_lib.landmodel.domain import Domain, Segment
    from phase_lib.landmodel.planning import run_segment as run

    domain = Domain(domain_name, forcing_years, backend, monthly=forcing, **files)
    protocol = load_settings(spinup, SpinupSettings, "spinup", "--spinup")
    segment = Segment(case, mode, start_year, years, finidat, domain, output_dir, protocol, threads)
    run(_land_model(backend, settings), segment)


class _Part(click.ParamType):
    """`2/8`: the second of eight jobs."""

    name = "K/N"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number, slash, count = str(value).partition("/")
        if not (slash and number.isdigit() and count.isdigit()):
            self.fail(f"{value!r} is not like 2/8", param, ctx)
        if not 1 <= int(number) <= int(count):
            self.fail(f"{value!r} is no part; expected 1/{count} to {count}/{count}", param, ctx)
        return int(number), int(count)


@phase.command()
@click.option("--restart", type=FILE, required=True, help="Restart at the end of the 20 years.")
@click.option("--history", type=FILE, required=True, multiple=True, help="History that covers the 20 years.")
@click.option("--surface", type=FILE, required=True, help="Surface data.")
@click.option("--params", type=FILE, required=True, help="PFT and decomposition parameters.")
@click.option(
    "--forcing", type=FILE, required=True, multiple=True, help="Monthly means made by `phase forcing`."
)
@click.option("--reference-restart", type=FILE, help="Final restart of the reference run: the labels.")
@click.option(
    "--reference-history", type=FILE, multiple=True, help="Last forcing cycle of the reference run."
)
@click.option("--reference-ad-restart", type=FILE, help="Restart at the end of the reference's AD part.")
@settings_option("fusion")
@click.option("--targets", default="{}", metavar="JSON|FILE", help="The section `dataset.targets`.")
@_MORTALITY_FACTOR
@_LND_IN
@click.option(
    "--history-years",
    type=click.IntRange(1),
    **default_of_domain("years"),
    help="Years that GPP, NPP, AR and HR are averaged over: one forcing cycle.",
)
@click.option("--domain-name", **default_of("target.domain"), help="Name of the domain, kept in the dataset.")
@click.option("--part", type=_Part(), default="1/1", show_default=True, help="Share of the cells to do.")
@click.option("--output-dir", type=FILE, required=True, help="Directory of the dataset.")
@stage
def fuse(
    settings: str,
    targets: str,
    mortality_factor: float | None,
    lnd_in: Path | None,
    history_years: int,
    domain_name: str,
    part: tuple[int, int],
    output_dir: Path,
    history: tuple[Path, ...],
    forcing: tuple[Path, ...],
    reference_history: tuple[Path, ...],
    **files: Any,
) -> None:
    """Fuses restart, history, surface, parameters and forcing into one record per cell.

    Of history and forcing patterns with * and ? may be given.
    """
    from phase_lib.base.files import matching_files
    from phase_lib.config.fusion import FusionSettings
    from phase_lib.config.loading import load_settings
    from phase_lib.config.targets import TargetSettings
    from phase_lib.fusion.fuse import Part
    from phase_lib.fusion.fuse import fuse as run
    from phase_lib.landmodel.domain import Domain

    choices = load_settings(settings, FusionSettings, "fusion")
    chosen = load_settings(targets, TargetSettings, "dataset.targets", "--targets")
    domain = Domain(
        domain_name,
        history_years,
        monthly=tuple(matching_files(forcing)),
        history=tuple(matching_files(history)),
        mortality_factor=_told_factor(mortality_factor, lnd_in, files["restart"]),
        reference_history=tuple(matching_files(reference_history)),
        **files,
    )
    run(domain, choices, chosen, output_dir, Part(*part))


_ACCEPT_FORCING = click.option(
    "--accept-forcing",
    is_flag=True,
    help="Let training and target have forcing of different products or reductions.",
)


@phase.command()
@click.option(
    "--records",
    type=(str, FILE),
    required=True,
    multiple=True,
    metavar="DOMAIN DIR",
    help="A directory that `phase fuse` wrote, and its domain.",
)
@click.option("--training", required=True, multiple=True, metavar="DOMAIN", help="Domains to train on.")
@_ACCEPT_FORCING
@click.option("--output-dir", type=FILE, required=True, help="Directory of the dataset.")
@stage
def join(
    records: Sequence[tuple[str, Path]], training: tuple[str, ...], accept_forcing: bool, output_dir: Path
) -> None:
    """Joins the records of all domains and jobs in one dataset: an index over their files."""
    from phase_lib.dataset.joining import join_records

    by_domain: dict[str, list[Path]] = {}
    for name, directory in records:
        by_domain.setdefault(name, []).append(directory)
    join_records(by_domain, training, output_dir, accept_forcing=accept_forcing)


@phase.command()
@click.option("--dataset", type=FILE, required=True, help="Directory of the dataset.")
@click.option("--kind", type=click.Choice(["random", "block"]), required=True, help="Single cells or tiles.")
@settings_option("dataset")
@click.option("--seed", type=click.IntRange(0), **default_of("run.seed"), help="Seed of the draw.")
@click.option("--output", type=OUTPUT, required=True, help="Split file to write.")
@stage
def split(dataset: Path, kind: Any, settings: str, seed: int, output: Path) -> None:
    """Splits the cells into training, validation and test."""
    from phase_lib.config.dataset import DatasetSettings
    from phase_lib.config.loading import load_settings
    from phase_lib.dataset.split import split as run

    result = run(dataset, kind, load_settings(settings, DatasetSettings, "dataset"), seed, output)
    LOGGER.info(
        "%s: %d training, %d validation, %d test cells",
        kind,
        result.train.sum(),
        result.validation.sum(),
        result.test.sum(),
    )


@phase.command()
@click.option("--dataset", type=FILE, required=True, help="Directory of the dataset.")
@click.option("--split", type=FILE, required=True, help="Split file; only its training cells count.")
@settings_option("surrogate")
@click.option("--output", type=OUTPUT, required=True, help="normalization.nc to write.")
@stage
def normalize(dataset: Path, split: Path, settings: str, output: Path) -> None:
    """Fits the scaling of features and targets on the training cells."""
    from phase_lib.config.loading import load_settings
    from phase_lib.config.surrogate import SurrogateSettings
    from phase_lib.surrogate.targets import normalize as run

    run(dataset, split, load_settings(settings, SurrogateSettings, "surrogate"), output)


@phase.command()
@click.option("--dataset", type=FILE, required=True, help="Directory of the dataset.")
@click.option("--split", type=FILE, required=True, help="Split file.")
@click.option("--normalization", type=FILE, required=True, help="normalization.nc of the same split.")
@settings_option("surrogate")
@click.option("--output-dir", type=FILE, required=True, help="Directory for model.pt and history.csv.")
@click.option(
    "--threads", type=click.IntRange(1), default=1, show_default=True, help="CPU threads of a node."
)
@click.option(
    "--rendezvous",
    metavar="HOST:PORT",
    help="Where the nodes of a training meet, set by the srun that this command starts.",
)
@stage
def train(
    dataset: Path,
    split: Path,
    normalization: Path,
    settings: str,
    output_dir: Path,
    threads: int,
    rendezvous: str | None,
) -> int:
    """Trains the surrogate; a killed training goes on from its checkpoint.

    Where the settings ask for several GPUs or nodes, starts a process for each; started by torchrun, is
    one of them.
    """
    from phase_lib.config.loading import load_settings
    from phase_lib.config.surrogate import SurrogateSettings
    from phase_lib.surrogate.launching import is_launcher, launch
    from phase_lib.surrogate.training import train as run

    choices = load_settings(settings, SurrogateSettings, "surrogate")
    if is_launcher(choices):
        return launch(choices, _own_words("threads", "rendezvous"), threads, rendezvous)
    run(dataset, split, normalization, choices, output_dir, threads)
    return 0


def _own_words(*without: str) -> list[str]:
    """The command that is running, with all its options but some, for another process."""
    context = click.get_current_context()
    words = [str(context.info_name)]
    for option in context.command.params:
        value = context.params.get(option.name or "")
        if option.name not in without and isinstance(option, click.Option):
            given = [option.opts[0]] if value is True else [option.opts[0], str(value)]
            words += given if value not in (None, False) else []
    return words


def _refuse_ignored(names: Collection[str], where: str) -> None:
    """Refuses options that the running command would not look at."""
    context = click.get_current_context()
    for option in context.command.params:
        if option.name in names and context.get_parameter_source(option.name) is not ParameterSource.DEFAULT:
            raise click.UsageError(f"{option.opts[0]} has no meaning {where}; leave it out")


@phase.command()
@click.option("--model", type=FILE, required=True, help="model.pt of a training.")
@click.option("--dataset", type=FILE, required=True, help="Directory of the dataset to predict.")
@click.option("--split", type=FILE, help="Split that the model was trained with.")
@settings_option("ood")
@click.option("--run-name", default="", help="Name of the run, kept in the file.")
@click.option("--domain-name", help="Domain of the dataset to predict; the only one where not given.")
@_ACCEPT_FORCING
@click.option("--test", is_flag=True, help="Only the test cells of the split, beside truth and baselines.")
@click.option("--paper", type=FILE, help="With --test: model of the paper's preset, to set beside it.")
@click.option(
    "--no-baselines", is_flag=True, help="With --test: leave out the 20-year state and the analogue."
)
@click.option(
    "--part",
    type=_Part(),
    default="1/1",
    show_default=True,
    help="Share of the cells to do; `phase join-predictions` makes one file of all.",
)
@click.option("--output", type=OUTPUT, required=True, help="predictions.nc, or with --test test_<split>.nc.")
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="CPU threads.")
@stage
def predict(
    model: Path,
    dataset: Path,
    split: Path | None,
    settings: str,
    run_name: str,
    domain_name: str | None,
    accept_forcing: bool,
    test: bool,
    paper: Path | None,
    no_baselines: bool,
    part: tuple[int, int],
    output: Path,
    threads: int,
) -> None:
    """Predicts the slow state of every cell, with a score of how far it is from the training cells."""
    from phase_lib.config.loading import load_settings
    from phase_lib.config.ood import OodSettings
    from phase_lib.surrogate.inference import write_test_predictions
    from phase_lib.surrogate.predictions import predict as run

    _refuse_ignored(
        {"settings", "run_name", "domain_name", "accept_forcing", "part"}
        if test
        else {"paper", "no_baselines"},
        "with --test" if test else "without --test",
    )
    if test:
        if split is None:
            raise click.UsageError("--test needs --split")
        write_test_predictions(model, dataset, split, output, threads, paper, baselines=not no_baselines)
        return
    run(
        model,
        dataset,
        output,
        load_settings(settings, OodSettings, "ood"),
        run_name,
        split,
        threads,
        domain=domain_name,
        accept_forcing=accept_forcing,
        part=part,
    )


@phase.command("join-predictions")
@click.option(
    "--parts",
    type=FILE,
    required=True,
    multiple=True,
    metavar="FILE...",
    help="What `phase predict --part` wrote.",
)
@click.option("--output", type=OUTPUT, required=True, help="predictions.nc to write.")
@stage
def join_predictions(parts: tuple[Path, ...], output: Path) -> None:
    """Joins the predictions of all parts of a target, as if one job had made them."""
    from phase_lib.surrogate.predictions import join_predictions as run

    run(parts, output)


@phase.command("compare-experiments")
@click.option(
    "--own", type=FILE, required=True, multiple=True, metavar="FILE...", help="The run's own test files."
)
@click.option(
    "--test",
    type=(str, FILE),
    multiple=True,
    metavar="EXPERIMENT FILE",
    help="Test file of one training of an experiment; split and seed stand in it.",
)
@click.option("--output-dir", type=FILE, required=True, help="Directory for comparison.json and tables.")
@stage
def compare_experiments(own: tuple[Path, ...], test: Sequence[tuple[str, Path]], output_dir: Path) -> None:
    """Sets the skill of experiments side by side: mean and spread over their seeds."""
    from phase_lib.report.experiments import compare_experiments as run

    run(own, test, output_dir)


@phase.command()
@click.option("--restart", type=FILE, required=True, help="Base restart, AD or normal; never modified.")
@click.option("--surface", type=FILE, required=True, help="Surface data of the same grid.")
@click.option("--params", type=FILE, required=True, help="PFT and decomposition parameters.")
@click.option("--soil-params", type=FILE, help="Soil-order parameters (smax, ks_sorption).")
@click.option(
    "--predictions", type=FILE, help="Predictions; without them the base is only taken to normal mode."
)
@click.option("--output", type=OUTPUT, required=True, help="Restart to write; keep the base's name.")
@settings_option("injection")
@click.option("--ood", default="{}", metavar="JSON|FILE", help="The section `ood`: what flagged cells get.")
@_MORTALITY_FACTOR
@_LND_IN
@click.option("--report", type=OUTPUT, help="Sidecar JSON; OUTPUT.diff.json where not given.")
@click.option("--dry-run", is_flag=True, help="Reckon everything, write no restart.")
@stage
def inject(
    settings: str,
    ood: str,
    mortality_factor: float | None,
    lnd_in: Path | None,
    output: Path,
    report: Path | None,
    dry_run: bool,
    **files: Any,
) -> None:
    """Puts predicted pools into a restart that ELM accepts, and audits it."""
    from phase_lib.config.injection import InjectionSettings
    from phase_lib.config.loading import load_settings
    from phase_lib.config.ood import OodSettings
    from phase_lib.injection.inject import inject as run

    run(
        **files,
        output=output,
        settings=load_settings(settings, InjectionSettings, "injection"),
        ood=load_settings(ood, OodSettings, "ood", "--ood"),
        mortality_factor=_told_factor(mortality_factor, lnd_in, files["restart"]),
        report=report or Path(f"{output}.diff.json"),
        dry_run=dry_run,
    )


@phase.command()
@click.argument("restart", type=FILE)
@click.option("--surface", type=FILE, help="Surface data: compare the cover too.")
@click.option("--params", type=FILE, help="Parameter file: check plant ratios and leaf area too.")
@click.option(
    "--mortality-factor",
    type=_Number(1.0),
    help="`spinup_mortality_factor` of the run, to hold against the wood of a restart in AD.",
)
@_LND_IN
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--output", type=OUTPUT, help="Write the JSON to this file too.")
@stage
def audit(
    restart: Path,
    surface: Path | None,
    params: Path | None,
    mortality_factor: float | None,
    lnd_in: Path | None,
    as_json: bool,
    output: Path | None,
) -> None:
    """Checks a restart value by value for what ELM would swallow in silence; exit 3 on errors."""
    import json

    from phase_lib.base.errors import CheckFailed
    from phase_lib.base.files import write_json
    from phase_lib.elm.audit import audit_restart

    report = audit_restart(restart, surface, params, _told_factor(mortality_factor, lnd_in, restart))
    if output is not None:
        write_json(output, report.to_dict())
    click.echo(json.dumps(report.to_dict(), indent=2) if as_json else "\n".join(report.lines()))
    if report.errors:
        raise CheckFailed(f"{restart}: {report.count}")


@phase.command("compare-restarts")
@click.argument("first", type=FILE)
@click.argument("second", type=FILE)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@stage
def compare_restarts(first: Path, second: Path, as_json: bool) -> None:
    """Compares two restarts variable by variable: values, attributes, dimensions."""
    import json

    from phase_lib.elm.compare import compare_restarts as run

    comparison = run(first, second)
    click.echo(json.dumps(comparison.to_dict(), indent=2) if as_json else "\n".join(comparison.lines()))


@phase.command()
@click.argument("file", type=FILE)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@stage
def inspect(file: Path, as_json: bool) -> None:
    """Says what a file is, ELM's or of a run, and what is in it."""
    import json

    from phase_lib.preflight.inspection import describe
    from phase_lib.preflight.inspection import inspect as run

    content = run(file)
    click.echo(json.dumps(content, indent=2) if as_json else "\n".join(describe(content)))


@phase.command()
@click.option("--history", required=True, multiple=True, help="History of the run, one tape; or patterns.")
@click.option("--forcing-years", type=click.IntRange(1), required=True, help="Forcing cycle, years.")
@settings_option("equilibrium")
@click.option("--output", type=OUTPUT, required=True, help="verdict.json to write.")
@click.option("--strict", is_flag=True, help="Exit 3 if a criterion does not hold.")
@click.option("--control", multiple=True, help="History of the same years without injection.")
@click.option("--reference", multiple=True, help="History of the conventional run.")
@click.option("--split", type=FILE, help="Split file: judge its test cells alone too.")
@click.option("--drift", type=OUTPUT, help="drift.nc to write: per-cell drift of the runs side by side.")
@stage
def equilibrium(
    history: tuple[str, ...],
    forcing_years: int,
    settings: str,
    output: Path,
    strict: bool,
    control: tuple[str, ...],
    reference: tuple[str, ...],
    split: Path | None,
    drift: Path | None,
) -> None:
    """Judges whether a run is in equilibrium, alone or beside its control and the reference.

    Of histories patterns with * and ? may be given.
    """
    from phase_lib.base.errors import CheckFailed
    from phase_lib.base.files import matching_files
    from phase_lib.config.equilibrium import EquilibriumSettings
    from phase_lib.config.loading import load_settings
    from phase_lib.equilibrium.verdict import equilibrium_of_files, verdict_of_runs

    thresholds = load_settings(settings, EquilibriumSettings, "equilibrium")
    if drift is None:
        if control or reference or split:
            raise click.UsageError("--control, --reference and --split need --drift")
        equilibrium_of_files(matching_files(history), forcing_years, output, thresholds, strict=strict)
        return
    runs = {"injected": history, "control": control, "reference": reference}
    verdict = verdict_of_runs(
        {name: matching_files(files) for name, files in runs.items() if files},
        forcing_years,
        thresholds,
        output,
        drift,
        split=split,
    )
    if strict and not verdict["runs"]["injected"]["all_cells"]["in_equilibrium"]:
        raise CheckFailed(f"the injected run is not in equilibrium; see {output}")


_BY_SPLIT = (click.Choice(["random", "block"]), FILE)


@phase.command()
@click.option(
    "--closing", type=FILE, metavar="SUMMARY", help="Print the closing page of a summary.json; no more."
)
@click.option("--verdict", type=FILE, help="verdict.json; left out where the target was not run.")
@click.option("--drift", type=FILE, help="drift.nc that comes with it.")
@click.option("--dataset", type=FILE, help="Directory of the dataset.")
@click.option("--predictions", type=FILE, help="predictions.nc.")
@click.option("--restart", type=FILE, help="Injected restart.")
@click.option("--diff", type=FILE, help="Its sidecar.")
@click.option("--split", type=_BY_SPLIT, multiple=True, metavar="KIND FILE", help="Split file.")
@click.option("--test", type=_BY_SPLIT, multiple=True, metavar="KIND FILE", help="Test cells of a split.")
@click.option(
    "--training", type=_BY_SPLIT, multiple=True, metavar="KIND FILE", help="history.csv of a training."
)
@click.option(
    "--forcing",
    type=(str, FILE),
    multiple=True,
    metavar="DOMAIN FILE",
    help="What `phase compare-forcing` wrote.",
)
@click.option("--experiments", type=FILE, help="comparison.json of `phase compare-experiments`.")
@click.option("--benchmarks", type=FILE, help="Directory of the stages' benchmark tables.")
@click.option("--slurm-jobs", type=FILE, help="Directory of the notes of the run's SLURM jobs.")
@click.option("--stages", type=FILE, help="JSON with the names of the run's stages; others do not count.")
@click.option("--config", default="{}", metavar="JSON|FILE", help="The whole configuration of the run.")
@click.option("--cores", type=click.IntRange(1), default=1, help="Cores that the workflow used.")
@click.option("--summary", type=OUTPUT, help="summary.json to write.")
@click.option("--output-dir", type=FILE, help="Directory for index.html, figures, tables and closing.txt.")
@stage
def report(
    closing: Path | None,
    verdict: Path | None,
    drift: Path | None,
    split: Sequence[tuple[str, Path]],
    test: Sequence[tuple[str, Path]],
    training: Sequence[tuple[str, Path]],
    forcing: Sequence[tuple[str, Path]],
    experiments: Path | None,
    benchmarks: Path | None,
    slurm_jobs: Path | None,
    stages: Path | None,
    config: str,
    cores: int,
    **files: Path | None,
) -> None:
    """Writes summary.json and the report of a run, or prints its closing page."""
    from phase_lib.base.files import read_json, writing
    from phase_lib.report.closing import closing_page

    if closing is not None:
        click.echo(closing_page(read_json(closing)))
        return
    missing = [name for name, path in files.items() if path is None]
    if missing:
        raise click.UsageError(f"Missing option '--{missing[0].replace('_', '-')}'")
    if "block" not in dict(split):
        raise click.UsageError("Missing option '--split block'")
    if (verdict is None) != (drift is None):
        raise click.UsageError("--verdict and --drift go together")
    from phase_lib.config.loading import load_settings
    from phase_lib.config.root import WorkflowConfig
    from phase_lib.report.page import write_report
    from phase_lib.report.products import RunFacts, RunProducts
    from phase_lib.report.summary import write_summary

    given = {name: path for name, path in files.items() if path is not None}
    summary, output_dir = given.pop("summary"), given.pop("output_dir")
    choices = load_settings(config, WorkflowConfig, "", "--config")
    products = RunProducts(
        **given,
        splits=dict(split),
        tests=dict(test),
        training=dict(training),
        forcing=dict(forcing),
        experiments=experiments,
        benchmarks=benchmarks,
        slurm_jobs=slurm_jobs,
        stages=stages,
        verdict=verdict,
        drift=drift,
    )
    facts = RunFacts.of(choices, cores)
    # The summary is there when its report is, so that a faulty product leaves nothing behind.
    with writing(summary) as temporary:
        write_summary(products, facts, temporary)
        write_report(temporary, products, output_dir)


@phase.command()
@click.option(
    "--config",
    metavar="JSON|FILE",
    help=f"Configuration of a run; {DEFAULT_CONFIG} where no file of the options below is given.",
)
@click.option("--restart", type=FILE, help="Restart that is to be injected, or trained on.")
@click.option("--surface", type=FILE, help="Surface data.")
@click.option("--domain", type=FILE, help="Domain file.")
@click.option("--params", type=FILE, help="PFT and decomposition parameters.")
@click.option("--soil-params", type=FILE, help="Soil-order parameters.")
@click.option("--history", multiple=True, help="History up to the restart; names or patterns.")
@click.option("--forcing", multiple=True, help="Forcing files; names or patterns.")
@click.option(
    "--forcing-kind",
    type=click.Choice(["datm", "bypass", "history"]),
    help="How the forcing files are laid out; datm where not given.",
)
@click.option("--first-year", type=int, help="First year of the forcing cycle.")
@click.option("--years", type=click.IntRange(1), **default_of_domain("years"), help="Forcing cycle.")
@click.option("--align-year", type=int, help="Model year that sees the first year; 1 where not given.")
@click.option("--limit-km", type=_Number(0.0, min_open=True), help="Farthest forcing point of a cell, km.")
@click.option("--product", default="not named", help="Name of the forcing data set.")
@click.option("--mortality-factor", type=_Number(1.0), help="`spinup_mortality_factor` of the AD run.")
@click.option(
    "--lnd-in", help="`lnd_in` of the AD run, or its case directory: spinup_mortality_factor and more."
)
@click.option("--reference-restart", type=FILE, help="Final restart of the reference run.")
@click.option("--reference-history", multiple=True, help="History of the reference; names or patterns.")
@click.option("--reference-ad-restart", type=FILE, help="Restart at the end of the reference's AD part.")
@click.option("--report", type=OUTPUT, help="JSON of what was understood, written where nothing is found.")
@click.option(
    "--write-default", type=OUTPUT, help="Write the documented default configuration, check nothing."
)
@stage
def check(config: str | None, report: Path | None, write_default: Path | None, **given: Any) -> None:
    """Checks a run's inputs, or files by themselves, by their headers; exit 3 if they do not fit together."""
    from phase_lib.base.errors import CheckFailed
    from phase_lib.base.files import write_json, writing
    from phase_lib.config.documentation import default_yaml
    from phase_lib.config.loading import load_settings
    from phase_lib.config.root import WorkflowConfig
    from phase_lib.preflight import check_inputs, files_by_hand

    if write_default is not None:
        with writing(write_default) as temporary:
            temporary.write_text(default_yaml(), encoding="utf-8")
        return
    files = files_by_hand(given)
    if config is None and files is None:
        config = str(DEFAULT_CONFIG)
    choices = None if config is None else load_settings(config, WorkflowConfig, "", "--config")
    outcome = check_inputs(choices, [] if files is None else [files])
    click.echo("\n".join(outcome.lines()))
    for line in outcome.findings[:-1]:
        LOGGER.debug("found: %s", line)
        click.echo(f"phase: {line}", err=True)
    if outcome.findings:
        raise CheckFailed(outcome.findings[-1])
    if report is not None:
        write_json(report, outcome.as_json())
    click.echo(f"{'configuration' if (config or '').startswith('{') else config or 'files'}: ok")


@phase.group()
def bench() -> None:
    """Measures speed and prints it as JSON."""


@bench.command("landmodel")
@click.option("--years", type=click.IntRange(1), default=20, show_default=True, help="Model years.")
@click.option("--cells", type=click.IntRange(1), default=700, show_default=True, help="Land cells.")
@click.option("--threads", type=click.IntRange(1), default=2, show_default=True, help="Processes.")
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", help="Where it computes.")
@stage
def bench_landmodel(years: int, cells: int, threads: int, device: str) -> None:
    """Speed of the embedded land model."""
    import json

    from phase_lib.bench.landmodel import bench_landmodel as run

    click.echo(json.dumps(run(years=years, cells=cells, threads=threads, device=device), indent=2))


@bench.command("fuse")
@click.option("--cells", type=click.IntRange(1), default=260_000, show_default=True, help="Land cells.")
@click.option("--months", type=click.IntRange(1, 12), default=12, show_default=True, help="Months of a year.")
@click.option("--workers", type=click.IntRange(1), default=2, show_default=True, help="Processes.")
@click.option(
    "--matching-cells", type=click.IntRange(1), default=400_000, show_default=True, help="Cells to match."
)
@click.option("--dir", "directory", type=FILE, help="Where to put the files; the system's place by default.")
@stage
def bench_fuse(cells: int, months: int, workers: int, matching_cells: int, directory: Path | None) -> None:
    """Speed and memory of the reduction of 3-hourly forcing, beside `cdo monmean` on the same files."""
    import json

    from phase_lib.bench.fuse import bench_fuse as run

    result = run(
        cells=cells, months=months, workers=workers, matching_cells=matching_cells, directory=directory
    )
    click.echo(json.dumps(result, indent=2))


@bench.command("inject")
@click.option("--cells", type=click.IntRange(1), default=20_000, show_default=True, help="Grid cells.")
@click.option(
    "--grow",
    default="none",
    show_default=True,
    metavar="CELLS|none",
    help="Grid cells of a second file, to see how time and memory grow, for example 260000 (26 GB of disk).",
)
@click.option(
    "--layout",
    type=click.Choice(["soil", "full"]),
    default="soil",
    show_default=True,
    help="Columns of each cell: soil alone, or the urban ones that ELM allocates too.",
)
@click.option("--dir", "directory", type=FILE, help="Where to put the files; the system's place by default.")
@stage
def bench_inject(cells: int, grow: str, layout: Any, directory: Path | None) -> None:
    """Speed and memory of the injection with its audit, beside `cp` of the same restart."""
    import json

    from phase_lib.bench.inject import bench_inject as run

    if grow != "none" and not grow.isdecimal():
        raise click.BadParameter(f"{grow!r} is no number of cells", param_hint="--grow")
    result = run(cells, None if grow == "none" else int(grow), layout, directory)
    click.echo(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
