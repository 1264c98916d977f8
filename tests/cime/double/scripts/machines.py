"""Machines: entries of config_machines.xml and config_batch.xml."""

from __future__ import annotations

import os
import xml.etree.ElementTree as xml
from pathlib import Path

from .case import Case, expect


def find_machine(name: str, source: Path, extra: str) -> xml.Element:
    """The entry of a machine: of the given directory, the user's, or of E3SM itself."""
    places = [source / "cime_config" / "machines", Path(os.environ.get("HOME", "/")) / ".cime"]
    places += [Path(extra)] if extra else []
    for place in reversed(places):
        file = place / "config_machines.xml"
        if file.is_file():
            for machine in xml.parse(file).getroot().iter("machine"):
                if machine.get("MACH") == name:
                    return machine
    return _missing(name)


def _missing(name: str) -> xml.Element:
    expect(False, f"No machine {name} found")
    raise AssertionError


def text_of(machine: xml.Element, tag: str, default: str = "") -> str:
    """A setting of a machine."""
    return (machine.findtext(tag) or default).strip()


def machine_of(case: Case) -> xml.Element:
    """The machine of a case; a relative directory is looked for from where the command runs."""
    return find_machine(case.get("MACH"), case.path("SRCROOT"), case.get("EXTRA_MACHDIR"))


def batch_of(case: Case) -> xml.Element | None:
    """The entry of the batch system of a case."""
    for place in (Path(case.get("EXTRA_MACHDIR")), case.path("SRCROOT") / "cime_config" / "machines"):
        file = place / "config_batch.xml"
        if file.is_file():
            for entry in xml.parse(file).getroot().iter("batch_system"):
                if entry.get("MACH") == case.get("MACH"):
                    return entry
    return None


def queues(case: Case) -> list[str]:
    """Names of the queues of a machine."""
    batch = batch_of(case)
    return [] if batch is None else [(queue.text or "").strip() for queue in batch.iter("queue")]


def launcher(case: Case) -> str:
    """The command that starts the executable with its tasks."""
    replaced = case.get("MPI_RUN_COMMAND")
    if replaced not in ("", "UNSET"):
        return replaced
    entry = machine_of(case).find("mpirun")
    if entry is None:
        return ""
    words = [entry.findtext("executable") or "", *(arg.text or "" for arg in entry.iter("arg"))]
    command = " ".join(word.strip() for word in words if word.strip())
    for name, value in case.derived().items():
        command = command.replace(f"{{{{ {name.lower()} }}}}", str(value))
    return command
