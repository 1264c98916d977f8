"""Faults: values of the wrong kind, amounts without sense, and outputs that would replace inputs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import netCDF4
import numpy as np

from tests.bad_input.damages import Spoil, also, attribute, nothing, retyped, values
from tests.bad_input.faults import (
    AS_ELM_WROTE_IT,
    BASE,
    DOMAIN,
    LAST,
    PARAMS,
    PREDICTIONS,
    SOILS,
    SURFACE,
    fault,
)
from tests.bad_input.inputs import (
    RESTART,
    Words,
    audit,
    config,
    equilibrium,
    forcing,
    inject,
    inspect,
    options,
)

_AS_WRITTEN = "use the file as it was written"


def text() -> Iterator[object]:
    """Text, or numbers of another type, where numbers are."""
    for command, names in (
        (
            inject,
            (
                "soil3c_vr",
                "leafc",
                "totsomc",
                "scalaravg_col",
                "pfts1d_wtcol",
                "grid1d_lat",
                "cols1d_gridcell_index",
                "spinup_state",
                "timemgr_rst_curr_ymd",
                "decomp_cascade_state",
            ),
        ),
        (audit, ("soil3c_vr", "tlai", "totsomc", "cols1d_ityp")),
    ):
        for name in names:
            spoil, says = retyped(BASE, name, "S1"), (f"variable {name} holds text", _AS_WRITTEN)
            yield fault(f"{command.__name__}: {name} as text", command, spoil, BASE, *says)
    for file, name in ((BASE, "soil3c_vr"), (BASE, "spinup_state"), (PARAMS, "k_s4"), (DOMAIN, "yc")):
        says = (f"variable {name} holds text", _AS_WRITTEN)
        yield fault(f"inspect: {name} as text", inspect(file), retyped(file, name, "S1"), file, *says)
    for file, name, command in (
        (PREDICTIONS, "soil3c_vr", inject),
        (PREDICTIONS, "lat", inject),
        (SURFACE, "LATIXY", inject),
        (SURFACE, "LABILE_P", inject),
        (LAST, "TOTECOSYSC", equilibrium),
        (LAST, "time_bounds", equilibrium),
        (DOMAIN, "xc", forcing),
        (DOMAIN, "area", forcing),
    ):
        spoil = retyped(file, name, "S1")
        yield fault(
            f"{command.__name__}: {name} as text in {Path(file).name}",
            command,
            spoil,
            file,
            f"variable {name} holds text",
            "expected numbers",
            _AS_WRITTEN,
        )
    yield fault(
        "inject: column index of real numbers",
        inject,
        retyped(BASE, "pfts1d_column_index", "f8"),
        BASE,
        "variable pfts1d_column_index is of type float64",
        "expected whole numbers",
        _AS_WRITTEN,
    )
    yield fault(
        "inject: half a spin-up state",
        inject,
        also(retyped(BASE, "spinup_state", "f8"), values(BASE, "spinup_state", 0.5)),
        BASE,
        "spinup_state is 0.5",
        "expected one whole number",
        AS_ELM_WROTE_IT,
    )


def added(file: str, name: str, value: float, dims: tuple[str, ...]) -> Spoil:
    """A further variable that holds one value."""

    def spoil(at: Path) -> None:
        with netCDF4.Dataset(at / file, "r+") as nc:
            nc.createVariable(name, "f8", dims)[...] = value

    return spoil


def amounts() -> Iterator[object]:
    """Values that are packed, fill by their file's own word, or without sense."""
    for file, name, command in (
        (PREDICTIONS, "soil3c_vr", inject),
        (SURFACE, "LABILE_P", inject),
        (LAST, "TOTECOSYSC", equilibrium),
    ):
        yield fault(
            f"{command.__name__}: {name} packed",
            command,
            attribute(file, "scale_factor", 0.5, name),
            file,
            f"variable {name} is packed (attribute scale_factor)",
            "expected plain numbers",
            "unpack it, for example with `ncpdq -U`",
        )
    predict_again = "predict again"
    for name, spoil, *says in (
        (
            "fill of their own",
            also(
                attribute(PREDICTIONS, "missing_value", 9999.0, "soil3c_vr"),
                values(PREDICTIONS, "soil3c_vr", 9999.0, (1, 4)),
            ),
            "variable soil3c_vr is fill (9999) in cell 2",
            "layer 5",
        ),
        (
            "a canopy of 1000 m2 m-2",
            values(PREDICTIONS, "tlai", 1000.0),
            "variable tlai is more than any ecosystem holds (1000) in cell 1",
            "expected 0 to 100",
        ),
        (
            "neither predicted nor not",
            added(PREDICTIONS, "predicted", np.nan, ("gridcell",)),
            "predicted of cell 1 is nan",
            "expected 0 or 1",
        ),
    ):
        yield fault(f"inject: predictions with {name}", inject, spoil, PREDICTIONS, *says, predict_again)
    for name, value in (("soil4c_vr", 0.0), ("deadstemc", 1.0e-3)):
        yield fault(
            f"inject: predictions that fail the audit by {name}",
            inject,
            values(PREDICTIONS, name, value),
            PREDICTIONS,
            "in the audit of the result, the first",
            "give sound pools in normal mode (spinup_state 0)",
        )
    late = values(BASE, "timemgr_rst_curr_ymd", 4010101)
    for name, spoil, file, *says in (
        (
            "a weight of NaN",
            values(BASE, "pfts1d_wtxy", np.nan),
            BASE,
            "pfts1d_wtxy holds nan where biogeochemistry runs",
            "expected a share of the cell, 0 to 1",
            AS_ELM_WROTE_IT,
        ),
        (
            "an averaged scalar below 0",
            also(late, values(BASE, "scalaravg_col", -0.3)),
            BASE,
            "variable scalaravg_col is -0.3 in cell",
            "expected the mean scalar of an AD run, 0 or more",
            AS_ELM_WROTE_IT,
        ),
        (
            "the pools of normal mode in a file flagged AD",
            also(*(values(BASE, f"soil4{element}_vr", lambda v: v * 60.0) for element in "cnp")),
            BASE,
            "spinup_state is 1 (AD), but soil4 : soil3 of its carbon is",
            "as in normal mode",
            "in AD",
            AS_ELM_WROTE_IT,
        ),
        (
            "wood without nitrogen",
            values(PARAMS, "deadwdcn", 0.0),
            PARAMS,
            "parameter deadwdcn is 0 for PFT",
            "expected more than 0",
            "give the clm_params file of the run (paramfile)",
        ),
        (
            "an area of NaN",
            values(SURFACE, "AREA", np.nan, 1),
            SURFACE,
            "variable AREA is nan in cell 2",
            "expected 0 or more",
            "repair the surface data",
        ),
    ):
        yield fault(f"inject: {name}", inject, spoil, file, *says)
    yield fault(
        "audit: cover of NaN in the surface data",
        audit,
        values(SURFACE, "PCT_NAT_PFT", np.nan, (3, 1)),
        SURFACE,
        "variable PCT_NAT_PFT holds no percentages in cell 2",
        "expected 0 to 100",
        "repair the surface data",
    )
    for name, value in (("frac", 0.0), ("area", -1.0)):
        yield fault(
            f"forcing: a domain with {name} {value:g}",
            forcing,
            values(DOMAIN, name, value),
            DOMAIN,
            f"variable {name} is {value:g} on land cell 1",
            "expected more than 0 on land",
            "give the domain file of the run",
        )


