"""Keeps words out of code and documentation that readers whose second language is English stumble over.

    python .ci/words.py [PATH ...]     all files under version control where no path is given

It prints file, line, the word and what to write, and ends with 1 where it finds any.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

#: Pattern of a word or phrase in any text -> what to write.
WORDS = {
    r"reckon\w*": "compute, count",
    r"(un)?told": "report, state, pass, distinguish",
    r"tells? of": "report, show",
    r"crumbs?": "residue, round-off",
    r"fellows?": "the other processes",
    r"thrice": "three times",
    r"(there|where)(of|in|by)|here(by|in)|hitherto|w?hence|thence|lest|nay|upon": "plain words",
    r"(at|by) its (names' )?word": "believed without a check",
    r"beyond all measure": "too large",
    r"as_one|of_old": "all_or_none",
    r"(says?|say) the (configuration|file|rule|profile|user|caller)": "the configuration sets ...",
}
#: Names of functions, arguments and variables that say nothing -> what to write.
NAMES = {
    "of": "from_..., or what is returned",
    "go": "run",
    "us": "processes",
    "ours": "what they are",
    "gets": "receives, or what they are",
    "held": "what it holds",
    "own": "whose",
    "found": "what was found",
    "every": "all_...",
    "told": "stated, reported",
    "fellows": "others",
}
_TEXT = (".py", ".smk", ".md", ".yaml", ".toml", ".html", ".sh", "Snakefile", "Makefile")


def words(path: Path) -> Iterator[tuple[int, str, str]]:
    """Line, word and replacement of each word that stands in a file."""
    pattern = {re.compile(rf"\b(?:{word})\b", re.IGNORECASE): instead for word, instead in WORDS.items()}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        for word, instead in pattern.items():
            if match := word.search(line.replace("_", " ")):
                yield number, match[0], instead


def names(path: Path) -> Iterator[tuple[int, str, str]]:
    """Line, name and replacement of each name that a module gives."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.arg(arg=name):
                pass
            case ast.Name(id=name, ctx=ast.Store()):
                pass
            case _:
                continue
        if name in NAMES:
            yield node.lineno, name, NAMES[name]


def main(paths: list[str]) -> int:
    """Number of files with such words; prints them."""
    listed = subprocess.run(["git", "ls-files", *paths], check=True, capture_output=True, text=True).stdout
    files = [Path(line) for line in listed.splitlines() if line.endswith(_TEXT) and line != ".ci/words.py"]
    wrong = 0
    for path in files:
        seen = list(words(path)) + (list(names(path)) if path.suffix == ".py" else [])
        wrong += bool(seen)
        for number, word, instead in sorted(seen):
            print(f"{path}:{number}: {word}: write {instead}")
    return wrong


if __name__ == "__main__":
    sys.exit(1 if main(sys.argv[1:]) else 0)
