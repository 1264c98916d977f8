"""Classes of this library and of other packages, imported by name when they are needed."""

from __future__ import annotations

import importlib
import linecache
import pkgutil
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.metadata import entry_points
from importlib.util import find_spec
from typing import Any

from phase_lib.base.errors import InputError


@dataclass(frozen=True)
class Plugins:
    """Classes of one purpose, imported one at a time.

    A name is one of three things: a module of the package, with a class of that name
    (`state20.py` and `State20`); an entry point in a group with the name of the package; or
    `package.module:Class`. All three work in any process that can import the class.

    Attributes:
        package: dotted name of their package in this library.
        what: word for one of them in messages: `network`.
    """

    package: str
    what: str

    @property
    def names(self) -> list[str]:
        """Names of the classes of this library."""
        spec = find_spec(self.package)
        places = [] if spec is None else spec.submodule_search_locations or []
        return [module.name for module in pkgutil.iter_modules(places)]

    @property
    def summary(self) -> str:
        """Each of `names` with the first line of its module's docstring; none is imported."""
        files = {name: str(getattr(find_spec(f"{self.package}.{name}"), "origin", "")) for name in self.names}
        lines = {name: linecache.getline(file, 1).strip('".\n') for name, file in files.items()}
        return "; ".join(f"{name}: {line}" for name, line in lines.items())

    def place(self, name: str) -> tuple[str, str]:
        """Dotted name of the module and name of the class in it; neither is imported.

        Raises:
            ValueError: nothing has this name.
        """
        module, colon, attribute = name.partition(":")
        if colon:
            return module, attribute
        if name in self.names:
            return f"{self.package}.{name}", "".join(word.capitalize() for word in name.split("_"))
        for point in entry_points(group=self.package, name=name):
            return point.module, point.attr
        raise ValueError(
            f"no {self.what} is called {name!r}; expected one of {', '.join(self.names)}, or "
            f"package.module:Class{did_you_mean(name, self.names)}"
        )

    def load(self, name: str) -> Any:
        """The class.

        Raises:
            ValueError: nothing has this name, or it cannot be imported.
        """
        module, attribute = self.place(name)
        try:
            return getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            raise ValueError(f"the {self.what} {name} cannot be imported: {error}") from error

    def require(self, name: str, key: str) -> Any:
        """The class that a key of the configuration names.

        Raises:
            InputError: nothing has this name, or it cannot be imported.
        """
        try:
            return self.load(name)
        except ValueError as error:
            raise InputError(None, str(error), remedy=f"choose another {key}") from error


def did_you_mean(name: str, known: list[str], cutoff: float = 0.6) -> str:
    """The nearest known name as a question, after a semicolon; empty where none is near."""
    near = get_close_matches(name, known, n=1, cutoff=cutoff)
    return f"; did you mean {near[0]}?" if near else ""
