"""The stand-in for E3SM behaves as CIME and ELM do where a workflow depends on it."""

from __future__ import annotations

import gzip
import re
import shutil
import subprocess
from pathlib import Path

import netCDF4
import numpy as np
import pytest

from phase_lib.config.spinup import SpinupSettings
from phase_lib.elm.domain import read_domain
from phase_lib.elm.soil_budget import BUDGET_FIELDS
from phase_lib.forcing.reduce import reduce_forcing
from phase_lib.landmodel.domain import ANNUAL_TAPE, CYCLE_TAPE, Domain, Segment
from phase_lib.landmodel.embedded.segment import run_segment
from tests.cime.conftest import WORLD
from tests.cime.double import DESK, Checkout, lay_out
from tests.cime.double.cases import TAPES, built_case, change, files_of, namelist, new_case, query, run
from tests.helpers.warm_phase import ADDRESS

NORMAL = "-bgc bgc -nutrient cnp -nutrient_comp_pathway rd -soil_decomp ctc -methane"
LEAVING_AD = re.compile(r"taking .* out of AD spinup mode")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    return lay_out(tmp_path_factory.mktemp("e3sm"), {"forcing_limit_km": WORLD.forcing_limit_km})


@pytest.fixture(scope="module")
def template(checkout: Checkout, world: Path) -> Path:
    """A case that is ready to run, for clones."""
    return built_case(checkout, world, "template")


@pytest.fixture
def case(checkout: Checkout, template: Path, request: pytest.FixtureRequest) -> Path:
    """A clone of the template with the name of the test."""
    return clone(checkout, template, re.sub(r"\W", "_", request.node.name)[-40:])


def clone(checkout: Checkout, template: Path, name: str) -> Path:
    place = checkout.place / "cases" / name
    words = [checkout.create_clone, "--case", place, "--clone", template, "--keepexe"]
    subprocess.run(words, check=True, capture_output=True)
    assert run(place, "case.setup", "--disable-git").returncode == 0
    return place


def run_directory(case: Path) -> Path:
    return Path(query(case, "RUNDIR"))


def log(case: Path, component: str) -> str:
    """The newest log of a component."""
    (*_, newest) = sorted(
        run_directory(case).glob(f"{component}.log.*"), key=lambda path: path.stat().st_mtime_ns
    )
    return gzip.decompress(newest.read_bytes()).decode() if newest.suffix == ".gz" else newest.read_text()


def reached(case: Path) -> str:
    """The date in the line after that of the successful end."""
    lines = log(case, "cpl").splitlines()
    (place,) = (number for number, line in enumerate(lines) if "SUCCESSFUL TERMINATION" in line)
    return lines[place + 1].split()[-3]


def content_of(path: Path, *names: str) -> dict[str, np.ndarray]:
    with netCDF4.Dataset(path) as dataset:
        return {name: np.asarray(dataset[name][...]) for name in names}


def content(path: Path) -> dict[str, bytes]:
    """The variables of a file, without the names of other files."""
    with netCDF4.Dataset(path) as dataset:
        dataset.set_auto_maskandscale(False)
        variables = dataset.variables.items()
        return {name: values[...].tobytes() for name, values in variables if not name.startswith("locfn")}


# --- commands ---------------------------------------------------------------------------------------------


def test_values_come_back_in_the_order_of_their_groups(case: Path) -> None:
    asked = ("RUNDIR", "EXEROOT", "DOUT_S_ROOT", "CASE")
    answered = [query(case, name) for name in ("EXEROOT", "CASE", "RUNDIR", "DOUT_S_ROOT")]
    assert query(case, ",".join(asked)) == ",".join(answered)
    result = run(case, "xmlquery", "RUNDIR,NO_SUCH", "--value")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == "ERROR:  No results found for variable NO_SUCH\n"


