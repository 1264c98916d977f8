"""A name that exists is that file; patterns with `*` and `?` come after."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from phase_lib.base.errors import InputError
from phase_lib.base.files import matching_file, matching_files, refuse_as_output, require_file


def made(directory: Path, *names: str) -> list[Path]:
    """Files, each with its name as content."""
    files = [directory / name for name in names]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(str(file))
    return files


@pytest.mark.parametrize(
    ("named", "beside"),
    [
        ("set[12]/h.nc", "set1/h.nc"),
        ("h[0-9].nc", "h3.nc"),
        ("h?.nc", "h3.nc"),
        ("h*.nc", "h3.nc"),
        ("alone [a]/h.nc", "other/h.nc"),
        ("years[!1]/h.nc", "years2/h.nc"),
        ("[[]/h.nc", "[/h.nc"),
    ],
)
def test_a_file_whose_name_looks_like_a_pattern_is_the_one_that_is_read(
    tmp_path: Path, named: str, beside: str
) -> None:
    file, _ = made(tmp_path, named, beside)
    assert matching_files([file]) == [file]
    assert matching_file(str(file)) == file


def test_patterns_know_stars_and_question_marks_alone(tmp_path: Path) -> None:
    made(
        tmp_path, "h1.nc", "h2.nc", "hx.nc", "run [a]/h1.nc", "run [a]/h2.nc", "run a/h1.nc", "deep/er/h1.nc"
    )
    matched = {
        pattern: [path.relative_to(tmp_path).as_posix() for path in matching_files([tmp_path / pattern])]
        for pattern in ("h?.nc", "run [a]/*.nc", "run ?a?/h?.nc", "**/h1.nc")
    }
    assert matched == {
        "h?.nc": ["h1.nc", "h2.nc", "hx.nc"],
        "run [a]/*.nc": ["run [a]/h1.nc", "run [a]/h2.nc"],
        "run ?a?/h?.nc": ["run [a]/h1.nc", "run [a]/h2.nc"],
        "**/h1.nc": ["run [a]/h1.nc", "run a/h1.nc"],
    }
    for pattern in ("h[12].nc", "run [!b]/h1.nc"):
        with pytest.raises(InputError, match="no such file"):
            matching_files([tmp_path / pattern])


def test_home_and_variables_are_expanded_and_a_dollar_may_be_a_part_of_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SCRATCH", str(tmp_path / "scratch"))
    monkeypatch.delenv("UNSET", raising=False)
    home, scratch, literal = made(tmp_path, "home/[h].nc", "scratch/h0.nc", "work/cost$UNSET/h0.nc")
    monkeypatch.chdir(tmp_path / "work")
    assert matching_files(["~/[h].nc", "$SCRATCH/h?.nc"]) == [home, scratch]
    assert matching_files(["cost$UNSET/h0.nc", "$SCRATCH/h0.nc"]) == [Path("cost$UNSET/h0.nc"), scratch]
    assert [path.resolve() for path in matching_files(["cost$UNSET/*.nc"])] == [literal]
    with pytest.raises(InputError, match=r"\$UNSET/h0\.nc: an environment variable in it is not set"):
        matching_files(["$UNSET/h0.nc"])


def test_a_file_is_listed_once_under_its_several_names_but_a_link_is_a_file_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = made(tmp_path, "forcing/f.1901-01.nc", "forcing/f.1901-02.nc")
    (tmp_path / "way").symlink_to("forcing")
    # A month that stands for a missing one.
    stand_in = tmp_path / "forcing" / "f.1902-01.nc"
    stand_in.symlink_to(first.name)
    monkeypatch.chdir(tmp_path)
    names = ["forcing/*.nc", "./forcing/../forcing/f.1901-02.nc", first, "way/*.nc"]
    assert [path.name for path in matching_files(names)] == [first.name, second.name, stand_in.name]


def test_what_is_no_file_is_called_what_it_is(tmp_path: Path) -> None:
    made(tmp_path, "history/h.nc", "set/x.nc/h.nc")
    (tmp_path / "gone.nc").symlink_to("nowhere.nc")
    for pattern in (tmp_path / "history", tmp_path / "set" / "*.nc"):
        with pytest.raises(InputError, match=r"(history|x\.nc): is a directory; expected a file"):
            require_file(matching_file(pattern))
    for pattern in ("gone.nc", "gone.*"):
        with pytest.raises(InputError, match=r"gone\.nc: is a link to nowhere\.nc, which cannot be found"):
            matching_files([tmp_path / pattern])


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may look anywhere")
def test_a_file_in_a_closed_directory_is_not_called_missing(tmp_path: Path) -> None:
    (file,) = made(tmp_path, "closed/h.nc")
    file.parent.chmod(0)
    try:
        with pytest.raises(InputError, match=r"cannot be read \(Permission denied\)"):
            matching_files([file])
    finally:
        file.parent.chmod(0o700)


def test_an_output_is_an_input_under_whatever_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCRATCH", str(tmp_path))
    inside, other = made(tmp_path, "set[12]/h.nc", "set1/h.nc")
    for name in (str(inside), "$SCRATCH/set[12]/*.nc"):
        with pytest.raises(InputError, match="is an input too"):
            refuse_as_output([inside], [name])
        refuse_as_output([other], [name])
