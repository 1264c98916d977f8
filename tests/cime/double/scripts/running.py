"""The commands in a case: setup, build, namelists, checks, submission, run, archive."""

from __future__ import annotations

import argparse
import glob
import gzip
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from . import faults
from .case import Case, CaseError, batch_job, expect, git, new_log_id, say, stamp
from .machines import batch_of, launcher
from .namelists import create_namelists, write_log_names
from .variables import JOBS

_TERMINATED = ("HAS ENDED", "END OF MODEL RUN", "SUCCESSFUL TERMINATION")
_SCRIPT = """#!{python} -IS
{directives}
import os, sys
os.chdir({root!r})
sys.path.insert(0, {library!r})
from scripts.running import {function}
from scripts.case import run_command
sys.exit(run_command(lambda: {function}(sys.argv[1:])))
"""
_BLANK_USER_NAMELIST = "! Users should add all user specific namelist changes below\n! namelist_var = value\n"


def _parsed(program: str, words: list[str], *switches: str, **options: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=program)
    parser.add_argument("caseroot", nargs="?", default=os.getcwd())
    for switch in (*switches, "--verbose", "--debug", "--silent"):
        parser.add_argument(*switch.split(" "), action="store_true")
    for option, default in options.items():
        parser.add_argument(f"--{option.replace('_', '-')}", default=default)
    return parser.parse_args(words)


# --- set-up -------------------------------------------------------------------------------------


def case_setup(words: list[str]) -> int:
    """`case.setup`: scripts, user_nl files, namelists; --reset makes a changed layout count."""
    given = _parsed("case.setup", words, "--clean -c", "--reset -r", "--disable-git", "--non-local -N")
    case = Case(given.caseroot)
    case.record([sys.argv[0], *words])
    with case.logged("setup.clean" if given.clean else "case.setup", batch_job()):
        if given.clean or given.reset:
            for script in (".case.run", "case.st_archive"):
                (case.root / script).unlink(missing_ok=True)
            for file in ("env_mach_pes", "env_batch"):
                (case.root / "LockedFiles" / f"{file}.xml").unlink(missing_ok=True)
        if given.clean:
            return 0
        if (case.root / ".case.run").is_file():
            say("Machine/Decomp/Pes configuration has already been done ...skipping")
        else:
            if given.reset:
                case.set("BUILD_COMPLETE", "FALSE")
            derived = case.derived()
            nodes = derived["NUM_NODES"] * case.number("MAX_MPITASKS_PER_NODE")
            case.set("TOTALPES", str(derived["TOTAL_TASKS"] * derived["THREAD_COUNT"]))
            case.set("COST_PES", str(nodes))
            if not given.disable_git and not (case.root / ".git").is_dir():
                git(case.root, "init", "--quiet")
            case.flush()
            write_scripts(case)
            case.lock("env_mach_pes")
            case.lock("env_batch")
        _user_namelists(case)
        say("If an old case build already exists, might want to run 'case.build --clean' before building")
        say("Generating component namelists as part of setup")
        create_namelists(case)
        say("You can now run './preview_run' to get more info on how your case will be run")
    return 0


def write_scripts(case: Case) -> None:
    """The scripts of the batch jobs, with their directives."""
    say("Creating batch scripts")
    library = case.get("CIMEROOT") + "/CIME"
    for name, function in ((".case.run", "case_run"), ("case.st_archive", "case_st_archive")):
        job = name.lstrip(".")
        directives = ""
        if case.get("BATCH_SYSTEM") != "none":
            lines = [
                f"--job-name={'run' if job == 'case.run' else 'st_archive'}.{case.get('CASE')}",
                f"--nodes={case.derived()['NUM_NODES'] if job == 'case.run' else 1}",
                f"--output={'run' if job == 'case.run' else 'st_archive'}.{case.get('CASE')}.%j",
            ]
            batch = batch_of(case)
            extra = [] if batch is None else [one.text or "" for one in batch.iter("directive")]
            directives = "\n".join(f"#SBATCH  {line}" for line in (*lines, *extra))
        text = _SCRIPT.format(
            python=sys.executable,
            directives=directives,
            root=str(case.root),
            library=library,
            function=function,
        )
        say(f"Creating file {name}")
        path = case.root / name
        path.write_text(text, encoding="utf-8")
        path.chmod(0o755)


