"""Restart files: their header."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import netCDF4
import numpy as np

from phase_lib.base.errors import InputError
from phase_lib.elm.blocks import restart_fault
from phase_lib.elm.constants import CASCADE_CTC
from phase_lib.elm.netcdf import flavour, get_variable, open_dataset
from phase_lib.elm.soil_grid import NLEVDECOMP, NLEVGRND
from phase_lib.elm.subgrid import Subgrid, read_subgrid


@dataclass(frozen=True)
class RestartHeader:
    """The header of a restart.

    Attributes:
        path: file.
        flavour: NetCDF flavour, `NETCDF3_64BIT_DATA` is CDF-5.
        year, month, day: date on the model's clock.
        start_year: year on that clock in which its run began; None where it is missing.
        spinup_state: 0 normal, 1 AD; None where it is missing.
        decomp_cascade_state: 10 CTC, 11 Century, each with nitrification; None where it is missing.
        case_id: name of the case that wrote it, empty where it is missing.
        surface_dataset: surface file of that case, with its path; empty where it is missing.
        dims: dimension sizes.
    """

    path: Path
    flavour: str
    year: int
    month: int
    day: int
    start_year: int | None
    spinup_state: int | None
    decomp_cascade_state: int | None
    case_id: str
    surface_dataset: str
    dims: dict[str, int]

    @property
    def date(self) -> str:
        """The date as ELM writes it in names, 0021-01-01."""
        return f"{self.year:04d}-{self.month:02d}-{self.day:02d}"


def restart_header(path: str | Path, dataset: netCDF4.Dataset) -> RestartHeader:
    """Reads the header of an open restart.

    Raises:
        InputError: it has no date, or another model or configuration wrote it.
    """
    _refuse_other_models(path, dataset)
    if "timemgr_rst_curr_ymd" not in dataset.variables:
        raise InputError(
            path,
            "is no restart: variable timemgr_rst_curr_ymd is missing",
            expected="CASE.elm.r.YYYY-MM-DD-SSSSS.nc",
            remedy="`phase inspect` shows what it is",
        )
    ymd = _scalar(path, dataset, "timemgr_rst_curr_ymd") or 0
    if not (1 <= ymd // 100 % 100 <= 12 and 1 <= ymd % 100 <= 31):
        raise restart_fault(path, f"timemgr_rst_curr_ymd is {ymd}", expected="a date as YYYYMMDD")
    state, start = (_scalar(path, dataset, name) for name in ("spinup_state", "timemgr_rst_start_ymd"))
    if state not in (None, 0, 1):
        raise restart_fault(path, f"spinup_state is {state}", expected="0 (normal) or 1 (AD)")
    return RestartHeader(
        Path(path),
        flavour(path),
        ymd // 10000,
        ymd // 100 % 100,
        ymd % 100,
        None if start is None else start // 10000,
        state,
        _scalar(path, dataset, "decomp_cascade_state"),
        str(getattr(dataset, "case_id", "")).strip(),
        str(getattr(dataset, "surface_dataset", "")).strip(),
        {name: dimension.size for name, dimension in dataset.dimensions.items()},
    )


def _refuse_other_models(path: str | Path, dataset: netCDF4.Dataset) -> None:
    """Refuses restarts that are like ELM's and mean something else.

    FATES keeps its plants by cohorts, in special variables and along a dimension `cohort`, which ELM defines
    only with `use_fates`. CTSM and the CLM before it know a `spinup_state` of 2, take pools out of AD by
    other factors and have no phosphorus; early ELM calls itself CLM too, but has phosphorus.
    """
    names = dataset.variables.keys()
    if any(name == "cohort" or name.startswith("fates_") for name in (*names, *dataset.dimensions)):
        raise InputError(
            path,
            "is a restart of FATES (dimension cohort, variables fates_*): its plants are cohorts, not pools "
            "of patches",
            expected="a restart of ELM without FATES (compsets ELM%CNPRDCTCBC)",
            remedy="use a run with use_fates = .false.",
        )
    model = " ".join(str(getattr(dataset, name, "")) for name in ("title", "source"))
    signs = (
        ["spinup_state is 2, which ELM does not know"] if _scalar(path, dataset, "spinup_state") == 2 else []
    )
    without_p = not {"ppool", "labilep_vr"} <= names
    if re.search(r"\b(CLM|CTSM)|Community (Land|Terrestrial Systems) Model", model) and (signs or without_p):
        signs.append(f"it calls itself {model.strip()!r}")
    if signs:
        raise InputError(
            path,
            f"is a restart of CTSM (CLM), not of ELM: {', '.join(signs)}",
            expected="a restart of ELM with C, N and P (compsets ELM%CNPRDCTCBC)",
            remedy="use a run of E3SM's land model",
        )


def _scalar(path: str | Path, dataset: netCDF4.Dataset, name: str) -> int | None:
    if name not in dataset.variables:
        return None
    values = np.asarray(get_variable(path, dataset, name)[...]).reshape(-1)
    if len(values) != 1 or not np.isfinite(values[0]) or values[0] != np.rint(values[0]):
        what = f"{name} is {values[0]:g}" if len(values) == 1 else f"{name} holds {len(values)} values"
        raise restart_fault(path, what, expected="one whole number")
    return int(values[0])


def refuse_other_soil(header: RestartHeader) -> None:
    """Refuses a restart whose soil pools mean something else than here.

    Raises:
        InputError: it is of another cascade than CTC, or has other than ELM's fifteen layers.
    """
    if header.decomp_cascade_state not in (None, CASCADE_CTC):
        raise InputError(
            header.path,
            f"decomp_cascade_state is {header.decomp_cascade_state}",
            expected=f"{CASCADE_CTC}, the CTC cascade",
            remedy="use a run with the CTC cascade (compsets ELM%CNPRDCTCBC)",
        )
    layers = header.dims.get("levgrnd", 0)
    if layers != NLEVGRND:
        raise InputError(
            header.path,
            f"dimension levgrnd has {layers} layers",
            expected=f"{NLEVGRND}, of which the upper {NLEVDECOMP} hold the soil pools",
            remedy="use a restart on ELM's standard soil layers",
        )


def read_header(path: str | Path) -> tuple[RestartHeader, Subgrid]:
    """Header and subgrid of a restart.

    Raises:
        InputError: the file is no restart that this software understands.
    """
    with open_dataset(path) as dataset:
        return restart_header(path, dataset), read_subgrid(path, dataset)
