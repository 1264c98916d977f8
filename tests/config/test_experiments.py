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


def test_nothing_is_trained_beside_the_run_by_default() -> None:
    assert config().experiments.settings(config().surrogate) == {}


def test_an_experiment_is_the_runs_settings_with_what_it_names() -> None:
    found = config({"epochs": 7, "members": 2}, variants={"no_climate": {"leave_out": ["forcing"]}})
    settings = found.experiments.settings(found.surrogate)
    assert list(settings) == ["phase", "no_climate"]
    assert settings["phase"] == found.surrogate
    assert settings["no_climate"].leave_out == ["forcing"]
    assert (settings["no_climate"].epochs, settings["no_climate"].members) == (7, 2)


def test_baselines_are_the_papers_preset_and_a_plain_network() -> None:
    found = config({"members": 5}, baselines=["paper", "mlp"])
    settings = found.experiments.settings(found.surrogate)
    assert (settings["paper"].preset, settings["paper"].members) == ("paper", 1)
    assert (settings["mlp"].network, settings["mlp"].members) == ("mlp", 5)


@pytest.mark.parametrize(("seeds", "expected"), [(1, [4]), (3, [4, 5, 6]), ([9, 4], [9, 4])])
def test_seeds_are_counted_from_the_runs_or_listed(seeds: Any, expected: list[int]) -> None:
    found = config({"seed": 4}, seeds=seeds)
    assert found.experiments.seeds_of(found.surrogate) == expected


def test_seeds_alone_repeat_the_run() -> None:
    found = config(seeds=3)
    assert list(found.experiments.settings(found.surrogate)) == ["phase"]


def test_an_experiment_says_only_what_it_names_also_when_it_is_written_and_read() -> None:
    found = config(variants={"wide": {"d_model": 128}}, seeds=[1, 7])
    plain = found.model_dump(mode="json")
    assert plain["experiments"]["variants"] == {"wide": {"d_model": 128}}
    assert WorkflowConfig.model_validate(plain) == found


def test_a_plain_network_may_have_a_width_that_no_attention_heads_divide() -> None:
    found = config(variants={"narrow": {"network": "mlp", "d_model": 30}})
    assert found.experiments.settings(found.surrogate)["narrow"].d_model == 30


def test_an_experiment_is_judged_together_with_the_runs_settings() -> None:
    found = config({"d_model": 60, "attention_heads": 6}, variants={"wide": {"d_model": 66}})
    assert found.experiments.settings(found.surrogate)["wide"].d_model == 66


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "variants: {a: {lamda_physics: 0}}",
            ["unknown key experiments.variants.a.lamda_physics", "experiments.variants.a.lambda_physics?"],
        ),
        ("varaints: {}", ["unknown key experiments.varaints", "did you mean experiments.variants?"]),
        ("variants: {a: {epochs: 0}}", ["experiments.variants.a.epochs is 0"]),
        ("variants: {a: {d_model: 65}}", ["experiments.variants.a", "does not divide d_model 65"]),
        ("variants: {a: {leave_out: [climate]}}", ["leave_out.0 is 'climate'", "'forcing'"]),
        (
            "variants: {a: {leave_out: [forcing, static, traits, state, soil]}}",
            ["every group is left out; keep at least one"],
        ),
        ("variants: {a: {seed: 2}}", ["variants.a.seed", "experiments.seeds"]),
        ("variants: {a: {device: cuda}}", ["variants.a.device", "surrogate.device"]),
        ("variants: {a: {}}", ["a has the settings of the run; leave it out"]),
        ("variants: {a: {epochs: 80}}", ["a has the settings of the run; leave it out"]),
        ("variants: {a: {epochs: 3}, b: {epochs: 3}}", ["b has the settings of a; leave it out"]),
        ("baselines: [mlp], variants: {a: {network: mlp}}", ["a has the settings of mlp"]),
        ("variants: {phase: {epochs: 3}}", ["variants.phase: not a name for an experiment"]),
        ("variants: {a/b: {epochs: 3}}", ["variants.a/b: not a name for an experiment"]),
        ("baselines: [fno]", ["experiments.baselines.0 is 'fno'", "'paper' or 'mlp'"]),
        ("baselines: [mlp, mlp]", ["baselines names one twice"]),
        ("seeds: 0", ["seeds is 0"]),
        ("seeds: []", ["seeds is []"]),
        ("seeds: [3, 3]", ["seeds is [3, 3]", "different seeds"]),
        ("seeds: [7, 20]", ["experiments.seeds is [7, 20]", "surrogate.seed, 1, among them"]),
        ("limit: 0", ["experiments.limit is 0"]),
        ("variants: {a: {network: mlp, lstm_hidden: 8}}", ["a.lstm_hidden does nothing with network: mlp"]),
        ("variants: {a: {preset: paper, balance: 0}}", ["a.balance does nothing with preset: paper"]),
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
