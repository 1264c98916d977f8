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
from phase_lib.config.backends import BACKENDS
from phase_lib.config.documentation import default_yaml
from phase_lib.config.equilibrium import EquilibriumSettings
from phase_lib.config.kinds import Kinds
from phase_lib.config.loading import check_config, load_config, load_settings
from phase_lib.config.root import section_models, with_backends
from phase_lib.config.spinup import SpinupSettings
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
    read = load_config(ROOT / "workflow_config.yaml")
    assert read.model_dump() == with_backends(("embedded",))().model_dump()


def test_every_key_is_in_the_default_file_under_a_comment() -> None:
    text = (ROOT / "workflow_config.yaml").read_text(encoding="utf-8")
    # The sections of land models other than the default's stand in comments, up to an empty line.
    section = r"(?ms)^# \w+:\n.*?^$"
    lines = re.sub(section, lambda part: re.sub(r"(?m)^# ", "", part.group()), text).splitlines()
    content = yaml.safe_load("\n".join(lines))
    for path in keys(with_backends(tuple(BACKENDS.names))):
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


@pytest.mark.parametrize(
    ("file", "run"), [("workflow_config.yaml", "default"), ("tests/config/small.yaml", "small")]
)
def test_the_configurations_that_come_with_the_workflow_are_right(file: str, run: str) -> None:
    assert load_config(ROOT / file).run.name == run


def test_a_misspelt_key_names_the_nearest_right_one(config_file: Path) -> None:
    line = refusal(config_file, "spinup: {ad_yeras: 40}")
    assert str(config_file) in line
    assert "unknown key spinup.ad_yeras" in line
    assert "did you mean spinup.ad_years?" in line
    assert "\n" not in line


@pytest.mark.parametrize(
    ("text", "nearest"),
    [
        ("runn: {}", "run"),
        ("landmodel: {}", "land_model"),
        ("surrogate: {learning_rat: 0.1}", "surrogate.learning_rate"),
        ("dataset: {targets: {prest: slow}}", "dataset.targets.preset"),
        ("equilibrium: {max_years: 40}", "stabilisation.max_years"),
        ("stabilisation: {window: [20]}", "stabilisation.windows"),
        # Where a key was looked for, or a section that has another name.
        ("land_model: {ad_years: 400}", "spinup.ad_years"),
        ("land_model: {co2_ppm: 300}", "embedded.co2_ppm"),
        ("fusion: {forcing_limit_km: 300}", "embedded.forcing_limit_km"),
        ("world: {resolution_deg: 2.5, seed: 7}", "embedded"),
        ("land_model: {backend: archive}\nworld: {cells: 54}", "embedded"),
    ],
)
def test_the_nearest_key_is_found_in_the_same_and_in_other_sections(
    config_file: Path, text: str, nearest: str
) -> None:
    assert f"did you mean {nearest}?" in refusal(config_file, text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "spinup: {ad_years: 410}",
            ["spinup.ad_years is 410; expected a multiple of 20", "of embedded"],
        ),
        ("embedded: {forcing_years: 15}", ["spinup.ad_years is 400; expected a multiple of 15"]),
        ("spinup: {ad_years: many}", ["spinup.ad_years is 'many'", "expected a valid integer"]),
        (
            "land_model: {backend: embeded}",
            [
                "land_model.backend: no land model is called 'embeded'",
                "archive, cime, embedded",
                "mean embedded?",
            ],
        ),
        ("land_model: {backend: 3}", ["land_model.backend is 3"]),
        ("land_model: 3", ["land_model is 3"]),
        ("embedded: {cells: few}", ["embedded.cells is 'few'"]),
        ("spinup: {ad_years: 40, input_years: 60}", ["input_years is 60"]),
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
    base, changed = tmp_path / "base.yaml", tmp_path / "own.yaml"
    base.write_text("run: {name: base}")
    changed.write_text("spinup: {ad_yeras: 40}")
    with pytest.raises(InputError, match=re.escape(f"{changed}: unknown key")):
        check_config([base, changed], {})
    with pytest.raises(InputError, match=r"^--config: unknown key runs; did you mean run\?"):
        check_config([base], {"runs": {}})


