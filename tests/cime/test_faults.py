"""What goes wrong on clusters: each fault ends in one line, or in a continuation with the same products."""

from __future__ import annotations

import errno
import fcntl
import gzip
import os
import shutil
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from phase_lib.base.errors import InputError, ModelAbort
from phase_lib.base.files import read_json
from phase_lib.elm.restart import read_header
from phase_lib.elm.soil_budget import BUDGET_FIELDS
from phase_lib.landmodel.cime import checks, launching, trial
from phase_lib.landmodel.cime.case import Case
from phase_lib.landmodel.cime.cases import MADE, Cases
from phase_lib.landmodel.cime.run_files import RunFiles
from phase_lib.landmodel.cime.running import Run, prepare
from phase_lib.landmodel.domain import ANNUAL_TAPE, CYCLE_TAPE, Domain, Segment
from tests.cime.conftest import CYCLE, Desk, new_desk
from tests.cime.double.cases import change, query, run
from tests.helpers.layouts import contents


@pytest.fixture(scope="module")
def undisturbed(built: Desk) -> Segment:
    """The first two cycles of AD."""
    return built.run(segment_of(built, "undisturbed"))


def segment_of(desk: Desk, case: str) -> Segment:
    """The first two cycles of AD, in a case of its own."""
    return desk.segment(case, "ad", 1, 2 * CYCLE, None)


def assert_same_products(one: Segment, other: Segment) -> None:
    """Restart and history are the same to the last bit, but for texts, which name the case."""
    pairs = [(one.restart, other.restart)]
    for tape in (CYCLE_TAPE, ANNUAL_TAPE):
        pairs += zip(one.history(tape), other.history(tape), strict=True)
    for here, there in pairs:
        values, wanted = contents(here), contents(there)
        assert values.keys() == wanted.keys()
        numbers = [name for name in values if values[name].dtype.kind != "S"]
        assert all(values[name].tobytes() == wanted[name].tobytes() for name in numbers), here.name


def refusal(desk: Desk, segment: Segment, kind: type[Exception] = ModelAbort) -> str:
    """The one line with which a segment ends."""
    with pytest.raises(kind) as caught:
        desk.run(segment)
    line = str(caught.value)
    assert "\n" not in line
    assert not segment.restart.exists()
    return line


def test_a_model_that_stops_says_why_in_one_line_and_the_next_try_begins_anew(
    built: Desk, undisturbed: Segment
) -> None:
    built.checkout.play("balance", "balance", year=2)
    segment = segment_of(built, "balance")
    line = refusal(built, segment)
    assert "the model stopped in balance: lnd.log." in line
    assert "column cbalance error" in line
    assert_same_products(built.run(segment), undisturbed)
    assert "CONTINUE_RUN --val TRUE" not in (built.case("balance") / "replay.sh").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("fault", "says", "goes_on"),
    [
        ("kill", ".case.run was killed by signal 9", True),
        # The restart of year 2 is half written.
        ("kill_in_restart", ".case.run was killed by signal 9", False),
        ("node", "RUN FAIL", True),
    ],
)
def test_a_killed_run_goes_on_from_its_last_whole_restart(
    built: Desk, undisturbed: Segment, fault: str, says: str, goes_on: bool
) -> None:
    built.checkout.play(fault, fault, year=2)
    segment = segment_of(built, fault)
    assert says in refusal(built, segment)
    assert_same_products(built.run(segment), undisturbed)
    replay = (built.case(fault) / "replay.sh").read_text(encoding="utf-8")
    assert ("CONTINUE_RUN --val TRUE" in replay) is goes_on


