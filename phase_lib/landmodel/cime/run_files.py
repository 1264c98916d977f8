"""Files of a case outside its directory: restarts, pointers to them, history and logs.

They lie in the run directory; what CIME's short-term archiver moved away is found where it put it.
"""

from __future__ import annotations

import gzip
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from netCDF4 import chartostring

from phase_lib.base.errors import InputError, ModelAbort
from phase_lib.base.files import refused_as_input, writing
from phase_lib.elm.calendar import MONTH_STARTS
from phase_lib.elm.constants import DAYS_PER_YEAR
from phase_lib.elm.netcdf import open_dataset
from phase_lib.elm.restart import restart_header

_RESTART = re.compile(r"\.elm\.r\.(\d{4,})-(\d\d)-(\d\d)-00000\.nc$")
_REACHED = re.compile(r"YMD,TOD\s*=\s*(\d+)\s+(\d+)")
#: Variable of a restart that names the restarts of its history tapes.
_HISTORY = "locfnhr"
#: End of a pointer that stays while a set of restarts is being written.
_BEFORE = ".prev"
#: Lines at the end of the coupler's log that say how it ended.
_TAIL = 400
#: Directory of logs of earlier starts.
_EARLIER = "earlier_logs"
SUCCESS, TIME_IS_UP = "SUCCESSFUL TERMINATION", "reached wall_time_limit"


