"""Faults: damaged files, and wrong content by stage; what each is made of stands in `damages.py`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tests.bad_input.damages import (
    Spoil,
    also,
    attribute,
    copied,
    cut,
    exchanged,
    halved,
    hidden,
    leap_day,
    nothing,
    remade,
    removed,
    renamed,
    shortened,
    turned,
    twins,
    values,
    written,
)
from tests.bad_input.inputs import (
    RESTART,
    TARGETS,
    Words,
    audit,
    check,
    compare,
    compare_forcing,
    config,
    equilibrium,
    forcing,
    fuse,
    inject,
    inspect,
    join,
    normalize,
    options,
    predict,
    report,
    run_segment,
    split,
    train,
)
from tests.helpers.domain_files import YEARS

BASE, SURFACE = f"injection/{RESTART}", "injection/surfdata.nc"
PARAMS, SOILS = "injection/clm_params.nc", "injection/CNP_parameters.nc"
PREDICTIONS = "injection/predictions.nc"
AD, AD_400 = "domain/ad.elm.r.0021-01-01-00000.nc", "domain/ad.elm.r.0401-01-01-00000.nc"
LABELS, MONTHLY = "domain/final.elm.r.0801-01-01-00000.nc", "domain/monthly.nc"
HISTORY, LAST = "domain/ad.elm.h0.0020-01-01-00000.nc", "domain/final.elm.h0.0800-01-01-00000.nc"
DOMAIN, MAPS, AGAIN = "domain/domain.nc", "domain/surfdata.nc", "domain/again.nc"
RECORDS, CELLS, SPLIT = "fused/records/cells.nc", "fused/dataset/cells.nc", "fused/split.nc"
BATCH, MODEL = "fused/records/records_01.nc", "fused/model/model.pt"
EMBEDDED = f"embedded/{RESTART}"
COPY, PATH = "copy it again", "check the path"
AS_ELM_WROTE_IT = "use the restart as ELM wrote it"


def month(stream: str, number: int) -> str:
    """A monthly forcing file of 1902."""
    return f"domain/forcing/clmforc.{stream}.1902-{number:02d}.nc"


MAY = month("TPQWL", 5)


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong, and what the command must say of it.

    Attributes:
        command: words of the command in a copy of the inputs.
        spoil: makes it wrong in the copy.
        file: what the line begins with: a file of the copy, an option, or a pattern with a variable.
        says: what else is in the line, in this order: what was found in which variable or key, what was
            expected, and the remedy, with which the line ends.
        folder: folder of the inputs that the command reads; the file's by default.
    """

    command: Callable[[Path], Words]
    spoil: Spoil
    file: str
    says: tuple[str, ...]
    folder: str = ""

    def begins(self, at: Path) -> str:
        """How the line begins."""
        return f"phase: {self.file if self.file[0] in '-$' else at / self.file}: "


def fault(
    name: str, command: Callable[[Path], Words], spoil: Spoil, file: str, *says: str, folder: str = ""
) -> object:
    """A parameter of the test below."""
    return pytest.param(Fault(command, spoil, file, says, folder or file.split("/")[0]), id=name)


DAMAGED_FILES = {
    "cut in its data": (cut(BASE, 60_000), "is truncated: 60000 bytes", "expected at least", COPY),
    "cut in its header": (cut(BASE, 3_000), "is truncated: 3000 bytes", "its header goes on", COPY),
    "cut after its first bytes": (cut(BASE, 5), "is truncated: 5 bytes", "its header goes on", COPY),
    "short of four bytes": (cut(BASE, -4), "is truncated", "expected at least", COPY),
    "empty": (written(BASE, b""), "is empty", "expected a NetCDF file", COPY),
    "text": (written(BASE, b"not a restart\n"), "starts with b'not '", "expected a NetCDF file", COPY),
    "garbled HDF5": (
        written(BASE, b"\x89HDF\r\n\x1a\n" + bytes(range(256)) * 20),
        "cannot be opened",
        "expected a whole NetCDF file",
        COPY,
    ),
    "a garbled header": (
        also(cut(BASE, 60_000), lambda at: garble(at / BASE, 12)),
        "its header is damaged before byte",
        "expected a whole NetCDF file",
        COPY,
    ),
    "not there": (removed(BASE), "does not exist", PATH),
    "a directory": (removed(BASE, Path.mkdir), "is a directory", "expected a file", PATH),
    "a loop of links": (removed(BASE, lambda path: path.symlink_to(path.name)), "cannot be read", PATH),
    "a link to nothing": (removed(BASE, lambda path: path.symlink_to("gone.nc")), "does not exist", PATH),
}


def garble(path: Path, at: int) -> None:
    """Overwrites four bytes."""
    content = bytearray(path.read_bytes())
    content[at : at + 4] = b"\x7f\x7f\x7f\x7f"
    path.write_bytes(content)


