"""What can be wrong with a file: each function returns a `Spoil`, which spoils a copy of the inputs.

A test of this directory is one `Fault` (`faults.py`): a command, what spoils its inputs, and the line that
the command must print. It reads like this:

    fault("forcing: TBOT in degC",                   name of the test
          forcing,                                   words of the command, in a copy (`inputs.py`)
          attribute(MAY, "units", "degC", "TBOT"),   spoils the copy
          MAY,                                       the file with which the line begins
          "variable TBOT has units 'degC'", ...)     what else is in the line, the remedy last

The file itself:    cut, halved, written (other content), removed, copied, renamed
Values:             values, twins (two cells in one place), exchanged (two variables), attribute, hidden
Shapes and types:   turned (dimensions in reverse), retyped, shortened, leap_day, or any: remade
Combinations:       nothing (the files are sound, the words of the command are not), also (several at once)

Constants of `faults.py` name files below the copy: BASE is the restart of an injection, AD, AD_400 and
LABELS those of a domain, MAY its forcing of May 1902, AGAIN a second copy of a file; COPY and PATH are the
remedies "copy it again" and "check the path". `misfits.py` and `kinds.py` hold further faults by subject.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import netCDF4
import numpy as np

from tests.helpers.restarts import hide

#: Spoils something in a copy, given its directory.
Spoil = Callable[[Path], object]
#: New dimensions and values of a variable, of its name, dimensions and values.
Change = Callable[[str, tuple[str, ...], np.ndarray], tuple[tuple[str, ...], np.ndarray]]


def nothing(at: Path) -> None:
    """The files are sound; what is asked of them is wrong."""


def also(*spoils: Spoil) -> Spoil:
    """Several things at once."""
    return lambda at: [spoil(at) for spoil in spoils]


# The file itself.


def cut(file: str, kept: int) -> Spoil:
    """Keeps the first bytes; of a negative number, all but the last."""
    return lambda at: (at / file).write_bytes((at / file).read_bytes()[:kept])


def halved(file: str) -> Spoil:
    """Keeps the first half."""
    return lambda at: cut(file, (at / file).stat().st_size // 2)(at)


def written(file: str, content: bytes) -> Spoil:
    """Other content."""
    return lambda at: (at / file).write_bytes(content)


def removed(file: str, put: Callable[[Path], object] = lambda path: None) -> Spoil:
    """Takes a file away, and puts something else in its place."""
    return lambda at: ((at / file).unlink(), put(at / file))


def copied(file: str, target: str) -> Spoil:
    """The same file under another name too."""
    return lambda at: shutil.copyfile(at / file, at / target)


def renamed(file: str, target: str) -> Spoil:
    """The file under another name instead."""
    return lambda at: (at / file).rename(at / target)


# What is in it.


def values(file: str, name: str, value: object, index: object = ...) -> Spoil:
    """Sets values of a variable; a function gives them of the old ones."""

    def spoil(at: Path) -> None:
        with netCDF4.Dataset(at / file, "r+") as nc:
            nc.set_auto_maskandscale(False)
            nc[name][index] = value(nc[name][index]) if callable(value) else value

    return spoil


def twin(array: np.ndarray) -> np.ndarray:
    """The first cell's value for the second cell too."""
    array[1] = array[0]
    return array


def twins(file: str, lat: str, lon: str) -> Spoil:
    """Puts the second cell where the first is."""
    return also(values(file, lat, twin), values(file, lon, twin))


def exchanged(file: str, one: str, other: str) -> Spoil:
    """Exchanges the values of two variables."""

    def spoil(at: Path) -> None:
        with netCDF4.Dataset(at / file, "r+") as nc:
            nc.set_auto_maskandscale(False)
            first = np.array(nc[one][...])
            nc[one][...] = nc[other][...]
            nc[other][...] = first

    return spoil


def attribute(file: str, name: str, value: object, variable: str = "") -> Spoil:
    """Sets an attribute of the file or of a variable, or takes it away where the value is None."""

    def spoil(at: Path) -> None:
        with netCDF4.Dataset(at / file, "r+") as nc:
            owner = nc[variable] if variable else nc
            if value is None:
                owner.delncattr(name)
            else:
                owner.setncattr(name, value)

    return spoil


def hidden(file: str, *names: str, dimension: str = "") -> Spoil:
    """Takes variables away, or a dimension."""
    return lambda at: hide(at / file, *names, dimension=dimension)


def remade(file: str, change: Change) -> Spoil:
    """Writes the file anew with other dimensions or values; lengths follow from the values."""

    def spoil(at: Path) -> None:
        old, new = at / file, at / f"{file}.new"
        with netCDF4.Dataset(old) as source, netCDF4.Dataset(new, "w", format=source.data_model) as nc:
            source.set_auto_maskandscale(False)
            source.set_auto_chartostring(False)
            nc.setncatts(source.__dict__)
            changed = {
                name: change(name, variable.dimensions, np.asarray(variable[...]))
                for name, variable in source.variables.items()
            }
            lengths = {name: dimension.size for name, dimension in source.dimensions.items()}
            for dims, array in changed.values():
                lengths |= dict(zip(dims, array.shape, strict=True))
            for name, length in lengths.items():
                nc.createDimension(name, length)
            for name, (dims, array) in changed.items():
                attributes = dict(source[name].__dict__)
                fill = attributes.pop("_FillValue", None)
                made = nc.createVariable(
                    name, array.dtype, dims, fill_value=None if array.dtype.kind == "S" else fill
                )
                made.set_auto_maskandscale(False)
                made.set_auto_chartostring(False)
                made.setncatts(attributes)
                made[...] = array
        new.replace(old)

    return spoil


def turned(file: str, variable: str) -> Spoil:
    """Turns the dimensions of a variable around."""
    return remade(file, lambda name, dims, a: (dims[::-1], a.T) if name == variable else (dims, a))


def retyped(file: str, variable: str, kind: str) -> Spoil:
    """Writes a variable in another type; as text (`S1`) it is all x."""

    def change(name: str, dims: tuple[str, ...], array: np.ndarray) -> tuple[tuple[str, ...], np.ndarray]:
        if name != variable:
            return dims, array
        return dims, np.full(array.shape, "x", "S1") if kind == "S1" else array.astype(kind)

    return remade(file, change)


def shortened(file: str, dimension: str, length: int) -> Spoil:
    """Leaves only the first entries along a dimension."""

    def change(name: str, dims: tuple[str, ...], array: np.ndarray) -> tuple[tuple[str, ...], np.ndarray]:
        return dims, array[tuple(slice(length) if dim == dimension else slice(None) for dim in dims)]

    return remade(file, change)


def leap_day(file: str) -> Spoil:
    """Repeats the last step a day later."""

    def change(name: str, dims: tuple[str, ...], array: np.ndarray) -> tuple[tuple[str, ...], np.ndarray]:
        if dims[:1] != ("time",):
            return dims, array
        return dims, np.concatenate([array, array[-1:] + (1 if name == "time" else 0)])

    return remade(file, change)