def test_values_of_components_and_jobs_have_a_subgroup(case: Path) -> None:
    assert query(case, "NTASKS").startswith("['CPL:1', 'ATM:1', 'LND:1'")
    assert query(case, "NTASKS", "--subgroup", "LND") == "1"
    change(case, JOB_WALLCLOCK_TIME="01:00:00")
    run(case, "xmlchange", "JOB_WALLCLOCK_TIME=03:00:00", "--subgroup", "case.run")
    assert query(case, "JOB_WALLCLOCK_TIME") == "01:00:00,01:00:00,03:00:00,01:00:00"
    assert query(case, "JOB_WALLCLOCK_TIME", "--subgroup", "case.run") == "03:00:00"


def test_settings_before_a_refused_one_are_written(case: Path) -> None:
    result = run(case, "xmlchange", "STOP_N=7,NO_SUCH=1")
    assert (result.returncode, result.stderr) == (1, "ERROR: No variable NO_SUCH found in case\n")
    assert query(case, "STOP_N") == "7"


def test_what_is_appended_twice_stands_there_twice(case: Path) -> None:
    change(case, ELM_BLDNML_OPTS=NORMAL)
    for _ in range(2):
        run(case, "xmlchange", "--append", "ELM_BLDNML_OPTS=-bgc_spinup on")
    assert query(case, "ELM_BLDNML_OPTS").count("-bgc_spinup on") == 2


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("STOP_N=abc", "listed as type int but value 'abc'"),
        ("STOP_OPTION=foo", "Did not find foo in valid values for STOP_OPTION"),
        ("DOUT_S=maybe", "listed as type logical but had val 'maybe'"),
        ("NUM_NODES=3", "Cannot xmlchange derived attribute NUM_NODES"),
        ("JOB_QUEUE=cpu", "Unknown Job Queue specified"),
    ],
)
def test_wrong_values_are_refused(template: Path, setting: str, words: str) -> None:
    before = (template / "CaseStatus").read_text()
    result = run(template, "xmlchange", setting)
    assert result.returncode == 1
    assert re.fullmatch(r"ERROR: .*\n", result.stderr)
    assert words in result.stderr
    assert (template / "CaseStatus").read_text() == before
    assert f"./xmlchange {setting}\n" in (template / "replay.sh").read_text()  # whatever became of it


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"--compset": "NO_SUCH"}, "Invalid compset name"),
        ({"--res": "NO_SUCH"}, "no alias NO_SUCH defined"),
        ({"--machine": "NO_SUCH"}, "No machine NO_SUCH found"),
        ({"--compiler": "NO_SUCH"}, "compiler NO_SUCH is not supported on machine desk"),
    ],
)
def test_a_refused_creation_leaves_no_case(checkout: Checkout, changed: dict[str, str], words: str) -> None:
    result = create(checkout, "refused", changed | {"--handle-preexisting-dirs": "u"})
    assert (result.returncode, result.stderr.count("\n")) == (1, 1)
    assert words in result.stderr
    assert not (checkout.place / "cases" / "refused").exists()


def create(checkout: Checkout, name: str, changed: dict[str, str]) -> subprocess.CompletedProcess[str]:
    usual = {"--compset": "I1850CNPRDCTCBC", "--res": "ELM_USRDAT", "--machine": DESK, "--compiler": "gnu"}
    usual |= {"--extra-machines-dir": str(checkout.machines), "--driver": "mct"}
    words = [word for pair in (usual | changed).items() for word in pair]
    command = [checkout.create_newcase, "--case", checkout.place / "cases" / name, *words]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)


def test_an_existing_case_is_refused_and_existing_output_is_asked_about(checkout: Checkout) -> None:
    (checkout.place / "output" / "twice" / "run").mkdir(parents=True)
    asks = create(checkout, "twice", {})
    assert (asks.returncode, "EOFError" in asks.stderr) == (1, True)
    assert "Aborting by user request" in create(checkout, "twice", {"--handle-preexisting-dirs": "a"}).stderr
    assert create(checkout, "twice", {"--handle-preexisting-dirs": "u"}).returncode == 0
    again = create(checkout, "twice", {"--handle-preexisting-dirs": "u"})
    assert re.fullmatch(r"ERROR: Case directory .*/cases/twice already exists\n", again.stderr)


