"""The small configuration on a SLURM of the tests' own, as a user runs it."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import psutil
import pytest

from tests.slurm.cluster import Cluster, reason_not_to_run, wait_until
from tests.workflow.conftest import ROOT, SMALL, Workflow, copy_of_the_workflow

#: What the user of a cluster without accounts and accounting changes in the profile.
EDITS = {"slurm_account: CHANGE_ME": 'slurm_account: ""', "# slurm-status-command": "slurm-status-command"}
OVERLAY = ("--workflow-profile", "overlay")


@dataclass(frozen=True)
class ClusterRun(Workflow):
    """A copy of the workflow whose profile is linked for a user, and his Snakemake."""

    @property
    def environment(self) -> dict[str, str]:
        return {**super().environment, "HOME": str(self.root / "home"), "XDG_CONFIG_HOME": ""}

    def begin(self, *words: str) -> subprocess.Popen[str]:
        """Starts the small configuration, on the tests' clock, and does not wait for it."""
        return self.command(*OVERLAY, "--configfile", SMALL, *words)

    def command(self, *words: str) -> subprocess.Popen[str]:
        """Starts `snakemake --profile slurm` and does not wait for it."""
        with self.terminal.open("a") as terminal:
            return subprocess.Popen(
                ["snakemake", "--profile", "slurm", *words],
                cwd=self.root,
                env=self.environment,
                stdout=terminal,
                stderr=subprocess.STDOUT,
                text=True,
            )

    def complete(self, process: subprocess.Popen[str], seconds: float = 1500) -> str:
        """Waits for a Snakemake that should succeed; everything printed so far."""
        try:
            status = process.wait(timeout=seconds)
        finally:
            process.kill()  # one that has not ended would go on beside the next tests
        printed = self.terminal.read_text(encoding="utf-8")
        assert status == 0, printed[-20000:] + self.logs()
        return printed

    @property
    def terminal(self) -> Path:
        """What was printed on the user's terminal."""
        return self.root / "terminal.txt"

    def logs(self) -> str:
        """Ends of SLURM's logs of failed jobs."""
        files = sorted((self.root / "results" / "slurm_logs").rglob("*.log"))
        return "".join(f"\n== {file}\n{file.read_text(errors='replace')[-3000:]}" for file in files)

    def suspended(self, *words: str) -> psutil.Process:
        """Finds the process of a stage by words of its command line, and stops it in the middle."""
        seen: list[psutil.Process] = []

        def look() -> bool:
            for process in psutil.process_iter(["cmdline", "cwd"]):
                command = process.info["cmdline"] or []
                if (
                    process.info["cwd"] == str(self.root)
                    and all(word in command for word in words)
                    and any(word.endswith("/phase") for word in command)
                ):
                    process.suspend()
                    seen.append(process)
                    return True
            return False

        wait_until(look, 300, f"a process of {' '.join(words)} runs")
        return seen[0]

    def clone(self, root: Path) -> ClusterRun:
        """A second copy with the same products, and a user who linked its profile."""
        super().clone(root)
        (root / "terminal.txt").unlink(missing_ok=True)
        shutil.rmtree(root / "home")
        return linked(ClusterRun(root, root / "results" / self.results.name))


def linked(run: ClusterRun) -> ClusterRun:
    """The user runs `make profile`."""
    (run.root / "home").mkdir(exist_ok=True)
    subprocess.run(["make", "profile"], cwd=run.root, env=run.environment, check=True, capture_output=True)
    return run


def submitted(printed: str) -> list[str]:
    """Numbers of the SLURM jobs in Snakemake's words."""
    return re.findall(r"has been submitted with SLURM jobid (\d+)", printed)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """The cluster, for as long as the tests last."""
    if reason := reason_not_to_run():
        pytest.skip(reason)
    directory = Path(tempfile.mkdtemp(prefix="phase-slurm-"))
    cluster = Cluster(directory)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(directory)


def new_user(root: Path, edits: Mapping[str, str] = MappingProxyType({})) -> ClusterRun:
    """A user with a fresh copy, a few lines of the profile edited, and the link.

    Args:
        root: of the copy.
        edits: further text of the profile -> what replaces it.
    """
    copy = copy_of_the_workflow(root)
    shutil.copy2(ROOT / "Makefile", root)
    shutil.copytree(ROOT / "tests" / "slurm" / "profile", root / "overlay")
    profile = root / "profiles" / "slurm" / "config.yaml"
    text = profile.read_text(encoding="utf-8")
    for before, after in {**EDITS, **edits}.items():
        assert text.count(before) == 1
        text = text.replace(before, after)
    profile.write_text(text, encoding="utf-8")
    return linked(ClusterRun(root, copy.results))


@pytest.fixture(scope="session")
def user(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> ClusterRun:
    """A user whose cluster has no accounts and no accounting."""
    return new_user(tmp_path_factory.mktemp("cluster"))


@pytest.fixture(scope="session")
def undisturbed(user: ClusterRun) -> ClusterRun:
    """The whole workflow on the cluster, from beginning to end."""
    user.complete(user.begin())
    return user


@pytest.fixture
def copy(undisturbed: ClusterRun, tmp_path: Path) -> ClusterRun:
    """A second copy of the finished run."""
    return undisturbed.clone(tmp_path / "copy")
