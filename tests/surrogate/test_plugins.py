"""Networks and baselines are found by name, those of this library and of other packages."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from phase_lib.base.plugins import Plugins
from phase_lib.config.experiments import BASELINES
from phase_lib.config.surrogate import NETWORKS, SurrogateSettings


def test_those_of_the_library_are_the_modules_of_their_packages() -> None:
    assert NETWORKS.names == ["cnn", "fno", "mlp", "phase", "pinn"]
    assert BASELINES.names == [
        "analogue",
        "boosted_trees",
        "extra_trees",
        "extrapolation",
        "semi_analytic",
        "state20",
    ]
    for registry in (NETWORKS, BASELINES):
        for name in registry.names:
            # What a test file calls it is the name under which it was asked for.
            assert getattr(registry.load(name), "name", name) == name


def test_what_cannot_be_found_is_refused_with_the_names_that_can() -> None:
    registry = Plugins("phase_lib.surrogate.baselines", "baseline")
    with pytest.raises(ValueError, match="no baseline is called 'analog'; expected one of analogue, boosted"):
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