def test_a_relative_directory_of_machine_files_is_lost_later(checkout: Checkout) -> None:
    command = [checkout.create_newcase, "--case", "cases/relative", "--compset", "I1850CNPRDCTCBC"]
    command += ["--res", "ELM_USRDAT", "--machine", DESK, "--extra-machines-dir", "machines"]
    subprocess.run(command, cwd=checkout.place, check=True, capture_output=True)
    result = run(checkout.place / "cases" / "relative", "case.setup", "--disable-git")
    assert (result.returncode, result.stderr) == (1, f"ERROR: No machine {DESK} found\n")


def test_another_layout_asks_for_a_reset_that_forgets_the_build(case: Path) -> None:
    changed = run(case, "xmlchange", "NTASKS=2")  # what it says does not mean that it failed
    assert (changed.returncode, "NTASKS_LND" in changed.stderr) == (0, True)
    for command in ("check_case", "case.submit", ".case.run"):
        result = run(case, command)
        assert result.returncode == 1
        assert "./case.setup --reset" in result.stderr
    assert run(case, "case.setup", "--reset", "--disable-git").returncode == 0
    assert [query(case, name) for name in ("BUILD_COMPLETE", "TOTALPES", "NUM_NODES")] == ["FALSE", "2", "1"]
    assert "BUILD_COMPLETE is not true" in run(case, ".case.run").stderr


def test_the_name_of_a_case_can_be_changed_but_not_used(case: Path) -> None:
    change(case, CASE="other")
    assert "Cannot change `env_case.xml`" in run(case, "check_case").stderr


def test_a_failed_build_goes_on_when_its_status_is_put_back(checkout: Checkout, world: Path) -> None:
    case = new_case(checkout, world, "unbuilt")
    checkout.play("build", "unbuilt")
    first, second = run(case, "case.build"), run(case, "case.build")
    assert first.returncode == second.returncode == 1
    assert re.match(
        r"ERROR: BUILD FAIL: build e3sm failed, cat .*/bld/e3sm.bldlog\.\d{6}-\d{6}\n", first.stderr
    )
    assert "env_build HAS CHANGED" in second.stderr
    change(case, BUILD_STATUS=0)
    result = run(case, "case.build")
    assert result.stdout.splitlines()[-1] == "MODEL BUILD HAS FINISHED SUCCESSFULLY"
    assert query(case, "BUILD_COMPLETE") == "TRUE"


def test_the_default_coupler_does_not_build(checkout: Checkout, world: Path) -> None:
    case = new_case(checkout, world, "moab")
    change(case, COMP_INTERFACE="moab")
    assert "BUILD FAIL" in run(case, "case.build").stderr


def test_a_clone_shares_the_executable_and_takes_the_settings_over(case: Path, template: Path) -> None:
    assert query(case, "EXEROOT") == query(template, "EXEROOT")
    assert query(case, "RUNDIR") != query(template, "RUNDIR")
    assert query(case, "BUILD_COMPLETE") == "TRUE"
    assert (case / "user_nl_elm").read_text() == (template / "user_nl_elm").read_text()


def test_a_case_under_git_commits_what_is_done(
    checkout: Checkout, case: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    identity = checkout.place / "gitconfig"
    identity.write_text("[user]\nname = me\nemail = me@here\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(identity))
    assert run(case, "case.setup", "--reset").returncode == 0
    change(case, STOP_N=3)
    commits = subprocess.run(
        ["git", "log", "--format=%s"], cwd=case, capture_output=True, text=True, check=True
    )
    assert "xmlchange success" in commits.stdout.splitlines()[0]
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    without_name = run(case, "xmlchange", "STOP_N=4")
    assert (without_name.returncode, "ERROR" in without_name.stdout) == (0, True)


# --- namelists --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("no_such_name = 1", "Invalid namelist variable in '-infile'"),
        (f"finidat = '/{280 * 'x'}.nc'", "has a string element that is too long"),
        ("spinup_state = 0", "Namelist spinup_state contradicts the command line option bgc_spinup"),
        ("suplphos = 'MAYBE'", "values that does NOT match any of the valid values: 'NONE' 'ALL'"),
        ("hist_mfilt = 1.5", "Variable name hist_mfilt has values"),
        ("dtime = 3600", "can NOT set both -l_ncpl option"),
        ("this is no setting", "expect a equal '=' sign"),
    ],
)
def test_a_refused_namelist_leaves_the_last_one(case: Path, line: str, words: str) -> None:
    before = (case / "CaseDocs" / "lnd_in").read_text()
    with (case / "user_nl_elm").open("a") as file:
        file.write(f"{line}\n")
    result = run(case, "preview_namelists")
    assert result.returncode == 1
    assert words in result.stderr
    assert (case / "CaseDocs" / "lnd_in").read_text() == before