#: What each command reads; a file that a pattern stands for is missing under another message.
READ: tuple[tuple[Callable[[Path], Words], str, tuple[str, ...]], ...] = (
    (inject, "injection", ("surfdata.nc", "clm_params.nc", "CNP_parameters.nc", "predictions.nc")),
    (audit, "injection", ("surfdata.nc", "clm_params.nc")),
    (compare, "injection", ("surfdata.nc",)),
    (forcing, "domain", ("domain.nc",)),
    (compare_forcing, "domain", (Path(AD).name,)),
    (fuse, "domain", ("surfdata.nc", "clm_params.nc", *(Path(file).name for file in (AD, LABELS, AD_400)))),
    (
        check,
        "domain",
        (
            *("surfdata.nc", "clm_params.nc", "CNP_parameters.nc", "domain.nc"),
            *(Path(file).name for file in (AD, LABELS, AD_400)),
        ),
    ),
    (join, "fused", ("records/cells.nc", "records/records_00.nc", "records/cleaning.json")),
    (split, "fused", ("dataset/cells.nc",)),
    (normalize, "fused", ("dataset/cells.nc", "split.nc", "records/records_00.nc")),
    (train, "fused", ("normalization.nc",)),
    (predict, "fused", ("dataset/cells.nc", "split.nc", "records/records_00.nc", "model/model.pt")),
    (
        run_segment,
        "embedded",
        (RESTART, "surfdata.nc", "clm_params.nc", "CNP_parameters.nc", "monthly.nc", "domain.lnd.nc"),
    ),
    (
        report,
        "report",
        (
            *("equilibrium/verdict.json", "equilibrium/drift.nc", "dataset/cells.nc", "predictions.nc"),
            *("diff.json", "audit.json", "split_block.nc", "test_block.nc"),
        ),
    ),
)


#: Histories that commands read, which are given as patterns.
READ_BY_PATTERN: tuple[tuple[Callable[[Path], Words], tuple[str, ...]], ...] = (
    (fuse, (HISTORY, LAST)),
    (check, (HISTORY, LAST)),
    (equilibrium, (LAST,)),
)


def unreadable_files() -> Iterator[object]:
    """Each file that a command reads, damaged in one of three ways in turn; an injection's in all."""
    files = [(reader, f"{folder}/{name}", False) for reader, folder, names in READ for name in names]
    files += [(reader, file, True) for reader, names in READ_BY_PATTERN for file in names]
    for number, (reader, file, pattern) in enumerate(files):
        ways = (
            ("cut in half", halved(file), (COPY if pattern else "again",)),
            ("as text", written(file, b"hello, world\n" * 5), (COPY if pattern else "again",)),
            (
                "missing",
                removed(file),
                ("no such file" if pattern else "does not exist", _way_out(reader, file)),
            ),
        )
        for name, spoil, says in ways if reader is inject else ways[number % 3 : number % 3 + 1]:
            yield fault(f"{reader.__name__}: {Path(file).name} {name}", reader, spoil, file, *says)


def _way_out(reader: Callable[[Path], Words], file: str) -> str:
    """What to do where a file is missing."""
    return "fuse again" if reader is join and file.endswith("records_00.nc") else PATH


def damaged_files() -> Iterator[object]:
    """Files that are no files of their kind any more, by the commands that read them."""
    for called, command in (("inject", inject), ("audit", audit), ("inspect", inspect(BASE))):
        for damage, (spoil, *says) in DAMAGED_FILES.items():
            yield fault(f"{called}: a restart that is {damage}", command, spoil, BASE, *says)
    yield from unreadable_files()
    for name, command in (("forcing", forcing), ("check", check)):
        yield fault(f"{name}: a month cut in half", command, halved(MAY), MAY, COPY)
    for name, command in (("fuse", fuse), ("compare-forcing", compare_forcing)):
        yield fault(f"{name}: monthly means cut in half", command, halved(MONTHLY), MONTHLY, COPY)
    yield fault("compare-forcing: a history cut in half", compare_forcing, halved(HISTORY), HISTORY, COPY)
    yield fault(
        "forcing: a month in degC that another process reads",
        lambda at: forcing(at, workers=2),
        attribute(MAY, "units", "degC", "TBOT"),
        MAY,
        "variable TBOT has units 'degC'",
        "expected 'K'",
        "convert it",
    )
    yield fault(
        "forcing: more years than there are",
        lambda at: forcing(at, years=YEARS + 2),
        nothing,
        "domain/forcing",
        "1903-01 is missing",
        "expected every month of 1901 to 1904",
        "add the file, or set the forcing years to what is there",
    )
    yield fault(
        "forcing: a month is missing",
        forcing,
        removed(month("Prec", 11)),
        "domain/forcing",
        "PRECTmms of 1902-11 is missing",
        "expected every month of 1901 to 1902",
        "add the file, or set the forcing years to what is there",
    )
    table = "report/block.csv"
    yield fault(
        "report: a training that is no table",
        report,
        written(table, b"a,b\n1,2\n"),
        table,
        "is no table of a training",
        "expected columns epoch, train_loss, validation_loss",
        "train again",
    )
    yield fault("report: a training is missing", report, removed(table), table, "does not exist", PATH)


