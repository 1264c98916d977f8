"""Header: dimensions, index variables, and which variables are on file."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from phase_lib.elm.audit.audited import Audited
from phase_lib.elm.audit.check import LAYOUT, RUN, SOURCE, Fault, check
from phase_lib.elm.blocks import ranges
from phase_lib.elm.constants import CASCADE_CTC
from phase_lib.elm.netcdf import get_variable
from phase_lib.elm.other_pools import twins_among
from phase_lib.elm.soil_grid import NLEVGRND
from phase_lib.elm.variables import POOL_VARIABLES

#: Dimensions whose lengths ELM compares with the run's.
REQUIRED_DIMENSIONS = (
    *("gridcell", "topounit", "landunit", "column", "pft"),
    *("levgrnd", "levsno", "levurb", "levlak"),
)
#: Lengths that ELM has for these, without and with its further layers.
_USUAL_LENGTHS = {"levgrnd": (NLEVGRND,), "levurb": (5,), "levlak": (10, 25), "levsno": (5, 12, 16)}
#: Index variables -> the dimension each of whose rows one of their entries points to.
_POINTERS = {
    "land1d_topounit_index": "topounit",
    "cols1d_gridcell_index": "gridcell",
    "cols1d_landunit_index": "landunit",
    "pfts1d_column_index": "column",
}
_USUAL_TOTALS = ("totlitc", "totsomc", "totlitp", "totsomp", "totvegc")


@check(
    "dimension-missing", "file", "error", RUN, "the dimension is missing", "every dimension of an ELM restart"
)
def dimension_missing(audited: Audited) -> Iterator[Fault]:
    """ELM compares its length with the run's and aborts. Copy restarts with all their dimensions."""
    yield from (Fault(name) for name in REQUIRED_DIMENSIONS if name not in audited.header.dims)


@check("dimension-length", "file", "error", RUN, "the dimension has another length than ELM's")
def dimension_length(audited: Audited) -> Iterator[Fault]:
    """ELM aborts in its check of dimensions. Use the whole restart as ELM wrote it."""
    sizes = audited.header.dims
    usual = {name: lengths for name, lengths in _USUAL_LENGTHS.items() if name in sizes}
    for name, parts, more in (("levtot", ("levsno", "levgrnd"), 0), ("levsno1", ("levsno",), 1)):
        if sizes.keys() >= {name, *parts}:
            usual[name] = (sum(sizes[part] for part in parts) + more,)
    for name, lengths in usual.items():
        if sizes[name] not in lengths:
            yield Fault(name, sizes[name], expected=" or ".join(map(str, lengths)), quantity="length")


def _pointers(audited: Audited) -> list[tuple[str, str, int, int]]:
    """Index variable, its dimension, entries outside of that, and rows of it that no entry points to."""
    counts = []
    for name, dimension in _POINTERS.items():
        if name in audited.dataset.variables and dimension in audited.header.dims:
            pointed, outside = np.zeros(audited.header.dims[dimension], dtype=bool), 0
            length = get_variable(audited.path, audited.dataset, name).shape[0]
            for rows in ranges(length, audited.block_rows.patches):
                row = np.asarray(audited.variables[name][rows]).astype(np.int64) - 1
                inside = (row >= 0) & (row < len(pointed))
                pointed[row[inside]] = True
                outside += int(np.count_nonzero(~inside))
            counts.append((name, dimension, outside, int(np.count_nonzero(~pointed))))
    return counts


@check("index-outside", "file", "error", LAYOUT, "entries point outside their dimension")
def index_outside(audited: Audited) -> Iterator[Fault]:
    """The file is damaged or was cut. Use another copy."""
    for name, dimension, outside, _ in audited.seen(_pointers):
        if outside:
            right = f"1 to {audited.header.dims[dimension]}"
            yield Fault(name, outside, expected=right, quantity="entries outside")


@check("rows-missing", "file", "error", RUN, "no index points to some of its rows", "every row")
def rows_missing(audited: Audited) -> Iterator[Fault]:
    """Landunits, columns or patches were cut off, and ELM aborts. Use the whole restart as ELM wrote it."""
    for name, dimension, _, alone in audited.seen(_pointers):
        if alone:
            yield Fault(dimension, alone, quantity=f"rows not in {name}")


@check("pool-missing", "file", "error", RUN, "the pool is missing")
def pool_missing(audited: Audited) -> Iterator[Fault]:
    """ELM aborts without a soil pool; without a plant pool it runs on with cold-start values. Restore it."""
    for name, entry in POOL_VARIABLES.items():
        if name not in audited.dataset.variables:
            yield Fault(name, expected=f"{name}{entry.dims}")


@check("pool-dimensions", "file", "error", SOURCE, "the pool has other dimensions than ELM's")
def pool_dimensions(audited: Audited) -> Iterator[Fault]:
    """ELM aborts or reads other values. Use the restart as ELM wrote it."""
    variables = audited.dataset.variables
    twins = {twin.name: twin.pool for twins in twins_among(variables).values() for twin in twins}
    for name, pool in {**{name: name for name in POOL_VARIABLES}, **twins}.items():
        if name in variables and pool in POOL_VARIABLES:
            dims, right = variables[name].dimensions, POOL_VARIABLES[pool].dims
            if dims != right:
                yield Fault(name, str(dims), expected=str(right))


@check("total-missing", "file", "note", RUN, "the sum of pools is missing")
def total_missing(audited: Audited) -> Iterator[Fault]:
    """ELM computes it from the pools. Nothing has to be done."""
    yield from (Fault(name) for name in _USUAL_TOTALS if name not in audited.dataset.variables)


@check("cascade-other", "file", "error", SOURCE, "is not that of the CTC cascade", str(CASCADE_CTC))
def cascade_other(audited: Audited) -> Iterator[Fault]:
    """ELM aborts where its run has another cascade. Use a run with CTC (compsets ELM%CNPRDCTCBC)."""
    if audited.header.decomp_cascade_state not in (None, CASCADE_CTC):
        yield Fault("decomp_cascade_state", audited.header.decomp_cascade_state)


@check(
    "flag-missing", "file", "error", RUN, "the flag of the spin-up mode is missing", "0 (normal) or 1 (AD)"
)
def flag_missing(audited: Audited) -> Iterator[Fault]:
    """ELM takes the mode of its namelist and converts nothing. Use the restart as ELM wrote it."""
    if audited.header.spinup_state is None:
        yield Fault("spinup_state")
