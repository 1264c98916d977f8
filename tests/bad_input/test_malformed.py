"""Malformed input ends in one line that names file, variable and remedy, and exit code 2; nothing is left.

Every test runs a whole command on a copy of sound inputs with one thing wrong in it.
"""

from __future__ import annotations

import os
import pickle
import shutil
import stat
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import netCDF4
import numpy as np
import pytest

from tests.bad_input.damages import Spoil, nothing, values
from tests.bad_input.faults import BASE, COPY, DAMAGED_FILES, FAULTS, MODEL, PATH, PREDICTIONS, Fault
from tests.bad_input.inputs import (
    RESTART,
    Inputs,
    Words,
    audit,
    check,
    compare,
    compare_forcing,
    equilibrium,
    forcing,
    fuse,
    inject,
    inspect,
    join,
    make_inputs,
    normalize,
    phase,
    predict,
    run_segment,
    split,
)
from tests.bad_input.kinds import KINDS
from tests.bad_input.misfits import MISFITS

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    """Sound inputs, not to be changed."""
    return make_inputs(tmp_path_factory.mktemp("inputs"))


@pytest.fixture
def run(
    inputs: Inputs, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[[Fault], str]:
    """Runs a faulty command, checks that it is refused and leaves nothing, and gives its one line."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))

    def refused(fault: Fault) -> str:
        at = tmp_path / "copy"
        inputs.copy((fault.folder,) if (inputs.path / fault.folder).is_dir() else (), at)
        fault.spoil(at)
        words = fault.command(at)
        before = contents(tmp_path)
        capfd.readouterr()
        code = phase(*words)
        lines = [line for line in capfd.readouterr().err.splitlines() if not line.startswith("[")]
        assert (code, len(lines)) == (2, 1), lines
        assert contents(tmp_path) == before
        return lines[0]

    return refused


def contents(directory: Path) -> dict[Path, bytes | str]:
    """What is below a directory: files with their bytes, links with where they point."""
    return {path: _content(path) for path in directory.rglob("*")}


def _content(path: Path) -> bytes | str:
    if path.is_symlink():
        return os.readlink(path)
    return path.read_bytes() if path.is_file() and os.access(path, os.R_OK) else "no file to read"


@pytest.mark.parametrize("fault", [*FAULTS, *MISFITS, *KINDS])
def test_what_is_wrong_is_refused_in_one_line(
    fault: Fault, run: Callable[[Fault], str], tmp_path: Path
) -> None:
    line = run(fault)
    begins = fault.begins(tmp_path / "copy")
    assert line.startswith(begins), line
    at = len(begins)
    for words in fault.says:
        at = line.find(words, at)
        assert at >= 0, (words, line)
    # The last words are the remedy, or what was expected where that says what to do: nothing follows.
    assert "; " not in line[at:]


@pytest.mark.parametrize(
    ("command", "option", "value"),
    [
        (fuse, "mortality_factor", "nan"),
        (inject, "mortality_factor", "inf"),
        (forcing, "limit_km", "nan"),
        (forcing, "limit_km", -1),
        (check, "limit_km", 0),
    ],
)
def test_a_number_that_is_none_or_out_of_range_is_refused(
    command: Callable[..., Words],
    option: str,
    value: object,
    inputs: Inputs,
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert phase(*command(inputs.path, **{option: value})) == 2
    [line] = [line for line in capfd.readouterr().err.splitlines() if not line.startswith("[")]
    assert line.startswith(f"phase: Invalid value for '--{option.replace('_', '-')}': ")


# Models: files that could run code, or fill the memory.


@pytest.fixture
def model(inputs: Inputs, tmp_path: Path) -> Path:
    """A copy in which the model may be replaced."""
    inputs.copy(("fused",), tmp_path / "copy")
    return tmp_path / "copy" / MODEL


class _Runs:
    """Makes a directory when it is unpickled."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.directory),)


def refused_model(model: Path, capfd: pytest.CaptureFixture[str]) -> str:
    capfd.readouterr()
    assert phase(*predict(model.parents[2])) == 2
    [line] = capfd.readouterr().err.splitlines()
    assert line.startswith(f"phase: {model}: is no trained model")
    assert line.endswith("; train again")
    assert not (model.parents[2] / "out").exists()
    return line


@pytest.mark.parametrize("packed", [False, True])
def test_code_in_a_model_is_not_run(
    packed: bool, model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    made = tmp_path / "made"
    content = pickle.dumps(_Runs(made), protocol=2)
    pickle.loads(content)
    made.rmdir()  # so it would run
    if packed:
        with zipfile.ZipFile(model) as old:
            members = {name: old.read(name) for name in old.namelist()}
        with zipfile.ZipFile(model, "w") as new:
            for name, member in members.items():
                new.writestr(name, content if name.endswith("/data.pkl") else member)
    else:
        model.write_bytes(content)
    refused_model(model, capfd)
    assert not made.exists()


def test_a_model_that_unpacks_to_gigabytes_is_refused_at_its_list_of_members(
    model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with zipfile.ZipFile(model, "w", zipfile.ZIP_DEFLATED) as bomb:
        for number in range(20):
            bomb.writestr(f"archive/data/{number}", bytes(1 << 20))
    refused_model(model, capfd)


def test_a_file_of_the_records_is_no_model(model: Path, capfd: pytest.CaptureFixture[str]) -> None:
    shutil.copyfile(model.parents[1] / "records" / "records_00.nc", model)
    refused_model(model, capfd)


# What the file system refuses.

AS_ROOT = pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read and write everything")


@AS_ROOT
def test_a_file_without_read_permission_is_refused(run: Callable[[Fault], str], tmp_path: Path) -> None:
    line = run(Fault(inject, lambda at: (at / BASE).chmod(0), BASE, (), "injection"))
    assert line == f"phase: {tmp_path / 'copy' / BASE}: cannot be read (Permission denied); {PATH}"


@AS_ROOT
def test_a_directory_without_write_permission_is_refused(run: Callable[[Fault], str], tmp_path: Path) -> None:
    def closed(at: Path) -> None:
        (at / "out").mkdir()
        (at / "out").chmod(stat.S_IRUSR | stat.S_IXUSR)

    line = run(Fault(inject, closed, f"out/{RESTART}", (), "injection"))
    assert line.endswith("cannot be written (Permission denied); choose another place for it")


# What is merely damaged in its values is found, not refused.


def test_the_audit_of_damaged_values_is_negative_and_says_so_in_one_line(
    inputs: Inputs, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    at = inputs.copy(("injection",), tmp_path)
    values(BASE, "soil2c_vr", np.nan, (slice(None), 1))(at)
    capfd.readouterr()
    assert phase(*audit(at)) == 3
    printed = capfd.readouterr()
    assert "soil2c_vr cell" in printed.out
    [line] = printed.err.splitlines()
    assert line.startswith(f"phase: {at / BASE}: ")
    assert "error" in line


# The files that are not spoilt are sound, or the tests above would prove nothing.


@pytest.mark.parametrize(
    ("command", "folder"),
    [
        *(
            (command, "injection")
            for command in (inject, audit, compare, inspect(BASE), inspect(PREDICTIONS))
        ),
        *((command, "domain") for command in (forcing, compare_forcing, fuse, equilibrium, check)),
        *((command, "fused") for command in (join, split, normalize, predict)),
        (run_segment, "embedded"),
    ],
)
def test_sound_inputs_are_taken(
    command: Callable[[Path], Words], folder: str, inputs: Inputs, tmp_path: Path
) -> None:
    assert phase(*command(inputs.copy((folder,), tmp_path))) == 0


# Truncated files, wherever they end.


@pytest.mark.parametrize(
    ("flavour", "records"),
    [("NETCDF3_CLASSIC", 1), ("NETCDF3_64BIT_OFFSET", 0), ("NETCDF3_64BIT_DATA", 3)],
)
def test_a_classic_file_is_refused_wherever_it_is_cut(
    flavour: str, records: int, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "file.nc"
    with netCDF4.Dataset(path, "w", format=flavour) as nc:
        nc.title = "odd"
        nc.createDimension("time", None)
        nc.createDimension("cell", 3)
        for name, kind, dims in (
            ("mask", "i1", ("cell",)),
            ("lat", "f8", ("cell",)),
            ("flag", "i2", ("time", "cell")),
            ("GPP", "f4", ("time", "cell")),
        ):
            variable = nc.createVariable(name, kind, dims)
            variable.units = "1"
            variable[: records if dims[0] == "time" else 3] = 1
    content = path.read_bytes()
    assert phase("inspect", path) == 0
    for kept in range(4, len(content)):
        path.write_bytes(content[:kept])
        capfd.readouterr()
        code = phase("inspect", path)
        printed = capfd.readouterr()
        # Nothing but the padding of the last value may be missing: three bytes or fewer.
        if code == 0:
            assert len(content) - kept < 4
            continue
        assert code == 2
        [line] = printed.err.splitlines()
        assert line.startswith(f"phase: {path}: is truncated: {kept} bytes")


def test_the_only_variable_on_records_has_no_padding(tmp_path: Path) -> None:
    path = tmp_path / "file.nc"
    with netCDF4.Dataset(path, "w", format="NETCDF3_CLASSIC") as nc:
        nc.createDimension("time", None)
        nc.createDimension("cell", 3)
        nc.createVariable("flag", "i2", ("time", "cell"))[:5] = np.ones((5, 3))
    assert phase("inspect", path) == 0
    path.write_bytes(path.read_bytes()[:-4])
    assert phase("inspect", path) == 2


def test_a_file_of_48_gigabytes_is_checked_by_its_header_alone(tmp_path: Path) -> None:
    path, columns, absent = tmp_path / "file.nc", 3 << 30, struct.pack(">IQ", 0, 0)
    header = b"CDF\x05" + struct.pack(">Q", 0)
    header += struct.pack(">IQQ8sQ", 10, 1, 6, b"column", columns) + absent
    begin = len(header) + 12 + 2 * 64
    header += struct.pack(">IQ", 11, 2)
    for number in range(2):
        header += struct.pack(">Q8sQQ", 8, b"soil%dn_v" % number, 1, 0) + absent
        header += struct.pack(">IQQ", 6, 8 * columns, begin + 8 * columns * number)
    assert len(header) == begin
    path.write_bytes(header)
    size = begin + 2 * 8 * columns
    os.truncate(path, size)  # what lies beyond the header takes no room
    assert phase("inspect", path) == 0
    os.truncate(path, size - 1)
    assert phase("inspect", path) == 2


def test_damage_within_a_netcdf4_file_names_the_variable(
    inputs: Inputs, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    at = inputs.copy(("injection",), tmp_path)
    path, sums = at / PREDICTIONS, {}
    with netCDF4.Dataset(path) as old, netCDF4.Dataset(at / "summed.nc", "w") as new:
        new.setncatts(old.__dict__)
        for name, dimension in old.dimensions.items():
            new.createDimension(name, dimension.size)
        for name, variable in old.variables.items():
            copy = new.createVariable(name, variable.dtype, variable.dimensions, fletcher32=True)
            copy.setncatts(variable.__dict__)
            copy[...] = variable[...]
            sums[name] = np.ma.getdata(variable[...]).tobytes()
    content = (at / "summed.nc").read_bytes()
    place = content.index(sums["soil4c_vr"])
    path.write_bytes(content[:place] + b"\x00\x01" + content[place + 2 :])
    capfd.readouterr()
    assert phase(*inject(at)) == 2
    lines = [line for line in capfd.readouterr().err.splitlines() if not line.startswith("[")]
    assert len(lines) == 1
    assert lines[0].startswith(f"phase: {path}: variable soil4c_vr cannot be read")
    assert lines[0].endswith(COPY)
    assert not list(at.rglob("*.part"))


# The whole way: what a person sees in a terminal.


@pytest.mark.parametrize(
    ("spoil", "option"),
    [(DAMAGED_FILES["cut in its data"][0], None), (DAMAGED_FILES["not there"][0], None), (nothing, "log")],
    ids=["cut in its data", "not there", "also the log"],
)
def test_a_process_ends_with_exit_code_2_and_one_line(
    inputs: Inputs, tmp_path: Path, spoil: Spoil, option: str | None
) -> None:
    at = inputs.copy(("injection",), tmp_path / "copy")
    spoil(at)
    before = contents(at)
    words = inject(at, **({} if option is None else {option: at / BASE}))
    done = subprocess.run(
        [sys.executable, "-m", "phase_lib.cli", *map(str, words)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert line.startswith(f"phase: {at / BASE}: ")
    assert done.stdout == ""
    assert contents(at) == before
