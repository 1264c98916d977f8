"""`create_newcase` and `create_clone`."""

from __future__ import annotations

import argparse
import re
import shutil
import sys
import time
from pathlib import Path

from .case import Case, as_xml, expect, read_file, say
from .machines import find_machine, text_of
from .namelists import DEFAULT_FILES
from .variables import COMPONENTS, FILES, JOBS, VARIABLES

#: The checkout: this file lies in cime/CIME/scripts.
SOURCE = Path(__file__).resolve().parents[3]
TOOLS = (
    "case.build", "case.cmpgen_namelists", "case.qstatus", "case.setup", "case.submit", "check_case",
    "check_input_data", "pelayout", "preview_namelists", "preview_run", "xmlchange", "xmlquery",
)  # fmt: skip
#: Aliases of compsets with ELM alone.
COMPSETS = {
    "I1850CNPRDCTCBC": "1850_DATM%QIA_ELM%CNPRDCTCBC_SICE_SOCN_MOSART_SGLC_SWAV",
    "I1850CRUCNPRDCTCBC": "1850_DATM%CRU_ELM%CNPRDCTCBC_SICE_SOCN_MOSART_SGLC_SWAV",
    "I1850GSWCNPRDCTCBC": "1850_DATM%GSW_ELM%CNPRDCTCBC_SICE_SOCN_MOSART_SGLC_SWAV",
    "I1850ELMCN": "1850_DATM%QIA_ELM%CN_SICE_SOCN_MOSART_SGLC_SWAV",
}
_FORCINGS = {
    "QIA": ("CLM_QIAN", 1948, 1972),
    "CRU": ("CLMCRUNCEPv7", 1901, 1920),
    "GSW": ("CLMGSWP3v1", 1901, 1920),
    "GSWP3v1": ("CLMGSWP3v1", 1901, 1920),
    "ERA5": ("ELMERA5", 1979, 1998),
    "1PT": ("CLM1PT", 1, 1),
    "DaymetERA5": ("uELM_TES", 1980, 2023),
}
_GRIDS = (
    "ELM_USRDAT",
    "f19_g16",
    "f09_g16",
    "f09_f09",
    "hcru_hcru",
    "r05_r05",
    "r025_r025",
    "ne30pg2_r05_IcoswISC30E3r5",
)


