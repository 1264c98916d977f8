"""Opening NetCDF files so that a faulty one ends in one clear line."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any, BinaryIO, Literal

import netCDF4
import numpy as np

from phase_lib.base.errors import InputError
from phase_lib.base.files import require_file, writing
from phase_lib.elm.constants import FILL_THRESHOLD

Flavour = Literal["NETCDF3_CLASSIC", "NETCDF3_64BIT_OFFSET", "NETCDF3_64BIT_DATA", "NETCDF4"]

_MAGIC: dict[bytes, Flavour] = {
    b"CDF\x01": "NETCDF3_CLASSIC",
    b"CDF\x02": "NETCDF3_64BIT_OFFSET",
    b"CDF\x05": "NETCDF3_64BIT_DATA",
    b"\x89HDF": "NETCDF4",
}


#: Dimension that index vectors lie along, by the first part of their names.
_VECTORS = {
    "grid1d": "gridcell",
    "topo1d": "topounit",
    "land1d": "landunit",
    "cols1d": "column",
    "pfts1d": "pft",
}


def flavour(path: str | Path) -> Flavour:
    """The file's NetCDF flavour, read from its first bytes.

    Returns:
        One of `NETCDF3_CLASSIC`, `NETCDF3_64BIT_OFFSET`, `NETCDF3_64BIT_DATA` (CDF-5), `NETCDF4`.

    Raises:
        InputError: the file is missing or no NetCDF file.
    """
    with require_file(path).open("rb") as stream:
        magic = stream.read(4)
    if magic not in _MAGIC:
        found = f"starts with {magic!r}" if magic else "is empty"
        raise InputError(path, found, expected="a NetCDF file", remedy="copy it again")
    return _MAGIC[magic]


@contextmanager
def open_dataset(path: str | Path, mode: Literal["r", "r+"] = "r") -> Iterator[netCDF4.Dataset]:
    """Opens a NetCDF file without masking or scaling; values are those on file.

    A truncated classic file opens without complaint and reads zeros, so its length is compared with
    what its header declares; a damaged NetCDF-4 file opens too and fails where it is damaged.

    Raises:
        InputError: missing, no NetCDF file, truncated or unreadable.
    """
    if flavour(path) != "NETCDF4":
        _refuse_truncated(path)
    try:
        dataset = netCDF4.Dataset(path, mode)
    except (OSError, RuntimeError) as error:
        raise InputError(
            path, f"cannot be opened ({error})", expected="a whole NetCDF file", remedy="copy it again"
        ) from error
    try:
        dataset.set_auto_maskandscale(False)
        yield dataset
    except RuntimeError as error:
        damaged = _unreadable_variable(dataset)
        if damaged is None:
            raise
        raise InputError(
            path,
            f"variable {damaged} cannot be read ({error})",
            expected="a whole NetCDF file",
            remedy="copy it again",
        ) from error
    finally:
        dataset.close()


def _unreadable_variable(dataset: netCDF4.Dataset) -> str | None:
    """The first variable of a NetCDF-4 file whose values cannot be read; None where all can."""
    if dataset.data_model.startswith("NETCDF3"):
        return None
    for name, variable in dataset.variables.items():
        try:
            for row in range(variable.shape[0] if variable.ndim else 1):
                variable[row if variable.ndim else ...]
        except RuntimeError:
            return str(name)
    return None


def _refuse_truncated(path: str | Path) -> None:
    """Refuses a classic file that ends before the last value that its header speaks of."""
    size = Path(path).stat().st_size
    with Path(path).open("rb") as stream:
        least = _ClassicHeader(path, stream, size).end()
    if size < least:
        raise InputError(
            path,
            f"is truncated: {size} bytes",
            expected=f"at least {least} bytes by its header",
            remedy="copy it again",
        )


#: Bytes of a value by its type number in a classic header: byte, char, short, int, float, double and
#: CDF-5's ubyte, ushort, uint, int64, uint64.
_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 4, 6: 8, 7: 1, 8: 2, 9: 4, 10: 8, 11: 8}
_DIMENSIONS, _VARIABLES, _ATTRIBUTES = 10, 11, 12


def _padded(nbytes: int) -> int:
    return -(-nbytes // 4) * 4


class _ClassicHeader:
    """What the header of a classic file (CDF-1, CDF-2, CDF-5) says of where its values lie.

    By the NetCDF classic format specification: big-endian numbers, counts of 8 bytes in CDF-5 and of 4
    before it, names and values padded to 4 bytes.

    Args:
        path: for messages.
        stream: the file, at its start.
        size: its length, bytes.
    """

    def __init__(self, path: str | Path, stream: BinaryIO, size: int) -> None:
        self._path, self._stream, self._size, self._at = path, stream, size, 0
        version = self._take(4)[3]
        self._count_format = ">Q" if version == 5 else ">I"
        self._offset_format = ">I" if version == 1 else ">Q"

    def end(self) -> int:
        """Byte after the last value, padding left out.

        Raises:
            InputError: the file ends before its header does, or the header is damaged.
        """
        records = self._count()
        if records == 2 ** (8 * struct.calcsize(self._count_format)) - 1:
            records = 0  # written as a stream: the header does not say how many there are
        lengths = [self._dimension() for _ in range(self._list(_DIMENSIONS))]
        self._pass_attributes()
        variables = [self._variable(lengths) for _ in range(self._list(_VARIABLES))]
        ends = [self._at, *(begin + nbytes for begin, nbytes, on_records in variables if not on_records)]
        parts = [(begin, nbytes) for begin, nbytes, on_records in variables if on_records]
        if records:
            # Records follow each other; each variable's part of one is padded unless it is the only one.
            step = parts[0][1] if len(parts) == 1 else sum(_padded(nbytes) for _, nbytes in parts)
            ends += [begin + (records - 1) * step + nbytes for begin, nbytes in parts]
        return max(ends)

    def _pass(self, nbytes: int) -> None:
        """Goes on, over bytes that were or need not be read."""
        self._at += nbytes
        if self._at > self._size:
            raise InputError(
                self._path,
                f"is truncated: {self._size} bytes, while its header goes on to byte {self._at}",
                expected="a whole NetCDF file",
                remedy="copy it again",
            )
        self._stream.seek(self._at)

    def _take(self, nbytes: int) -> bytes:
        taken = self._stream.read(nbytes)
        self._pass(nbytes)
        return taken

    def _number(self, form: str) -> int:
        return int(struct.unpack(form, self._take(struct.calcsize(form)))[0])

    def _count(self) -> int:
        return self._number(self._count_format)

    def _known(self, known: bool) -> None:
        if not known:
            raise InputError(
                self._path,
                f"its header is damaged before byte {self._at}",
                expected="a whole NetCDF file",
                remedy="copy it again",
            )

    def _list(self, tag: int) -> int:
        """Length of a list of dimensions, variables or attributes, by the tag at its start."""
        found, length = self._number(">I"), self._count()
        self._known(found == tag or found == length == 0)
        return length

    def _dimension(self) -> int:
        self._pass(_padded(self._count()))
        return self._count()

    def _type_bytes(self) -> int:
        number = self._number(">I")
        self._known(number in _TYPE_BYTES)
        return _TYPE_BYTES[number]

    def _pass_attributes(self) -> None:
        for _ in range(self._list(_ATTRIBUTES)):
            self._pass(_padded(self._count()))
            width = self._type_bytes()
            self._pass(_padded(self._count() * width))

    def _variable(self, lengths: list[int]) -> tuple[int, int, bool]:
        """Where a variable begins, its bytes (of one record), and whether it lies on records."""
        self._pass(_padded(self._count()))
        dimensions = [self._count() for _ in range(self._count())]
        self._known(all(number < len(lengths) for number in dimensions))
        shape = [lengths[number] for number in dimensions]
        self._pass_attributes()
        width = self._type_bytes()
        self._count()  # its size, which does not hold for large variables
        begin = self._number(self._offset_format)
        on_records = bool(shape) and shape[0] == 0
        return begin, prod(shape[on_records:]) * width, on_records


def get_variable(
    path: str | Path,
    dataset: netCDF4.Dataset,
    name: str,
    dims: Sequence[str] | None = None,
    units: Sequence[str] | None = None,
) -> Any:
    """The variable `name`, checked.

    Args:
        path: for messages.
        dataset: open file.
        name: variable.
        dims: dimension names it must have, in order; where not given, index vectors of restarts and
            histories (`cols1d_ityp`, ...) must lie along their own dimension, and others may have any.
        units: accepted `units` attributes; an absent or blank attribute is accepted too, as real
            restarts have none.

    Raises:
        InputError: it is missing, or has other dimensions or units.
    """
    if name not in dataset.variables:
        raise InputError(
            path,
            f"variable {name} is missing",
            expected="" if dims is None else f"{name}({', '.join(dims)})",
            remedy="use a file that holds it",
        )
    variable = dataset.variables[name]
    vector = name.partition("_")[0]
    if dims is None and vector in _VECTORS:
        dims = (_VECTORS[vector],)
    if dims is not None and tuple(variable.dimensions) != tuple(dims):
        turned = sorted(dims) == sorted(variable.dimensions)
        raise InputError(
            path,
            f"variable {name} has dimensions ({', '.join(variable.dimensions)})",
            expected=f"({', '.join(dims)})",
            remedy="put its dimensions in this order" if turned else "use the file as it was written",
        )
    if units is not None:
        found = str(getattr(variable, "units", "")).strip()
        if found and found not in units:
            raise InputError(
                path,
                f"variable {name} has units {found!r}",
                expected=" or ".join(repr(unit) for unit in units),
                remedy="convert it",
            )
    return variable


def get_attribute(path: str | Path, dataset: netCDF4.Dataset, name: str) -> Any:
    """The global attribute `name`.

    Raises:
        InputError: it is missing.
    """
    if name not in dataset.ncattrs():
        raise InputError(path, f"global attribute {name} is missing", remedy="use the file as it was written")
    return dataset.getncattr(name)


def whole_attribute(path: str | Path, dataset: netCDF4.Dataset, name: str) -> int:
    """The global attribute `name`, a whole number.

    Raises:
        InputError: it is missing or no whole number.
    """
    value = get_attribute(path, dataset, name)
    try:
        return int(value)
    except (TypeError, ValueError) as error:
        raise InputError(
            path,
            f"global attribute {name} is {value!r}",
            expected="a whole number",
            remedy="use the file as it was written",
        ) from error


def is_fill(variable: Any, values: np.ndarray) -> np.ndarray:
    """True where values are fill: ELM's 1e36, or what the variable's own attributes call so.

    NaN and infinity are no fill: ELM never writes them, so they are damage that a reader must see.

    Args:
        variable: netCDF4 variable that the values come from.
        values: numbers, any shape.
    """
    fill = np.asarray((np.abs(values) >= FILL_THRESHOLD) & np.isfinite(values))
    for attribute in ("_FillValue", "missing_value"):
        if attribute in variable.ncattrs():
            fill |= values == variable.getncattr(attribute)
    return fill


@contextmanager
def create_dataset(path: str | Path, format: Flavour = "NETCDF4") -> Iterator[netCDF4.Dataset]:
    """A new NetCDF file, written under a temporary name and renamed when it is complete.

    Args:
        path: final path.
        format: netCDF4-python's format name, `NETCDF3_64BIT_DATA` for CDF-5.
    """
    with writing(path) as temporary, netCDF4.Dataset(temporary, "w", format=format) as dataset:
        dataset.set_fill_off()
        yield dataset