def test_a_later_file_changes_keys_and_another_kind_of_network_the_whole_section(tmp_path: Path) -> None:
    first, second, third = (tmp_path / f"{name}.yaml" for name in ("first", "second", "third"))
    first.write_text("surrogate: {epochs: 7, network: {kind: phase, d_model: 32, lstm_hidden: 8}}")
    second.write_text("surrogate: {network: {d_model: 16}}")
    merged = check_config([first, second], {"surrogate": {"members": 2}}).surrogate
    assert (merged.epochs, merged.members) == (7, 2)
    assert merged.network == Phase(d_model=16, lstm_hidden=8)
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
        ("preset: unconstrained", ["surrogate.preset is unconstrained", "experiments.variants"]),
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
def test_a_text_that_is_neither_json_nor_a_file_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"^--settings: '.*' is neither a JSON object nor a file"):
        load_settings(text, EquilibriumSettings, "equilibrium")


@pytest.mark.parametrize("text", ['{"preste": 1}', "{", "garbage"])
def test_a_fault_names_the_option_that_it_came_with(text: str) -> None:
    with pytest.raises(InputError, match=r"^--targets: "):
        load_settings(text, TargetSettings, "dataset.targets", "--targets")


def test_no_key_stands_in_two_sections() -> None:
    # These mean another thing in each section.
    shared = {"kind", "seed", "device", "preset", "batch_cells", "domains", "least_ratio", "most_ratio"}
    shared |= {"windows", "final"}  # of the injected run, of the reference
    names = [path[-1] for path in keys(with_backends(tuple(BACKENDS.names))) if path[-1] not in shared]
    assert sorted(names) == sorted(set(names))


def test_the_chains_of_the_default_run_are_the_conventional_spin_up() -> None:
    settings = SpinupSettings()
    assert settings.boundaries(1, 401, 21) == [1, 21, 201, 401]
    assert settings.boundaries(401, 1201) == [401, 601, 801, 1001, 1201]


@pytest.mark.parametrize("segment_years", [20, 60, 100, 200, 1000])
def test_chains_join_without_gaps_whatever_the_length_of_a_segment(segment_years: int) -> None:
    settings = SpinupSettings(segment_years=segment_years)
    for first, last, cut in ((1, 401, 21), (401, 1201, 401), (21, 141, 61)):
        years = settings.boundaries(first, last, cut)
        assert years == sorted(set(years))
        assert {first, last, cut} <= set(years)
        assert max(b - a for a, b in pairwise(years)) <= segment_years


@pytest.mark.parametrize("example", sorted((ROOT / "examples").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_example_is_a_valid_configuration_named_like_its_file(example: Path) -> None:
    assert load_config(example).run.name == example.stem


def test_the_section_of_a_land_model_counts_only_where_that_is_used(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    given = "restart: r.nc, history: [h.nc], reference_restart: r.nc, reference_history: [h.nc]"
    files = f"domains: {{sites: {{{given}, spinup_mortality_factor: 10}}}}"
    text = f"land_model: {{backend: archive}}\ntarget: {{domain: sites}}\nembedded: {{cells: few}}\n{files}"
    path.write_text(f"{text}\ntraining: {{domains: [sites]}}")
    config = load_config(path)
    assert "embedded" not in config.model_dump()
    # Trained on, the world that the land model makes is used.
    path.write_text(text)
    with pytest.raises(InputError, match=r"embedded\.cells is 'few'"):
        load_config(path)


def test_reading_a_configuration_imports_nothing_that_is_slow() -> None:
    code = (
        "import sys; from phase_lib.config.loading import load_config; load_config('workflow_config.yaml'); "
        "print([name for name in ('torch', 'scipy', 'matplotlib', 'pandas') if name in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout == "[]\n"


def test_a_land_model_may_be_named_by_its_module_and_class(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "somebodys.py").write_text(
        "from pydantic import BaseModel\n"
        "from phase_lib.landmodel.interface import LandModel\n"
        "class Choices(BaseModel, extra='forbid'):\n    depth: int = 3\n"
        "class Deep(LandModel):\n    name = 'deep'\n    settings_model = Choices\n"
        "    def run(self, segment): ...\n    def cost(self, cells): ...\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    path = tmp_path / "config.yaml"
    text = "land_model: {backend: 'somebodys:Deep'}\ntarget: {domain: sites}\ndomains: {sites: {}}\n"
    path.write_text(text + "deep: {depth: 5}")
    config = load_config(path)
    assert config.model_dump()["deep"] == {"depth": 5}
    section = config.settings_of(config.backend_of("sites"))
    assert section is not None
    assert section.model_dump() == {"depth": 5}
    assert "did you mean deep.depth?" in refusal(path, text + "deep: {depht: 5}")
    assert "somebodys:Deeper cannot be imported" in refusal(path, text.replace("Deep'", "Deeper'"))