def create_newcase(words: list[str]) -> int:
    """Makes a case directory; a refused one leaves nothing behind."""
    parser = argparse.ArgumentParser(prog="create_newcase", allow_abbrev=False)
    parser.add_argument("--case", "-case", required=True)
    parser.add_argument("--compset", "-compset", required=True)
    parser.add_argument("--res", "-res", required=True)
    parser.add_argument("--machine", "-mach", "--mach")
    parser.add_argument("--compiler", "-compiler")
    parser.add_argument("--mpilib", "-mpilib")
    parser.add_argument("--project", "-project", default="")
    parser.add_argument("--walltime", default="")
    parser.add_argument("--queue", "-q", default="")
    parser.add_argument("--pecount", "-pecount", "--pesfile", "-pesfile", "--pe", default="M")
    parser.add_argument("--output-root", default="")
    parser.add_argument("--input-dir", "-i", default="")
    parser.add_argument("--driver", choices=("mct", "moab"), default="moab")
    parser.add_argument("--extra-machines-dir", default="")
    parser.add_argument("--handle-preexisting-dirs", choices=("a", "r", "u"))
    parser.add_argument("--case-group", default="")
    parser.add_argument("--run-unsupported", action="store_true")
    parser.add_argument("--non-local", "-n", action="store_true")
    given = parser.parse_args(words)
    root = Path(given.case).absolute()
    expect(not root.exists(), f"Case directory {root} already exists")
    compset = _long_name(given.compset)
    expect(given.res in _GRIDS, f"no alias {given.res} defined")
    machine = find_machine(given.machine or "", SOURCE, given.extra_machines_dir)
    compilers = text_of(machine, "COMPILERS").split(",")
    compiler = given.compiler or compilers[0]
    expect(compiler in compilers, f"compiler {compiler} is not supported on machine {given.machine}")
    mpilib = given.mpilib or text_of(machine, "MPILIBS").split(",")[0]
    say(f"Machine is {given.machine}")

    values = _defaults()
    per_node = text_of(machine, "MAX_MPITASKS_PER_NODE", "1")
    match = re.search(r"_DATM%?([^_%]*)", compset)
    mode, first, last = _FORCINGS.get(match[1] if match else "", _FORCINGS["QIA"])
    values |= {
        "COMPSET": compset,
        "COMP_ROF": "mosart" if "MOSART" in compset else "srof",
        "CASEROOT": str(root),
        "CASE": root.name,
        "CIMEROOT": str(SOURCE / "cime"),
        "SRCROOT": str(SOURCE),
        "MACH": given.machine,
        "MACHDIR": str(SOURCE / "cime_config" / "machines"),
        "EXTRA_MACHDIR": given.extra_machines_dir,
        "GRID": f"a%{given.res}_l%{given.res}_oi%null_r%null_g%null_w%null_z%null_m%reg",
        "ATM_GRID": given.res,
        "LND_GRID": given.res,
        "COMP_INTERFACE": given.driver,
        "COMPILER": compiler,
        "MPILIB": mpilib,
        "CIME_OUTPUT_ROOT": given.output_root or text_of(machine, "CIME_OUTPUT_ROOT"),
        "MAX_TASKS_PER_NODE": text_of(machine, "MAX_TASKS_PER_NODE", "1"),
        "MAX_MPITASKS_PER_NODE": per_node,
        "DIN_LOC_ROOT": given.input_dir or text_of(machine, "DIN_LOC_ROOT"),
        "DIN_LOC_ROOT_CLMFORC": text_of(machine, "DIN_LOC_ROOT_CLMFORC"),
        "DOUT_S_ROOT": text_of(machine, "DOUT_S_ROOT"),
        "BATCH_SYSTEM": text_of(machine, "BATCH_SYSTEM", "none"),
        "DATM_MODE": mode,
        "DATM_CLMNCEP_YR_START": str(first),
        "DATM_CLMNCEP_YR_END": str(last),
        "ELM_BLDNML_OPTS": "-bgc bgc -nutrient cnp -nutrient_comp_pathway rd  -soil_decomp ctc -methane ",
        "ELM_CONFIG_OPTS": "-phys elm -cppdefs -DMODAL_AER",
        "MOSART_MODE": "NULL" if given.res == "ELM_USRDAT" else "ACTIVE",
        "NTASKS_IAC": "1",
        "NTASKS_ESP": "1",
        "PIO_TYPENAME_ATM": "netcdf",
    }
    if given.res in DEFAULT_FILES:
        for component in ("LND", "ATM"):
            place, _, file = f"$DIN_LOC_ROOT/{DEFAULT_FILES[given.res]['domain']}".rpartition("/")
            values |= {f"{component}_DOMAIN_PATH": place, f"{component}_DOMAIN_FILE": file}
    for tag in ("RUNDIR", "EXEROOT"):
        values[tag] = text_of(machine, tag, values[tag])
    project = given.project or text_of(machine, "PROJECT")
    for job in JOBS:
        values |= {
            f"PROJECT@{job}": project,
            f"CHARGE_ACCOUNT@{job}": project,
            f"JOB_QUEUE@{job}": given.queue,
        }
    if values["BATCH_SYSTEM"] != "none":
        values |= {f"JOB_WALLCLOCK_TIME@{job}": "00:20:00" for job in JOBS}
        values |= {"JOB_WALLCLOCK_TIME@case.post_run_io": "00:30:00"}
        values |= {f"JOB_WALLCLOCK_TIME@{job}": given.walltime or "00:20:00" for job in JOBS[:2]}
        values |= {f"USER_REQUESTED_WALLTIME@{job}": given.walltime for job in JOBS[:2]}
        values |= {f"USER_REQUESTED_QUEUE@{job}": given.queue for job in JOBS}
    values["prereq@case.run"], values["prereq@case.st_archive"] = "$BUILD_COMPLETE", "$DOUT_S"
    _existing_directories(values, given.handle_preexisting_dirs)
    say(f"Batch_system_type is {values['BATCH_SYSTEM']}")
    say(f" Creating Case directory {root}")
    case = _write(root, values)
    words_said = " ".join([sys.argv[0], *words])
    (root / "README.case").write_text(f"{time.strftime('%Y-%m-%d %H:%M:%S')}: {words_said}\n")
    begin = f'#!/bin/bash\n\nset -e\n\n# Created {time.strftime("%Y-%m-%d %H:%M:%S")}\n\nCASEDIR="{root}"\n\n'
    case.root.joinpath("replay.sh").write_text(begin, encoding="utf-8")
    case.record([sys.argv[0], *words])
    case.record(["cd", '"${CASEDIR}"'])
    return 0