@pytest.mark.parametrize(
    ("case", "left", "period", "starts"),
    # Within a year the next start is to its end, so that the years after it have restarts.
    [("early", 0.01, "year", 1), ("early_with_time", 1.0, "year", 1), ("early_in_a_year", 1.0, "day", 2)],
)
def test_a_run_that_stops_early_by_itself_goes_on_now_or_in_the_next_job(
    built: Desk,
    undisturbed: Segment,
    monkeypatch: pytest.MonkeyPatch,
    case: str,
    left: float,
    period: str,
    starts: int,
) -> None:
    hours = [1.0, left]  # that the job has, before the first start and after it
    monkeypatch.setattr(
        launching, "hours_left", lambda settings: hours.pop(0) if len(hours) > 1 else hours[0]
    )
    desk = built.with_settings(margin_minutes=1.0, force_stop_at=period)
    built.checkout.play("early_stop", case, year=2)
    segment = segment_of(desk, case)
    if left < 1.0:
        line = refusal(desk, segment)
        assert "early is at 0003-01-01 of 0005-01-01, and the time of its job is used up" in line
        assert "run the same command again, it goes on from there" in line
        hours[:] = [1.0]
        desk = desk.with_settings(tasks=2, tasks_per_node=2)
    assert_same_products(desk.run(segment), undisturbed)
    status = (desk.case(case) / "CaseStatus").read_text(encoding="utf-8")
    assert status.count("case.run starting") == 1 + starts
    logs = [gzip.decompress(path.read_bytes()).decode() for path in desk.files(case).glob("lnd.log.*.gz")]
    assert f"local restart file {case}.elm.r.0004-01-01" in "".join(logs)
    # Keys of jobs that were changed before the next try count in it.
    assert query(desk.case(case), "NTASKS", "--subgroup", "LND") == str(desk.settings.tasks or 1)


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("truncated_restart", "truncated_restart.elm.r.0003-01-01-00000.nc"),
        ("no_rpointer", "rpointer.lnd: cannot be read"),
        ("empty_rpointer", "rpointer.lnd: is empty"),
    ],
)
def test_a_run_without_a_whole_restart_at_its_end_is_no_result(built: Desk, fault: str, says: str) -> None:
    built.checkout.play(fault, fault, year=3)
    segment = built.segment(fault, "ad", 1, CYCLE, None)
    assert says in refusal(built, segment)
    # The next try begins anew.
    assert not (built.case(fault) / "segment.json").exists()


def test_a_failed_build_says_the_compilers_line_and_goes_on(world: Path, tmp_path: Path) -> None:
    desk = new_desk(world, tmp_path)
    desk.checkout.play("build")
    with pytest.raises(
        ModelAbort, match=r"case.build: .*build e3sm failed.*make: \*\*\* \[e3sm.exe\] Error 1"
    ):
        desk.make()
    assert not (desk.case("base").with_name("built.json")).exists()
    desk.make()
    assert (desk.case("base").with_name("built.json")).is_file()


def test_two_processes_never_work_in_one_case(built: Desk) -> None:
    segment = segment_of(built, "twice")
    built.checkout.play("abort", "twice", year=1)
    refusal(built, segment)
    handle = os.open(built.case("twice") / ".phase.lock", os.O_RDWR)
    fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        line = refusal(built, segment, InputError)
        # Nor is it made anew, nor is the executable that it uses.
        (built.case("twice") / MADE).write_text('{"stamp": "of an earlier base"}', encoding="utf-8")
        assert refusal(built, segment, InputError) == line
        assert (built.case("twice") / "CaseStatus").is_file()
        with pytest.raises(InputError, match="another process is at work in this case"):
            Cases(built.case("base").parent, built.settings, "sites").make_base(built.domain)
    finally:
        os.close(handle)
    assert "another process is at work in this case" in line
    assert (built.case("base") / "CaseStatus").is_file()


