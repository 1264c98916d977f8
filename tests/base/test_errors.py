"""Errors raised on purpose say everything in one line, also from another process."""

from __future__ import annotations

import pickle

from phase_lib.base.errors import InputError


def test_the_line_names_file_fault_expectation_and_remedy() -> None:
    error = InputError("a.nc", "variable TBOT\nhas units 'C'", expected="'K'", remedy="convert it")
    assert str(error) == "a.nc: variable TBOT has units 'C'; expected 'K'; convert it"


def test_an_error_of_a_worker_process_arrives_whole() -> None:
    error = InputError("a.nc", "is wrong", expected="better", remedy="write it again")
    arrived = pickle.loads(pickle.dumps(error))
    assert str(arrived) == str(error)
    assert (arrived.file, arrived.what, arrived.expected, arrived.remedy) == (
        "a.nc",
        "is wrong",
        "better",
        "write it again",
    )
    assert arrived.exit_code == 2
