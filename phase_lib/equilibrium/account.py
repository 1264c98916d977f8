"""The account of a correction: an attribute of its predictions file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import xarray as xr

from phase_lib.base.errors import InputError
from phase_lib.elm.netcdf import get_attribute

_KEYS = ("end_year", "nitrogen", "variables")


def account_of(path: str | Path, dataset: xr.Dataset) -> dict[str, Any]:
    """The account in an open predictions file: `end_year` of the window, `nitrogen`, `variables`, ...

    Raises:
        InputError: it is no predictions file of a correction.
    """
    text = str(get_attribute(path, dataset, "correction"))
    try:
        account = json.loads(text)
    except ValueError:
        account = None
    if not isinstance(account, dict) or any(key not in account for key in _KEYS):
        what, expected = "global attribute correction is no account", f"JSON with {', '.join(_KEYS)}"
        raise InputError(path, what, expected=expected, remedy="give a predictions file of phase correct")
    return account
