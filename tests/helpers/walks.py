"""The examples of docs/contributing.md as a package of a stranger: page and tests cannot drift apart."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import yaml

PAGE = Path(__file__).parents[2] / "docs" / "contributing.md"
_BLOCK = re.compile(r"^```\w+\n# (?P<place>[^\n]+)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)


def example(place: str) -> str:
    """The code blocks whose first line names a place, one after the other."""
    text = PAGE.read_text(encoding="utf-8")
    blocks = [block["text"] for block in _BLOCK.finditer(text) if block["place"] == place]
    assert blocks, f"{PAGE.name} has no example {place}"
    return "\n".join(blocks)


def settings(place: str) -> Any:
    """An example of a configuration."""
    return yaml.safe_load(example(place))


def install(site: Path) -> None:
    """Writes the package `toys` with its entry points, as pip leaves it in a directory of packages."""
    groups = tomllib.loads(example("pyproject.toml"))["project"]["entry-points"]
    lines = [
        line for group, names in groups.items() for line in (f"[{group}]", *map(" = ".join, names.items()))
    ]
    files = {
        "toys/__init__.py": "",
        "toys-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: toys\nVersion: 1.0\n",
        "toys-1.0.dist-info/entry_points.txt": "\n".join(lines),
    }
    modules = ("network", "baseline", "land_model", "forcing")
    for name, text in (files | {f"toys/{name}.py": example(f"toys/{name}.py") for name in modules}).items():
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_text(text, encoding="utf-8")
