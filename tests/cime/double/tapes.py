"""History tapes of the stand-in for ELM: which samples are written, into which file, and what they hold."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np

from phase_lib.base.errors import InputError
from phase_lib.base.provenance import code_version
from phase_lib.elm.constants import DAYS_PER_YEAR, FILL_DOUBLE
from phase_lib.elm.netcdf import add_variable, create_dataset
from phase_lib.elm.soil_budget import SOIL_FLUXES
from phase_lib.elm.soil_grid import NLEVDECOMP, NLEVGRND
from phase_lib.landmodel.embedded import history
from phase_lib.landmodel.embedded.inputs import RunInputs
from phase_lib.landmodel.embedded.segment import LAYERED

HOURS_PER_YEAR = 24 * DAYS_PER_YEAR
_MAX_TAPES = 6
_FORMAT = "NETCDF3_64BIT_DATA"
#: Fields of what ELM was driven with -> units, and the variable of the forcing.
SEEN = {
    "QBOT": ("kg/kg", "QBOT"),
    "PBOT": ("Pa", "PSRF"),
    "FLDS": ("W/m^2", "FLDS"),
    "FSDS": ("W/m^2", "FSDS"),
}
#: Fields of processes that the embedded model does not have -> units; they are 0.
ABSENT = {"SMIN_NO3_RUNOFF": "gN/m^2/s"}


@dataclass(frozen=True)
class Sample:
    """A year: means of columns (cell) and of layers (levdecomp, cell), and both as they are at its end."""

    columns: dict[str, np.ndarray]
    layers: dict[str, np.ndarray]
    state: tuple[dict[str, np.ndarray], dict[str, np.ndarray]]


def layered_names() -> tuple[str, ...]:
    """Fields by layer."""
    return (*LAYERED, *SOIL_FLUXES)


@dataclass
class Tape:
    """A tape of a run.

    Attributes:
        number: 0 is ELM's first tape.
        fields: names.
        hours: between two samples; 0 is monthly.
        limit: samples in a file (hist_mfilt).
        flag: A for means, I for the state at the end of an interval.
        directory, case, first_year: of the run.
        inputs: its cells.
        file: that of the last samples, by name; "" before the first one.
        samples: in that file.
        begin: model year at which the present interval began.
        years: samples of the years of that interval so far.
    """

    number: int
    fields: list[str]
    hours: float
    limit: int
    flag: str
    directory: Path
    case: str
    first_year: int
    inputs: RunInputs
    step_days: float
    file: str = ""
    samples: int = 0
    begin: int = 0
    years: list[dict[str, np.ndarray]] = field(default_factory=list)

    # --- which tapes there are ------------------------------------------------------------------

    @classmethod
    def from_namelist(
        cls, names: Any, directory: Path, case: str, first_year: int, inputs: RunInputs
    ) -> list[Tape]:
        """The tapes that lnd_in asks for.

        Raises:
            InputError: a field is unknown.
        """
        known = (*history.FIELDS, *SEEN, *ABSENT, *layered_names())
        empty = names.text("hist_empty_htapes", ".false.").lower() == ".true."
        frequencies, limits = names.numbers("hist_nhtfrq"), names.numbers("hist_mfilt")
        flags = names.texts("hist_avgflag_pertape")
        seconds = names.number("dtime", 1800.0)
        tapes = []
        for number in range(_MAX_TAPES):
            asked = names.texts(f"hist_fincl{number + 1}")
            fields = [one.partition(":")[0] for one in asked]
            for place, name in enumerate(fields, 1):
                if name not in known:
                    what = f"ERROR: {name} in fincl({place}) for history tape {number + 1} not found"
                    raise InputError(None, f"htapes_fieldlist {what}")
            if number == 0 and not empty:
                fields = list(dict.fromkeys([*history.FIELDS, *fields]))
            if not fields:
                continue
            frequency = (frequencies + [0 if number == 0 else -24] * _MAX_TAPES)[number]
            if number >= len(frequencies):
                frequency = 0 if number == 0 else -24
            hours = -frequency if frequency <= 0 else frequency * seconds / 3600.0
            limit = limits[number] if number < len(limits) else (1 if number == 0 else 30)
            flag = flags[number] if number < len(flags) else "A"
            tapes.append(
                cls(
                    number,
                    fields,
                    hours,
                    limit,
                    flag or "A",
                    directory,
                    case,
                    first_year,
                    inputs,
                    seconds / 86400.0,
                    begin=first_year,
                )
            )
        return tapes

    @classmethod
    def read_all(cls, directory: Path, case: str, day: str, inputs: RunInputs) -> list[Tape]:
        """The tapes of a run that goes on: those of its start, whatever lnd_in asks for now.

        Raises:
            InputError: a file of the history is missing.
        """
        with netCDF4.Dataset(directory / f"{case}.elm.r.{day}-00000.nc") as dataset:
            names = netCDF4.chartostring(dataset["locfnhr"][:])
        tapes = []
        for name in names:
            path = directory / str(name).strip()
            if not path.is_file():
                raise InputError(None, f"GETFIL: FAILED to get {path.name}")
            with netCDF4.Dataset(path) as dataset:
                kept = json.loads(dataset.tape)
                sums = [
                    {name: np.asarray(dataset[f"{name}_{row}"][...]) for name in kept["fields"]}
                    for row in range(kept.pop("rows"))
                ]
            tape = cls(directory=directory, case=case, inputs=inputs, years=sums, **kept)
            open_file = 0 < tape.samples < tape.limit
            if open_file and not (directory / tape.file).is_file():
                raise InputError(None, f"GETFIL: FAILED to get {tape.file}")
            tapes.append(tape)
        return tapes

    # --- samples --------------------------------------------------------------------------------

    def write_first(self, sample: Sample) -> None:
        """The sample at step 0, which tapes have but for monthly ones: of one step, before the start."""
        if self.hours:
            self._write(self._values([self._of_year(sample)]), -self.step_days, 0.0, self.first_year)

    def add(self, year: int, sample: Sample) -> None:
        """Adds the year that ended at the start of `year`; the interval may end with it.

        Raises:
            InputError: the tape has intervals that do not end with a year.
        """
        years = self.hours / HOURS_PER_YEAR
        if years < 1 or years != int(years):
            what = f"the stand-in for ELM has no interval of {self.hours:g} hours, but whole years of 8760"
            raise InputError(None, what)
        self.years.append(self._of_year(sample))
        if (year - self.first_year) % int(years) == 0:
            begin, end = ((one - self.first_year) * float(DAYS_PER_YEAR) for one in (self.begin, year))
            self._write(self._values(self.years), begin, end, year)
            self.years, self.begin = [], year

    def write_hours(self, hours: int, sample: Sample) -> None:
        """The samples of some hours in which nothing changes."""
        if self.hours:
            values = self._values([self._of_year(sample)])
            for hour in np.arange(self.hours, hours + 1e-6, self.hours):
                self._write(values, (hour - self.hours) / 24.0, hour / 24.0, self.first_year, hour)

    def _of_year(self, sample: Sample) -> dict[str, np.ndarray]:
        """What is kept of a year: means, or its end."""
        columns, layers = (sample.columns, sample.layers)
        if self.flag == "I":
            columns, layers = columns | sample.state[0], layers | sample.state[1]
        return {name: columns[name] if name in columns else layers[name] for name in self.fields}

    def _values(self, years: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
        """The sample of an interval, summed up in the order of the embedded model."""
        if self.flag == "I":
            return years[-1]
        share = 1.0 / len(years)
        values = {}
        for name in self.fields:
            if years[0][name].ndim == 1:
                values[name] = np.stack([one[name] for one in years]).mean(axis=0)
            else:
                total = np.zeros_like(years[0][name])
                for one in years:
                    total += one[name] * share
                values[name] = total
        return values

    # --- files ----------------------------------------------------------------------------------

    def _write(
        self, values: dict[str, np.ndarray], begin: float, end: float, year: int, hour: float = 0.0
    ) -> None:
        """Writes a sample, into a new file where the last one is full."""
        fresh = self.samples in (0, self.limit)
        if fresh:
            seconds = round(hour * 3600.0)
            day, rest = divmod(seconds, 86400)
            self.file = f"{self.case}.elm.h{self.number}.{year:04d}-01-{1 + day:02d}-{rest:05d}.nc"
            self.samples = 0
        path = self.directory / self.file
        with create_dataset(path, _FORMAT) if fresh else netCDF4.Dataset(path, "r+") as dataset:
            if fresh:
                self._define(dataset)
            dataset.set_auto_mask(False)
            row = self.samples
            dataset["time"][row], dataset["time_bounds"][row] = end, (begin, end)
            dataset["mcdate"][row] = year * 10000 + 101 + int(hour // 24)
            dataset["mcsec"][row] = round(hour % 24 * 3600)
            for name, array in values.items():
                full = array
                if array.ndim == 2:
                    full = np.zeros((NLEVGRND, array.shape[1]))
                    full[:NLEVDECOMP] = array
                dataset[name][row] = history._on_grid(full, self.inputs)
        self.samples += 1

    def _define(self, dataset: netCDF4.Dataset) -> None:
        plane = ("lat", "lon")
        sizes = dict(zip(plane, self.inputs.domain.shape, strict=True))
        sizes |= {"levgrnd": NLEVGRND, "levdcmp": NLEVGRND, "hist_interval": 2}
        for name, size in (sizes | {"time": None}).items():
            dataset.createDimension(name, size)
        dataset.title = "ELM History file information"
        dataset.source = "E3SM Land Model"
        dataset.case_id = self.case
        dataset.surface_dataset = self.inputs.surface_path.name
        dataset.version = code_version()
        clock = {"units": f"days since {self.first_year:04d}-01-01 00:00:00", "calendar": "noleap"}
        add_variable(dataset, "time", "f8", ("time",), long_name="time", bounds="time_bounds", **clock)
        edges = "history time interval endpoints"
        add_variable(dataset, "time_bounds", "f8", ("time", "hist_interval"), long_name=edges)
        add_variable(dataset, "mcdate", "i4", ("time",), long_name="current date (YYYYMMDD)")
        add_variable(dataset, "mcsec", "i4", ("time",), units="s")
        method = "time: mean" if self.flag == "A" else "time: instantaneous"
        fill = np.float32(FILL_DOUBLE)
        for name in self.fields:
            dims, units, text = ("time", "levdcmp", *plane), "gC/m^3/s", f"{name}, vertically resolved"
            if name in history.FIELDS:
                dims, (units, text) = ("time", *plane), history.FIELDS[name]
            elif name in SEEN:
                dims, units, text = ("time", *plane), SEEN[name][0], "what the atmosphere brings"
            elif name in ABSENT:
                dims, units, text = ("time", *plane), ABSENT[name], "a process that is not there"
            elif name not in SOIL_FLUXES:
                units = f"g{name.removesuffix('_vr')[-1]}/m^3"
            described = {"long_name": text, "units": units, "cell_methods": method, "missing_value": fill}
            add_variable(dataset, name, "f4", dims, fill=fill, **described)
        history._write_grid(dataset, self.inputs)

    def write_restart(self, date: str) -> None:
        """What the tape needs to go on: its settings, and the interval that is not over."""
        path = self.directory / f"{self.case}.elm.rh{self.number}.{date}.nc"
        kept = {
            "number": self.number, "fields": self.fields, "hours": self.hours, "limit": self.limit,
            "flag": self.flag, "first_year": self.first_year, "step_days": self.step_days, "file": self.file,
            "samples": self.samples, "begin": self.begin, "rows": len(self.years),
        }  # fmt: skip
        with create_dataset(path, _FORMAT) as dataset:
            dataset.tape = json.dumps(kept)
            dataset.createDimension("gridcell", self.inputs.domain.ncells)
            dataset.createDimension("levdecomp", NLEVDECOMP)
            for row, year in enumerate(self.years):
                for name, array in year.items():
                    dims = ("gridcell",) if array.ndim == 1 else ("levdecomp", "gridcell")
                    add_variable(dataset, f"{name}_{row}", "f8", dims, array)


def name_history(dataset: netCDF4.Dataset, tapes: list[Tape], date: str) -> None:
    """Names open history files and restarts of the tapes in a restart, where archivers look for them."""
    if not tapes:
        return
    dataset.createDimension("ntapes", len(tapes))
    dataset.createDimension("max_chars", 256)
    restarts = [f"{tape.case}.elm.rh{tape.number}.{date}.nc" for tape in tapes]
    for name, files in (("locfnh", [tape.file for tape in tapes]), ("locfnhr", restarts)):
        texts = np.array([f"./{file}".ljust(256) for file in files], dtype="S256")
        dataset.createVariable(name, "S1", ("ntapes", "max_chars"))[:] = netCDF4.stringtochar(texts)
