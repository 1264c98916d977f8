"""Writing files so that a file that exists is complete."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from phase_lib.base.errors import InputError

_CHUNK = 1 << 22


@contextmanager
def writing(path: str | Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`; renames it on success, removes it on failure.

    The rename is atomic within one file system, so a reader (or a workflow engine after a kill)
    sees the whole file or none.

    Args:
        path: final path; missing parent directories are made.
    """
    final = Path(path)
    final.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{final.name}.", suffix=".part", dir=final.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp makes the file private; give it the permissions any other new file would get.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        os.replace(temporary, final)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: str | Path, content: Mapping[str, Any]) -> None:
    """Writes `content` as JSON with sorted keys left in their order; NaN is refused."""
    with writing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def read_json(path: str | Path) -> dict[str, Any]:
    """Reads a JSON object.

    Raises:
        InputError: the file is missing or holds no JSON object.
    """
    source = require_file(path)
    try:
        content = json.loads(source.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(source, f"is not JSON ({error})", remedy="write it again") from error
    if not isinstance(content, dict):
        raise InputError(source, f"holds a {type(content).__name__}", expected="a JSON object")
    return content


def require_file(path: str | Path, *, remedy: str = "check the path") -> Path:
    """Returns `path` if it is a readable file.

    Raises:
        InputError: it is missing, no file, unreadable or a loop of links.
    """
    source = Path(path)
    try:
        with source.open("rb"):
            return source
    except FileNotFoundError as error:
        raise InputError(source, "does not exist", remedy=remedy) from error
    except IsADirectoryError as error:
        raise InputError(source, "is a directory", expected="a file", remedy=remedy) from error
    except OSError as error:
        raise InputError(source, f"cannot be read ({error.strerror})", remedy=remedy) from error


def sha256_file(path: str | Path) -> str:
    """SHA-256 of a file's bytes, read in chunks of bounded size."""
    digest = hashlib.sha256()
    with require_file(path).open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
