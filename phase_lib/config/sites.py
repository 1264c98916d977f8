"""How cells are chosen that represent all others."""

from __future__ import annotations

from typing import Literal, get_args

#: By clusters of climate, soil and vegetation, or any cells.
Method = Literal["stratified", "random"]
METHODS: tuple[Method, ...] = get_args(Method)
#: A PFT needs a site where it covers this share of a cell's natural vegetation or more, %.
LEAST_COVER = 5.0