def test_the_last_of_two_lines_wins(case: Path) -> None:
    with (case / "user_nl_elm").open("a") as file:
        file.write("finidat = '/a path/one.nc'\nfinidat = '/a path/two.nc' ! a comment\nhist_mfilt = 12 20\n")
    assert run(case, "preview_namelists").returncode == 0
    for place in (case / "CaseDocs", run_directory(case)):
        lines = (place / "lnd_in").read_text().splitlines()
        assert " finidat = '/a path/two.nc'" in lines
        assert " hist_mfilt = 12,20" in lines


def test_ad_has_no_parameters_that_nobody_wrote(case: Path, world: Path) -> None:
    namelist(case, files_of(world))
    assert run(case, "preview_namelists").returncode == 0
    text = (case / "CaseDocs" / "lnd_in").read_text()
    assert " spinup_state = 1\n" in text
    assert " suplphos = 'NONE'\n" in text
    assert "nyears_ad_carbon_only" not in text
    assert "spinup_mortality_factor" not in text


def test_files_that_are_missing_are_no_fault_of_the_namelist(case: Path) -> None:
    with (case / "user_nl_elm").open("a") as file:
        file.write("finidat = '/no/such.nc'\n")
    assert run(case, "preview_namelists").returncode == 0
    checked = run(case, "check_input_data")
    assert checked.returncode == 1
    assert "Model elm missing file finidat = '/no/such.nc'" in checked.stdout
    submitted = run(case, "case.submit")
    assert (submitted.returncode, submitted.stderr) == (
        1,
        "ERROR: Could not find all inputdata on any server\n",
    )
    assert run(case, ".case.run").returncode == 1
    assert "GETFIL: FAILED to get /no/such.nc" in log(case, "lnd")


def test_stream_files_of_another_mode_stay(case: Path) -> None:
    change(case, DATM_MODE="CLM_QIAN")
    assert run(case, "preview_namelists").returncode == 0
    docs = case / "CaseDocs"
    named = re.findall(r'"(datm.streams.txt\S+) 1 1901 1902"', (docs / "datm_in").read_text())
    assert named == [f"datm.streams.txt.CLM_QIAN.{part}" for part in ("Solar", "Precip", "TPQW")]
    assert (docs / "datm.streams.txt.uELM_TES.Solr").is_file()


# --- runs -------------------------------------------------------------------------------------------------