def restarts() -> Iterator[object]:
    """What is in a restart, and in what is injected into it."""

    def base(name: str, spoil: Spoil, *says: str) -> object:
        return fault(f"inject: {name}", inject, spoil, BASE, *says)

    yield base(
        "layers before columns",
        turned(BASE, "soil3c_vr"),
        "variable soil3c_vr has dimensions (levgrnd, column)",
        "expected (column, levgrnd)",
        "put its dimensions in this order",
    )
    yield base(
        "ten soil layers",
        shortened(BASE, "levgrnd", 10),
        "dimension levgrnd has 10 layers",
        "expected 15",
        "use a restart on ELM's standard soil layers",
    )
    yield base(
        "spinup_state 7",
        values(BASE, "spinup_state", 7),
        "spinup_state is 7",
        "expected 0 (normal) or 1 (AD)",
        AS_ELM_WROTE_IT,
    )
    yield base(
        "no spinup_state",
        hidden(BASE, "spinup_state"),
        "variable spinup_state is missing",
        "expected 0 or 1",
        "say which space its pools are in",
    )
    yield base(
        "no date",
        hidden(BASE, "timemgr_rst_curr_ymd"),
        "variable timemgr_rst_curr_ymd is missing",
        "expected CASE.elm.r.YYYY-MM-DD-SSSSS.nc",
        "`phase inspect` shows what it is",
    )
    yield base(
        "a date that is none",
        values(BASE, "timemgr_rst_curr_ymd", 21),
        "timemgr_rst_curr_ymd is 21",
        "expected a date as YYYYMMDD",
        AS_ELM_WROTE_IT,
    )
    yield base(
        "the Century cascade",
        values(BASE, "decomp_cascade_state", 11),
        "decomp_cascade_state is 11",
        "expected 10, the CTC cascade",
        "use a run with the CTC cascade (compsets ELM%CNPRDCTCBC)",
    )
    yield base(
        "exchanged coordinates",
        exchanged(BASE, "grid1d_lat", "grid1d_lon"),
        "grid1d_lat: 3 cells are out of range",
        "expected degrees from -90 to 90",
        "grid1d_lat and grid1d_lon look exchanged: exchange them",
    )
    yield base(
        "a cell twice",
        twins(BASE, "grid1d_lat", "grid1d_lon"),
        "grid1d_lat, grid1d_lon: cells 1 and 2 lie in the same place",
        "expected every cell once",
        "make the file from a domain without duplicates",
    )
    yield base(
        "a longitude of 800",
        values(BASE, "grid1d_lon", 800.0, 1),
        "grid1d_lon: 1 cells are out of range, first cell 2 with 800",
        "expected degrees from -360 to 360",
        "the file is damaged: use another copy",
    )
    yield base(
        "a missing pool",
        hidden(BASE, "soil4n_vr"),
        "variable soil4n_vr is missing",
        "expected soil4n_vr(column, levgrnd)",
        "use a file that holds it",
    )
    layers = (slice(None), slice(0, 3))
    unsound = {
        1.0e36: ("is fill", "an amount"),
        1.0e9: ("is more than any ecosystem holds", "1e+07 at most"),
        np.nan: ("is not a finite number", "a finite number"),
        -5.0: ("is negative", "0 or more"),
    }
    for value, (seen, expected) in unsound.items():
        remedy = f"{AS_ELM_WROTE_IT}, with surfdata.nc and clm_params.nc of its run"
        for name, index in (("soil2c_vr", layers), ("livestemc", ...), ("sminn_vr", layers)):
            spoil = values(BASE, name, value, index)
            place = "layer 1" if name.endswith("_vr") else "pft 7"
            yield base(
                f"{name} {value:g}", spoil, f"{name} cell", place, seen, f"expected {expected}", remedy
            )
        for name, index, place in (("soil3c_vr", (1, 2), "layer 3"), ("deadstemc", ..., "pft 7")):
            yield fault(
                f"inject: predicted {name} {value:g}",
                inject,
                values(PREDICTIONS, name, value, index),
                PREDICTIONS,
                f"variable {name} {seen}",
                "in cell",
                place,
                "expected 0 to 1e+07",
                "predict again",
            )
    # A prediction that replaces it does not make it sound.
    yield base(
        "NaN where predictions replace it",
        values(BASE, "cwdc_vr", np.nan, layers),
        "variable cwdc_vr holds values that are not finite",
        "expected finite numbers",
        AS_ELM_WROTE_IT,
    )
    yield base(
        "cover other than the surface data's",
        values(SURFACE, "PCT_NAT_PFT", lambda v: v[::-1]),
        "pfts1d_wtcol cell 1",
        "differs from PCT_NAT_PFT of the surface file",
        "expected",
        "with surfdata.nc and clm_params.nc of its run",
    )
    yield fault(
        "inject: the base as output",
        lambda at: inject(at, output=at / BASE),
        nothing,
        BASE,
        "is an input too",
        "give another output",
    )
    yield fault(
        "inject: an output that is a directory",
        inject,
        lambda at: (at / "out" / RESTART).mkdir(parents=True),
        f"out/{RESTART}",
        "cannot be written (Is a directory)",
        "choose another place for it",
        folder="injection",
    )
    yield fault(
        "inject: an output below a file",
        lambda at: inject(at, output=at / SURFACE / RESTART),
        nothing,
        f"{SURFACE}/{RESTART}",
        "cannot be written",
        "choose another place for it",
    )
    yield from maps_and_parameters()
    yield from predictions()


