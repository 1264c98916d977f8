"""Opening NetCDF files so that a faulty one ends in one clear line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

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
        raise InputError(path, f"starts with {magic!r}", expected="a NetCDF file", remedy="copy it again")
    return _MAGIC[magic]


@contextmanager
def open_dataset(path: str | Path, mode: Literal["r", "r+"] = "r") -> Iterator[netCDF4.Dataset]:
    """Opens a NetCDF file without masking or scaling; values are those on file.

    A truncated classic-format file opens without complaint and reads garbage or fails late, so its
    length is compared with what its header declares.

    Raises:
        InputError: missing, no NetCDF file, truncated or unreadable.
    """
    flavour(path)
    try:
        dataset = netCDF4.Dataset(path, mode)
    except (OSError, RuntimeError) as error:
        raise InputError(path, f"cannot be opened ({error})", remedy="copy it again") from error
    try:
        dataset.set_auto_maskandscale(False)
        _refuse_truncated(path, dataset)
        yield dataset
    finally:
        dataset.close()


def _refuse_truncated(path: str | Path, dataset: netCDF4.Dataset) -> None:
    if not dataset.data_model.startswith("NETCDF3"):
        return
    least = sum(_nbytes(variable) for variable in dataset.variables.values())
    size = Path(path).stat().st_size
    if size < least:
        raise InputError(
            path,
            f"is truncated: {size} bytes",
            expected=f"at least {least} bytes of data by its header",
            remedy="copy it again",
        )


def _nbytes(variable: Any) -> int:
    return int(np.prod(variable.shape, dtype=np.int64)) * int(variable.dtype.itemsize)


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
        dims: dimension names it must have, in order.
        units: accepted `units` attributes; an absent or blank attribute is accepted too, as real
            restarts have none.

    Raises:
        InputError: it is missing, or has other dimensions or units.
    """
    if name not in dataset.variables:
        raise InputError(path, f"variable {name} is missing", remedy="use a file that holds it")
    variable = dataset.variables[name]
    if dims is not None and tuple(variable.dimensions) != tuple(dims):
        raise InputError(
            path, f"variable {name} has dimensions {variable.dimensions}", expected=str(tuple(dims))
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
