"""The section `experiments`: what is trained beside the run, and what is refused in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from phase_lib.base.errors import InputError
from phase_lib.cli import main
from phase_lib.config.loading import load_config
from phase_lib.config.root import WorkflowConfig


def config(surrogate: dict[str, Any] | None = None, **experiments: Any) -> WorkflowConfig:
    return WorkflowConfig.model_validate({"surrogate": surrogate or {}, "experiments": experiments})


NO_PAPER = {"paper": None}


def test_the_settings_of_the_paper_are_trained_beside_the_run_by_default() -> None:
    whole = config({"members": 5, "epochs": 7})
    paper = whole.experiments.settings(whole.surrogate)["paper"]
    assert (paper.preset.kind, paper.members, paper.epochs) == ("paper", 1, 7)
    assert whole.experiments.trainings(whole.surrogate) == [("paper", 1, "random"), ("paper", 1, "block")]
    assert whole.experiments.labels(whole.surrogate) == {"phase": "PHASE", "paper": "PHASE, paper preset"}


def test_without_it_nothing_is_trained_beside_the_run() -> None:
    whole = config(variants=NO_PAPER)
    assert whole.experiments.trainings(whole.surrogate) == []
    # Also when it was written and read.
    again = WorkflowConfig.model_validate(whole.model_dump(mode="json"))
    assert again.experiments.trainings(again.surrogate) == []


def test_restarts_are_those_of_models_that_are_there() -> None:
    assert config().experiments.restarts == []
    chosen = config(restarts=["phase", "paper", "state20"]).experiments
    assert chosen.starts == {name: name for name in ("phase", "paper", "state20")}
    with pytest.raises(ValueError, match=r"restarts names 'mlp'; expected one of phase, paper, state20"):
        config(restarts=["mlp"])
    with pytest.raises(ValueError, match="'paper', which is not trained on the blocked split"):
        config(restarts=["paper"], splits=["random"])
    with pytest.raises(ValueError, match=r"restart_test_years is 50; expected a multiple of 20"):
        config(restarts=["phase"], restart_test_years=50)


def test_an_experiment_is_the_runs_settings_with_what_it_names() -> None:
    variants = {"no_climate": {"leave_out": ["forcing"], "label": "without climate"}}
    whole = config({"epochs": 7, "members": 2}, variants=variants)
    settings = whole.experiments.settings(whole.surrogate)
    assert list(settings) == ["phase", "paper", "no_climate"]
    assert whole.experiments.labels(whole.surrogate)["no_climate"] == "without climate"
    assert settings["phase"] == whole.surrogate
    assert settings["no_climate"].leave_out == ["forcing"]
    assert (settings["no_climate"].epochs, settings["no_climate"].members) == (7, 2)


def test_an_experiment_may_have_another_network() -> None:
    whole = config({"members": 5}, variants={"mlp": {"network": "mlp"}, "thin": {"network": {"d_model": 32}}})
    settings = whole.experiments.settings(whole.surrogate)
    assert (settings["mlp"].network.kind, settings["mlp"].members) == ("mlp", 5)
    assert settings["thin"].network == whole.surrogate.network.model_copy(update={"d_model": 32})
    assert whole.experiments.labels(config({"network": "mlp"}).surrogate)["phase"] == "MLP"


@pytest.mark.parametrize(("seeds", "expected"), [(1, [4]), (3, [4, 5, 6]), ([9, 4], [9, 4])])
def test_seeds_are_counted_from_the_runs_or_listed(seeds: Any, expected: list[int]) -> None:
    whole = config({"seed": 4}, seeds=seeds)
    assert whole.experiments.seeds_of(whole.surrogate) == expected


def test_seeds_alone_repeat_the_run() -> None:
    whole = config(seeds=3)
    trainings = whole.experiments.trainings(whole.surrogate)
    assert [(seed, split) for name, seed, split in trainings if name == "phase"] == [
        (2, "random"),
        (2, "block"),
        (3, "random"),
        (3, "block"),
    ]


def test_an_experiment_says_only_what_it_names_also_when_it_is_written_and_read() -> None:
    whole = config(variants={"wide": {"network": {"d_model": 128}}, **NO_PAPER}, seeds=[1, 7])
    plain = whole.model_dump(mode="json")
    assert plain["experiments"]["variants"] == {"paper": None, "wide": {"network": {"d_model": 128}}}
    assert WorkflowConfig.model_validate(plain) == whole


def test_a_plain_network_may_have_a_width_that_no_attention_heads_divide() -> None:
    whole = config(variants={"narrow": {"network": {"kind": "mlp", "d_model": 30}}})
    network = whole.experiments.settings(whole.surrogate)["narrow"].network
    assert network.model_dump()["d_model"] == 30


def test_an_experiment_is_judged_together_with_the_runs_settings() -> None:
    run = {"network": {"d_model": 60, "attention_heads": 6}}
    whole = config(run, variants={"wide": {"network": {"d_model": 66}}})
    network = whole.experiments.settings(whole.surrogate)["wide"].network
    assert network.model_dump()["d_model"] == 66


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "variants: {a: {lamda_physics: 0}}",
            ["unknown key experiments.variants.a.lamda_physics", "experiments.variants.a.lambda_physics?"],
        ),
        ("varaints: {}", ["unknown key experiments.varaints", "did you mean experiments.variants?"]),
        ("variants: {a: {epochs: 0}}", ["experiments.variants.a.epochs is 0"]),
        ("variants: {a: {network: {d_model: 65}}}", ["variants.a.network", "does not divide d_model 65"]),
        ("variants: {a: {d_model: 65}}", ["unknown key experiments.variants.a.d_model"]),
        ("variants: {a: {network: {d_modl: 65}}}", ["variants.a.network: unknown key d_modl", "d_model?"]),
        ("variants: {a: {leave_out: [climate]}}", ["leave_out.0 is 'climate'", "'forcing'"]),
        (
            "variants: {a: {leave_out: [forcing, static, traits, state, soil]}}",
            ["every group is left out; keep at least one"],
        ),
        ("variants: {a: {seed: 2}}", ["variants.a.seed", "experiments.seeds"]),
        ("variants: {a: {device: cuda}}", ["variants.a.device", "surrogate.device"]),
        ("variants: {a: {}}", ["a has the settings of the run; set it to null"]),
        ("variants: {a: {epochs: 100}}", ["a has the settings of the run; set it to null"]),
        ("variants: {a: {epochs: 3}, b: {epochs: 3}}", ["b has the settings of a; leave it out"]),
        (
            "variants: {b: {preset: paper, members: 1, network: {months_per_step: 1, dropout: 0.2}}}",
            ["b has the settings of paper; leave it out"],
        ),
        ("variants: {analogue: {epochs: 3}}", ["variants.analogue: not a name for an experiment"]),
        ("variants: {phase: {epochs: 3}}", ["variants.phase: not a name for an experiment"]),
        ("variants: {a/b: {epochs: 3}}", ["variants.a/b: not a name for an experiment"]),
        ("baselines: [analog]", ["no baseline is called 'analog'", "did you mean analogue?"]),
        ("baselines: ['nowhere:Trees']", ["the baseline nowhere:Trees cannot be imported", "No module"]),
        ("baselines: [state20, state20]", ["baselines names one twice"]),
        ("seeds: 0", ["seeds is 0"]),
        ("seeds: []", ["seeds is []"]),
        ("seeds: [3, 3]", ["seeds is [3, 3]", "different seeds"]),
        ("seeds: [7, 20]", ["experiments.seeds is [7, 20]", "surrogate.seed, 1, among them"]),
        ("limit: 0", ["experiments.limit is 0"]),
        (
            "variants: {a: {network: {kind: mlp, lstm_hidden: 8}}}",
            ["variants.a.network: unknown key lstm_hidden of kind mlp; expected one of kind, width, d_model"],
        ),
        (
            "variants: {a: {preset: {kind: paper, balance: 0}}}",
            ["variants.a.preset: unknown key balance of kind paper"],
        ),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(
    text: str, words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(f"experiments: {{{text}}}")
    with pytest.raises(InputError) as caught:
        load_config(path)
    line = str(caught.value)
    assert "\n" not in line
    for word in [str(path), *words]:
        assert word in line
    with pytest.raises(SystemExit) as stopped:
        main(["check", "--config", str(path)])
    assert stopped.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