def create_clone(words: list[str]) -> int:
    """A case like another one, with a run directory of its own."""
    parser = argparse.ArgumentParser(prog="create_clone", allow_abbrev=False)
    parser.add_argument("--case", "-case", required=True)
    parser.add_argument("--clone", "-clone", required=True)
    parser.add_argument("--keepexe", "-keepexe", action="store_true")
    parser.add_argument("--mach-dir", "--project", "--ensemble", "--user-mods-dir", default="")
    parser.add_argument("--cime-output-root", default="")
    given = parser.parse_args(words)
    root, source = Path(given.case).absolute(), Path(given.clone).absolute()
    expect(not root.exists(), f"New caseroot directory {root} already exists")
    expect(source.is_dir(), f"Missing cloneroot directory {source} ")
    old = Case(source)
    values = dict(old.values)
    values |= {"CASE": root.name, "CASEROOT": str(root), "JOB_IDS": ""}
    values["CIME_OUTPUT_ROOT"] = given.cime_output_root or values["CIME_OUTPUT_ROOT"]
    if given.keepexe:
        # The executable is believed to be there: a clone of a case that was not built says so on stdout.
        if not old.true("BUILD_COMPLETE"):
            say("WARNING: Executable in original case does not appear to be complete")
        values |= {"EXEROOT": old.get("EXEROOT"), "BUILD_COMPLETE": "TRUE"}
    else:
        values |= {"BUILD_COMPLETE": "FALSE"}
    _write(root, values)
    for file in source.glob("user_*"):
        shutil.copy2(file, root)
    if given.keepexe:
        shutil.rmtree(root / "SourceMods")
        (root / "SourceMods").symlink_to(source / "SourceMods")
    elif (source / "SourceMods").is_dir():
        shutil.copytree(source / "SourceMods", root / "SourceMods", dirs_exist_ok=True)
    said = " ".join([sys.argv[0], *words])
    before = (source / "README.case").read_text(encoding="utf-8")
    note = f"{said}\n\n    *** original clone README follows ****\n {before}"
    (root / "README.case").write_text(note, encoding="utf-8")
    say(f" Successfully created new case {root.name} from clone case {source.name} ")
    return 0


def _long_name(name: str) -> str:
    known = COMPSETS.get(name, name)
    if known == name:
        say(f"Did not find an alias or longname compset match for {name} ")
    else:
        say(f"Compset specification file is {SOURCE}/components/elm/cime_config/config_compsets.xml")
    for part in ("SIAC", "SESP"):
        if part not in known:
            say(f"Automatically adding {part} to compset")
            known += f"_{part}"
    land = re.search(r"_[DS]ATM(%\w+)?_", known) and "_ELM" in known
    expect(land, f"Invalid compset name, {name}, all stub components generated")
    return known


def _defaults() -> dict[str, str]:
    values = {}
    for name, variable in VARIABLES.items():
        keys = [name]
        if variable.type == "component":
            keys = [f"{name}_{component}" for component in COMPONENTS]
        elif variable.group == "jobs":
            keys = [f"{name}@{job}" for job in JOBS]
        values |= dict.fromkeys(keys, variable.default)
    return values


def _existing_directories(values: dict[str, str], answer: str | None) -> None:
    """RUNDIR and EXEROOT of the same name: asked on the terminal where no answer is given."""
    for name in ("EXEROOT", "RUNDIR"):
        directory = Path(_resolved(values[name], values))
        if not directory.is_dir():
            continue
        question = f"\nDirectory {directory} already exists, (r)eplace, (a)bort, or (u)se existing?"
        response = answer or input(question)
        expect(not response.startswith("a"), "Aborting by user request")
        if response.startswith("r"):
            shutil.rmtree(directory)


def _resolved(value: str, values: dict[str, str]) -> str:
    for _ in range(5):
        value = re.sub(r"\$\{?(\w+)\}?", lambda match: values.get(match[1], match[0]), value)
    return value


def _write(root: Path, values: dict[str, str]) -> Case:
    for directory in ("Buildconf", "LockedFiles", "SourceMods/src.elm", "Tools"):
        (root / directory).mkdir(parents=True)
    for file in FILES:
        (root / f"{file}.xml").write_text(as_xml(file, values), encoding="utf-8")
    for tool in TOOLS:
        (root / tool).symlink_to(SOURCE / "cime" / "CIME" / "Tools" / tool)
    case = Case(root)
    case.lock("env_case")
    assert read_file(root / "env_case.xml")["CASE"] == root.name
    return case
