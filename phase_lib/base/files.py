"""Writing files so that a file that exists is complete."""

from __future__ import annotations

import errno
import glob
import hashlib
import json
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from phase_lib.base.errors import InputError

#: Bytes read and hashed at a time: they fit a core's cache, and each piece waits for Python's lock once.
_PIECE = 1 << 20
#: Files up to this size are hashed whole; of larger ones this many samples of this size.
_WHOLE, _SAMPLES, _SAMPLE = 1 << 30, 256, 1 << 20
#: Bytes of each file that the hash of a set of them sees.
_HEADER_BYTES = 1 << 16
#: End of the names, which begin with a dot, of unfinished files.
UNFINISHED = ".part"
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
#: Errors where the kernel cannot copy between two file systems.
_NO_KERNEL_COPY = (errno.EXDEV, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)
#: A disk with less than this is full, bytes.
_LEAST_FREE = 1 << 20


@contextmanager
def refused_as_input(path: str | Path) -> Iterator[None]:
    """Turns an error of the file system, as an output is made or replaced, into one about the path.

    Raises:
        InputError: it cannot be written there.
    """
    try:
        yield
    except OSError as error:
        raise InputError(
            path,
            f"cannot be written ({error.strerror or error})",
            remedy="free space on the disk" if error.errno in _NO_ROOM else "choose another place for it",
        ) from error


@contextmanager
def directory_for(output: str | Path, directory: str | Path | None = None) -> Iterator[Path]:
    """Makes a directory with its parents; on failure it removes those that it made and that are empty.

    Args:
        output: what is to be written, for messages.
        directory: the directory; that of `output` where None.

    Raises:
        InputError: it cannot be made.
    """
    place = Path(output).parent if directory is None else Path(directory)
    made = []
    try:
        with refused_as_input(output):
            made = [path for path in (place, *place.parents) if not path.exists()]
            place.mkdir(parents=True, exist_ok=True)
        yield place
    except BaseException:
        for path in made:
            with suppress(OSError):  # it was not made, or is no longer empty
                path.rmdir()
        raise


