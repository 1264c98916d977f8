"""The table of land models: the names that `land_model.backend` may have, and where their code is.

What a land model must offer stands in `phase_lib/landmodel/interface.py`. One that comes with the workflow
has an entry here; an installed package enters its own in the group of entry points `phase_lib.land_models`.
Nothing is imported before a name is used, so that reading a configuration stays fast.
"""

from __future__ import annotations

import difflib
from functools import cache
from importlib.metadata import entry_points
from pkgutil import resolve_name
from typing import Any

from pydantic import BaseModel

from phase_lib.base.errors import InputError

#: Land models that come with the workflow: name -> module:class.
BUILT_IN = {
    "embedded": "phase_lib.landmodel.embedded.backend:EmbeddedBackend",
    "archive": "phase_lib.landmodel.archive:ArchiveBackend",
}
#: Entry points of other packages.
GROUP = "phase_lib.land_models"


@cache
def _installed() -> dict[str, str]:
    return {point.name: point.value for point in entry_points(group=GROUP)}


def is_backend(name: object) -> bool:
    """True for a name in the table."""
    return name in BUILT_IN or name in _installed()


def check_backend(name: str) -> str:
    """Returns a name of the table.

    Raises:
        ValueError: it is none; the nearest one is named.
    """
    if not is_backend(name):
        known = [*BUILT_IN, *_installed()]
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ValueError(f"{name!r} is no land model; expected one of {', '.join(known)}{hint}")
    return name


def backend_class(name: str) -> Any:
    """The class of a land model, a `phase_lib.landmodel.interface.LandModel`.

    Args:
        name: in the table.

    Raises:
        InputError: it is not in the table, or the package that offers it cannot be imported.
    """
    try:
        check_backend(name)
    except ValueError as error:
        raise InputError(None, str(error)) from error
    place = BUILT_IN.get(name) or _installed()[name]
    try:
        return resolve_name(place)
    except (ImportError, AttributeError) as error:
        raise InputError(
            None,
            f"land model {name} ({place}) cannot be loaded: {error}",
            expected="a module and a class in it",
            remedy="install its package again, or choose another land_model.backend",
        ) from error


def settings_class(name: str) -> type[BaseModel] | None:
    """Model of the section of the configuration that is named like a land model; None where it has none."""
    model: type[BaseModel] | None = backend_class(name).settings_model
    return model


def makes_domain(name: str) -> bool:
    """True for a land model that makes a domain of its own, which then has its name."""
    return is_backend(name) and bool(backend_class(name).makes_domain)