def test_a_run_writes_what_the_embedded_model_writes(case: Path, world: Path, tmp_path: Path) -> None:
    monthly = tmp_path / "monthly.nc"
    forcing = sorted((world / "forcing").glob("*.nc"))
    grid = read_domain(world / "domain.lnd.nc")
    reduce_forcing(forcing, grid, monthly, first_year=1901, years=2, limit_km=WORLD.forcing_limit_km)
    names = {"surface": "surfdata", "params": "clm_params", "soil_params": "CNP_parameters"}
    files = {role: world / f"{name}.nc" for role, name in names.items()}
    domain = Domain(cycle=2, monthly=(monthly,), domain=world / "domain.lnd.nc", **files)
    fields = {"history_fields": ["SOIL3_HR_vr"], "annual_fields": list(BUDGET_FIELDS)}
    spinup = SpinupSettings(nyears_ad_carbon_only=1, **fields)
    segment = Segment("embedded", "ad", 1, 4, None, domain, tmp_path, spinup)
    run_segment(segment, WORLD)

    annual = ", ".join(f"'{name}'" for name in (*BUDGET_FIELDS, "GPP", "TOTSOMC"))
    text = files_of(world) + "suplphos = 'ALL'\nnyears_ad_carbon_only = 1\nspinup_mortality_factor = 10\n"
    text += "hist_empty_htapes = .true.\nhist_nhtfrq = -17520, -8760\nhist_mfilt = 1, 1\n"
    text += f"hist_fincl1 = 'GPP', 'TOTVEGC', 'SOIL4N_vr', 'SOIL3_HR_vr'\nhist_fincl2 = {annual}\n"
    namelist(case, text)
    change(case, STOP_N=4, REST_N=4)
    assert run(case, ".case.run").returncode == 0

    here = run_directory(case)
    written, expected = content(here / f"{case.name}.elm.r.0005-01-01-00000.nc"), content(segment.restart)
    assert written == expected
    for tape, years in ((CYCLE_TAPE, (3, 5)), (ANNUAL_TAPE, (2, 3, 4, 5))):
        means_of = [content(here / f"{case.name}.elm.h{tape}.{year:04d}-01-01-00000.nc") for year in years]
        expected = [content(path) for path in segment.history(tape)]
        asked = {name for name in means_of[0] if name[0].isupper()}
        for name in (asked & set(expected[0])) | {"time", "time_bounds", "mcdate"}:
            samples, means = (b"".join(one[name] for one in files) for files in (means_of, expected))
            assert samples == means, (tape, name)
        assert asked <= set(expected[0])


def finished(checkout: Checkout, template: Path, name: str) -> Path:
    """An undisturbed run of four years from the cold start."""
    case = clone(checkout, template, name)
    change(case, STOP_N=4, REST_N=1)
    assert run(case, ".case.run").returncode == 0
    return case


@pytest.fixture(scope="module")
def undisturbed(checkout: Checkout, template: Path) -> Path:
    return finished(checkout, template, "undisturbed")


def same_as_undisturbed(case: Path, undisturbed: Path) -> bool:
    """Whether the last restart and all history are those of the undisturbed run."""
    here, there = run_directory(case), run_directory(undisturbed)
    names = [path.name for path in there.glob("*.elm.h[0-9].*.nc")] + [
        f"{undisturbed.name}.elm.r.0005-01-01-00000.nc"
    ]
    pairs = [(here / name.replace(undisturbed.name, case.name, 1), there / name) for name in names]
    return all(content(one) == content(other) for one, other in pairs)


def test_a_good_run_says_so(undisturbed: Path) -> None:
    assert reached(undisturbed) == "00050101"
    status = (undisturbed / "CaseStatus").read_text()
    assert re.search(r"model execution success.*\n.*\n.*case.run success", status)
    here = run_directory(undisturbed)
    assert not list(here.glob("*.log.[0-9]*[0-9]"))  # all are packed
    assert {path.name.split(".")[0] for path in here.glob("*.log.*.gz")} == {"cpl", "e3sm", "lnd"}
    assert not list(here.glob("rpointer.*.prev"))
    pointer = (here / "rpointer.lnd").read_text()
    assert pointer.strip() == "./undisturbed.elm.r.0005-01-01-00000.nc"
    assert len(pointer) > len(pointer.strip())  # padded with blanks
    assert len((here / "rpointer.atm").read_text().split()) == 2
    (timing,) = (undisturbed / "timing").glob("e3sm_timing.undisturbed.*")
    assert re.search(r"Model Cost: +\d+\.\d+ +pe-hrs/simulated_year", timing.read_text())
    text = log(undisturbed, "lnd")
    assert "initial data created by model" in text
    assert re.search(r"nyears in carbon only mode = +1\n", text)
    assert re.search(r"dead wood mortality acceleration = +10\.0", text)


def test_the_first_file_of_a_tape_begins_with_a_sample_of_no_time(undisturbed: Path) -> None:
    here = run_directory(undisturbed)
    names = sorted(path.name.split(".")[3][:4] for path in here.glob("*.elm.h0.*.nc"))
    assert names == ["0001", "0003", "0005"]
    with netCDF4.Dataset(here / "undisturbed.elm.h0.0001-01-01-00000.nc") as dataset:
        np.testing.assert_allclose(dataset["time_bounds"][:], [[-1800.0 / 86400.0, 0.0]])
    with netCDF4.Dataset(here / "undisturbed.elm.h1.0001-01-01-00000.nc") as dataset:
        assert dataset["time"][:].tolist() == [0.0, 365.0, 730.0, 1095.0, 1460.0]


