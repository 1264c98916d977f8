"""The hash by which a rule knows that the code it runs has changed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from phase_lib.base import provenance
from phase_lib.base.provenance import PACKAGE, code_hash, imported_modules


def names(*parts: str) -> set[str]:
    return {path.relative_to(PACKAGE).with_suffix("").as_posix() for path in imported_modules(*parts)}


def test_what_is_found_is_what_python_imports() -> None:
    code = "import sys, phase_lib.fusion.fuse; print(*[m for m in sys.modules if m.startswith('phase_lib')])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {Path(*name.split(".")[1:]) for name in result.stdout.split()}
    paths = {Path(name).parent if name.endswith("__init__") else Path(name) for name in names("fusion/fuse")}
    # Plug-ins are found by name; a rule that uses one names its module.
    assert loaded - {Path("forcing/layouts")} <= paths


def test_the_world_and_the_land_model_do_not_depend_on_each_other() -> None:
    assert not any("/world/" in name for name in names("landmodel/embedded/segment"))
    assert "landmodel/embedded/model" not in names("landmodel/embedded/world")


def test_no_stage_depends_on_the_command_line() -> None:
    for part in ("fusion/fuse", "surrogate/training", "injection/inject", "equilibrium/verdict", "report"):
        assert "cli" not in names(part)


def test_an_unknown_module_is_refused() -> None:
    with pytest.raises(ValueError, match="fusion/fuze is no module"):
        code_hash("fusion/fuze")


def test_the_hash_changes_with_code_far_down_and_with_data_and_not_with_comments_and_docstrings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "toy"
    (package / "room" / "data").mkdir(parents=True)
    for file, text in {
        "__init__.py": "",
        "ground.py": "A = 1\n",
        "other.py": "B = 1\n",
        "room/__init__.py": "",
        "room/stage.py": "def run():\n    from toy.ground import A\n    return A\n",
        "room/data/table.csv": "1\n",
    }.items():
        (package / file).write_text(text)
    monkeypatch.setattr("phase_lib.base.provenance.PACKAGE", package)

    def now() -> str:
        for cached in (provenance.direct_imports, provenance._reading):
            cached.cache_clear()
        return code_hash("room/stage")

    before = now()
    (package / "other.py").write_text("B = 2\n")
    assert now() == before
    (package / "ground.py").write_text('"""The ground."""\n\n# Why it is one.\nA = (1)\n')
    assert now() == before
    (package / "room" / "stage.py").write_text(
        'def run():\n    """Runs."""\n    from toy.ground import A  # here\n\n    return A\n'
    )
    assert now() == before
    (package / "ground.py").write_text("A = 2\n")
    changed = now()
    assert changed != before
    for word in ("one", "another"):
        text = f'from pydantic import Field\nA = Field(1, description="{word}")\n'
        (package / "ground.py").write_text(text)
        assert word == "one" or now() == changed
        changed = now()
    (package / "room" / "data" / "table.csv").write_text("2\n")
    assert now() != changed
    now()