def test_a_file_system_without_locks_is_refused(built: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(handle: int, how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    base = Case(built.case("base"))
    with pytest.raises(InputError, match=r"cannot be locked \(No locks available\)"), base.locked():
        raise AssertionError


def test_a_set_without_a_restart_of_its_history_is_not_whole(
    built: Desk, undisturbed: Segment, tmp_path: Path
) -> None:
    shutil.copytree(built.files("undisturbed"), tmp_path / "run")
    files = RunFiles("undisturbed", tmp_path / "run", tmp_path / "archive")
    assert str(files.restart_set().date) == "0005-01-01"
    next(files.run.glob("*.rh1.0005-01-01-*")).unlink()
    with pytest.raises(ModelAbort, match=r"rh1.0005-01-01-00000.nc: is missing"):
        files.restart_set()


def test_a_cold_start_takes_no_restart_that_the_grid_has_by_default(built: Desk) -> None:
    cases = Cases(built.case("base").parent, built.settings, "sites")
    clone = cases.clone("cold")
    change(clone.directory, LND_GRID="f09_f09", ELM_FORCE_COLDSTART="off")
    assert run(clone.directory, "case.setup", "--disable-git").returncode == 0
    [default] = clone.namelist("lnd_in")["finidat"]
    assert default.endswith("f09_f09.elm.r.nc")
    prepare(Run(built.segment("cold", "ad", 1, CYCLE, None), clone, cases))
    assert not clone.namelist("lnd_in")["finidat"][0].strip()


def test_the_time_that_is_left_is_that_of_the_job(
    built: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("SLURM_JOB_END_TIME", str(round(time.time()) + 7200))
    assert launching.hours_left(built.settings) == pytest.approx(2.0, abs=0.01)
    # A controller that does not answer is no job without a limit.
    monkeypatch.delenv("SLURM_JOB_END_TIME")
    monkeypatch.setattr(launching, "_PAUSES", (0.0, 0.0))
    squeue = tmp_path / "squeue"
    squeue.write_text("#!/bin/sh\necho >> asked\nexit 1\n", encoding="utf-8")
    squeue.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="the time left of job 7 is not known"):
        launching.hours_left(built.settings)
    assert len((tmp_path / "asked").read_text().splitlines()) == 3


def test_a_job_that_ends_while_its_session_comes_back_is_not_submitted_again(
    built: Desk, undisturbed: Segment, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = built.with_settings(submit="cime")
    segment = desk.run(segment_of(desk, "back"))
    segment.restart.unlink()
    seen = ["101"]  # once, and then no more
    monkeypatch.setattr(launching, "job_of", lambda case: seen.pop() if seen else None)
    assert_same_products(desk.run(segment), undisturbed)
    assert seen == []
    status = (desk.case("back") / "CaseStatus").read_text(encoding="utf-8")
    assert status.count("case.submit starting") == 1


def test_a_model_that_stops_twice_for_one_reason_is_not_run_a_third_time(
    built: Desk, undisturbed: Segment
) -> None:
    built.checkout.play("abort", "again", year=2, times=2)
    segment = segment_of(built, "again")
    lines = [refusal(built, segment) for _ in range(3)]
    assert "again has stopped 2 times for the same reason" in lines[2]
    reason = "urban net radiation balance error | ENDRUN:ERROR in UrbanRadiationMod.F90 at line 402"
    assert all(reason in line for line in lines)
    status = built.case("again") / "CaseStatus"
    assert status.read_text(encoding="utf-8").count("model execution starting") == 2
    (built.case("again") / "failure.json").unlink()
    assert_same_products(built.run(segment), undisturbed)
    # Restarts on the way are gone when the segment has ended.
    assert {path.name[-19:-9] for path in built.files("again").glob("*.r.*.nc")} == {"0005-01-01"}


def test_a_path_that_is_too_long_for_a_namelist_is_a_finding_of_the_check(built: Desk) -> None:
    long = Path("/" + "/".join(["directory"] * 30)) / "injected.elm.r.0003-01-01-00000.nc"
    segments = [segment_of(built, "ad"), built.segment("injected", "normal", 3, CYCLE, long)]
    [fault] = trial._of_restarts(segments)
    assert f"has {len(str(long))} characters; expected at most 256" in str(fault)


def test_only_values_that_differ_are_set_and_a_reference_to_another_one_differs(built: Desk) -> None:
    clone = Cases(built.case("base").parent, built.settings, "sites").clone("sparing")
    clone.change({"STOP_N": 7})
    replay = clone.directory / "replay.sh"
    before = replay.read_text(encoding="utf-8")
    # REST_N is that of STOP_N as long as nothing else is said.
    clone.change({"STOP_N": 7, "DOUT_S": False, "REST_N": 7})
    said = replay.read_text(encoding="utf-8").removeprefix(before)
    assert said.split()[1:] == ["--id", "REST_N", "--val", "7"]
    clone.change({"STOP_N": 8})
    assert clone.query("REST_N") == "7"


def test_an_older_cime_that_always_uses_git_is_set_up_too(built: Desk) -> None:
    clone = Cases(built.case("base").parent, built.settings, "sites").clone("older")
    tool = clone.directory / "case.setup"
    real = tool.resolve()
    tool.unlink()
    wrong = "case.setup: error: unrecognized arguments: --disable-git"
    refusing = f'case "$*" in *--disable-git*) echo "{wrong}" >&2; exit 2;; esac'
    tool.write_text(f'#!/bin/bash\n{refusing}\nexec {real} "$@"\n', encoding="utf-8")
    tool.chmod(0o755)
    clone.set_up()
    assert (clone.directory / ".case.run").is_file()


def test_a_batch_system_whose_queue_cannot_be_asked_is_refused(built: Desk) -> None:
    cases = Cases(built.case("base").parent, built.with_settings(submit="cime").settings, "sites")
    clone = cases.clone("pbs")
    change(clone.directory, BATCH_SYSTEM="pbspro")
    with pytest.raises(InputError, match="has the batch system pbspro; expected SLURM, or none"):
        prepare(Run(built.segment("pbs", "ad", 1, CYCLE, None), clone, cases))


def test_a_restart_that_the_case_cannot_read_is_refused(built: Desk, undisturbed: Segment) -> None:
    case = Case(built.case("base"))
    header = read_header(undisturbed.restart)[0]
    assert header.flavour == "NETCDF3_64BIT_DATA"
    checks.readable(case, [header])
    with pytest.raises(InputError, match=r"0005-01-01-00000.nc: is NETCDF4, and base reads .* by pnetcdf"):
        checks.readable(case, [replace(header, flavour="NETCDF4")])


def test_files_that_are_no_netcdf_are_refused(built: Desk) -> None:
    clone = Cases(built.case("base").parent, built.settings, "sites").clone("adios")
    change(clone.directory, PIO_TYPENAME="adios")
    with pytest.raises(InputError, match=r"PIO_TYPENAME of LND is adios; expected one of default, pnetcdf"):
        checks.readable(clone, [])


def test_an_archiver_at_work_keeps_a_case_busy(built: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = [launching.Queued("12", "st_archive.base", "RUNNING", "None")]
    monkeypatch.setattr(launching, "queued", lambda case: jobs)
    assert launching.job_of(Case(built.case("base"))) == "12"


def test_the_archiver_may_move_the_files_away(
    built: Desk, undisturbed: Segment, world: Path, tmp_path: Path
) -> None:
    desk = new_desk(world, tmp_path, submit="cime", xmlchange={"DOUT_S": True}).make()
    segment = desk.run(segment_of(desk, "undisturbed"))
    assert list((desk.case("base").parent / "archive" / "undisturbed" / "lnd" / "hist").glob("*.nc"))
    assert_same_products(segment, undisturbed)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"machine": "nowhere"}, "create_newcase: No machine nowhere found"),
        ({"compset": "nothing"}, "Invalid compset name"),
        ({"xmlchange": {"NO_SUCH_NAME": 1}}, "No results found for variable NO_SUCH_NAME"),
        ({"namelists": {"elm": ["no_such_name = 1"]}}, "no_such_name"),
    ],
)
def test_what_cime_refuses_is_a_finding_of_the_check(
    world: Path, tmp_path: Path, settings: dict[str, Any], says: str
) -> None:
    desk = new_desk(world, tmp_path, **settings)
    [fault] = desk.model.check(desk.domain, [segment_of(desk, "ad")])
    assert says in str(fault)
    assert not desk.domain.directory.exists()


