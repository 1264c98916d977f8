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
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import netCDF4

from phase_lib.base.errors import InputError
from phase_lib.base.files import header_hash
from phase_lib.config.spinup import SpinupSettings
from phase_lib.elm.domain import read_domain
from phase_lib.elm.netcdf import open_dataset
from phase_lib.elm.restart import restart_header
from phase_lib.forcing.reduce import reduce_forcing
from phase_lib.landmodel.domain import Domain
from phase_lib.landmodel.embedded.inputs import RunInputs, read_run_inputs
from phase_lib.landmodel.embedded.restart import read_restart
from phase_lib.landmodel.embedded.settings import EmbeddedSettings
from phase_lib.landmodel.embedded.state import cold_snapshot
from tests.cime.double.integration import POINTERS, Integration
from tests.cime.double.scripts import faults
from tests.cime.double.scripts.namelists import parse_namelist, stream_files, text_value

#: Monthly means of the forcing that exist already, in the checkout.
MONTHLY = "monthly.nc"


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
        days: since that start; a year that was begun keeps its first state, and is run as a whole later.
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

    @property
    def date(self) -> str:
        """Where the model stands."""
        return f"{self.year:04d}-01-{1 + self.days:02d}"

    # --- faults ---------------------------------------------------------------------------------

    def fault(self, name: str, year: int) -> bool:
        """Whether a fault is due in a model year; it is counted."""
        entry = faults.due(self.source, name, self.case)
        if entry is None or entry.get("year", year) != year:
            return False
        faults.count_down(self.source, name, self.case)
        return True

    def die(self, *, alone: bool = False) -> NoReturn:
        """The job runs out of time: its processes are killed; or the model alone is, as by a failed node."""
        if not alone:
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
            self.days = 0
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
        self.year = int(match[1])
        self.days = int(match[3]) - 1  # it stops early in January, if within a year
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
        if f".{self.date}-" not in lnd:
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
        """Monthly means of the streams on the land cells, made once by an executable where there are none."""
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
        years_of_cycle = {"first_year": first, "years": last - first + 1, "align_year": align}
        if self._are_in_checkout(files, years_of_cycle):
            return self.source / MONTHLY
        described = json.dumps([files, align, first, last, str(domain), settings.forcing_limit_km])
        stamps = [os.stat(file).st_mtime_ns for file in (*files, domain)]
        key = hashlib.sha256(f"{described}{stamps}".encode()).hexdigest()[:16]
        path = self.program.parent / f"monthly.{key}.nc"
        if not path.is_file():
            limit = settings.forcing_limit_km
            reduce_forcing(
                files, read_domain(domain), path, limit_km=limit, product="streams", **years_of_cycle
            )
        return path

    def _are_in_checkout(self, files: list[str], years: dict[str, int]) -> bool:
        """Whether the monthly means in the checkout are of these files and years."""
        path = self.source / MONTHLY
        if not path.is_file():
            return False
        with netCDF4.Dataset(path) as dataset:
            same = all(int(dataset.getncattr(name)) == number for name, number in years.items())
            return same and dataset.input_hash.split()[0] == header_hash(files)


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
