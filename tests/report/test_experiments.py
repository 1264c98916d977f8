"""Experiments side by side: the numbers are those of the test files, and the report shows them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pandas as pd
import pytest

from phase_lib.base.errors import InputError
from phase_lib.base.files import read_json, write_json
from phase_lib.cli import main
from phase_lib.config.surrogate import SurrogateSettings
from phase_lib.elm.variables import HEADLINE
from phase_lib.report.experiments import compare_experiments
from phase_lib.report.figures import experiments_overview
from phase_lib.report.page import write_report
from phase_lib.report.products import RunFacts, RunProducts
from phase_lib.report.summary import write_summary
from phase_lib.surrogate.predictor import Predictions
from phase_lib.surrogate.skill import Model, write_test_file
from tests.helpers.run_products import LABEL, PATCH, synthetic_run
from tests.report.test_page import GRID

CELLS, LAYERS = 40, 10
TRUTH = {
    name: np.exp(np.random.default_rng(0).standard_normal((CELLS, 17 if name in PATCH else LAYERS)) + 6.0)
    for name in HEADLINE.values()
}


def write_test(
    path: Path,
    errors: dict[str, float],
    split: str = "block",
    dataset: str = "d1",
    imbalance: float = 1.0,
    **settings: Any,
) -> Path:
    """A test file of the headline variables, whose models are wrong by a factor exp(error) everywhere."""
    trained = SurrogateSettings(**settings).model_dump(mode="json")
    baselines = ("state20", "analogue")
    zero, npp = np.zeros(CELLS), np.full(CELLS, imbalance)
    write_test_file(
        path,
        cell=np.arange(CELLS),
        lat=np.linspace(-50.0, 70.0, CELLS),
        lon=np.zeros(CELLS),
        covered=np.ones((CELLS, 17), dtype=bool),
        truth=TRUTH,
        units=dict.fromkeys(TRUTH, "1"),
        models=[Model(name, LABEL.get(name, name), {} if name in baselines else trained) for name in errors],
        predictions=[
            Predictions(
                {variable: values * np.exp(error) for variable, values in TRUTH.items()},
                {} if name in baselines else {"GPP": zero, "AR": zero, "NPP": npp},
            )
            for name, error in errors.items()
        ],
        attributes={"split": split, "dataset_id": dataset},
    )
    return path


@pytest.fixture
def run_test(tmp_path: Path) -> Path:
    return write_test(tmp_path / "own.nc", {"phase": 0.1, "paper": 0.3, "state20": 0.9, "analogue": 0.5})


def test_mean_and_spread_are_over_the_seeds_of_an_experiment(run_test: Path, tmp_path: Path) -> None:
    tests = [write_test(tmp_path / "own2.nc", {"phase": 0.2}, seed=2, imbalance=3.0)]
    for seed, error in ((1, 0.4), (2, 0.5), (3, 0.9)):
        path = tmp_path / f"{seed}.nc"
        tests.append(write_test(path, {"no_soil": error}, seed=seed, leave_out=["soil"]))
    compared = compare_experiments([run_test], tests, tmp_path / "out")["experiments"]
    assert list(compared) == ["phase", "paper", "state20", "analogue", "no_soil"]
    ratio = {name: e["skill"]["block"]["soil3c"]["median_abs_log_ratio"] for name, e in compared.items()}
    assert ratio["no_soil"] == pytest.approx(
        {"mean": np.mean([0.4, 0.5, 0.9]), "std": np.std([0.4, 0.5, 0.9], ddof=1)}
    )
    assert ratio["phase"] == pytest.approx({"mean": 0.15, "std": np.std([0.1, 0.2], ddof=1)})
    assert ratio["state20"] == {"mean": pytest.approx(0.9), "std": None}
    assert compared["phase"]["flux_imbalance_gc_m2_yr"]["block"]["mean"] == pytest.approx(2.0)
    assert {name: e["seeds"] for name, e in compared.items()} == {
        "phase": [1, 2],
        "paper": [1],
        "state20": [],
        "analogue": [],
        "no_soil": [1, 2, 3],
    }
    assert compared["no_soil"]["changes"] == {"leave_out": ["soil"]}
    assert (compared["paper"]["label"], compared["paper"]["trained"]) == ("PHASE, paper preset", True)
    assert not compared["analogue"]["trained"]
    assert compared["phase"]["changes"] == compared["analogue"]["changes"] == {}


def test_the_tables_hold_every_training_and_every_mean(run_test: Path, tmp_path: Path) -> None:
    tests = [
        write_test(tmp_path / f"{seed}.nc", {"wide": error}, seed=seed, network={"d_model": 128})
        for seed, error in ((4, 0.2), (5, 0.6))
    ]
    compare_experiments([run_test], tests, tmp_path / "out")
    by_seed = pd.read_csv(tmp_path / "out" / "skill_by_seed.csv")
    wide = by_seed[(by_seed.experiment == "wide") & (by_seed.target == "soil3c")]
    assert list(wide.seed) == [4, 5]
    np.testing.assert_allclose(wide.median_abs_log_ratio, [0.2, 0.6])
    mean = pd.read_csv(tmp_path / "out" / "skill.csv").query("target == 'soil3c'").set_index("experiment")
    assert mean.loc["wide", "seeds"] == 2
    assert mean.loc["wide", "median_abs_log_ratio_mean"] == pytest.approx(0.4)
    assert np.isnan(mean.loc["analogue", "median_abs_log_ratio_std"])


def damaged(path: Path, attribute: str, value: str | None) -> Path:
    with netCDF4.Dataset(path, "r+") as dataset:
        dataset.delncattr(attribute)
        if value is not None:
            dataset.setncattr(attribute, value)
    return path


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda path: write_test(path, {"phase": 0.1}, seed=2, epochs=3),
            "has other settings than the other",
        ),
        (
            lambda path: write_test(path, {"phase": 0.1}, dataset="d2", seed=2),
            "has other test cells or variables than",
        ),
        (lambda path: write_test(path, {"phase": 0.1}), "two test files are of phase, seed 1, block split"),
        (
            lambda path: damaged(write_test(path, {"phase": 0.1}), "models", None),
            "attribute models is missing",
        ),
        (lambda path: damaged(write_test(path, {"phase": 0.1}), "models", "{"), "attribute models is '{'"),
    ],
    ids=["other settings", "other cells", "twice", "no models", "damaged models"],
)
def test_files_that_do_not_belong_together_are_refused(
    make: Any, words: str, run_test: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = make(tmp_path / "other.nc"), tmp_path / "out"
    with pytest.raises(SystemExit) as stopped:
        main(["compare-experiments", "--own", str(run_test), "--test", str(path), "--output-dir", str(out)])
    assert stopped.value.code == 2
    assert words in capsys.readouterr().err
    assert not out.exists()


def test_the_runs_file_without_the_runs_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds the models analogue; expected phase among them"):
        compare_experiments([write_test(tmp_path / "x.nc", {"analogue": 0.1})], [], tmp_path / "out")


def test_the_figure_of_experiments_is_written(run_test: Path, tmp_path: Path) -> None:
    other = write_test(tmp_path / "2.nc", {"no_climate": 0.4}, leave_out=["forcing"])
    compare_experiments([run_test], [other], tmp_path)
    compared = read_json(tmp_path / "comparison.json")["experiments"]
    path = experiments_overview(compared, list(HEADLINE)).save(tmp_path)
    assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.usefixtures("blank_figures")
def test_the_report_shows_experiments_and_the_comparison_of_forcing_where_there_are_any(
    run_test: Path, tmp_path: Path
) -> None:
    test = write_test(tmp_path / "2.nc", {"no_climate": 0.4}, leave_out=["forcing"], lambda_physics=0.0)
    root = tmp_path / "run"
    root.mkdir()
    products, facts = synthetic_run(root, GRID)
    compare_experiments([run_test], [test], root / "experiments")
    comparison = root / "experiments" / "comparison.json"
    seen = {
        "model_years": [1, 20],
        "intervals": 1,
        "variables": {"TBOT": {}},
        "differences": ["TBOT is <off>"],
    }
    write_json(root / "seen.json", seen | {"not_compared": {"FSDS": "the history has no such field"}})
    for experiments in (None, comparison):
        with_them = replace(products, experiments=experiments, forcing={"embedded": root / "seen.json"})
        summary = write_summary(with_them, facts, root / "summary.json")
        write_report(root / "summary.json", with_them, root / "report")
        page = (root / "report" / "index.html").read_text(encoding="utf-8")
        if experiments is None:
            assert summary["experiments"] == {}
            assert 'id="experiments"' not in page
    assert summary["experiments"] == read_json(comparison)["experiments"]
    assert '<h2 id="experiments">' in page
    said = (
        "compared with the history over the model years 0001 to 0020, by the mean over the cycle alone: "
        "TBOT; 1 of them differs, which was accepted; FSDS: the history has no such field"
    )
    assert summary["domain"]["forcing"]["embedded"] == {"outcome": said, "differences": ["TBOT is <off>"]}
    assert f"<p>Forcing of embedded, {said}.</p>" in page
    assert "Accepted: TBOT is &lt;off&gt;." in page
    assert "leave_out: forcing; lambda_physics: 0.0" in page
    assert (
        "Headline variables with a lower R² than the run&#39;s settings, of 6: PHASE, paper preset: 6, "
        "no_climate: 6" in page
    )
    assert (root / "report" / "figures" / "experiments.png").exists()
    assert "../experiments/skill.csv" in page
    # With the paper's preset as the only experiment, and one seed, all skill is in the figures of the run.
    compare_experiments([run_test], [], root / "experiments")
    write_report(_summarised(with_them, facts, root), with_them, root / "alone")
    assert not (root / "alone" / "figures" / "experiments.png").exists()
    page = (root / "alone" / "index.html").read_text(encoding="utf-8")
    section = page[page.index('<h2 id="experiments">') : page.index('<h2 id="cost">')]
    assert "Imbalance of the predicted fluxes" in section
    assert section.count("<table>") == 1
    assert "analogue" not in section


def _summarised(products: RunProducts, facts: RunFacts, root: Path) -> Path:
    write_summary(products, facts, root / "summary.json")
    return root / "summary.json"
