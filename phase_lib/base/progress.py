"""Progress for people: one line per event on standard error, and in the log file where one is given."""

from __future__ import annotations

import logging
import os
import sys
import time
from pathlib import Path

from phase_lib.base.files import refused_as_input

LOGGER = logging.getLogger("phase")
# Nothing is logged before the configuration: Python would print errors a second time.
LOGGER.addHandler(logging.NullHandler())


def configure_logging(stage: str, log: Path | None, *, verbose: bool = False) -> None:
    """Sends progress lines to standard error and, with more detail, to `log`.

    Errors go to `log` alone, as the command line prints them. Of processes that compute together (`RANK`, as
    torchrun sets it) only the first logs its progress; the others add only their errors to its log.

    Raises:
        InputError: the log file cannot be written.
    """
    first = os.environ.get("RANK", "0") == "0"
    LOGGER.setLevel(logging.DEBUG if first else logging.ERROR)
    for handler in list(LOGGER.handlers):
        LOGGER.removeHandler(handler)
        handler.close()
    LOGGER.propagate = False
    terminal = logging.StreamHandler(sys.stderr)
    terminal.setLevel(logging.DEBUG if verbose else logging.INFO)
    terminal.setFormatter(logging.Formatter(f"[{stage}] %(message)s"))
    terminal.addFilter(lambda record: record.levelno < logging.ERROR)
    LOGGER.addHandler(terminal)
    if log is not None:
        with refused_as_input(log):
            log.parent.mkdir(parents=True, exist_ok=True)
            if first:
                log.write_bytes(b"")
            file = logging.FileHandler(log, mode="a", encoding="utf-8")
        file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        LOGGER.addHandler(file)


class Ticker:
    """Logs the progress of a long loop, at most once every few seconds.

    Args:
        what: what is counted, for example `"model year"`.
        seconds: least time between two lines.
    """

    def __init__(self, what: str, seconds: float = 5.0) -> None:
        self._what, self._seconds, self._last = what, seconds, time.monotonic()

    def tick(self, now: int, total: int, detail: str = "") -> None:
        """Logs `what now/total detail` if enough time has passed or the loop is at its end."""
        moment = time.monotonic()
        if moment - self._last >= self._seconds or now == total:
            self._last = moment
            LOGGER.info("%s %d/%d%s", self._what, now, total, f" {detail}" if detail else "")