def maps_and_parameters() -> Iterator[object]:
    """Surface data and parameters of an injection."""

    def given(name: str, spoil: Spoil, file: str, *says: str) -> object:
        return fault(f"inject: {name}", inject, spoil, file, *says)

    clm, cnp = "give the clm_params file of the run (paramfile)", "give the CNP_parameters file of the run"
    cnp += " (fsoilordercon)"
    for name, spoil, *says in (
        ("no rate", hidden(PARAMS, "k_s4"), "parameter k_s4 is missing", "expected k_s4(allpfts)"),
        ("a rate of 0", values(PARAMS, "k_s4", 0.0), "parameter k_s4 is 0", "above 0 per day"),
        (
            "no ratio",
            values(PARAMS, "leafcn", np.nan),
            "parameter leafcn has no value for PFT 1",
            "PFT 1 to 16",
        ),
        ("10 PFTs", shortened(PARAMS, "pft", 10), "dimension pft is missing or short", "at least 17 PFTs"),
    ):
        yield given(f"parameters with {name}", spoil, PARAMS, *says, clm)
    for name, spoil, *says in (
        ("no smax", hidden(SOILS, "smax"), "parameter smax is missing", "expected smax(soilorder)"),
        (
            "8 orders",
            shortened(SOILS, "soilorder", 8),
            "dimension soilorder is missing or short",
            "expected 16",
        ),
    ):
        yield given(f"soil orders with {name}", spoil, SOILS, *says, cnp)
    yield given(
        "a negative smax",
        values(SOILS, "smax", -1.0),
        SOILS,
        "smax, ks_sorption: -1, 6 for soil order 5",
        "expected positive values",
        "use the soil-order parameters of the run",
    )
    units = attribute(SURFACE, "units", "mgP/m2", "LABILE_P")
    for name, spoil, *says in (
        (
            "another grid",
            values(SURFACE, "LATIXY", lambda v: v + 1.0),
            "3 of 3 cells have no partner",
            "expected at most 0.05 km",
            "use files of the same grid",
        ),
        (
            "exchanged coordinates",
            exchanged(SURFACE, "LATIXY", "LONGXY"),
            "LATIXY: 3 cells are out of range",
            "expected degrees from -90 to 90",
            "LATIXY and LONGXY look exchanged: exchange them",
        ),
        (
            "a longitude of 999",
            values(SURFACE, "LONGXY", 999.0, 0),
            "LONGXY: 1 cells are out of range",
            "expected degrees from -360 to 360",
            "the file is damaged: use another copy",
        ),
        ("P in mg", units, "variable LABILE_P has units 'mgP/m2'", "expected 'gP/m2'", "convert it"),
        (
            "no P",
            values(SURFACE, "SECONDARY_P", np.nan, 1),
            "variable SECONDARY_P is nan in cell 2",
            "expected 0 gP/m2 or more",
            "repair the map",
        ),
        (
            "fill for P",
            values(SURFACE, "OCCLUDED_P", 1.0e36, 2),
            "variable OCCLUDED_P is 1e+36 in cell 3",
            "expected 0 gP/m2 or more",
            "repair the map",
        ),
        (
            "no map of P",
            hidden(SURFACE, "APATITE_P"),
            "variable APATITE_P is missing",
            "use a file that holds it",
        ),
        (
            "soil order 99",
            values(SURFACE, "SOIL_ORDER", 99.0),
            "variable SOIL_ORDER is 99 in cell 1",
            "expected one of the 16 soil orders",
            "use the surface data and the soil-order parameters of the run",
        ),
        (
            "12 PFTs",
            shortened(SURFACE, "natpft", 12),
            "variable PCT_NAT_PFT has 12 PFTs (dimension natpft)",
            "expected 17, or 15 beside a crop landunit",
            "use surface data with ELM's standard PFTs",
        ),
    ):
        yield given(f"surface data with {name}", spoil, SURFACE, *says)


def predictions() -> Iterator[object]:
    """Predictions of another tool."""
    for name, spoil, *says in (
        (
            "in AD space",
            attribute(PREDICTIONS, "label_space", "ad"),
            "label_space is 'ad'",
            "expected 'normal'",
            "give pools in normal mode (spinup_state 0)",
        ),
        (
            "in no space",
            attribute(PREDICTIONS, "label_space", None),
            "label_space is ''",
            "expected 'normal'",
            "give pools in normal mode (spinup_state 0)",
        ),
        (
            "of fewer cells",
            shortened(PREDICTIONS, "gridcell", 2),
            "1 of 3 cells have no partner among its 2 predicted cells",
            "expected at most 0.05 km",
            "use files of the same grid",
        ),
        (
            "without a pool",
            hidden(PREDICTIONS, *TARGETS),
            "no pool is predicted",
            "expected variables under their restart names",
            "name them as the restart does",
        ),
        (
            "of 12 PFTs",
            shortened(PREDICTIONS, "natpft", 12),
            "has 12 natpft",
            "expected 17",
            "give all PFTs, 0 to 16",
        ),
        (
            "of 8 layers",
            shortened(PREDICTIONS, "levdecomp", 8),
            "has 8 levdecomp",
            "expected 10",
            "predict again",
        ),
        (
            "in kg",
            attribute(PREDICTIONS, "units", "kgC/m^2", "deadstemc"),
            "variable deadstemc has units 'kgC/m^2'",
            "expected 'gC/m^2'",
            "convert it",
        ),
        (
            "with PFTs before cells",
            turned(PREDICTIONS, "deadstemc"),
            "variable deadstemc has dimensions (natpft, gridcell)",
            "expected (gridcell, natpft)",
            "put its dimensions in this order",
        ),
        (
            "with exchanged coordinates",
            exchanged(PREDICTIONS, "lat", "lon"),
            "lat: 3 cells are out of range",
            "expected degrees from -90 to 90",
            "lat and lon look exchanged: exchange them",
        ),
        (
            "with a cell twice",
            twins(PREDICTIONS, "lat", "lon"),
            "lat, lon: cells 1 and 2 lie in the same place",
            "expected every cell once",
            "make the file from a domain without duplicates",
        ),
        (
            "without flags",
            hidden(PREDICTIONS, "ood_flag"),
            "variable ood_flag is missing",
            "expected ood_flag(gridcell)",
            "use a file that holds it",
        ),
        (
            "with flag 2",
            values(PREDICTIONS, "ood_flag", 2),
            "ood_flag of cell 1 is 2",
            "expected 0 or 1",
            "predict again",
        ),
    ):
        yield fault(f"inject: predictions {name}", inject, spoil, PREDICTIONS, *says)
    yield fault(
        "inject: a predicted variable that the base lacks",
        inject,
        hidden(BASE, "tlai"),
        BASE,
        "variable tlai is missing",
        "use a file that holds it",
    )