def _user_namelists(case: Case) -> None:
    components = ["cpl", "datm", "elm"] + (["mosart"] if case.get("COMP_ROF") == "mosart" else [])
    for component in components:
        path = case.root / f"user_nl_{component}"
        if not path.is_file():
            path.write_text(_BLANK_USER_NAMELIST, encoding="utf-8")


def preview_namelists(words: list[str]) -> int:
    """`preview_namelists`: the namelists as the next run would have them."""
    given = _parsed("preview_namelists", words, "--test", component="")
    case = Case(given.caseroot)
    case.record([sys.argv[0], *words])
    create_namelists(case)
    return 0


# --- build --------------------------------------------------------------------------------------


def case_build(words: list[str]) -> int:
    """`case.build`: an executable that runs the embedded land model."""
    given = _parsed("case.build", words, "--clean-all", "--clean", "--sharedlib-only", "--model-only -m")
    case = Case(given.caseroot)
    case.record([sys.argv[0], *words])
    place = case.path("EXEROOT")
    if given.clean_all or given.clean:
        with case.logged("build.clean"):
            shutil.rmtree(place, ignore_errors=True)
            (case.root / "LockedFiles" / "env_build.xml").unlink(missing_ok=True)
            case.set("BUILD_STATUS", "0")
            case.set("BUILD_COMPLETE", "FALSE")
            case.flush()
        return 0
    with case.logged("case.build"):
        expect(
            (case.root / ".case.run").is_file(),
            "ERROR: must invoke case.setup script before calling build script ",
        )
        case.check_locked(("env_batch",))
        refused = "env_build HAS CHANGED\n  A manual clean of your obj directories is required\n  "
        hint = f"ERROR {refused}You should execute the following:\n    ./case.build --clean-all"
        expect(case.number("BUILD_STATUS") == 0, hint)
        say(f"Building case in directory {case.root}")
        create_namelists(case)
        place.mkdir(parents=True, exist_ok=True)
        log_id = time.strftime("%y%m%d-%H%M%S")
        logs = [place / f"{part}.bldlog.{log_id}" for part in ("spio", "e3sm")]
        source = case.path("SRCROOT")
        failing = "libmoab" if case.get("COMP_INTERFACE") != "mct" else ""
        try:
            for log in logs:
                log.write_text("compiling\n", encoding="utf-8")
            if failing or faults.play(source, "build", case.get("CASE")):
                logs[1].write_text(f"compiling\nmake: *** [e3sm.exe] Error 1 {failing}\n", encoding="utf-8")
                raise CaseError(f"BUILD FAIL: build e3sm failed, cat {logs[1]}")
        except CaseError:
            case.set("BUILD_STATUS", "1")
            case.set("BUILD_COMPLETE", "FALSE")
            case.flush()
            raise
        program = place / "e3sm.exe"
        shutil.copy2(source / "cime" / "CIME" / "e3sm.exe", program)
        program.chmod(0o755)
        for log in logs:
            _zip(log)
        case.set("BUILD_STATUS", "0")
        case.set("BUILD_COMPLETE", "TRUE")
        case.flush()
        case.lock("env_build")
    say("Total build time: 0.100000 seconds")
    say("MODEL BUILD HAS FINISHED SUCCESSFULLY")
    return 0


# --- checks -------------------------------------------------------------------------------------


def check_input_data(words: list[str]) -> int:
    """`check_input_data`: the files that the namelists name; 1 where one is missing."""
    given = _parsed("check_input_data", words, "--download", "--chksum")
    case = Case(given.caseroot)
    case.record([sys.argv[0], *words])
    return 0 if _input_is_there(case) else 1


def _input_is_there(case: Case) -> bool:
    complete = True
    for path in sorted((case.root / "Buildconf").glob("*.input_data_list")):
        say(f"Loading input file list: 'Buildconf/{path.name}'")
        for line in path.read_text(encoding="utf-8").splitlines():
            name, _, file = line.partition("=")
            file = file.strip()
            if "/" in file and not os.path.exists(file):
                model = path.name.partition(".")[0]
                say(f"Model {model} missing file {name.strip()} = '{file}'")
                complete = False
    return complete


