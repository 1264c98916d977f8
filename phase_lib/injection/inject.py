"""From predicted pools to a restart: a byte copy, edited in place, audited, then renamed.

Without predictions the result is the base in normal mode: the start of a control run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
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
from phase_lib.elm.constants import GRAMS_PER_PETAGRAM, SPINUP_AD, SPINUP_NORMAL
from phase_lib.elm.dead_wood import USUAL_FACTOR, settle_factor
from phase_lib.elm.netcdf import open_rows
from phase_lib.elm.parameters import Parameters, read_parameters
from phase_lib.elm.soil_grid import DZDECOMP
from phase_lib.elm.spinup import SOIL3_JUDGED, slow_ratio
from phase_lib.elm.variables import VARIABLES
from phase_lib.injection.base import Base, prepare
from phase_lib.injection.edits import Change, Edits
from phase_lib.injection.plants import edit_plants
from phase_lib.injection.predictions import Predictions
from phase_lib.injection.soil import edit_soil

#: Audits a restart: its path, surface file and parameters.
Audit = Callable[[Path, Path, Parameters], AuditReport]
_AS_WRITTEN = "use the restart as ELM wrote it"


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
    Where topounits divide a cell, its columns keep their proportions. A cell without a soil column receives
    no prediction.

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
        audit: `audit_restart`, which judges the restart before it is renamed. It is an argument, so that no
            check and no sentence of the audit is a part of the code that makes the restart.
        mortality_factor: `spinup_mortality_factor` of the AD run that wrote the restart; None to assume
            the usual one, if the wood of the restart shows it.
        report: sidecar JSON to write; OUTPUT.diff.json where None.
        dry_run: compute everything, write no restart; the audit needs a file and is left out.
        seconds: receives the time of each phase, for a benchmark.

    Returns:
        The sidecar's content.

    Raises:
        InputError: the input is wrong, or the audit of what was made found errors; nothing is written. Errors
            of the audit are refused unless `settings.accept_unsound`.
    """
    source, target = require_file(restart), Path(output)
    surface_path, params_path = require_file(surface), require_file(params)
    inputs = [path for path in (restart, surface, params, soil_params, predictions) if path is not None]
    report = Path(f"{target}.diff.json") if report is None else report
    refuse_as_output([output, report], inputs)
    seconds = {} if seconds is None else seconds
    parameters = read_parameters(params_path)
    with ExitStack() as stack:
        # Renamed in the reverse order: where there is a restart, its sidecar is there too.
        copy = source if dry_run else stack.enter_context(writing(target))
        sidecar = stack.enter_context(writing(report))
        hashed = [source] if predictions is None else [source, require_file(predictions)]
        # From the beginning: on a large file the hash takes as long as everything else.
        hashes = stack.enter_context(sha256_in_background(*hashed))
        with _timed(seconds, "check"):
            base = prepare(stack, source, surface_path, parameters, soil_params, predictions, ood, settings)
        if not dry_run:
            LOGGER.info("copying %s", source)
            with _timed(seconds, "copy"):
                copy_bytes(source, copy)
        changes, account = _edit(copy, base, settings, mortality_factor, seconds, dry_run=dry_run)
        flagged = _flagged_cells(base, ood.action)
        audited = None
        if not dry_run:
            LOGGER.info("auditing %s", target.name)
            with _timed(seconds, "audit"):
                audited = audit(copy, surface_path, parameters)
            if not settings.accept_unsound:
                _refuse_unsound(audited, audit, source, predictions, surface_path, parameters)
        _refuse_no_numbers(source, changes)
        with _timed(seconds, "hash"):
            digests = hashes()
        entries = [
            {"path": str(p.absolute()), "sha256": digest} for p, digest in zip(hashed, digests, strict=True)
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
        sidecar.write_text(json_text(content), encoding="utf-8")
    return content


def _edit(
    copy: Path,
    base: Base,
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
    header = base.header
    factor = USUAL_FACTOR if mortality_factor is None else mortality_factor
    with open_rows(copy, "r" if dry_run else "r+") as rows:
        edits = Edits(base, settings, factor, rows, dry_run=dry_run)
        with _timed(seconds, "soil"):
            edit_soil(edits)
        with _timed(seconds, "plants"):
            wood = edit_plants(edits)
        if not dry_run and header.spinup_state != SPINUP_NORMAL:
            rows["spinup_state"][:] = np.asarray(SPINUP_NORMAL)
    changes = edits.changes
    if not base.in_ad:
        return changes, _account(edits, None, None)
    _refuse_normal_pools(header.path, changes, base.parameters)
    _, rests_on = settle_factor(header.path, mortality_factor, wood.evidence(header))
    LOGGER.info("spinup_mortality_factor %g: %s", factor, rests_on)
    return changes, _account(edits, factor, rests_on)


def _refuse_no_numbers(base: Path, changes: Mapping[str, Change]) -> None:
    """Refuses a base with values that are not finite, also where they were replaced: it cannot be trusted."""
    for name in (name for name, change in changes.items() if not np.isfinite(change.before)):
        what = f"variable {name} holds values that are not finite where biogeochemistry runs"
        numbers = "finite numbers, also where predictions replace them"
        raise InputError(base, what, expected=numbers, remedy=_AS_WRITTEN)


def _refuse_normal_pools(base: Path, changes: Mapping[str, Change], parameters: Parameters) -> None:
    """Refuses a base flagged AD whose slow pools are in normal space: they would be multiplied once more."""
    soil3, soil4 = changes["soil3c_vr"], changes["soil4c_vr"]
    between = slow_ratio(parameters).between
    land = soil3.weight / float(DZDECOMP.sum())
    if soil3.before > SOIL3_JUDGED * land and soil4.before > between * soil3.before:
        ratio = f"soil4 : soil3 of its carbon is {soil4.before / soil3.before:.3g}, as in normal mode"
        what = f"spinup_state is {SPINUP_AD} (AD), but {ratio}"
        raise InputError(base, what, expected=f"less than {between:.3g} in AD", remedy=_AS_WRITTEN)


def _refuse_unsound(
    audited: AuditReport,
    audit: Audit,
    base: Path,
    predictions: str | Path | None,
    surface: Path,
    parameters: Parameters,
) -> None:
    """Refuses a result with errors; the message names the input that they come from."""
    if not audited.errors:
        return
    in_base = {finding.key: finding for finding in audit(base, surface, parameters).findings}
    for error in audited.errors:
        if error.key in in_base:
            remedy = f"{_AS_WRITTEN}, with {surface.name} and {parameters.path.name} of its run"
            raise InputError(base, in_base[error.key].description, remedy=remedy)
    first = f"{audited.count} in the audit of the result, the first {audited.errors[0].description}"
    if predictions is not None:
        raise InputError(predictions, first, remedy="give sound pools in normal mode (spinup_state 0)")
    remedy = "give the mortality factor, the parameters and the surface data of its run"
    raise InputError(base, f"in normal mode it is not sound: {first}", remedy=remedy)


def _account(edits: Edits, mortality_factor: float | None, rests_on: str | None) -> dict[str, Any]:
    """The part of the sidecar about variables and conversion, after the last block.

    Args:
        edits: the edited copy.
        mortality_factor: by which dead wood was multiplied, None where the base was in normal mode.
        rests_on: the evidence for it.
    """
    base, predictions = edits.base, edits.base.predictions
    isotopes = {twin.name for twins in edits.twins.values() for twin in twins}
    changes = edits.changes
    changed = {name: _variable(name, change, isotopes) for name, change in changes.items() if change.count}
    before = base.header.spinup_state
    if before != SPINUP_NORMAL:
        kind = {"units": "1", "kind": "flag", "count": 1}
        changed["spinup_state"] = {"before": before, "after": SPINUP_NORMAL, **kind}
    return {
        "variables_changed": changed,
        "clipped": {name: count for name, count in sorted(edits.clipped.items()) if count},
        "predicted_values": 0 if predictions is None else predictions.count,
        "out_of_bounds": {} if predictions is None else _out_of_bounds(predictions),
        "conversion": {
            "from_spinup_state": base.header.spinup_state,
            "model_year": base.header.year,
            "factors": {name: by for name, by in base.multipliers.items() if by > 1.0},
            "divided_by_scalaravg": base.divided,
            "spinup_mortality_factor": mortality_factor,
            "spinup_mortality_factor_rests_on": rests_on,
            "sorption_parameters": None if base.mineral is None else base.mineral.parameters,
        },
        "isotopes": sorted(isotopes),
        "left_as_they_are": {name: list(names) for name, names in asdict(base.others).items()},
        "not_injected": [] if predictions is None else list(predictions.ignored),
        "more_below_than_above": [] if predictions is None else _upside_down(predictions),
    }


def _variable(name: str, change: Change, isotopes: Collection[str]) -> dict[str, Any]:
    """One entry of `variables_changed`; `isotopes` are the twins of the restart."""
    entry = VARIABLES.get(name)
    element = "c" if name in isotopes else entry.element if entry else None
    scale, units, kind = change.weight, entry.units if entry else "1", "mean weighted by area"
    if element is not None:
        scale, units, kind = GRAMS_PER_PETAGRAM, f"Pg{element.upper()}", "global stock"
    return {
        "before": change.before / scale if scale else 0.0,
        "after": change.after / scale if scale else 0.0,
        "units": units,
        "kind": kind,
        "count": change.count,
    }


def _out_of_bounds(predictions: Predictions) -> dict[str, dict[str, int]]:
    """Variable -> how many values no restart takes: below its least, and above its most."""
    counts = {"negative": predictions.negative, "too_large": predictions.too_large}
    names = sorted({*predictions.negative, *predictions.too_large})
    return {name: {what: of_name[name] for what, of_name in counts.items()} for name in names}


def _upside_down(predictions: Predictions) -> list[str]:
    """Soil pools of which every cell received more below than above; a warning names them."""
    names = predictions.more_below_than_above
    if names:
        message = (
            "%s: %s: more carbon in the lower half of the layers than in the upper in every cell; a soil has "
            "it the other way round: do the layers run from the surface down?"
        )
        LOGGER.warning(message, predictions.path, ", ".join(names))
    return names


def _flagged_cells(base: Base, action: str) -> dict[str, Any]:
    """The sidecar's list of out-of-distribution cells."""
    blocks, predictions = base.blocks, base.predictions
    if predictions is None:
        return {"count": 0, "action": action, "cells": []}
    cells = np.flatnonzero(predictions.flagged(np.arange(blocks.ncells)))
    places = blocks.lat[cells], blocks.lon[cells], predictions.predicted(cells)
    return {
        "count": len(cells),
        "action": action,
        "cells": [
            {"cell": cell + 1, "lat": lat, "lon": lon, "predicted": predicted}
            for cell, lat, lon, predicted in zip(cells.tolist(), *(p.tolist() for p in places), strict=True)
        ],
    }
