"""The table of checks: codes, what they print, and the page of the documentation."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from phase_lib.cli import main
from phase_lib.elm.audit import run, table
from phase_lib.elm.audit.audited import Audited
from phase_lib.elm.audit.check import Fault, check
from phase_lib.elm.audit.run import audit_restart
from tests.helpers.restarts import edit, make_world

PAGE = Path(__file__).parents[2] / "docs" / "audit.md"
CODES = [entry.code for entry in table.CHECKS]


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[object, str, str]:
    with pytest.raises(SystemExit) as end:
        main(["audit", *words])
    said = capsys.readouterr()
    return end.value.code, said.out, said.err


def test_codes_are_plain_words_and_no_two_checks_share_one() -> None:
    assert len(set(CODES)) == len(CODES)
    assert [code for code in CODES if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)+", code)] == []
    # Codes that scripts may know.
    assert {"pool-negative", "soil4-still-ad", "weights-sum", "soil-cn", "total-stale"} <= set(CODES)


def test_the_page_of_the_documentation_is_that_of_the_table() -> None:
    assert PAGE.read_text(encoding="utf-8") == table.page(), "run: phase audit --write-page docs/audit.md"


@pytest.mark.parametrize("code", CODES)
def test_every_check_says_what_the_model_does_and_shows_its_limits_as_numbers(code: str) -> None:
    head, *lines = table.explain(code)
    assert head.startswith(f"{code} (")
    assert len(" ".join(lines)) > 40
    assert not re.search(r"\{|\}", " ".join(lines))


def test_one_check_is_printed_by_its_code(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = printed(capsys, "--explain", "pool-negative")
    assert (code, err) == (0, "")
    assert "pool-negative (error): is negative" in out
    assert "-1e-08 g" in out


def test_an_unknown_code_is_refused_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = printed(capsys, "--explain", "pool-negativ")
    assert code == 2
    assert "'pool-negativ'; did you mean pool-negative?" in err


def test_the_list_has_a_line_for_each_check(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = printed(capsys, "--list")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == CODES


def test_the_page_is_written_by_a_command(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert printed(capsys, "--write-page", str(tmp_path / "audit.md"))[0] == 0
    assert (tmp_path / "audit.md").read_text(encoding="utf-8") == table.page()


def test_a_restart_is_needed_for_an_audit(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = printed(capsys)
    assert code == 2
    assert "Missing argument 'RESTART'" in err


def test_a_finding_carries_the_code_of_its_check(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    edit(world.restart, "npool", int(world.patch[1, 1]), -4.0)
    (error,) = audit_restart(world.restart).errors
    assert error.to_dict()["code"] == "pool-negative"
    assert error.line().endswith("[pool-negative]")


def test_a_new_check_is_one_function_with_its_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    @check("year-early", "file", "note", "a test", "is a young run", "a year from 1900 on")
    def year_early(audited: Audited) -> Iterator[Fault]:
        """Nothing is wrong with it."""
        if audited.header.year < 1900:
            yield Fault("timemgr_rst_curr_ymd", audited.header.year)

    monkeypatch.setattr(run, "CHECKS", (*table.CHECKS, year_early))
    notes = {note.code: note for note in audit_restart(make_world(tmp_path).restart).notes}
    assert notes["year-early"].value == 21
    assert notes["year-early"].expected == "a year from 1900 on"
