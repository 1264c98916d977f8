"""From predicted pools to a restart: a byte copy, edited in place, audited, then renamed.

Without predictions the result is the base taken to normal mode properly: what a control run starts from.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from phase_lib.base.errors import InputError
from phase_lib.base.files import (
    copy_bytes,
    json_text,
    refuse_as_output,
    require_file,
    sha256_in_background,
    writing,
)
from phase_lib.base.progress import LOGGER
from phase_lib.base.provenance import code_version
from phase_lib.config.injection import InjectionSettings
from phase_lib.config.ood import OodSettings
from phase_lib.elm.audit.findings import AuditReport
from phase_lib.elm.constants import SPINUP_AD, SPINUP_NORMAL
from phase_lib.elm.dead_wood import USUAL_FACTOR, settle_factor
from phase_lib.elm.netcdf import open_rows
from phase_lib.elm.parameters import Parameters, read_parameters
from phase_lib.elm.soil_grid import DZDECOMP
from phase_lib.elm.spinup import SOIL3_JUDGED, slow_ratio
from phase_lib.injection.account import account_of, flagged_cells
from phase_lib.injection.base import Work, prepare
from phase_lib.injection.editor import Change
from phase_lib.injection.edits import Edits
from phase_lib.injection.plants import edit_plants
from phase_lib.injection.soil import edit_soil

#: Audits a restart: its path, surface file and parameters.
Audit = Callable[[Path, Path, Parameters], AuditReport]


@dataclass(frozen=True)
class Seconds:
    """Time that a phase of an injection took, seconds.

    Attributes:
        wall: elapsed.
        cpu: of the thread that works, in user and system mode; that of the hash is not in it.
    """

    wall: float
    cpu: float


@contextmanager
def _timed(seconds: dict[str, Seconds], phase: str) -> Iterator[None]:
    wall, cpu = time.perf_counter(), time.thread_time()
    yield
    seconds[phase] = Seconds(time.perf_counter() - wall, time.thread_time() - cpu)
    LOGGER.debug("%s took %.2f s", phase, seconds[phase].wall)


def inject(
    restart: str | Path,
    surface: str | Path,
    params: str | Path,
    soil_params: str | Path | None,
    predictions: str | Path | None,
    output: str | Path,
    settings: InjectionSettings,
    ood: OodSettings,
    *,
    audit: Audit,
    mortality_factor: float | None = None,
    report: str | Path | None = None,
    dry_run: bool = False,
    seconds: dict[str, Seconds] | None = None,
) -> dict[str, Any]:
    """Writes a restart in normal mode from a base restart and predicted pools.

    A base in AD is taken to normal mode first: F alone up to the start of model year 40, F / scalaravg_col
    later, displayed dead wood times the mortality factor, mineral P from the surface file. Predictions then
    replace what they hold, in covered patches and in the soil column of each cell; N and P follow from C.
    Where topounits divide a cell, its columns keep their proportions. A cell without a soil column gets no
    prediction.

    Args:
        restart: base, AD or normal; never modified.
        surface: surface file of the same grid.
        params: parameter file of the run.
        soil_params: soil-order parameters with smax and ks_sorption; without it the parameter file's
            VMAX_MINSURF_P_vr and KM_MINSURF_P_vr stand in.
        predictions: predictions in normal space, or None for the conversion alone.
        output: restart to write; its name should be the base's.
        settings: bounds.
        ood: what flagged cells receive.
        audit: `audit_restart`, before the restart gets its name. It is handed in, so that no check and no
            sentence of the audit is a part of the code that makes the restart.
        mortality_factor: `spinup_mortality_factor` of the AD run that wrote the restart; None to assume
            the usual one, if the wood of the restart shows it.
        report: sidecar JSON to write, or None.
        dry_run: compute everything, write no restart; the audit needs a file and is left out.
        seconds: receives the time of each phase, for a benchmark.

    Returns:
        The sidecar's content.

    Raises:
        InputError: the input is wrong, or the audit of what was made found errors; nothing is written.
    """
    source, target = require_file(restart), Path(output)
    surface_path, params_path = require_file(surface), require_file(params)
    inputs = [path for path in (restart, surface, params, soil_params, predictions) if path is not None]
    refuse_as_output([output, *([] if report is None else [report])], inputs)
    seconds = {} if seconds is None else seconds
    parameters = read_parameters(params_path)
    with ExitStack() as stack:
        # Renamed in the reverse order: where there is a restart, its sidecar is there too.
        copy = source if dry_run else stack.enter_context(writing(target))
        sidecar = None if report is None else stack.enter_context(writing(report))
        hashed = [source] if predictions is None else [source, require_file(predictions)]
        # From the beginning: on a large file the hash takes as long as everything else.
        hashes = stack.enter_context(sha256_in_background(*hashed))
        with _timed(seconds, "check"):
            work = prepare(stack, source, surface_path, parameters, soil_params, predictions, ood)
        if not dry_run:
            LOGGER.info("copying %s", source)
            with _timed(seconds, "copy"):
                copy_bytes(source, copy)
        changes, account = _edit(copy, work, settings, mortality_factor, seconds, dry_run=dry_run)
        flagged = flagged_cells(work, ood.action)
        audited = None
        if not dry_run:
            LOGGER.info("auditing %s", target.name)
            with _timed(seconds, "audit"):
                audited = audit(copy, surface_path, parameters)
            _refuse_unsound(audited, audit, source, predictions, surface_path, parameters)
        _refuse_no_numbers(source, changes)
        with _timed(seconds, "hash"):
            digests = hashes()
        entries = [
            {"path": str(path.absolute()), "sha256": digest}
            for path, digest in zip(hashed, digests, strict=True)
        ]
        content = {
            "base": entries[0],
            "predictions": entries[1] if len(entries) > 1 else None,
            "output": str(target),
            "dry_run": dry_run,
            **account,
            "flagged": flagged,
            "settings": settings.model_dump(),
            "audit": None if audited is None else {**audited.to_dict(), "path": str(target)},
            "code_version": code_version(),
        }
        if sidecar is not None:
            sidecar.write_text(json_text(content), encoding="utf-8")
    return content


def _edit(
    copy: Path,
    work: Work,
    settings: InjectionSettings,
    mortality_factor: float | None,
    seconds: dict[str, Seconds],
    *,
    dry_run: bool,
) -> tuple[Mapping[str, Change], dict[str, Any]]:
    """Edits the copy, or computes the edits from the base in a dry run.

    Returns:
        What changed, by variable, and the sidecar's account of it.
    """
    header = work.base.header
    factor = USUAL_FACTOR if mortality_factor is None else mortality_factor
    with open_rows(copy, "r" if dry_run else "r+") as rows:
        edits = Edits(work, settings, factor, rows, dry_run=dry_run)
        with _timed(seconds, "soil"):
            edit_soil(edits)
        with _timed(seconds, "plants"):
            wood = edit_plants(edits)
        if not dry_run and header.spinup_state != SPINUP_NORMAL:
            rows["spinup_state"][:] = np.asarray(SPINUP_NORMAL)
    changes = edits.editor.changes
    if not work.base.in_ad:
        return changes, account_of(edits, None, None)
    _refuse_normal_pools(header.path, changes, work.parameters)
    _, rests_on = settle_factor(header.path, mortality_factor, wood.evidence(header))
    LOGGER.info("spinup_mortality_factor %g: %s", factor, rests_on)
    return changes, account_of(edits, factor, rests_on)


def _refuse_no_numbers(base: Path, changes: Mapping[str, Change]) -> None:
    """Refuses a base that holds no number where one was replaced: what else it holds is not to be trusted."""
    for name, change in changes.items():
        if not np.isfinite(change.before):
            raise InputError(
                base,
                f"variable {name} holds values that are not finite where biogeochemistry runs",
                expected="finite numbers, also where predictions replace them",
                remedy="use the restart as ELM wrote it",
            )


def _refuse_normal_pools(base: Path, changes: Mapping[str, Change], parameters: Parameters) -> None:
    """Refuses a base flagged AD whose slow pools are in normal space: they would be multiplied once more."""
    soil3, soil4 = changes["soil3c_vr"], changes["soil4c_vr"]
    between = slow_ratio(parameters).between
    land = soil3.weight / float(DZDECOMP.sum())
    if soil3.before > SOIL3_JUDGED * land and soil4.before > between * soil3.before:
        raise InputError(
            base,
            f"spinup_state is {SPINUP_AD} (AD), but soil4 : soil3 of its carbon is "
            f"{soil4.before / soil3.before:.3g}, as in normal mode",
            expected=f"less than {between:.3g} in AD",
            remedy="use the restart as ELM wrote it",
        )


def _refuse_unsound(
    audited: AuditReport,
    audit: Audit,
    base: Path,
    predictions: str | Path | None,
    surface: Path,
    parameters: Parameters,
) -> None:
    """Refuses what the audit found faulty, in the name of the input whose fault it is."""
    if not audited.errors:
        return
    in_base = {finding.key: finding for finding in audit(base, surface, parameters).findings}
    for error in audited.errors:
        if error.key in in_base:
            raise InputError(
                base,
                in_base[error.key].description,
                remedy="use the restart as ELM wrote it, with "
                f"{surface.name} and {parameters.path.name} of its run",
            )
    first = f"{audited.count} in the audit of the result, the first {audited.errors[0].description}"
    if predictions is not None:
        raise InputError(predictions, first, remedy="give sound pools in normal mode (spinup_state 0)")
    raise InputError(
        base,
        f"taken to normal mode it is not sound: {first}",
        remedy="give the mortality factor, the parameters and the surface data of its run",
    )
