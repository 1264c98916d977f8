"""One small run of the whole workflow, shared by the tests of this directory."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.forked_snakemake import snakemake_in_a_fork
from tests.helpers.warm_phase import directory_of_phase

ROOT = Path(__file__).parents[2]
SMALL = "tests/config/small.yaml"
TIMEOUT = 900.0
#: Section `experiments` where the four trainings of the paper's network would show nothing new.
WITHOUT_PAPER = {"variants": {"paper": None}}
#: What a workflow needs of the checkout; tests change the copy, never the checkout.
TREE = ("Snakefile", "rules", "envs", "profiles", "phase_lib", "workflow_config.yaml", SMALL)


def _link_or_copy(source: str, copy: str) -> None:
    in_place = not {"logs", "benchmarks"}.isdisjoint(Path(source).parts)
    (shutil.copy2 if in_place else os.link)(source, copy)


@dataclass(frozen=True)
class Workflow:
    """A copy of the workflow in a directory of its own.

    Attributes:
        root: directory of the copy.
        results: directory of its run.
        first: what the first, complete run wrote on the terminal.
        closing: the closing page that it left.
    """

    root: Path
    results: Path
    first: str = ""
    closing: str = ""

    @property
    def environment(self) -> dict[str, str]:
        """Environment in which the copy's library is the one that runs."""
        tools = Path(sys.executable).parent
        return {
            **os.environ,
            "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(self.root),
            "OMP_NUM_THREADS": "1",
        }

    def snakemake(
        self, *words: str, configs: tuple[str, ...] = (SMALL,), target: Path | str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Runs snakemake in the copy, for a file or a rule; stdout and stderr together.

        It and its jobs run in forks of processes that are warm, which saves seconds of each.
        """
        with tempfile.TemporaryDirectory() as directory:
            terminal = Path(directory) / "terminal.txt"
            process = self.start(*words, terminal=terminal, configs=configs, target=target)
            process.join(TIMEOUT)
            said = terminal.read_text(encoding="utf-8")
            if process.exitcode is None:
                process.kill()
                raise TimeoutError(f"snakemake {' '.join(words)} took more than {TIMEOUT:g} s: {said}")
            return subprocess.CompletedProcess(words, process.exitcode, said)

    def start(
        self, *words: str, terminal: Path, configs: tuple[str, ...], target: Path | str | None = None
    ) -> ForkServerProcess:
        """Starts snakemake in the copy, in a group of its own; it writes to a file `terminal`."""
        if isinstance(target, Path):
            target = target.relative_to(self.root).as_posix()
        command = [*words, "--configfile", *configs, "--", *([] if target is None else [target])]
        return snakemake_in_a_fork(command, self.root, self.environment, directory_of_phase(), terminal)

    def phase(self, *words: object) -> subprocess.CompletedProcess[str]:
        """Runs a command of the copy's library."""
        return self._run([sys.executable, "-m", "phase_lib.cli", *map(str, words)])

    def _run(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=self.root,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )

    def planned(self, configs: tuple[str, ...] = (SMALL,), target: Path | None = None) -> set[str]:
        """Names of the rules that a run would execute now."""
        # The job table belongs to what the profile keeps quiet.
        result = self.snakemake("--dry-run", "--quiet", "host", configs=configs, target=target)
        assert result.returncode == 0, result.stdout
        return set(re.findall(r"^(\w+) +\d+$", result.stdout, flags=re.MULTILINE)) - {"total"}

    def times(self) -> dict[str, int]:
        """Products of the run -> when they were written."""
        files = [path for path in self.results.rglob("*") if path.is_file()]
        return {path.relative_to(self.results).as_posix(): path.stat().st_mtime_ns for path in files}

    def clone(self, root: Path) -> Workflow:
        """A second copy with the same products, linked where stages replace their files.

        Logs and benchmarks are copied: Snakemake and the shell write into them in place.
        """
        shutil.copytree(self.root, root, ignore=shutil.ignore_patterns("results"))
        shutil.copytree(self.root / "results", root / "results", copy_function=_link_or_copy)
        return Workflow(root, root / "results" / self.results.name)

    @contextmanager
    def touched(self, path: Path) -> Iterator[None]:
        """A file with a new modification time, which it loses afterwards."""
        alone = path.with_name(f"{path.name}.alone")
        shutil.copy2(path, alone)
        alone.replace(path)  # other copies of the run keep the file that they share
        before = path.stat()
        os.utime(path)
        try:
            yield
        finally:
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    @contextmanager
    def changed(self, path: Path, addition: str) -> Iterator[None]:
        """A text file with a line more, which it loses afterwards."""
        before = path.read_text(encoding="utf-8")
        path.write_text(before + addition, encoding="utf-8")
        try:
            yield
        finally:
            path.write_text(before, encoding="utf-8")


def world_files(results: Path) -> dict[str, Any]:
    """The world of the run as files of a domain: keys of the section `domains`."""
    world = results / "world"
    return {
        "domain": str(world / "domain.lnd.nc"),
        "surface": str(world / "surfdata.nc"),
        "params": str(world / "clm_params.nc"),
        "soil_params": str(world / "CNP_parameters.nc"),
        "forcing": {
            "files": [str(world / "forcing" / "clmforc.embedded.*.nc")],
            "product": "synthetic weather",
            "first_year": 1901,
            "limit_km": 1500.0,
        },
    }


def given_runs(results: Path) -> dict[str, Any]:
    """Restarts and history of the run as those of a domain; the reference's of two cycles."""
    runs = results / "landmodel"
    return {
        "restart": str(runs / "ad" / "ad.elm.r.0021-01-01-00000.nc"),
        "history": [str(runs / "ad" / "ad.elm.h0.0021-01-01-00000.nc")],
        "soil_history": [str(runs / "ad" / "ad.elm.h1.0002-01-01-00000.nc")],
        "spinup_mortality_factor": 10.0,
        "reference_restart": str(runs / "reference" / "reference.elm.r.0101-01-01-00000.nc"),
        "reference_history": [str(runs / "reference" / "reference.elm.h0.*.nc")],
        "reference_ad_restart": str(runs / "ad" / "ad.elm.r.0061-01-01-00000.nc"),
    }


def copy_of_the_workflow(root: Path) -> Workflow:
    """Copies what a workflow needs into `root`."""
    for name in TREE:
        source, target = ROOT / name, root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, target)
    return Workflow(root, root / "results" / "small")


@pytest.fixture(scope="session")
def fresh_workflow(tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    """A copy in which nothing has run."""
    return copy_of_the_workflow(tmp_path_factory.mktemp("fresh"))


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    """A copy in which the small configuration ran from beginning to end.

    One process of the tests runs it; the others wait, and each works in a clone of its own.
    """
    here = tmp_path_factory.getbasetemp()
    shared = (here.parent if "PYTEST_XDIST_WORKER" in os.environ else here) / "small_run"
    with (shared.parent / "small_run.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        terminal = shared / "terminal.txt"
        if not terminal.exists():
            result = copy_of_the_workflow(shared).snakemake()
            terminal.write_text(result.stdout, encoding="utf-8")
    said = terminal.read_text(encoding="utf-8")
    closing = shared / "results" / "small" / "report" / "closing.txt"
    assert closing.is_file(), said
    run = Workflow(shared, shared / "results" / "small").clone(here / "workflow")
    return replace(run, first=said, closing=closing.read_text(encoding="utf-8"))
