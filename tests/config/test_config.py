"""The configuration: one documented default, and every mistake ends in one line before anything runs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel

from phase_lib.base.errors import InputError
from phase_lib.config.documentation import default_yaml
from phase_lib.config.equilibrium import EquilibriumSettings
from phase_lib.config.kinds import Kinds
from phase_lib.config.land_model import LandModelSettings
from phase_lib.config.loading import check_config, load_config, load_settings
from phase_lib.config.root import WorkflowConfig, section_models
from phase_lib.config.surrogate import NETWORKS
from phase_lib.config.targets import TargetSettings
from phase_lib.surrogate.networks.phase import Phase

ROOT = Path(__file__).parents[2]


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    return tmp_path / "my_config.yaml"


def refusal(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        load_config(path)
    assert caught.value.exit_code == 2
    return str(caught.value)


def keys(model: type[BaseModel], prefix: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name in model.model_fields:
        sections = section_models(model)
        if name in sections:
            yield from keys(sections[name], (*prefix, name))
        else:
            yield (*prefix, name)


def test_the_default_file_is_what_the_models_say() -> None:
    text = (ROOT / "workflow_config.yaml").read_text(encoding="utf-8")
    assert text == default_yaml(), "run: phase config --output workflow_config.yaml"


def test_the_default_file_gives_the_default_configuration() -> None:
    assert load_config(ROOT / "workflow_config.yaml") == WorkflowConfig()


def test_every_key_is_in_the_default_file_under_a_comment() -> None:
    lines = (ROOT / "workflow_config.yaml").read_text(encoding="utf-8").splitlines()
    content = yaml.safe_load("\n".join(lines))
    for path in keys(WorkflowConfig):
        value = content
        for part in path:
            assert part in value, ".".join(path)
            value = value[part]
    undocumented = [
        line
        for before, line in zip(["", *lines], lines, strict=False)
        if re.match(r" *\w+:", line) and not before.lstrip().startswith("#")
    ]
    assert undocumented == []


@pytest.mark.parametrize("name", ["workflow_config.yaml", "tests/config/small.yaml"])
def test_the_configurations_that_come_with_the_workflow_are_right(name: str) -> None:
    load_config(ROOT / name)


def test_a_misspelt_key_names_the_nearest_right_one(config_file: Path) -> None:
    line = refusal(config_file, "land_model: {ad_yeras: 40}")
    assert str(config_file) in line
    assert "unknown key land_model.ad_yeras" in line
    assert "did you mean land_model.ad_years?" in line
    assert "\n" not in line


@pytest.mark.parametrize(
    ("text", "nearest"),
    [
        ("runn: {}", "run"),
        ("landmodel: {}", "land_model"),
        ("surrogate: {learning_rat: 0.1}", "surrogate.learning_rate"),
        ("dataset: {targets: {prest: slow}}", "dataset.targets.preset"),
        ("equilibrium: {stabilisation_years: 40}", "land_model.stabilisation_years"),
    ],
)
def test_the_nearest_key_is_found_in_the_same_and_in_other_sections(
    config_file: Path, text: str, nearest: str
) -> None:
    assert f"did you mean {nearest}?" in refusal(config_file, text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("land_model: {ad_years: many}", ["land_model.ad_years is 'many'", "expected a valid integer"]),
        (
            "land_model: {ad_years: 410}",
            ["land_model.ad_years is 410", "multiple of world.forcing_years (20)"],
        ),
        ("land_model: {backend: clm}", ["land_model.backend is 'clm'", "'embedded'"]),
        ("land_model: {ad_years: 40, input_years: 60}", ["input_years is 60"]),
        ("run: {name: a/b}", ["run.name is 'a/b'"]),
        ("run: {results_dir: 'a{b}'}", ["run.results_dir is 'a{b}'", "[^{}"]),
        (
            "run: {results_dir: $UNSET_PLACE/x}",
            ["run.results_dir: ", "variable in $UNSET_PLACE/x is not set"],
        ),
        ("run: 3", ["run is 3"]),
        ("run: {}\nrun: {}", ["line 2", "'run' is given twice"]),
        ("run: {name: [}", ["line 1", "expected YAML"]),
        ("- run", ["holds a list"]),
    ],
)
def test_a_wrong_value_is_named_with_what_was_expected(
    config_file: Path, text: str, words: list[str]
) -> None:
    line = refusal(config_file, text)
    for word in [str(config_file), *words]:
        assert word in line


def test_the_place_of_the_results_may_be_named_by_the_environment(
    config_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCRATCH", "/scratch/me")
    config_file.write_text("run: {name: one, results_dir: $SCRATCH/runs}")
    assert load_config(config_file).run.directory == Path("/scratch/me/runs/one")


def test_a_missing_file_is_named(config_file: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        load_config(config_file)


def test_a_fault_in_merged_files_names_the_file_that_holds_it(tmp_path: Path) -> None:
    base, own = tmp_path / "base.yaml", tmp_path / "own.yaml"
    base.write_text("run: {name: base}")
    own.write_text("land_model: {ad_yeras: 40}")
    with pytest.raises(InputError, match=re.escape(f"{own}: unknown key")):
        check_config([base, own], {})
    with pytest.raises(InputError, match=r"^--config: unknown key runs; did you mean run\?"):
        check_config([base], {"runs": {}})


def test_a_later_file_changes_keys_and_another_kind_of_network_the_whole_section(tmp_path: Path) -> None:
    first, second, third = (tmp_path / f"{name}.yaml" for name in ("first", "second", "third"))
    first.write_text("surrogate: {epochs: 7, network: {kind: phase, d_model: 32, lstm_hidden: 8}}")
    second.write_text("surrogate: {network: {d_model: 16}}")
    found = check_config([first, second], {"surrogate": {"members": 2}}).surrogate
    assert (found.epochs, found.members) == (7, 2)
    assert found.network == Phase(d_model=16, lstm_hidden=8)
    third.write_text("surrogate: {network: {kind: mlp, width: 9}}")
    changed = check_config([first, second, third], {}).surrogate.network
    assert changed.model_dump() == {**Kinds(NETWORKS, "mlp").settings("mlp").model_dump(), "width": 9}
    assert check_config([third, first], {}).surrogate.network == Phase(d_model=32, lstm_hidden=8)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("network: {d_modl: 8}", ["surrogate.network: unknown key d_modl of kind phase", "d_model?"]),
        ("d_model: 8", ["unknown key surrogate.d_model", "did you mean surrogate.network.d_model?"]),
        ("network: {attention_heads: 3}", ["attention_heads 3 does not divide d_model 64"]),
        ("network: {lstm_hidden: 0}", ["surrogate.network.lstm_hidden is 0"]),
        ("network: {kind: mlp, attention_heads: 8}", ["unknown key attention_heads of kind mlp"]),
        ("network: fmo", ["surrogate.network: no network is called 'fmo'", "mlp, phase"]),
        ("network: mpl", ["did you mean mlp?"]),
        ("network: 'os:getcwd'", ["os:getcwd is no network"]),
        ("preset: {kind: paper, balance: 0.5}", ["surrogate.preset: unknown key balance of kind paper"]),
        ("preset: papr", ["surrogate.preset: kind is 'papr'", "did you mean paper?"]),
    ],
)
def test_a_key_that_does_nothing_cannot_be_written(config_file: Path, text: str, words: list[str]) -> None:
    line = refusal(config_file, f"surrogate: {{{text}}}")
    for word in [str(config_file), *words]:
        assert word in line


def test_the_default_network_is_checked_without_its_slow_libraries() -> None:
    code = "import sys, phase_lib.config.root as r; r.WorkflowConfig(); print('torch' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "False\n"


def test_settings_come_inline_from_a_section_and_from_a_whole_configuration(tmp_path: Path) -> None:
    section, whole = tmp_path / "section.json", tmp_path / "whole.yaml"
    section.write_text(json.dumps({"nbp_pgc_per_yr": 0.5}))
    whole.write_text("run: {name: other}\nequilibrium: {nbp_pgc_per_yr: 0.5}")
    for text in ('{"nbp_pgc_per_yr": 0.5}', str(section), str(whole)):
        assert load_settings(text, EquilibriumSettings, "equilibrium").nbp_pgc_per_yr == 0.5
    assert load_settings("{}", EquilibriumSettings, "equilibrium") == EquilibriumSettings()
    whole.write_text("dataset: {targets: {preset: paper}}")
    assert load_settings(str(whole), TargetSettings, "dataset.targets").preset == "paper"


@pytest.mark.parametrize("text", ["garbage", "[1]", "", "x" * 5000])
def test_what_is_neither_json_nor_a_file_is_told_so(text: str) -> None:
    with pytest.raises(InputError, match=r"^--settings: '.*' is neither a JSON object nor a file"):
        load_settings(text, EquilibriumSettings, "equilibrium")


@pytest.mark.parametrize("text", ['{"preste": 1}', "{", "garbage"])
def test_a_fault_names_the_option_that_it_came_with(text: str) -> None:
    with pytest.raises(InputError, match=r"^--targets: "):
        load_settings(text, TargetSettings, "dataset.targets", "--targets")


def test_no_key_stands_in_two_sections() -> None:
    # These mean another thing in each section.
    own = {"kind", "seed", "device", "preset", "batch_cells", "domains"}
    names = [path[-1] for path in keys(WorkflowConfig) if path[-1] not in own]
    assert sorted(names) == sorted(set(names))


def test_the_chains_of_the_default_run_are_the_conventional_spin_up() -> None:
    settings = LandModelSettings()
    assert settings.boundaries("ad") == [1, 21, 201, 401]
    assert settings.boundaries("reference") == [401, 601, 801, 1001, 1201]
    assert settings.boundaries("control") == settings.boundaries("injected") == [21, 121]


@pytest.mark.parametrize("segment_years", [20, 60, 100, 200, 1000])
def test_chains_join_without_gaps_whatever_the_length_of_a_segment(segment_years: int) -> None:
    settings = LandModelSettings(segment_years=segment_years)
    assert settings.boundaries("ad")[-1] == settings.boundaries("reference")[0]
    assert 1 + settings.input_years in settings.boundaries("ad")
    for case in ("ad", "reference", "control", "injected"):
        years = settings.boundaries(case)
        assert years == sorted(set(years))
        assert max(b - a for a, b in pairwise(years)) <= segment_years


@pytest.mark.parametrize("example", sorted((ROOT / "examples").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_example_is_a_valid_configuration_named_like_its_file(example: Path) -> None:
    assert load_config(example).run.name == example.stem