def test_a_run_in_two_parts_is_the_same_run(case: Path, undisturbed: Path) -> None:
    change(case, STOP_N=1)
    assert run(case, ".case.run").returncode == 0
    with (case / "user_nl_elm").open("a") as file:
        file.write("hist_fincl1 = 'TLAI'\n")  # a run that goes on has the tapes of its start
    change(case, STOP_N=3, CONTINUE_RUN="TRUE", RUN_STARTDATE="0777-01-01")
    assert run(case, ".case.run").returncode == 0
    assert reached(case) == "00050101"
    assert same_as_undisturbed(case, undisturbed)


def test_no_restart_where_its_alarm_does_not_ring(case: Path) -> None:
    change(case, STOP_N=3, REST_N=2)
    assert run(case, ".case.run").returncode == 0
    assert reached(case) == "00040101"
    assert "elm.r.0003-01-01" in (run_directory(case) / "rpointer.lnd").read_text()


def test_a_run_that_is_out_of_time_stops_with_a_restart(
    checkout: Checkout, case: Path, undisturbed: Path
) -> None:
    change(case, STOP_N=4, REST_N=4)
    namelist(case, "wall_time_limit = 2.0\nforce_stop_at = 'year'\n", "cpl")
    checkout.play("early_stop", case.name, year=2)
    assert run(case, ".case.run").returncode == 0
    assert "reached wall_time_limit" in log(case, "cpl")
    assert reached(case) == "00030101"
    change(case, STOP_N=2, REST_N=2, CONTINUE_RUN="TRUE")
    assert run(case, ".case.run").returncode == 0
    assert same_as_undisturbed(case, undisturbed)


@pytest.mark.parametrize(
    ("fault", "words"), [("abort", "ENDRUN:ERROR in "), ("balance", "column cbalance error =")]
)
def test_an_abort_shows_in_the_log_of_elm(checkout: Checkout, case: Path, fault: str, words: str) -> None:
    checkout.play(fault, case.name, year=2)
    result = run(case, ".case.run")
    assert result.returncode == 1
    assert re.search(
        r"ERROR: RUN FAIL: Command '.*' failed\nSee log file for details: .*/e3sm\.log\.", result.stderr
    )
    assert words in log(case, "lnd")
    assert "shr_abort_abort" in log(case, "e3sm")
    assert not list(run_directory(case).glob("*.gz"))
    assert "case.run error" in (case / "CaseStatus").read_text()


def test_a_killed_job_leaves_no_word(checkout: Checkout, case: Path) -> None:
    checkout.play("kill", case.name, year=2)
    assert run(case, ".case.run").returncode == -9
    assert (case / "CaseStatus").read_text().splitlines()[-2].endswith("model execution starting ")


def test_after_a_kill_among_restarts_the_set_before_counts(
    checkout: Checkout, case: Path, undisturbed: Path
) -> None:
    change(case, STOP_N=3)
    checkout.play("kill_in_restart", case.name, year=4)
    assert run(case, ".case.run").returncode == -9
    here = run_directory(case)
    assert "elm.r.0004" in (here / "rpointer.lnd").read_text()
    assert "elm.r.0003" in (here / "rpointer.lnd.prev").read_text()
    change(case, STOP_N=2, CONTINUE_RUN="TRUE")
    assert run(case, ".case.run").returncode == 0
    assert not list(here.glob("rpointer.*.prev"))
    assert same_as_undisturbed(case, undisturbed)