@dataclass(frozen=True, order=True)
class Date:
    """A date on the model's clock, at midnight."""

    year: int
    month: int = 1
    day: int = 1

    @classmethod
    def of_number(cls, ymd: int) -> Date:
        """From YYYYMMDD."""
        return cls(ymd // 10000, ymd // 100 % 100, ymd % 100)

    @property
    def days(self) -> int:
        """Days since the start of the year 0, noleap."""
        return DAYS_PER_YEAR * self.year + int(MONTH_STARTS[self.month - 1]) + self.day - 1

    @property
    def starts_year(self) -> bool:
        """True on the first of January."""
        return (self.month, self.day) == (1, 1)

    def __str__(self) -> str:
        return f"{self.year:04d}-{self.month:02d}-{self.day:02d}"


@dataclass(frozen=True)
class RestartSet:
    """Files from which a run continues.

    Attributes:
        date: of all of them.
        restart: the land model's.
        files: those of the coupler and the other components, and of open history intervals.
        pointers: text files that name them, without those of a set half written.
    """

    date: Date
    restart: Path
    files: tuple[Path, ...]
    pointers: tuple[Path, ...]


@dataclass(frozen=True)
class RunFiles:
    """Files of a case.

    Attributes:
        case: its name.
        run: its run directory.
        archive: `DOUT_S_ROOT`.
    """

    case: str
    run: Path
    archive: Path

    def clear(self) -> None:
        """Removes what an earlier start left in the run directory, and puts its logs aside."""
        for path in self._own():
            path.unlink()
        shutil.rmtree(self.archive, ignore_errors=True)
        for path in self.run.glob("*.log.*"):
            (self.run / _EARLIER).mkdir(exist_ok=True)
            path.replace(self.run / _EARLIER / path.name)

    def _own(self) -> Iterator[Path]:
        if self.run.is_dir():
            for path in sorted(self.run.iterdir()):
                of_case = path.name.startswith(f"{self.case}.") and ".log." not in path.name
                if (of_case or path.name.startswith("rpointer.")) and not path.is_dir():
                    yield path

    def _restarts(self) -> Iterator[tuple[Path, str]]:
        """Restarts of all components in the run directory, with their dates."""
        stamp = re.compile(rf"^{re.escape(self.case)}\.\w+\.r[hs]?\d*\.(\d{{4,}}-\d\d-\d\d)-00000\.")
        for path in self._own():
            if match := stamp.match(path.name):
                yield path, match[1]

    def free(self, last: RestartSet) -> None:
        """Removes restarts of other dates, which nothing goes on from when a segment has ended."""
        for path, dated in self._restarts():
            if dated != str(last.date):
                path.unlink()

    def history(self) -> list[Path]:
        """All history of the land model, each file once."""
        pattern = f"{self.case}.elm.h*.nc"
        archived = {path.name: path for path in self.archive.glob(f"lnd/hist/{pattern}")}
        return list((archived | {path.name: path for path in self.run.glob(pattern)}).values())

    def log(self, component: str) -> Path | None:
        """The newest log of a component (`cpl`, `lnd`, `e3sm`), of a good run compressed."""
        places = (self.run, self.archive / "logs")
        logs = [path for place in places for path in place.glob(f"{component}.log.*")]
        return max(logs, key=lambda path: (path.stat().st_mtime_ns, path.name), default=None)

    def logs(self, component: str) -> list[Path]:
        """All logs of a component."""
        return [p for place in (self.run, self.archive / "logs") for p in place.glob(f"{component}.log.*")]

    def date_in_log(self) -> Date | None:
        """The date that the newest run reached, by the coupler's log; None where it did not end well."""
        log = self.log("cpl")
        lines = [] if log is None else lines_of(log)[-_TAIL:]
        if not any(SUCCESS in line for line in lines):
            return None
        dates = [match for line in lines if (match := _REACHED.search(line))]
        return Date.of_number(int(dates[-1].group(1))) if dates else None

    def restart_set(self) -> RestartSet:
        """The last complete set of restarts.

        While a set is being written the pointers to the one before it have other names; where a run was
        killed then, those count, and the model itself goes back to them.

        Raises:
            ModelAbort: there is none, a pointer is missing or empty, or a file it names is missing, cannot
                be read or is of another date, or a restart of the history that the restart names is missing.
        """
        pointers = {path.name: path for path in self.run.glob("rpointer.*")}
        before = {
            name.removesuffix(_BEFORE): path for name, path in pointers.items() if name.endswith(_BEFORE)
        }
        valid = {name: path for name, path in pointers.items() if not name.endswith(_BEFORE)} | before
        names: dict[str, list[str]] = {}
        for component in ("rpointer.drv", "rpointer.lnd", *sorted(valid)):
            pointer = valid.get(component, self.run / component)
            names[component] = _pointed(pointer)
        restart = self._named(names["rpointer.lnd"][0])
        match = _RESTART.search(restart.name)
        if match is None:
            raise ModelAbort(f"{self.run / 'rpointer.lnd'}: names {restart.name}, which is no restart of ELM")
        date = Date(*map(int, match.groups()))
        for name in (line for lines in names.values() for line in lines if ".datm.r." not in line):
            self._named(name)
        self._require_sound(restart, date)
        files = [path for path, dated in self._restarts() if dated == str(date) and path != restart]
        return RestartSet(date, restart, tuple(files), tuple(valid.values()))

    def _named(self, line: str) -> Path:
        name = Path(line).name
        places = [self.run / name, *self.archive.glob(f"rest/*/{name}")]
        path = next((path for path in places if path.is_file()), None)
        if path is None:
            raise ModelAbort(f"{self.run / name}: is missing, but a pointer of the run names it")
        return path

    def _require_sound(self, restart: Path, date: Date) -> None:
        try:
            with open_dataset(restart) as dataset:
                header = restart_header(restart, dataset)
                named = dataset.variables.get(_HISTORY)
                of_history: list[str] = [] if named is None else chartostring(named[:]).tolist()
        except InputError as error:
            raise ModelAbort(str(error)) from error
        if (header.year, header.month, header.day) != (date.year, date.month, date.day):
            raise ModelAbort(f"{restart}: holds the date {header.date}, not that of its name")
        for name in of_history:
            if name.strip():
                self._named(name.strip())


def _pointed(pointer: Path) -> list[str]:
    """The names in a pointer, which are padded with blanks."""
    try:
        lines = pointer.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError as error:
        raise ModelAbort(
            f"{pointer}: cannot be read ({error.strerror}); the run has no restart set"
        ) from error
    names = [line.strip() for line in lines if line.strip()]
    if not names:
        raise ModelAbort(f"{pointer}: is empty; the run has no restart set")
    return names


@contextmanager
def opened(log: Path) -> Iterator[IO[str]]:
    """A log, compressed or not."""
    if log.suffix == ".gz":
        with gzip.open(log, "rt", encoding="utf-8", errors="replace") as stream:
            yield stream
    else:
        with log.open(encoding="utf-8", errors="replace") as stream:
            yield stream


def lines_of(log: Path) -> list[str]:
    """The lines of a log."""
    with opened(log) as stream:
        return stream.read().splitlines()


def place(source: Path, target: Path) -> None:
    """Gives a file a second name, whole or not at all; a copy where the file system has no hard links.

    Raises:
        InputError: it cannot be written there.
    """
    with writing(target) as path:
        path.unlink()
        with refused_as_input(target):
            try:
                os.link(source.resolve(), path)
            except OSError:
                shutil.copyfile(source, path)
        with suppress(OSError):  # a file that is linked keeps its time, and Snakemake wants new ones
            os.utime(path)
