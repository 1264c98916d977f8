"""`e3sm.exe` of the stand-in: the embedded land model behind the namelists, logs and files of ELM.

It runs in RUNDIR, reads drv_in, lnd_in and datm_in there, and steps a year at a time: what ELM does within a
year (monthly means, stops in the middle of one) is refused in its log.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import sys
import time
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn

import netCDF4
import numpy as np
import torch

from phase_lib.base.errors import InputError, ModelAbort
from phase_lib.config.spinup import SpinupSettings
from phase_lib.elm.constants import DAYS_PER_MONTH, DAYS_PER_YEAR, SECONDS_PER_YEAR
from phase_lib.elm.domain import read_domain
from phase_lib.elm.netcdf import open_dataset
from phase_lib.elm.restart import restart_header
from phase_lib.forcing.reduce import reduce_forcing
from phase_lib.landmodel.domain import Domain, Segment
from phase_lib.landmodel.embedded import segment as embedded
from phase_lib.landmodel.embedded.environment import compute_environment
from phase_lib.landmodel.embedded.inputs import RunInputs, read_run_inputs
from phase_lib.landmodel.embedded.model import EmbeddedModel, Protocol
from phase_lib.landmodel.embedded.restart import read_restart, write_restart
from phase_lib.landmodel.embedded.settings import EmbeddedSettings
from phase_lib.landmodel.embedded.site import Site
from phase_lib.landmodel.embedded.state import cold_snapshot, from_state, to_state
from tests.cime.double.scripts import faults
from tests.cime.double.scripts.namelists import parse_namelist, stream_files, text_value
from tests.cime.double.tapes import SEEN, Sample, Tape, layered_names, name_history

#: Components with a pointer to their restart.
POINTERS = ("drv", "lnd", "atm")
HOURS_PER_YEAR = 24 * DAYS_PER_YEAR


class Abort(Exception):
    """The model stops; its words are in the logs."""


@dataclass(frozen=True)
class Logs:
    """The logs of a run; that of the whole model is this process's output."""

    lnd: Path
    cpl: Path

    def land(self, *lines: str) -> None:
        """Lines of ELM."""
        self._write(self.lnd, lines)

    def driver(self, *lines: str) -> None:
        """Lines of the driver."""
        self._write(self.cpl, lines)

    @staticmethod
    def _write(path: Path, lines: tuple[str, ...]) -> None:
        with path.open("a", encoding="utf-8") as file:
            file.writelines(f" {line}\n" for line in lines)

    def stop(self, *lines: str, file: str = "elm_driver.F90", number: int = 1000) -> NoReturn:
        """ELM's endrun: the reason in its own log, and no more than that it stopped in that of the model."""
        self.land(*lines, f"ENDRUN:ERROR in {file} at line {number}")
        _abort()


def _abort(reason: str = "Unknown error submitted to shr_abort_abort.") -> NoReturn:
    print(f" ERROR: {reason}", flush=True)
    print("MPI_ABORT was invoked on rank 0 in communicator MPI_COMM_WORLD\nwith errorcode 1001.", flush=True)
    raise Abort


