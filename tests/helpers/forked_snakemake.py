"""Snakemake in forks of a process that is warm: the tests of the workflow start it dozens of times."""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Mapping, Sequence
from multiprocessing import get_context
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import phase_lib

LIBRARY = Path(phase_lib.__file__).parent


def take_library_of(root: Path) -> None:
    """Lets this process import the library of a copy of the workflow, where it differs from the one here."""
    sys.path.insert(0, str(root))
    files = [file for file in LIBRARY.rglob("*") if file.is_file() and file.parent.name != "__pycache__"]
    copies = {root / LIBRARY.name / file.relative_to(LIBRARY): file for file in files}
    if all(copy.is_file() and copy.read_bytes() == file.read_bytes() for copy, file in copies.items()):
        return
    for name in [name for name in sys.modules if name.partition(".")[0] == LIBRARY.name]:
        del sys.modules[name]


def snakemake_in_a_fork(
    words: Sequence[str], root: Path, environment: Mapping[str, str], programs: Path, terminal: Path
) -> ForkServerProcess:
    """Starts `snakemake` as a new process in `root` would be.

    Args:
        words: options and targets.
        root: directory of the workflow, with the library that is to run.
        environment: variables of the process.
        programs: directory of programs that its jobs find before all others.
        terminal: file for what it writes, both streams.

    Returns:
        The process, in a group of its own with all that it starts.
    """
    context = get_context("forkserver")
    context.set_forkserver_preload(["tests.helpers.warm_snakemake"])
    process = context.Process(target=_run, args=(list(words), root, dict(environment), programs, terminal))
    process.start()
    return process


def _run(words: list[str], root: Path, environment: dict[str, str], programs: Path, terminal: Path) -> None:
    stream = os.open(terminal, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(stream, 1)
    os.dup2(stream, 2)
    os.setsid()
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(root)
    take_library_of(root)
    sys.argv = ["snakemake", *words]

    from snakemake.cli import main
    from snakemake.shell import shell

    # The workflow puts its own programs first, by the prefix of its commands.
    prefix = shell.prefix
    shell.prefix = lambda words: prefix(f'{words}export PATH="{programs}:$PATH"; ')
    try:
        main()
    finally:
        # Processes of `multiprocessing` end without what they registered to be done at their end.
        atexit._run_exitfuncs()
