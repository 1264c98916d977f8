"""The files that are given for a domain: by a configuration, or by hand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from phase_lib.base.errors import InputError
from phase_lib.base.files import matching_file, matching_files
from phase_lib.config.domains import EMBEDDED, DomainFiles, ForcingFiles
from phase_lib.config.loading import validate
from phase_lib.config.root import WorkflowConfig
from phase_lib.elm.namelist import AdSettings, read_ad_settings
from phase_lib.elm.netcdf import open_dataset

#: Roles of which there is one file.
_SINGLE = (
    "restart",
    "surface",
    "domain",
    "params",
    "soil_params",
    "reference_restart",
    "reference_ad_restart",
)


@dataclass(frozen=True)
class InputFiles:
    """Files of one domain; any may be missing where they are given by hand.

    Attributes:
        name: of the domain.
        trains: its cells are learnt from.
        target: its restart is injected.
        years: length of the forcing cycle.
        mortality_factor: `spinup_mortality_factor` of its AD run; None where that is not known.
        ad_settings: what `lnd_in` says of that run; None where it is not given.
        forcing: how the forcing files are laid out, and which years of them count.
        forcing_files: those files.
    """

    name: str
    trains: bool
    target: bool
    years: int
    restart: Path | None = None
    surface: Path | None = None
    domain: Path | None = None
    params: Path | None = None
    soil_params: Path | None = None
    history: tuple[Path, ...] = ()
    mortality_factor: float | None = None
    ad_settings: AdSettings | None = None
    forcing: ForcingFiles | None = None
    forcing_files: tuple[Path, ...] = ()
    reference_restart: Path | None = None
    reference_history: tuple[Path, ...] = ()
    reference_ad_restart: Path | None = None

    @property
    def paths(self) -> Iterator[Path]:
        """All files."""
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Path):
                yield value
            elif isinstance(value, tuple):
                yield from value

    def require_readable(self) -> None:
        """Opens every file.

        Raises:
            InputError: one is missing, no NetCDF file, truncated or unreadable.
        """
        for path in dict.fromkeys(self.paths):
            with open_dataset(path):
                pass


def inputs_of(config: WorkflowConfig) -> list[InputFiles]:
    """The domains that a configuration uses and gives files for.

    Raises:
        InputError: a name or pattern stands for no file.
    """
    target = config.target.domain
    used = dict.fromkeys([*config.training.domains, target])
    return [
        _of_domain(name, config.domains[name], name in config.training.domains, name == target)
        for name in used
        if name != EMBEDDED
    ]


def ad_run_of(files: DomainFiles) -> tuple[float, AdSettings | None]:
    """`spinup_mortality_factor` of a domain's AD run, and what `lnd_in` says of that run, if it is given.

    Raises:
        InputError: `lnd_in` cannot be read, or says another factor than the configuration.
    """
    if files.lnd_in is None:
        assert files.spinup_mortality_factor is not None, "the configuration asks for one of them"
        return files.spinup_mortality_factor, None
    settings = read_ad_settings(matching_file(files.lnd_in))
    return settings.agreeing_with(files.spinup_mortality_factor), settings


def _of_domain(name: str, files: DomainFiles, trains: bool, target: bool) -> InputFiles:
    given = {role: getattr(files, role) for role in _SINGLE}
    factor, settings = ad_run_of(files)
    return InputFiles(
        name,
        trains,
        target,
        files.forcing.years,
        **{role: matching_file(path) if path else None for role, path in given.items()},
        history=tuple(matching_files(files.history)),
        reference_history=tuple(matching_files(files.reference_history)),
        mortality_factor=factor,
        ad_settings=settings,
        forcing=files.forcing,
        forcing_files=tuple(matching_files(files.forcing.files or files.history)),
    )


def files_by_hand(given: Mapping[str, Any]) -> InputFiles | None:
    """Files given one by one, which are checked as a domain to train on and to inject into.

    Args:
        given: options of `phase check` by name, without a value where not given.

    Returns:
        What was given; None where there is no file among it.

    Raises:
        InputError: a name or pattern stands for no file, or the forcing is not described.
    """
    history, forcing_files = (tuple(matching_files(given[role])) for role in ("history", "forcing"))
    settings = read_ad_settings(matching_file(given["lnd_in"])) if given["lnd_in"] else None
    factor = given["mortality_factor"]
    if given["forcing_kind"] == "history":
        forcing_files = forcing_files or history
    files = InputFiles(
        "files",
        trains=True,
        target=True,
        years=given["years"],
        **{role: given[role] for role in _SINGLE},
        history=history,
        reference_history=tuple(matching_files(given["reference_history"])),
        mortality_factor=factor if settings is None else settings.agreeing_with(factor),
        ad_settings=settings,
        forcing=_forcing_by_hand(given) if forcing_files else None,
        forcing_files=forcing_files,
    )
    return files if any(True for _ in files.paths) else None


def _forcing_by_hand(given: Mapping[str, Any]) -> ForcingFiles:
    if given["first_year"] is None:
        raise InputError("--first-year", "is not given", expected="the first year of the forcing cycle")
    content = {"kind": given["forcing_kind"]}
    content |= {name: given[name] for name in ("product", "first_year", "years", "align_year", "limit_km")}
    present = {name: value for name, value in content.items() if value is not None}
    return validate(ForcingFiles, present, "forcing")
