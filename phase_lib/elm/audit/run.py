"""The audit of one restart: every check of the table, in one pass over the file."""

from __future__ import annotations

import math
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from phase_lib.base.errors import InputError
from phase_lib.elm.audit.audited import Audited, BlockRows, PoolBlock, TwinValues, Values
from phase_lib.elm.audit.check import Check, Fault, Stage
from phase_lib.elm.audit.findings import AuditReport, Finding
from phase_lib.elm.audit.table import CHECKS, TALLIES
from phase_lib.elm.blocks import Block, Blocks
from phase_lib.elm.netcdf import open_dataset, open_with_rows
from phase_lib.elm.parameters import Parameters, read_parameters
from phase_lib.elm.restart import restart_header
from phase_lib.elm.soil_grid import NLEVDECOMP, NLEVGRND
from phase_lib.elm.surface_content import check_phosphorus
from phase_lib.elm.variables import SURFACE_P, VARIABLES


def audit_restart(
    path: str | Path,
    surface: str | Path | None = None,
    params: str | Path | Parameters | None = None,
    mortality_factor: float | None = None,
    block_rows: BlockRows | None = None,
) -> AuditReport:
    """Audits a restart, value by value.

    Args:
        path: restart of any layout and flavour.
        surface: surface file; with it the cover is compared, and mineral P in a file flagged normal.
        params: parameter file or what was read from it; with it plant ratios and leaf area are checked too.
        mortality_factor: `spinup_mortality_factor` of the AD run, which the wood of its restart goes with.
        block_rows: rows of a block, where memory is short.

    Returns:
        The report; the file is sound when it has no errors.

    Raises:
        InputError: no restart, or the surface file is of another grid or holds what no land has.
    """
    given = params if params is None or isinstance(params, Parameters) else read_parameters(params)
    path, surface = Path(path), None if surface is None else Path(surface)
    with ExitStack() as stack:
        dataset, variables = stack.enter_context(open_with_rows(path))
        header = restart_header(path, dataset)
        layers = header.dims.get("levgrnd", 0)
        if layers < NLEVDECOMP:
            usual = f"{NLEVGRND}, of which the upper {NLEVDECOMP} hold the soil pools"
            what, remedy = f"dimension levgrnd has {layers} layers", "use the restart as ELM wrote it"
            raise InputError(path, what, expected=usual, remedy=remedy)
        grid, step = Blocks(path, dataset, variables), block_rows or BlockRows()
        audited = Audited(
            path, dataset, variables, header, grid, given, surface, mortality_factor, step, stack
        )
        return AuditReport(str(path), header.spinup_state, header.date, _Run(audited).findings())


