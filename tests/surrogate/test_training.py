"""Training: deterministic, resumable, judged on validation cells, and better than no learning."""

from __future__ import annotations

import csv
import math
from itertools import pairwise
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import torch

from phase_lib.base.errors import InputError, PhaseError
from phase_lib.dataset.layout import Layout
from phase_lib.dataset.scaler import Scaler
from phase_lib.dataset.split import read_split
from phase_lib.surrogate import training
from phase_lib.surrogate.codec import Answer
from phase_lib.surrogate.evaluation import predict_test
from phase_lib.surrogate.features import Batch, CellSource, Reader
from phase_lib.surrogate.inference import Surrogate
from phase_lib.surrogate.networks.phase.network import PhaseNetwork
from phase_lib.surrogate.skill import read_tests
from phase_lib.surrogate.training import learning_rate, load_model
from tests.helpers.surrogate import BASELINES, Prepared, make_values, prepare, small_settings, write_dataset

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return prepare(tmp_path_factory.mktemp("prepared"))


@pytest.fixture(scope="module")
def trained(prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepared.train(tmp_path_factory.mktemp("trained"))


def history(directory: Path) -> list[dict[str, float]]:
    with (directory / "history.csv").open() as stream:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(stream)]


class Killed(Exception):
    pass


def train_and_kill(
    prepared: Prepared, output: Path, monkeypatch: pytest.MonkeyPatch, **changes: object
) -> None:
    """Trains two epochs and is killed."""
    real = training._Run._one_epoch

    def one_epoch(run: training._Run) -> None:
        if run.epoch == 2:
            raise Killed
        real(run)

    with monkeypatch.context() as patch:
        patch.setattr(training._Run, "_one_epoch", one_epoch)
        with pytest.raises(Killed):
            prepared.train(output, **changes)


def test_a_killed_training_ends_in_the_same_model_to_the_last_bit(prepared, trained, tmp_path, monkeypatch):
    with monkeypatch.context() as before:
        # A commit that does not touch the training in between.
        before.setattr(training, "code_version", lambda: "the commit before")
        train_and_kill(prepared, tmp_path, before)
    assert (tmp_path / "checkpoint.pt").is_file()
    assert not (tmp_path / "model.pt").exists()
    done = []
    real = training._Run._one_epoch
    monkeypatch.setattr(training._Run, "_one_epoch", lambda run: (done.append(run.epoch), real(run)))
    resumed = prepared.train(tmp_path)
    assert done == [2, 3]
    assert resumed.read_bytes() == trained.read_bytes()
    assert not (tmp_path / "checkpoint.pt").exists()
    losses = [[row["train_loss"], row["validation_loss"]] for row in history(tmp_path)]
    assert losses == [[row["train_loss"], row["validation_loss"]] for row in history(trained.parent)]


@pytest.mark.parametrize("change", [{"learning_rate": 1.0e-3}, {"cache_gib": 0.0}])
def test_a_checkpoint_of_other_settings_is_not_used(prepared, tmp_path, monkeypatch, change):
    train_and_kill(prepared, tmp_path / "other", monkeypatch)
    changed = prepared.train(tmp_path / "other", **change)
    fresh = prepared.train(tmp_path / "fresh", **change)
    assert changed.read_bytes() == fresh.read_bytes()


def test_the_seed_decides_the_model(prepared, trained, tmp_path):
    other = load_model(prepared.train(tmp_path, seed=2)).model.state_dict()
    same = load_model(trained).model.state_dict()
    name = "members.0.latent.weight"
    assert not torch.equal(other[name], same[name])


def test_the_model_is_that_of_the_epoch_with_the_least_validation_loss(prepared, tmp_path):
    model = prepared.train(tmp_path, epochs=12, learning_rate=0.02, patience=4)
    rows = history(tmp_path)
    losses = [row["validation_loss"] for row in rows]
    best = int(np.argmin(losses)) + 1
    saved = torch.load(model, weights_only=True)
    assert saved["best_epoch"] == best
    assert len(rows) == min(12, best + 4)


