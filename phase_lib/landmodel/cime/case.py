"""One CIME case: a function for each command of its directory, its XML, its namelists and its lock."""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from phase_lib.base.errors import InputError, ModelAbort
from phase_lib.base.progress import LOGGER
from phase_lib.elm.namelist import read_lists
from phase_lib.landmodel.cime.settings import Layout

#: The file whose lock the process at work in a case holds.
_LOCK = ".phase.lock"
#: What the last command printed that ran for long: of a build, of the model.
PRINTED = "phase.out"
#: Option of `case.setup`, which older versions of CIME do not have.
_WITHOUT_GIT = "--disable-git"
#: A line of `xmlquery` with several names.
_PRINTED = re.compile(r"^\t(\w+): (.*)$", re.MULTILINE)
_NOTHING_MORE: Mapping[str, str] = MappingProxyType({})
Value = str | int | float | bool


@dataclass(frozen=True)
class Done:
    """What a command did: its exit status and what it printed on both streams."""

    status: int
    printed: str

    @property
    def error(self) -> str:
        """The line that says what went wrong: CIME's last `ERROR` line, else the last line."""
        lines = [line.strip() for line in self.printed.splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("ERROR")]
        return " ".join((errors or lines or ["it printed nothing"])[-1].removeprefix("ERROR:").split())


def command(
    words: Sequence[str | Path],
    directory: Path,
    keep: tuple[int, ...] = (),
    environment: Mapping[str, str] = _NOTHING_MORE,
) -> Done:
    """Runs a command to its end.

    Args:
        words: the command.
        directory: where it runs.
        keep: open files that it inherits.
        environment: variables beside those of this process.

    Raises:
        InputError: there is no such command.
    """
    LOGGER.debug("%s: %s", directory, " ".join(map(str, words)))
    try:
        done = subprocess.run(
            [str(word) for word in words],
            cwd=directory,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
            pass_fds=keep,
        )
    except OSError as error:
        what = f"cannot be run ({error.strerror})"
        remedy = "check cime.source, and that all its submodules are there"
        raise InputError(words[0], what, expected="a command of CIME", remedy=remedy) from error
    return Done(done.returncode, done.stdout)