class _Run:
    """Calls the checks stage by stage, and collects their findings."""

    def __init__(self, audited: Audited) -> None:
        self.audited = audited
        self._findings: dict[tuple[str, str], Finding] = {}

    def findings(self) -> tuple[Finding, ...]:
        """All findings, errors first, otherwise in the order of the checks."""
        audited = self.audited
        self._call("file", audited)
        for block in audited.patches(covered=False):
            self._call("index", audited, block, rows=block)
        self._refuse_phosphorus()
        for block in audited.columns():
            self._call_for_pools("columns", self._layers(block))
        for block in audited.patches():
            self._call_for_pools("patches", self._plants(block))
        self._call("end", audited)
        return tuple(sorted(self._findings.values(), key=lambda finding: finding.severity != "error"))

    def _call(self, stage: Stage, *given: Any, rows: Block | None = None) -> None:
        """Calls tallies and checks of a stage with their arguments, which come from these rows."""
        for tally in TALLIES:
            if stage in tally.stages:
                self.audited.seen(tally).add(given[-1])
        for check in CHECKS:
            if check.stage == stage:
                for fault in check.find(*given):
                    if (finding := _finding(check, fault, self.audited, rows)) is not None:
                        first = self._findings.setdefault(finding.key, finding)
                        if first is not finding:  # the same fault in another block
                            further = first.further + finding.further + 1
                            self._findings[finding.key] = replace(first, further=further)

    def _call_for_pools(self, stage: Stage, block: PoolBlock) -> None:
        for pool in (pool for pool in self.audited.twins if pool in block.pools):
            for twin in self.audited.twins[pool]:
                data, carbon = self.audited.read(twin.name, block.rows), block.pools[pool]
                active = data[:, :NLEVDECOMP] if carbon.ndim > 1 else data
                values = TwinValues(twin.name, active, twin=twin, carbon=carbon, rows=block.rows)
                if not np.all(values.good):
                    self._call("values", values, rows=block.rows)
                self._call("twins", self.audited, values, rows=block.rows)
        self._call("pools", self.audited, block, rows=block.rows)
        self._call(stage, self.audited, block, rows=block.rows)

    def _layers(self, rows: Block) -> PoolBlock:
        """The layered pools of a block of columns, after the checks of their values."""
        block = PoolBlock(rows)
        for name in self.audited.pools["layer"]:
            block.pools[name], block.good[name] = self._usable(name, self.audited.read(name, rows), rows)
        if self.audited.has("scalaravg_col", "column", "levgrnd"):
            block.raw["scalaravg_col"] = self.audited.read("scalaravg_col", rows)[:, :NLEVDECOMP]
        return block

    def _plants(self, rows: Block) -> PoolBlock:
        """The pools, leaf area and heights of a block of patches, after the checks of their values."""
        block = PoolBlock(rows)
        for name in self.audited.pools["patch"]:
            block.pools[name], block.good[name] = self._usable(name, self.audited.read(name, rows), rows)
        for name in ("tlai", "htop", "hbot"):
            if self.audited.has(name, "pft"):
                block.raw[name] = self.audited.read(name, rows)
                self._usable(name, block.raw[name], rows)
        return block

    def _usable(self, name: str, data: np.ndarray, rows: Block) -> tuple[np.ndarray, np.ndarray | np.bool_]:
        """Active layers, or patches: values with 0 where not usable, and where they are usable, or True."""
        below, entry = None, VARIABLES[name]
        # A comparison with NaN is false.
        sound = data.min() >= entry.least and data.max() <= entry.most
        if data.ndim > 1:
            data, below = data[:, :NLEVDECOMP], data[:, NLEVDECOMP:]
        if sound and (below is None or not np.any(below)):
            return data, np.True_
        values = Values(name, data, entry.least, entry.most, below)
        self._call("values", values, rows=rows)
        return np.where(values.good, data, 0.0), values.good

    def _refuse_phosphorus(self) -> None:
        """Refuses impossible maps of mineral P, from which the mineral P of the restart is supplied."""
        audited = self.audited
        if audited.surface is None or not audited.has("labilep_vr", "column", "levgrnd"):
            return
        with open_dataset(audited.surface) as dataset:
            names = [name for name in SURFACE_P if name in dataset.variables]
        fields = audited.map(*names)
        assert fields is not None
        alive = np.flatnonzero(audited.grid.has_biogeochemistry())
        check_phosphorus(audited.surface, fields, alive, audited.grid.lat, audited.grid.lon, names)


def _finding(check: Check, fault: Fault, audited: Audited, block: Block | None) -> Finding | None:
    """The finding that a fault becomes; None where the fault has no place."""
    lenient = {
        "error": False,
        "note": True,
        "error in normal mode": not audited.normal,
        "error in AD": not audited.ad,
        "error, or a note": fault.note,
    }
    place: dict[str, Any] = {"value": fault.values, "further": fault.further}
    expected = fault.expected if isinstance(fault.expected, str) else ""
    if (places := fault.places) is not None:
        if not places.count:
            return None
        place = _place(audited, places.cell, None if math.isnan(places.value) else places.value, places.count)
    elif fault.bad is not None:
        count = int(np.count_nonzero(fault.bad))
        rows = block if fault.rows is None else fault.rows
        if not count or rows is None:
            return None
        at = tuple(int(i) for i in np.argwhere(fault.bad)[0])
        cell = int((rows.cell if isinstance(rows, Block) else rows)[at[0]])
        place = _place(audited, cell, float(np.asarray(fault.values)[at]), count)
        if isinstance(rows, Block) and len(rows.pft):
            place["pft"] = int(rows.pft[at[0]])
        if len(at) > 1:
            place["layer"] = at[1] + 1
        if not isinstance(fault.expected, str):
            expected = f"{float(fault.expected[at]):.9g}"
    return Finding(
        *(check.code, "note" if lenient[check.rank] else "error", fault.variable, check.sentence),
        expected=expected or check.expected,
        quantity=fault.quantity,
        **place,
    )


def _place(audited: Audited, cell: int, value: float | None, count: int) -> dict[str, Any]:
    lat, lon = audited.grid.place_of(cell)
    return {"value": value, "cell": cell + 1, "lat": lat, "lon": lon, "further": count - 1}