def read_groups(path: Path) -> dict[str, list[str]]:
    """All settings of a namelist file, whatever their group."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return parse_namelist("\n".join(line for line in lines if not re.match(r"\s*([&!/])", line)))


class Namelists:
    """drv_in and lnd_in of a run."""

    def __init__(self, run: Path) -> None:
        self.driver, self.land = (read_groups(run / name) for name in ("drv_in", "lnd_in"))

    def text(self, name: str, default: str = "") -> str:
        """A text, or a number as text."""
        values = self.land.get(name) or self.driver.get(name) or [default]
        return text_value(values[0]).strip()

    def number(self, name: str, default: float) -> float:
        """A number; Fortran writes exponents with d as well."""
        return float(self.text(name, str(default)).lower().replace("d", "e"))

    def numbers(self, name: str) -> list[int]:
        """A list of whole numbers; single ones may be set by `name(n)`."""
        values = [int(value) for value in self.land.get(name, [])]
        for key, (value, *_) in self.land.items():
            if match := re.fullmatch(rf"{name}\((\d+)\)", key):
                place = int(match[1])
                values += [0] * (place - len(values))
                values[place - 1] = int(value)
        return values

    def texts(self, name: str) -> list[str]:
        """A list of texts."""
        return [text_value(value).strip() for value in self.land.get(name, [])]


class Run:
    """A run from its start to its stop.

    Attributes:
        year: model year at whose start the model stands.
    """

    def __init__(self, directory: Path, program: Path, source: Path, began: float) -> None:
        self.directory = directory
        self.program = program
        self.source = source
        self.began = began
        self.names = Namelists(directory)
        self.case = self.names.text("case_name")
        logs = (read_groups(directory / f"{part}_modelio.nml")["logfile"][0] for part in ("lnd", "cpl"))
        self.logs = Logs(*(directory / text_value(name) for name in logs))
        self.continues = self.names.text("start_type") == "continue"
        self.start_ymd = int(self.names.text("start_ymd"))

    # --- faults ---------------------------------------------------------------------------------

    def fault(self, name: str, year: int) -> bool:
        """Whether a fault is due in a model year; it is counted."""
        entry = faults.due(self.source, name, self.case)
        if entry is None or entry.get("year", year) != year:
            return False
        faults.count_down(self.source, name, self.case)
        return True

    def die(self) -> NoReturn:
        """The job runs out of time: its processes are killed."""
        os.kill(int(os.environ.get("CASE_RUN_PROCESS", os.getppid())), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError

    # --- start ----------------------------------------------------------------------------------

    def run(self) -> None:
        """Runs the model."""
        self.logs.driver("(seq_comm_setcomm)  initialize", f"(seq_infodata) case name = {self.case}")
        finidat = self._start()
        mode = int(self.names.text("spinup_state", "0"))
        factor = self.names.number("spinup_mortality_factor", 1.0)
        carbon_only = int(self.names.number("nyears_ad_carbon_only", 0))
        self._announce(finidat, mode, factor, carbon_only)
        supplied = self.names.text("suplphos") == "ALL"
        if supplied != bool(mode):
            words = f"suplphos = '{self.names.text('suplphos')}' with spinup_state = {mode}"
            self.logs.stop(f"the stand-in for ELM does not model {words}", file="controlMod.F90")
        spinup = SpinupSettings(nyears_ad_carbon_only=carbon_only, spinup_mortality_factor=factor)
        settings = EmbeddedSettings.model_validate_json((self.source / "embedded.json").read_text())
        domain = self._domain(settings)
        try:
            inputs = read_run_inputs(domain)
            snapshot = (
                cold_snapshot(inputs.site) if finidat is None else self._read(finidat, inputs, mode, factor)
            )
        except InputError as error:
            self.logs.stop(str(error), file="restFileMod.F90", number=900)
        self.logs.land("Successfully initialized the land model")
        self.inputs, self.spinup, self.mode, self.domain = inputs, spinup, mode, domain
        Integration(self, settings, snapshot).run()

    def _start(self) -> Path | None:
        """The restart from which the run starts; its year."""
        if not self.continues:
            if self.start_ymd % 10000 != 101:
                self.logs.stop("the stand-in for ELM starts on the first of January")
            self.year = self.first_year = self.start_ymd // 10000
            name = self.names.text("finidat")
            if not name:
                return None
            path = self.directory / name
            self.logs.land("(GETFIL): attempting to find local file " + path.name)
            if not path.is_file():
                self.logs.land(f"(GETFIL): failed getting file from full path: {name}")
                self.logs.stop(f"GETFIL: FAILED to get {name}", file="fileutils.F90", number=101)
            return path
        self._restore_pointers()
        drv = self.directory / "rpointer.drv"
        lines = drv.read_text(encoding="utf-8").splitlines() if drv.is_file() else []
        if not lines:
            _abort("(seq_infodata_Init) rpointer file read returns an error condition")
        match = re.search(r"\.cpl\.r\.(\d{4})-(\d\d)-(\d\d)-00000\.nc", lines[0])
        if not match or not (self.directory / lines[0].strip()).is_file():
            _abort(f"(seq_io) file {lines[0].strip()} cannot be opened")
        if (match[2], match[3]) != ("01", "01"):
            self.logs.stop("the stand-in for ELM goes on from the first of January only")
        self.year = int(match[1])
        with netCDF4.Dataset(self.directory / lines[0].strip()) as dataset:
            self.first_year = int(dataset["seq_timemgr_start_ymd"][...]) // 10000
        for name in ("lnd", "atm"):
            pointer = self.directory / f"rpointer.{name}"
            if not pointer.is_file() or not pointer.read_text(encoding="utf-8").strip():
                pointer.touch()  # Fortran's open makes it
                print(
                    f"At line 900 of file {name}_comp_mct.F90\nFortran runtime error: End of file", flush=True
                )
                raise Abort
        lnd = (self.directory / "rpointer.lnd").read_text(encoding="utf-8").strip()
        atm = (self.directory / "rpointer.atm").read_text(encoding="utf-8").split()
        for member in (lnd, atm[-1]):
            if not (self.directory / member).is_file():
                self.logs.stop(f"GETFIL: FAILED to get {member}", file="fileutils.F90", number=101)
        if f".{self.year:04d}-01-01-" not in lnd:
            self.logs.stop(
                f"lnd_run_mct:: ELM clock not in sync with Master Sync clock: {lnd}", file="lnd_comp_mct.F90"
            )
        return self.directory / lnd

    def _restore_pointers(self) -> None:
        """Where a run died while it wrote its restarts, the set before counts."""
        previous = [name for name in POINTERS if (self.directory / f"rpointer.{name}.prev").is_file()]
        if not previous:
            return
        for name in POINTERS:
            if (self.directory / f"rpointer.{name}").is_file() and name not in previous:
                what = "has an rpointer.x file with no corresponding rpointer.x.prev file"
                self.logs.driver(f"rpointer> ERROR: {name} {what}")
                lacks = (
                    "rpointer.x.prev files exist but rpointer.y has no corresponding rpointer.y.prev file."
                )
                _abort(f"rpointer_prepare_restart: {lacks}")
        for name in previous:
            (self.directory / f"rpointer.{name}.prev").replace(self.directory / f"rpointer.{name}")

    def _announce(self, finidat: Path | None, mode: int, factor: float, carbon_only: int) -> None:
        kind = (
            ""
            if self.continues
            else ("initial data created by model" if finidat is None else f"initial data   = {finidat}")
        )
        self.logs.land("Attempting to initialize the land model .....", *([f"  {kind}"] if kind else []))
        self.logs.land(f"  spinup_state, (0 = normal mode; 1 = AD spinup)         : {mode:12d}")
        if mode:
            self.logs.land("  model is currently in AD spinup mode.")
            self.logs.land(f"  nyears in carbon only mode = {carbon_only:12d}")
            self.logs.land(f"  dead wood mortality acceleration = {factor:20.14f}")
        else:
            self.logs.land("  model is currently NOT in AD spinup mode.")

    def _read(self, path: Path, inputs: RunInputs, mode: int, factor: float) -> Any:
        self.logs.land(f"Reading initial conditions from {path}")
        with open_dataset(path) as dataset:
            written = restart_header(path, dataset).spinup_state
        changes = written is not None and written != mode
        if changes and self.continues:
            self.logs.stop(
                "Error in entering/exiting spinup - should occur only when nstep = 1",
                file="ColumnDataType.F90",
            )
        if changes:
            words = "out of" if written else "into"
            for kind in ("col_cs_restart", "NitrogenStateType Restart", "NitrogenStateType Restart"):
                self.logs.land(f"{kind}: taking SOM pools {words} AD spinup mode")
            for _ in range(2):
                self.logs.land(f"veg_cs_restart: taking deadwood pools {words} AD spinup mode")
            self.logs.land(f"Phosphorus State Restart: taking pools {words} AD spinup mode")
        return read_restart(path, inputs, spinup_state=mode, mortality_factor=factor)

    # --- files ----------------------------------------------------------------------------------

    def _domain(self, settings: EmbeddedSettings) -> Domain:
        paths = {}
        roles = {
            "domain": "fatmlndfrc",
            "surface": "fsurdat",
            "params": "paramfile",
            "soil_params": "fsoilordercon",
        }
        for role, name in roles.items():
            paths[role] = Path(self.names.text(name))
            self.logs.land(f"(GETFIL): attempting to find local file {paths[role].name}")
            if not paths[role].is_file():
                self.logs.stop(f"GETFIL: FAILED to get {paths[role]}", file="fileutils.F90", number=101)
        monthly = self._forcing(paths["domain"], settings)
        with netCDF4.Dataset(monthly) as dataset:
            cycle = int(dataset.years)
        return Domain(cycle=cycle, monthly=(monthly,), **paths)

    def _forcing(self, domain: Path, settings: EmbeddedSettings) -> Path:
        """Monthly means of the streams on the land cells; an executable makes them once."""
        streams = read_groups(self.directory / "datm_in")["streams"]
        files: list[str] = []
        years = set()
        for line in streams:
            name, align, first, last = text_value(line).split()
            if ".presaero." in name or ".topo." in name:
                continue
            years.add((int(align), int(first), int(last)))
            _, data = stream_files((self.directory / name).read_text(encoding="utf-8"))
            files += data
        if len(years) != 1:
            _abort(f"the stand-in for DATM has one cycle for all streams, not {sorted(years)}")
        ((align, first, last),) = years
        for file in files:
            if not os.path.exists(file):
                print(f" (shr_stream_readtCoord) ERROR: file not found {file}", flush=True)
                _abort("shr_stream_readTCoord: LVD not found, file missing")
        described = json.dumps([files, align, first, last, str(domain), settings.forcing_limit_km])
        stamps = [os.stat(file).st_mtime_ns for file in (*files, domain)]
        key = hashlib.sha256(f"{described}{stamps}".encode()).hexdigest()[:16]
        path = self.program.parent / f"monthly.{key}.nc"
        if not path.is_file():
            years_of_cycle = {"first_year": first, "years": last - first + 1, "align_year": align}
            limit = settings.forcing_limit_km
            reduce_forcing(
                files, read_domain(domain), path, limit_km=limit, product="streams", **years_of_cycle
            )
        return path


class Integration:
    """The years of a run, its history and restarts."""

    def __init__(self, run: Run, settings: EmbeddedSettings, snapshot: Any) -> None:
        self.run_, self.names, self.logs = run, run.names, run.logs
        self.inputs, self.snapshot = run.inputs, snapshot
        mode = "ad" if run.mode else "normal"
        self.segment = Segment(run.case, mode, run.first_year, 1, None, run.domain, run.directory, run.spinup)
        protocol = Protocol(mode, run.spinup.nyears_ad_carbon_only, run.spinup.spinup_mortality_factor)
        count = -(-self.inputs.domain.ncells // embedded.BLOCK_CELLS)
        edges = np.linspace(0, self.inputs.domain.ncells, count + 1).round().astype(int).tolist()
        torch.set_num_threads(1)
        self.blocks = []
        co2 = self.names.number("co2_ppmv", settings.co2_ppm)
        for start, stop in pairwise(edges):
            cells = slice(start, stop)
            site = Site(self.inputs.site.select(cells), torch.device(settings.device))
            values = {name: array[:, cells] for name, array in self.inputs.forcing.values.items()}
            environment = compute_environment(site, replace(self.inputs.forcing, values=values), co2)
            state = to_state({name: array[cells] for name, array in snapshot.items()}, site)
            numbers = list(range(start + 1, stop + 1))
            try:
                self.blocks.append((cells, EmbeddedModel(site, environment, state, protocol, numbers)))
            except ModelAbort as error:
                self.logs.stop(str(error), file="restFileMod.F90", number=950)

    @property
    def year(self) -> int:
        """Model year at whose start the model stands."""
        return self.run_.year

    def run(self) -> None:
        """Years up to the stop, with restarts where their alarm rings."""
        stop = self._years("stop")
        interval = self._years("restart")
        tapes = self._tapes()
        first = self.year
        if not self.run_.continues:
            for tape in tapes:
                tape.write_first(self._state_sample())
        if stop is not None and stop < 1:
            self._stay(tapes, stop)
            return
        end = first + int(stop) if stop is not None else 10**6
        if stop is not None and stop != int(stop):
            self.logs.stop("the stand-in for ELM stops on the first of January")
        forced = False
        while self.year < end:
            self._year()
            for tape in tapes:
                tape.add(self.year, self.sample)
            if not forced and self._out_of_time():
                # The driver stops at the next first of January after it saw that.
                forced, end = True, min(end, self.year + 1)
            last = self.year == end
            rings = (
                interval is not None
                and interval >= 1
                and (self.year - self.run_.first_year) % int(interval) == 0
            )
            if rings or (last and (forced or self.names.text("end_restart") == ".true.")):
                self._restart(tapes)
        self._end(tapes, (self.year - first), self.year * 10000 + 101)

    def _years(self, alarm: str) -> float | None:
        """Interval of an alarm in years; None where it never rings."""
        option, number = self.names.text(f"{alarm}_option"), self.names.number(f"{alarm}_n", -999)
        units = {
            "nyear": 1.0,
            "nmonth": 1.0 / 12.0,
            "nday": 1.0 / DAYS_PER_YEAR,
            "nhour": 1.0 / HOURS_PER_YEAR,
        }
        unit = units.get(option.rstrip("s"))
        return None if unit is None else number * unit

    def _tapes(self) -> list[Tape]:
        try:
            if self.run_.continues:
                return Tape.read_all(self.run_.directory, self.run_.case, self.year, self.inputs)
            return Tape.from_namelist(
                self.names, self.run_.directory, self.run_.case, self.run_.first_year, self.inputs
            )
        except InputError as error:
            self.logs.stop(str(error), file="histFileMod.F90", number=670)

    def _year(self) -> None:
        year = self.year
        if self.run_.fault("abort", year):
            self.logs.stop("urban net radiation balance error", file="UrbanRadiationMod.F90", number=402)
        if self.run_.fault("balance", year):
            self.logs.land(
                "column cbalance error =   -2.34E-005          17", "Latdeg,Londeg         =    60.0   25.0"
            )
            self.logs.stop(
                "begcb                 =   12345.6", file="EcosystemBalanceCheckMod.F90", number=330
            )
        if self.run_.fault("kill", year):
            self.run_.die()
        parts = []
        for _, model in self.blocks:
            model.reset_means()
            try:
                model.run_year(year)
            except ModelAbort as error:
                kind = "pbalance" if error.args[0].startswith("P") else "cbalance"
                self.logs.stop(
                    f"column {kind} error = {error}", file="EcosystemBalanceCheckMod.F90", number=330
                )
            fields = embedded._annual_fields(model, year)
            layers = dict(zip(embedded.LAYERED, _by_name(model.soil_mean), strict=True))
            layers |= {
                name: flux.cpu().numpy() / SECONDS_PER_YEAR for name, flux in model.soil_fluxes().items()
            }
            parts.append((fields, layers))
        fields, layers = (_joined([part[kind] for part in parts]) for kind in (0, 1))
        self.sample = Sample(fields | self._seen(year), layers, self._state())
        self.run_.year = year + 1
        self.logs.land(f"Beginning timestep   : {self.year:04d}-01-01_00:00:00")

    def _seen(self, year: int) -> dict[str, np.ndarray]:
        """Annual means of what the model was driven with."""
        forcing = self.inputs.forcing
        first = 12 * ((year - 1) % forcing.years)
        days = np.array(DAYS_PER_MONTH)[:, None] / DAYS_PER_YEAR
        return {
            name: (forcing.values[variable][first : first + 12] * days).sum(axis=0)
            for name, (_, variable) in SEEN.items()
        }

    def _state(self) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Stocks as they are now: columns and layers."""
        parts = []
        for _, model in self.blocks:
            stocks = {name: stock(model).cpu().numpy() for name, stock in embedded_stocks().items()}
            names = ("TOTVEGC", "TOTLITC", "TOTSOMC", "CWDC")
            stocks["TOTECOSYSC"] = np.sum([stocks[name] for name in names], axis=0)
            stocks["TLAI"] = _leaf_area(model)
            parts.append((stocks, dict(zip(embedded.LAYERED, _by_name(model.state.soil), strict=True))))
        columns, layers = (_joined([part[kind] for part in parts]) for kind in (0, 1))
        return columns, layers

    def _state_sample(self) -> Sample:
        """What a sample at step 0 holds: the stocks as they are, and no fluxes."""
        stocks, layers = self._state()
        cells = self.inputs.domain.ncells
        columns = {name: np.zeros(cells) for name in (*embedded.FIELDS, *SEEN)} | stocks
        zeros = {name: np.zeros((10, cells)) for name in layered_names()}
        return Sample(columns, zeros | layers, (stocks, layers))

    def _stay(self, tapes: list[Tape], years: float) -> None:
        """A run of some days: long enough to see the state as it was read, which does not change."""
        hours = round(years * HOURS_PER_YEAR)
        for tape in tapes:
            tape.write_hours(hours, self._state_sample())
        days = hours // 24
        self._end(tapes, years, self.year * 10000 + 101 + days if days < 31 else self.year * 10000 + 101)

    def _out_of_time(self) -> bool:
        limit = self.names.number("wall_time_limit", -1.0)
        if limit <= 0.0:
            return False
        hours = (time.time() - self.run_.began) / 3600.0
        reached = hours > limit or self.run_.fault("early_stop", self.year)
        if reached:
            if self.names.text("force_stop_at") != "year":
                self.logs.stop("the stand-in for the driver stops at force_stop_at = 'year' only")
            stop = (self.year + 1) * 10000 + 101
            self.logs.driver(
                f"(cime_run)  reached wall_time_limit (hours) ={limit:10.2f} :stop at {stop:08d}"
            )
        return reached

    # --- restarts -------------------------------------------------------------------------------

    def _restart(self, tapes: list[Tape]) -> None:
        run, case, directory = self.run_, self.run_.case, self.run_.directory
        date = f"{self.year:04d}-01-01-00000"
        for name in POINTERS:
            pointer = directory / f"rpointer.{name}"
            if pointer.is_file():
                (directory / f"rpointer.{name}.prev").write_text(pointer.read_text())
        snapshots, physics = [], []
        for cells, model in self.blocks:
            base = {name: array[cells] for name, array in self.snapshot.items()}
            snapshots.append(from_state(model.state, model.site, base))
            physics.append(embedded._physics(model.env, self.year))
        whole = replace(self.segment, years=self.year - run.first_year)
        write_restart(whole, _first_axis(snapshots), _first_axis(physics), self.inputs)
        path = whole.restart
        with netCDF4.Dataset(path, "r+") as dataset:
            name_history(dataset, tapes, date)
        (directory / "rpointer.lnd").write_text(f"./{path.name}".ljust(256) + "\n")
        if run.fault("kill_in_restart", self.year):
            _truncate(path)
            run.die()
        for tape in tapes:
            tape.write_restart(date)
        if run.fault("truncated_restart", self.year):
            _truncate(path)
        (directory / f"{case}.datm.rs1.{date}.bin").write_bytes(b"streams")
        both = (f"{case}.datm.r.{date}.nc", f"{case}.datm.rs1.{date}.bin")
        (directory / "rpointer.atm").write_text("".join(f"{name.ljust(256)}\n" for name in both))
        with netCDF4.Dataset(
            directory / f"{case}.cpl.r.{date}.nc", "w", format="NETCDF3_64BIT_DATA"
        ) as dataset:
            for name, value in (("start_ymd", run.first_year), ("curr_ymd", self.year)):
                dataset.createVariable(f"seq_timemgr_{name}", "i4", ())[...] = value * 10000 + 101
        (directory / "rpointer.drv").write_text(f"{case}.cpl.r.{date}.nc".ljust(256) + "\n")
        for name in POINTERS:
            (directory / f"rpointer.{name}.prev").unlink(missing_ok=True)
        self.logs.land(f"(OPNFIL): Successfully wrote local restart file {path.name}")

    def _end(self, tapes: list[Tape], years: float, ymd: int) -> None:
        run = self.run_
        timing = run.directory / "timing"
        timing.mkdir(exist_ok=True)
        seconds = time.time() - run.began
        (timing / "seconds").write_text(f"{0.1:.3f} {max(seconds, 1e-3):.3f} {years:.6f}\n")
        frame = "(seq_mct_drv): =============== "
        self.logs.driver(
            "", f"{frame}{'SUCCESSFUL TERMINATION OF CPL7-MCT in e3sm':>44s} ===============",
            f"{frame}{'  at YMD,TOD = ':>20s}  {ymd:08d}{0:8d}       ===============",
            f"{frame}{'# simulated days (this run) = ':>31s}{years * DAYS_PER_YEAR:12.3f}  ===============",
        )  # fmt: skip
        pointer = run.directory / "rpointer.lnd"
        if run.fault("no_rpointer", self.year):
            pointer.unlink()
        if run.fault("empty_rpointer", self.year):
            pointer.write_text("")


def embedded_stocks() -> Any:
    """Stocks of the embedded model by history name."""
    from phase_lib.landmodel.embedded import model

    return model._STOCK_MEANS


def _leaf_area(model: EmbeddedModel) -> np.ndarray:
    from phase_lib.landmodel.embedded.state import DISPLAY, LEAF, C
    from phase_lib.landmodel.embedded.vegetation import leaf_area

    leafc = model.state.organs[C, LEAF, DISPLAY]
    area = leaf_area(leafc, model.site.p["slatop"], model.site.p["dsladlai"])
    return model._column(area).cpu().numpy()


def _by_name(soil: torch.Tensor) -> np.ndarray:
    contents = soil.cpu().numpy()
    return contents.reshape(-1, *contents.shape[2:])


def _joined(parts: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([part[name] for part in parts], axis=-1) for name in parts[0]}


def _first_axis(parts: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def main(program: str, source: str) -> int:
    """Runs the model in the present directory.

    Args:
        program: the executable.
        source: the checkout.
    """
    try:
        Run(Path.cwd(), Path(program), Path(source), time.time()).run()
    except Abort:
        return 233
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
