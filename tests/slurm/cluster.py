"""A SLURM of the tests' own: two nodes on this machine, a CPU and a GPU partition.

Everything is real but the hardware: munge, one controller, two node daemons with one `gpu:a100:1` each (the
device is /dev/null) and more cores and memory than there are, so that the committed profile asks for what it
asks for on a cluster. There is no accounting database. `srun` loses SLURM_CONF inside a job, so that the
configuration has to be where SLURM looks for it by itself.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ETC = Path("/etc/slurm")
#: First line of files that these tests may replace.
MARK = "# written by the tests of the PHASE spin-up workflow"
NODES = {"n1": 17101, "n2": 17102}
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol", "scancel")


def reason_not_to_run() -> str:
    """Why there can be no cluster here; empty where there can."""
    if os.geteuid() != 0:
        return "a SLURM of its own needs the superuser"
    if missing := [name for name in PROGRAMS if shutil.which(name) is None]:
        return f"not installed: {', '.join(missing)} (Debian's slurm-wlm and munge)"
    configuration = ETC / "slurm.conf"
    if configuration.exists() and not configuration.read_text(encoding="utf-8").startswith(MARK):
        return f"{configuration} belongs to another cluster"
    return ""


@dataclass(frozen=True)
class Job:
    """What the controller knows of a job.

    Attributes:
        id: its number.
        stage: what the executor wrote as its comment: rule or group, and wildcards.
        state: its state.
        partition: where it was put.
        minutes: its time limit.
        cpus: cores it was given.
        nodes: machines it was given.
        tasks: of MPI, or the program itself.
        exclusive: no other job may use these machines.
        tres: generic resources per job, as asked for.
        submitted: when it was put into the queue.
        started: when it began.
        ended: when it ended.
        restarts: how often SLURM put it back itself.
    """

    id: str
    stage: str
    state: str
    partition: str
    minutes: int
    cpus: int
    nodes: int
    tasks: int
    exclusive: bool
    tres: str
    submitted: str
    started: str
    ended: str
    restarts: int


class Cluster:
    """Starts and stops the daemons, and asks them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def start(self) -> None:
        """Starts everything; returns when both nodes are idle."""
        for name in ("state", "log", *(f"spool.{node}" for node in NODES)):
            (self.directory / name).mkdir(parents=True)
        self.directory.chmod(0o755)
        ETC.mkdir(exist_ok=True)
        (ETC / "slurm.conf").write_text(self._configuration(), encoding="utf-8")
        (ETC / "gres.conf").write_text(f"{MARK}\nName=gpu Type=a100 File=/dev/null\n", encoding="utf-8")
        key = self.directory / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o600)
        _run(
            "munged",
            f"--key-file={key}",
            f"--socket={self.directory}/munge.socket",
            f"--log-file={self.directory}/log/munged.log",
            f"--pid-file={self.directory}/munged.pid",
            f"--seed-file={self.directory}/munge.seed",
            "--force",
        )
        self.start_controller()
        for node in NODES:
            self.start_node(node)
        wait_until(lambda: _run("sinfo", "-h", "-o", "%T").split() == ["idle"], 60, "the nodes are idle")

    def stop(self) -> None:
        """Stops everything and takes the configuration away."""
        _run("scancel", "--user=root", check=False)
        for name in ("slurmctld", *(f"slurmd.{node}" for node in NODES), "munged"):
            self._kill(name)
        for name in ("slurm.conf", "gres.conf"):
            (ETC / name).unlink(missing_ok=True)

    def start_controller(self) -> None:
        """Starts the controller; it takes up the jobs that it had."""
        _run("slurmctld")
        wait_until(lambda: "UP" in _run("scontrol", "ping", check=False), 60, "the controller answers")

    def stop_controller(self) -> None:
        """Stops the controller, which writes down what it knows; jobs go on running."""
        self._kill("slurmctld", signal.SIGTERM)

    def start_node(self, node: str) -> None:
        """Starts a node's daemon."""
        _run("slurmd", "-N", node)

    def fail_node(self, node: str) -> None:
        """A node stops answering and is given up."""
        self._kill(f"slurmd.{node}")
        _run("scontrol", "update", f"nodename={node}", "state=down", "reason=test")

    def release(self, job: str) -> None:
        """Lets a job that was put back begin at once; SLURM waits two minutes with it."""
        wait_until(lambda: self.state(job) == "PENDING", 30, f"job {job} is put back")
        _run("scontrol", "update", f"jobid={job}", "starttime=now")

    def jobs(self) -> list[Job]:
        """All jobs that the controller remembers, in the order of submission."""
        records = _run("scontrol", "--oneliner", "show", "job").splitlines()
        return sorted((_job(record) for record in records if "JobId=" in record), key=lambda job: int(job.id))

    def running(self, stage: str) -> str:
        """Number of the job that runs a stage; waits until one does."""
        seen: list[str] = []

        def look() -> bool:
            seen[:] = [job.id for job in self.jobs() if stage in job.stage and job.state == "RUNNING"]
            return bool(seen)

        wait_until(look, 300, f"a job runs {stage}")
        return seen[0]

    def node_of(self, job: str) -> str:
        """The node on which a job runs."""
        return _run("squeue", "-h", f"--jobs={job}", "--format=%N").strip()

    def limit(self, job: str, minutes: int) -> None:
        """Shortens the time of a running job."""
        _run("scontrol", "update", f"jobid={job}", f"timelimit={minutes}")

    def cancel(self, job: str) -> None:
        """Cancels a job and waits until it is gone."""
        _run("scancel", job)
        wait_until(lambda: not _run("squeue", "-h", f"--jobs={job}", check=False), 60, f"job {job} is gone")

    def state(self, job: str) -> str:
        """State of one job."""
        return next(one.state for one in self.jobs() if one.id == job)

    def _kill(self, name: str, how: signal.Signals = signal.SIGKILL) -> None:
        file = self.directory / f"{name}.pid"
        if not file.is_file():
            return
        pid = int(file.read_text())
        try:
            os.kill(pid, how)
        except ProcessLookupError:
            return
        file.unlink(missing_ok=True)
        wait_until(lambda: not _alive(pid), 30, f"{name} ended")

    def _configuration(self) -> str:
        host = socket.gethostname()
        nodes = "\n".join(
            f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=64 RealMemory=512000"
            " Gres=gpu:a100:1"
            for node, port in NODES.items()
        )
        names = ",".join(NODES)
        return f"""{MARK}
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort=17100
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={self.directory}/munge.socket
CredType=cred/munge
StateSaveLocation={self.directory}/state
SlurmdSpoolDir={self.directory}/spool.%n
SlurmctldPidFile={self.directory}/slurmctld.pid
SlurmdPidFile={self.directory}/slurmd.%n.pid
SlurmctldLogFile={self.directory}/log/slurmctld.log
SlurmdLogFile={self.directory}/log/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
GresTypes=gpu
SlurmdParameters=config_overrides
ReturnToService=2
# The test is over before a job is forgotten.
MinJobAge=7200
KillWait=2
JobRequeue=1
SchedulerParameters=sched_interval=2,batch_sched_delay=0
{nodes}
PartitionName=cpu Nodes={names} Default=YES MaxTime=INFINITE State=UP
PartitionName=gpu Nodes={names} MaxTime=INFINITE State=UP
"""