def months() -> Iterator[object]:
    """Monthly forcing files."""
    rain, february, july = month("Prec", 5), month("TPQWL", 2), month("TPQWL", 7)
    second, aside = "domain/forcing/second.TPQWL.1902-05.nc", "domain/aside.nc"
    swap = also(renamed(MAY, aside), renamed(july, MAY), renamed(aside, july))
    last = remade(
        MAY,
        lambda name, dims, a: ((*dims[1:], dims[0]), np.moveaxis(a, 0, -1)) if name == "TBOT" else (dims, a),
    )
    for name, spoil, file, *says in (
        (
            "TBOT in degC",
            attribute(MAY, "units", "degC", "TBOT"),
            MAY,
            "variable TBOT has units 'degC'",
            "expected 'K'",
            "convert it",
        ),
        (
            "PRECTmms in m/s",
            attribute(rain, "units", "m/s", "PRECTmms"),
            rain,
            "variable PRECTmms has units 'm/s'",
            "expected 'mm/s'",
            "convert it",
        ),
        (
            "degrees Celsius called K",
            values(MAY, "TBOT", lambda v: v - 273.15),
            MAY,
            "variable TBOT",
            "in 1902-05",
            "expected 180 to 340 K",
            "check units and fill values",
        ),
        (
            "NaN",
            values(MAY, "TBOT", np.nan, (3, 0, 1)),
            MAY,
            "variable TBOT",
            "in 1902-05",
            "expected 180 to 340 K",
            "check units and fill values",
        ),
        (
            "mixed calendars",
            attribute(MAY, "calendar", "gregorian", "time"),
            MAY,
            "time has a standard calendar",
            "expected noleap as in the other files",
            "give files of one product",
        ),
        (
            "a calendar of 360 days",
            attribute(MAY, "calendar", "360_day", "time"),
            MAY,
            "time has calendar '360_day'",
            "expected 'noleap' or 'gregorian'",
            "convert the forcing to one of them",
        ),
        (
            "a clock without reference date",
            attribute(MAY, "units", "days", "time"),
            MAY,
            "time has units 'days'",
            "expected 'days since",
            "set the attribute right",
        ),
        (
            "no time",
            hidden(MAY, "time"),
            MAY,
            "variable time is missing",
            "expected time(time)",
            "use a file that holds it",
        ),
        (
            "steps out of order",
            values(MAY, "time", lambda v: v[::-1]),
            MAY,
            "time does not increase",
            "put the steps in order",
        ),
        (
            "a month twice",
            copied(MAY, second),
            second,
            "FLDS of 1902-05 is also in clmforc.TPQWL.1902-05.nc",
            "expected one file for each variable and month",
            "leave one out",
        ),
        (
            "exchanged months",
            swap,
            MAY,
            "time: step 1 of 31 is stamped day 61.500 of 1902-05",
            "expected a stamp of its step",
            "put the steps of the month that the file is named after into it",
        ),
        (
            "29 February",
            leap_day(february),
            february,
            "time has 29 steps",
            "expected the same number on each of 28 days",
            "drop 29 February",
        ),
        (
            "exchanged coordinates",
            exchanged(MAY, "LATIXY", "LONGXY"),
            MAY,
            "LATIXY: 6 cells are out of range",
            "expected degrees from -90 to 90",
            "LATIXY and LONGXY look exchanged: exchange them",
        ),
        (
            "a longitude of 999",
            values(MAY, "LONGXY", 999.0, (0, 0)),
            MAY,
            "LONGXY: 1 cells are out of range",
            "expected degrees from -360 to 360",
            "the file is damaged: use another copy",
        ),
        (
            "another grid in a month",
            values(MAY, "LATIXY", lambda v: v + 0.5),
            MAY,
            "latitudes and longitudes",
            "expected one grid",
            "give files of one product",
        ),
        (
            "time last",
            last,
            MAY,
            "variable TBOT has dimensions (nj, ni, time)",
            "expected (time, nj, ni)",
            "put its dimensions in this order",
        ),
        (
            "a domain without land",
            values(DOMAIN, "mask", 0),
            DOMAIN,
            "mask: no cell is land",
            "expected mask = 1 on land",
            "give the domain file of the run",
        ),
        (
            "a domain with exchanged coordinates",
            exchanged(DOMAIN, "xc", "yc"),
            DOMAIN,
            "yc: 9 cells are out of range",
            "expected degrees from -90 to 90",
            "yc and xc look exchanged: exchange them",
        ),
    ):
        yield fault(f"forcing: {name}", forcing, spoil, file, *says, folder="domain")
    for name, changes, file, *says in (
        (
            "a file of another kind",
            {"files": MAPS},
            MAPS,
            "is not named like a monthly forcing file",
            "expected NAME.YYYY-MM.nc",
            "leave it out",
        ),
        (
            "surface data as domain",
            {"domain": MAPS},
            MAPS,
            "variable xc is missing",
            "expected xc(nj, ni)",
            "use a file that holds it",
        ),
        ("a pattern that matches nothing", {"files": "domain/*.cdf"}, "domain/*.cdf", "no such file", PATH),
    ):
        given = {key: Path(value) for key, value in changes.items()}
        yield fault(
            f"forcing: {name}",
            lambda at, given=given: forcing(at, **{key: at / value for key, value in given.items()}),
            nothing,
            file,
            *says,
        )
    yield fault(
        "forcing: years that no file is of",
        lambda at: forcing(at, first_year=1950),
        nothing,
        "domain/forcing",
        "no forcing file of 1950 to 1951",
        "expected NAME.YYYY-MM.nc of these years",
        "check the forcing files and the forcing years",
    )