@contextmanager
def writing(path: str | Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`; renames it on success, removes it on failure.

    The rename is atomic within one file system, so a reader (or a workflow engine after a kill)
    sees the whole file or none.

    Args:
        path: final path; missing parent directories are made.

    Raises:
        InputError: nothing can be written there, or the disk is full.
    """
    final = Path(path)
    with refused_as_input(final):
        if final.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if final.exists() and not final.is_file():
            raise FileExistsError(errno.EEXIST, "it is no regular file")
    with directory_for(final) as place:
        with refused_as_input(final):
            handle, name = tempfile.mkstemp(prefix=f".{final.name}.", suffix=UNFINISHED, dir=place)
            os.close(handle)
        temporary = Path(name)
        try:
            with _full_disk_as_input(final):
                yield temporary
            with refused_as_input(final):
                # mkstemp makes the file private; it receives the permissions of any other new file.
                umask = os.umask(0)
                os.umask(umask)
                with suppress(PermissionError):  # exFAT and others have no permissions
                    temporary.chmod(0o666 & ~umask)
                os.replace(temporary, final)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def _full_disk_as_input(final: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, RuntimeError) as error:
        # NetCDF and torch raise a RuntimeError on a full disk, which seldom names the disk.
        hidden = isinstance(error, RuntimeError) and shutil.disk_usage(final.parent).free < _LEAST_FREE
        if hidden or (isinstance(error, OSError) and error.errno in _NO_ROOM):
            with refused_as_input(final):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
        raise


def json_text(content: Mapping[str, Any]) -> str:
    """`content` as JSON, keys in their order; NaN is refused."""
    return json.dumps(content, indent=2, allow_nan=False) + "\n"


def write_json(path: str | Path, content: Mapping[str, Any]) -> None:
    """Writes `content` as JSON with its keys in their order; NaN is refused."""
    with writing(path) as temporary:
        temporary.write_text(json_text(content), encoding="utf-8")


def refuse_as_output(outputs: Iterable[str | Path], inputs: Iterable[str | Path]) -> None:
    """Refuses outputs that are one of the inputs, under any name, or the same file twice.

    Args:
        outputs: files to be written.
        inputs: files to be read, or patterns for them; names that are no files are ignored.

    Raises:
        InputError: an output is an input or another output.
    """
    files = (path for name in map(str, inputs) for path in _names(name))
    read = {_place(path) for path in files if os.path.exists(path)}
    written: set[tuple[int, int] | str] = set()
    for path in map(str, outputs):
        place = _place(path)
        if place in read:
            raise InputError(path, "is an input too", expected="another file", remedy="give another output")
        if place in written:
            raise InputError(path, "is an output twice", expected="two files", remedy="give another output")
        written.add(place)


def _place(path: str) -> tuple[int, int] | str:
    """Identity of a file, whatever its names; its path where it does not exist yet."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return os.path.abspath(path)
    return status.st_dev, status.st_ino


def remove_unfinished(directory: str | Path) -> int:
    """Removes what killed processes left under temporary names in a directory that nobody writes to any more.

    Links are not followed.

    Returns:
        Number of files and directories that were removed.
    """
    count = 0
    for place, directories, files in os.walk(directory):
        for name in filter(_is_unfinished, directories):
            shutil.rmtree(os.path.join(place, name), ignore_errors=True)
            count += 1
        for name in filter(_is_unfinished, files):
            with suppress(OSError):
                os.unlink(os.path.join(place, name))
                count += 1
        directories[:] = [name for name in directories if not _is_unfinished(name)]
    return count


def _is_unfinished(name: str) -> bool:
    return name.startswith(".") and name.endswith(UNFINISHED)


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


def fingerprint(path: str | Path) -> str:
    """Hash of the content of an input.

    SHA-256 of the bytes; of a file above 1 GiB, whose hash would take longer than to read some of its
    variables, of its size and of 1 MiB in each of 256 equal pieces, marked `sampled-`.
    """
    source = require_file(path)
    size = source.stat().st_size
    if size <= _WHOLE:
        return f"sha256:{sha256_file(source)}"
    digest = hashlib.sha256(str(size).encode())
    with source.open("rb") as stream:
        for piece in range(_SAMPLES):
            stream.seek(piece * (size - _SAMPLE) // (_SAMPLES - 1))
            digest.update(stream.read(_SAMPLE))
    return f"sampled-sha256:{digest.hexdigest()}"


def header_hash(paths: Iterable[str | Path]) -> str:
    """Hash of a set of files: 32 digits of a SHA-256 of their names, sizes and first 64 KiB.

    Copies have the same hash. It does not see a value changed further inside a file: to hash hundreds of
    gigabytes would take longer than to average them.
    """
    digest = hashlib.sha256()
    for path in sorted(paths, key=lambda path: Path(path).name):
        source = require_file(path)
        digest.update(f"{source.name}:{source.stat().st_size}".encode())
        with source.open("rb") as stream:
            digest.update(stream.read(_HEADER_BYTES))
    return digest.hexdigest()[:32]


def matching_files(patterns: Iterable[str | Path]) -> list[Path]:
    """Files that names, or patterns with `*` and `?`, stand for, each once, in the order of their names.

    A name that exists is that file, whatever characters it has; only others are patterns. `~` and environment
    variables (`$SCRATCH`) are expanded. Two links to one file are two files, as each may stand for a month.

    Raises:
        InputError: a name or pattern stands for no file or a link to nothing, or an environment variable is
            not set.
    """
    matched: dict[tuple[str, str], Path] = {}
    for pattern in map(str, patterns):
        names = _names(pattern)
        if not names:
            raise _no_file(pattern)
        for name in names:
            if not os.path.exists(name):
                fault = f"is a link to {os.readlink(name)}, which cannot be found"
                raise InputError(name, fault, remedy="link to a file")
            place, last = os.path.split(name)
            matched.setdefault((os.path.realpath(place), last), Path(name))
    return list(matched.values())


def expanded_name(pattern: str) -> str:
    """A name or pattern with `~` and environment variables replaced."""
    return os.path.expandvars(os.path.expanduser(pattern))


def _names(pattern: str) -> list[str]:
    """Names that exist: the pattern itself, as it stands or expanded, or else those that it matches."""
    expanded = expanded_name(pattern)
    for name in (pattern, expanded):
        if os.path.lexists(name):
            return [name]
    return sorted(glob.glob(expanded.replace("[", "[[]")))


def _no_file(pattern: str) -> InputError:
    expanded = expanded_name(pattern)
    if "$" in expanded:
        return InputError(pattern, "an environment variable in it is not set", remedy="set it")
    try:
        os.stat(expanded)
    except PermissionError as error:
        return InputError(expanded, f"cannot be read ({error.strerror})", remedy="check its permissions")
    except OSError:
        pass
    return InputError(expanded, "no such file", remedy="check the path")


def matching_file(name: str | Path) -> Path:
    """The one file that a name or pattern stands for, read as by `matching_files`.

    Raises:
        InputError: it stands for no file, or for several.
    """
    first, *others = matching_files([name])
    if others:
        fault = f"stands for {1 + len(others)} files, {first.name} and {others[0].name} among them"
        raise InputError(name, fault, expected="one file", remedy="name it")
    return first


def sha256_file(path: str | Path) -> str:
    """SHA-256 of a file's bytes, read in chunks of bounded size."""
    return _sha256(path, threading.Event())


def _sha256(path: str | Path, abandoned: threading.Event) -> str:
    digest, block = hashlib.sha256(), memoryview(bytearray(_PIECE))
    with require_file(path).open("rb", buffering=0) as stream:
        while not abandoned.is_set() and (count := stream.readinto(block)):
            digest.update(block[:count])
    return digest.hexdigest()


def copy_bytes(source: str | Path, target: str | Path) -> None:
    """Copies a file's bytes into an empty file within the kernel, which is the fastest way for large files.

    `shutil.copyfile` does so only from Python 3.14 on; it is used where the system cannot copy in the kernel.
    The target is not truncated as it is opened: ext4 would treat it as a file that is replaced, and write all
    of it to the disk before it is closed.
    """
    if not hasattr(os, "copy_file_range"):
        shutil.copyfile(source, target)
        return
    with Path(source).open("rb") as reader, Path(target).open("r+b") as writer:
        left = os.fstat(reader.fileno()).st_size
        try:
            while left and (copied := os.copy_file_range(reader.fileno(), writer.fileno(), left)):
                left -= copied
        except OSError as error:
            if error.errno not in _NO_KERNEL_COPY:
                raise
    if left:
        shutil.copyfile(source, target)


@contextmanager
def sha256_in_background(*paths: str | Path) -> Iterator[Callable[[], list[str]]]:
    """Hashes files, one after the other, in another thread while the caller works with them.

    Yields:
        A function that waits for their SHA-256, in the order of the files. Leaving early abandons the rest.
    """
    abandoned = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        try:
            hashes = [pool.submit(_sha256, path, abandoned) for path in paths]
            yield lambda: [future.result() for future in hashes]
        finally:
            abandoned.set()
