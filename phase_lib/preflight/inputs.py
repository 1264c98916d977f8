"""The files that are given for a domain by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from phase_lib.base.errors import InputError
from phase_lib.base.files import matching_files
from phase_lib.config.domains import ForcingFiles
from phase_lib.config.layouts import layout_class
from phase_lib.config.loading import validate
from phase_lib.landmodel.domain import Domain, Forcing, ad_run

#: Options of `phase check` that name one file.
_SINGLE = (
    "restart",
    "surface",
    "domain",
    "params",
    "soil_params",
    "reference_restart",
    "reference_ad_restart",
)


def files_by_hand(given: Mapping[str, Any]) -> Domain | None:
    """Files given one by one, which are checked as a domain to train on and to inject into.

    Args:
        given: options of `phase check` by name, without a value where not given.

    Returns:
        What was given; None where there is no file among it.

    Raises:
        InputError: a name or pattern stands for no file, or the forcing is not described.
    """
    factor, settings = ad_run(given["lnd_in"], given["mortality_factor"])
    domain = Domain(
        cycle=given["years"],
        **{role: given[role] for role in _SINGLE},
        history=tuple(matching_files(given["history"])),
        reference_history=tuple(matching_files(given["reference_history"])),
        mortality_factor=factor,
        ad_settings=settings,
        forcing=_forcing(given),
    )
    return domain if domain.forcing is not None or any(True for _ in domain.paths) else None


def _forcing(given: Mapping[str, Any]) -> Forcing | None:
    kind = given["forcing_kind"]
    from_history = kind is not None and layout_class(kind).in_model_years and given["history"]
    if not given["forcing"] and not from_history:
        return None
    if given["first_year"] is None:
        raise InputError("--first-year", "is not given", expected="the first year of the forcing cycle")
    content = {"kind": kind, "files": list(given["forcing"])}
    content |= {name: given[name] for name in ("product", "first_year", "years", "align_year", "limit_km")}
    present = {name: value for name, value in content.items() if value is not None}
    return Forcing.from_config(validate(ForcingFiles, present, "forcing"), given["history"])