@dataclass(frozen=True)
class Case:
    """A case directory."""

    directory: Path

    @property
    def name(self) -> str:
        """CIME's name of the case, with which its files begin."""
        return self.directory.name

    def call(
        self, *words: str, keep: tuple[int, ...] = (), environment: Mapping[str, str] = _NOTHING_MORE
    ) -> Done:
        """Runs a command of the case directory, and returns what it did, good or bad."""
        return command([self.directory / words[0], *words[1:]], self.directory, keep, environment)

    def do(self, *words: str, remedy: str = "") -> str:
        """Runs a command that has to succeed; what it printed.

        Raises:
            InputError: it failed, with CIME's own reason.
        """
        done = self.call(*words)
        if done.status:
            raise self._refusal(words, done, remedy)
        return done.printed

    def _refusal(self, words: Sequence[str], done: Done, remedy: str = "") -> InputError:
        return InputError(self.directory, f"{' '.join(words)}: {done.error}", remedy=remedy)

    def query(self, name: str, subgroup: str = "") -> str:
        """A variable of the case; of a list of values that of a component or job."""
        return self.do("./xmlquery", name, *(("--subgroup", subgroup) if subgroup else ()), "--value").strip()

    def values(self, names: Sequence[str], subgroup: str = "") -> dict[str, str]:
        """Variables as they stand, references to others unresolved; without those that differ between groups.

        Raises:
            InputError: the case does not have one of them.
        """
        options = ["--no-resolve", *(("--subgroup", subgroup) if subgroup else ())]
        done = self.call("./xmlquery", ",".join(names), *options)
        if done.status:
            for name in names:
                if (alone := self.call("./xmlquery", name, *options)).status:
                    remedy = "remove it from cime.xmlchange, or choose another compset or driver"
                    raise InputError(self.directory, f"{name}: {alone.error}", remedy=remedy)
        there: dict[str, set[str]] = {}
        for name, value in _PRINTED.findall(done.printed):
            there.setdefault(name, set()).add(value)
        return {name: min(several) for name, several in there.items() if len(several) == 1}

    def change(self, values: Mapping[str, Value], subgroup: str = "") -> None:
        """Sets variables that have other values, one by one; nothing is written where a name is unknown.

        Those of a job are set in any case: CIME notes that they were asked for, and else chooses them anew.

        Raises:
            InputError: a name is unknown, or a value is refused.
        """
        if not values:
            return
        there = self.values(list(values), subgroup)
        for name, value in values.items():
            if subgroup or there.get(name) != _as_xml(value):
                words = ("--id", name, "--val", _as_xml(value))
                self.do("./xmlchange", *words, *(("--subgroup", subgroup) if subgroup else ()))

    @property
    def layout(self) -> Layout:
        """Tasks and nodes of a run of the case, as it is set up."""
        printed = self.do("./xmlquery", "TOTAL_TASKS,THREAD_COUNT,NUM_NODES")
        values = dict(re.findall(r"(\w+): (\d+)", printed))
        return Layout(*(int(values[name]) for name in ("TOTAL_TASKS", "THREAD_COUNT", "NUM_NODES")))

    def set_up(self, *, again: bool = False) -> None:
        """Makes the scripts of the case; no repository of git, where CIME can leave it out.

        Args:
            again: after a change of the layout.

        Raises:
            InputError: CIME refuses it.
        """
        words = ["./case.setup", *(["--reset"] if again else [])]
        done = self.call(*words, _WITHOUT_GIT)
        if done.status and f"unrecognized arguments: {_WITHOUT_GIT}" in done.printed:
            self.do(*words)
        elif done.status:
            raise self._refusal(words, done)

    def path(self, name: str) -> Path:
        """A variable that is a path."""
        return Path(self.query(name))

    def user_lines(self, component: str) -> list[str]:
        """Lines of a `user_nl` file; none where there is no such file."""
        file = self.directory / f"user_nl_{component}"
        return file.read_text(encoding="utf-8").splitlines() if file.is_file() else []

    def write_user_lines(self, component: str, lines: Sequence[str]) -> None:
        """Replaces a `user_nl` file."""
        file = self.directory / f"user_nl_{component}"
        file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")

    def namelist(self, name: str) -> dict[str, list[str]]:
        """Lists of values of a generated namelist, of all its groups, by name in lower case.

        Raises:
            InputError: it was not generated.
        """
        path = self.directory / "CaseDocs" / name
        if not path.is_file():
            remedy = "run ./preview_namelists in the case"
            raise InputError(
                path, "does not exist", expected="the namelist that the model reads", remedy=remedy
            )
        return {key: value for group in read_lists(path).values() for key, value in group.items()}

    @contextmanager
    def locked(self) -> Iterator[int]:
        """Keeps every other process of this software out of the case; yields the open lock.

        `.case.run`, which inherits the lock, holds it until its own end, also where this process is killed;
        CIME does not pass it on to the model.

        Raises:
            InputError: another process is at work in the case, or the file system has no locks.
        """
        file = self.directory / _LOCK
        handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                who = os.pread(handle, 200, 0).decode("utf-8", "replace").strip()
                what = f"another process is at work in this case ({who})"
                raise InputError(file, what, remedy="wait until it has ended, or end it") from error
            except OSError as error:
                what, expected = f"cannot be locked ({error.strerror})", "a file system with flock"
                remedy = "have it mounted with locks (Lustre: flock), or set run.results_dir to another one"
                raise InputError(file, what, expected=expected, remedy=remedy) from error
            os.truncate(handle, 0)
            os.pwrite(handle, f"process {os.getpid()} on {os.uname().nodename}\n".encode(), 0)
            yield handle
        finally:
            os.close(handle)

    def build(self) -> None:
        """Builds the executable; a build that failed before goes on where it was.

        Raises:
            ModelAbort: it failed; the message has the reason and the log.
        """
        self.change({"BUILD_STATUS": 0})
        done = self.call("./case.build")
        (self.directory / PRINTED).write_text(done.printed, encoding="utf-8")
        if done.status or self.query("BUILD_COMPLETE") != "TRUE":
            raise ModelAbort(f"{self.directory}: case.build: {done.error}{_compiler_says(done.error)}")


def _as_xml(value: Value) -> str:
    return ("TRUE" if value else "FALSE") if isinstance(value, bool) else str(value)


def _compiler_says(error: str) -> str:
    """The first error in the build log that CIME names."""
    match = re.search(r"cat (\S+)", error)
    log = Path(match.group(1)) if match else None
    if log is None or not log.is_file():
        return ""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    faults = [" ".join(line.split()) for line in lines if re.search(r"\b(error|fatal)\b", line, re.I)]
    return f": {faults[0][:300]}" if faults else ""
