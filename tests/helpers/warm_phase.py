"""`phase` in forks of a process that is warm: a small job takes longer to import than to do its work.

The tests of the workflow start hundreds of jobs. The program `phase` of this directory hands its words,
environment and open streams to a server that has imported the library, and ends as the fork ends that runs
the command. `python` beside it does the same for `python -m phase_lib.cli`, by which a training starts its
processes. Another program of the tests, `e3sm.exe`, asks the same server where a job of it started that.
A program that is killed ends the fork that runs for it, and what that started.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from functools import cache
from pathlib import Path

from tests.helpers.forked_snakemake import take_library_of

ROOT = Path(__file__).parents[2]
#: Modules that the commands import when they are called.
_OF_COMMANDS = (
    "matplotlib.backends.backend_agg", "torch._dynamo", "phase_lib.bench.fuse", "phase_lib.config.root",
    "phase_lib.dataset.joining", "phase_lib.dataset.normalization", "phase_lib.equilibrium.verdict",
    "phase_lib.forcing.comparison", "phase_lib.forcing.reduce", "phase_lib.fusion.fuse",
    "phase_lib.injection.inject", "phase_lib.landmodel.embedded.segment", "phase_lib.report.page",
    "phase_lib.report.experiments", "phase_lib.surrogate.evaluation", "phase_lib.surrogate.launching",
    "phase_lib.surrogate.predictions",
)  # fmt: skip
#: Variable with the address of the server, in the environment of its forks.
ADDRESS = "PHASE_TESTS_SERVER"
#: A program that has its `words` run by the server at `address`.
CLIENT = """import os, socket, sys, json
server = socket.socket(socket.AF_UNIX)
server.connect(address)
request = json.dumps([words, os.getcwd(), dict(os.environ)]).encode()
socket.send_fds(server, [len(request).to_bytes(8, "big")], [0, 1, 2])
server.sendall(request)
answer = server.recv(1)
sys.exit(answer[0] if answer else 1)
"""
_PROGRAMS = {
    "phase": """#!{python} -IS
import sys
address, words = {address!r}, ["phase", *sys.argv[1:]]
{client}""",
    "python": """#!{python} -IS
import os, sys
if sys.argv[1:3] != ["-m", "phase_lib.cli"]:
    os.execv({python!r}, [{python!r}, *sys.argv[1:]])
address, words = {address!r}, ["phase", *sys.argv[3:]]
{client}""",
}


@cache
def directory_of_phase() -> Path:
    """Starts the server of this process; the directory with the programs."""
    holder = tempfile.TemporaryDirectory(prefix="phase-")
    directory = Path(holder.name)
    address = directory / "socket"
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.helpers.warm_phase", str(address)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert server.stdin is not None
    assert server.stdout is not None
    assert server.stdout.readline() == b"ready\n"
    for name, text in _PROGRAMS.items():
        program = directory / name
        program.write_text(text.format(python=sys.executable, address=str(address), client=CLIENT))
        program.chmod(0o755)
    atexit.register(holder.cleanup)
    atexit.register(server.wait)
    atexit.register(server.stdin.close)
    return directory


def _serve(address: str) -> None:
    """Forks for each request until the stream of the process that started it is closed."""
    for module in _OF_COMMANDS:
        __import__(module)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen(64)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    print("ready", flush=True)
    while True:
        ready, _, _ = select.select([listener, sys.stdin], [], [])
        if sys.stdin in ready:
            return
        client, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _answer(client, address)
        client.close()


def _answer(client: socket.socket, address: str) -> None:
    size, streams, _, _ = socket.recv_fds(client, 8, 3)
    request = bytearray()
    while len(request) < int.from_bytes(size, "big"):
        request += client.recv(1 << 20)
    words, directory, environment = json.loads(request)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(directory)
    os.environ.clear()
    os.environ.update(environment)
    # A copy of the workflow is no checkout, and the version of its code names no commit.
    os.environ["GIT_DIR"] = os.devnull
    os.environ[ADDRESS] = address
    root, *others = environment["PYTHONPATH"].split(os.pathsep)
    take_library_of(Path(root))
    sys.path[1:1] = others
    sys.argv, sys.executable = words, str(Path(address).with_name("python"))
    os.setsid()
    threading.Thread(target=_end_with, args=(client,), daemon=True).start()
    status = 1
    try:
        if words[0] == "phase":
            from phase_lib.cli import main as run_phase

            run_phase()
        else:
            from tests.cime.double.model import main as run_model

            status = run_model(*words)
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except Exception:
        traceback.print_exc()  # as Python does at the end of a process; the status is 1
    finally:
        # Processes that fork end without what they registered to be done at their end.
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        client.sendall(bytes([status]))
        os._exit(status)


def _end_with(client: socket.socket) -> None:
    """Ends this process, and what it started, with the program that it stands for."""
    if not client.recv(1):
        os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    _serve(sys.argv[1])