def check_case(words: list[str]) -> int:
    """`check_case`: locked files, namelists, input data, build."""
    given = _parsed("check_case", words)
    case = Case(given.caseroot)
    case.record([sys.argv[0], *words])
    case.check_locked()
    create_namelists(case)
    expect(case.true("BUILD_COMPLETE"), "Please rebuild the model interactively by calling case.build")
    say("check_case OK ")
    return 0


def _check(case: Case, *, skip_namelists: bool = False) -> None:
    case.check_locked()
    if not skip_namelists:
        create_namelists(case)
    say("Checking that inputdata is available as part of case submission")
    if not _input_is_there(case):
        for protocol in ("wget", "svn"):
            say(f"Client protocol {protocol} not enabled")
        raise CaseError("Could not find all inputdata on any server")
    expect(
        case.true("BUILD_COMPLETE"),
        "Build complete is not True please rebuild the model by calling case.build",
    )
    say("Check case OK")


def preview_run(words: list[str]) -> int:
    """`preview_run`: nodes, tasks and commands, without running anything."""
    given = _parsed("preview_run", words, job="case.run")
    case = Case(given.caseroot)
    derived = case.derived()
    say("CASE INFO:")
    for label, name in (
        ("nodes", "NUM_NODES"),
        ("total tasks", "TOTAL_TASKS"),
        ("tasks per node", "TASKS_PER_NODE"),
        ("thread count", "THREAD_COUNT"),
    ):
        say(f"  {label}: {derived[name]}")
    say("\nBATCH INFO:")
    for number, job in enumerate(_jobs(case)):
        threads = derived["THREAD_COUNT"]
        say(f"  FOR JOB: {job}\n    ENV:\n      Setting Environment OMP_NUM_THREADS={threads}\n")
        if job == "case.run":
            say(f"    MPIRUN (job={job}):\n      {_command(case)} \n")
        if case.get("BATCH_SYSTEM") == "none":
            say("    SUBMIT CMD:\n      None\n")
        else:
            before = ["1"] if number else []
            say(f"    SUBMIT CMD:\n      {' '.join(_submission(case, job, before, ''))}\n")
    return 0


def _command(case: Case) -> str:
    return f"{launcher(case)} {case.get('EXEROOT')}/e3sm.exe   >> e3sm.log.$LID 2>&1 ".strip()


# --- submission ---------------------------------------------------------------------------------


def case_submit(words: list[str]) -> int:
    """`case.submit`: to SLURM, or at once where there is no batch system, and then with status 0 always."""
    parser = argparse.ArgumentParser(prog="case.submit")
    parser.add_argument("caseroot", nargs="?", default=os.getcwd())
    switches = ("--no-batch", "--resubmit", "--resubmit-immediate", "--skip-preview-namelist", "--chksum")
    for switch in (*switches, "--prereq-allow-failure"):
        parser.add_argument(switch, action="store_true")
    parser.add_argument("--job", "-j")
    parser.add_argument("--only-job")
    parser.add_argument("--prereq", default="")
    parser.add_argument("-a", "--batch-args", default="")
    parser.add_argument("--mail-user")
    parser.add_argument("-M", "--mail-type")
    given = parser.parse_args(words)
    case = Case(given.caseroot)
    case.record([sys.argv[0], *words])
    submit(
        case,
        no_batch=given.no_batch,
        resubmit=given.resubmit,
        skip_namelists=given.skip_preview_namelist,
        prerequisite=given.prereq,
        batch_args=given.batch_args,
    )
    return 0


