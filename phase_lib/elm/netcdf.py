"""Opening NetCDF files so that a faulty one ends in one clear line."""

from __future__ import annotations

import errno
import fcntl
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

import netCDF4
import numpy as np

from phase_lib.base.errors import InputError
from phase_lib.base.files import require_file, writing
from phase_lib.elm.classic import ClassicHeader, ClassicRows
from phase_lib.elm.constants import FILL_THRESHOLD
from phase_lib.elm.units import are_among, other_units, units_of

if TYPE_CHECKING:
    import xarray as xr

_NETCDF4 = (netCDF4.Dataset, netCDF4.Variable)
Opened: TypeAlias = "netCDF4.Dataset | xr.Dataset"
Variable: TypeAlias = "netCDF4.Variable | xr.DataArray"
Flavour = Literal["NETCDF3_CLASSIC", "NETCDF3_64BIT_OFFSET", "NETCDF3_64BIT_DATA", "NETCDF4"]

_MAGIC: dict[bytes, Flavour] = {
    b"CDF\x01": "NETCDF3_CLASSIC",
    b"CDF\x02": "NETCDF3_64BIT_OFFSET",
    b"CDF\x05": "NETCDF3_64BIT_DATA",
    b"\x89HDF": "NETCDF4",
}
TURN_DIMENSIONS = "put its dimensions in this order"
#: Refusals: of a damaged file, and of one that was changed.
_damage = partial(InputError, expected="a whole NetCDF file", remedy="copy it again")
_fault = partial(InputError, remedy="use the file as it was written")
#: Answers of file systems without locks.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
#: Enough for the header of a restart with ELM's 464 variables.
_HEADER_BYTES = 1 << 18
#: Dimension that index vectors lie along, by the first word of their names.
_VECTORS = {
    "grid1d": "gridcell",
    "topo1d": "topounit",
    "land1d": "landunit",
    "cols1d": "column",
    "pfts1d": "pft",
}


def flavour(path: str | Path) -> Flavour:
    """The file's NetCDF flavour, read from its first bytes; `NETCDF3_64BIT_DATA` is CDF-5.

    Raises:
        InputError: the file is missing or no NetCDF file.
    """
    with require_file(path).open("rb") as stream:
        magic = stream.read(4)
    if magic not in _MAGIC:
        what = f"starts with {magic!r}" if magic else "is empty"
        raise _damage(path, what, expected="a NetCDF file")
    return _MAGIC[magic]


class Rows(Protocol):
    """Rows of a variable, the values as they are on file."""

    def __getitem__(self, rows: slice) -> np.ndarray: ...

    def __setitem__(self, rows: slice, values: np.ndarray) -> None: ...


@contextmanager
def open_dataset(path: str | Path, mode: Literal["r", "r+"] = "r") -> Iterator[netCDF4.Dataset]:
    """Opens a NetCDF file without masking or scaling; values are those on file.

    A truncated classic file opens without complaint and reads zeros, so its length is compared with
    what its header declares; a damaged NetCDF-4 file opens too and fails where it is damaged.

    Raises:
        InputError: missing, no NetCDF file, truncated or unreadable.
    """
    _classic_header(path)
    with _opened(path, mode) as dataset:
        yield dataset


@contextmanager
def open_rows(path: str | Path, mode: Literal["r", "r+"] = "r") -> Iterator[Mapping[str, Rows]]:
    """Opens a NetCDF file only for the values of its variables, to read or write in place by rows.

    Yields:
        Its variables by name.

    Raises:
        InputError: as `open_dataset`.
    """
    header = _header_of_rows(path)
    if header is None:
        with _opened(path, mode) as dataset:
            yield dataset.variables
    else:
        with Path(path).open(f"{mode}b", buffering=0) as stream:
            yield _rows(stream, header)


@contextmanager
def open_with_rows(path: str | Path) -> Iterator[tuple[netCDF4.Dataset, Mapping[str, Rows]]]:
    """Opens a NetCDF file for its header and for values that are read by rows.

    Yields:
        The file, and its variables by name.

    Raises:
        InputError: as `open_dataset`.
    """
    header = _header_of_rows(path)
    with _opened(path, "r") as dataset:
        if header is None:
            yield dataset, dataset.variables
        else:
            with Path(path).open("rb", buffering=0) as stream:
                yield dataset, _rows(stream, header)