def linked(file: str, target: str) -> Spoil:
    """The same file under a second name."""

    def spoil(at: Path) -> None:
        (at / target).parent.mkdir()
        os.link(at / file, at / target)

    return spoil


def _pipe(at: Path) -> None:
    (at / "out").mkdir()
    os.mkfifo(at / "out" / RESTART)


def outputs() -> Iterator[object]:
    """Outputs that would replace what is read, or that cannot be."""
    instead = ("is an input too", "expected another file", "give another output")
    commands: tuple[tuple[str, Callable[[Path], Words], str], ...] = (
        ("inject: surface data as output", lambda at: inject(at, output=at / SURFACE), SURFACE),
        ("inject: parameters as output", lambda at: inject(at, output=at / PARAMS), PARAMS),
        ("inject: soil orders as output", lambda at: inject(at, output=at / SOILS), SOILS),
        ("inject: predictions as output", lambda at: inject(at, output=at / PREDICTIONS), PREDICTIONS),
        ("inject: the base as report", lambda at: inject(at, report=at / BASE), BASE),
        ("inject: the base as log", lambda at: inject(at, log=at / BASE), BASE),
        ("audit: the restart as output", lambda at: [*audit(at)[:-1], at / BASE], BASE),
        ("equilibrium: the history as output", lambda at: equilibrium(at, output=at / LAST), LAST),
        ("equilibrium: the history as drift", lambda at: equilibrium(at, drift=at / LAST), LAST),
    )
    for name, command, file in commands:
        yield fault(name, command, nothing, file, *instead)
    yield fault(
        "check: the configuration as report",
        lambda at: options("check", config=config(at), report=at / "config.yaml"),
        nothing,
        "config.yaml",
        *instead,
        folder="domain",
    )
    yield fault(
        "inject: the base under another name as output",
        inject,
        linked(BASE, f"out/{RESTART}"),
        f"out/{RESTART}",
        *instead,
        folder="injection",
    )
    yield fault(
        "inject: one file as output and report",
        lambda at: inject(at, report=at / "out" / RESTART),
        nothing,
        f"out/{RESTART}",
        "is an output twice",
        "expected two files",
        "give another output",
        folder="injection",
    )
    for name, spoil, cause in (
        ("a pipe", _pipe, "cannot be written (it is no regular file)"),
        ("a directory", lambda at: (at / "out" / RESTART).mkdir(parents=True), "cannot be written (Is a"),
    ):
        yield fault(
            f"inject: {name} as output",
            inject,
            spoil,
            f"out/{RESTART}",
            cause,
            "choose another place for it",
            folder="injection",
        )
    yield fault(
        "inject: a directory as report",
        lambda at: inject(at, report=at / "injection"),
        nothing,
        "injection",
        "cannot be written (Is a directory)",
        "choose another place for it",
        folder="injection",
    )


KINDS = [*text(), *amounts(), *outputs()]
