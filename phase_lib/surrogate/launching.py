"""Starting the processes of a training on several GPUs or nodes, with torchrun and SLURM's srun."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import socket
import sys
import uuid
from collections.abc import Sequence

from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
from torch.distributed.elastic.rendezvous import RendezvousError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from phase_lib.base.errors import InputError, PhaseError
from phase_lib.base.progress import LOGGER
from phase_lib.config.surrogate import SurrogateSettings
from phase_lib.surrogate.training import device_of

#: Ports at which the nodes of a job meet: below those that systems give away by themselves.
_FIRST_PORT, _PORTS = 10_000, 20_000


def is_launcher(settings: SurrogateSettings) -> bool:
    """Whether this process must start the others: several are needed, and this is none of them."""
    return settings.processes > 1 and "RANK" not in os.environ


def launch(
    settings: SurrogateSettings, words: Sequence[str], threads: int, rendezvous: str | None = None
) -> int:
    """Runs a command of this library in as many processes as the settings ask for.

    On one node, torchrun starts them. On several nodes, srun starts this command once on each node of the
    SLURM job with the address where the nodes meet, and torchrun starts the processes of each node. When
    one process fails, all end.

    Args:
        settings: `gpus` and `nodes`.
        words: the command with its options, without the two below.
        threads: CPU threads of all processes of a node together.
        rendezvous: `HOST:PORT` where the nodes meet; None before srun has started this command.

    Returns:
        Exit code: 0; 2 where a process refused its input, 1 where one failed. Those have reported why.

    Raises:
        InputError: there are to be several nodes outside a SLURM job, or a node has too few GPUs.
        PhaseError: a process was killed, or another node has ended.
    """
    if settings.nodes > 1 and rendezvous is None:
        _become_srun(settings, words, threads)
    device_of(settings, settings.gpus - 1)
    threads_each = str(max(1, threads // settings.gpus))
    os.environ["OMP_NUM_THREADS"] = threads_each
    # The processes report themselves; torchrun would add a page to each line of theirs.
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    LOGGER.debug("starting %d processes on %s", settings.gpus, socket.gethostname())
    config = LaunchConfig(
        min_nodes=settings.nodes,
        max_nodes=settings.nodes,
        nproc_per_node=settings.gpus,
        run_id=rendezvous or str(uuid.uuid4()),
        rdzv_backend="c10d",
        rdzv_endpoint=rendezvous or "localhost:0",
        max_restarts=0,
    )
    command = ["-m", "phase_lib.cli", *words, "--threads", threads_each]
    try:
        elastic_launch(config, sys.executable)(*command)
    except (ChildFailedError, RendezvousError, SignalException) as error:
        if rendezvous is not None:
            # srun ends the other nodes by SIGTERM and returns the highest exit code: that of a signal would
            # hide the exit code of the node that failed.
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if isinstance(error, SignalException):
            raise PhaseError(f"the training was ended by {signal.Signals(error.sigval).name}") from error
        if isinstance(error, RendezvousError):
            raise PhaseError("another node of the training has ended, or cannot be reached") from error
        return _exit_code(list(error.failures.values()))
    return 0


def _exit_code(failures: Sequence[ProcessFailure]) -> int:
    """Exit code of a training whose processes failed. Raises a PhaseError where one was killed."""
    codes = {failure.exitcode for failure in failures}
    if InputError.exit_code in codes:
        return InputError.exit_code
    if max(codes) < 0:
        first = failures[0]
        raise PhaseError(
            f"process {first.local_rank + 1} of this node's training was ended by {first.signal_name()}; "
            "if there was too little memory, lower surrogate.cache_gib or ask for more"
        )
    return PhaseError.exit_code


def _become_srun(settings: SurrogateSettings, words: Sequence[str], threads: int) -> None:
    """Replaces this process by the srun that starts one such process on each node."""
    job = os.environ.get("SLURM_JOB_ID")
    if job is None or shutil.which("srun") is None:
        what = f"surrogate.nodes is {settings.nodes} but this is no SLURM job"
        remedy = "run the workflow with SLURM, or set surrogate.nodes to 1"
        raise InputError(None, what, remedy=remedy)
    on_gpus = [] if settings.device == "cpu" else [f"--gpus-per-node={settings.gpus}"]
    place = f"{socket.gethostname()}:{_FIRST_PORT + int(job) % _PORTS}"
    step = [
        "srun",
        f"--nodes={settings.nodes}",
        f"--ntasks={settings.nodes}",
        "--ntasks-per-node=1",
        f"--cpus-per-task={threads}",
        *on_gpus,
        # When one node ends, all end.
        "--kill-on-bad-exit=1",
    ]
    command = [sys.executable, "-m", "phase_lib.cli", *words, "--threads", str(threads)]
    # When a node ends, the others' connections to it would report that at length.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    os.execvp("srun", [*step, *command, "--rendezvous", place])