def submit(
    case: Case,
    *,
    no_batch: bool = False,
    resubmit: bool = False,
    skip_namelists: bool = False,
    prerequisite: str = "",
    batch_args: str = "",
) -> None:
    """Submits the jobs of a case, or runs them."""
    with case.logged("case.submit", late_start=True) as notes:
        if case.true("CONTINUE_RUN") and not prerequisite:
            _check_pointer(case)
        no_batch = no_batch or case.get("BATCH_SYSTEM") == "none"
        if no_batch and case.get("BATCH_SYSTEM") != "none":
            case.set("BATCH_SYSTEM", "none")
            case.flush()
            case.lock("env_batch")
        if resubmit:
            left = case.number("RESUBMIT")
            say(f"Submitting job 'case.run', resubmit={left}")
            case.set("RESUBMIT", str(left - 1))
            if case.true("RESUBMIT_SETS_CONTINUE_RUN"):
                case.set("CONTINUE_RUN", "TRUE")
            case.flush()
        else:
            _check(case, skip_namelists=skip_namelists)
        say("submit_jobs case.run")
        numbers: dict[str, str] = {}
        for job in _jobs(case):
            say(f"Submit job {job}")
            if no_batch:
                _run_here(case, job)
                continue
            before = list(numbers.values()) or ([prerequisite] if prerequisite else [])
            extra = batch_args
            if job == "case.st_archive" and faults.play(
                case.path("SRCROOT"), "archive_stuck", case.get("CASE")
            ):
                extra = f"{extra} --hold".strip()
            command = _submission(case, job, before, extra)
            say(f"Submitting job script {' '.join(command)}")
            result = subprocess.run(command, cwd=case.root, capture_output=True, text=True, check=False)
            wrong = f"Command: '{' '.join(command)}' failed with error '{result.stderr.strip()}'"
            expect(result.returncode == 0, wrong)
            match = re.search(r"(\d+)", result.stdout)
            assert match is not None
            numbers[job] = match[1]
            say(f"Submitted job id is {match[1]}")
        for job, number in numbers.items():
            say(f"Submitted job {job} with id {number}")
        if numbers:
            notes[0] = ", ".join(f"{job}:{number}" for job, number in numbers.items())
            case.read()
            case.set("JOB_IDS", notes[0])
            case.flush()


def _check_pointer(case: Case) -> None:
    run, pointer = case.path("RUNDIR"), "rpointer.drv"
    expect(run.is_dir(), f"CONTINUE_RUN is true but RUNDIR {run} does not exist")
    staged = (
        f"CONTINUE_RUN is true but this case does not appear to have restart files staged in {run} {pointer}"
    )
    expect((run / pointer).exists(), staged)
    file = ((run / pointer).read_text(encoding="utf-8").splitlines() or [""])[0].strip()
    right = file.startswith(case.get("CASE")) and (run / file).exists()
    expect(right, f"File {run / file} not present or does not match case {case.get('CASE')}")


def _jobs(case: Case) -> list[str]:
    return ["case.run", *(["case.st_archive"] if case.true("DOUT_S") else [])]


def _submission(case: Case, job: str, before: list[str], extra: str) -> list[str]:
    words = ["sbatch"]
    for option, name in (("--time", "JOB_WALLCLOCK_TIME"), ("-p", "JOB_QUEUE"), ("--account", "PROJECT")):
        if value := case.get(name, job):
            words += [option, value]
    if before:
        words.append(f"--dependency=afterok:{':'.join(before)}")
    script = ".case.run" if job == "case.run" else job
    return [*words, *extra.split(), str(case.root / script), "--resubmit"]


def _run_here(case: Case, job: str) -> None:
    """Runs a job in this process: what stops it ends in a line, and the command goes on."""
    say(f"Starting job script {job}")
    function = {"case.run": _run, "case.st_archive": _archive}[job]
    try:
        function(case, resubmit=True, no_batch=True)
    except Exception as error:
        text = str(error) if not isinstance(error, CaseError) else f"ERROR: {error}"
        say(f"Exception from {job.replace('.', '_')}: {text}")


# --- run ----------------------------------------------------------------------------------------


def case_run(words: list[str]) -> int:
    """`.case.run`: namelists, model, logs; status 1 where the model failed."""
    switches = ("--skip-preview-namelist", "--completion-sets-continue-run", "--resubmit")
    given = _parsed(".case.run", words, *switches, caseroot="")
    case = Case(".")
    _run(case, resubmit=given.resubmit, continues=given.completion_sets_continue_run)
    return 0