def wait_until(holds: Callable[[], bool], seconds: float, what: str) -> None:
    """Waits for a condition; fails with its name."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"in {seconds} s it did not come to this: {what}"
        time.sleep(0.3)


def _job(record: str) -> Job:
    fields = dict(re.findall(r"(\w+)=(\S*)", record))
    days, _, clock = fields["TimeLimit"].rpartition("-")
    hours, minutes, _ = clock.split(":")
    return Job(
        id=fields["JobId"],
        stage=fields.get("Comment", ""),
        state=fields["JobState"],
        partition=fields["Partition"],
        minutes=int(days or 0) * 1440 + int(hours) * 60 + int(minutes),
        cpus=int(fields["NumCPUs"]),
        # A job that waits asks for a range, "2-2".
        nodes=int(fields["NumNodes"].partition("-")[0]),
        # Of a job that was cancelled before it began SLURM knows none.
        tasks=int(fields["NumTasks"].replace("N/A", "0")),
        exclusive=fields["OverSubscribe"] == "NO",
        submitted=fields["SubmitTime"],
        started=fields["StartTime"],
        ended=fields["EndTime"],
        tres=fields.get("TresPerJob", ""),
        restarts=int(fields["Restarts"]),
    )


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _run(*words: str, check: bool = True) -> str:
    """Runs a SLURM command; what it printed."""
    result = subprocess.run(
        words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=120
    )
    assert not check or result.returncode == 0, f"{' '.join(words)}: {result.stdout}"
    return result.stdout
