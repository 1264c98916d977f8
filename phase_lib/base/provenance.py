"""Which code made a product."""

from __future__ import annotations

import ast
import hashlib
import json
import subprocess
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import phase_lib

PACKAGE = Path(phase_lib.__file__).resolve().parent


def code_hash(*parts: str) -> str:
    """Content hash of the code that a stage runs, for a rule's params.

    Snakemake does not see changes in imported modules; a rule with this hash as a param reruns when the code
    that it uses changes, and only then: comments, docstrings, descriptions of settings and formatting do not
    count. Imports within the package are followed from module to module, and the data files of a package
    count with its modules.

    Args:
        parts: modules or sub-packages of `phase_lib`, for example `"fusion/fuse"`, `"surrogate"`; of another
            package, for example one with a land model, the dotted name of a module or of the package.

    Returns:
        The first 16 hexadecimal digits of a SHA-256 over file names, syntax trees and contents of data files.
    """
    digest = hashlib.sha256()
    modules = imported_modules(*parts)
    for file in sorted({*modules, *(data for module in modules for data in _data_files(module.parent))}):
        inside = file.is_relative_to(PACKAGE)
        digest.update((file.relative_to(PACKAGE).as_posix() if inside else file.name).encode())
        digest.update(_reading(file).meaning if file.suffix == ".py" else file.read_bytes())
    return digest.hexdigest()[:16]


def imported_modules(*parts: str) -> set[Path]:
    """Source files of modules, as for `code_hash`, and of all modules of this library that they import.

    Raises:
        ValueError: there is no such module.
    """
    modules: set[Path] = set()
    waiting = [file for part in parts for file in _sources(part)]
    while waiting:
        file = waiting.pop()
        if file not in modules:
            modules.add(file)
            waiting += direct_imports(file)
    return modules


@dataclass(frozen=True)
class _Reading:
    """What of a module counts: its syntax tree in words, and the names that it imports."""

    meaning: bytes
    names: tuple[str, ...]


@cache
def _reading(file: Path) -> _Reading:
    """Reads a module once: the syntax tree has no comments; docstrings and descriptions are left out."""
    words: list[str] = []
    names: list[str] = []

    def describe(value: Any) -> None:
        if isinstance(value, list):
            words.append("[")
            for item in value:
                describe(item)
            words.append("]")
        elif not isinstance(value, ast.AST):
            words.append(repr(value))
        elif not _is_text_alone(value):
            names.extend(_imported_names(value))
            words.append(f"{type(value).__name__}(")
            for field, inner in ast.iter_fields(value):
                # What is empty is not said: versions of Python differ in fields that most nodes leave empty.
                if inner is not None and inner != []:
                    words.append(field)
                    describe(inner if field != "keywords" else _without_description(value, inner))
            words.append(")")

    describe(ast.parse(file.read_text(encoding="utf-8"), str(file)))
    return _Reading(" ".join(words).encode(), tuple(names))


def _is_text_alone(node: ast.AST) -> bool:
    """Is this statement a docstring, or another text that does nothing?"""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _without_description(node: ast.AST, keywords: list[ast.keyword]) -> list[ast.keyword]:
    """Keywords of a call, without the description of a setting."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Field":
        return [word for word in keywords if word.arg != "description"]
    return keywords


def _imported_names(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
        return [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return []


@cache
def direct_imports(file: Path) -> list[Path]:
    """Source files of this library that a module imports, also inside functions, with their packages."""
    imported: list[Path] = []
    for name in _reading(file).names:
        first, *rest = name.split(".")
        if first != PACKAGE.name:
            continue
        for depth in range(len(rest) + 1):
            path = PACKAGE.joinpath(*rest[:depth])
            imported += [p for p in (path / "__init__.py", path.with_suffix(".py")) if p.is_file()]
    return imported


def _sources(part: str) -> list[Path]:
    path = PACKAGE / part
    if path.is_dir():
        return sorted(path.rglob("*.py"))
    if path.with_suffix(".py").is_file():
        return [path.with_suffix(".py")]
    spec = find_spec(part) if "/" not in part else None
    if spec is None or spec.origin is None:
        raise ValueError(f"{part} is no module of {PACKAGE.name} and no other that is installed")
    return sorted(Path(spec.origin).parent.rglob("*.py")) if spec.parent == part else [Path(spec.origin)]


@cache
def _data_files(package: Path) -> list[Path]:
    """Files of a package that are no code, also in directories that are no packages themselves."""
    if not package.is_relative_to(PACKAGE):
        return []
    files: list[Path] = []
    for path in sorted(package.iterdir()):
        if path.name.startswith((".", "_")):
            continue
        if path.is_dir() and not (path / "__init__.py").is_file() and path.parent != PACKAGE:
            files += _data_files(path)
        elif path.is_file() and path.suffix != ".py":
            files.append(path)
    return files


@cache
def code_version() -> str:
    """Version of the code: the package's, with git's description where the code lies in a checkout."""
    words = ["git", "describe", "--always", "--dirty", "--tags"]
    try:
        answer = subprocess.run(words, cwd=PACKAGE, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return phase_lib.__version__
    return f"{phase_lib.__version__}+{answer.stdout.strip()}"


def settings_hash(settings: Any) -> str:
    """Hash of plain settings (dicts, lists, numbers, strings), independent of key order."""
    text = json.dumps(settings, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