def test_a_field_that_this_elm_does_not_have_is_a_finding_and_one_named_at_run_time_is_none(
    world: Path, tmp_path: Path
) -> None:
    desk = new_desk(world, tmp_path)
    asked = [*BUDGET_FIELDS, "SOLUTIONP_vr", "LITR1C", "TOTSOMK"]
    segment = desk.segment("ad", "ad", 1, CYCLE, None, history_fields=asked)
    [fault] = trial._of_tapes(desk.settings, [segment])
    assert "TOTSOMK is no history field of this ELM" in str(fault)


def test_a_sound_set_up_has_no_finding_and_leaves_nothing_behind(world: Path, tmp_path: Path) -> None:
    desk = new_desk(world, tmp_path)
    injected = desk.segment("injected", "normal", 3, CYCLE, tmp_path / "to_come.elm.r.0003-01-01-00000.nc")
    assert list(desk.model.check(desk.domain, [segment_of(desk, "ad"), injected])) == []
    assert not desk.domain.directory.exists()
    assert not list(tmp_path.glob("output/*"))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"xmlchange": {"STOP_N": 5}}, "xmlchange sets STOP_N, which follows from the segment; leave it out"),
        ({"namelists": {"elm": ["hist_nhtfrq = 0"]}}, "namelists.elm sets hist_nhtfrq"),
        ({"namelists": {"elm": ["hist_fincl4 = 'TLAI'"]}}, "namelists.elm sets hist_fincl4"),
        ({"namelists": {"cpl": ["wall_time_limit=2"]}}, "the job's limit and cime.margin_minutes"),
        ({"streams": ["/no/solar.txt"]}, "is not called user_datm.streams.txt.NAME"),
    ],
)
def test_a_line_of_the_user_that_contradicts_the_workflow_is_refused(
    world: Path, tmp_path: Path, settings: dict[str, Any], says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        new_desk(world, tmp_path, **settings)


def test_a_list_of_the_namelist_is_read_back_whole(built: Desk) -> None:
    cases = Cases(built.case("base").parent, built.settings, "sites")
    begun = Run(built.segment("lists", "ad", 1, CYCLE, None), cases.clone("lists"), cases)
    prepare(begun)
    lnd_in = begun.case.directory / "CaseDocs" / "lnd_in"
    text = lnd_in.read_text(encoding="utf-8")
    assert "hist_nhtfrq = -17520,-8760,-17520" in text
    lnd_in.write_text(text.replace("-17520,-8760,-17520", "-17520,-24,-17520"), encoding="utf-8")
    says = r"hist_nhtfrq is -17520, -24, -17520; expected -17520, -8760, -17520"
    with pytest.raises(InputError, match=says):
        checks.before(begun.segment, begun.case, begun.tapes, continued=False)


def test_other_inputs_make_another_base_and_another_compiler_another_executable(
    world: Path, tmp_path: Path
) -> None:
    desk = new_desk(world, tmp_path)
    cases = Cases(desk.case("base").parent, desk.settings, "sites")

    def stamp(cases: Cases, domain: Domain = desk.domain) -> str:
        cases.make_base(domain)
        return str(read_json(cases.made)["stamp"])

    stamps = [stamp(cases)]
    executable = cases.directory / "bld" / "e3sm.exe"
    executable.touch()
    assert stamp(cases) == stamps[0]
    with Path(desk.settings.streams[0]).open("a", encoding="utf-8") as stream:
        stream.write("\n")
    stamps.append(stamp(cases))
    assert desk.domain.forcing is not None
    forcing = replace(desk.domain.forcing, align_year=1 + CYCLE)
    stamps.append(stamp(cases, replace(desk.domain, forcing=forcing)))
    assert executable.is_file()
    stamps.append(stamp(replace(cases, settings=desk.with_settings(compiler="intel").settings)))
    assert not executable.is_file()
    assert len(set(stamps)) == 4


def test_a_key_that_a_case_which_exists_does_not_take_is_refused(
    built: Desk, world: Path, tmp_path: Path
) -> None:
    desk = new_desk(world, tmp_path, cases={"sites": str(built.case("base"))})
    with pytest.raises(InputError, match=r"cime.datm_mode: does nothing in a case that exists"):
        desk.make()


def test_a_case_that_exists_keeps_its_tasks_and_its_mortality_factor(
    built: Desk, world: Path, tmp_path: Path
) -> None:
    case = tmp_path / "mine"
    words = ["--case", case, "--clone", built.case("base"), "--keepexe"]
    subprocess.run([built.checkout.create_clone, *words], check=True, capture_output=True)
    change(case, NTASKS=4)
    lines = (case / "user_nl_elm").read_text(encoding="utf-8") + "spinup_mortality_factor = 7\n"
    (case / "user_nl_elm").write_text(lines, encoding="utf-8")
    assert run(case, "case.setup", "--disable-git").returncode == 0
    change(case, BUILD_COMPLETE="TRUE")
    desk = new_desk(world, tmp_path / "desk", cases={"sites": str(case)}, datm_mode=None, streams=[]).make()
    segment = desk.segment("ad", "ad", 1, CYCLE, None)
    asked = desk.model.job("ad", segment).resources
    assert asked == {"tasks": 4, "nodes": 1, "cpus_per_task": 1, "mpi": "srun", "mem_mb": 0}
    cases = Cases(desk.case("base").parent, desk.settings, "sites")
    with pytest.raises(InputError, match=r"lnd_in: spinup_mortality_factor is 7; expected 10, as in spinup"):
        prepare(Run(segment, cases.clone("ad"), cases))
    segment = desk.segment("ad", "ad", 1, CYCLE, None, spinup_mortality_factor=7.0)
    prepare(Run(segment, cases.clone("ad"), cases))
    assert query(desk.case("ad"), "NTASKS", "--subgroup", "LND") == "4"
    # Tasks that are typed count more.
    typed = Cases(cases.directory, desk.with_settings(tasks=2, tasks_per_node=2).settings, "sites")
    prepare(Run(segment, cases.clone("ad"), typed))
    assert query(desk.case("ad"), "NTASKS", "--subgroup", "LND") == "2"


def test_a_case_that_exists_is_used_and_stays_as_it_is(
    built: Desk, undisturbed: Segment, world: Path, tmp_path: Path
) -> None:
    base = built.case("base")
    desk = new_desk(world, tmp_path, cases={"sites": str(base)}, datm_mode=None, streams=[])
    before = {path: path.read_bytes() for path in base.rglob("*") if path.is_file()}
    assert_same_products(desk.make().run(segment_of(desk, "undisturbed")), undisturbed)
    assert not desk.case("base").exists()
    assert {path: path.read_bytes() for path in base.rglob("*") if path.is_file()} == before