def test_a_run_cannot_go_on_without_its_pointers(checkout: Checkout, case: Path) -> None:
    change(case, STOP_N=1, CONTINUE_RUN="TRUE")
    submitted = run(case, "case.submit")
    assert submitted.returncode == 1
    assert "does not appear to have restart files staged" in submitted.stderr
    assert run(case, ".case.run").returncode == 1
    assert "rpointer file read returns an error condition" in log(case, "e3sm")
    change(case, CONTINUE_RUN="FALSE")
    checkout.play("no_rpointer", case.name)
    assert run(case, ".case.run").returncode == 0
    change(case, CONTINUE_RUN="TRUE")
    pointer = run_directory(case) / "rpointer.lnd"
    assert not pointer.exists()
    assert run(case, "case.submit").returncode == 0
    assert "Fortran runtime error: End of file" in log(case, "e3sm")
    assert pointer.read_text() == ""


def test_a_truncated_restart_is_a_good_run(checkout: Checkout, case: Path, undisturbed: Path) -> None:
    change(case, STOP_N=1)
    checkout.play("truncated_restart", case.name)
    assert run(case, ".case.run").returncode == 0
    assert reached(case) == "00020101"
    whole = restart_of(undisturbed, 2).stat().st_size
    assert restart_of(case, 2).stat().st_size == whole // 2


def restart_of(case: Path, year: int) -> Path:
    return run_directory(case) / f"{case.name}.elm.r.{year:04d}-01-01-00000.nc"


@pytest.fixture(scope="module")
def last_of_ad(undisturbed: Path) -> Path:
    """The last restart of AD, which nothing divides by: as if the model had not summed up `scalaravg_col`."""
    path = undisturbed / "last_of_ad.nc"
    shutil.copy2(restart_of(undisturbed, 5), path)
    with netCDF4.Dataset(path, "r+") as dataset:
        dataset["scalaravg_col"][:] = 1.0
    return path


def begin_normal(
    case: Path, world: Path, finidat: Path, year: int, lines: str = "", **values: object
) -> None:
    """Sets a case up to start in normal mode."""
    change(case, ELM_BLDNML_OPTS=NORMAL, RUN_STARTDATE=f"{year:04d}-01-01", CONTINUE_RUN="FALSE", **values)
    namelist(case, f"{files_of(world)}finidat = '{finidat}'\n{TAPES}")


def test_leaving_ad_is_written_down_and_multiplies(case: Path, world: Path, last_of_ad: Path) -> None:
    begin_normal(case, world, last_of_ad, 3, STOP_N=1)
    assert run(case, ".case.run").returncode == 0
    text = log(case, "lnd")
    assert len(LEAVING_AD.findall(text)) == 6
    assert "model is currently NOT in AD spinup mode." in text
    before, after = (content_of(path, "deadstemc", "soil4c_vr") for path in (last_of_ad, restart_of(case, 4)))
    # The namelist has no line for the factor: dead wood grows for a year, and is not ten times as much.
    assert 1.0 < after["deadstemc"].sum() / before["deadstemc"].sum() < 2.0
    assert after["soil4c_vr"].sum() == pytest.approx(27.39589 * before["soil4c_vr"].sum(), rel=0.02)
    # The clock is that of the namelist, and a second start from its end leaves nothing.
    begin_normal(case, world, restart_of(case, 4), 4)
    assert run(case, ".case.run").returncode == 0
    assert not LEAVING_AD.findall(log(case, "lnd"))


def test_a_new_start_destroys_the_last_file_of_the_run_before(
    case: Path, world: Path, last_of_ad: Path
) -> None:
    begin_normal(case, world, last_of_ad, 3, STOP_N=2)
    assert run(case, ".case.run").returncode == 0
    last = run_directory(case) / f"{case.name}.elm.h0.0005-01-01-00000.nc"
    with netCDF4.Dataset(last) as dataset:
        assert dataset["time_bounds"][:].tolist() == [[0.0, 730.0]]
        assert dataset["time"].units == "days since 0003-01-01 00:00:00"
        assert float(dataset["GPP"][:].max()) > 0.0
    begin_normal(case, world, restart_of(case, 5), 5)
    assert run(case, ".case.run").returncode == 0
    with netCDF4.Dataset(last) as dataset:
        assert dataset["time"][:].tolist() == [0.0]
        assert float(dataset["GPP"][:].max()) == 0.0


