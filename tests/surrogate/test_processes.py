"""Training in several processes: the same steps as in one, one voice, and no process left behind."""

from __future__ import annotations

import csv
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import netCDF4
import numpy as np
import psutil
import pytest
import torch

from phase_lib.base.errors import InputError
from phase_lib.config.kinds import overlay
from phase_lib.dataset.layout import Layout
from phase_lib.dataset.scaler import Scaler
from phase_lib.dataset.split import read_split
from phase_lib.surrogate.ensemble import Ensemble
from phase_lib.surrogate.evaluation import predict_test
from phase_lib.surrogate.features import CellSource, Reader
from phase_lib.surrogate.launching import is_launcher, launch
from phase_lib.surrogate.loss import counts, total, training_losses
from phase_lib.surrogate.processes import Team
from phase_lib.surrogate.skill import read_tests
from phase_lib.surrogate.training import load_model
from tests.helpers.surrogate import BASELINES, Prepared, make_values, prepare, small_settings
from tests.helpers.warm_phase import directory_of_phase

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
#: What torchrun tells its processes; the tests' own process is none of them.
RANKS = ("RANK", "WORLD_SIZE", "LOCAL_RANK")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """Cells of which the later ones, the second process's, lack many labels."""
    values = make_values()
    late = np.arange(len(values["lat"])) > 60
    for name in ("Y_soil3c_vr", "Y_cwdc_vr", "Y_GPP"):
        values[name][late & (np.arange(len(late)) % 3 > 0)] = np.nan
    values["Y_deadstemc"][late] = np.nan
    return prepare(tmp_path_factory.mktemp("prepared"), values)


def command(prepared: Prepared, output: Path, log: Path | None = None, **changes: object) -> list[str]:
    """Words of `phase train` on the CPU with changed settings."""
    settings = small_settings(**overlay(prepared.settings.model_dump(), {"device": "cpu", **changes}))
    words = ["--dataset", prepared.dataset, "--split", prepared.split, "--output-dir", output]
    words += ["--normalization", prepared.normalization, "--settings", settings.model_dump_json()]
    words += [] if log is None else ["--log", log]
    return ["train", *map(str, words)]


