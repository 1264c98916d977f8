"""Which code made a product."""

from __future__ import annotations

import ast
import hashlib
import json
import subprocess
from functools import cache, lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import phase_lib

PACKAGE = Path(phase_lib.__file__).resolve().parent


def code_hash(*parts: str) -> str:
    """Content hash of the code that a stage runs, for a rule's params.

    Snakemake does not see changes in imported modules; a rule that carries this hash as a param
    reruns when the code it uses changes, and only then: comments, docstrings and layout do not count.
    Imports within the package are followed from module to module, and the data files of a package count
    with its modules.

    Args:
        parts: modules or sub-packages below `phase_lib`, for example `"fusion/fuse"`, `"surrogate"`; a
            module that is plugged in by its dotted name.

    Returns:
        The first 16 hexadecimal digits of a SHA-256 over file names, syntax trees and contents of data files.
    """
    digest = hashlib.sha256()
    modules = imported_modules(*parts)
    for file in sorted({*modules, *(data for module in modules for data in _data_files(module.parent))}):
        inside = file.is_relative_to(PACKAGE)
        digest.update((file.relative_to(PACKAGE).as_posix() if inside else file.name).encode())
        digest.update(_meaning(file) if file.suffix == ".py" else file.read_bytes())
    return digest.hexdigest()[:16]


def imported_modules(*parts: str) -> set[Path]:
    """Source files of modules of ours and of all that they import, directly or not.

    Args:
        parts: as for `code_hash`.

    Raises:
        ValueError: a part is no module of ours.
    """
    found: set[Path] = set()
    waiting = [file for part in parts for file in _sources(part)]
    while waiting:
        file = waiting.pop()
        if file not in found:
            found.add(file)
            waiting += direct_imports(file)
    return found


@cache
def _tree(file: Path) -> ast.Module:
    """What a module does: its syntax tree, which has no comments, without docstrings."""
    tree = ast.parse(file.read_text(encoding="utf-8"), str(file))
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            and ast.get_docstring(node, clean=False) is not None
        ):
            node.body = node.body[1:]
    return tree


@cache
def _meaning(file: Path) -> bytes:
    return ast.dump(_tree(file)).encode()


@cache
def direct_imports(file: Path) -> list[Path]:
    """Source files of ours that a module imports, also inside functions, with the packages they lie in."""
    names: list[str] = []
    for node in ast.walk(_tree(file)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    imported: list[Path] = []
    for name in names:
        first, *rest = name.split(".")
        if first != PACKAGE.name:
            continue
        for depth in range(len(rest) + 1):
            path = PACKAGE.joinpath(*rest[:depth])
            imported += [p for p in (path / "__init__.py", path.with_suffix(".py")) if p.is_file()]
    return imported


def _sources(part: str) -> list[Path]:
    if "." in part and (spec := find_spec(part)) is not None and spec.origin:
        return [Path(spec.origin)]
    path = PACKAGE / part
    if path.is_dir():
        return sorted(path.rglob("*.py"))
    if not path.with_suffix(".py").is_file():
        raise ValueError(f"{part} is no module of {PACKAGE.name}")
    return [path.with_suffix(".py")]


@cache
def _data_files(package: Path) -> list[Path]:
    """Files of a package that are no code, also in directories that are no packages themselves."""
    found: list[Path] = []
    if not package.is_relative_to(PACKAGE):
        return found
    for path in sorted(package.iterdir()):
        if path.name.startswith((".", "_")):
            continue
        if path.is_dir() and not (path / "__init__.py").is_file() and path.parent != PACKAGE:
            found += _data_files(path)
        elif path.is_file() and path.suffix != ".py":
            found.append(path)
    return found


@lru_cache(maxsize=1)
def code_version() -> str:
    """Version of the code: the package's, with git's description where the code lies in a checkout."""
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--tags"],
            cwd=PACKAGE,
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return phase_lib.__version__
    return f"{phase_lib.__version__}+{described}"


def settings_hash(settings: Any) -> str:
    """Hash of plain settings (dicts, lists, numbers, strings), independent of key order."""
    text = json.dumps(settings, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
