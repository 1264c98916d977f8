"""Writing: a file that exists is complete, and one that cannot be written ends in one line."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from phase_lib.base.errors import InputError
from phase_lib.base.files import writing
from phase_lib.base.progress import configure_logging


def write(path: Path) -> None:
    with writing(path) as temporary:
        temporary.write_text("whole")


def test_a_file_is_written_whole_with_usual_permissions(tmp_path: Path) -> None:
    write(tmp_path / "new" / "a.txt")
    (tmp_path / "plain.txt").touch()
    assert (tmp_path / "new" / "a.txt").read_text() == "whole"
    assert (tmp_path / "new" / "a.txt").stat().st_mode == (tmp_path / "plain.txt").stat().st_mode


def test_a_file_system_without_permissions_of_its_own_takes_files_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "chmod", refuse)
    write(tmp_path / "a.txt")
    assert (tmp_path / "a.txt").read_text() == "whole"


def test_an_impossible_place_is_refused(tmp_path: Path) -> None:
    file, directory = tmp_path / "file.nc", tmp_path / "directory.nc"
    file.touch()
    directory.mkdir()
    for path in (file / "x.nc", directory, tmp_path / ("x" * 300), Path("/proc/none/x.nc")):
        with pytest.raises(InputError, match=r"cannot be written \(.*choose another place") as caught:
            write(path)
        assert caught.value.file == str(path)
    assert sorted(tmp_path.iterdir()) == [directory, file]
    with pytest.raises(InputError, match=r"x\.log: cannot be written"):
        configure_logging("stage", file / "x.log")


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_directory_without_permission_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match="Permission denied"):
        write(tmp_path / "x.nc")


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), RuntimeError("NetCDF: HDF error")])
def test_a_full_disk_is_reported_also_where_a_library_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    class Usage:
        free = 0

    monkeypatch.setattr("phase_lib.base.files.shutil.disk_usage", lambda _: Usage)
    with pytest.raises(InputError, match=r"No space left on device.*free space"), writing(tmp_path / "x.nc"):
        raise error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [OSError(errno.EIO, "broken disk"), RuntimeError("NetCDF: HDF error")])
def test_any_other_failure_stays_what_it_is(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(type(error)) as caught, writing(tmp_path / "x.nc"):
        raise error
    assert caught.value is error