def test_two_days_show_the_state_as_it_was_read(case: Path, world: Path, last_of_ad: Path) -> None:
    begin_normal(case, world, last_of_ad, 3, STOP_N=1)
    assert run(case, ".case.run").returncode == 0
    start = restart_of(case, 4)
    change(case, STOP_OPTION="ndays", STOP_N=2, RUN_STARTDATE="0004-01-01")
    lines = "hist_empty_htapes = .true.\nhist_nhtfrq = 1\nhist_mfilt = 200\nhist_avgflag_pertape = 'I'\n"
    names = "hist_fincl1 = 'TOTSOMC', 'SOIL3C_vr'\n"
    namelist(case, f"{files_of(world)}finidat = '{start}'\n{lines}{names}")
    assert run(case, ".case.run").returncode == 0
    with netCDF4.Dataset(run_directory(case) / f"{case.name}.elm.h0.0004-01-01-00000.nc") as dataset:
        assert len(dataset["time"]) == 1 + 2 * 48
        layers = np.ma.filled(dataset["SOIL3C_vr"][0], np.nan)[:10].reshape(10, -1)
    with netCDF4.Dataset(start) as dataset:
        expected = dataset["soil3c_vr"][:, :10].T
    land = layers[:, np.isfinite(layers[0]) & (layers[0] < 1.0e30)]
    np.testing.assert_allclose(land, expected, rtol=1.0e-6)


def test_an_unknown_field_stops_elm(case: Path) -> None:
    with (case / "user_nl_elm").open("a") as file:
        file.write("hist_fincl1 = 'TOTSOMC', 'NO_SUCH'\n")
    assert run(case, ".case.run").returncode == 1
    assert "ERROR: NO_SUCH in fincl(2) for history tape 1 not found" in log(case, "lnd")


def test_the_archive_takes_all_but_what_the_next_run_needs(checkout: Checkout, case: Path) -> None:
    change(case, STOP_N=2, DOUT_S="TRUE", RESUBMIT=1)
    assert run(case, "case.submit").returncode == 0
    archive, here, name = Path(query(case, "DOUT_S_ROOT")), run_directory(case), case.name
    assert query(case, "RESUBMIT") == "0"
    assert query(case, "CONTINUE_RUN") == "TRUE"
    assert sorted(path.name for path in (archive / "rest").iterdir()) == [
        f"{year:04d}-01-01-00000" for year in (2, 3, 4, 5)
    ]
    assert [path.name for path in sorted(here.glob(f"{name}.elm.r.*.nc"))] == [restart_of(case, 5).name]
    years = [path.name.split(".")[3][:4] for path in sorted((archive / "lnd" / "hist").glob("*.h0.*.nc"))]
    assert years == ["0001", "0003", "0005"]
    assert (archive / "rest" / "0005-01-01-00000" / "rpointer.lnd").is_file()
    assert (here / "rpointer.lnd").is_file()
    assert list((archive / "logs").glob("cpl.log.*.gz"))
    assert not list((archive / "rest").rglob("*.datm.rs1.*"))


def test_an_archived_failure_is_submitted_again(checkout: Checkout, case: Path) -> None:
    change(case, STOP_N=1, DOUT_S="TRUE", RESUBMIT=1)
    checkout.play("abort", case.name)  # once: the second run is a good one
    result = run(case, "case.submit", "--no-batch")
    assert result.returncode == 0
    assert "Exception from case_run: ERROR: RUN FAIL" in result.stdout
    assert query(case, "RESUBMIT") == "0"
    assert query(case, "CONTINUE_RUN") == "TRUE"


def test_a_chain_may_end_without_a_word(checkout: Checkout, case: Path) -> None:
    change(case, STOP_N=1, RESUBMIT=2)
    checkout.play("chain_stops", case.name)
    assert run(case, "case.submit").returncode == 0
    assert query(case, "RESUBMIT") == "2"


def test_a_run_in_forks_is_a_run_of_its_own(case: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ADDRESS)
    change(case, STOP_N=1)
    assert run(case, ".case.run").returncode == 0
    assert reached(case) == "00020101"
    shutil.rmtree(run_directory(case))
