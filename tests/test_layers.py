"""Data flow one way through the rooms of the library, and so do imports."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import phase_lib
from phase_lib.config.backends import BACKENDS

PACKAGE = Path(phase_lib.__file__).parent
#: Rooms from the ground up; rooms of one floor do not import each other.
FLOORS = (
    {"base"},
    {"elm"},
    {"config"},
    {"forcing"},
    {"landmodel"},
    {"fusion"},
    {"dataset"},
    {"surrogate"},
    {"injection"},
    {"equilibrium"},
    {"report"},
    {"preflight", "cluster", "bench"},
    {"cli"},
)
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imported_names(path: Path) -> set[str]:
    """Dotted names that a module imports, also inside functions."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def test_every_room_has_its_floor() -> None:
    assert {room_of(path) for path in MODULES} == set(FLOOR)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_a_lower_room_never_imports_an_upper_one(path: Path) -> None:
    room = room_of(path)
    rooms = {name.split(".")[1] for name in imported_names(path) if name.startswith("phase_lib.")} & set(
        FLOOR
    )
    upward = {other for other in rooms if other != room and FLOOR[other] >= FLOOR[room]}
    assert upward == set()


def test_one_file_of_the_library_knows_snakemake() -> None:
    users = [
        path for path in MODULES if any(name.split(".")[0] == "snakemake" for name in imported_names(path))
    ]
    assert users == [PACKAGE / "cluster" / "engine.py"]


def test_the_rules_use_names_of_snakemake_only_that_it_documents_or_that_one_file_holds() -> None:
    rules = [PACKAGE.parent / "Snakefile", *(PACKAGE.parent / "rules").glob("*.smk")]
    used = {
        name for path in rules for name in re.findall(r"\bworkflow\.(\w+)", path.read_text(encoding="utf-8"))
    }
    assert used == {"basedir"}


def test_nobody_but_the_land_models_and_the_benchmarks_knows_the_embedded_one() -> None:
    users = {
        room_of(path)
        for path in MODULES
        if any(name.startswith("phase_lib.landmodel.embedded") for name in imported_names(path))
    }
    assert users <= {"landmodel", "bench"}


def test_a_land_model_is_named_in_the_table_and_nowhere_else_in_the_rules() -> None:
    rules = PACKAGE.parent / "rules"
    for name in BACKENDS.names:
        assert not [file for file in rules.glob("*.smk") if f'"{name}"' in file.read_text(encoding="utf-8")]