def fusion() -> Iterator[object]:
    """What records are fused from."""
    late = also(copied(MONTHLY, AGAIN), attribute(AGAIN, "first_year", 1903))
    for name, spoil, file, *says in (
        (
            "labels in AD",
            values(LABELS, "spinup_state", 1),
            LABELS,
            "spinup_state is 1",
            "expected 0 (normal mode)",
            "give the restart of a run that has left AD, or an injected one",
        ),
        (
            "an AD reference in normal mode",
            values(AD_400, "spinup_state", 0),
            AD_400,
            "spinup_state is 0",
            "expected 1 (accelerated decomposition)",
            "give the restart of the AD run",
        ),
        (
            "layers before columns",
            turned(AD, "soil3c_vr"),
            AD,
            "variable soil3c_vr has dimensions (levgrnd, column)",
            "expected (column, levgrnd)",
            "put its dimensions in this order",
        ),
        (
            "8 soil layers",
            shortened(AD, "levgrnd", 8),
            AD,
            "dimension levgrnd has 8 layers",
            "expected 15",
            "use a restart on ELM's standard soil layers",
        ),
        (
            "history of other years",
            also(*(values(HISTORY, name, lambda v: v + 3650.0) for name in ("time", "time_bounds"))),
            HISTORY,
            "the history covers 0.00 years of 0019 to 0020",
            "expected all 2",
            "give all history files of these years",
        ),
        (
            "history without bounds",
            hidden(HISTORY, "time_bounds"),
            HISTORY,
            "variable time_bounds is missing",
            "expected time_bounds(time, hist_interval)",
            "use a file that holds it",
        ),
        (
            "history of a 360-day year",
            attribute(HISTORY, "calendar", "360_day", "time"),
            HISTORY,
            "time has calendar '360_day'",
            "expected 'noleap'",
            "use the history as ELM wrote it",
        ),
        (
            "GPP in kgC",
            attribute(HISTORY, "units", "kgC/m^2/s", "GPP"),
            HISTORY,
            "variable GPP has units 'kgC/m^2/s'",
            "expected 'gC/m^2/s'",
            "convert it",
        ),
        (
            "surface data on 8 layers",
            shortened(MAPS, "nlevsoi", 8),
            MAPS,
            "(dimension nlevsoi)",
            "expected 10",
            "use surface data on ELM's standard soil layers",
        ),
        (
            "surface data of another grid",
            values(MAPS, "LATIXY", lambda v: v + 1.0),
            MAPS,
            "12 of 12 cells have no partner",
            "expected at most 0.05 km",
            "use files of the same grid",
        ),
        (
            "TBOT in degC",
            attribute(MONTHLY, "units", "degC", "TBOT"),
            MONTHLY,
            "variable TBOT has units 'degC'",
            "expected 'K'",
            "convert it",
        ),
        (
            "23 months",
            shortened(MONTHLY, "time", 23),
            MONTHLY,
            "has 23 months",
            "expected 24",
            "make it again",
        ),
        (
            "no first year",
            attribute(MONTHLY, "first_year", None),
            MONTHLY,
            "attribute first_year is missing",
            "expected monthly means made by `phase forcing`",
            "make them again",
        ),
        (
            "a first year in words",
            attribute(MONTHLY, "first_year", "one"),
            MONTHLY,
            "attribute first_year is 'one'",
            "expected a whole number",
            "use the file as it was written",
        ),
        (
            "monthly means with exchanged coordinates",
            exchanged(MONTHLY, "lat", "lon"),
            MONTHLY,
            "lat: 9 cells are out of range",
            "expected degrees from -90 to 90",
            "lat and lon look exchanged: exchange them",
        ),
        (
            "monthly means of other cells",
            values(MONTHLY, "lat", lambda v: v + 1.0),
            MONTHLY,
            "12 of 12 cells have no partner",
            "expected at most 0.05 km",
            "use files of the same grid",
        ),
    ):
        yield fault(f"fuse: {name}", fuse, spoil, file, *says)
    for name, option, first, spoil, file, *says in (
        (
            "a history file twice",
            "history",
            HISTORY,
            copied(HISTORY, AGAIN),
            AGAIN,
            "time_bounds: samples overlap",
            "give each file once",
        ),
        (
            "a piece twice",
            "forcing",
            MONTHLY,
            copied(MONTHLY, AGAIN),
            AGAIN,
            "FLDS of 1901 is in another piece too",
            "give every piece of one reduction once",
        ),
        (
            "years missing between pieces",
            "forcing",
            MONTHLY,
            also(late, attribute(AGAIN, "first_year", 1905)),
            MONTHLY,
            "FLDS of 1903 is missing",
            "expected every variable for 1901 to 1906",
            "give every piece of one reduction once",
        ),
        (
            "pieces of two products",
            "forcing",
            MONTHLY,
            also(late, attribute(AGAIN, "product", "GSWP3")),
            AGAIN,
            "attribute product is 'GSWP3'",
            "expected 'weather' as in monthly.nc",
            "give the pieces of one reduction",
        ),
    ):
        yield fault(
            f"fuse: {name}",
            lambda at, option=option, first=first: fuse(at, **{option: [at / first, at / AGAIN]}),
            spoil,
            file,
            *says,
        )


