"""The command line: exit codes, one-line errors, settings and logs."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from phase_lib.base.errors import CheckFailed, InputError, ModelAbort
from phase_lib.cli import main, phase
from phase_lib.config.domains import ForcingFiles, TargetDomain
from phase_lib.fusion.fuse import Share
from phase_lib.landmodel.domain import Domain

COMMANDS = (
    "world",
    "forcing",
    "compare-forcing",
    "run-segment",
    "fuse",
    "join",
    "split",
    "normalize",
    "train",
    "predict",
    "compare-experiments",
    "inject",
    "audit",
    "compare-restarts",
    "inspect",
    "equilibrium",
    "correct",
    "report",
    "check",
    "bench",
)


_CONTEXT = click.Context(phase)
#: Every command of the group, which loads them when they are asked for.
ALL = {
    name: command
    for name in phase.list_commands(_CONTEXT)
    if (command := phase.get_command(_CONTEXT, name)) is not None
}


def run(*words: str) -> int:
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert isinstance(caught.value.code, int)
    return caught.value.code


def test_every_stage_of_the_chain_has_its_command() -> None:
    assert set(COMMANDS) <= set(ALL)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_and_every_option(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(command, "--help") == 0
    text = capsys.readouterr().out
    assert "Usage: phase" in text
    named = ALL[command]
    commands = named.commands.values() if hasattr(named, "commands") else [named]
    undocumented = [
        option.opts
        for item in commands
        for option in item.params
        if option.param_type_name == "option" and not option.help
    ]
    assert undocumented == []


def test_help_needs_no_heavy_import() -> None:
    import subprocess
    import sys

    code = (
        "import atexit, sys; from phase_lib.cli import main; heavy = ('torch', 'pydantic', 'numpy'); "
        "atexit.register(lambda: print([m for m in heavy if m in sys.modules])); main(['--help'])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    "words",
    [
        ("fuse",),
        ("fues",),
        ("split", "--kind", "odd"),
        ("check", "--no-such-option"),
        ("forcing", "--years", "0"),
    ],
)
def test_wrong_arguments_exit_2_with_one_line(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*words) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert err.startswith("phase: ")
    assert "--help" in err


@pytest.mark.parametrize(
    ("error", "code"),
    [(InputError("a.nc", "is wrong"), 2), (ModelAbort("pool below zero"), 1), (CheckFailed("no"), 3)],
)
def test_errors_raised_on_purpose_give_one_line_and_their_exit_code(
    error: Exception,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    def refuse(*_: object) -> None:
        raise error

    monkeypatch.setattr("phase_lib.preflight.check.check_inputs", refuse)
    config = tmp_path / "config.yaml"
    config.write_text("run: {name: x}")
    log = tmp_path / "logs" / "check.log"
    assert run("check", "--config", str(config), "--log", str(log)) == code
    assert capsys.readouterr().err == f"phase: {error}\n"
    assert str(error) in log.read_text()


def test_a_fault_of_the_program_leaves_its_traceback_in_the_log(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("by mistake")

    monkeypatch.setattr("phase_lib.preflight.check.check_inputs", fail)
    config = tmp_path / "config.yaml"
    config.write_text("run: {name: x}")
    log = tmp_path / "check.log"
    with pytest.raises(ZeroDivisionError):
        main(["check", "--config", str(config), "--log", str(log)])
    assert "Traceback" in log.read_text()


def test_several_values_may_follow_one_option(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen: list[tuple[Path, ...]] = []
    monkeypatch.setattr(
        "phase_lib.equilibrium.verdict.judge_equilibrium", lambda history, **_: seen.append(history)
    )
    tail = ("--forcing-years", "20", "--output", str(tmp_path / "v.json"))
    files = tuple(tmp_path / name for name in ("a.nc", "b.nc", "c.nc"))
    for file in files:
        file.touch()
    first, *others = map(str, files)
    assert run("equilibrium", "--history", first, *others, *tail) == 0
    assert run("equilibrium", "--history", first, "--history", *others, *tail) == 0
    assert [tuple(map(Path, history)) for history in seen] == [files] * 2


def test_a_misspelt_setting_of_a_command_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = ("world", "--settings", '{"resolution": 5}', "--output-dir", str(tmp_path / "world"))
    assert run(*words) == 2
    assert "--settings: unknown key resolution; did you mean resolution_deg?" in capsys.readouterr().err
    assert not (tmp_path / "world").exists()


@pytest.mark.parametrize(("command", "option"), [("inject", "--ood"), ("fuse", "--targets")])
def test_an_error_in_another_section_names_its_option(
    command: str, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [
        word
        for parameter in ALL[command].params
        if parameter.required
        for word in (parameter.opts[0], "none.nc")
    ]
    assert run(command, *files, option, '{"nothing": 1}') == 2
    assert capsys.readouterr().err.startswith(f"phase: {option}: unknown key nothing")


def test_no_stage_has_a_default_of_its_own() -> None:
    harmless: dict[str, object] = {
        "settings": "{}",
        "job_settings": "{}",
        "spinup": "{}",
        "targets": "{}",
        "ood": "{}",
        "config": "{}",
        "run_name": "",
        "label": "",
        "share": "1/1",
    }
    harmless |= {"threads": 1, "workers": 1, "cores": 1}
    # No stage of the workflow: used by hand.
    by_hand = ("check", "bench", "choose-sites")
    stages = {name: command for name, command in ALL.items() if name not in by_hand}
    written = [
        (name, option.name, option.default)
        for name, command in stages.items()
        for option in command.params
        # A default from the configuration is looked up by a function; a flag is off.
        if isinstance(option.default, str | int | float | Path)
        and option.default is not False
        and harmless.get(option.name or "") != option.default
    ]
    assert written == []


def test_an_option_without_value_has_the_default_of_the_configuration(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen: list[tuple[Domain, Share]] = []
    monkeypatch.setattr("phase_lib.fusion.fuse.fuse", lambda domain, *rest: seen.append((domain, rest[-1])))
    names = ("--restart", "--history", "--surface", "--params", "--forcing", "--output-dir")
    words = [word for name in names for word in (name, str(tmp_path))]
    assert run("fuse", *words) == 0
    assert run("fuse", *words, "--mortality-factor", "8", "--history-years", "10", "--share", "2/3") == 0
    (domain, share), (changed, second) = seen
    assert (share, second) == (Share(1, 1), Share(2, 3))
    assert domain.name == TargetDomain().domain
    # Not given: the stage holds the usual one against the restart.
    assert (domain.mortality_factor, changed.mortality_factor) == (None, 8.0)
    assert (domain.cycle, changed.cycle) == (ForcingFiles.model_fields["years"].default, 10)


def test_an_output_that_cannot_be_written_exits_2_with_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "file.nc").touch()
    output = tmp_path / "file.nc" / "config.yaml"
    assert run("config", "--output", str(output)) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"phase: {output}: cannot be written (")
    assert err.count("\n") == 1


def test_check_says_what_it_understood(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(
        f"run: {{name: mine, results_dir: {tmp_path}}}\n"
        "embedded: {bounds: [40, 50, 0, 20]}\n"
        "spinup: {normal_years: 600}"
    )
    assert run("check", "--config", str(config)) == 0
    out = capsys.readouterr().out
    for words in ("run mine", "about 8 land cells of 5 degrees", "600 years in normal mode", "GB free"):
        assert words in out
    assert out.endswith(f"{config}: ok\n")


def test_check_is_negative_when_the_disk_is_too_small(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    class Usage:
        free = 1_000_000

    monkeypatch.setattr("phase_lib.preflight.disk.shutil.disk_usage", lambda _: Usage)
    config = tmp_path / "config.yaml"
    config.write_text(f"run: {{results_dir: {tmp_path}}}")
    assert run("check", "--config", str(config)) == 3
    assert "0.0 GB are free" in capsys.readouterr().err


def test_check_takes_a_configuration_as_json_too_and_writes_its_report(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    import json

    report = tmp_path / "preflight.json"
    config = json.dumps({"run": {"name": "mine", "results_dir": str(tmp_path)}})
    assert run("check", "--config", config, "--report", str(report)) == 0
    assert capsys.readouterr().out.endswith("configuration: ok\n")
    assert json.loads(report.read_text())["findings"] == []


def test_check_compares_files_by_themselves_beside_a_configuration(
    elm_sample: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(f"run: {{name: x, results_dir: {tmp_path}}}")
    files = {
        "--restart": elm_sample / "ad20.elm.r.0021-01-01-00000.nc",
        "--surface": elm_sample / "surfdata.biomes.1d.nc",
        "--domain": elm_sample / "domain.lnd.biomes.1d.nc",
    }
    words = [word for name, file in files.items() for word in (name, str(file))]
    assert run("check", "--config", str(config), *words) == 0
    out = capsys.readouterr().out
    assert "run x" in out
    assert "24 cells, 388 columns, 772 patches" in out
    moved = tmp_path / "moved.nc"
    moved.write_bytes(files["--domain"].read_bytes())
    import netCDF4

    with netCDF4.Dataset(moved, "a") as dataset:
        dataset["yc"][:] = dataset["yc"][:] + 1.0
    assert run("check", "--config", str(config), *words[:-1], str(moved)) == 3
    assert str(moved) in capsys.readouterr().err
