"""`xmlchange` and `xmlquery`."""

from __future__ import annotations

import argparse
import os
import re
import sys

from .case import Case, expect, say
from .machines import queues
from .variables import COMPONENTS, DERIVED, JOBS, VARIABLES, component_of


def xmlchange(words: list[str]) -> int:
    """Sets variables one after the other: those before a refused one are set."""
    parser = argparse.ArgumentParser(prog="xmlchange")
    parser.add_argument("listofsettings", nargs="?", default="")
    parser.add_argument("--caseroot", default=os.getcwd())
    for option in ("append", "dryrun", "noecho"):
        parser.add_argument(f"--{option}", f"-{option}", action="store_true")
    for option in ("subgroup", "id", "val", "file"):
        parser.add_argument(f"--{option}", f"-{option}")
    parser.add_argument("--delimiter", "-delimiter", default=",")
    parser.add_argument("-f", "--force", action="store_true")
    parser.add_argument("-N", "--non-local", action="store_true")
    given = parser.parse_args(words)
    if given.listofsettings:
        expect(given.id is None, "Cannot specify both listofsettings and --id")
        expect(given.val is None, "Cannot specify both listofsettings and --val")
        settings = re.split(rf"(?<!\\){re.escape(given.delimiter)}", given.listofsettings)
    else:
        pair = given.id is not None and given.val is not None
        expect(pair, "Must give either (1) listofsettings or (2) both --id and --val")
        settings = [f"{given.id}={given.val}"]
    case = Case(given.caseroot)
    case.record([sys.argv[0], *words])
    try:
        for setting in settings:
            both = setting.split("=", 1)
            expect(len(both) == 2, f"Expecting a key value pair in the form of key=value. Got {both}")
            name, value = both
            known = component_of(name)[0] in VARIABLES or name in DERIVED
            expect(known, f"No variable {name} found in case")
            if given.append:
                value = f"{case.raw(name, given.subgroup or '')} {value}"
            if given.dryrun:
                say(f"'{name}' = '{value}'")
                continue
            if name == "JOB_QUEUE" and not given.force:
                expect(value in queues(case), "Unknown Job Queue specified use --force to set")
            case.set(name, value, given.subgroup or "", force=given.force)
            if name in ("JOB_WALLCLOCK_TIME", "JOB_QUEUE"):
                requested = f"USER_REQUESTED_{'WALLTIME' if name.endswith('TIME') else 'QUEUE'}"
                case.set(requested, value, given.subgroup or "")
    finally:
        case.flush()
    case.check_locked(("env_case",), quiet=True)
    case.flush()
    if not given.noecho:
        case.status(f"xmlchange success <command> {' '.join([sys.argv[0], *words])}  </command>")
    return 0


def xmlquery(words: list[str]) -> int:
    """Prints values by group, in the order of the names of the groups."""
    parser = argparse.ArgumentParser(prog="xmlquery")
    parser.add_argument("variables", nargs="*")
    parser.add_argument("--caseroot", "-caseroot", default=os.getcwd())
    parser.add_argument("--listall", "-listall", action="store_true")
    parser.add_argument("--file", "-file")
    parser.add_argument("--subgroup", "-subgroup")
    parser.add_argument("-p", "--partial-match", action="store_true")
    parser.add_argument("--no-resolve", "-no-resolve", action="store_true")
    parser.add_argument("-N", "--non-local", action="store_true")
    for option in ("full", "fileonly", "value", "raw", "description", "get-group", "type", "valid-values"):
        parser.add_argument(f"--{option}", action="store_true")
    given = parser.parse_args(words)
    case = Case(given.caseroot)
    names = given.variables[0].split(",") if len(given.variables) == 1 else given.variables
    if given.listall or given.partial_match:
        patterns = [".*"] if given.listall else names
        names = [name for name in sorted(VARIABLES) if any(re.search(one, name) for one in patterns)]
    results: dict[str, dict[str, str]] = {}
    for name in names:
        stem = component_of(name)[0]
        expect(stem in VARIABLES or name in DERIVED, f" No results found for variable {name}")
        for group in [given.subgroup] if given.subgroup else _groups(stem):
            results.setdefault(group, {})[name] = _shown(case, name, group, resolved=not given.no_resolve)
    texts = []
    for group in sorted(results):
        if (len(names) > 1 or len(results) > 1 or given.full) and not (given.value or given.get_group):
            say(f"\nResults in group {group}")
        for name in names:
            if name not in results[group]:
                continue
            variable = VARIABLES.get(component_of(name)[0])
            value = results[group][name]
            if given.value:
                texts.append(value)
            elif given.get_group:
                say(f"\t{name}: {group}")
            elif given.type:
                say(f"\t{name}: {variable.type if variable else None}")
            elif given.valid_values:
                say(f"\t{name}: {variable.valid.split(',') if variable and variable.valid else []}")
            elif given.fileonly and variable:
                say(f"\t{name}: {case.root}/{variable.file}.xml")
            elif given.full and variable:
                say(f"\t{name}: value={value}\n\t\ttype: {variable.type}")
                say(f"\t\tvalid_values: {variable.valid.split(',') if variable.valid else []}")
                say(f"\t\tfile: {case.root}/{variable.file}.xml")
            else:
                say(f"\t{name}: {value}")
    sys.stdout.write(",".join(texts))
    return 0


def _groups(stem: str) -> list[str]:
    if stem in DERIVED:
        return ["none"]
    group = VARIABLES[stem].group
    return list(JOBS) if group == "jobs" else [group]


def _shown(case: Case, name: str, group: str, *, resolved: bool) -> str:
    value = case.get if resolved else case.raw
    if name in VARIABLES and VARIABLES[name].type == "component" and group not in COMPONENTS:
        return str([f"{component}:{value(f'{name}_{component}')}" for component in COMPONENTS])
    return value(name, group)