def _run(case: Case, *, resubmit: bool = False, continues: bool = False, no_batch: bool = False) -> None:
    log_id = new_log_id()
    stamp("CASE.RUN BEGINS HERE")
    stamp("RUN_MODEL BEGINS HERE")
    run, source, name = case.path("RUNDIR"), case.path("SRCROOT"), case.get("CASE")
    with case.logged("case.run", batch_job()):
        stamp("PRE_RUN_CHECK BEGINS HERE")
        case.check_locked()
        expect(
            case.true("BUILD_COMPLETE"), "BUILD_COMPLETE is not true\nPlease rebuild the model interactively"
        )
        stamp("NAMELIST CREATION BEGINS HERE")
        say(f"Generating namelists for {case.root}")
        create_namelists(case)
        write_log_names(case, log_id)
        stamp("NAMELIST CREATION HAS FINISHED")
        stamp("PRE_RUN_CHECK HAS FINISHED")
        command = _command(case)
        say(f"run command is {command} ")
        stamp("MODEL EXECUTION BEGINS HERE")
        environment = {**os.environ, "LID": log_id, "CASE_RUN_PROCESS": str(os.getpid())}
        environment["OMP_NUM_THREADS"] = "1"
        wrong = f"RUN FAIL: Command '{command} ' failed\nSee log file for details: {run}/e3sm.log.{log_id}"
        try:
            with case.logged("model execution", batch_job()):
                status = subprocess.run(command, cwd=run, shell=True, env=environment, check=False).returncode
                if status in (-signal.SIGTERM, 128 + signal.SIGTERM):
                    time.sleep(5.0)  # a batch system ends all of a job at once, and this script says no more
                expect(status == 0, f"Command: '{command} ' failed with error '' from dir '{run}'")
        except CaseError:
            case.read()
            raise CaseError(wrong) from None
        case.read()  # the user may have changed variables meanwhile
        stamp("MODEL EXECUTION HAS FINISHED")
        log = run / f"cpl.log.{log_id}"
        text = log.read_text(encoding="utf-8") if log.is_file() else ""
        expect(any(words in text for words in _TERMINATED), f"Model did not complete - see {log} \n ")
    _collect_timing(case, log_id)
    for file in glob.glob(str(run / f"*.log.{log_id}")):
        _zip(Path(file))
    if continues:
        case.set("CONTINUE_RUN", case.get("RESUBMIT_SETS_CONTINUE_RUN"))
        case.flush()
    if resubmit and not case.true("EXTERNAL_WORKFLOW"):
        say("check for resubmit")
        if (
            not case.true("DOUT_S")
            and case.number("RESUBMIT") > 0
            and not faults.play(source, "chain_stops", name)
        ):
            submit(case, resubmit=True, no_batch=no_batch)
    stamp("CASE.RUN HAS FINISHED")


def _collect_timing(case: Case, log_id: str) -> None:
    """The summary of the timing of a run, from what the model left."""
    raw = case.path("RUNDIR") / "timing" / "seconds"
    if not raw.is_file():
        return
    initial, seconds, years = map(float, raw.read_text(encoding="utf-8").split())
    place = case.root / "timing"
    place.mkdir(exist_ok=True)
    nodes = case.derived()["NUM_NODES"] * case.number("MAX_MPITASKS_PER_NODE")
    cost = nodes * seconds / 3600.0 / max(years, 1e-9)
    text = f"""---------------- TIMING PROFILE ---------------------
  Case        : {case.get("CASE")}
  LID         : {log_id}
  Machine     : {case.get("MACH")}
  Caseroot    : {case.root}

  total pes active           : {case.get("TOTALPES")}
  mpi tasks per node         : {case.derived()["TASKS_PER_NODE"]}
  pe count for cost estimate : {nodes}

  Overall Metrics:
    Model Cost:         {cost:10.2f}   pe-hrs/simulated_year
    Model Throughput:   {years / seconds * 86400.0:10.2f}   simulated_years/day

    Init Time   :  {initial:10.3f} seconds
    Run Time    :  {seconds:10.3f} seconds   {seconds / max(years * 365.0, 1e-9):10.3f} seconds/day
    Final Time  :       0.001 seconds

    TOT Run Time:  {seconds:10.3f} seconds   {seconds / max(years * 365.0, 1e-9):10.3f} seconds/mday
    LND Run Time:  {seconds:10.3f} seconds   {seconds / max(years * 365.0, 1e-9):10.3f} seconds/mday
"""
    (place / f"e3sm_timing.{case.get('CASE')}.{log_id}").write_text(text, encoding="utf-8")
    case.status(f"  Timing files created for run {log_id}")


