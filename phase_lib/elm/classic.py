"""Classic NetCDF files (CDF-1, CDF-2, CDF-5) as bytes: the header, and rows of variables.

By the NetCDF classic format specification: big-endian numbers, counts of 8 bytes in CDF-5 and of 4 before
it, names and values padded to 4 bytes.
"""

from __future__ import annotations

import mmap
import os
import struct
from dataclasses import dataclass
from functools import partial
from math import prod
from pathlib import Path

import numpy as np

from phase_lib.base.errors import InputError

#: Type of values by its number in a header.
_TYPES = {
    number: np.dtype(name)
    for number, name in enumerate(
        ("i1", "S1", ">i2", ">i4", ">f4", ">f8", "u1", ">u2", ">u4", ">i8", ">u8"), start=1
    )
}
_DIMENSIONS, _VARIABLES, _ATTRIBUTES = 10, 11, 12
_TAG = struct.Struct(">I")
_damage = partial(InputError, expected="a whole NetCDF file", remedy="copy it again")


def _padded(nbytes: int) -> int:
    return -(-nbytes // 4) * 4


@dataclass(frozen=True)
class ClassicVariable:
    """Where a variable lies in a classic file.

    Attributes:
        begin: first byte of its values, or of those in the first record.
        dtype: of its values, as they are on file.
        shape: lengths of its dimensions, without that of records.
        on_records: whether its values are divided among records.
    """

    begin: int
    dtype: np.dtype
    shape: tuple[int, ...]
    on_records: bool

    @property
    def nbytes(self) -> int:
        """Bytes of its values, of one record where it has some."""
        return prod(self.shape) * self.dtype.itemsize


class ClassicHeader:
    """The header of a classic file: where the values lie.

    Args:
        path: of the file.

    Attributes:
        variables: by name, in the order of the file.

    Raises:
        InputError: the file ends before its header does, or the header is damaged.
    """

    def __init__(self, path: str | Path) -> None:
        self._path, self._at = path, 4
        with Path(path).open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            self._data, self.size = data, len(data)
            version = data[3]
            self._count_format = struct.Struct(">Q" if version == 5 else ">I")
            self._offset_format = struct.Struct(">I" if version == 1 else ">Q")
            self._records = self._count()
            lengths = [self._dimension() for _ in range(self._list(_DIMENSIONS))]
            self._pass_attributes()
            self.variables = dict(self._variable(lengths) for _ in range(self._list(_VARIABLES)))
            del self._data

    @property
    def has_records(self) -> bool:
        """Whether values of a variable are divided among records."""
        return any(variable.on_records for variable in self.variables.values())

    def end(self) -> int:
        """Byte after the last value, padding left out."""
        records = self._records
        if records == 2 ** (8 * self._count_format.size) - 1:
            records = 0  # written as a stream: their number is not in the header
        variables = self.variables.values()
        ends = [self._at, *(whole.begin + whole.nbytes for whole in variables if not whole.on_records)]
        recorded = [variable for variable in variables if variable.on_records]
        if records:
            # Records follow each other; the values of a variable in one are padded unless it is the only one.
            sizes = [variable.nbytes for variable in recorded]
            step = sizes[0] if len(sizes) == 1 else sum(map(_padded, sizes))
            ends += [variable.begin + (records - 1) * step + variable.nbytes for variable in recorded]
        return max(ends)

    def _pass(self, nbytes: int) -> int:
        """Passes bytes, and returns where they began."""
        begin, self._at = self._at, self._at + nbytes
        if self._at > self.size:
            what = f"is truncated: {self.size} bytes, while its header goes on to byte {self._at}"
            raise _damage(self._path, what)
        return begin

    def _number(self, form: struct.Struct) -> int:
        return int(form.unpack_from(self._data, self._pass(form.size))[0])

    def _count(self) -> int:
        return self._number(self._count_format)

    def _tag(self) -> int:
        return self._number(_TAG)

    def _require(self, sound: bool) -> None:
        if not sound:
            raise _damage(self._path, f"its header is damaged before byte {self._at}")

    def _list(self, tag: int) -> int:
        """Length of a list of dimensions, variables or attributes, by the tag at its start."""
        on_file, length = self._tag(), self._count()
        self._require(on_file == tag or on_file == length == 0)
        return length

    def _name(self) -> str:
        length = self._count()
        begin = self._pass(_padded(length))
        return self._data[begin : begin + length].decode(errors="replace")

    def _dimension(self) -> int:
        self._name()
        return self._count()

    def _type(self) -> np.dtype:
        number = self._tag()
        self._require(number in _TYPES)
        return _TYPES[number]

    def _pass_attributes(self) -> None:
        for _ in range(self._list(_ATTRIBUTES)):
            self._pass(_padded(self._count()))
            width = self._type().itemsize
            self._pass(_padded(self._count() * width))

    def _variable(self, lengths: list[int]) -> tuple[str, ClassicVariable]:
        name = self._name()
        dimensions = [self._count() for _ in range(self._count())]
        self._require(all(number < len(lengths) for number in dimensions))
        shape = tuple(lengths[number] for number in dimensions)
        self._pass_attributes()
        dtype = self._type()
        self._count()  # its size, which does not hold for large variables
        begin = self._number(self._offset_format)
        on_records = bool(shape) and shape[0] == 0
        return name, ClassicVariable(begin, dtype, shape[on_records:], on_records)


class ClassicRows:
    """Rows of a variable that does not lie on records, read and written where they lie on file.

    On most disks libnetcdf reads a classic file in pieces of 8 KiB, with a seek and a call for each, which
    takes four times as long as the values themselves.

    Args:
        descriptor: of the open file.
        variable: where the variable lies.
    """

    def __init__(self, descriptor: int, variable: ClassicVariable) -> None:
        self._descriptor, self._variable = descriptor, variable

    def __getitem__(self, rows: slice) -> np.ndarray:
        begin, shape = self._place(rows)
        raw = np.empty(prod(shape) * self._variable.dtype.itemsize, np.uint8)
        left = raw.data
        while left and (done := os.preadv(self._descriptor, [left], begin)):
            left, begin = left[done:], begin + done
        if left:
            raise EOFError(f"the file ends before byte {begin + len(left)}")
        values = raw.view(self._variable.dtype).reshape(shape)
        return values.astype(values.dtype.newbyteorder("="), copy=False)

    def __setitem__(self, rows: slice, values: np.ndarray) -> None:
        begin, shape = self._place(rows)
        raw = np.array(np.broadcast_to(values, shape), self._variable.dtype, order="C").reshape(-1)
        left = raw.view(np.uint8).data
        while left:
            done = os.pwrite(self._descriptor, left, begin)
            left, begin = left[done:], begin + done

    def _place(self, rows: slice) -> tuple[int, tuple[int, ...]]:
        """First byte of rows, and their shape; a scalar has no rows."""
        begin, shape = self._variable.begin, self._variable.shape
        if not shape:
            return begin, ()
        start, stop, _ = rows.indices(shape[0])
        return begin + start * (self._variable.nbytes // shape[0]), (max(stop - start, 0), *shape[1:])