def started(
    words: list[str], program: tuple[str | Path, ...] = (), **variables: str
) -> subprocess.Popen[str]:
    """Starts `phase`, in a fork where no program is given, with further variables of the environment."""
    environment = {key: value for key, value in os.environ.items() if key not in RANKS}
    # As the forks below see it, so that models of the same training are the same bytes.
    environment |= {"GIT_DIR": os.devnull, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [*(program or (directory_of_phase() / "phase",)), *words],
        cwd=ROOT,
        env=environment | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def start(
    prepared: Prepared, output: Path, log: Path | None = None, path: Path | None = None, **changes: object
) -> subprocess.Popen[str]:
    """Starts `phase train`, which starts its processes."""
    words = command(prepared, output, log, **changes)
    if path is None:
        return started(words)
    # Not in a fork: the command becomes srun.
    variables = {"PATH": f"{path}{os.pathsep}{os.environ['PATH']}", "SLURM_JOB_ID": "4711"}
    return started(words, (sys.executable, "-m", "phase_lib.cli"), **variables)


def train_by_two(prepared: Prepared, output: Path, **changes: object) -> Path:
    """Trains in two processes as torchrun starts them."""
    with socket.create_server(("localhost", 0)) as listener:
        port = listener.getsockname()[1]
    place = {"MASTER_ADDR": "localhost", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
    words = command(prepared, output, gpus=2, **changes)
    ranks = [started(words, RANK=str(i), LOCAL_RANK=str(i), **place) for i in range(2)]
    for status, said in map(finished, ranks):
        assert status == 0, said
    return output / "model.pt"


def finished(process: subprocess.Popen[str]) -> tuple[int, list[str]]:
    """Exit code and lines of a command."""
    try:
        said = process.communicate(timeout=300)[0]
    finally:
        process.kill()
    return process.returncode, said.splitlines()


def state(model: Path) -> dict[str, torch.Tensor]:
    return load_model(model).model.state_dict()


def losses(directory: Path) -> list[list[float]]:
    with (directory / "history.csv").open() as stream:
        return [[float(v) for k, v in row.items() if k != "seconds"] for row in csv.DictReader(stream)]


def processes_of(output: Path) -> list[int]:
    """Those that a training started, in the order of their start."""
    commands = {process.pid: process.info["cmdline"] or () for process in psutil.process_iter(["cmdline"])}
    return sorted(pid for pid, words in commands.items() if {"phase_lib.cli", str(output)} <= set(words))


def alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.is_file() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def eventually(holds: Callable[[], bool], seconds: float = 300.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize("count", [7, 64, 101])
def test_the_shares_of_all_processes_are_the_whole_and_alike(count: int) -> None:
    cells = np.zeros(150, dtype=bool)
    cells[np.random.default_rng(1).choice(150, count, replace=False)] = True
    for size in (1, 2, 3, 7):
        shares = [Team(rank, size).share(cells) for rank in range(size)]
        np.testing.assert_array_equal(np.sum(shares, axis=0), cells)
        sizes = [int(share.sum()) for share in shares]
        assert max(sizes) - min(sizes) <= 1
        assert sizes == [Team(rank, size).portion(count) for rank in range(size)]


def test_gradients_of_the_parts_of_a_batch_add_up_to_that_of_the_whole(prepared: Prepared) -> None:
    layout, scaler = Layout.read(prepared.dataset), Scaler.read(prepared.normalization)
    settings = small_settings(network={"dropout": 0.0}, members=2)
    torch.manual_seed(0)
    model = Ensemble(layout, scaler, settings).double()
    reader = Reader(prepared.dataset, layout, scaler)
    cells = next(CellSource(reader, read_split(prepared.split).train, 1.0).batches(40))
    cells = cells._map(lambda _, tensor: tensor.double() if tensor.is_floating_point() else tensor)
    # A step away from the start, where raw outputs are 0 and gradients of most weights too.
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn_like(parameter)

    def gradient(pieces: list[torch.Tensor]) -> torch.Tensor:
        model.zero_grad()
        whole = counts(model.codec, cells)
        for rows in pieces:
            total(training_losses(model, cells.take(rows), whole), settings).backward()
        return torch.cat([p.grad.reshape(-1) for p in model.parameters() if p.grad is not None])

    everything = torch.arange(len(cells))
    torch.testing.assert_close(
        gradient([everything[:5], everything[5:23], everything[23:]]),
        gradient([everything]),
        rtol=1e-9,
        atol=1e-12,
    )


def test_two_processes_make_the_same_steps_as_one(prepared: Prepared, tmp_path: Path) -> None:
    # One batch of all cells, and no dropout, which each process draws for itself.
    same = {"network": {"dropout": 0.0}, "batch_cells": 1000, "epochs": 4}
    train_by_two(prepared, tmp_path / "two", **same)
    one = prepared.train(tmp_path / "one", **same)
    np.testing.assert_allclose(losses(tmp_path / "two"), losses(tmp_path / "one"), rtol=1e-4, atol=1e-9)
    for name, tensor in state(tmp_path / "two" / "model.pt").items():
        torch.testing.assert_close(tensor, state(one)[name], rtol=1e-3, atol=1e-4)
    trained = load_model(tmp_path / "two" / "model.pt")
    assert trained.trained_on == "2 x cpu"
    reference = load_model(one).reference
    torch.testing.assert_close(trained.reference.held_out, reference.held_out, rtol=1e-2, atol=1e-2)


#: Several batches with unequal shares, and dropout: everything random is drawn.
LONG = {"epochs": 12, "batch_cells": 21}


@pytest.fixture(scope="module")
def together(prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that two processes trained undisturbed."""
    return train_by_two(prepared, tmp_path_factory.mktemp("together"), **LONG)


def test_a_process_that_is_killed_ends_all_and_the_training_goes_on_to_the_same_model(
    prepared: Prepared, together: Path, tmp_path: Path
) -> None:
    first = start(prepared, tmp_path, tmp_path / "train.log", gpus=2, **LONG)
    eventually((tmp_path / "checkpoint.pt").is_file)
    pids = processes_of(tmp_path)
    assert len(pids) == 2
    os.kill(pids[1], signal.SIGKILL)
    status, said = finished(first)
    assert status == 1
    assert [line for line in said if line.startswith("phase: ")] == [said[-1]]
    assert "process 2 of this node's training was ended by SIGKILL" in said[-1]
    assert "SIGKILL" in (tmp_path / "train.log").read_text()
    eventually(lambda: not any(map(alive, pids)))
    assert not (tmp_path / "model.pt").exists()
    status, said = finished(start(prepared, tmp_path, gpus=2, **LONG))
    assert status == 0, said
    assert any("training continues after epoch" in line for line in said)
    assert (tmp_path / "model.pt").read_bytes() == together.read_bytes()
    assert losses(tmp_path) == losses(together.parent)


@pytest.fixture
def srun(tmp_path: Path) -> Path:
    """Directory of a stand-in for SLURM's srun that runs all tasks on this machine."""
    program = tmp_path / "bin" / "srun"
    program.parent.mkdir()
    program.write_text(
        f"""#!{sys.executable}
import subprocess, sys
words = sys.argv[1:]
options, command = words[:words.index(sys.executable)], words[words.index(sys.executable):]
open({str(tmp_path / "asked")!r}, "w").write(" ".join(options))
command[0] = {str(directory_of_phase() / "python")!r}
tasks = [subprocess.Popen(command) for _ in range(int(dict(o[2:].split("=") for o in options)["ntasks"]))]
sys.exit(max(task.wait() for task in tasks))
"""
    )
    program.chmod(0o755)
    return program.parent


def test_two_nodes_train_the_same_model_as_two_gpus_of_one(
    prepared: Prepared, together: Path, srun: Path, tmp_path: Path
) -> None:
    status, said = finished(start(prepared, tmp_path / "out", path=srun, nodes=2, **LONG))
    assert status == 0, said
    asked = (tmp_path / "asked").read_text().split()
    assert {"--nodes=2", "--ntasks=2", "--ntasks-per-node=1", "--kill-on-bad-exit=1"} <= set(asked)
    expected = state(together)
    for name, tensor in state(tmp_path / "out" / "model.pt").items():
        assert torch.equal(tensor, expected[name])


def test_what_one_process_alone_finds_wrong_ends_all_with_one_line(
    prepared: Prepared, tmp_path: Path
) -> None:
    last = int(np.flatnonzero(read_split(prepared.split).train)[-1])
    broken = prepare(tmp_path / "broken", make_values())
    with netCDF4.Dataset(broken.dataset / f"records_{last // 50:02d}.nc", "r+") as dataset:
        dataset["FSDS"][last % 50, 3] = np.nan
    log = tmp_path / "train.log"
    # Read in the middle of the training by the second process, while the first waits for its gradients.
    status, said = finished(start(broken, tmp_path / "out", log, gpus=2, cache_gib=0.0))
    assert status == 2
    assert [line for line in said if "phase: " in line] == [said[-1]]
    assert f"FSDS is not finite in cell {last}" in said[-1]
    assert f"FSDS is not finite in cell {last}" in log.read_text()
    assert not (tmp_path / "out" / "model.pt").exists()


def test_what_all_processes_find_wrong_is_reported_once(prepared: Prepared, tmp_path: Path) -> None:
    other = prepare(tmp_path / "paper", make_values(60), preset="paper")
    mixed = Prepared(prepared.dataset, prepared.split, other.normalization, prepared.settings)
    status, said = finished(start(mixed, tmp_path / "out", gpus=2))
    assert status == 2
    assert len(said) == 1
    assert "holds no scaling" in said[0]


def test_two_processes_learn_as_well_as_one(tmp_path: Path) -> None:
    prepared = prepare(tmp_path, make_values(200), epochs=30, learning_rate=1.0e-2)
    predict_test(
        train_by_two(prepared, tmp_path / "two"),
        prepared.dataset,
        prepared.split,
        tmp_path / "test.nc",
        baselines=BASELINES,
    )
    table = read_tests([tmp_path / "test.nc"]).skill()
    for target in ("deadstemc", "soil4c", "cwdc"):
        skill = {name: table[name][target]["r2_pooled"] for name in ("phase", "state20", "analogue")}
        assert skill["phase"] > max(skill["state20"] + 0.2, skill["analogue"], 0.95)


def test_several_nodes_outside_slurm_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    settings = small_settings(nodes=2)
    assert is_launcher(settings)
    with pytest.raises(InputError, match=r"surrogate\.nodes is 2 but this is no SLURM job"):
        launch(settings, ["train"], 1)


def test_a_process_of_torchrun_starts_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not is_launcher(small_settings())
    assert is_launcher(small_settings(gpus=2))
    monkeypatch.setenv("RANK", "0")
    assert not is_launcher(small_settings(gpus=2))


def test_more_processes_than_cells_of_a_batch_are_refused() -> None:
    with pytest.raises(ValueError, match="gpus x nodes is 40, but batch_cells 32"):
        small_settings(gpus=10, nodes=4)