def datasets() -> Iterator[object]:
    """Records, datasets, splits and models."""
    other = attribute(SPLIT, "dataset_id", "of another")
    for name, command, spoil, file, *says in (
        ("join: a record file is missing", join, removed(BATCH), BATCH, "does not exist", "fuse again"),
        (
            "join: no list of record files",
            join,
            attribute(RECORDS, "record_files", None),
            RECORDS,
            "global attribute record_files is missing",
            "use the file as it was written",
        ),
        (
            "join: a list that is none",
            join,
            attribute(RECORDS, "domains", "full"),
            RECORDS,
            "attribute domains is not JSON",
            "join the records again",
        ),
        (
            "split: no cell to train on",
            split,
            values(CELLS, "trainable", 0),
            CELLS,
            "the random split of 0 cells with labels has no train cell",
            "use more cells, smaller blocks or other fractions",
        ),
        (
            "normalize: the split of another dataset",
            normalize,
            other,
            SPLIT,
            "is the split of another dataset",
            "expected that of",
            "split again",
        ),
        (
            "predict: the split of another dataset",
            predict,
            other,
            SPLIT,
            "is the split of another dataset",
            "expected that of",
            "split again",
        ),
        (
            "predict: a split of fewer cells",
            predict,
            shortened(SPLIT, "gridcell", 6),
            SPLIT,
            "of 6 cells",
            "of 12 cells",
            "split again",
        ),
        ("predict: a record file is missing", predict, removed(BATCH), BATCH, "does not exist", PATH),
        (
            "predict: a record file of another dataset",
            predict,
            attribute(BATCH, "dataset_id", "x"),
            BATCH,
            "belongs to another dataset than cells.nc",
            "fuse again",
        ),
        (
            "predict: a record file of fewer cells",
            predict,
            shortened(BATCH, "gridcell", 3),
            BATCH,
            "is of 3 cells",
            "expected 5, as cells.nc says",
            "fuse again",
        ),
        (
            "predict: a record file without TBOT",
            predict,
            hidden(BATCH, "TBOT"),
            BATCH,
            "variable TBOT is missing",
            "use a file that holds it",
        ),
        (
            "predict: a record file that is not listed",
            predict,
            values(CELLS, "record_file", 77),
            CELLS,
            "variable record_file is 77",
            "expected 0 to 2",
            "join the records again",
        ),
        (
            "predict: a domain that is not there",
            lambda at: predict(at, domain_name="mars"),
            nothing,
            CELLS,
            "has no domain 'mars'",
            "expected one of full",
            "name one of these",
        ),
    ):
        yield fault(name, command, spoil, file, *says)
    yield fault(
        "join: records of another domain",
        lambda at: join(at, records=["other", at / "fused" / "records"], training="other"),
        nothing,
        RECORDS,
        "holds records of full",
        "expected other",
        "fuse again",
    )


def runs() -> Iterator[object]:
    """Land-model runs, their histories and what is asked of them."""
    start = "pools must be finite and not negative"
    for name, spoil, *says in (
        (
            "spinup_state 7",
            values(EMBEDDED, "spinup_state", 7),
            "spinup_state is 7",
            "expected 0 (normal) or 1",
        ),
        (
            "NaN in a layer",
            values(EMBEDDED, "soil3c_vr", np.nan, (0, 2)),
            "soil3c_vr is nan",
            "layer 3",
            start,
        ),
        ("a negative pool", values(EMBEDDED, "deadstemc", -3.0), "deadstemc is -3", "PFT 1", start),
        ("fill in a pool", values(EMBEDDED, "leafc", 1.0e36), "leafc is 1e+36", "PFT 1", start),
    ):
        yield fault(f"run-segment: {name}", run_segment, spoil, EMBEDDED, *says, AS_ELM_WROTE_IT)
    surface, params, means = (f"embedded/{name}.nc" for name in ("surfdata", "clm_params", "monthly"))
    for name, spoil, file, *says in (
        (
            "surface data of another grid",
            values(surface, "LATIXY", lambda v: v + 1.0),
            surface,
            "have no partner",
            "expected at most 0.05 km",
            "use files of the same grid",
        ),
        (
            "surface data on 8 layers",
            shortened(surface, "nlevsoi", 8),
            surface,
            "(dimension nlevsoi)",
            "expected 10",
            "use surface data on ELM's standard soil layers",
        ),
        (
            "no rate",
            hidden(params, "k_s4"),
            params,
            "parameter k_s4 is missing",
            "expected k_s4(allpfts)",
            "give the clm_params file of the run (paramfile)",
        ),
        (
            "no FSDS",
            hidden(means, "FSDS"),
            means,
            "FSDS of 1901 is missing",
            "expected every variable for 1901",
            "give every piece of one reduction once",
        ),
    ):
        yield fault(f"run-segment: {name}", run_segment, spoil, file, *says)
    for name, spoil, *says in (
        (
            "no bounds",
            hidden(LAST, "time_bounds"),
            "variable time_bounds is missing",
            "expected time_bounds(time, hist_interval)",
            "use a file that holds it",
        ),
        (
            "another calendar",
            attribute(LAST, "calendar", "gregorian", "time"),
            "time has calendar 'gregorian'",
            "expected 'noleap'",
            "use the history as ELM wrote it",
        ),
        (
            "no soil carbon",
            hidden(LAST, "TOTSOMC"),
            "variable TOTSOMC is missing",
            "use a file that holds it",
        ),
        (
            "soil carbon in kg",
            attribute(LAST, "units", "kgC/m^2", "TOTSOMC"),
            "variable TOTSOMC has units 'kgC/m^2'",
            "expected 'gC/m^2'",
            "convert it",
        ),
        (
            "NaN",
            values(LAST, "TOTECOSYSC", np.nan, (1, 4)),
            "variable TOTECOSYSC is fill or NaN on land cell 5",
            "expected numbers",
            "check the run",
        ),
        (
            "no area",
            values(LAST, "area", np.nan, 3),
            "variable area is nan on land cell 4",
            "expected more than 0 on land",
            "use the history as ELM wrote it",
        ),
    ):
        yield fault(f"equilibrium: {name}", equilibrium, spoil, LAST, *says)
    for name, changes, spoil, file, *says in (
        (
            "one cycle",
            {"forcing_years": 20},
            nothing,
            LAST,
            "time_bounds: the history covers 2.00 years",
            "expected at least two whole forcing cycles, 40 years",
            "run on, or give the history files of the earlier years too",
        ),
        (
            "mixed calendars",
            {"history": [LAST, HISTORY]},
            attribute(HISTORY, "calendar", "360_day", "time"),
            HISTORY,
            "time has calendar '360_day'",
            "expected 'noleap'",
            "use the history as ELM wrote it",
        ),
        (
            "a file twice",
            {"history": [LAST, AGAIN]},
            copied(LAST, AGAIN),
            AGAIN,
            "samples overlap",
            "give each file once",
        ),
        (
            "a restart as history",
            {"history": [AD]},
            nothing,
            AD,
            "variable time is missing",
            "use a file that holds it",
        ),
    ):
        yield fault(
            f"equilibrium: {name}",
            lambda at, changes=changes: equilibrium(
                at,
                **{
                    key: [at / file for file in v] if isinstance(v, list) else v for key, v in changes.items()
                },
            ),
            spoil,
            file,
            *says,
        )


