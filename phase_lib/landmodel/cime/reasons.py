"""Why a run of the model ended: the lines of its logs that say it, for a message of one line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from phase_lib.landmodel.cime.run_files import RunFiles, lines_of, opened

#: Lines at the end of a log that may hold the reason, and how many characters of it are shown.
_TAIL, _SHOWN = 40, 400
_SAYS_WHY = re.compile(
    r"ENDRUN|ERROR|balance|FAILED|not found|NaN|Fortran runtime|End of file|forrtl|Killed|signal|"
    r"SIG[A-Z]{3,}|out of memory|CANCELLED|TIME LIMIT|Abort",
    re.IGNORECASE,
)
#: Lines that every aborted run has, and that say nothing.
_SAYS_NOTHING = re.compile(r"Unknown error submitted to shr_abort|MPI_ABORT|mpirun has exited|^-+$|errorcode")
#: What ELM, or the rest of the model, prints where it stops itself; a launcher's words begin otherwise.
_STOPPED_ITSELF = re.compile(r"ENDRUN|^\s*(\d+:\s*)?ERROR:")
_BALANCE = re.compile(r"\b[cnp]balance error", re.IGNORECASE)
_SKIPPED = "WARNING"
#: What ELM prints where it takes pools of a restart out of AD.
_OUT_OF_AD = re.compile(r"taking .* out of AD spinup mode", re.IGNORECASE)


def why(files: RunFiles, printed: str) -> str:
    """The reason of a failure: the ends of the land model's and of the common log, else CIME's own line.

    Args:
        files: of the case.
        printed: CIME's line, for a run that wrote no log.
    """
    said = []
    for name, lines in _ends(files):
        telling = [line for line in lines if _SAYS_WHY.search(line) and not _SAYS_NOTHING.search(line)]
        if telling:
            said.append(f"{name}: {' | '.join(dict.fromkeys(telling[-4:]))}"[:_SHOWN])
    return "; ".join(said) or printed


def stopped_itself(files: RunFiles) -> bool:
    """True where a failure is the model's own, and nothing from outside, such as a node, ended it."""
    return any(_STOPPED_ITSELF.search(line) for _, lines in _ends(files) for line in lines)


def _ends(files: RunFiles) -> Iterator[tuple[str, list[str]]]:
    """Names and last lines of the newest logs of a run that failed; those of good runs are compressed."""
    for component in ("lnd", "e3sm"):
        log = files.log(component)
        if log is not None and log.suffix != ".gz":
            yield log.name, [" ".join(line.split()) for line in lines_of(log)[-_TAIL:]]


def balance_errors(files: RunFiles) -> list[str]:
    """Lines about a balance of C, N or P that is not closed, in all logs of the case."""
    return [line for line in _lines(files.logs("lnd")) if _BALANCE.search(line) and _SKIPPED not in line]


def taken_out_of_ad(files: RunFiles) -> list[str]:
    """Lines about pools that ELM took out of AD, in all logs of the case."""
    return [line for line in _lines(files.logs("lnd")) if _OUT_OF_AD.search(line)]


def _lines(logs: list[Path]) -> Iterator[str]:
    for log in logs:
        with opened(log) as stream:
            for line in stream:
                yield " ".join(line.split())
