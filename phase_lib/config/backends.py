"""The table of land models: the names that `land_model.backend` may have, and where their code is.

`phase_lib/landmodel/interface.py` states what a land model must offer. A land model is imported only when its
name is used, so that reading a configuration stays fast.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from phase_lib.base.plugins import Plugins

BACKENDS = Plugins("phase_lib.landmodel.backends", "land model")


@cache
def is_backend(name: object) -> bool:
    """True for the name of a land model."""
    try:
        return bool(BACKENDS.place(str(name)))
    except ValueError:
        return False


def backend_class(name: str) -> Any:
    """The class of a land model, a `phase_lib.landmodel.interface.LandModel`.

    Raises:
        InputError: there is none of this name, or it cannot be imported.
    """
    return BACKENDS.require(name, "land_model.backend")


def makes_domain(name: str) -> bool:
    """True for the name of a land model that makes a domain, which then has the same name."""
    return is_backend(name) and bool(backend_class(name).makes_domain)