def _header_of_rows(path: str | Path) -> ClassicHeader | None:
    """Header of a classic file that gives the place of all rows; None where the library has to find them."""
    header = _classic_header(path)
    return None if header is None or header.has_records else header


def _rows(stream: IO[bytes], header: ClassicHeader) -> Mapping[str, Rows]:
    return {name: ClassicRows(stream.fileno(), variable) for name, variable in header.variables.items()}


def _classic_header(path: str | Path) -> ClassicHeader | None:
    """Header of a classic file that does not end before its last value; None for a NetCDF-4 file."""
    if flavour(path) == "NETCDF4":
        return None
    header = ClassicHeader(path)
    if header.size < header.end():
        expected = f"at least {header.end()} bytes by its header"
        raise _damage(path, f"is truncated: {header.size} bytes", expected=expected)
    return header


@contextmanager
def _opened(path: str | Path, mode: Literal["r", "r+"]) -> Iterator[netCDF4.Dataset]:
    try:
        dataset = netCDF4.Dataset(path, mode)
    except (OSError, RuntimeError, UnicodeDecodeError) as error:
        raise _not_opened(path, mode, error) from error
    try:
        dataset.set_auto_maskandscale(False)
        yield dataset
    except RuntimeError as error:
        damaged = _unreadable_variable(dataset)
        if damaged is None:
            raise
        raise _damage(path, f"variable {damaged} cannot be read ({error})") from error
    finally:
        dataset.close()