def test_history_tells_every_term_of_every_epoch(trained):
    rows = history(trained.parent)
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4]
    for part in ("train", "validation"):
        for row in rows:
            tasks = row[f"{part}_patch"] + row[f"{part}_layer"] + row[f"{part}_flux"]
            assert row[f"{part}_loss"] == pytest.approx(tasks + 0.1 * row[f"{part}_physics"], rel=1e-5)


def test_the_learning_rate_rises_and_then_falls_to_a_hundredth():
    settings = small_settings(epochs=100, warmup_epochs=4, learning_rate=1.0)
    rates = [learning_rate(settings, epoch) for epoch in range(101)]
    assert rates[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert all(a > b for a, b in pairwise(rates[4:]))
    assert rates[52] == pytest.approx(0.01 + 0.99 * 0.5)
    assert rates[100] == pytest.approx(0.01)


@pytest.mark.parametrize("preset", ["default", "paper"])
def test_training_beats_the_20_year_state_and_by_default_the_nearest_training_cell(preset, tmp_path):
    prepared = prepare(tmp_path, make_values(200), preset=preset, epochs=30, learning_rate=1.0e-2)
    model = prepared.train(tmp_path / "out")
    predict_test(model, prepared.dataset, prepared.split, tmp_path / "test.nc", baselines=BASELINES)
    table = read_tests([tmp_path / "test.nc"]).skill()
    for target in ("deadstemc", "soil4c", "cwdc"):
        skill = {name: table[name][target]["r2_pooled"] for name in ("phase", "state20", "analogue")}
        assert skill["phase"] > skill["state20"] + 0.2
        if preset == "default":
            assert skill["phase"] > max(skill["analogue"], 0.95)


def test_data_larger_than_memory_are_read_file_by_file_with_each_cell_once(prepared, tmp_path):
    layout, scaler = Layout.read(prepared.dataset), Scaler.read(prepared.normalization)
    train = read_split(prepared.split).train
    reader = Reader(prepared.dataset, layout, scaler)
    cached, streamed = CellSource(reader, train, 1.0), CellSource(reader, train, 0.0)

    def cells(source: CellSource, seed: int) -> np.ndarray:
        order = torch.Generator().manual_seed(seed)
        return np.concatenate([batch.flux20[:, 0].numpy() for batch in source.batches(16, order)])

    np.testing.assert_array_equal(np.sort(cells(cached, 0)), np.sort(cells(streamed, 0)))
    assert not np.array_equal(cells(streamed, 0), cells(streamed, 1))
    np.testing.assert_array_equal(cells(streamed, 1), cells(streamed, 1))
    rows = history(prepared.train(tmp_path, cache_gib=0.0, epochs=3).parent)
    assert rows[-1]["train_loss"] < rows[0]["train_loss"]


def test_the_model_file_is_plain_data_and_predicts_as_the_trained_network(prepared, trained):
    saved = torch.load(trained, weights_only=True)
    assert saved["settings"]["preset"]["kind"] == "default"
    assert saved["provenance"]["dataset_id"] == "synthetic"
    everywhere = np.ones(120, dtype=bool)
    first = Surrogate(load_model(trained), prepared.dataset).predict(everywhere)
    second = Surrogate(load_model(trained), prepared.dataset).predict(everywhere)
    for name, values in first.pools.items():
        np.testing.assert_array_equal(values, second.pools[name])


def test_global_switches_of_torch_are_as_before(prepared, tmp_path):
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    prepared.train(tmp_path, epochs=1)
    assert torch.get_num_threads() == threads
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.equal(torch.get_rng_state(), state)


def test_a_missing_forcing_value_is_refused_by_name(tmp_path):
    values = make_values(60)
    prepared = prepare(tmp_path, values)
    train = np.flatnonzero(read_split(prepared.split).train)
    values["FSDS"][train[0], 17] = np.nan
    write_dataset(prepared.dataset, values)
    with pytest.raises(InputError, match="FSDS is not finite"):
        prepared.train(tmp_path / "out")
    assert not (tmp_path / "out" / "model.pt").exists()


def test_a_label_that_breaks_the_loss_is_named_with_epoch_and_batch(tmp_path):
    values = make_values(60)
    prepared = prepare(tmp_path, values, preset="paper")
    values["Y_deadstemc"][:] *= 1.0e25  # the square of its error is beyond single precision
    write_dataset(prepared.dataset, values)
    with pytest.raises(PhaseError, match=r"epoch 1: the error of deadstemc is not finite in batch 1;"):
        prepared.train(tmp_path / "out")
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_without_memory_for_a_batch_the_same_is_learnt_in_pieces(tmp_path, caplog, monkeypatch):
    prepared = prepare(tmp_path, make_values(60), network={"dropout": 0.0}, epochs=2)
    whole = load_model(prepared.train(tmp_path / "whole"))
    real = PhaseNetwork.forward

    def with_little_memory(network: PhaseNetwork, batch: Batch) -> Answer:
        if len(batch) > 6:
            raise torch.OutOfMemoryError("as a GPU says it")
        return real(network, batch)

    monkeypatch.setattr(PhaseNetwork, "forward", with_little_memory)
    pieces = load_model(prepared.train(tmp_path / "pieces"))
    assert "out of memory: batches of" in caplog.text
    for name, values in whole.model.state_dict().items():
        torch.testing.assert_close(pieces.model.state_dict()[name], values, rtol=1e-3, atol=1e-5, msg=name)

    cells = read_split(prepared.split).test
    expected, predicted = (
        Surrogate(m, prepared.dataset).predict(cells).pools["deadstemc"] for m in (whole, pieces)
    )
    np.testing.assert_allclose(predicted, expected, rtol=1e-3)


def test_without_memory_for_one_cell_the_training_ends_in_one_line(prepared, tmp_path, monkeypatch):
    def without_memory(network: PhaseNetwork, batch: Batch) -> Answer:
        raise torch.OutOfMemoryError("as a GPU says it")

    monkeypatch.setattr(PhaseNetwork, "forward", without_memory)
    with pytest.raises(PhaseError, match="no memory for one cell"):
        prepared.train(tmp_path / "out")


def test_a_training_that_diverges_says_in_which_batch(prepared, tmp_path):
    with pytest.raises(
        PhaseError, match=r"epoch 1: the error of \w+ and of \d+ more is not finite in batch 2;"
    ):
        prepared.train(tmp_path / "out", learning_rate=1.0e30)


def test_a_normalisation_of_the_other_preset_is_refused(prepared, tmp_path):
    with pytest.raises(InputError, match="holds no scaling"):
        prepare(tmp_path, make_values(60), preset="paper").train(tmp_path / "out", preset="default")


def test_a_gpu_that_is_not_there_is_refused(prepared, tmp_path):
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(InputError, match="no GPU"):
        prepared.train(tmp_path, device="cuda")


def test_a_damaged_model_file_is_refused(trained, tmp_path):
    damaged = tmp_path / "model.pt"
    damaged.write_bytes(trained.read_bytes()[:1000])
    with pytest.raises(InputError, match="no trained model"):
        load_model(damaged)
    damaged.write_bytes(b"nothing of the kind")
    with pytest.raises(InputError, match="no trained model"):
        load_model(damaged)


def test_the_checkpoint_waits_for_its_time(prepared, tmp_path, monkeypatch):
    train_and_kill(prepared, tmp_path, monkeypatch, checkpoint_seconds=math.inf)
    assert not (tmp_path / "checkpoint.pt").exists()


def test_the_normalisation_file_names_its_split(prepared):
    with netCDF4.Dataset(prepared.normalization) as dataset:
        assert len(dataset.split_sha256) == 64
        assert dataset.preset == "default"
