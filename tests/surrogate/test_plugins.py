"""A network and a baseline of a package that this library knows nothing of."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from phase_lib.base.plugins import Plugins
from phase_lib.base.provenance import code_hash
from phase_lib.config.experiments import BASELINES
from phase_lib.config.surrogate import NETWORKS, SurrogateSettings
from phase_lib.dataset.split import read_split
from phase_lib.surrogate.skill import read_tests
from tests.helpers.surrogate import SMALL, make_values, write_dataset, write_split

NETWORK = """
import torch
from torch import nn

from phase_lib.config.kinds import NetworkSettings
from phase_lib.surrogate.codec import Answer, Outputs
from phase_lib.surrogate.layers import FlatHead


class Linear(NetworkSettings):
    \"\"\"The mean of the soil in the latent, and nothing else.\"\"\"

    label = "linear"
    width: int = 3

    def build(self, layout):
        return LinearNetwork(layout, self.width)


class LinearNetwork(nn.Module):
    def __init__(self, layout, width):
        super().__init__()
        self.latent = nn.Linear(len(layout.soil), width)
        self.patch = FlatHead(width, 8, 17, len(layout.patch_targets), 0.0)
        self.layer = FlatHead(width, 8, 10, len(layout.layer_targets), 0.0)
        self.flux = nn.Linear(width, 3)

    def forward(self, batch):
        latent = self.latent(batch.soil.mean(1))
        return Answer(Outputs(self.patch(latent), self.layer(latent), self.flux(latent)), latent)
"""
BASELINE = """
import numpy as np

from phase_lib.dataset.loading import load_dataset
from phase_lib.surrogate.predictor import Baseline, Predictions


class TrainingMean(Baseline):
    name, label = "training_mean", "mean of the training cells"

    def __init__(self, task):
        super().__init__(task)
        labels = load_dataset(task.dataset_dir, [f"Y_{name}" for name in task.targets], task.training)
        self.means = {name: np.nanmean(labels[f"Y_{name}"], axis=0) for name in task.targets}

    def predict(self, cells):
        count = int(np.count_nonzero(cells))
        return Predictions({name: np.tile(mean, (count, 1)) for name, mean in self.means.items()})
"""
ENTRY_POINTS = """
[phase_lib.surrogate.networks]
linear = toys.network:Linear
[phase_lib.surrogate.baselines]
mean = toys.baseline:TrainingMean
"""


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory with an installed package of a stranger, on the path of this process and of others."""
    place = tmp_path_factory.mktemp("site")
    files = {
        "toys/__init__.py": "",
        "toys/network.py": NETWORK,
        "toys/baseline.py": BASELINE,
        "toys-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: toys\nVersion: 1.0\n",
        "toys-1.0.dist-info/entry_points.txt": ENTRY_POINTS,
    }
    for name, text in files.items():
        (place / name).parent.mkdir(exist_ok=True)
        (place / name).write_text(text, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(place))
        patch.setenv("PYTHONPATH", f"{place}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
        yield place


def phase(*words: object) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "phase_lib.cli", *map(str, words)], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    ("network", "baseline"),
    [("toys.network:Linear", "toys.baseline:TrainingMean"), ("linear", "mean")],
    ids=["by class", "by entry point"],
)
def test_both_are_trained_and_scored_beside_ours_in_processes_of_their_own(
    network: str, baseline: str, toys: Path, tmp_path: Path
) -> None:
    values = make_values(60)
    dataset = write_dataset(tmp_path / "dataset", values)
    split, model, normalization = write_split(dataset), tmp_path / "model.pt", tmp_path / "normalization.nc"
    settings = json.dumps({**SMALL, "epochs": 2, "network": {"kind": network, "width": 5}})
    given = ("--dataset", dataset, "--split", split)
    phase("normalize", *given, "--settings", settings, "--output", normalization)
    trained = ("--normalization", normalization, "--settings", settings, "--output-dir", tmp_path)
    phase("train", *given, *trained)
    phase("predict", *given, "--model", model, "--output", tmp_path / "predictions.nc")
    test = tmp_path / "test.nc"
    words = ("--name", "phase", "--baseline", "state20", baseline, "--output", test)
    phase("predict-test", *given, "--model", model, *words)
    test_set = read_tests([test])
    labels = {name: model.label for name, model in test_set.models.items()}
    assert labels == {
        "phase": "linear",
        "state20": "input state",
        "training_mean": "mean of the training cells",
    }
    assert test_set.models["phase"].settings["network"] == {"kind": network, "width": 5}
    parts = read_split(split)
    cells = test_set.variable("soil4c_vr")
    mean = values["Y_soil4c_vr"][parts.train | parts.validation].mean(axis=0)
    expected = np.broadcast_to(mean, cells.truth.shape)
    np.testing.assert_allclose(cells.predictions["training_mean"], expected)
    assert test_set.skill()["training_mean"]["soil4c"]["rmse"] == pytest.approx(
        np.sqrt(np.mean((expected - cells.truth) ** 2))
    )


def test_the_code_of_a_network_of_another_package_counts_in_the_hash_of_its_training(toys: Path) -> None:
    before = code_hash("surrogate/training", "toys.baseline")
    assert before != code_hash("surrogate/training")
    assert before != code_hash("surrogate/training", "toys.network")


def test_ours_are_the_modules_of_their_packages() -> None:
    assert NETWORKS.names == ["mlp", "phase"]
    assert BASELINES.names == ["analogue", "state20"]
    for registry in (NETWORKS, BASELINES):
        for name in registry.names:
            # What a test file calls it is the name under which it was asked for.
            assert getattr(registry.load(name), "name", name) == name


def test_what_cannot_be_found_is_refused_with_the_names_that_can() -> None:
    registry = Plugins("phase_lib.surrogate.baselines", "baseline")
    with pytest.raises(ValueError, match="no baseline is called 'analog'; expected one of analogue, state20"):
        registry.load("analog")
    with pytest.raises(ValueError, match=r"baseline json:Trees cannot be imported: .*has no attribute"):
        registry.load("json:Trees")


def test_a_network_that_cannot_be_built_is_refused_with_the_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "from phase_lib.config.kinds import NetworkSettings\nclass Half(NetworkSettings): label = 'half'\n"
    (tmp_path / "half.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ValidationError, match="the network half:Half lacks build"):
        SurrogateSettings.model_validate({"network": {"kind": "half:Half"}})