def _not_opened(path: str | Path, mode: Literal["r", "r+"], error: Exception) -> InputError:
    """Why a file was not opened: HDF5 locks each file that it opens, but does not report a lock it meets."""
    try:
        with Path(path).open(f"{mode}b") as stream:
            fcntl.flock(stream, (fcntl.LOCK_SH if mode == "r" else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return InputError(
            path,
            "is open in another program, which holds a lock on it",
            expected="a file that nobody writes" if mode == "r" else "a file that nobody reads or writes",
            remedy="wait until that program (a model that still runs?) has closed it",
        )
    except OSError as refusal:
        if refusal.errno in _NO_LOCKS:
            return InputError(
                path,
                f"cannot be opened, as it cannot be locked ({refusal.strerror})",
                expected="a file system with locks",
                remedy="set HDF5_USE_FILE_LOCKING=FALSE in the environment",
            )
    return _damage(path, f"cannot be opened ({error})")


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


def get_variable(
    path: str | Path,
    dataset: Opened,
    name: str,
    dims: Sequence[str] | None = None,
    units: Sequence[str] | None = None,
    *,
    whole: bool = False,
    packed: bool = False,
    labelled: bool = False,
    how: Callable[[str], str] | None = None,
) -> Any:
    """The variable `name`, checked.

    Args:
        path: for messages.
        dataset: open file, of netCDF4 or xarray.
        name: variable.
        dims: dimension names it must have, in order; where not given, index vectors of restarts and
            histories (`cols1d_ityp`, ...) must lie along the dimension of their name; others may have any.
        units: accepted `units` attributes, in any usual spelling; an absent or blank attribute is accepted
            too, as real restarts have none.
        whole: whether it must be of a type of whole numbers.
        packed: whether the caller undoes `scale_factor` and `add_offset`; values are taken as they are on
            file, so elsewhere a packed variable is refused.
        labelled: whether it must have the attribute `units`, as ELM writes it.
        how: how values in other units are converted, for the message; empty where that is not known.

    Raises:
        InputError: it is missing, is packed, or has another type, dimensions or units.
    """
    if name not in dataset.variables:
        expected = "" if dims is None else f"{name}({', '.join(dims)})"
        remedy = "use a file that holds it"
        raise InputError(path, f"variable {name} is missing", expected=expected, remedy=remedy)
    # netCDF4 reads a name in brackets as a path.
    variable: Any = dataset.variables[name] if isinstance(dataset, netCDF4.Dataset) else dataset[name]
    dims_on_file = dimensions_of(variable)
    kind = getattr(variable.dtype, "kind", "U")  # text of any length has no numpy type
    if kind not in ("iu" if whole else "iuf"):
        what = "holds text" if kind in "OSU" else f"is of type {variable.dtype.name}"
        raise _fault(path, f"variable {name} {what}", expected="whole numbers" if whole else "numbers")
    packing = {"scale_factor", "add_offset"}.intersection(attribute_names(variable))
    if packing and not packed:
        what = f"variable {name} is packed (attribute {min(packing)})"
        remedy = "unpack it, for example with `ncpdq -U`"
        raise InputError(path, what, expected="plain numbers", remedy=remedy)
    vector = name.partition("_")[0]
    if dims is None and vector in _VECTORS:
        dims = (_VECTORS[vector],)
    if dims is not None and dims_on_file != tuple(dims):
        turned = {"remedy": TURN_DIMENSIONS} if sorted(dims) == sorted(dims_on_file) else {}
        what = f"variable {name} has dimensions ({', '.join(dims_on_file)})"
        raise _fault(path, what, expected=f"({', '.join(dims)})", **turned)
    if units is not None:
        label = units_of(variable)
        if not are_among(label, units) and (label or labelled):
            raise other_units(path, name, label, units, "" if how is None else how(label))
    return variable


def dimensions_of(variable: Any) -> tuple[str, ...]:
    """The dimensions of a variable, open with netCDF4 or xarray."""
    return tuple(variable.dimensions if isinstance(variable, netCDF4.Variable) else variable.dims)


def attribute_names(owner: Any) -> Collection[str]:
    """The names of the attributes of a file or variable, open with netCDF4 or xarray."""
    names: Collection[str] = owner.ncattrs() if isinstance(owner, _NETCDF4) else owner.attrs
    return names


def get_attribute(path: str | Path, owner: Opened | Variable, name: str) -> Any:
    """The attribute `name` of an open file or of a variable of it.

    Raises:
        InputError: it is missing.
    """
    if name not in attribute_names(owner):
        if hasattr(type(owner), "variables"):
            raise _fault(path, f"global attribute {name} is missing")
        raise _fault(path, f"variable {owner.name} has no attribute {name}")
    return owner.getncattr(name) if isinstance(owner, _NETCDF4) else owner.attrs[name]


def whole_attribute(path: str | Path, dataset: Opened, name: str) -> int:
    """The global attribute `name`, a whole number.

    Raises:
        InputError: it is missing or no whole number.
    """
    value = get_attribute(path, dataset, name)
    try:
        return int(value)
    except (TypeError, ValueError) as error:
        raise _fault(path, f"global attribute {name} is {value!r}", expected="a whole number") from error


def attribute_numbers(path: str | Path, variable: netCDF4.Variable, name: str, default: float) -> list[float]:
    """The numbers of the attribute `name` of a variable, most often one; the default where there is none.

    Raises:
        InputError: it holds text or nothing.
    """
    values = np.ravel(getattr(variable, name, default))
    if values.size == 0 or values.dtype.kind not in "iuf":
        what = f"attribute {name} of variable {variable.name} is no number"
        raise InputError(path, what, expected="a number", remedy="set the attribute right")
    return [float(value) for value in values]


def is_fill(variable: Any, values: np.ndarray) -> np.ndarray:
    """True where values are fill: ELM's 1e36, or what the attributes of the variable call fill.

    NaN and infinity are no fill: ELM never writes them, so they are damage that a reader must see.

    Args:
        variable: netCDF4 variable that the values come from.
        values: numbers, any shape.
    """
    fill = np.asarray((np.abs(values) >= FILL_THRESHOLD) & np.isfinite(values))
    for attribute in ("_FillValue", "missing_value"):
        if attribute in variable.ncattrs():
            for value in np.ravel(variable.getncattr(attribute)):
                fill |= values == value
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


def add_variable(
    dataset: netCDF4.Dataset,
    name: str,
    kind: str,
    dims: tuple[str, ...],
    values: Any = None,
    fill: Any = None,
    **attributes: Any,
) -> netCDF4.Variable:
    """Defines a variable with its attributes, and writes its values where they are given."""
    variable = dataset.createVariable(name, kind, dims, fill_value=fill)
    variable.setncatts(attributes)
    if values is not None:
        variable[...] = values
    return variable


@contextmanager
def room_for_header(dataset: netCDF4.Dataset) -> Iterator[None]:
    """Surrounds the definition of the first variables of a large classic file with many.

    Values follow the header, and a longer header moves them all: hundreds of definitions copy the file
    hundreds of times, written or not. An attribute that exists only for the first variables leaves the room
    that the others need; it stays empty where they need less.

    Args:
        dataset: new file.
    """
    dataset.setncattr("room", " " * _HEADER_BYTES)
    yield
    dataset.delncattr("room")
