"""Domains whose files are given: names and patterns become files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from phase_lib.base.errors import InputError
from phase_lib.base.files import matching_file, matching_files
from phase_lib.config.domains import DomainFiles, ForcingFiles
from phase_lib.elm.namelist import AdSettings, read_ad_settings
from phase_lib.landmodel.domain import Domain, Forcing

#: What every run of a domain reads, and forcing.
REQUIRED = ("domain", "surface", "params", "soil_params", "forcing")


def domain_from_files(name: str, files: DomainFiles, backend: str) -> Domain:
    """The files of a domain of the configuration.

    Raises:
        InputError: one that every domain needs is not given, a name or pattern stands for no file, or
            `lnd_in` cannot be read or has another factor than the configuration.
    """
    missing = [key for key in REQUIRED if getattr(files, key) is None]
    if missing or files.forcing is None:
        raise InputError(
            f"domains.{name}",
            f"has no {missing[0]}",
            expected=", ".join(REQUIRED),
            remedy="give it, for every land model reads it",
        )

    def one(path: str | None) -> Path | None:
        return None if path is None else matching_file(path)

    factor, settings = ad_run(files.lnd_in, files.spinup_mortality_factor)
    return Domain(
        name,
        files.forcing.years,
        backend,
        domain=one(files.domain),
        surface=one(files.surface),
        params=one(files.params),
        soil_params=one(files.soil_params),
        forcing=forcing_from_files(files.forcing, files.history),
        restart=one(files.restart),
        history=tuple(matching_files(files.history)),
        mortality_factor=factor,
        ad_settings=settings,
        reference_restart=one(files.reference_restart),
        reference_history=tuple(matching_files(files.reference_history)),
        reference_ad_restart=one(files.reference_ad_restart),
        patterns={
            "history": tuple(files.history),
            "reference_history": tuple(files.reference_history),
        },
    )


def forcing_from_files(forcing: ForcingFiles, history: Sequence[str]) -> Forcing:
    """Forcing of a configuration; of kind history it is in the domain's own where no files are given.

    Raises:
        InputError: a name or pattern stands for no file.
    """
    patterns = forcing.files or list(history)
    return Forcing(
        forcing.kind,
        tuple(matching_files(patterns)),
        tuple(patterns),
        forcing.product,
        forcing.first_year,
        forcing.years,
        forcing.align_year,
        forcing.limit_km,
    )


def ad_run(lnd_in: str | Path | None, factor: float | None) -> tuple[float | None, AdSettings | None]:
    """`spinup_mortality_factor` of an AD run, and what its `lnd_in` holds; None for what is not given.

    Raises:
        InputError: `lnd_in` cannot be read, or has another factor than is given beside it.
    """
    if lnd_in is None:
        return factor, None
    settings = read_ad_settings(matching_file(lnd_in))
    return settings.agreeing_with(factor), settings
