"""A case directory: its XML files, its status file, its locked files.

Each command is a process of its own: what few of them need is imported where it is needed.
"""

from __future__ import annotations

import os
import re
import sys
import time
import xml.etree.ElementTree as xml
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .variables import COMPONENTS, DERIVED, FILES, JOBS, REFERENCE, VARIABLES, component_of

if TYPE_CHECKING:
    import subprocess

_LINE = " ---------------------------------------------------"


class CaseError(Exception):
    """What ends a command with `ERROR: ...` on stderr and status 1."""


def expect(condition: object, message: str) -> None:
    """Stops the command unless a condition holds."""
    if not condition:
        raise CaseError(message)


class Case:
    """A case with its variables; `flush` writes them.

    A value is kept under a key: its name, `NAME_LND` of a component, or `NAME@case.run` of a job.
    """

    def __init__(self, root: str | Path = ".") -> None:
        self.root = Path(root).resolve()
        expect(
            (self.root / "env_case.xml").is_file(),
            f"Directory {self.root} does not appear to be a valid case directory",
        )
        self.read()
        from .machines import machine_of  # which needs this module

        machine_of(self)

    def read(self) -> None:
        """Reads all files again, as CIME does after the model has run."""
        self.values: dict[str, str] = {}
        for file in FILES:
            self.values |= read_file(self.root / f"{file}.xml")

    def flush(self) -> None:
        """Writes all files whose content differs."""
        for file in FILES:
            text = as_xml(file, self.values)
            path = self.root / f"{file}.xml"
            if not path.is_file() or path.read_text(encoding="utf-8") != text:
                path.write_text(text, encoding="utf-8")

    # --- values ---------------------------------------------------------------------------------

    def raw(self, name: str, group: str = "") -> str:
        """A value as it stands in its file."""
        stem, component = component_of(name)
        component = component or (group if group in COMPONENTS else "LND")
        variable = VARIABLES[stem]
        if variable.type == "component":
            return self.values[f"{stem}_{component}"]
        if variable.group == "jobs":
            return self.values[f"{stem}@{group or 'case.run'}"]
        return self.values[stem]

    def get(self, name: str, group: str = "") -> str:
        """A value with all references resolved."""
        if name in DERIVED:
            return str(self.derived()[name])
        value = self.raw(name, group)
        for _ in range(10):
            resolved = REFERENCE.sub(lambda match: self._referred(match, group), value)
            if resolved == value:
                break
            value = resolved
        if component_of(name)[0] == "NTASKS" and int(value) < 0:
            value = str(-int(value) * int(self.get("MAX_MPITASKS_PER_NODE")))
        return value

    def _referred(self, match: re.Match[str], group: str) -> str:
        if match[1]:
            return os.environ.get(match[1], "me")
        name = match[2] or match[3]
        return self.raw(name, group) if component_of(name)[0] in VARIABLES else match[0]

    def true(self, name: str) -> bool:
        """Whether a logical is TRUE."""
        return self.get(name) == "TRUE"

    def number(self, name: str) -> int:
        """An integer."""
        return int(self.get(name))

    def path(self, name: str) -> Path:
        """A directory."""
        return Path(self.get(name))

    def set(self, name: str, value: str, group: str = "", *, force: bool = False) -> None:
        """Sets a value, after the checks of its type and of the valid ones."""
        expect(name not in DERIVED, f"Cannot xmlchange derived attribute {name}")
        stem, component = component_of(name)
        expect(stem in VARIABLES, f"No variable {name} found in case")
        variable = VARIABLES[stem]
        if not force:
            check_value(name, value, variable.type, variable.valid)
        value = value.upper() if variable.type == "logical" else value
        component = component or (group if group in COMPONENTS else "")
        if variable.type == "component":
            for one in [component] if component else COMPONENTS:
                self.values[f"{stem}_{one}"] = value
        elif variable.group == "jobs":
            for job in [group] if group else JOBS:
                self.values[f"{stem}@{job}"] = value
        else:
            self.values[stem] = value

    def derived(self) -> dict[str, int]:
        """Tasks and nodes of a run."""
        tasks = max(int(self.get(f"NTASKS_{one}")) + int(self.get(f"ROOTPE_{one}")) for one in COMPONENTS)
        threads = max(int(self.get(f"NTHRDS_{one}")) for one in COMPONENTS)
        per_node = min(self.number("MAX_MPITASKS_PER_NODE"), tasks)
        return {
            "THREAD_COUNT": threads,
            "TOTAL_TASKS": tasks,
            "TASKS_PER_NODE": per_node,
            "NUM_NODES": -(-tasks // per_node),
            "SPARE_NODES": 0,
            "TASKS_PER_NUMA": per_node,
            "CORES_PER_TASK": threads,
        }

    # --- what is written down -------------------------------------------------------------------

    def status(self, text: str) -> None:
        """A line in CaseStatus; where the case is a git repository, a commit too."""
        with (self.root / "CaseStatus").open("a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')}: {text}\n{_LINE}\n")
        if (self.root / ".git").is_dir():
            git(self.root, "add", "--all")
            commit = git(self.root, "commit", "--quiet", "-m", text.replace("\n", " "), check=False)
            if commit.returncode:
                print(f"ERROR: Command: 'git commit' failed with error '{commit.stderr.strip()}'")

    @contextmanager
    def logged(self, phase: str, note: str = "", *, late_start: bool = False) -> Any:
        """Writes that a phase starts, and whether it ended well.

        Args:
            phase: its name.
            note: a job's number.
            late_start: `starting` is written when it has ended.
        """
        if not late_start:
            self.status(f"{phase} starting {note}")
        notes = [note]
        try:
            yield notes
        except BaseException as error:
            if late_start:
                self.status(f"{phase} starting {notes[0]}")
            self.status(f"{phase} error \n{_said(error)}")
            raise
        if late_start:
            self.status(f"{phase} starting {notes[0]}")
        self.status(f"{phase} success {notes[0]}")

    def record(self, words: list[str]) -> None:
        """A command in replay.sh, whatever becomes of it."""
        import shlex

        line = " ".join(shlex.quote(word) if re.search(r"\s", word) else word for word in words)
        with (self.root / "replay.sh").open("a", encoding="utf-8") as file:
            file.write(f"{line}\n\n")

    # --- locked files ---------------------------------------------------------------------------

    def lock(self, file: str) -> None:
        """Keeps a copy of a file, which must not change any more."""
        import shutil

        (self.root / "LockedFiles").mkdir(exist_ok=True)
        shutil.copy2(self.root / f"{file}.xml", self.root / "LockedFiles")

    def check_locked(self, skip: tuple[str, ...] = (), *, quiet: bool = False) -> None:
        """Stops where a locked file has changed; a changed build or layout is no longer complete."""
        for path in sorted((self.root / "LockedFiles").glob("*.xml")):
            file = path.stem
            if file in skip or file not in FILES:
                continue
            locked = read_file(path)
            differs = {
                name: (old, self.values.get(name, ""))
                for name, old in locked.items()
                if self.values.get(name, "") != old and name != "BUILD_COMPLETE"
            }
            if not differs:
                continue
            warn(f"Detected diff in locked file '{file}.xml'")
            for name, (old, new) in differs.items():
                before, now = (one if one.isdigit() else repr(one) for one in (old, new))
                warn(f"\t'{name}' has changed from {before} to {now}")
            message = ""
            expect(file != "env_case", f"Cannot change `env_case.xml`, please restore origin '{file}.xml'")
            if file in ("env_mach_pes", "env_batch"):
                message = "For your changes to take effect, run:\n./case.setup --reset\n"
            if file == "env_build":
                self.values["BUILD_STATUS"] = "2" if "PIO_VERSION" in differs else "1"
                self.values["BUILD_COMPLETE"] = "FALSE"
                message = "For your changes to take effect, run:\n./case.build --clean-all\n./case.build"
                self.flush()
            if quiet:
                say(message)
            else:
                raise CaseError(message)


def say(text: str) -> None:
    """A line on stdout, at once."""
    print(text, flush=True)


def warn(text: str) -> None:
    """A line on stderr, which does not mean that the command fails."""
    print(text, file=sys.stderr, flush=True)


def stamp(text: str) -> None:
    """A line with the time."""
    say(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}")


def _said(error: BaseException) -> str:
    return f"ERROR: {error}" if isinstance(error, CaseError) else str(error)


def check_value(name: str, value: str, kind: str, valid: str) -> None:
    """Type and valid values, in CIME's words."""
    if "$" in value:
        return
    if kind == "integer":
        expect(
            re.fullmatch(r"[+-]?\d+", value),
            f"Entry {name} was listed as type int but value '{value}' is not valid int",
        )
    if kind == "logical":
        known = "listed as type logical but had val"
        expect(
            value.upper() in ("TRUE", "FALSE"), f"Entry {name} was {known} '{value}' instead of TRUE or FALSE"
        )
    if kind == "real":
        try:
            float(value)
        except ValueError:
            raise CaseError(
                f"Entry {name} was listed as type real but value '{value}' is not valid real"
            ) from None
    if valid and kind != "logical":
        options = valid.split(",")
        expect(value in options, f"Did not find {value} in valid values for {name}: {options}")


def read_file(path: Path) -> dict[str, str]:
    """The values of an XML file by key."""
    values = {}
    for group in xml.parse(path).getroot().iter("group"):
        for entry in group.iter("entry"):
            name = entry.get("id", "")
            of_components = entry.findall("./values/value")
            if of_components:
                values |= {f"{name}_{one.get('compclass')}": one.text or "" for one in of_components}
            elif group.get("id") in JOBS:
                values[f"{name}@{group.get('id')}"] = entry.get("value", "")
            else:
                values[name] = entry.get("value", "")
    return values


def as_xml(file: str, values: dict[str, str]) -> str:
    """The text of an XML file."""
    root = xml.Element("file", id=f"{file}.xml", version="2.0")
    groups: dict[str, xml.Element] = {}

    def entry(group: str, name: str, value: str | None) -> xml.Element:
        if group not in groups:
            groups[group] = xml.SubElement(root, "group", id=group)
        attributes = {"id": name} if value is None else {"id": name, "value": value}
        return xml.SubElement(groups[group], "entry", attributes)

    for name, variable in VARIABLES.items():
        if variable.file != file:
            continue
        if variable.group == "jobs":
            for job in JOBS:
                xml.SubElement(entry(job, name, values[f"{name}@{job}"]), "type").text = variable.type
            continue
        several = variable.type == "component"
        one = entry(variable.group, name, None if several else values[name])
        xml.SubElement(one, "type").text = "char" if several else variable.type
        if variable.valid:
            xml.SubElement(one, "valid_values").text = variable.valid
        if several:
            parts = xml.SubElement(one, "values")
            for component in COMPONENTS:
                xml.SubElement(parts, "value", compclass=component).text = values[f"{name}_{component}"]
    xml.indent(root)
    return f'<?xml version="1.0"?>\n{xml.tostring(root, encoding="unicode")}\n'


def git(root: Path, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Runs git in a case."""
    import subprocess

    environment = {name: value for name, value in os.environ.items() if name != "GIT_DIR"}
    command = ["git", *words]
    result = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    if check and result.returncode:
        raise CaseError(f"Command: 'git {' '.join(words)}' failed with error '{result.stderr.strip()}'")
    return result


def batch_job() -> str:
    """Number of the SLURM job that this process belongs to; empty outside of one."""
    return os.environ.get("SLURM_JOB_ID", "")


def new_log_id() -> str:
    """Log id of a run: the time, after the number of the job where there is one."""
    job = batch_job()
    return f"{job}{'.' if job else ''}{time.strftime('%y%m%d-%H%M%S')}"


def run_command(main: Callable[[], int]) -> int:
    """Status of a command; what stops it stands on stderr."""
    try:
        return main()
    except CaseError as error:
        sys.stdout.flush()
        print(f"ERROR: {error}", file=sys.stderr)
        return 1