def settings() -> Iterator[object]:
    """Settings of a stage and whole configurations."""
    for name, text, *says in (
        ("no JSON", '{"cells": 12,,}', "is not JSON", "expected JSON or a file"),
        ("an unknown key", '{"celsl": 12}', "unknown key celsl", "did you mean cells?"),
        ("a negative resolution", '{"resolution_deg": -2}', "resolution_deg is -2", "expected greater than"),
        ("cells in words", '{"cells": "many"}', "cells is 'many'", "expected a valid integer"),
        ("no file", "nowhere.yaml", "'nowhere.yaml' is neither a JSON object nor a file", PATH),
    ):
        yield fault(
            f"world: settings with {name}",
            lambda at, text=text: options("world", settings=text, output_dir=at / "out"),
            nothing,
            "--settings",
            *says,
        )
    yield fault(
        "run-segment: negative CO2",
        lambda at: run_segment(at, settings='{"co2_ppm": -1}'),
        nothing,
        "--settings",
        "co2_ppm is -1",
        "expected greater than 0",
    )
    for name, text, *says in (
        (
            "a key twice",
            "run: {name: a}\nrun: {name: b}\n",
            "line 2: key 'run' is given twice",
            "expected YAML",
        ),
        ("no YAML", "run: [1, 2\n", "line 2:", "expected YAML"),
        ("a list", "- run\n", "holds a list", "expected sections with keys"),
        ("an unknown section", "embeded: {cells: 3}\n", "unknown key embeded", "did you mean embedded?"),
        (
            "an unknown key",
            "embedded: {sede: 4}\n",
            "unknown key embedded.sede",
            "did you mean embedded.seed?",
        ),
        (
            "a number out of range",
            "spinup: {ad_years: 3}\n",
            "spinup.ad_years is 3",
            "expected greater",
        ),
    ):
        yield fault(
            f"check: a configuration with {name}",
            lambda at: options("check", config=at / "domain" / "bad.yaml"),
            written("domain/bad.yaml", text.encode()),
            "domain/bad.yaml",
            *says,
        )
    for name, changes, *says in (
        (
            "a target that is no domain",
            {"target": {"domain": "fulll"}},
            "target.domain names 'fulll'",
            "expected one of embedded, full",
            "did you mean full?",
        ),
        (
            "training without a reference",
            {"section": {"reference_restart": None, "reference_history": []}},
            "domains.full has no reference_restart",
            "training.domains names it",
            "give the final restart of its reference run",
        ),
        (
            "a target that the embedded model runs",
            {"target": {"domain": "embedded"}},
            "target.domain is 'embedded' with land_model.backend 'archive'",
            "expected",
            "or the other backend",
        ),
    ):
        yield fault(
            f"check: a configuration with {name}",
            lambda at, changes=changes: options("check", config=config(at, "domain/bad.json", **changes)),
            lambda at, changes=changes: config(at, "domain/bad.json", **changes),
            "domain/bad.json",
            *says,
        )
    for name, history, begins, *says in (
        (
            "an unset variable",
            "$NO_SUCH_VARIABLE/*.nc",
            "-",
            "an environment variable in it is not set",
            "set it",
        ),
        ("a pattern of nothing", "{at}/domain/h7.*.nc", "domain/h7.*.nc", "no such file", PATH),
    ):

        def bad(at: Path, history: str = history) -> Path:
            return config(at, "domain/bad.json", section={"history": [history.format(at=at)]})

        yield fault(
            f"check: history of {name}",
            lambda at, bad=bad: options("check", config=bad(at)),
            bad,
            "domain/h7.*.nc" if begins != "-" else "$NO_SUCH_VARIABLE/*.nc",
            *says,
            folder="domain",
        )


FAULTS = [
    *damaged_files(),
    *restarts(),
    *months(),
    *fusion(),
    *datasets(),
    *runs(),
    *settings(),
]
