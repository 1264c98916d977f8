"""The table of layouts of forcing files: the names that `kind` may have, and where their code is.

What a layout must offer is stated by `Record` in `phase_lib/forcing/points.py`. Nothing is imported before a
name is used.
"""

from __future__ import annotations

from typing import Any

from phase_lib.base.plugins import Plugins

LAYOUTS = Plugins("phase_lib.forcing.layouts", "forcing layout")


def layout_class(kind: str) -> Any:
    """The class of a layout, a `phase_lib.forcing.points.Record`.

    Raises:
        InputError: there is none of this name, or it cannot be imported.
    """
    return LAYOUTS.require(kind, "kind of forcing")