def _zip(path: Path) -> None:
    with path.open("rb") as plain, gzip.open(f"{path}.gz", "wb") as packed:
        shutil.copyfileobj(plain, packed)
    path.unlink()


# --- archive ------------------------------------------------------------------------------------


def case_st_archive(words: list[str]) -> int:
    """`case.st_archive`: moves the output away, and submits the next run where one is due."""
    given = _parsed("case.st_archive", words, "--resubmit", "--copy-only", caseroot="")
    _archive(Case("."), resubmit=given.resubmit)
    return 0


def _archive(case: Case, *, resubmit: bool = False, no_batch: bool = False) -> None:
    run, root, name = case.path("RUNDIR"), case.path("DOUT_S_ROOT"), case.get("CASE")
    say("st_archive starting")
    with case.logged("st_archive", batch_job()):
        for file in run.glob("*.log.*"):
            _move(file, root / "logs")
        sets = sorted(
            {
                match[1]
                for file in run.glob(f"{name}.cpl.r.*.nc")
                if (match := re.search(r"\.(\d{4}-\d\d-\d\d-\d{5})\.nc$", file.name))
            }
        )
        history = sorted(run.glob(f"{name}.elm.h[0-9].*.nc"))
        needed = {re.search(r"\.(h\d)\.", file.name)[1]: file for file in history}  # type: ignore[index]
        for date in sets:
            place = root / "rest" / date
            newest = date == sets[-1]
            members = [file for file in run.glob(f"{name}.*{date}.nc") if ".elm.h" not in file.name]
            for file in (*members, *(run.glob("rpointer.*") if newest else ())):
                (_copy if newest else _move)(file, place)
            if not newest:
                files = {"lnd": f"./{name}.elm.r.{date}.nc", "drv": f"{name}.cpl.r.{date}.nc"}
                files["atm"] = f"{name}.datm.r.{date}.nc\n{name}.datm.rs1.{date}.bin"
                for component, pointed in files.items():
                    (place / f"rpointer.{component}").write_text(f"{pointed}\n", encoding="utf-8")
            if not newest and not case.true("DOUT_S_SAVE_INTERIM_RESTART_FILES"):
                shutil.rmtree(place)
                continue
            if newest:
                for file in needed.values():
                    _copy(file, place)
        for file in history:
            kept = sets and file in needed.values()
            (_copy if kept else _move)(file, root / "lnd" / "hist")
    say("st_archive completed")
    stops = faults.play(case.path("SRCROOT"), "chain_stops", name) if case.number("RESUBMIT") > 0 else None
    if resubmit and not case.true("EXTERNAL_WORKFLOW") and case.number("RESUBMIT") > 0 and not stops:
        say(f"resubmitting from st_archive, resubmit={case.get('RESUBMIT')}")
        submit(case, resubmit=True, no_batch=no_batch)


def _copy(file: Path, place: Path) -> None:
    place.mkdir(parents=True, exist_ok=True)
    shutil.copy2(file, place)


def _move(file: Path, place: Path) -> None:
    place.mkdir(parents=True, exist_ok=True)
    (place / file.name).unlink(missing_ok=True)
    shutil.move(file, place)


COMMANDS = {
    "case.setup": case_setup,
    "case.build": case_build,
    "case.submit": case_submit,
    "check_case": check_case,
    "check_input_data": check_input_data,
    "preview_namelists": preview_namelists,
    "preview_run": preview_run,
}
assert set(JOBS) >= {"case.run", "case.st_archive"}
