"""Faults: parameters without sense, records that do not fit, files in wrong roles."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tests.bad_input.damages import Spoil, attribute, hidden, nothing, shortened, turned, values, written
from tests.bad_input.faults import AD, AD_400, BATCH, CELLS, LAST, MAPS, MAY, RECORDS, fault
from tests.bad_input.inputs import (
    Words,
    config,
    forcing,
    fuse,
    join,
    normalize,
    options,
    predict,
    run_segment,
    split,
)

_CLM, _CNP = "embedded/clm_params.nc", "embedded/CNP_parameters.nc"
_SURFACE, _MONTHLY = "embedded/surfdata.nc", "embedded/monthly.nc"
_FIRST_BATCH, _CLEANING = "fused/records/records_00.nc", "fused/records/cleaning.json"
_NOT_NEGATIVE, _POSITIVE, _SHARE = "expected 0 or more", "expected more than 0", "expected 0 to 1"


def parameters_without_sense() -> Iterator[object]:
    """Numbers with which a run of the land model would come to negative or unbalanced pools."""
    for name, value, expected in (
        ("flivewd", -1.0, _SHARE),
        ("fcur", 5.0, _SHARE),
        ("lf_flab", 3.0, _SHARE),
        ("rootprof_beta", 2.0, _SHARE),
        ("slatop", -1.0, _NOT_NEGATIVE),
        ("grperc", -1.0, _NOT_NEGATIVE),
        ("croot_stem", -3.0, _NOT_NEGATIVE),
        ("nstor", 0.0, _POSITIVE),
        ("smpso", 10.0, "expected 0 or less"),
        ("r_mort", -2.0, _SHARE),
        ("q10_hr", 0.0, _POSITIVE),
        ("organic_max", 0.0, _POSITIVE),
        ("decomp_depth_efolding", 0.0, _POSITIVE),
        ("som_diffus", -1.0, _NOT_NEGATIVE),
        ("k_nitr_max", -5.0, _NOT_NEGATIVE),
        ("cn_s1", 0.0, _POSITIVE),
    ):
        yield fault(
            f"run-segment: {name} {value:g}",
            run_segment,
            values(_CLM, name, value),
            _CLM,
            f"parameter {name} is {value:g}",
            expected,
            "give the clm_params file of the run (paramfile)",
        )
    made = "use the surface data as it was made"
    for file, name, value, expected, remedy in (
        (_CNP, "smax", -1.0, "more than 0", "give the CNP_parameters file of the run (fsoilordercon)"),
        (
            _CNP,
            "ks_sorption",
            np.nan,
            "more than 0",
            "give the CNP_parameters file of the run (fsoilordercon)",
        ),
        (_CNP, "r_weather", -3.0, "0 or more", "give the CNP_parameters file of the run (fsoilordercon)"),
        (_SURFACE, "PCT_SAND", -50.0, "0 to 100", made),
        (_SURFACE, "PCT_CLAY", 500.0, "0 to 100", made),
        (_SURFACE, "ORGANIC", -9.0, "0 or more", made),
        (_SURFACE, "LABILE_P", -3.0, "0 or more", made),
        (_MONTHLY, "TBOT", np.nan, "180 to 340 K", "reduce the forcing again"),
        (_MONTHLY, "TBOT", 5000.0, "180 to 340 K", "reduce the forcing again"),
        (_MONTHLY, "FSDS", -500.0, "0 to 700 W/m^2", "reduce the forcing again"),
    ):
        yield fault(
            f"run-segment: {name} {value:g}",
            run_segment,
            values(file, name, value),
            file,
            f"variable {name} is {value:g} in cell 1",
            f"expected {expected} in every land cell",
            remedy,
        )


def records_that_do_not_fit() -> Iterator[object]:
    """Batches with other dimensions than they are written with, and indices that list something else."""
    turned_pools = ("(natpft = 17, gridcell = 5)", "expected (gridcell, natpft = 17)", "fuse again")
    for name, command, spoil, file, *says in (
        ("a pool turned", predict, turned(BATCH, "leafc"), BATCH, "variable leafc", *turned_pools),
        (
            "a pool turned in the first record file",
            normalize,
            turned(_FIRST_BATCH, "leafc"),
            _FIRST_BATCH,
            "variable leafc",
            *turned_pools,
        ),
        (
            "a label turned",
            normalize,
            turned(BATCH, "Y_deadstemc"),
            BATCH,
            "variable Y_deadstemc",
            *turned_pools,
        ),
        (
            "forcing turned",
            predict,
            turned(_FIRST_BATCH, "TBOT"),
            _FIRST_BATCH,
            "variable TBOT has dimensions (time = 24, gridcell = 5)",
            "expected (gridcell, time)",
            "fuse again",
        ),
        (
            "ten PFTs",
            predict,
            shortened(BATCH, "natpft", 10),
            BATCH,
            "natpft = 10",
            "natpft = 17",
            "fuse again",
        ),
        (
            "five layers",
            predict,
            shortened(BATCH, "levdecomp", 5),
            BATCH,
            "levdecomp = 5",
            "levdecomp = 10",
            "fuse again",
        ),
        (
            "five months",
            predict,
            shortened(BATCH, "time", 5),
            BATCH,
            "the forcing has 5 months",
            "expected 24 as in records_00.nc",
            "fuse again",
        ),
        (
            "a variable of no group",
            normalize,
            attribute(_FIRST_BATCH, "group", None, "leafc"),
            _FIRST_BATCH,
            "variable leafc",
            "attribute group",
            "use the file as it was written",
        ),
        (
            "cover turned",
            split,
            turned(CELLS, "cover"),
            CELLS,
            "variable cover has dimensions (natpft, gridcell)",
            "expected (gridcell, natpft)",
            "put its dimensions in this order",
        ),
        (
            "cells nowhere",
            split,
            values(CELLS, "lat", np.nan),
            CELLS,
            "lat: 12 cells are out of range",
            "the file is damaged: use another copy",
        ),
        (
            "a domain that is not listed",
            predict,
            values(CELLS, "domain", 9),
            CELLS,
            "variable domain is 9 for cell 1",
            "expected 0 to 0",
            "join the records again",
        ),
        (
            "domains that are a number",
            predict,
            attribute(CELLS, "domains", "5"),
            CELLS,
            "attribute domains is '5'",
            "join the records again",
        ),
        (
            "record files without identity",
            predict,
            attribute(CELLS, "record_files", '["a.nc", "b.nc"]'),
            CELLS,
            "attribute record_files is",
            "join the records again",
        ),
        (
            "forcing of no domain",
            join,
            attribute(RECORDS, "forcing", "{}"),
            RECORDS,
            "attribute forcing is '{}'",
            "join the records again",
        ),
        (
            "an empty cleaning report",
            join,
            written(_CLEANING, b"{}"),
            _CLEANING,
            "has no cells",
            "expected the report that `phase fuse` wrote",
            "fuse again",
        ),
    ):
        yield fault(f"{command.__name__}: {name}", command, spoil, file, *says)


def files_in_wrong_roles() -> Iterator[object]:
    """Files of a reference without its restart, names that stand for several, weights that are none."""
    without = {"reference_restart": None, "reference_ad_restart": None}
    no_run = (
        "is of a reference run whose final restart is not given",
        "give that restart too, or leave this out",
    )
    cases: tuple[tuple[str, Callable[[Path], Words], Spoil, str, tuple[str, ...]], ...] = (
        (
            "fuse: a reference's history without its restart",
            lambda at: fuse(at, **without),
            nothing,
            LAST,
            no_run,
        ),
        (
            "fuse: a reference's AD restart alone",
            lambda at: fuse(at, reference_restart=None, reference_history=None),
            nothing,
            AD_400,
            no_run,
        ),
        (
            "fuse: records into a file",
            lambda at: fuse(at, output_dir=at / MAPS),
            nothing,
            MAPS,
            ("cannot be written", "choose another place for it"),
        ),
        (
            "fuse: a soil column without a weight",
            fuse,
            values(AD, "cols1d_wtxy", np.nan),
            AD,
            ("cols1d_wtxy: the soil column of cell 1 has the weight nan", "use the restart as ELM wrote it"),
        ),
        (
            "forcing: a month stamped NaN",
            forcing,
            values(MAY, "time", np.nan),
            MAY,
            ("time holds NaN", "set the stamps right"),
        ),
        (
            "run-segment: a parameter is missing",
            run_segment,
            hidden(_CLM, "flivewd"),
            _CLM,
            ("parameter flivewd is missing", "give the clm_params file of the run (paramfile)"),
        ),
    )
    for name, command, spoil, file, says in cases:
        yield fault(name, command, spoil, file, *says)
    for name, section, says in (
        (
            "a reference's history without its restart",
            {"reference_restart": None, "reference_ad_restart": None},
            ("domains.full: has a reference_history and no reference_restart", "or neither"),
        ),
        (
            "an infinite mortality factor",
            {"spinup_mortality_factor": float("inf")},
            ("domains.full.spinup_mortality_factor is", "expected a finite number"),
        ),
        ("an empty name", {"restart": ""}, ("domains.full.restart is ''", "expected at least 1 character")),
    ):

        def bad(at: Path, section: dict[str, Any] = section) -> Path:
            trains = {"training": {"domains": ["embedded"]}} if "reference_restart" in section else {}
            return config(at, "domain/bad.json", section=section, **trains)

        yield fault(
            f"check: a configuration with {name}",
            lambda at, bad=bad: options("check", config=bad(at)),
            bad,
            "domain/bad.json",
            *says,
        )
    several = "domain/*.elm.r.*.nc"

    def pattern(at: Path) -> Path:
        return config(at, "domain/bad.json", section={"restart": str(at / several)})

    yield fault(
        "check: a restart that is three",
        lambda at: options("check", config=pattern(at)),
        pattern,
        several,
        "stands for 3 files, ad.elm.r.0021-01-01-00000.nc and ad.elm.r.0401-01-01-00000.nc among them",
        "expected one file",
        "name it",
    )


MISFITS = [*parameters_without_sense(), *records_that_do_not_fit(), *files_in_wrong_roles()]
