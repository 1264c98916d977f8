"""The files of a run that summary and report are made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

#: The two ways of splitting cells, and what they are called in prose.
SPLITS = {"random": "random split", "block": "blocked split"}
#: Models in the order of tables and figures, and what they are called in prose.
MODELS = {
    "phase": "PHASE",
    "paper": "PHASE, paper preset",
    "state20": "input state",
    "analogue": "analogue",
}


@dataclass(frozen=True)
class RunProducts:
    """Paths of the products of one run.

    Attributes:
        verdict: `equilibrium/verdict.json`.
        drift: `equilibrium/drift.nc`.
        predictions: `predictions/predictions.nc`.
        restart: the injected restart.
        diff: its sidecar, which holds the audit of the restart.
        splits: split -> split file.
        tests: split -> truth and predictions of its test cells.
        training: split -> `history.csv` of its training.
        benchmarks: directory of the benchmark tables of the stages.
        cleaning: what fusion left out and why.
    """

    verdict: Path
    drift: Path
    predictions: Path
    restart: Path
    diff: Path
    splits: Mapping[str, Path]
    tests: Mapping[str, Path]
    training: Mapping[str, Path] = field(default_factory=dict)
    benchmarks: Path | None = None
    cleaning: Path | None = None


@dataclass(frozen=True)
class RunFacts:
    """What the configuration says about the run.

    Attributes:
        name: run name.
        config_hash: hash of the whole configuration.
        directory: run directory, for the closing page.
        device: where the surrogate was trained.
        cores: cores of the machine that the workflow used.
        input_years: AD years before the surrogate.
        stabilisation_years: normal years after injection.
        conventional_years: AD and normal years of the conventional spin-up.
        ood_action: what flagged cells got.
    """

    name: str
    config_hash: str
    directory: Path
    device: str
    cores: int
    input_years: int
    stabilisation_years: int
    conventional_years: int
    ood_action: str
